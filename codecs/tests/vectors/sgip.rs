//! What SGIP's vectors mean.

use bytes::BytesMut;
use codecs::layout::{Fixed, Items, Repeated};
use codecs::sgip::{
    Bind, Body, Deliver, Pdu, Report, Resp, Sequence, Submit, UserRpt, command, login_type, nack, report_flag, result,
    state,
};
use codecs::text::Alphabet;

use crate::far::{Wire, written};
use crate::{encoded, long, part};

/// The node of SP 12345 in Beijing.
const SP: u32 = 3_010_012_345;

fn sequence(node: u32, time: u32, counter: u32) -> Sequence {
    Sequence { node, time, counter }
}

/// The PDU a vector is.
pub(crate) fn meaning(name: &str) -> Pdu<'static> {
    let bind = |login_type| {
        Body::Bind(Bind { login_type, login_name: b"fakename", login_password: b"1234", ..Bind::default() })
    };
    let (sequence, body) = match name {
        "S-BIND-1" => (sequence(SP, 1_122_034_716, 1), bind(login_type::SP_TO_SMG)),
        "S-BIND-2" => (sequence(0, 1_122_034_716, 1), bind(login_type::SMG_TO_SP)),
        "S-BIND_RESP-1" => (sequence(SP, 1_122_034_716, 1), Body::BindResp(Resp::new(result::OK))),
        "S-BIND_RESP-2" => (sequence(0xb507_f190, 0x42e0_f954, 0x9e), Body::BindResp(Resp::new(result::OK))),
        "S-BIND_RESP-3" => (sequence(SP, 0x42e0_fae1, 0x39de_4f7b), Body::BindResp(Resp::new(result::LOGIN_TYPE))),
        "S-SUBMIT_RESP-1" => (sequence(SP, 1_122_034_716, 2), Body::SubmitResp(Resp::new(result::OK))),
        "S-REPORT_RESP-1" => (sequence(0, 1_122_034_716, 2), Body::ReportResp(Resp::new(result::OK))),
        "S-UNBIND-1" => (sequence(SP, 1_122_034_716, 3), Body::Unbind),
        "S-UNBIND_RESP-1" => (sequence(SP, 0x42e0_fad3, 3), Body::UnbindResp),
        "S-UNBIND_RESP-2" => (sequence(SP, 1_122_034_716, 3), Body::UnbindResp),
        "S-DELIVER-1" => (sequence(0, 1_122_034_716, 3), deliver(15, encoded(Alphabet::Gbk, "回复T"))),
        "S-DELIVER-2" => (sequence(SP, 0x42e0_fcd6, 0x553f_1add), deliver(8, encoded(Alphabet::Ucs2, "回复TD"))),
        "S-REPORT-1" => (
            sequence(0, 1_122_034_716, 2),
            report(sequence(SP, 1_122_033_730, 2), state::FAILED, result::CANNOT_COMMUNICATE),
        ),
        "S-REPORT-2" => (
            sequence(0x0001_8a89, 0x42e0_e560, 0x2427_2086),
            report(sequence(SP, 0x42e0_e560, 0x7696_f2e4), state::DELIVERED, result::OK),
        ),
        _ => submit(name),
    };
    Pdu { sequence, body }
}

fn deliver(message_coding: u8, message_content: &'static [u8]) -> Body<'static> {
    let numbers = Deliver { user_number: b"8613800138000", sp_number: b"10690001", ..Deliver::default() };
    Body::Deliver(Deliver { message_coding, message_content, ..numbers })
}

fn report(submit_sequence: Sequence, state: u8, error_code: u8) -> Body<'static> {
    Body::Report(Report { submit_sequence, user_number: b"8613800138000", state, error_code, ..Report::default() })
}

fn submit(name: &str) -> (Sequence, Body<'static>) {
    let base = Submit {
        sp_number: b"10690001",
        user_number: Items::one(b"8613800138000"),
        corp_id: b"12345",
        service_type: b"SVC",
        fee_type: 2,
        priority: 9,
        report_flag: report_flag::ALWAYS,
        message_coding: 8,
        ..Submit::default()
    };
    let (sequence, submit) = match name {
        "S-SUBMIT-1" => (
            sequence(SP, 1_122_034_716, 2),
            Submit {
                charge_number: &[b'0'; 21],
                fee_type: 1,
                fee_value: b"0",
                given_value: b"0",
                morelate_to_mt_flag: 2,
                priority: 0,
                message_coding: 15,
                message_content: encoded(Alphabet::Gbk, "【测试】hello"),
                ..base
            },
        ),
        "S-SUBMIT-2" => (
            sequence(SP, 0x42e0_fcd2, 0x061a_ff59),
            Submit { message_content: encoded(Alphabet::Ucs2, "【测试】您的验证码是123456"), ..base },
        ),
        "S-SUBMIT-3a" => (
            sequence(SP, 0x42e0_e560, 0x7696_f2e2),
            Submit { tp_udhi: 1, message_content: part(&[5, 0, 3, 0x0d, 2, 1], Alphabet::Ucs2, long(67).0), ..base },
        ),
        "S-SUBMIT-3b" => (
            sequence(SP, 0x42e0_e560, 0x7696_f2e4),
            Submit { tp_udhi: 1, message_content: part(&[5, 0, 3, 0x0d, 2, 2], Alphabet::Ucs2, long(67).1), ..base },
        ),
        "S-SUBMIT-4" => (
            sequence(0xb507_f190, 0x42e0_f95a, 0xbd),
            Submit {
                sp_number: b"95566",
                user_number: Items::one(b"18600186000"),
                corp_id: b"96688",
                service_type: b"myService",
                fee_type: 0,
                morelate_to_mt_flag: 2,
                expire_time: b"261122060154032+",
                message_content: encoded(Alphabet::Ucs2, "【测试】hello, 你好"),
                ..base
            },
        ),
        _ => panic!("{name}"),
    };
    (sequence, Body::Submit(submit))
}

#[test]
fn a_field_that_cannot_be_read_is_answered_with_its_result() {
    let content = [&[0; 45][..], &200_u32.to_be_bytes(), b"x"].concat();
    for (command, body, reason, answer) in [
        (command::BIND, &b"\x01name"[..], "login_name", Body::BindResp(Resp::new(result::FORMAT))),
        (command::SUBMIT, &[1; 44], "user_number", Body::SubmitResp(Resp::new(result::FORMAT))),
        (command::DELIVER, &content, "message_content", Body::DeliverResp(Resp::new(result::LENGTH))),
        (command::REPORT, b"12345678901", "submit_sequence", Body::ReportResp(Resp::new(result::FORMAT))),
        (command::USER_RPT, b"", "sp_number", Body::UserRptResp(Resp::new(result::FORMAT))),
    ] {
        let octets = Wire::Sgip.framed(command, body);
        let skip = Pdu::read(&octets, ()).unwrap_err();
        assert_eq!((skip.command, skip.reason, skip.is_request()), (command, reason, true));
        assert_eq!(nack(&skip), Some(Pdu { sequence: Sequence::from([7; 12]), body: answer }));
        assert!(skip.to_string().contains("0117901063-0117901063-117901063"), "{skip}");
    }
}

/// The message's id is its Submit's sequence number, in the same octets.
#[test]
fn a_report_names_the_submit_by_its_sequence_number() {
    let Body::Report(report) = meaning("S-REPORT-2").body else { panic!() };
    assert_eq!(report.submit_sequence, meaning("S-SUBMIT-3b").sequence);
}

#[test]
fn lengths_are_those_of_the_book() {
    let octets = |body| written(&Pdu { sequence: Sequence::default(), body }, ()).len();
    let mut room = BytesMut::new();
    let numbers = Repeated::<Fixed<21>>::gather([&b"8613800138000"[..], b"8613900139000"], (), &mut room);
    let submit = Submit { user_number: numbers, message_content: b"abc", ..Submit::default() };
    assert_eq!(octets(Body::Submit(submit)), 143 + 2 * 21 + 3);
    assert_eq!(octets(Body::Deliver(Deliver { message_content: b"abc", ..Deliver::default() })), 77 + 3);
    assert_eq!(octets(Body::Bind(Bind::default())), 61);
    assert_eq!(octets(Body::Report(Report::default())), 64);
    assert_eq!(octets(Body::UserRpt(UserRpt::default())), 71);
    for answer in [Body::BindResp, Body::SubmitResp, Body::DeliverResp, Body::ReportResp, Body::UserRptResp] {
        assert_eq!(octets(answer(Resp::new(0))), 29);
    }
    assert_eq!((octets(Body::Unbind), octets(Body::UnbindResp)), (20, 20));
}
