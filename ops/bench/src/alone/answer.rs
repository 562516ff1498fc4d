//! A door that takes everything and does nothing: as cheap a peer of the load client as there can be, and where Kannel
//! tells its ends. One thread; no header is read but Content-Length.

use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use simulators::simulator::announce;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::{Counted, Ready};
use crate::failover::now_ms;

/// Longest request taken; beyond it the connection ends.
const LONGEST: usize = 16 << 20;

/// Answers on a free port, which goes to `ready_file`, until the process is ended. Must run on a `LocalSet`.
///
/// # Errors
/// It cannot listen.
pub async fn run(ready_file: &Path) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&Ready { answer: listener.local_addr()? }, Some(ready_file))?;
    let counted = Rc::new(Cell::new(Counted { requests: 0, last_ms: 0.0 }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let counted = Rc::clone(&counted);
        // How a connection ended is its peer's affair.
        spawn_local(async move { drop(converse(stream, &counted).await) });
    }
}

async fn converse(mut stream: TcpStream, counted: &Cell<Counted>) -> io::Result<()> {
    let (mut input, mut answer) = (BytesMut::with_capacity(1 << 16), String::new());
    loop {
        while let Some(request) = request(&input) {
            let length = request.length;
            if request.asks_count {
                let body = serde_json::to_string(&counted.get()).map_err(io::Error::other)?;
                let text = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                return stream.write_all(text.as_bytes()).await;
            }
            write_answer(&request, &mut answer);
            stream.write_all(answer.as_bytes()).await?;
            counted.set(Counted { requests: counted.get().requests + 1, last_ms: now_ms() });
            input.advance(length);
        }
        if input.len() > LONGEST || stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// A whole request.
pub(super) struct Request<'a> {
    pub(super) length: usize,
    pub(super) body: &'a [u8],
    asks_count: bool,
    pub(super) batch: bool,
}

/// The first request in `octets`, once it is all there.
pub(super) fn request(octets: &[u8]) -> Option<Request<'_>> {
    let head_end = octets.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(octets.get(..head_end)?).unwrap_or("");
    let content = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = head_end.saturating_add(content.unwrap_or(0));
    let (asks_count, batch) = (head.starts_with("GET /count "), head.starts_with("POST /v1/batches "));
    octets.get(head_end..length).map(|body| Request { length, body, asks_count, batch })
}

pub(super) fn write_answer(request: &Request<'_>, into: &mut String) {
    // Every message of a batch is one flat object within that of the batch.
    let messages = request.body.iter().filter(|octet| **octet == b'{').count().saturating_sub(1);
    let body = match messages {
        _ if !request.batch => r#"{"id":"01J00000000000000000000000","status":"accepted","parts":1}"#.to_owned(),
        messages => {
            let mut body = String::with_capacity(64 * messages);
            body.push_str("{\"messages\":[");
            for index in 0..messages {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(body, "{comma}{{\"index\":{index},\"id\":\"01J00000000000000000000000\"}}");
            }
            body + "]}"
        }
    };
    into.clear();
    let _ = write!(
        into,
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    into.push_str(&body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_whole() {
        let text = b"POST /v1/messages HTTP/1.1\r\ncontent-length: 3\r\n\r\n{a}GET /x HTTP/1.1\r\n\r\n";
        for cut in 0..text.len() - 19 {
            assert!(request(&text[..cut]).is_none(), "{cut}");
        }
        let first = request(text).unwrap();
        assert_eq!((first.body, first.batch, first.asks_count), (&b"{a}"[..], false, false));
        assert_eq!(request(&text[first.length..]).unwrap().length, 19);
        assert!(request(b"GET /count HTTP/1.0\r\n\r\n").unwrap().asks_count);
    }

    #[test]
    fn every_message_of_a_batch_has_its_place() {
        let mut answer = String::new();
        let body = br#"{"messages":[{"to":"1"},{"to":"2"}]}"#;
        write_answer(&Request { length: 0, body, asks_count: false, batch: true }, &mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["messages"].as_array().unwrap().len(), 2);
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }
}
