use super::*;
use crate::config::plan::{Balance, GroupId};
use crate::switch::ChannelRule;
use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assume, proptest};

const NOW: Time = Time(10_000_000);

fn id(n: u16) -> ChannelId {
    ChannelId(n)
}

/// A group and its channels, with time.
struct Group {
    now: Time,
    rule: GroupRule,
    choice: Choice,
    channels: Few<ChannelId, Channel>,
    costs: Vec<f64>,
    /// Where messages went.
    went: Vec<u16>,
    explored: u32,
}

impl Group {
    fn new(strategy: Strategy, costs: &[f64]) -> Group {
        let ids: Vec<ChannelId> = (0..costs.len() as u16).map(ChannelId).collect();
        let rule = GroupRule { id: GroupId(0), channels: ids.clone(), spill_after: None, strategy, internal: false };
        let mut channels = Few::new();
        for id in ids {
            let mut channel = Channel::new(NOW);
            let tiers = vec![TierId(0), TierId(1)];
            let rule = ChannelRule { id, rate: 1e6, burst: 1_000_000, tiers, ..ChannelRule::default() };
            channel.set(NOW, Some(&rule), Some(TierId(0)));
            channel.up(0, 1_000_000);
            channels.insert(id, channel);
        }
        let costs = costs.to_vec();
        let choice = Choice::new(&rule, None, |id| costs[usize::from(id.0)]);
        Group { now: NOW, rule, choice, channels, costs, went: Vec::new(), explored: 0 }
    }

    fn replan(&mut self, strategy: Strategy) {
        self.rule.strategy = strategy;
        self.choice = Choice::new(&self.rule, Some(&self.choice), |id| self.costs[usize::from(id.0)]);
    }

    fn rank(&mut self, class: &Class, first: bool) -> Vec<Ranked> {
        let mut out = Vec::new();
        let asks = Asks { class, tier: TierId(u8::from(!first)), first, parts: 1, well: &|_| true };
        self.choice.rank(self.now, &mut self.channels, &asks, &mut out);
        out
    }

    fn order(&mut self, class: &Class) -> Vec<u16> {
        self.rank(class, true).iter().filter(|ranked| !ranked.explores).map(|ranked| ranked.id.0).collect()
    }

    /// Sends one message to the first that is usable; where it went.
    fn send(&mut self, parts: u8, first: bool) -> u16 {
        let ranked = self.rank(&Class::default(), first);
        let usable = |ranked: &Ranked| self.channels[&ranked.id].usable(self.now, 1) == Usable::Yes;
        let at = ranked.iter().position(usable).unwrap();
        self.choice.took(self.now, &ranked, at, parts);
        self.explored += u32::from(ranked[at].explores);
        self.went.push(ranked[at].id.0);
        ranked[at].id.0
    }

    /// Sends messages at that rate for so long; `fails(channel, n)`: whether its n-th answer is a failure.
    fn run(&mut self, rate: u64, seconds: u64, took_ms: &[u64], mut fails: impl FnMut(u16, u64) -> bool) {
        for n in 0..rate * seconds {
            self.now = self.now.after(Duration::from_micros(1_000_000 / rate));
            let to = self.send(1, false);
            let failed = fails(to, n);
            let stats = &mut self.channels.get_mut(&id(to)).unwrap().stats;
            stats.answered(Duration::from_millis(took_ms[usize::from(to)]), !failed);
        }
    }

    fn share(&self, of: u16, last: usize) -> f64 {
        let tail = &self.went[self.went.len() - last..];
        tail.iter().filter(|to| **to == of).count() as f64 / last as f64
    }

    fn first(&mut self) -> u16 {
        self.order(&Class::default())[0]
    }
}

const QUALITY: Strategy = Strategy::Quality { explore: 0.02 };

fn weighted(weights: &[u32]) -> Strategy {
    Strategy::Weighted(weights.to_vec())
}

#[test]
fn every_strategy_leaves_out_excluded_and_tries_the_avoided_one_last() {
    let balanced = Strategy::Balanced(Balance::default());
    for strategy in [Strategy::Preference, weighted(&[4, 3, 2, 1]), Strategy::LeastCost, QUALITY, balanced] {
        let mut group = Group::new(strategy.clone(), &[1.0, 2.0, 3.0, 4.0]);
        let mut class = Class::default();
        assert_eq!(group.order(&class), [0, 1, 2, 3], "{strategy:?}");
        class.avoid = Some(id(0));
        assert_eq!(group.order(&class), [1, 2, 3, 0], "{strategy:?}");
        class.exclude(id(2));
        class.exclude(id(2));
        assert_eq!(group.order(&class), [1, 3, 0], "{strategy:?}");
        class.exclude(id(0));
        assert_eq!(group.order(&class), [1, 3], "{strategy:?}");
        class.avoid = Some(id(9));
        assert_eq!(group.order(&class), [1, 3], "not a member any more");
        class.only = Some(id(3));
        assert_eq!(group.order(&class), [3], "{strategy:?}");
    }
}

#[test]
fn the_cheapest_comes_first_and_among_equals_the_preferred() {
    let mut group = Group::new(Strategy::LeastCost, &[3.0, 1.0, 2.0, 1.0]);
    assert_eq!(group.order(&Class::default()), [1, 3, 2, 0]);
}

#[test]
fn three_to_one_is_three_to_one_from_the_first_message_on() {
    let mut group = Group::new(weighted(&[3, 1]), &[0.0; 2]);
    let went: Vec<u16> = (0..8).map(|_| group.send(1, true)).collect();
    assert_eq!(went.iter().filter(|to| **to == 0).count(), 6, "{went:?}");
    assert!(went.windows(4).all(|four| four.contains(&1)), "smooth: {went:?}");
}

#[test]
fn a_channel_without_weight_is_only_for_when_no_other_can() {
    let mut group = Group::new(weighted(&[0, 1, 1]), &[0.0; 3]);
    (0..100).for_each(|_| _ = group.send(1, true));
    assert!(!group.went.contains(&0));
    group.channels.get_mut(&id(1)).unwrap().down(0);
    group.channels.get_mut(&id(2)).unwrap().down(0);
    assert_eq!(group.send(1, true), 0);
}

#[test]
fn what_a_channel_could_not_carry_is_not_made_up_for() {
    let mut group = Group::new(weighted(&[1, 1]), &[0.0; 2]);
    group.channels.get_mut(&id(0)).unwrap().down(0);
    (0..1_000).for_each(|_| _ = group.send(1, true));
    group.channels.get_mut(&id(0)).unwrap().up(0, 100);
    let went: Vec<u16> = (0..10).map(|_| group.send(1, true)).collect();
    assert_eq!(went.iter().filter(|to| **to == 0).count(), 5, "{went:?}");
}

#[test]
fn a_new_plan_keeps_what_is_owed() {
    let mut group = Group::new(weighted(&[1, 1]), &[0.0; 2]);
    let first = group.send(1, true);
    group.replan(weighted(&[1, 1]));
    assert_ne!(group.send(1, true), first);
}

#[test]
fn quality_moves_away_from_a_bad_channel_and_comes_back_when_it_is_the_better_one() {
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    group.run(20, 60, &[50, 50], |_, _| false);
    assert!(group.share(0, 1_000) > 0.95, "the preferred of equals");
    group.run(20, 60, &[50, 50], |to, n| to == 0 && n % 2 == 0);
    assert_eq!(group.first(), 1);
    assert!(group.share(1, 800) > 0.95, "{}", group.share(1, 800));
    group.run(20, 1_200, &[50, 50], |to, n| to == 1 && n % 5 == 0);
    assert_eq!(group.first(), 0, "explored, and found to be well again");
}

#[test]
fn a_channel_that_is_gone_for_good_gets_the_explorers_only() {
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    group.run(20, 1_800, &[50, 50], |to, _| to == 0);
    let share = group.share(0, 30_000);
    assert!((0.018..0.025).contains(&share), "{share}");
}

#[test]
fn a_slow_channel_loses_to_a_fast_one() {
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    group.run(20, 120, &[2_000, 50], |_, _| false);
    assert_eq!(group.first(), 1);
}

#[test]
fn receipts_count_for_quality() {
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    for n in 0..200 {
        group.channels.get_mut(&id(0)).unwrap().stats.receipt(n % 2 == 0);
        group.channels.get_mut(&id(1)).unwrap().stats.receipt(n % 10 != 0);
    }
    assert_eq!(group.first(), 1);
}

#[test]
fn the_first_tier_tries_nothing_that_looks_ill() {
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    group.run(20, 60, &[50, 50], |to, _| to == 0);
    assert_eq!(group.first(), 1);
    let went: Vec<u16> = (0..1_000).map(|_| group.send(1, true)).collect();
    assert!(!went.contains(&0));
    let mut group = Group::new(QUALITY, &[0.0; 2]);
    let went: Vec<u16> = (0..1_000).map(|_| group.send(1, true)).collect();
    assert!(went.contains(&1), "what is not known to be ill is tried");
}

#[test]
fn a_better_one_elsewhere_in_the_order_is_found() {
    let member = |score| Member {
        id: id(0),
        cost: 0.0,
        weight: 1,
        owed: 0.0,
        tried: NOW,
        scores: Scores { score, ..Scores::default() },
    };
    let members = [member(0.90), member(0.93), member(0.96), member(0.5)];
    let mut order = vec![3, 0, 1, 2];
    score::reorder(&members, &mut order);
    assert_eq!(order, [2, 0, 1, 3], "it passes the one that is clearly worse, and the ones between");
    let before = order.clone();
    score::reorder(&members, &mut order);
    assert_eq!(order, before, "and there it stays");
}

#[test]
fn balance_weighs_cost_against_quality_and_below_a_floor_is_last() {
    let balance = Balance { explore: 0.0, ..Balance::default() };
    let mut group = Group::new(Strategy::Balanced(balance.clone()), &[1.0, 4.0]);
    assert_eq!(group.first(), 0, "cheap and as good");
    group.run(20, 60, &[50, 50], |to, n| to == 0 && n % 3 == 0);
    assert!(group.channels[&id(0)].stats.success() < balance.least_success);
    assert_eq!(group.first(), 1, "below its floor whatever it costs");
    let dear = Strategy::Balanced(Balance { cost: 100.0, least_success: 0.1, ..balance });
    group.replan(dear);
    assert_eq!(group.first(), 0);
}

#[test]
fn load_spreads_what_is_otherwise_equal() {
    let mut group = Group::new(Strategy::Balanced(Balance { explore: 0.0, ..Balance::default() }), &[1.0, 1.0]);
    for channel in group.channels.values_mut() {
        channel.up(0, 100);
    }
    for _ in 0..100 {
        let to = group.send(1, true);
        group.channels.get_mut(&id(to)).unwrap().take(NOW, 0, 1);
    }
    assert!((group.share(0, 100) - 0.5).abs() < 0.03, "{}", group.share(0, 100));
}

proptest! {
    /// Nobody is ever a whole part from its exact share.
    #[test]
    fn weighted_shares_are_exact_to_one_part(weights in prop::collection::vec(0u32..50, 1..7), count in 1usize..400) {
        prop_assume!(weights.iter().sum::<u32>() > 0);
        let mut group = Group::new(weighted(&weights), &vec![0.0; weights.len()]);
        let sum = f64::from(weights.iter().sum::<u32>());
        let mut got = vec![0.0; weights.len()];
        for sent in 1..=count {
            got[usize::from(group.send(1, true))] += 1.0;
            for (at, weight) in weights.iter().enumerate() {
                let exact = sent as f64 * f64::from(*weight) / sum;
                prop_assert!((got[at] - exact).abs() < 1.0, "{weights:?} after {sent}: {} for {exact}", got[at]);
            }
        }
    }

    /// With long messages, nobody is further from it than the longest of them, whoever comes and goes.
    #[test]
    fn weighted_shares_of_long_messages_stay_near(
        weights in prop::collection::vec(1u32..50, 2..6),
        sends in prop::collection::vec((1u8..8, 0u8..20, 0u16..6), 1..300),
    ) {
        let mut group = Group::new(weighted(&weights), &vec![0.0; weights.len()]);
        let mut off = vec![0.0; weights.len()];
        let mut up = vec![true; weights.len()];
        for (parts, event, which) in sends {
            let which = usize::from(which) % weights.len();
            if event == 0 && (up.iter().filter(|up| **up).count() > 1 || !up[which]) {
                up[which] = !up[which];
                let channel = group.channels.get_mut(&id(which as u16)).unwrap();
                if up[which] { channel.up(0, 1_000) } else { channel.down(0) }
            }
            let sum: f64 = weights.iter().zip(&up).filter(|(_, up)| **up).map(|(w, _)| f64::from(*w)).sum();
            let to = usize::from(group.send(parts, true));
            prop_assert!(up[to]);
            for at in 0..weights.len() {
                off[at] -= if up[at] { f64::from(parts) * f64::from(weights[at]) / sum } else { 0.0 };
            }
            off[to] += f64::from(parts);
            for (at, off) in off.iter().enumerate() {
                prop_assert!(off.abs() < 16.0, "{at} of {weights:?} is {off} parts off");
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Equally good channels do not take turns by chance.
    #[test]
    fn quality_does_not_flap_between_equals(seed in 0u64..1_000, rate in 1u64..20, failing in 0u64..8) {
        let mut group = Group::new(QUALITY, &[0.0; 2]);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut turns, mut first) = (0, 0);
        for _ in 0..60 {
            group.run(rate, 60, &[50, 50], |_, _| rng.u64(0..100) < failing);
            let now = group.first();
            turns += u32::from(now != first);
            first = now;
        }
        prop_assert!(turns <= 8, "{turns} in an hour");
    }

    /// Whoever is not first gets its chance again and again, and no more than the share set aside for it.
    #[test]
    fn nobody_is_left_unexplored(count in 2usize..6, explore in 0.01f64..0.3, bad in 0u16..6) {
        let mut group = Group::new(Strategy::Quality { explore }, &vec![0.0; count]);
        group.run(20, 300, &[50; 6], |to, _| to == bad);
        let sent = group.went.len() as f64;
        prop_assert!((f64::from(group.explored) - sent * explore).abs() <= 3.0);
        for at in 0..count as u16 {
            let got = group.went.iter().filter(|to| **to == at).count() as f64;
            prop_assert!(got + 2.0 >= sent * explore / count as f64, "{at}: {got} of {sent}");
        }
    }
}
