//! The far side: what stands around a gateway under test, and judges it.
//!
//! Simulated carriers with faults ([`scenario`], [`carrier`], [`control`]), a load client ([`load`]), a callback
//! sink ([`callbacks`]) and the checker that compares what all three wrote down ([`ledger`]).
//! Knows wire formats through `codecs` and nothing of the gateway's own code: it could not share its mistakes.

pub mod alarm;
pub mod args;
pub mod callbacks;
pub mod carrier;
pub mod centre;
pub mod clock;
pub mod cmpp;
pub mod control;
pub mod conversation;
pub mod delivery;
pub mod desk;
pub mod fault;
#[cfg(test)]
mod hall;
pub mod known;
pub mod latency;
pub mod ledger;
pub mod lines;
pub mod load;
pub mod quirks;
pub mod records;
pub mod scenario;
pub mod serve;
pub mod sgip;
pub mod simulator;
pub mod smgp;
pub mod smpp;
pub mod text;
pub mod tongue;
pub mod uplink;

pub use simulator::Simulator;
