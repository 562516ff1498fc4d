//! Messages from handsets through real processes: to the app that owns the number, joined, once, or listed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use conformance::stage::SOON;
use conformance::wait::until;
use conformance::{Carrier, Plan, Stage};
use serde_json::{Value, json};

const FROM: &str = "8613800138000";
const SHOP: &str = "10690001";
const OTHER: &str = "106900012";

/// The shop owns a number and the other app a longer one that begins with it.
fn plan() -> Plan {
    Plan::of([Carrier::named("a")]).numbers("shop", &[SHOP]).numbers("other", &[OTHER])
}

/// Every `message.received` the sink took, once each, by its event id.
fn received(stage: &Stage) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let events = conformance::books::of_kind(&stage.sink.log, "event").into_iter();
    let ours = events.filter(|event| event["type"] == "message.received");
    ours.filter(|event| seen.insert(event["event_id"].as_str().unwrap().to_owned())).collect()
}

#[track_caller]
fn await_received(stage: &Stage, count: usize) -> Vec<Value> {
    until(&format!("{count} messages from handsets: {:?}", received(stage)), SOON, || {
        Some(received(stage)).filter(|all| all.len() >= count)
    })
}

/// Waits until the far side has its answers.
#[track_caller]
fn await_answers(stage: &Stage, count: u64) {
    until("the carrier's answers", SOON, || (stage.simulator.counter("a", "mo_acked") >= count).then_some(()));
}

/// The books of uplinks close: `more` arguments for the checker.
#[track_caller]
fn close(mut stage: Stage, more: &[&str]) {
    let nobody = stage.logs().join("nobody.jsonl");
    std::fs::write(&nobody, "").unwrap();
    stage.simulator.stop();
    stage.sink.stop();
    let verdict = conformance::books::ledger(&[&nobody], &stage.carrier_logs(), &stage.sink.log, more);
    assert!(verdict.holds, "{:#}", verdict.report);
}

fn texts(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| event["data"]["text"].as_str().unwrap()).collect()
}

#[test]
fn a_short_one_is_told_to_the_app_that_owns_the_number() {
    let stage = plan().start();
    stage.simulator.uplink("a", FROM, "1069000177", "退订");
    let event = await_received(&stage, 1).remove(0);
    let data = &event["data"];
    assert_eq!((&data["from"], &data["to"]), (&"+8613800138000".into(), &"1069000177".into()), "{data}");
    assert_eq!((&data["extension"], &data["text"]), (&"77".into(), &"退订".into()), "{data}");
    assert_eq!((&data["complete"], &data["parts"], &data["carrier"]), (&true.into(), &1.into(), &"carrier-a".into()));
    await_answers(&stage, 1);
    close(stage, &[]);
}

#[test]
fn long_ones_are_joined_in_whatever_order_and_wherever_they_are_cut() {
    let stage = plan().start();
    // Cut inside surrogate pairs, inside escapes, and between parts that come in any order.
    let cases = [
        ("😀桥😀".repeat(20), json!({ "long": "udh8", "reference": 1, "order": [3, 1, 4, 2], "cut": 50 })),
        ("€[]{}".repeat(12), json!({ "long": "udh16", "reference": 300, "order": [5, 4, 3, 2, 1], "cut": 25 })),
        ("plain ".repeat(60), json!({ "long": "sar", "reference": 9, "order": [2, 3, 1] })),
        ("桥".repeat(300), json!({ "long": "udh8", "reference": 2, "order": [] })),
    ];
    for (text, how) in &cases {
        stage.simulator.long_uplink("a", FROM, SHOP, text, how.clone());
    }
    let events = await_received(&stage, cases.len());
    assert_eq!(texts(&events), cases.iter().map(|(text, _)| text.as_str()).collect());
    assert!(events.iter().all(|event| event["data"]["complete"] == true), "{events:#?}");
    await_answers(&stage, 4 + 5 + 3 + 5);
    close(stage, &[]);
}

#[test]
fn what_is_missing_is_told_with_gaps_after_the_wait() {
    let stage = plan().sections("[uplink]\njoin_wait = '1s'\n").start();
    let how = json!({ "long": "udh8", "reference": 1, "order": [1, 3], "cut": 2 });
    stage.simulator.long_uplink("a", FROM, SHOP, "aabbcc", how);
    let data = await_received(&stage, 1)[0]["data"].clone();
    assert_eq!((&data["text"], &data["missing"]), (&"aa\u{fffd}cc".into(), &json!([2])), "{data}");
    await_answers(&stage, 2);
    close(stage, &[]);
}

#[test]
fn the_longer_number_wins_and_each_app_gets_its_own() {
    let stage = plan().start();
    for (to, text) in [("10690001", "one"), ("106900011", "two"), ("8610690001", "three")] {
        stage.simulator.uplink("a", FROM, to, text);
    }
    stage.simulator.uplink("a", FROM, "1069000125", "for the other app");
    assert_eq!(texts(&await_received(&stage, 3)), ["one", "three", "two"].into());
    await_answers(&stage, 4);
    let listed = until("the list of the store", SOON, || {
        let (_, said) = stage.gateway.ctl(&["--json", "uplinks"]);
        let list: Value = serde_json::from_str(&said).ok()?;
        Some(list["uplinks"].as_array()?.clone()).filter(|list| list.len() == 4)
    });
    let apps: Vec<_> = listed.iter().map(|one| (one["to"].as_str().unwrap(), one["app"].as_str().unwrap())).collect();
    assert!(apps.contains(&("1069000125", "other")) && apps.contains(&("106900011", "shop")), "{apps:?}");
    assert!(listed.iter().all(|one| one["from"] == "+8613*******00"), "{listed:?}");
}

#[test]
fn what_a_lost_connection_left_unanswered_is_told_once() {
    let stage = plan().start();
    stage.simulator.fault("a", json!({ "kind": "close_after_mo", "for": "2s" }));
    stage.simulator.uplink("a", FROM, SHOP, "again and again");
    await_answers(&stage, 1);
    stage.simulator.uplink("a", FROM, SHOP, "again and again");
    await_received(&stage, 2);
    await_answers(&stage, 2);
    assert_eq!(received(&stage).len(), 2, "what comes over the living link is a new one");
    let repeated = stage.gateway.metrics().sum("qiao_mo_duplicates_total", &[]);
    assert!(repeated >= 1.0, "{repeated}");
    close(stage, &[]);
}

#[test]
fn killed_between_the_parts_it_is_still_joined_and_told_once() {
    let mut stage = plan().start();
    let text = "x".repeat(400);
    let how = |order: &[u8]| json!({ "long": "udh8", "reference": 5, "order": order, "cut": 100 });
    for order in [&[2u8, 1][..], &[4], &[3]] {
        stage.simulator.long_uplink("a", FROM, SHOP, &text, how(order));
        let before = stage.simulator.counter("a", "mo_acked");
        until("an answer", SOON, || (stage.simulator.counter("a", "mo_acked") > 0).then_some(before));
        stage.gateway.kill();
        stage.gateway.restart();
    }
    let events = await_received(&stage, 1);
    await_answers(&stage, 4);
    assert_eq!((events.len(), texts(&events)), (1, [text.as_str()].into()));
    close(stage, &[]);
}

#[test]
fn killed_under_a_stream_of_them_every_one_that_was_answered_is_told_once() {
    let mut stage = plan().start();
    for n in 0..60 {
        // No extension makes it a number of the other app.
        let (from, to) = (format!("86138{n:08}"), format!("{SHOP}7{n}"));
        let how = json!({ "long": "sar", "reference": n, "order": [2, 1, 3], "cut": 4 });
        match n % 2 {
            0 => stage.simulator.uplink("a", &from, &to, &format!("short {n}")),
            _ => stage.simulator.long_uplink("a", &from, &to, &format!("long {n:07}"), how),
        }
        if n % 20 == 10 {
            stage.gateway.kill();
            stage.gateway.restart();
        }
    }
    await_answers(&stage, 30 + 90);
    await_received(&stage, 60);
    close(stage, &[]);
}

#[test]
fn one_that_nobody_owns_is_listed_and_delivered_once_somebody_does() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    stage.simulator.uplink("a", FROM, SHOP, "hello?");
    stage.simulator.uplink("a", FROM, "4040", "nobody's");
    await_answers(&stage, 2);
    let unmatched = |stage: &Stage| -> Vec<Value> {
        let (yes, said) = stage.gateway.ctl(&["--json", "uplinks", "--unmatched"]);
        assert!(yes, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["uplinks"].as_array().unwrap().clone()
    };
    let listed = until("two unmatched", SOON, || Some(unmatched(&stage)).filter(|list| list.len() == 2));
    assert!(listed.iter().all(|one| one["app"].is_null() && !one.to_string().contains(FROM)), "{listed:?}");
    assert!(!stage.gateway.log().contains("hello?") && !stage.gateway.log().contains(FROM));
    assert_eq!(stage.gateway.metrics().sum("qiao_mo_unmatched_total", &[]), 2.0);
    let token = stage.config().join("data/admin.token");
    let deliver = |stage: &Stage, what: &str| {
        stage.gateway.ctl(&["--token-file", &token.to_string_lossy(), "uplinks", "deliver", what])
    };
    let id = listed.iter().find(|one| one["to"] == SHOP).unwrap()["id"].as_str().unwrap().to_owned();
    let (yes, said) = deliver(&stage, &id);
    assert!(!yes && said.contains("no_owner"), "{said}");
    stage.gateway.kill();
    let line = stage.config().join("line.toml");
    let text = std::fs::read_to_string(&line).unwrap();
    std::fs::write(&line, text.replacen("numbers = []", &format!("numbers = ['{SHOP}']"), 1)).unwrap();
    stage.gateway.restart();
    if received(&stage).is_empty() {
        // Remembered in the journal it may have been told at the start already.
        deliver(&stage, "--all");
    }
    let events = await_received(&stage, 1);
    assert_eq!((events.len(), &events[0]["data"]["id"]), (1, &id.as_str().into()), "{events:?}");
    until("it to leave the list", SOON, || (unmatched(&stage).len() == 1).then_some(()));
    let list: PathBuf = stage.logs().join("unmatched.json");
    std::fs::write(&list, json!({ "uplinks": unmatched(&stage) }).to_string()).unwrap();
    close(stage, &["--unmatched", &list.to_string_lossy()]);
}
