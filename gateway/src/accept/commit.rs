//! What the door hands to the journal, and what it hears back.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::switch::Message;

/// A message on its way to disk.
#[derive(Debug)]
pub struct Fresh {
    /// What the switch gets once it is durable.
    pub message: Message,
    /// Octets of [`crate::journal::record::Record::Accepted`].
    pub body: Bytes,
    /// [`Tables::routing`](crate::admit::Tables::routing) of the tables it was judged by.
    pub routing: u64,
    /// Whether its app wants events.
    pub callback: bool,
    /// Takes the answer; the door may have gone meanwhile, which changes nothing.
    pub answer: oneshot::Sender<Committed>,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// On disk: answer 202.
    Durable,
    /// Certainly not accepted: answer 503.
    Refused,
    /// Nobody knows: no answer at all.
    Unknown,
}

/// The journal's entrance.
pub trait Commit: Send + Sync {
    /// Takes it without blocking; answers through `fresh.answer`.
    fn commit(&self, fresh: Fresh);
}
