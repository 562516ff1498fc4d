//! The answers given last, oldest first, found by their keys.
//!
//! They lie in blocks, in the order in which they were given, each with a number, and small tables lead from a key to its
//! answer's number. No table is large: a single one would be copied whole whenever it is full, and no message would move
//! meanwhile. What lies in the tables has four octets, so that looking a key up touches little memory.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::bygone::Mark;
use super::idempotency::Found;
use crate::clock::Wall;

/// Answers of a block.
const BLOCK: usize = 1_024;
/// Tables; a power of two.
const TABLES: usize = 64;

/// See the module.
pub(super) struct Answers {
    /// All but the last are full.
    blocks: VecDeque<Vec<(Mark, Found)>>,
    /// The number of the first block's first answer. After the last number comes 0.
    first: u32,
    /// Answers of the first block that are forgotten.
    forgotten: usize,
    /// Numbers of the answers that count for their keys.
    tables: Vec<HashTable<u32>>,
}

/// An answer by its number.
fn answer(blocks: &VecDeque<Vec<(Mark, Found)>>, first: u32, number: u32) -> Option<&(Mark, Found)> {
    let at = number.wrapping_sub(first) as usize;
    blocks.get(at / BLOCK)?.get(at % BLOCK)
}

/// The table a key belongs to. Within it the other half of the mark decides.
fn table([_, mark]: Mark) -> usize {
    mark as usize % TABLES
}

impl Answers {
    pub(super) fn new() -> Self {
        let tables = (0..TABLES).map(|_| HashTable::new()).collect();
        Answers { blocks: VecDeque::new(), first: 0, forgotten: 0, tables }
    }

    /// Answers remembered, those included whose key has been answered anew.
    pub(super) fn len(&self) -> usize {
        self.given() - self.forgotten
    }

    /// Answers in all blocks.
    fn given(&self) -> usize {
        self.blocks.back().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// The answer that a key got last.
    pub(super) fn get(&self, mark: Mark) -> Option<&Found> {
        let of = |number: u32| answer(&self.blocks, self.first, number);
        let number =
            self.tables.get(table(mark))?.find(mark[0], |number| of(*number).is_some_and(|(of, _)| *of == mark));
        of(*number?).map(|(_, found)| found)
    }

    /// Takes a key's answer in.
    pub(super) fn give(&mut self, mark: Mark, found: Found) {
        let number = self.first.wrapping_add(self.given() as u32);
        match self.blocks.back_mut() {
            Some(last) if last.len() < BLOCK => last.push((mark, found)),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push((mark, found));
                self.blocks.push_back(block);
            }
        }
        let of = |number: &u32| answer(&self.blocks, self.first, *number).map(|(mark, _)| *mark);
        let Some(table) = self.tables.get_mut(table(mark)) else { return };
        match table.entry(mark[0], |number| of(number) == Some(mark), |number| of(number).map_or(0, |mark| mark[0])) {
            Entry::Occupied(mut at) => *at.get_mut() = number,
            Entry::Vacant(at) => drop(at.insert(number)),
        }
    }

    /// When the oldest answer was given.
    pub(super) fn oldest(&self) -> Option<Wall> {
        self.blocks.front()?.get(self.forgotten).map(|(_, found)| found.accepted_at)
    }

    /// Forgets the oldest answer; its key, unless that has been answered anew.
    pub(super) fn forget_oldest(&mut self) -> Option<Mark> {
        let (mark, _) = *self.blocks.front()?.get(self.forgotten)?;
        let number = self.first.wrapping_add(self.forgotten as u32);
        self.forgotten += 1;
        if self.forgotten == BLOCK {
            self.blocks.pop_front();
            (self.first, self.forgotten) = (self.first.wrapping_add(BLOCK as u32), 0);
        }
        // A number is one answer's only, whatever has become of its block.
        let found = self.tables.get_mut(table(mark))?.find_entry(mark[0], |counts| *counts == number).ok()?;
        found.remove();
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use super::*;
    use crate::ids::MessageId;

    fn found(at: u64) -> Found {
        Found { id: MessageId(at), body_hash: [1; 16], parts: 1, encoding: "gsm7".into(), accepted_at: Wall(at) }
    }

    /// Answers, and the same kept plainly.
    #[derive(Default)]
    struct Plain {
        given: VecDeque<(Mark, u64)>,
        count: HashMap<Mark, u64>,
    }

    #[test]
    fn keys_lead_to_their_last_answer_until_it_is_the_oldest_and_goes() {
        let mut rng = fastrand::Rng::with_seed(7);
        // Numbers begin again meanwhile.
        let mut answers = Answers { first: u32::MAX - 3_000, ..Answers::new() };
        let mut plain = Plain::default();
        let marks: Vec<Mark> = (0..9_000).map(|_| [rng.u64(..) % 512, rng.u64(..)]).collect();
        for at in 0..60_000u64 {
            let mark = marks[rng.usize(..marks.len())];
            assert_eq!(answers.get(mark).map(|found| found.id.0), plain.count.get(&mark).copied());
            // It grows, stays as it is, and goes down to nothing.
            let most = [7_000, 7_000, 2_000, 0, 5_000][at as usize / 12_000];
            if most > 0 {
                answers.give(mark, found(at));
                plain.given.push_back((mark, at));
                plain.count.insert(mark, at);
            }
            while answers.len() > most {
                assert_eq!(answers.oldest(), plain.given.front().map(|(_, at)| Wall(*at)));
                let (mark, at) = plain.given.pop_front().unwrap();
                let counted = plain.count.get(&mark) == Some(&at);
                assert_eq!(answers.forget_oldest(), counted.then_some(mark));
                if counted {
                    plain.count.remove(&mark);
                }
            }
            assert_eq!(answers.len(), plain.given.len());
            assert!(answers.blocks.len() <= answers.len().div_ceil(BLOCK) + 1);
        }
        assert!(plain.given.len() == 5_000 && plain.count.len() < 5_000, "some keys were used twice");
    }

    #[test]
    fn without_answers_there_is_nothing_to_forget() {
        let mut answers = Answers::new();
        assert!(answers.forget_oldest().is_none() && answers.oldest().is_none() && answers.get([1, 2]).is_none());
        answers.give([1, 2], found(1));
        assert_eq!((answers.forget_oldest(), answers.forget_oldest(), answers.len()), (Some([1, 2]), None, 0));
        assert!(answers.get([1, 2]).is_none());
    }

    #[test]
    fn a_full_memory_is_small_and_no_table_of_it_is_large() {
        let (mut answers, mut rng, most) = (Answers::new(), fastrand::Rng::with_seed(3), 200_000);
        for at in 0..3 * most {
            answers.give([rng.u64(..), rng.u64(..)], found(at as u64));
            if answers.len() > most {
                answers.forget_oldest();
            }
        }
        let tables: usize = answers.tables.iter().map(HashTable::allocation_size).sum();
        let blocks: usize = answers.blocks.iter().map(|block| size_of_val(&block[..])).sum();
        assert!(tables < 4 << 20 && blocks < 18 << 20, "{tables} and {blocks} octets");
        assert!(answers.tables.iter().all(|table| table.capacity() < most / 16));
    }
}
