//! A carrier's desk: what all its connections share. Accounts, ids, rate, the fate of messages, and what is to be
//! delivered when; it keeps the log. Pure: time is an argument, chance comes from the scenario's seed.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::centre::Link;
use crate::clock::Clock;
use crate::delivery::{Content, Delivery, Id, Mo, Receipt, Stat, Taken};
use crate::fault::{Faults, Kind};
use crate::known::{Known, Numbered};
use crate::lines::Lines;
use crate::quirks::{Over, Repeats};
use crate::records::{self, Concat, Record, Wire};
use crate::scenario::{Carrier, Receipts};
use crate::tongue::{self, Codes};
use crate::uplink::{self, Long, Parts};

/// What was counted since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counters {
    /// Connections open now.
    pub connections: usize,
    /// Connections bound now.
    pub bound: usize,
    /// Binds accepted.
    pub binds: u64,
    /// Binds refused.
    pub binds_refused: u64,
    /// Submits accepted.
    pub submits: u64,
    /// Submits answered with an id.
    pub answered: u64,
    /// Submits accepted whose answer never left.
    pub unanswered: u64,
    /// Submits that had come before, and were known.
    pub repeated: u64,
    /// Submits refused, throttled ones included.
    pub refused: u64,
    /// Submits answered as throttled.
    pub throttled: u64,
    /// Submits beyond the window.
    pub over_window: u64,
    /// Signs of life asked for (enquire_link, ACTIVE_TEST).
    pub enquire_links: u64,
    /// Signs of life we asked for.
    pub tests_sent: u64,
    /// Connections we opened, or tried to.
    pub dials: u64,
    /// Receipts sent, repeats included.
    pub receipts_sent: u64,
    /// Receipts the other side took.
    pub receipts_acked: u64,
    /// Receipts given up or dropped.
    pub receipts_lost: u64,
    /// Receipts not yet taken.
    pub receipts_waiting: usize,
    /// Uplink messages the other side took.
    pub mo_acked: u64,
    /// Subscribers' states that the other side took (SGIP).
    pub user_reports_acked: u64,
    /// PDUs that could not be read, or streams that broke.
    pub malformed: u64,
}

impl Counters {
    /// What a query asks for, as far as 32 bits hold it: submits accepted, those answered, those refused, messages from
    /// handsets.
    pub fn figures(&self) -> [u32; 4] {
        [self.submits, self.answered, self.refused, self.mo_acked].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }
}

/// A submit as the far side read it, whatever the protocol.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// Source address.
    pub source: Cow<'a, str>,
    /// Destination address.
    pub destination: Cow<'a, str>,
    /// Decoded text.
    pub text: Cow<'a, str>,
    /// Which part of what.
    pub concat: Option<Concat>,
    /// The sender's reference.
    pub reference: Option<u16>,
    /// Ends that are to be reported.
    pub wanted: Wanted,
    /// The service code.
    pub service_id: Cow<'a, str>,
    /// The message from a handset that it answers.
    pub link_id: Cow<'a, str>,
    /// Destinations beyond the first.
    pub more: Vec<Cow<'a, str>>,
    /// When it was read.
    pub at: Instant,
    /// The connection it came over.
    pub link: Link,
}

impl Submission<'_> {
    /// The same, owning its text.
    pub fn into_owned(self) -> Submission<'static> {
        Submission {
            source: Cow::Owned(self.source.into_owned()),
            destination: Cow::Owned(self.destination.into_owned()),
            text: Cow::Owned(self.text.into_owned()),
            concat: self.concat,
            reference: self.reference,
            wanted: self.wanted,
            service_id: Cow::Owned(self.service_id.into_owned()),
            link_id: Cow::Owned(self.link_id.into_owned()),
            more: self.more.into_iter().map(|to| Cow::Owned(to.into_owned())).collect(),
            at: self.at,
            link: self.link,
        }
    }
}

/// Which ends a sender wants receipts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Failures only.
    Failures,
    /// Success only.
    Success,
}

/// How a submit that was accepted goes on.
#[derive(Debug)]
pub struct Accepted {
    /// The id for the answer.
    pub id: Id,
    /// When the answer is due.
    pub due: Instant,
    /// A receipt that is to leave ahead of the answer.
    pub ahead: Option<Delivery>,
}

/// What becomes of a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// It is answered as the first was.
    Answered(Id),
    /// Nothing.
    Dropped,
    /// It is refused.
    Refused(u32),
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// No such account.
    Account,
    /// Wrong secret.
    Secret,
    /// Too many connections.
    Full,
    /// This connection is logged in already.
    Again,
}

/// See the module's head.
#[derive(Debug)]
pub struct Desk {
    config: Carrier,
    clock: Clock,
    rng: fastrand::Rng,
    next_id: u64,
    codes: Codes,
    /// Of the last long uplink message that was cut here.
    reference: u16,
    pace: Option<Pace>,
    later: BinaryHeap<Reverse<Later>>,
    order: u64,
    ready: VecDeque<Delivery>,
    mo: Vec<(Instant, usize)>,
    lines: Lines,
    wire: Lines,
    known: Known,
    /// What was counted.
    pub counters: Counters,
}

impl Desk {
    /// The desk of one carrier; its log goes to `lines`.
    pub fn new(config: Carrier, seed: u64, clock: Clock, lines: Lines) -> Self {
        let start = clock.started();
        let mo = config.mo.iter().enumerate().map(|(index, mo)| (start + mo.at.0, index)).collect();
        let pace = config.rate_limit.map(|rate| Pace::new(rate.0, config.rate_burst, start));
        let mut rng = fastrand::Rng::with_seed(seed);
        // Ids of different carriers should not look alike.
        // Where an id has room for 16 bits of it, the next four say how often they wrapped: not yet.
        let next_id = rng.u64(1_100_000_000..2_000_000_000) & !0xf_0000;
        let mut codes = tongue::codes(config.protocol);
        codes.throttled = config.quirks.throttle_status.unwrap_or(codes.throttled);
        Self {
            config,
            clock,
            rng,
            next_id,
            codes,
            reference: 0,
            pace,
            later: BinaryHeap::new(),
            order: 0,
            ready: VecDeque::new(),
            mo,
            lines,
            wire: Lines::nowhere(),
            known: Known::default(),
            counters: Counters::default(),
        }
    }

    /// The same desk, which also writes down what goes over the wire.
    pub fn with_wire(self, wire: Lines) -> Self {
        Self { wire, ..self }
    }

    /// The carrier's part of the scenario.
    pub fn config(&self) -> &Carrier {
        &self.config
    }

    /// The clock of this run.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is answered where this desk says no.
    pub fn codes(&self) -> Codes {
        self.codes
    }

    /// Which connection deliveries take.
    pub fn over(&self) -> Over {
        let absent = if self.config.callback.is_some() { Over::Callback } else { Over::Any };
        self.config.quirks.deliver_over.unwrap_or(absent)
    }

    /// How an id is written where people read it.
    pub fn spell(&self, id: &Id) -> String {
        match id {
            Id::Number(number) => self.config.receipts.id_in_answer.spell(*number),
            Id::Octets(octets, length) => {
                let digits = octets.iter().take(*length).flat_map(|octet| [octet >> 4, octet & 0x0f]);
                digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
            }
        }
    }

    /// Whether `account`, which knows the secret or does not, is let in.
    pub fn admit(&mut self, account: &[u8], proven: bool) -> Result<(), Stranger> {
        let verdict = if account != self.config.account().as_bytes() {
            Err(Stranger::Account)
        } else if !proven {
            Err(Stranger::Secret)
        } else if self.counters.bound >= self.config.max_binds {
            Err(Stranger::Full)
        } else {
            Ok(())
        };
        match verdict {
            Ok(()) => {
                self.counters.binds += 1;
                self.counters.bound += 1;
            }
            Err(_) => self.counters.binds_refused += 1,
        }
        verdict
    }

    /// Writes down that a submit was read.
    pub fn read(&mut self, submission: &Submission<'_>) {
        let t_ms = self.clock.t_ms(submission.at);
        self.wire.push(&Wire::Read { t_ms, destination: Cow::Borrowed(&submission.destination) });
        self.wire.flush();
    }

    /// Writes down that a submit is answered with `status`.
    pub fn answered(&mut self, now: Instant, submission: &Submission<'_>, status: u32) {
        let t_ms = self.clock.t_ms(now);
        self.wire.push(&Wire::Answer { t_ms, destination: Cow::Borrowed(&submission.destination), status });
        self.wire.flush();
    }

    /// Takes a submit, or says with which status to refuse it. `name` makes its id of a number no other submit has.
    pub fn submit(
        &mut self,
        submission: &Submission<'_>,
        faults: &Faults,
        name: impl FnOnce(u64) -> Id,
    ) -> Result<Accepted, u32> {
        match self.refusal(submission, faults) {
            Some(status) => Err(self.refuse(status)),
            None => Ok(self.accept(submission, faults, name)),
        }
    }

    fn accept(&mut self, submission: &Submission<'_>, faults: &Faults, name: impl FnOnce(u64) -> Id) -> Accepted {
        let now = submission.at;
        self.counters.submits += 1;
        self.next_id += 1;
        let id = name(self.next_id);
        let wait = self.config.answer_latency.draw(&mut self.rng) + faults.delay(&mut self.rng);
        let (stat, after) = (self.fate(), self.config.receipts.after.draw(&mut self.rng));
        let mut ahead = None;
        if let Some(stat) = stat.filter(|stat| wants(submission.wanted, *stat)) {
            let delivery = Delivery::new(Content::Receipt(receipt(id, submission, stat, now + after)));
            if self.config.receipts.before_answer {
                ahead = Some(delivery);
            } else {
                self.put_off(now + after, delivery);
            }
        }
        Accepted { id, due: now + wait, ahead }
    }

    /// What a submit repeats, where it came before under this number (of this link, or of all), or where the same one came
    /// a short while ago. `None` for whatever is new.
    pub fn repeats(&mut self, submission: &Submission<'_>, number: Numbered) -> Option<Repeated> {
        let quirks = &self.config.quirks;
        let duplicate = self.codes.duplicate.filter(|_| quirks.repeats != Repeats::Count)?;
        let print = print(submission);
        let again = match (self.known.numbered(number), quirks.repeat_window) {
            (Some((_, of)), _) if of != print => {
                let refuses = quirks.repeats == Repeats::Refuse;
                return refuses.then(|| Repeated::Refused(self.refuse(duplicate)));
            }
            (Some((id, _)), _) => id,
            (None, Some(window)) => self.known.alike(print, submission.at, window.0)?,
            (None, None) => return None,
        };
        self.counters.repeated += 1;
        self.lines.push(&Record::Repeat(records::Repeat {
            t_ms: self.clock.t_ms(submission.at),
            carrier: Cow::Borrowed(&self.config.name),
            carrier_id: Cow::Owned(self.spell(&again)),
            destination: Cow::Borrowed(&submission.destination),
        }));
        Some(match self.config.quirks.repeats {
            Repeats::Drop => Repeated::Dropped,
            Repeats::Refuse => Repeated::Refused(self.refuse(duplicate)),
            Repeats::Answer | Repeats::Count => Repeated::Answered(again),
        })
    }

    /// Keeps in mind what was accepted under that number.
    pub fn remember(&mut self, submission: &Submission<'_>, number: Numbered, id: Id) {
        if self.codes.duplicate.is_some() {
            self.known.add(number, print(submission), id, submission.at);
        }
    }

    /// Takes the further destinations of a submit that was accepted, each as a message of its own.
    pub fn submit_more(&mut self, submission: &Submission<'_>, faults: &Faults, mut name: impl FnMut(u64) -> Id) {
        for to in &submission.more {
            let one = Submission { destination: to.clone(), more: Vec::new(), ..submission.clone() };
            let Accepted { id, ahead, .. } = self.accept(&one, faults, &mut name);
            ahead.into_iter().for_each(|delivery| self.put_back(delivery));
            self.note(&one, &id, true);
        }
    }

    /// Counts a submit that is refused with `status`.
    pub fn refuse(&mut self, status: u32) -> u32 {
        self.counters.refused += 1;
        self.counters.throttled += u64::from(status == self.codes.throttled);
        status
    }

    /// One destination that is refused refuses the whole group. A group passes where one message would, and counts as all
    /// of its messages.
    fn refusal(&mut self, submission: &Submission<'_>, faults: &Faults) -> Option<u32> {
        if let Some(status) = faults.status(&mut self.rng, self.codes) {
            return Some(status);
        }
        let rule = |to: &Cow<'_, str>| {
            let fitting = self.config.rules.iter().filter(|(suffix, _)| to.ends_with(suffix.as_str()));
            fitting.max_by_key(|(suffix, _)| suffix.len()).map(|(_, status)| status.0)
        };
        if let Some(status) = std::iter::once(&submission.destination).chain(&submission.more).find_map(rule) {
            return Some(status);
        }
        let messages = u32::try_from(submission.more.len()).unwrap_or(u32::MAX).saturating_add(1);
        let passes = self.pace.as_mut().is_none_or(|pace| pace.pass(submission.at, messages));
        (!passes).then_some(self.codes.throttled)
    }

    /// Draws how a message ends; `None` where nobody will ever tell.
    fn fate(&mut self) -> Option<Stat> {
        let Receipts { delivered, failed, expired, rejected, none, .. } = &self.config.receipts;
        let mut at = self.rng.f64();
        let shares = [(failed.0, Some(Stat::Undelivered)), (expired.0, Some(Stat::Expired))];
        let shares = shares.into_iter().chain([(rejected.0, Some(Stat::Rejected)), (none.0, None)]);
        for (share, stat) in shares {
            if at < share {
                return stat;
            }
            at -= share;
        }
        let delivered = delivered.map_or(1.0, |share| share.0);
        (at < delivered).then_some(Stat::Delivered)
    }

    /// Writes down a submit whose answer left or never will.
    pub fn note(&mut self, submission: &Submission<'_>, id: &Id, answered: bool) {
        if answered {
            self.counters.answered += 1;
        } else {
            self.counters.unanswered += 1;
        }
        self.lines.push(&Record::Submit(records::Submit {
            t_ms: self.clock.t_ms(submission.at),
            carrier: Cow::Borrowed(&self.config.name),
            carrier_id: Cow::Owned(self.spell(id)),
            source: Cow::Borrowed(&submission.source),
            destination: Cow::Borrowed(&submission.destination),
            text: Cow::Borrowed(&submission.text),
            udh: submission.concat,
            user_message_reference: submission.reference,
            service_id: Cow::Borrowed(&submission.service_id),
            link_id: Cow::Borrowed(&submission.link_id),
            parts: submission.concat.map_or(1, |concat| concat.total),
            answered,
        }));
    }

    /// Queues an uplink message to go out at once.
    pub fn send_mo(&mut self, mo: Mo) {
        let whole = mo.segment.is_some() || !self.is_too_long(&mo);
        if whole {
            return self.push_ready(Delivery::new(Content::Mo(mo)));
        }
        self.reference = self.reference.wrapping_add(1);
        let parts = Parts { long: Long::Udh8, reference: self.reference, order: Vec::new(), cut: None };
        // More than 255 parts: nobody writes so much on a handset, and nothing is sent.
        let parts = uplink::cut(&mo.from, &mo.to, &mo.text, Some(&parts), self.config.alphabets());
        parts.unwrap_or_default().into_iter().for_each(|mo| self.push_ready(Delivery::new(Content::Mo(mo))));
    }

    /// Whether an uplink message has to be cut to be sent.
    fn is_too_long(&self, mo: &Mo) -> bool {
        uplink::is_long(&mo.text, self.config.alphabets()) && !self.config.protocol.carries_long_text()
    }

    /// Puts back what could not be handed to a connection after all.
    pub fn put_back(&mut self, delivery: Delivery) {
        self.ready.push_front(delivery);
    }

    /// The next delivery that is due.
    pub fn next_ready(&mut self) -> Option<Delivery> {
        self.ready.pop_front()
    }

    /// A delivery left on a connection.
    pub fn sent(&mut self, delivery: &mut Delivery) {
        delivery.tries += 1;
        self.counters.receipts_sent += u64::from(delivery.is_receipt());
    }

    /// A delivery was answered, or will not be.
    pub fn settled(&mut self, now: Instant, delivery: Delivery, taken: Taken) {
        let spent = delivery.tries >= self.config.receipts.max_tries;
        match taken {
            Taken::Yes => self.finish(now, &delivery, true),
            Taken::Never => self.finish(now, &delivery, false),
            _ if spent => self.finish(now, &delivery, false),
            Taken::Later => self.put_off(now + self.config.receipts.retry_after.0, delivery),
            Taken::Unknown => self.push_ready(delivery),
        }
    }

    fn finish(&mut self, now: Instant, delivery: &Delivery, acked: bool) {
        let (t_ms, tries) = (self.clock.t_ms(now), delivery.tries);
        let carrier = Cow::Borrowed(self.config.name.as_str());
        match &delivery.content {
            Content::Receipt(receipt) => {
                if acked {
                    self.counters.receipts_acked += 1;
                } else {
                    self.counters.receipts_lost += 1;
                }
                let carrier_id = self.spell(&receipt.id).into();
                let stat = self.config.quirks.stat(receipt.stat.word()).into();
                self.lines.push(&Record::Receipt(records::Receipt { t_ms, carrier, carrier_id, stat, acked, tries }));
            }
            Content::Mo(mo) => {
                self.counters.mo_acked += u64::from(acked);
                let (from, to, text) = (&*mo.from, &*mo.to, &*mo.text);
                let (from, to, text) = (from.into(), to.into(), text.into());
                let udh = mo.segment.as_ref().map(|segment| segment.concat);
                self.lines.push(&Record::Mo(records::Mo { t_ms, carrier, from, to, text, udh, acked, tries }));
            }
        }
    }

    fn put_off(&mut self, due: Instant, delivery: Delivery) {
        self.order += 1;
        self.later.push(Reverse(Later { due, order: self.order, delivery }));
    }

    fn push_ready(&mut self, delivery: Delivery) {
        if self.ready.len() >= self.config.receipts.keep {
            self.ready.pop_front();
            self.counters.receipts_lost += 1;
        }
        self.ready.push_back(delivery);
    }

    /// Makes ready what is due.
    pub fn tick(&mut self, now: Instant, faults: &Faults) {
        while self.later.peek().is_some_and(|Reverse(later)| later.due <= now) {
            let Some(Reverse(Later { delivery, .. })) = self.later.pop() else { break };
            if faults.on(Kind::DropReceipts) && delivery.is_receipt() {
                self.counters.receipts_lost += 1;
            } else {
                self.push_ready(delivery);
            }
        }
        let mut written = Vec::new();
        for (at, index) in &mut self.mo {
            let mo = &self.config.mo[*index];
            if *at <= now {
                let alphabets = self.config.alphabets();
                // The scenario was checked.
                written
                    .extend(uplink::cut(&mo.from, &mo.to, &mo.text, mo.parts.as_ref(), alphabets).unwrap_or_default());
                *at += mo.every.map_or(Duration::MAX / 4, |every| every.0);
            }
        }
        written.into_iter().for_each(|mo| self.send_mo(mo));
    }

    /// When [`Desk::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let mo = self.mo.iter().map(|(at, _)| *at);
        self.later.peek().map(|Reverse(later)| later.due).into_iter().chain(mo).min()
    }

    /// Deliveries that are due and wait for a connection.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Deliveries whose time has not come.
    pub fn to_come(&self) -> usize {
        self.later.len()
    }

    /// Hands the log to its file.
    pub fn flush(&mut self) {
        self.lines.flush();
    }

    /// Writes down every delivery that was sent and never taken, and ends the log.
    pub fn close(&mut self, now: Instant) -> std::io::Result<()> {
        let later = std::mem::take(&mut self.later).into_iter().map(|Reverse(later)| later.delivery);
        let left: Vec<Delivery> = later.chain(std::mem::take(&mut self.ready)).collect();
        left.iter().filter(|delivery| delivery.tries > 0).for_each(|delivery| self.finish(now, delivery, false));
        self.lines.close().and(self.wire.close())
    }
}

fn wants(wanted: Wanted, stat: Stat) -> bool {
    match wanted {
        Wanted::Nothing => false,
        Wanted::Everything => true,
        Wanted::Failures => stat != Stat::Delivered,
        Wanted::Success => stat == Stat::Delivered,
    }
}

fn receipt(id: Id, submission: &Submission<'_>, stat: Stat, done: Instant) -> Receipt {
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    Receipt {
        id,
        link: submission.link,
        source: (&*submission.source).into(),
        destination: (&*submission.destination).into(),
        stat,
        submitted: submission.at,
        done,
        reference: submission.reference,
        beginning: submission.text.chars().filter(plain).take(20).collect(),
    }
}

#[derive(Debug)]
struct Later {
    due: Instant,
    order: u64,
    delivery: Delivery,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Later {}

/// A rate with a burst: each part moves the moment when the bucket is empty again; one that would move it further
/// than the burst allows does not pass.
#[derive(Debug)]
struct Pace {
    each: Duration,
    ahead: Duration,
    empty_at: Instant,
}

impl Pace {
    fn new(rate: f64, burst: Option<u32>, start: Instant) -> Self {
        let each = Duration::from_secs_f64(1.0 / rate);
        let burst = burst.map_or((rate / 10.0).max(1.0), f64::from);
        Self { each, ahead: each.mul_f64(burst.max(1.0)), empty_at: start }
    }

    fn pass(&mut self, now: Instant, messages: u32) -> bool {
        let from = self.empty_at.max(now);
        let passes = from + self.each <= now + self.ahead;
        if passes {
            self.empty_at = from + self.each * messages;
        }
        passes
    }
}

/// What a submit says, as a number.
fn print(submission: &Submission<'_>) -> u64 {
    let Submission { source, destination, text, concat, more, .. } = submission;
    let mut hasher = DefaultHasher::new();
    (source, destination, text, concat, more).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_passes_more_than_rate_and_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(50.0, Some(5), start);
        let passed: Vec<u64> = (0..3_000).filter(|ms| pace.pass(start + Duration::from_millis(*ms), 1)).collect();
        let most = (0..2_000).map(|from| passed.iter().filter(|at| (from..from + 1_000).contains(*at)).count()).max();
        assert!(most <= Some(55), "{most:?}");
        assert!(passed.len() >= 150, "{}", passed.len());
        let mut pace = Pace::new(50.0, Some(5), start);
        assert!(pace.pass(start, 100), "a group may be more than the burst");
        let passed: Vec<u64> = (0..3_000).filter(|ms| pace.pass(start + Duration::from_millis(*ms), 1)).collect();
        assert!((1_880..=2_000).contains(&passed[0]), "{}", passed[0]);
    }
}
