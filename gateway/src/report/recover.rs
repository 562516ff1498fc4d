//! From the journal's records back to the state before the stop. Records of one message come in the order they were
//! written; reading one twice changes nothing. What was open when the process died is in doubt.

use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Doubt, Receipt, Verdict};

use super::again::{message, recovered};
use super::correlate::{ORPHAN_LIFE, Place};
use super::state::{AttemptState, Detail, Live, PartState};
use super::{Ack, Effect, Ledger, Report, history, past, uplink};
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{ChannelId, Names};
use crate::ids::MessageId;
use crate::journal::At;
use crate::journal::bodies::Spot;
use crate::journal::record::{Accepted, AnswerKind, Answered, Orphan, Record, kind};
use crate::switch::{End, Message, Recovered};

/// Carriers keep receipts while we are away: so long (or the whole wait, where that is shorter) they may still come
/// before a message ends without one.
const RETURN: Duration = Duration::from_secs(600);

/// And so long before a message goes on to another channel for want of one.
const FIRST_RECEIPTS: Duration = Duration::from_secs(60);

/// Ends of validity kept beside those of messages that live, before they are looked through.
const SPARE: usize = 65_536;

/// Fills a [`Report`] from records.
pub struct Replay<'a> {
    report: &'a mut Report,
    names: &'a mut Names,
    now: Moment,
    /// What replay itself concluded: to be written once the journal is open.
    pub notes: Notes,
    highest_attempt: u64,
    /// End of validity, in the order of the records and perhaps of messages that have ended; needed no longer once the
    /// switch knows it. A row, since there may be millions.
    expires: Vec<(MessageId, Wall)>,
    uplinks: uplink::Found,
    /// Attempts seen before their message's accepted record was (it was damaged).
    strays: u64,
}

/// Notes taken while the journal cannot be written yet.
#[derive(Default)]
pub struct Notes(Vec<(MessageId, Note)>);

/// One of [`Notes`].
pub enum Note {
    /// See [`Ledger::note`]: kind and octets.
    Note(u8, Vec<u8>),
    /// See [`Ledger::commit`].
    Commit(u8, Vec<u8>, Ack),
    /// See [`Ledger::end`].
    End,
}

impl IntoIterator for Notes {
    type Item = (MessageId, Note);
    type IntoIter = std::vec::IntoIter<(MessageId, Note)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn octets(record: &Record<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    record.write(&mut octets);
    octets
}

impl Ledger for Notes {
    fn note(&mut self, id: MessageId, record: &Record<'_>) {
        self.0.push((id, Note::Note(record.kind(), octets(record))));
    }
    fn commit(&mut self, id: MessageId, record: &Record<'_>, ack: Ack) {
        self.0.push((id, Note::Commit(record.kind(), octets(record), ack)));
    }
    fn end(&mut self, id: MessageId) {
        self.0.push((id, Note::End));
    }
}

/// What replay found for the other stages.
pub struct Found {
    /// For the switch: what was never tried, oldest first.
    pub fresh: Vec<Message>,
    /// For the switch: what was tried and has not ended, oldest first.
    pub begun: Vec<Recovered>,
    /// Attempt references must be above this.
    pub highest_attempt: u64,
    /// Records whose message is unknown because its accepted record was damaged.
    pub strays: u64,
}

impl<'a> Replay<'a> {
    /// Starts with an empty report that has its plan.
    pub fn new(report: &'a mut Report, names: &'a mut Names, now: Moment) -> Self {
        let (notes, expires, uplinks) = (Notes::default(), Vec::new(), uplink::Found::default());
        Replay { report, names, now, notes, highest_attempt: 0, expires, uplinks, strays: 0 }
    }

    /// Takes the next record.
    pub fn record(&mut self, id: MessageId, record: &Record<'_>, at: At) {
        match record {
            _ if self.uplinks.record(id, record) => {}
            Record::Accepted(accepted) => self.accepted(id, accepted, at),
            Record::Orphan(orphan) => self.orphan(id, orphan),
            _ => self.progress(id, record),
        }
    }

    /// The id has ended: nothing of it is needed.
    pub fn ended(&mut self, id: MessageId) {
        self.uplinks.ended(id);
        self.report.correlation.take(id);
        self.report.forget(id);
    }

    fn accepted(&mut self, id: MessageId, accepted: &Accepted<'_>, at: At) {
        let live = Live {
            body: Spot::default(),
            detail: None,
            since: self.now.time,
            at,
            app: self.names.app(accepted.app),
            group: self.names.group(accepted.group),
            tier: self.names.tier(accepted.tier),
            callback: accepted.callback,
            reserve: accepted.reserve,
        };
        if self.report.live(id).is_some() {
            return;
        }
        self.report.insert(id, live);
        if self.expires.len() > 2 * self.report.len() + SPARE {
            self.expires.retain(|(id, _)| self.report.live(*id).is_some());
        }
        self.expires.push((id, accepted.expires));
    }

    fn progress(&mut self, id: MessageId, record: &Record<'_>) {
        let Some(live) = self.report.live.get_mut(&id.0) else {
            self.strays += 1;
            return;
        };
        let detail = live.detail.get_or_insert_default();
        history::follow(detail, record, self.names);
        match record {
            Record::Attempt(a) => {
                self.highest_attempt = self.highest_attempt.max(a.attempt.0);
            }
            Record::Answered(Answered { attempt, answer: AnswerKind::Submitted(Some(carrier_id)), .. }) => {
                if let Some(state) = detail.attempt(*attempt) {
                    self.report.correlation.learn(state.channel, carrier_id, id);
                }
            }
            _ => {}
        }
    }

    fn orphan(&mut self, id: MessageId, orphan: &Orphan<'_>) {
        let age = Duration::from_millis(self.now.wall.0.saturating_sub(orphan.at.0));
        if age >= ORPHAN_LIFE {
            return self.notes.end(id);
        }
        let channel = self.names.channel(orphan.channel);
        let receipt = Receipt {
            ids: orphan.ids.iter().cloned().collect(),
            to: orphan.to.into(),
            state: orphan.state,
            code: orphan.code.into(),
        };
        let gone = self.report.correlation.keep(id, channel, &receipt, past(self.now, orphan.at));
        // What waits was looked for before; and nothing must be sent again that a receipt at hand speaks of.
        self.report.correlation.stranger(id);
        gone.into_iter().for_each(|gone| self.notes.end(gone));
    }

    /// All records are read: what must go on? `body` gives a message's accepted record.
    /// `early` gives the id that a part's receipt carries, where a protocol fixes it before the answer.
    pub fn finish(
        self,
        mut body: impl FnMut(MessageId, At) -> Option<Vec<u8>>,
        early: impl Fn(ChannelId, AttemptRef, u8) -> Option<CarrierId>,
    ) -> (Found, Notes) {
        let Replay { report, names, now, mut notes, highest_attempt, mut expires, uplinks, strays } = self;
        report.names = names.clone();
        report.effects.clear();
        report.uplinks.resume(now, uplinks, &mut notes);
        expires.sort_unstable();
        let (fresh, begun) = waiting(report, now, &expires);
        drop(expires);
        for (id, until) in begun.iter().copied() {
            let Some(live) = report.live.get(&id.0) else { continue };
            let octets = body(id, live.at).unwrap_or_default();
            resume(report, now, id, until, &octets, &mut notes);
            retell(report, id);
            expect(report, id, &early);
        }
        // Only now all doubts are known that a receipt may be claimed for.
        for orphan in report.correlation.waiting() {
            match report.reunite(now, orphan) {
                Some((waiting, found)) => report.unite(now, waiting, found, &mut notes),
                None => report.seek(orphan),
            }
        }
        for (id, _) in &begun {
            settle(report, now, *id, &mut notes);
        }
        // The switch knows nothing yet. What goes on to other channels is found below like everything that has not ended,
        // and must not be stopped by what came before that.
        report.effects.retain(|effect| !matches!(effect, Effect::Again(..) | Effect::Conclude(_)));
        let undecided = |(id, until): (MessageId, Wall)| {
            let live = report.live(id).filter(|live| !live.is_done())?;
            Some(recovered(now, id, live, now.deadline(until)))
        };
        let begun = begun.into_iter().filter_map(undecided).collect();
        (Found { fresh, begun, highest_attempt, strays }, notes)
    }
}

/// What was never tried, for the switch, and what was, with the end of its validity; each in the order of its id. The
/// table is read in its own order and what it gives is sorted: to look up each of a million messages there would take
/// several times as long.
fn waiting(report: &Report, now: Moment, expires: &[(MessageId, Wall)]) -> (Vec<Message>, Vec<(MessageId, Wall)>) {
    let (mut fresh, mut begun) = (Vec::with_capacity(report.len()), Vec::new());
    for (id, live) in report.live.iter() {
        if live.detail.is_some() {
            begun.push((MessageId(*id), Wall::default()));
        } else {
            fresh.push(message(now, MessageId(*id), live, Time::default()));
        }
    }
    fresh.sort_unstable_by_key(|message| message.id);
    begun.sort_unstable();
    let mut rest = expires;
    fresh.iter_mut().for_each(|message| message.expires = now.deadline(until(&mut rest, message.id)));
    let mut rest = expires;
    begun.iter_mut().for_each(|(id, expires)| *expires = until(&mut rest, *id));
    (fresh, begun)
}

/// The end of a message's validity; those of all before it are passed over.
fn until(rest: &mut &[(MessageId, Wall)], id: MessageId) -> Wall {
    while let Some(((of, until), after)) = rest.split_first() {
        if *of >= id {
            return if *of == id { *until } else { Wall::default() };
        }
        *rest = after;
    }
    Wall::default()
}

/// Completes what records say of a message: its number, and that what was open is in doubt now.
fn resume(report: &mut Report, now: Moment, id: MessageId, expires: Wall, accepted: &[u8], notes: &mut Notes) {
    let wait = u64::try_from(report.receipt_wait.as_millis()).unwrap_or(u64::MAX);
    let Some(detail) = report.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
    if let Ok(Record::Accepted(accepted)) = Record::read(kind::ACCEPTED, accepted) {
        detail.is_of(accepted.to, accepted.client_ref);
    }
    detail.expires = now.deadline(expires);
    detail.not_due_before = now.time.after(FIRST_RECEIPTS);
    detail.patience =
        now.deadline(Wall(expires.0.saturating_add(wait))).max(now.time.after(RETURN.min(report.receipt_wait)));
    for (attempt, part) in open_parts(detail) {
        let answer = AnswerKind::Unanswered(Doubt::Acked);
        notes.note(id, &Record::Answered(Answered { at: now.wall, attempt, part, answer: answer.clone() }));
        detail.answered(attempt, part, now.wall, &answer);
    }
    for a in &detail.attempts {
        for (part, p) in (0..=u8::MAX).zip(&a.parts) {
            if let PartState::Unanswered(Doubt::Unacked | Doubt::Acked) = p.state {
                let place = Place { message: id, attempt: a.attempt, part };
                report.correlation.doubt(a.channel, detail.tail(), place, past(now, a.at), past(now, p.at));
            }
        }
    }
}

/// Learns the ids that receipts of unanswered parts will carry.
fn expect(report: &mut Report, id: MessageId, early: &impl Fn(ChannelId, AttemptRef, u8) -> Option<CarrierId>) {
    let Some(detail) = report.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
    for attempt in &mut detail.attempts {
        for (part, state) in (0..=u8::MAX).zip(&mut attempt.parts).filter(|(_, state)| state.id.is_none()) {
            let Some(carrier_id) = early(attempt.channel, attempt.attempt, part) else { continue };
            report.correlation.learn(attempt.channel, &carrier_id, id);
            state.id = Some(carrier_id);
        }
    }
}

/// Has the outcomes told that were found and not told. Those that replay comes to itself are not on disk yet.
fn retell(report: &mut Report, id: MessageId) {
    let Some(live) = report.live.get_mut(&id.0) else { return };
    let Some(detail) = live.detail.as_deref_mut() else { return };
    for seq in detail.untold() {
        if live.callback {
            report.effects.push(Effect::Tell(id, live.app, seq));
        } else {
            detail.told(seq);
        }
    }
}

/// Goes on with a message whose attempts or outcome were found.
fn settle(report: &mut Report, now: Moment, id: MessageId, notes: &mut Notes) {
    let Some(live) = report.live.get_mut(&id.0) else { return };
    let Some(detail) = live.detail.as_deref_mut() else { return };
    let rejected =
        |a: &AttemptState| a.parts.iter().any(|p| matches!(p.state, PartState::Refused(Verdict::Rejected, _)));
    if !detail.done && detail.attempts.last().is_some_and(rejected) {
        detail.done = true;
        detail.end = Some(End::Rejected);
    }
    report.conclude(now, id, notes);
}

fn open_parts(detail: &Detail) -> Vec<(AttemptRef, u8)> {
    let open = |a: &AttemptState| -> Vec<_> {
        let parts = a.parts.iter().enumerate().filter(|(_, p)| p.state == PartState::Open);
        parts.map(|(i, _)| (a.attempt, i as u8)).collect()
    };
    detail.attempts.iter().flat_map(open).collect()
}
