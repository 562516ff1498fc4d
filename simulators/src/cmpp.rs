//! CMPP 2.0 and 3.0 as an ISMG of China Mobile speaks them. The account's version decides the layouts, whatever the
//! client claims.

use std::time::Instant;

use bytes::BytesMut;
use codecs::cmpp::status::{connect, result};
use codecs::cmpp::{
    ActiveTestResp, Body, CancelResp, Connect, ConnectResp, Deliver, DeliverResp, LIMITS, Number, Origin, Pdu, Query,
    QueryResp, Report, Submit, SubmitResp, Version, command, nack,
};
use codecs::framing::Limits;
use codecs::layout::{Layout, Repeated};

use crate::delivery::{Content, Delivery, Id, Mo, Receipt, Taken};
use crate::desk::{Desk, Stranger, Wanted};
use crate::quirks::{ActiveTest, Digest};
use crate::text::{Incoming, Outgoing, link_id, moment, number, refuses_group, service};
use crate::tongue::{Codes, Heard, Login, Say, Sequence, Tongue};

/// Our code as a gateway, where the scenario names none.
const GATEWAY: u32 = 10_010;

/// What is answered where the desk says no.
pub const CODES: Codes = Codes {
    throttled: result::FLOW_CONTROL,
    // In 2.0 "other error"; 3.0 has no word for it.
    error: 9,
    full: result::FLOW_CONTROL,
    misplaced: result::COMMAND,
    duplicate: Some(result::DUPLICATE_SEQUENCE),
};

/// The counter of a `Msg_Id` is 16 bits wide and wraps. With each turn of it the next of so many machines goes on, whose
/// numbers follow the first one's: a single one would give an id twice to whoever sends more than 65,536 in a second.
const MACHINES: u32 = 16;

/// See the module's head.
#[derive(Debug)]
pub struct Cmpp {
    version: Version,
    node: u32,
    /// The digest of the login being answered.
    proof: [u8; 16],
}

impl Cmpp {
    /// For an account of that version.
    pub fn new(version: Version, node: Option<u32>) -> Self {
        Self { version, node: node.unwrap_or(GATEWAY), proof: [0; 16] }
    }

    fn connect<'a>(&mut self, connect: &Connect<'a>, desk: &Desk) -> Heard<'a> {
        self.proof = connect.authenticator_source;
        let fits = Version::claimed(connect.version) == Some(self.version) || desk.config().quirks.any_version;
        Heard::Login(Login {
            account: connect.source_addr.trim_ascii_end(),
            proven: connect.is_authentic(desk.config().secret().as_bytes()),
            sends: true,
            receives: true,
            refused: (!fits).then_some(connect::VERSION),
        })
    }

    fn connect_resp(&self, status: u32, desk: &Desk) -> ConnectResp {
        if status != connect::OK {
            return ConnectResp::refused(status, self.version);
        }
        let connect = Connect { authenticator_source: self.proof, ..Connect::default() };
        let secret = desk.config().secret().as_bytes();
        let right = ConnectResp::accepted(&connect, secret, self.version);
        let authenticator_ismg = match desk.config().quirks.digest {
            Digest::Right => right.authenticator_ismg,
            Digest::Zeros => [0; 16],
            Digest::Wrong => ConnectResp::accepted(&connect, b"not the secret", self.version).authenticator_ismg,
            Digest::Wide => ConnectResp::accepted(&connect, secret, Version::V30).authenticator_ismg,
        };
        ConnectResp { authenticator_ismg, ..right }
    }

    fn submit<'a>(&self, now: Instant, submit: &Submit<'a>, desk: &Desk) -> Heard<'a> {
        let mut all = Repeated::<Number>::iter(submit.dest_terminal_id, self.version);
        // In 2.0 a group's messages have no reports (§7.4.3.1); later versions lifted that.
        let unreported = self.version == Version::V20 && submit.dest_terminal_id.count() > 1;
        let incoming = Incoming {
            source: submit.src_id,
            destination: all.next().unwrap_or_default(),
            format: submit.msg_fmt,
            udhi: submit.tp_udhi,
            content: submit.msg_content,
            wanted: if submit.registered_delivery == 1 && !unreported { Wanted::Everything } else { Wanted::Nothing },
            service_id: submit.service_id,
            link_id: if self.version == Version::V20 { &[] } else { submit.link_id },
            more: all.collect(),
        };
        let wrong = if refuses_group(submit.dest_terminal_id.count(), desk) {
            Some(result::DEST_TERMINAL_ID)
        } else if incoming.is_too_long() {
            Some(result::TOO_LONG)
        } else if submit.msg_src.trim_ascii_end() != desk.config().account().as_bytes() {
            Some(result::MSG_SRC)
        } else {
            None
        };
        Heard::Submit(incoming.submission(now), wrong)
    }

    fn deliver(&self, now: Instant, sequence: u32, delivery: &Delivery, desk: &Desk, out: &mut BytesMut) {
        let msg_id = self.msg_id(sequence.into(), desk.clock().seconds(now));
        match &delivery.content {
            Content::Receipt(receipt) => self.receipt(sequence, msg_id, receipt, desk, out),
            Content::Mo(mo) => self.mo(sequence, msg_id, mo, desk, out),
        }
    }

    fn receipt(&self, sequence: u32, msg_id: [u8; 8], receipt: &Receipt, desk: &Desk, out: &mut BytesMut) {
        let quirks = &desk.config().quirks;
        let (handset, source) = (number(desk, &receipt.destination), service(desk, &receipt.source));
        let mut id: [u8; 8] = receipt.id.octets();
        if quirks.swapped_id {
            id.reverse();
        }
        let report = Report {
            msg_id: id,
            stat: quirks.stat(receipt.stat.word()).as_bytes(),
            submit_time: &quirks.report_times.of(&moment(desk, receipt.submitted).digits()),
            done_time: &quirks.report_times.of(&moment(desk, receipt.done).digits()),
            dest_terminal_id: handset.as_bytes(),
            smsc_sequence: sequence,
        };
        let mut block = BytesMut::new();
        report.write(if quirks.narrow_report { Version::V20 } else { self.version }, &mut block);
        let deliver = Deliver {
            msg_id: if quirks.same_id { receipt.id.octets() } else { msg_id },
            dest_id: source.as_bytes(),
            src_terminal_id: handset.as_bytes(),
            registered_delivery: 1,
            msg_content: &block,
            ..Deliver::default()
        };
        Pdu { sequence, body: Body::Deliver(deliver) }.write(self.version, out);
    }

    fn mo(&self, sequence: u32, msg_id: [u8; 8], mo: &Mo, desk: &Desk, out: &mut BytesMut) {
        let (text, handset, to) = (Outgoing::of(mo, desk), number(desk, &mo.from), service(desk, &mo.to));
        let deliver = Deliver {
            msg_id,
            dest_id: to.as_bytes(),
            src_terminal_id: handset.as_bytes(),
            tp_udhi: text.udhi,
            msg_fmt: text.format,
            msg_content: &text.content,
            link_id: link_id(desk).filter(|_| self.version == Version::V30).unwrap_or_default(),
            ..Deliver::default()
        };
        Pdu { sequence, body: Body::Deliver(deliver) }.write(self.version, out);
    }

    fn msg_id(&self, number: u64, seconds: u64) -> [u8; 8] {
        let codecs::time::Moment { month, day, hour, minute, second, .. } = codecs::time::Moment::from_unix(seconds);
        let gateway = self.node.wrapping_add((number >> 16) as u32 % MACHINES);
        Origin { month, day, hour, minute, second, gateway, sequence: number as u16 }.msg_id()
    }

    fn other(&self, sequence: u32, body: Body<'_>) -> Heard<'static> {
        let mut answer = BytesMut::new();
        Pdu { sequence, body }.write(self.version, &mut answer);
        Heard::Other { answer, malformed: false, ends: false }
    }

    /// The account's numbers since the start, whatever the day.
    fn query(&self, sequence: u32, query: &Query<'_>, desk: &Desk) -> Heard<'static> {
        let [sent, answered, refused, from_handsets] = desk.counters.figures();
        let numbers = QueryResp {
            time: query.time,
            query_type: query.query_type,
            query_code: query.query_code,
            mt_tl_msg: sent,
            mt_tl_usr: sent,
            mt_scs: answered,
            mt_fl: refused,
            mo_scs: from_handsets,
            ..QueryResp::default()
        };
        self.other(sequence, Body::QueryResp(numbers))
    }
}

impl Tongue for Cmpp {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn hear<'a>(&mut self, now: Instant, octets: &'a [u8], desk: &Desk) -> (Sequence, Heard<'a>) {
        let pdu = match Pdu::read(octets, self.version) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let mut answer = BytesMut::new();
                if let Some(nack) = nack(&skip, octets, self.version) {
                    nack.write(self.version, &mut answer);
                }
                return ([0, 0, skip.sequence], Heard::Other { answer, malformed: true, ends: false });
            }
        };
        let heard = match &pdu.body {
            Body::Connect(connect) => self.connect(connect, desk),
            Body::Submit(submit) => self.submit(now, submit, desk),
            // By the book, whatever is not 0 is sent again.
            Body::DeliverResp(DeliverResp { result: result::OK, .. }) => Heard::Delivered(Taken::Yes),
            Body::DeliverResp(_) => Heard::Delivered(Taken::Later),
            Body::ActiveTest => Heard::Ping,
            Body::ActiveTestResp(_) => Heard::Pong,
            Body::Terminate => Heard::Bye,
            Body::TerminateResp => Heard::ByeAnswer,
            Body::Query(query) => self.query(pdu.sequence, query, desk),
            // Messages leave at once: it is always too late.
            Body::Cancel(_) => self.other(pdu.sequence, Body::CancelResp(CancelResp { success_id: 1 })),
            _ => Heard::nothing(),
        };
        ([0, 0, pdu.sequence], heard)
    }

    fn say(&mut self, now: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, out: &mut BytesMut) {
        let [_, _, sequence] = sequence;
        let body = match what {
            Say::LoginAnswer(status) => Body::ConnectResp(self.connect_resp(status, desk)),
            Say::Accepted(id) => Body::SubmitResp(SubmitResp { msg_id: id.octets(), result: result::OK }),
            Say::Refused(result) => Body::SubmitResp(SubmitResp { msg_id: [0; 8], result }),
            Say::Delivery(delivery) => return self.deliver(now, sequence, delivery, desk, out),
            // Nothing of the kind is in the protocol.
            Say::UserState(_) | Say::Trace(_) => return,
            Say::Ping => Body::ActiveTest,
            Say::Pong => match desk.config().quirks.active_test {
                ActiveTest::Answer => Body::ActiveTestResp(ActiveTestResp::default()),
                ActiveTest::Echo => Body::ActiveTest,
                ActiveTest::Short => Body::Unknown { command: command::ACTIVE_TEST | command::RESPONSE, body: &[] },
            },
            // An ISMG connects nowhere itself.
            Say::Login | Say::Bye => Body::Terminate,
            Say::ByeAnswer => Body::TerminateResp,
        };
        Pdu { sequence, body }.write(self.version, out);
    }

    fn refusal(&self, stranger: Stranger) -> u32 {
        match stranger {
            Stranger::Account => connect::SOURCE_ADDR,
            Stranger::Secret => connect::AUTHENTICATION,
            Stranger::Full | Stranger::Again => connect::OTHER,
        }
    }

    fn id(&self, number: u64, _: Sequence, seconds: u64) -> Id {
        Id::of(self.msg_id(number, seconds))
    }
}

#[cfg(test)]
mod tests;
