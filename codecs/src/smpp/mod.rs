//! SMPP 3.4, with what 5.0 adds to its statuses and TLVs: an MC or an ESME on either side.
//!
//! [`Pdu::read`] takes one PDU as [`crate::framing::cut`] found it with [`LIMITS`], [`Pdu::write`] appends one. Lenient
//! in reading where the field is known to stray (answers without a body, stray octets, unknown TLVs), strict in writing.

mod bind;
pub mod command;
mod header;
mod pdu;
pub mod receipt;
mod sm;
pub mod status;
pub mod tag;
pub mod time;

pub use crate::tlv::{Tlvs, put as put_tlv};
pub use bind::{Bind, BindResp};
pub use header::{HEADER, Header};
pub use pdu::{Body, Pdu, answer_deliver};
pub use sm::{Sm, SmResp};

use crate::framing::Limits;

/// What [`crate::framing::cut`] allows: a header at least; room for the greatest `message_payload` and more at most.
pub const LIMITS: Limits = Limits { min: HEADER as u32, max: 70 * 1024 };
