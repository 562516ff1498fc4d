//! Scores from live statistics, for the strategies quality and balanced.

use std::time::Duration;

use super::super::channel::Channel;
use super::{Member, Ranked};
use crate::clock::Time;
use crate::config::plan::{Balance, ChannelId, Strategy};
use crate::few::Few;

/// So much better a channel must be to pass one that stands before it, and so far above a floor to count as above it
/// again: chance alone must not move traffic to and fro.
const MARGIN: f64 = 0.05;
/// So much more for one of whom little is known, divided by the root of what is.
const DOUBT: f64 = 0.3;
/// The time to the answer at which latency counts half.
const HALF: Duration = Duration::from_secs(1);
/// How much of quality latency can take away.
const SLOWNESS: f64 = 0.2;

/// What was seen of a channel at the last look at the statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scores {
    /// Share of answers that are not its failure.
    pub(crate) success: f64,
    /// Share of receipts that say delivered; of a channel without receipts, that of the others.
    pub(crate) delivered: f64,
    /// The time within which nine of ten answers come; of a channel without answers, the best of the others.
    pub(crate) latency: Duration,
    /// All of it in one number, as far as the strategy has one; 0 to 1.
    pub(crate) score: f64,
    /// How little is known of it, as a part of the score.
    pub(crate) doubt: f64,
    /// Below a floor: the last resort.
    pub(crate) below: bool,
}

impl Default for Scores {
    fn default() -> Self {
        Scores { success: 1.0, delivered: 1.0, latency: Duration::ZERO, score: 1.0, doubt: 0.0, below: false }
    }
}

/// 1 for no time at all, a half for [`HALF`].
fn speed(latency: Duration) -> f64 {
    1.0 / (1.0 + latency.as_secs_f64() / HALF.as_secs_f64())
}

/// Takes over what the statistics say now.
pub(super) fn look(strategy: &Strategy, members: &mut [Member], channels: &Few<ChannelId, Channel>) {
    let stats = |member: &Member| channels.get(&member.id).map(|channel| &channel.stats);
    let delivered = || members.iter().filter_map(|member| stats(member)?.delivered());
    let mean = delivered().sum::<f64>() / delivered().count().max(1) as f64;
    let mean = if delivered().next().is_none() { 1.0 } else { mean };
    let fastest = members.iter().filter_map(|member| stats(member)?.latency()).min().unwrap_or_default();
    let prices = members.iter().map(|member| member.cost);
    let cheapest = prices.fold(f64::INFINITY, f64::min);
    for member in members {
        let Some(channel) = channels.get(&member.id) else { continue };
        let stats = &channel.stats;
        let scores = &mut member.scores;
        scores.success = stats.success();
        scores.delivered = stats.delivered().unwrap_or(mean);
        scores.latency = stats.latency().unwrap_or(fastest);
        scores.doubt = DOUBT / (stats.answers() + 4.0).sqrt();
        let quality = scores.success * scores.delivered;
        match strategy {
            Strategy::Quality { .. } => {
                scores.score = quality * (1.0 - SLOWNESS * (1.0 - speed(scores.latency))) * channel.weight();
            }
            Strategy::Balanced(balance) => {
                let price = if member.cost <= 0.0 { 1.0 } else { cheapest / member.cost };
                scores.score =
                    balance.cost * price + balance.quality * quality + balance.latency * speed(scores.latency);
                scores.below = below(balance, scores);
            }
            Strategy::Preference | Strategy::Weighted(_) | Strategy::LeastCost => {}
        }
    }
}

/// Whether it is below a floor, or was and is not clearly above.
fn below(balance: &Balance, scores: &Scores) -> bool {
    let margin = if scores.below { MARGIN } else { 0.0 };
    scores.success < (balance.least_success + margin).min(1.0 - MARGIN).max(balance.least_success)
        || scores.delivered < (balance.least_delivered + margin).min(1.0 - MARGIN).max(balance.least_delivered)
        || scores.latency > balance.most_latency.mul_f64(1.0 - margin)
}

/// Moves ahead whoever is clearly better than one before it.
pub(super) fn reorder(members: &[Member], order: &mut [usize]) {
    let score = |at: &usize| members.get(*at).map_or(0.0, |member| member.scores.score);
    let safely = |at: &usize| members.get(*at).map_or(0.0, |member| member.scores.score - member.scores.doubt);
    for from in 1..order.len() {
        let Some((own, before)) = order.get(..=from).and_then(<[usize]>::split_last) else { return };
        let passes = before.iter().position(|at| safely(own) > score(at) + MARGIN);
        if let Some(passed) = passes.and_then(|to| order.get_mut(to..=from)) {
            passed.rotate_right(1);
        }
    }
}

/// Sorts by the weighted score as of now; channels below a floor and those of no use come last.
pub(super) fn sort(
    balance: &Balance,
    now: Time,
    members: &[Member],
    channels: &Few<ChannelId, Channel>,
    ranked: &mut [Ranked],
) {
    let counts = (balance.cost + balance.quality + balance.latency + balance.load).max(f64::MIN_POSITIVE);
    for one in ranked.iter_mut() {
        let load = channels.get(&one.id).map_or(1.0, |channel| channel.load(now));
        // Of those of no use, what they would have if they were of use.
        let factor = if one.open { one.factor } else { 1.0 };
        one.score = (one.score + balance.load * (1.0 - load)) / counts * factor;
    }
    let below = |one: &Ranked| members.get(one.at).is_some_and(|member| member.scores.below);
    ranked.sort_unstable_by(|a, b| {
        (!a.open, below(a)).cmp(&(!b.open, below(b))).then(b.score.total_cmp(&a.score)).then(a.at.cmp(&b.at))
    });
}
