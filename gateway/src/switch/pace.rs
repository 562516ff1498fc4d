//! The pace of a channel: parts per second by contract, whatever the mix of short and long messages.
//!
//! Two rules hold at once. A bucket of `burst` parts, filled at the rate of the moment (and smaller while that is cut), spreads parts over the second; a message longer
//! than the bucket may run it into debt, since its parts go back to back. A count over the last second then makes
//! sure that no one-second window carries more than the rate (or one burst, or one message, where that is more).
//!
//! The contract is kept where the carrier sees it: at the wire. A part counts from its grant until a second after it was
//! handed over ([`Pace::left`]), however long our disk or our machine took between the two: any part of a one-second
//! window at the wire was, at the last grant of those in it, either not yet handed over or handed over within that
//! second, and so was counted. Grants that are not handed over within half a second are handed back by the line.

use std::collections::VecDeque;
use std::time::Duration;

use super::rate::Rate;
use crate::clock::Time;

/// The span the contract speaks of.
const WINDOW: Duration = Duration::from_secs(1);
/// Parts closer together than this are counted as one entry, as old as its youngest part.
const GRAIN: Duration = Duration::from_millis(1);
/// Absorbs rounding of the level; the count over the window is exact.
const EPSILON: f64 = 1e-6;

/// Parts taken within one [`GRAIN`].
#[derive(Clone, Copy, Debug)]
struct Taken {
    first: Time,
    last: Time,
    parts: u32,
}

/// A channel's pace; its state outlives changes of the contract.
#[derive(Debug)]
pub(super) struct Pace {
    /// As of `at`.
    rate: Rate,
    /// By contract.
    burst: f64,
    /// Parts that may go, as of `at`; negative while in debt.
    level: f64,
    at: Time,
    /// Nothing goes before.
    opens: Time,
    /// What went in the last second, oldest first: at most one entry per grain.
    recent: VecDeque<Taken>,
    recent_parts: u32,
}

impl Pace {
    /// An empty bucket. What went in the second before is not known (the process may have just been restarted), so all
    /// of the contract counts as gone: nothing leaves for a second.
    pub(super) fn new(now: Time, rate: f64, burst: u32) -> Pace {
        let mut pace = Pace {
            rate: Rate::default(),
            burst: 1.0,
            level: 0.0,
            at: now,
            opens: now.after(WINDOW),
            recent: VecDeque::new(),
            recent_parts: 0,
        };
        pace.set(now, rate, burst);
        pace
    }

    /// It is known when a second will be over in which anything may have gone; earlier, and later, it may go at once.
    pub(super) fn opening(self, opens: Time) -> Pace {
        Pace { opens, ..self }
    }

    /// By contract.
    pub(super) fn contract(&self) -> f64 {
        self.rate.contract()
    }

    /// The carrier was away: slowly at first.
    pub(super) fn restart(&mut self, now: Time) {
        self.advance(now);
        self.rate.restart();
        self.level = self.level.min(self.bucket(self.rate));
    }

    /// A new contract from now on. What was saved or owed under the old one stays.
    pub(super) fn set(&mut self, now: Time, rate: f64, burst: u32) {
        self.advance(now);
        self.rate.set(rate);
        self.burst = f64::from(burst.max(1));
        self.level = self.level.min(self.bucket(self.rate));
    }

    /// A throttle answer of a carrier that took `accepted` parts in the last second: slower from now on, and nothing
    /// saved.
    pub(super) fn cut(&mut self, now: Time, accepted: u32) {
        self.advance(now);
        self.rate.cut(accepted);
        self.level = self.level.min(0.0);
    }

    /// Parts per second now.
    pub(super) fn rate_at(&self, now: Time) -> f64 {
        self.rate.after(now.since(self.at)).now()
    }

    fn advance(&mut self, now: Time) {
        if now <= self.at {
            return;
        }
        self.level = self.level_at(now);
        self.rate = self.rate.after(now.since(self.at));
        self.at = self.at.max(now);
    }

    /// The bucket's size at that rate.
    fn bucket(&self, rate: Rate) -> f64 {
        (self.burst * rate.share()).max(1.0)
    }

    /// An eighth of the bucket, and at least a part where it holds more than one: what lower tiers leave to the first.
    pub(super) fn reserve(&self) -> u32 {
        let bucket = self.bucket(self.rate) as u32;
        if bucket > 1 { (bucket / 8).max(1) } else { 0 }
    }

    /// Parts that may go now; negative while in debt.
    pub(super) fn level_at(&self, now: Time) -> f64 {
        if now <= self.at {
            return self.level;
        }
        let passed = now.since(self.at);
        (self.level + self.rate.parts(passed)).min(self.bucket(self.rate.after(passed)))
    }

    /// When `parts` may go leaving `reserve` in the bucket and in the second, if nothing else goes before; `now` or earlier: at once.
    pub(super) fn ready_at(&self, now: Time, parts: u8, reserve: u32) -> Time {
        self.level_ready(now, parts, reserve).max(self.window_ready(now, u32::from(parts) + reserve))
    }

    fn level_ready(&self, now: Time, parts: u8, reserve: u32) -> Time {
        // The bucket as of `at`: what is needed must not grow while it is waited for.
        let need = (f64::from(parts) + f64::from(reserve)).min(self.bucket(self.rate));
        let lack = need - self.level_at(now);
        if lack <= EPSILON {
            return now;
        }
        let micros = (self.rate.after(now.since(self.at)).seconds_for(lack) * 1e6).ceil();
        if micros < 1e15 { now.after(Duration::from_micros(micros as u64)) } else { Time::NEVER }
    }

    fn window_ready(&self, now: Time, parts: u32) -> Time {
        let limit = self.rate.contract().max(self.burst) as u32;
        let fits = |inside: u32| inside == 0 || inside + parts <= limit;
        let mut inside = self.recent_parts;
        let mut ready = now.max(self.opens);
        for taken in &self.recent {
            let leaves = taken.last.after(WINDOW);
            if leaves > now {
                if fits(inside) {
                    break;
                }
                ready = ready.max(leaves);
            }
            inside -= taken.parts;
        }
        ready
    }

    /// Takes `parts`; the caller asked [`Pace::ready_at`] before.
    pub(super) fn take(&mut self, now: Time, parts: u8) {
        self.advance(now);
        self.level -= f64::from(parts);
        while self.recent.front().is_some_and(|oldest| oldest.last.after(WINDOW) <= now) {
            self.recent_parts -= self.recent.pop_front().map_or(0, |oldest| oldest.parts);
        }
        self.count(now, u32::from(parts));
    }

    fn count(&mut self, now: Time, parts: u32) {
        self.recent_parts += parts;
        let newest = self.recent.back().map_or(now, |youngest| youngest.last.max(now));
        match self.recent.back_mut().filter(|youngest| now.since(youngest.first) < GRAIN) {
            Some(youngest) => {
                youngest.last = newest;
                youngest.parts += parts;
            }
            None => self.recent.push_back(Taken { first: now, last: newest, parts }),
        }
    }

    /// `parts` that were taken at `taken_at` are handed over only now: from now on they count as gone now.
    pub(super) fn left(&mut self, now: Time, taken_at: Time, parts: u8) {
        if now <= taken_at {
            return;
        }
        let within = |taken: &Taken| taken.first <= taken_at && taken_at <= taken.last;
        if let Some(newest) = self.recent.back_mut().filter(|newest| within(newest)) {
            newest.last = newest.last.max(now);
            return;
        }
        let at = self.recent.iter().rposition(within);
        match at.and_then(|at| self.recent.get_mut(at)) {
            Some(taken) => {
                let parts = u32::from(parts).min(taken.parts);
                taken.parts -= parts;
                self.recent_parts -= parts;
                self.count(now, parts);
            }
            None => self.count(now, u32::from(parts)),
        }
    }

    /// `parts` that were handed over earlier reach the wire only now: they count once more.
    pub(super) fn late(&mut self, now: Time, parts: u32) {
        self.count(now, parts);
    }

    /// Gives back `parts` that were taken at `taken_at` and never went.
    pub(super) fn give_back(&mut self, taken_at: Time, parts: u8) {
        self.level = (self.level + f64::from(parts)).min(self.bucket(self.rate));
        let entry = self.recent.iter_mut().rev().find(|taken| taken.first <= taken_at);
        if let Some(entry) = entry.filter(|taken| taken_at <= taken.last) {
            let parts = u32::from(parts).min(entry.parts);
            entry.parts -= parts;
            self.recent_parts -= parts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Time = Time(1_000_000);

    fn ms(n: u64) -> Time {
        START.after(Duration::from_millis(n))
    }

    /// An empty bucket of a process that has been running for a while.
    fn old(rate: f64, burst: u32) -> Pace {
        Pace::new(START, rate, burst).opening(START)
    }

    #[test]
    fn nothing_leaves_in_the_first_second_since_what_went_before_is_not_known() {
        for rate in [0.5, 10.0, 1_000.0] {
            let pace = Pace::new(START, rate, 4);
            assert_eq!(pace.ready_at(START, 1, 0), ms(if rate < 1.0 { 2_000 } else { 1_000 }), "{rate}");
        }
        let mut pace = Pace::new(START, 10.0, 1);
        pace.set(ms(500), 1_000.0, 50);
        assert_eq!(pace.ready_at(ms(500), 1, 0), ms(1_000), "a new contract changes nothing about that");
        let pace = Pace::new(START, 1_000.0, 4).opening(ms(300));
        assert_eq!(pace.ready_at(START, 1, 0), ms(300), "where the last of it is known to be older");
    }

    #[test]
    fn a_bucket_starts_empty_and_is_ready_when_it_says() {
        let mut pace = old(10.0, 1);
        assert_eq!(pace.ready_at(START, 1, 0), ms(100));
        pace.take(ms(100), 1);
        assert_eq!(pace.ready_at(ms(100), 1, 0), ms(200));
    }

    #[test]
    fn a_long_message_goes_at_once_and_is_paid_afterwards() {
        let mut pace = old(10.0, 1);
        assert_eq!(pace.ready_at(START, 8, 0), ms(100), "one token is enough to start eight parts");
        pace.take(ms(100), 8);
        assert_eq!(pace.ready_at(ms(100), 1, 0), ms(900), "seven owed and one to go");
        assert_eq!(pace.ready_at(ms(100), 8, 0), ms(1100), "sixteen parts never share a second");
    }

    #[test]
    fn a_message_longer_than_the_rate_goes_alone_in_its_second() {
        let mut pace = old(2.0, 1);
        pace.take(ms(500), 1);
        assert_eq!(pace.ready_at(ms(1000), 5, 0), ms(1500));
    }

    #[test]
    fn what_never_went_is_given_back() {
        let mut pace = old(10.0, 4);
        pace.take(ms(1000), 4);
        pace.give_back(ms(1000), 3);
        assert_eq!(pace.ready_at(ms(1000), 3, 0), ms(1000));
        assert_eq!(pace.recent_parts, 1);
    }

    #[test]
    fn a_new_rate_keeps_debt_and_savings() {
        let mut pace = old(10.0, 1);
        pace.take(ms(100), 8);
        pace.set(ms(100), 100.0, 2);
        assert_eq!(pace.ready_at(ms(100), 1, 0), ms(180), "eight owed parts at the new rate");
        pace.set(ms(1000), 100.0, 100);
        assert!(pace.level_at(ms(1000)) <= 2.0, "a larger bucket is not a full one");
    }

    #[test]
    fn the_reserve_stays_for_the_first_tier() {
        let mut pace = old(100.0, 16);
        let full = ms(1000);
        assert_eq!(pace.reserve(), 2);
        for _ in 0..14 {
            assert_eq!(pace.ready_at(full, 1, 2), full);
            pace.take(full, 1);
        }
        assert!(pace.ready_at(full, 1, 2) > full);
        assert_eq!(pace.ready_at(full, 2, 0), full);
    }

    proptest! {
        #[test]
        fn no_second_carries_more_than_the_contract(
            rate in 1u32..300,
            burst in 1u32..20,
            arrivals in prop::collection::vec((0u64..60_000, 1u8..12, 0u8..8), 1..400),
        ) {
            let mut pace = old(f64::from(rate), burst);
            let mut now = START;
            let mut sent: Vec<(Time, u32)> = Vec::new();
            let limit = rate.max(burst);
            for (gap, parts, unused) in arrivals {
                now = now.after(Duration::from_micros(gap));
                if unused == 7 {
                    pace.cut(now, u32::from(parts) * 4);
                    prop_assert!(pace.level_at(now) <= 0.0);
                }
                let ready = pace.ready_at(now, parts, 0);
                prop_assert!(ready != Time::NEVER);
                now = now.max(ready);
                prop_assert!(pace.ready_at(now, parts, 0) <= now, "ready when it said so");
                pace.take(now, parts);
                let unused = if unused == 0 { parts } else { 0 };
                pace.give_back(now, unused);
                sent.push((now, u32::from(parts - unused)));
            }
            for (i, (start, _)) in sent.iter().enumerate() {
                let window: Vec<u32> =
                    sent[i..].iter().take_while(|(at, _)| at.since(*start) < WINDOW).map(|(_, n)| *n).collect();
                let parts: u32 = window.iter().sum();
                prop_assert!(parts <= limit || window.len() == 1 || window.iter().filter(|n| **n > 0).count() == 1);
            }
        }

        /// Time between grant and hand-over: mostly none, now and then all stand still for a while.
        #[test]
        fn no_second_at_the_wire_carries_more_either_whatever_keeps_parts_back(
            rate in 1u32..300,
            burst in 1u32..20,
            arrivals in prop::collection::vec((0u64..60_000, 1u8..6, 0u64..8, 0u64..450_000), 1..400),
        ) {
            let mut pace = old(f64::from(rate), burst);
            let limit = rate.max(burst);
            let (mut now, mut stands) = (START, START);
            let mut granted: VecDeque<(Time, Time, u8)> = VecDeque::new();
            let mut wire: Vec<(Time, u32)> = Vec::new();
            for (gap, parts, luck, stall) in arrivals {
                now = now.after(Duration::from_micros(gap));
                if luck == 0 && now >= stands {
                    stands = now.after(Duration::from_micros(stall));
                }
                let ready = pace.ready_at(now, parts, 0).max(now);
                let leaves = |due: &(Time, Time, u8)| due.1 <= ready;
                while let Some((taken, due, parts)) = granted.front().copied().filter(leaves) {
                    granted.pop_front();
                    pace.left(due, taken, parts);
                    wire.push((due, u32::from(parts)));
                }
                // What left meanwhile counts until later.
                now = ready;
                if pace.ready_at(now, parts, 0) > now {
                    continue;
                }
                pace.take(now, parts);
                granted.push_back((now, now.max(stands), parts));
            }
            for (i, (start, first)) in wire.iter().enumerate() {
                let within = wire[i..].iter().take_while(|(at, _)| at.since(*start) < WINDOW);
                let (messages, parts) = within.fold((0, 0), |sum, (_, n)| (sum.0 + 1, sum.1 + n));
                prop_assert!(parts <= limit || messages == 1, "{parts} of {limit} from {start:?} ({first})");
            }
        }

        #[test]
        fn single_parts_reach_the_contract(rate in 1u32..2_000) {
            let mut pace = old(f64::from(rate), (rate / 50).max(1));
            let end = START.after(Duration::from_secs(5));
            let (mut now, mut sent) = (START, 0u32);
            while now < end {
                now = pace.ready_at(now, 1, 0);
                pace.take(now, 1);
                sent += 1;
            }
            prop_assert!(f64::from(sent) >= f64::from(rate) * 5.0 * 0.995 - 1.0, "{sent} of {}", rate * 5);
        }
    }
}
