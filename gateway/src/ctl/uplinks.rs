//! `qiao ctl uplinks`: messages from handsets, and the delivery of those that nobody owned when they came.

use std::io::{self, Write};

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::ask::Ask;
use super::print::text;
use crate::cli::Exit;

/// What can be done with them.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Uplinks {
    /// Tell unmatched ones to the app that owns their number by now
    #[command(after_help = "Example: qiao ctl --token-file data/admin.token uplinks deliver --all")]
    Deliver {
        /// Its id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Every unmatched one whose number has an owner
        #[arg(long)]
        all: bool,
    },
}

/// Lists the newest.
pub(super) async fn run(ask: &mut Ask<'_>, unmatched: bool, limit: u32) -> io::Result<Exit> {
    ask.get(&format!("/admin/v1/uplinks?unmatched={unmatched}&limit={limit}"), table).await
}

/// Has one delivered.
pub(super) async fn deliver(ask: &mut Ask<'_>, id: &str) -> io::Result<Exit> {
    ask.post(&format!("/admin/v1/uplinks/{id}/deliver"), json!({}), |answer, out| {
        writeln!(out, "{}: on its way to {}", text(&answer["id"]), text(&answer["app"]))
    })
    .await
}

/// Has all delivered that have an owner by now, page by page; stops where the gateway says to come again later.
pub(super) async fn deliver_all(ask: &mut Ask<'_>) -> io::Result<Exit> {
    let (mut delivered, mut unowned, mut cursor) = (0u64, 0u64, String::new());
    loop {
        let path = format!("/admin/v1/uplinks?unmatched=true&limit=1000{cursor}");
        let (status, page) = ask.call(Method::GET, &path, None).await?;
        if !status.is_success() {
            return ask.show((status, page), table);
        }
        for id in page["uplinks"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()) {
            let path = format!("/admin/v1/uplinks/{id}/deliver");
            let (status, answer) = ask.call(Method::POST, &path, Some(json!({}))).await?;
            match status.as_u16() {
                202 => delivered += 1,
                // Without an owner still, or told meanwhile.
                409 | 404 => unowned += u64::from(status.as_u16() == 409),
                _ => return ask.show((status, answer), table),
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ask.show((http::StatusCode::OK, json!({ "delivered": delivered, "without_owner": unowned })), |answer, out| {
        writeln!(out, "{} on their way, {} still without an owner", answer["delivered"], answer["without_owner"])
    })
}

fn table(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let (id, at, channel) = ("ID", "RECEIVED", "CHANNEL");
    writeln!(out, "{id:<12}  {at:<24}  {channel:<16} {:<20} {:<16} {:>5}  APP", "TO", "FROM", "PARTS")?;
    for one in answer["uplinks"].as_array().into_iter().flatten() {
        let (id, at, channel) = (text(&one["id"]), text(&one["received_at"]), text(&one["channel"]));
        let (to, from, parts) = (text(&one["to"]), text(&one["from"]), &one["parts"]);
        let app = one["app"].as_str().map_or("-".to_owned(), |_| text(&one["app"]));
        writeln!(out, "{id:<12}  {at:<24}  {channel:<16} {to:<20} {from:<16} {parts:>5}  {app}")?;
    }
    if answer["next"].is_string() {
        writeln!(out, "older ones: --limit, or --json and `next`")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_who_they_are_for() {
        let answer = json!({ "uplinks": [
            { "id": "0qk3m8z5r1xa", "received_at": "2026-03-01T08:30:00.250Z", "channel": "a", "to": "1069", "from": "+86***",
              "parts": 2, "missing": 0, "app": null },
            { "id": "0qk3m8z5r1xb", "received_at": "2026-03-01T08:30:00.250Z", "channel": "a", "to": "10690001",
              "from": "+86***", "parts": 1, "missing": 0, "app": "shop" },
        ], "next": null });
        let mut out = Vec::new();
        table(&answer, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = out.lines().collect();
        assert!(rows[1].ends_with("    2  -") && rows[2].ends_with("    1  shop") && rows.len() == 3, "{out}");
    }
}
