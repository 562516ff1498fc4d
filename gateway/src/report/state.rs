//! What is known of one message after it was accepted, and the rule that turns it into an outcome.
//! Delivered when all parts of any one attempt are delivered; failed only when no attempt can still deliver.

use carriers::compact::{MostlyOne, Short, Text};
use carriers::message::Brief;
use carriers::{AttemptRef, CarrierId, Doubt, ReceiptState, Verdict};

use crate::clock::{Time, Wall};
use crate::config::plan::{AppId, ChannelId, GroupId, TierId};
use crate::journal::At;
use crate::journal::bodies::Spot;
use crate::journal::record::{AnswerKind, Evidence, OutcomeKind};
use crate::switch::{End, Reason, Why};

use super::correlate::{Tail, tail};

/// A number and the app's reference. With that many octets a [`Detail`] fills the allocator's block that it lies in.
type Words = Short<62>;

/// What a carrier says of a part, in its own words.
pub type Code = Brief;

/// A message that has not been forgotten. Waiting ones hold nothing but this: their bodies are on disk.
#[derive(Debug)]
pub struct Live {
    /// Present from the first attempt or the outcome on.
    pub detail: Option<Box<Detail>>,
    /// When its accepted record became durable, or the process started.
    pub since: Time,
    /// Where its accepted record is.
    pub at: At,
    /// Where that is in memory, if it still is.
    pub body: Spot,
    /// Its app.
    pub app: AppId,
    /// Its group.
    pub group: GroupId,
    /// Its tier.
    pub tier: TierId,
    /// Whether the app wants events.
    pub callback: bool,
    /// Parts the switch reserves.
    pub reserve: u8,
}

impl Live {
    /// Whether the switch has nothing more to do for it.
    pub fn is_done(&self) -> bool {
        self.detail.as_deref().is_some_and(|detail| detail.done)
    }
}

/// What attempts and receipts have added. All that changes it is here, so that the line, the replay of the journal and
/// a look into the store come to the same end.
#[derive(Debug, Default)]
pub struct Detail {
    /// Destination, E.164, and the app's reference behind it.
    words: Words,
    /// Where the reference begins, if there is one.
    client_ref: Option<u16>,
    /// The destination's last digits, by which receipts name it.
    tail: Option<Tail>,
    /// Attempts in order.
    pub attempts: MostlyOne<AttemptState>,
    /// The switch has nothing more to do for it.
    pub done: bool,
    /// Why it stopped, where it gave up.
    pub end: Option<End>,
    /// The outcome, then its corrections; event n is the n-th.
    pub outcomes: MostlyOne<Concluded>,
    /// How many of them are known to be on disk.
    on_disk: u8,
    /// Bit n-1: event n needs no telling any more.
    told: u8,
    /// Bit n-1: of these, what no record says yet.
    unsaid: u8,
    /// Whether the store has it.
    pub keeping: Keeping,
    /// When the wait for receipts ends at the latest.
    pub patience: Time,
    /// Whether it waits for them.
    pub waiting: bool,
    /// Not sent at or after this time.
    pub expires: Time,
    /// When it is looked at again for a receipt that is overdue, see [`super::again`].
    pub due: Option<Time>,
    /// No receipt is overdue before: carriers kept them while we were away.
    pub not_due_before: Time,
}

/// How far the store has a message that is over. At most one writing is under way for a message, so that what the store
/// confirms is always the last that it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Not given to it.
    #[default]
    No,
    /// Given to it; nothing has changed since.
    UnderWay,
    /// Given to it, and changed since.
    Stale,
}

/// One try on one channel.
#[derive(Debug)]
pub struct AttemptState {
    /// Its reference.
    pub attempt: AttemptRef,
    /// Over which channel.
    pub channel: ChannelId,
    /// When it started.
    pub at: Wall,
    /// Why over that channel.
    pub why: Why,
    /// Its parts.
    pub parts: MostlyOne<Part>,
    /// The message has gone on to other channels: what receipts say of this attempt is evidence only, unless delivered.
    pub superseded: bool,
    /// How often it was refused for the time being.
    pub refusals: u8,
    /// Its place in the correlation among those with parts on the wire.
    pub aloft: Option<u32>,
    /// When its rest last went out, and when that was last refused.
    run: Wall,
    refused_at: Wall,
}

/// One part of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The carrier's id for it, once known.
    pub id: Option<CarrierId>,
    /// When the carrier answered.
    pub answered: Wall,
    /// When its state last changed.
    pub at: Wall,
    /// A receipt has proved that the carrier has it, and the answer has not come.
    pub early: bool,
    /// Where it stands.
    pub state: PartState,
    /// No answer came: a receipt that names its number was taken for its own.
    pub guessed: bool,
}

/// Where a part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// No answer yet.
    Open,
    /// No answer will come.
    Unanswered(Doubt),
    /// Taken by the carrier.
    Submitted,
    /// Refused by the carrier.
    Refused(Verdict, Code),
    /// A final receipt came.
    Receipted(ReceiptState, Code),
}

/// A message's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concluded {
    /// Which.
    pub kind: OutcomeKind,
    /// Why.
    pub reason: &'static str,
    /// The deciding carrier's code.
    pub code: Code,
    /// On what grounds.
    pub evidence: Evidence,
    /// The deciding channel.
    pub channel: Option<ChannelId>,
    /// When.
    pub at: Wall,
}

impl Concluded {
    /// Outcomes only move up: expired, failed, delivered. What the owner cancelled stays cancelled unless delivered.
    fn rank(kind: OutcomeKind) -> u8 {
        match kind {
            OutcomeKind::Expired => 0,
            OutcomeKind::Cancelled | OutcomeKind::Failed => 1,
            OutcomeKind::Delivered => 2,
        }
    }

    /// Whether `self` may take the place of `earlier`.
    pub fn corrects(&self, earlier: &Concluded) -> bool {
        Concluded::rank(self.kind) > Concluded::rank(earlier.kind)
    }
}

impl AttemptState {
    /// A new attempt with nothing answered.
    pub fn new(attempt: AttemptRef, channel: ChannelId, at: Wall, parts: u8) -> Self {
        AttemptState {
            attempt,
            channel,
            at,
            why: Why::default(),
            parts: MostlyOne::of(
                Part { id: None, answered: at, at, early: false, state: PartState::Open, guessed: false },
                usize::from(parts),
            ),
            superseded: false,
            refusals: 0,
            aloft: None,
            run: at,
            refused_at: Wall(0),
        }
    }

    /// All parts reached the handset.
    pub fn delivered(&self) -> bool {
        self.parts.iter().all(|p| matches!(p.state, PartState::Receipted(ReceiptState::Delivered, _)))
    }

    /// The carrier took every part (a receipt proves it, too).
    pub fn submitted(&self) -> bool {
        self.parts.iter().all(|p| matches!(p.state, PartState::Submitted | PartState::Receipted(..)))
    }

    /// What a receipt has just decided about it, if anything: all of it is delivered, or, by the first receipt that
    /// says so, it never will be.
    pub fn decided(&self) -> Option<bool> {
        let undelivered =
            |p: &&Part| matches!(p.state, PartState::Receipted(state, _) if state != ReceiptState::Delivered);
        match self.parts.iter().filter(undelivered).count() {
            0 => self.delivered().then_some(true),
            1 => Some(false),
            _ => None,
        }
    }

    /// Some part is in doubt.
    pub fn in_doubt(&self) -> bool {
        let open = |p: &Part| matches!(p.state, PartState::Open | PartState::Unanswered(Doubt::Unacked | Doubt::Acked));
        self.parts.iter().any(open)
    }

    /// Some part has no answer yet.
    pub fn open(&self) -> bool {
        self.parts.iter().any(|p| matches!(p.state, PartState::Open))
    }

    /// No part of it ever left.
    pub fn unsent(&self) -> bool {
        self.parts.iter().all(|p| p.state == PartState::Unanswered(Doubt::Unsent))
    }

    /// Nothing can deliver it any more.
    pub(super) fn dead(&self) -> bool {
        self.death().is_some()
    }

    /// The carrier has it whole, and has not said that it will not be delivered.
    fn copy(&self) -> bool {
        self.submitted() && !self.dead()
    }

    /// A final receipt came for some part.
    pub(super) fn receipted(&self) -> bool {
        self.parts.iter().any(|p| matches!(p.state, PartState::Receipted(..)))
    }

    /// How far the parts without an answer got, at the worst.
    pub(super) fn doubt(&self) -> Doubt {
        let acked = |p: &Part| matches!(p.state, PartState::Open | PartState::Unanswered(Doubt::Acked));
        if self.parts.iter().any(acked) { Doubt::Acked } else { Doubt::Unacked }
    }

    /// Its last run was refused for the time being.
    pub(super) fn refused_last(&self) -> bool {
        self.refusals > 0 && self.refused_at >= self.run
    }

    /// Refused for the time being; each run counts once, also where its records are read twice.
    fn refused(&mut self, at: Wall) {
        if self.refusals == 0 || at >= self.run && self.refused_at < self.run {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.refused_at = self.refused_at.max(at);
    }

    /// The first part that makes delivery of the whole impossible: its code and whether a receipt said so.
    fn death(&self) -> Option<(Text<'_>, Evidence)> {
        self.parts.iter().find_map(|p| match &p.state {
            PartState::Receipted(state, code) if *state != ReceiptState::Delivered => {
                Some((code.into(), Evidence::Receipt))
            }
            PartState::Refused(_, code) => Some((code.into(), Evidence::Answer)),
            PartState::Unanswered(Doubt::Unsent) => Some((Text::default(), Evidence::None)),
            _ => None,
        })
    }
}

/// Both in a row, and where the reference begins, if there is one.
fn words(to: &str, client_ref: Option<&str>) -> (Words, Option<u16>) {
    (Short::joined(to, client_ref.unwrap_or_default()), client_ref.and_then(|_| u16::try_from(to.len()).ok()))
}

/// That of event `seq`; none beyond the eighth.
fn bit(seq: u32) -> u8 {
    1u8.checked_shl(seq.saturating_sub(1)).unwrap_or(0)
}

impl Detail {
    /// Nothing but what its accepted record says.
    pub fn new(to: &str, client_ref: Option<&str>) -> Self {
        let (words, client_ref) = words(to, client_ref);
        Detail { words, client_ref, tail: tail(to), ..Detail::default() }
    }

    /// Destination, E.164.
    pub fn to(&self) -> &str {
        self.addressed().0.as_str()
    }

    /// Destination, E.164, and the app's reference.
    pub fn addressed(&self) -> (Text<'_>, Option<Text<'_>>) {
        let words = Text::from(&self.words);
        let apart = self.client_ref.and_then(|at| words.split_at(at.into()));
        apart.map_or((words, None), |(to, client_ref)| (to, Some(client_ref)))
    }

    /// Its last digits.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Its accepted record says that.
    pub fn is_of(&mut self, to: &str, client_ref: Option<&str>) {
        (self.words, self.client_ref) = words(to, client_ref);
        self.tail = tail(to);
    }

    /// The destination's digits; 0 where it has others.
    pub fn number(&self) -> u64 {
        let words = self.words.octets();
        let to = self.client_ref.and_then(|at| words.get(..usize::from(at))).unwrap_or(words);
        let digits = to.strip_prefix(b"+").unwrap_or(to).iter();
        let number = digits.map(|digit| char::from(*digit).to_digit(10)).try_fold(0u64, |number, digit| {
            let above = number.checked_mul(10)?;
            above.checked_add(u64::from(digit?))
        });
        number.unwrap_or(0)
    }

    /// The attempt of that reference.
    pub fn attempt(&mut self, attempt: AttemptRef) -> Option<&mut AttemptState> {
        self.attempts.iter_mut().rev().find(|a| a.attempt == attempt)
    }

    /// The part that a channel's carrier gave that id. Of several, for carriers give ids again, one that has no receipt
    /// yet, of the last attempt.
    pub fn part_of(&self, channel: ChannelId, id: &CarrierId) -> Option<(AttemptRef, u8)> {
        let attempts = self.attempts.iter().rev().filter(|attempt| attempt.channel == channel);
        let parts =
            attempts.flat_map(|attempt| (0..=u8::MAX).zip(&attempt.parts).map(move |(at, part)| (attempt, at, part)));
        let mut given = parts.filter(|(.., part)| part.id.as_ref() == Some(id));
        let is_receipted = |(.., part): &(_, _, &Part)| matches!(part.state, PartState::Receipted(..));
        let first = given.next()?;
        let (attempt, at, _) =
            if is_receipted(&first) { given.find(|one| !is_receipted(one)).unwrap_or(first) } else { first };
        Some((attempt.attempt, at))
    }

    /// One part of an attempt.
    pub fn part(&mut self, attempt: AttemptRef, part: u8) -> Option<&mut Part> {
        self.attempt(attempt)?.parts.get_mut(usize::from(part))
    }

    /// An attempt starts, or goes on with the parts named by `only`: those are open again.
    pub fn started(&mut self, attempt: AttemptRef, channel: ChannelId, at: Wall, parts: u8, only: u64) {
        if self.attempt(attempt).is_none() && self.done {
            self.supersede();
        }
        let Some(again) = self.attempt(attempt) else {
            return self.attempts.push(AttemptState::new(attempt, channel, at, parts));
        };
        again.run = again.run.max(at);
        for (i, part) in again.parts.iter_mut().enumerate().take(64) {
            let passing = |verdict| matches!(verdict, Verdict::Throttled | Verdict::Retry);
            let retried = match part.state {
                PartState::Refused(verdict, _) => passing(verdict),
                PartState::Unanswered(_) => true,
                PartState::Open | PartState::Submitted | PartState::Receipted(..) => false,
            };
            if only >> i & 1 == 1 && retried {
                part.state = PartState::Open;
            }
        }
    }

    /// Why an attempt went where it did; its first reason stays, whatever parts follow.
    pub fn because(&mut self, attempt: AttemptRef, why: Why) {
        if let Some(attempt) = self.attempt(attempt).filter(|attempt| attempt.why.reason == Reason::Unknown) {
            attempt.why = why;
        }
    }

    /// A part ended on the wire. A receipt that came first proves more than the missing answer.
    pub fn answered(&mut self, attempt: AttemptRef, part: u8, at: Wall, answer: &AnswerKind<'_>) {
        let Some(state) = self.attempt(attempt) else { return };
        let Some(slot) = state.parts.get_mut(usize::from(part)) else { return };
        if let AnswerKind::Submitted(Some(id)) = answer {
            slot.id = Some(id.clone());
            // Links answer once: what follows their "no answer" is a receipt's word.
            slot.guessed |= matches!(slot.state, PartState::Unanswered(Doubt::Unacked | Doubt::Acked));
        }
        (slot.answered, slot.early) = (at, false);
        let passing = matches!(answer, AnswerKind::Refused(Verdict::Retry, _));
        let proven = matches!(slot.state, PartState::Submitted) && matches!(answer, AnswerKind::Unanswered(_));
        if !proven && !matches!(slot.state, PartState::Receipted(..)) {
            slot.at = at;
            slot.state = match answer {
                AnswerKind::Submitted(_) => PartState::Submitted,
                AnswerKind::Refused(verdict, code) => PartState::Refused(*verdict, (*code).into()),
                AnswerKind::Unanswered(doubt) => PartState::Unanswered(*doubt),
            };
        }
        if passing {
            state.refused(at);
        }
        self.done |= state.submitted() && !state.superseded;
    }

    /// The message goes on to other channels; what the attempts there were do not end it, unless they deliver.
    pub fn supersede(&mut self) {
        self.done = false;
        for attempt in &mut self.attempts {
            attempt.superseded = true;
        }
    }

    /// Attempts of which a carrier has the whole message, as far as is known: two make a duplicate.
    pub fn copies(&self) -> usize {
        self.attempts.iter().filter(|a| a.copy()).count()
    }

    /// A receipt came. Any one proves that the carrier has the part; only a final one ends it, and delivered is never
    /// undone. Whether it is the part's first final one.
    pub fn receipted(
        &mut self,
        attempt: AttemptRef,
        part: u8,
        at: Wall,
        receipt: ReceiptState,
        code: Text<'_>,
    ) -> bool {
        let Some(state) = self.attempt(attempt) else { return false };
        let Some(slot) = state.parts.get_mut(usize::from(part)) else { return false };
        let first = receipt.is_final() && !matches!(slot.state, PartState::Receipted(..));
        slot.early |= slot.state == PartState::Open;
        let delivered = matches!(slot.state, PartState::Receipted(ReceiptState::Delivered, _));
        if receipt.is_final() && !delivered {
            slot.at = at;
            slot.state = PartState::Receipted(receipt, code.into());
        } else if matches!(slot.state, PartState::Open | PartState::Unanswered(_)) {
            slot.state = PartState::Submitted;
        }
        self.done |= state.submitted() && !state.superseded;
        first
    }

    /// The outcome, as it stands.
    pub fn outcome(&self) -> Option<&Concluded> {
        self.outcomes.last()
    }

    /// Takes an outcome if it may follow the earlier ones; its event's number. Reading one twice changes nothing.
    pub fn take(&mut self, concluded: Concluded) -> Option<u32> {
        if self.outcome().is_some_and(|earlier| !concluded.corrects(earlier)) {
            return None;
        }
        self.done = true;
        self.outcomes.push(concluded);
        Some(self.seq())
    }

    /// Number of the last event.
    pub fn seq(&self) -> u32 {
        // Outcomes only move up, so there are three at most.
        self.outcomes.len() as u32
    }

    /// The record of outcome `seq` is on disk.
    pub fn reached_disk(&mut self, seq: u32) {
        self.on_disk = u8::try_from(seq).unwrap_or(u8::MAX);
    }

    /// Whether outcome `seq` may be written: a correction follows what it corrects, and numbers are counted in records.
    pub fn may_be_written(&self, seq: u32) -> bool {
        seq == u32::from(self.on_disk) + 1
    }

    /// Event `seq` needs no telling any more.
    pub fn told(&mut self, seq: u32) {
        self.told |= bit(seq);
    }

    /// Nobody wants event `seq`, the last one: it needs no telling any more, which is not written down.
    pub fn unwanted(&mut self, seq: u32) {
        self.told(seq);
        self.unsaid |= bit(seq);
    }

    /// Numbers of the events that nobody wanted, of which no record says so; one will now.
    pub fn take_unsaid(&mut self) -> impl Iterator<Item = u32> + use<> {
        let unsaid = std::mem::take(&mut self.unsaid);
        (1..=u8::BITS).filter(move |seq| unsaid >> (seq - 1) & 1 == 1)
    }

    /// Numbers of the events that are still to be told.
    pub fn untold(&self) -> impl Iterator<Item = u32> + use<> {
        let told = self.told;
        (1..=self.seq()).filter(move |seq| told >> (seq - 1) & 1 == 0)
    }

    /// Concluded, told (bit n - 1 of `told` is event n), and nothing of it open on the wire.
    pub fn over(&self) -> bool {
        let events = 1u8.checked_shl(self.seq()).map_or(u8::MAX, |next| next - 1);
        events != 0 && events & !self.told == 0 && !self.attempts.iter().any(AttemptState::open)
    }

    /// What can be concluded now, if anything. `receipts(channel)` says whether its carrier sends receipts.
    pub fn conclude(&self, at: Wall, receipts: impl Fn(ChannelId) -> bool) -> Option<Concluded> {
        for attempt in &self.attempts {
            let taken = !receipts(attempt.channel) && attempt.submitted() && attempt.death().is_none();
            if attempt.delivered() || taken {
                let evidence = if attempt.delivered() { Evidence::Receipt } else { Evidence::Answer };
                let code = match attempt.parts.last().map(|p| &p.state) {
                    Some(PartState::Receipted(_, code)) => code.clone(),
                    _ => Code::default(),
                };
                let (kind, channel) = (OutcomeKind::Delivered, Some(attempt.channel));
                return Some(Concluded { kind, reason: "delivered", code, evidence, channel, at });
            }
        }
        let hopeful = self.end != Some(End::Poison) && self.attempts.iter().any(|a| !a.dead());
        if !self.done || hopeful {
            return None;
        }
        // What a carrier has had and not delivered failed for that, not for what then found no other way.
        let had = self.attempts.iter().rev().find(|a| a.superseded && a.receipted());
        let (kind, reason, last) = match (self.end, had) {
            (None, _) => (OutcomeKind::Failed, "undelivered", self.attempts.last()),
            (Some(End::NoChannel | End::Attempts | End::Expired), Some(had)) => {
                (OutcomeKind::Failed, "undelivered", Some(had))
            }
            (Some(end), _) => {
                let (kind, reason) = ended(end);
                (kind, reason, self.attempts.last())
            }
        };
        let (code, evidence) = last.and_then(AttemptState::death).unwrap_or((Text::default(), Evidence::None));
        Some(Concluded { kind, reason, code: code.into(), evidence, channel: last.map(|a| a.channel), at })
    }

    /// The outcome when the wait for receipts is over: of the attempts that are not dead, did a carrier have one whole?
    pub fn give_up(&self, at: Wall) -> Concluded {
        let mut hopeful = self.attempts.iter().rev().filter(|a| a.death().is_none());
        let reason = if hopeful.clone().any(AttemptState::submitted) { "no_receipt" } else { "in_doubt" };
        let channel = hopeful.next().or(self.attempts.last()).map(|a| a.channel);
        let kind = OutcomeKind::Expired;
        Concluded { kind, reason, code: Code::default(), evidence: Evidence::None, channel, at }
    }
}

/// What the switch's reason for stopping means for a message that nothing can deliver any more.
fn ended(end: End) -> (OutcomeKind, &'static str) {
    match end {
        End::Expired => (OutcomeKind::Expired, "validity"),
        End::Operator => (OutcomeKind::Expired, "operator"),
        End::InDoubt => (OutcomeKind::Expired, "in_doubt"),
        End::Rejected => (OutcomeKind::Failed, "rejected"),
        End::Attempts => (OutcomeKind::Failed, "attempts"),
        End::NoChannel => (OutcomeKind::Failed, "no_channel"),
        End::BodyLost => (OutcomeKind::Failed, "damaged"),
        End::Poison => (OutcomeKind::Failed, "poison"),
    }
}

/// The static form of a reason read back from a record; unknown ones (a newer version's) become `other`.
pub fn reason(text: &str) -> &'static str {
    const KNOWN: [&str; 12] = [
        "delivered",
        "undelivered",
        "validity",
        "operator",
        "in_doubt",
        "no_receipt",
        "rejected",
        "attempts",
        "no_channel",
        "damaged",
        "cancelled",
        "poison",
    ];
    KNOWN.iter().find(|k| **k == text).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ChannelId = ChannelId(0);
    const B: ChannelId = ChannelId(1);

    fn receipt(state: ReceiptState) -> PartState {
        PartState::Receipted(state, "code".into())
    }

    fn detail(attempts: Vec<(ChannelId, Vec<PartState>)>, done: bool) -> Detail {
        let part = |state| Part { id: None, answered: Wall(0), at: Wall(0), early: false, state, guessed: false };
        let attempts = attempts.into_iter().enumerate().map(|(i, (channel, parts))| AttemptState {
            attempt: AttemptRef(i as u64),
            channel,
            at: Wall(0),
            why: Why::default(),
            parts: parts.into_iter().map(part).collect(),
            ..AttemptState::new(AttemptRef(0), channel, Wall(0), 0)
        });
        Detail { attempts: attempts.collect(), done, ..Detail::default() }
    }

    fn kind(detail: &Detail) -> Option<OutcomeKind> {
        detail.conclude(Wall(1), |_| true).map(|c| c.kind)
    }

    #[test]
    fn delivered_needs_all_parts_of_one_attempt() {
        use ReceiptState::Delivered;
        let split = detail(
            vec![
                (A, vec![receipt(Delivered), PartState::Unanswered(Doubt::Acked)]),
                (B, vec![PartState::Submitted, receipt(Delivered)]),
            ],
            true,
        );
        assert_eq!(kind(&split), None, "two halves of different attempts are no message");
        let whole = detail(vec![(A, vec![receipt(Delivered), receipt(Delivered)])], true);
        assert_eq!(kind(&whole), Some(OutcomeKind::Delivered));
    }

    #[test]
    fn a_number_is_the_destinations_digits_and_nothing_of_the_reference() {
        for client_ref in [None, Some("7"), Some("")] {
            assert_eq!(Detail::new("+8613800138000", client_ref).number(), 8_613_800_138_000);
            assert_eq!(Detail::new("13800138000", client_ref).number(), 13_800_138_000);
            for none in ["", "+", "+86x", "+99999999999999999999999"] {
                assert_eq!(Detail::new(none, client_ref).number(), 0, "{none}");
            }
        }
    }

    #[test]
    fn failed_waits_until_no_attempt_can_deliver() {
        use ReceiptState::Failed;
        let doubtful = detail(vec![(A, vec![PartState::Unanswered(Doubt::Acked)]), (B, vec![receipt(Failed)])], true);
        assert_eq!(kind(&doubtful), None, "the attempt in doubt may still deliver");
        let retrying = detail(vec![(A, vec![PartState::Refused(Verdict::Retry, "x".into())])], false);
        assert_eq!(kind(&retrying), None, "the switch will try again");
        let dead = detail(vec![(A, vec![receipt(Failed), PartState::Submitted])], true);
        assert_eq!(kind(&dead), Some(OutcomeKind::Failed), "one dead part kills the attempt");
    }

    #[test]
    fn a_channel_without_receipts_delivers_by_answer() {
        let taken = detail(vec![(A, vec![PartState::Submitted])], true);
        let concluded = taken.conclude(Wall(1), |_| false).unwrap();
        assert_eq!((concluded.kind, concluded.evidence), (OutcomeKind::Delivered, Evidence::Answer));
        assert_eq!(kind(&taken), None);
    }

    #[test]
    fn the_reason_for_stopping_decides_what_nothing_delivered() {
        let mut expired = detail(vec![], true);
        expired.end = Some(End::Expired);
        assert_eq!(kind(&expired), Some(OutcomeKind::Expired));
        let mut rejected = detail(vec![(A, vec![PartState::Refused(Verdict::Rejected, "0x0B".into())])], true);
        rejected.end = Some(End::Rejected);
        let concluded = rejected.conclude(Wall(1), |_| true).unwrap();
        assert_eq!((concluded.kind, &*concluded.code), (OutcomeKind::Failed, "0x0B"));
    }

    #[test]
    fn outcomes_only_move_up() {
        let of = |kind| Concluded {
            kind,
            reason: "",
            code: Code::default(),
            evidence: Evidence::None,
            channel: None,
            at: Wall(0),
        };
        use OutcomeKind::{Delivered, Expired, Failed};
        for (later, earlier, corrects) in [
            (Delivered, Failed, true),
            (Delivered, Expired, true),
            (Failed, Expired, true),
            (Failed, Delivered, false),
            (Expired, Failed, false),
            (Delivered, Delivered, false),
        ] {
            assert_eq!(of(later).corrects(&of(earlier)), corrects, "{later:?} after {earlier:?}");
        }
    }

    #[test]
    fn a_wait_that_ends_says_what_was_missing() {
        let refused_later = vec![
            (A, vec![PartState::Unanswered(Doubt::Acked)]),
            (B, vec![PartState::Refused(Verdict::Rejected, "x".into())]),
        ];
        let concluded = detail(refused_later, true).give_up(Wall(0));
        assert_eq!((concluded.reason, concluded.channel), ("in_doubt", Some(A)), "the attempt that may have arrived");
        assert_eq!(detail(vec![(A, vec![PartState::Submitted])], true).give_up(Wall(0)).reason, "no_receipt");
        assert_eq!(
            detail(vec![(A, vec![PartState::Unanswered(Doubt::Acked)])], true).give_up(Wall(0)).reason,
            "in_doubt"
        );
    }
}
