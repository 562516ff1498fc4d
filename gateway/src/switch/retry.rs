//! When a refused message goes again.

use std::time::Duration;

use super::TierRule;
use crate::ids::MessageId;

/// Wait before a message goes again that could not be handed to its link: journal or link are in passing trouble.
pub(super) const HANDOVER_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait after the `used`-th refusal (from 1), or `None` when that was the last attempt.
pub(super) fn wait(rule: &TierRule, used: u8, id: MessageId) -> Option<Duration> {
    if used >= rule.attempts.max(1) {
        return None;
    }
    let nth = usize::from(used.max(1) - 1);
    let full = rule.backoff.get(nth).or(rule.backoff.last()).copied().unwrap_or_default();
    Some(spread(full, id, used))
}

/// Between half and all of `full`, by message and attempt, so that messages refused together return apart.
fn spread(full: Duration, id: MessageId, used: u8) -> Duration {
    let mixed = (id.0 ^ u64::from(used) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let share = mixed as f64 / f64::from(1u32 << 24);
    full.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(attempts: u8, backoff: &[u64]) -> TierRule {
        let backoff = backoff.iter().copied().map(Duration::from_secs).collect();
        TierRule { attempts, backoff, ..TierRule::default() }
    }

    #[test]
    fn waits_follow_the_list_and_end_with_the_attempts() {
        let rule = rule(4, &[0, 1, 8]);
        let within = |used, low: u64, high: u64| {
            (0..1_000).all(|id| {
                let wait = wait(&rule, used, MessageId(id)).unwrap();
                Duration::from_secs(low) / 2 <= wait && wait <= Duration::from_secs(high)
            })
        };
        assert!(within(1, 0, 0) && within(2, 1, 1) && within(3, 8, 8));
        assert_eq!(wait(&rule, 4, MessageId(1)), None);
        assert_eq!(wait(&self::rule(9, &[]), 3, MessageId(1)), Some(Duration::ZERO));
        assert_eq!(wait(&self::rule(0, &[]), 1, MessageId(1)), None);
    }

    #[test]
    fn messages_refused_together_return_apart() {
        let rule = rule(3, &[10]);
        let mut waits: Vec<_> = (0..1_000u64).map(|id| wait(&rule, 1, MessageId(id << 15)).unwrap()).collect();
        waits.sort();
        let (first, median, last) = (waits[0], waits[500], waits[999]);
        assert!(last - first > Duration::from_secs(4) && (median.as_secs_f64() - 7.5).abs() < 0.5, "{median:?}");
    }
}
