//! The journal: what was accepted, tried and answered, on disk before anyone is told.

pub mod record;
