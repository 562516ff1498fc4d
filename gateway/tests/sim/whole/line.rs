//! The gateway's line as `app.rs` has it, in virtual time: the real switch and the real report, joined turn by turn to
//! the models of journal, links, store and endpoints. The promises at this seam (a 202 and a carrier's answer only once
//! the record is on disk, an attempt written before its parts leave) are kept here by the same few lines as there.

use std::collections::HashMap;
use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Ticket, Verdict};
use gateway::clock::{Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, TierId};
use gateway::ids::{Ids, MessageId};
use gateway::journal::bodies::Spot;
use gateway::journal::record::{Accepted, AnswerKind, Attempt, Because, OutcomeKind, Outline, Record, kind};
use gateway::report::recover::{Note, Replay};
use gateway::report::state::Detail;
use gateway::report::{Ack, Effect, Place, Report, uplink};
use gateway::switch::health::State;
use gateway::switch::{Answer, Command, End, Event, Message, NotStarted, Switch};
use link::LinkId;

use super::disk::{Entry, Kept, Waiter};
use super::swarm::Fault;
use super::{APPS, BASE, Heard, Input, RECEIPT_WAIT, Said, What, World, contracts, has_callback};
use crate::ledger::Ledger;

/// The gateway, while it lives.
pub(super) struct Line {
    pub(super) switch: Switch,
    pub(super) report: Report,
    ids: Ids,
    commands: Vec<Command>,
    outgoing: Vec<(Start, u8)>,
    /// What became of each idempotency key: on its way, or accepted.
    keys: HashMap<usize, (MessageId, bool)>,
}

/// An attempt the switch ordered.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    attempt: AttemptRef,
    message: MessageId,
    link: LinkId,
    parts: u8,
    only: u64,
    expires: Time,
}

/// `SIM_TRACE=1`: says what happens.
pub(crate) fn trace(what: impl FnOnce() -> String) {
    static ON: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if *ON.get_or_init(|| std::env::var_os("SIM_TRACE").is_some()) {
        eprintln!("{}", what());
    }
}

/// How many of so many parts are named.
fn named(parts: u8, only: u64) -> u8 {
    (0..parts).filter(|part| is_named(*part, only)).count() as u8
}

fn is_named(part: u8, only: u64) -> bool {
    only.checked_shr(u32::from(part)).is_some_and(|only| only & 1 == 1)
}

/// The accepted record behind a body.
fn accepted(body: &[u8]) -> Option<Accepted<'_>> {
    match Record::read(kind::ACCEPTED, body) {
        Ok(Record::Accepted(accepted)) => Some(accepted),
        _ => None,
    }
}

impl World {
    /// The gateway starts, from what the disk has.
    pub(super) fn start(&mut self) {
        self.born = self.now;
        self.stalled = self.now;
        self.ledger = Ledger::default();
        let (now, mut names) = (self.moment(), self.names.clone());
        let mut report = Report::new(RECEIPT_WAIT);
        report.plan(&names, self.sends.iter().enumerate().map(|(i, sends)| (ChannelId(i as u16), *sends)), rules());
        report.follow(self.onward.clone());
        let entries = self.disk.entries();
        let mut keys = HashMap::new();
        let mut replay = Replay::new(&mut report, &mut names, now);
        for (at, Entry { id, record, .. }) in entries.iter().enumerate() {
            let Some((kind, octets)) = record else { continue };
            let record = Record::read(*kind, octets).expect("a record reads as it was written");
            if let Record::Accepted(Accepted { idempotency_key: Some(key), .. }) = &record {
                keys.insert(key.parse().unwrap(), (*id, true));
            }
            replay.record(*id, &record, gateway::journal::At { segment: 0, offset: at as u32, len: 0 });
        }
        let (found, notes) =
            replay.finish(|id, _| self.disk.body(id), |channel, attempt, part| self.early(channel, attempt, part));
        for (id, note) in notes {
            match note {
                Note::Note(kind, octets) => self.disk.take(id, kind, octets, None),
                Note::Commit(kind, octets, ack) => self.disk.take(id, kind, octets, Some(ack)),
                Note::End => gateway::report::Ledger::end(&mut self.disk, id),
            }
        }
        // What the store knows of keys whose message is forgotten.
        for request in 0..self.requests.len() {
            if let Some(id) = self.books.of_request(request) {
                keys.entry(request).or_insert((id, true));
            }
        }
        let (now_true, wall) = (self.now, self.wall().0);
        self.books.born(now_true, wall, |id| report.live(id).is_some());
        let highest = self.disk.highest.max(found.highest_attempt);
        let (switch, ids) = (Switch::new(highest), Ids::above(highest));
        let mut line = Line { switch, report, ids, commands: Vec::new(), outgoing: Vec::new(), keys };
        self.ledger.excused = self.time();
        self.apply(&mut line);
        for message in found.fresh {
            self.ledger.accept(message);
            self.tell(&mut line, Event::Accepted(message));
        }
        for recovered in found.begun {
            if recovered.in_doubt.is_some() {
                self.books.reached.hit("in doubt at a restart");
            }
            self.ledger.recover(&recovered);
            self.tell(&mut line, Event::Recovered(recovered));
        }
        for channel in self.settings.channels.iter().map(|c| c.id.0).collect::<Vec<_>>() {
            self.fill(channel);
        }
        self.line = Some(line);
        self.turn();
    }

    /// Follows the plan.
    fn apply(&mut self, line: &mut Line) {
        let now = self.now;
        self.ledger.plan(self.time(), &self.settings);
        self.books.plan(now, contracts(&self.settings));
        line.report.plan(
            &self.names,
            self.sends.iter().enumerate().map(|(i, sends)| (ChannelId(i as u16), *sends)),
            rules(),
        );
        line.report.follow(self.onward.clone());
        self.tell(line, Event::Plan(self.settings.clone()));
        self.endpoints_in_force();
        for channel in self.channels() {
            self.hold(line, channel, self.held.contains(&channel));
        }
    }

    fn hold(&mut self, line: &mut Line, channel: ChannelId, held: bool) {
        if held {
            self.held.insert(channel);
            self.ledger.held.insert(channel);
        } else {
            self.held.remove(&channel);
            self.ledger.held.remove(&channel);
        }
        self.tell(line, Event::Hold(channel, held));
    }

    /// Rates change; channels leave and come back; groups change their order.
    fn reload(&mut self, line: &mut Line) {
        self.books.reached.hit("reloaded");
        let mut next = self.whole.clone();
        if self.now < self.heals {
            for channel in &mut next.channels {
                channel.rate = (channel.rate * (0.5 + self.rng.f64())).max(5.0);
                channel.burst = self.rng.u32(1..12);
            }
            next.channels.retain(|_| self.rng.u8(0..5) > 0);
            for group in &mut next.groups {
                self.rng.shuffle(&mut group.channels);
                group.channels.retain(|id| next.channels.iter().any(|channel| channel.id == *id));
            }
        }
        self.settings = next;
        self.apply(line);
        for channel in self.channels() {
            let stays = self.settings.channels.iter().any(|c| c.id == channel) && self.rng.u8(0..4) > 0;
            let leaving: Vec<LinkId> =
                self.links.keys().filter(|link| !stays && link.channel == channel.0).copied().collect();
            for id in leaving {
                let Some(link) = self.links.get_mut(&id).filter(|link| !link.closing) else { continue };
                link.closing = true;
                if !link.open.is_empty() {
                    self.books.reached.hit("link closed busy");
                }
                self.ledger.link_closing(id);
                self.tell(line, Event::LinkClosing(id));
                self.after(1_000, What::Gone(id, 20));
            }
            if self.settings.channels.iter().any(|c| c.id == channel) {
                self.fill(channel.0);
            }
        }
    }

    fn tell(&mut self, line: &mut Line, event: Event) {
        let before = line.commands.len();
        trace(|| format!("{:>12} EV {event:?}", self.now));
        line.switch.step(self.time(), event, &mut line.commands);
        self.watch(line, before);
    }

    /// Has the judges look at the newest commands.
    fn watch(&mut self, line: &Line, before: usize) {
        let now = self.time();
        for command in &line.commands[before..] {
            trace(|| format!("{:>12} CMD {command:?}", self.now));
            self.ledger.command(now, command);
            match command {
                Command::Resubmitted(id, _) => {
                    self.books.reached.hit("resubmitted");
                    self.books.resubmitted(*id);
                }
                Command::InDoubt(..) => self.books.reached.hit("in doubt"),
                Command::Throttled(..) => self.books.reached.hit("throttled"),
                Command::Quarantined(..) => self.books.reached.hit("quarantined"),
                Command::Hedged(..) => self.books.reached.hit("hedged"),
                Command::FailedOver(..) => self.books.reached.hit("failed over"),
                Command::OurselvesSuspected(_) => self.books.reached.hit("ourselves suspected"),
                Command::Ejected(_, _, true) => self.books.reached.hit("a suspect channel out of a group"),
                Command::Ejected(_, _, false) => self.books.reached.hit("a suspect channel kept in a group"),
                Command::Panic(_, true) => self.books.reached.hit("panic in a group"),
                Command::Transition(channel, transition) => self.judged(*channel, transition),
                Command::Start { only, .. } if *only != u64::MAX => self.books.reached.hit("resumed"),
                _ => {}
            }
        }
    }

    /// One turn: take what came, let the switch match, write attempts, send them, do what the report concluded.
    pub(super) fn turn(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        if self.stalled > self.born && self.now >= self.stalled {
            self.ledger.excused = self.time();
        }
        for _ in 0..self.inbox.len() {
            let Some(input) = self.inbox.pop_front() else { break };
            self.input(&mut line, input);
        }
        let moment = self.moment();
        line.report.tick(moment, &mut self.disk);
        for round in 0.. {
            assert!(round < 10_000, "a turn does not end");
            self.effects(&mut line);
            let before = line.commands.len();
            line.switch.settle(moment, &mut line.commands);
            self.watch(&line, before);
            if line.commands.is_empty() {
                break;
            }
            self.obey(&mut line);
            self.send(&mut line);
        }
        if let Ok(new) = self.disk.write_out() {
            self.books.written(&new);
        }
        self.arrange_sync();
        self.check(&line);
        self.line = Some(line);
    }

    fn check(&mut self, line: &Line) {
        let now = self.time();
        assert_eq!(line.switch.messages(), self.ledger.open(), "accepted = owned + ended, at {now:?}");
        for channel in self.channels() {
            let in_flight = line.switch.channel(now, channel).map_or(0, |view| view.in_flight);
            assert_eq!(in_flight, self.ledger.used(channel), "slots of {channel:?}");
        }
        let weight = |channel| {
            let seen = line.switch.channel(now, channel)?.health?;
            (seen.state == State::Healthy).then_some(seen.weight)
        };
        self.ledger.tier_order(now, weight);
    }

    fn input(&mut self, line: &mut Line, input: Input) {
        let now = self.moment();
        match input {
            Input::Request(nth) => self.door(line, nth),
            Input::Heard(link, heard) => self.heard(line, link, heard),
            Input::Committed(waiters, durable) => {
                for waiter in waiters {
                    match waiter {
                        Waiter::App(nth, id) => self.admitted(line, nth, id, durable),
                        Waiter::Report(ack) => self.acknowledged(line, &ack, durable),
                    }
                }
            }
            Input::Body(start) => {
                self.prepare(line, start);
                self.send(line);
            }
            Input::Told(id, seq, end) => self.told(line, (id, seq), end),
            Input::Persisted(id) => line.report.persisted(now, id, &mut self.disk),
            Input::Sought(orphan, message) => line.report.sought(now, orphan, message, &mut self.disk),
            Input::Recalled(id) => {
                let history = self.disk.store.get(&id).map(|kept| kept.history.clone());
                line.report.recalled(now, id, history, &mut self.disk);
            }
            Input::Hold(channel, held) => self.hold(line, channel, held),
            Input::Reload => self.reload(line),
            Input::Endpoints => self.apply(line),
        }
    }

    /// The door: the key first, then the journal.
    fn door(&mut self, line: &mut Line, nth: usize) {
        match line.keys.get(&nth) {
            Some((id, true)) => {
                self.books.reached.hit("key of an earlier life");
                self.requests[nth].answered = true;
                return self.books.accepted(*id);
            }
            Some((_, false)) => return self.books.reached.hit("key repeated"),
            None => {}
        }
        let (wall, now) = (self.wall(), self.now);
        let id = line.ids.next(wall);
        line.keys.insert(nth, (id, false));
        let request = &self.requests[nth];
        let expires = Wall(wall.0 + request.validity.as_millis() as u64);
        self.books.open(id, nth, now + request.validity.as_micros() as u64, expires.0);
        let key = nth.to_string();
        let record = Accepted {
            at: wall,
            expires,
            app: APPS[request.app],
            tier: &self.names.tiers[usize::from(request.tier)],
            group: &self.names.groups[usize::from(request.group)],
            kind: "sms",
            to: &request.to,
            text: "text",
            idempotency_key: Some(&key),
            callback: has_callback(nth),
            parts: request.parts,
            encoding: "gsm7",
            reserve: request.parts,
            ..Accepted::default()
        };
        self.disk.accept(id, &Record::Accepted(record), nth);
    }

    /// The journal's word on a message.
    fn admitted(&mut self, line: &mut Line, nth: usize, id: MessageId, durable: bool) {
        if !durable {
            line.keys.remove(&nth);
            return;
        }
        line.keys.insert(nth, (id, true));
        let (now, body) = (self.moment(), self.disk.body(id).unwrap());
        let expires = now.deadline(accepted(&body).unwrap().expires);
        let request = &self.requests[nth];
        let message = Message {
            id,
            app: AppId(request.app as u16),
            group: GroupId(request.group),
            tier: TierId(request.tier),
            parts: request.parts,
            expires,
            accepted: now.time,
        };
        line.report.accepted(now, &message, (self.disk.at(id), Spot::default()), has_callback(nth));
        self.books.again(id, self.born + expires.0 - BASE);
        self.ledger.accept(message);
        self.tell(line, Event::Accepted(message));
        self.books.accepted(id);
        self.requests[nth].answered = true;
    }

    fn acknowledged(&mut self, line: &mut Line, ack: &Ack, durable: bool) {
        match ack {
            Ack::Inbound(link, generation, inbound) | Ack::Orphan(_, link, generation, inbound) => {
                if let Ack::Orphan(orphan, ..) = ack {
                    line.report.kept_orphan(*orphan, durable);
                }
                self.settle_receipt(inbound.0 as usize, *link, *generation, durable);
            }
            Ack::Outcome(id, seq) => {
                if !durable {
                    self.books.reached.hit("outcome written again");
                }
                let now = self.moment();
                line.report.committed(now, *id, *seq, durable);
            }
            Ack::Uplink(_) | Ack::Joined(_) => {}
        }
    }

    fn heard(&mut self, line: &mut Line, link: LinkId, heard: Heard) {
        match heard {
            Heard::Up(window) => {
                if self.links.get(&link).is_some_and(|link| !link.closing) {
                    self.ledger.link_up(link, window);
                    self.tell(line, Event::LinkUp(link, window));
                }
            }
            Heard::Down => {
                self.ledger.link_down(link);
                self.tell(line, Event::LinkDown(link));
            }
            Heard::Closed => {
                // Handed over when the link had ended already, before the line heard of it.
                for ticket in self.ledger.on_wire(link) {
                    self.books.unanswered(self.ledger.runs[&ticket.attempt()].message, ticket.attempt().0);
                }
                self.ledger.link_gone(self.time(), link);
                self.tell(line, Event::LinkGone(link));
            }
            Heard::Answer(ticket, said) => self.answered(line, ticket, &said),
            Heard::Pong => self.tell(line, Event::ProbeAnswered(link)),
            Heard::Unacked(age) => self.tell(line, Event::Unacked(link, Duration::from_micros(age))),
            Heard::Receipt(nth, generation) => {
                let receipt = self.slips[nth].receipt.clone();
                let (now, channel) = (self.moment(), ChannelId(link.channel));
                let orphan = line.ids.next(now.wall);
                let ack = Ack::Inbound(link, generation, carriers::Inbound(nth as _));
                trace(|| format!("{:>12} RCPT {receipt:?} over {link:?}", self.now));
                line.report.receipt(now, channel, &receipt, orphan, ack, &mut self.disk);
                self.tell(line, Event::Heard(link));
            }
        }
    }

    fn answered(&mut self, line: &mut Line, ticket: Ticket, said: &Said) {
        trace(|| {
            format!(
                "{:>12} SAID {ticket:?} {said:?} {:?}",
                self.now,
                self.ledger.runs.get(&ticket.attempt()).map(|r| r.message)
            )
        });
        let (kind, answer) = match said {
            Said::Submitted(id) => (AnswerKind::Submitted(Some(id.clone())), Answer::Submitted),
            Said::Refused(verdict) => (AnswerKind::Refused(*verdict, "0x58"), Answer::Refused(*verdict)),
            Said::Unanswered(doubt) => (AnswerKind::Unanswered(*doubt), Answer::Unanswered(*doubt)),
        };
        let moment = self.moment();
        let (attempt, part) = (ticket.attempt(), ticket.part());
        // Whatever became of its link: the switch knows it until all its parts have their answers.
        let Some((message, _)) = line.switch.sent(attempt) else { panic!("nobody's attempt is answered: {attempt:?}") };
        line.report.answered(moment, Place { message, attempt, part }, kind, &mut self.disk);
        let now = moment.time;
        if !self.ledger.is_open(ticket) {
            // The switch has given it up with its link.
            self.tell(line, Event::Answer(ticket, answer));
            return self.tell(line, Event::Freed(ticket));
        }
        let run = &self.ledger.runs[&ticket.attempt()];
        let (message, channel) = (run.message, ChannelId(run.link.channel));
        let before = line.commands.len();
        self.ledger.answer(now, ticket, &answer);
        line.switch.step(now, Event::Answer(ticket, answer), &mut line.commands);
        self.ledger.freed(ticket);
        line.switch.step(now, Event::Freed(ticket), &mut line.commands);
        let late = self.ledger.reached.late;
        self.ledger.review(now, ticket.attempt());
        if self.ledger.reached.late > late {
            self.books.reached.hit("taken after all");
        }
        self.watch(line, before);
        if matches!(said, Said::Unanswered(_)) {
            self.books.unanswered(message, ticket.attempt().0);
        }
        if let Said::Refused(Verdict::Reroute | Verdict::LinkFault) = said {
            let at = self.disk.len() - 1;
            self.books.refused(message, channel, at);
        }
    }

    /// OUT, second half: the switch's commands.
    fn obey(&mut self, line: &mut Line) {
        for command in std::mem::take(&mut line.commands) {
            match command {
                Command::Start { attempt, message, link, parts, only, expires, why: _ } => {
                    let start = Start { attempt, message, link, parts, only, expires };
                    if self.swarm.has(Fault::LateBodies) && self.rng.u8(0..4) == 0 {
                        let (life, wait) = (self.life, self.rng.u64(100..30_000));
                        self.after(wait, What::Inbox(life, Input::Body(start)));
                    } else {
                        self.prepare(line, start);
                    }
                }
                Command::Exhausted(message, end) => self.exhausted(line, message, end),
                Command::Probe(link) => self.probe(link),
                _ => {}
            }
        }
    }

    fn exhausted(&mut self, line: &mut Line, message: MessageId, end: End) {
        let body = self.disk.body(message).filter(|_| end != End::BodyLost);
        let now = self.moment();
        trace(|| format!("{:>12} EXH {message:?} {end:?}", self.now));
        line.report.exhausted(now, message, end, body.as_deref().and_then(accepted).as_ref(), &mut self.disk);
    }

    /// Splits an attempt's body for its channel.
    fn prepare(&mut self, line: &mut Line, start: Start) {
        let damage = if self.swarm.has(Fault::Damage) { self.rng.u16(0..400) } else { u16::MAX };
        let request = &self.requests[self.books.request(start.message)];
        // Not every carrier has as much room in a part.
        let parts = request.parts + u8::from(request.parts > 1 && start.link.channel == 1);
        let refused = match damage {
            0 => NotStarted::BodyLost,
            1..4 if start.only == u64::MAX => NotStarted::Unsendable,
            _ if self.links.get(&start.link).is_none_or(|link| link.closing) => NotStarted::Retry,
            _ if named(parts, start.only) > start.parts => NotStarted::Parts(parts),
            _ => return self.outgoing(line, start, parts),
        };
        match refused {
            NotStarted::Unsendable => self.ledger.unsendable(start.attempt),
            NotStarted::Parts(parts) => self.ledger.parts_needed(start.message, parts),
            _ => {}
        }
        self.refuse(line, start.attempt, refused);
    }

    fn refuse(&mut self, line: &mut Line, attempt: AttemptRef, why: NotStarted) {
        let now = self.time();
        self.ledger.not_started(now, attempt);
        self.tell(line, Event::NotStarted(attempt, why));
    }

    fn outgoing(&mut self, line: &mut Line, start: Start, parts: u8) {
        let (now, channel) = (self.moment(), ChannelId(start.link.channel));
        let body = self.disk.body(start.message).unwrap();
        let name = self.names.channels[usize::from(channel.0)].clone();
        let because = Because::default();
        let attempt =
            Attempt { at: now.wall, attempt: start.attempt, channel: &name, parts, only: start.only, because };
        let (id, accepted) = ((start.message, start.expires), accepted(&body).unwrap());
        let fresh = Some(Box::new(Detail::new(accepted.to, accepted.client_ref)));
        if !line.report.started(now, id, &attempt, channel, fresh, &mut self.disk) {
            self.books.reached.hit("start refused by the report");
            return self.refuse(line, start.attempt, NotStarted::Retry);
        }
        for part in 0..parts {
            if let Some(id) = self.early(channel, start.attempt, part) {
                line.report.expected(Place { message: start.message, attempt: start.attempt, part }, id);
            }
        }
        line.outgoing.push((start, parts));
    }

    /// Writes this turn's attempts down in one go, then hands their parts to the links.
    fn send(&mut self, line: &mut Line) {
        if line.outgoing.is_empty() {
            return;
        }
        let written = self.disk.write_out();
        if let Ok(new) = &written {
            self.books.written(new);
            self.disk.mark_sent();
        }
        for (start, parts) in std::mem::take(&mut line.outgoing) {
            if written.is_err() || !line.switch.stands(start.attempt) {
                self.books.reached.hit(if written.is_err() {
                    "not written, not sent"
                } else {
                    "link lost before the body came"
                });
                let now = self.moment();
                line.report.unsent(now, (start.message, start.attempt), start.only, &mut self.disk);
                self.refuse(line, start.attempt, NotStarted::Retry);
                continue;
            }
            let (now, channel) = (self.now, ChannelId(start.link.channel));
            let sent = named(parts, start.only);
            for part in (0..parts).filter(|part| is_named(*part, start.only)) {
                let ticket = Ticket::new(start.attempt, part);
                self.books.send(now, start.message, ticket, channel);
                self.submit(start.link, ticket);
            }
            self.books.run(now, start.message, start.attempt.0, channel, u32::from(sent));
            self.ledger.started(self.time(), start.attempt, sent);
            self.tell(line, Event::Started(start.attempt, sent));
        }
    }

    /// BACK, last step: what the report wants done.
    fn effects(&mut self, line: &mut Line) {
        let mut effects = Vec::new();
        // What needs no telling is over at once.
        while line.report.has_effects() {
            line.report.swap_effects(&mut effects);
            self.fulfil(line, &mut effects);
        }
    }

    fn fulfil(&mut self, line: &mut Line, effects: &mut Vec<Effect>) {
        let life = self.life;
        for effect in effects.drain(..) {
            trace(|| format!("{:>12} EFF {effect:?}", self.now));
            match effect {
                Effect::Conclude(id) => {
                    let before = [self.ledger.reached.concluded_in_flight, self.ledger.reached.concluded_waiting];
                    self.ledger.conclude(id);
                    if self.ledger.reached.concluded_in_flight > before[0] {
                        self.books.reached.hit("concluded in flight");
                    }
                    if self.ledger.reached.concluded_waiting > before[1] {
                        self.books.reached.hit("concluded waiting");
                    }
                    self.tell(line, Event::Concluded(id));
                }
                Effect::Tell(id, app, seq) => self.tell_app(line, usize::from(app.0), (id, seq)),
                Effect::Store(id) => {
                    let body = self.disk.body(id);
                    let (mut history, mut ids) = (Vec::new(), Vec::new());
                    let outline = body.as_deref().and_then(Outline::of);
                    let add = |name: &str, id: &CarrierId| ids.push((name.into(), id.clone()));
                    let known = line.report.finished(id, outline.as_ref(), &mut history, add);
                    if !known {
                        continue;
                    }
                    let wait = self.rng.u64(1_000..100_000) + self.endpoints.now_and_then(60 * super::SECOND);
                    self.after(wait, What::Store(life, id, Kept { history, ids }));
                }
                Effect::Seek(orphan, channel, ids) => {
                    let message = self.disk.seek(&self.names.channels[usize::from(channel.0)], &ids);
                    let wait = self.rng.u64(100..20_000);
                    self.after(wait, What::Inbox(life, Input::Sought(orphan, message)));
                }
                Effect::Recall(id) => {
                    let wait = self.rng.u64(100..20_000);
                    self.after(wait, What::Inbox(life, Input::Recalled(id)));
                }
                Effect::Again(_, _, _, recovered) => {
                    self.books.reached.hit("moved on");
                    self.books.moved_on(recovered.message.id);
                    self.ledger.again(&recovered);
                    self.tell(line, Event::Again(*recovered));
                }
                Effect::Decided(channel, delivered) => self.tell(line, Event::Delivered(channel, delivered)),
                Effect::Concluded { outcome: OutcomeKind::Cancelled, .. } => panic!("nobody cancels here"),
                _ => {}
            }
        }
    }
}

fn rules() -> uplink::Rules {
    uplink::Rules::default()
}
