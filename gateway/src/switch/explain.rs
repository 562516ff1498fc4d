//! What would happen to a message if it were its turn now, and why: the matching's own question
//! ([`Switch::place`]), asked without taking anything, with every factor it rests on.

use std::time::Duration;

use super::channel::Usable;
use super::fair::Turn;
use super::lane::{Entry, LaneKey, Pending};
use super::machine::Switch;
use super::matching::{Place, millis};
use super::stats::Stats;
use super::strategy::{Choice, Ranked};
use super::why::{Cause, Why};
use super::{End, Message};
use crate::clock::Time;
use crate::config::plan::{AppId, ChannelId, GroupId, Strategy};
use crate::ids::MessageId;

/// A decision as a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The group's strategy; empty where the plan has no such group.
    pub strategy: &'static str,
    /// What is decided.
    pub decision: Explained,
    /// Why it goes where it goes, if it goes.
    pub why: Option<Why>,
    /// Messages before it: of its group and tier those that came earlier, and all of the group's stricter tiers.
    pub ahead: usize,
    /// About how long they keep it waiting; none where there are none.
    pub wait: Option<Duration>,
    /// Until when its app may send nothing more, by the app's own rate.
    pub app_rests: Option<Time>,
    /// All channels of the group: those it may use in the order in which they are asked, then the others.
    pub candidates: Vec<Candidate>,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// It starts on that channel.
    Starts(ChannelId),
    /// It waits: until then, or for something to happen.
    Waits(Option<Time>),
    /// It is on its way already.
    InFlight(ChannelId),
    /// No attempt will be made.
    Ends(End),
}

/// A channel of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub channel: ChannelId,
    /// Its place in the order in which channels are asked, from 1; none where it may not be used at all.
    pub rank: Option<usize>,
    /// Whether the message goes there.
    pub chosen: bool,
    /// Asked first only to learn how it does.
    pub explores: bool,
    /// What the order rests on, where the strategy has a number for it.
    pub score: Option<f64>,
    /// Why the message does not go there, and the milliseconds that belong to it.
    pub why_not: Option<(Cause, u32)>,
    /// What is known of it.
    pub factors: Factors,
}

/// What a decision may rest on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factors {
    /// Its place in the group's list, from 1.
    pub preference: usize,
    /// Its configured weight.
    pub weight: u32,
    /// Parts it is behind its share by weight; negative: ahead.
    pub owed: f64,
    /// Cost per part.
    pub cost: f64,
    /// Share of recent answers that are not its failure.
    pub success: f64,
    /// Answers that rests on; old ones count less.
    pub answers: f64,
    /// Share of recent receipts that say delivered.
    pub delivered: Option<f64>,
    /// Receipts that rests on; old ones count less.
    pub receipts: f64,
    /// The time within which nine of ten answers come.
    pub latency: Option<Duration>,
    /// How much of its window or pace is in use, whichever is scarcer.
    pub load: f64,
    /// What its health leaves of its weight.
    pub health: f64,
    /// Below a floor of the group.
    pub below_floor: bool,
    /// Parts without an answer.
    pub in_flight: usize,
    /// Parts allowed without an answer.
    pub window: usize,
    /// Parts its pace allows now.
    pub pace: f64,
    /// Parts per second it goes at.
    pub rate: f64,
    /// Whether it takes the tier.
    pub tier: bool,
    /// Whether its window can hold the parts.
    pub parts: bool,
    /// Whether it is usable now.
    pub usable: bool,
    /// Held by an operator.
    pub held: bool,
    /// It cannot carry this message, as was found before.
    pub excluded: bool,
    /// It refused this message, or left it in doubt: only if no other is usable.
    pub avoided: bool,
}

/// What is put back after an explanation, since asking must change nothing.
struct Aside {
    choice: Option<(GroupId, Choice)>,
    channels: Vec<(ChannelId, bool, Stats)>,
    ranked: Vec<Ranked>,
}

/// So late a turn that nobody's comes before it.
const LAST: Turn = (u64::MAX, u64::MAX);

impl Switch {
    /// What would happen to a message that is not here.
    pub fn explain(&mut self, now: Time, message: Message) -> Explanation {
        self.explain_without(now, message, &[])
    }

    /// The same for one that these channels cannot carry.
    pub fn explain_without(&mut self, now: Time, message: Message, without: &[ChannelId]) -> Explanation {
        let (ahead, wait) = self.before(now, &LaneKey::of(&message), message.app, None);
        let mut pending = Pending::from(message);
        let members = self.groups.get(&message.group).map_or(&[][..], |group| &group.channels);
        without.iter().filter(|id| members.contains(id)).for_each(|id| pending.lane.class.exclude(*id));
        Explanation { ahead, wait, ..self.explained(now, pending) }
    }

    /// What would happen to a message that is here; `None` where it is not.
    pub fn explain_waiting(&mut self, now: Time, id: MessageId) -> Option<Explanation> {
        if let Some(attempt) = self.attempts.of(id) {
            let (channel, pending) = (attempt.channel, attempt.pending.clone());
            let decision = Explained::InFlight(channel);
            return Some(Explanation { decision, why: None, ..self.explained(now, pending) });
        }
        if let Some((until, pending)) = self.later.find(id) {
            let pending = pending.clone();
            return Some(Explanation {
                decision: Explained::Waits(Some(until)),
                why: None,
                ..self.explained(now, pending)
            });
        }
        let pending = self.lanes.find(id)?;
        let (ahead, wait) = self.before(now, &pending.lane, pending.entry.app, Some(id));
        Some(Explanation { ahead, wait, ..self.explained(now, pending) })
    }

    /// When its app's own rate lets a message go that waits in a lane, if that is what keeps it: after what the app has
    /// before it. Looks at all that waits: for operators.
    pub fn app_rate_allows(&self, now: Time, id: MessageId) -> Option<Time> {
        let Pending { entry, lane } = self.lanes.find(id)?;
        let ready = self.rests(now, &entry)?;
        let rank = self.ranks.rank(lane.tier);
        let mut before = 0.0;
        for (other, waiting) in self.lanes.iter().filter(|(other, _)| self.ranks.rank(other.tier) <= rank) {
            let first = |one: &&Entry| one.app == entry.app && (other.tier != lane.tier || one.id < id);
            before += waiting.iter().filter(first).map(|one| f64::from(one.parts)).sum::<f64>();
        }
        let rate = self.apps.get(&entry.app)?.contract();
        let after = Duration::try_from_secs_f64(before / rate).unwrap_or(Duration::MAX);
        Some(ready.after(after))
    }

    /// How many messages are before it, and about how long those keep it waiting.
    fn before(&self, now: Time, lane: &LaneKey, app: AppId, id: Option<MessageId>) -> (usize, Option<Duration>) {
        let rank = self.ranks.rank(lane.tier);
        let (mut ahead, mut all) = (0, 0);
        for (other, waiting) in self.lanes.iter().filter(|(other, _)| other.group == lane.group) {
            let before = match id {
                _ if self.ranks.rank(other.tier) < rank => waiting.len(),
                _ if other.tier != lane.tier => continue,
                Some(id) => waiting.iter().filter(|entry| entry.id < id).count(),
                None => waiting.len(),
            };
            ahead += before;
            all += if other.tier == lane.tier { waiting.len() } else { before };
        }
        let outlook = self.outlook(now).remove(&(lane.group, lane.tier));
        // What is told there is for one that comes now, after all of them.
        let wait = outlook.map(|outlook| outlook.wait_of(app).mul_f64(ahead as f64 / all.max(1) as f64));
        (ahead, wait.filter(|_| ahead > 0))
    }

    /// Asks for the message as if it were its turn; a window too small for it moves it on to its next lane, as it would
    /// then.
    fn explained(&mut self, now: Time, pending: Pending) -> Explanation {
        let Pending { entry, mut lane } = pending;
        let before = lane.class.clone();
        let rank = self.ranks.rank(lane.tier);
        let app_rests = self.rests(now, &entry).filter(|_| entry.until() > now);
        let aside = self.put_aside(&lane);
        let place = loop {
            self.channels.values_mut().for_each(|channel| channel.claimed = false);
            self.trace = Some(Vec::new());
            if lane.class.alone {
                break Place::Alone;
            }
            match self.place(now, rank, LAST, &lane, &entry) {
                Place::Without(channel) => lane.class.exclude(channel),
                Place::Abandon => lane = lane.without_only(),
                place => break place,
            }
        };
        let passed = self.trace.take().unwrap_or_default();
        let (decision, why) = match place {
            Place::Start(..) | Place::Wait(_) if app_rests.is_some() => (Explained::Waits(app_rests), None),
            Place::Start(channel, _, chosen) => (Explained::Starts(channel), Some(chosen.why)),
            Place::Wait(until) => (Explained::Waits(Some(until).filter(|until| *until != Time::NEVER)), None),
            Place::End(end) => (Explained::Ends(end), None),
            Place::Without(_) | Place::Abandon | Place::Turn(_) | Place::Defer(_) | Place::Alone | Place::Join => {
                (Explained::Waits(None), None)
            }
        };
        let strategy = self.choices.get(&lane.group).map_or("", |choice| choice.strategy.name());
        let mut candidates = self.asked(now, &lane, &entry, decision, &passed);
        self.left_out(now, &lane, &entry, &before.excluded, &mut candidates);
        self.put_back(aside);
        for candidate in candidates.iter_mut().filter(|candidate| candidate.rank.is_some()) {
            candidate.why_not = match app_rests {
                Some(until) if candidate.factors.usable => Some((Cause::AppRate, millis(until.since(now)))),
                _ => candidate.why_not,
            };
        }
        Explanation { strategy, decision, why, ahead: 0, wait: None, app_rests, candidates }
    }

    /// What asking for a place changes.
    fn put_aside(&mut self, lane: &LaneKey) -> Aside {
        let choice = self.choices.get(&lane.group).map(|choice| (lane.group, choice.clone()));
        let channels = self.channels.iter().map(|(id, channel)| (*id, channel.claimed, channel.stats.clone()));
        Aside { choice, channels: channels.collect(), ranked: std::mem::take(&mut self.ranked) }
    }

    fn put_back(&mut self, aside: Aside) {
        self.choices.extend(aside.choice);
        for (id, claimed, stats) in aside.channels {
            if let Some(channel) = self.channels.get_mut(&id) {
                (channel.claimed, channel.stats) = (claimed, stats);
            }
        }
        self.ranked = aside.ranked;
    }

    /// Those that were ranked.
    fn asked(
        &self,
        now: Time,
        lane: &LaneKey,
        entry: &Entry,
        decision: Explained,
        passed: &[(ChannelId, Cause, u32)],
    ) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut chosen = false;
        let strategy = self.choices.get(&lane.group).map(|choice| &choice.strategy);
        let scores = matches!(strategy, Some(Strategy::Quality { .. } | Strategy::Balanced(_)));
        for ranked in &self.ranked {
            if candidates.iter().any(|candidate| candidate.channel == ranked.id && candidate.chosen) {
                continue;
            }
            candidates.retain(|candidate| candidate.channel != ranked.id);
            let here = decision == Explained::Starts(ranked.id) && !chosen;
            chosen |= here;
            let admits = self.channels.get(&ranked.id).is_some_and(|channel| channel.admits(lane.tier));
            let why_not = match passed.iter().find(|(id, ..)| *id == ranked.id) {
                _ if here => None,
                _ if !admits => Some((Cause::Tier, 0)),
                Some((_, cause, number)) => Some((*cause, *number)),
                None if matches!(decision, Explained::Starts(_)) => Some((Cause::Worse, 0)),
                None => Some((Cause::Patience, 0)),
            };
            candidates.push(Candidate {
                channel: ranked.id,
                rank: admits.then_some(0),
                chosen: here,
                explores: ranked.explores,
                score: scores.then_some(ranked.score),
                why_not,
                factors: self.factors(now, lane, entry, ranked.id),
            });
        }
        // Those that do not take the tier are not asked.
        candidates.sort_by_key(|candidate| candidate.rank.is_none());
        let asked = candidates.iter_mut().filter_map(|candidate| candidate.rank.as_mut());
        asked.zip(1..).for_each(|(rank, at)| *rank = at);
        candidates
    }

    /// The group's other channels.
    fn left_out(
        &self,
        now: Time,
        lane: &LaneKey,
        entry: &Entry,
        excluded: &[ChannelId],
        candidates: &mut Vec<Candidate>,
    ) {
        let members = self.groups.get(&lane.group).map_or(&[][..], |group| &group.channels);
        for id in members {
            if candidates.iter().any(|candidate| candidate.channel == *id) {
                continue;
            }
            let cause = match () {
                () if excluded.contains(id) => Cause::Excluded,
                () if lane.class.excluded.contains(id) => Cause::Small,
                () => Cause::Bound,
            };
            candidates.push(Candidate {
                channel: *id,
                rank: None,
                chosen: false,
                explores: false,
                score: None,
                why_not: Some((cause, 0)),
                factors: self.factors(now, lane, entry, *id),
            });
        }
    }

    fn factors(&self, now: Time, lane: &LaneKey, entry: &Entry, id: ChannelId) -> Factors {
        let members = self.choices.get(&lane.group).map_or(&[][..], |choice| choice.members());
        let Some((at, member)) = members.iter().enumerate().find(|(_, member)| member.id == id) else {
            return Factors::default();
        };
        let Some(channel) = self.channels.get(&id) else { return Factors::default() };
        let view = channel.view(now, None);
        let stats = &channel.stats;
        Factors {
            preference: at + 1,
            weight: member.weight,
            owed: member.owed,
            cost: member.cost,
            success: stats.success(),
            answers: stats.answers(),
            delivered: stats.delivered(),
            receipts: stats.receipts(),
            latency: stats.latency(),
            load: channel.load(now),
            health: channel.weight(),
            below_floor: member.scores.below,
            in_flight: view.in_flight,
            window: view.window,
            pace: view.pace,
            rate: view.rate_now,
            tier: channel.admits(lane.tier),
            parts: !channel.too_small(entry.parts),
            usable: channel.usable(now, entry.parts) == Usable::Yes,
            held: channel.held,
            excluded: lane.class.excluded.contains(&id),
            avoided: lane.class.avoid == Some(id),
        }
    }
}
