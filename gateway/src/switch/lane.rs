//! Lanes: what waits, by group, tier and eligibility, so that no head blocks a message that could go.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::time::Duration;

use super::poison::STRIKES;
use super::queue::Queue;
use super::{Home, Message};
use crate::clock::Time;
use crate::config::plan::{ChannelId, GroupId, TierId};
use crate::ids::MessageId;

/// Nothing is sent with less than this left, or a quarter of the validity where that is shorter.
const LEAST_LEFT: Duration = Duration::from_secs(5);

/// A message while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) accepted: Time,
    pub(super) expires: Time,
    /// Parts to reserve.
    pub(super) parts: u8,
    /// Attempts that count.
    pub(super) used: u8,
    /// An earlier attempt may have delivered it.
    pub(super) doubtful: bool,
    /// Sessions that died with it, see `poison`.
    pub(super) strikes: u8,
}

impl Entry {
    /// Not started at or after this time.
    pub(super) fn until(&self) -> Time {
        let margin = LEAST_LEFT.min(self.expires.since(self.accepted) / 4);
        Time(self.expires.0.saturating_sub(u64::try_from(margin.as_micros()).unwrap_or(u64::MAX)))
    }

    /// A session died with it.
    pub(super) fn strike(&mut self) {
        self.strikes = self.strikes.saturating_add(1).min(STRIKES);
    }
}

/// Which channels a message may not, should rather not, or must use. Almost always: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    /// Never again for this message; sorted.
    pub(super) excluded: Vec<ChannelId>,
    /// Only if no other is usable: it refused the message, or left it in doubt.
    pub(super) avoid: Option<ChannelId>,
    /// Some parts are there already: the others follow, or all go elsewhere.
    pub(super) only: Option<ChannelId>,
    /// Sent with nothing else in flight on its link, see `poison`.
    pub(super) alone: bool,
}

impl Class {
    /// Excludes one more channel.
    pub(super) fn exclude(&mut self, channel: ChannelId) {
        if let Err(at) = self.excluded.binary_search(&channel) {
            self.excluded.insert(at, channel);
        }
    }

    fn is_any(&self) -> bool {
        *self == Class::default()
    }
}

/// A lane's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) group: GroupId,
    pub(super) tier: TierId,
    pub(super) class: Class,
}

impl LaneKey {
    /// The lane for a message that is no longer bound to one channel.
    pub(super) fn without_only(&self) -> LaneKey {
        LaneKey { class: Class { only: None, ..self.class.clone() }, ..*self }
    }
}

/// A message with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) entry: Entry,
    pub(super) lane: LaneKey,
}

impl Pending {
    /// It killed nothing, or there was no way to find out.
    pub(super) fn acquit(&mut self) {
        self.entry.strikes = 0;
        self.lane.class.alone = false;
    }

    /// Gives it another home; what it may and may not use stays.
    pub(super) fn settle(&mut self, home: Home) {
        (self.lane.group, self.lane.tier) = (home.group, home.tier);
        self.entry.parts = home.parts.max(1);
    }
}

impl From<Message> for Pending {
    fn from(m: Message) -> Pending {
        let entry = Entry {
            id: m.id,
            accepted: m.accepted,
            expires: m.expires,
            parts: m.parts.max(1),
            used: 0,
            doubtful: false,
            strikes: 0,
        };
        Pending { entry, lane: LaneKey { group: m.group, tier: m.tier, class: Class::default() } }
    }
}

/// All lanes. Those of the common class stay when empty, the others go.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    queues: BTreeMap<LaneKey, Queue>,
    len: usize,
}

impl Lanes {
    /// Messages in all lanes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> btree_map::Iter<'_, LaneKey, Queue> {
        self.queues.iter()
    }

    /// The oldest message of a lane.
    pub(super) fn head(&self, lane: &LaneKey) -> Option<&Entry> {
        self.queues.get(lane)?.first()
    }

    /// Puts a message into its lane, at its place by id; false if it is there already.
    pub(super) fn insert(&mut self, pending: Pending) -> bool {
        let new = match self.queues.get_mut(&pending.lane) {
            Some(queue) => queue.insert(pending.entry),
            None => self.queues.entry(pending.lane).or_default().insert(pending.entry),
        };
        self.len += usize::from(new);
        new
    }

    /// Whether the message waits to be sent alone.
    pub(super) fn head_of_trials(&self, id: MessageId) -> bool {
        let trials = self.queues.iter().filter(|(lane, _)| lane.class.alone);
        trials.into_iter().any(|(_, queue)| queue.first().is_some_and(|first| first.id == id))
    }

    /// Takes a lane's oldest message.
    pub(super) fn pop(&mut self, lane: &LaneKey) -> Option<Entry> {
        let queue = self.queues.get_mut(lane)?;
        let entry = queue.pop_first();
        self.len -= usize::from(entry.is_some());
        if queue.is_empty() && !lane.class.is_any() {
            self.queues.remove(lane);
        }
        entry
    }

    /// Takes a message by id, from whichever lane holds it.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Pending> {
        let (lane, entry) =
            self.queues.iter_mut().find_map(|(lane, queue)| queue.remove(id).map(|entry| (lane.clone(), entry)))?;
        self.len -= 1;
        self.tidy(&lane);
        Some(Pending { entry, lane })
    }

    /// Takes at most `most` messages that may not be started any more.
    pub(super) fn expire(&mut self, now: Time, most: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        let mut emptied = Vec::new();
        for (lane, queue) in &mut self.queues {
            if queue.earliest() <= now {
                queue.expire(now, most, &mut gone);
                if queue.is_empty() {
                    emptied.push(lane.clone());
                }
            }
        }
        self.len -= gone.len();
        for lane in emptied {
            self.tidy(&lane);
        }
        gone
    }

    /// Not later than the first expiry.
    pub(super) fn earliest(&self) -> Time {
        self.queues.values().map(Queue::earliest).min().unwrap_or(Time::NEVER)
    }

    fn tidy(&mut self, lane: &LaneKey) {
        if !lane.class.is_any() && self.queues.get(lane).is_some_and(Queue::is_empty) {
            self.queues.remove(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(id: u64, class: Class) -> Pending {
        let entry = Entry {
            id: MessageId(id),
            accepted: Time(0),
            expires: Time(60_000_000),
            parts: 1,
            used: 0,
            doubtful: false,
            strikes: 0,
        };
        Pending { entry, lane: LaneKey { group: GroupId(0), tier: TierId(0), class } }
    }

    #[test]
    fn a_message_is_found_by_id_in_any_lane_and_emptied_lanes_go() {
        let mut lanes = Lanes::default();
        let class = Class { avoid: Some(ChannelId(1)), ..Class::default() };
        lanes.insert(pending(1, Class::default()));
        lanes.insert(pending(2, class.clone()));
        assert_eq!(lanes.len(), 2);
        assert_eq!(lanes.remove(MessageId(2)).map(|p| p.entry.id), Some(MessageId(2)));
        assert_eq!(lanes.remove(MessageId(2)), None);
        assert_eq!((lanes.len(), lanes.iter().count()), (1, 1));
        assert_eq!(lanes.expire(Time(55_000_000), 10).len(), 1);
        assert_eq!((lanes.len(), lanes.iter().count()), (0, 1), "the common lane stays");
    }

    #[test]
    fn a_message_is_given_up_while_the_carrier_could_still_use_its_time() {
        let mut entry = pending(1, Class::default()).entry;
        assert_eq!(entry.until(), Time(55_000_000), "five seconds before the end");
        entry.expires = Time(8_000_000);
        assert_eq!(entry.until(), Time(6_000_000), "a quarter of a short validity");
        entry.expires = Time(0);
        assert_eq!(entry.until(), Time(0));
    }
}
