//! Fair turns among flows that share something: start-time fair queueing over tags, one number per flow.
//!
//! What a flow is served moves its tag on by the cost; the flow with the lowest tag is next. A flow that could not be
//! served while others were saves nothing up: it goes on where the others are. Invariants are in LIFECYCLE.md.

use crate::config::plan::{AppId, Service, TierId};
use crate::few::Few;

/// Cost of a part of a flow that is entitled to all there is.
const PART: u64 = 1_000;
/// Shares are counted in thousandths.
const WHOLE: u64 = 1_000;
/// Tags kept before those that mean nothing any more are looked for.
const PRUNE: usize = 64;

/// The turns of some flows.
#[derive(Clone, Debug)]
pub(super) struct Fair<K> {
    /// Where the flow stood that was served last: nobody starts before it.
    now: u64,
    /// `now` at the beginning of the round; turns of one round compare with each other.
    base: u64,
    /// Where a flow may start next; one at or before `now` is as good as none.
    tags: Few<K, u64>,
    prune_at: usize,
}

impl<K> Default for Fair<K> {
    fn default() -> Fair<K> {
        Fair { now: 0, base: 0, tags: Few::default(), prune_at: PRUNE }
    }
}

impl<K: Copy + Ord> Fair<K> {
    /// A round begins: turns are counted from here.
    pub(super) fn round(&mut self) {
        self.base = self.now;
    }

    /// A flow's turn: the lower, the sooner; 0 for one that has had nothing lately.
    pub(super) fn turn(&self, flow: &K) -> u64 {
        self.start(flow).saturating_sub(self.base)
    }

    /// Where the flow would start if it were served now.
    pub(super) fn start(&self, flow: &K) -> u64 {
        self.tags.get(flow).copied().unwrap_or(0).max(self.now)
    }

    /// The flow is served at this cost. Returns where it starts next.
    pub(super) fn serve(&mut self, flow: K, cost: u64) -> u64 {
        let tag = self.tags.get_or_insert_with(flow, || 0);
        self.now = self.now.max(*tag);
        let next = self.now.saturating_add(cost);
        *tag = next;
        if self.tags.len() >= self.prune_at {
            let now = self.now;
            self.tags.retain(|_, tag| *tag > now);
            self.prune_at = PRUNE.max(self.tags.len() * 2);
        }
        next
    }
}

/// Who comes next on a channel: tiers by their shares, within a tier the apps alike.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tiers: Fair<TierId>,
    apps: Few<TierId, Fair<AppId>>,
}

/// A message's turn on a channel: its tier's, then its app's.
pub(super) type Turn = (u64, u64);

impl Turns {
    /// A round of matching begins.
    pub(super) fn round(&mut self) {
        self.tiers.round();
        self.apps.values_mut().for_each(Fair::round);
    }

    /// When it is a message's turn, compared with others of its rank.
    pub(super) fn turn(&self, tier: TierId, app: AppId) -> Turn {
        (self.tiers.turn(&tier), self.apps.get(&tier).map_or(0, |apps| apps.turn(&app)))
    }

    /// So many parts of it go; `cost` is that of one part of its tier ([`Shares::cost`]).
    pub(super) fn serve(&mut self, tier: TierId, app: AppId, parts: u8, cost: u64) {
        if cost > 0 {
            self.tiers.serve(tier, u64::from(parts) * cost);
        }
        self.apps.get_or_insert_with(tier, Fair::default).serve(app, u64::from(parts) * PART);
    }
}

/// Of what strict tiers leave, each weighted tier's share: by weight, and at least its minimum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares(Vec<(TierId, u64)>);

impl Shares {
    /// The shares of these tiers. Where minimums add up to more than everything, they count in proportion.
    pub(super) fn of(tiers: &[(TierId, Service)]) -> Shares {
        let weighted: Vec<(TierId, u64, u64)> = tiers
            .iter()
            .filter_map(|(id, service)| match service {
                Service::Weighted { weight, minimum } => {
                    Some((*id, u64::from(*weight).max(1), u64::from(*minimum) * WHOLE / 100))
                }
                Service::Strict => None,
            })
            .collect();
        let mut fixed = vec![false; weighted.len()];
        // Whoever its weight gives less than its minimum has the minimum; the others share the rest by weight.
        loop {
            let taken: u64 = weighted.iter().zip(&fixed).filter(|(_, f)| **f).map(|(w, _)| w.2).sum();
            let left = WHOLE.saturating_sub(taken);
            let weights: u64 = weighted.iter().zip(&fixed).filter(|(_, f)| !**f).map(|(w, _)| w.1).sum();
            let share = |w: &(TierId, u64, u64), fixed: bool| match (fixed, weights) {
                (true, _) | (_, 0) => w.2.max(1),
                (false, weights) => (left * w.1 / weights).max(1),
            };
            let short = weighted.iter().zip(&mut fixed).find(|(w, f)| !**f && share(w, false) < w.2);
            match short {
                Some((_, fixed)) => *fixed = true,
                None => return Shares(weighted.iter().zip(&fixed).map(|(w, f)| (w.0, share(w, *f))).collect()),
            }
        }
    }

    /// A weighted tier's share in thousandths; none for a strict one.
    pub(super) fn share(&self, tier: TierId) -> Option<u64> {
        self.0.iter().find(|(id, _)| *id == tier).map(|(_, share)| *share)
    }

    /// What a part of the tier costs; 0 for a strict one, which no turn of another tier holds up.
    pub(super) fn cost(&self, tier: TierId) -> u64 {
        self.share(tier).map_or(0, |share| PART * WHOLE / share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weighted(weight: u32, minimum: u8) -> Service {
        Service::Weighted { weight, minimum }
    }

    #[test]
    fn shares_follow_weights_and_keep_minimums() {
        let shares = |list: &[Service]| {
            let tiers: Vec<_> = list.iter().enumerate().map(|(i, s)| (TierId(i as u8), *s)).collect();
            let shares = Shares::of(&tiers);
            (0..list.len()).map(|i| shares.share(TierId(i as u8)).unwrap_or(0)).collect::<Vec<_>>()
        };
        assert_eq!(shares(&[Service::Strict, weighted(4, 0), weighted(1, 0)]), [0, 800, 200]);
        assert_eq!(shares(&[weighted(99, 0), weighted(1, 10)]), [900, 100]);
        assert_eq!(shares(&[weighted(98, 0), weighted(1, 20), weighted(1, 20)]), [600, 200, 200]);
        assert_eq!(shares(&[weighted(1, 60), weighted(1, 60)]), [600, 600], "in proportion");
        assert!(shares(&[]).is_empty());
    }

    #[test]
    fn who_was_away_saves_nothing_up() {
        let mut fair = Fair::default();
        fair.serve('a', 10);
        for _ in 0..1_000 {
            fair.serve('b', 10);
        }
        let mut run = 0;
        while fair.start(&'a') <= fair.start(&'b') {
            fair.serve('a', 10);
            run += 1;
        }
        assert!(run <= 2, "{run} in a row after an absence");
    }

    #[test]
    fn what_means_nothing_is_forgotten() {
        let mut fair = Fair::default();
        for flow in 0..100_000u32 {
            fair.serve(flow, 10);
            fair.serve(u32::MAX, 10);
        }
        assert!(fair.tags.len() <= 2 * PRUNE, "{}", fair.tags.len());
    }

    proptest! {
        /// Any two flows that always have something to send get service in proportion, to within one message each.
        #[test]
        fn shares_hold_under_saturation(
            flows in prop::collection::vec((prop::sample::select(vec![1u64, 2, 4, 5, 8, 10, 20]), 1u64..10), 2..8),
            rounds in 50usize..2_000,
        ) {
            let mut fair = Fair::default();
            let mut served = vec![0u64; flows.len()];
            for _ in 0..rounds {
                let next = (0..flows.len()).min_by_key(|flow| (fair.start(flow), *flow)).unwrap();
                let (weight, parts) = flows[next];
                fair.serve(next, parts * PART / weight);
                served[next] += parts;
            }
            for (i, (weight, parts)) in flows.iter().enumerate() {
                for (j, (other, others)) in flows.iter().enumerate() {
                    let apart = (served[i] as f64 / *weight as f64 - served[j] as f64 / *other as f64).abs();
                    let bound = *parts as f64 / *weight as f64 + *others as f64 / *other as f64;
                    prop_assert!(apart <= bound * 1.05 + 0.5, "{i} {j}: {apart} > {bound}");
                }
            }
        }

        /// However flows come and go, one that has something to send waits for at most one message of each other flow
        /// per message of its own, weighted.
        #[test]
        fn nobody_starves(present in prop::collection::vec(prop::collection::vec(any::<bool>(), 5), 200..600)) {
            let mut fair = Fair::default();
            let mut waits = 0;
            for others in present {
                let ready = (0..5usize).filter(|flow| *flow == 0 || others[*flow]);
                let next = ready.min_by_key(|flow| (fair.start(flow), *flow)).unwrap();
                fair.serve(next, PART);
                waits = if next == 0 { 0 } else { waits + 1 };
                prop_assert!(waits <= 8, "flow 0 waited for {waits}");
            }
        }
    }
}
