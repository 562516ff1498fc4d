//! A channel as the switch sees it: links with their windows, pace, pause and hold.

use std::time::Duration;

use carriers::Doubt;

use super::ChannelRule;
use super::budget::Budget;
use super::fair::Turns;
use super::health::{self, Snapshot, State, Trial};
use super::hedge::Hedges;
use super::pace::Pace;
use super::rate::Accepted;
use super::stats::Stats;
use super::why::Cause;
use super::window::Window;
use crate::clock::Time;
use crate::config::plan::TierId;
use crate::few::Few;

/// Pause after a throttle answer; doubled while the carrier takes nothing between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A channel that was out for longer than this starts slowly.
const AWAY: Duration = Duration::from_secs(3);
/// The rate is not cut again sooner.
const CUT_GAP: Duration = Duration::from_millis(200);

/// One link.
#[derive(Debug)]
struct Link {
    up: bool,
    /// Takes nothing new: it finishes what is open and does not come back.
    closing: bool,
    /// Slots; the last ones known while it is down.
    window: Window,
    used: usize,
    /// Nobody answers on it, while another link does: takes nothing new.
    rests: bool,
    /// When a part was last answered on it.
    answered: Time,
    /// Octets written at or after this are not acknowledged by the far side's kernel.
    unacked_from: Time,
}

impl Link {
    fn new(window: usize) -> Link {
        Link {
            up: false,
            closing: false,
            window: Window::new(window),
            used: 0,
            rests: false,
            answered: Time(0),
            unacked_from: Time::NEVER,
        }
    }

    /// Whether it takes messages.
    fn open(&self) -> bool {
        self.up && !self.closing
    }
}

/// How long the one part of a trial that begins may stay without an answer until another one goes.
const TRIAL_PATIENCE: Duration = Duration::from_secs(1);
/// So much of its share a channel on trial may catch up on: timers are late.
const TRIAL_SLACK: Duration = Duration::from_millis(20);

/// Whether a channel may be used at all, before asking whether it has room this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usable {
    Yes,
    /// Not before then.
    Paused(Time),
    /// Held, or no link bound.
    No,
}

/// What a usable channel can do for a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Take it over this link.
    Link(u16),
    /// Its pace allows it then.
    At(Time),
    /// No link has room, or an earlier message waits for it.
    Full,
}

/// One channel's state; it outlives changes of its rule.
#[derive(Debug)]
pub(super) struct Channel {
    /// Tiers admitted; none while the plan does not name the channel.
    tiers: Vec<TierId>,
    /// Whether lower tiers leave a reserve.
    reserves: bool,
    pub(super) pace: Pace,
    /// What it takes of messages that go again.
    pub(super) budget: Budget,
    links: Few<u16, Link>,
    /// The largest window of a link that is not told to end, 0 where none was ever seen.
    largest: usize,
    last: u16,
    paused_until: Time,
    next_pause: Duration,
    /// When the rate was last cut.
    cut_at: Time,
    accepted: Accepted,
    /// Since when nothing can go: no link is open, or it is held.
    out_since: Option<Time>,
    /// It was of use before.
    was_open: bool,
    /// Whose turn it is.
    pub(super) turns: Turns,
    pub(super) held: bool,
    /// What it is worth beside its peers, by what arrives of what it takes.
    pub(super) weight: f64,
    /// The same, by how it answers: less while it is slow or throttles.
    pub(super) health_weight: f64,
    /// What it has done of late, for the choice among channels.
    pub(super) stats: Stats,
    /// As the machines in `health` said last.
    pub(super) state: State,
    /// How much it may be given, as of the last look.
    pub(super) trial: Option<Trial>,
    /// On trial: nothing before then.
    trial_at: Time,
    /// Whether its links have a question to ask.
    pub(super) probes: bool,
    /// When a part was last left without an answer.
    pub(super) lost_at: Option<Time>,
    pub(super) hedges: Hedges,
    /// The link that serves one message alone, and takes nothing else meanwhile.
    aside: Option<u16>,
    /// A message that comes first waits for this channel: nothing else may start on it in this round.
    pub(super) claimed: bool,
}

impl Channel {
    /// A channel no plan has named yet, of which it is known that nothing has gone in the second before `opens`.
    pub(super) fn opening(now: Time, opens: Time) -> Channel {
        let channel = Channel::new(now);
        Channel { pace: channel.pace.opening(opens), ..channel }
    }

    /// A channel no plan has named yet; what has gone in the second before is not known.
    pub(super) fn new(now: Time) -> Channel {
        Channel {
            tiers: Vec::new(),
            reserves: false,
            pace: Pace::new(now, 0.0, 1),
            budget: Budget::default(),
            links: Few::new(),
            largest: 0,
            last: 0,
            paused_until: Time(0),
            next_pause: PAUSE,
            cut_at: Time(0),
            accepted: Accepted::default(),
            out_since: Some(now),
            was_open: false,
            turns: Turns::default(),
            held: false,
            weight: 1.0,
            health_weight: 1.0,
            stats: Stats::new(now),
            state: State::Down,
            trial: None,
            trial_at: Time(0),
            probes: false,
            lost_at: None,
            hedges: Hedges::default(),
            aside: None,
            claimed: false,
        }
    }

    /// Takes over a rule, or none where the plan does not name the channel any more.
    pub(super) fn set(&mut self, now: Time, rule: Option<&ChannelRule>, first_tier: Option<TierId>) {
        match rule {
            Some(rule) => {
                self.tiers.clone_from(&rule.tiers);
                self.reserves = first_tier.is_some_and(|first| rule.tiers.contains(&first));
                self.pace.set(now, rule.rate, rule.burst);
                self.probes = rule.probes;
            }
            None => self.tiers.clear(),
        }
    }

    /// Whether the tier may use it.
    pub(super) fn admits(&self, tier: TierId) -> bool {
        self.tiers.contains(&tier)
    }

    /// A link is bound, with so many slots.
    pub(super) fn up(&mut self, link: u16, window: usize) {
        let link = self.links.get_or_insert_with(link, || Link::new(window));
        if link.window.most() != window {
            link.window = Window::new(window);
        }
        link.up = true;
        link.rests = false;
        link.unacked_from = Time::NEVER;
        self.measure();
    }

    /// A link is gone, and its slots with it.
    pub(super) fn down(&mut self, link: u16) {
        if let Some(state) = self.links.get_mut(&link).filter(|state| state.up) {
            state.up = false;
            state.used = 0;
        }
        self.aside = self.aside.filter(|aside| *aside != link);
    }

    /// Links that are bound.
    pub(super) fn up_links(&self) -> Vec<u16> {
        self.links.iter().filter(|(_, link)| link.up).map(|(index, _)| *index).collect()
    }

    /// Whether a link was told to end.
    pub(super) fn is_closing(&self, link: u16) -> bool {
        self.links.get(&link).is_some_and(|link| link.closing)
    }

    /// Which links rest from now on.
    pub(super) fn rest(&mut self, rests: impl Fn(u16) -> bool) {
        for (index, link) in self.links.iter_mut() {
            link.rests = rests(*index);
        }
    }

    /// A part was answered on a link.
    pub(super) fn heard(&mut self, now: Time, link: u16) {
        self.trial_at = if self.trial == Some(Trial::One) { now } else { self.trial_at };
        if let Some(link) = self.links.get_mut(&link) {
            link.answered = now;
        }
    }

    /// Whether slots of a link are taken.
    pub(super) fn is_busy(&self, link: u16) -> bool {
        self.links.get(&link).is_some_and(|link| link.used > 0)
    }

    /// When a part was last answered on a link.
    pub(super) fn last_answer(&self, link: u16) -> Time {
        self.links.get(&link).map_or(Time(0), |link| link.answered)
    }

    /// So long have octets on a link waited to be acknowledged; zero where all are.
    pub(super) fn unacked(&mut self, now: Time, link: u16, age: Duration) {
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        if let Some(link) = self.links.get_mut(&link) {
            link.unacked_from = if age.is_zero() { Time::NEVER } else { Time(now.0.saturating_sub(micros)) };
        }
    }

    /// How far a part got that was sent then and has no answer, while its link stands.
    pub(super) fn doubt(&self, link: u16, sent: Time) -> Doubt {
        let unacked = self.links.get(&link).is_some_and(|link| link.unacked_from <= sent);
        if unacked { Doubt::Unacked } else { Doubt::Acked }
    }

    /// Until when nothing goes because the channel is on trial.
    pub(super) fn trial_until(&self, now: Time) -> Option<Time> {
        Some(self.trial_at).filter(|at| self.trial.is_some() && now < *at)
    }

    /// A link takes nothing new any more.
    pub(super) fn closing(&mut self, link: u16) {
        if let Some(state) = self.links.get_mut(&link) {
            state.closing = true;
        }
        self.measure();
        self.aside = self.aside.filter(|aside| *aside != link);
    }

    /// A link that is down never comes back.
    pub(super) fn gone(&mut self, link: u16) {
        self.down(link);
        self.links.remove(&link);
        self.measure();
    }

    /// No link seen so far could ever hold that many parts at once.
    pub(super) fn too_small(&self, parts: u8) -> bool {
        self.largest > 0 && self.largest < usize::from(parts)
    }

    /// After links came, went or changed.
    fn measure(&mut self) {
        let lasting = self.links.values().filter(|link| !link.closing);
        self.largest = lasting.map(|link| link.window.most()).max().unwrap_or(0);
    }

    /// Whether the channel may be used at all now.
    pub(super) fn usable(&self, now: Time, parts: u8) -> Usable {
        let others = self.links.iter().filter(|(index, _)| Some(**index) != self.aside);
        let fits = others.into_iter().any(|(_, link)| link.open() && link.window.most() >= usize::from(parts));
        if self.held || !fits {
            Usable::No
        } else if now < self.paused_until {
            Usable::Paused(self.paused_until)
        } else {
            Usable::Yes
        }
    }

    /// Why it is not usable.
    pub(super) fn why_not(&self) -> Cause {
        match self.state {
            _ if self.held => Cause::Held,
            _ if !self.links.values().any(Link::open) => Cause::NoLink,
            State::Suspect => Cause::Suspect,
            State::Down => Cause::Down,
            State::Probation => Cause::Probation,
            State::Healthy if self.health_weight < 1.0 => Cause::Slow,
            State::Healthy => Cause::NoLink,
        }
    }

    /// Whether its health has it on trial, or had it when that was last looked at.
    pub(super) fn on_trial(&self) -> bool {
        self.trial.is_some() || self.state == State::Probation
    }

    /// What its health leaves of its weight among others, up to 1.
    pub(super) fn weight(&self) -> f64 {
        self.weight.min(self.health_weight)
    }

    /// How much of its window or pace is in use, whichever is scarcer: 0 to 1.
    pub(super) fn load(&self, now: Time) -> f64 {
        let open = self.links.values().filter(|link| link.open());
        let (used, window) = open.fold((0, 0), |(used, window), link| (used + link.used, window + link.window.now()));
        let window = if window == 0 { 1.0 } else { used as f64 / window as f64 };
        let pace = self.stats.rate(now) / self.pace.rate_at(now).max(f64::MIN_POSITIVE);
        window.max(pace).clamp(0.0, 1.0)
    }

    /// What the channel can do now for a message of that many parts; `first`: of the first tier.
    pub(super) fn offer(&self, now: Time, parts: u8, first: bool) -> Offer {
        if self.claimed {
            return Offer::Full;
        }
        let reserves = self.reserves && !first;
        let Some(link) = self.roomiest(usize::from(parts), reserves) else { return Offer::Full };
        let ready = self.pace.ready_at(now, parts, if reserves { self.pace.reserve() } else { 0 });
        if ready <= now { Offer::Link(link) } else { Offer::At(ready) }
    }

    /// The link with most room; among equals the next one in turn.
    fn roomiest(&self, parts: usize, reserves: bool) -> Option<u16> {
        let mut best: Option<(usize, u16)> = None;
        for (index, link) in self.links.round_after(&self.last) {
            if !link.open() || link.rests || link.window.most() < parts || Some(*index) == self.aside {
                continue;
            }
            let window = link.window.room_for(parts);
            let reserve = if reserves && window > 1 { (window / 8).max(1) } else { 0 };
            let free = window.saturating_sub(link.used);
            if free >= (parts + reserve).min(window) && best.is_none_or(|(most, _)| free > most) {
                best = Some((free, *index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Links that could hold so many parts.
    pub(super) fn fitting(&self, parts: u8) -> impl Iterator<Item = u16> {
        let fits = move |link: &Link| link.open() && link.window.most() >= usize::from(parts);
        self.links.iter().filter(move |(_, link)| fits(link)).map(|(index, _)| *index)
    }

    /// The link that serves one message alone.
    pub(super) fn aside(&self) -> Option<u16> {
        self.aside
    }

    /// Sets a link aside, or none any more.
    pub(super) fn set_aside(&mut self, link: Option<u16>) {
        self.aside = link;
    }

    /// What the link that was set aside can do for its message: nothing before it is empty.
    pub(super) fn offer_alone(&self, now: Time, parts: u8) -> Offer {
        let free = |index: &u16| self.links.get(index).is_some_and(|link| link.open() && link.used == 0);
        let Some(link) = self.aside.filter(free).filter(|_| !self.held) else { return Offer::Full };
        let ready = self.pace.ready_at(now, parts, 0).max(self.paused_until);
        if ready <= now { Offer::Link(link) } else { Offer::At(ready) }
    }

    /// Takes slots and pace for so many parts on a link that was offered.
    pub(super) fn take(&mut self, now: Time, link: u16, parts: u8) {
        self.pace.take(now, parts);
        self.stats.started(now, parts);
        self.last = link;
        match self.trial {
            Some(Trial::One) => self.trial_at = now.after(TRIAL_PATIENCE),
            // A share of the contract, not of the pace of a slow start: whichever is less holds.
            Some(Trial::Share(share)) if share < 1.0 => {
                let rate = (self.pace.contract() * share).max(0.1);
                let gap = Duration::try_from_secs_f64(f64::from(parts) / rate).unwrap_or(TRIAL_PATIENCE);
                let earliest = Time(now.0.saturating_sub(TRIAL_SLACK.as_micros() as u64));
                self.trial_at = self.trial_at.max(earliest).after(gap);
            }
            Some(Trial::Share(_)) | None => {}
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.used += usize::from(parts);
        }
    }

    /// Gives slots back. Those of a link that was lost are gone with it and must not be given back.
    pub(super) fn free(&mut self, link: u16, parts: u32) {
        if let Some(link) = self.links.get_mut(&link) {
            link.used = link.used.saturating_sub(parts as usize);
        }
    }

    /// A throttle answer to a part taken at `taken`: a lower rate and a short pause. Returns its end; `None` where
    /// the part left before the last pause: that burst was answered already.
    pub(super) fn throttle(&mut self, now: Time, taken: Time) -> Option<Time> {
        if taken < self.paused_until {
            return None;
        }
        if now.since(self.cut_at) >= CUT_GAP {
            self.pace.cut(now, self.accepted.count(now));
            self.cut_at = now;
        }
        self.paused_until = now.after(self.next_pause);
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        Some(self.paused_until)
    }

    /// The carrier took a part.
    pub(super) fn succeeded(&mut self, now: Time) {
        self.accepted.add(now);
        self.next_pause = PAUSE;
    }

    /// A part that was taken at `taken` is answered, whatever the answer; its slot is not free yet.
    pub(super) fn answered(&mut self, now: Time, link: u16, taken: Time) {
        if let Some(link) = self.links.get_mut(&link) {
            link.window.answered(now, now.since(taken), link.used);
        }
    }

    /// Notes whether anything can go, before each round of matching. One that is back after a while starts slowly.
    pub(super) fn note(&mut self, now: Time) {
        let open = !self.held && self.links.values().any(Link::open);
        match self.out_since {
            Some(since) if open => {
                self.out_since = None;
                if self.was_open && now.since(since) >= AWAY {
                    self.restart(now);
                }
                self.was_open = true;
            }
            None if !open => self.out_since = Some(now),
            _ => {}
        }
    }

    /// Slow start: a tenth of the pace, rising to the contract in ten seconds; a quarter of each window, doubling with
    /// each round of answers.
    pub(super) fn restart(&mut self, now: Time) {
        self.pace.restart(now);
        self.links.values_mut().for_each(|link| link.window.restart());
    }

    /// Since when nothing can go, as of the last [`Channel::note`].
    pub(super) fn out_since(&self) -> Option<Time> {
        self.out_since
    }

    /// As metrics and operators see it.
    pub(super) fn view(&self, now: Time, health: Option<Snapshot>) -> ChannelView {
        let open = || self.links.values().filter(|link| link.open());
        ChannelView {
            in_flight: self.links.values().filter(|link| link.up).map(|link| link.used).sum(),
            window: open().map(|link| link.window.now()).sum(),
            links_up: open().count(),
            pace: self.pace.level_at(now),
            rate_now: self.pace.rate_at(now),
            paused_until: Some(self.paused_until).filter(|until| now < *until),
            held: self.held,
            weight: self.weight,
            state: health.as_ref().map_or(self.state, |seen| seen.state),
            cause: health.as_ref().map(|seen| seen.cause),
            health,
        }
    }
}

/// A channel's state for metrics and operators.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelView {
    /// Slots in use over all links that are bound.
    pub in_flight: usize,
    /// Slots of all links that take messages, as many as may be used now.
    pub window: usize,
    /// Links that take messages: bound, and not about to end.
    pub links_up: usize,
    /// Parts that may go now; negative while a long message is being paid for.
    pub pace: f64,
    /// Parts per second at which it goes now: the contract, or less after throttle answers.
    pub rate_now: f64,
    /// End of the pause after a throttle answer.
    pub paused_until: Option<Time>,
    /// Held by the operator.
    pub held: bool,
    /// What it is worth beside its peers, by what arrives of what it takes: above 0 and at most 1.
    pub weight: f64,
    /// Whether it is well.
    pub state: State,
    /// Why it is in that state.
    pub cause: Option<health::Cause>,
    /// What the judgement rests on.
    pub health: Option<Snapshot>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::ChannelId;

    const NOW: Time = Time(10_000_000);

    fn channel(windows: &[usize]) -> Channel {
        let mut channel = Channel::new(Time(0));
        let rule = ChannelRule {
            id: ChannelId(0),
            rate: 1e6,
            burst: 1_000,
            tiers: vec![TierId(0), TierId(1)],
            ..ChannelRule::default()
        };
        channel.set(Time(0), Some(&rule), Some(TierId(0)));
        for (i, window) in windows.iter().enumerate() {
            channel.up(i as u16, *window);
        }
        channel
    }

    #[test]
    fn links_take_turns_and_the_emptier_one_wins() {
        let mut channel = channel(&[4, 4]);
        let mut taken = Vec::new();
        while let Offer::Link(link) = channel.offer(NOW, 1, true) {
            channel.take(NOW, link, 1);
            taken.push(link);
        }
        assert_eq!(taken, [1, 0, 1, 0, 1, 0, 1, 0]);
        channel.free(0, 1);
        assert_eq!(channel.offer(NOW, 1, true), Offer::Link(0));
        assert_eq!(channel.offer(NOW, 2, true), Offer::Full, "parts are never spread over links");
    }

    #[test]
    fn lower_tiers_leave_an_eighth_and_at_least_one_slot() {
        for (window, lower) in [(1, 1), (2, 1), (16, 14), (32, 28)] {
            let mut channel = channel(&[window]);
            let mut taken = 0;
            while channel.offer(NOW, 1, false) == Offer::Link(0) {
                channel.take(NOW, 0, 1);
                taken += 1;
            }
            assert_eq!(taken, lower, "of {window}");
            assert_eq!(channel.offer(NOW, 1, true) == Offer::Link(0), lower < window);
        }
        assert_eq!(channel(&[4]).offer(NOW, 4, false), Offer::Link(0), "what fits only an idle link waits for one");
    }

    #[test]
    fn one_burst_of_throttle_answers_counts_once() {
        let mut channel = channel(&[4]);
        let until = channel.throttle(NOW, NOW).unwrap();
        let rate = channel.view(NOW, None).rate_now;
        assert!(rate < 1e6 && channel.pace.level_at(NOW) <= 0.0);
        assert_eq!(channel.usable(NOW, 1), Usable::Paused(until));
        let late = until.after(Duration::from_secs(3));
        assert_eq!(channel.throttle(late, NOW), None, "it left before the pause");
        assert!(channel.view(late, None).rate_now > rate, "not cut again, and recovering");
    }

    #[test]
    fn pauses_grow_only_while_the_carrier_takes_nothing() {
        let mut channel = channel(&[4]);
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let until = channel.throttle(now, now).unwrap();
            pauses.push(until.since(now) / PAUSE.as_millis() as u32);
            now = until;
        }
        let ms = Duration::from_millis;
        assert_eq!(pauses[..3], [ms(1), ms(2), ms(4)]);
        assert_eq!(pauses[5] * PAUSE.as_millis() as u32, LONGEST_PAUSE);
        channel.succeeded(now);
        assert_eq!(channel.throttle(now, now).map(|until| until.since(now)), Some(PAUSE));
    }

    #[test]
    fn a_window_that_can_never_hold_the_parts_is_known_after_the_first_bind() {
        let mut channel = channel(&[]);
        assert!(!channel.too_small(9), "no link seen yet");
        channel.up(0, 8);
        assert!(channel.too_small(9) && !channel.too_small(8));
        channel.down(0);
        assert!(channel.too_small(9), "remembered");
        channel.gone(0);
        assert!(!channel.too_small(9), "until that link is gone for good");
    }

    #[test]
    fn a_link_about_to_end_keeps_its_slots_and_takes_nothing_new() {
        let mut channel = channel(&[]);
        channel.up(0, 8);
        channel.take(NOW, 0, 3);
        channel.closing(0);
        assert_eq!(channel.usable(NOW, 1), Usable::No);
        assert_eq!(channel.offer(NOW, 1, true), Offer::Full);
        assert!(!channel.too_small(9), "another link may be larger");
        let view = channel.view(NOW, None);
        assert_eq!((view.in_flight, view.window, view.links_up), (3, 0, 0));
        channel.up(1, 16);
        assert_eq!(channel.offer(NOW, 9, true), Offer::Link(1));
    }

    #[test]
    fn a_channel_that_was_away_starts_slowly_and_one_that_blinked_does_not() {
        let seen = |away: Duration| {
            let mut channel = channel(&[64]);
            channel.note(Time(1));
            channel.down(0);
            channel.note(NOW);
            assert_eq!(channel.out_since(), Some(NOW));
            channel.up(0, 64);
            let back = NOW.after(away);
            channel.note(back);
            (channel.view(back, None).rate_now, channel.view(back, None).window)
        };
        assert_eq!(seen(Duration::from_secs(2)), (1e6, 64));
        assert_eq!(seen(Duration::from_secs(3)), (1e5, 16));
        let mut new = channel(&[64]);
        new.note(NOW);
        assert_eq!(new.view(NOW, None).rate_now, 1e6, "the first time is no return");
    }
}
