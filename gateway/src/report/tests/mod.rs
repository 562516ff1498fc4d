//! The report held to its promises: a world with a journal, a store and an endpoint in memory, which can crash.

mod again;
mod late;
mod life;
mod memory;
mod recovery;
mod uplink;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Doubt, Inbound, Receipt, ReceiptState, Verdict};
use link::LinkId;

use super::again::{Rule, Why};
use super::end::Past;
use super::recover::{Note, Replay};
use super::state::Detail;
use super::uplink::{Received, Rules};
use super::{Ack, Effect, Ledger, Place, Report};
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{AppId, ChannelId, GroupId, Names, TierId};
use crate::ids::MessageId;
use crate::journal::At;
use crate::journal::bodies::Spot;
use crate::journal::record::{Accepted, AnswerKind, Attempt, Because, OutcomeKind, Record, Telling, kind};
use crate::switch::{End, Message, Recovered};

const RECEIPT_WAIT: Duration = Duration::from_secs(24 * 3600);
const VALIDITY: Duration = Duration::from_secs(300);
/// Channels: two whose carriers send receipts, one whose carrier does not.
const A: ChannelId = ChannelId(0);
const B: ChannelId = ChannelId(1);
const SILENT: ChannelId = ChannelId(2);
const EARLY: ChannelId = ChannelId(3);
const START: u64 = 1_750_000_000_000;

/// One record of the journal; `None` is an id's end.
type Entry = (MessageId, Option<(u8, Vec<u8>)>);

/// The journal: what was written, and who waits for which length of it to be durable.
#[derive(Clone, Default)]
struct Log {
    entries: Vec<Entry>,
    acks: VecDeque<Ack>,
    /// The disk refuses synced records.
    full: bool,
    refused: VecDeque<Ack>,
}

impl Ledger for Log {
    fn note(&mut self, id: MessageId, record: &Record<'_>) {
        let mut octets = Vec::new();
        record.write(&mut octets);
        self.entries.push((id, Some((record.kind(), octets))));
    }
    fn commit(&mut self, id: MessageId, record: &Record<'_>, ack: Ack) {
        if self.full {
            return self.refused.push_back(ack);
        }
        self.note(id, record);
        self.acks.push_back(ack);
    }
    fn end(&mut self, id: MessageId) {
        self.entries.push((id, None));
    }
}

/// An event as the app got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Called {
    id: MessageId,
    seq: u32,
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
}

struct World {
    report: Report,
    log: Log,
    names: Names,
    time: Time,
    wall: Wall,
    /// What the store has on disk.
    store: BTreeMap<MessageId, Past>,
    /// All it was ever given, with the journal's length at the time.
    kept: Vec<(usize, MessageId, Past)>,
    told: Vec<Called>,
    settled: Vec<(Inbound, bool)>,
    concluded: Vec<MessageId>,
    counted: Vec<(OutcomeKind, bool)>,
    unmatched: usize,
    late: Vec<bool>,
    /// Messages that go on to other channels: which they leave, and why.
    again: Vec<(ChannelId, Why, Recovered)>,
    duplicates: usize,
    /// Whose the attempts are, as the switch knows it.
    whose: BTreeMap<AttemptRef, MessageId>,
    further: Vec<Rule>,
    /// Messages from handsets as their apps got them.
    received: Vec<(MessageId, AppId, Received)>,
    repeated: usize,
    /// What the store lists as unmatched.
    unmatched_list: Vec<MessageId>,
    no_owner: Vec<Option<String>>,
    rules: Rules,
    /// The app has an endpoint.
    wanted: bool,
    /// Endpoint and store answer at once.
    endpoint: bool,
    keeping: bool,
    next_id: u64,
    next_inbound: u64,
    found: Option<Found>,
}

/// What a restart found, as the switch gets it.
struct Found {
    waiting: Vec<Recovered>,
}

fn names() -> Names {
    let mut names = Names::default();
    for name in ["a", "b", "silent", "early"] {
        names.channel(name);
    }
    names.app("shop");
    names.group("mobile");
    names.tier("otp");
    names
}

fn receipt(id: &str, to: &str, state: ReceiptState) -> Receipt {
    Receipt { ids: std::iter::once(CarrierId::new(id.as_bytes())).collect(), to: to.into(), state, code: "code".into() }
}

/// One channel's carrier gives parts the ids that its protocol fixes before the answer.
fn early(channel: ChannelId, attempt: AttemptRef, part: u8) -> Option<CarrierId> {
    (channel == EARLY).then(|| CarrierId::new(format!("early-{}-{part}", attempt.0).as_bytes()))
}

fn number(id: MessageId) -> String {
    format!("+86138{:08}", id.0 % 100_000_000)
}

impl World {
    fn new() -> World {
        let mut report = Report::new(RECEIPT_WAIT);
        let (names, rules) = (names(), Rules::default());
        report.plan(&names, [(A, true), (B, true), (SILENT, false)].into_iter(), rules.clone());
        World {
            report,
            log: Log::default(),
            names,
            time: Time(1_000_000),
            wall: Wall(START),
            store: BTreeMap::new(),
            kept: Vec::new(),
            told: Vec::new(),
            settled: Vec::new(),
            concluded: Vec::new(),
            counted: Vec::new(),
            unmatched: 0,
            late: Vec::new(),
            again: Vec::new(),
            duplicates: 0,
            whose: BTreeMap::new(),
            further: Vec::new(),
            received: Vec::new(),
            repeated: 0,
            unmatched_list: Vec::new(),
            no_owner: Vec::new(),
            rules,
            wanted: true,
            endpoint: true,
            keeping: true,
            next_id: MessageId::first_at(Wall(START)).0,
            next_inbound: 0,
            found: None,
        }
    }

    /// The tiers' rules for going on to other channels.
    fn further(&mut self, rules: Vec<Rule>) {
        self.further.clone_from(&rules);
        self.report.follow(rules);
    }

    fn now(&self) -> Moment {
        Moment { time: self.time, wall: self.wall }
    }

    fn pass(&mut self, time: Duration) {
        self.time = self.time.after(time);
        self.wall = Wall(self.wall.0 + time.as_millis() as u64);
        self.report.tick(self.now(), &mut self.log);
    }

    fn id(&mut self) -> MessageId {
        self.next_id += 1;
        MessageId(self.next_id)
    }

    fn accept(&mut self, callback: bool) -> MessageId {
        let id = self.id();
        let expires = Wall(self.wall.0 + VALIDITY.as_millis() as u64);
        let to = number(id);
        let accepted = Accepted {
            at: self.wall,
            expires,
            app: "shop",
            tier: "otp",
            group: "mobile",
            kind: "sms",
            to: &to,
            text: "secret text",
            client_ref: Some("ref"),
            callback,
            parts: 1,
            encoding: "gsm7",
            reserve: 3,
            ..Accepted::default()
        };
        let at = At { segment: 0, offset: self.log.entries.len() as u32, len: 0 };
        self.log.note(id, &Record::Accepted(accepted));
        let message = Message {
            id,
            app: AppId(0),
            group: GroupId(0),
            tier: TierId(0),
            parts: 3,
            expires: self.now().deadline(expires),
            accepted: self.time,
        };
        self.report.accepted(self.now(), &message, (at, Spot::default()), callback);
        id
    }

    fn body(&self, id: MessageId) -> Option<Vec<u8>> {
        body(&self.log.entries, id)
    }

    fn start(&mut self, id: MessageId, channel: ChannelId, parts: u8) -> AttemptRef {
        let attempt = AttemptRef(self.id().0);
        assert!(self.go_on(id, attempt, channel, parts, u64::MAX));
        attempt
    }

    fn go_on(&mut self, id: MessageId, attempt: AttemptRef, channel: ChannelId, parts: u8, only: u64) -> bool {
        let octets = self.body(id).unwrap();
        let Ok(Record::Accepted(accepted)) = Record::read(kind::ACCEPTED, &octets) else { unreachable!() };
        let channel_name = self.names.channels[usize::from(channel.0)].clone();
        let expires = self.now().deadline(accepted.expires);
        let because = Because::default();
        let record = Attempt { at: self.wall, attempt, channel: &channel_name, parts, only, because };
        let now = self.now();
        let fresh = Some(Box::new(Detail::new(accepted.to, accepted.client_ref)));
        self.whose.insert(attempt, id);
        let started = self.report.started(now, (id, expires), &record, channel, fresh, &mut self.log);
        for part in (0..parts).filter(|_| started) {
            let place = Place { message: id, attempt, part };
            early(channel, attempt, part).into_iter().for_each(|id| self.report.expected(place, id));
        }
        started
    }

    fn answer(&mut self, attempt: AttemptRef, part: u8, answer: AnswerKind<'_>) {
        let Some(message) = self.whose.get(&attempt).copied() else { panic!("nobody's attempt") };
        self.report.answered(self.now(), Place { message, attempt, part }, answer, &mut self.log);
    }

    fn submitted(&mut self, attempt: AttemptRef, part: u8, id: &str) {
        self.answer(attempt, part, AnswerKind::Submitted(Some(CarrierId::new(id.as_bytes()))));
    }

    fn refused(&mut self, attempt: AttemptRef, part: u8, verdict: Verdict) {
        self.answer(attempt, part, AnswerKind::Refused(verdict, "0x58"));
    }

    fn unanswered(&mut self, attempt: AttemptRef, part: u8) {
        self.answer(attempt, part, AnswerKind::Unanswered(Doubt::Acked));
    }

    fn exhausted(&mut self, id: MessageId, end: End) {
        let octets = self.body(id);
        let accepted = octets.as_deref().and_then(|octets| match Record::read(kind::ACCEPTED, octets) {
            Ok(Record::Accepted(accepted)) => Some(accepted),
            _ => None,
        });
        self.report.exhausted(self.now(), id, end, accepted.as_ref(), &mut self.log);
    }

    fn receive(&mut self, channel: ChannelId, receipt: &Receipt) -> Inbound {
        self.next_inbound += 1;
        let inbound = Inbound(self.next_inbound as _);
        let orphan = self.id();
        let ack = Ack::Inbound(LinkId { channel: channel.0, link: 0 }, 1, inbound);
        self.report.receipt(self.now(), channel, receipt, orphan, ack, &mut self.log);
        inbound
    }

    /// A receipt for the message, and all that follows from it.
    fn hear(&mut self, channel: ChannelId, id: &str, message: MessageId, state: ReceiptState) {
        self.receive(channel, &receipt(id, &number(message), state));
        self.run();
    }

    /// The disk has everything written so far.
    fn commit(&mut self) {
        for (acks, durable) in
            [(std::mem::take(&mut self.log.acks), true), (std::mem::take(&mut self.log.refused), false)]
        {
            for ack in acks {
                match ack {
                    Ack::Inbound(_, _, inbound) => self.settled.push((inbound, durable)),
                    Ack::Orphan(orphan, _, _, inbound) => {
                        self.report.kept_orphan(orphan, durable);
                        self.settled.push((inbound, durable));
                    }
                    Ack::Outcome(id, seq) => self.report.committed(self.now(), id, seq, durable),
                    Ack::Uplink(id) => self.report.uplink_committed(self.now(), id, durable, &mut self.log),
                    Ack::Joined(first) => self.report.uplink_joined(self.now(), first, durable),
                }
            }
        }
    }

    /// Does what the report wants done, once.
    fn effects(&mut self) -> bool {
        let mut effects = Vec::new();
        self.report.swap_effects(&mut effects);
        let any = !effects.is_empty();
        for effect in effects {
            match effect {
                Effect::Conclude(id) => self.concluded.push(id),
                Effect::Tell(id, app, seq) => self.tell(id, app, seq),
                Effect::Store(id) if self.keeping => self.keep(id),
                Effect::Store(_) => {}
                Effect::StoreUplink(id) if self.keeping => self.keep_uplink(id),
                Effect::StoreUplink(_) => {}
                Effect::Settle(carrier, durable) => self.settled.push((carrier.inbound, durable)),
                Effect::Repeated(_) => self.repeated += 1,
                Effect::NoOwner(_, number) => self.no_owner.push(number),
                Effect::GivenUp(_) => {}
                Effect::Concluded { correction, outcome, .. } => self.counted.push((outcome, correction)),
                Effect::Delay(..) | Effect::Fate(_) | Effect::Decided(..) => {}
                Effect::Again(_, channel, why, recovered) => self.again.push((channel, why, *recovered)),
                Effect::Duplicate(_) => self.duplicates += 1,
                Effect::Unmatched(_) => self.unmatched += 1,
                Effect::Late(_, changed) => self.late.push(changed),
                Effect::Seek(orphan, channel, ids) => {
                    let name = &self.names.channels[usize::from(channel.0)];
                    let knows = |past: &Past| past.ids.iter().any(|(n, id)| n == name && ids.contains(id));
                    let message = self.store.iter().rev().find(|(_, past)| knows(past)).map(|(id, _)| *id);
                    self.report.sought(self.now(), orphan, message, &mut self.log);
                }
                Effect::Recall(id) => {
                    let history = self.store.get(&id).map(|past| past.history.clone());
                    self.report.recalled(self.now(), id, history, &mut self.log);
                }
            }
        }
        any
    }

    fn tell(&mut self, id: MessageId, app: AppId, seq: u32) {
        if !self.wanted {
            return self.report.unwanted(self.now(), id, seq, &mut self.log);
        }
        let company = |name: &str| Some(name.to_uppercase());
        if let Some((_, _, data)) = self.report.received(id, company, |_| Some("CN")) {
            return self.received(id, app, data);
        }
        let (kind, _, data) = self.report.event(id, seq, |_| None).expect("an event that is to be told can be told");
        self.told.push(Called { id, seq, kind, status: data.status, reason: data.reason });
        if self.endpoint {
            self.report.told(self.now(), id, seq, Telling::Delivered, &mut self.log);
        }
    }

    fn keep(&mut self, id: MessageId) {
        let octets = self.body(id);
        let accepted = octets.as_deref().and_then(|octets| match Record::read(kind::ACCEPTED, octets) {
            Ok(Record::Accepted(accepted)) => Some(accepted),
            _ => None,
        });
        let past = self.report.past(id, accepted.as_ref()).expect("what is to be kept is known");
        self.kept.push((self.log.entries.len(), id, past.clone()));
        self.store.insert(id, past);
        self.report.persisted(self.now(), id, &mut self.log);
    }

    /// Until nothing moves.
    fn run(&mut self) {
        for _ in 0..1_000 {
            self.commit();
            if self.report.deadline().is_some_and(|at| at <= self.time) {
                self.pass(Duration::ZERO);
            }
            if !self.effects() && self.log.acks.is_empty() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// The events told of a message: kinds and statuses.
    /// How many records of that kind were written.
    fn written(&self, kind: u8) -> usize {
        let is = |(_, record): &&Entry| record.as_ref().is_some_and(|(of, _)| *of == kind);
        self.log.entries.iter().filter(is).count()
    }

    fn heard_of(&self, id: MessageId) -> Vec<(&'static str, &'static str, &'static str)> {
        self.told.iter().filter(|t| t.id == id).map(|t| (t.kind, t.status, t.reason)).collect()
    }

    /// A process that finds these records, in order.
    fn restart(&self, entries: &[Entry]) -> World {
        let mut world = World::new();
        world.plan(self.rules.clone());
        world.further(self.further.clone());
        world.log.entries = entries.to_vec();
        world.store = self.store.clone();
        world.whose = self.whose.clone();
        (world.time, world.wall) = (Time(1_000_000), self.wall);
        (world.next_id, world.next_inbound) = (self.next_id, self.next_inbound);
        let now = world.now();
        let mut replay = Replay::new(&mut world.report, &mut world.names, now);
        for (i, (id, record)) in entries.iter().enumerate() {
            let at = At { segment: 0, offset: i as u32, len: 0 };
            match record {
                Some((kind, octets)) => replay.record(*id, &Record::read(*kind, octets).unwrap(), at),
                None => replay.ended(*id),
            }
        }
        let (found, notes) = replay.finish(|id, _| body(entries, id), early);
        for (id, note) in notes {
            match note {
                Note::Note(kind, octets) => world.log.entries.push((id, Some((kind, octets)))),
                Note::Commit(kind, octets, ack) => {
                    world.log.entries.push((id, Some((kind, octets))));
                    world.log.acks.push_back(ack);
                }
                Note::End => world.log.entries.push((id, None)),
            }
        }
        let untried = |message| Recovered { message, refused: 0, excluded: vec![], in_doubt: None, doubtful: false };
        let mut waiting: Vec<Recovered> = found.fresh.into_iter().map(untried).chain(found.begun).collect();
        waiting.sort_by_key(|recovered| recovered.message.id);
        world.found = Some(Found { waiting });
        world
    }

    fn crash(&self) -> World {
        self.restart(&self.log.entries)
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.report.census(), ([0; 5], [0; 6]));
    }

    /// Whether the journal holds nothing of that id any more.
    fn ended(&self, id: MessageId) -> bool {
        self.log.entries.iter().rev().find(|(of, _)| *of == id).is_some_and(|(_, record)| record.is_none())
    }

    fn assert_all_ended(&self) {
        for (id, _) in &self.log.entries {
            assert!(self.ended(*id), "{id} has not ended");
        }
    }
}

fn body(entries: &[Entry], id: MessageId) -> Option<Vec<u8>> {
    let accepted = |(of, record): &&Entry| *of == id && record.as_ref().is_some_and(|(k, _)| *k == kind::ACCEPTED);
    entries.iter().find(accepted)?.1.as_ref().map(|(_, octets)| octets.clone())
}

impl MessageId {
    fn first_at(wall: Wall) -> MessageId {
        crate::ids::Ids::default().next(wall)
    }
}

/// The channels' names; a history speaks in them.
fn name(channel: ChannelId) -> Arc<str> {
    names().channels[usize::from(channel.0)].clone()
}
