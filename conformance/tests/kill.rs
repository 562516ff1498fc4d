//! The gateway dies and is stopped under load; the books must close.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::wait::{let_pass, seconds};
use conformance::{Carrier, Plan, Stage};
use serde_json::Value;

const ROUNDS: usize = 5;
/// Unanswered parts each channel may have.
const WINDOW: u64 = 20;

fn carriers() -> [Carrier; 2] {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\n\
                     receipts = { after = '300ms', failed = 0.02, expired = 0.01, none = 0.002 }";
    let contract = format!("rate = 1000\nwindow = {WINDOW}");
    ["a", "b"].map(|name| Carrier::named(name).behaves(behaviour).contract(&contract))
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut stage = Plan::of(carriers()).seed(seed).receipt_wait("2s").start();
    let args = ["--rate", "200", "--for", "12s", "--retry-unknown", "--seed", &seed.to_string()];
    let mut load = stage.load("load", &args);
    for _ in 0..ROUNDS {
        let_pass(Duration::from_millis(dice.u64(300..2_000)));
        stage.gateway.kill();
        stage.gateway.restart();
    }
    let summary = load.summary(seconds(60));
    assert_eq!(summary["unknown"], 0, "{summary}");
    assert!(summary["accepted"].as_u64() >= Some(1_000), "{summary}");
    stage.await_rest(seconds(40));
    every_copy_is_explained(&stage);
    let most = (ROUNDS as u64 * 2 * WINDOW).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    eprintln!("{} after {ROUNDS} kills", verdict.report);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("pending"), 0);
}

/// A message that reached the carriers more than once has an unanswered part for every copy but one.
fn every_copy_is_explained(stage: &Stage) {
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for submit in ["a", "b"].iter().flat_map(|carrier| stage.submits(carrier)) {
        *copies.entry(submit["destination"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let posts = conformance::books::of_kind(&stage.logs().join("load.jsonl"), "post");
    for post in posts {
        let to = post["to"].as_str().unwrap().trim_start_matches('+');
        let more = copies.get(to).copied().unwrap_or(0).saturating_sub(1);
        if more > 0 {
            let story = stage.story(post["id"].as_str().unwrap()).json();
            let unanswered = happenings(&story, "unanswered");
            assert!(unanswered >= more, "{more} copies too many, {unanswered} unanswered: {story:#}");
        }
    }
}

fn happenings(story: &Value, event: &str) -> usize {
    story["timeline"].as_array().map_or(0, |all| all.iter().filter(|one| one["event"] == event).count())
}

#[test]
fn drained_under_load_nothing_is_in_doubt() {
    let mut stage = Plan::of(carriers()).receipt_wait("2s").start();
    let mut load = stage.load("load", &["--rate", "200", "--for", "5s", "--retry-unknown"]);
    let_pass(seconds(2));
    let status = stage.gateway.drain(seconds(10));
    assert_eq!(status.code(), Some(0), "{}", stage.gateway.log());
    stage.gateway.restart();
    let summary = load.summary(seconds(40));
    assert_eq!(summary["unknown"], 0, "{summary}");
    stage.await_rest(seconds(40));
    assert_eq!(stage.gateway.metrics().sum("qiao_in_doubt_total", &[]), 0.0, "after a drain");
    let verdict = stage.close_books(&[&load], &["--max-duplicates", "0"]);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((verdict.count("unanswered"), verdict.count("pending")), (0, 0));
}
