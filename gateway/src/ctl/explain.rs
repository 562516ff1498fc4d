//! `qiao ctl explain`: what would happen to a message, and why.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value};

use super::ask::Ask;
use super::print::{table, text};
use crate::cli::Exit;

/// What is asked.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// A message that waits or is on its way, instead of a send
    #[arg(long, value_name = "ID", conflicts_with_all = ["app", "to", "text", "parts", "tier", "sender", "signature"])]
    pub message: Option<String>,
    /// Whose send
    #[arg(long, value_name = "ID", required_unless_present = "message")]
    pub app: Option<String>,
    /// The number
    #[arg(long, value_name = "NUMBER", required_unless_present = "message")]
    pub to: Option<String>,
    /// The text; it is counted and not shown
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Instead of a text: of how many parts it is
    #[arg(long, value_name = "N", conflicts_with = "text")]
    pub parts: Option<u8>,
    /// The tier; without it the app's first
    #[arg(long, value_name = "NAME")]
    pub tier: Option<String>,
    /// The sender
    #[arg(long, value_name = "SENDER")]
    pub sender: Option<String>,
    /// The signature
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,
}

pub(super) async fn run(ask: &mut Ask<'_>, asked: &Explain) -> io::Result<Exit> {
    let given = [
        ("message", &asked.message),
        ("app", &asked.app),
        ("to", &asked.to),
        ("text", &asked.text),
        ("tier", &asked.tier),
        ("sender", &asked.sender),
        ("signature", &asked.signature),
    ];
    let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value.clone()?))));
    let mut body: Map<String, Value> = given.collect();
    if asked.message.is_none() && asked.text.is_none() {
        body.insert("parts".to_owned(), asked.parts.unwrap_or(1).into());
    }
    ask.post("/admin/v1/explain", Value::Object(body), show).await
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let [app, to, tier] = ["app", "to", "tier"].map(|key| text(&answer[key]));
    let message = answer["message"].as_str().map_or_else(String::new, |id| format!("{id}: "));
    writeln!(out, "{message}{app} to {to} ({tier})")?;
    let policy = &answer["policy"];
    if policy["passes"] == true {
        writeln!(out, "  policy    passes")?;
    } else if policy.is_object() {
        writeln!(out, "  policy    refused: {}: {}", text(&policy["code"]), text(&policy["detail"]))?;
    }
    if answer["route"].is_string() {
        writeln!(out, "  route     {}", text(&answer["route"]))?;
    }
    if answer["group"].is_string() {
        writeln!(out, "  group     {} ({})", text(&answer["group"]), text(&answer["strategy"]))?;
    }
    if answer["parts"].is_u64() {
        let encoding = answer["encoding"].as_str().map_or_else(String::new, |word| format!(", {word}"));
        writeln!(out, "  parts     {}{encoding}", answer["parts"])?;
    }
    writeln!(out, "  decision  {}", decision(answer))?;
    let mut rows = Vec::new();
    for one in answer["channels"].as_array().into_iter().flatten() {
        rows.push(row(one));
        rows.extend(one["why_not"]["words"].as_str().map(|_| vec![text(&one["why_not"]["words"])]));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let heads = [
        ">#",
        "CHANNEL",
        ">SCORE",
        ">COST",
        ">WEIGHT",
        ">SUCCESS",
        ">DELIVERED",
        ">P90/MS",
        ">LOAD",
        ">HEALTH",
        ">WINDOW",
        ">PACE",
        ">RATE/S",
    ];
    table(&heads, &rows, out)
}

fn decision(answer: &Value) -> String {
    let why = answer["why"].as_str().map_or_else(String::new, |_| format!(": {}", text(&answer["why"])));
    let rate =
        answer["app_rate_ms"].as_u64().map(|ms| format!("the app's own rate allows its next message in {ms} ms"));
    if let Some(in_turn) = answer["in_turn"].as_str() {
        let before = answer["ahead"].as_u64().unwrap_or_default();
        let wait = answer["wait_ms"].as_u64().map_or_else(String::new, |ms| format!(" (about {})", seconds(ms)));
        let turn = match (in_turn, rate) {
            ("starts", _) => format!("starts on {}{why}", text(&answer["channel"])),
            (_, Some(rate)) => format!("waits: {rate}"),
            (_, None) => "waits until a channel can take it".to_owned(),
        };
        return format!("waits: {before} messages before it{wait}; when its turn comes: {turn}");
    }
    match answer["decision"].as_str().unwrap_or_default() {
        "starts" => format!("starts on {}{why}", text(&answer["channel"])),
        "waits" if rate.is_some() => format!("waits: {}", rate.unwrap_or_default()),
        "in_flight" => format!("on its way over {}", text(&answer["channel"])),
        "waits" => match answer["wait_ms"].as_u64() {
            Some(ms) => format!("waits, {ms} ms at most before it is looked at again"),
            None => "waits until a channel can take it".to_owned(),
        },
        "ends" => format!("ends: {}", text(&answer["end"])),
        _ => "refused at the door".to_owned(),
    }
}

/// Milliseconds for people.
fn seconds(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1_000.0) }
}

fn row(one: &Value) -> Vec<String> {
    let f = &one["factors"];
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    let percent =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let rank = if one["chosen"] == true { format!("> {}", number(&one["rank"])) } else { number(&one["rank"]) };
    vec![
        rank,
        text(&one["channel"]),
        number(&one["score"]),
        number(&f["cost"]),
        number(&f["weight"]),
        percent(&f["success"]),
        percent(&f["delivered"]),
        number(&f["latency_p90_ms"]),
        percent(&f["load"]),
        number(&f["health"]),
        format!("{}/{}", f["in_flight"], f["window"]),
        number(&f["pace_parts"]),
        number(&f["rate_now"]),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_before_it_is_a_wait_and_not_a_start() {
        let queued = json!({ "decision": "waits", "in_turn": "starts", "channel": "b", "why": "cheapest", "ahead": 11_070,
            "wait_ms": 110_700 });
        let words = "waits: 11070 messages before it (about 110.7 s); when its turn comes: starts on b: cheapest";
        assert_eq!(decision(&queued), words);
        let rated = json!({ "decision": "waits", "app_rate_ms": 90, "wait_ms": 90, "ahead": 0 });
        assert_eq!(decision(&rated), "waits: the app's own rate allows its next message in 90 ms");
    }

    #[test]
    fn the_chosen_one_is_marked_and_the_others_say_why_not() {
        let factors = json!({ "cost": 0.03, "weight": 1, "success": 0.25, "delivered": null, "latency_p90_ms": 80, "load": 0.5,
            "health": 1.0, "in_flight": 2, "window": 16, "pace_parts": 4.0, "rate_now": 200.0 });
        let answer = json!({ "app": "shop", "to": "+8613*******00", "tier": "otp", "policy": { "passes": true },
            "route": "r", "group": "g", "strategy": "preference", "parts": 1, "encoding": "gsm7", "decision": "starts",
            "channel": "b", "why": "backup: a has no link", "ahead": 0, "channels": [
                { "channel": "a", "rank": 1, "chosen": false, "score": null, "factors": factors,
                  "why_not": { "code": "no_link", "words": "has no link" } },
                { "channel": "b", "rank": 2, "chosen": true, "score": null, "factors": factors, "why_not": null } ] });
        let mut out = Vec::new();
        show(&answer, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("  decision  starts on b: backup: a has no link\n"), "{out}");
        let lines: Vec<Vec<&str>> = out.lines().skip(6).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..2], ["1", "a"], "{out}");
        assert_eq!(lines[2], ["has", "no", "link"], "{out}");
        assert_eq!(lines[3][..3], [">", "2", "b"], "{out}");
    }
}
