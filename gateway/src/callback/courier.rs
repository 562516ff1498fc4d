//! The courier: one task that owns the calls under way. Each app has a queue and a client of its own, so an endpoint
//! that hangs holds up nobody else's events.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::queue::{Batch, Called, Ends, Event, EventRef, Queue, Settings};
use super::reach::Reach;
use super::signature::sign;
use crate::admit::Tables;
use crate::clock::{Clock, Moment, Wall};
use crate::config::plan::{AppId, Callback};
use crate::ids::MessageId;
use crate::meter::Meter;
use crate::vital::Vital;

/// Most octets of an answer that are read, so that its connection can be used again.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How long that may take.
const DRAIN: Duration = Duration::from_secs(1);
/// Longest wait an endpoint may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);
/// How long an unused connection to an endpoint is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Something an app wants to know.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whose.
    pub app: AppId,
    /// Its message.
    pub id: MessageId,
    /// Its number within the message.
    pub seq: u32,
    /// `message.delivered` and its like.
    pub kind: &'static str,
    /// When it happened.
    pub at: Wall,
    /// The event's `data`: a JSON object, rendered.
    pub data: String,
}

/// An event's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its message.
    pub id: MessageId,
    /// Its number within the message.
    pub seq: u32,
    /// Whether the endpoint took it; else it never will be told: no endpoint, given up after a day, or no room.
    pub delivered: bool,
}

/// Takes notices; calls endpoints until dropped.
pub struct Courier {
    bag: Arc<Bag>,
    task: AbortHandle,
}

/// What courier and callers share.
struct Bag {
    tables: Arc<ArcSwap<Tables>>,
    clock: Clock,
    meter: Arc<dyn Meter>,
    settings: Settings,
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Default)]
struct Inside {
    queues: HashMap<AppId, Queue>,
    /// Ends not yet told.
    over: Vec<Told>,
    /// Apps whose events found no room since their last delivery; each is logged once.
    overflowing: HashSet<AppId>,
}

impl Courier {
    /// Starts the courier on this runtime. `told` hears of every event's end, in lists.
    pub fn spawn(
        tables: Arc<ArcSwap<Tables>>,
        settings: Settings,
        clock: Clock,
        meter: Arc<dyn Meter>,
        told: impl Fn(Vec<Told>) + Send + 'static,
    ) -> Courier {
        let (inside, changed) = (Mutex::default(), Notify::new());
        let bag = Arc::new(Bag { tables, clock, meter, settings, inside, changed });
        let round = Round { bag: bag.clone(), endpoints: HashMap::new(), calls: JoinSet::new(), out: HashMap::new() };
        let task = tokio::spawn(round.run(told)).abort_handle();
        Courier { bag, task }
    }

    /// Takes an event; never blocks. Its end is told later, whatever it is.
    pub fn tell(&self, notice: Notice) {
        let now = self.bag.clock.now();
        let which = EventRef { id: notice.id, seq: notice.seq, at: notice.at };
        let mut inside = self.bag.lock();
        if endpoint(&self.bag.tables.load(), notice.app).is_none() {
            self.bag.over(&mut inside, &[which], now, "no_endpoint");
        } else {
            let queue = inside.queues.entry(notice.app).or_insert_with(|| Queue::new(self.bag.settings.clone()));
            let dropped = queue.push(now.time, Event { which, json: render(&which, &notice) });
            self.bag.over(&mut inside, &dropped, now, "overflow");
            if !dropped.is_empty() && inside.overflowing.insert(notice.app) {
                let app = self.bag.name(notice.app);
                tracing::warn!(app = &*app, "no room for more events; the oldest will not be told");
            }
        }
        drop(inside);
        self.bag.changed.notify_one();
    }

    /// Events waiting for all apps; what is in flight not counted.
    pub fn backlog(&self) -> usize {
        self.bag.lock().queues.values().map(Queue::backlog).sum()
    }

    /// How many events of this app still fit. Whoever tells many at once (after a restart) looks here first: what does not
    /// fit is given up.
    pub fn room(&self, app: AppId) -> usize {
        let held = self.bag.lock().queues.get(&app).map_or(0, Queue::backlog);
        self.bag.settings.most_events.saturating_sub(held)
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bag {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes ends, counted under `result`.
    fn over(&self, inside: &mut Inside, events: &[EventRef], now: Moment, result: &'static str) {
        for event in events {
            self.meter.callback(result, Duration::from_millis(now.wall.0.saturating_sub(event.at.0)));
            inside.over.push(Told { id: event.id, seq: event.seq, delivered: result == "delivered" });
        }
    }

    fn name(&self, app: AppId) -> Arc<str> {
        self.tables.load().plan.names.apps.get(usize::from(app.0)).cloned().unwrap_or_default()
    }
}

fn endpoint(tables: &Tables, app: AppId) -> Option<&Callback> {
    tables.plan.apps.iter().find(|a| a.id == app)?.callback.as_ref()
}

/// The event as it stands in a body.
fn render(which: &EventRef, notice: &Notice) -> Bytes {
    let mut json = Vec::with_capacity(notice.data.len() + 128);
    // Writing to memory does not fail; ids, kinds and times hold nothing that needs escapes.
    let _ = write!(
        json,
        r#"{{"id":"{which}","type":"{}","time":"{}","seq":{},"data":{}}}"#,
        notice.kind, notice.at, notice.seq, notice.data
    );
    json.into()
}

/// The courier's task.
struct Round {
    bag: Arc<Bag>,
    endpoints: HashMap<AppId, Endpoint>,
    calls: JoinSet<Called>,
    out: HashMap<Id, (AppId, Batch)>,
}

struct Endpoint {
    callback: Callback,
    client: Client<HttpsConnector<Reach>, Full<Bytes>>,
}

impl Round {
    async fn run(mut self, told: impl Fn(Vec<Told>)) {
        let _vital = Vital("the courier");
        loop {
            let deadline = self.dispatch();
            let over = std::mem::take(&mut self.bag.lock().over);
            if !over.is_empty() {
                told(over);
            }
            let wake = deadline.and_then(|time| self.bag.clock.instant(time)).map(tokio::time::Instant::from_std);
            tokio::select! {
                () = self.bag.changed.notified() => {}
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

    /// Starts every call that may start; says when to look again.
    fn dispatch(&mut self) -> Option<crate::clock::Time> {
        let bag = self.bag.clone();
        let (tables, now) = (bag.tables.load(), bag.clock.now());
        let mut inside = bag.lock();
        let mut gone = Vec::new();
        let mut deadline = None;
        for (app, queue) in &mut inside.queues {
            let Some(callback) = endpoint(&tables, *app) else {
                gone.extend(queue.clear());
                continue;
            };
            while let Some(batch) = queue.next(now.time) {
                let call = self.endpoint(*app, callback).call(&batch, now.wall, &bag.settings);
                let id = self.calls.spawn(call).id();
                self.out.insert(id, (*app, batch));
            }
            deadline = [deadline, queue.deadline()].into_iter().flatten().min();
        }
        bag.over(&mut inside, &gone, now, "no_endpoint");
        inside.queues.retain(|app, queue| !queue.is_idle() || endpoint(&tables, *app).is_some());
        self.endpoints.retain(|app, _| endpoint(&tables, *app).is_some());
        deadline
    }

    /// The app's client; a new one where its configuration changed.
    fn endpoint(&mut self, app: AppId, callback: &Callback) -> &Endpoint {
        if self.endpoints.get(&app).is_none_or(|known| known.callback != *callback) {
            self.endpoints.insert(app, Endpoint::new(callback, &self.bag.settings));
        }
        &self.endpoints[&app]
    }

    fn ended(&mut self, ended: Result<(Id, Called), JoinError>) {
        // A call that panicked counts as failed: its events are tried again.
        let (id, called) = ended.unwrap_or_else(|e| (e.id(), Called::Failed(None)));
        let Some((app, batch)) = self.out.remove(&id) else { return };
        let now = self.bag.clock.now();
        let mut inside = self.bag.lock();
        let Some(queue) = inside.queues.get_mut(&app) else { return };
        let late = |event: &EventRef| Duration::from_millis(now.wall.0.saturating_sub(event.at.0));
        let first = batch.events.first().map(late).unwrap_or_default();
        let Ends { delivered, given_up, again, tripped } = queue.answered(now.time, batch, called, fastrand::f64());
        for _ in 0..again {
            self.bag.meter.callback("retried", first);
        }
        self.bag.over(&mut inside, &delivered, now, "delivered");
        self.bag.over(&mut inside, &given_up, now, "given_up");
        if !delivered.is_empty() {
            inside.overflowing.remove(&app);
        }
        drop(inside);
        if tripped || !given_up.is_empty() {
            let app = self.bag.name(app);
            if tripped {
                tracing::warn!(app = &*app, "callbacks keep failing; only a trial now and then from here on");
            }
            if let Some(first) = given_up.first() {
                tracing::warn!(app = &*app, events = given_up.len(), %first, "events given up after the last try");
            }
        }
    }
}

impl Endpoint {
    fn new(callback: &Callback, settings: &Settings) -> Self {
        let reach = Reach::new(&callback.allow_private, settings.connect);
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(reach);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.in_flight)
            .build(connector);
        Endpoint { callback: callback.clone(), client }
    }

    /// One call, as a future of its own. The body and its id stay the same over repetitions; time and signature do not.
    fn call(&self, batch: &Batch, now: Wall, settings: &Settings) -> impl Future<Output = Called> + Send + use<> {
        let timestamp = now.0 / 1_000;
        let signature = sign(&self.callback.secrets, &batch.id, timestamp, &batch.body);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.callback.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("qiao/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &batch.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::new(batch.body.clone()));
        let (client, total) = (self.client.clone(), settings.total);
        async move {
            let Ok(request) = request else { return Called::Failed(None) };
            let Ok(Ok(answer)) = tokio::time::timeout(total, client.request(request)).await else {
                return Called::Failed(None);
            };
            let (head, body) = answer.into_parts();
            // The status has decided; the rest is read for the connection's sake only.
            let _ = tokio::time::timeout(DRAIN, Limited::new(body, ANSWER_LIMIT).collect()).await;
            verdict(head.status, head.headers.get(RETRY_AFTER))
        }
    }
}

fn verdict(status: StatusCode, retry_after: Option<&HeaderValue>) -> Called {
    if status.is_success() {
        return Called::Taken;
    }
    let heeded = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = retry_after.filter(|_| heeded).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    Called::Failed(seconds.map(|s| Duration::from_secs(s).min(RETRY_AFTER_LIMIT)))
}
