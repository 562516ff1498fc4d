//! The store on real files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::ids::Ids;
use crate::journal::disk::DiskFile;

/// 2026-01-01.
const TODAY: u64 = 1_767_225_600_000;

struct Fixture {
    dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

impl Fixture {
    fn new() -> Self {
        Fixture { dir: tempfile::tempdir().unwrap(), now: Arc::new(AtomicU64::new(TODAY)) }
    }

    fn dir(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn open(&self) -> (Store, Receiver<Vec<u64>>) {
        let (tell, persisted) = channel();
        let settings = StoreSettings { dir: self.dir(), history: Duration::from_millis(2 * DAY_MS) };
        let now = self.now.clone();
        let clock = move || Wall(now.load(Relaxed));
        let persisted_now = move |ids: &[u64]| drop(tell.send(ids.to_vec()));
        (Store::open(&settings, clock, persisted_now).unwrap(), persisted)
    }

    fn id(&self) -> u64 {
        Ids::default().next(Wall(self.now.load(Relaxed))).0
    }
}

/// A message with everything that can go to the store.
fn put(store: &Store, id: u64, name: &str) {
    let names = [
        Name::correlation(format!("a:{name}").as_bytes()),
        Name::correlation(format!("b:{name}").as_bytes()),
        Name::client_ref(b"order 1"),
    ];
    store.put(&Finished {
        id,
        history: format!("history of {name}").as_bytes(),
        names: &names,
        idempotency: Some((format!("key {name}").as_bytes(), format!("value {name}").as_bytes())),
        uplink: None,
        batch: format!("batch {name}").as_bytes(),
    });
}

fn wait(persisted: &Receiver<Vec<u64>>, mut count: usize) {
    while count > 0 {
        count -= persisted.recv_timeout(Duration::from_secs(20)).unwrap().len();
    }
}

fn knows(store: &Store, id: u64, name: &str) -> bool {
    let is = |found: Option<Vec<u8>>, wanted: String| found == Some(wanted.into_bytes());
    let found = [
        is(store.history(id), format!("history of {name}")),
        is(store.batch(id), format!("batch {name}")),
        ["a:", "b:"].iter().all(|key| store.correlate(format!("{key}{name}").as_bytes()) == Some(id)),
        is(store.idempotency(format!("key {name}").as_bytes(), Wall(0)), format!("value {name}")),
    ];
    assert!(found.iter().all(|one| *one == found[0]), "a message is known whole or not at all: {found:?}");
    found[0]
}

#[test]
fn what_was_persisted_is_found_now_and_after_reopening() {
    let fixture = Fixture::new();
    let (store, persisted) = fixture.open();
    let id = fixture.id();
    put(&store, id, "one");
    put(&store, id + 1, "two");
    wait(&persisted, 2);
    assert_eq!(store.backlog(), 0);
    drop(store);
    let (store, _persisted) = fixture.open();
    assert!(knows(&store, id, "one") && knows(&store, id + 1, "two"));
    assert!(!knows(&store, id + 2, "three"));
    assert_eq!(store.client_ref(b"order 1"), Some(id + 1));
    let mut keys = Vec::new();
    let mut tell = |key: &[u8]| {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
        true
    };
    assert!(store.idempotency_keys(Wall(TODAY), &mut tell));
    assert!(store.idempotency_keys(Wall(TODAY + DAY_MS), &mut tell));
    assert!(!store.idempotency_keys(Wall(TODAY), &mut |_| false));
    assert_eq!(keys, ["key one", "key two"]);
    assert_eq!(fs::metadata(fixture.dir()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn uplinks_are_listed_newest_first_over_days_and_leave_the_unmatched_once_owned() {
    let fixture = Fixture::new();
    let (store, persisted) = fixture.open();
    let uplink = |id: u64, unmatched| {
        let value = id.to_string();
        let uplink = Some(ListedUplink { value: value.as_bytes(), unmatched });
        store.put(&Finished { id, history: b"h", uplink, ..Finished::default() });
    };
    let yesterday = fixture.id();
    uplink(yesterday, true);
    uplink(yesterday + 1, false);
    fixture.now.store(TODAY + DAY_MS, Relaxed);
    let today = fixture.id();
    uplink(today, true);
    wait(&persisted, 3);
    let ids = |unmatched, before, limit| -> Vec<u64> {
        store.uplinks(unmatched, before, limit).into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids(false, u64::MAX, 9), [today, yesterday + 1, yesterday]);
    assert_eq!(ids(true, u64::MAX, 9), [today, yesterday]);
    assert_eq!(ids(false, today, 1), [yesterday + 1], "pages go on below the last id");
    assert!(store.is_unmatched(yesterday) && !store.is_unmatched(yesterday + 1));
    uplink(yesterday, false);
    wait(&persisted, 1);
    assert!(!store.is_unmatched(yesterday));
    assert_eq!((ids(true, u64::MAX, 9), ids(false, u64::MAX, 9).len()), (vec![today], 3));
}

#[test]
fn closing_writes_what_waits() {
    let fixture = Fixture::new();
    let (store, _persisted) = fixture.open();
    let id = fixture.id();
    for i in 0..5_000 {
        put(&store, id + i, &i.to_string());
    }
    store.close();
    let (store, _persisted) = fixture.open();
    assert!(knows(&store, id, "0") && knows(&store, id + 4_999, "4999"));
}

#[test]
fn days_go_whole_once_history_has_passed() {
    let fixture = Fixture::new();
    let (store, persisted) = fixture.open();
    let old = fixture.id();
    put(&store, old, "old");
    wait(&persisted, 1);
    for days in 1..=2 {
        fixture.now.store(TODAY + days * DAY_MS, Relaxed);
        let id = fixture.id();
        put(&store, id, "new");
        wait(&persisted, 1);
        assert!(knows(&store, old, "old") && knows(&store, id, "new"), "day {days}");
        let old_key = |since| store.idempotency(b"key old", Wall(since)).is_some();
        assert!(old_key(TODAY + DAY_MS / 2) && !old_key(TODAY + DAY_MS), "days before are not asked");
    }
    fixture.now.store(TODAY + 3 * DAY_MS, Relaxed);
    drop(store);
    let (store, _persisted) = fixture.open();
    assert!(!knows(&store, old, "old"));
    assert_eq!(store.thread.shared.days().len(), 2);
    let names = fs::read_dir(fixture.dir().join(RECORDS)).unwrap().map(|e| e.unwrap().file_name());
    let days: Vec<Option<u32>> = names.map(|name| day::day_of_file(&name.to_string_lossy())).collect();
    assert!(!days.contains(&Some((TODAY / DAY_MS) as u32)), "its files are gone");
    assert_eq!(store.client_ref(b"order 1"), Some(Ids::default().next(Wall(TODAY + 2 * DAY_MS)).0));
}

/// A clock that is a year ahead, in a running store and over restarts, drops no day; nor is anything else lost by it.
#[test]
fn a_clock_far_ahead_drops_no_day() {
    let fixture = Fixture::new();
    let (mut store, mut persisted) = fixture.open();
    let old = fixture.id();
    put(&store, old, "old");
    wait(&persisted, 1);
    fixture.now.store(TODAY + 365 * DAY_MS, Relaxed);
    let ahead = fixture.id();
    put(&store, ahead, "ahead");
    put(&store, old + 1, "straggler");
    wait(&persisted, 2);
    let knows_all = |store: &Store| {
        let all = [(old, "old"), (old + 1, "straggler"), (ahead, "ahead")];
        assert!(all.iter().all(|(id, name)| knows(store, *id, name)));
    };
    knows_all(&store);
    for days in [365, 366, 0, 1] {
        fixture.now.store(TODAY + days * DAY_MS, Relaxed);
        put(&store, ahead + 1 + days, "later");
        wait(&persisted, 1);
        store.close();
        (store, persisted) = fixture.open();
        knows_all(&store);
    }
    for days in [2, 3] {
        fixture.now.store(TODAY + days * DAY_MS, Relaxed);
        put(&store, ahead + 1 + days, "later");
        wait(&persisted, 1);
    }
    drop(store);
    let (store, _persisted) = fixture.open();
    assert!(!knows(&store, old, "old") && knows(&store, ahead, "ahead"), "once its days are over it goes");
}

#[test]
fn a_damaged_day_is_moved_aside_and_begun_anew() {
    let fixture = Fixture::new();
    let (store, persisted) = fixture.open();
    let id = fixture.id();
    put(&store, id, "one");
    wait(&persisted, 1);
    drop(store);
    let day = fixture.dir().join(RECORDS).join(format!("{}.records", TODAY / DAY_MS));
    fs::write(&day, b"not what it was, and long enough to be a record").unwrap();
    let (store, persisted) = fixture.open();
    assert!(!knows(&store, id, "one"));
    assert!(day.with_extension("records.damaged").is_file());
    put(&store, id, "one");
    wait(&persisted, 1);
    assert!(knows(&store, id, "one"));
}

#[test]
fn messages_of_several_days_in_one_lot_go_each_to_its_own() {
    let fixture = Fixture::new();
    fixture.now.store(TODAY + 9 * DAY_MS, Relaxed);
    let (store, persisted) = fixture.open();
    let id = |days: u64| Ids::default().next(Wall(TODAY + days * DAY_MS)).0;
    for days in [9, 0, 8, 5] {
        put(&store, id(days), &days.to_string());
    }
    wait(&persisted, 4);
    // What is older than all that is kept is kept as long as the oldest.
    let days: Vec<u64> = store.thread.shared.days().keys().map(|day| u64::from(*day) - TODAY / DAY_MS).collect();
    assert_eq!(days, [7, 8, 9]);
    assert!([9, 0, 8, 5].iter().all(|days| knows(&store, id(*days), &days.to_string())));
    let all: Vec<u64> = store.histories(0, 10).into_iter().map(|(id, _)| id).collect();
    assert_eq!(all, [id(0), id(5), id(8), id(9)]);
}

#[test]
fn a_message_stored_again_is_told_as_it_is_now() {
    let fixture = Fixture::new();
    let (store, persisted) = fixture.open();
    let id = fixture.id();
    for round in 0..3 {
        store.put(&Finished { id, history: format!("round {round}").as_bytes(), ..Finished::default() });
        store.put(&Finished { id: id + 1, history: b"other", ..Finished::default() });
        wait(&persisted, 2);
        assert_eq!(store.history(id), Some(format!("round {round}").into_bytes()));
        assert_eq!(store.histories(0, 1), [(id, format!("round {round}").into_bytes())]);
    }
    assert_eq!(store.histories(0, 9).len(), 2, "each message once");
    assert_eq!((store.histories(id, 9).len(), store.histories(id + 1, 9).len()), (1, 0));
}

/// What the former layout held is found, listed and corrected until its days are over; then its files go.
#[test]
fn a_store_of_the_former_layout_is_read_until_its_days_are_over() {
    let fixture = Fixture::new();
    let old = fixture.id();
    former::tests::write(&fixture.dir(), &[(old, "old", true), (old + 1, "older", true)]);
    fixture.now.store(TODAY + DAY_MS, Relaxed);
    let new = fixture.id();
    let ids = |found: Vec<(u64, Vec<u8>)>| found.into_iter().map(|(id, _)| id).collect::<Vec<u64>>();
    for _ in 0..2 {
        let (store, persisted) = fixture.open();
        assert!(knows(&store, old, "old") && knows(&store, old + 1, "older"));
        assert_eq!(store.client_ref(b"order 1"), Some(old + 1));
        let uplink = |unmatched| Some(ListedUplink { value: b"listed", unmatched });
        store.put(&Finished { id: new, history: b"new", uplink: uplink(true), ..Finished::default() });
        store.put(&Finished { id: old, history: b"history of old", uplink: uplink(false), ..Finished::default() });
        wait(&persisted, 2);
        assert_eq!(ids(store.histories(0, 9)), [old, old + 1, new]);
        assert_eq!(ids(store.histories(old, 1)), [old + 1]);
        assert_eq!(ids(store.uplinks(false, u64::MAX, 9)), [new, old + 1, old]);
        assert_eq!(ids(store.uplinks(true, u64::MAX, 9)), [new, old + 1]);
        assert_eq!(ids(store.uplinks(true, new, 1)), [old + 1]);
        assert!(!store.is_unmatched(old) && store.is_unmatched(old + 1));
        let mut keys = Vec::new();
        let mut tell = |key: &[u8]| {
            keys.push(key.to_vec());
            true
        };
        assert!(
            store.idempotency_keys(Wall(TODAY), &mut tell) && store.idempotency_keys(Wall(TODAY + DAY_MS), &mut tell)
        );
        assert_eq!(keys, [b"key old".as_slice(), b"key older"]);
        assert!(!store.idempotency_keys(Wall(TODAY), &mut |_| false));
        store.close();
    }
    for days in 2..=3 {
        fixture.now.store(TODAY + days * DAY_MS, Relaxed);
        fixture.open().0.close();
    }
    let (store, _persisted) = fixture.open();
    assert_eq!((store.history(old + 1), store.history(new).is_some()), (None, true));
    let left: Vec<_> = fs::read_dir(fixture.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [RECORDS], "nothing of the former layout is left");
}

#[test]
fn a_damaged_store_of_the_former_layout_takes_nothing_with_it() {
    let fixture = Fixture::new();
    let id = fixture.id();
    let (store, persisted) = fixture.open();
    put(&store, id, "one");
    wait(&persisted, 1);
    drop(store);
    former::tests::write(&fixture.dir(), &[(id + 1, "two", false)]);
    for name in ["version", "keyspaces/0/current"] {
        fs::write(fixture.dir().join(name), b"not what it was").unwrap();
    }
    let (store, _persisted) = fixture.open();
    assert!(knows(&store, id, "one") && !knows(&store, id + 1, "two"));
    assert!(fixture.dir().join(".damaged/keyspaces").is_dir());
}

/// What a day has that is over leaves the memory, and becomes one run in time; stragglers do not make it written again.
#[test]
fn a_day_that_is_over_is_one_run() {
    let fixture = Fixture::new();
    let disk: Arc<dyn Disk> = Arc::new(Files);
    Files.make_dir(&fixture.dir()).unwrap();
    let place = Place { disk, dir: fixture.dir(), fresh: 10 };
    let day = Day::make(&place, 7).unwrap();
    let append = |from: u64, count: u64| {
        let mut lot = Lot::default();
        (from..from + count).for_each(|id| lot.push(kind::HISTORY, id, std::iter::empty(), &[b"history"]));
        day.append(&mut lot).unwrap();
    };
    let fold = || while day.fold(&|| false) {};
    let runs = || {
        let names = Files.list(&fixture.dir()).unwrap();
        names.iter().filter(|name| name.ends_with(".run")).count()
    };
    (0..6).for_each(|lot| append(100 * lot, 12));
    append(1_000, 3);
    fold();
    assert_eq!(runs(), 6);
    day.rest(false);
    fold();
    assert_eq!(runs(), 7, "nothing is left in memory");
    day.rest(true);
    fold();
    assert_eq!(runs(), 1);
    for straggler in 0..20 {
        append(2_000 + straggler, 1);
        day.rest(true);
        fold();
    }
    assert!((2..9).contains(&runs()), "{}", runs());
    let mut count = 0;
    assert!(day.walk(ordered(kind::HISTORY, 0), ordered(kind::HISTORY + 1, 0), false, |_| {
        count += 1;
        true
    }));
    assert_eq!(count, 6 * 12 + 3 + 20);
}

/// A write that a power cut has torn is told from damage to what was on disk before it.
#[test]
fn what_was_torn_is_told_from_what_was_damaged() {
    use record::{Hole, Scanned, scan};
    let fixture = Fixture::new();
    Files.make_dir(&fixture.dir()).unwrap();
    let place = Place { disk: Arc::new(Files), dir: fixture.dir(), fresh: 100 };
    let day = Day::make(&place, 7).unwrap();
    // Each of its records is 32 octets long.
    for _ in 0..3 {
        let mut lot = Lot::default();
        (0..4).for_each(|id| lot.push(kind::HISTORY, id, std::iter::empty(), &[b"history"]));
        day.append(&mut lot).unwrap();
    }
    let path = fixture.dir().join("7.records");
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 12 * 32);
    let scanned = |damaged: &[usize]| {
        let mut octets = whole.clone();
        damaged.iter().for_each(|record| octets[record * 32 + 25] ^= 1);
        fs::write(&path, octets).unwrap();
        let mut found = 0;
        let scanned = scan(&*Files.open(&path).unwrap(), 0, 12 * 32, |_, entries| found += entries.drain(..).count());
        assert_eq!(found, 12 - damaged.len());
        scanned.unwrap()
    };
    let hole = |at: u64, octets: u64| Some(Hole { at: at * 32, octets: octets * 32 });
    let end = 12 * 32;
    assert_eq!(scanned(&[]), Scanned { end, ..Scanned::default() });
    assert_eq!(scanned(&[0, 1, 6]), Scanned { end, damaged: hole(0, 3), ..Scanned::default() });
    assert_eq!(scanned(&[2, 9]), Scanned { end, damaged: hole(2, 1), torn: hole(9, 1), unread: 0 });
    // Whether the last lot begins there is not known; it may.
    assert_eq!(scanned(&[8]), Scanned { end, torn: hole(8, 1), ..Scanned::default() });
    assert_eq!(scanned(&[11]), Scanned { end: end - 32, ..Scanned::default() });
    // A torn lot stays one once others stand behind it.
    scanned(&[9]);
    for lot in 0..2 {
        let names = Files.list(&fixture.dir()).unwrap();
        let (day, holes) = Day::open(&place, 7, &names).unwrap();
        assert!(holes, "as long as no run covers them");
        let mut more = Lot::default();
        more.push(kind::HISTORY, 9 + lot, std::iter::empty(), &[b"history"]);
        day.append(&mut more).unwrap();
        // Nor does the next day make one of them.
        day.rest(true);
    }
    let scan = scan(&*Files.open(&path).unwrap(), 0, 14 * 32, |_, _| {}).unwrap();
    assert_eq!(scan, Scanned { end: 14 * 32, torn: hole(9, 1), ..Scanned::default() });
}

/// A device that cannot read one place.
struct Scratched {
    octets: Vec<u8>,
    bad: std::ops::Range<u64>,
    error: i32,
}

impl DiskFile for Scratched {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = (offset + into.len() as u64).min(self.octets.len() as u64);
        if offset < self.bad.end && self.bad.start < end {
            return Err(io::Error::from_raw_os_error(self.error));
        }
        let octets = self.octets.get(offset as usize..end as usize).unwrap_or_default();
        into[..octets.len()].copy_from_slice(octets);
        Ok(octets.len())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("nothing is written");
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.octets.len() as u64)
    }
}

#[test]
fn a_page_that_cannot_be_read_costs_the_records_in_it_and_no_others() {
    let (mut lot, page) = (Lot::default(), 4_096);
    (0..1_024).for_each(|id| lot.push(kind::HISTORY, id, std::iter::empty(), &[b"history"]));
    let octets = lot.seal(0, false).to_vec();
    let (whole, size) = (octets.len() as u64, octets.len() as u64 / 1_024);
    let scan = |bad: std::ops::Range<u64>, error| {
        let (file, mut found) = (Scratched { octets: octets.clone(), bad, error }, 0);
        let scanned = record::scan(&file, 0, whole, |_, entries| found += entries.drain(..).count() as u64);
        scanned.map(|scanned| (scanned.end, scanned.unread, found))
    };
    let eio = 5;
    assert_eq!(scan(0..0, eio).unwrap(), (whole, 0, 1_024));
    // In the middle, at the beginning, and at the end, where nothing readable follows: it is not written over.
    assert_eq!(scan(2 * page..3 * page, eio).unwrap(), (whole, 3 * page, 1_024 - page / size));
    assert_eq!(scan(0..page, eio).unwrap(), (whole, page, 1_024 - page / size));
    let last = (whole - 1) / page * page;
    assert_eq!(scan(last..last + page, eio).unwrap(), (last, last + page, last / size));
    // Any other error says nothing about what is there.
    assert!(scan(page..page + 1, 12).is_err());
    // Of a device that reads hardly anything not every place is tried.
    let file = |pages: u64| {
        let octets = vec![0; 2_000 * page as usize];
        Scratched { octets, bad: page..(pages + 1) * page, error: eio }
    };
    let scan = |pages| record::scan(&file(pages), 0, 2_000 * page, |_, _| {});
    let first = |pages| record::first(&file(pages), 0, 2_000 * page);
    // The last head before them reaches into the first.
    assert_eq!(scan(1_023).unwrap().unread, 1_024 * page);
    assert!(scan(1_024).is_err_and(|error| record::is_unreadable(&error)));
    assert_eq!(first(1_023).unwrap(), None);
    assert!(first(1_024).is_err_and(|error| record::is_unreadable(&error)));
}
