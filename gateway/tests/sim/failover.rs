//! Two carriers, the first of which stops answering: how soon traffic moves, what it costs, and that nothing is lost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use carriers::{Doubt, Ticket};
use fastrand::Rng;
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, InDoubt, TierId};
use gateway::ids::MessageId;
use gateway::switch::{Answer, ChannelRule, Command, Event, GroupRule, Message, Settings, Switch, TierRule, health};
use link::LinkId;

const START: Time = Time(1_000_000);
/// Answers before the fault, so that the carrier is known.
const KNOWN: u64 = 800;
/// How long the fault lasts.
const LASTS: Duration = Duration::from_secs(8);
/// How long messages come after that.
const AFTER: Duration = Duration::from_secs(5);
/// A session gives up waiting after this.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Answers are kept, and come when it is over.
    Hang,
    /// Nothing is answered, ever.
    Mute,
    /// Probes are answered.
    PingsOnly,
    /// Nothing is acknowledged.
    Blackhole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Accept,
    Answer(LinkId, Ticket),
    GiveUp(LinkId, Ticket),
    Pong(LinkId),
    Unacked(LinkId),
    Mend,
}

#[derive(Debug, Default)]
struct Seen {
    /// The first part that met the fault.
    exposed: Option<Time>,
    /// The first start on the backup after that.
    moved: Option<Time>,
    /// The longest wait for a first start of what came after the fault.
    waited: Duration,
    /// Said by the switch.
    failed_over: Vec<Duration>,
    starts: BTreeMap<MessageId, u32>,
    taken: BTreeSet<MessageId>,
    first_start: BTreeMap<MessageId, Time>,
    /// The first start on the first carrier that is mended.
    back: Option<Time>,
    /// First starts of messages in the last three seconds, on the first carrier and in all.
    late: (u32, u32),
    resubmitted: u32,
    hedged: u32,
    suspected: u32,
    exhausted: u32,
}

struct World {
    switch: Switch,
    rng: Rng,
    now: Time,
    agenda: BinaryHeap<Reverse<(Time, u64, What)>>,
    turn: u64,
    commands: Vec<Command>,
    fault: Fault,
    slow: bool,
    gap: Duration,
    lasts: Duration,
    /// How long messages come after that.
    after: Duration,
    /// When the fault begins.
    from: Time,
    next: u64,
    attempts: BTreeMap<u64, MessageId>,
    held: Vec<(LinkId, Ticket)>,
    /// Of the first carrier's link.
    window: usize,
    accepted: BTreeMap<MessageId, Time>,
    /// Parts on the first carrier's wire.
    in_flight: BTreeSet<Ticket>,
    unacked_since: Option<Time>,
    seen: Seen,
}

impl World {
    fn new(seed: u64, fault: Fault, rate: u64, slow: bool) -> World {
        World::lasting(seed, fault, rate, slow, 2, LASTS, AFTER)
    }

    /// The first of so many carriers fails for so long.
    fn lasting(
        seed: u64,
        fault: Fault,
        rate: u64,
        slow: bool,
        channels: u16,
        lasts: Duration,
        after: Duration,
    ) -> World {
        let mut world = World {
            switch: Switch::new(7),
            rng: Rng::with_seed(seed),
            now: START,
            agenda: BinaryHeap::new(),
            turn: 0,
            commands: Vec::new(),
            fault,
            slow,
            gap: Duration::from_secs(1) / rate as u32,
            lasts,
            after,
            from: START.after(Duration::from_millis(KNOWN * 1_000 / rate + 337 * seed)),
            next: 1 << 30,
            attempts: BTreeMap::new(),
            held: Vec::new(),
            window: 2_000,
            accepted: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            unacked_since: None,
            seen: Seen::default(),
        };
        world.tell(Event::Plan(settings(channels)));
        for channel in 0..channels {
            world.tell(Event::LinkUp(LinkId { channel, link: 0 }, 2_000));
        }
        world.at(START, What::Accept);
        world.at(world.from.after(world.lasts), What::Mend);
        world
    }

    /// The first carrier's window is that small.
    fn narrow(mut self, window: usize) -> World {
        self.window = window;
        self.tell(Event::LinkUp(LinkId { channel: 0, link: 0 }, window));
        self
    }

    fn at(&mut self, time: Time, what: What) {
        self.turn += 1;
        self.agenda.push(Reverse((time, self.turn, what)));
    }

    fn tell(&mut self, event: Event) {
        self.switch.step(self.now, event, &mut self.commands);
    }

    /// Whether the first carrier fails now.
    fn fails(&self) -> bool {
        self.fault != Fault::None && self.from <= self.now && self.now < self.from.after(self.lasts)
    }

    fn run(mut self) -> Seen {
        let end = self.from.after(self.lasts + self.after + Duration::from_secs(120));
        for _ in 0..10_000_000 {
            self.settle();
            let due = self.agenda.peek().map(|Reverse((at, ..))| *at);
            let next = due.into_iter().chain(self.switch.deadline()).min();
            let Some(next) = next.filter(|next| *next < end) else { break };
            // A deadline of now is a settle that did not finish; time goes on all the same.
            self.now = next.max(self.now.after(Duration::from_micros(1)));
            if self.fails() && self.seen.exposed.is_none() && !self.in_flight.is_empty() {
                self.seen.exposed = Some(self.from);
            }
            while self.agenda.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
                let Some(Reverse((_, _, what))) = self.agenda.pop() else { break };
                self.happen(what);
            }
        }
        assert_eq!(self.switch.messages(), 0, "messages are left: {:?}", self.seen);
        self.seen
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Accept => self.accept(),
            What::Answer(link, ticket) if link.channel == 0 && self.fails() => match self.fault {
                Fault::Hang => self.held.push((link, ticket)),
                _ => self.at(self.now.after(DEADLINE), What::GiveUp(link, ticket)),
            },
            What::Answer(link, ticket) => self.answer(link, ticket, Answer::Submitted),
            What::GiveUp(link, ticket) => self.answer(link, ticket, Answer::Unanswered(Doubt::Acked)),
            What::Pong(link) => self.tell(Event::ProbeAnswered(link)),
            What::Unacked(link) => {
                let age = if self.fails() { self.unacked_since.map(|since| self.now.since(since)) } else { None };
                self.tell(Event::Unacked(link, age.unwrap_or_default()));
                if age.is_some() {
                    self.at(self.now.after(Duration::from_millis(50)), What::Unacked(link));
                }
            }
            What::Mend => {
                for (link, ticket) in std::mem::take(&mut self.held) {
                    self.answer(link, ticket, Answer::Submitted);
                }
            }
        }
    }

    fn accept(&mut self) {
        self.next += 1;
        let message = Message {
            id: MessageId(self.next),
            app: AppId(0),
            group: GroupId(0),
            tier: TierId((self.next % 2) as u8),
            parts: 1,
            expires: self.now.after(Duration::from_secs(300)),
            accepted: self.now,
        };
        self.accepted.insert(message.id, self.now);
        self.tell(Event::Accepted(message));
        let next = self.now.after(self.gap.mul_f64(0.5 + self.rng.f64()));
        if next < self.from.after(self.lasts + self.after) {
            self.at(next, What::Accept);
        }
    }

    fn answer(&mut self, link: LinkId, ticket: Ticket, answer: Answer) {
        self.in_flight.remove(&ticket);
        if answer == Answer::Submitted {
            self.seen.taken.insert(self.attempts[&ticket.attempt().0]);
        }
        let _ = link;
        self.tell(Event::Answer(ticket, answer));
        self.tell(Event::Freed(ticket));
    }

    fn settle(&mut self) {
        loop {
            let now = Moment { time: self.now, wall: Wall(1_800_000_000_000 + self.now.0 / 1_000) };
            self.switch.settle(now, &mut self.commands);
            if self.commands.is_empty() {
                return;
            }
            for command in std::mem::take(&mut self.commands) {
                self.obey(command);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { attempt, message, link, .. } => {
                self.attempts.insert(attempt.0, message);
                *self.seen.starts.entry(message).or_default() += 1;
                self.seen.first_start.entry(message).or_insert(self.now);
                let ticket = Ticket::new(attempt, 0);
                let mended = self.from.after(self.lasts);
                if link.channel == 0 && self.now >= mended {
                    self.seen.back.get_or_insert(self.now);
                }
                let end = mended.after(self.after);
                let fresh = self.seen.starts.get(&message) == Some(&1);
                if fresh && self.now < end && end.since(self.now) < Duration::from_secs(3) {
                    self.seen.late.0 += u32::from(link.channel == 0);
                    self.seen.late.1 += 1;
                }
                let accepted = self.accepted[&message];
                if fresh && accepted >= mended {
                    self.seen.waited = self.seen.waited.max(self.now.since(accepted));
                }
                if link.channel == 0 {
                    self.in_flight.insert(ticket);
                    assert!(self.in_flight.len() <= self.window, "more than a window of {}", self.window);
                    self.wrote(link);
                } else if self.seen.exposed.is_some() {
                    self.seen.moved.get_or_insert(self.now);
                }
                if link.channel == 0 && self.fails() {
                    self.seen.exposed.get_or_insert(self.now);
                }
                let took = self.latency();
                self.at(self.now.after(took), What::Answer(link, ticket));
                self.tell(Event::Started(attempt, 1));
            }
            Command::Probe(link) => {
                self.wrote(link);
                if link.channel != 0 || !self.fails() || self.fault == Fault::PingsOnly {
                    self.at(self.now.after(Duration::from_millis(20)), What::Pong(link));
                }
            }
            Command::Exhausted(..) => self.seen.exhausted += 1,
            Command::Resubmitted(..) => self.seen.resubmitted += 1,
            Command::Hedged(..) => self.seen.hedged += 1,
            Command::FailedOver(_, took) => self.seen.failed_over.push(took),
            Command::Transition(ChannelId(0), transition) => {
                self.seen.suspected += u32::from(transition.to == health::State::Suspect);
            }
            _ => {}
        }
    }

    /// Octets of ours left for the first carrier.
    fn wrote(&mut self, link: LinkId) {
        if link.channel == 0 && self.fault == Fault::Blackhole && self.fails() && self.unacked_since.is_none() {
            self.unacked_since = Some(self.now);
            self.at(self.now.after(Duration::from_millis(300)), What::Unacked(link));
        }
    }

    /// 20 ms, or a law with median 480 ms and p99 770 ms.
    fn latency(&mut self) -> Duration {
        if !self.slow {
            return Duration::from_micros(self.rng.u64(15_000..25_000));
        }
        let normal = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
        Duration::from_secs_f64(0.48 * (normal * 0.203).exp())
    }
}

fn settings(of: u16) -> Settings {
    let resend = |seconds| InDoubt::Resend(Duration::from_secs(seconds));
    let tier = |id, acked| TierRule { id: TierId(id), attempts: 3, unacked: resend(0), acked, ..TierRule::default() };
    let channel = |id| ChannelRule {
        id: ChannelId(id),
        rate: 1_000.0,
        burst: 20,
        tiers: vec![TierId(0), TierId(1)],
        carrier: u32::from(id),
        probes: true,
        ..ChannelRule::default()
    };
    let channels = (0..of).map(ChannelId).collect();
    let spill_after = Some(Duration::from_secs(1));
    Settings {
        tiers: vec![tier(0, resend(0)), tier(1, resend(30))],
        channels: (0..of).map(channel).collect(),
        groups: vec![GroupRule { id: GroupId(0), channels, spill_after, ..GroupRule::default() }],
        ..Settings::default()
    }
}

/// The longest of many, and the usual.
fn to_backup(fault: Fault, rate: u64, slow: bool) -> (Duration, Duration) {
    let mut took: Vec<Duration> = (1..=3)
        .map(|seed| {
            let seen = World::new(seed, fault, rate, slow).run();
            assert_eq!(seen.exhausted, 0, "{fault:?} at {rate}/s, seed {seed}");
            let lost = seen.starts.keys().filter(|id| !seen.taken.contains(id)).count();
            assert_eq!(lost, 0, "{fault:?} at {rate}/s, seed {seed}: never taken");
            let again: u32 = seen.starts.values().map(|starts| starts - 1).sum();
            assert!(again <= seen.resubmitted, "{fault:?} at {rate}/s, seed {seed}: {again} unexplained");
            assert!(!seen.failed_over.is_empty(), "{fault:?} at {rate}/s, seed {seed}: not told");
            seen.moved.zip(seen.exposed).map_or(Duration::MAX, |(moved, exposed)| moved.since(exposed))
        })
        .collect();
    took.sort();
    println!("{fault:?} {rate}/s slow={slow}: {:?} … {:?}", took[took.len() / 2], took[took.len() - 1]);
    (took[took.len() / 2], took[took.len() - 1])
}

#[test]
fn traffic_moves_within_the_promise() {
    let ms = Duration::from_millis;
    for fault in [Fault::Hang, Fault::Mute, Fault::Blackhole, Fault::PingsOnly] {
        for slow in [false, true] {
            for (rate, promise) in [(5, ms(1_000)), (20, ms(600)), (100, ms(600))] {
                // Below 20/s it is the hedge that bounds each message of a carrier that answers nothing but probes.
                let promise = match (fault, rate) {
                    (Fault::PingsOnly, 5) => ms(2_600),
                    (Fault::PingsOnly, _) => ms(1_000),
                    _ => promise,
                };
                let (_, longest) = to_backup(fault, rate, slow);
                assert!(longest <= promise, "{fault:?} at {rate}/s, slow {slow}: {longest:?}");
            }
        }
    }
}

#[test]
fn a_healthy_carrier_is_never_left() {
    for slow in [false, true] {
        for rate in [1, 20] {
            let seen = World::new(3, Fault::None, rate, slow).run();
            let again = seen.starts.values().filter(|starts| **starts > 1).count();
            assert_eq!((seen.suspected, seen.hedged, again), (0, 0, 0), "slow {slow}, {rate}/s");
        }
    }
}

#[test]
fn answers_that_come_late_spare_the_second_copy_where_the_tier_waits() {
    let seen = World::new(5, Fault::Hang, 100, true).run();
    let twice = seen.starts.iter().filter(|(_, starts)| **starts > 1);
    let (otp, notice): (Vec<_>, Vec<_>) = twice.partition(|(id, _)| id.0 % 2 == 0);
    assert!(!otp.is_empty(), "otp goes elsewhere at once");
    assert_eq!(notice.len(), 0, "the others waited, and their answers came");
}

#[test]
fn a_carrier_that_is_mended_gets_its_traffic_back() {
    let secs = Duration::from_secs;
    for (fault, lasts) in
        [(Fault::Mute, secs(3)), (Fault::PingsOnly, secs(6)), (Fault::Hang, secs(6)), (Fault::Blackhole, secs(6))]
    {
        for slow in [false, true] {
            for (channels, most) in [(2, secs(9)), (1, Duration::from_millis(2_500))] {
                let world = World::lasting(3, fault, 20, slow, channels, lasts, secs(28));
                let mended = world.from.after(lasts);
                let seen = world.run();
                let back = seen.back.map_or(Duration::MAX, |back| back.since(mended));
                println!("{fault:?} slow={slow}, {channels}: {back:?}, {:?}", seen.late);
                assert!(back <= most, "{fault:?}, slow {slow}, {channels} channels: back after {back:?}");
                let (first, all) = seen.late;
                assert!(first * 10 >= all * 9 && first > 30, "{fault:?}, slow {slow}, {channels}: {first} of {all}");
            }
        }
    }
}

#[test]
fn a_small_window_full_of_lost_parts_makes_nobody_wait_and_comes_back() {
    for window in [1, 2, 4, 8, 16] {
        for (fault, lasts) in [(Fault::Mute, 5), (Fault::Mute, 12), (Fault::PingsOnly, 5), (Fault::Hang, 5)] {
            // One or two parts alone condemn nobody who answers probes: their messages are hedged, the others spill.
            if fault == Fault::PingsOnly && window < 4 {
                continue;
            }
            let (lasts, after) = (Duration::from_secs(lasts), Duration::from_secs(60));
            let seen = World::lasting(2, fault, 20, false, 2, lasts, after).narrow(window).run();
            println!("{fault:?} {lasts:?}, window {window}: {:?}, {:?}", seen.waited, seen.late);
            assert!(seen.waited <= Duration::from_millis(150), "{fault:?} {lasts:?}, {window}: {:?}", seen.waited);
            let (first, all) = seen.late;
            assert!(first * 4 >= all * 3, "{fault:?} {lasts:?}, {window}: {first} of {all}");
        }
    }
}
