//! The whole line on one screen. One task owns switch, report and links; everything reaches it as an [`Arrival`], in
//! batches, and each batch runs through [`Line::turn`] once:
//!
//! ```text
//! OUT   accept → admit → route → journal ──durable──▶ switch → (attempt written) → link → carrier
//! BACK  carrier → link → switch (slot freed) → report → journal ──durable──▶ carrier answered, app called
//! ```
//!
//! `accept` stands first because only it speaks HTTP; the journal stands before the switch because a 202 is a promise;
//! the attempt is written before its octets leave, so that a crash leaves doubt and never silence; a carrier is
//! answered and an app is called only when the journal hands the acknowledgement back.

mod alarms;
mod apply;
mod batches;
mod desk;
mod endings;
mod entrance;
mod errands;
mod explain;
mod health;
mod keep;
mod keys;
mod metrics;
mod orders;
mod outgoing;
mod patrol;
mod pressure;
mod reload;
mod rounds;
mod seek;
mod service;
mod start;
mod states;
mod stop;
mod telling;
mod uplink;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use carriers::{AttemptRef, Event as Heard, Part, Settle, Ticket};
use link::{Batch, FromLink, LinkId, ToLink};
use tokio::sync::{mpsc, oneshot};

use crate::accept::{Committed, Flock, Fresh};
use crate::admit::Tables;
use crate::callback::{Courier, Told};
use crate::clock::{Clock, Jumps, Moment, Time};
use crate::config::plan::{AppId, ChannelId, Plan};
use crate::fleet::Fleet;
use crate::ids::{Ids, MessageId};
use crate::journal::bodies::{Bodies, Brought, Reader, Wanted};
use crate::journal::record::{Accepted, AnswerKind, Record};
use crate::journal::store::Store;
use crate::journal::{At, CommitError, Draft, Journal, Priority};
use crate::observe::Metrics;
use crate::report::quality::Quality;
use crate::report::uplink::Carrier;
use crate::report::{self, Effect, Ledger, Place, Report};
use crate::switch::{Answer, Command, End, Event, Home, Message, NotStarted, Switch, Why};
use crate::vital::Vital;

pub use alarms::AlarmStatus;
use alarms::Alarms;
use apply::Rerouting;
pub use desk::{AppStatus, ChannelStatus, Desk, Question, QueueStatus};
pub use errands::{Action, Cleared, QueueOrder};
pub use explain::{Asks, Page as Explained};
pub use metrics::Scrape;
pub use orders::{Asked, Kind, Order, Subject};
pub use patrol::{TestStatus, Tested};
pub use reload::{Applied, Latest, Refused};
use rounds::Rounds;
use seek::{Seeker, Sought, Wish};
pub use service::{Ordered, Standing};
pub use start::{StartError, serve};
use states::Cause;
pub use uplink::Delivered;

/// How often gauges are brought up to date.
const GAUGES: Duration = Duration::from_millis(200);
/// A start handed over later than this (its body was read) is handed back: its pace was for then. The body is kept.
const STALE: Duration = Duration::from_millis(500);
/// Batches of one source taken per turn.
const BATCHES: usize = 256;

/// Everything that reaches the line, except what links say. The channel they come through has no bound of its own, for
/// nobody who sends may wait for the line; each kind has one instead: records in the journal not yet committed (64 MiB
/// of them at most), bodies wanted by windows and endings, messages not yet forgotten (the gate's limit) that the store
/// or an endpoint has, receipts that wait, questions of open connections.
pub enum Arrival {
    /// The journal's word on records that someone waits for.
    Committed(Vec<(Waiting, Result<At, CommitError>)>),
    /// Bodies that were not in memory.
    Bodies(Brought<Purpose>),
    /// The store has these messages on disk.
    Persisted(Vec<u64>),
    /// Endpoints took these events, letters on disk have them, or they never will be told.
    Told(Vec<Told>),
    /// What the store knows of receipts whose message is finished.
    Sought(Vec<Sought>),
    /// The desk wants to know or to change something.
    Asked(Question),
    /// Standing orders up to that change are on disk, or why not.
    Saved(u64, std::io::Result<()>),
    /// Another plan is to be in force.
    Reload(reload::Fresh),
    /// Stop: take nothing new, finish what is open, end.
    Drain,
}

/// Who waits for the journal.
pub enum Waiting {
    /// An app, for its 202. Few records are waited for by apps, and what waits is moved with each.
    App(Box<Fresh>),
    /// An app, for that of a batch.
    Batch(Box<Flock>),
    /// A carrier or the courier, by way of the report.
    Report(report::Ack),
}

impl Waiting {
    fn app(fresh: Fresh) -> Waiting {
        Waiting::App(Box::new(fresh))
    }
}

/// What a body is read for.
pub enum Purpose {
    /// To be sent.
    Send(Start),
    /// To conclude a message that was never tried.
    Conclude(End),
    /// To hand a message that is over to the store.
    Keep,
    /// To find another route for a message that no channel would take.
    Reroute,
    /// To have it wait for another group, by an operator's order.
    Move,
}

/// An attempt the switch ordered.
#[derive(Clone, Copy)]
pub struct Start {
    ordered: Time,
    attempt: AttemptRef,
    message: MessageId,
    link: LinkId,
    parts: u8,
    only: u64,
    expires: Time,
    why: Why,
}

/// The owner of everything between the journal and the links.
pub struct Line {
    clock: Clock,
    /// What the doors judge by; the line swaps them.
    tables: Arc<ArcSwap<Tables>>,
    /// The plan of the tables.
    plan: Arc<Plan>,
    rerouting: Rerouting,
    ids: Arc<Ids>,
    switch: Switch,
    report: Report,
    journal: Journal<Waiting>,
    store: Store,
    courier: Arc<Courier>,
    fleet: Fleet,
    bodies: Bodies,
    sheet: desk::Sheet,
    reader: Reader<Purpose>,
    seeker: Seeker,
    metrics: Arc<Metrics>,
    meters: metrics::Meters,
    pressure: Arc<pressure::Pressure>,
    lateness: pressure::Lateness,
    jumps: Jumps,
    errands: errands::Errands,
    batches: batches::Batches,
    endings: endings::Endings,
    service: service::Service,
    states: states::States,
    alarms: Alarms,
    /// What arrives of what the channels take.
    quality: Quality,
    /// When that was last written.
    kept_at: Time,
    health: health::Kept,
    rounds: Rounds,
    /// The app that test messages belong to.
    patrol: AppId,
    commands: Vec<Command>,
    /// Room for what the report wants done.
    effects: Vec<Effect>,
    /// Attempts to be written down and sent in this turn.
    outgoing: Vec<(Start, Vec<Part>)>,
    /// Posts whose fate became known in this turn: answered when their messages are with the links, which then are awake
    /// first.
    released: Vec<(oneshot::Sender<Committed>, Committed)>,
    /// The report's records of this turn that the journal has not got yet.
    draft: Draft<Waiting>,
    /// There are records that the kernel has not got yet.
    unwritten: bool,
    /// Events that wait for room at the courier, by app; each is a message not yet forgotten.
    untold: BTreeMap<AppId, endings::Untold>,
    /// Set once the end has begun.
    stopping: Option<stop::Stopping>,
}

/// The report's way into the journal.
struct Pen<'a> {
    journal: &'a Journal<Waiting>,
    draft: &'a mut Draft<Waiting>,
    unwritten: &'a mut bool,
    /// Whether an outcome was written.
    concluded: bool,
}

impl<'a> Pen<'a> {
    fn new(journal: &'a Journal<Waiting>, draft: &'a mut Draft<Waiting>, unwritten: &'a mut bool) -> Self {
        Pen { journal, draft, unwritten, concluded: false }
    }

    fn draft(&mut self) -> &mut Draft<Waiting> {
        if self.draft.is_full() {
            self.journal.hand_in(Priority::Reserved, self.draft);
        }
        self.draft
    }
}

impl Ledger for Pen<'_> {
    fn note(&mut self, id: MessageId, record: &Record<'_>) {
        self.draft().append(record.kind(), id.0, |octets| record.write(octets));
        *self.unwritten = true;
    }
    fn commit(&mut self, id: MessageId, record: &Record<'_>, ack: report::Ack) {
        let outcome = matches!(ack, report::Ack::Outcome(..));
        self.concluded |= outcome;
        let (kind, ack) = (record.kind(), Waiting::Report(ack));
        // A carrier waits for its answer; an app that is called some milliseconds later has lost nothing, and each sync
        // less is the cost of a message.
        if outcome {
            self.draft().append_acked(kind, id.0, ack, |octets| record.write(octets));
        } else {
            self.draft().append_synced(kind, id.0, ack, |octets| record.write(octets));
        }
    }
    fn end(&mut self, id: MessageId) {
        self.draft().end(id.0);
    }
}

/// The report and its pen, borrowed side by side.
macro_rules! report {
    ($line:ident, $pen:ident) => {{
        let $pen = Pen::new(&$line.journal, &mut $line.draft, &mut $line.unwritten);
        (&mut $line.report, $pen)
    }};
}

impl Line {
    /// Runs until it is told to stop and has finished what was open.
    async fn run(
        mut self,
        mut arrivals: mpsc::UnboundedReceiver<Arrival>,
        mut links: mpsc::Receiver<Batch>,
        door: tokio::task::JoinHandle<()>,
    ) {
        let _vital = Vital("the line");
        let (mut arrived, mut heard) = (Vec::new(), Vec::new());
        let (mut gauges, mut pace) = (tokio::time::interval(GAUGES), tokio::time::interval(Duration::from_secs(1)));
        gauges.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                _ = arrivals.recv_many(&mut arrived, BATCHES) => {}
                _ = links.recv_many(&mut heard, BATCHES) => {}
                () = tokio::time::sleep_until(deadline) => {}
                due = gauges.tick() => {
                    self.keeps_up(due.elapsed());
                    self.gauges();
                    let now = self.clock.now();
                    self.retell(now);
                }
                _ = pace.tick() => self.pace(),
            }
            while heard.len() < BATCHES
                && let Ok(batch) = links.try_recv()
            {
                heard.push(batch);
            }
            while arrived.len() < BATCHES
                && let Ok(arrival) = arrivals.try_recv()
            {
                arrived.push(arrival);
            }
            self.turn(&mut arrived, &mut heard);
            if self.batches.waiting() {
                // The doors have their turn between two pieces.
                tokio::task::yield_now().await;
            }
            if self.stopped(door.is_finished()) {
                door.abort();
                return self.close(arrivals).await;
            }
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        let stop = self.stopping.map(|stopping| stopping.deadline(self.clock.now().time));
        let room = self.room_to_end();
        let ends = self.batches.waiting()
            || self.errands.ready(room)
            || room > 0 && self.switch.crowded(self.clock.now().time);
        let ends = ends.then_some(Time(0));
        let patrol = self.patrol_deadline();
        let next = [self.switch.deadline(), self.report.deadline(), self.service.deadline(), patrol, ends, stop];
        let next = next.into_iter().flatten().min();
        let instant = next.and_then(|time| self.clock.instant(time));
        instant.map_or_else(|| tokio::time::Instant::now() + Duration::from_secs(3600), Into::into)
    }

    /// One turn: take what came, let the switch match, write attempts, send them, do what the report concluded.
    fn turn(&mut self, arrived: &mut Vec<Arrival>, heard: &mut Vec<Batch>) {
        let now = self.clock.now();
        for batch in heard.drain(..) {
            self.heard(now, batch);
        }
        for arrival in arrived.drain(..) {
            self.arrived(now, arrival);
        }
        let (report, mut pen) = report!(self, pen);
        report.tick(now, &mut pen);
        self.expire_orders(now);
        self.patrol(now);
        self.follow_routes();
        self.enter(now);
        self.run_errands(now);
        self.switch.may_end(self.room_to_end());
        // Attempts that cannot be handed over give room back, which the switch may use at once.
        loop {
            self.effects(now);
            self.switch.settle(now, &mut self.commands);
            if self.commands.is_empty() {
                break;
            }
            self.obey(now);
            self.send();
        }
        self.reader.read();
        self.meters.flush();
        for (answer, committed) in self.released.drain(..) {
            // The app may have gone; its message stays.
            let _ = answer.send(committed);
        }
        self.journal.hand_in(Priority::Reserved, &mut self.draft);
        if std::mem::take(&mut self.unwritten) && self.journal.write_out().is_err() {
            self.metrics.journal_failures.inc();
        }
        self.fleet.flush();
    }

    fn tell_switch(&mut self, now: Moment, event: Event) {
        self.switch.step(now.time, event, &mut self.commands);
    }

    /// OUT, first half: what became durable may be sent, and its app may know.
    fn arrived(&mut self, now: Moment, arrival: Arrival) {
        match arrival {
            Arrival::Committed(records) => {
                let routing = self.tables.load().routing;
                for (waiting, result) in records {
                    match waiting {
                        Waiting::App(fresh) => self.admitted(now, *fresh, result, routing),
                        Waiting::Batch(flock) => self.flock(*flock, result),
                        Waiting::Report(ack) => self.acknowledged(now, &ack, result.is_ok()),
                    }
                }
            }
            Arrival::Bodies(brought) => {
                for (Wanted { id, purpose, .. }, body) in brought {
                    match purpose {
                        Purpose::Send(start) if now.time.since(start.ordered) > STALE => {
                            self.at_hand(id, body.as_deref());
                            self.tell_switch(now, Event::NotStarted(start.attempt, NotStarted::Retry));
                        }
                        Purpose::Send(start) => {
                            self.at_hand(id, body.as_deref());
                            let prepared = self.prepare(now, &start, self.report.live(id), body.as_deref());
                            self.begin(now, start, prepared);
                        }
                        Purpose::Conclude(end) => {
                            self.endings.read();
                            self.at_hand(id, body.as_deref());
                            self.exhausted(now, id, end, body.as_deref());
                        }
                        Purpose::Keep => {
                            self.sheet.keep(&mut self.store.counter(), &self.report, id, body.as_deref());
                            if let Some(live) = self.report.live(id) {
                                self.bodies.remove(id, live.body);
                            }
                        }
                        Purpose::Reroute => self.reroute(now, id, body.as_deref()),
                        Purpose::Move => self.move_on(now, id, body.as_deref()),
                    }
                }
                self.send();
            }
            Arrival::Persisted(ids) => {
                let (report, mut pen) = report!(self, pen);
                for id in ids {
                    if self.batches.persisted(id) {
                        pen.end(MessageId(id));
                    } else {
                        report.persisted(now, MessageId(id), &mut pen);
                    }
                }
            }
            Arrival::Told(told) => {
                let (report, mut pen) = report!(self, pen);
                for told in told {
                    report.told(now, told.id, told.seq, told.end, &mut pen);
                }
            }
            Arrival::Sought(sought) => {
                for sought in sought {
                    let (report, mut pen) = report!(self, pen);
                    match sought {
                        Sought::Message(orphan, message) => report.sought(now, orphan, message, &mut pen),
                        Sought::History(id, history) => report.recalled(now, id, history, &mut pen),
                        Sought::Uplink(id, history, asker) => self.deliver(id, history.as_deref(), asker),
                    }
                }
            }
            Arrival::Asked(question) => self.answer(now, question),
            Arrival::Saved(change, result) => self.saved(change, result),
            Arrival::Reload(fresh) => self.reload(now, fresh),
            Arrival::Drain => self.drain(now),
        }
    }

    /// Keeps a body that was read, for the store will want it, mostly soon; unless another reading was faster.
    fn at_hand(&mut self, id: MessageId, body: Option<&[u8]>) {
        if let (Some(live), Some(body)) = (self.report.live(id), body)
            && self.bodies.get(id, live.body).is_none()
        {
            self.report.at_hand(id, self.bodies.insert(id, body));
        }
    }

    fn admitted(&mut self, now: Moment, mut fresh: Fresh, result: Result<At, CommitError>, routing: u64) {
        let committed = match result {
            Ok(at) => {
                // It was judged by tables that were swapped while it was being written.
                if fresh.routing != routing
                    && !self.is_patrol(fresh.message.app)
                    && let Message { app, tier, .. } = fresh.message
                    && let Some(message) = accepted(&fresh.body)
                    && let Some(home) = self.tables.load().home(app, tier, &message)
                {
                    let Home { group, tier, parts } = home;
                    fresh.message = Message { group, tier, parts, ..fresh.message };
                }
                let body = self.bodies.insert(fresh.message.id, &fresh.body);
                self.report.accepted(now, &fresh.message, (at, body), fresh.callback);
                self.remember(&fresh);
                self.tell_switch(now, Event::Accepted(fresh.message));
                Committed::Durable
            }
            Err(CommitError::Voided | CommitError::Full) => Committed::Refused,
            Err(CommitError::Unknown) => Committed::Unknown,
        };
        self.released.push((fresh.answer, committed));
    }

    fn acknowledged(&mut self, now: Moment, ack: &report::Ack, durable: bool) {
        match ack {
            report::Ack::Inbound(link, generation, inbound) | report::Ack::Orphan(_, link, generation, inbound) => {
                if let report::Ack::Orphan(orphan, ..) = ack {
                    self.report.kept_orphan(*orphan, durable);
                }
                self.fleet.answer(*link, *generation, *inbound, settle(durable));
            }
            report::Ack::Outcome(id, seq) => {
                self.endings.durable(*id);
                self.report.committed(now, *id, *seq, durable);
            }
            report::Ack::Uplink(id) => {
                let (report, mut pen) = report!(self, pen);
                report.uplink_committed(now, *id, durable, &mut pen);
            }
            report::Ack::Joined(first) => self.report.uplink_joined(now, *first, durable),
        }
    }

    /// OUT, second half: the switch's commands.
    fn obey(&mut self, now: Moment) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::Start { attempt, message, link, parts, only, expires, why } => {
                    let start = Start { ordered: now.time, attempt, message, link, parts, only, expires, why };
                    let live = self.report.live(message);
                    let body = live.and_then(|live| self.bodies.get(message, live.body));
                    if let (None, Some(live)) = (body, live) {
                        self.reader.want(Wanted { id: message, at: live.at, purpose: Purpose::Send(start) });
                    } else {
                        let prepared = self.prepare(now, &start, live, body);
                        self.begin(now, start, prepared);
                    }
                }
                Command::Exhausted(message, end) => self.give_up(now, message, end),
                Command::Probe(link) => self.fleet.push(link, ToLink::Probe),
                Command::Transition(channel, transition) => {
                    self.look(now, channel, Cause::Health(transition.cause));
                }
                counted => {
                    self.meters.command(&self.metrics, &self.fleet, &self.report, &counted);
                    self.states.decided(now.time, &self.metrics, &self.plan, &counted);
                    if let Command::Throttled(channel, _) = counted {
                        self.look(now, channel, Cause::Throttled);
                    }
                }
            }
        }
        if self.commands.is_empty() {
            self.commands = commands;
        }
    }

    fn give_up(&mut self, now: Moment, message: MessageId, end: End) {
        let missing = self.report.needs_body(message) || end == End::NoChannel && self.may_be_overdue(message);
        let live = self.report.live(message);
        let body = live.and_then(|live| self.bodies.get(message, live.body)).map(<[u8]>::to_vec);
        match live {
            Some(live) if missing && body.is_none() => {
                self.endings.reads();
                self.reader.want(Wanted { id: message, at: live.at, purpose: Purpose::Conclude(end) });
            }
            _ => self.exhausted(now, message, end, body.as_deref()),
        }
    }

    fn exhausted(&mut self, now: Moment, message: MessageId, end: End, body: Option<&[u8]>) {
        if end == End::NoChannel && self.elsewhere(now, message, body) {
            return;
        }
        let (report, mut pen) = report!(self, pen);
        report.exhausted(now, message, end, body.and_then(accepted).as_ref(), &mut pen);
        if pen.concluded {
            self.endings.written(message);
        }
    }

    /// Hands this turn's records to the journal, and all that it has to the kernel.
    fn write_out(&mut self) -> std::io::Result<()> {
        self.journal.hand_in(Priority::Reserved, &mut self.draft);
        self.journal.write_out()
    }

    /// BACK: what a link said.
    fn heard(&mut self, now: Moment, batch: Batch) {
        let Batch { id: link, generation, events } = batch;
        for event in events {
            match event {
                FromLink::Up { window, address } => {
                    self.states.link_up(now, &self.plan, link, address, window);
                    self.fleet.turned(link, "up", address.to_string(), now.wall);
                    if self.fleet.sends(link) {
                        self.tell_switch(now, Event::LinkUp(link, window));
                    }
                    self.look(now, ChannelId(link.channel), Cause::Link);
                }
                FromLink::Down { why, retry_in } => {
                    self.states.link_down(now, &self.plan, link, &why, retry_in);
                    self.report.lost(now, link, generation);
                    self.fleet.turned(link, "down", why.to_string(), now.wall);
                    self.tell_switch(now, Event::LinkDown(link));
                    self.look(now, ChannelId(link.channel), Cause::Link);
                }
                FromLink::Parted => self.report.lost(now, link, generation),
                FromLink::Closed => {
                    self.report.lost(now, link, generation);
                    self.tell_switch(now, Event::LinkDown(link));
                    self.tell_switch(now, Event::LinkGone(link));
                    let left = self.fleet.closed(link, now.wall);
                    self.look(now, ChannelId(link.channel), Cause::Link);
                    if left {
                        self.left(ChannelId(link.channel));
                    }
                }
                FromLink::Unanswered(ticket, doubt) => {
                    self.answered(now, link, ticket, AnswerKind::Unanswered(doubt), Answer::Unanswered(doubt));
                }
                FromLink::Late(parts) => {
                    self.tell_switch(now, Event::Late(ChannelId(link.channel), parts));
                }
                FromLink::Unacked(age) => self.tell_switch(now, Event::Unacked(link, age)),
                FromLink::Event(event) => self.carrier(now, link, generation, event),
            }
        }
    }

    fn carrier(&mut self, now: Moment, link: LinkId, generation: u64, event: Heard) {
        let channel = ChannelId(link.channel);
        match event {
            Heard::Submitted(ticket, id) => {
                self.answered(now, link, ticket, AnswerKind::Submitted(id), Answer::Submitted);
            }
            Heard::Refused(ticket, refusal) => {
                let verdict = refusal.verdict;
                self.answered(now, link, ticket, AnswerKind::Refused(verdict, &refusal.code), Answer::Refused(verdict));
            }
            Heard::Freed(ticket) => self.tell_switch(now, Event::Freed(ticket)),
            Heard::Receipt(inbound, receipt) => {
                self.meters.receipt(&self.metrics, &self.fleet, channel, receipt.state);
                self.quality.heard(channel);
                let (id, ack) = (self.ids.next(now.wall), report::Ack::Inbound(link, generation, inbound));
                let (report, mut pen) = report!(self, pen);
                report.receipt(now, channel, &receipt, id, ack, &mut pen);
                self.tell_switch(now, Event::Heard(link));
            }
            Heard::Mo(inbound, mo) => {
                self.meters.mo(&self.metrics, &self.fleet, channel);
                let (id, carrier) = (self.ids.next(now.wall), Carrier { link, generation, inbound });
                let (report, mut pen) = report!(self, pen);
                report.uplink(now, channel, *mo, id, carrier, &mut pen);
                self.tell_switch(now, Event::Heard(link));
            }
            Heard::Leniency(what) => self.meters.leniency(&self.metrics, &self.fleet, channel, what),
            Heard::Heard(_) => self.tell_switch(now, Event::Heard(link)),
            Heard::ProbeAnswered => self.tell_switch(now, Event::ProbeAnswered(link)),
            Heard::Bound(_) | Heard::Unanswered(..) => {}
        }
    }

    fn answered(&mut self, now: Moment, link: LinkId, ticket: Ticket, kind: AnswerKind<'_>, answer: Answer) {
        let sent = self.switch.sent(ticket.attempt());
        let took = sent.map(|(_, sent)| now.time.since(sent));
        self.meters.answer(&self.metrics, &self.fleet, ChannelId(link.channel), &answer, took);
        // What the switch knows no more had all its answers.
        if let Some((message, _)) = sent {
            let place = Place { message, attempt: ticket.attempt(), part: ticket.part() };
            let (report, mut pen) = report!(self, pen);
            report.answered(now, place, kind, &mut pen);
        }
        self.patrol_answered(now, ChannelId(link.channel), ticket.attempt(), &answer);
        self.tell_switch(now, Event::Answer(ticket, answer));
    }

    /// BACK, last step: what the report wants done.
    fn effects(&mut self, now: Moment) {
        let (mut effects, mut events) = (std::mem::take(&mut self.effects), Vec::new());
        // What needs no telling is over at once.
        while self.report.has_effects() {
            self.report.swap_effects(&mut effects);
            self.fulfil(now, &mut effects, &mut events);
            self.tell_apps(now, &mut events);
        }
        self.effects = effects;
        self.store();
    }

    fn fulfil(&mut self, now: Moment, effects: &mut Vec<Effect>, events: &mut Vec<(MessageId, AppId, u32)>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Conclude(id) => self.tell_switch(now, Event::Concluded(id)),
                Effect::Tell(id, app, seq) => events.push((id, app, seq)),
                Effect::Store(id) => self.sheet.over.push(id),
                Effect::StoreUplink(id) => self.keep_uplink(id),
                Effect::Settle(Carrier { link, generation, inbound }, durable) => {
                    self.fleet.answer(link, generation, inbound, settle(durable));
                }
                Effect::Repeated(channel) => self.metrics.mo_duplicates.with_label_values(&[&*channel]).inc(),
                Effect::NoOwner(channel, number) => self.no_owner(&channel, number),
                Effect::GivenUp(channel) => self.metrics.mo_given_up.with_label_values(&[&*channel]).inc(),
                Effect::Concluded { id, app: Some(app), outcome, .. } if self.is_patrol(app) => {
                    self.test_concluded(now, id, outcome);
                }
                Effect::Concluded { correction: false, tier, channel, outcome, reason, .. } => {
                    self.meters.outcome(&self.metrics, &self.fleet, tier, channel, outcome, reason);
                }
                Effect::Concluded { tier, channel, outcome, .. } => {
                    self.meters.corrected(&self.metrics, &self.fleet, tier, channel, outcome);
                }
                Effect::Again(tier, channel, why, recovered) => {
                    self.meters.moved_on(&self.metrics, &self.fleet, tier, channel, why);
                    self.tell_switch(now, Event::Again(*recovered));
                }
                Effect::Duplicate(channel) => self.meters.duplicate(&self.metrics, &self.fleet, channel),
                Effect::Delay(channel, delay) => {
                    self.meters.delay(&self.fleet, channel, delay);
                    self.quality.delay(channel, delay);
                }
                Effect::Fate(fate) => self.patrol_fate(now, &fate),
                Effect::Decided(channel, delivered) => self.tell_switch(now, Event::Delivered(channel, delivered)),
                Effect::Unmatched(channel) => self.meters.unmatched(&self.metrics, &self.fleet, channel),
                Effect::Late(channel, changed) => self.meters.late(&self.metrics, &self.fleet, channel, changed),
                Effect::Recall(message) => self.seeker.seek(Wish::History(message)),
                Effect::Seek(orphan, channel, ids) => {
                    let name = self.plan.names.channels.get(usize::from(channel.0)).map_or("", |n| n);
                    let keys = ids.iter().map(|id| desk::correlation_key(name, id)).collect();
                    self.seeker.seek(Wish::Message(orphan, keys));
                }
            }
        }
    }
}

/// A carrier's answer: yes where its word is on disk, else it is to say it again.
fn settle(durable: bool) -> Settle {
    if durable { Settle::Durable } else { Settle::Later }
}

/// The accepted record behind a body.
fn accepted(body: &[u8]) -> Option<Accepted<'_>> {
    Accepted::read(body).ok()
}
