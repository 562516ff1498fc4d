//! A saturated channel, and who gets what of it: a small world of one carrier that answers everything in time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use carriers::Ticket;
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, Service, TierId};
use gateway::ids::MessageId;
use gateway::switch::{Answer, AppRule, ChannelRule, Command, Event, GroupRule, Message, Settings, Switch, TierRule};
use link::LinkId;

const START: Time = Time(1_000_000);
pub(crate) const OTP: TierId = TierId(0);
pub(crate) const NOTICE: TierId = TierId(1);
pub(crate) const MARKETING: TierId = TierId(2);

/// What the channels are like.
#[derive(Clone, Copy)]
pub(crate) struct Carrier {
    pub(crate) rate: f64,
    pub(crate) burst: u32,
    pub(crate) window: usize,
    pub(crate) latency: Duration,
}

/// What went: when it was accepted, when it started, over which channel.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) at: Time,
    pub(crate) channel: u16,
}

/// Two groups over the first channel; a second channel for the tiers named, in the first group only.
pub(crate) struct World {
    carrier: Carrier,
    switch: Switch,
    out: Vec<Command>,
    pub(crate) now: Time,
    id: u64,
    waiting: BTreeMap<MessageId, Message>,
    open: BinaryHeap<Reverse<(Time, u64)>>,
    pub(crate) sent: Vec<Sent>,
    random: u64,
}

impl World {
    pub(crate) fn new(carrier: Carrier, second: &[TierId]) -> World {
        World::rated(carrier, second, Vec::new())
    }

    /// With apps that have a rate of their own.
    pub(crate) fn rated(carrier: Carrier, second: &[TierId], apps: Vec<AppRule>) -> World {
        let tier = |id, service| TierRule { id, attempts: 3, service, ..TierRule::default() };
        let weighted = |weight| Service::Weighted { weight, minimum: 5 };
        let tiers = vec![tier(OTP, Service::Strict), tier(NOTICE, weighted(4)), tier(MARKETING, weighted(1))];
        let channel = |id, tiers: &[TierId]| ChannelRule {
            id: ChannelId(id),
            rate: carrier.rate,
            burst: carrier.burst,
            tiers: tiers.to_vec(),
            ..ChannelRule::default()
        };
        let channels = vec![channel(0, &[OTP, NOTICE, MARKETING]), channel(1, second)];
        let group = |id, channels: &[u16]| GroupRule {
            id: GroupId(id),
            channels: channels.iter().copied().map(ChannelId).collect(),
            spill_after: Some(Duration::ZERO),
            ..GroupRule::default()
        };
        let groups = vec![group(0, &[0, 1]), group(1, &[0])];
        let mut world = World {
            carrier,
            switch: Switch::new(0),
            out: Vec::new(),
            now: START,
            id: 0,
            waiting: BTreeMap::new(),
            open: BinaryHeap::new(),
            sent: Vec::new(),
            random: 11,
        };
        world.tell(Event::Plan(Settings { tiers, channels, groups, apps, ..Settings::default() }));
        world.tell(Event::LinkUp(LinkId { channel: 0, link: 0 }, carrier.window));
        if !second.is_empty() {
            world.tell(Event::LinkUp(LinkId { channel: 1, link: 0 }, carrier.window));
        }
        world
    }

    fn tell(&mut self, event: Event) {
        self.switch.step(self.now, event, &mut self.out);
    }

    /// A number between 0 and 1.
    pub(crate) fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn accept(&mut self, app: u16, group: u16, tier: TierId, parts: u8) {
        self.id += 1;
        let expires = self.now.after(Duration::from_secs(86_400));
        let (id, app, group) = (MessageId(self.id), AppId(app), GroupId(group));
        let message = Message { id, app, group, tier, parts, expires, accepted: self.now };
        self.waiting.insert(id, message);
        self.tell(Event::Accepted(message));
    }

    /// Lets everything happen that is due until then.
    pub(crate) fn run_to(&mut self, end: Time) {
        loop {
            while let Some(Reverse((at, ticket))) = self.open.peek().copied().filter(|Reverse((at, _))| *at <= self.now)
            {
                assert!(at <= self.now);
                self.open.pop();
                self.tell(Event::Answer(Ticket(ticket), Answer::Submitted));
                self.tell(Event::Freed(Ticket(ticket)));
            }
            self.settle();
            let answer = self.open.peek().map(|Reverse((at, _))| *at);
            let next = [answer, self.switch.deadline()].into_iter().flatten().min().unwrap_or(Time::NEVER);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now.after(Duration::from_micros(1)));
        }
    }

    fn settle(&mut self) {
        let now = Moment { time: self.now, wall: Wall(1_800_000_000_000 + self.now.0 / 1_000) };
        self.switch.settle(now, &mut self.out);
        for command in std::mem::take(&mut self.out) {
            let Command::Start { attempt, message, link, parts, .. } = command else { continue };
            self.tell(Event::Started(attempt, parts));
            for part in 0..parts {
                self.open.push(Reverse((self.now.after(self.carrier.latency), Ticket::new(attempt, part).0)));
            }
            let message = self.waiting.remove(&message).expect("it waited");
            self.sent.push(Sent { message, at: self.now, channel: link.channel });
        }
    }

    /// Parts that went since then, by whatever `of` tells apart.
    pub(crate) fn parts_by<K: Ord>(&self, since: Time, of: impl Fn(&Message) -> K) -> BTreeMap<K, u64> {
        let mut sums = BTreeMap::new();
        for sent in self.sent.iter().filter(|sent| sent.at >= since) {
            *sums.entry(of(&sent.message)).or_default() += u64::from(sent.message.parts);
        }
        sums
    }
}

/// The wait that 99 of 100 otp do not exceed, at so many a second, with so much marketing of three apps queued.
pub(crate) fn otp_p99(carrier: Carrier, otp_per_second: f64, queued: u64) -> Duration {
    let mut world = World::new(carrier, &[]);
    for n in 0..queued {
        world.accept((n % 3) as u16 + 1, 0, MARKETING, (n % 4) as u8 / 3 + 1);
    }
    world.run_to(START.after(Duration::from_secs(5)));
    let end = START.after(Duration::from_secs(125));
    while world.now < end {
        let gap = -(1.0 - world.chance()).ln() / otp_per_second;
        world.run_to(world.now.after(Duration::from_secs_f64(gap)));
        world.accept(0, 0, OTP, 1);
    }
    world.run_to(end.after(Duration::from_secs(10)));
    let otp = world.sent.iter().filter(|sent| sent.message.tier == OTP);
    let mut waits: Vec<Duration> = otp.map(|sent| sent.at.since(sent.message.accepted)).collect();
    assert!(waits.len() as f64 > otp_per_second * 100.0, "{}", waits.len());
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

/// Microseconds of this machine per message that goes through, with so many queued all the while; and what queueing
/// one took.
pub(crate) fn cost(queued: u64, through: usize) -> (f64, f64) {
    let carrier = Carrier { rate: 1e6, burst: 64, window: 64, latency: Duration::from_millis(1) };
    let mut world = World::new(carrier, &[]);
    let began = cpu();
    for n in 0..queued.max(64) {
        world.id += 1;
        let message = Message {
            id: MessageId(world.id),
            app: AppId((n % 10) as u16),
            group: GroupId(0),
            tier: MARKETING,
            parts: 1,
            expires: START.after(Duration::from_secs(86_400)),
            accepted: START,
        };
        world.tell(Event::Accepted(message));
    }
    let queueing = (cpu() - began) * 1e6 / queued.max(64) as f64;
    world.now = START.after(Duration::from_secs(2));
    let (mut open, mut done) = (Vec::new(), 0usize);
    let began = cpu();
    while done < through {
        for attempt in open.drain(..) {
            let ticket = Ticket::new(attempt, 0);
            world.tell(Event::Answer(ticket, Answer::Submitted));
            world.tell(Event::Freed(ticket));
            world.id += 1;
            let (id, now) = (MessageId(world.id), world.now);
            let expires = now.after(Duration::from_secs(86_400));
            let (app, tier) = (AppId((world.id % 10) as u16), TierId((world.id % 3) as u8));
            world.tell(Event::Accepted(Message { id, app, group: GroupId(0), tier, parts: 1, expires, accepted: now }));
            done += 1;
        }
        let now = Moment { time: world.now, wall: Wall(1_800_000_000_000) };
        world.switch.settle(now, &mut world.out);
        for command in std::mem::take(&mut world.out) {
            let Command::Start { attempt, .. } = command else { continue };
            world.tell(Event::Started(attempt, 1));
            open.push(attempt);
        }
        world.now = world.now.after(Duration::from_micros(70));
    }
    ((cpu() - began) * 1e6 / done as f64, queueing)
}

/// Seconds of processor time this thread has had.
fn cpu() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    spent.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
