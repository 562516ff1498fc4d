//! Messages by id, in many small hash tables. A single one would be copied whole whenever it is full, and nothing else
//! would happen meanwhile: for half a second with ten million messages. The small ones have unequal shares of the ids,
//! the largest twice that of the smallest, so that they grow one after another however the ids come; which also keeps
//! what is reserved and not used from doubling at once. What a mass of messages took is given back when it has gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use crate::ids::IdHasher;

/// Tables.
const TABLES: usize = 256;
/// A table that could hold as many does not shrink.
const SMALL: usize = 64;

type Small<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Table<V> {
    tables: Vec<Small<V>>,
    len: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table { tables: (0..TABLES).map(|_| Small::default()).collect(), len: 0 }
    }
}

/// The table an id belongs to. Of u, evenly spread from 0 to 1, it is TABLES · u (4 − u) / 3, which is twice as steep at 0
/// as at 1. Neighbours have the same one; what is used of the hash here is nothing that the tables
/// themselves look at.
fn place(id: u64) -> usize {
    let u = u64::from(IdHasher::spread(id));
    ((u * ((4 << 16) - u) / 3) >> 24) as usize
}

impl<V> Table<V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, id: &u64) -> Option<&V> {
        self.tables.get(place(*id))?.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &u64) -> Option<&mut V> {
        self.tables.get_mut(place(*id))?.get_mut(id)
    }

    pub(super) fn contains_key(&self, id: &u64) -> bool {
        self.get(id).is_some()
    }

    /// Puts a message in; the one that was there.
    pub(super) fn insert(&mut self, id: u64, value: V) -> Option<V> {
        let before = self.tables.get_mut(place(id))?.insert(id, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(super) fn remove(&mut self, id: &u64) -> Option<V> {
        self.take_if(*id, |_| true)
    }

    /// Takes a message out if it is such a one.
    pub(super) fn take_if(&mut self, id: u64, such: impl FnOnce(&mut V) -> bool) -> Option<V> {
        let table = self.tables.get_mut(place(id))?;
        let Entry::Occupied(mut message) = table.entry(id) else { return None };
        if !such(message.get_mut()) {
            return None;
        }
        let gone = message.remove();
        self.len -= 1;
        if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
            table.shrink_to(2 * table.len());
        }
        Some(gone)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&u64, &V)> {
        self.tables.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::super::state::Live;
    use super::*;

    /// Ids as batches have them, or as single messages do, one a millisecond.
    fn ids(count: u64, batch: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |n| ((91_000_000_000 + n / batch) << 15) + n % batch)
    }

    #[test]
    fn tables_grow_one_after_another_and_none_is_large() {
        for batch in [1, 1_000] {
            let mut table = Table::default();
            let (mut grown, mut copied, mut most) = (0usize, 0usize, 0usize);
            for (n, id) in ids(400_000, batch).enumerate() {
                let before: usize = table.tables[place(id)].capacity();
                assert_eq!(table.insert(id, n), None);
                copied += if table.tables[place(id)].capacity() > before { before } else { 0 };
                if n % 256 == 255 {
                    // What is copied while one piece of a batch comes in.
                    most = most.max(copied);
                    grown += usize::from(copied > 0);
                    copied = 0;
                }
            }
            assert!(grown > 300 && most < 20_000, "{grown} pieces with growth, {most} messages copied in one");
            assert!(table.tables.iter().all(|small| small.len() < 400_000 / 100));
            let places: usize = table.tables.iter().map(|small| small.capacity() * 8 / 7).sum();
            let each = (places * (size_of::<(u64, Live)>() + 1)) as f64 / 400_000.0;
            assert!(each < 90.0, "{each} octets for a message");
        }
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_and_room_is_given_back() {
        let mut table = Table::default();
        let all: Vec<u64> = ids(20_000, 7).collect();
        assert!(all.iter().all(|id| table.insert(*id, *id).is_none()));
        assert_eq!((table.len(), table.insert(all[7], 1), table.len()), (20_000, Some(all[7]), 20_000));
        assert_eq!(table.iter().count(), 20_000);
        *table.get_mut(&all[7]).unwrap() = all[7];
        assert!(all.iter().all(|id| table.get(id) == Some(id)));
        let room = |table: &Table<u64>| table.tables.iter().map(HashMap::capacity).sum::<usize>();
        let before = room(&table);
        for id in all.iter().skip(100) {
            assert_eq!((table.remove(id), table.remove(id)), (Some(*id), None));
        }
        assert!(room(&table) < before / 2 && all.iter().take(100).all(|id| table.contains_key(id)));
        assert_eq!((table.len(), table.is_empty()), (100, false));
    }
}
