//! The indexed store: histories of finished messages, receipt correlation and idempotency keys beyond memory. An
//! index, filled lazily and rebuilt when damaged: what is still live is in the journal.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Wall;

/// A message that is finished, as it goes to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its id; the day it was made decides how long it is kept.
    pub id: u64,
    /// Its history, as [`Store::history`] gives it back.
    pub history: Vec<u8>,
    /// Keys under which late receipts find it.
    pub correlations: Vec<Vec<u8>>,
    /// Idempotency key and what is remembered under it.
    pub idempotency: Option<(Vec<u8>, Vec<u8>)>,
    /// Key of the app's own reference (with the app's id in it).
    pub client_ref: Option<Vec<u8>>,
}

/// Where the store is and what it keeps.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Its directory, made if absent.
    pub dir: PathBuf,
    /// How long messages are kept, rounded up to whole UTC days.
    pub history: Duration,
}

/// The store cannot be opened, not even anew.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", dir.display())]
pub struct StoreError {
    /// Its directory.
    pub dir: PathBuf,
    /// Why.
    pub reason: String,
}

/// The store; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens or makes the store. `clock` tells the wall time; `persisted` is called by the store's thread with the ids
    /// of each batch once it is on disk.
    pub fn open(
        settings: &StoreSettings,
        clock: impl Fn() -> Wall + Send + Sync + 'static,
        persisted: impl FnMut(&[u64]) + Send + 'static,
    ) -> Result<Store, StoreError> {
        let _ = (settings, clock, persisted);
        Ok(Store {})
    }

    /// Hands a finished message to the store's thread and tells how many wait there. Never blocks; a caller that sees
    /// more than [`Store::CALM`] waiting slows down.
    pub fn put(&self, finished: Finished) -> usize {
        let _ = finished;
        0
    }

    /// More than this many waiting means that the store is falling behind.
    pub const CALM: usize = 10_000;

    /// How many wait to be written.
    pub fn backlog(&self) -> usize {
        0
    }

    /// The history of a message.
    pub fn history(&self, id: u64) -> Option<Vec<u8>> {
        let _ = id;
        None
    }

    /// The message that a receipt with this key speaks of.
    pub fn correlate(&self, key: &[u8]) -> Option<u64> {
        let _ = key;
        None
    }

    /// What is remembered under an idempotency key.
    pub fn idempotency(&self, key: &[u8]) -> Option<Vec<u8>> {
        let _ = key;
        None
    }

    /// The newest message with this client reference key.
    pub fn client_ref(&self, key: &[u8]) -> Option<u64> {
        let _ = key;
        None
    }

    /// Writes what waits and ends the thread.
    pub fn close(self) {}
}
