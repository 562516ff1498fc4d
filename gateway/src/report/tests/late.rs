//! Receipts for messages that only the store knows.

use super::*;
use ReceiptState::{Delivered, Failed};

/// A world with one message, failed, told and forgotten.
fn failed(parts: u8) -> (World, MessageId) {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, parts);
    for part in 0..parts {
        world.submitted(attempt, part, &format!("x{part}"));
    }
    world.pass(VALIDITY + RECEIPT_WAIT);
    world.run();
    assert_eq!(world.heard_of(id), [("message.expired", "expired", "no_receipt")]);
    world.assert_nothing_left();
    world.told.clear();
    (world, id)
}

fn outcomes(world: &World, id: MessageId) -> Vec<OutcomeKind> {
    let (_, detail) = super::super::history::restore(&world.store[&id].history, &mut Names::default()).unwrap();
    detail.outcomes.iter().map(|o| o.kind).collect()
}

#[test]
fn a_late_receipt_corrects_what_was_told() {
    let (mut world, id) = failed(1);
    world.hear(A, "x0", id, Failed);
    assert_eq!(world.heard_of(id), [("message.corrected", "failed", "undelivered")]);
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.heard_of(id)[1..], [("message.corrected", "delivered", "delivered")]);
    assert_eq!(world.told.iter().map(|t| t.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(outcomes(&world, id), [OutcomeKind::Expired, OutcomeKind::Failed, OutcomeKind::Delivered]);
    assert_eq!(world.counted[1..], [(OutcomeKind::Failed, true), (OutcomeKind::Delivered, true)]);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_late_receipt_that_says_nothing_new_is_counted_and_dropped() {
    let (mut world, id) = failed(1);
    world.hear(A, "x0", id, Delivered);
    world.told.clear();
    world.hear(A, "x0", id, Delivered);
    world.hear(A, "x0", id, Failed);
    assert!(world.told.is_empty());
    assert_eq!(world.late, [true, false, false]);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn parts_that_come_late_one_by_one_add_up() {
    let (mut world, id) = failed(2);
    world.hear(A, "x1", id, Delivered);
    assert!(world.told.is_empty());
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.corrected", "delivered", "delivered")]);
    world.assert_nothing_left();
}

#[test]
fn parts_that_come_late_together_add_up() {
    let (mut world, id) = failed(3);
    for part in ["x2", "x0", "x1"] {
        world.receive(A, &receipt(part, &number(id), Delivered));
    }
    world.run();
    assert_eq!(world.heard_of(id), [("message.corrected", "delivered", "delivered")]);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_receipt_that_comes_while_a_correction_is_being_told_is_not_lost() {
    let (mut world, id) = failed(1);
    world.endpoint = false;
    world.hear(A, "x0", id, Failed);
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.told.len(), 1);
    world.endpoint = true;
    world.report.told(world.now(), id, 2, Telling::Delivered, &mut world.log);
    world.run();
    assert_eq!(world.heard_of(id).len(), 2);
    assert_eq!(outcomes(&world, id).last(), Some(&OutcomeKind::Delivered));
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn the_carrier_is_answered_when_the_receipt_is_durable_not_when_its_message_is_found() {
    let (mut world, id) = failed(1);
    let inbound = world.receive(A, &receipt("x0", &number(id), Delivered));
    world.commit();
    assert_eq!(world.settled.last(), Some(&(inbound, true)));
    assert!(world.told.is_empty());
}

#[test]
fn an_id_that_a_carrier_has_given_again_corrects_no_stranger() {
    let (mut world, id) = failed(1);
    let other = world.accept(true);
    let attempt = world.start(other, A, 1);
    // Outruns its answer, under an id that the store knows from days ago.
    world.hear(A, "x0", other, Delivered);
    assert!(world.told.is_empty());
    world.submitted(attempt, 0, "x0");
    world.run();
    assert_eq!(world.heard_of(other).len(), 1);
    assert_eq!(outcomes(&world, id), [OutcomeKind::Expired]);
    world.assert_nothing_left();
}

#[test]
fn a_history_that_is_gone_leaves_its_receipt_waiting() {
    let (mut world, id) = failed(1);
    world.store.get_mut(&id).unwrap().history = vec![9, 9];
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.report.orphans(), 1);
    world.pass(Duration::from_secs(72 * 3600));
    world.run();
    world.assert_nothing_left();
}

#[test]
fn a_crash_anywhere_in_a_late_correction_tells_it_under_the_same_number() {
    let steps: [fn(&mut World, MessageId); 4] = [
        |world, _| world.commit(),
        |world, _| {
            world.endpoint = false;
            world.run();
        },
        |world, _| {
            world.keeping = false;
            world.run();
        },
        |world, id| {
            world.keeping = false;
            world.run();
            // On disk, and nobody has heard of it.
            let past = world.report.past(id, None).unwrap();
            world.store.insert(id, past);
        },
    ];
    for (i, step) in steps.into_iter().enumerate() {
        let (mut world, id) = failed(1);
        world.receive(A, &receipt("x0", &number(id), Delivered));
        step(&mut world, id);
        let mut again = world.crash();
        again.run();
        let told: Vec<_> = world.told.iter().chain(&again.told).map(|t| (t.seq, t.status)).collect();
        assert!(!told.is_empty() && told.iter().all(|t| *t == (2, "delivered")), "step {i}: {told:?}");
        assert_eq!(outcomes(&again, id), [OutcomeKind::Expired, OutcomeKind::Delivered], "step {i}");
        again.assert_nothing_left();
        again.assert_all_ended();
    }
}

#[test]
fn a_message_without_callbacks_is_corrected_in_its_history_only() {
    let mut world = World::new();
    let id = world.accept(false);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x0");
    world.hear(A, "x0", id, Failed);
    world.assert_nothing_left();
    world.hear(A, "x0", id, Delivered);
    assert!(world.told.is_empty());
    assert_eq!(outcomes(&world, id), [OutcomeKind::Failed, OutcomeKind::Delivered]);
    world.assert_nothing_left();
}
