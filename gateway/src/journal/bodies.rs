//! Accepted records at hand for sending: a bounded cache of recent ones, and a thread that reads the others, so that
//! the line never waits for the disk.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;

use super::{At, Journal};
use crate::ids::MessageId;
use crate::vital::Vital;

/// Octets of bodies kept at most.
const CACHE_BYTES: usize = 32 << 20;
/// Octets of one sheet, or of a single body where that is larger.
const SHEET_BYTES: usize = 32 << 10;
/// Most bodies of one sheet: [`Spot`] has an octet for their number.
const SHEET_BODIES: usize = 256;
/// Most sheets, also of those that are used up: a body that is left behind so many is no recent one.
const SHEETS: usize = 4_096;
/// Bodies asked for that are enough to begin reading; at most twice as many are read together.
const LOT: usize = 256;

/// Bodies that came, or were read to be sent, not long ago, one behind the other on sheets as they were put here. A sheet
/// goes when all of its bodies have been dropped, or with what is left on it when it is the oldest and there are too many.
#[derive(Default)]
pub struct Bodies {
    /// The oldest first; bodies are added to the last one.
    sheets: VecDeque<Sheet>,
    /// Number of the first sheet.
    first: u32,
    /// Of all sheets, used or not.
    octets: usize,
    /// An empty sheet whose memory is to be used again.
    spare: Sheet,
}

/// Where a body was put; whoever owns the message keeps it. Five octets, for every waiting message has one; without
/// alignment, so that they fill a gap. It may be out of date: what is there says whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    sheet: [u8; 4],
    nth: u8,
}

#[derive(Default)]
struct Sheet {
    octets: Vec<u8>,
    /// What was put here, in its order.
    bodies: Vec<Body>,
    /// How many of them have not been dropped.
    left: usize,
}

struct Body {
    /// Whose it is; none once it was dropped.
    id: Option<MessageId>,
    from: u32,
    to: u32,
}

impl Bodies {
    /// Keeps a body.
    pub fn insert(&mut self, id: MessageId, body: &[u8]) -> Spot {
        let fits =
            |last: &Sheet| last.octets.capacity() - last.octets.len() >= body.len() && last.bodies.len() < SHEET_BODIES;
        if !self.sheets.back().is_some_and(fits) {
            self.turn(body.len());
        }
        let number = self.first.wrapping_add(self.sheets.len() as u32).wrapping_sub(1);
        let Some(last) = self.sheets.back_mut() else { return Spot::default() };
        let (from, nth) = (last.octets.len(), last.bodies.len());
        last.octets.extend_from_slice(body);
        let (Ok(from), Ok(to)) = (u32::try_from(from), u32::try_from(last.octets.len())) else {
            return Spot::default();
        };
        last.bodies.push(Body { id: Some(id), from, to });
        last.left += 1;
        Spot { sheet: number.to_le_bytes(), nth: nth as u8 }
    }

    /// A new sheet, with room for so many octets.
    fn turn(&mut self, least: usize) {
        if self.sheets.back().is_some_and(|last| last.left == 0)
            && let Some(unused) = self.sheets.pop_back()
        {
            self.octets -= unused.octets.capacity();
            self.spare = unused;
        }
        let mut sheet = std::mem::take(&mut self.spare);
        sheet.octets.reserve_exact(least.max(SHEET_BYTES));
        self.octets += sheet.octets.capacity();
        self.sheets.push_back(sheet);
        while (self.octets > CACHE_BYTES || self.sheets.len() > SHEETS)
            && self.sheets.len() > 1
            && let Some(oldest) = self.sheets.pop_front()
        {
            self.first = self.first.wrapping_add(1);
            self.octets -= oldest.octets.capacity();
        }
    }

    /// Which of the sheets.
    fn sheet(&self, spot: Spot) -> usize {
        u32::from_le_bytes(spot.sheet).wrapping_sub(self.first) as usize
    }

    /// The message's body, if it is there.
    pub fn get(&self, id: MessageId, spot: Spot) -> Option<&[u8]> {
        let sheet = self.sheets.get(self.sheet(spot))?;
        let body = sheet.bodies.get(usize::from(spot.nth)).filter(|body| body.id == Some(id))?;
        sheet.octets.get(body.from as usize..body.to as usize)
    }

    /// Drops a body that is not needed any more.
    pub fn remove(&mut self, id: MessageId, spot: Spot) {
        let at = self.sheet(spot);
        let last = at + 1 == self.sheets.len();
        let Some(sheet) = self.sheets.get_mut(at) else { return };
        let Some(body) = sheet.bodies.get_mut(usize::from(spot.nth)).filter(|body| body.id == Some(id)) else { return };
        body.id = None;
        sheet.left -= 1;
        if sheet.left > 0 {
            return;
        }
        sheet.bodies.clear();
        sheet.octets.clear();
        if !last {
            self.octets -= sheet.octets.capacity();
            let sheet = std::mem::take(sheet);
            if sheet.octets.capacity() == SHEET_BYTES {
                self.spare = sheet;
            }
            while self.sheets.front().is_some_and(|first| first.octets.capacity() == 0) {
                self.sheets.pop_front();
                self.first = self.first.wrapping_add(1);
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
    /// Asked for, and not yet told the thread.
    asked: Vec<Wanted<T>>,
    wanted: Option<mpsc::Sender<Vec<Wanted<T>>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Reader<T> {
    /// Starts the thread; `bring` is called with as many bodies as one wake-up found wanted.
    pub fn spawn<A: Send + 'static>(
        journal: Journal<A>,
        mut bring: impl FnMut(Brought<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        // Bounded by the windows: each wanted body holds reserved slots of a link, or belongs to a message that ends.
        let (sender, receiver) = mpsc::channel::<Vec<Wanted<T>>>();
        let thread = std::thread::Builder::new().name("bodies".into()).spawn(move || {
            let _vital = Vital("the reading thread");
            while let Ok(mut wanted) = receiver.recv() {
                while wanted.len() < LOT
                    && let Ok(more) = receiver.try_recv()
                {
                    wanted.extend(more);
                }
                let asked: Vec<_> = wanted.iter().map(|one| (one.id.0, one.at)).collect();
                let bodies = journal.read_many(&asked).into_iter().map(Result::ok);
                bring(wanted.into_iter().zip(bodies).collect());
            }
        })?;
        Ok(Reader { asked: Vec::new(), wanted: Some(sender), thread: Some(thread) })
    }

    /// Asks for a body, with others until [`Reader::read`].
    pub fn want(&mut self, wanted: Wanted<T>) {
        self.asked.push(wanted);
        if self.asked.len() >= LOT {
            self.read();
        }
    }

    /// Has what was asked for read.
    pub fn read(&mut self) {
        if !self.asked.is_empty()
            && let Some(sender) = &self.wanted
        {
            // The thread lives as long as this handle.
            let _ = sender.send(std::mem::take(&mut self.asked));
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
        let mut spots = Vec::new();
        for id in 0..200 {
            spots.push(bodies.insert(MessageId(id), &body));
            assert!(bodies.octets <= CACHE_BYTES);
        }
        assert!(bodies.get(MessageId(0), spots[0]).is_none());
        assert_eq!(bodies.get(MessageId(199), spots[199]), Some(&body[..]));
        for (id, spot) in (0..).zip(&spots) {
            bodies.remove(MessageId(id), *spot);
            bodies.remove(MessageId(id), *spot);
        }
        assert!(bodies.sheets.len() == 1 && bodies.sheets.iter().all(|sheet| sheet.left == 0));
    }

    #[test]
    fn bodies_are_found_until_they_are_dropped_or_there_are_too_many() {
        for seed in 0..20 {
            // Also where the numbers of sheets begin anew.
            let mut bodies = Bodies { first: u32::MAX - 3, ..Bodies::default() };
            let mut model = std::collections::BTreeMap::new();
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut old = Spot::default();
            for next in 500..20_500u64 {
                let id = dice.u64(..500);
                if dice.u8(..3) == 0 {
                    if let Some((id, spot, _)) = model.remove(&id) {
                        bodies.remove(id, spot);
                        old = spot;
                    }
                } else {
                    let most = if dice.u8(..50) == 0 { 100_000 } else { 300 };
                    let body = vec![dice.u8(..); dice.usize(..most)];
                    // Whoever keeps another one under this number has dropped the one before.
                    if let Some((id, spot, _)) = model.remove(&id) {
                        bodies.remove(id, spot);
                    }
                    let spot = bodies.insert(MessageId(next), &body);
                    model.insert(id, (MessageId(next), spot, body));
                }
                if let Some((id, spot, body)) = model.get(&dice.u64(..500)) {
                    assert_eq!(bodies.get(*id, *spot), Some(&body[..]), "seed {seed}");
                    assert_eq!(
                        bodies.get(*id, old).is_some(),
                        old == *spot,
                        "what another one left there is not its own"
                    );
                    assert_eq!(bodies.get(MessageId(0), *spot), None);
                }
            }
            assert!(bodies.octets <= CACHE_BYTES && bodies.sheets.len() <= SHEETS);
            assert_eq!(bodies.octets, bodies.sheets.iter().map(|sheet| sheet.octets.capacity()).sum::<usize>());
            assert!(bodies.sheets.iter().all(|sheet| sheet.bodies.len() <= SHEET_BODIES));
        }
    }

    #[test]
    fn one_body_that_stays_keeps_no_more_than_its_sheet() {
        let mut bodies = Bodies::default();
        let stays = bodies.insert(MessageId(0), b"stays");
        let body = vec![7u8; SHEET_BYTES / 4];
        let (mut most, mut before) = (0, None);
        for id in 1..100_000 {
            let spot = bodies.insert(MessageId(id), &body);
            if let Some((id, spot)) = before.replace((MessageId(id), spot)) {
                bodies.remove(id, spot);
            }
            most = most.max(bodies.octets);
        }
        assert!(most <= 4 * SHEET_BYTES, "{most}");
        assert!(bodies.sheets.len() <= SHEETS);
        assert_eq!(bodies.get(MessageId(0), stays), None, "in the end it is not recent");
    }
}
