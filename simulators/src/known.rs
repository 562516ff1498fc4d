//! Submits that a carrier knows again: by their number, or by what they say.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::centre::Link;
use crate::delivery::Id;
use crate::tongue::Sequence;

/// How many are kept in mind.
const KEPT: usize = 4096;

/// A submit's number, and the connection it counts on; none where numbers tell submits apart on all of them.
pub type Numbered = (Option<Link>, Sequence);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Known {
    order: VecDeque<(Numbered, u64, Id)>,
    numbers: HashMap<Numbered, (Id, u64)>,
    prints: HashMap<u64, (Id, Instant)>,
}

impl Known {
    /// Adds one; the oldest is forgotten.
    pub fn add(&mut self, number: Numbered, print: u64, id: Id, at: Instant) {
        if self.order.len() >= KEPT
            && let Some((number, print, id)) = self.order.pop_front()
        {
            // A later one may have come under the same number, or said the same.
            if self.numbers.get(&number).is_some_and(|(last, _)| *last == id) {
                self.numbers.remove(&number);
            }
            if self.prints.get(&print).is_some_and(|(last, _)| *last == id) {
                self.prints.remove(&print);
            }
        }
        self.order.push_back((number, print, id));
        self.numbers.insert(number, (id, print));
        self.prints.insert(print, (id, at));
    }

    /// The id of what came under that number, and what it said.
    pub fn numbered(&self, number: Numbered) -> Option<(Id, u64)> {
        self.numbers.get(&number).copied()
    }

    /// The id of what said the same no longer ago than `window`.
    pub fn alike(&self, print: u64, now: Instant, window: Duration) -> Option<Id> {
        let (id, at) = self.prints.get(&print)?;
        (*at + window > now).then_some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_known_for_a_while() {
        let (mut known, now) = (Known::default(), Instant::now());
        let number = |n| (Some(1), [0, 0, n]);
        known.add(number(1), 77, Id::Number(1), now);
        assert_eq!(known.numbered(number(1)), Some((Id::Number(1), 77)));
        assert_eq!((known.numbered((Some(2), [0, 0, 1])), known.numbered(number(2))), (None, None));
        let second = Duration::from_secs(1);
        assert_eq!(known.alike(77, now, second), Some(Id::Number(1)));
        assert_eq!((known.alike(77, now + second, second), known.alike(78, now, second)), (None, None));
        for n in 0..KEPT as u32 {
            known.add(number(n + 2), u64::from(n), Id::Number(2), now);
        }
        assert_eq!((known.numbered(number(1)), known.order.len()), (None, KEPT));
    }

    #[test]
    fn what_came_again_is_not_forgotten_with_what_came_first() {
        let (mut known, now) = (Known::default(), Instant::now());
        let number = |n| (Some(1), [0, 0, n]);
        known.add(number(1), 77, Id::Number(1), now);
        for n in 0..KEPT as u32 - 1 {
            known.add(number(n + 2), u64::from(n) + 100, Id::Number(2), now);
        }
        known.add(number(1), 77, Id::Number(3), now);
        assert_eq!(known.numbered(number(1)), Some((Id::Number(3), 77)));
        assert_eq!(known.alike(77, now, Duration::from_secs(1)), Some(Id::Number(3)));
    }
}
