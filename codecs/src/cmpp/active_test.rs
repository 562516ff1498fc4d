//! ACTIVE_TEST_RESP (CMPP 3.0 §8.4.7): the answer to ACTIVE_TEST, which has no body itself.

use super::version::Version;
use crate::layout::{Tail, layout};

layout! {
    /// A sign of life. Some peers leave its only octet out.
    pub struct ActiveTestResp in Version {
        /// Nothing yet.
        reserved: u8 as Tail<u8>,
    }
}
