//! TLV tags (SMPP 3.4 §5.3.1, 5.0 §4.8.1) worth a name, with the size of their values in octets.
//! [`VENDOR`] tags mean what the MC's vendor says.

use std::ops::RangeInclusive;

/// `dest_addr_subunit`: 1.
pub const DEST_ADDR_SUBUNIT: u16 = 0x0005;
/// `source_addr_subunit`: 1.
pub const SOURCE_ADDR_SUBUNIT: u16 = 0x000d;
/// `qos_time_to_live`: 4, seconds.
pub const QOS_TIME_TO_LIVE: u16 = 0x0017;
/// `payload_type`: 1.
pub const PAYLOAD_TYPE: u16 = 0x0019;
/// `additional_status_info_text`: C-octet string of 1 to 256.
pub const ADDITIONAL_STATUS_INFO_TEXT: u16 = 0x001d;
/// `receipted_message_id`: C-octet string of 1 to 65; the NUL is often missing.
pub const RECEIPTED_MESSAGE_ID: u16 = 0x001e;
/// `privacy_indicator`: 1.
pub const PRIVACY_INDICATOR: u16 = 0x0201;
/// `user_message_reference`: 2.
pub const USER_MESSAGE_REFERENCE: u16 = 0x0204;
/// `source_port`: 2.
pub const SOURCE_PORT: u16 = 0x020a;
/// `destination_port`: 2.
pub const DESTINATION_PORT: u16 = 0x020b;
/// `sar_msg_ref_num`: 2.
pub const SAR_MSG_REF_NUM: u16 = 0x020c;
/// `language_indicator`: 1.
pub const LANGUAGE_INDICATOR: u16 = 0x020d;
/// `sar_total_segments`: 1.
pub const SAR_TOTAL_SEGMENTS: u16 = 0x020e;
/// `sar_segment_seqnum`: 1, from 1.
pub const SAR_SEGMENT_SEQNUM: u16 = 0x020f;
/// `sc_interface_version`: 1; in bind answers, absent before 3.4.
pub const SC_INTERFACE_VERSION: u16 = 0x0210;
/// `callback_num`: 4 to 19.
pub const CALLBACK_NUM: u16 = 0x0381;
/// `dpf_result`: 1.
pub const DPF_RESULT: u16 = 0x0420;
/// `set_dpf`: 1.
pub const SET_DPF: u16 = 0x0421;
/// `ms_availability_status`: 1.
pub const MS_AVAILABILITY_STATUS: u16 = 0x0422;
/// `network_error_code`: 3, network type then code.
pub const NETWORK_ERROR_CODE: u16 = 0x0423;
/// `message_payload`: 0 to 65535; `short_message` is empty then.
pub const MESSAGE_PAYLOAD: u16 = 0x0424;
/// `delivery_failure_reason`: 1.
pub const DELIVERY_FAILURE_REASON: u16 = 0x0425;
/// `more_messages_to_send`: 1.
pub const MORE_MESSAGES_TO_SEND: u16 = 0x0426;
/// `message_state`: 1; see [`message_state`].
pub const MESSAGE_STATE: u16 = 0x0427;
/// `congestion_state` (5.0): 1, percent; 80 to 89 is the best use, 100 congested.
pub const CONGESTION_STATE: u16 = 0x0428;
/// `ussd_service_op`: 1.
pub const USSD_SERVICE_OP: u16 = 0x0501;
/// `billing_identification` (5.0): 1 to 1024.
pub const BILLING_IDENTIFICATION: u16 = 0x060b;
/// `source_network_id` (5.0): C-octet string of 7 to 65.
pub const SOURCE_NETWORK_ID: u16 = 0x060d;
/// `dest_network_id` (5.0): C-octet string of 7 to 65.
pub const DEST_NETWORK_ID: u16 = 0x060e;
/// `source_node_id` (5.0): 6.
pub const SOURCE_NODE_ID: u16 = 0x060f;
/// `dest_node_id` (5.0): 6.
pub const DEST_NODE_ID: u16 = 0x0610;
/// `display_time`: 1.
pub const DISPLAY_TIME: u16 = 0x1201;
/// `ms_validity`: 1.
pub const MS_VALIDITY: u16 = 0x1204;
/// `alert_on_message_delivery`: 0 or 1.
pub const ALERT_ON_MESSAGE_DELIVERY: u16 = 0x130c;
/// What vendors use as they please.
pub const VENDOR: RangeInclusive<u16> = 0x1400..=0x3fff;

/// Values of [`MESSAGE_STATE`] (SMPP 3.4 §5.2.28, 5.0 §4.7.15).
pub mod message_state {
    /// Held for later (5.0).
    pub const SCHEDULED: u8 = 0;
    /// On its way.
    pub const ENROUTE: u8 = 1;
    /// On the handset.
    pub const DELIVERED: u8 = 2;
    /// Validity ended first.
    pub const EXPIRED: u8 = 3;
    /// Deleted by the MC.
    pub const DELETED: u8 = 4;
    /// Cannot be delivered.
    pub const UNDELIVERABLE: u8 = 5;
    /// Taken by hand on the subscriber's behalf.
    pub const ACCEPTED: u8 = 6;
    /// Not known.
    pub const UNKNOWN: u8 = 7;
    /// Refused after acceptance.
    pub const REJECTED: u8 = 8;
    /// Passed over (5.0).
    pub const SKIPPED: u8 = 9;
}
