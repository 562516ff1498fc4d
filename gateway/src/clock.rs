//! Time inside the gateway: a monotonic count of microseconds for decisions, wall milliseconds for records.
//! Validity is a monotonic deadline in memory and wall time on disk, so a jump of the wall clock expires nothing.

use std::fmt;
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

/// RFC 3339 in UTC with milliseconds (`2026-03-01T08:30:00.250Z`).
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days since 0000-03-01 in eras of 400 years: leap days fall at the end of each counted year.
        let z = days + 719_468;
        let (era, day) = (z / 146_097, z % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + 400 * era + u64::from(month <= 2);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1_000)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_written_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Wall(ms).to_string(), text);
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
