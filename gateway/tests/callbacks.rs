//! The courier against a real endpoint: what is on the wire, what is repeated, what is never reached.
#![allow(clippy::unwrap_used, missing_docs)]

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use fixture::{Message, Wire, plan, tables};
use gateway::admit::Tables;
use gateway::callback::letter::{Event, EventRef};
use gateway::callback::{Courier, Notice, Settings, Told};
use gateway::clock::{Clock, Wall};
use gateway::config::plan::{AppId, Callback, TierId};
use gateway::ids::MessageId;
use gateway::journal::record::Telling::{self, Delivered, Kept, Never};
use gateway::meter::{Meter, NoMeter};
use hmac::Mac as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const SECRETS: [&[u8]; 2] = [b"new-secret-new-secret-new", b"old-secret-old-secret-old"];

/// Every wait is short, so that no test has to sleep.
fn hasty() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        linger: ms(5),
        connect: ms(2_000),
        total: ms(2_000),
        schedule: vec![ms(5)],
        trial_every: ms(5),
        ..Settings::default()
    }
}

/// Counts the events for which there is no endpoint.
#[derive(Default)]
struct Unwanted(AtomicUsize);

impl Meter for Unwanted {
    fn rejected(&self, _: &'static str) {}
    fn accepted(&self, _: TierId, _: &'static str) {}
    fn http(&self, _: &'static str, _: &'static str, _: u16, _: Duration) {}
    fn callback(&self, result: &'static str, delays: &mut dyn Iterator<Item = Duration>) {
        if result == "no_endpoint" {
            self.0.fetch_add(delays.count(), Relaxed);
        }
    }
}

struct Endpoint {
    listener: TcpListener,
    courier: Courier,
    told: mpsc::UnboundedReceiver<Told>,
    /// Of what needs no call.
    ended: mpsc::UnboundedSender<Told>,
    unwanted: Arc<Unwanted>,
    tables: Arc<ArcSwap<Tables>>,
    dir: tempfile::TempDir,
}

impl Endpoint {
    async fn start(settings: Settings, allow_private: &[&str]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut plan = plan();
        plan.apps[0].callback = Some(Callback {
            url: format!("http://{}/hook?a=b", listener.local_addr().unwrap()),
            secrets: SECRETS.map(<[u8]>::to_vec).to_vec(),
            allow_private: allow_private.iter().map(|net| net.parse().unwrap()).collect(),
        });
        plan.callbacks = settings;
        let tables = tables(plan);
        let (sender, told) = mpsc::unbounded_channel();
        let ended = sender.clone();
        let tell = move |list: Vec<Told>| list.into_iter().for_each(|told| sender.send(told).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let box_dir = dir.path().join("callbacks");
        let unwanted = Arc::new(Unwanted::default());
        let courier = Courier::spawn(&box_dir, tables.clone(), Clock::start(), unwanted.clone(), tell).unwrap();
        Endpoint { listener, courier, told, ended, unwanted, tables, dir }
    }

    /// The courier's process dies, and another begins with what is on disk.
    async fn restart(&mut self) {
        let (sender, told) = mpsc::unbounded_channel();
        self.ended = sender.clone();
        let tell = move |list: Vec<Told>| list.into_iter().for_each(|told| sender.send(told).unwrap_or_default());
        let letters = self.courier.stop();
        tokio::task::spawn_blocking(move || letters.close()).await.unwrap();
        let (dir, tables) = (self.dir.path().join("again"), self.tables.clone());
        // Under another name: the engine's lock goes with the last handle, which a test cannot wait for.
        copy(&self.dir.path().join("callbacks"), &dir);
        self.courier = Courier::spawn(&dir, tables, Clock::start(), Arc::new(NoMeter), tell).unwrap();
        self.told = told;
    }

    async fn open() -> Endpoint {
        Endpoint::start(hasty(), &["127.0.0.0/8"]).await
    }

    fn tell(&self, app: u16, id: u64) {
        self.tell_all(&[(app, id)]);
    }

    /// Hands events of apps in together, as the line does.
    fn tell_all(&self, events: &[(u16, u64)]) {
        let mut counter = self.courier.counter();
        for (app, id) in events {
            let (which, json) = event(*id);
            if let Some(end) = counter.needless(AppId(*app), which.id, which.seq) {
                self.ended.send(Told { id: which.id, seq: which.seq, end }).unwrap();
                continue;
            }
            counter.take(Notice { app: AppId(*app), which, json: &json, first: false });
        }
    }

    async fn wire(&self) -> Wire {
        let accepted = tokio::time::timeout(Duration::from_secs(10), self.listener.accept()).await;
        Wire::over(accepted.expect("a call").unwrap().0)
    }

    /// No connection waits to be accepted.
    fn is_left_alone(&self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.listener.poll_accept(&mut context).is_pending()
    }

    /// Waits until the letter box has these totals of letters that wait and are dead.
    async fn totals(&self, waiting: u64, dead: u64) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        for _ in 0..2_000 {
            let totals = self.courier.totals().get("shop").copied().unwrap_or_default();
            if (totals.waiting, totals.dead) == (waiting, dead) {
                return;
            }
            look.tick().await;
        }
        panic!("not {waiting} waiting and {dead} dead: {:?}", self.courier.totals());
    }

    async fn told(&mut self) -> (u64, Telling) {
        let told = tokio::time::timeout(Duration::from_secs(10), self.told.recv()).await.unwrap().unwrap();
        (told.id.0, told.end)
    }
}

fn event(id: u64) -> (EventRef, bytes::Bytes) {
    let which = EventRef { id: MessageId(id), seq: 1, at: Wall(1_735_689_600_000) };
    (which, Event::render(which, "message.delivered", &serde_json::json!({ "n": id })).unwrap().json)
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

const FAILED: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";

fn events(call: &Message) -> Vec<u64> {
    let list = call.json()["events"].as_array().unwrap().clone();
    list.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_signed_with_every_secret_over_what_was_sent() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(0, 7);
    let mut wire = endpoint.wire().await;
    let call = wire.read().await.unwrap();
    assert!(call.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{}", call.head);
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("webhook-id"), Some("000000000007-1"));
    assert_eq!(
        call.json(),
        serde_json::json!({"events": [{
            "id": "000000000007-1", "type": "message.delivered", "time": "2025-01-01T00:00:00.000Z", "seq": 1,
            "data": {"n": 7},
        }]})
    );
    let timestamp = call.header("webhook-timestamp").unwrap();
    let wanted = SECRETS.map(|secret| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("000000000007-1.{timestamp}.").as_bytes());
        mac.update(&call.body);
        format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
    });
    assert_eq!(call.header("webhook-signature"), Some(&*wanted.join(" ")));
    wire.write(OK).await;
    assert_eq!(endpoint.told().await, (7, Delivered));
}

#[tokio::test]
async fn only_2xx_is_success_redirects_are_not_followed_and_repetitions_are_the_same() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(0, 7);
    let mut wire = endpoint.wire().await;
    let first = wire.read().await.unwrap();
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    ] {
        wire.write(answer).await;
        let again = wire.read().await.unwrap();
        assert!(again.head.starts_with("POST /hook?a=b "));
        assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
    }
    // A broken connection is a failure like any other.
    drop(wire);
    let mut wire = endpoint.wire().await;
    let again = wire.read().await.unwrap();
    assert_eq!(again.body, first.body);
    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(endpoint.told().await, (7, Kept), "after the first failure");
    endpoint.totals(0, 0).await;
}

#[tokio::test]
async fn events_told_during_a_call_go_together() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(0, 1);
    let mut wire = endpoint.wire().await;
    assert_eq!(events(&wire.read().await.unwrap()), [1]);
    for id in 2..=9 {
        endpoint.tell(0, id);
    }
    let mut second = endpoint.wire().await;
    assert_eq!(events(&second.read().await.unwrap()), (2..=9).collect::<Vec<_>>());
    second.write(OK).await;
    for id in 2..=9 {
        assert_eq!(endpoint.told().await, (id, Delivered));
    }
    wire.write(OK).await;
    assert_eq!(endpoint.told().await, (1, Delivered));
}

#[tokio::test]
async fn of_events_handed_in_together_each_goes_its_own_way() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell_all(&[(0, 1), (1, 2), (0, 3), (0, 4), (1, 5)]);
    assert_eq!([endpoint.told().await, endpoint.told().await], [(2, Never), (5, Never)]);
    assert_eq!(endpoint.unwanted.0.load(Relaxed), 2);
    let mut wire = endpoint.wire().await;
    assert_eq!(events(&wire.read().await.unwrap()), [1, 3, 4]);
    wire.write(OK).await;
    for id in [1, 3, 4] {
        assert_eq!(endpoint.told().await, (id, Delivered));
    }
    let counter = endpoint.courier.counter();
    assert_eq!([0, 2].map(|app| counter.room(AppId(app))), [hasty().most_events; 2]);
}

#[tokio::test]
async fn an_event_without_an_endpoint_ends_at_once_and_a_lost_endpoint_ends_all() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(1, 5);
    assert_eq!(endpoint.told().await, (5, Never));
    endpoint.tell(0, 6);
    let mut wire = endpoint.wire().await;
    wire.read().await.unwrap();
    endpoint.tables.store(Arc::new(Tables::new(Arc::new(plan()))));
    wire.write("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(endpoint.told().await, (6, Never), "its app has no endpoint any more");
    assert_eq!(endpoint.courier.backlog(), 0);
}

#[tokio::test]
async fn an_app_that_the_configuration_has_lost_gets_its_events_when_it_is_back() {
    let settings = Settings { spill_after: Duration::from_millis(20), ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["127.0.0.0/8"]).await;
    let whole = endpoint.tables.load().plan.clone();
    let mut torn = gateway::config::plan::Plan::clone(&whole);
    torn.apps.remove(0);
    endpoint.tell(0, 6);
    let mut wire = endpoint.wire().await;
    wire.read().await.unwrap();
    endpoint.tables.store(Arc::new(Tables::new(Arc::new(torn))));
    endpoint.tell(0, 7);
    assert_eq!(endpoint.told().await, (7, Kept));
    wire.write("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(endpoint.told().await, (6, Kept), "the call under way counts as well");
    endpoint.totals(2, 0).await;
    assert!(endpoint.is_left_alone());
    endpoint.tables.store(Arc::new(Tables::new(whole)));
    endpoint.courier.replanned();
    let mut got = Vec::new();
    for _ in 0..2 {
        let mut wire = endpoint.wire().await;
        got.extend(events(&wire.read().await.unwrap()));
        wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    }
    got.sort_unstable();
    assert_eq!(got, [6, 7]);
    endpoint.tell(1, 8);
    assert_eq!(endpoint.told().await, (8, Never), "an app configured without an endpoint");
    endpoint.totals(0, 0).await;
}

#[tokio::test]
async fn a_private_address_is_not_connected_to() {
    let settings = Settings { give_up_after: Duration::from_millis(30), ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["10.0.0.0/8"]).await;
    endpoint.tell(0, 7);
    assert_eq!(endpoint.told().await, (7, Kept));
    endpoint.totals(0, 1).await;
    assert!(endpoint.is_left_alone(), "127.0.0.1 was reached");
}

#[tokio::test]
async fn an_open_circuit_lets_one_trial_through_until_it_heals() {
    let settings = Settings { trip_after: 2, batch_events: 1, in_flight: 4, ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["127.0.0.0/8"]).await;
    for id in 1..=4 {
        endpoint.tell(0, id);
    }
    let mut wires = Vec::new();
    for _ in 0..4 {
        let mut wire = endpoint.wire().await;
        wire.read().await.unwrap();
        wires.push(wire);
    }
    for mut wire in wires {
        wire.write("HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert!(wire.ended().await);
    }
    let mut trial = endpoint.wire().await;
    trial.read().await.unwrap();
    assert!(endpoint.is_left_alone(), "one trial at a time");
    trial.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    for _ in 0..3 {
        let mut wire = endpoint.wire().await;
        wire.read().await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    }
    for _ in 0..4 {
        assert_eq!(endpoint.told().await.1, Kept, "all failed once");
    }
    endpoint.totals(0, 0).await;
}

#[tokio::test]
async fn a_letter_that_failed_is_the_same_call_after_a_restart_and_is_not_told_twice() {
    let settings = Settings { schedule: vec![Duration::from_millis(50)], ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["127.0.0.0/8"]).await;
    endpoint.tell(0, 7);
    let mut wire = endpoint.wire().await;
    let first = wire.read().await.unwrap();
    wire.write(FAILED).await;
    assert_eq!(endpoint.told().await, (7, Kept), "from here on it is the letter box's");
    drop(wire);
    endpoint.restart().await;
    // The journal's note of it was lost in the crash: it is told again.
    endpoint.tell(0, 7);
    assert_eq!(endpoint.told().await, (7, Kept));
    let mut wire = endpoint.wire().await;
    let again = wire.read().await.unwrap();
    assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    endpoint.tell(0, 8);
    assert_eq!(events(&wire.read().await.unwrap()), [8], "one call for one event");
    wire.write(OK).await;
    assert_eq!(endpoint.told().await, (8, Delivered));
    endpoint.totals(0, 0).await;
    assert_eq!(endpoint.courier.backlog(), 0);
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_called_no_more_often_than_allowed_and_its_events_are_kept() {
    let settings = Settings {
        in_flight: 3,
        batch_events: 1,
        spill_after: Duration::from_millis(20),
        total: Duration::from_secs(30),
        ..hasty()
    };
    let mut endpoint = Endpoint::start(settings, &["127.0.0.0/8"]).await;
    (1..=20).for_each(|id| endpoint.tell(0, id));
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = endpoint.wire().await;
        wire.read().await.unwrap();
        wires.push(wire);
    }
    for _ in 0..17 {
        assert_eq!(endpoint.told().await.1, Kept);
    }
    assert!(endpoint.is_left_alone(), "a fourth connection");
    assert_eq!(endpoint.courier.backlog(), 20);
}

#[tokio::test]
async fn a_changed_url_takes_the_next_call_and_the_letters_stay() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(0, 7);
    let mut wire = endpoint.wire().await;
    let first = wire.read().await.unwrap();
    let mut plan = gateway::config::plan::Plan::clone(&endpoint.tables.load().plan);
    let callback = plan.apps[0].callback.as_mut().unwrap();
    callback.url = callback.url.replace("/hook", "/moved");
    callback.secrets.truncate(1);
    endpoint.tables.store(Arc::new(Tables::new(Arc::new(plan))));
    wire.write(FAILED).await;
    assert_eq!(endpoint.told().await, (7, Kept));
    let mut wire = endpoint.wire().await;
    let again = wire.read().await.unwrap();
    assert!(again.head.starts_with("POST /moved?a=b "), "{}", again.head);
    assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
    assert_eq!(again.header("webhook-signature").unwrap().split(' ').count(), 1, "the secret that is left");
    wire.write(OK).await;
}

#[tokio::test]
async fn a_410_ends_the_calls_until_the_configuration_names_another_endpoint() {
    let mut endpoint = Endpoint::open().await;
    endpoint.tell(0, 1);
    let mut wire = endpoint.wire().await;
    wire.read().await.unwrap();
    wire.write("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(endpoint.told().await, (1, Kept), "among the dead");
    endpoint.restart().await;
    endpoint.tell(0, 2);
    assert_eq!(endpoint.told().await, (2, Kept), "a restart forgets nothing");
    assert!(endpoint.is_left_alone());
    let totals = endpoint.courier.totals();
    assert_eq!((totals["shop"].dead, totals["shop"].waiting), (2, 0));
    let mut plan = gateway::config::plan::Plan::clone(&endpoint.tables.load().plan);
    let callback = plan.apps[0].callback.as_mut().unwrap();
    callback.url = callback.url.replace("/hook", "/moved");
    endpoint.tables.store(Arc::new(Tables::new(Arc::new(plan))));
    endpoint.tell(0, 3);
    let mut wire = endpoint.wire().await;
    assert_eq!(events(&wire.read().await.unwrap()), [3]);
    wire.write(OK).await;
    assert_eq!(endpoint.told().await, (3, Delivered));
}

#[tokio::test]
async fn a_name_is_checked_by_the_address_it_leads_to() {
    let settings = Settings { spill_after: Duration::from_secs(60), ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["10.0.0.0/8"]).await;
    let mut plan = gateway::config::plan::Plan::clone(&endpoint.tables.load().plan);
    let callback = plan.apps[0].callback.as_mut().unwrap();
    callback.url = callback.url.replace("127.0.0.1", "localhost");
    endpoint.tables.store(Arc::new(Tables::new(Arc::new(plan))));
    endpoint.tell(0, 7);
    assert_eq!(endpoint.told().await, (7, Kept), "the call failed");
    assert!(endpoint.is_left_alone(), "a name of 127.0.0.1 was reached");
}
