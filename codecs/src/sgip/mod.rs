//! SGIP 1.2 (China Unicom), with the codes 1.3 adds: an SP or an SMG on either side, of connections in both directions.
//!
//! [`Pdu::read`] takes one PDU as [`crate::framing::cut`] found it with [`LIMITS`], [`Pdu::write`] appends one. The
//! twelve octets of a Submit's [`Sequence`] are the message's id: its Report names them. Lenient in reading where peers
//! are known to stray (answers without their reserve, bodies where none belongs), strict in writing.
//!
//! [`Pdu::read`]: crate::pdu::Pdu::read
//! [`Pdu::write`]: crate::pdu::Pdu::write

mod bind;
mod body;
pub mod command;
mod deliver;
mod report;
mod resp;
pub mod result;
mod sequence;
mod submit;
mod user_rpt;

pub use bind::{Bind, login_type};
pub use body::{Body, Pdu, nack};
pub use deliver::Deliver;
pub use report::{Report, state};
pub use resp::Resp;
pub use sequence::{Sequence, sp_node};
pub use submit::{Submit, report_flag};
pub use user_rpt::{UserRpt, user_condition};

use crate::framing::Limits;

/// Length, command and sequence number before every body, in octets.
pub const HEADER: usize = 20;

/// What [`crate::framing::cut`] allows: a header at least; three times the longest submit allowed, of 100 recipients, at
/// most.
pub const LIMITS: Limits = Limits { min: HEADER as u32, max: 8 * 1024 };
