//! The line in virtual time: seeded worlds with every promise checked after each step, of the switch alone (`world`,
//! `ledger`) and of switch and report together, with disk, carriers and crashes (`whole`).
//! A failing seed names itself; `SIM_SEED=n` runs that one alone, `SIM_SEEDS=n` that many, from `SIM_FROM` on.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "sim/campaign.rs"]
mod campaign;
#[path = "sim/carrier.rs"]
mod carrier;
#[path = "sim/cost.rs"]
mod cost;
#[path = "sim/failover.rs"]
mod failover;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/whole/mod.rs"]
mod whole;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use carrier::Carrier;
use world::{Shape, World};

fn seeds(default: u64) -> Vec<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    match (read("SIM_SEED"), read("SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(default)).map(|nth| nth + read("SIM_FROM").unwrap_or(1)).collect(),
    }
}

fn each_seed(default: u64, run: impl Fn(u64)) {
    for seed in seeds(default) {
        let result = catch_unwind(AssertUnwindSafe(|| run(seed)));
        assert!(result.is_ok(), "the world of SIM_SEED={seed} breaks a promise (above)");
    }
}

#[test]
fn every_promise_holds_in_random_worlds() {
    let reached = std::cell::RefCell::new(ledger::Reached::default());
    each_seed(100, |seed| {
        let mut world = World::new(seed, Shape::random(seed));
        world.run();
        reached.borrow_mut().add(&world.ledger.reached);
    });
    if seeds(100).len() >= 100 {
        reached.borrow().all();
    }
}

/// Seeds that have failed once: each stays, so that what it found does not come back.
fn corpus() -> Vec<u64> {
    let lines = include_str!("sim/seeds.txt").lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| line.parse().unwrap()).collect()
}

#[test]
fn the_whole_line_keeps_its_promises_through_every_fault() {
    let seeds = seeds(200);
    let campaign = campaign::run(&seeds, std::env::var_os("SIM_FIRST").is_some());
    campaign.print();
    let failed: Vec<u64> = campaign.failures.iter().map(|(seed, _)| *seed).collect();
    assert!(
        failed.is_empty(),
        "these worlds break a promise (above); add each to gateway/tests/sim/seeds.txt: {failed:?}"
    );
    let missing = campaign.reached.missing(seeds.len());
    assert!(missing.is_empty(), "no world reached {missing:?}");
}

#[test]
fn worlds_that_failed_once_are_well() {
    let campaign = campaign::run(&corpus(), false);
    assert!(campaign.failures.is_empty(), "{:?}", campaign.failures);
}

#[test]
fn a_healthy_world_submits_all_it_is_given() {
    each_seed(20, |seed| {
        let mut world = World::new(seed, Shape { faults: false, load: 0.7, ..Shape::random(seed) });
        world.run();
        let (accepted, submitted) = (world.ledger.accepted(), world.ledger.submitted());
        assert_eq!(accepted, submitted, "accepted and submitted");
    });
}

#[test]
fn overload_never_delays_an_otp() {
    let expired = std::cell::Cell::new(0);
    each_seed(5, |seed| {
        let random = Shape::random(seed);
        let shape = Shape { faults: false, load: 4.0, otp_share: 0.02, messages: 1_500, validity: 8_000, ..random };
        let mut world = World::new(seed, shape);
        world.run();
        let wait = world.ledger.longest_otp_wait();
        assert!(wait < Duration::from_secs(2), "an otp waited {wait:?}");
        expired.set(expired.get() + world.ledger.reached.expired);
    });
    assert!(expired.get() > 0 || seeds(5).len() < 5, "these were no overloads");
}

#[test]
fn a_carrier_that_allows_far_less_than_the_contract_gets_what_it_allows() {
    for latency in [5, 40, 150] {
        let carrier = Carrier { rate: 60.0, burst: 5.0, latency: Duration::from_millis(latency) };
        let seen = carrier::run(&carrier, 1_000.0, 100, 20);
        println!("{latency} ms: {seen:?}");
        assert!(seen.accepted >= 60 * 20 * 85 / 100, "{latency} ms: {seen:?}");
        assert!(seen.late_throttled * 100 < seen.late_submits * 15, "{latency} ms: {seen:?}");
    }
}

#[test]
fn a_carrier_that_keeps_its_contract_is_never_slowed_down() {
    let carrier = Carrier { rate: 110.0, burst: 10.0, latency: Duration::from_millis(40) };
    let seen = carrier::run(&carrier, 100.0, 100, 20);
    assert!(seen.accepted >= 1_950 && seen.late_throttled == 0 && seen.rate >= 100.0, "{seen:?}");
}
