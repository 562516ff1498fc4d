//! What waits, by group and tier, and an operator's orders about it: `{"group","tier","app","batch","reason"}`, at least
//! one of the first four, and `"to"` for a move.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Admin;
use super::door::{gone, refuse};
use crate::accept;
use crate::app::{Action, Cleared, Question, QueueOrder};
use crate::ids::MessageId;

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin/v1/queues", get(queues))
        .route("/admin/v1/queues/expire", post(expire))
        .route("/admin/v1/queues/move", post(move_on))
}

/// An order as it is posted.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Posted {
    group: Option<String>,
    tier: Option<String>,
    app: Option<String>,
    batch: Option<String>,
    to: Option<String>,
    reason: String,
}

async fn queues(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Queues).await {
        Some(queues) => Json(serde_json::json!({ "queues": queues })).into_response(),
        None => gone(),
    }
}

async fn expire(State(admin): State<Arc<Admin>>, body: Bytes) -> Response {
    give(&admin, false, &body).await
}

async fn move_on(State(admin): State<Arc<Admin>>, body: Bytes) -> Response {
    give(&admin, true, &body).await
}

async fn give(admin: &Admin, moves: bool, body: &[u8]) -> Response {
    let (mut order, batch) = match read(moves, body) {
        Ok(order) => order,
        Err((code, detail)) => return refuse(StatusCode::BAD_REQUEST, code, &detail),
    };
    if let Some(id) = batch {
        let record = admin.desk.batch_record(id).await;
        let Some((_, count)) = record.as_deref().and_then(accept::batch::owner) else {
            return refuse(StatusCode::NOT_FOUND, "not_found", "no batch with that id");
        };
        order.batch = Some((id, count));
    }
    match admin.desk.ask(|answer| Question::Clear(order, answer)).await {
        Some(Cleared::Done(counts)) => Json(counts).into_response(),
        Some(Cleared::Unknown(what)) => refuse(StatusCode::NOT_FOUND, "not_found", &format!("no {what} of that name")),
        Some(Cleared::Busy) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many orders to queues are under way; try again")
        }
        None => gone(),
    }
}

/// The order, and the id of the batch it is about.
fn read(moves: bool, body: &[u8]) -> Result<(QueueOrder, Option<MessageId>), (&'static str, String)> {
    // An object: of a list, serde would take the fields in order.
    let posted = serde_json::from_slice::<Map<String, Value>>(body);
    let posted = posted.and_then(|posted| serde_json::from_value::<Posted>(Value::Object(posted)));
    let Posted { group, tier, app, batch, to, reason } = posted.map_err(|error| ("invalid_json", error.to_string()))?;
    if group.is_none() && tier.is_none() && app.is_none() && batch.is_none() {
        let which = "name a `group`, a `tier`, an `app` or a `batch`: which messages?";
        return Err(("invalid_selection", which.to_owned()));
    }
    let id = |batch: String| batch.parse().map_err(|_| ("invalid_batch", "`batch` is a batch's id".to_owned()));
    let batch = batch.map(id).transpose()?;
    let action = match (moves, to) {
        (true, Some(to)) => Action::Move(to),
        (true, None) => return Err(("invalid_to", "`to` names the group they are to wait for".to_owned())),
        (false, None) => Action::Expire,
        (false, Some(_)) => return Err(("invalid_to", "`to` belongs to a move".to_owned())),
    };
    Ok((QueueOrder { action, group, tier, app, batch: None, reason }, batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_which_messages_and_never_all() {
        let (order, _) = read(false, br#"{"group":"a","reason":"recalled"}"#).unwrap();
        assert_eq!((order.action, order.group.as_deref()), (Action::Expire, Some("a")));
        let (order, _) = read(true, br#"{"app":"shop","tier":"otp","to":"b"}"#).unwrap();
        assert_eq!(order.action, Action::Move("b".into()));
        let (_, batch) = read(false, br#"{"batch":"0abc0abc0abc"}"#).unwrap();
        assert_eq!(batch.unwrap().to_string(), "0abc0abc0abc");
        for (moves, body) in [
            (false, r#"{"batch":"1"}"#),
            (false, "{}"),
            (false, ""),
            (false, "[]"),
            (false, r#"{"reason":"all of them"}"#),
            (false, r#"{"group":"a","to":"b"}"#),
            (true, r#"{"group":"a"}"#),
            (true, r#"{"to":"b"}"#),
            (true, r#"{"group":"a","to":"b","batch":"c"}"#),
        ] {
            assert!(read(moves, body.as_bytes()).is_err(), "{body}");
        }
    }
}
