//! Which channels are well: what is heard from a carrier, and what is not, becomes a state per link and per channel, and
//! an answer to "may this group use that channel now". Pure, like all of the switch.
//!
//! [`Health`] owns everything and is what the switch holds: it is told of each part sent and ended, of links up and down
//! and of what the sockets say; `examine(now)` at its `deadline()` (and after hard evidence, which makes it due at once)
//! says what changed and which probes to send. State tables are in LIFECYCLE.md beside this file.
//!
//! Layers, each usable alone: `latency` (what answers usually take) ← `link` (evidence on one session) ← `channel`
//! (states, hold-down, trial, weight) ← `fleet` (groups: ejection cap, panic, guard).

mod channel;
mod fleet;
mod latency;
mod link;
mod memory;
#[cfg(test)]
mod rules;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Time;

pub use fleet::{Group, Health, Member};
pub use memory::Memory;
pub use settings::{Patience, Preset, Prior, Settings};

/// How a part that was sent ended on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The carrier answered: taken, or refused for the number, the text or the template. Both show a carrier at work.
    Answer,
    /// The carrier asks to go slower: an answer, no failure.
    Throttle,
    /// The carrier answered that it is out of order, or this session is.
    SystemError,
    /// No answer within the answer deadline, on a link that lives.
    Unanswered,
    /// We took it back, or it was never written: it says nothing.
    Withdrawn,
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// We ended it: reload, operator, shutdown. The channel comes back without a trial, and nothing is held against it.
    Ours,
    /// It was lost: reset, closed by the carrier, timed out.
    Lost,
}

/// A channel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// In service.
    Healthy,
    /// On trial after it was down.
    Probation,
    /// Soft evidence against all its links: nothing new while another channel is there.
    Suspect,
    /// No link, or silent: nothing is sent.
    Down,
}

impl State {
    /// Its name in logs, metrics and pages: lower case, one word.
    pub fn name(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Probation => "probation",
            State::Suspect => "suspect",
            State::Down => "down",
        }
    }
}

/// Why a state was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The carrier's kernel does not acknowledge.
    Tcp,
    /// A probe sent on suspicion is unanswered.
    Probe,
    /// Too many parts in flight are overdue together.
    Phi,
    /// System errors in a row, or too large a share.
    Error,
    /// Answers take more than four times as long as usual.
    Slow,
    /// Suspect, and not one PDU since.
    Silent,
    /// No link is bound.
    NoLink,
    /// Links were bound for the first time, or after we ended them ourselves.
    Bound,
    /// A link is back and answers.
    Returned,
    /// Suspicion is over: answers came, and the hold-down has passed.
    Recovered,
    /// The trial went well.
    Passed,
    /// Any evidence during a trial.
    Relapsed,
}

impl Cause {
    /// Its name in logs, metrics and pages: lower case, words joined by `_`.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Tcp => "tcp",
            Cause::Probe => "probe",
            Cause::Phi => "phi",
            Cause::Error => "error",
            Cause::Slow => "slow",
            Cause::Silent => "silent",
            Cause::NoLink => "no_link",
            Cause::Bound => "bound",
            Cause::Returned => "returned",
            Cause::Recovered => "recovered",
            Cause::Passed => "passed",
            Cause::Relapsed => "relapsed",
        }
    }

    /// Whether this is a judgement that may be wrong (counted by ejection cap and guard), not a fact.
    pub fn soft(self) -> bool {
        !matches!(self, Cause::NoLink | Cause::Silent | Cause::Bound)
    }
}

/// A channel changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From.
    pub from: State,
    /// To.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Time,
}

/// What an examination found or wants, in order; `C` names channels and `G` groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note<C, G> {
    /// Send a probe on this link now. It counts as sent; its answer is told by [`Health::probe_answered`].
    Probe(C, u16),
    /// A channel changed its state: count and log it.
    Moved(C, Transition),
    /// A link became suspect (or well again: `None`) while its channel may go on over others: log it.
    Link(C, u16, Option<Cause>),
    /// The channel's weight changed (slow, throttled, or back to 1).
    Weight(C, f64),
    /// A suspect channel is out of this group.
    Ejected(G, C),
    /// A suspect channel stays usable in this group: too much was ejected already, nothing better is left, or we suspect
    /// ourselves.
    Capped(G, C),
    /// The group lost so much that its suspect channels are usable again (true), or no more (false).
    Panic(G, bool),
    /// Several carriers became suspect at once: we suspect ourselves; no soft ejection until then. Raise an alert.
    Frozen(Time),
}

/// How much a channel on trial may be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trial {
    /// One part in flight at a time.
    One,
    /// This share of its pace, 0 to 1.
    Share(f64),
}

/// Whether a group may use a channel now. Room, pace, pause and an operator's hold are asked elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use {
    /// In the strategy's order.
    Full,
    /// In the strategy's order, but no more than this.
    Trial(Trial),
    /// After every other channel of the group; among themselves by this number, small first.
    Last(u32),
    /// Not now.
    No,
}

impl Use {
    /// Whether it may be used at all.
    pub fn allowed(self) -> bool {
        self != Use::No
    }
}

/// A channel's health for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// State.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// Why.
    pub cause: Cause,
    /// Evidence of its best link, 0 and up; 8 condemns.
    pub phi: f64,
    /// Since the last answer while something was in flight; the least of its links.
    pub silence: Duration,
    /// Age of the oldest unacknowledged octets; the least of its links.
    pub unacked: Duration,
    /// Parts in flight.
    pub in_flight: u32,
    /// Answer latency: half are faster.
    pub p50: Duration,
    /// 90 % are faster.
    pub p90: Duration,
    /// 99 % are faster.
    pub p99: Duration,
    /// Answers the latencies were learned from; below [`Settings::cold`] they are guesses.
    pub samples: u32,
    /// Share of system errors lately, 0 to 1; the least of its links.
    pub error_share: f64,
    /// Answers that came after their part was given up.
    pub late: u64,
    /// What a strategy should count the channel as: 1, or less while slow or throttled.
    pub weight: f64,
    /// Flaps held against it.
    pub flaps: u32,
    /// End of its hold-down.
    pub hold_until: Time,
    /// Trial share, where on trial.
    pub trial: Option<Trial>,
}
