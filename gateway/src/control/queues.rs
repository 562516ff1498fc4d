//! What waits, by group and tier.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

use super::{Admin, door::gone};
use crate::app::Question;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/queues", get(queues))
}

async fn queues(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Queues).await {
        Some(queues) => Json(serde_json::json!({ "queues": queues })).into_response(),
        None => gone(),
    }
}
