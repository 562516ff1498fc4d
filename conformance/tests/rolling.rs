//! Stopped and started again under load, over and over: clients that retry notice nothing else, nothing is in doubt,
//! the books close, and what operators ordered stands.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::time::{Duration, Instant};

use conformance::stage::{KEY, OTHER_KEY};
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage, http};
use serde_json::{Value, json};

/// `[node] drain_timeout` of the stage.
const DRAIN: Duration = seconds(5);
/// What starting a signal's sender and reaping a process take on a busy machine.
const SLACK: Duration = seconds(1);

fn carriers() -> [Carrier; 2] {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\nreceipts = { after = '300ms', failed = 0.02 }";
    ["a", "b"].map(|name| Carrier::named(name).behaves(behaviour).contract("rate = 2000\nwindow = 40"))
}

fn channel(stage: &Stage, name: &str) -> Value {
    stage.gateway.ask(&format!("/admin/v1/channels/{name}")).json()
}

fn in_doubt(stage: &Stage) -> f64 {
    stage.gateway.metrics().sum("qiao_in_doubt_total", &[])
}

#[track_caller]
fn order(stage: &Stage, args: &[&str]) {
    let (code, said) = stage.gateway.operator(args);
    assert_eq!(code, 0, "{args:?}: {said}");
}

/// Stops in order and starts again; what was in doubt in the life that ended.
#[track_caller]
fn roll(stage: &mut Stage) -> f64 {
    let doubts = in_doubt(stage);
    let began = Instant::now();
    let status = stage.gateway.drain(DRAIN + SLACK);
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0), "{}", stage.gateway.log());
    assert!(took <= DRAIN + SLACK, "{took:?}");
    stage.gateway.restart();
    doubts
}

#[test]
fn rolled_under_load_nothing_is_lost_doubled_or_in_doubt_and_orders_stand() {
    let mut stage = Plan::of(carriers()).receipt_wait("5s").start();
    let retries = ["--retry-unknown", "--retry-busy"];
    let args = ["--rate", "300", "--for", "16s", "--tiers", "otp,notice"];
    let mut load = stage.load("load", &[&args[..], &retries].concat());
    let mut doubts = 0.0;
    order(&stage, &["hold", "b", "--reason", "works"]);
    order(&stage, &["apps", "hold", "other", "--reason", "spam", "--detail", "call our NOC"]);
    for _ in 0..2 {
        let_pass(seconds(2));
        doubts += roll(&mut stage);
        let b = channel(&stage, "b");
        assert_eq!((&b["state"], &b["order"]["reason"]), (&json!("held"), &json!("works")), "{b:#}");
        app_is_held(&stage);
    }
    // The other way round: all of it over b, and a without a link, before and after the restarts.
    order(&stage, &["release", "b"]);
    order(&stage, &["drain", "a"]);
    until("a to be drained", seconds(10), || (channel(&stage, "a")["state"] == "drained").then_some(()));
    for _ in 0..2 {
        let_pass(seconds(2));
        doubts += roll(&mut stage);
        let (a, b) = (channel(&stage, "a"), channel(&stage, "b"));
        assert_eq!((&a["state"], &a["links"]), (&json!("drained"), &json!([])), "{a:#}");
        assert_eq!(b["order"], Value::Null, "{b:#}");
    }
    order(&stage, &["release", "a"]);
    stage.gateway.await_channels(&["a", "b"]);
    let summary = load.summary(seconds(60));
    assert_eq!(summary["unknown"], 0, "{summary}");
    assert_eq!(summary["refused"], 0, "{summary}");
    assert!(summary["accepted"].as_u64() >= Some(4_000), "{summary}");
    stage.await_rest(seconds(40));
    doubts += in_doubt(&stage);
    assert_eq!(doubts, 0.0, "{}", stage.gateway.log());
    let verdict = stage.close_books(&[&load], &["--max-duplicates", "0"]);
    eprintln!("load {summary}\nledger after 4 restarts {}", verdict.report);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((verdict.count("unanswered"), verdict.count("pending")), (0, 0));
}

#[track_caller]
fn app_is_held(stage: &Stage) {
    let bearer = format!("Bearer {OTHER_KEY}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let message = json!({ "to": "+8613800138000", "text": "hello" }).to_string();
    let answer = stage.gateway.call("POST", "/v1/messages", &headers, message.as_bytes());
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (403, &json!("app_held")), "{problem:#}");
    assert_eq!(problem["detail"], "call our NOC", "the operator's reason is not the app's to read");
}

#[test]
fn a_client_that_dawdles_does_not_hold_up_a_stop() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    // Clients may take far longer than a stop.
    let file = stage.config().join("qiao.toml");
    let patient = std::fs::read_to_string(&file).unwrap();
    let patient =
        patient.replace("header_timeout = '1s'\nbody_timeout = '2s'", "header_timeout = '60s'\nbody_timeout = '60s'");
    assert!(patient.contains("60s"), "{patient}");
    std::fs::write(&file, patient).unwrap();
    roll(&mut stage);
    let bearer = format!("Bearer {KEY}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let whole = http::request(stage.gateway.http, "POST", "/v1/messages", &headers, &[b'x'; 100]);
    let mut half_a_body = http::connect(stage.gateway.http).unwrap();
    half_a_body.write_all(&whole[..whole.len() - 50]).unwrap();
    let mut half_a_head = http::connect(stage.gateway.http).unwrap();
    half_a_head.write_all(&whole[..20]).unwrap();
    let began = Instant::now();
    let status = stage.gateway.drain(DRAIN + SLACK);
    assert_eq!(status.code(), Some(0), "{}", stage.gateway.log());
    assert!(began.elapsed() <= DRAIN + SLACK);
}

#[test]
fn a_second_signal_stops_at_once() {
    // What the carrier never answers keeps a stop waiting.
    let quiet = Carrier::named("a").behaves("answer_latency = '30s'").account("answer_timeout = '1m'");
    let mut stage = Plan::of([quiet]).start();
    stage.send("+8613800138000", "otp");
    until("the part to be on the wire", seconds(10), || (channel(&stage, "a")["in_flight"] == 1).then_some(()));
    stage.gateway.process().terminate();
    until("the stop to begin", seconds(10), || stage.gateway.log().contains("\"draining\"").then_some(()));
    assert_eq!(stage.gateway.process().ended(), None, "it waits for the answer");
    let began = Instant::now();
    stage.gateway.process().terminate();
    let status = stage.gateway.process().end(seconds(2));
    assert!(began.elapsed() < seconds(2));
    assert_eq!(status.code(), Some(1), "{}", stage.gateway.log());
}
