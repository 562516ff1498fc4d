//! Text and phone numbers as CMPP, SGIP and SMGP alike carry them.

use std::borrow::Cow;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use codecs::text::{cheapest, msg_fmt, udh};
use codecs::time::Moment;

use crate::delivery::Mo;
use crate::desk::{Desk, Submission, Wanted};
use crate::records::Concat;

/// User data of one short message, in octets; in ASCII 160 characters, which travel the air as septets.
const USER_DATA: usize = 140;
const ASCII_DATA: usize = 160;
/// Octets of most fields that hold a number.
const NUMBER: usize = 21;

/// A text as it came.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Who sends.
    pub source: &'a [u8],
    /// To whom.
    pub destination: &'a [u8],
    /// How the text is written.
    pub format: u8,
    /// Whether it begins with a header.
    pub udhi: u8,
    /// The text.
    pub content: &'a [u8],
    /// Which ends are to be reported.
    pub wanted: Wanted,
    /// The service code.
    pub service_id: &'a [u8],
    /// What it answers.
    pub link_id: &'a [u8],
    /// Destinations beyond the first.
    pub more: Vec<&'a [u8]>,
}

impl<'a> Incoming<'a> {
    /// Whether it is longer than the air allows.
    pub fn is_too_long(&self) -> bool {
        self.content.len() > if self.format == msg_fmt::ASCII { ASCII_DATA } else { USER_DATA }
    }

    /// The same as the desk wants it. What is no text is written in hexadecimal digits.
    pub fn submission(&self, now: Instant) -> Submission<'a> {
        let header = udh::is_indicated(self.udhi).then(|| udh::read(self.content)).flatten();
        let body = header.and_then(|header| self.content.get(header.octets..)).unwrap_or(self.content);
        let text = match msg_fmt::alphabet(self.format, body) {
            Some(alphabet) => alphabet.decode(body),
            None => body.iter().map(|octet| format!("{octet:02x}")).collect(),
        };
        let concat = header.and_then(|header| header.concat);
        Submission {
            source: trimmed(self.source),
            destination: trimmed(self.destination),
            text: Cow::Owned(text),
            concat: concat.map(|concat| Concat {
                reference: concat.reference,
                total: concat.total,
                seq: concat.sequence,
            }),
            reference: None,
            wanted: self.wanted,
            service_id: trimmed(self.service_id),
            link_id: trimmed(self.link_id),
            more: self.more.iter().map(|to| trimmed(to)).collect(),
            at: now,
            link: 0,
        }
    }
}

fn trimmed(text: &[u8]) -> Cow<'_, str> {
    let end = text.iter().position(|octet| *octet == 0).unwrap_or(text.len());
    String::from_utf8_lossy(text.get(..end).unwrap_or(text).trim_ascii())
}

/// A text as it leaves.
#[derive(Debug)]
pub struct Outgoing {
    /// How it is written.
    pub format: u8,
    /// Whether it begins with a header.
    pub udhi: u8,
    /// Header, if any, and text.
    pub content: Bytes,
}

impl Outgoing {
    /// What a handset wrote.
    pub fn of(mo: &Mo, desk: &Desk) -> Self {
        let (alphabet, content) = match &mo.segment {
            Some(segment) => (segment.alphabet, segment.data.clone()),
            None => {
                let alphabet = cheapest(&mo.text, desk.config().alphabets());
                let mut content = BytesMut::new();
                alphabet.encode(&mo.text, &mut content);
                (alphabet, content.freeze())
            }
        };
        let header = mo.segment.as_ref().is_some_and(|segment| segment.udh);
        let udhi = if desk.config().quirks.mo_udhi_64 { 0x40 } else { 1 };
        let format = msg_fmt::of(alphabet).unwrap_or(msg_fmt::UCS2);
        Self { format, udhi: if header { udhi } else { 0 }, content }
    }
}

/// A phone number as this carrier writes it.
pub fn number<'a>(desk: &Desk, number: &'a str) -> Cow<'a, str> {
    filled(desk, desk.config().quirks.numbers.spell(number))
}

/// The number of a service, likewise.
pub fn service<'a>(desk: &Desk, number: &'a str) -> Cow<'a, str> {
    filled(desk, Cow::Borrowed(number))
}

fn filled<'a>(desk: &Desk, number: Cow<'a, str>) -> Cow<'a, str> {
    if desk.config().quirks.spaces { Cow::Owned(format!("{number:NUMBER$}")) } else { number }
}

/// China's time.
pub fn moment(desk: &Desk, at: Instant) -> Moment {
    Moment::from_unix(desk.clock().seconds(at))
}

/// The LinkID that messages from handsets come with.
pub fn link_id(desk: &Desk) -> Option<&[u8]> {
    desk.config().quirks.mo_link_id.as_deref().map(str::as_bytes)
}

/// Whether so many destinations in one submit are refused.
pub fn refuses_group(count: u8, desk: &Desk) -> bool {
    count == 0 || count > 1 && !desk.config().quirks.group_send
}
