//! Reads a file's records in order, finding the way again after damage.

use std::io;

use super::disk::DiskFile;
use super::frame::{self, ALIGN, HEAD, HEADER, Head, Stamp};

/// Octets read at once where all of a file is read.
const WINDOW: usize = 256 * 1_024;
/// Octets given up at once where the device cannot read.
const PAGE: u64 = 4_096;

/// What a scan meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A whole record; its body is [`Scan::body`] until the next step.
    Record { offset: u64, head: Head },
    /// Octets that are no record. `torn`: nothing readable follows in this file.
    Damage { offset: u64, octets: u64, torn: bool },
}

/// A scan over one file.
pub(super) struct Scan<'f> {
    file: &'f dyn DiskFile,
    stamp: Stamp,
    /// Free space holds zeros only, so that anything else there was meant as a record.
    zeroed: bool,
    length: u64,
    at: u64,
    /// Octets read at once.
    step: usize,
    window: Vec<u8>,
    window_at: u64,
    bad_from: Option<u64>,
    /// The record found behind damage that is reported first.
    held: Option<(u64, Head)>,
    body: (usize, usize),
    unreadable: bool,
}

impl<'f> Scan<'f> {
    /// From the first record of a file to its end.
    pub(super) fn new(file: &'f dyn DiskFile, stamp: Stamp, zeroed: bool) -> io::Result<Self> {
        Ok(Self::within(file, stamp, zeroed, (HEADER, file.length()?), WINDOW))
    }

    /// From a record known to begin at the first offset to the second one, reading so many octets at once.
    pub(super) fn within(
        file: &'f dyn DiskFile,
        stamp: Stamp,
        zeroed: bool,
        (at, length): (u64, u64),
        step: usize,
    ) -> Self {
        Scan {
            file,
            stamp,
            zeroed,
            length,
            at,
            step,
            window: Vec::new(),
            window_at: 0,
            bad_from: None,
            held: None,
            body: (0, 0),
            unreadable: false,
        }
    }

    /// The record known to stand at `offset` with a body of `len` octets as it stands; `None` where it is not whole. Where
    /// records are asked for as they follow one another, many are read at once.
    pub(super) fn record_at(&mut self, offset: u64, len: usize) -> Option<(Head, &[u8])> {
        let (stamp, window) = (self.stamp, self.window_at..=self.window_at + self.window.len() as u64);
        let step = if window.contains(&offset) { self.step } else { 0 };
        let octets = self.view(offset, HEAD + len, step);
        frame::decode(stamp, offset, octets).filter(|(head, _)| head.len as usize == len)
    }

    /// Body of the record last met.
    pub(super) fn body(&self) -> &[u8] {
        &self.window[self.body.0..self.body.1]
    }

    /// The next record or stretch of damage; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Item> {
        if let Some((offset, head)) = self.held.take() {
            return Some(self.record(offset, head));
        }
        while self.at < self.length {
            if let Some(head) = self.whole(self.at) {
                let offset = self.at;
                if let Some(from) = self.bad_from.take() {
                    self.held = Some((offset, head));
                    self.unreadable = false;
                    return Some(Item::Damage { offset: from, octets: offset - from, torn: false });
                }
                return Some(self.record(offset, head));
            }
            self.bad_from.get_or_insert(self.at);
            self.at += ALIGN;
        }
        let from = self.bad_from.take()?;
        self.torn(from)
    }

    fn record(&mut self, offset: u64, head: Head) -> Item {
        let from = (offset - self.window_at) as usize + HEAD;
        self.body = (from, from + head.len as usize);
        self.at = offset + head.total();
        Item::Record { offset, head }
    }

    /// The head of the record at `at` if all of it is there and sound; leaves it in the window.
    fn whole(&mut self, at: u64) -> Option<Head> {
        let stamp = self.stamp;
        let head = Head::parse(stamp, self.view(at, HEAD, self.step))?;
        if head.total() > self.length.next_multiple_of(ALIGN).saturating_sub(at) {
            return None;
        }
        let octets = self.view(at, HEAD + head.len as usize, self.step);
        frame::decode(stamp, at, octets).map(|(head, _)| head)
    }

    /// What follows the last record: free space, or a record cut short.
    fn torn(&mut self, from: u64) -> Option<Item> {
        let stamp = self.stamp;
        let rest = usize::try_from(self.length - from).unwrap_or(usize::MAX);
        let begin = self.view(from, HEAD.min(rest), self.step).to_vec();
        let meant = frame::was_meant(stamp, &begin) || (self.zeroed && begin.iter().any(|octet| *octet != 0));
        let short = rest < HEAD && begin.iter().any(|octet| *octet != 0);
        if !meant && !short && !self.unreadable {
            return None;
        }
        let claimed = Head::parse(stamp, &begin).map_or(PAGE, |head| head.total());
        Some(Item::Damage { offset: from, octets: claimed.min(self.length - from), torn: true })
    }

    /// Up to `n` octets from `at`, fewer at the file's end; `step` are read where they are not at hand.
    fn view(&mut self, at: u64, n: usize, step: usize) -> &[u8] {
        let n = n.min(usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX));
        let have = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + n as u64 > have {
            self.fill(at, n.max(step));
        }
        let from = (at - self.window_at) as usize;
        &self.window[from..(from + n).min(self.window.len()).max(from)]
    }

    fn fill(&mut self, at: u64, n: usize) {
        let n = n.min(usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX));
        // What it held is written over.
        self.window.resize(n, 0);
        self.window_at = at;
        if matches!(self.file.read_at(&mut self.window, at), Ok(read) if read == n) {
            return;
        }
        self.window.fill(0);
        let mut from = at;
        while from < at + n as u64 {
            let to = ((from / PAGE + 1) * PAGE).min(at + n as u64);
            let page = &mut self.window[(from - at) as usize..(to - at) as usize];
            if self.file.read_at(page, from).is_err() {
                page.fill(0);
                self.unreadable = true;
            }
            from = to;
        }
    }
}
