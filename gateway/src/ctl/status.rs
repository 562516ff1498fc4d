//! `qiao ctl status`: whether the gateway lives and is ready, and what is out of service.

use std::io::{self, Write};

use http::Method;
use serde_json::Value;

use super::ask::Ask;
use super::print::{text, words};
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
    Ok(())
}
