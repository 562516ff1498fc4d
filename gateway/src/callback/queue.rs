//! One app's queue: what goes to its endpoint now, what is written down, what is fetched back, when the endpoint rests.
//! No clock, no I/O, no randomness: time and jitter are arguments. LIFECYCLE.md has the states of an event, a letter
//! and an endpoint.
//!
//! Memory first: a fresh event goes out at once, or with company that came while a call was under way, and the disk
//! never hears of it. What does not go at once is written down as letters ([`Step::Keep`]), and from then on memory
//! knows no more of them than when the next is due.

mod lane;

use std::collections::VecDeque;
use std::time::Duration;

use lane::Lane;

use super::letter::{Draft, EventRef, Letter, Place};
use super::settings::Settings;
use crate::clock::{Moment, Time, Wall};

/// Most letters fetched from disk ahead of their calls.
pub const LOOK_AHEAD: usize = 16;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call the endpoint with it; the end comes through [`Queue::answered`].
    Call(Letter),
    /// Write it down as due then; [`Queue::settled`] once that is durable.
    Keep(Letter, Wall),
    /// Write it down, or move it, among the dead; a fresh one is [`Queue::settled`] once that is durable.
    Bury(Letter),
    /// Bring so many letters that are due from disk, by [`Queue::fetched`].
    Fetch(usize),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// 2xx.
    Taken,
    /// Anything else: how, in words, and the wait the endpoint asked for.
    Failed(String, Option<Duration>),
    /// 410: the endpoint wants no calls any more.
    Gone,
}

/// What becomes of a letter after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The endpoint has it.
    Delivered,
    /// It is called again then, until then on disk.
    Again(Wall),
    /// It is dead.
    Dead,
}

/// What follows from a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The letter, with one more try.
    pub letter: Letter,
    /// What becomes of it.
    pub fate: Fate,
    /// The circuit opened with this call.
    pub tripped: bool,
    /// The endpoint is disabled from this call on.
    pub gone: bool,
    /// Letters on disk that began to wait before then are dead with this one.
    pub overdue: Option<Wall>,
}

/// Whether an endpoint is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Ok,
    /// Only a trial now and then.
    Resting,
    /// Not at all, since it answered 410.
    Disabled,
}

/// What waits on disk, as far as memory knows.
#[derive(Debug, Default)]
struct Disk {
    /// When the next letter is due.
    due: Option<Wall>,
    /// A fetch is under way.
    fetching: bool,
    /// The earliest due time among letters that came after it was asked for.
    meanwhile: Option<Wall>,
}

/// The queue of one app.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    /// Events not yet in a letter: those that go before the others, and the others.
    first: Lane,
    others: Lane,
    /// Letters from disk, due, waiting for their call.
    loaded: VecDeque<Letter>,
    disk: Disk,
    /// Calls under way, and those among them whose letter is on disk.
    calls: usize,
    kept_calls: usize,
    /// Events that only memory (and the journal) has: fresh, under way for the first time, or being written down.
    open: usize,
    failures: u32,
    /// No call before this time, then one at a time; set while the circuit is open.
    rests_until: Option<Time>,
    /// No call before this time: the endpoint asked for it, whatever calls begun earlier come to.
    asked_until: Option<Time>,
    disabled: bool,
    /// When the endpoint last took something.
    taken: Time,
}

fn earliest(one: Option<Wall>, other: Option<Wall>) -> Option<Wall> {
    [one, other].into_iter().flatten().min()
}

impl Queue {
    /// An empty queue. `waiting`: letters of it may be on disk.
    pub fn new(settings: Settings, waiting: bool) -> Self {
        Queue {
            settings,
            first: Lane::default(),
            others: Lane::default(),
            loaded: VecDeque::new(),
            disk: Disk { due: waiting.then_some(Wall(0)), ..Disk::default() },
            calls: 0,
            kept_calls: 0,
            open: 0,
            failures: 0,
            rests_until: None,
            asked_until: None,
            disabled: false,
            taken: Time(0),
        }
    }

    /// Takes other settings.
    pub fn configure(&mut self, settings: &Settings) {
        self.settings = settings.clone();
    }

    /// Adds an event. Never refuses one: whoever has many looks at [`Queue::room`] first.
    pub fn push(&mut self, now: Moment, which: EventRef, json: &[u8]) {
        self.others.push(now, which, json);
        self.open += 1;
    }

    /// The same for an event of the first tier: no mass of others stands before it, and while any other is there, it is
    /// not what is written down for want of room.
    pub fn push_first(&mut self, now: Moment, which: EventRef, json: &[u8]) {
        self.first.push(now, which, json);
        self.open += 1;
    }

    /// How many more events memory should take.
    pub fn room(&self) -> usize {
        self.settings.most_events.saturating_sub(self.open)
    }

    /// Events that only memory and the journal have.
    pub fn open(&self) -> usize {
        self.open
    }

    /// When the oldest event that is in no letter yet came.
    pub fn oldest(&self) -> Option<Wall> {
        [self.first.since(), self.others.since()].into_iter().flatten().map(|since| since.wall).min()
    }

    /// Nothing waits in memory and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.open == 0 && self.loaded.is_empty() && self.calls == 0 && !self.disk.fetching
    }

    /// Whether the endpoint is called.
    pub fn state(&self) -> State {
        match self.rests_until {
            _ if self.disabled => State::Disabled,
            Some(_) => State::Resting,
            None => State::Ok,
        }
    }

    /// The endpoint is not to be called until [`Queue::resume`].
    pub fn disable(&mut self) {
        self.disabled = true;
    }

    /// The endpoint is called as if nothing had been.
    pub fn resume(&mut self) {
        (self.disabled, self.failures, self.rests_until, self.asked_until) = (false, 0, None, None);
    }

    /// What to do now; to be asked until there is nothing.
    pub fn next(&mut self, now: Moment) -> Option<Step> {
        if self.disabled {
            return self.bury(now);
        }
        if self.may_call(now.time) {
            if self.kept_calls < self.kept_limit()
                && let Some(letter) = self.loaded.pop_front()
            {
                (self.calls, self.kept_calls) = (self.calls + 1, self.kept_calls + 1);
                return Some(Step::Call(letter));
            }
            if self.goes(now.time) {
                self.calls += 1;
                return Some(Step::Call(self.form()));
            }
        }
        if self.spills(now.time) {
            let letter = if self.others.is_empty() { self.form() } else { self.form_of_others() };
            self.waits(now.wall);
            return Some(Step::Keep(letter, now.wall));
        }
        let fetch = !self.disk.fetching
            && self.wanted() > 0
            && self.disk.due.is_some_and(|due| due <= now.wall)
            && self.rests_until.is_none_or(|until| until <= now.time);
        fetch.then(|| {
            self.disk = Disk { due: None, fetching: true, meanwhile: None };
            Step::Fetch(self.wanted())
        })
    }

    /// When [`Queue::next`] may have something it has not now, without a further event, answer or letter.
    pub fn deadline(&self, now: Moment) -> Option<Time> {
        let first = self.since();
        let spill = first.map(|since| self.spill_time(since));
        if self.disabled {
            return spill;
        }
        let fetch = self.disk.due.filter(|_| !self.disk.fetching && self.wanted() > 0).map(|due| now.deadline(due));
        let free = self.calls < self.settings.in_flight && !self.on_trial();
        let fresh = first.filter(|_| free).map(|since| since.after(self.settings.linger));
        let loaded = (free && !self.loaded.is_empty() && self.rests_until.is_some()).then_some(now.time);
        let call = [fresh, fetch, loaded].into_iter().flatten().min();
        let call = call.map(|at| self.rests_until.map_or(at, |until| until.max(at)));
        [spill, call].into_iter().flatten().min()
    }

    /// Takes the end of a call. `jitter` in 0..1 spreads the next one by a fifth either way.
    pub fn answered(&mut self, now: Moment, mut letter: Letter, called: Called, jitter: f64) -> Ended {
        let kept = letter.place.is_some();
        self.calls = self.calls.saturating_sub(1);
        self.kept_calls = self.kept_calls.saturating_sub(usize::from(kept));
        letter.tries = letter.tries.saturating_add(1);
        let (failure, asked) = match called {
            Called::Taken => {
                self.asked_until = self.asked_until.filter(|until| now.time < *until);
                (self.failures, self.rests_until, self.taken) = (0, self.asked_until, now.time);
                self.open -= if kept { 0 } else { letter.events.len().min(self.open) };
                return Ended { letter, fate: Fate::Delivered, tripped: false, gone: false, overdue: None };
            }
            Called::Gone => {
                letter.failure = "answered 410 Gone".into();
                let gone = !std::mem::replace(&mut self.disabled, true);
                return Ended { letter, fate: Fate::Dead, tripped: false, gone, overdue: None };
            }
            Called::Failed(failure, asked) => (failure, asked.unwrap_or_default()),
        };
        letter.failure = failure;
        let tripped = self.failed(now.time, letter.tries == 1, asked);
        let Settings { schedule, give_up_after, .. } = &self.settings;
        let step = schedule.get(letter.tries as usize - 1).or(schedule.last()).copied().unwrap_or_default();
        let last = wall_after(letter.since, *give_up_after);
        // However long a wait the endpoint asks for, it gets a last call before the letter is given up.
        let asked_due = wall_after(now.wall, asked).min(last);
        let due = wall_after(now.wall, step.mul_f64(0.8 + 0.4 * jitter)).max(asked_due);
        let overdue = self.rests_until.map(|_| Wall(now.wall.0.saturating_sub(millis(*give_up_after))));
        let dead = self.disabled || due > last;
        if !dead {
            self.waits(due);
        }
        Ended { letter, fate: if dead { Fate::Dead } else { Fate::Again(due) }, tripped, gone: false, overdue }
    }

    /// Counts a failure; whether it opens the circuit. A letter that fails again by itself, among others that pass,
    /// says nothing of the endpoint.
    fn failed(&mut self, now: Time, first: bool, asked: Duration) -> bool {
        if first || self.failures > 0 {
            self.failures = self.failures.saturating_add(1);
        }
        let mut rest = (!asked.is_zero()).then(|| now.after(asked));
        self.asked_until = self.asked_until.max(rest);
        let mut tripped = false;
        if self.failures >= self.settings.trip_after {
            tripped = self.rests_until.is_none();
            rest = rest.max(Some(now.after(self.settings.trial_every)));
        }
        self.rests_until = self.rests_until.max(rest);
        tripped
    }

    /// So many events of letters handed out by [`Step::Keep`] or [`Step::Bury`], or after a failed first call, are on
    /// disk (or are given up) and no more memory's.
    pub fn settled(&mut self, events: usize) {
        self.open -= events.min(self.open);
    }

    /// What [`Step::Fetch`] asked for, and when the next letter beyond is due.
    pub fn fetched(&mut self, letters: Vec<Letter>, next: Option<Wall>) {
        self.loaded.extend(letters);
        let due = earliest(next, self.disk.meanwhile.take());
        self.disk = Disk { due, ..Disk::default() };
    }

    /// A letter waits on disk, due then.
    pub fn waits(&mut self, due: Wall) {
        self.disk.due = earliest(self.disk.due, Some(due));
        self.disk.meanwhile = earliest(self.disk.meanwhile, Some(due));
    }

    /// Everything in memory that is not under way, for an endpoint that is gone: events that nobody will be told, and
    /// letters that go on waiting on disk.
    pub fn clear(&mut self) -> (Vec<EventRef>, Vec<Place>) {
        let events: Vec<EventRef> = self.first.drain().chain(self.others.drain()).collect();
        self.settled(events.len());
        (events, self.unload())
    }

    /// Letters in memory that go on waiting on disk.
    pub fn unload(&mut self) -> Vec<Place> {
        let places: Vec<Place> = self.loaded.drain(..).filter_map(|letter| letter.place).collect();
        if let Some(due) = places.iter().map(|place| place.due).min() {
            self.waits(due);
        }
        places
    }

    /// A letter to be written down as due now, as of [`Step::Keep`], while nobody knows the endpoint; to be asked until
    /// there is none.
    pub fn put_away(&mut self, now: Moment) -> Option<Letter> {
        let full = self.fresh() > 0 && self.is_full();
        (full || self.spills(now.time)).then(|| {
            self.waits(now.wall);
            self.form()
        })
    }

    /// When [`Queue::put_away`] may have something it has not now, without a further event.
    pub fn put_away_by(&self) -> Option<Time> {
        self.since().map(|since| self.spill_time(since))
    }

    /// Events not yet in a letter.
    fn fresh(&self) -> usize {
        self.first.len() + self.others.len()
    }

    fn fresh_octets(&self) -> usize {
        self.first.octets() + self.others.octets()
    }

    /// When the event came that is the next to go.
    fn since(&self) -> Option<Time> {
        self.first.since().or(self.others.since()).map(|since| since.time)
    }

    /// An open circuit has its one call out.
    fn on_trial(&self) -> bool {
        self.rests_until.is_some() && self.calls > 0
    }

    fn may_call(&self, now: Time) -> bool {
        let resting = self.rests_until.is_some_and(|until| now < until);
        self.calls < self.settings.in_flight && !resting && !self.on_trial()
    }

    /// Letters from disk leave a quarter of the calls to what is fresh.
    fn kept_limit(&self) -> usize {
        (self.settings.in_flight * 3 / 4).max(1)
    }

    /// Letters to be fetched: a few ahead of the calls, one for a trial.
    fn wanted(&self) -> usize {
        match self.rests_until {
            Some(_) if self.calls > 0 || !self.loaded.is_empty() => 0,
            Some(_) => 1,
            None if self.loaded.len() <= LOOK_AHEAD / 2 => LOOK_AHEAD - self.loaded.len(),
            None => 0,
        }
    }

    fn is_full(&self) -> bool {
        self.fresh() >= self.settings.batch_events || self.fresh_octets() >= self.settings.batch_octets
    }

    /// Whether fresh events go out as a letter now: at once where nothing is under way, else when the letter is full or
    /// its first event has waited long enough. So calls are few where events are many, and an event alone does not
    /// wait.
    fn goes(&self, now: Time) -> bool {
        let Some(since) = self.since() else { return false };
        self.calls == 0 || self.is_full() || now >= since.after(self.settings.linger)
    }

    /// Whether fresh events are written down now: there are too many, or they wait and the endpoint takes nothing.
    fn spills(&self, now: Time) -> bool {
        let Some(since) = self.since() else { return false };
        self.fresh() > self.settings.most_events / 2
            || self.fresh_octets() > self.settings.most_octets / 2
            || now >= self.spill_time(since)
    }

    fn spill_time(&self, since: Time) -> Time {
        since.max(self.taken).after(self.settings.spill_after)
    }

    fn bury(&mut self, now: Moment) -> Option<Step> {
        if let Some(letter) = self.loaded.pop_front() {
            return Some(Step::Bury(letter));
        }
        let since = self.since()?;
        let now = self.is_full() || now.time >= self.spill_time(since);
        now.then(|| Step::Bury(Letter { failure: "the endpoint is disabled".into(), ..self.form() }))
    }

    /// A letter of the fresh events.
    fn form(&mut self) -> Letter {
        let since = self.first.since().or(self.others.since());
        let mut draft = self.draft(self.fresh(), self.fresh_octets());
        self.first.pour(&mut draft, &self.settings);
        // An event of the first tier that found no room goes before the others.
        if self.first.is_empty() {
            self.others.pour(&mut draft, &self.settings);
        }
        draft.done(since.map_or(Wall(0), |since| since.wall))
    }

    /// The same without those that go first.
    fn form_of_others(&mut self) -> Letter {
        let since = self.others.since();
        let mut draft = self.draft(self.others.len(), self.others.octets());
        self.others.pour(&mut draft, &self.settings);
        draft.done(since.map_or(Wall(0), |since| since.wall))
    }

    /// A letter about to have as many of so many events of so many octets as it may; all are about as long.
    fn draft(&self, events: usize, octets: usize) -> Draft {
        let most = events.min(self.settings.batch_events);
        Draft::new(most, (octets / events.max(1) * (most + 1)).min(octets).min(self.settings.batch_octets), None)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wall_after(wall: Wall, duration: Duration) -> Wall {
    Wall(wall.0.saturating_add(millis(duration)))
}

#[cfg(test)]
mod tests;
