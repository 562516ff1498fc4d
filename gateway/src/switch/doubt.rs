//! What happens to a message when nobody can say whether the carrier has it.

use std::time::Duration;

use carriers::Doubt;

use super::TierRule;
use crate::config::plan::InDoubt;

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolve {
    /// Send again after this long, unless a receipt comes first.
    Again(Duration),
    /// Never again: its receipt decides.
    Stop,
}

/// Decides by the tier's policy. Each resend counts as an attempt, so a message that brings down every link it
/// touches is not sent for ever.
pub(super) fn resolve(rule: &TierRule, doubt: Doubt, used: u8) -> Resolve {
    let policy = match doubt {
        Doubt::Unsent => return Resolve::Again(Duration::ZERO),
        Doubt::Unacked => rule.unacked,
        Doubt::Acked => rule.acked,
    };
    match policy {
        InDoubt::Resend(wait) if used < rule.attempts.max(1) => Resolve::Again(wait),
        InDoubt::Resend(_) | InDoubt::Wait => Resolve::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::TierId;

    #[test]
    fn the_tier_decides_per_class_and_attempts_bound_the_duplicates() {
        let ten = Duration::from_secs(10);
        let rule = TierRule {
            id: TierId(0),
            attempts: 3,
            backoff: vec![],
            unacked: InDoubt::Resend(ten),
            acked: InDoubt::Wait,
            ..TierRule::default()
        };
        assert_eq!(resolve(&rule, Doubt::Unsent, 9), Resolve::Again(Duration::ZERO));
        assert_eq!(resolve(&rule, Doubt::Unacked, 1), Resolve::Again(ten));
        assert_eq!(resolve(&rule, Doubt::Unacked, 3), Resolve::Stop);
        assert_eq!(resolve(&rule, Doubt::Acked, 1), Resolve::Stop);
    }
}
