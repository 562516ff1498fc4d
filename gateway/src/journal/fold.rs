//! Checkpoints: what is live in the last checkpoint and the closed segments after it, sorted by id in one new file,
//! made from disk, after which those segments are free. A live record costs disk only for itself, never for a segment.
//!
//! Memory while folding: 8 octets for each id that ended in the folded segments, 24 for each live record in them, 64 KiB
//! for each segment.

use std::collections::BTreeMap;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::disk::DiskFile;
use super::frame::{self, FileHeader, HEADER, MANY, MOVED, OWN, Place, Sort, Stamp, own};
use super::replay::{self, Evidence, Stand, Visit};
use super::scan::{Item, Scan};
use super::shelf::{Checkpoint, Table};
use super::tail::Tail;
use super::{Shared, many};

/// Octets between entries of a checkpoint's index.
const STRETCH: u64 = 16 * 1_024;
/// Octets gathered before they are written.
const BUFFER: usize = 1_024 * 1_024;
/// Octets read ahead in each segment.
const AHEAD: usize = 64 * 1_024;
/// Closed segments at least folded at once, while there is room.
pub(super) const BATCH: u64 = 4;
/// Fewer ends than this are not worth closing a segment for.
const FEW_ENDS: u64 = 64;
/// How often to look whether folding frees room, where room is short.
const PRESSED_PAUSE: Duration = Duration::from_millis(100);
/// Pause after a fold that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// A sparse index, built while records pass in order.
#[derive(Default)]
pub(super) struct Index {
    pub(super) stretches: Vec<(u64, u64)>,
    last_id: Option<u64>,
}

impl Index {
    pub(super) fn add(&mut self, id: u64, offset: u64) {
        let far = self.stretches.last().is_none_or(|(_, last)| offset - last >= STRETCH);
        if far && self.last_id != Some(id) {
            self.stretches.push((id, offset));
        }
        self.last_id = Some(id);
    }
}

/// Folds whenever it pays, until stopped.
pub(super) fn run<A>(shared: &Shared<A>) {
    let mut tail = shared.tail();
    while tail.stop.is_none() {
        let pressed = shared.shelf.used(tail.segment, tail.offset) > shared.max_bytes / 2;
        if pressed {
            close_for_ends(shared, &mut tail);
        }
        let through = tail.closed_through();
        if !through.is_some_and(|through| is_due(shared, &tail, through, pressed)) {
            tail = shared.sleep(&shared.upkeep, tail, pressed.then_some(PRESSED_PAUSE));
            continue;
        }
        drop(tail);
        let folded = fold(shared);
        tail = shared.tail();
        if let Err(error) = folded {
            tracing::error!(%error, "a journal checkpoint could not be made; trying again later");
            if tail.stop.is_none() {
                tail = shared.sleep(&shared.upkeep, tail, Some(PAUSE));
            }
        }
    }
}

/// Where room is short and an eighth of what is kept may have ended, the current segment is closed early: its ends
/// free what nothing else would.
fn close_for_ends<A>(shared: &Shared<A>, tail: &mut Tail<A>) {
    let kept = shared.shelf.table().checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.records);
    if tail.fold_through.is_none() && tail.ends + tail.ends_closed > FEW_ENDS.max(kept / 8) {
        tail.fold_through = Some(tail.segment);
        tail.roll();
        shared.upkeep.notify_all();
    }
}

/// Whether folding pays: as much was closed as the checkpoint is long (so each octet is written about twice), or half
/// the budget is used and an eighth of that was closed, or a segment was closed for it.
fn is_due<A>(shared: &Shared<A>, tail: &Tail<A>, through: u32, pressed: bool) -> bool {
    let shelf = &shared.shelf;
    let table = shelf.table();
    let closed = table.segments.range(..=through).count() as u64 * shelf.segment_bytes;
    let last = table.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.octets);
    closed > last.max(BATCH * shelf.segment_bytes)
        || (pressed && closed > last / 8)
        || tail.fold_through.is_some_and(|wanted| through >= wanted)
}

/// Makes a checkpoint of all closed segments; false if there are none or the journal is being closed.
pub(super) fn fold<A>(shared: &Shared<A>) -> io::Result<bool> {
    let _alone = shared.folding.lock().unwrap_or_else(PoisonError::into_inner);
    let through = {
        let mut tail = shared.tail();
        let Some(through) = tail.closed_through() else { return Ok(false) };
        (tail.ends_closed, tail.fold_through) = (0, tail.fold_through.filter(|wanted| *wanted > through));
        through
    };
    let table = shared.shelf.table();
    if table.segments.range(..=through).next().is_none() {
        return Ok(false);
    }
    let fold = Fold { shared, table: &table, through, evidence: Evidence::of(&table)? };
    let new = shared.shelf.path(through, "new");
    let made = fold.write(&new);
    let checkpoint = match made {
        Ok(Some(checkpoint)) => checkpoint,
        Ok(None) | Err(_) => {
            // Best effort: the next opening removes it too.
            let _ = shared.shelf.disk.remove(&new);
            return made.map(|_| false);
        }
    };
    drop(fold);
    drop(table);
    shared.shelf.disk.rename(&new, &shared.shelf.path(through, "checkpoint"))?;
    shared.shelf.disk.sync_dir(&shared.shelf.dir)?;
    shared.shelf.supersede(checkpoint);
    shared.counts.checkpoints.fetch_add(1, Relaxed);
    Ok(true)
}

type Scans<'f> = BTreeMap<u32, Scan<'f>>;

struct Fold<'a, A> {
    shared: &'a Shared<A>,
    table: &'a Table,
    through: u32,
    evidence: Evidence,
}

/// A live record in a folded segment.
struct Live {
    id: u64,
    stand: Stand,
}

impl<A> Fold<'_, A> {
    /// Writes and syncs the new file; `None` if the journal is being closed.
    fn write(&self, path: &std::path::Path) -> io::Result<Option<Checkpoint>> {
        let shelf = &self.shared.shelf;
        let (ended, highest_id) = self.ended()?;
        let mut live = self.live(&ended)?;
        live.sort_unstable_by_key(|live| (live.id, live.stand.place, live.stand.index));
        let file = shelf.disk.create(path)?;
        let stamp = Stamp::new(shelf.salt, Sort::Checkpoint, self.through);
        let header = FileHeader { sort: Sort::Checkpoint, salt: shelf.salt, number: self.through, recycled: false };
        let mut out =
            Writer { file: &*file, stamp, buffer: header.write(), at: 0, records: 0, index: Index::default() };
        let mut scans = self.scans()?;
        let mut live = live.into_iter().peekable();
        if let Some(old) = &self.table.checkpoint {
            let mut scan = Scan::new(&*old.file, old.stamp, true)?;
            while let Some(item) = scan.next() {
                let Item::Record { head, .. } = item else { continue };
                let Some((name, body)) = frame::take_place(scan.body()).filter(|_| head.flags & OWN == 0) else {
                    continue;
                };
                while let Some(next) = live.next_if(|next| next.id < head.id) {
                    self.copy(&next, &mut scans, &mut out)?;
                }
                if ended.binary_search(&head.id).is_err() {
                    out.put(head.kind, head.id, name, body)?;
                }
                if self.shared.stopping.load(Relaxed) {
                    return Ok(None);
                }
            }
        }
        for next in live {
            self.copy(&next, &mut scans, &mut out)?;
            if self.shared.stopping.load(Relaxed) {
                return Ok(None);
            }
        }
        let octets = out.end(highest_id)?;
        let (records, index) = (out.records, out.index.stretches);
        file.sync()?;
        Ok(Some(Checkpoint { through: self.through, file, stamp, octets, records, highest_id, index }))
    }

    /// Ids that ended in the folded segments, sorted; and the highest id ever.
    fn ended(&self) -> io::Result<(Vec<u64>, u64)> {
        let mut ended = Vec::new();
        let mut highest = self.table.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.highest_id);
        let end_kind = self.shared.end_kind;
        self.visit(&mut |number, visit| match visit {
            Visit::Record { kind, id, .. } => {
                highest = highest.max(id);
                if kind == end_kind {
                    ended.push(id);
                }
            }
            Visit::Moved { .. } => {}
            Visit::Damage { offset, octets, torn } => self.damage(number, offset, octets, torn),
        })?;
        ended.sort_unstable();
        ended.dedup();
        Ok((ended, highest))
    }

    fn live(&self, ended: &[u64]) -> io::Result<Vec<Live>> {
        let mut live = Vec::new();
        self.visit(&mut |_, visit| {
            if let Visit::Record { id, stand, .. } = visit
                && ended.binary_search(&id).is_err()
            {
                live.push(Live { id, stand });
            }
        })?;
        Ok(live)
    }

    /// The folded segments, to be read again record by record: those of one segment mostly as they follow one another.
    fn scans(&self) -> io::Result<Scans<'_>> {
        let mut scans = Scans::new();
        for (number, segment) in self.table.segments.range(..=self.through) {
            let span = (HEADER, segment.file.length()?);
            scans.insert(*number, Scan::within(&*segment.file, segment.stamp, segment.zeroed, span, AHEAD));
        }
        Ok(scans)
    }

    fn visit(&self, visit: &mut dyn FnMut(u32, Visit<'_>)) -> io::Result<()> {
        for (number, segment) in self.table.segments.range(..=self.through) {
            replay::walk(self.table, *number, segment, &self.evidence, &mut |item| visit(*number, item))?;
        }
        Ok(())
    }

    /// Damage was reported and set aside at opening, unless it is newer.
    fn damage(&self, number: u32, offset: u64, octets: u64, torn: bool) {
        let Some(segment) = self.table.segments.get(&number) else { return };
        let kept = self.shared.shelf.set_aside(&format!("{number:08x}-segment"), &*segment.file, offset, octets);
        tracing::warn!(segment = number, offset, octets, torn, ?kept, "journal damage set aside while folding");
    }

    fn copy(&self, live: &Live, scans: &mut Scans<'_>, out: &mut Writer<'_>) -> io::Result<()> {
        let Stand { place, len, index } = live.stand;
        let Some(scan) = scans.get_mut(&place.0) else { return Ok(()) };
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "a record changed while it was folded");
        let (head, body) = scan.record_at(u64::from(place.1), len as usize).ok_or_else(changed)?;
        let (name, body) = match head.flags & MOVED {
            0 => (place, body),
            _ => frame::take_place(body).unwrap_or((place, body)),
        };
        if head.flags & MANY == 0 {
            return out.put(head.kind, head.id, name, body);
        }
        let member = many::members(body).nth(index as usize).ok_or_else(changed)?;
        out.put(member.kind, member.id, many::name(name, index as usize), member.body)
    }
}

/// Writes a checkpoint's records.
struct Writer<'f> {
    file: &'f dyn DiskFile,
    stamp: Stamp,
    buffer: Vec<u8>,
    /// Where the buffer begins.
    at: u64,
    records: u64,
    index: Index,
}

impl Writer<'_> {
    fn put(&mut self, kind: u8, id: u64, name: Place, body: &[u8]) -> io::Result<()> {
        let offset = self.at + self.buffer.len() as u64;
        self.index.add(id, offset);
        frame::encode(&mut self.buffer, self.stamp, offset, MOVED, kind, id, [&frame::place_octets(name), body]);
        self.records += 1;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the footer; gives the file's length.
    fn end(&mut self, highest_id: u64) -> io::Result<u64> {
        let offset = self.at + self.buffer.len() as u64;
        let count = self.records.to_le_bytes();
        frame::encode(&mut self.buffer, self.stamp, offset, OWN, own::FOOTER, highest_id, [&count, &[]]);
        self.flush()?;
        debug_assert!(self.at >= HEADER, "the header was the buffer's beginning");
        Ok(self.at)
    }
}
