//! Sessions on sockets: all carrier-side tokio.
//!
//! [`spawn`] starts one task per link. It dials, opens a [`carriers::Session`], moves octets between the two, redials
//! with back-off when the connection is gone (or, on demand, with the next part), and tells the gateway what happened in
//! batches: everything one wake-up brought is one [`Batch`]. Where the far side dials, it listens at a door shared with
//! other channels ([`Doors`]) and holds a conversation on each connection. The gateway answers with batches of [`ToLink`] through the [`Handle`].
//! How far an unanswered part got is judged here ([`carriers::Doubt`]), from the kernel's acknowledgements.
//!
//! # Why nothing here grows without bound
//!
//! Neither side ever waits for the other, so each queue needs its own reason to stay small:
//!
//! * **Commands** ([`Handle::send`]). A link takes all of them whenever it is polled and never stops doing so, dialling
//!   or blocked in a write alike. What can be on its way is bounded by what it answers: a `Submit` holds one of
//!   [`FromLink::Up`]'s window slots until `Freed` comes back, and a `Settle` answers inbounds, of which a session
//!   leaves at most 512 open. `Probe` and `Unbind` are the operator's and the health rules', a few per minute.
//! * **Events** (the sender given to [`spawn`]) are a bounded channel, shared by all links. When it is full the link
//!   goes on working and keeps the rest for its next batch, which is bounded in turn: two events per slot, one per
//!   open inbound, no ages of unacknowledged octets at all, and above [`BACKLOG`] events it stops reading the socket, so that even a peer that sends nothing
//!   but PDUs to be skipped pays with its own send buffer. It does not redial before the last connection's events are
//!   handed over, so that a flapping peer cannot pile up inbounds either, and a batch never mixes two connections.
//! * **Octets out**. A blocked write keeps what the session wanted sent: at most a window of parts, and the answers to
//!   what was read. Above [`OUT_LIMIT`] octets reading stops until the peer takes its answers.
//! * **Connections in**: a door greets at most 64 at once, for 5 s each, and an account has at most 16; what it knows of
//!   wrong logins is bounded, too.
//! * **Parts before a connection**: a leg dialled on demand keeps at most a window of them.
//! * **Octets in**: one read buffer of [`READ_BUFFER`] octets per link.

mod dial;
mod door;
mod doubt;
mod hall;
mod outbox;
mod penalty;
mod porter;
mod reconnect;
mod stream;
mod tcp_info;
mod unacked;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carriers::{
    AttemptRef, Doubt, Event, Fault, Inbound, Life, Part, Profile, Protocol, Reach, Settle, Ticket, Transport,
};
pub use door::Doors;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Octets read from a socket at once.
pub const READ_BUFFER: usize = 64 * 1024;
/// Octets waiting to be written above which a link stops reading.
pub const OUT_LIMIT: usize = 1024 * 1024;
/// Events waiting for a full events channel above which a link stops reading.
pub const BACKLOG: usize = 16 * 1024;

/// Which link of the configuration: `link` counts over all legs of the channel and their links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LinkId {
    /// The channel's number.
    pub channel: u16,
    /// The link's number inside its channel.
    pub link: u16,
}

/// All a link needs to know; fixed for its life.
#[derive(Clone)]
pub struct Spec {
    /// Returned with every batch.
    pub id: LinkId,
    /// The channel's name, for the log.
    pub name: String,
    /// Opens the sessions.
    pub profile: Arc<dyn Profile>,
    /// Index into [`Profile::legs`].
    pub leg: usize,
    /// Decides all that is drawn at random: the sessions' seeds and the jitter of the back-off.
    pub seed: u64,
    /// Times and limits.
    pub settings: Settings,
    /// Where the far side comes in; only legs that it dials need one.
    pub entrance: Option<Entrance>,
}

/// What a leg that the far side dials needs beside.
#[derive(Clone)]
pub struct Entrance {
    /// Shared by all links, for channels may share a listener.
    pub doors: Doors,
    /// Says whose a connection is.
    pub protocol: &'static dyn Protocol,
    /// Whence the account's connections may come; empty: from this machine.
    pub allow_from: Vec<IpNet>,
}

/// Times of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one address may take to accept the connection.
    pub connect_timeout: Duration,
    /// How long after one address the next is tried, where a name has several.
    pub stagger: Duration,
    /// `TCP_USER_TIMEOUT`: how long written octets may stay unacknowledged before the kernel gives up.
    pub user_timeout: Duration,
    /// TCP keepalive: idle time before the first probe and between probes. Whole seconds.
    pub keepalive: Duration,
    /// TCP keepalive: probes lost in a row until the kernel gives up.
    pub keepalive_probes: u32,
    /// Octets of ours the kernel may hold (`SO_SNDBUF`); `None` leaves it to the kernel.
    pub send_buffer: Option<usize>,
    /// Longest waits before the first, second, ... redial, the last one repeated; each is drawn from 0 to that.
    /// Empty means at once.
    pub retry: Vec<Duration>,
    /// Shortest wait after a login that was refused for good.
    pub refused_pause: Duration,
    /// How long a login must have lived for the waits to start again from the first.
    pub lived: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            connect_timeout: Duration::from_secs(1),
            stagger: Duration::from_millis(250),
            user_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(1),
            keepalive_probes: 3,
            send_buffer: None,
            retry: [200, 500, 1_000, 2_000, 5_000, 10_000, 30_000].map(Duration::from_millis).to_vec(),
            refused_pause: Duration::from_secs(60),
            lived: Duration::from_secs(10),
        }
    }
}

/// What the gateway tells a link.
#[derive(Debug)]
pub enum ToLink {
    /// Send this part. Without a bound session, or without room in it, it comes back at once as
    /// [`FromLink::Unanswered`] (unsent) and `Freed`.
    Submit(Ticket, AttemptRef, Part),
    /// The word on receipts and MOs of connection `generation` ([`Batch::generation`]), the same for all. Ignored once
    /// that connection is gone: its inbounds went with it, and the carrier repeats them.
    Settle(u64, Vec<Inbound>, Settle),
    /// Ask for a sign of life now. Ignored while down.
    Probe,
    /// Finish what is open, end the session in order, do not come back. Ends in [`FromLink::Closed`].
    Unbind,
}

/// What a link tells the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromLink {
    /// The carrier accepted the login: up to `window` parts may be open. A leg dialled on demand stays up without a
    /// connection. One that the far side dials is up while we listen, and takes no parts.
    Up {
        /// In parts.
        window: usize,
        /// The far side, or where we listen.
        address: SocketAddr,
    },
    /// This connection is over, and its inbounds with it; the link is as it was.
    Parted,
    /// The connection is gone, or could not be had; every open ticket was reported before. Comes once for each
    /// attempt at a connection that ended, whether it ever came [`FromLink::Up`] or not.
    Down {
        /// What ended it.
        why: Down,
        /// When the next dial comes; `None` after [`ToLink::Unbind`].
        retry_in: Option<Duration>,
    },
    /// What the session said; never `Bound` (that is [`FromLink::Up`]) nor `Unanswered` (below).
    Event(Event),
    /// No answer will be seen for this part, and how far it got. `Freed` follows.
    Unanswered(Ticket, Doubt),
    /// So long have octets written on this connection waited for the far side's kernel to acknowledge them: told from
    /// 300 ms on, about every 50 ms while it grows, less what a long round trip excuses; zero once it is over.
    Unacked(Duration),
    /// So many parts that had waited for a connection are written only now: whoever keeps the channel's pace counts them
    /// from here.
    Late(u32),
    /// The link has ended after [`ToLink::Unbind`]; nothing follows.
    Closed,
}

/// Why a link is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// The name gave no address.
    #[error("name not resolved: {0}")]
    Unresolved(String),
    /// No address accepted the connection; the last one's reason.
    #[error("not connected: {0}")]
    Unreachable(String),
    /// The kernel reported the connection broken (reset, timed out).
    #[error("connection broken: {0}")]
    Broken(String),
    /// The far side closed the connection without a word.
    #[error("the far side closed the connection")]
    Ended,
    /// The session gave up.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The session's own code failed (a panic). Its open tickets count as acknowledged.
    #[error("internal error in the session")]
    Panicked,
}

impl Down {
    /// One word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Down::Unresolved(_) => "unresolved",
            Down::Unreachable(_) => "unreachable",
            Down::Broken(_) => "broken",
            Down::Ended => "ended",
            Down::Panicked => "panicked",
            Down::Fault(Fault::Broken(_)) => "nonsense",
            Down::Fault(Fault::Silent) => "silent",
            Down::Fault(Fault::BindRefused { .. }) => "bind_refused",
            Down::Fault(Fault::BindTimeout) => "bind_timeout",
            Down::Fault(Fault::Unbound) => "unbound",
            Down::Fault(Fault::Closed) => "closed",
        }
    }
}

/// Everything one wake-up of a link brought, in order. All of one connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub id: LinkId,
    /// Counts the connections of this link, from 1; 0 before the first. Goes back with [`ToLink::Settle`].
    pub generation: u64,
    /// Never empty.
    pub events: Vec<FromLink>,
}

/// A leg this crate cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unservable {
    /// The profile has no leg of that index.
    #[error("the channel has no leg {0}")]
    NoLeg(usize),
    /// The far side would dial us, and there is no door for it.
    #[error("legs the far side dials need a place to listen")]
    Nowhere,
    /// Not a stream.
    #[error("{0:?} legs are not served yet")]
    Transport(Transport),
}

/// A running link. Dropping it ends the task at once and closes the socket without a word.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Vec<ToLink>>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Gives the link something to do; never waits. Nothing happens once the link has ended. What bounds this queue
    /// stands on the crate's page.
    pub fn send(&self, batch: Vec<ToLink>) {
        // An ended link has reported every ticket it had, and takes no more.
        let _ = self.commands.send(batch);
    }

    /// The same as sending [`ToLink::Unbind`].
    pub fn unbind(&self) {
        self.send(vec![ToLink::Unbind]);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a link on the current tokio runtime (either flavour); events go to `events`, a bounded channel that all
/// links may share. A full channel holds events back but never blocks the link; a closed one ends it.
///
/// # Errors
/// A leg of a kind that cannot be served.
///
/// # Panics
/// Outside a tokio runtime with I/O and time enabled, as [`tokio::spawn`] does.
pub fn spawn(spec: Spec, events: mpsc::Sender<Batch>) -> Result<Handle, Unservable> {
    let target = target(&*spec.profile, spec.leg)?;
    let (commands, inbox) = mpsc::unbounded_channel();
    let task = match target {
        Target::Dial(address, life) => tokio::spawn(stream::Link::new(spec, address, life, inbox, events).run()),
        Target::Listen(address) => {
            let entrance = spec.entrance.clone().ok_or(Unservable::Nowhere)?;
            tokio::spawn(hall::Hall::new(spec, entrance, address, inbox, events).run())
        }
    };
    Ok(Handle { commands, task })
}

/// Whether every leg of a channel can be served: [`spawn`] fails for none of them then.
///
/// # Errors
/// The first leg that cannot.
pub fn servable(profile: &dyn Profile) -> Result<(), Unservable> {
    (0..profile.legs().len()).try_for_each(|leg| target(profile, leg).map(drop))
}

/// What a leg does.
enum Target {
    Dial(String, Life),
    Listen(String),
}

/// What a leg does, where that is something this crate does.
fn target(profile: &dyn Profile, leg: usize) -> Result<Target, Unservable> {
    let leg = profile.legs().get(leg).ok_or(Unservable::NoLeg(leg))?;
    match (&leg.reach, leg.transport) {
        (Reach::Dial(target), Transport::Stream) => Ok(Target::Dial(target.clone(), leg.life)),
        (Reach::Listen(address), Transport::Stream) => Ok(Target::Listen(address.clone())),
        (_, transport) => Err(Unservable::Transport(transport)),
    }
}
