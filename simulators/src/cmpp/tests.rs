//! Dialogues with an ISMG, octet by octet where it strays from the book.

use codecs::layout::Items;
use codecs::text::Alphabet;
use codecs::text::split::{Reference, split};

use super::*;
use crate::centre::Link;
use crate::hall::{Hall, word, written};

const RESP: u32 = 0x8000_0000;
const TIMESTAMP: u32 = 1_122_034_716;
const TO: &[u8] = b"13800138000";

struct Ismg {
    hall: Hall,
    version: Version,
}

impl Ismg {
    fn new(version: Version, more: &str) -> Self {
        let name = if version == Version::V20 { "2.0" } else { "3.0" };
        let account = format!(
            "protocol = 'cmpp'\nversion = '{name}'\nsource_addr = '901234'\nshared_secret = 'secret'\nnode = 1001"
        );
        Self { hall: Hall::new(&account, more), version }
    }

    fn say(&mut self, link: Link, sequence: u32, body: Body<'_>) -> Vec<Vec<u8>> {
        self.hall.say(link, sequence, body, self.version)
    }

    fn login(&mut self, account: &[u8], secret: &[u8], version: Version) -> (Link, Vec<u8>) {
        let link = self.hall.open();
        let said = self.say(link, 1, Body::Connect(Connect::new(account, secret, version, TIMESTAMP)));
        assert_eq!(said.len(), 1);
        (link, said[0].clone())
    }

    fn bound(&mut self) -> Link {
        let (link, said) = self.login(b"901234", b"secret", self.version);
        assert_eq!(status(&said, self.version), 0);
        link
    }

    fn submit(&mut self, link: Link, sequence: u32, text: &[u8]) -> Vec<Vec<u8>> {
        self.say(link, sequence, Body::Submit(submit(text)))
    }
}

fn submit(text: &[u8]) -> Submit<'_> {
    Submit {
        pk_total: 1,
        pk_number: 1,
        registered_delivery: 1,
        msg_src: b"901234",
        src_id: b"10690001",
        dest_terminal_id: Items::one(TO),
        msg_content: text,
        ..Submit::default()
    }
}

/// Status of a CONNECT_RESP.
fn status(octets: &[u8], version: Version) -> u32 {
    match Pdu::read(octets, version).unwrap().body {
        Body::ConnectResp(resp) => resp.status,
        other => panic!("{other:?}"),
    }
}

fn result(octets: &[u8], version: Version) -> u32 {
    match Pdu::read(octets, version).unwrap().body {
        Body::SubmitResp(resp) => resp.result,
        other => panic!("{other:?}"),
    }
}

fn delivered(octets: &[u8], version: Version) -> Deliver<'_> {
    match Pdu::read(octets, version).unwrap().body {
        Body::Deliver(deliver) => deliver,
        other => panic!("{other:?}"),
    }
}

fn ok(msg_id: [u8; 8]) -> Body<'static> {
    Body::DeliverResp(DeliverResp { msg_id, result: 0 })
}

#[test]
fn a_login_is_answered_in_the_accounts_version_and_proves_the_secret() {
    for (version, length) in [(Version::V20, 30), (Version::V30, 33)] {
        let mut ismg = Ismg::new(version, "");
        let (_, said) = ismg.login(b"901234", b"secret", version);
        assert_eq!(said.len(), length);
        let Body::ConnectResp(resp) = Pdu::read(&said, version).unwrap().body else { panic!() };
        let connect = Connect::new(b"901234", b"secret", version, TIMESTAMP);
        assert!(resp.is_authentic(&connect, b"secret"));
        assert_eq!((resp.status, resp.version), (0, version.octet()));
    }
}

#[test]
fn strangers_are_told_why_and_shown_out() {
    for version in [Version::V20, Version::V30] {
        let other = if version == Version::V20 { Version::V30 } else { Version::V20 };
        for (account, secret, claimed, wanted) in [
            (&b"901235"[..], &b"secret"[..], version, connect::SOURCE_ADDR),
            (b"901234", b"wrong", version, connect::AUTHENTICATION),
            (b"901234", b"secret", other, connect::VERSION),
        ] {
            let mut ismg = Ismg::new(version, "");
            let (link, said) = ismg.login(account, secret, claimed);
            assert_eq!(status(&said, version), wanted);
            assert!(said[16..].iter().rev().skip(1).take(16).all(|octet| *octet == 0), "no digest for a stranger");
            assert!(ismg.hall.centre.ended(link));
        }
    }
}

#[test]
fn connections_are_counted_and_a_second_login_leaves_the_first() {
    let mut ismg = Ismg::new(Version::V30, "max_binds = 1");
    let link = ismg.bound();
    let again = Body::Connect(Connect::new(b"901234", b"secret", Version::V30, TIMESTAMP));
    assert_eq!(status(&ismg.say(link, 2, again)[0], Version::V30), connect::OTHER);
    assert!(!ismg.hall.centre.ended(link));
    let (second, said) = ismg.login(b"901234", b"secret", Version::V30);
    assert_eq!(status(&said, Version::V30), connect::OTHER);
    assert!(ismg.hall.centre.ended(second));
}

#[test]
fn whoever_does_not_log_in_first_is_shown_out() {
    let mut ismg = Ismg::new(Version::V30, "");
    let link = ismg.hall.open();
    assert!(ismg.submit(link, 1, b"hello").is_empty());
    assert!(ismg.hall.centre.ended(link));
}

#[test]
fn a_submit_is_answered_reported_and_written_down() {
    for (version, answer, block) in [(Version::V20, 21, 60), (Version::V30, 24, 71)] {
        let mut ismg = Ismg::new(version, "receipts = { after = 100 }");
        let link = ismg.bound();
        let said = ismg.submit(link, 7, b"hello");
        assert_eq!((said[0].len(), word(&said[0], 4), word(&said[0], 8)), (answer, command::SUBMIT | RESP, 7));
        let id: [u8; 8] = said[0][12..20].try_into().unwrap();
        assert_eq!(Origin::of(id).unwrap().gateway, 1001);
        ismg.hall.pass(100);
        let report = ismg.hall.heard(link).remove(0);
        let deliver = delivered(&report, version);
        assert_eq!((deliver.registered_delivery, deliver.msg_content.len()), (1, block));
        assert_eq!((deliver.dest_id, deliver.src_terminal_id), (&b"10690001"[..], TO));
        let found = deliver.report().unwrap();
        assert_eq!((found.msg_id, found.stat, found.dest_terminal_id), (id, &b"DELIVRD"[..], TO));
        assert_ne!(deliver.msg_id, id, "a DELIVER has an id of its own");
        ismg.say(link, word(&report, 8), ok(deliver.msg_id));
        let log = ismg.hall.log();
        let id: String = id.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!((&log[0]["carrier_id"], &log[0]["text"]), (&id.as_str().into(), &"hello".into()));
        assert_eq!((&log[1]["carrier_id"], &log[1]["acked"]), (&id.as_str().into(), &true.into()));
    }
}

#[test]
fn texts_are_read_in_every_alphabet_and_long_ones_by_their_header() {
    let mut ismg = Ismg::new(Version::V30, "");
    let link = ismg.bound();
    for (sequence, format, alphabet) in [(2, 8, Alphabet::Ucs2), (3, 15, Alphabet::Gbk), (4, 0, Alphabet::Gbk)] {
        let text = written(alphabet, "【桥】你好");
        ismg.say(link, sequence, Body::Submit(Submit { msg_fmt: format, ..submit(&text) }));
    }
    let long = "桥".repeat(100);
    for (number, part) in split(&long, Alphabet::Ucs2, Reference::Udh8(9), 9).unwrap().iter().enumerate() {
        let part = Submit { msg_fmt: 8, tp_udhi: 1, pk_total: 2, pk_number: number as u8 + 1, ..submit(&part.data) };
        ismg.say(link, 9, Body::Submit(part));
    }
    let log = ismg.hall.log();
    assert!((0..3).all(|line| log[line]["text"] == "【桥】你好"), "{log:?}");
    assert_eq!(log[3]["text"].as_str().unwrap().to_owned() + log[4]["text"].as_str().unwrap(), long);
    assert_eq!((&log[4]["udh"]["ref"], &log[4]["udh"]["seq"], &log[4]["parts"]), (&9.into(), &2.into(), &2.into()));
}

#[test]
fn what_is_wrong_with_a_submit_is_said_by_number() {
    let mut ismg = Ismg::new(
        Version::V30,
        "rate_limit = 10\nrate_burst = 1\nrules = { '404' = 13 }\nwindow = 1\nanswer_latency = 50",
    );
    let link = ismg.bound();
    let two = [&[b'1'; 11][..], &[0; 21], &[b'2'; 11], &[0; 21]].concat();
    for (submit, wanted) in [
        (Submit { dest_terminal_id: Items::new(2, &two), ..submit(b"x") }, 13),
        (Submit { msg_src: b"901235", ..submit(b"x") }, 11),
        (submit(&[b'x'; 161]), 6),
        (Submit { dest_terminal_id: Items::one(b"13800000404"), ..submit(b"x") }, 13),
    ] {
        assert_eq!(result(&ismg.say(link, 2, Body::Submit(submit))[0], Version::V30), wanted);
    }
    assert!(ismg.submit(link, 3, b"x").is_empty(), "its answer is late");
    assert_eq!(result(&ismg.submit(link, 4, b"x")[0], Version::V30), 8, "over the window");
    ismg.hall.pass(50);
    assert_eq!(result(&ismg.hall.heard(link)[0], Version::V30), 0);
    assert_eq!(result(&ismg.submit(link, 5, b"x")[0], Version::V30), 8, "over the rate");
    let counters = ismg.hall.centre.report().counters;
    assert_eq!((counters.submits, counters.over_window, counters.throttled), (1, 1, 2));
}

#[test]
fn every_fault_bites() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 10 }");
    let link = ismg.bound();
    ismg.hall.fault("kind = 'throttle'");
    assert_eq!(result(&ismg.submit(link, 2, b"x")[0], Version::V30), 8);
    ismg.hall.centre.clear_faults(ismg.hall.now);
    ismg.hall.fault("kind = 'errors'\nstatus = 101");
    assert_eq!(result(&ismg.submit(link, 3, b"x")[0], Version::V30), 101);
    ismg.hall.centre.clear_faults(ismg.hall.now);
    ismg.hall.fault("kind = 'pings_only'");
    assert!(ismg.submit(link, 4, b"x").is_empty());
    assert_eq!(word(&ismg.say(link, 5, Body::ActiveTest)[0], 4), command::ACTIVE_TEST | RESP);
    ismg.hall.fault("kind = 'mute'");
    assert!(ismg.say(link, 6, Body::ActiveTest).is_empty());
    ismg.hall.centre.clear_faults(ismg.hall.now);
    ismg.hall.pass(10);
    ismg.hall.heard(link);
    ismg.hall.fault("kind = 'duplicate_receipts'");
    ismg.submit(link, 7, b"x");
    ismg.hall.pass(10);
    assert_eq!(ismg.hall.heard(link).len(), 2);
    ismg.hall.fault("kind = 'drop_receipts'");
    ismg.submit(link, 8, b"x");
    ismg.hall.pass(10);
    assert!(ismg.hall.heard(link).is_empty());
    ismg.hall.centre.clear_faults(ismg.hall.now);
    ismg.hall.fault("kind = 'close_after'\nafter = 1");
    assert!(ismg.submit(link, 9, b"x").is_empty() && ismg.hall.centre.ended(link));
    ismg.hall.fault("kind = 'garbage'");
    let mut out = BytesMut::new();
    ismg.hall.centre.take_out(link, &mut out);
    assert!(codecs::framing::cut(&out, &LIMITS).is_err());
}

#[test]
fn the_ends_tests_and_questions_of_a_connection_are_answered() {
    let mut ismg = Ismg::new(Version::V30, "");
    let link = ismg.bound();
    let said = ismg.say(link, 2, Body::ActiveTest);
    assert_eq!(said[0], [0, 0, 0, 13, 0x80, 0, 0, 8, 0, 0, 0, 2, 0]);
    ismg.submit(link, 3, b"x");
    let said = ismg.say(link, 4, Body::Query(Query { time: b"20261122", ..Query::default() }));
    assert_eq!((said[0].len(), &said[0][12..20]), (63, &b"20261122"[..]));
    assert_eq!((word(&said[0], 31), word(&said[0], 39)), (1, 1), "taken and forwarded");
    let said = ismg.say(link, 5, Body::Cancel(codecs::cmpp::Cancel { msg_id: [1; 8] }));
    assert_eq!((word(&said[0], 4), word(&said[0], 12)), (command::CANCEL | RESP, 1));
    assert_eq!(word(&ismg.say(link, 6, Body::Terminate)[0], 4), command::TERMINATE | RESP);
    assert!(ismg.hall.centre.ended(link));
}

#[test]
fn what_cannot_be_read_is_answered_and_counted() {
    let mut ismg = Ismg::new(Version::V30, "");
    let link = ismg.bound();
    let said = ismg.hall.octets(link, &[0, 0, 0, 14, 0, 0, 0, 4, 0, 0, 0, 9, 1, 2]);
    assert_eq!((word(&said[0], 8), result(&said[0], Version::V30)), (9, 1));
    ismg.hall.octets(link, &[0, 0, 0, 1]);
    assert!(ismg.hall.centre.ended(link));
    assert_eq!(ismg.hall.centre.report().counters.malformed, 2);
}

#[test]
fn a_report_may_leave_ahead_of_its_answer() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { before_answer = true }");
    let link = ismg.bound();
    let said = ismg.submit(link, 2, b"x");
    assert_eq!((word(&said[0], 4), word(&said[1], 4)), (command::DELIVER, command::SUBMIT | RESP));
    assert_eq!(delivered(&said[0], Version::V30).report().unwrap().msg_id[..], said[1][12..20]);
}

#[test]
fn reports_take_the_connection_the_scenario_says() {
    for (over, here, there) in [("same", 1, 0), ("other", 0, 1)] {
        let more = format!("receipts = {{ after = 10 }}\nquirks = {{ deliver_over = '{over}' }}");
        let mut ismg = Ismg::new(Version::V30, &more);
        let link = ismg.bound();
        ismg.submit(link, 2, b"x");
        let other = ismg.bound();
        ismg.hall.pass(10);
        assert_eq!((ismg.hall.heard(link).len(), ismg.hall.heard(other).len()), (here, there), "{over}");
        assert_eq!(ismg.hall.centre.report().counters.receipts_sent, 1);
    }
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0 }\nquirks = { deliver_over = 'other' }");
    let link = ismg.bound();
    assert_eq!(ismg.submit(link, 2, b"x").len(), 1);
    let other = ismg.hall.open();
    let login = Connect::new(b"901234", b"secret", Version::V30, TIMESTAMP);
    assert_eq!(ismg.say(other, 1, Body::Connect(login)).len(), 2, "it waited for another connection");
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 10 }\nquirks = { deliver_over = 'same' }");
    let (link, other) = (ismg.bound(), ismg.bound());
    ismg.submit(link, 2, b"x");
    ismg.hall.centre.closed(ismg.hall.now, link);
    ismg.hall.pass(10);
    assert_eq!(ismg.hall.heard(other).len(), 1, "its own is gone");
}

#[test]
fn a_report_of_60_octets_leaves_in_3_0() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0 }\nquirks = { narrow_report = true }");
    let link = ismg.bound();
    let said = ismg.submit(link, 2, b"x");
    assert_eq!((said[1].len(), delivered(&said[1], Version::V30).msg_content.len()), (109 + 60, 60));
    assert_eq!(delivered(&said[1], Version::V30).report().unwrap().dest_terminal_id, TO);
}

#[test]
fn a_report_may_have_its_id_the_other_way_round() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0 }\nquirks = { swapped_id = true }");
    let link = ismg.bound();
    let said = ismg.submit(link, 2, b"x");
    let swapped: Vec<u8> = said[0][12..20].iter().rev().copied().collect();
    assert_eq!(delivered(&said[1], Version::V30).report().unwrap().msg_id[..], swapped);
}

#[test]
fn parts_are_answered_only_when_all_are_there_the_last_first() {
    let mut ismg = Ismg::new(Version::V30, "quirks = { answer_when_whole = true }\nreceipts = { none = 1 }");
    let link = ismg.bound();
    let part = |of: u8, number: u8| [5, 0, 3, of, 2, number, b'x'];
    let say = |ismg: &mut Ismg, sequence, of, number| {
        ismg.say(link, sequence, Body::Submit(Submit { tp_udhi: 1, ..submit(&part(of, number)) }))
    };
    assert!(say(&mut ismg, 2, 1, 1).is_empty());
    assert!(say(&mut ismg, 3, 2, 1).is_empty(), "of another message");
    assert_eq!(ismg.submit(link, 4, b"short").len(), 1);
    assert!(say(&mut ismg, 5, 1, 1).is_empty(), "the same part again");
    let said = say(&mut ismg, 6, 1, 2);
    assert_eq!(said.iter().map(|pdu| word(pdu, 8)).collect::<Vec<_>>(), [6, 5, 2]);
    ismg.hall.centre.closed(ismg.hall.now, link);
    let log = ismg.hall.log();
    assert_eq!(log.last().unwrap()["answered"], false, "what was held back is written down");
    assert_eq!(log.len(), 5);
}

/// Each part's answer has a time of its own, and none leaves before the last part's.
#[test]
fn answers_kept_back_wait_for_the_latest() {
    let mut ismg =
        Ismg::new(Version::V30, "quirks = { answer_when_whole = true }\nreceipts = { none = 1 }\nanswer_latency = 50");
    let link = ismg.bound();
    for number in [1, 2] {
        ismg.say(link, number.into(), Body::Submit(Submit { tp_udhi: 1, ..submit(&[5, 0, 3, 1, 2, number, b'x']) }));
        ismg.hall.pass(30);
    }
    ismg.hall.pass(19);
    assert!(ismg.hall.heard(link).is_empty());
    ismg.hall.pass(1);
    assert_eq!(ismg.hall.heard(link).iter().map(|pdu| word(pdu, 8)).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn an_active_test_may_be_answered_by_another_or_without_a_body() {
    for (quirk, wanted) in
        [("echo", &[0, 0, 0, 12, 0, 0, 0, 8, 0, 0, 0, 9][..]), ("short", &[0, 0, 0, 12, 0x80, 0, 0, 8, 0, 0, 0, 9])]
    {
        let mut ismg = Ismg::new(Version::V30, &format!("quirks = {{ active_test = '{quirk}' }}"));
        let link = ismg.bound();
        assert_eq!(ismg.say(link, 9, Body::ActiveTest), [wanted.to_vec()]);
    }
}

#[test]
fn the_digest_of_the_answer_may_be_anything() {
    let digest = |version, quirk: &str| {
        let mut ismg = Ismg::new(version, &format!("quirks = {{ digest = '{quirk}' }}"));
        let (_, said) = ismg.login(b"901234", b"secret", version);
        match Pdu::read(&said, version).unwrap().body {
            Body::ConnectResp(resp) => resp,
            other => panic!("{other:?}"),
        }
    };
    let connect = Connect::new(b"901234", b"secret", Version::V20, TIMESTAMP);
    assert_eq!(digest(Version::V30, "zeros").authenticator_ismg, [0; 16]);
    let wrong = digest(Version::V20, "wrong");
    assert!(!wrong.is_authentic(&connect, b"secret") && wrong.status == 0 && wrong.authenticator_ismg != [0; 16]);
    let (wide, right) = (digest(Version::V20, "wide"), digest(Version::V20, "right"));
    assert!(wide.is_authentic(&connect, b"secret") && wide.authenticator_ismg != right.authenticator_ismg);
}

#[test]
fn our_sequence_numbers_may_begin_again() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0 }\nquirks = { sequence_restart = 2 }");
    let link = ismg.bound();
    let sequences: Vec<u32> = (2..7).map(|sequence| word(&ismg.submit(link, sequence, b"x")[1], 8)).collect();
    assert_eq!(sequences, [1, 2, 1, 2, 1]);
    assert_eq!(ismg.hall.centre.report().counters.receipts_sent, 5);
    // One answer settles one delivery, the oldest of that number.
    (0..2).for_each(|_| drop(ismg.say(link, 1, ok([0; 8]))));
    assert_eq!(ismg.hall.centre.report().counters.receipts_acked, 2);
}

#[test]
fn the_far_side_asks_for_signs_of_life_and_gives_up_after_three() {
    let mut ismg = Ismg::new(Version::V30, "quirks = { active_test_every = '30s' }");
    let link = ismg.bound();
    ismg.hall.pass(30_000);
    let said = ismg.hall.heard(link);
    assert_eq!(said, [[0, 0, 0, 12, 0, 0, 0, 8, 0, 0, 0, 1]]);
    ismg.say(link, 1, Body::ActiveTestResp(ActiveTestResp::default()));
    for _ in 0..3 {
        ismg.hall.pass(30_000);
        assert_eq!(ismg.hall.heard(link).len(), 1);
    }
    assert!(!ismg.hall.centre.ended(link));
    ismg.hall.pass(30_000);
    assert!(ismg.hall.centre.ended(link));
}

#[test]
fn a_silent_peer_may_be_cut_off_early() {
    let mut ismg = Ismg::new(Version::V30, "quirks = { close_idle = '5s' }");
    let link = ismg.bound();
    ismg.hall.pass(4_999);
    ismg.say(link, 2, Body::ActiveTest);
    ismg.hall.pass(4_999);
    assert!(!ismg.hall.centre.ended(link));
    ismg.hall.pass(1);
    assert!(ismg.hall.centre.ended(link));
}

#[test]
fn a_client_of_the_other_version_may_be_served_in_the_accounts() {
    let mut ismg = Ismg::new(Version::V30, "quirks = { any_version = true }");
    let (_, said) = ismg.login(b"901234", b"secret", Version::V20);
    assert_eq!((said.len(), status(&said, Version::V30)), (33, 0));
}

#[test]
fn messages_from_handsets_come_in_both_alphabets_long_ones_in_parts() {
    let mo = "mo = [{ at = 5, from = '13800138000', to = '10690001', text = '退订' }]";
    for (quirks, format, text) in [
        ("", 8, written(Alphabet::Ucs2, "退订")),
        ("mo_text = 'gbk', numbers = 'with_86'", 15, written(Alphabet::Gbk, "退订")),
    ] {
        let mut ismg = Ismg::new(Version::V30, &format!("{mo}\nquirks = {{ {quirks} }}"));
        let link = ismg.bound();
        ismg.hall.pass(5);
        let said = ismg.hall.heard(link);
        let deliver = delivered(&said[0], Version::V30);
        assert_eq!((deliver.registered_delivery, deliver.msg_fmt, deliver.msg_content), (0, format, &text[..]));
        let from: &[u8] = if quirks.is_empty() { TO } else { b"8613800138000" };
        assert_eq!((deliver.src_terminal_id, deliver.dest_id), (from, &b"10690001"[..]));
    }
    for (quirks, udhi) in [("", 1), ("mo_udhi_64 = true", 0x40)] {
        let mut ismg = Ismg::new(Version::V30, &format!("quirks = {{ {quirks} }}"));
        let link = ismg.bound();
        let now = ismg.hall.now;
        ismg.hall.centre.write_mo(now, "13800138000", "10690001", &"桥".repeat(100), None).unwrap();
        let said = ismg.hall.heard(link);
        assert_eq!(said.len(), 2, "no message is longer than 140 octets");
        for (part, number) in said.iter().zip(1..) {
            let deliver = delivered(part, Version::V30);
            assert_eq!((deliver.tp_udhi, &deliver.msg_content[..6]), (udhi, &[5, 0, 3, 1, 2, number][..]));
            assert!(deliver.msg_content.len() <= 140);
        }
    }
}

#[test]
fn outcomes_are_said_in_the_carriers_words() {
    let quirks = "quirks = { stats = { UNDELIV = 'MK:0024' } }";
    let mut ismg = Ismg::new(Version::V30, &format!("receipts = {{ after = 0, failed = 1 }}\n{quirks}"));
    let link = ismg.bound();
    let said = ismg.submit(link, 2, b"x");
    assert_eq!(delivered(&said[1], Version::V30).report().unwrap().stat, b"MK:0024");
}

#[test]
fn a_report_that_is_refused_comes_again() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0, retry_after = 10 }");
    let link = ismg.bound();
    let said = ismg.submit(link, 2, b"x");
    ismg.say(link, word(&said[1], 8), Body::DeliverResp(DeliverResp { msg_id: [0; 8], result: 8 }));
    ismg.hall.pass(10);
    let again = ismg.hall.heard(link);
    assert_eq!(delivered(&again[0], Version::V30).msg_content[..8], said[0][12..20]);
}

#[test]
fn a_peer_that_never_answers_reports_is_told_a_few_times_and_no_more() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 0, answer_deadline = 100, max_tries = 3 }");
    let link = ismg.bound();
    assert_eq!(ismg.submit(link, 2, b"x").len(), 2);
    let again: Vec<usize> = (0..5)
        .map(|_| {
            ismg.hall.pass(100);
            ismg.hall.heard(link).len()
        })
        .collect();
    assert_eq!(again, [1, 1, 0, 0, 0]);
    assert_eq!(ismg.hall.centre.report().counters.receipts_lost, 1);
}

fn id(octets: &[u8]) -> [u8; 8] {
    octets[12..20].try_into().unwrap()
}

fn kinds(log: &[serde_json::Value]) -> Vec<&str> {
    log.iter().filter_map(|line| line["kind"].as_str()).collect()
}

#[test]
fn a_submit_that_comes_again_is_answered_again_and_counted_once() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { none = 1 }");
    let link = ismg.bound();
    let first = id(&ismg.submit(link, 7, b"hello")[0]);
    assert_eq!(id(&ismg.submit(link, 7, b"hello")[0]), first);
    assert_ne!(id(&ismg.submit(link, 8, b"hello")[0]), first, "another number is another message");
    assert_ne!(id(&ismg.submit(link, 7, b"other")[0]), first, "and so is another text");
    let again = ismg.bound();
    assert_ne!(id(&ismg.submit(again, 7, b"hello")[0]), first, "numbers count on their connection");
    let counters = ismg.hall.centre.report().counters;
    assert_eq!((counters.submits, counters.repeated), (4, 1));
    let log = ismg.hall.log();
    assert_eq!(kinds(&log), ["submit", "repeat", "submit", "submit", "submit"]);
    assert_eq!(log[1]["carrier_id"], log[0]["carrier_id"]);
}

#[test]
fn a_repetition_waits_for_the_answer_that_is_still_to_come() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { none = 1 }\nanswer_latency = 50");
    let link = ismg.bound();
    assert!(ismg.submit(link, 7, b"hello").is_empty() && ismg.submit(link, 7, b"hello").is_empty());
    ismg.hall.pass(50);
    assert_eq!(ismg.hall.heard(link).len(), 1, "one answer");
    assert_eq!(ismg.submit(link, 7, b"hello").len(), 1, "and at once where it has been given");
}

#[test]
fn what_an_unanswering_gateway_took_is_known_when_it_speaks_again() {
    let mut ismg = Ismg::new(Version::V20, "receipts = { none = 1 }");
    let link = ismg.bound();
    ismg.hall.fault("kind = 'mute'\nfor = '1s'");
    assert!(ismg.submit(link, 7, b"hello").is_empty());
    ismg.hall.pass(2_000);
    assert_eq!(result(&ismg.submit(link, 7, b"hello")[0], Version::V20), 0);
    assert_eq!(kinds(&ismg.hall.log()), ["submit", "repeat"]);
}

#[test]
fn repetitions_may_be_dropped_refused_counted_or_known_by_their_text() {
    for (quirk, answers, repeated) in [("drop", 0, 1), ("refuse", 1, 1), ("count", 1, 0)] {
        let mut ismg =
            Ismg::new(Version::V30, &format!("receipts = {{ none = 1 }}\nquirks = {{ repeats = '{quirk}' }}"));
        let link = ismg.bound();
        ismg.submit(link, 7, b"hello");
        let said = ismg.submit(link, 7, b"hello");
        assert_eq!((said.len(), ismg.hall.centre.report().counters.repeated), (answers, repeated), "{quirk}");
        let refused = quirk == "refuse";
        assert!(said.iter().all(|said| result(said, Version::V30) == if refused { 3 } else { 0 }), "{quirk}");
        assert_eq!(result(&ismg.submit(link, 7, b"other")[0], Version::V30), if refused { 3 } else { 0 });
    }
    let mut ismg = Ismg::new(Version::V30, "receipts = { none = 1 }\nquirks = { repeat_window = '10s' }");
    let link = ismg.bound();
    let first = id(&ismg.submit(link, 7, b"hello")[0]);
    assert_eq!(id(&ismg.submit(link, 8, b"hello")[0]), first);
    ismg.hall.pass(10_000);
    assert_ne!(id(&ismg.submit(link, 9, b"hello")[0]), first);
}

#[test]
fn a_group_has_ids_in_a_row_and_a_report_for_each() {
    let mut ismg = Ismg::new(Version::V30, "receipts = { after = 10 }\nquirks = { group_send = true }");
    let link = ismg.bound();
    let two = [&[b'1'; 11][..], &[0; 21], &[b'2'; 11], &[0; 21]].concat();
    let group = Submit { dest_terminal_id: Items::new(2, &two), service_id: b"HELP", link_id: b"L7", ..submit(b"x") };
    let said = ismg.say(link, 7, Body::Submit(group));
    let first = u64::from_be_bytes(id(&said[0]));
    assert_eq!((said.len(), result(&said[0], Version::V30)), (1, 0));
    ismg.hall.pass(10);
    let reports = ismg.hall.heard(link);
    let told: Vec<u64> = reports
        .iter()
        .map(|octets| u64::from_be_bytes(delivered(octets, Version::V30).report().unwrap().msg_id))
        .collect();
    assert_eq!(told, [first, first + 1]);
    let log = ismg.hall.log();
    let to: Vec<_> = log.iter().map(|line| line["destination"].as_str().unwrap()).collect();
    assert_eq!(to.len(), 2);
    assert!(to.contains(&"11111111111") && to.contains(&"22222222222"), "{to:?}");
    assert_eq!((&log[0]["service_id"], &log[0]["link_id"]), (&"HELP".into(), &"L7".into()));
}

#[test]
fn a_group_is_refused_whole_and_has_no_reports_in_2_0() {
    let two = [&[b'1'; 11][..], &[0; 10], &[b'2'; 11], &[0; 10]].concat();
    let group = || Submit { dest_terminal_id: Items::new(2, &two), ..submit(b"x") };
    let quirks = "receipts = { after = 0 }\nquirks = { group_send = true }";
    let mut ismg = Ismg::new(Version::V20, quirks);
    let link = ismg.bound();
    let said = ismg.say(link, 7, Body::Submit(group()));
    assert_eq!((said.len(), result(&said[0], Version::V20), ismg.hall.log().len()), (1, 0, 2));
    ismg.hall.pass(10);
    assert!(ismg.hall.heard(link).is_empty());
    let mut ismg = Ismg::new(Version::V20, &format!("rules = {{ '2222' = 13 }}\n{quirks}"));
    let link = ismg.bound();
    let said = ismg.say(link, 7, Body::Submit(group()));
    assert_eq!((said.len(), result(&said[0], Version::V20), ismg.hall.log().len()), (1, 13, 0));
}

#[test]
fn numbers_may_be_filled_up_with_spaces() {
    for version in [Version::V20, Version::V30] {
        let mut ismg = Ismg::new(version, "receipts = { after = 0 }\nquirks = { spaces = true }");
        let link = ismg.bound();
        let said = ismg.submit(link, 7, b"x");
        let deliver = delivered(&said[1], version);
        let filled =
            |number: &[u8], at: &[u8]| number.starts_with(at) && number[at.len()..21].iter().all(|b| *b == b' ');
        assert!(filled(deliver.dest_id, b"10690001"), "{:?}", deliver.dest_id);
        let number = deliver.src_terminal_id.trim_ascii();
        assert!(filled(deliver.src_terminal_id, number), "{:?}", deliver.src_terminal_id);
        assert!(filled(deliver.report().unwrap().dest_terminal_id, number));
    }
}

#[test]
fn reports_may_lack_times_and_have_their_messages_id() {
    for (times, written) in [("empty", &b""[..]), ("zeros", b"0000000000"), ("cut", b"20")] {
        let quirks = format!("receipts = {{ after = 0 }}\nquirks = {{ report_times = '{times}', same_id = true }}");
        let mut ismg = Ismg::new(Version::V30, &quirks);
        let link = ismg.bound();
        let said = ismg.submit(link, 7, b"x");
        let deliver = delivered(&said[1], Version::V30);
        assert_eq!(deliver.msg_id, id(&said[0]));
        let report = deliver.report().unwrap();
        assert!(report.submit_time.starts_with(written) && report.done_time.starts_with(written), "{times}");
        assert_eq!(report.submit_time.iter().all(|octet| *octet == 0), times == "empty");
    }
}

#[test]
fn some_say_goodbye_back_and_others_hang_up_on_strangers() {
    let mut ismg = Ismg::new(Version::V30, "quirks = { bye_back = true, silent_refusal = true }");
    let link = ismg.bound();
    let said = ismg.say(link, 9, Body::Terminate);
    let commands: Vec<u32> = said.iter().map(|said| word(said, 4)).collect();
    assert_eq!(commands, [command::TERMINATE | RESP, command::TERMINATE]);
    let link = ismg.hall.open();
    let stranger = Connect::new(b"901234", b"wrong", Version::V30, TIMESTAMP);
    assert!(ismg.say(link, 1, Body::Connect(stranger)).is_empty() && ismg.hall.centre.ended(link));
}

#[test]
fn messages_from_handsets_may_come_with_a_link() {
    for (version, link_id) in [(Version::V20, &b""[..]), (Version::V30, b"LINK7")] {
        let mut ismg = Ismg::new(version, "quirks = { mo_link_id = 'LINK7' }");
        let link = ismg.bound();
        ismg.hall
            .centre
            .send_mo(ismg.hall.now, Mo { from: "1".into(), to: "2".into(), text: "x".into(), segment: None });
        let said = ismg.hall.heard(link);
        assert_eq!(delivered(&said[0], version).link_id, link_id);
    }
}

#[test]
fn a_second_of_a_million_messages_has_no_id_twice() {
    let ismg = Cmpp::new(Version::V30, Some(1001));
    let ids: std::collections::HashSet<_> = (0..1_000_000).map(|number| ismg.msg_id(number, 0)).collect();
    assert_eq!(ids.len(), 1_000_000);
}
