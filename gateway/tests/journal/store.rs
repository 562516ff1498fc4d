//! The store against a model of what was promised: random work, writes and syncs that fail, kills, power cuts, damage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gateway::clock::Wall;
use gateway::ids::{Ids, MessageId};
use gateway::journal::disk::Disk;
use gateway::journal::store::{Finished, ListedUplink, Name, Pace, Store, StoreSettings};

use crate::faulty::Faulty;

const DAY_MS: u64 = 86_400_000;
/// 2026-01-03, noon.
const NOW: u64 = 1_767_225_600_000 + 5 * DAY_MS / 2;

/// What was put under one key, in order, and how much of it was promised.
struct Row<T> {
    puts: Vec<T>,
    promised: usize,
    /// Whether the last of it was put since the store was opened. What an earlier life did not promise is the journal's.
    new: bool,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Row { puts: Vec::new(), promised: 0, new: false }
    }
}

impl<T> Row<T> {
    fn put(&mut self, one: T) {
        self.puts.push(one);
        self.new = true;
    }

    fn promise(&mut self) {
        if self.new {
            self.promised = self.puts.len();
        }
    }
}

impl<T: PartialEq + std::fmt::Debug> Row<T> {
    /// What is found must be the last thing promised, or what was put since.
    fn check(&self, found: Option<&T>, what: &str) {
        let since = &self.puts[self.promised.saturating_sub(1)..];
        match found {
            Some(found) => assert!(since.contains(found), "{what}: {found:?} is not of {since:?}"),
            None => assert!(self.promised == 0, "{what} was promised and is gone"),
        }
    }
}

struct World {
    disk: Faulty,
    rng: fastrand::Rng,
    store: Option<Store>,
    persisted: Receiver<Vec<u64>>,
    ids: Ids,
    known: Vec<u64>,
    histories: BTreeMap<u64, Row<Vec<u8>>>,
    unmatched: BTreeMap<u64, Row<bool>>,
    batches: HashMap<u64, Row<Vec<u8>>>,
    names: HashMap<String, Row<u64>>,
    keys: HashMap<String, Row<Vec<u8>>>,
}

fn dir() -> PathBuf {
    "/s/days".into()
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            disk: Faulty::new(seed),
            rng: fastrand::Rng::with_seed(seed),
            store: None,
            persisted: channel().1,
            ids: Ids::default(),
            known: Vec::new(),
            histories: BTreeMap::new(),
            unmatched: BTreeMap::new(),
            batches: HashMap::new(),
            names: HashMap::new(),
            keys: HashMap::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let (tell, persisted) = channel();
        let settings = StoreSettings { dir: "/s".into(), history: Duration::from_millis(2 * DAY_MS) };
        let pace = Pace { fresh: 40, pause: Duration::from_millis(1) };
        let tell = move |ids: &[u64]| drop(tell.send(ids.to_vec()));
        let disk = Arc::new(self.disk.clone());
        self.store = Some(Store::open_on(disk, &settings, pace, || Wall(NOW), tell).unwrap());
        self.persisted = persisted;
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn octets(&mut self, most: usize) -> Vec<u8> {
        let length = self.rng.usize(1..most);
        (0..length).map(|_| self.rng.u8(..)).collect()
    }

    /// A new message, or one that is known already, of one of three days.
    fn id(&mut self) -> u64 {
        if !self.known.is_empty() && self.rng.u8(..4) == 0 {
            return self.known[self.rng.usize(..self.known.len())];
        }
        let ids = Ids::default();
        let wall = NOW - self.rng.u64(..3) * DAY_MS;
        let id = if self.rng.bool() { self.ids.next(Wall(NOW)) } else { ids.next(Wall(wall + self.rng.u64(..10_000))) };
        self.known.push(id.0);
        id.0
    }

    fn put(&mut self) {
        let id = self.id();
        // Of one name in several days the newest day's counts: here each has names of its own.
        let day = MessageId(id).wall().0 / DAY_MS;
        let history = if self.rng.u8(..40) == 0 { self.octets(3_000) } else { self.octets(100) };
        match self.rng.u8(..8) {
            0 => {
                let (key, value) = (format!("{day} key {}", self.rng.u8(..15)), self.octets(50));
                let idempotency = Some((key.as_bytes(), &value[..]));
                self.store().put(&Finished { id, idempotency, ..Finished::default() });
                self.keys.entry(key).or_default().put(value);
            }
            1 => {
                self.store().put(&Finished { id, batch: &history, ..Finished::default() });
                self.batches.entry(id).or_default().put(history);
            }
            2 => {
                let unmatched = self.rng.bool();
                let uplink = Some(ListedUplink { value: b"listed", unmatched });
                self.store().put(&Finished { id, history: &history, uplink, ..Finished::default() });
                self.histories.entry(id).or_default().put(history);
                self.unmatched.entry(id).or_default().put(unmatched);
            }
            _ => {
                let names: Vec<String> =
                    (0..self.rng.u8(..3)).map(|_| format!("{day} {}", self.rng.u8(..70))).collect();
                let hashed: Vec<Name> = names.iter().map(|name| Name::correlation(name.as_bytes())).collect();
                self.store().put(&Finished { id, history: &history, names: &hashed, ..Finished::default() });
                self.histories.entry(id).or_default().put(history);
                names.into_iter().for_each(|name| self.names.entry(name).or_default().put(id));
            }
        }
    }

    /// Waits until all that was put is on disk; false where the store has died before.
    fn settle(&mut self) -> bool {
        let last = self.ids.next(Wall(NOW)).0;
        self.known.push(last);
        self.store().put(&Finished { id: last, history: b"last", ..Finished::default() });
        self.histories.entry(last).or_default().put(b"last".to_vec());
        for _ in 0..6_000 {
            match self.persisted.recv_timeout(Duration::from_millis(10)) {
                Ok(ids) if ids.contains(&last) => return self.promise(),
                Err(_) if self.disk.is_dead() => return false,
                _ => {}
            }
        }
        panic!("the store does not write");
    }

    fn promise(&mut self) -> bool {
        self.histories.values_mut().for_each(Row::promise);
        self.unmatched.values_mut().for_each(Row::promise);
        self.batches.values_mut().for_each(Row::promise);
        self.names.values_mut().for_each(Row::promise);
        self.keys.values_mut().for_each(Row::promise);
        true
    }

    /// All idempotency keys the store knows.
    fn keys_told(&self) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        assert!(self.store().idempotency_keys(Wall(0), &mut |key| {
            told.insert(String::from_utf8(key.to_vec()).unwrap());
            true
        }));
        told
    }

    /// Everything that was promised is found, in each way it can be asked for.
    fn check(&self) {
        let store = self.store();
        for (id, row) in &self.histories {
            row.check(store.history(*id).as_ref(), "a history");
        }
        for (id, row) in &self.batches {
            row.check(store.batch(*id).as_ref(), "a batch");
        }
        for (name, row) in &self.names {
            row.check(store.correlate(name.as_bytes()).as_ref(), name);
        }
        let told = self.keys_told();
        for (key, row) in &self.keys {
            let found = store.idempotency(key.as_bytes(), Wall(0));
            row.check(found.as_ref(), key);
            assert!(found.is_none() || told.contains(key), "{key} is found and was not told");
        }
        let mut paged = BTreeMap::new();
        loop {
            let after = paged.last_key_value().map_or(0, |(id, _)| *id);
            let page = store.histories(after, 30);
            assert!(page.is_sorted_by(|a, b| a.0 < b.0) && page.first().is_none_or(|first| first.0 > after));
            let last = page.len() < 30;
            paged.extend(page);
            if last {
                break;
            }
        }
        for (id, row) in &self.histories {
            row.check(paged.remove(id).as_ref(), "a history of a page");
        }
        assert!(paged.is_empty(), "what was never put");
        let listed = |unmatched| {
            let mut all: Vec<u64> = Vec::new();
            loop {
                let page = store.uplinks(unmatched, all.last().copied().unwrap_or(u64::MAX), 7);
                assert!(page.iter().all(|(_, value)| value == b"listed"));
                all.extend(page.iter().map(|(id, _)| *id));
                assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
                if page.len() < 7 {
                    return all;
                }
            }
        };
        let (all, alone) = (listed(false), listed(true));
        for (id, row) in &self.unmatched {
            let found = all.contains(id).then(|| alone.contains(id));
            row.check(found.as_ref(), "an uplink");
            assert_eq!(store.is_unmatched(*id), alone.contains(id));
        }
    }

    /// Ends the store, which writes what waits unless it is killed, and opens it again.
    fn end(&mut self, kill: bool, power: bool) {
        if kill {
            self.disk.fail_syncs(u32::MAX);
        }
        self.store.take().unwrap().close();
        self.disk.fail_syncs(0);
        self.disk.die_after(None);
        if power {
            self.disk.cut_power();
        }
        self.histories.values_mut().for_each(|row| row.new = false);
        self.unmatched.values_mut().for_each(|row| row.new = false);
        self.batches.values_mut().for_each(|row| row.new = false);
        self.names.values_mut().for_each(|row| row.new = false);
        self.keys.values_mut().for_each(|row| row.new = false);
        self.open();
    }

    fn work(&mut self, lots: Range<u32>, faults: bool) {
        for _ in lots {
            for _ in 0..self.rng.usize(1..60) {
                self.put();
            }
            if faults {
                match self.rng.u8(..4) {
                    0 => self.disk.fail_syncs(self.rng.u32(1..4)),
                    1 => self.disk.fail_writes(self.rng.u32(1..4)),
                    _ => {}
                }
            }
            if self.rng.bool() && !self.settle() {
                return;
            }
        }
    }
}

#[test]
fn what_was_promised_is_found_through_failing_disks_kills_and_power_cuts() {
    let seeds = std::env::var("STORE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for _ in 0..8 {
            let faults = world.rng.bool();
            world.work(0..12, faults);
            if world.rng.bool() {
                assert!(world.settle());
                world.check();
            }
            let (kill, power) = (world.rng.bool(), world.rng.bool());
            world.end(kill, power);
            world.check();
        }
        let names = world.disk.list(&dir()).unwrap();
        assert!(names.iter().filter(|name| name.ends_with(".run")).count() < 60, "runs fold: {names:?}");
    }
}

/// Wherever the process is killed, be it between two writes of a run or two removals, nothing that was promised is missed.
#[test]
fn a_kill_after_any_change_on_disk_costs_nothing_promised() {
    let most = std::env::var("STORE_KILLS").ok().and_then(|most| most.parse().ok()).unwrap_or(60);
    let (mut world, mut died) = (World::new(4), 0);
    for round in 0..most {
        if round % 30 == 29 {
            world = World::new(round.into());
        }
        world.disk.die_after(Some(round % 30));
        world.work(0..4, false);
        died += u32::from(!world.settle());
        let power = world.rng.u8(..4) == 0;
        world.end(false, power);
        world.check();
    }
    assert!(died > most / 2, "{died} of {most}");
}

/// What the store holds of some messages, all of which were promised.
struct Sound {
    world: World,
    histories: Vec<(u64, Vec<u8>)>,
    keys: BTreeSet<String>,
}

impl Sound {
    fn new(seed: u64) -> Sound {
        let mut world = World::new(seed);
        world.work(0..30, false);
        assert!(world.settle());
        world.check();
        let (histories, keys) = (world.store().histories(0, usize::MAX), world.keys_told());
        assert!(histories.len() > 200 && keys.len() > 20, "{} {}", histories.len(), keys.len());
        Sound { world, histories, keys }
    }

    /// How many messages and keys are told otherwise than they were, by look-ups and by lists, the greater of both.
    fn changed(&self) -> usize {
        let store = self.world.store();
        let looked = self.histories.iter().filter(|(id, history)| store.history(*id).as_ref() != Some(history)).count();
        let page: BTreeMap<u64, Vec<u8>> = store.histories(0, usize::MAX).into_iter().collect();
        let listed = self.histories.iter().filter(|(id, history)| page.get(id) != Some(history)).count();
        let told = self.world.keys_told();
        let names = self.keys.iter().filter(|key| store.idempotency(key.as_bytes(), Wall(0)).is_none()).count();
        // A key is told in vain where its record is whole, and not only where it is found.
        let keys = self.keys.iter().filter(|key| !told.contains(*key)).count();
        assert!(page.keys().all(|id| self.histories.iter().any(|(known, _)| known == id)), "what was never put");
        assert!(keys <= names, "a key is found and not told");
        looked.max(listed) + names
    }
}

/// A flipped bit costs the record it is in, and no other; one in the index costs nothing, be the store open or not.
#[test]
fn damage_costs_one_record() {
    let mut sound = Sound::new(77);
    let mut rng = fastrand::Rng::with_seed(9);
    sound.world.store.take().unwrap().close();
    let whole = sound.world.disk.copy();
    let names = whole.list(&dir()).unwrap();
    assert!(names.iter().any(|name| name.ends_with(".run")));
    for round in 0..60 {
        sound.world.disk = whole.copy();
        let running = rng.bool();
        if running {
            sound.world.open();
        }
        let names = sound.world.disk.list(&dir()).unwrap();
        let path = dir().join(&names[rng.usize(..names.len())]);
        let bit = 1 << rng.u8(..8);
        sound.world.disk.edit(Path::new(&path), |octets| {
            let at = rng.usize(..octets.len());
            octets[at] ^= bit;
        });
        if !running {
            sound.world.open();
        }
        let records = path.extension().is_some_and(|sort| sort == "records");
        for start in 0..2 {
            // An older history of the same message may take its place.
            let changed = sound.changed();
            assert!(changed <= usize::from(records), "{changed} of {} in round {round}, start {start}", path.display());
            sound.world.store.take().unwrap().close();
            sound.world.open();
        }
        sound.world.store.take().unwrap().close();
    }
}

/// Every page of every run damaged at once, while the store runs: it goes on as if nothing were.
#[test]
fn an_index_of_which_no_page_reads_is_made_again() {
    let sound = Sound::new(78);
    let names = sound.world.disk.list(&dir()).unwrap();
    for name in names.iter().filter(|name| name.ends_with(".run")) {
        // The store's folding thread may have removed it.
        if sound.world.disk.list(&dir()).unwrap().contains(name) {
            sound.world.disk.edit(&dir().join(name), |octets| octets.fill(0x5a));
        }
    }
    assert_eq!(sound.changed(), 0);
    sound.world.check();
}

/// A file cut anywhere within its last records has what stands before, and takes more.
#[test]
fn a_file_cut_at_any_octet_of_its_last_records_has_all_before_them() {
    let mut world = World::new(5);
    assert!(world.settle());
    let ids: Vec<u64> = (0..6).map(|_| world.ids.next(Wall(NOW)).0).collect();
    for (round, id) in ids.iter().enumerate() {
        let (history, key) = (vec![round as u8; 10 + 7 * round], format!("key {round}"));
        let idempotency = Some((key.as_bytes(), &b"value"[..]));
        world.store().put(&Finished { id: *id, history: &history, idempotency, ..Finished::default() });
    }
    assert!(world.settle());
    world.store.take().unwrap().close();
    let (whole, mut before) = (world.disk.copy(), 0);
    let path = dir().join(format!("{}.records", NOW / DAY_MS));
    let mut length = 0;
    whole.edit(&path, |octets| length = octets.len());
    for cut in 0..=length {
        world.disk = whole.copy();
        world.disk.edit(&path, |octets| octets.truncate(cut));
        world.open();
        let store = world.store();
        let there: Vec<bool> = ids.iter().map(|id| store.history(*id).is_some()).collect();
        let found = there.iter().filter(|there| **there).count();
        assert!(there.iter().take(found).all(|there| *there) && found >= before, "{there:?} of {cut} of {length}");
        let keys = (0..6).filter(|n| store.idempotency(format!("key {n}").as_bytes(), Wall(0)).is_some()).count();
        assert!(keys == found || keys + 1 == found, "each stands behind its history");
        before = found;
        let id = ids[5] + 1;
        let expected = store.history(ids[0]);
        store.put(&Finished { id, history: b"more", ..Finished::default() });
        world.store.take().unwrap().close();
        world.open();
        assert_eq!(world.store().history(id).as_deref(), Some(&b"more"[..]));
        assert_eq!(world.store().history(ids[0]), expected);
        world.store.take().unwrap().close();
    }
    assert_eq!(before, 6);
}

/// A day whose file the device cannot open, or whose files it opens and cannot read, keeps neither the others nor the gateway: what finishes meanwhile is found, and
/// what is in it is there again once the device reads.
#[test]
fn a_day_that_cannot_be_read_is_left_alone() {
    for (back, opens) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        let mut world = World::new(60 + back);
        world.work(0..20, false);
        assert!(world.settle());
        world.check();
        let before = world.store().histories(0, usize::MAX);
        let day = NOW / DAY_MS - back;
        let own = |id: u64| MessageId(id).wall().0 / DAY_MS == day;
        assert!(before.iter().any(|(id, _)| own(*id)) && before.iter().any(|(id, _)| !own(*id)));
        world.store.take().unwrap().close();
        let files = |world: &World| -> Vec<String> {
            let names = world.disk.list(&dir()).unwrap();
            names.into_iter().filter(|name| name.starts_with(&day.to_string()) && !name.ends_with(".passed")).collect()
        };
        let there = files(&world);
        assert!(there.iter().any(|name| name.ends_with(".run")));
        if opens {
            world.disk.fail_reads(Some(dir().join(day.to_string())));
        } else {
            world.disk.fail_open(Some(dir().join(format!("{day}.records"))));
        }
        let mut put = Vec::new();
        for round in 0..2 {
            world.open();
            let store = world.store();
            assert!(store.has_holes());
            for (id, history) in &before {
                assert_eq!(store.history(*id), (!own(*id)).then(|| history.clone()));
            }
            let id = Ids::default().next(Wall(NOW - back * DAY_MS + 20_000 + round)).0;
            store.put(&Finished { id, history: b"meanwhile", ..Finished::default() });
            put.push((id, b"meanwhile".to_vec()));
            if round == 1 {
                let (id, _) = before.iter().find(|(id, _)| own(*id)).unwrap();
                store.put(&Finished { id: *id, history: b"corrected", ..Finished::default() });
                put.push((*id, b"corrected".to_vec()));
            }
            assert!(world.settle());
            assert!(put.iter().all(|(id, history)| world.store().history(*id).as_ref() == Some(history)));
            world.store.take().unwrap().close();
        }
        assert_eq!(files(&world), there, "it is left as it is");
        world.disk.fail_open(None);
        world.disk.fail_reads(None);
        world.open();
        let mut after: BTreeMap<u64, Vec<u8>> = before.into_iter().chain(put.clone()).collect();
        let check = |world: &World, after: &BTreeMap<u64, Vec<u8>>| {
            for (id, history) in after {
                assert_eq!(world.store().history(*id).as_ref(), Some(history), "the last one written counts");
            }
            let mut paged: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            for most in 1.. {
                let page = world.store().histories(paged.last_key_value().map_or(0, |(id, _)| *id), most);
                let last = page.len() < most;
                paged.extend(page);
                if last {
                    break;
                }
            }
            // What was put so that others settle is there, too.
            assert!(after.iter().all(|(id, history)| paged.get(id) == Some(history)), "so does it in lists");
        };
        check(&world, &after);
        for (id, _) in &put {
            world.store().put(&Finished { id: *id, history: b"once more", ..Finished::default() });
            after.insert(*id, b"once more".to_vec());
        }
        assert!(world.settle());
        for _ in 0..2 {
            check(&world, &after);
            world.store.take().unwrap().close();
            world.open();
        }
    }
}
