//! The life of a leg the far side dials: a place at a door, and a conversation for each connection that comes.
//!
//! | state | entered by | a connection | settle | `Unbind` | left by |
//! |---|---|---|---|---|---|
//! | closed | the start; the door cannot be opened: `Down` with `retry_in` | none comes | to its conversation | ended | the wait is over: the door opens → open |
//! | open | the door is open: `Up` | a conversation, with a generation of its own | to the conversation of that generation | ending | `Unbind` |
//! | ending | `Unbind`: the door is left, every conversation finishes | none comes | to its conversation | ignored | the last conversation is over → ended |
//! | ended | the last conversation is over | | | | `Closed` is the last event |
//!
//! A conversation's end is `Parted`, not `Down`: carriers come and go as they have something to say. No submit goes this
//! way: it comes back unsent.

use std::collections::HashMap;
use std::future::poll_fn;

use carriers::{Doubt, Event, Fault};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::dial::{Dialled, set_options};
use crate::door::{Arrival, Visit};
use crate::outbox::Outbox;
use crate::reconnect::{Backoff, Outcome};
use crate::stream::Link;
use crate::{Batch, Entrance, FromLink, Spec, ToLink, tcp_info};

/// One listening link, from [`crate::spawn`] to its end.
pub(crate) struct Hall {
    spec: Spec,
    entrance: Entrance,
    /// `ip:port`.
    address: String,
    inbox: mpsc::UnboundedReceiver<Vec<ToLink>>,
    outbox: Outbox,
    events: mpsc::Sender<Batch>,
    backoff: Backoff,
    seeds: fastrand::Rng,
    /// Where each conversation takes its commands, by generation.
    talks: HashMap<u64, mpsc::UnboundedSender<Vec<ToLink>>>,
    tasks: JoinSet<u64>,
    generation: u64,
    ending: bool,
}

impl Hall {
    /// A link that has not listened yet.
    pub(crate) fn new(
        spec: Spec,
        entrance: Entrance,
        address: String,
        inbox: mpsc::UnboundedReceiver<Vec<ToLink>>,
        events: mpsc::Sender<Batch>,
    ) -> Self {
        let mut seeds = fastrand::Rng::with_seed(spec.seed);
        Hall {
            outbox: Outbox::new(spec.id, events.clone()),
            backoff: Backoff::new(&spec.settings, seeds.u64(..)),
            spec,
            entrance,
            address,
            inbox,
            events,
            seeds,
            talks: HashMap::new(),
            tasks: JoinSet::new(),
            generation: 0,
            ending: false,
        }
    }

    /// Runs until unbound, or until nobody listens any more.
    pub(crate) async fn run(mut self) {
        let mut visit = None;
        let mut open_at = Instant::now();
        while !self.ending || !self.tasks.is_empty() {
            if self.ending {
                visit = None;
            } else if visit.is_none() && open_at <= Instant::now() {
                visit = self.enter(&mut open_at);
            }
            self.outbox.hand_over();
            if self.outbox.gone() {
                return;
            }
            let closed = visit.is_none() && !self.ending;
            tokio::select! {
                commands = self.inbox.recv() => match commands {
                    Some(commands) => self.take(commands),
                    None => return,
                },
                Some(arrival) = next(&mut visit) => self.host(arrival),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok(generation) = ended {
                        self.talks.remove(&generation);
                    }
                }
                () = poll_fn(|cx| self.outbox.poll(cx)), if self.outbox.waiting() => {}
                () = sleep_until(open_at), if closed => {}
            }
        }
        drop(visit);
        self.inbox.close();
        while let Ok(commands) = self.inbox.try_recv() {
            self.take(commands);
        }
        self.outbox.push(FromLink::Closed);
        self.outbox.hand_over();
        poll_fn(|cx| self.outbox.poll(cx)).await;
    }

    /// Opens the door, or says why not and when it is tried again.
    fn enter(&mut self, open_at: &mut Instant) -> Option<Visit> {
        let Entrance { doors, protocol, allow_from } = &self.entrance;
        match doors.enter(&self.address, *protocol, self.spec.profile.account(), allow_from) {
            Ok(visit) => {
                self.outbox.push(FromLink::Up { window: 0, address: visit.address() });
                Some(visit)
            }
            Err(why) => {
                let retry_in = self.backoff.after(Outcome::Failed);
                *open_at = Instant::now() + retry_in;
                self.outbox.push(FromLink::Down { why, retry_in: Some(retry_in) });
                None
            }
        }
    }

    /// Begins a conversation.
    fn host(&mut self, arrival: Arrival) {
        let Arrival { stream, peer, first, guest } = arrival;
        if set_options(&stream, &self.spec.settings).is_err() {
            return;
        }
        self.generation += 1;
        let (generation, seed) = (self.generation, self.seeds.u64(..));
        let (commands, inbox) = mpsc::unbounded_channel();
        let baseline = tcp_info::bytes_acked(&stream).ok();
        let link = Link::hosting(self.spec.clone(), seed, generation, inbox, self.events.clone(), guest);
        self.talks.insert(generation, commands);
        self.tasks.spawn(async move {
            let why = link.host(Dialled { stream, address: peer, baseline }, &first).await;
            tracing::debug!(%peer, reason = %why, "connection over");
            generation
        });
    }

    fn take(&mut self, commands: Vec<ToLink>) {
        for command in commands {
            match command {
                ToLink::Submit(ticket, ..) => {
                    self.outbox.push(FromLink::Unanswered(ticket, Doubt::Unsent));
                    self.outbox.push(FromLink::Event(Event::Freed(ticket)));
                }
                ToLink::Settle(generation, ..) => {
                    if let Some(talk) = self.talks.get(&generation) {
                        // One that has ended has nothing to answer any more.
                        let _ = talk.send(vec![command]);
                    }
                }
                ToLink::Unbind if !self.ending => {
                    self.ending = true;
                    self.outbox.push(FromLink::Down { why: Fault::Closed.into(), retry_in: None });
                    for talk in self.talks.values() {
                        let _ = talk.send(vec![ToLink::Unbind]);
                    }
                }
                ToLink::Unbind | ToLink::Probe => {}
            }
        }
    }
}

async fn next(visit: &mut Option<Visit>) -> Option<Arrival> {
    match visit {
        Some(visit) => visit.next().await,
        None => None,
    }
}
