//! The store: histories of finished messages, and what finds them: carriers' ids for late receipts, idempotency keys,
//! references of apps. What it has not got is in the journal still; what it has it keeps for as many days as it is told.
//!
//! Everything of one UTC day (of the messages' ids) is in one file of records that only grows: a lot of messages is one
//! write and one sync. What is finished is written once and read seldom, so its index is made as cheaply as can be: lines
//! of 16 octets, gathered in memory, sorted a lot at a time, merged in the background ([`run`]). It follows from the
//! records: what is lost of it is made again, and a day that is over is a few files less. `LIFECYCLE.md` has what holds.

mod calendar;
mod day;
mod former;
mod record;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::disk::{Disk, Files};
use crate::clock::Wall;
use crate::ids::MessageId;
use crate::vital::Vital;
use calendar::Calendar;
use day::{Day, Place};
use former::{Former, tag};
use record::{Lot, Record, hashed, kind, ordered};

/// Where the days are, in the store's directory.
const RECORDS: &str = "days";
const DAY_MS: u64 = 86_400_000;
/// A lot is written once it has so many messages, or after so long.
const LOT: usize = 8_192;
const GATHER: Duration = Duration::from_millis(50);
/// Longest sleep, so that days end even when nothing finishes.
const LOOK: Duration = Duration::from_secs(600);

/// A name under which a message is found, as the index knows it: its hash. Among a billion of
/// them two are alike once in twenty times, so whoever asks looks at what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u64);

impl Name {
    /// Under which late receipts find it.
    pub fn correlation(octets: &[u8]) -> Name {
        Name(hashed(tag::CORRELATION, octets))
    }

    /// The app's own reference (with the app's id in it).
    pub fn client_ref(octets: &[u8]) -> Name {
        Name(hashed(tag::CLIENT_REF, octets))
    }

    fn idempotency(octets: &[u8]) -> Name {
        Name(hashed(tag::IDEMPOTENCY, octets))
    }
}

/// A message that is finished, as it goes to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished<'a> {
    /// Its id; the day it was made decides how long it is kept.
    pub id: u64,
    /// Its history, as [`Store::history`] gives it back; empty where only a key is to be remembered.
    pub history: &'a [u8],
    /// What its history is found under.
    pub names: &'a [Name],
    /// Idempotency key and what is remembered under it.
    pub idempotency: Option<(&'a [u8], &'a [u8])>,
    /// Where it is a message from a handset.
    pub uplink: Option<ListedUplink<'a>>,
    /// A batch's record, where it is no message but a batch, as [`Store::batch`] gives it back; else empty.
    pub batch: &'a [u8],
}

/// A message from a handset in the list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListedUplink<'a> {
    /// What the list shows, as [`Store::uplinks`] gives it back.
    pub value: &'a [u8],
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

/// What tests have otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Entries of a day's index that stay in memory: 1 MiB of them.
    pub fresh: usize,
    /// Pause after a lot that could not be written.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { fresh: 1 << 16, pause: Duration::from_secs(1) }
    }
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
    thread: Arc<Threads>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.thread.shared.place.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// More than this many waiting means that the store is falling behind.
    pub const CALM: usize = 10_000;

    /// Opens or makes the store; a day of which no record reads is moved aside (`.damaged`) and begun anew, one that the device
    /// cannot read is left alone. `clock` tells the wall
    /// time; `persisted` is called by the store's thread with the ids of each lot that brought a history, once it is on
    /// disk.
    pub fn open(
        settings: &StoreSettings,
        clock: impl Fn() -> Wall + Send + Sync + 'static,
        persisted: impl FnMut(&[u64]) + Send + 'static,
    ) -> Result<Store, StoreError> {
        let failed = |reason: String| StoreError { dir: settings.dir.clone(), reason };
        Files.make_dir(&settings.dir).map_err(|error| failed(error.to_string()))?;
        let former = Former::open(&settings.dir).map_err(failed)?;
        Store::start(Arc::new(Files), settings, Pace::default(), former, clock, persisted)
    }

    /// The same on another disk, at another pace.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        settings: &StoreSettings,
        pace: Pace,
        clock: impl Fn() -> Wall + Send + Sync + 'static,
        persisted: impl FnMut(&[u64]) + Send + 'static,
    ) -> Result<Store, StoreError> {
        Store::start(disk, settings, pace, None, clock, persisted)
    }

    fn start(
        disk: Arc<dyn Disk>,
        settings: &StoreSettings,
        pace: Pace,
        former: Option<Former>,
        clock: impl Fn() -> Wall + Send + Sync + 'static,
        mut persisted: impl FnMut(&[u64]) + Send + 'static,
    ) -> Result<Store, StoreError> {
        let failed = |error: io::Error| StoreError { dir: settings.dir.clone(), reason: error.to_string() };
        let place = Place { disk, dir: settings.dir.join(RECORDS), fresh: pace.fresh };
        let keep_days: u32 = settings.history.as_millis().div_ceil(u128::from(DAY_MS)).try_into().unwrap_or(u32::MAX);
        let wall = day_of(clock());
        let names = list(&place).map_err(failed)?;
        let written = calendar::written(&place);
        let newest =
            names.iter().filter(|name| day::holds_records(name)).filter_map(|name| day::day_of_file(name)).max();
        let mut calendar = Calendar::new(written, newest.unwrap_or(wall));
        let oldest = calendar.look(wall, Instant::now()).saturating_sub(keep_days);
        let Opened { days, shut, holes } = open(&place, &names, oldest).map_err(failed)?;
        let passed = names.iter().filter_map(|name| day::passed_over(name)).collect();
        let shared = Arc::new(Shared {
            place,
            keep_days,
            days: RwLock::new(days),
            passed: RwLock::new(passed),
            former: RwLock::new(former),
            queue: Mutex::default(),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            holes,
        });
        let (folds, to_fold) = mpsc::channel();
        let mut filling = Filling {
            shared: shared.clone(),
            folds,
            pause: pace.pause,
            clock: Box::new(clock),
            calendar,
            written,
            shut,
        };
        filling.drop_old();
        filling.rest(day_of((filling.clock)()));
        let folding = {
            let shared = shared.clone();
            let run = move || {
                let _vital = Vital("the store's folding thread");
                let stop = || shared.stopping.load(Relaxed);
                to_fold.into_iter().for_each(|day: Arc<Day>| while !stop() && day.fold(&stop) {});
            };
            Builder::new().name("store-fold".into()).spawn(run).map_err(failed)?
        };
        let run = move || {
            let _vital = Vital("the store");
            filling.run(&mut persisted);
        };
        let filling = Builder::new().name("store".into()).spawn(run).map_err(failed)?;
        Ok(Store { thread: Arc::new(Threads { shared, handles: Mutex::new(vec![filling, folding]) }) })
    }

    /// Hands a finished message to the store's thread and tells how many wait there. Never blocks; a caller that sees
    /// more than [`Store::CALM`] waiting slows down. It can be looked up once `persisted` has named it.
    pub fn put(&self, finished: &Finished<'_>) -> usize {
        self.counter().put(finished)
    }

    /// Where one after another can be handed over under one lock. The store's thread takes nothing meanwhile.
    pub fn counter(&self) -> Counter<'_> {
        let shared = &self.thread.shared;
        let queue = shared.queue();
        Counter { before: queue.gathered.count, queue, wake: &shared.wake }
    }

    /// How many wait to be written.
    pub fn backlog(&self) -> usize {
        let queue = self.thread.shared.queue();
        queue.gathered.count + queue.writing
    }

    /// The history of a message.
    pub fn history(&self, id: u64) -> Option<Vec<u8>> {
        self.by_id(kind::HISTORY, tag::HISTORY, id)
    }

    /// The record of a batch.
    pub fn batch(&self, id: u64) -> Option<Vec<u8>> {
        self.by_id(kind::BATCH, tag::BATCH, id)
    }

    fn by_id(&self, kind: u8, tag: u8, id: u64) -> Option<Vec<u8>> {
        let shared = &self.thread.shared;
        let own = |record: Record| (record.kind == kind && record.id == id).then(|| record.into_body());
        shared.by_id(kind, id, own).or_else(|| shared.former(tag, &id.to_be_bytes()))
    }

    /// The message that a receipt with this key speaks of.
    pub fn correlate(&self, key_octets: &[u8]) -> Option<u64> {
        self.named(Name::correlation(key_octets), tag::CORRELATION, key_octets)
    }

    /// What is remembered under an idempotency key of a message made since that time (or some time before). Days that were
    /// over then are not asked: their index may have to be made again for that.
    pub fn idempotency(&self, key_octets: &[u8], since: Wall) -> Option<Vec<u8>> {
        let own = |record: Record| {
            let (key, value) = key_and_value(&record)?;
            (key == key_octets).then(|| value.to_vec())
        };
        let shared = &self.thread.shared;
        shared
            .find_since(day_of(since), Name::idempotency(key_octets).0, own)
            .or_else(|| shared.former(tag::IDEMPOTENCY, key_octets))
    }

    /// Shows the idempotency keys of messages made since that time (and of some made before) until it is told that this is
    /// enough. False where it has not shown all that [`Store::idempotency`] may find. For a thread that may wait: it reads
    /// the disk.
    pub fn idempotency_keys(&self, since: Wall, tell: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let (shared, since) = (&self.thread.shared, day_of(since));
        let days: Vec<Arc<Day>> = shared.days().range(since..).map(|(_, day)| day.clone()).collect();
        let (from, to) = (ordered(kind::IDEMPOTENCY, 0), ordered(kind::IDEMPOTENCY + 1, 0));
        let mut more = true;
        for day in days {
            let show = |record: Record| {
                more = key_and_value(&record).is_none_or(|(key, _)| tell(key));
                more
            };
            if !day.walk(from, to, true, show) || !more {
                return false;
            }
        }
        let former = {
            let former = shared.former.read().unwrap_or_else(PoisonError::into_inner);
            former.as_ref().map(|former| former.since(since))
        };
        former.is_none_or(|days| days.keys(tag::IDEMPOTENCY, tell))
    }

    /// Whether the last life was cut short so that the store may have something and yet not all that was put before it, or
    /// some of it has not been looked at yet. The journal has that still.
    pub fn has_holes(&self) -> bool {
        self.thread.shared.holes
    }

    /// The newest message with this client reference key.
    pub fn client_ref(&self, key_octets: &[u8]) -> Option<u64> {
        self.named(Name::client_ref(key_octets), tag::CLIENT_REF, key_octets)
    }

    fn named(&self, name: Name, tag: u8, octets: &[u8]) -> Option<u64> {
        let shared = &self.thread.shared;
        let former = || shared.former(tag, octets)?.try_into().ok().map(u64::from_be_bytes);
        shared.find_since(0, name.0, |record| (record.kind == kind::HISTORY).then_some(record.id)).or_else(former)
    }

    /// Histories of messages with ids above `after`, in the order of their ids, at most `most` of them; fewer only at
    /// the end. For a thread that may wait: it reads the disk.
    pub fn histories(&self, after: u64, most: usize) -> Vec<(u64, Vec<u8>)> {
        let (shared, next) = (&self.thread.shared, after.saturating_add(1));
        let (from, to) = (ordered(kind::HISTORY, next), ordered(kind::HISTORY + 1, 0));
        let mut found = BTreeMap::new();
        let first = day_of(MessageId(after).wall());
        let (days, in_order) = (shared.days().clone(), shared.passed().is_empty());
        for day in days.range(first..).map(|(_, day)| day) {
            if in_order && found.len() >= most {
                break;
            }
            let mut shown = 0;
            let show = |record: Record| {
                shown += 1;
                // Of one that a later day has, too, that counts.
                found.insert(record.id, record.into_body());
                shown < most
            };
            day.walk(from, to, false, show);
            while found.len() > most {
                found.pop_last();
            }
        }
        let former = shared.former.read().unwrap_or_else(PoisonError::into_inner);
        let Some(former) = former.as_ref() else { return found.into_iter().collect() };
        let mut all: BTreeMap<u64, Vec<u8>> = former.list(tag::HISTORY, (next, u64::MAX), most).collect();
        all.extend(found);
        all.into_iter().take(most).collect()
    }

    /// Messages from handsets with ids below `before`, newest first, or only those that nobody owns.
    pub fn uplinks(&self, unmatched: bool, before: u64, limit: usize) -> Vec<(u64, Vec<u8>)> {
        let shared = &self.thread.shared;
        let (kind, tag) = if unmatched { (kind::UNMATCHED, tag::UNMATCHED) } else { (kind::UPLINK, tag::UPLINK) };
        let (from, to) = (ordered(kind, before).saturating_add(1), ordered(kind, 0).saturating_add(1));
        let mut found = BTreeMap::new();
        let (days, in_order) = (shared.days().clone(), shared.passed().is_empty());
        for day in days.values().rev() {
            if in_order && found.len() >= limit {
                break;
            }
            let mut shown = 0;
            let show = |record: Record| {
                // One that somebody owns by now was written again.
                if !unmatched || shared.uplink(record.id) == Some(kind::UNMATCHED) {
                    shown += 1;
                    found.entry(record.id).or_insert_with(|| record.into_body());
                }
                shown < limit
            };
            day.walk(from, to, false, show);
            while found.len() > limit {
                found.pop_first();
            }
        }
        let former = shared.former.read().unwrap_or_else(PoisonError::into_inner);
        let Some(former) = former.as_ref() else { return found.into_iter().rev().collect() };
        let still = |(id, _): &(u64, Vec<u8>)| shared.uplink(*id).is_none();
        let mut all: BTreeMap<u64, Vec<u8>> = former.list_last(tag, before).filter(still).take(limit).collect();
        all.extend(found);
        all.into_iter().rev().take(limit).collect()
    }

    /// Whether a message from a handset stands in the list of those that nobody owns.
    pub fn is_unmatched(&self, id: u64) -> bool {
        let shared = &self.thread.shared;
        match shared.uplink(id) {
            Some(kind) => kind == kind::UNMATCHED,
            None => shared.former(tag::UNMATCHED, &id.to_be_bytes()).is_some(),
        }
    }

    /// Drops the days that are too old by now; the thread does so by itself within ten minutes.
    pub fn drop_old(&self) {
        self.thread.shared.queue().look = true;
        self.thread.shared.wake.notify_one();
    }

    /// Writes what waits and ends the threads.
    pub fn close(self) {
        self.thread.end();
    }
}

fn day_of(wall: Wall) -> u32 {
    u32::try_from(wall.0 / DAY_MS).unwrap_or(u32::MAX)
}

/// A key and what is remembered under it, of such a record.
fn key_and_value(record: &Record) -> Option<(&[u8], &[u8])> {
    let (length, rest) = record.body().split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*length).into()).filter(|_| record.kind == kind::IDEMPOTENCY)
}

/// The files of the days.
fn list(place: &Place) -> io::Result<Vec<String>> {
    place.disk.make_dir(&place.dir)?;
    place.disk.list(&place.dir)
}

/// The days there are.
struct Opened {
    days: BTreeMap<u32, Arc<Day>>,
    /// Those that cannot be read.
    shut: BTreeSet<u32>,
    /// See [`Store::has_holes`].
    holes: bool,
}

/// Opens the days; what is left of older ones, and of what was never finished, goes. One that the device cannot read is left
/// as it is: it may read another day, or be put back from a copy.
fn open(place: &Place, names: &[String], oldest: u32) -> io::Result<Opened> {
    let old = |name: &&String| name.ends_with(".new") || day::day_of_file(name).is_some_and(|day| day < oldest);
    for name in names.iter().filter(old) {
        if let Err(error) = place.disk.remove(&place.dir.join(name)) {
            tracing::warn!(%error, name, "an old file of the store could not be removed");
        }
    }
    let mut opened = Opened { days: BTreeMap::new(), shut: BTreeSet::new(), holes: false };
    for name in names.iter().filter(|name| day::holds_records(name)) {
        let Some(number) = day::day_of_file(name).filter(|number| *number >= oldest) else { continue };
        match Day::open(place, number, names) {
            Ok((day, holes)) => {
                opened.days.insert(number, Arc::new(day));
                opened.holes |= holes;
            }
            Err(error) if record::is_unreadable(&error) => {
                let file = place.dir.join(name);
                tracing::error!(%error, file = %file.display(), "a day of the store cannot be read: it is left as it is, and \
                    nothing in it is found before a start that can read it");
                opened.shut.insert(number);
                opened.holes = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Messages that go to disk together.
#[derive(Default)]
struct Gathered {
    lots: BTreeMap<u32, Lot>,
    count: usize,
    /// Those that bring a history: a key alone is no finished message, its history is still to come.
    finished: Vec<u64>,
}

impl Gathered {
    fn push(&mut self, day: u32, finished: &Finished<'_>) {
        let Finished { id, history, names, idempotency, uplink, batch } = *finished;
        let lot = self.lots.entry(day).or_default();
        if !history.is_empty() {
            lot.push(kind::HISTORY, id, names.iter().map(|name| name.0), &[history]);
        }
        if !batch.is_empty() {
            lot.push(kind::BATCH, id, std::iter::empty(), &[batch]);
        }
        if let Some(ListedUplink { value, unmatched }) = uplink {
            let kind = if unmatched { kind::UNMATCHED } else { kind::UPLINK };
            lot.push(kind, id, std::iter::empty(), &[value]);
        }
        if let Some((key, value)) = idempotency
            && let Ok(length) = u16::try_from(key.len())
        {
            let name = std::iter::once(Name::idempotency(key).0);
            lot.push(kind::IDEMPOTENCY, id, name, &[&length.to_le_bytes(), key, value]);
        }
        self.count += 1;
        if !history.is_empty() || !batch.is_empty() {
            self.finished.push(id);
        }
    }

    /// What it holds of memory stays for the next.
    fn clear(&mut self) {
        self.lots.retain(|_, lot| !lot.is_empty());
        self.lots.values_mut().for_each(Lot::clear);
        self.count = 0;
        self.finished.clear();
        self.finished.shrink_to(4 * LOT);
    }
}

#[derive(Default)]
struct Queue {
    gathered: Gathered,
    /// Taken by the thread, not yet on disk.
    writing: usize,
    look: bool,
    closed: bool,
}

/// See [`Store::counter`].
pub struct Counter<'s> {
    queue: MutexGuard<'s, Queue>,
    wake: &'s Condvar,
    /// How many had been put when it was taken.
    before: usize,
}

impl Counter<'_> {
    /// As [`Store::put`].
    pub fn put(&mut self, finished: &Finished<'_>) -> usize {
        let Queue { gathered, writing, .. } = &mut *self.queue;
        gathered.push(day_of(MessageId(finished.id).wall()), finished);
        gathered.count + *writing
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        // It sleeps until there is one, and then until there are enough or it has waited for long enough.
        let count = self.queue.gathered.count;
        if (self.before == 0 && count > 0) || (self.before < LOT && count >= LOT) {
            self.wake.notify_one();
        }
    }
}

impl std::fmt::Debug for Counter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter").field("before", &self.before).finish_non_exhaustive()
    }
}

struct Shared {
    place: Place,
    keep_days: u32,
    days: RwLock<BTreeMap<u32, Arc<Day>>>,
    /// Those that could not be read for a while, so that what finished of them since is in later ones.
    passed: RwLock<BTreeSet<u32>>,
    former: RwLock<Option<Former>>,
    queue: Mutex<Queue>,
    wake: Condvar,
    stopping: AtomicBool,
    /// See [`Store::has_holes`].
    holes: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn days(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Day>>> {
        self.days.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn passed(&self) -> std::sync::RwLockReadGuard<'_, BTreeSet<u32>> {
        self.passed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the days from that one on, the newest first.
    fn find_since<T>(&self, day: u32, key: record::Key, mut take: impl FnMut(Record) -> Option<T>) -> Option<T> {
        let days: Vec<Arc<Day>> = self.days().range(day..).rev().map(|(_, day)| day.clone()).collect();
        days.iter().find_map(|day| day.find(key, &mut take))
    }

    /// What a day has under the key of an id: it is in its own day, or where that was over in a later one.
    fn by_id<T>(&self, kind: u8, id: u64, mut take: impl FnMut(Record) -> Option<T>) -> Option<T> {
        let (day, key) = (day_of(MessageId(id).wall()), ordered(kind, id));
        let passed = self.passed().contains(&day);
        let own = self.days().get(&day).filter(|_| !passed).cloned();
        let found = own.and_then(|day| day.find(key, &mut take));
        let day = if passed { day } else { day.saturating_add(1) };
        found.or_else(|| self.find_since(day, key, take))
    }

    /// Of which kind the list's entry of a message from a handset is.
    fn uplink(&self, id: u64) -> Option<u8> {
        self.by_id(kind::UPLINK, id, |record| (record.id == id).then_some(record.kind))
    }

    fn former(&self, tag: u8, rest: &[u8]) -> Option<Vec<u8>> {
        self.former.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.find(tag, rest)
    }
}

/// The threads, ended when the last handle goes.
struct Threads {
    shared: Arc<Shared>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    fn end(&self) {
        self.shared.stopping.store(true, Relaxed);
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        // The last handle may be dropped by the thread itself, inside `persisted`; the folding thread ends after it.
        if handles.iter().all(|handle| handle.thread().id() != std::thread::current().id()) {
            for handle in handles {
                if handle.join().is_err() {
                    tracing::error!("a thread of the store panicked");
                }
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread owns.
struct Filling {
    shared: Arc<Shared>,
    folds: mpsc::Sender<Arc<Day>>,
    pause: Duration,
    clock: Box<dyn Fn() -> Wall + Send + Sync>,
    calendar: Calendar,
    /// What was last written down of it.
    written: Option<calendar::Written>,
    /// Days whose files are left alone.
    shut: BTreeSet<u32>,
}

impl Filling {
    fn run(&mut self, persisted: &mut (dyn FnMut(&[u64]) + Send)) {
        let mut gathered = Gathered::default();
        while self.gather(&mut gathered) {
            if !self.write_or_give_up(&mut gathered) {
                return;
            }
            self.shared.queue().writing = 0;
            if !gathered.finished.is_empty() {
                persisted(&gathered.finished);
            }
            gathered.clear();
            self.drop_old();
        }
    }

    /// Takes what waits, nothing when it is only time to look at the days; false at the end. `gathered` is empty.
    fn gather(&self, gathered: &mut Gathered) -> bool {
        let wait = |queue, pause| self.shared.wake.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0;
        let mut queue = self.shared.queue();
        if queue.gathered.count == 0 && !queue.closed && !queue.look {
            queue = wait(queue, LOOK);
        }
        if queue.gathered.count == 0 && queue.closed {
            return false;
        }
        if (1..LOT).contains(&queue.gathered.count) && !queue.closed {
            queue = wait(queue, GATHER);
        }
        queue.look = false;
        queue.writing = queue.gathered.count;
        std::mem::swap(&mut queue.gathered, gathered);
        true
    }

    /// Writes until it works; false if the store is closed before it does. The messages are in the journal still.
    fn write_or_give_up(&mut self, gathered: &mut Gathered) -> bool {
        let oldest = self.oldest();
        for (day, lot) in &mut gathered.lots {
            while let Err(error) = self.write((*day).max(oldest), lot) {
                tracing::error!(%error, day, "the store cannot write");
                let mut queue = self.shared.queue();
                if !queue.closed {
                    queue = self.shared.wake.wait_timeout(queue, self.pause).unwrap_or_else(PoisonError::into_inner).0;
                }
                if queue.closed {
                    return false;
                }
            }
        }
        true
    }

    fn write(&self, mut number: u32, lot: &mut Lot) -> io::Result<()> {
        if lot.is_empty() {
            return Ok(());
        }
        // Look-ups go on from a message's own day to later ones, and ask these first once one of them has something of it.
        loop {
            if !self.shared.passed().contains(&number) {
                if !self.shut.contains(&number) {
                    break;
                }
                day::pass_over(&self.shared.place, number)?;
                self.shared.passed.write().unwrap_or_else(PoisonError::into_inner).insert(number);
            }
            number += 1;
        }
        let known = self.shared.days().get(&number).cloned();
        let day = match known {
            Some(day) => day,
            None => {
                let made = Arc::new(Day::make(&self.shared.place, number)?);
                self.shared.days.write().unwrap_or_else(PoisonError::into_inner).insert(number, made.clone());
                self.rest(number);
                made
            }
        };
        if day.append(lot)? {
            // The thread lives as long as this.
            let _ = self.folds.send(day);
        }
        Ok(())
    }

    /// Lets the days before this one rest, and fold.
    fn rest(&self, today: u32) {
        let days: Vec<(u32, Arc<Day>)> =
            self.shared.days().iter().map(|(number, day)| (*number, day.clone())).collect();
        for (number, day) in days {
            if number < today {
                // In the day after, many a message of it finishes yet.
                day.rest(number.saturating_add(1) < today);
            }
            // The thread lives as long as this.
            let _ = self.folds.send(day);
        }
    }

    /// The oldest day that is kept.
    fn oldest(&mut self) -> u32 {
        let now = Instant::now();
        let today = self.calendar.look(day_of((self.clock)()), now);
        if let Some(due) = self.calendar.due(self.written, now) {
            // Be it in vain: another start that does not know it only waits for longer.
            self.written = Some(due);
            if let Err(error) = calendar::write(&self.shared.place, due) {
                tracing::warn!(%error, "the store cannot write down which day it is");
            }
        }
        today.saturating_sub(self.shared.keep_days)
    }

    fn drop_old(&mut self) {
        let oldest = self.oldest();
        let shut = self.shut.first().is_some_and(|day| *day < oldest);
        if shut || self.shared.days().first_key_value().is_some_and(|(day, _)| *day < oldest) {
            self.shut = self.shut.split_off(&oldest);
            let mut days = self.shared.days.write().unwrap_or_else(PoisonError::into_inner);
            let kept = days.split_off(&oldest);
            *days = kept;
            drop(days);
            if let Err(error) = day::remove_before(&self.shared.place, oldest) {
                tracing::warn!(%error, "an old day of the store could not be dropped");
            }
        }
        let due = |former: &Former| former.is_over(oldest);
        if self.shared.former.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(due) {
            let mut slot = self.shared.former.write().unwrap_or_else(PoisonError::into_inner);
            let Some(mut former) = slot.take() else { return };
            if former.drop_before(oldest) {
                *slot = Some(former);
            } else if let Err(error) = former.remove() {
                tracing::warn!(%error, "the store's former layout cannot be removed");
            }
        }
    }
}
