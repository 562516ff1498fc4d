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
