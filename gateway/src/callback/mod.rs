//! Events to applications after Standard Webhooks: signed, in letters, repeated until taken or a day has passed, then
//! kept among the dead.
//!
//! [`queue`] decides (what goes out, what is written down, when again, when an endpoint rests) and is pure; [`courier`]
//! does the calling; [`letters`] is the box on disk for what does not go at once; [`office`] is the operators' side;
//! [`reach`] keeps calls away from private addresses. LIFECYCLE.md has the states.

pub mod courier;
mod endpoint;
pub mod letter;
pub mod letters;
pub mod office;
pub mod queue;
pub mod reach;
mod replay;
pub mod settings;
mod shelf;
pub mod signature;

pub use courier::{Counter, Courier, Notice, Told};
pub use letters::BoxError;
pub use office::Office;
pub(crate) use office::host;
pub use settings::Settings;
pub use shelf::{Cursor, DeadPage};
