//! Accepted records at hand for sending: a bounded cache of recent ones, and a thread that reads the others, so that
//! the line never waits for the disk.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;

use super::{At, Journal};
use crate::ids::{IdMap, MessageId};
use crate::vital::Vital;

/// Octets kept at most.
const CACHE_BYTES: usize = 32 << 20;
/// Octets of one sheet, or of a single body where that is larger.
const SHEET_BYTES: usize = 64 << 10;
/// Most sheets, also of those that are used up: a body that is left behind so many is no recent one.
const SHEETS: usize = 4_096;

/// Recent bodies, one behind the other on sheets as they came. A sheet goes when all of its bodies have been dropped, or
/// with what is left on it when it is the oldest and there are too many.
#[derive(Default)]
pub struct Bodies {
    index: IdMap<u64, Spot>,
    /// The oldest first; bodies are added to the last one.
    sheets: VecDeque<Sheet>,
    /// Number of the first sheet.
    first: u64,
    /// Of all sheets, used or not.
    octets: usize,
    /// A sheet's memory, to be used again.
    spare: Vec<u8>,
}

/// Where a body is.
#[derive(Clone, Copy)]
struct Spot {
    sheet: u64,
    from: u32,
    to: u32,
}

#[derive(Default)]
struct Sheet {
    octets: Vec<u8>,
    /// Whose bodies were put here.
    ids: Vec<u64>,
    /// How many of them have not been dropped.
    left: usize,
}

impl Bodies {
    /// Keeps a body.
    pub fn insert(&mut self, id: MessageId, body: &[u8]) {
        if self.sheets.back().is_none_or(|last| last.octets.capacity() - last.octets.len() < body.len()) {
            self.turn(body.len());
        }
        let sheet = self.first + (self.sheets.len() as u64).saturating_sub(1);
        let Some(last) = self.sheets.back_mut() else { return };
        let from = last.octets.len();
        last.octets.extend_from_slice(body);
        let (Ok(from), Ok(to)) = (u32::try_from(from), u32::try_from(last.octets.len())) else { return };
        last.ids.push(id.0);
        last.left += 1;
        if let Some(before) = self.index.insert(id.0, Spot { sheet, from, to }) {
            self.drop_at(before);
        }
    }

    /// A new sheet, with room for so many octets.
    fn turn(&mut self, least: usize) {
        if self.sheets.back().is_some_and(|last| last.left == 0)
            && let Some(unused) = self.sheets.pop_back()
        {
            self.octets -= unused.octets.capacity();
            self.spare = unused.octets;
        }
        let mut octets = std::mem::take(&mut self.spare);
        octets.reserve_exact(least.max(SHEET_BYTES));
        self.octets += octets.capacity();
        self.sheets.push_back(Sheet { octets, ..Sheet::default() });
        while (self.octets > CACHE_BYTES || self.sheets.len() > SHEETS)
            && self.sheets.len() > 1
            && let Some(oldest) = self.sheets.pop_front()
        {
            for id in &oldest.ids {
                if self.index.get(id).is_some_and(|spot| spot.sheet == self.first) {
                    self.index.remove(id);
                }
            }
            self.first += 1;
            self.octets -= oldest.octets.capacity();
        }
    }

    /// The body, if it is here.
    pub fn get(&self, id: MessageId) -> Option<&[u8]> {
        let Spot { sheet, from, to } = *self.index.get(&id.0)?;
        let sheet = self.sheets.get(usize::try_from(sheet.checked_sub(self.first)?).ok()?)?;
        sheet.octets.get(from as usize..to as usize)
    }

    /// Drops a body that is not needed any more.
    pub fn remove(&mut self, id: MessageId) {
        if let Some(spot) = self.index.remove(&id.0) {
            self.drop_at(spot);
        }
    }

    /// A body that the index does not name any more.
    fn drop_at(&mut self, spot: Spot) {
        let at = usize::try_from(spot.sheet.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let last = at + 1 == self.sheets.len();
        let Some(sheet) = self.sheets.get_mut(at) else { return };
        sheet.left -= 1;
        if sheet.left > 0 {
            return;
        }
        sheet.ids.clear();
        sheet.octets.clear();
        if !last {
            self.octets -= sheet.octets.capacity();
            let Sheet { octets, .. } = std::mem::take(sheet);
            if octets.capacity() == SHEET_BYTES {
                self.spare = octets;
            }
            while self.sheets.front().is_some_and(|first| first.octets.capacity() == 0) {
                self.sheets.pop_front();
                self.first += 1;
            }
        }
    }
}

/// A body asked for, with what it is for.
pub struct Wanted<T> {
    /// Whose.
    pub id: MessageId,
    /// Where it is.
    pub at: At,
    /// Given back with it.
    pub purpose: T,
}

/// What the reading thread brings.
pub type Brought<T> = Vec<(Wanted<T>, Option<Bytes>)>;

/// The thread that reads bodies.
pub struct Reader<T> {
    wanted: Option<mpsc::Sender<Wanted<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Reader<T> {
    /// Starts the thread; `bring` is called with as many bodies as one wake-up found wanted.
    pub fn spawn<A: Send + 'static>(
        journal: Journal<A>,
        mut bring: impl FnMut(Brought<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        // Bounded by the windows: each wanted body holds reserved slots of a link, or belongs to a message that ends.
        let (sender, receiver) = mpsc::channel::<Wanted<T>>();
        let thread = std::thread::Builder::new().name("bodies".into()).spawn(move || {
            let _vital = Vital("the reading thread");
            while let Ok(first) = receiver.recv() {
                let wanted = std::iter::once(first).chain(receiver.try_iter().take(255));
                bring(wanted.map(|w| (journal.read(w.id.0, w.at).ok(), w)).map(|(b, w)| (w, b)).collect());
            }
        })?;
        Ok(Reader { wanted: Some(sender), thread: Some(thread) })
    }

    /// Asks for a body.
    pub fn want(&self, wanted: Wanted<T>) {
        if let Some(sender) = &self.wanted {
            // The thread lives as long as this handle.
            let _ = sender.send(wanted);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_drops_the_oldest() {
        let mut bodies = Bodies::default();
        let body = vec![7u8; 1 << 20];
        for id in 0..200 {
            bodies.insert(MessageId(id), &body);
            assert!(bodies.octets <= CACHE_BYTES);
        }
        assert!(bodies.get(MessageId(0)).is_none());
        assert_eq!(bodies.get(MessageId(199)), Some(&body[..]));
        for id in 0..200 {
            bodies.remove(MessageId(id));
        }
        assert!(bodies.index.is_empty() && bodies.sheets.len() == 1);
    }

    #[test]
    fn bodies_are_found_until_they_are_dropped_or_there_are_too_many() {
        for seed in 0..20 {
            let (mut bodies, mut model) = (Bodies::default(), std::collections::BTreeMap::new());
            let mut dice = fastrand::Rng::with_seed(seed);
            for _ in 0..20_000 {
                let id = dice.u64(..500);
                if dice.u8(..3) == 0 {
                    bodies.remove(MessageId(id));
                    model.remove(&id);
                } else {
                    let most = if dice.u8(..50) == 0 { 100_000 } else { 300 };
                    let body = vec![dice.u8(..); dice.usize(..most)];
                    bodies.insert(MessageId(id), &body);
                    model.insert(id, body);
                }
                let id = dice.u64(..500);
                assert_eq!(bodies.get(MessageId(id)), model.get(&id).map(|body| &body[..]), "seed {seed}");
            }
            assert!(bodies.octets <= CACHE_BYTES && bodies.sheets.len() <= SHEETS);
            assert_eq!(bodies.octets, bodies.sheets.iter().map(|sheet| sheet.octets.capacity()).sum::<usize>());
        }
    }

    #[test]
    fn one_body_that_stays_keeps_no_more_than_its_sheet() {
        let mut bodies = Bodies::default();
        bodies.insert(MessageId(0), b"stays");
        let body = vec![7u8; SHEET_BYTES / 4];
        let mut most = 0;
        for id in 1..100_000 {
            bodies.insert(MessageId(id), &body);
            bodies.remove(MessageId(id - u64::from(id > 1)));
            most = most.max(bodies.octets);
        }
        assert!(most <= 4 * SHEET_BYTES, "{most}");
        assert!(bodies.sheets.len() <= SHEETS && bodies.get(MessageId(0)).is_none(), "in the end it is not recent");
    }
}
