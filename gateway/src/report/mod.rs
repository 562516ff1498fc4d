//! What became of each message: answers and receipts are matched with attempts, outcomes concluded, written down and
//! only then told. A pure machine: it writes through [`Ledger`], and what else is to be done leaves as [`Effect`]s.
//!
//! Memory runs ahead of the disk, but nothing leaves before its record is durable: a carrier is answered and an app is
//! called when the journal hands the [`Ack`] back.

pub mod again;
pub mod correlate;
mod end;
pub mod history;
pub mod late;
pub mod quality;
pub mod recover;
pub mod state;
pub mod story;
mod table;
pub mod tell;
#[cfg(test)]
mod tests;
pub mod uplink;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use carriers::compact::Text;
use carriers::{AttemptRef, CarrierId, Doubt, Inbound, Receipt, ReceiptState};
use link::LinkId;

use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{AppId, ChannelId, Names, TierId};
use crate::ids::MessageId;
use crate::journal::At;
use crate::journal::bodies::Spot;
use crate::journal::record::{Accepted, AnswerKind, Answered, Attempt, Orphan, OutcomeKind, Receipted, Record};
use crate::switch::{End, Home, Message, Recovered};

pub use correlate::Place;
use correlate::{Correlation, Match, Waiting};
use late::Reopened;
use quality::Fate;
use state::{Detail, Live, PartState};
use table::Table;
use uplink::Uplinks;
use waits::Waits;

/// The longest wait for receipts after a message's validity.
const RECEIPT_WAIT_CAP: Duration = Duration::from_secs(72 * 3600);

/// Who waits for a record to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The carrier, for its receipt.
    Inbound(LinkId, u64, Inbound),
    /// The carrier, for a receipt that waits for its part under this id.
    Orphan(MessageId, LinkId, u64, Inbound),
    /// The carriers that said this part of a message from a handset.
    Uplink(MessageId),
    /// The message from a handset whose first part this is: what it is made of.
    Joined(MessageId),
    /// The app, for this outcome (event number).
    Outcome(MessageId, u32),
}

/// Where records go; the journal, or a test's list.
pub trait Ledger {
    /// Rides along with the next write.
    fn note(&mut self, id: MessageId, record: &Record<'_>);
    /// Is acknowledged once durable.
    fn commit(&mut self, id: MessageId, record: &Record<'_>, ack: Ack);
    /// Nothing of this id is needed any more.
    fn end(&mut self, id: MessageId);
}

/// What else is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell the switch: no (further) attempt is needed.
    Conclude(MessageId),
    /// Tell the app, by way of [`Report::event`]; its record is durable.
    Tell(MessageId, AppId, u32),
    /// The message is over and told: hand [`Report::past`] to the store, then call [`Report::persisted`].
    Store(MessageId),
    /// An outcome was concluded, for the counters.
    Concluded {
        /// Of which message.
        id: MessageId,
        /// Whose it is; not said of one that was forgotten before.
        app: Option<AppId>,
        /// Whether it takes the place of an earlier one.
        correction: bool,
        /// Its tier.
        tier: TierId,
        /// The deciding channel.
        channel: Option<ChannelId>,
        /// Which.
        outcome: OutcomeKind,
        /// Why.
        reason: &'static str,
    },
    /// Tell the switch: the message goes on to other channels. Its tier, the channel it leaves and why, for the counter.
    Again(TierId, ChannelId, again::Why, Box<Recovered>),
    /// A carrier has the message by one more attempt than needed, for the counter.
    Duplicate(ChannelId),
    /// A part's first final receipt came this long after its attempt, for the histogram.
    Delay(ChannelId, Duration),
    /// That receipt's word, for the channel's delivered ratio.
    Fate(Fate),
    /// A receipt has waited for [`correlate::ORPHAN_GRACE`] and nobody knows its part, for the counter.
    Unmatched(ChannelId),
    /// A receipt found no part here: look for its message in the store, then call [`Report::sought`].
    Seek(MessageId, ChannelId, Vec<CarrierId>),
    /// A finished message has got a receipt: read its history in the store, then call [`Report::recalled`].
    Recall(MessageId),
    /// A receipt came for a finished message; whether it changed the outcome. For the counter.
    Late(ChannelId, bool),
    /// A message from a handset is whole: hand [`Report::kept`] to the store, then call [`Report::persisted`].
    StoreUplink(MessageId),
    /// The carrier may have its answer for a message from a handset: taken, or to be said again later.
    Settle(uplink::Carrier, bool),
    /// A message from a handset that came over this channel was a repetition, for the counter.
    Repeated(Arc<str>),
    /// Nobody owns the number a message from a handset was sent to, for the counter; the number, masked, where it is to
    /// be logged.
    NoOwner(Arc<str>, Option<String>),
    /// A message from a handset will be told no more, for the counter: too many wait for their app.
    GivenUp(Arc<str>),
    /// A receipt has decided about an attempt over this channel: it is delivered, or it never will be.
    Decided(ChannelId, bool),
}

/// The state of everything accepted and not yet forgotten.
pub struct Report {
    live: Table<Live>,
    /// How many of them are each app's.
    by_app: Vec<usize>,
    correlation: Correlation,
    /// When the wait for receipts ends.
    waits: Waits,
    /// When a missing receipt moves a message on.
    due: BTreeSet<(Time, u64)>,
    rules: Vec<again::Rule>,
    /// Finished messages to which receipts came after all.
    reopened: BTreeMap<MessageId, Reopened>,
    /// Outcome records that the journal refused, and when to write them again.
    unwritten: Vec<(MessageId, u32)>,
    rewrite_at: Option<Time>,
    /// Corrections to be written now that what they correct is on disk.
    corrections: Vec<(MessageId, u32)>,
    names: Names,
    /// By channel: whether its carrier sends receipts.
    receipts: Vec<bool>,
    receipt_wait: Duration,
    uplinks: Uplinks,
    effects: Vec<Effect>,
}

/// What is written of a message beside itself: everything but the messages. Each that something happens to is looked up
/// once, and has this at hand.
struct Books<'a> {
    correlation: &'a mut Correlation,
    waits: &'a mut Waits,
    due: &'a mut BTreeSet<(Time, u64)>,
    rules: &'a [again::Rule],
    names: &'a Names,
    receipts: &'a [bool],
    effects: &'a mut Vec<Effect>,
}

impl Report {
    /// An empty report.
    pub fn new(receipt_wait: Duration) -> Self {
        Report {
            live: Table::default(),
            by_app: Vec::new(),
            correlation: Correlation::default(),
            waits: Waits::default(),
            due: BTreeSet::new(),
            rules: Vec::new(),
            reopened: BTreeMap::new(),
            unwritten: Vec::new(),
            rewrite_at: None,
            corrections: Vec::new(),
            names: Names::default(),
            receipts: Vec::new(),
            receipt_wait: receipt_wait.min(RECEIPT_WAIT_CAP),
            uplinks: Uplinks::default(),
            effects: Vec::new(),
        }
    }

    /// Takes the names, the channels' receipt setting and the rules for messages from handsets of a new plan.
    pub fn plan(&mut self, names: &Names, receipts: impl Iterator<Item = (ChannelId, bool)>, uplink: uplink::Rules) {
        self.names = names.clone();
        self.uplinks.plan(uplink);
        self.receipts.resize(self.names.channels.len(), true);
        for (channel, sends) in receipts {
            if let Some(slot) = self.receipts.get_mut(usize::from(channel.0)) {
                *slot = sends;
            }
        }
    }

    /// Number of messages not yet forgotten.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Number of an app's messages not yet forgotten.
    pub fn len_of(&self, app: AppId) -> usize {
        self.by_app.get(usize::from(app.0)).copied().unwrap_or(0)
    }

    fn insert(&mut self, id: MessageId, live: Live) {
        let app = usize::from(live.app.0);
        if self.live.insert(id.0, live).is_none() {
            self.by_app.resize(self.by_app.len().max(app + 1), 0);
            self.by_app[app] += 1;
        }
    }

    fn remove(&mut self, id: MessageId) -> Option<Live> {
        let live = self.live.remove(&id.0)?;
        self.uncount(&live);
        Some(live)
    }

    fn uncount(&mut self, live: &Live) {
        if let Some(count) = self.by_app.get_mut(usize::from(live.app.0)) {
            *count = count.saturating_sub(1);
        }
    }

    /// A message and all else.
    fn open(&mut self, id: MessageId) -> Option<(&mut Live, Books<'_>)> {
        let Report { live, correlation, waits, due, rules, names, receipts, effects, .. } = self;
        Some((live.get_mut(&id.0)?, Books { correlation, waits, due, rules, names, receipts, effects }))
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Receipts waiting for their part.
    pub fn orphans(&self) -> usize {
        self.correlation.orphans()
    }

    /// What is known of a message.
    pub fn live(&self, id: MessageId) -> Option<&Live> {
        self.live.get(&id.0)
    }

    /// Whether anything is to be done.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty() || !self.uplinks.effects.is_empty()
    }

    /// Takes what is to be done into an empty list, whose memory is used for what comes next.
    pub fn swap_effects(&mut self, list: &mut Vec<Effect>) {
        debug_assert!(list.is_empty(), "effects left over would be done twice");
        self.effects.append(&mut self.uplinks.effects);
        std::mem::swap(&mut self.effects, list);
    }

    /// When to call [`Report::tick`] next.
    pub fn deadline(&self) -> Option<Time> {
        let due = self.due.first().map(|(at, _)| *at);
        let corrections = (!self.corrections.is_empty()).then_some(Time(0));
        [self.waits.deadline(), due, self.rewrite_at, corrections, self.uplinks.deadline()].into_iter().flatten().min()
    }

    /// A message is durable; where its record is on disk and in memory.
    pub fn accepted(&mut self, now: Moment, message: &Message, (at, body): (At, Spot), callback: bool) {
        let Message { id, app, group, tier, parts, .. } = *message;
        let live = Live { detail: None, since: now.time, at, body, app, group, tier, callback, reserve: parts };
        self.insert(id, live);
    }

    /// A message's record was read into memory.
    pub fn at_hand(&mut self, id: MessageId, body: Spot) {
        if let Some(live) = self.live.get_mut(&id.0) {
            live.body = body;
        }
    }

    /// A message waits elsewhere than it was accepted for.
    pub fn moved(&mut self, id: MessageId, home: Home) {
        if let Some(live) = self.live.get_mut(&id.0) {
            (live.group, live.tier, live.reserve) = (home.group, home.tier, home.parts);
        }
    }

    /// An attempt is about to be written and sent; a message without one before has `fresh`, what its accepted record
    /// says. False if it must not be: the message has come to its end meanwhile.
    pub fn started(
        &mut self,
        now: Moment,
        (id, expires): (MessageId, Time),
        attempt: &Attempt<'_>,
        channel: ChannelId,
        fresh: Option<Box<Detail>>,
        ledger: &mut impl Ledger,
    ) -> bool {
        let Some(live) = self.live.get_mut(&id.0) else { return false };
        let detail = live.detail.get_or_insert_with(|| fresh.unwrap_or_default());
        if detail.done {
            return false;
        }
        ledger.note(id, &Record::Attempt(attempt.clone()));
        detail.patience = expires.after(self.receipt_wait);
        detail.expires = expires;
        detail.started(attempt.attempt, channel, now.wall, attempt.parts, attempt.only);
        let known = |name: &str| self.names.channels.iter().position(|known| **known == *name);
        let other = |name: &str| known(name).and_then(|at| u16::try_from(at).ok()).map(ChannelId);
        detail.because(attempt.attempt, history::why(&attempt.because, other));
        let to = detail.tail();
        if let Some(attempt) = detail.attempt(attempt.attempt) {
            self.correlation.started(attempt, to, now.time);
        }
        true
    }

    /// The id that the carrier will give a part is known before its answer.
    pub fn expected(&mut self, Place { message, attempt, part }: Place, id: CarrierId) {
        let Some(detail) = self.live.get_mut(&message.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        let Some(channel) = detail.attempt(attempt).map(|a| a.channel) else { return };
        let Some(slot) = detail.part(attempt, part) else { return };
        self.correlation.learn(channel, &id, message);
        slot.id = Some(id);
    }

    /// Nothing of what [`Report::started`] announced was sent: the named parts never left.
    pub fn unsent(&mut self, now: Moment, (id, attempt): (MessageId, AttemptRef), only: u64, ledger: &mut impl Ledger) {
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        let parts = detail.attempt(attempt).map_or(0, |a| a.parts.len());
        let answer = AnswerKind::Unanswered(Doubt::Unsent);
        for part in (0..=u8::MAX).take(parts).filter(|part| only.checked_shr(u32::from(*part)).unwrap_or(0) & 1 == 1) {
            ledger.note(id, &Record::Answered(Answered { at: now.wall, attempt, part, answer: answer.clone() }));
            detail.answered(attempt, part, now.wall, &answer);
        }
        // A disk that refuses must not make attempts pile up here.
        let to = detail.tail();
        if let Some(mut nothing) = detail.attempts.pop_if(|a| a.attempt == attempt && a.unsent()) {
            self.correlation.forget(id, &mut nothing, to);
        } else if let Some(attempt) = detail.attempt(attempt) {
            self.correlation.landed(attempt);
        }
        self.conclude(now, id, ledger);
    }

    /// A part ended on the wire.
    pub fn answered(&mut self, now: Moment, place: Place, answer: AnswerKind<'_>, ledger: &mut impl Ledger) {
        let Place { message, attempt, part } = place;
        let Some((live, mut books)) = self.open(message) else { return };
        let record = Record::Answered(Answered { at: now.wall, attempt, part, answer });
        ledger.note(message, &record);
        let Record::Answered(Answered { answer, .. }) = &record else { return };
        let Some(early) = books.answered(now, place, answer, live) else {
            return books.conclude(now, message, live, ledger);
        };
        self.meet(now, place, early, ledger);
        self.conclude(now, message, ledger);
    }

    fn apply_answer(&mut self, now: Moment, place: Place, answer: &AnswerKind<'_>, ledger: &mut impl Ledger) {
        let Some((live, mut books)) = self.open(place.message) else { return };
        if let Some(early) = books.answered(now, place, answer, live) {
            self.meet(now, place, early, ledger);
        }
    }

    /// Receipts that came before an answer find their parts.
    fn meet(&mut self, now: Moment, place: Place, early: Early, ledger: &mut impl Ledger) {
        if let Some(waiting) = early.own {
            self.unite(now, waiting, Match { place, claimed: None }, ledger);
        }
        // What this answer leaves without an owner may be an attempt's in doubt.
        for orphan in early.claimable {
            if let Some((waiting, found)) = self.reunite(now, orphan) {
                let message = found.place.message;
                self.unite(now, waiting, found, ledger);
                self.conclude(now, message, ledger);
            }
        }
    }

    /// The part that was given one of these ids.
    fn part_of(&self, channel: ChannelId, ids: &[CarrierId]) -> Option<Place> {
        ids.iter().find_map(|id| {
            let message = self.correlation.given(channel, id)?;
            let (attempt, part) = self.live.get(&message.0)?.detail.as_deref()?.part_of(channel, id)?;
            Some(Place { message, attempt, part })
        })
    }

    /// A receipt that waits and its part, if that is known by now.
    fn reunite(&mut self, now: Moment, orphan: MessageId) -> Option<(Waiting, Match)> {
        let Waiting { channel, ids, .. } = self.correlation.orphan(orphan)?;
        let known = self.part_of(*channel, ids);
        self.correlation.reunite(orphan, known, now.time)
    }

    /// A receipt that waited has its part; its record moves from its own id to the message's.
    fn unite(&mut self, now: Moment, waiting: Waiting, found: Match, ledger: &mut impl Ledger) {
        let place = found.place;
        self.claimed(now, &found, ledger);
        let Place { message, attempt, part } = place;
        let code = (&waiting.code).into();
        let record = Receipted { at: now.wall, attempt, part, state: waiting.state, code };
        ledger.note(message, &Record::Receipted(record));
        ledger.end(waiting.id);
        if let Some((live, mut books)) = self.open(message) {
            books.receipted(now, place, waiting.state, code, live);
        }
    }

    /// A receipt claimed for an attempt in doubt is the answer that was lost.
    fn claimed(&mut self, now: Moment, found: &Match, ledger: &mut impl Ledger) {
        let Match { place, claimed: Some(id) } = found else { return };
        let Place { message, attempt, part } = *place;
        let answer = AnswerKind::Submitted(Some(id.clone()));
        ledger.note(message, &Record::Answered(Answered { at: now.wall, attempt, part, answer: answer.clone() }));
        let done = self.is_done(message);
        self.apply_answer(now, *place, &answer, ledger);
        if !done && self.is_done(message) {
            self.effects.push(Effect::Conclude(message));
        }
    }

    /// A receipt came; the carrier is answered when the ack comes back. `orphan` is the id it gets if nobody knows it.
    pub fn receipt(
        &mut self,
        now: Moment,
        channel: ChannelId,
        receipt: &Receipt,
        orphan: MessageId,
        ack: Ack,
        ledger: &mut impl Ledger,
    ) {
        let Some(place) = self.part_of(channel, &receipt.ids) else {
            return self.orphan(now, channel, receipt, orphan, ack, ledger);
        };
        let Place { message, attempt, part } = place;
        let (state, code) = (receipt.state, (&receipt.code).into());
        ledger.commit(message, &Record::Receipted(Receipted { at: now.wall, attempt, part, state, code }), ack);
        if let Some((live, mut books)) = self.open(message) {
            books.receipted(now, place, state, code, live);
            books.conclude(now, message, live, ledger);
        }
    }

    fn orphan(
        &mut self,
        now: Moment,
        channel: ChannelId,
        receipt: &Receipt,
        id: MessageId,
        ack: Ack,
        ledger: &mut impl Ledger,
    ) {
        let name = self.channel_name(channel);
        let record = Orphan {
            at: now.wall,
            channel: &name,
            ids: receipt.ids.to_vec(),
            to: &receipt.to,
            state: receipt.state,
            code: &receipt.code,
        };
        let ack = match ack {
            Ack::Inbound(link, generation, inbound) => Ack::Orphan(id, link, generation, inbound),
            ack => ack,
        };
        ledger.commit(id, &Record::Orphan(record), ack);
        let gone = self.correlation.keep(id, channel, receipt, now.time);
        gone.iter().for_each(|gone| ledger.end(*gone));
        self.seek(id);
    }

    /// The record of a receipt that waits is on disk, or will never be. Then the carrier is told to say it again, and
    /// nothing of it may stay: the repetition would count as known and have no record either.
    pub fn kept_orphan(&mut self, orphan: MessageId, durable: bool) {
        if !durable {
            self.correlation.take(orphan);
        }
    }

    /// Has the store look for the message of a receipt that waits.
    fn seek(&mut self, orphan: MessageId) {
        if let Some(Waiting { channel, ids, .. }) = self.correlation.orphan(orphan) {
            self.effects.push(Effect::Seek(orphan, *channel, ids.to_vec()));
        }
    }

    fn is_done(&self, id: MessageId) -> bool {
        self.live.get(&id.0).is_none_or(|live| live.detail.as_deref().is_none_or(|detail| detail.done))
    }

    /// The switch makes no further attempt. `body` is the accepted record, where it can still be read.
    pub fn exhausted(
        &mut self,
        now: Moment,
        id: MessageId,
        end: End,
        body: Option<&Accepted<'_>>,
        ledger: &mut impl Ledger,
    ) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let detail = detail_of(live, body.unwrap_or(&Accepted::default()));
        detail.done = true;
        detail.end = Some(end);
        self.conclude(now, id, ledger);
    }

    /// Whether [`Report::exhausted`] needs the body (no attempt has brought it yet).
    pub fn needs_body(&self, id: MessageId) -> bool {
        self.live.get(&id.0).is_some_and(|l| l.detail.is_none())
    }

    /// Ends waits for receipts and orphans that are over, and writes again what the journal refused.
    pub fn tick(&mut self, now: Moment, ledger: &mut impl Ledger) {
        let waits = |id: u64, until| {
            let detail = self.live.get(&id).and_then(|live| live.detail.as_deref());
            detail.is_some_and(|detail| detail.waiting && detail.patience == until)
        };
        self.waits.tick(now.time, waits);
        while let Some(id) = self.waits.over(now.time) {
            let Some((live, mut books)) = self.open(MessageId(id)) else { continue };
            let Some(detail) = live.detail.as_deref_mut() else { continue };
            detail.waiting = false;
            if detail.outcomes.is_empty() {
                let concluded = detail.give_up(now.wall);
                books.outcome(MessageId(id), live, concluded, ledger);
            }
        }
        self.overdue(now);
        for orphan in self.correlation.expired_orphans(now.time) {
            ledger.end(orphan);
        }
        self.effects.extend(self.correlation.unmatched(now.time).into_iter().map(Effect::Unmatched));
        self.rewrite(now, ledger);
        self.uplinks.tick(now, ledger);
    }

    /// Sizes of everything that could be forgotten too late: messages, waits, reopened, unwritten, then the tables
    /// of the correlation.
    #[cfg(test)]
    fn census(&self) -> ([usize; 5], [usize; 6]) {
        let Report { live, waits, due, reopened, unwritten, corrections, correlation, .. } = self;
        let outcomes = unwritten.len() + corrections.len();
        ([live.len(), waits.len(), due.len(), reopened.len(), outcomes], correlation.census())
    }

    fn channel_name(&self, channel: ChannelId) -> Arc<str> {
        self.names.channels.get(usize::from(channel.0)).cloned().unwrap_or_else(|| "".into())
    }
}

/// Receipts that came before the answer that tells whose they are.
struct Early {
    /// The part's own.
    own: Option<Waiting>,
    /// Those that an attempt in doubt for the number may claim.
    claimable: Vec<MessageId>,
}

impl Books<'_> {
    /// Applies an answer. The receipts that may have their part now, if there are any.
    fn answered(&mut self, now: Moment, place: Place, answer: &AnswerKind<'_>, live: &mut Live) -> Option<Early> {
        let Place { message, attempt, part } = place;
        let detail = live.detail.as_deref_mut()?;
        // Without a second attempt there is no second copy.
        let copies = (detail.attempts.len() > 1).then(|| detail.copies());
        let done = detail.done;
        let another = match (detail.part(attempt, part).and_then(|p| p.id.as_ref()), answer) {
            (Some(expected), AnswerKind::Submitted(Some(id))) if expected != id => Some(expected.clone()),
            _ => None,
        };
        detail.answered(attempt, part, now.wall, answer);
        let done = !done && detail.done;
        let more = copies.is_some_and(|before| detail.copies() > before.max(1));
        let to = detail.tail();
        let state = detail.attempt(attempt)?;
        let (channel, began, since) = (state.channel, state.at, self.correlation.since(state));
        if done && state.parts.iter().any(|p| p.early) {
            // The switch still waits for an answer that a receipt has made needless, and must not miss it.
            self.effects.push(Effect::Conclude(message));
        }
        if !state.open() {
            self.correlation.landed(state);
        }
        if more {
            self.effects.push(Effect::Duplicate(channel));
        }
        // A receipt may have proved before that the carrier has it.
        let doubted = state.parts.get(usize::from(part)).is_some_and(|p| matches!(p.state, PartState::Unanswered(_)));
        if let Some(expected) = another.filter(|expected| detail.part_of(channel, expected).is_none()) {
            self.correlation.unlearn(channel, &expected, message);
        }
        let own = match answer {
            AnswerKind::Submitted(id) => {
                self.correlation.resolved(channel, to, place);
                id.as_ref().and_then(|id| self.correlation.submitted(channel, id, place))
            }
            AnswerKind::Unanswered(Doubt::Unacked | Doubt::Acked) => {
                if doubted {
                    let since = since.unwrap_or_else(|| past(now, began));
                    self.correlation.doubt(channel, to, place, since, now.time);
                }
                None
            }
            AnswerKind::Unanswered(Doubt::Unsent) | AnswerKind::Refused(..) => {
                self.correlation.resolved(channel, to, place);
                None
            }
        };
        let claimable = self.correlation.claimable(channel, to);
        (own.is_some() || !claimable.is_empty()).then_some(Early { own, claimable })
    }

    /// Applies a receipt. Tells the switch if it has just shown that a carrier has the whole message.
    fn receipted(&mut self, now: Moment, place: Place, receipt: ReceiptState, code: Text<'_>, live: &mut Live) {
        let Place { message, attempt, part } = place;
        let (app, tier, group) = (live.app, live.tier, live.group);
        let Some(detail) = live.detail.as_deref_mut() else { return };
        // Without a second attempt there is no second copy.
        let copies = (detail.attempts.len() > 1).then(|| detail.copies());
        let done = detail.done;
        let first = detail.receipted(attempt, part, now.wall, receipt, code);
        let done = !done && detail.done;
        let more = copies.is_some_and(|before| detail.copies() > before.max(1));
        let to = detail.tail();
        let Some(state) = detail.attempt(attempt) else { return };
        let (channel, began) = (state.channel, state.at);
        if !state.open() {
            self.correlation.landed(state);
        }
        if first {
            let delay = Duration::from_millis(now.wall.0.saturating_sub(began.0));
            self.effects.push(Effect::Delay(channel, delay));
            let decided = state.decided();
            self.effects.extend(decided.map(|delivered| Effect::Decided(channel, delivered)));
            let (number, delivered) = (detail.number(), receipt == ReceiptState::Delivered);
            self.effects.push(Effect::Fate(Fate { channel, app, tier, group, number, delivered }));
        }
        if more {
            self.effects.push(Effect::Duplicate(channel));
        }
        // It may have come before the answer, or in its place.
        self.correlation.resolved(channel, to, place);
        if done {
            self.effects.push(Effect::Conclude(message));
        }
    }
}

fn detail_of<'a>(live: &'a mut Live, body: &Accepted<'_>) -> &'a mut Detail {
    live.detail.get_or_insert_with(|| Box::new(Detail::new(body.to, body.client_ref)))
}

/// The monotonic time of a wall time that has passed, as seen now; zero for what was before the process.
fn past(now: Moment, wall: Wall) -> Time {
    let ago = now.wall.0.saturating_sub(wall.0).saturating_mul(1_000);
    Time(now.time.0.saturating_sub(ago))
}
