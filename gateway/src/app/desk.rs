//! The desk: questions from the doors to the line, and its answers. What is finished is asked of the store instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use carriers::CarrierId;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::alarms::AlarmStatus;
use super::errands::{Cleared, QueueOrder};
use super::orders::{Asked, Order, Subject};
use super::patrol::{TestStatus, Tested};
use super::pressure::Pressure;
use super::reload::{self, Applied, Latest, Refused};
use super::service::Ordered;
use super::uplink::Delivered;
use super::{Arrival, Asks, Explained, Line, Purpose, accepted, batches, keys};
use crate::accept::batch::Counts;
use crate::accept::{BoxFuture, Found, Fresh, Inquiry, Remembered, idempotency};
use crate::admit::Tables;
use crate::callback::host;
use crate::clock::{Clock, Moment, Time, Wall};
use crate::config::plan::{GroupId, TierId, is_internal};
use crate::fleet::LinkStatus;
use crate::ids::MessageId;
use crate::journal::bodies::Wanted;
use crate::journal::record::{Keyed, Outline};
use crate::journal::store::{Counter, Finished, Name, Store};
use crate::report::Report;
use crate::report::story::{self, Status, Story};
use crate::report::tell;
use crate::report::uplink::Listed;
use crate::switch::health::{Settings, Snapshot};

/// So many messages are handed to the store under one lock, which its thread and whoever looks for a message need, too.
const COUNTED: usize = 256;

/// History records of a message, and when its app's rate lets it go (now, then).
pub(super) type Known = (Vec<u8>, Option<(Wall, Wall)>);

/// Something the line is asked.
pub enum Question {
    /// What is known of a message that is not finished, as history records. For operators also when its app's
    /// `send_rate` lets it go (now, then), if that is what it waits for.
    Message(MessageId, story::Reader, oneshot::Sender<Option<Known>>),
    /// The record of a batch that the store has not got yet.
    Batch(MessageId, oneshot::Sender<Option<Bytes>>),
    /// Where the messages of a batch of so many stand, those that are not finished.
    Standings(MessageId, u16, oneshot::Sender<Vec<Option<Status>>>),
    /// How the channels stand.
    Channels(oneshot::Sender<Vec<ChannelStatus>>),
    /// What waits.
    Queues(oneshot::Sender<Vec<QueueStatus>>),
    /// The apps.
    Apps(oneshot::Sender<Vec<AppStatus>>),
    /// An operator's order, or its end where there is none; answered when it is on disk.
    Order(Subject, Asked, oneshot::Sender<Ordered>),
    /// Send a test message over the channel of that name now.
    Test(String, oneshot::Sender<Tested>),
    /// An operator's order about what waits; answered when it is done.
    Clear(QueueOrder, oneshot::Sender<Cleared>),
    /// What would happen to a message, and why; `None` where there is no such app or message.
    Explain(Box<Asks>, oneshot::Sender<Option<Explained>>),
    /// Tell the app that owns its number by now of a message from a handset that nobody owned.
    Deliver(MessageId, oneshot::Sender<Delivered>),
}

/// How a channel stands.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// The company.
    pub carrier: String,
    /// Its protocol.
    pub protocol: &'static str,
    /// `up` with a link bound, `held` by an operator, `paused` by throttle answers, `suspect` while too little is heard
    /// of it, `probation` while it is on trial after that, `down` without a link or without a sign of life on it,
    /// `draining` while it finishes what is open and unbinds, `drained` after that.
    pub state: &'static str,
    /// What its health shows; none before its first link.
    pub health: Option<HealthStatus>,
    /// The operator's order in force.
    pub order: Option<Order>,
    /// Parts without an answer.
    pub in_flight: usize,
    /// Parts allowed without an answer, over all links that are bound.
    pub window: usize,
    /// Parts per second by contract.
    pub rate: f64,
    /// Parts per second it goes at now: less than the contract for a while after throttle answers.
    pub rate_now: f64,
    /// Whether it has left the configuration and only finishes what is open; its contract counts no more.
    pub leaving: bool,
    /// Whether its leg for receipts has no link: it sends, and hears nothing of what it sent.
    pub deaf: bool,
    /// What is wrong with it although its links are up.
    pub alarms: Vec<AlarmStatus>,
    /// Share of the last five minutes' receipts that say delivered.
    pub delivered_ratio: Option<f64>,
    /// What it is worth beside its peers: 1, or less while less of what it takes arrives.
    pub weight: f64,
    /// How its last test message ended.
    pub test: Option<TestStatus>,
    /// Its links.
    pub links: Vec<LinkStatus>,
}

/// What a channel's health shows, whatever else keeps it from its work.
#[derive(Clone, Debug, Serialize)]
pub struct HealthStatus {
    /// `healthy`, `suspect`, `down` or `probation`.
    pub state: &'static str,
    /// Why.
    pub cause: &'static str,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// Evidence against its best link: 0 where all is as usual, from 8 on it condemns.
    pub phi: f64,
    /// 99 % of its answers take at most so many milliseconds; none until enough were seen.
    pub p99_ms: Option<u64>,
    /// What it counts as among its group: 1, or less while it is slow or throttled.
    pub weight: f64,
}

impl HealthStatus {
    fn new(now: Time, seen: &Snapshot) -> HealthStatus {
        HealthStatus {
            state: seen.state.name(),
            cause: seen.cause.name(),
            since_ms: now.since(seen.since).as_millis() as u64,
            phi: (seen.phi * 100.0).round() / 100.0,
            p99_ms: (seen.samples >= Settings::default().cold).then_some(seen.p99.as_millis() as u64),
            weight: seen.weight,
        }
    }
}

/// How an app stands.
#[derive(Clone, Debug, Serialize)]
pub struct AppStatus {
    /// Its id.
    pub id: String,
    /// Its tiers, the default first.
    pub tiers: Vec<String>,
    /// Parts per second at the door.
    pub rate: u32,
    /// Whether its new messages are refused.
    pub held: bool,
    /// The operator's order in force.
    pub order: Option<Order>,
    /// Messages accepted and not yet forgotten.
    pub messages: usize,
    /// Host and port its events go to; none where it takes none.
    pub callback: Option<String>,
}

/// What waits in one group and tier.
#[derive(Clone, Debug, Serialize)]
pub struct QueueStatus {
    /// The group.
    pub group: String,
    /// The tier.
    pub tier: String,
    /// Messages.
    pub messages: usize,
    /// Age of the oldest, in milliseconds; 0 where nothing waits.
    pub oldest_ms: u64,
    /// Parts that leave before a message that comes now.
    pub parts_ahead: u64,
    /// Parts per second that its channels take now; by contract while all of them are down.
    pub pace: f64,
    /// How long a message that comes now waits, in milliseconds.
    pub wait_ms: u64,
    /// How long the next message waits of the app that has most waiting for its own rate, in milliseconds; 0 where no
    /// app's rate keeps it waiting.
    pub app_rate_ms: u64,
    /// For how long none of its channels can be used, in milliseconds; 0 where one can.
    pub down_ms: u64,
}

/// The doors' side of the desk.
pub struct Desk {
    line: mpsc::UnboundedSender<Arrival>,
    store: Store,
    tables: Arc<ArcSwap<Tables>>,
    reloads: mpsc::Sender<reload::Order>,
    latest: Arc<ArcSwap<Latest>>,
    pressure: Arc<Pressure>,
    counting: tokio::sync::Mutex<()>,
    clock: Clock,
}

impl Desk {
    pub(super) fn new(
        line: mpsc::UnboundedSender<Arrival>,
        store: Store,
        tables: Arc<ArcSwap<Tables>>,
        (reloads, latest): (mpsc::Sender<reload::Order>, Arc<ArcSwap<Latest>>),
        pressure: Arc<Pressure>,
        clock: Clock,
    ) -> Self {
        Desk { line, store, tables, reloads, latest, pressure, counting: tokio::sync::Mutex::default(), clock }
    }

    /// Has the configuration read anew.
    pub async fn reload(&self) -> Result<Applied, Refused> {
        let (order, done) = oneshot::channel();
        self.reloads.send(order).await.map_err(|_| Refused::Stopping)?;
        done.await.unwrap_or(Err(Refused::Stopping))
    }

    /// What has become of the files.
    pub fn latest(&self) -> Arc<Latest> {
        self.latest.load_full()
    }

    /// Why the gateway takes no messages at all, if so.
    pub fn closed(&self) -> Option<&'static str> {
        self.pressure.closed()
    }

    /// `[node] name`.
    pub fn name(&self) -> String {
        self.tables.load().plan.node.name.clone()
    }

    /// The configuration in force as written, without its secrets.
    pub fn written(&self) -> Arc<serde_json::Value> {
        self.tables.load().plan.written.clone()
    }

    /// Messages accepted and not yet forgotten, as of a moment ago.
    pub fn messages(&self) -> usize {
        self.pressure.messages.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Asks the line; `None` once it has ended.
    pub async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.line.send(Arrival::Asked(question(sender))).ok()?;
        receiver.await.ok()
    }

    /// Asks the store on a thread that may wait: it reads the disk, and what is damaged there it makes again first. A
    /// look that fails must not read as "not there", or a key would be new again: it ends who asks, unanswered.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Store) -> T + Send + 'static) -> Option<T> {
        let store = self.store.clone();
        let looked = tokio::task::spawn_blocking(move || look(&store)).await;
        looked.map_err(|error| error.try_into_panic().map(|panic| std::panic::resume_unwind(panic))).ok()
    }

    /// Messages from handsets, newest first: ids below `before` (or the newest), `limit` at most. Reads the disk.
    pub async fn uplinks(&self, unmatched: bool, before: Option<MessageId>, limit: usize) -> Vec<(MessageId, Listed)> {
        let list = move |store: &Store| store.uplinks(unmatched, before.map_or(u64::MAX, |id| id.0), limit);
        let found = self.look(list).await.unwrap_or_default();
        found.into_iter().filter_map(|(id, v)| Some((MessageId(id), serde_json::from_slice(&v).ok()?))).collect()
    }

    /// A batch's record.
    pub async fn batch_record(&self, id: MessageId) -> Option<Bytes> {
        match self.ask(|answer| Question::Batch(id, answer)).await? {
            Some(record) => Some(record),
            None => self.look(move |store| store.batch(id.0)).await?.map(Bytes::from),
        }
    }

    /// A message's story.
    pub async fn story(&self, id: MessageId, reader: story::Reader) -> Option<Story> {
        let (records, rests) = match self.ask(|answer| Question::Message(id, reader, answer)).await? {
            Some(known) => known,
            None => (self.look(move |store| store.history(id.0)).await??, None),
        };
        let story = tell::story(id, &records, reader, |channel| self.company(channel))?;
        Some(match rests {
            Some((now, until)) => story.waits(now, format!("for the app's send_rate, which lets it go at {until}")),
            None => story,
        })
    }

    fn company(&self, channel: &str) -> Option<String> {
        self.tables.load().plan.channels.iter().find(|c| &*c.name == channel).map(|c| c.carrier.clone())
    }
}

impl Inquiry for Desk {
    fn message(&self, id: MessageId) -> BoxFuture<'_, Option<Story>> {
        Box::pin(self.story(id, story::Reader::App))
    }

    fn batch(&self, id: MessageId) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(self.batch_record(id))
    }

    fn counts(&self, id: MessageId, count: u16) -> BoxFuture<'_, Option<Counts>> {
        Box::pin(async move {
            // Reading ten thousand histories is work for one thread at a time.
            let _turn = self.counting.lock().await;
            let live = self.ask(|answer| Question::Standings(id, count, answer)).await?;
            self.look(move |store| batches::count(store, id, &live)).await
        })
    }
}

impl Remembered for Desk {
    fn find<'a>(&'a self, app: &'a str, key: &'a str) -> BoxFuture<'a, Option<Found>> {
        let (name, since) = (idempotency::name(app, key), keys::since(self.clock.now().wall));
        Box::pin(async move { read_key_record(&self.look(move |store| store.idempotency(&name, since)).await??) })
    }
}

/// What the store keeps for an idempotency key: name and value.
pub(super) fn key_record(app: &str, key: &str, found: &Found) -> (Vec<u8>, Vec<u8>) {
    let &Found { id, body_hash, parts, ref encoding, accepted_at: at } = found;
    let keyed = Keyed { key: key.as_bytes(), body_hash, at, parts, encoding: encoding.as_bytes() };
    let mut value = Vec::with_capacity(40);
    put_key_value(&mut value, id, &keyed);
    (idempotency::name(app.as_bytes(), keyed.key), value)
}

fn put_key_value(value: &mut Vec<u8>, id: MessageId, keyed: &Keyed<'_>) {
    value.extend_from_slice(&id.0.to_le_bytes());
    value.extend_from_slice(&keyed.at.0.to_le_bytes());
    value.extend_from_slice(&keyed.body_hash);
    value.push(keyed.parts);
    value.extend_from_slice(keyed.encoding);
}

fn read_key_record(value: &[u8]) -> Option<Found> {
    let (id, rest) = value.split_first_chunk()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (parts, encoding) = rest.split_first()?;
    Some(Found {
        id: MessageId(u64::from_le_bytes(*id)),
        body_hash: *hash,
        parts: *parts,
        encoding: String::from_utf8(encoding.to_vec()).ok()?.into(),
        accepted_at: Wall(u64::from_le_bytes(*at)),
    })
}

/// Under what the store keeps a carrier's id. Names, for indexes live only as long as the process; they hold no NUL.
pub(super) fn correlation_key(channel: &str, id: &CarrierId) -> Vec<u8> {
    let mut key = Vec::with_capacity(channel.len() + 1 + id.octets().len());
    put_correlation_key(&mut key, channel, id);
    key
}

fn put_correlation_key(key: &mut Vec<u8>, channel: &str, id: &CarrierId) {
    key.extend_from_slice(channel.as_bytes());
    key.push(0);
    key.extend_from_slice(id.octets());
}

/// What the store is handed of a message that is over, put together where that of the one before was.
#[derive(Default)]
pub(super) struct Sheet {
    /// Those of this turn.
    pub(super) over: Vec<MessageId>,
    history: Vec<u8>,
    names: Vec<Name>,
    key: Vec<u8>,
}

impl Sheet {
    /// A body that cannot be read is no reason to keep its message for ever: what memory knows is stored.
    pub(super) fn keep(&mut self, store: &mut Counter<'_>, report: &Report, id: MessageId, body: Option<&[u8]>) {
        let Sheet { history, names, key, .. } = self;
        history.clear();
        names.clear();
        let accepted = body.and_then(Outline::of);
        let add = |channel: &str, id: &CarrierId| {
            key.clear();
            put_correlation_key(key, channel, id);
            names.push(Name::correlation(key));
        };
        if !report.finished(id, accepted.as_ref(), history, add) {
            return;
        }
        // Named as keys are.
        if let Some((app, client_ref)) = accepted.and_then(|a| Some((a.app, a.client_ref?))) {
            key.clear();
            idempotency::put_name(key, app, client_ref);
            names.push(Name::client_ref(key));
        }
        store.put(&Finished { id: id.0, history, names, ..Finished::default() });
    }
}

impl Line {
    /// Keeps an idempotency key beyond memory.
    pub(super) fn remember(&mut self, fresh: &Fresh) {
        // Most have none.
        let Some(Outline { app, keyed: Some(keyed), .. }) = Outline::of(&fresh.body) else { return };
        let (id, Sheet { history: value, key: name, .. }) = (fresh.message.id, &mut self.sheet);
        name.clear();
        value.clear();
        idempotency::put_name(name, app, keyed.key);
        put_key_value(value, id, &keyed);
        self.store.put(&Finished { id: id.0, idempotency: Some((name, value)), ..Finished::default() });
    }

    /// Hands the messages that are over to the store, with their bodies, read first where they are not at hand.
    pub(super) fn store(&mut self) {
        if self.sheet.over.is_empty() {
            return;
        }
        let mut over = std::mem::take(&mut self.sheet.over);
        for piece in over.chunks(COUNTED) {
            let mut counter = self.store.counter();
            for &id in piece {
                let live = self.report.live(id);
                let body = live.and_then(|live| self.bodies.get(id, live.body));
                if let (None, Some(live)) = (body, live) {
                    self.reader.want(Wanted { id, at: live.at, purpose: Purpose::Keep });
                    continue;
                }
                self.sheet.keep(&mut counter, &self.report, id, body);
                if let Some(live) = live {
                    self.bodies.remove(id, live.body);
                }
            }
        }
        over.clear();
        self.sheet.over = over;
    }

    /// A body from memory, or else from disk, here and now: for rare questions.
    pub(super) fn body(&self, id: MessageId) -> Option<bytes::Bytes> {
        let live = self.report.live(id)?;
        let kept = self.bodies.get(id, live.body).map(Bytes::copy_from_slice);
        kept.or_else(|| self.journal.read(id.0, live.at).ok())
    }

    pub(super) fn answer(&mut self, now: Moment, question: Question) {
        // Whoever asked may have gone meanwhile.
        match question {
            Question::Message(id, reader, answer) => {
                let rests = match reader {
                    story::Reader::Operator => self.app_rests(now, id),
                    story::Reader::App => None,
                };
                drop(answer.send(self.past(id).map(|past| (past, rests))));
            }
            Question::Batch(id, answer) => drop(answer.send(self.batches.find(id))),
            Question::Standings(id, count, answer) => drop(answer.send(self.standings(id, count))),
            Question::Channels(answer) => drop(answer.send(self.channels(now))),
            Question::Queues(answer) => drop(answer.send(self.queues(now))),
            Question::Apps(answer) => drop(answer.send(self.apps())),
            Question::Order(subject, asked, answer) => self.order(now, subject, asked, answer),
            Question::Test(name, answer) => drop(answer.send(self.test(now, &name))),
            Question::Clear(order, answer) => self.clear(now, &order, answer),
            Question::Explain(asks, answer) => drop(answer.send(self.explain(now, &asks))),
            Question::Deliver(id, answer) => self.seek_uplink(id, answer),
        }
    }

    /// Now and when a message may go that waits for its app's own rate.
    fn app_rests(&self, now: Moment, id: MessageId) -> Option<(Wall, Wall)> {
        let wait = self.switch.app_rate_allows(now.time, id)?.since(now.time);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Some((now.wall, Wall(now.wall.0.saturating_add(wait))))
    }

    fn past(&self, id: MessageId) -> Option<Vec<u8>> {
        let body = self.body(id);
        Some(self.report.past(id, body.as_deref().and_then(accepted).as_ref())?.history)
    }

    fn apps(&self) -> Vec<AppStatus> {
        let tier =
            |id: &TierId| self.plan.names.tiers.get(usize::from(id.0)).map_or_else(String::new, |n| n.to_string());
        let host = |url: &str| Some(host(url)?.split_once("://")?.1.to_owned());
        let status = |app: &crate::config::plan::App| {
            let order = self.service.orders.app(&app.name).cloned();
            AppStatus {
                id: app.name.to_string(),
                tiers: app.tiers.iter().map(tier).collect(),
                rate: app.rate,
                held: order.is_some(),
                order,
                messages: self.report.len_of(app.id),
                callback: app.callback.as_ref().and_then(|callback| host(&callback.url)),
            }
        };
        self.plan.apps.iter().map(status).collect()
    }

    fn channels(&self, now: Moment) -> Vec<ChannelStatus> {
        let status = |id, name: &str, carrier: &str, protocol, contract: Option<f64>| {
            let view = self.switch.channel(now.time, id);
            ChannelStatus {
                name: name.to_owned(),
                carrier: carrier.to_owned(),
                protocol,
                state: self.state(now, id).name(),
                health: view.as_ref().and_then(|v| v.health.as_ref()).map(|seen| HealthStatus::new(now.time, seen)),
                order: self.service.orders.channel(name).cloned(),
                in_flight: view.as_ref().map_or(0, |v| v.in_flight),
                window: view.as_ref().map_or(0, |v| v.window),
                rate: contract.unwrap_or(0.0),
                rate_now: view.as_ref().map_or(0.0, |v| v.rate_now),
                leaving: contract.is_none(),
                deaf: self.fleet.deaf(id),
                alarms: self.alarms.of(id),
                delivered_ratio: self.quality.ratio(id),
                weight: view.as_ref().map_or(1.0, |v| v.weight),
                test: self.rounds.last(id).map(TestStatus::from),
                links: self.fleet.links(id),
            }
        };
        let all = self.plan.channels.iter();
        let mut list: Vec<_> =
            all.map(|c| status(c.id, &c.name, &c.carrier, c.protocol.name(), Some(c.rate))).collect();
        let gone = self.fleet.channels().filter(|(id, _)| self.plan.channels.iter().all(|c| c.id != *id));
        list.extend(gone.map(|(id, member)| status(id, member.meter.name(), &member.carrier, member.protocol, None)));
        list
    }

    /// What waits, and what could: every group and tier that has a channel.
    fn queues(&self, now: Moment) -> Vec<QueueStatus> {
        let names = &self.plan.names;
        let ms = |period: std::time::Duration| u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let mut waiting: BTreeMap<_, _> = self.switch.waiting().into_iter().map(|w| ((w.group, w.tier), w)).collect();
        let mut prospect = self.switch.outlook(now.time);
        let all: BTreeSet<_> = waiting.keys().chain(prospect.keys()).copied().collect();
        let status = |(group, tier): (GroupId, TierId)| {
            let outlook = prospect.remove(&(group, tier)).unwrap_or_default();
            let waiting = waiting.remove(&(group, tier));
            QueueStatus {
                group: names.groups.get(usize::from(group.0)).map_or_else(String::new, |n| n.to_string()),
                tier: names.tiers.get(usize::from(tier.0)).map_or_else(String::new, |n| n.to_string()),
                messages: waiting.map_or(0, |w| w.messages),
                oldest_ms: waiting.map_or(0, |w| ms(now.time.since(w.oldest))),
                parts_ahead: outlook.parts_ahead,
                pace: (outlook.pace * 10.0).round() / 10.0,
                wait_ms: ms(outlook.wait),
                app_rate_ms: outlook.rated.values().max().map_or(0, |wait| ms(*wait)),
                down_ms: outlook.down_since.map_or(0, |since| ms(now.time.since(since))),
            }
        };
        all.into_iter().map(status).filter(|w| !is_internal(&w.group)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_record_reads_back() {
        let found = Found {
            id: MessageId(77),
            body_hash: [9; 16],
            parts: 3,
            encoding: "ucs2".into(),
            accepted_at: Wall(1_700_000_000_000),
        };
        let (name, value) = key_record("shop", "k-1", &found);
        assert_eq!(name, b"shop\0k-1");
        assert_eq!(read_key_record(&value), Some(found));
        assert_eq!(read_key_record(&value[..20]), None);
    }
}
