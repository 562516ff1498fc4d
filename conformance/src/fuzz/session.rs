//! Octets as what happens to a session: what it hears, when, and what the gateway asks of it meanwhile. Whatever that is,
//! every ticket ends once, no more slots are in use than there are, and after its end a session says nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use carriers::{
    AttemptRef, Coding, Common, Event, Inbound, Input, Now, Output, PROTOCOLS, Part, PathId, Payload, Profile, Session,
    Settle, Ticket,
};

/// An account, one of its connections, and what the far side says for the session to be bound there.
pub(super) struct Case {
    protocol: &'static str,
    table: &'static str,
    leg: usize,
    pub(super) login: &'static str,
}

const WINDOW: usize = 4;
const CMPP_30: &str =
    "address = \"a.example:1\"\nsource_addr = \"900001\"\nshared_secret = \"888888\"\nsrc_id = \"10690001\"\n";
const CMPP_20: &str = "address = \"a.example:1\"\nsource_addr = \"900001\"\nshared_secret = \"888888\"\nsrc_id = \"10690001\"\n\
                       version = \"2.0\"\ndialect = { resends = 2, active_test_tries = 3 }\n";
const SGIP: &str = "address = \"a.example:1\"\nlisten = \"127.0.0.1:1\"\nlogin_name = \"fakename\"\nlogin_password = \"1234\"\n\
                    corp_id = \"12345\"\narea = \"010\"\nsp_number = \"10690001\"\n";
const SMGP: &str =
    "address = \"a.example:1\"\nclient_id = \"10000001\"\nshared_secret = \"12345678\"\nsrc_term_id = \"10690001\"\n";
const SMPP: &str = "address = \"a.example:1\"\nsystem_id = \"qiao\"\npassword = \"secret\"\n";

/// The first octet of an input chooses one of these.
pub(super) const CASES: [Case; 6] = [
    Case { protocol: "smpp", table: SMPP, leg: 0, login: "000000148000000900000000000000016d630000" },
    Case {
        protocol: "cmpp",
        table: CMPP_30,
        leg: 0,
        login: "000000218000000100000017000000007942977274098cf210ab0c16c367bc8d30",
    },
    Case {
        protocol: "cmpp",
        table: CMPP_20,
        leg: 0,
        login: "0000001e8000000100000017006c0b846e25bab6daa4ed1c466e0f4bd821",
    },
    Case { protocol: "sgip", table: SGIP, leg: 0, login: "0000001d80000001b36924b942e0e41c00000001000000000000000000" },
    Case {
        protocol: "sgip",
        table: SGIP,
        leg: 1,
        login: "0000003d000000010000000042e0e41c000000010266616b656e616d65000000000000000031323334000000000000000000\
                0000000000000000000000",
    },
    Case {
        protocol: "smgp",
        table: SMGP,
        leg: 0,
        login: "000000218000000115620402000000001ac1f36b008a8c92753e59b2b4e39e4730",
    },
];

impl Case {
    fn profile(&self) -> Arc<dyn Profile> {
        let protocol = PROTOCOLS.iter().find(|protocol| protocol.name() == self.protocol).unwrap();
        let common = Common { name: "fuzz".into(), window: WINDOW, timezone: None, max_parts: 10 };
        let table = toml::de::DeTable::parse(self.table).unwrap();
        let table = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
        protocol.configure(&common, table, &|secret| Ok(secret.to_owned())).unwrap()
    }
}

/// Hexadecimal digits to octets.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Case, whether it is bound first, then steps.
pub(super) fn run(octets: &[u8]) {
    static PROFILES: OnceLock<Vec<Arc<dyn Profile>>> = OnceLock::new();
    let profiles = PROFILES.get_or_init(|| CASES.iter().map(Case::profile).collect());
    let [case, flags, steps @ ..] = octets else { return };
    let which = usize::from(*case) % CASES.len();
    let mut talk = Talk::new(profiles[which].open(CASES[which].leg, 1));
    talk.input(Input::Opened);
    if flags & 1 != 0 {
        talk.octets(&hex(CASES[which].login));
        assert!(talk.over || talk.bound, "a login that is not one");
    }
    let mut steps = Steps(steps);
    while let Some(step) = steps.octet() {
        talk.step(step, &mut steps);
    }
    talk.close();
}

/// What is left of an input.
struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn some(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct Talk {
    session: Box<dyn Session>,
    now: Now,
    bound: bool,
    over: bool,
    /// Tickets handed over, and how often each has ended and was freed.
    tickets: BTreeMap<Ticket, (u32, u32)>,
    unsettled: Vec<Inbound>,
    /// What comes next is drained with what follows it.
    together: bool,
}

impl Talk {
    fn new(session: Box<dyn Session>) -> Talk {
        // 2026-11-22.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_290_436);
        let now = Now { mono: Instant::now(), wall };
        Talk {
            session,
            now,
            bound: false,
            over: false,
            tickets: BTreeMap::new(),
            unsettled: Vec::new(),
            together: false,
        }
    }

    fn step(&mut self, step: u8, steps: &mut Steps<'_>) {
        self.together = matches!(step & 15, 11 | 13);
        match step & 7 {
            0..=2 => {
                let length = u16::from_be_bytes([steps.octet().unwrap_or(0), steps.octet().unwrap_or(0)]);
                self.octets(steps.some(usize::from(length)));
            }
            3 => self.submit(),
            4 => self.wait(Duration::from_millis(250) * u32::from(steps.octet().unwrap_or(0))),
            5 => {
                let words = [Settle::Durable, Settle::Later, Settle::Refused("x".into())];
                let which = usize::from(steps.octet().unwrap_or(0));
                if !self.unsettled.is_empty() {
                    let inbound = self.unsettled.swap_remove(which / 3 % self.unsettled.len());
                    self.input(Input::Settle(inbound, words[which % 3].clone()));
                }
            }
            6 => self.input(Input::Probe),
            _ => match steps.octet().unwrap_or(0) {
                0..32 => self.input(Input::Unbind),
                32..40 => self.input(Input::Lost),
                _ => self.input(Input::Tick),
            },
        }
    }

    fn octets(&mut self, octets: &[u8]) {
        self.input(Input::Octets(PathId(0), Payload::octets(octets)));
    }

    fn submit(&mut self) {
        let number = self.tickets.len() as u64 + 1;
        if number > 32 {
            return;
        }
        let ticket = Ticket::new(AttemptRef(number), 0);
        self.tickets.insert(ticket, (0, 0));
        let part = Part {
            to: "+8613800138000".into(),
            sender: None,
            coding: Coding::Ascii,
            data: Bytes::from_static(b"hello"),
            udh: false,
            index: 0,
            total: 1,
            reference: 7,
            valid_for: Duration::from_secs(300),
            receipt: true,
            options: String::new(),
        };
        if !self.over {
            self.input(Input::Submit(ticket, AttemptRef(number), &part));
        } else {
            self.tickets.remove(&ticket);
        }
    }

    /// Lets time pass, waking the session at its deadlines.
    fn wait(&mut self, time: Duration) {
        let until = self.now.mono + time;
        for round in 0.. {
            let due = self.session.deadline().filter(|due| *due <= until && !self.over);
            let next = due.unwrap_or(until).max(self.now.mono);
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            if due.is_none() {
                return;
            }
            assert!(round < 10_000, "a deadline that never passes");
            self.input(Input::Tick);
        }
    }

    /// One input, all outputs.
    fn input(&mut self, input: Input<'_>) {
        let was_over = self.over;
        let ended = self.session.input(self.now, input).is_err();
        assert!(ended || !was_over, "a session that ended goes on");
        self.over |= ended;
        if std::mem::take(&mut self.together) && !ended {
            return;
        }
        while let Some(output) = self.session.output() {
            assert!(!was_over, "words after the end");
            let Output::Event(event) = output else { continue };
            match event {
                Event::Bound(_) => {
                    assert!(!self.bound, "bound twice");
                    self.bound = true;
                }
                Event::Submitted(ticket, _) | Event::Refused(ticket, _) | Event::Unanswered(ticket, _) => {
                    self.tickets.get_mut(&ticket).expect("an end of nothing").0 += 1;
                }
                Event::Freed(ticket) => self.tickets.get_mut(&ticket).expect("nothing is freed").1 += 1,
                Event::Receipt(inbound, _) | Event::Mo(inbound, _) => self.unsettled.push(inbound),
                Event::Heard(_) | Event::ProbeAnswered | Event::Leniency(_) => {}
            }
        }
        let open = self.tickets.values().filter(|(ends, _)| *ends == 0).count();
        assert!(open <= WINDOW, "{open} open");
        let room = self.session.room();
        assert!(room == 0 || room + open <= WINDOW && self.bound && !self.over, "room for {room}, {open} open");
        assert!(self.unsettled.len() <= carriers::inbound::LIMIT, "more than may wait");
    }

    fn close(&mut self) {
        if !self.over {
            self.input(Input::Lost);
        }
        assert!(self.over, "a lost connection is the end");
        for (ticket, ends) in &self.tickets {
            assert_eq!(*ends, (1, 1), "{ticket:?} ended or was freed so often");
        }
    }
}
