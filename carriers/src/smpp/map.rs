//! Messages to PDUs and back: parts to submit_sm, deliver_sm to messages from handsets.
//!
//! Long texts follow the channel's `long`: parts with a user data header, parts with sar_* TLVs, or the whole text in
//! message_payload. Which one a part is follows from the part itself, so that a link can send what an older
//! configuration has split.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use codecs::octets::all_digits;
use codecs::smpp::{Sm, Tlvs, put_tlv, tag, time};
use codecs::text::split::{self, Reference};
use codecs::text::{Alphabet, udh};

use super::config::{DefaultAlphabet, Long, NumberType, Settings};
use crate::message::{Coding, Mo, Mt, Part, Parts, Quote, Segment, Unsendable};
use crate::options::{Options, Rare};

/// esm_class: the text begins with a user data header (SMPP 3.4 §5.2.12).
const UDH: u8 = 0x40;
/// Most octets of short_message.
const SHORT_MESSAGE: usize = 254;
/// Most characters of an address, without its NUL.
const ADDRESS: usize = 20;
/// The one option there is: service_type, at most 5 characters (SMPP 3.4 §5.2.11).
const SERVICE_TYPE: &str = "service_type";
/// Most characters of an alphanumeric sender: what the air interface carries.
const ALPHANUMERIC_SENDER: usize = 11;

/// What a submit_sm borrows that is in neither the part nor the settings.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    validity: [u8; 16],
    tlvs: BytesMut,
}

/// The submit of a part. `reference` is user_message_reference, where it is to be sent.
pub(super) fn submit<'a>(
    settings: &'a Settings,
    part: &'a Part,
    reference: Option<u16>,
    scratch: &'a mut Scratch,
) -> Sm<'a> {
    let Scratch { validity, tlvs } = scratch;
    tlvs.clear();
    *validity = time::relative(part.valid_for);
    if let Some(reference) = reference {
        put_tlv(tlvs, tag::USER_MESSAGE_REFERENCE, &reference.to_be_bytes());
    }
    if part.total > 1 && !part.udh {
        put_tlv(tlvs, tag::SAR_MSG_REF_NUM, &part.reference.to_be_bytes());
        put_tlv(tlvs, tag::SAR_TOTAL_SEGMENTS, &[part.total]);
        put_tlv(tlvs, tag::SAR_SEGMENT_SEQNUM, &[part.index.saturating_add(1)]);
    }
    let in_payload = part.data.len() > SHORT_MESSAGE;
    if in_payload {
        put_tlv(tlvs, tag::MESSAGE_PAYLOAD, &part.data);
    }
    let (source, source_addr) = source(settings, part.sender.as_deref());
    Sm {
        service_type: Options::read(&part.options).get(SERVICE_TYPE).unwrap_or(&settings.service_type).as_bytes(),
        source_addr_ton: source.ton,
        source_addr_npi: source.npi,
        source_addr: source_addr.as_bytes(),
        dest_addr_ton: INTERNATIONAL.ton,
        dest_addr_npi: INTERNATIONAL.npi,
        destination_addr: international(part.to.octets()),
        esm_class: if part.udh { UDH } else { 0 },
        validity_period: validity,
        registered_delivery: u8::from(part.receipt && settings.registered_delivery),
        data_coding: data_coding(settings.default_alphabet, part.coding),
        short_message: if in_payload { &[] } else { &part.data },
        tlvs: Tlvs::new(tlvs),
        ..Sm::default()
    }
}

/// A number without its plus signs: the type says what they say.
fn international(number: &[u8]) -> &[u8] {
    let signs = number.iter().take_while(|octet| **octet == b'+').count();
    number.get(signs..).unwrap_or_default()
}

const INTERNATIONAL: NumberType = NumberType { ton: 1, npi: 1 };
const ALPHANUMERIC: NumberType = NumberType { ton: 5, npi: 0 };
const UNKNOWN: NumberType = NumberType { ton: 0, npi: 1 };
const SHORT_CODE: NumberType = NumberType { ton: 3, npi: 0 };
/// Plain digits up to this many are a short code.
const SHORT_CODE_DIGITS: usize = 8;

/// The sender as it goes on the wire, and its type; nothing where the carrier fills it in.
fn source<'a>(settings: &'a Settings, sender: Option<&'a str>) -> (NumberType, &'a str) {
    let addr = sender.unwrap_or(&settings.source.addr);
    let digits = addr.strip_prefix('+').unwrap_or(addr);
    let kind = if addr.is_empty() {
        NumberType { ton: 0, npi: 0 }
    } else if !all_digits(digits.as_bytes()) {
        return (settings.source.plain.filter(|_| sender.is_none()).unwrap_or(ALPHANUMERIC), addr);
    } else if digits.len() < addr.len() {
        INTERNATIONAL
    } else if let Some(plain) = settings.source.plain {
        plain
    } else if digits.len() <= SHORT_CODE_DIGITS {
        SHORT_CODE
    } else {
        UNKNOWN
    };
    (kind, digits)
}

/// Octet of data_coding (SMPP 3.4 §5.2.19). The channel's default alphabet is 0; GSM 03.38 has no other number.
fn data_coding(default: DefaultAlphabet, coding: Coding) -> u8 {
    match (coding, default) {
        (Coding::Gsm7, _) => 0,
        (Coding::Ascii, DefaultAlphabet::Ascii) | (Coding::Latin1, DefaultAlphabet::Latin1) => 0,
        (Coding::Ascii, _) => 1,
        (Coding::Latin1, _) => 3,
        (Coding::Ucs2, _) => 8,
        (Coding::Binary | Coding::Gbk, _) => 4,
    }
}

/// Whether there is an option of this name; an error says what its value should be.
pub(super) fn takes(name: &str, value: &str) -> Result<bool, &'static str> {
    match name {
        SERVICE_TYPE if value.len() > 5 => Err("at most 5 characters"),
        SERVICE_TYPE => Ok(true),
        _ => Ok(false),
    }
}

/// What [`split`] would make of it; nothing is encoded.
pub(super) fn quote(settings: &Settings, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
    check(mt)?;
    let (alphabet, coding) = alphabet(settings, mt.text);
    let needed = split::count(mt.text, alphabet, reference(settings, mt));
    let allowed = settings.max_parts;
    let parts = u8::try_from(needed).ok().filter(|&parts| parts <= allowed);
    let parts = parts.ok_or(Unsendable::TooLong(needed, allowed.into()))?;
    Ok(Quote { parts: if settings.long == Long::Payload { 1 } else { parts }, coding })
}

/// The parts of a message, in the carrier's default alphabet where that loses nothing, else in UCS-2.
pub(super) fn split(settings: &Settings, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
    check(mt)?;
    let (default, coding) = default_alphabet(settings);
    if let Some(segment) = split::plain(mt.text, default) {
        return Ok(mt.parts(coding, std::iter::once(segment)));
    }
    let (alphabet, coding) = alphabet(settings, mt.text);
    let segments = split::segments(mt.text, alphabet, reference(settings, mt), settings.max_parts)
        .map_err(|split::TooMany { needed, allowed }| Unsendable::TooLong(needed, allowed.into()))?;
    if settings.long == Long::Payload {
        let mut data = BytesMut::new();
        alphabet.encode(mt.text, &mut data);
        let whole = split::Segment { udh: false, data: data.freeze() };
        return Ok(mt.parts(coding, std::iter::once(whole)));
    }
    Ok(mt.parts(coding, segments))
}

fn default_alphabet(settings: &Settings) -> (Alphabet, Coding) {
    match settings.default_alphabet {
        DefaultAlphabet::Gsm7 => (Alphabet::Gsm7, Coding::Gsm7),
        DefaultAlphabet::Latin1 => (Alphabet::Latin1, Coding::Latin1),
        DefaultAlphabet::Ascii => (Alphabet::Ascii, Coding::Ascii),
    }
}

fn alphabet(settings: &Settings, text: &str) -> (Alphabet, Coding) {
    let (default, coding) = default_alphabet(settings);
    if default.measure(text).is_some() { (default, coding) } else { (Alphabet::Ucs2, Coding::Ucs2) }
}

fn reference(settings: &Settings, mt: &Mt<'_>) -> Reference {
    match settings.long {
        Long::Udh => Reference::Udh8(mt.reference as u8),
        Long::Sar | Long::Payload => Reference::Apart,
    }
}

/// Whether number and sender fit their fields.
fn check(mt: &Mt<'_>) -> Result<(), Unsendable> {
    let digits = |text: &str| all_digits(text.as_bytes());
    match mt.to.strip_prefix('+') {
        Some(number) if !number.is_empty() && number.len() <= ADDRESS && digits(number) => {}
        Some(number) if number.len() > ADDRESS => return Err(Unsendable::Number("more than 20 digits")),
        _ => return Err(Unsendable::Number("a plus sign and digits are wanted")),
    }
    // Most have none.
    if !mt.options.is_empty() {
        for (name, value) in mt.options.iter() {
            takes(name, value).map_err(|why| Unsendable::Option(name.to_owned(), why))?;
        }
    }
    let Some(sender) = mt.sender else { return Ok(()) };
    let number = sender.strip_prefix('+').unwrap_or(sender);
    if number.is_empty() {
        Err(Unsendable::Sender("it is empty"))
    } else if digits(number) {
        if number.len() > ADDRESS { Err(Unsendable::Sender("more than 20 digits")) } else { Ok(()) }
    } else if sender.len() > ALPHANUMERIC_SENDER {
        Err(Unsendable::Sender("more than 11 characters"))
    } else if !sender.bytes().all(|b| (0x20..0x7F).contains(&b)) {
        Err(Unsendable::Sender("characters other than printable ASCII"))
    } else {
        Ok(())
    }
}

/// The message from a handset in a deliver_sm, and what had to be overlooked in it. Its place in a long message is told
/// by a user data header or by sar_* TLVs; the header is what the handset wrote, so it wins.
pub(super) fn mo(settings: &Settings, sm: &Sm<'_>) -> (Mo, Option<&'static str>) {
    let user_data = sm.user_data();
    let mut leniency = None;
    let (mut header, mut segment) = (0, None);
    if sm.esm_class & UDH != 0 {
        match udh::read(user_data) {
            Some(read) => {
                header = read.octets;
                segment = read.concat.and_then(|c| Segment::of(c.reference, c.total, c.sequence));
            }
            None => leniency = Some("a user data header that cannot be read"),
        }
    }
    if segment.is_none() {
        match sar(sm) {
            Ok(told) => segment = told,
            Err(what) => leniency = Some(what),
        }
    }
    let mo = Mo {
        from: handset(sm),
        to: address(sm.destination_addr).into(),
        coding: coding(settings.default_alphabet, sm.data_coding),
        header: Bytes::copy_from_slice(&user_data[..header]),
        data: Bytes::copy_from_slice(&user_data[header..]),
        segment,
        id: None,
        options: Rare::default(),
    };
    (mo, leniency)
}

/// The handset's number; the type that says "international" becomes the plus sign it stands for.
fn handset(sm: &Sm<'_>) -> String {
    let addr = address(sm.source_addr);
    let bare = !addr.is_empty() && all_digits(addr.as_bytes());
    if sm.source_addr_ton == INTERNATIONAL.ton && bare { format!("+{addr}") } else { addr.into() }
}

/// An address as the carrier wrote it.
pub(super) fn address(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(octets)
}

/// A place in a long message as sar_* TLVs tell it (SMPP 3.4 §5.3.2.22 to 24): all three, or none.
fn sar(sm: &Sm<'_>) -> Result<Option<Segment>, &'static str> {
    let tags = [tag::SAR_MSG_REF_NUM, tag::SAR_TOTAL_SEGMENTS, tag::SAR_SEGMENT_SEQNUM];
    if tags.iter().all(|tag| sm.tlvs.get(*tag).is_none()) {
        return Ok(None);
    }
    let total = sm.tlvs.get_u8(tag::SAR_TOTAL_SEGMENTS);
    let told = (sm.tlvs.get_u16(tag::SAR_MSG_REF_NUM), total, sm.tlvs.get_u8(tag::SAR_SEGMENT_SEQNUM));
    match told {
        (Some(_), Some(1), Some(1)) => Some(None),
        (Some(reference), Some(total), Some(sequence)) => Segment::of(reference, total, sequence).map(Some),
        _ => None,
    }
    .ok_or("sar_* TLVs that name no place")
}

/// data_coding of what a handset sent: SMPP's own numbers, and those that GSM networks pass on (3GPP TS 23.038 §4).
fn coding(default: DefaultAlphabet, data_coding: u8) -> Coding {
    let default = match default {
        DefaultAlphabet::Gsm7 => Coding::Gsm7,
        DefaultAlphabet::Latin1 => Coding::Latin1,
        DefaultAlphabet::Ascii => Coding::Ascii,
    };
    match (data_coding, data_coding >> 2 & 3) {
        (0, _) => default,
        (1, _) => Coding::Ascii,
        (3, _) => Coding::Latin1,
        (8, _) | (0x10..=0x1F, 2) | (0xE0..=0xEF, _) => Coding::Ucs2,
        (0x10..=0x1F, 0) | (0xC0..=0xDF, _) | (0xF0..=0xFF, 0 | 2) => Coding::Gsm7,
        _ => Coding::Binary,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::smpp::testing::settings;

    fn mt(text: &str) -> Mt<'_> {
        Mt {
            to: "+447700900123",
            sender: None,
            text,
            valid_for: Duration::from_secs(300),
            until: None,
            receipt: true,
            reference: 0x1234,
            options: Options::default(),
        }
    }

    #[test]
    fn a_short_text_is_one_plain_submit() {
        let settings = settings("source = { addr = \"Qiao\" }");
        let parts = split(&settings, &mt("Code: 4711 @")).unwrap();
        let mut scratch = Scratch::default();
        let sm = submit(&settings, &parts[0], Some(0xBEEF), &mut scratch);
        assert_eq!((sm.source_addr_ton, sm.source_addr_npi, sm.source_addr), (5, 0, &b"Qiao"[..]));
        assert_eq!((sm.dest_addr_ton, sm.dest_addr_npi, sm.destination_addr), (1, 1, &b"447700900123"[..]));
        assert_eq!((sm.esm_class, sm.data_coding, sm.registered_delivery), (0, 0, 1));
        assert_eq!(sm.short_message, b"Code: 4711 \0");
        assert_eq!(sm.validity_period, b"000000000500000R");
        assert_eq!(sm.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE), Some(0xBEEF));
    }

    #[test]
    fn the_service_type_may_be_the_messages_own() {
        let settings = settings("service_type = \"OWN\"");
        let asked = |written| Mt { options: Options::read(written), ..mt("x") };
        for (written, service_type) in [("", &b"OWN"[..]), ("service_type=WAP\nlink_id=7\n", b"WAP")] {
            let parts = split(&settings, &asked(written)).unwrap();
            assert_eq!(submit(&settings, &parts[0], None, &mut Scratch::default()).service_type, service_type);
        }
        assert!(matches!(quote(&settings, &asked("service_type=longer\n")), Err(Unsendable::Option(..))));
        assert_eq!((takes("service_type", "CMT"), takes("link_id", "7")), (Ok(true), Ok(false)));
    }

    #[test]
    fn long_texts_follow_the_setting_and_quotes_agree() {
        for (long, parts_of, udh) in [("udh", 3, true), ("sar", 3, false), ("payload", 1, false)] {
            let settings = settings(&format!("long = \"{long}\""));
            let text = "汉".repeat(150);
            let parts = split(&settings, &mt(&text)).unwrap();
            assert_eq!((parts.len(), parts[0].udh), (parts_of, udh), "{long}");
            let quoted = quote(&settings, &mt(&text)).unwrap();
            assert_eq!(quoted, Quote { parts: parts_of as u8, coding: Coding::Ucs2 });
            let mut scratch = Scratch::default();
            let last = parts.last().unwrap();
            let sm = submit(&settings, last, None, &mut scratch);
            assert_eq!(sm.esm_class, if udh { UDH } else { 0 });
            assert_eq!(sm.data_coding, 8);
            match long {
                "udh" => assert_eq!(&sm.short_message[..6], [5, 0, 3, 0x34, 3, 3]),
                "sar" => {
                    assert_eq!(sm.tlvs.get_u16(tag::SAR_MSG_REF_NUM), Some(0x1234));
                    assert_eq!(sm.tlvs.get_u8(tag::SAR_TOTAL_SEGMENTS), Some(3));
                    assert_eq!(sm.tlvs.get_u8(tag::SAR_SEGMENT_SEQNUM), Some(3));
                }
                _ => {
                    assert!(sm.short_message.is_empty());
                    assert_eq!(sm.tlvs.get(tag::MESSAGE_PAYLOAD).map(<[u8]>::len), Some(300));
                }
            }
        }
    }

    #[test]
    fn too_many_parts_are_refused_whatever_carries_them() {
        for long in ["udh", "sar", "payload"] {
            let settings = settings(&format!("long = \"{long}\""));
            let text = "x".repeat(153 * 10 + 1);
            assert_eq!(split(&settings, &mt(&text)), Err(Unsendable::TooLong(11, 10)));
            assert_eq!(quote(&settings, &mt(&text)), Err(Unsendable::TooLong(11, 10)));
        }
    }

    #[test]
    fn senders_are_typed_by_their_look() {
        let plain = settings("");
        let typed = settings("source = { ton = 2, npi = 8, addr = \"10690001\" }");
        let cases = [
            (&plain, Some("+447700900000"), (1, 1, "447700900000")),
            (&plain, Some("40404"), (3, 0, "40404")),
            (&plain, Some("1069000123"), (0, 1, "1069000123")),
            (&plain, Some("Shop 24"), (5, 0, "Shop 24")),
            (&plain, None, (0, 0, "")),
            (&typed, None, (2, 8, "10690001")),
            (&typed, Some("40404"), (2, 8, "40404")),
            (&typed, Some("Shop"), (5, 0, "Shop")),
        ];
        for (settings, sender, (ton, npi, addr)) in cases {
            assert_eq!(source(settings, sender), (NumberType { ton, npi }, addr), "{sender:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_before_it_is_sent() {
        let settings = settings("");
        let long = "+".to_owned() + &"1".repeat(21);
        for to in ["447700900123", "+", "+44 77", "", long.as_str()] {
            assert!(matches!(split(&settings, &Mt { to, ..mt("x") }), Err(Unsendable::Number(_))), "{to}");
        }
        for sender in ["", "+", "TwelveLetter", "Gr\u{fc}n", "a\0b"] {
            let mt = Mt { sender: Some(sender), ..mt("x") };
            assert!(matches!(split(&settings, &mt), Err(Unsendable::Sender(_))), "{sender:?}");
        }
    }

    fn mo_of(sm: &Sm<'_>) -> (Mo, Option<&'static str>) {
        mo(&settings(""), sm)
    }

    #[test]
    fn a_header_stands_apart_from_the_text_and_tells_the_place() {
        for (header, reference) in [(&[5, 0, 3, 9, 2, 1][..], 9), (&[6, 8, 4, 1, 2, 2, 1][..], 0x0102)] {
            let short_message = [header, b"hi \0"].concat();
            let sm = Sm { esm_class: UDH, short_message: &short_message, ..Sm::default() };
            let (got, leniency) = mo_of(&sm);
            assert_eq!((got.coding.decode(&got.data).as_str(), &got.header[..], leniency), ("hi @", header, None));
            assert_eq!(got.segment, Some(Segment { reference, total: 2, index: 0 }));
        }
    }

    #[test]
    fn a_header_that_claims_more_than_there_is_loses_nothing_and_is_counted() {
        let sm = Sm { esm_class: UDH, short_message: &[200, 0, 3], ..Sm::default() };
        let (got, leniency) = mo_of(&sm);
        assert_eq!((got.data.len(), got.header.len(), got.segment), (3, 0, None));
        assert_eq!(leniency, Some("a user data header that cannot be read"));
    }

    #[test]
    fn sar_tlvs_tell_the_place_or_are_overlooked() {
        let place = |total, index| Ok(Some(Segment { reference: 0x0102, total, index }));
        let nowhere = Err("sar_* TLVs that name no place");
        let cases: [(&[u8], &[u8], &[u8], _); 7] = [
            (&[1, 2], &[2], &[1], place(2, 0)),
            (&[1, 2], &[255], &[255], place(255, 254)),
            (&[1, 2], &[1], &[1], Ok(None)),
            (&[1, 2], &[2], &[3], nowhere),
            (&[1, 2], &[2], &[0], nowhere),
            (&[1, 2], &[0], &[0], nowhere),
            (&[1], &[2], &[1], nowhere),
        ];
        for (reference, total, sequence, wanted) in cases {
            let mut octets = BytesMut::new();
            put_tlv(&mut octets, tag::SAR_MSG_REF_NUM, reference);
            put_tlv(&mut octets, tag::SAR_TOTAL_SEGMENTS, total);
            put_tlv(&mut octets, tag::SAR_SEGMENT_SEQNUM, sequence);
            let sm = Sm { short_message: b"hi", tlvs: Tlvs::new(&octets), ..Sm::default() };
            assert_eq!(sar(&sm), wanted, "{reference:?} {total:?} {sequence:?}");
            let (got, leniency) = mo_of(&sm);
            assert_eq!((got.segment, leniency), (wanted.unwrap_or_default(), wanted.err()));
            assert_eq!(&got.data[..], b"hi");
        }
        let mut alone = BytesMut::new();
        put_tlv(&mut alone, tag::SAR_SEGMENT_SEQNUM, &[1]);
        assert_eq!(sar(&Sm { tlvs: Tlvs::new(&alone), ..Sm::default() }), nowhere);
        assert_eq!(sar(&Sm::default()), Ok(None));
    }

    #[test]
    fn a_handset_declared_international_gets_its_plus() {
        for (ton, addr, wanted) in [
            (1, "8613800138000", "+8613800138000"),
            (0, "13800138000", "13800138000"),
            (1, "+86138", "+86138"),
            (1, "", ""),
        ] {
            let sm = Sm { source_addr_ton: ton, source_addr: addr.as_bytes(), ..Sm::default() };
            assert_eq!(mo_of(&sm).0.from, wanted);
        }
    }

    #[test]
    fn data_codings_of_networks_are_known() {
        let gsm = DefaultAlphabet::Gsm7;
        let cases = [
            (0x00, Coding::Gsm7),
            (0x01, Coding::Ascii),
            (0x03, Coding::Latin1),
            (0x04, Coding::Binary),
            (0x08, Coding::Ucs2),
            (0x10, Coding::Gsm7),
            (0x18, Coding::Ucs2),
            (0xF0, Coding::Gsm7),
            (0xF4, Coding::Binary),
            (0x0E, Coding::Binary),
        ];
        for (octet, wanted) in cases {
            assert_eq!(coding(gsm, octet), wanted, "{octet:#04x}");
        }
        assert_eq!(coding(DefaultAlphabet::Latin1, 0), Coding::Latin1);
    }
}
