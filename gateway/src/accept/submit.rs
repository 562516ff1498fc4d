//! `POST /v1/messages`: who, what, may it, write it down, 202.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::oneshot;

use super::body::Given;
use super::commit::{Committed, Fresh};
use super::idempotency::{BodyHash, Claim, Found, Hold, KEY_LIMIT, body_hash, outdated};
use super::problem::{Code, Problem};
use super::{Door, Known, Peer, authenticate, identify};
use crate::admit::{Admitted, Draft, Tables};
use crate::clock::{Moment, Wall};
use crate::config::plan::{App, Plan, TierId};
use crate::ids::MessageId;
use crate::journal::record::{Accepted, Record};
use crate::json;
use crate::switch::Message;

/// Most octets of a body.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// When to come back after the journal refused, or while a first request is still under way.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// The answer to a message accepted. Written by [`write_receipt`]; this is its description.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accepted")]
pub(super) struct Receipt<'a> {
    /// The message's id.
    id: &'a str,
    /// `accepted`.
    status: &'static str,
    /// Parts, as the first channel of its route would send it.
    parts: u8,
    /// Encoding, as the first channel of its route would send it.
    encoding: &'a str,
}

/// How a send ends.
pub(super) enum End {
    Accepted(Found, TierId),
    Replayed(Found),
    Refused(Box<Problem>),
    /// Nobody knows: the connection is closed without an answer.
    Unknown,
}

impl From<Box<Problem>> for End {
    fn from(problem: Box<Problem>) -> Self {
        End::Refused(problem)
    }
}

/// A send that is on its way to disk.
struct Sent {
    found: Found,
    tier: TierId,
    wait: oneshot::Receiver<Committed>,
    hold: Option<Hold>,
}

impl Sent {
    async fn end(self) -> End {
        let Sent { found, tier, wait, hold } = self;
        let committed = match hold {
            Some(hold) => hold.committed(wait, found.clone()).await,
            None => wait.await.unwrap_or(Committed::Unknown),
        };
        match committed {
            Committed::Durable => End::Accepted(found, tier),
            Committed::Refused => {
                End::Refused(Problem::new(Code::NotDurable, "nothing was accepted; try again").retry(SOON))
            }
            Committed::Unknown => End::Unknown,
        }
    }
}

impl Door {
    /// Answers a send; `None` where the connection must close without an answer.
    pub(super) async fn submit(&self, request: &mut Request<Incoming>, peer: &Peer) -> Option<Response<Full<Bytes>>> {
        let headers = std::mem::take(request.headers_mut());
        let end = self.send(&headers, request.body_mut(), peer).await.unwrap_or_else(|end| end);
        self.count(&end);
        match end {
            End::Accepted(found, _) => Some(receipt(&found, headers)),
            End::Replayed(found) => {
                let mut answer = receipt(&found, headers);
                answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
                Some(answer)
            }
            End::Refused(problem) => Some(problem.answer(fastrand::f64())),
            End::Unknown => None,
        }
    }

    /// Carries out a send that is here whole, from the one Authorization header that it has, or none. `known`: as whom the
    /// last one came in that had the same, which is kept there.
    pub(super) async fn carry_out(
        &self,
        now: Moment,
        (authorization, key, octets): (&[u8], Option<&str>, &[u8]),
        peer: &Peer,
        known: &mut Option<Known>,
    ) -> End {
        let tables = self.tables.load_full();
        let app_at = match known.as_ref().and_then(|known| known.by(&tables)) {
            Some(app_at) => Ok(app_at),
            None => identify(&tables, authorization, peer).inspect(|at| *known = Some(Known::new(&tables, *at))),
        };
        let end = match app_at {
            Ok(app_at) => match self.hand_in(now, &tables, app_at, key, octets).await {
                Ok(sent) => sent.end().await,
                Err(end) => end,
            },
            Err(problem) => problem.into(),
        };
        self.count(&end);
        end
    }

    fn count(&self, end: &End) {
        match end {
            End::Accepted(_, tier) => self.meter.accepted(*tier, "sms"),
            End::Replayed(_) => {}
            End::Refused(problem) => self.meter.rejected(problem.code.row().0),
            End::Unknown => self.meter.rejected("unknown"),
        }
    }

    /// The order matters: who asks, before a body is read; its key, before anything is judged, so that a repetition gets
    /// the first answer whatever has changed since; quota last, so that a refusal costs none.
    async fn send(&self, headers: &HeaderMap, body: &mut Incoming, peer: &Peer) -> Result<End, End> {
        let tables = self.tables.load_full();
        let app_at = authenticate(&tables, headers, peer)?;
        media(headers, &["application/json"])?;
        let key = idempotency_key(headers)?;
        let octets = read(body, tables.plan.node.body_timeout).await?;
        let sent = self.hand_in(self.clock.now(), &tables, app_at, key, &octets).await?;
        // The connection reads its next request where these stand.
        drop(octets);
        Ok(sent.end().await)
    }

    /// Takes a body under its key to the journal. Fails where the send has ended already.
    async fn hand_in(
        &self,
        now: Moment,
        tables: &Tables,
        app_at: usize,
        key: Option<&str>,
        octets: &[u8],
    ) -> Result<Sent, End> {
        let app = &tables.plan.apps[app_at];
        let hash = key.map_or([0; 16], |_| body_hash(octets));
        let hold = match key {
            Some(key) => match self.claim(now, app, key, hash).await? {
                Claimed::Mine(hold) => Some(hold),
                Claimed::Replay(found) => return Err(End::Replayed(found)),
            },
            None => None,
        };
        let (found, tier, wait) = self.hand_over(now, tables, app_at, octets, key.map(|key| (key, hash)))?;
        Ok(Sent { found, tier, wait, hold })
    }

    /// Judges a body, and hands its message to the journal if it may pass.
    fn hand_over(
        &self,
        now: Moment,
        tables: &Tables,
        app_at: usize,
        octets: &[u8],
        key: Option<(&str, BodyHash)>,
    ) -> Result<(Found, TierId, oneshot::Receiver<Committed>), Box<Problem>> {
        let app = &tables.plan.apps[app_at];
        let given = Given::read(octets)?;
        let draft = given.draft()?;
        let admitted = tables.admit(now, app_at, &draft, &*self.gate)?;
        let found = Found {
            id: self.ids.next(now.wall),
            body_hash: key.map_or([0; 16], |(_, hash)| hash),
            parts: admitted.parts,
            encoding: admitted.coding.name().into(),
            accepted_at: now.wall,
        };
        let key = key.map(|(key, _)| key);
        let record = accepted(&tables.plan, app, &admitted, &draft, &found, key, given.callback());
        let (answer, wait) = oneshot::channel();
        self.commit.commit(Fresh {
            message: message(app, now, &admitted, found.id),
            body: octets_of(&Record::Accepted(record)),
            routing: tables.routing,
            callback: given.callback(),
            answer,
        });
        Ok((found, admitted.tier, wait))
    }

    /// The key for this request, the first answer, or why neither.
    async fn claim(&self, now: Moment, app: &App, key: &str, hash: BodyHash) -> Result<Claimed, Box<Problem>> {
        match self.reserve(now, app, key).await? {
            Reserved::Mine(hold) => Ok(Claimed::Mine(hold)),
            Reserved::Known(found) if found.body_hash == hash && !found.is_batch() => Ok(Claimed::Replay(found)),
            Reserved::Known(_) => Err(Problem::new(Code::IdempotencyMismatch, "a key belongs to one body")),
        }
    }

    /// The same before the body is known.
    pub(super) async fn reserve(&self, now: Moment, app: &App, key: &str) -> Result<Reserved, Box<Problem>> {
        let hold = match self.idempotency.claim(now, &app.name, key) {
            Claim::New(hold) => return Ok(Reserved::Mine(hold)),
            Claim::Unsure(hold) => hold,
            Claim::Done(found) => return Ok(Reserved::Known(found)),
            Claim::InProgress => return Err(Problem::new(Code::IdempotencyInProgress, "").retry(SOON)),
        };
        match self.remembered.find(&app.name, key).await {
            Some(found) if !outdated(now.wall, found.accepted_at) => {
                hold.known(found.clone());
                Ok(Reserved::Known(found))
            }
            _ => Ok(Reserved::Mine(hold)),
        }
    }
}

/// A key: this request's now, or with what was answered before.
pub(super) enum Reserved {
    Mine(Hold),
    Known(Found),
}

enum Claimed {
    Mine(Hold),
    Replay(Found),
}

pub(super) fn message(app: &App, now: Moment, admitted: &Admitted<'_>, id: MessageId) -> Message {
    Message {
        id,
        app: app.id,
        group: admitted.group,
        tier: admitted.tier,
        parts: admitted.reserve,
        expires: now.time.after(admitted.valid_for),
        accepted: now.time,
    }
}

pub(super) fn accepted<'a>(
    plan: &'a Plan,
    app: &'a App,
    admitted: &'a Admitted<'_>,
    draft: &Draft<'a>,
    found: &'a Found,
    key: Option<&'a str>,
    callback: bool,
) -> Accepted<'a> {
    let validity = u64::try_from(admitted.valid_for.as_millis()).unwrap_or(u64::MAX);
    Accepted {
        at: found.accepted_at,
        expires: Wall(found.accepted_at.0.saturating_add(validity)),
        app: &app.name,
        tier: plan.names.tiers.get(usize::from(admitted.tier.0)).map_or("", |name| &**name),
        group: plan.names.groups.get(usize::from(admitted.group.0)).map_or("", |name| &**name),
        kind: admitted.kind,
        to: admitted.to.as_str(),
        sender: draft.sender,
        text: &admitted.text,
        client_ref: draft.client_ref,
        idempotency_key: key,
        body_hash: found.body_hash,
        callback,
        parts: admitted.parts,
        encoding: &found.encoding,
        reserve: admitted.reserve,
        options: &admitted.options,
    }
}

/// The record in one allocation of the right size, most of the time.
fn octets_of(record: &Record<'_>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(512);
    record.write(&mut octets);
    octets
}

/// The answer to a message accepted, in the request's own header map: the connection reads its next request into it.
fn receipt(found: &Found, mut headers: HeaderMap) -> Response<Full<Bytes>> {
    const PATH: &[u8] = b"/v1/messages/";
    let letters = found.id.letters();
    let mut location = [0; PATH.len() + 12];
    let (path, name) = location.split_at_mut(PATH.len());
    path.copy_from_slice(PATH);
    name.copy_from_slice(&letters);
    headers.clear();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(location) = HeaderValue::from_bytes(&location) {
        headers.insert(LOCATION, location);
    }
    let mut body = Vec::with_capacity(96);
    write_receipt(found, &mut body);
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::ACCEPTED;
    *answer.headers_mut() = headers;
    answer
}

/// Appends a [`Receipt`] as JSON: codings have names that need no escapes.
pub(super) fn write_receipt(found: &Found, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"id":""#);
    out.extend_from_slice(&found.id.letters());
    out.extend_from_slice(br#"","status":"accepted","parts":"#);
    json::number(found.parts.into(), out);
    out.extend_from_slice(br#","encoding":""#);
    out.extend_from_slice(found.encoding.as_bytes());
    out.extend_from_slice(br#""}"#);
}

/// Which of these kinds the body is; UTF-8 is the only character set.
pub(super) fn media(headers: &HeaderMap, kinds: &[&str]) -> Result<usize, Box<Problem>> {
    if headers.get(CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body without Content-Encoding"));
    }
    let value = headers.get(CONTENT_TYPE);
    if let Some(known) = kinds.iter().position(|known| value.is_some_and(|v| v == known)) {
        return Ok(known);
    }
    let value = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters
        .split(';')
        .filter_map(|p| p.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    let utf8 = charset.is_none_or(|(_, set)| set.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    let known = kinds.iter().position(|known| kind.trim().eq_ignore_ascii_case(known));
    known.filter(|_| utf8).ok_or_else(|| {
        let detail = format!("send Content-Type: {} in UTF-8", kinds.join(" or "));
        Problem::new(Code::UnsupportedMediaType, detail)
    })
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Box<Problem>> {
    static NAME: HeaderName = HeaderName::from_static("idempotency-key");
    let mut keys = headers.get_all(&NAME).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else { return Ok(None) };
    match usable_key(key.as_bytes()) {
        Some(key) if another.is_none() => Ok(Some(key)),
        _ => Err(Problem::new(Code::InvalidIdempotencyKey, "one key of 1 to 255 visible ASCII characters")),
    }
}

/// An `Idempotency-Key` that can be used.
pub(super) fn usable_key(key: &[u8]) -> Option<&str> {
    // Without a way out, so that many octets can be looked at at once.
    let graphic = key.iter().fold(true, |all, octet| all & octet.is_ascii_graphic());
    let fits = graphic && (1..=KEY_LIMIT).contains(&key.len());
    std::str::from_utf8(key).ok().filter(|_| fits)
}

/// The whole body, within its limits of size and time. A body that came with its head is taken as it is.
async fn read(body: &mut Incoming, deadline: Duration) -> Result<Bytes, Box<Problem>> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("at most {BODY_LIMIT} octets")).closing();
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let mut gathering = pin!(gather(body));
    // What is here already needs no timer.
    let gathered = match poll_fn(|cx| Poll::Ready(gathering.as_mut().poll(cx))).await {
        Poll::Ready(gathered) => gathered,
        Poll::Pending => match Box::pin(tokio::time::timeout(deadline, gathering)).await {
            Ok(gathered) => gathered,
            Err(_) => return Err(Problem::new(Code::BodyTimeout, "").closing()),
        },
    };
    match gathered {
        Ok(Some(octets)) => Ok(octets),
        Ok(None) => Err(too_large()),
        Err(_) => Err(Problem::new(Code::IncompleteBody, "").closing()),
    }
}

/// `None` where it is longer than the limit.
async fn gather(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len().max(all.len()) + data.len() > BODY_LIMIT {
            return Ok(None);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Some(if all.is_empty() { first } else { all.freeze() }))
}

#[cfg(test)]
mod tests {
    use carriers::Coding;

    use super::*;

    #[test]
    fn a_receipt_is_written_as_its_schema_has_it() {
        let encodings =
            [Coding::Gsm7, Coding::Ascii, Coding::Latin1, Coding::Ucs2, Coding::Gbk, Coding::Binary].map(Coding::name);
        for (parts, encoding) in (0..=255).zip(encodings.into_iter().cycle()) {
            let id = MessageId(1 << 40 | 7);
            let found = Found { parts, encoding: encoding.into(), ..Found::batch(id, [0; 16], Wall(0)) };
            let mut written = Vec::new();
            write_receipt(&found, &mut written);
            let receipt = Receipt { id: &id.to_string(), status: "accepted", parts, encoding };
            assert_eq!(written, serde_json::to_vec(&receipt).unwrap());
        }
    }
}
