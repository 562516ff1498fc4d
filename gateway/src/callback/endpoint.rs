//! One app's endpoint: its client, one call, and what the answer means.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sha2::{Digest, Sha256};

use super::letter::Letter;
use super::queue::Called;
use super::reach::Reach;
use super::settings::Settings;
use super::signature::Signer;
use crate::clock::Wall;
use crate::config::plan::Callback;

/// Most octets of an answer that are read, so that its connection can be used again.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How long that may take.
const DRAIN: Duration = Duration::from_secs(1);
/// Longest wait an endpoint may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);
/// How long an unused connection to an endpoint is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Most characters of what went wrong.
const WORDS: usize = 120;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Headers of a call: those five, and host and length, which the client adds.
const HEADERS: usize = 7;

/// A callback and its client. Its connections are as many as its calls, which the queue bounds.
pub(super) struct Endpoint {
    pub(super) callback: Callback,
    /// Its URL; none where that cannot be called.
    uri: Option<Uri>,
    signer: Signer,
    connect: Duration,
    client: Client<HttpsConnector<Reach>, Full<Bytes>>,
}

impl Endpoint {
    pub(super) fn new(callback: &Callback, settings: &Settings) -> Self {
        let reach = Reach::new(&callback.allow_private, settings.connect);
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(reach);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.in_flight)
            .build(connector);
        let (uri, signer) = (callback.url.parse().ok(), Signer::new(&callback.secrets));
        Endpoint { callback: callback.clone(), uri, signer, connect: settings.connect, client }
    }

    /// Whether it is what the configuration says now.
    pub(super) fn is(&self, callback: &Callback, settings: &Settings) -> bool {
        self.callback == *callback && self.connect == settings.connect
    }

    /// One call, as a future of its own. Body and id stay the same over repetitions; time and signature do not.
    pub(super) fn call(
        &self,
        letter: &Letter,
        now: Wall,
        settings: &Settings,
    ) -> impl Future<Output = Called> + Send + use<> {
        let timestamp = now.0 / 1_000;
        let request = self.request(letter, timestamp);
        let (client, total) = (self.client.clone(), settings.total);
        async move {
            let Some(request) = request else { return Called::Failed("the call could not be made".into(), None) };
            let answer = match tokio::time::timeout(total, client.request(request)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Called::Failed(words(&error), None),
                Err(_) => return Called::Failed(format!("no answer within {total:?}"), None),
            };
            let (head, body) = answer.into_parts();
            // The status has decided; the rest is read for the connection's sake only.
            let _ = tokio::time::timeout(DRAIN, Limited::new(body, ANSWER_LIMIT).collect()).await;
            verdict(head.status, head.headers.get(RETRY_AFTER), now)
        }
    }

    fn request(&self, letter: &Letter, timestamp: u64) -> Option<Request<Full<Bytes>>> {
        let signature = self.signer.sign(&letter.id, timestamp, &letter.body);
        let mut request = Request::new(Full::new(letter.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone()?;
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("qiao/", env!("CARGO_PKG_VERSION"))));
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(&letter.id).ok()?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp));
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signature).ok()?);
        Some(request)
    }
}

/// What stands for a URL where the URL itself, which may hold a secret, must not.
pub(super) fn mark(callback: &Callback) -> [u8; 32] {
    Sha256::digest(&callback.url).into()
}

/// What went wrong, from its root.
fn words(error: &hyper_util::client::legacy::Error) -> String {
    let mut root: &dyn Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    format!("{what}: {root}").chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

fn verdict(status: StatusCode, retry_after: Option<&HeaderValue>, now: Wall) -> Called {
    if status.is_success() {
        return Called::Taken;
    }
    if status == StatusCode::GONE {
        return Called::Gone;
    }
    let heeded = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let wait = retry_after.filter(|_| heeded).and_then(|value| wait(value.to_str().ok()?.trim(), now));
    Called::Failed(format!("answered {status}"), wait.map(|wait| wait.min(RETRY_AFTER_LIMIT)))
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn wait(value: &str, now: Wall) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) {
        // More digits than fit are a long wait all the same.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    Some(Duration::from_millis(Wall::from_http(value)?.0.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_failed_or_gone() {
        let now = Wall(784_111_767_000);
        let of = |status: u16, after: Option<&str>| {
            let after = after.map(|text| HeaderValue::from_str(text).unwrap());
            match verdict(StatusCode::from_u16(status).unwrap(), after.as_ref(), now) {
                Called::Failed(_, wait) => Some(wait.map(|wait| wait.as_secs())),
                _ => None,
            }
        };
        assert_eq!(of(200, None), None);
        assert_eq!(of(302, Some("5")), Some(None), "a redirect is a failure, and asks for nothing");
        assert_eq!(verdict(StatusCode::GONE, None, now), Called::Gone);
        for (text, seconds) in [
            ("5", Some(5)),
            (" 0 ", Some(0)),
            ("99999999999999999999", Some(3_600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(10)),
            ("Sun, 06 Nov 1994 23:49:37 GMT", Some(3_600)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("-1", None),
            ("", None),
            ("tomorrow", None),
        ] {
            assert_eq!(of(503, Some(text)), Some(seconds), "{text:?}");
        }
    }
}
