//! `[health]` and `[channel.health]`: when a channel counts as ill, how it comes back, and how much is sent again.

use std::time::Duration;

use super::{Check, placed};
use crate::config::shape::Found;
use crate::config::written::{self, ChannelHealth, Preset};
use crate::switch::health::{Patience, Prior, Settings};

const LEAST: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Without a word about it, the slowest answers take so many times what half of them take.
const SPREAD: u32 = 4;

impl Check<'_, '_> {
    /// The section, with defaults where it says nothing.
    pub(super) fn health(&mut self, found: Option<&Found<written::Health>>) -> Settings {
        let mut s = Settings::default();
        let Some(found) = found else { return s };
        let written = &found.value;
        (s.fast, s.calm) = match written.preset.unwrap_or(Preset::Auto) {
            Preset::Auto => (s.fast, s.calm),
            Preset::Fast => (s.fast, s.fast),
            Preset::Calm => (s.calm, s.calm),
        };
        // What a channel may have for itself.
        let carrier = ChannelHealth {
            silence: written.silence.clone(),
            probe: written.probe.clone(),
            tcp: written.tcp.clone(),
            phi: written.phi.clone(),
            errors: written.errors.clone(),
            down_after: written.down_after.clone(),
            hold_down: written.hold_down.clone(),
            hold_down_max: written.hold_down_max.clone(),
            probation: written.probation.clone(),
            latency: written.latency.clone(),
            latency_most: written.latency_most.clone(),
        };
        s = self.own_health(found, &carrier, &s);
        let percent = |share: f64| (share * 100.0).round() as u8;
        let ejection = self.within(found, "ejection", placed(&written.ejection), percent(s.eject_share), 1..=100);
        let panic = self.within(found, "panic", placed(&written.panic), percent(s.panic_share), 0..=100);
        (s.eject_share, s.panic_share) = (f64::from(ejection) / 100.0, f64::from(panic) / 100.0);
        s.doubt_after = self.period(found, "doubt_after", &written.doubt_after, s.doubt_after, Duration::ZERO, MINUTE);
        s.hedge_after = self.period(found, "hedge_after", &written.hedge_after, s.hedge_after, LEAST, MINUTE);
        let latest = s.hedge_latest.max(s.hedge_after);
        s.hedge_latest = self.period(found, "hedge_latest", &written.hedge_latest, latest, s.hedge_after, MINUTE);
        let share = self.within(found, "hedge_share", placed(&written.hedge_share), s.hedge_share * 100.0, 0.0..=100.0);
        s.hedge_share = share / 100.0;
        s.retry_share = self.within(found, "retry_share", placed(&written.retry_share), s.retry_share, 0..=100);
        s.retry_floor = self.within(found, "retry_floor", placed(&written.retry_floor), s.retry_floor, 1..=1_000_000);
        s.guard_window = self.period(found, "guard_window", &written.guard_window, s.guard_window, LEAST, MINUTE);
        s.guard_freeze =
            self.period(found, "guard_pause", &written.guard_pause, s.guard_freeze, Duration::ZERO, MINUTE);
        s
    }

    /// What a carrier's behaviour decides, from `base` on.
    pub(super) fn own_health<F>(&mut self, found: &Found<F>, written: &ChannelHealth, base: &Settings) -> Settings {
        let mut s = base.clone();
        let silence = self.period(found, "silence", &written.silence, s.fast.silence, LEAST, MINUTE);
        let probe = self.period(found, "probe", &written.probe, s.fast.probe, LEAST, MINUTE);
        let patience = |by: Patience| Patience {
            silence: if written.silence.is_some() { silence } else { by.silence },
            probe: if written.probe.is_some() { probe } else { by.probe },
        };
        (s.fast, s.calm) = (patience(s.fast), patience(s.calm));
        s.unacked = self.period(found, "tcp", &written.tcp, s.unacked, LEAST, MINUTE);
        s.phi = self.within(found, "phi", placed(&written.phi), s.phi, 2.0..=100.0);
        // A carrier that answers probes is believed half as much again.
        s.phi_alive = s.phi * 1.5;
        s.errors = self.within(found, "errors", placed(&written.errors), s.errors, 1..=1_000_000);
        s.silent_down = self.period(found, "down_after", &written.down_after, s.silent_down, LEAST, HOUR);
        s.hold = self.period(found, "hold_down", &written.hold_down, s.hold, Duration::ZERO, HOUR);
        s.hold_most =
            self.period(found, "hold_down_max", &written.hold_down_max, s.hold_most.max(s.hold), s.hold, HOUR);
        s.trial = self.period(found, "probation", &written.probation, s.trial, Duration::ZERO, HOUR);
        let millisecond = Duration::from_millis(1);
        let median = self.period(found, "latency", &written.latency, s.prior.median, millisecond, MINUTE);
        let most = if written.latency.is_some() { median * SPREAD } else { s.prior.most };
        let most = self.period(found, "latency_most", &written.latency_most, most, median * 5 / 4, MINUTE * SPREAD);
        s.prior = Prior { median, most };
        s
    }
}
