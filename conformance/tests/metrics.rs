//! The metrics that alerts and boards stand on: every name with its labels, on the page of a gateway to which everything
//! has happened that they count.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::stage::SOON;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::json;

/// Promised: a name stays, and so do its labels.
const PROMISED: &[(&str, &[&str])] = &[
    ("qiao_http_requests_total", &["code", "method", "route"]),
    ("qiao_http_request_duration_seconds", &[]),
    ("qiao_messages_accepted_total", &["tier", "type"]),
    ("qiao_messages_rejected_total", &["reason"]),
    ("qiao_outcomes_total", &["channel", "outcome", "reason_class", "tier"]),
    ("qiao_submits_total", &["channel", "verdict"]),
    ("qiao_submit_duration_seconds", &["channel"]),
    ("qiao_receipts_total", &["channel", "state"]),
    ("qiao_receipt_delay_seconds", &["channel"]),
    ("qiao_receipts_unmatched_total", &["channel"]),
    ("qiao_mo_total", &["channel"]),
    ("qiao_queue_wait_seconds", &["tier"]),
    ("qiao_accept_to_submit_seconds", &["tier"]),
    ("qiao_queue_messages", &["group", "tier"]),
    ("qiao_queue_oldest_seconds", &["group", "tier"]),
    ("qiao_window_in_flight", &["channel"]),
    ("qiao_window_limit", &["channel"]),
    ("qiao_pace_parts", &["channel"]),
    ("qiao_pace_limit", &["channel"]),
    ("qiao_links", &["channel", "role", "state"]),
    ("qiao_throttled_total", &["channel"]),
    ("qiao_channel_state", &["channel", "state"]),
    ("qiao_channel_transitions_total", &["cause", "channel", "from", "to"]),
    ("qiao_failover_duration_seconds", &[]),
    ("qiao_in_doubt_total", &["channel", "class", "tier"]),
    ("qiao_in_doubt_resubmitted_total", &["channel", "tier"]),
    ("qiao_journal_commit_seconds", &[]),
    ("qiao_journal_records", &[]),
    ("qiao_journal_bytes", &[]),
    ("qiao_callbacks_total", &["result"]),
    ("qiao_callback_delay_seconds", &[]),
    ("qiao_callback_backlog", &[]),
    ("qiao_config_reloads_total", &["result"]),
    ("qiao_config_last_reload_success_timestamp_seconds", &[]),
    ("qiao_build_info", &["revision", "version"]),
];

/// The labels of each metric that has a sample, in order.
fn samples(page: &str) -> BTreeMap<String, Vec<String>> {
    let sample = |line: &str| {
        let (name, rest) = line.split_once(['{', ' '])?;
        let name = name.strip_suffix("_count").unwrap_or(name);
        let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
        let mut labels: Vec<String> =
            labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
        labels.sort();
        Some((name.to_owned(), labels))
    };
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// One after another: delivered, refused, from a handset, throttled, waiting, in doubt, reloaded.
fn live_through_everything(stage: &Stage) {
    let to = "+8613800138000";
    stage.told(&stage.send(to, "otp"));
    assert_eq!(stage.post_with(&json!({ "to": "1", "text": "x" }), &[]).status, 422);
    stage.simulator.uplink("a", "8613800138000", "10690001", "TD");
    stage.order(&["reload"]);
    stage.simulator.fault("a", json!({ "kind": "throttle", "for": "300ms" }));
    stage.told(&stage.send(to, "notice"));
    // What comes while both last is refused in silence.
    let_pass(Duration::from_millis(400));

    stage.simulator.fault("a", json!({ "kind": "mute" }));
    let submits = stage.simulator.counter("a", "submits");
    let exposed: Vec<String> = (0..10).map(|_| stage.send(to, "otp")).collect();
    until("submits at the mute carrier", SOON, || (stage.simulator.counter("a", "submits") > submits).then_some(()));
    stage.simulator.fault("a", json!({ "kind": "reset" }));
    exposed.iter().for_each(|id| drop(stage.told(id)));
    ["a", "b"].iter().for_each(|channel| stage.hold(channel, true));
    stage.send(to, "marketing");
}

#[test]
fn every_promised_metric_is_there_with_its_labels() {
    let stage = Plan::of(["a", "b"].map(Carrier::named)).numbers("shop", &["10690001"]).start();
    live_through_everything(&stage);
    // Gauges follow a few times a second.
    let_pass(seconds(1));
    let page = stage.gateway.metrics();
    let there = samples(page.text());
    for (name, labels) in PROMISED {
        let of = there.get(*name).unwrap_or_else(|| panic!("{name} is not on\n{}", page.text()));
        assert_eq!(of, labels, "labels of {name}");
    }
    for name in ["throttled", "in_doubt", "in_doubt_resubmitted", "mo", "config_reloads", "messages_rejected"] {
        let name = format!("qiao_{name}_total");
        assert!(page.sum(&name, &[]) >= 1.0, "{name} has counted nothing\n{}", page.text());
    }
    assert_eq!(page.sum("qiao_queue_messages", &[("tier", "marketing"), ("group", "all")]), 1.0);
}
