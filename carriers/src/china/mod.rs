//! What the protocols of China's carriers have in common beyond their conversation: how numbers and texts are written,
//! whose clock times are by, what reports say, and in what real gateways differ from the book.
//!
//! A protocol takes what it needs: [`dialect`] is its table of differences, [`text`] splits messages and reads them,
//! [`number`] writes numbers, [`zone`] times, [`stat`] reads reports; [`fit`] is how a channel judges a message, [`options`]
//! what a message may have otherwise than its account.

pub mod dialect;
pub mod fit;
pub mod number;
pub mod options;
pub mod stat;
pub mod text;
pub mod zone;
