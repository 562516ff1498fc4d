//! The gateway is stopped under load and told to stop while it starts; the books must close.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Process, programs};

fn carriers() -> [Carrier; 2] {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\n\
                     receipts = { after = '1500ms', failed = 0.02, expired = 0.01, none = 0.002 }";
    let contract = "rate = 1000\nwindow = 20";
    ["a", "b"].map(|name| Carrier::named(name).behaves(behaviour).contract(contract))
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
