//! `submit_sm`, `deliver_sm` and their answers (SMPP 3.4 §4.4, §4.6): one layout for both directions.

use super::pdu::Answer;
use super::tag;
use crate::layout::{CString, Hidden, Prefixed, layout};
use crate::tlv::Tlvs;

layout! {
    /// A short message, or a receipt.
    pub struct Sm<'a> {
        /// Often empty: the MC's default.
        service_type: &'a [u8] as CString<6>,
        /// 0 unknown, 1 international, 2 national, 3 network, 4 subscriber, 5 alphanumeric, 6 abbreviated.
        source_addr_ton: u8,
        /// 0 unknown, 1 E.164, 8 national, 9 private.
        source_addr_npi: u8,
        /// The sender; 11 characters at most where alphanumeric.
        source_addr: &'a [u8] as Hidden<CString<21>>,
        /// As `source_addr_ton`.
        dest_addr_ton: u8,
        /// As `source_addr_npi`.
        dest_addr_npi: u8,
        /// The recipient.
        destination_addr: &'a [u8] as Hidden<CString<21>>,
        /// Mode, type (0x04 a receipt, 0x20 an intermediate notification), 0x40 user data header, 0x80 reply path.
        esm_class: u8,
        /// GSM 03.40 protocol identifier.
        protocol_id: u8,
        /// 0 lowest.
        priority_flag: u8,
        /// Empty for now; see [`super::time`]. Empty in `deliver_sm`.
        schedule_delivery_time: &'a [u8] as CString<17>,
        /// Empty for the MC's default; see [`super::time`]. Empty in `deliver_sm`.
        validity_period: &'a [u8] as CString<17>,
        /// 1 a receipt for success and failure, 2 for failure only; 0x10 intermediate notifications too.
        registered_delivery: u8,
        /// 0 except to replace an earlier message.
        replace_if_present_flag: u8,
        /// 0 the MC's default alphabet, 1 ASCII, 3 Latin-1, 4 octets, 8 UCS-2.
        data_coding: u8,
        /// 0 except to send one of the MC's canned messages.
        sm_default_msg_id: u8,
        /// At most 254 octets (255 in 5.0); empty where the text is in `message_payload`.
        short_message: &'a [u8] as Hidden<Prefixed<u8>>,
        /// The rest.
        tlvs: Tlvs<'a>,
    }
}

impl<'a> Sm<'a> {
    /// The user data, from wherever it came: `short_message`, or the `message_payload` TLV where that is empty.
    pub fn user_data(&self) -> &'a [u8] {
        match self.short_message {
            [] => self.tlvs.get(tag::MESSAGE_PAYLOAD).unwrap_or_default(),
            short => short,
        }
    }
}

layout! {
    /// The answer to either.
    pub struct SmResp<'a> {
        /// The MC's id for the message, opaque; empty in `deliver_sm_resp`.
        message_id: &'a [u8] as CString<65>,
        /// The rest.
        tlvs: Tlvs<'a>,
    }
}

impl<'a> Answer<'a> for SmResp<'a> {
    fn new(id: &'a [u8], tlvs: Tlvs<'a>) -> Self {
        SmResp { message_id: id, tlvs }
    }
    fn is_empty(&self) -> bool {
        self.message_id.is_empty() && self.tlvs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use crate::smpp::{Body, Pdu, answer_deliver};
    use crate::tlv::put;
    use bytes::BytesMut;
    use proptest::prelude::*;

    #[test]
    fn user_data_is_found_in_either_place() {
        let mut payload = BytesMut::new();
        put(&mut payload, tag::MESSAGE_PAYLOAD, b"long");
        let tlvs = Tlvs::new(&payload);
        assert_eq!(Sm { short_message: b"short", tlvs, ..Sm::default() }.user_data(), b"short");
        assert_eq!(Sm { tlvs, ..Sm::default() }.user_data(), b"long");
        assert_eq!(Sm::default().user_data(), b"");
    }

    #[test]
    fn the_answer_to_a_deliver_sm_is_an_empty_one() {
        for status in [0, 0x64, u32::MAX] {
            let (mut whole, mut short) = (BytesMut::from("x"), BytesMut::from("x"));
            Pdu { status, sequence: 0x0102_0304, body: Body::DeliverSmResp(SmResp::default()) }.write(&mut whole);
            answer_deliver(status, 0x0102_0304, &mut short);
            assert_eq!(short, whole);
        }
    }

    proptest! {
        /// Whether a value fits shows in how much is written.
        #[test]
        fn what_is_written_whole_is_what_fits(
            texts in proptest::collection::vec(proptest::collection::vec(prop_oneof![9 => 1u8..255, 1 => Just(0)], 0..24), 4),
            data in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let (a, b, c, d) = (&texts[0], &texts[1], &texts[2], &texts[3]);
            let sm = Sm { service_type: a, source_addr: b, destination_addr: c, validity_period: d, short_message: &data, ..Sm::default() };
            for (body, status) in [(Body::SubmitSm(sm), 0), (Body::DeliverSmResp(SmResp { message_id: b, ..SmResp::default() }), 8)] {
                let pdu = Pdu { status, sequence: 7, body };
                let (mut whole, mut cut) = (BytesMut::from("x"), BytesMut::from("x"));
                let written = pdu.write_whole(&mut whole);
                prop_assert_eq!(written.err(), pdu.unfit());
                pdu.write(&mut cut);
                prop_assert_eq!(&whole[..], if written.is_ok() { &cut[..] } else { b"x" });
            }
        }

        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..600)) {
            round_trip::<Sm<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<SmResp<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
