//! What real gateways do otherwise than the book says, each to be switched on by itself (`[carrier.quirks]`).
//! All off is the book. Which protocols a quirk is known from stands beside it; others pass it over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::latency::Span;

/// See the module's head.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Which connection receipts and messages from handsets take; absent: `callback` where the carrier has one, else `any`.
    pub deliver_over: Option<Over>,
    /// No part of a long message is answered before all are there; then the last is answered first.
    pub answer_when_whole: bool,
    /// Our own sequence numbers begin again at 1 after this many.
    pub sequence_restart: Option<u32>,
    /// Asks the other side for a sign of life this often, and ends the connection after three in vain.
    pub active_test_every: Option<Span>,
    /// CMPP, SMGP: what an active test is answered with.
    pub active_test: ActiveTest,
    /// The connection ends after the other side's silence of this length.
    pub close_idle: Option<Span>,
    /// CMPP, SMGP: the digest in the answer to a login.
    pub digest: Digest,
    /// CMPP: takes clients of the other version and talks to them in the account's.
    pub any_version: bool,
    /// CMPP 3.0: reports with the number field of 2.0, 60 octets instead of 71.
    pub narrow_report: bool,
    /// CMPP: reports have the octets of the message's id in the opposite order.
    pub swapped_id: bool,
    /// SMGP: how a report's text is written.
    pub report_text: ReportText,
    /// Messages from handsets with a header say so with 0x40 instead of 1.
    pub mo_udhi_64: bool,
    /// Messages from handsets that are not ASCII: UCS-2 or GBK.
    pub mo_text: MoText,
    /// How a phone number is written in receipts and messages from handsets.
    pub numbers: Numbers,
    /// What a receipt says instead of `UNDELIV`, `EXPIRED`, `REJECTD` or `DELIVRD`, up to seven characters.
    pub stats: BTreeMap<String, String>,
    /// SGIP, SMGP: the error code in receipts of failures.
    pub error_code: Option<u8>,
    /// What a submit beyond the rate is answered with, instead of the protocol's own code.
    pub throttle_status: Option<u32>,
    /// CMPP, SGIP, SMGP: what a submit is answered with that came before under the same number.
    pub repeats: Repeats,
    /// A text to a number within this time after the same one counts as such a repetition, whatever its number is.
    pub repeat_window: Option<Span>,
    /// CMPP, SGIP, SMGP: takes submits to several numbers; each has an id of its own, the answer the first.
    pub group_send: bool,
    /// CMPP, SMGP: how reports write when a message came and ended.
    pub report_times: ReportTimes,
    /// CMPP, SMGP: a report is called by the id of the message it is about.
    pub same_id: bool,
    /// CMPP 3.0, SGIP, SMGP: the LinkID that messages from handsets come with.
    pub mo_link_id: Option<String>,
    /// SMGP: reports write a message's id as far as its first NUL.
    pub cut_id: bool,
    /// SMGP: our own Exit and Active_Test have the number 0.
    pub zero_numbers: bool,
    /// CMPP, SGIP, SMGP: numbers in reports and messages from handsets are filled up with spaces to 21 octets.
    pub spaces: bool,
    /// After the answer to a goodbye comes one of our own.
    pub bye_back: bool,
    /// A login that is refused is not answered: the connection ends.
    pub silent_refusal: bool,
    /// SGIP: answers are numbered with the time they are written at.
    pub own_answer_time: bool,
    /// SGIP: after each report that was taken comes a UserRpt of its handset.
    pub user_report: bool,
    /// SGIP: with each report comes a Trace of its submit, which is not ours to ask.
    pub trace: bool,
    /// SGIP: answers to a login lack their reserve, those to Unbind have a body.
    pub odd_lengths: bool,
}

/// What becomes of a submit that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// It is answered as the first was, and nothing else happens.
    #[default]
    Answer,
    /// Nothing at all (SGIP by the book).
    Drop,
    /// It is refused: a number used twice (CMPP 3, SGIP 9, SMGP 12); so is another text under the same number.
    Refuse,
    /// It is one more submit.
    Count,
}

/// How reports write times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportTimes {
    /// `YYMMDDhhmm`.
    #[default]
    Minutes,
    /// Nothing.
    Empty,
    /// Ten zeros.
    Zeros,
    /// What the field holds of `YYYYMMDDhhmmss`.
    Cut,
}

/// Which connection a delivery takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Any that can take it, in turn.
    Any,
    /// A receipt the one its submit came over, while it is there.
    Same,
    /// A receipt never the one its submit came over; it waits for another.
    Other,
    /// One that we open to the carrier's `callback` address.
    Callback,
}

/// What an active test is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActiveTest {
    /// The answer.
    #[default]
    Answer,
    /// Another test with the same number.
    Echo,
    /// The answer without its body (CMPP).
    Short,
}

/// The digest in the answer to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// By the book.
    #[default]
    Right,
    /// Over a wrong secret.
    Wrong,
    /// Zeros.
    Zeros,
    /// CMPP 2.0: over a status as wide as in 3.0.
    Wide,
}

/// How the text of SMGP's report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportText {
    /// `submit date:`, `done date:`.
    #[default]
    Spaced,
    /// `submit_date:`, `done_date:`.
    Underscored,
    /// As spaced, and the length says 115 where 122 octets follow.
    Understated,
}

/// How text from handsets is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoText {
    /// UCS-2.
    #[default]
    Ucs2,
    /// GBK where it can be.
    Gbk,
}

/// How phone numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// As the submit or the scenario has them.
    #[default]
    AsTheyAre,
    /// With 86.
    #[serde(rename = "with_86")]
    With86,
    /// Without 86.
    #[serde(rename = "without_86")]
    Without86,
}

impl Numbers {
    /// Spells a number.
    pub fn spell(self, number: &str) -> Cow<'_, str> {
        let bare = number.strip_prefix("86").filter(|rest| rest.len() == 11).unwrap_or(number);
        match self {
            Numbers::AsTheyAre => Cow::Borrowed(number),
            Numbers::With86 if bare.len() == 11 => Cow::Owned(format!("86{bare}")),
            Numbers::With86 => Cow::Borrowed(number),
            Numbers::Without86 => Cow::Borrowed(bare),
        }
    }
}

impl ReportTimes {
    /// What of `YYYYMMDDhhmmss` goes into the field.
    pub fn of(self, digits: &[u8; 14]) -> [u8; 10] {
        let from = match self {
            ReportTimes::Minutes => 2,
            ReportTimes::Cut => 0,
            ReportTimes::Empty => return [0; 10],
            ReportTimes::Zeros => return *b"0000000000",
        };
        let mut written = [0; 10];
        written.iter_mut().zip(digits.iter().skip(from)).for_each(|(to, digit)| *to = *digit);
        written
    }
}

impl Quirks {
    /// How an outcome is written.
    pub fn stat(&self, word: &'static str) -> &str {
        self.stats.get(word).map_or(word, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_wanted() {
        for (numbers, with, without) in [
            (Numbers::AsTheyAre, "8613800138000", "13800138000"),
            (Numbers::With86, "8613800138000", "8613800138000"),
            (Numbers::Without86, "13800138000", "13800138000"),
        ] {
            assert_eq!(numbers.spell("8613800138000"), with);
            assert_eq!(numbers.spell("13800138000"), without);
            assert_eq!(numbers.spell("10690001"), "10690001");
        }
    }
}
