//! Command ids (SGIP 1.2): what a PDU is. An answer's id is its request's with [`RESPONSE`] set. Those between
//! gateways and their name servers have a name here and no layout.

pub use crate::framing::RESPONSE;
use crate::pdu::commands;

commands! {
    BIND = 0x01 "Bind"
    UNBIND = 0x02 "Unbind"
    SUBMIT = 0x03 "Submit"
    DELIVER = 0x04 "Deliver"
    REPORT = 0x05 "Report"
    ADD_SP = 0x06 "AddSP"
    MODIFY_SP = 0x07 "ModifySP"
    DELETE_SP = 0x08 "DeleteSP"
    QUERY_ROUTE = 0x09 "QueryRoute"
    ADD_TELE_SEG = 0x0a "AddTeleSeg"
    MODIFY_TELE_SEG = 0x0b "ModifyTeleSeg"
    DELETE_TELE_SEG = 0x0c "DeleteTeleSeg"
    ADD_SMG = 0x0d "AddSMG"
    MODIFY_SMG = 0x0e "ModifySMG"
    DELETE_SMG = 0x0f "DeleteSMG"
    CHECK_USER = 0x10 "CheckUser"
    USER_RPT = 0x11 "UserRpt"
    TRACE = 0x1000 "Trace"
}
