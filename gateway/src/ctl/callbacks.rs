//! `qiao ctl callbacks`: how they stand, dead letters, and the orders `resend`, `replay`, `resume`.

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::{Value, json};

use super::ask::{Ask, segment};
use super::print::{table, text};
use crate::cli::Exit;

/// What an operator can do about callbacks.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Callbacks {
    /// Letters that were given up: what is in them, and why
    #[command(after_help = "Example: qiao ctl callbacks dead shop --limit 20")]
    Dead {
        /// The app
        app: String,
        /// Most letters
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Call the endpoint again with dead letters
    #[command(after_help = "Example: qiao ctl --token-file data/admin.token callbacks resend shop --all")]
    Resend {
        /// The app
        app: String,
        /// One letter
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Tell all events again that happened between two times
    #[command(
        after_help = "Example: qiao ctl --token-file data/admin.token callbacks replay shop --from 2026-03-01T08:00:00Z --to 2026-03-01T14:00:00Z"
    )]
    Replay {
        /// The app
        app: String,
        /// RFC 3339
        #[arg(long, required_unless_present = "cancel")]
        from: Option<String>,
        /// RFC 3339; not included
        #[arg(long, required_unless_present = "cancel")]
        to: Option<String>,
        /// End the one under way; what it has told stays told
        #[arg(long, conflicts_with_all = ["from", "to"])]
        cancel: bool,
    },
    /// Call an endpoint again that rests or answered 410
    #[command(after_help = "Example: qiao ctl --token-file data/admin.token callbacks resume shop")]
    Resume {
        /// The app
        app: String,
    },
}

pub(super) async fn run(ask: &mut Ask<'_>, what: Option<&Callbacks>) -> io::Result<Exit> {
    let page = |app: &str, verb: &str| format!("/admin/v1/callbacks/{}/{verb}", segment(app));
    match what {
        None => ask.get("/admin/v1/callbacks", standing).await,
        Some(Callbacks::Dead { app, limit, cursor }) => {
            let cursor = cursor.as_ref().map(|cursor| format!("&cursor={}", segment(cursor))).unwrap_or_default();
            ask.get(&format!("{}?limit={limit}{cursor}", page(app, "dead")), dead).await
        }
        Some(Callbacks::Resend { app, id, .. }) => {
            let which = id.as_ref().map_or(json!({ "all": true }), |id| json!({ "id": id }));
            ask.post(&page(app, "resend"), which, |answer, out| {
                writeln!(out, "{}: {} letters go out again", text(&answer["app"]), answer["letters"])
            })
            .await
        }
        Some(Callbacks::Replay { app, cancel: true, .. }) => {
            ask.post(&page(app, "replay"), json!({ "cancel": true }), |answer, out| {
                writeln!(out, "{}: the replay is cancelled", text(&answer["app"]))
            })
            .await
        }
        Some(Callbacks::Replay { app, from, to, .. }) => {
            ask.post(&page(app, "replay"), json!({ "from": from, "to": to }), |answer, out| {
                let (from, to) = (text(&answer["from"]), text(&answer["to"]));
                writeln!(out, "{}: events from {from} to {to} are told again", text(&answer["app"]))
            })
            .await
        }
        Some(Callbacks::Resume { app }) => {
            ask.post(&page(app, "resume"), json!({}), |answer, out| {
                writeln!(out, "{}: called again", text(&answer["app"]))
            })
            .await
        }
    }
}

fn standing(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for c in answer["callbacks"].as_array().into_iter().flatten() {
        let (octets, quota) = (c["octets"].as_u64().unwrap_or(0), c["quota"].as_u64().unwrap_or(0).max(1));
        let used = format!("{}% of {}M", octets.saturating_mul(100) / quota, quota >> 20);
        let or_dash = |value: &Value| if value.is_null() { "-".to_owned() } else { text(value) };
        let [app, state, memory, disk, letters, dead] =
            ["app", "state", "in_memory", "on_disk", "letters", "dead"].map(|key| text(&c[key]));
        let (oldest, failure) = (or_dash(&c["oldest"]), or_dash(&c["last_failure"]["what"]));
        rows.push(vec![app, state, memory, disk, letters, dead, used, oldest, failure]);
        if !c["endpoint"].is_null() {
            rows.push(vec![text(&c["endpoint"])]);
        }
        let replay = &c["replay"];
        if !replay.is_null() {
            let (from, to) = (text(&replay["from"]), text(&replay["to"]));
            let (state, reached) = (text(&replay["state"]), text(&replay["reached"]));
            let (messages, events) = (&replay["messages"], &replay["events"]);
            let replay = format!("replay {from} to {to}: {state} at {reached}, {messages} messages, {events} events");
            rows.push(vec![replay]);
        }
    }
    let heads = ["APP", "STATE", ">MEMORY", ">DISK", ">LETTERS", ">DEAD", ">QUOTA", "OLDEST", "LAST FAILURE"];
    table(&heads, &rows, out)
}

fn dead(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    for letter in answer["letters"].as_array().into_iter().flatten() {
        let events: Vec<&Value> = letter["events"].as_array().into_iter().flatten().collect();
        writeln!(
            out,
            "{} died {} after {} calls: {} ({} events, {})",
            text(&letter["id"]),
            text(&letter["died_at"]),
            letter["tries"],
            text(&letter["failure"]),
            events.len(),
            text(&letter["webhook_id"])
        )?;
        for event in events {
            writeln!(out, "  {} {:<18} {}", text(&event["time"]), text(&event["type"]), text(&event["id"]))?;
        }
    }
    if !answer["cursor"].is_null() {
        writeln!(out, "more: --cursor {}", text(&answer["cursor"]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_their_columns() {
        let shop = json!({
            "app": "shop", "state": "failing", "in_memory": 5, "on_disk": 12_345, "letters": 7, "dead": 0,
            "octets": 1 << 20, "quota": 4 << 20, "oldest": null, "last_failure": { "what": "503" },
            "endpoint": "https://shop.example/hook", "replay": null,
        });
        let mut out = Vec::new();
        standing(&json!({ "callbacks": [shop] }), &mut out).unwrap();
        let said = String::from_utf8(out).unwrap();
        let expected = [
            "APP   STATE    MEMORY   DISK  LETTERS  DEAD      QUOTA  OLDEST  LAST FAILURE",
            "shop  failing       5  12345        7     0  25% of 4M  -       503",
            "    https://shop.example/hook",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }
}
