//! In which order a group's channels are offered a message, and how long it holds out for a better one.
//!
//! A strategy ranks; whether a channel is usable and has room is asked afterwards, in that order, by the matching.

use super::GroupRule;
use super::lane::{Class, Entry};
use crate::clock::Time;
use crate::config::plan::ChannelId;

/// The channels a message of this class may use, best first: the group's order, with the one to avoid last.
pub(super) fn order(group: &GroupRule, class: &Class) -> impl Iterator<Item = ChannelId> {
    let may = |c: &ChannelId| class.only.is_none_or(|only| only == *c) && class.excluded.binary_search(c).is_err();
    let members = group.channels.iter().copied().filter(may);
    let avoided = class.avoid.filter(|avoid| group.channels.contains(avoid)).filter(may);
    members.filter(|c| Some(*c) != class.avoid).chain(avoided)
}

/// From when on a message takes a worse channel although a better one is usable but busy.
pub(super) fn patience(group: &GroupRule, entry: &Entry) -> Time {
    group.spill_after.map_or(Time::NEVER, |wait| entry.accepted.after(wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::GroupId;

    #[test]
    fn preference_leaves_out_excluded_and_tries_the_avoided_one_last() {
        let id = ChannelId;
        let group = GroupRule { id: GroupId(0), channels: vec![id(4), id(1), id(7), id(2)], spill_after: None };
        let order = |class: &Class| order(&group, class).map(|c| c.0).collect::<Vec<_>>();
        let mut class = Class::default();
        assert_eq!(order(&class), [4, 1, 7, 2]);
        class.avoid = Some(id(4));
        assert_eq!(order(&class), [1, 7, 2, 4]);
        class.exclude(id(7));
        class.exclude(id(7));
        assert_eq!(order(&class), [1, 2, 4]);
        class.exclude(id(4));
        assert_eq!(order(&class), [1, 2]);
        class.avoid = Some(id(9));
        assert_eq!(order(&class), [1, 2], "not a member any more");
        class.only = Some(id(2));
        assert_eq!(order(&class), [2]);
    }
}
