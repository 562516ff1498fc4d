//! Waiting messages in the order of their ids (oldest first), a few dozen octets each.
//!
//! Messages lie in chunks; each chunk knows a lower bound of when its first message expires. So taking the oldest,
//! putting one back, removing one by id and expiring on time all cost O(log n) amortised, without a map entry per
//! message; a chunk that comes in between moves the heads of those on its shorter side, half an octet a message.

use std::collections::{BTreeSet, VecDeque};

use super::lane::Entry;
use crate::clock::Time;
use crate::ids::MessageId;

/// Most messages in a chunk.
const CHUNK: usize = 128;

#[derive(Debug)]
struct Chunk {
    /// Not above the first id inside, and above all ids of the chunk before.
    from: MessageId,
    /// By id; empty only where this is the only chunk.
    entries: VecDeque<Entry>,
    /// Not later than the first [`Entry::until`]; `NEVER` only while empty.
    earliest: Time,
}

impl Chunk {
    fn of(from: MessageId, entries: VecDeque<Entry>) -> Chunk {
        let mut chunk = Chunk { from, entries, earliest: Time::NEVER };
        chunk.look();
        chunk
    }

    fn look(&mut self) {
        self.earliest = self.entries.iter().map(Entry::until).min().unwrap_or(Time::NEVER);
    }

    fn due(&self) -> (Time, MessageId) {
        (self.earliest, self.from)
    }
}

/// Messages by id, with their expiry.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By id.
    chunks: VecDeque<Chunk>,
    /// [`Chunk::due`] of every chunk but the first: who has one chunk only needs no order of them.
    due: BTreeSet<(Time, MessageId)>,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All messages, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| &chunk.entries)
    }

    /// Messages with ids above that one, oldest first.
    pub(super) fn after(&self, id: MessageId) -> impl Iterator<Item = &Entry> {
        let from = self.home(id).unwrap_or(0);
        self.chunks.range(from..).flat_map(|chunk| &chunk.entries).filter(move |entry| entry.id > id)
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.chunks.front()?.entries.front()
    }

    /// Not later than the time at which a message expires; `NEVER` when there is none.
    pub(super) fn earliest(&self) -> Time {
        let first = self.chunks.front().map_or(Time::NEVER, |chunk| chunk.earliest);
        self.due.first().map_or(first, |(at, _)| first.min(*at))
    }

    /// Adds a message; false if its id is already there.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let (at, last) = (self.home(entry.id).unwrap_or(0), self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push_back(Chunk::of(entry.id, VecDeque::from([entry])));
            self.len += 1;
            return true;
        };
        if chunk.entries.back().is_none_or(|back| back.id < entry.id) {
            if at == last && chunk.entries.len() >= CHUNK {
                self.put(at + 1, Chunk::of(entry.id, VecDeque::from([entry])));
                self.len += 1;
                return true;
            }
            chunk.entries.push_back(entry);
        } else {
            match chunk.entries.binary_search_by_key(&entry.id, |e| e.id) {
                Ok(_) => return false,
                Err(at) => chunk.entries.insert(at, entry),
            }
        }
        // Only the first chunk takes ids below its bound, and it has no place in the order.
        chunk.from = chunk.from.min(entry.id);
        self.len += 1;
        let (was, until) = (chunk.due(), entry.until());
        if until < chunk.earliest {
            chunk.earliest = until;
            let now = chunk.due();
            if at > 0 {
                self.due.remove(&was);
                self.due.insert(now);
            }
        }
        if chunk.entries.len() > CHUNK {
            self.split(at);
        }
        true
    }

    /// Takes the oldest message.
    pub(super) fn pop_first(&mut self) -> Option<Entry> {
        let first = self.chunks.front_mut()?;
        let entry = first.entries.pop_front()?;
        self.len -= 1;
        if first.entries.is_empty() {
            self.drop_empty(0);
        }
        Some(entry)
    }

    /// A message by its id.
    pub(super) fn find(&self, id: MessageId) -> Option<Entry> {
        let chunk = self.chunks.get(self.home(id)?)?;
        let at = chunk.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        chunk.entries.get(at).copied()
    }

    /// Takes a message by its id.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let home = self.home(id)?;
        let chunk = self.chunks.get_mut(home)?;
        let at = chunk.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        let entry = chunk.entries.remove(at)?;
        self.len -= 1;
        if chunk.entries.is_empty() {
            self.drop_empty(home);
        }
        Some(entry)
    }

    /// Takes messages that may not be started any more into `out`, until it holds `most`.
    pub(super) fn expire(&mut self, now: Time, most: usize, out: &mut Vec<Entry>) {
        while out.len() < most {
            let other = self.due.first().filter(|(at, _)| *at <= now).and_then(|(_, from)| self.home(*from));
            let first = self.chunks.front().filter(|chunk| chunk.earliest <= now).map(|_| 0);
            let Some(home) = first.or(other) else { return };
            let Some(chunk) = self.chunks.get_mut(home) else { return };
            let (before, was) = (out.len(), chunk.due());
            chunk.entries.retain(|entry| {
                let keep = entry.until() > now || out.len() >= most;
                if !keep {
                    out.push(*entry);
                }
                keep
            });
            self.len -= out.len() - before;
            if chunk.entries.is_empty() {
                self.drop_empty(home);
                continue;
            }
            chunk.look();
            if home > 0 {
                let now = chunk.due();
                self.due.remove(&was);
                self.due.insert(now);
            }
        }
    }

    /// Which chunk an id belongs into; none where it lies before all of them.
    fn home(&self, id: MessageId) -> Option<usize> {
        match self.chunks.back() {
            // Nearly always the youngest.
            Some(last) if last.from <= id => Some(self.chunks.len() - 1),
            _ => self.chunks.partition_point(|chunk| chunk.from <= id).checked_sub(1),
        }
    }

    /// Puts a chunk there, behind the first.
    fn put(&mut self, at: usize, chunk: Chunk) {
        self.due.insert(chunk.due());
        self.chunks.insert(at, chunk);
    }

    /// Removes an empty chunk; the only one stays, to spare a lane at low load its allocations.
    fn drop_empty(&mut self, at: usize) {
        if self.chunks.len() == 1 {
            return self.chunks.iter_mut().for_each(|chunk| chunk.earliest = Time::NEVER);
        }
        let Some(empty) = self.chunks.remove(at) else { return };
        let unordered = if at > 0 { Some(empty.due()) } else { self.chunks.front().map(Chunk::due) };
        if let Some(due) = unordered {
            self.due.remove(&due);
        }
    }

    fn split(&mut self, at: usize) {
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let upper = chunk.entries.split_off(CHUNK / 2);
        if let Some(first) = upper.front() {
            self.put(at + 1, Chunk::of(first.id, upper));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::mem::size_of;

    fn entry(id: u64, expires: u64) -> Entry {
        Entry {
            id: MessageId(id),
            accepted: Time(0),
            expires: Time(expires),
            app: crate::config::plan::AppId(0),
            parts: 1,
            used: 0,
            doubtful: false,
            strikes: 0,
            again: crate::switch::lane::Again::No,
        }
    }

    /// Octets held, from capacities: chunks, nodes of the tree at their worst fill (5 of 11), and every chunk's buffer.
    fn footprint(queue: &Queue) -> usize {
        let nodes = (size_of::<(Time, MessageId)>() + 16) * 11 / 5;
        let buffers: usize = queue.chunks.iter().map(|c| c.entries.capacity() * size_of::<Entry>()).sum();
        queue.chunks.capacity() * size_of::<Chunk>() + queue.chunks.len() * nodes + buffers
    }

    #[test]
    fn a_waiting_message_costs_far_less_than_a_hundred_octets() {
        let mut queue = Queue::default();
        for id in 0..100_000 {
            queue.insert(entry(id, 1_000_000_000 + id));
        }
        let each = footprint(&queue) as f64 / 100_000.0;
        assert!(each < 50.0, "{each} octets in order");
        let mut queue = Queue::default();
        for id in 0..100_000u64 {
            queue.insert(entry(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8, 1_000_000_000 + id));
        }
        let each = footprint(&queue) as f64 / 100_000.0;
        assert!(each < 100.0, "{each} octets in any order");
    }

    #[test]
    fn a_message_put_back_is_first_again() {
        let mut queue = Queue::default();
        for id in 10..1_000 {
            queue.insert(entry(id, u64::MAX));
        }
        let taken: Vec<Entry> = (0..300).filter_map(|_| queue.pop_first()).collect();
        for entry in taken.into_iter().rev() {
            assert!(queue.insert(entry));
            assert_eq!(queue.first().map(|e| e.id), Some(entry.id));
        }
        assert!(!queue.insert(entry(10, 5)), "an id is there once");
    }

    proptest! {
        /// Against a plain map, over random inserts, pops, removals and expiries.
        #[test]
        fn it_behaves_as_a_sorted_map(ops in prop::collection::vec((0u8..6, 0u64..600, 1u64..1_000), 1..1_500)) {
            let mut queue = Queue::default();
            let mut model: BTreeMap<u64, Entry> = BTreeMap::new();
            let mut now = 0;
            for (op, id, expires) in ops {
                match op {
                    0..=2 => {
                        let fresh = !model.contains_key(&id);
                        prop_assert_eq!(queue.insert(entry(id, now + expires)), fresh);
                        model.entry(id).or_insert(entry(id, now + expires));
                    }
                    3 => prop_assert_eq!(queue.pop_first(), model.pop_first().map(|(_, e)| e)),
                    4 => prop_assert_eq!(queue.remove(MessageId(id)), model.remove(&id)),
                    _ => {
                        now += expires / 20;
                        let mut gone = Vec::new();
                        queue.expire(Time(now), usize::MAX, &mut gone);
                        gone.sort_by_key(|e| e.id);
                        let due: Vec<Entry> = model.values().filter(|e| e.until() <= Time(now)).copied().collect();
                        model.retain(|_, e| e.until() > Time(now));
                        prop_assert_eq!(gone, due);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.first(), model.values().next());
                let earliest = model.values().map(Entry::until).min().unwrap_or(Time::NEVER);
                prop_assert!(queue.earliest() <= earliest);
                prop_assert_eq!(queue.earliest() == Time::NEVER, model.is_empty());
            }
        }
    }
}
