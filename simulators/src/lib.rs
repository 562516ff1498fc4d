//! The far side.
