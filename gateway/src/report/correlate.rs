//! Whose receipt is it? By the carrier's id, or, for an attempt whose answer was lost, by channel and number when exactly
//! one attempt in doubt fits. What nobody claims yet waits.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::ops::Bound;
use std::time::Duration;

use carriers::compact::MostlyOne;
use carriers::{AttemptRef, CarrierId, Receipt, ReceiptState};

use crate::clock::Time;
use crate::config::plan::ChannelId;
use crate::ids::{CountedSeed, HashMapped, MessageId, SeededMap};

use super::state::{AttemptState, Code};

/// How long a receipt without a part is kept.
pub const ORPHAN_LIFE: Duration = Duration::from_secs(72 * 3600);
/// After this long without its part a receipt counts as unmatched; before, it has merely outrun its answer.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(60);
/// Most orphans kept; beyond, the oldest goes.
pub const ORPHANS_MAX: usize = 100_000;
/// How long an attempt in doubt may claim an unknown receipt for its number.
pub const DOUBT_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Digits of a number that must agree.
const NUMBER_DIGITS: u32 = 9;

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
    /// Where it came from.
    pub channel: ChannelId,
    /// Its candidate ids, best first.
    pub ids: MostlyOne<CarrierId>,
    /// Whose it is, as [`tail`] has it; `None` where it names no number.
    pub to: Option<Tail>,
    /// What it says.
    pub state: ReceiptState,
    /// The carrier's words.
    pub code: Code,
    /// When it came.
    pub at: Time,
    /// No finished message is known to be its own either: an attempt in doubt may claim it.
    pub stranger: bool,
}

/// A part that a receipt was found to speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which.
    pub place: Place,
    /// Set where an attempt in doubt claimed it: the id that its lost answer gave.
    pub claimed: Option<CarrierId>,
}

/// A number's last digits, four bits each, plus one, so that it is never 0; never shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tail(NonZeroU64);

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tail(..)")
    }
}

/// The last digits of a number: what comes before is spelling (plus, country code, trunk prefix).
pub fn tail(number: &str) -> Option<Tail> {
    // Of nearly all numbers every digit is one.
    if let Some(last) = number.as_bytes().last_chunk::<{ NUMBER_DIGITS as usize }>()
        && last.iter().all(u8::is_ascii_digit)
    {
        let tail = last.iter().fold(0, |tail, digit| tail << 4 | u64::from(digit - b'0' + 1));
        return NonZeroU64::new(tail).map(Tail);
    }
    let (mut tail, mut count) = (0, 0);
    for digit in number.bytes().rev().filter(u8::is_ascii_digit) {
        tail |= u64::from(digit - b'0' + 1) << (4 * count);
        count += 1;
        if count == NUMBER_DIGITS {
            break;
        }
    }
    NonZeroU64::new(tail).map(Tail)
}

/// An attempt in doubt, or rather one part of it.
#[derive(Clone, Copy, Debug)]
struct Doubtful {
    place: Place,
    /// When it started: no earlier receipt is its own.
    started: Time,
    /// When it came into doubt.
    since: Time,
}

/// Attempts with parts that are not answered yet: a receipt that nobody knows may have outrun theirs. Windows bound them,
/// every attempt is one, and only a receipt about to be claimed asks: so they have places, and are looked through.
#[derive(Debug, Default)]
struct Aloft {
    places: Vec<Option<Flying>>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Flying {
    channel: ChannelId,
    to: Tail,
    /// When it started: the wall clock may have jumped since.
    since: Time,
}

impl Aloft {
    /// One more, and its place.
    fn add(&mut self, flying: Flying) -> Option<u32> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.places.len()).ok()?;
                self.places.push(None);
                at
            }
        };
        *self.places.get_mut(at as usize)? = Some(flying);
        Some(at)
    }

    /// The one of that place is none any more.
    fn remove(&mut self, at: u32) {
        if self.places.get_mut(at as usize).and_then(Option::take).is_some() {
            self.free.push(at);
        }
    }

    fn has(&self, channel: ChannelId, to: Tail) -> bool {
        self.places.iter().flatten().any(|flying| flying.channel == channel && flying.to == to)
    }
}

/// Whose the ids are that a channel's carrier gave. The messages have the ids themselves, and know the part: here an id is
/// its hash under a secret seed, a quarter of its size, and who finds a message looks whether it has the id.
#[derive(Debug, Default)]
struct Given {
    seed: CountedSeed,
    messages: HashMapped<MessageId>,
}

/// The tables.
#[derive(Debug, Default)]
pub struct Correlation {
    /// By channel.
    given: Vec<Given>,
    orphans: BTreeMap<MessageId, Waiting>,
    orphan_ids: SeededMap<(ChannelId, CarrierId), MessageId>,
    orphan_numbers: BTreeSet<(ChannelId, Tail, MessageId)>,
    doubtful: SeededMap<(ChannelId, Tail), Vec<Doubtful>>,
    aloft: Aloft,
    /// Orphans up to this one were counted as unmatched, or looked at in vain.
    counted: Option<MessageId>,
}

impl Correlation {
    /// An attempt has parts on the wire since now.
    pub fn started(&mut self, attempt: &mut AttemptState, to: Option<Tail>, now: Time) {
        if attempt.aloft.is_none() {
            attempt.aloft = to.and_then(|to| self.aloft.add(Flying { channel: attempt.channel, to, since: now }));
        }
    }

    /// Since when an attempt has parts on the wire.
    pub fn since(&self, attempt: &AttemptState) -> Option<Time> {
        Some(self.aloft.places.get(attempt.aloft? as usize)?.as_ref()?.since)
    }

    /// An attempt has none any more.
    pub fn landed(&mut self, attempt: &mut AttemptState) {
        if let Some(at) = attempt.aloft.take() {
            self.aloft.remove(at);
        }
    }

    /// The carrier gave a part its id; returns a receipt that has outrun this answer.
    pub fn submitted(&mut self, channel: ChannelId, id: &CarrierId, place: Place) -> Option<Waiting> {
        self.learn(channel, id, place.message);
        if self.orphan_ids.is_empty() {
            return None;
        }
        let orphan = self.orphan_ids.get(&(channel, id.clone())).copied();
        orphan.and_then(|orphan| self.take(orphan))
    }

    /// The carrier gave a part its id, as the journal has it.
    pub fn learn(&mut self, channel: ChannelId, id: &CarrierId, message: MessageId) {
        let channel = usize::from(channel.0);
        if self.given.len() <= channel {
            self.given.resize_with(channel + 1, Given::default);
        }
        if let Some(Given { seed, messages }) = self.given.get_mut(channel) {
            messages.insert(seed.hash_one(id), message);
        }
    }

    /// The carrier gave the message's part another id than it was expected to.
    pub fn unlearn(&mut self, channel: ChannelId, id: &CarrierId, message: MessageId) {
        if let Some(Given { seed, messages }) = self.given.get_mut(usize::from(channel.0))
            && let Entry::Occupied(known) = messages.entry(seed.hash_one(id))
            && *known.get() == message
        {
            known.remove();
        }
    }

    /// The message that was given the id last, most likely: it knows.
    pub fn given(&self, channel: ChannelId, id: &CarrierId) -> Option<MessageId> {
        let Given { seed, messages } = self.given.get(usize::from(channel.0))?;
        messages.get(&seed.hash_one(id)).copied()
    }

    /// A part came into doubt: an unknown receipt for its number may be its own.
    pub fn doubt(&mut self, channel: ChannelId, to: Option<Tail>, place: Place, started: Time, since: Time) {
        let Some(tail) = to else { return };
        let list = self.doubtful.entry((channel, tail)).or_default();
        if list.iter().all(|d| d.place != place) {
            list.push(Doubtful { place, started, since });
        }
    }

    /// A part is in doubt no more, or its message is forgotten.
    pub fn resolved(&mut self, channel: ChannelId, to: Option<Tail>, place: Place) {
        let Some(tail) = to.filter(|_| !self.doubtful.is_empty()) else { return };
        if let Entry::Occupied(mut list) = self.doubtful.entry((channel, tail)) {
            list.get_mut().retain(|d| d.place != place);
            if list.get().is_empty() {
                list.remove();
            }
        }
    }

    /// Nobody else, not even a finished message, owns a receipt that waits.
    pub fn stranger(&mut self, orphan: MessageId) {
        if let Some(waiting) = self.orphans.get_mut(&orphan) {
            waiting.stranger = true;
        }
    }

    /// Takes a receipt that waits from those that do if its part is `known` by its ids, or claims it. One that a finished
    /// message may own is nobody's by its number.
    pub fn reunite(&mut self, orphan: MessageId, known: Option<Place>, now: Time) -> Option<(Waiting, Match)> {
        let waiting = self.orphans.get(&orphan)?.clone();
        let Waiting { channel, ids, to, at, stranger, .. } = &waiting;
        let to = to.filter(|_| *stranger);
        let known = known.map(|place| Match { place, claimed: None });
        let found = known.or_else(|| self.claim(*channel, to?, ids, *at, now))?;
        self.take(orphan).map(|waiting| (waiting, found))
    }

    /// The orphan rule: exactly one attempt in doubt on this channel for this number, started before the receipt came,
    /// and no other on the wire whose answer the receipt could have outrun. Of its parts the first that is still in doubt takes the receipt.
    fn claim(&mut self, channel: ChannelId, to: Tail, ids: &[CarrierId], came: Time, now: Time) -> Option<Match> {
        let id = ids.first()?.clone();
        let Entry::Occupied(mut list) = self.doubtful.entry((channel, to)) else { return None };
        list.get_mut().retain(|d| now.since(d.since) < DOUBT_LIFE);
        let chosen = list.get().iter().min_by_key(|d| d.place.part).copied();
        let alone = chosen.is_some_and(|c| list.get().iter().all(|d| d.place.attempt == c.place.attempt));
        let chosen = chosen.filter(|c| alone && c.started <= came).filter(|_| !self.aloft.has(channel, to));
        if let Some(chosen) = chosen {
            list.get_mut().retain(|d| d.place != chosen.place);
        }
        if list.get().is_empty() {
            list.remove();
        }
        Some(Match { place: chosen?.place, claimed: Some(id) })
    }

    /// Keeps a receipt that nobody claims. One that repeats a waiting one of the same id takes its place, unless it says
    /// less. Returns the ids that need no record any more: the loser's, and the oldest's where there are too many.
    pub fn keep(&mut self, id: MessageId, channel: ChannelId, receipt: &Receipt, now: Time) -> Vec<MessageId> {
        let mut gone = Vec::new();
        let keys = || receipt.ids.iter().map(|carrier_id| (channel, carrier_id.clone()));
        let twins: BTreeSet<MessageId> = keys().filter_map(|key| self.orphan_ids.get(&key).copied()).collect();
        for twin in twins.into_iter().filter(|twin| *twin != id) {
            let earlier = self.orphans.get(&twin).map(|w| w.state);
            let says_more = !matches!(earlier, Some(ReceiptState::Delivered)) && receipt.state.is_final();
            if !says_more {
                return vec![id];
            }
            self.take(twin);
            gone.push(twin);
        }
        for key in keys() {
            self.orphan_ids.insert(key, id);
        }
        let Receipt { ids, state, code, to, .. } = receipt.clone();
        let to = tail(&to);
        self.orphan_numbers.extend(to.map(|to| (channel, to, id)));
        self.orphans.insert(id, Waiting { id, channel, ids, to, state, code, at: now, stranger: false });
        let oldest = self.orphans.first_key_value().map(|(id, _)| *id).filter(|_| self.orphans.len() > ORPHANS_MAX);
        gone.extend(oldest.and_then(|oldest| self.take(oldest)).map(|w| w.id));
        gone
    }

    /// Orphans whose time is over.
    pub fn expired_orphans(&mut self, now: Time) -> Vec<MessageId> {
        let mut gone = Vec::new();
        while let Some((id, waiting)) = self.orphans.first_key_value() {
            if now.since(waiting.at) < ORPHAN_LIFE {
                break;
            }
            let id = *id;
            self.take(id);
            gone.push(id);
        }
        gone
    }

    /// Receipts that have waited for [`ORPHAN_GRACE`] now, each once.
    pub fn unmatched(&mut self, now: Time) -> Vec<ChannelId> {
        let after = self.counted.map_or(Bound::Unbounded, Bound::Excluded);
        let due = self.orphans.range((after, Bound::Unbounded)).take_while(|(_, w)| now.since(w.at) >= ORPHAN_GRACE);
        let due: Vec<_> = due.map(|(id, w)| (*id, w.channel)).collect();
        self.counted = due.last().map(|(id, _)| *id).or(self.counted);
        due.into_iter().map(|(_, channel)| channel).collect()
    }

    /// Ids of the receipts waiting, oldest first.
    pub fn waiting(&self) -> Vec<MessageId> {
        self.orphans.keys().copied().collect()
    }

    /// Ids of the receipts waiting that an attempt in doubt for this number may claim, oldest first.
    pub fn claimable(&self, channel: ChannelId, to: Option<Tail>) -> Vec<MessageId> {
        if self.doubtful.is_empty() || self.orphans.is_empty() {
            return Vec::new();
        }
        let Some(tail) = to else { return Vec::new() };
        let range = (channel, tail, MessageId(0))..=(channel, tail, MessageId(u64::MAX));
        self.orphan_numbers.range(range).map(|(.., id)| *id).collect()
    }

    /// Number of receipts waiting.
    pub fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// A receipt that waits.
    pub fn orphan(&self, id: MessageId) -> Option<&Waiting> {
        self.orphans.get(&id)
    }

    /// Takes a receipt that waits out of the tables.
    pub fn take(&mut self, id: MessageId) -> Option<Waiting> {
        let waiting = self.orphans.remove(&id)?;
        if let Some(to) = waiting.to {
            self.orphan_numbers.remove(&(waiting.channel, to, id));
        }
        for carrier_id in &waiting.ids {
            if let Entry::Occupied(entry) = self.orphan_ids.entry((waiting.channel, carrier_id.clone()))
                && *entry.get() == id
            {
                entry.remove();
            }
        }
        Some(waiting)
    }

    /// Forgets an attempt with the carrier ids and doubts of its parts. An id that the carrier has given again since
    /// stays with its new part.
    pub fn forget(&mut self, message: MessageId, attempt: &mut AttemptState, to: Option<Tail>) {
        self.landed(attempt);
        for (part, state) in (0..=u8::MAX).zip(&attempt.parts) {
            let place = Place { message, attempt: attempt.attempt, part };
            self.resolved(attempt.channel, to, place);
            if let Some(id) = &state.id {
                self.unlearn(attempt.channel, id, message);
            }
        }
    }

    /// Sizes of all tables.
    #[cfg(test)]
    pub fn census(&self) -> [usize; 6] {
        let Correlation { given, orphans, orphan_ids, orphan_numbers, doubtful, aloft, .. } = self;
        let orphans = [orphans.len(), orphan_ids.len(), orphan_numbers.len()];
        [
            given.iter().map(|given| given.messages.len()).sum(),
            orphans[0],
            orphans[1],
            orphans[2],
            doubtful.len(),
            aloft.places.len() - aloft.free.len(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(3);

    /// The place where a receipt's part is found.
    fn find(table: &mut Correlation, channel: ChannelId, receipt: &Receipt, now: Time) -> Option<Place> {
        let orphan = MessageId(700);
        let known = receipt.ids.iter().find_map(|id| table.given(channel, id));
        let known = known.map(|message| Match { place: place(message.0), claimed: None });
        let found = known.or_else(|| {
            // What the report does with a receipt that names nobody.
            table.keep(orphan, channel, receipt, now);
            assert_eq!(table.reunite(orphan, None, now), None, "a finished message may own it");
            table.stranger(orphan);
            let found = table.reunite(orphan, None, now).map(|(_, found)| found);
            table.take(orphan);
            found
        });
        found.map(|found| {
            // What the report does with a claim.
            if let Some(id) = found.claimed {
                table.submitted(channel, &id, found.place);
            }
            found.place
        })
    }

    fn place(n: u64) -> Place {
        Place { message: MessageId(n), attempt: AttemptRef(n), part: 0 }
    }

    fn receipt(id: &[u8], to: &str) -> Receipt {
        Receipt {
            ids: std::iter::once(CarrierId::new(id)).collect(),
            to: to.into(),
            state: ReceiptState::Delivered,
            code: Code::default(),
        }
    }

    #[test]
    fn a_receipt_that_outran_its_answer_is_found_by_it() {
        let mut table = Correlation::default();
        let early = receipt(b"77", "8613800138000");
        assert_eq!(find(&mut table, CHANNEL, &early, Time(0)), None);
        table.keep(MessageId(900), CHANNEL, &early, Time(0));
        let waiting = table.submitted(CHANNEL, &CarrierId::new(b"77"), place(1)).unwrap();
        assert_eq!(waiting.id, MessageId(900));
        assert_eq!(table.orphans(), 0);
        assert_eq!(find(&mut table, CHANNEL, &early, Time(0)), Some(place(1)));
        assert_eq!(find(&mut table, ChannelId(4), &early, Time(0)), None, "ids belong to their channel");
    }

    #[test]
    fn a_tail_is_the_last_nine_digits_however_they_are_written() {
        let same = ["+8613800138000", "13800138000", "800138000", "0086-138-0013-8000", "x8 0 0 1 3 8 0 0 0"];
        assert!(same.iter().all(|number| tail(number).is_some() && tail(number) == tail(same[0])));
        for other in ["+8613800138001", "00138000", "x00138000", "900138000", ""] {
            assert_ne!(tail(other), tail(same[0]), "{other}");
        }
        assert_eq!((tail(""), tail("+")), (None, None));
    }

    #[test]
    fn one_attempt_in_doubt_claims_an_unknown_receipt_for_its_number() {
        let mut table = Correlation::default();
        table.doubt(CHANNEL, tail("+8613800138000"), place(1), Time(0), Time(0));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138001"), Time(1)), None);
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)), Some(place(1)));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"6", "13800138000"), Time(1)), None, "claimed once");
        assert_eq!(
            find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)),
            Some(place(1)),
            "repeats find it by id"
        );
    }

    #[test]
    fn two_candidates_claim_nothing() {
        let mut table = Correlation::default();
        table.doubt(CHANNEL, tail("+8613800138000"), place(1), Time(0), Time(0));
        table.doubt(CHANNEL, tail("+8613800138000"), place(2), Time(0), Time(0));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)), None);
        table.resolved(CHANNEL, tail("+8613800138000"), place(2));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)), Some(place(1)));
    }

    #[test]
    fn parts_of_one_attempt_in_doubt_take_a_receipt_each() {
        let mut table = Correlation::default();
        let part = |part| Place { part, ..place(1) };
        for i in [1, 0] {
            table.doubt(CHANNEL, tail("+8613800138000"), part(i), Time(5), Time(9));
        }
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(10)), Some(part(0)));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"6", "13800138000"), Time(10)), Some(part(1)));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"7", "13800138000"), Time(10)), None);
    }

    #[test]
    fn nothing_is_claimed_while_another_attempt_for_the_number_is_on_the_wire() {
        let (mut table, to) = (Correlation::default(), tail("+8613800138000"));
        let attempt = |n| AttemptState::new(AttemptRef(n), CHANNEL, crate::clock::Wall(0), 1);
        let mut flying: Vec<AttemptState> = (2..5).map(attempt).collect();
        table.doubt(CHANNEL, to, place(1), Time(0), Time(0));
        for round in 0..3 {
            for attempt in &mut flying {
                table.started(attempt, to, Time(1));
                table.started(attempt, to, Time(2));
                assert_eq!(table.since(attempt), Some(Time(1)));
            }
            assert_eq!((table.census()[5], table.aloft.places.len()), (3, 3), "places are used again: {round}");
            for attempt in &mut flying {
                assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)), None);
                table.landed(attempt);
                table.landed(attempt);
            }
        }
        assert_eq!(table.census()[5], 0);
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "13800138000"), Time(1)), Some(place(1)));
    }

    #[test]
    fn a_receipt_that_came_before_the_doubt_is_claimed_unless_older_than_the_attempt() {
        let mut table = Correlation::default();
        table.keep(MessageId(90), CHANNEL, &receipt(b"4", "13800138000"), Time(3));
        table.keep(MessageId(91), CHANNEL, &receipt(b"5", "13800138000"), Time(6));
        table.doubt(CHANNEL, tail("+8613800138000"), place(1), Time(5), Time(9));
        assert_eq!(table.claimable(CHANNEL, tail("+8613800138000")), [MessageId(90), MessageId(91)]);
        [90, 91].into_iter().for_each(|orphan| table.stranger(MessageId(orphan)));
        assert_eq!(table.reunite(MessageId(90), None, Time(9)), None);
        let (waiting, found) = table.reunite(MessageId(91), None, Time(9)).unwrap();
        assert_eq!((waiting.id, found.place), (MessageId(91), place(1)));
    }

    #[test]
    fn a_repeated_receipt_waits_once_and_says_the_most() {
        let mut table = Correlation::default();
        let say = |state| Receipt { state, ..receipt(b"5", "1") };
        assert!(table.keep(MessageId(1), CHANNEL, &say(ReceiptState::Intermediate), Time(0)).is_empty());
        assert_eq!(table.keep(MessageId(2), CHANNEL, &say(ReceiptState::Delivered), Time(0)), [MessageId(1)]);
        assert_eq!(table.keep(MessageId(3), CHANNEL, &say(ReceiptState::Failed), Time(0)), [MessageId(3)]);
        assert!(table.keep(MessageId(2), CHANNEL, &say(ReceiptState::Delivered), Time(0)).is_empty(), "read twice");
        assert_eq!(table.census(), [0, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn an_id_given_again_belongs_to_its_new_part() {
        let mut table = Correlation::default();
        let id = CarrierId::new(b"5");
        let mut first = AttemptState::new(AttemptRef(1), CHANNEL, crate::clock::Wall(0), 1);
        first.parts[0].id = Some(id.clone());
        table.submitted(CHANNEL, &id, place(1));
        table.submitted(CHANNEL, &id, place(2));
        table.forget(MessageId(1), &mut first, tail("1"));
        assert_eq!(find(&mut table, CHANNEL, &receipt(b"5", "1"), Time(0)), Some(place(2)));
    }

    #[test]
    fn a_receipt_counts_as_unmatched_once_and_not_while_its_answer_may_come() {
        let mut table = Correlation::default();
        table.keep(MessageId(1), CHANNEL, &receipt(b"1", "1"), Time(0));
        table.keep(MessageId(2), CHANNEL, &receipt(b"2", "1"), Time(0));
        table.submitted(CHANNEL, &CarrierId::new(b"1"), place(1));
        assert!(table.unmatched(Time(59_000_000)).is_empty());
        assert_eq!(table.unmatched(Time(60_000_000)), [CHANNEL]);
        assert!(table.unmatched(Time(99_000_000)).is_empty());
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
