//! What crosses the seam: a message to the handset and its parts, receipts, messages from the handset.
//! Protocol-neutral: every protocol maps its PDUs to and from these.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use codecs::text::{Alphabet, split};

use crate::compact::{MostlyOne, Short};
use crate::options::{Options, Rare};

/// What `Debug` shows of a number: how it ends.
struct Number<'a>(&'a str);

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
        write!(f, "*{}", self.0[last..].escape_default())
    }
}

/// A message to a handset, as a channel is asked to split it.
#[derive(Clone)]
pub struct Mt<'a> {
    /// E.164 with the plus sign.
    pub to: &'a str,
    /// The sender the app asked for; the channel's own where absent.
    pub sender: Option<&'a str>,
    /// The text, already with signature.
    pub text: &'a str,
    /// Validity left now.
    pub valid_for: Duration,
    /// When its validity ends, where that is to be judged now: at the door, before anything is promised.
    pub until: Option<SystemTime>,
    /// Whether a receipt is wanted.
    pub receipt: bool,
    /// Makes the reference of long messages differ between concurrent ones: low bits are used.
    pub reference: u16,
    /// What it asks of the carrier beyond that.
    pub options: Options<'a>,
}

impl fmt::Debug for Mt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mt({:?}, {} octets)", Number(self.to), self.text.len())
    }
}

/// How a part's octets are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// GSM 03.38 default alphabet, one septet per octet.
    Gsm7,
    /// US-ASCII.
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// UCS-2 / UTF-16 big endian.
    Ucs2,
    /// GBK.
    Gbk,
    /// Octets without a character set.
    Binary,
}

impl Coding {
    /// The name used in HTTP answers (`encoding`).
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gsm7 => "gsm7",
            Coding::Ascii => "ascii",
            Coding::Latin1 => "latin1",
            Coding::Ucs2 => "ucs2",
            Coding::Gbk => "gbk",
            Coding::Binary => "binary",
        }
    }

    /// Reads octets as text; U+FFFD for what cannot be read. Of octets without a character set, what is ASCII. The parts
    /// of a long message are to be joined first: a character may be cut between them.
    pub fn decode(self, octets: &[u8]) -> String {
        let alphabet = match self {
            Coding::Gsm7 => Alphabet::Gsm7,
            Coding::Latin1 => Alphabet::Latin1,
            Coding::Ucs2 => Alphabet::Ucs2,
            Coding::Gbk => Alphabet::Gbk,
            Coding::Ascii | Coding::Binary => Alphabet::Ascii,
        };
        let mut text = alphabet.decode(octets);
        text.shrink_to_fit();
        text
    }
}

/// One segment, ready for a session to put into its protocol's submit.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// E.164 with the plus sign.
    pub to: Brief,
    /// The sender asked for, if any.
    pub sender: Option<Brief>,
    /// Character set of what follows the header.
    pub coding: Coding,
    /// User data: the user data header, if any, then the text.
    pub data: Bytes,
    /// Whether `data` starts with a user data header.
    pub udh: bool,
    /// Position, from 0.
    pub index: u8,
    /// Number of parts of the message, from 1.
    pub total: u8,
    /// Reference shared by the parts of a long message.
    pub reference: u16,
    /// Validity left at the time of splitting.
    pub valid_for: Duration,
    /// Whether a receipt is wanted.
    pub receipt: bool,
    /// What the message asks of the carrier beyond that, as [`Options`] are kept.
    pub options: String,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { to, coding, data, index, total, .. } = self;
        write!(f, "Part({} of {total}, {:?}, {} octets of {coding:?})", u16::from(*index) + 1, Number(to), data.len())
    }
}

/// All parts of a message, in order; never empty.
pub type Parts = Vec<Part>;

impl Mt<'_> {
    /// Its parts, from the segments of its text.
    pub(crate) fn parts(&self, coding: Coding, segments: impl ExactSizeIterator<Item = split::Segment>) -> Parts {
        let total = u8::try_from(segments.len()).unwrap_or(u8::MAX);
        let mut parts = Vec::with_capacity(segments.len());
        parts.extend((0..).zip(segments).map(|(index, split::Segment { udh, data })| Part {
            to: self.to.into(),
            sender: self.sender.map(Brief::from),
            coding,
            data,
            udh,
            index,
            total,
            reference: self.reference,
            valid_for: self.valid_for,
            receipt: self.receipt,
            options: self.options.as_str().to_owned(),
        }));
        parts
    }
}

/// What a message would become on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Number of parts, from 1.
    pub parts: u8,
    /// Encoding of the text.
    pub coding: Coding,
}

/// Why a channel cannot carry a message at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// More parts than the protocol or the limit allows.
    #[error("the text needs {0} parts, more than {1}")]
    TooLong(usize, usize),
    /// The number does not fit the protocol's field.
    #[error("the number does not fit: {0}")]
    Number(&'static str),
    /// The sender does not fit.
    #[error("the sender does not fit: {0}")]
    Sender(&'static str),
    /// The value of an option does not fit: its name, and what is wanted.
    #[error("the option {0} does not fit: {1}")]
    Option(String, &'static str),
}

/// A carrier's id for a submitted part, normalised so that answer and receipt compare equal. Opaque octets. All that
/// protocols of numbers give fits into it; what is longer lies beside it.
#[derive(Clone, PartialEq, Eq)]
pub struct CarrierId(Octets);

/// How many octets of an id need no memory of their own.
const SHORT: usize = 30;

#[derive(Clone, PartialEq, Eq)]
enum Octets {
    /// So many of them; those behind are 0.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl CarrierId {
    /// Takes octets that are already normalised.
    pub fn new(octets: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match (short.get_mut(..octets.len()), u8::try_from(octets.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(octets);
                CarrierId(Octets::Short(length, short))
            }
            _ => CarrierId(Octets::Long(octets.into())),
        }
    }

    /// Octets that mean nothing by themselves, as hexadecimal digits.
    pub fn hex(octets: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let nibbles = octets.iter().flat_map(|octet| [octet >> 4, octet & 0x0F]);
        let digits = nibbles.map(|nibble| DIGITS[usize::from(nibble)]);
        let mut short = [0; SHORT];
        let Some(room) = short.get_mut(..2 * octets.len()) else {
            return CarrierId::new(&digits.collect::<Vec<u8>>());
        };
        room.iter_mut().zip(digits).for_each(|(place, digit)| *place = digit);
        CarrierId::new(room)
    }

    /// The same with ASCII letters in lower case.
    #[must_use]
    pub fn lower(mut self) -> Self {
        match &mut self.0 {
            Octets::Short(_, octets) => octets.make_ascii_lowercase(),
            Octets::Long(octets) => octets.make_ascii_lowercase(),
        }
        self
    }

    /// Its octets.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        match &self.0 {
            Octets::Short(length, octets) => octets.get(..usize::from(*length)).unwrap_or_default(),
            Octets::Long(octets) => octets,
        }
    }
}

impl std::hash::Hash for CarrierId {
    #[inline]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.octets().hash(state);
    }
}

impl PartialOrd for CarrierId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CarrierId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.octets().cmp(other.octets())
    }
}

impl fmt::Debug for CarrierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CarrierId({self})")
    }
}

impl fmt::Display for CarrierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.octets().escape_ascii())
    }
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiptState {
    /// On the handset.
    Delivered,
    /// On its way (ENROUTE, ACCEPTD, BUFFERED, SCHEDULED): no end yet.
    Intermediate,
    /// Not delivered, for good.
    Failed,
    /// The carrier gave up when validity ended.
    Expired,
    /// The carrier deleted it.
    Deleted,
    /// Refused after acceptance.
    Rejected,
    /// The carrier does not know; it is an end.
    Unknown,
}

impl ReceiptState {
    /// The word used in metrics and records.
    pub fn name(self) -> &'static str {
        match self {
            ReceiptState::Delivered => "delivered",
            ReceiptState::Intermediate => "intermediate",
            ReceiptState::Failed => "failed",
            ReceiptState::Expired => "expired",
            ReceiptState::Deleted => "deleted",
            ReceiptState::Rejected => "rejected",
            ReceiptState::Unknown => "unknown",
        }
    }
    /// Whether nothing further is to come for the part.
    pub fn is_final(self) -> bool {
        self != ReceiptState::Intermediate
    }
}

/// A number, or a few of a carrier's words. Nearly all are as short as that.
pub type Brief = Short<22>;

/// The carrier's word on a part's fate.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Candidates for the part's id, best first, normalised; at least one.
    pub ids: MostlyOne<CarrierId>,
    /// The handset's number as the carrier wrote it (with or without plus, perhaps national).
    pub to: Brief,
    /// What became of it.
    pub state: ReceiptState,
    /// The carrier's own words (`DELIVRD err:000`). Never message text.
    pub code: Brief,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { ids, to, state, code } = self;
        write!(f, "Receipt({state:?}, {ids:?}, {:?}, {code:?})", Number(to))
    }
}

/// A part's place in a long message from a handset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// Shared by the parts; handsets use theirs again after 256 or 65,536 long messages.
    pub reference: u16,
    /// Number of parts, from 2.
    pub total: u8,
    /// Which one this is, from 0; below `total`.
    pub index: u8,
}

impl Segment {
    /// A place as protocols count it, from 1; none where it is impossible, or the only part.
    pub fn of(reference: u16, total: u8, sequence: u8) -> Option<Segment> {
        let possible = total > 1 && (1..=total).contains(&sequence);
        possible.then(|| Segment { reference, total, index: sequence - 1 })
    }
}

/// A message from a handset, or one part of a long one.
#[derive(Clone, PartialEq, Eq)]
pub struct Mo {
    /// The handset's number as the carrier wrote it; with a plus sign where the carrier says that it is international.
    pub from: String,
    /// The access number it was sent to, as the carrier wrote it.
    pub to: String,
    /// How `data` is to be read.
    pub coding: Coding,
    /// The user data header that stood before the text, as it came; empty where there was none.
    pub header: Bytes,
    /// The text's octets, without header.
    pub data: Bytes,
    /// Its place in a long message, if it is a part of one.
    pub segment: Option<Segment>,
    /// The carrier's own id for it, the same when it is repeated; where the protocol has one.
    pub id: Option<CarrierId>,
    /// What an answer to it should have as its options, as [`Options`] are kept.
    pub options: Rare,
}

impl fmt::Debug for Mo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mo { from, to, coding, data, segment, .. } = self;
        write!(f, "Mo({:?} to {to:?}, {} octets of {coding:?}, {segment:?})", Number(from), data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_octets_however_long() {
        let all: Vec<u8> = (0..100).collect();
        for (length, other) in (0..100).flat_map(|length| (0..100).map(move |other| (length, other))) {
            let (id, that) = (CarrierId::new(&all[..length]), CarrierId::new(&all[..other]));
            assert_eq!(id.octets(), &all[..length]);
            assert_eq!((id == that, id.cmp(&that)), (length == other, length.cmp(&other)));
        }
        for length in [4, 40] {
            assert_eq!(CarrierId::new("AbCd".repeat(length).as_bytes()).lower().to_string(), "abcd".repeat(length));
        }
        assert_eq!(size_of::<Option<CarrierId>>(), 32);
    }

    #[test]
    fn opaque_ids_are_shown_as_digits() {
        assert_eq!(CarrierId::hex(&[0x00, 0xBB, 0x1F]), CarrierId::new(b"00bb1f"));
        assert_eq!(CarrierId::hex(&[0x2A; 40]), CarrierId::new("2a".repeat(40).as_bytes()));
    }

    #[test]
    fn gbk_is_read_as_gbk() {
        assert_eq!(Coding::Gbk.decode(b"\xd7\xa2\xb2\xe1 7"), "注册 7");
        assert_eq!(Coding::Gbk.decode(b"\xd7"), "\u{FFFD}");
    }

    #[test]
    fn debug_shows_neither_numbers_nor_text() {
        let to = "+447700900123";
        let mt = Mt {
            to,
            sender: None,
            text: "4711",
            valid_for: Duration::ZERO,
            until: None,
            receipt: true,
            reference: 0,
            options: Options::default(),
        };
        let part = Part {
            to: to.into(),
            sender: None,
            coding: Coding::Gsm7,
            data: Bytes::from_static(b"4711"),
            udh: false,
            index: 0,
            total: 1,
            reference: 0,
            valid_for: Duration::ZERO,
            receipt: true,
            options: String::new(),
        };
        let receipt =
            Receipt { ids: MostlyOne::default(), to: to.into(), state: ReceiptState::Failed, code: "UNDELIV".into() };
        let mo = Mo {
            from: to.into(),
            to: "40404".into(),
            coding: Coding::Gsm7,
            header: Bytes::new(),
            data: Bytes::from_static(b"4711"),
            segment: Segment::of(7, 2, 1),
            id: None,
            options: Rare::default(),
        };
        let shown = format!("{mt:?} {part:?} {receipt:?} {mo:?} {:?} {:?}", Number(""), Number("é"));
        assert!(!shown.contains("4711") && !shown.contains("7700"), "{shown}");
    }
}
