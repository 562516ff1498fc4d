//! From the journal's records back to the state before the stop. Records of one message come in the order they were
//! written; reading one twice changes nothing. What was open when the process died is in doubt.

use std::collections::BTreeMap;

use carriers::{AttemptRef, Doubt, Receipt, Verdict};

use super::correlate::Place;
use super::state::{AttemptState, Concluded, Detail, Live, PartState, reason};
use super::{Ack, Effect, Ledger, Report, reopen};
use crate::clock::{Moment, Time};
use crate::config::plan::Names;
use crate::ids::MessageId;
use crate::journal::At;
use crate::journal::record::{Accepted, AnswerKind, Answered, Orphan, Outcome, Record};
use crate::switch::{self, End, Recovered};

/// Fills a [`Report`] from records.
pub struct Replay<'a> {
    report: &'a mut Report,
    names: &'a mut Names,
    now: Moment,
    /// What replay itself concluded: to be written once the journal is open.
    pub notes: Notes,
    highest_attempt: u64,
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
    /// For the switch, oldest first.
    pub waiting: Vec<Recovered>,
    /// Attempt references must be above this.
    pub highest_attempt: u64,
    /// Records whose message is unknown because its accepted record was damaged.
    pub strays: u64,
}

impl<'a> Replay<'a> {
    /// Starts with an empty report.
    pub fn new(report: &'a mut Report, names: &'a mut Names, now: Moment) -> Self {
        let notes = Notes::default();
        Replay { report, names, now, notes, highest_attempt: 0, strays: 0 }
    }

    /// Takes the next record.
    pub fn record(&mut self, id: MessageId, record: &Record<'_>, at: At) {
        match record {
            Record::Accepted(accepted) => self.accepted(id, accepted, at),
            Record::Uplink(_) => self.report.keep_uplink(id, record),
            Record::Orphan(orphan) => self.orphan(id, orphan),
            _ => self.progress(id, record),
        }
    }

    /// The id has ended: nothing of it is needed.
    pub fn ended(&mut self, id: MessageId) {
        self.report.uplinks.remove(&id.0);
        self.report.correlation.drop_orphan(id);
        self.report.forget(id);
    }

    fn accepted(&mut self, id: MessageId, accepted: &Accepted<'_>, at: At) {
        let live = Live {
            at,
            app: self.names.app(accepted.app),
            group: self.names.group(accepted.group),
            tier: self.names.tier(accepted.tier),
            callback: accepted.callback,
            reserve: accepted.reserve,
            expires: self.now.deadline(accepted.expires),
            accepted: past(self.now, accepted.at.0),
            detail: None,
        };
        self.report.live.entry(id.0).or_insert(live);
    }

    fn progress(&mut self, id: MessageId, record: &Record<'_>) {
        let Some(live) = self.report.live.get_mut(&id.0) else {
            self.strays += 1;
            return;
        };
        let detail = live.detail.get_or_insert_default();
        match record {
            Record::Attempt(a) => {
                self.highest_attempt = self.highest_attempt.max(a.attempt.0);
                detail.done = false;
                match detail.attempt(a.attempt) {
                    Some(again) => reopen(again, a.only),
                    None => {
                        let channel = self.names.channel(a.channel);
                        detail.attempts.push(AttemptState::new(a.attempt, channel, a.at, a.parts));
                    }
                }
                self.report.correlation.started(a.attempt, id);
            }
            Record::Answered(Answered { at, attempt, part, answer }) => {
                let then = Moment { wall: *at, ..self.now };
                self.report.apply_answer(then, id, *attempt, *part, answer, &mut self.notes);
            }
            Record::Receipted(r) => {
                let then = Moment { wall: r.at, ..self.now };
                let place = Place { message: id, attempt: r.attempt, part: r.part };
                self.report.apply_receipt(then, place, r.state, r.code);
            }
            Record::Outcome(o) => outcome(detail, o, self.names),
            Record::Called(_) => detail.untold = detail.untold.saturating_sub(1),
            Record::Accepted(_) | Record::Orphan(_) | Record::Uplink(_) => {}
        }
    }

    fn orphan(&mut self, id: MessageId, orphan: &Orphan<'_>) {
        let channel = self.names.channel(orphan.channel);
        let receipt = Receipt {
            ids: orphan.ids.clone(),
            attempt: None,
            to: orphan.to.to_owned(),
            state: orphan.state,
            code: orphan.code.to_owned(),
        };
        self.report.correlation.keep(id, channel, &receipt, past(self.now, orphan.at.0));
    }

    /// All records are read: what must go on? `body` gives a message's accepted record.
    pub fn finish(self, mut body: impl FnMut(MessageId, At) -> Option<Vec<u8>>) -> (Found, Notes) {
        let Replay { report, now, mut notes, highest_attempt, strays, .. } = self;
        let uplinks = &report.uplinks;
        report.effects.retain(|e| matches!(e, Effect::StoreUplink(id, _) if uplinks.contains(&id.0)));
        let ids: BTreeMap<u64, bool> = report.live.iter().map(|(id, live)| (*id, live.detail.is_some())).collect();
        let mut waiting = Vec::new();
        for (id, begun) in ids {
            let id = MessageId(id);
            if begun {
                resume(report, now, id, &mut body, &mut notes);
            }
            let Some(live) = report.live.get(&id.0) else { continue };
            if live.detail.as_deref().is_none_or(|d| !d.done) {
                waiting.push(recovered(id, live));
            }
        }
        (Found { waiting, highest_attempt, strays }, notes)
    }
}

/// A message whose attempts or outcome were found.
fn resume(
    report: &mut Report,
    now: Moment,
    id: MessageId,
    body: &mut impl FnMut(MessageId, At) -> Option<Vec<u8>>,
    notes: &mut Notes,
) {
    let Some(live) = report.live.get_mut(&id.0) else { return };
    let (app, callback) = (live.app, live.callback);
    let Some(detail) = live.detail.as_deref_mut() else { return };
    let octets = body(id, live.at).unwrap_or_default();
    if let Ok(Record::Accepted(accepted)) = Record::read(crate::journal::record::kind::ACCEPTED, &octets) {
        detail.to = accepted.to.into();
        detail.client_ref = accepted.client_ref.map(Into::into);
    }
    if detail.outcome.is_some() {
        if !callback {
            detail.untold = 0;
        }
        let told = detail.seq - detail.untold.min(detail.seq);
        report.effects.extend((told + 1..=detail.seq).map(|seq| Effect::Tell(id, app, seq)));
        return report.over(id);
    }
    for (attempt, part) in open_parts(detail) {
        let answer = AnswerKind::Unanswered(Doubt::Acked);
        notes.note(id, &Record::Answered(Answered { at: now.wall, attempt, part, answer: answer.clone() }));
        report.apply_answer(now, id, attempt, part, &answer, notes);
    }
    let Some(detail) = report.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
    let rejected =
        |a: &AttemptState| a.parts.iter().any(|p| matches!(p.state, PartState::Refused(Verdict::Rejected, _)));
    if detail.attempts.last().is_some_and(rejected) {
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

fn recovered(id: MessageId, live: &Live) -> Recovered {
    let message = switch::Message {
        id,
        app: live.app,
        group: live.group,
        tier: live.tier,
        parts: live.reserve,
        expires: live.expires,
        accepted: live.accepted,
    };
    let attempts = live.detail.as_deref().map_or(&[][..], |d| &d.attempts);
    let refusals = |a: &AttemptState, of: &[Verdict]| {
        a.parts.iter().any(|p| matches!(&p.state, PartState::Refused(verdict, _) if of.contains(verdict)))
    };
    let retried = attempts.iter().filter(|a| refusals(a, &[Verdict::Retry])).count();
    let barred = attempts.iter().filter(|a| refusals(a, &[Verdict::Reroute, Verdict::LinkFault]));
    Recovered {
        message,
        refused: u8::try_from(retried).unwrap_or(u8::MAX),
        excluded: barred.map(|a| a.channel).collect(),
        in_doubt: attempts.last().filter(|a| a.in_doubt()).map(|a| a.channel),
    }
}

fn outcome(detail: &mut Detail, record: &Outcome<'_>, names: &mut Names) {
    detail.seq += 1;
    detail.untold += 1;
    detail.done = true;
    detail.outcome = Some(Concluded {
        kind: record.outcome,
        reason: reason(record.reason),
        code: record.code.into(),
        evidence: record.evidence,
        channel: (!record.channel.is_empty()).then(|| names.channel(record.channel)),
        at: record.at,
    });
}

/// The monotonic time of a wall time that has passed, as seen now.
fn past(now: Moment, wall_ms: u64) -> Time {
    let ago = now.wall.0.saturating_sub(wall_ms).saturating_mul(1_000);
    Time(now.time.0.saturating_sub(ago))
}
