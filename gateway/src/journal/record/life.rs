//! The octets of what happens to every message on its way: these records are written by themselves, too, for histories
//! are made of them.

use carriers::CarrierId;

use super::fields::{put_behind, put_str, put_u64s, short, short_text};
use super::{AnswerKind, Answered, Attempt, Because, Outcome, Receipted};

impl Attempt<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0, self.only]);
        put_behind(out, [self.parts], short(self.channel));
        let Because { reason, cause, number, other } = self.because;
        let [a, b, c, d] = number.to_le_bytes();
        put_behind(out, [reason as u8, cause.map_or(0, |cause| cause as u8), a, b, c, d], short(other));
    }
}

impl Answered<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0]);
        match &self.answer {
            AnswerKind::Submitted(id) => {
                put_behind(out, [self.part, 0], id.as_ref().map_or(&[], CarrierId::octets));
            }
            AnswerKind::Refused(verdict, code) => put_behind(out, [self.part, 1, *verdict as u8], short(code)),
            AnswerKind::Unanswered(doubt) => out.extend_from_slice(&[self.part, 2, *doubt as u8]),
        }
    }
}

impl Receipted<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0, self.attempt.0]);
        put_behind(out, [self.part, self.state as u8], short_text(self.code));
    }
}

impl Outcome<'_> {
    /// Appends its octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u64s(out, [self.at.0]);
        put_behind(out, [self.outcome as u8, self.evidence as u8, u8::from(self.correction)], short(self.reason));
        put_behind(out, [], short_text(self.code));
        put_str(out, self.channel);
    }
}
