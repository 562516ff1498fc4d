//! The orderly end: nothing new, windows finished, links unbound, everything on disk. What still waits stays in the
//! journal for the next start.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::states::Cause;
use super::{Arrival, Line};
use crate::clock::{Moment, Time};

/// How long links may take to unbind once their windows are empty.
const UNBIND: Duration = Duration::from_secs(2);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// Windows are being finished, until then at the latest.
    Windows(Time),
    /// Links say goodbye, and callbacks under way are finished, until these times at the latest.
    Links(Time, Time),
}

impl Stopping {
    /// When it goes on by itself.
    pub(super) fn deadline(self) -> Time {
        match self {
            Stopping::Windows(at) => at,
            Stopping::Links(links, calls) => links.min(calls),
        }
    }
}

impl Line {
    /// Starts the end: no channel takes anything new.
    pub(super) fn drain(&mut self, now: Moment) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping::Windows(now.time.after(self.plan.node.drain_timeout)));
        self.enforce_all(now, Cause::Stop);
    }

    /// Moves the end on; true when the line is to be closed.
    pub(super) fn stopped(&mut self) -> bool {
        let now = self.clock.now().time;
        match self.stopping {
            Some(Stopping::Windows(until)) if self.flights.is_empty() || now >= until => {
                if !self.flights.is_empty() {
                    warn!(parts = self.flights.len(), "drain: unanswered parts are left in doubt");
                }
                self.fleet.unbind(self.clock.now().wall);
                self.courier.quiet();
                self.stopping = Some(Stopping::Links(now.after(UNBIND), until));
                false
            }
            Some(Stopping::Links(links, calls)) => {
                (self.fleet.open() == 0 || now >= links) && (self.courier.open() == 0 || now >= calls)
            }
            _ => false,
        }
    }

    /// Everything to disk, threads joined. Acknowledgements that still come find nobody; their records are durable.
    pub(super) async fn close(self, arrivals: mpsc::UnboundedReceiver<Arrival>) {
        let Line { journal, store, reader, seeker, report, fleet, courier, .. } = self;
        let letters = courier.stop();
        drop((fleet, courier, arrivals));
        let closed = tokio::task::spawn_blocking(move || {
            drop((reader, seeker));
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
