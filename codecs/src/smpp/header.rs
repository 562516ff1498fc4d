//! The header before every PDU (SMPP 3.4 §3.2): length, command, status, sequence number.

use bytes::BufMut;

use crate::octets::{Cause, Reader};

/// Its size in octets.
pub const HEADER: usize = 16;

/// A PDU's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `command_length`: octets of the whole PDU, header included.
    pub length: u32,
    /// `command_id`.
    pub command: u32,
    /// `command_status`: 0 in requests.
    pub status: u32,
    /// `sequence_number`: 1 to 0x7FFFFFFF; an answer repeats its request's.
    pub sequence: u32,
}

impl Header {
    /// Takes a header from the front.
    pub fn read(from: &mut Reader<'_>) -> Result<Header, Cause> {
        Ok(Header { length: from.u32()?, command: from.u32()?, status: from.u32()?, sequence: from.u32()? })
    }

    /// Appends the header.
    pub fn write(&self, out: &mut impl BufMut) {
        let mut octets = [0; HEADER];
        let fields = [self.length, self.command, self.status, self.sequence];
        for (place, field) in octets.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
            *place = field.to_be_bytes();
        }
        out.put_slice(&octets);
    }
}
