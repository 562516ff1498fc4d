//! The links of all channels: starts them, hands each what it has to do once per wake-up, remembers how they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use carriers::{Profile, Role};
use link::{Handle, LinkId, ToLink};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::Wall;
use crate::config::plan::{Channel, ChannelId};
use crate::observe::{ChannelMeter, Metrics};

/// How one link stands.
#[derive(Clone, Debug, Serialize)]
pub struct LinkStatus {
    /// Its number in the channel.
    pub link: u16,
    /// `send`, `receive` or `both`.
    pub role: &'static str,
    /// `up`, `connecting` or `down`.
    pub state: &'static str,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The far side while up, the reason while down.
    pub detail: String,
}

/// One channel in service.
pub struct Member {
    /// Splits messages.
    pub profile: Arc<dyn Profile>,
    /// Its metrics.
    pub meter: ChannelMeter,
    /// Its company.
    pub carrier: String,
    links: Vec<Link>,
}

struct Link {
    handle: Handle,
    role: Role,
    outgoing: Vec<ToLink>,
    status: LinkStatus,
}

/// All channels in service.
pub struct Fleet {
    members: BTreeMap<u16, Member>,
    events: mpsc::Sender<link::Batch>,
    settings: link::Settings,
    /// Links with something to do.
    pending: Vec<LinkId>,
}

impl Fleet {
    /// No channels yet; links report to `events`.
    pub fn new(events: mpsc::Sender<link::Batch>, settings: link::Settings) -> Self {
        Fleet { members: BTreeMap::new(), events, settings, pending: Vec::new() }
    }

    /// Takes a channel into service: a link for each leg, times the configured number.
    pub fn add(&mut self, channel: &Channel, metrics: &Metrics, now: Wall) -> Result<(), link::Unservable> {
        let mut links = Vec::new();
        for (leg, description) in channel.profile.legs().iter().enumerate() {
            for _ in 0..channel.links {
                let id = LinkId { channel: channel.id.0, link: u16::try_from(links.len()).unwrap_or(u16::MAX) };
                let spec = link::Spec {
                    id,
                    name: channel.name.to_string(),
                    profile: channel.profile.clone(),
                    leg,
                    seed: fastrand::u64(..),
                    settings: self.settings.clone(),
                };
                let handle = link::spawn(spec, self.events.clone())?;
                let role = description.role;
                let (state, detail) = ("connecting", String::new());
                let status = LinkStatus { link: id.link, role: role_name(role), state, since_ms: now.0, detail };
                links.push(Link { handle, role, outgoing: Vec::new(), status });
            }
        }
        let meter = ChannelMeter::new(metrics, &channel.name);
        let (profile, carrier) = (channel.profile.clone(), channel.carrier.clone());
        self.members.insert(channel.id.0, Member { profile, meter, carrier, links });
        Ok(())
    }

    /// The channel, while in service.
    pub fn member(&self, channel: ChannelId) -> Option<&Member> {
        self.members.get(&channel.0)
    }

    /// The channel of a link, while in service.
    pub fn of(&self, link: LinkId) -> Option<&Member> {
        self.members.get(&link.channel)
    }

    /// Whether submits go over that link.
    pub fn sends(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(|l| l.role != Role::Receive)
    }

    /// Queues something for a link until [`Fleet::flush`].
    pub fn push(&mut self, link: LinkId, what: ToLink) {
        let links = self.members.get_mut(&link.channel).map(|m| &mut m.links);
        if let Some(slot) = links.and_then(|l| l.get_mut(usize::from(link.link))) {
            if slot.outgoing.is_empty() {
                self.pending.push(link);
            }
            slot.outgoing.push(what);
        }
    }

    /// Hands every link what was queued for it, in one batch each.
    pub fn flush(&mut self) {
        for link in self.pending.drain(..) {
            let links = self.members.get_mut(&link.channel).map(|m| &mut m.links);
            if let Some(slot) = links.and_then(|l| l.get_mut(usize::from(link.link))) {
                slot.handle.send(std::mem::take(&mut slot.outgoing));
            }
        }
    }

    /// Remembers that a link came up or went down.
    pub fn turned(&mut self, link: LinkId, state: &'static str, detail: String, now: Wall) {
        let links = self.members.get_mut(&link.channel).map(|m| &mut m.links);
        if let Some(slot) = links.and_then(|l| l.get_mut(usize::from(link.link))) {
            (slot.status.state, slot.status.detail, slot.status.since_ms) = (state, detail, now.0);
        }
    }

    /// How the links of a channel stand.
    pub fn links(&self, channel: ChannelId) -> Vec<LinkStatus> {
        self.member(channel).map(|m| m.links.iter().map(|l| l.status.clone()).collect()).unwrap_or_default()
    }

    /// Asks every link to finish and end.
    pub fn unbind(&self) {
        self.members.values().flat_map(|m| &m.links).for_each(|l| l.handle.unbind());
    }

    /// Links whose task has not ended in order yet.
    pub fn open(&self) -> usize {
        self.members.values().flat_map(|m| &m.links).filter(|l| l.status.state != "closed").count()
    }

    fn link(&self, link: LinkId) -> Option<&Link> {
        self.members.get(&link.channel)?.links.get(usize::from(link.link))
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Send => "send",
        Role::Receive => "receive",
        Role::Both => "both",
    }
}
