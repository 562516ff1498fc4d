//! Records that are gathered first and then put into the journal together: in their order, under one lock.

use std::time::Instant;

use super::{At, CommitError, Journal, Priority, Shared, Tail, frame};

/// With so much in it a draft is to be handed in: whoever else appends waits that long.
const MOST_OCTETS: usize = 64 * 1_024;
const MOST_RECORDS: usize = 1_024;

/// Records not yet handed in. Its memory is used again.
pub struct Draft<A> {
    octets: Vec<u8>,
    records: Vec<Drafted<A>>,
}

struct Drafted<A> {
    kind: u8,
    id: u64,
    /// Where its body ends; it begins where the one before ends.
    end: usize,
    word: Word<A>,
}

/// What is to be said of a record.
enum Word<A> {
    /// Nothing.
    Nobody,
    /// Nothing; it is its id's last.
    End,
    /// When it is on disk, which is in no hurry.
    Acked(A),
    /// When it is on disk, as soon as that may be.
    Synced(A),
}

impl<A> Default for Draft<A> {
    fn default() -> Self {
        Draft { octets: Vec::new(), records: Vec::new() }
    }
}

impl<A> Draft<A> {
    /// As [`Journal::append`]; `body` writes its octets behind what is there.
    pub fn append(&mut self, kind: u8, id: u64, body: impl FnOnce(&mut Vec<u8>)) {
        self.add(kind, id, Word::Nobody, body);
    }

    /// As [`Journal::append_acked`].
    pub fn append_acked(&mut self, kind: u8, id: u64, ack: A, body: impl FnOnce(&mut Vec<u8>)) {
        self.add(kind, id, Word::Acked(ack), body);
    }

    /// As [`Journal::append_synced`].
    pub fn append_synced(&mut self, kind: u8, id: u64, ack: A, body: impl FnOnce(&mut Vec<u8>)) {
        self.add(kind, id, Word::Synced(ack), body);
    }

    /// As [`Journal::end`].
    pub fn end(&mut self, id: u64) {
        self.add(0, id, Word::End, |_| {});
    }

    /// Whether there is so much in it that it should not grow.
    pub fn is_full(&self) -> bool {
        self.octets.len() >= MOST_OCTETS || self.records.len() >= MOST_RECORDS
    }

    fn add(&mut self, kind: u8, id: u64, word: Word<A>, body: impl FnOnce(&mut Vec<u8>)) {
        body(&mut self.octets);
        self.records.push(Drafted { kind, id, end: self.octets.len(), word });
    }
}

impl<A: Send + 'static> Journal<A> {
    /// Adds what was gathered as if it were added record by record; the draft is empty then. `priority` is that of those
    /// with an ack.
    pub fn hand_in(&self, priority: Priority, draft: &mut Draft<A>) {
        if draft.records.is_empty() {
            return;
        }
        let shared = self.shared();
        let mut tail = shared.tail();
        let (before, mut hurry, mut from) = (tail.segment, false, 0);
        for Drafted { kind, id, end, word } in draft.records.drain(..) {
            let body = draft.octets.get(from..end).unwrap_or_default();
            from = end;
            hurry |= match word {
                Word::Nobody => shared.add(&mut tail, kind, id, body).1,
                Word::End => shared.add_end(&mut tail, id),
                Word::Acked(ack) => shared.add_acked(&mut tail, priority, (kind, id, body), ack),
                Word::Synced(ack) => shared.add_synced(&mut tail, priority, (kind, id, body), ack),
            };
        }
        draft.octets.clear();
        shared.appended(tail, before, hurry);
    }
}

/// One record more. Each tells whether the commit thread must know.
impl<A> Shared<A> {
    pub(super) fn add(&self, tail: &mut Tail<A>, kind: u8, id: u64, body: &[u8]) -> (At, bool) {
        if !tail.holds(body.len()) {
            tracing::error!(kind, octets = body.len(), "a record larger than a journal segment was dropped");
            return (At::default(), false);
        }
        (tail.lazy(kind, id, body), self.is_first(tail))
    }

    pub(super) fn add_end(&self, tail: &mut Tail<A>, id: u64) -> bool {
        let (_, first) = self.add(tail, self.end_kind, id, &[]);
        tail.ends += 1;
        first
    }

    pub(super) fn add_acked(
        &self,
        tail: &mut Tail<A>,
        priority: Priority,
        (kind, id, body): (u8, u64, &[u8]),
        ack: A,
    ) -> bool {
        if !self.takes(tail, priority, body) {
            tail.settled.push((ack, Err(CommitError::Full)));
            return true;
        }
        tail.acked(kind, id, body, ack);
        self.is_first(tail)
    }

    pub(super) fn add_synced(
        &self,
        tail: &mut Tail<A>,
        priority: Priority,
        (kind, id, body): (u8, u64, &[u8]),
        ack: A,
    ) -> bool {
        if self.takes(tail, priority, body) {
            tail.synced(kind, id, body, ack);
        } else {
            tail.settled.push((ack, Err(CommitError::Full)));
        }
        true
    }

    /// Whether a record with an ack may come in.
    fn takes(&self, tail: &Tail<A>, priority: Priority, body: &[u8]) -> bool {
        tail.holds(body.len()) && self.has_room(tail, priority, frame::total(body.len()))
    }

    /// Whether the record just added is the first for which the commit thread must look at the clock, and would not do
    /// so by itself.
    fn is_first(&self, tail: &mut Tail<A>) -> bool {
        let first = tail.lazy_since.is_none();
        tail.lazy_since.get_or_insert_with(Instant::now);
        first && !tail.looks
    }
}
