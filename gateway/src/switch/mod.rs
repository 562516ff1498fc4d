//! The switch: which message next, which channel, when, again or not. One pure machine:
//! `step(now, event) → commands`, then `settle(now) → commands` once per batch. How a message moves through it is told
//! in LIFECYCLE.md beside this file.

mod attempt;
mod budget;
mod channel;
mod doubt;
mod examine;
mod explain;
mod fair;
mod flights;
pub mod health;
mod hedge;
mod lane;
mod later;
mod machine;
mod matching;
mod outlook;
mod pace;
mod poison;
mod queue;
mod rate;
mod recover;
mod retry;
mod stats;
mod strategy;
#[cfg(test)]
mod tests;
mod why;
mod window;

use std::time::Duration;

use carriers::{AttemptRef, Doubt, Ticket, Verdict};
use link::LinkId;

use crate::clock::Time;
use crate::config::plan::{AppId, ChannelId, GroupId, InDoubt, Service, Strategy, TierId};
use crate::ids::MessageId;

pub use channel::ChannelView;
pub use explain::{Candidate, Explained, Explanation, Factors};
pub use machine::{Cursor, Selection, Switch, Waiting};
pub use outlook::{Outlook, Prospect};
pub use why::{Cause, Reason, Why};

/// What the switch must know of a message; bodies stay on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its app (fairness).
    pub app: AppId,
    /// Its route group.
    pub group: GroupId,
    /// Its tier.
    pub tier: TierId,
    /// Parts it needs at most on any channel of its group.
    pub parts: u8,
    /// Not sent at or after this time.
    pub expires: Time,
    /// When it was accepted (waiting time).
    pub accepted: Time,
}

/// Where a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its route group.
    pub group: GroupId,
    /// Its tier.
    pub tier: TierId,
    /// Parts it needs at most on any channel of that group.
    pub parts: u8,
}

/// What the switch needs of the plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Tiers, strictest first.
    pub tiers: Vec<TierRule>,
    /// Channels in service.
    pub channels: Vec<ChannelRule>,
    /// Groups.
    pub groups: Vec<GroupRule>,
    /// When a channel counts as ill.
    pub health: Box<health::Settings>,
    /// Apps with a rate of their own towards carriers.
    pub apps: Vec<AppRule>,
}

/// An app's rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AppRule {
    /// Its index.
    pub id: AppId,
    /// Most parts per second that go to carriers, over all channels.
    pub rate: f64,
}

/// A tier's rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TierRule {
    /// Its index.
    pub id: TierId,
    /// Most attempts.
    pub attempts: u8,
    /// Wait before the n-th retry (the last repeats; empty: none).
    pub backoff: Vec<Duration>,
    /// Policy for [`Doubt::Unacked`].
    pub unacked: InDoubt,
    /// Policy for [`Doubt::Acked`].
    pub acked: InDoubt,
    /// How it is served beside other tiers.
    pub service: Service,
}

/// A channel's rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelRule {
    /// Its index.
    pub id: ChannelId,
    /// Parts per second by contract.
    pub rate: f64,
    /// Burst in parts, at least 1.
    pub burst: u32,
    /// Tiers that may use it.
    pub tiers: Vec<TierId>,
    /// Cost per part.
    pub cost: f64,
    /// The company: channels of one have the same number.
    pub carrier: u32,
    /// Whether its links can be asked for a sign of life.
    pub probes: bool,
    /// When it counts as ill, where that is not as for the others.
    pub health: Option<Box<health::Settings>>,
}

/// A group's rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRule {
    /// Its index.
    pub id: GroupId,
    /// Channels, best first.
    pub channels: Vec<ChannelId>,
    /// See `plan::Group::spill_after`.
    pub spill_after: Option<Duration>,
    /// How one of the channels is chosen.
    pub strategy: Strategy,
    /// Made by the gateway itself: nobody is told of its panic.
    pub internal: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// New rules; the first one starts the switch. Links of channels that are gone are drained by whoever owns them.
    Plan(Settings),
    /// Durable now: may be sent.
    Accepted(Message),
    /// Found in the journal at start.
    Recovered(Recovered),
    /// A link is bound, with this window in parts.
    LinkUp(LinkId, usize),
    /// A link is gone; all its tickets were answered before.
    LinkDown(LinkId),
    /// A link was told to end: it takes nothing new and finishes what is open.
    LinkClosing(LinkId),
    /// A link has ended for good, after its [`Event::LinkDown`]; its number is not used again.
    LinkGone(LinkId),
    /// The attempt was written down and handed to its link as this many parts (at most what was reserved): now, whenever
    /// it was ordered, for the contract's second begins here.
    Started(AttemptRef, u8),
    /// The attempt could not be handed over; nothing was sent.
    NotStarted(AttemptRef, NotStarted),
    /// A part's end on the wire.
    Answer(Ticket, Answer),
    /// A part's window slot is free.
    Freed(Ticket),
    /// The report stage reached an outcome (a receipt resolved a doubt, or its owner cancelled it): stop.
    Concluded(MessageId),
    /// The message waits for other channels from now on: routes have changed. An attempt under way is finished where it
    /// is, and what follows it goes there.
    Moved(MessageId, Home),
    /// Operator: take nothing new on this channel (true), or back in service (false).
    Hold(ChannelId, bool),
    /// Operator: no further attempt for this message, if it waits: [`End::Operator`].
    Expire(MessageId),
    /// A deadline passed.
    Tick,
    /// What a channel is worth beside its peers from now on, above 0 and at most 1: less while less of what it takes
    /// arrives.
    Weight(ChannelId, f64),
    /// A receipt decided about an attempt on that channel: all of it is delivered, or it never will be.
    Delivered(ChannelId, bool),
    /// So many parts that were handed to this channel's links a while ago reach the wire only now: its pace counts them
    /// from now on.
    Late(ChannelId, u32),
    /// A PDU came on this link that answers no part: a receipt, a message, an early sign of life.
    Heard(LinkId),
    /// The answer to [`Command::Probe`].
    ProbeAnswered(LinkId),
    /// So long have octets on this link waited for the far side's kernel to acknowledge them; zero when that is over.
    Unacked(LinkId, Duration),
    /// A message that a carrier has had goes to other channels, under the same id: its receipt says that it was not
    /// delivered, or none came.
    Again(Recovered),
}

/// A message found in the journal, with what its attempts left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The message.
    pub message: Message,
    /// Attempts used.
    pub refused: u8,
    /// Channels that must not be tried again for it.
    pub excluded: Vec<ChannelId>,
    /// The channel of the last attempt and how far that got, where it is without an answer.
    pub in_doubt: Option<(ChannelId, Doubt)>,
    /// An earlier attempt may have delivered some of it.
    pub doubtful: bool,
}

/// How a part ended on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The carrier has it.
    Submitted,
    /// The carrier refused it.
    Refused(Verdict),
    /// No answer.
    Unanswered(Doubt),
}

/// Why an attempt was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// It could not be written down, or the link was gone: try again.
    Retry,
    /// It needs this many parts here, more than reserved: plan again.
    Parts(u8),
    /// This channel cannot carry it.
    Unsendable,
    /// Its body cannot be read: give up.
    BodyLost,
    /// It was [moved](Event::Moved) just now: at its new place without delay.
    Moved,
    /// Our own code fails on it (a panic): quarantine.
    Panicked,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write the attempt down, split the body for that channel, submit the parts named by `parts` in order.
    Start {
        /// The new attempt, or one continued.
        attempt: AttemptRef,
        /// The message.
        message: MessageId,
        /// Over which link.
        link: LinkId,
        /// Parts reserved.
        parts: u8,
        /// Which parts to send, bit i for part i; all ones for a new attempt.
        only: u64,
        /// When the message expires.
        expires: Time,
        /// Why there.
        why: Why,
    },
    /// No further attempt will be made; what was sent may still deliver.
    Exhausted(MessageId, End),
    /// A message is in doubt on this channel; counted.
    InDoubt(MessageId, ChannelId, Doubt),
    /// A message in doubt goes out again; counted.
    Resubmitted(MessageId, ChannelId),
    /// A channel was slowed down and paused until then by a throttle answer; counted once per burst of them.
    Throttled(ChannelId, Time),
    /// Ask the far side of this link for a sign of life.
    Probe(LinkId),
    /// A channel's health has changed; counted.
    Transition(ChannelId, health::Transition),
    /// An answer takes so long on this channel that the message gets one more attempt elsewhere; counted.
    Hedged(MessageId, ChannelId),
    /// A channel was given up with parts exposed, and so long after the first of them something started elsewhere.
    FailedOver(ChannelId, Duration),
    /// Several carriers fell silent at once: no channel is given up on soft evidence until then.
    OurselvesSuspected(Time),
    /// So much of a group is gone that its suspect channels are used again (true), or no more (false).
    Panic(GroupId, bool),
    /// A suspect channel is out of this group (true), or serves it further, since too little else is left or we suspect
    /// ourselves (false). Counted.
    Ejected(GroupId, ChannelId, bool),
    /// A message was to go again on this channel, which has had its share of such; it waits. Counted.
    Deferred(ChannelId),
    /// A message kills what it is sent over, last this channel's session; `Exhausted` follows. Counted, and an alert.
    Quarantined(MessageId, ChannelId),
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Its validity ended before (another) attempt.
    Expired,
    /// An operator ended it.
    Operator,
    /// The carrier refused it for good.
    Rejected,
    /// All attempts allowed were refused.
    Attempts,
    /// No channel can carry it.
    NoChannel,
    /// Its body is damaged on disk.
    BodyLost,
    /// In doubt, and its tier does not send again.
    InDoubt,
    /// It kills what it is sent over.
    Poison,
}
