//! What SMGP's PDUs say and how they are said: captured ones, quirks of gateways, and every field of a submit.

use std::time::{Duration, SystemTime};

use codecs::layout::{Fixed, Repeated};
use codecs::smgp::SubmitResp;
use proptest::prelude::*;

use super::*;
use crate::message::{CarrierId, Coding, Mt, ReceiptState, Segment};
use crate::protocol::Profile;
use crate::session::{Refusal, Verdict};
use crate::smgp::testing::{GOOD, read, settings};

const VECTORS: &str = include_str!("../../../codecs/tests/vectors/cmpp-sgip-smgp.tsv");

/// A PDU as another program sent it.
fn captured(name: &str) -> Vec<u8> {
    let row = VECTORS.lines().find(|row| row.split('\t').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
    let hex = row.split('\t').nth(3).unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn tongue(lines: &str) -> SmgpTongue {
    SmgpTongue::new(settings(lines), Role::Both)
}

fn at(unix: u64) -> Now {
    #[allow(clippy::disallowed_methods, reason = "an origin; nothing measures it")]
    let mono = std::time::Instant::now();
    Now { mono, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(unix) }
}

/// 2026-11-22 03:52:30 in China.
const LOGIN_AT: u64 = 1_795_290_750;

/// The tongue of account 10000001, and its login.
fn login(lines: &str, role: Role, unix: u64) -> (SmgpTongue, Vec<u8>) {
    let text = format!(
        "address = \"[::1]:8890\"\nclient_id = \"10000001\"\nshared_secret = \"12345678\"\nsrc_term_id = \"1\"\n{lines}"
    );
    let mut tongue = SmgpTongue::new(Arc::new(read(&text).unwrap()), role);
    let mut out = BytesMut::new();
    Tongue::login(&mut tongue, at(unix), 0, &mut out);
    (tongue, out.to_vec())
}

fn octets(body: Body<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    Pdu { sequence: 9, body }.write((), &mut out);
    out
}

#[test]
fn logins_are_those_of_other_programs_octet_for_octet() {
    assert_eq!(login("", Role::Both, LOGIN_AT).1, captured("T-LOGIN-1"));
}

#[test]
fn each_role_logs_in_as_what_it_is() {
    for (role, mode) in [(Role::Send, 0), (Role::Receive, 1), (Role::Both, 2)] {
        let (_, sent) = login("", role, LOGIN_AT);
        let Ok(Pdu { body: Body::Login(login), .. }) = Pdu::read(&sent, ()) else { panic!("no login") };
        assert_eq!(login.login_mode, mode);
    }
}

#[test]
fn login_answers_are_believed_and_their_proof_counted() {
    for strict in [false, true] {
        let lines = format!("dialect = {{ check_server = {strict} }}");
        let (mut right, _) = login(&lines, Role::Both, LOGIN_AT);
        let heard = right.hear(&captured("T-LOGIN_RESP-1"));
        assert!(matches!(heard, Heard { said: Said::Welcome, leniency: None, .. }), "{heard:?}");
        let heard = right.hear(&captured("T-LOGIN_RESP-3"));
        match strict {
            false => assert!(matches!(heard, Heard { said: Said::Welcome, leniency: Some(_), .. }), "{heard:?}"),
            true => assert!(matches!(heard.said, Said::Unwelcome(Fault::BindRefused { permanent: true, .. }))),
        }
    }
    for (status, lasting) in [(21, true), (2, false), (3, false)] {
        let heard = tongue("").hear(&octets(Body::LoginResp(LoginResp::refused(status))));
        assert!(matches!(heard.said, Said::Unwelcome(Fault::BindRefused { permanent, .. }) if permanent == lasting));
    }
}

#[test]
fn short_accounts_are_digested_as_the_gateway_does() {
    for (dialect, digested) in [("plain", &b"100"[..]), ("padded", b"100\0\0\0\0\0")] {
        let text = GOOD.replace("10000001", "100") + &format!("dialect = {{ login_digest = \"{dialect}\" }}");
        let mut tongue = SmgpTongue::new(Arc::new(read(&text).unwrap()), Role::Both);
        let mut out = BytesMut::new();
        Tongue::login(&mut tongue, at(0), 1, &mut out);
        let expected = Login::new(digested, b"secret-of-10", login_mode::BOTH, 101_080_000);
        assert_eq!((&out[12..20], &out[20..36]), (&b"100\0\0\0\0\0"[..], &expected.authenticator_client[..]));
    }
}

#[test]
fn captured_reports_are_receipts() {
    for (vector, id, to) in [
        ("T-DELIVER-RPT-1", "41170211220350445714", "13800138000"),
        ("T-DELIVER-RPT-2", "01e24011220353088f53", "13800138000"),
        ("T-DELIVER-RPT-3", "00422711220401000000", "13300133000"),
    ] {
        let heard = tongue("").hear(&captured(vector));
        let Said::Receipt(_, Some(receipt)) = heard.said else { panic!("{vector}: {heard:?}") };
        assert_eq!(receipt.ids[..], [CarrierId::new(id.as_bytes())], "{vector}");
        assert_eq!((receipt.state, &*receipt.code), (ReceiptState::Delivered, "DELIVRD err:000"), "{vector}");
        assert_eq!(&*receipt.to, to, "{vector}");
    }
}

#[test]
fn the_answer_s_id_is_the_report_s_id() {
    let heard = tongue("").hear(&captured("T-SUBMIT_RESP-1"));
    assert!(matches!(heard.said, Said::Accepted(Some(id)) if id == CarrierId::new(b"57106211220352300002")));
    let none = octets(Body::SubmitResp(SubmitResp { msg_id: [0; 10], status: 0 }));
    assert!(matches!(tongue("").hear(&none).said, Said::Accepted(None)));
    let busy = octets(Body::SubmitResp(SubmitResp { msg_id: [0; 10], status: 1 }));
    assert!(matches!(tongue("").hear(&busy).said, Said::Refused(Refusal { verdict: Verdict::Throttled, .. })));
}

#[test]
fn captured_messages_from_handsets_are_read() {
    let heard = tongue("").hear(&captured("T-DELIVER-MO-1"));
    let Said::Mo(_, mo) = heard.said else { panic!("{heard:?}") };
    assert_eq!((mo.from.as_str(), mo.to.as_str(), mo.coding), ("+8613800138000", "10690001", Coding::Ucs2));
    assert!(mo.coding.decode(&mo.data).starts_with("回") && mo.segment.is_none());
    assert_eq!(mo.id, Some(CarrierId::new(b"41170211220350445718")));
    let heard = tongue("").hear(&captured("T-DELIVER-MO-2"));
    let Said::Mo(_, mo) = heard.said else { panic!("{heard:?}") };
    assert_eq!((mo.coding, mo.coding.decode(&mo.data).as_str()), (Coding::Gbk, "hello world"));
    assert_eq!(&*mo.to, "955660010");
}

#[test]
fn parts_of_long_messages_from_handsets_have_their_place() {
    for (udhi, place) in [(Some(1), Segment::of(7, 2, 1)), (Some(0x40), Segment::of(7, 2, 1)), (None, None)] {
        let mut tlvs = BytesMut::new();
        put_tlv(&mut tlvs, 0x7777, b"whatever");
        udhi.into_iter().for_each(|udhi| put_tlv(&mut tlvs, tag::TP_UDHI, &[udhi]));
        tlvs.extend_from_slice(&[0, 1]);
        let msg_content = b"\x05\x00\x03\x07\x02\x01\x4f\x60";
        let deliver = Deliver { msg_format: 8, msg_content, tlvs: Tlvs::new(&tlvs), ..Deliver::default() };
        let heard = tongue("").hear(&octets(Body::Deliver(deliver)));
        let Said::Mo(_, mo) = heard.said else { panic!("{heard:?}") };
        assert_eq!((mo.segment, mo.id, heard.leniency.is_some()), (place, None, true), "the broken tail is counted");
    }
}

fn parts(text: &str, lines: &str) -> Vec<Part> {
    let mt = Mt {
        to: "+8613300133000",
        sender: Some("23"),
        text,
        valid_for: Duration::from_secs(300),
        until: None,
        receipt: true,
        reference: 0x1234,
        options: Options::default(),
    };
    let channel = super::super::Channel::new(read(&format!("{GOOD}{lines}")).unwrap());
    let parts = channel.split(&mt).unwrap();
    assert_eq!(channel.quote(&mt).unwrap().parts as usize, parts.len());
    parts
}

fn submit(lines: &str, part: &Part) -> Vec<u8> {
    let mut out = BytesMut::new();
    // 2026-11-22 20:20:00 in China.
    tongue(lines).submit(at(1_795_350_000), 9, part, &mut out).unwrap();
    out.to_vec()
}

#[test]
fn a_submit_has_every_field_of_its_account() {
    let lines = "service_id = \"HELP\"\npriority = 3\nmsg_src = \"123456\"\nm_service_id = \"P7\"\nlink_id = \"L7\"\n\
                 fee = { user_type = 2, terminal_id = \"13900139000\", fee_type = \"01\", fee_code = \"000010\", \
                 fixed_fee = \"000500\" }\n";
    let octets = submit(lines, &parts("【云桥】验证码 4711", lines)[0]);
    let Ok(Pdu { sequence: 9, body: Body::Submit(s) }) = Pdu::read(&octets, ()) else { panic!("{octets:?}") };
    assert_eq!((s.msg_type, s.need_report, s.priority, s.service_id), (6, 1, 3, &b"HELP"[..]));
    assert_eq!((s.fee_type, s.fee_code, s.fixed_fee), (&b"01"[..], &b"000010"[..], &b"000500"[..]));
    assert_eq!((s.valid_time, s.at_time), (&b"261122202500032+"[..], &b""[..]));
    assert_eq!((s.src_term_id, s.charge_term_id), (&b"1069000123"[..], &b"13900139000"[..]));
    assert_eq!(Repeated::<Fixed<21>>::iter(s.dest_term_id, ()).collect::<Vec<_>>(), [b"13300133000"]);
    assert_eq!((s.msg_format, Coding::Gbk.decode(s.msg_content).as_str()), (15, "【云桥】验证码 4711"));
    assert_eq!(s.tlvs.get(tag::MSG_SRC), Some(&b"123456\0\0"[..]));
    assert_eq!(s.tlvs.get(tag::M_SERVICE_ID).map(<[u8]>::len), Some(21));
    assert_eq!(s.tlvs.get_cstring(tag::M_SERVICE_ID), Some(&b"P7"[..]));
    assert_eq!(s.tlvs.get(tag::LINK_ID).map(<[u8]>::len), Some(20));
    assert_eq!(s.tlvs.get_u8(tag::CHARGE_USER_TYPE), Some(2));
    let bare = submit("", &parts("hi", "")[0]);
    let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&bare, ()) else { panic!("no submit") };
    assert_eq!((bare.len(), s.msg_format, s.tlvs.is_empty()), (126 + 21 + 2, 0, true));
}

#[test]
fn long_messages_have_header_and_numbers_alike() {
    let text = "【云桥】".to_owned() + &"验证码 4711".repeat(15);
    for (lines, udhi) in [("", 1), ("dialect = { tp_udhi = 64 }", 64)] {
        let parts = parts(&text, lines);
        assert!(parts.len() > 1);
        for (part, number) in parts.iter().zip(1u8..) {
            let octets = submit(lines, part);
            let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, ()) else { panic!("no submit") };
            let total = parts.len() as u8;
            assert_eq!(s.tlvs.get_u8(tag::TP_UDHI), Some(udhi));
            assert_eq!((s.tlvs.get_u8(tag::PK_TOTAL), s.tlvs.get_u8(tag::PK_NUMBER)), (Some(total), Some(number)));
            assert_eq!(&s.msg_content[..6], [5, 0, 3, 0x34, total, number]);
        }
    }
}

#[test]
fn no_part_is_longer_than_140_octets_whatever_its_encoding() {
    for (text, expected) in [("x".repeat(140), 1), ("x".repeat(141), 2), ("验".repeat(70), 1), ("验".repeat(71), 2)] {
        let parts = parts(&text, "");
        assert_eq!(parts.len(), expected, "{}", text.len());
        assert!(parts.iter().all(|part| part.data.len() <= 140));
    }
}

#[test]
fn requests_that_are_an_sps_are_refused_in_kind() {
    let cases = [
        (Body::Submit(Submit::default()), command::SUBMIT),
        (Body::Login(Login::default()), command::LOGIN),
        (Body::Unknown { command: command::FORWARD, body: b"" }, command::FORWARD),
        (Body::Unknown { command: 0x666, body: b"x" }, 0x666),
    ];
    for (body, command) in cases {
        let heard = tongue("").hear(&octets(body));
        let Said::Noise(_, Some(answer)) = heard.said else { panic!("{command:#x}: {:?}", heard.said) };
        assert_eq!(answer[4..12], [(command | RESPONSE).to_be_bytes(), 9_u32.to_be_bytes()].concat());
        assert_eq!(u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize, answer.len());
    }
    for body in [
        Body::Query(codecs::smgp::Query::default()),
        Body::Unknown { command: 0x8000_0666, body: b"" },
        Body::DeliverResp(DeliverResp::default()),
    ] {
        assert!(matches!(tongue("").hear(&octets(body)).said, Said::Noise(_, None)), "nor what cannot be refused");
    }
}

#[test]
fn active_tests_and_exits_may_be_numbered_zero() {
    for (command, phrase) in [(command::ACTIVE_TEST, Phrase::Probe), (command::EXIT, Phrase::Goodbye)] {
        let mut pdu = 12_u32.to_be_bytes().to_vec();
        pdu.extend([command.to_be_bytes(), [0; 4]].concat());
        let heard = tongue("").hear(&pdu);
        assert!(matches!(heard, Heard { sequence: 0, said: Said::Phrase(said), .. } if said == phrase));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    /// Whatever follows a header is heard as something.
    #[test]
    fn any_body_is_heard(command in 0_u32..0x20, answer in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut pdu = (body.len() as u32 + 12).to_be_bytes().to_vec();
        pdu.extend((command | if answer { RESPONSE } else { 0 }).to_be_bytes());
        pdu.extend([0, 0, 0, 7]);
        pdu.extend(body);
        let heard = tongue("").hear(&pdu);
        assert_eq!(heard.sequence, 7);
        if let Said::Noise(_, Some(answer)) = heard.said {
            Pdu::read(&answer, ()).expect("an answer that can be read");
        }
    }

    /// Any report's text is read, and so much of it told that no message text can be in it.
    #[test]
    fn any_report_is_read(content in prop::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let content = if head { [b"id:0123456789 sub:001 ", &content[..]].concat() } else { content };
        let deliver = Deliver { is_report: 1, msg_content: &content[..content.len().min(255)], ..Deliver::default() };
        if let Said::Receipt(_, Some(receipt)) = tongue("").hear(&octets(Body::Deliver(deliver))).said {
            assert!(receipt.code.len() < 160 && !receipt.ids.is_empty());
        }
    }

    /// Any text is split as quoted and every part fits its submit.
    #[test]
    fn any_text_is_sent(text in "\\PC{0,400}", encoding in prop::sample::subsequence(vec!["ascii", "gbk", "ucs2"], 0..=3)) {
        let lines = format!("encoding = {encoding:?}");
        let mt = Mt { to: "+8613300133000", sender: None, text: &text, valid_for: Duration::ZERO, until: None, receipt: true, reference: 7, options: Options::default() };
        let channel = super::super::Channel::new(read(&format!("{GOOD}{lines}")).unwrap());
        match (channel.quote(&mt), channel.split(&mt)) {
            (Ok(quote), Ok(parts)) => {
                assert_eq!(usize::from(quote.parts), parts.len());
                parts.iter().for_each(|part| drop(submit(&lines, part)));
            }
            (Err(quoted), Err(split)) => assert_eq!(quoted, split),
            (quoted, split) => panic!("{quoted:?} but {split:?}"),
        }
    }
}

#[test]
fn a_message_may_have_terms_and_a_time_of_its_own() {
    let asked = "service_id=HELP\nfee_type=message\nfee_code=100\nlink_id=LINK7\nat_time=2026-11-22T20:22:00+08:00\n";
    let part = Part { options: asked.to_owned(), ..parts("x", "").remove(0) };
    let octets = submit("service_id = \"OWN\"\n", &part);
    let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, ()) else { panic!("{octets:?}") };
    assert_eq!((s.service_id, s.fee_type, s.fee_code), (&b"HELP"[..], &b"01"[..], &b"100"[..]));
    assert_eq!((s.tlvs.get_cstring(tag::LINK_ID), s.at_time), (Some(&b"LINK7"[..]), &b"261122202200032+"[..]));
    let channel = super::super::Channel::new(read(GOOD).unwrap());
    assert_eq!((channel.takes("link_id", "1"), channel.takes("colour", "1")), (Ok(true), Ok(false)));
    assert!(channel.takes("fee_type", "05").is_err());
}

#[test]
fn the_link_of_a_message_from_a_handset_comes_with_it() {
    let mut tlvs = BytesMut::new();
    put_tlv(&mut tlvs, tag::LINK_ID, b"LINK7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let deliver = Deliver { msg_content: b"x", tlvs: Tlvs::new(&tlvs), ..Deliver::default() };
    let Said::Mo(_, mo) = tongue("").hear(&octets(Body::Deliver(deliver))).said else { panic!() };
    assert_eq!(mo.options.as_str(), "link_id=LINK7\n");
}
