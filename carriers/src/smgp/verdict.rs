//! What a Status means for the part that got it, and for the login: one table (SMGP 3.0 §6.2.60).
//!
//! Statuses a carrier made up (128 and above), and any other unknown one, are [`Verdict::Reroute`]: refused here, and
//! nothing says that another carrier would refuse it too. The book has no code for "too fast"; "busy" and "over the daily
//! volume" come nearest. A channel's dialect may say otherwise.

use Verdict::{LinkFault, Rejected, Reroute, Retry, Throttled};

use codecs::smgp::status;

use crate::china::dialect::Dialect;
use crate::session::{Fault, Refusal, Verdict};

/// By Status of Submit_Resp; all others are refused by this channel only.
const TABLE: &[(u32, Verdict)] = &[
    (status::BUSY, Throttled),
    (status::TOO_MANY_CONNECTIONS, LinkFault),
    (status::DUPLICATE_SEQUENCE, Retry),
    (status::IP_ADDRESS, LinkFault),
    (status::AUTHENTICATION, LinkFault),
    (status::VERSION, LinkFault),
    (status::MSG_LENGTH, Rejected),
    (status::DEST_TERM_ID, Rejected),
    (status::SP_ID, LinkFault),
    (status::SP_ACCESS_TYPE, LinkFault),
    (status::OVER_DAILY_VOLUME, Throttled),
    (status::ACCOUNT_EXPIRED, LinkFault),
];

/// What a refused submit means.
pub(super) fn refusal(dialect: &Dialect, status: u32) -> Refusal {
    let row = TABLE.iter().find(|(known, _)| *known == status);
    dialect.refusal(status, Refusal { verdict: row.map_or(Reroute, |row| row.1), code: code(status) })
}

/// What a refused login means. What is wrong with account, secret, address or version will be wrong again; the others
/// often only say that the gateway is busy or still counts the link before this one.
pub(super) fn login_refused(status: u32) -> Fault {
    let permanent = matches!(
        status,
        status::STRUCTURE | status::IP_ADDRESS | status::AUTHENTICATION | status::VERSION | status::ACCOUNT_EXPIRED
    );
    Fault::BindRefused { code: code(status), permanent }
}

fn code(status: u32) -> String {
    match status::words(status) {
        Some(words) => format!("status {status} ({}, {})", words.zh, words.en),
        None => format!("status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smgp::testing::settings;

    #[test]
    fn every_status_has_a_verdict() {
        let settings = settings("");
        let of = |verdict| (1..=255).filter(|s| refusal(&settings.dialect, *s).verdict == verdict).collect::<Vec<_>>();
        assert_eq!(of(Throttled), [1, 75]);
        assert_eq!(of(Rejected), [36, 47]);
        assert_eq!(of(Retry), [12]);
        assert_eq!(of(LinkFault), [2, 20, 21, 22, 69, 70, 76]);
        assert_eq!(of(Reroute).len(), 243);
        assert_eq!(refusal(&settings.dialect, 8200).verdict, Reroute);
        assert_eq!(refusal(&settings.dialect, 1).code, "status 1 (系统忙, system busy)");
    }

    #[test]
    fn a_carriers_own_codes_have_its_own_meaning() {
        let settings = settings("dialect = { throttled = [88], retry = [75] }");
        for (status, verdict) in [(88, Throttled), (75, Retry), (1, Throttled)] {
            assert_eq!(refusal(&settings.dialect, status).verdict, verdict, "{status}");
        }
    }

    #[test]
    fn only_what_will_be_wrong_again_is_permanent() {
        for (status, lasting) in [(1, false), (2, false), (3, false), (20, true), (21, true), (22, true), (76, true)] {
            assert!(matches!(login_refused(status), Fault::BindRefused { permanent, .. } if permanent == lasting));
        }
    }
}
