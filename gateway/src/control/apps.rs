//! Apps as they are, and an operator's hold on one: its new messages are refused, what waits goes on.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};

use super::door::gone;
use super::{Admin, orders};
use crate::app::{Kind, Question, Subject};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/v1/apps", get(apps))
        .route("/admin/v1/apps/{id}/hold", post(hold))
        .route("/admin/v1/apps/{id}/release", post(release))
}

async fn apps(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Apps).await {
        Some(apps) => Json(serde_json::json!({ "apps": apps })).into_response(),
        None => gone(),
    }
}

async fn hold(State(admin): State<Arc<Admin>>, Path(id): Path<String>, body: Bytes) -> Response {
    orders::give(&admin, Subject::App(id), Some(Kind::Hold), &body).await
}

async fn release(State(admin): State<Arc<Admin>>, Path(id): Path<String>, body: Bytes) -> Response {
    orders::give(&admin, Subject::App(id), None, &body).await
}
