//! One day's messages: a file of records that only grows, and its index. What is in the index follows from the records:
//! its newest part is in memory, the rest in sorted runs, which become fewer and longer behind the writer's back.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::disk::{Disk, DiskFile};
use super::record::{self, Entry, Key, Lot, Record, Scanned};
use super::run::{self, Merge, Run};

/// Runs of about the same length that become one.
const FOLD: usize = 8;

/// Where days are, and how.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// Entries that stay in memory before they become a run.
    pub(super) fresh: usize,
}

/// A day, open. One thread appends, one folds.
pub(super) struct Day {
    place: Place,
    number: u32,
    file: Arc<dyn DiskFile>,
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    /// Entries of the records that no run covers, in the records' order.
    fresh: Vec<Entry>,
    /// Behind the last record.
    end: u64,
    /// Oldest first, one beginning where the one before it ends.
    runs: Vec<Arc<Run>>,
}

impl Index {
    fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.to)
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

/// Removes all files of a day.
pub(super) fn remove(place: &Place, number: u32) -> io::Result<()> {
    for name in place.disk.list(&place.dir)?.iter().filter(|name| day_of_file(name) == Some(number)) {
        place.disk.remove(&place.dir.join(name))?;
    }
    Ok(())
}

impl Day {
    /// Makes a new day.
    pub(super) fn make(place: &Place, number: u32) -> io::Result<Day> {
        // Runs whose records are gone would hide the new ones.
        let runs = place.disk.list(&place.dir)?;
        for name in runs.iter().filter(|name| run::named(name).is_some_and(|(day, ..)| day == number)) {
            place.disk.remove(&place.dir.join(name))?;
        }
        let file = place.disk.create(&place.dir.join(file_name(number)))?;
        place.disk.sync_dir(&place.dir)?;
        Ok(Day { place: place.clone(), number, file, index: RwLock::default() })
    }

    /// Opens a day of which `names` are in the directory. Whatever no run covers is read.
    pub(super) fn open(place: &Place, number: u32, names: &[String]) -> io::Result<Day> {
        let path = place.dir.join(file_name(number));
        let file = place.disk.open(&path)?;
        let day = Day { place: place.clone(), number, file, index: RwLock::default() };
        let length = day.file.length()?;
        let mut lost = 0;
        for run in day.runs(names) {
            let covered = day.index().covered();
            if run.to <= covered {
                // Its content went on in a longer one.
                let _ = place.disk.remove(&run.path);
                continue;
            }
            lost += day.read_in(covered, run.from.min(length))?.lost;
            day.put_run(run.from);
            day.index_mut().runs.push(Arc::new(run));
        }
        let covered = day.index().covered();
        let scanned = day.read_in(covered, length)?;
        if length > 0 && scanned.end == 0 {
            let aside = place.dir.join(format!("{}.damaged", file_name(number)));
            place.disk.rename(&path, &aside)?;
            tracing::error!(aside = %aside.display(), "a day of the store is damaged: moved aside and begun anew; its \
                histories are lost");
            return Day::make(place, number);
        }
        lost += scanned.lost;
        if lost > 0 {
            tracing::error!(
                day = number,
                octets = lost,
                "the store is damaged; histories of finished messages are lost"
            );
        }
        if scanned.end > covered {
            // Its last writer may have been killed before its sync, and runs cover only what lasts.
            day.file.sync()?;
        }
        day.index_mut().end = scanned.end;
        Ok(day)
    }

    /// Those that are whole, the first and of these the longest first.
    fn runs(&self, names: &[String]) -> Vec<Run> {
        let mut named: Vec<_> = names.iter().filter_map(|name| run::named(name)).collect();
        named.retain(|(day, from, to)| *day == self.number && from < to);
        named.sort_by_key(|(_, from, to)| (*from, std::cmp::Reverse(*to)));
        let open = |(day, from, to)| {
            let path = self.place.dir.join(run::name(day, from, to));
            match Run::open(&*self.place.disk, path.clone(), from, to) {
                Ok(run) => Some(run),
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a part of the store's index is made anew");
                    let _ = self.place.disk.remove(&path);
                    None
                }
            }
        };
        named.into_iter().filter_map(open).collect()
    }

    /// Takes the records of a stretch that no run covers into the index.
    fn read_in(&self, from: u64, to: u64) -> io::Result<Scanned> {
        record::scan(&*self.file, from, to, |at, found| {
            let mut index = self.index_mut();
            index.fresh.append(found);
            let full = index.fresh.len() >= self.place.fresh;
            drop(index);
            if full {
                self.put_run(at);
            }
        })
    }

    /// What is fresh becomes a run that ends at `to`. Where that fails it stays in memory, as it does in the records.
    fn put_run(&self, to: u64) {
        let (from, mut entries) = {
            let index = self.index();
            (index.covered(), index.fresh.clone())
        };
        if from >= to {
            return;
        }
        // Of one key the oldest comes first.
        entries.sort_by_key(|entry| entry.key);
        let Place { disk, dir, .. } = &self.place;
        match Run::write(&**disk, dir, (self.number, from, to), entries.into_iter().map(Ok)) {
            Ok(run) => {
                let mut index = self.index_mut();
                index.fresh.clear();
                index.runs.push(Arc::new(run));
            }
            Err(error) => tracing::warn!(%error, "the store cannot write its index"),
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
        let end = self.index().end;
        let mut entries = Vec::new();
        let octets = lot.seal(end, &mut entries);
        self.file.write_at(octets, end)?;
        self.file.sync()?;
        let end = end + octets.len() as u64;
        let mut index = self.index_mut();
        index.fresh.append(&mut entries);
        index.end = end;
        let full = index.fresh.len() >= self.place.fresh;
        drop(index);
        if full {
            self.put_run(end);
        }
        Ok(full)
    }

    /// What the newest record of a key says, of those that `take` takes.
    pub(super) fn find<T>(&self, key: Key, mut take: impl FnMut(Record) -> Option<T>) -> Option<T> {
        let (fresh, runs) = {
            let index = self.index();
            let places = index.fresh.iter().rev().filter(|entry| entry.key == key).map(|entry| entry.at);
            (places.collect::<Vec<_>>(), index.runs.clone())
        };
        let taken = fresh.into_iter().find_map(|at| self.read(at).and_then(&mut take));
        taken.or_else(|| {
            runs.iter().rev().find_map(|run| {
                let places = run.newest(key).map_err(|error| self.unreadable(run, &error)).ok()?;
                places
                    .map_while(|place| place.map_err(|error| self.unreadable(run, &error)).ok())
                    .find_map(|at| self.read(at).and_then(&mut take))
            })
        })
    }

    /// Shows the newest record of each key from `from` to before `to`, in the keys' order, until `show` has enough.
    pub(super) fn walk(&self, from: Key, to: Key, mut show: impl FnMut(Record) -> bool) -> io::Result<()> {
        let (mut fresh, runs) = {
            let index = self.index();
            let within = |entry: &&Entry| (from..to).contains(&entry.key);
            (index.fresh.iter().filter(within).copied().collect::<Vec<_>>(), index.runs.clone())
        };
        fresh.sort_by_key(|entry| entry.key);
        type Row = Box<dyn Iterator<Item = io::Result<Entry>>>;
        let mut rows: Vec<Row> = Vec::with_capacity(runs.len() + 1);
        for run in &runs {
            rows.push(Box::new(run.since(from)?));
        }
        rows.push(Box::new(fresh.into_iter().map(Ok)));
        let mut entries = Merge::new(rows)?.peekable();
        let mut places = Vec::new();
        while let Some(entry) = entries.next() {
            let Entry { key, at } = entry?;
            if key >= to {
                break;
            }
            places.push(at);
            if entries.peek().is_some_and(|next| next.as_ref().is_ok_and(|next| next.key == key)) {
                continue;
            }
            let newest = places.drain(..).rev().find_map(|at| self.read(at));
            if newest.is_some_and(|record| !show(record)) {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, at: u64) -> Option<Record> {
        let failed = |error| tracing::warn!(%error, day = self.number, at, "the store cannot read a record");
        Record::read(&*self.file, at).map_err(failed).ok()
    }

    /// A damaged run is made anew at the next start.
    fn unreadable(&self, run: &Run, error: &io::Error) {
        tracing::error!(%error, path = %run.path.display(), "the store's index is damaged");
        if error.kind() == io::ErrorKind::InvalidData {
            let _ = self.place.disk.remove(&run.path);
        }
    }

    /// Makes one run of several where there are enough; false where there are not, or where it failed.
    pub(super) fn fold(&self, stop: &dyn Fn() -> bool) -> bool {
        let runs = self.index().runs.clone();
        let fresh = self.place.fresh as u64;
        let level = |run: &Arc<Run>| (run.count / fresh.max(1)).checked_ilog(FOLD as u64);
        let alike = |some: &&[Arc<Run>]| some.iter().all(|run| level(run) == some.first().and_then(level));
        let Some(some) = runs.windows(FOLD).find(alike) else { return false };
        let (Some(first), Some(last)) = (some.first(), some.last()) else { return false };
        let folded = (|| {
            let rows = some.iter().map(|run| run.since(0)).collect::<io::Result<Vec<_>>>()?;
            let stopped = || Err(io::ErrorKind::Interrupted.into());
            let entries = Merge::new(rows)?.map(|entry| if stop() { stopped() } else { entry });
            let Place { disk, dir, .. } = &self.place;
            Run::write(&**disk, dir, (self.number, first.from, last.to), entries)
        })();
        let new = match folded {
            Ok(new) => Arc::new(new),
            Err(error) => {
                if !stop() {
                    tracing::warn!(%error, day = self.number, "runs of the store's index cannot become one");
                }
                return false;
            }
        };
        let mut index = self.index_mut();
        if let Some(at) = index.runs.iter().position(|run| Arc::ptr_eq(run, first)) {
            index.runs.splice(at..at + FOLD, [new]);
        }
        drop(index);
        for run in some {
            let _ = self.place.disk.remove(&run.path);
        }
        true
    }
}
