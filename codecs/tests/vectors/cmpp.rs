//! What CMPP's vectors mean, and what their digests and ids prove.

use bytes::BytesMut;
use codecs::cmpp::{
    ActiveTestResp, Body, CancelResp, Connect, ConnectResp, Deliver, DeliverResp, Fwd, FwdResp, Number, Origin, Pdu,
    Report, Submit, SubmitResp, Version, command, nack, status,
};
use codecs::layout::{Items, Layout, Repeated};
use codecs::text::{Alphabet, udh};

use crate::far::{Wire, written};
use crate::{encoded, kept, long, part};

const SECRET: &[u8] = b"888888";
const CONNECT: &str = "C2-CONNECT-1";

/// The PDU a vector is.
pub(crate) fn meaning(name: &str) -> Pdu<'static> {
    let (sequence, body) = match name {
        CONNECT => (0x17, Body::Connect(connect())),
        "C2-CONNECT_RESP-1" => (0x17, {
            let resp = ConnectResp::accepted(&connect(), SECRET, Version::V20);
            Body::ConnectResp(ConnectResp { version: 0x21, ..resp })
        }),
        "C3-CONNECT_RESP-1" => (0x17, Body::ConnectResp(ConnectResp::accepted(&connect(), SECRET, Version::V30))),
        "C2-CONNECT_RESP-2" => (0x10c5_6430, {
            let authenticator_ismg = 0xa1a4_9ee5_96fb_8ff9_be0f_5e69_e85a_a933_u128.to_be_bytes();
            Body::ConnectResp(ConnectResp { status: 0, authenticator_ismg, version: 0x20 })
        }),
        "C3-CONNECT-1" => (0, Body::Connect(Connect::new(b"900001", SECRET, Version::V30, 1_122_034_716))),
        "C2-ACTIVE_TEST" => (0x17, Body::ActiveTest),
        "C2-ACTIVE_TEST_RESP" => (0x17, Body::ActiveTestResp(ActiveTestResp { reserved: 0 })),
        "C2-TERMINATE" => (0x17, Body::Terminate),
        "C2-TERMINATE_RESP" => (0x17, Body::TerminateResp),
        "C2-SUBMIT_RESP-1" | "C3-SUBMIT_RESP-1" => {
            (0x17, Body::SubmitResp(SubmitResp { msg_id: id(0xb2b9_da80_0001_0000), result: 0 }))
        }
        "C2-DELIVER_RESP-1" => (5, Body::DeliverResp(DeliverResp { msg_id: id(0xb525_6280_0001_0000), result: 0 })),
        "C3-DELIVER_RESP-1" => (1, Body::DeliverResp(DeliverResp { msg_id: id(0xb4c5_5300_0001_0000), result: 0 })),
        "C3-FWD_RESP-1" => (0x17, {
            let msg_id = id(0xb2b9_da80_0001_0000);
            Body::FwdResp(FwdResp { msg_id, pk_total: 1, pk_number: 1, result: 1 })
        }),
        "C2-FWD-1" => (0x17, Body::Fwd(fwd())),
        _ if name.contains("DELIVER") => deliver(name),
        _ => submit(name),
    };
    Pdu { sequence, body }
}

fn id(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn connect() -> Connect<'static> {
    Connect { version: 0x21, ..Connect::new(b"900001", SECRET, Version::V20, 1_021_080_510) }
}

fn submit(name: &str) -> (u32, Body<'static>) {
    let base = Submit {
        pk_total: 1,
        pk_number: 1,
        registered_delivery: 1,
        service_id: b"SVC",
        msg_fmt: 8,
        msg_src: b"900001",
        fee_type: b"01",
        fee_code: b"000000",
        src_id: b"10690001",
        dest_terminal_id: Items::one(b"13800138000"),
        ..Submit::default()
    };
    // PyPI's pycmpp fills 64 characters into a part, SMSGate 67.
    let pycmpp = Submit { fee_user_type: 2, tp_pid: 1, tp_udhi: 1, service_id: b"", src_id: b"", ..base };
    let smsgate = Submit { msg_level: 9, fee_user_type: 2, ..base };
    let joined = Submit { msg_id: id(0xbb0f_28c0_d7ae_fabe), pk_total: 2, tp_udhi: 1, ..smsgate };
    let (sequence, submit) = match name {
        "C2-SUBMIT-1" | "C3-SUBMIT-1" => (
            0x17,
            Submit {
                msg_level: 1,
                service_id: b"test",
                fee_user_type: 2,
                fee_terminal_id: b"13500002696",
                fee_type: b"02",
                fee_code: b"10",
                valid_time: b"151105131555101+",
                src_id: b"900001",
                dest_terminal_id: Items::one(b"13500002696"),
                msg_content: encoded(Alphabet::Ucs2, "测试gocmpp submit"),
                ..base
            },
        ),
        "C2-SUBMIT-2" => (
            0x10c5_6431,
            Submit {
                msg_id: id(0xbb0f_2781_e74b_8966),
                msg_content: encoded(Alphabet::Ucs2, "【测试】您的验证码是123456"),
                ..smsgate
            },
        ),
        "C2-SUBMIT-3" => (
            2,
            Submit {
                msg_fmt: 15,
                fee_type: b"02",
                fee_code: b"",
                msg_content: encoded(Alphabet::Gbk, "【测试】hello"),
                ..base
            },
        ),
        "C2-SUBMIT-4" => (
            2,
            Submit {
                msg_level: 1,
                fee_terminal_id: b"13800138000",
                msg_fmt: 0,
                fee_type: b"02",
                valid_time: b"0",
                at_time: b"0",
                msg_content: b"hello from libcmpp",
                link_id: b"0",
                ..base
            },
        ),
        "C2-SUBMIT-5a" => {
            (5, Submit { pk_total: 2, msg_content: part(&[5, 0, 3, 0xb9, 2, 1], Alphabet::Ucs2, long(64).0), ..pycmpp })
        }
        "C2-SUBMIT-5b" => (
            6,
            Submit {
                pk_total: 2,
                pk_number: 2,
                msg_content: part(&[5, 0, 3, 0xb9, 2, 2], Alphabet::Ucs2, long(64).1),
                ..pycmpp
            },
        ),
        "C3-SUBMIT-2a" => {
            (0x0017_6e79, Submit { msg_content: part(&[5, 0, 3, 0x1a, 2, 1], Alphabet::Ucs2, long(67).0), ..joined })
        }
        "C3-SUBMIT-2b" => (
            0x0017_6e7b,
            Submit { pk_number: 2, msg_content: part(&[5, 0, 3, 0x1a, 2, 2], Alphabet::Ucs2, long(67).1), ..joined },
        ),
        "C3-SUBMIT-3" => (
            2,
            Submit {
                msg_level: 1,
                fee_user_type: 2,
                fee_terminal_type: 1,
                msg_fmt: 15,
                fee_type: b"03",
                fee_code: b"100",
                src_id: b"1069000188",
                msg_content: encoded(Alphabet::Gbk, "【测试】hello"),
                ..base
            },
        ),
        "C3-SUBMIT-4" => (
            0xf000_0002,
            Submit {
                service_id: b"myService",
                msg_src: b"95566",
                fee_type: b"05",
                fee_code: b"free",
                valid_time: b"261122060142032+",
                src_id: b"95566",
                msg_content: encoded(Alphabet::Ucs2, "【测试】hello, 你好"),
                ..smsgate
            },
        ),
        _ => panic!("{name}"),
    };
    (sequence, Body::Submit(submit))
}

fn deliver(name: &str) -> (u32, Body<'static>) {
    let base = Deliver { dest_id: b"10690001", src_terminal_id: b"13800138000", ..Deliver::default() };
    let mo =
        Deliver { dest_id: b"900001", src_terminal_id: b"13412340000", msg_content: b"This is a test MO.", ..base };
    let report = |msg_id, content| Deliver { msg_id: id(msg_id), registered_delivery: 1, msg_content: content, ..base };
    let (sequence, deliver) = match name {
        "C2-DELIVER-MO-1" => (5, Deliver { msg_id: id(0xb525_6280_0001_0000), ..mo }),
        "C3-DELIVER-MO-1" => (1, Deliver { msg_id: id(0xb4c5_5300_0001_0000), ..mo }),
        "C2-DELIVER-MO-2" => (
            1,
            Deliver {
                msg_id: id(0xbb0e_f400_271a_0004),
                service_id: b"SVC",
                msg_fmt: 8,
                msg_content: encoded(Alphabet::Ucs2, "回复TD退订"),
                ..base
            },
        ),
        "C2-DELIVER-RPT-1" => {
            (0x6865_117e, report(0xbb0f_27cb_7890_e348, block(0xbb0f_27cb_7890_e347, b"2611220350", 9, Version::V20)))
        }
        "C2-DELIVER-RPT-2" | "C3-DELIVER-RPT-2" => {
            (0, report(0xbb0e_f400_271a_0003, block(0xbb0e_f400_271a_0001, b"2611220347", 7, Version::V20)))
        }
        "C3-DELIVER-RPT-1" => {
            (0x0c86_3ade, report(0xbb0f_28c6_3aea_6dd6, block(0xbb0f_28c6_3aea_6dd5, b"2611220350", 9, Version::V30)))
        }
        "C3-DELIVER-RPT-3" => (
            0xf000_0001,
            Deliver {
                dest_id: b"95566",
                service_id: b"myService",
                ..report(0x0ca9_2ed2_b387_f001, block(0x0ca9_2ed2_b387_f000, b"2611220401", 0xf000_0002, Version::V20))
            },
        ),
        _ => panic!("{name}"),
    };
    if deliver.registered_delivery == 1 {
        assert_eq!(deliver.report().map(|report| report.dest_terminal_id), Some(&b"13800138000"[..]));
    }
    (sequence, Body::Deliver(deliver))
}

/// A report's block, as wide as the version has it, which reads as what it was made of.
fn block(of: u64, time: &'static [u8], smsc_sequence: u32, wide: Version) -> &'static [u8] {
    let report = Report {
        msg_id: id(of),
        stat: b"DELIVRD",
        submit_time: time,
        done_time: time,
        dest_terminal_id: b"13800138000",
        smsc_sequence,
    };
    let mut block = BytesMut::new();
    report.write(wide, &mut block);
    assert_eq!(Report::find(&block), Some(report));
    kept(block.to_vec())
}

fn fwd() -> Fwd<'static> {
    Fwd {
        source_id: b"100201",
        destination_id: b"111112",
        pk_total: 1,
        pk_number: 1,
        msg_level: 1,
        service_id: b"test",
        fee_user_type: 2,
        fee_terminal_id: b"13500002696",
        msg_fmt: 8,
        msg_src: b"321321",
        fee_type: b"02",
        fee_code: b"10",
        valid_time: b"151115131555101+",
        src_id: b"99998888",
        dest_id: Items::one(b"13500002696"),
        msg_content: encoded(Alphabet::Ucs2, "测试gocmpp fwd"),
        ..Fwd::default()
    }
}

fn connect_resp(name: &str) -> ConnectResp {
    let Body::ConnectResp(resp) = meaning(name).body else { panic!() };
    resp
}

#[test]
fn digests_of_other_programs_are_authentic() {
    assert!(connect().is_authentic(SECRET));
    assert!(connect_resp("C2-CONNECT_RESP-1").is_authentic(&connect(), SECRET));
    assert!(connect_resp("C3-CONNECT_RESP-1").is_authentic(&connect(), SECRET));
    assert!(!connect_resp("C2-CONNECT_RESP-2").is_authentic(&connect(), SECRET));
}

#[test]
fn ids_of_other_programs_tell_their_origin() {
    let origin = Origin::of(id(0xb2b9_da80_0001_0000)).unwrap();
    assert_eq!((origin.month, origin.day, origin.hour, origin.minute, origin.second), (11, 5, 14, 29, 42));
    assert_eq!((origin.gateway, origin.sequence), (1, 0));
    assert_eq!(Origin::of(id(0x0ca9_2ed2_b387_f000)), None);
}

#[test]
fn long_messages_of_other_programs_say_which_part_they_are() {
    for (name, number) in [("C2-SUBMIT-5a", 1), ("C2-SUBMIT-5b", 2), ("C3-SUBMIT-2a", 1), ("C3-SUBMIT-2b", 2)] {
        let Body::Submit(submit) = meaning(name).body else { panic!() };
        assert!(udh::is_indicated(submit.tp_udhi));
        let concat = udh::read(submit.msg_content).unwrap().concat.unwrap();
        assert_eq!((concat.total, concat.sequence), (submit.pk_total, number));
    }
}

#[test]
fn lengths_are_those_of_the_book() {
    let mut room = BytesMut::new();
    for (version, submit, wide, deliver, fwd_octets) in
        [(Version::V20, 138, 21, 85, 152 + 21), (Version::V30, 163, 32, 109, 285)]
    {
        room.clear();
        let numbers = Repeated::<Number>::gather([&b"13800138000"[..], b"13900139000"], version, &mut room);
        let body = Body::Submit(Submit { dest_terminal_id: numbers, msg_content: b"abc", ..Submit::default() });
        assert_eq!(written(&Pdu { sequence: 1, body }, version).len(), submit + 2 * wide + 3);
        let body = Body::Deliver(Deliver { msg_content: b"abc", ..Deliver::default() });
        assert_eq!(written(&Pdu { sequence: 1, body }, version).len(), deliver + 3);
        let content = fwd().msg_content.len();
        assert_eq!(written(&Pdu { sequence: 1, body: Body::Fwd(fwd()) }, version).len(), fwd_octets + content);
    }
}

#[test]
fn answers_in_the_other_versions_width_are_read() {
    for (version, other) in [(Version::V20, Version::V30), (Version::V30, Version::V20)] {
        for body in [
            Body::ConnectResp(ConnectResp::refused(3, version)),
            Body::SubmitResp(SubmitResp { msg_id: [7; 8], result: 8 }),
            Body::DeliverResp(DeliverResp { msg_id: [7; 8], result: 8 }),
        ] {
            let pdu = Pdu { sequence: 7, body };
            assert_eq!(Pdu::read(&written(&pdu, other), version), Ok(pdu));
        }
    }
    assert_eq!(Version::of_connect_resp(30), Some(Version::V20));
    assert_eq!(Version::of_connect_resp(33), Some(Version::V30));
    assert_eq!(Version::of_connect_resp(31), None);
}

/// Some leave the answer's only octet out, some send all of CONNECT_RESP's but what follows the status.
#[test]
fn answers_cut_after_what_matters_are_read() {
    let octets = [0, 0, 0, 12, 0x80, 0, 0, 8, 0, 0, 0, 7];
    let body = Body::ActiveTestResp(ActiveTestResp::default());
    assert_eq!(Pdu::read(&octets, Version::V30), Ok(Pdu { sequence: 7, body }));
    let octets = [0, 0, 0, 16, 0x80, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 3];
    let body = Body::ConnectResp(ConnectResp { status: 3, ..ConnectResp::default() });
    assert_eq!(Pdu::read(&octets, Version::V30), Ok(Pdu { sequence: 7, body }));
}

#[test]
fn a_field_that_cannot_be_read_is_answered_with_its_result() {
    let msg_id = [9; 8];
    let content = [&msg_id[..], &[0; 56], &[200, b'x']].concat();
    for (command, body, reason, answer) in [
        (command::CONNECT, &b"900001"[..], "authenticator_source", {
            Body::ConnectResp(ConnectResp::refused(status::connect::STRUCTURE, Version::V20))
        }),
        (command::SUBMIT, b"123456789", "pk_number", {
            Body::SubmitResp(SubmitResp { msg_id: [0; 8], result: status::result::STRUCTURE })
        }),
        (command::DELIVER, &content, "msg_content", {
            Body::DeliverResp(DeliverResp { msg_id, result: status::result::LENGTH })
        }),
        (command::DELIVER, b"123", "msg_id", {
            Body::DeliverResp(DeliverResp { msg_id: [0; 8], result: status::result::STRUCTURE })
        }),
        (command::CANCEL, b"123", "msg_id", Body::CancelResp(CancelResp { success_id: 1 })),
    ] {
        let octets = Wire::Cmpp(Version::V20).framed(command, body);
        let skip = Pdu::read(&octets, Version::V20).unwrap_err();
        assert_eq!((skip.command, skip.reason, skip.is_request()), (command, reason, true));
        assert_eq!(nack(&skip, &octets, Version::V20), Some(Pdu { sequence: 0x0707_0707, body: answer }));
    }
    let octets = Wire::Cmpp(Version::V20).framed(command::QUERY, b"");
    let skip = Pdu::read(&octets, Version::V20).unwrap_err();
    assert_eq!(nack(&skip, &octets, Version::V20), None);
}

/// What 2.0 has no field for is told before it is lost.
#[test]
fn values_without_a_place_in_the_version_are_told() {
    let pseudonym = Submit { dest_terminal_type: 1, dest_terminal_id: Items::one(&[b'x'; 32]), ..Submit::default() };
    let pdu = Pdu { sequence: 1, body: Body::Submit(pseudonym) };
    assert_eq!(pdu.unfit(Version::V30), None);
    assert_eq!(pdu.unfit(Version::V20), Some("dest_terminal_id"));
    let octets = written(&pdu, Version::V20);
    assert_eq!(Pdu::read(&octets, Version::V20).unwrap().unfit(Version::V20), None);
}
