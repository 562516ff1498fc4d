//! What would happen to a message, and why: a send, dry, or a message that waits.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde_json::{Map, Value};

use super::Admin;
use super::door::{gone, refuse};
use crate::app::{Asks, Question};

pub(super) fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/admin/v1/explain", post(explain))
}

async fn explain(State(admin): State<Arc<Admin>>, body: Bytes) -> Response {
    let asks = match read(&body) {
        Ok(asks) => Box::new(asks),
        Err(detail) => return refuse(StatusCode::BAD_REQUEST, "invalid_json", &detail),
    };
    let missing = if asks.message.is_some() {
        (StatusCode::NOT_FOUND, "no_message", "no message of that id waits or is on its way")
    } else {
        (StatusCode::NOT_FOUND, "no_app", "no app of that id")
    };
    match admin.desk.ask(|answer| Question::Explain(asks, answer)).await {
        Some(Some(page)) => Json(page).into_response(),
        Some(None) => refuse(missing.0, missing.1, missing.2),
        None => gone(),
    }
}

/// Reads a question. What is wrong with it is told without its values: one of them may be a text or a number.
fn read(body: &[u8]) -> Result<Asks, String> {
    // An object: of a list, serde would take the fields in order.
    let place = |e: serde_json::Error| format!("not a JSON object, at line {} column {}", e.line(), e.column());
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(place)?;
    if let Some(unknown) = object.keys().find(|key| !Asks::FIELDS.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(40).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        return Err(format!("unknown field `{shown}`; known: {}", Asks::FIELDS.join(", ")));
    }
    let wrong = object.iter().find(|(key, value)| match key.as_str() {
        _ if value.is_null() => false,
        "parts" => !value.as_u64().is_some_and(|parts| (1..=64).contains(&parts)),
        "expires_in" => !value.is_u64(),
        "callback" => !value.is_boolean(),
        "options" => !value.as_object().is_some_and(|all| all.values().all(Value::is_string)),
        _ => !value.is_string(),
    });
    if let Some((key, _)) = wrong {
        return Err(format!("`{key}` has the wrong type, or is out of its range"));
    }
    let asks: Asks = serde_json::from_value(Value::Object(object)).map_err(|_| "not a send".to_owned())?;
    match (&asks.message, &asks.app) {
        (None, None) => Err("give `app` and a send, or `message`".to_owned()),
        (Some(_), Some(_)) => Err("give either `message`, or `app` and a send".to_owned()),
        _ => Ok(asks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_send_with_its_app_or_a_message() {
        let fine = [
            r#"{"app":"shop","to":"+8613800138000","text":"x","tier":"otp","callback":false,"client_ref":"r","options":{"a":"b"}}"#,
            r#"{"app":"shop","to":"+8613800138000","parts":3}"#,
            r#"{"message":"0qk3m8z5r1xa"}"#,
        ];
        for body in fine {
            assert!(read(body.as_bytes()).is_ok(), "{body}");
        }
        let wrong = [
            "",
            "[]",
            "{}",
            r#"{"app":"shop","message":"x"}"#,
            r#"{"app":"shop","parts":0}"#,
            r#"{"app":"shop","parts":65}"#,
            r#"{"app":7}"#,
            r#"{"app":"shop","colour":"+8613800138000"}"#,
            r#"{"app":"shop","text":13800138000}"#,
        ];
        for body in wrong {
            let said = read(body.as_bytes()).err().unwrap();
            assert!(!said.contains("138001"), "{said}");
        }
    }
}
