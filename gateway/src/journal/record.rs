//! What the journal's records say, and their octets. Layouts are little-endian, strings length-prefixed; names stand
//! in records as text, since indexes live only as long as the process. A record's kind fixes its layout for good: a
//! changed layout gets a new kind. What most records do not have may follow at the end, where a bit of their flags says so.

mod fields;
mod life;
mod outline;

use carriers::compact::Text;
use carriers::{AttemptRef, CarrierId, Coding, Doubt, ReceiptState, Segment, Verdict};

use crate::clock::Wall;
use crate::ids::MessageId;
use crate::switch::{Cause, Reason};

use fields::{Take, put_behind, put_last, put_octets, put_option, put_str, put_u64, put_u64s, short};
pub use outline::{Content, Keyed, Outline};

/// A record's octets do not read as its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record of kind {kind} does not read at octet {at}")]
pub struct Unreadable {
    /// The kind claimed.
    pub kind: u8,
    /// Offset in the body.
    pub at: usize,
}

/// Kinds that belong to a message carry its id in the journal's record header.
pub mod kind {
    /// [`super::Accepted`].
    pub const ACCEPTED: u8 = 1;
    /// [`super::Attempt`] without its reason: no longer written.
    pub const ATTEMPT_ALONE: u8 = 2;
    /// [`super::Attempt`].
    pub const ATTEMPT: u8 = 20;
    /// [`super::Answered`].
    pub const ANSWERED: u8 = 3;
    /// [`super::Receipted`].
    pub const RECEIPTED: u8 = 4;
    /// [`super::Outcome`].
    pub const OUTCOME: u8 = 5;
    /// [`super::Called`].
    pub const CALLED: u8 = 6;
    /// [`super::Orphan`] (its own id).
    pub const ORPHAN: u8 = 7;
    /// [`super::Uplink`] (its own id): no longer written.
    pub const UPLINK: u8 = 8;
    /// [`super::Mo`] (its own id).
    pub const MO: u8 = 12;
    /// [`super::Joined`] (the id of the first part).
    pub const JOINED: u8 = 13;
    /// [`super::Unbound`] (its own id).
    pub const UNBOUND: u8 = 14;
    /// [`super::Batch`] (its own id, right below those of its messages).
    pub const BATCH: u8 = 24;
}

/// The bit of a record's flags that says that options follow at its end.
const WITH_OPTIONS: u8 = 0x80;

/// A message, as admitted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Accepted<'a> {
    /// When.
    pub at: Wall,
    /// Not sent at or after.
    pub expires: Wall,
    /// App id.
    pub app: &'a str,
    /// Tier name.
    pub tier: &'a str,
    /// Group the route led to.
    pub group: &'a str,
    /// `sms`.
    pub kind: &'a str,
    /// E.164 with plus.
    pub to: &'a str,
    /// Sender asked for.
    pub sender: Option<&'a str>,
    /// Text with signature.
    pub text: &'a str,
    /// The app's own reference.
    pub client_ref: Option<&'a str>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// First 16 octets of the SHA-256 of the request body, where a key was given.
    pub body_hash: [u8; 16],
    /// Whether the app wants events for it.
    pub callback: bool,
    /// Quoted parts.
    pub parts: u8,
    /// Quoted encoding.
    pub encoding: &'a str,
    /// Most parts on any channel of the group: what the switch reserves.
    pub reserve: u8,
    /// What it asks of its carrier, as [`carriers::Options`] are kept.
    pub options: &'a str,
}

/// An attempt, written before its first octet leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// When.
    pub at: Wall,
    /// Its reference.
    pub attempt: AttemptRef,
    /// Channel name.
    pub channel: &'a str,
    /// Parts in all.
    pub parts: u8,
    /// Which of them go out now.
    pub only: u64,
    /// Why over that channel.
    pub because: Because<'a>,
}

/// Why an attempt goes where it goes: [`crate::switch::Why`] with the other channel's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Because<'a> {
    /// What decided.
    pub reason: Reason,
    /// Why the other channel did not get it.
    pub cause: Option<Cause>,
    /// Milliseconds or percent, as the reason or the cause has it.
    pub number: u32,
    /// The other channel's name; empty where there is none.
    pub other: &'a str,
}

/// How a part ended on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<'a> {
    /// When.
    pub at: Wall,
    /// Its attempt.
    pub attempt: AttemptRef,
    /// Part index from 0.
    pub part: u8,
    /// The end.
    pub answer: AnswerKind<'a>,
}

/// See [`Answered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerKind<'a> {
    /// Taken, with the carrier's id where it gives one.
    Submitted(Option<CarrierId>),
    /// Refused, with the carrier's code.
    Refused(Verdict, &'a str),
    /// No answer.
    Unanswered(Doubt),
}

/// A receipt that found its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipted<'a> {
    /// When.
    pub at: Wall,
    /// The attempt it speaks of.
    pub attempt: AttemptRef,
    /// Part index from 0.
    pub part: u8,
    /// What it says.
    pub state: ReceiptState,
    /// The carrier's words.
    pub code: Text<'a>,
}

/// What we conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// On the handset (or taken, on channels without receipts).
    Delivered,
    /// Not delivered, for good.
    Failed,
    /// Validity or the wait for receipts ended.
    Expired,
    /// Withdrawn by its owner.
    Cancelled,
}

impl OutcomeKind {
    /// The word in callbacks, metrics and states.
    pub fn name(self) -> &'static str {
        match self {
            OutcomeKind::Delivered => "delivered",
            OutcomeKind::Failed => "failed",
            OutcomeKind::Expired => "expired",
            OutcomeKind::Cancelled => "cancelled",
        }
    }
}

/// What an outcome rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// A receipt.
    Receipt,
    /// The carrier's answer.
    Answer,
    /// Nothing from a carrier.
    None,
}

impl Evidence {
    /// The word in callbacks and states.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Receipt => "receipt",
            Evidence::Answer => "answer",
            Evidence::None => "none",
        }
    }
}

/// A message's end; also the event that the app is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// When.
    pub at: Wall,
    /// Which.
    pub outcome: OutcomeKind,
    /// Why (`no_receipt`, `validity`, `rejected`, `receipt`…).
    pub reason: &'a str,
    /// The carrier's code, where one decided.
    pub code: Text<'a>,
    /// On what grounds.
    pub evidence: Evidence,
    /// The deciding channel's name; empty where none was used.
    pub channel: &'a str,
    /// A correction of an outcome already told, by a later receipt.
    pub correction: bool,
}

/// Why an event needs the journal no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// The app will never be told: it has no endpoint, or there is no room.
    Never,
    /// The endpoint took it.
    Delivered,
    /// It is in a letter on disk.
    Kept,
}

/// The app has been told of an event, or the journal is no more needed for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// When.
    pub at: Wall,
    /// The event's number, from 1.
    pub event: u8,
    /// Why.
    pub end: Telling,
}

/// A receipt whose part is not known (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan<'a> {
    /// When.
    pub at: Wall,
    /// Channel name.
    pub channel: &'a str,
    /// Candidate carrier ids, best first.
    pub ids: Vec<CarrierId>,
    /// The number as the carrier wrote it.
    pub to: &'a str,
    /// What it says.
    pub state: ReceiptState,
    /// The carrier's words.
    pub code: &'a str,
}

/// A message from a handset, as it was written before parts were told apart. Read still; no longer written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink<'a> {
    /// When.
    pub at: Wall,
    /// Channel name.
    pub channel: &'a str,
    /// Handset as the carrier wrote it.
    pub from: &'a str,
    /// Access number.
    pub to: &'a str,
    /// Text as decoded.
    pub text: &'a str,
    /// User data with header.
    pub data: &'a [u8],
    /// Whether `data` starts with a header.
    pub udh: bool,
}

/// A message from a handset, or one part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mo<'a> {
    /// When.
    pub at: Wall,
    /// Channel name.
    pub channel: &'a str,
    /// Handset as the carrier wrote it.
    pub from: &'a str,
    /// Access number as the carrier wrote it.
    pub to: &'a str,
    /// How `data` is to be read.
    pub coding: Coding,
    /// User data header; empty where there was none.
    pub header: &'a [u8],
    /// The text's octets.
    pub data: &'a [u8],
    /// Its place in a long message.
    pub segment: Option<Segment>,
    /// The carrier's id for it.
    pub id: Option<CarrierId>,
    /// The options an answer to it should have, as [`carriers::Options`] are kept.
    pub options: &'a str,
}

/// A long message from a handset is whole, or as whole as it will be: what is told of it stays the same from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// When.
    pub at: Wall,
    /// The ids of its parts in order; none where one is missing.
    pub parts: Vec<Option<MessageId>>,
}

/// All links had ended in order when the process stopped: nothing is in doubt at a carrier that was answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbound {
    /// When.
    pub at: Wall,
}

/// Messages posted together. The one at index i has the batch's id plus one plus i; those that were rejected have none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Batch<'a> {
    /// When.
    pub at: Wall,
    /// App id.
    pub app: &'a str,
    /// Messages in it, also those rejected.
    pub count: u16,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// First 16 octets of the SHA-256 of the request body, where a key was given.
    pub body_hash: [u8; 16],
    /// Why messages were rejected: code and detail; at most 255 of them.
    pub reasons: Vec<(&'a str, &'a str)>,
    /// Index of each message rejected, and its place in `reasons`; by index.
    pub rejected: Vec<(u16, u8)>,
}

/// Any record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// See [`Accepted`].
    Accepted(Accepted<'a>),
    /// See [`Attempt`].
    Attempt(Attempt<'a>),
    /// See [`Answered`].
    Answered(Answered<'a>),
    /// See [`Receipted`].
    Receipted(Receipted<'a>),
    /// See [`Outcome`].
    Outcome(Outcome<'a>),
    /// See [`Called`].
    Called(Called),
    /// See [`Orphan`].
    Orphan(Orphan<'a>),
    /// See [`Uplink`].
    Uplink(Uplink<'a>),
    /// See [`Mo`].
    Mo(Mo<'a>),
    /// See [`Joined`].
    Joined(Joined),
    /// See [`Unbound`].
    Unbound(Unbound),
    /// See [`Batch`].
    Batch(Batch<'a>),
}

impl Record<'_> {
    /// Its kind octet.
    pub fn kind(&self) -> u8 {
        match self {
            Record::Accepted(_) => kind::ACCEPTED,
            Record::Attempt(_) => kind::ATTEMPT,
            Record::Answered(_) => kind::ANSWERED,
            Record::Receipted(_) => kind::RECEIPTED,
            Record::Outcome(_) => kind::OUTCOME,
            Record::Called(_) => kind::CALLED,
            Record::Orphan(_) => kind::ORPHAN,
            Record::Uplink(_) => kind::UPLINK,
            Record::Mo(_) => kind::MO,
            Record::Joined(_) => kind::JOINED,
            Record::Unbound(_) => kind::UNBOUND,
            Record::Batch(_) => kind::BATCH,
        }
    }

    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Record::Accepted(r) => {
                put_u64s(out, [r.at.0, r.expires.0]);
                let options = if r.options.is_empty() { 0 } else { WITH_OPTIONS };
                put_behind(out, [u8::from(r.callback) | options, r.parts, r.reserve], short(r.app));
                for text in [r.tier, r.group, r.kind, r.to, r.text, r.encoding] {
                    put_str(out, text);
                }
                for text in [r.sender, r.client_ref, r.idempotency_key] {
                    put_option(out, text);
                }
                out.extend_from_slice(&r.body_hash);
                put_last(out, r.options);
            }
            Record::Attempt(r) => r.write(out),
            Record::Answered(r) => r.write(out),
            Record::Receipted(r) => r.write(out),
            Record::Outcome(r) => r.write(out),
            Record::Called(r) => {
                put_u64(out, r.at.0);
                out.extend_from_slice(&[r.event, r.end as u8]);
            }
            Record::Orphan(r) => {
                put_u64(out, r.at.0);
                out.extend_from_slice(&[r.state as u8, u8::try_from(r.ids.len()).unwrap_or(u8::MAX)]);
                for id in r.ids.iter().take(usize::from(u8::MAX)) {
                    put_octets(out, id.octets());
                }
                for text in [r.channel, r.to, r.code] {
                    put_str(out, text);
                }
            }
            Record::Uplink(r) => {
                put_u64(out, r.at.0);
                out.push(u8::from(r.udh));
                for text in [r.channel, r.from, r.to, r.text] {
                    put_str(out, text);
                }
                put_octets(out, r.data);
            }
            Record::Mo(r) => {
                put_u64(out, r.at.0);
                let options = if r.options.is_empty() { 0 } else { WITH_OPTIONS };
                out.push(r.coding as u8 | options);
                let Segment { reference, total, index } =
                    r.segment.unwrap_or(Segment { reference: 0, total: 0, index: 0 });
                out.extend_from_slice(&reference.to_le_bytes());
                out.extend_from_slice(&[total, index]);
                for text in [r.channel, r.from, r.to] {
                    put_str(out, text);
                }
                for octets in [r.header, r.data, r.id.as_ref().map_or(&[][..], CarrierId::octets)] {
                    put_octets(out, octets);
                }
                put_last(out, r.options);
            }
            Record::Unbound(r) => put_u64(out, r.at.0),
            Record::Batch(r) => {
                put_u64(out, r.at.0);
                out.extend_from_slice(&r.count.to_le_bytes());
                put_str(out, r.app);
                put_option(out, r.idempotency_key);
                out.extend_from_slice(&r.body_hash);
                out.push(u8::try_from(r.reasons.len()).unwrap_or(u8::MAX));
                for (code, detail) in r.reasons.iter().take(usize::from(u8::MAX)) {
                    put_str(out, code);
                    put_str(out, detail);
                }
                out.extend_from_slice(&u16::try_from(r.rejected.len()).unwrap_or(u16::MAX).to_le_bytes());
                for (index, reason) in r.rejected.iter().take(usize::from(u16::MAX)) {
                    out.extend_from_slice(&index.to_le_bytes());
                    out.push(*reason);
                }
            }
            Record::Joined(r) => {
                put_u64(out, r.at.0);
                out.push(u8::try_from(r.parts.len()).unwrap_or(u8::MAX));
                // No id is 0.
                r.parts.iter().take(usize::from(u8::MAX)).for_each(|id| put_u64(out, id.map_or(0, |id| id.0)));
            }
        }
    }

    /// Reads a body of that kind.
    pub fn read(kind: u8, body: &[u8]) -> Result<Record<'_>, Unreadable> {
        let mut take = Take::from(kind, body);
        let record = match kind {
            kind::ACCEPTED => return Accepted::read(body).map(Record::Accepted),
            kind::ATTEMPT | kind::ATTEMPT_ALONE => {
                let (at, attempt, only) = (take.wall()?, AttemptRef(take.u64()?), take.u64()?);
                let (parts, channel) = (take.u8()?, take.str()?);
                let because = if kind == kind::ATTEMPT { take.because()? } else { Because::default() };
                Record::Attempt(Attempt { at, attempt, channel, parts, only, because })
            }
            kind::ANSWERED => {
                let (at, attempt, part) = (take.wall()?, AttemptRef(take.u64()?), take.u8()?);
                let answer = match take.u8()? {
                    0 => {
                        let id = take.octets()?;
                        AnswerKind::Submitted((!id.is_empty()).then(|| CarrierId::new(id)))
                    }
                    1 => {
                        let verdict = take.one_of(&VERDICTS)?;
                        AnswerKind::Refused(verdict, take.str()?)
                    }
                    2 => AnswerKind::Unanswered(take.one_of(&DOUBTS)?),
                    _ => return Err(take.unreadable()),
                };
                Record::Answered(Answered { at, attempt, part, answer })
            }
            kind::RECEIPTED => {
                let (at, attempt, part) = (take.wall()?, AttemptRef(take.u64()?), take.u8()?);
                let state = take.one_of(&STATES)?;
                Record::Receipted(Receipted { at, attempt, part, state, code: take.str()?.into() })
            }
            kind::OUTCOME => {
                let at = take.wall()?;
                let (outcome, evidence) = (take.one_of(&OUTCOMES)?, take.one_of(&EVIDENCES)?);
                let correction = take.flag()?;
                let (reason, code, channel) = (take.str()?, take.str()?.into(), take.str()?);
                Record::Outcome(Outcome { at, outcome, reason, code, evidence, channel, correction })
            }
            kind::CALLED => {
                Record::Called(Called { at: take.wall()?, event: take.u8()?, end: take.one_of(&TELLINGS)? })
            }
            kind::ORPHAN => {
                let (at, state) = (take.wall()?, take.one_of(&STATES)?);
                let count = take.u8()?;
                let ids = (0..count).map(|_| take.octets().map(CarrierId::new)).collect::<Result<_, _>>()?;
                let (channel, to, code) = (take.str()?, take.str()?, take.str()?);
                Record::Orphan(Orphan { at, channel, ids, to, state, code })
            }
            kind::UPLINK => {
                let (at, udh) = (take.wall()?, take.flag()?);
                let (channel, from, to, text) = (take.str()?, take.str()?, take.str()?, take.str()?);
                Record::Uplink(Uplink { at, channel, from, to, text, data: take.octets()?, udh })
            }
            kind::MO => {
                let (at, flags) = (take.wall()?, take.u8()?);
                let coding = usize::from(flags & !WITH_OPTIONS);
                let coding = CODINGS.get(coding).copied().ok_or(take.unreadable())?;
                let (reference, total, index) = (take.u16()?, take.u8()?, take.u8()?);
                let segment = (index < total).then_some(Segment { reference, total, index });
                let (channel, from, to) = (take.str()?, take.str()?, take.str()?);
                let (header, data, id) = (take.octets()?, take.octets()?, take.octets()?);
                let id = (!id.is_empty()).then(|| CarrierId::new(id));
                let options = take.last(flags)?;
                Record::Mo(Mo { at, channel, from, to, coding, header, data, segment, id, options })
            }
            kind::UNBOUND => Record::Unbound(Unbound { at: take.wall()? }),
            kind::BATCH => {
                let (at, count, app) = (take.wall()?, take.u16()?, take.str()?);
                let (idempotency_key, body_hash) = (take.option()?, take.array()?);
                let reasons = take.u8()?;
                let reasons = (0..reasons).map(|_| Ok((take.str()?, take.str()?))).collect::<Result<_, _>>()?;
                let rejected = take.u16()?;
                let rejected = (0..rejected).map(|_| Ok((take.u16()?, take.u8()?))).collect::<Result<_, _>>()?;
                Record::Batch(Batch { at, app, count, idempotency_key, body_hash, reasons, rejected })
            }
            kind::JOINED => {
                let (at, count) = (take.wall()?, take.u8()?);
                let id = |id| (id != 0).then_some(MessageId(id));
                let parts = (0..count).map(|_| take.u64().map(id)).collect::<Result<_, _>>()?;
                Record::Joined(Joined { at, parts })
            }
            _ => return Err(take.unreadable()),
        };
        if take.is_empty() { Ok(record) } else { Err(take.unreadable()) }
    }
}

impl<'a> Accepted<'a> {
    /// Reads the body of an accepted record.
    ///
    /// # Errors
    /// It does not read as one.
    pub fn read(body: &'a [u8]) -> Result<Accepted<'a>, Unreadable> {
        let mut take = Take::from(kind::ACCEPTED, body);
        let (at, expires) = (take.wall()?, take.wall()?);
        let [flags, parts, reserve] = take.array()?;
        let callback = flags & !WITH_OPTIONS != 0;
        let (app, tier, group) = (take.str()?, take.str()?, take.str()?);
        let (kind, to, text, encoding) = (take.str()?, take.str()?, take.str()?, take.str()?);
        let (sender, client_ref, idempotency_key) = (take.option()?, take.option()?, take.option()?);
        let body_hash = take.array()?;
        let options = take.last(flags)?;
        if !take.is_empty() {
            return Err(take.unreadable());
        }
        Ok(Accepted {
            at,
            expires,
            app,
            tier,
            group,
            kind,
            to,
            sender,
            text,
            client_ref,
            idempotency_key,
            body_hash,
            callback,
            parts,
            encoding,
            reserve,
            options,
        })
    }
}

const VERDICTS: [Verdict; 5] =
    [Verdict::Retry, Verdict::Reroute, Verdict::Throttled, Verdict::Rejected, Verdict::LinkFault];
const DOUBTS: [Doubt; 3] = [Doubt::Unsent, Doubt::Unacked, Doubt::Acked];
const STATES: [ReceiptState; 7] = [
    ReceiptState::Delivered,
    ReceiptState::Intermediate,
    ReceiptState::Failed,
    ReceiptState::Expired,
    ReceiptState::Deleted,
    ReceiptState::Rejected,
    ReceiptState::Unknown,
];
const OUTCOMES: [OutcomeKind; 4] =
    [OutcomeKind::Delivered, OutcomeKind::Failed, OutcomeKind::Expired, OutcomeKind::Cancelled];
const CODINGS: [Coding; 6] = [Coding::Gsm7, Coding::Ascii, Coding::Latin1, Coding::Ucs2, Coding::Gbk, Coding::Binary];
const EVIDENCES: [Evidence; 3] = [Evidence::Receipt, Evidence::Answer, Evidence::None];
const TELLINGS: [Telling; 3] = [Telling::Never, Telling::Delivered, Telling::Kept];

#[cfg(test)]
mod tests;
