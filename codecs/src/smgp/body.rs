//! Which layout follows which command, and what to answer where one cannot be read.

use super::deliver::{Deliver, DeliverResp};
use super::login::{Login, LoginResp};
use super::query::{Query, QueryResp};
use super::submit::{Submit, SubmitResp};
use super::{HEADER, command, status};
use crate::framing::{RESPONSE, Skip};
use crate::pdu::bodies;

/// One PDU.
pub type Pdu<'a> = crate::pdu::Pdu<Body<'a>>;

bodies! {
    /// A PDU's command and fields.
    pub enum Body<'a> in (), fault status::fault {
        Login(Login<'a>) = command::LOGIN,
        LoginResp(LoginResp) = command::LOGIN | RESPONSE,
        Submit(Submit<'a>) = command::SUBMIT,
        SubmitResp(SubmitResp) = command::SUBMIT | RESPONSE,
        Deliver(Deliver<'a>) = command::DELIVER,
        DeliverResp(DeliverResp) = command::DELIVER | RESPONSE,
        ActiveTest = command::ACTIVE_TEST,
        ActiveTestResp = command::ACTIVE_TEST | RESPONSE,
        Exit = command::EXIT,
        ExitResp = command::EXIT | RESPONSE,
        Query(Query<'a>) = command::QUERY,
        QueryResp(QueryResp<'a>) = command::QUERY | RESPONSE,
    }
}

/// The answer to a request that was skipped, of which `octets` are the whole PDU; `None` for answers, and for requests
/// whose answer cannot say no.
pub fn nack(skip: &Skip, octets: &[u8]) -> Option<Pdu<'static>> {
    let status = skip.status;
    let body = match skip.command {
        command::LOGIN => Body::LoginResp(LoginResp::refused(status)),
        command::SUBMIT => Body::SubmitResp(SubmitResp { msg_id: [0; 10], status }),
        command::DELIVER => Body::DeliverResp(DeliverResp { msg_id: first_octets(octets), status }),
        _ => return None,
    };
    Some(Pdu { sequence: skip.sequence, body })
}

/// What the body starts with, where it is that long.
fn first_octets(octets: &[u8]) -> [u8; 10] {
    octets.get(HEADER..).and_then(|body| body.first_chunk()).copied().unwrap_or_default()
}
