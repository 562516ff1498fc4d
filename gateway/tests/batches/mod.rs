//! Batches at the door: what is accepted of them, what is said of the rest, and that they are one thing on disk.

use std::time::Duration;

use gateway::accept::{Committed, Flock};
use gateway::admit::Busy;
use gateway::journal::record::{Record, kind};
use serde_json::{Value, json};

use super::fixture::{FENCED_KEY, KEY, Message, OTHER_KEY, Wire, plan};
use super::{GOOD, Qiao, ask};

const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";

fn batch(kind: &str, headers: &str, body: &str) -> String {
    at("/v1/batches", kind, headers, body)
}

fn at(path: &str, kind: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn messages(bodies: &[&str]) -> String {
    format!("{{\"messages\":[{}]}}", bodies.join(","))
}

impl Qiao {
    async fn flock(&mut self) -> Flock {
        tokio::time::timeout(Duration::from_secs(10), self.flocks.recv()).await.unwrap().unwrap()
    }
}

/// To whom and what the messages of a batch are, by their ids less the batch's.
fn written(flock: &Flock) -> Vec<(u64, String, String)> {
    let one = |member: &gateway::accept::Member| {
        let Ok(Record::Accepted(record)) = Record::read(kind::ACCEPTED, flock.body(&member.octets)) else {
            panic!("no message")
        };
        assert_eq!((record.app, record.idempotency_key), ("shop", None));
        assert_eq!(member.callback, record.callback);
        (member.message.id.0 - flock.id.0, record.to.to_owned(), record.text.to_owned())
    };
    flock.members.iter().map(one).collect()
}

fn rejected(answer: &Message) -> Vec<(u64, String)> {
    let one = |item: &Value| (item["index"].as_u64().unwrap(), item["code"].as_str().unwrap().to_owned());
    answer.json()["rejected"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn what_is_good_is_accepted_and_the_rest_is_named() {
    let mut qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let items = [
        r#"{"to":"13800138000","text":"a"}"#,
        r#"{"to":"138","text":"b"}"#,
        r#"{"to":"13800138001","text":"c","tier":"otp","signature":"云桥","callback":false}"#,
        r#"{"to":"13800138002","text":"d","x":1}"#,
        "7",
        r#"{"to":"+12025550123","text":"e"}"#,
        r#"{"to":"13800138003","text":"f"}"#,
    ];
    let lines = items.join("\n") + "\nno json at all\n\n";
    for (request, last) in [(batch(JSON, "", &messages(&items)), None), (batch(LINES, "", &lines), Some(7))] {
        let answer = ask(&mut wire, request).await;
        let flock = qiao.flock().await;
        let id = flock.id.to_string();
        assert_eq!((answer.status(), answer.json()["accepted"].as_u64()), (202, Some(3)));
        assert_eq!(answer.json()["id"].as_str(), Some(&*id));
        assert_eq!(answer.header("location"), Some(&*format!("/v1/batches/{id}")));
        let codes = [(1, "invalid_number"), (3, "unknown_field"), (4, "wrong_type"), (5, "no_route")];
        let codes = codes.into_iter().chain(last.map(|at| (at, "invalid_json")));
        assert_eq!(rejected(&answer), codes.map(|(at, code)| (at, code.to_owned())).collect::<Vec<_>>());
        let text = |id, to: &str, text: &str| (id, to.to_owned(), text.to_owned());
        let want =
            [text(1, "+8613800138000", "a"), text(3, "+8613800138001", "【云桥】c"), text(7, "+8613800138003", "f")];
        assert_eq!(written(&flock), want);
        let ids: Vec<(u64, String)> = answer.json()["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["index"].as_u64().unwrap(), m["id"].as_str().unwrap().to_owned()))
            .collect();
        let want = |at: u16| (u64::from(at), flock.id.item(at).to_string());
        assert_eq!(ids, [0, 2, 6].map(want));
    }
    let answer = ask(&mut wire, at("/v1/batches?ids=false", JSON, "", &messages(&items))).await;
    assert_eq!((answer.status(), answer.json().get("messages")), (202, None));
}

#[tokio::test]
async fn one_text_goes_to_many_numbers() {
    let mut qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let body = r#"{"to":["13800138000","1",7,"+8613800138001"],"text":"sale","tier":"otp","client_ref":"r"}"#;
    let answer = ask(&mut wire, batch(JSON, "", body)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(rejected(&answer), [(1, "invalid_number".to_owned()), (2, "wrong_type".to_owned())]);
    let to: Vec<String> = written(&qiao.flock().await).into_iter().map(|(_, to, _)| to).collect();
    assert_eq!(to, ["+8613800138000", "+8613800138001"]);
    for (body, code, pointer) in [
        (r#"{"to":["13800138000"],"text":"a","colour":1}"#, "unknown_field", "/colour"),
        (r#"{"to":["13800138000"],"text":5}"#, "wrong_type", "/text"),
        (r#"{"to":["13800138000"],"messages":[]}"#, "unknown_field", "/to"),
        (r#"{"messages":[],"text":"a"}"#, "unknown_field", "/text"),
        (r#"{"messages":[]}"#, "empty", "/messages"),
        ("{}", "missing", "/messages"),
        ("[]", "wrong_type", ""),
        ("{\"messages\":[", "invalid_json", ""),
    ] {
        let answer = ask(&mut wire, batch(JSON, "", body)).await;
        assert_eq!((answer.json()["errors"][0]["pointer"].as_str(), &*answer.code()), (Some(pointer), code), "{body}");
    }
    assert_eq!(ask(&mut wire, batch(LINES, "", "\n \n")).await.code(), "empty");
    assert_eq!(ask(&mut wire, batch("text/plain", "", "{}")).await.status(), 415);
}

#[tokio::test]
async fn lines_are_taken_as_they_come_and_nothing_is_said_before_the_end_is_on_disk() {
    let mut qiao = Qiao::start().await;
    qiao.commits(None);
    let mut wire = qiao.wire().await;
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {LINES}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    wire.write(head).await;
    let lines = format!("{GOOD}\n{{\"to\":\n{GOOD}");
    for piece in lines.as_bytes().chunks(7) {
        wire.write(format!("{:x}\r\n", piece.len())).await;
        wire.write(piece).await;
        wire.write("\r\n").await;
        tokio::task::yield_now().await;
    }
    wire.write("0\r\n\r\n").await;
    let flock = qiao.flock().await;
    assert_eq!(written(&flock).iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [1, 3]);
    let mut nothing = [0; 1];
    assert!(wire.stream.try_read(&mut nothing).is_err(), "answered before the commit");
    flock.answer.send(Committed::Durable).unwrap();
    let answer = wire.read().await.unwrap();
    assert_eq!((answer.status(), rejected(&answer)), (202, vec![(1, "invalid_json".to_owned())]));
}

#[tokio::test]
async fn too_many_or_too_much_is_nothing_at_all() {
    let mut qiao = Qiao::start().await;
    let lines = |count: usize| vec![GOOD; count].join("\n");
    let answer = ask(&mut qiao.wire().await, batch(LINES, "", &lines(10_000))).await;
    assert_eq!((answer.status(), answer.json()["accepted"].as_u64()), (202, Some(10_000)));
    assert_eq!(qiao.flock().await.members.len(), 10_000);
    let list = messages(&vec![GOOD; 10_001]);
    for (request, code) in [
        (batch(LINES, "", &lines(10_001)), "too_many_items"),
        (batch(JSON, "", &list), "too_many_items"),
        (batch(JSON, "", "").replace("Content-Length: 0", "Content-Length: 8388609"), "body_too_large"),
    ] {
        let answer = ask(&mut qiao.wire().await, request).await;
        assert_eq!((answer.status(), &*answer.code()), (413, code));
    }
    // A short body can stand for more octets than a batch may have.
    let text = "x".repeat(1_000);
    let numbers = vec!["\"13800138000\""; 10_000].join(",");
    let many = format!("{{\"text\":\"{text}\",\"to\":[{numbers}]}}");
    let mut small = plan();
    small.node.segment_bytes = 4 << 20;
    let mut cramped = Qiao::with(small).await;
    let answer = ask(&mut cramped.wire().await, batch(JSON, "", &many)).await;
    assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"));
    assert!(cramped.flocks.try_recv().is_err() && qiao.flocks.try_recv().is_err());
}

#[tokio::test]
async fn where_room_or_rate_run_out_the_rest_is_refused_one_by_one() {
    let mut plan = plan();
    plan.apps[0].rate = 2;
    let mut qiao = Qiao::with(plan).await;
    let mut wire = qiao.wire().await;
    let busy = Busy { reason: "messages", retry_after: Duration::from_secs(10), wait: None };
    *qiao.behind.busy.lock().unwrap() = Some(busy);
    *qiao.behind.room.lock().unwrap() = Some(0);
    let body = messages(&[GOOD, r#"{"to":"1","text":"a"}"#, GOOD, GOOD]);
    for _ in 0..3 {
        let answer = ask(&mut wire, batch(JSON, "", &body)).await;
        assert_eq!((answer.status(), &*answer.code()), (503, "overloaded"));
        assert!(answer.header("retry-after").is_some());
        assert_eq!(rejected(&answer)[..2], [(0, "overloaded".to_owned()), (1, "invalid_number".to_owned())]);
    }
    *qiao.behind.room.lock().unwrap() = Some(2);
    let answer = ask(&mut wire, batch(JSON, "", &body)).await;
    assert_eq!((answer.status(), answer.json()["accepted"].as_u64()), (202, Some(2)));
    assert_eq!(rejected(&answer), [(1, "invalid_number".to_owned()), (3, "overloaded".to_owned())]);
    assert_eq!(qiao.flock().await.members.len(), 2);
    *qiao.behind.busy.lock().unwrap() = None;
    // Of four parts of burst two are left, for nothing that was refused took any.
    let answer = ask(&mut wire, batch(JSON, "", &body)).await;
    assert_eq!(rejected(&answer), [(1, "invalid_number".to_owned()), (3, "rate_limited".to_owned())]);
    let answer = ask(&mut wire, batch(JSON, "", &body)).await;
    assert_eq!((answer.status(), &*answer.code()), (429, "rate_limited"));
    let answer = ask(&mut wire, batch(JSON, "", &messages(&[r#"{"to":"1","text":"a"}"#, "{}"]))).await;
    assert_eq!((answer.status(), &*answer.code(), answer.header("retry-after")), (422, "nothing_accepted", None));
    assert_eq!(rejected(&answer), [(0, "invalid_number".to_owned()), (1, "missing".to_owned())]);
    qiao.commits(Some(Committed::Refused));
    let mut other = batch(JSON, "", &messages(&[GOOD]));
    other = other.replace(KEY, OTHER_KEY);
    let answer = ask(&mut wire, &other).await;
    assert_eq!((answer.status(), &*answer.code()), (503, "not_durable"));
    qiao.commits(Some(Committed::Unknown));
    wire.write(&other).await;
    assert!(wire.ended().await, "an unknown commit must not be answered");
}

#[tokio::test]
async fn a_key_gives_the_first_answer_again() {
    let mut qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let body = messages(&[GOOD, "{}", GOOD]);
    let first = ask(&mut wire, batch(JSON, "Idempotency-Key: b1\r\n", &body)).await;
    assert_eq!(first.status(), 202);
    let flock = qiao.flock().await;
    for _ in 0..2 {
        let again = ask(&mut wire, batch(JSON, "Idempotency-Key: b1\r\n", &body)).await;
        assert_eq!((again.status(), again.header("idempotent-replayed")), (202, Some("true")));
        assert_eq!(again.json(), first.json());
    }
    let without = ask(&mut wire, at("/v1/batches?ids=false", JSON, "Idempotency-Key: b1\r\n", &body)).await;
    assert_eq!((without.json()["accepted"].as_u64(), without.json().get("messages")), (Some(2), None));
    let other = ask(&mut wire, batch(JSON, "Idempotency-Key: b1\r\n", &messages(&[GOOD]))).await;
    assert_eq!((other.status(), &*other.code()), (422, "idempotency_mismatch"));
    let single = ask(&mut wire, at("/v1/messages", JSON, "Idempotency-Key: b1\r\n", GOOD)).await;
    assert_eq!((single.status(), &*single.code()), (422, "idempotency_mismatch"));
    // What was refused as a whole leaves its key free.
    let none = ask(&mut wire, batch(JSON, "Idempotency-Key: b2\r\n", &messages(&["{}"]))).await;
    assert_eq!(none.status(), 422);
    assert_eq!(ask(&mut wire, batch(JSON, "Idempotency-Key: b2\r\n", &body)).await.status(), 202);
    qiao.flock().await;
    assert!(qiao.flocks.try_recv().is_err(), "nothing was written twice");
    let Ok(Record::Batch(record)) = Record::read(kind::BATCH, flock.body(&flock.record)) else { panic!("no batch") };
    assert_eq!((record.app, record.count, record.idempotency_key), ("shop", 3, Some("b1")));
    // A restart leaves the store and the record.
    let found = gateway::accept::Found::batch(flock.id, record.body_hash, record.at);
    let later = Qiao::start().await;
    later.behind.remembered.lock().unwrap().insert("shop/b1".to_owned(), found);
    later.behind.records.lock().unwrap().insert(flock.id, flock.body(&flock.record).to_vec().into());
    let again = ask(&mut later.wire().await, batch(JSON, "Idempotency-Key: b1\r\n", &body)).await;
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), Some("true")));
}

#[tokio::test]
async fn how_far_it_is_is_told_to_its_owner_only() {
    let mut qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    ask(&mut wire, batch(JSON, "", &messages(&[GOOD, "{}", GOOD]))).await;
    let id = qiao.flock().await.id.to_string();
    let get = |id: &str, key: &str| {
        format!("GET /v1/batches/{id} HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer {key}\r\n\r\n")
    };
    let answer = ask(&mut wire, get(&id, KEY)).await;
    assert_eq!(answer.status(), 200);
    let story = answer.json();
    assert_eq!((&story["total"], &story["accepted"], &story["rejected"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(story["counts"]["delivered"], 3);
    for (id, key) in [(&*id, OTHER_KEY), ("000000000008", KEY), ("nonsense", KEY)] {
        let answer = ask(&mut wire, get(id, key)).await;
        assert_eq!((answer.status(), &*answer.code()), (404, "not_found"), "{id}");
    }
    assert_eq!(ask(&mut wire, get(&id, FENCED_KEY)).await.status(), 403);
}

#[tokio::test]
async fn a_batch_of_one_is_judged_as_a_single_post() {
    let mut qiao = Qiao::start().await;
    let mut wire = qiao.wire().await;
    let long = format!(r#"{{"to":"13800138000","text":"{}"}}"#, "x".repeat(1_001));
    for body in [
        GOOD,
        &long,
        r#"{"to":13800138000,"text":"a"}"#,
        r#"{"to":"13800138000","text":"a","x":1}"#,
        r#"{"text":"a"}"#,
        r#"{"to":"13800138000","text":""}"#,
        r#"{"to":"13800138000","text":"a\u0000"}"#,
        r#"{"to":"13800138000","text":"a","tier":"marketing"}"#,
        r#"{"to":"13800138000","text":"a","expires_in":9}"#,
        r#"{"to":"13800138000","text":"a","send_at":"x"}"#,
        r#"{"to":"13800138000","to":"1","text":"a"}"#,
        r#"{"to":"+12025550123","text":"a"}"#,
        "[]",
    ] {
        let single = ask(&mut wire, at("/v1/messages", JSON, "", body)).await;
        for request in [batch(JSON, "", &messages(&[body])), batch(LINES, "", body)] {
            let many = ask(&mut wire, request).await;
            if single.status() == 202 {
                assert_eq!((many.status(), qiao.flock().await.members.len()), (202, 1), "{body:.60}");
            } else {
                assert_eq!((many.status(), &*many.code()), (422, "nothing_accepted"), "{body:.60}");
                assert_eq!(rejected(&many), [(0, single.code())], "{body:.60}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_nothing() {
    let mut qiao = Qiao::start().await;
    let whole = batch(LINES, "", &vec![GOOD; 50].join("\n"));
    let mut wire: Wire = qiao.wire().await;
    wire.write(&whole[..whole.len() - 10]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
    if let Some(answer) = wire.read().await {
        assert_eq!((answer.status(), &*answer.code()), (400, "incomplete_body"));
    }
    assert!(qiao.flocks.try_recv().is_err());
}
