//! Tickets waiting for their answer: found by the sequence on the wire, known in the order they were sent.
//!
//! [`Window`] serves every protocol that numbers its requests; the key is whatever identifies a request there (a
//! `u32` in SMPP, CMPP and SMGP, three of them in SGIP). Every operation is O(1); memory is bounded by the limit.

use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::numbers::NumberMap;
use crate::session::Ticket;

/// An open ticket, as it is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The part that waits.
    pub ticket: Ticket,
    /// One past its last octet in the stream of all octets transmitted on path 0.
    pub offset: u64,
}

/// Unanswered submits of one link, at most `limit`.
#[derive(Debug)]
pub struct Window<K> {
    limit: usize,
    patience: Duration,
    slots: Vec<Slot<K>>,
    free: Vec<usize>,
    by_key: NumberMap<K, usize>,
    ends: Option<Ends>,
}

/// A place in the chain from the oldest to the newest open ticket.
#[derive(Debug)]
struct Slot<K> {
    key: K,
    open: Open,
    answer_deadline: Instant,
    older: Option<usize>,
    newer: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: usize,
    newest: usize,
}

impl<K: Copy + Eq + Hash> Window<K> {
    /// A window of `limit` tickets, each answered within `patience` of being sent.
    pub fn new(limit: usize, patience: Duration) -> Self {
        Window { limit, patience, slots: Vec::new(), free: Vec::new(), by_key: NumberMap::default(), ends: None }
    }

    /// Tickets open now.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Tickets that may still be opened.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Whether a ticket is open under this key.
    pub fn contains(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Opens a ticket, sent at `now`. Returns false, changing nothing, where there is no room or the key is taken.
    pub fn open(&mut self, now: Instant, key: K, open: Open) -> bool {
        if self.room() == 0 {
            return false;
        }
        let Entry::Vacant(place) = self.by_key.entry(key) else { return false };
        let newest = self.ends.map(|ends| ends.newest);
        let slot = Slot { key, open, answer_deadline: now + self.patience, older: newest, newer: None };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        if let Some(newest) = newest {
            self.slots[newest].newer = Some(at);
        }
        self.ends = Some(Ends { oldest: self.ends.map_or(at, |ends| ends.oldest), newest: at });
        place.insert(at);
        true
    }

    /// Closes the ticket answered under this key.
    pub fn close(&mut self, key: K) -> Option<Open> {
        let at = self.by_key.remove(&key)?;
        let Slot { open, older, newer, .. } = self.slots[at];
        if let Some(older) = older {
            self.slots[older].newer = newer;
        }
        if let Some(newer) = newer {
            self.slots[newer].older = older;
        }
        self.ends = self.ends.and_then(|ends| {
            let oldest = if ends.oldest == at { newer } else { Some(ends.oldest) };
            let newest = if ends.newest == at { older } else { Some(ends.newest) };
            Some(Ends { oldest: oldest?, newest: newest? })
        });
        self.free.push(at);
        Some(open)
    }

    /// The one key that is like this; `None` where there is none, or several. Looks at all.
    pub fn only(&self, like: impl Fn(K) -> bool) -> Option<K> {
        let mut found = self.by_key.keys().copied().filter(|key| like(*key));
        found.next().filter(|_| found.next().is_none())
    }

    /// When the oldest ticket's answer is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.ends.map(|ends| self.slots[ends.oldest].answer_deadline)
    }

    /// The key of the oldest ticket if its answer is due at `now`: for protocols that then ask again.
    pub fn due(&self, now: Instant) -> Option<K> {
        let oldest = &self.slots[self.ends?.oldest];
        (oldest.answer_deadline <= now).then_some(oldest.key)
    }

    /// Closes and returns the oldest ticket if its answer is due at `now`. Call until `None`.
    pub fn expire(&mut self, now: Instant) -> Option<Open> {
        if self.deadline()? <= now { self.pop_oldest() } else { None }
    }

    /// Closes and returns the oldest ticket, due or not: the link is over.
    pub fn pop_oldest(&mut self) -> Option<Open> {
        let key = self.slots[self.ends?.oldest].key;
        self.close(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "an origin for the arithmetic; nothing measures it")]
        Instant::now()
    }

    fn open(ticket: u64) -> Open {
        Open { ticket: Ticket(ticket), offset: ticket * 10 }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn answers_out_of_order_leave_the_oldest_first() {
        let t = start();
        let mut w = Window::new(4, 10 * MS);
        for k in 1..=4u32 {
            assert!(w.open(t + k * MS, k, open(k.into())));
        }
        assert_eq!((w.room(), w.open(t, 5, open(5))), (0, false));
        assert_eq!(w.close(1), Some(open(1)));
        assert_eq!(w.close(3), Some(open(3)));
        assert_eq!(w.close(3), None);
        assert_eq!(w.deadline(), Some(t + 12 * MS));
        assert_eq!(w.close(4), Some(open(4)));
        assert!(w.open(t + 20 * MS, 6, open(6)));
        assert_eq!(w.pop_oldest(), Some(open(2)));
        assert_eq!(w.pop_oldest(), Some(open(6)));
        assert_eq!((w.pop_oldest(), w.deadline(), w.is_empty()), (None, None, true));
    }

    #[test]
    fn the_deadline_is_kept_to_the_nanosecond() {
        let t = start();
        let mut w = Window::new(2, 10 * MS);
        w.open(t, 1u32, open(1));
        w.open(t + MS, 2, open(2));
        assert_eq!((w.due(t + 10 * MS - Duration::from_nanos(1)), w.due(t + 10 * MS)), (None, Some(1)));
        assert_eq!(w.expire(t + 10 * MS - Duration::from_nanos(1)), None);
        assert_eq!(w.expire(t + 10 * MS), Some(open(1)));
        assert_eq!(w.expire(t + 10 * MS), None);
        assert_eq!(w.expire(t + 11 * MS), Some(open(2)));
    }

    #[test]
    fn a_taken_key_is_not_opened_twice() {
        let t = start();
        let mut w = Window::new(2, MS);
        assert!(w.open(t, [1u32, 2, 3], open(1)));
        assert!(!w.open(t, [1, 2, 3], open(2)));
        assert_eq!(w.close([1, 2, 3]), Some(open(1)));
    }

    #[test]
    fn slots_are_used_again_while_one_ticket_stays_open() {
        let t = start();
        let mut w = Window::new(2, MS);
        w.open(t, 0u32, open(0));
        for k in 1..1000 {
            assert!(w.open(t, k, open(k.into())));
            assert_eq!(w.close(k), Some(open(k.into())));
        }
        assert_eq!((w.slots.len(), w.len()), (2, 1));
    }
}
