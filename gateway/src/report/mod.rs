//! What became of each message: answers and receipts are matched with attempts, outcomes concluded, written down and
//! only then told. A pure machine: it writes through [`Ledger`], and what else is to be done leaves as [`Effect`]s.
//!
//! Memory runs ahead of the disk, but nothing leaves before its record is durable: a carrier is answered and an app is
//! called when the journal hands the [`Ack`] back.

pub mod correlate;
pub mod history;
pub mod recover;
pub mod state;
pub mod story;
pub mod tell;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Doubt, Inbound, Receipt, ReceiptState, Ticket, Verdict};
use link::LinkId;

use crate::clock::{Moment, Time};
use crate::config::plan::{AppId, ChannelId, Names, TierId};
use crate::ids::{IdHasher, MessageId};
use crate::journal::At;
use crate::journal::record::{
    Accepted, AnswerKind, Answered, Attempt, Called, Orphan, Outcome, OutcomeKind, Receipted, Record, Uplink,
};
use crate::switch::{End, Message};

use correlate::{Correlation, Place};
use state::{AttemptState, Concluded, Detail, Live, PartState};

/// The longest wait for receipts after a message's validity.
const RECEIPT_WAIT_CAP: Duration = Duration::from_secs(72 * 3600);

/// Who waits for a record to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The carrier, for its receipt or MO.
    Inbound(LinkId, u64, Inbound),
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
    /// Tell the app; its record is durable.
    Tell(MessageId, AppId, u32),
    /// The message is over and told: hand it to the store, then call [`Report::persisted`].
    Store(MessageId),
    /// An outcome was concluded, for the counters.
    Concluded {
        /// Its tier.
        tier: TierId,
        /// The deciding channel.
        channel: Option<ChannelId>,
        /// Which.
        outcome: OutcomeKind,
        /// Why.
        reason: &'static str,
    },
    /// A receipt came for a part submitted this long ago, for the histogram.
    Delay(ChannelId, Duration),
    /// A receipt found no part; the store may know its message.
    Unmatched(ChannelId, Vec<CarrierId>),
    /// A message from a handset is durable: hand it to the store, then call [`Report::persisted`].
    StoreUplink(MessageId, Vec<u8>),
}

/// The state of everything accepted and not yet forgotten.
pub struct Report {
    live: HashMap<u64, Live, BuildHasherDefault<IdHasher>>,
    correlation: Correlation,
    /// When the wait for receipts ends.
    waits: BTreeSet<(Time, u64)>,
    names: Names,
    /// By channel: whether its carrier sends receipts.
    receipts: Vec<bool>,
    receipt_wait: Duration,
    /// Messages from handsets that the store does not have yet.
    uplinks: HashSet<u64>,
    effects: Vec<Effect>,
}

impl Report {
    /// An empty report.
    pub fn new(receipt_wait: Duration) -> Self {
        Report {
            live: HashMap::default(),
            correlation: Correlation::default(),
            waits: BTreeSet::new(),
            names: Names::default(),
            receipts: Vec::new(),
            receipt_wait: receipt_wait.min(RECEIPT_WAIT_CAP),
            uplinks: HashSet::new(),
            effects: Vec::new(),
        }
    }

    /// Takes the names and the channels' receipt setting of a new plan.
    pub fn plan(&mut self, names: &Names, receipts: impl Iterator<Item = (ChannelId, bool)>) {
        self.names = names.clone();
        self.receipts.resize(self.names.channels.len(), true);
        for (channel, sends) in receipts {
            self.receipts[usize::from(channel.0)] = sends;
        }
    }

    /// Number of messages not yet forgotten.
    pub fn len(&self) -> usize {
        self.live.len()
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

    /// Takes what is to be done.
    pub fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// When to call [`Report::tick`] next.
    pub fn deadline(&self) -> Option<Time> {
        self.waits.first().map(|(at, _)| *at)
    }

    /// A message is durable.
    pub fn accepted(&mut self, message: &Message, at: At, callback: bool) {
        let Message { id, app, group, tier, parts, expires, accepted } = *message;
        let live = Live { at, app, group, tier, callback, reserve: parts, expires, accepted, detail: None };
        self.live.insert(id.0, live);
    }

    /// An attempt is about to be written and sent: `body` is the message's accepted record.
    pub fn started(
        &mut self,
        now: Moment,
        id: MessageId,
        attempt: &Attempt<'_>,
        channel: ChannelId,
        body: &Accepted<'_>,
        ledger: &mut impl Ledger,
    ) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        ledger.note(id, &Record::Attempt(attempt.clone()));
        let detail = detail_of(live, body);
        match detail.attempt(attempt.attempt) {
            Some(again) => reopen(again, attempt.only),
            None => detail.attempts.push(AttemptState::new(attempt.attempt, channel, now.wall, attempt.parts)),
        }
        self.correlation.started(attempt.attempt, id);
    }

    /// A part ended on the wire.
    pub fn answered(&mut self, now: Moment, ticket: Ticket, answer: AnswerKind<'_>, ledger: &mut impl Ledger) {
        let (attempt, part) = (ticket.attempt(), ticket.part());
        let Some(id) = self.correlation.message(attempt) else { return };
        ledger.note(id, &Record::Answered(Answered { at: now.wall, attempt, part, answer: answer.clone() }));
        self.apply_answer(now, id, attempt, part, &answer, ledger);
        self.conclude(now, id, ledger);
    }

    fn apply_answer(
        &mut self,
        now: Moment,
        id: MessageId,
        attempt: AttemptRef,
        part: u8,
        answer: &AnswerKind<'_>,
        ledger: &mut impl Ledger,
    ) {
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        let to = detail.to.clone();
        let Some(state) = detail.attempt(attempt) else { return };
        let channel = state.channel;
        let Some(slot) = state.parts.get_mut(usize::from(part)) else { return };
        if let AnswerKind::Submitted(carrier_id) = answer {
            slot.id = carrier_id.clone();
        }
        slot.answered = now.wall;
        if !matches!(slot.state, PartState::Receipted(..)) {
            slot.at = now.wall;
            slot.state = match answer {
                AnswerKind::Submitted(_) => PartState::Submitted,
                AnswerKind::Refused(verdict, code) => PartState::Refused(*verdict, (*code).into()),
                AnswerKind::Unanswered(doubt) => PartState::Unanswered(*doubt),
            };
        }
        let place = Place { message: id, attempt, part };
        if state.submitted() {
            detail.done = true;
        }
        match answer {
            AnswerKind::Submitted(Some(carrier_id)) => {
                if let Some(waiting) = self.correlation.submitted(channel, carrier_id, place) {
                    let record = Receipted { at: now.wall, attempt, part, state: waiting.state, code: &waiting.code };
                    ledger.note(id, &Record::Receipted(record));
                    ledger.end(waiting.id);
                    self.apply_receipt(now, place, waiting.state, &waiting.code);
                }
            }
            AnswerKind::Unanswered(Doubt::Unacked | Doubt::Acked) => {
                self.correlation.doubt(channel, &to, place, now.time);
            }
            _ => {}
        }
    }

    /// A receipt came; the carrier is answered when the ack comes back.
    pub fn receipt(
        &mut self,
        now: Moment,
        channel: ChannelId,
        receipt: &Receipt,
        orphan: MessageId,
        ack: Ack,
        ledger: &mut impl Ledger,
    ) {
        let (state, code) = (receipt.state, receipt.code.as_str());
        let Some(place) = self.correlation.find(channel, receipt, now.time) else {
            return self.orphan(now, channel, receipt, orphan, ack, ledger);
        };
        let Place { message, attempt, part } = place;
        let record = Receipted { at: now.wall, attempt, part, state, code };
        ledger.commit(message, &Record::Receipted(record), ack);
        self.apply_receipt(now, place, state, code);
        self.conclude(now, message, ledger);
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
            ids: receipt.ids.clone(),
            to: &receipt.to,
            state: receipt.state,
            code: &receipt.code,
        };
        ledger.commit(id, &Record::Orphan(record), ack);
        self.effects.push(Effect::Unmatched(channel, receipt.ids.clone()));
        if let Some(oldest) = self.correlation.keep(id, channel, receipt, now.time) {
            ledger.end(oldest);
        }
    }

    fn apply_receipt(&mut self, now: Moment, place: Place, receipt: ReceiptState, code: &str) {
        let Some(detail) = self.live.get_mut(&place.message.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        let Some(state) = detail.attempt(place.attempt) else { return };
        let (channel, sent) = (state.channel, state.at);
        let Some(slot) = state.parts.get_mut(usize::from(place.part)) else { return };
        // Any receipt proves that the carrier has the part; only a final one ends it, and delivered is never undone.
        let delivered = matches!(slot.state, PartState::Receipted(ReceiptState::Delivered, _));
        if receipt.is_final() && !delivered {
            slot.at = now.wall;
            slot.state = PartState::Receipted(receipt, code.into());
        } else if matches!(slot.state, PartState::Open | PartState::Unanswered(_)) {
            slot.state = PartState::Submitted;
        }
        let resolved = state.submitted() && !detail.done;
        detail.done |= resolved;
        if resolved {
            self.effects.push(Effect::Conclude(place.message));
        }
        let delay = Duration::from_millis(now.wall.0.saturating_sub(sent.0));
        self.effects.push(Effect::Delay(channel, delay));
    }

    /// A message from a handset; the carrier is answered when the ack comes back.
    pub fn uplink(
        &mut self,
        now: Moment,
        channel: ChannelId,
        mo: &carriers::Mo,
        id: MessageId,
        ack: Ack,
        ledger: &mut impl Ledger,
    ) {
        let name = self.channel_name(channel);
        let record = Uplink {
            at: now.wall,
            channel: &name,
            from: &mo.from,
            to: &mo.to,
            text: &mo.text,
            data: &mo.data,
            udh: mo.udh,
        };
        let record = Record::Uplink(record);
        ledger.commit(id, &record, ack);
        self.keep_uplink(id, &record);
    }

    fn keep_uplink(&mut self, id: MessageId, record: &Record<'_>) {
        let mut history = Vec::new();
        history::push(&mut history, record);
        self.uplinks.insert(id.0);
        self.effects.push(Effect::StoreUplink(id, history));
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
        let empty = Accepted::default();
        let detail = detail_of(live, body.unwrap_or(&empty));
        detail.done = true;
        detail.end = Some(end);
        self.conclude(now, id, ledger);
    }

    /// Whether [`Report::exhausted`] needs the body (no attempt has brought it yet).
    pub fn needs_body(&self, id: MessageId) -> bool {
        self.live.get(&id.0).is_some_and(|l| l.detail.is_none())
    }

    /// Ends waits for receipts and orphans that are over.
    pub fn tick(&mut self, now: Moment, ledger: &mut impl Ledger) {
        while let Some((at, id)) = self.waits.first().copied() {
            if at > now.time {
                break;
            }
            self.waits.pop_first();
            let Some(detail) = self.live.get(&id).and_then(|l| l.detail.as_deref()) else { continue };
            if detail.outcome.is_none() {
                let concluded = detail.give_up(now.wall);
                self.outcome(MessageId(id), concluded, ledger);
            }
        }
        for orphan in self.correlation.expired_orphans(now.time) {
            ledger.end(orphan);
        }
    }

    fn conclude(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        let Some(live) = self.live.get(&id.0) else { return };
        let Some(detail) = live.detail.as_deref() else { return };
        let receipts = &self.receipts;
        let sends = |channel: ChannelId| receipts.get(usize::from(channel.0)).copied().unwrap_or(true);
        match detail.conclude(now.wall, sends) {
            Some(concluded) if detail.outcome.as_ref().is_none_or(|earlier| concluded.corrects(earlier)) => {
                self.outcome(id, concluded, ledger);
            }
            None if detail.done && detail.outcome.is_none() && detail.wait.is_none() => self.wait(now, id),
            _ => {}
        }
    }

    /// Starts the wait for receipts.
    fn wait(&mut self, now: Moment, id: MessageId) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let wait = live.expires.max(now.time).after(self.receipt_wait);
        if let Some(detail) = live.detail.as_deref_mut() {
            detail.wait = Some(wait);
            self.waits.insert((wait, id.0));
        }
    }

    fn outcome(&mut self, id: MessageId, concluded: Concluded, ledger: &mut impl Ledger) {
        let names = &self.names;
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let tier = live.tier;
        let Some(detail) = live.detail.as_deref_mut() else { return };
        let correction = detail.outcome.is_some();
        detail.seq += 1;
        detail.untold += 1;
        let ack = Ack::Outcome(id, detail.seq);
        if !detail.done {
            self.effects.push(Effect::Conclude(id));
            detail.done = true;
        }
        let channel = concluded.channel.and_then(|c| names.channels.get(usize::from(c.0)));
        ledger.commit(id, &Record::Outcome(outcome_record(&concluded, channel.map_or("", |n| n), correction)), ack);
        let (channel, outcome, reason) = (concluded.channel, concluded.kind, concluded.reason);
        detail.outcome = Some(concluded);
        if let Some(wait) = detail.wait.take() {
            self.waits.remove(&(wait, id.0));
        }
        self.effects.push(Effect::Concluded { tier, channel, outcome, reason });
    }

    /// The journal's word on an outcome record: durable, or to be written again.
    pub fn committed(&mut self, id: MessageId, seq: u32, durable: bool, ledger: &mut impl Ledger) {
        let names = &self.names;
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let (app, callback) = (live.app, live.callback);
        let Some(detail) = live.detail.as_deref_mut() else { return };
        let Some(concluded) = detail.outcome.as_ref() else { return };
        if !durable {
            let channel = concluded.channel.and_then(|c| names.channels.get(usize::from(c.0)));
            let record = outcome_record(concluded, channel.map_or("", |n| n), seq > 1);
            return ledger.commit(id, &Record::Outcome(record), Ack::Outcome(id, seq));
        }
        if callback {
            self.effects.push(Effect::Tell(id, app, seq));
        } else {
            detail.untold -= 1;
            self.over(id);
        }
    }

    /// The endpoint took an event, or never will.
    pub fn told(&mut self, now: Moment, id: MessageId, delivered: bool, ledger: &mut impl Ledger) {
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        ledger.note(id, &Record::Called(Called { at: now.wall, delivered }));
        detail.untold = detail.untold.saturating_sub(1);
        self.over(id);
    }

    /// Hands a message that is concluded and told to the store, once.
    fn over(&mut self, id: MessageId) {
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        if detail.outcome.is_some() && detail.untold == 0 {
            detail.stored = true;
            self.effects.push(Effect::Store(id));
        }
    }

    /// The store has it on disk: forget it here and in the journal.
    pub fn persisted(&mut self, id: MessageId, ledger: &mut impl Ledger) {
        if self.uplinks.remove(&id.0) {
            return ledger.end(id);
        }
        let over = |d: &Detail| d.stored && d.untold == 0;
        if self.live.get(&id.0).and_then(|l| l.detail.as_deref()).is_some_and(over) {
            self.forget(id);
            ledger.end(id);
        }
    }

    fn forget(&mut self, id: MessageId) {
        let Some(detail) = self.live.remove(&id.0).and_then(|l| l.detail) else { return };
        if let Some(wait) = detail.wait {
            self.waits.remove(&(wait, id.0));
        }
        for attempt in &detail.attempts {
            let ids = attempt.parts.iter().filter_map(|p| p.id.as_ref());
            self.correlation.forget(attempt.attempt, attempt.channel, ids, &detail.to);
        }
    }

    /// What the store keeps of a message: its history and the carrier ids that late receipts may bring.
    pub fn past(&self, id: MessageId, accepted: &Accepted<'_>) -> Option<(Vec<u8>, Vec<(ChannelId, CarrierId)>)> {
        let live = self.live.get(&id.0)?;
        let mut history = Vec::with_capacity(256);
        history::write(accepted, live, &self.names, &mut history);
        let attempts = live.detail.as_deref().map_or(&[][..], |d| &d.attempts);
        let ids = attempts.iter().flat_map(|a| a.parts.iter().filter_map(|p| Some((a.channel, p.id.clone()?))));
        Some((history, ids.collect()))
    }

    fn channel_name(&self, channel: ChannelId) -> std::sync::Arc<str> {
        self.names.channels.get(usize::from(channel.0)).cloned().unwrap_or_else(|| "".into())
    }
}

fn outcome_record<'a>(concluded: &'a Concluded, channel: &'a str, correction: bool) -> Outcome<'a> {
    Outcome {
        at: concluded.at,
        outcome: concluded.kind,
        reason: concluded.reason,
        code: &concluded.code,
        evidence: concluded.evidence,
        channel,
        correction,
    }
}

fn detail_of<'a>(live: &'a mut Live, body: &Accepted<'_>) -> &'a mut Detail {
    live.detail.get_or_insert_with(|| {
        Box::new(Detail { to: body.to.into(), client_ref: body.client_ref.map(Into::into), ..Detail::default() })
    })
}

/// Parts sent again in the same attempt are open again.
fn reopen(attempt: &mut AttemptState, only: u64) {
    for (i, part) in attempt.parts.iter_mut().enumerate() {
        let retried = matches!(part.state, PartState::Refused(Verdict::Throttled, _) | PartState::Unanswered(_));
        if only >> i & 1 == 1 && retried {
            part.state = PartState::Open;
        }
    }
}
