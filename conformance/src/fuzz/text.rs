//! Octets as what stands inside PDUs: reports in every spelling, texts in every alphabet, headers, times.

use bytes::BytesMut;
use codecs::cmpp::{Report, Version};
use codecs::layout::Layout;
use codecs::smgp::report as smgp_report;
use codecs::smpp::receipt::ReceiptText;
use codecs::text::split::{Reference, count, split};
use codecs::text::{Alphabet, msg_fmt, udh};
use codecs::time::Moment;
use codecs::{smpp, stat};

const ALPHABETS: [Alphabet; 5] = [Alphabet::Gsm7, Alphabet::Ascii, Alphabet::Latin1, Alphabet::Gbk, Alphabet::Ucs2];

/// A report's content: found or not in each protocol's form, and what is found lies inside.
pub(super) fn report(octets: &[u8]) {
    let inside = octets.as_ptr_range();
    let lies_inside = |field: &[u8]| {
        let field = field.as_ptr_range();
        assert!(field.start == field.end || inside.start <= field.start && field.end <= inside.end);
    };
    for text in [ReceiptText::read(octets), smgp_report::read(octets)] {
        let fields = [text.id, text.sub, text.dlvrd, text.submit_date, text.done_date, text.stat, text.err, text.text];
        fields.into_iter().flatten().for_each(lies_inside);
        let _ = (smgp_report::msg_id(&text), text.is_receipt(), format!("{text:?}"));
        text.err.map(smgp_report::err::of);
        text.stat.map(carriers::china::stat::state);
    }
    if let Some(report) = Report::find(octets) {
        lies_inside(report.stat);
        lies_inside(report.dest_terminal_id);
        // A block as wide as the book has it is written as it was, but for what stood behind a NUL.
        for (version, width) in [(Version::V20, 60), (Version::V30, 71)] {
            if octets.len() == width {
                let mut again = BytesMut::new();
                report.write(version, &mut again);
                assert_eq!(Report::find(&again), Some(report));
            }
        }
    }
    let (state, _) = carriers::china::stat::state(octets);
    let _ = (state.is_final(), stat::words(octets));
    lies_inside(stat::trimmed(octets));
}

/// A text's octets, the first of which is its coding.
pub(super) fn text(octets: &[u8]) {
    let Some((coding, octets)) = octets.split_first() else { return };
    let _ = msg_fmt::alphabet(*coding, octets);
    if let Some(header) = udh::read(octets) {
        assert!(header.octets <= octets.len());
        let place = header.concat.map_or((1, 1), |concat| (concat.sequence, concat.total));
        assert!(place.0 >= 1 && place.0 <= place.1, "part {} of {}", place.0, place.1);
    }
    for alphabet in ALPHABETS {
        let text = alphabet.decode(octets);
        assert!(text.chars().count() <= octets.len());
        let kept: String = text.chars().filter(|c| alphabet.units(*c).is_some()).collect();
        let mut again = BytesMut::new();
        alphabet.encode(&kept, &mut again);
        assert_eq!(alphabet.decode(&again), kept, "{alphabet:?}");
        for reference in [Reference::Udh8(7), Reference::Udh16(0x1234), Reference::Apart] {
            if let Ok(parts) = split(&kept, alphabet, reference, 255) {
                assert_eq!(parts.len(), count(&kept, alphabet, reference), "{alphabet:?}");
                assert!(parts.iter().all(|part| !part.udh || udh::read(&part.data).is_some()), "{alphabet:?}");
            }
        }
    }
    if let Some(moment) = Moment::read(octets) {
        assert_eq!(Moment::read(&moment.digits()), Some(moment));
    }
    if let Some(time) = smpp::time::read_relative(octets) {
        let _ = smpp::time::relative(time);
    }
}
