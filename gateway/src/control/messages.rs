//! A message's way so far, its number masked.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

use super::{Admin, door::refuse};
use crate::admit::number::mask;
use crate::ids::MessageId;
use crate::report::story::{Reader, Story};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/messages/{id}", get(message))
}

async fn message(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Response {
    let story = match id.parse::<MessageId>() {
        Ok(id) => admin.desk.story(id, Reader::Operator).await,
        Err(_) => None,
    };
    match story {
        Some(story) => Json(masked(story)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no_message", "no message of that id"),
    }
}

/// What an operator may see of a message: no text (a story has none), the number's ends only.
fn masked(story: Story) -> Story {
    Story { to: mask(&story.to), ..story }
}
