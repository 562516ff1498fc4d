//! What no friend would send, at both ends of a running gateway: clear answers, bounded memory, links kept where the
//! stream is good.
#![allow(clippy::unwrap_used, missing_docs)]

mod centre;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use centre::{Centre, octets, raw};
use codecs::smpp::{Body, Sm, SmResp, command, status};
use conformance::http::{self, Answer};
use conformance::stage::{KEY, SOON};
use conformance::wait::{seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::json;

/// What a debug build may grow by.
const MEMORY: u64 = 48 << 20;

fn post(stage: &Stage, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {KEY}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    stage.gateway.call("POST", "/v1/messages", &headers, body)
}

/// The octets of a good post that is always the same message; `more` are header lines.
fn good_post(stage: &Stage, more: &str) -> Vec<u8> {
    let body = json!({ "to": "+8613800138000", "text": "hello" }).to_string();
    let address = stage.gateway.http;
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nIdempotency-Key: always\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Runs `harm` and checks that the gateway came out of it as it went in.
fn unharmed(stage: &mut Stage, harm: impl FnOnce(&mut Stage)) {
    let id = stage.send("+8613800138099", "otp");
    assert_eq!(stage.told(&id)["type"], "message.delivered");
    let (memory, descriptors) = (stage.gateway.process().resident(), stage.gateway.process().descriptors());
    harm(stage);
    until("descriptors to be given back", SOON, || {
        (stage.gateway.process().descriptors() <= descriptors + 4).then_some(())
    });
    let grown = stage.gateway.process().resident().saturating_sub(memory);
    assert!(grown < MEMORY, "grew by {} MiB", grown >> 20);
    let id = stage.send("+8613800138098", "otp");
    assert_eq!(stage.told(&id)["type"], "message.delivered");
    assert!(!stage.gateway.log().contains("panic"), "{}", stage.gateway.log());
}

#[test]
fn bad_bodies_get_clear_answers() {
    let stage = Plan::of([Carrier::named("a")]).start();
    let cases: [(&[u8], u16, &str, &str); 10] = [
        (b"", 400, "invalid_json", ""),
        (b"{", 400, "invalid_json", ""),
        (b"\xff\xfe", 400, "invalid_json", ""),
        (b"[1,2]", 400, "wrong_type", ""),
        (b"{\"to\":5,\"text\":\"x\"}", 400, "wrong_type", "/to"),
        (b"{\"to\":\"+8613800138000\",\"text\":{}}", 400, "wrong_type", "/text"),
        (b"{\"to\":\"+8613800138000\",\"text\":\"x\",\"colour\":1}", 400, "unknown_field", "/colour"),
        (b"{\"to\":\"+8613800138000\",\"to\":\"1\",\"text\":\"x\"}", 400, "duplicate_field", "/to"),
        (b"{\"to\":\"not a number\",\"text\":\"x\"}", 422, "invalid_number", "/to"),
        (b"{\"to\":\"+8613800138000\"}", 422, "missing", "/text"),
    ];
    for (body, status, code, pointer) in cases {
        let answer = post(&stage, body);
        let (shown, page) = (String::from_utf8_lossy(body), answer.json());
        assert_eq!((answer.status, &page["code"]), (status, &code.into()), "{shown}: {page}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
        assert_eq!(page["errors"][0]["pointer"].as_str().unwrap_or_default(), pointer, "{shown}: {page}");
    }
    let bearer = format!("Bearer {KEY}");
    let plain = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
    assert_eq!(stage.gateway.call("POST", "/v1/messages", &plain, b"x").status, 415);
    assert_eq!(stage.gateway.call("PUT", "/v1/messages", &plain, b"x").status, 405);
    assert_eq!(stage.gateway.call("GET", "/v1/nonsense", &plain, b"").status, 404);
    assert!(stage.submits("a").is_empty(), "nothing of this may leave");
}

#[test]
fn ten_megabytes_are_refused_unread() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    unharmed(&mut stage, |stage| {
        for _ in 0..20 {
            let mut stream = http::connect(stage.gateway.http).unwrap();
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
                 Content-Type: application/json\r\nContent-Length: 10485760\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            // The gateway may stop listening long before the end.
            let piece = [b'x'; 65_536];
            let _ = (0..160).try_for_each(|_| stream.write_all(&piece));
            if let Ok(answer) = http::answer(&mut stream) {
                assert_eq!((answer.status, &answer.json()["code"]), (413, &"body_too_large".into()));
            }
        }
        let answer = post(stage, &vec![b' '; 70_000]);
        assert_eq!((answer.status, &answer.json()["code"]), (413, &"body_too_large".into()));
    });
}

#[test]
fn a_body_of_chunks_is_bounded_too() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    unharmed(&mut stage, |stage| {
        let mut stream = http::connect(stage.gateway.http).unwrap();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
        let _ = (0..2_560).try_for_each(|_| stream.write_all(&chunk));
        if let Ok(answer) = http::answer(&mut stream) {
            assert_eq!(answer.status, 413);
        }
    });
}

/// Reads until the other side closes: what it said.
fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it stays open");
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn slow_and_half_open_clients_are_let_go() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    unharmed(&mut stage, |stage| {
        let began = Instant::now();
        let good = good_post(stage, "");
        let mut slow: Vec<TcpStream> = (0..150).map(|_| http::connect(stage.gateway.http).unwrap()).collect();
        for (n, stream) in slow.iter_mut().enumerate() {
            let piece = [&good[..40], &good[..good.len() - 5]][n % 2];
            stream.write_all(piece).unwrap();
        }
        for (n, stream) in slow.iter_mut().enumerate() {
            let said = until_closed(stream);
            let right = if n % 2 == 0 { said.is_empty() } else { said.contains(" 408 ") };
            assert!(right, "client {n} was told {said:?}");
        }
        assert!(began.elapsed() < seconds(10), "{:?}", began.elapsed());
    });
}

#[test]
fn pipelined_posts_are_answered_in_order() {
    let stage = Plan::of([Carrier::named("a")]).start();
    let good = good_post(&stage, "");
    let mut stream = http::connect(stage.gateway.http).unwrap();
    let bad = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{{"
    );
    stream.write_all(&[&good, bad.as_bytes(), &good].concat()).unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| http::answer(&mut stream).unwrap().status).collect();
    assert_eq!(statuses, [202, 400, 202]);
}

#[test]
fn a_post_split_at_every_octet_is_one_message() {
    let stage = Plan::of([Carrier::named("a")]).start();
    let good = good_post(&stage, "Connection: close\r\n");
    let mut ids = std::collections::BTreeSet::new();
    for at in 1..good.len() {
        let mut stream = http::connect(stage.gateway.http).unwrap();
        stream.write_all(&good[..at]).unwrap();
        stream.write_all(&good[at..]).unwrap();
        let answer = http::answer(&mut stream).unwrap();
        assert_eq!(answer.status, 202, "split at {at}: {}", answer.text());
        ids.insert(answer.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    stage.told(ids.first().unwrap());
    assert_eq!(stage.submits("a").len(), 1);
}

#[test]
fn smuggled_and_malformed_heads_are_refused() {
    let stage = Plan::of([Carrier::named("a")]).start();
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(500));
    let two = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx";
    let cases = [long.as_str(), &many, two, "\u{1}\u{2}\u{3}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "nonsense\r\n\r\n"];
    for case in cases {
        let mut stream = http::connect(stage.gateway.http).unwrap();
        let _ = stream.write_all(case.as_bytes());
        let said = until_closed(&mut stream);
        let first = said.lines().next().unwrap_or_default();
        assert!(said.is_empty() || first.contains(" 4"), "{:.60}: {first}", case);
    }
    assert!(stage.submits("a").is_empty());
}

/// Channel `a` leads to a good carrier, `x` to a centre the test plays.
fn with_centre() -> (Stage, Centre) {
    let centre = Centre::open();
    let x = Carrier::named("x").at(centre.address()).account("enquire_link = '60s'").contract("rate = 100");
    (Plan::of([Carrier::named("a"), x]).start_unbound(), centre)
}

#[test]
fn a_bad_pdu_on_a_good_stream_costs_no_link() {
    let (mut stage, centre) = with_centre();
    let mut link = centre.bound();
    stage.gateway.await_channels(&["a", "x"]);
    unharmed(&mut stage, |_| {
        link.write(&raw(None, 0x0000_0666, 7, b"whatever"));
        assert_eq!(link.answer(7), (command::GENERIC_NACK, status::RINVCMDID), "a command nobody knows");
        // A short message that claims 200 octets and has two.
        let mut sm = octets(8, 0, Body::DeliverSm(Sm { short_message: b"ab", ..Sm::default() }));
        let claim = sm.len() - 3;
        sm[claim] = 200;
        link.write(&sm);
        let (answered, refused) = link.answer(8);
        assert!(answered == command::DELIVER_SM_RESP || answered == command::GENERIC_NACK, "{answered:#x}");
        assert_ne!(refused, 0);
        // An address without its end, a body that is empty.
        for body in [&[b'1'; 90][..], &[]] {
            link.write(&raw(None, command::DELIVER_SM, 9, body));
            assert_ne!(link.answer(9).1, 0);
        }
        // A receipt in nobody's words about a message nobody sent is kept, so it is answered well.
        let receipt =
            Sm { esm_class: 4, source_addr: b"86138", short_message: b"id:nobody stat:WHAT", ..Sm::default() };
        link.send(10, 0, Body::DeliverSm(receipt));
        assert_eq!(link.answer(10).0, command::DELIVER_SM_RESP);
        // Requests that are not the centre's to make, answers to nothing.
        link.send(11, 0, Body::SubmitSm(Sm::default()));
        assert_eq!(link.answer(11), (command::SUBMIT_SM_RESP, status::RINVBNDSTS));
        link.send(999, 0, Body::SubmitSmResp(SmResp { message_id: b"x", ..SmResp::default() }));
        link.send(998, 0, Body::GenericNack);
        link.stands();
        // Glued, then octet by octet.
        let probes = [12, 13, 14].map(|sequence| octets(sequence, 0, Body::EnquireLink)).concat();
        link.write(&probes);
        (12..15).for_each(|sequence| assert_eq!(link.answer(sequence), (command::ENQUIRE_LINK_RESP, 0)));
        probes.iter().for_each(|octet| link.write(&[*octet]));
        (12..15).for_each(|sequence| assert_eq!(link.answer(sequence), (command::ENQUIRE_LINK_RESP, 0)));
        // Ten thousand commands nobody knows, one nack each.
        for sequence in 100..10_100 {
            link.write(&raw(None, 0x0000_0666, sequence, b""));
            assert_eq!(link.answer(sequence), (command::GENERIC_NACK, status::RINVCMDID));
        }
        link.stands();
    });
    assert!(!centre.dialled_within(std::time::Duration::from_millis(50)), "it dialled again");
    stage.gateway.await_channels(&["x"]);
}

#[test]
fn a_broken_stream_costs_its_link_only() {
    let broken: [(&str, Vec<u8>); 5] = [
        ("a length below the header's", raw(Some(8), command::ENQUIRE_LINK, 1, b"")),
        ("a length of everything", raw(Some(u32::MAX), command::DELIVER_SM, 1, b"")),
        ("a length beyond the limit", raw(Some(LIMIT + 1), command::DELIVER_SM, 1, &[0; 512])),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("noise", (0..65_536).map(|_| fastrand::u8(64..)).collect()),
    ];
    let centres: Vec<Centre> = broken.iter().map(|_| Centre::open()).collect();
    let x = |(n, centre): (usize, &Centre)| {
        Carrier::named(&format!("x{n}")).at(centre.address()).account("enquire_link = '60s'").contract("rate = 100")
    };
    let carriers = std::iter::once(Carrier::named("a")).chain(centres.iter().enumerate().map(x));
    let mut stage = Plan::of(carriers).start_unbound();
    let mut links: Vec<_> = centres.iter().map(Centre::bound).collect();
    stage.gateway.await_channels(&["a"]);
    unharmed(&mut stage, |_| {
        for ((what, octets), (centre, link)) in broken.iter().zip(centres.iter().zip(&mut links)) {
            link.stands();
            link.write(octets);
            link.given_up();
            eprintln!("given up after {what}");
            *link = centre.bound();
            link.stands();
        }
    });
}

/// The largest PDU our codec takes.
const LIMIT: u32 = codecs::smpp::LIMITS.max;

#[test]
fn a_pdu_that_never_ends_holds_no_more_than_its_limit() {
    let (mut stage, centre) = with_centre();
    let mut link = centre.bound();
    stage.gateway.await_channels(&["a", "x"]);
    unharmed(&mut stage, |_| {
        // All but the last octet of the largest PDU there is, again and again, over new links.
        for _ in 0..3 {
            link.write(&raw(Some(LIMIT), command::DELIVER_SM, 1, &vec![0; LIMIT as usize - 17]));
            link.shut();
            link = centre.bound();
        }
        link.stands();
    });
}
