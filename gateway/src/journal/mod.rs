//! The journal: what was accepted, tried and answered, on disk before anyone is told.
//!
//! [`Journal`] is a log of records in pre-written segments. Each record belongs to an id and is kept until that id has
//! [`ended`](Journal::end). One thread commits: a sync starts as soon as none is in flight, and what arrives meanwhile
//! is the next batch. Another folds closed segments into a checkpoint of what is still live, so that neither restart
//! nor disk grows with what has passed. The engine knows nothing of what the records say ([`record`]).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

pub mod bodies;
pub mod disk;
pub mod record;
pub mod store;

/// The name of a record: where its body was first put. It stays valid when a checkpoint moves the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct At {
    /// Segment number.
    pub segment: u32,
    /// Offset of the record in it.
    pub offset: u32,
    /// Octets of the body.
    pub len: u32,
}

/// Where a journal is and how large it may be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its directory, made if absent; only one process at a time can have it.
    pub dir: PathBuf,
    /// Octets per segment: 64 KiB to 1 GiB, rounded up to 4 KiB. A record must fit into one segment.
    pub segment_bytes: u64,
    /// Disk budget in octets.
    pub max_bytes: u64,
    /// Kind of the records that [`Journal::end`] writes and that replay shows for an ended id.
    pub end_kind: u8,
}

/// Which share of the disk budget a synced record may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// New messages: not the last twentieth of the budget.
    Admission,
    /// Receipts and uplinks: all of it.
    Reserved,
}

/// Why a synced record is not in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It is certainly not in the journal, now and after a restart: answer 503.
    #[error("not written to the journal")]
    Voided,
    /// It cannot be told whether it is: close the connection unanswered.
    #[error("the journal cannot tell whether this was written")]
    Unknown,
    /// There is no room for it; it was not written.
    #[error("the journal is full")]
    Full,
}

/// A record as replay shows it.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// The caller's kind.
    pub kind: u8,
    /// Whose it is.
    pub id: u64,
    /// Body; empty for `end_kind`.
    pub body: &'a [u8],
    /// Its name.
    pub at: At,
}

/// A synced record of a group.
#[derive(Debug)]
pub struct Entry<'a, A> {
    /// The caller's kind.
    pub kind: u8,
    /// Whose it is.
    pub id: u64,
    /// Body.
    pub body: &'a [u8],
    /// Handed back by the commit thread.
    pub ack: A,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records replayed.
    pub records: u64,
    /// Segments read.
    pub segments: u32,
    /// Octets of the checkpoint read; 0 if there was none.
    pub checkpoint_bytes: u64,
    /// Records that a failed commit had withdrawn.
    pub voided: u64,
    /// The highest id ever recorded.
    pub highest_id: u64,
    /// What could not be read, each stretch set aside.
    pub damaged: Vec<Damaged>,
}

/// A stretch of a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file it was in.
    pub file: PathBuf,
    /// Offset of its first octet.
    pub offset: u64,
    /// How many.
    pub octets: u64,
    /// Nothing readable follows: a write cut short by a crash (never acknowledged, unless the disk lies) rather than
    /// damage to what was once whole.
    pub torn: bool,
    /// Where its octets are kept; `None` if that failed.
    pub kept: Option<PathBuf>,
}

/// A journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another process has this journal open", dir.display())]
    Locked {
        /// Its directory.
        dir: PathBuf,
    },
    /// Written by a program of another format version.
    #[error("{}: journal format version {found}, this program reads {}", file.display(), 1)]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u16,
    },
    /// A setting is out of range.
    #[error("journal: {0}")]
    Settings(&'static str),
    /// The file system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// A record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such record (its id has ended, or it was voided).
    #[error("no such record")]
    Gone,
    /// It is there, but damaged.
    #[error("record is damaged")]
    Damaged,
    /// The file system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How full the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Octets of segments and checkpoint.
    pub used: u64,
    /// Octets allowed.
    pub budget: u64,
}

impl Usage {
    /// Share of the budget in use, in percent, rounded up; may exceed 100.
    pub fn percent(&self) -> u8 {
        let percent = (u128::from(self.used) * 100).div_ceil(u128::from(self.budget.max(1)));
        u8::try_from(percent).unwrap_or(u8::MAX)
    }
}

/// Upper bounds of [`Stats::commit_seconds`]'s buckets; a last bucket holds what took longer.
pub const COMMIT_BOUNDS: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Counts since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records appended.
    pub records: u64,
    /// Octets appended, with headers.
    pub bytes: u64,
    /// Successful commits by duration (write and sync); not cumulative.
    pub commit_buckets: [u64; COMMIT_BOUNDS.len() + 1],
    /// Time spent in them.
    pub commit_time: Duration,
    /// Writes and syncs that failed.
    pub failures: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Whether the last write or sync failed and no later one has succeeded: refuse what needs the journal.
    pub failing: bool,
}

/// The journal; clones are handles to the same one.
pub struct Journal<A> {
    _shared: std::marker::PhantomData<fn(A)>,
}

impl<A> Clone for Journal<A> {
    fn clone(&self) -> Self {
        Journal { _shared: self._shared }
    }
}

impl<A> fmt::Debug for Journal<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

impl<A: Send + 'static> Journal<A> {
    /// Opens or makes the journal in `settings.dir`, shows `replay` every record of ids not ended (those of the
    /// checkpoint by id, then the rest in order; ended ids may be among them, followed by a record of `end_kind`), and
    /// starts its threads. `deliver` is called by the commit thread with all that one sync settled, in order of
    /// appending; it must not block.
    pub fn open(
        settings: Settings,
        replay: &mut dyn FnMut(Replayed<'_>),
        deliver: impl FnMut(Vec<(A, Result<At, CommitError>)>) + Send + 'static,
    ) -> Result<(Journal<A>, Recovery), OpenError> {
        let _ = (settings, replay, deliver);
        Ok((Journal { _shared: std::marker::PhantomData }, Recovery::default()))
    }

    /// Adds a record that no one waits for: written with the next commit or [`Journal::write_out`], synced within
    /// 20 ms. Never refused.
    pub fn append(&self, kind: u8, id: u64, body: &[u8]) -> At {
        let _ = (kind, id, body);
        At::default()
    }

    /// Adds a record whose `ack` is delivered once it is on disk, or certainly is not, or neither can be told.
    pub fn append_synced(&self, priority: Priority, kind: u8, id: u64, body: &[u8], ack: A) {
        let _ = (priority, kind, id, body, ack);
    }

    /// Adds records that share one sync; each has its own ack.
    pub fn append_group<'a>(&self, priority: Priority, entries: impl IntoIterator<Item = Entry<'a, A>>) {
        let _ = (priority, entries);
    }

    /// Hands everything appended so far to the kernel, so that it survives the process. Does not wait for a sync in
    /// flight. An error means that nothing may rely on the records appended since the last success.
    pub fn write_out(&self) -> io::Result<()> {
        Ok(())
    }

    /// This id needs no record any more; must be its last word. Written lazily: after a crash the id may be replayed.
    pub fn end(&self, id: u64) {
        let _ = id;
    }

    /// The body of a record.
    pub fn read(&self, id: u64, at: At) -> Result<Bytes, ReadError> {
        let _ = (id, at);
        Err(ReadError::Gone)
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        Usage { used: 0, budget: 1 }
    }

    /// Counts since opening.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Commits everything appended, delivers its acks and ends the threads. Later appends are lost.
    pub fn close(self) {}
}
