//! Carrier protocols as pure machines: PDUs on one side, "submit accepted, receipt came" on the other.
//!
//! The seam is [`session`]; [`protocol`] says what a protocol offers before a link exists. Nothing here opens a
//! socket or reads a clock: octets and [`Now`] come in, octets, events and the next deadline go out.
//! Adding a protocol is one folder and one line in [`PROTOCOLS`].

pub mod china;
pub mod cmpp;
pub mod compact;
pub mod dialogue;
pub mod inbound;
pub mod keepalive;
pub mod message;
pub mod numbers;
pub mod options;
pub mod outbox;
pub mod protocol;
pub mod secret;
pub mod session;
pub mod sgip;
pub mod smgp;
pub mod smpp;
pub mod stream;
pub mod table;
pub mod window;

pub use codecs::octets::all_digits;
pub use message::{CarrierId, Coding, Mo, Mt, Part, Parts, Quote, Receipt, ReceiptState, Segment, Unsendable};
pub use numbers::NumberSet;
pub use options::Options;
pub use protocol::{Common, Greeting, Leg, Life, Probe, Problem, Profile, Protocol, Reach, Role, Transport};
pub use session::{
    AttemptRef, Doubt, Event, Fault, Head, Inbound, Input, Now, Output, PathId, Payload, Refusal, Session, Settle,
    Ticket, Verdict,
};

/// Every protocol the gateway can speak, by [`Protocol::name`].
pub static PROTOCOLS: &[&dyn Protocol] = &[&smpp::Smpp, &cmpp::Cmpp, &sgip::Sgip, &smgp::Smgp];
