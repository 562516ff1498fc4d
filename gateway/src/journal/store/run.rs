//! Sorted runs: a day's index on disk. Each covers a stretch of the day's file, is written once and never changed;
//! several become one now and then. A run that is lost or damaged is made again of the records it covers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::{Disk, DiskFile};
use super::record::{Entry, Key};

const PAGE: usize = 4_096;
const PER_PAGE: usize = 255;
const MAGIC: &[u8; 8] = b"QIAORUN1";
/// Octets written at once.
const PIECE: usize = 64 * PAGE;
/// Octets between two syncs: a long flush in one go would keep the journal's syncs waiting.
const STRETCH: usize = 1 << 20;

/// The name of a day's run.
pub(super) fn name(day: u32, from: u64, to: u64) -> String {
    format!("{day}-{from:x}-{to:x}.run")
}

/// What a run's name says: the day, and what it covers.
pub(super) fn named(name: &str) -> Option<(u32, u64, u64)> {
    let mut words = name.strip_suffix(".run")?.split('-');
    let day = words.next()?.parse().ok()?;
    let mut place = || u64::from_str_radix(words.next()?, 16).ok();
    Some((day, place()?, place()?))
}

/// Why a run is not read to its end, or not written.
pub(super) enum Failure {
    /// It cannot be written.
    Disk(io::Error),
    /// Its page there does not read.
    Damaged(Arc<Run>, u64, io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Disk(error)
    }
}

/// A run, open; or what takes the place of one that is still to be made, of which no page reads.
pub(super) struct Run {
    file: Option<Arc<dyn DiskFile>>,
    pub(super) path: PathBuf,
    /// It covers the records from here,
    pub(super) from: u64,
    /// to here.
    pub(super) to: u64,
    /// Its entries.
    pub(super) count: u64,
}

impl Run {
    /// One that is still to be made.
    pub(super) fn missing(dir: &Path, (day, from, to): (u32, u64, u64)) -> Run {
        Run { file: None, path: dir.join(name(day, from, to)), from, to, count: 1 }
    }

    /// Whether it is.
    pub(super) fn is_missing(&self) -> bool {
        self.file.is_none()
    }

    /// Opens one; `InvalidData` where it is none.
    pub(super) fn open(disk: &dyn Disk, path: PathBuf, from: u64, to: u64) -> io::Result<Run> {
        let file = disk.open(&path)?;
        let mut head = [0; 36];
        let read = file.read_at(&mut head, 0)?;
        let eight = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let count = eight(24);
        let pages = count.div_ceil(PER_PAGE as u64);
        let whole = read == head.len()
            && head[..8] == *MAGIC
            && (eight(8), eight(16)) == (from, to)
            && head[32..] == crc32c::crc32c(&head[..32]).to_le_bytes()
            && pages.checked_add(1).and_then(|pages| pages.checked_mul(PAGE as u64)) == Some(file.length()?);
        if whole { Ok(Run { file: Some(file), path, from, to, count }) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Writes one that covers a stretch; it is on disk when this returns.
    pub(super) fn write<E: From<io::Error>>(
        disk: &dyn Disk,
        dir: &Path,
        (day, from, to): (u32, u64, u64),
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Run, E> {
        let path = dir.join(name(day, from, to));
        let new = path.with_extension("new");
        let file = disk.create(&new)?;
        let written = (|| -> Result<u64, E> {
            let (mut out, mut at, mut count, mut unsynced) = (Vec::with_capacity(PIECE), PAGE as u64, 0u64, 0);
            let seal =
                |out: &mut Vec<u8>, count: u64| end_page(out, page_seed(from, to, count.div_ceil(PER_PAGE as u64)));
            for entry in entries {
                let entry = entry?;
                out.extend_from_slice(&entry.key.to_le_bytes());
                out.extend_from_slice(&entry.at.to_le_bytes());
                count += 1;
                if count % PER_PAGE as u64 == 0 {
                    seal(&mut out, count);
                    if out.len() >= PIECE {
                        file.write_at(&out, at)?;
                        at += out.len() as u64;
                        unsynced += out.len();
                        out.clear();
                    }
                    if unsynced >= STRETCH {
                        file.sync()?;
                        unsynced = 0;
                    }
                }
            }
            if !out.len().is_multiple_of(PAGE) {
                seal(&mut out, count);
            }
            file.write_at(&out, at)?;
            let mut head = Vec::with_capacity(PAGE);
            head.extend_from_slice(MAGIC);
            [from, to, count].iter().for_each(|number| head.extend_from_slice(&number.to_le_bytes()));
            head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
            head.resize(PAGE, 0);
            file.write_at(&head, 0)?;
            file.sync()?;
            disk.rename(&new, &path)?;
            disk.sync_dir(dir)?;
            Ok(count)
        })();
        match written {
            Ok(count) => Ok(Run { file: Some(file), path, from, to, count }),
            Err(error) => {
                let _ = disk.remove(&new);
                Err(error)
            }
        }
    }

    /// How many entries stand before the first with a key of at least `key`. Keys are spread about evenly, in two heaps: so
    /// every other page looked at is the one where such a key should be, which finds it after a few.
    fn before(self: &Arc<Self>, key: Key) -> Result<(Pages, u64), Failure> {
        let mut pages = Pages { run: self.clone(), number: u64::MAX, page: [0; PAGE] };
        let per_page = PER_PAGE as u64;
        let (mut low, mut high) = (0, self.count.div_ceil(per_page));
        let (mut least, mut most, mut even) = (0, Key::MAX, false);
        while low < high {
            even = !even;
            let share =
                u128::from(key.saturating_sub(least)) * u128::from(high - low) / u128::from((most - least).max(1));
            let guess = if even { share as u64 } else { (high - low) / 2 };
            let middle = low + guess.min(high - low - 1);
            let first = pages.get(middle * per_page)?.key;
            if first < key { (low, least) = (middle + 1, first) } else { (high, most) = (middle, first) }
        }
        let (mut low, mut high) = (low.saturating_sub(1) * per_page, (low * per_page).min(self.count));
        while low < high {
            let middle = low + (high - low) / 2;
            if pages.get(middle)?.key < key { low = middle + 1 } else { high = middle }
        }
        Ok((pages, low))
    }

    /// Where the records of a key begin, newest first.
    pub(super) fn newest(self: &Arc<Self>, key: Key) -> impl Iterator<Item = Result<u64, Failure>> + use<> {
        let run = self.clone();
        let mut place = None;
        std::iter::from_fn(move || {
            let (pages, at) = match &mut place {
                Some(place) => place,
                None => match run.before(key.saturating_add(1)) {
                    Ok(found) => place.insert(found),
                    Err(failure) => return Some(Err(failure)),
                },
            };
            *at = at.checked_sub(1)?;
            let entry = pages.get(*at);
            entry.map(|entry| (entry.key == key).then_some(entry.at)).transpose()
        })
    }

    /// The entries from a key on.
    pub(super) fn since(self: &Arc<Self>, key: Key) -> impl Iterator<Item = Result<Entry, Failure>> + use<> {
        let run = self.clone();
        let mut place = None;
        std::iter::from_fn(move || {
            let (pages, at) = match &mut place {
                Some(place) => place,
                None => match run.before(key) {
                    Ok(found) => place.insert(found),
                    Err(failure) => return Some(Err(failure)),
                },
            };
            let entry = (*at < run.count).then(|| pages.get(*at));
            *at += 1;
            entry
        })
    }
}

/// What the sum of a page begins with: a page of another run, or of another place, is none of this.
fn page_seed(from: u64, to: u64, number: u64) -> u32 {
    [from, to, number].iter().fold(0, |sum, part| crc32c::crc32c_append(sum, &part.to_le_bytes()))
}

fn end_page(out: &mut Vec<u8>, seed: u32) {
    let start = (out.len() - 1) / PAGE * PAGE;
    out.resize(start + PER_PAGE * 16, 0);
    let sum = crc32c::crc32c_append(seed, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.resize(start + PAGE, 0);
}

/// Entries by their place, a page at hand.
struct Pages {
    run: Arc<Run>,
    number: u64,
    page: [u8; PAGE],
}

impl Pages {
    fn get(&mut self, at: u64) -> Result<Entry, Failure> {
        let number = at / PER_PAGE as u64;
        if number != self.number {
            let offset = (number + 1) * PAGE as u64;
            self.read(number + 1, offset).map_err(|error| Failure::Damaged(self.run.clone(), offset, error))?;
            self.number = number;
        }
        let from = (at % PER_PAGE as u64) as usize * 16;
        let eight = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| self.page[from + i]));
        Ok(Entry { key: eight(from), at: eight(from + 8) })
    }

    fn read(&mut self, number: u64, offset: u64) -> io::Result<()> {
        self.number = u64::MAX;
        let Some(file) = &self.run.file else { return Err(io::ErrorKind::NotFound.into()) };
        let read = file.read_at(&mut self.page, offset)?;
        let (entries, rest) = self.page.split_at(PER_PAGE * 16);
        let sum = crc32c::crc32c_append(page_seed(self.run.from, self.run.to, number), entries);
        if read == PAGE && rest[..4] == sum.to_le_bytes() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// Several sorted rows as one; what has the same key comes in the rows' order. It ends with the first failure.
pub(super) struct Merge<I, E> {
    rows: Vec<(Option<Entry>, I)>,
    failed: Option<E>,
}

impl<E, I: Iterator<Item = Result<Entry, E>>> Merge<I, E> {
    pub(super) fn new(rows: impl IntoIterator<Item = I>) -> Result<Self, E> {
        let start = |mut row: I| Ok((row.next().transpose()?, row));
        Ok(Merge { rows: rows.into_iter().map(start).collect::<Result<_, E>>()?, failed: None })
    }
}

impl<E, I: Iterator<Item = Result<Entry, E>>> Iterator for Merge<I, E> {
    type Item = Result<Entry, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.rows.clear();
            return Some(Err(error));
        }
        let lowest =
            self.rows.iter_mut().filter(|(next, _)| next.is_some()).min_by_key(|(next, _)| next.map(|e| e.key));
        let (next, row) = lowest?;
        let entry = *next;
        match row.next().transpose() {
            Ok(following) => *next = following,
            Err(error) => self.failed = Some(error),
        }
        entry.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::Files;
    use super::*;

    fn run(dir: &Path, day: u32, keys: &[u64]) -> Arc<Run> {
        let entries = (0..).zip(keys).map(|(at, key)| Ok::<_, io::Error>(Entry { key: *key, at }));
        Arc::new(Run::write(&Files, dir, (day, 0, 9), entries).unwrap())
    }

    #[test]
    fn a_run_finds_keys_wherever_pages_end() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, 254, 255, 256, 510, 511, 5_000u64] {
            // Even keys, each three times.
            let keys: Vec<u64> = (0..count).map(|i| i / 3 * 2).collect();
            drop(run(dir.path(), 7, &keys));
            let run = Arc::new(Run::open(&Files, dir.path().join(name(7, 0, 9)), 0, 9).unwrap());
            assert_eq!(run.count, count);
            for key in (0..count + 3).chain([u64::MAX]) {
                let wanted: Vec<u64> = (0..count).rev().filter(|i| keys[*i as usize] == key).collect();
                assert_eq!(run.newest(key).map(|at| at.ok().unwrap()).collect::<Vec<_>>(), wanted, "{key} of {count}");
                let since = run.since(key).map(|e| e.ok().unwrap().at);
                assert!(since.eq((0..count).filter(|i| keys[*i as usize] >= key)), "{key} of {count}");
            }
        }
    }

    #[test]
    fn rows_merge_in_order_and_the_older_comes_first() {
        let entries = |keys: &[u64], at: u64| {
            keys.iter().map(|key| Ok::<_, io::Error>(Entry { key: *key, at })).collect::<Vec<_>>()
        };
        let rows = [entries(&[1, 3, 3, 9], 0), entries(&[], 1), entries(&[0, 3, 10], 2)].map(Vec::into_iter);
        let merged: Vec<_> = Merge::new(rows).unwrap().map(|e| e.map(|e| (e.key, e.at)).unwrap()).collect();
        assert_eq!(merged, [(0, 2), (1, 0), (3, 0), (3, 0), (3, 2), (9, 0), (10, 2)]);
    }

    #[test]
    fn a_damaged_run_is_told_from_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = run(dir.path(), 7, &(0..600).collect::<Vec<_>>()).path.clone();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 4 * PAGE);
        for at in [0, 9, 17, 25, 33] {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert!(Run::open(&Files, path.clone(), 0, 9).is_err(), "octet {at}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(Run::open(&Files, path.clone(), 0, 9).is_err());
        let mut bad = whole.clone();
        bad[3 * PAGE + 100] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let run = Arc::new(Run::open(&Files, path.clone(), 0, 9).unwrap());
        let is_damaged =
            |failure: Failure| matches!(failure, Failure::Damaged(_, offset, _) if offset == 3 * PAGE as u64);
        assert!(run.newest(550).next().unwrap().is_err_and(is_damaged));
        assert_eq!(run.since(0).map_while(Result::ok).count(), 510, "what stands before it is read");
        // Whole pages that stand elsewhere are none of this run.
        let mut bad = whole.clone();
        bad[PAGE..3 * PAGE].rotate_left(PAGE);
        std::fs::write(&path, bad).unwrap();
        assert_eq!(run.since(0).map_while(Result::ok).count(), 0);
    }
}
