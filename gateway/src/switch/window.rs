//! How many parts a link may have open: the window of its contract, less while the carrier only queues what it is
//! given.
//!
//! Latency alone says nothing: a carrier may simply be far away, and what it takes is then window over latency. So a
//! window that is full while answers come much later than they once did is made smaller as a **trial**: where the carrier takes as
//! much as before, it was queueing, and the smaller window stays; where it takes less, it was distance, the window
//! comes back at once and that distance is the new measure.

use std::time::Duration;

use crate::clock::Time;

/// Answers that make up a look.
const LOOK: u32 = 64;
/// A look takes at least this long.
const LOOK_TIME: Duration = Duration::from_millis(500);
/// Answers later than this, as a multiple of the measure, look like queueing.
const LATE: f64 = 2.0;
/// Answers earlier than this, as a multiple of the measure, let the window grow.
const EARLY: f64 = 1.5;
/// Below that, no queue is worth a trial.
const LEAST_LATE: Duration = Duration::from_millis(20);
/// What a trial leaves of the window.
const SHRINK: f64 = 0.75;
/// What the carrier must still take for a trial to hold.
const AS_MUCH: f64 = 0.9;
/// Looks without another trial after one that failed; doubled each time it fails again.
const REST: u32 = 60;
/// Most looks without a trial.
const LONGEST_REST: u32 = 3_840;

/// A link's window.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// By contract.
    most: usize,
    now: usize,
    look: Look,
    /// Mean latency in microseconds that means no queueing; the least seen.
    measure: Option<f64>,
    /// Window and parts per second before the trial under way.
    trial: Option<(usize, f64)>,
    /// The rest of the old window's answers must be through before a trial is judged.
    skip: bool,
    rest: u32,
    next_rest: u32,
}

/// What a run of answers shows.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    since: Option<Time>,
    answers: u32,
    micros: u64,
    full: u32,
}

impl Window {
    /// The whole window.
    pub(super) fn new(most: usize) -> Window {
        Window {
            most,
            now: most,
            look: Look::default(),
            measure: None,
            trial: None,
            skip: false,
            rest: 0,
            next_rest: REST,
        }
    }

    /// By contract: a hard cap.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Slots that may be used now.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Slots that may be used now by a message of so many parts; one longer than the window has it alone.
    pub(super) fn room_for(&self, parts: usize) -> usize {
        self.now.max(parts).min(self.most)
    }

    /// The carrier was away: what was known of it counts no more. Starts with the least and doubles with each round of
    /// answers.
    pub(super) fn restart(&mut self) {
        *self = Window { now: self.least(), ..Window::new(self.most) };
    }

    /// Never less than a quarter, nor four.
    fn least(&self) -> usize {
        (self.most / 4).max(4).min(self.most)
    }

    /// A part was answered after that time, while so many slots were in use (with its own).
    pub(super) fn answered(&mut self, now: Time, took: Duration, used: usize) {
        let look = &mut self.look;
        let since = *look.since.get_or_insert(now);
        look.answers += 1;
        look.micros += u64::try_from(took.as_micros()).unwrap_or(0);
        // Lower tiers leave an eighth to the first.
        look.full += u32::from(used + self.now / 8 + 1 >= self.now);
        if self.measure.is_none() && self.now < self.most && look.answers as usize >= self.now {
            // After a restart, round by round.
            self.now = (self.now * 2).min(self.most);
            self.look = Look::default();
            return;
        }
        if look.answers < LOOK.max(self.now as u32) || now.since(since) < LOOK_TIME {
            return;
        }
        let seen = std::mem::take(look);
        if std::mem::take(&mut self.skip) {
            return;
        }
        let latency = seen.micros as f64 / f64::from(seen.answers);
        let rate = f64::from(seen.answers) / now.since(since).as_secs_f64();
        self.judge(latency, rate, seen.full * 10 >= seen.answers * 9);
    }

    fn judge(&mut self, latency: f64, rate: f64, full: bool) {
        let measure = *self.measure.get_or_insert(latency);
        self.rest = self.rest.saturating_sub(1);
        if let Some((window, before)) = self.trial.take()
            && full
        {
            if rate < before * AS_MUCH {
                (self.now, self.measure) = (window, Some(latency.max(measure)));
                (self.rest, self.next_rest) = (self.next_rest, (self.next_rest * 2).min(LONGEST_REST));
                self.skip = true;
                return;
            }
            self.next_rest = REST;
        }
        self.measure = Some(measure.min(latency));
        let late = latency > measure * LATE && latency > LEAST_LATE.as_micros() as f64;
        if full && late && self.rest == 0 && self.now > self.least() {
            self.trial = Some((self.now, rate));
            self.now = ((self.now as f64 * SHRINK) as usize).max(self.least());
            self.skip = true;
        } else if latency < measure * EARLY || !full {
            self.now = (self.now + 1.max(self.most / 16)).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// A carrier: each part takes `law(n)`, and it takes at most `capacity` parts per second one after the other.
    struct Carrier {
        capacity: f64,
        /// Least and most milliseconds of a part, apart from queueing.
        law: (u64, u64),
        free_at: u64,
        random: u64,
    }

    impl Carrier {
        fn new(capacity: f64, law: (u64, u64)) -> Carrier {
            Carrier { capacity, law, free_at: 0, random: 42 }
        }

        fn answers_at(&mut self, now: u64) -> u64 {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let span = (self.law.1 - self.law.0) * 1_000 + 1;
            let own = self.law.0 * 1_000 + (self.random >> 33) % span;
            self.free_at = self.free_at.max(now) + (1e6 / self.capacity) as u64;
            self.free_at.max(now + own)
        }
    }

    /// Keeps the window full for so long. Returns parts answered, and the least the window ever was.
    fn run(window: &mut Window, carrier: &mut Carrier, from: u64, seconds: u64) -> (u64, usize) {
        let mut open = BinaryHeap::new();
        let (mut now, mut answered, mut least) = (from, 0, window.now());
        while now < from + seconds * 1_000_000 {
            while open.len() < window.now() {
                open.push(Reverse((carrier.answers_at(now), now)));
            }
            let Some(Reverse((at, sent))) = open.pop() else { break };
            now = now.max(at);
            window.answered(Time(now), Duration::from_micros(now - sent), open.len() + 1);
            answered += 1;
            least = least.min(window.now());
        }
        (answered, least)
    }

    #[test]
    fn a_carrier_that_is_far_away_keeps_its_whole_window() {
        for law in [(300, 800), (20, 20), (15, 60), (800, 1_500), (2, 3)] {
            let mut window = Window::new(32);
            let mut carrier = Carrier::new(1e9, law);
            let (_, least) = run(&mut window, &mut carrier, 1, 600);
            assert_eq!(least, 32, "{law:?}");
        }
    }

    #[test]
    fn a_carrier_that_moves_away_loses_next_to_nothing() {
        let mut window = Window::new(32);
        run(&mut window, &mut Carrier::new(1e9, (100, 200)), 1, 60);
        let (answered, _) = run(&mut window, &mut Carrier::new(1e9, (600, 1_000)), 60_000_001, 600);
        let could = 32.0 * 600.0 / 0.8;
        assert!(answered as f64 > could * 0.97, "{answered} of {could}");
        assert_eq!(window.now(), 32);
    }

    #[test]
    fn a_carrier_that_only_queues_gets_a_smaller_window_and_takes_as_much() {
        let mut window = Window::new(32);
        let mut carrier = Carrier::new(1e9, (15, 25));
        run(&mut window, &mut carrier, 1, 30);
        let mut slow = Carrier::new(50.0, (15, 25));
        let (answered, _) = run(&mut window, &mut slow, 30_000_001, 60);
        assert!(window.now() <= 10, "{}", window.now());
        assert!(answered as f64 > 50.0 * 60.0 * 0.99, "{answered}");
        assert!(window.now() >= 8, "the floor");
        run(&mut window, &mut Carrier::new(1e9, (15, 25)), 100_000_001, 30);
        assert_eq!(window.now(), 32, "it grows back");
    }

    #[test]
    fn after_a_restart_it_doubles_with_each_round() {
        let mut window = Window::new(64);
        window.restart();
        assert_eq!((window.now(), window.most(), window.room_for(40)), (16, 64, 40));
        let mut carrier = Carrier::new(1e9, (300, 300));
        run(&mut window, &mut carrier, 1, 1);
        assert_eq!(window.now(), 64);
        let mut small = Window::new(2);
        small.restart();
        assert_eq!((small.now(), small.room_for(9)), (2, 2));
    }
}
