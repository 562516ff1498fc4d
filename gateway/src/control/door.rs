//! Who may come in, and how a refusal looks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;

use super::{Admin, Token, token};
use crate::config::plan::Secret;

/// The type of every refusal.
const PROBLEM: &str = "application/problem+json";

/// Most characters of a refusal's words.
const MOST_WORDS: usize = 400;
/// So many digits in a row may be a phone number.
const PHONE: usize = 7;

/// Who may pass: see the module's page.
pub(super) async fn guard(State((admin, local)): State<(Arc<Admin>, bool)>, request: Request, next: Next) -> Response {
    let mut answer = match judge(&request, local, &admin.token, admin.metrics_token.as_ref()) {
        Ok(()) => next.run(request).await,
        Err((status, code, detail)) => refuse(status, code, detail),
    };
    // What the router itself refuses, it refuses in plain words.
    let problem = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    if answer.status().is_client_error() && !problem {
        answer = match answer.status() {
            StatusCode::PAYLOAD_TOO_LARGE => refuse(answer.status(), "body_too_large", "at most 64 KiB"),
            status => refuse(status, "bad_request", "the request cannot be read"),
        };
    }
    // Nothing of it is for a browser to keep or to take for something else.
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Status, code and detail of a refusal.
type Refused = (StatusCode, &'static str, &'static str);

fn judge<B>(
    request: &http::Request<B>,
    local: bool,
    token: &Token,
    metrics_token: Option<&Secret>,
) -> Result<(), Refused> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() || (host.is_none() && request.version() >= Version::HTTP_11) {
        return Err((StatusCode::BAD_REQUEST, "wrong_host", "a request has one Host"));
    }
    // Where a request names its target in full, that counts, too (RFC 9112 §3.2.2).
    let named = [host.map(|h| h.to_str().unwrap_or_default()), request.uri().authority().map(|a| a.as_str())];
    if local && !named.into_iter().flatten().all(names_loopback) {
        return Err((StatusCode::FORBIDDEN, "wrong_host", "this door answers to its loopback address only"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "wrong_origin", "this door does not serve pages of other origins"));
    }
    let (safe, path) = (matches!(*request.method(), Method::GET | Method::HEAD), request.uri().path());
    if safe && (local || matches!(path, "/livez" | "/readyz")) {
        return Ok(());
    }
    let bearer = bearer(headers);
    let scrapes = safe && path == "/metrics";
    let scraper = |token: &Secret| token::same(token.reveal().as_bytes(), bearer.as_bytes());
    if token.is(bearer) || (scrapes && metrics_token.is_some_and(scraper)) {
        return Ok(());
    }
    let hint = "send Authorization: Bearer TOKEN; the token is configured, or in admin.token in the data directory";
    Err((StatusCode::UNAUTHORIZED, "unauthorized", hint))
}

/// The token given; empty where there is none, or more than one.
fn bearer(headers: &HeaderMap) -> &str {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return "" };
    match value.to_str().unwrap_or_default().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
        _ => "",
    }
}

/// Against pages that resolve their own name to loopback: the name must be a loopback address, or `localhost`.
fn names_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':').or(port.is_empty().then_some("0"))),
        None => host.split_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    let loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && (loopback || name.eq_ignore_ascii_case("localhost"))
}

/// Words that may repeat what was asked: bounded, and what may be a phone number (seven digits or more) is masked.
fn discreet(words: &str) -> String {
    let mut digits = 0;
    let mut said: Vec<char> = words.chars().take(MOST_WORDS).collect();
    for at in 0..=said.len() {
        if said.get(at).is_some_and(char::is_ascii_digit) {
            digits += 1;
            continue;
        }
        if digits >= PHONE {
            said.iter_mut().skip(at - digits).take(digits).for_each(|digit| *digit = '*');
        }
        digits = 0;
    }
    said.into_iter().collect()
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
    let detail = &discreet(detail);
    let title = status.canonical_reason().unwrap_or("refused");
    let page = Page { kind: "about:blank", title, status: status.as_u16(), code, detail };
    let mut response = (status, Json(page)).into_response();
    let problem = HeaderValue::from_static(PROBLEM);
    response.headers_mut().insert(header::CONTENT_TYPE, problem);
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"qiao admin\""));
    }
    response
}

/// The line has ended: nobody is left to ask.
pub(super) fn gone() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const SCRAPE: &str = "scrape-0123456789abcdef";

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> http::Request<()> {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn code(local: bool, request: &http::Request<()>) -> &'static str {
        let (token, metrics) = (Token::from(TOKEN.to_owned()), Secret::new(SCRAPE.to_owned()));
        judge(request, local, &token, Some(&metrics)).map_or_else(|(_, code, _)| code, |()| "passes")
    }

    #[test]
    fn a_refusal_repeats_no_number_and_no_page() {
        assert_eq!(discreet("unknown field `+8613800138000`, 2 left"), "unknown field `+*************`, 2 left");
        assert_eq!(discreet("line 1 column 123456"), "line 1 column 123456");
        assert_eq!(discreet("13800138000"), "***********");
        assert_eq!(discreet(&"x".repeat(9_000)).len(), MOST_WORDS);
    }

    #[test]
    fn only_loopback_names_pass_the_host_check() {
        for host in [
            "127.0.0.1:9090",
            "localhost:9090",
            "LOCALHOST",
            "[::1]:9090",
            "[::1]",
            "127.8.0.1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::1].evil.example",
            "[::1",
            "::1",
            "[fe80::1]:9090",
            "localhost.evil.example",
            "localhost:evil",
            "127.0.0.1:9090:9090",
            "0.0.0.0:9090",
            "[::]",
            "127.0.0.1:99999",
            "x@127.0.0.1",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_page_in_a_browser_gets_nothing_from_loopback() {
        let host = ("host", "127.0.0.1:9090");
        let bearer = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");
        assert_eq!(code(true, &request("GET", "/metrics", &[host])), "passes");
        for origin in ["null", "http://127.0.0.1:9090", "http://evil.example", ""] {
            assert_eq!(code(true, &request("GET", "/metrics", &[host, ("origin", origin)])), "wrong_origin");
            let post = request("POST", "/admin/v1/reload", &[host, bearer, ("origin", origin)]);
            assert_eq!(code(true, &post), "wrong_origin", "{origin:?}");
        }
        assert_eq!(code(true, &request("GET", "/livez", &[("host", "rebound.example")])), "wrong_host");
        assert_eq!(code(true, &request("GET", "http://rebound.example/livez", &[host])), "wrong_host");
        assert_eq!(code(true, &request("GET", "/livez", &[])), "wrong_host", "HTTP/1.1 has a Host");
        assert_eq!(code(true, &request("GET", "/livez", &[host, ("host", "evil.example")])), "wrong_host");
        let mut old = request("GET", "/livez", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(code(true, &old), "passes");
    }

    #[test]
    fn what_changes_anything_needs_the_token_and_off_loopback_everything_does() {
        let host = ("host", "127.0.0.1:9090");
        let with = |method, path, given: &[&str]| {
            let given = given.iter().map(|value| ("authorization", *value));
            request(method, path, &[host].into_iter().chain(given).collect::<Vec<_>>())
        };
        let token = format!("Bearer {TOKEN}");
        let scrape = format!("bearer {SCRAPE}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
            for local in [true, false] {
                assert_eq!(code(local, &with(method, "/admin/v1/reload", &[])), "unauthorized", "{method}");
                assert_eq!(code(local, &with(method, "/metrics", &[&scrape])), "unauthorized", "{method}");
                assert_eq!(code(local, &with(method, "/admin/v1/reload", &[&token])), "passes", "{method}");
            }
        }
        for given in ["", "Bearer", "Bearer ", "Basic eDp5", TOKEN, &token[..20], &format!("{token}0")] {
            assert_eq!(code(true, &with("POST", "/admin/v1/reload", &[given])), "unauthorized", "{given}");
        }
        assert_eq!(code(true, &with("POST", "/admin/v1/reload", &[&token, &token])), "unauthorized", "one only");
        for (path, given, passes) in [
            ("/livez", None, true),
            ("/readyz", None, true),
            ("/metrics", None, false),
            ("/metrics", Some(&scrape), true),
            ("/metrics", Some(&token), true),
            ("/admin/v1/channels", None, false),
            ("/admin/v1/channels", Some(&scrape), false),
            ("/admin/v1/channels", Some(&token), true),
            ("//livez", None, false),
            ("/livez/", None, false),
        ] {
            let given: Vec<&str> = given.into_iter().map(String::as_str).collect();
            assert_eq!(code(false, &with("GET", path, &given)) == "passes", passes, "{path} {given:?}");
        }
    }

    #[test]
    fn a_refusal_is_a_problem_page() {
        let answer = refuse(StatusCode::UNAUTHORIZED, "unauthorized", "");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
        assert!(!refuse(StatusCode::FORBIDDEN, "wrong_host", "").headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
