//! Channels as they are, and an operator's orders to one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};

use super::door::{gone, refuse};
use super::{Admin, orders};
use crate::accept::Committed;
use crate::app::{Kind, Question, Subject, Tested};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/v1/channels", get(channels))
        .route("/admin/v1/channels/{name}", get(channel))
        .route("/admin/v1/channels/{name}/hold", post(hold))
        .route("/admin/v1/channels/{name}/drain", post(drain))
        .route("/admin/v1/channels/{name}/release", post(release))
        .route("/admin/v1/channels/{name}/test", post(test))
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

/// Sends a test message now; its id once it is on disk.
async fn test(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    let Some(tested) = admin.desk.ask(|answer| Question::Test(name.clone(), answer)).await else { return gone() };
    let (id, wait) = match tested {
        Tested::Begun(id, wait) => (id, wait),
        Tested::Unknown => return refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
        Tested::NotConfigured => {
            let detail = "the configuration names no numbers to test it with: write [channel.test]";
            return refuse(StatusCode::CONFLICT, "no_test", detail);
        }
        Tested::NotNow(why) => return refuse(StatusCode::CONFLICT, "not_now", why),
    };
    match wait.await {
        Ok(Committed::Durable) => {
            let page = serde_json::json!({ "channel": name, "id": id.to_string() });
            (StatusCode::ACCEPTED, Json(page)).into_response()
        }
        _ => refuse(StatusCode::SERVICE_UNAVAILABLE, "not_durable", "the disk refuses it: nothing was sent"),
    }
}

async fn hold(State(admin): State<Arc<Admin>>, Path(name): Path<String>, body: Bytes) -> Response {
    orders::give(&admin, Subject::Channel(name), Some(Kind::Hold), &body).await
}

async fn drain(State(admin): State<Arc<Admin>>, Path(name): Path<String>, body: Bytes) -> Response {
    orders::give(&admin, Subject::Channel(name), Some(Kind::Drain), &body).await
}

async fn release(State(admin): State<Arc<Admin>>, Path(name): Path<String>, body: Bytes) -> Response {
    orders::give(&admin, Subject::Channel(name), None, &body).await
}
