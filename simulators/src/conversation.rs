//! One connection as a carrier sees it, whatever its protocol: a pure machine. Octets and the time go in; octets to send
//! pile up in `out`, decisions go to the [`Desk`]. What octets mean is the [`Tongue`]'s business.
//!
//! A connection is opened by the other side, which logs in, or by us to its `callback` address, where we do.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use codecs::framing;

use crate::centre::Link;
use crate::delivery::{Content, Delivery, Id, Receipt, Taken};
use crate::desk::{Desk, Repeated, Stranger, Submission};
use crate::fault::{Faults, Kind};
use crate::quirks::Over;
use crate::records::Concat;
use crate::tongue::{self, Heard, Login, Say, Sequence, Tongue};

/// Octets waiting to be sent above which nothing more is read or delivered.
const OUT_FULL: usize = 256 * 1024;
/// Signs of life asked for in vain after which a connection is given up.
const TESTS: u32 = 3;

/// What a login allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    sends: bool,
    receives: bool,
}

/// An answer that is not due yet.
#[derive(Debug)]
struct Late {
    due: Instant,
    order: u64,
    sequence: Sequence,
    id: Id,
    submission: Submission<'static>,
}

/// A delivery without an answer yet.
#[derive(Debug)]
struct Open {
    sequence: Sequence,
    since: Instant,
    delivery: Delivery,
}

/// See the module's head.
#[derive(Debug)]
pub struct Conversation {
    tongue: Box<dyn Tongue>,
    link: Link,
    /// Whether we opened it.
    dialled: bool,
    bound: Option<Bound>,
    /// Octets to send.
    pub out: BytesMut,
    late: BinaryHeap<Reverse<Late>>,
    order: u64,
    /// Answers kept back until the other parts come.
    held: Vec<Late>,
    counter: u32,
    /// In the order they were sent.
    open: VecDeque<Open>,
    submits: u32,
    heard_at: Instant,
    /// When we last sent or settled anything of our own on a connection we opened.
    busy_at: Instant,
    /// Since when we wait for the answer to our login or to our goodbye.
    asked: Option<Instant>,
    leaving: bool,
    tested_at: Instant,
    tests: u32,
    ended: bool,
}

impl Conversation {
    /// A connection that the other side opened.
    pub fn accepted(now: Instant, link: Link, desk: &Desk) -> Self {
        Self {
            tongue: tongue::of(desk.config()),
            link,
            dialled: false,
            bound: None,
            out: BytesMut::new(),
            late: BinaryHeap::new(),
            order: 0,
            held: Vec::new(),
            counter: 0,
            open: VecDeque::new(),
            submits: 0,
            heard_at: now,
            busy_at: now,
            asked: None,
            leaving: false,
            tested_at: now,
            tests: 0,
            ended: false,
        }
    }

    /// A connection that we opened: logs in.
    pub fn dialled(now: Instant, link: Link, desk: &Desk) -> Self {
        let mut conversation = Self { dialled: true, asked: Some(now), ..Self::accepted(now, link, desk) };
        let sequence = conversation.next_sequence(now, desk);
        conversation.write(now, sequence, Say::Login, desk);
        conversation
    }

    /// Reads whole PDUs from `input`, as many as there are.
    pub fn octets(&mut self, now: Instant, input: &mut BytesMut, desk: &mut Desk, faults: &Faults) {
        let mut read = 0;
        self.heard_at = now;
        while !self.ended && self.out.len() < OUT_FULL * 4 {
            match framing::cut(&input[read..], self.tongue.limits()) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    self.pdu(now, &input[read..read + length], desk, faults);
                    read += length;
                }
                Err(_) => {
                    desk.counters.malformed += 1;
                    if !silent(faults) {
                        self.tongue.say_broken(&mut self.out);
                    }
                    self.ended = true;
                }
            }
        }
        input.advance(read);
    }

    fn pdu(&mut self, now: Instant, octets: &[u8], desk: &mut Desk, faults: &Faults) {
        let (sequence, heard) = self.tongue.hear(now, octets, desk);
        let at_the_door =
            matches!(heard, Heard::Login(_) | Heard::LoginAnswer(_) | Heard::Other { malformed: true, .. });
        if self.bound.is_none() && self.tongue.wants_login_first() && !at_the_door {
            self.ended = true;
            return;
        }
        match heard {
            Heard::Login(login) => self.login(now, &login, sequence, desk, faults),
            Heard::LoginAnswer(status) => self.let_in(now, status),
            Heard::Submit(submission, wrong) => self.submit(now, submission, wrong, sequence, desk, faults),
            Heard::Delivered(taken) => self.delivered(now, sequence, taken, desk, faults),
            Heard::UserState => desk.counters.user_reports_acked += 1,
            Heard::Ping => {
                desk.counters.enquire_links += 1;
                if !faults.on(Kind::Mute) {
                    self.write(now, sequence, Say::Pong, desk);
                }
            }
            Heard::Pong => self.tests = 0,
            Heard::Bye => {
                self.answer(now, sequence, Say::ByeAnswer, desk, faults);
                if desk.config().quirks.bye_back {
                    let sequence = self.next_sequence(now, desk);
                    self.answer(now, sequence, Say::Bye, desk, faults);
                }
                self.ended = !silent(faults);
            }
            Heard::ByeAnswer => self.ended = true,
            Heard::Other { answer, malformed, ends } => {
                desk.counters.malformed += u64::from(malformed);
                if !silent(faults) {
                    self.out.extend_from_slice(&answer);
                }
                self.ended |= ends;
            }
        }
    }

    fn login(&mut self, now: Instant, login: &Login<'_>, sequence: Sequence, desk: &mut Desk, faults: &Faults) {
        if silent(faults) {
            return;
        }
        let refusal = if self.bound.is_some() {
            Some(self.tongue.refusal(Stranger::Again))
        } else if let Some(status) = login.refused {
            desk.counters.binds_refused += 1;
            Some(status)
        } else {
            desk.admit(login.account, login.proven).err().map(|stranger| self.tongue.refusal(stranger))
        };
        if refusal.is_none() {
            self.bound = Some(Bound { sends: login.sends, receives: login.receives });
        }
        if refusal.is_none() || !desk.config().quirks.silent_refusal {
            self.write(now, sequence, Say::LoginAnswer(refusal.unwrap_or(0)), desk);
        }
        // A second login leaves the first one standing; a refused stranger is shown out.
        self.ended |= refusal.is_some() && self.bound.is_none();
    }

    /// The answer to our own login.
    fn let_in(&mut self, now: Instant, status: u32) {
        if !self.dialled || self.bound.is_some() {
            return;
        }
        (self.asked, self.busy_at) = (None, now);
        if status == 0 {
            self.bound = Some(Bound { sends: false, receives: true });
        } else {
            self.ended = true;
        }
    }

    fn submit(
        &mut self,
        now: Instant,
        submission: Submission<'_>,
        wrong: Option<u32>,
        sequence: Sequence,
        desk: &mut Desk,
        faults: &Faults,
    ) {
        if !self.bound.is_some_and(|bound| bound.sends) {
            let status = desk.codes().misplaced;
            return self.answer(now, sequence, Say::Refused(status), desk, faults);
        }
        let submission = Submission { link: self.link, ..submission };
        desk.read(&submission);
        let number = (Some(self.link).filter(|_| !self.tongue.numbers_everywhere()), sequence);
        if wrong.is_none()
            && let Some(repeated) = desk.repeats(&submission, number)
        {
            return self.again(now, repeated, sequence, desk, faults);
        }
        let accepted = match wrong {
            Some(status) => Err(desk.refuse(status)),
            None if self.late.len() + self.held.len() >= desk.config().window => {
                desk.counters.over_window += 1;
                Err(desk.refuse(desk.codes().full))
            }
            None => {
                let (tongue, seconds) = (&self.tongue, desk.clock().seconds(now));
                desk.submit(&submission, faults, |number| tongue.id(number, sequence, seconds))
            }
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(status) => {
                if !silent(faults) {
                    desk.answered(now, &submission, status);
                }
                return self.answer(now, sequence, Say::Refused(status), desk, faults);
            }
        };
        desk.remember(&submission, number, accepted.id);
        if !submission.more.is_empty() {
            let (tongue, seconds) = (&self.tongue, desk.clock().seconds(now));
            desk.submit_more(&submission, faults, |number| tongue.id(number, sequence, seconds));
        }
        self.submits += 1;
        let cut_off = faults.close_after().is_some_and(|after| self.submits >= after);
        self.ended |= cut_off;
        if let Some(delivery) = accepted.ahead {
            let here = matches!(desk.over(), Over::Any | Over::Same) && self.can_take(desk);
            if here && !silent(faults) && !cut_off {
                self.deliver(now, delivery, desk, faults);
            } else {
                desk.put_back(delivery);
            }
        }
        if silent(faults) || cut_off {
            return desk.note(&submission, &accepted.id, false);
        }
        let parts = submission.concat.filter(|concat| concat.total > 1 && desk.config().quirks.answer_when_whole);
        if accepted.due <= now && parts.is_none() {
            self.write(now, sequence, Say::Accepted(&accepted.id), desk);
            desk.answered(now, &submission, 0);
            return desk.note(&submission, &accepted.id, true);
        }
        self.order += 1;
        let submission = submission.into_owned();
        let late = Late { due: accepted.due, order: self.order, sequence, id: accepted.id, submission };
        match parts {
            Some(concat) => self.hold(late, concat),
            None => self.late.push(Reverse(late)),
        }
        self.answer_late(now, desk, faults);
    }

    /// A submit that came before; one whose answer is still to come gets that one.
    fn again(&mut self, now: Instant, repeated: Repeated, sequence: Sequence, desk: &Desk, faults: &Faults) {
        let pending = |late: &Late| late.sequence == sequence;
        match repeated {
            Repeated::Answered(_) if self.held.iter().any(pending) => {}
            Repeated::Answered(_) if self.late.iter().any(|Reverse(late)| pending(late)) => {}
            Repeated::Answered(id) => self.answer(now, sequence, Say::Accepted(&id), desk, faults),
            Repeated::Refused(status) => self.answer(now, sequence, Say::Refused(status), desk, faults),
            Repeated::Dropped => {}
        }
    }

    /// Keeps an answer back until every part of its message is there; then the last part is answered first.
    fn hold(&mut self, late: Late, concat: Concat) {
        let like = |held: &Late| {
            held.submission
                .concat
                .is_some_and(|other| (other.reference, other.total) == (concat.reference, concat.total))
                && held.submission.destination == late.submission.destination
        };
        let mut parts: Vec<u8> = self.held.iter().filter(|held| like(held)).filter_map(Late::part).collect();
        parts.push(concat.seq);
        parts.sort_unstable();
        parts.dedup();
        if parts.len() < usize::from(concat.total) {
            return self.held.push(late);
        }
        let (whole, held) = std::mem::take(&mut self.held).into_iter().partition(like);
        self.held = held;
        let due = late.due;
        for part in std::iter::once(late).chain(Vec::into_iter(whole).rev()) {
            self.order += 1;
            self.late.push(Reverse(Late { due: part.due.max(due), order: self.order, ..part }));
        }
    }

    /// The answer to a delivery; one that was given up already, or never sent, is no matter.
    fn delivered(&mut self, now: Instant, sequence: Sequence, taken: Taken, desk: &mut Desk, faults: &Faults) {
        let Some(index) = self.open.iter().position(|open| open.sequence == sequence) else { return };
        self.busy_at = now;
        if let Some(Open { delivery, .. }) = self.open.remove(index) {
            if let (Content::Receipt(receipt), Taken::Yes) = (&delivery.content, taken) {
                self.aside(now, receipt, desk, faults);
            }
            desk.settled(now, delivery, taken);
        }
    }

    /// What else is said once a report was taken.
    fn aside(&mut self, now: Instant, receipt: &Receipt, desk: &Desk, faults: &Faults) {
        let quirks = &desk.config().quirks;
        for (wanted, what) in [(quirks.user_report, Say::UserState(receipt)), (quirks.trace, Say::Trace(receipt))] {
            if wanted {
                let sequence = self.next_sequence(now, desk);
                self.answer(now, sequence, what, desk, faults);
            }
        }
    }

    /// Sends what is due and takes back deliveries that got no answer in time.
    pub fn tick(&mut self, now: Instant, desk: &mut Desk, faults: &Faults) {
        if self.ended {
            return;
        }
        self.answer_late(now, desk, faults);
        let deadline = desk.config().receipts.answer_deadline.0;
        while self.open.front().is_some_and(|open| open.since + deadline <= now) {
            let Some(Open { delivery, .. }) = self.open.pop_front() else { break };
            desk.settled(now, delivery, Taken::Unknown);
        }
        self.ended |= self.asked.is_some_and(|asked| asked + deadline <= now);
        self.ended |= self.idle_end(desk).is_some_and(|end| end <= now);
        if self.goodbye_at(desk).is_some_and(|at| at <= now) {
            self.say_goodbye(now, desk, faults);
        }
        if self.test_at(desk).is_some_and(|at| at <= now) {
            self.test(now, desk, faults);
        }
    }

    fn answer_late(&mut self, now: Instant, desk: &mut Desk, faults: &Faults) {
        while self.late.peek().is_some_and(|Reverse(late)| late.due <= now) {
            let Some(Reverse(late)) = self.late.pop() else { break };
            let answered = !silent(faults);
            if answered {
                self.write(now, late.sequence, Say::Accepted(&late.id), desk);
                desk.answered(now, &late.submission, 0);
            }
            desk.note(&late.submission, &late.id, answered);
        }
    }

    /// Leaves a connection that we opened; while a fault keeps us silent, not yet.
    fn say_goodbye(&mut self, now: Instant, desk: &Desk, faults: &Faults) {
        self.busy_at = now;
        if !silent(faults) {
            (self.leaving, self.asked) = (true, Some(now));
            let sequence = self.next_sequence(now, desk);
            self.write(now, sequence, Say::Bye, desk);
        }
    }

    /// Asks for a sign of life, or gives up.
    fn test(&mut self, now: Instant, desk: &mut Desk, faults: &Faults) {
        self.tested_at = now;
        if self.tests >= TESTS {
            self.ended = true;
        } else if !silent(faults) {
            self.tests += 1;
            desk.counters.tests_sent += 1;
            let sequence = self.next_sequence(now, desk);
            self.write(now, sequence, Say::Ping, desk);
        }
    }

    /// When the next sign of life is asked for.
    fn test_at(&self, desk: &Desk) -> Option<Instant> {
        let every = desk.config().quirks.active_test_every?;
        self.bound.map(|_| self.tested_at + every.0)
    }

    /// When we leave a connection that we opened, for want of anything to say.
    fn goodbye_at(&self, desk: &Desk) -> Option<Instant> {
        let rests = self.dialled && self.bound.is_some() && self.open.is_empty() && !self.leaving;
        rests.then(|| self.busy_at + desk.config().callback_idle.0)
    }

    /// When a connection ends over the other side's silence.
    fn idle_end(&self, desk: &Desk) -> Option<Instant> {
        let idle = desk.config().quirks.close_idle.filter(|_| !self.dialled)?;
        Some(self.heard_at + idle.0)
    }

    /// When [`Conversation::tick`] has something to do.
    pub fn deadline(&self, desk: &Desk) -> Option<Instant> {
        let patience = desk.config().receipts.answer_deadline.0;
        let answer = self.late.peek().map(|Reverse(late)| late.due);
        let oldest = self.open.front().map(|open| open.since + patience);
        let asked = self.asked.map(|asked| asked + patience);
        let ends = [answer, oldest, asked, self.test_at(desk), self.goodbye_at(desk), self.idle_end(desk)];
        ends.into_iter().flatten().filter(|_| !self.ended).min()
    }

    /// Whether a delivery may be sent here now.
    pub fn can_take(&self, desk: &Desk) -> bool {
        let receives = self.bound.is_some_and(|bound| bound.receives) && !self.ended && !self.leaving;
        receives && self.open.len() < desk.config().receipts.window && self.out.len() < OUT_FULL
    }

    /// Sends a receipt or an uplink message; ask [`Conversation::can_take`] first.
    pub fn deliver(&mut self, now: Instant, mut delivery: Delivery, desk: &mut Desk, faults: &Faults) {
        let copies = delivery.is_receipt() && (desk.config().receipts.duplicate || faults.on(Kind::DuplicateReceipts));
        desk.sent(&mut delivery);
        if copies {
            // The copy is sent once and its answer is of no interest.
            let sequence = self.next_sequence(now, desk);
            self.write(now, sequence, Say::Delivery(&delivery), desk);
            desk.counters.receipts_sent += 1;
        }
        let sequence = self.next_sequence(now, desk);
        self.write(now, sequence, Say::Delivery(&delivery), desk);
        self.ended |= !delivery.is_receipt() && faults.on(Kind::CloseAfterMo);
        self.busy_at = now;
        self.open.push_back(Open { sequence, since: now, delivery });
    }

    fn next_sequence(&mut self, now: Instant, desk: &Desk) -> Sequence {
        let last = desk.config().quirks.sequence_restart.unwrap_or(0x7FFF_FFFF);
        self.counter = if self.counter >= last { 1 } else { self.counter + 1 };
        self.tongue.number(now, self.counter, desk)
    }

    /// Answers, unless a fault forbids it.
    fn answer(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, faults: &Faults) {
        if !silent(faults) {
            self.write(now, sequence, what, desk);
        }
    }

    fn write(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk) {
        self.tongue.say(now, sequence, what, desk, &mut self.out);
    }

    /// Octets that are no PDU.
    pub fn garble(&mut self) {
        self.out.extend_from_slice(&[0xFF; 32]);
    }

    /// Whether the connection is to be closed once `out` is sent.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the login was accepted.
    pub fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    /// Whether we opened it.
    pub fn is_dialled(&self) -> bool {
        self.dialled
    }

    /// Whether more may be read: a peer that does not read its answers is not read either.
    pub fn wants_input(&self) -> bool {
        !self.ended && self.out.len() < OUT_FULL
    }

    /// The connection is gone: what was open on it goes back.
    pub fn lost(mut self, now: Instant, desk: &mut Desk) {
        if self.bound.is_some() && !self.dialled {
            desk.counters.bound = desk.counters.bound.saturating_sub(1);
        }
        let late = self.late.drain().map(|Reverse(late)| late);
        for late in late.chain(self.held.drain(..)) {
            desk.note(&late.submission, &late.id, false);
        }
        for Open { delivery, .. } in self.open.drain(..) {
            desk.settled(now, delivery, Taken::Unknown);
        }
    }
}

impl Late {
    fn part(&self) -> Option<u8> {
        self.submission.concat.map(|concat| concat.seq)
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

/// Whether everything but a sign of life stays unanswered.
fn silent(faults: &Faults) -> bool {
    faults.on(Kind::Mute) || faults.on(Kind::PingsOnly)
}
