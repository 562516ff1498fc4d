//! How many messages may end without an attempt at once. Each becomes a record that goes to disk, a history for the
//! store and perhaps a callback: a hundred thousand of them at once would have every new message's record wait behind
//! theirs.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;

use super::Line;
use crate::config::plan::Service;
use crate::ids::{IdHasher, MessageId};

/// Most of them in one turn.
pub(super) const LOT: usize = 256;
/// Most of them whose outcome is not durable.
const MOST: usize = 1_024;
/// With so many messages waiting for the store, none.
const BACKLOG: usize = 8_192;

/// Endings under way.
#[derive(Default)]
pub(super) struct Endings {
    /// Bodies being read.
    reading: usize,
    /// Outcomes on their way to disk.
    writing: HashSet<u64, BuildHasherDefault<IdHasher>>,
}

/// Events of one app that wait for room at the courier: those of the first tier before the others, each in their order.
#[derive(Default)]
pub(super) struct Untold {
    first: VecDeque<(MessageId, u32)>,
    others: VecDeque<(MessageId, u32)>,
}

impl Untold {
    /// One more, behind its like.
    pub(super) fn push(&mut self, first: bool, event: (MessageId, u32)) {
        if first { &mut self.first } else { &mut self.others }.push_back(event);
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<(MessageId, u32)> {
        self.first.pop_front().or_else(|| self.others.pop_front())
    }

    /// Whether any stands before a new one.
    pub(super) fn is_before(&self, first: bool) -> bool {
        !self.first.is_empty() || !first && !self.others.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.others.len()
    }
}

impl Endings {
    /// A body must be read first.
    pub(super) fn reads(&mut self) {
        self.reading += 1;
    }

    /// It has been, or cannot be.
    pub(super) fn read(&mut self) {
        self.reading = self.reading.saturating_sub(1);
    }

    /// The outcome was handed to the journal.
    pub(super) fn written(&mut self, message: MessageId) {
        self.writing.insert(message.0);
    }

    /// The journal's word on it is there, whatever it is.
    pub(super) fn durable(&mut self, message: MessageId) {
        // That of a message with an attempt is none of them, and mostly there are none.
        if !self.writing.is_empty() {
            self.writing.remove(&message.0);
        }
    }

    /// How many more may end in a turn, with so many waiting for the store.
    fn room(&self, backlog: usize) -> usize {
        let room = MOST.saturating_sub(self.reading + self.writing.len());
        if backlog < BACKLOG { room.min(LOT) } else { 0 }
    }
}

impl Line {
    /// How many more messages may end in this turn.
    pub(super) fn room_to_end(&self) -> usize {
        self.endings.room(self.store.backlog())
    }

    /// Whether a message's events go before its app's others: a mass of advertisements that ends at once must not keep
    /// the word on a code waiting.
    pub(super) fn is_of_first_tier(&self, id: MessageId) -> bool {
        let first = self.plan.tiers.first().filter(|tier| tier.service == Service::Strict);
        first.zip(self.report.live(id)).is_some_and(|(tier, live)| tier.id == live.tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_courier_keeps_its_order_behind_the_first_tier() {
        let mut untold = Untold::default();
        assert!(!untold.is_before(true) && !untold.is_before(false));
        for (id, first) in [(1, false), (2, true), (3, false), (4, true)] {
            untold.push(first, (MessageId(id), 1));
            assert_eq!((untold.is_before(true), untold.is_before(false)), (id > 1, true));
        }
        // A correction follows what it corrects.
        untold.push(true, (MessageId(2), 2));
        assert_eq!(untold.len(), 5);
        let told: Vec<(u64, u32)> = std::iter::from_fn(|| untold.pop()).map(|(id, seq)| (id.0, seq)).collect();
        assert_eq!(told, [(2, 1), (4, 1), (2, 2), (1, 1), (3, 1)]);
    }

    #[test]
    fn a_mass_of_endings_goes_no_faster_than_the_disk_takes_them() {
        let (mut endings, mut left, mut turns) = (Endings::default(), 105_000u64, 0);
        let mut flying = std::collections::VecDeque::new();
        while left > 0 {
            let room = (endings.room(0) as u64).min(left);
            assert!(room <= LOT as u64);
            for id in left - room..left {
                // Every other body must be read first.
                if id % 2 == 0 {
                    endings.reads();
                    endings.read();
                }
                endings.written(MessageId(id));
                flying.push_back(id);
            }
            left -= room;
            assert!(flying.len() <= MOST, "{}", flying.len());
            turns += 1;
            // The disk takes a hundred in a turn.
            for id in flying.drain(..flying.len().min(100)) {
                endings.durable(MessageId(id));
            }
        }
        assert!(turns > 1_000, "{turns}");
        assert_eq!(Endings::default().room(BACKLOG), 0, "nor than the store");
        let mut reading = Endings::default();
        (0..MOST).for_each(|_| reading.reads());
        assert_eq!(reading.room(0), 0);
    }
}
