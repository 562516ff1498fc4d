//! One attempt: which parts are open, how they ended, and what that means for the message.

use carriers::{AttemptRef, Doubt, Ticket, Verdict};

use super::Answer;
use super::lane::Pending;
use crate::clock::Time;
use crate::config::plan::ChannelId;

/// Most parts a message may have: one bit each.
pub(super) const MOST_PARTS: u8 = 64;

/// The lowest `n` bits of `set`.
fn lowest(set: u64, n: u8) -> u64 {
    let mut rest = set;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    set & !rest
}

/// How a part ended, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PartEnd {
    Submitted,
    Unsent,
    Throttled,
    Unacked,
    Acked,
    Retry,
    Elsewhere,
    Rejected,
}

impl PartEnd {
    fn of(answer: &Answer) -> PartEnd {
        match answer {
            Answer::Submitted => PartEnd::Submitted,
            Answer::Unanswered(Doubt::Unsent) => PartEnd::Unsent,
            Answer::Refused(Verdict::Throttled) => PartEnd::Throttled,
            Answer::Unanswered(Doubt::Unacked) => PartEnd::Unacked,
            Answer::Unanswered(Doubt::Acked) => PartEnd::Acked,
            Answer::Refused(Verdict::Retry) => PartEnd::Retry,
            Answer::Refused(Verdict::Reroute | Verdict::LinkFault) => PartEnd::Elsewhere,
            Answer::Refused(Verdict::Rejected) => PartEnd::Rejected,
        }
    }
}

/// What an attempt's end means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The carrier has all of it.
    Submitted,
    /// Refused for good.
    Rejected,
    /// Not on this channel.
    Elsewhere,
    /// A passing refusal: one attempt used.
    Refused,
    /// Nothing of it is there: again at once, no attempt used.
    Again,
    /// The carrier has some parts, and these are certainly missing; `refused`: one attempt used.
    Missing { parts: u64, refused: bool },
    /// Some parts may be there or not, the others are.
    /// `mixed`: of both classes; `worst` is then [`Doubt::Acked`].
    Doubt { worst: Doubt, mixed: bool },
}

/// An attempt, from its start until its last slot is free.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptRef,
    pub(super) pending: Pending,
    pub(super) channel: ChannelId,
    /// The link's index in the channel.
    pub(super) link: u16,
    /// When its slots and pace were taken.
    pub(super) taken: Time,
    /// When its parts were handed over.
    pub(super) sent: Time,
    /// Its message goes on without waiting for its end.
    pub(super) superseded: bool,
    /// Whether it was handed over.
    started: bool,
    /// Parts of this run: handed over, or reserved before that.
    run: u64,
    /// Those without an end.
    open: u64,
    /// Parts whose slot is taken.
    slots: u64,
    /// Parts the carrier has.
    submitted: u64,
    /// Parts that are certainly not there but may go again: throttled, refused for now, or never sent.
    missing: u64,
    worst: PartEnd,
    /// The worst doubt of any part.
    pub(super) doubt: Option<Doubt>,
    /// Parts are in doubt of both classes.
    mixed: bool,
    /// Nothing else is in flight on its link.
    pub(super) alone: bool,
    /// Nothing may follow.
    pub(super) concluded: bool,
    /// The carrier has all of it, and its message is followed no further: only slots are left.
    pub(super) done: bool,
}

impl Attempt {
    /// A new attempt whose slots and pace were just taken.
    pub(super) fn new(id: AttemptRef, pending: Pending, channel: ChannelId, link: u16, taken: Time) -> Attempt {
        let parts = lowest(u64::MAX, pending.entry.parts);
        Attempt {
            id,
            pending,
            channel,
            link,
            taken,
            sent: taken,
            superseded: false,
            started: false,
            run: parts,
            open: parts,
            slots: parts,
            submitted: 0,
            missing: 0,
            worst: PartEnd::Submitted,
            doubt: None,
            mixed: false,
            alone: false,
            concluded: false,
            done: false,
        }
    }

    /// Goes on with the parts that are missing. Returns them.
    pub(super) fn resume(&mut self, link: u16, taken: Time) -> u64 {
        let only = std::mem::take(&mut self.missing);
        self.link = link;
        self.taken = taken;
        self.started = false;
        self.run = only;
        self.open = only;
        self.slots = only;
        self.worst = PartEnd::Submitted;
        only
    }

    /// Handed over as `parts` parts. Returns how many of those reserved are not needed.
    pub(super) fn started(&mut self, parts: u8) -> u8 {
        if self.started {
            return 0;
        }
        self.started = true;
        let unneeded = self.run & !lowest(self.run, parts);
        self.run &= !unneeded;
        self.open &= !unneeded;
        let back = unneeded & self.slots;
        self.slots &= !unneeded;
        back.count_ones() as u8
    }

    /// A part's end on the wire; false if the part is not open.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: &Answer) -> bool {
        let bit = bit(ticket);
        if self.open & bit == 0 {
            return false;
        }
        self.open &= !bit;
        let end = PartEnd::of(answer);
        self.worst = self.worst.max(end);
        match end {
            PartEnd::Submitted => self.submitted |= bit,
            PartEnd::Unsent | PartEnd::Throttled | PartEnd::Retry => self.missing |= bit,
            PartEnd::Unacked => self.in_doubt(Doubt::Unacked),
            PartEnd::Acked => self.in_doubt(Doubt::Acked),
            PartEnd::Elsewhere | PartEnd::Rejected => {}
        }
        true
    }

    fn in_doubt(&mut self, doubt: Doubt) {
        self.mixed |= self.doubt.is_some_and(|other| other != doubt);
        self.doubt = self.doubt.max(Some(doubt));
    }

    /// A part's slot is free; false if it was not taken.
    pub(super) fn freed(&mut self, ticket: Ticket) -> bool {
        let bit = bit(ticket);
        let taken = self.slots & bit != 0;
        self.slots &= !bit;
        taken
    }

    /// Its link is down, and its slots are gone. What became of open parts the link says itself, also of those that came
    /// too late for it and never left.
    pub(super) fn link_down(&mut self) {
        self.slots = 0;
    }

    /// Its link has ended and says nothing more: parts that were handed over and have no answer will get none.
    pub(super) fn link_gone(&mut self) {
        self.slots = 0;
        if self.started && self.open != 0 {
            self.open = 0;
            self.worst = self.worst.max(PartEnd::Acked);
            self.in_doubt(Doubt::Acked);
        }
    }

    /// Whether it was handed over.
    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Parts of this run.
    pub(super) fn reserved(&self) -> u8 {
        self.run.count_ones() as u8
    }

    /// Whether it was handed over and parts of it have no answer yet, while none was refused in a way that matters more.
    pub(super) fn waits(&self) -> bool {
        self.started && self.open != 0 && self.worst <= PartEnd::Acked
    }

    /// Parts handed over that have no answer yet.
    pub(super) fn open_parts(&self) -> u32 {
        self.open.count_ones()
    }

    /// Whether the slots of all its parts are taken.
    pub(super) fn holds_all(&self) -> bool {
        self.slots == self.run
    }

    /// Whether all its slots are free.
    pub(super) fn is_free(&self) -> bool {
        self.slots == 0
    }

    /// Slots it holds.
    pub(super) fn slots(&self) -> u32 {
        self.slots.count_ones()
    }

    /// Whether the carrier has some parts already.
    pub(super) fn is_partial(&self) -> bool {
        self.submitted != 0
    }

    /// Parts to send when it goes on.
    pub(super) fn missing_parts(&self) -> u8 {
        self.missing.count_ones() as u8
    }

    /// What could not be handed over is still missing.
    pub(super) fn not_started(&mut self) {
        self.missing |= self.run;
        self.open = 0;
        self.slots = 0;
    }

    /// Whether all its parts have ended: what that means, if anything yet, its outcome says.
    pub(super) fn has_ended(&self) -> bool {
        self.started && self.open == 0
    }

    /// What the end of all its parts means, once all have ended and those not taken have freed their slots; all
    /// slots where the attempt goes on (a part that goes again would otherwise meet its own earlier slot).
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if !self.started || self.open != 0 || self.slots & !self.submitted != 0 {
            return None;
        }
        Some(match self.worst {
            PartEnd::Submitted => Outcome::Submitted,
            PartEnd::Rejected => Outcome::Rejected,
            PartEnd::Elsewhere => Outcome::Elsewhere,
            // With another part in doubt, the missing ones alone would not make it whole.
            PartEnd::Retry if self.submitted == 0 || self.doubt.is_some() => Outcome::Refused,
            // Where a part is certainly missing, waiting for a receipt of the others helps nobody.
            PartEnd::Unacked | PartEnd::Acked if self.missing != 0 => Outcome::Again,
            PartEnd::Unacked => Outcome::Doubt { worst: Doubt::Unacked, mixed: false },
            PartEnd::Acked => Outcome::Doubt { worst: Doubt::Acked, mixed: self.mixed },
            PartEnd::Unsent | PartEnd::Throttled if self.submitted == 0 => Outcome::Again,
            PartEnd::Unsent | PartEnd::Throttled | PartEnd::Retry if self.slots != 0 => return None,
            end @ (PartEnd::Unsent | PartEnd::Throttled | PartEnd::Retry) => {
                Outcome::Missing { parts: self.missing, refused: end == PartEnd::Retry }
            }
        })
    }
}

/// The bit of a ticket's part; none beyond [`MOST_PARTS`].
fn bit(ticket: Ticket) -> u64 {
    1u64.checked_shl(u32::from(ticket.part())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{AppId, GroupId, TierId};
    use crate::ids::MessageId;
    use crate::switch::Message;

    fn attempt(parts: u8) -> Attempt {
        let message = Message {
            id: MessageId(1),
            app: AppId(0),
            group: GroupId(0),
            tier: TierId(0),
            parts,
            expires: Time(9_000_000),
            accepted: Time(0),
        };
        Attempt::new(AttemptRef(7), message.into(), ChannelId(0), 0, Time(0))
    }

    fn end(answers: &[Answer]) -> Option<Outcome> {
        let mut attempt = attempt(answers.len() as u8);
        attempt.started(answers.len() as u8);
        for (i, answer) in answers.iter().enumerate() {
            let ticket = Ticket::new(attempt.id, i as u8);
            assert!(attempt.answer(ticket, answer) && !attempt.answer(ticket, answer), "one end each");
            assert!(attempt.freed(ticket) && !attempt.freed(ticket));
        }
        attempt.outcome()
    }

    #[test]
    fn the_worst_part_decides() {
        use Answer::{Refused, Submitted, Unanswered};
        let missing = |parts, refused| Outcome::Missing { parts, refused };
        let doubt = |worst, mixed| Outcome::Doubt { worst, mixed };
        let table = [
            (vec![Submitted, Submitted], Outcome::Submitted),
            (vec![Submitted, Refused(Verdict::Rejected), Unanswered(Doubt::Acked)], Outcome::Rejected),
            (vec![Refused(Verdict::Reroute), Refused(Verdict::Retry)], Outcome::Elsewhere),
            (vec![Refused(Verdict::LinkFault), Submitted], Outcome::Elsewhere),
            (vec![Refused(Verdict::Retry), Unanswered(Doubt::Acked)], Outcome::Refused),
            (vec![Refused(Verdict::Throttled)], Outcome::Again),
            (vec![Submitted, Refused(Verdict::Throttled), Unanswered(Doubt::Unsent)], missing(0b110, false)),
            (vec![Refused(Verdict::Retry), Submitted, Refused(Verdict::Throttled)], missing(0b101, true)),
            (vec![Refused(Verdict::Retry), Submitted, Unanswered(Doubt::Unacked)], Outcome::Refused),
            (vec![Unanswered(Doubt::Unsent)], Outcome::Again),
            (vec![Submitted, Unanswered(Doubt::Unacked)], doubt(Doubt::Unacked, false)),
            (vec![Unanswered(Doubt::Unacked), Unanswered(Doubt::Acked)], doubt(Doubt::Acked, true)),
            (vec![Unanswered(Doubt::Acked), Submitted, Unanswered(Doubt::Acked)], doubt(Doubt::Acked, false)),
            (vec![Unanswered(Doubt::Acked), Unanswered(Doubt::Unsent)], Outcome::Again),
        ];
        for (answers, outcome) in table {
            assert_eq!(end(&answers), Some(outcome), "{answers:?}");
        }
    }

    #[test]
    fn answers_may_outrun_the_word_of_the_start() {
        let mut attempt = attempt(3);
        assert!(attempt.answer(Ticket::new(attempt.id, 0), &Answer::Submitted));
        assert!(attempt.freed(Ticket::new(attempt.id, 0)));
        assert_eq!(attempt.outcome(), None);
        assert_eq!(attempt.started(1), 2, "two reserved slots come back");
        assert_eq!((attempt.outcome(), attempt.slots()), (Some(Outcome::Submitted), 0));
        assert_eq!(attempt.started(1), 0, "once");
    }

    #[test]
    fn only_missing_parts_go_on() {
        let mut attempt = attempt(3);
        attempt.started(3);
        for (part, answer) in [(0, Answer::Refused(Verdict::Throttled)), (1, Answer::Submitted)] {
            attempt.answer(Ticket::new(attempt.id, part), &answer);
            attempt.freed(Ticket::new(attempt.id, part));
        }
        attempt.answer(Ticket::new(attempt.id, 2), &Answer::Refused(Verdict::Throttled));
        assert_eq!(attempt.outcome(), None, "its slot is not free yet");
        attempt.freed(Ticket::new(attempt.id, 2));
        assert_eq!(attempt.outcome(), Some(Outcome::Missing { parts: 0b101, refused: false }));
        assert_eq!(attempt.resume(0, Time(5)), 0b101);
        assert!(!attempt.answer(Ticket::new(attempt.id, 1), &Answer::Submitted), "part 1 is not open again");
        attempt.started(2);
        attempt.answer(Ticket::new(attempt.id, 0), &Answer::Submitted);
        attempt.answer(Ticket::new(attempt.id, 2), &Answer::Submitted);
        assert_eq!(attempt.outcome(), Some(Outcome::Submitted));
    }

    #[test]
    fn parts_beyond_the_mask_are_nobodys() {
        let mut attempt = attempt(64);
        assert!(attempt.answer(Ticket::new(attempt.id, 63), &Answer::Submitted));
        assert!(!attempt.answer(Ticket::new(attempt.id, 64), &Answer::Submitted));
        assert!(!attempt.answer(Ticket::new(attempt.id, 255), &Answer::Submitted));
    }
}
