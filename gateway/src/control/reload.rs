//! Reading the configuration anew, and what that changed.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::Serialize;

use super::Admin;
use super::door::gone;
use crate::app::Refused;
use crate::config::Problem;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/reload", post(reload))
}

/// All or nothing: 200 with what is different now, or 422 with every problem and nothing changed.
async fn reload(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.reload().await {
        Ok(applied) => Json(applied).into_response(),
        Err(Refused::Problems(problems)) => unusable(&problems),
        Err(Refused::Stopping) => gone(),
    }
}

fn unusable(problems: &[Problem]) -> Response {
    #[derive(Serialize)]
    struct Page<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        title: &'static str,
        status: u16,
        code: &'static str,
        detail: &'static str,
        problems: &'a [Problem],
    }
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let page = Page {
        kind: "about:blank",
        title: "The configuration cannot be used",
        status: status.as_u16(),
        code: "invalid_configuration",
        detail: "nothing has changed; mend the problems and reload again",
        problems,
    };
    let mut response = (status, Json(page)).into_response();
    let problem = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem);
    response
}
