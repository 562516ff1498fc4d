//! Callbacks as they stand, dead letters, and an operator's orders: resend, replay, resume.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use serde::Deserialize;
use serde_json::json;

use super::Admin;
use super::door::{gone, refuse};
use crate::callback::office::Refused;
use crate::callback::{Cursor, Office};
use crate::clock::Wall;
use crate::ids::MessageId;

/// Dead letters on a page, where none is asked for, and at most.
const LETTERS: usize = 50;
const MOST_LETTERS: usize = 200;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/v1/callbacks", get(callbacks))
        .route("/admin/v1/callbacks/{app}/dead", get(dead))
        .route("/admin/v1/callbacks/{app}/resend", post(resend))
        .route("/admin/v1/callbacks/{app}/replay", post(replay))
        .route("/admin/v1/callbacks/{app}/resume", post(resume))
}

/// Asks the office on a thread that may wait for the disk.
async fn ask<T: Send + 'static>(
    admin: &Admin,
    question: impl FnOnce(&Office) -> T + Send + 'static,
    page: impl FnOnce(T) -> Response,
) -> Response {
    let office = admin.callbacks.clone();
    tokio::task::spawn_blocking(move || question(&office)).await.map_or_else(|_| gone(), page)
}

async fn callbacks(State(admin): State<Arc<Admin>>) -> Response {
    ask(&admin, Office::status, |apps| Json(json!({ "callbacks": apps })).into_response()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn dead(State(admin): State<Arc<Admin>>, Path(app): Path<String>, query: Query<Page>) -> Response {
    let Query(Page { limit, cursor }) = query;
    let Ok(cursor) = cursor.map(|cursor| cursor.parse::<Cursor>()).transpose() else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_cursor", "take the cursor from the page before");
    };
    let most = limit.unwrap_or(LETTERS).clamp(1, MOST_LETTERS);
    let page = move |office: &Office| office.dead(&app, cursor, most);
    ask(&admin, page, |page| match page {
        Ok(page) => Json(page).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, "disk", &error),
    })
    .await
}

/// Body of resend: one letter, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    id: Option<String>,
    #[serde(default)]
    all: bool,
}

async fn resend(State(admin): State<Arc<Admin>>, Path(app): Path<String>, body: Bytes) -> Response {
    let order: Resend = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "invalid_json", &error.to_string()),
    };
    let number = match (order.id.map(|id| id.parse::<MessageId>()), order.all) {
        (Some(Ok(number)), false) => Some(number),
        (None, true) => None,
        (Some(Err(_)), false) => return refused(Refused::NoLetter),
        _ => return refuse(StatusCode::BAD_REQUEST, "invalid_order", r#"say either {"id":"…"} or {"all":true}"#),
    };
    let name = app.clone();
    let resend = move |office: &Office| office.resend(&name, number);
    ask(&admin, resend, |resent| match resent {
        Ok(letters) => {
            tracing::info!(app, letters, "an operator has dead letters resent");
            Json(json!({ "app": app, "letters": letters })).into_response()
        }
        Err(why) => refused(why),
    })
    .await
}

/// Body of replay: RFC 3339; or that the one under way is to end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    cancel: bool,
}

async fn replay(State(admin): State<Arc<Admin>>, Path(app): Path<String>, body: Bytes) -> Response {
    let span: Span = match serde_json::from_slice(&body) {
        Ok(span) => span,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "invalid_json", &error.to_string()),
    };
    let (from, to) = match (span.from, span.to, span.cancel) {
        (Some(from), Some(to), false) => (from, to),
        (None, None, true) => return cancel_replay(&admin, &app),
        _ => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "invalid_order",
                r#"say either `from` and `to` or {"cancel":true}"#,
            );
        }
    };
    let (from, to) = match (from.parse::<Wall>(), to.parse::<Wall>()) {
        (Ok(from), Ok(to)) if from < to => (from, to),
        (Ok(_), Ok(_)) => return refuse(StatusCode::BAD_REQUEST, "invalid_span", "`to` is not after `from`"),
        (Err(error), _) | (_, Err(error)) => {
            return refuse(StatusCode::BAD_REQUEST, "invalid_time", &error.to_string());
        }
    };
    match admin.callbacks.replay(&app, from, to) {
        Ok(()) => {
            tracing::info!(app, %from, %to, "an operator has events replayed");
            let answer = json!({ "app": app, "from": from.to_string(), "to": to.to_string() });
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(why) => refused(why),
    }
}

fn cancel_replay(admin: &Admin, app: &str) -> Response {
    match admin.callbacks.cancel_replay(app) {
        Ok(()) => {
            tracing::info!(app, "an operator has cancelled a replay");
            Json(json!({ "app": app, "state": "cancelled" })).into_response()
        }
        Err(why) => refused(why),
    }
}

async fn resume(State(admin): State<Arc<Admin>>, Path(app): Path<String>) -> Response {
    match admin.callbacks.resume(&app) {
        Ok(()) => {
            tracing::info!(app, "an operator has callbacks resumed");
            Json(json!({ "app": app, "state": "ok" })).into_response()
        }
        Err(why) => refused(why),
    }
}

fn refused(why: Refused) -> Response {
    let (status, code, detail) = match why {
        Refused::NoApp => (StatusCode::NOT_FOUND, "no_app", "no app of that id"),
        Refused::NoEndpoint => (StatusCode::CONFLICT, "no_endpoint", "the app has no callback configured"),
        Refused::Disabled => (StatusCode::CONFLICT, "disabled", "the endpoint answered 410: resume it first"),
        Refused::NoLetter => (StatusCode::NOT_FOUND, "no_letter", "no dead letter of that id"),
        Refused::Replaying => (StatusCode::CONFLICT, "replaying", "a replay of this app is under way"),
        Refused::NotReplaying => (StatusCode::CONFLICT, "not_replaying", "no replay of this app is under way"),
        Refused::NoThread => (StatusCode::SERVICE_UNAVAILABLE, "busy", "the system refuses a thread"),
    };
    refuse(status, code, detail)
}
