//! The octets of what happens to every message on its way: these records are written by themselves, too, for histories
//! are made of them.

use carriers::CarrierId;

use super::{AnswerKind, Answered, Attempt, Because, Outcome, Receipted, put_octets, put_str, put_text, put_u64};

impl Attempt<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0, self.only]);
        out.push(self.parts);
        put_str(out, self.channel);
        let Because { reason, cause, number, other } = self.because;
        let [a, b, c, d] = number.to_le_bytes();
        out.extend_from_slice(&[reason as u8, cause.map_or(0, |cause| cause as u8), a, b, c, d]);
        put_str(out, other);
    }
}

impl Answered<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0]);
        match &self.answer {
            AnswerKind::Submitted(id) => {
                out.extend_from_slice(&[self.part, 0]);
                put_octets(out, id.as_ref().map_or(&[], CarrierId::octets));
            }
            AnswerKind::Refused(verdict, code) => {
                out.extend_from_slice(&[self.part, 1, *verdict as u8]);
                put_str(out, code);
            }
            AnswerKind::Unanswered(doubt) => out.extend_from_slice(&[self.part, 2, *doubt as u8]),
        }
    }
}

impl Receipted<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0]);
        out.extend_from_slice(&[self.part, self.state as u8]);
        put_text(out, self.code);
    }
}

impl Outcome<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64(out, self.at.0);
        out.extend_from_slice(&[self.outcome as u8, self.evidence as u8, u8::from(self.correction)]);
        put_str(out, self.reason);
        put_text(out, self.code);
        put_str(out, self.channel);
    }
}

fn put_u64s<const N: usize>(out: &mut Vec<u8>, values: [u64; N]) {
    out.extend_from_slice(values.map(u64::to_le_bytes).as_flattened());
}
