//! Monotonic instants to wall-clock milliseconds, so that files of several processes can be laid side by side.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One pairing of the monotonic clock with the wall clock, taken once: differences inside a process stay exact
/// even when the wall clock is stepped.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    mono: Instant,
    wall_us: u64,
}

impl Clock {
    /// Pairs both clocks now.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { mono: Instant::now(), wall_us: wall.as_micros() as u64 }
    }

    /// When the pairing was made.
    pub fn started(&self) -> Instant {
        self.mono
    }

    /// Milliseconds since 1970 with microsecond digits.
    pub fn t_ms(&self, at: Instant) -> f64 {
        self.wall_us(at) as f64 / 1000.0
    }

    /// Whole seconds since 1970.
    pub fn seconds(&self, at: Instant) -> u64 {
        self.wall_us(at) / 1_000_000
    }

    fn wall_us(&self, at: Instant) -> u64 {
        match at.checked_duration_since(self.mono) {
            Some(later) => self.wall_us + later.as_micros() as u64,
            None => self.wall_us.saturating_sub((self.mono - at).as_micros() as u64),
        }
    }
}

/// Splits seconds since 1970 (UTC) into `[year, month, day, hour, minute, second]`.
pub fn civil(seconds: u64) -> [u32; 6] {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let of_day = (seconds % 86_400) as u32;
    [year as u32, month as u32, day as u32, of_day / 3600, of_day / 60 % 60, of_day % 60]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn civil_dates_match_known_moments() {
        assert_eq!(civil(0), [1970, 1, 1, 0, 0, 0]);
        assert_eq!(civil(951_782_399), [2000, 2, 28, 23, 59, 59]);
        assert_eq!(civil(951_782_400), [2000, 2, 29, 0, 0, 0]);
        assert_eq!(civil(1_700_000_000), [2023, 11, 14, 22, 13, 20]);
    }

    #[test]
    fn wall_time_follows_the_monotonic_clock() {
        let clock = Clock::start();
        let later = clock.started() + Duration::from_micros(1_500);
        let gap = clock.t_ms(later) - clock.t_ms(clock.started());
        assert!((gap - 1.5).abs() < 0.001, "{gap}");
    }
}
