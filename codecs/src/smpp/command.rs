//! Command ids (SMPP 3.4 §5.1.2, 5.0 §4.7.5): what a PDU is. An answer's id is its request's with [`RESPONSE`] set.

pub use crate::framing::RESPONSE;

macro_rules! commands {
    ($($name:ident = $id:literal $wire:literal)+) => {
        $(#[doc = concat!("`", $wire, "`")] pub const $name: u32 = $id;)+

        /// The command's name in the specification; an answer has its request's.
        pub fn name(command: u32) -> Option<&'static str> {
            match command {
                GENERIC_NACK => Some("generic_nack"),
                other => match other & !RESPONSE {
                    $($name => Some($wire),)+
                    _ => None,
                },
            }
        }
    };
}

commands! {
    BIND_RECEIVER = 0x01 "bind_receiver"
    BIND_TRANSMITTER = 0x02 "bind_transmitter"
    QUERY_SM = 0x03 "query_sm"
    SUBMIT_SM = 0x04 "submit_sm"
    DELIVER_SM = 0x05 "deliver_sm"
    UNBIND = 0x06 "unbind"
    REPLACE_SM = 0x07 "replace_sm"
    CANCEL_SM = 0x08 "cancel_sm"
    BIND_TRANSCEIVER = 0x09 "bind_transceiver"
    OUTBIND = 0x0b "outbind"
    ENQUIRE_LINK = 0x15 "enquire_link"
    SUBMIT_MULTI = 0x21 "submit_multi"
    ALERT_NOTIFICATION = 0x102 "alert_notification"
    DATA_SM = 0x103 "data_sm"
    BROADCAST_SM = 0x111 "broadcast_sm"
    QUERY_BROADCAST_SM = 0x112 "query_broadcast_sm"
    CANCEL_BROADCAST_SM = 0x113 "cancel_broadcast_sm"
}

/// `generic_nack`: the answer to what could not be understood.
pub const GENERIC_NACK: u32 = 0x8000_0000;
/// `bind_receiver_resp`
pub const BIND_RECEIVER_RESP: u32 = BIND_RECEIVER | RESPONSE;
/// `bind_transmitter_resp`
pub const BIND_TRANSMITTER_RESP: u32 = BIND_TRANSMITTER | RESPONSE;
/// `submit_sm_resp`
pub const SUBMIT_SM_RESP: u32 = SUBMIT_SM | RESPONSE;
/// `deliver_sm_resp`
pub const DELIVER_SM_RESP: u32 = DELIVER_SM | RESPONSE;
/// `unbind_resp`
pub const UNBIND_RESP: u32 = UNBIND | RESPONSE;
/// `bind_transceiver_resp`
pub const BIND_TRANSCEIVER_RESP: u32 = BIND_TRANSCEIVER | RESPONSE;
/// `enquire_link_resp`
pub const ENQUIRE_LINK_RESP: u32 = ENQUIRE_LINK | RESPONSE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_name_of_their_request() {
        assert_eq!(name(SUBMIT_SM), Some("submit_sm"));
        assert_eq!(name(SUBMIT_SM_RESP), Some("submit_sm"));
        assert_eq!(name(GENERIC_NACK), Some("generic_nack"));
        assert_eq!(name(0), None);
        assert_eq!(name(0x666), None);
    }
}
