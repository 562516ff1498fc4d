//! Octets to PDUs and back: what is on the wire, and nothing else.
//!
//! [`framing`] cuts a stream into PDUs by their length; a folder per protocol ([`smpp`], [`cmpp`], [`sgip`], [`smgp`])
//! reads and writes them over [`layout`], [`octets`] and, where the header allows it, [`pdu`]; [`text`] holds character
//! sets and the splitting of long messages, [`stat`] what reports say. Everything that is read borrows from the octets it
//! was read from. No I/O, no clock, no runtime; no input makes anything here panic.

pub mod cmpp;
mod digest;
pub mod framing;
pub mod layout;
pub mod octets;
pub mod pdu;
pub mod sgip;
pub mod smgp;
pub mod smpp;
pub mod stat;
pub mod text;
pub mod time;
pub mod tlv;
pub mod words;
