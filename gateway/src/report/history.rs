//! A message's past as a row of records, the same ones the journal knows: what the store keeps of finished messages
//! and what [`super::story`] is told from. The text is left out: it ends with the message.

use super::end::outcome_record;
use super::state::{AttemptState, Concluded, Detail, Live, PartState, reason};
use super::story::Status;
use crate::config::plan::{ChannelId, Names};
use crate::journal::record::{
    Accepted, AnswerKind, Answered, Attempt, Because, OutcomeKind, Outline, Receipted, Record, Unreadable, kind,
};
use crate::switch::Why;

/// Octets before each record: its kind and length.
const HEAD: usize = 5;

/// Appends one record.
pub fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    framed(out, record.kind(), |out| record.write(out));
}

fn framed(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    body(out);
    let length = u32::try_from(out.len() - start - HEAD).unwrap_or(u32::MAX);
    out[start + 1..start + HEAD].copy_from_slice(&length.to_le_bytes());
}

/// Everything known of a message as records, the first one as the journal has it, but for the text.
pub fn copy(accepted: &Outline<'_>, detail: Option<&Detail>, names: &Names, out: &mut Vec<u8>) {
    framed(out, kind::ACCEPTED, |out| accepted.write_without_text(out));
    if let Some(detail) = detail {
        write_detail(detail, names, out);
    }
}

/// Reads the records back, in order.
pub fn read<'a>(mut octets: &'a [u8]) -> impl Iterator<Item = Result<Record<'a>, Unreadable>> {
    std::iter::from_fn(move || {
        let (kind, rest) = octets.split_first()?;
        let unreadable = Unreadable { kind: *kind, at: 0 };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            octets = &[];
            return Some(Err(unreadable));
        };
        let Some((body, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
            octets = &[];
            return Some(Err(unreadable));
        };
        octets = rest;
        Some(Record::read(*kind, body))
    })
}

/// Everything known of a message as records.
pub fn write(accepted: &Accepted<'_>, detail: Option<&Detail>, names: &Names, out: &mut Vec<u8>) {
    push(out, &Record::Accepted(Accepted { text: "", ..accepted.clone() }));
    if let Some(detail) = detail {
        write_detail(detail, names, out);
    }
}

fn write_detail(detail: &Detail, names: &Names, out: &mut Vec<u8>) {
    let name = |channel: ChannelId| names.channels.get(usize::from(channel.0)).map_or("", |n| n);
    for a in &detail.attempts {
        let (attempt, parts) = (a.attempt, u8::try_from(a.parts.len()).unwrap_or(u8::MAX));
        let (channel, only, because) = (name(a.channel), u64::MAX, because(&a.why, names));
        let begun = Attempt { at: a.at, attempt, channel, parts, only, because };
        framed(out, kind::ATTEMPT, |out| begun.write(out));
        for (part, p) in (0..parts).zip(&*a.parts) {
            let at = p.at;
            let answer = match &p.state {
                PartState::Open => continue,
                PartState::Unanswered(doubt) => AnswerKind::Unanswered(*doubt),
                PartState::Refused(verdict, code) => AnswerKind::Refused(*verdict, code),
                PartState::Submitted | PartState::Receipted(..) => AnswerKind::Submitted(p.id.clone()),
            };
            let answered = Answered { at: p.answered, attempt, part, answer };
            framed(out, kind::ANSWERED, |out| answered.write(out));
            if let PartState::Receipted(state, code) = &p.state {
                let receipted = Receipted { at, attempt, part, state: *state, code: code.into() };
                framed(out, kind::RECEIPTED, |out| receipted.write(out));
            }
        }
    }
    for (seq, outcome) in (1..).zip(&*detail.outcomes) {
        let outcome = outcome_record(outcome, names, seq);
        framed(out, kind::OUTCOME, |out| outcome.write(out));
    }
}

/// A reason as records have it.
pub fn because<'a>(why: &Why, names: &'a Names) -> Because<'a> {
    let Why { reason, other, cause, number } = *why;
    let other = other.and_then(|id| names.channels.get(usize::from(id.0))).map_or("", |name| name);
    Because { reason, cause, number, other }
}

/// A record's reason. `channel` finds the other one by its name.
pub fn why(because: &Because<'_>, channel: impl FnOnce(&str) -> Option<ChannelId>) -> Why {
    let Because { reason, cause, number, other } = *because;
    let other = Some(other).filter(|name| !name.is_empty()).and_then(channel);
    Why { reason, other, cause, number }
}

/// What a history's first record says, and the detail that its others add up to. `names` takes the channels' names. All
/// of its events count as told.
pub fn restore<'a>(octets: &'a [u8], names: &mut Names) -> Option<(Accepted<'a>, Detail)> {
    let mut records = read(octets).flatten();
    let Record::Accepted(accepted) = records.next()? else { return None };
    let mut detail = Detail::new(accepted.to, accepted.client_ref);
    for record in records {
        follow(&mut detail, &record, names);
    }
    (1..=detail.seq()).for_each(|seq| detail.told(seq));
    Some((accepted, detail))
}

/// Where a message stands by its history. `None` where that does not begin with a message.
pub fn standing(octets: &[u8]) -> Option<Status> {
    let mut records = read(octets).flatten();
    let Record::Accepted(_) = records.next()? else { return None };
    let last = records.filter_map(|record| if let Record::Outcome(o) = record { Some(o.outcome) } else { None }).last();
    Some(last.map_or(Status::Queued, status))
}

/// Where a message stands that is not forgotten.
pub fn standing_of(live: &Live) -> Status {
    let Some(detail) = live.detail.as_deref() else { return Status::Queued };
    let taken = |attempt: &AttemptState| {
        attempt.parts.iter().all(|p| matches!(p.state, PartState::Submitted | PartState::Receipted(..)))
    };
    match detail.outcomes.last() {
        Some(concluded) => status(concluded.kind),
        None if detail.attempts.last().is_some_and(taken) => Status::Submitted,
        None => Status::Queued,
    }
}

fn status(outcome: OutcomeKind) -> Status {
    match outcome {
        OutcomeKind::Delivered => Status::Delivered,
        OutcomeKind::Failed => Status::Failed,
        OutcomeKind::Expired => Status::Expired,
        OutcomeKind::Cancelled => Status::Cancelled,
    }
}

/// What a record of a message adds to its detail.
pub fn follow(detail: &mut Detail, record: &Record<'_>, names: &mut Names) {
    match record {
        Record::Attempt(a) => {
            detail.started(a.attempt, names.channel(a.channel), a.at, a.parts, a.only);
            detail.because(a.attempt, why(&a.because, |name| Some(names.channel(name))));
        }
        Record::Answered(a) => detail.answered(a.attempt, a.part, a.at, &a.answer),
        Record::Receipted(r) => drop(detail.receipted(r.attempt, r.part, r.at, r.state, r.code)),
        Record::Outcome(o) => {
            let taken = detail.take(Concluded {
                kind: o.outcome,
                reason: reason(o.reason),
                code: o.code.into(),
                evidence: o.evidence,
                channel: (!o.channel.is_empty()).then(|| names.channel(o.channel)),
                at: o.at,
            });
            taken.into_iter().for_each(|seq| detail.reached_disk(seq));
        }
        Record::Called(c) => detail.told(u32::from(c.event)),
        Record::Accepted(_)
        | Record::Orphan(_)
        | Record::Uplink(_)
        | Record::Mo(_)
        | Record::Joined(_)
        | Record::Unbound(_)
        | Record::Batch(_) => {}
    }
}
