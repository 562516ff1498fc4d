//! Health in the switch: what events say to the machines in `health`, and what follows from what these find.
//!
//! Once per settle, before the matching, [`Switch::examine`] asks whatever is due: probes go out, states change, and what
//! is in flight where nobody answers any more is given up as in doubt while its link still stands. From then on the
//! attempt is *superseded*: the message goes on as its tier's policy says, and an answer that comes late after all ends
//! the waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use carriers::{AttemptRef, Doubt, Verdict};
use link::LinkId;

use super::attempt::{Attempt, Outcome};
use super::channel::Usable;
use super::doubt::{self, Resolve};
use super::health::{self, Health, Note, Sign, State, Transition, Use};
use super::lane::Again;
use super::machine::Switch;
use super::{Answer, Command, End, Settings};
use crate::clock::Time;
use crate::config::plan::{ChannelId, GroupId};
use crate::ids::MessageId;

/// Between two looks at what is in flight on a link that is ill.
const LOOK: Duration = Duration::from_millis(100);

/// What the switch keeps of health beside the machines.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) machines: Health<ChannelId, GroupId>,
    notes: Vec<Note<ChannelId, GroupId>>,
    /// Links on which nothing new should start, with what may be in flight there.
    ill: BTreeMap<LinkId, Ill>,
    /// Channels condemned with something exposed, since when it was, until something starts elsewhere.
    exposed: BTreeMap<ChannelId, Time>,
}

/// A link nobody answers on.
#[derive(Clone, Copy, Debug)]
struct Ill {
    since: Time,
    /// The next look at what is in flight there.
    look: Time,
}

impl Watch {
    /// Nothing known yet.
    pub(super) fn new() -> Watch {
        Watch {
            machines: Health::new(health::Settings::default()),
            notes: Vec::new(),
            ill: BTreeMap::new(),
            exposed: BTreeMap::new(),
        }
    }

    /// Takes over a plan. States stay, by channel.
    pub(super) fn plan(&mut self, now: Time, settings: &Settings) {
        let channels: Vec<ChannelId> = settings.channels.iter().map(|rule| rule.id).collect();
        let member = |id: &ChannelId| {
            let rule = settings.channels.iter().find(|rule| rule.id == *id)?;
            Some(health::Member { channel: *id, capacity: rule.rate, carrier: rule.carrier })
        };
        let group = |group: &super::GroupRule| health::Group {
            id: group.id,
            members: group.channels.iter().filter_map(member).collect(),
        };
        let own = |rule: &super::ChannelRule| Some((rule.id, *rule.health.clone()?));
        self.machines.own(settings.channels.iter().filter_map(own).collect());
        self.machines.plan(now, (*settings.health).clone(), &channels, settings.groups.iter().map(group).collect());
    }

    /// A link is gone.
    pub(super) fn lost(&mut self, link: LinkId) {
        self.ill.remove(&link);
    }

    /// Something starts on a channel of a group with these members: whoever of the others was given up has been
    /// replaced.
    pub(super) fn started(&mut self, now: Time, on: ChannelId, members: &[ChannelId], out: &mut Vec<Command>) {
        if self.exposed.is_empty() {
            return;
        }
        self.exposed.retain(|failed, since| {
            let replaced = *failed != on && members.contains(failed);
            if replaced {
                out.push(Command::FailedOver(*failed, now.since(*since)));
            }
            !replaced
        });
    }
}

/// What an answer says of the carrier's health. A bad number, text or template says nothing against it.
pub(super) fn sign(answer: &Answer) -> Sign {
    match answer {
        Answer::Submitted | Answer::Refused(Verdict::Rejected | Verdict::Reroute) => Sign::Answer,
        Answer::Refused(Verdict::Throttled) => Sign::Throttle,
        Answer::Refused(Verdict::Retry | Verdict::LinkFault) => Sign::SystemError,
        Answer::Unanswered(Doubt::Unsent) => Sign::Withdrawn,
        Answer::Unanswered(Doubt::Unacked | Doubt::Acked) => Sign::Unanswered,
    }
}

impl Switch {
    /// Does what health has due.
    pub(super) fn examine(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.watch.machines.deadline() <= now {
            let mut notes = std::mem::take(&mut self.watch.notes);
            self.watch.machines.examine(now, &mut notes);
            for note in notes.drain(..) {
                self.noted(now, note, out);
            }
            self.watch.notes = notes;
        }
        if !self.watch.ill.is_empty() {
            self.look_at_ill(now, out);
        }
        self.hedge(now, out);
        self.wake = self.wake.min(self.watch.machines.deadline());
    }

    fn noted(&mut self, now: Time, note: Note<ChannelId, GroupId>, out: &mut Vec<Command>) {
        match note {
            Note::Probe(channel, link) => out.push(Command::Probe(LinkId { channel: channel.0, link })),
            Note::Moved(channel, transition) => self.changed(now, channel, transition, out),
            Note::Link(channel, link, cause) => {
                let link = LinkId { channel: channel.0, link };
                match cause {
                    Some(_) => drop(self.watch.ill.entry(link).or_insert(Ill { since: now, look: now })),
                    None => drop(self.watch.ill.remove(&link)),
                }
                self.rest(channel);
            }
            Note::Frozen(until) => out.push(Command::OurselvesSuspected(until)),
            Note::Panic(group, _) | Note::Ejected(group, _) | Note::Capped(group, _)
                if self.groups.get(&group).is_none_or(|group| group.internal) => {}
            Note::Panic(group, panic) => out.push(Command::Panic(group, panic)),
            Note::Weight(id, weight) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.health_weight = weight;
                }
            }
            Note::Ejected(group, channel) => out.push(Command::Ejected(group, channel, true)),
            Note::Capped(group, channel) => out.push(Command::Ejected(group, channel, false)),
        }
    }

    fn changed(&mut self, now: Time, id: ChannelId, transition: Transition, out: &mut Vec<Command>) {
        out.push(Command::Transition(id, transition));
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.state = transition.to;
        }
        let links = self.channels.get(&id).map(super::channel::Channel::up_links).unwrap_or_default();
        let links = links.into_iter().map(|link| LinkId { channel: id.0, link });
        if matches!(transition.to, State::Suspect | State::Down) {
            if !matches!(transition.from, State::Suspect | State::Down) {
                self.expose(now, id);
            }
            for link in links {
                // Down means more is given up than was while suspect.
                self.watch.ill.entry(link).or_insert(Ill { since: now, look: now }).look = now;
            }
        } else {
            let Watch { machines, ill, exposed, .. } = &mut self.watch;
            ill.retain(|link, _| link.channel != id.0 || !machines.link_usable(id, link.link));
            exposed.remove(&id);
        }
        self.rest(id);
    }

    /// Remembers since when something was exposed on a channel given up: its oldest part without an answer, or what
    /// just went down with its link.
    fn expose(&mut self, now: Time, id: ChannelId) {
        let open = self.attempts.values().filter(|attempt| attempt.channel == id && attempt.waits());
        let oldest = open.map(|attempt| attempt.sent).min();
        let lost = self.channels.get(&id).and_then(|channel| channel.lost_at).filter(|at| *at == now);
        if let Some(since) = oldest.into_iter().chain(lost).min() {
            self.watch.exposed.insert(id, since);
        }
    }

    /// Links of a channel that rest while others of it are well.
    fn rest(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.rest(|link| !self.watch.machines.link_usable(id, link));
        }
    }

    /// Gives up what is in flight where nothing has been answered for too long, if it may go elsewhere: the first tier
    /// soon after the suspicion, the others when the channel is down. Where nothing is in flight, nothing is due: a start
    /// there is settled, and looked at then.
    fn look_at_ill(&mut self, now: Time, out: &mut Vec<Command>) {
        let mut due = Vec::new();
        let more_silence = self.watch.machines.settings().doubt_after;
        for (link, ill) in &mut self.watch.ill {
            let channel = self.channels.get(&ChannelId(link.channel));
            let Some(channel) = channel.filter(|channel| channel.is_busy(link.link)) else { continue };
            if ill.look > now {
                self.wake = self.wake.min(ill.look);
                continue;
            }
            let quiet = ill.since.max(channel.last_answer(link.link)).after(more_silence);
            let down = channel.state == State::Down;
            if now >= quiet || down {
                due.push((*link, now >= quiet, down));
                ill.look = now.after(LOOK);
            } else {
                ill.look = quiet;
            }
            self.wake = self.wake.min(ill.look);
        }
        for (link, quiet, down) in due {
            let here = |attempt: &&Attempt| {
                let strict = self.is_first(attempt.pending.lane.tier);
                attempt.channel.0 == link.channel && attempt.link == link.link && (down || (strict && quiet))
            };
            let mut open: Vec<AttemptRef> =
                self.attempts.values().filter(here).filter(|attempt| attempt.waits()).map(|a| a.id).collect();
            open.sort_unstable();
            for attempt in open {
                self.supersede(now, attempt, Again::No, out);
            }
        }
    }

    /// Leaves an attempt that is still open behind as in doubt, if its message may go elsewhere now and its tier would
    /// send it again; else it stays in flight. Returns whether it was.
    pub(super) fn supersede(&mut self, now: Time, id: AttemptRef, again: Again, out: &mut Vec<Command>) -> bool {
        let Some(attempt) = self.attempts.get(&id).filter(|attempt| attempt.waits()) else { return false };
        let (message, channel) = (attempt.pending.entry.id, attempt.channel);
        if self.attempts.of(message).is_none_or(|flying| flying.id != id)
            || attempt.concluded
            || attempt.alone
            || !self.has_alternative(now, attempt)
        {
            return false;
        }
        let doubt = self.channels.get(&channel).map_or(Doubt::Acked, |c| c.doubt(attempt.link, attempt.sent));
        let (_, tier) = self.tier(attempt.pending.lane.tier);
        if doubt::resolve(tier, doubt, false, attempt.pending.entry.used.saturating_add(1)) == Resolve::Stop {
            return false;
        }
        let mut pending = attempt.pending.clone();
        pending.entry.again = again;
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.superseded = true;
        }
        self.attempts.decide(&id, |_| Some(()));
        out.push(Command::InDoubt(message, channel, doubt));
        self.in_doubt(now, pending, channel, (doubt, false), out);
        true
    }

    /// Whether a message in flight would find another place than the link it is on: a channel of its group that is well.
    fn has_alternative(&self, now: Time, attempt: &Attempt) -> bool {
        let lane = &attempt.pending.lane;
        let strict = self.is_first(lane.tier);
        let Some(group) = self.groups.get(&lane.group) else { return false };
        // Its own channel only where another link of it is well.
        let here = self.watch.machines.link_usable(attempt.channel, attempt.link);
        let may =
            |id: &&ChannelId| lane.class.excluded.binary_search(id).is_err() && !(here && **id == attempt.channel);
        group.channels.iter().filter(may).any(|id| {
            let Some(channel) = self.channels.get(id).filter(|channel| channel.admits(lane.tier)) else { return false };
            channel.usable(now, attempt.pending.entry.parts) != Usable::No
                && matches!(self.watch.machines.usable(group.id, *id, strict), Use::Full | Use::Trial(_))
        })
    }

    /// A link takes with it what its attempts held there.
    pub(super) fn bereave(&mut self, now: Time, link: LinkId, lose: fn(&mut Attempt), out: &mut Vec<Command>) {
        let here = |attempt: &&mut Attempt| attempt.channel.0 == link.channel && attempt.link == link.link;
        let mut touched = Vec::new();
        for attempt in self.attempts.values_mut().filter(here) {
            lose(attempt);
            touched.push(attempt.id);
        }
        touched.sort_unstable();
        for attempt in touched {
            self.review(now, attempt, out);
        }
    }

    /// A superseded attempt has ended after all. What it says counts for its message, where that still waits.
    pub(super) fn late(&mut self, id: AttemptRef, outcome: Outcome, out: &mut Vec<Command>) {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.superseded) else { return };
        let (message, channel, sure) = (attempt.pending.entry.id, attempt.channel, attempt.doubt.is_none());
        let used = attempt.pending.entry.used.saturating_add(1);
        if sure && outcome != Outcome::Submitted {
            attempt.superseded = false;
        }
        // Whatever became of its other parts: that channel does not carry it.
        if matches!(outcome, Outcome::Elsewhere | Outcome::Rejected) {
            self.bar(message, channel);
        }
        match outcome {
            // The carrier has it: what goes out already is not followed any further.
            Outcome::Submitted => {
                if let Some(next) = self.attempts.of_mut(message) {
                    next.concluded = true;
                } else {
                    self.forget(message);
                }
            }
            Outcome::Doubt { .. } => {}
            _ if !sure => {}
            Outcome::Rejected => {
                if self.forget(message) {
                    out.push(Command::Exhausted(message, End::Rejected));
                }
            }
            // It is certainly not there: nothing to wait for, unless for what came of an attempt since.
            Outcome::Elsewhere | Outcome::Refused | Outcome::Again | Outcome::Missing { .. } => {
                if self.later.find(message).is_some_and(|(_, pending)| pending.entry.used == used)
                    && let Some(pending) = self.later.remove(message)
                {
                    self.lanes.insert(pending);
                }
            }
        }
    }

    /// That channel cannot carry the message, wherever it is.
    fn bar(&mut self, message: MessageId, channel: ChannelId) {
        if let Some(next) = self.attempts.of_mut(message) {
            return next.pending.lane.class.exclude(channel);
        }
        if let Some(attempt) = self.partial.get_mut(&message) {
            attempt.pending.lane.class.exclude(channel);
        }
        if let Some((at, mut pending)) = self.later.take(message) {
            pending.lane.class.exclude(channel);
            self.later.insert(at, pending);
        } else if let Some(mut pending) = self.lanes.remove(message) {
            pending.lane.class.exclude(channel);
            self.lanes.insert(pending);
        }
    }
}
