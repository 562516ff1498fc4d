//! One day's messages: a file of records that only grows, and its index. What is in the index follows from the records:
//! its newest part is in memory, the rest in sorted runs, which become fewer and longer behind the writer's back.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::disk::{Disk, DiskFile};
use super::record::{self, Entry, Hole, Key, Lot, Record, Scanned, both};
use super::run::{self, Failure, Merge, Run};

/// Runs of about the same length that become one.
const FOLD: usize = 8;
/// Runs that a day may keep that is over.
const FEW: usize = 4;
/// So many times as many entries as make a run stay in memory where runs cannot be written.
const PATIENCE: usize = 8;
/// Runs of a day that are made again in one life: a device that reads nothing back must not be written to for ever.
const MENDS: usize = 64;
/// Octets of records whose lines are made again in one go, for each line that stays in memory: 256 MiB. What else is to be
/// made again waits for look-ups that need it, and for the folding thread.
const PIECE: u64 = 4_096;
/// Damaged records of a day that are told of one by one.
const TOLD: usize = 64;

/// Where days are, and how.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// Entries that stay in memory before they become a run.
    pub(super) fresh: usize,
}

/// A day, open. One thread appends, one folds, any looks up.
pub(super) struct Day {
    place: Place,
    number: u32,
    file: Arc<dyn DiskFile>,
    index: RwLock<Index>,
    /// Whether no more than stragglers come.
    over: AtomicBool,
    /// Whether the last lot in the file was torn, and nothing written since.
    torn: AtomicBool,
    /// Whether there are holes that the next start is to see: until what is put again after this one is on disk.
    holes: AtomicBool,
    /// Held while a run is made again; how often that was so.
    mends: Mutex<usize>,
    /// Places of records that were found damaged.
    told: Mutex<BTreeSet<u64>>,
}

/// What is known of the records of a stretch.
#[derive(Default)]
struct Stretch {
    runs: Vec<Arc<Run>>,
    /// Entries behind the last of the runs.
    rest: Vec<Entry>,
    /// Where these begin.
    from: u64,
    scanned: Scanned,
}

#[derive(Default)]
struct Index {
    /// Entries of the records that no run covers, the newest of them in the records' order.
    fresh: Vec<Entry>,
    /// Those before, as many in each heap as make a run, sorted, where no run may be or could be written.
    heaps: Vec<Vec<Entry>>,
    /// Where these begin.
    from: u64,
    /// Behind the last record.
    end: u64,
    /// Oldest first, one beginning where the one before it ends.
    runs: Vec<Arc<Run>>,
}

impl Index {
    fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.to)
    }

    /// Entries in memory.
    fn waiting(&self) -> usize {
        self.fresh.len() + self.heaps.iter().map(Vec::len).sum::<usize>()
    }

    /// All of these, sorted.
    fn sorted(&self) -> Vec<Entry> {
        if self.heaps.is_empty() {
            return record::sorted(&self.fresh);
        }
        record::sorted(&self.heaps.iter().chain([&self.fresh]).flatten().copied().collect::<Vec<_>>())
    }

    /// Those of these keys, in no order.
    fn of(&self, keys: &RangeInclusive<Key>) -> Vec<Entry> {
        let heaps = self.heaps.iter().flat_map(|heap| {
            let from = heap.partition_point(|entry| entry.key < *keys.start());
            let to = heap.partition_point(|entry| entry.key <= *keys.end());
            heap.get(from..to).unwrap_or_default()
        });
        heaps.chain(self.fresh.iter().filter(|entry| keys.contains(&entry.key))).copied().collect()
    }
}

fn file_name(day: u32) -> String {
    format!("{day}.records")
}

/// The day whose file has this name, whatever file it is.
pub(super) fn day_of_file(name: &str) -> Option<u32> {
    name.split(['.', '-']).next()?.parse().ok()
}

/// Whether the file of that name holds a day's records.
pub(super) fn holds_records(name: &str) -> bool {
    day_of_file(name).is_some_and(|day| file_name(day) == name)
}

/// The day that was passed over, if the file of that name says so of one.
pub(super) fn passed_over(name: &str) -> Option<u32> {
    name.strip_suffix(".passed")?.parse().ok()
}

/// Writes down that what finishes of that day goes to the next one.
pub(super) fn pass_over(place: &Place, day: u32) -> io::Result<()> {
    place.disk.create(&place.dir.join(format!("{day}.passed")))?;
    place.disk.sync_dir(&place.dir)
}

/// Removes whatever is of a day before that one: a run may have come when its day had gone.
pub(super) fn remove_before(place: &Place, oldest: u32) -> io::Result<()> {
    let names = place.disk.list(&place.dir)?;
    let old = names.iter().filter(|name| day_of_file(name).is_some_and(|day| day < oldest));
    // One that cannot be removed keeps none of the others.
    old.map(|name| place.disk.remove(&place.dir.join(name))).fold(Ok(()), Result::and)
}

impl Day {
    fn new(place: &Place, number: u32, file: Arc<dyn DiskFile>) -> Day {
        Day {
            place: place.clone(),
            number,
            file,
            index: RwLock::default(),
            over: AtomicBool::new(false),
            torn: AtomicBool::new(false),
            holes: AtomicBool::new(false),
            mends: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Makes a new day.
    pub(super) fn make(place: &Place, number: u32) -> io::Result<Day> {
        // Runs whose records are gone would hide the new ones.
        let runs = place.disk.list(&place.dir)?;
        for name in runs.iter().filter(|name| run::named(name).is_some_and(|(day, ..)| day == number)) {
            place.disk.remove(&place.dir.join(name))?;
        }
        let file = place.disk.create(&place.dir.join(file_name(number)))?;
        place.disk.sync_dir(&place.dir)?;
        Ok(Day::new(place, number, file))
    }

    /// Opens a day of which `names` are in the directory. What is behind its runs is read, unless that is very much. True where
    /// a record may be missing that stood before one that is there, or some of the index is. An error that
    /// [`record::is_unreadable`] where the device cannot read it, and for nothing else.
    pub(super) fn open(place: &Place, number: u32, names: &[String]) -> io::Result<(Day, bool)> {
        let file = place.disk.open(&place.dir.join(file_name(number)))?;
        let day = Day::new(place, number, file);
        let length = day.file.length()?;
        let mut index = Index::default();
        for run in day.runs(names)? {
            let covered = index.covered();
            if run.from < covered {
                // Its content went on in a longer one, or was made again while that one could not be read.
                let _ = place.disk.remove(&run.path);
                continue;
            }
            if run.from > covered {
                index.runs.push(day.missing(covered, run.from));
            }
            index.runs.push(Arc::new(run));
        }
        let mut covered = index.covered();
        if length > covered {
            // Its last writer may have been killed before its sync, and runs cover only what lasts.
            day.file.sync().map_err(io::Error::other)?;
        }
        let late = length.checked_sub(day.piece()).filter(|late| *late > covered);
        let late = late.map(|late| record::first(&*day.file, late, length)).transpose()?.flatten();
        if let Some(late) = late {
            index.runs.push(day.missing(covered, late));
            covered = late;
        }
        let Stretch { runs, rest, from, scanned, .. } = day.read_in(covered, length)?;
        if length > 0 && scanned.end == 0 {
            if scanned.unread > 0 {
                return Err(record::unreadable());
            }
            return Ok((Day::begin_anew(place, number, length).map_err(io::Error::other)?, true));
        }
        day.tell_damage(scanned.damaged);
        // What has not been looked at may have some.
        let holes = scanned.damaged.is_some() || scanned.torn.is_some() || scanned.unread > 0 || late.is_some();
        let behind = length.checked_sub(scanned.end).filter(|octets| *octets > 0);
        if let Some(hole) = both(scanned.torn, behind.map(|octets| Hole { at: scanned.end, octets })) {
            tracing::warn!(file = %day.path().display(), offset = hole.at, octets = hole.octets,
                "the store's last write was cut short: what it held is in the journal still");
        }
        index.runs.extend(runs);
        // Never over what could not be read now.
        (index.fresh, index.from, index.end) = (rest, from, scanned.end.max(scanned.unread));
        *day.index_mut() = index;
        day.heap();
        day.torn.store(scanned.torn.is_some(), Relaxed);
        day.holes.store(holes, Relaxed);
        // Nor does a start wait for what would have to be made again to know what is there.
        let missing = day.index().runs.iter().any(|run| run.is_missing());
        Ok((day, holes || missing))
    }

    /// Moves aside what has so many octets and no record, and makes the day.
    fn begin_anew(place: &Place, number: u32, length: u64) -> io::Result<Day> {
        let path = place.dir.join(file_name(number));
        let aside = place.dir.join(format!("{}.damaged", file_name(number)));
        place.disk.rename(&path, &aside)?;
        tracing::error!(aside = %aside.display(), octets = length, "a file of the store has no record that reads: \
            moved aside, and the day begun anew");
        Day::make(place, number)
    }

    fn path(&self) -> PathBuf {
        self.place.dir.join(file_name(self.number))
    }

    fn tell_damage(&self, damage: Option<Hole>) {
        if let Some(Hole { at, octets }) = damage {
            tracing::error!(file = %self.path().display(), offset = at, octets,
                "the store is damaged there, or from there on here and there; histories of finished messages are lost");
        }
    }

    /// Those that are whole, the first and of these the longest first; damaged ones are removed.
    fn runs(&self, names: &[String]) -> io::Result<Vec<Run>> {
        let mut named: Vec<_> = names.iter().filter_map(|name| run::named(name)).collect();
        named.retain(|(day, from, to)| *day == self.number && from < to);
        named.sort_by_key(|(_, from, to)| (*from, std::cmp::Reverse(*to)));
        let open = |(day, from, to)| {
            let path = self.place.dir.join(run::name(day, from, to));
            match Run::open(&*self.place.disk, path.clone(), from, to) {
                Ok(run) => Some(Ok(run)),
                Err(error) => {
                    let damaged = error.kind() == io::ErrorKind::InvalidData;
                    if !damaged && !record::is_unreadable(&error) {
                        return Some(Err(error));
                    }
                    tracing::error!(%error, file = %path.display(), offset = 0,
                        "the store's index is damaged: made again from the records");
                    // One that cannot be read today may be whole.
                    if damaged {
                        let _ = self.place.disk.remove(&path);
                    }
                    None
                }
            }
        };
        named.into_iter().filter_map(open).collect()
    }

    /// Reads the records of a stretch that no run covers. Whenever there are enough they become a run.
    fn read_in(&self, from: u64, to: u64) -> io::Result<Stretch> {
        let mut stretch = Stretch { from, ..Stretch::default() };
        let mut enough = self.place.fresh;
        stretch.scanned = record::scan(&*self.file, from, to, |end, found| {
            stretch.rest.append(found);
            if stretch.rest.len() >= enough {
                self.run_of(&mut stretch, end);
                enough = self.place.fresh.max(2 * stretch.rest.len());
            }
        })?;
        Ok(stretch)
    }

    /// Octets whose lines are made again in one go.
    fn piece(&self) -> u64 {
        self.place.fresh as u64 * PIECE
    }

    fn missing(&self, from: u64, to: u64) -> Arc<Run> {
        Arc::new(Run::missing(&self.place.dir, (self.number, from, to)))
    }

    /// The same of a stretch whose runs are gone: all of it becomes runs, the last of which may be missing yet.
    fn index_again(&self, from: u64, to: u64) -> io::Result<Vec<Arc<Run>>> {
        let end = to.min(self.file.length()?);
        let mut stretch = self.read_in(from, end)?;
        let Scanned { end, damaged, torn, .. } = stretch.scanned;
        // What stood in it was on disk, be it the end of it.
        let behind = to.checked_sub(end).filter(|octets| *octets > 0).map(|octets| Hole { at: end, octets });
        self.tell_damage(both(both(damaged, torn), behind));
        self.run_of(&mut stretch, to);
        if stretch.from < to {
            self.give_up(&mut stretch, to);
        }
        Ok(stretch.runs)
    }

    /// What a run is made again as: the first piece of it; the rest is missing yet.
    fn piece_again(&self, run: &Run) -> io::Result<Vec<Arc<Run>>> {
        let late = run.from.checked_add(self.piece()).filter(|late| *late < run.to);
        let late = late.map(|late| record::first(&*self.file, late, run.to)).transpose()?.flatten();
        let mut again = self.index_again(run.from, late.unwrap_or(run.to))?;
        again.extend(late.map(|late| self.missing(late, run.to)));
        Ok(again)
    }

    /// What is left of a stretch becomes a run up to `end`, unless that fails.
    fn run_of(&self, stretch: &mut Stretch, end: u64) {
        if stretch.from >= end {
            return;
        }
        match self.write_run(stretch.from, end, &record::sorted(&stretch.rest)) {
            Ok(run) => {
                stretch.runs.push(run);
                stretch.rest.clear();
                stretch.from = end;
            }
            Err(error) if stretch.rest.len() < PATIENCE * self.place.fresh => {
                tracing::warn!(%error, day = self.number, "the store cannot write its index");
            }
            Err(_) => self.give_up(stretch, end),
        }
    }

    /// Memory is not for a whole day's index.
    fn give_up(&self, stretch: &mut Stretch, end: u64) {
        tracing::error!(
            day = self.number,
            from = stretch.from,
            to = end,
            "the store cannot write its index: what stands \
            there is not found before it can"
        );
        stretch.runs.push(self.missing(stretch.from, end));
        stretch.rest.clear();
        stretch.from = end;
    }

    /// Writes a run of entries in order; of one key the oldest comes first.
    fn write_run(&self, from: u64, to: u64, entries: &[Entry]) -> io::Result<Arc<Run>> {
        let Place { disk, dir, .. } = &self.place;
        let entries = entries.iter().copied().map(Ok::<_, io::Error>);
        Run::write(&**disk, dir, (self.number, from, to), entries).map(Arc::new)
    }

    /// What is fresh becomes a run. Where that fails it stays in memory, as it does in the records.
    fn put_run(&self) -> io::Result<()> {
        let (from, to, entries) = {
            let index = self.index();
            if index.from >= index.end {
                return Ok(());
            }
            (index.from, index.end, index.sorted())
        };
        let run = self.write_run(from, to, &entries)?;
        let mut index = self.index_mut();
        index.fresh.clear();
        index.heaps.clear();
        index.from = to;
        index.runs.push(run);
        self.holes.store(false, Relaxed);
        Ok(())
    }

    /// A later day has begun: its entries leave the memory, unless it has holes: no run hides those from the next start
    /// before what was in them is put again. `over` where hardly anything comes any more.
    pub(super) fn rest(&self, over: bool) {
        self.over.fetch_or(over, Relaxed);
        if !self.holes.load(Relaxed)
            && let Err(error) = self.put_run()
        {
            tracing::warn!(%error, day = self.number, "the store cannot write its index");
        }
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a lot; all of it is on disk and found when this returns, and none of it is found where it fails: then the
    /// same lot is to be written again, in its place. True where a new run may make others fold.
    pub(super) fn append(&self, lot: &mut Lot) -> io::Result<bool> {
        if self.index().waiting() >= PATIENCE * self.place.fresh {
            self.put_run()?;
        }
        let end = self.index().end;
        let octets = lot.seal(end, self.torn.load(Relaxed));
        let behind = end + octets.len() as u64;
        self.file.write_at(octets, end)?;
        self.file.sync()?;
        self.torn.store(false, Relaxed);
        let mut index = self.index_mut();
        index.fresh.extend(lot.lines(end));
        index.end = behind;
        let full = index.fresh.len() >= self.place.fresh && !self.holes.load(Relaxed);
        drop(index);
        if full && let Err(error) = self.put_run() {
            tracing::warn!(%error, day = self.number, "the store cannot write its index");
        }
        self.heap();
        Ok(full)
    }

    /// What is fresh and has not become a run is sorted where it is many: nobody may have to go through all of it.
    fn heap(&self) {
        let heap = {
            let index = self.index();
            if index.fresh.len() < self.place.fresh {
                return;
            }
            record::sorted(&index.fresh)
        };
        let mut index = self.index_mut();
        index.fresh.clear();
        index.heaps.push(heap);
    }

    /// What the newest record of a key says, of those that `take` takes.
    pub(super) fn find<T>(&self, key: Key, mut take: impl FnMut(Record) -> Option<T>) -> Option<T> {
        let mut without = Vec::new();
        loop {
            match self.seek(key, &without, &mut take) {
                Ok(found) => return found,
                Err(failure) => self.mend(failure, &mut without)?,
            }
        }
    }

    fn seek<T>(
        &self,
        key: Key,
        without: &[Arc<Run>],
        take: &mut impl FnMut(Record) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let (mut fresh, runs) = {
            let index = self.index();
            (index.of(&(key..=key)), index.runs.clone())
        };
        fresh.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.at));
        let taken = fresh.into_iter().find_map(|entry| take(self.read(entry.at)?));
        if taken.is_some() {
            return Ok(taken);
        }
        for run in runs.iter().rev().filter(|run| !is_among(run, without)) {
            for place in run.newest(key) {
                if let Some(taken) = self.read(place?).and_then(&mut *take) {
                    return Ok(Some(taken));
                }
            }
        }
        Ok(None)
    }

    /// Shows the records of the keys from `from` to before `to`, in the keys' order, until `show` has enough: of each key the
    /// newest, or `every` one, some perhaps twice. False where some of the index does not read.
    pub(super) fn walk(&self, mut from: Key, to: Key, every: bool, mut show: impl FnMut(Record) -> bool) -> bool {
        let mut without = Vec::new();
        loop {
            match self.stroll(&mut from, to, every, &without, &mut show) {
                Ok(()) => return without.is_empty(),
                Err(failure) => {
                    if self.mend(failure, &mut without).is_none() {
                        return false;
                    }
                }
            }
        }
    }

    /// A walk up to the first failure; it goes on at `from`.
    fn stroll(
        &self,
        from: &mut Key,
        to: Key,
        every: bool,
        without: &[Arc<Run>],
        show: &mut impl FnMut(Record) -> bool,
    ) -> Result<(), Failure> {
        let (mut fresh, runs) = {
            let index = self.index();
            (index.of(&(*from..=to.saturating_sub(1))), index.runs.clone())
        };
        fresh.sort_unstable_by_key(|entry| (entry.key, entry.at));
        type Row = Box<dyn Iterator<Item = Result<Entry, Failure>>>;
        let mut rows: Vec<Row> = Vec::with_capacity(runs.len() + 1);
        rows.extend(runs.iter().filter(|run| !is_among(run, without)).map(|run| Box::new(run.since(*from)) as Row));
        rows.push(Box::new(fresh.into_iter().map(Ok)));
        let mut entries = Merge::new(rows)?.peekable();
        let mut places = Vec::new();
        while let Some(entry) = entries.next() {
            let Entry { key, at } = entry?;
            if key >= to {
                break;
            }
            places.push(at);
            match entries.peek() {
                Some(Ok(next)) if next.key == key => continue,
                // Whether that was the newest record is not known.
                Some(Err(_)) => continue,
                _ => {}
            }
            let mut records = places.drain(..).rev().filter_map(|at| self.read(at));
            let wanted = if every { usize::MAX } else { 1 };
            let more = records.by_ref().take(wanted).all(&mut *show);
            *from = key + 1;
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, offset: u64) -> Option<Record> {
        let failed = |error: io::Error| {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < TOLD && told.insert(offset) {
                tracing::error!(%error, file = %self.path().display(), offset, "a record of the store is damaged and lost");
            }
        };
        Record::read(&*self.file, offset).map_err(failed).ok()
    }

    /// Makes the damaged run again from the records, so that whoever met it can go on; if not by itself or with others'
    /// help, then without that run. `None` where nobody can.
    fn mend(&self, failure: Failure, without: &mut Vec<Arc<Run>>) -> Option<()> {
        let (run, offset, error) = match failure {
            Failure::Damaged(run, offset, error) => (run, offset, error),
            Failure::Disk(error) => {
                tracing::warn!(%error, day = self.number, "the store cannot read");
                return None;
            }
        };
        let mut mends: MutexGuard<'_, usize> = self.mends.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_among(&run, &self.index().runs) {
            // It went into a longer one meanwhile, or was made again.
            return Some(());
        }
        if *mends >= MENDS {
            without.push(run);
            return Some(());
        }
        if !run.is_missing() {
            *mends += 1;
            tracing::error!(%error, file = %run.path.display(), offset,
                "the store's index is damaged: made again from the records");
        }
        // Its place on the disk is needed; what is only half made again by then is missing at the next start.
        let _ = self.place.disk.remove(&run.path);
        match self.piece_again(&run) {
            Ok(again) => {
                // That which begins with it could not be written.
                if let Some(missing) = again.first().filter(|first| first.is_missing()) {
                    *mends += usize::from(run.is_missing());
                    without.push(missing.clone());
                }
                let mut index = self.index_mut();
                if let Some(at) = index.runs.iter().position(|other| Arc::ptr_eq(other, &run)) {
                    index.runs.splice(at..=at, again);
                }
            }
            Err(error) => {
                tracing::error!(%error, day = self.number, "the store cannot make its index again");
                *mends += usize::from(run.is_missing());
                without.push(run);
            }
        }
        Some(())
    }

    /// Makes one run of several where there are enough; false where there are not, or where it failed.
    pub(super) fn fold(&self, stop: &dyn Fn() -> bool) -> bool {
        let missing = self.index().runs.iter().find(|run| run.is_missing()).cloned();
        if let Some(missing) = missing {
            let (failure, mut without) = (Failure::Damaged(missing, 0, io::ErrorKind::NotFound.into()), Vec::new());
            match self.mend(failure, &mut without) {
                None => return false,
                Some(()) if without.is_empty() => return true,
                // What cannot be made again keeps none of the others.
                Some(()) => {}
            }
        }
        let runs = self.index().runs.clone();
        let mut stretches = runs.split(|run| run.is_missing());
        let Some(some) = stretches.find_map(|stretch| self.alike(stretch)) else { return false };
        let (Some(first), Some(last)) = (some.first(), some.last()) else { return false };
        let folded = (|| {
            let stopped = || Err(Failure::Disk(io::ErrorKind::Interrupted.into()));
            let entries = Merge::new(some.iter().map(|run| run.since(0)))?;
            let entries = entries.map(|entry| if stop() { stopped() } else { entry });
            let Place { disk, dir, .. } = &self.place;
            Run::write(&**disk, dir, (self.number, first.from, last.to), entries)
        })();
        let new = match folded {
            Ok(new) => Arc::new(new),
            Err(Failure::Disk(error)) => {
                if !stop() {
                    tracing::warn!(%error, day = self.number, "runs of the store's index cannot become one");
                }
                return false;
            }
            Err(damaged) => {
                let mut without = Vec::new();
                return self.mend(damaged, &mut without).is_some() && without.is_empty();
            }
        };
        let mut index = self.index_mut();
        let at = index.runs.iter().position(|run| Arc::ptr_eq(run, first)).unwrap_or(usize::MAX);
        let there = at.checked_add(some.len()).and_then(|end| index.runs.get(at..end));
        // One of them may have been made again meanwhile.
        let same = there.is_some_and(|there| there.iter().zip(some).all(|(run, other)| Arc::ptr_eq(run, other)));
        if same {
            index.runs.splice(at..at + some.len(), [new]);
            drop(index);
            some.iter().for_each(|run| drop(self.place.disk.remove(&run.path)));
        } else {
            drop(index);
            let _ = self.place.disk.remove(&new.path);
        }
        true
    }

    /// Which of these neighbours, none of them missing, are to become one: several of about the same length, or in a day that
    /// is over all there are, unless that would write nearly all of it again for a few.
    fn alike<'r>(&self, runs: &'r [Arc<Run>]) -> Option<&'r [Arc<Run>]> {
        let fresh = self.place.fresh as u64;
        let level = |run: &Arc<Run>| (run.count / fresh.max(1)).checked_ilog(FOLD as u64).unwrap_or(0);
        let alike = |some: &&[Arc<Run>]| some.iter().all(|run| some.first().map(level) == Some(level(run)));
        runs.windows(FOLD).find(alike).or_else(|| {
            let all: u64 = runs.iter().map(|run| run.count).sum();
            let longest = runs.iter().map(|run| run.count).max().unwrap_or(0);
            let worth = runs.len() > FEW && longest / 4 <= all - longest;
            (self.over.load(Relaxed) && worth).then_some(runs)
        })
    }
}

fn is_among(run: &Arc<Run>, runs: &[Arc<Run>]) -> bool {
    runs.iter().any(|other| Arc::ptr_eq(run, other))
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::Files;
    use super::super::record::{kind, ordered};
    use super::*;

    const FRESH: usize = 4;

    fn place(dir: &tempfile::TempDir) -> Place {
        Place { disk: Arc::new(Files), dir: dir.path().into(), fresh: FRESH }
    }

    fn append(day: &Day, ids: std::ops::Range<u64>, body: &[u8]) {
        let mut lot = Lot::default();
        ids.for_each(|id| lot.push(kind::HISTORY, id, std::iter::empty(), &[body]));
        day.append(&mut lot).unwrap();
    }

    fn history(day: &Day, id: u64) -> Option<Vec<u8>> {
        day.find(ordered(kind::HISTORY, id), |record| Some(record.into_body()))
    }

    fn missing(day: &Day) -> usize {
        day.index().runs.iter().filter(|run| run.is_missing()).count()
    }

    /// However much of the index is gone, the day opens at once, and look-ups find all there is.
    #[test]
    fn what_is_missing_of_the_index_is_made_again_when_it_is_needed() {
        for by_folding in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let day = Day::make(&place(&dir), 7).unwrap();
            (0..20).for_each(|lot| append(&day, 10 * lot..10 * (lot + 1), &[9; 1_000]));
            let names = Files.list(dir.path()).unwrap();
            for run in names.iter().filter(|name| run::named(name).is_some()) {
                Files.remove(&dir.path().join(run)).unwrap();
            }
            let names = Files.list(dir.path()).unwrap();
            let (day, holes) = Day::open(&place(&dir), 7, &names).unwrap();
            assert!(holes, "who knows");
            assert!(missing(&day) == 1 && day.index().waiting() < 20, "{}", day.index().waiting());
            let mending = day.mends.lock().unwrap();
            append(&day, 200..201, &[9; 1_000]);
            assert!(history(&day, 200).is_some() && history(&day, 199).is_some());
            assert_eq!(
                missing(&day),
                1,
                "what is newer needs nothing older, and nobody writes or reads it later for that"
            );
            if !by_folding {
                std::thread::scope(|scope| {
                    let waits = scope.spawn(|| history(&day, 0));
                    drop(mending);
                    assert!(waits.join().unwrap().is_some());
                });
            } else {
                drop(mending);
                assert!(day.fold(&|| false));
                assert!(missing(&day) == 1 && day.index().runs.len() > 1, "piece by piece");
                while day.fold(&|| false) {}
                assert_eq!(missing(&day), 0);
            }
            assert!((0..201).all(|id| history(&day, id).is_some_and(|found| found == [9; 1_000])));
            assert_eq!((missing(&day), history(&day, 201)), (0, None));
            let names = Files.list(dir.path()).unwrap();
            let (day, _) = Day::open(&place(&dir), 7, &names).unwrap();
            assert!(missing(&day) == 0 && (0..201).all(|id| history(&day, id).is_some()));
        }
    }

    /// A place of the records that cannot be read keeps no other neighbours from becoming one.
    #[test]
    fn runs_fold_beside_what_cannot_be_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let day = Day::make(&place(&dir), 7).unwrap();
        (0..18).for_each(|lot| append(&day, 10 * lot..10 * (lot + 1), &[9; 100]));
        *day.mends.lock().unwrap() = MENDS;
        let (before, lost) = (day.index().runs.len(), 3);
        {
            let mut index = day.index_mut();
            let (from, to) = (index.runs[lost].from, index.runs[lost].to);
            index.runs[lost] = day.missing(from, to);
        }
        while day.fold(&|| false) {}
        assert!(before == 18 && day.index().runs.len() == lost + 1 + 1 + 6, "{before} {}", day.index().runs.len());
        assert_eq!((missing(&day), day.index().runs[lost].is_missing()), (1, true));
        assert!((0..180).all(|id| history(&day, id).is_some() != (30..40).contains(&id)));
        day.rest(true);
        while day.fold(&|| false) {}
        assert_eq!(day.index().runs.len(), lost + 2, "what is behind it is one");
    }

    /// While no run may hide the holes among a day's records its lines are found by halves, and not one by one.
    #[test]
    fn many_lines_in_memory_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let day = Day::make(&place(&dir), 7).unwrap();
        day.holes.store(true, Relaxed);
        let most = (FRESH * PATIENCE) as u64;
        (0..most).for_each(|id| append(&day, id / 2..id / 2 + 1, format!("{id}").as_bytes()));
        assert_eq!(
            (day.index().waiting() as u64, day.index().fresh.len(), day.index().heaps.len()),
            (most, 0, PATIENCE)
        );
        let check = || {
            for id in 0..most / 2 {
                assert_eq!(history(&day, id), Some(format!("{}", 2 * id + 1).into_bytes()), "the newest");
            }
            assert_eq!(history(&day, most / 2), None);
            let (from, to) = (ordered(kind::HISTORY, 3), ordered(kind::HISTORY, 7));
            let mut walked = Vec::new();
            assert!(day.walk(from, to, false, |record| {
                walked.push(record.id);
                true
            }));
            assert_eq!(walked, [3, 4, 5, 6]);
        };
        check();
        append(&day, 1_000..1_001, b"more");
        assert_eq!((day.index().waiting(), day.index().runs.len()), (1, 1), "enough is enough");
        check();
    }
}
