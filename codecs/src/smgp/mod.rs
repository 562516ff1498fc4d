//! SMGP 3.0 (China Telecom): an SP or an SMGW on either side.
//!
//! [`Pdu::read`] takes one PDU as [`crate::framing::cut`] found it with [`LIMITS`], [`Pdu::write`] appends one. TLVs are
//! kept, known ones ([`tag`]) and others. Lenient in reading where peers are known to stray (digests and reserves left
//! out, octets at the end that are no TLV), strict in writing.
//!
//! [`Pdu::read`]: crate::pdu::Pdu::read
//! [`Pdu::write`]: crate::pdu::Pdu::write

mod body;
pub mod command;
mod deliver;
mod login;
mod msg_id;
mod query;
pub mod report;
pub mod status;
mod submit;
pub mod tag;

pub use crate::tlv::{Tlvs, put as put_tlv};
pub use body::{Body, Pdu, nack};
pub use deliver::{Deliver, DeliverResp};
pub use login::{Login, LoginResp, login_mode};
pub use msg_id::Origin;
pub use query::{Query, QueryResp};
pub use submit::{Submit, SubmitResp};

use crate::framing::Limits;

/// Length, command and sequence number before every body, in octets.
pub const HEADER: usize = 12;

/// The version of these layouts, as Login carries it: major version in the high half, minor in the low.
pub const VERSION: u8 = 0x30;

/// What [`crate::framing::cut`] allows: a header at least; three times the longest submit allowed, of 100 recipients, at
/// most.
pub const LIMITS: Limits = Limits { min: HEADER as u32, max: 8 * 1024 };
