//! The gateway dies and is stopped under load; the books must close.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Process, Stage, programs};
const ROUNDS: usize = 5;
/// Unanswered parts each channel may have.
const WINDOW: u64 = 20;
/// The carriers' slowest answer, and what a busy machine may add before it is read; receipts come much later.
const ANSWERED_WITHIN_MS: f64 = 500.0;

fn carriers() -> [Carrier; 2] {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\n\
                     receipts = { after = '1500ms', failed = 0.02, expired = 0.01, none = 0.002 }";
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
    let mut kills = Vec::new();
    for _ in 0..ROUNDS {
        let_pass(Duration::from_millis(dice.u64(300..2_000)));
        stage.gateway.kill();
        kills.push(now_ms());
        stage.gateway.restart();
    }
    let summary = load.summary(seconds(60));
    assert_eq!(summary["unknown"], 0, "{summary}");
    assert!(summary["accepted"].as_u64() >= Some(1_000), "{summary}");
    stage.await_rest(seconds(40));
    every_copy_is_explained(&stage, &kills);
    let most = (ROUNDS as u64 * 2 * WINDOW).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    eprintln!("{} after {ROUNDS} kills", verdict.report);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("pending"), 0);
}

#[test]
fn signals_during_a_start_wait_for_its_end() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    stage.gateway.kill();
    // The start waits for whoever has the journal.
    let journal = std::fs::File::open(stage.config().join("data/journal/lock")).unwrap();
    journal.lock().unwrap();
    let mut command = Command::new(programs::qiao());
    command.arg("serve").arg("--config").arg(stage.config());
    let mut process = Process::start("qiao-held", stage.logs(), command);
    let status = format!("/proc/{}/status", process.pid());
    let caught = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap()
    };
    // SIGHUP, SIGINT and SIGTERM.
    let all = 1 | 1 << 1 | 1 << 14;
    until("the signals to be listened to", seconds(4), || (caught() & all == all).then_some(()));
    let hang_up = format!("kill -HUP {}", process.pid());
    assert!(Command::new("sh").arg("-c").arg(hang_up).status().unwrap().success());
    process.terminate();
    assert!(process.ended().is_none());
    drop(journal);
    let status = process.end(seconds(30));
    let log = process.stderr();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(["ready", "draining", "stopped"].iter().all(|word| log.contains(&format!("\"{word}\""))), "{log}");
}

/// A copy may follow only one that a kill may have robbed of its answer.
fn every_copy_is_explained(stage: &Stage, kills: &[f64]) {
    let mut copies: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for submit in ["a", "b"].iter().flat_map(|carrier| stage.submits(carrier)) {
        let to = submit["destination"].as_str().unwrap().to_owned();
        copies.entry(to).or_default().push(submit["t_ms"].as_f64().unwrap());
    }
    for (to, mut times) in copies {
        times.sort_by(f64::total_cmp);
        for sent in &times[..times.len() - 1] {
            let robbed = kills.iter().any(|kill| (-5.0..ANSWERED_WITHIN_MS).contains(&(kill - sent)));
            assert!(robbed, "{to} was sent at {times:?}, kills were at {kills:?}");
        }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
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
