//! A link's events on their way to the gateway, in batches, through a bounded channel that never makes the link wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::{BACKLOG, Batch, FromLink, LinkId};

/// Events that the next batch has room for from the start, if the one before had as many, or a seventh more room.
const ROOM: usize = 4096;

type Permit = Result<mpsc::OwnedPermit<Batch>, mpsc::error::SendError<()>>;

/// Collects events and hands them over whenever the channel has a place.
pub(crate) struct Outbox {
    id: LinkId,
    generation: u64,
    channel: mpsc::Sender<Batch>,
    pending: Vec<FromLink>,
    /// Present while the channel is full.
    place: Option<Pin<Box<dyn Future<Output = Permit> + Send>>>,
    gone: bool,
}

impl Outbox {
    /// An empty one, of no connection yet.
    pub(crate) fn new(id: LinkId, channel: mpsc::Sender<Batch>) -> Self {
        Outbox { id, generation: 0, channel, pending: Vec::new(), place: None, gone: false }
    }

    /// One whose next connection is that one.
    pub(crate) fn before(id: LinkId, generation: u64, channel: mpsc::Sender<Batch>) -> Self {
        Outbox { generation: generation.saturating_sub(1), ..Outbox::new(id, channel) }
    }

    /// Adds an event to the next batch.
    pub(crate) fn push(&mut self, event: FromLink) {
        self.pending.push(event);
    }

    /// Adds events to the next batch, in order; `events` is empty then.
    pub(crate) fn append(&mut self, events: &mut Vec<FromLink>) {
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, events);
        } else {
            self.pending.append(events);
        }
    }

    /// The connection all events belong to until [`Outbox::next_generation`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// From now on events belong to the next connection. Only while nothing is [`Outbox::waiting`].
    pub(crate) fn next_generation(&mut self) {
        debug_assert!(self.pending.is_empty(), "a batch is of one connection");
        self.generation += 1;
    }

    /// Hands over what was pushed, now if the channel has a place, or else when [`Outbox::poll`] finds one.
    pub(crate) fn hand_over(&mut self) {
        if self.pending.is_empty() || self.place.is_some() || self.gone {
            return;
        }
        match self.channel.try_reserve() {
            Ok(permit) => {
                let most = self.pending.len().max(self.pending.capacity() / 8 * 7);
                let next = Vec::with_capacity(most.min(ROOM));
                let events = std::mem::replace(&mut self.pending, next);
                permit.send(Batch { id: self.id, generation: self.generation, events });
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                self.place = Some(Box::pin(self.channel.clone().reserve_owned()));
            }
            Err(mpsc::error::TrySendError::Closed(())) => self.gone = true,
        }
    }

    /// Ready when everything is handed over, or the gateway is [`Outbox::gone`].
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = &mut self.place {
            let permit = std::task::ready!(place.as_mut().poll(cx));
            self.place = None;
            match permit {
                Ok(permit) => {
                    let events = std::mem::take(&mut self.pending);
                    permit.send(Batch { id: self.id, generation: self.generation, events });
                }
                Err(_) => self.gone = true,
            }
        }
        Poll::Ready(())
    }

    /// Whether the channel was full and events wait for it.
    pub(crate) fn waiting(&self) -> bool {
        self.place.is_some()
    }

    /// Whether so many events wait that nothing more should be read from the socket.
    pub(crate) fn backlogged(&self) -> bool {
        self.pending.len() > BACKLOG
    }

    /// Whether nobody listens any more.
    pub(crate) fn gone(&self) -> bool {
        self.gone
    }
}
