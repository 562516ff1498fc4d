//! All channels and groups: the ejection cap, panic and the guard against our own stalls.

use std::time::Duration;

use super::{Ending, Memory, Note, Settings, Sign, Snapshot, Use};
use crate::clock::Time;

/// A channel of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member<C> {
    /// The channel.
    pub channel: C,
    /// Its capacity in parts per second, or any measure that is the same for the whole group.
    pub capacity: f64,
    /// Whose it is: channels of one carrier share this number (the guard wants different carriers).
    pub carrier: u32,
}

/// A group as the plan has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<C, G> {
    /// The group.
    pub id: G,
    /// Its channels, in any order.
    pub members: Vec<Member<C>>,
}

/// The health of everything. `C` and `G` are the owner's names for channels and groups, stable over reloads.
///
/// All calls take the same `now` as the switch's step; unknown channels and links are ignored.
#[derive(Debug)]
pub struct Health<C, G> {
    settings: Settings,
    groups: Vec<Group<C, G>>,
}

#[allow(unused_variables, clippy::needless_pass_by_ref_mut)]
impl<C: Copy + Ord, G: Copy + Ord> Health<C, G> {
    /// Nothing known yet.
    pub fn new(settings: Settings) -> Health<C, G> {
        Health { settings, groups: Vec::new() }
    }

    /// New settings, channels and groups (first plan, reload). Channels keep their state by id, also while no group
    /// names them. A channel with company in some group is [`super::Preset::Fast`], one alone everywhere is calm.
    pub fn plan(&mut self, now: Time, settings: Settings, channels: &[C], groups: Vec<Group<C, G>>) {}

    /// A link is bound. `probes`: whether its protocol has a question to ask (enquire_link, ACTIVE_TEST, OPTIONS, …).
    pub fn link_up(&mut self, now: Time, channel: C, link: u16, probes: bool) {}

    /// A link is no longer bound; what was in flight on it is forgotten here. Before or after its parts are ended.
    pub fn link_down(&mut self, now: Time, channel: C, link: u16, ending: Ending) {}

    /// A link's number is not used again.
    pub fn link_gone(&mut self, now: Time, channel: C, link: u16) {}

    /// So many parts were handed to the link at `now`; keep `now`, it names them in [`Health::ended`].
    pub fn sent(&mut self, now: Time, channel: C, link: u16, parts: u32) {}

    /// One part that was sent at `sent` ended. Also for answers after a part was given up or its link was down: they
    /// count as late, and as a sign of life.
    pub fn ended(&mut self, now: Time, channel: C, link: u16, sent: Time, sign: Sign) {}

    /// Some PDU came in that is no answer to a part: receipt, incoming message, keepalive.
    pub fn heard(&mut self, now: Time, channel: C, link: u16) {}

    /// A probe asked for by [`Note::Probe`] was answered.
    pub fn probe_answered(&mut self, now: Time, channel: C, link: u16) {}

    /// What the socket says: age of the oldest octets not acknowledged by the carrier's kernel, zero for none. Wanted
    /// about every 20–50 ms while it is not zero, and once when it has become zero: a value is believed for
    /// [`Settings::unacked_fresh`] and does not age by itself.
    pub fn unacked(&mut self, now: Time, channel: C, link: u16, age: Duration) {}

    /// Our own process stood still for so long, up to now (known from elsewhere; late examinations are seen here).
    pub fn paused(&mut self, now: Time, pause: Duration) {}

    /// Looks at everything that is due and appends what changed and what is wanted. Cheap before [`Health::deadline`].
    /// Call it after the events of a batch and before the matching.
    pub fn examine(&mut self, now: Time, notes: &mut Vec<Note<C, G>>) {}

    /// When to examine again; [`Time::NEVER`] while nothing is in flight and all is well. May be early, never late.
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// Whether the group may use the channel. `strictest`: for a message of the strictest tier, which stays away from
    /// channels on trial and slow ones while another channel of the group is well.
    pub fn usable(&self, group: G, channel: C, strictest: bool) -> Use {
        Use::Full
    }

    /// Whether new parts may go over this link of a usable channel: a suspect link rests while another one is well.
    pub fn link_usable(&self, channel: C, link: u16) -> bool {
        true
    }

    /// What a strategy should count the channel as: 1, 0.5 while slow, 0.25 while throttled most of the time.
    pub fn weight(&self, channel: C) -> f64 {
        1.0
    }

    /// The latency below which 99.9 % of the channel's answers stay (hedge deadlines); a prior while cold.
    pub fn q999(&self, channel: C) -> Duration {
        Duration::from_secs(2)
    }

    /// For operators.
    pub fn snapshot(&self, now: Time, channel: C) -> Option<Snapshot> {
        None
    }

    /// What is worth keeping over a restart.
    pub fn memory(&self, now: Time, channel: C) -> Option<Memory> {
        None
    }

    /// Takes back what was kept `age` ago; before the channel's first link is up.
    pub fn restore(&mut self, now: Time, channel: C, memory: &Memory, age: Duration) {}
}
