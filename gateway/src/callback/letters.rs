//! The letter box: letters on disk, by app in the order of their due times, so that the next one due is the first key
//! of its app and memory holds nothing but sums; and dead letters beside them, by app in the order of their deaths.
//!
//! One thread writes. It takes orders in turn and answers those that someone waits for once they are synced; what a
//! crash takes from it was told as kept to nobody. A letter's body is written once: what moves, from one due time to
//! the next or to the dead and back, is its entry. An app's letters never have more octets than its quota: its oldest
//! dead letters go first, then the waiting ones that are due first, which are the oldest where an endpoint is down.

mod work;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::letter::{EventRef, Letter, Place};
use super::shelf::{Cursor, DeadPage, Shelf};
use crate::clock::Wall;
use crate::ids::{Ids, MessageId};
use crate::vital::Vital;
use work::{FIRST_DEAD, Work};

/// Syncs are at least this far apart: letters are written when nobody waits for them.
const GATHER: Duration = Duration::from_millis(50);
/// Pause after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Most orders in one round.
const ROUND: usize = 1_000;
/// How often old dead letters are looked for.
const UPKEEP: Duration = Duration::from_secs(600);

/// Where letters are and how much of them is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxSettings {
    /// The directory, made if absent, readable by its owner only.
    pub dir: PathBuf,
    /// Most octets of an app.
    pub quota: u64,
    /// How long dead letters are kept.
    pub keep_dead: Duration,
}

/// The letter box cannot be opened, not even anew.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", dir.display())]
pub struct BoxError {
    /// Its directory.
    pub dir: PathBuf,
    /// Why.
    pub reason: String,
}

/// What an app has on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Letters that wait.
    pub waiting: u64,
    /// Events in them.
    pub waiting_events: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events in them.
    pub dead_events: u64,
    /// Octets of both.
    pub octets: u64,
    /// Octets of those that wait.
    pub waiting_octets: u64,
}

/// A replay under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Underway {
    /// Events from then on,
    pub from: Wall,
    /// and before then, are told again.
    pub to: Wall,
    /// Messages made before then are looked at.
    pub reached: Wall,
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of this number.
    One(MessageId),
    /// All that died before then.
    All(Wall),
}

/// What the box is to do.
#[derive(Debug)]
pub enum Order {
    /// Keep a letter until it is due; [`Answer::Kept`] once it is synced.
    Keep(Letter, Wall),
    /// Keep a letter with events that were told before, due now; [`Answer::Waits`].
    Again(Letter),
    /// Keep a letter among the dead; [`Answer::Kept`] once it is synced.
    KeepDead(Letter),
    /// Bring letters due by then, at most so many; [`Answer::Fetched`].
    Fetch(Wall, usize),
    /// A letter that was fetched goes on waiting: its first call is over, it is due again then.
    PutOff(Letter, Wall),
    /// A letter that was fetched has died.
    Bury(Letter),
    /// A letter that was fetched is delivered.
    Delivered(Letter),
    /// Letters that were fetched are not called after all.
    Return(Vec<Place>),
    /// Letters that began to wait before then are dead, for this reason; in the order of their due times, until the
    /// first one that did not.
    BuryOverdue(Wall, &'static str),
    /// Dead letters wait again, due now; [`Answer::Waits`].
    Resend(Which),
    /// Remember that the endpoint with this mark is gone; `None`: no more.
    Gone(Option<[u8; 32]>),
    /// Remember how far a replay is; `None`: it has ended.
    Replaying(Option<Underway>),
    /// Dead letters that were kept long enough go.
    Purge,
    /// Another quota (octets) and time for dead letters, for all apps.
    Limits(u64, Duration),
}

/// What the box has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// These events are in a letter on disk.
    Kept(Arc<str>, Vec<EventRef>),
    /// These events found no room and were told to nobody.
    NoRoom(Arc<str>, Vec<EventRef>),
    /// So many events that were kept had to make room.
    Dropped(Arc<str>, u64),
    /// So many events died on disk.
    Died(Arc<str>, u64),
    /// The letters asked for, and when the next one is due.
    Fetched(Arc<str>, Vec<Letter>, Option<Wall>),
    /// Letters wait that were dead, or told anew; due then.
    Waits(Arc<str>, Wall),
}

/// An order, and whose letters it concerns.
type Given = (Arc<str>, Order);

/// What was found on disk at start.
#[derive(Debug, Default)]
pub struct Found {
    /// Apps whose endpoint is gone, and which one that was.
    pub gone: HashMap<String, [u8; 32]>,
    /// Events of all letters: a crash may have come between a letter and the journal's note of it.
    pub events: HashSet<(u64, u32)>,
}

/// The letter box; clones are handles to the same one.
#[derive(Clone)]
pub struct Letters {
    thread: Arc<Thread>,
}

struct Thread {
    shared: Arc<Shared>,
    orders: Mutex<Option<mpsc::Sender<Given>>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    dir: PathBuf,
    /// Replays that the process before this one did not end.
    cut_off: BTreeMap<Arc<str>, Underway>,
    totals: Mutex<BTreeMap<Arc<str>, Totals>>,
    /// Orders given and not yet done.
    backlog: AtomicUsize,
    closing: AtomicBool,
    /// Rounds whose sync is still to fail.
    #[cfg(test)]
    syncs_that_fail: AtomicUsize,
    /// For those who read; `None` while it could not be opened again after a failure.
    shelf: Mutex<Option<Shelf>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Letters {
    /// Opens or makes the box; one that is damaged is moved aside (`<dir>.damaged`) and begun anew. `clock` tells the
    /// wall time; `answers` is called by the box's thread and must not block.
    ///
    /// # Errors
    /// The directory or its file system refuses.
    pub fn open(
        settings: &BoxSettings,
        clock: impl Fn() -> Wall + Send + 'static,
        answers: impl FnMut(Vec<Answer>) + Send + 'static,
    ) -> Result<(Letters, Found), BoxError> {
        let failed = |reason: String| BoxError { dir: settings.dir.clone(), reason };
        let shelf = Shelf::open(&settings.dir).map_err(failed)?;
        let census = shelf.census().map_err(failed)?;
        let found = Found { gone: census.gone, events: census.events };
        let shared = Arc::new(Shared {
            dir: settings.dir.clone(),
            cut_off: census.replays,
            totals: Mutex::new(census.totals),
            backlog: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            #[cfg(test)]
            syncs_that_fail: AtomicUsize::new(0),
            shelf: Mutex::new(Some(shelf.clone())),
        });
        let (sender, orders) = mpsc::channel();
        let keeper = Keeper {
            shared: shared.clone(),
            shelf: Some(shelf),
            out: HashSet::new(),
            fronts: HashMap::new(),
            first_dead: HashMap::new(),
            ids: Ids::above(census.highest),
            quota: settings.quota,
            keep_dead: settings.keep_dead,
            clock: Box::new(clock),
            answers: Box::new(answers),
            said: Vec::new(),
            more: Vec::new(),
        };
        let run = move || {
            let _vital = Vital("the letter box");
            keeper.run(&orders);
        };
        let handle = Builder::new().name("letters".into()).spawn(run).map_err(|error| failed(error.to_string()))?;
        let thread = Thread { shared, orders: Mutex::new(Some(sender)), handle: Mutex::new(Some(handle)) };
        Ok((Letters { thread: Arc::new(thread) }, found))
    }

    /// Gives an order; never blocks. Orders are carried out in turn.
    pub fn order(&self, app: &Arc<str>, order: Order) {
        self.thread.shared.backlog.fetch_add(1, Relaxed);
        if let Some(orders) = &*lock(&self.thread.orders) {
            // The thread ends only after this end of the channel.
            let _ = orders.send((app.clone(), order));
        }
    }

    /// Orders not yet carried out.
    pub fn backlog(&self) -> usize {
        self.thread.shared.backlog.load(Relaxed)
    }

    /// What every app has on disk; apps that have nothing may be missing.
    pub fn totals(&self) -> BTreeMap<Arc<str>, Totals> {
        lock(&self.thread.shared.totals).clone()
    }

    /// What an app has on disk.
    pub fn total(&self, app: &str) -> Totals {
        lock(&self.thread.shared.totals).get(app).copied().unwrap_or_default()
    }

    /// Replays by app that were under way when the process before this one ended.
    pub fn cut_off(&self) -> &BTreeMap<Arc<str>, Underway> {
        &self.thread.shared.cut_off
    }

    /// Since when the letter of an app that is due next has waited. Reads the disk.
    pub fn oldest(&self, app: &str) -> Option<Wall> {
        let shelf = lock(&self.thread.shared.shelf).clone()?;
        shelf.first_waiting(app).ok()?.map(|(_, entry)| entry.since())
    }

    /// An app's dead letters after the cursor, oldest first. Reads the disk: not for a thread that must not wait.
    ///
    /// # Errors
    /// What the disk says.
    pub fn dead(&self, app: &str, after: Option<Cursor>, most: usize) -> Result<DeadPage, String> {
        let shelf = lock(&self.thread.shared.shelf).clone().ok_or("the letter box is being opened again")?;
        shelf.dead_page(app, after, most)
    }

    /// Whether an app has a dead letter of that number. Reads the disk.
    pub fn has_dead(&self, app: &str, number: MessageId) -> bool {
        let shelf = lock(&self.thread.shared.shelf).clone();
        shelf.is_some_and(|shelf| shelf.dead(app, FIRST_DEAD).flatten().any(|(at, _)| at.number == number))
    }

    /// Whether it is about to end.
    pub fn is_closing(&self) -> bool {
        self.thread.shared.closing.load(Relaxed)
    }

    /// Carries out what was ordered and ends the thread; gives up where the disk refuses.
    pub fn close(&self) {
        self.thread.end();
    }
}

impl Thread {
    fn end(&self) {
        drop(lock(&self.orders).take());
        let handle = lock(&self.handle).take();
        self.shared.closing.store(true, Relaxed);
        if let Some(handle) = &handle {
            handle.thread().unpark();
        }
        let foreign = handle.filter(|handle| handle.thread().id() != std::thread::current().id());
        if foreign.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the letter box's thread panicked");
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread owns.
struct Keeper {
    shared: Arc<Shared>,
    shelf: Option<Shelf>,
    /// Letters that were fetched and not yet spoken of again.
    out: HashSet<MessageId>,
    /// Where each app's letters begin at the earliest, so that what was removed before need not be passed again.
    fronts: HashMap<Arc<str>, Place>,
    /// The same of its dead ones.
    first_dead: HashMap<Arc<str>, Cursor>,
    /// Numbers for letters.
    ids: Ids,
    quota: u64,
    keep_dead: Duration,
    clock: Box<dyn Fn() -> Wall + Send>,
    answers: Box<dyn FnMut(Vec<Answer>) + Send>,
    /// Answers of this round, to be given once it is on disk.
    said: Vec<Answer>,
    /// What is left of orders that are carried out in pieces.
    more: Vec<Given>,
}

impl Keeper {
    fn run(mut self, orders: &mpsc::Receiver<Given>) {
        let (mut synced, mut upkept) = (Instant::now(), None::<Instant>);
        loop {
            if upkept.is_none_or(|at| at.elapsed() >= UPKEEP) {
                upkept = Some(Instant::now());
                self.upkeep();
            }
            let Some((mut round, taken)) = self.gather(orders, synced) else { return };
            self.number_all(&mut round);
            let sync = round.iter().any(|(_, order)| order.needs_sync());
            if !self.carry_out_or_give_up(&round, sync) {
                return;
            }
            if sync {
                synced = Instant::now();
            }
            self.shared.backlog.fetch_sub(taken, Relaxed);
            let said = std::mem::take(&mut self.said);
            if !said.is_empty() {
                (self.answers)(said);
            }
        }
    }

    /// The next orders, and how many of them are new; `None` at the end. Where some need a sync and the last one was
    /// just now, others may join.
    fn gather(&mut self, orders: &mpsc::Receiver<Given>, synced: Instant) -> Option<(Vec<Given>, usize)> {
        let mut round = std::mem::take(&mut self.more);
        let old = round.len();
        if round.is_empty() {
            match orders.recv_timeout(UPKEEP) {
                Ok(first) => round.push(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        round.extend(orders.try_iter().take(ROUND));
        while round.iter().any(|(_, order)| order.needs_sync())
            && let Some(left) = GATHER.checked_sub(synced.elapsed())
            && round.len() < ROUND
            && let Ok(next) = orders.recv_timeout(left)
        {
            round.push(next);
        }
        let taken = round.len() - old;
        Some((round, taken))
    }

    /// Numbers are given once, so that a round that is carried out again writes the same keys.
    fn number_all(&self, round: &mut [Given]) {
        let now = (self.clock)();
        for (_, order) in round {
            let (letter, due) = match order {
                Order::Keep(letter, due) => (letter, *due),
                Order::KeepDead(letter) | Order::Again(letter) => (letter, now),
                _ => continue,
            };
            letter.place = Some(Place { due, number: self.ids.next(now) });
        }
    }

    /// Carries a round out, again after every failure, until it works; false if the box is closed before it does.
    /// Nobody was told that anything of it is on disk.
    fn carry_out_or_give_up(&mut self, round: &[Given], sync: bool) -> bool {
        let mut mended = false;
        let out = self.out.clone();
        loop {
            match self.carry_out(round, sync) {
                Ok(()) => {
                    if mended {
                        tracing::info!("the letter box can write again");
                    }
                    return true;
                }
                Err(error) => tracing::error!(error, "the letter box cannot write; opening it again"),
            }
            (mended, self.said, self.more) = (true, Vec::new(), Vec::new());
            // Nobody has got what this round fetched, and nothing it spoke of is settled.
            self.out.clone_from(&out);
            // After a failed write the engine takes no more until it is opened again.
            (self.shelf, *lock(&self.shared.shelf)) = (None, None);
            std::thread::park_timeout(PAUSE);
            if self.shared.closing.load(Relaxed) {
                return false;
            }
            match Shelf::open(&self.shared.dir).and_then(|shelf| Ok((shelf.census()?, shelf))) {
                Ok((census, shelf)) => {
                    // Sums had run ahead of what was written.
                    *lock(&self.shared.totals) = census.totals;
                    self.fronts.clear();
                    self.first_dead.clear();
                    (self.shelf, *lock(&self.shared.shelf)) = (Some(shelf.clone()), Some(shelf));
                }
                Err(reason) => tracing::error!(reason, "the letter box cannot be opened again"),
            }
        }
    }

    fn carry_out(&mut self, round: &[Given], sync: bool) -> Result<(), String> {
        let shelf = self.shelf.clone().ok_or("it is not open")?;
        let mut work = Work { changes: shelf.changes(), shelf, now: (self.clock)(), keeper: self };
        for (app, order) in round {
            work.carry_out(app, order)?;
        }
        work.changes.flush()?;
        #[cfg(test)]
        if work.keeper.shared.syncs_that_fail.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err("a test has it fail".into());
        }
        if sync { work.shelf.sync() } else { Ok(()) }
    }

    /// Looks for dead letters that are too old, and for what is over the quota.
    fn upkeep(&mut self) {
        self.more.push(("".into(), Order::Limits(self.quota, self.keep_dead)));
        let apps: Vec<Arc<str>> =
            lock(&self.shared.totals).iter().filter(|(_, t)| t.dead > 0).map(|(a, _)| a.clone()).collect();
        self.more.extend(apps.into_iter().map(|app| (app, Order::Purge)));
    }
}

impl Order {
    fn needs_sync(&self) -> bool {
        matches!(self, Order::Keep(..) | Order::KeepDead(_) | Order::Gone(Some(_)) | Order::Resend(_))
    }
}

#[cfg(test)]
mod tests;
