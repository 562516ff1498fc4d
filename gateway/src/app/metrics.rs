//! Where the line meets the metrics: handles fetched once per channel and tier.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use carriers::{Doubt, ReceiptState, Verdict};
use prometheus::IntCounter;
use prometheus::local::LocalHistogram;
use tracing::error;

use super::Line;
use super::states::State;
use crate::accept::pages::MESSAGES;
use crate::clock::{Moment, Time};
use crate::config::plan::{ChannelId, Plan, TierId, is_internal};
use crate::few::Few;
use crate::fleet::Fleet;
use crate::ids::{MessageId, SeededMap};
use crate::journal::free_space;
use crate::journal::record::OutcomeKind;
use crate::journal::store::Store;
use crate::meter::Meter;
use crate::observe::Metrics;
use crate::report::Report;
use crate::report::again::Why;
use crate::switch::{Answer, Command};

/// Messages waiting for the store above which no new ones are taken: it is not about to catch up.
const STORE_BACKLOG: usize = 10 * Store::CALM;

/// The roles of links.
const LINK_ROLES: [&str; 3] = ["send", "receive", "both"];
/// The states of links.
const LINK_STATES: [&str; 4] = ["up", "down", "connecting", "closing"];

/// Handles of one tier.
struct TierMeter {
    name: Arc<str>,
    accepted: IntCounter,
}

/// How long a tier's messages waited.
struct Waits {
    queue_wait: LocalHistogram,
    accept_to_submit: LocalHistogram,
}

/// An outcome's labels.
type Ended = (TierId, Option<ChannelId>, OutcomeKind, &'static str);

/// Handles by index.
pub(super) struct Meters {
    shared: Arc<Shared>,
    /// By [`TierId`]. Times are gathered by the line for itself until its turn ends: some atomic additions a turn, not
    /// for every message.
    waits: Vec<Waits>,
    /// Time to the answer, by channel.
    answers: Few<ChannelId, LocalHistogram>,
    /// Parts started per channel since the last look.
    started: Vec<u32>,
    /// Outcomes that were counted before, and the last one: most are like the one before.
    outcomes: SeededMap<Ended, IntCounter>,
    ended: Option<(Ended, IntCounter)>,
}

/// What the doors count through.
struct Shared {
    metrics: Arc<Metrics>,
    /// By [`TierId`]; grows with the names.
    tiers: ArcSwap<Vec<TierMeter>>,
    /// Sends answered with 202, which most requests are.
    sends: IntCounter,
}

impl Meters {
    /// For no plan yet.
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        let sends = metrics.http_requests.with_label_values(&[MESSAGES, "POST", "202"]);
        let shared = Arc::new(Shared { metrics: metrics.clone(), tiers: ArcSwap::default(), sends });
        Meters {
            shared,
            waits: Vec::new(),
            answers: Few::new(),
            started: Vec::new(),
            outcomes: SeededMap::default(),
            ended: None,
        }
    }

    /// Handles for a plan's tiers, and what its contracts say.
    pub(super) fn follow(&mut self, metrics: &Metrics, plan: &Plan) {
        let tier = |name: &Arc<str>| TierMeter {
            name: name.clone(),
            accepted: metrics.accepted.with_label_values(&[&**name, "sms"]),
        };
        let waits = |name: &Arc<str>| Waits {
            queue_wait: metrics.queue_wait.with_label_values(&[&**name]).local(),
            accept_to_submit: metrics.accept_to_submit.with_label_values(&[&**name]).local(),
        };
        self.waits.extend(plan.names.tiers.iter().skip(self.waits.len()).map(waits));
        // From nothing on, so that the first one shows as a rise.
        let counts = [
            &metrics.unmatched,
            &metrics.mo,
            &metrics.mo_duplicates,
            &metrics.mo_unmatched,
            &metrics.mo_given_up,
            &metrics.throttled,
            &metrics.duplicates,
            &metrics.deferred,
            &metrics.quarantined,
        ];
        for channel in &plan.channels {
            counts.iter().for_each(|count| drop(count.with_label_values(&[&*channel.name])));
            metrics.pace_limit.with_label_values(&[&*channel.name]).set(channel.rate);
        }
        if self.shared.tiers.load().len() < plan.names.tiers.len() {
            self.shared.tiers.store(Arc::new(plan.names.tiers.iter().map(tier).collect()));
        }
        self.started.resize(plan.names.channels.len(), 0);
    }

    /// For the doors.
    pub(super) fn shared(&self) -> Arc<dyn Meter> {
        self.shared.clone()
    }

    /// A message's first attempt leaves.
    pub(super) fn waited(&self, tier: TierId, since: Time, now: Moment, id: MessageId) {
        if let Some(waits) = self.waits.get(usize::from(tier.0)) {
            waits.queue_wait.observe(now.time.since(since).as_secs_f64());
            waits.accept_to_submit.observe(now.wall.0.saturating_sub(id.wall().0) as f64 / 1_000.0);
        }
    }

    /// The line's turn ends: its times are there for all to see.
    pub(super) fn flush(&self) {
        self.answers.values().for_each(LocalHistogram::flush);
        for Waits { queue_wait, accept_to_submit } in &self.waits {
            queue_wait.flush();
            accept_to_submit.flush();
        }
    }

    pub(super) fn started(&mut self, channel: ChannelId, parts: u8) {
        if let Some(count) = self.started.get_mut(usize::from(channel.0)) {
            *count += u32::from(parts);
        }
    }

    pub(super) fn answer(
        &mut self,
        metrics: &Metrics,
        fleet: &Fleet,
        channel: ChannelId,
        answer: &Answer,
        took: Option<Duration>,
    ) {
        let Some(member) = fleet.member(channel) else { return };
        if let (Some(took), Answer::Submitted | Answer::Refused(_)) = (took, answer) {
            let times = self.answers.get_or_insert_with(channel, || member.meter.submit_seconds.local());
            times.observe(took.as_secs_f64());
        }
        let verdict = match answer {
            Answer::Submitted => return member.meter.submitted.inc(),
            Answer::Refused(Verdict::Retry) => "retry",
            Answer::Refused(Verdict::Reroute) => "reroute",
            Answer::Refused(Verdict::Throttled) => "throttled",
            Answer::Refused(Verdict::Rejected) => "rejected",
            Answer::Refused(Verdict::LinkFault) => "link_fault",
            Answer::Unanswered(doubt) => doubt_name(*doubt),
        };
        metrics.submits.with_label_values(&[member.meter.name(), verdict]).inc();
    }

    pub(super) fn receipt(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId, state: ReceiptState) {
        match fleet.member(channel) {
            Some(member) if state == ReceiptState::Delivered => member.meter.delivered.inc(),
            Some(member) => metrics.receipts.with_label_values(&[member.meter.name(), state.name()]).inc(),
            None => {}
        }
    }

    pub(super) fn delay(&self, fleet: &Fleet, channel: ChannelId, delay: Duration) {
        if let Some(member) = fleet.member(channel) {
            member.meter.receipt_delay.observe(delay.as_secs_f64());
        }
    }

    pub(super) fn unmatched(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId) {
        if let Some(member) = fleet.member(channel) {
            metrics.unmatched.with_label_values(&[member.meter.name()]).inc();
        }
    }

    pub(super) fn duplicate(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId) {
        if let Some(member) = fleet.member(channel) {
            metrics.duplicates.with_label_values(&[member.meter.name()]).inc();
        }
    }

    pub(super) fn moved_on(&self, metrics: &Metrics, fleet: &Fleet, tier: TierId, channel: ChannelId, why: Why) {
        if let Some(member) = fleet.member(channel) {
            metrics.moved_on.with_label_values(&[member.meter.name(), &*self.tier(tier), why.name()]).inc();
        }
    }

    pub(super) fn late(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId, changed: bool) {
        if let Some(member) = fleet.member(channel) {
            let result = if changed { "used" } else { "repeated" };
            metrics.late.with_label_values(&[member.meter.name(), result]).inc();
        }
    }

    pub(super) fn mo(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId) {
        if let Some(member) = fleet.member(channel) {
            metrics.mo.with_label_values(&[member.meter.name()]).inc();
        }
    }

    pub(super) fn leniency(&self, metrics: &Metrics, fleet: &Fleet, channel: ChannelId, what: &'static str) {
        if let Some(member) = fleet.member(channel) {
            metrics.leniencies.with_label_values(&[member.meter.name(), what]).inc();
        }
    }

    pub(super) fn outcome(
        &mut self,
        metrics: &Metrics,
        fleet: &Fleet,
        tier: TierId,
        channel: Option<ChannelId>,
        outcome: OutcomeKind,
        reason: &'static str,
    ) {
        let key = (tier, channel, outcome, reason);
        if let Some((_, count)) = self.ended.as_ref().filter(|(ended, _)| *ended == key) {
            return count.inc();
        }
        if let Some(count) = self.outcomes.get(&key) {
            count.inc();
            self.ended = Some((key, count.clone()));
            return;
        }
        let member = channel.and_then(|channel| fleet.member(channel));
        let name = member.map_or("none", |member| member.meter.name());
        let count = metrics.outcomes.with_label_values(&[&*self.tier(tier), name, outcome.name(), reason]);
        count.inc();
        if member.is_some() || channel.is_none() {
            self.outcomes.insert(key, count);
        }
    }

    pub(super) fn corrected(
        &self,
        metrics: &Metrics,
        fleet: &Fleet,
        tier: TierId,
        channel: Option<ChannelId>,
        outcome: OutcomeKind,
    ) {
        let channel = channel.and_then(|c| fleet.member(c)).map_or("none", |m| m.meter.name());
        metrics.corrected.with_label_values(&[&*self.tier(tier), channel, outcome.name()]).inc();
    }

    /// Commands that only count.
    pub(super) fn command(&self, metrics: &Metrics, fleet: &Fleet, report: &Report, command: &Command) {
        let tier = |message| report.live(message).map_or_else(Arc::default, |live| self.tier(live.tier));
        match command {
            Command::InDoubt(message, channel, doubt) => {
                let Some(member) = fleet.member(*channel) else { return };
                let labels = [member.meter.name(), &*tier(*message), doubt_name(*doubt)];
                metrics.in_doubt.with_label_values(&labels).inc();
            }
            Command::Resubmitted(message, channel) => {
                let Some(member) = fleet.member(*channel) else { return };
                metrics.resubmitted.with_label_values(&[member.meter.name(), &*tier(*message)]).inc();
            }
            Command::Throttled(channel, _) => {
                let Some(member) = fleet.member(*channel) else { return };
                metrics.throttled.with_label_values(&[member.meter.name()]).inc();
            }
            Command::Hedged(message, channel) => {
                let Some(member) = fleet.member(*channel) else { return };
                metrics.hedged.with_label_values(&[member.meter.name(), &*tier(*message)]).inc();
            }
            Command::FailedOver(_, took) => metrics.failover_seconds.observe(took.as_secs_f64()),
            Command::OurselvesSuspected(_) => metrics.self_suspicions.inc(),
            Command::Deferred(channel) => {
                let Some(member) = fleet.member(*channel) else { return };
                metrics.deferred.with_label_values(&[member.meter.name()]).inc();
            }
            Command::Quarantined(message, channel) => {
                let Some(member) = fleet.member(*channel) else { return };
                metrics.quarantined.with_label_values(&[member.meter.name()]).inc();
                error!(
                    %message,
                    channel = member.meter.name(),
                    tier = &*tier(*message),
                    "a message was quarantined: what it is sent over fails; it is not sent any more"
                );
            }
            Command::Panic(..)
            | Command::Ejected(..)
            | Command::Start { .. }
            | Command::Exhausted(..)
            | Command::Probe(_)
            | Command::Transition(..) => {}
        }
    }

    fn tier(&self, tier: TierId) -> Arc<str> {
        self.shared.tiers.load().get(usize::from(tier.0)).map_or_else(Arc::default, |t| t.name.clone())
    }
}

fn doubt_name(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Unsent => "unsent",
        Doubt::Unacked => "unacked",
        Doubt::Acked => "acked",
    }
}

impl Meter for Shared {
    fn rejected(&self, reason: &'static str) {
        self.metrics.rejected.with_label_values(&[reason]).inc();
    }
    fn accepted(&self, tier: TierId, _kind: &'static str) {
        if let Some(tier) = self.tiers.load().get(usize::from(tier.0)) {
            tier.accepted.inc();
        }
    }
    fn batch(&self, messages: usize, accepted: &[(TierId, u64)], rejected: &[(&'static str, u64)]) {
        self.metrics.batch_messages.observe(messages as f64);
        for (tier, count) in accepted {
            if let Some(tier) = self.tiers.load().get(usize::from(tier.0)) {
                tier.accepted.inc_by(*count);
            }
        }
        for (reason, count) in rejected {
            self.metrics.rejected.with_label_values(&[reason]).inc_by(*count);
        }
    }
    fn http(&self, route: &'static str, method: &'static str, code: u16, took: Duration) {
        self.metrics.http_seconds.observe(took.as_secs_f64());
        if (route, method, code) == (MESSAGES, "POST", 202) {
            return self.sends.inc();
        }
        let mut digits = [0u8; 3];
        for (slot, place) in digits.iter_mut().zip([100, 10, 1]) {
            *slot = b'0' + (code / place % 10) as u8;
        }
        let code = std::str::from_utf8(&digits).unwrap_or("000");
        self.metrics.http_requests.with_label_values(&[route, method, code]).inc();
    }
    fn callback(&self, result: &'static str, delays: &mut dyn Iterator<Item = Duration>) {
        let (mut events, seconds) = (0, self.metrics.callback_delay.local());
        for delay in delays {
            events += 1;
            if result == "delivered" {
                seconds.observe(delay.as_secs_f64());
            }
        }
        if events > 0 {
            self.metrics.callbacks.with_label_values(&[result]).inc_by(events);
        }
        seconds.flush();
    }
}

/// Makes the metrics page.
pub struct Scrape {
    metrics: Arc<Metrics>,
}

impl Scrape {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Scrape { metrics }
    }

    /// The Prometheus text page.
    pub fn text(&self) -> Vec<u8> {
        self.metrics.text()
    }
}

impl Line {
    /// Brings gauges and the pressure gate up to date.
    pub(super) fn gauges(&mut self) {
        let now = self.clock.now();
        if let Some(seconds) = self.jumps.look(now) {
            tracing::warn!(seconds, "the wall clock has jumped: times in records and events follow it, waits do not");
        }
        self.journal_gauges();
        let metrics = &self.metrics;
        self.pressure.messages.store(self.report.len(), Ordering::Relaxed);
        metrics.messages.set(self.report.len() as i64);
        metrics
            .callback_backlog
            .set((self.courier.backlog() + self.untold.values().map(|untold| untold.len()).sum::<usize>()) as i64);
        metrics.orphans.set(self.report.orphans() as i64);
        for (channel, member) in self.fleet.channels() {
            let name = [member.meter.name()];
            let view = self.switch.channel(now.time, channel);
            metrics.in_flight.with_label_values(&name).set(view.as_ref().map_or(0, |v| v.in_flight) as i64);
            metrics.window.with_label_values(&name).set(view.as_ref().map_or(0, |v| v.window) as i64);
            let now_in = self.state(now, channel);
            for state in State::ALL {
                let is = i64::from(state == now_in);
                metrics.channel_state.with_label_values(&[name[0], state.name()]).set(is);
            }
            let links = self.fleet.links(channel);
            for role in LINK_ROLES {
                let any = links.iter().any(|l| l.role == role);
                for state in LINK_STATES {
                    let labels = [name[0], role, state];
                    let count = links.iter().filter(|l| l.role == role && l.state == state).count();
                    match any {
                        true => metrics.links.with_label_values(&labels).set(count as i64),
                        // A role that its links have no more, or never had.
                        false => drop(metrics.links.remove_label_values(&labels)),
                    }
                }
            }
        }
        self.pressure.foresee(now.time, self.switch.outlook(now.time));
        self.look_around(now);
    }

    /// A tick came that much later than it should have.
    pub(super) fn keeps_up(&mut self, by: Duration) {
        let late = self.lateness.tick(self.clock.now().time, by);
        self.pressure.late.store(late, Ordering::Relaxed);
    }

    /// The last link of a channel that is not in the plan has ended: its gauges would show what was.
    pub(super) fn left(&mut self, channel: ChannelId) {
        self.states.left(channel);
        let name = self.fleet.member(channel).map(|member| member.meter.name()).unwrap_or_default();
        self.alarms.left(&self.metrics, channel, name);
        let Some(member) = self.fleet.member(channel) else { return };
        let (name, metrics) = (member.meter.name(), &self.metrics);
        tracing::info!(channel = name, "the channel has left: its links have ended");
        // Values that were never set are not there to be removed.
        for gauge in [&metrics.in_flight, &metrics.window] {
            let _ = gauge.remove_label_values(&[name]);
        }
        for gauge in [&metrics.pace_parts, &metrics.pace_limit] {
            let _ = gauge.remove_label_values(&[name]);
        }
        for state in State::ALL {
            let _ = metrics.channel_state.remove_label_values(&[name, state.name()]);
        }
        for (role, state) in LINK_ROLES.iter().flat_map(|role| LINK_STATES.map(|state| (role, state))) {
            let _ = metrics.links.remove_label_values(&[name, role, state]);
        }
    }

    fn journal_gauges(&mut self) {
        let (usage, stats) = (self.journal.usage(), self.journal.stats());
        let usage = usage.within(free_space(&self.plan.node.data_dir).unwrap_or(u64::MAX));
        self.pressure.journal.store(usage.percent(), Ordering::Relaxed);
        self.pressure.behind.store(self.store.backlog() > STORE_BACKLOG, Ordering::Relaxed);
        self.pressure.failing.store(stats.failing, Ordering::Relaxed);
        self.metrics.journal_bytes.set(i64::try_from(usage.used).unwrap_or(i64::MAX));
        self.metrics.commits.set(stats);
        let records = &self.metrics.journal_records;
        records.inc_by(stats.records.saturating_sub(records.get()));
        let failures = &self.metrics.journal_failures;
        failures.inc_by(stats.failures.saturating_sub(failures.get()));
    }

    fn queue_gauges(&self, now: Moment) {
        let (names, metrics) = (&self.plan.names, &self.metrics);
        metrics.queue_messages.reset();
        metrics.queue_oldest.reset();
        for waiting in self.switch.waiting() {
            let tier = names.tiers.get(usize::from(waiting.tier.0)).map_or("", |n| n);
            let group = names.groups.get(usize::from(waiting.group.0)).map_or("", |n| n);
            if is_internal(group) {
                continue;
            }
            let messages = i64::try_from(waiting.messages).unwrap_or(i64::MAX);
            metrics.queue_messages.with_label_values(&[tier, group]).set(messages);
            let age = now.time.since(waiting.oldest).as_secs_f64();
            metrics.queue_oldest.with_label_values(&[tier, group]).set(age);
        }
    }

    /// Once a second: the pace really gone at, and what waits (that takes a look at all that is put off).
    pub(super) fn pace(&mut self) {
        self.service.save();
        self.queue_gauges(self.clock.now());
        for (app, totals) in self.courier.totals() {
            let set = |state, count| self.metrics.callback_letters.with_label_values(&[&*app, state]).set(count as i64);
            set("waiting", totals.waiting);
            set("dead", totals.dead);
            self.metrics.callback_octets.with_label_values(&[&*app]).set(totals.octets as i64);
        }
        for (channel, member) in self.fleet.channels() {
            let started = self.meters.take_started(channel);
            self.metrics.pace_parts.with_label_values(&[member.meter.name()]).set(f64::from(started));
        }
    }
}

impl Meters {
    fn take_started(&mut self, channel: ChannelId) -> u32 {
        self.started.get_mut(usize::from(channel.0)).map_or(0, std::mem::take)
    }
}
