//! What a far side sends of its own accord: receipts and uplink messages.

use std::time::Instant;

use bytes::Bytes;
use codecs::text::Alphabet;

use crate::centre::Link;
use crate::records::Concat;

/// The end a carrier reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// On the handset.
    Delivered,
    /// Could not be delivered.
    Undelivered,
    /// Validity ended first.
    Expired,
    /// Refused after it was accepted.
    Rejected,
}

impl Stat {
    /// The word in a receipt's text (SMPP 3.4 appendix B).
    pub fn word(self) -> &'static str {
        match self {
            Stat::Delivered => "DELIVRD",
            Stat::Undelivered => "UNDELIV",
            Stat::Expired => "EXPIRED",
            Stat::Rejected => "REJECTD",
        }
    }
}

/// What a message is called between both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// A number; how it is spelled is the carrier's quirk (SMPP).
    Number(u64),
    /// The first octets of an array, so many of them.
    Octets([u8; 12], usize),
}

impl Id {
    /// From at most twelve octets.
    pub fn of<const N: usize>(octets: [u8; N]) -> Self {
        let mut id = [0; 12];
        id.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        Id::Octets(id, N.min(id.len()))
    }

    /// The octets as an array, filled up with zeros or cut.
    pub fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        if let Id::Octets(id, length) = self {
            octets.iter_mut().zip(id.iter().take(*length)).for_each(|(to, from)| *to = *from);
        }
        octets
    }

    /// The number.
    pub fn number(&self) -> Option<u64> {
        match self {
            Id::Number(number) => Some(*number),
            Id::Octets(..) => None,
        }
    }
}

/// A receipt.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The message.
    pub id: Id,
    /// The connection its submit came over.
    pub link: Link,
    /// The submit's source.
    pub source: Box<str>,
    /// The submit's destination.
    pub destination: Box<str>,
    /// How it ended.
    pub stat: Stat,
    /// When the submit came.
    pub submitted: Instant,
    /// When it ended.
    pub done: Instant,
    /// The submit's user_message_reference, given back.
    pub reference: Option<u16>,
    /// Beginning of the text, plain characters only.
    pub beginning: Box<str>,
}

/// An uplink message.
#[derive(Debug, Clone)]
pub struct Mo {
    /// The handset.
    pub from: Box<str>,
    /// The service number.
    pub to: Box<str>,
    /// Text, of the whole message.
    pub text: Box<str>,
    /// Where it is one part of a long one.
    pub segment: Option<Segment>,
}

/// One part of a long uplink message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its place.
    pub concat: Concat,
    /// How its text is written.
    pub alphabet: Alphabet,
    /// Whether `data` begins with a user data header; else the protocol's own fields tell its place.
    pub udh: bool,
    /// Header, if any, and text.
    pub data: Bytes,
}

/// What is delivered.
#[derive(Debug, Clone)]
pub enum Content {
    /// The fate of a submit.
    Receipt(Receipt),
    /// A message from a handset.
    Mo(Mo),
}

/// One thing to deliver, and how often that was tried.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What.
    pub content: Content,
    /// Times it was sent.
    pub tries: u32,
}

impl Delivery {
    /// Never tried yet.
    pub fn new(content: Content) -> Self {
        Self { content, tries: 0 }
    }

    /// Whether it is a receipt.
    pub fn is_receipt(&self) -> bool {
        matches!(self.content, Content::Receipt(_))
    }
}

/// What the other side made of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It has it.
    Yes,
    /// Not now.
    Later,
    /// Not ever.
    Never,
    /// No answer in time, or the connection went away.
    Unknown,
}
