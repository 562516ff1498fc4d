//! The far side of each protocol, as small as a test needs it, and a [`Talk`] that joins it to our session.
//!
//! A protocol adds one file with its [`Far`] and its cases, and one arm in [`cases`]. Built on codecs only.

mod cmpp;
mod sgip;
mod smgp;
mod smpp;

use std::time::{Duration, Instant, SystemTime};

use carriers::{
    AttemptRef, Coding, Common, Event, Fault, Inbound, Input, Now, Output, PROTOCOLS, Part, PathId, Payload, Probe,
    Profile, Reach, Role, Session, Ticket,
};

/// What identifies a request on the wire, wide enough for every protocol.
pub type Serial = u128;

/// What our session was heard to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Bind(Serial),
    /// Its answer to our login, on a connection of ours.
    BindAnswer(Serial, bool),
    Submit(Serial),
    Probe(Serial),
    ProbeAnswer(Serial),
    Unbind(Serial),
    UnbindAnswer(Serial),
    /// Its answer to our receipt or MO.
    Settled(Serial, Word),
    /// It did not understand us.
    Nack,
}

/// An answer to a receipt or MO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Yes,
    Later,
    No,
}

/// What the far side is to say.
#[derive(Clone, Copy, Debug)]
pub enum Say<'a> {
    /// Our login, on a connection of ours.
    Bind(Serial),
    /// One with a wrong password.
    BindWrongly(Serial),
    BindYes(Serial),
    BindNo(Serial),
    Accept(Serial, &'a str),
    Refuse(Serial),
    Probe(Serial),
    ProbeAnswer(Serial),
    Receipt(Serial, &'a str),
    Mo(Serial, &'a str),
    Unbind(Serial),
    UnbindAnswer(Serial),
    /// A request of the far side's whose fields cannot be read.
    Unreadable(Serial),
    /// A request nobody knows.
    Unknown(Serial),
    /// Octets after which no boundary is known.
    Broken,
}

/// A far side: octets to words and back. It keeps what is left of a PDU, nothing else.
pub trait Far {
    fn hear(&mut self, octets: &[u8]) -> Vec<Heard>;
    fn say(&self, say: Say<'_>) -> Vec<u8>;
}

/// One way to configure one protocol, and what its settings promise.
pub struct Case {
    pub protocol: &'static str,
    /// The lines of `[channel.<protocol>]`.
    pub table: &'static str,
    pub answer: Duration,
    pub bind: Duration,
    /// Silence that ends a link, or after which it says goodbye where it has no probe.
    pub silence: Duration,
    pub far: fn() -> Box<dyn Far>,
}

pub const WINDOW: usize = 4;

/// Every case of every protocol.
pub fn cases() -> Vec<Case> {
    let of = |name: &str| match name {
        "cmpp" => cmpp::cases(),
        "sgip" => sgip::cases(),
        "smgp" => smgp::cases(),
        "smpp" => smpp::cases(),
        other => panic!("tests/far has no {other}"),
    };
    PROTOCOLS.iter().flat_map(|protocol| of(protocol.name())).collect()
}

/// Runs a promise on every leg of every case that can keep it.
pub fn each(able: impl Fn(Role) -> bool, promise: impl Fn(&Case, usize)) {
    for case in cases() {
        for (leg, told) in case.profile().legs().iter().enumerate() {
            if able(told.role) {
                promise(&case, leg);
            }
        }
    }
}

impl Case {
    /// Whether the far side opens that leg's connections.
    pub fn is_dialled(&self, leg: usize) -> bool {
        matches!(self.profile().legs()[leg].reach, Reach::Listen(_))
    }

    pub fn profile(&self) -> std::sync::Arc<dyn Profile> {
        let protocol = PROTOCOLS.iter().find(|p| p.name() == self.protocol).unwrap();
        let common = Common { name: "test".into(), window: WINDOW, timezone: None, max_parts: 10 };
        let table = toml::de::DeTable::parse(self.table).unwrap();
        let table = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
        protocol.configure(&common, table, &|secret| Ok(secret.to_owned())).unwrap()
    }
}

/// Whether a leg can ask for a sign of life.
pub fn probes(case: &Case, leg: usize) -> bool {
    case.profile().legs()[leg].probe == Probe::Pdu
}

pub fn sends(role: Role) -> bool {
    role != Role::Receive
}

pub fn receives(role: Role) -> bool {
    role != Role::Send
}

pub fn part() -> Part {
    Part {
        to: "+447700900123".into(),
        sender: None,
        coding: Coding::Gsm7,
        data: "Your code is 4711"[..].into(),
        udh: false,
        index: 0,
        total: 1,
        reference: 7,
        valid_for: Duration::from_secs(300),
        receipt: true,
        options: String::new(),
    }
}

/// Our session and the far side on an in-memory wire. The clock moves only in [`Talk::wait`].
pub struct Talk {
    pub session: Box<dyn Session>,
    pub far: Box<dyn Far>,
    pub now: Now,
    /// What the session told, in order.
    pub events: Vec<Event>,
    /// What the far side heard, in order.
    pub heard: Vec<Heard>,
    /// All octets the session transmitted.
    pub transmitted: Vec<u8>,
    pub closed: bool,
    pub fault: Option<Fault>,
    submitted: u64,
}

impl Talk {
    /// A session nobody has spoken to.
    pub fn new(case: &Case, leg: usize) -> Talk {
        #[allow(clippy::disallowed_methods, reason = "an origin; the test's clock moves by itself")]
        let now = Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        Talk {
            session: case.profile().open(leg, 1),
            far: (case.far)(),
            now,
            events: Vec::new(),
            heard: Vec::new(),
            transmitted: Vec::new(),
            closed: false,
            fault: None,
            submitted: 0,
        }
    }

    /// A session that is bound, its first words forgotten.
    pub fn bound(case: &Case, leg: usize) -> Talk {
        let mut talk = Talk::new(case, leg);
        talk.input(Input::Opened);
        if case.is_dialled(leg) {
            talk.say(Say::Bind(901));
            assert_eq!(talk.heard, [Heard::BindAnswer(901, true)]);
        } else {
            let [Heard::Bind(serial)] = talk.heard[..] else { panic!("no bind: {:?}", talk.heard) };
            talk.say(Say::BindYes(serial));
        }
        assert!(matches!(talk.events[..], [Event::Bound(_)]), "{:?}", talk.events);
        talk.heard.clear();
        talk.events.clear();
        talk
    }

    /// So many tickets more, and only then all outputs.
    pub fn submit_together(&mut self, count: u64) -> Vec<Ticket> {
        let from = self.submitted + 1;
        self.submitted += count;
        let tickets: Vec<_> = (from..from + count).map(|attempt| Ticket::new(AttemptRef(attempt), 0)).collect();
        let part = part();
        let submits = tickets.iter().map(|ticket| Input::Submit(*ticket, ticket.attempt(), &part));
        self.together(submits.collect());
        tickets
    }

    /// Several inputs, and only then all outputs.
    pub fn together(&mut self, mut inputs: Vec<Input<'_>>) {
        let Some(last) = inputs.pop() else { return };
        for input in inputs {
            assert_eq!(self.session.input(self.now, input), Ok(()));
        }
        self.input(last);
    }

    /// One input, all outputs. What comes after the end must change nothing.
    pub fn input(&mut self, input: Input<'_>) {
        let before = self.fault.clone();
        let result = self.session.input(self.now, input);
        let events = self.events.len();
        let transmitted = self.transmitted.len();
        while let Some(output) = self.session.output() {
            match output {
                Output::Transmit(PathId(0), payload) => {
                    assert!(!self.closed, "octets after the close");
                    self.transmitted.extend_from_slice(&payload.body);
                    let heard = self.far.hear(&payload.body);
                    self.heard.extend(heard);
                }
                Output::Close(PathId(0)) => self.closed = true,
                Output::Event(event) => self.events.push(event),
                other => panic!("a stream has one path: {other:?}"),
            }
        }
        match (before, result) {
            (None, Err(fault)) => self.fault = Some(fault),
            (Some(_), result) => {
                assert!(result.is_err(), "a session that ended goes on");
                assert_eq!((events, transmitted), (self.events.len(), self.transmitted.len()), "words after the end");
            }
            (None, Ok(())) => {}
        }
    }

    pub fn octets(&mut self, octets: &[u8]) {
        self.input(Input::Octets(PathId(0), Payload::octets(octets)));
    }

    pub fn say(&mut self, say: Say<'_>) {
        let octets = self.far.say(say);
        self.octets(&octets);
    }

    /// Submits the next ticket.
    pub fn submit(&mut self) -> Ticket {
        self.submitted += 1;
        let attempt = AttemptRef(self.submitted);
        let ticket = Ticket::new(attempt, 0);
        self.input(Input::Submit(ticket, attempt, &part()));
        ticket
    }

    /// Submits, and says under which serial the far side has it.
    pub fn submit_heard(&mut self) -> (Ticket, Serial) {
        let ticket = self.submit();
        match self.heard.last() {
            Some(Heard::Submit(serial)) => (ticket, *serial),
            other => panic!("no submit was heard: {other:?}"),
        }
    }

    /// Lets time pass, waking the session at each of its deadlines.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now.mono + time;
        for _ in 0..10_000 {
            let due = self.session.deadline().filter(|due| *due <= until && self.fault.is_none());
            self.jump(due.unwrap_or(until).max(self.now.mono));
            if due.is_none() {
                return;
            }
            self.input(Input::Tick);
        }
        panic!("a deadline that never passes");
    }

    /// Moves the clock without waking anybody.
    pub fn jump(&mut self, to: Instant) {
        self.now.wall += to - self.now.mono;
        self.now.mono = to;
    }

    /// How each ticket ended, in order; checks that its slot was freed right after.
    pub fn ends(&self) -> Vec<Ticket> {
        let mut ends = Vec::new();
        for (at, event) in self.events.iter().enumerate() {
            let ticket = match event {
                Event::Submitted(ticket, _) | Event::Refused(ticket, _) | Event::Unanswered(ticket, _) => *ticket,
                _ => continue,
            };
            assert_eq!(self.events.get(at + 1), Some(&Event::Freed(ticket)));
            ends.push(ticket);
        }
        let freed = self.events.iter().filter(|event| matches!(event, Event::Freed(_))).count();
        assert_eq!(freed, ends.len(), "a slot freed twice");
        ends
    }

    /// The receipts and MOs told, in order.
    pub fn inbounds(&self) -> Vec<Inbound> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::Receipt(inbound, _) | Event::Mo(inbound, _) => Some(*inbound),
            _ => None,
        });
        told.collect()
    }
}
