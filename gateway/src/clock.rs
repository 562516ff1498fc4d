//! Time inside the gateway: a monotonic count of microseconds for decisions, wall milliseconds for records.
//! Validity is a monotonic deadline in memory and wall time on disk, so a jump of the wall clock expires nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds on the process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// Later than every time that occurs.
    pub const NEVER: Time = Time(u64::MAX);

    /// This time plus `d`, saturating at [`Time::NEVER`].
    pub fn after(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub u64);

/// Both clocks, read at one place.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub time: Time,
    /// Wall.
    pub wall: Wall,
}

impl Moment {
    /// The monotonic deadline of a wall time as seen now.
    pub fn deadline(&self, wall: Wall) -> Time {
        self.time.after(Duration::from_millis(wall.0.saturating_sub(self.wall.0)))
    }

    /// The wall time of a monotonic time as seen now.
    pub fn wall_of(&self, time: Time) -> Wall {
        if time >= self.time {
            Wall(self.wall.0.saturating_add((time.0 - self.time.0) / 1_000))
        } else {
            Wall(self.wall.0.saturating_sub((self.time.0 - time.0) / 1_000))
        }
    }
}

/// The process's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic count starts at one second, so that times before it can be written.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Clock { origin: now.checked_sub(Duration::from_secs(1)).unwrap_or(now) }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Moment {
        let time = Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { time, wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }

    /// The instant of a monotonic time, for timers.
    pub fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(Duration::from_micros(time.0))
    }
}

impl Wall {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T08:05:09.250Z`. Years beyond 9999 are written as they are.
    pub fn rfc3339(self) -> String {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Days since 1970-01-01 to year, month, day; counting years from March puts the leap day last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_read_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_704_067_199_001, "2023-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Wall(ms).rfc3339(), text);
        }
    }

    #[test]
    fn a_deadline_survives_a_jump_of_the_wall_clock() {
        let before = Moment { time: Time(5_000_000), wall: Wall(1_000_000) };
        let deadline = before.deadline(Wall(1_010_000));
        assert_eq!(deadline, Time(15_000_000));
        assert_eq!(before.wall_of(deadline), Wall(1_010_000));
        assert_eq!(before.deadline(Wall(0)), before.time, "what is past is due now");
    }
}
