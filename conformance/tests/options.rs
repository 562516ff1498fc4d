//! What a message asks of its carrier, from the route, the app and the send to the wire, through real processes.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::{Carrier, Plan};
use serde_json::json;

#[test]
fn what_a_send_asks_for_reaches_the_wire_also_after_a_kill() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    let to = "+8613800138000";
    let asked = json!({ "to": to, "text": "first", "options": { "service_type": "WAP" } });
    stage.told(&stage.post(&asked));
    for (options, code) in
        [(json!({ "fee_code": "1" }), "unknown_option"), (json!({ "service_type": "longer" }), "invalid_option")]
    {
        let answer = stage.post_with(&json!({ "to": to, "text": "x", "options": options }), &[]);
        assert_eq!((answer.status, &answer.json()["code"]), (422, &code.into()));
    }
    stage.hold("a", true);
    let waiting = stage.post(&json!({ "to": to, "text": "second", "options": { "service_type": "CMT" } }));
    stage.gateway.kill();
    stage.gateway.restart();
    stage.hold("a", false);
    stage.told(&waiting);
    stage.told(&stage.send(to, "notice"));
    let submits = stage.submits("a");
    let types: Vec<&str> = submits.iter().map(|submit| submit["service_id"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["WAP", "CMT", ""]);
}
