//! What a command_status means for the part that got it: one table (SMPP 3.4 §5.1.3, 5.0 §4.7.6).
//!
//! Statuses a carrier made up (0x400 and above), and any other unknown one, are [`Verdict::Reroute`]: refused here,
//! and nothing says that another carrier would refuse it too.

use Verdict::{LinkFault, Rejected, Reroute, Retry, Throttled};

use codecs::smpp::status;

use crate::session::{Fault, Refusal, Verdict};

/// By status.
const TABLE: &[(u32, Verdict)] = &[
    (status::RINVMSGLEN, Rejected),
    (status::RINVCMDLEN, Reroute),
    (status::RINVCMDID, Reroute),
    (status::RINVBNDSTS, LinkFault),
    (status::RALYBND, LinkFault),
    (status::RINVPRTFLG, Reroute),
    (status::RINVREGDLVFLG, Reroute),
    (status::RSYSERR, Retry),
    (status::RINVSRCADR, Reroute),
    (status::RINVDSTADR, Rejected),
    (status::RINVMSGID, Reroute),
    (status::RBINDFAIL, LinkFault),
    (status::RINVPASWD, LinkFault),
    (status::RINVSYSID, LinkFault),
    (status::RCANCELFAIL, Reroute),
    (status::RREPLACEFAIL, Reroute),
    (status::RMSGQFUL, Throttled),
    (status::RINVSERTYP, Reroute),
    (status::RINVNUMDESTS, Reroute),
    (status::RINVDLNAME, Reroute),
    (status::RINVDESTFLAG, Reroute),
    (status::RINVSUBREP, Reroute),
    (status::RINVESMCLASS, Reroute),
    (status::RCNTSUBDL, Reroute),
    (status::RSUBMITFAIL, Reroute),
    (status::RINVSRCTON, Reroute),
    (status::RINVSRCNPI, Reroute),
    (status::RINVDSTTON, Reroute),
    (status::RINVDSTNPI, Reroute),
    (status::RINVSYSTYP, LinkFault),
    (status::RINVREPFLAG, Reroute),
    (status::RINVNUMMSGS, Reroute),
    (status::RTHROTTLED, Throttled),
    (status::RINVSCHED, Reroute),
    (status::RINVEXPIRY, Reroute),
    (status::RINVDFTMSGID, Reroute),
    (status::RX_T_APPN, Retry),
    (status::RX_P_APPN, Reroute),
    (status::RX_R_APPN, Reroute),
    (status::RQUERYFAIL, Reroute),
    (status::RINVTLVSTREAM, Reroute),
    (status::RTLVNOTALLWD, Reroute),
    (status::RINVTLVLEN, Reroute),
    (status::RMISSINGTLV, Reroute),
    (status::RINVTLVVAL, Reroute),
    (status::RDELIVERYFAILURE, Retry),
    (status::RUNKNOWNERR, Reroute),
    (status::RSERTYPUNAUTH, Reroute),
    (status::RPROHIBITED, Reroute),
    (status::RSERTYPUNAVAIL, Retry),
    (status::RSERTYPDENIED, Reroute),
    (status::RINVDCS, Reroute),
    (status::RINVSRCADDRSUBUNIT, Reroute),
    (status::RINVDSTADDRSUBUNIT, Rejected),
];

/// What a refused submit means.
pub(super) fn refusal(status: u32) -> Refusal {
    let row = TABLE.binary_search_by_key(&status, |row| row.0);
    Refusal { verdict: row.map_or(Reroute, |at| TABLE[at].1), code: code(status) }
}

/// What a refused bind means. Wrong credentials will be wrong again; RALYBND and RBINDFAIL often only say that the
/// carrier still counts the link before this one.
pub(super) fn bind_refused(status: u32) -> Fault {
    let permanent = matches!(status, status::RINVPASWD | status::RINVSYSID | status::RINVSYSTYP);
    Fault::BindRefused { code: code(status), permanent }
}

fn code(status: u32) -> String {
    match status::name(status) {
        Some(name) => format!("0x{status:08X} {name}"),
        None => format!("0x{status:08X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn statuses_say_whose_fault_it_is() {
        let cases = [
            (0x58, Throttled, "0x00000058 ESME_RTHROTTLED"),
            (0x14, Throttled, "0x00000014 ESME_RMSGQFUL"),
            (0x08, Retry, "0x00000008 ESME_RSYSERR"),
            (0x0B, Rejected, "0x0000000B ESME_RINVDSTADR"),
            (0x0A, Reroute, "0x0000000A ESME_RINVSRCADR"),
            (0x04, LinkFault, "0x00000004 ESME_RINVBNDSTS"),
            (0x42B, Reroute, "0x0000042B"),
        ];
        for (status, verdict, code) in cases {
            assert_eq!(refusal(status), Refusal { verdict, code: code.to_owned() });
        }
    }

    #[test]
    fn only_wrong_credentials_are_permanent() {
        for (status, lasting) in [(0x0D, false), (0x05, false), (0x0E, true), (0x0F, true), (0x08, false)] {
            assert!(matches!(bind_refused(status), Fault::BindRefused { permanent, .. } if permanent == lasting));
        }
    }
}
