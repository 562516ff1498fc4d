//! What one run shows: pure, from what client, carriers and callback sink wrote down.
//!
//! A message is *exposed* when the fault touches it: it was unanswered at the first carrier when the fault began, or was
//! accepted later and the first carrier did not answer it as it should. Its exposure begins with the fault or with its
//! 202, whichever is later.

use std::collections::HashMap;

use super::matrix::Shape;

/// How much later than its law a carrier's answer may be and still count as answered in time, in ms.
const SLACK_MS: f64 = 250.0;
/// A message that reached the second carrier within this of its 202, in ms, went there directly.
const DIRECT_MS: f64 = 100.0;
/// 202 to the first write that counted, above which a message is late, in ms.
const LATE_MS: f64 = 1_000.0;

/// How a message ended, as its app was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Delivered.
    Delivered,
    /// Failed or expired.
    Otherwise,
    /// Nothing was told, and something should have been.
    Missing,
    /// Nobody tells ends here.
    Untold,
}

/// A message that was answered 202.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Its destination, which no other message has.
    pub to: u64,
    /// Whether it is a code, which never waits by policy.
    pub otp: bool,
    /// When its 202 came, ms since 1970.
    pub accepted_ms: f64,
    /// Its end.
    pub end: End,
}

/// What a carrier saw of one message. Times are ms since 1970, in order.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When it was read.
    pub reads: Vec<f64>,
    /// When it was answered as accepted.
    pub accepted: Vec<f64>,
    /// How often it was refused.
    pub refused: u64,
}

impl Seen {
    /// When the first submit that was accepted had been read.
    fn counted_at(&self) -> Option<f64> {
        let answer = self.accepted.first()?;
        self.reads.iter().rev().find(|read| *read <= answer).copied()
    }

    /// Submits the carrier did not refuse: it may have sent each of them on.
    fn taken(&self) -> u64 {
        (self.reads.len() as u64).saturating_sub(self.refused)
    }
}

/// What a carrier saw, by destination.
pub type Wire = HashMap<u64, Seen>;

/// Everything one run left behind.
#[derive(Debug)]
pub struct Evidence {
    /// Messages answered 202.
    pub messages: Vec<Message>,
    /// The carrier with the fault.
    pub first: Wire,
    /// The other.
    pub second: Wire,
    /// When the fault began, ms since 1970.
    pub fault_ms: f64,
    /// When it ended.
    pub healed_ms: f64,
    /// Longest answer time by the carriers' law, in ms.
    pub answer_max_ms: f64,
    /// How the channels share.
    pub shape: Shape,
    /// Messages sent again in doubt, as counted by the gateway: after a link's end, from a channel given up, as a hedge.
    pub resubmitted: u64,
}

/// What one run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Finding {
    /// Messages answered 202.
    pub messages: u64,
    /// Codes among them.
    pub otp: u64,
    /// From the first exposed message to the first submit on the other channel, in ms; where both have their share: to
    /// the last message the first channel still touched. `None`: traffic did not move, or no message was exposed.
    pub to_backup_ms: Option<f64>,
    /// Messages whose first write that counted was over a second after their 202.
    pub late: u64,
    /// Codes among them.
    pub otp_late: u64,
    /// Messages without an end, or delivered without any carrier having read them.
    pub lost: u64,
    /// Messages told failed or expired.
    pub undelivered: u64,
    /// Submits beyond a message's first that no carrier refused.
    pub duplicates: u64,
    /// Those beyond what the gateway counted as resent in doubt.
    pub unexplained: u64,
    /// Messages that went to the second carrier before the fault although the first was to have them all.
    pub strays: u64,
    /// Suspicions of a carrier that was well, as counted by the gateway; `None` where it counts none.
    pub suspicions: Option<u64>,
    /// Codes sent to a second carrier since an answer took too long, as counted by the gateway: some of its resends.
    pub hedged: u64,
    /// The gateway's own measure of the first failover, in ms: first part exposed to first start elsewhere.
    pub told_ms: Option<f64>,
}

/// Judges a run.
pub fn judge(evidence: &Evidence) -> Finding {
    let mut finding =
        Finding { to_backup_ms: to_backup(evidence), messages: evidence.messages.len() as u64, ..Finding::default() };
    for message in &evidence.messages {
        let carriers = [evidence.first.get(&message.to), evidence.second.get(&message.to)];
        let seen = || carriers.into_iter().flatten();
        let counted = seen().filter_map(Seen::counted_at).fold(f64::INFINITY, f64::min);
        let late = u64::from(counted - message.accepted_ms > LATE_MS);
        let taken: u64 = seen().map(Seen::taken).sum();
        let read = seen().any(|seen| !seen.reads.is_empty());
        let lost = match message.end {
            End::Missing => true,
            End::Delivered | End::Untold => !read,
            End::Otherwise => false,
        };
        finding.otp += u64::from(message.otp);
        finding.late += late;
        finding.otp_late += if message.otp { late } else { 0 };
        finding.lost += u64::from(lost);
        finding.undelivered += u64::from(message.end == End::Otherwise);
        finding.duplicates += taken.saturating_sub(1);
    }
    finding.unexplained = finding.duplicates.saturating_sub(evidence.resubmitted);
    if evidence.shape == Shape::PrimaryBackup {
        let before = |seen: &&Seen| seen.reads.first().is_some_and(|read| *read < evidence.fault_ms);
        finding.strays = evidence.second.values().filter(before).count() as u64;
    }
    finding
}

fn to_backup(evidence: &Evidence) -> Option<f64> {
    let touched = || evidence.messages.iter().filter_map(|message| exposed_at(evidence, message));
    let first = touched().min_by(f64::total_cmp)?;
    let moved = match evidence.shape {
        Shape::PrimaryBackup => {
            let reads = evidence.second.values().flat_map(|seen| seen.reads.iter().copied());
            reads.filter(|read| *read >= evidence.fault_ms).min_by(f64::total_cmp)?
        }
        Shape::Balanced => touched().max_by(f64::total_cmp)?,
    };
    // A submit may be read before the client has read the 202.
    Some((moved - first).max(0.0))
}

/// Since when the fault touches this message, if it does.
fn exposed_at(evidence: &Evidence, message: &Message) -> Option<f64> {
    if message.accepted_ms > evidence.healed_ms {
        return None;
    }
    let first = evidence.first.get(&message.to);
    let in_time = |answer: &f64| {
        *answer <= evidence.fault_ms || answer - message.accepted_ms <= evidence.answer_max_ms + SLACK_MS
    };
    if first.is_some_and(|seen| seen.accepted.iter().any(in_time)) {
        return None;
    }
    let direct = evidence.second.get(&message.to).and_then(|seen| seen.reads.first()).is_some_and(|read| {
        evidence.shape == Shape::Balanced && first.is_none() && read - message.accepted_ms <= DIRECT_MS
    });
    (!direct).then(|| message.accepted_ms.max(evidence.fault_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: f64 = 10_000.0;

    fn message(to: u64, accepted_ms: f64) -> Message {
        Message { to, otp: to % 2 == 1, accepted_ms, end: End::Delivered }
    }

    fn read(at: f64, answered: Option<f64>) -> Seen {
        Seen { reads: vec![at], accepted: answered.into_iter().collect(), refused: 0 }
    }

    fn evidence(messages: &[(u64, f64)], first: &[(u64, Seen)], second: &[(u64, Seen)]) -> Evidence {
        let wire = |seen: &[(u64, Seen)]| seen.iter().cloned().collect();
        Evidence {
            messages: messages.iter().map(|(to, at)| message(*to, *at)).collect(),
            first: wire(first),
            second: wire(second),
            fault_ms: FAULT,
            healed_ms: FAULT + 5_000.0,
            answer_max_ms: 20.0,
            shape: Shape::PrimaryBackup,
            resubmitted: 0,
        }
    }

    #[test]
    fn exposure_begins_with_the_fault_for_what_is_in_flight() {
        // 1 was answered before the fault, 2 never, 3 comes later and goes to the second carrier.
        let found = judge(&evidence(
            &[(1, 9_900.0), (2, 9_990.0), (3, 10_300.0)],
            &[(1, read(9_901.0, Some(9_921.0))), (2, read(9_991.0, None))],
            &[(3, read(10_400.0, Some(10_420.0))), (2, read(11_200.0, Some(11_220.0)))],
        ));
        assert_eq!(found.to_backup_ms, Some(400.0));
        assert_eq!((found.late, found.otp_late, found.lost), (1, 0, 0));
        assert_eq!((found.duplicates, found.unexplained, found.strays), (1, 1, 0));
    }

    #[test]
    fn exposure_begins_with_the_first_message_when_nothing_is_in_flight() {
        let found = judge(&evidence(
            &[(1, 9_500.0), (2, 10_700.0)],
            &[(1, read(9_501.0, Some(9_521.0)))],
            &[(2, read(10_701.5, Some(10_721.0)))],
        ));
        assert_eq!(found.to_backup_ms, Some(1.5));
        assert_eq!((found.messages, found.otp, found.late), (2, 1, 0));
    }

    #[test]
    fn a_submit_read_before_the_client_saw_the_202_took_no_time() {
        let ahead = [(2, read(10_699.9, Some(10_720.0))), (4, read(11_700.5, Some(11_720.0)))];
        assert_eq!(judge(&evidence(&[(2, 10_700.0), (4, 11_700.0)], &[], &ahead)).to_backup_ms, Some(0.0));
    }

    #[test]
    fn an_answer_after_the_end_of_the_fault_makes_no_message_untouched() {
        // A stopped process reads what waited in its socket when it goes on.
        let found = judge(&evidence(&[(1, 10_100.0)], &[(1, read(15_000.0, Some(15_020.0)))], &[]));
        assert_eq!((found.to_backup_ms, found.late, found.otp_late, found.lost), (None, 1, 1, 0));
    }

    #[test]
    fn what_was_answered_before_the_fault_is_not_exposed_however_late() {
        let found = judge(&evidence(
            &[(1, 8_000.0), (2, 10_500.0)],
            &[(1, read(8_001.0, Some(9_000.0)))],
            &[(2, read(10_600.0, Some(10_620.0)))],
        ));
        assert_eq!(found.to_backup_ms, Some(100.0));
    }

    #[test]
    fn what_comes_after_the_fault_is_not_exposed() {
        let found = judge(&evidence(&[(2, 15_100.0)], &[], &[(2, read(15_101.0, Some(15_121.0)))]));
        assert_eq!(found.to_backup_ms, None);
    }

    #[test]
    fn refused_submits_are_no_duplicates_and_resends_explain_theirs() {
        let refused = Seen { reads: vec![10_001.0, 10_050.0], accepted: vec![], refused: 2 };
        let mut evidence = evidence(
            &[(2, 10_000.0), (4, 10_000.5)],
            &[(2, refused), (4, read(10_002.0, None))],
            &[(2, read(10_090.0, Some(10_110.0))), (4, read(10_091.0, Some(10_111.0)))],
        );
        assert_eq!((judge(&evidence).duplicates, judge(&evidence).unexplained), (1, 1));
        evidence.resubmitted = 1;
        assert_eq!((judge(&evidence).duplicates, judge(&evidence).unexplained), (1, 0));
    }

    #[test]
    fn lost_is_what_has_no_end_or_an_end_without_a_carrier() {
        let mut evidence = evidence(&[(1, 9_000.0), (2, 9_000.0), (3, 9_000.0), (4, 9_000.0)], &[], &[]);
        evidence.messages[1].end = End::Missing;
        evidence.messages[2].end = End::Otherwise;
        evidence.messages[3].end = End::Untold;
        let found = judge(&evidence);
        assert_eq!((found.lost, found.undelivered, found.late), (3, 1, 4));
    }

    #[test]
    fn messages_at_the_backup_before_the_fault_are_strays() {
        let stray = [(1, read(9_501.0, Some(9_521.0)))];
        assert_eq!(judge(&evidence(&[(1, 9_500.0)], &[], &stray)).strays, 1);
    }

    #[test]
    fn where_both_have_their_share_the_last_touched_message_counts() {
        let mut evidence = evidence(
            &[(1, 9_990.0), (2, 10_100.0), (3, 10_200.0), (4, 10_300.0)],
            &[(1, read(9_991.0, None)), (3, read(10_201.0, None))],
            &[(2, read(10_101.0, Some(10_121.0))), (4, read(10_301.0, Some(10_321.0)))],
        );
        evidence.shape = Shape::Balanced;
        assert_eq!(judge(&evidence).to_backup_ms, Some(200.0));
        assert_eq!(judge(&evidence).strays, 0);
    }
}
