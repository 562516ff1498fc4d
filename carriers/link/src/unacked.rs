//! How long octets of ours wait for the far side's kernel to acknowledge them. Pure: offsets and times go in, what to
//! tell and when to look again comes out.
//!
//! The kernel acknowledges whatever the carrier takes to answer, so this needs no learning; and it is seen without a
//! look per write: the first write after a look starts a watch, which looks ten times a second (twenty where nothing
//! comes) until all is acknowledged, and then not at all. When the oldest open octet was written is known to one look: of octets written
//! between two looks, the first write's time counts for all.
//!
//! | state | entered by | a write | a look |
//! |---|---|---|---|
//! | at rest | the start; a look at which all is acknowledged (zero is told, if an age was) | watching, look in [`LOOK`] | – |
//! | watching | a write at rest | remembered as the first since the last look | all acknowledged → at rest · the marked octets are, later ones not → the mark moves · else the age is told at each [`STEP`] it passes |

use std::time::Duration;

use tokio::time::Instant;

/// Between looks while nothing is old.
const LOOK: Duration = Duration::from_millis(100);
/// Ages are told from here on, and then at each [`STEP`] more.
const FIRST: Duration = Duration::from_millis(300);
/// See [`FIRST`].
const STEP: Duration = Duration::from_millis(50);
/// Looks never come closer than this.
const SHORTEST: Duration = Duration::from_millis(10);
/// A round trip up to here excuses nothing: four of it and 200 ms are within the usual 500 ms.
const SHORT_TRIP: Duration = Duration::from_millis(75);

/// What the kernel says at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Octets of ours acknowledged, counted as those written are.
    pub(crate) acked: u64,
    /// Since the last acknowledgement of any kind.
    pub(crate) since_ack: Duration,
    /// The smoothed round trip.
    pub(crate) trip: Duration,
}

/// The oldest octets that may be unacknowledged.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// One past the last of them.
    end: u64,
    /// When the first of them was written.
    since: Instant,
}

/// One connection's watch.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    mark: Option<Mark>,
    /// The first write since the last look.
    next: Option<Instant>,
    look_at: Option<Instant>,
    /// The age told last; zero if that was zero, or none ever.
    told: Duration,
    /// What the last look found acknowledged, and when that had last grown in this watch. An answer of the carrier is a
    /// segment that acknowledges something, too, but not always more.
    grown: Option<(u64, Instant)>,
}

impl Unacked {
    /// Octets were written. Cheap: only the first time after a look takes a clock.
    pub(crate) fn wrote(&mut self, clock: impl FnOnce() -> Instant) {
        if self.next.is_none() {
            let now = clock();
            self.next = Some(now);
            self.look_at = self.look_at.or(Some(now + LOOK));
        }
    }

    /// When to look, if at all.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// The kernel would not say: no more looks until the next write.
    pub(crate) fn blind(&mut self) {
        *self = Unacked { told: self.told, ..Unacked::default() };
    }

    /// Takes a look at which `written` octets had been written. Returns the age to tell: each [`STEP`] that it passes
    /// from [`FIRST`] on, and zero once it is over.
    pub(crate) fn look(&mut self, now: Instant, written: u64, look: Look) -> Option<Duration> {
        if look.acked >= written {
            *self = Unacked { told: self.told, ..Unacked::default() };
            return self.over();
        }
        // While the mark stands, `next` remembers the first write behind it. Where neither is known, it counts from now.
        let oldest = self.mark.filter(|mark| look.acked < mark.end);
        let mark = oldest.unwrap_or_else(|| Mark { end: written, since: self.next.take().unwrap_or(now) });
        self.mark = Some(mark);
        let grown = match self.grown {
            Some((acked, at)) if acked == look.acked => at,
            Some(_) => now.checked_sub(look.since_ack).unwrap_or(now),
            None => mark.since,
        };
        self.grown = Some((look.acked, grown));
        let excuse = look.trip.saturating_sub(SHORT_TRIP) * 4;
        let age = now.saturating_duration_since(mark.since.max(grown)).saturating_sub(excuse);
        let step = if age < FIRST { FIRST } else { self.told + STEP };
        self.look_at = Some(now + step.saturating_sub(age).clamp(SHORTEST, LOOK));
        if age < FIRST {
            return self.over();
        }
        if self.told.is_zero() || age >= self.told + STEP || age < self.told {
            self.told = age;
            self.look_at = Some(now + STEP);
            return Some(age);
        }
        None
    }

    fn over(&mut self) -> Option<Duration> {
        let told = std::mem::take(&mut self.told);
        (!told.is_zero()).then_some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn look(acked: u64, since_ack: Duration) -> Look {
        Look { acked, since_ack, trip: ms(1) }
    }

    /// Looks when it asks to, until `end`; what it tells, with the time.
    fn follow(
        watch: &mut Unacked,
        start: Instant,
        end: u64,
        kernel: impl Fn(u64) -> (u64, Look),
    ) -> Vec<(u64, Duration)> {
        let mut told = Vec::new();
        while let Some(at) = watch.look_at().filter(|at| *at <= start + ms(end)) {
            let now = (at - start).as_millis() as u64;
            let (written, look) = kernel(now);
            told.extend(watch.look(at, written, look).map(|age| (now, age)));
            assert!(watch.look_at().is_none_or(|next| next > at), "time goes on");
        }
        told
    }

    #[test]
    fn what_is_acknowledged_at_once_costs_one_look_and_then_none() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        assert_eq!(watch.look_at(), None);
        watch.wrote(|| start);
        watch.wrote(|| unreachable!("one clock per look"));
        assert_eq!(watch.look_at(), Some(start + LOOK));
        assert_eq!(watch.look(start + LOOK, 10, look(10, ms(99))), None);
        assert_eq!(watch.look_at(), None, "at rest");
    }

    #[test]
    fn silence_is_told_from_300_ms_on_at_each_step_whatever_is_written_meanwhile() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        let told = follow(&mut watch, start, 1_000, |now| (10 + now, look(0, LONG)));
        let expected: Vec<_> = (6..=20).map(|step| (step * 50, ms(step * 50))).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn it_is_over_once_when_all_is_acknowledged() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        let told = follow(&mut watch, start, 2_000, |now| match now {
            ..420 => (10, look(0, LONG)),
            _ => (10, look(10, ms(0))),
        });
        assert_eq!(told, [(300, ms(300)), (350, ms(350)), (400, ms(400)), (450, Duration::ZERO)]);
        assert_eq!(watch.look_at(), None);
        watch.wrote(|| start + ms(3_000));
        assert_eq!(
            follow(&mut watch, start, 3_320, |_| (20, look(10, LONG))),
            [(3_300, ms(300))],
            "and may come again"
        );
    }

    #[test]
    fn acknowledgements_that_arrive_excuse_what_is_still_open() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        assert_eq!(follow(&mut watch, start, 3_000, |now| (10_000, look(now, ms(40)))), []);
    }

    #[test]
    fn answers_that_still_arrive_excuse_nothing_while_no_more_is_acknowledged() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        let told = follow(&mut watch, start, 600, |now| (10 + now, look(7, ms(now % 60))));
        assert_eq!(told.first(), Some(&(300, ms(300))), "as the first look finds it acknowledged, so it stays");
    }

    #[test]
    fn traffic_on_a_healthy_connection_is_never_old() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        for now in 0..2_000 {
            watch.wrote(|| start + ms(now));
            if let Some(at) = watch.look_at().filter(|at| *at <= start + ms(now)) {
                // Everything but the last 20 ms is acknowledged; the kernel's own word is left out of it.
                assert_eq!(watch.look(at, now + 1, look(now.saturating_sub(20), LONG)), None, "at {now}");
            }
        }
    }

    #[test]
    fn octets_written_behind_the_mark_have_their_own_age() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        assert_eq!(watch.look(start + ms(100), 10, look(0, LONG)), None);
        watch.wrote(|| start + ms(150));
        assert_eq!(watch.look(start + ms(200), 20, look(0, LONG)), None);
        // The first ten are acknowledged: what is open is as old as 150.
        assert_eq!(watch.look(start + ms(440), 20, look(10, LONG)), None);
        assert_eq!(watch.look(start + ms(450), 20, look(10, LONG)), Some(ms(300)));
    }

    #[test]
    fn a_long_path_is_given_its_time() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        let far = Look { acked: 0, since_ack: LONG, trip: ms(200) };
        let told = follow(&mut watch, start, 1_000, |_| (10, far));
        assert_eq!(told.first(), Some(&(800, ms(300))), "4 round trips and 200 ms are 500 ms of age");
    }

    #[test]
    fn a_kernel_that_does_not_say_is_not_asked_for_ever() {
        let (mut watch, start) = (Unacked::default(), Instant::now());
        watch.wrote(|| start);
        watch.blind();
        assert_eq!(watch.look_at(), None);
    }
}
