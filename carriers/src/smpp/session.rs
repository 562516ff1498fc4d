//! The conversation with an SMSC, from bind to unbind. `LIFECYCLE.md` has the states; `incoming` takes the PDUs.
//!
//! [`SmppSession`] keeps the promises of [`Session`]. It owns the sequence numbers, the window, the keepalive and what
//! waits for `Settle`; mapping and judging are `map`'s, `receipt`'s and `verdict`'s.

use std::sync::Arc;
use std::time::Instant;

use codecs::smpp::{Bind, Body, LIMITS, Pdu, SmResp, status};

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
        let settings = Arc::clone(&self.settings);
        let reference = (settings.user_message_reference && self.knows_tlvs).then_some(attempt.0 as u16);
        let mut scratch = map::Scratch::default();
        let pdu = Pdu {
            status: status::ROK,
            sequence,
            body: Body::SubmitSm(map::submit(&settings, part, reference, &mut scratch)),
        };
        if let Some(field) = pdu.unfit() {
            let code = format!("not sent: {field} does not fit");
            self.outbox.event(Event::Refused(ticket, Refusal { verdict: Verdict::Reroute, code }));
            self.outbox.event(Event::Freed(ticket));
            return;
        }
        let offset = self.outbox.write(|out| pdu.write(out));
        self.window.open(now.mono, sequence, Open { ticket, offset });
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
        self.send(status, sequence, Body::DeliverSmResp(SmResp::default()));
    }

    fn probe(&mut self, now: Now) {
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.probed(now.mono);
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
                self.probe = None;
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
