//! The first of two carriers fails in every way a carrier can: traffic moves within a second, nothing is lost, and each
//! copy is one the gateway knows of.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::SystemTime;

use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan};
use serde_json::json;

/// The promise at this rate is 0.6 s; a machine that does other things as well is given more.
const MOVED_WITHIN_MS: f64 = 1_000.0;

fn fails(kind: &str) {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\nreceipts = { after = '300ms' }";
    let carriers = ["a", "b"].map(|name| {
        let account = "enquire_link = '30s'\nanswer_timeout = '6s'";
        Carrier::named(name).behaves(behaviour).contract("rate = 1000\nwindow = 400").account(account)
    });
    let mut stage = Plan::of(carriers).receipt_wait("5s").start();
    let args = ["--rate", "100", "--for", "13s", "--tiers", "otp=1,notice=1"];
    let mut load = stage.load("load", &args);
    // So many answers have to be known before silence says much.
    let_pass(seconds(6));
    assert_eq!(stage.submits("b").len(), 0, "the backup rests while all is well");
    let began = now_ms();
    stage.simulator.fault("a", json!({ "kind": kind, "for": "4s" }));
    let moved = until("the backup to be used", seconds(10), || {
        stage.submits("b").iter().filter_map(|submit| submit["t_ms"].as_f64()).reduce(f64::min)
    });
    let summary = load.summary(seconds(60));
    assert_eq!((&summary["unknown"], summary["accepted"].as_u64() >= Some(1_000)), (&json!(0), true), "{summary}");
    stage.await_rest(seconds(60));
    let metrics = stage.gateway.metrics();
    let resubmitted = metrics.sum("qiao_in_doubt_resubmitted_total", &[]);
    let count = |to| metrics.sum("qiao_channel_transitions_total", &[("channel", "a"), ("to", to)]) as u64;
    let (suspect, down) = (count("suspect"), count("down"));
    assert!(suspect + down >= 1, "{}", metrics.text());
    assert!(metrics.sum("qiao_failover_duration_seconds_count", &[]) >= 1.0, "{}", metrics.text());
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &resubmitted.to_string()]);
    eprintln!(
        "{kind}: on the backup after {:.0} ms; suspect {suspect}, down {down}, sent again {resubmitted}; {}",
        moved - began,
        verdict.report
    );
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("pending"), 0);
    assert!(moved - began <= MOVED_WITHIN_MS, "{kind}: {:.0} ms", moved - began);
}

#[test]
fn a_carrier_that_hangs_is_left_within_a_second() {
    fails("hang");
}

#[test]
fn a_carrier_that_is_mute_is_left_within_a_second() {
    fails("mute");
}

#[test]
fn a_carrier_that_answers_probes_only_is_left_within_a_second() {
    fails("pings_only");
}

#[test]
fn a_carrier_that_resets_is_left_at_once() {
    fails("reset");
}

#[test]
fn a_carrier_that_refuses_is_left_at_once() {
    fails("refuse");
}

/// Milliseconds since 1970.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}
