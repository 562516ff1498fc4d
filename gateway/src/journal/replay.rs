//! Opening: finds the files, chooses the checkpoint, and reads what is live.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::fold::Index;
use super::frame::{
    self, BadHeader, FIRST, FileHeader, HEADER, LAST, MANY, MEMBER, MOVED, OWN, Place, Sort, Stamp, own,
};
use super::scan::{Item, Scan};
use super::shelf::{Checkpoint, Segment, Shelf, Table, read_header};
use super::{At, Damaged, OpenError, Recovery, Replayed, Settings, many};

/// A record of the caller's, or a stretch that cannot be read.
pub(super) enum Visit<'a> {
    Record {
        kind: u8,
        id: u64,
        name: Place,
        stand: Stand,
        body: &'a [u8],
    },
    /// A record written again, whether or not it is shown here; once, if it was written again several times.
    Moved {
        name: Place,
        place: Place,
    },
    Damage {
        offset: u64,
        octets: u64,
        torn: bool,
    },
}

/// Where a record stands.
#[derive(Clone, Copy)]
pub(super) struct Stand {
    /// Its frame,
    pub(super) place: Place,
    /// the octets of the frame's body as they stand there,
    pub(super) len: u32,
    /// and its index among the frame's records.
    pub(super) index: u32,
}

/// What the journal says about its own records.
pub(super) struct Evidence {
    /// Withdrawn.
    voids: HashSet<Place>,
    /// Groups known to have been on disk whole: where they begin and end. Looked for when one is found broken.
    wholes: OnceCell<BTreeMap<Place, u32>>,
}

impl Evidence {
    pub(super) fn of(table: &Table) -> io::Result<Evidence> {
        Ok(Evidence { voids: voids(table)?, wholes: OnceCell::new() })
    }

    /// Whether the group of the record at that place was on disk whole once.
    fn was_whole(&self, table: &Table, place: Place) -> io::Result<bool> {
        let wholes = match self.wholes.get() {
            Some(wholes) => wholes,
            None => {
                let found = wholes(table)?;
                self.wholes.get_or_init(|| found)
            }
        };
        let last = wholes.range(..=place).next_back();
        Ok(last.is_some_and(|(first, end)| first.0 == place.0 && *end > place.1))
    }
}

/// Records of one group that follow one another without a gap, held back until it is known whether they count.
#[derive(Default)]
struct Run {
    held: Vec<(u8, u64, Place, usize)>,
    octets: Vec<u8>,
    /// Where the next one must begin.
    next: u64,
    first: bool,
    last: bool,
    void: bool,
}

impl Run {
    /// Shows its records if they count; gives how many do not. A group that was never known to be whole was cut short
    /// by a crash, and nobody was told of it; where one was, what is missing is damage and costs only itself.
    fn settle(&mut self, table: &Table, evidence: &Evidence, visit: &mut dyn FnMut(Visit<'_>)) -> io::Result<u64> {
        let Run { held, octets, first, last, void, .. } = std::mem::take(self);
        let Some((_, _, place, _)) = held.first().copied() else { return Ok(0) };
        let counts = !void && (first && last || evidence.was_whole(table, place)?);
        if !counts {
            return Ok(held.len() as u64);
        }
        let mut rest = &octets[..];
        for (kind, id, place, len) in held {
            let (body, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            visit(Visit::Record { kind, id, name: place, stand: Stand { place, len: len as u32, index: 0 }, body });
            rest = after;
        }
        Ok(0)
    }
}

/// Walks through a segment: every record of the caller's that is neither void nor whole elsewhere too, and whose group,
/// if it has one, is whole. Gives how many did not count, and whether the segment holds anything.
pub(super) fn walk(
    table: &Table,
    number: u32,
    segment: &Segment,
    evidence: &Evidence,
    visit: &mut dyn FnMut(Visit<'_>),
) -> io::Result<(u64, bool)> {
    let (mut voided, mut holds, mut run) = (0, false, Run::default());
    let mut scan = Scan::new(&*segment.file, segment.stamp, segment.zeroed)?;
    while let Some(item) = scan.next() {
        holds = true;
        let (offset, head) = match item {
            Item::Record { offset, head } => (offset, head),
            Item::Damage { offset, octets, torn } => {
                visit(Visit::Damage { offset, octets, torn });
                continue;
            }
        };
        let place = (number, u32::try_from(offset).unwrap_or(u32::MAX));
        let member = head.flags & MEMBER != 0 && head.flags & OWN == 0;
        if run.next != offset || !member || head.flags & FIRST != 0 {
            voided += run.settle(table, evidence, visit)?;
        }
        if head.flags & OWN != 0 {
            continue;
        }
        if member {
            run.first |= head.flags & FIRST != 0;
            run.last |= head.flags & LAST != 0;
            run.void |= evidence.voids.contains(&place);
            run.held.push((head.kind, head.id, place, scan.body().len()));
            run.octets.extend_from_slice(scan.body());
            run.next = offset + head.total();
            continue;
        }
        let (moved, many) = (head.flags & MOVED != 0, head.flags & MANY != 0);
        let (name, body) = match moved {
            false => (place, scan.body()),
            true => frame::take_place(scan.body()).unwrap_or((place, &[])),
        };
        if moved {
            if table.has_moved(head.id, name, body.len(), place) {
                continue;
            }
            visit(Visit::Moved { name, place });
            if table.has_original(head.id, name, body.len()) {
                continue;
            }
        }
        let mut show = |name, index, kind, id, body| {
            // A checkpoint has it where it was folded before its frame was written again.
            if !moved || !table.has_folded(id, name) {
                visit(Visit::Record { kind, id, name, stand: Stand { place, len: head.len, index }, body });
            }
        };
        if !many {
            match evidence.voids.contains(&place) {
                true => voided += 1,
                false => show(name, 0, head.kind, head.id, body),
            }
            continue;
        }
        for (member, index) in many::members(body).zip(0..) {
            let name = many::name(name, index);
            match member.waited && evidence.voids.contains(&name) {
                true => voided += 1,
                false if member.gone => {}
                false => show(name, index as u32, member.kind, member.id, member.body),
            }
        }
    }
    voided += run.settle(table, evidence, visit)?;
    Ok((voided, holds))
}

/// The groups that were on disk whole.
fn wholes(table: &Table) -> io::Result<BTreeMap<Place, u32>> {
    let mut wholes = BTreeMap::new();
    for segment in table.segments.values() {
        let mut scan = Scan::new(&*segment.file, segment.stamp, segment.zeroed)?;
        while let Some(item) = scan.next() {
            let Item::Record { head, .. } = item else { continue };
            if head.is_own(own::WHOLE)
                && let Some((first, end)) = frame::take_place(scan.body())
                && let Some(end) = end.first_chunk()
            {
                wholes.insert(first, u32::from_le_bytes(*end));
            }
        }
    }
    Ok(wholes)
}

/// The places of records withdrawn by voids, which stand at the heads of segments.
fn voids(table: &Table) -> io::Result<HashSet<Place>> {
    let mut places = HashSet::new();
    for segment in table.segments.values() {
        let mut scan = Scan::new(&*segment.file, segment.stamp, segment.zeroed)?;
        while let Some(item) = scan.next() {
            match item {
                Item::Record { head, .. } if head.is_own(own::VOID) => {
                    places.extend(frame::take_place(scan.body()).map(|(place, _)| place));
                }
                Item::Record { .. } => break,
                Item::Damage { .. } => {}
            }
        }
    }
    Ok(places)
}

/// The names found in a journal's directory.
#[derive(Default)]
struct Names {
    segments: Vec<u32>,
    checkpoints: Vec<u32>,
    spares: Vec<u32>,
    unfinished: Vec<String>,
    highest: u32,
}

impl Names {
    fn sort(names: Vec<String>) -> Self {
        let mut found = Names::default();
        for name in names {
            let Some((number, sort)) = name.split_once('.') else { continue };
            let Ok(number) = u32::from_str_radix(number, 16) else { continue };
            match sort {
                "segment" => found.segments.push(number),
                "checkpoint" => found.checkpoints.push(number),
                "spare" => found.spares.push(number),
                "new" => found.unfinished.push(name),
                _ => continue,
            }
            found.highest = found.highest.max(number);
        }
        found.segments.sort_unstable();
        found.checkpoints.sort_unstable();
        found
    }
}

/// What opening leaves for the running journal.
pub(super) struct Opened {
    pub(super) shelf: Shelf,
    /// The first segment to append to, not made yet.
    pub(super) next: u32,
    pub(super) recovery: Recovery,
}

/// A file of the journal with what its header says.
struct Found {
    number: u32,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Option<FileHeader>,
}

/// Reads a locked directory.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    settings: &Settings,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<Opened, OpenError> {
    let dir = &settings.dir;
    let names = Names::sort(disk.list(dir).map_err(|error| at(dir, error))?);
    for name in &names.unfinished {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| at(&path, error))?;
    }
    let found = |number: &u32, sort: &str| find(&*disk, dir, *number, sort);
    let mut segments = names.segments.iter().map(|n| found(n, "segment")).collect::<Result<Vec<_>, _>>()?;
    let checkpoints = names.checkpoints.iter().map(|n| found(n, "checkpoint")).collect::<Result<Vec<_>, _>>()?;
    let known = segments.iter().chain(&checkpoints).filter_map(|file| file.header).max_by_key(|header| header.number);
    let salt = known.map_or_else(random, |header| header.salt);

    let chosen = choose(&checkpoints, salt);
    let through = chosen.map_or(0, |file| file.number);
    let covered = segments.partition_point(|file| file.number <= through);
    let mut unused: Vec<PathBuf> = names.spares.iter().map(|n| dir.join(format!("{n:08x}.spare"))).collect();
    unused.extend(segments.drain(..covered).map(|file| file.path));
    for file in checkpoints.iter().filter(|file| file.number != through) {
        disk.remove(&file.path).map_err(|error| at(&file.path, error))?;
    }

    let table = Table::default();
    let shelf = Shelf::new(disk, dir, salt, settings.segment_bytes, table, Vec::new());
    let mut reading = Reading { shelf: &shelf, table: Table::default(), recovery: Recovery::default(), replay };
    if let Some(file) = chosen {
        reading.checkpoint(file, salt).map_err(|error| at(&file.path, error))?;
    }
    for file in &segments {
        file.file.sync().map_err(|error| at(&file.path, error))?;
        let stamp = Stamp::new(file.header.map_or(salt, |header| header.salt), Sort::Segment, file.number);
        let zeroed = file.header.is_some_and(|header| !header.recycled);
        reading.table.segments.insert(file.number, Segment { file: file.file.clone(), stamp, zeroed });
    }
    let evidence = Evidence::of(&reading.table).map_err(|error| at(dir, error))?;
    for file in &segments {
        let holds = reading.segment(file, &evidence).map_err(|error| at(&file.path, error))?;
        if !holds {
            reading.table.segments.remove(&file.number);
            unused.push(file.path.clone());
        }
    }
    let Reading { table, recovery, .. } = reading;
    drop(segments);
    shelf.start(table, unused).map_err(|error| at(dir, error))?;
    Ok(Opened { shelf, next: names.highest + 1, recovery })
}

fn at(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.into(), error }
}

fn find(disk: &dyn Disk, dir: &Path, number: u32, sort: &str) -> Result<Found, OpenError> {
    let path = dir.join(format!("{number:08x}.{sort}"));
    let file = disk.open(&path).map_err(|error| at(&path, error))?;
    // A header that the device cannot read counts as damaged.
    match FileHeader::read(&read_header(&*file).unwrap_or_default()) {
        Ok(header) => Ok(Found { number, path, file, header: Some(header) }),
        Err(BadHeader::Damaged) => Ok(Found { number, path, file, header: None }),
        Err(BadHeader::Version(found)) => Err(OpenError::Version { file: path, found }),
    }
}

/// The newest checkpoint that is complete; failing that, the newest.
fn choose(checkpoints: &[Found], salt: u32) -> Option<&Found> {
    let complete = |file: &&Found| {
        let stamp = Stamp::new(file.header.map_or(salt, |header| header.salt), Sort::Checkpoint, file.number);
        footer(&*file.file, stamp).is_some()
    };
    checkpoints.iter().rev().find(complete).or(checkpoints.last())
}

/// The highest id ever, from a complete checkpoint's footer.
fn footer(file: &dyn DiskFile, stamp: Stamp) -> Option<u64> {
    let octets = frame::total(8);
    let offset = file.length().ok()?.checked_sub(octets).filter(|offset| *offset >= HEADER)?;
    let mut record = vec![0; octets as usize];
    file.read_at(&mut record, offset).ok()?;
    let (head, _) = frame::decode(stamp, offset, &record)?;
    head.is_own(own::FOOTER).then_some(head.id)
}

/// Unpredictable by who posts messages; the standard library's only source.
fn random() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}

struct Reading<'a> {
    shelf: &'a Shelf,
    table: Table,
    recovery: Recovery,
    replay: &'a mut dyn FnMut(Replayed<'_>),
}

impl Reading<'_> {
    fn checkpoint(&mut self, found: &Found, salt: u32) -> io::Result<()> {
        let stamp = Stamp::new(found.header.map_or(salt, |header| header.salt), Sort::Checkpoint, found.number);
        let octets = found.file.length()?;
        let mut index = Index::default();
        let mut scan = Scan::new(&*found.file, stamp, true)?;
        let mut whole = false;
        while let Some(item) = scan.next() {
            match item {
                Item::Record { head, .. } if head.is_own(own::FOOTER) => {
                    whole = true;
                    self.recovery.highest_id = self.recovery.highest_id.max(head.id);
                }
                Item::Record { offset, head } => {
                    let Some((name, body)) = frame::take_place(scan.body()) else { continue };
                    index.add(head.id, offset);
                    show(&mut self.recovery, self.replay, head.kind, head.id, name, body);
                }
                Item::Damage { offset, octets, torn } => self.damage(found, offset, octets, torn),
            }
        }
        if !whole && !self.recovery.damaged.iter().any(|damaged| damaged.torn) {
            self.damage(found, octets, 0, true);
        }
        self.recovery.checkpoint_bytes = octets;
        let (records, highest_id, index) = (self.recovery.records, self.recovery.highest_id, index.stretches);
        let (through, file) = (found.number, found.file.clone());
        self.table.checkpoint = Some(Arc::new(Checkpoint { through, file, stamp, octets, records, highest_id, index }));
        Ok(())
    }

    fn segment(&mut self, found: &Found, evidence: &Evidence) -> io::Result<bool> {
        let Some(segment) = self.table.segments.get(&found.number).cloned() else { return Ok(false) };
        let (mut damages, mut moves) = (Vec::new(), Vec::new());
        let (recovery, replay) = (&mut self.recovery, &mut *self.replay);
        let visit = &mut |visit: Visit<'_>| match visit {
            Visit::Record { kind, id, name, body, .. } => show(recovery, replay, kind, id, name, body),
            Visit::Moved { name, place } => moves.push((name, place)),
            Visit::Damage { offset, octets, torn } => damages.push((offset, octets, torn)),
        };
        let (voided, holds) = walk(&self.table, found.number, &segment, evidence, visit)?;
        self.table.moved.extend(moves);
        self.recovery.voided += voided;
        self.recovery.segments += u32::from(holds);
        if found.header.is_none() {
            self.damage(found, 0, HEADER, false);
        }
        for (offset, octets, torn) in damages {
            self.damage(found, offset, octets, torn);
        }
        Ok(holds)
    }

    fn damage(&mut self, found: &Found, offset: u64, octets: u64, torn: bool) {
        let name = found.path.file_name().map(|name| name.to_string_lossy().replace('.', "-")).unwrap_or_default();
        let kept = self.shelf.set_aside(&name, &*found.file, offset, octets);
        self.recovery.damaged.push(Damaged { file: found.path.clone(), offset, octets, torn, kept });
    }
}

fn show(recovery: &mut Recovery, replay: &mut dyn FnMut(Replayed<'_>), kind: u8, id: u64, name: Place, body: &[u8]) {
    recovery.records += 1;
    recovery.highest_id = recovery.highest_id.max(id);
    let at = At { segment: name.0, offset: name.1, len: body.len() as u32 };
    replay(Replayed { kind, id, body, at });
}
