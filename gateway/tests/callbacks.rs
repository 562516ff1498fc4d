//! The courier against a real endpoint: what is on the wire, what is repeated, what is never reached.
#![allow(clippy::unwrap_used, missing_docs)]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use fixture::{Message, Wire, plan, tables};
use gateway::admit::Tables;
use gateway::callback::{Courier, Notice, Settings, Told};
use gateway::clock::{Clock, Wall};
use gateway::config::plan::{AppId, Callback};
use gateway::ids::MessageId;
use gateway::journal::record::Telling::{self, Delivered, Never};
use gateway::meter::NoMeter;
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

struct Endpoint {
    listener: TcpListener,
    courier: Courier,
    told: mpsc::UnboundedReceiver<Told>,
    tables: Arc<ArcSwap<Tables>>,
    #[allow(dead_code, reason = "it goes with the test")]
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
        let tell = move |list: Vec<Told>| list.into_iter().for_each(|told| sender.send(told).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let box_dir = dir.path().join("callbacks");
        let courier = Courier::spawn(&box_dir, tables.clone(), Clock::start(), Arc::new(NoMeter), tell).unwrap();
        Endpoint { listener, courier, told, tables, dir }
    }

    async fn open() -> Endpoint {
        Endpoint::start(hasty(), &["127.0.0.0/8"]).await
    }

    fn tell(&self, app: u16, id: u64) {
        self.courier.tell(Notice {
            app: AppId(app),
            id: MessageId(id),
            seq: 1,
            kind: "message.delivered",
            at: Wall(1_735_689_600_000),
            data: format!(r#"{{"n":{id}}}"#),
        });
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

    async fn told(&mut self) -> (u64, Telling) {
        let told = tokio::time::timeout(Duration::from_secs(10), self.told.recv()).await.unwrap().unwrap();
        (told.id.0, told.end)
    }
}

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
    assert_eq!(endpoint.told().await, (7, Delivered));
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
async fn a_private_address_is_not_connected_to() {
    let settings = Settings { give_up_after: Duration::from_millis(30), ..hasty() };
    let mut endpoint = Endpoint::start(settings, &["10.0.0.0/8"]).await;
    endpoint.tell(0, 7);
    assert_eq!(endpoint.told().await, (7, Never));
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
    let mut delivered = Vec::new();
    for _ in 0..4 {
        delivered.push(endpoint.told().await);
    }
    delivered.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(delivered, [(1, Delivered), (2, Delivered), (3, Delivered), (4, Delivered)]);
}
