//! The conversation with an SMSC, from bind to unbind. `LIFECYCLE.md` has the states; `incoming` takes the PDUs.
//!
//! [`SmppSession`] keeps the promises of [`Session`]. It owns the sequence numbers, the window, the keepalive and what
//! waits for `Settle`; mapping and judging are `map`'s, `receipt`'s and `verdict`'s.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use codecs::smpp::{Bind, Body, LIMITS, Pdu, status};

use super::config::Settings;
use super::map;
use crate::inbound::Unsettled;
use crate::keepalive::{Beat, Keepalive};
use crate::message::Part;
use crate::outbox::Outbox;
use crate::protocol::Role;
use crate::session::{
    AttemptRef, Event, Fault, Inbound, Input, Now, Output, Refusal, Session, Settle, Ticket, Verdict,
};
use crate::stream::Cutter;
use crate::window::{Open, Window};

/// Sequence numbers go from 1 to this and begin again (SMPP 3.4 §3.2).
const LAST_SEQUENCE: u32 = 0x7FFF_FFFF;

/// One link's conversation.
#[derive(Debug)]
pub struct SmppSession {
    pub(super) settings: Arc<Settings>,
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) outbox: Outbox,
    pub(super) window: Window<u32>,
    pub(super) unsettled: Unsettled<u32>,
    /// Runs while bound.
    pub(super) keepalive: Option<Keepalive>,
    /// Sequence of the enquire_link sent for the last [`Input::Probe`], until it is answered.
    pub(super) probe: Option<u32>,
    /// Whether the far side knows TLVs: it said 3.4 or later when we bound.
    pub(super) knows_tlvs: bool,
    cutter: Cutter,
    sequence: u32,
    scratch: map::Scratch,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing said yet.
    Open,
    /// Our bind waits for its answer.
    Binding { sequence: u32, deadline: Instant },
    /// Submits may go.
    Bound,
    /// No submit goes any more; what is open may still be answered.
    Finishing { deadline: Instant },
    /// Our unbind waits for its answer.
    Unbinding { sequence: u32, deadline: Instant },
    /// Over.
    Closed,
}

impl SmppSession {
    /// A conversation about to begin, for links that carry `role`.
    pub fn new(settings: Arc<Settings>, role: Role) -> Self {
        let limit = if role == Role::Receive { 0 } else { settings.window };
        SmppSession {
            role,
            state: State::Open,
            outbox: Outbox::default(),
            window: Window::new(limit, settings.answer_timeout),
            unsettled: Unsettled::default(),
            keepalive: None,
            probe: None,
            knows_tlvs: false,
            cutter: Cutter::default(),
            sequence: 0,
            scratch: map::Scratch::default(),
            settings,
        }
    }

    fn bind(&mut self, now: Now) {
        if self.state != State::Open {
            return;
        }
        let sequence = self.next_sequence();
        let settings = Arc::clone(&self.settings);
        let bind = Bind {
            system_id: settings.system_id.as_bytes(),
            password: settings.password.reveal(),
            system_type: settings.system_type.as_bytes(),
            interface_version: settings.version.octet(),
            ..Bind::default()
        };
        let body = match self.role {
            Role::Send => Body::BindTransmitter(bind),
            Role::Receive => Body::BindReceiver(bind),
            Role::Both => Body::BindTransceiver(bind),
        };
        self.send(status::ROK, sequence, body);
        self.state = State::Binding { sequence, deadline: now.mono + settings.bind_timeout };
    }

    pub(super) fn bound(&mut self, now: Now) {
        self.state = State::Bound;
        self.keepalive = Some(Keepalive::new(now.mono, self.settings.enquire_link, self.settings.answer_timeout));
        self.outbox.event(Event::Bound(self.window.room()));
    }

    fn submit(&mut self, now: Now, ticket: Ticket, attempt: AttemptRef, part: &Part) {
        if self.room() == 0 {
            self.outbox.event(Event::Unanswered(ticket, u64::MAX));
            self.outbox.event(Event::Freed(ticket));
            return;
        }
        let sequence = self.next_sequence();
        let Self { settings, outbox, window, scratch, .. } = self;
        let reference = (settings.user_message_reference && self.knows_tlvs).then_some(attempt.short());
        let body = Body::SubmitSm(map::submit(settings, part, reference, scratch));
        let pdu = Pdu { status: status::ROK, sequence, body };
        let mut written = Ok(());
        let offset = outbox.write(|out| written = pdu.write_whole(out));
        if let Err(field) = written {
            let code = format!("not sent: {field} does not fit");
            outbox.event(Event::Refused(ticket, Refusal { verdict: Verdict::Reroute, code }));
            outbox.event(Event::Freed(ticket));
            return;
        }
        window.open(now.mono, sequence, Open { ticket, offset });
    }

    fn settle(&mut self, inbound: Inbound, word: &Settle) {
        let Some(sequence) = self.unsettled.settle(inbound) else { return };
        self.answer_deliver(
            sequence,
            match word {
                Settle::Durable => status::ROK,
                Settle::Later => status::RX_T_APPN,
                Settle::Refused(_) => status::RX_R_APPN,
            },
        );
    }

    pub(super) fn answer_deliver(&mut self, sequence: u32, status: u32) {
        self.outbox.write(|out| codecs::smpp::answer_deliver(status, sequence, out));
    }

    /// Also while it finishes: what is open there is still worth a sign of life.
    fn probe(&mut self, now: Now) {
        if matches!(self.state, State::Bound | State::Finishing { .. }) {
            self.keepalive.iter_mut().for_each(|keepalive| keepalive.probed(now.mono));
            self.probe = Some(self.enquire());
        }
    }

    fn enquire(&mut self) -> u32 {
        let sequence = self.next_sequence();
        self.send(status::ROK, sequence, Body::EnquireLink);
        sequence
    }

    fn tick(&mut self, now: Now) -> Result<(), Fault> {
        while let Some(open) = self.window.expire(now.mono) {
            self.outbox.event(Event::Unanswered(open.ticket, open.offset));
            self.outbox.event(Event::Freed(open.ticket));
        }
        match self.state {
            State::Binding { deadline, .. } if deadline <= now.mono => return Err(self.end(Fault::BindTimeout)),
            State::Unbinding { deadline, .. } if deadline <= now.mono => return Err(self.end(Fault::Closed)),
            State::Finishing { deadline } if deadline <= now.mono => self.unbind(now),
            _ => {}
        }
        match self.keepalive.as_mut().and_then(|keepalive| keepalive.tick(now.mono)) {
            Some(Beat::Silent) => Err(self.end(Fault::Silent)),
            Some(Beat::Probe) => {
                self.enquire();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes no more submits. Every open ticket is answered or expired by the deadline set here.
    fn finish(&mut self, now: Now) -> Result<(), Fault> {
        match self.state {
            State::Open | State::Binding { .. } => return Err(self.end(Fault::Closed)),
            State::Bound => {
                self.state = State::Finishing { deadline: now.mono + self.settings.answer_timeout };
                self.keepalive = None;
            }
            State::Finishing { .. } | State::Unbinding { .. } | State::Closed => {}
        }
        Ok(())
    }

    fn unbind(&mut self, now: Now) {
        let sequence = self.next_sequence();
        self.send(status::ROK, sequence, Body::Unbind);
        self.state = State::Unbinding { sequence, deadline: now.mono + self.settings.bind_timeout };
    }

    fn take_octets(&mut self, now: Now, octets: &[u8]) -> Result<(), Fault> {
        let mut cutter = std::mem::take(&mut self.cutter);
        let taken = cutter.feed(&LIMITS, octets, |pdu| self.take_pdu(now, pdu).map_err(Stop::Fault));
        self.cutter = cutter;
        taken.map_err(|stop| match stop {
            Stop::Fault(fault) => fault,
            Stop::Broken(broken) => {
                self.send(status::RINVCMDLEN, 0, Body::GenericNack);
                self.end(Fault::Broken(broken.to_string()))
            }
        })
    }

    /// Nothing more can be transmitted.
    fn lost(&mut self) -> Fault {
        let transmitted = self.outbox.cut_off();
        self.report_open(transmitted);
        self.state = State::Closed;
        Fault::Closed
    }

    /// Ends the conversation: reports what is open, closes the link.
    pub(super) fn end(&mut self, fault: Fault) -> Fault {
        self.report_open(u64::MAX);
        self.outbox.close();
        self.state = State::Closed;
        fault
    }

    fn report_open(&mut self, transmitted: u64) {
        while let Some(Open { ticket, offset }) = self.window.pop_oldest() {
            let offset = if offset <= transmitted { offset } else { u64::MAX };
            self.outbox.event(Event::Unanswered(ticket, offset));
            self.outbox.event(Event::Freed(ticket));
        }
        self.keepalive = None;
    }

    fn next_sequence(&mut self) -> u32 {
        loop {
            self.sequence = if self.sequence == LAST_SEQUENCE { 1 } else { self.sequence + 1 };
            if !self.window.contains(self.sequence) {
                return self.sequence;
            }
        }
    }

    pub(super) fn send(&mut self, status: u32, sequence: u32, body: Body<'_>) {
        self.outbox.write(|out| Pdu { status, sequence, body }.write(out));
    }
}

/// Why reading stopped.
enum Stop {
    Fault(Fault),
    Broken(codecs::framing::Broken),
}

impl From<codecs::framing::Broken> for Stop {
    fn from(broken: codecs::framing::Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl Session for SmppSession {
    fn input(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        if self.state == State::Closed {
            return Err(Fault::Closed);
        }
        match input {
            Input::Opened => self.bind(now),
            Input::Octets(_, payload) => self.take_octets(now, payload.body)?,
            Input::Submit(ticket, attempt, part) => self.submit(now, ticket, attempt, part),
            Input::Settle(inbound, word) => self.settle(inbound, &word),
            Input::Tick => self.tick(now)?,
            Input::Probe => self.probe(now),
            Input::Unbind => self.finish(now)?,
            Input::Lost => return Err(self.lost()),
        }
        if matches!(self.state, State::Finishing { .. }) && self.window.is_empty() && self.unsettled.is_empty() {
            self.unbind(now);
        }
        Ok(())
    }

    fn output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    fn drain(&mut self, octets: &mut BytesMut, tell: &mut dyn FnMut(Output)) {
        self.outbox.drain(octets, tell);
    }

    fn deadline(&self) -> Option<Instant> {
        let state = match self.state {
            State::Binding { deadline, .. } | State::Finishing { deadline } | State::Unbinding { deadline, .. } => {
                Some(deadline)
            }
            State::Open | State::Bound | State::Closed => None,
        };
        let keepalive = self.keepalive.as_ref().map(Keepalive::deadline);
        [state, keepalive, self.window.deadline()].into_iter().flatten().min()
    }

    fn room(&self) -> usize {
        if self.state == State::Bound { self.window.room() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use codecs::smpp::{BindResp, Sm, SmResp, Tlvs, command, put_tlv, tag};

    use super::*;
    use crate::message::{Brief, Coding};
    use crate::session::Payload;
    use crate::smpp::testing::settings;
    use crate::{CarrierId, PathId};

    struct Smsc {
        session: SmppSession,
        now: Now,
        events: Vec<Event>,
        /// command_id, command_status, sequence_number and body of what the session said.
        said: Vec<(u32, u32, u32, Vec<u8>)>,
        writes: usize,
    }

    impl Smsc {
        fn new(lines: &str, role: Role) -> Smsc {
            #[allow(clippy::disallowed_methods, reason = "an origin for the arithmetic")]
            let now = Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH };
            let session = SmppSession::new(settings(lines), role);
            Smsc { session, now, events: Vec::new(), said: Vec::new(), writes: 0 }
        }

        /// Bound to a far side that says it speaks `version`.
        fn bound(lines: &str, role: Role, version: Option<u8>) -> Smsc {
            let mut smsc = Smsc::new(lines, role);
            smsc.input(Input::Opened).unwrap();
            let mut tlvs = BytesMut::new();
            version.into_iter().for_each(|version| put_tlv(&mut tlvs, tag::SC_INTERFACE_VERSION, &[version]));
            let answer = BindResp { system_id: b"smsc", tlvs: Tlvs::new(&tlvs) };
            smsc.say(status::ROK, 1, Body::BindTransceiverResp(answer)).unwrap();
            assert!(matches!(smsc.events[..], [Event::Bound(_)]));
            smsc.events.clear();
            smsc.said.clear();
            smsc
        }

        fn input(&mut self, input: Input<'_>) -> Result<(), Fault> {
            let result = self.session.input(self.now, input);
            self.drain();
            result
        }

        fn drain(&mut self) {
            while let Some(output) = self.session.output() {
                match output {
                    Output::Transmit(_, payload) => {
                        self.writes += 1;
                        let mut octets = &payload.body[..];
                        while let Some(whole) = codecs::framing::cut(octets, &LIMITS).unwrap() {
                            let pdu = Pdu::read(&octets[..whole]).unwrap();
                            let body = octets[16..whole].to_vec();
                            self.said.push((pdu.body.command(), pdu.status, pdu.sequence, body));
                            octets = &octets[whole..];
                        }
                    }
                    Output::Event(event) => self.events.push(event),
                    _ => {}
                }
            }
        }

        fn say(&mut self, status: u32, sequence: u32, body: Body<'_>) -> Result<(), Fault> {
            let mut out = BytesMut::new();
            Pdu { status, sequence, body }.write(&mut out);
            self.input(Input::Octets(PathId(0), Payload::octets(&out)))
        }

        fn submit(&mut self, number: u64) -> Ticket {
            let ticket = Ticket::new(AttemptRef(number), 0);
            self.input(Input::Submit(ticket, AttemptRef(number), &part())).unwrap();
            ticket
        }

        /// The last PDU said, without its body.
        fn last(&self) -> (u32, u32, u32) {
            let (command, status, sequence, _) = self.said.last().expect("something was said");
            (*command, *status, *sequence)
        }
    }

    fn part() -> Part {
        Part {
            to: "+447700900123".into(),
            sender: None,
            coding: Coding::Gsm7,
            data: "x"[..].into(),
            udh: false,
            index: 0,
            total: 1,
            reference: 1,
            valid_for: Duration::from_secs(60),
            receipt: true,
            options: String::new(),
        }
    }

    #[test]
    fn the_reference_goes_only_to_those_who_know_tlvs() {
        for (version, lines, sent) in [
            (Some(0x34), "", true),
            (Some(0x50), "", true),
            (Some(0x33), "", false),
            (None, "", false),
            (Some(0x34), "user_message_reference = false", false),
        ] {
            let mut smsc = Smsc::bound(lines, Role::Both, version);
            smsc.submit(0xA_BEEF);
            let [high, low] = AttemptRef(0xA_BEEF).short().to_be_bytes();
            let found = smsc.said[0].3.windows(6).any(|octets| octets == [0x02, 0x04, 0, 2, high, low]);
            assert_eq!(found, sent, "{version:?} {lines}");
        }
    }

    #[test]
    fn ids_come_back_in_their_one_form() {
        let mut smsc = Smsc::bound("message_id = { answer = \"hex\" }", Role::Both, None);
        let ticket = smsc.submit(1);
        smsc.say(0, 2, Body::SubmitSmResp(SmResp { message_id: b"0001F", ..SmResp::default() })).unwrap();
        assert_eq!(smsc.events[0], Event::Submitted(ticket, Some(CarrierId::new(b"31"))));
        let ticket = smsc.submit(2);
        smsc.say(0, 3, Body::SubmitSmResp(SmResp::default())).unwrap();
        assert!(smsc.events.contains(&Event::Submitted(ticket, None)));
        assert!(smsc.events.iter().any(|event| matches!(event, Event::Leniency(_))));
    }

    #[test]
    fn deliver_sm_is_out_of_place_on_a_transmitter_and_before_the_bind() {
        let deliver = Body::DeliverSm(Sm { short_message: b"hi", ..Sm::default() });
        for mut smsc in [Smsc::bound("", Role::Send, None), Smsc::new("", Role::Both)] {
            smsc.say(0, 9, deliver).unwrap();
            assert_eq!(smsc.last(), (command::DELIVER_SM_RESP, status::RINVBNDSTS, 9));
            assert!(matches!(smsc.events[..], [Event::Leniency(_)]));
        }
    }

    #[test]
    fn requests_that_are_ours_to_send_are_answered_in_kind() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        for (body, answer) in [
            (Body::SubmitSm(Sm::default()), command::SUBMIT_SM_RESP),
            (Body::BindReceiver(Bind::default()), command::BIND_RECEIVER_RESP),
            (Body::BindTransmitter(Bind::default()), command::BIND_TRANSMITTER_RESP),
            (Body::BindTransceiver(Bind::default()), command::BIND_TRANSCEIVER_RESP),
        ] {
            smsc.say(0, 5, body).unwrap();
            assert_eq!(smsc.last(), (answer, status::RINVBNDSTS, 5));
        }
    }

    #[test]
    fn answers_and_notices_are_never_answered() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        for body in [
            Body::Unknown { command: 0x8000_0666, body: b"" },
            Body::Unknown { command: command::ALERT_NOTIFICATION, body: b"" },
            Body::DeliverSmResp(SmResp::default()),
            Body::UnbindResp,
            Body::GenericNack,
        ] {
            smsc.say(0, 77, body).unwrap();
        }
        assert!(smsc.said.is_empty());
        assert_eq!(smsc.events.len(), 5);
    }

    #[test]
    fn a_nack_refuses_what_it_names() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        let ticket = smsc.submit(1);
        smsc.say(status::RTHROTTLED, 2, Body::GenericNack).unwrap();
        assert!(matches!(&smsc.events[0], Event::Refused(t, r) if *t == ticket && r.verdict == Verdict::Throttled));
        let mut smsc = Smsc::new("", Role::Both);
        smsc.input(Input::Opened).unwrap();
        let fault = smsc.say(status::RINVCMDID, 1, Body::GenericNack).unwrap_err();
        assert!(matches!(fault, Fault::BindRefused { permanent: false, .. }));
    }

    #[test]
    fn only_the_answer_to_the_last_probe_answers_it() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        smsc.input(Input::Probe).unwrap();
        smsc.input(Input::Probe).unwrap();
        smsc.say(0, 2, Body::EnquireLinkResp).unwrap();
        assert!(smsc.events.is_empty());
        smsc.say(0, 3, Body::EnquireLinkResp).unwrap();
        smsc.say(0, 3, Body::EnquireLinkResp).unwrap();
        assert_eq!(smsc.events, [Event::ProbeAnswered]);
    }

    #[test]
    fn a_receipt_nobody_can_match_is_answered_at_once() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        let receipt = Sm { esm_class: 0x04, short_message: b"stat:DELIVRD", ..Sm::default() };
        smsc.say(0, 9, Body::DeliverSm(receipt)).unwrap();
        assert_eq!(smsc.last(), (command::DELIVER_SM_RESP, status::ROK, 9));
        assert!(matches!(smsc.events[..], [Event::Leniency(_)]));
    }

    #[test]
    fn sequence_numbers_begin_again_and_pass_over_open_ones() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        smsc.session.sequence = LAST_SEQUENCE - 1;
        for number in 1..=2 {
            smsc.submit(number);
        }
        smsc.session.sequence = LAST_SEQUENCE - 1;
        smsc.submit(3);
        let sequences: Vec<u32> = smsc.said.iter().map(|said| said.2).collect();
        assert_eq!(sequences, [LAST_SEQUENCE, 1, 2]);
    }

    #[test]
    fn a_part_that_does_not_fit_is_refused_unsent() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        let ticket = Ticket::new(AttemptRef(1), 0);
        let part = Part { to: Brief::joined("+", &"1".repeat(30)), ..part() };
        smsc.input(Input::Submit(ticket, AttemptRef(1), &part)).unwrap();
        assert!(matches!(&smsc.events[0], Event::Refused(t, r) if *t == ticket && r.verdict == Verdict::Reroute));
        assert!(smsc.said.is_empty());
    }

    #[test]
    fn what_piles_up_leaves_in_one_write() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        let writes = smsc.writes;
        for number in 1..=3 {
            let (ticket, attempt) = (Ticket::new(AttemptRef(number), 0), AttemptRef(number));
            smsc.session.input(smsc.now, Input::Submit(ticket, attempt, &part())).unwrap();
        }
        smsc.drain();
        assert_eq!((smsc.said.len(), smsc.writes - writes), (3, 1));
    }

    #[test]
    fn what_never_left_is_certainly_unsent() {
        let mut smsc = Smsc::bound("", Role::Both, None);
        let (sent, unsent) = (smsc.submit(1), Ticket::new(AttemptRef(2), 0));
        smsc.session.input(smsc.now, Input::Submit(unsent, AttemptRef(2), &part())).unwrap();
        assert_eq!(smsc.input(Input::Lost), Err(Fault::Closed));
        assert!(matches!(smsc.events[0], Event::Unanswered(t, offset) if t == sent && offset < u64::MAX));
        assert_eq!(smsc.events[2], Event::Unanswered(unsent, u64::MAX));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut smsc = Smsc::new("", Role::Both);
        smsc.session.input(smsc.now, Input::Opened).unwrap();
        let shown = format!("{:?}", smsc.session);
        assert!(!shown.contains("secret"), "{shown}");
    }
}
