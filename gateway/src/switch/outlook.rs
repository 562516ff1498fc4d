//! What a new message would have to wait, by group and tier: parts served before it over the pace of the channels it
//! may use. Computed a few times a second, for the door and for operators.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::Channel;
use super::machine::Switch;
use crate::clock::Time;
use crate::config::plan::{AppId, ChannelId, GroupId, TierId};

/// The prospects of one group and tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Parts that go before a message that comes now: of stricter tiers, and of its own.
    pub parts_ahead: u64,
    /// Parts per second the group's channels take now for this tier, or would by contract while all of them are down.
    pub pace: f64,
    /// How long a message that comes now waits, as if all of its tier went before it.
    pub wait: Duration,
    /// Since when no channel can be used; none while one can.
    pub down_since: Option<Time>,
    /// Of each app that waits here: how long its next message waits. Apps take turns.
    pub apps: BTreeMap<AppId, Duration>,
    /// How long the first message of an app waits that has nothing waiting here.
    pub newcomer: Duration,
    /// Of each app with a rate of its own and something waiting that goes first: how long its next message waits for
    /// that rate at least.
    pub rated: BTreeMap<AppId, Duration>,
}

impl Outlook {
    /// How long the next message of an app waits: for its turn among the others, and for its own rate.
    #[must_use]
    pub fn wait_of(&self, app: AppId) -> Duration {
        let turn = self.apps.get(&app).copied().unwrap_or(self.newcomer).min(self.wait);
        turn.max(self.rated.get(&app).copied().unwrap_or_default())
    }
}

/// All prospects.
pub type Prospect = BTreeMap<(GroupId, TierId), Outlook>;

/// Longer than anything is worth waiting for.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);

/// What waits in one group and tier.
#[derive(Default)]
struct Waiting {
    parts: u64,
    messages: usize,
    apps: BTreeMap<AppId, usize>,
}

impl Switch {
    /// The prospects of every group and tier of the plan as of the last [`Switch::settle`]. Costs a look at every lane
    /// and its apps.
    #[must_use]
    pub fn outlook(&self, now: Time) -> Prospect {
        let mut waiting: BTreeMap<(GroupId, TierId), Waiting> = BTreeMap::new();
        for (key, lane) in self.lanes.iter().filter(|(_, lane)| !lane.is_empty()) {
            let sum = waiting.entry((key.group, key.tier)).or_default();
            sum.parts += lane.parts();
            sum.messages += lane.len();
            for (app, messages) in lane.apps() {
                *sum.apps.entry(app).or_default() += messages;
            }
        }
        let rated = self.rated(now, &mut waiting);
        let loads = self.loads(now, &waiting);
        let mut prospects = Prospect::new();
        for group in self.groups.values() {
            for tier in &self.tiers {
                if let Some((channels, pace, down_since)) = self.members(now, group.id, tier.id) {
                    let own = waiting.get(&(group.id, tier.id));
                    let outlook = self.prospect(tier.id, &channels, pace, own, &loads);
                    let rank = self.tier(tier.id).0;
                    let rated = rated.iter().map(|(app, (rate, by_rank))| {
                        let before: f64 = by_rank.iter().filter(|(of, _)| **of <= rank).map(|(_, parts)| parts).sum();
                        (*app, seconds(before / rate))
                    });
                    let rated = rated.filter(|(_, wait)| !wait.is_zero()).collect();
                    prospects.insert((group.id, tier.id), Outlook { down_since, rated, ..outlook });
                }
            }
        }
        prospects
    }

    /// Since when a channel is of no use, if so: nothing can go, or its health counts it as down.
    fn away_since(&self, id: ChannelId, channel: &Channel) -> Option<Time> {
        channel.out_since().into_iter().chain(self.watch.machines.down_since(id)).min()
    }

    /// The channels a group's tier may use, their pace, and since when none of them can be used. Those that can
    /// count, and all of them by contract where none can.
    fn members(&self, now: Time, group: GroupId, tier: TierId) -> Option<(Vec<ChannelId>, f64, Option<Time>)> {
        let all = self.groups.get(&group)?.channels.iter();
        let all = all.filter_map(|id| Some((*id, self.channels.get(id)?))).filter(|(_, c)| c.admits(tier));
        let all: Vec<_> = all.collect();
        let open: Vec<_> = all.iter().filter(|(id, c)| self.away_since(*id, c).is_none()).collect();
        if open.is_empty() {
            let since = all.iter().filter_map(|(id, c)| self.away_since(*id, c)).max()?;
            let pace = all.iter().map(|(_, c)| c.pace.contract()).sum();
            return Some((all.iter().map(|(id, _)| *id).collect(), pace, Some(since)));
        }
        let pace = open.iter().map(|(_, c)| c.pace.rate_at(now)).sum();
        Some((open.iter().map(|(id, _)| *id).collect(), pace, None))
    }

    /// Rate and parts by rank of every app that has a rate of its own and something waiting. Of what those have
    /// waiting only what may go while all others are served keeps anybody else waiting: the rest is taken out of
    /// `waiting`.
    fn rated(
        &self,
        now: Time,
        waiting: &mut BTreeMap<(GroupId, TierId), Waiting>,
    ) -> BTreeMap<AppId, (f64, BTreeMap<usize, f64>)> {
        let mut rated: BTreeMap<AppId, (f64, BTreeMap<usize, f64>)> = BTreeMap::new();
        if self.apps.is_empty() {
            return rated;
        }
        let each = |sum: &Waiting| if sum.messages > 0 { sum.parts as f64 / sum.messages as f64 } else { 0.0 };
        // By group: parts of the others, and the rates of these.
        let mut groups: BTreeMap<GroupId, (f64, f64)> = BTreeMap::new();
        for ((group, tier), sum) in waiting.iter() {
            let of_group = groups.entry(*group).or_default();
            for (app, messages) in &sum.apps {
                let parts = *messages as f64 * each(sum);
                let Some(pace) = self.apps.get(app) else {
                    of_group.0 += parts;
                    continue;
                };
                let (rate, by_rank) = rated.entry(*app).or_insert_with(|| (pace.contract(), BTreeMap::new()));
                of_group.1 += *rate;
                *by_rank.entry(self.tier(*tier).0).or_default() += parts;
            }
        }
        for ((group, tier), sum) in waiting.iter_mut() {
            let Some((others, rates)) = groups.get(group) else { continue };
            let pace = self.members(now, *group, *tier).map_or(0.0, |(_, pace, _)| pace);
            let busy = others / (pace - rates).max(pace / 10.0) + 1.0;
            let each = each(sum);
            for (app, messages) in &mut sum.apps {
                let Some(pace) = self.apps.get(app).filter(|_| each > 0.0 && busy.is_finite()) else { continue };
                let most = (pace.contract() * busy / each).ceil() as usize;
                let over = messages.saturating_sub(most);
                *messages -= over;
                sum.messages -= over;
                sum.parts = sum.parts.saturating_sub((over as f64 * each) as u64);
            }
        }
        rated
    }

    /// Parts that wait for each channel, by tier: those of a group are spread over its channels by their pace.
    fn loads(&self, now: Time, waiting: &BTreeMap<(GroupId, TierId), Waiting>) -> BTreeMap<(ChannelId, TierId), f64> {
        let mut loads = BTreeMap::new();
        for ((group, tier), sum) in waiting {
            let Some((channels, pace, _)) = self.members(now, *group, *tier) else { continue };
            for id in &channels {
                let own = self.channels.get(id).map_or(0.0, |c| c.pace.rate_at(now));
                let share = if pace > 0.0 { own / pace } else { 1.0 / channels.len() as f64 };
                *loads.entry((*id, *tier)).or_default() += sum.parts as f64 * share;
            }
        }
        loads
    }

    fn prospect(
        &self,
        tier: TierId,
        channels: &[ChannelId],
        pace: f64,
        own: Option<&Waiting>,
        loads: &BTreeMap<(ChannelId, TierId), f64>,
    ) -> Outlook {
        let rank = self.tier(tier).0;
        let load = |of: TierId| channels.iter().filter_map(|id| loads.get(&(*id, of))).sum::<f64>();
        let (mut above, mut others, mut shares) = (0.0, 0.0, 0);
        for other in self.tiers.iter().map(|rule| rule.id).filter(|other| *other != tier) {
            let waits = load(other);
            match self.tier(other).0 {
                higher if higher < rank => above += waits,
                equal if equal == rank && waits > 0.0 => {
                    others += waits;
                    shares += self.shares.share(other).unwrap_or(0);
                }
                _ => {}
            }
        }
        let own_share = self.shares.share(tier).unwrap_or(1);
        let part_of = own_share as f64 / (own_share + shares) as f64;
        let mine = load(tier);
        // Others of its rank take no more than their share, nor more than they have.
        let wait = |mine: f64| seconds(above / pace + (mine / (pace * part_of)).min((mine + others) / pace));
        let mut outlook = Outlook {
            parts_ahead: (above + mine).round() as u64,
            pace,
            wait: wait(mine),
            down_since: None,
            apps: BTreeMap::new(),
            newcomer: wait(0.0),
            rated: BTreeMap::new(),
        };
        let Some(own) = own.filter(|own| own.messages > 0) else { return outlook };
        let each = own.parts as f64 / own.messages as f64;
        let spread = if own.parts > 0 { mine / own.parts as f64 } else { 1.0 };
        outlook.newcomer = wait(own.apps.len() as f64 * each * spread);
        // While an app sends its own, every other one sends as much, if it has as much.
        let mut by_count: Vec<(usize, AppId)> = own.apps.iter().map(|(app, messages)| (*messages, *app)).collect();
        by_count.sort_unstable();
        let (mut fewer, mut left) = (0, by_count.len());
        for (messages, app) in by_count {
            let before = (fewer + messages * left) as f64;
            outlook.apps.insert(app, wait(before * each * spread));
            (fewer, left) = (fewer + messages, left - 1);
        }
        outlook
    }
}

fn seconds(seconds: f64) -> Duration {
    if seconds.is_finite() && seconds < FOR_EVER.as_secs_f64() {
        Duration::from_secs_f64(seconds.max(0.0))
    } else if seconds > 0.0 {
        FOR_EVER
    } else {
        Duration::ZERO
    }
}
