//! Messages that go on to other channels: which, when, how often, and with one outcome.

use super::*;
use ReceiptState::{Delivered, Expired, Failed, Intermediate, Rejected, Unknown};

const WITHIN: Duration = Duration::from_secs(60);

fn rule(on_failed: bool, receipt_within: Option<Duration>) -> Vec<Rule> {
    vec![Rule { tier: TierId(0), attempts: 3, on_failed, receipt_within }]
}

/// A message that A's carrier has taken, under these rules.
fn taken(rules: Vec<Rule>, parts: u8) -> (World, MessageId) {
    let mut world = World::new();
    world.further(rules);
    let id = world.accept(true);
    let attempt = world.start(id, A, parts);
    for part in 0..parts {
        world.submitted(attempt, part, &format!("x{part}"));
    }
    world.run();
    (world, id)
}

/// What the switch was asked: the channels left out, attempts used, whether a duplicate is possible.
fn asked(world: &mut World) -> Vec<(Why, Vec<ChannelId>, u8, bool)> {
    std::mem::take(&mut world.again).into_iter().map(|(_, why, r)| (why, r.excluded, r.refused, r.doubtful)).collect()
}

#[test]
fn a_failed_receipt_ends_the_message_unless_the_tier_says_otherwise() {
    let (mut world, id) = taken(rule(false, None), 1);
    world.hear(A, "x0", id, Failed);
    assert_eq!((asked(&mut world), world.heard_of(id).len()), (vec![], 1));
    let (mut world, id) = taken(rule(true, None), 1);
    world.hear(A, "x0", id, Failed);
    assert_eq!(asked(&mut world), [(Why::Undelivered, vec![A], 1, false)]);
    assert!(world.told.is_empty(), "nothing is concluded yet");
    let second = world.start(id, B, 1);
    world.submitted(second, 0, "y");
    world.hear(B, "y", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    assert_eq!(world.duplicates, 0);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn a_receipt_found_by_its_number_alone_leaves_the_next_attempt_a_possible_duplicate() {
    let mut world = World::new();
    world.further(rule(true, None));
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.unanswered(attempt, 0);
    // It may be that of an earlier message to the same number, forgotten since.
    world.hear(A, "x", id, Failed);
    assert_eq!(asked(&mut world), [(Why::Undelivered, vec![A], 1, true)]);
    let found = world.crash().found.unwrap();
    assert_eq!(found.waiting.iter().map(|r| (r.message.id, r.doubtful)).collect::<Vec<_>>(), [(id, true)]);
}

#[test]
fn a_tier_that_only_waits_for_receipts_moves_nothing_that_failed() {
    let (mut world, id) = taken(rule(false, Some(WITHIN)), 1);
    world.hear(A, "x0", id, Failed);
    assert_eq!((asked(&mut world), world.heard_of(id).len()), (vec![], 1), "its receipt came, and decides");
}

#[test]
fn what_is_refused_for_its_number_or_text_does_not_go_on() {
    for (state, goes_on) in [(Failed, true), (Expired, true), (Unknown, true), (Rejected, false)] {
        let (mut world, id) = taken(rule(true, None), 1);
        world.hear(A, "x0", id, state);
        assert_eq!((asked(&mut world).len(), world.told.len()), if goes_on { (1, 0) } else { (0, 1) }, "{state:?}");
    }
}

#[test]
fn when_nobody_else_takes_it_the_outcome_is_what_the_receipt_said() {
    for end in [End::NoChannel, End::Attempts, End::Expired] {
        let (mut world, id) = taken(rule(true, None), 1);
        world.hear(A, "x0", id, Failed);
        world.exhausted(id, end);
        world.run();
        assert_eq!(world.heard_of(id), [("message.failed", "failed", "undelivered")], "{end:?}");
        world.assert_nothing_left();
    }
}

#[test]
fn attempts_and_validity_bound_how_far_it_goes() {
    let (mut world, id) = taken(rule(true, None), 1);
    world.hear(A, "x0", id, Failed);
    for (n, channel) in [(1, B), (2, A)] {
        let attempt = world.start(id, channel, 1);
        world.submitted(attempt, 0, &format!("y{n}"));
        world.hear(channel, &format!("y{n}"), id, Failed);
    }
    let used: Vec<u8> = asked(&mut world).iter().map(|(_, _, used, _)| *used).collect();
    assert_eq!((used, world.heard_of(id).len()), (vec![1, 2], 1), "three attempts, then it has failed");
    let (mut world, id) = taken(rule(true, None), 1);
    world.pass(VALIDITY - Duration::from_secs(5));
    world.hear(A, "x0", id, Failed);
    assert_eq!((asked(&mut world), world.heard_of(id).len()), (vec![], 1), "too late to be sent");
}

#[test]
fn a_missing_receipt_moves_it_on_and_a_late_one_still_decides() {
    let (mut world, id) = taken(rule(false, Some(WITHIN)), 2);
    world.hear(A, "x0", id, Intermediate);
    world.hear(A, "x1", id, Delivered);
    assert_eq!(world.report.deadline(), Some(world.time.after(WITHIN)));
    world.pass(WITHIN - Duration::from_millis(1));
    world.run();
    assert_eq!(asked(&mut world), []);
    world.pass(Duration::from_millis(1));
    world.run();
    assert_eq!(asked(&mut world), [(Why::NoReceipt, vec![A], 1, true)]);
    let second = world.start(id, B, 2);
    world.submitted(second, 0, "y0");
    world.hear(A, "x0", id, Intermediate);
    assert!(world.concluded.is_empty(), "the first attempt's word along the way stops nothing");
    world.submitted(second, 1, "y1");
    world.run();
    assert_eq!(world.duplicates, 1, "two carriers have it");
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.hear(B, "y0", id, Failed);
    world.hear(B, "y1", id, Failed);
    assert_eq!(world.heard_of(id).len(), 1);
    world.assert_nothing_left();
    world.assert_all_ended();
}

#[test]
fn an_answer_that_a_receipt_made_needless_is_not_waited_for() {
    for early in [Delivered, Intermediate] {
        let mut world = World::new();
        let id = world.accept(true);
        let attempt = world.start(id, EARLY, 2);
        world.hear(EARLY, &format!("early-{}-1", attempt.0), id, early);
        assert_eq!(world.concluded, [], "part 0 may be missing");
        world.submitted(attempt, 0, "e0");
        world.run();
        assert_eq!(world.concluded, [id], "{early:?}: the carrier has all of it, whatever becomes of the other answer");
        world.unanswered(attempt, 1);
        world.run();
        assert_eq!(world.concluded, [id]);
    }
    let (world, _) = taken(rule(true, None), 2);
    assert_eq!(world.concluded, [], "without a receipt the switch knows as much");
}

#[test]
fn a_late_delivery_cancels_the_resend() {
    let (mut world, id) = taken(rule(false, Some(WITHIN)), 1);
    world.pass(WITHIN);
    world.run();
    world.hear(A, "x0", id, Delivered);
    assert_eq!((asked(&mut world).len(), world.concluded.clone()), (1, vec![id]));
    assert_eq!(world.heard_of(id).len(), 1);
    world.assert_nothing_left();
}

#[test]
fn a_missing_receipt_with_nowhere_to_go_is_waited_for() {
    let (mut world, id) = taken(rule(false, Some(WITHIN)), 1);
    world.pass(WITHIN);
    world.run();
    world.exhausted(id, End::NoChannel);
    world.run();
    assert!(world.told.is_empty());
    world.hear(A, "x0", id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    let (mut world, id) = taken(rule(false, Some(WITHIN)), 1);
    world.pass(WITHIN);
    world.run();
    world.exhausted(id, End::NoChannel);
    world.pass(VALIDITY + RECEIPT_WAIT);
    world.run();
    assert_eq!(world.heard_of(id), [("message.expired", "expired", "no_receipt")]);
    world.assert_nothing_left();
}

#[test]
fn a_restart_comes_to_the_same_decision() {
    let (mut world, id) = taken(rule(true, Some(WITHIN)), 1);
    world.receive(A, &receipt("x0", &number(id), Failed));
    let mut again = world.crash();
    again.run();
    let found = again.found.as_ref().unwrap();
    let seen: Vec<_> =
        found.waiting.iter().map(|r| (r.message.id, r.excluded.clone(), r.refused, r.doubtful)).collect();
    assert_eq!(seen, [(id, vec![A], 1, false)]);
    assert_eq!((asked(&mut again), again.told.len()), (vec![], 0), "the switch is told once");
    // Once more, with the further attempt on the wire.
    let second = again.start(id, B, 1);
    let mut third = again.crash();
    let found = third.found.as_ref().unwrap();
    assert_eq!(found.waiting[0].in_doubt, Some((B, Doubt::Acked)));
    assert_eq!((found.waiting[0].excluded.clone(), found.waiting[0].refused), (vec![A], 1));
    third.submitted(second, 0, "y");
    third.hear(B, "y", id, Delivered);
    assert_eq!(third.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    third.assert_nothing_left();
}

#[test]
fn receipts_that_were_kept_while_we_were_away_come_before_a_message_moves_on() {
    let (mut world, _) = taken(rule(false, Some(WITHIN)), 1);
    world.wall = Wall(world.wall.0 + 100_000);
    let mut again = world.crash();
    assert!(again.found.as_ref().unwrap().waiting.is_empty());
    again.pass(Duration::from_secs(9));
    again.run();
    assert_eq!(asked(&mut again), []);
    again.pass(Duration::from_secs(51));
    again.run();
    assert_eq!(asked(&mut again).len(), 1);
}

#[test]
fn an_attempt_that_never_left_hides_no_missing_receipt_after_a_restart() {
    let mut world = World::new();
    world.further(rule(false, Some(WITHIN)));
    let id = world.accept(true);
    let first = world.start(id, A, 1);
    // What is in doubt goes again, comes back unsent, and the first answer comes after all.
    let second = world.start(id, B, 1);
    world.report.unsent(world.now(), (id, second), u64::MAX, &mut world.log);
    world.submitted(first, 0, "x");
    world.run();
    let mut again = world.crash();
    again.pass(WITHIN);
    again.run();
    assert_eq!(asked(&mut again).iter().map(|(why, ..)| *why).collect::<Vec<_>>(), [Why::NoReceipt]);
}

#[test]
fn the_timeline_tells_why_it_went_on() {
    let (mut world, id) = taken(rule(true, None), 1);
    world.pass(Duration::from_secs(1));
    world.hear(A, "x0", id, Failed);
    world.pass(Duration::from_secs(1));
    let second = world.start(id, B, 1);
    world.submitted(second, 0, "y");
    world.hear(B, "y", id, Delivered);
    let company = |name: &str| Some(name.to_uppercase());
    let story =
        super::super::tell::story(id, &world.store[&id].history, crate::report::story::Reader::App, company).unwrap();
    let told: Vec<_> = story.timeline.iter().map(|h| (h.event.as_str(), h.attempt, h.detail.as_deref())).collect();
    let code = Some("code");
    let expected = [
        ("accepted", None, None),
        ("attempt", Some(1), None),
        ("submitted", Some(1), None),
        ("receipt", Some(1), code),
        ("moved_on", Some(1), Some("undelivered")),
        ("attempt", Some(2), None),
        ("submitted", Some(2), None),
        ("receipt", Some(2), code),
        ("delivered", None, Some("delivered")),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_receipt_finds_an_unanswered_part_by_the_id_its_protocol_fixes() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, EARLY, 1);
    let known = format!("early-{}-0", attempt.0);
    // Before the answer, and after the link was given up.
    world.hear(EARLY, &known, id, Intermediate);
    assert_eq!((world.concluded.clone(), world.report.orphans()), (vec![id], 0));
    world.unanswered(attempt, 0);
    world.hear(EARLY, &known, id, Delivered);
    assert_eq!(world.heard_of(id), [("message.delivered", "delivered", "delivered")]);
    world.assert_nothing_left();
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, EARLY, 1);
    let mut again = world.crash();
    again.hear(EARLY, &format!("early-{}-0", attempt.0), id, Delivered);
    assert_eq!((again.concluded.clone(), again.heard_of(id).len()), (vec![id], 1), "after a crash, too");
    again.assert_nothing_left();
}

#[test]
fn an_answer_may_name_another_id_than_expected() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, EARLY, 1);
    world.submitted(attempt, 0, "x");
    world.hear(EARLY, "x", id, Delivered);
    assert_eq!(world.heard_of(id).len(), 1);
    world.assert_nothing_left();
}

#[test]
fn an_answer_may_name_the_id_that_another_part_was_expected_to_get() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, EARLY, 2);
    let others = early(EARLY, attempt, 1).unwrap().to_string();
    world.submitted(attempt, 0, &others);
    world.submitted(attempt, 1, "x");
    world.hear(EARLY, &others, id, Delivered);
    world.hear(EARLY, "x", id, Delivered);
    assert_eq!(world.heard_of(id).len(), 1);
    world.assert_nothing_left();
}

/// As two ids would be whose hashes meet.
#[test]
fn a_receipt_for_an_id_that_its_message_does_not_have_is_no_part_s() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.report.correlation.learn(A, &CarrierId::new(b"y"), id);
    world.hear(A, "y", id, Delivered);
    assert!(world.heard_of(id).is_empty());
    world.hear(A, "x", id, Delivered);
    assert_eq!(world.heard_of(id).len(), 1);
}

#[test]
fn parts_that_were_given_one_id_take_a_receipt_each() {
    for both_answered in [true, false] {
        let mut world = World::new();
        let id = world.accept(true);
        let attempt = world.start(id, A, 2);
        world.submitted(attempt, 0, "x");
        if both_answered {
            world.submitted(attempt, 1, "x");
        }
        world.hear(A, "x", id, Delivered);
        if !both_answered {
            world.submitted(attempt, 1, "x");
        }
        assert!(world.heard_of(id).is_empty());
        world.hear(A, "x", id, Delivered);
        assert_eq!(world.heard_of(id).len(), 1, "{both_answered}");
        world.assert_nothing_left();
    }
}

#[test]
fn a_repeated_receipt_of_a_finished_message_is_not_taken_for_one_in_doubt() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 1);
    world.submitted(attempt, 0, "x");
    world.hear(A, "x", id, Delivered);
    world.assert_nothing_left();
    world.next_id += 100_000_000 - 3;
    let twin = world.accept(true);
    assert_eq!(number(id), number(twin));
    let attempt = world.start(twin, A, 1);
    world.unanswered(attempt, 0);
    world.hear(A, "x", id, Delivered);
    assert!(world.heard_of(twin).is_empty(), "its carrier repeats the other one's");
    world.hear(A, "z", twin, Delivered);
    assert_eq!(world.heard_of(twin).len(), 1);
}

#[test]
fn poison_ends_the_message_at_once_and_a_delivery_corrects_it() {
    let mut world = World::new();
    let id = world.accept(true);
    for channel in [A, B, A] {
        let attempt = world.start(id, channel, 1);
        world.unanswered(attempt, 0);
    }
    world.keeping = false;
    world.exhausted(id, End::Poison);
    world.run();
    assert_eq!(world.heard_of(id), [("message.failed", "failed", "poison")]);
    world.hear(B, "y", id, Delivered);
    assert_eq!(world.heard_of(id)[1..], [("message.corrected", "delivered", "delivered")]);
}

#[test]
fn each_refused_run_of_a_continued_attempt_counts_after_a_restart() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, A, 2);
    world.submitted(attempt, 0, "x0");
    for _ in 0..2 {
        world.pass(Duration::from_millis(5));
        world.refused(attempt, 1, Verdict::Retry);
        world.pass(Duration::from_millis(5));
        assert!(world.go_on(id, attempt, A, 2, 0b10));
    }
    world.pass(Duration::from_millis(5));
    world.refused(attempt, 1, Verdict::Retry);
    for world in [world.crash(), world.restart(&[world.log.entries.clone(), world.log.entries.clone()].concat())] {
        let found = &world.found.as_ref().unwrap().waiting[0];
        assert_eq!((found.refused, found.in_doubt, found.doubtful), (3, None, true), "and the resend is counted");
    }
}

#[test]
fn the_class_of_a_doubt_outlives_a_restart() {
    let mut world = World::new();
    let id = world.accept(true);
    let attempt = world.start(id, B, 1);
    world.answer(attempt, 0, AnswerKind::Unanswered(Doubt::Unacked));
    assert_eq!(world.crash().found.unwrap().waiting[0].in_doubt, Some((B, Doubt::Unacked)));
}
