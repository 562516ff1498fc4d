//! Records of a day's file, and the keys under which its index names them.
//!
//! A record begins on a multiple of 8 octets: length, kind, whether a lot begins there, count of keys, id, a CRC32C of
//! what follows, and one of this head with its place in the file, so that reading finds its feet again after damage. Then
//! come its hashed keys and its body. What is in the index follows from the records alone.

use std::io;

use super::super::disk::DiskFile;

const ALIGN: u64 = 8;
const HEAD: usize = 24;
/// Begins every head's sum: another layout gets another one.
const LAYOUT: u32 = 0x5149_0001;
/// Octets read at once by a scan.
const WINDOW: usize = 1 << 20;
/// Octets read at once for one record: most are shorter.
const GUESS: usize = 1_024;
/// Octets given up at once where the device cannot read.
const PAGE: u64 = 4_096;
/// Places that one scan passes over: each may take the device seconds to give up.
const UNREADABLE: u32 = 1_024;

/// What a record is.
pub(super) mod kind {
    pub(in super::super) const HISTORY: u8 = 1;
    pub(in super::super) const BATCH: u8 = 2;
    /// What a list shows of a message from a handset.
    pub(in super::super) const UPLINK: u8 = 3;
    /// The same, of one that nobody owns.
    pub(in super::super) const UNMATCHED: u8 = 4;
    pub(in super::super) const IDEMPOTENCY: u8 = 5;
}

/// Ids are shorter than this.
const ID_BITS: u32 = 56;
const ID: u64 = (1 << ID_BITS) - 1;
const HASHED: u64 = 1 << 63;

/// A key of the index. Those of a kind with ids stand together in the order of their ids; hashed ones behind them all.
pub(super) type Key = u64;

/// One line of the index: a key, and where its record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) at: u64,
}

/// The key of an id; in lists that are read newest first the highest id has the lowest key.
pub(super) fn ordered(kind: u8, id: u64) -> Key {
    let id = id.min(ID);
    let newest_first = matches!(kind, kind::UPLINK | kind::UNMATCHED);
    u64::from(kind) << ID_BITS | if newest_first { ID - id } else { id }
}

/// The key of a name, of a sort of its own.
pub(super) fn hashed(sort: u8, name: &[u8]) -> Key {
    xxhash_rust::xxh3::xxh3_64_with_seed(name, u64::from(sort)) | HASHED
}

/// Lines by key, those of one key by place. Ids come mostly in order, which one look tells; hashes are spread evenly, so that
/// one pass gives each a drawer that it shares with few others.
pub(super) fn sorted(entries: &[Entry]) -> Vec<Entry> {
    const DRAWERS: usize = 1 << 12;
    let line = |entry: &Entry| (entry.key, entry.at);
    let drawer = |entry: &Entry| (entry.key >> 51) as usize % DRAWERS;
    let hashes = || entries.iter().filter(|entry| entry.key & HASHED != 0);
    let mut sorted = Vec::with_capacity(entries.len());
    sorted.extend(entries.iter().filter(|entry| entry.key & HASHED == 0));
    sorted.sort_by_key(line);
    // Where the next one of each drawer goes; behind them all where the last ends.
    let mut next = [0; DRAWERS + 1];
    hashes().for_each(|entry| next[drawer(entry) + 1] += 1);
    let mut end = sorted.len();
    for place in &mut next {
        end += *place;
        *place = end;
    }
    sorted.resize(entries.len(), Entry { key: 0, at: 0 });
    for entry in hashes() {
        let place = &mut next[drawer(entry)];
        sorted[*place] = *entry;
        *place += 1;
    }
    let mut from = sorted.len() - hashes().count();
    for end in &next[..DRAWERS] {
        sorted[from..*end].sort_unstable_by_key(line);
        from = *end;
    }
    sorted
}

/// The keys of a record that follow from its id.
fn own_keys(kind: u8, id: u64) -> [Option<Key>; 2] {
    match kind {
        // Those of idempotency keys find nothing: they have all of them read in the order in which they lie.
        kind::HISTORY | kind::BATCH | kind::UPLINK | kind::IDEMPOTENCY => [Some(ordered(kind, id)), None],
        kind::UNMATCHED => [Some(ordered(kind::UPLINK, id)), Some(ordered(kind, id))],
        _ => [None, None],
    }
}

/// Begins a lot: whatever stands before it was on disk when it was written,
const LOT: u8 = 1;
/// but for the lot before, which was torn.
const BEHIND_TORN: u8 = 2;

struct Head {
    /// Octets of keys and body.
    length: u32,
    kind: u8,
    /// Whether and how a lot begins with it.
    begins: u8,
    keys: u16,
    id: u64,
    sum: u32,
}

impl Head {
    /// Its octets, but for its own sum.
    fn unsealed(&self) -> [u8; HEAD] {
        let mut octets = [0; HEAD];
        octets[..4].copy_from_slice(&self.length.to_le_bytes());
        octets[4..6].copy_from_slice(&[self.kind, self.begins]);
        octets[6..8].copy_from_slice(&self.keys.to_le_bytes());
        octets[8..16].copy_from_slice(&self.id.to_le_bytes());
        octets[16..20].copy_from_slice(&self.sum.to_le_bytes());
        octets
    }

    fn read(octets: &[u8; HEAD]) -> Head {
        let four = |from: usize| u32::from_le_bytes(std::array::from_fn(|i| octets[from + i]));
        Head {
            length: four(0),
            kind: octets[4],
            begins: octets[5],
            keys: u16::from_le_bytes([octets[6], octets[7]]),
            id: u64::from_le_bytes(std::array::from_fn(|i| octets[8 + i])),
            sum: four(16),
        }
    }

    /// One whose place and sum agree.
    fn checked(octets: &[u8; HEAD], at: u64) -> Option<Head> {
        let sum = u32::from_le_bytes(std::array::from_fn(|i| octets[20 + i]));
        let head = Head::read(octets);
        (sum == head_sum(octets, at) && u32::from(head.keys) * 8 <= head.length).then_some(head)
    }

    /// Octets of the whole record.
    fn size(&self) -> u64 {
        record_size(self.length)
    }

    fn entries(&self, content: &[u8], at: u64, into: &mut Vec<Entry>) {
        let (keys, _) = content.as_chunks::<8>();
        let hashed = keys.iter().take(usize::from(self.keys)).map(|key| u64::from_le_bytes(*key));
        let own = own_keys(self.kind, self.id).into_iter().flatten();
        into.extend(own.chain(hashed).map(|key| Entry { key, at }));
    }
}

/// Octets of a record with so many octets of keys and body.
fn record_size(length: u32) -> u64 {
    (HEAD as u64 + u64::from(length)).next_multiple_of(ALIGN)
}

fn head_sum(octets: &[u8; HEAD], at: u64) -> u32 {
    // Most of what so few octets cost is the call.
    let mut placed = [0; 28];
    placed[..8].copy_from_slice(&at.to_le_bytes());
    placed[8..].copy_from_slice(&octets[..20]);
    crc32c::crc32c_append(LAYOUT, &placed)
}

/// Records that go to a file in one write, and their lines of the index.
#[derive(Default)]
pub(super) struct Lot {
    octets: Vec<u8>,
    /// As if the lot were at the file's beginning.
    lines: Vec<Entry>,
}

impl Lot {
    /// Adds a record; its body in pieces. Of more keys than can be counted only so many.
    pub(super) fn push(&mut self, kind: u8, id: u64, keys: impl ExactSizeIterator<Item = Key>, body: &[&[u8]]) {
        let count = u16::try_from(keys.len()).unwrap_or(u16::MAX);
        let length = usize::from(count) * 8 + body.iter().map(|piece| piece.len()).sum::<usize>();
        // Nobody has 4 GiB to say of one message.
        let Ok(length) = u32::try_from(length) else { return };
        let Lot { octets, lines } = self;
        let at = octets.len() as u64;
        let [own, also] = own_keys(kind, id);
        own.into_iter().chain(also).for_each(|key| lines.push(Entry { key, at }));
        octets.extend_from_slice(&Head { length, kind, begins: 0, keys: count, id, sum: 0 }.unsealed());
        for key in keys.take(count.into()) {
            lines.push(Entry { key, at });
            octets.extend_from_slice(&key.to_le_bytes());
        }
        body.iter().for_each(|piece| octets.extend_from_slice(piece));
        let end = octets.len().next_multiple_of(ALIGN as usize);
        octets.extend_from_slice(&[0; ALIGN as usize]);
        octets.truncate(end);
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Empties it; what it holds of memory stays for the next, unless that is much.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(4 << 20);
        self.lines.clear();
        self.lines.shrink_to(1 << 16);
    }

    /// Completes the records for this place in the file, be it behind a lot that was torn, and gives the octets.
    pub(super) fn seal(&mut self, mut at: u64, behind_torn: bool) -> &[u8] {
        let mut begins = if behind_torn { BEHIND_TORN } else { LOT };
        let mut rest = &mut self.octets[..];
        while let Some((head, behind)) = rest.split_first_chunk_mut::<HEAD>() {
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let size = record_size(length);
            let Some((content, behind)) = behind.split_at_mut_checked(size as usize - HEAD) else { break };
            let sum = crc32c::crc32c(content.get(..length as usize).unwrap_or_default());
            head[5] = std::mem::take(&mut begins);
            head[16..20].copy_from_slice(&sum.to_le_bytes());
            let sum = head_sum(head, at);
            head[20..].copy_from_slice(&sum.to_le_bytes());
            rest = behind;
            at += size;
        }
        &self.octets
    }

    /// The lines of its records, for this place in the file, in the records' order.
    pub(super) fn lines(&self, at: u64) -> impl ExactSizeIterator<Item = Entry> {
        self.lines.iter().map(move |line| Entry { at: at + line.at, ..*line })
    }
}

/// A record as it was read back.
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) id: u64,
    octets: Vec<u8>,
    body: usize,
}

impl Record {
    pub(super) fn body(&self) -> &[u8] {
        self.octets.get(self.body..).unwrap_or_default()
    }

    pub(super) fn into_body(mut self) -> Vec<u8> {
        self.octets.drain(..self.body.min(self.octets.len()));
        self.octets
    }

    /// The record that begins there; `InvalidData` where none does, or not whole.
    pub(super) fn read(file: &dyn DiskFile, at: u64) -> io::Result<Record> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let mut octets = vec![0; GUESS];
        let read = file.read_at(&mut octets, at)?;
        octets.truncate(read);
        let head = octets.first_chunk().and_then(|head| Head::checked(head, at)).ok_or_else(damaged)?;
        let end = HEAD + head.length as usize;
        if octets.len() < end {
            if at.saturating_add(end as u64) > file.length()? {
                return Err(damaged());
            }
            let known = octets.len();
            octets.resize(end, 0);
            if file.read_at(&mut octets[known..], at + known as u64)? < end - known {
                return Err(damaged());
            }
        }
        octets.truncate(end);
        if crc32c::crc32c(&octets[HEAD..]) != head.sum {
            return Err(damaged());
        }
        Ok(Record { kind: head.kind, id: head.id, octets, body: HEAD + 8 * usize::from(head.keys) })
    }
}

/// What a scan came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Behind the last whole record; where it began if there is none.
    pub(super) end: u64,
    /// Octets before a later lot that are no record: they were on disk before that was written.
    pub(super) damaged: Option<Hole>,
    /// Octets among the last lot's records that are none, or among those of one that was torn before.
    pub(super) torn: Option<Hole>,
    /// Behind the last place that the device would not read; 0 if there is none. Another day it may.
    pub(super) unread: u64,
}

/// Octets that are no record: where the first of them is, and how many there are from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) at: u64,
    pub(super) octets: u64,
}

/// Both together.
pub(super) fn both(one: Option<Hole>, other: Option<Hole>) -> Option<Hole> {
    let Some((one, other)) = one.zip(other) else { return one.or(other) };
    Some(Hole { at: one.at.min(other.at), octets: one.octets.saturating_add(other.octets) })
}

/// Shows the entries of all whole records that begin from `from` on and end by `to`, in order, some at a time. An error that
/// [`is_unreadable`] where there is much that the device cannot read.
pub(super) fn scan(
    file: &dyn DiskFile,
    from: u64,
    to: u64,
    mut show: impl FnMut(u64, &mut Vec<Entry>),
) -> io::Result<Scanned> {
    let (mut window, mut at, mut entries) = (Window { file, at: 0, octets: Vec::new(), narrow: 0 }, from, Vec::new());
    let mut scanned = Scanned { end: from, ..Scanned::default() };
    let (mut hole, mut patience) = (None, Patience(UNREADABLE));
    while at.saturating_add(HEAD as u64) <= to {
        let head = match window.get(at, HEAD) {
            Ok(octets) => octets.and_then(|octets| Head::checked(octets.first_chunk()?, at)),
            // A place the device cannot read is damage, too.
            Err(error) if patience.lasts(&error) => {
                at = (at / PAGE + 1) * PAGE;
                scanned.unread = at;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(head) = head.filter(|head| at.saturating_add(head.size()) <= to) else {
            at += ALIGN;
            continue;
        };
        match window.get(at + HEAD as u64, head.length as usize) {
            Ok(Some(content)) if crc32c::crc32c(content) == head.sum => {
                head.entries(content, at, &mut entries);
                if at > scanned.end {
                    hole = both(hole, Some(Hole { at: scanned.end, octets: at - scanned.end }));
                }
                match head.begins {
                    LOT => scanned.damaged = both(scanned.damaged, hole.take()),
                    BEHIND_TORN => scanned.torn = both(scanned.torn, hole.take()),
                    _ => {}
                }
                at += head.size();
                scanned.end = at;
                show(at, &mut entries);
            }
            Err(error) if !patience.lasts(&error) => return Err(error),
            read => {
                if read.is_err() {
                    scanned.unread = (at + head.size()).next_multiple_of(PAGE);
                }
                at += ALIGN;
            }
        }
    }
    // As like as not the last lot's.
    scanned.torn = both(scanned.torn, hole);
    Ok(scanned)
}

/// Where the first whole record begins from `from` on that ends by `to`. An error as of [`scan`].
pub(super) fn first(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut patience = Patience(UNREADABLE);
    let mut window = Window { file, at: 0, octets: Vec::new(), narrow: 0 };
    let mut is_whole = |at: u64| {
        let head = window.get(at, HEAD)?.and_then(|octets| Head::checked(octets.first_chunk()?, at));
        let Some(head) = head.filter(|head| at.saturating_add(head.size()) <= to) else { return Ok(false) };
        let content = window.get(at + HEAD as u64, head.length as usize)?;
        Ok(content.is_some_and(|content| crc32c::crc32c(content) == head.sum))
    };
    let mut at = from.next_multiple_of(ALIGN);
    while at.saturating_add(HEAD as u64) <= to {
        match is_whole(at) {
            Ok(true) => return Ok(Some(at)),
            Ok(false) => at += ALIGN,
            Err(error) if patience.lasts(&error) => at = (at / PAGE + 1) * PAGE,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// How many places are passed over yet.
struct Patience(u32);

impl Patience {
    /// Whether what could not be read there is passed over, too.
    fn lasts(&mut self, error: &io::Error) -> bool {
        let lasts = is_unreadable(error) && self.0 > 0;
        self.0 -= u32::from(lasts);
        lasts
    }
}

/// As the device says that it cannot read a place.
pub(super) fn unreadable() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// Whether the device cannot read that place (EIO, ENODATA, EILSEQ, EREMOTEIO), or the file system finds itself damaged
/// there (EBADMSG, EUCLEAN); any other error says nothing about what is there.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(5 | 61 | 74 | 84 | 117 | 121))
}

struct Window<'f> {
    file: &'f dyn DiskFile,
    at: u64,
    octets: Vec<u8>,
    /// Before this there is a place that cannot be read: what stands before that is read page by page.
    narrow: u64,
}

impl Window<'_> {
    /// So many octets from there; `None` where the file ends before.
    fn get(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let within = |window: &Self| usize::try_from(at.checked_sub(window.at)?).ok();
        let known = within(self).is_some_and(|from| from.saturating_add(count) <= self.octets.len());
        if !known && let Err(error) = self.read(at, count) {
            self.octets.clear();
            return Err(error);
        }
        Ok(within(self).and_then(|from| self.octets.get(from..from.checked_add(count)?)))
    }

    fn read(&mut self, at: u64, count: usize) -> io::Result<()> {
        let page = count.max((PAGE - at % PAGE) as usize);
        let most = if at < self.narrow { page } else { count.max(WINDOW) };
        match self.read_so_many(at, most) {
            Err(error) if is_unreadable(&error) && most > page => {
                self.narrow = at + most as u64;
                self.read_so_many(at, page)
            }
            done => done,
        }
    }

    fn read_so_many(&mut self, at: u64, count: usize) -> io::Result<()> {
        self.at = at;
        self.octets.resize(count, 0);
        let read = self.file.read_at(&mut self.octets, at)?;
        self.octets.truncate(read);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::{Disk, Files};
    use super::*;

    #[test]
    fn lines_are_sorted_by_key_and_place_whatever_they_are() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..60 {
            let mut at = 0;
            let mut line = |key| {
                at += 8;
                Entry { key, at }
            };
            let entries: Vec<Entry> = (0..rng.u64(..3_000))
                .map(|n| match rng.u8(..6) {
                    0 => line(ordered(kind::HISTORY, n)),
                    1 => line(ordered(kind::UPLINK, n)),
                    2 if round % 2 == 0 => line(HASHED | rng.u64(..9)),
                    3 if round % 3 == 0 => line(Key::MAX - rng.u64(..9)),
                    4 => line(ordered(kind::BATCH, rng.u64(..))),
                    _ => line(HASHED | rng.u64(..)),
                })
                .collect();
            let mut want = entries.clone();
            want.sort_unstable_by_key(|entry| (entry.key, entry.at));
            assert_eq!(sorted(&entries), want, "round {round}");
        }
    }
    #[test]
    fn the_lines_of_a_lot_are_those_that_a_scan_finds() {
        let (dir, mut lot, mut found) = (tempfile::tempdir().unwrap(), Lot::default(), Vec::new());
        for (kind, id) in (1..=6).zip(70..) {
            let keys: Vec<Key> = (0..id % 4).map(|key| HASHED | key).collect();
            lot.push(kind, id, keys.into_iter(), &[b"body", &[0; 9][..kind.into()]]);
        }
        let file = Files.create(&dir.path().join("7.records")).unwrap();
        // Sealed anew at another place as often as it takes.
        for (at, torn) in [(8, true), (1_024, false), (16, false)] {
            file.write_at(lot.seal(at, torn), at).unwrap();
        }
        let end = 16 + lot.seal(16, false).len() as u64;
        let scanned = scan(&*file, 16, end, |_, lines| found.append(lines)).unwrap();
        assert_eq!((scanned, found.len()), (Scanned { end, ..Scanned::default() }, 17));
        assert_eq!(lot.lines(16).collect::<Vec<_>>(), found);
    }
}
