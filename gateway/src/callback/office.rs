//! The operators' side of callbacks: how they stand, dead letters, resending, replaying, resuming.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::Uri;
use serde::Serialize;

use super::courier::{Courier, View, lock};
use super::letter::{Event, EventRef};
use super::letters::{Order, Totals, Which};
use super::queue::State;
use super::replay::{PATIENCE, Replay, ReplayStatus, Sink, Source};
use super::shelf::{Cursor, DeadPage};
use crate::clock::Wall;
use crate::config::plan::{App, AppId, Plan};
use crate::ids::MessageId;
use crate::journal::store::Store;
use crate::report::{tell, uplink};
use crate::route::owner::Owners;

/// Courier and store, as operators work with them.
pub struct Office {
    courier: Arc<Courier>,
    store: Store,
    /// By app: its last replay.
    replays: Mutex<BTreeMap<Arc<str>, Arc<Replay>>>,
}

/// How an app's callbacks stand.
#[derive(Clone, Debug, Serialize)]
pub struct AppStatus {
    /// The app.
    pub app: String,
    /// Scheme, host and port of its endpoint; the rest of the URL may hold a secret. Absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `ok`; `resting` with a trial now and then; `disabled` since it answered 410; `none` without an endpoint.
    pub state: &'static str,
    /// Events in memory.
    pub in_memory: usize,
    /// Events on disk that wait.
    pub on_disk: u64,
    /// Letters that these are in.
    pub letters: u64,
    /// Dead letters.
    pub dead: u64,
    /// Octets of all letters, dead or not.
    pub octets: u64,
    /// Most of these.
    pub quota: u64,
    /// RFC 3339, UTC: since when the next one has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// How the last call that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// The last replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayStatus>,
}

/// A call that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// RFC 3339, UTC.
    pub at: String,
    /// In words.
    pub what: String,
}

/// Why an order is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such app.
    NoApp,
    /// The app has no endpoint.
    NoEndpoint,
    /// The endpoint answered 410: resume it first.
    Disabled,
    /// No dead letter has that number.
    NoLetter,
    /// A replay of the app is under way.
    Replaying,
    /// None is.
    NotReplaying,
    /// The system refuses a thread.
    NoThread,
}

impl Office {
    /// An office for this courier and this store.
    pub fn new(courier: Arc<Courier>, store: Store) -> Office {
        let mut replays = BTreeMap::new();
        for (app, underway) in courier.bag().letters.cut_off() {
            let (from, to, reached) = (underway.from, underway.to, underway.reached);
            tracing::warn!(app = &**app, %from, %to, %reached, "a replay was cut off by the last stop; order the rest again from what it reached");
            replays.insert(app.clone(), Arc::new(Replay::cut_off(app, *underway)));
        }
        Office { courier, store, replays: Mutex::new(replays) }
    }

    /// Every app that has an endpoint or letters. Reads the disk: not for a thread that must not wait.
    pub fn status(&self) -> Vec<AppStatus> {
        let tables = self.courier.bag().tables.load_full();
        let mut totals = self.courier.totals();
        let mut all: Vec<AppStatus> = Vec::new();
        for app in tables.plan.apps.iter().filter(|app| app.callback.is_some()) {
            let total = totals.remove(&app.name).unwrap_or_default();
            all.push(self.app_status(&tables.plan, &app.name, Some(app), total));
        }
        for (name, total) in totals.into_iter().filter(|(_, total)| total.waiting + total.dead > 0) {
            let app = tables.plan.apps.iter().find(|app| app.name == name);
            all.push(self.app_status(&tables.plan, &name, app, total));
        }
        all
    }

    fn app_status(&self, plan: &Plan, name: &Arc<str>, app: Option<&App>, total: Totals) -> AppStatus {
        let bag = self.courier.bag();
        let view = app.and_then(|app| bag.view(app.id));
        let callback = app.and_then(|app| app.callback.as_ref());
        let state = match view.as_ref().map(|view| view.state) {
            _ if callback.is_none() => "none",
            Some(State::Resting) => "resting",
            Some(State::Disabled) => "disabled",
            Some(State::Ok) | None => "ok",
        };
        let View { open, oldest, failure, .. } =
            view.unwrap_or(View { state: State::Ok, open: 0, oldest: None, failure: None });
        let on_disk = if total.waiting > 0 { bag.letters.oldest(name) } else { None };
        AppStatus {
            app: name.to_string(),
            endpoint: callback.and_then(|callback| host(&callback.url)),
            state,
            in_memory: open,
            on_disk: total.waiting_events,
            letters: total.waiting,
            dead: total.dead,
            octets: total.octets,
            quota: plan.callbacks.quota,
            oldest: [oldest, on_disk].into_iter().flatten().min().map(|at| at.to_string()),
            last_failure: failure.map(|(at, what)| Failure { at: at.to_string(), what }),
            replay: lock(&self.replays).get(name).map(|replay| replay.status()),
        }
    }

    /// An app's dead letters after the cursor, oldest first. Reads the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn dead(&self, app: &str, after: Option<Cursor>, most: usize) -> Result<DeadPage, String> {
        self.courier.bag().letters.dead(app, after, most)
    }

    /// Calls the endpoint again with a dead letter, or all of them; how many those are. Reads the disk.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn resend(&self, app: &str, number: Option<MessageId>) -> Result<u64, Refused> {
        let (_, name) = self.callable(app)?;
        let letters = &self.courier.bag().letters;
        let (which, count) = match number {
            Some(number) if !letters.has_dead(app, number) => return Err(Refused::NoLetter),
            Some(number) => (Which::One(number), 1),
            None => {
                let now = self.courier.bag().clock.now().wall;
                (Which::All(Wall(now.0.saturating_add(1))), letters.total(app).dead)
            }
        };
        letters.order(&name, Order::Resend(which));
        Ok(count)
    }

    /// Tells all events of an app again that happened from `from` on and before `to`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn replay(&self, app: &str, from: Wall, to: Wall) -> Result<(), Refused> {
        let (id, name) = self.callable(app)?;
        let mut replays = lock(&self.replays);
        if replays.get(&name).is_some_and(|replay| !replay.is_over()) {
            return Err(Refused::Replaying);
        }
        let replay = Arc::new(Replay::new(&name, from, to, PATIENCE));
        let (source, courier) = (self.source(id, from, to), self.courier.shared());
        let running = replay.clone();
        let spawned = std::thread::Builder::new().name("replay".into()).spawn(move || {
            // A panic here costs the replay only; what it has done is in the letter box.
            let settings = || courier.tables.load().plan.callbacks.clone();
            let now = || courier.clock.now().wall;
            running.run(&Sink { letters: &courier.letters, settings: &settings, now: &now }, &source);
        });
        spawned.map_err(|_| Refused::NoThread)?;
        replays.insert(name, replay);
        Ok(())
    }

    /// Ends an app's replay; what it has told stays told.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn cancel_replay(&self, app: &str) -> Result<(), Refused> {
        self.app(app)?;
        let replay = lock(&self.replays).get(app).cloned();
        if replay.is_some_and(|replay| replay.cancel(&self.courier.bag().letters)) {
            Ok(())
        } else {
            Err(Refused::NotReplaying)
        }
    }

    /// Finished messages and the events of theirs that are to be told again.
    fn source(&self, id: AppId, from: Wall, to: Wall) -> Source {
        let (store, bag) = (self.store.clone(), self.courier.shared());
        Box::new(move |after, most| {
            let plan = bag.tables.load_full().plan.clone();
            let Some(app) = plan.apps.iter().find(|app| app.id == id) else { return Vec::new() };
            let owners = Owners::new(&plan.apps);
            let company = |name: &str| plan.channels.iter().find(|c| *c.name == *name).map(|c| &*c.carrier);
            // Nothing happens to a message before it is made.
            let early = |(id, _): &(u64, Vec<u8>)| MessageId(*id).wall() < to;
            let again = |(id, history): (u64, Vec<u8>)| {
                let message = MessageId(id);
                let received =
                    uplink::again(message, &history, &owners, app, (from, to), |name| company(name).map(str::to_owned));
                let which = |seq, at| EventRef { id: message, seq, at };
                let received = received.and_then(|(kind, at, data)| Event::render(which(1, at), kind, &data));
                let mut events =
                    tell::again(message, &history, &app.name, (from, to), company, |seq, kind, at, data| {
                        Some(Event::form(which(seq, at), kind, data.octets(), |json| data.write(json)))
                    });
                events.extend(received);
                (id, events)
            };
            store.histories(after, most).into_iter().take_while(early).map(again).collect()
        })
    }

    /// Calls an endpoint again that rests or answered 410.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn resume(&self, app: &str) -> Result<(), Refused> {
        let id = self.app(app)?;
        if self.courier.bag().resume(id) { Ok(()) } else { Err(Refused::NoEndpoint) }
    }

    fn app(&self, app: &str) -> Result<AppId, Refused> {
        let tables = self.courier.bag().tables.load();
        tables.plan.apps.iter().find(|known| *known.name == *app).map(|known| known.id).ok_or(Refused::NoApp)
    }

    /// The app, if letters to it would be called.
    fn callable(&self, app: &str) -> Result<(AppId, Arc<str>), Refused> {
        let (id, bag) = (self.app(app)?, self.courier.bag());
        let tables = bag.tables.load();
        super::courier::endpoint(&tables, id).ok_or(Refused::NoEndpoint)?;
        if bag.view(id).is_some_and(|view| view.state == State::Disabled) {
            return Err(Refused::Disabled);
        }
        Ok((id, bag.name(id).ok_or(Refused::NoApp)?))
    }
}

/// Scheme, host and port of a URL: what of it may be shown.
pub(crate) fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", uri.scheme_str()?, uri.host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("https://user:secret@shop.example:8443/hooks/secret?token=secret", Some("https://shop.example:8443")),
            ("http://[::1]/secret", Some("http://[::1]")),
            ("/secret", None),
        ] {
            assert_eq!(host(url).as_deref(), shown);
        }
    }
}
