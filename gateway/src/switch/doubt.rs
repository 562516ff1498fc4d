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

/// Decides by the tier's policy. Where parts differ (`mixed`), each has its own and the most patient of them holds for
/// all: the message goes again whole. Each resend counts as an attempt, so a message that brings down every link it
/// touches is not sent for ever.
pub(super) fn resolve(rule: &TierRule, worst: Doubt, mixed: bool, used: u8) -> Resolve {
    let policy = match (worst, rule.unacked, rule.acked) {
        (Doubt::Unsent, ..) => return Resolve::Again(Duration::ZERO),
        (Doubt::Unacked, unacked, _) => unacked,
        (Doubt::Acked, InDoubt::Resend(unacked), InDoubt::Resend(acked)) if mixed => {
            InDoubt::Resend(unacked.max(acked))
        }
        (Doubt::Acked, ..) if mixed => InDoubt::Wait,
        (Doubt::Acked, _, acked) => acked,
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
        assert_eq!(resolve(&rule, Doubt::Unsent, false, 9), Resolve::Again(Duration::ZERO));
        assert_eq!(resolve(&rule, Doubt::Unacked, false, 1), Resolve::Again(ten));
        assert_eq!(resolve(&rule, Doubt::Unacked, false, 3), Resolve::Stop);
        assert_eq!(resolve(&rule, Doubt::Acked, false, 1), Resolve::Stop);
    }

    #[test]
    fn where_parts_differ_the_most_patient_policy_holds() {
        let (never, after) = (InDoubt::Wait, |secs| InDoubt::Resend(Duration::from_secs(secs)));
        let table = [
            (after(10), after(30), Resolve::Again(Duration::from_secs(30))),
            (after(60), after(30), Resolve::Again(Duration::from_secs(60))),
            (after(0), never, Resolve::Stop),
            (never, after(0), Resolve::Stop),
        ];
        for (unacked, acked, resolved) in table {
            let rule = TierRule { attempts: 3, unacked, acked, ..TierRule::default() };
            assert_eq!(resolve(&rule, Doubt::Acked, true, 1), resolved, "{unacked:?} {acked:?}");
        }
    }
}
