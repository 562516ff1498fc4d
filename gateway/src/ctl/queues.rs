//! `qiao ctl queues`: what waits, by group and tier, how long a new message would wait, and what to do about it.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::ask::Ask;
use super::print::{table, text};
use crate::cli::Exit;

/// What can be done about what waits.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Queues {
    /// End waiting messages: no further attempt, outcome expired (operator)
    #[command(after_help = "Example: qiao ctl queues expire --group mobile --tier marketing --reason 'recalled'")]
    Expire {
        /// Which messages.
        #[command(flatten)]
        which: Which,
    },
    /// Have waiting messages wait for another group
    #[command(after_help = "Example: qiao ctl queues move --group mobile --to mobile-2 --reason 'fibre cut'")]
    Move {
        /// Which messages.
        #[command(flatten)]
        which: Which,
        /// The other group
        #[arg(long, value_name = "GROUP")]
        to: String,
    },
}

/// Which messages: all conditions must hold, and at least one must be given.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[group(required = true, multiple = true)]
pub struct Which {
    /// That wait for this group
    #[arg(long)]
    pub group: Option<String>,
    /// Of this tier
    #[arg(long)]
    pub tier: Option<String>,
    /// Of this app
    #[arg(long)]
    pub app: Option<String>,
    /// Of this batch
    #[arg(long, value_name = "ID")]
    pub batch: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

pub(super) async fn run(ask: &mut Ask<'_>, order: Option<&Queues>) -> io::Result<Exit> {
    let (verb, done, which, to) = match order {
        None => return ask.get("/admin/v1/queues", show).await,
        Some(Queues::Expire { which }) => ("expire", "ended", which, None),
        Some(Queues::Move { which, to }) => ("move", "moved", which, Some(to)),
    };
    let Which { group, tier, app, batch, reason } = which;
    let said = [("group", group), ("tier", tier), ("app", app), ("batch", batch), ("reason", reason)];
    let said = said.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let said = said.chain(to.map(|to| ("to", to))).map(|(key, value)| (key.to_owned(), Value::from(value.as_str())));
    let body = Value::Object(said.collect::<Map<String, Value>>());
    ask.post(&format!("/admin/v1/queues/{verb}"), body, |answer, out| {
        let messages = if answer["done"] == 1 { "message" } else { "messages" };
        writeln!(out, "{} {messages} {done}, {} left where they were", answer["done"], answer["left"])
    })
    .await
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let queues = answer["queues"].as_array().into_iter().flatten();
    let seconds = |ms: &Value| format!("{:.1}", ms.as_f64().unwrap_or(0.0) / 1_000.0);
    let row = |q: &Value| {
        // Nobody knows how long it waits where no channel takes anything.
        let (pace, wait) = match q["down_ms"].as_u64() {
            Some(ms) if ms > 0 => (format!("none for {:.0} s", ms as f64 / 1_000.0), "-".to_owned()),
            _ => (q["pace"].to_string(), seconds(&q["wait_ms"])),
        };
        let wait = match q["app_rate_ms"].as_u64().unwrap_or(0) {
            0 => wait,
            _ => format!("{wait} (by an app's own rate {})", seconds(&q["app_rate_ms"])),
        };
        let [messages, oldest, ahead] = ["messages", "oldest_ms", "parts_ahead"].map(|key| q[key].to_string());
        vec![text(&q["group"]), text(&q["tier"]), messages, oldest, ahead, pace, wait]
    };
    let head = ["GROUP", "TIER", ">MESSAGES", ">OLDEST/MS", ">AHEAD", ">PARTS/S", ">WAIT/S"];
    table(&head, &queues.map(row).collect::<Vec<_>>(), out)
}
