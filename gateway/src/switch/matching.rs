//! The matching: which lane heads start on which channels, now.
//!
//! Heads are taken by the rank of their tier; among those of one rank, each channel goes by turns (`fair`), then by age.
//! A head that must wait for a channel claims it, so that nothing behind it starts there first; everything else goes on
//! around it.

use std::cmp::Reverse;
use std::time::Duration;

use carriers::AttemptRef;
use link::LinkId;

use super::attempt::{Attempt, MOST_PARTS};
use super::channel::{Channel, Offer, Usable};
use super::fair::Turn;
use super::health::{State, Use};
use super::lane::{Again, Entry, LaneKey, Pending};
use super::machine::Switch;
use super::poison::STRIKES;
use super::strategy::{Asks, Choice, Ranked, patience};
use super::why::{Cause, Reason, Why};
use super::{Command, End, GroupRule};
use crate::clock::{Moment, Time};
use crate::config::plan::ChannelId;
use crate::ids::MessageId;

/// Most messages started, or released from waiting, in one step, each.
const ROUND: usize = 4096;
/// Most messages ended by expiry in one step: each becomes an outcome that goes to disk.
pub(super) const ENDINGS: usize = 256;
/// How long an app's turn in a lane is put off whose first message has expired and may not end yet.
const CROWDED: Duration = Duration::from_millis(5);

/// Place of a channel that is shunned for the sake of a better one: that may be held, which health does not know.
const SHUNNED: u32 = u32::MAX - 1;

/// What is to be done with a lane's head.
#[derive(Debug)]
pub(super) enum Place {
    /// Goes now, over this link, to that one of those ranked.
    Start(ChannelId, u16, Chosen),
    /// Stays, and its lane with it, until an event or this time.
    Wait(Time),
    /// Others come before it on that channel: looked at again when it is its turn.
    Turn(Turn),
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

/// Why a message starts where it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// Its place among those ranked.
    pub(super) at: usize,
    pub(super) why: Why,
}

/// A fresh message of the common lane has started on the first channel of its order, which is well. As long as no other
/// lane comes between, the next of its lane that is fresh goes there, too, for the same reason: of all that was asked,
/// only turn and room can have changed. Room is asked for by [`Switch::follow_run`]; the turn by comparing with the
/// first of the other heads, in `match_heads`.
#[derive(Debug)]
pub(super) struct Run {
    channel: ChannelId,
    chosen: Chosen,
}

impl Switch {
    pub(super) fn release(&mut self, now: Time, out: &mut Vec<Command>) {
        for _ in 0..ROUND {
            let Some(pending) = self.later.pop(now) else { return };
            if let Some(held) = self.poison.reprieve(pending.entry.id) {
                let mut pending = pending;
                pending.acquit();
                self.follow(now, pending, held.channel, Some(held.doubt), held.outcome, out);
            } else {
                // Those that have expired end where all others do.
                self.lanes.insert(pending);
            }
        }
    }

    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Command>) {
        for entry in self.lanes.expire(now, self.endings) {
            self.end_expired(entry.id, out);
        }
    }

    pub(super) fn match_heads(&mut self, now: Moment, out: &mut Vec<Command>) {
        for channel in self.channels.values_mut() {
            channel.claimed = false;
            channel.note(now.time);
            channel.turns.round();
        }
        for (id, channel) in self.channels.iter_mut().filter(|(_, channel)| channel.on_trial()) {
            channel.trial = self.watch.machines.trial(now.time, *id);
        }
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        for (spot, key, lane) in self.lanes.spots() {
            self.wake = self.wake.min(lane.wake(now.time));
            if let Some(head) = lane.head() {
                let rank = self.ranks.rank(key.tier);
                heads.push(Reverse((rank, (0, 0), head.id, spot)));
            }
        }
        let most = out.len() + ROUND;
        // Mostly one lane has a whole run, whose next message needs no place among the heads.
        let (mut lane, mut next) = (LaneKey::default(), None);
        loop {
            let (rank, turn, spot, entry) = match next.take() {
                Some(next) => next,
                None => {
                    self.run = None;
                    let Some(Reverse((rank, turn, id, spot))) = heads.pop() else { break };
                    let Some(entry) = self.lanes.head(spot).copied().filter(|head| head.id == id) else { continue };
                    match self.lanes.key(spot) {
                        Some(key) if *key == lane => {}
                        Some(key) => lane.clone_from(key),
                        None => continue,
                    }
                    (rank, turn, spot, entry)
                }
            };
            let id = entry.id;
            if out.len() >= most {
                self.wake = now.time;
                break;
            }
            let crowded = self.endings == 0 && entry.until() <= now.time;
            let crowded = crowded.then(|| now.time.after(CROWDED));
            if let Some(until) = crowded.or_else(|| self.rests(now.time, &entry)) {
                self.wake = self.wake.min(until);
                self.lanes.rest(spot, until);
                if let Some(next) = self.lanes.head(spot) {
                    heads.push(Reverse((rank, turn, next.id, spot)));
                }
                continue;
            }
            let mut served = None;
            let moved = match self.place(now.time, rank, turn, &lane, &entry) {
                Place::Wait(until) => {
                    self.wake = self.wake.min(until);
                    continue;
                }
                Place::Turn(due) => {
                    heads.push(Reverse((rank, due, id, spot)));
                    continue;
                }
                Place::Start(channel, link, chosen) => {
                    self.lanes.pop(spot);
                    if self.run.is_none() {
                        if let Some(choice) = self.choices.get_mut(&lane.group) {
                            choice.took(now.time, &self.ranked, chosen.at, entry.parts);
                        }
                        self.run = self.run(rank, channel, &chosen, &lane, &entry);
                    }
                    self.start(now, &lane, entry, LinkId { channel: channel.0, link }, chosen.why, out);
                    served = Some(channel);
                    None
                }
                Place::End(End::Expired) => {
                    self.lanes.pop(spot);
                    self.end_expired(id, out);
                    None
                }
                Place::End(end) => {
                    self.lanes.pop(spot);
                    self.end(id, end, out);
                    None
                }
                Place::Without(channel) => {
                    self.lanes.pop(spot);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.lane.class.exclude(channel);
                    Some(pending)
                }
                Place::Defer(channel) => {
                    self.lanes.pop(spot);
                    self.defer(now.time, rank == 0, channel, Pending { entry, lane: lane.clone() }, out);
                    None
                }
                Place::Alone => {
                    self.lanes.pop(spot);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.lane.class.alone = true;
                    Some(pending)
                }
                Place::Join => {
                    self.lanes.pop(spot);
                    let mut pending = Pending { entry, lane: lane.clone() };
                    pending.acquit();
                    Some(pending)
                }
                Place::Abandon => {
                    self.lanes.pop(spot);
                    let whole = self.partial.remove(&id).map(|attempt| attempt.pending);
                    let mut whole = whole.unwrap_or_else(|| Pending { entry, lane: lane.without_only() });
                    // The carrier has some of it already.
                    whole.entry.doubtful = true;
                    Some(whole)
                }
            };
            if let Some(pending) = moved {
                let (to, _) = self.lanes.put(pending);
                if self.lanes.head(to).is_some_and(|head| head.id == id) {
                    heads.push(Reverse((rank, turn, id, to)));
                }
            }
            if let Some(entry) = self.lanes.head(spot).copied() {
                // Most likely it goes where the one before went.
                let there = served.and_then(|channel| self.channels.get(&channel));
                let turn = there.map_or(turn, |channel| channel.turns.turn(lane.tier, entry.app));
                let head = (rank, turn, entry.id, spot);
                if served.is_some() && heads.peek().is_none_or(|Reverse(first)| head < *first) {
                    next = Some((rank, turn, spot, entry));
                } else {
                    heads.push(Reverse(head));
                }
            }
        }
        self.run = None;
        self.heads = heads;
    }

    /// Until when the message's app may send nothing more, if so.
    pub(super) fn rests(&self, now: Time, entry: &Entry) -> Option<Time> {
        Some(self.apps.get(&entry.app)?.ready_at(now, entry.parts, 0)).filter(|ready| *ready > now)
    }

    /// What is to be done with a message whose turn it is. Takes nothing but claims.
    pub(super) fn place(&mut self, now: Time, rank: usize, turn: Turn, lane: &LaneKey, entry: &Entry) -> Place {
        if entry.until() <= now {
            return Place::End(End::Expired);
        }
        if entry.parts > MOST_PARTS {
            return Place::End(End::NoChannel);
        }
        if entry.strikes >= STRIKES && lane.class.only.is_none() && !lane.class.alone {
            return Place::Alone;
        }
        if let Some(place) = self.follow_run(now, rank, entry) {
            return place;
        }
        self.run = None;
        let mut ranked = std::mem::take(&mut self.ranked);
        ranked.clear();
        if let Some(choice) = self.choices.get_mut(&lane.group) {
            let machines = &self.watch.machines;
            let well = |id| matches!(machines.usable(lane.group, id, rank == 0), Use::Full | Use::Trial(_));
            let (class, tier, parts) = (&lane.class, lane.tier, entry.parts);
            let asks = Asks { class, tier, first: rank == 0, parts, well: &well };
            choice.rank(now, &mut self.channels, &asks, &mut ranked);
        }
        let place = if lane.class.alone {
            self.place_alone(now, lane, entry, &ranked)
        } else {
            self.ask(now, (rank, turn), lane, entry, &ranked)
        };
        self.ranked = ranked;
        place
    }

    /// What the start of that message makes sure of for the next.
    fn run(&self, rank: usize, channel: ChannelId, chosen: &Chosen, lane: &LaneKey, entry: &Entry) -> Option<Run> {
        #[cfg(test)]
        if self.without_runs {
            return None;
        }
        let well = self.watch.machines.usable(lane.group, channel, rank == 0) == Use::Full
            && self.channels.get(&channel).is_some_and(|channel| channel.trial.is_none());
        let steady = self.choices.get(&lane.group).is_some_and(Choice::is_steady);
        let first = chosen.at == 0 && lane.class.is_any() && entry.is_fresh();
        (first && steady && well).then_some(Run { channel, chosen: *chosen })
    }

    /// Where the message before went, if it is one of the same run.
    fn follow_run(&self, now: Time, rank: usize, entry: &Entry) -> Option<Place> {
        let run = self.run.as_ref().filter(|_| entry.is_fresh())?;
        match self.channels.get(&run.channel)?.offer(now, entry.parts, rank == 0) {
            Offer::Link(link) => Some(Place::Start(run.channel, link, run.chosen)),
            Offer::At(_) | Offer::Full => None,
        }
    }

    /// Asks channels in their order for one that takes the message now.
    fn ask(
        &mut self,
        now: Time,
        (rank, turn): (usize, Turn),
        lane: &LaneKey,
        entry: &Entry,
        ranked: &[Ranked],
    ) -> Place {
        let budgeted = budgeted(rank, entry);
        let Some(group) = self.groups.get(&lane.group) else { return Place::Wait(Time::NEVER) };
        let patience = patience(group, entry);
        let (mut member, mut usable, mut wake) = (false, false, Time::NEVER);
        let mut passed = Passed { first: None, trace: &mut self.trace };
        let mut last: Vec<(u32, usize, ChannelId)> = Vec::new();
        for (at, Ranked { id, explores, .. }) in ranked.iter().enumerate() {
            let id = *id;
            let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.admits(lane.tier)) else {
                continue;
            };
            let health = self.watch.machines.usable(group.id, id, rank == 0);
            if *explores {
                if health == Use::Full
                    && channel.usable(now, entry.parts) == Usable::Yes
                    && let Offer::Link(link) = channel.offer(now, entry.parts, rank == 0)
                {
                    return Place::Start(id, link, Chosen { at, why: Why::from(Reason::Explored) });
                }
                continue;
            }
            if lane.class.only.is_none() && channel.too_small(entry.parts) {
                return Place::Without(id);
            }
            member = true;
            match health {
                Use::Full | Use::Trial(_) => {}
                Use::Last(place) => {
                    passed.unusable(id, channel, self.watch.machines.silence(now, id));
                    last.push((place, at, id));
                    continue;
                }
                Use::No => {
                    passed.unusable(id, channel, self.watch.machines.silence(now, id));
                    match channel.state {
                        State::Probation => last.push((SHUNNED, at, id)),
                        State::Suspect => last.push((u32::MAX, at, id)),
                        State::Healthy | State::Down => {}
                    }
                    continue;
                }
            }
            match channel.usable(now, entry.parts) {
                Usable::Yes => usable = true,
                Usable::Paused(until) => {
                    passed.over(id, Cause::Paused, until.since(now));
                    usable = true;
                    wake = wake.min(until);
                    continue;
                }
                Usable::No => {
                    passed.unusable(id, channel, Duration::ZERO);
                    continue;
                }
            }
            if let Some(until) = channel.trial_until(now) {
                passed.over(id, Cause::Probation, until.since(now));
                wake = wake.min(until);
                continue;
            }
            let due = channel.turns.turn(lane.tier, entry.app);
            if due > turn {
                return Place::Turn(due);
            }
            match channel.offer(now, entry.parts, rank == 0) {
                Offer::Link(_) if budgeted && !channel.budget.allows(now, rank == 0) => return Place::Defer(id),
                Offer::Link(link) => {
                    let passed = (at, passed.first);
                    let why = self.why(now, (lane, entry), group, ranked, passed);
                    return Place::Start(id, link, Chosen { at, why });
                }
                Offer::At(ready) => {
                    passed.over(id, Cause::Paced, ready.since(now));
                    wake = wake.min(ready);
                }
                Offer::Full => passed.over(id, Cause::Full, Duration::ZERO),
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
        for (place, at, id) in last {
            if usable && place >= SHUNNED {
                break;
            }
            let Some(channel) = self.channels.get_mut(&id) else { continue };
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
            let due = channel.turns.turn(lane.tier, entry.app);
            if due > turn {
                return Place::Turn(due);
            }
            match channel.offer(now, entry.parts, rank == 0) {
                Offer::Link(_) if budgeted && !channel.budget.allows(now, rank == 0) => return Place::Defer(id),
                Offer::Link(link) => {
                    let why = (at, passed.first.filter(|(first, ..)| *first != id));
                    let why = self.why(now, (lane, entry), group, ranked, why);
                    return Place::Start(id, link, Chosen { at, why });
                }
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

    /// Why a message goes to that one of those ranked; `passed`: whom it was offered first, and why that one did not
    /// take it.
    fn why(
        &self,
        now: Time,
        (lane, entry): (&LaneKey, &Entry),
        group: &GroupRule,
        ranked: &[Ranked],
        (at, passed): (usize, Option<(ChannelId, Cause, u32)>),
    ) -> Why {
        let class = &lane.class;
        if let (Some((reason, number)), Some(last), None) = (entry.again.reason(), class.avoid, class.only) {
            return Why { number, ..Why::of(reason, last) };
        }
        match (class.only, class.avoid, passed) {
            (Some(_), ..) => Why::from(Reason::Rest),
            (_, Some(avoid), _) if entry.doubtful => Why::of(Reason::InDoubt, avoid),
            (_, Some(avoid), _) => Why::of(Reason::Retried, avoid),
            (.., Some((other, Cause::Full | Cause::Paced, _))) => {
                Why { number: millis(now.since(entry.accepted)), ..Why::of(Reason::Spilled, other) }
            }
            (.., Some((other, cause, number))) => Why { cause: Some(cause), number, ..Why::of(Reason::Backup, other) },
            (None, None, None) => match group.channels.iter().find(|id| class.excluded.contains(id)) {
                Some(other) => Why::of(Reason::Elsewhere, *other),
                None => self.chosen_for(now, lane, entry, ranked, at),
            },
        }
    }

    /// What speaks for the channel: its place by its strategy, or that a better one is of no use. Strategies that spread
    /// messages rank only those in service, so that one is not among those it was offered before.
    fn chosen_for(&self, now: Time, lane: &LaneKey, entry: &Entry, ranked: &[Ranked], at: usize) -> Why {
        let Some(choice) = self.choices.get(&lane.group) else { return Why::default() };
        if !choice.spreads() {
            return choice.reason(ranked, at);
        }
        let better = choice.kept_from(ranked, at).filter_map(|id| Some((id, self.channels.get(&id)?)));
        let mut better = better.filter(|(_, channel)| channel.admits(lane.tier) && !channel.too_small(entry.parts));
        let Some((other, channel)) = better.next() else { return choice.reason(ranked, at) };
        let (cause, time) = match channel.usable(now, entry.parts) {
            Usable::Paused(until) => (Cause::Paused, until.since(now)),
            _ => (channel.why_not(), Duration::ZERO),
        };
        let time = if cause == Cause::Suspect { self.watch.machines.silence(now, other) } else { time };
        Why { cause: Some(cause), number: millis(time), ..Why::of(Reason::Backup, other) }
    }

    fn start(&mut self, now: Moment, lane: &LaneKey, entry: Entry, link: LinkId, why: Why, out: &mut Vec<Command>) {
        let channel = ChannelId(link.channel);
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.take(now.time, link.link, entry.parts);
        if entry.used == 0 || budgeted(self.ranks.rank(lane.tier), &entry) {
            state.budget.started(now.time, entry.used > 0);
        }
        state.turns.serve(lane.tier, entry.app, entry.parts, self.shares.cost(lane.tier));
        if let Some(pace) = self.apps.get_mut(&entry.app) {
            pace.take(now.time, entry.parts);
        }
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
        attempt.pending.entry.again = Again::No;
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
            why,
        });
        if let Some(group) = self.groups.get(&lane.group) {
            self.watch.started(now.time, channel, &group.channels, out);
        }
        self.attempts.insert(attempt);
    }

    /// Over budget: it comes again at its turn.
    fn defer(&mut self, now: Time, first: bool, channel: ChannelId, pending: Pending, out: &mut Vec<Command>) {
        let turn = self.channels.get_mut(&channel).map_or(now, |channel| channel.budget.book(now, first));
        self.later.insert(turn, pending);
        out.push(Command::Deferred(channel));
    }

    fn end_expired(&mut self, message: MessageId, out: &mut Vec<Command>) {
        self.endings = self.endings.saturating_sub(1);
        self.may_end = self.may_end.saturating_sub(1);
        self.end(message, End::Expired, out);
    }

    pub(super) fn end(&mut self, message: MessageId, end: End, out: &mut Vec<Command>) {
        self.partial.remove(&message);
        out.push(Command::Exhausted(message, end));
    }
}

/// Whether a message counts against the retry budget of the channel it goes to. What is in doubt of the first tier does
/// not, hedges among it: windows and the hedges' own share bound that.
fn budgeted(rank: usize, entry: &Entry) -> bool {
    entry.used > 0 && !(rank == 0 && entry.doubtful)
}

/// Who did not take a message, and why: the first of them, and all of them where an explanation is made.
struct Passed<'t> {
    first: Option<(ChannelId, Cause, u32)>,
    trace: &'t mut Option<Vec<(ChannelId, Cause, u32)>>,
}

impl Passed<'_> {
    fn unusable(&mut self, id: ChannelId, channel: &Channel, silence: Duration) {
        let cause = channel.why_not();
        self.over(id, cause, if cause == Cause::Suspect { silence } else { Duration::ZERO });
    }

    fn over(&mut self, id: ChannelId, cause: Cause, time: Duration) {
        let passed = (id, cause, millis(time));
        self.first.get_or_insert(passed);
        self.trace.iter_mut().for_each(|trace| trace.push(passed));
    }
}

pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
