//! What answers of a channel usually take: a decayed histogram for the silence statistic, and a short and a long window
//! for "slower than usual". All links of a channel share one: they talk to the same account.

use std::sync::LazyLock;
use std::time::Duration;

use super::{Prior, Settings};
use crate::clock::Time;

/// Width of a bucket in microseconds.
const BUCKET: u64 = 10_000;
/// Buckets; the last takes everything from 10 s on.
const BUCKETS: usize = 1_001;
/// Until enough is known, the prior counts as so many answers beside those seen. With none seen it is all there is; after
/// a few dozen, silence on a fast carrier is told as such by a few parts, not only by what slow carriers take.
const PRIOR_WORTH: f64 = 8.0;
/// The usual prior's survival at each bucket's start.
static PRIOR_SURVIVAL: LazyLock<Vec<f64>> = LazyLock::new(|| survival(Prior::default()));
/// No survival is below this while the prior counts.
const PRIOR_FLOOR: f64 = 0.5 / 501.0;
/// The standard normal's 99.9th percentile.
const Z999: f64 = 3.090_232;
/// The cached quantile is looked at anew after so many samples.
const REFRESH: u64 = 256;

/// The histogram.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    counts: Vec<u32>,
    total: u32,
    seen: u64,
    /// log10 of the survival function at each bucket's start, as of `built` samples; empty: never built.
    log: Vec<f32>,
    built: u64,
    cold: bool,
    q999: Duration,
    prior: Prior,
    /// The prior's survival, where it is not the usual one.
    own: Option<Vec<f64>>,
}

impl Latency {
    pub(super) fn new() -> Latency {
        Latency {
            counts: vec![0; BUCKETS],
            total: 0,
            seen: 0,
            log: Vec::new(),
            built: 0,
            cold: true,
            q999: Prior::default().most,
            prior: Prior::default(),
            own: None,
        }
    }

    /// What to expect of answers until they are known.
    pub(super) fn expect(&mut self, prior: Prior) {
        if prior == self.prior {
            return;
        }
        self.prior = prior;
        self.own = (prior != Prior::default()).then(|| survival(prior));
        if self.cold {
            (self.q999, self.built) = (prior.most, 0);
        }
    }

    /// One answer.
    pub(super) fn record(&mut self, took: Duration, s: &Settings) {
        if let Some(count) = self.counts.get_mut(bucket(micros(took))) {
            *count = count.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
        self.seen += 1;
        if self.total >= s.samples.max(2) {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        if self.total >= s.cold && (self.cold || self.seen.is_multiple_of(REFRESH)) {
            self.cold = false;
            self.built = 0;
            self.q999 = self.quantile(0.999);
        }
    }

    /// Makes [`Latency::log_survival`] current, at most once in two percent more samples: 1,001 logarithms.
    pub(super) fn refresh(&mut self) {
        let stale = self.built == 0 || self.seen.saturating_sub(self.built) > u64::from(self.total / 50) + 10;
        if self.log.is_empty() || stale {
            self.log = if self.cold { self.mixed() } else { self.learned() };
            self.built = self.seen.max(1);
        }
    }

    fn learned(&self) -> Vec<f32> {
        let n = f64::from(self.total.max(1));
        let floor = 0.5 / (n + 1.0);
        let mut beyond = f64::from(self.total);
        let log = |count: &u32| {
            let survival = (beyond / n).max(floor);
            beyond -= f64::from(*count);
            survival.log10() as f32
        };
        self.counts.iter().map(log).collect()
    }

    /// Prior and answers together, each by what it counts.
    fn mixed(&self) -> Vec<f32> {
        let n = f64::from(self.total) + PRIOR_WORTH;
        let mut beyond = f64::from(self.total);
        let log = |(count, prior): (&u32, &f64)| {
            let survival = ((beyond + PRIOR_WORTH * prior) / n).max(PRIOR_FLOOR);
            beyond -= f64::from(*count);
            survival.log10() as f32
        };
        self.counts.iter().zip(self.own.as_ref().unwrap_or(&PRIOR_SURVIVAL)).map(log).collect()
    }

    /// log10 of the share of answers that take longer, as of the last refresh; 0 or less.
    pub(super) fn log_survival(&self, micros: u64) -> f64 {
        self.log.get(bucket(micros)).map_or(0.0, |log| f64::from(*log))
    }

    /// The latency below which this share of the answers stays.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        if self.cold {
            let z = if share >= 0.999 {
                Z999
            } else if share >= 0.99 {
                2.326
            } else if share >= 0.9 {
                1.282
            } else {
                0.0
            };
            return self.prior.median.mul_f64((sigma(self.prior) * z).exp());
        }
        let below = f64::from(self.total) * share;
        let mut sum = 0.0;
        let at = self.counts.iter().position(|count| {
            sum += f64::from(*count);
            sum >= below
        });
        Duration::from_micros((at.unwrap_or(BUCKETS) as u64 + 1) * BUCKET)
    }

    /// The 99.9th percentile, at most [`REFRESH`] samples old.
    pub(super) fn q999(&self) -> Duration {
        self.q999
    }

    /// Samples in the histogram.
    pub(super) fn samples(&self) -> u32 {
        self.total
    }

    /// Buckets that are not empty.
    pub(super) fn kept(&self) -> Vec<(u16, u32)> {
        kept(self.counts.iter().copied())
    }

    /// Takes buckets back, each divided by `by`.
    pub(super) fn restore(&mut self, kept: &[(u16, u32)], by: u32, s: &Settings) {
        for (at, count) in kept {
            if let Some(slot) = self.counts.get_mut(usize::from(*at)) {
                *slot = slot.saturating_add((count / by.max(1)).min(s.samples));
            }
        }
        self.total = self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
        while self.total >= s.samples.max(2) {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.seen += u64::from(self.total);
        self.cold = self.total < s.cold;
        self.built = 0;
        self.log.clear();
        if !self.cold {
            self.q999 = self.quantile(0.999);
        }
    }
}

fn bucket(micros: u64) -> usize {
    usize::try_from(micros / BUCKET).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

fn kept(counts: impl Iterator<Item = u32>) -> Vec<(u16, u32)> {
    (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// The law's width.
fn sigma(prior: Prior) -> f64 {
    (prior.most.as_secs_f64() / prior.median.as_secs_f64()).ln().max(1e-3) / Z999
}

fn survival(prior: Prior) -> Vec<f64> {
    let (median, sigma) = (prior.median.as_secs_f64() * 1e6, sigma(prior));
    let survival = |at: usize| match at {
        0 => 1.0,
        at => above((at as f64 * BUCKET as f64 / median).ln() / sigma),
    };
    (0..BUCKETS).map(survival).collect()
}

/// The standard normal's upper tail (Abramowitz and Stegun 26.2.17; error below 1e-7).
fn above(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum;
    if z < 0.0 { 1.0 - tail } else { tail }
}

/// Buckets of [`Slowness`]: eight to an octave, from 1 ms to 65 s.
const COARSE: usize = 128;
/// Seconds in the short window.
const SECONDS: usize = 5;
/// What a minute leaves of the baseline: e-folding in one hour.
const MINUTE: f32 = 0.983_5;
/// Weight of a slow phase's samples in the baseline: it must not become the measure of itself at once.
const SLOW_SHARE: f32 = 0.1;

/// Whether answers take longer than usual: 90th percentile of five seconds against that of an hour.
#[derive(Clone, Debug)]
pub(super) struct Slowness {
    slots: [[u16; COARSE]; SECONDS],
    second: u64,
    base: [f32; COARSE],
    minute: u64,
    /// Since when it is slow, and so slow that it is suspect.
    since: [Option<Time>; 2],
    /// Slow for long enough.
    pub(super) slow: bool,
    /// So slow, for long enough, that it is suspect.
    pub(super) suspect: bool,
}

impl Slowness {
    pub(super) fn new() -> Slowness {
        Slowness {
            slots: [[0; COARSE]; SECONDS],
            second: 0,
            base: [0.0; COARSE],
            minute: 0,
            since: [None; 2],
            slow: false,
            suspect: false,
        }
    }

    /// One answer; once a second the windows are compared.
    pub(super) fn record(&mut self, now: Time, took: Duration, s: &Settings) {
        let second = now.0 / 1_000_000;
        if second != self.second {
            self.compare(now, s);
            self.turn(second);
        }
        let at = coarse(took);
        if let Some(count) = self.slots.get_mut(second as usize % SECONDS).and_then(|slot| slot.get_mut(at)) {
            *count = count.saturating_add(1);
        }
        if let Some(weight) = self.base.get_mut(at) {
            *weight += if self.since[0].is_some() { SLOW_SHARE } else { 1.0 };
        }
    }

    fn turn(&mut self, second: u64) {
        let passed = (second.saturating_sub(self.second)).min(SECONDS as u64);
        for back in 0..passed {
            if let Some(slot) = self.slots.get_mut(((second - back) % SECONDS as u64) as usize) {
                *slot = [0; COARSE];
            }
        }
        self.second = second;
        let minutes = (second / 60).saturating_sub(self.minute);
        if minutes > 0 {
            let left = MINUTE.powi(i32::try_from(minutes).unwrap_or(i32::MAX));
            self.base.iter_mut().for_each(|weight| *weight *= left);
            self.minute = second / 60;
        }
    }

    fn compare(&mut self, now: Time, s: &Settings) {
        // A gap in the answers: the window is of another time.
        let fresh = now.0 / 1_000_000 <= self.second + SECONDS as u64;
        let (short, long) = (self.recent(s), self.baseline(s));
        let (slow, suspect) = match (short, long) {
            (Some(short), Some(long)) if fresh => {
                let more = short > long + s.slow_more.as_secs_f64() * 1e3;
                (more && short > long * s.slow_factor, more && short > long * s.slow_suspect)
            }
            _ => (false, false),
        };
        for (since, is) in self.since.iter_mut().zip([slow, suspect]) {
            *since = if is { since.or(Some(now)) } else { None };
        }
        let lasts = |since: Option<Time>| since.is_some_and(|since| now.since(since) >= s.slow_for);
        (self.slow, self.suspect) = (lasts(self.since[0]), lasts(self.since[1]));
    }

    fn recent(&self, s: &Settings) -> Option<f64> {
        let sums = |at: usize| self.slots.iter().filter_map(|slot| slot.get(at)).map(|n| f32::from(*n)).sum::<f32>();
        p90((0..COARSE).map(sums), f64::from(s.slow_least))
    }

    /// The baseline's 90th percentile in milliseconds.
    pub(super) fn baseline(&self, s: &Settings) -> Option<f64> {
        p90(self.base.iter().copied(), f64::from(s.cold))
    }

    /// Forgets the short window: the channel starts anew.
    pub(super) fn clear(&mut self) {
        self.slots = [[0; COARSE]; SECONDS];
        self.since = [None; 2];
        (self.slow, self.suspect) = (false, false);
    }

    pub(super) fn kept(&self) -> Vec<(u16, u32)> {
        kept(self.base.iter().map(|weight| *weight as u32))
    }

    pub(super) fn restore(&mut self, kept: &[(u16, u32)], by: u32) {
        for (at, count) in kept {
            if let Some(slot) = self.base.get_mut(usize::from(*at)) {
                *slot += (count / by.max(1)) as f32;
            }
        }
    }
}

fn coarse(took: Duration) -> usize {
    let eighths = (took.as_secs_f64() * 1e3).max(1.0).log2() * 8.0;
    (eighths as usize).min(COARSE - 1)
}

fn p90(counts: impl Iterator<Item = f32> + Clone, least: f64) -> Option<f64> {
    let total: f64 = counts.clone().map(f64::from).sum();
    if total < least.max(1.0) {
        return None;
    }
    let mut sum = 0.0;
    let at = counts.enumerate().find(|(_, count)| {
        sum += f64::from(*count);
        sum >= total * 0.9
    });
    at.map(|(at, _)| ((at as f64 + 0.5) / 8.0).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prior_is_the_lognormal_law_it_says() {
        let mut latency = Latency::new();
        latency.refresh();
        assert!((latency.log_survival(500_000) - 0.5_f64.log10()).abs() < 1e-3);
        assert!((latency.log_survival(1_990_000) + 3.0).abs() < 0.02);
        assert!((latency.log_survival(60_000_000) - (0.5_f64 / 501.0).log10()).abs() < 1e-3, "floor");
        assert_eq!(latency.quantile(0.999), Duration::from_secs(2));
    }

    #[test]
    fn another_prior_counts_until_answers_are_known() {
        let mut latency = Latency::new();
        latency.refresh();
        let prior = Prior { median: Duration::from_millis(40), most: Duration::from_millis(200) };
        latency.expect(prior);
        latency.refresh();
        assert!((latency.log_survival(40_000) - 0.5_f64.log10()).abs() < 1e-3);
        assert_eq!((latency.q999(), latency.quantile(0.5)), (prior.most, prior.median));
        let s = Settings::default();
        (0..s.cold).for_each(|_| latency.record(Duration::from_millis(700), &s));
        let learned = latency.q999();
        latency.expect(Prior::default());
        assert_eq!((latency.q999(), learned > Duration::from_millis(690)), (learned, true), "what is known is known");
    }

    #[test]
    fn a_fast_carrier_is_known_before_the_prior_is_forgotten() {
        let (s, mut latency) = (Settings::default(), Latency::new());
        let mut after = |answers: u32| {
            (0..answers).for_each(|_| latency.record(Duration::from_millis(20), &s));
            latency.refresh();
            latency.log_survival(300_000)
        };
        let (none, some, many) = (after(0), after(25), after(75));
        assert!(none > -0.1, "300 ms say nothing of an unknown carrier: {none}");
        assert!((some + 0.67).abs() < 0.02, "three times as many answers as the prior counts for: {some}");
        assert!(many < -1.1, "{many}");
        let last = after(399);
        let learned = after(1);
        assert!(latency.samples() == 500 && last - learned < 1.5 && learned < last, "{last} {learned}");
    }

    #[test]
    fn survival_follows_what_was_seen_and_never_falls_below_its_floor() {
        let (s, mut latency) = (Settings::default(), Latency::new());
        for i in 0..1_000 {
            latency.record(Duration::from_millis(100 + i % 100), &s);
        }
        latency.refresh();
        assert_eq!(latency.log_survival(90_000), 0.0);
        assert!((latency.log_survival(150_000) - 0.5_f64.log10()).abs() < 0.01);
        let floor = (0.5_f64 / 1_001.0).log10();
        assert!((latency.log_survival(300_000) - floor).abs() < 1e-3);
        assert_eq!(latency.quantile(0.5), Duration::from_millis(150));
        assert_eq!(latency.q999(), Duration::from_millis(200));
    }

    #[test]
    fn old_samples_fade() {
        let (s, mut latency) = (Settings::default(), Latency::new());
        (0..20_000).for_each(|_| latency.record(Duration::from_millis(900), &s));
        assert_eq!(latency.samples(), 10_000);
        (0..40_000).for_each(|_| latency.record(Duration::from_millis(50), &s));
        assert_eq!(latency.quantile(0.5), Duration::from_millis(60));
    }

    #[test]
    fn slow_is_twice_the_hour_and_half_a_second_more_for_three_seconds() {
        let (s, mut slowness) = (Settings::default(), Slowness::new());
        let mut at = 0;
        let mut go = |slowness: &mut Slowness, seconds: u64, took: u64| {
            for _ in 0..seconds * 20 {
                at += 50_000;
                slowness.record(Time(at), Duration::from_millis(took), &s);
            }
        };
        go(&mut slowness, 600, 400);
        assert!(!slowness.slow);
        go(&mut slowness, 60, 860);
        assert!(!slowness.slow, "more than twice, but not 500 ms more");
        go(&mut slowness, 200, 400);
        go(&mut slowness, 2, 1_400);
        assert!(!slowness.slow, "not yet");
        go(&mut slowness, 4, 1_400);
        assert!(slowness.slow && !slowness.suspect);
        go(&mut slowness, 6, 2_400);
        assert!(slowness.suspect);
        go(&mut slowness, 8, 400);
        assert!(!slowness.slow && !slowness.suspect);
    }
}
