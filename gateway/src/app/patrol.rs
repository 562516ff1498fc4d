//! The slower half of a channel's health: what arrives of what it takes, and test messages that the line sends by
//! itself. A test is a message like any other (written down, paced, followed to its end), of an app and a group of the
//! gateway's own: it goes over its channel only, is told to nobody and counts nowhere but here.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use carriers::{AttemptRef, Mt, Options};
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::warn;

use super::alarms::Kind;
use super::rounds::{Last, Outcome};
use super::{Line, Waiting, keep};
use crate::accept::{Committed, Fresh};
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{AppId, ChannelId, Names, Plan};
use crate::ids::MessageId;
use crate::journal::Priority;
use crate::journal::record::{Accepted, OutcomeKind, Record};
use crate::report::quality::{Fate, Finding, Kept, Quality};
use crate::switch::{Answer, End, Event, Message};

/// Name of the file that what was learned of the channels outlives the process in.
const FILE: &str = "quality.json";
/// How often it is written.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// How a channel's last test ended.
#[derive(Clone, Debug, Serialize)]
pub struct TestStatus {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `ok`, `refused`, `no_answer`, `no_receipt` or `failed`.
    pub result: &'static str,
    /// How long it took to arrive, where it did.
    pub delay_ms: Option<u64>,
    /// How many have failed in a row.
    pub failures: u32,
}

impl From<Last> for TestStatus {
    fn from(last: Last) -> TestStatus {
        let delay_ms = last.delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        TestStatus { at_ms: last.at.0, result: last.outcome.name(), delay_ms, failures: last.failures }
    }
}

/// What comes of an order to test a channel now.
#[derive(Debug)]
pub enum Tested {
    /// There is no channel of that name.
    Unknown,
    /// The configuration has no `[channel.test]` for it.
    NotConfigured,
    /// It takes nothing now, or too many tests are under way: why.
    NotNow(&'static str),
    /// On its way once it is on disk.
    Begun(MessageId, oneshot::Receiver<Committed>),
}

/// What was learned, from disk; and what is wrong with the file if anything is.
pub(super) fn learned(now: Moment, dir: &Path, names: &Names) -> Quality {
    let mut quality = Quality::new(now);
    let path = dir.join(FILE);
    let kept = match fs::read(&path) {
        Ok(octets) => Kept::read(&octets).map_err(|why| why.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return quality,
        Err(error) => Err(error.to_string()),
    };
    match kept {
        Ok(kept) => quality.restore(kept, names),
        Err(error) => {
            warn!(file = %path.display(), error, "what was learned of the channels does not read: it is learned anew")
        }
    }
    quality
}

impl Line {
    /// Whether that is the app that tests belong to.
    pub(super) fn is_patrol(&self, app: AppId) -> bool {
        self.patrol == app
    }

    /// Takes over a plan.
    pub(super) fn follow_patrol(&mut self, now: Moment, plan: &Plan) {
        let tested = plan.channels.iter().filter_map(|c| Some((c.id, &*c.name, c.receipts, c.test.as_ref()?)));
        self.rounds.follow(now.time, tested);
        let ended = self.quality.watch(plan.channels.iter().map(|c| (c.id, c.receipts)));
        self.findings(now, ended);
        for channel in &plan.channels {
            let failing = self.rounds.last(channel.id).is_some_and(|last| last.alarms());
            if !failing || !self.rounds.has(channel.id) {
                self.alarm(now, channel.id, Kind::Test, None);
            }
            self.alarms.show(&self.metrics, channel.id, &channel.name);
        }
    }

    /// When there is something to do here.
    pub(super) fn patrol_deadline(&self) -> Option<Time> {
        [self.rounds.deadline(), Some(self.quality.deadline()), self.health_due()].into_iter().flatten().min()
    }

    /// Sends the tests whose time has come, ends those whose time is over, and judges what arrived.
    pub(super) fn patrol(&mut self, now: Moment) {
        if self.stopping.is_none() {
            for channel in self.rounds.due(now.time) {
                if self.untestable(now, channel).is_none() {
                    self.send_test(now, channel);
                }
            }
        }
        for (id, outcome) in self.rounds.overdue(now.time) {
            self.test_ended(now, id, outcome);
        }
        self.keep_health(now);
        if self.quality.deadline() <= now.time {
            let findings = self.quality.tick(now);
            self.findings(now, findings);
            for channel in &self.plan.channels {
                if let Some(ratio) = self.quality.ratio(channel.id) {
                    self.metrics.delivered_ratio.with_label_values(&[&*channel.name]).set(ratio);
                }
            }
            if now.time.since(self.kept_at) >= KEEP_EVERY {
                self.kept_at = now.time;
                self.keep_learned();
            }
        }
    }

    /// Why a channel is not tested now, if so: it takes nothing by order, or no link of it is bound.
    fn untestable(&self, now: Moment, channel: ChannelId) -> Option<&'static str> {
        let view = self.switch.channel(now.time, channel);
        match view {
            _ if self.stopping.is_some() => Some("the gateway stops"),
            Some(view) if view.held => Some("the channel is held or drained"),
            Some(view) if view.links_up > 0 => None,
            _ => Some("no link of the channel is bound"),
        }
    }

    /// An operator wants a channel tested now.
    pub(super) fn test(&mut self, now: Moment, name: &str) -> Tested {
        let Some(channel) = self.plan.channels.iter().find(|c| &*c.name == name).map(|c| c.id) else {
            return Tested::Unknown;
        };
        if !self.rounds.has(channel) {
            return Tested::NotConfigured;
        }
        if let Some(why) = self.untestable(now, channel) {
            return Tested::NotNow(why);
        }
        match self.send_test(now, channel) {
            Some((id, wait)) => Tested::Begun(id, wait),
            None => Tested::NotNow("too many tests are under way"),
        }
    }

    /// Writes a test down; it goes on like any message once that is on disk.
    fn send_test(&mut self, now: Moment, channel: ChannelId) -> Option<(MessageId, oneshot::Receiver<Committed>)> {
        let plan = self.plan.clone();
        let profile = plan.channels.iter().find(|c| c.id == channel)?.profile.clone();
        let (test, to) = self.rounds.next(channel)?;
        let valid_for = test.receipt_within;
        let mt = Mt {
            to: &to,
            sender: None,
            text: &test.text,
            valid_for,
            until: None,
            receipt: true,
            reference: 0,
            options: Options::default(),
        };
        // The check has asked the same.
        let quote = profile.quote(&mt).ok()?;
        let id = self.ids.next(now.wall);
        let name = |list: &[std::sync::Arc<str>], at| list.get(at).map_or_else(String::new, ToString::to_string);
        let record = Accepted {
            at: now.wall,
            expires: Wall(now.wall.0.saturating_add(u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX))),
            app: &name(&plan.names.apps, usize::from(test.app.0)),
            tier: &name(&plan.names.tiers, usize::from(test.tier.0)),
            group: &name(&plan.names.groups, usize::from(test.group.0)),
            kind: "sms",
            to: &to,
            text: &test.text,
            parts: quote.parts,
            encoding: quote.coding.name(),
            reserve: quote.parts,
            ..Accepted::default()
        };
        let mut octets = Vec::with_capacity(256);
        Record::Accepted(record).write(&mut octets);
        let message = Message {
            id,
            app: test.app,
            group: test.group,
            tier: test.tier,
            parts: quote.parts,
            expires: now.time.after(valid_for),
            accepted: now.time,
        };
        let (answer, wait) = oneshot::channel();
        let routing = self.tables.load().routing;
        let fresh = Fresh { message, body: octets, routing, callback: false, answer };
        self.journal.append_each(Priority::Admission, [fresh], Fresh::says, Waiting::app);
        self.rounds.begun(now.time, id, channel, valid_for);
        Some((id, wait))
    }

    /// A part of an attempt was answered.
    pub(super) fn patrol_answered(&mut self, now: Moment, channel: ChannelId, attempt: AttemptRef, answer: &Answer) {
        if *answer == Answer::Submitted {
            self.quality.submitted(now.time, channel);
        }
        if let Some((id, outcome)) = self.rounds.answered(attempt, answer) {
            self.test_ended(now, id, outcome);
        }
    }

    /// A part has its final receipt.
    pub(super) fn patrol_fate(&mut self, now: Moment, fate: &Fate) {
        // A test says what it says of a handset of ours.
        if self.is_patrol(fate.app) {
            return;
        }
        let known = self.plan.numbers.lookup_digits(fate.number);
        let network = known.map(|range| if range.carrier.is_empty() { &*range.country } else { &*range.carrier });
        self.quality.ended(now, fate, network.filter(|name| !name.is_empty()));
    }

    /// A test was concluded by its receipt, its refusal or its expiry.
    pub(super) fn test_concluded(&mut self, now: Moment, id: MessageId, outcome: OutcomeKind) {
        let outcome = match outcome {
            OutcomeKind::Delivered => Outcome::Ok,
            OutcomeKind::Failed | OutcomeKind::Expired | OutcomeKind::Cancelled => Outcome::Failed,
        };
        self.test_ended(now, id, outcome);
    }

    fn test_ended(&mut self, now: Moment, id: MessageId, outcome: Outcome) {
        let Some((channel, last)) = self.rounds.ended(now.time, now.wall, id, outcome) else { return };
        // It is sent once: what a second try would show, the next test does.
        let end = match outcome {
            Outcome::Ok | Outcome::NoReceipt => None,
            Outcome::Refused => Some(End::Rejected),
            Outcome::NoAnswer => Some(End::InDoubt),
            Outcome::Failed => Some(End::Expired),
        };
        if let Some(end) = end.filter(|_| self.report.live(id).is_some_and(|live| !live.is_done())) {
            self.tell_switch(now, Event::Concluded(id));
            self.give_up(now, id, end);
        }
        if let Some(member) = self.fleet.member(channel) {
            let name = member.meter.name();
            self.metrics.tests.with_label_values(&[name, outcome.name()]).inc();
            if let Some(delay) = last.delay {
                self.metrics.test_delay.with_label_values(&[name]).observe(delay.as_secs_f64());
            }
        }
        let detail =
            last.alarms().then(|| format!("{} tests in a row failed, the last: {}", last.failures, outcome.name()));
        self.alarm(now, channel, Kind::Test, detail);
    }

    fn findings(&mut self, now: Moment, findings: Vec<Finding>) {
        for Finding { channel, fault, detail } in findings {
            self.alarm(now, channel, fault.into(), detail);
        }
        for channel in self.plan.clone().channels.iter().map(|c| c.id) {
            let weight = self.quality.weight(channel);
            if self.switch.channel(now.time, channel).is_some_and(|view| view.weight != weight) {
                self.tell_switch(now, Event::Weight(channel, weight));
            }
        }
    }

    fn alarm(&mut self, now: Moment, channel: ChannelId, kind: Kind, detail: Option<String>) {
        if let Some(member) = self.fleet.member(channel) {
            self.alarms.set(now, &self.metrics, (channel, member.meter.name()), kind, detail);
        }
    }

    /// Has what was learned written, on a thread that may wait for the disk.
    fn keep_learned(&self) {
        let (kept, dir) = (self.quality.keep(&self.plan.names), self.plan.node.data_dir.clone());
        drop(tokio::task::spawn_blocking(move || write(&kept, &dir)));
    }
}

/// Writes what was learned; where the disk refuses, the last one stays.
pub(super) fn write(kept: &Kept, dir: &Path) {
    if let Err(error) = keep::replace(dir, FILE, &kept.write()) {
        warn!(%error, "what was learned of the channels cannot be written: a restart will know less");
    }
}
