//! Messages that come to the switch with a past: from disk after a restart, or from the report when a carrier that had
//! one could not deliver it.

use super::lane::{Again, Pending};
use super::machine::Switch;
use super::{Command, End, Recovered};
use crate::clock::Time;

impl Switch {
    pub(super) fn recover(&mut self, now: Time, recovered: Recovered, out: &mut Vec<Command>) {
        let pending = pending(&recovered);
        if let Some((channel, doubt)) = recovered.in_doubt {
            out.push(Command::InDoubt(pending.entry.id, channel, doubt));
            self.in_doubt(now, pending, channel, (doubt, false), out);
        } else if recovered.refused > 0 && recovered.refused >= self.tier(pending.lane.tier).1.attempts {
            out.push(Command::Exhausted(pending.entry.id, End::Attempts));
        } else {
            self.lanes.insert(pending);
        }
    }

    /// A message that a carrier has had goes elsewhere. An attempt of it that was ordered and not yet handed over when
    /// the news came is that further attempt.
    pub(super) fn again(&mut self, recovered: Recovered, out: &mut Vec<Command>) {
        let mut pending = pending(&recovered);
        let id = pending.entry.id;
        // What earlier attempts may still hear was weighed by the report: none of their answers stops this one.
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.pending.entry.id == id) {
            attempt.superseded = false;
        }
        pending.lane.class.avoid = recovered.excluded.last().copied();
        if !recovered.doubtful {
            pending.entry.again = Again::Undelivered;
        }
        if let Some(attempt) = self.attempts.of_mut(id)
            && !attempt.is_started()
        {
            attempt.concluded = false;
            attempt.pending = pending;
            return;
        }
        // Its receipt came before its answer, or in place of one that was given up: what waits for that is out of date.
        self.attempts.decide_of(id);
        self.partial.remove(&id);
        self.forget(id);
        if recovered.refused >= self.tier(pending.lane.tier).1.attempts.max(1) {
            out.push(Command::Exhausted(id, End::Attempts));
        } else {
            self.lanes.insert(pending);
        }
    }
}

/// A message from the journal or the report, with what its attempts left behind.
fn pending(recovered: &Recovered) -> Pending {
    let mut pending = Pending::from(recovered.message);
    pending.entry.used = recovered.refused;
    pending.entry.doubtful = recovered.doubtful;
    recovered.excluded.iter().for_each(|channel| pending.lane.class.exclude(*channel));
    pending
}
