//! What is known of one message after it was accepted, and the rule that turns it into an outcome.
//! Delivered when all parts of any one attempt are delivered; failed only when no attempt can still deliver.

use carriers::{AttemptRef, CarrierId, Doubt, ReceiptState, Verdict};

use crate::clock::{Time, Wall};
use crate::config::plan::{AppId, ChannelId, GroupId, TierId};
use crate::journal::At;
use crate::journal::record::{Evidence, OutcomeKind};
use crate::switch::End;

/// A message that has not been forgotten. Waiting ones hold nothing but this: their bodies are on disk.
#[derive(Debug)]
pub struct Live {
    /// Where its accepted record is.
    pub at: At,
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
    /// End of validity.
    pub expires: Time,
    /// When it was accepted.
    pub accepted: Time,
    /// Present from the first attempt or the outcome on.
    pub detail: Option<Box<Detail>>,
}

/// What attempts and receipts have added.
#[derive(Debug, Default)]
pub struct Detail {
    /// Destination, E.164.
    pub to: Box<str>,
    /// The app's reference.
    pub client_ref: Option<Box<str>>,
    /// Attempts in order.
    pub attempts: Vec<AttemptState>,
    /// The switch has nothing more to do for it.
    pub done: bool,
    /// Why it stopped, where it gave up.
    pub end: Option<End>,
    /// The outcome, once there is one.
    pub outcome: Option<Concluded>,
    /// Events made so far.
    pub seq: u32,
    /// Events not yet taken by the endpoint.
    pub untold: u32,
    /// Handed to the store.
    pub stored: bool,
    /// When the wait for receipts ends; set while waiting.
    pub wait: Option<Time>,
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
    /// Its parts.
    pub parts: Vec<Part>,
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
    /// Where it stands.
    pub state: PartState,
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
    Refused(Verdict, Box<str>),
    /// A final receipt came.
    Receipted(ReceiptState, Box<str>),
}

/// A message's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concluded {
    /// Which.
    pub kind: OutcomeKind,
    /// Why.
    pub reason: &'static str,
    /// The deciding carrier's code.
    pub code: Box<str>,
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
            parts: vec![Part { id: None, answered: at, at, state: PartState::Open }; usize::from(parts)],
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

    /// Some part is in doubt.
    pub fn in_doubt(&self) -> bool {
        let open = |p: &Part| matches!(p.state, PartState::Open | PartState::Unanswered(Doubt::Unacked | Doubt::Acked));
        self.parts.iter().any(open)
    }

    /// The first part that makes delivery of the whole impossible: its code and whether a receipt said so.
    fn death(&self) -> Option<(&str, Evidence)> {
        self.parts.iter().find_map(|p| match &p.state {
            PartState::Receipted(state, code) if *state != ReceiptState::Delivered => {
                Some((&**code, Evidence::Receipt))
            }
            PartState::Refused(_, code) => Some((&**code, Evidence::Answer)),
            PartState::Unanswered(Doubt::Unsent) => Some(("", Evidence::None)),
            _ => None,
        })
    }
}

impl Detail {
    /// The attempt of that reference.
    pub fn attempt(&mut self, attempt: AttemptRef) -> Option<&mut AttemptState> {
        self.attempts.iter_mut().rev().find(|a| a.attempt == attempt)
    }

    /// What can be concluded now, if anything. `receipts(channel)` says whether its carrier sends receipts.
    pub fn conclude(&self, at: Wall, receipts: impl Fn(ChannelId) -> bool) -> Option<Concluded> {
        for attempt in &self.attempts {
            let taken = !receipts(attempt.channel) && attempt.submitted() && attempt.death().is_none();
            if attempt.delivered() || taken {
                let evidence = if attempt.delivered() { Evidence::Receipt } else { Evidence::Answer };
                let code = match attempt.parts.last().map(|p| &p.state) {
                    Some(PartState::Receipted(_, code)) => code.clone(),
                    _ => Box::default(),
                };
                let (kind, channel) = (OutcomeKind::Delivered, Some(attempt.channel));
                return Some(Concluded { kind, reason: "delivered", code, evidence, channel, at });
            }
        }
        if !self.done || self.attempts.iter().any(|a| a.death().is_none()) {
            return None;
        }
        let (kind, reason) = match self.end {
            Some(end) => ended(end),
            None => (OutcomeKind::Failed, "undelivered"),
        };
        let last = self.attempts.last();
        let (code, evidence) = last.and_then(AttemptState::death).unwrap_or(("", Evidence::None));
        Some(Concluded { kind, reason, code: code.into(), evidence, channel: last.map(|a| a.channel), at })
    }

    /// The outcome when the wait for receipts is over.
    pub fn give_up(&self, at: Wall) -> Concluded {
        let reason = if self.attempts.last().is_some_and(AttemptState::in_doubt) { "in_doubt" } else { "no_receipt" };
        let channel = self.attempts.last().map(|a| a.channel);
        let kind = OutcomeKind::Expired;
        Concluded { kind, reason, code: Box::default(), evidence: Evidence::None, channel, at }
    }
}

/// What the switch's reason for stopping means for a message that nothing can deliver any more.
fn ended(end: End) -> (OutcomeKind, &'static str) {
    match end {
        End::Expired => (OutcomeKind::Expired, "validity"),
        End::InDoubt => (OutcomeKind::Expired, "in_doubt"),
        End::Rejected => (OutcomeKind::Failed, "rejected"),
        End::Attempts => (OutcomeKind::Failed, "attempts"),
        End::NoChannel => (OutcomeKind::Failed, "no_channel"),
        End::BodyLost => (OutcomeKind::Failed, "damaged"),
    }
}

/// The static form of a reason read back from a record; unknown ones (a newer version's) become `other`.
pub fn reason(text: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "delivered",
        "undelivered",
        "validity",
        "in_doubt",
        "no_receipt",
        "rejected",
        "attempts",
        "no_channel",
        "damaged",
        "cancelled",
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
        let attempts = attempts.into_iter().enumerate().map(|(i, (channel, parts))| AttemptState {
            attempt: AttemptRef(i as u64),
            channel,
            at: Wall(0),
            parts: parts.into_iter().map(|state| Part { id: None, answered: Wall(0), at: Wall(0), state }).collect(),
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
            code: Box::default(),
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
        assert_eq!(detail(vec![(A, vec![PartState::Submitted])], true).give_up(Wall(0)).reason, "no_receipt");
        assert_eq!(
            detail(vec![(A, vec![PartState::Unanswered(Doubt::Acked)])], true).give_up(Wall(0)).reason,
            "in_doubt"
        );
    }
}
