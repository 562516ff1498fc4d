//! Octets to PDUs and back: what is on the wire, and nothing else.
