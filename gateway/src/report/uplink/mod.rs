//! Messages from handsets: written down, told apart from repetitions, joined, told to the app that owns the number. A
//! pure machine like the rest of the report; every part is a record under an id of its own.
//!
//! | a part is | and then | so |
//! |---|---|---|
//! | heard, a repetition | the first is still being written | its carrier waits for the same record |
//! | | the first is durable | its carrier is answered at once |
//! | heard, new | | its record is written; it is *written* |
//! | written | durable | carriers answered; short: it is a *whole*; else it takes its place in an *open* one |
//! | | refused by the journal | carriers told "later", its id ended: it was never here |
//!
//! | a message is | and then | so |
//! |---|---|---|
//! | open | its last part comes | its join is written; it is *closing* |
//! | | `join_wait` passes, its place is taken by another text, or too many are open | the same, with gaps |
//! | closing | durable | it is a *whole* |
//! | | refused by the journal | written again after a pause |
//! | whole | somebody owns its number | told and handed to the store |
//! | | nobody does | handed to the store, listed there as unmatched |
//! | told (or nobody's) and in the store | | its octets are forgotten; its records stay: it is *remembered* |
//! | remembered | the window for repetitions passes | its records end, that of its first part last |
//! | in the store, unmatched | an operator has it delivered | told, then handed to the store again as told |
//!
//! Nothing is told before the join is durable, so what an id stands for never changes: a part that comes after it opens
//! a message of its own. A message's id is that of the part that came first, and it is told as event 1 of that id.

mod content;
mod recover;
mod repeats;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use carriers::Inbound;
use link::LinkId;

use super::{Ack, Effect, Ledger, Report};
use crate::admit::number::mask;
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{App, AppId, ChannelId, Names};
use crate::ids::MessageId;
use crate::journal::record::{Called, Joined, Mo, Record, Telling};
use crate::route::owner::Owners;

use content::{Content, Piece};
pub use content::{Listed, Received};
pub(super) use recover::Found;
use repeats::{Over, Print, Repeats};

/// Most messages that wait for parts at a time; beyond, the oldest is told with gaps.
const OPEN: usize = 10_000;
/// Most octets of messages that wait for parts, and of those that wait for their app; beyond, the oldest is told with
/// gaps, or told no more (the store has it).
const OPEN_OCTETS: usize = 32 << 20;
const TELLING_OCTETS: usize = 64 << 20;
/// Octets of all that is not in the store yet, above which carriers are told to come again later.
const FULL_OCTETS: usize = 256 << 20;
/// Most messages remembered for their repetitions only.
const REMEMBERED: usize = 100_000;
/// Pause before a join that the journal refused is written again.
const REWRITE_PAUSE: Duration = Duration::from_millis(500);
/// An access number without an owner is logged once in this time; so many of them are told apart.
const LOG_PAUSE: Duration = Duration::from_secs(60);
const LOGGED: usize = 1_000;
/// Messages from handsets have one event.
const EVENT: u8 = 1;

/// What a plan says about messages from handsets.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose numbers are whose.
    pub owners: Owners,
    /// How long a long message waits for its parts.
    pub join_wait: Duration,
    /// For how long repetitions are recognised.
    pub window: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        let ten_minutes = Duration::from_secs(600);
        Rules { owners: Owners::default(), join_wait: ten_minutes, window: ten_minutes }
    }
}

/// A carrier that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its link.
    pub link: LinkId,
    /// Which connection of it.
    pub generation: u64,
    /// For what.
    pub inbound: Inbound,
}

/// What becomes of the wish to have a message delivered that nobody owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is being told to this app.
    OnItsWay(AppId),
    /// Still nobody owns its number.
    NoOwner,
    /// There is no unmatched message of that id.
    Unknown,
    /// Too many are being told; try again later.
    Busy,
}

/// What the store gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its records, as [`super::history::read`] reads them.
    pub history: Vec<u8>,
    /// What a list shows of it.
    pub listed: Listed,
    /// Nobody owned its number, and nobody has been told.
    pub unmatched: bool,
}

/// A part whose record is not durable yet.
struct Written {
    channel: Arc<str>,
    mo: carriers::Mo,
    at: Wall,
    print: Print,
    carriers: Vec<Carrier>,
}

/// Where the records of a message's parts are, by place.
type Parts = Vec<Option<(MessageId, Print)>>;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until then it waits for parts.
    Open(Time),
    Closing,
    Whole,
}

struct Message {
    stage: Stage,
    parts: Parts,
    /// While there is something to do with it.
    content: Option<Box<Content>>,
    /// When it was whole.
    at: Wall,
    /// Whose it is, and how many octets of its number are the extension.
    owner: Option<(AppId, usize)>,
    /// Its app is being told.
    telling: bool,
    /// Its app has been told, or never will be.
    told: bool,
    /// So many times handed to the store and not yet on its disk.
    keeping: u32,
    /// What the store has of it says that nobody owns it, and somebody does.
    stale: bool,
    /// Its repetitions are known until then.
    until: Time,
    /// Its records are in the journal.
    journaled: bool,
}

/// What makes parts those of one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    channel: Arc<str>,
    from: Box<str>,
    to: Box<str>,
    reference: u16,
    total: usize,
}

impl Key {
    fn of(content: &Content) -> Key {
        let Content { channel, from, to, reference, pieces } = content;
        Key { channel: channel.clone(), from: from.clone(), to: to.clone(), reference: *reference, total: pieces.len() }
    }
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Uplinks {
    rules: Rules,
    written: HashMap<u64, Written>,
    messages: BTreeMap<MessageId, Message>,
    /// Those that wait for parts.
    open: HashMap<Key, MessageId>,
    joins: BTreeSet<(Time, MessageId)>,
    /// Those whose apps are being told.
    telling: BTreeSet<MessageId>,
    remembered: BTreeSet<(Time, MessageId)>,
    repeats: Repeats,
    unwritten: Vec<MessageId>,
    rewrite_at: Option<Time>,
    /// Octets of those open, of those being told, of all.
    open_octets: usize,
    telling_octets: usize,
    octets: usize,
    /// Access numbers without an owner, and when each was last logged.
    logged: HashMap<Box<str>, Time>,
    pub(super) effects: Vec<Effect>,
}

impl Uplinks {
    /// Takes the rules of a new plan.
    pub(super) fn plan(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// One came; `id` is its record's, if it is new.
    pub(super) fn heard(
        &mut self,
        now: Moment,
        channel: Arc<str>,
        mo: carriers::Mo,
        id: MessageId,
        carrier: Carrier,
        ledger: &mut impl Ledger,
    ) {
        let record = record(now.wall, &channel, &mo);
        let (print, certain) = (repeats::print(&record), repeats::is_certain(&record));
        let over = (carrier.link, carrier.generation);
        if let Some(first) = self.repeats.find(now.time, print, certain, over) {
            self.effects.push(Effect::Repeated(channel));
            match self.written.get_mut(&first.0) {
                Some(written) => written.carriers.push(carrier),
                None => {
                    self.repeats.answered(print, first, now.time);
                    self.effects.push(Effect::Settle(carrier, true));
                }
            }
            return;
        }
        if self.octets > FULL_OCTETS {
            return self.effects.push(Effect::Settle(carrier, false));
        }
        self.repeats.add(print, id, now.time, Over::Connection(over), now.time.after(self.rules.window));
        ledger.commit(id, &Record::Mo(record), Ack::Uplink(id));
        self.written.insert(id.0, Written { channel, mo, at: now.wall, print, carriers: vec![carrier] });
    }

    /// The journal's word on a part.
    pub(super) fn committed(&mut self, now: Moment, id: MessageId, durable: bool, ledger: &mut impl Ledger) {
        let Some(Written { channel, mo, at, print, carriers }) = self.written.remove(&id.0) else { return };
        self.effects.extend(carriers.into_iter().map(|carrier| Effect::Settle(carrier, durable)));
        if durable {
            self.repeats.answered(print, id, now.time);
            self.take(now, channel.clone(), id, print, &record(at, &channel, &mo), ledger);
        } else {
            // Whether the record is there or not: the carrier will say it again.
            self.repeats.forget(print, id);
            ledger.end(id);
        }
    }

    /// A durable part takes its place.
    fn take(
        &mut self,
        now: Moment,
        channel: Arc<str>,
        id: MessageId,
        print: Print,
        mo: &Mo<'_>,
        ledger: &mut impl Ledger,
    ) {
        let content = Content::of(channel, mo);
        let place = mo.segment.map_or(0, |s| usize::from(s.index));
        if mo.segment.is_none() {
            self.fill(now, id, Stage::Whole, content, (place, id, print), mo);
            return self.whole(now, id, mo.at);
        }
        let key = Key::of(&content);
        let taken = |m: &Message| m.parts.get(place).is_none_or(Option::is_some);
        let mut first = self.open.get(&key).copied();
        if let Some(other) = first.filter(|first| self.messages.get(first).is_none_or(taken)) {
            // The handset has come round to the same reference.
            self.close(now, other, ledger);
            first = None;
        }
        let first = first.unwrap_or_else(|| {
            let deadline = now.deadline(after(mo.at, self.rules.join_wait));
            self.joins.insert((deadline, id));
            self.open.insert(key, id);
            self.messages.insert(id, Message::new(Stage::Open(deadline), content));
            id
        });
        self.put(now, first, (place, id, print), mo);
        if self.messages.get(&first).is_some_and(|m| m.parts.iter().all(Option::is_some)) {
            self.close(now, first, ledger);
        }
        while self.open.len() > OPEN || self.open_octets > OPEN_OCTETS {
            let Some((_, oldest)) = self.joins.pop_first() else { break };
            self.close(now, oldest, ledger);
        }
    }

    /// A message of one part.
    fn fill(
        &mut self,
        now: Moment,
        first: MessageId,
        stage: Stage,
        content: Content,
        part: (usize, MessageId, Print),
        mo: &Mo<'_>,
    ) {
        self.messages.insert(first, Message::new(stage, content));
        self.put(now, first, part, mo);
    }

    /// Puts a part in its place.
    fn put(&mut self, now: Moment, first: MessageId, (place, id, print): (usize, MessageId, Print), mo: &Mo<'_>) {
        let Some(message) = self.messages.get_mut(&first) else { return };
        let Some(content) = message.content.as_deref_mut() else { return };
        let before = content.octets();
        if let (Some(slot), Some(piece)) = (message.parts.get_mut(place), content.pieces.get_mut(place)) {
            (*slot, *piece) = (Some((id, print)), Some(Piece::of(mo)));
        }
        let more = content.octets() - before;
        message.until = message.until.max(now.deadline(after(mo.at, self.rules.window)));
        self.octets += more;
        if let Stage::Open(_) = message.stage {
            self.open_octets += more;
        }
    }

    /// It waits for no more parts.
    fn close(&mut self, now: Moment, first: MessageId, ledger: &mut impl Ledger) {
        let Some(message) = self.messages.get_mut(&first) else { return };
        let (Stage::Open(deadline), Some(content)) = (message.stage, message.content.as_deref()) else { return };
        self.open.remove(&Key::of(content));
        self.joins.remove(&(deadline, first));
        self.open_octets = self.open_octets.saturating_sub(content.octets());
        message.stage = Stage::Closing;
        message.at = now.wall;
        join(first, message, ledger);
    }

    /// The journal's word on a join.
    pub(super) fn joined(&mut self, now: Moment, first: MessageId, durable: bool) {
        let Some(at) = self.messages.get(&first).filter(|m| m.stage == Stage::Closing).map(|m| m.at) else { return };
        if durable {
            self.whole(now, first, at);
        } else {
            self.unwritten.push(first);
            self.rewrite_at.get_or_insert(now.time.after(REWRITE_PAUSE));
        }
    }

    /// It is as whole as it will be, and durable: to its app and to the store.
    fn whole(&mut self, now: Moment, id: MessageId, at: Wall) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        (message.stage, message.at) = (Stage::Whole, at);
        let Some(content) = message.content.as_deref() else { return };
        match self.rules.owners.owner(&content.to).map(|(app, extension)| (app, extension.len())) {
            Some(owner) => self.tell(id, owner),
            None => {
                let (channel, number) = (content.channel.clone(), content.to.clone());
                let log = self.log(now.time, number);
                self.effects.push(Effect::NoOwner(channel, log));
            }
        }
        self.keep(id);
    }

    /// The number, masked, if it is time to log that nobody owns it.
    fn log(&mut self, now: Time, number: Box<str>) -> Option<String> {
        if self.logged.len() >= LOGGED {
            self.logged.retain(|_, at| now.since(*at) < LOG_PAUSE);
        }
        let due = match self.logged.get(&number) {
            Some(at) => now.since(*at) >= LOG_PAUSE,
            None => self.logged.len() < LOGGED,
        };
        due.then(|| {
            let masked = mask(&number);
            self.logged.insert(number, now);
            masked
        })
    }

    fn tell(&mut self, id: MessageId, owner: (AppId, usize)) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        (message.owner, message.telling) = (Some(owner), true);
        self.telling_octets += message.octets();
        self.telling.insert(id);
        self.effects.push(Effect::Tell(id, owner.0, u32::from(EVENT)));
    }

    fn keep(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.keeping += 1;
            self.effects.push(Effect::StoreUplink(id));
        }
    }

    /// Apps that take nothing must not fill the memory: the oldest are told no more, the store has them.
    fn relieve(&mut self, now: Moment, ledger: &mut impl Ledger) {
        while self.telling_octets > TELLING_OCTETS {
            let Some(oldest) = self.telling.first().copied() else { break };
            if let Some(content) = self.messages.get(&oldest).and_then(|m| m.content.as_deref()) {
                self.effects.push(Effect::GivenUp(content.channel.clone()));
            }
            self.told(now, oldest, Telling::Never, ledger);
        }
    }

    /// The endpoint or a letter on disk has it, or it never will be told. False where no message from a handset has that id.
    pub(super) fn told(&mut self, now: Moment, id: MessageId, end: Telling, ledger: &mut impl Ledger) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        if !std::mem::take(&mut message.telling) {
            return true;
        }
        message.told = true;
        self.telling.remove(&id);
        self.telling_octets = self.telling_octets.saturating_sub(message.octets());
        if message.journaled {
            ledger.note(id, &Record::Called(Called { at: now.wall, event: EVENT, end }));
        }
        if std::mem::take(&mut message.stale) {
            self.keep(id);
        }
        self.over(now, id, ledger);
        true
    }

    /// The store has it on disk. False where no message from a handset has that id.
    pub(super) fn persisted(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        message.keeping = message.keeping.saturating_sub(1);
        self.over(now, id, ledger);
        true
    }

    /// With nothing more to do, only its repetitions are of interest.
    fn over(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.stage != Stage::Whole || message.telling || message.keeping > 0 {
            return;
        }
        self.octets = self.octets.saturating_sub(message.octets());
        message.content = None;
        self.remembered.insert((message.until, id));
        self.forget_old(now, ledger);
    }

    fn forget_old(&mut self, now: Moment, ledger: &mut impl Ledger) {
        while let Some((until, id)) = self.remembered.first().copied() {
            if until > now.time && self.remembered.len() <= REMEMBERED {
                break;
            }
            self.remembered.pop_first();
            self.forget(id, ledger);
        }
    }

    fn forget(&mut self, id: MessageId, ledger: &mut impl Ledger) {
        let Some(message) = self.messages.remove(&id) else { return };
        for (part, print) in message.parts.iter().flatten() {
            self.repeats.forget(*print, *part);
        }
        if message.journaled {
            // Without the first, the others would look like parts that wait.
            message.parts.iter().flatten().filter(|(part, _)| *part != id).for_each(|(part, _)| ledger.end(*part));
            ledger.end(id);
        }
    }

    /// A connection has ended: what it was not answered, it will say again.
    pub(super) fn lost(&mut self, now: Moment, link: LinkId, generation: u64) {
        self.repeats.lost(now.time, (link, generation), self.rules.window);
    }

    /// When to call [`Uplinks::tick`] next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let first = |set: &BTreeSet<(Time, MessageId)>| set.first().map(|(at, _)| *at);
        [first(&self.joins), first(&self.remembered), self.rewrite_at].into_iter().flatten().min()
    }

    /// Ends waits that are over.
    pub(super) fn tick(&mut self, now: Moment, ledger: &mut impl Ledger) {
        while self.joins.first().is_some_and(|(at, _)| *at <= now.time) {
            let Some((_, first)) = self.joins.pop_first() else { break };
            self.close(now, first, ledger);
        }
        if self.rewrite_at.is_some_and(|at| at <= now.time) {
            self.rewrite_at = None;
            for first in std::mem::take(&mut self.unwritten) {
                if let Some(message) = self.messages.get(&first) {
                    join(first, message, ledger);
                }
            }
        }
        self.relieve(now, ledger);
        self.forget_old(now, ledger);
    }

    /// An operator wants an unmatched one delivered; `history` is what the store has of it.
    pub(super) fn deliver(&mut self, id: MessageId, history: Option<&[u8]>) -> Delivery {
        let known = self.messages.get(&id);
        match known.map(|m| (m.stage, m.owner)) {
            Some((Stage::Whole, Some((app, _)))) => return Delivery::OnItsWay(app),
            Some((Stage::Open(_) | Stage::Closing, _)) => return Delivery::Unknown,
            Some((Stage::Whole, None)) | None => {}
        }
        let Some((content, joined)) = history.and_then(Content::restore) else {
            return Delivery::Unknown;
        };
        let Some((app, extension)) = self.rules.owners.owner(&content.to) else { return Delivery::NoOwner };
        let (owner, octets) = ((app, extension.len()), content.octets());
        if self.telling_octets + octets > TELLING_OCTETS {
            return Delivery::Busy;
        }
        let message = self.messages.entry(id).or_insert_with(|| {
            let parts = joined.parts.iter().map(|id| id.map(|id| (id, Print::default()))).collect();
            Message { parts, journaled: false, ..Message::new(Stage::Whole, content.clone()) }
        });
        self.remembered.remove(&(message.until, id));
        if message.content.is_none() || !message.journaled {
            self.octets += octets;
        }
        message.content.get_or_insert_with(|| Box::new(content));
        (message.at, message.stale) = (joined.at, true);
        self.tell(id, owner);
        Delivery::OnItsWay(app)
    }

    /// Kind, time and content of its event; `None` where no message from a handset has that id, or it is told already.
    /// `company` gives a channel's carrier, `country` an app's default country.
    pub(super) fn event<'c>(
        &self,
        id: MessageId,
        company: impl Fn(&str) -> Option<String>,
        country: impl Fn(AppId) -> Option<&'c str>,
    ) -> Option<(&'static str, Wall, Received)> {
        let message = self.messages.get(&id).filter(|m| m.telling)?;
        let (content, (app, extension)) = (message.content.as_deref()?, message.owner?);
        let carrier = company(&content.channel);
        Some(("message.received", message.at, content.received_event(id, extension, carrier, country(app))))
    }

    /// What the store gets of it.
    pub(super) fn kept(&self, id: MessageId, names: &Names) -> Option<Kept> {
        let message = self.messages.get(&id)?;
        let content = message.content.as_deref()?;
        let parts = message.parts.iter().map(|part| part.map(|(id, _)| id)).collect();
        let app = message.owner.and_then(|(app, _)| names.apps.get(usize::from(app.0)));
        let listed = content.listed(app.map(|n| &**n));
        let unmatched = message.owner.is_none() && !message.told;
        Some(Kept { history: content.history(parts, message.at), listed, unmatched })
    }

    /// Sizes of everything that could be forgotten too late: parts being written, messages, open ones, waits, those
    /// being told, known prints, octets.
    #[cfg(test)]
    pub(super) fn census(&self) -> [usize; 7] {
        let Uplinks { written, messages, open, joins, telling, repeats, octets, .. } = self;
        [written.len(), messages.len(), open.len(), joins.len(), telling.len(), repeats.len(), *octets]
    }
}

impl Message {
    fn new(stage: Stage, content: Content) -> Message {
        Message {
            stage,
            parts: vec![None; content.pieces.len()],
            content: Some(Box::new(content)),
            at: Wall::default(),
            owner: None,
            telling: false,
            told: false,
            keeping: 0,
            stale: false,
            until: Time::default(),
            journaled: true,
        }
    }

    fn octets(&self) -> usize {
        self.content.as_deref().map_or(0, Content::octets)
    }
}

impl Report {
    /// A message from a handset, or a part of one. The carrier is answered by [`Effect::Settle`]; `id` is its record's.
    pub fn uplink(
        &mut self,
        now: Moment,
        channel: ChannelId,
        mo: carriers::Mo,
        id: MessageId,
        carrier: Carrier,
        ledger: &mut impl Ledger,
    ) {
        let name = self.channel_name(channel);
        self.uplinks.heard(now, name, mo, id, carrier, ledger);
    }

    /// The journal's word on a part of a message from a handset.
    pub fn uplink_committed(&mut self, now: Moment, id: MessageId, durable: bool, ledger: &mut impl Ledger) {
        self.uplinks.committed(now, id, durable, ledger);
    }

    /// The journal's word on what a message from a handset is made of.
    pub fn uplink_joined(&mut self, now: Moment, first: MessageId, durable: bool) {
        self.uplinks.joined(now, first, durable);
    }

    /// A connection has ended; what it said without an answer may be said again.
    pub fn lost(&mut self, now: Moment, link: LinkId, generation: u64) {
        self.uplinks.lost(now, link, generation);
    }

    /// Kind, time and content of the event that a message from a handset is; `None` where it is none, or told already.
    /// `company` gives a channel's carrier, `country` an app's default country.
    pub fn received<'c>(
        &self,
        id: MessageId,
        company: impl Fn(&str) -> Option<String>,
        country: impl Fn(AppId) -> Option<&'c str>,
    ) -> Option<(&'static str, Wall, Received)> {
        self.uplinks.event(id, company, country)
    }

    /// What the store gets of a message from a handset.
    pub fn kept(&self, id: MessageId) -> Option<Kept> {
        self.uplinks.kept(id, &self.names)
    }

    /// An operator wants a message delivered that nobody owned; `history` is what the store has of it, if it is one.
    pub fn deliver(&mut self, id: MessageId, history: Option<&[u8]>) -> Delivery {
        self.uplinks.deliver(id, history)
    }
}

/// Writes down what a message is made of.
fn join(first: MessageId, message: &Message, ledger: &mut impl Ledger) {
    let parts = message.parts.iter().map(|part| part.map(|(id, _)| id)).collect();
    ledger.commit(first, &Record::Joined(Joined { at: message.at, parts }), Ack::Joined(first));
}

fn record<'a>(at: Wall, channel: &'a str, mo: &'a carriers::Mo) -> Mo<'a> {
    let carriers::Mo { from, to, coding, header, data, segment, id, options } = mo;
    Mo { at, channel, from, to, coding: *coding, header, data, segment: *segment, id: id.clone(), options }
}

fn after(at: Wall, wait: Duration) -> Wall {
    Wall(at.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

/// The event of a finished message from a handset, by its history, where it is that app's by today's numbers and whole
/// since `from` or later, and before `to`.
pub fn again(
    id: MessageId,
    records: &[u8],
    owners: &Owners,
    app: &App,
    (from, to): (Wall, Wall),
    company: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, Wall, Received)> {
    let (content, joined) = Content::restore(records)?;
    let (owner, extension) = owners.owner(&content.to)?;
    if owner != app.id || !(from..to).contains(&joined.at) {
        return None;
    }
    let carrier = company(&content.channel);
    let received = content.received_event(id, extension.len(), carrier, app.default_country.as_deref());
    Some(("message.received", joined.at, received))
}
