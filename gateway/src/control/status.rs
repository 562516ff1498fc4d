//! The whole gateway on one page: whether it is ready, and what is out of service.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;

use super::door::gone;
use super::{Admin, health};
use crate::app::{Latest, Question};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/status", get(status))
}

#[derive(Serialize)]
struct Page {
    /// `[node] name`.
    name: String,
    version: &'static str,
    ready: bool,
    /// Why not, or how many channels are up.
    detail: String,
    /// Messages accepted and not yet forgotten.
    messages: usize,
    held_channels: Vec<String>,
    held_apps: Vec<String>,
    /// What has become of the configuration's files.
    reload: Latest,
    /// Where the operators' token lies on this machine; null where it is configured.
    token_file: Option<String>,
}

async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let (channels, apps) = (admin.desk.ask(Question::Channels).await, admin.desk.ask(Question::Apps).await);
    let (Some(channels), Some(apps)) = (channels, apps) else { return gone() };
    let (ready, detail) = health::readiness(admin.desk.closed(), &channels);
    let page = Page {
        name: admin.desk.name(),
        version: env!("CARGO_PKG_VERSION"),
        ready,
        detail,
        messages: admin.desk.messages(),
        held_channels: channels.into_iter().filter(|c| c.order.is_some()).map(|c| c.name).collect(),
        held_apps: apps.into_iter().filter(|app| app.held).map(|app| app.id).collect(),
        reload: Latest::clone(&admin.desk.latest()),
        token_file: admin.token.file().map(|file| file.display().to_string()),
    };
    Json(page).into_response()
}
