//! Messages from handsets as the store lists them, and the delivery of those that nobody owned when they came.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::door::{gone, refuse};
use crate::admit::number::mask;
use crate::app::{Delivered, Question};
use crate::ids::MessageId;
use crate::report::uplink::Listed;

/// Messages on a page: unless asked otherwise, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/uplinks", get(uplinks)).route("/admin/v1/uplinks/{id}/deliver", post(deliver))
}

/// What is to be listed.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    /// Only those that nobody owns.
    unmatched: bool,
    /// Most on this page.
    limit: Option<usize>,
    /// The last page's `next`.
    cursor: Option<String>,
}

async fn uplinks(State(admin): State<Arc<Admin>>, Query(wanted): Query<Wanted>) -> Response {
    let limit = wanted.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let before = match wanted.cursor.map(|cursor| cursor.parse::<MessageId>()).transpose() {
        Ok(before) => before,
        Err(_) => {
            return refuse(StatusCode::BAD_REQUEST, "invalid_cursor", "`cursor` is the `next` of the page before");
        }
    };
    let found = admin.desk.uplinks(wanted.unmatched, before, limit).await;
    let next = found.last().filter(|_| found.len() == limit).map(|(id, _)| id.to_string());
    let list: Vec<Value> = found.iter().map(|(id, listed)| shown(*id, listed)).collect();
    Json(json!({ "uplinks": list, "next": next })).into_response()
}

/// What an operator may see: no text, of the handset's number its ends only. The access number is the company's own.
fn shown(id: MessageId, listed: &Listed) -> Value {
    let Listed { at, channel, from, to, parts, missing, app } = listed;
    json!({
        "id": id.to_string(), "received_at": at.to_string(), "channel": channel, "from": mask(from), "to": to,
        "parts": parts, "missing": missing, "app": app,
    })
}

async fn deliver(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<MessageId>() else { return unknown() };
    match admin.desk.ask(|answer| Question::Deliver(id, answer)).await {
        Some(Delivered::OnItsWay(app)) => {
            tracing::info!(id = %id, app, "an operator has an unmatched message from a handset delivered");
            (StatusCode::ACCEPTED, Json(json!({ "id": id.to_string(), "app": app }))).into_response()
        }
        Some(Delivered::NoOwner) => {
            let hint = "no app owns its number: add it to an app's `numbers` first";
            refuse(StatusCode::CONFLICT, "no_owner", hint)
        }
        Some(Delivered::Unknown) => unknown(),
        Some(Delivered::Busy) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many messages wait for their apps; try again later")
        }
        None => gone(),
    }
}

fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "no_uplink", "no unmatched message from a handset has that id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    #[test]
    fn a_list_shows_neither_text_nor_the_handset() {
        let listed = Listed {
            at: Wall(0),
            channel: "a".into(),
            from: "+8613800138000".into(),
            to: "1069000177".into(),
            parts: 2,
            missing: 1,
            app: None,
        };
        let shown = shown(MessageId(7), &listed).to_string();
        assert!(!shown.contains("00138000") && shown.contains("+8613*******00"), "{shown}");
        assert!(
            shown.contains("1069000177") && shown.contains("1970-01-01") && shown.contains("\"app\":null"),
            "{shown}"
        );
    }
}
