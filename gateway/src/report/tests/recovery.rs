//! What a crash leaves: directed cases, then random dialogues cut at every record.

use std::collections::BTreeSet;

use super::*;
use ReceiptState::{Delivered, Expired, Failed};

#[test]
fn a_part_open_at_the_crash_is_in_doubt_and_handed_to_the_switch_as_such() {
    let mut world = World::new();
    let (open, waiting) = (world.accept(true), world.accept(true));
    world.start(open, B, 2);
    let again = world.crash();
    let found = again.found.as_ref().unwrap();
    let of = |id| found.waiting.iter().find(|r| r.message.id == id).unwrap();
    assert_eq!((of(open).in_doubt, of(open).refused), (Some((B, Doubt::Acked)), 0));
    assert_eq!((of(waiting).in_doubt, of(waiting).refused), (None, 0));
    assert_eq!(of(open).message.expires, again.time.after(VALIDITY));
}

#[test]
fn a_part_that_went_again_after_a_passing_refusal_is_in_doubt_after_a_crash() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 2);
    world.submitted(attempt, 0, "x1");
    world.refused(attempt, 1, Verdict::Retry);
    assert!(world.go_on(id, attempt, A, 2, 0b10));
    let again = world.crash();
    let found = again.found.as_ref().unwrap();
    assert_eq!(found.waiting[0].in_doubt, Some((A, Doubt::Acked)), "the carrier may have all of it");
}

#[test]
fn that_an_app_has_no_endpoint_is_found_again_after_a_crash() {
    let mut world = World::new();
    (world.wanted, world.keeping) = (false, false);
    let id = world.accept(true);
    let attempt = world.start(id, SILENT, 1);
    world.submitted(attempt, 0, "x");
    world.run();
    assert!(world.written(kind::CALLED) == 0 && world.told.is_empty());
    for wanted in [false, true] {
        let mut again = world.crash();
        again.wanted = wanted;
        again.run();
        assert_eq!(again.told.len(), usize::from(wanted), "told where there is one by then");
        assert_eq!(again.written(kind::CALLED), usize::from(wanted));
        again.assert_nothing_left();
        again.assert_all_ended();
    }
}

/// A message that failed, of an app without an endpoint; the store does not take it.
fn failure_that_nobody_wanted() -> (World, MessageId) {
    let mut world = World::new();
    (world.wanted, world.keeping) = (false, false);
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.hear(A, "x", id, Failed);
    (world, id)
}

#[test]
fn what_nobody_wanted_is_not_told_after_its_correction() {
    let (mut world, id) = failure_that_nobody_wanted();
    assert!(world.told.is_empty());
    let mut before = world.crash();
    // The app is given an endpoint, which has the correction and has not answered yet when the gateway dies.
    (world.wanted, world.endpoint) = (true, false);
    world.hear(A, "x", id, Delivered);
    let correction = [("message.corrected", "delivered", "delivered")];
    assert_eq!(world.heard_of(id), correction);
    let mut early = world.crash();
    early.run();
    assert_eq!(early.heard_of(id), correction);
    world.report.told(world.now(), id, 2, Telling::Delivered, &mut world.log);
    let mut again = world.crash();
    again.run();
    assert_eq!(again.heard_of(id), [], "both are over");
    again.assert_nothing_left();
    // While the first is the last word, it is told.
    before.run();
    assert_eq!(before.heard_of(id).len(), 1);
}

#[test]
fn that_nobody_wanted_it_is_written_down_once_however_often_its_correction_is_refused() {
    let (mut world, id) = failure_that_nobody_wanted();
    assert_eq!(world.written(kind::CALLED), 0);
    world.wanted = true;
    world.log.full = true;
    world.hear(A, "x", id, Delivered);
    for _ in 0..5 {
        world.pass(Duration::from_millis(500));
        world.run();
    }
    assert!(world.written(kind::CALLED) <= 1 && world.told.is_empty(), "{} records", world.written(kind::CALLED));
    world.log.full = false;
    world.hear(A, "x", id, Delivered);
    world.pass(Duration::from_millis(500));
    world.run();
    assert_eq!(world.heard_of(id), [("message.corrected", "delivered", "delivered")]);
    assert_eq!(world.written(kind::CALLED), 2, "that nobody wanted it, and that the correction was told");
    let mut again = world.crash();
    again.run();
    assert_eq!(again.heard_of(id), []);
}

#[test]
fn a_receipt_after_the_crash_resolves_the_doubt() {
    let mut world = World::new();
    let id = world.accept(true);
    world.start(id, A, 1);
    let mut again = world.crash();
    again.hear(A, "x", id, Delivered);
    assert_eq!(again.concluded, [id]);
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    again.assert_nothing_left();
    again.assert_all_ended();
}

#[test]
fn a_receipt_that_waited_at_the_crash_resolves_the_doubt_at_the_start() {
    let mut world = World::new();
    let id = world.accept(true);
    world.start(id, A, 1);
    world.hear(A, "x", id, Delivered);
    let mut again = world.crash();
    assert!(again.found.as_ref().unwrap().waiting.is_empty(), "not sent again");
    again.run();
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    again.assert_nothing_left();
    again.assert_all_ended();
}

#[test]
fn what_a_receipt_found_at_the_start_moves_on_is_sent_and_not_stopped() {
    let mut world = World::new();
    world.further(vec![Rule { tier: TierId(0), attempts: 3, on_failed: true, receipt_within: None }]);
    let id = world.accept(true);
    world.start(id, A, 1);
    world.hear(A, "x", id, Failed);
    let mut again = world.crash();
    let waiting = again.found.as_ref().unwrap().waiting.clone();
    assert_eq!(waiting.iter().map(|r| (r.message.id, r.excluded.clone())).collect::<Vec<_>>(), [(id, vec![A])]);
    again.run();
    assert_eq!((again.concluded.clone(), again.again.len()), (vec![], 0), "the switch has it already");
    let second = again.start(id, B, 1);
    again.submitted(second, 0, "y");
    again.hear(B, "y", id, Delivered);
    again.assert_nothing_left();
    again.assert_all_ended();
}

#[test]
fn an_outcome_that_the_start_itself_comes_to_is_told_once_it_is_durable() {
    let mut world = World::new();
    let id = world.accept(true);
    world.start(id, A, 2);
    world.hear(A, "x1", id, Delivered);
    world.hear(A, "x2", id, Delivered);
    let mut again = world.crash();
    again.effects();
    assert!(again.told.is_empty(), "its record is not on disk");
    again.run();
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    again.assert_nothing_left();
    again.assert_all_ended();
}

#[test]
fn two_messages_in_doubt_for_one_number_claim_nothing_at_the_start() {
    let mut world = World::new();
    let id = world.accept(true);
    world.start(id, A, 1);
    world.hear(A, "x", id, Delivered);
    // The same destination again: ids differ by the numbers' range.
    world.next_id += 100_000_000 - 3;
    let twin = world.accept(true);
    assert_eq!(number(id), number(twin));
    world.start(twin, A, 1);
    let again = world.crash();
    assert_eq!(again.found.as_ref().unwrap().waiting.len(), 2);
    assert_eq!(again.report.orphans(), 1);
}

#[test]
fn a_claim_survives_the_next_crash() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.unanswered(attempt, 0);
    world.hear(A, "x", id, ReceiptState::Intermediate);
    let mut again = world.crash();
    assert!(again.found.as_ref().unwrap().waiting.is_empty());
    again.hear(A, "x", id, Delivered);
    assert_eq!(again.heard_of(id).len(), 1);
    again.assert_nothing_left();
}

#[test]
fn resends_in_doubt_count_as_attempts_after_a_restart_too() {
    let mut world = World::new();
    let id = world.accept(true);
    for _ in 0..2 {
        let attempt = world.start(id, A, 1);
        world.unanswered(attempt, 0);
    }
    let refused = world.start(id, A, 1);
    world.refused(refused, 0, Verdict::Retry);
    let elsewhere = world.start(id, A, 1);
    world.refused(elsewhere, 0, Verdict::Reroute);
    let found = world.crash().found.unwrap();
    assert_eq!((found.waiting[0].refused, found.waiting[0].in_doubt), (3, None));
    assert_eq!(found.waiting[0].excluded, [A]);
}

#[test]
fn a_restart_does_not_start_the_wait_for_receipts_anew() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.wall = Wall(world.wall.0 + (VALIDITY + RECEIPT_WAIT).as_millis() as u64 - 3_600_000);
    let mut again = world.crash();
    again.pass(Duration::from_secs(3_599));
    again.run();
    assert!(again.told.is_empty());
    again.pass(Duration::from_secs(1));
    again.run();
    assert_eq!(again.heard_of(id), [("message.expired", "expired", "no_receipt")]);
}

#[test]
fn receipts_kept_by_carriers_during_a_long_absence_come_before_the_wait_ends() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.wall = Wall(world.wall.0 + 10 * 86_400_000);
    let mut again = world.crash();
    again.pass(Duration::from_secs(599));
    again.hear(A, "x", id, Delivered);
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
}

#[test]
fn an_answer_found_on_a_channel_without_receipts_is_the_outcome() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, SILENT, 1);
    world.submitted(attempt, 0, "x");
    let written = world.log.entries.len() - 1;
    let mut again = world.restart(&world.log.entries[..written]);
    again.run();
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    let outcome = |e: &Entry| e.1.as_ref().is_some_and(|(k, _)| *k == kind::OUTCOME);
    let entry = again.log.entries.iter().find(|e| outcome(e)).unwrap().1.clone().unwrap();
    let Ok(Record::Outcome(outcome)) = Record::read(entry.0, &entry.1) else { unreachable!() };
    assert_eq!(outcome.channel, "silent", "names are known while notes are taken");
}

#[test]
fn events_not_told_are_told_after_the_restart_and_no_others() {
    let mut world = World::new();
    world.keeping = false;
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.hear(A, "x", id, Failed);
    world.endpoint = false;
    world.hear(A, "x", id, Delivered);
    let mut again = world.crash();
    again.run();
    assert_eq!(again.told.iter().map(|t| (t.seq, t.kind)).collect::<Vec<_>>(), [(2, "message.corrected")]);
    again.assert_nothing_left();
}

#[test]
fn an_orphan_of_three_days_ends_at_the_start() {
    let mut world = World::new();
    world.hear(A, "x", MessageId(1), Delivered);
    world.wall = Wall(world.wall.0 + 72 * 3_600_000);
    let again = world.crash();
    again.assert_nothing_left();
    again.assert_all_ended();
}

/// A small random generator, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the carrier will do with a part, fixed when it is sent.
struct Flight {
    message: MessageId,
    attempt: AttemptRef,
    part: u8,
    channel: ChannelId,
    fate: u64,
}

/// A receipt the carrier has to give until it is answered for good.
#[derive(Clone)]
struct Owed {
    channel: ChannelId,
    id: String,
    message: MessageId,
    state: ReceiptState,
    asked: Option<Inbound>,
}

/// The world with a simple switch and carriers on dice.
struct Play {
    world: World,
    dice: Dice,
    waiting: Vec<(MessageId, u32)>,
    flights: Vec<Flight>,
    owed: Vec<Owed>,
    /// Truth: attempts whose parts all got a delivered receipt, or were taken where there are none.
    truth: BTreeMap<AttemptRef, (MessageId, u8, u8)>,
    /// Those whose answers may be lost: their receipts need not find them.
    unsure: BTreeSet<AttemptRef>,
    accepted: Vec<MessageId>,
    /// Messages that went on to other channels.
    moved: usize,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut play = Play {
            world: World::new(),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            waiting: Vec::new(),
            flights: Vec::new(),
            owed: Vec::new(),
            truth: BTreeMap::new(),
            unsure: BTreeSet::new(),
            accepted: Vec::new(),
            moved: 0,
        };
        if seed.is_multiple_of(2) {
            let receipt_within = seed.is_multiple_of(4).then_some(Duration::from_secs(10));
            let rule = Rule { tier: TierId(0), attempts: 3, on_failed: true, receipt_within };
            play.world.further(vec![rule]);
        }
        for i in 0..3 {
            let id = play.world.accept(i != 2);
            play.accepted.push(id);
            play.waiting.push((id, 0));
        }
        play
    }

    fn step(&mut self) {
        match self.dice.roll(10) {
            0..3 if !self.waiting.is_empty() => self.start(),
            3..6 if !self.flights.is_empty() => self.land(),
            6..8 if !self.owed.is_empty() => self.report(),
            8 => self.world.commit(),
            _ => {
                // What goes on must have validity left.
                let pause = self.dice.roll(if self.world.further.is_empty() { 200_000 } else { 10_000 });
                self.world.pass(Duration::from_millis(pause));
            }
        }
        self.follow();
    }

    fn start(&mut self) {
        let index = self.dice.roll(self.waiting.len() as u64) as usize;
        let (message, tries) = self.waiting.remove(index);
        if tries == 3 {
            return self.world.exhausted(message, End::Attempts);
        }
        let channel = ChannelId(self.dice.roll(3) as u16);
        let parts = 1 + self.dice.roll(2) as u8;
        let attempt = AttemptRef(self.world.id().0);
        if !self.world.go_on(message, attempt, channel, parts, u64::MAX) {
            return;
        }
        self.truth.insert(attempt, (message, parts, 0));
        for part in 0..parts {
            let fate = self.dice.roll(12);
            self.flights.push(Flight { message, attempt, part, channel, fate });
            // The carrier may be quicker with its receipt than with its answer.
            if fate == 0 && channel != SILENT {
                self.owe(channel, attempt, part, message, Delivered);
            }
        }
    }

    fn owe(&mut self, channel: ChannelId, attempt: AttemptRef, part: u8, message: MessageId, state: ReceiptState) {
        if state == Delivered {
            self.truth.get_mut(&attempt).unwrap().2 += 1;
        }
        self.owed.push(Owed { channel, id: format!("{}-{part}", attempt.0), message, state, asked: None });
    }

    /// A part ends on the wire.
    fn land(&mut self) {
        let index = self.dice.roll(self.flights.len() as u64) as usize;
        let flight = self.flights.remove(index);
        let Flight { message, attempt, part, channel, fate } = flight;
        let ended = |world: &World| world.report.live(message).and_then(|l| l.detail.as_deref()).is_none_or(|d| d.done);
        let done = ended(&self.world);
        let id = format!("{}-{part}", attempt.0);
        match fate {
            0..6 => {
                self.world.submitted(attempt, part, &id);
                match (channel, fate) {
                    (SILENT, _) => self.truth.get_mut(&attempt).unwrap().2 += 1,
                    (_, 3) => {
                        // A carrier that changes its mind.
                        self.owe(channel, attempt, part, message, Failed);
                        self.owe(channel, attempt, part, message, Delivered);
                    }
                    (_, 1..3) => self.owe(channel, attempt, part, message, Delivered),
                    (_, 4) => self.owe(channel, attempt, part, message, Failed),
                    _ => {}
                }
            }
            6 => self.world.refused(attempt, part, Verdict::Retry),
            7 => self.world.refused(attempt, part, Verdict::Rejected),
            8 => self.world.answer(attempt, part, AnswerKind::Unanswered(Doubt::Unsent)),
            _ => {
                self.world.unanswered(attempt, part);
                if fate == 9 && channel != SILENT {
                    self.owe(channel, attempt, part, message, Expired);
                }
            }
        }
        // What was concluded while it flew goes on by the report's word only.
        if self.flights.iter().any(|f| f.attempt == attempt) || done || ended(&self.world) {
            return;
        }
        // As does what the carrier has had.
        self.world.effects();
        let detail = self.world.report.live(message).and_then(|l| l.detail.as_deref());
        let left = detail.is_some_and(|d| d.attempts.iter().any(|a| a.attempt == attempt && a.superseded));
        if left || self.world.again.iter().any(|(_, _, recovered)| recovered.message.id == message) {
            return;
        }
        match fate {
            7 => self.world.exhausted(message, End::Rejected),
            10 => self.world.exhausted(message, End::InDoubt),
            _ => {
                let tries = self.truth.values().filter(|(of, ..)| *of == message).count() as u32;
                self.waiting.push((message, tries.min(3)));
            }
        }
    }

    /// A carrier tells what it owes, perhaps not for the first time.
    fn report(&mut self) {
        let index = self.dice.roll(self.owed.len() as u64) as usize;
        let owed = self.owed[index].clone();
        let inbound = self.world.receive(owed.channel, &receipt(&owed.id, &number(owed.message), owed.state));
        self.owed[index].asked = Some(inbound);
    }

    /// Effects, and what follows for switch and carriers.
    fn follow(&mut self) {
        self.world.effects();
        for id in std::mem::take(&mut self.world.concluded) {
            self.waiting.retain(|(of, _)| *of != id);
        }
        for (_, _, recovered) in std::mem::take(&mut self.world.again) {
            self.waiting.push((recovered.message.id, u32::from(recovered.refused)));
            self.moved += 1;
        }
        let settled: Vec<_> = self.world.settled.iter().filter(|(_, durable)| *durable).map(|(i, _)| *i).collect();
        self.owed.retain(|o| o.asked.is_none_or(|asked| !settled.contains(&asked)));
    }

    /// Ends everything: links die, the switch gives up, carriers tell what they owe, days pass.
    fn finish(&mut self) {
        for Flight { attempt, part, .. } in std::mem::take(&mut self.flights) {
            self.unsure.insert(attempt);
            self.world.unanswered(attempt, part);
        }
        for _ in 0..4 {
            for id in self.accepted.clone() {
                let open = self.world.report.live(id).is_some_and(|l| l.detail.as_deref().is_none_or(|d| !d.done));
                if open {
                    self.world.exhausted(id, End::Attempts);
                }
            }
            self.world.run();
            self.follow();
            for owed in self.owed.clone() {
                self.world.receive(owed.channel, &receipt(&owed.id, &number(owed.message), owed.state));
            }
        }
        for _ in 0..5 {
            self.world.pass(Duration::from_secs(86_400));
            self.world.run();
        }
    }

    /// Cut after `k` records: what is not on disk is gone, and so are the links.
    fn cut(mut self, k: usize) -> Play {
        let entries = self.world.log.entries[..k].to_vec();
        let exact = self.dice.roll(2) as usize;
        self.world.store.clear();
        for (at, id, past) in &self.world.kept {
            if *at + exact <= k {
                self.world.store.insert(*id, past.clone());
            }
        }
        let world = self.world.restart(&entries);
        assert_eq!(picture(&world), picture(&self.world.restart(&[entries.clone(), entries.clone()].concat())));
        let mut waiting: Vec<_> = world.found.as_ref().unwrap().waiting.iter().map(|r| (r.message.id, 1)).collect();
        waiting.retain(|(id, _)| self.accepted.contains(id));
        let unsure = self.truth.keys().copied().collect();
        Play { world, waiting, flights: Vec::new(), unsure, ..self }
    }

    fn check(&self, told_before: &[Called], context: &str) {
        let world = &self.world;
        assert_eq!(world.report.census(), ([0; 5], [0; 6]), "{context}");
        for id in &self.accepted {
            assert!(world.ended(*id), "{context}: {id} has not ended");
            let records = world.log.entries.iter().filter(|(of, _)| of == id).filter_map(|(_, r)| r.as_ref());
            let outcomes = records.filter(|(k, _)| *k == kind::OUTCOME).map(|(k, octets)| {
                let Ok(Record::Outcome(outcome)) = Record::read(*k, octets) else { unreachable!() };
                (outcome.outcome, outcome.correction)
            });
            let outcomes: Vec<_> = outcomes.collect();
            assert_eq!(outcomes.iter().filter(|(_, correction)| !correction).count(), 1, "{context}: {outcomes:?}");
            assert!(!outcomes[0].1, "{context}: {outcomes:?}");
            let rank =
                |kind: OutcomeKind| (kind == OutcomeKind::Failed) as u8 + 2 * (kind == OutcomeKind::Delivered) as u8;
            assert!(outcomes.windows(2).all(|w| rank(w[0].0) < rank(w[1].0)), "{context}: {outcomes:?}");
            let delivered = self.truth.values().any(|(of, parts, got)| of == id && got == parts);
            let (_, detail) = super::super::history::restore(&world.store[id].history, &mut Names::default()).unwrap();
            let last = detail.outcome().unwrap().kind;
            assert!(last != OutcomeKind::Delivered || delivered, "{context}: {id} was not delivered");
            let whole = |(attempt, (of, parts, got)): (&AttemptRef, &(MessageId, u8, u8))| {
                of == id && got == parts && !self.unsure.contains(attempt)
            };
            assert!(last == OutcomeKind::Delivered || !self.truth.iter().any(whole), "{context}: {id} was delivered");
            if *id != self.accepted[2] {
                let told = || told_before.iter().chain(&world.told).filter(|t| t.id == *id);
                let seqs: BTreeSet<_> = told().map(|t| t.seq).collect();
                assert!(seqs.iter().copied().eq(1..=detail.seq()), "{context}: {id} {seqs:?} of {}", detail.seq());
                let kind = |t: &Called| (t.kind == "message.corrected") == (t.seq > 1);
                assert!(told().all(kind), "{context}");
            }
        }
    }
}

/// All that is known, for comparing.
fn picture(world: &World) -> String {
    let live: BTreeMap<_, _> = world.report.live.iter().map(|(id, live)| (id, &live.detail)).collect();
    let found = world.found.as_ref().unwrap();
    format!("{live:?} {:?} {:?}", world.report.census(), found.waiting)
}

#[test]
fn a_dialogue_cut_at_any_record_loses_nothing_and_ends_everything_once() {
    let (mut cuts, mut corrections, mut moved) = (0, 0, 0);
    for seed in 1..=200 {
        let whole = {
            let mut play = Play::new(seed);
            (0..80).for_each(|_| play.step());
            let before = play.world.log.entries.len();
            let told = play.world.told.clone();
            play.finish();
            play.check(&told, &format!("seed {seed}, whole"));
            corrections += play.world.told.iter().filter(|t| t.seq > 1).count();
            moved += play.moved;
            before
        };
        for k in 3..=whole {
            let mut play = Play::new(seed);
            while play.world.log.entries.len() < k {
                play.step();
            }
            let told = play.world.told.clone();
            let mut play = play.cut(k);
            for _ in 0..20 {
                play.step();
            }
            play.finish();
            play.check(&told, &format!("seed {seed}, cut at {k}"));
            moved += play.moved;
            corrections += play.world.told.iter().filter(|t| t.seq > 1).count();
            cuts += 1;
        }
    }
    assert!(
        cuts > 3_000 && corrections > 100 && moved > 100,
        "{cuts} cuts, {corrections} corrections, {moved} moved: the dice must reach everything"
    );
}
