//! The answer to every command but Unbind (SGIP 1.2).

use crate::layout::{Fixed, Tail, layout};

layout! {
    /// The answer. Some peers leave out the reserve.
    pub struct Resp<'a> {
        /// See [`super::result`].
        result: u8,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
    }
}

impl Resp<'_> {
    /// The answer that says this and no more.
    pub fn new(result: u8) -> Self {
        Resp { result, reserve: &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..20)) {
            round_trip::<Resp<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
