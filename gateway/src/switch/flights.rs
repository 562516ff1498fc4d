//! Attempts under way: found by their reference, which every word of a link names, and by their message while that is
//! not decided about. Each is looked for half a dozen times in the little while it is here: so they lie in places that
//! are used again, and two indices of numbers lead there. What starts together is mostly answered together: a look begins
//! at the last one's place and at that of the one that came after it.

use std::cell::Cell;

use carriers::AttemptRef;

use super::attempt::Attempt;
use crate::ids::MessageId;

#[derive(Debug)]
struct Place {
    attempt: Attempt,
    /// Its message waits for its end, and is found in `by_message`.
    undecided: bool,
    /// Where the one was put that came after it.
    next: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flights {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    by_reference: Index,
    by_message: Index,
    /// Where the last one was found, or, after it had gone, where the one after it was put; what lies there says which
    /// one it is.
    last: Cell<u32>,
    /// Where the one was put that came last.
    newest: u32,
}

impl Flights {
    fn place(&self, at: u32) -> Option<&Place> {
        self.places.get(at as usize)?.as_ref()
    }

    /// Where one is.
    fn find(&self, id: &AttemptRef) -> Option<u32> {
        let last = self.last.get();
        let is_at = |at: u32| self.place(at).filter(|place| place.attempt.id == *id);
        if is_at(last).is_some() {
            return Some(last);
        }
        let next = self.place(last).map(|place| place.next).filter(|next| is_at(*next).is_some());
        let at = next.or_else(|| self.by_reference.get(id.0))?;
        self.last.set(at);
        Some(at)
    }

    fn place_mut(&mut self, at: u32) -> Option<&mut Place> {
        self.places.get_mut(at as usize)?.as_mut()
    }

    pub(super) fn get(&self, id: &AttemptRef) -> Option<&Attempt> {
        self.place(self.find(id)?).map(|place| &place.attempt)
    }

    pub(super) fn get_mut(&mut self, id: &AttemptRef) -> Option<&mut Attempt> {
        let at = self.find(id)?;
        self.place_mut(at).map(|place| &mut place.attempt)
    }

    /// The undecided attempt of a message.
    pub(super) fn of(&self, message: MessageId) -> Option<&Attempt> {
        self.place(self.by_message.get(message.0)?).map(|place| &place.attempt)
    }

    pub(super) fn of_mut(&mut self, message: MessageId) -> Option<&mut Attempt> {
        let at = self.by_message.get(message.0)?;
        self.place_mut(at).map(|place| &mut place.attempt)
    }

    /// A new one, or one that goes on, as the undecided one of its message.
    pub(super) fn insert(&mut self, attempt: Attempt) {
        let (id, message) = (attempt.id, attempt.pending.entry.id);
        let place = Some(Place { attempt, undecided: true, next: NONE });
        let at = match self.free.pop() {
            Some(at) => at,
            // Windows bound them.
            None => self.places.len() as u32,
        };
        match self.places.get_mut(at as usize) {
            Some(free) => *free = place,
            None => self.places.push(place),
        }
        if let Some(before) = self.by_reference.insert(id.0, at) {
            self.clear(before);
        }
        if let Some(before) = self.by_message.insert(message.0, at).and_then(|before| self.place_mut(before)) {
            before.undecided = false;
        }
        let before = std::mem::replace(&mut self.newest, at);
        if let Some(before) = self.place_mut(before) {
            before.next = at;
        }
    }

    pub(super) fn remove(&mut self, id: &AttemptRef) -> Option<Attempt> {
        self.by_reference.remove(id.0).and_then(|at| self.clear(at))
    }

    /// Takes what lies in a place and is not found by its reference any more.
    fn clear(&mut self, at: u32) -> Option<Attempt> {
        let Place { attempt, undecided, next } = self.places.get_mut(at as usize)?.take()?;
        self.free.push(at);
        self.last.set(next);
        if undecided {
            self.by_message.remove(attempt.pending.entry.id.0);
        }
        Some(attempt)
    }

    /// One is over.
    pub(super) fn forget(&mut self, id: &AttemptRef) {
        let Some(at) = self.by_reference.remove(id.0) else { return };
        let Some(slot) = self.places.get_mut(at as usize) else { return };
        if let Some(Place { attempt, undecided, next }) = slot {
            self.last.set(*next);
            if *undecided {
                self.by_message.remove(attempt.pending.entry.id.0);
            }
        }
        // Where it lies: it is large to be moved.
        *slot = None;
        self.free.push(at);
    }

    /// Its message is decided about, if the attempt has `ended`, and how. Beside that whether it was not before, and no
    /// other attempt took this one's place.
    pub(super) fn decide<T>(
        &mut self,
        id: &AttemptRef,
        ended: impl FnOnce(&Attempt) -> Option<T>,
    ) -> Option<(T, bool, &mut Attempt)> {
        let at = self.find(id)?;
        let Place { attempt, undecided, .. } = self.places.get_mut(at as usize)?.as_mut()?;
        let end = ended(attempt)?;
        let undecided = std::mem::take(undecided);
        if undecided {
            self.by_message.remove(attempt.pending.entry.id.0);
        }
        Some((end, undecided, attempt))
    }

    /// The same of a message's attempt, whichever that is.
    pub(super) fn decide_of(&mut self, message: MessageId) {
        if let Some(place) = self.by_message.remove(message.0).and_then(|at| self.place_mut(at)) {
            place.undecided = false;
        }
    }

    /// All, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Attempt> {
        self.places.iter().flatten().map(|place| &place.attempt)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.places.iter_mut().flatten().map(|place| &mut place.attempt)
    }

    /// Those whose message is undecided, in no order.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &Attempt> {
        self.places.iter().flatten().filter(|place| place.undecided).map(|place| &place.attempt)
    }

    /// How many these are.
    pub(super) fn messages(&self) -> usize {
        self.by_message.len
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_reference.len == 0
    }
}

/// Fibonacci hashing: numbers that follow each other come to lie far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// So many bits of an id tell neighbours apart, which are looked for together: four of them have one line of the
/// processor's cache. With more, whoever goes would have a long row to close up.
const NEIGHBOURS: u32 = 2;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u64,
    /// [`NONE`] where the cell is empty.
    at: u32,
}

const NONE: u32 = u32::MAX;
const EMPTY: Slot = Slot { key: 0, at: NONE };

/// Numbers by ids: a hash table with linear probing, at most half full, and no traces of what was removed.
#[derive(Debug)]
struct Index {
    /// A power of two of them.
    cells: Vec<Slot>,
    /// What of a hash does not name a cell.
    shift: u32,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Index::with(4)
    }
}

impl Index {
    fn with(bits: u32) -> Index {
        Index { cells: vec![EMPTY; 1 << bits], shift: u64::BITS - bits, len: 0 }
    }

    /// Where an id belongs.
    fn home(&self, key: u64) -> usize {
        let block = (key >> NEIGHBOURS).wrapping_mul(GOLDEN) >> self.shift;
        (block ^ key & ((1 << NEIGHBOURS) - 1)) as usize
    }

    fn after(&self, cell: usize) -> usize {
        (cell + 1) & (self.cells.len() - 1)
    }

    /// The cell of an id, or else the empty one where it would be; and what is in it.
    fn find(&self, key: u64) -> (usize, u32) {
        let mut here = self.home(key);
        // One in two is empty.
        while let Some(cell) = self.cells.get(here) {
            if cell.at == NONE || cell.key == key {
                return (here, cell.at);
            }
            here = self.after(here);
        }
        (here, NONE)
    }

    fn get(&self, key: u64) -> Option<u32> {
        Some(self.find(key).1).filter(|at| *at != NONE)
    }

    /// The number that was there before.
    fn insert(&mut self, key: u64, at: u32) -> Option<u32> {
        if self.len * 2 >= self.cells.len() {
            let twice = Index::with(u64::BITS - self.shift + 1);
            let before = std::mem::replace(self, twice);
            for cell in before.cells.into_iter().filter(|cell| cell.at != NONE) {
                self.insert(cell.key, cell.at);
            }
        }
        let (here, before) = self.find(key);
        *self.cells.get_mut(here)? = Slot { key, at };
        self.len += usize::from(before == NONE);
        Some(before).filter(|at| *at != NONE)
    }

    fn remove(&mut self, key: u64) -> Option<u32> {
        let (mut hole, at) = self.find(key);
        if at == NONE {
            return None;
        }
        self.len -= 1;
        // Who was kept from the hole moves up.
        let mut here = self.after(hole);
        let distance = |from: usize, to: usize, cells: usize| to.wrapping_sub(from) & (cells - 1);
        while let Some(cell) = self.cells.get(here).copied().filter(|cell| cell.at != NONE) {
            let cells = self.cells.len();
            if distance(self.home(cell.key), here, cells) >= distance(hole, here, cells) {
                *self.cells.get_mut(hole)? = cell;
                hole = here;
            }
            here = self.after(here);
        }
        *self.cells.get_mut(hole)? = EMPTY;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Time;
    use crate::config::plan::{AppId, ChannelId, GroupId, TierId};
    use crate::switch::Message;

    fn attempt(id: u64, message: u64) -> Attempt {
        let message = Message {
            id: MessageId(message),
            app: AppId(0),
            group: GroupId(0),
            tier: TierId(0),
            parts: 1,
            expires: Time(9_000_000),
            accepted: Time(0),
        };
        Attempt::new(AttemptRef(id), message.into(), ChannelId(0), 0, Time(0))
    }

    #[test]
    fn what_starts_together_is_found_place_by_place() {
        let mut flights = Flights::default();
        let mut indexed = 0;
        for round in 0..20u64 {
            let all = round * 100..(round + 1) * 100;
            all.clone().for_each(|id| flights.insert(attempt(id, id)));
            for id in all.map(AttemptRef) {
                let (last, reference) = (flights.last.get(), |at| Some(flights.place(at)?.attempt.id));
                let next = flights.place(last).and_then(|place| reference(place.next));
                indexed += usize::from(reference(last) != Some(id) && next != Some(id));
                assert!(flights.get(&id).is_some() && flights.decide(&id, |_| Some(())).is_some());
                flights.forget(&id);
            }
        }
        assert!(flights.is_empty() && indexed <= 20, "{indexed}");
    }

    proptest! {
        /// Ids that follow each other, ids that differ only above, and ids with one home.
        #[test]
        fn an_index_behaves_as_a_map(ops in prop::collection::vec((0u8..3, 0u64..40, 0u8..3, any::<u16>()), 1..600)) {
            let one_home = (0..).filter(|block: &u64| block.wrapping_mul(GOLDEN) >> 54 == 1_000);
            let one_home: Vec<u64> = one_home.map(|block| block << NEIGHBOURS).take(40).collect();
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for (op, n, sort, at) in ops {
                let key = [n, n << 15, one_home[n as usize]][usize::from(sort)];
                match op {
                    0 => prop_assert_eq!(index.remove(key), model.remove(&key)),
                    _ => prop_assert_eq!(index.insert(key, at.into()), model.insert(key, at.into())),
                }
                prop_assert_eq!(index.get(key), model.get(&key).copied());
                prop_assert_eq!(index.len, model.len());
                prop_assert!(model.iter().all(|(key, at)| index.get(*key) == Some(*at)));
                prop_assert_eq!(index.cells.iter().filter(|cell| cell.at != NONE).count(), model.len());
                prop_assert!(index.len * 2 <= index.cells.len());
            }
        }

        /// Attempts come, are decided about, and go: each by itself, or as the one of its message.
        #[test]
        fn attempts_are_found_until_they_go(ops in prop::collection::vec((0u8..6, 0u64..20, 0u64..8), 1..400)) {
            let mut flights = Flights::default();
            let (mut all, mut undecided) = (BTreeMap::new(), BTreeMap::new());
            for (op, id, message) in ops {
                let (id, message) = (AttemptRef(id), MessageId(message));
                match op {
                    0..=2 => {
                        undecided.retain(|_, flying| *flying != id);
                        flights.insert(attempt(id.0, message.0));
                        all.insert(id, message);
                        undecided.insert(message, id);
                    }
                    3 if message.0 % 2 == 0 => {
                        flights.forget(&id);
                        all.remove(&id);
                        undecided.retain(|_, flying| *flying != id);
                    }
                    3 => {
                        let gone = flights.remove(&id);
                        prop_assert_eq!(gone.map(|gone| gone.pending.entry.id), all.remove(&id));
                        undecided.retain(|_, flying| *flying != id);
                    }
                    4 => {
                        let was = undecided.values().any(|flying| *flying == id);
                        let ended = |attempt: &Attempt| (message.0 > 0).then_some(attempt.pending.entry.id);
                        let decided = flights.decide(&id, ended).map(|(of, undecided, _)| (of, undecided));
                        if message.0 == 0 {
                            prop_assert_eq!(decided, None);
                            continue;
                        }
                        prop_assert_eq!(decided, all.get(&id).map(|of| (*of, was)));
                        undecided.retain(|_, flying| *flying != id);
                    }
                    _ => {
                        flights.decide_of(message);
                        undecided.remove(&message);
                    }
                }
                for message in (0..8).map(MessageId) {
                    prop_assert_eq!(flights.of(message).map(|a| a.id), undecided.get(&message).copied());
                }
                for id in (0..20).map(AttemptRef) {
                    prop_assert_eq!(flights.get(&id).map(|a| a.pending.entry.id), all.get(&id).copied());
                }
                prop_assert_eq!((flights.values().count(), flights.undecided().count()), (all.len(), undecided.len()));
                prop_assert_eq!((flights.is_empty(), flights.messages()), (all.is_empty(), undecided.len()));
                // One that goes on has two for a moment.
                prop_assert!(flights.places.len() <= 21, "places are used again");
            }
        }
    }
}
