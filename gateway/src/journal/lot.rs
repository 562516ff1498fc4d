//! Many bodies read together: neighbours in a segment with one reading, those in one stretch of the checkpoint with one
//! scan. Each record is judged by itself, as where it is read alone.

use std::ops::Range;

use bytes::Bytes;

use super::At;
use super::frame::{self, HEAD};
use super::shelf::{Checkpoint, Segment, Table, is_of};

/// Octets read at once, besides what the last record has beyond them.
pub(super) const MOST: u32 = 64 * 1_024;
/// Octets between neighbours that are read with them: more cost more than another call.
const GAP: u32 = 4 * 1_024;

/// What was asked for, and what has been found of it. The bodies lie one behind another in memory of their own: what one
/// of them keeps there is the others of its lot, and nothing that stood between them.
struct Lot<'a> {
    asked: &'a [(u64, At)],
    found: Vec<Option<Range<usize>>>,
    octets: Vec<u8>,
}

impl Lot<'_> {
    fn put(&mut self, nth: usize, body: &[u8]) {
        let from = self.octets.len();
        self.octets.extend_from_slice(body);
        self.found[nth] = Some(from..self.octets.len());
    }
}

impl Table {
    /// The bodies of the records of those ids and names, in the order they are asked for. None for what stands alone, or is
    /// not whole where it was first put or in the checkpoint: that is for [`Table::body`].
    pub(super) fn bodies(&self, asked: &[(u64, At)]) -> Vec<Option<Bytes>> {
        let octets = asked.iter().map(|(_, at)| at.len as usize).sum();
        let mut lot = Lot { asked, found: vec![None; asked.len()], octets: Vec::with_capacity(octets) };
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.sort_unstable_by_key(|nth| asked[*nth].1);
        let (mut room, mut folded) = (Vec::new(), Vec::new());
        for run in order.chunk_by(|one, next| are_near(asked[*one].1, asked[*next].1)) {
            match self.segments.get(&asked[run[0]].1.segment) {
                Some(segment) if run.len() > 1 => segment.bodies(run, &mut room, &mut lot),
                Some(_) => {}
                None => folded.extend(run.iter().map(|nth| (asked[*nth].0, *nth))),
            }
        }
        folded.sort_unstable();
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.bodies(&folded, &mut lot);
        }
        let octets = Bytes::from(lot.octets);
        lot.found.into_iter().map(|found| found.map(|range| octets.slice(range))).collect()
    }
}

/// Whether of two records, in order of place, the second one is read with the first one.
fn are_near(one: At, next: At) -> bool {
    let end = one.after(next.len).offset;
    one.segment == next.segment && one.offset / MOST == next.offset / MOST && next.offset.saturating_sub(end) <= GAP
}

impl Segment {
    /// Reads records near one another, given in order of place, as far as they are whole.
    fn bodies(&self, run: &[usize], room: &mut Vec<u8>, lot: &mut Lot<'_>) {
        let asked = lot.asked;
        let from = u64::from(asked[run[0]].1.offset);
        let ends = run.iter().map(|nth| u64::from(asked[*nth].1.offset) + HEAD as u64 + u64::from(asked[*nth].1.len));
        // What it held is written over.
        room.resize((ends.max().unwrap_or(from) - from) as usize, 0);
        // Where this fails, reading less may not.
        let read = self.file.read_at(room, from).unwrap_or(0);
        room.truncate(read);
        for &nth in run {
            let (id, at) = asked[nth];
            let offset = u64::from(at.offset);
            let octets = room.get((offset - from) as usize..).unwrap_or_default();
            let whole = frame::decode(self.stamp, offset, octets);
            if let Some((_, body)) = whole.filter(|(head, _)| head.len == at.len && is_of(head, id, false)) {
                lot.put(nth, body);
            }
        }
    }
}

impl Checkpoint {
    /// Reads records, given by id and number in the lot, in order of id.
    fn bodies(&self, folded: &[(u64, usize)], lot: &mut Lot<'_>) {
        for some in folded.chunk_by(|one, next| self.stretch(one.0) == self.stretch(next.0)) {
            self.scan(some[0].0, some[some.len() - 1].0, &mut |id, name, body| {
                let from = some.partition_point(|(asked, _)| *asked < id);
                for (_, nth) in some[from..].iter().take_while(|(asked, _)| *asked == id) {
                    let (_, at) = lot.asked[*nth];
                    if (at.segment, at.offset) == name {
                        lot.put(*nth, body);
                    }
                }
            });
        }
    }
}
