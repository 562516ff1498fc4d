//! deliver_sm to receipts: by esm_class, or by what it carries where the carrier forgot the bits (SMPP 3.4 §5.2.12).
//!
//! TLVs are believed before text. Every id found is a candidate: the TLV usually repeats the answer's spelling, the text
//! has its own, and carriers disagree about which.

use codecs::octets::until_nul;
use codecs::smpp::receipt::ReceiptText;
use codecs::smpp::tag::{self, message_state};
use codecs::smpp::{Sm, Tlvs};

use super::config::Settings;
use super::{ids, map};
use crate::compact::MostlyOne;
use crate::message::{Brief, CarrierId, Receipt, ReceiptState};

/// The bits of esm_class that say what kind of message it is.
const KIND: u8 = 0x3C;
/// A receipt.
const RECEIPT: u8 = 0x04;
/// Word from along the way, never the end.
const NOTIFICATION: u8 = 0x20;
/// Most characters kept of each of the carrier's words.
const WORD: usize = 16;

/// A receipt, and what had to be forgiven to read it.
pub(super) struct Reading {
    pub(super) receipt: Receipt,
    pub(super) leniency: Option<&'static str>,
}

/// What TLVs tell of a receipt; of each the first.
#[derive(Clone, Copy, Default)]
struct Told<'a> {
    /// Up to its NUL, which is often missing.
    id: Option<&'a [u8]>,
    state: Option<u8>,
    /// Network type and error.
    network: Option<(u8, u16)>,
}

impl<'a> Told<'a> {
    /// All in one pass. A value of another size than its own is as good as none.
    fn read(tlvs: &Tlvs<'a>) -> Told<'a> {
        let [mut id, mut state, mut network] = [None; 3];
        for (tag, value) in tlvs.iter() {
            let first = match tag {
                tag::RECEIPTED_MESSAGE_ID => &mut id,
                tag::MESSAGE_STATE => &mut state,
                tag::NETWORK_ERROR_CODE => &mut network,
                _ => continue,
            };
            first.get_or_insert(value);
        }
        let octet = |value: &[u8]| <[u8; 1]>::try_from(value).ok().map(u8::from_be_bytes);
        let pair = |value: &[u8]| match *value {
            [network, high, low] => Some((network, u16::from_be_bytes([high, low]))),
            _ => None,
        };
        Told { id: id.map(until_nul), state: state.and_then(octet), network: network.and_then(pair) }
    }
}

/// The receipt in a deliver_sm, or `None` where it is a message from a handset. Its ids are empty where it has none.
pub(super) fn read(settings: &Settings, sm: &Sm<'_>) -> Option<Reading> {
    let (text, told) = (ReceiptText::read(sm.user_data()), Told::read(&sm.tlvs));
    let kind = sm.esm_class & KIND;
    let marked = kind == RECEIPT || kind == NOTIFICATION;
    if !marked && told.id.is_none() && !text.is_receipt() {
        return None;
    }
    let state = told.state.and_then(by_number).or_else(|| text.stat.and_then(by_word));
    let receipt = Receipt {
        ids: candidates(settings, &told, &text),
        to: map::address(handset(settings, sm)).into(),
        state: if kind == NOTIFICATION { ReceiptState::Intermediate } else { state.unwrap_or(ReceiptState::Unknown) },
        code: code(&told, &text),
    };
    let leniency = match (marked, state) {
        (false, _) => Some("a receipt without its esm_class"),
        (true, None) => Some("a receipt without a known state"),
        (true, Some(_)) => None,
    };
    Some(Reading { receipt, leniency })
}

fn candidates(settings: &Settings, told: &Told<'_>, text: &ReceiptText<'_>) -> MostlyOne<CarrierId> {
    let bases = settings.ids;
    let one_base = bases.receipt == bases.answer;
    // Most carriers write the same in both places.
    let in_text = text.id.filter(|id| !one_base || told.id != Some(*id));
    let mut ids = MostlyOne::default();
    let mut add = |id: Option<&[u8]>, base| {
        if let Some(id) = id.and_then(|id| ids::normalise(id, base))
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    };
    add(told.id, bases.answer);
    add(in_text, bases.receipt);
    add(told.id.filter(|_| !one_base), bases.receipt);
    ids
}

/// The sender of a receipt is the handset; some carriers leave the addresses as the submit had them.
fn handset<'a>(settings: &Settings, sm: &Sm<'a>) -> &'a [u8] {
    let own = settings.source.addr.trim_start_matches('+').as_bytes();
    let swapped = !own.is_empty() && sm.source_addr == own && sm.destination_addr != own;
    if swapped { sm.destination_addr } else { sm.source_addr }
}

fn by_number(state: u8) -> Option<ReceiptState> {
    Some(match state {
        message_state::DELIVERED => ReceiptState::Delivered,
        message_state::SCHEDULED | message_state::ENROUTE | message_state::ACCEPTED => ReceiptState::Intermediate,
        message_state::UNDELIVERABLE | message_state::SKIPPED => ReceiptState::Failed,
        message_state::EXPIRED => ReceiptState::Expired,
        message_state::DELETED => ReceiptState::Deleted,
        message_state::REJECTED => ReceiptState::Rejected,
        message_state::UNKNOWN => ReceiptState::Unknown,
        _ => return None,
    })
}

/// The words of SMPP 3.4 appendix B, and those carriers have added.
fn by_word(stat: &[u8]) -> Option<ReceiptState> {
    const WORDS: &[(&[u8], ReceiptState)] = &[
        (b"DELIVRD", ReceiptState::Delivered),
        (b"DELIVERED", ReceiptState::Delivered),
        (b"ENROUTE", ReceiptState::Intermediate),
        (b"ACCEPTD", ReceiptState::Intermediate),
        (b"ACCEPTED", ReceiptState::Intermediate),
        (b"BUFFERED", ReceiptState::Intermediate),
        (b"SCHEDULED", ReceiptState::Intermediate),
        (b"UNDELIV", ReceiptState::Failed),
        (b"FAILED", ReceiptState::Failed),
        (b"NACK", ReceiptState::Failed),
        (b"SKIPPED", ReceiptState::Failed),
        (b"EXPIRED", ReceiptState::Expired),
        (b"DELETED", ReceiptState::Deleted),
        (b"REJECTD", ReceiptState::Rejected),
        (b"REJECTED", ReceiptState::Rejected),
        (b"UNKNOWN", ReceiptState::Unknown),
    ];
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(stat)).map(|(_, state)| *state)
}

/// The carrier's own words, each cut short: a carrier may write anything after a label.
fn code(told: &Told<'_>, text: &ReceiptText<'_>) -> Brief {
    let mut code = Brief::default();
    match (text.stat, told.state) {
        (Some(stat), _) => put_word(stat, &mut code),
        (None, Some(state)) => code.push_str(&format!("message_state:{state}")),
        (None, None) => {}
    }
    if let Some(err) = text.err {
        code.push_str(if code.is_empty() { "err:" } else { " err:" });
        put_word(err, &mut code);
    }
    if let Some((network, error)) = told.network {
        let gap = if code.is_empty() { "" } else { " " };
        code.push_str(&format!("{gap}network_error_code:{network}/{error}"));
    }
    code
}

fn put_word(octets: &[u8], code: &mut Brief) {
    match std::str::from_utf8(octets) {
        Ok(word) if word.len() <= WORD && word.bytes().all(|octet| octet.is_ascii_graphic()) => code.push_str(word),
        _ => code.extend(octets.iter().copied().filter(u8::is_ascii_graphic).take(WORD).map(char::from)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use codecs::smpp::put_tlv;

    use super::*;
    use crate::smpp::testing::settings;

    const TEXT: &[u8] =
        b"id:0000019007 sub:001 dlvrd:001 submit date:2611220700 done date:2611220701 stat:DELIVRD err:000 \
                          text:Your code";

    fn names(ids: &[CarrierId]) -> Vec<String> {
        ids.iter().map(CarrierId::to_string).collect()
    }

    #[test]
    fn the_text_alone_is_enough() {
        let settings = settings("message_id = { answer = \"hex\", receipt = \"dec\" }");
        let sm = Sm { esm_class: RECEIPT, source_addr: b"447700900123", short_message: TEXT, ..Sm::default() };
        let got = read(&settings, &sm).unwrap();
        assert_eq!(names(&got.receipt.ids), ["19007"]);
        assert_eq!(ids::normalise(b"4A3F", settings.ids.answer), got.receipt.ids.first().cloned());
        assert_eq!(got.receipt.state, ReceiptState::Delivered);
        assert_eq!(&*got.receipt.code, "DELIVRD err:000");
        assert_eq!((&*got.receipt.to, got.leniency), ("447700900123", None));
    }

    #[test]
    fn tlvs_are_believed_first_and_alone() {
        let settings = settings("message_id = { answer = \"hex\", receipt = \"dec\" }");
        let mut octets = BytesMut::new();
        put_tlv(&mut octets, tag::RECEIPTED_MESSAGE_ID, b"4a3f\0");
        put_tlv(&mut octets, tag::MESSAGE_STATE, &[3]);
        put_tlv(&mut octets, tag::NETWORK_ERROR_CODE, &[3, 0, 27]);
        let bare = Sm { esm_class: RECEIPT, tlvs: Tlvs::new(&octets), ..Sm::default() };
        let got = read(&settings, &bare).unwrap().receipt;
        assert_eq!(names(&got.ids), ["19007", "4a3f"]);
        assert_eq!((got.state, &*got.code), (ReceiptState::Expired, "message_state:3 network_error_code:3/27"));
        let both = read(&settings, &Sm { short_message: TEXT, ..bare }).unwrap().receipt;
        assert_eq!((both.state, names(&both.ids)), (ReceiptState::Expired, vec!["19007".into(), "4a3f".into()]));
    }

    #[test]
    fn a_receipt_is_known_without_its_bits() {
        let settings = settings("");
        let got = read(&settings, &Sm { short_message: TEXT, ..Sm::default() }).unwrap();
        assert_eq!(got.leniency, Some("a receipt without its esm_class"));
        let mut octets = BytesMut::new();
        put_tlv(&mut octets, tag::RECEIPTED_MESSAGE_ID, b"77");
        assert!(read(&settings, &Sm { tlvs: Tlvs::new(&octets), ..Sm::default() }).is_some());
        assert!(read(&settings, &Sm { short_message: b"my id: 7", ..Sm::default() }).is_none());
    }

    #[test]
    fn a_notification_is_never_the_end() {
        let text = b"id:7 stat:UNDELIV err:001";
        let got = read(&settings(""), &Sm { esm_class: NOTIFICATION, short_message: text, ..Sm::default() }).unwrap();
        assert_eq!(got.receipt.state, ReceiptState::Intermediate);
    }

    #[test]
    fn unswapped_addresses_are_seen_by_our_own() {
        let settings = settings("source = { addr = \"+10690001\" }");
        let sm = Sm {
            esm_class: RECEIPT,
            source_addr: b"10690001",
            destination_addr: b"447700900123",
            short_message: TEXT,
            ..Sm::default()
        };
        assert_eq!(&*read(&settings, &sm).unwrap().receipt.to, "447700900123");
    }

    #[test]
    fn message_text_never_gets_into_the_code() {
        let text = b"id:7 stat:VERYLONGWORDTHATGOESONANDON err:\x01x\xFF text:Your code is 4711";
        let got = read(&settings(""), &Sm { esm_class: RECEIPT, short_message: text, ..Sm::default() }).unwrap();
        assert_eq!(&*got.receipt.code, "VERYLONGWORDTHAT err:x");
        assert_eq!((got.receipt.state, got.leniency), (ReceiptState::Unknown, Some("a receipt without a known state")));
    }
}
