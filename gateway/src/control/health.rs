//! `/livez`, `/readyz`, `/metrics`: for those who watch rather than act.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Admin, door::gone};
use crate::app::Question;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Ready: a message posted now would be taken, and some channel has a link to send it.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let Some(channels) = admin.desk.ask(Question::Channels).await else { return gone() };
    let up = channels.iter().filter(|c| c.window > 0).count();
    let closed = admin.desk.closed();
    let text = match closed {
        Some(reason) => format!("takes no messages: {reason}\n"),
        None => format!("{up} of {} channels up\n", channels.len()),
    };
    let status = if closed.is_none() && up > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.scrape.text()).into_response()
}
