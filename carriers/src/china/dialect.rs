//! In what real gateways differ from the book, as a table `[channel.<protocol>.dialect]`: every default is what most of
//! them take, every key is for one that is known to differ.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::number::Prefix;
use crate::session::{Refusal, Verdict};
use crate::table::Checks;

/// The table as written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "china_dialect")]
pub struct Table {
    /// How an account shorter than its field goes into the login digest.
    login_digest: Digest,
    /// Whether a login answer that does not prove knowledge of the secret ends the link; many gateways send none.
    check_server: bool,
    /// The first sequence number of a link: drawn, so that no restart repeats an earlier one, or 1.
    first_sequence: First,
    /// How often a submit without an answer is sent again, under the same sequence number: 0 to 5.
    #[schemars(with = "Option<u32>", range(max = 5))]
    resends: Option<Spanned<u32>>,
    /// How many active tests in a row may go unanswered: 1 to 10.
    #[schemars(with = "Option<u32>", range(min = 1, max = 10))]
    active_test_tries: Option<Spanned<u32>>,
    /// TP_udhi of parts of long messages: 1 or 64.
    #[schemars(with = "Option<u32>")]
    tp_udhi: Option<Spanned<u32>>,
    /// Most ASCII characters in one part: 140, 159 or 160.
    #[schemars(with = "Option<u32>")]
    ascii_limit: Option<Spanned<u32>>,
    /// Bits of a long message's reference: 8 or 16.
    #[schemars(with = "Option<u32>")]
    reference_bits: Option<Spanned<u32>>,
    /// How handsets in China are written.
    number_prefix: Prefix,
    /// Most digits of the sender with its extension: 20 or 21.
    #[schemars(with = "Option<u32>")]
    sender_digits: Option<Spanned<u32>>,
    /// Whether submits say until when they are valid; default true.
    validity: Option<bool>,
    /// The carrier's own codes that mean "too fast".
    throttled: Vec<u32>,
    /// Its codes for what no carrier would take.
    rejected: Vec<u32>,
    /// Its codes for passing trouble.
    retry: Vec<u32>,
}

/// How a short account is digested.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "login_digest")]
pub enum Digest {
    /// As it is.
    #[default]
    Plain,
    /// Filled up with NUL to the field's width.
    Padded,
}

/// Where sequence numbers begin.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "first_sequence")]
pub enum First {
    /// Anywhere in the lower half.
    #[default]
    Random,
    /// At 1.
    One,
}

impl First {
    /// The first sequence number of a link with this seed.
    pub fn sequence(self, seed: u64) -> u32 {
        match self {
            First::One => 1,
            First::Random => ((seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u32).max(1),
        }
    }
}

/// A checked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// How a short account is digested.
    pub digest: Digest,
    /// Whether the server must prove that it knows the secret.
    pub check_server: bool,
    /// Where sequence numbers begin.
    pub first: First,
    /// Repetitions of an unanswered submit.
    pub resends: u32,
    /// Unanswered active tests before a link is silent.
    pub tries: u32,
    /// TP_udhi of parts with a header.
    pub tp_udhi: u8,
    /// Most ASCII characters in one part.
    pub ascii_limit: usize,
    /// Whether references have 16 bits.
    pub wide_reference: bool,
    /// How handsets are written.
    pub prefix: Prefix,
    /// Most digits of a sender.
    pub sender_digits: usize,
    /// Whether submits carry their validity.
    pub validity: bool,
    /// What the carrier's own codes mean.
    pub verdicts: Vec<(u32, Verdict)>,
}

impl Table {
    /// Checks the table. `ascii` is what the protocol itself allows, its usual limit first.
    pub fn check<const N: usize>(self, checks: &mut Checks, ascii: [u32; N]) -> Dialect {
        Dialect {
            digest: self.login_digest,
            check_server: self.check_server,
            first: self.first_sequence,
            resends: checks.number("dialect.resends", self.resends.as_ref(), 0, 0..=5),
            tries: checks.number("dialect.active_test_tries", self.active_test_tries.as_ref(), 1, 1..=10),
            tp_udhi: checks.one_of("dialect.tp_udhi", self.tp_udhi.as_ref(), [1, 64]) as u8,
            ascii_limit: checks.one_of("dialect.ascii_limit", self.ascii_limit.as_ref(), ascii) as usize,
            wide_reference: checks.one_of("dialect.reference_bits", self.reference_bits.as_ref(), [8, 16]) == 16,
            prefix: self.number_prefix,
            sender_digits: checks.one_of("dialect.sender_digits", self.sender_digits.as_ref(), [20, 21]) as usize,
            validity: self.validity.unwrap_or(true),
            verdicts: verdicts(self.throttled, self.rejected, self.retry),
        }
    }
}

impl Dialect {
    /// What a refusal means: the carrier's own word, or the protocol's.
    pub fn refusal(&self, status: u32, usual: Refusal) -> Refusal {
        let own = self.verdicts.iter().find(|(code, _)| *code == status);
        Refusal { verdict: own.map_or(usual.verdict, |(_, verdict)| *verdict), ..usual }
    }
}

/// What the carrier's own codes mean, as the table lists them.
pub fn verdicts(throttled: Vec<u32>, rejected: Vec<u32>, retry: Vec<u32>) -> Vec<(u32, Verdict)> {
    [(throttled, Verdict::Throttled), (rejected, Verdict::Rejected), (retry, Verdict::Retry)]
        .into_iter()
        .flat_map(|(codes, verdict)| codes.into_iter().map(move |code| (code, verdict)))
        .collect()
}

/// The times every account has.
pub mod times {
    use super::{Checks, Duration, Spanned};

    const SECOND: Duration = Duration::from_secs(1);

    /// Idle time before an active test: 30 s; the books allow for 3 minutes.
    pub fn active_test(checks: &mut Checks, value: Option<&Spanned<String>>) -> Duration {
        checks.duration("active_test", value, 30 * SECOND, SECOND..=180 * SECOND)
    }

    /// How long an answer may take: 30 s; the books allow for 60.
    pub fn answer(checks: &mut Checks, value: Option<&Spanned<String>>) -> Duration {
        checks.duration("answer_timeout", value, 30 * SECOND, SECOND..=300 * SECOND)
    }

    /// How long the answer to a login may take: 5 s.
    pub fn bind(checks: &mut Checks, value: Option<&Spanned<String>>) -> Duration {
        checks.duration("bind_timeout", value, 5 * SECOND, SECOND / 10..=60 * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_begin_anywhere_but_at_zero() {
        assert_eq!(First::One.sequence(77), 1);
        let drawn: std::collections::HashSet<u32> = (0..1000).map(|seed| First::Random.sequence(seed)).collect();
        assert!(drawn.len() > 990 && drawn.iter().all(|first| (1..=1 << 31).contains(first)));
        assert!(First::Random.sequence(u64::MAX) >= 1);
    }
}
