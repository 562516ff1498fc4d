//! Request ids (SMGP 3.0): what a PDU is. An answer's id is its request's with [`RESPONSE`] set. Those between
//! gateways, their name servers and billing have a name here and no layout.

pub use crate::framing::RESPONSE;
use crate::pdu::commands;

commands! {
    LOGIN = 0x01 "Login"
    SUBMIT = 0x02 "Submit"
    DELIVER = 0x03 "Deliver"
    ACTIVE_TEST = 0x04 "Active_Test"
    FORWARD = 0x05 "Forward"
    EXIT = 0x06 "Exit"
    QUERY = 0x07 "Query"
    QUERY_TE_ROUTE = 0x08 "Query_TE_Route"
    QUERY_SP_ROUTE = 0x09 "Query_SP_Route"
    PAYMENT_REQUEST = 0x0a "Payment_Request"
    PAYMENT_AFFIRM = 0x0b "Payment_Affirm"
    QUERY_USER_STATE = 0x0c "Query_UserState"
    GET_ALL_TE_ROUTE = 0x0d "Get_All_TE_Route"
    GET_ALL_SP_ROUTE = 0x0e "Get_All_SP_Route"
    UPDATE_TE_ROUTE = 0x0f "Update_TE_Route"
    UPDATE_SP_ROUTE = 0x10 "Update_SP_Route"
    PUSH_UPDATE_TE_ROUTE = 0x11 "Push_Update_TE_Route"
    PUSH_UPDATE_SP_ROUTE = 0x12 "Push_Update_SP_Route"
}
