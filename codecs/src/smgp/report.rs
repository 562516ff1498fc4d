//! The text that says what became of a message, in the content of a Deliver (SMGP 3.0): SMPP's receipt with the
//! `MsgID` as ten octets in its midst, which may look like anything, spaces and labels among it.

use bytes::{BufMut, BytesMut};

use crate::octets::at_most;
pub use crate::smpp::receipt::ReceiptText;

/// Where the first label is, and what stands after a raw id.
const ID: &[u8] = b"id:";
const AFTER_ID: &[u8] = b" sub:";
/// Octets of an id.
const ID_OCTETS: usize = 10;

/// The fields of a report, `id` as it stands; see [`msg_id`]. Every one may be missing. Where no outcome can be found by
/// its label, fields are taken from where the specification has them.
pub fn read(content: &[u8]) -> ReceiptText<'_> {
    let found = match raw_id(content) {
        Some((id, rest)) => ReceiptText { id: Some(id), ..ReceiptText::read(rest) },
        None => ReceiptText::read(content),
    };
    if found.stat.is_some() { found } else { by_place(content).unwrap_or(found) }
}

/// An id of ten raw octets, and what follows it.
fn raw_id(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (label, rest) = content.split_at_checked(ID.len())?;
    let (id, rest) = rest.split_at_checked(ID_OCTETS)?;
    let after = at_most(rest, AFTER_ID.len());
    (label.eq_ignore_ascii_case(ID) && after.eq_ignore_ascii_case(AFTER_ID)).then_some((id, rest))
}

/// The fields by their place, whatever their labels.
fn by_place(content: &[u8]) -> Option<ReceiptText<'_>> {
    let label = content.get(..ID.len())?;
    let field = |start: usize, octets: usize| content.get(start..start + octets).map(<[u8]>::trim_ascii);
    label.eq_ignore_ascii_case(ID).then_some(ReceiptText {
        id: content.get(3..13),
        sub: field(18, 3),
        dlvrd: field(28, 3),
        submit_date: field(44, 10),
        done_date: field(65, 10),
        stat: Some(field(81, 7)?),
        err: field(93, 3),
        text: content.get(102..),
    })
}

/// The message a report is about: its `id`, of ten octets or of twenty hexadecimal digits.
pub fn msg_id(report: &ReceiptText<'_>) -> Option<[u8; ID_OCTETS]> {
    let id = report.id?;
    if let Ok(raw) = id.try_into() {
        return Some(raw);
    }
    let digits = <&[u8; 2 * ID_OCTETS]>::try_from(id).ok()?;
    let mut octets = [0; ID_OCTETS];
    for (octet, pair) in octets.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *octet = (high? << 4 | low?) as u8;
    }
    Some(octets)
}

/// How the two dates are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `submit date:`, `done date:`
    Spaced,
    /// `submit_date:`, `done_date:`
    Underscored,
}

/// Appends a report, leaving out what is `None`. By the book it is 122 octets: an id of 10, a text of 20, and the others
/// as long as in [`ReceiptText`]'s examples.
pub fn write(report: &ReceiptText<'_>, spelling: Spelling, out: &mut BytesMut) {
    match spelling {
        Spelling::Spaced => report.write(out),
        Spelling::Underscored => {
            ReceiptText { submit_date: None, done_date: None, stat: None, err: None, text: None, ..*report }.write(out);
            for (label, value) in [("submit_date:", report.submit_date), ("done_date:", report.done_date)] {
                let Some(value) = value else { continue };
                out.put_u8(b' ');
                out.put_slice(label.as_bytes());
                out.put_slice(value);
            }
            out.put_u8(b' ');
            ReceiptText { stat: report.stat, err: report.err, text: report.text, ..ReceiptText::default() }.write(out);
        }
    }
}

/// What `err` says, by the specification; carriers use many others.
pub mod err {
    use crate::words::{Words, codes};

    codes! { u16:
        OK = 0 "成功" "ok"
        CANNOT_COMMUNICATE = 1 "用户不能通信" "user cannot communicate"
        BUSY = 2 "用户忙" "user busy"
        NO_TERMINAL = 3 "终端无此部件号" "no such terminal part"
        ILLEGAL_USER = 4 "非法用户" "illegal user"
        BLACKLISTED = 5 "用户在黑名单内" "user on the blacklist"
        SYSTEM = 6 "系统错误" "system error"
        MEMORY_FULL = 7 "用户内存满" "handset memory full"
        NOT_SMS = 8 "非信息终端" "no SMS terminal"
        DATA = 9 "数据错误" "data error"
        DATA_LOST = 10 "数据丢失" "data lost"
        UNKNOWN = 999 "未知错误" "unknown error"
    }

    /// What the three digits of a report say.
    pub fn of(digits: &[u8]) -> Option<Words> {
        std::str::from_utf8(digits).ok()?.trim().parse().ok().and_then(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(id: &[u8]) -> ReceiptText<'_> {
        ReceiptText {
            id: Some(id),
            sub: Some(b"001"),
            dlvrd: Some(b"001"),
            submit_date: Some(b"2611220350"),
            done_date: Some(b"2611220352"),
            stat: Some(b"DELIVRD"),
            err: Some(b"000"),
            text: Some(b"005hello\0\0\0\0\0\0\0\0\0\0\0\0"),
        }
    }

    fn written(report: &ReceiptText<'_>, spelling: Spelling) -> BytesMut {
        let mut out = BytesMut::new();
        write(report, spelling, &mut out);
        out
    }

    #[test]
    fn both_spellings_are_as_long_as_the_book_has_them_and_read_the_same() {
        let report = report(&[0x57, 0x10, 0x62, 0x11, 0x22, 0x03, 0x52, 0x30, 0x00, 0x02]);
        for spelling in [Spelling::Spaced, Spelling::Underscored] {
            let text = written(&report, spelling);
            assert_eq!(text.len(), 122);
            assert_eq!(read(&text), report);
        }
    }

    #[test]
    fn labels_are_read_in_every_spelling_seen() {
        let id = [0x20, 0x3a, 0, 0x69, 0x64, 0x3a, 0x20, 0x20, 0, 0x0a];
        for (from, to) in [
            ("submit date:", "Submit date:"),
            ("submit date:", "Submit_Date:"),
            ("done date:", "Done_Date: "),
            ("text:", "Text:"),
            ("text:", "txt:"),
            ("id:", "ID:"),
            (" sub:", " Sub:"),
        ] {
            let mut text = written(&report(&id), Spelling::Spaced).to_vec();
            let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            text.splice(at..at + from.len(), to.bytes());
            assert_eq!(read(&text), report(&id), "{to}");
            assert_eq!(msg_id(&read(&text)), Some(id));
        }
    }

    #[test]
    fn labels_beyond_recognition_leave_their_places() {
        let id = [7; 10];
        let text: Vec<u8> =
            written(&report(&id), Spelling::Spaced).iter().map(|&o| if o == b':' { b'=' } else { o }).collect();
        let text = [b"id:", &text[3..]].concat();
        assert_eq!(read(&text), report(&id));
        assert_eq!(read(&text[..60]).stat, None);
    }

    #[test]
    fn an_id_that_looks_like_a_label_is_an_id() {
        for id in [b" stat:NO\0 ", b"\0sub:7 id:", b" sub: err:"] {
            let text = written(&report(id), Spelling::Spaced);
            assert_eq!(read(&text), report(id), "{}", id.escape_ascii());
        }
    }

    #[test]
    fn ids_in_digits_are_the_same_ids() {
        let found = read(b"id:57106211220352300002 sub:001 dlvrd:001 stat:UNDELIV err:660");
        assert_eq!(msg_id(&found), Some([0x57, 0x10, 0x62, 0x11, 0x22, 0x03, 0x52, 0x30, 0x00, 0x02]));
        assert_eq!((found.stat, found.err), (Some(&b"UNDELIV"[..]), Some(&b"660"[..])));
        assert_eq!(msg_id(&read(b"id:5710621122035230000x stat:DELIVRD")), None);
        assert_eq!(msg_id(&read(b"id:5 stat:DELIVRD")), None);
        assert_eq!(msg_id(&read(b"stat:DELIVRD")), None);
    }

    #[test]
    fn errors_have_words_where_the_book_has_them() {
        assert_eq!(err::of(b"005").map(|words| words.en), Some("user on the blacklist"));
        for other in [&b"660"[..], b"", b"abc", b"\xff"] {
            assert_eq!(err::of(other), None);
        }
    }

    proptest! {
        #[test]
        fn any_id_comes_back(id in any::<[u8; 10]>(), underscored in any::<bool>()) {
            let spelling = if underscored { Spelling::Underscored } else { Spelling::Spaced };
            let text = written(&report(&id), spelling);
            prop_assert_eq!(read(&text), report(&id));
            prop_assert_eq!(msg_id(&read(&text)), Some(id));
        }

        #[test]
        fn any_octets_can_be_read(content in proptest::collection::vec(any::<u8>(), 0..255)) {
            let _ = msg_id(&read(&content));
            let _ = msg_id(&read(&[b"id:", &content[..]].concat()));
        }
    }
}
