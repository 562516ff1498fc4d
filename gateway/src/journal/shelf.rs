//! The journal's files: which segments and which checkpoint there are, and how a record is found in them.
//!
//! Readers take a snapshot of the table, so that a checkpoint may replace segments under them: a file that someone may
//! still be reading is unlinked, never reused.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::fold::BATCH;
use super::frame::{self, FileHeader, HEAD, HEADER, Head, MOVED, Place, Sort, Stamp};
use super::scan::{Item, Scan};
use super::{At, ReadError, lot};

/// Files kept for reuse: what a checkpoint frees at least, so that under a steady load none has to be filled with zeros.
/// They do not count as used.
const SPARES: usize = BATCH as usize + 1;

/// A file with records.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) stamp: Stamp,
    pub(super) zeroed: bool,
}

/// A checkpoint.
pub(super) struct Checkpoint {
    /// The last segment it covers.
    pub(super) through: u32,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) stamp: Stamp,
    pub(super) octets: u64,
    pub(super) records: u64,
    /// Highest id ever, as its footer says.
    pub(super) highest_id: u64,
    /// First id and offset of each stretch.
    pub(super) index: Vec<(u64, u64)>,
}

/// One state of the files.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) segments: BTreeMap<u32, Segment>,
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// Records written again after a failed sync: from the place that names them to where they are.
    pub(super) moved: HashMap<Place, Place>,
}

impl Table {
    /// The body of the record named `at`.
    pub(super) fn body(&self, id: u64, at: At) -> Result<Bytes, ReadError> {
        let name = (at.segment, at.offset);
        let mut worst = ReadError::Gone;
        let places = [Some((name, false)), self.moved.get(&name).map(|place| (*place, true))];
        for ((number, offset), moved) in places.into_iter().flatten() {
            let Some(segment) = self.segments.get(&number) else { continue };
            let skip = if moved { frame::PLACE } else { 0 };
            match segment.body(id, u64::from(offset), at.len as usize, skip) {
                Ok(Some(body)) => return Ok(body),
                Ok(None) => worst = ReadError::Damaged,
                Err(error) => worst = ReadError::Io(error),
            }
        }
        self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.find(id, name)).ok_or(worst)
    }

    /// Whether the record, written again at `place`, is known to stand at yet another place.
    pub(super) fn has_moved(&self, id: u64, name: Place, len: usize, place: Place) -> bool {
        let other = self.moved.get(&name).filter(|other| **other != place);
        other.is_some_and(|(number, offset)| {
            let segment = self.segments.get(number);
            let body = segment.map(|segment| segment.body(id, u64::from(*offset), len, frame::PLACE));
            matches!(body, Some(Ok(Some(_))))
        })
    }

    /// Whether the record stands where it was first put.
    pub(super) fn has_original(&self, id: u64, name: Place, len: usize) -> bool {
        let segment = self.segments.get(&name.0);
        segment.is_some_and(|segment| matches!(segment.body(id, u64::from(name.1), len, 0), Ok(Some(_))))
    }

    /// Whether the record is in the checkpoint.
    pub(super) fn has_folded(&self, id: u64, name: Place) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.find(id, name).is_some())
    }
}

impl Segment {
    fn body(&self, id: u64, offset: u64, len: usize, skip: usize) -> io::Result<Option<Bytes>> {
        let record = self.record(offset, skip + len)?;
        Ok(record.filter(|(head, _)| is_of(head, id, skip != 0)).map(|(_, body)| body.slice(skip..)))
    }

    /// The record at `offset` with a body of `len` octets as it stands.
    pub(super) fn record(&self, offset: u64, len: usize) -> io::Result<Option<(Head, Bytes)>> {
        let mut octets = vec![0; HEAD + len];
        if self.file.read_at(&mut octets, offset)? < octets.len() {
            return Ok(None);
        }
        let Some((head, _)) = frame::decode(self.stamp, offset, &octets) else { return Ok(None) };
        Ok((head.len as usize == len).then(|| (head, Bytes::from(octets).slice(HEAD..))))
    }
}

/// Whether a record is that id's, and stands where it was first put or elsewhere.
pub(super) fn is_of(head: &Head, id: u64, moved: bool) -> bool {
    head.id == id && (head.flags & MOVED != 0) == moved
}

impl Checkpoint {
    /// The body of the record of that id and name.
    fn find(&self, id: u64, name: Place) -> Option<Bytes> {
        let mut found = None;
        self.scan(id, id, &mut |_, other, body| {
            if other == name {
                found = Some(Bytes::copy_from_slice(body));
            }
        });
        found
    }

    /// The stretch in which an id's records are.
    pub(super) fn stretch(&self, id: u64) -> Option<usize> {
        self.index.partition_point(|(first, _)| *first <= id).checked_sub(1)
    }

    /// Shows the records from the first id to the last one, which are in the same stretch, with their names and bodies.
    pub(super) fn scan(&self, first: u64, last: u64, show: &mut dyn FnMut(u64, Place, &[u8])) {
        let Some(stretch) = self.stretch(first) else { return };
        let Some((_, from)) = self.index.get(stretch) else { return };
        let to = self.index.get(stretch + 1).map_or(self.octets, |(_, next)| *next);
        // Mostly one reading for the stretch.
        let step = (to - from).min(u64::from(lot::MOST)) as usize;
        let mut scan = Scan::within(&*self.file, self.stamp, true, (*from, to), step);
        while let Some(item) = scan.next() {
            let Item::Record { head, .. } = item else { continue };
            if head.flags & MOVED == 0 || head.id > last {
                break;
            }
            if let Some((name, body)) = frame::take_place(scan.body()).filter(|_| head.id >= first) {
                show(head.id, name, body);
            }
        }
    }
}

/// The files and their directory.
pub(super) struct Shelf {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) salt: u32,
    pub(super) segment_bytes: u64,
    table: ArcSwap<Table>,
    /// Taken while the table is exchanged.
    change: Mutex<Vec<PathBuf>>,
}

impl Shelf {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        salt: u32,
        segment_bytes: u64,
        table: Table,
        spares: Vec<PathBuf>,
    ) -> Self {
        let table = ArcSwap::from_pointee(table);
        Shelf { disk, dir: dir.into(), salt, segment_bytes, table, change: Mutex::new(spares) }
    }

    /// Takes over what opening found: the files in use, and those whose content is not needed.
    pub(super) fn start(&self, table: Table, unused: Vec<PathBuf>) -> io::Result<()> {
        self.table.store(Arc::new(table));
        let mut spares = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        for path in unused {
            let spare = path.with_extension("spare");
            if spares.len() >= SPARES {
                self.disk.remove(&path)?;
                continue;
            }
            if path != spare {
                self.disk.rename(&path, &spare)?;
            }
            spares.push(spare);
        }
        self.disk.sync_dir(&self.dir)
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The file of a segment that is prepared.
    pub(super) fn file(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let table = self.table.load();
        let segment = table.segments.get(&number).ok_or(io::ErrorKind::NotFound)?;
        Ok(segment.file.clone())
    }

    pub(super) fn path(&self, number: u32, sort: &str) -> PathBuf {
        self.dir.join(format!("{number:08x}.{sort}"))
    }

    fn exchange(&self, change: impl FnOnce(&mut Table)) -> Arc<Table> {
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        change(&mut table);
        self.table.swap(Arc::new(table))
    }

    /// Notes where records stand that were written again.
    pub(super) fn note_moved(&self, moved: Vec<(Place, Place)>) {
        if !moved.is_empty() {
            self.exchange(|table| table.moved.extend(moved));
        }
    }

    /// Makes the segment of that number, its space reserved and its header on disk, and puts it on the shelf.
    pub(super) fn prepare(&self, number: u32) -> io::Result<()> {
        let new = self.path(number, "new");
        let prepared = self.write_new(&new, number);
        let segment = match prepared {
            Ok(segment) => segment,
            Err(error) => {
                // Best effort: the next opening removes it too.
                let _ = self.disk.remove(&new);
                return Err(error);
            }
        };
        self.disk.rename(&new, &self.path(number, "segment"))?;
        self.disk.sync_dir(&self.dir)?;
        self.exchange(|table| {
            table.segments.insert(number, segment);
        });
        Ok(())
    }

    fn write_new(&self, new: &Path, number: u32) -> io::Result<Segment> {
        let spare = self.change.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reused = spare.filter(|spare| self.disk.rename(spare, new).is_ok());
        let reused = reused.map(|_| self.disk.open(new)).transpose()?;
        let reused = reused.filter(|file| file.length().is_ok_and(|length| length == self.segment_bytes));
        let recycled = reused.is_some();
        let file = reused.map_or_else(|| self.disk.create_zeroed(new, self.segment_bytes), Ok)?;
        let header = FileHeader { sort: Sort::Segment, salt: self.salt, number, recycled };
        file.write_at(&header.write(), 0)?;
        file.sync()?;
        Ok(Segment { file, stamp: Stamp::new(self.salt, Sort::Segment, number), zeroed: !recycled })
    }

    /// Takes segments off that hold nothing that is not elsewhere, and removes their files.
    pub(super) fn discard(&self, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        self.exchange(|table| table.segments.retain(|number, _| !numbers.contains(number)));
        for number in numbers {
            if let Err(error) = self.disk.remove(&self.path(*number, "segment")) {
                tracing::warn!(%error, segment = number, "an abandoned journal segment could not be removed");
            }
        }
    }

    /// Puts a checkpoint, already on disk under its final name, in place of what it covers.
    pub(super) fn supersede(&self, checkpoint: Checkpoint) {
        let through = checkpoint.through;
        let old = self.exchange(|table| {
            table.segments = table.segments.split_off(&(through + 1));
            table.moved.retain(|_, place| place.0 > through);
            table.checkpoint = Some(Arc::new(checkpoint));
        });
        if let Some(checkpoint) = &old.checkpoint {
            self.remove(&self.path(checkpoint.through, "checkpoint"));
        }
        let covered: Vec<_> = old.segments.range(..=through).map(|(n, s)| (*n, s.clone())).collect();
        drop(old);
        for (number, segment) in covered {
            self.retire(number, segment.file);
        }
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            tracing::warn!(%error, "the journal's directory could not be synced after a checkpoint");
        }
    }

    /// Keeps a covered segment's file for reuse, unless enough are kept or someone still reads it.
    fn retire(&self, number: u32, file: Arc<dyn DiskFile>) {
        let path = self.path(number, "segment");
        let mut spares = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&file) == 1 && spares.len() < SPARES {
            let spare = self.path(number, "spare");
            if self.disk.rename(&path, &spare).is_ok() {
                spares.push(spare);
                return;
            }
        }
        drop(spares);
        self.remove(&path);
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = self.disk.remove(path) {
            tracing::warn!(%error, path = %path.display(), "a journal file no longer needed could not be removed");
        }
    }

    /// Octets in use when the tail stands at `offset` of segment `current` and segments up to `prepared` exist.
    pub(super) fn used(&self, current: u32, offset: u64) -> u64 {
        let table = self.table.load();
        let closed = table.segments.range(..current).count() as u64;
        closed * self.segment_bytes + offset + table.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.octets)
    }

    /// Copies a stretch that could not be read to `damaged/`, so that it outlives the file.
    pub(super) fn set_aside(&self, name: &str, file: &dyn DiskFile, offset: u64, octets: u64) -> Option<PathBuf> {
        const MOST: u64 = 16 * 1_024 * 1_024;
        let dir = self.dir.join("damaged");
        let path = dir.join(format!("{name}-{offset:08x}.octets"));
        let copy = || -> io::Result<()> {
            self.disk.make_dir(&dir)?;
            let mut content = vec![0; octets.min(MOST) as usize];
            // What the device cannot read stays zero.
            let _ = file.read_at(&mut content, offset);
            let kept = self.disk.create(&path)?;
            kept.write_at(&content, 0)?;
            kept.sync()?;
            self.disk.sync_dir(&dir)
        };
        copy().ok().map(|()| path)
    }
}

/// The header block of a file.
pub(super) fn read_header(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut block = vec![0; HEADER as usize];
    let read = file.read_at(&mut block, 0)?;
    block.truncate(read);
    Ok(block)
}
