//! Which messages from handsets are repetitions: carriers say again what they got no answer for.
//!
//! People send the same word twice on purpose, so equal octets alone prove nothing. What proves it: the carrier's own id;
//! the same place of the same long message; or equal octets whose earlier answer the carrier may not have had, since its
//! connection was lost or the answer took long. All of it within the window, and known again after a restart.

use std::collections::HashMap;
use std::time::Duration;

use carriers::Segment;
use link::LinkId;
use sha2::{Digest, Sha256};

use crate::clock::Time;
use crate::ids::MessageId;
use crate::journal::record::Mo;

/// A connection lost so soon after an answer may have taken the answer with it.
pub(super) const LOST_WITH_IT: Duration = Duration::from_secs(60);
/// An answer that took so long may have come after the carrier gave up waiting for it.
const SLOW: Duration = Duration::from_secs(5);
/// Equal ones told apart at a time; beyond, the oldest is not recognised any more.
const EQUAL: usize = 32;
/// Lost connections remembered at most.
const LOST: usize = 10_000;

/// What a repetition has in common with what it repeats.
pub(super) type Print = [u8; 16];

/// One connection of a link.
pub(super) type Connection = (LinkId, u64);

/// What makes a message the same one: the carrier's id, or else all of its content.
pub(super) fn print(mo: &Mo<'_>) -> Print {
    let mut hash = Sha256::new();
    let mut add = |octets: &[u8]| {
        hash.update((octets.len() as u64).to_le_bytes());
        hash.update(octets);
    };
    add(mo.channel.as_bytes());
    match &mo.id {
        Some(id) => add(id.octets()),
        None => {
            let Segment { reference, total, index } =
                mo.segment.unwrap_or(Segment { reference: 0, total: 0, index: 0 });
            let [high, low] = reference.to_be_bytes();
            for octets in [mo.from.as_bytes(), mo.to.as_bytes(), mo.header, mo.data] {
                add(octets);
            }
            add(&[mo.coding as u8, high, low, total, index]);
        }
    }
    let mut print = Print::default();
    print.copy_from_slice(&hash.finalize()[..16]);
    print
}

/// Whether an equal one is always the same one: it has the carrier's id, or a place in a long message, of which a
/// handset makes no second one that soon.
pub(super) fn is_certain(mo: &Mo<'_>) -> bool {
    mo.id.is_some() || mo.segment.is_some()
}

/// Over what it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A connection of this process.
    Connection(Connection),
    /// One of an earlier process, lost with it; whether the carrier may not have had the answer.
    Earlier {
        /// It may not.
        in_doubt: bool,
    },
}

/// One that was heard.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: MessageId,
    /// When it was said last.
    heard: Time,
    over: Over,
    answered: Option<Time>,
    /// End of its window.
    until: Time,
}

/// Those heard within the window.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<Print, Vec<Seen>>,
    /// Connections that ended within the window, and when.
    lost: HashMap<Connection, Time>,
}

impl Repeats {
    /// The one that this is a repetition of; it counts as heard now, over this connection.
    pub(super) fn find(&mut self, now: Time, print: Print, certain: bool, over: Connection) -> Option<MessageId> {
        let Repeats { seen, lost } = self;
        let doubtful = |seen: &Seen| {
            let lost_with = |connection| {
                let at: Option<&Time> = lost.get(&connection);
                at.is_some_and(|at| seen.answered.is_none_or(|answered| at.since(answered) < LOST_WITH_IT))
            };
            match seen.over {
                Over::Connection(connection) => {
                    seen.answered.unwrap_or(now).since(seen.heard) >= SLOW || lost_with(connection)
                }
                Over::Earlier { in_doubt } => in_doubt,
            }
        };
        let same = seen.get_mut(&print)?.iter_mut().find(|seen| seen.until > now && (certain || doubtful(seen)))?;
        (same.heard, same.over, same.answered) = (now, Over::Connection(over), None);
        Some(same.id)
    }

    /// One that is new.
    pub(super) fn add(&mut self, print: Print, id: MessageId, now: Time, over: Over, until: Time) {
        let equal = self.seen.entry(print).or_default();
        if equal.len() == EQUAL {
            equal.remove(0);
        }
        equal.push(Seen { id, heard: now, over, answered: None, until });
    }

    /// Its carrier has been answered.
    pub(super) fn answered(&mut self, print: Print, id: MessageId, now: Time) {
        let seen = self.seen.get_mut(&print).into_iter().flatten().find(|seen| seen.id == id);
        seen.into_iter().for_each(|seen| seen.answered = Some(now));
    }

    /// It is not to be recognised any more.
    pub(super) fn forget(&mut self, print: Print, id: MessageId) {
        if let Some(equal) = self.seen.get_mut(&print) {
            equal.retain(|seen| seen.id != id);
            if equal.is_empty() {
                self.seen.remove(&print);
            }
        }
    }

    /// A connection has ended.
    pub(super) fn lost(&mut self, now: Time, connection: Connection, window: Duration) {
        if self.lost.len() >= LOST {
            self.lost.retain(|_, at| now.since(*at) < window);
        }
        if self.lost.len() < LOST {
            self.lost.insert(connection, now);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);
    const A: Connection = (LinkId { channel: 0, link: 0 }, 1);
    const B: Connection = (LinkId { channel: 0, link: 1 }, 4);
    const PRINT: Print = [7; 16];
    const ONE: MessageId = MessageId(1);
    const TWO: MessageId = MessageId(2);

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    fn heard(over: Connection) -> Repeats {
        let mut repeats = Repeats::default();
        repeats.add(PRINT, ONE, at(1), Over::Connection(over), at(601));
        repeats
    }

    #[test]
    fn over_a_living_link_the_same_word_is_said_twice() {
        let mut repeats = heard(A);
        assert_eq!(repeats.find(at(2), PRINT, false, A), None, "not yet answered");
        repeats.answered(PRINT, ONE, at(2));
        assert_eq!(repeats.find(at(30), PRINT, false, A), None);
        assert_eq!(repeats.find(at(30), PRINT, false, B), None);
    }

    #[test]
    fn what_was_certain_is_a_repetition_over_any_link_until_the_window_ends() {
        let mut repeats = heard(A);
        repeats.answered(PRINT, ONE, at(2));
        assert_eq!(repeats.find(at(600), PRINT, true, A), Some(ONE));
        assert_eq!(repeats.find(at(601), PRINT, true, A), None);
    }

    #[test]
    fn a_connection_lost_before_the_answer_or_soon_after_is_a_reason() {
        for (answered, lost, repetition) in
            [(None, 3, true), (Some(2), 61, true), (Some(2), 62, false), (Some(2), 500, false)]
        {
            let mut repeats = heard(A);
            answered.into_iter().for_each(|s| repeats.answered(PRINT, ONE, at(s)));
            repeats.lost(at(lost), A, WINDOW);
            repeats.lost(at(lost), B, WINDOW);
            let found = repeats.find(at(lost + 1), PRINT, false, (A.0, A.1 + 1));
            assert_eq!(found.is_some(), repetition, "answered {answered:?}, lost {lost}");
        }
    }

    #[test]
    fn an_answer_that_took_long_is_a_reason_too() {
        let mut repeats = heard(A);
        assert_eq!(repeats.find(at(6), PRINT, false, A), Some(ONE), "still without an answer");
        let mut repeats = heard(A);
        repeats.answered(PRINT, ONE, at(7));
        assert_eq!(repeats.find(at(60), PRINT, false, A), Some(ONE));
    }

    #[test]
    fn each_is_repeated_once_per_loss() {
        let mut repeats = heard(A);
        repeats.add(PRINT, TWO, at(2), Over::Connection(A), at(602));
        repeats.lost(at(3), A, WINDOW);
        assert_eq!(repeats.find(at(4), PRINT, false, B), Some(ONE));
        assert_eq!(repeats.find(at(4), PRINT, false, B), Some(TWO));
        assert_eq!(repeats.find(at(4), PRINT, false, B), None, "the third is a new one");
    }

    #[test]
    fn what_an_earlier_process_heard_is_a_repetition_only_where_its_answer_is_in_doubt() {
        let mut repeats = Repeats::default();
        repeats.add(PRINT, TWO, at(1), Over::Earlier { in_doubt: false }, at(100));
        assert_eq!(repeats.find(at(50), PRINT, false, A), None);
        assert_eq!(repeats.find(at(50), PRINT, true, A), Some(TWO), "the carrier's own id is proof");
        repeats.forget(PRINT, TWO);
        repeats.add(PRINT, ONE, at(1), Over::Earlier { in_doubt: true }, at(100));
        assert_eq!(repeats.find(at(50), PRINT, false, A), Some(ONE));
        assert_eq!(repeats.find(at(51), PRINT, false, A), None);
        repeats.forget(PRINT, ONE);
        assert_eq!(repeats.len(), 0);
    }

    #[test]
    fn equal_ones_beyond_the_bound_push_out_the_oldest() {
        let mut repeats = Repeats::default();
        for id in 0..100 {
            repeats.add(PRINT, MessageId(id), at(1), Over::Earlier { in_doubt: true }, at(100));
        }
        assert_eq!(repeats.len(), EQUAL);
        assert_eq!(repeats.find(at(2), PRINT, true, A), Some(MessageId(100 - EQUAL as u64)));
    }
}
