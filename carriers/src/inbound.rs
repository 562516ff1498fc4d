//! Receipts and messages from handsets that the gateway has not settled yet: at most [`LIMIT`] per link.
//!
//! [`Unsettled`] keeps what a protocol needs to answer the carrier later (a sequence number, a path). Where it is full
//! the session answers "later" at once in its protocol's words, tells the gateway nothing, and goes on reading.

use std::collections::VecDeque;

use crate::session::Inbound;

/// Unsettled inbound events per link.
pub const LIMIT: usize = 512;

/// What waits for [`crate::Input::Settle`], each with what its answer needs.
#[derive(Debug)]
pub struct Unsettled<T> {
    next: u64,
    /// By their numbers. Nearly all are settled in the order they came in, the first first.
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Unsettled<T> {
    fn default() -> Self {
        Unsettled { next: 0, waiting: VecDeque::new() }
    }
}

impl<T> Unsettled<T> {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one more may be told to the gateway.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < LIMIT
    }

    /// Remembers what the answer needs, under a number never used before on this link; `None` where it is full.
    pub fn take(&mut self, answer: T) -> Option<Inbound> {
        if !self.has_room() {
            return None;
        }
        let inbound = Inbound(self.next);
        self.next += 1;
        self.waiting.push_back((inbound.0, answer));
        Some(inbound)
    }

    /// Hands back what the answer needs, once.
    pub fn settle(&mut self, inbound: Inbound) -> Option<T> {
        if self.waiting.front().is_some_and(|(first, _)| *first == inbound.0) {
            return self.waiting.pop_front().map(|(_, answer)| answer);
        }
        let at = self.waiting.binary_search_by_key(&inbound.0, |(number, _)| *number).ok()?;
        self.waiting.remove(at).map(|(_, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_at_the_limit_and_open_again_after_settle() {
        let mut u = Unsettled::default();
        let all: Vec<_> = (0..LIMIT).map(|n| u.take(n).unwrap()).collect();
        assert_eq!(u.take(LIMIT), None);
        assert_eq!(u.settle(all[7]), Some(7));
        assert_eq!(u.settle(all[7]), None);
        let next = u.take(LIMIT).unwrap();
        assert!(!all.contains(&next));
    }

    #[test]
    fn each_is_handed_back_once_in_whatever_order() {
        let mut u = Unsettled::default();
        let all: Vec<_> = (0..LIMIT).map(|n| u.take(n).unwrap()).collect();
        let order = (0..LIMIT).map(|n| n * 7 % LIMIT);
        for n in order.clone() {
            assert_eq!(u.settle(all[n]), Some(n));
            assert_eq!(u.settle(all[n]), None);
        }
        assert!(u.is_empty() && order.count() == LIMIT);
    }
}
