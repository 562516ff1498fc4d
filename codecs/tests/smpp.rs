//! SMPP from outside: octets written by hand from the specification, every truncation, lies, what peers really send.
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::BytesMut;
use codecs::framing::{Broken, Skip, cut};
use codecs::smpp::{self, Bind, BindResp, Body, Pdu, Sm, SmResp, Tlvs, command, status, tag};
use proptest::prelude::*;

/// Octets from hexadecimal digits; blanks are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter_map(|digit| (digit as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn written(pdu: &Pdu<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    pdu.write(&mut out);
    assert_eq!(out.len(), pdu.octets());
    out.to_vec()
}

/// A PDU of any body, its length right.
fn framed(command: u32, status: u32, body: &[u8]) -> Vec<u8> {
    let length = 16 + body.len() as u32;
    let mut octets = [length, command, status, 9].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    octets.extend(body);
    octets
}

const BIND: Bind<'_> = Bind {
    system_id: b"qiao",
    password: b"secret",
    system_type: b"",
    interface_version: 0x34,
    addr_ton: 0,
    addr_npi: 0,
    address_range: b"",
};

fn submit() -> Sm<'static> {
    Sm {
        source_addr_ton: 5,
        source_addr: b"Qiao",
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        destination_addr: b"8613800138000",
        esm_class: 3,
        validity_period: b"000000000500000R",
        registered_delivery: 1,
        short_message: b"Your code is 4711",
        ..Sm::default()
    }
}

/// Every kind of PDU, beside its octets as the specification has them.
fn goldens() -> Vec<(Pdu<'static>, Vec<u8>)> {
    const VERSION: &[u8] = &[0x02, 0x10, 0, 1, 0x34];
    const RECEIPT: &[u8] = &[0x00, 0x1e, 0, 3, b'1', b'f', 0, 0x04, 0x27, 0, 1, 2, 0x14, 0x54, 0, 0];
    let bind = "7169616f00 73656372657400 00 34 00 00 00";
    let accepted = BindResp { system_id: b"mc", tlvs: Tlvs::new(VERSION) };
    let accepted_octets = "6d6300 0210 0001 34";
    let deliver = Sm {
        source_addr_ton: 1,
        source_addr_npi: 1,
        source_addr: b"86138",
        destination_addr: b"106",
        esm_class: 4,
        short_message: b"id:1f",
        tlvs: Tlvs::new(RECEIPT),
        ..Sm::default()
    };
    let pdu = |sequence, body| Pdu { status: 0, sequence, body };
    vec![
        (pdu(1, Body::BindReceiver(BIND)), hex(&format!("00000021 00000001 00000000 00000001 {bind}"))),
        (pdu(1, Body::BindTransmitter(BIND)), hex(&format!("00000021 00000002 00000000 00000001 {bind}"))),
        (pdu(1, Body::BindTransceiver(BIND)), hex(&format!("00000021 00000009 00000000 00000001 {bind}"))),
        (
            pdu(1, Body::BindReceiverResp(accepted)),
            hex(&format!("00000018 80000001 00000000 00000001 {accepted_octets}")),
        ),
        (
            pdu(1, Body::BindTransmitterResp(accepted)),
            hex(&format!("00000018 80000002 00000000 00000001 {accepted_octets}")),
        ),
        (
            pdu(1, Body::BindTransceiverResp(accepted)),
            hex(&format!("00000018 80000009 00000000 00000001 {accepted_octets}")),
        ),
        (
            pdu(0x7fff_ffff, Body::SubmitSm(submit())),
            hex("00000053 00000004 00000000 7fffffff
                 00 05 00 5169616f00 01 01 3836313338303031333830303000 03 00 00 00
                 30303030303030303035303030303052 00 01 00 00 00 11
                 596f757220636f64652069732034373131"),
        ),
        (
            pdu(2, Body::SubmitSmResp(SmResp { message_id: b"1f", tlvs: Tlvs::default() })),
            hex("00000013 80000004 00000000 00000002 316600"),
        ),
        (
            pdu(3, Body::DeliverSm(deliver)),
            hex("0000003e 00000005 00000000 00000003
                 00 01 01 383631333800 00 00 31303600 04 00 00 00 00 00 00 00 00 05 69643a3166
                 001e 0003 316600 0427 0001 02 1454 0000"),
        ),
        (pdu(3, Body::DeliverSmResp(SmResp::default())), hex("00000011 80000005 00000000 00000003 00")),
        (pdu(4, Body::EnquireLink), hex("00000010 00000015 00000000 00000004")),
        (pdu(4, Body::EnquireLinkResp), hex("00000010 80000015 00000000 00000004")),
        (pdu(5, Body::Unbind), hex("00000010 00000006 00000000 00000005")),
        (pdu(5, Body::UnbindResp), hex("00000010 80000006 00000000 00000005")),
        (
            Pdu { status: status::RINVCMDID, sequence: 6, body: Body::GenericNack },
            hex("00000010 80000000 00000003 00000006"),
        ),
        (
            Pdu { status: status::RTHROTTLED, sequence: 7, body: Body::SubmitSmResp(SmResp::default()) },
            hex("00000010 80000004 00000058 00000007"),
        ),
        (
            pdu(8, Body::Unknown { command: command::QUERY_SM, body: b"1f\0\0\0\0" }),
            hex("00000016 00000003 00000000 00000008 316600 00 00 00"),
        ),
    ]
}

#[test]
fn goldens_are_written_and_read() {
    for (pdu, octets) in goldens() {
        assert_eq!(written(&pdu), octets, "{pdu:?}");
        assert_eq!(cut(&octets, &smpp::LIMITS), Ok(Some(octets.len())));
        assert_eq!(Pdu::read(&octets), Ok(pdu));
        assert_eq!(pdu.unfit(), None);
    }
}

#[test]
fn a_stream_cut_anywhere_or_glued_gives_the_same_pdus() {
    let stream: Vec<u8> = goldens().into_iter().flat_map(|(_, octets)| octets).collect();
    for step in 1..100 {
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(length) = cut(&buffer, &smpp::LIMITS).unwrap() {
                found.push(buffer.drain(..length).collect::<Vec<u8>>());
            }
        }
        assert!(buffer.is_empty());
        assert_eq!(found, goldens().into_iter().map(|(_, octets)| octets).collect::<Vec<_>>());
    }
}

/// The body ends anywhere, the header says so: requests are skipped with what is needed to answer, answers are read.
#[test]
fn every_truncation_is_answered_or_understood() {
    for (pdu, octets) in goldens() {
        for end in 16..octets.len() {
            let mut short = octets[..end].to_vec();
            short[..4].copy_from_slice(&(end as u32).to_be_bytes());
            match Pdu::read(&short) {
                Ok(read) => assert_eq!((read.sequence, read.status), (pdu.sequence, pdu.status)),
                Err(skip) => {
                    assert!(skip.is_request(), "{skip}");
                    assert_eq!((skip.command, skip.sequence), (pdu.body.command(), pdu.sequence));
                    assert!([status::RINVCMDLEN, status::RINVMSGLEN].contains(&skip.status), "{skip:?}");
                }
            }
        }
        for end in 0..octets.len() {
            assert_eq!(cut(&octets[..end], &smpp::LIMITS), Ok(None));
            assert_eq!(Pdu::read(&octets[..end]).unwrap_err().reason, "command_length");
        }
    }
}

#[test]
fn a_header_alone_or_the_greatest_payload_is_framed_and_nothing_else() {
    let claim = |length: u32| cut(&length.to_be_bytes(), &smpp::LIMITS);
    assert_eq!(claim(15), Err(Broken { length: 15 }));
    assert_eq!(claim(16), Ok(None));
    assert_eq!(claim(70 * 1024), Ok(None));
    assert_eq!(claim(70 * 1024 + 1), Err(Broken { length: 70 * 1024 + 1 }));
    let mut payload = BytesMut::new();
    smpp::put_tlv(&mut payload, tag::MESSAGE_PAYLOAD, &[b'x'; 65_535]);
    let octets =
        written(&Pdu { status: 0, sequence: 1, body: Body::SubmitSm(Sm { tlvs: Tlvs::new(&payload), ..submit() }) });
    assert_eq!(cut(&octets, &smpp::LIMITS), Ok(Some(octets.len())));
    assert!(Pdu::read(&octets).is_ok());
}

#[test]
fn a_field_that_cannot_be_read_is_named_with_its_status() {
    let long = [b'1'; 64];
    let after = |front: &[u8]| [front, &long].concat();
    let table: [(u32, Vec<u8>, u32, &str); 9] = [
        (command::BIND_TRANSCEIVER, after(b""), status::RINVSYSID, "system_id"),
        (command::BIND_TRANSCEIVER, after(b"me\0"), status::RINVPASWD, "password"),
        (command::BIND_RECEIVER, after(b"me\0\0"), status::RINVSYSTYP, "system_type"),
        (command::SUBMIT_SM, after(b""), status::RINVSERTYP, "service_type"),
        (command::SUBMIT_SM, after(b"\0\0\0"), status::RINVSRCADR, "source_addr"),
        (command::DELIVER_SM, after(b"\0\0\0\0\0\0"), status::RINVDSTADR, "destination_addr"),
        (command::SUBMIT_SM, after(&[0; 10]), status::RINVSCHED, "schedule_delivery_time"),
        (command::SUBMIT_SM, after(&[0; 11]), status::RINVEXPIRY, "validity_period"),
        (command::SUBMIT_SM, [&[0; 16][..], &[200], &long].concat(), status::RINVMSGLEN, "short_message"),
    ];
    for (command, body, status, reason) in table {
        assert_eq!(Pdu::read(&framed(command, 0, &body)), Err(Skip { command, sequence: 9, status, reason }));
    }
}

#[test]
fn answers_are_read_whatever_their_body() {
    let status_text: &[u8] = &[0, 0x1d, 0, 2, b'n', b'o'];
    let congestion: &[u8] = &[0x04, 0x28, 0, 1, 99];
    // Status, body; the id and TLVs found.
    type Row = (u32, &'static [u8], &'static [u8], &'static [u8]);
    let table: [Row; 11] = [
        (0, b"", b"", b""),
        (0, b"1f\0", b"1f", b""),
        // No NUL.
        (0, b"1f", b"1f", b""),
        // Octets after, whole TLVs and not.
        (0, b"1f\0\x04\x28\0\x01\x63", b"1f", congestion),
        (0, b"1f\0\0\0", b"1f", b"\0\0"),
        // Without error there is an id before TLVs, however odd.
        (0, congestion, b"\x04\x28", b"\x01\x63"),
        // Errors: with a body, without, with TLVs where the id should be.
        (8, b"1f\0", b"1f", b""),
        (8, b"\0", b"", b""),
        (8, b"\0\x04\x28\0\x01\x63", b"", congestion),
        (8, status_text, b"", status_text),
        (8, congestion, b"", congestion),
    ];
    for (status, body, id, tlvs) in table {
        let tlvs = Tlvs::new(tlvs);
        for (command, expected) in [
            (command::SUBMIT_SM_RESP, Body::SubmitSmResp(SmResp { message_id: id, tlvs })),
            (command::DELIVER_SM_RESP, Body::DeliverSmResp(SmResp { message_id: id, tlvs })),
            (command::BIND_TRANSCEIVER_RESP, Body::BindTransceiverResp(BindResp { system_id: id, tlvs })),
        ] {
            let octets = framed(command, status, body);
            assert_eq!(Pdu::read(&octets), Ok(Pdu { status, sequence: 9, body: expected }), "{}", body.escape_ascii());
        }
    }
}

#[test]
fn an_id_longer_than_its_field_is_kept() {
    let body = [&[b'f'; 100][..], b"\0"].concat();
    let octets = framed(command::SUBMIT_SM_RESP, 0, &body);
    let Ok(Pdu { body: Body::SubmitSmResp(answer), .. }) = Pdu::read(&octets) else { panic!() };
    assert_eq!(answer.message_id, &body[..100]);
}

#[test]
fn stray_octets_after_a_pdu_are_passed_over() {
    let octets = framed(command::ENQUIRE_LINK, 0, b"??");
    assert_eq!(Pdu::read(&octets).unwrap().body, Body::EnquireLink);
    let (_, deliver) = goldens().swap_remove(8);
    let octets = framed(command::DELIVER_SM, 0, &[&deliver[16..], &[0, 0, 0]].concat());
    let Ok(Pdu { body: Body::DeliverSm(sm), .. }) = Pdu::read(&octets) else { panic!() };
    assert_eq!(sm.tlvs.get_u8(tag::MESSAGE_STATE), Some(2));
    assert_eq!(sm.tlvs.get(0x1454), Some(&b""[..]));
    assert_eq!(sm.tlvs.stray(), 3);
}

#[test]
fn values_too_long_are_told_and_never_break_the_framing() {
    let sm = Sm { destination_addr: &[b'1'; 40], short_message: &[b'x'; 300], ..Sm::default() };
    let pdu = Pdu { status: 0, sequence: 1, body: Body::SubmitSm(sm) };
    assert_eq!(pdu.unfit(), Some("destination_addr"));
    let octets = written(&pdu);
    let read = Pdu::read(&octets).unwrap();
    assert_eq!(read.unfit(), None);
    assert_eq!(written(&read), octets);
}

#[test]
fn logs_show_neither_passwords_nor_numbers_nor_text() {
    for (pdu, octets) in goldens() {
        let shown = format!("{pdu:?} {:?}", Pdu::read(&octets));
        for private in ["secret", "8613800138000", "86138", "4711", "id:1f"] {
            assert!(!shown.contains(private), "{shown}");
        }
    }
}

const COMMANDS: [u32; 18] = [
    command::BIND_RECEIVER,
    command::BIND_TRANSMITTER,
    command::BIND_TRANSCEIVER,
    command::BIND_RECEIVER_RESP,
    command::BIND_TRANSMITTER_RESP,
    command::BIND_TRANSCEIVER_RESP,
    command::SUBMIT_SM,
    command::SUBMIT_SM_RESP,
    command::DELIVER_SM,
    command::DELIVER_SM_RESP,
    command::ENQUIRE_LINK,
    command::ENQUIRE_LINK_RESP,
    command::UNBIND,
    command::UNBIND_RESP,
    command::GENERIC_NACK,
    command::DATA_SM,
    command::OUTBIND,
    0xdead_beef,
];

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    // Mostly small values: they make lengths and NULs that lead deeper.
    proptest::collection::vec(prop_oneof![3 => 0..5_u8, 2 => any::<u8>()], 0..most)
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets in octets(200)) {
        let _ = cut(&octets, &smpp::LIMITS);
        let _ = Pdu::read(&octets);
    }

    /// What was read is written again as octets that read the same, whatever came in.
    #[test]
    fn any_body_read_survives_writing(body in octets(200), which in 0..COMMANDS.len(), status in 0..3_u32) {
        let octets = framed(COMMANDS[which], status, &body);
        match Pdu::read(&octets) {
            Ok(pdu) => {
                prop_assert_eq!(pdu.body.command(), COMMANDS[which]);
                let again = written(&pdu);
                if pdu.unfit().is_none() {
                    prop_assert_eq!(Pdu::read(&again), Ok(pdu));
                }
            }
            Err(skip) => prop_assert!(skip.is_request()),
        }
    }

    /// A damaged PDU is read or skipped, and what is read lies inside it.
    #[test]
    fn damage_is_survived(which in 0..17_usize, at in 0..90_usize, value in any::<u8>()) {
        let (_, mut octets) = goldens().swap_remove(which);
        let at = at % octets.len();
        octets[at] = value;
        if let Ok(Pdu { body: Body::SubmitSm(sm) | Body::DeliverSm(sm), .. }) = Pdu::read(&octets) {
            let inside = octets.as_ptr_range();
            for field in [sm.source_addr, sm.short_message, sm.tlvs.as_octets(), sm.user_data()] {
                let field = field.as_ptr_range();
                prop_assert!(field.start == field.end || inside.start <= field.start && field.end <= inside.end);
            }
        }
    }
}
