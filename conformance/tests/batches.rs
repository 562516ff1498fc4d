//! Batches through kills and restarts: each is kept whole or not at all, its answer can be had again, and what has
//! become of it can be counted.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use conformance::http::Answer;
use conformance::stage::KEY;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage, books};
use serde_json::{Value, json};

const ROUNDS: usize = 6;
const BATCH: usize = 400;

fn carrier() -> Carrier {
    Carrier::named("a").behaves("receipts = { after = '20ms' }").contract("rate = 20000\nwindow = 500")
}

fn post(stage: &Stage, kind: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let bearer = format!("Bearer {KEY}");
    let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", kind)];
    all.extend_from_slice(headers);
    stage.gateway.call("POST", "/v1/batches", &all, body.as_bytes())
}

fn counts(stage: &Stage, id: &str) -> Value {
    let bearer = format!("Bearer {KEY}");
    let answer = stage.gateway.call("GET", &format!("/v1/batches/{id}"), &[("Authorization", &bearer)], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn killed_in_the_midst_of_batches_each_is_whole_or_not_there() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut stage = Plan::of([carrier()]).seed(seed).receipt_wait("2s").start();
    let batch = BATCH.to_string();
    // Not repeated: whoever was not answered must find all of a batch sent, or nothing.
    let args = ["--batch", &batch, "--connections", "6", "--count", "24000", "--tiers", "", "--max"];
    let mut load = stage.load("load", &args);
    for _ in 0..ROUNDS {
        let_pass(Duration::from_millis(dice.u64(20..400)));
        stage.gateway.kill();
        stage.gateway.restart();
    }
    let summary = load.summary(seconds(90));
    stage.await_rest(seconds(60));
    let sent: BTreeSet<String> =
        stage.submits("a").iter().map(|submit| submit["destination"].as_str().unwrap().replace('+', "")).collect();
    let mut posts: BTreeMap<String, Vec<(bool, bool)>> = BTreeMap::new();
    for line in books::of_kind(&load.ledger, "post") {
        let was_sent = sent.contains(&line["to"].as_str().unwrap().replace('+', ""));
        let key = line["key"].as_str().unwrap().to_owned();
        posts.entry(key).or_default().push((line["result"] == "accepted", was_sent));
    }
    for (key, messages) in &posts {
        assert_eq!(messages.len(), BATCH, "{key}");
        let (accepted, was_sent) = messages[0];
        assert!(messages.iter().all(|one| *one == messages[0]), "half of {key} is there: {messages:?}");
        assert!(was_sent || !accepted, "{key} was answered 202 and is lost");
    }
    let most = (ROUNDS * 2 * 500).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    eprintln!("{} of {} batches; {summary}", verdict.report, posts.len());
    assert!(verdict.holds, "{:#}", verdict.report);
}

#[test]
fn a_batch_is_answered_again_and_counted_after_a_restart() {
    let mut stage = Plan::of([carrier()]).start();
    stage.hold("a", true);
    let item = |at: usize| json!({ "to": format!("+86138001380{at:02}"), "text": "hello", "tier": "notice" });
    let items: Vec<String> = (0..20).map(|at| item(at).to_string()).collect();
    let lines = items.join("\n") + "\n{\"to\":\"1\"}\n";
    let key = [("Idempotency-Key", "batch-1")];
    let first = post(&stage, "application/x-ndjson", &key, &lines);
    assert_eq!(first.status, 202, "{}", first.text());
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((&first.json()["accepted"], &first.json()["rejected"][0]["index"]), (&json!(20), &json!(20)));
    assert_eq!(counts(&stage, &id)["counts"]["waiting"], 20);

    stage.gateway.kill();
    stage.gateway.restart();
    let again = post(&stage, "application/x-ndjson", &key, &lines);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), Some("true")));
    assert_eq!(counts(&stage, &id)["counts"]["waiting"], 20);

    // Of another batch, not of this one.
    let other = post(&stage, "application/json", &[], &json!({ "messages": [item(50), item(51)] }).to_string());
    let other = other.json()["id"].as_str().unwrap().to_owned();
    let ended = stage.order(&["queues", "expire", "--batch", &other, "--reason", "recalled"]);
    assert_eq!((&ended["done"], &ended["left"]), (&json!(2), &json!(0)));
    until("the other to end", seconds(20), || (counts(&stage, &other)["counts"]["expired"] == 2).then_some(()));
    assert_eq!(counts(&stage, &id)["counts"]["waiting"], 20);

    stage.hold("a", false);
    stage.await_rest(seconds(40));
    let delivered = |stage: &Stage| {
        let story = counts(stage, &id);
        let sum: u64 = story["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((sum, &story["rejected"], &story["total"]), (20, &json!(1), &json!(21)), "{story}");
        story["counts"]["delivered"].as_u64().unwrap()
    };
    assert_eq!(delivered(&stage), 20);
    stage.gateway.drain(seconds(20));
    stage.gateway.restart();
    assert_eq!(delivered(&stage), 20, "the store counts on");
    let again = post(&stage, "application/x-ndjson", &key, &lines);
    assert_eq!(again.json(), first.json());
    assert_eq!(counts(&stage, &other)["counts"]["expired"], 2);
}
