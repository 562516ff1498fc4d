//! What SMGP's vectors mean, and what their digests and ids prove.

use bytes::BytesMut;
use codecs::layout::{Fixed, Items, Repeated};
use codecs::smgp::report::{self, ReceiptText, Spelling};
use codecs::smgp::{
    Body, Deliver, DeliverResp, Login, LoginResp, Origin, Pdu, Query, QueryResp, Submit, SubmitResp, Tlvs, command,
    login_mode, nack, put_tlv, status, tag,
};
use codecs::text::Alphabet;

use crate::far::Wire;
use crate::{encoded, hex, kept, long, part};

const SECRET: &[u8] = b"12345678";

/// The PDU a vector is.
pub(crate) fn meaning(name: &str) -> Pdu<'static> {
    let accepted = |login| Body::LoginResp(LoginResp::accepted(&self::login(login), SECRET));
    let (sequence, body) = match name {
        "T-LOGIN-1" => (0, Body::Login(login(name))),
        "T-LOGIN-2" => (0x1562_0402, Body::Login(login(name))),
        "T-LOGIN_RESP-1" => (0, accepted("T-LOGIN-1")),
        "T-LOGIN_RESP-2" => (0x1562_0402, accepted("T-LOGIN-2")),
        "T-LOGIN_RESP-3" => (0x719d_4876, {
            let authenticator_server = 0xf3c8_bdb6_b9df_478f_227a_f2ce_61c8_a5a1_u128.to_be_bytes();
            Body::LoginResp(LoginResp { status: 0, authenticator_server, server_version: 0x30 })
        }),
        "T-SUBMIT_RESP-1" => (0x899f, Body::SubmitResp(SubmitResp { msg_id: id("57106211220352300002"), status: 0 })),
        "T-DELIVER_RESP-1" => {
            (0x5335_2de8, Body::DeliverResp(DeliverResp { msg_id: id("41170211220350445715"), status: 0 }))
        }
        "T-ACTIVE_TEST" => (0x449e_9442, Body::ActiveTest),
        "T-ACTIVE_TEST_RESP" => (0x449e_9442, Body::ActiveTestResp),
        "T-EXIT" => (3, Body::Exit),
        "T-EXIT_RESP" => (3, Body::ExitResp),
        _ if name.starts_with("T-DELIVER") => deliver(name),
        _ => submit(name),
    };
    Pdu { sequence, body }
}

fn id(digits: &str) -> [u8; 10] {
    hex(digits).try_into().unwrap()
}

fn login(name: &str) -> Login<'static> {
    let timestamp = if name == "T-LOGIN-1" { 0x42e0_e61e } else { 0x42e0_e565 };
    Login::new(b"10000001", SECRET, login_mode::BOTH, timestamp)
}

fn tlvs(list: &[(u16, &[u8])]) -> Tlvs<'static> {
    let mut octets = BytesMut::new();
    list.iter().for_each(|(tag, value)| put_tlv(&mut octets, *tag, value));
    Tlvs::new(kept(octets.to_vec()))
}

fn submit(name: &str) -> (u32, Body<'static>) {
    let base = Submit {
        msg_type: 6,
        fee_type: b"00",
        msg_format: 8,
        src_term_id: b"10690001",
        dest_term_id: Items::one(b"13800138000"),
        ..Submit::default()
    };
    let smsgate =
        Submit { need_report: 1, priority: 2, service_id: b"SVC", fee_code: b"000000", fixed_fee: b"000000", ..base };
    let of_part = |number: u8| {
        tlvs(&[
            (tag::TP_PID, &[0]),
            (tag::TP_UDHI, &[1]),
            (tag::MSG_SRC, b"123456\0"),
            (tag::CHARGE_USER_TYPE, &[0]),
            (tag::CHARGE_TERM_TYPE, &[0]),
            (tag::DEST_TERM_TYPE, &[0]),
            (tag::PK_TOTAL, &[2]),
            (tag::PK_NUMBER, &[number]),
            (tag::SUBMIT_MSG_TYPE, &[0]),
            (tag::SP_DEAL_RESULT, &[0]),
        ])
    };
    let (sequence, submit) = match name {
        "T-SUBMIT-1" => (
            0x899f,
            Submit {
                fee_code: b"000",
                fixed_fee: b"000",
                msg_content: encoded(Alphabet::Ucs2, "测试hello"),
                tlvs: tlvs(&[(tag::MSG_SRC, b"123456")]),
                ..base
            },
        ),
        "T-SUBMIT-2" => (
            2,
            Submit {
                need_report: 1,
                priority: 1,
                fee_code: b"0",
                fixed_fee: b"0",
                msg_format: 15,
                msg_content: encoded(Alphabet::Gbk, "【测试】hello"),
                tlvs: tlvs(&[
                    (tag::TP_UDHI, &[0]),
                    (tag::MSG_SRC, b"123456\0\0"),
                    (tag::PK_TOTAL, &[0]),
                    (tag::PK_NUMBER, &[0]),
                    (tag::M_SERVICE_ID, &[0; 21]),
                ]),
                ..base
            },
        ),
        "T-SUBMIT-3a" => (
            0x1562_0404,
            Submit {
                msg_content: part(&[5, 0, 3, 0x8e, 2, 1], Alphabet::Ucs2, long(67).0),
                tlvs: of_part(1),
                ..smsgate
            },
        ),
        "T-SUBMIT-3b" => (
            0x1562_0408,
            Submit {
                msg_content: part(&[5, 0, 3, 0x8e, 2, 2], Alphabet::Ucs2, long(67).1),
                tlvs: of_part(2),
                ..smsgate
            },
        ),
        "T-SUBMIT-4" => (
            0xf000_0003,
            Submit {
                need_report: 15,
                priority: 15,
                service_id: b"myService",
                fee_type: b"05",
                fee_code: b"free",
                msg_format: 15,
                valid_time: b"261122040148032+",
                src_term_id: b"95566",
                dest_term_id: Items::one(b"13300133000"),
                msg_content: encoded(Alphabet::Gbk, "【测试】hello, 你好"),
                ..base
            },
        ),
        _ => panic!("{name}"),
    };
    (sequence, Body::Submit(submit))
}

fn deliver(name: &str) -> (u32, Body<'static>) {
    let base = Deliver { src_term_id: b"13800138000", dest_term_id: b"10690001", ..Deliver::default() };
    let gosms = Deliver { src_term_id: b"13300133000", dest_term_id: b"95566", ..base };
    let (sequence, deliver) = match name {
        "T-DELIVER-RPT-1" => (
            0x5335_2de8,
            Deliver {
                msg_id: id("41170211220350445715"),
                is_report: 1,
                recv_time: b"20261122035046",
                msg_content: text(name),
                ..base
            },
        ),
        "T-DELIVER-RPT-2" => (
            0x449e_9443,
            Deliver {
                msg_id: id("01e24011220353088f53"),
                is_report: 1,
                recv_time: b"20261122035300",
                msg_content: text(name),
                tlvs: tlvs(&[(tag::TP_UDHI, &[0]), (tag::TP_PID, &[1])]),
                ..base
            },
        ),
        // Says 115 octets where there are 122: the last seven are taken for what follows.
        "T-DELIVER-RPT-3" => (
            0xf000_0003,
            Deliver {
                msg_id: id("00422711220401000001"),
                is_report: 1,
                recv_time: b"20261122040148",
                msg_content: &text(name)[..115],
                tlvs: Tlvs::new(&[0; 7]),
                ..gosms
            },
        ),
        "T-DELIVER-MO-1" => (
            0x5335_2deb,
            Deliver {
                msg_id: id("41170211220350445718"),
                msg_format: 8,
                recv_time: b"20261122035047",
                msg_content: encoded(Alphabet::Ucs2, "回复TD"),
                tlvs: tlvs(&[
                    (tag::TP_PID, &[0]),
                    (tag::TP_UDHI, &[0]),
                    (tag::SRC_TERM_TYPE, &[0]),
                    (tag::SUBMIT_MSG_TYPE, &[0]),
                    (tag::SP_DEAL_RESULT, &[0]),
                ]),
                ..base
            },
        ),
        "T-DELIVER-MO-2" => (
            0xf000_0006,
            Deliver {
                msg_id: id("00422711220401000002"),
                msg_format: 15,
                recv_time: b"20261122040150",
                src_term_id: b"13300001111",
                dest_term_id: b"955660010",
                msg_content: b"hello world",
                ..gosms
            },
        ),
        _ => panic!("{name}"),
    };
    (sequence, Body::Deliver(deliver))
}

/// The report in a vector: the message's id, when, and its text.
fn text(name: &str) -> &'static [u8] {
    let (of, submit, done, text, spelling): (_, &[u8], &[u8], &[u8], _) = match name {
        "T-DELIVER-RPT-1" => {
            let text = b"005hello\0\0\0\0\0\0\0\0\0\0\0\0";
            ("41170211220350445714", b"2611220350", b"2611220350", text, Spelling::Spaced)
        }
        "T-DELIVER-RPT-2" => ("01e24011220353088f53", b"2611220353", b"2611220353", &[b'0'; 20], Spelling::Underscored),
        _ => ("00422711220401000000", b"2611220401", b"2611220402", &[0; 20], Spelling::Spaced),
    };
    let id = id(of);
    let report = ReceiptText {
        id: Some(&id),
        sub: Some(b"001"),
        dlvrd: Some(b"001"),
        submit_date: Some(submit),
        done_date: Some(done),
        stat: Some(b"DELIVRD"),
        err: Some(b"000"),
        text: Some(text),
    };
    let mut out = BytesMut::new();
    report::write(&report, spelling, &mut out);
    assert_eq!(out.len(), 122);
    assert_eq!(report::read(&out), report);
    kept(out.to_vec())
}

#[test]
fn digests_of_other_programs_are_authentic() {
    for name in ["T-LOGIN-1", "T-LOGIN-2"] {
        assert!(login(name).is_authentic(SECRET));
    }
    let Body::LoginResp(stray) = meaning("T-LOGIN_RESP-3").body else { panic!() };
    assert!(!stray.is_authentic(&login("T-LOGIN-1"), SECRET));
}

#[test]
fn reports_of_other_programs_name_their_message() {
    for (name, of) in [
        ("T-DELIVER-RPT-1", "41170211220350445714"),
        ("T-DELIVER-RPT-2", "01e24011220353088f53"),
        ("T-DELIVER-RPT-3", "00422711220401000000"),
    ] {
        let Body::Deliver(deliver) = meaning(name).body else { panic!() };
        let report = deliver.report().unwrap();
        assert_eq!(report::msg_id(&report), Some(id(of)), "{name}");
        assert_eq!((report.stat, report.err), (Some(&b"DELIVRD"[..]), Some(&b"000"[..])), "{name}");
    }
    let Body::Deliver(message) = meaning("T-DELIVER-MO-1").body else { panic!() };
    assert_eq!(message.report(), None);
}

#[test]
fn ids_of_other_programs_tell_their_origin() {
    let origin = Origin::of(id("57106211220352300002")).unwrap();
    assert_eq!(origin, Origin { gateway: 571_062, month: 11, day: 22, hour: 3, minute: 52, sequence: 300_002 });
    assert_eq!(Origin::of(id("01e24011220353088f53")), None);
}

#[test]
fn a_field_that_cannot_be_read_is_answered_with_its_status() {
    let msg_id = [9; 10];
    let content = [&msg_id[..], &[0; 58], &[200, b'x']].concat();
    for (command, body, reason, answer) in [
        (command::LOGIN, &b"10000001"[..], "authenticator_client", {
            Body::LoginResp(LoginResp::refused(status::STRUCTURE))
        }),
        (command::SUBMIT, b"123456789", "service_id", {
            Body::SubmitResp(SubmitResp { msg_id: [0; 10], status: status::STRUCTURE })
        }),
        (command::DELIVER, &content, "msg_content", {
            Body::DeliverResp(DeliverResp { msg_id, status: status::MSG_LENGTH })
        }),
    ] {
        let octets = Wire::Smgp.framed(command, body);
        let skip = Pdu::read(&octets, ()).unwrap_err();
        assert_eq!((skip.command, skip.reason, skip.is_request()), (command, reason, true));
        assert_eq!(nack(&skip, &octets), Some(Pdu { sequence: 0x0707_0707, body: answer }));
    }
}

#[test]
fn a_tail_that_is_no_tlv_costs_nothing() {
    let Body::Submit(submit) = meaning("T-SUBMIT-3b").body else { panic!() };
    assert_eq!(submit.tlvs.get_u8(tag::PK_NUMBER), Some(2));
    assert_eq!(submit.tlvs.get_cstring(tag::MSG_SRC), Some(&b"123456"[..]));
    let octets = [submit.tlvs.as_octets(), &[0, 2, 0xff, 0xff, 1]].concat();
    let broken = Submit { tlvs: Tlvs::new(&octets), ..submit };
    let octets = crate::far::written(&Pdu { sequence: 1, body: Body::Submit(broken) }, ());
    let Ok(Pdu { body: Body::Submit(read), .. }) = Pdu::read(&octets, ()) else { panic!() };
    assert_eq!((read, read.tlvs.stray()), (broken, 5));
    assert_eq!(read.tlvs.get_u8(tag::TP_UDHI), Some(1));
}

#[test]
fn lengths_are_those_of_the_book() {
    let octets = |body| crate::far::written(&Pdu { sequence: 1, body }, ()).len();
    let mut room = BytesMut::new();
    let numbers = Repeated::<Fixed<21>>::gather([&b"13800138000"[..], b"13900139000"], (), &mut room);
    let submit = Submit { dest_term_id: numbers, msg_content: b"abc", ..Submit::default() };
    assert_eq!(octets(Body::Submit(submit)), 126 + 2 * 21 + 3);
    assert_eq!(octets(Body::Deliver(Deliver { msg_content: b"abc", ..Deliver::default() })), 89 + 3);
    assert_eq!((octets(Body::Login(Login::default())), octets(Body::LoginResp(LoginResp::refused(1)))), (42, 33));
    assert_eq!(octets(Body::SubmitResp(SubmitResp::default())), 26);
    assert_eq!(octets(Body::DeliverResp(DeliverResp::default())), 26);
    assert_eq!((octets(Body::Query(Query::default())), octets(Body::QueryResp(QueryResp::default()))), (31, 71));
    for header in [Body::ActiveTest, Body::ActiveTestResp, Body::Exit, Body::ExitResp] {
        assert_eq!(octets(header), 12);
    }
}
