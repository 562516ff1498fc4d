//! Batches on their way through the line. One that is durable comes in piece by piece, a piece per turn, so that ten
//! thousand messages keep no single one waiting; its app is answered when all of it is in. Its record stays at hand until
//! the store has it, which the journal then need not keep.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Line, accepted, desk};
use crate::accept::batch::Counts;
use crate::accept::{Committed, Flock, Found};
use crate::clock::Moment;
use crate::ids::MessageId;
use crate::journal::record::{Batch, Record, kind};
use crate::journal::store::{Finished, Store};
use crate::journal::{At, CommitError};
use crate::report::history;
use crate::report::story::Status;
use crate::switch::{Event, Home, Message};

/// Messages that come in per turn.
const PIECE: usize = 256;

/// Batches that are not done with.
#[derive(Default)]
pub(super) struct Batches {
    /// Durable, and coming in.
    entering: VecDeque<Entering>,
    /// Records that the store has not got yet.
    open: BTreeMap<u64, Bytes>,
}

struct Entering {
    flock: Flock,
    /// The next one to come in, and where its record is.
    next: usize,
    at: At,
}

impl Batches {
    /// Whether any waits to come in.
    pub(super) fn waiting(&self) -> bool {
        !self.entering.is_empty()
    }

    /// Keeps a record until the store has it.
    pub(super) fn keep(&mut self, id: MessageId, record: Bytes, store: &Store) {
        if let Some(batch) = read(&record) {
            let found = Found::batch(id, batch.body_hash, batch.at);
            let key = batch.idempotency_key.map(|key| desk::key_record(batch.app, key, &found));
            let idempotency = key.as_ref().map(|(name, value)| (&name[..], &value[..]));
            store.put(&Finished { id: id.0, batch: &record, idempotency, ..Finished::default() });
        }
        self.open.insert(id.0, record);
    }

    /// Drops one that the store has; false where it is none of ours.
    pub(super) fn persisted(&mut self, id: u64) -> bool {
        self.open.remove(&id).is_some()
    }

    /// A record that the store has not got yet.
    pub(super) fn find(&self, id: MessageId) -> Option<Bytes> {
        self.open.get(&id.0).cloned()
    }
}

/// A batch's record.
pub(super) fn read(record: &[u8]) -> Option<Batch<'_>> {
    match Record::read(kind::BATCH, record) {
        Ok(Record::Batch(batch)) => Some(batch),
        _ => None,
    }
}

impl Line {
    /// The journal's word on a batch.
    pub(super) fn flock(&mut self, flock: Flock, result: Result<At, CommitError>) {
        let committed = match result {
            Ok(last) => {
                // Its own record is the last; those of its messages stand right before it.
                let octets = |range: &std::ops::Range<u32>| range.end.saturating_sub(range.start);
                let at = flock.members.iter().rev().fold(last, |at, member| at.before(octets(&member.octets)));
                let record = Bytes::copy_from_slice(flock.body(&flock.record));
                self.batches.keep(flock.id, record, &self.store);
                return self.batches.entering.push_back(Entering { flock, next: 0, at });
            }
            Err(CommitError::Voided | CommitError::Full) => Committed::Refused,
            Err(CommitError::Unknown) => Committed::Unknown,
        };
        // The app may have gone.
        let _ = flock.answer.send(committed);
    }

    /// The next piece comes in.
    pub(super) fn enter(&mut self, now: Moment) {
        let Some(mut entering) = self.batches.entering.pop_front() else { return };
        let members = entering.flock.members.clone();
        let rerouted = entering.flock.routing != self.tables.load().routing;
        for member in members.iter().skip(entering.next).take(PIECE) {
            let body = entering.flock.body(&member.octets);
            let mut message = member.message;
            if rerouted
                && let Some(read) = accepted(body)
                && let Some(home) = self.tables.load().home(message.app, message.tier, &read)
            {
                let Home { group, tier, parts } = home;
                message = Message { group, tier, parts, ..message };
            }
            let kept = self.bodies.insert(message.id, body);
            self.report.accepted(now, &message, (entering.at, kept), member.callback);
            entering.next += 1;
            if let Some(next) = members.get(entering.next) {
                entering.at = entering.at.after(next.octets.end.saturating_sub(next.octets.start));
            }
            self.tell_switch(now, Event::Accepted(message));
        }
        if entering.next < members.len() {
            return self.batches.entering.push_front(entering);
        }
        let _ = entering.flock.answer.send(Committed::Durable);
    }

    /// Where the messages of a batch stand that are not with the store alone, by index.
    pub(super) fn standings(&self, id: MessageId, count: u16) -> Vec<Option<Status>> {
        (0..count).map(|index| self.report.live(id.item(index)).map(history::standing_of)).collect()
    }
}

/// Adds what the store knows of those that are nowhere else.
pub(super) fn count(store: &Store, id: MessageId, live: &[Option<Status>]) -> Counts {
    let mut counts = Counts::default();
    live.iter().flatten().for_each(|status| counts.add(*status));
    let Ok(last) = u16::try_from(live.len()) else { return counts };
    let (mut after, end) = (id.0, id.item(last).0);
    if live.iter().all(Option::is_some) {
        return counts;
    }
    loop {
        const PAGE: usize = 1_000;
        let page = store.histories(after, PAGE);
        for (message, records) in &page {
            let index = message.saturating_sub(id.0 + 1);
            if *message < end
                && let Some(None) = usize::try_from(index).ok().and_then(|index| live.get(index))
                && let Some(status) = history::standing(records)
            {
                counts.add(status);
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE && *last < end => after = *last,
            _ => return counts,
        }
    }
}
