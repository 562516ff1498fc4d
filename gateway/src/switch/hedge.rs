//! The hedge: a message of the first tier that its channel keeps waiting for unusually long gets one more attempt
//! elsewhere, while its link still stands and nothing is suspected yet. Few of them, or a slow carrier would double its
//! own load: see `hedge_share` in [`super::health::Settings`].

use std::collections::VecDeque;
use std::time::Duration;

use carriers::AttemptRef;

use super::Command;
use super::health::Settings;
use super::lane::Again;
use super::machine::Switch;
use crate::clock::Time;

/// Over how long the share is counted.
const SECONDS: usize = 10;

/// What one channel may hedge, and has.
#[derive(Debug, Default)]
pub(super) struct Hedges {
    /// First attempts that may not be answered yet, in the order in which they were sent.
    open: VecDeque<(Time, AttemptRef)>,
    /// By second: first attempts, hedges.
    counts: [(u32, u32); SECONDS],
    second: u64,
}

impl Hedges {
    /// A first attempt of the first tier was sent.
    pub(super) fn sent(&mut self, now: Time, attempt: AttemptRef) {
        self.turn(now);
        if let Some(count) = self.counts.first_mut() {
            count.0 += 1;
        }
        self.open.push_back((now, attempt));
    }

    /// Whether one more is within the share; it counts then.
    fn allow(&mut self, now: Time, s: &Settings) -> bool {
        self.turn(now);
        let (sent, hedged) = self.counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let allowed = s.hedge_share > 0.0 && hedged < s.hedge_few.max((f64::from(sent) * s.hedge_share) as u32);
        if let (true, Some(count)) = (allowed, self.counts.first_mut()) {
            count.1 += 1;
        }
        allowed
    }

    /// What was counted for a hedge that did not come about.
    fn forgo(&mut self) {
        if let Some(count) = self.counts.first_mut() {
            count.1 = count.1.saturating_sub(1);
        }
    }

    /// Brings the present second to the front.
    fn turn(&mut self, now: Time) {
        let second = now.0 / 1_000_000;
        let passed = second.saturating_sub(self.second).min(SECONDS as u64) as usize;
        self.counts.rotate_right(passed.min(SECONDS));
        for count in self.counts.iter_mut().take(passed) {
            *count = (0, 0);
        }
        self.second = self.second.max(second);
    }
}

impl Switch {
    /// Hedges what is due.
    pub(super) fn hedge(&mut self, now: Time, out: &mut Vec<Command>) {
        let mut due = Vec::new();
        let s = self.watch.machines.settings();
        let (soonest, latest) = (s.hedge_after, s.hedge_latest.max(s.hedge_after));
        for (id, channel) in self.channels.iter_mut() {
            let hedges = &mut channel.hedges;
            // Missing parts that follow later are no first attempt.
            let waits = |attempt: &AttemptRef, sent: Time| {
                self.attempts.get(attempt).is_some_and(|a| a.waits() && !a.superseded && a.sent == sent)
            };
            let mut after = None;
            while let Some((sent, attempt)) = hedges.open.front().copied() {
                if !waits(&attempt, sent) {
                    hedges.open.pop_front();
                    continue;
                }
                if now < sent.after(soonest) {
                    self.wake = self.wake.min(sent.after(soonest));
                    break;
                }
                let usual = || self.watch.machines.q999(*id).mul_f64(s.hedge_factor);
                let after = *after.get_or_insert_with(|| usual().clamp(soonest, latest));
                if now < sent.after(after) {
                    self.wake = self.wake.min(sent.after(after));
                    break;
                }
                hedges.open.pop_front();
                if hedges.allow(now, s) {
                    due.push((*id, attempt));
                }
            }
        }
        for (id, attempt) in due {
            let open = self.attempts.get(&attempt).map(|attempt| (attempt.pending.entry.id, attempt.sent));
            let (message, waited) = open.map_or((None, Duration::ZERO), |(id, sent)| (Some(id), now.since(sent)));
            if self.supersede(now, attempt, Again::hedge(waited), out) {
                out.extend(message.map(|message| Command::Hedged(message, id)));
            } else if let Some(channel) = self.channels.get_mut(&id) {
                channel.hedges.forgo();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_hundred_over_ten_seconds_and_a_few_at_least() {
        let second = |n: u64| Time(n * 1_000_000);
        let (s, mut hedges) = (Settings::default(), Hedges::default());
        let allowed = |hedges: &mut Hedges, now| (0..100).filter(|_| hedges.allow(now, &s)).count();
        assert_eq!(allowed(&mut hedges, second(1)), 3);
        assert_eq!(allowed(&mut hedges, second(10)), 0, "still the same ten seconds");
        assert_eq!(allowed(&mut hedges, second(11)), 3);
        for n in 0..1_000 {
            hedges.sent(second(20 + n / 200), AttemptRef(n));
        }
        assert_eq!(allowed(&mut hedges, second(25)), 20, "2 % of 1,000");
        assert_eq!(allowed(&mut hedges, second(26)), 0);
        assert_eq!(allowed(&mut hedges, second(1_000)), 3, "long after");
        let none = Settings { hedge_share: 0.0, ..s };
        assert!(!hedges.allow(second(2_000), &none), "no share is none at all");
    }
}
