//! The conversation of protocols that log in once and then number their requests each way: one machine, many tongues.
//!
//! [`Dialogue`] keeps the promises of [`Session`]: it owns the state, the sequence numbers, the window, the keepalive, the
//! copies that a resend needs and what waits for `Settle`. A [`Tongue`] turns one PDU into what it says and what is to be
//! said into one PDU, and knows nothing of time or order. `LIFECYCLE.md` has the states.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use codecs::framing::{Broken, Limits, RESPONSE};

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
    /// What a request is known by, and its answer repeats. The default is no request's.
    type Number: Copy + Default + Eq + Hash + fmt::Debug + Send;
    /// What the answer to a receipt or MO repeats, beside the sequence number.
    type Delivery: Copy + fmt::Debug + Send;

    /// Which lengths a PDU may have.
    fn limits(&self) -> &'static Limits;
    /// The number of our next request, the submit of that ticket where there is one; `count` runs from 1 to the last and
    /// again.
    fn number(&self, now: Now, count: u32, ticket: Option<Ticket>) -> Self::Number;
    /// The id of the message that a submit of this number is, where its number is all the id it has.
    fn id(&self, _request: Self::Number) -> Option<CarrierId> {
        None
    }
    /// Whether an answer under that number may be one to this request of ours, where it is none's exactly.
    fn resembles(&self, _answer: Self::Number, _request: Self::Number) -> bool {
        false
    }
    /// Whether the connection is ours, so that we log in and say goodbye. Where it is the far side's, it does both.
    fn opens(&self) -> bool {
        true
    }
    /// Appends the login.
    fn login(&mut self, now: Now, sequence: Self::Number, out: &mut BytesMut);
    /// Appends a part's submit; where a field does not fit, nothing, and the field's name is the error.
    fn submit(&self, now: Now, sequence: Self::Number, part: &Part, out: &mut BytesMut) -> Result<(), &'static str>;
    /// Appends the answer to a receipt or MO.
    fn settle(&self, sequence: Self::Number, delivery: Self::Delivery, word: Word, out: &mut BytesMut);
    /// Appends one of the PDUs that say nothing but their name.
    fn say(&self, phrase: Phrase, sequence: Self::Number, out: &mut BytesMut);
    /// Where the octets are a receipt or MO: its number, and what its answer repeats. No more of it is read.
    fn delivery(&self, octets: &[u8]) -> Option<(Self::Number, Self::Delivery)>;
    /// What one whole PDU says.
    fn hear(&mut self, octets: &[u8]) -> Heard<Self::Number, Self::Delivery>;
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
pub struct Heard<N, D> {
    /// Its sequence number.
    pub sequence: N,
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
    /// The far side logs in, on a connection of its own: what answers it, and why it may not, where it may not.
    Login(BytesMut, Option<Fault>),
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

/// What is to be said of a whole PDU that has no place here; `known`: its command has a name.
pub fn misplaced(command: u32, known: bool) -> &'static str {
    match command {
        command if command & RESPONSE != 0 => "an answer to no request",
        _ if known => "a request out of place",
        _ => "an unknown command",
    }
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
    /// Idle time before the far side is probed, or the connection is given up where there is nothing to probe with.
    pub idle: Duration,
    /// Probes without an answer before the far side is silent; 0 where the protocol has no probe.
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
    state: State<T::Number>,
    outbox: Outbox,
    window: Window<T::Number>,
    /// Submits on the wire that may be sent again; empty where `terms` allow no resend.
    copies: HashMap<T::Number, Copied>,
    unsettled: Unsettled<(T::Number, T::Delivery)>,
    /// Runs while bound, where the protocol has a probe.
    keepalive: Option<Keepalive>,
    /// Since when nothing happened, while bound without a keepalive.
    quiet_since: Option<Instant>,
    /// Sequence number of the probe sent for the last [`Input::Probe`], until it is answered.
    probe: Option<T::Number>,
    cutter: Cutter,
    next: u32,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State<N> {
    /// Nothing said yet.
    Open,
    /// Our login waits for its answer, or we for the far side's.
    Binding { sequence: N, deadline: Instant },
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
            quiet_since: None,
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
        let mut sequence = T::Number::default();
        if self.tongue.opens() {
            sequence = self.number(now);
            let Self { tongue, outbox, .. } = self;
            outbox.write(|out| tongue.login(now, sequence, out));
        }
        self.state = State::Binding { sequence, deadline: now.mono + self.terms.bind_timeout };
    }

    fn bound(&mut self, now: Now) {
        let Terms { idle, answer_timeout, tries, .. } = self.terms;
        self.state = State::Bound;
        match tries {
            0 => self.quiet_since = Some(now.mono),
            tries => self.keepalive = Some(Keepalive::new(now.mono, idle, answer_timeout).tries(tries)),
        }
        self.outbox.event(Event::Bound(self.window.room()));
    }

    fn submit(&mut self, now: Now, ticket: Ticket, part: &Part) {
        if self.room() == 0 {
            return self.ended(Event::Unanswered(ticket, u64::MAX), ticket);
        }
        let Some(sequence) = self.submit_number(now, ticket) else {
            return self.ended(Event::Unanswered(ticket, u64::MAX), ticket);
        };
        self.stir(now);
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

    fn settle(&mut self, now: Now, inbound: Inbound, word: &Settle) {
        let Some((sequence, delivery)) = self.unsettled.settle(inbound) else { return };
        self.stir(now);
        let word = match word {
            Settle::Durable => Word::Yes,
            Settle::Later => Word::Later,
            Settle::Refused(_) => Word::No,
        };
        self.answer(sequence, delivery, word);
    }

    fn answer(&mut self, sequence: T::Number, delivery: T::Delivery, word: Word) {
        let Self { tongue, outbox, .. } = self;
        outbox.write(|out| tongue.settle(sequence, delivery, word, out));
    }

    /// Something happened.
    fn stir(&mut self, now: Now) {
        if let Some(since) = &mut self.quiet_since {
            *since = now.mono;
        }
    }

    /// When a connection on which nothing happens, and nothing is open, is given up.
    fn quiet_until(&self) -> Option<Instant> {
        let rests = self.state == State::Bound && self.window.is_empty() && self.unsettled.is_empty();
        self.quiet_since.filter(|_| rests).map(|since| since + self.terms.idle)
    }

    fn say(&mut self, phrase: Phrase, sequence: T::Number) {
        let Self { tongue, outbox, .. } = self;
        outbox.write(|out| tongue.say(phrase, sequence, out));
    }

    /// Also while it finishes: what is open there is still worth a sign of life.
    fn probe(&mut self, now: Now) {
        // A protocol without a probe has no question to ask.
        if self.terms.tries == 0 || !matches!(self.state, State::Bound | State::Finishing { .. }) {
            return;
        }
        self.keepalive.iter_mut().for_each(|keepalive| keepalive.probed(now.mono));
        let sequence = self.number(now);
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
            State::Finishing { deadline } if deadline <= now.mono => self.goodbye(now)?,
            _ => {}
        }
        if self.quiet_until().is_some_and(|until| until <= now.mono) {
            self.finish(now)?;
        }
        match self.keepalive.as_mut().and_then(|keepalive| keepalive.tick(now.mono)) {
            Some(Beat::Silent) => Err(self.end(Fault::Silent)),
            Some(Beat::Probe) => {
                let sequence = self.number(now);
                self.say(Phrase::Probe, sequence);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A submit's answer did not come in time: it is sent again, or its ticket ends. Its offset stays that of its first
    /// octets: once the far side acknowledged those, the carrier may have acted.
    fn overdue(&mut self, now: Now, sequence: T::Number) {
        let Some(open) = self.window.close(sequence) else { return };
        self.stir(now);
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

    fn goodbye(&mut self, now: Now) -> Result<(), Fault> {
        if !self.tongue.opens() {
            return Err(self.end(Fault::Closed));
        }
        let sequence = self.number(now);
        self.say(Phrase::Goodbye, sequence);
        self.state = State::Unbinding { deadline: now.mono + self.terms.bind_timeout };
        Ok(())
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
                if self.tongue.opens() {
                    self.say(Phrase::Goodbye, T::Number::default());
                }
                self.end(Fault::Broken(broken.to_string()))
            }
        })
    }

    /// Takes one whole PDU.
    fn take(&mut self, now: Now, octets: &[u8]) -> Result<(), Fault> {
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now.mono);
        }
        self.stir(now);
        if let Some((sequence, delivery)) = self.crowded(octets) {
            self.answer(sequence, delivery, Word::Later);
            return Ok(());
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
            Said::Login(answer, refused) => {
                if !matches!(self.state, State::Binding { .. }) {
                    self.outbox.lenient("a request out of place");
                    return Ok(());
                }
                self.outbox.write(|out| out.extend_from_slice(&answer));
                match refused {
                    Some(fault) => return Err(self.end(fault)),
                    None => self.bound(now),
                }
            }
            Said::Accepted(id) => {
                self.answered(sequence, |ticket, request_id| Event::Submitted(ticket, id.or(request_id)));
            }
            Said::Refused(refusal) => self.answered(sequence, |ticket, _| Event::Refused(ticket, refusal)),
            Said::Receipt(delivery, receipt) => self.receipt(sequence, delivery, receipt),
            Said::Mo(delivery, mo) => self.delivered(sequence, delivery, |inbound| Event::Mo(inbound, Box::new(mo))),
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

    /// A receipt or MO for which there is no room. It will be said again, so it is not read now: a carrier that sends them
    /// faster than the disk takes them says most of them several times.
    fn crowded(&self, octets: &[u8]) -> Option<(T::Number, T::Delivery)> {
        let listens = matches!(self.state, State::Bound | State::Finishing { .. });
        if self.unsettled.has_room() || !listens { None } else { self.tongue.delivery(octets) }
    }

    /// Whether our login waits for its answer; there is only one, so its number need not be right.
    fn is_our_login(&mut self, sequence: T::Number) -> bool {
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

    /// The end of the submit answered so, given its ticket and the id that its number alone makes.
    fn answered(&mut self, sequence: T::Number, end: impl FnOnce(Ticket, Option<CarrierId>) -> Event) {
        let mut request = sequence;
        if !self.window.contains(sequence)
            && let Some(like) = self.window.only(|request| self.tongue.resembles(sequence, request))
        {
            request = like;
            self.outbox.lenient("an answer under another number");
        }
        let Some(open) = self.window.close(request) else {
            return self.outbox.lenient("an answer to no request");
        };
        self.copies.remove(&request);
        let end = end(open.ticket, self.tongue.id(request));
        if matches!(end, Event::Submitted(_, None)) {
            self.outbox.lenient("an answer without a message id");
        }
        self.ended(end, open.ticket);
    }

    /// Whether this answers the last probe asked for.
    fn alive(&mut self, sequence: T::Number) -> bool {
        let ours = self.probe == Some(sequence);
        if ours {
            self.probe = None;
            self.outbox.event(Event::ProbeAnswered);
        }
        ours
    }

    fn receipt(&mut self, sequence: T::Number, delivery: T::Delivery, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            return self.delivered(sequence, delivery, |inbound| Event::Receipt(inbound, Box::new(receipt)));
        }
        // A repetition would say no more.
        let bound = matches!(self.state, State::Bound | State::Finishing { .. });
        self.answer(sequence, delivery, if bound { Word::Yes } else { Word::Later });
        self.outbox.lenient("a receipt without an id");
    }

    /// Tells the gateway of a receipt or MO, or answers "later" at once. A login for one direction only is no reason to
    /// lose what comes on it.
    fn delivered(&mut self, sequence: T::Number, delivery: T::Delivery, event: impl FnOnce(Inbound) -> Event) {
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
        self.quiet_since = None;
    }

    /// The number of the ticket's submit, passing over those still open; none where its own is, and it has but one.
    fn submit_number(&mut self, now: Now, ticket: Ticket) -> Option<T::Number> {
        for _ in 0..=self.window.len() {
            let number = self.tongue.number(now, self.next, Some(ticket));
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !self.window.contains(number) {
                return Some(number);
            }
        }
        None
    }

    /// The number of the next request that is no submit, passing over those still open.
    fn number(&mut self, now: Now) -> T::Number {
        loop {
            let number = self.tongue.number(now, self.next, None);
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !self.window.contains(number) {
                return number;
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
            Input::Settle(inbound, word) => self.settle(now, inbound, &word),
            Input::Tick => self.tick(now)?,
            Input::Probe => self.probe(now),
            Input::Unbind => self.finish(now)?,
            Input::Lost => return Err(self.lost()),
        }
        if matches!(self.state, State::Finishing { .. }) && self.window.is_empty() && self.unsettled.is_empty() {
            self.goodbye(now)?;
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
            State::Binding { deadline, .. } | State::Finishing { deadline } | State::Unbinding { deadline } => {
                Some(deadline)
            }
            State::Open | State::Bound | State::Closed => None,
        };
        let keepalive = self.keepalive.as_ref().map(Keepalive::deadline);
        [state, keepalive, self.quiet_until(), self.window.deadline()].into_iter().flatten().min()
    }

    fn room(&self) -> usize {
        if self.state == State::Bound { self.window.room() } else { 0 }
    }
}
