//! What a message asks of its carrier, from the route, the app and the send to the wire, through real processes.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::books::of_kind;
use conformance::stage::SOON;
use conformance::wait::until;
use conformance::{Carrier, Plan, Protocol};
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

/// Over each of China's protocols: what a handset's message came with is in its callback, and an answer takes it along; a
/// time when the message would not be valid any more is refused before it is promised.
#[test]
fn an_answer_takes_the_link_of_its_question_along() {
    let all = [Protocol::Cmpp30, Protocol::Smgp, Protocol::Sgip];
    let carrier = |protocol: Protocol| {
        let carrier = Carrier::named(protocol.name()).speaks(protocol).prefix(&format!("+86138{}", protocol as usize));
        carrier.behaves("receipts = { after = '50ms' }\nquirks = { mo_link_id = 'LINK0007' }")
    };
    let stage = Plan::of(all.map(carrier)).numbers("shop", &["10690001"]).start();
    for protocol in all {
        let to = format!("+86138{}0138000", protocol as usize);
        let post = |options| stage.post_with(&json!({ "to": to, "text": "x", "options": options }), &[]);
        for (options, code) in [
            (json!({ "at_time": "2099-01-01T00:00:00Z" }), "invalid_option"),
            (json!({ "at_time": "soon" }), "invalid_option"),
            (json!({ "fee_type": "99" }), "invalid_option"),
            (json!({ "service_type": "WAP" }), "unknown_option"),
        ] {
            let answer = post(options);
            assert_eq!((answer.status, &answer.json()["code"]), (422, &code.into()), "{protocol} {}", answer.text());
        }
        stage.simulator.uplink(protocol.name(), &to[1..], "10690001", "question");
        let asked = until("the question", SOON, || {
            let events = of_kind(&stage.sink.log, "event");
            events.into_iter().find(|event| event["type"] == "message.received" && event["data"]["from"] == to)
        });
        let options = &asked["data"]["options"];
        assert_eq!(options, &json!({ "link_id": "LINK0007" }), "{protocol} {asked}");
        let answer =
            post(json!({ "link_id": options["link_id"], "service_id": "QUIZ", "at_time": "2020-01-01T00:00:00Z" }));
        assert_eq!(answer.status, 202, "{protocol} {}", answer.text());
        stage.told(answer.json()["id"].as_str().unwrap());
        let submits = stage.submits(protocol.name());
        let said: Vec<_> = submits.iter().map(|submit| (&submit["service_id"], &submit["link_id"])).collect();
        assert_eq!(said, [(&"QUIZ".into(), &"LINK0007".into())], "{protocol}");
    }
}
