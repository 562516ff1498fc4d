//! `qiao ctl message`: one message's way so far.

use std::io::{self, Write};

use serde_json::Value;

use super::ask::{Ask, segment};
use super::print::text;
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>, id: &str) -> io::Result<Exit> {
    ask.get(&format!("/admin/v1/messages/{}", segment(id)), timeline).await
}

fn timeline(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let [id, status, to, tier] = ["id", "status", "to", "tier"].map(|key| text(&answer[key]));
    writeln!(out, "{id} {status} to {to} ({tier})")?;
    for h in answer["timeline"].as_array().into_iter().flatten() {
        let over = if h["channel"].is_null() { &h["carrier"] } else { &h["channel"] };
        let more = [&h["attempt"], over, &h["detail"]];
        let mut more: Vec<String> = more.into_iter().filter(|v| !v.is_null()).map(text).collect();
        more.extend(h["why"].as_str().map(|_| format!("({})", text(&h["why"]))));
        let line = format!("  {} {:<11} {}", text(&h["at"]), text(&h["event"]), more.join(" "));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
