//! The courier: one task that owns the calls under way. Each app has a queue and a client of its own, so an endpoint
//! that hangs holds up nobody else's events; what does not go at once is in the letter box, whose thread it orders and
//! hears.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::endpoint::{Endpoint, mark};
use super::letter::{EventRef, Letter};
use super::letters::{Answer, BoxError, BoxSettings, Letters, Order, Totals};
use super::queue::{Called, Ended, Fate, Queue, State, Step};
use super::settings::Settings;
use crate::admit::Tables;
use crate::clock::{Clock, Moment, Time, Wall};
use crate::config::plan::{AppId, Callback};
use crate::ids::MessageId;
use crate::journal::record::Telling;
use crate::meter::Meter;
use crate::vital::Vital;

/// How often letters of apps without an endpoint are looked at.
const LOOK: Duration = Duration::from_secs(600);
/// How long after a start the journal may bring events that letters hold already.
const RETOLD: Duration = Duration::from_secs(600);

/// Something an app wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'e> {
    /// Whose.
    pub app: AppId,
    /// Which event.
    pub which: EventRef,
    /// Its JSON object.
    pub json: &'e [u8],
    /// Of the first tier: before all others of its app.
    pub first: bool,
}

/// An event that needs the journal no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its message.
    pub id: MessageId,
    /// Its number within the message.
    pub seq: u32,
    /// Why.
    pub end: Telling,
}

/// Takes notices; calls endpoints until dropped.
pub struct Courier {
    bag: Arc<Bag>,
    task: AbortHandle,
}

/// What courier and callers share.
pub(super) struct Bag {
    pub(super) tables: Arc<ArcSwap<Tables>>,
    pub(super) clock: Clock,
    pub(super) letters: Letters,
    meter: Arc<dyn Meter>,
    inside: Mutex<Inside>,
    inbox: Arc<Inbox>,
    /// Calls under way, and ends not yet told.
    open: AtomicUsize,
}

/// What the letter box says, on its way to the courier.
#[derive(Default)]
struct Inbox {
    answers: Mutex<Vec<Answer>>,
    changed: Notify,
}

#[derive(Default)]
struct Inside {
    apps: BTreeMap<AppId, AppQueue>,
    /// Ends not yet told.
    over: Vec<Told>,
    /// Events that letters held when the process started, while the journal may bring them again.
    known: HashSet<(u64, u32)>,
    /// By app: the mark of its endpoint that answered 410.
    gone: HashMap<String, [u8; 32]>,
    /// Apps whose letters found no room since their last delivery; each is logged once.
    overflowing: HashSet<Arc<str>>,
    /// No further calls: the process is about to end.
    quiet: bool,
}

struct AppQueue {
    name: Arc<str>,
    queue: Queue,
    failure: Option<(Wall, String)>,
}

/// How an app's callbacks stand, as memory knows.
pub(super) struct View {
    pub(super) state: State,
    pub(super) open: usize,
    pub(super) oldest: Option<Wall>,
    pub(super) failure: Option<(Wall, String)>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Courier {
    /// Starts the courier on this runtime, with its letters in `dir`. `told` hears of the end of every event that was
    /// handed in, in lists.
    ///
    /// # Errors
    /// The letter box cannot be opened.
    pub fn spawn(
        dir: &Path,
        tables: Arc<ArcSwap<Tables>>,
        clock: Clock,
        meter: Arc<dyn Meter>,
        told: impl Fn(Vec<Told>) + Send + 'static,
    ) -> Result<Courier, BoxError> {
        let (inbox, settings) = (Arc::new(Inbox::default()), tables.load().plan.callbacks.clone());
        let place = BoxSettings { dir: dir.to_owned(), quota: settings.quota, keep_dead: settings.keep_dead };
        let heard = inbox.clone();
        let answers = move |answers| {
            lock(&heard.answers).extend(answers);
            heard.changed.notify_one();
        };
        let (letters, found) = Letters::open(&place, move || clock.now().wall, answers)?;
        let inside = Mutex::new(Inside { known: found.events, gone: found.gone, ..Inside::default() });
        let open = AtomicUsize::new(0);
        let bag = Arc::new(Bag { tables, clock, letters, meter, inside, inbox, open });
        let round = Round {
            bag: bag.clone(),
            plan: None,
            settings,
            endpoints: HashMap::new(),
            calls: JoinSet::new(),
            out: HashMap::new(),
            places: HashMap::new(),
            absent: HashSet::new(),
            look: clock.now().time,
            retold: clock.now().time.after(RETOLD),
        };
        let task = tokio::spawn(round.run(told)).abort_handle();
        Ok(Courier { bag, task })
    }

    /// Opens the counter, where events are handed in. The courier waits until it closes.
    pub fn counter(&self) -> Counter<'_> {
        let (bag, inside) = (&*self.bag, lock(&self.bag.inside));
        let (tables, now) = (bag.tables.load_full(), bag.clock.now());
        Counter { bag, tables, now, inside, last: None, taken: false, unwanted: 0 }
    }

    /// Events that no endpoint has taken yet, of all apps, in memory and on disk.
    pub fn backlog(&self) -> usize {
        let open: usize = lock(&self.bag.inside).apps.values().map(|app| app.queue.open()).sum();
        let kept: u64 = self.totals().values().map(|totals| totals.waiting_events).sum();
        open + usize::try_from(kept).unwrap_or(usize::MAX)
    }

    /// The tables are others: what waited for that goes on now, not with the next event.
    pub fn replanned(&self) {
        self.bag.inbox.changed.notify_one();
    }

    /// What every app has on disk.
    pub fn totals(&self) -> BTreeMap<Arc<str>, Totals> {
        self.bag.letters.totals()
    }

    /// Starts no further calls.
    pub fn quiet(&self) {
        lock(&self.bag.inside).quiet = true;
    }

    /// Calls under way, and ends not yet told.
    pub fn open(&self) -> usize {
        self.bag.open.load(Relaxed)
    }

    /// Ends all calls; the letter box is left to be closed, which waits for the disk.
    pub fn stop(&self) -> Letters {
        self.task.abort();
        self.bag.letters.clone()
    }

    pub(super) fn bag(&self) -> &Bag {
        &self.bag
    }

    pub(super) fn shared(&self) -> Arc<Bag> {
        self.bag.clone()
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes events, those of one turn together: the courier is woken once, when it is closed (dropped).
pub struct Counter<'c> {
    bag: &'c Bag,
    tables: Arc<Tables>,
    now: Moment,
    inside: MutexGuard<'c, Inside>,
    /// The app of the last event, and whether it [`is_without`].
    last: Option<(AppId, bool)>,
    taken: bool,
    /// Events for which there is no endpoint.
    unwanted: u64,
}

impl Counter<'_> {
    /// How many more events of this app memory should take. Whoever hands in looks here first.
    pub fn room(&self, app: AppId) -> usize {
        let room = self.inside.apps.get(&app).map(|app| app.queue.room());
        room.unwrap_or(self.tables.plan.callbacks.most_events)
    }

    /// How an event ends that nobody need be called for: a letter has it already, or its app has no endpoint. Whoever
    /// hands in looks here next; what ends so is not to be handed in.
    pub fn needless(&mut self, app: AppId, id: MessageId, seq: u32) -> Option<Telling> {
        let known = &mut self.inside.known;
        if !known.is_empty() && known.remove(&(id.0, seq)) {
            return Some(Telling::Kept);
        }
        self.without(app).then(|| {
            self.unwanted += 1;
            Telling::Never
        })
    }

    /// Takes an event; its end is told later, whatever it is.
    pub fn take(&mut self, Notice { app, which, json, first }: Notice<'_>) {
        self.taken = true;
        if let Some(app) = self.bag.app(&mut self.inside, app) {
            match first {
                true => app.queue.push_first(self.now, which, json),
                false => app.queue.push(self.now, which, json),
            }
        }
    }

    /// Looked up once for each run of an app's events.
    fn without(&mut self, app: AppId) -> bool {
        let known = self.last.filter(|(last, _)| *last == app);
        let (_, without) = known.unwrap_or_else(|| (app, is_without(&self.tables, app)));
        self.last = Some((app, without));
        without
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        if self.unwanted > 0 {
            self.bag.count_all(self.unwanted, "no_endpoint");
        }
        if self.taken {
            self.bag.inbox.changed.notify_one();
        }
    }
}

impl Bag {
    /// Notes ends, counted under `result`.
    fn over(&self, inside: &mut Inside, events: &[EventRef], now: Moment, result: &'static str) {
        let end = if result == "delivered" { Telling::Delivered } else { Telling::Never };
        self.count(events, now, result);
        inside.over.extend(events.iter().map(|event| Told { id: event.id, seq: event.seq, end }));
    }

    fn count(&self, events: &[EventRef], now: Moment, result: &'static str) {
        let delay = |event: &EventRef| Duration::from_millis(now.wall.0.saturating_sub(event.at.0));
        self.meter.callback(result, &mut events.iter().map(delay));
    }

    fn count_all(&self, events: u64, result: &'static str) {
        self.meter.callback(result, &mut (0..events).map(|_| Duration::ZERO));
    }

    pub(super) fn name(&self, app: AppId) -> Option<Arc<str>> {
        self.tables.load().plan.names.apps.get(usize::from(app.0)).cloned()
    }

    fn id(&self, name: &str) -> Option<AppId> {
        let id = self.tables.load().plan.names.apps.iter().position(|known| **known == *name)?;
        u16::try_from(id).ok().map(AppId)
    }

    /// The app's queue, made if there is none.
    fn app<'i>(&self, inside: &'i mut Inside, id: AppId) -> Option<&'i mut AppQueue> {
        match inside.apps.entry(id) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => {
                let name = self.name(id)?;
                let waiting = self.letters.total(&name).waiting > 0;
                let mut queue = Queue::new(self.tables.load().plan.callbacks.clone(), waiting);
                if inside.gone.contains_key(&*name) {
                    queue.disable();
                }
                Some(place.insert(AppQueue { name, queue, failure: None }))
            }
        }
    }

    /// How an app stands.
    pub(super) fn view(&self, id: AppId) -> Option<View> {
        let inside = lock(&self.inside);
        let AppQueue { queue, failure, .. } = inside.apps.get(&id)?;
        Some(View { state: queue.state(), open: queue.open(), oldest: queue.oldest(), failure: failure.clone() })
    }

    /// Calls an endpoint again that rests or answered 410; false where there is none.
    pub(super) fn resume(&self, id: AppId) -> bool {
        if endpoint(&self.tables.load(), id).is_none() {
            return false;
        }
        let mut inside = lock(&self.inside);
        let Some(app) = self.app(&mut inside, id) else { return false };
        app.queue.resume();
        let name = app.name.clone();
        if inside.gone.remove(&*name).is_some() {
            self.letters.order(&name, Order::Gone(None));
        }
        drop(inside);
        self.inbox.changed.notify_one();
        true
    }
}

pub(super) fn endpoint(tables: &Tables, app: AppId) -> Option<&Callback> {
    tables.plan.apps.iter().find(|a| a.id == app)?.callback.as_ref()
}

/// The same, where it is known which place in the plan the app has.
fn placed<'t>(tables: &'t Tables, places: &HashMap<AppId, usize>, app: AppId) -> Option<&'t Callback> {
    tables.plan.apps.get(*places.get(&app)?)?.callback.as_ref()
}

/// The configuration has the app, without an endpoint. One that it does not have at all may be back with the next: its
/// events are kept.
fn is_without(tables: &Tables, app: AppId) -> bool {
    tables.plan.apps.iter().any(|a| a.id == app && a.callback.is_none())
}

/// The courier's task.
struct Round {
    bag: Arc<Bag>,
    /// The tables last looked at.
    plan: Option<Arc<Tables>>,
    settings: Settings,
    endpoints: HashMap<AppId, Endpoint>,
    calls: JoinSet<Called>,
    out: HashMap<Id, (AppId, Letter)>,
    /// Where the tables last looked at have each app.
    places: HashMap<AppId, usize>,
    /// Apps that the configuration does not have, whose events are kept; each was logged.
    absent: HashSet<Arc<str>>,
    /// When to look after apps without an endpoint again.
    look: Time,
    /// Until when the journal may bring again what letters hold.
    retold: Time,
}

impl Round {
    async fn run(mut self, told: impl Fn(Vec<Told>)) {
        let _vital = Vital("the courier");
        loop {
            let deadline = self.dispatch();
            let over = std::mem::take(&mut lock(&self.bag.inside).over);
            if !over.is_empty() {
                told(over);
            }
            self.bag.open.store(self.out.len(), Relaxed);
            let wake = self.bag.clock.instant(deadline).map(tokio::time::Instant::from_std);
            tokio::select! {
                () = self.bag.inbox.changed.notified() => {}
                Some(ended) = self.calls.join_next_with_id() => {
                    self.ended(ended);
                    while let Some(ended) = self.calls.try_join_next_with_id() {
                        self.ended(ended);
                    }
                }
                () = async { tokio::time::sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)).await }, if wake.is_some() => {}
            }
        }
    }

    /// Does what is to be done now; says when to look again.
    fn dispatch(&mut self) -> Time {
        let bag = self.bag.clone();
        let (tables, now) = (bag.tables.load_full(), bag.clock.now());
        let mut inside = lock(&bag.inside);
        if self.plan.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &tables)) {
            self.planned(&mut inside, &tables);
            self.places = tables.plan.apps.iter().enumerate().map(|(at, app)| (app.id, at)).collect();
            self.plan = Some(tables.clone());
        }
        self.heard(&mut inside, now);
        if now.time >= self.look {
            self.look = now.time.after(LOOK);
            self.look_after_the_lost(&tables, now);
        }
        if now.time >= self.retold {
            inside.known = HashSet::new();
        }
        let mut deadline = self.look;
        let (mut unwanted, quiet) = (Vec::new(), inside.quiet);
        for (id, app) in &mut inside.apps {
            let Some(callback) = placed(&tables, &self.places, *id) else {
                let places = if is_without(&tables, *id) {
                    let (events, places) = app.queue.clear();
                    unwanted.extend(events);
                    places
                } else {
                    if !app.queue.is_idle() {
                        misses(&mut self.absent, &app.name);
                    }
                    while let Some(letter) = (!quiet).then(|| app.queue.put_away(now)).flatten() {
                        bag.letters.order(&app.name, Order::Keep(letter, now.wall));
                    }
                    deadline = deadline.min(app.queue.put_away_by().unwrap_or(deadline));
                    app.queue.unload()
                };
                if !places.is_empty() {
                    bag.letters.order(&app.name, Order::Return(places));
                }
                continue;
            };
            while let Some(step) = app.queue.next(now).filter(|_| !quiet) {
                self.step(*id, &app.name, callback, step, now);
            }
            deadline = deadline.min(app.queue.deadline(now).unwrap_or(deadline));
        }
        bag.over(&mut inside, &unwanted, now, "no_endpoint");
        let called = |id: &AppId| placed(&tables, &self.places, *id).is_some();
        inside.apps.retain(|id, app| !app.queue.is_idle() || called(id));
        self.endpoints.retain(|id, _| called(id));
        deadline
    }

    fn step(&mut self, id: AppId, name: &Arc<str>, callback: &Callback, step: Step, now: Moment) {
        let letters = &self.bag.letters;
        match step {
            Step::Call(letter) => {
                if self.endpoints.get(&id).is_none_or(|known| !known.is(callback, &self.settings)) {
                    self.endpoints.insert(id, Endpoint::new(callback, &self.settings));
                }
                let call = self.endpoints[&id].call(&letter, Clock::wall(), &self.settings);
                self.out.insert(self.calls.spawn(call).id(), (id, letter));
            }
            Step::Keep(letter, due) => letters.order(name, Order::Keep(letter, due)),
            Step::Bury(letter) => {
                self.bag.count(&letter.events, now, "given_up");
                letters.order(name, if letter.place.is_some() { Order::Bury(letter) } else { Order::KeepDead(letter) });
            }
            Step::Fetch(most) => letters.order(name, Order::Fetch(now.wall, most)),
        }
    }

    /// Another configuration is in force.
    fn planned(&mut self, inside: &mut Inside, tables: &Tables) {
        let (bag, settings) = (self.bag.clone(), &tables.plan.callbacks);
        if self.settings != *settings {
            self.settings = settings.clone();
            inside.apps.values_mut().for_each(|app| app.queue.configure(settings));
            bag.letters.order(&"".into(), Order::Limits(settings.quota, settings.keep_dead));
        }
        for (name, totals) in bag.letters.totals() {
            if totals.waiting > 0 && !tables.plan.apps.iter().any(|app| app.name == name) {
                misses(&mut self.absent, &name);
            }
        }
        for app in &tables.plan.apps {
            if self.absent.remove(&app.name) {
                let open = inside.apps.get(&app.id).map_or(0, |known| known.queue.open() as u64);
                let events = open + bag.letters.total(&app.name).waiting_events;
                tracing::info!(app = &*app.name, events, "the configuration has the app again; these events were kept");
            }
            let Some(callback) = &app.callback else { continue };
            if inside.gone.get(&*app.name).is_some_and(|gone| *gone != mark(callback)) {
                inside.gone.remove(&*app.name);
                bag.letters.order(&app.name, Order::Gone(None));
                if let Some(known) = inside.apps.get_mut(&app.id) {
                    known.queue.resume();
                }
                tracing::info!(app = &*app.name, "callbacks go on: the configuration names another endpoint");
            }
            let moved = self.endpoints.get(&app.id).is_some_and(|known| known.callback.url != callback.url);
            if moved && let Some(known) = inside.apps.get_mut(&app.id) {
                known.queue.resume();
            }
            // Letters of an app that has its endpoint back, or had some before the start.
            let (waiting, gone) = (bag.letters.total(&app.name).waiting > 0, inside.gone.contains_key(&*app.name));
            if waiting || gone {
                bag.app(inside, app.id);
            }
            if waiting && gone {
                bag.letters.order(&app.name, Order::BuryOverdue(Wall(u64::MAX), "the endpoint is disabled"));
            }
        }
    }

    /// Letters of apps without an endpoint die as others do.
    fn look_after_the_lost(&self, tables: &Tables, now: Moment) {
        let limit = u64::try_from(self.settings.give_up_after.as_millis()).unwrap_or(u64::MAX);
        let before = Wall(now.wall.0.saturating_sub(limit));
        for (name, totals) in self.bag.letters.totals() {
            let known = tables.plan.apps.iter().any(|app| app.name == name && app.callback.is_some());
            if totals.waiting > 0 && !known {
                self.bag.letters.order(&name, Order::BuryOverdue(before, "no endpoint"));
            }
        }
    }

    /// What the letter box has said.
    fn heard(&mut self, inside: &mut Inside, now: Moment) {
        let answers = std::mem::take(&mut *lock(&self.bag.inbox.answers));
        for answer in answers {
            self.answer(inside, answer, now);
        }
    }

    fn answer(&mut self, inside: &mut Inside, answer: Answer, now: Moment) {
        let bag = self.bag.clone();
        let settled = |inside: &mut Inside, name: &str, events: &[EventRef]| {
            if let Some(app) = bag.id(name).and_then(|id| inside.apps.get_mut(&id)) {
                app.queue.settled(events.len());
            }
        };
        match answer {
            Answer::Kept(name, events) => {
                settled(inside, &name, &events);
                let told = |event: &EventRef| Told { id: event.id, seq: event.seq, end: Telling::Kept };
                inside.over.extend(events.iter().map(told));
            }
            Answer::NoRoom(name, events) => {
                settled(inside, &name, &events);
                bag.over(inside, &events, now, "overflow");
                overflows(inside, name);
            }
            Answer::Dropped(name, events) => {
                bag.count_all(events, "overflow");
                overflows(inside, name);
            }
            Answer::Died(_, events) => bag.count_all(events, "given_up"),
            Answer::Fetched(name, letters, next) => match bag.id(&name).and_then(|id| inside.apps.get_mut(&id)) {
                Some(app) => app.queue.fetched(letters, next),
                None => {
                    let places = letters.iter().filter_map(|letter| letter.place).collect();
                    bag.letters.order(&name, Order::Return(places));
                }
            },
            Answer::Waits(name, due) => {
                if let Some(app) = bag.id(&name).and_then(|id| bag.app(inside, id)) {
                    app.queue.waits(due);
                }
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Called), JoinError>) {
        // A call that panicked counts as failed: its events are tried again.
        let (id, called) = ended.unwrap_or_else(|e| (e.id(), Called::Failed("internal error".into(), None)));
        let Some((app_id, letter)) = self.out.remove(&id) else { return };
        let bag = self.bag.clone();
        let now = bag.clock.now();
        let mut inside = lock(&bag.inside);
        let Some(app) = inside.apps.get_mut(&app_id) else { return };
        let Ended { letter, fate, tripped, gone, overdue } = app.queue.answered(now, letter, called, fastrand::f64());
        let name = app.name.clone();
        if fate != Fate::Delivered {
            app.failure = Some((now.wall, letter.failure.clone()));
        }
        let first_time = letter.place.is_none();
        match fate {
            Fate::Delivered if first_time => bag.over(&mut inside, &letter.events, now, "delivered"),
            Fate::Delivered => {
                bag.count(&letter.events, now, "delivered");
                bag.letters.order(&name, Order::Delivered(letter));
            }
            _ if first_time && is_without(&bag.tables.load(), app_id) => {
                app.queue.settled(letter.events.len());
                bag.over(&mut inside, &letter.events, now, "no_endpoint");
            }
            Fate::Again(due) => {
                bag.count(&letter.events, now, "retried");
                let order = if first_time { Order::Keep(letter, due) } else { Order::PutOff(letter, due) };
                bag.letters.order(&name, order);
            }
            Fate::Dead => {
                bag.count(&letter.events, now, "given_up");
                let (events, first) = (letter.events.len(), letter.events.first().map(ToString::to_string));
                tracing::warn!(app = &*name, events, first, failure = letter.failure, "a letter is dead");
                bag.letters.order(&name, if first_time { Order::KeepDead(letter) } else { Order::Bury(letter) });
            }
        }
        if fate == Fate::Delivered {
            inside.overflowing.remove(&name);
        }
        if let Some(before) = overdue {
            bag.letters.order(&name, Order::BuryOverdue(before, "given up: the endpoint was down all the time"));
        }
        if tripped {
            tracing::warn!(app = &*name, "callbacks keep failing; only a trial now and then from here on");
        }
        if let Some(callback) = endpoint(&bag.tables.load(), app_id).filter(|_| gone) {
            inside.gone.insert(name.to_string(), mark(callback));
            bag.letters.order(&name, Order::Gone(Some(mark(callback))));
            bag.letters.order(&name, Order::BuryOverdue(Wall(u64::MAX), "the endpoint answered 410 Gone"));
            tracing::warn!(
                app = &*name,
                "the endpoint answered 410 Gone: no more calls; its events are kept as dead letters until it is configured anew or resumed"
            );
        }
    }
}

/// Logs once that the configuration does not have an app.
fn misses(absent: &mut HashSet<Arc<str>>, app: &Arc<str>) {
    if absent.insert(app.clone()) {
        tracing::warn!(
            app = &**app,
            "the configuration does not have this app: its events are kept on disk and go out when it is back"
        );
    }
}

/// Logs a burst of events without room once.
fn overflows(inside: &mut Inside, app: Arc<str>) {
    if !inside.overflowing.contains(&app) {
        tracing::warn!(
            app = &*app,
            "the callback quota is full: the oldest letters are dropped; replay what is missed"
        );
        inside.overflowing.insert(app);
    }
}
