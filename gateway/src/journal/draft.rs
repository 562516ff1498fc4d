//! Records that are gathered first and then put into the journal together: in their order, under one lock, many to a
//! frame.

use std::time::Instant;

use super::{At, CommitError, Entry, Journal, Priority, Shared, Tail, frame, many};

/// With so much in it a draft is to be handed in: whoever else appends waits that long.
const MOST_OCTETS: usize = 64 * 1_024;

/// Records not yet handed in, from [`Journal::draft`]. Its memory is used again.
pub struct Draft<A> {
    end_kind: u8,
    /// Members of frames, one behind another.
    octets: Vec<u8>,
    frames: Vec<Gathered>,
    /// The frame that the next record goes to, where it fits.
    open: Gathered,
    acks: Vec<Waits<A>>,
}

/// Records that share a frame.
#[derive(Clone, Copy, Default)]
pub(super) struct Gathered {
    /// Where their octets begin among the draft's, and where they end.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) records: usize,
    /// How many of them are their id's last,
    pub(super) ends: u64,
    /// how many have an ack,
    pub(super) acks: usize,
    /// and how many of these one in a hurry.
    pub(super) urgent: usize,
}

/// An ack, the index of its record in its frame, and the octets of its body.
pub(super) struct Waits<A> {
    pub(super) ack: A,
    pub(super) index: usize,
    pub(super) len: u32,
}

impl<A> Draft<A> {
    /// As [`Journal::append`], but without a name; `body` writes its octets behind what is there.
    pub fn append(&mut self, kind: u8, id: u64, body: impl FnOnce(&mut Vec<u8>)) {
        self.add(kind, id, false, body);
    }

    /// As [`Journal::append_acked`], but the name that `ack` gets is for telling records apart, not for reading them.
    pub fn append_acked(&mut self, kind: u8, id: u64, ack: A, body: impl FnOnce(&mut Vec<u8>)) {
        let len = self.add(kind, id, true, body);
        self.acks.push(Waits { ack, index: self.open.records - 1, len });
        self.open.acks += 1;
    }

    /// As [`Journal::append_synced`], with a name of the same sort.
    pub fn append_synced(&mut self, kind: u8, id: u64, ack: A, body: impl FnOnce(&mut Vec<u8>)) {
        self.append_acked(kind, id, ack, body);
        self.open.urgent += 1;
    }

    /// As [`Journal::end`].
    pub fn end(&mut self, id: u64) {
        self.add(self.end_kind, id, false, |_| {});
        self.open.ends += 1;
    }

    /// Whether there is so much in it that it should not grow.
    pub fn is_full(&self) -> bool {
        self.octets.len() >= MOST_OCTETS
    }

    /// Adds a record to the open frame, or to the next where it does not fit; gives the octets of its body.
    fn add(&mut self, kind: u8, id: u64, waited: bool, body: impl FnOnce(&mut Vec<u8>)) -> u32 {
        // A body whose writing ended in a panic has left something.
        self.octets.truncate(self.open.to);
        let from = self.octets.len();
        let len = many::push(&mut self.octets, kind, id, waited, body);
        let to = self.octets.len();
        if self.open.records > 0 && to - self.open.from > many::MOST {
            self.frames.push(std::mem::replace(&mut self.open, Gathered { from, ..Gathered::default() }));
        }
        self.open.to = to;
        self.open.records += 1;
        len
    }
}

impl<A: Send + 'static> Journal<A> {
    /// An empty draft.
    pub fn draft(&self) -> Draft<A> {
        let end_kind = self.shared().end_kind;
        Draft { end_kind, octets: Vec::new(), frames: Vec::new(), open: Gathered::default(), acks: Vec::new() }
    }

    /// Adds what was gathered as if it were added record by record; the draft is empty then. `priority` is that of those
    /// with an ack.
    pub fn hand_in(&self, priority: Priority, draft: &mut Draft<A>) {
        let last = std::mem::take(&mut draft.open);
        if last.records == 0 {
            return;
        }
        let shared = self.shared();
        let mut tail = shared.tail();
        let (before, mut hurry, mut acks) = (tail.segment, false, draft.acks.drain(..));
        for frame in draft.frames.drain(..).chain([last]) {
            let octets = draft.octets.get_mut(frame.from..frame.to).unwrap_or_default();
            hurry |= shared.add_many(&mut tail, priority, frame, octets, acks.by_ref().take(frame.acks));
        }
        drop(acks);
        draft.octets.clear();
        shared.appended(tail, before, hurry);
    }
}

/// One record more, or one frame of them. Each tells whether the commit thread must know.
impl<A> Shared<A> {
    fn add_many(
        &self,
        tail: &mut Tail<A>,
        priority: Priority,
        frame: Gathered,
        octets: &mut [u8],
        acks: impl Iterator<Item = Waits<A>>,
    ) -> bool {
        let fits = tail.holds(octets.len());
        if fits && (frame.acks == 0 || self.has_room(tail, self.room(tail, priority), frame::total(octets.len()))) {
            tail.many(frame, octets, acks);
            return self.is_first(tail) || frame.urgent > 0;
        }
        // Those that someone waits for are refused, the others come in.
        tail.settled.extend(acks.map(|waits| (waits.ack, Err(CommitError::Full))));
        if many::withdraw(octets) {
            if fits {
                let left = Gathered { records: frame.records - frame.acks, acks: 0, urgent: 0, ..frame };
                tail.many(left, octets, std::iter::empty());
                self.is_first(tail);
            } else {
                tracing::error!(octets = octets.len(), "a record larger than a journal segment was dropped");
            }
        }
        true
    }

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
        if !self.takes(tail, self.room(tail, priority), body) {
            tail.settled.push((ack, Err(CommitError::Full)));
            return true;
        }
        tail.acked(Entry { kind, id, body }, ack);
        self.is_first(tail)
    }

    /// Takes what it needs from the `room` there is; `None` where it does not come in. [`Tail::wait`] is to follow.
    pub(super) fn add_synced(&self, tail: &mut Tail<A>, room: &mut u64, entry: Entry<'_>) -> Option<At> {
        if !self.takes(tail, *room, entry.body) {
            return None;
        }
        *room = room.saturating_sub(frame::total(entry.body.len()));
        Some(tail.synced(entry))
    }

    /// Whether a record with an ack may come in.
    fn takes(&self, tail: &Tail<A>, room: u64, body: &[u8]) -> bool {
        tail.holds(body.len()) && self.has_room(tail, room, frame::total(body.len()))
    }

    /// Whether the record just added is the first for which the commit thread must look at the clock, and would not do
    /// so by itself.
    fn is_first(&self, tail: &mut Tail<A>) -> bool {
        let first = tail.lazy_since.is_none();
        tail.lazy_since.get_or_insert_with(Instant::now);
        first && !tail.looks
    }
}
