//! The configuration in force, as written and without its secrets.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

use super::Admin;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/config", get(config))
}

async fn config(State(admin): State<Arc<Admin>>) -> Response {
    Json(&*admin.desk.written()).into_response()
}
