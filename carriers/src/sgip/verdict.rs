//! What a Result means for the part that got it, and for the login: one table (SGIP 1.2, and the codes 1.3 adds).
//!
//! What is not here is [`Verdict::Reroute`]: refused here, and nothing says that another carrier would refuse it too. 32
//! is one of these, for 1.2 and 1.3 mean different things by it. 11 (busy), 33 (queue full in 1.2, over the rate in 1.3)
//! and 88 (SMPP's number, which gateways built on SMPP pass on) mean "too fast". A channel's dialect may say otherwise.

use Verdict::{LinkFault, Rejected, Reroute, Retry, Throttled};

use codecs::sgip::result;

use crate::china::dialect::Dialect;
use crate::session::{Fault, Refusal, Verdict};

/// By Result of Submit_Resp; all others are refused by this channel only.
const TABLE: &[(u8, Verdict)] = &[
    (result::LOGIN, LinkFault),
    (result::REPEATED_LOGIN, LinkFault),
    (result::TOO_MANY_CONNECTIONS, LinkFault),
    (result::LOGIN_TYPE, LinkFault),
    (result::NUMBER, Rejected),
    (result::LENGTH, Rejected),
    (result::SEQUENCE, Retry),
    (result::BUSY, Throttled),
    (result::UNKNOWN_USER, Rejected),
    (result::QUEUE_FULL, Throttled),
    (result::LOGIN_TOO_OFTEN, LinkFault),
    (result::THROTTLED, Throttled),
];

/// What a refused submit means.
pub(super) fn refusal(dialect: &Dialect, result: u8) -> Refusal {
    let row = TABLE.iter().find(|(known, _)| *known == result);
    dialect.refusal(result.into(), Refusal { verdict: row.map_or(Reroute, |row| row.1), code: code(result) })
}

/// What a refused login means. A wrong account, password or login type will be wrong again, and whoever logs in too often
/// had better wait; the others often only say that the gateway is busy or still counts the connection before this one.
pub(super) fn login_refused(result: u8) -> Fault {
    let permanent = matches!(result, result::LOGIN | result::LOGIN_TYPE | result::FORMAT | result::LOGIN_TOO_OFTEN);
    Fault::BindRefused { code: code(result), permanent }
}

fn code(result: u8) -> String {
    match result::words(result) {
        Some(words) => format!("result {result} ({}, {})", words.zh, words.en),
        None => format!("result {result}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgip::testing::settings;

    #[test]
    fn every_result_has_a_verdict() {
        let settings = settings("");
        let of = |verdict| (1..=255).filter(|r| refusal(&settings.dialect, *r).verdict == verdict).collect::<Vec<_>>();
        assert_eq!(of(Throttled), [11, 33, 88]);
        assert_eq!(of(Rejected), [6, 8, 29]);
        assert_eq!(of(Retry), [9]);
        assert_eq!(of(LinkFault), [1, 2, 3, 4, 34]);
        assert_eq!(of(Reroute).len(), 255 - 12);
        assert_eq!(refusal(&settings.dialect, 5).code, "result 5 (参数格式错, parameter format)");
        assert_eq!(refusal(&settings.dialect, 182).code, "result 182");
    }

    #[test]
    fn the_codes_of_1_3_have_their_words() {
        for (result, words) in [(13, "service code"), (19, "one recipient"), (40, "MorelatetoMTFlag"), (95, "monthly")]
        {
            let refusal = refusal(&settings("").dialect, result);
            assert!(refusal.code.contains(words) && refusal.verdict == Reroute, "{}", refusal.code);
        }
    }

    #[test]
    fn a_carriers_own_codes_have_its_own_meaning() {
        let settings = settings("dialect = { throttled = [77], retry = [33], rejected = [18] }");
        for (result, verdict) in [(77, Throttled), (33, Retry), (18, Rejected), (88, Throttled)] {
            assert_eq!(refusal(&settings.dialect, result).verdict, verdict, "{result}");
        }
    }

    #[test]
    fn only_what_will_be_wrong_again_is_permanent() {
        for (result, lasting) in [(1, true), (2, false), (3, false), (4, true), (5, true), (11, false), (34, true)] {
            assert!(matches!(login_refused(result), Fault::BindRefused { permanent, .. } if permanent == lasting));
        }
    }
}
