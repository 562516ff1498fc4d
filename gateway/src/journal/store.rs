//! The indexed store: histories of finished messages, receipt correlation and idempotency keys beyond memory. An
//! index, filled lazily and begun anew when damaged: what is still live is in the journal.
//!
//! One keyspace per UTC day of the messages' ids, so that what is too old goes as a whole. One thread writes.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fjall::{Database, Keyspace, PersistMode};

use super::database::Kind;
use crate::clock::Wall;
use crate::ids::MessageId;
use crate::vital::Vital;

const KIND: Kind = Kind {
    name: "the store",
    lost: "histories of finished messages before now are lost",
    version: b"1",
    cache: 16 << 20,
    memtable: 16 << 20,
    ahead: 512 << 20,
};
const DAY_MS: u64 = 86_400_000;
/// Most messages in one batch, and how long a batch gathers.
const BATCH: usize = 2_000;
const GATHER: Duration = Duration::from_millis(50);
/// Pause after a batch that could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest sleep, so that days end even when nothing finishes.
const LOOK: Duration = Duration::from_secs(600);

/// First octets of keys.
mod tag {
    pub(super) const HISTORY: u8 = b'h';
    pub(super) const CORRELATION: u8 = b'c';
    pub(super) const IDEMPOTENCY: u8 = b'i';
    pub(super) const CLIENT_REF: u8 = b'r';
    /// With the id: what a list shows of a message from a handset.
    pub(super) const UPLINK: u8 = b'u';
    /// The same, of those that nobody owns.
    pub(super) const UNMATCHED: u8 = b'n';
    pub(super) const BATCH: u8 = b'b';
}

/// A message that is finished, as it goes to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its id; the day it was made decides how long it is kept.
    pub id: u64,
    /// Its history, as [`Store::history`] gives it back; empty where only a key is to be remembered.
    pub history: Vec<u8>,
    /// Keys under which late receipts find it.
    pub correlations: Vec<Vec<u8>>,
    /// Idempotency key and what is remembered under it.
    pub idempotency: Option<(Vec<u8>, Vec<u8>)>,
    /// Key of the app's own reference (with the app's id in it).
    pub client_ref: Option<Vec<u8>>,
    /// Where it is a message from a handset.
    pub uplink: Option<ListedUplink>,
    /// A batch's record, where it is no message but a batch, as [`Store::batch`] gives it back; else empty.
    pub batch: Vec<u8>,
}

/// A message from a handset in the list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedUplink {
    /// What the list shows, as [`Store::uplinks`] gives it back.
    pub value: Vec<u8>,
    /// Whether it stands in the list of those that nobody owns; written again without, it leaves that list.
    pub unmatched: bool,
}

/// Where the store is and what it keeps.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Its directory, made if absent, readable by its owner only.
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

/// The store; clones are handles to the same one. Look-ups read the disk: not for a thread that must not wait.
#[derive(Clone)]
pub struct Store {
    thread: Arc<Writer>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.thread.shared.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// More than this many waiting means that the store is falling behind.
    pub const CALM: usize = 10_000;

    /// Opens or makes the store; one that is damaged is moved aside (`<dir>.damaged`) and begun anew. `clock` tells
    /// the wall time; `persisted` is called by the store's thread with the ids of each batch that brought a history, once it is on disk.
    pub fn open(
        settings: &StoreSettings,
        clock: impl Fn() -> Wall + Send + Sync + 'static,
        mut persisted: impl FnMut(&[u64]) + Send + 'static,
    ) -> Result<Store, StoreError> {
        let failed = |reason: String| StoreError { dir: settings.dir.clone(), reason };
        let (database, days) = open(&settings.dir).map_err(failed)?;
        let shared = Arc::new(Shared {
            dir: settings.dir.clone(),
            keep_days: settings.history.as_millis().div_ceil(u128::from(DAY_MS)).try_into().unwrap_or(u32::MAX),
            days: RwLock::new(days),
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let mut filling = Filling { shared: shared.clone(), database: Some(database), clock: Box::new(clock) };
        filling.drop_old();
        let run = move || {
            let _vital = Vital("the store");
            filling.run(&mut persisted);
        };
        let handle = Builder::new().name("store".into()).spawn(run).map_err(|error| failed(error.to_string()))?;
        Ok(Store { thread: Arc::new(Writer { shared, handle: Mutex::new(Some(handle)) }) })
    }

    /// Hands a finished message to the store's thread and tells how many wait there. Never blocks; a caller that sees
    /// more than [`Store::CALM`] waiting slows down. It can be looked up once `persisted` has named it.
    pub fn put(&self, finished: Finished) -> usize {
        let mut queue = self.thread.shared.queue();
        queue.waiting.push_back(finished);
        let backlog = queue.waiting.len() + queue.writing;
        drop(queue);
        if backlog == 1 || backlog >= BATCH {
            self.thread.shared.wake.notify_one();
        }
        backlog
    }

    /// How many wait to be written.
    pub fn backlog(&self) -> usize {
        let queue = self.thread.shared.queue();
        queue.waiting.len() + queue.writing
    }

    /// The history of a message.
    pub fn history(&self, id: u64) -> Option<Vec<u8>> {
        self.thread.shared.find(&key(tag::HISTORY, &id.to_be_bytes()))
    }

    /// The record of a batch.
    pub fn batch(&self, id: u64) -> Option<Vec<u8>> {
        self.thread.shared.find(&key(tag::BATCH, &id.to_be_bytes()))
    }

    /// The message that a receipt with this key speaks of.
    pub fn correlate(&self, key_octets: &[u8]) -> Option<u64> {
        self.thread.shared.find_id(&key(tag::CORRELATION, key_octets))
    }

    /// What is remembered under an idempotency key.
    pub fn idempotency(&self, key_octets: &[u8]) -> Option<Vec<u8>> {
        self.thread.shared.find(&key(tag::IDEMPOTENCY, key_octets))
    }

    /// Shows the idempotency keys of messages made since that time (and of some made before) until it is told that this is
    /// enough. False where it has not shown them all. For a thread that may wait: it reads the disk.
    pub fn idempotency_keys(&self, since: Wall, tell: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let days: Vec<Keyspace> = {
            let days = self.thread.shared.days.read().unwrap_or_else(PoisonError::into_inner);
            days.range(day_of(since)..).map(|(_, day)| day.clone()).collect()
        };
        let mut entries = days.iter().flat_map(|day| day.prefix([tag::IDEMPOTENCY]));
        entries.all(|entry| match entry.key() {
            Ok(key) => tell(key.get(1..).unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "the store cannot read");
                false
            }
        })
    }

    /// The newest message with this client reference key.
    pub fn client_ref(&self, key_octets: &[u8]) -> Option<u64> {
        self.thread.shared.find_id(&key(tag::CLIENT_REF, key_octets))
    }

    /// Histories of messages with ids above `after`, in the order of their ids, at most `most` of them; fewer only at
    /// the end. For a thread that may wait: it reads the disk.
    pub fn histories(&self, after: u64, most: usize) -> Vec<(u64, Vec<u8>)> {
        let shared = &self.thread.shared;
        let first = day_of(MessageId(after).wall());
        let days = shared.days.read().unwrap_or_else(PoisonError::into_inner);
        let days: Vec<(u32, Keyspace)> = days.iter().map(|(day, keyspace)| (*day, keyspace.clone())).collect();
        let mut found = Vec::new();
        // What was stored late (its own day was dropped before) lies in a later day than its id's: it is passed over.
        for (day, keyspace) in days.into_iter().filter(|(day, _)| *day >= first) {
            let (from, to) = (key(tag::HISTORY, &after.saturating_add(1).to_be_bytes()), [tag::HISTORY + 1]);
            for entry in keyspace.range(&from[..]..&to[..]).take(most - found.len()) {
                match entry.into_inner() {
                    Ok((name, value)) => {
                        let id = name.get(1..).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
                        found.extend(id.map(|id| (id, value.to_vec())));
                    }
                    Err(error) => {
                        tracing::warn!(%error, day, "the store cannot read");
                        break;
                    }
                }
            }
            if found.len() >= most {
                break;
            }
        }
        found
    }

    /// Messages from handsets with ids below `before`, newest first, or only those that nobody owns.
    pub fn uplinks(&self, unmatched: bool, before: u64, limit: usize) -> Vec<(u64, Vec<u8>)> {
        let tag = if unmatched { tag::UNMATCHED } else { tag::UPLINK };
        let (first, end) = (key(tag, &0u64.to_be_bytes()), key(tag, &before.to_be_bytes()));
        let days = self.thread.shared.days.read().unwrap_or_else(PoisonError::into_inner);
        let newest_first = days.values().rev().flat_map(|day| day.range(first.clone()..end.clone()).rev());
        let entry = |guard: fjall::Guard| match guard.into_inner() {
            Ok((key, value)) => Some((u64::from_be_bytes(key.get(1..)?.try_into().ok()?), value.to_vec())),
            Err(error) => {
                tracing::warn!(%error, "the store cannot read");
                None
            }
        };
        newest_first.filter_map(entry).take(limit).collect()
    }

    /// Whether a message from a handset stands in the list of those that nobody owns.
    pub fn is_unmatched(&self, id: u64) -> bool {
        self.thread.shared.find(&key(tag::UNMATCHED, &id.to_be_bytes())).is_some()
    }

    /// Drops the days that are too old by now; the thread does so by itself within ten minutes.
    pub fn drop_old(&self) {
        self.thread.shared.queue().look = true;
        self.thread.shared.wake.notify_one();
    }

    /// Writes what waits and ends the thread.
    pub fn close(self) {
        self.thread.end();
    }
}

fn key(tag: u8, rest: &[u8]) -> Vec<u8> {
    // Keys of the engine end at 65,536 octets; ours are short, and what is longer would not be found.
    let rest = &rest[..rest.len().min(60_000)];
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(tag);
    key.extend_from_slice(rest);
    key
}

fn day_of(wall: Wall) -> u32 {
    u32::try_from(wall.0 / DAY_MS).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Finished>,
    /// Taken by the thread, not yet on disk.
    writing: usize,
    look: bool,
    closed: bool,
}

struct Shared {
    dir: PathBuf,
    keep_days: u32,
    days: RwLock<BTreeMap<u32, Keyspace>>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Newest day first.
    fn find(&self, key: &[u8]) -> Option<Vec<u8>> {
        let days = self.days.read().unwrap_or_else(PoisonError::into_inner);
        for (day, keyspace) in days.iter().rev() {
            match keyspace.get(key) {
                Ok(Some(value)) => return Some(value.to_vec()),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, day, "the store cannot read"),
            }
        }
        None
    }

    fn find_id(&self, key: &[u8]) -> Option<u64> {
        self.find(key)?.try_into().ok().map(u64::from_be_bytes)
    }
}

/// The thread, ended when the last handle goes.
struct Writer {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    fn end(&self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by the thread itself, inside `persisted`.
        let foreign = handle.filter(|handle| handle.thread().id() != std::thread::current().id());
        if foreign.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread owns.
struct Filling {
    shared: Arc<Shared>,
    /// `None` while it could not be opened again after a failure.
    database: Option<Database>,
    clock: Box<dyn Fn() -> Wall + Send + Sync>,
}

impl Filling {
    fn run(&mut self, persisted: &mut (dyn FnMut(&[u64]) + Send)) {
        while let Some(batch) = self.gather() {
            // A key alone is no finished message: its history is still to come.
            let ids: Vec<u64> =
                batch.iter().filter(|f| !f.history.is_empty() || !f.batch.is_empty()).map(|f| f.id).collect();
            if !batch.is_empty() && !self.write_or_give_up(batch) {
                return;
            }
            self.shared.queue().writing = 0;
            if !ids.is_empty() {
                persisted(&ids);
            }
            self.drop_old();
        }
    }

    /// The next batch; empty when it is only time to look at the days; `None` at the end.
    fn gather(&self) -> Option<Vec<Finished>> {
        let wait = |queue, pause| self.shared.wake.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0;
        let mut queue = self.shared.queue();
        if queue.waiting.is_empty() && !queue.closed && !queue.look {
            queue = wait(queue, LOOK);
        }
        if queue.waiting.is_empty() && queue.closed {
            return None;
        }
        if !queue.waiting.is_empty() && queue.waiting.len() < BATCH && !queue.closed {
            queue = wait(queue, GATHER);
        }
        queue.look = false;
        let count = queue.waiting.len().min(BATCH);
        queue.writing = count;
        Some(queue.waiting.drain(..count).collect())
    }

    /// Writes until it works; false if the store is closed before it does. The messages are in the journal still.
    fn write_or_give_up(&mut self, batch: Vec<Finished>) -> bool {
        loop {
            match self.write(&batch) {
                Ok(()) => return true,
                Err(error) => tracing::error!(%error, "the store cannot write; opening it again"),
            }
            let mut queue = self.shared.queue();
            if !queue.closed {
                queue = self.shared.wake.wait_timeout(queue, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
            }
            if queue.closed {
                return false;
            }
            drop(queue);
            // After a failed write the engine takes no more until it is opened again.
            self.shared.days.write().unwrap_or_else(PoisonError::into_inner).clear();
            self.database = None;
            match open(&self.shared.dir) {
                Ok((database, days)) => {
                    *self.shared.days.write().unwrap_or_else(PoisonError::into_inner) = days;
                    self.database = Some(database);
                }
                Err(reason) => tracing::error!(reason, "the store cannot be opened again"),
            }
        }
    }

    fn write(&self, batch: &[Finished]) -> Result<(), String> {
        let database = self.database.as_ref().ok_or("it is not open")?;
        let oldest = day_of((self.clock)()).saturating_sub(self.shared.keep_days);
        let mut out = database.batch().durability(Some(PersistMode::SyncData));
        for finished in batch {
            let day = self.day(database, day_of(MessageId(finished.id).wall()).max(oldest))?;
            let id = finished.id.to_be_bytes();
            if !finished.history.is_empty() {
                out.insert(&day, key(tag::HISTORY, &id), finished.history.as_slice());
            }
            if !finished.batch.is_empty() {
                out.insert(&day, key(tag::BATCH, &id), finished.batch.as_slice());
            }
            for correlation in &finished.correlations {
                out.insert(&day, key(tag::CORRELATION, correlation), id);
            }
            if let Some((name, value)) = &finished.idempotency {
                out.insert(&day, key(tag::IDEMPOTENCY, name), value.as_slice());
            }
            if let Some(client_ref) = &finished.client_ref {
                out.insert(&day, key(tag::CLIENT_REF, client_ref), id);
            }
            if let Some(ListedUplink { value, unmatched }) = &finished.uplink {
                out.insert(&day, key(tag::UPLINK, &id), value.as_slice());
                if *unmatched {
                    out.insert(&day, key(tag::UNMATCHED, &id), value.as_slice());
                } else {
                    out.remove(&day, key(tag::UNMATCHED, &id));
                }
            }
        }
        out.commit().map_err(|error| error.to_string())
    }

    fn day(&self, database: &Database, day: u32) -> Result<Keyspace, String> {
        let known = self.shared.days.read().unwrap_or_else(PoisonError::into_inner).get(&day).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = database.keyspace(&day_name(day), || KIND.options()).map_err(|error| error.to_string())?;
        self.shared.days.write().unwrap_or_else(PoisonError::into_inner).insert(day, made.clone());
        Ok(made)
    }

    fn drop_old(&mut self) {
        let Some(database) = &self.database else { return };
        let oldest = day_of((self.clock)()).saturating_sub(self.shared.keep_days);
        let mut days = self.shared.days.write().unwrap_or_else(PoisonError::into_inner);
        let kept = days.split_off(&oldest);
        let old = std::mem::replace(&mut *days, kept);
        drop(days);
        for (day, keyspace) in old {
            if let Err(error) = database.delete_keyspace(keyspace) {
                tracing::warn!(%error, day, "an old day of the store could not be dropped");
            }
        }
    }
}

fn day_name(day: u32) -> String {
    format!("day-{day}")
}

fn open(dir: &Path) -> Result<(Database, BTreeMap<u32, Keyspace>), String> {
    KIND.open(dir, |database| {
        let mut days = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some(day) = name.strip_prefix("day-").and_then(|day| day.parse().ok()) {
                days.insert(day, database.keyspace(&name, || KIND.options())?);
            }
        }
        Ok(days)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::ids::Ids;

    /// 2026-01-01.
    const TODAY: u64 = 1_767_225_600_000;

    struct Fixture {
        dir: tempfile::TempDir,
        now: Arc<AtomicU64>,
    }

    impl Fixture {
        fn new() -> Self {
            Fixture { dir: tempfile::tempdir().unwrap(), now: Arc::new(AtomicU64::new(TODAY)) }
        }

        fn dir(&self) -> PathBuf {
            self.dir.path().join("store")
        }

        fn open(&self) -> (Store, Receiver<Vec<u64>>) {
            let (tell, persisted) = channel();
            let settings = StoreSettings { dir: self.dir(), history: Duration::from_millis(2 * DAY_MS) };
            let now = self.now.clone();
            let clock = move || Wall(now.load(Relaxed));
            let persisted_now = move |ids: &[u64]| drop(tell.send(ids.to_vec()));
            (Store::open(&settings, clock, persisted_now).unwrap(), persisted)
        }

        fn id(&self) -> u64 {
            Ids::default().next(Wall(self.now.load(Relaxed))).0
        }
    }

    fn finished(id: u64, name: &str) -> Finished {
        Finished {
            id,
            history: format!("history of {name}").into_bytes(),
            correlations: vec![format!("a:{name}").into_bytes(), format!("b:{name}").into_bytes()],
            idempotency: Some((format!("key {name}").into_bytes(), format!("value {name}").into_bytes())),
            client_ref: Some(b"order 1".to_vec()),
            uplink: None,
            batch: format!("batch {name}").into_bytes(),
        }
    }

    fn wait(persisted: &Receiver<Vec<u64>>, mut count: usize) {
        while count > 0 {
            count -= persisted.recv_timeout(Duration::from_secs(20)).unwrap().len();
        }
    }

    fn knows(store: &Store, id: u64, name: &str) -> bool {
        let all = finished(id, name);
        let (key, value) = all.idempotency.unwrap();
        let found = [
            store.history(id) == Some(all.history),
            store.batch(id) == Some(all.batch),
            all.correlations.iter().all(|key| store.correlate(key) == Some(id)),
            store.idempotency(&key) == Some(value),
        ];
        assert!(found.iter().all(|one| *one == found[0]), "a message is known whole or not at all: {found:?}");
        found[0]
    }

    #[test]
    fn what_was_persisted_is_found_now_and_after_reopening() {
        let fixture = Fixture::new();
        let (store, persisted) = fixture.open();
        let id = fixture.id();
        store.put(finished(id, "one"));
        store.put(finished(id + 1, "two"));
        wait(&persisted, 2);
        assert_eq!(store.backlog(), 0);
        drop(store);
        let (store, _persisted) = fixture.open();
        assert!(knows(&store, id, "one") && knows(&store, id + 1, "two"));
        assert!(!knows(&store, id + 2, "three"));
        assert_eq!(store.client_ref(b"order 1"), Some(id + 1));
        let mut keys = Vec::new();
        let mut tell = |key: &[u8]| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
            true
        };
        assert!(store.idempotency_keys(Wall(TODAY), &mut tell));
        assert!(store.idempotency_keys(Wall(TODAY + DAY_MS), &mut tell));
        assert!(!store.idempotency_keys(Wall(TODAY), &mut |_| false));
        assert_eq!(keys, ["key one", "key two"]);
        assert_eq!(fs::metadata(fixture.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn uplinks_are_listed_newest_first_over_days_and_leave_the_unmatched_once_owned() {
        let fixture = Fixture::new();
        let (store, persisted) = fixture.open();
        let uplink = |id: u64, unmatched| {
            let uplink = Some(ListedUplink { value: id.to_string().into_bytes(), unmatched });
            store.put(Finished { id, history: b"h".to_vec(), uplink, ..Finished::default() });
        };
        let yesterday = fixture.id();
        uplink(yesterday, true);
        uplink(yesterday + 1, false);
        fixture.now.store(TODAY + DAY_MS, Relaxed);
        let today = fixture.id();
        uplink(today, true);
        wait(&persisted, 3);
        let ids = |unmatched, before, limit| -> Vec<u64> {
            store.uplinks(unmatched, before, limit).into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(false, u64::MAX, 9), [today, yesterday + 1, yesterday]);
        assert_eq!(ids(true, u64::MAX, 9), [today, yesterday]);
        assert_eq!(ids(false, today, 1), [yesterday + 1], "pages go on below the last id");
        assert!(store.is_unmatched(yesterday) && !store.is_unmatched(yesterday + 1));
        uplink(yesterday, false);
        wait(&persisted, 1);
        assert!(!store.is_unmatched(yesterday));
        assert_eq!((ids(true, u64::MAX, 9), ids(false, u64::MAX, 9).len()), (vec![today], 3));
    }

    #[test]
    fn closing_writes_what_waits() {
        let fixture = Fixture::new();
        let (store, _persisted) = fixture.open();
        let id = fixture.id();
        for i in 0..5_000 {
            store.put(finished(id + i, &i.to_string()));
        }
        store.close();
        let (store, _persisted) = fixture.open();
        assert!(knows(&store, id, "0") && knows(&store, id + 4_999, "4999"));
    }

    #[test]
    fn days_go_whole_once_history_has_passed() {
        let fixture = Fixture::new();
        let (store, persisted) = fixture.open();
        let old = fixture.id();
        store.put(finished(old, "old"));
        wait(&persisted, 1);
        for days in 1..=2 {
            fixture.now.store(TODAY + days * DAY_MS, Relaxed);
            let id = fixture.id();
            store.put(finished(id, "new"));
            wait(&persisted, 1);
            assert!(knows(&store, old, "old") && knows(&store, id, "new"), "day {days}");
        }
        fixture.now.store(TODAY + 3 * DAY_MS, Relaxed);
        drop(store);
        let (store, _persisted) = fixture.open();
        assert!(!knows(&store, old, "old"));
        assert_eq!(store.thread.shared.days.read().unwrap().len(), 2);
        assert_eq!(store.client_ref(b"order 1"), Some(Ids::default().next(Wall(TODAY + 2 * DAY_MS)).0));
    }

    #[test]
    fn a_damaged_store_is_moved_aside_and_begun_anew() {
        let fixture = Fixture::new();
        let (store, persisted) = fixture.open();
        let id = fixture.id();
        store.put(finished(id, "one"));
        wait(&persisted, 1);
        drop(store);
        let mut files = vec![fixture.dir()];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                fs::write(path, b"not what it was").unwrap();
            }
        }
        let (store, persisted) = fixture.open();
        assert!(!knows(&store, id, "one"));
        assert!(fixture.dir.path().join("store.damaged").is_dir());
        store.put(finished(id, "one"));
        wait(&persisted, 1);
        assert!(knows(&store, id, "one"));
    }
}
