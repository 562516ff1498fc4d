//! Replays: the events of an app that happened between two times are told again, delivered or not, from the histories
//! of finished messages. A thread of its own per replay takes them in bounded pieces and puts them into the letter box
//! under new `webhook-id`s; the events' own ids stay. A replay ends with the process; the box remembers how far it came.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::courier::lock;
use super::letter::{Draft, Event};
use super::letters::{Letters, Order, Underway};
use super::settings::Settings;
use crate::clock::Wall;
use crate::ids::MessageId;

/// Messages looked at in one piece.
const PIECE: usize = 500;
/// Orders that may wait for the letter box before the next piece.
const ORDERS: usize = 200;
/// Pause while the letter box or the quota is full.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a replay waits for room while nothing of what waits goes out.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Where events come from: messages after an id, at most so many; each with its id and its events for the app.
pub(super) type Source = Box<dyn Fn(u64, usize) -> Vec<(u64, Vec<Event>)> + Send>;

/// Where events go, and by what rules.
pub(super) struct Sink<'s> {
    pub(super) letters: &'s Letters,
    pub(super) settings: &'s dyn Fn() -> Settings,
    pub(super) now: &'s dyn Fn() -> Wall,
}

/// One replay.
pub(super) struct Replay {
    app: Arc<str>,
    from: Wall,
    to: Wall,
    patience: Duration,
    messages: AtomicU64,
    events: AtomicU64,
    letters: AtomicU64,
    at: Mutex<At>,
}

#[derive(Clone, Copy)]
struct At {
    state: State,
    /// Messages made before then are looked at.
    reached: Wall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Waiting,
    Done,
    Cancelled,
    NoRoom,
    CutOff,
}

impl State {
    fn is_over(self) -> bool {
        !matches!(self, State::Running | State::Waiting)
    }
}

/// How far a replay is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// RFC 3339, UTC.
    pub from: String,
    /// RFC 3339, UTC; not included.
    pub to: String,
    /// `running`; `waiting` while letters that wait take half of the quota; `done`; `cancelled`; `stopped: no room`
    /// after ten minutes in which none of these went out; `cut off` by the end of the process before this one.
    pub state: &'static str,
    /// RFC 3339, UTC: when the message was made that was looked at last; an order for the rest begins here.
    pub reached: String,
    /// Messages looked at.
    pub messages: u64,
    /// Events told again.
    pub events: u64,
    /// Letters they made.
    pub letters: u64,
}

impl Replay {
    /// One that gives up after `patience` without room.
    pub(super) fn new(app: &Arc<str>, from: Wall, to: Wall, patience: Duration) -> Replay {
        let zero = || AtomicU64::new(0);
        let at = Mutex::new(At { state: State::Running, reached: from });
        Replay { app: app.clone(), from, to, patience, messages: zero(), events: zero(), letters: zero(), at }
    }

    /// One that ended with the process before this one.
    pub(super) fn cut_off(app: &Arc<str>, Underway { from, to, reached }: Underway) -> Replay {
        let at = Mutex::new(At { state: State::CutOff, reached });
        Replay { at, ..Replay::new(app, from, to, Duration::ZERO) }
    }

    pub(super) fn status(&self) -> ReplayStatus {
        let At { state, reached } = *lock(&self.at);
        ReplayStatus {
            from: self.from.to_string(),
            to: self.to.to_string(),
            state: match state {
                State::Running => "running",
                State::Waiting => "waiting",
                State::Done => "done",
                State::Cancelled => "cancelled",
                State::NoRoom => "stopped: no room",
                State::CutOff => "cut off",
            },
            reached: reached.to_string(),
            messages: self.messages.load(Relaxed),
            events: self.events.load(Relaxed),
            letters: self.letters.load(Relaxed),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.at).state.is_over()
    }

    /// Tells nothing further, but for the piece at hand; one that was cut off is forgotten. False if it was over.
    pub(super) fn cancel(&self, letters: &Letters) -> bool {
        self.becomes(State::Cancelled, letters)
    }

    /// False if it is over: that is for good.
    fn becomes(&self, state: State, letters: &Letters) -> bool {
        let mut at = lock(&self.at);
        let open = !at.state.is_over() || at.state == State::CutOff;
        if open {
            at.state = state;
        }
        // In the lock: after its end it gives no order that the next replay of the app would suffer from.
        if open && state.is_over() {
            letters.order(&self.app, Order::Replaying(None));
        }
        open
    }

    fn reaches(&self, reached: Wall, letters: &Letters) {
        let mut at = lock(&self.at);
        at.reached = reached;
        if !at.state.is_over() {
            letters.order(&self.app, Order::Replaying(Some(Underway { from: self.from, to: self.to, reached })));
        }
    }

    /// Runs to its end, or until it is cancelled, finds no room or the letter box is closed.
    pub(super) fn run(&self, sink: &Sink<'_>, source: &Source) {
        self.reaches(self.from, sink.letters);
        let mut after = 0;
        let mut number = 0u64;
        let began = (sink.now)();
        while self.has_room(sink) {
            let messages = source(after, PIECE);
            let Some((last, _)) = messages.last() else {
                self.becomes(State::Done, sink.letters);
                break;
            };
            after = *last;
            self.messages.fetch_add(messages.len() as u64, Relaxed);
            let mut events = messages.into_iter().flat_map(|(_, events)| events).peekable();
            let settings = (sink.settings)();
            while events.peek().is_some() {
                number += 1;
                // Its name is its own: a receiver that has seen the events before takes the letter all the same.
                let mut draft = Draft::new(0, 0, Some(&format!("replay {began} {number} ")));
                while let Some(Event { which, json }) =
                    events.next_if(|e| draft.fits(e.json.len(), settings.batch_events, settings.batch_octets))
                {
                    self.events.fetch_add(1, Relaxed);
                    draft.add(which, &json);
                }
                self.letters.fetch_add(1, Relaxed);
                sink.letters.order(&self.app, Order::Again(draft.done((sink.now)())));
            }
            self.reaches(self.from.max(MessageId(after).wall()), sink.letters);
        }
        let ReplayStatus { state, reached, events, letters, .. } = self.status();
        if self.is_over() {
            tracing::info!(app = &*self.app, state, reached, events, letters, "a replay has ended");
        } else {
            tracing::warn!(app = &*self.app, reached, "a replay is cut off; order the rest again from what it reached");
        }
    }

    /// Waits until the letter box has caught up and what waits leaves half of the app's quota, for dead letters make
    /// room; false if the replay is over or the box is closed.
    fn has_room(&self, sink: &Sink<'_>) -> bool {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            let waiting = sink.letters.total(&self.app).waiting_octets;
            let full = waiting > (sink.settings)().quota / 2;
            if sink.letters.is_closing()
                || !self.becomes(if full { State::Waiting } else { State::Running }, sink.letters)
            {
                return false;
            }
            if !full && sink.letters.backlog() < ORDERS {
                return true;
            }
            if waiting < least {
                (least, since) = (waiting, Instant::now());
            } else if since.elapsed() >= self.patience {
                self.becomes(State::NoRoom, sink.letters);
                return false;
            }
            std::thread::park_timeout(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::EventRef;
    use super::super::letters::{Answer, BoxSettings, Totals};
    use super::*;

    const NOW: Wall = Wall(1_800_000_000_000);

    struct World {
        letters: Letters,
        quota: u64,
        dir: tempfile::TempDir,
    }

    fn until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline, "not in time");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn event(n: u64) -> Event {
        Event::render(EventRef { id: MessageId(n), seq: 1, at: NOW }, "message.delivered", &serde_json::json!({}))
            .expect("JSON")
    }

    fn letter(octets: usize) -> super::super::letter::Letter {
        let mut draft = Draft::new(0, 0, None);
        let (which, data) = (EventRef { id: MessageId(1), seq: 1, at: NOW }, "x".repeat(octets));
        draft.add(which, &Event::render(which, "message.delivered", &data).expect("JSON").json);
        draft.done(NOW)
    }

    impl World {
        fn new(quota: u64) -> World {
            World::open(tempfile::tempdir().unwrap(), quota)
        }

        fn open(dir: tempfile::TempDir, quota: u64) -> World {
            let keep_dead = Duration::from_secs(3_600);
            let settings = BoxSettings { dir: dir.path().join("callbacks"), quota, keep_dead };
            let (letters, _) = Letters::open(&settings, || NOW, |_: Vec<Answer>| {}).unwrap();
            World { letters, quota, dir }
        }

        fn shows(&self, what: impl Fn(Totals) -> bool) {
            until(|| what(self.letters.total("shop")));
        }

        fn run(&self, replay: &Replay) {
            let quota = self.quota;
            let settings = || Settings { quota, ..Settings::default() };
            let source: Source =
                Box::new(|after, _| if after < 3 { vec![(after + 1, vec![event(after + 1)])] } else { vec![] });
            replay.run(&Sink { letters: &self.letters, settings: &settings, now: &|| NOW }, &source);
        }
    }

    #[test]
    fn dead_letters_do_not_keep_a_replay_waiting() {
        let world = World::new(1 << 20);
        world.letters.order(&"shop".into(), Order::KeepDead(letter(600_000)));
        world.shows(|totals| totals.dead == 1);
        let replay = Replay::new(&"shop".into(), Wall(0), NOW, Duration::ZERO);
        world.run(&replay);
        let status = replay.status();
        assert_eq!((status.state, status.events, status.letters), ("done", 3, 3));
        world.shows(|totals| (totals.waiting, totals.dead) == (3, 1));
    }

    #[test]
    fn a_replay_without_room_ends_and_so_does_one_that_is_cancelled() {
        let world = World::new(1 << 20);
        world.letters.order(&"shop".into(), Order::Keep(letter(600_000), NOW));
        world.shows(|totals| totals.waiting == 1);
        let replay = Replay::new(&"shop".into(), Wall(0), NOW, Duration::from_millis(300));
        world.run(&replay);
        assert_eq!((replay.status().state, replay.status().events), ("stopped: no room", 0));
        assert!(replay.is_over() && !replay.cancel(&world.letters));
        let replay = Replay::new(&"shop".into(), Wall(0), NOW, PATIENCE);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| world.run(&replay));
            until(|| replay.status().state == "waiting");
            assert!(replay.cancel(&world.letters));
            running.join().unwrap();
        });
        assert_eq!((replay.status().state, replay.status().events), ("cancelled", 0));
    }

    #[test]
    fn a_replay_that_the_process_outlived_not_is_known_at_the_next_start() {
        let world = World::new(1 << 20);
        let settings = Settings::default;
        let ends = world.letters.clone();
        let source: Source = Box::new(move |after, _| {
            if after > 0 {
                ends.close();
            }
            vec![(1 << 50, vec![event(1)])]
        });
        let replay = Replay::new(&"shop".into(), Wall(5), NOW, PATIENCE);
        replay.run(&Sink { letters: &world.letters, settings: &settings, now: &|| NOW }, &source);
        assert!(!replay.is_over());
        let World { letters, dir, quota } = world;
        drop((letters, source));
        let world = World::open(dir, quota);
        let reached = MessageId(1 << 50).wall();
        let known = world.letters.cut_off().get("shop").copied();
        assert_eq!(known, Some(Underway { from: Wall(5), to: NOW, reached }));
        let replay = Replay::cut_off(&"shop".into(), known.unwrap());
        assert_eq!((replay.status().state, replay.is_over()), ("cut off", true));
        // Forgotten once cancelled, or once another one has ended.
        assert!(replay.cancel(&world.letters));
        let World { letters, dir, quota } = world;
        drop(letters);
        assert!(World::open(dir, quota).letters.cut_off().is_empty());
    }
}
