//! The letter box on real files: order, quota, dead letters, what a kill and what damage leave.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, channel};

use super::super::shelf::Entry;
use super::*;
use crate::callback::letter::{Draft, Event};

const SOON: Duration = Duration::from_secs(20);

struct World {
    dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
    quota: u64,
    letters: Letters,
    answers: Receiver<Answer>,
    shop: Arc<str>,
}

fn open(dir: &tempfile::TempDir, now: &Arc<AtomicU64>, quota: u64) -> (Letters, Found, Receiver<Answer>) {
    let (tell, answers) = channel();
    let settings = BoxSettings { dir: dir.path().join("callbacks"), quota, keep_dead: Duration::from_secs(3_600) };
    let now = now.clone();
    let clock = move || Wall(now.load(Relaxed));
    let hear = move |said: Vec<Answer>| said.into_iter().for_each(|answer| drop(tell.send(answer)));
    let (letters, found) = Letters::open(&settings, clock, hear).unwrap();
    (letters, found, answers)
}

impl World {
    fn new(quota: u64) -> World {
        let (dir, now) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(1_000_000)));
        let (letters, _, answers) = open(&dir, &now, quota);
        World { dir, now, quota, letters, answers, shop: "shop".into() }
    }

    /// Opens what is on disk once more, as after a kill: no order of before is carried out that was not yet.
    fn reopen(self) -> (World, Found) {
        let World { dir, now, quota, letters, shop, .. } = self;
        letters.close();
        drop(letters);
        let (letters, found, answers) = open(&dir, &now, quota);
        (World { dir, now, quota, letters, answers, shop }, found)
    }

    fn answer(&self) -> Answer {
        self.answers.recv_timeout(SOON).unwrap()
    }

    fn order(&self, order: Order) {
        self.letters.order(&self.shop, order);
    }

    /// Keeps a letter, and waits until it is on disk.
    fn keep(&self, n: u64, due: u64) -> Vec<EventRef> {
        self.order(Order::Keep(letter(n, 2), Wall(due)));
        match self.answer() {
            Answer::Kept(_, events) | Answer::NoRoom(_, events) => events,
            Answer::Dropped(..) => match self.answer() {
                Answer::Kept(_, events) => events,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&self, by: u64, most: usize) -> (Vec<Letter>, Option<Wall>) {
        self.order(Order::Fetch(Wall(by), most));
        match self.answer() {
            Answer::Fetched(_, letters, next) => (letters, next),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until every order given so far is carried out.
    fn idle(&self) {
        self.fetch(0, 1);
    }

    fn total(&self) -> Totals {
        self.letters.total("shop")
    }
}

fn letter(n: u64, events: u64) -> Letter {
    let mut draft = Draft::new(0, 0, None);
    for event in 0..events {
        let which = EventRef { id: MessageId(n), seq: event as u32 + 1, at: Wall(7) };
        let data = serde_json::json!({"to": "+8613800138000"});
        draft.add(which, &Event::render(which, "message.delivered", &data).expect("JSON").json);
    }
    draft.done(Wall(500))
}

fn numbers(letters: &[Letter]) -> Vec<u64> {
    letters.iter().map(|letter| letter.events[0].id.0).collect()
}

#[test]
fn letters_come_back_as_they_were_in_the_order_of_their_due_times_even_after_a_kill() {
    let world = World::new(1 << 20);
    for (n, due) in [(1, 300), (2, 100), (3, 200), (4, 900)] {
        assert_eq!(world.keep(n, due).len(), 2);
    }
    let (world, found) = world.reopen();
    assert_eq!(found.events.len(), 8);
    let (fetched, next) = world.fetch(500, 2);
    assert_eq!((numbers(&fetched), next), (vec![2, 3], Some(Wall(300))));
    assert_eq!(Letter { place: None, ..fetched[0].clone() }, letter(2, 2));
    let (rest, next) = world.fetch(500, 16);
    assert_eq!((numbers(&rest), next), (vec![1], Some(Wall(900))), "what is out does not come twice");
    assert_eq!(world.total().waiting, 4);
    // Nothing was said of those that are out: after a kill they are due still.
    let (world, _) = world.reopen();
    let (again, _) = world.fetch(500, 16);
    assert_eq!(numbers(&again), [2, 3, 1]);
    let dir = world.dir.path().join("callbacks");
    assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_letter_put_off_keeps_its_body_and_a_delivered_one_is_gone() {
    let world = World::new(1 << 20);
    world.keep(1, 100);
    world.keep(2, 101);
    let (fetched, _) = world.fetch(200, 16);
    let (first, second) = (fetched[0].clone(), fetched[1].clone());
    world.order(Order::PutOff(Letter { tries: 3, failure: "answered 500".into(), ..first.clone() }, Wall(400)));
    world.order(Order::Delivered(second));
    world.idle();
    assert_eq!((world.total().waiting, world.total().waiting_events), (1, 2));
    let (world, found) = world.reopen();
    assert_eq!(found.events.len(), 2);
    let (fetched, next) = world.fetch(399, 16);
    assert_eq!((fetched.len(), next), (0, Some(Wall(400))));
    let (fetched, next) = world.fetch(400, 16);
    assert_eq!((fetched[0].tries, &*fetched[0].failure, next), (3, "answered 500", None));
    assert_eq!((&fetched[0].id, &fetched[0].body, fetched[0].since), (&first.id, &first.body, first.since));
    world.order(Order::Delivered(fetched[0].clone()));
    world.idle();
    assert_eq!(world.total(), Totals::default());
}

#[test]
fn an_apps_quota_is_its_own_and_costs_dead_letters_first_then_the_oldest() {
    let one = Entry::of(&letter(1, 2)).octets();
    let world = World::new(4 * one);
    let bank: Arc<str> = "bank".into();
    world.letters.order(&bank, Order::Keep(letter(90, 2), Wall(1)));
    assert!(matches!(world.answer(), Answer::Kept(..)));
    world.order(Order::KeepDead(letter(80, 2)));
    assert!(matches!(world.answer(), Answer::Kept(..)));
    for n in 1..=3 {
        world.keep(n, n * 10);
    }
    assert_eq!((world.total().waiting, world.total().dead), (3, 1));
    world.order(Order::Keep(letter(4, 2), Wall(40)));
    assert_eq!(world.answer(), Answer::Dropped(world.shop.clone(), 2), "the dead one");
    assert!(matches!(world.answer(), Answer::Kept(..)));
    assert_eq!((world.total().waiting, world.total().dead), (4, 0));
    // The first is out on a call: the next one goes.
    assert_eq!(numbers(&world.fetch(10, 1).0), [1]);
    world.keep(5, 50);
    let (_, next) = world.fetch(0, 1);
    assert_eq!((next, world.total().waiting, world.total().octets), (Some(Wall(30)), 4, 4 * one));
    world.order(Order::Keep(letter(6, 100), Wall(60)));
    assert!(matches!(world.answer(), Answer::NoRoom(_, events) if events.len() == 100), "larger than all there is");
    assert_eq!((world.letters.total("bank").waiting, world.total().waiting), (1, 4), "nobody else pays");
    let (world, _) = world.reopen();
    assert_eq!((world.letters.total("bank").waiting, world.total().octets), (1, 4 * one));
}

#[test]
fn dead_letters_are_listed_resent_and_dropped_when_they_are_old() {
    let world = World::new(1 << 20);
    world.keep(1, 100);
    let (fetched, _) = world.fetch(200, 1);
    world.order(Order::Bury(Letter { tries: 29, failure: "answered 500".into(), ..fetched[0].clone() }));
    for n in 2..=5 {
        world.now.store(1_000_000 + n, Relaxed);
        world.order(Order::KeepDead(letter(n, 1)));
        assert!(matches!(world.answer(), Answer::Kept(..)));
    }
    let page = world.letters.dead("shop", None, 2).unwrap();
    let [first, second] = &page.letters[..] else { panic!("{page:?}") };
    assert_eq!((first.tries, &*first.failure, first.events.len()), (29, "answered 500", 2));
    assert_eq!((&*first.events[1].id, &*first.events[1].kind), ("000000000001-2", "message.delivered"));
    let told = serde_json::to_string(&page).unwrap();
    assert!(!told.contains("138000"), "no content: {told}");
    let rest = world.letters.dead("shop", Some(page.cursor.unwrap().parse().unwrap()), 50).unwrap();
    assert_eq!((rest.letters.len(), rest.cursor), (3, None));
    let number = second.id.parse().unwrap();
    assert!(world.letters.has_dead("shop", number) && !world.letters.has_dead("shop", MessageId(999)));
    world.order(Order::Resend(Which::One(number)));
    assert_eq!(world.answer(), Answer::Waits(world.shop.clone(), Wall(1_000_005)));
    let (resent, _) = world.fetch(2_000_000, 16);
    assert_eq!((numbers(&resent), resent[0].tries, resent[0].since), (vec![2], 0, Wall(1_000_005)));
    world.order(Order::Resend(Which::All(Wall(1_000_005))));
    assert_eq!(world.answer(), Answer::Waits(world.shop.clone(), Wall(1_000_005)));
    assert_eq!((world.total().waiting, world.total().dead), (4, 1), "one died at that very moment");
    world.now.store(1_000_005 + 3_600_000, Relaxed);
    let (world, _) = world.reopen();
    world.idle();
    assert_eq!(world.total().dead, 1, "kept for an hour");
    world.now.fetch_add(1, Relaxed);
    world.order(Order::Purge);
    world.idle();
    assert_eq!((world.total().dead, world.total().waiting), (0, 4));
}

#[test]
fn what_is_overdue_dies_in_pieces_and_nothing_else() {
    let world = World::new(1 << 24);
    for n in 0..450 {
        let since = Wall(if n < 430 { n } else { 10_000 });
        world.order(Order::Keep(Letter { since, ..letter(n, 1) }, Wall(n)));
    }
    (0..450).for_each(|_| assert!(matches!(world.answer(), Answer::Kept(..))));
    let (fetched, _) = world.fetch(3, 2);
    assert_eq!(numbers(&fetched), [0, 1]);
    world.order(Order::BuryOverdue(Wall(10_000), "given up"));
    let mut died = 0;
    while died < 428 {
        match world.answer() {
            Answer::Died(_, events) => died += events,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((died, world.total().dead, world.total().waiting), (428, 428, 22), "what is out is spared");
    let (rest, _) = world.fetch(10_000, 1);
    assert_eq!(numbers(&rest), [430]);
}

#[test]
fn an_endpoint_that_is_gone_stays_so_until_it_is_forgotten() {
    let world = World::new(1 << 20);
    world.order(Order::Gone(Some([7; 32])));
    world.idle();
    let (world, found) = world.reopen();
    assert_eq!(found.gone.get("shop"), Some(&[7; 32]));
    world.order(Order::Gone(None));
    world.idle();
    let (_, found) = world.reopen();
    assert_eq!(found.gone, HashMap::new());
}

/// Writes nonsense into all files of a directory.
fn damage(dir: std::path::PathBuf) {
    let mut files = vec![dir];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            std::fs::write(path, b"not what it was").unwrap();
        }
    }
}

#[test]
fn a_damaged_box_whose_directory_cannot_be_moved_is_moved_into_it() {
    let world = World::new(1 << 20);
    let dir = world.dir.path().join("callbacks");
    // A directory cannot take a file's name: refused, as it is for a mount point.
    std::fs::write(world.dir.path().join("callbacks.damaged"), b"").unwrap();
    let mut world = world;
    for n in 1..=2 {
        world.keep(n, 100);
        world.letters.close();
        damage(dir.clone());
        let (anew, found) = world.reopen();
        assert!(found.events.is_empty());
        assert!(std::fs::read_dir(dir.join(".damaged")).unwrap().count() > 0);
        world = anew;
    }
    world.keep(3, 100);
    let (world, found) = world.reopen();
    assert_eq!(found.events.len(), 2, "what was moved aside is in nobody's way");
    assert_eq!(numbers(&world.fetch(200, 16).0), [3]);
}

#[test]
fn a_damaged_box_is_moved_aside_and_begun_anew() {
    let world = World::new(1 << 20);
    world.keep(1, 100);
    world.letters.close();
    damage(world.dir.path().join("callbacks"));
    let (world, found) = world.reopen();
    assert!(found.events.is_empty());
    assert!(world.dir.path().join("callbacks.damaged").is_dir());
    world.keep(2, 100);
    assert_eq!(numbers(&world.fetch(200, 16).0), [2]);
}

#[test]
fn apps_whose_names_begin_alike_do_not_mix() {
    let world = World::new(1 << 20);
    for app in ["shop", "shop-2", "sho"] {
        world.letters.order(&app.into(), Order::Keep(letter(app.len() as u64, 1), Wall(1)));
        assert!(matches!(world.answer(), Answer::Kept(..)));
    }
    assert_eq!(numbers(&world.fetch(10, 16).0), [4]);
    assert_eq!(world.letters.oldest("sho"), Some(Wall(500)));
}

#[test]
fn a_write_that_fails_strands_no_letter() {
    let world = World::new(1 << 20);
    for n in 1..=3 {
        world.keep(n, n * 100);
    }
    world.order(Order::KeepDead(letter(4, 2)));
    assert!(matches!(world.answer(), Answer::Kept(..)));
    let first = world.fetch(100, 16).0.remove(0);
    let fail = |syncs| world.letters.thread.shared.syncs_that_fail.store(syncs, Relaxed);
    fail(1);
    let (fetched, next) = world.fetch(200, 16);
    assert_eq!((numbers(&fetched), next), (vec![2], Some(Wall(300))), "the one that was out before stays out");
    fail(2);
    let place = |letter: &Letter| letter.place.unwrap();
    world.order(Order::Return(vec![place(&first), place(&fetched[0])]));
    let (fetched, next) = world.fetch(300, 16);
    assert_eq!((numbers(&fetched), next), (vec![1, 2, 3], None), "all that are in, each once");
    // What the failed round has moved is told of by the next one.
    fail(1);
    world.order(Order::Resend(Which::All(Wall(u64::MAX))));
    assert_eq!(world.answer(), Answer::Waits(world.shop.clone(), Wall(1_000_000)));
    assert_eq!(numbers(&world.fetch(1_000_000, 16).0), [4]);
    let totals = world.total();
    assert_eq!((totals.waiting, totals.dead), (4, 0));
}

#[test]
fn a_lowered_quota_is_kept_at_once_whether_reloaded_or_restarted() {
    let one = Entry::of(&letter(1, 2)).octets();
    let world = World::new(10 * one);
    world.order(Order::KeepDead(letter(80, 2)));
    assert!(matches!(world.answer(), Answer::Kept(..)));
    (1..=9).for_each(|n| drop(world.keep(n, n * 10)));
    assert_eq!(numbers(&world.fetch(10, 1).0), [1]);
    world.letters.order(&"".into(), Order::Limits(6 * one, Duration::from_secs(3_600)));
    assert_eq!(world.answer(), Answer::Dropped(world.shop.clone(), 8), "the dead one and three that wait");
    let totals =
        Totals { waiting: 6, waiting_events: 12, octets: 6 * one, waiting_octets: 6 * one, ..Totals::default() };
    assert_eq!(world.total(), totals);
    let (rest, _) = world.fetch(60, 1);
    assert_eq!(numbers(&rest), [5], "the one that is out is spared, the oldest others are not");
    let (world, _) = World { quota: 2 * one, ..world }.reopen();
    assert_eq!(world.answer(), Answer::Dropped(world.shop.clone(), 8));
    assert_eq!(numbers(&world.fetch(1_000, 16).0), [8, 9]);
}
