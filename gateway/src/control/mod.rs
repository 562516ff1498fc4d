//! The admin door: health, metrics, channels, queues, messages with text and numbers masked, hold and release.
//!
//! Every `POST` needs the token; off loopback everything does (metrics may have a token of their own). `Host` and
//! `Origin` are checked, so that a page in somebody's browser cannot reach a door on loopback. Connections, heads,
//! bodies and times are bounded. One file per topic.

mod apps;
mod callbacks;
mod channels;
mod config;
mod door;
mod explain;
mod health;
mod messages;
mod orders;
mod queues;
mod reload;
mod status;
mod token;
mod uplinks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::app::{Desk, Scrape};
use crate::callback::Office;
use crate::config::plan::Secret;
use door::{guard, refuse};

pub use token::{FILE as TOKEN_FILE, Token, token};

/// What the admin door works with.
pub struct Admin {
    /// The line.
    pub desk: Arc<Desk>,
    /// What applications are told.
    pub callbacks: Arc<Office>,
    /// For operators.
    pub token: Token,
    /// For scrapers, where configured.
    pub metrics_token: Option<Secret>,
    /// Makes the metrics page.
    pub scrape: Scrape,
}

/// Most connections at once; what operators and scrapers need, many times over.
const CONNECTIONS: usize = 128;
/// How long a request's head may take, and how long a connection may rest between two.
const HEAD: Duration = Duration::from_secs(15);
/// How long a request may take, from its head to its answer: a reload reads files.
const WHOLE: Duration = Duration::from_secs(30);
/// Most octets of a body.
const BODY: usize = 64 * 1024;
/// Most octets of a head, and most headers.
const HEAD_OCTETS: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Wait after an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves operators until the future is dropped, and with it all connections. A client that leaves answers unread is the
/// listener's to end ([`crate::listen`]).
pub async fn serve(listener: TcpListener, admin: Admin) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    accept(listener, router(Arc::new(admin), local)).await;
}

async fn accept(listener: TcpListener, pages: Router) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, pages.clone()))),
            Err(error) => {
                tracing::warn!(%error, "the admin door cannot accept connections now; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn router(admin: Arc<Admin>, local: bool) -> Router {
    Router::new()
        .merge(health::pages())
        .merge(status::pages())
        .merge(config::pages())
        .merge(channels::pages())
        .merge(apps::pages())
        .merge(callbacks::pages())
        .merge(explain::pages())
        .merge(queues::pages())
        .merge(messages::pages())
        .merge(reload::pages())
        .merge(uplinks::pages())
        .fallback(async || refuse(StatusCode::NOT_FOUND, "not_found", "no such page"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the page has other methods: see Allow")
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state((admin.clone(), local), guard))
        .with_state(admin)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(WHOLE, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            refuse(StatusCode::REQUEST_TIMEOUT, "timeout", "the request did not arrive, or was not done, in time")
        }
    }
}

async fn connection(stream: TcpStream, pages: Router) {
    let service = hyper::service::service_fn(move |request| pages.clone().call(request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_OCTETS)
        .serve_connection(TokioIo::new(stream), service);
    // Errors here are the client's.
    let _ = serving.await;
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::routing::get;
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    use super::*;
    use crate::listen::listen;

    #[tokio::test]
    async fn clients_that_read_nothing_do_not_keep_operators_out() {
        let long = Bytes::from(vec![b'x'; 8 << 20]);
        let pages = Router::new().route("/long", get(async || long)).route("/short", get(async || "here"));
        let listener = listen(([127, 0, 0, 1], 0).into(), Duration::from_millis(300)).await.unwrap();
        // Connections have it from their listener: the rest of an answer waits with us, not with the kernel.
        SockRef::from(&listener).set_send_buffer_size(16 * 1024).unwrap();
        let at = listener.local_addr().unwrap();
        let door = tokio::spawn(accept(listener, pages));
        let mut mute = Vec::new();
        for _ in 0..CONNECTIONS {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let mut stream = socket.connect(at).await.unwrap();
            stream.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            mute.push(stream);
        }
        let mut operator = TcpStream::connect(at).await.unwrap();
        operator.write_all(b"GET /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let answered = tokio::time::timeout(Duration::from_secs(10), operator.read_to_string(&mut answer));
        answered.await.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("here"), "{answer}");
        door.abort();
    }
}
