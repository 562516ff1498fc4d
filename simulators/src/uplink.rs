//! Uplink messages cut into parts, as a handset and its network do it: by octets, wherever the text happens to be.

use bytes::{BufMut, Bytes, BytesMut};
use codecs::text::{Alphabet, cheapest};
use serde::Deserialize;

use crate::delivery::{Mo, Segment};
use crate::records::Concat;

/// User data of one short message, in octets on the air.
const USER_DATA: usize = 140;

/// How parts are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Long {
    /// A user data header with an 8-bit reference.
    Udh8,
    /// A user data header with a 16-bit reference.
    Udh16,
    /// The protocol's own fields (SMPP sar_*).
    Sar,
}

/// How a long uplink message is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// How parts are marked.
    pub long: Long,
    /// Their reference.
    #[serde(default)]
    pub reference: u16,
    /// Which parts are sent, from 1, in this order; a part not named is never sent, one named twice is sent twice.
    /// Empty: all, in order.
    #[serde(default)]
    pub order: Vec<u8>,
    /// Octets of text in each part, cut without regard to characters; absent: as many as fit.
    pub cut: Option<usize>,
}

/// The messages to be delivered, in order: one, or the parts that `parts` asks for.
///
/// # Errors
/// Too many parts, or one asked for that there is not. `alphabets` are those tried before UCS-2.
pub fn cut(from: &str, to: &str, text: &str, parts: Option<&Parts>, alphabets: &[Alphabet]) -> Result<Vec<Mo>, String> {
    let whole = Mo { from: from.into(), to: to.into(), text: text.into(), segment: None };
    let Some(Parts { long, reference, order, cut }) = parts else { return Ok(vec![whole]) };
    let alphabet = cheapest(text, alphabets);
    let mut octets = BytesMut::new();
    alphabet.encode(text, &mut octets);
    let header = if *long == Long::Udh16 { 7 } else { 6 };
    let fitting = room(alphabet, USER_DATA - header);
    let pieces: Vec<&[u8]> = octets.chunks(cut.unwrap_or(fitting).max(1)).collect();
    let total = u8::try_from(pieces.len()).map_err(|_| "more than 255 parts".to_owned())?;
    let reference = if *long == Long::Udh8 { reference & 0xFF } else { *reference };
    let part = |seq: u8| {
        let piece = pieces.get(usize::from(seq).wrapping_sub(1)).ok_or(format!("there is no part {seq} of {total}"))?;
        let concat = Concat { reference, total, seq };
        let segment = Segment { concat, alphabet, udh: *long != Long::Sar, data: data(*long, concat, piece) };
        Ok(Mo { segment: Some(segment), ..whole.clone() })
    };
    if order.is_empty() { (1..=total).map(part).collect() } else { order.iter().map(|seq| part(*seq)).collect() }
}

/// Octets of text that fit beside a header. Only SMPP's centre packs septets: elsewhere 140 octets are 140.
fn room(alphabet: Alphabet, octets: usize) -> usize {
    match alphabet {
        Alphabet::Gsm7 => octets * 8 / 7,
        Alphabet::Ucs2 => octets & !1,
        Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Gbk => octets,
    }
}

/// Whether a text does not fit one short message.
pub fn is_long(text: &str, alphabets: &[Alphabet]) -> bool {
    let alphabet = cheapest(text, alphabets);
    let octets = if alphabet == Alphabet::Ucs2 { 2 } else { 1 };
    alphabet.measure(text).is_none_or(|units| units * octets > room(alphabet, USER_DATA))
}

/// Header, where parts have one, and text.
fn data(long: Long, Concat { reference, total, seq }: Concat, piece: &[u8]) -> Bytes {
    let mut data = BytesMut::with_capacity(7 + piece.len());
    match long {
        Long::Udh8 => data.put_slice(&[5, 0, 3, reference as u8, total, seq]),
        Long::Udh16 => {
            data.put_slice(&[6, 8, 4]);
            data.put_u16(reference);
            data.put_slice(&[total, seq]);
        }
        Long::Sar => {}
    }
    data.put_slice(piece);
    data.freeze()
}

#[cfg(test)]
mod tests {
    use codecs::text::udh;

    use super::*;

    fn parts(long: Long, order: &[u8], cut: Option<usize>) -> Parts {
        Parts { long, reference: 0x0102, order: order.to_vec(), cut }
    }

    fn sent(text: &str, how: &Parts) -> Vec<Segment> {
        cut("1", "2", text, Some(how), &[Alphabet::Gsm7]).unwrap().into_iter().map(|mo| mo.segment.unwrap()).collect()
    }

    #[test]
    fn parts_say_their_place_each_in_its_way() {
        for (long, reference, header) in [(Long::Udh8, 2, 6), (Long::Udh16, 0x0102, 7), (Long::Sar, 0x0102, 0)] {
            let parts = sent(&"x".repeat(300), &parts(long, &[], None));
            assert_eq!(parts.len(), 2, "{long:?}");
            for (part, seq) in parts.iter().zip(1..) {
                assert_eq!(part.concat, Concat { reference, total: 2, seq });
                let read = part.udh.then(|| udh::read(&part.data).unwrap());
                assert_eq!(read.map_or(0, |read| read.octets), header);
                let concat = read.and_then(|read| read.concat).map(|concat| (concat.reference, concat.sequence));
                assert!(concat.is_none_or(|concat| concat == (reference, seq)));
            }
        }
    }

    #[test]
    fn cuts_fall_where_they_fall_and_some_parts_may_be_missing() {
        let parts = sent("a😀b", &parts(Long::Sar, &[2, 1, 2], Some(4)));
        let octets: Vec<&[u8]> = parts.iter().map(|part| &part.data[..]).collect();
        let (first, second) = (&[0, b'a', 0xd8, 0x3d][..], &[0xde, 0, 0, b'b'][..]);
        assert_eq!(octets, [second, first, second], "a surrogate pair is cut");
        assert_eq!(parts.iter().map(|part| part.concat.seq).collect::<Vec<_>>(), [2, 1, 2]);
    }

    #[test]
    fn what_is_not_there_cannot_be_sent() {
        assert!(cut("1", "2", "abc", Some(&parts(Long::Udh8, &[2], None)), &[Alphabet::Gsm7]).is_err());
        assert!(cut("1", "2", &"x".repeat(256), Some(&parts(Long::Udh8, &[], Some(1))), &[Alphabet::Gsm7]).is_err());
        assert_eq!(cut("1", "2", &"x".repeat(300), None, &[Alphabet::Gsm7]).unwrap().len(), 1);
    }
}
