//! Command ids (CMPP 3.0 §8.7.1): what a PDU is. An answer's id is its request's with [`RESPONSE`] set. Those between
//! gateways and their name servers have a name here and no layout.

pub use crate::framing::RESPONSE;
use crate::pdu::commands;

commands! {
    CONNECT = 0x01 "CMPP_CONNECT"
    TERMINATE = 0x02 "CMPP_TERMINATE"
    SUBMIT = 0x04 "CMPP_SUBMIT"
    DELIVER = 0x05 "CMPP_DELIVER"
    QUERY = 0x06 "CMPP_QUERY"
    CANCEL = 0x07 "CMPP_CANCEL"
    ACTIVE_TEST = 0x08 "CMPP_ACTIVE_TEST"
    FWD = 0x09 "CMPP_FWD"
    MT_ROUTE = 0x10 "CMPP_MT_ROUTE"
    MO_ROUTE = 0x11 "CMPP_MO_ROUTE"
    GET_MT_ROUTE = 0x12 "CMPP_GET_MT_ROUTE"
    MT_ROUTE_UPDATE = 0x13 "CMPP_MT_ROUTE_UPDATE"
    MO_ROUTE_UPDATE = 0x14 "CMPP_MO_ROUTE_UPDATE"
    PUSH_MT_ROUTE_UPDATE = 0x15 "CMPP_PUSH_MT_ROUTE_UPDATE"
    PUSH_MO_ROUTE_UPDATE = 0x16 "CMPP_PUSH_MO_ROUTE_UPDATE"
    GET_MO_ROUTE = 0x17 "CMPP_GET_MO_ROUTE"
}
