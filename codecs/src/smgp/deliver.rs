//! Deliver and Deliver_Resp (SMGP 3.0): a message from a handset, or a report.

use super::report::{self, ReceiptText};
use crate::layout::{Fixed, Hidden, Prefixed, Tail, layout};
use crate::tlv::Tlvs;

layout! {
    /// A message from a handset, or a report.
    pub struct Deliver<'a> {
        /// This Deliver's own id; a report's message is named in its content.
        msg_id: [u8; 10],
        /// 0 a message, 1 a report.
        is_report: u8,
        /// As in [`super::Submit`].
        msg_format: u8,
        /// When the SMGW had it, `YYYYMMDDHHMMSS`.
        recv_time: &'a [u8] as Fixed<14>,
        /// The handset.
        src_term_id: &'a [u8] as Hidden<Fixed<21>>,
        /// The service number written to; in a report, `src_term_id` of the Submit.
        dest_term_id: &'a [u8] as Fixed<21>,
        /// The text, or the report's.
        msg_content: &'a [u8] as Hidden<Prefixed<u8>>,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
        /// The rest: see [`super::tag`].
        tlvs: Tlvs<'a>,
    }
}

impl<'a> Deliver<'a> {
    /// The report it carries; `None` for messages.
    pub fn report(&self) -> Option<ReceiptText<'a>> {
        (self.is_report == 1).then(|| report::read(self.msg_content))
    }
}

layout! {
    /// The answer to Deliver. One that is missing or not 0 makes the SMGW deliver again.
    pub struct DeliverResp {
        /// As in the Deliver.
        msg_id: [u8; 10],
        /// See [`super::status`].
        status: u32,
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
            round_trip::<Deliver<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<DeliverResp, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
