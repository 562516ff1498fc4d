//! The books of a world, over all lives of the gateway: what carriers got, what the disk has, what apps were told; and
//! the promises that must hold between them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use carriers::{ReceiptState, Ticket};
use gateway::config::plan::ChannelId;
use gateway::ids::MessageId;
use gateway::journal::record::{Evidence, OutcomeKind, Record};

use super::APPS;
use super::disk::Entry;
use super::swarm::{Fault, States, Swarm};

/// One attempt, as the world saw it.
#[derive(Debug, Default)]
struct Try {
    channel: u16,
    parts: u8,
    /// Attempt records the kernel has, and how often parts left because of it.
    written: u32,
    sends: u32,
    /// Parts the carrier has taken, and of how many it said to the gateway that they were delivered.
    taken: u64,
    delivered: u64,
    /// Of which the carrier was told that its word is on disk.
    settled: u64,
    /// Its record went with the power.
    lost: bool,
    /// A part of it had no answer.
    doubt: bool,
    /// Its carrier said that it will not be delivered.
    dead: bool,
}

impl Try {
    fn all(&self) -> u64 {
        if self.parts >= 64 { u64::MAX } else { (1 << self.parts) - 1 }
    }
}

#[derive(Debug, Default)]
struct Book {
    request: usize,
    /// End of validity, in true microseconds, as the gateway must see it in this life.
    expires: u64,
    expires_wall: u64,
    durable: bool,
    accepted: bool,
    ended: bool,
    /// Order of the attempts is that of their references.
    tries: BTreeMap<u64, Try>,
    resubmitted: u64,
    /// Attempts there were when it last moved on, and connections that died of it.
    moved_on: usize,
    kills: usize,
    /// What was told, by number.
    told: BTreeMap<u32, (&'static str, &'static str)>,
    /// Of each event: the life of the gateway that told it last, and the last that ended it for want of an endpoint.
    told_by: BTreeMap<u32, u32>,
    needless_by: BTreeMap<u32, u32>,
    /// Events that the disk knows to need no telling.
    called: BTreeSet<u32>,
    /// Outcome records on disk.
    outcomes: Vec<(OutcomeKind, Evidence)>,
    /// Channels that refused it for good, and where the record of that stands in the journal.
    refused_by: BTreeMap<ChannelId, usize>,
}

impl Book {
    fn whole(&self) -> u64 {
        self.tries.values().filter(|t| t.taken & t.all() == t.all() && t.parts > 0).count() as u64
    }
}

/// Parts that left over one channel, and what its contract has allowed.
#[derive(Default)]
struct Pace {
    log: VecDeque<(u64, u32)>,
    limits: VecDeque<(u64, f64)>,
}

pub(crate) struct Books {
    swarm: Swarm,
    books: BTreeMap<MessageId, Book>,
    attempts: HashMap<u64, MessageId>,
    keys: HashMap<u64, MessageId>,
    paces: HashMap<ChannelId, Pace>,
    contracts: HashMap<ChannelId, (f64, u32)>,
    /// When this life of the gateway began, and its number.
    born: u64,
    life: u32,
    /// By app: whether the configuration in force names an endpoint.
    endpoints: [bool; APPS.len()],
    /// Receipts on disk, by the number that their code is.
    receipts: HashSet<u32>,
    /// Channels whose carriers send receipts.
    sends: Vec<bool>,
    pub(crate) reached: States,
    pub(crate) sent: u64,
}

/// A receipt's number, as its code has it.
pub(crate) fn number(code: &str) -> Option<u32> {
    code.strip_prefix('c')?.parse().ok()
}

fn rank(status: &str) -> u8 {
    match status {
        "delivered" => 2,
        "failed" | "cancelled" => 1,
        _ => 0,
    }
}

impl Books {
    pub(crate) fn new(swarm: Swarm, sends: Vec<bool>) -> Books {
        Books {
            swarm,
            books: BTreeMap::new(),
            attempts: HashMap::new(),
            keys: HashMap::new(),
            paces: HashMap::new(),
            contracts: HashMap::new(),
            born: 0,
            life: 0,
            endpoints: [true; APPS.len()],
            receipts: HashSet::new(),
            sends,
            reached: States::default(),
            sent: 0,
        }
    }

    /// The rules in force from now on.
    pub(crate) fn plan(&mut self, now: u64, contracts: impl Iterator<Item = (ChannelId, f64, u32)>) {
        for (id, (rate, burst)) in &self.contracts {
            let pace = self.paces.entry(*id).or_default();
            pace.limits.push_back((now + 1_000_000, rate.max(f64::from(*burst))));
        }
        self.contracts = contracts.map(|(id, rate, burst)| (id, (rate, burst))).collect();
    }

    pub(crate) fn open(&mut self, id: MessageId, request: usize, expires: u64, expires_wall: u64) {
        let book = Book { request, expires, expires_wall, ..Book::default() };
        // What a power cut took before it was on disk was nobody's; a clock set back may give its id again.
        let nobodys = |earlier: &Book| self.swarm.has(Fault::WallJumps) && !earlier.durable;
        let earlier = self.books.insert(id, book);
        assert!(earlier.is_none_or(|earlier| nobodys(&earlier)), "{id} is given twice");
    }

    /// The message's end as the gateway reckons it since it has it on disk.
    pub(crate) fn again(&mut self, id: MessageId, expires: u64) {
        self.books.get_mut(&id).unwrap().expires = expires;
    }

    /// The request whose message that is.
    pub(crate) fn request(&self, id: MessageId) -> usize {
        self.books[&id].request
    }

    /// The app got its 202.
    pub(crate) fn accepted(&mut self, id: MessageId) {
        let book = self.books.get_mut(&id).unwrap();
        assert!(book.durable, "{id} is answered 202 and is not on disk");
        book.accepted = true;
    }

    /// The kernel has these records.
    pub(crate) fn written(&mut self, entries: &[Entry]) {
        for Entry { id, record, .. } in entries {
            let Some((kind, octets)) = record else { continue };
            if let Ok(Record::Attempt(attempt)) = Record::read(*kind, octets) {
                let book = self.books.get_mut(id).unwrap();
                let written = book.tries.entry(attempt.attempt.0).or_default();
                written.written += 1;
                written.parts = attempt.parts;
                let owner = self.attempts.insert(attempt.attempt.0, *id).filter(|owner| owner != id);
                // A restart with a clock that went back may give the number again of an attempt that nothing remembers.
                let forgotten = |owner: MessageId| {
                    let (book, earlier) = (&self.books[&owner], &self.books[&owner].tries[&attempt.attempt.0]);
                    book.ended || earlier.lost || earlier.sends == 0
                };
                let excused = self.swarm.has(Fault::WallJumps);
                assert!(owner.is_none_or(|owner| excused && forgotten(owner)), "an attempt of two messages");
            }
        }
    }

    /// The disk has these records.
    pub(crate) fn synced(&mut self, entries: &[Entry]) {
        for Entry { id, record, .. } in entries {
            let Some((kind, octets)) = record else {
                // The number of what was never accepted may be given again, to a receipt that waits.
                if let Some(book) = self.books.get_mut(id).filter(|book| book.durable) {
                    assert!(!book.outcomes.is_empty(), "{id} is forgotten without an outcome");
                    book.ended = true;
                }
                continue;
            };
            match Record::read(*kind, octets).expect("a record reads as it was written") {
                Record::Accepted(_) => self.durable(*id),
                Record::Receipted(receipt) => self.receipts.extend(number(receipt.code.as_str())),
                Record::Orphan(orphan) => self.receipts.extend(number(orphan.code)),
                Record::Called(called) => {
                    self.books.get_mut(id).unwrap().called.insert(called.event.into());
                }
                Record::Outcome(outcome) => {
                    self.outcome(*id, outcome.outcome, outcome.evidence, outcome.reason, outcome.correction);
                }
                _ => {}
            }
        }
    }

    fn durable(&mut self, id: MessageId) {
        let book = self.books.get_mut(&id).unwrap();
        book.durable = true;
        let owner = self.keys.insert(book.request as u64, id);
        assert!(owner.is_none_or(|owner| owner == id), "one key, two messages: {owner:?} and {id}");
    }

    /// The message on disk that a request led to.
    pub(crate) fn of_request(&self, request: usize) -> Option<MessageId> {
        self.keys.get(&(request as u64)).copied()
    }

    fn outcome(&mut self, id: MessageId, kind: OutcomeKind, evidence: Evidence, reason: &str, correction: bool) {
        if kind == OutcomeKind::Delivered {
            self.is_true(id, evidence.name());
        }
        let book = self.books.get_mut(&id).unwrap();
        // Written again after a crash, or after a sync that failed.
        if book.outcomes.last().is_some_and(|last| last.0 == kind) {
            return;
        }
        assert_eq!(correction, !book.outcomes.is_empty(), "{id}: {kind:?} {reason} after {:?}", book.outcomes);
        if let Some((earlier, _)) = book.outcomes.last() {
            assert!(
                rank(kind.name()) > rank(earlier.name()),
                "{id}: {kind:?} after {earlier:?}: outcomes only move up"
            );
            self.reached.hit("corrected");
        }
        book.outcomes.push((kind, evidence));
        match (kind, evidence) {
            (OutcomeKind::Delivered, Evidence::Receipt) => {
                self.reached.hit("delivered by receipt");
                if book.tries.values().any(|t| t.doubt && t.delivered & t.all() == t.all()) {
                    self.reached.hit("claimed by an attempt in doubt");
                }
            }
            (OutcomeKind::Delivered, _) => self.reached.hit("delivered by answer"),
            (OutcomeKind::Failed, _) => self.reached.hit("failed"),
            _ => self.reached.hit("expired"),
        }
    }

    /// Delivered must be true of one attempt whole.
    fn is_true(&self, id: MessageId, evidence: &str) {
        let book = &self.books[&id];
        if self.swarm.has(Fault::SharedNumbers) || book.tries.values().any(|t| t.lost) {
            return;
        }
        let by_receipt = |t: &Try| t.delivered & t.all() == t.all();
        let by_answer = |t: &Try| !self.sends[usize::from(t.channel)] && t.taken & t.all() == t.all();
        let proven = match evidence {
            "receipt" => book.tries.values().any(by_receipt),
            _ => book.tries.values().any(by_answer),
        };
        assert!(proven, "{id} is called delivered by {evidence}, and no attempt was: {book:?}");
    }

    /// A part leaves.
    pub(crate) fn send(&mut self, now: u64, id: MessageId, ticket: Ticket, channel: ChannelId) {
        let late = self.swarm.has(Fault::LateBodies);
        let book = self.books.get_mut(&id).unwrap();
        assert!(book.durable, "{id} is sent and is not on disk");
        assert!(now < book.expires, "{id} is sent {} ms after its end", (now - book.expires) / 1_000);
        assert!(book.outcomes.is_empty() || late, "{id} is sent after its outcome: {:?}", book.outcomes);
        assert!(!book.refused_by.contains_key(&channel), "{id} goes to a channel that cannot carry it");
        let attempt = book.tries.entry(ticket.attempt().0).or_default();
        attempt.channel = channel.0;
        assert!(attempt.written > attempt.sends, "an attempt is sent that is not written down");
        self.sent += 1;
    }

    /// All parts of one run have left.
    pub(crate) fn run(&mut self, now: u64, id: MessageId, attempt: u64, channel: ChannelId, parts: u32) {
        self.books.get_mut(&id).unwrap().tries.get_mut(&attempt).unwrap().sends += 1;
        let (rate, burst) = self.contracts[&channel];
        let pace = self.paces.entry(channel).or_default();
        pace.log.push_back((now, parts));
        pace.log.retain(|(at, _)| now - at < 1_000_000);
        pace.limits.retain(|(until, _)| now < *until);
        let limit = pace.limits.iter().map(|(_, limit)| *limit).fold(rate.max(f64::from(burst)), f64::max);
        // An empty bucket after a start, and a long message's debt forgotten.
        let restarted = if now - self.born < 1_000_000 { f64::from(burst) + 8.0 } else { 0.0 };
        // Pace is taken when a message's turn comes; its body may have to be read first.
        let late = if self.swarm.has(Fault::LateBodies) { limit * 0.04 + 8.0 } else { 0.0 };
        let sum: u32 = pace.log.iter().map(|(_, parts)| parts).sum();
        let most = (limit + restarted + late).floor();
        assert!(
            f64::from(sum) <= most || pace.log.len() == 1,
            "{sum} parts in one second of at most {most}, {channel:?}"
        );
    }

    /// The carrier takes a part.
    pub(crate) fn taken(&mut self, ticket: Ticket) -> MessageId {
        let id = self.attempts[&ticket.attempt().0];
        let attempt = self.books.get_mut(&id).unwrap().tries.get_mut(&ticket.attempt().0).unwrap();
        let bit = 1 << ticket.part();
        assert_eq!(attempt.taken & bit, 0, "part {} of one attempt of {id} is taken twice", ticket.part());
        attempt.taken |= bit;
        id
    }

    /// The carrier's word on a part reaches the gateway; true if the whole message was over by then.
    pub(crate) fn says(&mut self, ticket: Ticket, state: ReceiptState) {
        let Some(id) = self.attempts.get(&ticket.attempt().0) else { return };
        let book = self.books.get_mut(id).unwrap();
        if !book.told.is_empty() || book.ended {
            self.reached.hit("receipt of a finished message");
        }
        match (state, book.tries.get_mut(&ticket.attempt().0)) {
            (ReceiptState::Delivered, Some(t)) => t.delivered |= 1 << ticket.part(),
            (ReceiptState::Failed | ReceiptState::Expired | ReceiptState::Unknown, Some(t)) => t.dead = true,
            _ => {}
        }
    }

    /// The carrier is told that its receipt is on disk.
    pub(crate) fn settled(&mut self, receipt: u32, ticket: Ticket, state: ReceiptState, in_time: bool) {
        assert!(self.receipts.contains(&receipt), "a carrier is answered and its receipt is not on disk");
        let Some(id) = self.attempts.get(&ticket.attempt().0) else { return };
        let attempt = self.books.get_mut(id).unwrap().tries.get_mut(&ticket.attempt().0);
        if let (ReceiptState::Delivered, Some(t), true) = (state, attempt, in_time) {
            t.settled |= 1 << ticket.part();
        }
    }

    /// Whether nothing was told of a message yet.
    pub(crate) fn is_untold(&self, ticket: Ticket) -> bool {
        let book = self.attempts.get(&ticket.attempt().0).and_then(|id| self.books.get(id));
        book.is_some_and(|book| book.outcomes.is_empty())
    }

    pub(crate) fn owner(&self, ticket: Ticket) -> MessageId {
        self.attempts[&ticket.attempt().0]
    }

    /// A connection dies of that part: of few messages, and few times.
    pub(crate) fn kills(&mut self, ticket: Ticket) {
        let id = self.owner(ticket);
        let book = self.books.get_mut(&id).unwrap();
        book.kills += 1;
        assert!(book.kills <= book.tries.len(), "{id} has killed {} sessions: {book:?}", book.kills);
    }

    /// It goes to other channels by its receipts, or for want of any: once per attempt that carriers had.
    pub(crate) fn moved_on(&mut self, id: MessageId) {
        let book = self.books.get_mut(&id).unwrap();
        assert!(book.outcomes.is_empty(), "{id} goes on after its outcome: {book:?}");
        assert!(book.tries.len() > book.moved_on, "{id} moves on twice by one attempt: {book:?}");
        book.moved_on = book.tries.len();
    }

    /// No answer came for a part of that attempt.
    pub(crate) fn unanswered(&mut self, id: MessageId, attempt: u64) {
        self.books.get_mut(&id).and_then(|book| book.tries.get_mut(&attempt)).into_iter().for_each(|t| t.doubt = true);
    }

    /// The switch counts a message as sent again.
    pub(crate) fn resubmitted(&mut self, id: MessageId) {
        self.books.get_mut(&id).unwrap().resubmitted += 1;
    }

    /// A channel refused the message for good; the record of that stands at `at`.
    pub(crate) fn refused(&mut self, id: MessageId, channel: ChannelId, at: usize) {
        self.books.get_mut(&id).unwrap().refused_by.insert(channel, at);
    }

    /// An app has an endpoint from now on, or has none.
    pub(crate) fn endpoint(&mut self, app: usize, present: bool) {
        self.endpoints[app] = present;
    }

    /// The app gets an event.
    pub(crate) fn tell(&mut self, id: MessageId, seq: u32, status: &'static str, evidence: &'static str) {
        let book = self.books.get_mut(&id).unwrap();
        assert!(book.accepted || book.durable);
        assert!(self.endpoints[super::app(book.request)], "{id}: event {seq} is told to nobody");
        // A correction that only the store and the receipt's own record know is told from those.
        assert!(book.outcomes.len() >= seq as usize || seq > 1, "{id}: event {seq} is told and is not on disk");
        let before = book.told.insert(seq, (status, evidence));
        assert!(before.is_none_or(|b| b.0 == status), "{id}: event {seq} says {before:?}, then {status}");
        let ranks: Vec<u8> = book.told.values().map(|(status, _)| rank(status)).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{id}: {:?}: outcomes only move up", book.told);
        let known = book.outcomes.get(seq as usize - 1).map(|(kind, _)| kind.name());
        assert!(known.is_none_or(|known| known == status), "{id}: {known:?} on disk, {status} told");
        self.is_due(id, seq);
        if status == "delivered" {
            self.is_true(id, evidence);
        }
    }

    /// An event goes out: in its order, and not for the second time, unless a crash took what was known of the first.
    fn is_due(&mut self, id: MessageId, seq: u32) {
        let (life, book) = (self.life, self.books.get_mut(&id).unwrap());
        assert!(!book.called.contains(&seq), "{id}: event {seq} is told, and the disk knows that it is over: {book:?}");
        assert_ne!(book.needless_by.get(&seq), Some(&life), "{id}: event {seq} ended without an endpoint, and is told");
        let earlier = book.told_by.insert(seq, life);
        assert_ne!(earlier, Some(life), "{id}: event {seq} is told twice");
        let corrected = |by: &BTreeMap<u32, u32>, life: Option<u32>| {
            by.range(seq + 1..).any(|(_, later)| life.is_none_or(|life| life == *later))
        };
        let new = earlier.is_none() && corrected(&book.told_by, None);
        assert!(!new, "{id}: event {seq} is told after its correction: {book:?}");
        let late = corrected(&book.told_by, Some(life)) || corrected(&book.needless_by, Some(life));
        assert!(!late, "{id}: event {seq} is told after its correction in one life: {book:?}");
        if book.needless_by.contains_key(&seq) {
            self.reached.hit("told by a later life");
        }
        if book.needless_by.contains_key(&(seq - 1)) && !book.told_by.contains_key(&(seq - 1)) {
            self.reached.hit("correction of what nobody wanted");
        }
    }

    /// An event ends since its app has no endpoint.
    pub(crate) fn needless(&mut self, id: MessageId, seq: u32) {
        let (life, book) = (self.life, self.books.get_mut(&id).unwrap());
        assert!(!self.endpoints[super::app(book.request)], "{id}: event {seq} has an endpoint to go to");
        assert_ne!(book.told_by.get(&seq), Some(&life), "{id}: event {seq} was told, and ends without an endpoint");
        book.needless_by.insert(seq, life);
    }

    /// The gateway died; these records were lost with it.
    pub(crate) fn crash(&mut self, left: usize, lost: &[Entry]) {
        for Entry { id, record, .. } in lost {
            let Some((kind, octets)) = record else { continue };
            let Ok(Record::Attempt(attempt)) = Record::read(*kind, octets) else { continue };
            let Some(t) = self.books.get_mut(id).and_then(|book| book.tries.get_mut(&attempt.attempt.0)) else {
                continue;
            };
            if t.sends > 0 {
                t.lost = true;
                self.reached.hit("attempt lost with the power");
            }
        }
        for book in self.books.values_mut() {
            book.refused_by.retain(|_, at| *at < left);
            book.refused_by.values_mut().for_each(|at| *at = 0);
        }
    }

    /// The gateway has started again: what must it know, and until when may each be sent?
    pub(crate) fn born(&mut self, now: u64, wall: u64, knows: impl Fn(MessageId) -> bool) {
        (self.born, self.life) = (now, self.life + 1);
        for (id, book) in &mut self.books {
            if book.durable && !book.ended {
                assert!(knows(*id), "{id} was on disk and is gone after the restart");
            }
            book.expires = now + book.expires_wall.saturating_sub(wall) * 1_000;
            let corrected = |seq: &u32| book.told_by.range(seq + 1..).next().is_some();
            if !book.ended && book.needless_by.keys().any(|seq| !book.told_by.contains_key(seq) && corrected(seq)) {
                self.reached.hit("restart after a correction of what nobody wanted");
            }
            // What it was to do next is worked out again.
            book.moved_on = 0;
        }
    }

    /// No message went twice without being counted.
    pub(crate) fn doubles(&mut self, id: MessageId) {
        let book = &self.books[&id];
        let whole = book.whole();
        if whole < 2 {
            return;
        }
        let lost = book.tries.values().filter(|t| t.lost || t.dead).count() as u64;
        assert!(
            whole <= 1 + book.resubmitted + lost,
            "{id} went {whole} times, {} counted: {book:?}",
            book.resubmitted
        );
        self.reached.hit("doubled and counted");
    }

    /// Everything has come to rest: the books must close.
    pub(crate) fn close(&self) {
        for (id, book) in &self.books {
            if !book.durable {
                assert!(!book.accepted && book.outcomes.is_empty() && book.told.is_empty());
                continue;
            }
            let callback = super::has_callback(book.request);
            assert!(!book.outcomes.is_empty(), "{id} has no outcome: {book:?}");
            assert!(callback || book.told.is_empty(), "{id} was told {:?}", book.told);
            for seq in (1..=book.outcomes.len() as u32).filter(|_| callback) {
                let over = book.told.contains_key(&seq) || book.needless_by.contains_key(&seq);
                assert!(over, "{id}: event {seq} was never told: {book:?}");
            }
            assert!(book.ended, "{id} stays in the journal for ever");
            let told = book.told.last_key_value().filter(|(seq, _)| **seq as usize > book.outcomes.len());
            let last = told.map_or(book.outcomes.last().unwrap().0.name(), |(_, told)| told.0);
            self.is_found(*id, book, last);
        }
    }

    /// A delivery that the gateway was told of in time, and that one attempt alone can claim, must be told.
    fn is_found(&self, id: MessageId, book: &Book, last: &str) {
        if self.swarm.has(Fault::SharedNumbers) || last == "delivered" {
            return;
        }
        for t in book.tries.values().filter(|t| t.parts > 0 && !t.lost && t.settled & t.all() == t.all()) {
            let alone = book.tries.values().filter(|other| other.channel == t.channel).count() == 1;
            assert!(!alone, "{id} was delivered, its carrier said so, and it is called {last}: {book:?}");
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.books.len()
    }
}
