//! The journal: what was accepted, tried and answered, on disk before anyone is told.

pub mod record;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Segment number.
    pub segment: u32,
    /// Offset in it.
    pub offset: u32,
    /// Octets of its body.
    pub len: u32,
}
