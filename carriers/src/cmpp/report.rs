//! DELIVER to receipts (CMPP 3.0 §8.4.5.1).
//!
//! The block's own length says how it is laid out: many gateways send the 60 octets of 2.0 on 3.0 links. Ids are octets
//! that mean nothing to us, written as hexadecimal digits.

use codecs::cmpp::{Deliver, Version};

use super::config::ReportId;
use crate::china::{number, stat};
use crate::message::{CarrierId, Receipt};

/// A receipt, none where nothing can be matched with it, and what was overlooked.
pub(super) struct Reading {
    pub(super) receipt: Option<Receipt>,
    pub(super) leniency: Option<&'static str>,
}

/// The receipt in a DELIVER that is a report.
pub(super) fn read(deliver: &Deliver<'_>, ids: ReportId, version: Version) -> Reading {
    let Some(report) = deliver.report() else {
        return Reading { receipt: None, leniency: Some("a report that cannot be read") };
    };
    let (state, misspelt) = stat::state(report.stat);
    let usual = match version {
        Version::V20 => 60,
        Version::V30 => 71,
    };
    let odd = (deliver.msg_content.len() != usual).then_some("a report of another length");
    let Some(first) = id(report.msg_id) else { return Reading { receipt: None, leniency: misspelt.or(odd) } };
    let mut swapped = report.msg_id;
    swapped.reverse();
    let second = (ids == ReportId::Swapped).then(|| id(swapped)).flatten();
    let named = number::plain(report.dest_terminal_id);
    let receipt = Receipt {
        ids: [Some(first), second].into_iter().flatten().collect(),
        to: if named.is_empty() { number::plain(deliver.src_terminal_id) } else { named }.into(),
        state,
        code: stat::code(report.stat, None, None),
    };
    Reading { receipt: Some(receipt), leniency: misspelt.or(odd) }
}

/// An id in its one form; `None` where there is none.
pub(super) fn id(msg_id: [u8; 8]) -> Option<CarrierId> {
    (msg_id != [0; 8]).then(|| CarrierId::hex(&msg_id))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use codecs::cmpp::Report;
    use codecs::layout::Layout;

    use super::*;
    use crate::message::ReceiptState;

    const ID: [u8; 8] = [0xbb, 0x0e, 0xf4, 0, 0x27, 0x1a, 0, 1];

    fn block(report: &Report<'_>, version: Version) -> BytesMut {
        let mut block = BytesMut::new();
        report.write(version, &mut block);
        block
    }

    fn reading(content: &[u8], version: Version, ids: ReportId) -> Reading {
        let deliver = Deliver {
            registered_delivery: 1,
            src_terminal_id: b"8613900139000",
            msg_content: content,
            ..Deliver::default()
        };
        read(&deliver, ids, version)
    }

    fn report() -> Report<'static> {
        Report {
            msg_id: ID,
            stat: b"MK:0024",
            submit_time: b"2611220347",
            done_time: b"0000000000",
            dest_terminal_id: b"13800138000",
            smsc_sequence: 7,
        }
    }

    #[test]
    fn blocks_of_either_width_are_read_on_either_version() {
        for on in [Version::V20, Version::V30] {
            for as_wide_as in [Version::V20, Version::V30] {
                let got = reading(&block(&report(), as_wide_as), on, ReportId::Same);
                let receipt = got.receipt.unwrap();
                assert_eq!(receipt.ids[..], [CarrierId::new(b"bb0ef400271a0001")]);
                assert_eq!((receipt.state, &*receipt.to), (ReceiptState::Failed, "13800138000"));
                assert_eq!(&*receipt.code, "MK:0024 (用户关机, switched off)");
                assert_eq!(got.leniency.is_some(), on != as_wide_as);
            }
        }
    }

    #[test]
    fn cut_and_padded_blocks_are_read_as_far_as_they_go() {
        let whole = block(&report(), Version::V20);
        let cut = reading(&whole[..35], Version::V20, ReportId::Same);
        assert_eq!(&*cut.receipt.unwrap().to, "8613900139000", "the handset that the DELIVER names");
        assert!(cut.leniency.is_some());
        assert!(reading(&whole[..14], Version::V20, ReportId::Same).receipt.is_none());
        let padded = Report { stat: b"660    ", dest_terminal_id: b"13800138000     ", ..report() };
        let receipt = reading(&block(&padded, Version::V30), Version::V30, ReportId::Same).receipt.unwrap();
        assert_eq!((&*receipt.code, &*receipt.to), ("660", "13800138000"));
        let nobody = Report { msg_id: [0; 8], ..report() };
        assert!(reading(&block(&nobody, Version::V30), Version::V30, ReportId::Same).receipt.is_none());
    }

    #[test]
    fn ids_in_the_opposite_order_are_a_second_candidate() {
        let receipt = reading(&block(&report(), Version::V30), Version::V30, ReportId::Swapped).receipt.unwrap();
        assert_eq!(receipt.ids[..], [CarrierId::new(b"bb0ef400271a0001"), CarrierId::new(b"01001a2700f40ebb")]);
    }
}
