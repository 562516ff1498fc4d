//! kill -9 under load, again and again (`ENDURE_KILLS`).

use std::time::Instant;

use conformance::Plan;
use conformance::wait::{let_pass, seconds};

use super::{WINDOW, carriers, every_copy_is_explained, line, middle_and_most, moment, now_ms, seed, setting};

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let (rounds, seed) = (setting("ENDURE_KILLS", 5), seed());
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut stage = Plan::of(carriers()).seed(seed).receipt_wait("2s").start();
    // Until it is told to stop.
    let args = ["--rate", "200", "--for", "10h", "--retry-unknown", "--seed", &seed.to_string()];
    let mut load = stage.load("load", &args);
    let (mut kills, mut restarts) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let_pass(moment(&mut dice, 300..2_000));
        stage.gateway.kill();
        kills.push((now_ms(), now_ms()));
        let began = Instant::now();
        stage.gateway.restart();
        restarts.push(began.elapsed());
    }
    let_pass(seconds(3));
    load.stop(seconds(60));
    let summary = load.summary(seconds(1));
    assert_eq!(summary["unknown"], 0, "{summary}");
    assert!(summary["accepted"].as_u64() >= Some(100 * rounds), "{summary}");
    stage.await_rest(seconds(40));
    let copies = every_copy_is_explained(&stage, &["a", "b"], &kills);
    let most = (rounds * 2 * WINDOW).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    let (middle, longest) = middle_and_most(restarts);
    println!("kill -9 x {rounds}: {}, copies {copies} all explained", line(&verdict));
    println!("kill -9 x {rounds}: from start to serving p50 {middle:.0?}, longest {longest:.0?}");
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("pending"), 0);
}
