//! Which layout follows which command, and what to answer where one cannot be read.

use super::active_test::ActiveTestResp;
use super::cancel::{Cancel, CancelResp};
use super::connect::{Connect, ConnectResp};
use super::deliver::{Deliver, DeliverResp};
use super::fwd::{Fwd, FwdResp};
use super::query::{Query, QueryResp};
use super::submit::{Submit, SubmitResp};
use super::version::Version;
use super::{HEADER, command, status};
use crate::framing::{RESPONSE, Skip};
use crate::pdu::bodies;

/// One PDU.
pub type Pdu<'a> = crate::pdu::Pdu<Body<'a>>;

bodies! {
    /// A PDU's command and fields.
    pub enum Body<'a> in Version, fault status::result::fault {
        Connect(Connect<'a>) = command::CONNECT,
        ConnectResp(ConnectResp) = command::CONNECT | RESPONSE,
        Terminate = command::TERMINATE,
        TerminateResp = command::TERMINATE | RESPONSE,
        Submit(Submit<'a>) = command::SUBMIT,
        SubmitResp(SubmitResp) = command::SUBMIT | RESPONSE,
        Deliver(Deliver<'a>) = command::DELIVER,
        DeliverResp(DeliverResp) = command::DELIVER | RESPONSE,
        Query(Query<'a>) = command::QUERY,
        QueryResp(QueryResp<'a>) = command::QUERY | RESPONSE,
        Cancel(Cancel) = command::CANCEL,
        CancelResp(CancelResp) = command::CANCEL | RESPONSE,
        ActiveTest = command::ACTIVE_TEST,
        ActiveTestResp(ActiveTestResp) = command::ACTIVE_TEST | RESPONSE,
        Fwd(Fwd<'a>) = command::FWD,
        FwdResp(FwdResp) = command::FWD | RESPONSE,
    }
}

/// The answer to a request that was skipped, of which `octets` are the whole PDU; `None` for answers, and for requests
/// whose answer cannot say no.
pub fn nack(skip: &Skip, octets: &[u8], version: Version) -> Option<Pdu<'static>> {
    let result = skip.status;
    let body = match skip.command {
        command::CONNECT => Body::ConnectResp(ConnectResp::refused(status::connect::STRUCTURE, version)),
        command::SUBMIT => Body::SubmitResp(SubmitResp { msg_id: [0; 8], result }),
        command::DELIVER => Body::DeliverResp(DeliverResp { msg_id: first_octets(octets), result }),
        command::CANCEL => Body::CancelResp(CancelResp { success_id: 1 }),
        _ => return None,
    };
    Some(Pdu { sequence: skip.sequence, body })
}

/// What the body starts with, where it is that long.
fn first_octets(octets: &[u8]) -> [u8; 8] {
    octets.get(HEADER..).and_then(|body| body.first_chunk()).copied().unwrap_or_default()
}
