//! The links of all channels: starts and ends them, hands each what it has to do once per wake-up, remembers how they
//! stand.
//!
//! What a channel's links are to be is written down ([`Fleet::start`], [`Fleet::stop`], [`Fleet::drain`]) and then
//! worked towards, at once and each time a link has ended: links too many finish what is open and end; links missing
//! start, but never more at a time than the contract's number, and never beside a link of another account, for
//! carriers count connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carriers::{Inbound, Profile, Protocol, Reach, Role, Settle};
use ipnet::IpNet;
use link::{Handle, LinkId, ToLink};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::Wall;
use crate::config::plan::{Channel, ChannelId};
use crate::few::Few;
use crate::observe::{ChannelMeter, Metrics};

/// Room that a link's list of things to do begins with, at most.
const LIST: usize = 1024;

/// How one link stands.
#[derive(Clone, Debug, Serialize)]
pub struct LinkStatus {
    /// Its number in the channel.
    pub link: u16,
    /// `send`, `receive` or `both`.
    pub role: &'static str,
    /// `up`, `connecting`, `down`, or `closing` once it was told to end.
    pub state: &'static str,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The far side while up, the reason while down.
    pub detail: String,
}

/// A channel that was ever in service. It stays when it leaves: what it carried is still being concluded.
pub struct Member {
    /// Splits messages.
    pub profile: Arc<dyn Profile>,
    /// Its metrics.
    pub meter: ChannelMeter,
    /// Its company.
    pub carrier: String,
    /// Its protocol.
    pub protocol: &'static str,
    /// What the plan wants; none: the channel is to leave.
    wanted: Option<Wanted>,
    links: Few<u16, Link>,
    /// Where the search for a free link number begins.
    next: u16,
}

/// The links a channel is to have.
#[derive(Clone, PartialEq)]
struct Wanted {
    /// All that a link depends on: links of one account may live on, those of another may not.
    account: Arc<str>,
    /// Links per leg that we dial; one place to listen serves all who come.
    links: usize,
    /// Whence the far side may dial.
    allow_from: Vec<IpNet>,
    protocol: Speaks,
}

/// A protocol, compared by its name.
#[derive(Clone, Copy)]
struct Speaks(&'static dyn Protocol);

impl PartialEq for Speaks {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

struct Link {
    handle: Handle,
    account: Arc<str>,
    leg: usize,
    role: Role,
    /// Told to end.
    closing: bool,
    outgoing: Vec<ToLink>,
    status: LinkStatus,
}

/// All channels.
pub struct Fleet {
    members: Few<u16, Member>,
    /// An operator wants no links, whatever the plan says.
    drained: BTreeSet<u16>,
    metrics: Arc<Metrics>,
    events: mpsc::Sender<link::Batch>,
    settings: link::Settings,
    doors: link::Doors,
    /// Links with something to do.
    pending: Vec<LinkId>,
}

impl Fleet {
    /// No channels yet; links report to `events`.
    pub fn new(metrics: Arc<Metrics>, events: mpsc::Sender<link::Batch>, settings: link::Settings) -> Self {
        Fleet {
            members: Few::new(),
            drained: BTreeSet::new(),
            metrics,
            events,
            settings,
            doors: link::Doors::default(),
            pending: Vec::new(),
        }
    }

    /// The channel is to be in service as the plan has it: links of the same account live on, others end before new
    /// ones start. Returns the links that were told to end.
    ///
    /// # Errors
    /// A leg that cannot be served; nothing has changed then.
    pub fn start(&mut self, channel: &Channel, now: Wall) -> Result<Vec<LinkId>, link::Unservable> {
        link::servable(&*channel.profile)?;
        let listens = channel.profile.legs().iter().any(|leg| matches!(leg.reach, Reach::Listen(_)));
        let allow_from = if listens { channel.allow_from.clone() } else { Vec::new() };
        // Whoever listens asks at the door only: other peers, another place there.
        let account = if listens { format!("{} {allow_from:?}", channel.account()) } else { channel.account() };
        let (profile, carrier, protocol) = (channel.profile.clone(), channel.carrier.clone(), channel.protocol.name());
        let wanted = Some(Wanted {
            account: account.into(),
            links: usize::from(channel.links),
            allow_from,
            protocol: Speaks(channel.protocol),
        });
        match self.members.get_mut(&channel.id.0) {
            Some(member) => {
                (member.profile, member.carrier, member.protocol, member.wanted) = (profile, carrier, protocol, wanted);
            }
            None => {
                let meter = ChannelMeter::new(&self.metrics, &channel.name);
                let member = Member { profile, meter, carrier, protocol, wanted, links: Few::new(), next: 0 };
                self.members.insert(channel.id.0, member);
            }
        }
        Ok(self.settle(channel.id, now))
    }

    /// The channel is to leave: its links finish what is open and end. Returns the links that were told to.
    pub fn stop(&mut self, channel: ChannelId, now: Wall) -> Vec<LinkId> {
        if let Some(member) = self.members.get_mut(&channel.0) {
            member.wanted = None;
        }
        self.settle(channel, now)
    }

    /// An operator wants the channel without links, or back as the plan has it; before it starts, none is dialled then.
    /// Returns the links that were told to end.
    pub fn drain(&mut self, channel: ChannelId, drained: bool, now: Wall) -> Vec<LinkId> {
        if drained {
            self.drained.insert(channel.0);
        } else {
            self.drained.remove(&channel.0);
        }
        self.settle(channel, now)
    }

    /// Whether an operator wants it without links.
    pub fn drained(&self, channel: ChannelId) -> bool {
        self.drained.contains(&channel.0)
    }

    /// A link has ended in order; its place may be taken by another. True where its channel has left with it.
    pub fn closed(&mut self, link: LinkId, now: Wall) -> bool {
        let Some(member) = self.members.get_mut(&link.channel) else { return false };
        if member.links.remove(&link.link).is_none() {
            return false;
        }
        self.settle(ChannelId(link.channel), now);
        !self.present(ChannelId(link.channel))
    }

    /// Ends links that are too many and starts those that are missing.
    fn settle(&mut self, channel: ChannelId, now: Wall) -> Vec<LinkId> {
        let Some(member) = self.members.get_mut(&channel.0) else { return Vec::new() };
        let wanted = member.wanted.as_ref().filter(|_| !self.drained.contains(&channel.0)).cloned();
        let surplus = member.surplus(wanted.as_ref());
        for number in &surplus {
            let Some(link) = member.links.get_mut(number) else { continue };
            link.closing = true;
            (link.status.state, link.status.since_ms) = ("closing", now.0);
        }
        let surplus: Vec<LinkId> = surplus.into_iter().map(|link| LinkId { channel: channel.0, link }).collect();
        for link in &surplus {
            self.push(*link, ToLink::Unbind);
        }
        if let Some(wanted) = wanted {
            self.fill(channel, &wanted, now);
        }
        surplus
    }

    /// Starts what is missing of the wanted links, unless links of another account are still there.
    fn fill(&mut self, channel: ChannelId, wanted: &Wanted, now: Wall) {
        let Some(member) = self.members.get_mut(&channel.0) else { return };
        if member.links.values().any(|link| link.account != wanted.account) {
            return;
        }
        let legs: Vec<(Role, bool)> =
            member.profile.legs().iter().map(|leg| (leg.role, matches!(leg.reach, Reach::Listen(_)))).collect();
        for (leg, (role, listens)) in legs.into_iter().enumerate() {
            let present = member.links.values().filter(|link| link.leg == leg).count();
            let wanted_here = if listens { 1 } else { wanted.links };
            for _ in present..wanted_here {
                let Some(number) = member.number() else { return };
                let id = LinkId { channel: channel.0, link: number };
                let spec = link::Spec {
                    id,
                    name: member.meter.name().to_owned(),
                    profile: member.profile.clone(),
                    leg,
                    seed: fastrand::u64(..),
                    settings: self.settings.clone(),
                    entrance: listens.then(|| link::Entrance {
                        doors: self.doors.clone(),
                        protocol: wanted.protocol.0,
                        allow_from: wanted.allow_from.clone(),
                    }),
                };
                let handle = match link::spawn(spec, self.events.clone()) {
                    Ok(handle) => handle,
                    // Every leg was asked for before it was wanted.
                    Err(error) => return tracing::error!(channel = member.meter.name(), %error, "link not started"),
                };
                let (state, detail) = ("connecting", String::new());
                let status = LinkStatus { link: number, role: role_name(role), state, since_ms: now.0, detail };
                let (account, outgoing) = (wanted.account.clone(), Vec::new());
                member.links.insert(number, Link { handle, account, leg, role, closing: false, outgoing, status });
            }
        }
    }

    /// The channel, if it ever was in service.
    pub fn member(&self, channel: ChannelId) -> Option<&Member> {
        self.members.get(&channel.0)
    }

    /// The company of the channel of that name.
    pub fn company(&self, channel: &str) -> Option<&str> {
        self.members.values().find(|member| member.meter.name() == channel).map(|member| &*member.carrier)
    }

    /// Whether the channel is in service, or still has links that finish what is open.
    pub fn present(&self, channel: ChannelId) -> bool {
        self.member(channel).is_some_and(|member| member.wanted.is_some() || !member.links.is_empty())
    }

    /// All channels in service, and those whose links still finish what is open.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &Member)> {
        let all = self.members.iter().map(|(id, member)| (ChannelId(*id), member));
        all.filter(|(_, member)| member.wanted.is_some() || !member.links.is_empty())
    }

    /// The channel of a link that takes parts.
    pub fn of(&self, link: LinkId) -> Option<&Member> {
        self.members.get(&link.channel).filter(|member| member.links.get(&link.link).is_some_and(|l| !l.closing))
    }

    /// Whether submits go over that link.
    pub fn sends(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(|l| l.role != Role::Receive && !l.closing)
    }

    /// Queues something for a link until [`Fleet::flush`].
    pub fn push(&mut self, link: LinkId, what: ToLink) {
        if let Some(slot) = find(&mut self.members, link) {
            if slot.outgoing.is_empty() {
                self.pending.push(link);
            }
            slot.outgoing.push(what);
        }
    }

    /// The word on a receipt or a message from a handset that came over that connection of a link, together with others
    /// of the same word; queued as by [`Fleet::push`].
    pub fn answer(&mut self, link: LinkId, generation: u64, inbound: Inbound, word: Settle) {
        match find(&mut self.members, link).and_then(|slot| slot.outgoing.last_mut()) {
            Some(ToLink::Settle(of, inbounds, said)) if *of == generation && *said == word => inbounds.push(inbound),
            _ => self.push(link, ToLink::Settle(generation, vec![inbound], word)),
        }
    }

    /// Hands every link what was queued for it, in one batch each.
    pub fn flush(&mut self) {
        for link in self.pending.drain(..) {
            if let Some(slot) = find(&mut self.members, link) {
                // The next one is mostly as long, or as one not long ago.
                let most = slot.outgoing.len().max(slot.outgoing.capacity() / 8 * 7);
                let next = Vec::with_capacity(most.min(LIST));
                slot.handle.send(std::mem::replace(&mut slot.outgoing, next));
            }
        }
    }

    /// Remembers that a link came up or went down.
    pub fn turned(&mut self, link: LinkId, state: &'static str, detail: String, now: Wall) {
        if let Some(slot) = find(&mut self.members, link) {
            let state = if slot.closing { "closing" } else { state };
            (slot.status.state, slot.status.detail, slot.status.since_ms) = (state, detail, now.0);
        }
    }

    /// How the links of a channel stand.
    pub fn links(&self, channel: ChannelId) -> Vec<LinkStatus> {
        self.member(channel).map(|m| m.links.values().map(|l| l.status.clone()).collect()).unwrap_or_default()
    }

    /// Whether a leg of the channel that only receives has no link: it may still send, and hears nothing of what it sent.
    pub fn deaf(&self, channel: ChannelId) -> bool {
        let Some(member) = self.member(channel) else { return false };
        let mut receiving = member.links.values().filter(|link| link.role == Role::Receive && !link.closing).peekable();
        receiving.peek().is_some() && receiving.all(|link| link.status.state != "up")
    }

    /// Whether the channel has any link, bound or not.
    pub fn linked(&self, channel: ChannelId) -> bool {
        self.member(channel).is_some_and(|member| !member.links.is_empty())
    }

    /// Asks every link to finish and end; none is started any more.
    pub fn unbind(&mut self, now: Wall) {
        let all: Vec<ChannelId> = self.members.iter().map(|(id, _)| ChannelId(*id)).collect();
        for channel in all {
            self.stop(channel, now);
        }
        self.flush();
    }

    /// Links that have not ended in order yet.
    pub fn open(&self) -> usize {
        self.members.values().map(|m| m.links.len()).sum()
    }

    fn link(&self, link: LinkId) -> Option<&Link> {
        self.members.get(&link.channel)?.links.get(&link.link)
    }
}

impl Member {
    /// Links that are open and not wanted: of another account, or the youngest beyond the number of their leg.
    fn surplus(&self, wanted: Option<&Wanted>) -> Vec<u16> {
        let mut kept: BTreeMap<usize, usize> = BTreeMap::new();
        let open = self.links.iter().filter(|(_, link)| !link.closing);
        let unwanted = open.filter(|(_, link)| {
            let Some(wanted) = wanted.filter(|wanted| wanted.account == link.account) else { return true };
            let kept = kept.entry(link.leg).or_default();
            *kept += 1;
            *kept > wanted.links
        });
        unwanted.map(|(number, _)| *number).collect()
    }

    /// A number for a new link. One that was used comes back only after all others: a late word to the earlier link
    /// must not reach the new one.
    fn number(&mut self) -> Option<u16> {
        let free = (0..=u16::MAX).map(|n| self.next.wrapping_add(n)).find(|n| self.links.get(n).is_none())?;
        self.next = free.wrapping_add(1);
        Some(free)
    }
}

fn find(members: &mut Few<u16, Member>, link: LinkId) -> Option<&mut Link> {
    members.get_mut(&link.channel)?.links.get_mut(&link.link)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Send => "send",
        Role::Receive => "receive",
        Role::Both => "both",
    }
}

#[cfg(test)]
mod tests;
