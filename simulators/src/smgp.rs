//! SMGP 3.0 as an SMGW of China Telecom speaks it. Messages from handsets and reports go only where the login takes them.

use std::time::Instant;

use bytes::BytesMut;
use codecs::framing::Limits;
use codecs::layout::{Fixed, Repeated};
use codecs::smgp::report::{self, ReceiptText, Spelling};
use codecs::smgp::{
    self, Body, Deliver, DeliverResp, LIMITS, LoginResp, Origin, Pdu, Query, QueryResp, Submit, SubmitResp, Tlvs,
    login_mode, nack, put_tlv, status, tag,
};
use codecs::text::msg_fmt;

use crate::delivery::{Content, Delivery, Id, Mo, Receipt, Stat, Taken};
use crate::desk::{Desk, Stranger, Wanted};
use crate::quirks::{ActiveTest, Digest, ReportText};
use crate::text::{Incoming, Outgoing, link_id, moment, number, refuses_group, service};
use crate::tongue::{Codes, Heard, Login, Say, Sequence, Tongue};

/// Our code as a gateway, where the scenario names none: Hangzhou's first SMGW.
const GATEWAY: u32 = 571_061;
/// Octets of a report, and what the length of an understated one says.
const UNDERSTATED: usize = 115;

/// What is answered where the desk says no. There is no agreed code for flow control: "busy" comes nearest.
pub const CODES: Codes = Codes {
    throttled: status::BUSY,
    error: status::BUSY,
    full: status::BUSY,
    misplaced: status::COMMAND,
    duplicate: Some(status::DUPLICATE_SEQUENCE),
};

/// See the module's head.
#[derive(Debug)]
pub struct Smgp {
    node: u32,
    /// The digest of the login being answered.
    proof: [u8; 16],
}

impl Smgp {
    /// A gateway of that number.
    pub fn new(node: Option<u32>) -> Self {
        Self { node: node.unwrap_or(GATEWAY), proof: [0; 16] }
    }

    fn login<'a>(&mut self, login: &smgp::Login<'a>, desk: &Desk) -> Heard<'a> {
        self.proof = login.authenticator_client;
        let refused = if login.client_version > smgp::VERSION {
            Some(status::VERSION)
        } else if login.login_mode > login_mode::BOTH {
            Some(status::STRUCTURE)
        } else {
            None
        };
        Heard::Login(Login {
            account: login.client_id.trim_ascii_end(),
            proven: login.is_authentic(desk.config().secret().as_bytes()),
            sends: login.login_mode != login_mode::RECEIVE,
            receives: login.login_mode != login_mode::SEND,
            refused,
        })
    }

    fn login_resp(&self, status: u32, desk: &Desk) -> LoginResp {
        if status != status::OK {
            return LoginResp::refused(status);
        }
        let login = smgp::Login { authenticator_client: self.proof, ..smgp::Login::default() };
        let right = LoginResp::accepted(&login, desk.config().secret().as_bytes());
        let authenticator_server = match desk.config().quirks.digest {
            Digest::Right | Digest::Wide => right.authenticator_server,
            Digest::Zeros => [0; 16],
            Digest::Wrong => LoginResp::accepted(&login, b"not the secret").authenticator_server,
        };
        LoginResp { authenticator_server, ..right }
    }

    fn submit<'a>(&self, now: Instant, submit: &Submit<'a>, desk: &Desk) -> Heard<'a> {
        let mut all = Repeated::<Fixed<21>>::iter(submit.dest_term_id, ());
        let incoming = Incoming {
            source: submit.src_term_id,
            destination: all.next().unwrap_or_default(),
            format: submit.msg_format,
            udhi: submit.tlvs.get_u8(tag::TP_UDHI).unwrap_or_default(),
            content: submit.msg_content,
            wanted: if submit.need_report == 0 { Wanted::Nothing } else { Wanted::Everything },
            service_id: submit.service_id,
            link_id: submit.tlvs.get(tag::LINK_ID).unwrap_or_default(),
            more: all.collect(),
        };
        let wrong = if refuses_group(submit.dest_term_id.count(), desk) {
            Some(status::DEST_TERM_ID)
        } else if incoming.is_too_long() {
            Some(status::MSG_LENGTH)
        } else {
            None
        };
        Heard::Submit(incoming.submission(now), wrong)
    }

    fn deliver(&self, now: Instant, sequence: u32, delivery: &Delivery, desk: &Desk, out: &mut BytesMut) {
        let recv_time = moment(desk, now).digits();
        let head = Deliver {
            msg_id: self.msg_id(sequence.into(), desk.clock().seconds(now)),
            recv_time: &recv_time,
            ..Deliver::default()
        };
        match &delivery.content {
            Content::Receipt(receipt) => write_receipt(sequence, head, receipt, desk, out),
            Content::Mo(mo) => write_mo(sequence, head, mo, desk, out),
        }
    }

    fn msg_id(&self, number: u64, seconds: u64) -> [u8; 10] {
        let codecs::time::Moment { month, day, hour, minute, .. } = codecs::time::Moment::from_unix(seconds);
        // Six digits a minute are soon used up by a fast peer: the gateway's last digit, its serial number, carries.
        let serial = (u64::from(self.node % 10) + number / 1_000_000) % 10;
        let gateway = (self.node - self.node % 10).wrapping_add(serial as u32);
        Origin { gateway, month, day, hour, minute, sequence: (number % 1_000_000) as u32 }.msg_id()
    }

    /// The account's numbers since the start, whatever the day.
    fn query(&self, sequence: u32, query: &Query<'_>, desk: &Desk) -> Heard<'static> {
        let [sent, answered, refused, from_handsets] = desk.counters.figures();
        let numbers = QueryResp {
            query_time: query.query_time,
            query_type: query.query_type,
            query_code: query.query_code,
            mt_tl_msg: sent,
            mt_tl_usr: sent,
            mt_scs: answered,
            mt_fl: refused,
            mo_scs: from_handsets,
            ..QueryResp::default()
        };
        let mut answer = BytesMut::new();
        Pdu { sequence, body: Body::QueryResp(numbers) }.write((), &mut answer);
        Heard::Other { answer, malformed: false, ends: false }
    }
}

impl Tongue for Smgp {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn hear<'a>(&mut self, now: Instant, octets: &'a [u8], desk: &Desk) -> (Sequence, Heard<'a>) {
        let pdu = match Pdu::read(octets, ()) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let mut answer = BytesMut::new();
                if let Some(nack) = nack(&skip, octets) {
                    nack.write((), &mut answer);
                }
                return ([0, 0, skip.sequence], Heard::Other { answer, malformed: true, ends: false });
            }
        };
        let heard = match &pdu.body {
            Body::Login(login) => self.login(login, desk),
            Body::Submit(submit) => self.submit(now, submit, desk),
            // By the book, whatever is not 0 is sent again.
            Body::DeliverResp(DeliverResp { status: status::OK, .. }) => Heard::Delivered(Taken::Yes),
            Body::DeliverResp(_) => Heard::Delivered(Taken::Later),
            Body::ActiveTest => Heard::Ping,
            Body::ActiveTestResp => Heard::Pong,
            Body::Exit => Heard::Bye,
            Body::ExitResp => Heard::ByeAnswer,
            Body::Query(query) => self.query(pdu.sequence, query, desk),
            _ => Heard::nothing(),
        };
        ([0, 0, pdu.sequence], heard)
    }

    fn say(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, out: &mut BytesMut) {
        let [_, _, sequence] = sequence;
        let unnumbered = desk.config().quirks.zero_numbers && matches!(what, Say::Ping | Say::Bye);
        let sequence = if unnumbered { 0 } else { sequence };
        let body = match what {
            Say::LoginAnswer(status) => Body::LoginResp(self.login_resp(status, desk)),
            Say::Accepted(id) => Body::SubmitResp(SubmitResp { msg_id: id.octets(), status: status::OK }),
            Say::Refused(status) => Body::SubmitResp(SubmitResp { msg_id: [0; 10], status }),
            Say::Delivery(delivery) => return self.deliver(now, sequence, delivery, desk, out),
            // Nothing of the kind is in the protocol.
            Say::UserState(_) | Say::Trace(_) => return,
            Say::Ping => Body::ActiveTest,
            Say::Pong if desk.config().quirks.active_test == ActiveTest::Echo => Body::ActiveTest,
            Say::Pong => Body::ActiveTestResp,
            // An SMGW logs in nowhere itself.
            Say::Login | Say::Bye => Body::Exit,
            Say::ByeAnswer => Body::ExitResp,
        };
        Pdu { sequence, body }.write((), out);
    }

    fn refusal(&self, stranger: Stranger) -> u32 {
        match stranger {
            Stranger::Account | Stranger::Secret => status::AUTHENTICATION,
            Stranger::Full | Stranger::Again => status::TOO_MANY_CONNECTIONS,
        }
    }

    fn id(&self, number: u64, _: Sequence, seconds: u64) -> Id {
        Id::of(self.msg_id(number, seconds))
    }
}

fn write_receipt(sequence: u32, head: Deliver<'_>, receipt: &Receipt, desk: &Desk, out: &mut BytesMut) {
    let quirks = &desk.config().quirks;
    let (submitted, done) = (moment(desk, receipt.submitted).digits(), moment(desk, receipt.done).digits());
    let id: [u8; 10] = receipt.id.octets();
    let default = match receipt.stat {
        Stat::Delivered => 0,
        Stat::Undelivered => 1,
        Stat::Expired => 7,
        Stat::Rejected => 5,
    };
    let code = quirks.error_code.filter(|_| receipt.stat != Stat::Delivered).unwrap_or(default);
    let stat = format!("{:\0<7.7}", quirks.stat(receipt.stat.word()));
    let (err, beginning) = (format!("{code:03}"), &receipt.beginning[..receipt.beginning.len().min(17)]);
    // Three digits for its length, then the text's beginning, filled up.
    let text = format!("{:\0<20}", format!("{:03}{beginning}", receipt.beginning.len()));
    let (submitted, done) = (quirks.report_times.of(&submitted), quirks.report_times.of(&done));
    let whole = id.iter().take_while(|octet| **octet != 0 || !quirks.cut_id).count();
    let fields = ReceiptText {
        id: id.get(..whole),
        sub: Some(b"001"),
        dlvrd: Some(if receipt.stat == Stat::Delivered { b"001" } else { b"000" }),
        submit_date: Some(&submitted),
        done_date: Some(&done),
        stat: Some(stat.as_bytes()),
        err: Some(err.as_bytes()),
        text: Some(text.as_bytes()),
    };
    let spelling = if quirks.report_text == ReportText::Underscored { Spelling::Underscored } else { Spelling::Spaced };
    let mut content = BytesMut::new();
    report::write(&fields, spelling, &mut content);
    // What its length conceals of an understated report lies where reserve and TLVs belong, and so do these.
    let shown = if quirks.report_text == ReportText::Understated { UNDERSTATED } else { content.len() };
    let (shown, concealed) = content.split_at(shown.min(content.len()));
    let reserve = [concealed, &[0; 8]].concat();
    let (reserve, rest) = reserve.split_at(8);
    let (handset, source) = (number(desk, &receipt.destination), service(desk, &receipt.source));
    let deliver = Deliver {
        is_report: 1,
        msg_format: msg_fmt::ASCII,
        src_term_id: handset.as_bytes(),
        dest_term_id: source.as_bytes(),
        msg_content: shown,
        reserve,
        tlvs: Tlvs::new(rest),
        msg_id: if quirks.same_id { id } else { head.msg_id },
        ..head
    };
    Pdu { sequence, body: Body::Deliver(deliver) }.write((), out);
}

fn write_mo(sequence: u32, head: Deliver<'_>, mo: &Mo, desk: &Desk, out: &mut BytesMut) {
    let text = Outgoing::of(mo, desk);
    let (handset, to) = (number(desk, &mo.from), service(desk, &mo.to));
    let mut tlvs = BytesMut::new();
    if text.udhi != 0 {
        put_tlv(&mut tlvs, tag::TP_UDHI, &[text.udhi]);
    }
    if let Some(link) = link_id(desk) {
        let mut field = [0; 20];
        field.iter_mut().zip(link).for_each(|(to, from)| *to = *from);
        put_tlv(&mut tlvs, tag::LINK_ID, &field);
    }
    let deliver = Deliver {
        msg_format: text.format,
        src_term_id: handset.as_bytes(),
        dest_term_id: to.as_bytes(),
        msg_content: &text.content,
        tlvs: Tlvs::new(&tlvs),
        ..head
    };
    Pdu { sequence, body: Body::Deliver(deliver) }.write((), out);
}

#[cfg(test)]
mod tests;
