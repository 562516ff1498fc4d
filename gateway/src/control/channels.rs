//! Channels as they are, and an operator's orders to one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use serde::Deserialize;

use super::Admin;
use super::door::{gone, refuse};
use crate::app::Question;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/v1/channels", get(channels))
        .route("/admin/v1/channels/{name}", get(channel))
        .route("/admin/v1/channels/{name}/hold", post(hold))
        .route("/admin/v1/channels/{name}/release", post(release))
}

async fn channels(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Channels).await {
        Some(channels) => Json(serde_json::json!({ "channels": channels })).into_response(),
        None => gone(),
    }
}

async fn channel(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    let Some(channels) = admin.desk.ask(Question::Channels).await else { return gone() };
    match channels.into_iter().find(|c| c.name == name) {
        Some(channel) => Json(channel).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
    }
}

/// Characters of an operator's reason that are logged.
const REASON: usize = 200;

/// Body of hold and release; may be absent.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    reason: String,
}

async fn hold(state: State<Arc<Admin>>, name: Path<String>, body: Bytes) -> Response {
    set_hold(&state, name.0, true, &body).await
}

async fn release(state: State<Arc<Admin>>, name: Path<String>, body: Bytes) -> Response {
    set_hold(&state, name.0, false, &body).await
}

async fn set_hold(admin: &Admin, name: String, held: bool, body: &[u8]) -> Response {
    let order = if body.is_empty() { Ok(Order::default()) } else { serde_json::from_slice::<Order>(body) };
    let order = match order {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "invalid_json", &error.to_string()),
    };
    let reason: String = order.reason.chars().take(REASON).collect();
    match admin.desk.ask(|answer| Question::Hold(name.clone(), held, answer)).await {
        Some(true) => {
            tracing::info!(channel = name, held, reason, "an operator has held or released a channel");
            Json(serde_json::json!({ "channel": name, "held": held })).into_response()
        }
        Some(false) => refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
        None => gone(),
    }
}
