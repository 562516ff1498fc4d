//! What a Result means for the part that got it, and a Status for the login: one table each (CMPP 3.0 §8.4.3.2, §8.4.1.2).
//!
//! Results a carrier made up (100 and above), and any other unknown one, are [`Verdict::Reroute`]: refused here, and
//! nothing says that another carrier would refuse it too. A channel's dialect may say otherwise.

use Verdict::{LinkFault, Rejected, Reroute, Retry, Throttled};

use codecs::cmpp::status::{connect, result};

use crate::china::dialect::Dialect;
use crate::session::{Fault, Refusal, Verdict};

/// By Result of SUBMIT_RESP. A duplicate sequence number is not the message's fault: with the next one it may pass.
const TABLE: &[(u32, Verdict)] = &[
    (result::STRUCTURE, Reroute),
    (result::COMMAND, Reroute),
    (result::DUPLICATE_SEQUENCE, Retry),
    (result::LENGTH, Reroute),
    (result::FEE_CODE, Reroute),
    (result::TOO_LONG, Rejected),
    (result::SERVICE_ID, Reroute),
    (result::FLOW_CONTROL, Throttled),
    (result::PAYER, Reroute),
    (result::SRC_ID, Reroute),
    (result::MSG_SRC, LinkFault),
    (result::FEE_TERMINAL_ID, Reroute),
    (result::DEST_TERMINAL_ID, Rejected),
];

/// What a refused submit means.
pub(super) fn refusal(dialect: &Dialect, result: u32) -> Refusal {
    let row = TABLE.iter().find(|(known, _)| *known == result);
    let code = match result::words(result) {
        Some(words) => format!("result {result} ({}, {})", words.zh, words.en),
        None => format!("result {result}"),
    };
    dialect.refusal(result, Refusal { verdict: row.map_or(Reroute, |row| row.1), code })
}

/// What a refused login means. What is wrong with account, secret or version will be wrong again; 5 and above often only
/// say that the gateway still counts the link before this one.
pub(super) fn connect_refused(status: u32) -> Fault {
    let permanent =
        matches!(status, connect::STRUCTURE | connect::SOURCE_ADDR | connect::AUTHENTICATION | connect::VERSION);
    let code = match connect::words(status) {
        Some(words) => format!("status {status} ({}, {})", words.zh, words.en),
        None => format!("status {status}"),
    };
    Fault::BindRefused { code, permanent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmpp::testing::settings;

    #[test]
    fn every_result_has_a_verdict() {
        let settings = settings("");
        let of = |verdict| (1..=255).filter(|r| refusal(&settings.dialect, *r).verdict == verdict).collect::<Vec<_>>();
        assert_eq!(of(Throttled), [8]);
        assert_eq!(of(Rejected), [6, 13]);
        assert_eq!(of(Retry), [3]);
        assert_eq!(of(LinkFault), [11]);
        assert_eq!(of(Reroute).len(), 250);
        assert_eq!(refusal(&settings.dialect, u32::MAX).verdict, Reroute);
        assert_eq!(refusal(&settings.dialect, 8).code, "result 8 (流量控制错, flow control)");
        assert_eq!(refusal(&settings.dialect, 101).code, "result 101");
    }

    #[test]
    fn a_carriers_own_codes_have_its_own_meaning() {
        let settings = settings("dialect = { throttled = [101, 9], rejected = [102], retry = [13] }");
        for (result, verdict) in [(101, Throttled), (9, Throttled), (102, Rejected), (13, Retry), (8, Throttled)] {
            assert_eq!(refusal(&settings.dialect, result).verdict, verdict, "{result}");
        }
    }

    #[test]
    fn only_what_will_be_wrong_again_is_permanent() {
        for (status, lasting) in [(1, true), (2, true), (3, true), (4, true), (5, false), (6, false), (255, false)] {
            assert!(matches!(connect_refused(status), Fault::BindRefused { permanent, .. } if permanent == lasting));
        }
    }
}
