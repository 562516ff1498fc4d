//! Deliver to receipts (SMGP 3.0 §6.2.63): text with the submit's id as ten octets in its midst, in several spellings.
//! Ids are octets that mean nothing to us, written as hexadecimal digits.

use codecs::smgp::Deliver;
use codecs::smgp::report::{self, ReceiptText, err};
use codecs::stat::trimmed;

use crate::china::{number, stat};
use crate::message::{CarrierId, Receipt};

/// Most octets kept of a word: a carrier may write anything after a label.
const WORD: usize = 7;

/// A receipt, none where nothing can be matched with it, and what was overlooked.
pub(super) struct Reading {
    pub(super) receipt: Option<Receipt>,
    pub(super) leniency: Option<&'static str>,
}

/// The receipt in this text of a Deliver.
pub(super) fn read(deliver: &Deliver<'_>, text: &ReceiptText<'_>) -> Reading {
    let word = |octets: Option<_>| octets.map(trimmed).map(|octets: &[u8]| octets.get(..WORD).unwrap_or(octets));
    let (told, cause) = (word(text.stat).unwrap_or_default(), word(text.err));
    let (state, leniency) = stat::state(told);
    let receipt = report::msg_id(text).and_then(id).map(|id| Receipt {
        ids: std::iter::once(id).collect(),
        to: number::plain(deliver.src_term_id).into(),
        state,
        code: stat::code(told, cause, cause.and_then(err::of)),
    });
    Reading { receipt, leniency }
}

/// An id in its one form; `None` where there is none.
pub(super) fn id(msg_id: [u8; 10]) -> Option<CarrierId> {
    (msg_id != [0; 10]).then(|| CarrierId::hex(&msg_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ReceiptState;

    /// One that holds a space, a colon and a NUL.
    const ID: &[u8; 10] = b"\x57\x10\x20\x3a\x00\x03\x52\x30\x00\x02";

    fn receipt(content: &[u8]) -> Option<Receipt> {
        let deliver = Deliver { is_report: 1, src_term_id: b"13800138000", msg_content: content, ..Deliver::default() };
        read(&deliver, &deliver.report().unwrap()).receipt
    }

    fn text(id: &[u8], rest: &str) -> Vec<u8> {
        [b"id:", id, b" sub:001 dlvrd:001 ", rest.as_bytes()].concat()
    }

    #[test]
    fn every_spelling_is_read() {
        for dates in [
            "submit date:2611220350 done date:2611220351",
            "Submit date:2611220350 done date:2611220351",
            "submit_date:2611220350 done_date:2611220351",
            "Submit_Date:2611220350 Done_Date:2611220351",
            "submit date: 2611220350 done date: 2611220351",
        ] {
            for tail in [" stat:UNDELIV err:005 text:005hello", " Stat:UNDELIV Err:005 Text:x", " stat:UNDELIV err:005"]
            {
                let got = receipt(&text(ID, &format!("{dates}{tail}"))).unwrap();
                assert_eq!(got.ids[..], [CarrierId::new(b"5710203a000352300002")], "{dates}{tail}");
                assert_eq!((got.state, &*got.to), (ReceiptState::Failed, "13800138000"));
                assert_eq!(&*got.code, "UNDELIV err:005 (用户在黑名单内, user on the blacklist)");
            }
        }
    }

    #[test]
    fn ids_of_digits_are_the_same_ids() {
        let hex = text(b"5710203A000352300002", "submit date:1 done date:2 stat:DELIVRD err:000 text:");
        assert_eq!(receipt(&hex).unwrap().ids[..], [CarrierId::new(b"5710203a000352300002")]);
        assert_eq!(&*receipt(&hex).unwrap().code, "DELIVRD err:000");
        assert_eq!(receipt(&text(&[0; 10], "stat:DELIVRD")), None);
        assert_eq!(receipt(b"stat:DELIVRD"), None);
        assert_eq!(receipt(b""), None);
    }

    #[test]
    fn carriers_words_are_kept_and_message_text_is_not() {
        let got = receipt(&text(ID, "stat:VERYLONGWORD err:660-and-more text:Your code is 4711")).unwrap();
        assert_eq!((got.state, &*got.code), (ReceiptState::Failed, "VERYLON err:660-and"));
        let misspelt = receipt(&text(ID, "stat:DELIVED err:000")).unwrap();
        assert_eq!(misspelt.state, ReceiptState::Delivered);
    }
}
