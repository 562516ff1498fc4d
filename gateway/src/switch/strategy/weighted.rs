//! Parts in proportion to weights, without chance: of those far enough behind their share, whoever would first be a whole
//! part behind is next (R. Tijdeman, The chairman assignment problem, 1980). That keeps everybody within one part of the
//! exact share at any time.

use super::{Member, Ranked};

/// Scores of those ahead of their share: after all others.
const AHEAD: f64 = -1e9;
/// Scores of those without a weight: after those.
const STANDBY: f64 = -2e9;
/// Nobody is owed more, or owes more, whatever others could not carry.
const MOST_OWED: f64 = 256.0;

fn weight(members: &[Member], one: &Ranked) -> f64 {
    members.get(one.at).map_or(0.0, |member| f64::from(member.weight) * one.factor)
}

fn weights(members: &[Member], ranked: &[Ranked]) -> f64 {
    ranked.iter().filter(|one| one.open).map(|one| weight(members, one)).sum()
}

/// Whether `one`, which is of no use now, would be the first of both if it were of use: by its share and by what it is
/// owed.
pub(super) fn before(members: &[Member], ranked: &[Ranked], one: &Ranked, taken: &Ranked) -> bool {
    let well = Ranked { factor: 1.0, ..*one };
    let sum = weights(members, ranked) + weight(members, &well);
    let behind = |of: &Ranked| {
        let share = if sum > 0.0 { weight(members, of) / sum } else { 0.0 };
        (share, members.get(of.at).map_or(0.0, |member| member.owed) + share)
    };
    let ((share, own), (_, other)) = (behind(&well), behind(taken));
    share > 0.0 && (own, taken.at) > (other, one.at)
}

/// Sorts by whose turn it is. Channels that cannot be used come last, as preferred.
pub(super) fn sort(members: &[Member], ranked: &mut [Ranked]) {
    let (count, sum) = (ranked.iter().filter(|one| one.open).count(), weights(members, ranked));
    let threshold = if count > 1 { 1.0 / (2.0 * count as f64 - 2.0) } else { 0.0 };
    for one in ranked.iter_mut() {
        let share = if sum > 0.0 { weight(members, one) / sum } else { 0.0 };
        let behind = members.get(one.at).map_or(0.0, |member| member.owed) + share;
        one.score = if !one.open {
            f64::NEG_INFINITY
        } else if share <= 0.0 {
            STANDBY
        } else if behind >= threshold - 1e-9 {
            // The steps it can still wait, negative.
            (behind - (1.0 - threshold)) / share
        } else {
            AHEAD + behind
        };
    }
    ranked.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
}

/// The first of `ranked` gets so many parts; it and all that could have had them after it earn their shares. Those that
/// were asked before it had no room and earn nothing: what they did not carry is not made up for.
pub(super) fn charge(members: &mut [Member], ranked: &[Ranked], parts: u8) {
    let (parts, sum) = (f64::from(parts), weights(members, ranked));
    let Some(taken) = ranked.first().filter(|taken| taken.open && weight(members, taken) > 0.0) else { return };
    for one in ranked.iter().filter(|one| one.open) {
        let earned = parts * weight(members, one) / sum;
        let paid = if one.at == taken.at { parts } else { 0.0 };
        if let Some(member) = members.get_mut(one.at) {
            member.owed = (member.owed + earned - paid).clamp(-MOST_OWED, MOST_OWED);
        }
    }
}
