//! A carrier's sockets: the thin shell around a [`Centre`]. One task accepts, one keeps time, one per connection moves
//! octets; all on one thread, so that the centre has one owner at a time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::alarm::Alarm;
use crate::centre::{Centre, Link, Order, Report};
use crate::delivery::Mo;
use crate::fault::Spec;
use crate::uplink::Parts;

/// Octets read at a time.
const PIECE: usize = 64 * 1024;
/// Longest time log lines stay in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Time to open a connection in.
const DIAL: Duration = Duration::from_secs(5);
/// Pause after a listener failed.
const LISTEN_AGAIN: Duration = Duration::from_millis(20);

/// What the shell tells a connection's task.
#[derive(Debug, Default)]
struct Mailbox {
    wake: Notify,
    end: Cell<Option<End>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Reset,
    Close,
}

/// A running carrier.
#[derive(Debug)]
pub struct Carrier {
    centre: RefCell<Centre>,
    address: SocketAddr,
    quickack: Option<bool>,
    mailboxes: RefCell<HashMap<Link, Rc<Mailbox>>>,
    listening: Cell<bool>,
    listening_changed: Notify,
    /// What the timekeeper sleeps until.
    armed: Cell<Option<Instant>>,
    rearm: Notify,
}

impl Carrier {
    /// Listens and starts the carrier's tasks on the current `LocalSet`; `quickack` as in
    /// [`crate::scenario::Carrier::quickack`].
    pub async fn start(centre: Centre, listen: SocketAddr, quickack: Option<bool>) -> io::Result<Rc<Self>> {
        let listener = TcpListener::bind(listen).await?;
        let carrier = Rc::new(Self {
            centre: RefCell::new(centre),
            address: listener.local_addr()?,
            quickack,
            mailboxes: RefCell::default(),
            listening: Cell::new(true),
            listening_changed: Notify::new(),
            armed: Cell::new(None),
            rearm: Notify::new(),
        });
        spawn_local(accept(Rc::clone(&carrier), listener));
        spawn_local(keep_time(Rc::clone(&carrier), Alarm::new()?));
        spawn_local(keep_log(Rc::clone(&carrier)));
        Ok(carrier)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.centre.borrow().name().to_owned()
    }

    /// Where it stands.
    pub fn report(&self) -> Report {
        self.centre.borrow().report()
    }

    /// Starts a fault.
    pub fn start_fault(self: &Rc<Self>, spec: Spec) {
        self.with(|centre| centre.start_fault(Instant::now(), spec));
    }

    /// Ends all faults.
    pub fn clear_faults(self: &Rc<Self>) {
        self.with(|centre| centre.clear_faults(Instant::now()));
    }

    /// A handset writes; `parts` says how where it is sent in parts.
    ///
    /// # Errors
    /// As [`crate::uplink::cut`].
    pub fn write_mo(self: &Rc<Self>, from: &str, to: &str, text: &str, parts: Option<&Parts>) -> Result<(), String> {
        self.with(|centre| centre.write_mo(Instant::now(), from, to, text, parts))
    }

    /// Sends an uplink message.
    pub fn send_mo(self: &Rc<Self>, mo: Mo) {
        self.with(|centre| centre.send_mo(Instant::now(), mo));
    }

    /// Ends the log. Connections end with the `LocalSet`.
    pub fn close(&self) -> io::Result<()> {
        self.centre.borrow_mut().close(Instant::now())
    }

    /// Lets `act` change the centre, then carries out what follows from it.
    fn with<T>(self: &Rc<Self>, act: impl FnOnce(&mut Centre) -> T) -> T {
        let mut centre = self.centre.borrow_mut();
        let result = act(&mut centre);
        let (orders, deadline) = (centre.take_orders(), centre.deadline());
        drop(centre);
        for order in orders {
            self.carry_out(order);
        }
        if deadline.is_some_and(|at| self.armed.get().is_none_or(|armed| at < armed)) {
            self.rearm.notify_one();
        }
        result
    }

    fn carry_out(self: &Rc<Self>, order: Order) {
        let end = |link: &Link, end: Option<End>| {
            if let Some(mailbox) = self.mailboxes.borrow().get(link) {
                mailbox.end.set(end.or(mailbox.end.get()));
                mailbox.wake.notify_one();
            }
        };
        match order {
            Order::Wake(link) => end(&link, None),
            Order::Reset(link) => end(&link, Some(End::Reset)),
            Order::Close(link) => end(&link, Some(End::Close)),
            Order::Listen(listening) => {
                self.listening.set(listening);
                self.listening_changed.notify_one();
            }
            Order::Dial(address) => drop(spawn_local(dial(Rc::clone(self), address))),
        }
    }
}

async fn accept(carrier: Rc<Carrier>, listener: TcpListener) {
    let mut listener = Some(listener);
    loop {
        match (&listener, carrier.listening.get()) {
            (Some(open), true) => tokio::select! {
                accepted = open.accept() => match accepted {
                    Ok((stream, _)) => welcome(&carrier, stream),
                    Err(_) => tokio::time::sleep(LISTEN_AGAIN).await,
                },
                () = carrier.listening_changed.notified() => {}
            },
            (Some(_), false) => listener = None,
            (None, true) => match TcpListener::bind(carrier.address).await {
                Ok(open) => listener = Some(open),
                Err(_) => tokio::time::sleep(LISTEN_AGAIN).await,
            },
            (None, false) => carrier.listening_changed.notified().await,
        }
    }
}

/// Opens a connection to the other side.
async fn dial(carrier: Rc<Carrier>, address: SocketAddr) {
    let stream = tokio::time::timeout(DIAL, TcpStream::connect(address)).await;
    let stream = stream.ok().and_then(Result::ok);
    let link = carrier.with(|centre| centre.dialled(Instant::now(), stream.is_some()));
    if let (Some(stream), Some(link)) = (stream, link) {
        attend(&carrier, link, stream);
    }
}

fn welcome(carrier: &Rc<Carrier>, stream: TcpStream) {
    match carrier.with(|centre| centre.opened(Instant::now())) {
        Some(link) => attend(carrier, link, stream),
        // Closing with linger 0 sends RST.
        None => drop(stream.set_zero_linger()),
    }
}

fn attend(carrier: &Rc<Carrier>, link: Link, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mailbox = Rc::new(Mailbox::default());
    carrier.mailboxes.borrow_mut().insert(link, Rc::clone(&mailbox));
    let carrier = Rc::clone(carrier);
    spawn_local(async move {
        // How a connection ended is in the log: unanswered submits, receipts sent again.
        let _ = converse(&carrier, link, stream, &mailbox).await;
        carrier.mailboxes.borrow_mut().remove(&link);
        carrier.with(|centre| centre.closed(Instant::now(), link));
    });
}

/// Moves octets until the connection ends.
async fn converse(carrier: &Rc<Carrier>, link: Link, stream: TcpStream, mailbox: &Mailbox) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(PIECE * 2);
    let mut out = BytesMut::new();
    acknowledge(&stream, carrier.quickack);
    loop {
        match mailbox.end.get() {
            Some(End::Reset) => return stream.set_zero_linger(),
            Some(End::Close) => return Ok(()),
            None => {}
        }
        let (reads, ended, splits, frozen) = {
            let mut centre = carrier.centre.borrow_mut();
            centre.take_out(link, &mut out);
            (centre.reads(link), centre.ended(link), centre.splits(), centre.frozen())
        };
        if !frozen {
            send(&stream, &mut out, splits)?;
            if ended && out.is_empty() {
                return Ok(());
            }
        }
        tokio::select! {
            ready = stream.readable(), if reads => {
                ready?;
                input.reserve(PIECE);
                match stream.try_read_buf(&mut input) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {
                        acknowledge(&stream, carrier.quickack);
                        carrier.with(|centre| centre.octets(Instant::now(), link, &mut input));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            ready = stream.writable(), if !out.is_empty() && !frozen => ready?,
            () = mailbox.wake.notified() => {}
        }
    }
}

/// Says how acknowledgements are to go. The kernel forgets it with what it sends and receives, so it is said with every
/// read. A connection that has ended refuses, and tells so when it is read.
fn acknowledge(stream: &TcpStream, quickack: Option<bool>) {
    if let Some(at_once) = quickack {
        let _ = SockRef::from(stream).set_tcp_quickack(at_once);
    }
}

/// Writes what the socket takes now; one octet only when splitting.
fn send(stream: &TcpStream, out: &mut BytesMut, splits: bool) -> io::Result<()> {
    while !out.is_empty() {
        let piece = if splits { &out[..1] } else { &out[..] };
        match stream.try_write(piece) {
            Ok(written) => out.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
        if splits {
            break;
        }
    }
    Ok(())
}

/// Waits until `at`, by the runtime's coarser clock where the alarm fails.
async fn wait(alarm: &Alarm, at: Instant) {
    if alarm.until(at).await.is_err() {
        tokio::time::sleep_until(at.into()).await;
    }
}

async fn keep_time(carrier: Rc<Carrier>, alarm: Alarm) {
    loop {
        let deadline = carrier.centre.borrow().deadline();
        carrier.armed.set(deadline);
        match deadline {
            Some(at) => tokio::select! {
                () = wait(&alarm, at) => carrier.with(|centre| centre.tick(Instant::now())),
                () = carrier.rearm.notified() => {}
            },
            None => carrier.rearm.notified().await,
        }
    }
}

async fn keep_log(carrier: Rc<Carrier>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        carrier.centre.borrow_mut().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn acknowledgements_go_as_the_scenario_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let at_once = || SockRef::from(&stream).tcp_quickack().unwrap();
        for wish in [false, true, false] {
            acknowledge(&stream, Some(wish));
            assert_eq!(at_once(), wish);
            acknowledge(&stream, None);
            assert_eq!(at_once(), wish, "nothing is said of it");
        }
    }
}
