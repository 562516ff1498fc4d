//! `POST /v1/batches`: many messages in one request, judged one by one, written down all together, and
//! `GET /v1/batches/{id}`: what has become of them.
//!
//! The order is that of a single post: who asks, the key, each message by itself as it is read; room and quota last and
//! only once the whole body is here, so that a batch that is refused as a whole costs neither. The journal has it whole
//! or not at all, with a record of its own, from which the answer can be made again. Between pieces of work the other
//! requests get their turn.

mod basket;
mod items;
mod story;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::body::Given;
use super::commit::Committed;
use super::idempotency::{BodyHash, Found, Hold, digest_hash};
use super::problem::{Code, Problem, Rejected};
use super::submit::{Reserved, SOON, idempotency_key};
use super::{Door, Peer, authenticate};
use crate::admit::{Refusal, Tables};
use crate::config::plan::AppId;
use crate::ids::MessageId;
use crate::journal::record::{Batch, Record, kind};
use basket::{Asked, Basket, Closed, Nothing, Said};
use items::{Item, Line, Lines, Messages, Whole};

pub use story::{BatchStory, Counts, Taken, TakenMessage};

/// Most messages in a batch.
pub const ITEMS: usize = 10_000;
/// Most octets of a body.
pub const BODY_LIMIT: usize = 8 << 20;
/// Most octets of a batch's records; less where the journal's segments are small.
const RECORDS_LIMIT: usize = 16 << 20;
/// Items between two turns of the others.
const TURN: usize = 128;
/// A body may take so many times the limit of a small one, as long as something comes within that.
const LONG: u32 = 6;
/// Batches being read at once: of all apps, and of one.
const MOST: (usize, usize) = (64, 32);

/// Places for batches being read, so that their bodies take no more memory than they may.
#[derive(Debug, Default)]
pub struct Places(std::sync::Mutex<std::collections::BTreeMap<AppId, usize>>);

struct Place<'p>(&'p Places, AppId);

impl Places {
    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<AppId, usize>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take(&self, app: AppId) -> Option<Place<'_>> {
        let mut places = self.lock();
        let (all, own) = (places.values().sum::<usize>(), places.get(&app).copied().unwrap_or(0));
        if all >= MOST.0 || own >= MOST.1 {
            return None;
        }
        places.insert(app, own + 1);
        Some(Place(self, app))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.0.lock();
        match places.get_mut(&self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(places.remove(&self.1)),
        }
    }
}

/// How a batch ends.
enum End {
    Accepted(MessageId, Said),
    Replayed(MessageId, Bytes),
    /// Nothing came in, each item for a reason of its own.
    Nothing(Box<Nothing>, usize),
    Refused(Box<Problem>),
    /// Nobody knows: the connection is closed without an answer.
    Unknown,
}

impl From<Box<Problem>> for End {
    fn from(problem: Box<Problem>) -> Self {
        End::Refused(problem)
    }
}

impl Door {
    /// Answers a batch; `None` where the connection must close without an answer.
    pub(super) async fn batch(&self, request: Request<Incoming>, peer: Peer) -> Option<Response<Full<Bytes>>> {
        let ids = !request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "ids=false"));
        match self.fill(request, peer).await.unwrap_or_else(|end| end) {
            End::Accepted(id, said) => {
                self.meter.batch(said.count, &said.accepted, &said.rejected);
                Some(taken(id, &said.record, ids))
            }
            End::Replayed(id, record) => {
                let mut answer = taken(id, &record, ids);
                answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
                Some(answer)
            }
            End::Nothing(none, count) => {
                self.meter.batch(count, &[], &none.verdicts.by_code());
                Some(nothing(*none).answer(fastrand::f64()))
            }
            End::Refused(problem) => {
                self.meter.rejected(problem.code.row().0);
                Some(problem.answer(fastrand::f64()))
            }
            End::Unknown => {
                self.meter.rejected("unknown");
                None
            }
        }
    }

    async fn fill(&self, request: Request<Incoming>, peer: Peer) -> Result<End, End> {
        let tables = self.tables.load_full();
        let (head, body) = request.into_parts();
        let app_at = authenticate(&tables, &head.headers, &peer)?;
        let app = &tables.plan.apps[app_at];
        let lines = super::submit::media(&head.headers, &["application/json", "application/x-ndjson"])? == 1;
        let key = idempotency_key(&head.headers)?;
        let busy = || Problem::new(Code::Refused(crate::admit::Reason::Overloaded), "too many batches at once");
        let _place = self.batches.take(app.id).ok_or_else(|| busy().retry(SOON))?;
        let mut inlet = Inlet::new(body, &head.headers, tables.plan.node.body_timeout, key.is_some())?;
        let hold = match key {
            Some(key) => match self.reserve(self.clock.now(), app, key).await? {
                Reserved::Mine(hold) => Some(hold),
                Reserved::Known(found) => return self.again(inlet, found).await,
            },
            None => None,
        };
        if let Some(detail) = self.gate.held(app.id) {
            return Err(Box::<Problem>::from(Refusal::held(&detail)).into());
        }
        let mut basket = Basket::new(&tables, app_at);
        if lines {
            self.take_lines(&mut inlet, &mut basket).await?;
        } else {
            self.take_json(&mut inlet, &mut basket).await?;
        }
        if basket.len() == 0 {
            let empty = Code::Refused(crate::admit::Reason::Empty);
            return Err(Problem::new(empty, "a batch needs at least one message").into());
        }
        let mut asked = Asked::default();
        while !basket.pass(self.clock.now(), &*self.gate, &mut asked, TURN) {
            tokio::task::yield_now().await;
        }
        self.write_down(basket, key.zip(inlet.hash()), hold).await
    }

    /// One durable commit for all of it.
    async fn write_down(
        &self,
        basket: Basket<'_>,
        key: Option<(&str, BodyHash)>,
        hold: Option<Hold>,
    ) -> Result<End, End> {
        let (now, count) = (self.clock.now(), basket.len());
        let id = self.ids.block(now.wall, u16::try_from(count + 1).unwrap_or(u16::MAX));
        let Closed { flock, wait, said } = basket.close(now, id, key).map_err(|none| End::Nothing(none, count))?;
        self.commit.commit_batch(flock);
        let found = Found::batch(id, key.map_or([0; 16], |(_, hash)| hash), now.wall);
        let committed = match hold {
            Some(hold) => hold.committed(wait, found).await,
            None => wait.await.unwrap_or(Committed::Unknown),
        };
        match committed {
            Committed::Durable => Ok(End::Accepted(id, said)),
            Committed::Refused => {
                Err(Problem::new(Code::NotDurable, "nothing was accepted; try again").retry(SOON).into())
            }
            Committed::Unknown => Err(End::Unknown),
        }
    }

    /// A repetition: its body is read only to see that it is the same.
    async fn again(&self, mut inlet: Inlet, found: Found) -> Result<End, End> {
        while inlet.next().await?.is_some() {}
        if inlet.hash() != Some(found.body_hash) || !found.is_batch() {
            return Err(Problem::new(Code::IdempotencyMismatch, "a key belongs to one body").into());
        }
        match self.inquiry.batch(found.id).await {
            Some(record) => Ok(End::Replayed(found.id, record)),
            None => Err(Problem::new(Code::Internal, "the first answer cannot be found").into()),
        }
    }

    async fn take_lines(&self, inlet: &mut Inlet, basket: &mut Basket<'_>) -> Result<(), Box<Problem>> {
        let mut lines = Lines::default();
        while let Some(octets) = inlet.next().await? {
            let now = self.clock.now();
            lines.take(&octets, |line| take_line(basket, now, &line))?;
            tokio::task::yield_now().await;
        }
        let now = self.clock.now();
        lines.finish(|line| take_line(basket, now, &line))
    }

    async fn take_json(&self, inlet: &mut Inlet, basket: &mut Basket<'_>) -> Result<(), Box<Problem>> {
        let octets = inlet.all().await?;
        basket.expect(octets.len());
        let now = self.clock.now();
        if take_messages(&octets, basket, now).await.is_some() {
            return Ok(());
        }
        basket.clear();
        match Whole::read(&octets)? {
            Whole::Messages(items) => {
                for items in items.chunks(TURN) {
                    for item in items {
                        take_item(basket, now, item.get().as_bytes())?;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Whole::Numbers(numbers, common) => {
                let given = items::shared(&common)?;
                for numbers in numbers.chunks(TURN) {
                    for raw in numbers {
                        match items::number(raw) {
                            Some(number) => basket.take(now, &given, Some(&number))?,
                            None => basket.refuse(Code::WrongType.row().0, "to: not a string"),
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }
}

/// Takes the items of a body as it usually is. `None` where it is another, or wrong: what was taken is to be dropped.
async fn take_messages(octets: &[u8], basket: &mut Basket<'_>, now: crate::clock::Moment) -> Option<()> {
    let mut messages = Messages::begin(octets)?;
    loop {
        for _ in 0..TURN {
            // Looked at where it stands: it is large.
            match &messages.next() {
                Some(Some(Item { text, given: Some(given) })) if text.len() <= super::submit::BODY_LIMIT => {
                    basket.take(now, given, None).ok()?;
                }
                Some(Some(item)) => take_item(basket, now, item.text.as_bytes()).ok()?,
                Some(None) => return Some(()),
                None => return None,
            }
        }
        tokio::task::yield_now().await;
    }
}

fn take_line(basket: &mut Basket<'_>, now: crate::clock::Moment, line: &Line<'_>) -> Result<(), Box<Problem>> {
    if basket.len() >= ITEMS {
        return Err(items::too_many().closing());
    }
    match line {
        Line::Whole(octets) => take_item(basket, now, octets),
        Line::TooLong => {
            basket.refuse(Code::BodyTooLarge.row().0, "the line is too long");
            Ok(())
        }
    }
}

fn take_item(basket: &mut Basket<'_>, now: crate::clock::Moment, octets: &[u8]) -> Result<(), Box<Problem>> {
    if octets.len() > super::submit::BODY_LIMIT {
        basket.refuse(Code::BodyTooLarge.row().0, "the message is too long");
        return Ok(());
    }
    match Given::read(octets) {
        Ok(given) => basket.take(now, &given, None)?,
        Err(problem) => {
            let (code, detail) = items::fault(&problem);
            basket.refuse(code, &detail);
        }
    }
    Ok(())
}

/// The answer, made from the batch's record.
fn taken(id: MessageId, record: &[u8], ids: bool) -> Response<Full<Bytes>> {
    let body = match Record::read(kind::BATCH, record) {
        Ok(Record::Batch(batch)) => story::answer(id, &batch, ids),
        _ => Vec::new(),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/batches/{id}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Nothing came in. Where any of it may come in later, that is what is said: then the whole batch may be sent again.
fn nothing(Nothing { busy, verdicts }: Nothing) -> Box<Problem> {
    let mut problem = match busy {
        Some(refusal) => refusal.into(),
        None => Problem::new(Code::NothingAccepted, "see `rejected`"),
    };
    let reasons = verdicts.reasons();
    let one = |(index, reason): &(u16, u8)| {
        let (code, detail) = reasons.get(usize::from(*reason)).copied().unwrap_or_default();
        Rejected { index: *index, code: code.to_owned(), detail: detail.to_owned() }
    };
    problem.rejected = verdicts.rejected().iter().map(one).collect();
    problem
}

/// A body on its way in, within its limits of size and time.
struct Inlet {
    body: Incoming,
    announced: usize,
    taken: usize,
    /// How long nothing may come.
    patience: Duration,
    deadline: tokio::time::Instant,
    digest: Option<Sha256>,
}

impl Inlet {
    fn new(body: Incoming, headers: &HeaderMap, patience: Duration, hash: bool) -> Result<Self, Box<Problem>> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
        if announced.is_some_and(|octets| octets > BODY_LIMIT) {
            return Err(too_large());
        }
        let deadline = tokio::time::Instant::now() + patience * LONG;
        let digest = hash.then(Sha256::new);
        Ok(Inlet { body, announced: announced.unwrap_or(0), taken: 0, patience, deadline, digest })
    }

    /// What comes next; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Box<Problem>> {
        loop {
            let until = self.deadline.min(tokio::time::Instant::now() + self.patience);
            let frame = match tokio::time::timeout_at(until, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Problem::new(Code::IncompleteBody, "").closing()),
                Err(_) => return Err(Problem::new(Code::BodyTimeout, "").closing()),
            };
            let Ok(data) = frame.into_data() else { continue };
            self.taken += data.len();
            if self.taken > BODY_LIMIT {
                return Err(too_large());
            }
            if let Some(digest) = &mut self.digest {
                digest.update(&data);
            }
            return Ok(Some(data));
        }
    }

    /// All of it.
    async fn all(&mut self) -> Result<Bytes, Box<Problem>> {
        let mut all = BytesMut::with_capacity(self.announced);
        while let Some(data) = self.next().await? {
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }

    /// The hash of what has come, where one was wanted.
    fn hash(&self) -> Option<BodyHash> {
        self.digest.clone().map(digest_hash)
    }
}

fn too_large() -> Box<Problem> {
    Problem::new(Code::BodyTooLarge, format!("at most {BODY_LIMIT} octets; nothing was accepted")).closing()
}

/// Of a batch's record: whose it is, and how many messages it has.
pub fn owner(record: &[u8]) -> Option<(&str, u16)> {
    match Record::read(kind::BATCH, record) {
        Ok(Record::Batch(Batch { app, count, .. })) => Some((app, count)),
        _ => None,
    }
}

/// What is told of a batch, from its record and what was counted. `None` where that is not the app's.
pub(super) fn told(tables: &Tables, app_at: usize, id: MessageId, record: &[u8], counts: Counts) -> Option<BatchStory> {
    match Record::read(kind::BATCH, record) {
        Ok(Record::Batch(batch)) if *batch.app == *tables.plan.apps[app_at].name => {
            Some(BatchStory::new(id, &batch, counts))
        }
        _ => None,
    }
}
