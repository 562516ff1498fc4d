//! The line takes over a plan, the first as any later one: switch, report, links and gauges follow in one turn. Then the
//! messages that wait follow, lazily: those whose group is still served are looked at again when their turn comes, those
//! that nobody would serve any more at once, in bounded pieces.

use std::collections::{BTreeSet, VecDeque};

use link::LinkId;
use tracing::error;

use super::reload::Fresh;
use super::start::uplink_rules;
use super::{Cause, Line, Purpose, accepted, start};
use crate::clock::{Moment, Time};
use crate::config::plan::{ChannelId, Plan};
use crate::ids::MessageId;
use crate::journal::bodies::Wanted;
use crate::journal::record::Accepted;
use crate::report::state::Live;
use crate::switch::{Event, Home};

/// Bodies read at once to find new routes.
const AT_ONCE: usize = 256;

/// How far messages have followed the routes.
#[derive(Default)]
pub(super) struct Rerouting {
    /// When routes last changed; messages from before are looked at again when their turn comes.
    changed: Time,
    /// Messages that no channel would take, still to be looked at.
    homeless: VecDeque<MessageId>,
    /// Bodies being read for that.
    reading: usize,
}

impl Line {
    /// Swaps the tables and follows them; a line that is about to end does not.
    pub(super) fn reload(&mut self, now: Moment, fresh: Fresh) {
        if self.stopping.is_some() {
            return;
        }
        let rerouted = fresh.tables.routing != self.tables.load().routing;
        self.tables.store(fresh.tables);
        self.courier.replanned();
        self.apply(now, rerouted);
        // Who ordered it may have gone.
        let _ = fresh.taken.send(());
    }

    /// Follows the plan of the tables, from whatever was there before, be it nothing.
    pub(super) fn apply(&mut self, now: Moment, rerouted: bool) {
        let plan = self.tables.load().plan.clone();
        self.report.plan(&plan.names, plan.channels.iter().map(|c| (c.id, c.receipts)), uplink_rules(&plan));
        self.report.follow(start::further(&plan));
        self.tell_switch(now, Event::Plan(start::rules(&plan)));
        self.pressure.follow(&plan);
        self.meters.follow(&self.metrics, &plan);
        self.plan = plan.clone();
        self.enforce_all(now, Cause::Configuration);
        self.follow_links(now, &plan);
        self.follow_patrol(now, &plan);
        if rerouted {
            self.look_again(now);
        }
    }

    /// Routes are not those by which the messages here were accepted.
    pub(super) fn look_again(&mut self, now: Moment) {
        self.rerouting.changed = now.time;
        self.rerouting.homeless = self.switch.homeless().into();
    }

    fn follow_links(&mut self, now: Moment, plan: &Plan) {
        let mut closing: Vec<LinkId> = Vec::new();
        for channel in &plan.channels {
            match self.fleet.start(channel, now.wall) {
                Ok(links) => closing.extend(links),
                // A checked plan has no such channel.
                Err(error) => error!(channel = &*channel.name, %error, "the channel has no links"),
            }
        }
        let stay: BTreeSet<ChannelId> = plan.channels.iter().map(|channel| channel.id).collect();
        let gone: Vec<ChannelId> = self.fleet.channels().map(|(id, _)| id).filter(|id| !stay.contains(id)).collect();
        for channel in gone {
            closing.extend(self.fleet.stop(channel, now.wall));
            self.look(now, channel, Cause::Configuration);
            if !self.fleet.present(channel) {
                self.left(channel);
            }
        }
        for link in closing {
            self.tell_switch(now, Event::LinkClosing(link));
        }
    }

    /// Where a message goes by the routes in force, if that is another group than the one it waits for. What no route
    /// takes stays where it is: a slip in a configuration must not fail it.
    pub(super) fn another_home(&self, live: &Live, message: &Accepted<'_>) -> Option<Home> {
        if self.is_patrol(live.app) {
            return None;
        }
        let home = self.tables.load().home(live.app, live.tier, message)?;
        (home.group != live.group || home.tier != live.tier).then_some(home)
    }

    /// As [`Line::another_home`] for a message whose turn has come, if routes have changed since it was looked at.
    pub(super) fn overdue<'a>(&self, live: &Live, message: impl FnOnce() -> Option<Accepted<'a>>) -> Option<Home> {
        if live.since > self.rerouting.changed { None } else { self.another_home(live, &message()?) }
    }

    /// Whether routes have changed since the message was looked at.
    pub(super) fn may_be_overdue(&self, id: MessageId) -> bool {
        self.report.live(id).is_some_and(|live| live.since <= self.rerouting.changed)
    }

    /// A message has used up its group: routes that have changed since may lead to another one.
    pub(super) fn elsewhere(&mut self, now: Moment, id: MessageId, body: Option<&[u8]>) -> bool {
        let Some(message) = body.and_then(accepted) else { return false };
        let expires = message.expires;
        let home = self.report.live(id).and_then(|live| self.overdue(live, || Some(message)));
        let Some(home) = home else { return false };
        self.report.moved(id, home);
        let Some(again) = self.report.again(now, id, now.deadline(expires)) else { return false };
        self.tell_switch(now, Event::Again(again));
        true
    }

    /// The message waits elsewhere from now on.
    pub(super) fn relocate(&mut self, now: Moment, id: MessageId, home: Home) {
        self.report.moved(id, home);
        self.tell_switch(now, Event::Moved(id, home));
    }

    /// Has the next bodies read of messages that no channel would take.
    pub(super) fn follow_routes(&mut self) {
        while self.rerouting.reading < AT_ONCE
            && let Some(id) = self.rerouting.homeless.pop_front()
        {
            if let Some(live) = self.report.live(id) {
                self.reader.want(Wanted { id, at: live.at, purpose: Purpose::Reroute });
                self.rerouting.reading += 1;
            }
        }
    }

    /// One of them is here.
    pub(super) fn reroute(&mut self, now: Moment, id: MessageId, body: Option<&[u8]>) {
        self.rerouting.reading = self.rerouting.reading.saturating_sub(1);
        let home = match (self.report.live(id), body.and_then(accepted)) {
            (Some(live), Some(message)) => self.another_home(live, &message),
            _ => None,
        };
        if let Some(home) = home {
            self.relocate(now, id, home);
        }
    }
}
