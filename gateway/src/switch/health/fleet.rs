//! All channels and groups: the ejection cap, panic and the guard against our own stalls.

use std::time::Duration;

use super::channel::{Channel, Found};
use super::link::Link;
use super::{Ending, Memory, Note, Preset, Settings, Sign, Snapshot, State, Transition, Trial, Use};
use crate::clock::Time;
use crate::few::Few;

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
#[derive(Clone, Debug)]
pub struct Health<C, G> {
    settings: Settings,
    /// Of channels that have their own.
    own: Few<C, Settings>,
    channels: Few<C, Channel>,
    groups: Few<G, Seats<C>>,
    /// When soft evidence came in against whom, within the guard's window.
    suspected: Vec<(Time, u32)>,
    frozen_until: Time,
    /// Not later than the earliest thing due.
    due: Time,
    found: Vec<Found>,
    /// Found outside an examination.
    kept: Vec<Note<C, G>>,
}

/// A group's channels as it may use them.
#[derive(Clone, Debug)]
struct Seats<C> {
    seats: Vec<Seat<C>>,
    panic: bool,
    /// Every seat is [`Use::Full`], and no channel shy.
    well: bool,
}

/// A channel's place in one group.
#[derive(Clone, Debug)]
struct Seat<C> {
    member: Member<C>,
    uses: Use,
    healthy: bool,
    shy: bool,
    ejected: bool,
    capped: bool,
    /// When it was last ejected: it counts for the cap's window even if it is back.
    ejected_at: Option<Time>,
}

impl<C: Copy + Ord> Seat<C> {
    fn new(member: Member<C>) -> Seat<C> {
        Seat { member, uses: Use::No, healthy: false, shy: false, ejected: false, capped: false, ejected_at: None }
    }

    fn capacity(&self) -> f64 {
        if self.member.capacity.is_finite() { self.member.capacity.max(1e-3) } else { 1.0 }
    }
}

impl<C: Copy + Ord, G: Copy + Ord> Health<C, G> {
    /// Nothing known yet.
    pub fn new(settings: Settings) -> Health<C, G> {
        Health {
            settings,
            own: Few::new(),
            channels: Few::new(),
            groups: Few::new(),
            suspected: Vec::new(),
            frozen_until: Time(0),
            due: Time::NEVER,
            found: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// The settings for all that has none of its own.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Channels that are judged by settings of their own; before [`Health::plan`], which takes them over.
    pub(in super::super) fn own(&mut self, own: Few<C, Settings>) {
        self.own = own;
    }

    /// New settings, channels and groups (first plan, reload). Channels keep their state by id, also while the plan
    /// does not name them and links remain. A channel with company in some group is [`Preset::Fast`], one alone
    /// everywhere is calm.
    pub fn plan(&mut self, now: Time, settings: Settings, channels: &[C], groups: Vec<Group<C, G>>) {
        self.settings = settings;
        self.channels.values_mut().for_each(|channel| channel.named = false);
        for id in channels {
            self.channels.get_or_insert_with(*id, || Channel::new(now)).named = true;
        }
        self.channels.retain(|_, channel| !channel.forgettable());
        for (id, channel) in self.channels.iter_mut() {
            channel.settle(of(&self.own, &self.settings, id));
            let company = |group: &Group<C, G>| {
                let others = group.members.iter().any(|other| other.channel != *id);
                others && group.members.iter().any(|member| member.channel == *id)
            };
            channel.preset = if groups.iter().any(company) { Preset::Fast } else { Preset::Calm };
        }
        let mut before = std::mem::take(&mut self.groups);
        for group in groups {
            let mut old = before.remove(&group.id);
            let mut take = |member: Member<C>| {
                let known =
                    |seats: &Seats<C>| seats.seats.iter().position(|seat| seat.member.channel == member.channel);
                let at = old.as_ref().and_then(known);
                match at.zip(old.as_mut()) {
                    Some((at, old)) => Seat { member, ..old.seats.swap_remove(at) },
                    None => Seat::new(member),
                }
            };
            let seats: Vec<_> = group.members.into_iter().map(&mut take).collect();
            let panic = old.is_some_and(|old| old.panic);
            self.groups.insert(group.id, Seats { seats, panic, well: false });
        }
        self.due = now;
        let mut kept = std::mem::take(&mut self.kept);
        self.seat(now, &mut kept);
        self.kept = kept;
    }

    /// A link is bound. `probes`: whether its protocol has a question to ask (enquire_link, ACTIVE_TEST, OPTIONS, …).
    pub fn link_up(&mut self, now: Time, channel: C, link: u16, probes: bool) {
        let known = self.channels.get_or_insert_with(channel, || Channel::new(now));
        known.link_up(now, link, probes, of(&self.own, &self.settings, &channel));
        self.due = self.due.min(now);
    }

    /// A link is no longer bound; what was in flight on it is forgotten here. Before or after its parts are ended.
    pub fn link_down(&mut self, now: Time, channel: C, link: u16, ending: Ending) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.link_down(now, link, ending);
            self.due = self.due.min(now);
        }
    }

    /// A link's number is not used again.
    pub fn link_gone(&mut self, now: Time, channel: C, link: u16) {
        self.link_down(now, channel, link, Ending::Ours);
        if let Some(known) = self.channels.get_mut(&channel) {
            known.link_gone(link);
        }
    }

    /// So many parts were handed to the link at `now`; keep `now`, it names them in [`Health::ended`].
    pub fn sent(&mut self, now: Time, channel: C, link: u16, parts: u32) {
        if let Some(known) = self.channels.get_mut(&channel) {
            self.due = self.due.min(known.sent(now, link, parts, of(&self.own, &self.settings, &channel)));
        }
    }

    /// One part that was sent at `sent` ended. Also for answers after a part was given up or its link was down: they
    /// count as late, and as a sign of life.
    pub fn ended(&mut self, now: Time, channel: C, link: u16, sent: Time, sign: Sign) {
        if let Some(known) = self.channels.get_mut(&channel) {
            self.due = self.due.min(known.ended(now, link, sent, sign, of(&self.own, &self.settings, &channel)));
        }
    }

    fn tell(&mut self, channel: C, link: u16, tell: impl FnOnce(&mut Link, &Settings)) {
        if let Some(known) = self.channels.get_mut(&channel) {
            self.due = self.due.min(known.with(link, of(&self.own, &self.settings, &channel), tell));
        }
    }

    /// Some PDU came in that is no answer to a part: receipt, incoming message, keepalive.
    pub fn heard(&mut self, now: Time, channel: C, link: u16) {
        self.tell(channel, link, |link, _| link.heard(now));
    }

    /// A probe asked for by [`Note::Probe`] was answered.
    pub fn probe_answered(&mut self, now: Time, channel: C, link: u16) {
        self.tell(channel, link, |link, _| link.probe_answered(now));
    }

    /// What the socket says: age of the oldest octets not acknowledged by the carrier's kernel, zero for none. Wanted
    /// about every 20–50 ms while it is not zero, and once when it has become zero: a value is believed for
    /// [`Settings::unacked_fresh`] and does not age by itself. Where the path is long, take four round trips less
    /// 300 ms off the age, so that the limit of 500 ms means four round trips and 200 ms.
    pub fn unacked(&mut self, now: Time, channel: C, link: u16, age: Duration) {
        self.tell(channel, link, |link, settings| link.unacked(now, age, settings));
    }

    /// Our own process stood still for so long, up to now (known from elsewhere; late examinations are seen here).
    pub fn paused(&mut self, now: Time, pause: Duration) {
        self.channels.values_mut().for_each(|channel| channel.each(|link| link.paused(now, pause)));
    }

    /// Looks at everything that is due and appends what changed and what is wanted. Cheap before [`Health::deadline`].
    /// Call it after the events of a batch and before the matching.
    pub fn examine(&mut self, now: Time, notes: &mut Vec<Note<C, G>>) {
        if now < self.due {
            return;
        }
        notes.append(&mut self.kept);
        let mut found = std::mem::take(&mut self.found);
        let (mut moved, mut weighed) = (false, false);
        for (id, channel) in self.channels.iter_mut() {
            channel.examine(now, of(&self.own, &self.settings, id), &mut found);
            for found in found.drain(..) {
                notes.push(match found {
                    Found::Probe(link) => Note::Probe(*id, link),
                    Found::Link(link, cause) => Note::Link(*id, link, cause),
                    Found::Weight(weight) => {
                        weighed = true;
                        Note::Weight(*id, weight)
                    }
                    Found::Moved(transition) => {
                        moved = true;
                        Note::Moved(*id, transition)
                    }
                });
            }
        }
        self.found = found;
        if moved {
            self.guard(now, notes);
        }
        if moved || weighed || self.groups.values().any(|group| !group.well) {
            self.seat(now, notes);
        }
        self.due = self.next(now);
    }

    fn next(&self, now: Time) -> Time {
        let due = |(id, channel): (&C, &Channel)| channel.due(of(&self.own, &self.settings, id));
        let channels = self.channels.iter().map(due).min().unwrap_or(Time::NEVER);
        // A suspect channel that is not out of a group waits for the freeze or for the cap's window.
        let waits = |seats: &Seats<C>| seats.seats.iter().any(|seat| seat.capped && !seat.ejected);
        let groups = if self.groups.values().any(waits) {
            if self.frozen_until > now { self.frozen_until } else { now.after(Duration::from_millis(500)) }
        } else {
            Time::NEVER
        };
        channels.min(groups).max(Time(now.0.saturating_add(1_000)))
    }

    /// Whether several carriers became suspect together.
    fn guard(&mut self, now: Time, notes: &mut Vec<Note<C, G>>) {
        let window = self.settings.guard_window;
        self.suspected.retain(|(at, _)| now.since(*at) <= window);
        let moved: Vec<_> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Moved(channel, Transition { from: State::Healthy, to: State::Suspect, at, .. }) if *at == now => {
                    Some(*channel)
                }
                _ => None,
            })
            .collect();
        for channel in moved {
            let seats = self.groups.values().flat_map(|group| &group.seats);
            let carrier = seats.map(|seat| seat.member).find(|member| member.channel == channel).map(|m| m.carrier);
            let Some(carrier) = carrier else { continue };
            let others = self.suspected.iter().any(|(_, other)| *other != carrier);
            self.suspected.push((now, carrier));
            // Were it ourselves, nobody would answer.
            let answers =
                |(id, known): (&C, &Channel)| *id != channel && known.answering(now, self.settings.guard_answer);
            let contradicted = self.channels.iter().any(answers);
            if others && !contradicted && now >= self.frozen_until {
                self.frozen_until = now.after(self.settings.guard_freeze);
                notes.push(Note::Frozen(self.frozen_until));
            }
        }
    }

    /// Decides anew what each group may use.
    fn seat(&mut self, now: Time, notes: &mut Vec<Note<C, G>>) {
        let frozen = now < self.frozen_until;
        for (id, group) in self.groups.iter_mut() {
            group.seat(now, *id, &self.channels, (&self.own, &self.settings), frozen, notes);
        }
    }

    /// When to examine again; [`Time::NEVER`] while nothing is in flight and all is well. May be early, never late.
    pub fn deadline(&self) -> Time {
        self.due
    }

    /// Whether the group may use the channel. `strictest`: for a message of the strictest tier, which stays away from
    /// channels on trial and slow ones while another channel of the group is well.
    pub fn usable(&self, group: G, channel: C, strictest: bool) -> Use {
        let Some(group) = self.groups.get(&group) else { return Use::No };
        let Some(seat) = group.seats.iter().find(|seat| seat.member.channel == channel) else { return Use::No };
        if group.well || !strictest || !seat.shy || seat.uses == Use::No {
            return seat.uses;
        }
        let better = |other: &Seat<C>| other.healthy && !other.shy && other.uses.allowed();
        if !group.seats.iter().any(better) {
            return seat.uses;
        }
        if seat.healthy { Use::Last(0) } else { Use::No }
    }

    /// Whether new parts may go over this link of a usable channel: a suspect link rests while another one is well.
    pub fn link_usable(&self, channel: C, link: u16) -> bool {
        self.channels.get(&channel).is_some_and(|channel| channel.link_usable(link))
    }

    /// A channel's state; down where it is unknown.
    pub fn state(&self, channel: C) -> State {
        self.channels.get(&channel).map_or(State::Down, Channel::state)
    }

    /// What a strategy should count the channel as: 1, 0.5 while slow, 0.25 while throttled most of the time.
    pub fn weight(&self, channel: C) -> f64 {
        self.channels.get(&channel).map_or(1.0, Channel::weight)
    }

    /// The latency below which 99.9 % of the channel's answers stay (hedge deadlines); a prior while cold.
    pub fn q999(&self, channel: C) -> Duration {
        self.channels.get(&channel).map_or(Duration::from_secs(2), Channel::q999)
    }

    /// How much a channel on trial may be given now.
    pub fn trial(&self, now: Time, channel: C) -> Option<Trial> {
        self.channels.get(&channel)?.trial(now, of(&self.own, &self.settings, &channel))
    }

    /// How long nothing has been answered on the channel while something is in flight; the least of its links.
    pub fn silence(&self, now: Time, channel: C) -> Duration {
        self.channels.get(&channel).map(|channel| channel.silence(now)).unwrap_or_default()
    }

    /// Since when the channel is down, if it is.
    pub fn down_since(&self, channel: C) -> Option<Time> {
        self.channels.get(&channel).and_then(Channel::down_since)
    }

    /// For operators.
    pub fn snapshot(&self, now: Time, channel: C) -> Option<Snapshot> {
        let s = of(&self.own, &self.settings, &channel);
        self.channels.get(&channel).map(|known| known.snapshot(now, s))
    }

    /// What is worth keeping over a restart.
    pub fn memory(&self, now: Time, channel: C) -> Option<Memory> {
        let s = of(&self.own, &self.settings, &channel);
        self.channels.get(&channel).map(|known| known.memory(now, s))
    }

    /// Takes back what was kept `age` ago; before the channel's first link is up.
    pub fn restore(&mut self, now: Time, channel: C, memory: &Memory, age: Duration) {
        let known = self.channels.get_or_insert_with(channel, || Channel::new(now));
        known.restore(now, memory, age, of(&self.own, &self.settings, &channel));
    }
}

/// A channel's settings.
fn of<'s, C: Copy + Ord>(own: &'s Few<C, Settings>, all: &'s Settings, channel: &C) -> &'s Settings {
    own.get(channel).unwrap_or(all)
}

impl<C: Copy + Ord> Seats<C> {
    fn seat<G: Copy>(
        &mut self,
        now: Time,
        id: G,
        channels: &Few<C, Channel>,
        (own, s): (&Few<C, Settings>, &Settings),
        frozen: bool,
        notes: &mut Vec<Note<C, G>>,
    ) {
        let state = |seat: &Seat<C>| channels.get(&seat.member.channel).map_or(State::Down, Channel::state);
        let total: f64 = self.seats.iter().map(Seat::capacity).sum();
        let healthy: f64 = self.seats.iter().filter(|seat| state(seat) == State::Healthy).map(Seat::capacity).sum();
        let suspects = self.seats.iter().filter(|seat| state(seat) == State::Suspect).count();
        // One suspect beside a healthy channel is no panic, however large it is: the case the backup is there for.
        let panic = suspects > 0 && healthy < total * s.panic_share && (healthy <= 0.0 || suspects > 1);
        if panic != self.panic {
            self.panic = panic;
            notes.push(Note::Panic(id, panic));
        }
        let recent = |seat: &Seat<C>| seat.ejected_at.is_some_and(|at| now.since(at) < s.eject_window);
        let mut ejected: f64 = self.seats.iter().filter(|seat| recent(seat)).map(Seat::capacity).sum();
        let mut order: Vec<(C, f64)> = Vec::new();
        for seat in &mut self.seats {
            let channel = channels.get(&seat.member.channel);
            let state = channel.map_or(State::Down, Channel::state);
            seat.healthy = state == State::Healthy;
            let its = of(own, s, &seat.member.channel);
            seat.shy = channel.is_some_and(|channel| channel.shy(its));
            if state != State::Suspect {
                (seat.ejected, seat.capped) = (false, false);
            }
            seat.uses = match state {
                State::Healthy => Use::Full,
                State::Down => Use::No,
                State::Probation => {
                    Use::Trial(channel.and_then(|channel| channel.trial(now, its)).unwrap_or(Trial::One))
                }
                State::Suspect => {
                    // What counts is who is out already, not that this one was.
                    let others = if recent(seat) { ejected - seat.capacity() } else { ejected };
                    let fits = others <= f64::EPSILON || others + seat.capacity() <= total * s.eject_share;
                    if !seat.ejected && !frozen && fits {
                        (seat.ejected, seat.ejected_at, seat.capped) = (true, Some(now), panic);
                        ejected = others + seat.capacity();
                        let channel = seat.member.channel;
                        notes.push(if panic { Note::Capped(id, channel) } else { Note::Ejected(id, channel) });
                    } else if seat.ejected && seat.capped && !panic {
                        // The panic kept it in use, and is over.
                        seat.capped = false;
                        notes.push(Note::Ejected(id, seat.member.channel));
                    } else if !seat.ejected && !seat.capped {
                        seat.capped = true;
                        notes.push(Note::Capped(id, seat.member.channel));
                    }
                    order.push((seat.member.channel, channel.map_or(0.0, Channel::phi)));
                    match (seat.ejected, frozen) {
                        (true, _) if !panic => Use::No,
                        (false, true) if !channel.is_some_and(Channel::mute) => Use::Full,
                        _ => Use::Last(1),
                    }
                }
            };
        }
        order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        for seat in &mut self.seats {
            if let (Use::Last(_), Some(at)) = (seat.uses, order.iter().position(|(id, _)| *id == seat.member.channel)) {
                seat.uses = Use::Last(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        self.well = self.seats.iter().all(|seat| seat.uses == Use::Full && !seat.shy);
    }
}
