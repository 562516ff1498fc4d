//! Dialogues with a whole centre: what a peer sends, what comes back, what is written down. Time jumps.

use std::time::{Duration, Instant};

use codecs::framing;

use super::*;
use crate::centre::{Centre, Link, Order};
use crate::clock::Clock;
use crate::fault::Spec;
use crate::lines::Lines;
use crate::records::Wire;
use crate::scenario::Scenario;

/// A centre, its clock and its log.
struct Hall {
    centre: Centre,
    now: Instant,
    log: tempfile::NamedTempFile,
    wire: tempfile::NamedTempFile,
}

/// A PDU that came back: command, status, sequence, and the octets.
#[derive(Debug)]
struct Said {
    command: u32,
    status: u32,
    sequence: u32,
    octets: Vec<u8>,
}

impl Said {
    fn id(&self) -> String {
        match Pdu::read(&self.octets).unwrap().body {
            Body::SubmitSmResp(answer) => String::from_utf8(answer.message_id.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn text(&self) -> String {
        match Pdu::read(&self.octets).unwrap().body {
            Body::DeliverSm(sm) => String::from_utf8(sm.short_message.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn tlv(&self, tag: u16) -> Option<Vec<u8>> {
        match Pdu::read(&self.octets).unwrap().body {
            Body::DeliverSm(sm) => sm.tlvs.get(tag).map(<[u8]>::to_vec),
            other => panic!("{other:?}"),
        }
    }
}

impl Hall {
    fn new(more: &str) -> Self {
        let text = format!(
            "seed = 1\n[[carrier]]\nname = 'a'\nprotocol = 'smpp'\nsystem_id = 'id'\npassword = 'pw'\n{more}\n"
        );
        let scenario = Scenario::read(&text, "s").unwrap();
        let config = scenario.carriers().next().unwrap().clone();
        let log = tempfile::NamedTempFile::new().unwrap();
        let clock = Clock::start();
        let wire = tempfile::NamedTempFile::new().unwrap();
        let desk = Desk::new(config, 1, clock, Lines::open(log.path()).unwrap());
        let desk = desk.with_wire(Lines::open(wire.path()).unwrap());
        Self { centre: Centre::new(desk), now: clock.started(), log, wire }
    }

    fn open(&mut self) -> Link {
        self.centre.opened(self.now).unwrap()
    }

    fn bound(&mut self) -> Link {
        let link = self.open();
        let said = self.say(link, 1, Body::BindTransceiver(bind(b"pw")));
        assert_eq!((said[0].command, said[0].status), (command::BIND_TRANSCEIVER_RESP, 0));
        link
    }

    fn say(&mut self, link: Link, sequence: u32, body: Body<'_>) -> Vec<Said> {
        self.say_with(link, 0, sequence, body)
    }

    fn say_with(&mut self, link: Link, status: u32, sequence: u32, body: Body<'_>) -> Vec<Said> {
        let mut octets = BytesMut::new();
        Pdu { status, sequence, body }.write(&mut octets);
        self.octets(link, &octets)
    }

    fn octets(&mut self, link: Link, octets: &[u8]) -> Vec<Said> {
        let mut input = BytesMut::from(octets);
        self.centre.octets(self.now, link, &mut input);
        self.heard(link)
    }

    fn heard(&mut self, link: Link) -> Vec<Said> {
        let mut out = BytesMut::new();
        self.centre.take_out(link, &mut out);
        let mut said = Vec::new();
        while let Ok(Some(length)) = framing::cut(&out, &LIMITS) {
            let octets = out.split_to(length).to_vec();
            let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
            said.push(Said { command: word(4), status: word(8), sequence: word(12), octets });
        }
        said
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.centre.tick(self.now);
    }

    fn fault(&mut self, text: &str) {
        let spec: Spec = toml::from_str(text).unwrap();
        self.centre.start_fault(self.now, spec);
    }

    fn log(&mut self) -> Vec<serde_json::Value> {
        self.centre.flush();
        let text = std::fs::read_to_string(self.log.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn bind(password: &'static [u8]) -> Bind<'static> {
    Bind { system_id: b"id", password, interface_version: 0x34, ..Bind::default() }
}

fn sm(to: &'static [u8]) -> Sm<'static> {
    Sm {
        source_addr: b"1069",
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        destination_addr: to,
        registered_delivery: 1,
        short_message: b"hello",
        ..Sm::default()
    }
}

const TO: &[u8] = b"8613800000001";

fn submit() -> Body<'static> {
    Body::SubmitSm(sm(TO))
}

fn taken() -> Body<'static> {
    Body::DeliverSmResp(SmResp::default())
}

#[test]
fn a_submit_is_answered_and_its_receipt_follows() {
    let mut hall = Hall::new("receipts = { after = 100 }");
    let link = hall.bound();
    let said = hall.say(link, 2, submit());
    assert_eq!((said[0].command, said[0].status, said[0].sequence), (command::SUBMIT_SM_RESP, 0, 2));
    let id = said[0].id();
    hall.pass(99);
    assert!(hall.heard(link).is_empty());
    hall.pass(1);
    let receipt = hall.heard(link).remove(0);
    assert!(receipt.text().starts_with(&format!("id:{id} sub:001 dlvrd:001 submit date:")), "{}", receipt.text());
    assert!(receipt.text().ends_with(" stat:DELIVRD err:000 text:hello"), "{}", receipt.text());
    assert_eq!(receipt.tlv(tag::MESSAGE_STATE).unwrap(), [2]);
    hall.say(link, receipt.sequence, taken());
    let log = hall.log();
    assert_eq!(log[0]["kind"], "submit");
    assert_eq!(
        (&log[0]["destination"], &log[0]["text"], &log[0]["answered"]),
        (&"8613800000001".into(), &"hello".into(), &true.into())
    );
    assert_eq!(
        (&log[1]["kind"], &log[1]["carrier_id"], &log[1]["acked"]),
        (&"receipt".into(), &id.as_str().into(), &true.into())
    );
}

#[test]
fn strangers_are_shown_out_and_limits_hold() {
    let mut hall = Hall::new("max_binds = 2");
    let link = hall.open();
    assert_eq!(hall.say(link, 1, submit())[0].status, status::RINVBNDSTS);
    assert_eq!(hall.say(link, 2, Body::BindTransceiver(bind(b"no")))[0].status, status::RINVPASWD);
    assert!(hall.centre.ended(link));
    let link = hall.bound();
    assert_eq!(hall.say(link, 2, Body::BindTransmitter(bind(b"pw")))[0].status, status::RALYBND);
    assert!(!hall.centre.ended(link));
    hall.bound();
    let third = hall.open();
    assert_eq!(hall.say(third, 1, Body::BindTransceiver(bind(b"pw")))[0].status, status::RALYBND);
    hall.centre.closed(hall.now, link);
    hall.bound();
}

#[test]
fn late_answers_wait_and_the_window_bounds_them() {
    let mut hall = Hall::new("answer_latency = 50\nwindow = 2");
    let link = hall.bound();
    assert!(hall.say(link, 2, submit()).is_empty() && hall.say(link, 3, submit()).is_empty());
    assert_eq!(hall.say(link, 4, submit())[0].status, status::RMSGQFUL);
    assert_eq!(hall.centre.deadline(), Some(hall.now + Duration::from_millis(50)));
    hall.pass(50);
    let sequences: Vec<u32> = hall.heard(link).iter().map(|said| said.sequence).collect();
    assert_eq!(sequences, [2, 3]);
}

#[test]
fn an_answer_lost_with_its_connection_is_written_down_as_such() {
    let mut hall = Hall::new("answer_latency = 50");
    let link = hall.bound();
    hall.say(link, 2, submit());
    hall.centre.closed(hall.now, link);
    assert_eq!(hall.log()[0]["answered"], false);
}

#[test]
fn receipts_wait_for_a_bind_and_go_over_any_that_receives() {
    let mut hall = Hall::new("receipts = { after = 10 }");
    let link = hall.bound();
    hall.say(link, 2, submit());
    hall.centre.closed(hall.now, link);
    hall.pass(10_000);
    let transmitter = hall.open();
    let said = hall.say(transmitter, 1, Body::BindTransmitter(bind(b"pw")));
    assert_eq!(said.len(), 1, "a transmitter gets no receipt");
    let receiver = hall.open();
    let said = hall.say(receiver, 1, Body::BindReceiver(bind(b"pw")));
    assert_eq!(said[1].command, command::DELIVER_SM);
    assert_eq!(hall.say(receiver, 2, submit())[0].status, status::RINVBNDSTS);
}

#[test]
fn a_receipt_without_an_answer_is_sent_again_a_bounded_number_of_times() {
    let mut hall = Hall::new("receipts = { after = 0, max_tries = 4, answer_deadline = '10s', retry_after = '1s' }");
    let link = hall.bound();
    let said = hall.say(link, 2, submit());
    let first = said.into_iter().find(|said| said.command == command::DELIVER_SM).unwrap();
    hall.say_with(link, status::RX_T_APPN, first.sequence, taken());
    hall.pass(999);
    assert!(hall.heard(link).is_empty());
    hall.pass(1);
    assert_eq!(hall.heard(link).len(), 1, "again after a temporary error");
    hall.pass(10_000);
    assert_eq!(hall.heard(link).len(), 1, "again after silence");
    hall.centre.closed(hall.now, link);
    let link = hall.open();
    let said = hall.say(link, 1, Body::BindTransceiver(bind(b"pw")));
    assert_eq!(said.len(), 2, "again on the next connection");
    hall.pass(10_000);
    assert!(hall.heard(link).is_empty());
    let last = hall.log().pop().unwrap();
    assert_eq!((&last["kind"], &last["acked"], &last["tries"]), (&"receipt".into(), &false.into(), &4.into()));
}

#[test]
fn a_permanent_refusal_ends_a_receipt() {
    let mut hall = Hall::new("receipts = { after = 0 }");
    let link = hall.bound();
    let receipt = hall.say(link, 2, submit()).into_iter().find(|said| said.command == command::DELIVER_SM).unwrap();
    hall.say_with(link, status::RX_P_APPN, receipt.sequence, taken());
    hall.pass(60_000);
    assert!(hall.heard(link).is_empty());
    assert_eq!(hall.log().pop().unwrap()["acked"], false);
}

#[test]
fn quirks_show_in_receipts() {
    let quirks = "receipts = { after = 0, before_answer = true, duplicate = true, id_in_answer = 'hex', \
        id_in_receipt = 'dec', tlv = false, date_digits = 12, missing = ['sub', 'dlvrd', 'submit date', 'text'], \
        failed = 1 }";
    let mut hall = Hall::new(quirks);
    let link = hall.bound();
    let said = hall.say(link, 2, submit());
    let commands: Vec<u32> = said.iter().map(|said| said.command).collect();
    assert_eq!(commands, [command::DELIVER_SM, command::DELIVER_SM, command::SUBMIT_SM_RESP]);
    let number = u64::from_str_radix(&said[2].id(), 16).unwrap();
    let text = said[0].text();
    assert!(
        text.starts_with(&format!("id:{number:010} done date:")) && text.ends_with(" stat:UNDELIV err:027"),
        "{text}"
    );
    assert_eq!(text.split("done date:").nth(1).unwrap().split(' ').next().unwrap().len(), 12);
    assert_eq!(said[0].tlv(tag::MESSAGE_STATE), None);
}

#[test]
fn registered_delivery_is_respected() {
    let mut hall = Hall::new("receipts = { after = 0 }");
    let link = hall.bound();
    for (sequence, registered_delivery, receipts) in [(2, 0, 0), (3, 1, 1), (4, 2, 0), (5, 3, 1), (6, 0x11, 1)] {
        let said = hall.say(link, sequence, Body::SubmitSm(Sm { registered_delivery, ..sm(TO) }));
        let got = said.iter().filter(|said| said.command == command::DELIVER_SM).count();
        assert_eq!(got, receipts, "{registered_delivery}");
    }
}

#[test]
fn rules_and_rate_refuse() {
    let mut hall = Hall::new("rules = { '0404' = 'ESME_RINVDSTADR' }\nrate_limit = 10\nrate_burst = 2");
    let link = hall.bound();
    assert_eq!(hall.say(link, 2, Body::SubmitSm(sm(b"8613800000404")))[0].status, status::RINVDSTADR);
    let statuses: Vec<u32> = (3..6).map(|sequence| hall.say(link, sequence, submit())[0].status).collect();
    assert_eq!(statuses, [0, 0, status::RTHROTTLED]);
    hall.pass(100);
    assert_eq!(hall.say(link, 6, submit())[0].status, 0);
    let counters = hall.centre.report().counters;
    assert_eq!((counters.submits, counters.throttled, counters.refused), (3, 1, 2));
    assert_eq!(hall.log().len(), 3, "refused submits are not in the log");
}

#[test]
fn parts_are_told_apart_by_header_and_by_tlv() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    let by_header = Sm { esm_class: UDHI, short_message: &[5, 0, 3, 42, 2, 1, b'h', b'i'], ..sm(TO) };
    hall.say(link, 2, Body::SubmitSm(by_header));
    let mut tlvs = BytesMut::new();
    put_tlv(&mut tlvs, tag::SAR_MSG_REF_NUM, &[1, 2]);
    put_tlv(&mut tlvs, tag::SAR_TOTAL_SEGMENTS, &[3]);
    put_tlv(&mut tlvs, tag::SAR_SEGMENT_SEQNUM, &[2]);
    put_tlv(&mut tlvs, tag::USER_MESSAGE_REFERENCE, &[0, 9]);
    let ucs2 = Sm { data_coding: 8, short_message: &[0x4F, 0x60, 0x59, 0x7D], tlvs: Tlvs::new(&tlvs), ..sm(TO) };
    hall.say(link, 3, Body::SubmitSm(ucs2));
    let log = hall.log();
    assert_eq!(log[0]["udh"], serde_json::json!({"ref": 42, "total": 2, "seq": 1}));
    assert_eq!(log[0]["text"], "hi");
    assert_eq!(log[1]["udh"], serde_json::json!({"ref": 258, "total": 3, "seq": 2}));
    assert_eq!((&log[1]["text"], &log[1]["user_message_reference"]), (&"你好".into(), &9.into()));
}

#[test]
fn a_bad_pdu_costs_one_answer_and_a_broken_stream_the_link() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    let said = hall.octets(link, &[0, 0, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0]);
    assert_eq!((said[0].command, said[0].sequence), (command::SUBMIT_SM_RESP, 7));
    assert!(said[0].status != 0);
    let said = hall.say(link, 8, Body::Unknown { command: 0x21, body: &[] });
    assert_eq!((said[0].command, said[0].status, said[0].sequence), (command::GENERIC_NACK, status::RINVCMDID, 8));
    assert_eq!(hall.say(link, 9, Body::EnquireLink)[0].command, command::ENQUIRE_LINK_RESP);
    assert!(!hall.centre.ended(link));
    let said = hall.octets(link, &[0xFF; 16]);
    assert_eq!((said[0].command, said[0].status), (command::GENERIC_NACK, status::RINVCMDLEN));
    assert!(hall.centre.ended(link));
}

#[test]
fn octets_may_come_one_by_one() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    let mut octets = BytesMut::new();
    Pdu { status: 0, sequence: 2, body: submit() }.write(&mut octets);
    let mut input = BytesMut::new();
    for octet in octets {
        assert!(hall.heard(link).is_empty());
        input.extend_from_slice(&[octet]);
        hall.centre.octets(hall.now, link, &mut input);
    }
    assert_eq!(hall.heard(link)[0].command, command::SUBMIT_SM_RESP);
    assert!(input.is_empty());
}

#[test]
fn mute_takes_everything_and_says_nothing() {
    let mut hall = Hall::new("receipts = { after = 10 }\nanswer_latency = 5");
    let link = hall.bound();
    hall.say(link, 2, submit());
    hall.fault("kind = 'mute'\nfor = '1s'");
    assert!(hall.say(link, 3, submit()).is_empty());
    assert!(hall.say(link, 4, Body::EnquireLink).is_empty());
    hall.pass(20);
    assert!(hall.heard(link).is_empty());
    hall.pass(1_000);
    let said = hall.heard(link);
    assert!(said.len() == 2 && said.iter().all(|said| said.command == command::DELIVER_SM), "receipts come later");
    let log = hall.log();
    assert!(log.len() == 2 && log.iter().all(|line| line["answered"] == false), "{log:?}");
}

#[test]
fn pings_only_answers_pings_only() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    hall.fault("kind = 'pings_only'");
    assert!(hall.say(link, 2, submit()).is_empty());
    assert_eq!(hall.say(link, 3, Body::EnquireLink)[0].command, command::ENQUIRE_LINK_RESP);
    hall.centre.clear_faults(hall.now);
    assert_eq!(hall.say(link, 4, submit()).len(), 1);
}

#[test]
fn hang_freezes_and_goes_on_afterwards() {
    let mut hall = Hall::new("answer_latency = 5");
    let link = hall.bound();
    hall.say(link, 2, submit());
    hall.fault("kind = 'hang'\nfor = '1s'");
    assert!(!hall.centre.reads(link));
    hall.pass(500);
    assert!(hall.heard(link).is_empty());
    assert!(hall.log().is_empty(), "the answer is still to come");
    assert_eq!(hall.centre.deadline(), Some(hall.now + Duration::from_millis(500)));
    hall.pass(500);
    assert!(hall.centre.reads(link));
    let commands: Vec<u32> = hall.heard(link).iter().map(|said| said.command).collect();
    assert_eq!(commands, [command::SUBMIT_SM_RESP, command::DELIVER_SM]);
    assert_eq!(hall.log()[0]["answered"], true);
}

#[test]
fn reset_refuse_and_garbage_reach_the_shell() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    hall.fault("kind = 'garbage'");
    let mut out = BytesMut::new();
    hall.centre.take_out(link, &mut out);
    assert!(framing::cut(&out, &LIMITS).is_err());
    hall.centre.take_orders();
    hall.fault("kind = 'reset'");
    assert!(hall.centre.take_orders().contains(&Order::Reset(link)));
    assert!(hall.centre.opened(hall.now).is_some(), "a reset is a moment");
    hall.fault("kind = 'refuse'\nfor = '1s'");
    let orders = hall.centre.take_orders();
    assert!(orders.contains(&Order::Close(link)) && orders.contains(&Order::Listen(false)), "{orders:?}");
    assert!(hall.centre.opened(hall.now).is_none());
    hall.pass(1_000);
    assert!(hall.centre.take_orders().contains(&Order::Listen(true)));
}

#[test]
fn errors_throttle_and_slow_change_answers() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    hall.fault("kind = 'errors'\nfor = 10");
    assert_eq!(hall.say(link, 2, submit())[0].status, status::RSYSERR);
    hall.pass(10);
    hall.fault("kind = 'throttle'\nfor = 10");
    assert_eq!(hall.say(link, 3, submit())[0].status, status::RTHROTTLED);
    hall.pass(10);
    hall.fault("kind = 'slow'\nlatency = 300");
    assert!(hall.say(link, 4, submit()).is_empty());
    hall.pass(300);
    assert_eq!(hall.heard(link)[0].status, 0);
}

#[test]
fn the_wire_file_has_every_read_and_every_answer_at_once() {
    let mut hall = Hall::new("answer_latency = 20");
    let link = hall.bound();
    hall.say(link, 2, submit());
    let wire = |hall: &Hall| {
        let text = std::fs::read_to_string(hall.wire.path()).unwrap();
        let line = |line: &str| match serde_json::from_str(line).unwrap() {
            Wire::Read { t_ms, destination } => (t_ms, destination.into_owned(), None),
            Wire::Answer { t_ms, destination, status } => (t_ms, destination.into_owned(), Some(status)),
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(wire(&hall).len(), 1, "read, not yet answered");
    hall.pass(20);
    hall.fault("kind = 'errors'\nfor = 10");
    hall.say(link, 3, submit());
    hall.pass(10);
    hall.fault("kind = 'mute'");
    hall.say(link, 4, submit());
    let wire = wire(&hall);
    let kinds: Vec<_> = wire.iter().map(|(_, _, status)| *status).collect();
    assert_eq!(kinds, [None, Some(0), None, Some(status::RSYSERR), None]);
    assert!(wire.iter().all(|(_, to, _)| to.as_bytes() == TO));
    assert!((wire[1].0 - wire[0].0 - 20.0).abs() < 0.01, "{wire:?}");
}

#[test]
fn receipts_are_dropped_and_doubled_on_demand() {
    let mut hall = Hall::new("receipts = { after = 10 }");
    let link = hall.bound();
    hall.say(link, 2, submit());
    hall.fault("kind = 'drop_receipts'\nfor = 20");
    hall.pass(10);
    hall.pass(60_000);
    assert!(hall.heard(link).is_empty(), "dropped for good");
    assert_eq!(hall.centre.report().counters.receipts_lost, 1);
    hall.fault("kind = 'duplicate_receipts'");
    hall.say(link, 3, submit());
    hall.pass(10);
    let said = hall.heard(link);
    assert!(said.len() == 2 && said[0].text() == said[1].text() && said[0].sequence != said[1].sequence, "{said:?}");
}

#[test]
fn close_after_takes_the_submit_and_goes() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    hall.fault("kind = 'close_after'\nafter = 2");
    assert_eq!(hall.say(link, 2, submit()).len(), 1);
    assert!(hall.say(link, 3, submit()).is_empty());
    assert!(hall.centre.ended(link));
    let log = hall.log();
    assert_eq!((&log[0]["answered"], &log[1]["answered"]), (&true.into(), &false.into()));
}

#[test]
fn uplink_messages_come_by_the_clock_and_on_demand() {
    let mut hall = Hall::new("mo = [{ at = 5, every = 10, from = '8613800000001', to = '1069', text = '退订' }]");
    let link = hall.bound();
    for _ in 0..3 {
        hall.pass(10);
        let said = hall.heard(link);
        assert_eq!(said.len(), 1);
        hall.say(link, said[0].sequence, taken());
    }
    hall.centre.send_mo(hall.now, Mo { from: "1".into(), to: "2".into(), text: "x".repeat(300).into(), segment: None });
    let said = hall.heard(link);
    assert_eq!(said[0].tlv(tag::MESSAGE_PAYLOAD).unwrap().len(), 300);
    assert_eq!(hall.log()[0]["text"], "退订");
}

#[test]
fn a_long_uplink_message_comes_in_parts_and_order_as_the_scenario_says() {
    for (long, udh) in [("udh8", true), ("udh16", true), ("sar", false)] {
        let mo = format!(
            "mo = [{{ at = 5, from = '1', to = '2', text = 'abcd', parts = {{ long = '{long}', cut = 2, order = [2, 1] }} }}]"
        );
        let mut hall = Hall::new(&mo);
        let link = hall.bound();
        hall.pass(10);
        let said = hall.heard(link);
        assert_eq!(said.len(), 2, "{long}");
        assert_eq!(said[0].tlv(tag::SAR_SEGMENT_SEQNUM).is_some(), !udh);
        said.iter().for_each(|said| drop(hall.say(link, said.sequence, taken())));
        let log = hall.log();
        assert_eq!((&log[0]["udh"]["seq"], &log[1]["udh"]["seq"]), (&2.into(), &1.into()));
        assert_eq!((&log[0]["text"], &log[0]["acked"]), (&"abcd".into(), &true.into()));
    }
}

#[test]
fn an_uplink_message_lost_with_its_connection_is_sent_again_on_the_next() {
    let mut hall = Hall::new("");
    let link = hall.bound();
    hall.fault("kind = 'close_after_mo'");
    hall.centre.send_mo(hall.now, Mo { from: "1".into(), to: "2".into(), text: "x".into(), segment: None });
    assert_eq!(hall.heard(link).len(), 1);
    assert!(hall.centre.ended(link));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let receipts = "receipts = { after = { min = 1, max = 50 }, failed = 0.3, none = 0.2 }";
        let mut hall = Hall::new(&format!("{receipts}\nanswer_latency = {{ median_ms = 20, p99_ms = 90 }}"));
        let link = hall.bound();
        let mut heard = Vec::new();
        for sequence in 2..60 {
            heard.extend(hall.say(link, sequence, submit()));
            hall.pass(3);
            heard.extend(hall.heard(link));
        }
        let spelled = |said: &Said| (said.command, said.sequence, said.status);
        heard.iter().map(spelled).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_deaf_peer_is_not_fed_without_bound() {
    let mut hall = Hall::new("receipts = { after = 0, window = 4 }");
    let link = hall.bound();
    let mut receipts = 0;
    for sequence in 2..20 {
        let said = hall.say(link, sequence, submit());
        receipts += said.iter().filter(|said| said.command == command::DELIVER_SM).count();
    }
    assert_eq!(receipts, 4, "no more than the window without an answer");
}
