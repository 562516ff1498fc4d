//! Who may come in, and how a refusal looks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;

use super::{Admin, token};

/// Who may pass: see the module's page.
pub(super) async fn guard(
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
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A problem page (RFC 9457) with a stable `code`.
pub(super) fn refuse(status: StatusCode, code: &'static str, detail: &str) -> Response {
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

/// The line has ended: nobody is left to ask.
pub(super) fn gone() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping")
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
