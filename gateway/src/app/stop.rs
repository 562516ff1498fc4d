//! The orderly end: nothing new, windows finished, links unbound, everything on disk. What still waits stays in the
//! journal for the next start.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::states::Cause;
use super::{Arrival, Line, health, patrol};
use crate::clock::{Moment, Time};
use crate::journal::record::{Record, Unbound};

/// How long links may take to unbind once their windows are empty; never more than a quarter of all the time there is.
const UNBIND: Duration = Duration::from_secs(2);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// Windows are being finished, until then at the latest; `end` is when all is to be over.
    Windows { until: Time, end: Time },
    /// Links say goodbye until `links`; the last requests are answered and callbacks under way end until `end`.
    Links { links: Time, end: Time },
}

impl Stopping {
    fn begin(now: Time, most: Duration) -> Stopping {
        Stopping::Windows { until: now.after(most.saturating_sub(UNBIND.min(most / 4))), end: now.after(most) }
    }

    /// When it goes on by itself.
    pub(super) fn deadline(self, now: Time) -> Time {
        match self {
            Stopping::Windows { until, .. } => until,
            Stopping::Links { links, .. } if now < links => links,
            Stopping::Links { end, .. } => end,
        }
    }
}

impl Line {
    /// Starts the end: no channel takes anything new.
    pub(super) fn drain(&mut self, now: Moment) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping::begin(now.time, self.plan.node.drain_timeout));
        self.enforce_all(now, Cause::Stop);
    }

    /// Moves the end on; true when the line is to be closed. A client that dawdles over its request (`answered` is when
    /// none is left) holds nothing up: at the end its connection closes, and nothing was promised to it.
    pub(super) fn stopped(&mut self, answered: bool) -> bool {
        let now = self.clock.now();
        match self.stopping {
            Some(Stopping::Windows { until, end }) if self.switch.slots() == 0 || now.time >= until => {
                let parts = self.switch.slots();
                if parts > 0 {
                    warn!(parts, "drain: unanswered parts are left in doubt");
                }
                self.seal_health(now);
                self.fleet.unbind(now.wall);
                self.courier.quiet();
                self.stopping = Some(Stopping::Links { links: now.time.after(UNBIND).min(end), end });
                false
            }
            Some(Stopping::Links { links, end }) => {
                let unbound = self.fleet.open() == 0 || now.time >= links;
                (answered && unbound && self.courier.open() == 0) || now.time >= end
            }
            _ => false,
        }
    }

    /// Everything to disk, threads joined. Acknowledgements that still come find nobody; their records are durable.
    pub(super) async fn close(mut self, arrivals: mpsc::UnboundedReceiver<Arrival>) {
        if self.fleet.open() == 0 {
            let (now, mut octets) = (self.clock.now().wall, Vec::new());
            let unbound = Record::Unbound(Unbound { at: now });
            unbound.write(&mut octets);
            self.journal.append(unbound.kind(), self.ids.next(now).0, &octets);
        }
        self.seal_health(self.clock.now());
        let health = self.last_health();
        let (learned, dir) = (self.quality.keep(&self.plan.names), self.plan.node.data_dir.clone());
        let Line { journal, store, reader, seeker, report, fleet, courier, .. } = self;
        let letters = courier.stop();
        drop((fleet, courier, arrivals));
        let closed = tokio::task::spawn_blocking(move || {
            drop((reader, seeker));
            patrol::write(&learned, &dir);
            health.iter().for_each(|book| health::write(book, &dir));
            letters.close();
            store.close();
            journal.close();
        });
        if closed.await.is_err() {
            warn!("stop: the journal or the store did not close in order");
        }
        info!(messages = report.len(), "stopped");
    }
}
