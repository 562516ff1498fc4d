//! Dialogues with an SMGW, octet by octet where it strays from the book.

use codecs::layout::Items;
use codecs::text::Alphabet;

use super::*;
use crate::centre::Link;
use crate::hall::{Hall, word, written};

const RESP: u32 = 0x8000_0000;
const ACCOUNT: &str = "protocol = 'smgp'\nclient_id = '10000001'\nshared_secret = 'secret'\nnode = 571062";
const TO: &[u8] = b"13300133000";

fn hall(more: &str) -> Hall {
    Hall::new(ACCOUNT, more)
}

fn login(hall: &mut Hall, login: smgp::Login<'_>) -> (Link, LoginResp) {
    let link = hall.open();
    let said = hall.say(link, 1u32, Body::Login(login), ());
    assert_eq!((said.len(), said[0].len()), (1, 33));
    match Pdu::read(&said[0], ()).unwrap().body {
        Body::LoginResp(resp) => (link, resp),
        other => panic!("{other:?}"),
    }
}

fn by(mode: u8) -> smgp::Login<'static> {
    smgp::Login::new(b"10000001", b"secret", mode, 1_122_034_716)
}

fn bound(hall: &mut Hall, mode: u8) -> Link {
    let (link, resp) = login(hall, by(mode));
    assert_eq!(resp.status, 0);
    link
}

fn submit(text: &[u8]) -> Submit<'_> {
    Submit {
        msg_type: 6,
        need_report: 1,
        src_term_id: b"10690001",
        dest_term_id: Items::one(TO),
        msg_content: text,
        ..Submit::default()
    }
}

fn send(hall: &mut Hall, link: Link, sequence: u32, submit: Submit<'_>) -> Vec<Vec<u8>> {
    hall.say(link, sequence, Body::Submit(submit), ())
}

fn status(octets: &[u8]) -> u32 {
    match Pdu::read(octets, ()).unwrap().body {
        Body::SubmitResp(resp) => resp.status,
        other => panic!("{other:?}"),
    }
}

fn delivered(octets: &[u8]) -> Deliver<'_> {
    match Pdu::read(octets, ()).unwrap().body {
        Body::Deliver(deliver) => deliver,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_is_answered_with_proof_and_strangers_with_a_reason() {
    let (_, resp) = login(&mut hall(""), by(2));
    assert!(resp.is_authentic(&by(2), b"secret"));
    assert_eq!((resp.status, resp.server_version), (0, 0x30));
    for (stranger, wanted) in [
        (smgp::Login::new(b"10000002", b"secret", 2, 1), status::AUTHENTICATION),
        (smgp::Login::new(b"10000001", b"wrong", 2, 1), status::AUTHENTICATION),
        (smgp::Login { client_version: 0x40, ..by(2) }, status::VERSION),
        (by(3), status::STRUCTURE),
    ] {
        let mut hall = hall("");
        let (link, resp) = login(&mut hall, stranger);
        assert_eq!((resp.status, resp.authenticator_server), (wanted, [0; 16]));
        assert!(hall.centre.ended(link));
    }
    let mut full = hall("max_binds = 1");
    bound(&mut full, 2);
    assert_eq!(login(&mut full, by(2)).1.status, status::TOO_MANY_CONNECTIONS);
}

#[test]
fn a_submit_is_answered_reported_and_written_down() {
    let mut hall = hall("receipts = { after = 100 }");
    let link = bound(&mut hall, 2);
    let text = written(Alphabet::Gbk, "【桥】你好");
    let said = send(&mut hall, link, 7, Submit { msg_format: 15, ..submit(&text) });
    assert_eq!((said[0].len(), word(&said[0], 4), word(&said[0], 8), status(&said[0])), (26, 0x8000_0002, 7, 0));
    let id: [u8; 10] = said[0][12..22].try_into().unwrap();
    assert_eq!(Origin::of(id).unwrap().gateway / 10, 57_106);
    hall.pass(100);
    let report = hall.heard(link).remove(0);
    let deliver = delivered(&report);
    assert_eq!((deliver.is_report, deliver.msg_format, deliver.msg_content.len()), (1, 0, 122));
    assert_eq!((deliver.src_term_id, deliver.dest_term_id), (TO, &b"10690001"[..]));
    let found = deliver.report().unwrap();
    assert_eq!((report::msg_id(&found), found.stat, found.err), (Some(id), Some(&b"DELIVRD"[..]), Some(&b"000"[..])));
    assert_ne!(deliver.msg_id, id, "a Deliver has an id of its own");
    hall.say(link, word(&report, 8), Body::DeliverResp(DeliverResp { msg_id: deliver.msg_id, status: 0 }), ());
    let log = hall.log();
    let id: String = id.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!((&log[0]["carrier_id"], &log[0]["text"]), (&id.as_str().into(), &"【桥】你好".into()));
    assert_eq!((&log[1]["carrier_id"], &log[1]["acked"]), (&id.as_str().into(), &true.into()));
}

#[test]
fn long_messages_are_known_by_their_tlv_and_header() {
    let mut hall = hall("");
    let link = bound(&mut hall, 2);
    let part = [&[5, 0, 3, 7, 2, 1][..], &written(Alphabet::Ucs2, "桥")].concat();
    let tlvs = [0, 2, 0, 1, 1, 0, 9, 0, 1, 2, 0, 0x0a, 0, 1, 1];
    send(&mut hall, link, 2, Submit { msg_format: 8, tlvs: Tlvs::new(&tlvs), ..submit(&part) });
    let log = hall.log();
    assert_eq!((&log[0]["text"], &log[0]["udh"]["ref"], &log[0]["udh"]["total"]), (&"桥".into(), &7.into(), &2.into()));
}

#[test]
fn ids_may_be_cut_goodbyes_and_tests_unnumbered_and_numbers_filled_up() {
    let quirks =
        "quirks = { cut_id = true, zero_numbers = true, spaces = true, active_test_every = '30s', bye_back = true }";
    let mut hall = hall(&format!("receipts = {{ after = 0 }}\n{quirks}"));
    let link = bound(&mut hall, 2);
    let (mut cut, mut sequence) = (0, 7);
    while cut == 0 {
        let said = send(&mut hall, link, sequence, submit(b"x"));
        let id: [u8; 10] = said[0][12..22].try_into().unwrap();
        let whole = id.iter().position(|octet| *octet == 0).unwrap_or(10);
        let deliver = delivered(&said[1]);
        assert_eq!((deliver.msg_content.len(), &deliver.msg_content[3..3 + whole]), (112 + whole, &id[..whole]));
        assert_eq!(deliver.dest_term_id, b"10690001             ");
        (cut, sequence) = (10 - whole, sequence + 1);
        hall.say(link, word(&said[1], 8), Body::DeliverResp(DeliverResp { msg_id: deliver.msg_id, status: 0 }), ());
        assert!(sequence < 200, "no id has a NUL");
    }
    hall.pass(30_000);
    let heard = hall.heard(link);
    assert_eq!((word(&heard[0], 4), word(&heard[0], 8)), (4, 0), "a test");
    let said = hall.say(link, 9u32, Body::Exit, ());
    let spoken: Vec<(u32, u32)> = said.iter().map(|said| (word(said, 4), word(said, 8))).collect();
    assert_eq!(spoken, [(6 | RESP, 9), (6, 0)]);
}

#[test]
fn logins_send_and_receive_what_their_mode_says() {
    let mut hall = hall("receipts = { after = 10 }");
    let (sender, receiver) = (bound(&mut hall, login_mode::SEND), bound(&mut hall, login_mode::RECEIVE));
    assert_eq!(status(&send(&mut hall, receiver, 2, submit(b"x"))[0]), status::COMMAND);
    assert_eq!(status(&send(&mut hall, sender, 2, submit(b"x"))[0]), 0);
    hall.pass(10);
    assert_eq!((hall.heard(sender).len(), hall.heard(receiver).len()), (0, 1));
}

#[test]
fn refusals_have_this_protocols_numbers() {
    let mut hall = hall("rate_limit = 10\nrate_burst = 1\nrules = { '404' = 47 }");
    let link = bound(&mut hall, 2);
    let two = [&[b'1'; 11][..], &[0; 10], &[b'2'; 11], &[0; 10]].concat();
    for (submit, wanted) in [
        (Submit { dest_term_id: Items::new(2, &two), ..submit(b"x") }, 47),
        (Submit { msg_format: 8, ..submit(&[0; 141]) }, 36),
        (Submit { dest_term_id: Items::one(b"13300000404"), ..submit(b"x") }, 47),
        (submit(b"x"), 0),
        (submit(b"y"), 1),
    ] {
        assert_eq!(status(&send(&mut hall, link, 2, submit)[0]), wanted);
    }
    hall.fault("kind = 'errors'\nstatus = 8200");
    assert_eq!(status(&send(&mut hall, link, 3, submit(b"x"))[0]), 8200);
    let mut slow = self::hall("rate_limit = 10\nrate_burst = 1\nquirks = { throttle_status = 75 }");
    let link = bound(&mut slow, 2);
    send(&mut slow, link, 2, submit(b"x"));
    assert_eq!(status(&send(&mut slow, link, 3, submit(b"x"))[0]), 75);
}

#[test]
fn the_ends_tests_and_questions_of_a_connection_are_answered() {
    let mut hall = hall("");
    let link = bound(&mut hall, 2);
    assert_eq!(hall.say(link, 9u32, Body::ActiveTest, ()), [[0, 0, 0, 12, 0x80, 0, 0, 4, 0, 0, 0, 9]]);
    send(&mut hall, link, 3, submit(b"x"));
    let said = hall.say(link, 4u32, Body::Query(Query { query_time: b"20261122", ..Query::default() }), ());
    assert_eq!((said[0].len(), word(&said[0], 31), word(&said[0], 39)), (71, 1, 1));
    assert_eq!(word(&hall.say(link, 5u32, Body::Exit, ())[0], 4), 6 | RESP);
    assert!(hall.centre.ended(link));
    let mut echoing = self::hall("quirks = { active_test = 'echo', active_test_every = '30s' }");
    let link = bound(&mut echoing, 2);
    assert_eq!(echoing.say(link, 9u32, Body::ActiveTest, ()), [[0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 9]]);
    echoing.pass(30_000);
    assert_eq!(echoing.heard(link), [[0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 1]]);
}

#[test]
fn reports_are_spelled_in_every_way_seen() {
    let said = |quirk: &str| {
        let mut hall = hall(&format!("receipts = {{ after = 0, failed = 1 }}\nquirks = {{ {quirk} }}"));
        let link = bound(&mut hall, 2);
        send(&mut hall, link, 2, submit(b"hello")).remove(1)
    };
    let spaced = said("stats = { UNDELIV = '660' }, error_code = 64");
    let content = delivered(&spaced).msg_content.to_vec();
    assert_eq!((content.len(), &content[..3], &content[13..31]), (122, &b"id:"[..], &b" sub:001 dlvrd:000"[..]));
    assert_eq!((&content[31..44], &content[54..65]), (&b" submit date:"[..], &b" done date:"[..]));
    assert_eq!(&content[75..], b" stat:660\0\0\0\0 err:064 text:005hello\0\0\0\0\0\0\0\0\0\0\0\0");
    let underscored = said("report_text = 'underscored'");
    let content = delivered(&underscored).msg_content.to_vec();
    assert_eq!((content.len(), &content[31..44], &content[54..65]), (122, &b" submit_date:"[..], &b" done_date:"[..]));
    let understated = said("report_text = 'understated'");
    assert_eq!((understated.len(), understated[12 + 10 + 1 + 1 + 14 + 42]), (211, 115));
    let deliver = delivered(&understated);
    assert_eq!((deliver.msg_content.len(), deliver.report().unwrap().stat), (115, Some(&b"UNDELIV"[..])));
}

#[test]
fn the_digest_of_the_answer_may_be_anything() {
    for quirk in ["zeros", "wrong"] {
        let (_, resp) = login(&mut hall(&format!("quirks = {{ digest = '{quirk}' }}")), by(2));
        assert!(resp.status == 0 && !resp.is_authentic(&by(2), b"secret"), "{quirk}");
        assert_eq!(resp.authenticator_server == [0; 16], quirk == "zeros");
    }
}

#[test]
fn messages_from_handsets_have_a_time_and_long_ones_a_tlv() {
    for (quirks, udhi) in [("", 1), ("mo_udhi_64 = true", 0x40)] {
        let mut hall = hall(&format!("quirks = {{ {quirks} }}"));
        let link = bound(&mut hall, 2);
        let now = hall.now;
        hall.centre.write_mo(now, "13300133000", "10690001", &"桥".repeat(100), None).unwrap();
        let said = hall.heard(link);
        assert_eq!(said.len(), 2);
        let deliver = delivered(&said[1]);
        assert_eq!((deliver.is_report, deliver.msg_format, deliver.recv_time.len()), (0, 8, 14));
        assert_eq!(
            (deliver.tlvs.get_u8(tag::TP_UDHI), &deliver.msg_content[..6]),
            (Some(udhi), &[5, 0, 3, 1, 2, 2][..])
        );
        hall.centre.write_mo(now, "13300133000", "10690001", "TD", None).unwrap();
        let said = hall.heard(link);
        assert_eq!((delivered(&said[0]).msg_content, delivered(&said[0]).msg_format), (&b"TD"[..], 0));
    }
}

#[test]
fn a_million_messages_a_minute_have_names_of_their_own() {
    let smgp = Smgp::new(Some(571_062));
    let ids = [1, 1_000_001, 2_000_001].map(|number| smgp.msg_id(number, 0));
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids.iter().all(|id| Origin::of(*id).is_some()));
}

#[test]
fn reports_may_have_their_messages_id_and_messages_a_link() {
    let mut hall =
        hall("receipts = { after = 0 }\nquirks = { same_id = true, report_times = 'zeros', mo_link_id = 'LINK7' }");
    let link = bound(&mut hall, 2);
    let said = send(&mut hall, link, 7, submit(b"x"));
    let deliver = delivered(&said[1]);
    assert_eq!(deliver.msg_id, said[0][12..22]);
    assert_eq!(deliver.report().unwrap().submit_date, Some(&b"0000000000"[..]));
    let mo = crate::delivery::Mo { from: "1".into(), to: "2".into(), text: "x".into(), segment: None };
    hall.centre.send_mo(hall.now, mo);
    let said = hall.heard(link);
    assert_eq!(delivered(&said[0]).tlvs.get_cstring(tag::LINK_ID), Some(&b"LINK7"[..]));
}

#[test]
fn a_group_is_taken_where_the_gateway_takes_one_and_a_repetition_known() {
    let mut hall = hall("receipts = { none = 1 }\nquirks = { group_send = true, repeats = 'refuse' }");
    let link = bound(&mut hall, 2);
    let two = [&[b'1'; 11][..], &[0; 10], &[b'2'; 11], &[0; 10]].concat();
    let group = || Submit { dest_term_id: Items::new(2, &two), ..submit(b"x") };
    assert_eq!(status(&send(&mut hall, link, 7, group())[0]), 0);
    assert_eq!(status(&send(&mut hall, link, 7, group())[0]), status::DUPLICATE_SEQUENCE);
    let counters = hall.centre.report().counters;
    assert_eq!((counters.submits, counters.repeated), (2, 1));
}
