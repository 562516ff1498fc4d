//! The rate a channel really goes at: its contract, less after throttle answers, slowly back to the contract.
//!
//! A cut is a factor, the way back is a slope (as in TCP), so that the rate stays near what the carrier allows without
//! being told. The slope is computed from time: no timer.

use std::time::Duration;

use crate::clock::Time;

/// What a throttle answer leaves of the rate.
const CUT: f64 = 0.7;
/// Share of the contract gained back per second; also the least a cut leaves.
const GAIN: f64 = 0.02;
/// Share of the contract with which a channel starts after it was away, and how long it takes from there.
const RESTART: f64 = 0.1;
const RAMP: Duration = Duration::from_secs(10);
/// Parts per second that a restart leaves in any case.
const LEAST_RESTART: f64 = 1.0;
/// A slot of [`Accepted`].
const SLOT: Duration = Duration::from_millis(100);
/// Slots of one second.
const SLOTS: usize = 10;

/// Parts per second, as of a time its owner keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    contract: f64,
    now: f64,
    /// On its way up after a restart, not after a cut.
    ramps: bool,
}

impl Rate {
    /// A new contract. A rate that was cut stays where it is, unless the contract allows less.
    pub(super) fn set(&mut self, contract: f64) {
        let full = self.now >= self.contract;
        self.contract = if contract.is_finite() { contract.max(0.0) } else { 0.0 };
        self.now = if full { self.contract } else { self.now.min(self.contract) };
    }

    /// By contract.
    pub(super) fn contract(&self) -> f64 {
        self.contract
    }

    /// Parts per second now.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// The rate's share of the contract, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        if self.now < self.contract { self.now / self.contract } else { 1.0 }
    }

    /// The rate `passed` later.
    pub(super) fn after(&self, passed: Duration) -> Rate {
        let now = (self.now + self.gain() * passed.as_secs_f64()).min(self.contract);
        Rate { now, ..*self }
    }

    /// Parts that may go within `passed` from now.
    pub(super) fn parts(&self, passed: Duration) -> f64 {
        let (all, rising) = (passed.as_secs_f64(), self.seconds_to_contract());
        let slope = all.min(rising);
        self.now * slope + self.gain() * slope * slope / 2.0 + self.contract * (all - slope)
    }

    /// Seconds until so many parts may have gone; not finite where the contract is nothing.
    pub(super) fn seconds_for(&self, parts: f64) -> f64 {
        let (gain, rising) = (self.gain(), self.seconds_to_contract());
        let on_slope = (self.now + gain * rising / 2.0) * rising;
        if parts <= on_slope {
            return 2.0 * parts / (self.now + (self.now * self.now + 2.0 * gain * parts).sqrt());
        }
        rising + (parts - on_slope) / self.contract
    }

    /// A throttle answer. Where the carrier took far less in the last second than the rate allows, the rate is no
    /// measure of what the carrier allows, and the cut starts from what it took.
    pub(super) fn cut(&mut self, accepted: u32) {
        let accepted = f64::from(accepted);
        let from = if accepted < self.now / 2.0 { accepted } else { self.now };
        self.ramps = false;
        let least = self.gain().max(1.0);
        self.now = (from * CUT).max(least).min(self.now);
    }

    /// The channel was away: it starts slowly and is at its contract after [`RAMP`]. A rate already below stays there.
    pub(super) fn restart(&mut self) {
        let start = (self.contract * RESTART).max(LEAST_RESTART);
        self.now = self.now.min(start).min(self.contract);
        self.ramps = self.now < self.contract;
    }

    fn gain(&self) -> f64 {
        self.contract * if self.ramps { (1.0 - RESTART) / RAMP.as_secs_f64() } else { GAIN }
    }

    fn seconds_to_contract(&self) -> f64 {
        if self.now < self.contract { (self.contract - self.now) / self.gain() } else { 0.0 }
    }
}

/// How many parts the carrier took in about the last second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepted {
    slots: [u32; SLOTS],
    /// Number of the youngest slot, counted from the clock's origin.
    youngest: u64,
}

impl Accepted {
    /// One more.
    pub(super) fn add(&mut self, now: Time) {
        self.forget(now);
        if let Some(slot) = self.slots.get_mut(self.youngest as usize % SLOTS) {
            *slot = slot.saturating_add(1);
        }
    }

    /// In the last second, to a tenth of it.
    pub(super) fn count(&mut self, now: Time) -> u32 {
        self.forget(now);
        self.slots.iter().fold(0, |sum, slot| sum.saturating_add(*slot))
    }

    fn forget(&mut self, now: Time) {
        let current = (now.0 / SLOT.as_micros() as u64).max(self.youngest);
        for number in (self.youngest + 1..=current).take(SLOTS) {
            if let Some(slot) = self.slots.get_mut(number as usize % SLOTS) {
                *slot = 0;
            }
        }
        self.youngest = current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(contract: f64, now: f64) -> Rate {
        Rate { contract, now, ramps: false }
    }

    #[test]
    fn after_a_restart_it_is_at_its_contract_in_ten_seconds() {
        let mut rate = rate(200.0, 200.0);
        rate.restart();
        assert_eq!(rate.now(), 20.0);
        assert!((rate.after(Duration::from_secs(5)).now() - 110.0).abs() < 1e-9);
        assert_eq!(rate.after(Duration::from_secs(10)).now(), 200.0);
        rate.cut(20);
        let cut = rate.now();
        let later = rate.after(Duration::from_secs(10)).now();
        assert!((later - (cut + 40.0)).abs() < 1e-9, "from a cut, slowly: {later}");
        let mut slow = super::Rate { contract: 3.0, now: 3.0, ramps: false };
        slow.restart();
        assert_eq!(slow.now(), 1.0, "a part a second in any case");
    }

    #[test]
    fn a_cut_never_raises_and_leaves_a_floor() {
        let cut = |mut rate: Rate, accepted| {
            rate.cut(accepted);
            rate.now()
        };
        assert!((cut(rate(1000.0, 1000.0), 700) - 700.0).abs() < 1e-9);
        assert!((cut(rate(1000.0, 1000.0), 60) - 42.0).abs() < 1e-9, "from what was taken");
        assert_eq!(cut(rate(1000.0, 1000.0), 0), 20.0);
        assert_eq!(cut(rate(1000.0, 20.0), 20), 20.0);
        assert_eq!(cut(rate(10.0, 10.0), 0), 1.0);
        assert_eq!(cut(rate(0.5, 0.5), 0), 0.5);
        assert_eq!(cut(rate(0.0, 0.0), 9), 0.0);
    }

    #[test]
    fn it_recovers_with_time_alone_and_never_beyond_the_contract() {
        let cut = rate(100.0, 40.0);
        assert!((cut.after(Duration::from_secs(10)).now() - 60.0).abs() < 1e-9);
        assert_eq!(cut.after(Duration::from_secs(31)).now(), 100.0);
        assert!((cut.parts(Duration::from_secs(40)) - (70.0 * 30.0 + 100.0 * 10.0)).abs() < 1e-6);
        for parts in [0.5, 40.0, 2_099.0, 2_101.0, 9_000.0] {
            let passed = Duration::from_secs_f64(cut.seconds_for(parts));
            assert!((cut.parts(passed) - parts).abs() < 1e-4, "{parts}");
        }
        assert!(!rate(0.0, 0.0).seconds_for(1.0).is_finite());
    }

    #[test]
    fn a_new_contract_keeps_a_cut() {
        let mut cut = rate(100.0, 40.0);
        cut.set(1000.0);
        assert_eq!((cut.now(), cut.contract()), (40.0, 1000.0));
        cut.set(30.0);
        assert_eq!(cut.now(), 30.0);
        cut.set(90.0);
        assert_eq!(cut.now(), 90.0);
    }

    #[test]
    fn what_was_accepted_is_forgotten_after_a_second() {
        let mut accepted = Accepted::default();
        for ms in 0..3_000 {
            accepted.add(Time(7_000_000 + ms * 1_000));
        }
        let end = Time(10_000_000);
        assert!((900..=1_000).contains(&accepted.count(end)));
        assert!((400..=500).contains(&accepted.count(end.after(SLOT * 5))));
        assert_eq!(accepted.count(Time(90_000_000)), 0);
    }
}
