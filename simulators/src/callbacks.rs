//! The application's side of callbacks: checks signatures after Standard Webhooks, writes down every event, and fails or
//! dawdles when told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::args::plain_or_env;
use crate::clock::Clock;
use crate::latency::duration;
use crate::lines::Lines;
use crate::records::{BadSignature, Event, Record};
use crate::serve;

/// Longest time log lines stay in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// How the sink behaves.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Signing secret, whsec_ and base64, or env:NAME; several may be given during a rotation
    #[arg(long, required = true, value_parser = secret)]
    pub secret: Vec<Secret>,
    /// Line file of what came
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// File that gets the address once the sink listens
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    /// Share of calls that is answered with --status
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub fail_rate: f64,
    /// Status of calls that fail
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: u16,
    /// Pause before every answer
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub delay: Duration,
    /// Seed of the draw of failures
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How far a call's timestamp may be from now
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub tolerance: Duration,
}

/// A signing key; shows nothing of itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads `whsec_<base64>`, or takes it from the environment for `env:NAME`.
pub fn secret(text: &str) -> Result<Secret, String> {
    let text = plain_or_env(text)?;
    let encoded = text.strip_prefix("whsec_").ok_or("a secret starts with whsec_")?;
    STANDARD.decode(encoded).map(Secret).map_err(|_| "the secret is not base64 after whsec_".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1".to_owned())
}

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// One of the three headers is absent or not text.
    #[error("a webhook header is missing")]
    Header,
    /// The timestamp is no number of seconds.
    #[error("the timestamp is no number")]
    Timestamp,
    /// The timestamp is further from now than is tolerated.
    #[error("the timestamp is too old or too new")]
    Stale,
    /// No signature fits any secret.
    #[error("no signature fits")]
    Signature,
}

/// Checks a call: any `v1` signature made with any of `secrets` will do. Compared in constant time.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    now_seconds: u64,
    tolerance: Duration,
) -> Result<(), Forged> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Forged::Header);
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let seconds: u64 = timestamp.parse().map_err(|_| Forged::Timestamp)?;
    if seconds.abs_diff(now_seconds) > tolerance.as_secs() {
        return Err(Forged::Stale);
    }
    let given = header("webhook-signature")?.split(' ').filter_map(|item| item.strip_prefix("v1,"));
    let given: Vec<Vec<u8>> = given.filter_map(|encoded| STANDARD.decode(encoded).ok()).collect();
    let fits = secrets.iter().any(|secret| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { return false };
        for piece in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(piece);
        }
        given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if fits { Ok(()) } else { Err(Forged::Signature) }
}

#[derive(Deserialize)]
struct Body {
    events: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    data: serde_json::Value,
}

/// What `GET /stats` answers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Calls with a good signature.
    pub calls: u64,
    /// Calls that were failed on purpose.
    pub failed: u64,
    /// Calls whose signature does not hold.
    pub bad_signatures: u64,
    /// Calls that are signed and cannot be read.
    pub malformed: u64,
    /// Events taken, by type.
    pub events: BTreeMap<String, u64>,
}

struct Sink {
    options: Options,
    clock: Clock,
    state: RefCell<State>,
}

struct State {
    rng: fastrand::Rng,
    lines: Lines,
    stats: Stats,
}

/// Runs the sink on the current `LocalSet` until `stop`; `ready` is told the address.
pub async fn run(
    options: Options,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
    stop: impl Future<Output = ()>,
) -> io::Result<Stats> {
    let lines = options.log.as_deref().map_or_else(|| Ok(Lines::nowhere()), Lines::open)?;
    let listener = TcpListener::bind(options.listen).await?;
    ready(listener.local_addr()?)?;
    let state = State { rng: fastrand::Rng::with_seed(options.seed), lines, stats: Stats::default() };
    let sink = Rc::new(Sink { options, clock: Clock::start(), state: RefCell::new(state) });
    let serving = Rc::clone(&sink);
    let served = serve::serve(listener, move |head, body| {
        let sink = Rc::clone(&serving);
        async move { sink.answer(head, body).await }
    });
    let flushed = async {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            sink.state.borrow_mut().lines.flush();
        }
    };
    tokio::select! {
        () = served => {}
        () = flushed => {}
        () = stop => {}
    }
    let mut state = sink.state.borrow_mut();
    state.lines.close()?;
    Ok(state.stats.clone())
}

impl Sink {
    async fn answer(&self, head: Parts, body: Bytes) -> Response<Full<Bytes>> {
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/stats") => return serve::json(StatusCode::OK, &self.state.borrow().stats),
            (&Method::POST, _) => {}
            _ => return serve::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
        if !self.options.delay.is_zero() {
            tokio::time::sleep(self.options.delay).await;
        }
        self.take(&head.headers, &body)
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
        let now = Instant::now();
        let t_ms = self.clock.t_ms(now);
        let state = &mut *self.state.borrow_mut();
        let id = headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or("");
        let Options { secret, tolerance, .. } = &self.options;
        if let Err(forged) = verify(headers, body, secret, self.clock.seconds(now), *tolerance) {
            state.stats.bad_signatures += 1;
            let (webhook_id, reason) = (id.into(), forged.to_string().into());
            state.lines.push(&Record::BadSignature(BadSignature { t_ms, webhook_id, reason }));
            return serve::empty(StatusCode::UNAUTHORIZED);
        }
        let body_hash: String = Sha256::digest(body)[..8].iter().map(|octet| format!("{octet:02x}")).collect();
        let Ok(body) = serde_json::from_slice::<Body>(body) else {
            state.stats.malformed += 1;
            return serve::empty(StatusCode::BAD_REQUEST);
        };
        let fails = self.options.fail_rate > 0.0 && state.rng.f64() < self.options.fail_rate;
        let status = if fails { self.options.status } else { 204 };
        state.stats.calls += 1;
        state.stats.failed += u64::from(fails);
        for told in body.events {
            let text = |key: &str| told.data.get(key).and_then(|value| value.as_str()).unwrap_or("").to_owned();
            let (message_id, client_ref) = (text("id").into(), text("client_ref").into());
            if !fails {
                *state.stats.events.entry(told.kind.clone()).or_default() += 1;
            }
            state.lines.push(&Record::Event(Event {
                webhook_id: id.into(),
                event_id: told.id.into(),
                kind_of_event: told.kind.into(),
                message_id,
                client_ref,
                t_ms,
                seq: told.seq,
                time: told.time.into(),
                body_hash: body_hash.as_str().into(),
                status,
                data: told.data,
            }));
        }
        serve::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification, whose signature is printed there.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: u64 = 1_614_265_330;
    const TOLERANCE: Duration = Duration::from_secs(300);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", TIMESTAMP.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    fn check(signature: &str, body: &[u8], now: u64) -> Result<(), Forged> {
        verify(&headers(signature), body, &[secret(SECRET).unwrap()], now, TOLERANCE)
    }

    #[test]
    fn the_published_example_verifies() {
        assert_eq!(check(SIGNATURE, BODY, TIMESTAMP), Ok(()));
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let rotated = format!("v1,AAAA v1a,xyz {SIGNATURE}");
        assert_eq!(check(&rotated, BODY, TIMESTAMP + 300), Ok(()));
        let secrets = [secret("whsec_b3RoZXI=").unwrap(), secret(SECRET).unwrap()];
        assert_eq!(verify(&headers(SIGNATURE), BODY, &secrets, TIMESTAMP, TOLERANCE), Ok(()));
    }

    #[test]
    fn forgeries_are_refused() {
        assert_eq!(check(SIGNATURE, b"{}", TIMESTAMP), Err(Forged::Signature));
        assert_eq!(check("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, TIMESTAMP), Err(Forged::Signature));
        assert_eq!(check("v1,", BODY, TIMESTAMP), Err(Forged::Signature));
        assert_eq!(check(SIGNATURE, BODY, TIMESTAMP + 301), Err(Forged::Stale));
        assert_eq!(check(SIGNATURE, BODY, TIMESTAMP - 301), Err(Forged::Stale));
        let mut none = headers(SIGNATURE);
        none.remove("webhook-id");
        assert_eq!(verify(&none, BODY, &[secret(SECRET).unwrap()], TIMESTAMP, TOLERANCE), Err(Forged::Header));
    }

    #[test]
    fn secrets_are_read_and_never_shown() {
        assert!(secret("MfKQ9r8G").is_err() && secret("whsec_***").is_err());
        assert_eq!(format!("{:?}", secret(SECRET).unwrap()), "Secret");
    }
}
