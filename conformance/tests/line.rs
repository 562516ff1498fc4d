//! The line from a post to its callback, through real processes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use conformance::stage::{KEY, OTHER_KEY, PASSWORD, SECRET, SOON};
use conformance::wait::{seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::{Value, json};

const TO: &str = "+8613800138000";
/// A tier whose messages are soon too old.
const BRIEF: &str = "[[tier]]\nname = 'notice'\nvalidity = '1s'\n";

fn one(carrier: Carrier) -> Stage {
    Plan::of([carrier]).start()
}

/// The one event of a message: its type and its data.
#[track_caller]
fn end(stage: &Stage, id: &str) -> (String, Value) {
    let event = stage.told(id);
    assert_eq!(stage.events(id).len(), 1, "{id}");
    (event["type"].as_str().unwrap().to_owned(), event["data"].clone())
}

#[test]
fn a_message_is_delivered_and_its_app_is_called() {
    let mut stage = one(Carrier::named("a"));
    let message = json!({ "to": TO, "text": "hello", "tier": "otp", "client_ref": "order-1" });
    let answer = stage.post_with(&message, &[]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let said = answer.json();
    let id = said["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/messages/{id}").as_str()));
    assert_eq!((&said["status"], &said["parts"], &said["encoding"]), (&"accepted".into(), &1.into(), &"gsm7".into()));
    let (kind, data) = end(&stage, id);
    assert_eq!(kind, "message.delivered");
    assert_eq!((&data["evidence"], &data["client_ref"]), (&"receipt".into(), &"order-1".into()));
    let story = stage.story(id).json();
    assert_eq!((&story["status"], &story["carrier"]), (&"delivered".into(), &"carrier-a".into()), "{story:#}");
    let happened: Vec<&str> =
        story["timeline"].as_array().unwrap().iter().filter_map(|one| one["event"].as_str()).collect();
    assert_eq!(happened, ["accepted", "attempt", "submitted", "receipt", "delivered"], "{story:#}");
    stage.sink.stop();
    let forged = conformance::books::of_kind(&stage.sink.log, "bad_signature");
    assert!(forged.is_empty(), "{forged:?}");
    let submits = stage.submits("a");
    assert_eq!(submits.len(), 1);
    assert_eq!((&submits[0]["destination"], &submits[0]["text"]), (&"8613800138000".into(), &"hello".into()));
}

#[test]
fn a_failed_receipt_fails_the_message() {
    let stage = one(Carrier::named("a").behaves("receipts = { after = '20ms', failed = 1.0 }"));
    let (kind, data) = end(&stage, &stage.send(TO, "notice"));
    assert_eq!((kind.as_str(), &data["evidence"]), ("message.failed", &"receipt".into()), "{data}");
}

#[test]
fn a_number_refused_by_the_carrier_fails_with_its_code() {
    let stage = one(Carrier::named("a").behaves("rules = { '8000' = 'ESME_RINVDSTADR' }"));
    let refused = stage.send(TO, "notice");
    let taken = stage.send("+8613800138001", "notice");
    let (kind, data) = end(&stage, &refused);
    assert_eq!((kind.as_str(), &data["evidence"]), ("message.failed", &"answer".into()), "{data}");
    assert!(data["code"].as_str().unwrap().contains("ESME_RINVDSTADR"), "{data}");
    assert_eq!(end(&stage, &taken).0, "message.delivered", "one bad number does not take the channel");
}

#[test]
fn a_receipt_may_outrun_its_answer() {
    let behaviour = "answer_latency = '300ms'\nreceipts = { before_answer = true }";
    let stage = one(Carrier::named("a").behaves(behaviour));
    assert_eq!(end(&stage, &stage.send(TO, "otp")).0, "message.delivered");
    // The carrier writes it down with its answer, which comes after the end was told.
    until("the carrier's log", SOON, || (stage.submits("a").len() == 1).then_some(()));
}

#[test]
fn a_long_message_is_delivered_when_all_its_parts_are() {
    let stage = one(Carrier::named("a"));
    let text = "桥".repeat(150);
    let answer = stage.post_with(&json!({ "to": TO, "text": text }), &[]);
    assert_eq!((answer.status, &answer.json()["parts"], &answer.json()["encoding"]), (202, &3.into(), &"ucs2".into()));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let (kind, data) = end(&stage, &id);
    assert_eq!((kind.as_str(), &data["parts"]), ("message.delivered", &3.into()));
    let mut parts = until("three parts in the carrier's log", SOON, || {
        let parts = stage.submits("a");
        (parts.len() >= 3).then_some(parts)
    });
    parts.sort_by_key(|part| part["udh"]["seq"].as_u64());
    let joined: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    assert_eq!((parts.len(), joined), (3, text));
    let story = stage.story(&id).json();
    assert!(story["parts"].as_array().unwrap().iter().all(|part| part["status"] == "delivered"), "{story:#}");
}

#[test]
fn long_messages_to_one_handset_are_told_apart() {
    let stage = one(Carrier::named("a"));
    let text = "桥".repeat(100);
    for _ in 0..4 {
        assert_eq!(stage.post_with(&json!({ "to": TO, "text": text }), &[]).status, 202);
    }
    let parts = until("eight parts in the carrier's log", SOON, || {
        let parts = stage.submits("a");
        (parts.len() >= 8).then_some(parts)
    });
    let references: std::collections::BTreeSet<u64> =
        parts.iter().filter_map(|part| part["udh"]["ref"].as_u64()).collect();
    assert!(references.len() >= 3, "four messages, an octet each to tell them apart: {references:?}");
}

#[test]
fn a_long_message_with_one_failed_part_fails_once() {
    let stage = Plan::of([Carrier::named("a").behaves("receipts = { after = '30ms', failed = 0.5 }")]).seed(3).start();
    let ids: Vec<String> = (0..6).map(|_| stage.post(&json!({ "to": TO, "text": "桥".repeat(150) }))).collect();
    let ends: Vec<String> = ids.iter().map(|id| end(&stage, id).0).collect();
    assert!(ends.iter().any(|kind| kind == "message.failed"), "{ends:?}");
}

#[test]
fn without_receipts_the_answer_is_the_end() {
    let carrier = Carrier::named("a").behaves("receipts = { none = 1.0 }");
    let stage = one(carrier.contract("rate = 100\nreceipts = false"));
    let (kind, data) = end(&stage, &stage.send(TO, "otp"));
    assert_eq!((kind.as_str(), &data["evidence"]), ("message.delivered", &"answer".into()), "{data}");
}

#[test]
fn a_receipt_that_never_comes_ends_in_expiry() {
    let plan = Plan::of([Carrier::named("a").behaves("receipts = { none = 1.0 }")]);
    let stage = plan.tiers(BRIEF).receipt_wait("1s").start();
    let id = stage.send(TO, "notice");
    let (kind, data) = end(&stage, &id);
    assert_eq!((kind.as_str(), &data["reason"]), ("message.expired", &"no_receipt".into()), "{data}");
}

#[test]
fn the_second_carrier_is_used_where_the_first_cannot_be_reached() {
    let stage = Plan::of(["a", "b"].map(Carrier::named)).start();
    stage.simulator.fault("a", json!({ "kind": "refuse" }));
    let posted = Instant::now();
    let id = stage.send(TO, "notice");
    let (kind, data) = end(&stage, &id);
    assert_eq!((kind.as_str(), &data["carrier"]), ("message.delivered", &"carrier-b".into()), "{data}");
    assert!(posted.elapsed() < seconds(5), "{:?}", posted.elapsed());
    stage.simulator.mend("a");
    stage.gateway.await_channels(&["a"]);
    let (_, data) = end(&stage, &stage.send("+8613800138001", "notice"));
    assert_eq!(data["carrier"], "carrier-a", "the better one is back: {data}");
}

#[test]
fn a_carrier_lost_with_messages_in_flight_has_its_codes_sent_elsewhere_at_once() {
    // A receipt that came before the answer would tell that the first carrier has them, and nothing would go elsewhere.
    let slow = "answer_latency = '30s'\nreceipts = { after = '60s' }";
    let slow = Carrier::named("a").behaves(slow).account("answer_timeout = '60s'");
    let stage = Plan::of([slow, Carrier::named("b")]).start();
    let ids: Vec<String> = (0..10).map(|n| stage.send(&format!("+861380013800{n}"), "otp")).collect();
    until("all of them on the wire", SOON, || {
        (stage.gateway.metrics().sum("qiao_window_in_flight", &[("channel", "a")]) == 10.0).then_some(())
    });
    let lost = Instant::now();
    stage.simulator.fault("a", json!({ "kind": "refuse" }));
    for id in &ids {
        let (kind, data) = end(&stage, id);
        assert_eq!((kind.as_str(), &data["carrier"]), ("message.delivered", &"carrier-b".into()), "{data}");
    }
    assert!(lost.elapsed() < seconds(5), "{:?}", lost.elapsed());
    let metrics = stage.gateway.metrics();
    assert_eq!(metrics.sum("qiao_in_doubt_total", &[("channel", "a"), ("tier", "otp")]), 10.0);
    assert_eq!(metrics.sum("qiao_in_doubt_resubmitted_total", &[]), 10.0);
}

#[test]
fn a_throttling_carrier_gets_everything_in_the_end() {
    let carrier = Carrier::named("a").behaves("rate_limit = 40\nrate_burst = 5\nreceipts = { after = '20ms' }");
    let mut stage = one(carrier.contract("rate = 200\nwindow = 20"));
    let mut load = stage.load("load", &["--rate", "60", "--for", "2s", "--tiers", "notice=1"]);
    let summary = load.summary(seconds(30));
    assert_eq!(summary["accepted"], 120, "{summary}");
    stage.await_rest(seconds(30));
    let throttled = stage.gateway.metrics().sum("qiao_throttled_total", &[("channel", "a")]);
    assert!(throttled > 0.0, "the carrier never throttled");
    let verdict = stage.close_books(&[&load], &["--max-duplicates", "0"]);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("delivered"), 120, "{:#}", verdict.report);
}

#[test]
fn no_second_exceeds_the_contract() {
    let mut stage = one(Carrier::named("a").contract("rate = 50\nburst = 2\nwindow = 50"));
    let mut load = stage.load("load", &["--rate", "300", "--count", "150"]);
    load.summary(seconds(30));
    stage.await_rest(seconds(30));
    let verdict = stage.close_books(&[&load], &["--pace", "a=50:2", "--max-duplicates", "0"]);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("delivered"), 150, "{:#}", verdict.report);
}

#[test]
fn what_finds_no_channel_expires_in_its_queue() {
    let stage = Plan::of([Carrier::named("a")]).tiers(BRIEF).start();
    stage.simulator.fault("a", json!({ "kind": "refuse" }));
    until("the channel to be down", SOON, || {
        (stage.gateway.ask("/admin/v1/channels/a").json()["state"] == "down").then_some(())
    });
    let id = stage.send(TO, "notice");
    let (kind, data) = end(&stage, &id);
    assert_eq!((kind.as_str(), &data["reason"]), ("message.expired", &"validity".into()), "{data}");
    assert_eq!(data["evidence"], "none");
    assert!(stage.submits("a").is_empty());
}

#[test]
fn a_message_is_its_owners_alone() {
    let stage = one(Carrier::named("a"));
    let id = stage.send(TO, "otp");
    assert_eq!(stage.story(&id).status, 200);
    let path = format!("/v1/messages/{id}");
    let other = format!("Bearer {OTHER_KEY}");
    assert_eq!(stage.gateway.call("GET", &path, &[("Authorization", &other)], &[]).status, 404);
    assert_eq!(stage.gateway.call("GET", &path, &[("Authorization", "Bearer wrong")], &[]).status, 401);
    assert_eq!(stage.gateway.call("GET", &path, &[], &[]).status, 401);
    assert_eq!(stage.story("0000000000000").status, 404);
}

#[test]
fn a_repeated_post_is_one_message_even_after_kill() {
    let mut stage = one(Carrier::named("a"));
    let message = json!({ "to": TO, "text": "hello" });
    let key = [("Idempotency-Key", "order-77")];
    let first = stage.post_with(&message, &key);
    assert_eq!((first.status, first.header("idempotent-replayed")), (202, None), "{}", first.text());
    stage.gateway.kill();
    stage.gateway.restart();
    let again = stage.post_with(&message, &key);
    assert_eq!((again.status, again.header("idempotent-replayed")), (202, Some("true")), "{}", again.text());
    assert_eq!(again.json(), first.json());
    let other = stage.post_with(&json!({ "to": TO, "text": "other" }), &key);
    assert_eq!(other.status, 422, "{}", other.text());
    assert_eq!(end(&stage, first.json()["id"].as_str().unwrap()).0, "message.delivered");
}

#[test]
fn a_message_from_a_handset_reaches_the_journal_and_is_answered() {
    let stage = one(Carrier::named("a"));
    stage.simulator.uplink("a", "8613800138000", "10690001", "TD");
    until("the carrier's message to be taken", SOON, || (stage.simulator.counter("a", "mo_acked") == 1).then_some(()));
    assert_eq!(stage.gateway.metrics().sum("qiao_mo_total", &[("channel", "a")]), 1.0);
}

#[test]
fn the_metrics_page_has_what_is_promised() {
    let stage = one(Carrier::named("a").behaves("answer_latency = '5ms'\nreceipts = { after = '20ms' }"));
    end(&stage, &stage.send(TO, "otp"));
    stage.await_rest(SOON);
    let metrics = stage.gateway.metrics();
    let always = "qiao_http_requests_total qiao_http_request_duration_seconds qiao_messages_accepted_total \
        qiao_outcomes_total qiao_submits_total qiao_submit_duration_seconds qiao_receipts_total \
        qiao_receipt_delay_seconds qiao_queue_wait_seconds qiao_accept_to_submit_seconds qiao_window_in_flight \
        qiao_window_limit qiao_pace_parts qiao_pace_limit qiao_links qiao_journal_commit_seconds qiao_journal_records \
        qiao_journal_bytes qiao_callbacks_total qiao_callback_delay_seconds qiao_callback_backlog qiao_build_info";
    let missing: Vec<&str> = always.split_whitespace().filter(|name| !metrics.has(name)).collect();
    assert!(missing.is_empty(), "{missing:?} not on\n{}", metrics.text());
    for name in ["qiao_journal_records", "qiao_journal_commit_seconds_count", "qiao_outcomes_total"] {
        until(name, SOON, || (stage.gateway.metrics().sum(name, &[]) >= 1.0).then_some(()));
    }
}

#[test]
fn secrets_numbers_and_texts_stay_where_they_belong() {
    let mut stage = Plan::of(["a", "b"].map(Carrier::named)).start();
    let text = "canary text 428301";
    let id = stage.post(&json!({ "to": TO, "text": text, "tier": "otp" }));
    end(&stage, &id);
    // What goes wrong is logged the most.
    stage.post_with(&json!({ "to": "+86138001380009999999", "text": text }), &[]);
    stage.post_with(&json!({ "to": TO, "text": text, "tier": "nonsense" }), &[]);
    let stranger = [("Authorization", "Bearer canary-stranger-91c7"), ("Content-Type", "application/json")];
    assert_eq!(stage.gateway.call("POST", "/v1/messages", &stranger, text.as_bytes()).status, 401);
    stage.simulator.fault("a", json!({ "kind": "garbage" }));
    stage.simulator.fault("b", json!({ "kind": "reset" }));
    end(&stage, &stage.post(&json!({ "to": TO, "text": text, "tier": "otp" })));
    let (yes, operators) = stage.gateway.ctl(&["message", &id]);
    assert!(yes && operators.contains(&id), "{operators}");
    let (yes, as_json) = stage.gateway.ctl(&["--json", "message", &id]);
    assert!(yes && as_json.contains("****"), "{as_json}");
    // Operators write numbers into reasons, and secrets into files that do not fit.
    let (code, held) = stage.gateway.operator(&["hold", "a", "--reason", "complaints of 8613800138000"]);
    assert_eq!(code, 0, "{held}");
    let file = stage.config().join("line.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}[[app]]\nid = 'x'\nrate = 1\nkeys = ['canary-weak']\n")).unwrap();
    let (code, refused) = stage.gateway.operator(&["reload"]);
    assert_eq!(code, 1, "{refused}");
    std::fs::write(&file, good).unwrap();
    let pages = [
        "/metrics",
        "/admin/v1/channels",
        "/admin/v1/queues",
        "/admin/v1/apps",
        "/admin/v1/config",
        "/admin/v1/status",
    ]
    .map(|page| stage.gateway.ask(page).text());
    stage.gateway.drain(seconds(10));
    stage.gateway.restart();
    let token = std::fs::read_to_string(stage.config().join("data/admin.token")).unwrap();
    let seen = [stage.gateway.log(), operators, as_json, held, refused, pages.concat()].concat();
    let secrets = [KEY, OTHER_KEY, SECRET, &SECRET[6..], PASSWORD, "canary-stranger", "canary-weak", token.trim()];
    for canary in secrets.into_iter().chain([text, "428301", "8613800138000", "13800138000"]) {
        let line = seen.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary} is seen in: {}", line.unwrap_or_default());
    }
}
