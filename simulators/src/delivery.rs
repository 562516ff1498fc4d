//! What a far side sends of its own accord: receipts and uplink messages.

use std::time::Instant;

use bytes::Bytes;
use codecs::text::Alphabet;

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

/// A receipt.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The message id as a number; how it is spelled is the carrier's quirk.
    pub id: u64,
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
