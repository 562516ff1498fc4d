//! Where fuzzing begins: what other programs sent (`codecs/tests/vectors`), SMPP's PDUs as the codecs write them, and
//! whatever a fuzzer found before. The files below `conformance/fuzz/corpus` are written from here, and may be more.

use std::path::PathBuf;

use bytes::BytesMut;
use codecs::smpp::{self, Bind, BindResp, Body, Pdu, Sm, SmResp, Tlvs, status};

use super::session::{CASES, hex};
use crate::proofs::root;

const VECTORS: &str = include_str!("../../../codecs/tests/vectors/cmpp-sgip-smgp.tsv");

/// The folder of a target's corpus.
pub fn folder(target: &str) -> PathBuf {
    root().join("conformance/fuzz/corpus").join(target)
}

/// Every input that lies there, in the order of their names.
pub fn files(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder(target)).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What has to lie there, by name.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "pdu_smpp" => smpp_pdus(),
        "session" => sessions(),
        "report" => reports(),
        "text" => texts(),
        protocol => captured(protocol.trim_start_matches("pdu_")),
    }
}

/// Name and octets of the PDUs whose protocol begins so.
fn captured(protocol: &str) -> Vec<(String, Vec<u8>)> {
    let rows = VECTORS.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row[1].starts_with(protocol)).map(|row| (row[0].to_owned(), hex(row[3]))).collect()
}

const RECEIPT: &[u8] =
    b"id:1f sub:001 dlvrd:001 submit date:2611220347 done date:2611220348 stat:DELIVRD err:000 text:hi";

fn smpp_pdus() -> Vec<(String, Vec<u8>)> {
    let bind = Bind { system_id: b"qiao", password: b"secret", interface_version: 0x34, ..Bind::default() };
    let sm = Sm {
        source_addr_ton: 1,
        source_addr: b"447700900123",
        destination_addr: b"10690001",
        validity_period: b"000000000500000R",
        registered_delivery: 1,
        short_message: b"Your code is 4711",
        ..Sm::default()
    };
    let receipt =
        Sm { esm_class: 4, short_message: RECEIPT, tlvs: Tlvs::new(b"\0\x1e\0\x031f\0\x04\x27\0\x01\x02"), ..sm };
    let long = Sm { esm_class: 0x40, data_coding: 8, short_message: b"\x05\0\x03\x07\x02\x01\x4f\x60", ..sm };
    let accepted = BindResp { system_id: b"mc", tlvs: Tlvs::new(b"\x02\x10\0\x01\x34") };
    let taken = SmResp { message_id: b"1f", tlvs: Tlvs::default() };
    let pdus = [
        ("bind_transceiver", 0, Body::BindTransceiver(bind)),
        ("bind_transceiver_resp", 0, Body::BindTransceiverResp(accepted)),
        ("submit_sm", 0, Body::SubmitSm(sm)),
        ("submit_sm_long", 0, Body::SubmitSm(long)),
        ("submit_sm_resp", 0, Body::SubmitSmResp(taken)),
        ("submit_sm_resp_throttled", status::RTHROTTLED, Body::SubmitSmResp(SmResp::default())),
        ("deliver_sm_receipt", 0, Body::DeliverSm(receipt)),
        ("deliver_sm_mo", 0, Body::DeliverSm(long)),
        ("deliver_sm_resp", 0, Body::DeliverSmResp(SmResp::default())),
        ("enquire_link", 0, Body::EnquireLink),
        ("enquire_link_resp", 0, Body::EnquireLinkResp),
        ("unbind", 0, Body::Unbind),
        ("unbind_resp", 0, Body::UnbindResp),
        ("generic_nack", status::RINVCMDID, Body::GenericNack),
        ("query_sm", 0, Body::Unknown { command: smpp::command::QUERY_SM, body: b"1f\0\0\0\0" }),
    ];
    let written = |(name, status, body)| {
        let mut out = BytesMut::new();
        Pdu { status, sequence: 2, body }.write(&mut out);
        (String::from(name), out.to_vec())
    };
    pdus.into_iter().map(written).collect()
}

/// Each PDU as a session hears it: bound, with a submit open, then the PDU, a settlement, a sign of life, the end.
fn sessions() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (case, of) in [(0, "smpp"), (1, "cmpp3"), (2, "cmpp2"), (3, "sgip"), (4, "sgip"), (5, "smgp")] {
        let pdus = if of == "smpp" { smpp_pdus() } else { captured(of) };
        for (name, pdu) in pdus {
            let length = (pdu.len() as u16).to_be_bytes();
            let steps = [&[case, 1, 3, 0][..], &length, &pdu, &[5, 0, 6, 4, 130, 7, 0, 4, 130]].concat();
            seeds.push((format!("{case}-{name}"), steps));
        }
        let mut login = vec![case, 0, 0];
        let octets = hex(CASES[usize::from(case)].login);
        login.extend((octets.len() as u16).to_be_bytes());
        login.extend(octets);
        seeds.push((format!("{case}-login"), login));
    }
    seeds
}

fn reports() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![("smpp".to_owned(), RECEIPT.to_vec())];
    for (name, pdu) in captured("").into_iter().filter(|(name, _)| name.contains("-RPT-")) {
        // The content is all from the first of its marks on: SMGP's label, or the id before CMPP's state.
        let label = pdu.windows(3).rposition(|window| window == b"id:");
        let block = pdu.windows(7).position(|window| window == b"DELIVRD").map(|at| at.saturating_sub(8));
        let from = label.or(block).unwrap_or(0);
        seeds.push((name, pdu[from..].to_vec()));
    }
    seeds.extend([
        ("stat".to_owned(), b"MK:0001".to_vec()),
        ("hex_id".to_owned(), { b"id:57106211220352300002 sub:001 dlvrd:001 stat:UNDELIV err:660".to_vec() }),
    ]);
    seeds
}

fn texts() -> Vec<(String, Vec<u8>)> {
    let texts: [(&str, &[u8]); 8] = [
        ("ascii", b"\0Your code is 4711"),
        ("gsm_escapes", b"\0\x1b\x65\x1b\x3c\0@[]"),
        ("gbk", b"\x0f\xa1\xbe\xb2\xe2\xca\xd4\xa1\xbfhello"),
        ("ucs2", b"\x08\x30\x10\x4e\x91\xd8\x3d\xde\x00"),
        ("udh8", b"\x08\x05\0\x03\x07\x02\x01\x4f\x60"),
        ("udh16", b"\x08\x06\x08\x04\x12\x34\x02\x01\x4f\x60"),
        ("time", b"020261122034716"),
        ("relative", b"0000000000500000R"),
    ];
    texts.into_iter().map(|(name, octets)| (name.to_owned(), octets.to_vec())).collect()
}
