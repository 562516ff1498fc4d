//! `qiao ctl channels`: how the carriers' channels stand.

use std::io::{self, Write};

use serde_json::Value;

use super::ask::{Ask, segment};
use super::print::{order, table, text, time};
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>, name: Option<&str>) -> io::Result<Exit> {
    let path = name.map_or("/admin/v1/channels".into(), |n| format!("/admin/v1/channels/{}", segment(n)));
    ask.get(&path, show).await
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let list = answer["channels"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
    let mut rows = Vec::new();
    for channel in list {
        let window = format!("{}/{}", channel["in_flight"], channel["window"]);
        let links = channel["links"].as_array().map(|links| {
            let one = |l: &Value| format!("{} {} {}", text(&l["role"]), text(&l["state"]), text(&l["detail"]));
            links.iter().map(|link| one(link).trim_end().to_owned()).collect::<Vec<_>>().join("; ")
        });
        let [name, carrier, protocol, state] = ["name", "carrier", "protocol", "state"].map(|key| text(&channel[key]));
        let p99 = channel["health"]["p99_ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_else(|| "-".to_owned());
        rows.push(vec![name, carrier, protocol, state, window, rate(&channel), p99, links.unwrap_or_default()]);
        // Without a link by order: the order below says so.
        if !matches!(channel["state"].as_str(), Some("drained" | "draining")) {
            rows.extend(health(&channel["health"]).map(|line| vec![line]));
        }
        if channel["deaf"] == true {
            rows.push(vec!["deaf: it sends, and hears nothing of what it sent".to_owned()]);
        }
        if channel["leaving"] == true {
            rows.push(vec!["not in the configuration any more: finishes what is open".to_owned()]);
        }
        rows.extend(order(&channel["order"]).map(|order| vec![order]));
        rows.extend(channel["alarms"].as_array().into_iter().flatten().map(|alarm| vec![remark(alarm)]));
        rows.extend(tested(&channel["test"]).map(|test| vec![test]));
    }
    table(&["CHANNEL", "CARRIER", "PROTOCOL", "STATE", ">WINDOW", ">RATE/S", ">P99", "LINKS"], &rows, out)
}

/// What speaks against the channel, if anything does.
fn health(health: &Value) -> Option<String> {
    let (state, weight) = (health["state"].as_str()?, health["weight"].as_f64().unwrap_or(1.0));
    if state == "healthy" && weight >= 1.0 {
        return None;
    }
    let seconds = health["since_ms"].as_u64().unwrap_or(0) as f64 / 1_000.0;
    let (cause, phi) = (text(&health["cause"]), health["phi"].as_f64().unwrap_or(0.0));
    let weight = if weight < 1.0 { format!(", counts {weight}") } else { String::new() };
    let phi = if phi > 0.0 { format!(", phi {phi:.1}") } else { String::new() };
    Some(format!("{state} for {seconds:.1} s: {cause}{phi}{weight}"))
}

/// Has a channel tested, and says which message does it.
pub(super) async fn test(ask: &mut Ask<'_>, name: &str) -> io::Result<Exit> {
    ask.post(&format!("/admin/v1/channels/{}/test", segment(name)), Value::Null, |answer, out| {
        let id = text(&answer["id"]);
        writeln!(out, "{name}: test message {id} is on its way; qiao ctl channels {name} shows how it ended")
    })
    .await
}

/// An alarm in words.
fn remark(alarm: &Value) -> String {
    format!("ALARM {} since {}: {}", text(&alarm["kind"]), time(&alarm["since_ms"]), text(&alarm["detail"]))
}

/// The last test in words; none where there was none.
fn tested(test: &Value) -> Option<String> {
    let (result, at) = (test["result"].as_str()?, time(&test["at_ms"]));
    let delay = test["delay_ms"].as_u64().map(|ms| format!(" after {:.1} s", ms as f64 / 1_000.0));
    Some(format!("last test {at}: {result}{}", delay.unwrap_or_default()))
}

/// The contract; before it, what it goes at now where that is less.
fn rate(channel: &Value) -> String {
    match (channel["rate_now"].as_f64(), channel["rate"].as_f64()) {
        (Some(now), Some(contract)) if now < contract => format!("{now:.1}/{contract}"),
        (_, Some(contract)) => contract.to_string(),
        _ => String::new(),
    }
}
