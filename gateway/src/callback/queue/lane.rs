//! Events in the order they came, their JSON one behind the other in blocks: none has memory of its own, and none is
//! moved, however many come.

use std::collections::VecDeque;

use super::super::letter::{Draft, EventRef};
use super::super::settings::Settings;
use crate::clock::Moment;

/// Octets of a block; an event that has more has one of its own.
const BLOCK: usize = 64 * 1024;
/// Events whose room an empty lane keeps: most applications have few.
const KEPT: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Each with its arrival and its octets.
    events: VecDeque<(Moment, EventRef, usize)>,
    /// Their JSON; whatever is in a block is whole.
    blocks: VecDeque<Vec<u8>>,
    /// So much of the first block has gone.
    gone: usize,
    /// Octets that have not.
    octets: usize,
    /// A block that is all gone, for the next.
    spare: Vec<u8>,
}

impl Lane {
    pub(super) fn push(&mut self, now: Moment, which: EventRef, json: &[u8]) {
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= json.len();
        if !self.blocks.back().is_some_and(fits) {
            let spare = Some(std::mem::take(&mut self.spare)).filter(fits);
            self.blocks.push_back(spare.unwrap_or_else(|| Vec::with_capacity(BLOCK.max(json.len()))));
        }
        if let Some(block) = self.blocks.back_mut() {
            block.extend_from_slice(json);
        }
        self.events.push_back((now, which, json.len()));
        self.octets += json.len();
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Octets of their JSON.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// When the one that is next came.
    pub(super) fn since(&self) -> Option<Moment> {
        self.events.front().map(|(since, ..)| *since)
    }

    /// Puts as many into a letter as fit.
    pub(super) fn pour(&mut self, draft: &mut Draft, settings: &Settings) {
        let Settings { batch_events, batch_octets, .. } = *settings;
        while let Some(&(_, which, octets)) = self.events.front()
            && draft.fits(octets, batch_events, batch_octets)
        {
            self.events.pop_front();
            let json = self.blocks.front().and_then(|block| block.get(self.gone..self.gone + octets));
            draft.add(which, json.unwrap_or_default());
            self.octets -= octets;
            self.gone += octets;
            if self.blocks.front().is_some_and(|block| self.gone >= block.len()) {
                self.turn_over();
            }
        }
        // What a burst needed is not kept for the next.
        if self.events.is_empty() {
            self.spare = Vec::new();
            self.events.shrink_to(KEPT);
        }
    }

    /// The first block is all gone.
    fn turn_over(&mut self) {
        self.gone = 0;
        if let Some(mut block) = self.blocks.pop_front().filter(|block| block.capacity() <= BLOCK) {
            block.clear();
            self.spare = block;
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = EventRef> {
        std::mem::take(self).events.into_iter().map(|(_, which, _)| which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Time, Wall};
    use crate::ids::MessageId;

    fn room(lane: &Lane) -> usize {
        lane.blocks.iter().chain(Some(&lane.spare)).map(Vec::capacity).sum()
    }

    /// Against a list of events, of any length and in any rhythm: each comes out once, in order, as it was.
    #[test]
    fn what_goes_in_comes_out_in_order_and_little_room_stays() {
        let settings = Settings::default();
        for seed in 0..20 {
            let (mut lane, mut model) = (Lane::default(), VecDeque::new());
            let mut dice = fastrand::Rng::with_seed(seed);
            for n in 0..3_000u64 {
                let now = Moment { time: Time(n), wall: Wall(n) };
                let octets = if dice.u8(..100) == 0 { dice.usize(..2 * BLOCK) } else { dice.usize(..600) };
                let (which, json) = (EventRef { id: MessageId(n), seq: 1, at: Wall(n) }, vec![n as u8; octets]);
                lane.push(now, which, &json);
                model.push_back((now, which, json));
                if dice.u8(..150) != 0 {
                    continue;
                }
                // Sometimes all of it, sometimes not.
                for _ in 0..dice.usize(..12) {
                    let mut draft = Draft::new(0, 0, None);
                    lane.pour(&mut draft, &settings);
                    let letter = draft.done(Wall(0));
                    let mut body = b"{\"events\":[".to_vec();
                    for (at, event) in letter.events.iter().enumerate() {
                        let (_, which, json) = model.pop_front().expect("it was put in");
                        assert_eq!(*event, which);
                        body.extend(b",".iter().take(at).chain(&json));
                    }
                    body.extend_from_slice(b"]}");
                    assert!(letter.body == body);
                }
                let octets: usize = model.iter().map(|(.., json)| json.len()).sum();
                assert_eq!((lane.len(), lane.octets()), (model.len(), octets));
                let since = |moment: Moment| (moment.time, moment.wall);
                assert_eq!(lane.since().map(since), model.front().map(|(next, ..)| since(*next)));
                assert!(!lane.is_empty() || room(&lane) <= BLOCK && lane.events.capacity() <= KEPT);
            }
            assert!(lane.drain().eq(model.into_iter().map(|(_, which, _)| which)));
            assert_eq!((lane.octets(), room(&lane)), (0, 0));
        }
    }
}
