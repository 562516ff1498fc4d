//! `qiao ctl hold`, `drain`, `release`, and `apps`: what operators take out of service and put back.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::ask::{Ask, segment};
use super::print::{order, table, text, words};
use crate::cli::Exit;

/// For how long, and why.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// For how long, as in 10m (s, m, h, d); without it until released
    #[arg(long = "for", value_name = "TIME")]
    pub period: Option<String>,
    /// Why, for other operators and the log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What can be done about apps.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Apps {
    /// Refuse an app's new messages (403 app_held); what waits goes on
    #[command(
        after_help = "Example: qiao ctl apps hold shop --for 1h --reason 'spam, ticket 4711' --detail 'call our NOC'"
    )]
    Hold {
        /// The app
        id: String,
        /// For how long, and why.
        #[command(flatten)]
        terms: Terms,
        /// What the app reads in its refusals; the reason is never shown to it
        #[arg(long, value_name = "TEXT")]
        detail: Option<String>,
    },
    /// Take an app's messages again
    #[command(after_help = "Example: qiao ctl apps release shop")]
    Release {
        /// The app
        id: String,
        /// Why, for the log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Gives a channel an order: `hold`, `drain` or `release`.
pub(super) async fn channel(ask: &mut Ask<'_>, name: &str, verb: &str, terms: &Terms) -> io::Result<Exit> {
    give(ask, "channels", name, verb, terms, None).await
}

/// Shows the apps, or holds or releases one.
pub(super) async fn apps(ask: &mut Ask<'_>, command: Option<&Apps>) -> io::Result<Exit> {
    match command {
        None => ask.get("/admin/v1/apps", show).await,
        Some(Apps::Hold { id, terms, detail }) => give(ask, "apps", id, "hold", terms, detail.as_deref()).await,
        Some(Apps::Release { id, reason }) => {
            let terms = Terms { reason: reason.clone(), ..Terms::default() };
            give(ask, "apps", id, "release", &terms, None).await
        }
    }
}

async fn give(
    ask: &mut Ask<'_>,
    list: &str,
    name: &str,
    verb: &str,
    Terms { period, reason }: &Terms,
    detail: Option<&str>,
) -> io::Result<Exit> {
    let said = [("for", period.as_deref()), ("reason", reason.as_deref()), ("detail", detail)];
    let said = said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))));
    let body = Value::Object(said.collect::<Map<String, Value>>());
    ask.post(&format!("/admin/v1/{list}/{}/{verb}", segment(name)), body, |answer, out| {
        let stands = order(&answer["order"]).unwrap_or_else(|| "in service".to_owned());
        match answer["state"].as_str() {
            Some(state) => writeln!(out, "{name}: {stands} (now {state})"),
            None => writeln!(out, "{name}: {stands}"),
        }
    })
    .await
}

fn show(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for app in answer["apps"].as_array().into_iter().flatten() {
        let state = if app["held"] == true { "held" } else { "in service" };
        let callback = app["callback"].as_str().map_or_else(|| "-".to_owned(), |_| text(&app["callback"]));
        let [rate, messages] = ["rate", "messages"].map(|key| app[key].to_string());
        rows.push(vec![text(&app["id"]), state.to_owned(), rate, messages, words(&app["tiers"]), callback]);
        rows.extend(order(&app["order"]).map(|order| vec![order]));
    }
    table(&["APP", "STATE", ">RATE/S", ">MESSAGES", "TIERS", "CALLBACK"], &rows, out)
}
