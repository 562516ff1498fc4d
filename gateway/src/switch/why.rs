//! Why an attempt went where it did, and why a channel did not get it: small codes that the journal keeps, and their
//! words.

use crate::config::plan::ChannelId;

/// Why an attempt goes where it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// What decided.
    pub reason: Reason,
    /// The other channel of which the reason speaks.
    pub other: Option<ChannelId>,
    /// Why that one did not get it.
    pub cause: Option<Cause>,
    /// What the reason or the cause counts: milliseconds or percent.
    pub number: u32,
}

/// What decided. The numbers are in journals: none may change its meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Nothing is known of it: an attempt of an earlier version.
    #[default]
    Unknown = 0,
    /// First in the order of preference.
    Preferred = 1,
    /// No other channel may carry it.
    Only = 2,
    /// Its turn by weight; the number is the channel's share of the weights in service, in percent.
    Weighted = 3,
    /// The cheapest.
    Cheapest = 4,
    /// The best by success, delivery and latency; the number is its score in percent.
    Best = 5,
    /// The best by the weighted score; the number is its score in percent.
    Balanced = 6,
    /// To learn how a channel does that is not first.
    Explored = 7,
    /// The other, better one cannot be used, for the cause.
    Backup = 8,
    /// The other, better one is busy; the number is how long the message has waited, in milliseconds.
    Spilled = 9,
    /// The other one refused it for the moment, or lost its link.
    Retried = 10,
    /// The other one cannot carry this message.
    Elsewhere = 11,
    /// The other one has left it in doubt.
    InDoubt = 12,
    /// The rest of what the channel has begun.
    Rest = 13,
    /// The other one has not answered for so many milliseconds.
    Hedge = 14,
    /// The other one's receipt says that it is not delivered.
    Undelivered = 15,
    /// A test message goes where it is sent.
    Test = 16,
    /// Alone on its link, to learn whether it kills what it is sent over.
    Alone = 17,
}

/// Why a channel does not get a message. The numbers are in journals: none may change its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// No link is bound.
    NoLink = 1,
    /// An operator holds it.
    Held = 2,
    /// It rests after throttle answers, for so many milliseconds more.
    Paused = 3,
    /// Its window has no room.
    Full = 4,
    /// Its pace allows it in so many milliseconds.
    Paced = 5,
    /// It has not answered for so many milliseconds.
    Suspect = 6,
    /// Its health counts it as down.
    Down = 7,
    /// It has just come back and gets little yet.
    Probation = 8,
    /// It is slow.
    Slow = 9,
    /// It does not take the tier.
    Tier = 10,
    /// It cannot carry this message.
    Excluded = 11,
    /// Another channel has some of the parts.
    Bound = 12,
    /// Its window can never hold the parts.
    Small = 13,
    /// A better one takes the message.
    Worse = 14,
    /// A better one is waited for, for so many milliseconds more.
    Patience = 15,
    /// Its health allows no more messages at present.
    Limited = 16,
    /// The app's own rate allows its next message in so many milliseconds.
    AppRate = 17,
}

const REASONS: [Reason; 18] = [
    Reason::Unknown,
    Reason::Preferred,
    Reason::Only,
    Reason::Weighted,
    Reason::Cheapest,
    Reason::Best,
    Reason::Balanced,
    Reason::Explored,
    Reason::Backup,
    Reason::Spilled,
    Reason::Retried,
    Reason::Elsewhere,
    Reason::InDoubt,
    Reason::Rest,
    Reason::Hedge,
    Reason::Undelivered,
    Reason::Test,
    Reason::Alone,
];

const CAUSES: [Cause; 17] = [
    Cause::NoLink,
    Cause::Held,
    Cause::Paused,
    Cause::Full,
    Cause::Paced,
    Cause::Suspect,
    Cause::Down,
    Cause::Probation,
    Cause::Slow,
    Cause::Tier,
    Cause::Excluded,
    Cause::Bound,
    Cause::Small,
    Cause::Worse,
    Cause::Patience,
    Cause::Limited,
    Cause::AppRate,
];

impl From<Reason> for Why {
    fn from(reason: Reason) -> Why {
        Why { reason, ..Why::default() }
    }
}

impl Why {
    /// A reason that speaks of another channel.
    #[must_use]
    pub fn of(reason: Reason, other: ChannelId) -> Why {
        Why { reason, other: Some(other), ..Why::default() }
    }

    /// In words. `other` is the other channel, as the reader may know it; `None` where there is no reason to tell.
    #[must_use]
    pub fn words(&self, other: &str) -> Option<String> {
        let number = self.number;
        Some(match self.reason {
            Reason::Unknown => return None,
            Reason::Preferred => "preferred".to_owned(),
            Reason::Only => "the only channel".to_owned(),
            Reason::Weighted => format!("its turn by weight ({number} % of those in service)"),
            Reason::Cheapest => "cheapest".to_owned(),
            Reason::Best => format!("best quality (score {number} %)"),
            Reason::Balanced => format!("best balance (score {number} %)"),
            Reason::Explored => "tried for its statistics".to_owned(),
            Reason::Backup => match self.cause {
                Some(cause) => format!("backup: {other} {}", cause.words(number)),
                None => format!("backup: {other} is not usable"),
            },
            Reason::Spilled => format!("spilled after {}: {other} is busy", time(number)),
            Reason::Retried => format!("again after a refusal by {other}"),
            Reason::Elsewhere => format!("{other} cannot carry it"),
            Reason::InDoubt => format!("again: in doubt on {other}"),
            Reason::Rest => "the missing parts".to_owned(),
            Reason::Hedge => format!("hedge: {other} has not answered for {}", time(number)),
            Reason::Undelivered => format!("again: not delivered by {other}"),
            Reason::Test => "test message".to_owned(),
            Reason::Alone => "alone on its link: it was there when others broke".to_owned(),
        })
    }
}

impl Reason {
    /// What a journal's octet says; a later version's word is unknown here.
    #[must_use]
    pub fn read(octet: u8) -> Reason {
        REASONS.get(usize::from(octet)).copied().unwrap_or_default()
    }
}

impl Cause {
    /// What a journal's octet says; 0 is none.
    #[must_use]
    pub fn read(octet: u8) -> Option<Cause> {
        CAUSES.get(usize::from(octet).checked_sub(1)?).copied()
    }

    /// One word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::NoLink => "no_link",
            Cause::Held => "held",
            Cause::Paused => "paused",
            Cause::Full => "window_full",
            Cause::Paced => "pace",
            Cause::Suspect => "suspect",
            Cause::Down => "down",
            Cause::Probation => "probation",
            Cause::Slow => "slow",
            Cause::Tier => "tier",
            Cause::Excluded => "excluded",
            Cause::Bound => "bound_elsewhere",
            Cause::Small => "window_too_small",
            Cause::Worse => "a_better_one_takes_it",
            Cause::Patience => "a_better_one_is_waited_for",
            Cause::Limited => "limited",
            Cause::AppRate => "app_rate",
        }
    }

    /// In words, after the channel's name.
    #[must_use]
    pub fn words(self, number: u32) -> String {
        match self {
            Cause::NoLink => "has no link".to_owned(),
            Cause::Held => "is held".to_owned(),
            Cause::Paused => format!("rests after throttle answers, for {}", time(number)),
            Cause::Full => "has no room in its window".to_owned(),
            Cause::Paced => format!("has no pace for {}", time(number)),
            Cause::Suspect => format!("is suspect (no answers for {})", time(number)),
            Cause::Down => "is down".to_owned(),
            Cause::Probation => "is in probation".to_owned(),
            Cause::Slow => "is slow".to_owned(),
            Cause::Tier => "does not take the tier".to_owned(),
            Cause::Excluded => "cannot carry this message".to_owned(),
            Cause::Bound => "does not have the message's first parts".to_owned(),
            Cause::Small => "can never hold the parts in its window".to_owned(),
            Cause::Worse => "is not needed: a better one takes it".to_owned(),
            Cause::Patience => format!("is not used yet: a better one is waited for, for {}", time(number)),
            Cause::Limited => "takes no more at present".to_owned(),
            Cause::AppRate => format!("is not asked: the app's own rate allows its next message in {}", time(number)),
        }
    }
}

/// Milliseconds for people.
fn time(ms: u32) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", f64::from(ms) / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_read_back_and_unknown_ones_say_nothing() {
        for (octet, reason) in (0u8..).zip(REASONS) {
            assert_eq!((reason as u8, Reason::read(octet)), (octet, reason));
        }
        for (octet, cause) in (1u8..).zip(CAUSES) {
            assert_eq!((cause as u8, Cause::read(octet)), (octet, Some(cause)));
        }
        assert_eq!((Reason::read(250), Cause::read(0), Cause::read(250)), (Reason::Unknown, None, None));
    }

    #[test]
    fn words_name_the_other_channel() {
        let backup = Why { cause: Some(Cause::Suspect), number: 412, ..Why::of(Reason::Backup, ChannelId(0)) };
        assert_eq!(backup.words("smsc-a").unwrap(), "backup: smsc-a is suspect (no answers for 412 ms)");
        let spilled = Why { number: 1_040, ..Why::of(Reason::Spilled, ChannelId(0)) };
        assert_eq!(spilled.words("smsc-a").unwrap(), "spilled after 1.0 s: smsc-a is busy");
        assert_eq!(Why::from(Reason::Unknown).words(""), None);
    }
}
