//! `qiao ctl status`: whether the gateway lives and is ready, and what is out of service.

use std::io::{self, Write};

use http::Method;
use serde_json::Value;

use super::ask::Ask;
use super::print::{text, time, words};
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>) -> io::Result<Exit> {
    let answer = ask.call(Method::GET, "/admin/v1/status", None).await?;
    let ready = answer.1["ready"] == true;
    let exit = ask.show(answer, show)?;
    Ok(if exit == Exit::Ok && !ready { Exit::No } else { exit })
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let ready = if answer["ready"] == true { "ready" } else { "not ready" };
    writeln!(out, "{ready}: {}", text(&answer["detail"]))?;
    writeln!(
        out,
        "{} {}, {} messages not finished",
        text(&answer["name"]),
        text(&answer["version"]),
        answer["messages"]
    )?;
    for (what, key) in [("channels", "held_channels"), ("apps", "held_apps")] {
        if answer[key].as_array().is_some_and(|list| !list.is_empty()) {
            writeln!(out, "{what} out of service by an operator's order: {}", words(&answer[key]))?;
        }
    }
    let reload = &answer["reload"];
    last(&reload["applied"], out)?;
    for setting in reload["restart"].as_array().into_iter().flatten() {
        writeln!(out, "waits for a restart: {}", text(setting))?;
    }
    let refused = &reload["refused"];
    if refused.is_object() {
        let (at, by) = (time(&refused["at_ms"]), text(&refused["by"]));
        let problems = &refused["problems"];
        writeln!(out, "the files on disk are refused since {at} ({by}), problems: {problems}; see qiao check")?;
    }
    Ok(())
}

/// What the last reload changed, if there was one.
pub(super) fn last(change: &Value, out: &mut dyn Write) -> io::Result<()> {
    if !change.is_object() {
        return Ok(());
    }
    let told: Vec<String> = change["changes"].as_array().into_iter().flatten().map(text).collect();
    let left_out = change["count"].as_u64().unwrap_or(0).saturating_sub(told.len() as u64);
    let more = if left_out > 0 { format!("; and {left_out} more") } else { String::new() };
    let (at, by) = (time(&change["at_ms"]), text(&change["by"]));
    writeln!(out, "last changed {at} ({by}): {}{more}", told.join("; "))
}
