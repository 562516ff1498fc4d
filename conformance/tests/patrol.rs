//! Test messages over channels, with real processes: what they find, whom they are told to (nobody), and what an
//! operator sees of them.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::stage::{KEY, SOON};
use conformance::wait::{seconds, until};
use conformance::{Carrier, Plan, Stage, books};
use serde_json::{Value, json};

const HANDSET: &str = "+8613912345678";

/// Channel `a` is tested every second, `b` never.
fn stage() -> Stage {
    let test = format!("[channel.test]\nto = '{HANDSET}'\ntext = 'on patrol'\nevery = '1s'\nreceipt_within = '1s'\n");
    let account = format!("enquire_link = '1s'\nanswer_timeout = '2s'\n{test}");
    Plan::of([Carrier::named("a").account(&account), Carrier::named("b")]).receipt_wait("2s").start()
}

fn tests(stage: &Stage, result: &str) -> f64 {
    stage.gateway.metrics().sum("qiao_channel_tests_total", &[("channel", "a"), ("result", result)])
}

fn alarm(stage: &Stage) -> f64 {
    stage.gateway.metrics().sum("qiao_channel_alarm", &[("channel", "a"), ("kind", "test")])
}

/// What an operator's command prints, and whether it was a yes.
fn says(stage: &Stage, args: &[&str]) -> (bool, String) {
    let token = stage.config().join("data/admin.token");
    stage.gateway.ctl(&[&["--token-file", &token.to_string_lossy()], args].concat())
}

/// Nothing of a test is an application's, or is shown in full.
#[track_caller]
fn nobody_was_told(stage: &Stage) {
    assert_eq!(books::of_kind(&stage.sink.log, "event"), Vec::<Value>::new());
    let metrics = stage.gateway.metrics();
    for name in ["qiao_messages_accepted_total", "qiao_outcomes_total", "qiao_accept_to_submit_seconds_count"] {
        assert_eq!(metrics.sum(name, &[]), 0.0, "{name}\n{}", metrics.text());
    }
    assert!(!metrics.text().contains("test:a"), "{}", metrics.text());
    let pages = ["/admin/v1/queues", "/admin/v1/apps", "/admin/v1/channels", "/admin/v1/config"];
    let shown = pages.map(|page| stage.gateway.ask(page).text()).concat() + &stage.gateway.log();
    for secret in [&HANDSET[1..], "on patrol", "qiao:test"] {
        let config = secret == "on patrol" && shown.matches(secret).count() == 1;
        assert!(config || !shown.contains(secret), "{secret} is shown");
    }
}

#[test]
fn receipts_that_are_dropped_raise_the_alarm_and_their_return_ends_it() {
    let stage = stage();
    until("two tests that arrive", SOON, || (tests(&stage, "ok") >= 2.0).then_some(()));
    assert_eq!((alarm(&stage), stage.submits("b").len()), (0.0, 0), "each test goes over its channel");
    let submit = &stage.submits("a")[0];
    assert_eq!(submit["text"], "on patrol", "{submit}");
    assert!(stage.gateway.metrics().sum("qiao_channel_test_delay_seconds_count", &[("channel", "a")]) >= 2.0);
    nobody_was_told(&stage);

    stage.simulator.fault("a", json!({ "kind": "drop_receipts" }));
    until("the alarm", SOON, || (alarm(&stage) == 1.0).then_some(()));
    assert!(tests(&stage, "no_receipt") >= 2.0);
    let channel = stage.order(&["channels", "a"]);
    assert_eq!((&channel["state"], &channel["alarms"][0]["kind"]), (&json!("up"), &json!("test")), "{channel:#}");
    assert_eq!((&channel["test"]["result"], &channel["weight"]), (&json!("no_receipt"), &json!(1.0)), "{channel:#}");
    let (_, said) = says(&stage, &["channels"]);
    assert!(said.contains("ALARM test since ") && said.contains("the last: no_receipt"), "{said}");

    stage.simulator.mend("a");
    until("the end of the alarm", SOON, || (alarm(&stage) == 0.0).then_some(()));
    assert_eq!(stage.order(&["channels", "a"])["alarms"], json!([]));
    let log = stage.gateway.log();
    assert!(log.contains("\"channel alarm\"") && log.contains("a channel alarm has ended"), "{log}");
    nobody_was_told(&stage);
}

#[test]
fn a_channel_out_of_service_is_not_tested_and_an_operator_may_test_one_now() {
    let mut stage = stage();
    until("a test that arrives", SOON, || (tests(&stage, "ok") >= 1.0).then_some(()));
    stage.hold("a", true);
    let (yes, said) = says(&stage, &["test", "a"]);
    assert!(!yes && said.contains("held"), "{said}");
    until("nothing under way", SOON, || (stage.gateway.metrics().sum("qiao_messages", &[]) == 0.0).then_some(()));
    let sent = stage.submits("a").len();
    // Two of its rounds: seen by the other channel's pings, of which there is one a second.
    let pings = || stage.simulator.counter("b", "enquire_links");
    let seen = pings();
    until("two seconds of the far side", SOON, || (pings() >= seen + 3).then_some(()));
    assert_eq!(stage.submits("a").len(), sent, "tested while held");
    stage.hold("a", false);

    let begun = stage.order(&["test", "a"]);
    assert_eq!(begun["channel"], "a", "{begun}");
    let id = begun["id"].as_str().unwrap().to_owned();
    let shown = || stage.order(&["message", &id]);
    until("its end", SOON, || (shown()["status"] == "delivered").then_some(()));
    assert!(!shown().to_string().contains("912345678"), "{}", shown());
    assert_eq!(stage.story(&id).status, 404, "no application's");
    for (args, why) in [(["test", "b"], "[channel.test]"), (["test", "c"], "no channel of that name")] {
        let (yes, said) = says(&stage, &args);
        assert!(!yes && said.contains(why), "{args:?}: {said}");
    }
    nobody_was_told(&stage);

    // What was under way when the process died is nobody's after it either.
    stage.simulator.fault("a", json!({ "kind": "drop_receipts" }));
    let before = stage.submits("a").len();
    until("a test under way", SOON, || (stage.submits("a").len() > before).then_some(()));
    stage.gateway.kill();
    stage.simulator.mend("a");
    stage.gateway.restart();
    until("a test after the restart", SOON, || (tests(&stage, "ok") >= 1.0).then_some(()));
    nobody_was_told(&stage);
    let told = stage.send("+8613800138000", "otp");
    assert_eq!(stage.told(&told)["type"], "message.delivered");
    let bearer = format!("Bearer {KEY}");
    let listed = stage.gateway.call("GET", &format!("/v1/messages/{id}"), &[("Authorization", &bearer)], &[]);
    assert_eq!(listed.status, 404, "{}", listed.text());
    assert!(stage.gateway.drain(seconds(10)).success());
}

#[test]
fn a_test_that_waits_stands_in_no_queue_that_operators_see() {
    let test = format!("[channel.test]\nto = '{HANDSET}'\nevery = '1h'\n");
    let account = format!("enquire_link = '1s'\nanswer_timeout = '2s'\n{test}");
    let slow = Carrier::named("a").contract("rate = 0.2\nwindow = 5").account(&account);
    let stage = Plan::of([slow]).start();
    let ordered = stage.order(&["test", "a"]);
    let id = ordered["id"].as_str().unwrap_or_else(|| panic!("{ordered:#}"));
    assert_eq!(stage.order(&["message", id])["status"], "queued");
    let queues = stage.order(&["queues"]);
    let groups: Vec<_> = queues["queues"].as_array().unwrap().iter().map(|queue| &queue["group"]).collect();
    assert_eq!(groups, ["all"; 3], "{queues:#}");
    nobody_was_told(&stage);
}
