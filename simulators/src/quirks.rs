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
    /// SGIP: answers to a login lack their reserve, those to Unbind have a body.
    pub odd_lengths: bool,
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
