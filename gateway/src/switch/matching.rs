//! The matching: which lane heads start on which channels, now.
//!
//! Heads are taken by tier, then by age. A head that must wait for a channel claims it, so that nothing behind it
//! starts there first; everything else goes on around it.

use std::cmp::Reverse;

use carriers::AttemptRef;
use link::LinkId;

use super::attempt::{Attempt, MOST_PARTS};
use super::channel::{Offer, Usable};
use super::health::{State, Use};
use super::lane::{Entry, LaneKey, Pending};
use super::machine::Switch;
use super::poison::STRIKES;
use super::{Command, End, strategy};
use crate::clock::{Moment, Time};
use crate::config::plan::ChannelId;
use crate::ids::MessageId;

/// Most messages started, ended by expiry, or released from waiting in one step, each.
const ROUND: usize = 4096;

/// What is to be done with a lane's head.
pub(super) enum Place {
    /// Goes now, over this link.
    Start(ChannelId, u16),
    /// Stays, and its lane with it, until an event or this time.
    Wait(Time),
    /// Moves to the lane that leaves this channel out: no window there can hold it.
    Without(ChannelId),
    /// The channel that has some of its parts is of no use now: all of it goes elsewhere.
    Abandon,
    /// No attempt will be made.
    End(End),
    /// The channel has had its share of messages that go again: not before its turn.
    Defer(ChannelId),
    /// To the lane of those that are sent alone.
    Alone,
    /// Back to those that are not.
    Join,
}

impl Switch {
    pub(super) fn release(&mut self, now: Time, out: &mut Vec<Command>) {
        for _ in 0..ROUND {
            let Some(pending) = self.later.pop(now) else { return };
            if let Some(held) = self.poison.reprieve(pending.entry.id) {
                let mut pending = pending;
                pending.acquit();
                self.follow(now, pending, held.channel, Some(held.doubt), held.outcome, out);
            } else if pending.entry.until() <= now {
                self.end(pending.entry.id, End::Expired, out);
            } else {
                self.lanes.insert(pending);
            }
        }
    }

    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Command>) {
        for entry in self.lanes.expire(now, ROUND) {
            self.end(entry.id, End::Expired, out);
        }
    }

    pub(super) fn match_heads(&mut self, now: Moment, out: &mut Vec<Command>) {
        for channel in self.channels.values_mut() {
            channel.claimed = false;
        }
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        for (lane, queue) in self.lanes.iter() {
            if let Some(first) = queue.first() {
                heads.push(Reverse((self.tier(lane.tier).0, first.id, lane.clone())));
            }
        }
        let most = out.len() + ROUND;
        while let Some(Reverse((rank, id, lane))) = heads.pop() {
            let Some(entry) = self.lanes.head(&lane).copied().filter(|head| head.id == id) else { continue };
            if out.len() >= most {
                self.wake = now.time;
                break;
            }
            let moved = match self.place(now.time, rank, &lane, &entry) {
                Place::Wait(until) => {
                    self.wake = self.wake.min(until);
                    continue;
                }
                Place::Start(channel, link) => {
                    self.lanes.pop(&lane);
                    self.start(now, &lane, entry, LinkId { channel: channel.0, link }, out);
                    None
                }
                Place::End(end) => {
                    self.lanes.pop(&lane);
                    self.end(id, end, out);
                    None
                }
                Place::Without(channel) => {
                    self.lanes.pop(&lane);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.lane.class.exclude(channel);
                    Some(pending)
                }
                Place::Defer(channel) => {
                    self.lanes.pop(&lane);
                    self.defer(now.time, rank == 0, channel, Pending { entry, lane: lane.clone() }, out);
                    None
                }
                Place::Alone => {
                    self.lanes.pop(&lane);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.lane.class.alone = true;
                    Some(pending)
                }
                Place::Join => {
                    self.lanes.pop(&lane);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.acquit();
                    Some(pending)
                }
                Place::Abandon => {
                    self.lanes.pop(&lane);
                    let whole = self.partial.remove(&id).map(|attempt| attempt.pending);
                    let mut whole = whole.unwrap_or_else(|| Pending { entry, lane: lane.without_only() });
                    // The carrier has some of it already.
                    whole.entry.doubtful = true;
                    Some(whole)
                }
            };
            if let Some(pending) = moved {
                let lane = pending.lane.clone();
                self.lanes.insert(pending);
                if self.lanes.head(&lane).is_some_and(|head| head.id == id) {
                    heads.push(Reverse((rank, id, lane)));
                }
            }
            if let Some(next) = self.lanes.head(&lane) {
                heads.push(Reverse((rank, next.id, lane)));
            }
        }
        self.heads = heads;
    }

    fn place(&mut self, now: Time, rank: usize, lane: &LaneKey, entry: &Entry) -> Place {
        if entry.until() <= now {
            return Place::End(End::Expired);
        }
        if entry.parts > MOST_PARTS {
            return Place::End(End::NoChannel);
        }
        if lane.class.alone {
            return self.place_alone(now, lane, entry);
        }
        if entry.strikes >= STRIKES && lane.class.only.is_none() {
            return Place::Alone;
        }
        let Some(group) = self.groups.get(&lane.group) else { return Place::Wait(Time::NEVER) };
        let patience = strategy::patience(group, entry);
        let (mut member, mut usable, mut wake) = (false, false, Time::NEVER);
        let mut last: Vec<(u32, ChannelId)> = Vec::new();
        for id in strategy::order(group, &lane.class) {
            let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.admits(lane.tier)) else {
                continue;
            };
            if lane.class.only.is_none() && channel.too_small(entry.parts) {
                return Place::Without(id);
            }
            member = true;
            channel.trial = match self.watch.machines.usable(group.id, id, rank == 0) {
                Use::Full => None,
                Use::Trial(trial) => Some(trial),
                Use::Last(place) => {
                    last.push((place, id));
                    continue;
                }
                Use::No => {
                    if channel.state == State::Suspect {
                        last.push((u32::MAX, id));
                    }
                    continue;
                }
            };
            match channel.usable(now, entry.parts) {
                Usable::Yes => usable = true,
                Usable::Paused(until) => {
                    usable = true;
                    wake = wake.min(until);
                    continue;
                }
                Usable::No => continue,
            }
            if let Some(until) = channel.trial_until(now) {
                wake = wake.min(until);
                continue;
            }
            match channel.offer(now, entry.parts, rank == 0) {
                Offer::Link(link) => return Place::Start(id, link),
                Offer::At(ready) => wake = wake.min(ready),
                Offer::Full => {}
            }
            if channel.trial.is_some() {
                continue;
            }
            channel.claimed = true;
            if now < patience {
                wake = wake.min(patience);
                last.clear();
                break;
            }
        }
        // Suspect channels, where too little of the group is well: the least suspect one first.
        // Those shunned for the sake of a better one count only where that is held or too small.
        last.sort_unstable();
        for (place, id) in last {
            if usable && place == u32::MAX {
                break;
            }
            let Some(channel) = self.channels.get_mut(&id) else { continue };
            channel.trial = None;
            match channel.usable(now, entry.parts) {
                Usable::Yes => usable = true,
                Usable::Paused(until) => {
                    usable = true;
                    wake = wake.min(until);
                    continue;
                }
                Usable::No => continue,
            }
            match channel.offer(now, entry.parts, rank == 0) {
                // What is in doubt of the first tier goes at once: windows bound it.
                Offer::Link(_)
                    if entry.used > 0 && !(rank == 0 && entry.doubtful) && !channel.budget.allows(now, rank == 0) =>
                {
                    return Place::Defer(id);
                }
                Offer::Link(link) => return Place::Start(id, link),
                Offer::At(ready) => wake = wake.min(ready),
                Offer::Full => {}
            }
            channel.claimed = true;
        }
        match lane.class.only {
            Some(_) if !usable => Place::Abandon,
            // It is the plan that has no channel for it, not the message that has used up its channels.
            None if !member && !self.is_home(lane) => Place::Wait(Time::NEVER),
            None if !member => Place::End(End::NoChannel),
            _ => Place::Wait(wake),
        }
    }

    fn start(&mut self, now: Moment, lane: &LaneKey, entry: Entry, link: LinkId, out: &mut Vec<Command>) {
        let channel = ChannelId(link.channel);
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.take(now.time, link.link, entry.parts);
        state.budget.started(now.time, entry.used > 0);
        let (mut attempt, only) = match self.partial.remove(&entry.id) {
            Some(mut attempt) => {
                let only = attempt.resume(link.link, now.time);
                (attempt, only)
            }
            None => {
                let id = AttemptRef(self.ids.next(now.wall).0);
                let pending = Pending { entry, lane: lane.clone() };
                (Attempt::new(id, pending, channel, link.link, now.time), u64::MAX)
            }
        };
        if lane.class.alone {
            attempt.alone = true;
            self.sent_alone(now.time, entry.id);
        }
        if std::mem::take(&mut attempt.pending.entry.doubtful) {
            out.push(Command::Resubmitted(entry.id, channel));
        }
        out.push(Command::Start {
            attempt: attempt.id,
            message: entry.id,
            link,
            parts: entry.parts,
            only,
            expires: entry.expires,
        });
        if let Some(group) = self.groups.get(&lane.group) {
            self.watch.started(now.time, channel, &group.channels, out);
        }
        self.flying.insert(entry.id, attempt.id);
        self.attempts.insert(attempt.id, attempt);
    }

    /// Over budget: it comes again at its turn.
    fn defer(&mut self, now: Time, first: bool, channel: ChannelId, pending: Pending, out: &mut Vec<Command>) {
        let turn = self.channels.get_mut(&channel).map_or(now, |channel| channel.budget.book(now, first));
        self.later.insert(turn, pending);
        out.push(Command::Deferred(channel));
    }

    fn end(&mut self, message: MessageId, end: End, out: &mut Vec<Command>) {
        self.partial.remove(&message);
        out.push(Command::Exhausted(message, end));
    }
}
