//! Which day it is, as far as days of messages are dropped for that: a wall clock that is far ahead for a while must not
//! cost them all.

use std::io;
use std::time::{Duration, Instant};

use super::day::Place;
use super::day_of;
use crate::ids::MessageId;

/// The file that says it over restarts, among the days.
const FILE: &str = "today";
/// Hours that a clock must have stood where it jumped to before days are dropped for it.
const PROOF: u64 = 24;

/// The first day that a message can be of. Before that a clock has not been set.
fn first() -> u32 {
    day_of(MessageId(0).wall())
}

/// The day it is taken to be. It follows the wall clock back, and ahead by one day at a time; what is further ahead was
/// either a jump or a time without anybody looking, and counts only once it has lasted.
pub(super) struct Calendar {
    today: u32,
    ahead: Option<Ahead>,
}

/// A wall clock that is further ahead, and stands there.
struct Ahead {
    /// The day it said at first, or when that was written down last in an earlier life,
    day: u32,
    /// hours it had stood there until then,
    before: u64,
    /// when this life saw it first, if it has,
    since: Option<Instant>,
    /// and the day it said last.
    last: u32,
}

impl Ahead {
    fn stood(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn hours(&self, now: Instant) -> u64 {
        self.before.saturating_add(self.stood(now).as_secs() / 3600)
    }

    /// Whether it goes on from there. How long there was no life nobody knows: a day at most.
    fn is_even(&self, wall: u32, now: Instant) -> bool {
        let days = u32::try_from(self.stood(now).as_secs() / (24 * 3600)).unwrap_or(u32::MAX);
        (self.day..=self.day.saturating_add(days).saturating_add(1)).contains(&wall)
    }
}

/// What is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    today: u32,
    /// The day a wall clock said that is further ahead, and how many hours it has stood there.
    ahead: Option<(u32, u64)>,
}

impl Written {
    /// The same but for the day the clock says: not to be written again for that.
    fn is_like(&self, other: &Written) -> bool {
        (self.today, self.ahead.map(|ahead| ahead.1)) == (other.today, other.ahead.map(|ahead| ahead.1))
    }
}

impl Calendar {
    /// Of what was written down, or else the newest day there is.
    pub(super) fn new(written: Option<Written>, newest: u32) -> Calendar {
        let Written { today, ahead } = written.unwrap_or(Written { today: newest, ahead: None });
        Calendar { today, ahead: ahead.map(|(day, before)| Ahead { day, before, since: None, last: day }) }
    }

    /// What it is by a wall clock that says that.
    pub(super) fn look(&mut self, wall: u32, now: Instant) -> u32 {
        if wall < first() {
            return self.today;
        }
        // Of a day before the first nothing was known.
        if wall <= self.today.saturating_add(1) || self.today < first() {
            (self.today, self.ahead) = (wall, None);
            return wall;
        }
        match self.ahead.as_mut().filter(|ahead| ahead.is_even(wall, now)) {
            Some(ahead) => {
                ahead.since.get_or_insert(now);
                ahead.last = wall;
                if ahead.hours(now) >= PROOF {
                    (self.today, self.ahead) = (wall, None);
                }
            }
            None => {
                let ahead = Ahead { day: wall, before: 0, since: Some(now), last: wall };
                if self.ahead.replace(ahead).is_none() {
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

    /// What is to be written down, if that is not what was: once a day, or once an hour while the clock is further ahead.
    pub(super) fn due(&self, last: Option<Written>, now: Instant) -> Option<Written> {
        let ahead = self.ahead.as_ref().map(|ahead| (ahead.last, ahead.hours(now))).filter(|(_, hours)| *hours > 0);
        let due = Written { today: self.today, ahead };
        (!last.is_some_and(|last| last.is_like(&due))).then_some(due)
    }
}

/// What was written down, if that reads and is a day that can be.
pub(super) fn written(place: &Place) -> Option<Written> {
    let mut octets = [0; 64];
    let read = place.disk.open(&place.dir.join(FILE)).ok()?.read_at(&mut octets, 0).ok()?;
    let mut words = std::str::from_utf8(octets.get(..read)?).ok()?.split_whitespace();
    let today = words.next()?.parse().ok().filter(|today| *today >= first())?;
    let mut ahead = || Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?));
    Some(Written { today, ahead: ahead() })
}

/// Writes down which day it is.
pub(super) fn write(place: &Place, Written { today, ahead }: Written) -> io::Result<()> {
    let (path, new) = (place.dir.join(FILE), place.dir.join(format!("{FILE}.new")));
    let file = place.disk.create(&new)?;
    let ahead = ahead.map(|(day, hours)| format!(" {day} {hours}")).unwrap_or_default();
    file.write_at(format!("{today}{ahead}\n").as_bytes(), 0)?;
    file.sync()?;
    place.disk.rename(&new, &path)?;
    place.disk.sync_dir(&place.dir)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::disk::Files;
    use super::*;

    /// The days of the tests begin here.
    const DAY: u32 = 20_000;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_clock_that_is_far_ahead_counts_once_it_has_lasted() {
        let start = Instant::now();
        let mut calendar = Calendar::new(None, DAY + 100);
        let mut look = |wall: u32, after: u64| calendar.look(DAY + wall, start + hours(after)) - DAY;
        // Day by day, and back by as many as it likes.
        for (wall, hours) in [(100, 0), (101, 20), (102, 44), (90, 45), (91, 60), (92, 84)] {
            assert_eq!(look(wall, hours), wall);
        }
        // A year ahead for twenty hours, and for twenty more: no day goes for it.
        for hours in 85..105 {
            assert_eq!(look(457, hours), 92);
        }
        assert_eq!(look(93, 105), 93);
        for hours in 106..126 {
            assert_eq!(look(458, hours), 93);
        }
        // Nor while it jumps on and back.
        for hours in 126..200 {
            assert_eq!(look(if hours % 20 < 10 { 900 } else { 700 }, hours), 93);
        }
        // What lasts is so, midnights among it.
        for hours in 200..224 {
            assert_eq!(look(800 + u32::from(hours > 210), hours), 93);
        }
        assert_eq!(look(801, 224), 801);
        assert_eq!(look(802, 240), 802);
    }

    #[test]
    fn a_clock_that_was_never_set_counts_for_nothing() {
        let now = Instant::now();
        let mut calendar = Calendar::new(None, 0);
        assert_eq!((calendar.look(0, now), calendar.look(DAY, now)), (0, DAY), "nothing was known");
        assert_eq!(
            (calendar.look(1, now), calendar.look(DAY + 1, now)),
            (DAY, DAY + 1),
            "nor does it go back for that"
        );
    }

    /// Lives of some hours each, from one to the next of which only what is on disk goes.
    #[test]
    fn what_it_has_stood_adds_up_over_lives() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { disk: Arc::new(Files), dir: dir.path().into(), fresh: 1 };
        let (start, mut writes) = (Instant::now(), 0);
        let mut live = |from: u64, to: u64, ahead: u32| {
            let mut written = written(&place);
            let mut calendar = Calendar::new(written, DAY);
            (from * 60..=to * 60).step_by(10).fold(0, |_, minutes| {
                let (wall, now) = (DAY + ahead + minutes as u32 / 1_440, start + Duration::from_secs(minutes * 60));
                calendar.look(wall, now);
                if let Some(due) = calendar.due(written, now) {
                    write(&place, due).unwrap();
                    written = Some(due);
                    writes += 1;
                }
                calendar.today - DAY
            })
        };
        assert_eq!(live(0, 1, 0), 0);
        // After four days off, eight hours a day.
        assert_eq!((live(100, 108, 0), live(124, 132, 0)), (0, 0));
        // Where it is elsewhere meanwhile that begins anew.
        assert_eq!((live(133, 134, 400), live(148, 156, 0), live(172, 180, 0)), (0, 0, 0));
        assert_eq!(live(196, 203, 0), 0);
        assert_eq!(live(220, 221, 0), 9, "it has lasted");
        assert_eq!(live(244, 245, 0), 10);
        assert!(writes < 50, "{writes}");
        // What a clock that was never set had written down is none.
        write(&place, Written { today: 0, ahead: None }).unwrap();
        assert_eq!(written(&place), None);
    }
}
