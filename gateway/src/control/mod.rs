//! The admin door: health, metrics, channels, queues, messages with text and numbers masked, hold and release.
//!
//! Every `POST` needs the token; off loopback everything does (metrics may have a token of their own). `Host` and
//! `Origin` are checked, so that a page in somebody's browser cannot reach a door on loopback.

mod token;

use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::net::TcpListener;

use crate::accept::Inquiry;
use crate::admit::number::mask;
use crate::app::{Desk, Question, Scrape};
use crate::config::plan::Secret;
use crate::ids::MessageId;
use crate::report::story::Story;

pub use token::{Token, token};

/// What the admin door works with.
pub struct Admin {
    /// The line.
    pub desk: Arc<Desk>,
    /// For operators.
    pub token: Token,
    /// For scrapers, where configured.
    pub metrics_token: Option<Secret>,
    /// Makes the metrics page.
    pub scrape: Scrape,
}

/// Serves operators until the future is dropped.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    let admin = Arc::new(admin);
    let pages = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/v1/channels", get(channels))
        .route("/admin/v1/channels/{name}", get(channel))
        .route("/admin/v1/channels/{name}/hold", post(hold))
        .route("/admin/v1/channels/{name}/release", post(release))
        .route("/admin/v1/queues", get(queues))
        .route("/admin/v1/messages/{id}", get(message))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "not_found", "no such page"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not this way")
        })
        .layer(middleware::from_fn_with_state((admin.clone(), local), guard))
        .with_state(admin)
        .into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!(%error, "the admin door is closed");
    }
}

/// Who may pass: see the module's page.
async fn guard(
    State((admin, local)): State<(Arc<Admin>, bool)>,
    ConnectInfo(_peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if local && !names_loopback(headers) {
        return refuse(StatusCode::FORBIDDEN, "wrong_host", "this door answers to its loopback address only");
    }
    if headers.contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "wrong_origin", "this door does not serve pages of other origins");
    }
    let (post, path) = (request.method() != "GET" && request.method() != "HEAD", request.uri().path());
    let open = matches!(path, "/livez" | "/readyz");
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let bearer = given.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
    let scraper = path == "/metrics"
        && admin.metrics_token.as_ref().is_some_and(|token| token::same(token.reveal().as_bytes(), bearer.as_bytes()));
    let needed = post || (!local && !open);
    if needed && !scraper && !admin.token.is(bearer) {
        let hint = "send Authorization: Bearer TOKEN; the token is configured or in the data directory";
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized", hint);
    }
    next.run(request).await
}

/// Against pages that resolve their own name to loopback.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|v| v.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn refuse(status: StatusCode, code: &'static str, detail: &str) -> Response {
    #[derive(Serialize)]
    struct Page<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        title: &'static str,
        status: u16,
        code: &'static str,
        detail: &'a str,
    }
    let title = status.canonical_reason().unwrap_or("refused");
    let page = Page { kind: "about:blank", title, status: status.as_u16(), code, detail };
    let mut response = (status, Json(page)).into_response();
    let problem = header::HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem);
    response
}

fn gone() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping")
}

/// Ready: a message posted now would be taken, and some channel has a link to send it.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let Some(channels) = admin.desk.ask(Question::Channels).await else { return gone() };
    let up = channels.iter().filter(|c| c.window > 0).count();
    let closed = admin.desk.closed();
    let text = match closed {
        Some(reason) => format!("takes no messages: {reason}\n"),
        None => format!("{up} of {} channels up\n", channels.len()),
    };
    let status = if closed.is_none() && up > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.scrape.text()).into_response()
}

async fn channels(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Channels).await {
        Some(channels) => Json(serde_json::json!({ "channels": channels })).into_response(),
        None => gone(),
    }
}

async fn channel(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    let Some(channels) = admin.desk.ask(Question::Channels).await else { return gone() };
    match channels.into_iter().find(|c| c.name == name) {
        Some(channel) => Json(channel).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
    }
}

async fn queues(State(admin): State<Arc<Admin>>) -> Response {
    match admin.desk.ask(Question::Queues).await {
        Some(queues) => Json(serde_json::json!({ "queues": queues })).into_response(),
        None => gone(),
    }
}

async fn message(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Response {
    let story = match id.parse::<MessageId>() {
        Ok(id) => admin.desk.message(id).await,
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

/// Characters of an operator's reason that are logged.
const REASON: usize = 200;

/// Body of hold and release; may be absent.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    reason: String,
}

async fn hold(state: State<Arc<Admin>>, name: Path<String>, body: Bytes) -> Response {
    set_hold(&state, name.0, true, &body).await
}

async fn release(state: State<Arc<Admin>>, name: Path<String>, body: Bytes) -> Response {
    set_hold(&state, name.0, false, &body).await
}

async fn set_hold(admin: &Admin, name: String, held: bool, body: &[u8]) -> Response {
    let order = if body.is_empty() { Ok(Order::default()) } else { serde_json::from_slice::<Order>(body) };
    let order = match order {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "invalid_json", &error.to_string()),
    };
    let reason: String = order.reason.chars().take(REASON).collect();
    match admin.desk.ask(|answer| Question::Hold(name.clone(), held, answer)).await {
        Some(true) => {
            tracing::info!(channel = name, held, reason, "an operator has held or released a channel");
            Json(serde_json::json!({ "channel": name, "held": held })).into_response()
        }
        Some(false) => refuse(StatusCode::NOT_FOUND, "no_channel", "no channel of that name"),
        None => gone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass_the_host_check() {
        let host = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, value.parse().unwrap());
            names_loopback(&headers)
        };
        assert!(host("127.0.0.1:9090") && host("localhost:9090") && host("[::1]:9090"));
        assert!(!host("evil.example:9090") && !host("127.0.0.1.evil.example") && !host("10.0.0.1"));
    }
}
