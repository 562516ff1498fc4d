//! The detector against a small model of a carrier, in simulated time: how soon it sees a fault, and that it sees none
//! where there is none. The full table: `cargo test --release -p gateway switch::health::tests::table -- --ignored
//! --nocapture`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Arrive,
    Answer(Time),
    Probe,
    Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing comes in, nothing is acknowledged.
    Blackhole,
    /// The kernel acknowledges; nothing is answered.
    Hung,
    /// Only probes are answered.
    Dead,
}

/// Channel 0 with one link, in a group with channel 1.
#[derive(Clone)]
struct World {
    health: Health<u8, u8>,
    now: u64,
    things: BinaryHeap<Reverse<(u64, Thing)>>,
    random: fastrand::Rng,
    /// Parts per second.
    rate: f64,
    fault: Fault,
    onset: u64,
    exposed: Option<u64>,
    /// Answers due before then come then.
    stall_until: u64,
    stalls: Vec<u64>,
    /// Answers come after 20 ms.
    quick: bool,
    /// Our own loop stands still this often (mean, µs) for 60 ms.
    own: Option<f64>,
    asleep_until: u64,
    next_own: u64,
    probes: u32,
    notes: Vec<Note<u8, u8>>,
    moved: Vec<Transition>,
}

fn group(members: &[(u8, f64)]) -> Group<u8, u8> {
    let member = |(channel, capacity): &(u8, f64)| Member {
        channel: *channel,
        capacity: *capacity,
        carrier: u32::from(*channel),
    };
    Group { id: 0, members: members.iter().map(member).collect() }
}

impl World {
    fn new(seed: u64, rate: f64) -> World {
        let mut health = Health::new(Settings::default());
        health.plan(Time(0), Settings::default(), &[0, 1], vec![group(&[(0, 100.0), (1, 100.0)])]);
        health.link_up(Time(0), 0, 0, true);
        health.link_up(Time(0), 1, 0, true);
        let mut world = World {
            health,
            now: 0,
            things: BinaryHeap::new(),
            random: fastrand::Rng::with_seed(seed),
            rate: 20.0,
            fault: Fault::None,
            onset: 0,
            exposed: None,
            stall_until: 0,
            stalls: Vec::new(),
            quick: false,
            own: None,
            asleep_until: 0,
            next_own: u64::MAX,
            probes: 0,
            notes: Vec::new(),
            moved: Vec::new(),
        };
        world.at(1, Thing::Arrive);
        world.run(120 * SECOND);
        world.rate = rate;
        world.run(140 * SECOND);
        assert_eq!(world.moved.iter().filter(|t| t.to == State::Suspect).count(), 0);
        world.moved.clear();
        world.probes = 0;
        world
    }

    fn at(&mut self, time: u64, thing: Thing) {
        self.things.push(Reverse((time, thing)));
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-(1.0 - self.random.f64()).ln() * mean) as u64
    }

    /// Median 480 ms, p99 770, p99.9 910; one in 2,000 takes 1–4 s.
    fn latency(&mut self) -> u64 {
        if self.quick {
            return 15_000 + self.random.u64(0..10_000);
        }
        if self.random.f64() < 0.000_5 {
            return SECOND + self.random.u64(0..3 * SECOND);
        }
        let (u, v) = (1.0 - self.random.f64(), self.random.f64());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        (480_000.0 * (0.203 * normal).exp()) as u64
    }

    /// Runs until then, or until something moves if `stop`.
    fn run_to(&mut self, end: u64, stop: bool) {
        while self.now < end {
            let event = self.things.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            // Our loop's timer is late by up to 2 ms.
            let due = self.health.deadline().0;
            let due = if due == u64::MAX { due } else { due.max(self.now) + self.random.u64(0..2_000) };
            if self.own.is_some() && self.next_own <= event.min(due) {
                self.asleep_until = self.next_own + 60_000;
                let mean = self.own.unwrap_or(1e6);
                self.next_own = self.asleep_until + self.exponential(mean);
            }
            let next = event.min(due).max(self.asleep_until).min(end).max(self.now);
            self.now = next;
            if let Some(at) = self.stalls.last().copied().filter(|at| *at <= next) {
                self.stalls.pop();
                self.stall_until = at + 200_000 + self.exponential(300_000.0);
            }
            while let Some(Reverse((at, thing))) = self.things.peek().copied() {
                if at > next {
                    break;
                }
                self.things.pop();
                self.happen(thing);
            }
            self.examine();
            if stop && self.moved.iter().any(|t| t.from == State::Healthy) {
                return;
            }
        }
    }

    fn run(&mut self, end: u64) {
        self.run_to(end, false);
    }

    fn examine(&mut self) {
        self.health.examine(Time(self.now), &mut self.notes);
        for note in std::mem::take(&mut self.notes) {
            match note {
                Note::Probe(0, 0) => {
                    self.probes += 1;
                    let answer = self.now + 15_000 + self.random.u64(0..45_000);
                    self.at(answer, Thing::Probe);
                }
                Note::Moved(0, transition) => self.moved.push(transition),
                _ => {}
            }
        }
    }

    fn happen(&mut self, thing: Thing) {
        let now = Time(self.now);
        let held = self.now < self.stall_until;
        match thing {
            Thing::Arrive => {
                if self.fault != Fault::None && self.exposed.is_none() {
                    self.exposed = Some(self.now);
                    if self.fault == Fault::Blackhole {
                        self.at(self.now + 20_000, Thing::Socket);
                    }
                }
                self.health.sent(now, 0, 0, 1);
                let answer = self.now + self.latency();
                self.at(answer, Thing::Answer(now));
                let next = self.now + self.exponential(1e6 / self.rate).max(1);
                self.at(next, Thing::Arrive);
            }
            Thing::Answer(_) | Thing::Probe if held => self.at(self.stall_until, thing),
            Thing::Answer(sent) if self.fault == Fault::None => {
                self.health.ended(now, 0, 0, sent, Sign::Answer);
            }
            Thing::Probe if matches!(self.fault, Fault::None | Fault::Dead) => self.health.probe_answered(now, 0, 0),
            Thing::Answer(_) | Thing::Probe => {}
            Thing::Socket => {
                let age = self.exposed.map_or(0, |since| self.now - since);
                self.health.unacked(now, 0, 0, Duration::from_micros(age));
                self.at(self.now + 20_000, Thing::Socket);
            }
        }
    }
}

/// p50 and p99 in milliseconds of the time from the first part sent into the fault, and from its onset, to SUSPECT.
fn detection(fault: Fault, rate: f64, faults: usize) -> [u64; 4] {
    let warm = World::new(7, rate);
    let (mut exposed, mut onset) = (Vec::new(), Vec::new());
    for seed in 0..faults as u64 {
        let mut world = warm.clone();
        world.random = fastrand::Rng::with_seed(seed);
        let start = world.now + 2 * SECOND + world.random.u64(0..SECOND);
        world.run(start);
        (world.fault, world.onset) = (fault, world.now);
        let end = world.now + 120 * SECOND;
        world.run_to(end, true);
        assert!(world.moved.iter().any(|t| t.to == State::Suspect), "{fault:?} at {rate}/s, seed {seed}: not seen");
        let first = world.exposed.unwrap_or(world.now).min(world.now);
        exposed.push((world.now - first) / 1_000);
        onset.push((world.now - world.onset) / 1_000);
    }
    exposed.sort_unstable();
    onset.sort_unstable();
    let at = |all: &[u64], share: f64| all[((all.len() - 1) as f64 * share) as usize];
    [at(&exposed, 0.5), at(&exposed, 0.99), at(&onset, 0.5), at(&onset, 0.99)]
}

/// False alarms, probes per minute.
fn false_alarms(rate: f64, hours: u64, stalls: u64, seed: u64) -> (usize, f64) {
    let mut world = World::new(seed, rate);
    let start = world.now;
    world.stalls = (0..stalls).map(|_| start + world.random.u64(0..hours * HOUR)).collect();
    world.stalls.sort_unstable_by(|a, b| b.cmp(a));
    world.run(start + hours * HOUR);
    let false_alarms = world.moved.iter().filter(|t| t.from == State::Healthy).count();
    (false_alarms, f64::from(world.probes) / (hours as f64 * 60.0))
}

#[test]
fn faults_are_seen_within_the_promise() {
    for (rate, promise) in [(5.0, 1_000), (20.0, 600), (100.0, 600)] {
        for fault in [Fault::Blackhole, Fault::Hung] {
            let [p50, p99, ..] = detection(fault, rate, 40);
            assert!(p99 <= promise, "{fault:?} at {rate}/s: p50 {p50} ms, p99 {p99} ms");
        }
    }
    let [p50, p99, ..] = detection(Fault::Dead, 20.0, 40);
    assert!(p99 <= 1_000, "answers probes only, at 20/s: p50 {p50} ms, p99 {p99} ms");
}

#[test]
fn a_healthy_day_has_no_alarm() {
    for (rate, hours) in [(1.0, 24), (5.0, 8), (20.0, 1)] {
        let (alarms, probes) = false_alarms(rate, hours, 0, 11);
        assert_eq!(alarms, 0, "at {rate}/s");
        assert!(probes < 6.0, "{probes} probes a minute at {rate}/s");
    }
}

#[test]
fn a_day_with_stalls_has_few_alarms() {
    // 24 stalls in fewer hours at the higher rate: the time between them costs most.
    for (rate, hours) in [(1.0, 24), (5.0, 6)] {
        let (alarms, _) = false_alarms(rate, hours, 24, 12);
        assert!((1..=12).contains(&alarms), "{alarms} at {rate}/s");
    }
}

#[test]
#[ignore = "the full table takes minutes"]
fn table() {
    let rates = [1.0, 5.0, 20.0, 100.0, 500.0];
    for fault in [Fault::Blackhole, Fault::Hung, Fault::Dead] {
        for rate in rates {
            let [p50, p99, o50, o99] = detection(fault, rate, 400);
            println!("{fault:?} at {rate}/s: exposed {p50}/{p99}, onset {o50}/{o99} ms");
        }
    }
    for (rate, hours, runs) in [(1.0, 24, 10), (5.0, 24, 10), (20.0, 24, 10), (100.0, 6, 4), (500.0, 2, 3)] {
        for stalls in [0, hours] {
            let alarms: Vec<_> = (0..runs).map(|seed| false_alarms(rate, hours, stalls, 20 + seed)).collect();
            println!("{rate}/s, {hours} h, {stalls} stalls: false alarms and probes/min {alarms:?}");
        }
    }
}

#[test]
fn jitter_of_our_own_loop_is_no_evidence_against_a_quick_carrier() {
    for rate in [2.0, 200.0] {
        let mut world = World::new(3, rate);
        world.quick = true;
        world.run(world.now + 600 * SECOND);
        world.moved.clear();
        (world.own, world.next_own) = (Some(300_000.0), world.now);
        world.run(world.now + 600 * SECOND);
        assert_eq!(world.moved, [], "at {rate}/s");
        world.own = None;
        (world.fault, world.onset) = (Fault::Hung, world.now);
        world.run_to(world.now + 60 * SECOND, true);
        let first = world.exposed.unwrap_or(world.now).min(world.now);
        assert!(world.now - first < SECOND, "a real fault is seen after {} µs at {rate}/s", world.now - first);
    }
}

#[test]
#[ignore = "a measurement: run it with --release"]
fn cost_per_part() {
    let mut health: Health<u8, u8> = Health::new(Settings::default());
    health.plan(Time(0), Settings::default(), &[0, 1], vec![group(&[(0, 100.0), (1, 100.0)])]);
    health.link_up(Time(0), 0, 0, true);
    health.link_up(Time(0), 1, 0, true);
    let (mut notes, parts) = (Vec::new(), 1_000_000_u64);
    let start = std::time::Instant::now();
    // 2,000 parts a second, answered after half a second: 1,000 in flight.
    for i in 0..parts {
        let now = Time(SECOND + i * 500);
        health.sent(now, 0, 0, 1);
        if i >= 1_000 {
            let swap = if i % 2 == 0 { i - 999 } else { i - 1_001 }.max(1);
            health.ended(now, 0, 0, Time(SECOND + swap * 500), Sign::Answer);
        }
        health.examine(now, &mut notes);
        assert!(health.usable(0, 0, true).allowed() || i == 0);
    }
    println!("{:.0} ns per part", start.elapsed().as_nanos() as f64 / parts as f64);
}
