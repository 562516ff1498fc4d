//! Qiao from outside: a harness that runs the real programs as processes on loopback, as a user would.
//!
//! [`Stage`] sets the whole scene: simulated carriers, a callback sink, a configuration directory and the gateway.
//! Whatever does not come about in time panics with what the processes said: a harness fails its test, nothing else.
//! Every process is killed when its owner is dropped; waiting is always for a fact, with a deadline ([`wait::until`]).

#![allow(clippy::unwrap_used, reason = "what cannot be done here fails the test that asked for it")]

pub mod account;
pub mod books;
pub mod disk;
pub mod far;
pub mod foreign;
pub mod fuzz;
pub mod gateway;
pub mod http;
pub mod ports;
pub mod process;
pub mod programs;
pub mod proofs;
pub mod shims;
pub mod stage;
pub mod wait;

pub use account::Protocol;
pub use gateway::Gateway;
pub use process::Process;
pub use stage::{Carrier, Plan, Stage};
