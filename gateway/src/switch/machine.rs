//! The machine: what each event changes. What may start because of it is found afterwards, in `matching`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use carriers::{AttemptRef, Doubt, Ticket, Verdict};
use link::LinkId;

use super::attempt::{Attempt, MOST_PARTS, Outcome};
use super::channel::{Channel, ChannelView};
use super::doubt::{self, Resolve};
use super::examine::{Watch, sign};
use super::fair::{Shares, Turn};
use super::flights::Flights;
use super::health::{Ending, Memory};
use super::lane::{LaneKey, Lanes, Pending, Spot};
use super::later::Later;
use super::matching::{ENDINGS, Run};
use super::pace::Pace;
use super::poison::Poison;
use super::retry;
use super::strategy::{Choice, Ranked};
use super::why::Cause;
use super::{Answer, Command, End, Event, GroupRule, Home, NotStarted, Settings, TierRule};
use crate::clock::{Moment, Time};
use crate::config::plan::{AppId, ChannelId, GroupId, InDoubt, Service, TierId};
use crate::few::Few;
use crate::ids::{Ids, MessageId};

/// The rule of a tier the plan does not name (any more).
static NO_TIER: TierRule = TierRule {
    id: TierId(u8::MAX),
    attempts: 1,
    backoff: Vec::new(),
    unacked: InDoubt::Wait,
    acked: InDoubt::Wait,
    service: Service::Strict,
};

/// In which order tiers are served, 0 first.
#[derive(Debug, Default)]
pub(super) struct Ranks(Vec<(TierId, usize)>);

impl Ranks {
    /// A strict tier goes before all that follow; weighted ones share a rank, that of the first of them.
    fn of(tiers: &[TierRule]) -> Ranks {
        let shared = tiers.iter().position(|rule| rule.service != Service::Strict).unwrap_or(0);
        let rank = |(at, rule): (usize, &TierRule)| match rule.service {
            Service::Strict => (rule.id, at),
            Service::Weighted { .. } => (rule.id, shared),
        };
        Ranks(tiers.iter().enumerate().map(rank).collect())
    }

    /// A tier's rank; one the plan does not name comes last.
    pub(super) fn rank(&self, tier: TierId) -> usize {
        self.0.iter().find(|(id, _)| *id == tier).map_or(self.0.len(), |(_, rank)| *rank)
    }
}

/// Decides which message goes next, over which channel, when, and whether again. Owns every accepted message until
/// the carrier has it or no further attempt will be made; knows no clock, no socket, no disk and no chance.
#[derive(Debug)]
pub struct Switch {
    pub(super) ids: Ids,
    /// When channels open, where it is known.
    opens: Option<Time>,
    pub(super) tiers: Vec<TierRule>,
    pub(super) ranks: Ranks,
    pub(super) shares: Shares,
    /// Apps with a rate of their own.
    pub(super) apps: Few<AppId, Pace>,
    pub(super) groups: Few<GroupId, GroupRule>,
    /// What the groups' strategies remember.
    pub(super) choices: Few<GroupId, Choice>,
    pub(super) channels: Few<ChannelId, Channel>,
    /// Messages that may go now.
    pub(super) lanes: Lanes,
    /// Messages that wait for a time.
    pub(super) later: Later,
    /// Attempts, until their last slot is free. Whoever walks through them must not depend on the order.
    pub(super) attempts: Flights,
    /// Attempts of which some parts are there; their messages wait in lanes bound to the channel.
    pub(super) partial: BTreeMap<MessageId, Attempt>,
    /// Scratch of the matching: the channels a head is offered to, in order.
    pub(super) ranked: Vec<Ranked>,
    /// Of the matching: where the next message of the lane goes, too, if there is room.
    pub(super) run: Option<Run>,
    #[cfg(test)]
    pub(super) without_runs: bool,
    /// While an explanation is made: who was passed over, and why.
    pub(super) trace: Option<Vec<(ChannelId, Cause, u32)>>,
    /// Which channels are well.
    pub(super) watch: Watch,
    /// Which messages kill sessions.
    pub(super) poison: Poison,
    /// Scratch of the matching: (rank, turn, head, lane).
    pub(super) heads: BinaryHeap<Reverse<(usize, Turn, MessageId, Spot)>>,
    pub(super) wake: Time,
    /// Messages that may end by expiry until the next [`Switch::may_end`].
    pub(super) may_end: usize,
    /// Of those, in this settle.
    pub(super) endings: usize,
}

/// What waits in one group and tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The group.
    pub group: GroupId,
    /// The tier.
    pub tier: TierId,
    /// Messages that wait for a channel, a retry or a doubt's end.
    pub messages: usize,
    /// When the oldest of them was accepted.
    pub oldest: Time,
}

/// Which waiting messages an operator means; what is left out means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this group.
    pub group: Option<GroupId>,
    /// Of this tier.
    pub tier: Option<TierId>,
    /// Of this app.
    pub app: Option<AppId>,
    /// Not of this group.
    pub not_group: Option<GroupId>,
    /// Younger than this one.
    pub above: Option<MessageId>,
    /// Not younger than this one.
    pub upto: Option<MessageId>,
}

impl Selection {
    fn takes(&self, group: GroupId, tier: TierId) -> bool {
        self.group.is_none_or(|only| only == group)
            && self.tier.is_none_or(|only| only == tier)
            && self.not_group != Some(group)
    }
}
/// How far a walk through what waits has come.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    lane: Option<(LaneKey, AppId)>,
    after: MessageId,
    later: MessageId,
}

impl Switch {
    /// A switch without a plan. Attempts it makes are numbered above `highest`, the highest number that anything on disk
    /// has, and above those that a power cut may have taken with it.
    #[must_use]
    pub fn new(highest: u64) -> Switch {
        Switch {
            ids: Ids::of_attempts(highest),
            opens: None,
            tiers: Vec::new(),
            ranks: Ranks::default(),
            shares: Shares::default(),
            apps: Few::new(),
            groups: Few::new(),
            choices: Few::new(),
            channels: Few::new(),
            lanes: Lanes::default(),
            later: Later::default(),
            attempts: Flights::default(),
            partial: BTreeMap::new(),
            ranked: Vec::new(),
            run: None,
            #[cfg(test)]
            without_runs: false,
            trace: None,
            watch: Watch::new(),
            poison: Poison::default(),
            heads: BinaryHeap::new(),
            wake: Time::NEVER,
            may_end: usize::MAX,
            endings: ENDINGS,
        }
    }

    /// So many messages may end by expiry from now on; without it, any number may.
    pub fn may_end(&mut self, most: usize) {
        self.may_end = most;
    }

    /// Whether messages have expired that [`Switch::may_end`] does not let end; the deadline leaves them out.
    #[must_use]
    pub fn crowded(&self, now: Time) -> bool {
        self.may_end == 0 && self.lanes.earliest() <= now
    }

    /// The process before may have sent until a second before `opens`: until then no channel takes anything. Without it,
    /// a channel opens a second after it is first heard of.
    #[must_use]
    pub fn opening(self, opens: Time) -> Switch {
        Switch { opens: Some(opens), ..self }
    }

    /// Takes one event. Nothing starts before [`Switch::settle`], which follows each batch of events; commands are
    /// appended to `out` in the order in which they are to be done.
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Command>) {
        match event {
            Event::Plan(settings) => self.plan(now, settings),
            Event::Accepted(message) => self.lanes.accept(message),
            Event::Recovered(recovered) => self.recover(now, recovered, out),
            Event::LinkUp(link, window) => {
                self.link_up(now, link, window);
                self.poison.up(now, link);
            }
            Event::LinkDown(link) => self.link_down(now, link, out),
            Event::LinkClosing(link) => {
                self.channel_mut(now, ChannelId(link.channel)).closing(link.link);
                self.poison.forget(link);
            }
            Event::LinkGone(link) => {
                self.channel_mut(now, ChannelId(link.channel)).gone(link.link);
                self.watch.machines.link_gone(now, ChannelId(link.channel), link.link);
                self.bereave(now, link, Attempt::link_gone, out);
            }
            Event::Started(attempt, 0) => self.not_started(now, attempt, NotStarted::Retry, out),
            Event::Started(attempt, parts) => self.started(now, attempt, parts, out),
            Event::NotStarted(attempt, why) => self.not_started(now, attempt, why, out),
            Event::Answer(ticket, answer) => self.answered(now, ticket, &answer, out),
            Event::Freed(ticket) => self.freed(now, ticket, out),
            Event::Concluded(message) => self.conclude(message),
            Event::Moved(message, home) => self.moved(message, home),
            Event::Hold(channel, held) => self.channel_mut(now, channel).held = held,
            Event::Expire(message) => {
                if self.forget(message) {
                    self.end(message, End::Operator, out);
                }
            }
            Event::Tick => {}
            Event::Weight(channel, weight) => self.channel_mut(now, channel).weight = weight,
            Event::Delivered(channel, delivered) => self.channel_mut(now, channel).stats.receipt(delivered),
            Event::Late(channel, parts) => self.channel_mut(now, channel).pace.late(now, parts),
            Event::Heard(link) => self.watch.machines.heard(now, ChannelId(link.channel), link.link),
            Event::ProbeAnswered(link) => self.watch.machines.probe_answered(now, ChannelId(link.channel), link.link),
            Event::Unacked(link, age) => {
                self.channel_mut(now, ChannelId(link.channel)).unacked(now, link.link, age);
                self.watch.machines.unacked(now, ChannelId(link.channel), link.link, age);
            }
            Event::Again(recovered) => self.again(recovered, out),
        }
    }

    /// After a batch of events, or when the deadline has come: releases what has waited long enough, starts what may
    /// start, ends some of what has expired. At most some thousands of commands; where more is due, the deadline is `now`.
    pub fn settle(&mut self, now: Moment, out: &mut Vec<Command>) {
        self.wake = Time::NEVER;
        self.endings = ENDINGS.min(self.may_end);
        self.end_trials(now.time);
        self.release(now.time, out);
        self.examine(now.time, out);
        self.match_heads(now, out);
        self.expire(now.time, out);
        self.wake = self.wake.min(self.later.earliest()).min(self.poison.earliest());
        if self.may_end > 0 {
            self.wake = self.wake.min(self.lanes.earliest());
        }
        self.wake = self.wake.max(now.time);
    }

    /// When to settle at the latest, as of the last [`Switch::settle`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        Some(self.wake).filter(|wake| *wake != Time::NEVER)
    }

    /// What waits, by group and tier. Costs a look at every lane and every delayed message.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        let mut sums: BTreeMap<(GroupId, TierId), Waiting> = BTreeMap::new();
        let mut add = |group, tier, messages, oldest: Time| {
            let sum = sums.entry((group, tier)).or_insert(Waiting { group, tier, messages: 0, oldest });
            sum.messages += messages;
            sum.oldest = sum.oldest.min(oldest);
        };
        for (lane, queue) in self.lanes.iter() {
            if let Some(oldest) = queue.firsts().map(|first| first.accepted).min() {
                add(lane.group, lane.tier, queue.len(), oldest);
            }
        }
        for pending in self.later.iter() {
            add(pending.lane.group, pending.lane.tier, 1, pending.entry.accepted);
        }
        sums.into_values().collect()
    }

    /// The next messages that wait and are selected, at most `most`, from where the cursor stands; the cursor moves on,
    /// and nothing more is there once nothing is returned. Costs what it returns and a look at every lane.
    pub fn page(&self, selection: &Selection, cursor: &mut Cursor, most: usize) -> Vec<MessageId> {
        let mut page = Vec::new();
        for (key, lane) in self.lanes.iter() {
            if !selection.takes(key.group, key.tier) || cursor.lane.as_ref().is_some_and(|(at, _)| key < at) {
                continue;
            }
            for (app, _) in lane.apps().filter(|(app, _)| selection.app.is_none_or(|only| only == *app)) {
                let from = match &cursor.lane {
                    Some((at, done)) if at == key && app < *done => continue,
                    Some((at, here)) if at == key && app == *here => cursor.after,
                    _ => selection.above.unwrap_or_default(),
                };
                let upto = selection.upto.unwrap_or(MessageId(u64::MAX));
                page.extend(lane.after(app, from, upto, most - page.len()));
                if page.len() >= most {
                    cursor.lane = Some((key.clone(), app));
                    cursor.after = page.last().copied().unwrap_or(from);
                    return page;
                }
            }
        }
        cursor.lane = Some((LaneKey::last(), AppId(u16::MAX)));
        let late = self.later.after(cursor.later.max(selection.above.unwrap_or_default()));
        let late = late.filter(|p| selection.takes(p.lane.group, p.lane.tier));
        let late = late.filter(|p| selection.upto.is_none_or(|upto| p.entry.id <= upto));
        let late = late.filter(|p| selection.app.is_none_or(|only| only == p.entry.app));
        page.extend(late.take(most - page.len()).map(|p| {
            cursor.later = p.entry.id;
            p.entry.id
        }));
        page
    }

    /// Messages that no channel would take, whatever its state: their group is not in the plan, or takes their tier no
    /// more. Costs a look at everything that is in flight or delayed, and at the lanes in question.
    #[must_use]
    pub fn homeless(&self) -> Vec<MessageId> {
        let waiting = self.lanes.iter().filter(|(lane, _)| !self.is_home(lane)).flat_map(|(_, queue)| queue.iter());
        let flying = self.attempts.undecided().filter(|attempt| !attempt.concluded).map(|attempt| &attempt.pending);
        let others = self.later.iter().chain(flying).filter(|pending| !self.is_home(&pending.lane));
        let mut others: Vec<MessageId> = others.map(|pending| pending.entry.id).collect();
        others.sort_unstable();
        waiting.map(|entry| entry.id).chain(others).collect()
    }

    /// Whether the plan has any channel for a lane.
    pub(super) fn is_home(&self, lane: &LaneKey) -> bool {
        let admits = |id: &ChannelId| self.channels.get(id).is_some_and(|channel| channel.admits(lane.tier));
        self.groups.get(&lane.group).is_some_and(|group| group.channels.iter().any(admits))
    }

    /// A channel as of `now`, if any event ever named it.
    #[must_use]
    pub fn channel(&self, now: Time, id: ChannelId) -> Option<ChannelView> {
        self.channels.get(&id).map(|channel| channel.view(now, self.watch.machines.snapshot(now, id)))
    }

    /// What of a channel's health is worth keeping over a restart.
    #[must_use]
    pub fn health_memory(&self, now: Time, id: ChannelId) -> Option<Memory> {
        self.watch.machines.memory(now, id)
    }

    /// Takes back what was kept of a channel's health `age` ago; before its first link is up.
    pub fn restore_health(&mut self, now: Time, id: ChannelId, memory: &Memory, age: Duration) {
        self.watch.machines.restore(now, id, memory, age);
    }

    /// Whether an attempt that was ordered may still be handed over: not where its link has gone down since, for the one
    /// that follows knows nothing of its slots.
    #[must_use]
    pub fn stands(&self, attempt: AttemptRef) -> bool {
        self.attempts.get(&attempt).is_some_and(Attempt::holds_all)
    }

    /// Whose an attempt is, and when it was handed to its link; `None` where nothing of it can be on the wire any more.
    #[must_use]
    pub fn sent(&self, attempt: AttemptRef) -> Option<(MessageId, Time)> {
        self.attempts.get(&attempt).map(|attempt| (attempt.pending.entry.id, attempt.sent))
    }

    /// Slots that are taken on all links. Costs a look at every attempt.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.attempts.values().map(Attempt::slots).sum()
    }

    /// Messages the switch owns: waiting, or in an attempt that has not ended.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.lanes.len() + self.later.len() + self.attempts.messages()
    }

    /// Whether a tier stands before all others.
    pub(super) fn is_first(&self, id: TierId) -> bool {
        self.tiers.first().is_some_and(|tier| tier.id == id)
    }

    /// A tier's rank, 0 the strictest, and its rule.
    pub(super) fn tier(&self, id: TierId) -> (usize, &TierRule) {
        let found = self.tiers.iter().find(|rule| rule.id == id);
        (self.ranks.rank(id), found.unwrap_or(&NO_TIER))
    }

    fn channel_mut(&mut self, now: Time, id: ChannelId) -> &mut Channel {
        let opens = self.opens;
        self.channels.get_or_insert_with(id, || match opens {
            Some(opens) => Channel::opening(now, opens),
            None => Channel::new(now),
        })
    }

    /// Channels keep pace, pause, hold and slots; lanes keep their messages. Those no channel would take any more wait
    /// to be moved, for better rules or their expiry: a slip in a configuration must not fail a million messages.
    fn plan(&mut self, now: Time, settings: Settings) {
        let first_tier = settings.tiers.first().filter(|tier| tier.service == Service::Strict).map(|tier| tier.id);
        for rule in &settings.channels {
            self.channel_mut(now, rule.id);
        }
        for (id, channel) in self.channels.iter_mut() {
            channel.set(now, settings.channels.iter().find(|rule| rule.id == *id), first_tier);
            channel.budget.set(&settings.health);
        }
        self.watch.plan(now, &settings);
        self.ranks = Ranks::of(&settings.tiers);
        self.shares = Shares::of(&settings.tiers.iter().map(|tier| (tier.id, tier.service)).collect::<Vec<_>>());
        self.tiers = settings.tiers;
        self.apps.retain(|id, _| settings.apps.iter().any(|app| app.id == *id));
        for app in &settings.apps {
            let burst = (app.rate / 50.0) as u32;
            // No contract: it need not hold over a restart.
            let pace = || Pace::new(now, app.rate, burst).opening(now);
            self.apps.get_or_insert_with(app.id, pace).set(now, app.rate, burst);
        }
        let cost = |id| settings.channels.iter().find(|rule| rule.id == id).map_or(0.0, |rule| rule.cost);
        let choice = |rule: &GroupRule| (rule.id, Choice::new(rule, self.choices.get(&rule.id), cost));
        self.choices = settings.groups.iter().map(choice).collect();
        self.groups = settings.groups.into_iter().map(|group| (group.id, group)).collect();
    }

    fn link_up(&mut self, now: Time, link: LinkId, window: usize) {
        let id = ChannelId(link.channel);
        let channel = self.channel_mut(now, id);
        channel.up(link.link, window);
        let probes = channel.probes;
        self.watch.machines.link_up(now, id, link.link, probes);
    }

    fn link_down(&mut self, now: Time, link: LinkId, out: &mut Vec<Command>) {
        let id = ChannelId(link.channel);
        let channel = self.channel_mut(now, id);
        channel.down(link.link);
        let ending = if channel.is_closing(link.link) { Ending::Ours } else { Ending::Lost };
        self.watch.machines.link_down(now, id, link.link, ending);
        self.watch.lost(link);
        self.bereave(now, link, Attempt::link_down, out);
        if let Some(death) = self.poison.down(now, link) {
            self.strike(death, id, out);
        }
    }

    fn started(&mut self, now: Time, id: AttemptRef, parts: u8, out: &mut Vec<Command>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let again = attempt.is_started();
        let unneeded = attempt.started(parts);
        let (channel, link, open) = (attempt.channel, attempt.link, attempt.open_parts());
        let first = attempt.pending.entry.used == 0 && !attempt.is_partial();
        let strictest = self.tiers.first().is_some_and(|tier| tier.id == attempt.pending.lane.tier);
        if !again {
            attempt.sent = now;
            self.watch.machines.sent(now, channel, link, open);
        }
        if let Some(channel) = self.channels.get_mut(&channel) {
            if unneeded > 0 {
                channel.free(link, u32::from(unneeded));
                channel.pace.give_back(attempt.taken, unneeded);
            }
            channel.pace.left(now, attempt.taken, parts);
            if first && strictest && open > 0 && !again {
                channel.hedges.sent(now, id);
            }
            if unneeded > 0
                && let Some(pace) = self.apps.get_mut(&attempt.pending.entry.app)
            {
                pace.give_back(attempt.taken, unneeded);
            }
        }
        // Answers that were quicker than this word decide now.
        if attempt.has_ended() {
            self.review(now, id, out);
        }
    }

    fn not_started(&mut self, now: Time, id: AttemptRef, why: NotStarted, out: &mut Vec<Command>) {
        if self.attempts.get(&id).is_none_or(Attempt::is_started) {
            return;
        }
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        let message = attempt.pending.entry.id;
        if attempt.alone {
            self.end_trial(message);
        }
        let reserved = attempt.reserved();
        if let Some(channel) = self.channels.get_mut(&attempt.channel) {
            channel.free(attempt.link, attempt.slots());
            channel.pace.give_back(attempt.taken, reserved);
        }
        if let Some(pace) = self.apps.get_mut(&attempt.pending.entry.app) {
            pace.give_back(attempt.taken, reserved);
        }
        if attempt.concluded {
            return;
        }
        match why {
            NotStarted::Retry => self.hand_over_again(now, retry::HANDOVER_PAUSE, attempt),
            NotStarted::Moved => self.hand_over_again(now, Duration::ZERO, attempt),
            NotStarted::Parts(parts) if parts <= reserved => {
                self.hand_over_again(now, retry::HANDOVER_PAUSE, attempt);
            }
            NotStarted::Parts(parts) if parts <= MOST_PARTS => {
                attempt.pending.entry.parts = parts;
                self.lanes.insert(attempt.pending);
            }
            NotStarted::Parts(_) | NotStarted::Unsendable => {
                attempt.pending.lane.class.exclude(attempt.channel);
                self.lanes.insert(attempt.pending);
            }
            NotStarted::BodyLost => out.push(Command::Exhausted(message, End::BodyLost)),
            NotStarted::Panicked => {
                out.extend([Command::Quarantined(message, attempt.channel), Command::Exhausted(message, End::Poison)]);
            }
        }
    }

    fn hand_over_again(&mut self, now: Time, pause: Duration, mut attempt: Attempt) {
        attempt.not_started();
        let pending = if attempt.is_partial() { self.keep_partial(attempt) } else { attempt.pending };
        self.wait(now, pause, pending);
    }

    fn answered(&mut self, now: Time, ticket: Ticket, answer: &Answer, out: &mut Vec<Command>) {
        let Some(attempt) = self.attempts.get_mut(&ticket.attempt()) else { return };
        if !attempt.answer(ticket, answer) {
            return;
        }
        let (id, link) = (attempt.channel, attempt.link);
        if attempt.is_started() {
            self.watch.machines.ended(now, id, link, attempt.sent, sign(answer));
        } else {
            // It was quicker than the word of the start: nothing is known to be sent yet.
            self.watch.machines.heard(now, id, link);
        }
        let whole = LinkId { channel: id.0, link };
        match answer {
            Answer::Unanswered(Doubt::Unsent) => {}
            Answer::Unanswered(_) => {
                self.poison.lost(now, whole, attempt.pending.entry.id, attempt.taken, attempt.alone);
            }
            Answer::Submitted | Answer::Refused(_) => self.poison.answered(now, whole),
        }
        if let Some(channel) = self.channels.get_mut(&id) {
            if !matches!(answer, Answer::Unanswered(_)) {
                channel.answered(now, attempt.link, attempt.taken);
            }
            let took = now.since(attempt.taken);
            match answer {
                Answer::Submitted => channel.stats.answered(took, true),
                Answer::Refused(Verdict::Retry | Verdict::LinkFault) => channel.stats.answered(took, false),
                Answer::Unanswered(Doubt::Unacked | Doubt::Acked) => channel.stats.unanswered(),
                // Nothing that speaks for or against the channel.
                Answer::Refused(_) | Answer::Unanswered(Doubt::Unsent) => {}
            }
            match answer {
                Answer::Submitted | Answer::Refused(_) => channel.heard(now, link),
                Answer::Unanswered(_) => channel.lost_at = Some(now),
            }
            match answer {
                Answer::Submitted => channel.succeeded(now),
                Answer::Refused(Verdict::Throttled) => {
                    out.extend(channel.throttle(now, attempt.taken).map(|until| Command::Throttled(id, until)));
                }
                Answer::Refused(_) | Answer::Unanswered(_) => {}
            }
        }
        if attempt.has_ended() {
            self.review(now, ticket.attempt(), out);
        }
    }

    fn freed(&mut self, now: Time, ticket: Ticket, out: &mut Vec<Command>) {
        let Some(attempt) = self.attempts.get_mut(&ticket.attempt()) else { return };
        if attempt.freed(ticket)
            && let Some(channel) = self.channels.get_mut(&attempt.channel)
        {
            channel.free(attempt.link, 1);
        }
        if attempt.done && attempt.is_free() {
            // As almost always: nothing follows.
            self.attempts.forget(&ticket.attempt());
        } else if attempt.has_ended() {
            self.review(now, ticket.attempt(), out);
        }
    }

    /// Wherever the message is, it is bound for another lane. Attempts keep their channel until they have ended; the
    /// rest of a partial one follows where its first parts are, if that channel is of the new group.
    fn moved(&mut self, message: MessageId, home: Home) {
        if let Some(attempt) = self.attempts.of_mut(message) {
            return attempt.pending.settle(home);
        }
        if let Some(attempt) = self.partial.get_mut(&message) {
            attempt.pending.settle(home);
        }
        let missing = self.partial.get(&message).map(Attempt::missing_parts);
        let home = Home { parts: missing.unwrap_or(home.parts), ..home };
        if let Some((at, mut pending)) = self.later.take(message) {
            pending.settle(home);
            self.later.insert(at, pending);
        } else if let Some(mut pending) = self.lanes.remove(message) {
            pending.settle(home);
            self.lanes.insert(pending);
        }
    }

    fn conclude(&mut self, message: MessageId) {
        if let Some(attempt) = self.attempts.of_mut(message) {
            attempt.concluded = true;
        } else {
            self.forget(message);
        }
    }

    /// Takes a message out from where it waits, with what is kept for it; whether it waited.
    pub(super) fn forget(&mut self, message: MessageId) -> bool {
        let waited = self.later.remove(message).or_else(|| self.lanes.remove(message)).is_some();
        if waited {
            self.partial.remove(&message);
            self.poison.reprieve(message);
        }
        waited
    }

    /// Decides about the attempt's message once the attempt has ended; forgets the attempt with its last slot.
    pub(super) fn review(&mut self, now: Time, id: AttemptRef, out: &mut Vec<Command>) {
        let Some((outcome, undecided, attempt)) = self.attempts.decide(&id, Attempt::outcome) else { return };
        let message = attempt.pending.entry.id;
        if !undecided {
            let done = attempt.is_free();
            if attempt.superseded {
                self.late(id, outcome, out);
            }
            if done {
                self.attempts.forget(&id);
            }
            return;
        }
        if let Outcome::Missing { refused, .. } = outcome {
            if let Some(attempt) = self.attempts.remove(&id).filter(|attempt| !attempt.concluded) {
                self.go_on(now, attempt, refused, out);
            }
            return;
        }
        if outcome == Outcome::Submitted && attempt.doubt.is_none() && !attempt.alone {
            attempt.done = true;
            if attempt.is_free() {
                self.attempts.forget(&id);
            }
            return;
        }
        let (channel, doubt, concluded) = (attempt.channel, attempt.doubt, attempt.concluded);
        let (alone, sent) = (attempt.alone, attempt.taken);
        let mut pending = if attempt.slots() == 0 {
            let Some(attempt) = self.attempts.remove(&id) else { return };
            attempt.pending
        } else {
            attempt.pending.clone()
        };
        if alone {
            self.end_trial(message);
        }
        if !concluded {
            out.extend(doubt.map(|doubt| Command::InDoubt(message, channel, doubt)));
            if alone
                && let Some(doubt) = doubt
                && let Some(wait) = self.poison.hold(message, channel, doubt, outcome, sent, now)
            {
                return self.later.insert(now.after(wait), pending);
            }
            if alone || doubt.is_none() && matches!(outcome, Outcome::Refused | Outcome::Elsewhere) {
                pending.acquit();
            }
            self.follow(now, pending, channel, doubt, outcome, out);
        }
    }

    /// The missing parts of an attempt follow; after a back-off and as one attempt used where they were refused.
    fn go_on(&mut self, now: Time, mut attempt: Attempt, refused: bool, out: &mut Vec<Command>) {
        let mut wait = Duration::ZERO;
        if refused {
            let Pending { entry, lane } = &mut attempt.pending;
            entry.used = entry.used.saturating_add(1);
            match retry::wait(self.tier(lane.tier).1, entry.used, entry.id) {
                Some(backoff) => wait = backoff,
                None => return out.push(Command::Exhausted(entry.id, End::Attempts)),
            }
        }
        let pending = self.keep_partial(attempt);
        self.wait(now, wait, pending);
    }

    /// What follows an attempt of which nothing is kept.
    pub(super) fn follow(
        &mut self,
        now: Time,
        mut pending: Pending,
        channel: ChannelId,
        doubt: Option<Doubt>,
        outcome: Outcome,
        out: &mut Vec<Command>,
    ) {
        let message = pending.entry.id;
        match outcome {
            Outcome::Submitted | Outcome::Missing { .. } => {}
            Outcome::Rejected => out.push(Command::Exhausted(message, End::Rejected)),
            Outcome::Elsewhere => {
                pending.lane.class.exclude(channel);
                pending.entry.doubtful |= doubt.is_some();
                self.lanes.insert(pending);
            }
            Outcome::Refused => {
                pending.lane.class.avoid = Some(channel);
                pending.entry.doubtful |= doubt.is_some();
                pending.entry.used = pending.entry.used.saturating_add(1);
                match retry::wait(self.tier(pending.lane.tier).1, pending.entry.used, message) {
                    Some(wait) => self.wait(now, wait, pending),
                    None => out.push(Command::Exhausted(message, End::Attempts)),
                }
            }
            Outcome::Again if doubt.is_none() => {
                self.lanes.insert(pending);
            }
            Outcome::Again => {
                pending.entry.doubtful = true;
                pending.entry.used = pending.entry.used.saturating_add(1);
                if pending.entry.used < self.tier(pending.lane.tier).1.attempts {
                    self.lanes.insert(pending);
                } else {
                    out.push(Command::Exhausted(message, End::InDoubt));
                }
            }
            Outcome::Doubt { worst, mixed } => self.in_doubt(now, pending, channel, (worst, mixed), out),
        }
    }

    pub(super) fn in_doubt(
        &mut self,
        now: Time,
        mut pending: Pending,
        channel: ChannelId,
        (worst, mixed): (Doubt, bool),
        out: &mut Vec<Command>,
    ) {
        pending.lane.class.avoid = Some(channel);
        pending.entry.doubtful = true;
        pending.entry.used = pending.entry.used.saturating_add(1);
        match doubt::resolve(self.tier(pending.lane.tier).1, worst, mixed, pending.entry.used) {
            Resolve::Again(wait) => self.wait(now, wait, pending),
            Resolve::Stop => out.push(Command::Exhausted(pending.entry.id, End::InDoubt)),
        }
    }

    fn wait(&mut self, now: Time, wait: Duration, pending: Pending) {
        if wait.is_zero() {
            self.lanes.insert(pending);
        } else {
            self.later.insert(now.after(wait), pending);
        }
    }

    /// Sets an attempt aside until its missing parts can follow; its message's place for that.
    fn keep_partial(&mut self, attempt: Attempt) -> Pending {
        let mut pending = attempt.pending.clone();
        pending.lane.class.only = Some(attempt.channel);
        pending.entry.parts = attempt.missing_parts();
        self.partial.insert(pending.entry.id, attempt);
        pending
    }
}
