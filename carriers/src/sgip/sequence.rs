//! The number of each command of ours: node, time and counter (SGIP 1.2 §4.1). A submit's is the message's id, so it
//! follows from the attempt alone: the report may come before the answer, or after a restart.
//!
//! An attempt's reference is the millisecond it was made in and a count within it. The second is the time; what is left
//! of the millisecond, the count and the part make the counter. No two submits share a number within a year, which is as
//! far as the time tells, and no other command has a submit's: their counters stand where no millisecond does.

use codecs::sgip::Sequence;

use crate::china::zone::Zone;
use crate::session::{AttemptRef, Now, Ticket};

/// Bits for the part; a message has at most 64.
const PART_BITS: u32 = 7;
/// The counter's bits below the millisecond within its second.
const BELOW_MILLIS: u32 = PART_BITS + AttemptRef::COUNT_BITS;
/// Counters from here on are no submit's.
const OTHERS: u32 = 1000 << BELOW_MILLIS;

/// The submit of that ticket.
pub(super) fn of(node: u32, zone: Zone, ticket: Ticket) -> Sequence {
    let attempt = ticket.attempt();
    let count = attempt.0 as u32 & ((1 << AttemptRef::COUNT_BITS) - 1);
    let part = u32::from(ticket.part()) & ((1 << PART_BITS) - 1);
    let counter = (attempt.millis() % 1000) as u32;
    Sequence {
        node,
        time: zone.timestamp(attempt.made()),
        counter: counter << BELOW_MILLIS | count << PART_BITS | part,
    }
}

/// Any other command, the `count`th on its connection.
pub(super) fn other(node: u32, zone: Zone, now: Now, count: u32) -> Sequence {
    Sequence { node, time: zone.timestamp(now.wall), counter: OTHERS | count & ((1 << BELOW_MILLIS) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    /// 2026-11-22 20:20:00.123 in China.
    const AT: u64 = 1_795_350_000_123;

    fn attempt(ms: u64, count: u64) -> AttemptRef {
        AttemptRef((ms - 1_704_067_200_000) << 15 | count)
    }

    #[test]
    fn a_submit_tells_when_it_was_made() {
        let sequence = of(3_010_012_345, Zone::default(), Ticket::new(attempt(AT, 5), 2));
        assert_eq!((sequence.node, sequence.time), (3_010_012_345, 1_122_202_000));
        assert_eq!(sequence.counter, 123 << 22 | 5 << 7 | 2);
    }

    #[test]
    fn no_two_submits_share_a_number_and_no_other_command_has_one() {
        let mut seen = HashSet::new();
        for ms in [0, 1, 7, 876, 877, 878, 999, 1000, 60_000, 86_400_000] {
            for count in [0, 1, 127, 128, (1 << 15) - 1] {
                for part in [0, 1, 63] {
                    let sequence = of(1, Zone::default(), Ticket::new(attempt(AT + ms, count), part));
                    assert!(seen.insert(sequence) && sequence.counter < OTHERS, "{ms} {count} {part}");
                }
            }
        }
        #[allow(clippy::disallowed_methods, reason = "an origin; nothing measures it")]
        let now = Now { mono: Instant::now(), wall: UNIX_EPOCH + Duration::from_millis(AT) };
        for count in [0, 1, u32::MAX] {
            let sequence = other(1, Zone::default(), now, count);
            assert!(sequence.counter >= OTHERS && sequence.time == 1_122_202_000, "{count}");
        }
        assert_ne!(other(1, Zone::default(), now, 1), other(1, Zone::default(), now, 2));
    }
}
