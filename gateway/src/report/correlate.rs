//! Whose receipt is it? By our own reference where the protocol carries one, by the carrier's id, or, for an attempt
//! whose answer was lost, by channel and number when exactly one attempt in doubt fits. What nobody claims yet waits.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Receipt, ReceiptState};

use crate::clock::Time;
use crate::config::plan::ChannelId;
use crate::ids::MessageId;

/// How long a receipt without a part is kept.
pub const ORPHAN_LIFE: Duration = Duration::from_secs(72 * 3600);
/// Most orphans kept; beyond, the oldest goes.
pub const ORPHANS_MAX: usize = 100_000;
/// How long an attempt in doubt may claim an unknown receipt for its number.
pub const DOUBT_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Digits of a number that must agree: the rest is spelling (plus, country code, trunk prefix).
const NUMBER_DIGITS: usize = 9;

/// One part of one attempt of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The message.
    pub message: MessageId,
    /// The attempt.
    pub attempt: AttemptRef,
    /// The part, from 0.
    pub part: u8,
}

/// A receipt that waits for its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The id it has in the journal.
    pub id: MessageId,
    /// What it says.
    pub state: ReceiptState,
    /// The carrier's words.
    pub code: String,
    /// When it came.
    pub at: Time,
    /// Its candidate ids.
    ids: Vec<CarrierId>,
    channel: ChannelId,
}

/// The tables.
#[derive(Debug, Default)]
pub struct Correlation {
    by_id: HashMap<(ChannelId, CarrierId), Place>,
    attempts: HashMap<AttemptRef, MessageId>,
    orphans: BTreeMap<MessageId, Waiting>,
    orphan_ids: HashMap<(ChannelId, CarrierId), MessageId>,
    doubtful: HashMap<(ChannelId, u64), Vec<(Place, Time)>>,
    numbers: RandomState,
}

impl Correlation {
    /// An attempt started.
    pub fn started(&mut self, attempt: AttemptRef, message: MessageId) {
        self.attempts.insert(attempt, message);
    }

    /// The message of an attempt.
    pub fn message(&self, attempt: AttemptRef) -> Option<MessageId> {
        self.attempts.get(&attempt).copied()
    }

    /// The carrier gave a part its id; returns a receipt that has outrun this answer.
    pub fn submitted(&mut self, channel: ChannelId, id: &CarrierId, place: Place) -> Option<Waiting> {
        let key = (channel, id.clone());
        let waiting = self.orphan_ids.get(&key).copied().and_then(|orphan| self.remove_orphan(orphan));
        self.by_id.insert(key, place);
        waiting
    }

    /// A part is in doubt: an unknown receipt for its number may be its own.
    pub fn doubt(&mut self, channel: ChannelId, to: &str, place: Place, now: Time) {
        let key = self.number_key(channel, to);
        self.doubtful.entry(key).or_default().push((place, now));
    }

    /// Finds a receipt's part.
    pub fn find(&mut self, channel: ChannelId, receipt: &Receipt, now: Time) -> Option<Place> {
        if let Some((attempt, part)) = receipt.attempt {
            return self.message(attempt).map(|message| Place { message, attempt, part });
        }
        for id in &receipt.ids {
            if let Some(place) = self.by_id.get(&(channel, id.clone())) {
                return Some(*place);
            }
        }
        self.claim(channel, receipt, now)
    }

    /// The orphan rule: exactly one attempt in doubt on this channel for this number.
    fn claim(&mut self, channel: ChannelId, receipt: &Receipt, now: Time) -> Option<Place> {
        let key = self.number_key(channel, &receipt.to);
        let candidates = self.doubtful.get_mut(&key)?;
        candidates.retain(|(_, since)| now.since(*since) < DOUBT_LIFE);
        let place = match candidates.as_slice() {
            [(place, _)] => Some(*place),
            _ => None,
        };
        if place.is_some() || candidates.is_empty() {
            self.doubtful.remove(&key);
        }
        if let (Some(place), Some(id)) = (place, receipt.ids.first()) {
            self.by_id.insert((channel, id.clone()), place);
        }
        place
    }

    /// Keeps a receipt nobody claims; returns the orphan that had to go for it.
    pub fn keep(&mut self, id: MessageId, channel: ChannelId, receipt: &Receipt, now: Time) -> Option<MessageId> {
        for carrier_id in &receipt.ids {
            self.orphan_ids.insert((channel, carrier_id.clone()), id);
        }
        let (state, code, ids) = (receipt.state, receipt.code.clone(), receipt.ids.clone());
        self.orphans.insert(id, Waiting { id, state, code, at: now, ids, channel });
        let oldest = *self.orphans.first_key_value().filter(|_| self.orphans.len() > ORPHANS_MAX)?.0;
        self.remove_orphan(oldest).map(|w| w.id)
    }

    /// Orphans whose time is over.
    pub fn expired_orphans(&mut self, now: Time) -> Vec<MessageId> {
        let mut gone = Vec::new();
        while let Some((id, waiting)) = self.orphans.first_key_value() {
            if now.since(waiting.at) < ORPHAN_LIFE {
                break;
            }
            let id = *id;
            self.remove_orphan(id);
            gone.push(id);
        }
        gone
    }

    /// Number of receipts waiting.
    pub fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Drops a receipt that waits.
    pub fn drop_orphan(&mut self, id: MessageId) {
        self.remove_orphan(id);
    }

    fn remove_orphan(&mut self, id: MessageId) -> Option<Waiting> {
        let waiting = self.orphans.remove(&id)?;
        for carrier_id in &waiting.ids {
            self.orphan_ids.remove(&(waiting.channel, carrier_id.clone()));
        }
        Some(waiting)
    }

    /// Forgets an attempt and the carrier ids of its parts.
    pub fn forget<'a>(
        &mut self,
        attempt: AttemptRef,
        channel: ChannelId,
        ids: impl Iterator<Item = &'a CarrierId>,
        to: &str,
    ) {
        self.attempts.remove(&attempt);
        for id in ids {
            self.by_id.remove(&(channel, id.clone()));
        }
        let key = self.number_key(channel, to);
        if let Some(candidates) = self.doubtful.get_mut(&key) {
            candidates.retain(|(place, _)| place.attempt != attempt);
            if candidates.is_empty() {
                self.doubtful.remove(&key);
            }
        }
    }

    /// Numbers are compared by their last digits, and held only as a hash.
    fn number_key(&self, channel: ChannelId, number: &str) -> (ChannelId, u64) {
        let mut tail = [0u8; NUMBER_DIGITS];
        for (slot, digit) in tail.iter_mut().zip(number.bytes().rev().filter(u8::is_ascii_digit)) {
            *slot = digit;
        }
        (channel, self.numbers.hash_one(tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(3);

    fn place(n: u64) -> Place {
        Place { message: MessageId(n), attempt: AttemptRef(n), part: 0 }
    }

    fn receipt(id: &[u8], to: &str) -> Receipt {
        Receipt {
            ids: vec![CarrierId::new(id)],
            attempt: None,
            to: to.into(),
            state: ReceiptState::Delivered,
            code: String::new(),
        }
    }

    #[test]
    fn a_receipt_that_outran_its_answer_is_found_by_it() {
        let mut table = Correlation::default();
        let early = receipt(b"77", "8613800138000");
        assert_eq!(table.find(CHANNEL, &early, Time(0)), None);
        table.keep(MessageId(900), CHANNEL, &early, Time(0));
        let waiting = table.submitted(CHANNEL, &CarrierId::new(b"77"), place(1)).unwrap();
        assert_eq!(waiting.id, MessageId(900));
        assert_eq!(table.orphans(), 0);
        assert_eq!(table.find(CHANNEL, &early, Time(0)), Some(place(1)));
        assert_eq!(table.find(ChannelId(4), &early, Time(0)), None, "ids belong to their channel");
    }

    #[test]
    fn one_attempt_in_doubt_claims_an_unknown_receipt_for_its_number() {
        let mut table = Correlation::default();
        table.doubt(CHANNEL, "+8613800138000", place(1), Time(0));
        assert_eq!(table.find(CHANNEL, &receipt(b"5", "13800138001"), Time(1)), None);
        assert_eq!(table.find(CHANNEL, &receipt(b"5", "13800138000"), Time(1)), Some(place(1)));
        assert_eq!(table.find(CHANNEL, &receipt(b"6", "13800138000"), Time(1)), None, "claimed once");
        assert_eq!(
            table.find(CHANNEL, &receipt(b"5", "13800138000"), Time(1)),
            Some(place(1)),
            "repeats find it by id"
        );
    }

    #[test]
    fn two_candidates_claim_nothing() {
        let mut table = Correlation::default();
        table.doubt(CHANNEL, "+8613800138000", place(1), Time(0));
        table.doubt(CHANNEL, "+8613800138000", place(2), Time(0));
        assert_eq!(table.find(CHANNEL, &receipt(b"5", "13800138000"), Time(1)), None);
        table.forget(AttemptRef(2), CHANNEL, [].iter(), "+8613800138000");
        assert_eq!(table.find(CHANNEL, &receipt(b"5", "13800138000"), Time(1)), Some(place(1)));
    }

    #[test]
    fn orphans_are_bounded_in_time() {
        let mut table = Correlation::default();
        table.keep(MessageId(1), CHANNEL, &receipt(b"1", "1"), Time(0));
        table.keep(MessageId(2), CHANNEL, &receipt(b"2", "1"), Time(0).after(Duration::from_secs(60)));
        assert_eq!(table.expired_orphans(Time(0).after(ORPHAN_LIFE)), [MessageId(1)]);
        assert_eq!(table.orphans(), 1);
    }
}
