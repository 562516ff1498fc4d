//! Bind (SGIP 1.2 §4.2.3.1): the first command on a connection, from whoever opened it.

use crate::layout::{Fixed, Hidden, Tail, layout};

layout! {
    /// Who binds.
    pub struct Bind<'a> {
        /// See [`login_type`].
        login_type: u8,
        /// The account.
        login_name: &'a [u8] as Fixed<16>,
        /// Its password, in clear.
        login_password: &'a [u8] as Hidden<Fixed<16>>,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
    }
}

/// Values of `login_type`.
pub mod login_type {
    /// An SP, to send Submit.
    pub const SP_TO_SMG: u8 = 1;
    /// An SMG, to send Deliver, Report and UserRpt to an SP.
    pub const SMG_TO_SP: u8 = 2;
    /// An SMG, to another.
    pub const SMG_TO_SMG: u8 = 3;
    /// An SMG, to a name server.
    pub const SMG_TO_GNS: u8 = 4;
    /// A name server, to an SMG.
    pub const GNS_TO_SMG: u8 = 5;
    /// A name server, to another.
    pub const GNS_TO_GNS: u8 = 6;
    /// A test.
    pub const TEST: u8 = 11;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..60)) {
            round_trip::<Bind<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
