//! Which layout follows which command, and what to answer where one cannot be read.

use super::bind::Bind;
use super::deliver::Deliver;
use super::report::Report;
use super::resp::Resp;
use super::sequence::Sequence;
use super::submit::Submit;
use super::user_rpt::UserRpt;
use super::{command, result};
use crate::framing::{RESPONSE, Skip};
use crate::pdu::bodies;

/// One PDU.
pub type Pdu<'a> = crate::pdu::Pdu<Body<'a>, Sequence>;

bodies! {
    /// A PDU's command and fields.
    pub enum Body<'a> in (), fault fault {
        Bind(Bind<'a>) = command::BIND,
        BindResp(Resp<'a>) = command::BIND | RESPONSE,
        Unbind = command::UNBIND,
        UnbindResp = command::UNBIND | RESPONSE,
        Submit(Submit<'a>) = command::SUBMIT,
        SubmitResp(Resp<'a>) = command::SUBMIT | RESPONSE,
        Deliver(Deliver<'a>) = command::DELIVER,
        DeliverResp(Resp<'a>) = command::DELIVER | RESPONSE,
        Report(Report<'a>) = command::REPORT,
        ReportResp(Resp<'a>) = command::REPORT | RESPONSE,
        UserRpt(UserRpt<'a>) = command::USER_RPT,
        UserRptResp(Resp<'a>) = command::USER_RPT | RESPONSE,
    }
}

fn fault(field: &'static str) -> u32 {
    result::fault(field).into()
}

/// The answer to a request that was skipped; `None` for answers, and for requests whose answer cannot say no.
pub fn nack(skip: &Skip<Sequence>) -> Option<Pdu<'static>> {
    let resp = Resp::new(u8::try_from(skip.status).unwrap_or(result::FORMAT));
    let body = match skip.command {
        command::BIND => Body::BindResp(resp),
        command::SUBMIT => Body::SubmitResp(resp),
        command::DELIVER => Body::DeliverResp(resp),
        command::REPORT => Body::ReportResp(resp),
        command::USER_RPT => Body::UserRptResp(resp),
        _ => return None,
    };
    Some(Pdu { sequence: skip.sequence, body })
}
