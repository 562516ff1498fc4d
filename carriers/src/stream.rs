//! A stream's octets to whole PDUs: read in place where they arrive whole, kept only where one is not complete yet.
//!
//! [`Cutter`] serves every protocol whose PDUs begin with their length. It copies each octet at most once and holds
//! less than one PDU between two inputs.

use std::fmt;

use bytes::BytesMut;
use codecs::framing::{Broken, Limits, cut};

/// Beyond this a buffer is given back once the PDU it grew for has been read.
const KEPT: usize = 4096;

/// The beginning of a PDU whose end has not arrived.
#[derive(Default)]
pub struct Cutter {
    rest: BytesMut,
}

/// Shows the amount only: the octets hold message text.
impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cutter({} octets)", self.rest.len())
    }
}

impl Cutter {
    /// Hands every PDU completed by `input` to `take`, in order; stops at the first error.
    pub fn feed<E: From<Broken>>(
        &mut self,
        limits: &Limits,
        mut input: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            if self.rest.is_empty() {
                let Some(whole) = cut(input, limits)? else {
                    self.rest.extend_from_slice(input);
                    return Ok(());
                };
                let (pdu, more) = input.split_at(whole);
                input = more;
                take(pdu)?;
                continue;
            }
            let missing = self.missing().min(input.len());
            let (head, more) = input.split_at(missing);
            input = more;
            self.rest.extend_from_slice(head);
            if cut(&self.rest, limits)?.is_some() {
                take(&self.rest)?;
                self.rest.clear();
                if self.rest.capacity() > KEPT {
                    self.rest = BytesMut::new();
                }
            }
        }
        Ok(())
    }

    /// Octets until the length can be read, then until the PDU is whole.
    fn missing(&self) -> usize {
        let wanted = match self.rest.first_chunk::<4>() {
            Some(length) => u32::from_be_bytes(*length) as usize,
            None => 4,
        };
        wanted.saturating_sub(self.rest.len()).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 4, max: 100 };

    fn pdus(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut cutter = Cutter::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            cutter.feed(&LIMITS, chunk, |pdu| {
                seen.push(pdu.to_vec());
                Ok::<(), Broken>(())
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn any_split_gives_the_same_pdus() {
        let stream = [0, 0, 0, 6, 1, 2, 0, 0, 0, 4, 0, 0, 0, 5, 9];
        let whole = pdus(&[&stream]).unwrap();
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [6, 4, 5]);
        for a in 0..=stream.len() {
            for b in a..=stream.len() {
                assert_eq!(pdus(&[&stream[..a], &stream[a..b], &stream[b..]]).unwrap(), whole, "{a} {b}");
            }
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(pdus(&single).unwrap(), whole);
    }

    #[test]
    fn a_buffer_grown_for_a_long_pdu_is_given_back() {
        const LONG: Limits = Limits { min: 4, max: 70_000 };
        let mut pdu = 60_000_u32.to_be_bytes().to_vec();
        pdu.resize(60_000, 0);
        let mut cutter = Cutter::default();
        for chunk in pdu.chunks(1000) {
            cutter.feed(&LONG, chunk, |_| Ok::<(), Broken>(())).unwrap();
        }
        assert!(cutter.rest.capacity() <= KEPT);
    }

    #[test]
    fn a_lying_length_is_found_before_its_octets() {
        assert_eq!(pdus(&[&[0, 0], &[0, 200]]), Err(Broken { length: 200 }));
        assert_eq!(pdus(&[&[0, 0, 0, 3, 1, 2, 3, 4]]), Err(Broken { length: 3 }));
    }
}
