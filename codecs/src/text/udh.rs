//! User data headers (3GPP TS 23.040 §9.2.3.24): information elements before the text, of which only concatenation
//! matters here. Read with suspicion: what lies about its length is no header.

use crate::octets::Reader;

/// Concatenation with an 8-bit reference.
const CONCAT_8: u8 = 0x00;
/// Concatenation with a 16-bit reference.
const CONCAT_16: u8 = 0x08;

/// Whether `TP_udhi` as CMPP, SGIP and SMGP carry it says that the text has a header: 1, or 0x40 where a gateway passes
/// an SMPP `esm_class` through.
pub fn is_indicated(tp_udhi: u8) -> bool {
    tp_udhi & 0x41 != 0
}

/// A header found before the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udh {
    /// Its size with its own length octet: where the text starts.
    pub octets: usize,
    /// Which part of which long message this is, if any.
    pub concat: Option<Concat>,
}

/// A part's place in a long message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// Shared by the parts.
    pub reference: u16,
    /// Number of parts, from 1.
    pub total: u8,
    /// Which one this is, 1 to `total`.
    pub sequence: u8,
}

/// Reads the header that `data` starts with; `None` where it claims more octets than there are.
pub fn read(data: &[u8]) -> Option<Udh> {
    let mut reader = Reader::new(data);
    let length = reader.u8().ok()?;
    let mut elements = Reader::new(reader.bytes(length.into()).ok()?);
    let mut concat = None;
    while let (Ok(element), Ok(length)) = (elements.u8(), elements.u8()) {
        let Ok(value) = elements.bytes(length.into()) else { break };
        concat = concatenation(element, value).or(concat);
    }
    Some(Udh { octets: 1 + usize::from(length), concat })
}

fn concatenation(element: u8, value: &[u8]) -> Option<Concat> {
    let (reference, total, sequence) = match (element, value) {
        (CONCAT_8, &[reference, total, sequence]) => (reference.into(), total, sequence),
        (CONCAT_16, &[high, low, total, sequence]) => (u16::from_be_bytes([high, low]), total, sequence),
        _ => return None,
    };
    (1..=total).contains(&sequence).then_some(Concat { reference, total, sequence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_references_are_read() {
        let concat = Some(Concat { reference: 0x2a, total: 3, sequence: 2 });
        assert_eq!(read(&[5, 0, 3, 0x2a, 3, 2, b'x']), Some(Udh { octets: 6, concat }));
        let concat = Some(Concat { reference: 0x1234, total: 3, sequence: 3 });
        assert_eq!(read(&[6, 8, 4, 0x12, 0x34, 3, 3]), Some(Udh { octets: 7, concat }));
    }

    #[test]
    fn other_elements_are_passed_over() {
        let ports_then_concat = [11, 5, 4, 0x0b, 0x84, 0x23, 0xf0, 0, 3, 1, 2, 1, b'x'];
        let concat = Some(Concat { reference: 1, total: 2, sequence: 1 });
        assert_eq!(read(&ports_then_concat), Some(Udh { octets: 12, concat }));
        assert_eq!(read(&[0, b'x']), Some(Udh { octets: 1, concat: None }));
    }

    #[test]
    fn either_bit_indicates_a_header() {
        assert!(is_indicated(1) && is_indicated(0x40) && is_indicated(0x41));
        assert!(!is_indicated(0) && !is_indicated(2));
    }

    #[test]
    fn lies_are_not_believed() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[5, 0, 3, 1, 2]), None);
        assert_eq!(read(b"Hello"), None);
        for impossible in [[5, 0, 3, 1, 0, 0], [5, 0, 3, 1, 2, 3], [5, 0, 3, 1, 2, 0], [5, 0, 4, 1, 2, 1]] {
            assert_eq!(read(&impossible), Some(Udh { octets: 6, concat: None }));
        }
    }

    proptest! {
        #[test]
        fn a_header_never_ends_outside(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(udh) = read(&data) {
                prop_assert!(udh.octets <= data.len());
            }
        }
    }
}
