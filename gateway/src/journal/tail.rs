//! The journal's end: records encoded but not yet known to be on disk, and who waits for them.
//!
//! Pure memory: positions are given out here, and what a failed commit leaves behind is laid out anew here; writing and
//! syncing is [`super::commit`]'s.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::draft::{Gathered, Waits};
use super::frame::{self, FIRST, HEAD, HEADER, LAST, MANY, MEMBER, MOVED, NO_ID, OWN, Place, SYNCED, Sort, Stamp, own};
use super::{At, CommitError, Entry, Settled, many};

/// Most synced records in one commit, unless a group needs more or they are written already.
const COMMIT_RECORDS: usize = 256;
/// Most records with an ack in one commit, with those whose ack is in no hurry: these must not cut short what others
/// wait for, such as receipts whose outcomes go along.
const COMMIT_ACKS: usize = 4 * COMMIT_RECORDS;
/// Most octets in one commit, with the same exceptions.
const COMMIT_OCTETS: usize = 1_024 * 1_024;
/// More octets than this are not moved to make room in one chunk for a group: another chunk begins.
const MUCH: usize = 64 * 1_024;
/// What a commit should take. Where the last one took longer, it is the sync that costs, not what is in it: the next one
/// may take as many times more, up to [`MOST_TIMES`], lest what arrives meanwhile wait for one sync after the other.
const USUAL: Duration = Duration::from_millis(5);
const MOST_TIMES: usize = 16;
/// Most octets not yet on disk before synced records are refused.
pub(super) const PENDING_OCTETS: usize = 64 * 1_024 * 1_024;
/// Longest a record that no one waits for stays unsynced.
pub(super) const LAZY: Duration = Duration::from_millis(20);
/// What the kernel keeps of a file as one.
const PAGE: u64 = 4_096;
/// Octets of room kept for chunks to come, and pieces of it: a commit takes several at once, while the next ones fill.
const SPARE_OCTETS: usize = 4 * COMMIT_OCTETS;
const SPARES: usize = 16;
/// First and longest pause between tries after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Most abandoned segments kept while nothing can be put on disk.
const DISCARDS: usize = 3;

/// Neighbouring records of one segment that are committed together.
pub(super) struct Chunk<A> {
    pub(super) segment: u32,
    /// Where its first record stands.
    pub(super) offset: u64,
    pub(super) octets: Vec<u8>,
    /// Octets handed to the kernel.
    pub(super) written: usize,
    acks: Vec<(A, At)>,
    /// How many of these are waited for, and do not only go along.
    urgent: usize,
    /// Where groups that must be whole begin and end in here.
    groups: Vec<(u32, u32)>,
    /// Whose records the voids in here withdraw.
    withdrawn: Vec<A>,
    /// Takes no more records.
    sealed: bool,
    /// Part of what was laid out anew after a failure.
    again: bool,
}

impl<A> Chunk<A> {
    pub(super) fn is_written(&self) -> bool {
        self.written == self.octets.len()
    }

    /// Takes out the records that someone waits for, of a group all; nothing moves.
    fn withdraw(&mut self, stamp: Stamp) {
        let mut at = 0;
        while let Some((head, _)) =
            self.octets.get(at..).and_then(|rest| frame::decode(stamp, self.offset + at as u64, rest))
        {
            let offset = self.offset + at as u64;
            let whole = at..at + HEAD + head.len as usize;
            at += head.total() as usize;
            if head.flags & MANY != 0 {
                let skip = if head.flags & MOVED != 0 { frame::PLACE } else { 0 };
                many::withdraw(&mut self.octets[whole.start + HEAD + skip..whole.end]);
                frame::seal(&mut self.octets[whole], stamp, offset);
            } else if head.flags & (SYNCED | OWN) == SYNCED {
                let (mut pad, zeros) = (Vec::new(), vec![0; head.len as usize]);
                frame::encode(&mut pad, stamp, offset, OWN, own::PAD, 0, [&zeros, &[]]);
                self.octets[whole.start..at].copy_from_slice(&pad);
            }
        }
        self.groups.clear();
    }

    /// Hands the kernel what it has not got yet. Its first octets in a page of the file come with zeros up to the page's
    /// end: a page that is not in memory and not written whole would be read from the device first. They cannot fall
    /// on records, for what a segment gets it gets in order, under the tail's lock.
    pub(super) fn hand_over(&mut self, write: impl FnOnce(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        let (from, end) = (self.offset + self.written as u64, self.offset + self.octets.len() as u64);
        let is_fresh = from.next_multiple_of(PAGE) < end;
        let (len, zeros) = (self.octets.len(), if is_fresh { end.next_multiple_of(PAGE) - end } else { 0 });
        self.octets.resize(len + zeros as usize, 0);
        let written = write(&self.octets[self.written..], from);
        self.octets.truncate(len);
        written.map(|()| self.written = len)
    }
}

/// Room of chunks that are on disk, for those to come; the largest last.
#[derive(Default)]
struct Spares(Vec<Vec<u8>>);

impl Spares {
    /// One more. Of too many the smallest go, so that those which stay need not grow again.
    fn keep(&mut self, mut octets: Vec<u8>) {
        octets.clear();
        let at = self.0.partition_point(|spare| spare.capacity() < octets.capacity());
        if octets.capacity() <= COMMIT_OCTETS {
            self.0.insert(at, octets);
        }
        while self.0.len() > SPARES || self.0.iter().map(Vec::capacity).sum::<usize>() > SPARE_OCTETS {
            self.0.remove(0);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }
}

/// Whether so many records in a hurry, records with an ack and octets are not too much for `times` usual commits.
fn within(times: usize, [urgent, acks, octets]: [usize; 3]) -> bool {
    urgent <= COMMIT_RECORDS * times && acks <= COMMIT_ACKS * times && octets <= COMMIT_OCTETS * times
}

/// Failures in a row after which closing no longer insists.
const LAST_TRIES: u32 = 3;

/// What laying out anew did.
pub(super) struct Repaired {
    /// From the names of the records laid out again to where they are.
    pub(super) moved: Vec<(Place, Place)>,
    /// Abandoned segments that can go now.
    pub(super) discards: Vec<u32>,
}

/// How the threads are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Commit everything first.
    Close,
    /// As if the process had died.
    Abandon,
}

/// See the module.
pub(super) struct Tail<A> {
    salt: u32,
    segment_bytes: u64,
    stamp: Stamp,
    /// Segment that records are appended to, and the next record's offset in it.
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Not yet known to be on disk, oldest first.
    pub(super) chunks: VecDeque<Chunk<A>>,
    pub(super) pending: usize,
    /// Urgent acks and withdrawn acks in `chunks`.
    pub(super) waiting: usize,
    pub(super) lazy_since: Option<Instant>,
    /// Ready to be delivered.
    pub(super) settled: Settled<A>,
    /// The last segment that exists as a file.
    pub(super) prepared: u32,
    /// The next segment could not be made when last tried.
    pub(super) no_room: bool,
    /// A write failed; the commit thread must lay the tail out anew.
    pub(super) fault: bool,
    /// How long the last commit took.
    pub(super) took: Duration,
    /// Failures since the last success, and when to try again.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// The last segment of which some part is known to be on disk.
    durable_segment: u32,
    /// Abandoned segments of which none is, kept until their records are on disk elsewhere.
    pub(super) discards: Vec<u32>,
    /// The commit thread sleeps; if it also `looks`, it wakes by itself in time for what nobody waits for.
    pub(super) idle: bool,
    pub(super) looks: bool,
    /// Ends in this segment, ends in closed ones since the last fold, and the segment closed early so that a fold frees
    /// what they held.
    pub(super) ends: u64,
    pub(super) ends_closed: u64,
    pub(super) fold_through: Option<u32>,
    pub(super) stop: Option<Stop>,
    /// Closed: the commit thread has done all it could.
    pub(super) over: bool,
    /// Closing gives up when failures in a row reach this, or no segment could be made as often as this.
    pub(super) last_failure: u32,
    pub(super) segment_tries: u32,
    spares: Spares,
    /// Acks that a new chunk has room for from the start: what the last one on disk had, within one commit's.
    usual_acks: usize,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl<A> Tail<A> {
    /// Begins in a segment that is prepared.
    pub(super) fn new(salt: u32, segment_bytes: u64, segment: u32) -> Self {
        Tail {
            salt,
            segment_bytes,
            stamp: Stamp::new(salt, Sort::Segment, segment),
            segment,
            offset: HEADER,
            chunks: VecDeque::new(),
            pending: 0,
            waiting: 0,
            lazy_since: None,
            settled: Vec::new(),
            prepared: segment,
            no_room: false,
            fault: false,
            took: Duration::ZERO,
            failures: 0,
            retry_at: None,
            durable_segment: segment.saturating_sub(1),
            discards: Vec::new(),
            idle: false,
            looks: false,
            ends: 0,
            ends_closed: 0,
            fold_through: None,
            stop: None,
            over: false,
            last_failure: u32::MAX,
            segment_tries: LAST_TRIES,
            spares: Spares::default(),
            usual_acks: 0,
            records: 0,
            bytes: 0,
        }
    }

    /// Whether a record with that body can be put into a segment at all.
    pub(super) fn holds(&self, body: usize) -> bool {
        frame::total(body + frame::PLACE) <= self.segment_bytes - HEADER
    }

    /// Whether the next record of that body, or group of records of that many octets, needs a segment that does not
    /// exist yet.
    pub(super) fn is_beyond(&self, octets: u64) -> bool {
        let segment = if self.offset + octets > self.segment_bytes { self.segment + 1 } else { self.segment };
        segment > self.prepared
    }

    /// The last segment that is closed and on disk, and whose records no failure is about to withdraw.
    pub(super) fn closed_through(&self) -> Option<u32> {
        if self.failures > 0 || self.chunks.iter().any(|chunk| chunk.again) {
            return None;
        }
        self.chunks.front().map_or(self.segment, |chunk| chunk.segment).checked_sub(1)
    }

    /// Whether there is a file for what comes next (true if nothing does).
    pub(super) fn is_next_prepared(&self) -> bool {
        self.chunks.front().is_none_or(|chunk| chunk.segment <= self.prepared)
    }

    /// Starts the next segment; its file is made meanwhile.
    pub(super) fn roll(&mut self) {
        self.segment += 1;
        self.ends_closed += std::mem::take(&mut self.ends);
        self.stamp = Stamp::new(self.salt, Sort::Segment, self.segment);
        self.offset = HEADER;
    }

    /// Starts the next segment if a group of that many octets would fit there but not here.
    pub(super) fn keep_together(&mut self, octets: u64) {
        if self.offset + octets > self.segment_bytes && HEADER + octets <= self.segment_bytes {
            self.roll();
        }
    }

    /// A record that no one waits for.
    pub(super) fn lazy(&mut self, kind: u8, id: u64, body: &[u8]) -> At {
        let place = self.put(0, kind, id, [body, &[]], false);
        self.name(place, body)
    }

    /// A record that somebody waits for, who is told to [`Tail::wait`] next.
    pub(super) fn synced(&mut self, Entry { kind, id, body }: Entry<'_>) -> At {
        let place = self.put(SYNCED, kind, id, [body, &[]], false);
        self.name(place, body)
    }

    /// `ack` waits for the record that was added last; or for nothing, where it was not.
    pub(super) fn wait(&mut self, ack: A, last: Option<At>) {
        match (last, self.chunks.back_mut()) {
            (Some(at), Some(chunk)) => {
                self.waiting += 1;
                chunk.urgent += 1;
                chunk.acks.push((ack, at));
            }
            _ => self.settled.push((ack, Err(CommitError::Full))),
        }
    }

    /// A record with an `ack` that is in no hurry.
    pub(super) fn acked(&mut self, entry: Entry<'_>, ack: A) {
        let at = self.synced(entry);
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.acks.push((ack, at));
        }
    }

    /// Records that share a frame; `acks` are those of its members that are waited for.
    pub(super) fn many(&mut self, gathered: Gathered, octets: &[u8], acks: impl Iterator<Item = Waits<A>>) {
        let place = self.put(MANY, 0, NO_ID, [octets, &[]], false);
        self.records += gathered.records as u64 - 1;
        self.ends += gathered.ends;
        self.waiting += gathered.urgent;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.urgent += gathered.urgent;
            chunk.acks.extend(acks.map(|Waits { ack, index, len }| {
                let (segment, offset) = many::name(place, index);
                (ack, At { segment, offset, len })
            }));
        }
    }

    /// Records of one group, of so many octets together, which `ack` waits for; the caller has seen to it that they fit
    /// into this segment. Only the last has an ack to be withdrawn, for without it the others do not count.
    pub(super) fn whole<'a>(&mut self, octets: u64, records: impl Iterator<Item = (u8, u64, &'a [u8])>, ack: A) {
        // With what fills up the last page of the write.
        let room = usize::try_from(octets + PAGE).unwrap_or_default();
        if let Some(last) = self.chunks.back_mut()
            && last.octets.len() > MUCH
            && last.octets.capacity() - last.octets.len() < room
        {
            last.sealed = true;
        }
        self.open_chunk(false).octets.reserve(room);
        let mut records = records.peekable();
        let (mut flags, mut first) = (SYNCED | MEMBER | FIRST, None);
        while let Some((kind, id, body)) = records.next() {
            if records.peek().is_none() {
                flags |= LAST;
            }
            let place = self.put(flags, kind, id, [body, &[]], first.is_some());
            let first = *first.get_or_insert(place.1);
            flags = SYNCED | MEMBER;
            if records.peek().is_none() {
                let (at, end) = (self.name(place, body), self.offset as u32);
                self.waiting += 1;
                if let Some(chunk) = self.chunks.back_mut() {
                    chunk.urgent += 1;
                    chunk.acks.push((ack, at));
                    chunk.groups.push((first, end));
                }
                return;
            }
        }
    }

    /// Notes that these groups are on disk.
    fn confirm(&mut self, groups: &[(u32, (u32, u32))], now: Instant) {
        for (segment, (first, end)) in groups {
            let mut octets = frame::place_octets((*segment, *first)).to_vec();
            octets.extend_from_slice(&end.to_le_bytes());
            self.put(OWN, own::WHOLE, 0, [&octets, &[]], false);
            self.lazy_since.get_or_insert(now);
        }
    }

    fn name(&self, place: Place, body: &[u8]) -> At {
        At { segment: place.0, offset: place.1, len: body.len() as u32 }
    }

    /// Adds a record, `joined` to the one before in one commit.
    fn put(&mut self, flags: u8, kind: u8, id: u64, body: [&[u8]; 2], joined: bool) -> Place {
        let total = frame::total(body[0].len() + body[1].len());
        if self.offset + total > self.segment_bytes {
            self.roll();
        }
        let (segment, offset, stamp) = (self.segment, self.offset, self.stamp);
        let chunk = self.open_chunk(joined);
        frame::encode(&mut chunk.octets, stamp, offset, flags, kind, id, body);
        self.offset += total;
        self.pending += total as usize;
        self.records += 1;
        self.bytes += total;
        (segment, offset as u32)
    }

    /// The chunk that the next record goes to.
    fn open_chunk(&mut self, joined: bool) -> &mut Chunk<A> {
        let full = |chunk: &Chunk<A>| !within(1, [chunk.urgent + 1, chunk.acks.len() + 1, chunk.octets.len() + 1]);
        let fits = |chunk: &Chunk<A>| chunk.segment == self.segment && !chunk.sealed && (joined || !full(chunk));
        if !self.chunks.back().is_some_and(fits) {
            self.chunks.push_back(Chunk {
                segment: self.segment,
                offset: self.offset,
                octets: self.spares.take(),
                written: 0,
                // Mostly as many as in the one before.
                acks: Vec::with_capacity(self.usual_acks),
                urgent: 0,
                groups: Vec::new(),
                withdrawn: Vec::new(),
                sealed: false,
                again: false,
            });
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// How many chunks, from the front, the next commit takes; they take no more records.
    pub(super) fn take_batch(&mut self) -> usize {
        let (mut count, mut sum) = (0, [0; 3]);
        let times = (self.took.as_nanos() / USUAL.as_nanos()).clamp(1, MOST_TIMES as u128) as usize;
        for chunk in &mut self.chunks {
            sum = [sum[0] + chunk.urgent, sum[1] + chunk.acks.len(), sum[2] + chunk.octets.len()];
            if chunk.segment > self.prepared || (count > 0 && !within(times, sum) && !chunk.is_written()) {
                break;
            }
            chunk.sealed = true;
            count += 1;
        }
        count
    }

    /// The first `count` chunks are on disk. Gives the abandoned segments that can go now.
    pub(super) fn finish(&mut self, count: usize, now: Instant) -> Vec<u32> {
        let groups = |chunk: &Chunk<A>| chunk.groups.iter().map(|group| (chunk.segment, *group)).collect::<Vec<_>>();
        let whole: Vec<_> = self.chunks.iter().take(count).flat_map(groups).collect();
        for chunk in self.chunks.drain(..count) {
            self.pending -= chunk.octets.len();
            self.waiting -= chunk.urgent + chunk.withdrawn.len();
            self.durable_segment = chunk.segment;
            self.settled.extend(chunk.withdrawn.into_iter().map(|ack| (ack, Err(CommitError::Voided))));
            self.usual_acks = chunk.acks.len().min(COMMIT_ACKS);
            // In the acks' own memory.
            let durable: Settled<A> = chunk.acks.into_iter().map(|(ack, at)| (ack, Ok(at))).collect();
            if self.settled.is_empty() {
                self.settled = durable;
            } else {
                self.settled.extend(durable);
            }
            self.spares.keep(chunk.octets);
        }
        (self.failures, self.retry_at) = (0, None);
        self.confirm(&whole, now);
        if self.chunks.iter().any(|chunk| chunk.again) { Vec::new() } else { std::mem::take(&mut self.discards) }
    }

    /// A write or sync failed, and nothing tells which octets not yet known to be on disk are. Leaves the segment and
    /// lays them out in a new one: first voids for the records that someone waits for, which will be answered as not
    /// written once the voids are on disk; then the others, under their old names. Acks whose voids had failed too are
    /// settled as unknown.
    pub(super) fn repair(&mut self, now: Instant) -> Repaired {
        let abandoned: Vec<Chunk<A>> = self.chunks.drain(..).collect();
        (self.pending, self.waiting, self.fault) = (0, 0, false);
        let first = self.durable_segment + 1;
        let lost = abandoned.iter().map(|chunk| chunk.segment).filter(|segment| *segment >= first);
        self.discards.extend(lost);
        self.discards.dedup();
        self.pause(now);
        self.roll();
        let mut lazies = Vec::new();
        for chunk in abandoned {
            let unknown = chunk.withdrawn.into_iter().map(|ack| (ack, Err(CommitError::Unknown)));
            self.settled.extend(unknown);
            for (ack, at) in chunk.acks {
                let place = frame::place_octets((at.segment, at.offset));
                self.put(OWN, own::VOID, 0, [&place, &[]], false);
                self.waiting += 1;
                if let Some(last) = self.chunks.back_mut() {
                    last.withdrawn.push(ack);
                }
            }
            lazies.push((chunk.segment, chunk.offset, chunk.octets));
        }
        let mut moved = Vec::new();
        for (segment, offset, octets) in lazies {
            self.lay_out_again(segment, offset, &octets, &mut moved);
        }
        self.chunks.iter_mut().for_each(|chunk| chunk.again = true);
        if !self.chunks.is_empty() {
            self.lazy_since.get_or_insert(now);
        }
        let excess = self.discards.len().saturating_sub(DISCARDS);
        Repaired { moved, discards: self.discards.drain(..excess).collect() }
    }

    fn lay_out_again(&mut self, segment: u32, offset: u64, octets: &[u8], moved: &mut Vec<(Place, Place)>) {
        let stamp = Stamp::new(self.salt, Sort::Segment, segment);
        let mut at = 0;
        while let Some((head, body)) = frame::decode(stamp, offset + at as u64, &octets[at..]) {
            let here = (segment, (offset + at as u64) as u32);
            at += head.total() as usize;
            if head.flags & (SYNCED | OWN) != 0 {
                continue;
            }
            let (name, body) = match head.flags & MOVED {
                0 => (here, body),
                _ => frame::take_place(body).unwrap_or((here, body)),
            };
            let (mut left, mut many) = (Vec::new(), 0);
            if head.flags & MANY != 0 {
                many = MANY;
                left.extend_from_slice(body);
                if !many::withdraw(&mut left) {
                    continue;
                }
            }
            let body = if many == 0 { body } else { &left };
            let place = self.put(MOVED | many, head.kind, head.id, [&frame::place_octets(name), body], false);
            moved.push((name, place));
        }
    }

    /// Sets the time of the next try.
    fn pause(&mut self, now: Instant) {
        let pause = PAUSES.0.saturating_mul(1 << self.failures.min(10)).min(PAUSES.1);
        self.retry_at = (self.failures > 0).then(|| now + pause);
        self.failures += 1;
    }

    /// There is no file for what comes next, and none can be made: withdraws the synced records that no file has seen.
    pub(super) fn refuse_unwritten(&mut self) {
        let unseen = |chunk: &&mut Chunk<A>| chunk.segment > self.prepared && chunk.written == 0;
        for chunk in self.chunks.iter_mut().filter(unseen).filter(|chunk| !chunk.acks.is_empty()) {
            chunk.withdraw(Stamp::new(self.salt, Sort::Segment, chunk.segment));
            let refused = chunk.acks.drain(..).map(|(ack, _)| (ack, Err(CommitError::Full)));
            self.settled.extend(refused);
            self.waiting -= std::mem::take(&mut chunk.urgent);
        }
    }

    /// Sets how the threads are to end. Closing tries at once, and a few times more.
    pub(super) fn stop(&mut self, how: Stop) {
        self.stop.get_or_insert(how);
        self.last_failure = self.failures.saturating_add(LAST_TRIES);
        (self.retry_at, self.no_room) = (None, false);
    }

    /// Gives up: settles everything that waits as unknown.
    pub(super) fn give_up(&mut self) {
        for chunk in &mut self.chunks {
            let acks = chunk.acks.drain(..).map(|(ack, _)| ack).chain(chunk.withdrawn.drain(..));
            self.settled.extend(acks.map(|ack| (ack, Err(CommitError::Unknown))));
        }
        self.waiting = 0;
    }

    /// The body of a record that is still in memory.
    pub(super) fn body(&self, id: u64, place: Place, len: usize, moved: bool) -> Option<Bytes> {
        let offset = u64::from(place.1);
        let inside = |chunk: &&Chunk<A>| {
            chunk.segment == place.0 && (chunk.offset..chunk.offset + chunk.octets.len() as u64).contains(&offset)
        };
        let chunk = self.chunks.iter().find(inside)?;
        let octets = &chunk.octets[(offset - chunk.offset) as usize..];
        let (head, body) = frame::decode(Stamp::new(self.salt, Sort::Segment, place.0), offset, octets)?;
        let body = &body[if moved { frame::PLACE } else { 0 }..];
        (head.id == id && body.len() == len && (head.flags & MOVED != 0) == moved).then(|| Bytes::copy_from_slice(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that the next commit takes of so many, after one that took that long.
    fn taken(records: usize, took: Duration) -> usize {
        let mut tail: Tail<usize> = Tail::new(1, 16 << 20, 1);
        for ack in 0..records {
            let at = tail.synced(Entry { kind: 1, id: ack as u64, body: b"body" });
            tail.wait(ack, Some(at));
        }
        tail.took = took;
        let count = tail.take_batch();
        tail.finish(count, Instant::now());
        tail.settled.len()
    }

    #[test]
    fn what_no_file_has_seen_is_refused_where_no_file_can_be_made_and_a_group_whole() {
        let mut tail: Tail<usize> = Tail::new(1, 64 << 10, 1);
        tail.lazy(1, 1, &[0; 60_000]);
        let mut octets = Vec::new();
        for id in 10..14 {
            many::push(&mut octets, 1, id, id % 2 == 0, |octets| octets.extend_from_slice(b"member"));
        }
        let gathered = Gathered { records: 4, urgent: 1, ..Gathered::default() };
        tail.roll();
        tail.many(gathered, &octets, [(0, 10), (2, 11)].map(|(index, ack)| Waits { ack, index, len: 6 }).into_iter());
        tail.whole(64, [(1, 20, &b"one"[..]), (1, 21, b"two")].into_iter(), 12);
        let at = tail.synced(Entry { kind: 1, id: 30, body: b"alone" });
        tail.wait(13, Some(at));
        tail.lazy(1, 31, b"lazy");
        tail.refuse_unwritten();
        let refused: Vec<_> = tail.settled.iter().map(|(ack, result)| (*ack, *result)).collect();
        assert_eq!(refused, [10, 11, 12, 13].map(|ack| (ack, Err(CommitError::Full))));
        assert_eq!(tail.waiting, 0);
        let chunk = tail.chunks.back().unwrap();
        assert!(chunk.groups.is_empty(), "nothing is to be said of a group that is not there");
        let (stamp, mut at, mut left) = (Stamp::new(1, Sort::Segment, 2), 0, Vec::new());
        while let Some((head, body)) = frame::decode(stamp, chunk.offset + at as u64, &chunk.octets[at..]) {
            at += head.total() as usize;
            match head.flags & (MANY | OWN) {
                MANY => left.extend(many::members(body).filter(|member| !member.gone).map(|member| member.id)),
                OWN => assert_eq!(head.kind, own::PAD),
                _ => left.push(head.id),
            }
        }
        assert_eq!((at, left), (chunk.octets.len(), vec![11, 13, 31]), "nothing has moved");
    }

    #[test]
    fn a_group_begins_another_chunk_rather_than_move_much() {
        let chunks = |before: usize| {
            let mut tail: Tail<usize> = Tail::new(1, 16 << 20, 1);
            tail.lazy(1, 1, &vec![0; before]);
            let capacity = tail.chunks[0].octets.capacity();
            let body = vec![0; capacity];
            tail.whole(2 * frame::total(capacity), [(1, 2, &body[..]), (1, 3, &body)].into_iter(), 7);
            let group = &tail.chunks[tail.chunks.len() - 1].groups;
            assert_eq!(group.len(), 1, "whole, in one");
            tail.chunks.len()
        };
        assert_eq!([chunks(MUCH / 2), chunks(2 * MUCH)], [1, 2]);
    }

    #[test]
    fn what_first_touches_a_page_covers_all_of_it() {
        let mut tail: Tail<usize> = Tail::new(1, 64 << 10, 1);
        let (mut file, mut touched) = (vec![0xEE; 64 << 10], HEADER);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut want = Vec::new();
        while tail.segment == 1 && tail.offset < 60_000 {
            let most = if rng.u8(..) < 30 { 9_000 } else { 300 };
            let body = vec![1; rng.usize(..most)];
            tail.lazy(1, 1, &body);
            if rng.u8(..) < 40 {
                tail.take_batch();
            }
            for chunk in tail.chunks.iter_mut().filter(|chunk| !chunk.is_written()) {
                chunk
                    .hand_over(|octets, offset| {
                        let end = offset + octets.len() as u64;
                        assert!(end <= touched || end.is_multiple_of(PAGE), "{offset} {end}");
                        touched = touched.max(end);
                        file[offset as usize..end as usize].copy_from_slice(octets);
                        Ok(())
                    })
                    .unwrap();
            }
            want.push(body.len());
        }
        let (stamp, mut at, mut found) = (Stamp::new(1, Sort::Segment, 1), HEADER, Vec::new());
        while let Some((head, body)) = frame::decode(stamp, at, &file[at as usize..]) {
            found.push(body.len());
            at += head.total();
        }
        assert_eq!(found, want, "no zeros on records");
    }

    #[test]
    fn what_only_goes_along_does_not_cut_a_commit_short() {
        let mut tail: Tail<usize> = Tail::new(1, 16 << 20, 1);
        let mut octets = Vec::new();
        for id in 0..2 {
            many::push(&mut octets, 1, id, true, |octets| octets.extend_from_slice(b"member"));
        }
        let receipts = |tail: &mut Tail<usize>, urgent, times| {
            for ack in 0..times {
                let gathered = Gathered { records: 2, acks: 2, urgent, ..Gathered::default() };
                tail.many(gathered, &octets, [0, 1].map(|index| Waits { ack, index, len: 6 }).into_iter());
            }
            let count = tail.take_batch();
            tail.finish(count, Instant::now());
            std::mem::take(&mut tail.settled).len()
        };
        assert_eq!(receipts(&mut tail, 1, 256), 512, "each with an outcome that goes along");
        assert_eq!(receipts(&mut tail, 1, 300), 512);
        assert_eq!(receipts(&mut tail, 1, 0), 88);
        assert_eq!(receipts(&mut tail, 0, 600), 1_024, "nor are there too many of these");
        assert_eq!(receipts(&mut tail, 0, 0), 176);
        assert_eq!(tail.waiting, 0);
    }

    #[test]
    fn the_slower_the_syncs_the_more_each_takes() {
        let ms = Duration::from_millis;
        let all = [ms(0), ms(9), ms(10), ms(25), ms(1_000)].map(|took| taken(10_000, took));
        assert_eq!(all, [256, 256, 512, 1_280, 4_096]);
        assert_eq!(taken(1_000, ms(1_000)), 1_000);
    }
}
