//! SGIP 1.2 as an SMG of China Unicom speaks it, in both directions: Submit comes over connections the SP opens, Deliver
//! and Report go over one that we open to its listener. Where there is none they go over the SP's own, as aggregators do.

use std::time::Instant;

use bytes::BytesMut;
use codecs::framing::Limits;
use codecs::layout::{Fixed, Repeated};
use codecs::sgip::{
    self, Bind, Body, Deliver, LIMITS, Pdu, Report, Resp, Submit, UserRpt, command, login_type, nack, report_flag,
    result, state, user_condition,
};

use crate::delivery::{Content, Delivery, Id, Receipt, Stat, Taken};
use crate::desk::{Desk, Stranger, Wanted};
use crate::text::{Incoming, Outgoing, link_id, moment, number, refuses_group, service};
use crate::tongue::{Codes, Heard, Login, Say, Sequence, Tongue};

/// Our node id, where the scenario names none: Beijing's first SMG.
const NODE: u32 = 101_001;

/// What is answered where the desk says no. 33 is 1.3's "over the rate"; 1.2 has only "busy".
pub const CODES: Codes = Codes {
    throttled: result::QUEUE_FULL as u32,
    error: result::SYSTEM as u32,
    full: result::BUSY as u32,
    misplaced: result::LOGIN_TYPE as u32,
    duplicate: Some(result::SEQUENCE as u32),
};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Sgip;

impl Sgip {
    fn submit<'a>(now: Instant, submit: &Submit<'a>, desk: &Desk) -> Heard<'a> {
        let mut all = Repeated::<Fixed<21>>::iter(submit.user_number, ());
        let incoming = Incoming {
            source: submit.sp_number,
            destination: all.next().unwrap_or_default(),
            format: submit.message_coding,
            udhi: submit.tp_udhi,
            content: submit.message_content,
            wanted: match submit.report_flag {
                report_flag::ON_FAILURE => Wanted::Failures,
                report_flag::NEVER => Wanted::Nothing,
                _ => Wanted::Everything,
            },
            service_id: submit.service_type,
            link_id: submit.link_id,
            more: all.collect(),
        };
        let wrong = if refuses_group(submit.user_number.count(), desk) {
            Some(result::ONE_USER_ONLY.into())
        } else if incoming.is_too_long() {
            Some(result::LENGTH.into())
        } else {
            None
        };
        Heard::Submit(incoming.submission(now), wrong)
    }
}

impl Tongue for Sgip {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn hear<'a>(&mut self, now: Instant, octets: &'a [u8], desk: &Desk) -> (Sequence, Heard<'a>) {
        let pdu = match Pdu::read(octets, ()) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let mut answer = BytesMut::new();
                if let Some(nack) = nack(&skip) {
                    nack.write((), &mut answer);
                }
                // By the book a connection ends over what cannot be read.
                return (words(skip.sequence), Heard::Other { answer, malformed: true, ends: true });
            }
        };
        let heard = match &pdu.body {
            Body::Bind(bind) => Heard::Login(Login {
                account: bind.login_name,
                proven: bind.login_password == desk.config().secret().as_bytes(),
                sends: true,
                // Whether it does is the desk's to say: see `deliver_over`.
                receives: true,
                refused: (bind.login_type != login_type::SP_TO_SMG).then_some(result::LOGIN_TYPE.into()),
            }),
            Body::BindResp(resp) => Heard::LoginAnswer(resp.result.into()),
            Body::Submit(submit) => Self::submit(now, submit, desk),
            Body::UserRptResp(_) => Heard::UserState,
            Body::DeliverResp(resp) | Body::ReportResp(resp) => Heard::Delivered(taken(resp.result)),
            Body::Unbind => Heard::Bye,
            Body::UnbindResp => Heard::ByeAnswer,
            Body::Unknown { command, .. } if command & command::RESPONSE == 0 => {
                let mut answer = BytesMut::new();
                // Any answer is a result and a reserve of eight.
                let body = [result::NOT_PROVIDED, 0, 0, 0, 0, 0, 0, 0, 0];
                raw(command | command::RESPONSE, pdu.sequence, &body, &mut answer);
                Heard::Other { answer, malformed: false, ends: false }
            }
            _ => Heard::nothing(),
        };
        (words(pdu.sequence), heard)
    }

    fn say(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, out: &mut BytesMut) {
        let [node, mut time, counter] = sequence;
        let answers = matches!(what, Say::LoginAnswer(_) | Say::Accepted(_) | Say::Refused(_) | Say::ByeAnswer);
        if answers && desk.config().quirks.own_answer_time {
            time = moment(desk, now).timestamp();
        }
        let sequence = sgip::Sequence { node, time, counter };
        let resp = |status: u32| Resp::new(u8::try_from(status).unwrap_or(result::SYSTEM));
        let odd = desk.config().quirks.odd_lengths;
        let body = match what {
            Say::LoginAnswer(status) if odd => {
                return raw(command::BIND | command::RESPONSE, sequence, &[resp(status).result], out);
            }
            Say::ByeAnswer if odd => return raw(command::UNBIND | command::RESPONSE, sequence, &[0; 9], out),
            Say::LoginAnswer(status) => Body::BindResp(resp(status)),
            Say::Login => Body::Bind(Bind {
                login_type: login_type::SMG_TO_SP,
                login_name: desk.config().account().as_bytes(),
                login_password: desk.config().secret().as_bytes(),
                reserve: &[],
            }),
            Say::Accepted(_) => Body::SubmitResp(Resp::new(result::OK)),
            Say::Refused(status) => Body::SubmitResp(resp(status)),
            Say::Delivery(delivery) => return deliver(sequence, delivery, desk, out),
            Say::UserState(receipt) => {
                let (handset, source) = (number(desk, &receipt.destination), service(desk, &receipt.source));
                let user = UserRpt {
                    sp_number: source.as_bytes(),
                    user_number: handset.as_bytes(),
                    user_condition: user_condition::NORMAL,
                    ..UserRpt::default()
                };
                return Pdu { sequence, body: Body::UserRpt(user) }.write((), out);
            }
            Say::Trace(receipt) => return trace(sequence, receipt, desk, out),
            // Nobody here asks for signs of life: the protocol has none.
            Say::Ping | Say::Pong => return,
            Say::Bye => Body::Unbind,
            Say::ByeAnswer => Body::UnbindResp,
        };
        Pdu { sequence, body }.write((), out);
    }

    fn refusal(&self, stranger: Stranger) -> u32 {
        match stranger {
            Stranger::Account | Stranger::Secret => result::LOGIN.into(),
            Stranger::Full => result::TOO_MANY_CONNECTIONS.into(),
            Stranger::Again => result::REPEATED_LOGIN.into(),
        }
    }

    fn numbers_everywhere(&self) -> bool {
        true
    }

    fn number(&self, now: Instant, counter: u32, desk: &Desk) -> Sequence {
        [desk.config().node.unwrap_or(NODE), moment(desk, now).timestamp(), counter]
    }

    /// A Submit's number is its message's id.
    fn id(&self, _: u64, [node, time, counter]: Sequence, _: u64) -> Id {
        Id::of(sgip::Sequence { node, time, counter }.octets())
    }
}

/// A PDU with a body that is not its command's.
fn raw(command: u32, sequence: sgip::Sequence, body: &[u8], out: &mut BytesMut) {
    Pdu { sequence, body: Body::Unknown { command, body } }.write((), out);
}

/// Where is the message of that submit? The submit's number, its handset, a reserve of eight (SGIP 1.2 §4.2.3.17).
fn trace(sequence: sgip::Sequence, receipt: &Receipt, desk: &Desk, out: &mut BytesMut) {
    let mut body = [0; 12 + 21 + 8];
    let (id, handset) = (receipt.id.octets::<12>(), number(desk, &receipt.destination));
    let said = id.iter().chain(handset.as_bytes().iter().take(21));
    body.iter_mut().zip(said).for_each(|(to, from)| *to = *from);
    raw(command::TRACE, sequence, &body, out);
}

fn words(sequence: sgip::Sequence) -> Sequence {
    [sequence.node, sequence.time, sequence.counter]
}

fn taken(status: u8) -> Taken {
    match status {
        result::OK => Taken::Yes,
        result::BUSY | result::SYSTEM | result::QUEUE_FULL | result::THROTTLED => Taken::Later,
        _ => Taken::Never,
    }
}

fn deliver(sequence: sgip::Sequence, delivery: &Delivery, desk: &Desk, out: &mut BytesMut) {
    match &delivery.content {
        Content::Receipt(receipt) => report(sequence, receipt, desk, out),
        Content::Mo(mo) => {
            let (text, handset, to) = (Outgoing::of(mo, desk), number(desk, &mo.from), service(desk, &mo.to));
            let deliver = Deliver {
                user_number: handset.as_bytes(),
                sp_number: to.as_bytes(),
                tp_udhi: text.udhi,
                message_coding: text.format,
                message_content: &text.content,
                link_id: link_id(desk).unwrap_or_default(),
                ..Deliver::default()
            };
            Pdu { sequence, body: Body::Deliver(deliver) }.write((), out);
        }
    }
}

fn report(sequence: sgip::Sequence, receipt: &Receipt, desk: &Desk, out: &mut BytesMut) {
    let (state, code) = match receipt.stat {
        Stat::Delivered => (state::DELIVERED, result::OK),
        Stat::Undelivered => (state::FAILED, result::CANNOT_COMMUNICATE),
        Stat::Expired => (state::FAILED, result::MEMORY_FULL),
        Stat::Rejected => (state::FAILED, result::UNKNOWN_USER),
    };
    let handset = number(desk, &receipt.destination);
    let report = Report {
        submit_sequence: sgip::Sequence::from(receipt.id.octets::<12>()),
        user_number: handset.as_bytes(),
        state,
        error_code: desk.config().quirks.error_code.filter(|_| state == state::FAILED).unwrap_or(code),
        ..Report::default()
    };
    Pdu { sequence, body: Body::Report(report) }.write((), out);
}

#[cfg(test)]
mod tests;
