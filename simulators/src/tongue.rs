//! What a carrier's protocol has to say for itself: octets of one PDU to what they mean, and back. Who is let in, what
//! becomes of a submit and when something is sent is decided elsewhere: [`crate::desk`], [`crate::conversation`].

use std::fmt;
use std::time::Instant;

use bytes::BytesMut;
use codecs::framing::Limits;

use crate::delivery::{Delivery, Id, Receipt, Taken};
use crate::desk::{Desk, Stranger, Submission};
use crate::scenario::{Carrier, Protocol};
use crate::{cmpp, sgip, smgp, smpp};

/// A PDU's sequence number. Protocols whose number is one word leave the first two 0.
pub type Sequence = [u32; 3];

/// Reads and writes one protocol, on one connection.
pub trait Tongue: fmt::Debug {
    /// What its framing allows.
    fn limits(&self) -> &'static Limits;
    /// Whether a connection ends where its first PDU is no login.
    fn wants_login_first(&self) -> bool {
        true
    }
    /// What a PDU means. `octets` are one, as [`codecs::framing::cut`] found it.
    fn hear<'a>(&mut self, now: Instant, octets: &'a [u8], desk: &Desk) -> (Sequence, Heard<'a>);
    /// Appends a PDU.
    fn say(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, out: &mut BytesMut);
    /// Appends what is said before a connection ends whose framing is lost; mostly nothing.
    fn say_broken(&self, _out: &mut BytesMut) {}
    /// Whether a submit's number is one on every connection.
    fn numbers_everywhere(&self) -> bool {
        false
    }
    /// The login status for a stranger.
    fn refusal(&self, stranger: Stranger) -> u32;
    /// The sequence number of the `counter`th PDU of our own.
    fn number(&self, _now: Instant, counter: u32, _desk: &Desk) -> Sequence {
        [0, 0, counter]
    }
    /// What a submit that came at `seconds` since 1970 is called; `number` tells it from all others.
    fn id(&self, number: u64, sequence: Sequence, seconds: u64) -> Id;
}

/// What a PDU means.
#[derive(Debug)]
pub enum Heard<'a> {
    /// Somebody asks to be let in.
    Login(Login<'a>),
    /// Whether we were let in: 0, or why not.
    LoginAnswer(u32),
    /// A message; with a status where it is refused for what it says.
    Submit(Submission<'a>, Option<u32>),
    /// What became of a delivery.
    Delivered(Taken),
    /// A subscriber's state was taken.
    UserState,
    /// Asks for a sign of life.
    Ping,
    /// Gives one.
    Pong,
    /// The end is asked for.
    Bye,
    /// The end is agreed to.
    ByeAnswer,
    /// Anything else, with its answer in octets, if it is answered.
    Other {
        /// The answer; empty where there is none.
        answer: BytesMut,
        /// Whether it could not be read.
        malformed: bool,
        /// Whether the connection ends over it.
        ends: bool,
    },
}

impl Heard<'_> {
    /// What is passed over.
    pub fn nothing() -> Self {
        Heard::Other { answer: BytesMut::new(), malformed: false, ends: false }
    }
}

/// A login.
#[derive(Debug)]
pub struct Login<'a> {
    /// Who.
    pub account: &'a [u8],
    /// Whether it knows the secret.
    pub proven: bool,
    /// Whether it will submit.
    pub sends: bool,
    /// Whether it will take deliveries.
    pub receives: bool,
    /// The status it is refused with whoever it is: a wrong version, a wrong kind of login.
    pub refused: Option<u32>,
}

/// What is to be said.
#[derive(Debug)]
pub enum Say<'a> {
    /// The answer to a login: 0, or why not.
    LoginAnswer(u32),
    /// Our own login.
    Login,
    /// The answer to a submit that was accepted.
    Accepted(&'a Id),
    /// The answer to one that was not.
    Refused(u32),
    /// A receipt or a message from a handset.
    Delivery(&'a Delivery),
    /// A subscriber's state, after a receipt was taken.
    UserState(&'a Receipt),
    /// A question about a submit that is not ours to ask.
    Trace(&'a Receipt),
    /// Asks for a sign of life.
    Ping,
    /// Gives one.
    Pong,
    /// Asks for the end.
    Bye,
    /// Agrees to it.
    ByeAnswer,
}

/// What a protocol answers where the desk says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// Too fast.
    pub throttled: u32,
    /// Something went wrong.
    pub error: u32,
    /// More unanswered submits than allowed.
    pub full: u32,
    /// This login may not submit.
    pub misplaced: u32,
    /// A number used twice; none where numbers do not matter.
    pub duplicate: Option<u32>,
}

/// The tongue a carrier speaks.
pub fn of(carrier: &Carrier) -> Box<dyn Tongue> {
    match carrier.protocol {
        Protocol::Smpp => Box::<smpp::Smpp>::default(),
        Protocol::Cmpp => Box::new(cmpp::Cmpp::new(carrier.version.0, carrier.node)),
        Protocol::Sgip => Box::new(sgip::Sgip),
        Protocol::Smgp => Box::new(smgp::Smgp::new(carrier.node)),
    }
}

/// What a protocol answers where the desk says no.
pub fn codes(protocol: Protocol) -> Codes {
    match protocol {
        Protocol::Smpp => smpp::CODES,
        Protocol::Cmpp => cmpp::CODES,
        Protocol::Sgip => sgip::CODES,
        Protocol::Smgp => smgp::CODES,
    }
}
