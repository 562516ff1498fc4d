//! Story placeholder.
