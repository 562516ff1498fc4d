//! Messages that kill the sessions they are sent over. One that was the oldest unanswered when a session died, soon
//! after it was sent, is suspected; suspected twice, it is sent once more alone in flight on a link, and only a third
//! death convicts it. So whoever stands by chance at the head of a link that breaks is not blamed: a session that is young,
//! or has answered nobody yet, says nothing about the message it dies with. The states are in LIFECYCLE.md.

use std::time::Duration;

use carriers::Doubt;
use link::LinkId;

use super::attempt::Outcome;
use super::channel::{Offer, Usable};
use super::health::Use;
use super::lane::{Entry, LaneKey};
use super::machine::Switch;
use super::matching::{Chosen, Place};
use super::strategy::Ranked;
use super::why::{Reason, Why};
use super::{Command, End};
use crate::clock::Time;
use crate::config::plan::ChannelId;
use crate::few::Few;
use crate::ids::MessageId;

/// Suspicions after which a message is sent alone.
pub(super) const STRIKES: u8 = 2;
/// A death later than this after the send has nothing to do with the message; and how long a link serves one alone.
const SOON: Duration = Duration::from_secs(2);
/// A session must have lived that long, and answered somebody, before its death says anything.
const SOUND: Duration = Duration::from_secs(10);
/// A part that got no answer this long before the death had another reason.
const SAME_DEATH: Duration = Duration::from_millis(200);
/// How long a message waits for a sound link to be sent alone over; then it goes as others do.
const TRIAL_WAIT: Duration = Duration::from_secs(10);
/// How long a link that was set aside may take to finish what it has.
const DRAIN: Duration = Duration::from_secs(2);

/// One session, from its bind to its end.
#[derive(Clone, Copy, Debug)]
struct Session {
    up: Time,
    /// Its first answer to a submit.
    answered: Option<Time>,
    /// The oldest attempt that just lost its answer.
    lost: Option<Lost>,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    message: MessageId,
    /// When it was sent.
    sent: Time,
    /// When it was given up.
    at: Time,
    alone: bool,
}

/// A session's death that is one message's doing, as far as can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) message: MessageId,
    /// It was alone in flight.
    pub(super) alone: bool,
}

/// A message that is to be sent alone, or has been.
#[derive(Debug)]
struct Trial {
    message: MessageId,
    since: Time,
    /// The link set aside for it.
    link: Option<LinkId>,
    /// When the link is given back, or the wait for one ends.
    until: Time,
}

/// An attempt alone in flight that got no answer: was it the death of its session? What follows if not.
#[derive(Debug)]
pub(super) struct Held {
    message: MessageId,
    pub(super) channel: ChannelId,
    pub(super) doubt: Doubt,
    pub(super) outcome: Outcome,
}

/// Sessions and suspects.
#[derive(Debug, Default)]
pub(super) struct Poison {
    sessions: Few<LinkId, Session>,
    trials: Vec<Trial>,
    held: Vec<Held>,
}

impl Poison {
    /// A session begins.
    pub(super) fn up(&mut self, now: Time, link: LinkId) {
        self.sessions.insert(link, Session { up: now, answered: None, lost: None });
    }

    /// The link is to end: whatever happens to it now is our doing.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.sessions.remove(&link);
    }

    /// A submit was answered.
    pub(super) fn answered(&mut self, now: Time, link: LinkId) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.answered.get_or_insert(now);
        }
    }

    /// An attempt sent at `sent` will get no answer.
    pub(super) fn lost(&mut self, now: Time, link: LinkId, message: MessageId, sent: Time, alone: bool) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let earlier = session.lost.filter(|lost| now.since(lost.at) <= SAME_DEATH && lost.sent <= sent);
        if earlier.is_none() {
            session.lost = Some(Lost { message, sent, at: now, alone });
        }
    }

    /// A session ends. Whose doing was it?
    pub(super) fn down(&mut self, now: Time, link: LinkId) -> Option<Death> {
        let session = self.sessions.remove(&link)?;
        let Lost { message, sent, at, alone } = session.lost?;
        let soon = now.since(at) <= SAME_DEATH && now.since(sent) <= SOON;
        (soon && session.sound(sent)).then_some(Death { message, alone })
    }

    /// Whether a session's death would say anything about a message sent now.
    fn sound(&self, now: Time, link: LinkId) -> bool {
        self.sessions.get(&link).is_some_and(|session| session.sound(now))
    }

    /// The attempt alone in flight got no answer: its message waits so long for the word on its session.
    pub(super) fn hold(
        &mut self,
        message: MessageId,
        channel: ChannelId,
        doubt: Doubt,
        outcome: Outcome,
        sent: Time,
        now: Time,
    ) -> Option<Duration> {
        let soon = now.since(sent) <= SOON;
        soon.then(|| {
            self.held.push(Held { message, channel, doubt, outcome });
            SAME_DEATH
        })
    }

    /// Its session lives, or died too late: what follows.
    pub(super) fn reprieve(&mut self, message: MessageId) -> Option<Held> {
        let at = self.held.iter().position(|held| held.message == message)?;
        Some(self.held.swap_remove(at))
    }

    /// When a trial's time is over.
    pub(super) fn earliest(&self) -> Time {
        self.trials.iter().map(|trial| trial.until).min().unwrap_or(Time::NEVER)
    }

    /// Sizes of what must not grow: suspects.
    #[cfg(test)]
    pub(super) fn census(&self) -> [usize; 2] {
        [self.trials.len(), self.held.len()]
    }
}

impl Session {
    fn sound(&self, at: Time) -> bool {
        at >= self.up.after(SOUND) && self.answered.is_some_and(|answered| answered <= at)
    }
}

impl Switch {
    /// What is to be done with a message that is to be sent alone.
    pub(super) fn place_alone(&mut self, now: Time, lane: &LaneKey, entry: &Entry, ranked: &[Ranked]) -> Place {
        let known = self.poison.trials.iter().find(|trial| trial.message == entry.id).map(|t| (t.since, t.link));
        let (since, link) = known.unwrap_or_else(|| {
            let until = now.after(TRIAL_WAIT);
            self.poison.trials.push(Trial { message: entry.id, since: now, link: None, until });
            (now, None)
        });
        let over = since.after(TRIAL_WAIT);
        if now >= over {
            self.end_trial(entry.id);
            return Place::Join;
        }
        let Some(link) = link.or_else(|| self.set_aside(now, lane, entry, over, ranked)) else {
            return Place::Wait(over);
        };
        let until = self.poison.earliest();
        let id = ChannelId(link.channel);
        let channel = self.channels.get(&id).filter(|channel| channel.admits(lane.tier) && self.is_well(lane, id));
        // It may have moved to another group since, or its channel left the tier.
        let Some(at) = ranked.iter().position(|ranked| ranked.id == id) else { return Place::Wait(until) };
        match channel.map(|channel| channel.offer_alone(now, entry.parts)) {
            Some(Offer::Link(index)) => Place::Start(id, index, Chosen { at, why: Why::from(Reason::Alone) }),
            Some(Offer::At(ready)) => Place::Wait(ready.min(until)),
            Some(Offer::Full) | None => Place::Wait(until),
        }
    }

    /// Whether nothing is held against a channel: the death of a session that is ill anyway convicts nobody.
    fn is_well(&self, lane: &LaneKey, id: ChannelId) -> bool {
        self.watch.machines.usable(lane.group, id, self.ranks.rank(lane.tier) == 0) == Use::Full
    }

    /// Sets a sound link aside for the message, if there is one.
    fn set_aside(&mut self, now: Time, lane: &LaneKey, entry: &Entry, over: Time, ranked: &[Ranked]) -> Option<LinkId> {
        let sound = |id: ChannelId, least: usize| {
            let channel = self.channels.get(&id).filter(|channel| channel.admits(lane.tier))?;
            if channel.aside().is_some()
                || channel.usable(now, entry.parts) != Usable::Yes
                || !self.is_well(lane, id)
                || channel.fitting(entry.parts).count() < least
            {
                return None;
            }
            let mut links = channel.fitting(entry.parts).map(|link| LinkId { channel: id.0, link });
            links.find(|link| self.poison.sound(now, *link))
        };
        // A channel's only link is missed by everybody: another one first.
        let found = [2, 1].iter().find_map(|least| ranked.iter().find_map(|ranked| sound(ranked.id, *least)))?;
        self.channels.get_mut(&ChannelId(found.channel))?.set_aside(Some(found.link));
        let trial = self.poison.trials.iter_mut().find(|trial| trial.message == entry.id)?;
        (trial.link, trial.until) = (Some(found), now.after(DRAIN).min(over));
        Some(found)
    }

    /// It is in flight now, alone.
    pub(super) fn sent_alone(&mut self, now: Time, message: MessageId) {
        if let Some(trial) = self.poison.trials.iter_mut().find(|trial| trial.message == message) {
            trial.until = now.after(SOON);
        }
    }

    /// Its link is as the others again.
    pub(super) fn end_trial(&mut self, message: MessageId) {
        let Some(at) = self.poison.trials.iter().position(|trial| trial.message == message) else { return };
        let trial = self.poison.trials.swap_remove(at);
        self.give_back(trial.link);
    }

    fn give_back(&mut self, link: Option<LinkId>) {
        if let Some(link) = link
            && let Some(channel) = self.channels.get_mut(&ChannelId(link.channel))
            && channel.aside() == Some(link.link)
        {
            channel.set_aside(None);
        }
    }

    /// Links that were set aside long enough, or are gone, are as others again.
    pub(super) fn end_trials(&mut self, now: Time) {
        let mut kept = Vec::new();
        for mut trial in std::mem::take(&mut self.poison.trials) {
            if trial.until > now {
                kept.push(trial);
                continue;
            }
            self.give_back(trial.link.take());
            if let Some(attempt) = self.attempts.of_mut(trial.message) {
                // A death from here on is not its doing.
                attempt.alone = false;
                attempt.pending.acquit();
            } else if now < trial.since.after(TRIAL_WAIT) || self.lanes.head_of_trials(trial.message) {
                trial.until = trial.since.after(TRIAL_WAIT);
                kept.push(trial);
            }
        }
        self.poison.trials = kept;
    }

    /// A session died, and it may have been a message's doing.
    pub(super) fn strike(&mut self, death: Death, channel: ChannelId, out: &mut Vec<Command>) {
        let id = death.message;
        if death.alone {
            let held = self.poison.reprieve(id).is_some();
            if held && (self.later.remove(id).is_some() || self.lanes.remove(id).is_some()) {
                out.extend([Command::Quarantined(id, channel), Command::Exhausted(id, End::Poison)]);
            }
        } else if let Some(attempt) = self.attempts.of_mut(id) {
            attempt.pending.entry.strike();
        } else if let Some((at, mut pending)) = self.later.take(id) {
            pending.entry.strike();
            self.later.insert(at, pending);
        } else if let Some(mut pending) = self.lanes.remove(id) {
            pending.entry.strike();
            self.lanes.insert(pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId { channel: 0, link: 0 };

    fn at(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    /// A session bound at 0 that has answered.
    fn session() -> Poison {
        let mut poison = Poison::default();
        poison.up(at(0), LINK);
        poison.answered(at(1_000), LINK);
        poison
    }

    #[test]
    fn the_oldest_that_lost_its_answer_with_the_session_is_suspected() {
        let mut poison = session();
        poison.lost(at(20_000), LINK, MessageId(2), at(19_500), false);
        poison.lost(at(20_000), LINK, MessageId(1), at(19_400), true);
        poison.lost(at(20_000), LINK, MessageId(3), at(19_900), false);
        assert_eq!(poison.down(at(20_001), LINK), Some(Death { message: MessageId(1), alone: true }));
        assert_eq!(poison.down(at(20_001), LINK), None, "each session dies once");
    }

    #[test]
    fn what_was_sent_long_ago_or_lost_its_answer_before_is_not() {
        let mut poison = session();
        poison.lost(at(20_000), LINK, MessageId(1), at(17_999), false);
        poison.lost(at(20_000), LINK, MessageId(2), at(19_000), false);
        assert_eq!(poison.down(at(20_000), LINK), None, "the oldest was sent more than two seconds ago");
        let mut poison = session();
        poison.lost(at(19_000), LINK, MessageId(1), at(18_500), false);
        assert_eq!(poison.down(at(20_000), LINK), None, "it had no answer while the session lived");
        let mut poison = session();
        poison.lost(at(19_000), LINK, MessageId(1), at(11_000), false);
        poison.lost(at(20_000), LINK, MessageId(2), at(19_900), false);
        assert_eq!(poison.down(at(20_000), LINK).map(|death| death.message), Some(MessageId(2)));
    }

    #[test]
    fn a_young_session_and_one_that_answered_nobody_say_nothing() {
        for (answered, sent, sound) in
            [(Some(1), 10_000, true), (Some(1), 9_999, false), (None, 60_000, false), (Some(60_001), 60_000, false)]
        {
            let mut poison = Poison::default();
            poison.up(at(0), LINK);
            answered.into_iter().for_each(|answered| poison.answered(at(answered), LINK));
            poison.lost(at(sent + 100), LINK, MessageId(1), at(sent), false);
            assert_eq!(poison.down(at(sent + 100), LINK).is_some(), sound, "{answered:?} {sent}");
        }
    }
}
