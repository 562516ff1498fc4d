//! A world: channels with a law of latency, refusals, throttles, lost links and blackouts; apps that send; an
//! operator who holds channels and reloads. All from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use carriers::{AttemptRef, Doubt, Ticket, Verdict};
use fastrand::Rng;
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, Balance, ChannelId, GroupId, InDoubt, Strategy, TierId};
use gateway::ids::MessageId;
use gateway::switch::health::State;
use gateway::switch::{
    Answer, AppRule, ChannelRule, Command, Event, GroupRule, Home, Message, NotStarted, Recovered, Settings, Switch,
    TierRule,
};
use link::LinkId;

use crate::ledger::Ledger;

const START: Time = Time(1_000_000);
const WALL: u64 = 1_800_000_000_000;

/// What kind of world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Messages offered.
    pub(crate) messages: u32,
    /// Parts offered, as a share of what all channels may carry.
    pub(crate) load: f64,
    pub(crate) otp_share: f64,
    /// Refusals, throttles, lost links, holds, reloads.
    pub(crate) faults: bool,
    /// All links down for a while.
    pub(crate) blackout: bool,
    pub(crate) spill: bool,
    /// Milliseconds of validity where there are no faults.
    pub(crate) validity: u64,
}

impl Shape {
    pub(crate) fn random(seed: u64) -> Shape {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        Shape {
            messages: rng.u32(50..400),
            load: 0.2 + rng.f64() * 1.8,
            otp_share: 0.1 + rng.f64() * 0.4,
            faults: true,
            blackout: rng.bool(),
            spill: rng.bool(),
            validity: 60_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Accept,
    Up(u16, u16),
    Down(u16, u16),
    Blackout,
    Hold(u16, bool),
    Reload,
    /// A link that was told to end has ended, at the latest when it was looked at so often.
    Gone(u16, u16, u8),
    HandOver(u64, u8),
    Answer(u64),
    Conclude(u64),
}

pub(crate) struct World {
    rng: Rng,
    shape: Shape,
    switch: Switch,
    pub(crate) ledger: Ledger,
    /// All that may ever be in a plan.
    whole: Settings,
    settings: Settings,
    /// Links there are, up or not, and not yet told to end.
    windows: Vec<(LinkId, usize)>,
    next_link: u16,
    /// Which routes lead where.
    routing: u64,
    /// Messages accepted before the routes changed.
    before: u64,
    agenda: BinaryHeap<Reverse<(Time, u64, What)>>,
    turn: u64,
    now: Time,
    commands: Vec<Command>,
    next_id: u64,
    left: u32,
    gap: Duration,
    latency: [u64; 3],
    /// Out of a thousand answers: refused in each way.
    refusals: [u32; 5],
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape) -> World {
        let mut rng = Rng::with_seed(seed);
        let mut settings = settings(&mut rng, shape);
        if shape.faults {
            settings.apps = rates(seed, 1, 20.0);
        }
        let mut windows = Vec::new();
        for channel in 0..3u16 {
            for link in 0..rng.u16(1..=2) {
                // A small window at a slow carrier is an overload of its own.
                windows.push((LinkId { channel, link }, if shape.faults { rng.usize(4..=16) } else { 64 }));
            }
        }
        let rate: f64 = settings.channels.iter().map(|c| c.rate).sum();
        let gap = Duration::from_secs_f64(1.6 / (rate * shape.load));
        let latency = [rng.u64(5..400), rng.u64(5..400), rng.u64(5..400)];
        let refusals = if shape.faults { [0; 5].map(|_| rng.u32(0..60)) } else { [0; 5] };
        let mut world = World {
            switch: Switch::new(7),
            ledger: Ledger::default(),
            whole: settings.clone(),
            settings,
            windows,
            next_link: 10,
            routing: 0,
            before: 0,
            agenda: BinaryHeap::new(),
            turn: 0,
            now: START,
            commands: Vec::new(),
            next_id: 1 << 30,
            left: shape.messages,
            gap,
            latency,
            refusals,
            rng,
            shape,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.ledger.plan(self.now, &self.settings);
        self.tell(Event::Plan(self.settings.clone()));
        self.recover();
        self.settle();
        for (link, _) in self.windows.clone() {
            let wait = self.rng.u64(0..200);
            self.at(wait, What::Up(link.channel, link.link));
        }
        self.at(0, What::Accept);
        if self.shape.faults {
            for _ in 0..self.rng.u32(0..6) {
                let (link, _) = self.windows[self.rng.usize(..self.windows.len())];
                let at = self.rng.u64(500..20_000);
                self.at(at, What::Down(link.channel, link.link));
            }
            for _ in 0..self.rng.u32(0..3) {
                let (at, channel) = (self.rng.u64(500..20_000), self.rng.u16(0..3));
                self.at(at, What::Hold(channel, true));
                self.at(at + 2_000, What::Hold(channel, false));
            }
            for _ in 0..self.rng.u32(0..8) {
                let at = self.rng.u64(500..20_000);
                self.at(at, What::Reload);
            }
        }
        if self.shape.blackout && self.shape.faults {
            let at = self.rng.u64(500..5_000);
            self.at(at, What::Blackout);
        }
    }

    /// Messages of an earlier life.
    fn recover(&mut self) {
        if !self.shape.faults {
            return;
        }
        for _ in 0..10 {
            let message = self.message();
            self.ledger.accept(message);
            let excluded = vec![];
            self.tell(Event::Recovered(Recovered { message, refused: 0, excluded, in_doubt: None, doubtful: false }));
        }
    }

    fn at(&mut self, ms: u64, what: What) {
        let micros = self.rng.u64(0..1_000);
        self.turn += 1;
        let at = Time(self.now.0 + ms * 1_000 + micros);
        self.agenda.push(Reverse((at, self.turn, what)));
    }

    fn tell(&mut self, event: Event) {
        let before = self.commands.len();
        self.switch.step(self.now, event, &mut self.commands);
        let starts = self.commands[before..].iter().any(|command| matches!(command, Command::Start { .. }));
        assert!(!starts, "nothing starts before settle");
    }

    /// Runs until everything has ended.
    pub(crate) fn run(&mut self) {
        for _ in 0..2_000_000 {
            let event = self.agenda.peek().map(|Reverse((at, ..))| *at);
            let deadline = self.switch.deadline();
            let Some(next) = event.into_iter().chain(deadline).min() else {
                assert_eq!(self.ledger.open(), 0, "messages are left and nothing will happen");
                assert_eq!(self.left, 0);
                return;
            };
            assert!(next >= self.now);
            let timer = event != Some(next);
            self.now = next;
            while self.agenda.peek().is_some_and(|Reverse((at, ..))| *at <= next) {
                let Reverse((_, _, what)) = self.agenda.pop().unwrap();
                self.happen(what);
            }
            let did = self.settle();
            let again = self.switch.deadline();
            assert!(!timer || did || again != Some(next), "the deadline {next:?} does nothing");
            self.check();
        }
        panic!("the world does not end");
    }

    fn check(&mut self) {
        assert_eq!(self.switch.messages(), self.ledger.open(), "accepted = owned + ended, at {:?}", self.now);
        let waiting: usize = self.switch.waiting().iter().map(|w| w.messages).sum();
        assert!(waiting <= self.switch.messages());
        for channel in 0..3 {
            let channel = ChannelId(channel);
            let in_flight = self.switch.channel(self.now, channel).map_or(0, |view| view.in_flight);
            assert_eq!(in_flight, self.ledger.used(channel), "slots of {channel:?}");
        }
        let weight = |channel| {
            let seen = self.switch.channel(self.now, channel)?.health?;
            (seen.state == State::Healthy).then_some(seen.weight)
        };
        self.ledger.tier_order(self.now, weight);
    }

    /// Lets the switch match and obeys; true if it wanted anything.
    fn settle(&mut self) -> bool {
        let moment = Moment { time: self.now, wall: Wall(WALL + self.now.0 / 1_000) };
        self.switch.settle(moment, &mut self.commands);
        let commands = std::mem::take(&mut self.commands);
        for command in &commands {
            self.ledger.command(self.now, command);
            if let Command::Start { attempt, parts, .. } = command {
                let wait = if self.rng.u8(0..4) == 0 { self.rng.u64(1..30) } else { 0 };
                self.at(wait, What::HandOver(attempt.0, *parts));
            }
        }
        !commands.is_empty()
    }

    fn message(&mut self) -> Message {
        self.next_id += self.rng.u64(1..5);
        let tier = if self.rng.f64() < self.shape.otp_share { 0 } else { self.rng.u8(1..3) };
        let validity = if self.shape.faults { self.rng.u64(3_000..90_000) } else { self.shape.validity };
        let parts = if self.rng.u8(0..4) == 0 { self.rng.u8(2..=4) } else { 1 };
        let parts = if self.shape.faults && self.rng.u8(0..60) == 0 { 20 } else { parts };
        Message {
            id: MessageId(self.next_id),
            app: AppId(0),
            group: GroupId(self.rng.u16(0..3)),
            tier: TierId(tier),
            parts,
            expires: self.now.after(Duration::from_millis(validity)),
            accepted: self.now,
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Accept => self.accept(),
            What::Up(channel, link) => {
                let known = self.windows.iter().find(|(l, _)| *l == LinkId { channel, link });
                let Some((link, window)) = known.copied() else { return };
                if !self.ledger.windows.contains_key(&link) {
                    self.ledger.link_up(link, window);
                    self.tell(Event::LinkUp(link, window));
                }
            }
            What::Down(channel, link) => {
                let back = if self.rng.bool() { self.rng.u64(1..20) } else { self.rng.u64(50..3_000) };
                self.lose(LinkId { channel, link }, back);
            }
            What::Blackout => {
                for (link, _) in self.windows.clone() {
                    self.lose(link, 10_000);
                }
            }
            What::Hold(channel, hold) => {
                let channel = ChannelId(channel);
                if hold {
                    self.ledger.held.insert(channel)
                } else {
                    self.ledger.held.remove(&channel)
                };
                self.tell(Event::Hold(channel, hold));
            }
            What::Reload => self.reload(),
            What::Gone(channel, link, looks) => self.gone(LinkId { channel, link }, looks),
            What::HandOver(attempt, parts) => self.hand_over(AttemptRef(attempt), parts),
            What::Answer(ticket) => self.answer(Ticket(ticket)),
            What::Conclude(id) => {
                self.ledger.conclude(MessageId(id));
                self.tell(Event::Concluded(MessageId(id)));
            }
        }
    }

    /// Rates change; channels leave and come back, or change their account; groups change their members, or go.
    fn reload(&mut self) {
        // They come in bursts: a channel may leave and return within the second its contract speaks of.
        if self.rng.u8(0..3) > 0 {
            let soon = self.rng.u64(20..400);
            self.at(soon, What::Reload);
        }
        for channel in &mut self.whole.channels {
            channel.rate = (channel.rate * (0.5 + self.rng.f64())).max(5.0);
            channel.burst = self.rng.u32(1..12);
        }
        let old: Vec<ChannelId> = self.settings.channels.iter().map(|c| c.id).collect();
        let mut next = self.whole.clone();
        next.channels.retain(|_| self.rng.u8(0..5) > 0);
        for group in &mut next.groups {
            self.rng.shuffle(&mut group.channels);
            group.channels.retain(|id| next.channels.iter().any(|c| c.id == *id));
        }
        next.groups.retain(|group| !group.channels.is_empty() && self.rng.u8(0..6) > 0);
        let returned = next.channels.iter().filter(|c| !old.contains(&c.id)).count();
        self.ledger.reached.returned += returned as u64;
        self.ledger.plan(self.now, &next);
        self.settings = next;
        self.tell(Event::Plan(self.settings.clone()));
        for channel in (0..3).map(ChannelId) {
            let stays = self.settings.channels.iter().any(|c| c.id == channel) && self.rng.u8(0..4) > 0;
            let (left, kept) =
                std::mem::take(&mut self.windows).into_iter().partition(|(l, _)| !stays && l.channel == channel.0);
            self.windows = kept;
            let left: Vec<(LinkId, usize)> = left;
            for (link, _) in left {
                self.ledger.link_closing(link);
                self.tell(Event::LinkClosing(link));
                self.at(1, What::Gone(link.channel, link.link, 10));
            }
            self.fill(channel);
        }
        self.follow_routes();
    }

    /// New links for a channel of the plan once the last of the old ones has ended.
    fn fill(&mut self, channel: ChannelId) {
        let present = self.windows.iter().any(|(link, _)| link.channel == channel.0)
            || self.ledger.closing.iter().any(|link| link.channel == channel.0);
        if present || !self.settings.channels.iter().any(|c| c.id == channel) {
            return;
        }
        for _ in 0..self.rng.u16(1..=2) {
            let link = LinkId { channel: channel.0, link: self.next_link };
            self.next_link += 1;
            let window = self.rng.usize(4..=16);
            self.windows.push((link, window));
            let wait = self.rng.u64(1..300);
            self.at(wait, What::Up(link.channel, link.link));
        }
    }

    /// A link ends once nothing is open on it, or when its patience is at an end.
    fn gone(&mut self, link: LinkId, looks: u8) {
        let open = self.ledger.on_wire(link);
        if !open.is_empty() && looks > 0 {
            return self.at(100, What::Gone(link.channel, link.link, looks - 1));
        }
        for ticket in open {
            let doubt = [Doubt::Unsent, Doubt::Unacked, Doubt::Acked][self.rng.usize(..3)];
            self.end(ticket, Answer::Unanswered(doubt));
        }
        self.ledger.link_down(self.now, link);
        self.tell(Event::LinkDown(link));
        self.tell(Event::LinkGone(link));
        self.fill(ChannelId(link.channel));
    }

    /// The group that routes lead a message to now.
    fn route(&self, id: MessageId) -> Option<GroupId> {
        let groups = &self.settings.groups;
        let nth = (id.0 ^ self.routing) as usize % groups.len().max(1);
        groups.get(nth).map(|group| group.id)
    }

    /// What the line does after a reload: those without any channel are moved at once, the others when they are
    /// handed over.
    fn follow_routes(&mut self) {
        (self.routing, self.before) = (self.rng.u64(..), self.next_id);
        let mut homeless = self.switch.homeless();
        homeless.sort();
        assert!(homeless == self.ledger.homeless(), "whom the rules have no channel for");
        self.ledger.reached.homeless += homeless.len() as u64;
        for id in homeless {
            if let Some(group) = self.route(id) {
                self.relocate(id, group);
            }
        }
    }

    fn relocate(&mut self, id: MessageId, group: GroupId) {
        let Message { tier, parts, .. } = *self.ledger.message(id);
        self.ledger.moved(id, group);
        self.tell(Event::Moved(id, Home { group, tier, parts }));
    }

    fn accept(&mut self) {
        for _ in 0..self.rng.u32(1..4).min(self.left) {
            self.left -= 1;
            let message = self.message();
            self.ledger.accept(message);
            self.tell(Event::Accepted(message));
            if self.shape.faults && self.rng.u8(0..20) == 0 {
                let after = self.rng.u64(0..3_000);
                self.at(after, What::Conclude(message.id.0));
            }
        }
        if self.left > 0 {
            let gap = self.gap.as_millis() as u64 * self.rng.u64(0..4);
            self.at(gap, What::Accept);
        }
    }

    fn lose(&mut self, link: LinkId, back: u64) {
        if !self.ledger.windows.contains_key(&link) || self.ledger.closing.contains(&link) {
            return;
        }
        for ticket in self.ledger.on_wire(link) {
            let doubt = [Doubt::Unsent, Doubt::Unacked, Doubt::Acked][self.rng.usize(..3)];
            self.end(ticket, Answer::Unanswered(doubt));
        }
        self.ledger.link_down(self.now, link);
        self.tell(Event::LinkDown(link));
        self.at(back, What::Up(link.channel, link.link));
    }

    fn hand_over(&mut self, attempt: AttemptRef, parts: u8) {
        let run = &self.ledger.runs[&attempt];
        let (link, message, whole) = (run.link, run.message, run.is_new());
        if !self.ledger.windows.contains_key(&link) || self.ledger.closing.contains(&link) {
            return self.refuse(attempt, NotStarted::Retry);
        }
        let now_at = self.route(message).filter(|_| whole && message.0 <= self.before && self.shape.faults);
        if let Some(group) = now_at.filter(|group| *group != self.ledger.message(message).group) {
            self.ledger.reached.moved_back += 1;
            self.relocate(message, group);
            return self.refuse(attempt, NotStarted::Moved);
        }
        if self.shape.faults {
            match self.rng.u32(0..400) {
                0..4 => return self.refuse(attempt, NotStarted::Retry),
                4..6 => {
                    self.ledger.unsendable(attempt);
                    return self.refuse(attempt, NotStarted::Unsendable);
                }
                6 => return self.refuse(attempt, NotStarted::BodyLost),
                7..12 if parts < 4 => {
                    self.ledger.parts_needed(message, parts + 1);
                    return self.refuse(attempt, NotStarted::Parts(parts + 1));
                }
                _ => {}
            }
        }
        let whole = parts > 1 && self.rng.u8(0..8) == 0;
        let parts = if whole { parts - 1 } else { parts };
        let tickets = self.ledger.started(self.now, attempt, parts);
        self.tell(Event::Started(attempt, parts));
        let law = self.latency[usize::from(link.channel)];
        for ticket in tickets {
            let slow = if self.rng.u8(0..50) == 0 { 2_000 } else { 0 };
            let latency = self.rng.u64(law / 2..law * 2) + slow;
            self.at(latency, What::Answer(ticket.0));
        }
    }

    fn refuse(&mut self, attempt: AttemptRef, why: NotStarted) {
        self.ledger.not_started(self.now, attempt);
        self.tell(Event::NotStarted(attempt, why));
    }

    fn answer(&mut self, ticket: Ticket) {
        let open = self.ledger.runs.get(&ticket.attempt()).is_some_and(|run| {
            self.ledger.windows.contains_key(&run.link) && self.ledger.on_wire(run.link).contains(&ticket)
        });
        if !open {
            return;
        }
        let mut roll = self.rng.u32(0..1_000);
        let verdicts = [Verdict::Retry, Verdict::Reroute, Verdict::Throttled, Verdict::Rejected, Verdict::LinkFault];
        for (verdict, share) in verdicts.into_iter().zip(self.refusals) {
            if roll < share {
                return self.end(ticket, Answer::Refused(verdict));
            }
            roll -= share;
        }
        self.end(ticket, Answer::Submitted);
    }

    fn end(&mut self, ticket: Ticket, answer: Answer) {
        self.ledger.answer(self.now, ticket, &answer);
        self.tell(Event::Answer(ticket, answer));
        self.ledger.freed(ticket);
        self.tell(Event::Freed(ticket));
        self.ledger.review(self.now, ticket.attempt());
    }
}

/// In one world of sixteen an app, one of so many, has a rate of its own: at least so many parts per second.
pub(crate) fn rates(seed: u64, apps: u16, least: f64) -> Vec<AppRule> {
    if seed % 16 != 5 {
        return Vec::new();
    }
    let mut rng = Rng::with_seed(seed ^ 0x4a7e);
    vec![AppRule { id: AppId(rng.u16(..apps)), rate: least * (1.0 + rng.f64() * 9.0) }]
}

pub(crate) fn settings(rng: &mut Rng, shape: Shape) -> Settings {
    let seconds = |list: &[u64]| list.iter().copied().map(Duration::from_secs).collect::<Vec<_>>();
    let resend = |s: u64| InDoubt::Resend(Duration::from_secs(s));
    let tier = |id, attempts, backoff: &[u64], unacked, acked| TierRule {
        id: TierId(id),
        attempts,
        backoff: seconds(backoff),
        unacked,
        acked,
        ..TierRule::default()
    };
    let tiers = vec![
        tier(0, 3, &[0, 1, 3], resend(0), resend(0)),
        tier(1, 3, &[1, 2], resend(2), resend(5)),
        tier(2, 2, &[2], resend(10), InDoubt::Wait),
    ];
    let all = [TierId(0), TierId(1), TierId(2)];
    let channel = |id: u16, rng: &mut Rng| ChannelRule {
        id: ChannelId(id),
        rate: 20.0 + rng.f64() * 180.0,
        burst: rng.u32(1..12),
        tiers: if rng.u8(0..4) == 0 && shape.faults { all[..2].to_vec() } else { all.to_vec() },
        ..ChannelRule::default()
    };
    let channels: Vec<ChannelRule> = (0..3).map(|id| channel(id, rng)).collect();
    let rate: f64 = channels.iter().map(|channel| channel.rate).sum();
    let spill_after = shape.spill.then_some(Duration::from_millis(300));
    let group = |id: u16, rng: &mut Rng| {
        let mut channels: Vec<ChannelId> = (0..3).map(ChannelId).collect();
        rng.shuffle(&mut channels);
        channels.truncate(rng.usize(1..=3));
        // Chosen without dice, so that worlds stay what they were.
        let strategy = match (rate as u64 + u64::from(id)) % 8 {
            0 => Strategy::Weighted(vec![1, 2, 3]),
            1 => Strategy::LeastCost,
            2 => Strategy::Quality { explore: 0.1 },
            3 => Strategy::Balanced(Balance::default()),
            _ => Strategy::Preference,
        };
        GroupRule { id: GroupId(id), channels, spill_after, strategy, internal: false }
    };
    let groups = (0..3).map(|id| group(id, rng)).collect();
    Settings { tiers, channels, groups, ..Settings::default() }
}
