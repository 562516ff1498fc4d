//! `[callbacks]`: how events reach the apps' endpoints.

use std::time::Duration;

use toml::Spanned;

use super::{Check, placed};
use crate::callback::Settings;
use crate::config::shape::Found;
use crate::config::value::Period;
use crate::config::written;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Least quota: room for some letters of the largest size.
const LEAST_QUOTA: u64 = 1 << 20;
/// Most steps of a schedule.
const MOST_STEPS: usize = 50;

impl Check<'_, '_> {
    /// The section, with defaults where it says nothing.
    pub(super) fn callbacks(&mut self, found: Option<&Found<written::Callbacks>>) -> Settings {
        let mut settings = Settings::default();
        let Some(found) = found else { return settings };
        let written = &found.value;
        if let Some(schedule) = &written.schedule {
            settings.schedule = self.schedule(found, schedule, settings.schedule);
        }
        let s = &mut settings;
        s.give_up_after = self.period(found, "give_up_after", &written.give_up_after, s.give_up_after, MS, 30 * DAY);
        s.connect = self.period(found, "connect_timeout", &written.connect_timeout, s.connect, MS, HOUR);
        s.total = self.period(found, "total_timeout", &written.total_timeout, s.total, MS, HOUR);
        s.trip_after = self.within(found, "trip_after", placed(&written.trip_after), s.trip_after, 1..=1_000_000);
        s.trial_every = self.period(found, "trial_every", &written.trial_every, s.trial_every, MS, DAY);
        s.spill_after = self.period(found, "spill_after", &written.spill_after, s.spill_after, MS, HOUR);
        let quota = written.quota.as_ref().map(|quota| (quota.span(), quota.get_ref().0));
        s.quota = self.within(found, "quota", quota, s.quota, LEAST_QUOTA..=u64::MAX >> 1);
        s.keep_dead = self.period(found, "keep_dead", &written.keep_dead, s.keep_dead, MS, 3_650 * DAY);
        settings
    }

    fn schedule(
        &mut self,
        found: &Found<written::Callbacks>,
        schedule: &Spanned<Vec<Period>>,
        default: Vec<Duration>,
    ) -> Vec<Duration> {
        let steps: Vec<Duration> = schedule.get_ref().iter().map(|period| period.0).collect();
        let fits = (1..=MOST_STEPS).contains(&steps.len()) && steps.iter().all(|step| (MS..=DAY).contains(step));
        if !fits {
            let message = format!("`schedule` is not 1 to {MOST_STEPS} waits of 1ms to 1d");
            self.report.error(found.at(schedule.span()), message, "as in [\"5s\", \"30s\", \"2m\"]; the last repeats");
            return default;
        }
        steps
    }
}
