//! The line over each protocol of China's carriers, through real processes: what SMPP's scenes show of the line itself
//! (`line.rs`, `kill.rs`, `uplink.rs`) is not shown again, but what a protocol could spoil.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use Protocol::{Cmpp20, Cmpp30, Sgip, Smgp};
use conformance::books::of_kind;
use conformance::stage::SOON;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Protocol, Stage};
use serde_json::{Value, json};

const ALL: [Protocol; 4] = [Cmpp20, Cmpp30, Smgp, Sgip];
/// A handset that exists, one that the carrier refuses, and one whose carrier cannot reach it.
const GOOD: &str = "+8613800138001";
const REFUSED: &str = "+8613800138000";
const UNREACHABLE: &str = "+8613900139000";
/// The shop's number.
const SHOP: &str = "10690001";

/// What a protocol says where it says no.
struct No {
    /// A Result or Status for a bad number, and what it means.
    refusal: (u32, &'static str),
    /// What a report says of a handset that is not there.
    report: &'static str,
}

fn no(protocol: Protocol) -> No {
    match protocol {
        Sgip => No {
            refusal: (6, "result 6 (非法手机号码, illegal phone number)"),
            report: "state 2 error 26 (手机内存不足, handset memory full)",
        },
        Smgp => No {
            refusal: (47, "status 47 (非法接收用户号码, illegal DestTermId)"),
            report: "MK:0024 err:026 (用户关机, switched off)",
        },
        _ => No {
            refusal: (13, "result 13 (Dest_terminal_Id 错误, wrong Dest_terminal_Id)"),
            report: "MK:0024 (用户关机, switched off)",
        },
    }
}

/// Two accounts. The first has two links, and its receipts come over the other one than their submits; SGIP's over the
/// SMG's own connection. The second reaches nobody, says so before it answers, and over the link of the submit: SGIP's
/// over our connection, since we do not listen for it.
fn stage(protocol: Protocol) -> Stage {
    let over = if protocol == Sgip { "callback" } else { "other" };
    let account = format!("{}\nencoding = ['ascii', 'gbk', 'ucs2']", protocol.brisk());
    let (status, _) = no(protocol).refusal;
    let good =
        Carrier::named("good").speaks(protocol).account(&account).contract("rate = 2000\nwindow = 50\nlinks = 2");
    let good = good.behaves(&format!(
        "receipts = {{ after = '30ms' }}\nrules = {{ '8000' = {status} }}\n\
         quirks = {{ deliver_over = '{over}', mo_text = 'gbk', numbers = 'without_86' }}"
    ));
    let bad = Carrier::named("bad").speaks(protocol).prefix("+86139").unheard();
    let bad = bad.behaves(
        "answer_latency = '200ms'\nreceipts = { before_answer = true, failed = 1.0 }\n\
         quirks = { deliver_over = 'same', stats = { UNDELIV = 'MK:0024' }, error_code = 26 }",
    );
    Plan::of([good, bad]).numbers("shop", &[SHOP]).start()
}

/// The one end of a message: its type and its data.
#[track_caller]
fn end(stage: &Stage, id: &str) -> (String, Value) {
    let event = stage.told(id);
    assert_eq!(stage.events(id).len(), 1, "{id}");
    (event["type"].as_str().unwrap().to_owned(), event["data"].clone())
}

fn the_line_over(protocol: Protocol) {
    let stage = stage(protocol);
    short_and_long_texts_arrive(&stage);
    refusals_are_told_in_words(&stage, &no(protocol));
    handsets_are_heard(&stage);
    let metrics = stage.gateway.metrics();
    assert_eq!(metrics.sum("qiao_receipts_unmatched_total", &[]), 0.0, "{}", metrics.text());
    assert_eq!(metrics.sum("qiao_in_doubt_total", &[]), 0.0, "{}", metrics.text());
}

/// Each encoding, in one part and in several, joined by the carrier as it was posted.
fn short_and_long_texts_arrive(stage: &Stage) {
    let texts = [
        ("Your code is 428301".to_owned(), "ascii", 1),
        ("plain ".repeat(60), "ascii", 3),
        ("您的验证码是 428301".to_owned(), "gbk", 1),
        ("【云桥】桥。".repeat(25), "gbk", 3),
        ("桥😀".to_owned(), "ucs2", 1),
        ("桥😀 ".repeat(40), "ucs2", 3),
    ];
    let ids = texts.iter().map(|(text, encoding, parts)| {
        let answer = stage.post_with(&json!({ "to": GOOD, "text": text, "tier": "otp", "sender": "10690001207" }), &[]);
        let said = answer.json();
        assert_eq!(
            (answer.status, &said["parts"], &said["encoding"]),
            (202, &json!(parts), &json!(encoding)),
            "{said}"
        );
        said["id"].as_str().unwrap().to_owned()
    });
    let ids: Vec<String> = ids.collect();
    for id in &ids {
        let (kind, data) = end(stage, id);
        assert_eq!((kind.as_str(), &data["evidence"]), ("message.delivered", &json!("receipt")), "{data}");
    }
    let story = stage.story(&ids[0]).json();
    let happened: Vec<&str> =
        story["timeline"].as_array().unwrap().iter().filter_map(|one| one["event"].as_str()).collect();
    assert_eq!(happened, ["accepted", "attempt", "submitted", "receipt", "delivered"], "{story:#}");
    let parts = until("every part in the carrier's log", SOON, || {
        Some(stage.submits("good")).filter(|parts| parts.len() >= texts.iter().map(|(.., parts)| parts).sum())
    });
    let here =
        |part: &Value| part["source"] == "10690001207" && part["destination"].as_str().unwrap().ends_with(&GOOD[3..]);
    assert!(parts.iter().all(here), "{parts:#?}");
    assert_eq!(joined(&parts), texts.iter().map(|(text, ..)| text.clone()).collect());
}

/// The texts a carrier read, long ones put together.
fn joined(parts: &[Value]) -> BTreeSet<String> {
    let text = |part: &Value| part["text"].as_str().unwrap().to_owned();
    let (long, short): (Vec<&Value>, Vec<&Value>) = parts.iter().partition(|part| part["udh"].is_object());
    let references: BTreeSet<u64> = long.iter().filter_map(|part| part["udh"]["ref"].as_u64()).collect();
    let whole = references.into_iter().map(|reference| {
        let mut of: Vec<&&Value> = long.iter().filter(|part| part["udh"]["ref"] == reference).collect();
        of.sort_by_key(|part| part["udh"]["seq"].as_u64());
        of.into_iter().map(|part| text(part)).collect()
    });
    whole.chain(short.into_iter().map(text)).collect()
}

/// A Result, and a report's words, are in the callback, in the application's timeline and in the operator's.
fn refusals_are_told_in_words(stage: &Stage, no: &No) {
    for (to, evidence, words) in [(REFUSED, "answer", no.refusal.1), (UNREACHABLE, "receipt", no.report)] {
        let id = stage.send(to, "notice");
        let (kind, data) = end(stage, &id);
        assert_eq!((kind.as_str(), &data["evidence"]), ("message.failed", &json!(evidence)), "{data}");
        assert!(data["code"].as_str().unwrap().contains(words), "{words} in {data}");
        let story = stage.story(&id);
        assert!(story.text().contains(words), "{words} in {}", story.text());
        let (yes, operators) = stage.gateway.ctl(&["message", &id]);
        assert!(yes && operators.contains(words), "{words} in {operators}");
    }
    // Its report had come before the answer, and is not a second end.
    until("the answer after the report", SOON, || (stage.submits("bad").len() == 1).then_some(()));
}

/// Short and long ones, in either encoding, over every connection there is: told once each, whole.
fn handsets_are_heard(stage: &Stage) {
    let from = "8613800138000";
    stage.simulator.uplink("good", from, "1069000177", "退订");
    stage.simulator.uplink("good", from, SHOP, "TD");
    stage.simulator.uplink("bad", from, SHOP, "another link");
    let longs = [
        ("plain ".repeat(60), json!({ "long": "udh8", "reference": 1, "order": [3, 1, 2] })),
        ("桥和船。".repeat(50), json!({ "long": "udh8", "reference": 2, "order": [2, 3, 1] })),
        ("桥😀".repeat(60), json!({ "long": "udh16", "reference": 300, "order": [3, 2, 1] })),
    ];
    for (text, how) in &longs {
        stage.simulator.long_uplink("good", from, SHOP, text, how.clone());
    }
    let expected: BTreeSet<&str> =
        ["退订", "TD", "another link"].into_iter().chain(longs.iter().map(|(text, _)| text.as_str())).collect();
    let events = until("everything from handsets", SOON, || {
        let events: Vec<Value> =
            of_kind(&stage.sink.log, "event").into_iter().filter(|event| event["type"] == "message.received").collect();
        Some(events).filter(|events| events.len() >= expected.len())
    });
    let texts: BTreeSet<&str> = events.iter().map(|event| event["data"]["text"].as_str().unwrap()).collect();
    assert_eq!((events.len(), texts), (expected.len(), expected), "{events:#?}");
    assert!(events.iter().all(|event| event["data"]["from"] == "+8613800138000"), "{events:#?}");
    until("the carriers' answers", SOON, || (stage.simulator.counter("good", "mo_acked") == 2 + 3 * 3).then_some(()));
    until("the other's", SOON, || (stage.simulator.counter("bad", "mo_acked") == 1).then_some(()));
}

#[test]
fn the_line_over_cmpp_2() {
    the_line_over(Cmpp20);
}

#[test]
fn the_line_over_cmpp_3() {
    the_line_over(Cmpp30);
}

#[test]
fn the_line_over_smgp() {
    the_line_over(Smgp);
}

#[test]
fn the_line_over_sgip() {
    the_line_over(Sgip);
}

/// All of them beside each other: each carrier is gone for a while, the gateway is killed in between, and everything
/// arrives.
#[test]
fn carriers_and_gateway_are_killed_and_nothing_is_lost_over_any_protocol() {
    const WINDOW: u64 = 20;
    const KILLS: u64 = 2;
    let prefix = |n: usize| format!("+8613{n}");
    let carrier = |(n, protocol): (usize, Protocol)| {
        let carrier = Carrier::named(protocol.name()).speaks(protocol).prefix(&prefix(n));
        let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\nreceipts = { after = '400ms' }";
        carrier.behaves(behaviour).contract(&format!("rate = 1000\nwindow = {WINDOW}"))
    };
    let mut stage = Plan::of(ALL.into_iter().enumerate().map(carrier)).receipt_wait("5s").start();
    let load = |n: usize| {
        let args = ["--rate", "40", "--for", "8s", "--retry-unknown", "--to-prefix", &prefix(n)];
        stage.load(&format!("load-{n}"), &args)
    };
    let mut loads: Vec<_> = (0..ALL.len()).map(load).collect();
    for half in ALL.chunks(2) {
        let_pass(seconds(1));
        for protocol in half {
            stage.simulator.fault(protocol.name(), json!({ "kind": "refuse", "for": "700ms" }));
        }
        let_pass(seconds(1));
        stage.gateway.kill();
        stage.gateway.restart();
    }
    let mut accepted = 0;
    for load in &mut loads {
        let summary = load.summary(seconds(60));
        assert_eq!(summary["unknown"], 0, "{summary}");
        accepted += summary["accepted"].as_u64().unwrap();
    }
    assert!(accepted >= 1_000, "{accepted}");
    stage.await_rest(seconds(40));
    // A kill, and a carrier's end, each rob one window of its answers.
    let most = ((KILLS + 1) * ALL.len() as u64 * WINDOW).to_string();
    let verdict = stage.close_books(&loads.iter().collect::<Vec<_>>(), &["--max-duplicates", &most]);
    eprintln!("{}", verdict.report);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((verdict.count("delivered"), verdict.count("pending")), (accepted, 0), "{:#}", verdict.report);
    for protocol in ALL {
        assert!(stage.submits(protocol.name()).len() > 200, "{protocol}");
    }
}
