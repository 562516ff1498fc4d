//! `qiao ctl queues`: what waits, by group and tier.

use std::io::{self, Write};

use serde_json::Value;

use super::ask::Ask;
use super::print::text;
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>) -> io::Result<Exit> {
    ask.get("/admin/v1/queues", table).await
}

fn table(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<20} {:<12} {:>10} {:>12}", "GROUP", "TIER", "MESSAGES", "OLDEST/MS")?;
    for q in answer["queues"].as_array().into_iter().flatten() {
        let (group, tier) = (text(&q["group"]), text(&q["tier"]));
        writeln!(out, "{group:<20} {tier:<12} {:>10} {:>12}", q["messages"], q["oldest_ms"])?;
    }
    Ok(())
}
