//! Tags of optional fields (SMGP 3.0), with the size of their values in octets. Others are kept as they come.

/// `TP_pid`: 1.
pub const TP_PID: u16 = 0x01;
/// `TP_udhi`: 1; see [`crate::text::udh::is_indicated`]. Missing: no header.
pub const TP_UDHI: u16 = 0x02;
/// `LinkID`: 20.
pub const LINK_ID: u16 = 0x03;
/// `ChargeUserType`: 1; 0 the recipient pays, 1 the sender, 2 the SP, 3 whoever `charge_term_id` names.
pub const CHARGE_USER_TYPE: u16 = 0x04;
/// `ChargeTermType`: 1; 0 a number, 1 a pseudonym.
pub const CHARGE_TERM_TYPE: u16 = 0x05;
/// `ChargeTermPseudo`: any.
pub const CHARGE_TERM_PSEUDO: u16 = 0x06;
/// `DestTermType`: 1; 0 numbers, 1 pseudonyms.
pub const DEST_TERM_TYPE: u16 = 0x07;
/// `DestTermPseudo`: any, as long for each recipient.
pub const DEST_TERM_PSEUDO: u16 = 0x08;
/// `PkTotal`: 1, from 1.
pub const PK_TOTAL: u16 = 0x09;
/// `PkNumber`: 1, from 1.
pub const PK_NUMBER: u16 = 0x0a;
/// `SubmitMsgType`: 1; 0 ordinary, 1 and 2 subscribing and leaving on the web, 3 and 4 on the handset, 5 a monthly fee.
pub const SUBMIT_MSG_TYPE: u16 = 0x0b;
/// `SPDealResult`: 1; 0 done, 1 failed.
pub const SP_DEAL_RESULT: u16 = 0x0c;
/// `SrcTermType`: 1; 0 a number, 1 a pseudonym.
pub const SRC_TERM_TYPE: u16 = 0x0d;
/// `SrcTermPseudo`: any.
pub const SRC_TERM_PSEUDO: u16 = 0x0e;
/// `NodesCount`: 1, from 1.
pub const NODES_COUNT: u16 = 0x0f;
/// `MsgSrc`: 8, the company code; 6 and 7 are seen.
pub const MSG_SRC: u16 = 0x10;
/// `SrcType`: 1.
pub const SRC_TYPE: u16 = 0x11;
/// `MServiceID`: 21, the product.
pub const M_SERVICE_ID: u16 = 0x12;
