//! What a channel has done lately: answers, receipts and the time to the answer, decayed. For the choice among channels;
//! nothing here takes a channel out of service.
//!
//! Old evidence fades, but the last of it only slowly: a channel that failed and then got nothing is not a good one by
//! and by, unless it has had no chance to prove itself for long.

use std::time::Duration;

use crate::clock::Time;

/// Answers and latencies count half after this long.
const ANSWERS: Duration = Duration::from_secs(60);
/// Receipts count half after this long.
const RECEIPTS: Duration = Duration::from_secs(300);
/// Parts started count half after this long.
const STARTS: Duration = Duration::from_secs(1);
/// As many samples fade [`SLOWER`] times as slowly.
const KEPT: f64 = 8.0;
const SLOWER: f64 = 20.0;
/// Good samples that everybody begins with: one failure is no verdict.
const CREDIT: f64 = 4.0;
/// Buckets of a quarter of an octave each, from 1 ms on.
const BUCKETS: usize = 68;

/// Good and bad ones.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    good: f64,
    bad: f64,
}

impl Tally {
    fn add(&mut self, good: bool) {
        *(if good { &mut self.good } else { &mut self.bad }) += 1.0;
    }

    fn len(self) -> f64 {
        self.good + self.bad
    }

    fn fade(&mut self, halves: f64) {
        let factor = fading(self.len(), halves);
        self.good *= factor;
        self.bad *= factor;
    }

    fn ratio(self) -> f64 {
        (self.good + CREDIT) / (self.len() + CREDIT)
    }
}

/// What is left of `samples` after so many half-lives, as a factor.
fn fading(samples: f64, halves: f64) -> f64 {
    let fast = (-halves).exp2();
    if samples * fast >= KEPT {
        return fast;
    }
    let slow = (-halves / SLOWER).exp2();
    if samples > KEPT { (KEPT / samples).min(slow) } else { slow }
}

/// Times to the answer.
#[derive(Clone, Debug)]
struct Latency {
    counts: [f32; BUCKETS],
    total: f32,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: [0.0; BUCKETS], total: 0.0 }
    }
}

impl Latency {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1_024);
        let octave = micros.ilog2();
        let quarter = (micros >> (octave - 2)) & 3;
        let at = ((octave as usize - 10) * 4 + quarter as usize).min(BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1.0;
            self.total += 1.0;
        }
    }

    fn fade(&mut self, halves: f64) {
        let factor = fading(f64::from(self.total), halves) as f32;
        self.counts.iter_mut().for_each(|count| *count *= factor);
        self.total = self.counts.iter().sum();
    }

    /// The time within which that share of the answers came, to a quarter of an octave.
    fn quantile(&self, share: f32) -> Option<Duration> {
        let mut left = self.total * share;
        if self.total < 0.5 {
            return None;
        }
        let at = self.counts.iter().position(|count| {
            left -= count;
            left <= 0.0
        });
        let at = at.unwrap_or(BUCKETS - 1) as u64;
        let micros = (1_024u64 << (at / 4)) / 4 * (4 + at % 4 + 1);
        Some(Duration::from_micros(micros))
    }
}

/// A channel's live statistics.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    at: Time,
    answers: Tally,
    receipts: Tally,
    latency: Latency,
    /// Parts started, decayed as of `started_at`.
    started: f64,
    started_at: Time,
}

impl Stats {
    pub(super) fn new(now: Time) -> Stats {
        Stats {
            at: now,
            answers: Tally::default(),
            receipts: Tally::default(),
            latency: Latency::default(),
            started: 0.0,
            started_at: now,
        }
    }

    /// The carrier answered after so long; `good`: without a failure of its own.
    pub(super) fn answered(&mut self, took: Duration, good: bool) {
        self.answers.add(good);
        self.latency.add(took);
    }

    /// No answer will come.
    pub(super) fn unanswered(&mut self) {
        self.answers.add(false);
    }

    /// A receipt decided about an attempt.
    pub(super) fn receipt(&mut self, delivered: bool) {
        self.receipts.add(delivered);
    }

    /// Parts are on their way.
    pub(super) fn started(&mut self, now: Time, parts: u8) {
        // Most start together, and the exponential is dear.
        if now != self.started_at {
            (self.started, self.started_at) = (self.flow(now), now);
        }
        self.started += f64::from(parts);
    }

    fn flow(&self, now: Time) -> f64 {
        self.started * (-now.since(self.started_at).as_secs_f64() / STARTS.as_secs_f64()).exp2()
    }

    /// Parts per second that were started of late.
    pub(super) fn rate(&self, now: Time) -> f64 {
        self.flow(now) * std::f64::consts::LN_2 / STARTS.as_secs_f64()
    }

    /// Lets evidence fade.
    pub(super) fn advance(&mut self, now: Time) {
        let passed = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let answers = passed / ANSWERS.as_secs_f64();
        self.answers.fade(answers);
        self.latency.fade(answers);
        self.receipts.fade(passed / RECEIPTS.as_secs_f64());
    }

    /// Share of answers that are not the channel's failure.
    pub(super) fn success(&self) -> f64 {
        self.answers.ratio()
    }

    /// Answers this rests on.
    pub(super) fn answers(&self) -> f64 {
        self.answers.len()
    }

    /// Share of receipts that say delivered; `None` without receipts.
    pub(super) fn delivered(&self) -> Option<f64> {
        (self.receipts.len() >= 0.5).then(|| self.receipts.ratio())
    }

    /// Receipts this rests on.
    pub(super) fn receipts(&self) -> f64 {
        self.receipts.len()
    }

    /// The time within which nine of ten answers came; `None` without answers.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.quantile(0.9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn one_failure_is_no_verdict_and_many_are() {
        let mut stats = Stats::new(at(0));
        assert_eq!((stats.success(), stats.delivered(), stats.latency()), (1.0, None, None));
        stats.unanswered();
        assert!(stats.success() > 0.75, "{}", stats.success());
        for _ in 0..40 {
            stats.answered(Duration::from_millis(20), false);
        }
        assert!(stats.success() < 0.1, "{}", stats.success());
    }

    #[test]
    fn evidence_fades_to_a_rest_that_is_forgotten_only_after_long() {
        let mut stats = Stats::new(at(0));
        for _ in 0..1_000 {
            stats.answered(Duration::from_millis(20), false);
        }
        stats.advance(at(60));
        assert!((stats.answers() - 500.0).abs() < 1.0, "half of it: {}", stats.answers());
        stats.advance(at(600));
        let (rest, bad) = (stats.answers(), stats.success());
        assert!((4.0..=8.0).contains(&rest) && bad < 0.5, "{rest} {bad}");
        stats.advance(at(6_000));
        assert!(stats.success() > 0.85, "after long it may be as good as any: {}", stats.success());
    }

    #[test]
    fn what_is_answered_now_outweighs_what_was() {
        let mut stats = Stats::new(at(0));
        for _ in 0..1_000 {
            stats.unanswered();
        }
        stats.advance(at(1_200));
        for _ in 0..40 {
            stats.answered(Duration::from_millis(5), true);
        }
        assert!(stats.success() > 0.8, "{}", stats.success());
    }

    #[test]
    fn latency_is_the_time_of_nine_answers_in_ten() {
        let mut stats = Stats::new(at(0));
        for ms in 1..=100 {
            stats.answered(Duration::from_millis(ms * 10), true);
        }
        let p90 = stats.latency().unwrap().as_millis();
        assert!((850..=1_150).contains(&p90), "{p90}");
        for _ in 0..2 {
            stats.answered(Duration::from_secs(100_000), true);
            stats.answered(Duration::ZERO, true);
        }
        assert!(stats.latency().is_some());
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut stats = Stats::new(at(0));
        for i in 0..1_000u64 {
            stats.started(Time(i * 10_000), 2);
        }
        let now = Time(10_000_000);
        assert!((stats.rate(now) - 200.0).abs() < 10.0, "{}", stats.rate(now));
        assert!(stats.rate(at(20)) < 1.0);
    }
}
