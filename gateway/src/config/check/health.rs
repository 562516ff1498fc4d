//! `[health]`: when a channel counts as ill, and how it comes back.

use std::time::Duration;

use super::{Check, placed};
use crate::config::shape::Found;
use crate::config::written::{self, Preset};
use crate::switch::health::{Patience, Settings};

const LEAST: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

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
        let percent = |share: f64| (share * 100.0).round() as u8;
        let ejection = self.within(found, "ejection", placed(&written.ejection), percent(s.eject_share), 1..=100);
        let panic = self.within(found, "panic", placed(&written.panic), percent(s.panic_share), 0..=100);
        (s.eject_share, s.panic_share) = (f64::from(ejection) / 100.0, f64::from(panic) / 100.0);
        s
    }
}
