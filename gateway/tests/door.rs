//! The application's door from outside: raw octets over real sockets, a journal that answers when it is told to.
#![allow(clippy::unwrap_used, missing_docs)]

mod batches;
mod fixture;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use fixture::{FENCED_KEY, KEY, OTHER_KEY, Wire, plan, post, tables};
use gateway::accept::batch::Counts;
use gateway::accept::{
    BoxFuture, Commit, Committed, Door, Flock, Found, Fresh, Idempotency, Inquiry, Remembered, serve,
};
use gateway::admit::{Ask, Busy, Gate, Tables, Wait};
use gateway::clock::{Clock, Wall};
use gateway::config::plan::Plan;
use gateway::ids::{Ids, MessageId};
use gateway::journal::record::{Accepted, Record, kind};
use gateway::listen::{UNREAD_LIMIT, listen};
use gateway::meter::NoMeter;
use gateway::report::story::{Status, Story};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};

const GOOD: &str = r#"{"to":"13800138000","text":"hello"}"#;

/// Everything behind the door.
struct Behind {
    /// Answer at once with this, or hand it to the test.
    answer: Mutex<Option<Committed>>,
    fresh: mpsc::UnboundedSender<Fresh>,
    busy: Mutex<Option<Busy>>,
    /// So many of one request come in before `busy` is said.
    room: Mutex<Option<u32>>,
    flocks: mpsc::UnboundedSender<Flock>,
    records: Mutex<HashMap<MessageId, Bytes>>,
    remembered: Mutex<HashMap<String, Found>>,
}

impl Commit for Behind {
    fn commit(&self, fresh: Fresh) {
        match *self.answer.lock().unwrap() {
            Some(answer) => {
                let (sender, _) = tokio::sync::oneshot::channel();
                let sender = std::mem::replace(&mut { fresh }.answer, sender);
                let _ = sender.send(answer);
            }
            None => self.fresh.send(fresh).unwrap(),
        }
    }

    fn commit_batch(&self, flock: Flock) {
        let record = Bytes::copy_from_slice(flock.body(&flock.record));
        self.records.lock().unwrap().insert(flock.id, record);
        let answer = *self.answer.lock().unwrap();
        let (sender, _) = tokio::sync::oneshot::channel();
        let mut flock = flock;
        if let Some(answer) = answer {
            let _ = std::mem::replace(&mut flock.answer, sender).send(answer);
        }
        self.flocks.send(flock).unwrap();
    }
}

impl Gate for Behind {
    fn admit(&self, ask: &Ask) -> Result<(), Busy> {
        let room = *self.room.lock().unwrap();
        let busy = self.busy.lock().unwrap().filter(|_| room.is_none_or(|room| ask.ahead >= room));
        busy.map_or(Ok(()), Err)
    }
}

impl Remembered for Behind {
    fn find<'a>(&'a self, app: &'a str, key: &'a str) -> BoxFuture<'a, Option<Found>> {
        let found = self.remembered.lock().unwrap().get(&format!("{app}/{key}")).cloned();
        Box::pin(async { found })
    }
}

impl Inquiry for Behind {
    fn message(&self, id: MessageId) -> BoxFuture<'_, Option<Story>> {
        let story = (id == MessageId(7)).then(|| Story {
            id: id.to_string(),
            app: "shop".into(),
            client_ref: None,
            to: "+8613800138000".into(),
            kind: "sms".into(),
            tier: "otp".into(),
            status: Status::Submitted,
            reason: None,
            evidence: None,
            parts: vec![],
            encoding: "gsm7".into(),
            carrier: Some("paper".into()),
            accepted_at: Wall(0).to_string(),
            expires_at: Wall(1).to_string(),
            timeline: vec![],
        });
        Box::pin(async { story })
    }

    fn batch(&self, id: MessageId) -> BoxFuture<'_, Option<Bytes>> {
        let record = self.records.lock().unwrap().get(&id).cloned();
        Box::pin(async { record })
    }

    fn counts(&self, _: MessageId, count: u16) -> BoxFuture<'_, Option<Counts>> {
        Box::pin(async move { Some(Counts { delivered: u32::from(count), ..Counts::default() }) })
    }
}

/// The record of a batch of one message.
fn of_one() -> Bytes {
    let mut octets = Vec::new();
    Record::Batch(gateway::journal::record::Batch { app: "shop", count: 1, ..Default::default() }).write(&mut octets);
    octets.into()
}

struct Qiao {
    at: SocketAddr,
    tables: Arc<ArcSwap<Tables>>,
    behind: Arc<Behind>,
    fresh: mpsc::UnboundedReceiver<Fresh>,
    flocks: mpsc::UnboundedReceiver<Flock>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Qiao {
    async fn start() -> Qiao {
        Qiao::with(plan()).await
    }

    async fn with(plan: Plan) -> Qiao {
        Qiao::patient(plan, UNREAD_LIMIT).await
    }

    async fn patient(plan: Plan, unread: Duration) -> Qiao {
        let (sender, fresh) = mpsc::unbounded_channel();
        let (herd, flocks) = mpsc::unbounded_channel();
        let behind = Arc::new(Behind {
            answer: Mutex::new(Some(Committed::Durable)),
            fresh: sender,
            busy: Mutex::default(),
            room: Mutex::default(),
            flocks: herd,
            records: Mutex::new([(MessageId(7), of_one())].into()),
            remembered: Mutex::default(),
        });
        let tables = tables(plan);
        let door = Door {
            tables: tables.clone(),
            clock: Clock::start(),
            ids: Arc::new(Ids::default()),
            commit: behind.clone(),
            gate: behind.clone(),
            idempotency: Idempotency::new(100),
            remembered: behind.clone(),
            inquiry: behind.clone(),
            batches: gateway::accept::batch::Places::default(),
            meter: Arc::new(NoMeter),
        };
        let listener = listen(([127, 0, 0, 1], 0).into(), unread).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, Arc::new(door), stopped));
        Qiao { at, tables, behind, fresh, flocks, stop, task }
    }

    async fn wire(&self) -> Wire {
        Wire::dial(self.at).await
    }

    fn commits(&self, answer: Option<Committed>) {
        *self.behind.answer.lock().unwrap() = answer;
    }

    async fn taken(&mut self) -> Fresh {
        tokio::time::timeout(Duration::from_secs(10), self.fresh.recv()).await.unwrap().unwrap()
    }
}

async fn ask(wire: &mut Wire, request: impl AsRef<[u8]>) -> fixture::Message {
    wire.write(request).await;
    wire.read().await.expect("an answer")
}

fn accepted(fresh: &Fresh) -> Accepted<'_> {
    match Record::read(kind::ACCEPTED, &fresh.body).unwrap() {
        Record::Accepted(record) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_accepted_before_it_is_durable() {
    let mut qiao = Qiao::start().await;
    qiao.commits(None);
    let mut wire = qiao.wire().await;
    let text = "x".repeat(120);
    let body = format!(
        r#"{{"to":"13800138000","text":"{text}","tier":"otp","signature":"云桥","sender":"1069","client_ref":"r1","expires_in":60,"callback":false}}"#
    );
    wire.write(post("Idempotency-Key: k1\r\n", &body)).await;
    let fresh = qiao.taken().await;
    let mut nothing = [0; 1];
    assert!(wire.stream.try_read(&mut nothing).is_err(), "answered before the commit");

    let record = accepted(&fresh);
    assert_eq!((record.app, record.tier, record.group, record.kind), ("shop", "otp", "all", "sms"));
    assert_eq!((record.to, record.sender, record.client_ref), ("+8613800138000", Some("1069"), Some("r1")));
    assert_eq!(record.text, format!("【云桥】{text}"));
    assert_eq!((record.idempotency_key, record.callback), (Some("k1"), false));
    assert_eq!((record.parts, record.reserve, record.encoding), (2, 3, "gsm7"));
    assert_eq!(record.expires.0 - record.at.0, 60_000);
    assert_ne!(record.body_hash, [0; 16]);
    assert_eq!((fresh.message.parts, fresh.callback), (3, false));
    assert_eq!(fresh.message.expires.since(fresh.message.accepted), Duration::from_secs(60));

    let id = fresh.message.id.to_string();
    fresh.answer.send(Committed::Durable).unwrap();
    let answer = wire.read().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.header("location"), Some(&*format!("/v1/messages/{id}")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), serde_json::json!({"id": id, "status": "accepted", "parts": 2, "encoding": "gsm7"}));
}

#[tokio::test]
async fn a_refused_commit_is_503_and_an_unknown_one_no_answer_at_all() {
    let qiao = Qiao::start().await;
    qiao.commits(Some(Committed::Refused));
    let mut wire = qiao.wire().await;
    let answer = ask(&mut wire, post("", GOOD)).await;
    assert_eq!((answer.status(), &*answer.code()), (503, "not_durable"));
    assert!(answer.header("retry-after").is_some());
    qiao.commits(Some(Committed::Unknown));
    wire.write(post("", GOOD)).await;
    assert!(wire.ended().await, "an unknown commit must not be answered");
}

#[tokio::test]
async fn each_refusal_has_its_status_code_and_place() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let long = format!(r#"{{"to":"13800138000","text":"{}"}}"#, "x".repeat(1_001));
    let longer = format!(r#"{{"to":"13800138000","text":"{}"}}"#, "x".repeat(10_001));
    for (body, status, code, pointer) in [
        ("{", 400, "invalid_json", ""),
        (r#"{"to":13800138000,"text":"a"}"#, 400, "wrong_type", "/to"),
        (r#"{"to":"13800138000","text":"a","x":1}"#, 400, "unknown_field", "/x"),
        (r#"{"text":"a"}"#, 422, "missing", "/to"),
        (r#"{"to":"13800138000"}"#, 422, "missing", "/text"),
        (r#"{"to":"13800138000","text":""}"#, 422, "empty", "/text"),
        (r#"{"to":"13800138000","text":"a\u0000"}"#, 422, "invalid_character", "/text"),
        (r#"{"to":"138","text":"a"}"#, 422, "invalid_number", "/to"),
        (r#"{"to":"13800138000","text":"a","type":"mms"}"#, 422, "type_unavailable", "/type"),
        (r#"{"to":"13800138000","text":"a","tier":"marketing"}"#, 422, "tier_not_allowed", "/tier"),
        (r#"{"to":"13800138000","text":"a","signature":"别人"}"#, 422, "signature_not_allowed", "/signature"),
        (r#"{"to":"13800138000","text":"a","sender":"a b"}"#, 422, "invalid_sender", "/sender"),
        (r#"{"to":"13800138000","text":"a","expires_in":9}"#, 422, "out_of_range", "/expires_in"),
        (r#"{"to":"13800138000","text":"a","send_at":"x"}"#, 422, "send_at_unavailable", "/send_at"),
        (r#"{"to":"13800138000","template":"x","params":{"a":[1]}}"#, 422, "template_unavailable", "/template"),
        (&long, 422, "too_long", "/text"),
        (&longer, 422, "too_long", "/text"),
    ] {
        let answer = ask(&mut wire, post("", body)).await;
        assert_eq!((answer.status(), &*answer.code()), (status, code), "{body:.80}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body:.80}");
        assert_eq!(answer.json()["status"], status);
    }
    let answer = ask(&mut wire, post("", r#"{"to":"+12025550123","text":"a"}"#)).await;
    assert_eq!((answer.status(), &*answer.code()), (422, "no_route"));
    let answer = ask(&mut wire, post("", r#"{"to":"1","text":"","tier":"x"}"#)).await;
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 3, "all faults at once");
    let answer = ask(&mut wire, post("Idempotency-Key: a b\r\n", GOOD)).await;
    assert_eq!((answer.status(), &*answer.code()), (400, "invalid_idempotency_key"));
    assert_eq!(ask(&mut wire, post("", GOOD)).await.status(), 202, "the connection lived through all of it");
}

#[tokio::test]
async fn only_known_keys_from_known_places_come_in() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let good = post("", GOOD);
    for request in [
        good.replace(KEY, "shop-key-012345678"),
        good.replace(KEY, ""),
        good.replace("Bearer", "Basic"),
        good.replace(&format!("Authorization: Bearer {KEY}\r\n"), ""),
        post(&format!("Authorization: Bearer {KEY}\r\n"), GOOD),
        "GET /v1/messages/000000000007 HTTP/1.1\r\nHost: q\r\n\r\n".to_owned(),
    ] {
        let answer = ask(&mut wire, &request).await;
        assert_eq!((answer.status(), &*answer.code()), (401, "unauthorized"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let answer = ask(&mut wire, good.replace(KEY, FENCED_KEY)).await;
    assert_eq!((answer.status(), &*answer.code()), (403, "ip_not_allowed"));
    assert_eq!(ask(&mut wire, good.replace(KEY, OTHER_KEY)).await.status(), 202);
}

/// What one connection's sends have in common is cut once; who sends them is not.
#[tokio::test]
async fn every_send_is_its_keys_by_the_tables_of_now() {
    let mut qiao = Qiao::start().await;
    qiao.commits(None);
    let mut wire = qiao.wire().await;
    async fn app_of(qiao: &mut Qiao, wire: &mut Wire, request: &str) -> Option<String> {
        wire.write(request).await;
        tokio::select! {
            fresh = qiao.taken() => {
                let app = accepted(&fresh).app.to_owned();
                fresh.answer.send(Committed::Durable).unwrap();
                assert_eq!(wire.read().await.unwrap().status(), 202);
                Some(app)
            }
            answer = wire.read() => {
                assert_eq!(answer.unwrap().status(), 401);
                None
            }
        }
    }
    let good = post("", GOOD);
    let line = format!("Authorization: Bearer {KEY}\r\n");
    let without = good.replace(&line, "");
    // As programs write them: in front, behind the length, between the length and the rest, behind a key.
    let behind = |line: &str| without.replacen("\r\n\r\n", &format!("\r\n{line}\r\n"), 1);
    let between = |line: &str| {
        let length = format!("Content-Length: {}\r\n", GOOD.len());
        without.replace(&length, "").replace("Host: q\r\n", &format!("Host: q\r\n{length}{line}"))
    };
    let keyed = |line: &str| {
        let key = format!("Idempotency-Key: {}\r\n", fastrand::u64(..));
        without.replace("Host: q\r\n", &format!("Host: q\r\n{key}{line}"))
    };
    assert_ne!(behind(&line), good);
    let orders: [&dyn Fn(&str) -> String; 4] =
        [&|line| good.replace(&format!("Authorization: Bearer {KEY}\r\n"), line), &behind, &between, &keyed];
    for order in orders {
        let with = |key: &str| order(&format!("Authorization: Bearer {key}\r\n"));
        let (good, wrong, other, none) = (|| with(KEY), || with(&KEY.to_uppercase()), || with(OTHER_KEY), || order(""));
        for (request, app) in [
            (good(), Some("shop")),
            (good(), Some("shop")),
            (wrong(), None),
            (wrong(), None),
            (good(), Some("shop")),
            (none(), None),
            (good(), Some("shop")),
            (other(), Some("bank")),
            (other(), Some("bank")),
            (wrong(), None),
            (good(), Some("shop")),
        ] {
            assert_eq!(app_of(&mut qiao, &mut wire, &request).await.as_deref(), app, "{request}");
        }
    }
    let mut next = plan();
    next.apps.reverse();
    qiao.tables.store(Arc::new(Tables::new(Arc::new(next))));
    assert_eq!(app_of(&mut qiao, &mut wire, &good).await.as_deref(), Some("shop"), "at another place now");
    let mut fewer = plan();
    fewer.apps.retain(|app| &*app.name != "shop");
    qiao.tables.store(Arc::new(Tables::new(Arc::new(fewer))));
    assert_eq!(app_of(&mut qiao, &mut wire, &good).await, None);
}

#[tokio::test]
async fn paths_methods_and_media_types_are_refused_by_name() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    for (request, status, allow) in [
        ("GET /v1/messages", 405, Some("POST")),
        ("DELETE /v1/messages/000000000007", 405, Some("GET, HEAD")),
        ("PUT /openapi.json", 405, Some("GET, HEAD")),
        ("GET /v1/batches", 405, Some("POST")),
        ("DELETE /v1/batches/000000000007", 405, Some("GET, HEAD")),
        ("GET /", 404, None),
    ] {
        let answer = ask(&mut wire, format!("{request} HTTP/1.1\r\nHost: q\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.header("allow")), (status, allow), "{request}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    for kind in ["text/plain", "application/json; charset=gbk", ""] {
        let answer = ask(&mut wire, post("", GOOD).replace("application/json", kind)).await;
        assert_eq!((answer.status(), &*answer.code()), (415, "unsupported_media_type"), "{kind}");
    }
    let packed = ask(&mut wire, post("Content-Encoding: gzip\r\n", GOOD)).await;
    assert_eq!((packed.status(), &*packed.code()), (415, "unsupported_media_type"));
    let request = post("", GOOD).replace("application/json", "Application/JSON; charset=\"UTF-8\"");
    assert_eq!(ask(&mut wire, request).await.status(), 202);
}

#[tokio::test]
async fn a_story_is_told_to_its_owner_only() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let get = |id: &str, key: &str| {
        format!("GET /v1/messages/{id} HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer {key}\r\n\r\n")
    };
    let answer = ask(&mut wire, get("000000000007", KEY)).await;
    assert_eq!((answer.status(), answer.json()["status"].as_str()), (200, Some("submitted")));
    assert_eq!(answer.json().get("app"), None);
    for (id, key) in [("000000000007", OTHER_KEY), ("000000000008", KEY), ("nonsense", KEY)] {
        let answer = ask(&mut wire, get(id, key)).await;
        assert_eq!((answer.status(), &*answer.code()), (404, "not_found"), "{id}");
    }
}

#[tokio::test]
async fn pressure_and_rate_say_when_to_come_back() {
    let mut plan = plan();
    plan.apps[0].rate = 2;
    let qiao = Qiao::with(plan).await;
    let mut wire = qiao.wire().await;
    *qiao.behind.busy.lock().unwrap() =
        Some(Busy { reason: "journal", retry_after: Duration::from_secs(10), wait: None });
    for _ in 0..10 {
        let answer = ask(&mut wire, post("", GOOD)).await;
        assert_eq!((answer.status(), &*answer.code()), (503, "overloaded"));
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((5..=15).contains(&after));
    }
    let down = Duration::from_secs(70);
    let wait = Wait { wait: Duration::from_millis(400_040), parts_ahead: 12_345, pace: 30.86, down };
    *qiao.behind.busy.lock().unwrap() =
        Some(Busy { reason: "wait", retry_after: Duration::from_secs(250), wait: Some(wait) });
    let answer = ask(&mut wire, post("", GOOD)).await;
    assert_eq!((answer.status(), &*answer.code()), (503, "overloaded"));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((125..=375).contains(&after));
    let numbers = serde_json::json!({
        "seconds": 400.0, "parts_ahead": 12_345, "parts_per_second": 30.9, "down_seconds": 70
    });
    assert_eq!(answer.json()["wait"], numbers);
    *qiao.behind.busy.lock().unwrap() = None;
    // Four parts of burst: none was spent on what was refused above.
    let three_parts = format!(r#"{{"to":"13800138000","text":"{}"}}"#, "x".repeat(300));
    assert_eq!(ask(&mut wire, post("", &three_parts)).await.status(), 202);
    let answer = ask(&mut wire, post("", &three_parts)).await;
    assert_eq!((answer.status(), &*answer.code()), (429, "rate_limited"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(ask(&mut wire, post("", GOOD)).await.status(), 202, "one part was left");
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer() {
    let mut qiao = Qiao::start().await;
    let (mut wire, mut second) = (qiao.wire().await, qiao.wire().await);
    let keyed = post("Idempotency-Key: k1\r\n", GOOD);
    let first = ask(&mut wire, &keyed).await;
    let again = ask(&mut wire, &keyed).await;
    assert_eq!((again.status(), &again.body, again.header("location")), (202, &first.body, first.header("location")));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    let other_body = post("Idempotency-Key: k1\r\n", r#"{"to":"13800138000","text":"hallo"}"#);
    let answer = ask(&mut wire, &other_body).await;
    assert_eq!((answer.status(), &*answer.code()), (422, "idempotency_mismatch"));
    let answer = ask(&mut wire, keyed.replace(KEY, OTHER_KEY)).await;
    assert_eq!(answer.header("idempotent-replayed"), None, "another app's key is another key");

    qiao.commits(None);
    let keyed = post("Idempotency-Key: k2\r\n", GOOD);
    wire.write(&keyed).await;
    let fresh = qiao.taken().await;
    let answer = ask(&mut second, &keyed).await;
    assert_eq!((answer.status(), &*answer.code()), (409, "idempotency_in_progress"));
    assert!(answer.header("retry-after").is_some());
    fresh.answer.send(Committed::Refused).unwrap();
    assert_eq!(wire.read().await.unwrap().status(), 503);
    qiao.commits(Some(Committed::Durable));
    let answer = ask(&mut second, &keyed).await;
    assert_eq!((answer.status(), answer.header("idempotent-replayed")), (202, None), "a failure frees the key");

    let bad = post("Idempotency-Key: k3\r\n", "{}");
    assert_eq!(ask(&mut wire, &bad).await.status(), 422);
    assert_eq!(ask(&mut wire, post("Idempotency-Key: k3\r\n", GOOD)).await.status(), 202);
}

#[tokio::test]
async fn after_an_unknown_commit_the_durable_memory_decides() {
    let qiao = Qiao::start().await;
    let keyed = post("Idempotency-Key: k1\r\n", GOOD);
    qiao.commits(Some(Committed::Unknown));
    let mut wire = qiao.wire().await;
    wire.write(&keyed).await;
    assert!(wire.ended().await);
    qiao.commits(Some(Committed::Durable));
    let found = Found {
        id: MessageId(42),
        body_hash: gateway::accept::idempotency::body_hash(GOOD.as_bytes()),
        parts: 1,
        encoding: "gsm7".into(),
        accepted_at: Clock::start().now().wall,
    };
    qiao.behind.remembered.lock().unwrap().insert("shop/k1".into(), found);
    let answer = ask(&mut qiao.wire().await, &keyed).await;
    assert_eq!((answer.status(), answer.header("idempotent-replayed")), (202, Some("true")));
    assert_eq!(answer.json()["id"], MessageId(42).to_string());
}

#[tokio::test]
async fn a_client_that_leaves_is_still_served_once() {
    let mut qiao = Qiao::start().await;
    qiao.commits(None);
    let keyed = post("Idempotency-Key: k1\r\n", GOOD);
    let mut wire = qiao.wire().await;
    wire.write(&keyed).await;
    let fresh = qiao.taken().await;
    drop(wire);
    let id = fresh.message.id.to_string();
    let mut wire = qiao.wire().await;
    assert_eq!(ask(&mut wire, &keyed).await.status(), 409);
    fresh.answer.send(Committed::Durable).unwrap();
    let answer = ask(&mut wire, &keyed).await;
    assert_eq!((answer.status(), answer.json()["id"].as_str()), (202, Some(&*id)));
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_large_body_is_refused_and_its_sender_hears_it() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    // Announced: refused before a single octet of it is read.
    let request = post("", "").replace("Content-Length: 0", "Content-Length: 10485760");
    let answer = ask(&mut wire, &request).await;
    assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(wire.ended().await);
    // Sent all the same, and in chunks that announce nothing: the client must be able to read the answer.
    for chunked in [false, true] {
        let mut wire = qiao.wire().await;
        let mut octets = match chunked {
            false => request.clone().into_bytes(),
            true => {
                let head = request.replace("Content-Length: 10485760", "Transfer-Encoding: chunked");
                format!("{head}a00000\r\n").into_bytes()
            }
        };
        octets.resize(octets.len() + 10_485_760, b'x');
        // A client that reads only after it has written everything: a connection reset under it would lose the answer.
        wire.write(&octets).await;
        let answer = wire.read().await.expect("an answer");
        assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"), "chunked: {chunked}");
        assert!(wire.ended().await);
    }
}

#[tokio::test]
async fn slow_heads_and_bodies_end() {
    let mut plan = plan();
    plan.node.header_timeout = Duration::from_millis(40);
    plan.node.body_timeout = Duration::from_millis(40);
    let qiao = Qiao::with(plan).await;
    let mut wire = qiao.wire().await;
    assert_eq!(ask(&mut wire, post("", GOOD)).await.status(), 202);
    wire.write("POST /v1/mess").await;
    assert!(wire.ended().await, "a head that never ends");
    let mut wire = qiao.wire().await;
    let request = post("", GOOD);
    let answer = ask(&mut wire, &request[..request.len() - 5]).await;
    assert_eq!((answer.status(), &*answer.code()), (408, "body_timeout"));
    assert!(wire.ended().await);
}

#[tokio::test]
async fn requests_glued_or_split_at_every_octet_are_the_same() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let (good, bad) = (post("", GOOD), post("", "{"));
    wire.write([&*good, &*bad, &*good].concat()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(wire.read().await.unwrap().status());
    }
    assert_eq!(statuses, [202, 400, 202]);
    for at in 1..good.len() {
        wire.write(&good[..at]).await;
        tokio::task::yield_now().await;
        assert_eq!(ask(&mut wire, &good[at..]).await.status(), 202, "split at {at}");
    }
    for octet in good.bytes() {
        wire.write([octet]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.read().await.unwrap().status(), 202);
}

/// A query is nothing to the door, but leaves its request to hyper.
#[tokio::test]
async fn both_readers_of_requests_answer_alike() {
    let qiao = Qiao::start().await;
    let keyed = post("Idempotency-Key: k\r\n", GOOD);
    assert_eq!(ask(&mut qiao.wire().await, &keyed).await.status(), 202);
    let headers = |answer: &fixture::Message| {
        let own = |line: &&str| !["date:", "location:", "retry-after:"].iter().any(|name| line.starts_with(name));
        answer.head.lines().filter(own).map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let busy = Busy { reason: "journal", retry_after: Duration::from_secs(10), wait: None };
    for (request, busy, status) in [
        (post("", GOOD), None, 202),
        (keyed, None, 202),
        (post("Idempotency-Key: k\r\n", "{}"), None, 422),
        (post("", "{}"), None, 422),
        (post("", ""), None, 400),
        (post("", GOOD).replace(KEY, "none"), None, 401),
        (post("", GOOD).replace(KEY, FENCED_KEY), None, 403),
        (post("", GOOD), Some(busy), 503),
    ] {
        *qiao.behind.busy.lock().unwrap() = busy;
        let mut wire = qiao.wire().await;
        let quick = ask(&mut wire, &request).await;
        let slow = ask(&mut wire, request.replace("/v1/messages", "/v1/messages?a")).await;
        assert_eq!((quick.status(), headers(&quick)), (status, headers(&slow)), "{request}");
        assert_eq!(quick.body.len(), slow.body.len(), "{request}");
        for answer in [&quick, &slow] {
            let date = answer.header("date").and_then(Wall::from_http).unwrap();
            assert!(Clock::wall().0.abs_diff(date.0) < 30_000, "{request}");
            assert_eq!(answer.header("retry-after").is_some(), busy.is_some(), "{request}");
            assert_eq!(answer.header("location").is_some(), status == 202, "{request}");
        }
    }
}

#[tokio::test]
async fn what_is_not_http_gets_400_or_nothing() {
    let qiao = Qiao::start().await;
    let heads = "X: y\r\n".repeat(100);
    let long = "y".repeat(40_000);
    for (request, status) in [
        ("\x16\x03\x01\x02\x00\r\n\r\n".to_owned(), 400),
        (post("Content-Length: 5\r\n", GOOD), 400),
        (post("", GOOD).replace("Content-Length: ", "Content-Length: x"), 400),
        (post(&heads, GOOD), 431),
        (post(&format!("X: {long}\r\n"), GOOD), 431),
    ] {
        let mut wire = qiao.wire().await;
        wire.write(&request).await;
        if let Some(answer) = wire.read().await {
            assert_eq!(answer.status(), status, "{request:.40}");
        }
        assert!(wire.ended().await);
    }
    assert_eq!(ask(&mut qiao.wire().await, post("", GOOD)).await.status(), 202);
    let mut bad_utf8 = post("", r#"{"to":"13800138000","text":"?"}"#).into_bytes();
    let at = bad_utf8.iter().rposition(|b| *b == b'?').unwrap();
    bad_utf8[at] = 0xff;
    assert_eq!(ask(&mut qiao.wire().await, &bad_utf8).await.code(), "invalid_json");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let mut plan = plan();
    plan.node.http_max_connections = 1;
    let qiao = Qiao::with(plan).await;
    let mut first = qiao.wire().await;
    assert_eq!(ask(&mut first, post("", GOOD)).await.status(), 202);
    let mut second = qiao.wire().await;
    assert_eq!(second.read().await.unwrap().status(), 503);
    assert!(second.ended().await);
    assert_eq!(ask(&mut first, post("", GOOD)).await.status(), 202);
}

#[tokio::test]
async fn shutdown_answers_what_is_open_and_closes_the_rest() {
    let mut qiao = Qiao::start().await;
    let (mut idle, mut busy) = (qiao.wire().await, qiao.wire().await);
    assert_eq!(ask(&mut idle, post("", GOOD)).await.status(), 202);
    qiao.commits(None);
    busy.write(post("", GOOD)).await;
    let fresh = qiao.taken().await;
    qiao.stop.send(true).unwrap();
    assert!(idle.ended().await);
    assert!(!qiao.task.is_finished());
    fresh.answer.send(Committed::Durable).unwrap();
    let answer = busy.read().await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (202, Some("close")));
    assert!(busy.ended().await);
    drop((idle, busy));
    tokio::time::timeout(Duration::from_secs(10), qiao.task).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(qiao.at).await.is_err());
}

#[tokio::test]
async fn the_description_and_the_served_paths_agree() {
    let qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let answer = ask(&mut wire, "GET /openapi.json HTTP/1.1\r\nHost: q\r\n\r\n").await;
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let described: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, calls)| calls.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone())))
        .collect();
    for (path, methods) in paths {
        let at = path.replace("{id}", "000000000007");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let request = format!(
                "{method} {at} HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
            );
            let served = !matches!(ask(&mut wire, request).await.status(), 404 | 405);
            assert_eq!(served, described.contains(&(method.into(), path.clone())), "{method} {path} {methods}");
        }
    }
    let text = String::from_utf8(answer.body).unwrap();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    let message = &document["components"]["schemas"]["Message"];
    let mut fields: Vec<&String> = message["properties"].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        ["callback", "client_ref", "expires_in", "options", "sender", "signature", "text", "tier", "to", "type"]
    );
    assert_eq!(message["required"], serde_json::json!(["to", "text"]));
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_place() {
    let mut plan = plan();
    // Nothing else ends it in the time of this test.
    (plan.node.header_timeout, plan.node.http_max_connections) = (Duration::from_secs(60), 1);
    let qiao = Qiao::patient(plan, Duration::from_millis(300)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mute = socket.connect(qiao.at).await.unwrap();
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let others = async {
        loop {
            // As many as the door takes: it keeps nothing for a client but its last answers.
            while mute.try_write(requests.as_bytes()).is_ok() {}
            let mut wire = qiao.wire().await;
            wire.write(post("", GOOD)).await;
            match wire.read().await {
                Some(answer) if answer.status() == 202 => return,
                answer => assert!(answer.is_none_or(|full| full.status() == 503)),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), others).await.expect("the place of a client that reads nothing");
}

#[tokio::test]
async fn options_are_the_routes_then_the_apps_then_the_messages_own() {
    let mut qiao = Qiao::start().await;
    qiao.commits(None);
    let mut wire = qiao.wire().await;
    let body = r#"{"to":"+8613800138000","text":"x","options":{"speed":"fast"}}"#;
    wire.write(post("", body)).await;
    let fresh = qiao.taken().await;
    assert_eq!(accepted(&fresh).options, "speed=fast\n");
    fresh.answer.send(Committed::Durable).unwrap();
    assert_eq!(wire.read().await.unwrap().status(), 202);
    wire.write(post("", GOOD)).await;
    let fresh = qiao.taken().await;
    assert_eq!(accepted(&fresh).options, "speed=slow\n", "the route's");
    fresh.answer.send(Committed::Durable).unwrap();
    assert_eq!(wire.read().await.unwrap().status(), 202);
    for (options, code) in [
        (r#"{"colour":"red"}"#, "unknown_option"),
        (r#"{"speed":"medium"}"#, "invalid_option"),
        (r#"{"Speed":"fast"}"#, "invalid_option"),
        (r#"{"speed":"fast","a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":""}"#, "invalid_option"),
    ] {
        let body = format!(r#"{{"to":"+8613800138000","text":"x","options":{options}}}"#);
        let answer = ask(&mut wire, post("", &body)).await;
        assert_eq!((answer.status(), &*answer.code()), (422, code), "{options}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/options", "{options}");
    }
}
