//! When a message that a carrier has had goes to another channel after all: its receipt says that it was not delivered,
//! or none came, and the tier wants another try. What the switch must know for that is worked out from the message's
//! attempts alone, so that a restart comes to the same decision.

use std::time::Duration;

use carriers::{Doubt, ReceiptState, Verdict};

use super::state::{AttemptState, Detail, Live, PartState};
use super::{Books, Effect, Report, past};
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{ChannelId, TierId};
use crate::ids::MessageId;
use crate::switch::{Message, Recovered};

/// Validity that must be left: the switch starts nothing with less.
const LEAST_LEFT: Duration = Duration::from_secs(5);

/// A tier's rules for this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its index.
    pub tier: TierId,
    /// Most attempts, over all channels.
    pub attempts: u8,
    /// Whether a receipt that says "not delivered" moves it on.
    pub on_failed: bool,
    /// How long after the carrier took it a missing receipt moves it on.
    pub receipt_within: Option<Duration>,
}

/// Why a message goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its receipt says that it was not delivered.
    Undelivered,
    /// No receipt came in time.
    NoReceipt,
}

impl Why {
    /// The word in metrics and timelines.
    pub fn name(self) -> &'static str {
        match self {
            Why::Undelivered => "undelivered",
            Why::NoReceipt => "no_receipt",
        }
    }
}

/// Whether another channel may do better. What a carrier refuses after it took it, it refuses for number or text, as it
/// would have in its answer; everything else may be that carrier's own trouble.
pub fn moves_on(state: ReceiptState) -> bool {
    match state {
        ReceiptState::Failed | ReceiptState::Expired | ReceiptState::Deleted | ReceiptState::Unknown => true,
        ReceiptState::Delivered | ReceiptState::Intermediate | ReceiptState::Rejected => false,
    }
}

impl AttemptState {
    /// A receipt ended it, and none says that another channel would do no better.
    fn undelivered(&self) -> bool {
        let ends = || {
            self.parts.iter().filter_map(|part| match &part.state {
                PartState::Receipted(state, _) if *state != ReceiptState::Delivered => Some(*state),
                _ => None,
            })
        };
        ends().next().is_some() && ends().all(moves_on)
    }

    /// It counts as one of the tier's attempts, or more often where its rest was refused again and again.
    fn uses(&self) -> u8 {
        let reached = (self.in_doubt() || self.submitted()) && !self.refused_last();
        self.refusals.saturating_add(u8::from(reached))
    }

    /// A carrier has had some of it.
    fn taken(&self) -> bool {
        self.parts.iter().any(|p| matches!(p.state, PartState::Submitted | PartState::Receipted(..)))
    }

    fn has_refusal(&self, of: &[Verdict]) -> bool {
        self.parts.iter().any(|p| matches!(&p.state, PartState::Refused(verdict, _) if of.contains(verdict)))
    }

    /// Some of it may be on the handset, or get there: also where the receipt that says otherwise may be another
    /// message's to the same number.
    fn may_deliver(&self) -> bool {
        let may = |p: &super::state::Part| match &p.state {
            _ if p.guessed => true,
            PartState::Submitted | PartState::Open | PartState::Unanswered(Doubt::Unacked | Doubt::Acked) => true,
            PartState::Receipted(state, _) => *state == ReceiptState::Delivered,
            PartState::Unanswered(Doubt::Unsent) | PartState::Refused(..) => false,
        };
        self.parts.iter().any(may)
    }
}

impl Detail {
    /// Attempts used, as the switch counts them.
    pub(super) fn used(&self) -> u8 {
        self.attempts.iter().fold(0, |sum, a| sum.saturating_add(a.uses()))
    }

    /// The last attempt of which something left. The report forgets at once what was handed back whole; the journal does
    /// not.
    fn last_sent(&self) -> Option<&AttemptState> {
        self.attempts.iter().rev().find(|attempt| !attempt.unsent())
    }

    /// Why the message may go on to another channel now, if it may. Only what the switch is done with does, without
    /// having given it up.
    fn further(&self, now: Moment, rule: &Rule, margin: Duration) -> Option<Why> {
        let last = self.last_sent()?;
        let over = !self.done || self.end.is_some() || !self.outcomes.is_empty();
        if over || self.used() >= rule.attempts.max(1) || now.time.after(margin) >= self.expires {
            return None;
        }
        if rule.on_failed && self.attempts.iter().all(AttemptState::dead) {
            let mut told = self.attempts.iter().filter(|a| !a.superseded && a.receipted()).peekable();
            return (told.peek().is_some() && told.all(AttemptState::undelivered)).then_some(Why::Undelivered);
        }
        let late = self.overdue_at(now, rule).is_some_and(|due| due <= now.time);
        (late && !last.dead()).then_some(Why::NoReceipt)
    }

    /// When a missing receipt moves the message on.
    fn overdue_at(&self, now: Moment, rule: &Rule) -> Option<Time> {
        let within = u64::try_from(rule.receipt_within?.as_millis()).unwrap_or(u64::MAX);
        let last = self.last_sent().filter(|a| a.submitted() && !a.dead() && !a.delivered())?;
        let taken = last.parts.iter().map(|p| p.answered).max()?;
        Some(now.deadline(Wall(taken.0.saturating_add(within))).max(self.not_due_before))
    }
}

/// What the switch must know of any message.
pub(super) fn message(now: Moment, id: MessageId, live: &Live, expires: Time) -> Message {
    let Live { app, group, tier, reserve: parts, .. } = *live;
    Message { id, app, group, tier, parts, expires, accepted: past(now, id.wall()) }
}

/// What the switch must know of a message that goes on, or is found in the journal.
pub(super) fn recovered(now: Moment, id: MessageId, live: &Live, expires: Time) -> Recovered {
    let message = message(now, id, live, expires);
    let attempts = live.detail.as_deref().map_or(&[][..], |d| &d.attempts);
    let in_doubt = attempts.last().filter(|a| a.in_doubt() && !a.superseded).map(|a| (a.channel, a.doubt()));
    // The switch itself counts the last attempt if that is in doubt.
    let used = live.detail.as_deref().map_or(0, Detail::used).saturating_sub(u8::from(in_doubt.is_some()));
    let barred =
        attempts.iter().filter(|a| a.superseded && a.taken() || a.has_refusal(&[Verdict::Reroute, Verdict::LinkFault]));
    let excluded: Vec<ChannelId> = barred.map(|a| a.channel).collect();
    let doubtful = attempts.iter().any(AttemptState::may_deliver);
    Recovered { message, refused: used, excluded, in_doubt, doubtful }
}

impl Report {
    /// Takes the tiers' rules of a new plan.
    pub fn follow(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// Receipts that are overdue move their messages on.
    pub(super) fn overdue(&mut self, now: Moment) {
        while let Some((at, id)) = self.due.first().copied() {
            if at > now.time {
                break;
            }
            self.due.pop_first();
            let Some((live, mut books)) = self.open(MessageId(id)) else { continue };
            if let Some(detail) = live.detail.as_deref_mut() {
                detail.due = None;
            }
            books.go_on(now, MessageId(id), live);
        }
    }

    /// What the switch must know of a message that it has given up and that is to be tried elsewhere after all.
    pub fn again(&self, now: Moment, id: MessageId, expires: Time) -> Option<Recovered> {
        Some(recovered(now, id, self.live.get(&id.0)?, expires))
    }
}

impl Books<'_> {
    /// Sends a message on to another channel if it may; else looks again when a missing receipt would move it. Whether
    /// it goes on.
    pub(super) fn go_on(&mut self, now: Moment, id: MessageId, live: &mut Live) -> bool {
        let rule = self.rules.iter().find(|rule| rule.tier == live.tier).copied();
        let Some(rule) = rule.filter(|rule| rule.on_failed || rule.receipt_within.is_some()) else { return false };
        let Some(detail) = live.detail.as_deref_mut() else { return false };
        let margin = LEAST_LEFT.min(detail.expires.since(past(now, id.wall())) / 4);
        let Some(why) = detail.further(now, &rule, margin) else {
            self.expect(now, id, detail, &rule);
            return false;
        };
        let Some(channel) = detail.attempts.last().map(|a| a.channel) else { return false };
        detail.supersede();
        if std::mem::take(&mut detail.waiting) {
            self.waits.remove(detail.patience, id.0);
        }
        let (tier, expires) = (live.tier, detail.expires);
        let again = Box::new(recovered(now, id, live, expires));
        self.effects.push(Effect::Again(tier, channel, why, again));
        true
    }

    /// Looks at the message again when its receipt is overdue.
    fn expect(&mut self, now: Moment, id: MessageId, detail: &mut Detail, rule: &Rule) {
        let waits = detail.done && detail.end.is_none() && detail.outcomes.is_empty();
        // What is overdue already cannot go on, for another reason: that does not change with time.
        let due = detail.overdue_at(now, rule).filter(|due| waits && *due > now.time);
        if detail.due == due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut detail.due, due) {
            self.due.remove(&(old, id.0));
        }
        self.due.extend(due.map(|due| (due, id.0)));
    }
}
