//! Carriers and the connections to them: a law of latency with a tail, and all that may be wrong with them.

use std::collections::BTreeMap;

use carriers::{AttemptRef, CarrierId, Doubt, Receipt, ReceiptState, Ticket, Verdict};
use fastrand::Rng;
use gateway::config::plan::ChannelId;
use gateway::switch::health::{Cause, State, Transition};
use link::LinkId;

use super::swarm::Fault;
use super::{Heard, Input, Said, What, World};

/// What was wrong counts for so many microseconds more.
const SOUND: u64 = 30_000_000;

/// One carrier.
pub(crate) struct Carrier {
    /// Median of the answer's latency in microseconds, and how far it is spread.
    median: f64,
    spread: f64,
    /// Out of a thousand parts: refused in each way.
    refusals: [u32; 5],
    pub(crate) fault: Option<Fault>,
    /// What waits for the end of a hang.
    backlog: Vec<(LinkId, u64, Stuck)>,
    /// Whether the ids it gives follow from our own references, and are known before its answers.
    by_reference: bool,
    /// Whether a part without an answer costs the connection.
    strict: bool,
    ids: u64,
    /// Microseconds from a probe to its answer.
    probed: u64,
    /// Until when something was wrong with it, its links or the gateway, in true microseconds.
    trouble: u64,
    pub(crate) false_suspicions: u32,
}

/// What does not get through to a carrier, or from it.
enum Stuck {
    Part(Ticket),
    Reply(Ticket, Said),
    Probe,
}

/// One link of the gateway's present life.
pub(crate) struct Link {
    pub(crate) window: usize,
    pub(crate) up: bool,
    /// Told to end.
    pub(crate) closing: bool,
    /// Of the connection; a new one has a new number.
    pub(crate) generation: u64,
    /// Parts without an answer, and whether the carrier got them.
    pub(crate) open: BTreeMap<Ticket, bool>,
    /// Since when octets wait for the far kernel.
    cut: Option<u64>,
}

/// A receipt on its way.
pub(crate) struct Slip {
    channel: u16,
    ticket: Ticket,
    pub(crate) receipt: Receipt,
    /// Heard by the gateway, which has not said anything yet: over that connection.
    pending: Option<(LinkId, u64)>,
    done: bool,
    /// When it was first said, was anything told of its message?
    in_time: bool,
    tries: u32,
}

impl Carrier {
    pub(crate) fn random(rng: &mut Rng, errors: bool) -> Carrier {
        Carrier {
            median: 5_000.0 * 80f64.powf(rng.f64()),
            spread: 0.2 + rng.f64() * 0.5,
            refusals: if errors { [0; 5].map(|_| rng.u32(0..40)) } else { [0; 5] },
            fault: None,
            backlog: Vec::new(),
            by_reference: rng.u8(0..4) == 0,
            strict: rng.bool(),
            ids: 0,
            probed: rng.u64(1_000..50_000),
            trouble: 0,
            false_suspicions: 0,
        }
    }

    pub(crate) fn troubled(&mut self, until: u64) {
        self.trouble = self.trouble.max(until);
    }

    fn holds_back(&self) -> bool {
        matches!(self.fault, Some(Fault::Hang | Fault::Blackhole))
    }

    /// Lognormal, with a tail: one in a hundred takes eight times as long.
    fn latency(&self, rng: &mut Rng) -> u64 {
        let normal = (0..4).map(|_| rng.f64()).sum::<f64>() * 1.732 - 3.464;
        let tail = if rng.u8(0..100) == 0 { 8.0 } else { 1.0 };
        let slow = if self.fault == Some(Fault::Slow) { 20.0 } else { 1.0 };
        (self.median * (normal * self.spread).exp() * tail * slow) as u64
    }

    fn verdict(&self, rng: &mut Rng) -> Option<Verdict> {
        let verdicts = [Verdict::Retry, Verdict::Reroute, Verdict::Throttled, Verdict::Rejected, Verdict::LinkFault];
        match self.fault {
            Some(Fault::Storm) if rng.u8(0..10) > 0 => return Some(Verdict::Throttled),
            Some(Fault::Errors) if rng.u8(0..10) < 6 => return Some([verdicts[0], verdicts[1]][rng.usize(..2)]),
            _ => {}
        }
        let mut roll = rng.u32(0..1_000);
        for (verdict, share) in verdicts.into_iter().zip(self.refusals) {
            if roll < share {
                return Some(verdict);
            }
            roll -= share;
        }
        None
    }
}

impl World {
    pub(crate) fn fault_on(&mut self, channel: u16, fault: Fault, lasts: u64) {
        if self.now >= self.heals {
            return;
        }
        let at = usize::from(channel);
        if self.carriers[at].fault.is_some() {
            return;
        }
        self.carriers[at].fault = Some(fault);
        self.after(lasts, What::FaultOff(channel));
        self.carriers[at].troubled(self.now + lasts);
        match fault {
            Fault::Reset | Fault::Refuse => self.reset(channel),
            Fault::Flapping => {
                for nth in 0..lasts / 3_000_000 {
                    self.after(nth * 3_000_000, What::Reset(channel));
                }
            }
            _ => {}
        }
        if fault == Fault::Reset {
            self.carriers[at].fault = None;
        }
    }

    pub(crate) fn fault_off(&mut self, channel: u16) {
        let carrier = &mut self.carriers[usize::from(channel)];
        carrier.fault = None;
        carrier.troubled(self.now);
        for (link, generation, stuck) in std::mem::take(&mut carrier.backlog) {
            match stuck {
                Stuck::Part(ticket) => self.part(link, generation, ticket),
                Stuck::Reply(ticket, said) => self.reply(link, generation, ticket, said),
                Stuck::Probe => self.probe_came(link, generation),
            }
        }
    }

    pub(crate) fn reset(&mut self, channel: u16) {
        let up: Vec<LinkId> =
            self.links.iter().filter(|(id, link)| id.channel == channel && link.up).map(|(id, _)| *id).collect();
        for link in up {
            self.lose(link);
        }
    }

    /// New links for a channel of the plan that has none.
    pub(crate) fn fill(&mut self, channel: u16) {
        if self.links.keys().any(|link| link.channel == channel) {
            return;
        }
        for _ in 0..self.rng.u16(1..=2) {
            let id = LinkId { channel, link: self.next_link };
            self.next_link += 1;
            let window = self.rng.usize(6..=20);
            let link = Link { window, up: false, closing: false, generation: 0, open: BTreeMap::new(), cut: None };
            self.links.insert(id, link);
            let wait = self.rng.u64(1_000..300_000);
            self.after(wait, What::Connect(id));
        }
    }

    pub(crate) fn connect(&mut self, id: LinkId) {
        let fault = self.carriers[usize::from(id.channel)].fault;
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.up && !link.closing) else { return };
        if matches!(fault, Some(Fault::Refuse | Fault::Blackhole | Fault::Hang)) {
            let wait = self.rng.u64(300_000..2_000_000);
            return self.after(wait, What::Connect(id));
        }
        self.next_generation += 1;
        (link.up, link.generation, link.cut) = (true, self.next_generation, None);
        let window = link.window;
        self.inbox.push_back(Input::Heard(id, Heard::Up(window)));
    }

    /// The connection ends; the link says first what became of its parts.
    pub(crate) fn lose(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.up) else { return };
        link.up = false;
        self.carriers[usize::from(id.channel)].troubled(self.now);
        let (open, closing, generation) = (std::mem::take(&mut link.open), link.closing, link.generation);
        self.ledger.died(id);
        for (ticket, got) in open {
            let doubts = [Doubt::Acked, Doubt::Unacked, Doubt::Unsent];
            let doubt = doubts[self.rng.usize(..if got { 2 } else { 3 })];
            self.inbox.push_back(Input::Heard(id, Heard::Answer(ticket, Said::Unanswered(doubt))));
        }
        self.inbox.push_back(Input::Heard(id, Heard::Down));
        self.repeat_slips(|pending| pending == (id, generation));
        if closing {
            return self.closed(id);
        }
        let wait = if self.rng.bool() { self.rng.u64(1_000..20_000) } else { self.rng.u64(50_000..3_000_000) };
        self.after(wait, What::Connect(id));
    }

    fn closed(&mut self, id: LinkId) {
        self.links.remove(&id);
        self.inbox.push_back(Input::Heard(id, Heard::Closed));
        if self.settings.channels.iter().any(|channel| channel.id.0 == id.channel) {
            self.fill(id.channel);
        }
    }

    /// A link that was told to end does once nothing is open on it, or when its patience is at an end.
    pub(crate) fn gone(&mut self, id: LinkId, looks: u8) {
        let Some(link) = self.links.get(&id) else { return };
        if link.up && !link.open.is_empty() && looks > 0 {
            return self.after(100_000, What::Gone(id, looks - 1));
        }
        if link.up { self.lose(id) } else { self.closed(id) }
    }

    /// The gateway sends a part.
    pub(crate) fn submit(&mut self, id: LinkId, ticket: Ticket) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.up) else {
            return self.inbox.push_back(Input::Heard(id, Heard::Answer(ticket, Said::Unanswered(Doubt::Unsent))));
        };
        if link.open.len() >= link.window {
            // A link turns away what it has no room for; that may be only where it is another connection than the line knows.
            let renewed = |input: &Input| matches!(input, Input::Heard(of, Heard::Down) if *of == id);
            assert!(
                self.inbox.iter().any(renewed),
                "{} parts and one more in a window of {}",
                link.open.len(),
                link.window
            );
            return self.inbox.push_back(Input::Heard(id, Heard::Answer(ticket, Said::Unanswered(Doubt::Unsent))));
        }
        assert!(link.open.insert(ticket, false).is_none());
        let generation = link.generation;
        let (way, patience) = (self.rng.u64(200..10_000), self.patience);
        self.after(way, What::Part(id, generation, ticket));
        self.after(patience, What::Patience(id, generation, ticket));
    }

    /// A part reaches the carrier.
    pub(crate) fn part(&mut self, id: LinkId, generation: u64, ticket: Ticket) {
        let at = usize::from(id.channel);
        let alive = self.links.get(&id).is_some_and(|link| link.up && link.generation == generation);
        match self.carriers[at].fault {
            _ if !alive => return,
            Some(Fault::Hang | Fault::Blackhole) => return self.hold_back(id, generation, Stuck::Part(ticket)),
            Some(Fault::PingsOnly) => return,
            _ => {}
        }
        if self.requests[self.books.request(self.books.owner(ticket))].poisonous {
            let open = self.links.get_mut(&id).and_then(|link| link.open.get_mut(&ticket));
            open.into_iter().for_each(|got| *got = true);
            self.books.kills(ticket);
            return self.lose(id);
        }
        let verdict = self.carriers[at].verdict(&mut self.rng);
        let latency = self.carriers[at].latency(&mut self.rng);
        let mute = self.carriers[at].fault == Some(Fault::Mute);
        let late = self.swarm.has(Fault::LateAnswers) && self.rng.u8(0..60) == 0;
        let latency = if late { self.patience + latency } else { latency };
        if late || matches!(verdict, Some(Verdict::Retry | Verdict::LinkFault)) {
            self.carriers[at].troubled(self.now + latency);
        }
        let said = match verdict {
            Some(verdict) => Said::Refused(verdict),
            None => {
                let open = self.links.get_mut(&id).and_then(|link| link.open.get_mut(&ticket));
                open.into_iter().for_each(|got| *got = true);
                Said::Submitted(self.take(id.channel, ticket, latency))
            }
        };
        if !mute {
            self.after(latency, What::Reply(id, generation, ticket, said));
        }
    }

    /// The id that the carrier will give a part, where it is known before the answer.
    pub(super) fn early(&self, channel: ChannelId, attempt: AttemptRef, part: u8) -> Option<CarrierId> {
        let carrier = self.carriers.get(usize::from(channel.0)).filter(|carrier| carrier.by_reference);
        carrier.map(|_| CarrierId::new(format!("r{}-{part}", attempt.0).as_bytes()))
    }

    /// The carrier takes a part; its id, and its receipts to come.
    fn take(&mut self, channel: u16, ticket: Ticket, latency: u64) -> CarrierId {
        let message = self.books.taken(ticket);
        let to = self.requests[self.books.request(message)].to.clone();
        let carrier = &mut self.carriers[usize::from(channel)];
        carrier.ids += 1;
        let next = CarrierId::new(format!("{channel}-{}", carrier.ids).as_bytes());
        let id = self.early(ChannelId(channel), ticket.attempt(), ticket.part()).unwrap_or(next);
        self.books.doubles(message);
        let silent = !self.sends[usize::from(channel)];
        if silent || self.swarm.has(Fault::LostReceipts) && self.rng.u8(0..8) == 0 {
            return id;
        }
        let early = self.swarm.has(Fault::EarlyReceipts) && self.rng.u8(0..4) == 0;
        let delay = if early { self.rng.u64(..=latency / 2) } else { latency + self.rng.u64(20_000..4_000_000) };
        let delay = if self.rng.u8(0..40) == 0 { delay + self.rng.u64(..90_000_000) } else { delay };
        let roll = self.rng.u8(0..20);
        let end = [ReceiptState::Failed, ReceiptState::Expired, ReceiptState::Unknown].get(usize::from(roll)).copied();
        let end = end.unwrap_or(ReceiptState::Delivered);
        let mut says = vec![(end, delay)];
        if let Some(earlier) = self.endpoints.premature_failure().filter(|_| end == ReceiptState::Delivered) {
            says[0].1 += earlier;
            says.push((ReceiptState::Failed, delay));
        }
        if self.rng.u8(0..10) == 0 {
            says.push((ReceiptState::Intermediate, delay / 2));
        }
        if self.swarm.has(Fault::TwiceReceipts) && self.rng.u8(0..6) == 0 {
            says.push((end, delay + self.rng.u64(..60_000_000)));
        }
        for (state, delay) in says {
            let nth = self.slips.len();
            let code = format!("c{nth}");
            let receipt = Receipt {
                ids: std::iter::once(id.clone()).collect(),
                to: to.as_str().into(),
                state,
                code: code.as_str().into(),
            };
            let slip = Slip { channel, ticket, receipt, pending: None, done: false, in_time: false, tries: 0 };
            self.slips.push(slip);
            self.after(delay, What::Receipt(nth));
        }
        id
    }

    pub(crate) fn reply(&mut self, id: LinkId, generation: u64, ticket: Ticket, said: Said) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.up && link.generation == generation) else {
            return;
        };
        match self.carriers[usize::from(id.channel)].fault {
            Some(Fault::Hang | Fault::Blackhole) => {
                return self.hold_back(id, generation, Stuck::Reply(ticket, said));
            }
            Some(Fault::Mute) => return,
            _ => {}
        }
        if link.open.remove(&ticket).is_some() {
            self.inbox.push_back(Input::Heard(id, Heard::Answer(ticket, said)));
        } else {
            self.books.reached.hit("answered late");
        }
    }

    /// The link has waited long enough for an answer.
    pub(crate) fn out_of_patience(&mut self, id: LinkId, generation: u64, ticket: Ticket) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.up && link.generation == generation) else {
            return;
        };
        if !link.open.contains_key(&ticket) {
            return;
        }
        if self.carriers[usize::from(id.channel)].strict {
            return self.lose(id);
        }
        link.open.remove(&ticket);
        let carrier = &mut self.carriers[usize::from(id.channel)];
        carrier.troubled(self.now);
        let stuck = |(link, now, stuck): &(LinkId, u64, Stuck)| {
            (*link, *now) == (id, generation) && matches!(stuck, Stuck::Part(part) if *part == ticket)
        };
        let cut = carrier.fault == Some(Fault::Blackhole) && carrier.backlog.iter().any(stuck);
        let doubt = if cut { Doubt::Unacked } else { Doubt::Acked };
        self.inbox.push_back(Input::Heard(id, Heard::Answer(ticket, Said::Unanswered(doubt))));
    }

    /// It comes when the fault is over, where the connection still stands.
    fn hold_back(&mut self, id: LinkId, generation: u64, stuck: Stuck) {
        let carrier = &mut self.carriers[usize::from(id.channel)];
        let cut = carrier.fault == Some(Fault::Blackhole) && !matches!(stuck, Stuck::Reply(..));
        carrier.backlog.push((id, generation, stuck));
        let Some(link) = self.links.get_mut(&id).filter(|link| cut && link.cut.is_none()) else { return };
        link.cut = Some(self.now);
        self.after(300_000, What::Looked(id, generation));
    }

    /// The gateway looks at what the kernel says of the connection.
    pub(crate) fn looked(&mut self, id: LinkId, generation: u64) {
        let cut = self.carriers[usize::from(id.channel)].fault == Some(Fault::Blackhole);
        let Some(link) = self.links.get_mut(&id).filter(|link| link.up && link.generation == generation) else {
            return;
        };
        if !cut {
            link.cut = None;
        }
        let age = link.cut.map(|since| self.now - since);
        self.inbox.push_back(Input::Heard(id, Heard::Unacked(age.unwrap_or(0))));
        if age.is_some() {
            self.books.reached.hit("unacknowledged");
            self.after(50_000, What::Looked(id, generation));
        }
    }

    /// The gateway asks for a sign of life.
    pub(crate) fn probe(&mut self, id: LinkId) {
        assert!(self.whole.channels.iter().any(|rule| rule.id.0 == id.channel && rule.probes), "no probes on {id:?}");
        let Some(link) = self.links.get(&id).filter(|link| link.up) else { return };
        let (generation, way) = (link.generation, self.rng.u64(200..10_000));
        self.after(way, What::Probe(id, generation));
    }

    /// A probe reaches the carrier.
    pub(crate) fn probe_came(&mut self, id: LinkId, generation: u64) {
        let carrier = &self.carriers[usize::from(id.channel)];
        if carrier.holds_back() {
            return self.hold_back(id, generation, Stuck::Probe);
        }
        if carrier.fault != Some(Fault::Mute) {
            let wait = carrier.probed;
            self.after(wait, What::Pong(id, generation));
        }
    }

    /// The answer to a probe reaches the gateway.
    pub(crate) fn pong(&mut self, id: LinkId, generation: u64) {
        let alive = self.links.get(&id).is_some_and(|link| link.up && link.generation == generation);
        let fault = self.carriers[usize::from(id.channel)].fault;
        if alive && !matches!(fault, Some(Fault::Hang | Fault::Blackhole | Fault::Mute)) {
            self.books.reached.hit("probe answered");
            self.inbox.push_back(Input::Heard(id, Heard::Pong));
        }
    }

    /// The gateway judges a channel: not without a reason.
    pub(crate) fn judged(&mut self, id: ChannelId, transition: &Transition) {
        let Transition { to, cause, .. } = *transition;
        let up = self.links.iter().any(|(link, state)| link.channel == id.0 && state.up && !state.closing);
        let carrier = &mut self.carriers[usize::from(id.0)];
        let sound = self.now > carrier.trouble.max(self.born) + SOUND && up;
        match to {
            State::Suspect => {
                self.books.reached.hit("suspected");
                let soft = matches!(cause, Cause::Phi | Cause::Slow);
                assert!(!sound || soft, "{id:?} is suspect by {cause:?} and nothing is wrong with it");
                carrier.false_suspicions += u32::from(sound);
            }
            State::Down if cause == Cause::Silent => {
                self.books.reached.hit("silent and down");
                assert!(!sound, "{id:?} is called silent and answers");
            }
            State::Down => assert!(!sound || cause != Cause::NoLink, "{id:?} has a link and is called down"),
            State::Probation => self.books.reached.hit("on trial"),
            State::Healthy => {}
        }
    }

    /// The carrier says its receipt, over any connection there is.
    pub(crate) fn say(&mut self, nth: usize) {
        let Slip { channel, ticket, ref receipt, pending, done, .. } = self.slips[nth];
        if done || pending.is_some() {
            return;
        }
        let mute = matches!(
            self.carriers[usize::from(channel)].fault,
            Some(Fault::Blackhole | Fault::Hang | Fault::PingsOnly)
        );
        let up = self.links.iter().find(|(id, link)| id.channel == channel && link.up && !link.closing);
        let Some((id, generation)) = up.filter(|_| !mute).map(|(id, link)| (*id, link.generation)) else {
            let wait = self.rng.u64(500_000..2_000_000);
            return self.after(wait, What::Receipt(nth));
        };
        let open = self.links[&id].open.contains_key(&ticket);
        let state = receipt.state;
        self.slips[nth].in_time = self.books.is_untold(ticket);
        if self.slips[nth].tries == 0 && open {
            self.books.reached.hit("receipt before its answer");
        }
        self.books.says(ticket, state);
        let slip = &mut self.slips[nth];
        slip.tries += 1;
        slip.pending = Some((id, generation));
        self.inbox.push_back(Input::Heard(id, Heard::Receipt(nth, generation)));
    }

    /// The gateway's word on a receipt.
    pub(crate) fn settle_receipt(&mut self, nth: usize, link: LinkId, generation: u64, durable: bool) {
        if durable {
            let Slip { ticket, ref receipt, in_time, .. } = self.slips[nth];
            self.books.settled(nth as u32, ticket, receipt.state, in_time);
        }
        if self.slips[nth].pending != Some((link, generation)) {
            return self.books.reached.hit("receipt answered late");
        }
        self.slips[nth].pending = None;
        self.slips[nth].done = durable;
        if !durable {
            self.books.reached.hit("receipt said later");
            let wait = self.rng.u64(100_000..1_000_000);
            self.after(wait, What::Receipt(nth));
        }
    }

    /// Connections are gone: what was said over them has to be said again.
    pub(crate) fn repeat_slips(&mut self, over: impl Fn((LinkId, u64)) -> bool) {
        let again: Vec<usize> =
            (0..self.slips.len()).filter(|nth| self.slips[*nth].pending.is_some_and(&over)).collect();
        for nth in again {
            self.slips[nth].pending = None;
            let wait = self.rng.u64(100_000..3_000_000);
            self.after(wait, What::Receipt(nth));
        }
    }

    /// Has the gateway, or some part of it, anything to do with that channel?
    pub(crate) fn channels(&self) -> impl Iterator<Item = ChannelId> + use<> {
        (0..self.carriers.len() as u16).map(ChannelId)
    }
}
