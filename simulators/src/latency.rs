//! How long things take: durations as people write them, laws to draw them from, and a histogram to sum them up.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// Reads `"250ms"`, `"1.5s"`, `"10m"`, `"2h"`, `"40us"`; a bare number is milliseconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" | "" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("unknown unit `{other}`: use us, ms, s, m or h")),
    };
    let number: f64 = digits.trim().parse().map_err(|_| format!("`{text}` is not a duration such as \"250ms\""))?;
    seconds(number * seconds_per_unit)
}

fn seconds(value: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(value).map_err(|_| format!("{value} s is no possible duration"))
}

/// A duration in a scenario: `"100ms"` or a number of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Latency::deserialize(from)? {
            Latency::Fixed(length) => Ok(Span(length)),
            _ => Err(de::Error::custom("a single duration is wanted here, not a distribution")),
        }
    }
}

/// A law that durations are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Evenly between two lengths.
    Even {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Lognormal, as answer times of real message centres are.
    LogNormal {
        /// Half of the draws are shorter.
        median: Duration,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

impl Latency {
    /// No time at all.
    pub const NONE: Latency = Latency::Fixed(Duration::ZERO);

    /// Draws one length.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Duration {
        match *self {
            Latency::Fixed(length) => length,
            Latency::Even { min, max } => min + max.saturating_sub(min).mul_f64(rng.f64()),
            Latency::LogNormal { median, sigma } => median.mul_f64((sigma * normal(rng)).exp().min(1e6)),
        }
    }
}

/// One draw of the standard normal law (Box and Muller).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// The standard normal law's 99th percentile.
const Z99: f64 = 2.326_347_874;

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LatencyVisitor)
    }
}

struct LatencyVisitor;

impl<'de> Visitor<'de> for LatencyVisitor {
    type Value = Latency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds, \"100ms\", { min, max } or { median_ms, p99_ms }")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Latency, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Latency, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Latency, E> {
        seconds(value / 1e3).map(Latency::Fixed).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Latency, E> {
        duration(value).map(Latency::Fixed).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Latency, A::Error> {
        const FIELDS: &[&str] = &["min", "max", "median_ms", "p99_ms"];
        let [mut min, mut max, mut median, mut p99] = [None; 4];
        while let Some(key) = map.next_key::<String>()? {
            let slot = match key.as_str() {
                "min" => &mut min,
                "max" => &mut max,
                "median_ms" | "median" => &mut median,
                "p99_ms" | "p99" => &mut p99,
                other => return Err(de::Error::unknown_field(other, FIELDS)),
            };
            *slot = Some(map.next_value::<Span>()?.0);
        }
        match (min, max, median, p99) {
            (Some(min), Some(max), None, None) if min <= max => Ok(Latency::Even { min, max }),
            (None, None, Some(median), Some(p99)) if !median.is_zero() && median <= p99 => {
                Ok(Latency::LogNormal { median, sigma: (p99.as_secs_f64() / median.as_secs_f64()).ln() / Z99 })
            }
            _ => Err(de::Error::custom("either min <= max, or 0 < median_ms <= p99_ms")),
        }
    }
}

/// Counts lengths in buckets 1/64 wide of their size: quantiles good to 1.6 %, in constant memory.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

const STEPS: u32 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; ((64 - STEP_BITS + 1) * STEPS) as usize], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one length.
    pub fn record(&mut self, length: Duration) {
        let us = length.as_micros().min(u128::from(u64::MAX)) as u64;
        self.buckets[Self::bucket(us)] += 1;
        self.count += 1;
        self.max = self.max.max(length);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1e3
    }

    /// The length that a share `q` (0 to 1) of all does not exceed, in milliseconds; 0 when nothing was counted.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let wanted = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, many) in self.buckets.iter().enumerate() {
            seen += many;
            if seen >= wanted {
                return (Self::upper_us(index) / 1e3).min(self.max_ms());
            }
        }
        0.0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn bucket(us: u64) -> usize {
        if us < u64::from(STEPS) {
            return us as usize;
        }
        let exponent = 63 - us.leading_zeros() - STEP_BITS;
        ((exponent + 1) * STEPS + ((us >> exponent) as u32 - STEPS)) as usize
    }

    fn upper_us(index: usize) -> f64 {
        let (row, step) = (index as u32 / STEPS, index as u32 % STEPS);
        if row == 0 { f64::from(step) } else { f64::from(STEPS + step + 1) * f64::from(row - 1).exp2() - 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct One {
        l: Latency,
    }

    fn read(text: &str) -> Latency {
        toml::from_str::<One>(text).unwrap().l
    }

    #[test]
    fn durations_read_as_written() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("7"), Ok(Duration::from_millis(7)));
        for bad in ["", "fast", "-1s", "1e400s", "5 weeks", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lognormal_meets_its_median_and_p99() {
        let law = read("l = { median_ms = 480, p99_ms = 770 }");
        let mut rng = fastrand::Rng::with_seed(7);
        let mut histogram = Histogram::default();
        (0..100_000).for_each(|_| histogram.record(law.draw(&mut rng)));
        assert!((histogram.quantile_ms(0.5) - 480.0).abs() < 10.0, "{}", histogram.quantile_ms(0.5));
        assert!((histogram.quantile_ms(0.99) - 770.0).abs() < 25.0, "{}", histogram.quantile_ms(0.99));
    }

    #[test]
    fn laws_are_read_and_bad_ones_refused() {
        assert_eq!(read("l = 20"), Latency::Fixed(Duration::from_millis(20)));
        assert_eq!(read("l = '1s'"), Latency::Fixed(Duration::from_secs(1)));
        let even = read("l = { min = 10, max = '1s' }");
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let drawn = even.draw(&mut rng);
            assert!(drawn >= Duration::from_millis(10) && drawn <= Duration::from_secs(1));
        }
        for bad in ["l = { min = 2, max = 1 }", "l = { min = 1 }", "l = { mean = 1 }", "l = -1", "l = true"] {
            assert!(toml::from_str::<One>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantiles_are_good_to_two_percent() {
        let mut histogram = Histogram::default();
        (1..=10_000u64).for_each(|us| histogram.record(Duration::from_micros(us)));
        for (q, want) in [(0.5, 5.0), (0.99, 9.9), (1.0, 10.0)] {
            let got = histogram.quantile_ms(q);
            assert!((got - want).abs() / want < 0.02, "{q}: {got}");
        }
        assert_eq!(Histogram::default().quantile_ms(0.5), 0.0);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 10_001);
    }
}
