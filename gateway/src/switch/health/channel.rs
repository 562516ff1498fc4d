//! One channel's states: what its links show, with hysteresis, hold-down, trial and weight.

use std::time::Duration;

use super::latency::{Latency, Slowness};
use super::link::{Link, Look};
use super::{Cause, Ending, Memory, Preset, Settings, Sign, Snapshot, State, Transition, Trial};
use crate::clock::Time;
use crate::few::Few;

/// What an examination of a channel yields, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    Probe(u16),
    Link(u16, Option<Cause>),
    Moved(Transition),
    Weight(f64),
}

/// The best its links show together.
enum Best {
    None,
    Silent,
    Suspect(Cause),
    Clear,
}

/// A channel's health; it outlives its links and changes of the plan.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) preset: Preset,
    /// In the plan.
    pub(super) named: bool,
    links: Few<u16, Link>,
    latency: Latency,
    slowness: Slowness,
    state: State,
    since: Time,
    cause: Cause,
    hold_until: Time,
    flaps: u32,
    /// When the last flap was counted or forgiven.
    flapped: Time,
    /// Nothing is held against it: the next bind needs no trial.
    clean: bool,
    /// A link was bound while it was down.
    returned: Option<Time>,
    /// Good answers since it entered its state.
    answers: u32,
    /// Trial: start of the current run without an error.
    ramp: Option<Time>,
    sent: bool,
    throttled: Throttled,
    weight: f64,
    told_weight: f64,
    examined: Time,
    urgent: Option<Time>,
}

impl Channel {
    pub(super) fn new(now: Time) -> Channel {
        Channel {
            preset: Preset::Fast,
            named: false,
            links: Few::new(),
            latency: Latency::new(),
            slowness: Slowness::new(),
            state: State::Down,
            since: now,
            cause: Cause::NoLink,
            hold_until: Time(0),
            flaps: 0,
            flapped: now,
            clean: true,
            returned: None,
            answers: 0,
            ramp: None,
            sent: false,
            throttled: Throttled::default(),
            weight: 1.0,
            told_weight: 1.0,
            examined: now,
            urgent: None,
        }
    }

    /// Takes over what its settings say once for all.
    pub(super) fn settle(&mut self, s: &Settings) {
        self.latency.expect(s.prior);
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn weight(&self) -> f64 {
        self.weight
    }

    pub(super) fn q999(&self) -> Duration {
        self.latency.q999()
    }

    /// Whether the strictest tier had better go elsewhere.
    pub(super) fn shy(&self, s: &Settings) -> bool {
        self.slowness.slow || self.state == State::Probation && self.answers < s.trial_answers
    }

    /// Evidence of the best bound link.
    pub(super) fn phi(&self) -> f64 {
        self.bound().map(Link::phi).min_by(f64::total_cmp).unwrap_or(0.0)
    }

    pub(super) fn silence(&self, now: Time) -> Duration {
        self.bound().map(|link| link.silence(now)).min().unwrap_or_default()
    }

    pub(super) fn down_since(&self) -> Option<Time> {
        (self.state == State::Down).then_some(self.since)
    }

    fn bound(&self) -> impl Iterator<Item = &Link> {
        self.links.values().filter(|link| link.look() != Look::Unbound)
    }

    /// Whether it is well and has answered parts lately.
    pub(super) fn answering(&self, now: Time, within: Duration) -> bool {
        self.state == State::Healthy
            && self.answers > 0
            && self.bound().any(|link| link.look() == Look::Clear && now.since(link.response()) <= within)
    }

    /// Whether the evidence against it is silence.
    pub(super) fn mute(&self) -> bool {
        matches!(self.cause, Cause::Tcp | Cause::Probe | Cause::Phi)
    }

    /// Whether it is without links and in no plan.
    pub(super) fn forgettable(&self) -> bool {
        !self.named && self.links.is_empty()
    }

    pub(super) fn link_up(&mut self, now: Time, link: u16, probes: bool, s: &Settings) {
        let trial = self.state == State::Down && !self.clean;
        self.links.get_or_insert_with(link, Link::new).up(now, probes, if trial { s.return_probes } else { 0 });
        if self.state == State::Down {
            self.returned = self.returned.or(Some(now));
        }
        self.wake(now);
    }

    pub(super) fn link_down(&mut self, now: Time, link: u16, ending: Ending) {
        let Some(known) = self.links.get_mut(&link).filter(|link| link.look() != Look::Unbound) else { return };
        known.down();
        if self.bound().next().is_none() {
            // What is held against it stays, however its last link ended.
            let well = matches!(self.state, State::Healthy) || self.state == State::Down && self.clean;
            self.clean = ending == Ending::Ours && well;
            self.returned = None;
        }
        self.wake(now);
    }

    pub(super) fn link_gone(&mut self, link: u16) {
        self.links.remove(&link);
    }

    fn wake(&mut self, now: Time) {
        self.urgent = self.urgent.or(Some(now));
    }

    pub(super) fn sent(&mut self, now: Time, link: u16, parts: u32, s: &Settings) -> Time {
        let Some(link) = self.links.get_mut(&link) else { return Time::NEVER };
        link.sent(now, parts);
        self.sent = true;
        link.due(s)
    }

    pub(super) fn ended(&mut self, now: Time, link: u16, sent: Time, sign: Sign, s: &Settings) -> Time {
        let Some(link) = self.links.get_mut(&link) else { return Time::NEVER };
        let counts = sign != Sign::Unanswered || link.counts(sent);
        if let Some((took, alone)) = link.ended(now, sent, sign, s) {
            self.latency.record(took, s);
            if alone {
                self.slowness.record(now, took, s);
            }
        }
        let due = link.due(s);
        match sign {
            Sign::Answer | Sign::Throttle => {
                self.throttled.count(now, sign == Sign::Throttle, s);
                if self.state == State::Probation && self.answers <= s.trial_answers {
                    self.ramp = self.ramp.filter(|_| self.answers > 0).or(Some(now));
                    self.wake(now);
                }
                self.answers = self.answers.saturating_add(1);
            }
            Sign::SystemError | Sign::Unanswered if counts && self.state == State::Probation => {
                self.ramp = Some(now);
                self.wake(now);
            }
            // What it waits for may have been room.
            _ if self.state == State::Probation && self.ramp.is_none() => self.wake(now),
            _ => {}
        }
        self.weigh(s);
        let slow = self.slowness.suspect && self.state == State::Healthy;
        if slow || self.weight != self.told_weight {
            self.wake(now);
        }
        due.min(self.urgent.unwrap_or(Time::NEVER))
    }

    fn weigh(&mut self, s: &Settings) {
        let slow = if self.slowness.slow { s.slow_weight } else { 1.0 };
        let throttled = if self.throttled.heavy { s.throttle_weight } else { 1.0 };
        self.weight = slow.min(throttled);
    }

    /// What one of its links is told; when that link wants to be looked at.
    pub(super) fn with(&mut self, link: u16, s: &Settings, tell: impl FnOnce(&mut Link, &Settings)) -> Time {
        let Some(link) = self.links.get_mut(&link) else { return Time::NEVER };
        tell(link, s);
        link.due(s)
    }

    pub(super) fn each(&mut self, mut tell: impl FnMut(&mut Link)) {
        self.links.values_mut().filter(|link| link.look() != Look::Unbound).for_each(&mut tell);
    }

    pub(super) fn due(&self, s: &Settings) -> Time {
        let links = self.links.values().map(|link| link.due(s)).min().unwrap_or(Time::NEVER);
        let timer = match self.state {
            State::Healthy => Time::NEVER,
            State::Suspect if matches!(self.best(), Best::Clear) => self.hold_until,
            State::Suspect => Time::NEVER,
            State::Probation => self.step_end(s).min(self.trial_lost(s)),
            State::Down if matches!(self.best(), Best::Clear) => self.return_due(s),
            State::Down => Time::NEVER,
        };
        links.min(timer).min(self.urgent.unwrap_or(Time::NEVER))
    }

    fn best(&self) -> Best {
        let mut best = Best::None;
        for link in self.links.values() {
            best = match (link.look(), best) {
                (Look::Clear, _) => return Best::Clear,
                (Look::Suspect(cause), Best::None | Best::Silent) => Best::Suspect(cause),
                (Look::Silent(_), Best::None) => Best::Silent,
                (_, best) => best,
            };
        }
        best
    }

    /// Looks at its links and at itself.
    pub(super) fn examine(&mut self, now: Time, s: &Settings, found: &mut Vec<Found>) {
        if now < self.due(s) {
            return;
        }
        (self.urgent, self.examined) = (None, now);
        let patience = s.patience(self.preset);
        for (id, link) in self.links.iter_mut() {
            let seen = link.examine(now, s, patience, &mut self.latency);
            if seen.probe {
                found.push(Found::Probe(*id));
            }
            if seen.changed {
                let cause = match link.look() {
                    Look::Suspect(cause) | Look::Silent(cause) => Some(cause),
                    Look::Clear | Look::Unbound => None,
                };
                found.push(Found::Link(*id, cause));
            }
        }
        // Down and back within one examination are two steps.
        while let Some((to, cause)) = self.next(now, s) {
            let from = self.state;
            self.enter(now, to, cause, s);
            found.push(Found::Moved(Transition { from, to, cause, at: now }));
        }
        if self.weight != self.told_weight {
            self.told_weight = self.weight;
            found.push(Found::Weight(self.weight));
        }
    }

    fn next(&self, now: Time, s: &Settings) -> Option<(State, Cause)> {
        match (self.state, self.best()) {
            (State::Down, Best::Clear) => self.back(now, s),
            (State::Down, _) => None,
            (_, Best::None) => Some((State::Down, Cause::NoLink)),
            (State::Healthy, Best::Suspect(cause)) => Some((State::Suspect, cause)),
            (State::Healthy, Best::Clear) if self.slowness.suspect => Some((State::Suspect, Cause::Slow)),
            (State::Probation, Best::Suspect(_)) => Some((State::Down, Cause::Relapsed)),
            (State::Healthy | State::Probation | State::Suspect, Best::Silent) => Some((State::Down, Cause::Silent)),
            (State::Suspect, Best::Clear) if now >= self.hold_until => {
                let to = if self.answers > 0 { State::Healthy } else { State::Probation };
                Some((to, Cause::Recovered))
            }
            (State::Probation, Best::Clear) if now >= self.trial_lost(s) => Some((State::Down, Cause::Relapsed)),
            (State::Probation, Best::Clear) if now >= self.trial_end(s) => Some((State::Healthy, Cause::Passed)),
            (State::Healthy | State::Suspect | State::Probation, _) => None,
        }
    }

    /// From [`State::Down`], with a link that has nothing against it.
    fn back(&self, now: Time, s: &Settings) -> Option<(State, Cause)> {
        if self.clean {
            return Some((State::Healthy, Cause::Bound));
        }
        (now >= self.return_due(s)).then_some((State::Probation, Cause::Returned))
    }

    fn return_due(&self, s: &Settings) -> Time {
        let proven = self.answers > 0 || self.bound().any(|link| link.look() == Look::Clear && link.verify == 0);
        let proven = match (proven, self.returned) {
            (false, Some(at)) => at.after(s.return_wait),
            _ => Time(0),
        };
        // Without an alternative, waiting longer helps nobody.
        if self.preset == Preset::Calm { proven } else { proven.max(self.hold_until) }
    }

    /// When the trial ends, as things are; a part without an answer or an error a moment ago puts it off.
    fn trial_end(&self, s: &Settings) -> Time {
        let full = self.since.after(s.trial);
        match self.ramp {
            Some(ramp) if self.answers > 0 => full.max(ramp.after(s.trial_step)),
            Some(ramp) => full.max(ramp.after(s.trial)),
            None if self.sent && self.bound().any(|link| link.in_flight() > 0) => Time::NEVER,
            // No message came, and it may have had no room for one: who has another place must not be made to wait here.
            None if self.preset == Preset::Fast && self.bound().all(|link| link.owed() > 0) => Time::NEVER,
            None => full,
        }
    }

    /// When the first message of a trial has waited too long: one that is not answered is enough, though probes are.
    /// Without an alternative nothing is gained by that.
    fn trial_lost(&self, s: &Settings) -> Time {
        let oldest = self.bound().filter_map(Link::oldest).min();
        match oldest.filter(|_| self.answers == 0 && self.preset == Preset::Fast) {
            Some(sent) => sent.after(s.trial_silence.max(self.q999().saturating_mul(3) / 2)),
            None => Time::NEVER,
        }
    }

    fn step_end(&self, s: &Settings) -> Time {
        let end = self.trial_end(s);
        match self.ramp {
            Some(ramp) => {
                let steps = self.steps(ramp, self.examined, s);
                end.min(ramp.after(s.trial_step.saturating_mul(steps.saturating_add(1))))
            }
            None => end,
        }
    }

    fn steps(&self, ramp: Time, now: Time, s: &Settings) -> u32 {
        let steps = now.since(ramp).as_micros() / s.trial_step.as_micros().max(1);
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    pub(super) fn trial(&self, now: Time, s: &Settings) -> Option<Trial> {
        if self.state != State::Probation {
            return None;
        }
        let Some(ramp) = self.ramp.filter(|_| self.answers > 0) else { return Some(Trial::One) };
        let share = match self.steps(ramp, now, s) {
            0 => s.trial_steps[0],
            steps => s.trial_steps[1] * f64::from(1u32 << (steps - 1).min(16)),
        };
        Some(Trial::Share(share.min(1.0)))
    }

    fn enter(&mut self, now: Time, to: State, cause: Cause, s: &Settings) {
        self.forgive(now, s);
        let well = matches!(self.state, State::Healthy | State::Probation);
        let first_loss = self.state == State::Healthy && to == State::Down && cause == Cause::NoLink;
        match to {
            State::Suspect | State::Down if well && !(to == State::Down && self.clean) => {
                let hold = s.hold_down(self.flaps);
                // Reconnecting has its own back-off: a first loss holds nothing back.
                let hold = if first_loss { hold.saturating_sub(s.hold) } else { hold };
                self.hold_until = now.after(hold);
                self.flaps = self.flaps.saturating_add(1);
                self.flapped = now;
            }
            _ => {}
        }
        match to {
            State::Healthy => self.clean = true,
            State::Suspect => self.clean = false,
            State::Down if cause != Cause::NoLink => self.clean = false,
            State::Down | State::Probation => {}
        }
        if to != State::Healthy {
            self.slowness.clear();
            self.weigh(s);
        }
        if (to, cause) == (State::Down, Cause::Relapsed) {
            // The next trial is judged by its own message.
            self.links.values_mut().filter(|link| link.look() == Look::Clear).for_each(|link| link.write_off(u64::MAX));
        }
        (self.state, self.since, self.cause) = (to, now, cause);
        (self.answers, self.ramp, self.sent, self.returned) = (0, None, false, None);
    }

    fn forgive(&mut self, now: Time, s: &Settings) {
        while self.flaps > 0 && now.since(self.flapped) >= s.forgive {
            self.flaps -= 1;
            self.flapped = self.flapped.after(s.forgive);
        }
    }

    /// Whether new parts may go over this link.
    pub(super) fn link_usable(&self, link: u16) -> bool {
        match self.links.get(&link).map(Link::look) {
            None | Some(Look::Unbound) => false,
            Some(Look::Clear) => true,
            Some(look) => !self.bound().any(|other| rank(other.look()) < rank(look)),
        }
    }

    pub(super) fn snapshot(&self, now: Time, s: &Settings) -> Snapshot {
        let mut forgiven = self.flaps;
        let passed = now.since(self.flapped).as_micros() / s.forgive.as_micros().max(1);
        forgiven = forgiven.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        Snapshot {
            state: self.state,
            since: self.since,
            cause: self.cause,
            phi: self.phi(),
            silence: self.silence(now),
            unacked: self.bound().map(|link| link.age_unacked(now, s)).min().unwrap_or_default(),
            in_flight: self.bound().map(Link::in_flight).sum(),
            p50: self.latency.quantile(0.5),
            p90: self.latency.quantile(0.9),
            p99: self.latency.quantile(0.99),
            samples: self.latency.samples(),
            error_share: self.bound().map(|link| link.error_share(now, s)).min_by(f64::total_cmp).unwrap_or(0.0),
            late: self.links.values().map(|link| link.late).sum(),
            weight: self.weight,
            flaps: forgiven,
            hold_until: self.hold_until,
            trial: self.trial(now, s),
        }
    }

    pub(super) fn memory(&self, now: Time, s: &Settings) -> Memory {
        let hold = self.hold_until.since(now);
        Memory {
            flaps: self.snapshot(now, s).flaps,
            hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
            well: self.state == State::Healthy || self.state == State::Down && self.clean,
            latency: self.latency.kept(),
            baseline: self.slowness.kept(),
        }
    }

    pub(super) fn restore(&mut self, now: Time, memory: &Memory, age: Duration, s: &Settings) {
        if age > s.memory {
            return;
        }
        let forgiven = age.as_micros() / s.forgive.as_micros().max(1);
        self.flaps = memory.flaps.min(64).saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        self.flapped = now;
        let hold = Duration::from_millis(memory.hold_ms).min(s.hold_most).saturating_sub(age);
        self.hold_until = now.after(hold);
        // An old judgement is none.
        if self.state == State::Down {
            self.clean &= memory.well || age > s.forgive;
        }
        let by = if age > Duration::from_secs(3_600) { 4 } else { 2 };
        self.latency.restore(&memory.latency, by, s);
        self.slowness.restore(&memory.baseline, by);
    }
}

fn rank(look: Look) -> u8 {
    match look {
        Look::Clear => 0,
        Look::Suspect(_) => 1,
        Look::Silent(_) => 2,
        Look::Unbound => 3,
    }
}

/// Throttle answers as a decayed share, and for how long they are most.
#[derive(Clone, Debug, Default)]
struct Throttled {
    all: f64,
    throttled: f64,
    at: Time,
    since: Option<Time>,
    heavy: bool,
}

impl Throttled {
    fn count(&mut self, now: Time, throttled: bool, s: &Settings) {
        if !throttled && self.throttled < 0.01 {
            (self.all, self.heavy, self.since) = (self.all.min(s.throttle_least) + 1.0, false, None);
            self.at = now;
            return;
        }
        let passed = now.since(self.at);
        if passed >= Duration::from_millis(100) {
            let left = (-passed.as_secs_f64() / s.error_half_life.as_secs_f64().max(1e-3)).exp2();
            (self.all, self.throttled, self.at) = (self.all * left, self.throttled * left, now);
        }
        self.all += 1.0;
        self.throttled += if throttled { 1.0 } else { 0.0 };
        let most = self.all >= s.throttle_least && self.throttled > s.throttle_share * self.all;
        self.since = if most { self.since.or(Some(now)) } else { None };
        self.heavy = self.since.is_some_and(|since| now.since(since) >= s.throttle_for);
    }
}
