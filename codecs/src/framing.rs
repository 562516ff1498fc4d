//! Cutting a stream into PDUs by the length each begins with, before anything else is looked at.
//!
//! Two things go wrong on a stream and are kept apart: [`Broken`], a length that cannot be true, after which no PDU
//! boundary is known and the connection is lost; and [`Skip`], a bad PDU between good boundaries, which is answered and
//! passed over. Nothing is reserved for a length a peer claims: octets are waited for, not made room for.

/// Set in the command id of every answer (SMPP, CMPP, SGIP, SMGP); the rest of it is its request's.
pub const RESPONSE: u32 = 0x8000_0000;

/// What lengths a protocol allows for a whole PDU, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The header's size; nothing is shorter.
    pub min: u32,
    /// Nothing longer is taken.
    pub max: u32,
}

/// The stream is lost: its next PDU claims a length outside [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PDU claims {length} octets")]
pub struct Broken {
    /// The length claimed.
    pub length: u32,
}

/// A PDU that cannot be read on a stream that can: what is needed to answer it and go on. `S` is the protocol's
/// sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("command {command:#010x}, sequence {sequence}: {reason} cannot be read")]
pub struct Skip<S = u32> {
    /// The PDU's command id.
    pub command: u32,
    /// The PDU's sequence number.
    pub sequence: S,
    /// The status to answer with, in the protocol's own numbers.
    pub status: u32,
    /// The field at fault, as the protocol names it.
    pub reason: &'static str,
}

impl<S> Skip<S> {
    /// Whether the PDU was a request, so that the peer waits for an answer. Answers are never answered.
    pub fn is_request(&self) -> bool {
        self.command & RESPONSE == 0
    }
}

/// The length of the PDU `buffer` starts with: `None` while it is not there in full.
///
/// The length is an unsigned 32-bit number, big endian, at the very start, and counts itself (SMPP, CMPP, SGIP, SMGP).
pub fn cut(buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Broken> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if length < limits.min || length > limits.max {
        return Err(Broken { length });
    }
    let whole = usize::try_from(length).map_err(|_| Broken { length })?;
    Ok((buffer.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 8, max: 64 };

    #[test]
    fn waits_for_every_octet() {
        let mut pdu = vec![0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8];
        for end in 0..pdu.len() {
            assert_eq!(cut(&pdu[..end], &LIMITS), Ok(None), "{end}");
        }
        assert_eq!(cut(&pdu, &LIMITS), Ok(Some(12)));
        pdu.extend([0, 0, 0, 8]);
        assert_eq!(cut(&pdu, &LIMITS), Ok(Some(12)));
    }

    #[test]
    fn a_lying_length_breaks_the_stream_at_once() {
        for length in [0, 7, 65, u32::MAX] {
            assert_eq!(cut(&length.to_be_bytes(), &LIMITS), Err(Broken { length }));
        }
        for length in [8, 64_u32] {
            assert_eq!(cut(&length.to_be_bytes(), &LIMITS), Ok(None));
        }
    }
}
