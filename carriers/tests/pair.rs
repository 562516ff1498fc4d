//! Long random dialogues between our session and a far side on an in-memory wire. The clock jumps straight to what
//! happens next. Answers come late, twice, out of order or never; octets come in any pieces; links stall, end and break.
//! Whatever happens, every ticket ends once, by the answer that arrived or by none, and every settled word is said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::far::{Case, Heard, Say, Serial, Talk, WINDOW, Word, cases, receives, sends};
use carriers::{Event, Fault, Input, Role, Settle, Ticket};

/// xorshift64*: the same seed gives the same dialogue.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below.max(1)
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.roll(below * 1000))
    }
}

/// What is going to happen.
#[derive(Debug)]
enum Deed {
    /// These octets arrive; the answer to that submit is whole with them.
    Arrive(Vec<u8>, Option<Serial>),
    Answer(Heard),
    Submit,
    Inbound,
    Settle(carriers::Inbound),
    Probe,
    Unbind,
    FarUnbind,
    Lost,
}

/// How a dialogue goes wrong.
struct Temper {
    /// Answers take up to this many milliseconds.
    slow: u64,
    /// Percent of submits never answered, refused, answered twice.
    withheld: u64,
    refused: u64,
    doubled: u64,
    /// Whether octets come in small pieces.
    splits: bool,
    /// From when on the far side says nothing.
    mute: Option<Instant>,
}

struct Dialogue {
    talk: Talk,
    role: Role,
    dice: Dice,
    temper: Temper,
    plan: BTreeMap<(Instant, u64), Deed>,
    planned: u64,
    /// When the last octets on their way arrive.
    wire: Instant,
    next_serial: Serial,
    heard: usize,
    told: usize,
    submitted: Vec<Ticket>,
    serials: BTreeMap<Serial, Ticket>,
    arrived: BTreeSet<Ticket>,
    ended: BTreeSet<Ticket>,
    settled: usize,
    /// Answers to receipts and MOs heard: all, and those that are not "later".
    words: (usize, usize),
    finishing: bool,
}

impl Dialogue {
    fn new(case: &Case, leg: usize, seed: u64) -> Dialogue {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let talk = Talk::bound(case, leg);
        let start = talk.now.mono;
        let temper = Temper {
            slow: [20, 800, 5000][dice.roll(3) as usize],
            withheld: [0, 10][dice.roll(2) as usize],
            refused: dice.roll(20),
            doubled: dice.roll(10),
            splits: dice.chance(50),
            mute: dice.chance(20).then(|| start + dice.millis(30_000)),
        };
        let role = case.profile().legs()[leg].role;
        let mut dialogue = Dialogue {
            talk,
            role,
            temper,
            plan: BTreeMap::new(),
            planned: 0,
            wire: start,
            next_serial: 1000,
            heard: 0,
            told: 0,
            submitted: Vec::new(),
            serials: BTreeMap::new(),
            arrived: BTreeSet::new(),
            ended: BTreeSet::new(),
            settled: 0,
            words: (0, 0),
            finishing: false,
            dice,
        };
        for _ in 0..dialogue.dice.roll(300) {
            let deed = if sends(role) { Deed::Submit } else { Deed::Inbound };
            dialogue.plan_within(40_000, deed);
        }
        if receives(role) {
            (0..20).for_each(|_| dialogue.plan_within(40_000, Deed::Inbound));
        }
        (0..4).for_each(|_| dialogue.plan_within(40_000, Deed::Probe));
        for deed in [Deed::Unbind, Deed::FarUnbind, Deed::Lost] {
            if dialogue.dice.chance(30) {
                dialogue.plan_within(60_000, deed);
            }
        }
        dialogue
    }

    fn plan_at(&mut self, at: Instant, deed: Deed) {
        self.planned += 1;
        self.plan.insert((at, self.planned), deed);
    }

    fn plan_within(&mut self, millis: u64, deed: Deed) {
        let at = self.talk.now.mono + self.dice.millis(millis);
        self.plan_at(at, deed);
    }

    /// Runs to the end of the link or of the plan.
    fn run(&mut self, seed: u64) {
        for _ in 0..100_000 {
            if self.talk.fault.is_some() {
                return;
            }
            let due = self.talk.session.deadline();
            let next = self.plan.first_key_value().map(|(key, _)| key.0);
            match (due, next) {
                (_, None) => return,
                (Some(due), Some(next)) if due <= next => {
                    self.talk.jump(due.max(self.talk.now.mono));
                    self.talk.input(Input::Tick);
                    assert!(self.talk.session.deadline().is_none_or(|later| later > due), "seed {seed}: stuck");
                }
                (_, Some(at)) => {
                    self.talk.jump(at);
                    let (_, deed) = self.plan.pop_first().unwrap();
                    self.act(deed);
                }
            }
            self.react();
            self.check(seed);
        }
        panic!("seed {seed}: no end");
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Arrive(octets, answer) => {
                // Known before the session sees it: from here on no other end is right.
                let ticket = answer.and_then(|serial| self.serials.get(&serial));
                self.arrived.extend(ticket.filter(|ticket| !self.ended.contains(ticket)));
                self.talk.octets(&octets);
            }
            Deed::Answer(heard) => self.answer(heard),
            Deed::Submit if self.talk.session.room() > 0 => {
                let (ticket, serial) = self.talk.submit_heard();
                self.submitted.push(ticket);
                self.serials.insert(serial, ticket);
            }
            Deed::Submit => self.plan_within(8_000, Deed::Submit),
            Deed::Inbound => {
                self.next_serial += 1;
                let serial = self.next_serial;
                let say = if self.dice.chance(50) { Say::Receipt(serial, "1f") } else { Say::Mo(serial, "hello") };
                self.far_says(say, None);
            }
            Deed::Settle(inbound) => {
                self.settled += 1;
                let word =
                    [Settle::Durable, Settle::Later, Settle::Refused("x".into())][self.dice.roll(3) as usize].clone();
                self.talk.input(Input::Settle(inbound, word));
            }
            Deed::Probe => self.talk.input(Input::Probe),
            Deed::Unbind => {
                self.finishing = true;
                self.talk.input(Input::Unbind);
            }
            Deed::FarUnbind => self.far_says(Say::Unbind(1), None),
            Deed::Lost => self.talk.input(Input::Lost),
        }
    }

    fn answer(&mut self, heard: Heard) {
        match heard {
            Heard::Submit(serial) if self.dice.chance(self.temper.refused) => {
                self.far_says(Say::Refuse(serial), Some(serial));
            }
            Heard::Submit(serial) => self.far_says(Say::Accept(serial, "2a"), Some(serial)),
            Heard::Probe(serial) => self.far_says(Say::ProbeAnswer(serial), None),
            Heard::Unbind(serial) => self.far_says(Say::UnbindAnswer(serial), None),
            other => panic!("{other:?} wants no answer"),
        }
    }

    /// Puts octets on the wire, in pieces that stay in order.
    fn far_says(&mut self, say: Say<'_>, answer: Option<Serial>) {
        if self.temper.mute.is_some_and(|from| from <= self.talk.now.mono) {
            return;
        }
        let octets = self.talk.far.say(say);
        let piece = if self.temper.splits { 1 + self.dice.roll(20) as usize } else { octets.len() };
        let last = octets.len().div_ceil(piece) - 1;
        for (at, octets) in octets.chunks(piece).enumerate() {
            self.wire = self.wire.max(self.talk.now.mono) + self.dice.millis(5);
            self.plan_at(self.wire, Deed::Arrive(octets.to_vec(), answer.filter(|_| at == last)));
        }
    }

    /// Plans what follows from what was just heard and told.
    fn react(&mut self) {
        let heard = self.talk.heard[self.heard..].to_vec();
        self.heard += heard.len();
        for heard in heard {
            match heard {
                Heard::Submit(_) if self.dice.chance(self.temper.withheld) => {}
                Heard::Submit(_) => {
                    self.plan_within(self.temper.slow, Deed::Answer(heard));
                    if self.dice.chance(self.temper.doubled) {
                        self.plan_within(self.temper.slow, Deed::Answer(heard));
                    }
                }
                Heard::Unbind(_) => {
                    // Also where nothing happened for long.
                    self.finishing = true;
                    self.plan_within(500, Deed::Answer(heard));
                }
                Heard::Probe(_) => self.plan_within(500, Deed::Answer(heard)),
                Heard::Settled(_, word) => {
                    self.words.0 += 1;
                    self.words.1 += usize::from(word != Word::Later);
                }
                Heard::ProbeAnswer(_) | Heard::UnbindAnswer(_) => {}
                Heard::Nack | Heard::Bind(_) | Heard::BindAnswer(..) => {
                    panic!("{heard:?}: the far side did nothing wrong")
                }
            }
        }
        let told = self.talk.events[self.told..].to_vec();
        self.told += told.len();
        for event in told {
            match event {
                Event::Receipt(inbound, _) | Event::Mo(inbound, _) => self.plan_within(1_000, Deed::Settle(inbound)),
                Event::Unanswered(ticket, _) => {
                    assert!(!self.arrived.contains(&ticket), "{ticket:?} was answered before it ended");
                    self.ended.insert(ticket);
                }
                Event::Submitted(ticket, _) | Event::Refused(ticket, _) => {
                    assert!(self.arrived.contains(&ticket), "{ticket:?} ended by an answer nobody gave");
                    self.ended.insert(ticket);
                }
                _ => {}
            }
        }
    }

    fn check(&self, seed: u64) {
        let open = self.submitted.len() - self.ended.len();
        assert!(open <= WINDOW, "seed {seed}: {open} open");
        if sends(self.role) && self.talk.fault.is_none() && !self.finishing {
            assert_eq!(self.talk.session.room(), WINDOW - open, "seed {seed}: a slot lost");
        }
        // Once our unbind is out, "later" is said without asking.
        assert!(self.words.1 <= self.settled, "seed {seed}: a word nobody gave");
        if self.talk.fault.is_none() && !self.finishing {
            assert_eq!(self.words.0, self.settled, "seed {seed}: a word kept back, or one too many");
        }
    }

    /// After the end: nothing is missing, nothing is said twice.
    fn close(&mut self, seed: u64) {
        if self.talk.fault.is_none() {
            self.talk.input(Input::Lost);
        }
        let mut ends = self.talk.ends();
        ends.sort_unstable();
        assert_eq!(ends, self.submitted, "seed {seed}");
        assert_eq!(self.talk.session.room(), 0);
        match self.talk.fault {
            Some(Fault::Silent) => assert!(self.temper.mute.is_some(), "seed {seed}: the far side was not silent"),
            Some(Fault::Unbound | Fault::Closed) => {}
            ref other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn tickets_are_conserved_in_any_dialogue() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases() {
        for leg in 0..case.profile().legs().len() {
            for seed in 0..120 {
                let mut dialogue = Dialogue::new(&case, leg, seed);
                dialogue.run(seed);
                dialogue.close(seed);
                let mut note = |what, times| *seen.entry(what).or_default() += times;
                for event in &dialogue.talk.events {
                    match event {
                        Event::Submitted(..) => note("submitted", 1),
                        Event::Refused(..) => note("refused", 1),
                        Event::Unanswered(_, u64::MAX) => panic!("seed {seed}: all were transmitted"),
                        Event::Unanswered(..) => note("unanswered", 1),
                        Event::Receipt(..) => note("receipt", 1),
                        Event::Mo(..) => note("mo", 1),
                        Event::ProbeAnswered => note("probe answered", 1),
                        Event::Leniency(_) => note("a late or double answer", 1),
                        _ => {}
                    }
                }
                note(
                    match (&dialogue.talk.fault, dialogue.talk.closed) {
                        (Some(Fault::Silent), true) => "silent",
                        (Some(Fault::Unbound), true) => "unbound",
                        (Some(Fault::Closed), true) => "closed by us",
                        (Some(Fault::Closed), false) => "lost",
                        other => panic!("seed {seed}: {other:?}"),
                    },
                    1,
                );
            }
        }
    }
    assert_eq!(seen.len(), 11, "something never happened: {seen:?}");
    assert!(seen.values().all(|times| *times > 20), "something hardly happened: {seen:?}");
}

#[test]
fn a_dialogue_is_the_same_each_time() {
    for case in cases() {
        for leg in 0..case.profile().legs().len() {
            for seed in 0..10 {
                let run = || {
                    let mut dialogue = Dialogue::new(&case, leg, seed);
                    dialogue.run(seed);
                    (dialogue.talk.events, dialogue.talk.transmitted)
                };
                assert_eq!(run(), run(), "seed {seed}");
            }
        }
    }
}
