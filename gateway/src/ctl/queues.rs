//! `qiao ctl queues`: what waits, by group and tier.

use std::io::{self, Write};

use serde_json::Value;

use super::ask::Ask;
use super::print::{table, text};
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>) -> io::Result<Exit> {
    ask.get("/admin/v1/queues", show).await
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let queues = answer["queues"].as_array().into_iter().flatten();
    let row =
        |q: &Value| vec![text(&q["group"]), text(&q["tier"]), q["messages"].to_string(), q["oldest_ms"].to_string()];
    table(&["GROUP", "TIER", ">MESSAGES", ">OLDEST/MS"], &queues.map(row).collect::<Vec<_>>(), out)
}
