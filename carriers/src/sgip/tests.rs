//! What SGIP's PDUs say and how they are said: captured ones, quirks of gateways, and every field of a submit.

use std::time::{Duration, Instant, SystemTime};

use codecs::sgip::{Report, UserRpt};
use proptest::prelude::*;

use super::*;
use crate::message::{Coding, Mt, ReceiptState, Segment};
use crate::protocol::Profile;
use crate::session::{AttemptRef, Verdict};
use crate::sgip::Channel;
use crate::sgip::testing::{GOOD, read, settings};

const VECTORS: &str = include_str!("../../../codecs/tests/vectors/cmpp-sgip-smgp.tsv");

/// A PDU as another program sent it.
fn captured(name: &str) -> Vec<u8> {
    let row = VECTORS.lines().find(|row| row.split('\t').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
    let hex = row.split('\t').nth(3).unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn tongue(lines: &str) -> SgipTongue {
    SgipTongue::new(settings(lines), true)
}

/// The account of the captured PDUs, on a connection of that side's.
fn fakename(ours: bool, lines: &str) -> SgipTongue {
    let text = GOOD.replace("sp12345", "fakename").replace("secret-of-sp", "1234");
    SgipTongue::new(Arc::new(read(&format!("{text}{lines}")).unwrap()), ours)
}

fn now() -> Now {
    #[allow(clippy::disallowed_methods, reason = "an origin; nothing measures it")]
    let mono = Instant::now();
    // 2026-11-22 20:20:00 in China.
    Now { mono, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_350_000) }
}

const NINE: Sequence = Sequence { node: 0, time: 1_122_034_716, counter: 9 };

fn hear(tongue: &mut SgipTongue, body: Body<'_>) -> Heard<Sequence, Kind> {
    tongue.hear(&octets(NINE, body))
}

/// Command and result of an answer.
fn answer(octets: &[u8]) -> (u32, u8) {
    (u32::from_be_bytes([octets[4], octets[5], octets[6], octets[7]]), octets[20])
}

#[test]
fn the_login_is_that_of_another_program_octet_for_octet() {
    let mut out = BytesMut::new();
    let sequence = Sequence { node: 3_010_012_345, time: 1_122_034_716, counter: 1 };
    fakename(true, "").login(now(), sequence, &mut out);
    assert_eq!(out, captured("S-BIND-1"));
}

#[test]
fn login_answers_are_heard_whatever_their_length() {
    for (name, welcome) in [("S-BIND_RESP-1", true), ("S-BIND_RESP-2", true), ("S-BIND_RESP-3", false)] {
        match tongue("").hear(&captured(name)).said {
            Said::Welcome => assert!(welcome, "{name}"),
            Said::Unwelcome(Fault::BindRefused { code, permanent: true }) => {
                assert!(!welcome && code.starts_with("result 4 "), "{name}: {code}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_smg_logs_in_once_with_its_name_its_password_and_its_type() {
    let mut tongue = fakename(false, "");
    let Said::Login(yes, None) = tongue.hear(&captured("S-BIND-2")).said else { panic!("refused") };
    assert_eq!(answer(&yes), (command::BIND | RESPONSE, result::OK));
    let Said::Noise(_, Some(again)) = tongue.hear(&captured("S-BIND-2")).said else { panic!("twice") };
    assert_eq!(answer(&again).1, result::REPEATED_LOGIN);

    let refusal = |mut tongue: SgipTongue, pdu: &[u8]| match tongue.hear(pdu).said {
        Said::Login(no, Some(Fault::BindRefused { permanent: true, .. })) => answer(&no).1,
        Said::Login(yes, None) => answer(&yes).1,
        other => panic!("{other:?}"),
    };
    // Login type 1 is the SP's own.
    assert_eq!(refusal(fakename(false, ""), &captured("S-BIND-1")), result::LOGIN_TYPE);
    let any = fakename(false, "dialect = { any_login_type = true }");
    assert_eq!(refusal(any, &captured("S-BIND-1")), result::OK);
    for lines in ["smg_login_name = \"other\"", "smg_login_password = \"12345\""] {
        assert_eq!(refusal(fakename(false, lines), &captured("S-BIND-2")), result::LOGIN, "{lines}");
    }
    let Said::Noise(_, Some(no)) = fakename(true, "").hear(&captured("S-BIND-2")).said else { panic!("on ours") };
    assert_eq!(answer(&no).1, result::LOGIN_TYPE);
}

fn part(text: &str) -> Part {
    let mt = Mt {
        to: "+8613800138000",
        sender: Some("5"),
        text,
        valid_for: Duration::from_secs(4 * 3600),
        until: None,
        receipt: true,
        reference: 0x0102,
        options: Options::default(),
    };
    Channel::new(read(GOOD).unwrap()).split(&mt).unwrap().remove(0)
}

/// What a submit of that part says.
fn submit<T>(lines: &str, part: &Part, look: impl FnOnce(Submit<'_>) -> T) -> T {
    let mut out = BytesMut::new();
    tongue(lines).submit(now(), NINE, part, &mut out).unwrap();
    let pdu = Pdu::read(&out, ()).unwrap();
    assert_eq!(pdu.sequence, NINE);
    match pdu.body {
        Body::Submit(submit) => look(submit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_submit_has_what_the_account_says() {
    let lines = "service_type = \"SVC\"\npriority = 3\nlink_id = \"12345678\"\n\
                 fee = { charge_number = \"\", fee_type = 2, fee_value = \"10\", given_value = \"1\", agent_flag = 1, mo_flag = 0 }";
    submit(lines, &part("code 4711"), |s| {
        assert_eq!((s.sp_number, s.charge_number, s.corp_id), (&b"106900015"[..], &b""[..], &b"12345"[..]));
        assert_eq!((s.service_type, s.fee_type, s.fee_value), (&b"SVC"[..], 2, &b"10"[..]));
        assert_eq!((s.given_value, s.agent_flag, s.morelate_to_mt_flag, s.priority), (&b"1"[..], 1, 0, 3));
        assert_eq!((s.expire_time, s.schedule_time), (&b"261123002000032+"[..], &b""[..]));
        assert_eq!((s.report_flag, s.tp_udhi, s.message_coding, s.message_type), (1, 0, 0, 0));
        assert_eq!((s.message_content, s.link_id), (&b"code 4711"[..], &b"12345678"[..]));
        assert_eq!(s.user_number, Items::one(b"8613800138000"));
    });
}

#[test]
fn a_submit_is_laid_out_like_another_programs() {
    let (theirs, mut ours) = (captured("S-SUBMIT-1"), BytesMut::new());
    let sequence = Sequence { node: 3_010_012_345, time: 1_122_034_716, counter: 2 };
    let part = Part { sender: None, ..part("【测试】hello") };
    tongue("service_type = \"SVC\"\ndialect = { validity = false }").submit(now(), sequence, &part, &mut ours).unwrap();
    let Body::Submit(theirs) = Pdu::read(&theirs, ()).unwrap().body else { panic!() };
    let Body::Submit(ours) = Pdu::read(&ours, ()).unwrap().body else { panic!() };
    assert_eq!(ours.message_content, theirs.message_content);
    assert_eq!(Submit { fee_type: theirs.fee_type, ..ours }, theirs);
}

#[test]
fn a_report_is_always_asked_for_unless_none_is_wanted() {
    let wanted = part("x");
    let unwanted = Part { receipt: false, ..wanted.clone() };
    assert_eq!(submit("", &wanted, |s| s.report_flag), report_flag::ALWAYS);
    assert_eq!(submit("report_flag = 0", &wanted, |s| s.report_flag), report_flag::ON_FAILURE);
    assert_eq!(submit("", &unwanted, |s| s.report_flag), report_flag::NEVER);
}

#[test]
fn long_texts_have_a_header_and_one_number_each() {
    let mt = Mt { text: &"测试".repeat(60), ..mt() };
    let parts = Channel::new(read(GOOD).unwrap()).split(&mt).unwrap();
    assert_eq!(parts.len(), 2);
    for (part, index) in parts.iter().zip(1..) {
        submit("", part, |s| {
            assert_eq!((s.tp_udhi, s.message_coding, &s.message_content[..6]), (1, 15, &[5, 0, 3, 2, 2, index][..]));
        });
        assert_eq!(submit("dialect = { tp_udhi = 64 }", part, |s| s.tp_udhi), 64);
    }
}

fn mt() -> Mt<'static> {
    Mt {
        to: "+8613800138000",
        sender: None,
        text: "x",
        valid_for: Duration::ZERO,
        until: None,
        receipt: true,
        reference: 0x0102,
        options: Options::default(),
    }
}

#[test]
fn texts_go_in_what_the_carrier_takes() {
    for (lines, text, coding, octet) in [
        ("", "code", Coding::Ascii, 0),
        ("", "【云桥】验证码", Coding::Gbk, 15),
        ("", "😀", Coding::Ucs2, 8),
        ("encoding = [\"ucs2\"]", "【云桥】", Coding::Ucs2, 8),
    ] {
        let channel = Channel::new(read(&format!("{GOOD}{lines}")).unwrap());
        let parts = channel.split(&Mt { text, ..mt() }).unwrap();
        assert_eq!((parts.len(), parts[0].coding), (1, coding), "{text}");
        assert_eq!(channel.quote(&Mt { text, ..mt() }).unwrap().coding, coding);
        assert_eq!(submit("", &parts[0], |s| s.message_coding), octet);
    }
}

#[test]
fn numbers_are_written_as_the_carrier_wants_them() {
    let to = |lines: &str, to: &str, written: &[u8]| {
        submit(lines, &Part { to: to.into(), ..part("x") }, |s| assert_eq!(s.user_number, Items::one(written)));
    };
    to("", "+8613800138000", b"8613800138000");
    to("", "+447700900123", b"447700900123");
    to("dialect = { number_prefix = \"\" }", "+8613800138000", b"13800138000");
    to("dialect = { number_prefix = \"+86\" }", "+8613800138000", b"+8613800138000");
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let channel = Channel::new(read(GOOD).unwrap());
    assert!(channel.quote(&Mt { to: "13800138000", ..mt() }).is_err());
    assert!(channel.split(&Mt { sender: Some("12345678901234"), ..mt() }).is_err());
    let mut out = BytesMut::new();
    let long = Part { sender: Some("12345678901234".into()), ..part("x") };
    assert_eq!(tongue("").submit(now(), NINE, &long, &mut out), Err("sp_number"));
    let far = Part { to: format!("+{}", "1".repeat(22)).as_str().into(), ..part("x") };
    assert_eq!(tongue("").submit(now(), NINE, &far, &mut out), Err("user_number"));
    assert!(out.is_empty());
}

#[test]
fn the_id_is_known_before_the_answer() {
    let channel = Channel::new(read(GOOD).unwrap());
    let tongue = tongue("");
    let (attempt, part) = (AttemptRef((91_282_800_123 << 15) | 7), 1);
    let number = tongue.number(now(), 1, Some(Ticket::new(attempt, part)));
    assert_eq!(number, tongue.number(now(), 99, Some(Ticket::new(attempt, part))), "whatever was said before");
    assert_eq!(channel.early_id(attempt, part), tongue.id(number));
    assert_ne!(channel.early_id(attempt, 0), tongue.id(number));
    // And the report names it.
    let report = Report { submit_sequence: number, ..Report::default() };
    let said = hear(&mut SgipTongue::new(settings(""), false), Body::Report(report)).said;
    let Said::Receipt(Kind::Report, Some(receipt)) = said else { panic!("{said:?}") };
    assert_eq!(receipt.ids[..], [channel.early_id(attempt, part).unwrap()]);
}

#[test]
fn answers_are_words() {
    let mut tongue = tongue("");
    assert!(matches!(tongue.hear(&captured("S-SUBMIT_RESP-1")).said, Said::Accepted(None)));
    for (result, verdict) in [(5, Verdict::Reroute), (6, Verdict::Rejected), (88, Verdict::Throttled)] {
        let said = hear(&mut tongue, Body::SubmitResp(Resp::new(result))).said;
        assert!(matches!(said, Said::Refused(refusal) if refusal.verdict == verdict), "{result}");
    }
    for name in ["S-UNBIND_RESP-1", "S-UNBIND_RESP-2"] {
        assert!(matches!(tongue.hear(&captured(name)).said, Said::Phrase(Phrase::GoodbyeAnswer)), "{name}");
    }
    assert!(matches!(tongue.hear(&captured("S-UNBIND-1")).said, Said::Phrase(Phrase::Goodbye)));
}

#[test]
fn an_answer_under_another_node_or_time_is_the_same_counters() {
    let tongue = tongue("");
    assert!(tongue.resembles(Sequence { node: 0, time: 1, counter: 9 }, NINE));
    assert!(!tongue.resembles(Sequence { counter: 8, ..NINE }, NINE));
}

#[test]
fn captured_reports_are_receipts_on_either_connection() {
    for ours in [true, false] {
        let mut tongue = fakename(ours, "");
        let first = tongue.hear(&captured("S-REPORT-1")).said;
        let Said::Receipt(Kind::Report, Some(receipt)) = first else { panic!("{first:?}") };
        assert_eq!((receipt.state, &*receipt.to), (ReceiptState::Failed, "8613800138000"));
        assert_eq!(receipt.ids[0].to_string(), "b36924b942e0e04200000002");
        let second = tongue.hear(&captured("S-REPORT-2")).said;
        let Said::Receipt(Kind::Report, Some(receipt)) = second else { panic!("{second:?}") };
        assert_eq!(receipt.state, ReceiptState::Delivered);
    }
}

#[test]
fn captured_deliveries_are_messages_from_handsets() {
    for (name, coding, text) in [("S-DELIVER-1", Coding::Gbk, "回复T"), ("S-DELIVER-2", Coding::Ucs2, "回\u{590d}TD")]
    {
        let said = fakename(false, "").hear(&captured(name)).said;
        let Said::Mo(Kind::Deliver, mo) = said else { panic!("{name}") };
        assert_eq!((mo.from.as_str(), mo.to.as_str()), ("+8613800138000", "10690001"));
        assert_eq!((mo.coding, mo.coding.decode(&mo.data).as_str()), (coding, text), "{name}");
        assert!(mo.id.is_some(), "what is said twice has its number twice");
    }
    let long = Deliver {
        tp_udhi: 64,
        message_coding: 8,
        message_content: b"\x05\x00\x03\x07\x02\x01\x4f\x60",
        ..Deliver::default()
    };
    let Said::Mo(_, mo) = hear(&mut tongue(""), Body::Deliver(long)).said else { panic!() };
    assert_eq!((mo.segment, &mo.data[..]), (Segment::of(7, 2, 1), &b"\x4f\x60"[..]));
    let disguised = Deliver { message_content: b"\xd7\xa2", ..Deliver::default() };
    let heard = hear(&mut tongue(""), Body::Deliver(disguised));
    assert!(matches!(heard, Heard { said: Said::Mo(..), leniency: Some(_), .. }));
}

#[test]
fn settlements_answer_what_was_said() {
    for (kind, command) in [(Kind::Deliver, command::DELIVER), (Kind::Report, command::REPORT)] {
        for (word, result) in [(Word::Yes, 0), (Word::Later, 11), (Word::No, 30)] {
            let mut out = BytesMut::new();
            tongue("").settle(NINE, kind, word, &mut out);
            assert_eq!(answer(&out), (command | RESPONSE, result));
            assert_eq!(out[8..20], NINE.octets());
        }
    }
    let mut out = BytesMut::new();
    let sequence = Sequence { node: 0, time: 1_122_034_716, counter: 2 };
    tongue("").settle(sequence, Kind::Report, Word::Yes, &mut out);
    assert_eq!(out, captured("S-REPORT_RESP-1"));
}

#[test]
fn goodbyes_are_said_as_other_programs_say_them() {
    let mut out = BytesMut::new();
    let sequence = Sequence { node: 3_010_012_345, time: 1_122_034_716, counter: 3 };
    tongue("").say(Phrase::Goodbye, sequence, &mut out);
    assert_eq!(out, captured("S-UNBIND-1"));
    out.clear();
    tongue("").say(Phrase::Probe, sequence, &mut out);
    assert!(out.is_empty(), "there is no probe");
}

#[test]
fn what_is_not_ours_to_answer_is_refused_in_its_own_words() {
    let refused = |body: Body<'_>| match hear(&mut tongue(""), body).said {
        Said::Noise(_, Some(out)) => Some(answer(&out)),
        Said::Noise(_, None) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Body::UserRpt(UserRpt::default())), Some((command::USER_RPT | RESPONSE, 0)));
    assert_eq!(refused(Body::Submit(Submit::default())), Some((command::SUBMIT | RESPONSE, 30)));
    assert_eq!(refused(Body::Unknown { command: command::TRACE, body: b"" }), Some((command::TRACE | RESPONSE, 30)));
    assert_eq!(
        refused(Body::Unknown { command: command::DELIVER, body: b"x" }),
        Some((command::DELIVER | RESPONSE, 5))
    );
    assert_eq!(refused(Body::DeliverResp(Resp::new(0))), None);
    assert_eq!(refused(Body::Unknown { command: command::REPORT | RESPONSE, body: b"" }), None);
}

proptest! {
    #[test]
    fn any_pdu_is_taken(command in prop_oneof![0u32..20, (0u32..20).prop_map(|c| c | RESPONSE), any::<u32>()],
                        body in proptest::collection::vec(any::<u8>(), 0..300), ours in any::<bool>()) {
        let mut tongue = fakename(ours, "");
        let pdu = octets(NINE, Body::Unknown { command, body: &body });
        prop_assert_eq!(tongue.hear(&pdu).sequence, NINE);
        prop_assert_eq!(tongue.hear(&pdu).sequence, NINE);
    }

    #[test]
    fn whatever_fits_is_written_whole(text in "\\PC{0,300}", sender in "[0-9]{0,25}") {
        let channel = Channel::new(read(GOOD).unwrap());
        let sender = (!sender.is_empty()).then_some(&sender[..]);
        for part in channel.split(&Mt { text: &text, sender, ..mt() }).unwrap_or_default() {
            submit("", &part, |s| assert_eq!(s.message_content, &part.data[..]));
        }
    }
}

#[test]
fn a_message_may_have_terms_and_a_time_of_its_own() {
    let asked =
        "service_id=HELP\nfee_type=message\nfee_code=100\nlink_id=12345678\nat_time=2026-11-22T21:00:00+08:00\n";
    let answer = Part { options: asked.to_owned(), ..part("x") };
    submit("service_type = \"OWN\"\nfee = { fee_type = 4 }", &answer, |s| {
        assert_eq!(
            (s.service_type, s.fee_type, s.fee_value, s.link_id),
            (&b"HELP"[..], 2, &b"100"[..], &b"12345678"[..])
        );
        assert_eq!((s.morelate_to_mt_flag, s.schedule_time), (0, &b"261122210000032+"[..]));
    });
    submit("fee = { fee_type = 4 }", &part("x"), |s| assert_eq!((s.fee_type, s.morelate_to_mt_flag), (4, 2)));
    let channel = Channel::new(read(GOOD).unwrap());
    assert_eq!((channel.takes("link_id", "1"), channel.takes("colour", "1")), (Ok(true), Ok(false)));
    assert!(channel.quote(&Mt { options: Options::read("link_id=123456789\n"), ..mt() }).is_err());
    let at = Mt { options: Options::read("at_time=2026-11-22T21:00:00+08:00\n"), ..mt() };
    for (seconds, good) in [(2_399, false), (2_400, false), (2_401, true)] {
        let until = now().wall.checked_add(Duration::from_secs(seconds));
        assert_eq!(
            (channel.quote(&Mt { until, ..at.clone() }).is_ok(), channel.split(&Mt { until, ..at.clone() }).is_ok()),
            (good, good)
        );
    }
    let never = Part { options: "at_time=2026-11-23T21:00:00+08:00\n".to_owned(), ..part("x") };
    assert_eq!(tongue("").submit(now(), NINE, &never, &mut BytesMut::new()), Err("at_time"), "valid for four hours");
}

#[test]
fn the_link_of_a_message_from_a_handset_comes_with_it() {
    let deliver =
        Deliver { user_number: b"8613800138000", link_id: b"LINK7", message_content: b"x", ..Deliver::default() };
    let mut out = BytesMut::new();
    Pdu { sequence: NINE, body: Body::Deliver(deliver) }.write((), &mut out);
    let Said::Mo(_, mo) = tongue("").hear(&out).said else { panic!() };
    assert_eq!(mo.options.as_str(), "link_id=LINK7\n");
}
