//! In which order a group's channels are offered a message, and how long it holds out for a better one.
//!
//! A strategy ranks; whether a channel is usable and has room is asked afterwards, in that order, by the matching. What
//! a strategy remembers lives here, per group: who is owed how many parts (`weighted`), and the scores of the last look
//! at the statistics (`score`).

mod score;
mod weighted;

use std::time::Duration;

use super::GroupRule;
use super::channel::{Channel, Usable};
use super::lane::{Class, Entry};
use super::why::{Reason, Why};
use crate::clock::Time;
use crate::config::plan::{ChannelId, Strategy, TierId};
use crate::few::Few;

pub(super) use score::Scores;

/// Scores are looked at anew at most so often.
const REFRESH: Duration = Duration::from_millis(100);

/// Of the first tier, only what looks as healthy as this is tried for its statistics.
const HEALTHY: f64 = 0.9;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asks<'c> {
    /// The message's class.
    pub(super) class: &'c Class,
    /// Its tier.
    pub(super) tier: TierId,
    /// Whether that is the first one.
    pub(super) first: bool,
    /// Its parts.
    pub(super) parts: u8,
    /// Whether a channel's health lets it be used in its turn.
    pub(super) well: &'c dyn Fn(ChannelId) -> bool,
}

/// A channel in the order in which it is offered the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranked {
    pub(super) id: ChannelId,
    /// Its place among the members.
    at: usize,
    /// Asked only to learn how it does: neither waited for nor claimed.
    pub(super) explores: bool,
    /// Whether it can be used at all; known where messages are spread.
    open: bool,
    /// What its health leaves of its weight.
    factor: f64,
    /// What the order rests on; the higher the better.
    pub(super) score: f64,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) id: ChannelId,
    pub(super) cost: f64,
    /// By configuration.
    pub(super) weight: u32,
    /// Parts it is behind its share.
    pub(super) owed: f64,
    /// When it last got a message.
    tried: Time,
    /// As of the last look.
    pub(super) scores: Scores,
}

/// A group's members as its strategy ranks them, with what it remembers.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) strategy: Strategy,
    /// By preference.
    members: Vec<Member>,
    /// Places among the members, best first, where the order does not depend on the message.
    order: Vec<usize>,
    /// When scores were last looked at; none before the first time.
    looked: Option<Time>,
    /// Messages that may go exploring.
    curiosity: f64,
}

impl Choice {
    /// A group's choice by this rule, which takes over what `before` remembers of members that stay.
    pub(super) fn new(rule: &GroupRule, before: Option<&Choice>, cost: impl Fn(ChannelId) -> f64) -> Choice {
        let weight = |at: usize| match &rule.strategy {
            Strategy::Weighted(weights) => weights.get(at).copied().unwrap_or(1),
            _ => 1,
        };
        let member = |(at, id): (usize, &ChannelId)| {
            let known = before.and_then(|before| before.members.iter().find(|member| member.id == *id));
            let fresh = Member { id: *id, cost: 0.0, weight: 1, owed: 0.0, tried: Time(0), scores: Scores::default() };
            Member { cost: cost(*id), weight: weight(at), ..known.cloned().unwrap_or(fresh) }
        };
        let members: Vec<Member> = rule.channels.iter().enumerate().map(member).collect();
        let mut order: Vec<usize> = (0..members.len()).collect();
        let price = |at: &usize| members.get(*at).map_or(0.0, |member| member.cost);
        match (&rule.strategy, before) {
            (Strategy::LeastCost, _) => order.sort_by(|a, b| price(a).total_cmp(&price(b))),
            // What was better stays ahead.
            (Strategy::Quality { .. }, Some(before)) if before.strategy.name() == rule.strategy.name() => {
                let stood = |at: &usize| {
                    let id = members.get(*at).map(|member| member.id);
                    before.ids().position(|before| Some(before) == id).unwrap_or(usize::MAX)
                };
                order.sort_by_key(stood);
            }
            _ => {}
        }
        Choice { strategy: rule.strategy.clone(), members, order, looked: None, curiosity: 0.0 }
    }

    /// Whether it spreads messages, and so ranks only what is of use.
    pub(super) fn spreads(&self) -> bool {
        matches!(self.strategy, Strategy::Weighted(_) | Strategy::Balanced(_))
    }

    /// Whether the order is the same for all messages of one look: neither what went before nor the message changes it.
    pub(super) fn is_steady(&self) -> bool {
        !self.spreads() && self.strategy.explore() == 0.0
    }

    fn ids(&self) -> impl Iterator<Item = ChannelId> {
        self.order.iter().filter_map(|at| self.members.get(*at)).map(|member| member.id)
    }

    /// The channels that a message may use, best first, the one to avoid last; appended to `out`.
    pub(super) fn rank(
        &mut self,
        now: Time,
        channels: &mut Few<ChannelId, Channel>,
        asks: &Asks<'_>,
        out: &mut Vec<Ranked>,
    ) {
        self.look(now, channels);
        let Class { excluded, avoid, only, alone: _ } = asks.class;
        let may = |id: &ChannelId| only.is_none_or(|only| only == *id) && excluded.binary_search(id).is_err();
        let spread = self.spreads();
        let explores = self.curiosity >= 1.0 && *asks.class == Class::default();
        let open = |id: &ChannelId| {
            (spread || explores)
                && channels.get(id).is_some_and(|channel| {
                    channel.admits(asks.tier) && matches!(channel.usable(now, asks.parts), Usable::Yes)
                })
                && (asks.well)(*id)
        };
        let start = out.len();
        for at in &self.order {
            let Some(member) = self.members.get(*at).filter(|member| may(&member.id)) else { continue };
            let weighs = spread || explores;
            let factor = if weighs { channels.get(&member.id).map_or(1.0, Channel::weight) } else { 1.0 };
            let score = member.scores.score;
            out.push(Ranked { id: member.id, at: *at, explores: false, open: open(&member.id), factor, score });
        }
        let Some(ranked) = out.get_mut(start..) else { return };
        match &self.strategy {
            Strategy::Preference | Strategy::LeastCost | Strategy::Quality { .. } => {}
            Strategy::Weighted(_) => weighted::sort(&self.members, ranked),
            Strategy::Balanced(balance) => score::sort(balance, now, &self.members, channels, ranked),
        }
        if let Some(at) = avoid.and_then(|avoid| ranked.iter().position(|ranked| ranked.id == avoid))
            && let Some(rest) = ranked.get_mut(at..)
        {
            rest.rotate_left(1);
            // It gets nothing of this message that it could be owed.
            rest.last_mut().into_iter().for_each(|avoided| avoided.open = false);
        }
        let target = Some(()).filter(|()| explores).and_then(|()| self.unexplored(asks, out, start));
        if let Some(target) = target {
            out.insert(start, Ranked { explores: true, ..target });
        }
    }

    /// Whom to try for its statistics: of those that are not first, the one that got nothing for longest. A message of
    /// the first tier does not try what looks ill.
    fn unexplored(&self, asks: &Asks<'_>, out: &[Ranked], start: usize) -> Option<Ranked> {
        let healthy = |ranked: &Ranked, member: &Member| {
            member.scores.success >= HEALTHY && !member.scores.below && ranked.factor >= 1.0
        };
        let others = out.get(start + 1..)?.iter().filter(|ranked| ranked.open);
        let others = others.filter_map(|ranked| Some((ranked, self.members.get(ranked.at)?)));
        let others = others.filter(|(ranked, member)| !asks.first || healthy(ranked, member));
        others.min_by_key(|(_, member)| member.tried).map(|(ranked, _)| *ranked)
    }

    /// Looks at the statistics, if that is due.
    fn look(&mut self, now: Time, channels: &mut Few<ChannelId, Channel>) {
        let due = self.looked.is_none_or(|looked| now.since(looked) >= REFRESH);
        if !due || matches!(self.strategy, Strategy::Preference | Strategy::Weighted(_) | Strategy::LeastCost) {
            return;
        }
        self.looked = Some(now);
        for member in &self.members {
            if let Some(channel) = channels.get_mut(&member.id) {
                channel.stats.advance(now);
            }
        }
        score::look(&self.strategy, &mut self.members, channels);
        if matches!(self.strategy, Strategy::Quality { .. }) {
            score::reorder(&self.members, &mut self.order);
        }
    }

    /// The message goes to that one of those ranked.
    pub(super) fn took(&mut self, now: Time, ranked: &[Ranked], chosen: usize, parts: u8) {
        let Some(taken) = ranked.get(chosen) else { return };
        if let Some(member) = self.members.get_mut(taken.at) {
            member.tried = now;
        }
        if let Strategy::Weighted(_) = self.strategy {
            weighted::charge(&mut self.members, ranked.get(chosen..).unwrap_or_default(), parts);
        }
        let explored = if taken.explores { 1.0 } else { 0.0 };
        self.curiosity = (self.curiosity + self.strategy.explore() - explored).clamp(0.0, 2.0);
    }

    /// What speaks for a channel that is first.
    pub(super) fn reason(&self, ranked: &[Ranked], chosen: usize) -> Why {
        let Some(taken) = ranked.get(chosen) else { return Why::default() };
        let percent = |share: f64| (share * 100.0).round().clamp(0.0, 100.0) as u32;
        let (reason, number) = match &self.strategy {
            _ if taken.explores => (Reason::Explored, 0),
            _ if ranked.len() == 1 => (Reason::Only, 0),
            Strategy::Preference => (Reason::Preferred, 0),
            Strategy::Weighted(_) => (Reason::Weighted, percent(self.share(ranked, taken))),
            Strategy::LeastCost => (Reason::Cheapest, 0),
            Strategy::Quality { .. } => (Reason::Best, percent(taken.score)),
            Strategy::Balanced(_) => (Reason::Balanced, percent(taken.score)),
        };
        Why { number, ..Why::from(reason) }
    }

    /// Where messages are spread: those of no use now that would stand before the chosen one if they were of use, the
    /// best first.
    pub(super) fn kept_from(&self, ranked: &[Ranked], chosen: usize) -> impl Iterator<Item = ChannelId> {
        let taken = ranked.get(chosen).copied().filter(|taken| !taken.explores);
        let better = move |one: &&Ranked, taken: Ranked| match &self.strategy {
            Strategy::Weighted(_) => weighted::before(&self.members, ranked, one, &taken),
            Strategy::Balanced(_) => {
                let below = |one: &Ranked| self.members.get(one.at).is_some_and(|member| member.scores.below);
                (below(one), -one.score) < (below(&taken), -taken.score)
            }
            Strategy::Preference | Strategy::LeastCost | Strategy::Quality { .. } => false,
        };
        let closed = ranked.iter().filter(|one| !one.open && !one.explores);
        closed.filter(move |one| taken.is_some_and(|taken| better(one, taken))).map(|one| one.id)
    }

    /// A channel's share of the weights in service.
    fn share(&self, ranked: &[Ranked], taken: &Ranked) -> f64 {
        let weight = |one: &Ranked| self.members.get(one.at).map_or(0.0, |member| f64::from(member.weight));
        let sum: f64 = ranked.iter().filter(|one| one.open && !one.explores).map(weight).sum();
        if sum > 0.0 { weight(taken) / sum } else { 0.0 }
    }

    /// The members, by preference.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }
}

/// From when on a message takes a worse channel although a better one is usable but busy.
pub(super) fn patience(group: &GroupRule, entry: &Entry) -> Time {
    group.spill_after.map_or(Time::NEVER, |wait| entry.accepted.after(wait))
}

#[cfg(test)]
mod tests;
