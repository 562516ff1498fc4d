//! What CMPP's PDUs say and how they are said: captured ones, quirks of gateways, and every field of a submit.

use std::time::{Duration, SystemTime};

use codecs::cmpp::{DeliverResp, SubmitResp};
use codecs::layout::Repeated;
use proptest::prelude::*;

use super::*;
use crate::cmpp::testing::{read, settings};
use crate::message::{CarrierId, Coding, Mt, ReceiptState, Segment};
use crate::protocol::Profile;
use crate::session::{Refusal, Verdict};

const VECTORS: &str = include_str!("../../../codecs/tests/vectors/cmpp-sgip-smgp.tsv");

/// A PDU as another program sent it.
fn captured(name: &str) -> Vec<u8> {
    let row = VECTORS.lines().find(|row| row.split('\t').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
    let hex = row.split('\t').nth(3).unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn tongue(lines: &str) -> CmppTongue {
    CmppTongue::new(settings(lines))
}

fn at(unix: u64) -> Now {
    #[allow(clippy::disallowed_methods, reason = "an origin; nothing measures it")]
    let mono = std::time::Instant::now();
    Now { mono, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(unix) }
}

/// The tongue of account 900001, and its login.
fn login(lines: &str, unix: u64, sequence: u32) -> (CmppTongue, Vec<u8>) {
    let text = format!(
        "address = \"[::1]:7890\"\nsource_addr = \"900001\"\nshared_secret = \"888888\"\nsrc_id = \"900001\"\n{lines}"
    );
    let mut tongue = CmppTongue::new(Arc::new(read(&text).unwrap()));
    let mut out = BytesMut::new();
    tongue.login(at(unix), sequence, &mut out);
    (tongue, out.to_vec())
}

fn octets(body: Body<'_>, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    Pdu { sequence: 9, body }.write(version, &mut out);
    out
}

#[test]
fn logins_are_those_of_other_programs_octet_for_octet() {
    // 2026-11-22 03:47:16 and 2026-10-21 08:05:10, in China.
    let (_, v30) = login("", 1_795_290_436, 0);
    assert_eq!(v30, captured("C3-CONNECT-1"));
    let (_, v21) = login("version = \"2.0\"\nconnect_version = 33", 1_792_541_110, 0x17);
    assert_eq!(v21, captured("C2-CONNECT-1"));
}

#[test]
fn login_answers_are_believed_and_their_proof_counted() {
    for (version, vector) in [("2.0", "C2-CONNECT_RESP-1"), ("3.0", "C3-CONNECT_RESP-1")] {
        let lines = format!("version = \"{version}\"\nconnect_version = 33\ndialect = {{ check_server = true }}");
        let (mut right, _) = login(&lines, 1_792_541_110, 0x17);
        let heard = right.hear(&captured(vector));
        assert!(matches!(heard, Heard { sequence: 0x17, said: Said::Welcome, leniency: None }), "{heard:?}");
        // Another login's answer proves nothing: taken, or refused where that is asked for.
        let (mut strict, _) = login(&lines, 1_792_541_111, 0x17);
        assert!(matches!(
            strict.hear(&captured(vector)).said,
            Said::Unwelcome(Fault::BindRefused { permanent: true, .. })
        ));
        let (mut lenient, _) = login(&lines.replace("true", "false"), 1_792_541_111, 0x17);
        let heard = lenient.hear(&captured(vector));
        assert!(matches!(heard, Heard { said: Said::Welcome, leniency: Some(_), .. }), "{heard:?}");
    }
}

#[test]
fn a_status_digested_in_the_other_width_proves_as_much() {
    // As one widespread server does in 2.0.
    let lines = "version = \"2.0\"\ndialect = { check_server = true }";
    let (mut tongue, sent) = login(lines, 1_795_290_436, 1);
    let Ok(Pdu { body: Body::Connect(connect), .. }) = Pdu::read(&sent, Version::V20) else { panic!("no login") };
    let wide = ConnectResp { version: 0x20, ..ConnectResp::accepted(&connect, b"888888", Version::V30) };
    let heard = tongue.hear(&octets(Body::ConnectResp(wide), Version::V20));
    assert!(matches!(heard, Heard { said: Said::Welcome, leniency: None, .. }), "{heard:?}");
}

#[test]
fn short_accounts_are_digested_as_the_gateway_does() {
    let digest = |lines: &str| {
        let text =
            format!("address = \"[::1]:7890\"\nsource_addr = \"901\"\nshared_secret = \"x\"\nsrc_id = \"1\"\n{lines}");
        let mut tongue = CmppTongue::new(Arc::new(read(&text).unwrap()));
        let mut out = BytesMut::new();
        tongue.login(at(0), 1, &mut out);
        assert_eq!(&out[12..18], b"901\0\0\0", "the field is the same");
        out[18..34].to_vec()
    };
    let (plain, padded) = (digest(""), digest("dialect = { login_digest = \"padded\" }"));
    assert_ne!(plain, padded);
    assert_eq!(plain, Connect::new(b"901", b"x", Version::V30, 101_080_000).authenticator_source);
    assert_eq!(padded, Connect::new(b"901\0\0\0", b"x", Version::V30, 101_080_000).authenticator_source);
}

#[test]
fn the_account_s_version_wins_where_the_answer_is_wholly_of_it() {
    // Layout of the answer, what it claims, whether that may change the version, and what follows.
    let cases = [
        (Version::V20, 0x20, "", Version::V20),
        (Version::V20, 0x21, "", Version::V20),
        (Version::V20, 0x01, "", Version::V20),
        (Version::V20, 0x30, "", Version::V30),
        (Version::V30, 0x30, "", Version::V30),
        (Version::V30, 0x20, "", Version::V30),
        (Version::V30, 0x7f, "", Version::V30),
        (Version::V20, 0x20, "adopt_version = false", Version::V30),
    ];
    for (layout, claimed, lines, spoken) in cases {
        let mut tongue = tongue(lines);
        let answer = ConnectResp { version: claimed, ..ConnectResp::refused(0, layout) };
        let heard = tongue.hear(&octets(Body::ConnectResp(answer), layout));
        assert!(matches!(heard, Heard { said: Said::Welcome, leniency: Some(_), .. }));
        assert_eq!(tongue.version, spoken, "{layout:?} {claimed:#x} {lines}");
    }
    let mut tongue = tongue("");
    let bare = &octets(Body::ConnectResp(ConnectResp::refused(3, Version::V30)), Version::V30)[..16];
    let mut bare = bare.to_vec();
    bare[3] = 16;
    assert!(matches!(tongue.hear(&bare).said, Said::Unwelcome(Fault::BindRefused { permanent: true, .. })));
}

fn receipt(vector: &str, lines: &str) -> (crate::Receipt, Option<&'static str>) {
    let heard = tongue(lines).hear(&captured(vector));
    let Said::Receipt(_, Some(receipt)) = heard.said else { panic!("{vector}: {heard:?}") };
    (receipt, heard.leniency)
}

#[test]
fn captured_reports_are_receipts() {
    let v20 = "version = \"2.0\"";
    for (vector, lines, id, odd) in [
        ("C2-DELIVER-RPT-1", v20, None, false),
        ("C2-DELIVER-RPT-2", v20, None, false),
        ("C3-DELIVER-RPT-1", "", Some("bb0f28c63aea6dd5"), false),
        ("C3-DELIVER-RPT-2", "", Some("bb0ef400271a0001"), true),
        ("C3-DELIVER-RPT-3", "", Some("0ca92ed2b387f000"), true),
    ] {
        let (receipt, leniency) = receipt(vector, lines);
        assert_eq!((receipt.state, &*receipt.code), (ReceiptState::Delivered, "DELIVRD"), "{vector}");
        assert_eq!(&*receipt.to, "13800138000", "{vector}");
        assert!(id.is_none_or(|id| receipt.ids[..] == [CarrierId::new(id.as_bytes())]), "{vector}: {:?}", receipt.ids);
        assert_eq!(leniency.is_some(), odd, "{vector}");
    }
    let (swapped, _) = receipt("C3-DELIVER-RPT-2", "report_id = \"swapped\"");
    assert_eq!(swapped.ids[1], CarrierId::new(b"01001a2700f40ebb"));
}

#[test]
fn the_answer_s_id_is_the_report_s_id() {
    let heard = tongue("").hear(&captured("C3-SUBMIT_RESP-1"));
    assert!(matches!(heard.said, Said::Accepted(Some(id)) if id == CarrierId::new(b"b2b9da8000010000")));
    let none = octets(Body::SubmitResp(SubmitResp { msg_id: [0; 8], result: 0 }), Version::V30);
    assert!(matches!(tongue("").hear(&none).said, Said::Accepted(None)));
    let refused = octets(Body::SubmitResp(SubmitResp { msg_id: [0; 8], result: 8 }), Version::V20);
    let said = tongue("").hear(&refused).said;
    assert!(matches!(said, Said::Refused(Refusal { verdict: Verdict::Throttled, .. })), "one octet of 2.0 in 3.0");
}

fn mo(vector: &str, lines: &str) -> Mo {
    match tongue(lines).hear(&captured(vector)).said {
        Said::Mo(_, mo) => mo,
        other => panic!("{vector}: {other:?}"),
    }
}

#[test]
fn captured_messages_from_handsets_are_read() {
    let ascii = mo("C3-DELIVER-MO-1", "");
    assert_eq!((ascii.from.as_str(), ascii.to.as_str()), ("+8613412340000", "900001"));
    assert_eq!(ascii.coding.decode(&ascii.data), "This is a test MO.");
    assert_eq!(ascii.id, Some(CarrierId::new(b"b4c5530000010000")));
    let padded = mo("C2-DELIVER-MO-1", "version = \"2.0\"");
    assert!(padded.coding.decode(&padded.data).starts_with("This is a test MO"));
    assert!(!padded.data.ends_with(b"\0"));
    let chinese = mo("C2-DELIVER-MO-2", "version = \"2.0\"");
    assert_eq!(chinese.coding, Coding::Ucs2);
    assert!(chinese.coding.decode(&chinese.data).starts_with("回"));
}

#[test]
fn parts_of_long_messages_from_handsets_have_their_place() {
    for (tp_udhi, place) in [(1, Segment::of(7, 2, 1)), (0x40, Segment::of(7, 2, 1)), (0, None)] {
        let deliver = Deliver {
            tp_udhi,
            msg_fmt: 8,
            src_terminal_id: b"8613800138000",
            msg_content: b"\x05\x00\x03\x07\x02\x01\x4f\x60",
            ..Deliver::default()
        };
        let Said::Mo(_, mo) = tongue("").hear(&octets(Body::Deliver(deliver), Version::V30)).said else { panic!() };
        assert_eq!((mo.segment, mo.from.as_str(), mo.id), (place, "+8613800138000", None));
    }
}

fn submit(lines: &str, part: &Part) -> (Vec<u8>, Version) {
    let tongue = tongue(lines);
    let mut out = BytesMut::new();
    // 2026-11-22 20:20:00 in China.
    tongue.submit(at(1_795_350_000), 9, part, &mut out).unwrap();
    (out.to_vec(), tongue.version)
}

fn part(text: &str, lines: &str) -> Vec<Part> {
    let mt = Mt {
        to: "+8613800138000",
        sender: Some("23"),
        text,
        valid_for: Duration::from_secs(300),
        until: None,
        receipt: true,
        reference: 0x1234,
        options: Options::default(),
    };
    let channel = super::super::Channel::new(read(&format!("{}{lines}", crate::cmpp::testing::GOOD)).unwrap());
    let parts = channel.split(&mt).unwrap();
    assert_eq!(channel.quote(&mt).unwrap().parts as usize, parts.len());
    parts
}

#[test]
fn a_submit_has_every_field_of_its_account() {
    for version in ["2.0", "3.0"] {
        let lines = format!(
            "version = \"{version}\"\nservice_id = \"HELP\"\nmsg_level = 3\ntp_pid = 1\nmsg_src = \"901235\"\n\
             fee = {{ user_type = 3, terminal_id = \"13900139000\", fee_type = \"02\", fee_code = \"000010\" }}\n"
        );
        let (octets, edition) = submit(&lines, &part("【云桥】验证码 4711", &lines)[0]);
        let Ok(Pdu { sequence: 9, body: Body::Submit(s) }) = Pdu::read(&octets, edition) else { panic!("{octets:?}") };
        assert_eq!((s.msg_id, s.pk_total, s.pk_number, s.registered_delivery, s.msg_level), ([0; 8], 1, 1, 1, 3));
        assert_eq!((s.service_id, s.fee_user_type, s.fee_terminal_id), (&b"HELP"[..], 3, &b"13900139000"[..]));
        assert_eq!((s.tp_pid, s.tp_udhi, s.msg_fmt, s.msg_src), (1, 0, 8, &b"901235"[..]));
        assert_eq!((s.fee_type, s.fee_code), (&b"02"[..], &b"000010"[..]));
        assert_eq!((s.valid_time, s.at_time), (&b"261122202500032+"[..], &b""[..]));
        assert_eq!((s.src_id, s.dest_terminal_id.count()), (&b"1069000123"[..], 1));
        let to: Vec<_> = Repeated::<codecs::cmpp::Number>::iter(s.dest_terminal_id, edition).collect();
        assert_eq!(to, [b"13800138000"]);
        assert_eq!(Coding::Ucs2.decode(s.msg_content), "【云桥】验证码 4711");
        let expected = if version == "2.0" { 138 + 21 } else { 163 + 32 } + s.msg_content.len();
        assert_eq!(octets.len(), expected);
    }
}

#[test]
fn long_messages_have_header_and_numbers_alike() {
    let text = "【云桥】".to_owned() + &"验证码 4711".repeat(15);
    for (lines, udhi) in [("", 1), ("dialect = { tp_udhi = 64 }", 64)] {
        let parts = part(&text, lines);
        assert!(parts.len() > 1);
        for (part, number) in parts.iter().zip(1u8..) {
            let (octets, edition) = submit(lines, part);
            let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, edition) else { panic!("no submit") };
            let total = parts.len() as u8;
            assert_eq!((s.pk_total, s.pk_number, s.tp_udhi), (total, number, udhi));
            assert_eq!(&s.msg_content[..6], [5, 0, 3, 0x34, total, number]);
            assert!(s.msg_content.len() <= 140);
        }
    }
}

#[test]
fn what_the_dialect_says_is_on_the_wire() {
    let field = |lines: &str, of: fn(&Submit<'_>) -> Vec<u8>| {
        let (octets, edition) = submit(lines, &part("hi 验证码", lines)[0]);
        let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, edition) else { panic!("no submit") };
        of(&s)
    };
    let to = |s: &Submit<'_>| {
        Repeated::<codecs::cmpp::Number>::iter(s.dest_terminal_id, Version::V30).next().unwrap().to_vec()
    };
    assert_eq!(field("dialect = { number_prefix = \"86\" }", to), b"8613800138000");
    assert_eq!(field("dialect = { number_prefix = \"+86\" }", to), b"+8613800138000");
    assert_eq!(field("dialect = { validity = false }", |s| s.valid_time.to_vec()), b"");
    assert_eq!(field("registered_delivery = false", |s| vec![s.registered_delivery]), [0]);
    assert_eq!(field("link_id = \"L7\"", |s| s.link_id.to_vec()), b"L7");
    assert_eq!(field("encoding = [\"gbk\"]", |s| vec![s.msg_fmt]), [15]);
    assert_eq!(field("encoding = [\"gbk\"]", |s| s.msg_content.to_vec()), b"hi \xd1\xe9\xd6\xa4\xc2\xeb");
    let lines = "dialect = { reference_bits = 16 }";
    let (octets, _) = submit(lines, &part(&"验".repeat(71), lines)[0]);
    assert!(octets.windows(5).any(|w| w == [6, 8, 4, 0x12, 0x34]));
    let ascii = part("plain", "");
    let (octets, edition) = submit("", &ascii[0]);
    let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, edition) else { panic!("no submit") };
    assert_eq!((s.msg_fmt, s.msg_content), (0, &b"plain"[..]));
}

#[test]
fn active_tests_of_either_length_are_heard_and_the_long_one_sent() {
    let mut out = BytesMut::new();
    tongue("").say(Phrase::ProbeAnswer, 7, &mut out);
    assert_eq!(&out[..], [0, 0, 0, 13, 0x80, 0, 0, 8, 0, 0, 0, 7, 0]);
    for octets in [&out[..], &[0, 0, 0, 12, 0x80, 0, 0, 8, 0, 0, 0, 7]] {
        let heard = tongue("").hear(octets);
        assert!(matches!(heard, Heard { sequence: 7, said: Said::Phrase(Phrase::ProbeAnswer), .. }));
    }
}

#[test]
fn requests_that_are_an_sps_are_refused_in_kind() {
    for version in [Version::V20, Version::V30] {
        let lines = if version == Version::V20 { "version = \"2.0\"" } else { "" };
        let cases = [
            (Body::Submit(Submit::default()), command::SUBMIT),
            (Body::Connect(Connect::default()), command::CONNECT),
            (Body::Fwd(codecs::cmpp::Fwd::default()), command::FWD),
            (Body::Cancel(codecs::cmpp::Cancel::default()), command::CANCEL),
            (Body::Unknown { command: 0x10, body: b"" }, 0x10),
            (Body::Unknown { command: 0x666, body: b"x" }, 0x666),
        ];
        for (body, command) in cases {
            let heard = tongue(lines).hear(&octets(body, version));
            let Said::Noise(_, Some(answer)) = heard.said else { panic!("{command:#x}: {:?}", heard.said) };
            assert_eq!(answer[4..12], [(command | RESPONSE).to_be_bytes(), 9_u32.to_be_bytes()].concat());
            assert_eq!(u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize, answer.len());
            Pdu::read(&answer, version).expect("an answer that can be read");
        }
        for body in [
            Body::Query(codecs::cmpp::Query::default()),
            Body::Unknown { command: 0x8000_0666, body: b"" },
            Body::DeliverResp(DeliverResp::default()),
            Body::CancelResp(codecs::cmpp::CancelResp::default()),
        ] {
            let heard = tongue(lines).hear(&octets(body, version));
            assert!(matches!(heard.said, Said::Noise(_, None)), "nor what cannot be refused");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    /// Whatever follows a header is heard as something.
    #[test]
    fn any_body_is_heard(command in 0_u32..0x20, answer in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..300), old in any::<bool>()) {
        let mut pdu = (body.len() as u32 + 12).to_be_bytes().to_vec();
        pdu.extend((command | if answer { RESPONSE } else { 0 }).to_be_bytes());
        pdu.extend([0, 0, 0, 7]);
        pdu.extend(body);
        let heard = tongue(if old { "version = \"2.0\"" } else { "report_id = \"swapped\"" }).hear(&pdu);
        assert_eq!(heard.sequence, 7);
        if let Said::Noise(_, Some(answer)) = heard.said {
            let version = if old { Version::V20 } else { Version::V30 };
            Pdu::read(&answer, version).expect("an answer that can be read");
        }
    }

    /// Any text is split as quoted and every part fits its submit.
    #[test]
    fn any_text_is_sent(text in "\\PC{0,400}", encoding in prop::sample::subsequence(vec!["ascii", "gbk", "ucs2"], 0..=3), limit in prop::sample::select(vec![140, 159, 160])) {
        let lines = format!("encoding = {encoding:?}\ndialect = {{ ascii_limit = {limit} }}");
        let mt = Mt { to: "+8613800138000", sender: None, text: &text, valid_for: Duration::ZERO, until: None, receipt: true, reference: 7, options: Options::default() };
        let channel = super::super::Channel::new(read(&format!("{}{lines}", crate::cmpp::testing::GOOD)).unwrap());
        match (channel.quote(&mt), channel.split(&mt)) {
            (Ok(quote), Ok(parts)) => {
                assert_eq!(usize::from(quote.parts), parts.len());
                let joined: Vec<u8> = parts.iter().flat_map(|p| p.data[if p.udh { 6 } else { 0 }..].to_vec()).collect();
                assert_eq!(quote.coding.decode(&joined), text);
                parts.iter().for_each(|part| drop(submit(&lines, part)));
            }
            (Err(quoted), Err(split)) => assert_eq!(quoted, split),
            (quoted, split) => panic!("{quoted:?} but {split:?}"),
        }
    }
}

#[test]
fn a_message_may_have_terms_and_a_time_of_its_own() {
    let own = "service_id = \"OWN\"\nlink_id = \"L\"\n";
    let asked = "service_id=HELP\nfee_type=message\nfee_code=100\nlink_id=12345678901234567890\n\
                 at_time=2026-11-22T20:22:00+08:00\n";
    let with = |lines: &str| {
        let part = Part { options: asked.to_owned(), ..part("x", lines).remove(0) };
        submit(lines, &part)
    };
    let (octets, edition) = with(own);
    let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, edition) else { panic!("{octets:?}") };
    assert_eq!((s.service_id, s.fee_type, s.fee_code), (&b"HELP"[..], &b"02"[..], &b"100"[..]));
    assert_eq!((s.link_id, s.at_time), (&b"12345678901234567890"[..], &b"261122202200032+"[..]));
    let (octets, edition) = with("version = \"2.0\"\n");
    let Ok(Pdu { body: Body::Submit(s), .. }) = Pdu::read(&octets, edition) else { panic!("{octets:?}") };
    assert_eq!((s.service_id, s.link_id), (&b"HELP"[..], &b""[..]));
}

#[test]
fn options_are_known_by_version_and_their_values_judged() {
    let channel =
        |lines: &str| super::super::Channel::new(read(&format!("{}{lines}", crate::cmpp::testing::GOOD)).unwrap());
    let (v3, v2) = (channel(""), channel("version = \"2.0\"\n"));
    assert_eq!((v3.takes("link_id", "1"), v2.takes("link_id", "1")), (Ok(true), Ok(false)));
    assert!(v3.takes("fee_type", "05").is_err() && v2.takes("fee_type", "05") == Ok(true));
    assert_eq!(v3.takes("colour", "red"), Ok(false));
    let mt = Mt {
        to: "+8613800138000",
        sender: None,
        text: "x",
        valid_for: Duration::ZERO,
        until: None,
        receipt: true,
        reference: 0,
        options: Options::read("fee_code=x\n"),
    };
    assert!(channel("").quote(&mt).is_err() && channel("").split(&mt).is_err());
}

#[test]
fn the_link_of_a_message_from_a_handset_comes_with_it() {
    let deliver =
        Deliver { src_terminal_id: b"13800138000", link_id: b"LINK7", msg_content: b"x", ..Deliver::default() };
    let Said::Mo(_, mo) = tongue("").hear(&octets(Body::Deliver(deliver), Version::V30)).said else { panic!() };
    assert_eq!(Options::read(mo.options.as_str()).get("link_id"), Some("LINK7"));
}
