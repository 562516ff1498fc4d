//! A send as nearly every program posts it: whole in what was read, with nothing in its head that changes how it is to
//! be read. It is answered here, without a map of its headers and without a machine for its connection.
//!
//! A reader here refuses nothing: at anything else it gives up for good, and the connection goes to hyper with the octets
//! that are here. No request is read by both, and the head is cut by hyper's own parser, so that both see the same lines;
//! those that a client's sends have in common are cut once.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use bytes::Bytes;
use http::header::CONNECTION;
use http_body_util::{BodyExt, Collected};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::Known;
use super::idempotency::Found;
use super::pages::MESSAGES;
use super::problem::Problem;
use super::server::{Beat, Felt, Guest};
use super::submit::{End, usable_key, write_receipt};
use crate::clock::Wall;
use crate::json;

/// Most octets of a request with its body. Longer ones are few, and for each of theirs the rest costs little.
const ROOM: usize = 4 * 1024;
/// Most headers.
const HEADERS: usize = 32;
/// Most headers behind those that a client's sends have in common.
const BEHIND: usize = 8;
const LENGTH: &str = "Content-Length";
const KEY: &str = "Idempotency-Key";
/// Headers that change how a request is to be read.
const OTHERWISE: [&str; 5] = ["Transfer-Encoding", "Content-Encoding", "Connection", "Upgrade", "Expect"];

/// Answers sends until something else comes, or the server is to stop. Gives what is here of it; none where the
/// connection is over.
pub(super) async fn serve(stream: &mut Felt, guest: &Arc<Guest>) -> Option<Bytes> {
    let Guest { door, peer, pulse, .. } = &**guest;
    let (mut octets, mut here, mut stem, mut reply) = (vec![0; ROOM], 0, Stem::default(), Reply::new());
    loop {
        if here == 0 {
            here = arrival(stream, guest, &mut octets).await?;
        }
        let Some(post) = octets.get(..here).and_then(|octets| Post::read(octets, &mut stem)) else {
            octets.truncate(here);
            return Some(octets.into());
        };
        let (beat, began) = (Beat::start(guest), door.clock.now());
        let said = (post.authorization, post.key, post.body);
        let end = door.carry_out(began, said, peer, stem.known()).await;
        let (now, stopping) = (door.clock.now(), pulse.stopping.load(Relaxed));
        let last = stopping || matches!(&end, End::Refused(problem) if problem.close);
        let status = match end {
            End::Accepted(found, _) => reply.accept(&found, false),
            End::Replayed(found) => reply.accept(&found, true),
            End::Refused(problem) => reply.refuse(&problem).await,
            End::Unknown => return None,
        };
        door.meter.http(MESSAGES, "POST", status, now.time.since(began.time));
        drop(beat);
        stream.write_all(reply.finish(now.wall, last)).await.ok()?;
        if last {
            let _ = stream.shutdown().await;
            return None;
        }
        let taken = post.octets;
        octets.copy_within(taken..here, 0);
        here -= taken;
    }
}

/// Octets that come next: none at the client's end, or where the server is to stop before any.
async fn arrival(stream: &mut Felt, guest: &Guest, octets: &mut [u8]) -> Option<usize> {
    let read = poll_fn(|cx| {
        guest.pulse.listen(cx);
        let mut room = ReadBuf::new(octets);
        match Pin::new(&mut *stream).poll_read(cx, &mut room) {
            Poll::Pending if guest.pulse.stopping.load(Relaxed) => Poll::Ready(Ok(0)),
            read => read.map_ok(|()| room.filled().len()),
        }
    });
    read.await.ok()
}

/// A send.
#[derive(Debug, PartialEq, Eq)]
struct Post<'a> {
    authorization: &'a [u8],
    key: Option<&'a str>,
    body: &'a [u8],
    /// Octets of all of it.
    octets: usize,
}

impl<'a> Post<'a> {
    /// The one that these octets begin with; its own `stem` is there afterwards.
    fn read(octets: &'a [u8], stem: &mut Stem) -> Option<Post<'a>> {
        Post::behind(octets, stem).or_else(|| Post::whole(octets, stem))
    }

    fn whole(octets: &'a [u8], stem: &mut Stem) -> Option<Post<'a>> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let httparse::Status::Complete(head) = request.parse_with_uninit_headers(octets, &mut headers).ok()? else {
            return None;
        };
        if (request.method, request.path, request.version) != (Some("POST"), Some(MESSAGES), Some(1)) {
            return None;
        }
        let post = Post::of(octets, head, Lines::default().with(request.headers)?)?;
        *stem = Stem::of(octets, request.headers);
        Some(post)
    }

    /// One that begins with that stem.
    fn behind(octets: &'a [u8], stem: &Stem) -> Option<Post<'a>> {
        let lines = stem.lines(octets)?;
        let start = stem.octets.len();
        let mut headers = [httparse::EMPTY_HEADER; BEHIND];
        match httparse::parse_headers(octets.get(start..)?, &mut headers).ok()? {
            httparse::Status::Complete((rest, headers)) => Post::of(octets, start + rest, lines.with(headers)?),
            httparse::Status::Partial => None,
        }
    }

    fn of(octets: &'a [u8], head: usize, lines: Lines<'a>) -> Option<Post<'a>> {
        let key = match lines.key {
            Some(key) => Some(usable_key(key)?),
            None => None,
        };
        let end = head.checked_add(number(lines.length?)?)?;
        let body = octets.get(head..end).filter(|_| lines.kind == Some(&b"application/json"[..]))?;
        Some(Post { authorization: lines.authorization.unwrap_or_default(), key, body, octets: end })
    }
}

/// What a head's lines say, each at most once.
#[derive(Default)]
struct Lines<'a> {
    kind: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    fn with(mut self, headers: &[httparse::Header<'a>]) -> Option<Self> {
        for &httparse::Header { name, value } in headers {
            // First as nearly all write it.
            let is = |known: &str| name == known || name.eq_ignore_ascii_case(known);
            let field = match name.len() {
                10 if is("Connection") && value.eq_ignore_ascii_case(b"keep-alive") => continue,
                12 if is("Content-Type") => &mut self.kind,
                13 if is("Authorization") => &mut self.authorization,
                14 if is(LENGTH) => &mut self.length,
                15 if is(KEY) => &mut self.key,
                _ if OTHERWISE.iter().any(|known| is(known)) => return None,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return None;
            }
        }
        Some(self)
    }
}

/// The lines that a client's sends have in common: those before the first that is another in each. The next send that
/// begins with them says what this one said. They are kept as they came for as long as the connection, as is, for that
/// matter, the memory they were read into.
#[derive(Default)]
struct Stem {
    octets: Vec<u8>,
    kind: Option<Range<usize>>,
    authorization: Option<Range<usize>>,
    /// See [`Stem::known`].
    known: Option<Known>,
}

impl Stem {
    /// That of a send with these headers. None where it would be the whole head.
    fn of(octets: &[u8], headers: &[httparse::Header<'_>]) -> Stem {
        let at = |octet: *const u8| octet.addr().saturating_sub(octets.as_ptr().addr());
        let differs =
            |header: &&httparse::Header<'_>| [LENGTH, KEY].iter().any(|name| header.name.eq_ignore_ascii_case(name));
        let end = headers.iter().find(differs).map_or(0, |header| at(header.name.as_ptr()));
        let find = |name: &str| {
            let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            let start = at(header.value.as_ptr());
            (start < end).then(|| start..start + header.value.len())
        };
        let (kind, authorization) = (find("Content-Type"), find("Authorization"));
        Stem { octets: octets.get(..end).unwrap_or_default().to_vec(), kind, authorization, known: None }
    }

    /// As whom a send with this Authorization came in. Where that line is not one of them, nobody is known: the next send
    /// may have another, or none.
    fn known(&mut self) -> &mut Option<Known> {
        if self.authorization.is_none() {
            self.known = None;
        }
        &mut self.known
    }

    /// What the lines of octets say that begin with it.
    fn lines<'a>(&self, octets: &'a [u8]) -> Option<Lines<'a>> {
        let begin = octets.get(..self.octets.len()).filter(|begin| !begin.is_empty())?;
        // To the end, whatever differs: how long it takes tells nothing about the key in it.
        let differs = begin.iter().zip(&self.octets).fold(0, |differs, (one, other)| differs | (one ^ other));
        let line = |range: &Option<Range<usize>>| range.clone().and_then(|range| begin.get(range));
        (differs == 0).then(|| Lines {
            kind: line(&self.kind),
            authorization: line(&self.authorization),
            ..Lines::default()
        })
    }
}

/// A length of at most four digits.
fn number(digits: &[u8]) -> Option<usize> {
    let number = |number, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'));
    let digits = Some(digits).filter(|digits| (1..=4).contains(&digits.len()))?;
    digits.iter().try_fold(0, number)
}

/// An answer, as hyper would write it; one after the other in the same memory.
struct Reply {
    octets: Vec<u8>,
    body: Vec<u8>,
    /// The last one's second since 1970, and its date.
    date: (u64, [u8; 29]),
}

impl Reply {
    fn new() -> Self {
        Reply { octets: Vec::new(), body: Vec::new(), date: (0, Wall(0).http()) }
    }

    /// A message accepted. Gives the status.
    fn accept(&mut self, found: &Found, replayed: bool) -> u16 {
        self.octets.clear();
        self.add(b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nlocation: /v1/messages/");
        self.add(&found.id.letters());
        self.add(if replayed { b"\r\nidempotent-replayed: true\r\n" } else { b"\r\n" });
        self.body.clear();
        write_receipt(found, &mut self.body);
        202
    }

    /// A send refused.
    async fn refuse(&mut self, problem: &Problem) -> u16 {
        let (head, body) = problem.answer(fastrand::f64()).into_parts();
        let status = head.status;
        self.octets.clear();
        for octets in [&b"HTTP/1.1 "[..], status.as_str().as_bytes(), b" "] {
            self.add(octets);
        }
        self.add(status.canonical_reason().unwrap_or_default().as_bytes());
        self.add(b"\r\n");
        // Whether the connection ends is said once, at the end.
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != CONNECTION) {
            for octets in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.add(octets);
            }
        }
        self.body.clear();
        self.body.extend_from_slice(&body.collect().await.map(Collected::to_bytes).unwrap_or_default());
        status.as_u16()
    }

    /// All of it.
    fn finish(&mut self, now: Wall, last: bool) -> &[u8] {
        if last {
            self.add(b"connection: close\r\n");
        }
        self.add(b"content-length: ");
        json::number(self.body.len() as u64, &mut self.octets);
        let second = now.0 / 1_000;
        if self.date.0 != second {
            self.date = (second, now.http());
        }
        self.add(b"\r\ndate: ");
        self.octets.extend_from_slice(&self.date.1);
        self.add(b"\r\n\r\n");
        self.octets.extend_from_slice(&self.body);
        &self.octets
    }

    fn add(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"to":"1"}"#;
    const GOOD: &str = "POST /v1/messages HTTP/1.1\r\nHost: q\r\nAuthorization: Bearer k\r\n\
                        Content-Type: application/json\r\nContent-Length: 10\r\n\r\n";

    fn read(request: &str) -> Option<Post<'_>> {
        Post::read(request.as_bytes(), &mut Stem::default())
    }

    #[test]
    fn a_send_as_they_usually_are_is_read() {
        let good = format!("{GOOD}{BODY}");
        let post = Post { authorization: b"Bearer k", key: None, body: BODY.as_bytes(), octets: good.len() };
        assert_eq!(read(&good), Some(post));
        let more = "CONTENT-LENGTH: 10\r\nconnection: Keep-Alive\r\nAccept: */*\r\nidempotency-key: a-1\r\n";
        let keyed = format!("{}POST", good.replace("Content-Length: 10\r\n", more));
        let post = read(&keyed).unwrap();
        assert_eq!((post.key, post.body, post.octets), (Some("a-1"), BODY.as_bytes(), keyed.len() - 4));
        let bare = good.replace("Authorization: Bearer k\r\n", "");
        assert_eq!(read(&bare).unwrap().authorization, b"");
    }

    #[test]
    fn anything_else_is_left() {
        let good = format!("{GOOD}{BODY}");
        assert!((0..good.len()).all(|end| read(&good[..end]).is_none()), "not whole");
        let add = |header: &str| good.replace("Host: q\r\n", &format!("Host: q\r\n{header}\r\n"));
        for request in [
            good.replace("POST", "PUT"),
            good.replace("messages", "batches"),
            good.replace("messages", "messages?a"),
            good.replace("HTTP/1.1", "HTTP/1.0"),
            good.replace("application/json", "application/json; charset=utf-8"),
            good.replace("Content-Type: application/json\r\n", ""),
            good.replace("Content-Length: 10\r\n", ""),
            good.replace("h: 10", "h: "),
            good.replace("h: 10", "h: +9"),
            good.replace("h: 10", "h: 0x9"),
            good.replace("h: 10", "h: 9, 9"),
            good.replace("h: 10", "h: 00010"),
            good.replace("h: 10", "h: 99999999999999999999999"),
            good.replace("Host: q", "Host : q"),
            good.replace("Host: q", "Host: q\u{1}"),
            good.replace("Host: q", " Host: q"),
            add("Content-Length: 10"),
            add("Content-Type: application/json"),
            add("Authorization: Bearer k"),
            add("Idempotency-Key: a\r\nIdempotency-Key: a"),
            add("Idempotency-Key: a b"),
            add("Idempotency-Key:"),
            add("Transfer-Encoding: chunked"),
            add("transfer-encoding: identity"),
            add("Content-Encoding: gzip"),
            add("Connection: close"),
            add("Connection: keep-alive, Upgrade"),
            add("Upgrade: h2c"),
            add("Expect: 100-continue"),
            add(&"X: y\r\n".repeat(HEADERS)),
        ] {
            assert_eq!(read(&request), None, "{request}");
        }
    }

    #[test]
    fn what_sends_have_in_common_is_cut_once_and_says_the_same() {
        let keyed = |key: &str| {
            let length = format!("Idempotency-Key: {key}\r\nContent-Length");
            format!("{GOOD}{BODY}{GOOD}").replacen("Content-Length", &length, 1)
        };
        let good = keyed("a");
        let add = |header: &str| good.replacen("Idempotency", &format!("{header}\r\nIdempotency"), 1);
        let requests = [
            good.clone(),
            keyed("another"),
            keyed("no key"),
            keyed(""),
            good.replacen("h: 10", "h: 9", 1),
            good.replacen("h: 10", "h: x", 1),
            good.replacen("Bearer k", "Bearer l", 1),
            good.replacen("Bearer k", "Bearer longer", 1),
            good.replacen("Authorization: Bearer k\r\n", "", 1),
            good.replacen("Content-Type: application/json\r\n", "", 1),
            good.replacen("POST", "PUT", 1),
            add("X: y"),
            add(&"X: y\r\n".repeat(BEHIND)),
            add("Authorization: Bearer l"),
            add("Expect: 100-continue"),
            add(" folded"),
            add(""),
            format!("{GOOD}{BODY}"),
            good.replacen("Host: q\r\n", "", 1).replacen("a\r\n", "a\r\nHost: q\r\n", 1),
            good.replacen("Host: q", "Content-Length: 10\r\nHost: q", 1),
        ];
        for (first, second) in requests.iter().flat_map(|first| requests.iter().map(move |second| (first, second))) {
            let mut stem = Stem::default();
            let post = Post::read(first.as_bytes(), &mut stem);
            assert_eq!(post, read(first));
            assert_eq!(Post::read(second.as_bytes(), &mut stem), read(second), "{first} and then {second}");
        }
        let mut stem = Stem::default();
        assert!(Post::read(good.as_bytes(), &mut stem).is_some());
        assert_eq!(Post::behind(keyed("another").as_bytes(), &stem), read(&keyed("another")));
        assert!((0..good.len() - GOOD.len()).all(|end| Post::behind(&good.as_bytes()[..end], &stem).is_none()));
    }
}
