//! The block that says what became of a message, in the content of a DELIVER (CMPP 3.0 §8.4.5.1): 60 octets with the
//! phone number as wide as in 2.0, 71 as in 3.0. Many gateways send 60 on 3.0 connections, so its length decides.

use super::version::{Number, Version};
use crate::layout::{Fixed, Hidden, Layout, layout};
use crate::octets::{Reader, until_nul};

layout! {
    /// What became of a message. Written as wide as the version has it.
    pub struct Report<'a> in Version {
        /// The message, as SUBMIT_RESP named it.
        msg_id: [u8; 8],
        /// `DELIVRD` or another outcome; see [`crate::stat`].
        stat: &'a [u8] as Fixed<7>,
        /// When it was submitted, `YYMMDDhhmm`; often empty, zeros or nonsense. See [`crate::time::Moment::read`].
        submit_time: &'a [u8] as Fixed<10>,
        /// When it ended, likewise.
        done_time: &'a [u8] as Fixed<10>,
        /// The recipient.
        dest_terminal_id: &'a [u8] as Hidden<Number>,
        /// The SMSC's own number.
        smsc_sequence: u32,
    }
}

/// Octets before the phone number.
const BEFORE_NUMBER: usize = 35;
/// Octets after it.
const AFTER_NUMBER: usize = 4;

impl<'a> Report<'a> {
    /// The report in a DELIVER's content. Blocks of other lengths are read as far as they go, with whatever stands between
    /// times and SMSC number as the phone number; `None` where not even id and outcome are whole.
    pub fn find(content: &'a [u8]) -> Option<Report<'a>> {
        match content.len() {
            60 => Report::read(&mut Reader::new(content), Version::V20).ok(),
            71 => Report::read(&mut Reader::new(content), Version::V30).ok(),
            length => {
                let mut reader = Reader::new(content);
                let msg_id = reader.array().ok()?;
                let stat = reader.fixed(7).ok()?;
                let mut report = Report { msg_id, stat, ..Report::default() };
                report.submit_time = reader.fixed(10).unwrap_or_default();
                report.done_time = reader.fixed(10).unwrap_or_default();
                if let Some(number) = length.checked_sub(BEFORE_NUMBER + AFTER_NUMBER) {
                    report.dest_terminal_id = until_nul(reader.bytes(number).unwrap_or_default());
                    report.smsc_sequence = reader.u32().unwrap_or_default();
                }
                Some(report)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    const REPORT: Report<'_> = Report {
        msg_id: [0xbb, 0x0e, 0xf4, 0, 0x27, 0x1a, 0, 1],
        stat: b"DELIVRD",
        submit_time: b"2611220347",
        done_time: b"2611220348",
        dest_terminal_id: b"13800138000",
        smsc_sequence: 7,
    };

    fn block(version: Version) -> BytesMut {
        let mut block = BytesMut::new();
        REPORT.write(version, &mut block);
        block
    }

    #[test]
    fn the_blocks_length_decides() {
        let (narrow, wide) = (block(Version::V20), block(Version::V30));
        assert_eq!((narrow.len(), wide.len()), (60, 71));
        assert_eq!(Report::find(&narrow), Some(REPORT));
        assert_eq!(Report::find(&wide), Some(REPORT));
    }

    #[test]
    fn other_lengths_are_read_as_far_as_they_go() {
        let narrow = block(Version::V20);
        let odd = [&narrow[..50], &narrow[56..]].concat();
        assert_eq!(Report::find(&odd), Some(REPORT));
        let longer = [&narrow[..56], &[0; 30], &narrow[56..]].concat();
        assert_eq!(Report::find(&longer), Some(REPORT));
        let bare = Report { msg_id: REPORT.msg_id, stat: b"DELIVRD", ..Report::default() };
        assert_eq!(Report::find(&narrow[..15]), Some(bare));
        assert_eq!(Report::find(&narrow[..25]), Some(Report { submit_time: REPORT.submit_time, ..bare }));
        assert_eq!(Report::find(&narrow[..14]), None);
        assert_eq!(Report::find(b""), None);
    }

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..100)) {
            round_trip::<Report<'_>, _>(&entropy, Version::V20, &mut BytesMut::new());
            round_trip::<Report<'_>, _>(&entropy, Version::V30, &mut BytesMut::new());
        }

        #[test]
        fn any_octets_are_a_report_or_not(content in proptest::collection::vec(any::<u8>(), 0..255)) {
            prop_assert_eq!(Report::find(&content).is_some(), content.len() >= 15);
        }
    }
}
