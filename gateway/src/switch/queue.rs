//! Waiting messages in the order of their ids (oldest first), a few dozen octets each.
//!
//! Messages lie in chunks; each chunk knows a lower bound of when its first message expires. So taking the oldest,
//! putting one back, removing one by id and expiring on time all cost O(log n) amortised, without a map entry per
//! message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::lane::Entry;
use crate::clock::Time;
use crate::ids::MessageId;

/// Most messages in a chunk.
const CHUNK: usize = 128;

#[derive(Debug)]
struct Chunk {
    /// By id; may be empty.
    entries: VecDeque<Entry>,
    /// Not later than the first [`Entry::until`]; `NEVER` only while empty.
    earliest: Time,
}

impl Chunk {
    fn of(entries: VecDeque<Entry>) -> Chunk {
        let earliest = entries.iter().map(Entry::until).min().unwrap_or(Time::NEVER);
        Chunk { entries, earliest }
    }
}

/// Messages by id, with their expiry.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By a lower bound of the ids inside; the bounds of the next chunk are above all of them.
    chunks: BTreeMap<MessageId, Chunk>,
    /// (`earliest`, key) of every chunk that is not empty.
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
        self.chunks.values().flat_map(|chunk| &chunk.entries)
    }

    /// Messages with ids above that one, oldest first.
    pub(super) fn after(&self, id: MessageId) -> impl Iterator<Item = &Entry> {
        let from = self.chunks.range(..=id).next_back().map_or(id, |(key, _)| *key);
        self.chunks.range(from..).flat_map(|(_, chunk)| &chunk.entries).filter(move |entry| entry.id > id)
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.chunks.values().find_map(|chunk| chunk.entries.front())
    }

    /// Not later than the time at which a message expires; `NEVER` when there is none.
    pub(super) fn earliest(&self) -> Time {
        self.due.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// Adds a message; false if its id is already there.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let Some(key) = self.home(entry.id) else {
            self.put(entry.id, Chunk::of(VecDeque::from([entry])));
            self.len += 1;
            return true;
        };
        let is_last = self.chunks.last_key_value().is_some_and(|(last, _)| *last == key);
        let Some(chunk) = self.chunks.get_mut(&key) else { return false };
        let appends = chunk.entries.back().is_none_or(|back| back.id < entry.id);
        if appends && is_last && chunk.entries.len() >= CHUNK {
            self.put(entry.id, Chunk::of(VecDeque::from([entry])));
            self.len += 1;
            return true;
        }
        let at = if appends {
            chunk.entries.len()
        } else {
            match chunk.entries.binary_search_by_key(&entry.id, |e| e.id) {
                Ok(_) => return false,
                Err(at) => at,
            }
        };
        chunk.entries.insert(at, entry);
        let was = chunk.earliest;
        if entry.until() < was {
            chunk.earliest = entry.until();
            self.due.remove(&(was, key));
            self.due.insert((entry.until(), key));
        }
        self.len += 1;
        self.split(key);
        true
    }

    /// Takes the oldest message.
    pub(super) fn pop_first(&mut self) -> Option<Entry> {
        loop {
            let mut first = self.chunks.first_entry()?;
            let entry = first.get_mut().entries.pop_front();
            if first.get().entries.is_empty() {
                let key = *first.key();
                self.drop_empty(key);
            }
            if let Some(entry) = entry {
                self.len -= 1;
                return Some(entry);
            }
            if self.is_empty() {
                return None;
            }
        }
    }

    /// A message by its id.
    pub(super) fn find(&self, id: MessageId) -> Option<Entry> {
        let (_, chunk) = self.chunks.range(..=id).next_back()?;
        let at = chunk.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        chunk.entries.get(at).copied()
    }

    /// Takes a message by its id.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        if self.first()?.id > id {
            return None;
        }
        let (key, chunk) = self.chunks.range_mut(..=id).next_back()?;
        let key = *key;
        let at = chunk.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        let entry = chunk.entries.remove(at)?;
        self.len -= 1;
        if chunk.entries.is_empty() {
            self.drop_empty(key);
        }
        Some(entry)
    }

    /// Takes messages that may not be started any more into `out`, until it holds `most`.
    pub(super) fn expire(&mut self, now: Time, most: usize, out: &mut Vec<Entry>) {
        while out.len() < most
            && let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now)
            && let Some(chunk) = self.chunks.get_mut(&key)
        {
            let before = out.len();
            chunk.entries.retain(|entry| {
                let keep = entry.until() > now || out.len() >= most;
                if !keep {
                    out.push(*entry);
                }
                keep
            });
            self.len -= out.len() - before;
            self.due.remove(&(at, key));
            if chunk.entries.is_empty() {
                self.drop_empty(key);
            } else {
                chunk.earliest = chunk.entries.iter().map(Entry::until).min().unwrap_or(Time::NEVER);
                self.due.insert((chunk.earliest, key));
            }
        }
    }

    /// The chunk an id belongs into; the first one's bound is lowered where the id lies before it.
    fn home(&mut self, id: MessageId) -> Option<MessageId> {
        if let Some((key, _)) = self.chunks.range(..=id).next_back() {
            return Some(*key);
        }
        let (key, chunk) = self.chunks.pop_first()?;
        self.due.remove(&(chunk.earliest, key));
        self.put(id, chunk);
        Some(id)
    }

    fn put(&mut self, key: MessageId, chunk: Chunk) {
        if chunk.earliest != Time::NEVER || !chunk.entries.is_empty() {
            self.due.insert((chunk.earliest, key));
        }
        self.chunks.insert(key, chunk);
    }

    /// Removes an empty chunk; the only one stays, to spare a lane at low load its allocations.
    fn drop_empty(&mut self, key: MessageId) {
        let only = self.chunks.len() == 1;
        if let Some(chunk) = self.chunks.get_mut(&key) {
            self.due.remove(&(chunk.earliest, key));
            chunk.earliest = Time::NEVER;
            if !only {
                self.chunks.remove(&key);
            }
        }
    }

    fn split(&mut self, key: MessageId) {
        let Some(chunk) = self.chunks.get_mut(&key).filter(|chunk| chunk.entries.len() > CHUNK) else { return };
        let upper = Chunk::of(chunk.entries.split_off(CHUNK / 2));
        if let Some(first) = upper.entries.front() {
            self.put(first.id, upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
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
        }
    }

    /// Octets held, from capacities: nodes of both trees at their worst fill (5 of 11), and every chunk's buffer.
    fn footprint(queue: &Queue) -> usize {
        let nodes = size_of::<(MessageId, Chunk)>() + size_of::<(Time, MessageId)>() + 16;
        let buffers: usize = queue.chunks.values().map(|c| c.entries.capacity() * size_of::<Entry>()).sum();
        queue.chunks.len() * nodes * 11 / 5 + buffers
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
