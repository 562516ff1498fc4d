//! Connections: accepted up to a limit, watched by one coarse timer each, finished in order on shutdown.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pages::{self, BATCHES, MESSAGES};
use super::{Door, Peer, method_name};
use crate::descriptors;

/// Most octets of a request's head.
const HEAD_LIMIT: usize = 16 * 1024;
/// Most headers.
const HEADERS_LIMIT: usize = 64;
/// How long a connection may stay open between requests; an answer that is not read ends it earlier (`listen`).
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long octets are still taken, and dropped, after the last answer: closing earlier would reset the connection
/// and could destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(1);
/// Wait after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection beyond the limit gets.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves applications until `shutdown` turns true (or its sender is gone), then finishes what is being answered.
/// Dropping the future drops all connections.
pub async fn serve(listener: TcpListener, door: Arc<Door>, mut shutdown: watch::Receiver<bool>) {
    let router = pages::router(door.clone());
    let mut connections = JoinSet::new();
    let most = descriptors::for_clients();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() >= door.tables.load().plan.node.http_max_connections.min(most) => {
                // Best effort: its socket buffer is empty, so this does not block.
                let _ = stream.try_write(FULL);
            }
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, peer, door.clone(), router.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections now; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The client is not told, since nobody knows: its connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
struct Unanswered;

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<Door>,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    let header_timeout = door.tables.load().plan.node.header_timeout;
    let pulse = Arc::new(Pulse::default());
    let watched = TokioIo::new(Watched { stream, pulse: pulse.clone() });
    let serving = pulse.clone();
    let service = service_fn(move |request| {
        let (door, router, beat) = (door.clone(), router.clone(), Beat::start(&serving));
        async move {
            let answer = answer(&door, router, request, Peer(peer)).await;
            drop(beat);
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .max_headers(HEADERS_LIMIT)
            .max_buf_size(HEAD_LIMIT)
            .serve_connection(watched, service)
    );
    let tick = header_timeout / 2;
    let mut timer = pin!(tokio::time::sleep(tick));
    let mut watchdog = Watchdog { header_timeout, last: pulse.phase(), since: Instant::now() };
    loop {
        tokio::select! {
            biased;
            // Errors here are the client's: a broken request or connection. Nothing to tell anybody.
            _ = connection.as_mut() => return,
            () = timer.as_mut() => {
                if watchdog.bites(pulse.phase(), Instant::now()) {
                    return;
                }
                timer.as_mut().reset(tokio::time::Instant::now() + tick);
            }
            _ = shutdown.wait_for(|stop| *stop), if !pulse.stopping.load(Relaxed) => {
                pulse.stopping.store(true, Relaxed);
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    door: &Door,
    router: Router,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Either<Full<Bytes>, axum::body::Body>>, Unanswered> {
    let start = door.clock.now().time;
    let method = method_name(request.method());
    let route = pages::route_name(request.uri().path());
    let answer = if route == MESSAGES && request.method() == Method::POST {
        door.submit(request, peer).await.ok_or(Unanswered)?.map(Either::Left)
    } else if route == BATCHES && request.method() == Method::POST {
        door.batch(request, peer).await.ok_or(Unanswered)?.map(Either::Left)
    } else {
        pages::answer(router, request, peer).await.map(Either::Right)
    };
    door.meter.http(route, method, answer.status().as_u16(), door.clock.now().time.since(start));
    Ok(answer)
}

/// What the connection is doing, as its watchdog sees it.
#[derive(Debug, Default)]
struct Pulse {
    requests: AtomicU32,
    answering: AtomicBool,
    arrived: AtomicBool,
    closing: AtomicBool,
    stopping: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests, or an answer waits to be read.
    Idle,
    /// Part of a head is here.
    Head,
    /// The request is with us: its body and its commit have their own limits.
    Answering,
    /// The last answer is out.
    Closing,
}

impl Pulse {
    fn phase(&self) -> (Phase, u32) {
        let phase = if self.closing.load(Relaxed) {
            Phase::Closing
        } else if self.answering.load(Relaxed) {
            Phase::Answering
        } else if self.arrived.load(Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        };
        (phase, self.requests.load(Relaxed))
    }
}

/// One request being answered.
struct Beat(Arc<Pulse>);

impl Beat {
    fn start(pulse: &Arc<Pulse>) -> Self {
        pulse.answering.store(true, Relaxed);
        Beat(pulse.clone())
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.requests.fetch_add(1, Relaxed);
        self.0.arrived.store(false, Relaxed);
        self.0.answering.store(false, Relaxed);
    }
}

/// Ends connections that stay in one phase too long. One timer for a connection's whole life costs nothing per request;
/// in exchange a limit is kept to within half a header timeout.
struct Watchdog {
    header_timeout: Duration,
    last: (Phase, u32),
    since: Instant,
}

impl Watchdog {
    fn bites(&mut self, seen: (Phase, u32), now: Instant) -> bool {
        if seen != self.last {
            (self.last, self.since) = (seen, now);
            return false;
        }
        let limit = match seen.0 {
            Phase::Idle => IDLE_LIMIT,
            Phase::Head => self.header_timeout,
            Phase::Answering => return false,
            Phase::Closing => LINGER,
        };
        now.duration_since(self.since) >= limit
    }
}

/// A stream that notes what arrives, and lingers when shut down.
struct Watched {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && !self.pulse.answering.load(Relaxed) {
            self.pulse.arrived.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Shuts the sending side, then drops what still comes until the client closes too; the watchdog bounds it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.pulse.closing.load(Relaxed) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.pulse.closing.store(true, Relaxed);
        }
        let mut waste = [0; 4096];
        while !self.pulse.stopping.load(Relaxed) {
            let mut waste = ReadBuf::new(&mut waste);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut waste))?;
            if waste.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_limit() {
        let second = Duration::from_secs(1);
        for (phase, limit) in
            [(Phase::Idle, Some(60)), (Phase::Head, Some(5)), (Phase::Answering, None), (Phase::Closing, Some(1))]
        {
            let start = Instant::now();
            let mut watchdog = Watchdog { header_timeout: 5 * second, last: (phase, 0), since: start };
            let bitten = (0..1_000u32).find(|s| watchdog.bites((phase, 0), start + *s * second));
            assert_eq!(bitten, limit, "{phase:?}");
        }
    }

    #[test]
    fn a_busy_connection_is_left_alone() {
        let start = Instant::now();
        let mut watchdog = Watchdog { header_timeout: Duration::ZERO, last: (Phase::Head, 0), since: start };
        // The same phase of another request each time.
        assert!((1..1_000).all(|n| !watchdog.bites((Phase::Head, n), start + Duration::from_secs(u64::from(n)))));
    }
}
