//! When each channel is tested, and how its tests go. Pure: time is an argument, and a channel's place in the round
//! comes from its name, so that channels are not tested all at once and a reload moves none that did not change.

use std::collections::BTreeMap;
use std::time::Duration;

use carriers::AttemptRef;

use crate::clock::{Time, Wall};
use crate::config::plan::{ChannelId, Test};
use crate::ids::MessageId;
use crate::switch::Answer;

/// Tests in a row that must fail before it is an alarm.
const FAILURES: u32 = 2;
/// Most tests under way on one channel; operators may order them.
const OPEN: usize = 8;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It arrived; on channels without receipts, it was taken.
    Ok,
    /// The carrier refused it.
    Refused,
    /// The carrier said nothing.
    NoAnswer,
    /// It was taken, and no receipt came in time.
    NoReceipt,
    /// The receipt says it did not arrive, or it could not be sent at all.
    Failed,
}

impl Outcome {
    /// As metrics and operators have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::NoAnswer => "no_answer",
            Outcome::NoReceipt => "no_receipt",
            Outcome::Failed => "failed",
        }
    }
}

/// A channel's last test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// When it ended.
    pub(super) at: Wall,
    pub(super) outcome: Outcome,
    /// How long it took to arrive.
    pub(super) delay: Option<Duration>,
    /// How many have failed in a row.
    pub(super) failures: u32,
}

impl Last {
    /// Whether that is an alarm.
    pub(super) fn alarms(&self) -> bool {
        self.failures >= FAILURES
    }
}

#[derive(Debug)]
struct Round {
    test: Test,
    receipts: bool,
    due: Time,
    /// Which number is next.
    turn: usize,
    last: Option<Last>,
}

/// A test under way.
#[derive(Debug)]
struct Open {
    channel: ChannelId,
    since: Time,
    until: Time,
    attempt: Option<AttemptRef>,
    taken: bool,
}

/// All channels that are tested.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    channels: BTreeMap<ChannelId, Round>,
    open: BTreeMap<MessageId, Open>,
}

impl Rounds {
    /// Follows a plan. A channel whose `every` is the same keeps its time, and its last result whatever changed.
    pub(super) fn follow<'p>(&mut self, now: Time, tested: impl Iterator<Item = (ChannelId, &'p str, bool, &'p Test)>) {
        let mut before = std::mem::take(&mut self.channels);
        for (channel, name, receipts, test) in tested {
            let (was, test) = (before.remove(&channel), test.clone());
            let kept = was.as_ref().filter(|was| was.test.every == test.every).map(|was| was.due);
            let due = kept.unwrap_or_else(|| now.after(place(name, test.every)));
            let (turn, last) = was.map_or((0, None), |was| (was.turn, was.last));
            self.channels.insert(channel, Round { test, receipts, due, turn, last });
        }
        self.open.retain(|_, open| self.channels.contains_key(&open.channel));
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let due = self.channels.values().map(|round| round.due);
        due.chain(self.open.values().map(|open| open.until)).min()
    }

    /// The channels whose time has come; their next one is fixed by that. One whose last test is still under way is
    /// left out this time.
    pub(super) fn due(&mut self, now: Time) -> Vec<ChannelId> {
        let mut due = Vec::new();
        for (channel, round) in self.channels.iter_mut().filter(|(_, round)| round.due <= now) {
            let next = round.due.after(round.test.every);
            round.due = if next <= now { now.after(round.test.every) } else { next };
            if self.open.values().all(|open| open.channel != *channel) {
                due.push(*channel);
            }
        }
        due
    }

    /// What to send over a channel, and to which of its numbers; none where it is not tested, or enough are under way.
    pub(super) fn next(&mut self, channel: ChannelId) -> Option<(Test, String)> {
        if self.open.values().filter(|open| open.channel == channel).count() >= OPEN {
            return None;
        }
        let round = self.channels.get_mut(&channel)?;
        let to = round.test.to.get(round.turn % round.test.to.len().max(1))?.clone();
        round.turn = round.turn.wrapping_add(1);
        Some((round.test.clone(), to))
    }

    /// A test is on its way.
    pub(super) fn begun(&mut self, now: Time, id: MessageId, channel: ChannelId, within: Duration) {
        let open = Open { channel, since: now, until: now.after(within), attempt: None, taken: false };
        self.open.insert(id, open);
    }

    /// An attempt of any message leaves; cheap where no test is under way.
    pub(super) fn started(&mut self, id: MessageId, attempt: AttemptRef) {
        if let Some(open) = self.open.get_mut(&id) {
            open.attempt = Some(attempt);
        }
    }

    /// A part of any attempt has its answer; the test that has ended with it.
    pub(super) fn answered(&mut self, attempt: AttemptRef, answer: &Answer) -> Option<(MessageId, Outcome)> {
        if self.open.is_empty() {
            return None;
        }
        let (id, open) = self.open.iter_mut().find(|(_, open)| open.attempt == Some(attempt))?;
        let receipts = self.channels.get(&open.channel).is_some_and(|round| round.receipts);
        match answer {
            Answer::Submitted => {
                open.taken = true;
                (!receipts).then_some((*id, Outcome::Ok))
            }
            // It is the pace that was refused, and what did not leave goes again by itself.
            Answer::Refused(carriers::Verdict::Throttled) | Answer::Unanswered(carriers::Doubt::Unsent) => None,
            Answer::Refused(_) => Some((*id, Outcome::Refused)),
            Answer::Unanswered(_) => Some((*id, Outcome::NoAnswer)),
        }
    }

    /// Tests whose time is over, by how far they came.
    pub(super) fn overdue(&self, now: Time) -> Vec<(MessageId, Outcome)> {
        let outcome = |open: &Open| match (open.taken, open.attempt) {
            (true, _) => Outcome::NoReceipt,
            (false, Some(_)) => Outcome::NoAnswer,
            (false, None) => Outcome::Failed,
        };
        let over = self.open.iter().filter(|(_, open)| open.until <= now);
        over.map(|(id, open)| (*id, outcome(open))).collect()
    }

    /// A test has ended; none where it is not, or no more, under way.
    pub(super) fn ended(&mut self, time: Time, at: Wall, id: MessageId, outcome: Outcome) -> Option<(ChannelId, Last)> {
        let open = self.open.remove(&id)?;
        let round = self.channels.get_mut(&open.channel)?;
        let ok = outcome == Outcome::Ok;
        let delay = ok.then(|| time.since(open.since));
        let failures = if ok { 0 } else { round.last.map_or(0, |last| last.failures).saturating_add(1) };
        let last = Last { at, outcome, delay, failures };
        round.last = Some(last);
        Some((open.channel, last))
    }

    /// A channel's last test.
    pub(super) fn last(&self, channel: ChannelId) -> Option<Last> {
        self.channels.get(&channel)?.last
    }

    /// Whether a channel is tested.
    pub(super) fn has(&self, channel: ChannelId) -> bool {
        self.channels.contains_key(&channel)
    }
}

/// Where in the round a channel is, by its name (FNV-1a).
fn place(name: &str, every: Duration) -> Duration {
    let hash =
        name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hash % millis)
}

#[cfg(test)]
mod tests {
    use carriers::{Doubt, Verdict};

    use super::*;
    use crate::config::plan::{AppId, GroupId, TierId};

    const A: ChannelId = ChannelId(0);
    const B: ChannelId = ChannelId(1);
    const EVERY: Duration = Duration::from_secs(600);
    const WITHIN: Duration = Duration::from_secs(120);

    fn test(every: Duration) -> Test {
        Test {
            to: vec!["+8613800138000".into(), "+8613800138001".into()],
            text: "test".into(),
            every,
            receipt_within: WITHIN,
            tier: TierId(1),
            app: AppId(9),
            group: GroupId(9),
        }
    }

    fn seconds(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    fn rounds(every: Duration) -> Rounds {
        let mut rounds = Rounds::default();
        let test = test(every);
        rounds.follow(seconds(0), [(A, "a", true, &test), (B, "b", false, &test)].into_iter());
        rounds
    }

    /// How often each channel comes up in that many seconds, and the seconds at which.
    fn pass(rounds: &mut Rounds, from: u64, to: u64) -> BTreeMap<ChannelId, Vec<u64>> {
        let mut all: BTreeMap<ChannelId, Vec<u64>> = BTreeMap::new();
        for second in from..to {
            for channel in rounds.due(seconds(second)) {
                all.entry(channel).or_default().push(second);
            }
        }
        all
    }

    #[test]
    fn each_channel_has_its_place_in_the_round_and_keeps_it_over_reloads() {
        let mut rounds = rounds(EVERY);
        let first = pass(&mut rounds, 0, 3_600);
        assert!(first.values().all(|at| at.len() == 6), "{first:?}");
        assert!(first[&A][0].abs_diff(first[&B][0]) > 10, "{first:?}");
        // A reload that changes what is said moves nothing; one that changes how often does.
        let (said, often) = (Test { text: "other".into(), ..test(EVERY) }, test(EVERY / 2));
        rounds.follow(seconds(3_600), [(A, "a", true, &said), (B, "b", false, &often)].into_iter());
        let second = pass(&mut rounds, 3_600, 7_200);
        assert_eq!(second[&A].iter().map(|at| at - 3_600).collect::<Vec<_>>(), first[&A]);
        assert_eq!((second[&B].len(), rounds.next(A).unwrap().0.text), (12, "other".to_owned()));
        rounds.follow(seconds(7_200), [(A, "a", true, &said)].into_iter());
        assert!(rounds.has(A) && !rounds.has(B) && rounds.next(B).is_none());
    }

    #[test]
    fn a_pause_of_ours_is_made_up_for_once() {
        let mut rounds = rounds(EVERY);
        assert_eq!(rounds.due(seconds(86_400)), [A, B]);
        assert_eq!(rounds.due(seconds(86_401)), []);
        assert_eq!(rounds.deadline(), Some(seconds(86_400).after(EVERY)));
    }

    #[test]
    fn one_test_at_a_time_to_each_number_in_turn() {
        let mut rounds = rounds(EVERY);
        let numbers: Vec<String> = (0..3).map(|_| rounds.next(A).unwrap().1).collect();
        assert_eq!(numbers, ["+8613800138000", "+8613800138001", "+8613800138000"]);
        rounds.begun(seconds(0), MessageId(1), A, WITHIN);
        assert_eq!(rounds.due(seconds(86_400)), [B], "the last one is still under way");
        for id in 2..=OPEN as u64 {
            assert!(rounds.next(A).is_some());
            rounds.begun(seconds(0), MessageId(id), A, WITHIN);
        }
        assert_eq!(rounds.next(A), None, "an operator's impatience is bounded");
    }

    #[test]
    fn a_test_ends_as_far_as_it_came() {
        let mut rounds = rounds(EVERY);
        let run = |rounds: &mut Rounds, channel, answer: Option<Answer>| {
            let (id, attempt) = (MessageId(7), AttemptRef(70));
            rounds.begun(seconds(10), id, channel, WITHIN);
            if answer.is_some() {
                rounds.started(id, attempt);
            }
            let at_once = answer.and_then(|answer| rounds.answered(attempt, &answer));
            assert_eq!(rounds.answered(AttemptRef(71), &Answer::Submitted), None, "not of this test");
            assert!(rounds.overdue(seconds(129)).is_empty());
            let late = rounds.overdue(seconds(130));
            assert!(rounds.ended(seconds(130), Wall(1), id, Outcome::Failed).is_some());
            assert!(rounds.ended(seconds(130), Wall(1), id, Outcome::Ok).is_none(), "ended twice");
            (at_once.map(|(_, outcome)| outcome), late[0].1)
        };
        let submitted = || Some(Answer::Submitted);
        assert_eq!(run(&mut rounds, A, submitted()), (None, Outcome::NoReceipt));
        assert_eq!(run(&mut rounds, B, submitted()), (Some(Outcome::Ok), Outcome::NoReceipt), "it sends no receipts");
        let refused = |verdict| Some(Answer::Refused(verdict));
        assert_eq!(run(&mut rounds, A, refused(Verdict::Rejected)).0, Some(Outcome::Refused));
        assert_eq!(run(&mut rounds, A, refused(Verdict::Throttled)), (None, Outcome::NoAnswer));
        assert_eq!(run(&mut rounds, A, Some(Answer::Unanswered(Doubt::Acked))).0, Some(Outcome::NoAnswer));
        assert_eq!(run(&mut rounds, A, Some(Answer::Unanswered(Doubt::Unsent))).0, None);
        assert_eq!(run(&mut rounds, A, None), (None, Outcome::Failed), "never sent");
    }

    #[test]
    fn two_failures_in_a_row_are_an_alarm_and_one_success_ends_it() {
        let mut rounds = rounds(EVERY);
        let mut end = |second, outcome| {
            rounds.begun(seconds(second), MessageId(second), A, WITHIN);
            rounds.ended(seconds(second + 3), Wall(second), MessageId(second), outcome).unwrap().1
        };
        assert!(!end(1, Outcome::NoReceipt).alarms());
        assert!(!end(2, Outcome::Ok).alarms());
        assert!(!end(3, Outcome::Refused).alarms());
        assert!(end(4, Outcome::NoAnswer).alarms());
        let ok = end(5, Outcome::Ok);
        assert_eq!((ok.alarms(), ok.delay), (false, Some(Duration::from_secs(3))));
        assert_eq!(rounds.last(A), Some(ok));
        // What becomes of a test whose channel is tested no more is nobody's.
        rounds.begun(seconds(9), MessageId(9), A, WITHIN);
        rounds.follow(seconds(9), std::iter::empty());
        assert_eq!(rounds.ended(seconds(9), Wall(9), MessageId(9), Outcome::Ok), None);
        assert_eq!(rounds.deadline(), None);
    }
}
