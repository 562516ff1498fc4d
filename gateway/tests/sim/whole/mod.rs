//! Worlds of the whole line: the real switch and the real report, with models of carriers, journal, store, clock, apps,
//! endpoints and operators around them, in virtual time and from one seed. The gateway may die at any moment and start
//! again from what the disk has; the rest of the world goes on.
//!
//! What joins switch and report to the outside (`app.rs` in the gateway) is modelled by `line.rs` here, turn by turn.

mod books;
mod disk;
mod endpoints;
mod far;
mod line;
mod swarm;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use carriers::{CarrierId, Doubt, Ticket, Verdict};
use fastrand::Rng;
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{ChannelId, Names, Service};
use gateway::ids::MessageId;
use gateway::journal::record::Telling;
use gateway::report::again;
use gateway::switch::{ChannelRule, Settings};
use link::LinkId;

use crate::ledger::Ledger;
use crate::world::{Shape, rates, settings};
use books::Books;
use disk::{Disk, Kept};
use endpoints::Endpoints;
use far::{Carrier, Link, Slip};
use line::{Line, Start};
pub(crate) use swarm::States;
use swarm::{Fault, Swarm};

const SECOND: u64 = 1_000_000;
/// True microseconds of the wall's first reading.
const WALL: u64 = 1_800_000_000_000;
/// The process's own clock when it starts.
const BASE: u64 = 1_000_000;
const RECEIPT_WAIT: Duration = Duration::from_secs(180);
pub(crate) const APPS: [&str; 3] = ["shop", "bank", "quiet"];

/// The app of a request: the number says whose it is.
pub(crate) fn app(request: usize) -> usize {
    request % APPS.len()
}

/// Whether the app of a request wants events; the last does not.
pub(crate) fn has_callback(request: usize) -> bool {
    app(request) != APPS.len() - 1
}

/// What an app wants sent.
pub(crate) struct Request {
    pub(crate) app: usize,
    pub(crate) tier: u8,
    pub(crate) group: u16,
    pub(crate) parts: u8,
    pub(crate) to: String,
    validity: Duration,
    tries: u8,
    /// Carriers break on it.
    poisonous: bool,
    /// The app has its 202.
    answered: bool,
}

/// What a link says.
pub(crate) enum Heard {
    Up(usize),
    Down,
    Closed,
    Answer(Ticket, Said),
    /// The number of a receipt, and of the connection it came over.
    Receipt(usize, u64),
    /// The answer to a probe.
    Pong,
    /// So many microseconds octets have waited for the far kernel.
    Unacked(u64),
}

/// How a part ended.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Submitted(CarrierId),
    Refused(Verdict),
    Unanswered(Doubt),
}

/// What waits for the gateway's next turn.
pub(crate) enum Input {
    Request(usize),
    Heard(LinkId, Heard),
    Committed(Vec<disk::Waiter>, bool),
    Body(Start),
    Told(MessageId, u32, Telling),
    Persisted(MessageId),
    Sought(MessageId, Option<MessageId>),
    Recalled(MessageId),
    Hold(ChannelId, bool),
    Reload,
    /// A reload that changes endpoints only.
    Endpoints,
}

/// What happens at its time. What belongs to one life of the gateway ends with it.
enum What {
    Offer(usize),
    Request(usize),
    Connect(LinkId),
    Gone(LinkId, u8),
    Part(LinkId, u64, Ticket),
    Reply(LinkId, u64, Ticket, Said),
    Patience(LinkId, u64, Ticket),
    Probe(LinkId, u64),
    Pong(LinkId, u64),
    /// A look at what the kernel says of a connection.
    Looked(LinkId, u64),
    Receipt(usize),
    Reset(u16),
    FaultOn(u16, Fault),
    FaultOff(u16),
    Sync(u32),
    Synced(u32),
    Lazy(u32),
    RefuseWrites(bool),
    FailSyncs(bool),
    Inbox(u32, Input),
    Store(u32, MessageId, Kept),
    Call(u32, usize),
    Endpoint(usize, bool),
    Pause(u64),
    Wall(i64),
    Hold(u16, bool),
    Reload,
    Crash(bool),
    Start,
    Heal,
}

struct Planned(u64, u64, What);

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(crate) struct World {
    rng: Rng,
    swarm: Swarm,
    agenda: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    /// True time, microseconds.
    now: u64,
    /// How far the wall clock is off, milliseconds.
    skew: i64,
    /// When this life of the gateway began, and its number.
    born: u64,
    life: u32,
    line: Option<Line>,
    /// Nothing in the gateway moves before this.
    stalled: u64,
    inbox: VecDeque<Input>,
    /// Of this life of the switch.
    ledger: Ledger,
    books: Books,
    disk: Disk,
    sync_fails: bool,
    retry_at: u64,
    whole: Settings,
    settings: Settings,
    names: Names,
    /// By tier: when a receipt, or none, moves a message on.
    onward: Vec<again::Rule>,
    /// By channel: whether its carrier sends receipts.
    sends: Vec<bool>,
    endpoints: Endpoints,
    carriers: Vec<Carrier>,
    links: BTreeMap<LinkId, Link>,
    next_link: u16,
    next_generation: u64,
    slips: Vec<Slip>,
    patience: u64,
    requests: Vec<Request>,
    /// Messages still to be offered, and how many microseconds apart.
    left: u32,
    gap: u64,
    held: BTreeSet<ChannelId>,
    /// When faults end.
    heals: u64,
    restless: bool,
}

/// What a world came to.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) reached: States,
    pub(crate) simulated: Duration,
    pub(crate) messages: usize,
    pub(crate) parts: u64,
    pub(crate) lives: u32,
    /// The switch would have woken for ever with nothing to do.
    pub(crate) restless: bool,
    /// Suspicions of carriers with which nothing was wrong, and for how long there were any.
    pub(crate) false_suspicions: u32,
    pub(crate) watched: Duration,
}

/// What may go wrong in the world of a seed.
pub(crate) fn faults(seed: u64) -> String {
    format!("{:?}", World::new(seed).swarm)
}

/// Runs the world of one seed to its end; panics where a promise is broken.
pub(crate) fn run(seed: u64) -> Summary {
    let mut world = World::new(seed);
    world.run();
    let World { books, now, life, carriers, settings, restless, .. } = world;
    let (messages, parts) = (books.len(), books.sent);
    let watched = Duration::from_micros(now) * settings.channels.len() as u32;
    Summary {
        reached: books.reached,
        simulated: Duration::from_micros(now),
        messages,
        parts,
        lives: life,
        restless,
        false_suspicions: carriers.iter().map(|carrier| carrier.false_suspicions).sum(),
        watched,
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed ^ 0x0a11_0f17);
        let swarm = Swarm::random(&mut rng, seed);
        let shape = Shape { faults: !swarm.is_quiet(), ..Shape::random(seed) };
        let mut whole = settings(&mut rng, shape);
        whole.apps = rates(seed, APPS.len() as u16, 0.5);
        for group in &mut whole.groups {
            if group.channels.len() == 1 && rng.bool() {
                group.channels = (0..3).map(ChannelId).collect();
            }
        }
        for channel in &mut whole.channels {
            (channel.probes, channel.carrier) = (rng.u8(0..5) > 0, u32::from(channel.id.0));
        }
        if rng.bool() {
            for (tier, weight) in whole.tiers.iter_mut().skip(1).zip([8, 2]) {
                tier.service = Service::Weighted { weight, minimum: 10 };
            }
        }
        let mut names = Names::default();
        for name in ["a", "b", "c"] {
            names.channel(name);
            names.group(name);
        }
        for name in ["otp", "notice", "marketing"] {
            names.tier(name);
        }
        for app in APPS {
            names.app(app);
        }
        let onward = whole.tiers.iter().map(|tier| again::Rule {
            tier: tier.id,
            attempts: tier.attempts,
            on_failed: rng.bool(),
            receipt_within: (rng.u8(0..3) == 0).then(|| Duration::from_secs(rng.u64(5..40))),
        });
        let onward = onward.collect();
        let sends: Vec<bool> = (0..3).map(|_| rng.u8(0..5) > 0).collect();
        let errors = swarm.has(Fault::Errors);
        let carriers = (0..3).map(|_| Carrier::random(&mut rng, errors)).collect();
        let active = if rng.u8(0..4) == 0 { rng.u64(300..1_500) } else { rng.u64(30..240) } * SECOND;
        let messages = rng.u32(60..500);
        World {
            agenda: BinaryHeap::new(),
            planned: 0,
            now: 0,
            skew: 0,
            born: 0,
            life: 0,
            line: None,
            stalled: 0,
            inbox: VecDeque::new(),
            ledger: Ledger::default(),
            books: Books::new(swarm.clone(), sends.clone()),
            disk: Disk::default(),
            sync_fails: false,
            retry_at: 0,
            settings: whole.clone(),
            whole,
            names,
            onward,
            sends,
            endpoints: Endpoints::new(seed, &swarm),
            carriers,
            links: BTreeMap::new(),
            next_link: 0,
            next_generation: 0,
            slips: Vec::new(),
            patience: rng.u64(3..10) * SECOND,
            requests: Vec::new(),
            left: messages,
            gap: active / u64::from(messages),
            held: BTreeSet::new(),
            heals: active,
            restless: false,
            swarm,
            rng,
        }
    }

    fn after(&mut self, wait: u64, what: What) {
        self.planned += 1;
        self.agenda.push(Reverse(Planned(self.now + wait, self.planned, what)));
    }

    /// The gateway's own time.
    fn time(&self) -> Time {
        Time(self.now - self.born + BASE)
    }

    fn wall(&self) -> Wall {
        Wall((WALL + self.now / 1_000).saturating_add_signed(self.skew))
    }

    fn moment(&self) -> Moment {
        Moment { time: self.time(), wall: self.wall() }
    }

    /// At a random moment while there are faults.
    fn sometime(&mut self, what: What) {
        let at = self.rng.u64(..self.heals);
        self.after(at, what);
    }

    fn open(&mut self) {
        self.start();
        for app in 0..APPS.len() {
            let wait = self.rng.u64(..self.gap * 3 + 1);
            self.after(wait, What::Offer(app));
        }
        let heals = self.heals;
        self.after(heals, What::Heal);
        let of_carriers = self.swarm.of_carriers();
        for fault in of_carriers {
            for _ in 0..self.rng.u8(1..=3) {
                let channel = self.rng.u16(0..3);
                self.sometime(What::FaultOn(channel, fault));
            }
        }
        let has = |world: &World, fault| world.swarm.has(fault);
        for (fault, power) in [(Fault::Kill, false), (Fault::PowerCut, true)] {
            for _ in 0..if has(self, fault) { self.rng.u8(1..=4) } else { 0 } {
                self.sometime(What::Crash(power));
            }
        }
        for _ in 0..if has(self, Fault::Pauses) { self.rng.u8(1..=6) } else { 0 } {
            let lasts = if self.rng.bool() { self.rng.u64(20_000..400_000) } else { self.rng.u64(1..12) * SECOND };
            self.sometime(What::Pause(lasts));
        }
        for _ in 0..if has(self, Fault::WallJumps) { self.rng.u8(1..=3) } else { 0 } {
            let most = [500, 20_000, 3_600_000][self.rng.usize(..3)];
            let jump = self.rng.i64(-most..most);
            self.sometime(What::Wall(jump));
        }
        for _ in 0..if has(self, Fault::Holds) { self.rng.u8(1..=3) } else { 0 } {
            let channel = self.rng.u16(0..3);
            self.sometime(What::Hold(channel, true));
            self.sometime(What::Hold(channel, false));
        }
        for _ in 0..if has(self, Fault::Reloads) { self.rng.u8(1..=8) } else { 0 } {
            self.sometime(What::Reload);
        }
        for (fault, refuse) in [(Fault::FailingWrite, true), (Fault::FailingSync, false)] {
            for _ in 0..if has(self, fault) { self.rng.u8(1..=3) } else { 0 } {
                self.sometime(if refuse { What::RefuseWrites(true) } else { What::FailSyncs(true) });
            }
        }
        self.endpoints_change();
    }

    /// Runs until everything has come to rest, then looks whether the books close.
    fn run(&mut self) {
        self.open();
        for _ in 0..1_000_000 {
            let planned = self.agenda.peek().map(|Reverse(planned)| planned.0);
            let turn = self.next_turn();
            let Some(next) = planned.into_iter().chain(turn).min() else { return self.close() };
            if self.is_restless() {
                self.restless = true;
                return self.close();
            }
            assert!(next >= self.now);
            self.now = next;
            while self.agenda.peek().is_some_and(|Reverse(planned)| planned.0 <= next) {
                let Some(Reverse(Planned(_, _, what))) = self.agenda.pop() else { break };
                self.happen(what);
            }
            if self.next_turn().is_some_and(|at| at <= self.now) {
                self.turn();
            }
        }
        let now = self.time();
        let views = self.line.iter().flat_map(|line| self.channels().map(move |id| line.switch.channel(now, id)));
        panic!("the world does not end: {:?}", views.collect::<Vec<_>>());
    }

    /// When the gateway will move, if nothing else happens.
    fn next_turn(&self) -> Option<u64> {
        let line = self.line.as_ref()?;
        if !self.inbox.is_empty() {
            return Some(self.now.max(self.stalled));
        }
        let deadline = [line.switch.deadline(), line.report.deadline()].into_iter().flatten().min()?;
        Some((deadline.0.saturating_add(self.born) - BASE).max(self.now).max(self.stalled))
    }

    /// Nothing is left to do and faults are long over, and the switch still looks after links.
    fn is_restless(&self) -> bool {
        let idle = |line: &Line| line.switch.messages() == 0 && line.report.is_empty() && line.report.orphans() == 0;
        self.now > self.heals + 2 * 3_600 * SECOND && self.line.as_ref().is_some_and(idle)
    }

    fn close(&mut self) {
        let Some(mut line) = self.line.take() else { panic!("the world ends without its gateway") };
        assert_eq!(line.switch.messages(), 0, "messages are left in the switch and nothing will happen");
        // Receipts that nobody knows are kept for three days.
        self.now += 73 * 3_600 * SECOND;
        let moment = self.moment();
        line.report.tick(moment, &mut self.disk);
        self.now -= 73 * 3_600 * SECOND;
        assert_eq!((line.report.len(), line.report.orphans()), (0, 0), "messages and receipts left in the report");
        let new = self.disk.write_out().expect("the disk is well");
        self.books.written(&new);
        self.disk.syncing = Some(self.disk.len());
        let (new, _) = self.disk.synced();
        self.books.synced(&new);
        self.books.close();
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Offer(app) => self.offer(app),
            What::Request(request) => self.request(request),
            What::Connect(link) => self.connect(link),
            What::Gone(link, looks) => self.gone(link, looks),
            What::Part(link, generation, ticket) => self.part(link, generation, ticket),
            What::Reply(link, generation, ticket, said) => self.reply(link, generation, ticket, said),
            What::Patience(link, generation, ticket) => self.out_of_patience(link, generation, ticket),
            What::Probe(link, generation) => self.probe_came(link, generation),
            What::Pong(link, generation) => self.pong(link, generation),
            What::Looked(link, generation) => self.looked(link, generation),
            What::Receipt(nth) => self.say(nth),
            What::Reset(channel) => self.reset(channel),
            What::FaultOn(channel, fault) => {
                let lasts = self.rng.u64(1..30) * SECOND;
                self.fault_on(channel, fault, lasts);
            }
            What::FaultOff(channel) => self.fault_off(channel),
            What::Sync(life) if life == self.life => self.sync(),
            What::Synced(life) if life == self.life => self.synced(),
            What::Lazy(life) if life == self.life => self.sync(),
            What::RefuseWrites(refuses) => {
                self.disk.refuses_writes = refuses;
                if refuses {
                    let lasts = self.rng.u64(10_000..3 * SECOND);
                    self.after(lasts, What::RefuseWrites(false));
                }
            }
            What::FailSyncs(fails) => {
                self.sync_fails = fails;
                if fails {
                    let lasts = self.rng.u64(10_000..3 * SECOND);
                    self.after(lasts, What::FailSyncs(false));
                }
            }
            What::Inbox(life, input) if life == self.life => self.inbox.push_back(input),
            What::Store(life, id, kept) if life == self.life => {
                self.disk.keep(id, kept);
                self.inbox.push_back(Input::Persisted(id));
            }
            What::Call(life, app) if life == self.life => self.next_call(app),
            What::Endpoint(app, reload) => self.endpoint(app, reload),
            What::Pause(lasts) => {
                self.stalled = self.now + lasts;
                line::trace(|| format!("{:>12} PAUSE {lasts}", self.now));
                let until = self.stalled;
                self.carriers.iter_mut().for_each(|carrier| carrier.troubled(until));
                self.books.reached.hit("paused");
            }
            What::Wall(jump) => {
                line::trace(|| format!("{:>12} WALL {jump}", self.now));
                self.skew += jump;
                self.books.reached.hit("wall jumped");
            }
            What::Hold(channel, held) => self.inbox.push_back(Input::Hold(ChannelId(channel), held)),
            What::Reload => self.inbox.push_back(Input::Reload),
            What::Crash(power) => {
                line::trace(|| format!("{:>12} CRASH {power}", self.now));
                self.crash(power)
            }
            What::Start => self.start(),
            What::Heal => self.heal(),
            What::Sync(_) | What::Synced(_) | What::Lazy(_) | What::Inbox(..) | What::Store(..) | What::Call(..) => {}
        }
    }

    /// Faults are over.
    fn heal(&mut self) {
        for channel in 0..3 {
            self.fault_off(channel);
            self.inbox.push_back(Input::Hold(ChannelId(channel), false));
        }
        (self.disk.refuses_writes, self.sync_fails) = (false, false);
        self.inbox.push_back(Input::Reload);
    }

    fn offer(&mut self, app: usize) {
        let burst = if self.swarm.has(Fault::Bursts) && self.rng.u8(0..20) == 0 { self.rng.u32(10..60) } else { 1 };
        for _ in 0..burst.min(self.left) {
            self.left -= 1;
            // The number says whose it is.
            self.requests.resize_with(self.requests.len().next_multiple_of(APPS.len()), Request::none);
            let nth = self.requests.len() + app;
            self.requests.resize_with(nth, Request::none);
            let request = self.wish(app, nth);
            self.requests.push(request);
            self.request(nth);
        }
        if self.left > 0 {
            let wait = self.rng.u64(..self.gap * 2 * APPS.len() as u64 + 1) * u64::from(burst.min(4));
            self.after(wait, What::Offer(app));
        }
    }

    fn wish(&mut self, app: usize, nth: usize) -> Request {
        let tier = if self.rng.u8(0..3) == 0 { 0 } else { self.rng.u8(1..3) };
        let validity = if tier == 0 { self.rng.u64(6..90) } else { self.rng.u64(8..200) };
        let parts = match self.rng.u8(0..80) {
            0..16 => self.rng.u8(2..=4),
            16 => 30,
            _ => 1,
        };
        let number = if self.swarm.has(Fault::SharedNumbers) { self.rng.usize(..12) } else { nth };
        Request {
            app,
            tier,
            group: self.rng.u16(0..3),
            parts,
            to: format!("+86138{number:08}"),
            validity: Duration::from_secs(validity),
            tries: 0,
            poisonous: self.swarm.has(Fault::Poison) && self.rng.u8(0..40) == 0,
            answered: false,
        }
    }

    /// An app asks, or asks again with the same key.
    fn request(&mut self, nth: usize) {
        let request = &mut self.requests[nth];
        request.tries += 1;
        let again = request.tries < 6 && !request.answered;
        if again && self.swarm.has(Fault::Repeats) {
            let wait = self.rng.u64(200_000..3_000_000);
            self.after(wait, What::Request(nth));
        }
        if self.line.is_some() && !self.requests[nth].answered {
            self.inbox.push_back(Input::Request(nth));
        }
    }

    fn sync(&mut self) {
        if self.disk.due().is_none() {
            return;
        }
        let latency = match self.rng.u8(0..40) {
            _ if self.swarm.has(Fault::SlowSync) && self.rng.u8(0..12) == 0 => self.rng.u64(50_000..2_000_000),
            0 => self.rng.u64(5_000..40_000),
            _ => self.rng.u64(300..4_000),
        };
        if let Ok(new) = self.disk.write_out() {
            self.books.written(&new);
            self.disk.syncing = Some(self.disk.len());
        } else {
            self.disk.syncing = Some(0);
        }
        let life = self.life;
        self.after(latency, What::Synced(life));
    }

    fn synced(&mut self) {
        if self.sync_fails || self.disk.syncing == Some(0) && self.disk.len() > 0 {
            let waiters = self.disk.failed();
            if !waiters.is_empty() {
                self.inbox.push_back(Input::Committed(waiters, false));
            }
            self.retry_at = self.now + self.rng.u64(10_000..1_000_000);
        } else {
            let (new, waiters) = self.disk.synced();
            self.books.synced(&new);
            if !waiters.is_empty() {
                self.inbox.push_back(Input::Committed(waiters, true));
            }
        }
        self.arrange_sync();
    }

    /// A sync begins as soon as none is in flight and somebody waits; what nobody waits for is synced after 20 ms.
    fn arrange_sync(&mut self) {
        let Some(hurry) = self.disk.due() else { return };
        let life = self.life;
        let wait = self.retry_at.saturating_sub(self.now);
        if hurry { self.after(wait, What::Sync(life)) } else { self.after(wait.max(20_000), What::Lazy(life)) }
    }

    fn crash(&mut self, power: bool) {
        if self.line.is_none() {
            return;
        }
        let (least, most) = self.disk.bounds(power);
        let left = self.rng.usize(least..=most);
        if left < most {
            self.books.reached.hit("torn tail");
        }
        self.books.reached.hit(if power { "power cut" } else { "killed" });
        let (lost, found) = self.disk.crash(left);
        self.books.crash(left, &lost);
        self.books.synced(&found);
        self.line = None;
        self.life += 1;
        self.inbox.clear();
        self.links.clear();
        self.endpoints.crash();
        let before = self.agenda.len();
        self.repeat_slips(|_| true);
        if self.agenda.len() > before {
            self.books.reached.hit("receipt kept for a restart");
        }
        let wait = self.rng.u64(100_000..5 * SECOND);
        self.after(wait, What::Start);
    }
}

impl Request {
    /// A number that no app uses.
    fn none() -> Request {
        let (to, validity) = (String::new(), Duration::ZERO);
        Request { app: 0, tier: 0, group: 0, parts: 0, to, validity, tries: u8::MAX, poisonous: false, answered: true }
    }
}

/// The contracts of a plan.
fn contracts(settings: &Settings) -> impl Iterator<Item = (ChannelId, f64, u32)> {
    settings.channels.iter().map(|ChannelRule { id, rate, burst, .. }| (*id, *rate, *burst))
}
