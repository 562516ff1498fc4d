//! `qiao ctl channels`, and an operator's orders to one: `hold`, `release`.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::ask::Ask;
use super::print::text;
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>, name: Option<&str>) -> io::Result<Exit> {
    let path = name.map_or("/admin/v1/channels".into(), |n| format!("/admin/v1/channels/{n}"));
    ask.get(&path, table).await
}

pub(super) async fn order(ask: &mut Ask<'_>, name: &str, verb: &str, reason: &str) -> io::Result<Exit> {
    let path = format!("/admin/v1/channels/{name}/{verb}");
    ask.post(&path, json!({ "reason": reason }), |answer, out| {
        let state = if answer["held"] == true { "held" } else { "in service" };
        writeln!(out, "{}: {state}", text(&answer["channel"]))
    })
    .await
}

fn table(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let list = answer["channels"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
    writeln!(
        out,
        "{:<20} {:<16} {:<8} {:<8} {:>11} {:>8}  LINKS",
        "CHANNEL", "CARRIER", "PROTOCOL", "STATE", "WINDOW", "RATE/S"
    )?;
    for c in list {
        let window = format!("{}/{}", c["in_flight"], c["window"]);
        let links = c["links"].as_array().map(|links| {
            let one = |l: &Value| format!("{} {} {}", text(&l["role"]), text(&l["state"]), text(&l["detail"]));
            links.iter().map(one).collect::<Vec<_>>().join("; ")
        });
        writeln!(
            out,
            "{:<20} {:<16} {:<8} {:<8} {window:>11} {:>8}  {}",
            text(&c["name"]),
            text(&c["carrier"]),
            text(&c["protocol"]),
            text(&c["state"]),
            c["rate"],
            links.unwrap_or_default()
        )?;
    }
    Ok(())
}
