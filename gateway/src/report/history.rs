//! A message's past as a row of records, the same ones the journal knows: what the store keeps of finished messages
//! and what [`super::story`] is told from. The text is left out: it ends with the message.

use super::state::{Detail, Live, PartState};
use crate::config::plan::Names;
use crate::journal::record::{Accepted, AnswerKind, Answered, Attempt, Outcome, Receipted, Record, Unreadable};

/// Octets before each record: its kind and length.
const HEAD: usize = 5;

/// Appends one record.
pub fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let start = out.len();
    out.extend_from_slice(&[record.kind(), 0, 0, 0, 0]);
    record.write(out);
    let length = u32::try_from(out.len() - start - HEAD).unwrap_or(u32::MAX);
    out[start + 1..start + HEAD].copy_from_slice(&length.to_le_bytes());
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
pub fn write(accepted: &Accepted<'_>, live: &Live, names: &Names, out: &mut Vec<u8>) {
    push(out, &Record::Accepted(Accepted { text: "", ..accepted.clone() }));
    if let Some(detail) = live.detail.as_deref() {
        write_detail(detail, names, out);
    }
}

fn write_detail(detail: &Detail, names: &Names, out: &mut Vec<u8>) {
    let name = |channel: crate::config::plan::ChannelId| names.channels.get(usize::from(channel.0)).map_or("", |n| n);
    for a in &detail.attempts {
        let (attempt, parts) = (a.attempt, u8::try_from(a.parts.len()).unwrap_or(u8::MAX));
        push(out, &Record::Attempt(Attempt { at: a.at, attempt, channel: name(a.channel), parts, only: u64::MAX }));
        for (part, p) in (0..parts).zip(&a.parts) {
            let at = p.at;
            let answer = match &p.state {
                PartState::Open => continue,
                PartState::Unanswered(doubt) => AnswerKind::Unanswered(*doubt),
                PartState::Refused(verdict, code) => AnswerKind::Refused(*verdict, code),
                PartState::Submitted | PartState::Receipted(..) => AnswerKind::Submitted(p.id.clone()),
            };
            push(out, &Record::Answered(Answered { at: p.answered, attempt, part, answer }));
            if let PartState::Receipted(state, code) = &p.state {
                push(out, &Record::Receipted(Receipted { at, attempt, part, state: *state, code }));
            }
        }
    }
    if let Some(o) = &detail.outcome {
        push(
            out,
            &Record::Outcome(Outcome {
                at: o.at,
                outcome: o.kind,
                reason: o.reason,
                code: &o.code,
                evidence: o.evidence,
                channel: o.channel.map_or("", name),
                correction: detail.seq > 1,
            }),
        );
    }
}
