//! Orders to channels and apps: `{"for","reason"}`, for an app also `"detail"`; all may be left out, and the body too.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Admin;
use super::door::{gone, refuse};
use crate::app::{Asked, Kind, Ordered, Question, Standing, Subject};
use crate::config;

/// An order as it is posted.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Posted {
    /// How long, as in `"10m"`; absent: until released.
    r#for: Option<String>,
    /// Why, for operators and the log.
    reason: String,
    /// What a held app is told in its refusals.
    detail: String,
}

/// Gives the order (or ends it, where it is none) and answers when it is on disk.
pub(super) async fn give(admin: &Admin, subject: Subject, order: Option<Kind>, body: &[u8]) -> Response {
    let asked = match read(&subject, order, body) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let (kind, name) = match &subject {
        Subject::Channel(name) => ("channel", name.clone()),
        Subject::App(name) => ("app", name.clone()),
    };
    match admin.desk.ask(|answer| Question::Order(subject, asked, answer)).await {
        Some(Ordered::Kept(standing)) => Json(page(kind, &name, standing)).into_response(),
        Some(Ordered::Unkept(_)) => {
            let detail = "in force now, but the disk refuses it: a restart would forget it; see the log";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "not_durable", detail)
        }
        Some(Ordered::Unknown) if kind == "app" => refuse(StatusCode::NOT_FOUND, "no_app", "no app of that id"),
        Some(Ordered::Unknown) => refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
        None => gone(),
    }
}

fn page(kind: &str, name: &str, standing: Standing) -> Value {
    let mut page = json!(standing);
    page[kind] = name.into();
    page
}

fn read(subject: &Subject, order: Option<Kind>, body: &[u8]) -> Result<Asked, Box<Response>> {
    let bad = |code, detail: &str| Box::new(refuse(StatusCode::BAD_REQUEST, code, detail));
    // An object: of a list, serde would take the fields in order.
    let posted = if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice::<Map<String, Value>>(body) };
    let posted = posted.and_then(|posted| serde_json::from_value::<Posted>(Value::Object(posted)));
    let posted = posted.map_err(|error| bad("invalid_json", &error.to_string()))?;
    let period = match posted.r#for.as_deref() {
        None => None,
        Some(_) if order.is_none() => return Err(bad("invalid_for", "a release is for good: leave `for` out")),
        Some(text) => match config::period(text).filter(|period| *period >= Duration::from_secs(1)) {
            Some(period) => Some(period),
            None => return Err(bad("invalid_for", "`for` is \"1s\" to \"365d\", as in \"10m\"")),
        },
    };
    if !posted.detail.is_empty() && (order.is_none() || matches!(subject, Subject::Channel(_))) {
        return Err(bad("invalid_detail", "`detail` is what a held app is told: it belongs to the hold of an app"));
    }
    Ok(Asked { order, period, reason: posted.reason, detail: posted.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(subject: Subject, order: Option<Kind>, body: &str) -> Option<Asked> {
        read(&subject, order, body.as_bytes()).ok()
    }

    #[test]
    fn an_order_says_how_long_and_why() {
        let (channel, app) = (|| Subject::Channel("a".into()), || Subject::App("shop".into()));
        assert_eq!(asked(channel(), None, ""), Some(Asked::default()));
        let hold = asked(channel(), Some(Kind::Hold), r#"{"for":"10m","reason":"works"}"#).unwrap();
        assert_eq!((hold.period, &*hold.reason), (Some(Duration::from_secs(600)), "works"));
        assert!(asked(app(), Some(Kind::Hold), r#"{"detail":"call us"}"#).is_some());
        for (subject, order, body) in [
            (channel(), Some(Kind::Hold), r#"{"for":"0s"}"#),
            (channel(), Some(Kind::Hold), r#"{"for":"10"}"#),
            (channel(), Some(Kind::Hold), r#"{"for":10}"#),
            (channel(), Some(Kind::Hold), r#"{"until":"10m"}"#),
            (channel(), Some(Kind::Drain), r#"{"detail":"told"}"#),
            (channel(), None, r#"{"for":"10m"}"#),
            (app(), None, r#"{"detail":"told"}"#),
            (channel(), None, "[]"),
        ] {
            assert_eq!(asked(subject, order, body), None, "{body}");
        }
    }
}
