//! What a conversation does beyond the promises that every session keeps: resends, repeated probes, peers that stray. The
//! tongue is CMPP 2.0's.

use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use codecs::cmpp::{ActiveTestResp, Body, ConnectResp, Deliver, LIMITS, Pdu, SubmitResp, Version, command, status};
use codecs::framing::cut;
use codecs::pdu::Bodies;

use super::*;
use crate::cmpp::CmppTongue;
use crate::cmpp::testing::settings;
use crate::inbound::LIMIT;
use crate::message::{Brief, Coding};
use crate::session::{AttemptRef, PathId, Payload};

const S: Duration = Duration::from_secs(1);

struct Ismg {
    session: Dialogue<CmppTongue>,
    now: Now,
    events: Vec<Event>,
    /// Command, sequence number and octets of what the session said.
    said: Vec<(u32, u32, Vec<u8>)>,
}

impl Ismg {
    fn new(lines: &str, role: Role) -> Ismg {
        let settings = settings(&format!("version = \"2.0\"\n{lines}"));
        let terms = Terms { first_sequence: 1, ..settings.terms(1) };
        #[allow(clippy::disallowed_methods, reason = "an origin for the arithmetic")]
        let now = Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let session = Dialogue::new(CmppTongue::new(settings), role, terms);
        Ismg { session, now, events: Vec::new(), said: Vec::new() }
    }

    fn bound(lines: &str, role: Role) -> Ismg {
        let mut ismg = Ismg::new(lines, role);
        ismg.input(Input::Opened).unwrap();
        ismg.say(1, Body::ConnectResp(ConnectResp::refused(0, Version::V20))).unwrap();
        assert!(ismg.events.iter().any(|event| matches!(event, Event::Bound(_))));
        ismg.events.clear();
        ismg.said.clear();
        ismg
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), Fault> {
        let result = self.session.input(self.now, input);
        while let Some(output) = self.session.output() {
            match output {
                Output::Transmit(_, payload) => {
                    let mut octets = &payload.body[..];
                    while let Some(whole) = cut(octets, &LIMITS).unwrap() {
                        let (pdu, rest) = octets.split_at(whole);
                        octets = rest;
                        let read = Pdu::read(pdu, Version::V20).unwrap();
                        self.said.push((read.body.command(), read.sequence, pdu.to_vec()));
                    }
                }
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
        result
    }

    fn say(&mut self, sequence: u32, body: Body<'_>) -> Result<(), Fault> {
        let mut out = BytesMut::new();
        Pdu { sequence, body }.write(Version::V20, &mut out);
        self.input(Input::Octets(PathId(0), Payload::octets(&out)))
    }

    fn submit(&mut self, number: u64, part: &Part) -> Ticket {
        let ticket = Ticket::new(AttemptRef(number), 0);
        self.input(Input::Submit(ticket, AttemptRef(number), part)).unwrap();
        ticket
    }

    fn after(&mut self, time: Duration) -> Result<(), Fault> {
        self.now.mono += time;
        self.input(Input::Tick)
    }

    fn commands(&self) -> Vec<(u32, u32)> {
        self.said.iter().map(|(command, sequence, _)| (*command, *sequence)).collect()
    }

    fn lenient(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Leniency(_)))
    }
}

fn part() -> Part {
    Part {
        to: "+8613800138000".into(),
        sender: None,
        coding: Coding::Ascii,
        data: "x"[..].into(),
        udh: false,
        index: 0,
        total: 1,
        reference: 1,
        valid_for: 60 * S,
        receipt: true,
        options: String::new(),
    }
}

fn accepted(id: u8) -> Body<'static> {
    Body::SubmitResp(SubmitResp { msg_id: [id; 8], result: status::result::OK })
}

#[test]
fn an_unanswered_submit_is_sent_again_with_its_own_number() {
    let mut ismg = Ismg::bound("answer_timeout = \"60s\"\ndialect = { resends = 2 }", Role::Both);
    let ticket = ismg.submit(1, &part());
    let first = ismg.said[0].clone();
    let end = first.2.len() as u64 + 39;
    // Something is heard meanwhile, so that the link lives.
    for _ in 0..2 {
        ismg.after(30 * S).unwrap();
        ismg.say(7, Body::ActiveTest).unwrap();
        ismg.said.clear();
        ismg.after(30 * S).unwrap();
        ismg.say(8, Body::ActiveTest).unwrap();
        assert!(ismg.events.is_empty(), "{:?}", ismg.events);
        assert_eq!(ismg.said[0], first, "octet for octet");
        assert_eq!(ismg.session.room(), 3);
    }
    ismg.after(30 * S).unwrap();
    ismg.say(9, Body::ActiveTest).unwrap();
    ismg.after(30 * S).unwrap();
    assert_eq!(ismg.events, [Event::Unanswered(ticket, end), Event::Freed(ticket)], "as far as its first octets got");
    assert!(ismg.session.copies.is_empty());
}

#[test]
fn an_answer_to_a_resend_ends_the_ticket_once() {
    let mut ismg = Ismg::bound("answer_timeout = \"2s\"\ndialect = { resends = 1 }", Role::Both);
    let ticket = ismg.submit(1, &part());
    ismg.after(2 * S).unwrap();
    ismg.say(2, accepted(1)).unwrap();
    ismg.say(2, accepted(2)).unwrap();
    let ends = ismg.events.iter().filter(|event| matches!(event, Event::Submitted(t, _) if *t == ticket)).count();
    assert_eq!((ends, ismg.lenient(), ismg.session.room()), (1, true, 4));
    assert!(ismg.session.copies.is_empty());
}

#[test]
fn nothing_is_sent_again_by_default_nor_after_unbind() {
    let mut ismg = Ismg::bound("answer_timeout = \"2s\"", Role::Both);
    ismg.submit(1, &part());
    ismg.after(2 * S).unwrap();
    assert_eq!((ismg.said.len(), ismg.events.len()), (1, 2));
    let mut ismg = Ismg::bound("answer_timeout = \"2s\"\ndialect = { resends = 5 }", Role::Both);
    ismg.submit(1, &part());
    ismg.input(Input::Unbind).unwrap();
    ismg.after(2 * S).unwrap();
    assert_eq!(ismg.commands(), [(command::SUBMIT, 2), (command::TERMINATE, 3)]);
    assert!(matches!(ismg.events[0], Event::Unanswered(..)));
}

#[test]
fn silence_may_be_given_several_tries() {
    let mut ismg = Ismg::bound("answer_timeout = \"10s\"\ndialect = { active_test_tries = 3 }", Role::Both);
    for wait in [30, 10, 10] {
        ismg.after(wait * S).unwrap();
    }
    assert_eq!(ismg.commands(), [2, 3, 4].map(|sequence| (command::ACTIVE_TEST, sequence)));
    assert_eq!(ismg.after(10 * S), Err(Fault::Silent));
}

#[test]
fn a_probe_answered_by_a_probe_is_answered_and_starts_nothing() {
    let mut ismg = Ismg::bound("", Role::Both);
    ismg.input(Input::Probe).unwrap();
    ismg.say(2, Body::ActiveTest).unwrap();
    ismg.say(2, Body::ActiveTest).unwrap();
    ismg.say(2, Body::ActiveTestResp(ActiveTestResp::default())).unwrap();
    let answer = command::ACTIVE_TEST | command::RESPONSE;
    assert_eq!(ismg.commands(), [(command::ACTIVE_TEST, 2), (answer, 2), (answer, 2)]);
    assert_eq!(ismg.events.iter().filter(|event| **event == Event::ProbeAnswered).count(), 1);
    assert!(ismg.lenient());
}

#[test]
fn only_the_answer_to_the_last_probe_answers_it() {
    let mut ismg = Ismg::bound("", Role::Both);
    ismg.input(Input::Probe).unwrap();
    ismg.input(Input::Probe).unwrap();
    ismg.say(2, Body::ActiveTestResp(ActiveTestResp::default())).unwrap();
    assert!(ismg.events.is_empty());
    ismg.say(3, Body::ActiveTestResp(ActiveTestResp::default())).unwrap();
    assert_eq!(ismg.events, [Event::ProbeAnswered]);
}

#[test]
fn answers_in_any_order_find_their_parts() {
    // A gateway that joins long messages answers none of their parts before it has all, the last one first.
    let mut ismg = Ismg::bound("", Role::Both);
    let parts = [0, 1, 2].map(|index| Part { index, total: 3, udh: true, ..part() });
    let tickets = [1, 2, 3].map(|number| ismg.submit(number, &parts[number as usize - 1]));
    for (sequence, id) in [(4, 3), (3, 2), (2, 1)] {
        ismg.say(sequence, accepted(id)).unwrap();
    }
    let id = |n: u8| Some(CarrierId::hex(&[n; 8]));
    let ends: Vec<_> = ismg.events.iter().filter(|event| matches!(event, Event::Submitted(..))).cloned().collect();
    assert_eq!(ends, [2, 1, 0].map(|at| Event::Submitted(tickets[at], id(at as u8 + 1))));
}

#[test]
fn a_report_may_outrun_the_answer() {
    let mut ismg = Ismg::bound("", Role::Both);
    let ticket = ismg.submit(1, &part());
    let mut block = [1; 60];
    block[8..15].copy_from_slice(b"DELIVRD");
    let report = Deliver { registered_delivery: 1, msg_content: &block, ..Deliver::default() };
    ismg.say(9, Body::Deliver(report)).unwrap();
    ismg.say(2, accepted(1)).unwrap();
    let [Event::Receipt(_, receipt), Event::Submitted(told, Some(id)), Event::Freed(_)] = &ismg.events[..] else {
        panic!("{:?}", ismg.events)
    };
    assert_eq!((*told, &receipt.ids[..]), (ticket, std::slice::from_ref(id)));
}

#[test]
fn a_login_answered_under_another_number_counts() {
    let mut ismg = Ismg::new("", Role::Both);
    ismg.input(Input::Opened).unwrap();
    ismg.say(77, Body::ConnectResp(ConnectResp::refused(0, Version::V20))).unwrap();
    assert!(ismg.lenient() && ismg.events.contains(&Event::Bound(4)));
    ismg.events.clear();
    ismg.say(1, Body::ConnectResp(ConnectResp::refused(3, Version::V20))).unwrap();
    assert!(ismg.lenient() && ismg.session.room() == 4, "a second answer changes nothing");
}

#[test]
fn deliveries_before_the_login_answer_are_asked_for_again() {
    let mut ismg = Ismg::new("", Role::Both);
    ismg.input(Input::Opened).unwrap();
    ismg.said.clear();
    ismg.say(5, Body::Deliver(Deliver { msg_content: b"hi", ..Deliver::default() })).unwrap();
    let answer = Pdu::read(&ismg.said[0].2, Version::V20).unwrap();
    assert!(matches!(answer.body, Body::DeliverResp(resp) if resp.result == status::result::FLOW_CONTROL));
    assert!(matches!(ismg.events[..], [Event::Leniency(_)]));
}

#[test]
fn deliveries_on_a_sending_link_are_taken() {
    let mut ismg = Ismg::bound("", Role::Send);
    ismg.say(5, Body::Deliver(Deliver { msg_content: b"hi", ..Deliver::default() })).unwrap();
    assert!(ismg.lenient() && ismg.events.iter().any(|event| matches!(event, Event::Mo(..))));
}

#[test]
fn what_there_is_no_room_for_is_not_read() {
    let mut ismg = Ismg::bound("", Role::Both);
    // A report of nobody's message: no repetition says more, so it is answered at once, whatever is open.
    let report = || Body::Deliver(Deliver { registered_delivery: 1, msg_content: &[0; 60], ..Deliver::default() });
    ismg.say(1, report()).unwrap();
    assert!(ismg.lenient());
    for sequence in 2..2 + LIMIT as u32 {
        ismg.say(sequence, Body::Deliver(Deliver { msg_content: b"hi", ..Deliver::default() })).unwrap();
    }
    ismg.events.clear();
    ismg.said.clear();
    ismg.say(9_000, report()).unwrap();
    let answer = Pdu::read(&ismg.said[0].2, Version::V20).unwrap();
    assert!(matches!(answer.body, Body::DeliverResp(resp) if resp.result == status::result::FLOW_CONTROL));
    assert!(answer.sequence == 9_000 && ismg.events.is_empty());
    ismg.say(9_001, Body::ActiveTest).unwrap();
    assert_eq!(ismg.commands(), [(command::DELIVER | RESPONSE, 9_000), (command::ACTIVE_TEST | RESPONSE, 9_001)]);
}

#[test]
fn goodbyes_that_cross_are_an_orderly_end() {
    let mut ismg = Ismg::bound("", Role::Both);
    ismg.input(Input::Unbind).unwrap();
    assert_eq!(ismg.say(9, Body::Terminate), Err(Fault::Closed));
    let mut ismg = Ismg::bound("", Role::Both);
    ismg.input(Input::Unbind).unwrap();
    assert_eq!(ismg.say(77, Body::TerminateResp), Err(Fault::Closed), "whatever number it has");
}

#[test]
fn sequence_numbers_begin_again_and_pass_over_open_ones() {
    let mut ismg = Ismg::bound("", Role::Both);
    for number in 1..=2 {
        ismg.session.next = if number == 1 { u32::MAX } else { ismg.session.next };
        ismg.submit(number, &part());
    }
    ismg.session.next = u32::MAX;
    ismg.submit(3, &part());
    let sequences: Vec<u32> = ismg.commands().into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(sequences, [u32::MAX, 1, 2], "0 is no request's");
}

#[test]
fn a_part_that_does_not_fit_is_refused_unsent() {
    let mut ismg = Ismg::bound("", Role::Both);
    for bad in [
        Part { to: Brief::joined("+", &"1".repeat(30)), ..part() },
        Part { sender: Some("Shop".into()), ..part() },
        Part { data: "x".repeat(300).into(), ..part() },
    ] {
        let ticket = ismg.submit(1, &bad);
        assert!(matches!(&ismg.events[0], Event::Refused(t, r) if *t == ticket && r.verdict == Verdict::Reroute));
        assert_eq!((ismg.said.len(), ismg.session.room()), (0, 4));
        ismg.events.clear();
    }
}

#[test]
fn what_never_left_is_certainly_unsent() {
    let mut ismg = Ismg::bound("", Role::Both);
    let (sent, unsent) = (ismg.submit(1, &part()), Ticket::new(AttemptRef(2), 0));
    ismg.session.input(ismg.now, Input::Submit(unsent, AttemptRef(2), &part())).unwrap();
    assert_eq!(ismg.input(Input::Lost), Err(Fault::Closed));
    assert!(matches!(ismg.events[0], Event::Unanswered(t, offset) if t == sent && offset < u64::MAX));
    assert_eq!(ismg.events[2], Event::Unanswered(unsent, u64::MAX));
}

#[test]
fn nothing_secret_is_shown() {
    let mut ismg = Ismg::bound("dialect = { resends = 1 }", Role::Both);
    ismg.submit(1, &Part { data: "4711"[..].into(), ..part() });
    let shown = format!("{:?}", ismg.session);
    assert!(!shown.contains("secret-of") && !shown.contains("4711") && !shown.contains("13800138000"), "{shown}");
}
