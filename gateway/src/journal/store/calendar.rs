//! Which day it is, as far as days of messages are dropped for that: a wall clock that is far ahead for a while must not
//! cost them all.

use std::io;
use std::time::{Duration, Instant};

use super::day::Place;

/// The file that says it over restarts, among the days.
const FILE: &str = "today";
/// For so long a clock must have stood where it jumped to before days are dropped for it.
const PROOF: Duration = Duration::from_secs(24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The day it is taken to be. It follows the wall clock back, and ahead by one day at a time; what is further ahead was
/// either a jump or a time without anybody looking, and counts only once it has lasted.
pub(super) struct Calendar {
    today: u32,
    /// Since when the wall clock has been further ahead, and which day it said then.
    ahead: Option<(Instant, u32)>,
}

impl Calendar {
    /// Of what was written down, or else the newest day there is.
    pub(super) fn new(today: u32) -> Calendar {
        Calendar { today, ahead: None }
    }

    /// What it is by a wall clock that says that.
    pub(super) fn look(&mut self, wall: u32, now: Instant) -> u32 {
        if wall <= self.today.saturating_add(1) {
            (self.today, self.ahead) = (wall, None);
            return wall;
        }
        let even = |(since, first): (Instant, u32)| {
            let stood = now.saturating_duration_since(since);
            let days = u32::try_from(stood.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
            (first..=first.saturating_add(days).saturating_add(1)).contains(&wall).then_some(stood)
        };
        match self.ahead.and_then(even) {
            Some(stood) if stood >= PROOF => (self.today, self.ahead) = (wall, None),
            Some(_) => {}
            None => {
                if self.ahead.replace((now, wall)).is_none() {
                    tracing::warn!(
                        days = wall - self.today,
                        "the clock is far ahead of the store: no day of it is dropped for that \
                        before it has lasted a day"
                    );
                }
            }
        }
        self.today
    }
}

/// What was written down, if that reads.
pub(super) fn written(place: &Place) -> Option<u32> {
    let mut octets = [0; 16];
    let read = place.disk.open(&place.dir.join(FILE)).ok()?.read_at(&mut octets, 0).ok()?;
    std::str::from_utf8(octets.get(..read)?).ok()?.trim_end().parse().ok()
}

/// Writes down which day it is.
pub(super) fn write(place: &Place, today: u32) -> io::Result<()> {
    let (path, new) = (place.dir.join(FILE), place.dir.join(format!("{FILE}.new")));
    let file = place.disk.create(&new)?;
    file.write_at(format!("{today}\n").as_bytes(), 0)?;
    file.sync()?;
    place.disk.rename(&new, &path)?;
    place.disk.sync_dir(&place.dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_far_ahead_counts_once_it_has_lasted() {
        let start = Instant::now();
        let after = |hours: u64| start + Duration::from_secs(hours * 3600);
        let mut calendar = Calendar::new(100);
        // Day by day, and back by as many as it likes.
        for (wall, hours) in [(100, 0), (101, 20), (102, 44), (90, 45), (91, 60), (92, 84)] {
            assert_eq!(calendar.look(wall, after(hours)), wall);
        }
        // A year ahead for twenty hours, and for twenty more: no day goes for it.
        for hours in 85..105 {
            assert_eq!(calendar.look(457, after(hours)), 92);
        }
        assert_eq!(calendar.look(93, after(105)), 93);
        for hours in 106..126 {
            assert_eq!(calendar.look(458, after(hours)), 93);
        }
        // Nor while it jumps on and back.
        for hours in 126..200 {
            assert_eq!(calendar.look(if hours % 20 < 10 { 900 } else { 700 }, after(hours)), 93);
        }
        // What lasts is so, midnights among it.
        for hours in 200..224 {
            assert_eq!(calendar.look(800 + u32::from(hours > 210), after(hours)), 93);
        }
        assert_eq!(calendar.look(801, after(224)), 801);
        assert_eq!(calendar.look(802, after(240)), 802);
    }
}
