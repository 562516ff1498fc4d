//! The conversation of protocols that log in once and then number their requests each way: one machine, many tongues.
//!
//! [`Dialogue`] keeps the promises of [`Session`]: it owns the state, the sequence numbers, the window, the keepalive, the
//! copies that a resend needs and what waits for `Settle`. A [`Tongue`] turns one PDU into what it says and what is to be
//! said into one PDU, and knows nothing of time or order. `LIFECYCLE.md` has the states.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use codecs::framing::{Broken, Limits};

use crate::inbound::Unsettled;
use crate::keepalive::{Beat, Keepalive};
use crate::message::{CarrierId, Mo, Part, Receipt};
use crate::outbox::Outbox;
use crate::protocol::Role;
use crate::session::{Event, Fault, Inbound, Input, Now, Output, Refusal, Session, Settle, Ticket, Verdict};
use crate::stream::Cutter;
use crate::window::{Open, Window};

/// A protocol's PDUs.
pub trait Tongue: fmt::Debug + Send {
    /// What the answer to a receipt or MO repeats, beside the sequence number.
    type Delivery: Copy + fmt::Debug + Send;

    /// Which lengths a PDU may have.
    fn limits(&self) -> &'static Limits;
    /// Appends the login.
    fn login(&mut self, now: Now, sequence: u32, out: &mut BytesMut);
    /// Appends a part's submit; where a field does not fit, nothing, and the field's name is the error.
    fn submit(&self, now: Now, sequence: u32, part: &Part, out: &mut BytesMut) -> Result<(), &'static str>;
    /// Appends the answer to a receipt or MO.
    fn settle(&self, sequence: u32, delivery: Self::Delivery, word: Word, out: &mut BytesMut);
    /// Appends one of the PDUs that say nothing but their name.
    fn say(&self, phrase: Phrase, sequence: u32, out: &mut BytesMut);
    /// What one whole PDU says.
    fn hear(&mut self, octets: &[u8]) -> Heard<Self::Delivery>;
}

/// PDUs without content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrase {
    /// Are you there?
    Probe,
    /// I am.
    ProbeAnswer,
    /// We part.
    Goodbye,
    /// So be it.
    GoodbyeAnswer,
}

/// The answer to a receipt or MO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// We have it.
    Yes,
    /// Say it again, later.
    Later,
    /// We never want it.
    No,
}

/// What a PDU says.
#[derive(Debug)]
pub struct Heard<D> {
    /// Its sequence number.
    pub sequence: u32,
    /// What it is.
    pub said: Said<D>,
    /// What had to be overlooked in it.
    pub leniency: Option<&'static str>,
}

/// What a PDU can say.
#[derive(Debug)]
pub enum Said<D> {
    /// Our login is accepted.
    Welcome,
    /// Our login is refused.
    Unwelcome(Fault),
    /// A submit is accepted, under this id.
    Accepted(Option<CarrierId>),
    /// A submit is refused.
    Refused(Refusal),
    /// A receipt; none where nothing can ever be matched with it.
    Receipt(D, Option<Receipt>),
    /// A message from a handset.
    Mo(D, Mo),
    /// One without content.
    Phrase(Phrase),
    /// Nothing to act on: why, and the PDU that answers it, where it is a request.
    Noise(&'static str, Option<BytesMut>),
}

/// What the configuration decides about a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Unanswered submits at once.
    pub window: usize,
    /// How long an answer may take; for a submit, each time it is sent.
    pub answer_timeout: Duration,
    /// How long the answer to login or goodbye may take.
    pub bind_timeout: Duration,
    /// Idle time before the far side is probed.
    pub idle: Duration,
    /// Probes without an answer before the far side is silent.
    pub tries: u32,
    /// How often a submit without an answer is sent again, under the same sequence number.
    pub resends: u32,
    /// The first sequence number.
    pub first_sequence: u32,
}

/// One link's conversation.
#[derive(Debug)]
pub struct Dialogue<T: Tongue> {
    tongue: T,
    role: Role,
    terms: Terms,
    state: State,
    outbox: Outbox,
    window: Window<u32>,
    /// Submits on the wire that may be sent again; empty where `terms` allow no resend.
    copies: HashMap<u32, Copied>,
    unsettled: Unsettled<(u32, T::Delivery)>,
    /// Runs while bound.
    keepalive: Option<Keepalive>,
    /// Sequence number of the probe sent for the last [`Input::Probe`], until it is answered.
    probe: Option<u32>,
    cutter: Cutter,
    next: u32,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing said yet.
    Open,
    /// Our login waits for its answer.
    Binding { sequence: u32, deadline: Instant },
    /// Submits may go.
    Bound,
    /// No submit goes any more; what is open may still be answered.
    Finishing { deadline: Instant },
    /// Our goodbye waits for its answer.
    Unbinding { deadline: Instant },
    /// Over.
    Closed,
}

/// A submit as it was sent; shows its size only, for it holds message text.
struct Copied {
    octets: Bytes,
    left: u32,
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Copied({} octets, {} left)", self.octets.len(), self.left)
    }
}

impl<T: Tongue> Dialogue<T> {
    /// A conversation about to begin, for links that carry `role`.
    pub fn new(tongue: T, role: Role, terms: Terms) -> Self {
        let limit = if role == Role::Receive { 0 } else { terms.window };
        Dialogue {
            tongue,
            role,
            state: State::Open,
            outbox: Outbox::default(),
            window: Window::new(limit, terms.answer_timeout),
            copies: HashMap::new(),
            unsettled: Unsettled::default(),
            keepalive: None,
            probe: None,
            cutter: Cutter::default(),
            next: terms.first_sequence.max(1),
            terms,
        }
    }

    fn login(&mut self, now: Now) {
        if self.state != State::Open {
            return;
        }
        let sequence = self.sequence();
        let Self { tongue, outbox, .. } = self;
        outbox.write(|out| tongue.login(now, sequence, out));
        self.state = State::Binding { sequence, deadline: now.mono + self.terms.bind_timeout };
    }

    fn bound(&mut self, now: Now) {
        let Terms { idle, answer_timeout, tries, .. } = self.terms;
        self.state = State::Bound;
        self.keepalive = Some(Keepalive::new(now.mono, idle, answer_timeout).tries(tries));
        self.outbox.event(Event::Bound(self.window.room()));
    }

    fn submit(&mut self, now: Now, ticket: Ticket, part: &Part) {
        if self.room() == 0 {
            return self.ended(Event::Unanswered(ticket, u64::MAX), ticket);
        }
        let sequence = self.sequence();
        let Self { tongue, outbox, copies, terms, .. } = self;
        let mut written = Ok(());
        let offset = outbox.write(|out| {
            let before = out.len();
            written = tongue.submit(now, sequence, part, out);
            if written.is_ok() && terms.resends > 0 {
                let octets = Bytes::copy_from_slice(out.get(before..).unwrap_or_default());
                copies.insert(sequence, Copied { octets, left: terms.resends });
            }
        });
        match written {
            Ok(()) => drop(self.window.open(now.mono, sequence, Open { ticket, offset })),
            Err(field) => {
                let code = format!("not sent: {field} does not fit");
                self.ended(Event::Refused(ticket, Refusal { verdict: Verdict::Reroute, code }), ticket);
            }
        }
    }

    /// A ticket's end, and its slot's.
    fn ended(&mut self, end: Event, ticket: Ticket) {
        self.outbox.event(end);
        self.outbox.event(Event::Freed(ticket));
    }

    fn settle(&mut self, inbound: Inbound, word: &Settle) {
        let Some((sequence, delivery)) = self.unsettled.settle(inbound) else { return };
        let word = match word {
            Settle::Durable => Word::Yes,
            Settle::Later => Word::Later,
            Settle::Refused(_) => Word::No,
        };
        self.answer(sequence, delivery, word);
    }

    fn answer(&mut self, sequence: u32, delivery: T::Delivery, word: Word) {
        let Self { tongue, outbox, .. } = self;
        outbox.write(|out| tongue.settle(sequence, delivery, word, out));
    }

    fn say(&mut self, phrase: Phrase, sequence: u32) {
        let Self { tongue, outbox, .. } = self;
        outbox.write(|out| tongue.say(phrase, sequence, out));
    }

    /// Also while it finishes: what is open there is still worth a sign of life.
    fn probe(&mut self, now: Now) {
        if !matches!(self.state, State::Bound | State::Finishing { .. }) {
            return;
        }
        self.keepalive.iter_mut().for_each(|keepalive| keepalive.probed(now.mono));
        let sequence = self.sequence();
        self.say(Phrase::Probe, sequence);
        self.probe = Some(sequence);
    }

    fn tick(&mut self, now: Now) -> Result<(), Fault> {
        while let Some(sequence) = self.window.due(now.mono) {
            self.overdue(now, sequence);
        }
        match self.state {
            State::Binding { deadline, .. } if deadline <= now.mono => return Err(self.end(Fault::BindTimeout)),
            State::Unbinding { deadline } if deadline <= now.mono => return Err(self.end(Fault::Closed)),
            State::Finishing { deadline } if deadline <= now.mono => self.goodbye(now),
            _ => {}
        }
        match self.keepalive.as_mut().and_then(|keepalive| keepalive.tick(now.mono)) {
            Some(Beat::Silent) => Err(self.end(Fault::Silent)),
            Some(Beat::Probe) => {
                let sequence = self.sequence();
                self.say(Phrase::Probe, sequence);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A submit's answer did not come in time: it is sent again, or its ticket ends. Its offset stays that of its first
    /// octets: once the far side acknowledged those, the carrier may have acted.
    fn overdue(&mut self, now: Now, sequence: u32) {
        let Some(open) = self.window.close(sequence) else { return };
        let bound = self.state == State::Bound;
        if let Some(copy) = self.copies.get_mut(&sequence).filter(|copy| bound && copy.left > 0) {
            copy.left -= 1;
            self.outbox.write(|out| out.extend_from_slice(&copy.octets));
            self.window.open(now.mono, sequence, open);
            return;
        }
        self.copies.remove(&sequence);
        self.ended(Event::Unanswered(open.ticket, open.offset), open.ticket);
    }

    /// Takes no more submits. Whatever is open is answered or reported by the deadline set here.
    fn finish(&mut self, now: Now) -> Result<(), Fault> {
        match self.state {
            State::Open | State::Binding { .. } => return Err(self.end(Fault::Closed)),
            State::Bound => {
                self.state = State::Finishing { deadline: now.mono + self.terms.answer_timeout };
                self.keepalive = None;
            }
            State::Finishing { .. } | State::Unbinding { .. } | State::Closed => {}
        }
        Ok(())
    }

    fn goodbye(&mut self, now: Now) {
        let sequence = self.sequence();
        self.say(Phrase::Goodbye, sequence);
        self.state = State::Unbinding { deadline: now.mono + self.terms.bind_timeout };
    }

    fn take_octets(&mut self, now: Now, octets: &[u8]) -> Result<(), Fault> {
        let mut cutter = std::mem::take(&mut self.cutter);
        let limits = self.tongue.limits();
        let taken = cutter.feed(limits, octets, |pdu| self.take(now, pdu).map_err(Stop::Fault));
        self.cutter = cutter;
        taken.map_err(|stop| match stop {
            Stop::Fault(fault) => fault,
            // No PDU says "I cannot follow you"; a goodbye under a number that no request has comes nearest.
            Stop::Broken(broken) => {
                self.say(Phrase::Goodbye, 0);
                self.end(Fault::Broken(broken.to_string()))
            }
        })
    }

    /// Takes one whole PDU.
    fn take(&mut self, now: Now, octets: &[u8]) -> Result<(), Fault> {
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now.mono);
        }
        let Heard { sequence, said, leniency } = self.tongue.hear(octets);
        leniency.into_iter().for_each(|what| self.outbox.lenient(what));
        match said {
            Said::Welcome => {
                if self.is_our_login(sequence) {
                    self.bound(now);
                }
            }
            Said::Unwelcome(fault) => {
                if self.is_our_login(sequence) {
                    return Err(self.end(fault));
                }
            }
            Said::Accepted(id) => {
                let lenient = id.is_none().then_some("an answer without a message id");
                self.answered(sequence, lenient, |ticket| Event::Submitted(ticket, id));
            }
            Said::Refused(refusal) => self.answered(sequence, None, |ticket| Event::Refused(ticket, refusal)),
            Said::Receipt(delivery, receipt) => self.receipt(sequence, delivery, receipt),
            Said::Mo(delivery, mo) => self.delivered(sequence, delivery, |inbound| Event::Mo(inbound, mo)),
            Said::Phrase(Phrase::Probe) => {
                self.say(Phrase::ProbeAnswer, sequence);
                if self.alive(sequence) {
                    self.outbox.lenient("a probe answered by a probe");
                }
            }
            Said::Phrase(Phrase::ProbeAnswer) => drop(self.alive(sequence)),
            Said::Phrase(Phrase::Goodbye) => {
                self.say(Phrase::GoodbyeAnswer, sequence);
                let ours = matches!(self.state, State::Unbinding { .. });
                return Err(self.end(if ours { Fault::Closed } else { Fault::Unbound }));
            }
            Said::Phrase(Phrase::GoodbyeAnswer) => {
                if matches!(self.state, State::Unbinding { .. }) {
                    return Err(self.end(Fault::Closed));
                }
                self.outbox.lenient("an answer to no request");
            }
            Said::Noise(what, answer) => {
                if let Some(answer) = answer {
                    self.outbox.write(|out| out.extend_from_slice(&answer));
                }
                self.outbox.lenient(what);
            }
        }
        Ok(())
    }

    /// Whether our login waits for its answer; there is only one, so its number need not be right.
    fn is_our_login(&mut self, sequence: u32) -> bool {
        match self.state {
            State::Binding { sequence: ours, .. } => {
                if ours != sequence {
                    self.outbox.lenient("a login answered under another number");
                }
                true
            }
            _ => {
                self.outbox.lenient("an answer to no request");
                false
            }
        }
    }

    fn answered(&mut self, sequence: u32, lenient: Option<&'static str>, end: impl FnOnce(Ticket) -> Event) {
        let Some(open) = self.window.close(sequence) else {
            return self.outbox.lenient("an answer to no request");
        };
        self.copies.remove(&sequence);
        lenient.into_iter().for_each(|what| self.outbox.lenient(what));
        self.ended(end(open.ticket), open.ticket);
    }

    /// Whether this answers the last probe asked for.
    fn alive(&mut self, sequence: u32) -> bool {
        let ours = self.probe == Some(sequence);
        if ours {
            self.probe = None;
            self.outbox.event(Event::ProbeAnswered);
        }
        ours
    }

    fn receipt(&mut self, sequence: u32, delivery: T::Delivery, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            return self.delivered(sequence, delivery, |inbound| Event::Receipt(inbound, receipt));
        }
        // A repetition would say no more.
        let bound = matches!(self.state, State::Bound | State::Finishing { .. });
        self.answer(sequence, delivery, if bound { Word::Yes } else { Word::Later });
        self.outbox.lenient("a receipt without an id");
    }

    /// Tells the gateway of a receipt or MO, or answers "later" at once. A login for one direction only is no reason to
    /// lose what comes on it.
    fn delivered(&mut self, sequence: u32, delivery: T::Delivery, event: impl FnOnce(Inbound) -> Event) {
        match self.state {
            State::Bound | State::Finishing { .. } => {
                if self.role == Role::Send {
                    self.outbox.lenient("a delivery on a sending link");
                }
                match self.unsettled.take((sequence, delivery)) {
                    Some(inbound) => self.outbox.event(event(inbound)),
                    None => self.answer(sequence, delivery, Word::Later),
                }
            }
            State::Unbinding { .. } => self.answer(sequence, delivery, Word::Later),
            State::Open | State::Binding { .. } | State::Closed => {
                self.answer(sequence, delivery, Word::Later);
                self.outbox.lenient("a request out of place");
            }
        }
    }

    /// Nothing more can be transmitted.
    fn lost(&mut self) -> Fault {
        let transmitted = self.outbox.cut_off();
        self.report_open(transmitted);
        self.state = State::Closed;
        Fault::Closed
    }

    /// Ends the conversation: reports what is open, closes the link.
    fn end(&mut self, fault: Fault) -> Fault {
        self.report_open(u64::MAX);
        self.outbox.close();
        self.state = State::Closed;
        fault
    }

    fn report_open(&mut self, transmitted: u64) {
        while let Some(Open { ticket, offset }) = self.window.pop_oldest() {
            let offset = if offset <= transmitted { offset } else { u64::MAX };
            self.ended(Event::Unanswered(ticket, offset), ticket);
        }
        self.copies.clear();
        self.keepalive = None;
    }

    /// The next sequence number: from 1 to the last and again, passing over those still open.
    fn sequence(&mut self) -> u32 {
        loop {
            let sequence = self.next;
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !self.window.contains(sequence) {
                return sequence;
            }
        }
    }
}

/// Why reading stopped.
enum Stop {
    Fault(Fault),
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl<T: Tongue> Session for Dialogue<T> {
    fn input(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        if self.state == State::Closed {
            return Err(Fault::Closed);
        }
        match input {
            Input::Opened => self.login(now),
            Input::Octets(_, payload) => self.take_octets(now, payload.body)?,
            Input::Submit(ticket, _, part) => self.submit(now, ticket, part),
            Input::Settle(inbound, word) => self.settle(inbound, &word),
            Input::Tick => self.tick(now)?,
            Input::Probe => self.probe(now),
            Input::Unbind => self.finish(now)?,
            Input::Lost => return Err(self.lost()),
        }
        if matches!(self.state, State::Finishing { .. }) && self.window.is_empty() && self.unsettled.is_empty() {
            self.goodbye(now);
        }
        Ok(())
    }

    fn output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    fn deadline(&self) -> Option<Instant> {
        let state = match self.state {
            State::Binding { deadline, .. } | State::Finishing { deadline } | State::Unbinding { deadline } => {
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
