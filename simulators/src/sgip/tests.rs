//! Dialogues with an SMG over connections in both directions, octet by octet where it strays from the book.

use codecs::layout::Items;
use codecs::sgip::Sequence as Number;
use codecs::text::Alphabet;

use super::*;
use crate::centre::Link;
use crate::hall::{Hall, word, written};

const RESP: u32 = 0x8000_0000;
const ACCOUNT: &str = "protocol = 'sgip'\nlogin = 'sp'\npassword = 'secret'\nnode = 101001";
/// With a listener of the other side's.
const BOTH: &str = "callback = '127.0.0.1:9'";
const TO: &[u8] = b"8613000130000";

fn hall(more: &str) -> Hall {
    Hall::new(ACCOUNT, more)
}

fn at(counter: u32) -> Number {
    Number { node: 3_010_012_345, time: 1_122_034_716, counter }
}

fn bind(hall: &mut Hall, login_type: u8, name: &'static [u8], password: &'static [u8]) -> (Link, Vec<u8>) {
    let link = hall.open();
    let bind = Bind { login_type, login_name: name, login_password: password, reserve: &[] };
    let said = hall.say(link, at(1), Body::Bind(bind), ());
    (link, said.concat())
}

fn bound(hall: &mut Hall) -> Link {
    let (link, said) = bind(hall, 1, b"sp", b"secret");
    assert_eq!((said.len(), word(&said, 4), said[20]), (29, 1 | RESP, 0));
    link
}

fn submit(text: &[u8]) -> Submit<'_> {
    Submit {
        sp_number: b"10690001",
        user_number: Items::one(TO),
        report_flag: report_flag::ALWAYS,
        message_content: text,
        ..Submit::default()
    }
}

fn send(hall: &mut Hall, link: Link, counter: u32, submit: Submit<'_>) -> Vec<Vec<u8>> {
    hall.say(link, at(counter), Body::Submit(submit), ())
}

fn number(octets: &[u8]) -> Number {
    Pdu::read(octets, ()).unwrap().sequence
}

fn reported(octets: &[u8]) -> Report<'_> {
    match Pdu::read(octets, ()).unwrap().body {
        Body::Report(report) => report,
        other => panic!("{other:?}"),
    }
}

/// Our connection to the other side, bound, and what was said on it at once.
fn called(hall: &mut Hall) -> (Link, Vec<Vec<u8>>) {
    assert!(hall.dials());
    let link = hall.centre.dialled(hall.now, true).unwrap();
    let said = hall.heard(link);
    assert_eq!(said.len(), 1);
    let Body::Bind(bind) = Pdu::read(&said[0], ()).unwrap().body else { panic!("{said:?}") };
    assert_eq!((bind.login_type, bind.login_name, bind.login_password), (2, &b"sp"[..], &b"secret"[..]));
    assert_eq!(number(&said[0]).node, 101_001);
    let said = hall.say(link, number(&said[0]), Body::BindResp(Resp::new(0)), ());
    (link, said)
}

#[test]
fn binds_are_judged_by_type_name_password_and_number() {
    for (login_type, name, password, wanted) in [
        (2, &b"sp"[..], &b"secret"[..], result::LOGIN_TYPE),
        (1, b"ps", b"secret", result::LOGIN),
        (1, b"sp", b"wrong", result::LOGIN),
    ] {
        let mut hall = hall("");
        let (link, said) = bind(&mut hall, login_type, name, password);
        assert_eq!((said.len(), said[20]), (29, wanted));
        assert!(hall.centre.ended(link));
    }
    let mut hall = hall("max_binds = 1");
    let link = bound(&mut hall);
    let again = Bind { login_type: 1, login_name: b"sp", login_password: b"secret", reserve: &[] };
    assert_eq!(hall.say(link, at(2), Body::Bind(again), ())[0][20], result::REPEATED_LOGIN);
    assert!(!hall.centre.ended(link));
    assert_eq!(bind(&mut hall, 1, b"sp", b"secret").1[20], result::TOO_MANY_CONNECTIONS);
}

#[test]
fn a_report_takes_a_connection_of_our_own_and_names_the_submit() {
    let mut hall = hall(&format!("{BOTH}\nreceipts = {{ after = 100 }}"));
    let link = bound(&mut hall);
    let text = written(Alphabet::Gbk, "【桥】你好");
    let said = send(&mut hall, link, 7, Submit { message_coding: 15, ..submit(&text) });
    assert_eq!((said[0].len(), word(&said[0], 4), number(&said[0]), said[0][20]), (29, 3 | RESP, at(7), 0));
    assert!(!hall.dials());
    hall.pass(100);
    let (back, said) = called(&mut hall);
    let report = reported(&said[0]);
    assert_eq!((report.submit_sequence, report.user_number, report.state, report.error_code), (at(7), TO, 0, 0));
    assert!(hall.heard(link).is_empty());
    hall.say(back, number(&said[0]), Body::ReportResp(Resp::new(0)), ());
    let log = hall.log();
    let id: String = at(7).octets().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!((&log[0]["carrier_id"], &log[0]["text"]), (&id.as_str().into(), &"【桥】你好".into()));
    assert_eq!((&log[1]["carrier_id"], &log[1]["acked"]), (&id.as_str().into(), &true.into()));
}

#[test]
fn our_connection_is_left_when_nothing_is_to_be_said_and_made_again() {
    let mut hall = hall(&format!("{BOTH}\ncallback_idle = '10s'\nreceipts = {{ after = 0, answer_deadline = '60s' }}"));
    let link = bound(&mut hall);
    send(&mut hall, link, 2, submit(b"x"));
    let (back, said) = called(&mut hall);
    hall.pass(20_000);
    assert!(hall.heard(back).is_empty(), "an unanswered report keeps it");
    hall.say(back, number(&said[0]), Body::ReportResp(Resp::new(0)), ());
    hall.pass(9_999);
    assert!(hall.heard(back).is_empty());
    hall.pass(1);
    let said = hall.heard(back);
    assert_eq!((said.len(), said[0].len(), word(&said[0], 4)), (1, 20, 2));
    hall.say(back, number(&said[0]), Body::UnbindResp, ());
    assert!(hall.centre.ended(back));
    hall.centre.closed(hall.now, back);
    send(&mut hall, link, 3, submit(b"x"));
    called(&mut hall);
    assert_eq!(hall.centre.report().counters.bound, 1, "our own connections are not the account's");
}

#[test]
fn a_listener_that_is_not_there_or_says_no_is_tried_again_later() {
    let mut hall = hall(&format!("{BOTH}\nreceipts = {{ after = 0, retry_after = '1s' }}"));
    let link = bound(&mut hall);
    send(&mut hall, link, 2, submit(b"x"));
    assert!(hall.dials());
    hall.pass(0);
    assert!(!hall.dials(), "one at a time");
    assert!(hall.centre.dialled(hall.now, false).is_none());
    hall.pass(999);
    assert!(!hall.dials());
    assert_eq!(hall.centre.deadline(), Some(hall.now + std::time::Duration::from_millis(1)));
    hall.pass(1);
    assert!(hall.dials());
    let back = hall.centre.dialled(hall.now, true).unwrap();
    let said = hall.heard(back);
    hall.say(back, number(&said[0]), Body::BindResp(Resp::new(result::LOGIN)), ());
    assert!(hall.centre.ended(back));
    hall.centre.closed(hall.now, back);
    hall.pass(999);
    assert!(!hall.dials());
    hall.pass(1);
    assert_eq!(called(&mut hall).1.len(), 1, "nothing was lost");
}

#[test]
fn reports_may_take_the_sps_own_connection() {
    for more in ["", "callback = '127.0.0.1:9'\nquirks = { deliver_over = 'same' }"] {
        let mut hall = hall(&format!("receipts = {{ after = 0 }}\n{more}"));
        let link = bound(&mut hall);
        let said = send(&mut hall, link, 2, submit(b"x"));
        assert_eq!((said.len(), reported(&said[1]).submit_sequence), (2, at(2)));
        assert!(!hall.dials());
    }
}

#[test]
fn the_report_flag_says_which_ends_are_told() {
    for (flag, failed, told) in [(0, 0, 0), (0, 1, 1), (1, 0, 1), (2, 0, 0), (2, 1, 0), (3, 0, 1)] {
        let mut hall = hall(&format!("receipts = {{ after = 0, failed = {failed} }}"));
        let link = bound(&mut hall);
        let said = send(&mut hall, link, 2, Submit { report_flag: flag, ..submit(b"x") });
        assert_eq!(said.len() - 1, told, "flag {flag}, failed {failed}");
    }
}

#[test]
fn failures_have_a_code() {
    for (more, code) in [("", result::CANNOT_COMMUNICATE), ("quirks = { error_code = 0 }", 0)] {
        let mut hall = hall(&format!("receipts = {{ after = 0, failed = 1 }}\n{more}"));
        let link = bound(&mut hall);
        let said = send(&mut hall, link, 2, submit(b"x"));
        assert_eq!((reported(&said[1]).state, reported(&said[1]).error_code), (2, code));
    }
}

#[test]
fn refusals_have_this_protocols_numbers() {
    let mut hall = hall("rate_limit = 10\nrate_burst = 1\nwindow = 1\nanswer_latency = 50\nreceipts = { none = 1 }");
    let link = bound(&mut hall);
    let two = [&[b'1'; 13][..], &[0; 8], &[b'2'; 13], &[0; 8]].concat();
    let long = [0; 141];
    for (submit, wanted) in [
        (Submit { user_number: Items::new(2, &two), ..submit(b"x") }, result::ONE_USER_ONLY),
        (Submit { message_coding: 8, ..submit(&long) }, result::LENGTH),
    ] {
        assert_eq!(send(&mut hall, link, 2, submit)[0][20], wanted);
    }
    assert!(send(&mut hall, link, 3, submit(b"x")).is_empty());
    assert_eq!(send(&mut hall, link, 4, submit(b"x"))[0][20], result::BUSY);
    hall.pass(50);
    hall.heard(link);
    assert_eq!(send(&mut hall, link, 5, submit(b"x"))[0][20], result::QUEUE_FULL);
    hall.pass(1_000);
    hall.fault("kind = 'errors'");
    assert_eq!(send(&mut hall, link, 6, submit(b"x"))[0][20], result::SYSTEM);
    let mut other = self::hall("quirks = { throttle_status = 88 }");
    let link = bound(&mut other);
    other.fault("kind = 'throttle'");
    assert_eq!(send(&mut other, link, 2, submit(b"x"))[0][20], 88);
}

#[test]
fn a_submit_over_our_own_connection_is_refused() {
    let mut hall = hall(&format!("{BOTH}\nreceipts = {{ after = 0 }}"));
    let link = bound(&mut hall);
    send(&mut hall, link, 2, submit(b"x"));
    let (back, _) = called(&mut hall);
    assert_eq!(send(&mut hall, back, 9, submit(b"x"))[0][20], result::LOGIN_TYPE);
}

#[test]
fn ends_and_strange_commands_are_answered_and_nonsense_ends_the_connection() {
    let mut hall = hall("");
    let link = bound(&mut hall);
    let said = hall.say(link, at(8), Body::Unknown { command: 0x1000, body: &[0; 41] }, ());
    assert_eq!((said[0].len(), word(&said[0], 4), said[0][20]), (29, 0x8000_1000, result::NOT_PROVIDED));
    let said = hall.say(link, at(9), Body::Unbind, ());
    assert_eq!((said[0].len(), number(&said[0])), (20, at(9)));
    assert!(hall.centre.ended(link));
    let link = bound(&mut hall);
    let said = hall.say(link, at(9), Body::Unknown { command: 3, body: &[1, 2] }, ());
    assert_eq!(said[0][20], result::FORMAT);
    assert!(hall.centre.ended(link));
}

#[test]
fn answers_may_be_too_short_or_too_long() {
    let mut hall = hall("quirks = { odd_lengths = true }");
    let (link, said) = bind(&mut hall, 1, b"sp", b"secret");
    assert_eq!((said.len(), said[20]), (21, 0));
    let said = hall.say(link, at(9), Body::Unbind, ());
    assert_eq!((said[0].len(), word(&said[0], 4)), (29, 2 | RESP));
}

#[test]
fn messages_from_handsets_come_over_our_connection() {
    for (quirks, udhi) in [("", 1), ("mo_udhi_64 = true, numbers = 'with_86'", 0x40)] {
        let mut hall = hall(&format!("{BOTH}\nquirks = {{ {quirks} }}"));
        let now = hall.now;
        hall.centre.write_mo(now, "13000130000", "10690001", &"桥".repeat(100), None).unwrap();
        let (back, said) = called(&mut hall);
        assert_eq!(said.len(), 2);
        for pdu in &said {
            let Body::Deliver(deliver) = Pdu::read(pdu, ()).unwrap().body else { panic!("{pdu:?}") };
            let from: &[u8] = if quirks.is_empty() { b"13000130000" } else { TO };
            assert_eq!((deliver.user_number, deliver.sp_number), (from, &b"10690001"[..]));
            assert_eq!((deliver.tp_udhi, deliver.message_coding), (udhi, 8));
            hall.say(back, number(pdu), Body::DeliverResp(Resp::new(0)), ());
        }
        assert_eq!(hall.centre.report().counters.mo_acked, 2);
    }
}

/// What is due and may not be done is put off: a deadline that stays in the past would be met again and again.
#[test]
fn a_mute_or_refusing_carrier_rests() {
    for (fault, listens) in [("mute", true), ("pings_only", true), ("refuse", false), ("mute", false)] {
        let mut hall = hall(&format!("{BOTH}\nreceipts = {{ after = 0, retry_after = '1s' }}"));
        let link = bound(&mut hall);
        send(&mut hall, link, 2, submit(b"x"));
        if listens {
            let (back, said) = called(&mut hall);
            hall.say(back, number(&said[0]), Body::ReportResp(Resp::new(0)), ());
        } else {
            assert!(hall.dials() && hall.centre.dialled(hall.now, false).is_none());
        }
        hall.fault(&format!("kind = '{fault}'"));
        for _ in 0..20 {
            hall.pass(5_000);
            assert!(hall.centre.deadline().is_none_or(|at| at > hall.now), "{fault}");
            assert!(!hall.dials(), "{fault}");
        }
    }
}

#[test]
fn a_taken_report_may_be_followed_by_the_users_state_and_a_question() {
    let mut hall =
        hall(&format!("{BOTH}\nreceipts = {{ after = 0 }}\nquirks = {{ user_report = true, trace = true }}"));
    let link = bound(&mut hall);
    send(&mut hall, link, 7, submit(b"x"));
    let (back, said) = called(&mut hall);
    let said = hall.say(back, number(&said[0]), Body::ReportResp(Resp::new(0)), ());
    assert_eq!(said.len(), 2);
    let Body::UserRpt(user) = Pdu::read(&said[0], ()).unwrap().body else { panic!("{said:?}") };
    assert_eq!((user.user_number, user.sp_number, user.user_condition), (TO, &b"10690001"[..], 2));
    assert_eq!((said[1].len(), word(&said[1], 4)), (61, command::TRACE));
    assert_eq!(said[1][20..32], at(7).octets());
    hall.say(back, number(&said[0]), Body::UserRptResp(Resp::new(0)), ());
    assert_eq!(hall.centre.report().counters.user_reports_acked, 1);
}

#[test]
fn a_submit_is_known_again_on_any_connection() {
    let mut hall = hall("receipts = { none = 1 }");
    let (first, second) = (bound(&mut hall), bound(&mut hall));
    assert_eq!(send(&mut hall, first, 7, submit(b"x"))[0][20], 0);
    assert_eq!(send(&mut hall, second, 7, submit(b"x"))[0][20], 0);
    let counters = hall.centre.report().counters;
    assert_eq!((counters.submits, counters.repeated), (1, 1));
}

#[test]
fn a_group_shares_one_number() {
    let mut hall = hall("receipts = { after = 0 }\nquirks = { group_send = true }");
    let link = bound(&mut hall);
    let two = [&[b'1'; 13][..], &[0; 8], &[b'2'; 13], &[0; 8]].concat();
    let said = send(&mut hall, link, 7, Submit { user_number: Items::new(2, &two), ..submit(b"x") });
    let reports: Vec<_> = said[1..].iter().map(|said| reported(said)).collect();
    assert_eq!((said[0][20], reports.len()), (0, 2));
    assert!(reports.iter().all(|report| report.submit_sequence == at(7)));
    assert_ne!(reports[0].user_number, reports[1].user_number);
}

#[test]
fn answers_may_have_a_time_of_their_own_and_messages_a_link() {
    let mut hall = hall("quirks = { own_answer_time = true, mo_link_id = 'LINK7' }\nreceipts = { none = 1 }");
    let (link, _) = bind(&mut hall, 1, b"sp", b"secret");
    let said = send(&mut hall, link, 7, submit(b"x"));
    let told = number(&said[0]);
    assert_eq!((told.node, told.counter), (at(7).node, 7));
    assert_ne!(told.time, at(7).time);
    let mo = crate::delivery::Mo { from: "1".into(), to: "2".into(), text: "x".into(), segment: None };
    hall.centre.send_mo(hall.now, mo);
    let said = hall.heard(link);
    let Body::Deliver(deliver) = Pdu::read(&said[0], ()).unwrap().body else { panic!("{said:?}") };
    assert_eq!(deliver.link_id, b"LINK7");
}
