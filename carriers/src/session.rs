//! The seam between the switch and any carrier protocol.
//!
//! A [`Session`] is a pure machine: [`Input`] and the time go in; [`Output`] and the next deadline come out. The
//! driver (carriers/link, or a test) drains every output before it waits; several [`Input::Submit`]s or
//! [`Input::Settle`]s may come before one drain. What a session promises, whatever it
//! speaks, is tested by one list: `carriers/tests/promises.rs`.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};

use crate::message::{CarrierId, Mo, Part, Receipt};

/// The time, as an argument. `mono` orders and measures; `wall` is for what the wire needs (digests, local times).
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic clock: deadlines, ages.
    pub mono: Instant,
    /// Wall clock: only for what is written into a PDU.
    pub wall: SystemTime,
}

/// What the journal calls an attempt (one try of one message on one channel); 56 significant bits: the millisecond it was
/// made in, then a count within it.
/// Protocols derive what identifies the submit on the wire from it, so that doubt can be resolved after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptRef(pub u64);

impl AttemptRef {
    /// Bits below the millisecond: a count of what was made in it.
    pub const COUNT_BITS: u32 = 15;
    /// 2024-01-01T00:00:00Z, where the milliseconds begin, in seconds of Unix time.
    const EPOCH: u64 = 1_704_067_200;

    /// When it was made, in milliseconds since 2024 began.
    pub fn millis(self) -> u64 {
        self.0 >> Self::COUNT_BITS
    }

    /// When it was made, to the millisecond. Where the clock was set back, a little ahead of it.
    pub fn made(self) -> SystemTime {
        let since = Duration::from_secs(Self::EPOCH).saturating_add(Duration::from_millis(self.millis()));
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Sixteen bits of it for the wire (references of long messages, SMPP's user_message_reference), mixed so that
    /// attempts which follow each other differ in their low octet, too.
    pub fn short(self) -> u16 {
        (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16
    }
}

/// One part of one attempt, between switch and session. The part's index (from 0) is the low octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The ticket of part `part` (from 0) of `attempt`.
    pub fn new(attempt: AttemptRef, part: u8) -> Self {
        Ticket(attempt.0 << 8 | u64::from(part))
    }
    /// The attempt this ticket belongs to.
    pub fn attempt(self) -> AttemptRef {
        AttemptRef(self.0 >> 8)
    }
    /// Index of the part inside its attempt, from 0.
    pub fn part(self) -> u8 {
        self.0 as u8
    }
}

/// Tells conversations of one session apart: always 0 on a stream; the request being answered on HTTP; the peer on
/// UDP; a further socket the session asked to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct PathId(pub u64);

/// A receipt or MO waiting for [`Input::Settle`]; unique within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inbound(pub u64);

/// Start line and headers of an HTTP payload. Streams and datagrams have none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// Request method, empty in a response.
    pub method: String,
    /// Request target, empty in a response.
    pub target: String,
    /// Response status, 0 in a request.
    pub status: u16,
    /// Header names (lower case) and values, in order.
    pub headers: Vec<(String, String)>,
}

/// What crosses the wire in one direction: octets, with a head on HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload<B> {
    /// Present on HTTP only.
    pub head: Option<Head>,
    /// The octets.
    pub body: B,
}

impl<B> Payload<B> {
    /// Octets without a head.
    pub fn octets(body: B) -> Self {
        Payload { head: None, body }
    }
}

/// What the driver tells a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The transport is up; the session may speak (bind).
    Opened,
    /// Octets arrived, split and glued as the transport pleased.
    Octets(PathId, Payload<&'a [u8]>),
    /// Send this part. Only while [`Session::room`] > 0; a ticket is never reused.
    Submit(Ticket, AttemptRef, &'a Part),
    /// The answer the carrier may now have for a receipt or MO. Unknown inbounds are ignored.
    Settle(Inbound, Settle),
    /// A deadline passed. Harmless at any other time.
    Tick,
    /// Ask the far side for a sign of life now; it ends in [`Event::ProbeAnswered`] or silence.
    Probe,
    /// Finish what is open (bounded by the session's own deadline), then close.
    Unbind,
    /// The connection is gone: every open ticket is reported Unanswered and Freed, nothing more is transmitted, and
    /// the answer is `Err(Fault::Closed)`.
    Lost,
}

/// The gateway's word on a receipt or MO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It is on disk: answer yes.
    Durable,
    /// Not now: the carrier should repeat it.
    Later,
    /// Never: the carrier should drop it. The reason is for the log.
    Refused(String),
}

/// What a session wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Write these octets on that path.
    Transmit(PathId, Payload<Bytes>),
    /// Open a further path to this target (datagram and media protocols).
    Open(PathId, String),
    /// Close that path; closing path 0 of a stream ends the link.
    Close(PathId),
    /// Tell the gateway.
    Event(Event),
}

/// What a session tells the gateway. Small, whatever it carries: events are moved from list to list on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The far side accepted our login; submits may come. Carries the window in parts.
    Bound(usize),
    /// The carrier took the part; its id for it, normalised, where the protocol gives one.
    Submitted(Ticket, Option<CarrierId>),
    /// The carrier refused the part.
    Refused(Ticket, Refusal),
    /// No answer will be seen. The offset is one past the part's last octet in the stream of all octets this session
    /// transmitted on path 0 (`u64::MAX` where it was never transmitted: certainly unsent).
    Unanswered(Ticket, u64),
    /// An early sign of life for a ticket still open (a 100 Trying). An answer needs none.
    Heard(Ticket),
    /// The window slot is free again: follows each of Submitted, Refused, Unanswered for messages at once, for voice
    /// at the call's end.
    Freed(Ticket),
    /// The carrier's word on a part's fate. The carrier is answered after [`Input::Settle`].
    Receipt(Inbound, Box<Receipt>),
    /// A message from a handset. The carrier is answered after [`Input::Settle`].
    Mo(Inbound, Box<Mo>),
    /// The answer to [`Input::Probe`].
    ProbeAnswered,
    /// Something was taken although it was not what the specification asks for, or one PDU was skipped. Counted.
    Leniency(&'static str),
}

/// A refusal and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose fault, what next.
    pub verdict: Verdict,
    /// The carrier's own code, readable (`0x00000058 ESME_RTHROTTLED`). Never message text.
    pub code: String,
}

/// Whose fault a refusal is, and so what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The carrier's passing trouble: try again, here or elsewhere.
    Retry,
    /// This channel cannot carry this message; another may.
    Reroute,
    /// Too fast: pause this channel; not an attempt.
    Throttled,
    /// The message itself (number, text, template) is refused: final.
    Rejected,
    /// The link is not usable (not bound, account barred): the channel is at fault, the message goes elsewhere.
    LinkFault,
}

/// How far a part without an answer got, judged by the kernel's acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// Never handed to the socket: certainly not at the carrier.
    Unsent,
    /// Written, but the far side's kernel did not acknowledge it.
    Unacked,
    /// The far side's kernel has it: the carrier may have acted on it.
    Acked,
}

/// Why a session cannot go on. The link is closed; every open ticket has been reported Unanswered before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The octets make no sense any more.
    #[error("broken stream: {0}")]
    Broken(String),
    /// Nothing heard for longer than the keepalive allows.
    #[error("silent: no answer to the keepalive")]
    Silent,
    /// The login was refused. `permanent` where repeating it soon would only lock the account.
    #[error("bind refused: {code}")]
    BindRefused {
        /// The carrier's own code, readable.
        code: String,
        /// Wrong credentials and the like: wait long before the next try.
        permanent: bool,
    },
    /// No answer to the login in time.
    #[error("no answer to the bind")]
    BindTimeout,
    /// The far side said goodbye.
    #[error("the far side unbound")]
    Unbound,
    /// The orderly end after [`Input::Unbind`].
    #[error("closed")]
    Closed,
}

/// One conversation with a carrier, as a pure machine. See the module's page.
pub trait Session: Send {
    /// Takes one input. After an `Err` the session is over: its outputs (the last reports, perhaps a goodbye) are
    /// still to be drained, then it is dropped.
    fn input(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault>;
    /// The next thing to do; drain until `None` before waiting. Several submits or settles may come before that.
    fn output(&mut self) -> Option<Output>;
    /// Everything there is to do, as [`Session::output`] tells it one by one: octets for path 0 go to the end of `octets`,
    /// the rest is told in order.
    fn drain(&mut self, octets: &mut BytesMut, tell: &mut dyn FnMut(Output)) {
        while let Some(output) = self.output() {
            match output {
                Output::Transmit(PathId(0), payload) => octets.extend_from_slice(&payload.body),
                other => tell(other),
            }
        }
    }
    /// When to call with [`Input::Tick`], at the latest.
    fn deadline(&self) -> Option<Instant>;
    /// How many more parts may be submitted now: window less open tickets, 0 unless bound.
    fn room(&self) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_follow_each_other_have_different_references() {
        // One after the other within a millisecond, and one in each of many milliseconds.
        for step in [1u64, 1 << 15, 7 << 15, 300 << 15] {
            let references: Vec<u16> = (0..64).map(|n| AttemptRef((1 << 51) + n * step).short()).collect();
            for pair in references.windows(2) {
                assert_ne!(pair[0] as u8, pair[1] as u8, "step {step}");
            }
            let octets: std::collections::HashSet<u8> = references.iter().map(|r| *r as u8).collect();
            assert!(octets.len() > 32, "step {step}: {} of 64 differ", octets.len());
        }
    }

    #[test]
    fn a_ticket_names_its_attempt_and_part() {
        let ticket = Ticket::new(AttemptRef(0x00FF_FFFF_FFFF_FFFF), 200);
        assert_eq!((ticket.attempt(), ticket.part()), (AttemptRef(0x00FF_FFFF_FFFF_FFFF), 200));
    }
}
