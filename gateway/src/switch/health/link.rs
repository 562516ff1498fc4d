//! One session's evidence: is the carrier at its other end at work, and which question would tell.
//!
//! An examination that comes late means that we stood still and nothing was read meanwhile: that time is taken out of
//! every age, by moving what happened before it (`paused`). So the moments below, microseconds as `u64`, are for ages
//! only; what names a part is the [`Time`] it was sent at.

use std::collections::VecDeque;
use std::time::Duration;

use super::latency::Latency;
use super::{Cause, Patience, Settings, Sign};
use crate::clock::Time;

/// Probe times remembered.
const PROBES: usize = 32;
/// After a pause of our own the age of unacknowledged octets is not believed for so long, in microseconds.
const DEAF: u64 = 100_000;
/// Longest a probe's own latency may stretch its limit, in microseconds.
const PROBE_MOST: u64 = 2_000_000;

/// So many parts sent at one instant are no burst.
const TOGETHER: u32 = 8;

/// Parts sent at one instant.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Time,
    at: u64,
    /// Still in flight.
    parts: u32,
    /// In flight at first.
    all: u32,
}

/// What a link looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Not bound.
    Unbound,
    /// Suspect, and not one PDU since.
    Silent(Cause),
    /// Evidence against it.
    Suspect(Cause),
    /// Nothing against it.
    Clear,
}

/// What an examination of a link yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Send a probe.
    pub(super) probe: bool,
    /// Its look changed from clear to suspect or back.
    pub(super) changed: bool,
}

/// A link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    look: Look,
    since: u64,
    probes: bool,
    flights: VecDeque<Flight>,
    in_flight: u32,
    /// Parts written off that have not ended: they say nothing, and have their slots.
    owed: u32,
    response: u64,
    heard: u64,
    examined: u64,
    /// To be examined from then on, whatever the timers say.
    urgent: Option<Time>,
    /// The probe without an answer.
    asked: Option<u64>,
    answered: Option<u64>,
    last_probe: Option<u64>,
    recheck: u64,
    /// When suspicion last asked, for the cap.
    spent: VecDeque<u64>,
    took: VecDeque<u32>,
    /// Probes still to be answered before the link counts as returned.
    pub(super) verify: u32,
    unacked: Duration,
    unacked_at: u64,
    deaf_until: u64,
    errors: Errors,
    calm_since: Option<u64>,
    proven: bool,
    phi: f64,
    pub(super) late: u64,
}

impl Link {
    pub(super) fn new() -> Link {
        Link {
            look: Look::Unbound,
            since: 0,
            probes: false,
            flights: VecDeque::new(),
            in_flight: 0,
            owed: 0,
            response: 0,
            heard: 0,
            examined: 0,
            urgent: None,
            asked: None,
            answered: None,
            last_probe: None,
            recheck: 0,
            spent: VecDeque::new(),
            took: VecDeque::new(),
            verify: 0,
            unacked: Duration::ZERO,
            unacked_at: 0,
            deaf_until: 0,
            errors: Errors::default(),
            calm_since: None,
            proven: false,
            phi: 0.0,
            late: 0,
        }
    }

    /// Bound: a new session; what is known of its probes stays.
    pub(super) fn up(&mut self, now: Time, probes: bool, verify: u32) {
        let (took, late) = (std::mem::take(&mut self.took), self.late);
        let at = now.0;
        *self = Link { look: Look::Clear, since: at, probes, response: at, heard: at, examined: at, ..Link::new() };
        (self.took, self.late, self.verify, self.urgent) = (took, late, if probes { verify } else { 0 }, Some(now));
    }

    pub(super) fn down(&mut self) {
        self.look = Look::Unbound;
        self.flights.clear();
        (self.in_flight, self.owed, self.asked, self.urgent, self.phi) = (0, 0, None, None, 0.0);
        (self.unacked, self.errors) = (Duration::ZERO, Errors::default());
    }

    pub(super) fn look(&self) -> Look {
        self.look
    }

    pub(super) fn phi(&self) -> f64 {
        self.phi
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Parts that were written off and have not ended.
    pub(super) fn owed(&self) -> u32 {
        self.owed
    }

    pub(super) fn error_share(&self, now: Time, s: &Settings) -> f64 {
        let (good, bad) = self.errors.at(now.0, s);
        if good + bad > 0.5 { bad / (good + bad) } else { 0.0 }
    }

    pub(super) fn age_unacked(&self, now: Time, s: &Settings) -> Duration {
        let fresh = now.0.saturating_sub(self.unacked_at) <= micros(s.unacked_fresh);
        if fresh { self.unacked } else { Duration::ZERO }
    }

    /// Time without an answer while something is in flight.
    pub(super) fn silence(&self, now: Time) -> Duration {
        Duration::from_micros(self.base().map_or(0, |base| now.0.saturating_sub(base)))
    }

    fn base(&self) -> Option<u64> {
        self.flights.front().map(|oldest| oldest.at.max(self.response))
    }

    pub(super) fn sent(&mut self, now: Time, parts: u32) {
        if parts == 0 || self.look == Look::Unbound {
            return;
        }
        self.in_flight = self.in_flight.saturating_add(parts);
        let at = now.0;
        match self.flights.back_mut() {
            Some(last) if last.sent >= now => {
                last.parts = last.parts.saturating_add(parts);
                last.all = last.all.saturating_add(parts);
            }
            _ => self.flights.push_back(Flight { sent: now, at, parts, all: parts }),
        }
    }

    /// A part ended; the latency, where the answer tells one, and whether it tells the carrier's speed: parts that
    /// were sent together and are most of what is in flight wait for each other.
    pub(super) fn ended(&mut self, now: Time, sent: Time, sign: Sign, s: &Settings) -> Option<(Duration, bool)> {
        let clock = now.0;
        let at = self.take(sent);
        self.owed -= u32::from(at.is_none() && self.owed > 0);
        if self.look == Look::Unbound {
            self.late += u64::from(sign == Sign::Answer);
            return None;
        }
        match sign {
            Sign::Withdrawn => return None,
            Sign::Unanswered if at.is_none() => return None,
            Sign::Answer | Sign::Throttle => self.errors.good(clock, s),
            Sign::SystemError | Sign::Unanswered => self.errors.bad(clock, sent, s),
        }
        if sign != Sign::Unanswered {
            self.response = clock;
            self.heard = clock;
        }
        self.proven |= matches!(sign, Sign::Answer | Sign::Throttle);
        if self.look == Look::Clear && self.errors.condemn(clock, s) || matches!(self.look, Look::Silent(_)) {
            self.urgent = self.urgent.or(Some(now));
        }
        self.late += u64::from(at.is_none() && sign == Sign::Answer);
        let (at, all) = at.filter(|_| sign == Sign::Answer)?;
        let alone = all <= TOGETHER || all.saturating_mul(2) <= self.in_flight;
        Some((Duration::from_micros(clock.saturating_sub(at)), alone))
    }

    /// Whether a part sent then is in flight and counts.
    pub(super) fn counts(&self, sent: Time) -> bool {
        self.flights.binary_search_by(|flight| flight.sent.cmp(&sent)).is_ok()
    }

    /// When the oldest part was sent that is in flight on a link with nothing against it.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.flights.front().filter(|_| self.look == Look::Clear).map(|flight| Time(flight.at))
    }

    /// The last answer to a part, or the bind.
    pub(super) fn response(&self) -> Time {
        Time(self.response)
    }

    /// Parts that were sent before then say nothing any more, whether they are answered or not.
    pub(super) fn write_off(&mut self, before: u64) {
        while let Some(oldest) = self.flights.front().filter(|oldest| oldest.at < before) {
            self.in_flight = self.in_flight.saturating_sub(oldest.parts);
            self.owed = self.owed.saturating_add(oldest.parts);
            self.flights.pop_front();
        }
    }

    fn take(&mut self, sent: Time) -> Option<(u64, u32)> {
        let index = self.flights.binary_search_by(|flight| flight.sent.cmp(&sent)).ok()?;
        let flight = self.flights.get_mut(index)?;
        let of = (flight.at, flight.all);
        flight.parts = flight.parts.saturating_sub(1);
        if flight.parts == 0 {
            self.flights.remove(index);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(of)
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now.0;
        if matches!(self.look, Look::Silent(_)) {
            self.urgent = self.urgent.or(Some(now));
        }
    }

    pub(super) fn probe_answered(&mut self, now: Time) {
        let clock = now.0;
        self.heard(now);
        let Some(asked) = self.asked.take() else { return };
        self.answered = Some(clock);
        self.verify = self.verify.saturating_sub(1);
        self.urgent = self.urgent.or(Some(now));
        self.took.push_back(u32::try_from(clock.saturating_sub(asked)).unwrap_or(u32::MAX));
        if self.took.len() > PROBES {
            self.took.pop_front();
        }
    }

    pub(super) fn unacked(&mut self, now: Time, age: Duration, s: &Settings) {
        let clock = now.0;
        (self.unacked, self.unacked_at) = (age, clock);
        if age > s.unacked && self.look == Look::Clear {
            self.urgent = self.urgent.or(Some(now));
        }
    }

    /// We stood still for so long, up to now.
    pub(super) fn paused(&mut self, now: Time, pause: Duration) {
        let shift = |at: &mut u64| *at = at.saturating_add(micros(pause)).min(now.0.max(*at));
        self.flights.iter_mut().for_each(|flight| shift(&mut flight.at));
        [&mut self.response, &mut self.heard, &mut self.since, &mut self.examined].into_iter().for_each(shift);
        [&mut self.asked, &mut self.answered, &mut self.calm_since].into_iter().flatten().for_each(shift);
        // What the socket said belongs to that time; acknowledgements may wait to be read.
        self.deaf_until = now.0.saturating_add(DEAF);
    }

    /// When to examine it again by its own timers.
    fn timer(&self, s: &Settings) -> Time {
        let step = micros(s.step).clamp(1_000, 1_000_000);
        let at = match (self.look, self.base()) {
            (Look::Unbound, _) => return Time::NEVER,
            (Look::Suspect(_) | Look::Silent(_), Some(_)) => self.examined.saturating_add(step),
            (Look::Suspect(_) | Look::Silent(_), None) => self.examined.saturating_add(step * 5),
            (Look::Clear, None) if self.verify > 0 => self.examined.saturating_add(step * 5),
            (Look::Clear, None) => return Time::NEVER,
            (Look::Clear, Some(base)) => {
                let first = base.saturating_add(micros(s.suspicion_silence)).saturating_add(1);
                if first > self.examined { first } else { self.examined.saturating_add(step) }
            }
        };
        Time(at)
    }

    pub(super) fn due(&self, s: &Settings) -> Time {
        self.timer(s).min(self.urgent.unwrap_or(Time::NEVER))
    }

    /// Looks at it. Cheap where nothing is due.
    pub(super) fn examine(&mut self, now: Time, s: &Settings, patience: Patience, latency: &mut Latency) -> Found {
        let timer = self.timer(s);
        if now < timer.min(self.urgent.unwrap_or(Time::NEVER)) || self.look == Look::Unbound {
            return Found::default();
        }
        let own = now.since(timer);
        if own > s.pause {
            self.paused(now, own);
        }
        self.urgent = None;
        let clock = now.0;
        self.examined = clock;
        if self.asked.is_some_and(|asked| clock.saturating_sub(asked) > micros(s.probe_lost)) {
            self.asked = None;
        }
        if let (Look::Suspect(_), Some(answered)) = (self.look, self.answered.filter(|at| *at > self.since)) {
            // The carrier is at work again: what it has not answered by now was lost in the silence.
            self.write_off(answered.min(clock.saturating_sub(micros(latency.q999()))));
        }
        let silence = self.base().map_or(0, |base| clock.saturating_sub(base));
        let contributors = self.measure(clock, silence, s, latency);
        let evidence = self.evidence(clock, silence, contributors, s, patience);
        let probe = self.question(clock, silence, s, latency);
        let was = self.look;
        self.turn(clock, evidence, s);
        let changed = (was == Look::Clear) != (self.look == Look::Clear);
        Found { probe, changed }
    }

    /// Sets phi; how many parts carry it.
    fn measure(&mut self, clock: u64, silence: u64, s: &Settings, latency: &mut Latency) -> u32 {
        self.phi = 0.0;
        if silence <= micros(s.suspicion_silence) {
            return 0;
        }
        latency.refresh();
        let mut contributors = 0_u32;
        for flight in &self.flights {
            let age = clock.saturating_sub(flight.at);
            let before = if age > silence { latency.log_survival(age - silence) } else { 0.0 };
            let adds = (before - latency.log_survival(age)).min(s.phi_most);
            self.phi += adds * f64::from(flight.parts);
            if adds > s.phi_least {
                contributors = contributors.saturating_add(flight.parts);
            }
        }
        contributors
    }

    fn evidence(&self, clock: u64, silence: u64, contributors: u32, s: &Settings, patience: Patience) -> Option<Cause> {
        let fresh = clock.saturating_sub(self.unacked_at) <= micros(s.unacked_fresh);
        if self.unacked > s.unacked && fresh && clock >= self.deaf_until {
            return Some(Cause::Tcp);
        }
        if self.errors.condemn(clock, s) {
            return Some(Cause::Error);
        }
        if silence <= micros(patience.silence) {
            return None;
        }
        let own = u64::from(self.took.iter().copied().max().unwrap_or(0)) * u64::from(s.probe_factor);
        let limit = micros(patience.probe).max(own.min(PROBE_MOST));
        if self.asked.is_some_and(|asked| clock.saturating_sub(asked) > limit) {
            return Some(Cause::Probe);
        }
        let alive = self.answered.is_some_and(|at| clock.saturating_sub(at) < micros(s.probe_alive));
        let least = if alive { s.phi_alive } else { s.phi };
        (self.phi > least && contributors >= s.contributors).then_some(Cause::Phi)
    }

    /// Whether to send a probe now.
    fn question(&mut self, clock: u64, silence: u64, s: &Settings, latency: &Latency) -> bool {
        // After a suspect link is asked again without waiting for a question that was lost.
        if !self.probes || self.asked.is_some() && self.look == Look::Clear {
            return false;
        }
        let passed = self.last_probe.map_or(u64::MAX, |last| clock.saturating_sub(last));
        if self.verify > 0 && self.asked.is_none() {
            return self.ask(clock);
        }
        if self.look != Look::Clear {
            let gap = self.recheck.max(micros(s.probe_gap));
            if passed < gap {
                return false;
            }
            self.recheck = (gap * 2).min(micros(s.recheck_gap));
            return self.ask(clock);
        }
        let oldest = self.flights.front().map_or(0, |oldest| clock.saturating_sub(oldest.at));
        let overdue = oldest as f64 > s.suspicion_share * micros(latency.q999()) as f64
            && silence > micros(s.suspicion_oldest_silence);
        let suspicious = silence > micros(s.suspicion_silence) && (self.phi > s.suspicion_phi || overdue);
        if !suspicious || passed < micros(s.probe_gap) {
            return false;
        }
        while self.spent.front().is_some_and(|at| clock.saturating_sub(*at) > 60_000_000) {
            self.spent.pop_front();
        }
        if self.spent.len() >= s.probes_per_minute as usize {
            return false;
        }
        self.spent.push_back(clock);
        self.ask(clock)
    }

    fn ask(&mut self, clock: u64) -> bool {
        (self.asked, self.last_probe) = (Some(clock), Some(clock));
        true
    }

    fn turn(&mut self, clock: u64, evidence: Option<Cause>, s: &Settings) {
        let rested = clock.saturating_sub(self.since) >= micros(s.hold);
        match (self.look, evidence) {
            (Look::Unbound, _) | (Look::Clear, None) => {}
            (Look::Clear, Some(cause)) => {
                (self.look, self.since, self.proven, self.calm_since) = (Look::Suspect(cause), clock, false, None);
                self.recheck = micros(s.probe_gap);
            }
            (Look::Silent(cause), _) if self.heard > self.since => self.look = Look::Suspect(cause),
            // Only a message can tell: the channel's hold-down says when.
            (Look::Silent(_), _) if !self.probes && rested => {
                self.write_off(u64::MAX);
                (self.look, self.since, self.calm_since, self.errors) = (Look::Clear, clock, None, Errors::default());
            }
            (Look::Silent(_), _) => {}
            (Look::Suspect(cause), evidence) => {
                let outstanding = self.in_flight > 0 || self.asked.is_some();
                let quiet = clock.saturating_sub(self.heard.max(self.since)) >= micros(s.silent_down);
                if self.in_flight == 0 && rested {
                    self.errors = Errors::default();
                }
                if outstanding && quiet {
                    self.look = Look::Silent(cause);
                    return;
                }
                let shown = self.proven || self.in_flight == 0 && (self.heard > self.since || !outstanding);
                if evidence.is_some() || self.phi >= s.calm_phi || !shown {
                    self.calm_since = None;
                    return;
                }
                let calm = *self.calm_since.get_or_insert(clock);
                if clock.saturating_sub(calm) >= micros(s.calm_for) && rested {
                    (self.look, self.since, self.calm_since) = (Look::Clear, clock, None);
                    self.errors = Errors::default();
                }
            }
        }
    }
}

/// System errors: in a row, and as a decayed share.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    good: f64,
    bad: f64,
    at: u64,
    row: u32,
    /// The row has errors of parts sent at different instants: one message's parts condemn nobody.
    first: Option<Time>,
    mixed: bool,
}

impl Errors {
    fn at(&self, clock: u64, s: &Settings) -> (f64, f64) {
        let left = (-(clock.saturating_sub(self.at) as f64) / micros(s.error_half_life).max(1) as f64).exp2();
        (self.good * left, self.bad * left)
    }

    fn decay(&mut self, clock: u64, s: &Settings) {
        // In steps of a tenth of a second: the exponential is dear.
        if clock.saturating_sub(self.at) >= 100_000 {
            ((self.good, self.bad), self.at) = (self.at(clock, s), clock);
        }
    }

    fn good(&mut self, clock: u64, s: &Settings) {
        self.decay(clock, s);
        self.good += 1.0;
        (self.row, self.first, self.mixed) = (0, None, false);
    }

    fn bad(&mut self, clock: u64, sent: Time, s: &Settings) {
        self.decay(clock, s);
        self.bad += 1.0;
        self.row = self.row.saturating_add(1);
        self.mixed |= *self.first.get_or_insert(sent) != sent;
    }

    fn condemn(&self, clock: u64, s: &Settings) -> bool {
        if self.row >= s.errors && self.mixed {
            return true;
        }
        if self.bad < s.error_share * self.good {
            return false;
        }
        let (good, bad) = self.at(clock, s);
        good + bad >= s.error_least && bad > s.error_share * (good + bad)
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}
