//! Messages to PDUs and back: parts to submit_sm, deliver_sm to messages from handsets.
//!
//! Long texts follow the channel's `long`: parts with a user data header, parts with sar_* TLVs, or the whole text in
//! message_payload. Which one a part is follows from the part itself, so that a link can send what an older
//! configuration has split.

use bytes::{Bytes, BytesMut};
use codecs::smpp::{Sm, put_tlv, tag, time};

use super::config::{DefaultAlphabet, NumberType, Settings};
use crate::message::{Coding, Mo, Mt, Part, Parts, Quote, Unsendable};

/// esm_class: the text begins with a user data header (SMPP 3.4 §5.2.12).
const UDH: u8 = 0x40;
/// Most octets of short_message.
const SHORT_MESSAGE: usize = 254;

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
        service_type: settings.service_type.as_bytes(),
        source_addr_ton: source.ton,
        source_addr_npi: source.npi,
        source_addr: source_addr.as_bytes(),
        dest_addr_ton: INTERNATIONAL.ton,
        dest_addr_npi: INTERNATIONAL.npi,
        destination_addr: part.to.trim_start_matches('+').as_bytes(),
        esm_class: if part.udh { UDH } else { 0 },
        validity_period: validity,
        registered_delivery: u8::from(part.receipt && settings.registered_delivery),
        data_coding: data_coding(settings.default_alphabet, part.coding),
        short_message: if in_payload { &[] } else { &part.data },
        tlvs: codecs::smpp::Tlvs::new(tlvs),
        ..Sm::default()
    }
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
    } else if !digits.bytes().all(|b| b.is_ascii_digit()) {
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

/// What [`split`] would make of it.
pub(super) fn quote(settings: &Settings, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
    let parts = split(settings, mt)?;
    Ok(Quote { parts: parts.len() as u8, coding: parts[0].coding })
}

/// The parts of a message.
pub(super) fn split(_settings: &Settings, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
    let (coding, data) = if mt.text.is_ascii() {
        (Coding::Ascii, Bytes::copy_from_slice(mt.text.as_bytes()))
    } else {
        (Coding::Ucs2, mt.text.encode_utf16().flat_map(u16::to_be_bytes).collect())
    };
    Ok(vec![Part {
        to: mt.to.to_owned(),
        sender: mt.sender.map(str::to_owned),
        coding,
        data,
        udh: false,
        index: 0,
        total: 1,
        reference: mt.reference,
        valid_for: mt.valid_for,
        receipt: mt.receipt,
    }])
}

/// The message from a handset in a deliver_sm.
pub(super) fn mo(_settings: &Settings, sm: &Sm<'_>) -> Mo {
    let data = sm.user_data();
    Mo {
        from: String::from_utf8_lossy(sm.source_addr).into_owned(),
        to: String::from_utf8_lossy(sm.destination_addr).into_owned(),
        coding: Coding::Binary,
        data: Bytes::copy_from_slice(data),
        udh: sm.esm_class & UDH != 0,
        text: String::from_utf8_lossy(data).into_owned(),
    }
}
