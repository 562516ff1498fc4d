//! `bind_receiver`, `bind_transmitter`, `bind_transceiver` and their answers (SMPP 3.4 §4.1): one layout for the three.

use super::pdu::Answer;
use crate::layout::{CString, Hidden, layout};
use crate::tlv::Tlvs;

layout! {
    /// Who binds, and how.
    pub struct Bind<'a> {
        /// The account.
        system_id: &'a [u8] as CString<16>,
        /// Its password, at most 8 octets.
        password: &'a [u8] as Hidden<CString<9>>,
        /// What the MC asks for, often nothing.
        system_type: &'a [u8] as CString<13>,
        /// 0x34 for 3.4, 0x50 for 5.0; 0x33 and below know no TLVs.
        interface_version: u8,
        /// Type of number of `address_range`.
        addr_ton: u8,
        /// Numbering plan of `address_range`.
        addr_npi: u8,
        /// The addresses served, often nothing.
        address_range: &'a [u8] as CString<41>,
    }
}

layout! {
    /// The answer to a bind.
    pub struct BindResp<'a> {
        /// The MC's own name.
        system_id: &'a [u8] as CString<16>,
        /// `sc_interface_version` among them, except before 3.4.
        tlvs: Tlvs<'a>,
    }
}

impl<'a> Answer<'a> for BindResp<'a> {
    fn new(id: &'a [u8], tlvs: Tlvs<'a>) -> Self {
        BindResp { system_id: id, tlvs }
    }
    fn is_empty(&self) -> bool {
        self.system_id.is_empty() && self.tlvs.is_empty()
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..600)) {
            round_trip::<Bind<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<BindResp<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
