//! Replays: the events of an app that happened between two times are told again, delivered or not, from the histories
//! of finished messages. A thread of its own per replay takes them in bounded pieces and puts them into the letter box
//! under new `webhook-id`s; the events' own ids stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::courier::Bag;
use super::letter::{Draft, Event};
use super::letters::Order;
use crate::clock::Wall;

/// Messages looked at in one piece.
const PIECE: usize = 500;
/// Orders that may wait for the letter box before the next piece.
const ORDERS: usize = 200;
/// Pause while the letter box or the quota is full.
const PAUSE: Duration = Duration::from_millis(100);

/// Where events come from: messages after an id, at most so many; each with its id and its events for the app.
pub(super) type Source = Box<dyn Fn(u64, usize) -> Vec<(u64, Vec<Event>)> + Send>;

/// One replay.
pub(super) struct Replay {
    pub(super) from: Wall,
    pub(super) to: Wall,
    messages: AtomicU64,
    events: AtomicU64,
    letters: AtomicU64,
    waits: AtomicBool,
    pub(super) done: AtomicBool,
}

/// How far a replay is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// RFC 3339, UTC.
    pub from: String,
    /// RFC 3339, UTC; not included.
    pub to: String,
    /// `running`; `waiting` while half of the quota is in use; `done`.
    pub state: &'static str,
    /// Messages looked at.
    pub messages: u64,
    /// Events told again.
    pub events: u64,
    /// Letters they made.
    pub letters: u64,
}

impl Replay {
    pub(super) fn new(from: Wall, to: Wall) -> Replay {
        let zero = || AtomicU64::new(0);
        let (waits, done) = (AtomicBool::new(false), AtomicBool::new(false));
        Replay { from, to, messages: zero(), events: zero(), letters: zero(), waits, done }
    }

    pub(super) fn status(&self) -> ReplayStatus {
        let state = match (self.done.load(Relaxed), self.waits.load(Relaxed)) {
            (true, _) => "done",
            (_, true) => "waiting",
            _ => "running",
        };
        ReplayStatus {
            from: self.from.to_string(),
            to: self.to.to_string(),
            state,
            messages: self.messages.load(Relaxed),
            events: self.events.load(Relaxed),
            letters: self.letters.load(Relaxed),
        }
    }

    /// Runs to its end, or until the letter box is closed.
    pub(super) fn run(&self, app: &Arc<str>, bag: &Bag, source: &Source) {
        let mut after = 0;
        let mut number = 0u64;
        let began = bag.clock.now().wall;
        while self.has_room(app, bag) {
            let messages = source(after, PIECE);
            let Some((last, _)) = messages.last() else { break };
            after = *last;
            self.messages.fetch_add(messages.len() as u64, Relaxed);
            let mut events = messages.into_iter().flat_map(|(_, events)| events).peekable();
            let settings = bag.tables.load().plan.callbacks.clone();
            while events.peek().is_some() {
                number += 1;
                // Its name is its own: a receiver that has seen the events before takes the letter all the same.
                let mut draft = Draft::new(0, Some(&format!("replay {began} {number} ")));
                while let Some(event) = events.next_if(|e| draft.fits(e, settings.batch_events, settings.batch_octets))
                {
                    self.events.fetch_add(1, Relaxed);
                    draft.add(&event);
                }
                self.letters.fetch_add(1, Relaxed);
                bag.letters.order(app, Order::Again(draft.done(bag.clock.now().wall)));
            }
        }
        self.done.store(true, Relaxed);
        tracing::info!(app = &**app, events = self.events.load(Relaxed), letters = number, "a replay has ended");
    }

    /// Waits until the letter box has caught up and the app has half of its quota left; false if the box is closed.
    fn has_room(&self, app: &Arc<str>, bag: &Bag) -> bool {
        loop {
            let quota = bag.tables.load().plan.callbacks.quota;
            let full = bag.letters.total(app).octets > quota / 2;
            self.waits.store(full, Relaxed);
            if bag.letters.is_closing() {
                return false;
            }
            if !full && bag.letters.backlog() < ORDERS {
                return true;
            }
            std::thread::park_timeout(PAUSE);
        }
    }
}
