//! Messages from their first attempt to their end, without a crash.

use super::*;
use ReceiptState::{Delivered, Failed, Intermediate};

#[test]
fn a_message_leaves_nothing_behind_once_it_is_told_and_stored() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 2);
    world.submitted(attempt, 0, "x1");
    world.submitted(attempt, 1, "x2");
    world.hear(A, "x1", id, Delivered);
    assert!(world.told.is_empty(), "one part is not the message");
    world.hear(A, "x2", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
    world.assert_all_ended();
    let (accepted, detail) = super::super::history::restore(&world.store[&id].history, &mut Names::default()).unwrap();
    assert_eq!((accepted.text, detail.to()), ("", number(id).as_str()), "the text ends with the message");
    assert_eq!(world.store[&id].ids.len(), 2);
    assert_eq!(world.store[&id].ids[0].0, name(A));
}

#[test]
fn nothing_is_told_before_its_record_is_durable() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    let inbound = world.receive(A, &receipt("x", "1", Delivered));
    world.effects();
    assert!(world.told.is_empty() && world.settled.is_empty());
    world.run();
    assert_eq!(world.settled, [(inbound, true)]);
    assert_eq!(world.told.len(), 1);
}

#[test]
fn a_receipt_that_outran_its_answer_waits_for_it() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    let inbound = world.receive(A, &receipt("x", &number(id), Delivered));
    world.run();
    assert_eq!(
        (world.settled.as_slice(), world.report.orphans()),
        (&[(inbound, true)][..], 1),
        "the carrier is answered"
    );
    world.submitted(attempt, 0, "x");
    world.run();
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    assert_eq!(world.unmatched, 0);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_receipt_that_outran_a_lost_answer_is_found_although_the_wall_clock_jumped() {
    for jump in [-3_600_000i64, 3_600_000] {
        let mut world = World::new();
        let id = world.accept(true);
        let attempt = world.start(id, A, 1);
        world.pass(Duration::from_secs(2));
        world.hear(A, "x", id, Delivered);
        world.pass(Duration::from_secs(1));
        world.wall = Wall(world.wall.0.saturating_add_signed(jump));
        world.unanswered(attempt, 0);
        world.run();
        assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")], "{jump} ms");
    }
}

#[test]
fn a_repeated_receipt_changes_nothing() {
    let mut world = World::new();
    (world.endpoint, world.keeping) = (false, false);
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    for state in [Delivered, Delivered, Failed, Intermediate, Delivered] {
        world.hear(A, "x", id, state);
    }
    assert_eq!(world.heard_of(id).len(), 1);
    assert_eq!(world.counted, [(OutcomeKind::Delivered, false)]);
    assert_eq!(world.settled.len(), 5, "each is answered");
}

#[test]
fn a_receipt_may_come_over_another_link_but_not_another_channel() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.hear(B, "x", id, Delivered);
    assert_eq!(world.told.len(), 0);
    let ack = Ack::Inbound(LinkId { channel: A.0, link: 7 }, 3, Inbound(99));
    let orphan = world.id();
    world.report.receipt(world.now(), A, &receipt("x", "1", Delivered), orphan, ack, &mut world.log);
    world.run();
    assert_eq!(world.told.len(), 1);
}

#[test]
fn one_failed_part_fails_the_message_and_the_others_receipts_change_nothing() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 2);
    world.submitted(attempt, 0, "x1");
    world.submitted(attempt, 1, "x2");
    world.hear(A, "x1", id, Failed);
    world.hear(A, "x2", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.failed", "failed", "undelivered")]);
}

#[test]
fn a_failed_receipt_of_the_first_attempt_leaves_the_second_its_chance() {
    let mut world = World::new();
    let id = world.accept(true);
    let first = world.start(id, A, 1);
    world.unanswered(first, 0);
    let second = world.start(id, B, 1);
    world.hear(A, "x", id, Failed);
    assert_eq!(world.concluded, [id], "the carrier has had it: no third attempt");
    assert!(world.told.is_empty());
    world.submitted(second, 0, "y");
    world.hear(B, "y", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
}

#[test]
fn a_superseded_attempt_may_still_deliver() {
    let mut world = World::new();
    let id = world.accept(true);
    let first = world.start(id, A, 1);
    world.unanswered(first, 0);
    let second = world.start(id, B, 1);
    world.submitted(second, 0, "y");
    world.hear(B, "y", id, Failed);
    assert!(world.told.is_empty(), "the first is in doubt still");
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
}

#[test]
fn a_message_is_not_forgotten_while_a_part_of_it_is_on_the_wire() {
    let mut world = World::new();
    let id = world.accept(true);
    let first = world.start(id, A, 1);
    world.unanswered(first, 0);
    let second = world.start(id, B, 1);
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.told.len(), 1);
    assert_eq!(world.report.len(), 1, "the second attempt has no answer yet");
    world.submitted(second, 0, "y");
    world.run();
    world.assert_nothing_left();
    assert_eq!(world.store[&id].ids.len(), 2, "a late receipt of either finds it");
}

#[test]
fn parts_that_were_throttled_go_again_in_the_same_attempt() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 3);
    world.refused(attempt, 0, Verdict::Throttled);
    world.submitted(attempt, 1, "x1");
    world.refused(attempt, 2, Verdict::Throttled);
    world.hear(A, "x1", id, Delivered);
    assert!(world.go_on(id, attempt, A, 3, 0b101));
    world.submitted(attempt, 0, "x0");
    world.submitted(attempt, 2, "x2");
    world.hear(A, "x0", id, Delivered);
    assert!(world.told.is_empty());
    world.hear(A, "x2", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
}

#[test]
fn an_attempt_that_could_not_be_written_leaves_no_trace_in_memory() {
    let mut world = World::new();
    let id = world.accept(true);
    for _ in 0..100 {
        let attempt = world.start(id, A, 2);
        world.report.unsent(world.now(), (id, attempt), u64::MAX, &mut world.log);
    }
    let detail = world.report.live(id).unwrap().detail.as_deref().unwrap();
    assert_eq!((detail.attempts.len(), world.report.census().1), (0, [0; 6]));
    assert!(world.told.is_empty());
    world.exhausted(id, End::Expired);
    world.run();
    assert_eq!(world.heard_of(id), [("message.expired", "expired", "validity")]);
    world.assert_nothing_left();
}

#[test]
fn no_receipt_ends_the_message_a_day_after_its_validity() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.pass(VALIDITY + RECEIPT_WAIT - Duration::from_millis(1));
    world.run();
    assert!(world.told.is_empty());
    assert_eq!(world.report.deadline(), Some(world.time.after(Duration::from_millis(1))));
    world.pass(Duration::from_millis(1));
    world.run();
    assert_eq!(world.heard_of(id), [("message.expired", "expired", "no_receipt")]);
    world.assert_nothing_left();
}

#[test]
fn a_doubt_that_nothing_resolves_ends_as_such() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.unanswered(attempt, 0);
    world.exhausted(id, End::InDoubt);
    world.run();
    assert!(world.told.is_empty(), "a receipt may come yet");
    world.pass(VALIDITY + RECEIPT_WAIT);
    world.run();
    assert_eq!(world.heard_of(id), [("message.expired", "expired", "in_doubt")]);
    world.assert_nothing_left();
}

#[test]
fn word_from_along_the_way_resolves_a_doubt_and_survives_the_lost_answer() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    let other = world.accept(true);
    let answered = world.start(other, A, 1);
    world.submitted(answered, 0, "z");
    world.unanswered(attempt, 0);
    world.hear(A, "x", id, Intermediate);
    assert_eq!(world.concluded, [id], "the carrier has it: no resend");
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.heard_of(id).len(), 1);
}

#[test]
fn a_receipt_that_came_before_its_link_was_given_up_resolves_the_doubt() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.report.orphans(), 1, "the attempt is not in doubt yet");
    world.pass(Duration::from_secs(10));
    world.unanswered(attempt, 0);
    world.run();
    assert_eq!(world.concluded, [id]);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_receipt_that_outran_the_second_answer_is_not_taken_for_the_first_attempts() {
    let mut world = World::new();
    let id = world.accept(true);
    let first = world.start(id, A, 2);
    world.unanswered(first, 0);
    world.unanswered(first, 1);
    let second = world.start(id, A, 2);
    world.hear(A, "y0", id, Delivered);
    assert_eq!(world.report.orphans(), 1, "whose it is will be known when the second is answered");
    world.submitted(second, 0, "y0");
    world.submitted(second, 1, "y1");
    world.hear(A, "y1", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
}

#[test]
fn a_later_receipt_corrects_the_outcome_and_the_first_event_stays_what_it_was() {
    let mut world = World::new();
    world.keeping = false;
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    // Both are concluded before the first is told.
    world.receive(A, &receipt("x", "1", Failed));
    world.receive(A, &receipt("x", "1", Delivered));
    world.run();
    let told = [("message.failed", "failed", "undelivered"), ("message.corrected", "delivered", "delivered")];
    assert_eq!(world.heard_of(id), told);
    assert_eq!(world.told.iter().map(|t| t.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.counted, [(OutcomeKind::Failed, false), (OutcomeKind::Delivered, true)]);
    world.hear(A, "x", id, Failed);
    assert_eq!(world.heard_of(id).len(), 2, "and never back");
}

#[test]
fn a_correction_while_the_store_writes_is_not_lost() {
    let mut world = World::new();
    world.keeping = false;
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.hear(A, "x", id, Failed);
    // The store has taken it, and is not done when the correction is told.
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.told.len(), 2);
    world.report.persisted(world.now(), id, &mut world.log);
    assert!(!world.ended(id) && world.report.len() == 1, "what the store has is not the last word");
    world.keeping = true;
    world.run();
    world.assert_nothing_left();
    let (_, detail) = super::super::history::restore(&world.store[&id].history, &mut Names::default()).unwrap();
    assert_eq!(detail.outcomes.len(), 2);
}

#[test]
fn an_outcome_the_journal_refused_is_written_again_after_a_pause() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.log.full = true;
    world.refused(attempt, 0, Verdict::Rejected);
    world.exhausted(id, End::Rejected);
    for _ in 0..3 {
        world.commit();
        assert!(world.log.refused.is_empty(), "not at once: a full disk must not keep us busy");
        world.pass(Duration::from_secs(1));
        assert_eq!(world.log.refused.len(), 1);
    }
    world.log.full = false;
    world.commit();
    world.pass(Duration::from_secs(1));
    world.run();
    assert_eq!(world.heard_of(id), [("message.failed", "failed", "rejected")]);
    world.assert_nothing_left();
}

#[test]
fn a_correction_is_written_and_told_after_the_outcome_it_corrects() {
    for refused in [false, true] {
        let mut world = World::new();
        let id = world.accept(true);
        let attempt = world.start(id, A, 1);
        world.submitted(attempt, 0, "x");
        world.log.full = refused;
        world.receive(A, &receipt("x", &number(id), Failed));
        world.log.full = false;
        // Its record is on its way to disk, or withdrawn and we have not heard of that.
        world.receive(A, &receipt("x", &number(id), Delivered));
        assert_eq!(world.written(kind::OUTCOME), usize::from(!refused), "the first at most");
        world.run();
        for _ in 0..2 {
            world.pass(Duration::from_millis(500));
            world.run();
        }
        assert_eq!(
            world.told.iter().map(|told| (told.seq, told.status)).collect::<Vec<_>>(),
            [(1, "failed"), (2, "delivered")]
        );
        assert_eq!(world.written(kind::OUTCOME), 2);
        world.assert_nothing_left();
        let ended = world.log.entries.iter().rposition(|(of, record)| *of == id && record.is_none()).unwrap();
        let mut again = world.restart(&world.log.entries[..ended]);
        again.run();
        assert!(again.told.is_empty(), "both are known to be told: {:?}", again.told);
    }
}

#[test]
fn a_receipt_the_journal_refused_is_left_to_the_carrier() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.log.full = true;
    let inbound = world.receive(A, &receipt("x", "1", Delivered));
    world.commit();
    assert_eq!(world.settled, [(inbound, false)]);
    let mut again = world.crash();
    again.hear(A, "x", id, Delivered);
    assert_eq!(again.heard_of(id), [("message.delivered", "delivered", "delivered")]);
}

#[test]
fn a_receipt_nobody_knows_that_the_journal_refused_does_not_hide_its_repetition() {
    let mut world = World::new();
    let id = world.accept(true);
    world.start(id, A, 1);
    // It outran its answer.
    let early = receipt("x", &number(id), Delivered);
    world.log.full = true;
    let refused = world.receive(A, &early);
    world.run();
    world.log.full = false;
    let kept = world.receive(A, &early);
    world.run();
    assert_eq!(world.settled, [(refused, false), (kept, true)]);
    let mut after = world.crash();
    after.run();
    assert_eq!(after.heard_of(id), [("message.delivered", "delivered", "delivered")]);
}

#[test]
fn an_app_without_callbacks_is_not_told_and_its_message_ends_all_the_same() {
    let mut world = World::new();
    let id = world.accept(false);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.keeping = false;
    world.hear(A, "x", id, Failed);
    // A slip elsewhere must do no harm.
    world.report.told(world.now(), id, 1, Telling::Delivered, &mut world.log);
    world.report.told(world.now(), id, 200, Telling::Delivered, &mut world.log);
    world.hear(A, "x", id, Delivered);
    world.keeping = true;
    world.report.persisted(world.now(), id, &mut world.log);
    world.run();
    assert!(world.told.is_empty());
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_channel_without_receipts_delivers_by_its_answer() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, SILENT, 2);
    world.submitted(attempt, 0, "x");
    world.run();
    assert!(world.told.is_empty());
    world.answer(attempt, 1, AnswerKind::Submitted(None));
    world.run();
    assert_eq!(world.heard_of(id).len(), 1);
    world.assert_nothing_left();
}

#[test]
fn carriers_ids_are_kept_since_receipts_may_come_though_none_are_expected() {
    let mut world = World::new();
    for channel in [SILENT, A] {
        let id = world.accept(true);
        let attempt = world.start(id, channel, 1);
        world.submitted(attempt, 0, "x");
        let body = world.body(id).unwrap();
        let accepted = crate::journal::record::Outline::of(&body);
        assert!(accepted.is_some());
        let mut shown = 0;
        assert!(world.report.finished(id, accepted.as_ref(), &mut Vec::new(), |_, _| shown += 1));
        assert_eq!(shown, 1);
    }
}

#[test]
fn a_message_whose_body_is_lost_ends_and_is_stored_with_what_is_known() {
    let mut world = World::new();
    let id = world.accept(true);
    world.log.entries.clear();
    world.exhausted(id, End::BodyLost);
    world.run();
    assert_eq!(world.heard_of(id), [("message.failed", "failed", "damaged")]);
    world.assert_nothing_left();
    let (accepted, _) = super::super::history::restore(&world.store[&id].history, &mut Names::default()).unwrap();
    assert_eq!((accepted.app, accepted.tier), ("shop", "otp"));
}

#[test]
fn nothing_starts_for_a_message_that_has_come_to_its_end() {
    let mut world = World::new();
    world.endpoint = false;
    let id = world.accept(true);
    let first = world.start(id, A, 1);
    world.unanswered(first, 0);
    world.hear(A, "x", id, Delivered);
    assert!(!world.go_on(id, AttemptRef(7), B, 1, u64::MAX), "its body was being read when the receipt came");
    assert!(!world.go_on(id, first, A, 1, 1));
}

#[test]
fn a_receipt_nobody_knows_is_counted_after_a_minute_and_kept_for_three_days() {
    let mut world = World::new();
    world.hear(A, "x", MessageId(5), Delivered);
    world.pass(Duration::from_secs(59));
    world.run();
    assert_eq!(world.unmatched, 0);
    world.pass(Duration::from_secs(1));
    world.run();
    assert_eq!((world.unmatched, world.report.orphans()), (1, 1));
    world.pass(Duration::from_secs(72 * 3600));
    world.run();
    assert_eq!(world.unmatched, 1);
    world.assert_nothing_left();
    world.assert_all_ended();
}
