//! Connections: accepted up to a limit, watched by one coarse timer for all, finished in order on shutdown.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
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
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::pages::{self, BATCHES, MESSAGES};
use super::{Door, Peer, method_name, quick};
use crate::descriptors;

/// Most octets of a request's head.
const HEAD_LIMIT: usize = 16 * 1024;
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
    let (mut connections, mut warden) = (JoinSet::new(), Warden::default());
    let most = descriptors::for_clients();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(gone) = connections.join_next_with_id() => {
                warden.forget(gone);
                continue;
            }
            () = warden.tick(header_timeout(&door)), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() >= door.tables.load().plan.node.http_max_connections.min(most) => {
                // Best effort: its socket buffer is empty, so this does not block.
                let _ = stream.try_write(FULL);
            }
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let pulse = Arc::new(Pulse::default());
                let task = connections.spawn(connection(stream, peer, door.clone(), router.clone(), pulse.clone()));
                warden.watch(task, pulse);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections now; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    warden.finish();
    while !connections.is_empty() {
        tokio::select! {
            Some(gone) = connections.join_next_with_id() => warden.forget(gone),
            () = warden.tick(header_timeout(&door)) => {}
        }
    }
}

/// The client is not told, since nobody knows: its connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
struct Unanswered;

async fn connection(stream: TcpStream, peer: SocketAddr, door: Arc<Door>, router: Router, pulse: Arc<Pulse>) {
    let mut stream = Felt { stream, pulse: pulse.clone(), begun: Bytes::new() };
    let guest = Arc::new(Guest { door, router, peer: Peer::new(peer), pulse: pulse.clone() });
    let Some(begun) = quick::serve(&mut stream, &guest).await else { return };
    stream.begun = begun;
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| answer(Beat::start(&guest), request));
    let mut connection = pin!(
        http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .max_buf_size(HEAD_LIMIT)
            // Answers are short: one buffer costs less than a list of two.
            .writev(false)
            .serve_connection(stream, service)
    );
    let mut finishing = false;
    poll_fn(|cx| {
        pulse.listen(cx);
        // Errors here are the client's: a broken request or connection. Nothing to tell anybody.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !pulse.stopping.load(Relaxed) || std::mem::replace(&mut finishing, true) {
            return Poll::Pending;
        }
        // A request that was here already has been taken by the poll before.
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// What a connection's requests are answered with.
pub(super) struct Guest {
    pub(super) door: Arc<Door>,
    router: Router,
    pub(super) peer: Peer,
    pub(super) pulse: Arc<Pulse>,
}

/// What is seldom asked for is boxed, so that a send's future stays small.
async fn answer(
    beat: Beat,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, axum::body::Body>>, Unanswered> {
    let Guest { door, router, peer, .. } = &*beat.0;
    let start = door.clock.time();
    let post = *request.method() == Method::POST;
    let method = method_name(request.method());
    let route = pages::route_name(request.uri().path());
    let answer = match route {
        MESSAGES if post => door.submit(&mut request, peer).await.ok_or(Unanswered)?.map(Either::Left),
        BATCHES if post => Box::pin(door.batch(request, peer.clone())).await.ok_or(Unanswered)?.map(Either::Left),
        _ => Box::pin(pages::answer(router.clone(), request, peer.clone())).await.map(Either::Right),
    };
    door.meter.http(route, method, answer.status().as_u16(), door.clock.time().since(start));
    Ok(answer)
}

/// What a connection is doing, as the warden sees it, and what the warden has ordered.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    requests: AtomicU32,
    answering: AtomicBool,
    arrived: AtomicBool,
    closing: AtomicBool,
    /// Ordered: to finish what is being answered.
    pub(super) stopping: AtomicBool,
    /// The connection's task, which it never leaves.
    waker: OnceLock<Waker>,
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

    /// Before `stopping` is read: who sets it later finds the waker, and set before it is seen. The fences see to that.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        if self.waker.get().is_none() {
            let _ = self.waker.set(cx.waker().clone());
            fence(SeqCst);
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Relaxed);
        fence(SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// One request being answered.
pub(super) struct Beat(Arc<Guest>);

impl Beat {
    pub(super) fn start(guest: &Arc<Guest>) -> Self {
        guest.pulse.answering.store(true, Relaxed);
        Beat(guest.clone())
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let pulse = &self.0.pulse;
        pulse.requests.fetch_add(1, Relaxed);
        pulse.arrived.store(false, Relaxed);
        pulse.answering.store(false, Relaxed);
    }
}

/// Watches all connections. One timer for all of them costs nothing per request or connection; in exchange a limit is
/// kept to within half a header timeout.
#[derive(Default)]
struct Warden {
    connections: HashMap<Id, Watched>,
    due: Option<tokio::time::Instant>,
}

struct Watched {
    task: AbortHandle,
    pulse: Arc<Pulse>,
    watchdog: Watchdog,
}

impl Warden {
    fn watch(&mut self, task: AbortHandle, pulse: Arc<Pulse>) {
        let watchdog = Watchdog { last: pulse.phase(), since: Instant::now() };
        self.connections.insert(task.id(), Watched { task, pulse, watchdog });
    }

    fn forget(&mut self, gone: Result<(Id, ()), JoinError>) {
        self.connections.remove(&gone.map_or_else(|error| error.id(), |(id, ())| id));
    }

    /// Waits for the next look at them, and takes it. May be dropped at any time.
    async fn tick(&mut self, header_timeout: Duration) {
        let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + header_timeout / 2);
        tokio::time::sleep_until(due).await;
        self.due = None;
        // Where we stood still ourselves, what came meanwhile is to be read first; the next look judges.
        if due.elapsed() > header_timeout / 2 {
            return;
        }
        self.look(header_timeout, Instant::now());
    }

    fn look(&mut self, header_timeout: Duration, now: Instant) {
        for Watched { task, pulse, watchdog } in self.connections.values_mut() {
            if watchdog.bites(pulse.phase(), header_timeout, now) {
                task.abort();
            }
        }
    }

    fn finish(&self) {
        self.connections.values().for_each(|watched| watched.pulse.stop());
    }
}

fn header_timeout(door: &Door) -> Duration {
    door.tables.load().plan.node.header_timeout
}

/// Bites where a connection stays in one phase too long.
struct Watchdog {
    last: (Phase, u32),
    since: Instant,
}

impl Watchdog {
    fn bites(&mut self, seen: (Phase, u32), header_timeout: Duration, now: Instant) -> bool {
        if seen != self.last {
            (self.last, self.since) = (seen, now);
            return false;
        }
        let limit = match seen.0 {
            Phase::Idle => IDLE_LIMIT,
            Phase::Head => header_timeout,
            Phase::Answering => return false,
            Phase::Closing => LINGER,
        };
        now.duration_since(self.since) >= limit
    }
}

/// A stream that notes what arrives, and lingers when shut down.
pub(super) struct Felt {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    /// Octets that were read from it and are to be read again.
    begun: Bytes,
}

impl Felt {
    fn give_begun(&mut self, buf: &mut ReadBuf<'_>) {
        let octets = self.begun.split_to(self.begun.len().min(buf.remaining()));
        buf.put_slice(&octets);
        if self.begun.is_empty() {
            self.begun = Bytes::new();
        }
    }
}

impl AsyncRead for Felt {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.begun.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            self.give_begun(buf);
        }
        if buf.filled().len() > before && !self.pulse.answering.load(Relaxed) {
            self.pulse.arrived.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Felt {
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

    /// Shuts the sending side, then drops what still comes until the client closes too; the warden bounds it.
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
            let mut watchdog = Watchdog { last: (phase, 0), since: start };
            let bitten = (0..1_000u32).find(|s| watchdog.bites((phase, 0), 5 * second, start + *s * second));
            assert_eq!(bitten, limit, "{phase:?}");
        }
    }

    #[test]
    fn a_busy_connection_is_left_alone() {
        let start = Instant::now();
        let mut watchdog = Watchdog { last: (Phase::Head, 0), since: start };
        // The same phase of another request each time.
        let later = |n| start + Duration::from_secs(u64::from(n));
        assert!((1..1_000).all(|n| !watchdog.bites((Phase::Head, n), Duration::ZERO, later(n))));
    }

    #[tokio::test]
    async fn the_warden_ends_who_stays_too_long_and_forgets_who_is_gone() {
        let (second, mut warden, mut tasks) = (Duration::from_secs(1), Warden::default(), JoinSet::new());
        let [slow, busy] = [false, true].map(|answering| {
            let pulse = Arc::new(Pulse::default());
            pulse.arrived.store(true, Relaxed);
            pulse.answering.store(answering, Relaxed);
            warden.watch(tasks.spawn(std::future::pending()), pulse.clone());
            pulse
        });
        warden.look(second, Instant::now() + second);
        let gone = tasks.join_next_with_id().await.unwrap();
        warden.forget(gone);
        assert_eq!(warden.connections.len(), 1);
        warden.finish();
        assert_eq!([slow, busy].map(|pulse| pulse.stopping.load(Relaxed)), [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stall_of_ours_a_look_passes_before_anybody_is_judged() {
        let (limit, mut warden, mut tasks) = (Duration::from_secs(4), Warden::default(), JoinSet::<()>::new());
        let pulse = Arc::new(Pulse::default());
        pulse.arrived.store(true, Relaxed);
        warden.watch(tasks.spawn(std::future::pending()), pulse);
        for watched in warden.connections.values_mut() {
            watched.watchdog.since = Instant::now().checked_sub(2 * limit).unwrap();
        }
        warden.due = Some(tokio::time::Instant::now());
        tokio::time::advance(limit).await;
        warden.tick(limit).await;
        tokio::task::yield_now().await;
        assert!(tasks.try_join_next().is_none(), "what came during the stall has not been read yet");
        warden.tick(limit).await;
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    }
}
