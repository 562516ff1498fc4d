//! The queue in small dialogues, one promise each; then random endpoints, disks and restarts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::ids::MessageId;

const SECOND: Duration = Duration::from_secs(1);

fn queue() -> Queue {
    Queue::new(Settings::default(), false)
}

/// Both clocks at once, from microseconds.
fn at(time: u64) -> Moment {
    Moment { time: Time(time), wall: Wall(1_700_000_000_000 + time / 1_000) }
}

fn event(n: u32) -> (EventRef, Vec<u8>) {
    let which = EventRef { id: MessageId(u64::from(n)), seq: 1, at: Wall(0) };
    (which, format!("{{\"n\":{n}}}").into_bytes())
}

fn push(queue: &mut Queue, now: Moment, events: std::ops::Range<u32>) {
    events.map(event).for_each(|(which, json)| queue.push(now, which, &json));
}

fn called(step: Option<Step>) -> Option<Letter> {
    match step {
        Some(Step::Call(letter)) => Some(letter),
        Some(other) => panic!("{other:?} instead of a call"),
        None => None,
    }
}

/// The next step, at the time it is due; panics where nothing ever is.
fn step(queue: &mut Queue, now: &mut Moment) -> Step {
    if let Some(step) = queue.next(*now) {
        return step;
    }
    let due = queue.deadline(*now).expect("something is due");
    assert!(due > now.time, "a deadline that has passed has nothing to offer: the courier would spin");
    *now = at(due.0);
    queue.next(*now).expect("what the deadline promised")
}

fn failed() -> Called {
    Called::Failed("answered 500".into(), None)
}

/// A letter that has just been written down comes back when it is due.
fn comes_back(queue: &mut Queue, letter: Letter, due: Wall, now: &mut Moment) -> Letter {
    queue.settled(letter.events.len());
    assert_eq!(step(queue, now), Step::Fetch(LOOK_AHEAD), "one that rests would ask for one only");
    assert!(now.wall >= due);
    let place = Some(Place { due, number: MessageId(1) });
    queue.fetched(vec![Letter { place, ..letter }], None);
    called(queue.next(*now)).expect("it is due")
}

#[test]
fn an_event_alone_goes_at_once_and_the_next_ones_together() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..1);
    let first = called(queue.next(now)).expect("at once");
    assert_eq!(&first.body[..], b"{\"events\":[{\"n\":0}]}");
    assert_eq!(first.id, "000000000000-1");
    push(&mut queue, now, 1..4);
    assert_eq!(queue.next(now), None, "company may come while a call is under way");
    let Step::Call(second) = step(&mut queue, &mut now) else { panic!("not a call") };
    assert_eq!((second.events.len(), now.time), (3, Time(20_000)));
    assert_eq!(&second.body[..], b"{\"events\":[{\"n\":1},{\"n\":2},{\"n\":3}]}");
    push(&mut queue, now, 4..6);
    queue.answered(now, first, Called::Taken, 0.5);
    queue.answered(now, second, Called::Taken, 0.5);
    assert_eq!(called(queue.next(now)).map(|l| l.events.len()), Some(2), "nothing under way: no waiting");
}

#[test]
fn a_wait_that_was_asked_for_outlasts_an_older_call_that_succeeds() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..200);
    let [older, refused] = [(); 2].map(|()| called(queue.next(now)).expect("a full letter goes"));
    let busy = Called::Failed("answered 429".into(), Some(SECOND * 60));
    let Ended { letter, .. } = queue.answered(now, refused, busy, 0.5);
    queue.settled(letter.events.len());
    queue.answered(now, older, Called::Taken, 0.5);
    assert_eq!(queue.state(), State::Resting);
    push(&mut queue, now, 200..201);
    assert!(matches!(step(&mut queue, &mut now), Step::Keep(..)), "no call before the minute is over");
    now = at(60_000_000);
    push(&mut queue, now, 201..202);
    let trial = called(queue.next(now)).expect("the minute is over");
    queue.answered(now, trial, Called::Taken, 0.5);
    assert_eq!(queue.state(), State::Ok);
}

#[test]
fn a_long_wait_asked_for_leaves_a_letter_its_last_call() {
    let mut queue = Queue::new(Settings { give_up_after: SECOND * 60, ..Settings::default() }, false);
    let now = at(0);
    push(&mut queue, now, 0..1);
    let first = called(queue.next(now)).expect("at once");
    let busy = || Called::Failed("answered 503".into(), Some(SECOND * 3_600));
    let Ended { letter, fate, .. } = queue.answered(now, first, busy(), 0.5);
    assert_eq!(fate, Fate::Again(at(60_000_000).wall), "as late as it may be");
    let last = queue.answered(at(60_000_000), letter, busy(), 0.5);
    assert_eq!(last.fate, Fate::Dead);
}

#[test]
fn letters_keep_their_limits_and_full_ones_do_not_wait() {
    let (mut queue, now) = (queue(), at(0));
    push(&mut queue, now, 0..250);
    let sizes: Vec<usize> = std::iter::from_fn(|| called(queue.next(now))).map(|l| l.events.len()).collect();
    assert_eq!(sizes, [100, 100], "the rest waits for its linger");
    let limit = Settings { batch_octets: 40, ..Settings::default() };
    let mut queue = Queue::new(limit, false);
    push(&mut queue, now, 0..9);
    let (mut now, mut events) = (now, 0);
    while events < 9 {
        let Step::Call(letter) = step(&mut queue, &mut now) else { panic!("not a call") };
        assert!(letter.body.len() <= 40, "{}", letter.body.len());
        events += letter.events.len();
    }
}

#[test]
fn calls_at_once_are_bounded_and_what_waits_behind_them_is_written_down() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..5_000);
    let calls: Vec<Letter> = std::iter::from_fn(|| called(queue.next(now))).collect();
    assert_eq!(calls.len(), 16);
    let before = now;
    let Step::Keep(letter, due) = step(&mut queue, &mut now) else { panic!("not kept") };
    assert_eq!((now.time.since(before.time), due, letter.events.len()), (SECOND, now.wall, 100));
    let kept = std::iter::from_fn(|| queue.next(now)).filter(|step| matches!(step, Step::Keep(..))).count();
    assert_eq!(kept, 33, "everything that cannot go");
    assert_eq!(queue.open(), 5_000, "until it is on disk");
    queue.settled(3_400);
    assert_eq!(queue.room(), Settings::default().most_events - 1_600);
}

#[test]
fn an_endpoint_that_takes_calls_keeps_the_disk_out_of_it() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..8_000);
    let mut calls: VecDeque<Letter> = std::iter::from_fn(|| called(queue.next(now))).collect();
    while let Some(call) = calls.pop_front() {
        // Slow enough that the last events wait for many seconds.
        now = at(now.time.0 + 400_000);
        queue.answered(now, call, Called::Taken, 0.5);
        calls.extend(std::iter::from_fn(|| called(queue.next(now))));
    }
    assert_eq!(queue.open(), 0);
    push(&mut queue, now, 0..10_100);
    let kept = std::iter::from_fn(|| queue.next(now)).filter(|step| matches!(step, Step::Keep(..))).count();
    assert_eq!(kept, 0, "16 calls take the excess");
    push(&mut queue, now, 0..2_000);
    let kept = std::iter::from_fn(|| queue.next(now)).filter(|step| matches!(step, Step::Keep(..))).count();
    assert_eq!(kept, 5, "memory has its bound all the same: 10,500 events less 500");
}

#[test]
fn a_letter_is_repeated_unchanged_by_the_schedule_for_a_day() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..3);
    let mut letter = called(queue.next(now)).expect("at once");
    let (id, body) = (letter.id.clone(), letter.body.clone());
    let mut waits = Vec::new();
    let dead = loop {
        let ended = queue.answered(now, letter, failed(), 0.5);
        let Fate::Again(due) = ended.fate else { break ended };
        let failed = now;
        // An endpoint that fails alone must not open its circuit here: another letter gets through in between.
        queue.failures = 0;
        letter = comes_back(&mut queue, ended.letter, due, &mut now);
        assert_eq!((&letter.id, &letter.body), (&id, &body));
        waits.push(now.time.since(failed.time).as_secs());
    };
    assert_eq!(waits[..6], [5, 30, 120, 600, 1_800, 3_600]);
    assert!(waits[6..].iter().all(|wait| *wait == 3_600));
    assert_eq!(waits.len(), 28, "hourly until a day is over");
    assert_eq!((dead.fate, dead.letter.tries, &*dead.letter.failure), (Fate::Dead, 29, "answered 500"));
    assert!(queue.is_idle());
}

#[test]
fn jitter_and_the_endpoints_own_wish_move_the_next_call() {
    for (jitter, asked, want) in
        [(0.0, None, 4_000), (1.0, None, 6_000), (0.0, Some(60 * SECOND), 60_000), (0.5, Some(SECOND), 5_000)]
    {
        let (mut queue, now) = (queue(), at(0));
        push(&mut queue, now, 0..1);
        let letter = called(queue.next(now)).expect("at once");
        let ended = queue.answered(now, letter, Called::Failed(String::new(), asked), jitter);
        assert_eq!(ended.fate, Fate::Again(Wall(now.wall.0 + want)));
        push(&mut queue, now, 1..2);
        assert_eq!(called(queue.next(now)).is_some(), asked.is_none(), "an endpoint that asks for rest gets it");
    }
}

#[test]
fn ten_failures_rest_the_endpoint_and_a_trial_wakes_it() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..1_600);
    let calls: Vec<Letter> = std::iter::from_fn(|| called(queue.next(now))).collect();
    assert_eq!(calls.len(), 16);
    let mut disk = BTreeMap::new();
    let mut tripped = Vec::new();
    for (n, letter) in (0..).zip(calls) {
        let ended = queue.answered(now, letter, failed(), 0.5);
        let Fate::Again(due) = ended.fate else { panic!("{:?}", ended.fate) };
        let place = Place { due, number: MessageId(n) };
        disk.insert(place, Letter { place: Some(place), ..ended.letter });
        queue.settled(100);
        tripped.push(ended.tripped);
    }
    assert_eq!(tripped.iter().position(|t| *t), Some(9));
    assert_eq!(tripped.iter().filter(|t| **t).count(), 1);
    assert_eq!(queue.state(), State::Resting);
    let mut trial = |queue: &mut Queue, now: &mut Moment, called_with: Called| {
        let before = *now;
        assert_eq!(step(queue, now), Step::Fetch(1), "no more than the trial needs");
        assert_eq!(now.time.since(before.time), 30 * SECOND);
        let (place, letter) = disk.pop_first().expect("it was written down");
        assert!(place.due <= now.wall);
        queue.fetched(vec![letter], disk.keys().next().map(|place| place.due));
        let letter = called(queue.next(*now)).expect("the trial");
        assert_eq!((queue.next(*now), queue.deadline(*now)), (None, None), "one trial at a time");
        let ended = queue.answered(*now, letter, called_with, 0.5);
        if let Fate::Again(due) = ended.fate {
            let place = Place { due, number: MessageId(99) };
            disk.insert(place, Letter { place: Some(place), ..ended.letter });
        }
    };
    for _ in 0..3 {
        trial(&mut queue, &mut now, failed());
    }
    trial(&mut queue, &mut now, Called::Taken);
    assert_eq!(queue.state(), State::Ok);
    assert_eq!(queue.next(now), Some(Step::Fetch(LOOK_AHEAD)), "back to full speed");
}

#[test]
fn a_letter_that_fails_alone_rests_nobody() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..1);
    let mut poisoned = called(queue.next(now)).expect("at once");
    for n in 1..25 {
        let ended = queue.answered(now, poisoned, failed(), 0.5);
        let Fate::Again(due) = ended.fate else { panic!("dead after {n}") };
        push(&mut queue, now, n..n + 1);
        let other = called(queue.next(now)).expect("at once, whatever fails beside it");
        queue.answered(now, other, Called::Taken, 0.5);
        poisoned = comes_back(&mut queue, ended.letter, due, &mut now);
        // Nothing else came for hours: its failures are its own.
        queue.answered(now, poisoned.clone(), failed(), 0.5);
        assert_eq!(queue.state(), State::Ok);
        queue.calls += 1;
        queue.kept_calls += 1;
    }
}

#[test]
fn what_is_fresh_finds_a_call_beside_any_backlog() {
    let (mut queue, now) = (Queue::new(Settings::default(), true), at(0));
    let Some(Step::Fetch(most)) = queue.next(now) else { panic!("letters of before are fetched") };
    let place = |n| Some(Place { due: Wall(0), number: MessageId(n) });
    let letter = |n| Letter { place: place(n), ..Draft::new(0, 0, None).done(Wall(0)) };
    queue.fetched((0..most as u64).map(letter).collect(), Some(Wall(0)));
    let calls = std::iter::from_fn(|| queue.next(now)).filter(|step| matches!(step, Step::Call(_))).count();
    assert_eq!(calls, 12);
    push(&mut queue, now, 0..100);
    assert!(called(queue.next(now)).is_some_and(|letter| letter.place.is_none()));
}

#[test]
fn what_is_of_the_first_tier_goes_before_a_mass_of_others_and_memory_holds_no_more_of_them() {
    let (mut queue, mut now) = (queue(), at(0));
    let (in_flight, most) = (Settings::default().in_flight, Settings::default().most_events);
    let (mut told, mut calls, mut kept) = (0, VecDeque::new(), 0);
    while kept < 60_000 {
        // A hundred thousand end at once: whoever tells looks for room.
        let room = u32::try_from(queue.room()).unwrap().min(100_000 - told);
        push(&mut queue, now, told..told + room);
        told += room;
        assert!(queue.open() <= most);
        match queue.next(now) {
            Some(Step::Call(letter)) => calls.push_back(letter),
            Some(Step::Keep(letter, _)) => {
                kept += letter.events.len();
                queue.settled(letter.events.len());
            }
            // What is on disk comes back when calls are free.
            Some(Step::Fetch(_)) => queue.fetched(Vec::new(), None),
            other => panic!("{other:?}"),
        }
        assert!(calls.len() <= in_flight);
    }
    now = at(1_000);
    for (which, json) in [200_001, 200_002].map(event) {
        queue.push_first(now, which, &json);
    }
    while let Some(step) = queue.next(now) {
        match step {
            Step::Keep(letter, _) => {
                assert!(letter.events.iter().all(|event| event.id.0 < 200_000), "not written down")
            }
            Step::Fetch(_) => queue.fetched(Vec::new(), None),
            other => panic!("{other:?}"),
        }
    }
    let ended = queue.answered(now, calls.pop_front().unwrap(), Called::Taken, 0.5);
    assert_eq!(ended.fate, Fate::Delivered);
    let next = called(queue.next(now)).expect("a call is free");
    let ids: Vec<u64> = next.events.iter().take(2).map(|event| event.id.0).collect();
    assert_eq!((ids, next.events.len()), (vec![200_001, 200_002], 100), "first, and with company");
}

#[test]
fn an_endpoint_that_is_gone_is_called_no_more_until_it_is_resumed() {
    let (mut queue, mut now) = (queue(), at(0));
    push(&mut queue, now, 0..200);
    let first = called(queue.next(now)).expect("at once");
    let second = called(queue.next(now)).expect("full");
    let ended = queue.answered(now, first, Called::Gone, 0.5);
    assert_eq!((ended.fate, ended.gone, queue.state()), (Fate::Dead, true, State::Disabled));
    queue.settled(100);
    let ended = queue.answered(now, second, failed(), 0.5);
    assert_eq!((ended.fate, ended.gone), (Fate::Dead, false));
    queue.settled(100);
    push(&mut queue, now, 200..210);
    let Step::Bury(letter) = step(&mut queue, &mut now) else { panic!("not buried") };
    assert_eq!((letter.events.len(), &*letter.failure), (10, "the endpoint is disabled"));
    queue.settled(10);
    assert_eq!((queue.next(now), queue.deadline(now)), (None, None));
    queue.resume();
    push(&mut queue, now, 210..211);
    assert!(called(queue.next(now)).is_some());
}

#[test]
fn a_failed_trial_says_which_letters_on_disk_are_overdue() {
    let settings = Settings { trip_after: 1, ..Settings::default() };
    let (mut queue, now) = (Queue::new(settings, false), at(0));
    push(&mut queue, now, 0..1);
    let letter = called(queue.next(now)).expect("at once");
    let ended = queue.answered(now, letter, failed(), 0.5);
    assert_eq!(ended.overdue, Some(Wall(now.wall.0 - 24 * 3_600_000)));
}

/// A world around the queue: an endpoint with moods, a disk that takes its time, a journal that remembers what was not
/// settled, and crashes.
#[derive(Default)]
struct World {
    waiting: BTreeMap<Place, Letter>,
    dead: BTreeSet<MessageId>,
    out: BTreeMap<u64, Letter>,
    /// With the time they were given at.
    orders: VecDeque<(Wall, Step)>,
    calls: Vec<Letter>,
    /// What the journal still has.
    journal: BTreeMap<MessageId, (EventRef, Vec<u8>)>,
    delivered: BTreeSet<MessageId>,
    bodies: BTreeMap<MessageId, (String, Vec<EventRef>)>,
    numbers: u64,
}

#[derive(Clone, Debug)]
enum Happening {
    Told(u8),
    Time(u32),
    /// The disk does so many of its orders.
    Disk(u8),
    /// The endpoint ends its oldest calls in this way.
    Calls(u8, u8),
    Crash,
    Resume,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1u8..8).prop_map(Happening::Told),
        4 => (0u32..40_000_000).prop_map(Happening::Time),
        4 => (1u8..8).prop_map(Happening::Disk),
        4 => (1u8..8, 0u8..12).prop_map(|(n, mood)| Happening::Calls(n, mood)),
        1 => Just(Happening::Crash),
        1 => Just(Happening::Resume),
    ]
}

impl World {
    fn settings() -> Settings {
        Settings {
            in_flight: 3,
            batch_events: 4,
            schedule: vec![SECOND, 4 * SECOND],
            give_up_after: 60 * SECOND,
            trip_after: 3,
            trial_every: 5 * SECOND,
            ..Settings::default()
        }
    }

    /// Everything the queue wants now.
    fn serve(&mut self, queue: &mut Queue, now: Moment) {
        for _ in 0..10_000 {
            match queue.next(now) {
                Some(Step::Call(letter)) => {
                    assert!(self.calls.len() < 3, "calls are bounded");
                    if let Some(place) = letter.place {
                        assert!(place.due <= now.wall, "called before it is due");
                    }
                    self.calls.push(letter);
                }
                Some(step) => self.orders.push_back((now.wall, step)),
                None => return,
            }
        }
        panic!("the queue never rests");
    }

    /// A letter once on disk never changes, and an event is in one letter only.
    fn write(&mut self, letter: &Letter) {
        for event in &letter.events {
            let known = self.bodies.entry(event.id).or_insert_with(|| (letter.id.clone(), letter.events.clone()));
            assert_eq!(*known, (letter.id.clone(), letter.events.clone()), "{} is in two letters", event.id);
            self.journal.remove(&event.id);
        }
    }

    fn disk(&mut self, queue: &mut Queue) {
        let Some((given, order)) = self.orders.pop_front() else { return };
        match order {
            Step::Keep(letter, due) => {
                self.write(&letter);
                queue.settled(letter.events.len());
                self.numbers += 1;
                let place = Place { due, number: MessageId(self.numbers) };
                self.waiting.insert(place, Letter { place: Some(place), ..letter });
            }
            Step::Bury(letter) => {
                if let Some(place) = letter.place {
                    self.out.remove(&place.number.0);
                    self.waiting.remove(&place);
                } else {
                    self.write(&letter);
                    queue.settled(letter.events.len());
                }
                self.dead.extend(letter.events.iter().map(|event| event.id));
            }
            Step::Fetch(most) => {
                let free = |out: &BTreeMap<u64, Letter>, place: &Place| !out.contains_key(&place.number.0);
                let out = &self.out;
                let rest: Vec<&Letter> =
                    self.waiting.values().filter(|l| l.place.is_some_and(|p| free(out, &p))).collect();
                let due = |letter: &&&Letter| letter.place.is_some_and(|place| place.due <= given);
                let count = rest.iter().take_while(due).take(most).count();
                let next = rest.get(count).and_then(|letter| Some(letter.place?.due));
                let letters: Vec<Letter> = rest[..count].iter().map(|letter| (*letter).clone()).collect();
                let numbered = letters.iter().filter_map(|l| Some((l.place?.number.0, l.clone())));
                self.out.extend(numbered.collect::<Vec<_>>());
                queue.fetched(letters, next);
            }
            Step::Call(_) => unreachable!("calls are no orders"),
        }
    }

    fn end_call(&mut self, queue: &mut Queue, now: Moment, mood: u8) {
        if self.calls.is_empty() {
            return;
        }
        let letter = self.calls.remove(0);
        let called = match mood {
            0..=4 => Called::Taken,
            5 => Called::Gone,
            6 => Called::Failed(String::new(), Some(3 * SECOND)),
            _ => failed(),
        };
        let taken = called == Called::Taken;
        let Ended { letter, fate, .. } = queue.answered(now, letter, called, 0.3);
        if let Some(place) = letter.place {
            self.out.remove(&place.number.0);
            self.waiting.remove(&place);
        }
        match fate {
            Fate::Delivered => {
                assert!(taken);
                for event in &letter.events {
                    self.journal.remove(&event.id);
                    self.delivered.insert(event.id);
                }
            }
            Fate::Again(due) if letter.place.is_some() => {
                let place = Place { due, ..letter.place.unwrap_or(Place { due, number: MessageId(0) }) };
                self.waiting.insert(place, Letter { place: Some(place), ..letter });
            }
            Fate::Again(due) => self.orders.push_back((now.wall, Step::Keep(letter, due))),
            Fate::Dead if letter.place.is_some() => self.dead.extend(letter.events.iter().map(|event| event.id)),
            Fate::Dead => self.orders.push_back((now.wall, Step::Bury(letter))),
        }
    }

    /// Memory is lost: what the journal still has is told again, what is on disk is there.
    fn crash(&mut self, now: Moment) -> Queue {
        self.calls.clear();
        self.orders.clear();
        self.out.clear();
        let mut queue = Queue::new(World::settings(), !self.waiting.is_empty());
        self.journal.values().for_each(|(which, json)| queue.push(now, *which, json));
        queue
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever endpoint, disk and process do, every event is delivered or dead in the end, never lost, and never in
    /// two letters.
    #[test]
    fn every_event_is_delivered_or_dead_in_the_end(happenings in prop::collection::vec(happening(), 1..120)) {
        let (mut queue, mut now) = (Queue::new(World::settings(), false), at(1_000_000));
        let (mut world, mut told) = (World::default(), 0u32);
        for happening in happenings {
            match happening {
                Happening::Told(events) => for _ in 0..events {
                    told += 1;
                    let (which, json) = event(told);
                    queue.push(now, which, &json);
                    world.journal.insert(which.id, (which, json));
                },
                Happening::Time(passes) => now = at(now.time.0 + u64::from(passes)),
                Happening::Disk(orders) => (0..orders).for_each(|_| world.disk(&mut queue)),
                Happening::Calls(calls, mood) => (0..calls).for_each(|_| world.end_call(&mut queue, now, mood)),
                Happening::Crash => queue = world.crash(now),
                Happening::Resume => queue.resume(),
            }
            world.serve(&mut queue, now);
        }
        queue.resume();
        for _ in 0..10_000 {
            world.serve(&mut queue, now);
            if !world.orders.is_empty() {
                world.disk(&mut queue);
            } else if !world.calls.is_empty() {
                world.end_call(&mut queue, now, 0);
            } else if let Some(deadline) = queue.deadline(now) {
                prop_assert!(deadline > now.time, "the courier would spin");
                now = at(deadline.0);
            } else {
                break;
            }
        }
        prop_assert!(queue.is_idle(), "{queue:?}");
        prop_assert!(world.journal.is_empty() && world.waiting.is_empty(), "something still waits");
        let ended: BTreeSet<MessageId> = world.delivered.union(&world.dead).copied().collect();
        prop_assert_eq!(ended.len(), told as usize);
    }
}
