//! What the door refuses so that the rest gets through: messages that would leave too late, and the lowest tier while
//! the process cannot keep up.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::http::Answer;
use conformance::stage::SOON;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::json;

fn post(stage: &Stage, tier: &str) -> Answer {
    stage.post_with(&json!({ "to": "+8613800138000", "text": "hello", "tier": tier }), &[])
}

#[test]
fn what_would_leave_too_late_is_refused_with_its_wait() {
    let stage = Plan::of([Carrier::named("a").contract("rate = 1\nwindow = 50")]).start();
    let mut accepted = 0;
    let refused = until("a refusal", SOON, || {
        let answer = post(&stage, "notice");
        accepted += 1;
        (answer.status != 202).then_some(answer)
    });
    // Half of 20 s at a part a second.
    assert!(accepted > 10, "{accepted}");
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (503, &json!("overloaded")), "{problem:#}");
    let wait = &problem["wait"];
    assert!(wait["seconds"].as_f64() > Some(10.0) && wait["parts_ahead"].as_u64() >= Some(10), "{problem:#}");
    assert_eq!((&wait["parts_per_second"], &wait["down_seconds"]), (&json!(1.0), &json!(0)), "{problem:#}");
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // At least 5 s and at most 600, spread by half of it either way.
    assert!((3..=900).contains(&retry_after), "{retry_after}");
    assert_eq!(post(&stage, "otp").status, 202, "the tier above waits for nothing of this");

    stage.order(&["queues", "expire", "--tier", "notice", "--reason", "recalled"]);
    until("room again", SOON, || (post(&stage, "notice").status == 202).then_some(()));
}

#[test]
fn a_process_that_cannot_keep_up_refuses_the_lowest_tier_only() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    assert_eq!(post(&stage, "marketing").status, 202);
    let refused = until("a refusal", SOON, || {
        // Longer than the line's ticks are apart, so that each comes late.
        let process = stage.gateway.process();
        process.signal("STOP");
        let_pass(seconds(1) / 2);
        process.signal("CONT");
        let answer = post(&stage, "marketing");
        (answer.status != 202).then_some(answer)
    });
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")), "{}", refused.text());
    assert_eq!([post(&stage, "notice").status, post(&stage, "otp").status], [202, 202]);
    until("the line to keep up", SOON, || (post(&stage, "marketing").status == 202).then_some(()));
    let log = stage.gateway.log();
    let shed = log.lines().find(|line| line.contains("shedding: new messages are refused")).unwrap_or_default();
    assert!(shed.contains("\"reason\":\"late\"") && shed.contains("\"tier\":\"marketing\""), "{log}");
    until("its end to be logged", SOON, || stage.gateway.log().contains("shedding has ended").then_some(()));
}
