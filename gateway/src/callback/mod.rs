//! Events to applications after Standard Webhooks: signed, in batches, retried until taken or a day has passed.
//!
//! [`queue`] decides (what goes out, when again, when an endpoint rests) and is pure; [`courier`] does the calling;
//! [`reach`] keeps calls away from private addresses.

pub mod courier;
pub mod queue;
pub mod reach;
pub mod signature;

pub use courier::{Courier, Notice, Told};
pub use queue::Settings;
