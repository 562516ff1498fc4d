//! Plays a script against a session. Whatever the session says and tells must stand in the script before the next thing
//! happens, and nothing else may.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use carriers::options::Options;
use carriers::{
    AttemptRef, Common, Event, Fault, Inbound, Input, Mt, Now, Output, PROTOCOLS, PathId, Payload, Profile, Session,
    Ticket,
};
use codecs::framing::{Limits, RESPONSE, cut};
use codecs::{cmpp, sgip, smgp, smpp};

use crate::script::{Line, Script, Wrong};

/// What a protocol's octets are called.
struct Wire {
    limits: Limits,
    /// What an answer's name has behind its request's.
    answer: &'static str,
    name: fn(u32) -> Option<&'static str>,
}

impl Wire {
    fn of(protocol: &str) -> Option<Wire> {
        Some(match protocol {
            "smpp" => Wire { limits: smpp::LIMITS, answer: "_resp", name: smpp::command::name },
            "cmpp" => Wire { limits: cmpp::LIMITS, answer: "_RESP", name: cmpp::command::name },
            "sgip" => Wire { limits: sgip::LIMITS, answer: "_Resp", name: sgip::command::name },
            "smgp" => Wire { limits: smgp::LIMITS, answer: "_Resp", name: smgp::command::name },
            _ => return None,
        })
    }

    /// The name of a PDU's command.
    fn called(&self, pdu: &[u8]) -> String {
        let command = pdu.get(4..8).and_then(|octets| octets.try_into().ok()).map_or(0, u32::from_be_bytes);
        match (self.name)(command) {
            Some(name) if command & RESPONSE != 0 && command != RESPONSE => format!("{name}{}", self.answer),
            Some(name) => name.to_owned(),
            None => format!("{command:#010x}"),
        }
    }
}

struct Stage {
    wire: Wire,
    profile: std::sync::Arc<dyn Profile>,
    session: Box<dyn Session>,
    now: Now,
    /// Octets that are no whole PDU yet, PDUs and events that no line has named.
    rest: Vec<u8>,
    said: VecDeque<Vec<u8>>,
    told: VecDeque<String>,
    /// What waits for its settlement, in order.
    inbounds: Vec<Inbound>,
    fault: Option<Fault>,
}

/// Plays a script to its end.
pub(crate) fn play(script: &Script) -> Result<(), Wrong> {
    let mut stage = Stage::set(script).map_err(|told| (1, told))?;
    for (at, line) in &script.lines {
        stage.take(line).map_err(|told| (*at, told))?;
    }
    let last = script.lines.last().map_or(1, |(at, _)| *at);
    stage.nothing_is_left().map_err(|told| (last, told))?;
    if stage.fault.is_some() && !matches!(script.lines.last(), Some((_, Line::Ends(_)))) {
        return Err((last, format!("the session is over: ends {}", ended(stage.fault.as_ref()))));
    }
    Ok(())
}

impl Stage {
    fn set(script: &Script) -> Result<Stage, String> {
        let name = &script.protocol;
        let wire = Wire::of(name).ok_or_else(|| format!("nobody speaks {name:?}"))?;
        let protocol = PROTOCOLS.iter().find(|p| p.name() == name).ok_or_else(|| format!("no protocol {name:?}"))?;
        let common = Common { name: "dialogue".into(), window: 4, timezone: None, max_parts: 10 };
        let table = toml::de::DeTable::parse(&script.table).map_err(|error| error.to_string())?;
        let table = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
        let profile =
            protocol.configure(&common, table, &|secret| Ok(secret.to_owned())).map_err(|p| format!("{p:?}"))?;
        if script.leg >= profile.legs().len() {
            return Err(format!("leg {} of {}", script.leg, profile.legs().len()));
        }
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(script.clock);
        Ok(Stage {
            wire,
            session: profile.open(script.leg, script.seed),
            profile,
            now: Now { mono: Instant::now(), wall },
            rest: Vec::new(),
            said: VecDeque::new(),
            told: VecDeque::new(),
            inbounds: Vec::new(),
            fault: None,
        })
    }

    fn take(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::We(name, octets) => return self.we(name, octets),
            Line::Tells(told) => return self.tells(told),
            Line::Ends(how) => return self.ends(how),
            _ => self.nothing_is_left()?,
        }
        match line {
            Line::Opened => self.input(Input::Opened),
            Line::Probe => self.input(Input::Probe),
            Line::Unbind => self.input(Input::Unbind),
            Line::Lost => self.input(Input::Lost),
            Line::Far(name, octets) => self.far(name, octets),
            Line::Submit { number, to, sender, text } => self.submit(*number, to, sender.as_deref(), text),
            Line::Settle(which, settle) => {
                let inbound = which.checked_sub(1).and_then(|at| self.inbounds.get(at)).copied();
                let inbound = inbound.ok_or_else(|| format!("{} were told so far", self.inbounds.len()))?;
                self.input(Input::Settle(inbound, settle.clone()))
            }
            Line::After(time) => self.after(*time),
            Line::We(..) | Line::Tells(_) | Line::Ends(_) => Ok(()),
        }
    }

    /// One input and all that comes of it.
    fn input(&mut self, input: Input<'_>) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(format!("the session is over: {fault}"));
        }
        self.fault = self.session.input(self.now, input).err();
        while let Some(output) = self.session.output() {
            match output {
                Output::Transmit(_, payload) => self.rest.extend_from_slice(&payload.body),
                Output::Event(Event::Freed(_)) | Output::Close(_) => {}
                Output::Event(event) => {
                    if let Event::Receipt(inbound, _) | Event::Mo(inbound, _) = &event {
                        self.inbounds.push(*inbound);
                    }
                    self.told.push_back(self.word(&event));
                }
                Output::Open(..) => return Err("a stream has one path".to_owned()),
            }
        }
        while let Some(whole) = cut(&self.rest, &self.wire.limits).map_err(|broken| format!("we broke: {broken}"))? {
            self.said.push_back(self.rest.drain(..whole).collect());
        }
        Ok(())
    }

    fn far(&mut self, name: &str, octets: &[u8]) -> Result<(), String> {
        let called = self.wire.called(octets);
        if called != name {
            return Err(format!("these octets are {called}, not {name}"));
        }
        if cut(octets, &self.wire.limits) != Ok(Some(octets.len())) {
            return Err(format!("its length is not that of its {} octets", octets.len()));
        }
        self.input(Input::Octets(PathId(0), Payload::octets(octets)))
    }

    fn submit(&mut self, number: u64, to: &str, sender: Option<&str>, text: &str) -> Result<(), String> {
        // As the gateway would number it: the milliseconds since 2024, then a count.
        let since = self.now.wall.duration_since(AttemptRef(0).made()).map_err(|error| error.to_string())?;
        let attempt = AttemptRef((since.as_millis() as u64) << AttemptRef::COUNT_BITS | number);
        let valid_for = Duration::from_secs(300);
        let mt = Mt {
            to,
            sender,
            text,
            valid_for,
            until: None,
            receipt: true,
            reference: attempt.short(),
            options: Options::default(),
        };
        let parts = self.profile.split(&mt).map_err(|error| error.to_string())?;
        for part in &parts {
            self.input(Input::Submit(Ticket::new(attempt, part.index), attempt, part))?;
        }
        Ok(())
    }

    /// Lets time pass, waking the session at each of its deadlines.
    fn after(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now.mono + time;
        for _ in 0..1_000 {
            let due = self.session.deadline().filter(|due| *due <= until && self.fault.is_none());
            let next = due.unwrap_or(until).max(self.now.mono);
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            if due.is_none() {
                return Ok(());
            }
            self.input(Input::Tick)?;
        }
        Err("a deadline that never passes".to_owned())
    }

    /// What stands here must be what we said next, octet by octet.
    fn we(&mut self, name: &str, octets: &[u8]) -> Result<(), String> {
        let Some(said) = self.said.pop_front() else {
            return Err(format!(
                "we say nothing here{}",
                self.told.front().map_or_else(String::new, |t| format!("; next: tells {t}"))
            ));
        };
        let called = self.wire.called(&said);
        if said == octets && called == name {
            return Ok(());
        }
        let differs = said.iter().zip(octets).position(|(said, octet)| said != octet);
        let at = match differs.unwrap_or(said.len().min(octets.len())) {
            _ if said == octets => "the same octets".to_owned(),
            at => format!("octet {at} differs, of {} here and {} said", octets.len(), said.len()),
        };
        Err(format!("{at}; we said {called}\n{}", shown(&said)))
    }

    fn tells(&mut self, expected: &str) -> Result<(), String> {
        match self.told.pop_front() {
            Some(told) if told == expected => Ok(()),
            Some(told) => Err(format!("tells {told}")),
            None => Err("nothing is told here".to_owned()),
        }
    }

    fn ends(&mut self, how: &str) -> Result<(), String> {
        self.nothing_is_left()?;
        match ended(self.fault.as_ref()) {
            real if real == how => Ok(()),
            real => Err(format!("ends {real}")),
        }
    }

    /// Nothing was said or told that no line has named.
    fn nothing_is_left(&self) -> Result<(), String> {
        match (self.told.front(), self.said.front()) {
            (None, None) => Ok(()),
            (Some(told), _) => Err(format!("before this: tells {told}")),
            (None, Some(said)) => Err(format!("before this: we {}\n{}", self.wire.called(said), shown(said))),
        }
    }

    /// An event as dialogues write it.
    fn word(&self, event: &Event) -> String {
        let part =
            |ticket: &Ticket| format!("{}.{}", ticket.attempt().0 & ((1 << AttemptRef::COUNT_BITS) - 1), ticket.part());
        match event {
            Event::Bound(window) => format!("bound {window}"),
            Event::Submitted(ticket, id) => {
                format!("submitted {} {}", part(ticket), id.as_ref().map_or("-".to_owned(), ToString::to_string))
            }
            Event::Refused(ticket, refusal) => {
                format!("refused {} {} {}", part(ticket), format!("{:?}", refusal.verdict).to_lowercase(), refusal.code)
            }
            Event::Unanswered(ticket, _) => format!("unanswered {}", part(ticket)),
            Event::Heard(ticket) => format!("heard {}", part(ticket)),
            Event::Freed(ticket) => format!("freed {}", part(ticket)),
            Event::Receipt(_, receipt) => {
                let ids: Vec<String> = receipt.ids.iter().map(ToString::to_string).collect();
                let (number, state) = (self.inbounds.len(), receipt.state.name());
                format!("receipt {number} {state} ({}) of {} for {}", receipt.code, ids.join(" or "), receipt.to)
            }
            Event::Mo(_, mo) => {
                let text = mo.coding.decode(&mo.data);
                format!("message {} from {} to {} {text:?}", self.inbounds.len(), mo.from, mo.to)
            }
            Event::ProbeAnswered => "probe answered".to_owned(),
            Event::Leniency(what) => format!("leniency {what}"),
        }
    }
}

fn ended(fault: Option<&Fault>) -> String {
    fault.map_or("not at all".to_owned(), ToString::to_string)
}

/// Octets as a dialogue has them.
fn shown(octets: &[u8]) -> String {
    let words: Vec<String> = octets.chunks(4).map(|word| word.iter().map(|o| format!("{o:02x}")).collect()).collect();
    words.chunks(8).map(|line| format!("    {}", line.join(" "))).collect::<Vec<_>>().join("\n")
}

/// The script's text as it would have to be: what happens stays, what was said and told takes the place of what stands
/// there.
pub(crate) fn record(text: &str, script: &Script) -> Result<String, Wrong> {
    let mut stage = Stage::set(script).map_err(|told| (1, told))?;
    let source: Vec<&str> = text.lines().collect();
    let (mut recorded, mut next) = (String::new(), 0);
    let copy = |recorded: &mut String, from: usize, to: usize| {
        source.iter().take(to).skip(from).for_each(|line| *recorded += &format!("{line}\n"));
    };
    for (at, line) in &script.lines {
        let below = source.iter().skip(*at).take_while(|line| line.starts_with(' ')).count();
        copy(&mut recorded, next, at - 1);
        next = at + below;
        if matches!(line, Line::We(..) | Line::Tells(_) | Line::Ends(_)) {
            continue;
        }
        copy(&mut recorded, at - 1, next);
        let over = stage.fault.is_some();
        stage.take(line).map_err(|told| (*at, told))?;
        stage.said.drain(..).for_each(|pdu| recorded += &format!("we {}\n{}\n", stage.wire.called(&pdu), shown(&pdu)));
        stage.told.drain(..).for_each(|told| recorded += &format!("tells {told}\n"));
        if !over && stage.fault.is_some() {
            recorded += &format!("ends {}\n", ended(stage.fault.as_ref()));
        }
    }
    Ok(recorded)
}
