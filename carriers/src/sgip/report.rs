//! Report to receipts (SGIP 1.2 §4.2.3.5). It names its submit's number, a state and a cause, no time and no text.

use std::fmt::Write as _;

use codecs::sgip::{Report, Sequence, result, state};
use codecs::words::Words;

use crate::china::number;
use crate::compact::MostlyOne;
use crate::message::{Brief, CarrierId, Receipt, ReceiptState};

/// About a submit; 1 is about a message from a handset that was handed on.
const ABOUT_SUBMIT: u8 = 0;

/// A receipt, none where nothing can be matched with it, and what was overlooked.
pub(super) struct Reading {
    pub(super) receipt: Option<Receipt>,
    pub(super) leniency: Option<&'static str>,
}

/// The receipt in a Report to the SP of this node.
pub(super) fn read(report: &Report<'_>, node: u32) -> Reading {
    if report.report_type != ABOUT_SUBMIT {
        return Reading { receipt: None, leniency: Some("a report about no submit") };
    }
    let (state, leniency) = match report.state {
        state::DELIVERED => (ReceiptState::Delivered, None),
        state::WAITING => (ReceiptState::Intermediate, None),
        state::FAILED => (ReceiptState::Failed, None),
        _ => (ReceiptState::Unknown, Some("a report of an unknown state")),
    };
    let told = report.submit_sequence;
    // Some put 0 or anything else where our node was.
    let ours = id(Sequence { node, ..told }).filter(|_| told.node != node);
    let ids = match (id(told), ours) {
        (Some(exact), Some(ours)) => [exact, ours].into_iter().collect(),
        (exact, _) => exact.into_iter().collect::<MostlyOne<_>>(),
    };
    let receipt = (!ids.is_empty()).then(|| Receipt {
        ids,
        to: number::plain(report.user_number).into(),
        state,
        code: code(report.state, report.error_code),
    });
    Reading { receipt, leniency }
}

/// A submit's number in its one form; `None` where there is none.
pub(super) fn id(sequence: Sequence) -> Option<CarrierId> {
    (sequence != Sequence::default()).then(|| CarrierId::hex(&sequence.octets()))
}

/// The raw numbers, and what they mean.
fn code(state: u8, error: u8) -> Brief {
    let mut code = Brief::default();
    let _ = write!(code, "state {state} error {error}");
    if let Some(Words { zh, en }) = result::words(error).filter(|_| error != result::OK) {
        let _ = write!(code, " ({zh}, {en})");
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Sequence = Sequence { node: 3_010_012_345, time: 1_122_033_730, counter: 2 };

    fn report(state: u8, error_code: u8) -> Report<'static> {
        Report { submit_sequence: OURS, state, error_code, user_number: b"8613800138000", ..Report::default() }
    }

    #[test]
    fn every_state_is_an_outcome_and_keeps_its_numbers() {
        let cases = [
            (0, 0, ReceiptState::Delivered, "state 0 error 0"),
            (1, 0, ReceiptState::Intermediate, "state 1 error 0"),
            (2, 25, ReceiptState::Failed, "state 2 error 25 (用户不能通信, user cannot communicate)"),
            (2, 0, ReceiptState::Failed, "state 2 error 0"),
            (2, 182, ReceiptState::Failed, "state 2 error 182"),
            (9, 0, ReceiptState::Unknown, "state 9 error 0"),
        ];
        for (told, error, state, code) in cases {
            let reading = read(&report(told, error), OURS.node);
            assert_eq!(reading.leniency.is_some(), told == 9);
            let receipt = reading.receipt.unwrap();
            assert_eq!((receipt.state, &*receipt.code), (state, code));
            assert_eq!(&*receipt.to, "8613800138000");
        }
    }

    #[test]
    fn a_node_that_is_not_ours_is_tried_as_ours_too() {
        let ours = id(OURS).unwrap();
        assert_eq!(ours, CarrierId::new(b"b36924b942e0e04200000002"));
        assert_eq!(&read(&report(0, 0), OURS.node).receipt.unwrap().ids[..], std::slice::from_ref(&ours));
        for node in [0, u32::MAX] {
            let stray = Report { submit_sequence: Sequence { node, ..OURS }, ..report(0, 0) };
            let ids = read(&stray, OURS.node).receipt.unwrap().ids;
            assert_eq!((ids.len(), &ids[1]), (2, &ours));
        }
    }

    #[test]
    fn what_nothing_can_be_matched_with_is_no_receipt() {
        let empty = Report { submit_sequence: Sequence::default(), ..report(0, 0) };
        assert_eq!(read(&empty, OURS.node).receipt, None);
        let handed_on = read(&Report { report_type: 1, ..report(0, 0) }, OURS.node);
        assert!(handed_on.receipt.is_none() && handed_on.leniency.is_some());
    }
}
