//! Our octets read by two SMPP stacks that are not ours, and theirs by us. rusmpp reads a PDU into its own types and
//! writes it again: the same octets mean that both see the same fields. smpp-pdu is asked for its fields.
#![allow(clippy::unwrap_used, missing_docs)]

mod centre;

use bytes::BytesMut;
use centre::{Centre, Link, octets};
use codecs::smpp::{Bind, BindResp, Body, Pdu, Sm, SmResp, Tlvs, command, put_tlv, status, tag};
use conformance::wait::seconds;
use conformance::{Carrier, Plan};
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::{Encode, Length};
use rusmpp::pdus::{BindTransceiver, DeliverSmResp, SubmitSm, SubmitSmResp};
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, RegisteredDelivery, Ton};
use rusmpp::{Command, CommandStatus};
use serde_json::json;
use smpp_pdu::pdu::{Pdu as Theirs, PduBody, SubmitSmPdu, SubmitSmRespPdu};

/// What rusmpp makes of one PDU.
fn rusmpp_reads(pdu: &[u8]) -> Command {
    let mut body = BytesMut::from(&pdu[4..]);
    let (command, size) = Command::decode(&mut body, pdu.len() - 4).unwrap_or_else(|e| panic!("{e:?} in {pdu:02x?}"));
    assert_eq!(size, pdu.len() - 4, "{command:?}");
    command
}

fn rusmpp_writes(command: &Command) -> Vec<u8> {
    let mut out = vec![0; 4 + command.length()];
    let length = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&length.to_be_bytes());
    command.encode(&mut out[4..]);
    out
}

#[track_caller]
fn rusmpp_agrees(pdu: &[u8]) -> Command {
    let command = rusmpp_reads(pdu);
    assert_eq!(rusmpp_writes(&command), pdu, "{command:?}");
    command
}

/// Its future never waits: it writes into memory.
fn smpp_pdu_writes(pdu: &Theirs) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(pdu.write(&mut out)).unwrap();
    out
}

fn tlvs(list: &[(u16, &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    list.iter().for_each(|(tag, value)| put_tlv(&mut out, *tag, value));
    out
}

fn plain<'a>() -> Sm<'a> {
    Sm {
        source_addr_ton: 5,
        source_addr: b"Yunqiao",
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        destination_addr: b"8613800138000",
        validity_period: b"000000000500000R",
        registered_delivery: 1,
        short_message: b"Your code is 428301",
        ..Sm::default()
    }
}

#[test]
fn rusmpp_reads_and_rewrites_what_we_write() {
    let bind = Bind {
        system_id: b"qiao",
        password: b"secret08",
        system_type: b"VMA",
        interface_version: 0x34,
        ..Bind::default()
    };
    let version = tlvs(&[(tag::SC_INTERFACE_VERSION, &[0x34])]);
    let bound = BindResp { system_id: b"centre", tlvs: Tlvs::new(&version) };
    let payload = tlvs(&[(tag::USER_MESSAGE_REFERENCE, &[1, 2]), (tag::MESSAGE_PAYLOAD, &[b'x'; 300])]);
    let sar = [(tag::SAR_MSG_REF_NUM, &[1, 2][..]), (tag::SAR_TOTAL_SEGMENTS, &[3]), (tag::SAR_SEGMENT_SEQNUM, &[1])];
    let (sar, receipt) = (tlvs(&sar), tlvs(&[(tag::RECEIPTED_MESSAGE_ID, b"2f\0"), (tag::MESSAGE_STATE, &[2])]));
    let long = Sm { short_message: b"", tlvs: Tlvs::new(&payload), ..plain() };
    let part = Sm { esm_class: 0x40, data_coding: 8, short_message: b"\x05\x00\x03\x07\x02\x01\x68\x65", ..plain() };
    let told = Sm { esm_class: 4, validity_period: b"", registered_delivery: 0, tlvs: Tlvs::new(&receipt), ..plain() };
    let id = SmResp { message_id: b"0123456789abcdef", ..SmResp::default() };
    let requests = [
        Body::BindReceiver(bind),
        Body::BindTransmitter(bind),
        Body::BindTransceiver(bind),
        Body::SubmitSm(plain()),
        Body::SubmitSm(long),
        Body::SubmitSm(part),
        Body::SubmitSm(Sm { tlvs: Tlvs::new(&sar), ..plain() }),
        Body::SubmitSm(Sm { short_message: &[b'a'; 254], ..plain() }),
        Body::DeliverSm(told),
        Body::BindReceiverResp(bound),
        Body::BindTransmitterResp(bound),
        Body::BindTransceiverResp(bound),
        Body::SubmitSmResp(id),
        Body::DeliverSmResp(SmResp::default()),
        Body::EnquireLink,
        Body::EnquireLinkResp,
        Body::Unbind,
        Body::UnbindResp,
        Body::GenericNack,
    ];
    for body in requests {
        for sequence in [1, 0x7FFF_FFFF] {
            let pdu = octets(sequence, 0, body);
            let read = rusmpp_agrees(&pdu);
            assert_eq!((u32::from(read.id()), read.sequence_number), (body.command(), sequence), "{body:?}");
        }
    }
    for (name, code) in [("throttled", status::RTHROTTLED), ("refused", status::RINVDSTADR), ("a carrier's", 0x0450)] {
        let nack = rusmpp_agrees(&octets(9, code, Body::GenericNack));
        assert_eq!(u32::from(nack.status), code, "{name}");
    }
}

#[test]
fn rusmpp_sees_the_fields_we_meant() {
    let read = rusmpp_agrees(&octets(7, 0, Body::SubmitSm(plain())));
    let Some(rusmpp::Pdu::SubmitSm(sm)) = read.pdu() else { panic!("{read:?}") };
    assert_eq!(sm.destination_addr.as_str(), "8613800138000");
    assert_eq!(sm.source_addr.as_str(), "Yunqiao");
    assert_eq!(
        (sm.source_addr_ton, sm.dest_addr_ton, sm.dest_addr_npi),
        (Ton::Alphanumeric, Ton::International, Npi::Isdn)
    );
    assert_eq!(sm.short_message().as_ref(), b"Your code is 428301");
    assert_eq!(u8::from(sm.registered_delivery), 1);
}

#[test]
fn we_read_and_rewrite_what_rusmpp_writes() {
    let submit = SubmitSm::builder()
        .source_addr_ton(Ton::Alphanumeric)
        .source_addr(COctetString::from_slice(b"Shop\0").unwrap())
        .dest_addr_ton(Ton::International)
        .dest_addr_npi(Npi::Isdn)
        .destination_addr(COctetString::from_slice(b"447700900000\0").unwrap())
        .esm_class(EsmClass::from(0x40))
        .registered_delivery(RegisteredDelivery::from(1))
        .data_coding(DataCoding::Ucs2)
        .short_message(OctetString::from_slice(b"\x05\x00\x03\x07\x02\x01\x68\x65").unwrap())
        .build();
    let bind = BindTransceiver::builder()
        .system_id(COctetString::from_slice(b"esme\0").unwrap())
        .password(COctetString::from_slice(b"secret\0").unwrap())
        .build();
    let answer = SubmitSmResp::builder().message_id(COctetString::from_slice(b"abc\0").unwrap()).build();
    let pdus: [rusmpp::Pdu; 7] = [
        submit.into(),
        bind.into(),
        answer.into(),
        DeliverSmResp::default().into(),
        rusmpp::Pdu::EnquireLink,
        rusmpp::Pdu::UnbindResp,
        rusmpp::Pdu::GenericNack,
    ];
    for pdu in pdus {
        let theirs = rusmpp_writes(&Command::new(CommandStatus::EsmeRok, 42, pdu));
        let read = Pdu::read(&theirs).unwrap();
        assert_eq!((read.sequence, read.status), (42, 0));
        assert_eq!(octets(42, 0, read.body), theirs, "{:?}", read.body);
        if let Body::SubmitSm(sm) = read.body {
            assert_eq!((sm.destination_addr, sm.data_coding, sm.esm_class), (&b"447700900000"[..], 8, 0x40));
        }
    }
}

#[test]
fn smpp_pdu_sees_the_fields_we_meant() {
    let pdu = octets(7, 0, Body::SubmitSm(plain()));
    let theirs = Theirs::parse(&mut pdu.as_slice()).unwrap();
    let PduBody::SubmitSm(sm) = theirs.body() else { panic!("{theirs:?}") };
    assert_eq!((sm.destination_addr(), sm.source_addr()), ("8613800138000".into(), "Yunqiao".into()));
    assert_eq!((sm.0.short_message.value.as_slice(), sm.0.registered_delivery.value), (plain().short_message, 1));
    assert_eq!(sm.0.validity_period.value.as_str(), "000000000500000R");
    assert_eq!((theirs.sequence_number.value, smpp_pdu_writes(&theirs)), (7, pdu));
    let bind = octets(
        1,
        0,
        Body::BindTransceiver(Bind {
            system_id: b"qiao",
            password: b"secret08",
            interface_version: 0x34,
            ..Bind::default()
        }),
    );
    let theirs = Theirs::parse(&mut bind.as_slice()).unwrap();
    let PduBody::BindTransceiver(bind) = theirs.body() else { panic!("{theirs:?}") };
    let data = bind.bind_data();
    assert_eq!((data.system_id.value.as_str(), data.password.value.as_str()), ("qiao", "secret08"));
    assert_eq!(data.interface_version.value, 0x34);
    for (body, sequence) in [(Body::EnquireLink, 2), (Body::EnquireLinkResp, 3)] {
        let pdu = octets(sequence, 0, body);
        assert_eq!(smpp_pdu_writes(&Theirs::parse(&mut pdu.as_slice()).unwrap()), pdu);
    }
}

#[test]
fn we_see_the_fields_smpp_pdu_meant() {
    let submit = SubmitSmPdu::new(
        "",
        5,
        0,
        "Shop",
        1,
        1,
        "447700900000",
        0,
        0,
        0,
        "",
        "",
        1,
        0,
        3,
        0,
        b"Gr\xfc\xdfe",
        smpp_pdu::pdu::tlvs::Tlvs::new(),
    );
    let theirs = smpp_pdu_writes(&Theirs::new(0, 5, submit.unwrap().into()).unwrap());
    let read = Pdu::read(&theirs).unwrap();
    let Body::SubmitSm(sm) = read.body else { panic!("{:?}", read.body) };
    assert_eq!((sm.destination_addr, sm.source_addr, sm.data_coding), (&b"447700900000"[..], &b"Shop"[..], 3));
    assert_eq!((sm.short_message, octets(5, 0, read.body)), (&b"Gr\xfc\xdfe"[..], theirs.clone()));
    let answer = SubmitSmRespPdu::new("abc").unwrap();
    let theirs = smpp_pdu_writes(&Theirs::new(0, 6, answer.into()).unwrap());
    let read = Pdu::read(&theirs).unwrap();
    assert_eq!(read.body, Body::SubmitSmResp(SmResp { message_id: b"abc", ..SmResp::default() }));
}

/// Takes submits until `count` came, answering each: their octets.
fn take(link: &mut Link, count: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let octets = link.read();
        let pdu = Pdu::read(&octets).unwrap();
        match pdu.body {
            Body::SubmitSm(_) => {
                let id = format!("id-{}", pdu.sequence);
                let answer = SmResp { message_id: id.as_bytes(), ..SmResp::default() };
                link.send(pdu.sequence, 0, Body::SubmitSmResp(answer));
                taken.push(octets);
            }
            Body::EnquireLink => link.send(pdu.sequence, 0, Body::EnquireLinkResp),
            other => panic!("{other:?}"),
        }
    }
    taken
}

#[test]
fn what_the_gateway_sends_is_read_alike_by_all() {
    let centre = Centre::open();
    let account = "enquire_link = '60s'\nversion = '3.4'\nsource = { ton = 1, npi = 1, addr = '10690001' }";
    let carrier = Carrier::named("x").at(centre.address()).account(account).contract("rate = 100\nreceipts = false");
    let mut stage = Plan::of([carrier]).start_unbound();
    let mut link = centre.dialled();
    let bind = link.read();
    rusmpp_agrees(&bind);
    assert!(matches!(Theirs::parse(&mut bind.as_slice()).unwrap().body(), PduBody::BindTransceiver(_)));
    let version = tlvs(&[(tag::SC_INTERFACE_VERSION, &[0x34])]);
    let bound = BindResp { system_id: b"centre", tlvs: Tlvs::new(&version) };
    link.send(Pdu::read(&bind).unwrap().sequence, 0, Body::BindTransceiverResp(bound));
    let text = "Your code is 428301 {€}";
    let short = stage.post(&json!({ "to": "+447700900000", "text": text, "tier": "otp" }));
    let long = stage.post(&json!({ "to": "+447700900001", "text": "桥".repeat(150), "tier": "notice" }));
    let submits = take(&mut link, 4);
    for pdu in &submits {
        let command = rusmpp_agrees(pdu);
        let Some(rusmpp::Pdu::SubmitSm(sm)) = command.pdu() else { panic!("{command:?}") };
        assert!(sm.destination_addr.as_str().starts_with("44770090000"), "{sm:?}");
        let theirs = Theirs::parse(&mut pdu.as_slice()).unwrap();
        let PduBody::SubmitSm(sm) = theirs.body() else { panic!("{theirs:?}") };
        assert_eq!((sm.source_addr_ton(), sm.source_addr().as_str()), (1, "10690001"));
        assert!(sm.0.short_message.value.len() <= 140, "{sm:?}");
    }
    for id in [&short, &long] {
        let event = stage.told(id);
        assert_eq!((&event["type"], &event["data"]["evidence"]), (&"message.delivered".into(), &"answer".into()));
    }
    stage.gateway.process().terminate();
    let unbind = link.read();
    assert_eq!(u32::from(rusmpp_agrees(&unbind).id()), command::UNBIND);
    link.send(Pdu::read(&unbind).unwrap().sequence, 0, Body::UnbindResp);
    assert_eq!(stage.gateway.process().end(seconds(10)).code(), Some(0));
}
