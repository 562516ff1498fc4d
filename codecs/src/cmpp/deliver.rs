//! DELIVER and DELIVER_RESP (CMPP 3.0 §8.4.5): a message from a handset, or a report.

use super::report::Report;
use super::version::{Absent, Either, Number, Status, Version};
use crate::layout::{Fixed, Hidden, Prefixed, Tail, layout};

layout! {
    /// A message from a handset, or a report.
    pub struct Deliver<'a> in Version {
        /// This DELIVER's own id; a report's message is named in its content.
        msg_id: [u8; 8],
        /// The service number written to; in a report, `src_id` of the SUBMIT.
        dest_id: &'a [u8] as Fixed<21>,
        /// The service code.
        service_id: &'a [u8] as Fixed<10>,
        /// GSM 03.40 protocol identifier.
        tp_pid: u8,
        /// Whether the text has a user data header: see [`crate::text::udh::is_indicated`].
        tp_udhi: u8,
        /// As in [`super::Submit`].
        msg_fmt: u8,
        /// The handset, often with 86 before its number.
        src_terminal_id: &'a [u8] as Hidden<Number>,
        /// 0 a number, 1 a pseudonym; 3.0 only.
        src_terminal_type: u8 as Either<Absent<u8>, u8>,
        /// 0 a message, 1 a report.
        registered_delivery: u8,
        /// The text, or the report's block.
        msg_content: &'a [u8] as Hidden<Prefixed<u8>>,
        /// For the answer to the handset to carry; reserved in 2.0.
        link_id: &'a [u8] as Tail<Either<Fixed<8>, Fixed<20>>>,
    }
}

impl<'a> Deliver<'a> {
    /// Whether it is a report.
    pub fn is_report(&self) -> bool {
        self.registered_delivery == 1
    }

    /// The report it carries; `None` for messages, and where the block is too short to be one.
    pub fn report(&self) -> Option<Report<'a>> {
        self.is_report().then(|| Report::find(self.msg_content)).flatten()
    }
}

layout! {
    /// The answer to DELIVER. One that is missing or not 0 makes the ISMG deliver again.
    pub struct DeliverResp in Version {
        /// As in the DELIVER.
        msg_id: [u8; 8],
        /// See [`super::status::result`].
        result: u32 as Status<0>,
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
            for version in [Version::V20, Version::V30] {
                round_trip::<Deliver<'_>, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<DeliverResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
