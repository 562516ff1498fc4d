//! Delivery receipts as text (SMPP 3.4 appendix B), which every vendor writes in its own way.
//!
//! Read as octets and never decoded: ids, dates and errors are whatever stands after their label, `text` may be in any
//! character set or none. Labels may be missing, in any order and case; what is not understood is passed over.

use bytes::{BufMut, BytesMut};

/// The fields found in a receipt; every one may be missing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiptText<'a> {
    /// The MC's id for the message, in a spelling that may differ from that of the answer.
    pub id: Option<&'a [u8]>,
    /// How many were submitted, `001`.
    pub sub: Option<&'a [u8]>,
    /// How many were delivered, `001` or `000`.
    pub dlvrd: Option<&'a [u8]>,
    /// When it was submitted: `YYMMDDhhmm`, with seconds, or with an offset; in the carrier's zone.
    pub submit_date: Option<&'a [u8]>,
    /// When it ended, likewise.
    pub done_date: Option<&'a [u8]>,
    /// What became of it: `DELIVRD`, `UNDELIV`, ...
    pub stat: Option<&'a [u8]>,
    /// The carrier's error, in any shape.
    pub err: Option<&'a [u8]>,
    /// The start of the message, in any character set.
    pub text: Option<&'a [u8]>,
}

/// Words that are a `stat` even without their label.
const STATS: [&[u8]; 13] = [
    b"DELIVRD",
    b"EXPIRED",
    b"DELETED",
    b"UNDELIV",
    b"ACCEPTD",
    b"UNKNOWN",
    b"REJECTD",
    b"ENROUTE",
    b"SKIPPED",
    b"SCHEDULED",
    b"BUFFERED",
    b"FAILED",
    b"NACK",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Id,
    Sub,
    Dlvrd,
    SubmitDate,
    DoneDate,
    Stat,
    Err,
    Text,
}

impl<'a> ReceiptText<'a> {
    /// Finds what there is to find. Of a label that occurs twice the first counts; all after `text:` is the text.
    pub fn read(octets: &'a [u8]) -> ReceiptText<'a> {
        let mut receipt = ReceiptText::default();
        let mut left = octets;
        loop {
            left = gap(left);
            match label(left) {
                Some((Label::Text, after)) => {
                    receipt.text = Some(after);
                    return receipt;
                }
                Some((label, after)) => left = receipt.labelled(label, gap(after)),
                None => {
                    let (word, after) = word(left);
                    if word.is_empty() {
                        return receipt;
                    }
                    receipt.bare(word);
                    left = after;
                }
            }
        }
    }

    /// Takes the value of a label; gives back what follows. Where another label follows at once there is no value.
    fn labelled(&mut self, of: Label, octets: &'a [u8]) -> &'a [u8] {
        if label(octets).is_some() {
            return octets;
        }
        let (found, after) = word(octets);
        if found.is_empty() {
            return octets;
        }
        let field = match of {
            Label::Id => &mut self.id,
            Label::Sub => &mut self.sub,
            Label::Dlvrd => &mut self.dlvrd,
            Label::SubmitDate => &mut self.submit_date,
            Label::DoneDate => &mut self.done_date,
            Label::Stat => &mut self.stat,
            Label::Err => &mut self.err,
            Label::Text => &mut self.text,
        };
        field.get_or_insert(found);
        after
    }

    /// A word without label is a `stat` where it is one of [`STATS`].
    fn bare(&mut self, word: &'a [u8]) {
        if STATS.iter().any(|stat| stat.eq_ignore_ascii_case(word)) {
            self.stat.get_or_insert(word);
        }
    }

    /// Whether these can only be the fields of a receipt, for MCs that send receipts without saying so.
    pub fn is_receipt(&self) -> bool {
        self.id.is_some() && self.stat.is_some() && (self.err.or(self.dlvrd).or(self.done_date)).is_some()
    }

    /// Appends the base form, leaving out what is `None`.
    pub fn write(&self, out: &mut BytesMut) {
        let fields = [
            ("id:", self.id),
            ("sub:", self.sub),
            ("dlvrd:", self.dlvrd),
            ("submit date:", self.submit_date),
            ("done date:", self.done_date),
            ("stat:", self.stat),
            ("err:", self.err),
            ("text:", self.text),
        ];
        let mut gap: &[u8] = b"";
        for (label, value) in fields {
            let Some(value) = value else { continue };
            out.put_slice(gap);
            out.put_slice(label.as_bytes());
            out.put_slice(value);
            gap = b" ";
        }
    }
}

/// Shows all but the text.
impl std::fmt::Debug for ReceiptText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut octets = BytesMut::new();
        ReceiptText { text: None, ..*self }.write(&mut octets);
        write!(f, "ReceiptText({})", octets.escape_ascii())
    }
}

fn is_gap(octet: u8) -> bool {
    octet.is_ascii_whitespace() || octet == 0
}

/// What follows spaces and NULs.
fn gap(octets: &[u8]) -> &[u8] {
    let end = octets.iter().position(|&octet| !is_gap(octet)).unwrap_or(octets.len());
    &octets[end..]
}

/// What stands before the next gap, and the rest.
fn word(octets: &[u8]) -> (&[u8], &[u8]) {
    octets.split_at(octets.iter().position(|&octet| is_gap(octet)).unwrap_or(octets.len()))
}

/// A label with its colon, and what follows. Most words are none, which their first two letters tell.
#[inline]
fn label(octets: &[u8]) -> Option<(Label, &[u8])> {
    const LOWER: u8 = 0x20;
    let [first, second] = octets.first_chunk::<2>()?;
    // What is no letter may look like one then, but not to `after`.
    match &[first | LOWER, second | LOWER] {
        b"id" => after(octets, Label::Id, b"id:"),
        b"st" => after(octets, Label::Stat, b"stat:"),
        b"su" => after(octets, Label::Sub, b"sub:")
            .or_else(|| after(octets, Label::SubmitDate, b"submit date:"))
            .or_else(|| after(octets, Label::SubmitDate, b"submit_date:")),
        b"dl" => after(octets, Label::Dlvrd, b"dlvrd:"),
        b"do" => {
            after(octets, Label::DoneDate, b"done date:").or_else(|| after(octets, Label::DoneDate, b"done_date:"))
        }
        b"er" => after(octets, Label::Err, b"err:"),
        b"te" => after(octets, Label::Text, b"text:"),
        b"tx" => after(octets, Label::Text, b"txt:"),
        _ => None,
    }
}

/// What follows `spelling` in either case, where the octets begin with it. Nearly all who write it write it so.
#[inline]
fn after<'a, const N: usize>(octets: &'a [u8], label: Label, spelling: &[u8; N]) -> Option<(Label, &'a [u8])> {
    let (start, after) = octets.split_first_chunk::<N>()?;
    let same = start == spelling || start.ends_with(b":") && start.eq_ignore_ascii_case(spelling);
    same.then_some((label, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nom::branch::alt;
    use nom::bytes::complete::{tag_no_case, take_while1};
    use nom::combinator::{fail, value};
    use nom::{IResult, Parser};
    use proptest::prelude::*;

    /// The same language by nom, as a judge of the scan by hand.
    fn judged(octets: &[u8]) -> ReceiptText<'_> {
        fn word(octets: &[u8]) -> IResult<&[u8], &[u8]> {
            take_while1(|octet| !is_gap(octet)).parse(octets)
        }
        fn label(octets: &[u8]) -> IResult<&[u8], Label> {
            match octets.first() {
                None => fail().parse(octets),
                Some(_) => alt((
                    value(Label::Id, tag_no_case("id:")),
                    value(Label::Stat, tag_no_case("stat:")),
                    value(Label::Sub, tag_no_case("sub:")),
                    value(Label::SubmitDate, alt((tag_no_case("submit date:"), tag_no_case("submit_date:")))),
                    value(Label::Dlvrd, tag_no_case("dlvrd:")),
                    value(Label::DoneDate, alt((tag_no_case("done date:"), tag_no_case("done_date:")))),
                    value(Label::Err, tag_no_case("err:")),
                    value(Label::Text, alt((tag_no_case("text:"), tag_no_case("txt:")))),
                ))
                .parse(octets),
            }
        }
        let (mut receipt, mut left) = (ReceiptText::default(), octets);
        loop {
            left = gap(left);
            let (after, of) = match label(left) {
                Ok((after, Label::Text)) => return ReceiptText { text: Some(after), ..receipt },
                Ok((after, of)) => (gap(after), Some(of)),
                Err(_) => (left, None),
            };
            left = after;
            if of.is_some() && label(after).is_ok() {
                continue;
            }
            let Ok((after, found)) = word(left) else { return receipt };
            left = after;
            match of {
                Some(Label::Id) => receipt.id.get_or_insert(found),
                Some(Label::Sub) => receipt.sub.get_or_insert(found),
                Some(Label::Dlvrd) => receipt.dlvrd.get_or_insert(found),
                Some(Label::SubmitDate) => receipt.submit_date.get_or_insert(found),
                Some(Label::DoneDate) => receipt.done_date.get_or_insert(found),
                Some(Label::Stat) => receipt.stat.get_or_insert(found),
                Some(Label::Err) => receipt.err.get_or_insert(found),
                Some(Label::Text) => receipt.text.get_or_insert(found),
                None if STATS.iter().any(|stat| stat.eq_ignore_ascii_case(found)) => receipt.stat.get_or_insert(found),
                None => continue,
            };
        }
    }

    const BASE: &[u8] = b"id:0123456789 sub:001 dlvrd:001 submit date:2611220730 done date:2611220731 \
        stat:DELIVRD err:000 text:Your code";

    fn base() -> ReceiptText<'static> {
        ReceiptText {
            id: Some(b"0123456789"),
            sub: Some(b"001"),
            dlvrd: Some(b"001"),
            submit_date: Some(b"2611220730"),
            done_date: Some(b"2611220731"),
            stat: Some(b"DELIVRD"),
            err: Some(b"000"),
            text: Some(b"Your code"),
        }
    }

    #[test]
    fn the_base_form_is_read_and_written() {
        assert_eq!(ReceiptText::read(BASE), base());
        let mut out = BytesMut::new();
        base().write(&mut out);
        assert_eq!(out, BASE);
    }

    /// Each variation differs from the base form in what its right side says.
    #[test]
    fn every_variation_seen_is_read() {
        let none = ReceiptText::default();
        let dated = |submit, done| ReceiptText { submit_date: Some(submit), done_date: Some(done), ..none };
        let failed = |err| ReceiptText { id: Some(b"7"), stat: Some(b"UNDELIV"), err: Some(err), ..none };
        let id = |id| ReceiptText { id: Some(id), stat: Some(b"DELIVRD"), ..none };
        let table: &[(&[u8], ReceiptText<'_>)] = &[
            // Dates with seconds, with an offset.
            (b"submit date:180711070003 done date:180711070004", dated(b"180711070003", b"180711070004")),
            (b"submit date:180711070003912+ done date:0", dated(b"180711070003912+", b"0")),
            (b"submit_date:1807110700 Done_Date:1807110701", dated(b"1807110700", b"1807110701")),
            // No sub, no dlvrd, no text.
            (
                b"id:7 submit date:1807110700 done date:1807110701 stat:UNDELIV err:069",
                ReceiptText { submit_date: Some(b"1807110700"), done_date: Some(b"1807110701"), ..failed(b"069") },
            ),
            // No label before the stat.
            (
                b"id:7 done date:1807110701 UNDELIV err:5",
                ReceiptText { done_date: Some(b"1807110701"), ..failed(b"5") },
            ),
            // Errors of any shape.
            (b"id:7 stat:UNDELIV err:0000", failed(b"0000")),
            (b"id:7 stat:UNDELIV err: 0", failed(b"0")),
            (b"id:7 stat:UNDELIV err:EC_ABSENT", failed(b"EC_ABSENT")),
            (b"id:7 stat:UNDELIV err: text:x", ReceiptText { err: None, text: Some(b"x"), ..failed(b"") }),
            // Labels in any case and order.
            (b"STAT:UNDELIV ERR:1 ID:7 TEXT:", ReceiptText { text: Some(b""), ..failed(b"1") }),
            (b"ID:7 Stat:UNDELIV eRR:1 TxT:x", ReceiptText { text: Some(b"x"), ..failed(b"1") }),
            (b"Submit Date:1 DONE_DATE:2", dated(b"1", b"2")),
            (b"id: 7 stat: UNDELIV err: 1 Text: id:8", ReceiptText { text: Some(b" id:8"), ..failed(b"1") }),
            // Ids of any spelling.
            (b"id:0x1F2e stat:DELIVRD", id(b"0x1F2e")),
            (b"id:7d1c0c1e-2f4b-4a52-9c5e-3f4ad2a8a6b1 stat:DELIVRD", id(b"7d1c0c1e-2f4b-4a52-9c5e-3f4ad2a8a6b1")),
            (b"id:01ARZ3NDEKTSV4RRFFQ69G5FAV stat:DELIVRD", id(b"01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            (b"id:SAR-+4917-7-3-1:2 stat:DELIVRD", id(b"SAR-+4917-7-3-1:2")),
            // Octets that are no text.
            (
                b"id:7 stat:UNDELIV err:1 text:\x05\0\x03\xff",
                ReceiptText { text: Some(b"\x05\0\x03\xff"), ..failed(b"1") },
            ),
            // Garbage around it, the first of two labels, a NUL at the end.
            (b"\x01\xfe ?: id:7 x:y stat:UNDELIV id:8 err:1\0", failed(b"1")),
            // Nothing of a receipt.
            (b"", none),
            (b"Please call me", none),
            (b"idle: stats: submit-date:1 submitted:1 donedate:1 sub", none),
        ];
        for (octets, receipt) in table {
            assert_eq!(ReceiptText::read(octets), *receipt, "{}", octets.escape_ascii());
            assert_eq!(judged(octets), *receipt, "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn only_receipts_are_taken_for_receipts() {
        assert!(ReceiptText::read(BASE).is_receipt());
        assert!(ReceiptText::read(b"id:7 stat:DELIVRD err:000").is_receipt());
        assert!(!ReceiptText::read(b"my id: 7").is_receipt());
        assert!(!ReceiptText::read(b"id:7 unknown").is_receipt());
        assert!(!ReceiptText::read(b"").is_receipt());
    }

    #[test]
    fn logs_do_not_show_the_text() {
        assert!(!format!("{:?}", ReceiptText::read(BASE)).contains("code"));
    }

    proptest! {
        #[test]
        fn any_octets_are_read(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(ReceiptText::read(&octets), judged(&octets));
        }

        /// Labels in every case, cut short and run together, words, gaps and octets that are none of these.
        #[test]
        fn the_scan_reads_what_its_judge_reads(pieces in proptest::collection::vec((0..30usize, any::<u16>()), 0..20)) {
            let table: [&[u8]; 30] = [
                b"id:", b"sub:", b"dlvrd:", b"submit date:", b"submit_date:", b"done date:", b"done_date:", b"stat:", b"err:",
                b"text:", b"txt:", b" ", b" ", b" ", b" ", b"  ", b"\0", b"\t", b"\n", b"\x0b", b"\xa0", b":", b"delivrd",
                b"nack", b"7", b"0123456789", b"submit", b"done ", b"\xff", b"i",
            ];
            let mut octets = Vec::new();
            for (piece, case) in pieces {
                let flip = |(at, octet): (usize, &u8)| match octet.is_ascii_alphabetic() && case >> (at % 16) & 1 == 1 {
                    true => octet ^ 0x20,
                    false => *octet,
                };
                octets.extend(table[piece].iter().enumerate().map(flip));
                // Now and then the piece loses its end.
                octets.truncate(octets.len() - usize::from(case % 11 == 0 && !octets.is_empty()));
            }
            prop_assert_eq!(ReceiptText::read(&octets), judged(&octets), "{}", octets.escape_ascii());
        }

        #[test]
        fn damaged_receipts_are_read(at in 0..BASE.len(), octet in any::<u8>(), end in 0..=BASE.len()) {
            let mut octets = BASE.to_vec();
            octets[at] = octet;
            prop_assert_eq!(ReceiptText::read(&octets[..end]), judged(&octets[..end]));
        }

        #[test]
        fn what_is_written_is_read(words in proptest::collection::vec("[!-9;-~]{1,20}", 7), text in ".*") {
            let word = |n: usize| Some(words[n].as_bytes());
            let [id, sub, dlvrd, submit_date, done_date, stat, err] = [0, 1, 2, 3, 4, 5, 6].map(word);
            let text = Some(text.as_bytes());
            let receipt = ReceiptText { id, sub, dlvrd, submit_date, done_date, stat, err, text };
            let mut out = BytesMut::new();
            receipt.write(&mut out);
            prop_assert_eq!(ReceiptText::read(&out), receipt);
        }
    }
}
