//! The journal's budget runs out while no carrier takes anything: lower tiers are refused first, what carriers say is
//! still written down, and service comes back by itself.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::far::Load;
use conformance::stage::SOON;
use conformance::wait::{found, seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::json;

/// Waiting messages soon grow too old, so that the journal can shrink.
const TIERS: &str = "[[tier]]\nname = 'otp'\nvalidity = '12s'\n[[tier]]\nname = 'notice'\nvalidity = '12s'\n\
                     [[tier]]\nname = 'marketing'\nvalidity = '12s'\n";

/// Posts of one tier, at a pace that the gauges can follow, until some are refused.
fn fill(stage: &Stage, tier: &str, text: &str, prefix: &str) -> Load {
    let tiers = format!("{tier}=1");
    let args = ["--rate", "250", "--for", "20s", "--tiers", &tiers, "--text", text, "--to-prefix", prefix];
    let mut load = stage.load(tier, &args);
    until(&format!("{tier} to be refused"), seconds(20), || {
        assert!(load.runs(), "all of it was taken");
        (status(stage, tier) == 503).then_some(())
    });
    load.stop(SOON);
    load
}

/// What the gateway says to a post of that tier that it would refuse anyway.
fn status(stage: &Stage, tier: &str) -> u16 {
    let answer = stage.post_with(&json!({ "to": "+8613800138000", "text": "hello", "tier": tier }), &[]);
    if answer.status == 503 {
        // The journal itself refuses what the gate, which looks now and then, has just let pass.
        let code = answer.json()["code"].clone();
        assert!(code == "overloaded" || code == "not_durable", "{}", answer.text());
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        // What is refused for what waits before it may come when that is gone; nobody knows when there is room on disk.
        let longest = if answer.json()["wait"].is_object() { 86_400 } else { 60 };
        assert!((1..=longest).contains(&wait), "{wait}");
    }
    answer.status
}

#[test]
fn a_full_journal_refuses_lower_tiers_first_and_recovers() {
    let carrier = Carrier::named("a").behaves("receipts = { after = '6s' }");
    let journal = "segment_bytes = '1MiB'\nmax_bytes = '4MiB'";
    let stage = Plan::of([carrier]).tiers(TIERS).journal(journal).receipt_wait("1s").start();
    let early: Vec<String> = (0..20).map(|n| stage.send(&format!("+86138001370{n:02}"), "otp")).collect();
    until("the early ones to be submitted", SOON, || (stage.submits("a").len() >= 20).then_some(()));
    stage.hold("a", true);
    let text = "桥".repeat(600);
    fill(&stage, "marketing", &text, "+8613801");
    assert_eq!(status(&stage, "notice"), 202, "marketing is refused first");
    fill(&stage, "notice", &text, "+8613802");
    assert_eq!([status(&stage, "marketing"), status(&stage, "otp")], [503, 202], "then notice");
    fill(&stage, "otp", &text, "+8613803");
    assert_eq!(["marketing", "notice", "otp"].map(|tier| status(&stage, tier)), [503; 3], "codes last");
    for id in &early {
        let event = stage.told(id);
        assert_eq!(event["type"], "message.delivered", "receipts are taken all the while: {event}");
    }
    stage.hold("a", false);
    let back = found(seconds(40), || (status(&stage, "marketing") == 202).then_some(()));
    assert!(back.is_some(), "marketing is never taken again:\n{}", stage.gateway.metrics().text());
    let id = stage.send("+8613800136000", "marketing");
    assert_eq!(stage.told(&id)["type"], "message.delivered");
    stage.await_rest(seconds(60));
    assert!(!stage.gateway.log().contains("panic"), "{}", stage.gateway.log());
}
