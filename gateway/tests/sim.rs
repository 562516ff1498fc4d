//! The line in virtual time: seeded worlds with every promise checked after each step, of the switch alone (`world`,
//! `ledger`) and of switch and report together, with disk, carriers and crashes (`whole`).
//! A failing seed names itself; `SIM_SEED=n` runs that one alone, `SIM_SEEDS=n` that many, from `SIM_FROM` on. With
//! `SIM_TRACE=1` the whole line says all that happens in it: for one seed.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "sim/budget.rs"]
mod budget;
#[path = "sim/campaign.rs"]
mod campaign;
#[path = "sim/carrier.rs"]
mod carrier;
#[path = "sim/failover.rs"]
mod failover;
#[path = "sim/isolation.rs"]
mod isolation;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/reached.rs"]
mod reached;
#[path = "sim/whole/mod.rs"]
mod whole;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use carrier::Carrier;
use gateway::clock::Time;
use gateway::config::plan::AppId;
use gateway::switch::AppRule;
use isolation::{MARKETING, NOTICE, OTP};
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
    let reached = std::cell::RefCell::new(reached::Reached::default());
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
    assert!(seen.accepted >= 1_850 && seen.late_throttled == 0 && seen.rate >= 100.0, "{seen:?}");
}

/// A channel of 200 parts a second, limited by its pace (100 ms away) or by its window (400 ms away).
fn channel(burst: u32, latency: u64) -> isolation::Carrier {
    isolation::Carrier { rate: 200.0, burst, window: 32, latency: Duration::from_millis(latency) }
}

#[test]
fn a_million_marketing_messages_do_not_delay_an_otp() {
    let interval = Duration::from_millis(5);
    for (burst, latency, otp, queued, interval) in [
        (4, 100, 20.0, 1_000_000, interval),
        (1, 100, 20.0, 100_000, interval),
        (4, 20, 10.0, 100_000, interval),
        // The window is the limit: 32 parts in 400 ms.
        (4, 400, 5.0, 100_000, Duration::from_micros(12_500)),
    ] {
        let (idle, loaded) = (
            isolation::otp_p99(channel(burst, latency), otp, 0),
            isolation::otp_p99(channel(burst, latency), otp, queued),
        );
        println!("burst {burst}, {latency} ms, {otp} otp/s: p99 idle {idle:?}, with {queued} queued {loaded:?}");
        assert!(loaded <= idle * 2 + interval, "{loaded:?} with {queued} queued, {idle:?} idle");
    }
}

#[test]
fn ten_apps_of_very_different_load_get_equal_shares() {
    // In one group, in two groups over the same channel, and with messages of different length.
    for (groups, parts) in [(1, 1), (2, 1), (2, 4)] {
        let mut world = isolation::World::new(channel(4, 100), &[]);
        let start = world.now;
        for tick in 0..300u64 {
            for app in 0..10u16 {
                // From 30 a second to 1,200 a second, in tenths of a second.
                for _ in 0..3 + u64::from(app) * 13 {
                    world.accept(app, app % groups, MARKETING, (app as u8 % parts) + 1);
                }
            }
            world.run_to(start.after(Duration::from_millis((tick + 1) * 100)));
        }
        let shares = world.parts_by(Time(0), |message| message.app);
        let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
        println!("{groups} groups: {shares:?}");
        assert_eq!(shares.len(), 10);
        assert!(most - least <= 2 * u64::from(parts) + 4, "{shares:?}");
    }
}

#[test]
fn an_app_with_little_to_send_is_not_delayed_by_one_with_a_lot() {
    let mut world = isolation::World::new(channel(4, 100), &[]);
    let start = world.now;
    for _ in 0..100_000 {
        world.accept(1, 0, NOTICE, 1);
    }
    for tick in 0..300u64 {
        world.run_to(start.after(Duration::from_millis(2_000 + tick * 100)));
        world.accept(2, (tick % 2) as u16, NOTICE, 1);
    }
    world.run_to(start.after(Duration::from_secs(40)));
    let small = world.sent.iter().filter(|sent| sent.message.app.0 == 2);
    let longest = small.map(|sent| sent.at.since(sent.message.accepted)).max().unwrap();
    assert!(longest <= Duration::from_millis(30), "{longest:?}");
}

#[test]
fn an_app_with_a_rate_of_its_own_gets_that_and_no_more_whatever_others_send() {
    for (parts, rate) in [(1, 20.0), (1, 120.0), (4, 20.0), (1, 0.7)] {
        let rated = AppRule { id: AppId(1), rate };
        let mut world = isolation::World::rated(channel(4, 100), &[], vec![rated]);
        let from = world.now.after(Duration::from_secs(2));
        for nth in 0..10_000 {
            world.accept(1, nth % 2, [NOTICE, MARKETING][usize::from(nth % 3 == 0)], parts);
            world.accept(2, nth % 2, NOTICE, 1);
        }
        world.run_to(from.after(Duration::from_secs(30)));
        let sent: Vec<(Time, f64)> = world
            .sent
            .iter()
            .filter(|sent| sent.message.app == AppId(1))
            .map(|sent| (sent.at, f64::from(sent.message.parts)))
            .collect();
        let burst = (rate / 50.0).max(1.0).max(f64::from(parts));
        let mut worst = f64::MIN;
        for (at, (begin, _)) in sent.iter().enumerate() {
            let mut sum = 0.0;
            for (end, parts) in &sent[at..] {
                sum += parts;
                worst = worst.max(sum - rate * end.since(*begin).as_secs_f64());
            }
        }
        assert!(
            worst <= burst + 1e-3,
            "{rate}/s: {worst} more than the rate in some interval, with a burst of {burst}"
        );
        let shares = world.parts_by(from, |message| message.app);
        let (own, others) = (shares[&AppId(1)] as f64, shares[&AppId(2)] as f64);
        println!("{rate}/s, {parts} parts: {own} and {others} in 30 s");
        // Of 200 it could have all of marketing's 40 and half of the rest; what it may not use the other has. It saves
        // nothing up: a long message that waits for its turn on the channel is late for good.
        let due = rate.min(120.0) * 30.0;
        assert!(own >= due * 0.92 - burst && own + others >= 200.0 * 30.0 * 0.98, "{own} of {due}, {others}");
    }
}

#[test]
fn weighted_tiers_get_their_shares_and_strict_ones_what_they_need() {
    for (groups, otp) in [(1u16, 0), (2, 0), (2, 5)] {
        let mut world = isolation::World::new(channel(4, 100), &[]);
        let start = world.now;
        for tick in 0..300u64 {
            for _ in 0..20 {
                world.accept(1, 0, NOTICE, 1);
                world.accept(2, 1 % groups, MARKETING, 2);
            }
            for _ in 0..otp {
                world.accept(3, 0, OTP, 1);
            }
            world.run_to(start.after(Duration::from_millis((tick + 1) * 100)));
        }
        let parts = world.parts_by(Time(0), |message| message.tier);
        println!("{groups} groups, {otp} otp: {parts:?}");
        let ratio = parts[&NOTICE] as f64 / parts[&MARKETING] as f64;
        assert!((3.9..4.1).contains(&ratio), "{ratio}");
        // The first second is silent, and its otp go afterwards.
        assert!(parts.get(&OTP).is_none_or(|parts| *parts >= otp * 299), "{parts:?}");
    }
}

#[test]
fn a_channel_bound_to_otp_carries_nothing_else_however_much_waits() {
    let mut world = isolation::World::new(channel(4, 100), &[OTP]);
    let start = world.now;
    for tick in 0..100u64 {
        for _ in 0..100 {
            world.accept(1, 0, MARKETING, 1);
            world.accept(1, 0, NOTICE, 1);
        }
        for _ in 0..30 {
            world.accept(2, 0, OTP, 1);
        }
        world.run_to(start.after(Duration::from_millis((tick + 1) * 100)));
    }
    let own: Vec<_> = world.sent.iter().filter(|sent| sent.channel == 1).collect();
    assert!(own.len() > 500 && own.iter().all(|sent| sent.message.tier == OTP), "{}", own.len());
    let marketing = world.parts_by(Time(0), |message| message.tier);
    println!("{marketing:?}");
}

/// `cargo test --release -p gateway --test sim -- --ignored --nocapture costs`
#[test]
#[ignore = "a measurement: means something in a release build only"]
fn what_a_message_costs() {
    for queued in [0, 1_000_000] {
        let (through, queueing) = isolation::cost(queued, 500_000);
        println!("{queued} queued: {through:.2} us a message through the switch, {queueing:.2} us to queue one");
        assert!(cfg!(debug_assertions) || through <= 3.0, "{through} us");
    }
}
