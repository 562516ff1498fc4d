//! Listeners for connections the far side opens, each shared by all channels that listen there.
//!
//! A door stands while a link listens at it. What it does with a connection:
//!
//! | state | entered by | left by |
//! |---|---|---|
//! | accepted | the kernel | an address nobody allows, or too many being greeted: closed without a word; else → greeted |
//! | greeted | accepted | [`carriers::Protocol::greet`] names an account → claimed; refuses: its answer, closed; [`GREETING`] or [`MOST_FIRST`] is over: closed |
//! | claimed | an account is named | locked ([`crate::penalty`]): refused unseen; no such account, or not for that address: refused, counted as wrong; as many as [`VISITORS`] are there: refused; else, after the wait its earlier tries earn → handed over |
//! | handed over | claimed | the session judges the login: wrong → counted, right → forgiven |
//!
//! Refused means in the protocol's own words, then closed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use carriers::{Greeting, Protocol};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::Down;
use crate::penalty::{Penalties, Standing};

/// How long a connection may take to say whose it is.
pub(crate) const GREETING: Duration = Duration::from_secs(5);
/// Octets it may say until then.
pub(crate) const MOST_FIRST: usize = 16 * 1024;
/// Connections of one door that have not said it yet.
pub(crate) const GREETED: usize = 64;
/// Connections of one account.
pub(crate) const VISITORS: usize = 16;
/// How long a refusal may take to be written.
const REFUSING: Duration = Duration::from_secs(1);
/// Wait after the kernel had no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// All doors of a process; clones are the same.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<HashMap<SocketAddr, Weak<Door>>>>);

/// One listener.
struct Door {
    /// Where it really listens.
    address: SocketAddr,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

/// What greeting needs.
struct Desk {
    protocol: &'static dyn Protocol,
    hosts: Mutex<HashMap<String, Host>>,
    penalties: Mutex<Penalties>,
}

/// Who takes an account's connections.
struct Host {
    allow_from: Vec<IpNet>,
    places: Arc<Semaphore>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// A connection that says it is a certain account's.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// What it said so far.
    pub(crate) first: BytesMut,
    pub(crate) guest: Guest,
}

/// Who came, for the book of wrong logins; holds the account's place.
pub(crate) struct Guest {
    desk: Arc<Desk>,
    address: IpAddr,
    account: String,
    _place: OwnedSemaphorePermit,
}

/// One account's presence at a door; its end closes the door if it was the last.
pub(crate) struct Visit {
    door: Arc<Door>,
    account: String,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

impl Doors {
    /// Listens at `address` (`ip:port`) for that account's connections, as long as the visit lasts.
    pub(crate) fn enter(
        &self,
        address: &str,
        protocol: &'static dyn Protocol,
        account: &str,
        allow_from: &[IpNet],
    ) -> Result<Visit, Down> {
        let unreachable = |why: &dyn std::fmt::Display| Down::Unreachable(format!("{address}: {why}"));
        let wanted: SocketAddr = address.parse().map_err(|_| Down::Unresolved(format!("{address} is not ip:port")))?;
        let mut doors = lock(&self.0);
        doors.retain(|_, door| door.strong_count() > 0);
        let door = match doors.get(&wanted).and_then(Weak::upgrade) {
            Some(door) => door,
            None => {
                let door = Arc::new(Door::open(wanted, protocol).map_err(|error| unreachable(&error))?);
                doors.insert(wanted, Arc::downgrade(&door));
                door
            }
        };
        drop(doors);
        if door.desk.protocol.name() != protocol.name() {
            return Err(unreachable(&"another protocol listens there"));
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        let host =
            Host { allow_from: allow_from.to_vec(), places: Arc::new(Semaphore::new(VISITORS)), arrivals: sender };
        let mut hosts = lock(&door.desk.hosts);
        if hosts.contains_key(account) {
            return Err(unreachable(&"that account listens there already"));
        }
        hosts.insert(account.to_owned(), host);
        drop(hosts);
        Ok(Visit { door, account: account.to_owned(), arrivals })
    }
}

impl Visit {
    /// Where the door really is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// The next connection. What bounds the queue are the account's places.
    pub(crate) async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        lock(&self.door.desk.hosts).remove(&self.account);
    }
}

impl Guest {
    /// Its login was right.
    pub(crate) fn welcome(&self) {
        lock(&self.desk.penalties).succeeded(self.address, &self.account);
    }

    /// Its login was wrong.
    pub(crate) fn wrong(&self) {
        self.desk.wrong(self.address, Some(&self.account));
    }
}

impl Door {
    fn open(address: SocketAddr, protocol: &'static dyn Protocol) -> std::io::Result<Door> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk { protocol, hosts: Mutex::default(), penalties: Mutex::default() });
        let task = tokio::spawn(attend(listener, desk.clone()));
        Ok(Door { address, desk, task })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    fn wrong(&self, address: IpAddr, account: Option<&str>) {
        let locked = lock(&self.penalties).failed(Instant::now(), address, account);
        let protocol = self.protocol.name();
        tracing::warn!(protocol, peer = %address, account = account.unwrap_or("unknown"), locked, "login refused");
    }

    /// Whether anybody here allows it.
    fn allows(&self, address: IpAddr) -> bool {
        lock(&self.hosts).values().any(|host| host.allows(address))
    }
}

impl Host {
    /// Whoever names nobody allows this machine.
    fn allows(&self, address: IpAddr) -> bool {
        let named = self.allow_from.iter().any(|net| net.contains(&address));
        named || (self.allow_from.is_empty() && address.is_loopback())
    }
}

/// Accepts connections for as long as the door stands.
async fn attend(listener: TcpListener, desk: Arc<Desk>) {
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if greetings.len() < GREETED && desk.allows(peer.ip().to_canonical()) => {
                    greetings.spawn(greet(stream, peer, desk.clone()));
                }
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, greeted = greetings.len(), "connection not taken");
                    drop(stream);
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = greetings.join_next(), if !greetings.is_empty() => {}
        }
    }
}

/// Finds out whose connection it is and hands it over, or refuses it.
async fn greet(mut stream: TcpStream, peer: SocketAddr, desk: Arc<Desk>) {
    let mut first = BytesMut::new();
    let said = timeout(GREETING, listen(&mut stream, peer, &desk, &mut first)).await;
    let refusal = match said {
        Ok(Some(Greeting::Claim { account, refusal, full })) => {
            match claim(&desk, peer.ip().to_canonical(), &account).await {
                Ok((guest, arrivals)) => {
                    // The session writes at once, where the kernel has said that it may.
                    if stream.writable().await.is_ok() {
                        let _ = arrivals.send(Arrival { stream, peer, first, guest });
                    }
                    return;
                }
                Err(Unclaimed::Stranger) => refusal,
                Err(Unclaimed::Full) => full,
            }
        }
        Ok(Some(Greeting::Refuse(refusal))) => refusal,
        Ok(Some(Greeting::More) | None) | Err(_) => return,
    };
    let _ = timeout(REFUSING, async { stream.write_all(&refusal).await.and(stream.shutdown().await) }).await;
}

/// Reads until the protocol knows; `None` where the connection ends before, or says too much.
async fn listen(stream: &mut TcpStream, peer: SocketAddr, desk: &Desk, first: &mut BytesMut) -> Option<Greeting> {
    while first.len() <= MOST_FIRST {
        match stream.read_buf(first).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        match desk.protocol.greet(first, None, peer) {
            Greeting::More => {}
            greeting => return Some(greeting),
        }
    }
    None
}

/// Why a connection that names its account has no place.
enum Unclaimed {
    /// No such account, or too many tries.
    Stranger,
    /// The account has as many connections as it may.
    Full,
}

/// A place with that account's host, once the tries so far are paid for.
async fn claim(
    desk: &Arc<Desk>,
    address: IpAddr,
    account: &str,
) -> Result<(Guest, mpsc::UnboundedSender<Arrival>), Unclaimed> {
    let standing = lock(&desk.penalties).standing(Instant::now(), address, account);
    match standing {
        Standing::Locked => return Err(Unclaimed::Stranger),
        Standing::After(wait) if wait.is_zero() => {}
        Standing::After(wait) => sleep(wait).await,
    }
    let host = {
        let hosts = lock(&desk.hosts);
        let host = hosts.get(account).filter(|host| host.allows(address));
        host.map(|host| (host.places.clone(), host.arrivals.clone()))
    };
    let Some((places, arrivals)) = host else {
        desk.wrong(address, None);
        return Err(Unclaimed::Stranger);
    };
    let Ok(place) = places.try_acquire_owned() else { return Err(Unclaimed::Full) };
    Ok((Guest { desk: desk.clone(), address, account: account.to_owned(), _place: place }, arrivals))
}

/// No lock here is held over anything that can panic, nor over an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
