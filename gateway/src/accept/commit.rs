//! What the door hands to the journal, and what it hears back.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::ids::MessageId;
use crate::journal::Entry;
use crate::journal::record::kind;
use crate::switch::Message;

/// A message on its way to disk.
#[derive(Debug)]
pub struct Fresh {
    /// What the switch gets once it is durable.
    pub message: Message,
    /// Octets of [`crate::journal::record::Record::Accepted`].
    pub body: Vec<u8>,
    /// [`Tables::routing`](crate::admit::Tables::routing) of the tables it was judged by.
    pub routing: u64,
    /// Whether its app wants events.
    pub callback: bool,
    /// Takes the answer; the door may have gone meanwhile, which changes nothing.
    pub answer: oneshot::Sender<Committed>,
}

impl Fresh {
    /// What the journal is to have.
    pub fn says(&self) -> Entry<'_> {
        Entry { kind: kind::ACCEPTED, id: self.message.id.0, body: &self.body }
    }
}

/// A batch on its way to disk: its messages and its own record, all together or not at all.
#[derive(Debug)]
pub struct Flock {
    /// Its own id.
    pub id: MessageId,
    /// Its messages, by their ids.
    pub members: Arc<[Member]>,
    /// Octets of all records.
    pub octets: Bytes,
    /// Where in `octets` its own record stands, a [`crate::journal::record::Record::Batch`].
    pub record: Range<u32>,
    /// As [`Fresh::routing`].
    pub routing: u64,
    /// As [`Fresh::answer`].
    pub answer: oneshot::Sender<Committed>,
}

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct Member {
    /// What the switch gets once it is durable.
    pub message: Message,
    /// Whether its app wants events.
    pub callback: bool,
    /// Where its record stands in the batch's octets.
    pub octets: Range<u32>,
}

impl Flock {
    /// The octets of one of its records.
    pub fn body(&self, at: &Range<u32>) -> &[u8] {
        self.octets.get(at.start as usize..at.end as usize).unwrap_or_default()
    }
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

    /// The same for a batch.
    fn commit_batch(&self, flock: Flock);
}
