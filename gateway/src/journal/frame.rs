//! Octets of records and of file headers.
//!
//! A record starts at a multiple of 16 octets: magic, version, kind, flags, length, mark, CRC32C, id, body, padding.
//! The mark is the file's own (salt, sort and number of the file, hashed), so that what an earlier use of the file left
//! behind is never taken for new, and the CRC covers the whole stamp, the record's offset and its content, so that a
//! record moved or repeated elsewhere is not believed. The salt is random, so that no message text can pose as a record.

/// Octets before the first record of a file.
pub(super) const HEADER: u64 = 4_096;
/// Octets before a record's body.
pub(super) const HEAD: usize = 24;
/// Where in its head a record's CRC stands.
const CRC: usize = 12;
/// Records start at multiples of this.
pub(super) const ALIGN: u64 = 16;
/// Format versions of files: the oldest that is read, and the one written, which may have frames of [`MANY`] records.
pub(super) const OLDEST: u16 = 1;
pub(super) const VERSION: u16 = 2;
/// Format version of records.
const LAYOUT: u8 = 1;

const MAGIC: u8 = 0xA7;
const FILE_MAGIC: &[u8; 8] = b"QIAOJRNL";
/// The header's second copy, in another sector.
const COPY: usize = 2_048;
const HEADER_OCTETS: usize = 64;

/// Someone waits for its sync.
pub(super) const SYNCED: u8 = 1;
/// Not where it was first put: the body begins with that place.
pub(super) const MOVED: u8 = 2;
/// The journal's own: `kind` is one of [`own`].
pub(super) const OWN: u8 = 4;
/// One of a group that is in the journal whole or not at all; its records follow one another without a gap.
pub(super) const MEMBER: u8 = 8;
/// The first of such a group.
pub(super) const FIRST: u8 = 16;
/// The last of such a group.
pub(super) const LAST: u8 = 32;
/// A frame of many records: the body is those of [`super::many`]; it has no id and no kind of its own.
pub(super) const MANY: u8 = 64;
/// The id of what belongs to none.
pub(super) const NO_ID: u64 = u64::MAX;

/// Kinds of the journal's own records.
pub(super) mod own {
    /// The record at the place in the body was answered as not written.
    pub(in super::super) const VOID: u8 = 1;
    /// Stands where a record was withdrawn before it was written.
    pub(in super::super) const PAD: u8 = 2;
    /// Last of a checkpoint: number of records, highest id ever.
    pub(in super::super) const FOOTER: u8 = 3;
    /// The group between the places in the body is on disk: what is missing of it later is damage.
    pub(in super::super) const WHOLE: u8 = 4;
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Records as appended.
    Segment = 1,
    /// Live records by id.
    Checkpoint = 2,
}

/// What ties a record to the one use of the one file it was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    mark: u32,
    seed: u32,
}

impl Stamp {
    pub(super) fn new(salt: u32, sort: Sort, number: u32) -> Self {
        let mut octets = [0; 9];
        octets[0] = sort as u8;
        octets[1..5].copy_from_slice(&salt.to_le_bytes());
        octets[5..].copy_from_slice(&number.to_le_bytes());
        let seed = crc32c::crc32c(&octets);
        Stamp { mark: crc32c::crc32c_append(seed, b"mark"), seed }
    }

    /// Over the offset, the head but for its CRC, and the body.
    fn crc(self, offset: u64, head: &[u8; HEAD], body: &[u8]) -> u32 {
        // Most of what a short record costs is the calls.
        let mut start = [0; 8 + HEAD - 4];
        start[..8].copy_from_slice(&offset.to_le_bytes());
        start[8..8 + CRC].copy_from_slice(&head[..CRC]);
        start[8 + CRC..].copy_from_slice(&head[CRC + 4..]);
        crc32c::crc32c_append(crc32c::crc32c_append(self.seed, &start), body)
    }
}

/// A record's head, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) len: u32,
    pub(super) id: u64,
    mark: u32,
    crc: u32,
}

impl Head {
    /// The head at the beginning of `octets`, if it is one of this format and this file.
    pub(super) fn parse(stamp: Stamp, octets: &[u8]) -> Option<Head> {
        let head = octets.get(..HEAD)?;
        if head[0] != MAGIC || head[1] != LAYOUT || u32_at(head, 8) != stamp.mark {
            return None;
        }
        let (len, mark, crc) = (u32_at(head, 4), stamp.mark, u32_at(head, 12));
        Some(Head { kind: head[2], flags: head[3], len, id: u64_at(head, 16), mark, crc })
    }

    /// Octets of the record with padding.
    pub(super) fn total(&self) -> u64 {
        total(self.len as usize)
    }

    pub(super) fn is_own(&self, kind: u8) -> bool {
        self.flags & OWN != 0 && self.kind == kind
    }
}

/// Octets of a record with that much body, with head and padding.
pub(super) fn total(body: usize) -> u64 {
    (HEAD as u64 + body as u64).next_multiple_of(ALIGN)
}

/// Appends a record that will stand at `offset` of its file; its body is `parts`, glued together.
pub(super) fn encode(
    out: &mut Vec<u8>,
    stamp: Stamp,
    offset: u64,
    flags: u8,
    kind: u8,
    id: u64,
    parts: [&[u8]; 2],
) -> u32 {
    let body = parts[0].len() + parts[1].len();
    let len = u32::try_from(body).unwrap_or(u32::MAX);
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&[MAGIC, LAYOUT, kind, flags]);
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..CRC].copy_from_slice(&stamp.mark.to_le_bytes());
    head[CRC + 4..].copy_from_slice(&id.to_le_bytes());
    let (start, total) = (out.len(), total(body) as usize);
    out.reserve(total);
    out.extend_from_slice(&head);
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
    seal(&mut out[start..], stamp, offset);
    out.extend_from_slice(&[0; ALIGN as usize][..total - HEAD - body]);
    len
}

/// Puts the sum into a record without its padding that stands at `offset`.
pub(super) fn seal(octets: &mut [u8], stamp: Stamp, offset: u64) {
    let Some((head, body)) = octets.split_first_chunk_mut::<HEAD>() else { return };
    let crc = stamp.crc(offset, head, body);
    head[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The record at the beginning of `octets`, which stand at `offset` of their file, if it is whole.
pub(super) fn decode(stamp: Stamp, offset: u64, octets: &[u8]) -> Option<(Head, &[u8])> {
    let head = Head::parse(stamp, octets)?;
    let body = octets.get(HEAD..HEAD.checked_add(head.len as usize)?)?;
    let crc = stamp.crc(offset, octets.first_chunk()?, body);
    if crc != head.crc || (head.flags & MOVED != 0 && body.len() < PLACE) {
        return None;
    }
    Some((head, body))
}

/// Whether octets that do not decode were once meant as a record of this file: torn or damaged, rather than what an
/// earlier use of the file left.
pub(super) fn was_meant(stamp: Stamp, octets: &[u8]) -> bool {
    octets.len() >= 12 && octets.iter().any(|octet| *octet != 0) && (u32_at(octets, 8) ^ stamp.mark).count_ones() <= 4
}

/// Octets of a place.
pub(super) const PLACE: usize = 8;

/// Where a record stands: segment and offset.
pub(super) type Place = (u32, u32);

pub(super) fn place_octets(place: Place) -> [u8; PLACE] {
    let mut octets = [0; PLACE];
    octets[..4].copy_from_slice(&place.0.to_le_bytes());
    octets[4..].copy_from_slice(&place.1.to_le_bytes());
    octets
}

/// The place at the beginning of a body, and the rest.
pub(super) fn take_place(body: &[u8]) -> Option<(Place, &[u8])> {
    let (octets, rest) = body.split_at_checked(PLACE)?;
    Some(((u32_at(octets, 0), u32_at(octets, 4)), rest))
}

/// A file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) sort: Sort,
    /// The journal's salt.
    pub(super) salt: u32,
    /// Segment number; of a checkpoint, the last segment it covers.
    pub(super) number: u32,
    /// What follows the last record may be left over from earlier use, rather than zeros.
    pub(super) recycled: bool,
}

/// Why a header does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Version(u16),
    Damaged,
}

impl FileHeader {
    /// The file's first [`HEADER`] octets.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut one = [0; HEADER_OCTETS];
        one[..8].copy_from_slice(FILE_MAGIC);
        one[8..10].copy_from_slice(&VERSION.to_le_bytes());
        one[10] = self.sort as u8;
        one[11] = u8::from(self.recycled);
        one[12..16].copy_from_slice(&self.salt.to_le_bytes());
        one[16..20].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&one[..60]);
        one[60..].copy_from_slice(&crc.to_le_bytes());
        let mut block = vec![0; HEADER as usize];
        block[..HEADER_OCTETS].copy_from_slice(&one);
        block[COPY..COPY + HEADER_OCTETS].copy_from_slice(&one);
        block
    }

    /// Reads either copy.
    pub(super) fn read(block: &[u8]) -> Result<FileHeader, BadHeader> {
        let first = Self::read_copy(block);
        if matches!(first, Err(BadHeader::Damaged)) {
            return Self::read_copy(block.get(COPY..).unwrap_or_default());
        }
        first
    }

    fn read_copy(octets: &[u8]) -> Result<FileHeader, BadHeader> {
        let one = octets.get(..HEADER_OCTETS).ok_or(BadHeader::Damaged)?;
        if &one[..8] != FILE_MAGIC || u32_at(one, 60) != crc32c::crc32c(&one[..60]) {
            return Err(BadHeader::Damaged);
        }
        let version = u16::from_le_bytes([one[8], one[9]]);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        let sort = match one[10] {
            1 => Sort::Segment,
            2 => Sort::Checkpoint,
            _ => return Err(BadHeader::Damaged),
        };
        Ok(FileHeader { sort, salt: u32_at(one, 12), number: u32_at(one, 16), recycled: one[11] != 0 })
    }
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets[at..at + 4].iter().rev().fold(0, |value, octet| value << 8 | u32::from(*octet))
}

pub(super) fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets[at..at + 8].iter().rev().fold(0, |value, octet| value << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_and_no_other_place_is_believed() {
        let stamp = Stamp::new(7, Sort::Segment, 3);
        let mut octets = Vec::new();
        encode(&mut octets, stamp, 4_096, SYNCED, 9, 0x0102_0304_0506, [b"", b"seventeen octets!"]);
        assert_eq!(octets.len() as u64, total(17));
        let (head, body) = decode(stamp, 4_096, &octets).unwrap();
        assert_eq!((head.kind, head.flags, head.id, body), (9, SYNCED, 0x0102_0304_0506, &b"seventeen octets!"[..]));
        for bit in 0..(HEAD + 17) * 8 {
            octets[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(stamp, 4_096, &octets), None, "bit {bit}");
            assert!(was_meant(stamp, &octets));
            octets[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(decode(stamp, 4_112, &octets), None);
        for other in
            [Stamp::new(8, Sort::Segment, 3), Stamp::new(7, Sort::Checkpoint, 3), Stamp::new(7, Sort::Segment, 4)]
        {
            assert_eq!(decode(other, 4_096, &octets), None);
        }
        for end in 0..HEAD + 17 {
            assert_eq!(decode(stamp, 4_096, &octets[..end]), None);
        }
    }

    #[test]
    fn a_header_survives_damage_to_either_copy_and_names_a_foreign_version() {
        let header = FileHeader { sort: Sort::Segment, salt: 5, number: 6, recycled: true };
        let block = header.write();
        assert_eq!(FileHeader::read(&block), Ok(header));
        for at in [0, 8, 60, COPY, COPY + 12] {
            let mut damaged = block.clone();
            damaged[at] ^= 0x10;
            assert_eq!(FileHeader::read(&damaged), Ok(header));
        }
        let mut foreign = block;
        foreign[8] = 3;
        let crc = crc32c::crc32c(&foreign[..60]);
        foreign[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(FileHeader::read(&foreign), Err(BadHeader::Version(3)));
    }
}
