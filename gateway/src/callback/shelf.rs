//! How letters lie on disk. Names of apps hold no NUL, so the first octets of a key are its app's alone.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `waiting` | app NUL due number | entry |
//! | `dead` | app NUL died number | entry |
//! | `bodies` | number | the request's body |
//! | `gone` | app | mark of the endpoint that answered 410 |
//! | `replays` | app | a replay under way: from, to, reached |
//!
//! Times (milliseconds since 1970) and numbers are big-endian, so that keys sort as they do; an entry is JSON.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use serde::{Deserialize, Serialize};

use super::letter::{EventRef, Letter, Place};
use super::letters::{Totals, Underway};
use crate::clock::Wall;
use crate::ids::MessageId;
use crate::journal::database::Kind;

const KIND: Kind = Kind {
    name: "the letter box",
    lost: "events that waited in it are lost to their endpoints; replay the time before now",
    version: b"1",
    cache: 8 << 20,
    memtable: 8 << 20,
    ahead: 64 << 20,
    not_its: &[],
};
/// Octets on disk beside a letter's body and events.
const OVERHEAD: u64 = 256;
/// Octets of an event in an entry.
const EVENT: u64 = 40;

/// A letter without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    id: String,
    since: u64,
    tries: u32,
    octets: u64,
    failure: String,
    /// Message, number within it, time.
    events: Vec<(u64, u32, u64)>,
}

impl Entry {
    pub(super) fn of(letter: &Letter) -> Entry {
        let events: Vec<_> = letter.events.iter().map(|event| (event.id.0, event.seq, event.at.0)).collect();
        Entry {
            id: letter.id.clone(),
            since: letter.since.0,
            tries: letter.tries,
            octets: OVERHEAD + EVENT * events.len() as u64 + letter.body.len() as u64,
            failure: letter.failure.clone(),
            events,
        }
    }

    /// What it counts against the quota.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn since(&self) -> Wall {
        Wall(self.since)
    }

    pub(super) fn event_count(&self) -> u64 {
        self.events.len() as u64
    }

    /// Dies of that.
    pub(super) fn died(self, failure: &str) -> Entry {
        Entry { failure: failure.to_owned(), ..self }
    }

    /// Begins anew.
    pub(super) fn again(self, since: Wall) -> Entry {
        Entry { since: since.0, tries: 0, failure: String::new(), ..self }
    }

    pub(super) fn letter(self, place: Place, body: Bytes) -> Letter {
        let events = self.events.iter().map(|(id, seq, at)| EventRef { id: MessageId(*id), seq: *seq, at: Wall(*at) });
        Letter {
            events: events.collect(),
            id: self.id,
            body,
            tries: self.tries,
            since: Wall(self.since),
            failure: self.failure,
            place: Some(place),
        }
    }
}

/// Where a dead letter lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When it died.
    pub died: Wall,
    /// Its number.
    pub number: MessageId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.died.0, self.number)
    }
}

impl FromStr for Cursor {
    type Err = crate::ids::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (died, number) = text.split_once('-').ok_or(crate::ids::NotAnId)?;
        Ok(Cursor { died: Wall(died.parse().map_err(|_| crate::ids::NotAnId)?), number: number.parse()? })
    }
}

/// A dead letter, for operators: who may know of what, not its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its number, by which it is resent.
    pub id: String,
    /// The name it was called under.
    pub webhook_id: String,
    /// RFC 3339, UTC: when its first event came to be told.
    pub since: String,
    /// RFC 3339, UTC.
    pub died_at: String,
    /// Calls made.
    pub tries: u32,
    /// How the last one failed.
    pub failure: String,
    /// What is in it.
    pub events: Vec<DeadEvent>,
}

/// An event of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadEvent {
    /// Its id.
    pub id: String,
    /// `message.delivered` and its like.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub time: String,
}

/// Some of an app's dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeadPage {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What is on disk, in sum.
#[derive(Default)]
pub(super) struct Census {
    pub(super) totals: BTreeMap<Arc<str>, Totals>,
    pub(super) events: HashSet<(u64, u32)>,
    pub(super) gone: HashMap<String, [u8; 32]>,
    /// Replays under way.
    pub(super) replays: BTreeMap<Arc<str>, Underway>,
    /// The highest number of a letter.
    pub(super) highest: u64,
}

/// The open database; clones are handles to the same one.
#[derive(Clone)]
pub(super) struct Shelf {
    database: Database,
    waiting: Keyspace,
    dead: Keyspace,
    bodies: Keyspace,
    gone: Keyspace,
    replays: Keyspace,
}

/// Words of the engine's errors.
fn words(error: fjall::Error) -> String {
    error.to_string()
}

fn prefix(app: &str) -> Vec<u8> {
    [app.as_bytes(), b"\0"].concat()
}

fn key(app: &str, time: Wall, number: MessageId) -> Vec<u8> {
    [app.as_bytes(), b"\0", &time.0.to_be_bytes(), &number.0.to_be_bytes()].concat()
}

/// App, time and number of a key.
fn parts(key: &[u8]) -> Option<(&str, Wall, MessageId)> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let (rest, time) = rest.split_last_chunk::<8>()?;
    let app = std::str::from_utf8(rest.strip_suffix(b"\0")?).ok()?;
    Some((app, Wall(u64::from_be_bytes(*time)), MessageId(u64::from_be_bytes(*number))))
}

impl Shelf {
    pub(super) fn open(dir: &Path) -> Result<Shelf, String> {
        let (database, [waiting, dead, bodies, gone, replays]) = KIND.open(dir, |database| {
            let keyspace = |name| database.keyspace(name, || KIND.options());
            let (waiting, dead, bodies) = (keyspace("waiting")?, keyspace("dead")?, keyspace("bodies")?);
            Ok([waiting, dead, bodies, keyspace("gone")?, keyspace("replays")?])
        })?;
        Ok(Shelf { database, waiting, dead, bodies, gone, replays })
    }

    pub(super) fn census(&self) -> Result<Census, String> {
        let mut census = Census::default();
        for (keyspace, dead) in [(&self.waiting, false), (&self.dead, true)] {
            for item in keyspace.iter() {
                let (key, value) = item.into_inner().map_err(words)?;
                let (Some((app, _, number)), Ok(entry)) = (parts(&key), serde_json::from_slice::<Entry>(&value)) else {
                    tracing::error!("an entry of the letter box does not read; it is passed over");
                    continue;
                };
                census.highest = census.highest.max(number.0);
                census.events.extend(entry.events.iter().map(|(id, seq, _)| (*id, *seq)));
                census.totals.entry(app.into()).or_default().add(&entry, dead);
            }
        }
        for item in self.gone.iter() {
            let (app, mark) = item.into_inner().map_err(words)?;
            if let (Ok(app), Ok(mark)) = (std::str::from_utf8(&app), <[u8; 32]>::try_from(&*mark)) {
                census.gone.insert(app.to_owned(), mark);
            }
        }
        for item in self.replays.iter() {
            let (app, value) = item.into_inner().map_err(words)?;
            if let (Ok(app), [from, to, reached]) = (std::str::from_utf8(&app), value.as_chunks::<8>().0) {
                let [from, to, reached] = [from, to, reached].map(|time| Wall(u64::from_be_bytes(*time)));
                census.replays.insert(app.into(), Underway { from, to, reached });
            }
        }
        Ok(census)
    }

    /// The letters of an app from a place on, in the order of their due times.
    pub(super) fn waiting(
        &self,
        app: &str,
        from: Place,
    ) -> impl Iterator<Item = Result<(Place, Entry), String>> + use<> {
        let of = |(due, number)| Place { due, number };
        listed(&self.waiting, app, (from.due, from.number)).map(move |item| item.map(|(at, entry)| (of(at), entry)))
    }

    /// The dead letters of an app from a place on, in the order of their deaths.
    pub(super) fn dead(
        &self,
        app: &str,
        from: Cursor,
    ) -> impl Iterator<Item = Result<(Cursor, Entry), String>> + use<> {
        let of = |(died, number)| Cursor { died, number };
        listed(&self.dead, app, (from.died, from.number)).map(move |item| item.map(|(at, entry)| (of(at), entry)))
    }

    pub(super) fn first_waiting(&self, app: &str) -> Result<Option<(Place, Entry)>, String> {
        self.waiting(app, Place { due: Wall(0), number: MessageId(0) }).next().transpose()
    }

    pub(super) fn find_waiting(&self, app: &str, place: Place) -> Result<Option<Entry>, String> {
        let value = self.waiting.get(key(app, place.due, place.number)).map_err(words)?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    pub(super) fn body(&self, number: MessageId) -> Result<Option<Bytes>, String> {
        Ok(self.bodies.get(number.0.to_be_bytes()).map_err(words)?.map(|body| Bytes::copy_from_slice(&body)))
    }

    pub(super) fn has_body(&self, number: MessageId) -> Result<bool, String> {
        self.bodies.contains_key(number.0.to_be_bytes()).map_err(words)
    }

    pub(super) fn dead_page(&self, app: &str, after: Option<Cursor>, most: usize) -> Result<DeadPage, String> {
        let from = after.map_or(Cursor { died: Wall(0), number: MessageId(0) }, |after| Cursor {
            number: MessageId(after.number.0.saturating_add(1)),
            ..after
        });
        let mut page = DeadPage::default();
        let mut last = None;
        for item in self.dead(app, from) {
            let (at, entry) = item?;
            if page.letters.len() >= most {
                page.cursor = last.map(|last: Cursor| last.to_string());
                break;
            }
            last = Some(at);
            page.letters.push(DeadLetter {
                id: at.number.to_string(),
                since: entry.since().to_string(),
                died_at: at.died.to_string(),
                tries: entry.tries,
                failure: entry.failure.clone(),
                events: self.dead_events(at.number, &entry)?,
                webhook_id: entry.id,
            });
        }
        Ok(page)
    }

    /// Ids, kinds and times stand in the body; without it the ids must do.
    fn dead_events(&self, number: MessageId, entry: &Entry) -> Result<Vec<DeadEvent>, String> {
        #[derive(Deserialize)]
        struct Body {
            events: Vec<DeadEvent>,
        }
        let body = self.body(number)?.and_then(|body| serde_json::from_slice::<Body>(&body).ok());
        Ok(body.map(|body| body.events).unwrap_or_else(|| {
            let event = |(id, seq, at): &(u64, u32, u64)| DeadEvent {
                id: EventRef { id: MessageId(*id), seq: *seq, at: Wall(*at) }.to_string(),
                kind: String::new(),
                time: Wall(*at).to_string(),
            };
            entry.events.iter().map(event).collect()
        }))
    }

    pub(super) fn changes(&self) -> Changes {
        Changes { shelf: self.clone(), batch: self.database.batch() }
    }

    /// Everything committed so far is on disk.
    pub(super) fn sync(&self) -> Result<(), String> {
        self.database.persist(PersistMode::SyncData).map_err(words)
    }
}

/// Entries of an app from a time and number on.
fn listed(
    keyspace: &Keyspace,
    app: &str,
    (time, number): (Wall, MessageId),
) -> impl Iterator<Item = Result<((Wall, MessageId), Entry), String>> + use<> {
    let mut end = prefix(app);
    // After NUL comes 1: the end of the app's keys.
    end.pop();
    end.push(1);
    keyspace.range(key(app, time, number)..end).filter_map(|item| match item.into_inner() {
        Ok((key, value)) => {
            let (_, time, number) = parts(&key)?;
            Some(Ok(((time, number), serde_json::from_slice(&value).ok()?)))
        }
        Err(error) => Some(Err(words(error))),
    })
}

impl Totals {
    pub(super) fn add(&mut self, entry: &Entry, dead: bool) {
        let (letters, events) = self.of(dead);
        (*letters, *events) = (*letters + 1, *events + entry.event_count());
        self.octets += entry.octets;
        if !dead {
            self.waiting_octets += entry.octets;
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry, dead: bool) {
        let (letters, events) = self.of(dead);
        (*letters, *events) = (letters.saturating_sub(1), events.saturating_sub(entry.event_count()));
        self.octets = self.octets.saturating_sub(entry.octets);
        if !dead {
            self.waiting_octets = self.waiting_octets.saturating_sub(entry.octets);
        }
    }

    fn of(&mut self, dead: bool) -> (&mut u64, &mut u64) {
        if dead { (&mut self.dead, &mut self.dead_events) } else { (&mut self.waiting, &mut self.waiting_events) }
    }
}

/// Changes that are made together. What is read from the shelf shows them once they are flushed.
pub(super) struct Changes {
    shelf: Shelf,
    batch: OwnedWriteBatch,
}

impl Changes {
    pub(super) fn wait(&mut self, app: &str, place: Place, entry: &Entry) -> Result<(), String> {
        let value = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
        self.batch.insert(&self.shelf.waiting, key(app, place.due, place.number), value);
        Ok(())
    }

    pub(super) fn die(&mut self, app: &str, at: Cursor, entry: &Entry) -> Result<(), String> {
        let value = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
        self.batch.insert(&self.shelf.dead, key(app, at.died, at.number), value);
        Ok(())
    }

    pub(super) fn body(&mut self, number: MessageId, body: &[u8]) {
        self.batch.insert(&self.shelf.bodies, number.0.to_be_bytes(), body);
    }

    pub(super) fn no_longer_waits(&mut self, app: &str, place: Place) {
        self.batch.remove(&self.shelf.waiting, key(app, place.due, place.number));
    }

    pub(super) fn no_longer_dead(&mut self, app: &str, at: Cursor) {
        self.batch.remove(&self.shelf.dead, key(app, at.died, at.number));
    }

    pub(super) fn no_body(&mut self, number: MessageId) {
        self.batch.remove(&self.shelf.bodies, number.0.to_be_bytes());
    }

    pub(super) fn gone(&mut self, app: &str, mark: Option<&[u8; 32]>) {
        match mark {
            Some(mark) => self.batch.insert(&self.shelf.gone, app, &mark[..]),
            None => self.batch.remove(&self.shelf.gone, app),
        }
    }

    pub(super) fn replaying(&mut self, app: &str, underway: Option<&Underway>) {
        match underway {
            Some(Underway { from, to, reached }) => {
                let value = [from, to, reached].map(|time| time.0.to_be_bytes()).concat();
                self.batch.insert(&self.shelf.replays, app, value);
            }
            None => self.batch.remove(&self.shelf.replays, app),
        }
    }

    /// Hands them to the kernel: they survive the process.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, self.shelf.database.batch());
        batch.commit().map_err(words)
    }
}
