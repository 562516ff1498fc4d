//! CMPP 2.0 and 3.0 (China Mobile): an SP or an ISMG on either side.
//!
//! [`Pdu::read`] takes one PDU as [`crate::framing::cut`] found it with [`LIMITS`], [`Pdu::write`] appends one; both are
//! told the [`Version`], which decides widths and fields. Texts in fixed fields end at their first NUL; some peers pad
//! with spaces instead, which whoever compares them trims. Lenient in reading where peers are known to stray (answers
//! in the other version's width, last fields cut or left out, stray octets after a body), strict in writing.
//!
//! [`Pdu::read`]: crate::pdu::Pdu::read
//! [`Pdu::write`]: crate::pdu::Pdu::write

mod active_test;
mod body;
mod cancel;
pub mod command;
mod connect;
mod deliver;
mod fwd;
mod msg_id;
mod query;
mod report;
pub mod status;
mod submit;
mod version;

pub use active_test::ActiveTestResp;
pub use body::{Body, Pdu, nack};
pub use cancel::{Cancel, CancelResp};
pub use connect::{Connect, ConnectResp};
pub use deliver::{Deliver, DeliverResp};
pub use fwd::{Fwd, FwdResp};
pub use msg_id::Origin;
pub use query::{Query, QueryResp};
pub use report::Report;
pub use submit::{Submit, SubmitResp};
pub use version::{Absent, Either, Number, Status, Version};

use crate::framing::Limits;

/// Length, command and sequence number before every body, in octets.
pub const HEADER: usize = 12;

/// What [`crate::framing::cut`] allows: a header at least; twice the longest submit allowed, of 99 recipients, at most.
pub const LIMITS: Limits = Limits { min: HEADER as u32, max: 8 * 1024 };
