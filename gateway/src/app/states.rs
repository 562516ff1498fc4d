//! One line in the log and one count for each change of state: links, channels, the journal, what is shed. A channel's
//! lines are bounded ([`Calm`]); counts are not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use link::{Down, LinkId};
use tracing::{error, info, warn};

use super::Line;
use super::orders::Kind;
use super::pressure::Pressure;
use crate::clock::{Moment, Time};
use crate::config::plan::{ChannelId, GroupId, Plan};
use crate::observe::{Calm, Metrics};
use crate::switch::{Command, health};

/// How a channel stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A link is bound and takes messages.
    Up,
    /// Held by an operator: takes nothing new.
    Held,
    /// Resting after throttle answers.
    Paused,
    /// Ill by what is heard of it, or not: nothing new while another channel is well.
    Suspect,
    /// On trial after it was down.
    Probation,
    /// No link, or one on which nobody has answered for too long.
    Down,
    /// Finishes what is open, then unbinds: by an operator's order, because it leaves the configuration or because the
    /// gateway stops.
    Draining,
    /// Drained: no link, and none is dialled.
    Drained,
}

impl State {
    /// All of them.
    pub(super) const ALL: [State; 8] = [
        State::Up,
        State::Held,
        State::Paused,
        State::Suspect,
        State::Probation,
        State::Down,
        State::Draining,
        State::Drained,
    ];

    /// As metrics, logs and operators have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Held => "held",
            State::Paused => "paused",
            State::Suspect => "suspect",
            State::Probation => "probation",
            State::Down => "down",
            State::Draining => "draining",
            State::Drained => "drained",
        }
    }
}

/// Why a channel's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The configuration names it now, or does not any more.
    Configuration,
    /// A link came up, went down or ended.
    Link,
    /// The carrier throttles.
    Throttled,
    /// A pause or an order ran out.
    Time,
    /// An operator's order.
    Operator,
    /// The gateway stops.
    Stop,
    /// What its health shows.
    Health(health::Cause),
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Cause::Configuration => "configuration",
            Cause::Link => "link",
            Cause::Throttled => "throttled",
            Cause::Time => "time",
            Cause::Operator => "operator",
            Cause::Stop => "stop",
            Cause::Health(cause) => cause.name(),
        }
    }
}

/// What was said last.
#[derive(Default)]
pub(super) struct States {
    channels: BTreeMap<ChannelId, Said>,
    failing: bool,
    /// By tier.
    shed: Vec<bool>,
}

/// What was said of one channel.
struct Said {
    state: State,
    calm: Calm,
}

impl Default for Said {
    fn default() -> Self {
        Said { state: State::Down, calm: Calm::default() }
    }
}

impl States {
    /// A link is bound.
    pub(super) fn link_up(&mut self, now: Moment, plan: &Plan, link: LinkId, address: SocketAddr, window: usize) {
        let (name, number) = (name(plan, ChannelId(link.channel)), link.link);
        if self.allows(now.time, link) {
            info!(channel = name, link = number, %address, window, "link up");
        }
    }

    /// A connection ended, or could not be had.
    pub(super) fn link_down(&mut self, now: Moment, plan: &Plan, link: LinkId, why: &Down, retry_in: Option<Duration>) {
        if !self.allows(now.time, link) {
            return;
        }
        let (name, number) = (name(plan, ChannelId(link.channel)), link.link);
        match retry_in {
            Some(wait) => {
                let retry_in_ms = wait.as_millis() as u64;
                warn!(channel = name, link = number, cause = why.label(), reason = %why, retry_in_ms, "link down");
            }
            None => info!(channel = name, link = number, cause = why.label(), reason = %why, "link down for good"),
        }
    }

    fn allows(&mut self, now: Time, link: LinkId) -> bool {
        self.channels.entry(ChannelId(link.channel)).or_default().calm.allows(now)
    }

    fn channel(&mut self, now: Time, metrics: &Metrics, channel: ChannelId, name: &str, state: State, cause: Cause) {
        let said = self.channels.entry(channel).or_default();
        let from = std::mem::replace(&mut said.state, state);
        if from == state {
            return;
        }
        let (from, to, cause) = (from.name(), state.name(), cause.name());
        metrics.channel_transitions.with_label_values(&[name, from, to, cause]).inc();
        if !said.calm.allows(now) {
            return;
        }
        match state {
            State::Down | State::Suspect => warn!(channel = name, from, to, cause, "channel state"),
            _ => info!(channel = name, from, to, cause, "channel state"),
        }
    }

    /// What health decided beside a channel's state.
    pub(super) fn decided(&mut self, now: Time, metrics: &Metrics, plan: &Plan, command: &Command) {
        match command {
            Command::FailedOver(channel, took) => {
                let (channel, took_ms) = (name(plan, *channel), took.as_millis() as u64);
                info!(channel, took_ms, "traffic goes elsewhere");
            }
            Command::Panic(group, panic) => {
                let group = group_name(plan, *group);
                info!(group, panic, "so little of the group is well that suspect channels serve it, or no more");
            }
            Command::Ejected(group, channel, out) => {
                let (group, name) = (group_name(plan, *group), name(plan, *channel));
                metrics.ejections.with_label_values(&[group, name, if *out { "out" } else { "kept" }]).inc();
                if !self.channels.entry(*channel).or_default().calm.allows(now) {
                    return;
                }
                match out {
                    true => info!(channel = name, group, "a suspect channel is out of the group"),
                    false => warn!(
                        channel = name,
                        group,
                        "a suspect channel stays in use: too little of the group is left, or this machine is suspected"
                    ),
                }
            }
            Command::OurselvesSuspected(_) => {
                error!("several carriers fell silent at once: no channel is given up for it, look at this machine");
            }
            _ => {}
        }
    }

    /// The channel has left.
    pub(super) fn left(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
    }

    /// Owns up to lines that were not written.
    fn own_up(&mut self, now: Time, plan: &Plan) {
        for (channel, said) in &mut self.channels {
            if let Some(suppressed) = said.calm.owed(now) {
                let (channel, state) = (name(plan, *channel), said.state.name());
                warn!(channel, state, suppressed, "a channel changes too often: that many lines were not written");
            }
        }
    }

    /// The journal fails or is mended; tiers are shed or taken again.
    fn pressure(&mut self, plan: &Plan, pressure: &Pressure) {
        let failing = pressure.failing.load(std::sync::atomic::Ordering::Relaxed);
        match (std::mem::replace(&mut self.failing, failing), failing) {
            (false, true) => error!("the journal cannot write: new messages are refused until it can"),
            (true, false) => info!("the journal writes again: new messages are taken"),
            _ => {}
        }
        self.shed.resize(plan.names.tiers.len(), false);
        for tier in &plan.tiers {
            let Some(was) = self.shed.get_mut(usize::from(tier.id.0)) else { continue };
            let reason = pressure.sheds(tier.id);
            let is = reason.is_some();
            match (std::mem::replace(was, is), reason) {
                (false, Some(reason)) => warn!(tier = &*tier.name, reason, "shedding: new messages are refused"),
                (true, None) => info!(tier = &*tier.name, "shedding has ended"),
                _ => {}
            }
        }
    }
}

/// A channel's name.
fn name(plan: &Plan, channel: ChannelId) -> &str {
    plan.names.channels.get(usize::from(channel.0)).map_or("", |name| name)
}

/// A group's name.
fn group_name(plan: &Plan, group: GroupId) -> &str {
    plan.names.groups.get(usize::from(group.0)).map_or("", |name| name)
}

impl Line {
    /// How a channel stands.
    pub(super) fn state(&self, now: Moment, channel: ChannelId) -> State {
        let view = self.switch.channel(now.time, channel);
        let order = self.service.orders.channel(name(&self.plan, channel)).map(|order| order.order);
        let leaves = self.stopping.is_some() || self.plan.channels.iter().all(|c| c.id != channel);
        match (order, view) {
            _ if leaves && self.fleet.linked(channel) => State::Draining,
            _ if leaves => State::Drained,
            (Some(Kind::Drain), _) if self.fleet.linked(channel) => State::Draining,
            (Some(Kind::Drain), _) => State::Drained,
            (Some(Kind::Hold), _) => State::Held,
            (None, Some(v)) if v.links_up == 0 || v.state == health::State::Down => State::Down,
            (None, Some(v)) if v.state == health::State::Suspect => State::Suspect,
            (None, Some(v)) if v.paused_until.is_some_and(|until| until > now.time) => State::Paused,
            (None, Some(v)) if v.state == health::State::Probation => State::Probation,
            (None, Some(_)) => State::Up,
            (None, None) => State::Down,
        }
    }

    /// Tells a change of a channel's state, if there is one.
    pub(super) fn look(&mut self, now: Moment, channel: ChannelId, cause: Cause) {
        let state = self.state(now, channel);
        self.states.channel(now.time, &self.metrics, channel, name(&self.plan, channel), state, cause);
    }

    /// Changes that nobody reports: a pause that ran out, pressure.
    pub(super) fn look_around(&mut self, now: Moment) {
        let plan = self.plan.clone();
        for channel in &plan.channels {
            self.look(now, channel.id, Cause::Time);
        }
        self.states.own_up(now.time, &plan);
        self.states.pressure(&plan, &self.pressure);
    }
}
