//! The journal: what was accepted, tried and answered, on disk before anyone is told.
//!
//! [`Journal`] is a log of records in pre-written segments. Each record belongs to an id and is kept until that id has
//! [`ended`](Journal::end). One thread commits: a sync starts as soon as none is in flight, and what arrives meanwhile
//! is the next batch. Another folds closed segments into a checkpoint of what is still live, so that neither restart
//! nor disk grows with what has passed. The engine knows nothing of what the records say ([`record`]).

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::vital::Vital;
use disk::Disk;
pub use draft::Draft;
use shelf::Shelf;
use tail::{Stop, Tail};

pub mod bodies;
mod commit;
pub(crate) mod database;
pub mod disk;
mod draft;
mod fold;
mod frame;
mod lot;
mod many;
pub mod record;
mod replay;
mod scan;
mod shelf;
pub mod store;
mod tail;

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

impl At {
    /// The record right before this one in its segment, by the octets of its body.
    #[must_use]
    pub fn before(self, len: u32) -> At {
        let total = u32::try_from(frame::total(len as usize)).unwrap_or(u32::MAX);
        At { segment: self.segment, offset: self.offset.saturating_sub(total), len }
    }

    /// The record right after this one, by the octets of its body.
    #[must_use]
    pub fn after(self, len: u32) -> At {
        let total = u32::try_from(frame::total(self.len as usize)).unwrap_or(u32::MAX);
        At { segment: self.segment, offset: self.offset.saturating_add(total), len }
    }
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
    /// Receipts, uplinks and outcomes: all of it and, since only endings make room, more, until the disk refuses.
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

/// Acks with what became of their records.
pub type Settled<A> = Vec<(A, Result<At, CommitError>)>;

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The caller's kind.
    pub kind: u8,
    /// Whose it is.
    pub id: u64,
    /// Body.
    pub body: &'a [u8],
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
    /// Records that a failed commit had withdrawn, or whose group was not whole.
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
    #[error("{}: journal format version {found}, this program reads up to {}", file.display(), frame::VERSION)]
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

    /// The same on a disk with so many octets free: a disk that is nearly full is a smaller budget, whatever the
    /// configuration hopes for. Half of what it has, since a checkpoint needs room beside what it is to replace.
    #[must_use]
    pub fn within(self, free: u64) -> Usage {
        Usage { budget: self.budget.min(self.used.saturating_add(free) / 2), ..self }
    }
}

/// Octets free on the file system that holds `dir`; `None` where it does not tell.
pub fn free_space(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
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

/// The journal; clones are handles to the same one. Dropping the last without [`Journal::close`] leaves it as a crash
/// would: what was not written out is lost.
pub struct Journal<A> {
    threads: Arc<Threads<A>>,
}

impl<A> Clone for Journal<A> {
    fn clone(&self) -> Self {
        Journal { threads: self.threads.clone() }
    }
}

impl<A> fmt::Debug for Journal<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.shared().shelf.dir).finish_non_exhaustive()
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
        deliver: impl FnMut(Settled<A>) + Send + 'static,
    ) -> Result<(Journal<A>, Recovery), OpenError> {
        Self::open_on(Arc::new(disk::Files), settings, replay, deliver)
    }

    /// [`Journal::open`] on a file system of the caller's.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        mut settings: Settings,
        replay: &mut dyn FnMut(Replayed<'_>),
        mut deliver: impl FnMut(Settled<A>) + Send + 'static,
    ) -> Result<(Journal<A>, Recovery), OpenError> {
        settings.check()?;
        let dir = &settings.dir;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { dir: dir.clone() },
            _ => OpenError::Io { path: dir.clone(), error },
        };
        disk.make_dir(dir).map_err(failed)?;
        let lock = disk.lock(&dir.join("lock")).map_err(failed)?;
        let replay::Opened { shelf, next, recovery } = replay::open(disk, &settings, replay)?;
        shelf.prepare(next).map_err(failed)?;
        let shared = Arc::new(Shared {
            tail: Mutex::new(Tail::new(shelf.salt, shelf.segment_bytes, next)),
            shelf,
            end_kind: settings.end_kind,
            max_bytes: settings.max_bytes,
            work: Condvar::new(),
            ready: Condvar::new(),
            upkeep: Condvar::new(),
            folding: Mutex::new(()),
            stopping: AtomicBool::new(false),
            counts: Counts::default(),
            _lock: lock,
        });
        let threads = Arc::new(Threads { shared, handles: Mutex::new(Vec::new()) });
        threads.spawn("journal-commit", move |shared| commit::run(shared, &mut deliver)).map_err(failed)?;
        threads.spawn("journal-prepare", commit::prepare).map_err(failed)?;
        threads.spawn("journal-fold", fold::run).map_err(failed)?;
        Ok((Journal { threads }, recovery))
    }

    /// Adds a record that no one waits for: written with the next commit or [`Journal::write_out`], synced within
    /// 20 ms. Never refused, except where its body does not fit into a segment.
    pub fn append(&self, kind: u8, id: u64, body: &[u8]) -> At {
        let shared = self.shared();
        let mut tail = shared.tail();
        let before = tail.segment;
        let (at, first) = shared.add(&mut tail, kind, id, body);
        shared.appended(tail, before, first);
        at
    }

    /// Adds a record whose `ack` is delivered once it is on disk, or certainly is not, or neither can be told.
    pub fn append_synced(&self, priority: Priority, kind: u8, id: u64, body: &[u8], ack: A) {
        self.append_each(priority, [(Entry { kind, id, body }, ack)], |(entry, _)| *entry, |(_, ack)| ack);
    }

    /// The same for an `ack` that is in no hurry: its record goes with the next sync that someone waits for, or within
    /// 20 ms.
    pub fn append_acked(&self, priority: Priority, kind: u8, id: u64, body: &[u8], ack: A) {
        let shared = self.shared();
        let mut tail = shared.tail();
        let before = tail.segment;
        let hurry = shared.add_acked(&mut tail, priority, (kind, id, body), ack);
        shared.appended(tail, before, hurry);
    }

    /// The same for many records, each by itself, with one look at the room there is and one wake-up of the commit thread.
    /// Each of `asked` tells what its record says, and then becomes its ack.
    pub fn append_each<T>(
        &self,
        priority: Priority,
        asked: impl IntoIterator<Item = T>,
        says: impl for<'a> Fn(&'a T) -> Entry<'a>,
        ack: impl Fn(T) -> A,
    ) {
        let shared = self.shared();
        let mut tail = shared.tail();
        let before = tail.segment;
        let mut room = shared.room(&tail, priority);
        for one in asked {
            let entry = says(&one);
            let at = shared.add_synced(&mut tail, &mut room, entry);
            tail.wait(ack(one), at);
        }
        shared.appended(tail, before, true);
    }

    /// Adds records that are in the journal all together or not at all, whatever happens; the last one's name goes to
    /// `ack`, the others stand right before it ([`At::before`]). Refused where they do not fit into one segment.
    pub fn append_whole<'a>(
        &self,
        priority: Priority,
        records: impl Iterator<Item = (u8, u64, &'a [u8])> + Clone,
        ack: A,
    ) {
        let shared = self.shared();
        let octets: u64 = records.clone().map(|(.., body)| frame::total(body.len())).sum();
        let mut tail = shared.tail();
        let before = tail.segment;
        let fits = octets > 0 && frame::HEADER + octets + frame::PLACE as u64 <= shared.shelf.segment_bytes;
        if fits && shared.has_room(&tail, shared.room(&tail, priority), octets) {
            tail.keep_together(octets);
            tail.whole(octets, records, ack);
        } else {
            tail.settled.push((ack, Err(CommitError::Full)));
        }
        shared.appended(tail, before, true);
    }

    /// Hands everything appended so far to the kernel, so that it survives the process. Does not wait for a sync in
    /// flight. An error means that nothing may rely on the records appended since the last success.
    pub fn write_out(&self) -> io::Result<()> {
        commit::write_out(self.shared())
    }

    /// This id needs no record any more; must be its last word. Written lazily: after a crash the id may be replayed.
    pub fn end(&self, id: u64) {
        let shared = self.shared();
        let mut tail = shared.tail();
        let before = tail.segment;
        let first = shared.add_end(&mut tail, id);
        shared.appended(tail, before, first);
    }

    /// The body of a record.
    pub fn read(&self, id: u64, at: At) -> Result<Bytes, ReadError> {
        let shared = self.shared();
        let first = shared.shelf.table().body(id, at);
        if first.is_ok() {
            return first;
        }
        // Not on the files yet, or a checkpoint or a repair has just moved it: both change under the tail's lock or
        // replace the table, so that what is in neither now is nowhere.
        let tail = shared.tail();
        let table = shared.shelf.table();
        let name = (at.segment, at.offset);
        let moved = table.moved.get(&name).map(|place| (*place, true));
        let held = [Some((name, false)), moved].into_iter().flatten();
        let body = held.filter_map(|(place, moved)| tail.body(id, place, at.len as usize, moved)).next();
        drop(tail);
        body.map_or_else(|| table.body(id, at), Ok)
    }

    /// The bodies of many records, in the order they are asked for; those near one another on disk are read together.
    pub fn read_many(&self, asked: &[(u64, At)]) -> Vec<Result<Bytes, ReadError>> {
        let found = self.shared().shelf.table().bodies(asked);
        asked.iter().zip(found).map(|((id, at), body)| body.map_or_else(|| self.read(*id, *at), Ok)).collect()
    }

    /// Folds all closed segments into a checkpoint now, on this thread; false if there is nothing to fold. The journal
    /// does so by itself when it pays.
    pub fn fold(&self) -> io::Result<bool> {
        fold::fold(self.shared())
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let shared = self.shared();
        let tail = shared.tail();
        Usage { used: shared.shelf.used(tail.segment, tail.offset), budget: shared.max_bytes }
    }

    /// Counts since opening.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let counts = &shared.counts;
        let tail = shared.tail();
        Stats {
            records: tail.records,
            bytes: tail.bytes,
            commit_buckets: std::array::from_fn(|bucket| counts.commits[bucket].load(Relaxed)),
            commit_time: Duration::from_nanos(counts.commit_nanos.load(Relaxed)),
            failures: counts.failures.load(Relaxed),
            checkpoints: counts.checkpoints.load(Relaxed),
            failing: tail.failures > 0 || tail.no_room || tail.fault,
        }
    }

    /// Commits everything appended, delivers its acks and ends the threads. Later appends are lost and their acks are
    /// not delivered. Must not be called from `deliver`.
    pub fn close(self) {
        self.threads.end(Stop::Close);
    }
}

impl<A> Journal<A> {
    fn shared(&self) -> &Shared<A> {
        &self.threads.shared
    }
}

/// The threads, ended when the last handle goes.
struct Threads<A> {
    shared: Arc<Shared<A>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl<A> Threads<A> {
    fn spawn(&self, name: &str, run: impl FnOnce(&Shared<A>) + Send + 'static) -> io::Result<()>
    where
        A: Send + 'static,
    {
        let shared = self.shared.clone();
        let handle = Builder::new().name(name.into()).spawn(move || {
            let _vital = Vital("a journal thread");
            run(&shared);
        })?;
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    }

    fn end(&self, how: Stop) {
        self.shared.stop(how);
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        // The last handle may be dropped by a thread of the journal's own, inside `deliver`.
        for handle in handles.into_iter().filter(|handle| handle.thread().id() != std::thread::current().id()) {
            if handle.join().is_err() {
                tracing::error!("a journal thread panicked");
            }
        }
    }
}

impl<A> Drop for Threads<A> {
    fn drop(&mut self) {
        self.end(Stop::Abandon);
    }
}

type TailGuard<'a, A> = MutexGuard<'a, Tail<A>>;

#[derive(Default)]
struct Counts {
    commits: [AtomicU64; COMMIT_BOUNDS.len() + 1],
    commit_nanos: AtomicU64,
    failures: AtomicU64,
    checkpoints: AtomicU64,
}

/// What the handles and the threads share.
struct Shared<A> {
    shelf: Shelf,
    end_kind: u8,
    max_bytes: u64,
    tail: Mutex<Tail<A>>,
    /// Wakes the commit thread.
    work: Condvar,
    /// A segment was made, or could not be.
    ready: Condvar,
    /// Wakes the threads that make segments and checkpoints.
    upkeep: Condvar,
    folding: Mutex<()>,
    stopping: AtomicBool,
    counts: Counts,
    _lock: Box<dyn Any + Send + Sync>,
}

impl<A> Shared<A> {
    fn tail(&self) -> TailGuard<'_, A> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the tail up until `condvar` or the pause's end.
    fn sleep<'a>(&self, condvar: &Condvar, tail: TailGuard<'a, A>, pause: Option<Duration>) -> TailGuard<'a, A> {
        match pause {
            Some(pause) => condvar.wait_timeout(tail, pause).unwrap_or_else(PoisonError::into_inner).0,
            None => condvar.wait(tail).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Octets of synced records of that priority that the budget has room for.
    fn room(&self, tail: &Tail<A>, priority: Priority) -> u64 {
        match priority {
            Priority::Admission => {
                let used = self.shelf.used(tail.segment, tail.offset);
                (self.max_bytes - self.max_bytes / 20).saturating_sub(used)
            }
            // Only endings make the journal smaller, so what leads to them may exceed the budget, until the disk refuses.
            Priority::Reserved => u64::MAX,
        }
    }

    /// Whether synced records may come in where the budget has that room.
    fn has_room(&self, tail: &Tail<A>, room: u64, octets: u64) -> bool {
        octets <= room && tail.pending < tail::PENDING_OCTETS && !(tail.no_room && tail.is_beyond(octets))
    }

    /// Wakes whom an append concerns.
    fn appended(&self, mut tail: TailGuard<'_, A>, segment_before: u32, hurry: bool) {
        let rolled = tail.segment != segment_before;
        let wake = hurry && std::mem::take(&mut tail.idle);
        drop(tail);
        if wake {
            self.work.notify_one();
        }
        if rolled {
            self.upkeep.notify_all();
        }
    }

    /// Lays the tail out anew after a failure.
    fn repair(&self, tail: &mut Tail<A>, now: Instant) {
        self.counts.failures.fetch_add(1, Relaxed);
        let repaired = tail.repair(now);
        self.shelf.note_moved(repaired.moved);
        self.shelf.discard(&repaired.discards);
        self.upkeep.notify_all();
    }

    fn stop(&self, how: Stop) {
        self.tail().stop(how);
        self.stopping.store(true, Relaxed);
        self.work.notify_all();
        self.ready.notify_all();
        self.upkeep.notify_all();
    }
}

impl Settings {
    /// Segments of `segment_bytes` that a budget must at least hold.
    const LEAST_SEGMENTS: u64 = 4;

    fn check(&mut self) -> Result<(), OpenError> {
        self.segment_bytes = self.segment_bytes.next_multiple_of(frame::HEADER);
        if !(64 << 10..=1 << 30).contains(&self.segment_bytes) {
            return Err(OpenError::Settings("segment_bytes is outside 64 KiB to 1 GiB"));
        }
        if self.max_bytes < Self::LEAST_SEGMENTS * self.segment_bytes {
            return Err(OpenError::Settings("max_bytes is less than four segments"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_nearly_full_is_a_smaller_budget() {
        let usage = Usage { used: 70, budget: 1_000 };
        assert_eq!(usage.within(5_000).percent(), 7, "plenty free: the configured budget counts");
        assert_eq!(usage.within(130).percent(), 70);
        assert!(usage.within(0).percent() > 100, "no tier comes in");
        assert!(free_space(Path::new("/")).is_some_and(|free| free > 0));
    }
}
