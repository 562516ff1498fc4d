//! Messages by id, in the order in which they came. They lie in pieces; many small hash tables say where. What came
//! together goes on together, step by step: who is looked for is mostly the one behind the last, so that is where a look
//! begins, and a run of messages is found without the tables, in memory that is read straight on.
//!
//! Nothing here grows at once but the list of pieces, a 64th of them. A single hash table would be copied whole whenever
//! it is full, and nothing else would happen meanwhile: for a long time with ten million messages. The small ones have
//! unequal shares of the ids, the largest twice that of the smallest, so that they grow one after another however the
//! ids come; which also keeps what is reserved and not used from doubling at once. What a mass of messages took is given
//! back when it has gone: a piece has no memory once it is empty, and is filled again once half of it is free, before a
//! new one is made, so there is never more than twice the room of the most there ever were. Those who stay when a mass
//! has gone keep their pieces until others come.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use crate::ids::IdHasher;

/// Tables.
const TABLES: usize = 256;
/// A table that could hold as many does not shrink.
const SMALL: usize = 64;
/// Messages of a piece.
const PIECE: usize = u64::BITS as usize;

type Small = HashMap<u64, u32, BuildHasherDefault<IdHasher>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Table<V> {
    /// Where the messages lie.
    tables: Vec<Small>,
    pieces: Vec<Piece<V>>,
    /// The piece that is being filled.
    filling: usize,
    /// Those to be filled after it.
    open: Vec<usize>,
    /// Where the last one was found. What lies there says whose it is.
    last: Cell<usize>,
    len: usize,
}

/// A message's place counts those of all pieces before its own.
#[derive(Debug)]
struct Piece<V> {
    /// Bit n: nothing is at the n-th place.
    free: u64,
    /// None while all are free, unless the piece is being filled.
    places: Box<[Option<(u64, V)>]>,
}

impl<V> Default for Piece<V> {
    fn default() -> Self {
        Piece { free: u64::MAX, places: Box::default() }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        let tables = (0..TABLES).map(|_| Small::default()).collect();
        Table { tables, pieces: Vec::new(), filling: 0, open: Vec::new(), last: Cell::new(0), len: 0 }
    }
}

/// The table an id belongs to. Of u, evenly spread from 0 to 1, it is TABLES · u (4 − u) / 3, which is twice as steep at 0
/// as at 1. Neighbours have the same one; what is used of the hash here is nothing that the tables
/// themselves look at.
fn table(id: u64) -> usize {
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

    #[inline]
    fn place(&self, at: usize) -> Option<&(u64, V)> {
        self.pieces.get(at / PIECE)?.places.get(at % PIECE)?.as_ref()
    }

    fn place_mut(&mut self, at: usize) -> Option<&mut Option<(u64, V)>> {
        self.pieces.get_mut(at / PIECE)?.places.get_mut(at % PIECE)
    }

    #[inline]
    fn is_at(&self, at: usize, id: u64) -> bool {
        self.place(at).is_some_and(|(there, _)| *there == id)
    }

    /// Where a message is.
    #[inline]
    fn find(&self, id: u64) -> Option<usize> {
        let last = self.last.get();
        if self.is_at(last, id) {
            return Some(last);
        }
        let at = if self.is_at(last + 1, id) { last + 1 } else { *self.tables.get(table(id))?.get(&id)? as usize };
        self.last.set(at);
        Some(at)
    }

    pub(super) fn get(&self, id: &u64) -> Option<&V> {
        self.place(self.find(*id)?).map(|(_, message)| message)
    }

    pub(super) fn get_mut(&mut self, id: &u64) -> Option<&mut V> {
        let at = self.find(*id)?;
        self.place_mut(at)?.as_mut().map(|(_, message)| message)
    }

    pub(super) fn contains_key(&self, id: &u64) -> bool {
        self.find(*id).is_some()
    }

    /// Puts a message in; the one that was there.
    pub(super) fn insert(&mut self, id: u64, value: V) -> Option<V> {
        let next = self.next();
        match self.tables.get_mut(table(id))?.entry(id) {
            Entry::Occupied(at) => {
                let at = *at.get() as usize;
                self.place_mut(at)?.replace((id, value)).map(|(_, before)| before)
            }
            Entry::Vacant(at) => {
                at.insert(u32::try_from(next).ok()?);
                *self.place_mut(next)? = Some((id, value));
                let piece = self.pieces.get_mut(next / PIECE)?;
                piece.free &= !(1 << (next % PIECE));
                self.len += 1;
                None
            }
        }
    }

    /// The place of the next one that comes.
    fn next(&mut self) -> usize {
        if self.pieces.get(self.filling).is_none_or(|piece| piece.free == 0) {
            self.filling = self.open.pop().unwrap_or(self.pieces.len());
            if self.filling == self.pieces.len() {
                self.pieces.push(Piece::default());
            }
        }
        let Some(piece) = self.pieces.get_mut(self.filling) else { return 0 };
        if piece.places.is_empty() {
            piece.places = (0..PIECE).map(|_| None).collect();
        }
        self.filling * PIECE + piece.free.trailing_zeros() as usize
    }

    pub(super) fn remove(&mut self, id: &u64) -> Option<V> {
        self.take_if(*id, |_| true)
    }

    /// Takes a message out if it is such a one.
    pub(super) fn take_if(&mut self, id: u64, such: impl FnOnce(&mut V) -> bool) -> Option<V> {
        let at = self.find(id)?;
        let (_, gone) = self.place_mut(at)?.take_if(|(_, message)| such(message))?;
        self.len -= 1;
        let small = self.tables.get_mut(table(id))?;
        small.remove(&id);
        if small.capacity() > SMALL && small.len() < small.capacity() / 8 {
            small.shrink_to(2 * small.len());
        }
        let (of, piece) = (at / PIECE, self.pieces.get_mut(at / PIECE)?);
        piece.free |= 1 << (at % PIECE);
        if of != self.filling {
            if piece.free.count_ones() == u64::BITS / 2 {
                self.open.push(of);
            } else if piece.free == u64::MAX {
                *piece = Piece::default();
            }
        }
        Some(gone)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&u64, &V)> {
        self.pieces.iter().flat_map(|piece| &piece.places).flatten().map(|(id, message)| (id, message))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::state::Live;
    use super::*;
    use crate::clock::Time;
    use crate::config::plan::{AppId, GroupId, TierId};
    use crate::journal::At;
    use crate::journal::bodies::Spot;

    /// Ids as batches have them, or as single messages do, one a millisecond.
    fn ids(count: u64, batch: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |n| ((91_000_000_000 + n / batch) << 15) + n % batch)
    }

    /// Octets of the tables, and of all else.
    fn octets<V>(all: &Table<V>) -> (usize, usize) {
        let places: usize = all.tables.iter().map(|small| small.capacity() * 8 / 7).sum();
        let pieces = all.pieces.iter().map(|piece| size_of::<Piece<V>>() + size_of_val(&*piece.places));
        (places * (size_of::<(u64, u32)>() + 1), pieces.sum())
    }

    #[test]
    fn tables_grow_one_after_another_and_none_is_large() {
        for batch in [1, 1_000] {
            let mut all = Table::default();
            let (mut grown, mut copied, mut most) = (0usize, 0usize, 0usize);
            for (n, id) in ids(400_000, batch).enumerate() {
                let before: usize = all.tables[table(id)].capacity();
                assert!(all.insert(id, live(n)).is_none());
                copied += if all.tables[table(id)].capacity() > before { before } else { 0 };
                if n % 256 == 255 {
                    // What is copied while one piece of a batch comes in.
                    most = most.max(copied);
                    grown += usize::from(copied > 0);
                    copied = 0;
                }
            }
            assert!(grown > 300 && most < 20_000, "{grown} pieces with growth, {most} messages copied in one");
            assert!(all.tables.iter().all(|small| small.len() < 400_000 / 100));
            let (tables, pieces) = octets(&all);
            let each = (tables + pieces) as f64 / 400_000.0;
            assert!(each < 90.0, "{each} octets for a message");
        }
    }

    fn live(n: usize) -> Live {
        Live {
            detail: None,
            since: Time(n as u64),
            at: At::default(),
            body: Spot::default(),
            app: AppId(0),
            group: GroupId(0),
            tier: TierId(0),
            callback: false,
            reserve: 1,
        }
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_and_room_is_given_back() {
        let mut all = Table::default();
        let every: Vec<u64> = ids(20_000, 7).collect();
        assert!(every.iter().all(|id| all.insert(*id, *id).is_none()));
        assert_eq!((all.len(), all.insert(every[7], 1), all.len()), (20_000, Some(every[7]), 20_000));
        assert_eq!(all.iter().count(), 20_000);
        *all.get_mut(&every[7]).unwrap() = every[7];
        assert!(every.iter().all(|id| all.get(id) == Some(id)));
        let before = octets(&all);
        for id in every.iter().skip(100) {
            assert_eq!((all.remove(id), all.remove(id)), (Some(*id), None));
        }
        let after = octets(&all);
        assert!(after.0 < before.0 / 2 && after.1 < before.1 / 20, "{before:?} {after:?}");
        assert!(every.iter().take(100).all(|id| all.contains_key(id)));
        assert_eq!((all.len(), all.is_empty()), (100, false));
    }

    #[test]
    fn those_that_follow_each_other_lie_side_by_side() {
        let mut all = Table::default();
        let every: Vec<u64> = ids(60_000, 100).collect();
        for (n, id) in every.iter().enumerate() {
            all.insert(*id, n);
            // As many go as come, always the oldest.
            if let Some(oldest) = n.checked_sub(10_000) {
                assert_eq!(all.remove(&every[oldest]), Some(oldest));
                if n % 10_000 == 0 {
                    let here = every[oldest + 1..=n].windows(2);
                    let near = here.filter(|pair| all.find(pair[0]).map(|at| at + 1) == all.find(pair[1]));
                    assert!(near.count() > 9_500);
                }
            }
        }
    }

    /// Against the map of the library; there is no more than twice the room of the most there ever were.
    #[test]
    fn it_behaves_as_a_map_whoever_comes_goes_and_stays() {
        for seed in 0..10 {
            let (mut all, mut model) = (Table::default(), BTreeMap::new());
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut next = 91_000_000_000u64 << 15;
            for step in 0..30_000 {
                // They become more, then fewer.
                let mut known = || {
                    let from = dice.u64((91_000_000_000 << 15)..=next);
                    model.range(from..).next().map_or(from, |(id, _)| *id)
                };
                let (one, other) = (known(), known());
                match dice.u8(..6) {
                    0..=2 if step / 5_000 % 2 == 0 => {
                        next += if dice.u8(..20) == 0 { 1 << 15 } else { 1 };
                        assert_eq!(all.insert(next, step), model.insert(next, step));
                    }
                    0 => assert_eq!(all.insert(one, step), model.insert(one, step)),
                    1 => assert_eq!(all.take_if(one, |step| *step % 2 == 0).is_some(), {
                        let even = model.get(&one).is_some_and(|step| step % 2 == 0);
                        even && model.remove(&one).is_some()
                    }),
                    2 | 3 => assert_eq!(all.remove(&one), model.remove(&one)),
                    _ => {
                        assert_eq!(all.get(&one), model.get(&one));
                        assert_eq!(all.get_mut(&(one + 1)), model.get_mut(&(one + 1)));
                    }
                }
                assert_eq!((all.get(&other), all.len()), (model.get(&other), model.len()), "seed {seed}");
            }
            assert!(all.iter().map(|(id, step)| (*id, *step)).collect::<BTreeMap<_, _>>() == model);
            let held = all.pieces.iter().filter(|piece| !piece.places.is_empty()).count() * PIECE;
            assert!(held <= 2 * 10_000 && all.pieces.len() * PIECE <= 20_000, "{held} {}", all.pieces.len());
            let empty =
                all.pieces.iter().enumerate().filter(|(at, piece)| piece.free == u64::MAX && *at != all.filling);
            assert!(empty.into_iter().all(|(at, piece)| piece.places.is_empty() && all.open.contains(&at)));
            let open: BTreeSet<usize> = all.open.iter().copied().collect();
            let half = |piece: &Piece<usize>| piece.free.count_ones() >= u64::BITS / 2;
            for (at, piece) in all.pieces.iter().enumerate().filter(|(at, _)| *at != all.filling) {
                assert_eq!((open.contains(&at), open.len()), (half(piece), all.open.len()));
            }
        }
    }
}
