//! Messages that wait for a time: a retry's back-off, a doubt that a receipt may still resolve.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::lane::Pending;
use crate::clock::Time;
use crate::ids::MessageId;

/// Messages with the time before which they do not go.
#[derive(Debug, Default)]
pub(super) struct Later {
    messages: BTreeMap<MessageId, (Time, Pending)>,
    due: BTreeSet<(Time, MessageId)>,
}

impl Later {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.messages.values().map(|(_, pending)| pending)
    }

    /// Those with ids above that one.
    pub(super) fn after(&self, id: MessageId) -> impl Iterator<Item = &Pending> {
        self.messages.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, (_, pending))| pending)
    }

    /// Keeps a message until `not_before`, or until it expires if that comes first.
    pub(super) fn insert(&mut self, not_before: Time, pending: Pending) {
        let id = pending.entry.id;
        let at = not_before.min(pending.entry.until());
        self.remove(id);
        self.due.insert((at, id));
        self.messages.insert(id, (at, pending));
    }

    /// A message by its id, with the time it waits for.
    pub(super) fn find(&self, id: MessageId) -> Option<(Time, &Pending)> {
        self.messages.get(&id).map(|(at, pending)| (*at, pending))
    }

    /// Takes a message out before its time.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Pending> {
        self.take(id).map(|(_, pending)| pending)
    }

    /// As [`Later::remove`], with the time it was to wait for.
    pub(super) fn take(&mut self, id: MessageId) -> Option<(Time, Pending)> {
        let (at, pending) = self.messages.remove(&id)?;
        self.due.remove(&(at, id));
        Some((at, pending))
    }

    /// Takes a message whose time has come.
    pub(super) fn pop(&mut self, now: Time) -> Option<Pending> {
        let (_, id) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.remove(id)
    }

    /// When the next one's time comes.
    pub(super) fn earliest(&self) -> Time {
        self.due.first().map_or(Time::NEVER, |(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{AppId, GroupId, TierId};
    use crate::switch::Message;

    fn pending(id: u64, expires: u64) -> Pending {
        Pending::from(Message {
            id: MessageId(id),
            app: AppId(0),
            group: GroupId(0),
            tier: TierId(0),
            parts: 1,
            expires: Time(expires),
            accepted: Time(0),
        })
    }

    #[test]
    fn the_earlier_of_wait_and_expiry_counts_and_what_is_removed_never_comes() {
        let mut later = Later::default();
        later.insert(Time(50), pending(1, 1_000));
        later.insert(Time(5_000), pending(2, 80));
        later.insert(Time(70), pending(3, 1_000));
        assert_eq!(later.earliest(), Time(50));
        assert!(later.pop(Time(49)).is_none());
        assert_eq!(later.remove(MessageId(3)).map(|p| p.entry.id), Some(MessageId(3)));
        assert_eq!(later.pop(Time(60)).map(|p| p.entry.id), Some(MessageId(1)));
        assert_eq!(later.pop(Time(60)).map(|p| p.entry.id), Some(MessageId(2)), "its validity ends at 60");
        assert_eq!((later.len(), later.earliest()), (0, Time::NEVER));
    }
}
