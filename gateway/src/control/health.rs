//! `/livez`, `/readyz`, `/metrics`: for those who watch rather than act.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Admin, door::gone};
use crate::app::{ChannelStatus, Question};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Ready: a message posted now would be taken, and some channel is in service with a link to send it.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let Some(channels) = admin.desk.ask(Question::Channels).await else { return gone() };
    let (ready, text) = readiness(admin.desk.closed(), &channels);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text + "\n").into_response()
}

/// Whether the gateway is ready, and in words how it stands. What operators took out of service is named: a page that
/// only says "0 of 2 up" sends people looking for a carrier's fault.
pub(super) fn readiness(closed: Option<&'static str>, channels: &[ChannelStatus]) -> (bool, String) {
    if let Some(reason) = closed {
        return (false, format!("takes no messages: {reason}"));
    }
    let count = |states: &[&str]| channels.iter().filter(|c| !c.leaving && states.contains(&c.state)).count();
    let serving = count(&["up", "paused"]);
    let leaving = channels.iter().filter(|c| c.leaving).count();
    let mut text = format!("{serving} of {} channels up", channels.len() - leaving);
    for (states, word) in [(&["held"][..], "held"), (&["draining", "drained"], "drained")] {
        if count(states) > 0 {
            text += &format!(", {} {word}", count(states));
        }
    }
    let deaf = channels.iter().filter(|c| !c.leaving && c.deaf).count();
    if deaf > 0 {
        text += &format!(", {deaf} deaf");
    }
    if leaving > 0 {
        text += &format!(", {leaving} leaving");
    }
    (serving > 0, text)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.scrape.text()).into_response()
}
