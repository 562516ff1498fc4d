//! The application's door: HTTP in, drafts to admission and the journal, 202 out once the message is durable.
//!
//! A send that comes as they usually do is read and answered by [`quick`], any other one on hyper ([`submit`]); everything
//! else goes through a router ([`pages`]).

mod answers;
pub mod batch;
pub mod body;
mod bygone;
pub mod commit;
pub mod idempotency;
pub mod openapi;
pub mod pages;
mod plain;
pub mod problem;
mod quick;
mod seal;
pub mod server;
mod submit;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use subtle::ConstantTimeEq;

pub use commit::{Commit, Committed, Flock, Fresh, Member};
pub use idempotency::{Found, Idempotency, Remembered};
pub use server::serve;

use crate::admit::{Gate, Tables};
use crate::clock::Clock;
use crate::ids::{Ids, MessageId};
use crate::meter::Meter;
use crate::report::story::Story;
use problem::{Code, Problem};
use seal::Seal;

/// A future behind a trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells a message's story.
pub trait Inquiry: Send + Sync {
    /// What is known of it; with the app's name filled in.
    fn message(&self, id: MessageId) -> BoxFuture<'_, Option<Story>>;

    /// A batch's record, as [`crate::journal::record::Record::Batch`].
    fn batch(&self, id: MessageId) -> BoxFuture<'_, Option<Bytes>>;

    /// Where the messages of a batch of so many stand; `None` where nobody can be asked.
    fn counts(&self, id: MessageId, count: u16) -> BoxFuture<'_, Option<batch::Counts>>;
}

/// What the door works with.
pub struct Door {
    /// Plan, routes and admission, swapped as one.
    pub tables: Arc<ArcSwap<Tables>>,
    /// The process's clock.
    pub clock: Clock,
    /// Makes ids.
    pub ids: Arc<Ids>,
    /// The journal.
    pub commit: Arc<dyn Commit>,
    /// Pressure.
    pub gate: Arc<dyn Gate>,
    /// Recent idempotency keys.
    pub idempotency: Arc<Idempotency>,
    /// Older ones.
    pub remembered: Arc<dyn Remembered>,
    /// Stories.
    pub inquiry: Arc<dyn Inquiry>,
    /// Batches being read.
    pub batches: batch::Places,
    /// Counters.
    pub meter: Arc<dyn Meter>,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    pass: Arc<Pass>,
}

impl Peer {
    /// A peer that nobody knows yet.
    pub fn new(address: SocketAddr) -> Self {
        Peer { address, pass: Arc::default() }
    }
}

/// As whom a connection came in last, so that its next request is not asked again from the start. What it showed is
/// kept as a keyed hash only, and counts as long as the tables that it was checked by.
#[derive(Debug, Default)]
struct Pass {
    seal: Seal,
    /// With its hash.
    shown: Mutex<Option<([u64; 2], Known)>>,
}

impl Pass {
    fn known(&self, tables: &Arc<Tables>, header: &[u8]) -> Option<usize> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (seal, known) = shown.as_ref()?;
        let app_at = known.by(tables)?;
        bool::from(self.seal.of(&[header]).ct_eq(seal)).then_some(app_at)
    }

    fn keep(&self, tables: &Arc<Tables>, header: &[u8], app_at: usize) {
        let shown = (self.seal.of(&[header]), Known::new(tables, app_at));
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }
}

/// A position in the plan's apps that counts as long as the tables that it was found by.
#[derive(Debug)]
struct Known {
    /// Holds the tables' place in memory, not the tables: no others can stand there meanwhile.
    tables: Weak<Tables>,
    app_at: usize,
}

impl Known {
    fn new(tables: &Arc<Tables>, app_at: usize) -> Self {
        Known { tables: Arc::downgrade(tables), app_at }
    }

    fn by(&self, tables: &Arc<Tables>) -> Option<usize> {
        (self.tables.as_ptr() == Arc::as_ptr(tables)).then_some(self.app_at)
    }
}

/// Who calls: a position in the plan's apps.
fn authenticate(tables: &Arc<Tables>, headers: &HeaderMap, peer: &Peer) -> Result<usize, Box<Problem>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(http::HeaderValue::as_bytes).unwrap_or_default();
    if values.next().is_some() {
        return Err(Problem::new(Code::Unauthorized, "send one Authorization header"));
    }
    identify(tables, value, peer)
}

/// The same from what the one Authorization header says.
fn identify(tables: &Arc<Tables>, value: &[u8], peer: &Peer) -> Result<usize, Box<Problem>> {
    if let Some(at) = peer.pass.known(tables, value) {
        return Ok(at);
    }
    let key = match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key,
        _ => return Err(Problem::new(Code::Unauthorized, "send Authorization: Bearer KEY")),
    };
    let at = tables.admission.keys.find(key).ok_or_else(|| Problem::new(Code::Unauthorized, "the key is not known"))?;
    let allowed = &tables.plan.apps[at].allow_ips;
    let ip = peer.address.ip().to_canonical();
    if !allowed.is_empty() && !allowed.iter().any(|net| net.contains(&ip)) {
        return Err(Problem::new(Code::IpNotAllowed, ""));
    }
    peer.pass.keep(tables, value, at);
    Ok(at)
}

/// A method as a metric's label.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
