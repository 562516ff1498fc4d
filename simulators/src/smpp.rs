//! SMPP as the message centre speaks it. Written against SMPP 3.4, with 5.0's statuses known.

use std::borrow::Cow;
use std::time::Instant;

use bytes::BytesMut;
use codecs::framing::Limits;
use codecs::smpp::tag::message_state;
use codecs::smpp::{Bind, BindResp, Body, LIMITS, Pdu, Sm, SmResp, Tlvs, command, put_tlv, status, tag};
use codecs::text::{Alphabet, cheapest, udh};

use crate::clock::civil;
use crate::delivery::{Content, Id, Mo, Receipt, Stat, Taken};
use crate::desk::{Desk, Stranger, Submission, Wanted};
use crate::records::Concat;
use crate::scenario::{Label, Receipts};
use crate::tongue::{Codes, Heard, Login, Say, Sequence, Tongue};

/// The message centre's name in bind answers.
const CENTRE: &[u8] = b"qiao-sim";
/// `esm_class` of a receipt.
const RECEIPT: u8 = 0x04;
/// `esm_class` bit: the text starts with a user data header.
const UDHI: u8 = 0x40;

/// What is answered where the desk says no.
pub const CODES: Codes = Codes {
    throttled: status::RTHROTTLED,
    error: status::RSYSERR,
    full: status::RMSGQFUL,
    misplaced: status::RINVBNDSTS,
    duplicate: None,
};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Smpp {
    /// The bind being answered: its command, and whether it claims 3.4 or later.
    bind: (u32, bool),
    scratch: BytesMut,
}

impl Tongue for Smpp {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn wants_login_first(&self) -> bool {
        false
    }

    fn hear<'a>(&mut self, now: Instant, octets: &'a [u8], desk: &Desk) -> (Sequence, Heard<'a>) {
        let pdu = match Pdu::read(octets) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let mut answer = BytesMut::new();
                if skip.is_request() {
                    let body = Body::Unknown { command: skip.command | 0x8000_0000, body: &[] };
                    Pdu { status: skip.status, sequence: skip.sequence, body }.write(&mut answer);
                }
                return ([0, 0, skip.sequence], Heard::Other { answer, malformed: true, ends: false });
            }
        };
        let heard = match pdu.body {
            Body::BindReceiver(bind) => self.bind(&bind, command::BIND_RECEIVER, desk),
            Body::BindTransmitter(bind) => self.bind(&bind, command::BIND_TRANSMITTER, desk),
            Body::BindTransceiver(bind) => self.bind(&bind, command::BIND_TRANSCEIVER, desk),
            Body::SubmitSm(sm) => Heard::Submit(submission(now, &sm), None),
            Body::DeliverSmResp(_) => Heard::Delivered(taken(pdu.status)),
            Body::GenericNack => Heard::Delivered(Taken::Never),
            Body::EnquireLink => Heard::Ping,
            Body::EnquireLinkResp => Heard::Pong,
            Body::Unbind => Heard::Bye,
            Body::UnbindResp => Heard::ByeAnswer,
            Body::Unknown { command, .. } if command & 0x8000_0000 == 0 => {
                let mut answer = BytesMut::new();
                Pdu { status: status::RINVCMDID, sequence: pdu.sequence, body: Body::GenericNack }.write(&mut answer);
                Heard::Other { answer, malformed: false, ends: false }
            }
            _ => Heard::nothing(),
        };
        ([0, 0, pdu.sequence], heard)
    }

    fn say(&mut self, _: Instant, sequence: Sequence, what: Say<'_>, desk: &Desk, out: &mut BytesMut) {
        let [_, _, sequence] = sequence;
        let (status, body) = match what {
            Say::LoginAnswer(status) => return self.say_bound(sequence, status, out),
            Say::Accepted(id) => return say_accepted(sequence, id, desk, out),
            Say::Delivery(delivery) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                match &delivery.content {
                    Content::Receipt(receipt) => write_receipt(sequence, receipt, desk, &mut scratch, out),
                    Content::Mo(mo) => write_mo(sequence, mo, &mut scratch, out),
                }
                self.scratch = scratch;
                return;
            }
            Say::Refused(status) => (status, Body::SubmitSmResp(SmResp::default())),
            // Nothing of the kind is in the protocol.
            Say::UserState(_) | Say::Trace(_) => return,
            Say::Ping => (status::ROK, Body::EnquireLink),
            Say::Pong => (status::ROK, Body::EnquireLinkResp),
            // This centre binds nowhere itself.
            Say::Login | Say::Bye => (status::ROK, Body::Unbind),
            Say::ByeAnswer => (status::ROK, Body::UnbindResp),
        };
        Pdu { status, sequence, body }.write(out);
    }

    fn say_broken(&self, out: &mut BytesMut) {
        Pdu { status: status::RINVCMDLEN, sequence: 0, body: Body::GenericNack }.write(out);
    }

    fn refusal(&self, stranger: Stranger) -> u32 {
        match stranger {
            Stranger::Account => status::RINVSYSID,
            Stranger::Secret => status::RINVPASWD,
            Stranger::Full | Stranger::Again => status::RALYBND,
        }
    }

    fn id(&self, number: u64, _: Sequence, _: u64) -> Id {
        Id::Number(number)
    }
}

impl Smpp {
    fn bind<'a>(&mut self, bind: &Bind<'a>, command: u32, desk: &Desk) -> Heard<'a> {
        self.bind = (command, bind.interface_version >= 0x34);
        Heard::Login(Login {
            account: bind.system_id,
            proven: bind.password == desk.config().secret().as_bytes(),
            sends: command != command::BIND_RECEIVER,
            receives: command != command::BIND_TRANSMITTER,
            refused: None,
        })
    }

    fn say_bound(&self, sequence: u32, status: u32, out: &mut BytesMut) {
        let (command, tells_version) = self.bind;
        let mut tlvs = BytesMut::new();
        if status == status::ROK && tells_version {
            put_tlv(&mut tlvs, tag::SC_INTERFACE_VERSION, &[0x34]);
        }
        let answer = match status {
            status::ROK => BindResp { system_id: CENTRE, tlvs: Tlvs::new(&tlvs) },
            _ => BindResp::default(),
        };
        let body = match command {
            command::BIND_RECEIVER => Body::BindReceiverResp(answer),
            command::BIND_TRANSMITTER => Body::BindTransmitterResp(answer),
            _ => Body::BindTransceiverResp(answer),
        };
        Pdu { status, sequence, body }.write(out);
    }
}

fn say_accepted(sequence: u32, id: &Id, desk: &Desk, out: &mut BytesMut) {
    let id = desk.spell(id);
    let answer = SmResp { message_id: id.as_bytes(), tlvs: Tlvs::default() };
    Pdu { status: status::ROK, sequence, body: Body::SubmitSmResp(answer) }.write(out);
}

fn taken(status: u32) -> Taken {
    match status {
        status::ROK => Taken::Yes,
        status::RSYSERR | status::RMSGQFUL | status::RTHROTTLED | status::RX_T_APPN | status::RDELIVERYFAILURE => {
            Taken::Later
        }
        _ => Taken::Never,
    }
}

fn write_receipt(sequence: u32, receipt: &Receipt, desk: &Desk, tlvs: &mut BytesMut, out: &mut BytesMut) {
    let quirks = &desk.config().receipts;
    let id = receipt.id.number().map(|number| quirks.id_in_receipt.spell(number)).unwrap_or_default();
    if quirks.tlv {
        put_tlv(tlvs, tag::RECEIPTED_MESSAGE_ID, format!("{id}\0").as_bytes());
        put_tlv(tlvs, tag::MESSAGE_STATE, &[state(receipt.stat)]);
    }
    if let Some(reference) = receipt.reference {
        put_tlv(tlvs, tag::USER_MESSAGE_REFERENCE, &reference.to_be_bytes());
    }
    let text = if quirks.text { receipt_text(receipt, &id, quirks, desk) } else { String::new() };
    let sm = Sm {
        source_addr_ton: 1,
        source_addr_npi: 1,
        source_addr: receipt.destination.as_bytes(),
        destination_addr: receipt.source.as_bytes(),
        esm_class: RECEIPT,
        short_message: text.as_bytes(),
        tlvs: Tlvs::new(tlvs),
        ..Sm::default()
    };
    Pdu { status: status::ROK, sequence, body: Body::DeliverSm(sm) }.write(out);
}

fn write_mo(sequence: u32, mo: &Mo, tlvs: &mut BytesMut, out: &mut BytesMut) {
    let (alphabet, text) = match &mo.segment {
        Some(segment) => (segment.alphabet, segment.data.clone()),
        None => {
            let alphabet = cheapest(&mo.text, &[Alphabet::Gsm7]);
            let mut text = BytesMut::new();
            alphabet.encode(&mo.text, &mut text);
            (alphabet, text.freeze())
        }
    };
    if let Some(Concat { reference, total, seq }) = mo.segment.as_ref().filter(|s| !s.udh).map(|s| s.concat) {
        put_tlv(tlvs, tag::SAR_MSG_REF_NUM, &reference.to_be_bytes());
        put_tlv(tlvs, tag::SAR_TOTAL_SEGMENTS, &[total]);
        put_tlv(tlvs, tag::SAR_SEGMENT_SEQNUM, &[seq]);
    }
    let fits = text.len() <= 254;
    if !fits {
        put_tlv(tlvs, tag::MESSAGE_PAYLOAD, &text);
    }
    let sm = Sm {
        source_addr_ton: 1,
        source_addr_npi: 1,
        source_addr: mo.from.as_bytes(),
        destination_addr: mo.to.as_bytes(),
        esm_class: if mo.segment.as_ref().is_some_and(|segment| segment.udh) { UDHI } else { 0 },
        data_coding: if alphabet == Alphabet::Ucs2 { 8 } else { 0 },
        short_message: if fits { &text } else { &[] },
        tlvs: Tlvs::new(tlvs),
        ..Sm::default()
    };
    Pdu { status: status::ROK, sequence, body: Body::DeliverSm(sm) }.write(out);
}

/// `message_state` (SMPP 3.4 §5.2.28).
fn state(stat: Stat) -> u8 {
    match stat {
        Stat::Delivered => message_state::DELIVERED,
        Stat::Undelivered => message_state::UNDELIVERABLE,
        Stat::Expired => message_state::EXPIRED,
        Stat::Rejected => message_state::REJECTED,
    }
}

fn submission<'a>(now: Instant, sm: &Sm<'a>) -> Submission<'a> {
    let data = sm.user_data();
    let header = if sm.esm_class & UDHI == 0 { None } else { udh::read(data) };
    let body = header.and_then(|header| data.get(header.octets..)).unwrap_or(data);
    let by_header = header.and_then(|header| header.concat).map(|concat| Concat {
        reference: concat.reference,
        total: concat.total,
        seq: concat.sequence,
    });
    Submission {
        source: String::from_utf8_lossy(sm.source_addr),
        destination: String::from_utf8_lossy(sm.destination_addr),
        text: Cow::Owned(alphabet(sm.data_coding).decode(body)),
        concat: by_header.or_else(|| by_tlvs(&sm.tlvs)),
        reference: sm.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE),
        wanted: match sm.registered_delivery & 3 {
            0 => Wanted::Nothing,
            1 => Wanted::Everything,
            2 => Wanted::Failures,
            _ => Wanted::Success,
        },
        service_id: String::from_utf8_lossy(sm.service_type),
        link_id: Cow::Borrowed(""),
        more: Vec::new(),
        at: now,
        link: 0,
    }
}

fn by_tlvs(tlvs: &Tlvs<'_>) -> Option<Concat> {
    Some(Concat {
        reference: tlvs.get_u16(tag::SAR_MSG_REF_NUM)?,
        total: tlvs.get_u8(tag::SAR_TOTAL_SEGMENTS)?,
        seq: tlvs.get_u8(tag::SAR_SEGMENT_SEQNUM)?,
    })
}

/// What a data_coding means in practice; this centre's default alphabet is GSM 03.38.
fn alphabet(data_coding: u8) -> Alphabet {
    match data_coding {
        0x01 => Alphabet::Ascii,
        0x02 | 0x03 | 0x04 | 0xF4 => Alphabet::Latin1,
        0x08 | 0x18 => Alphabet::Ucs2,
        _ => Alphabet::Gsm7,
    }
}

/// The text form of a receipt (SMPP 3.4 appendix B), with the carrier's quirks.
fn receipt_text(receipt: &Receipt, id: &str, quirks: &Receipts, desk: &Desk) -> String {
    use std::fmt::Write;
    let has = |label: Label| !quirks.missing.contains(&label);
    let date = |at| spell_date(desk.clock().seconds(at), quirks.date_digits.0);
    let dlvrd = if receipt.stat == Stat::Delivered { "001" } else { "000" };
    let err = match receipt.stat {
        Stat::Delivered => "000",
        Stat::Undelivered => "027",
        Stat::Expired => "034",
        Stat::Rejected => "008",
    };
    let mut text = format!("id:{id}");
    // Writing to a String cannot fail.
    if has(Label::Sub) {
        text.push_str(" sub:001");
    }
    if has(Label::Dlvrd) {
        let _ = write!(text, " dlvrd:{dlvrd}");
    }
    if has(Label::SubmitDate) {
        let _ = write!(text, " submit date:{}", date(receipt.submitted));
    }
    if has(Label::DoneDate) {
        let _ = write!(text, " done date:{}", date(receipt.done));
    }
    let _ = write!(text, " stat:{}", desk.config().quirks.stat(receipt.stat.word()));
    if has(Label::Err) {
        let _ = write!(text, " err:{err}");
    }
    if has(Label::Text) {
        let _ = write!(text, " text:{}", receipt.beginning);
    }
    text
}

fn spell_date(seconds: u64, digits: u8) -> String {
    let [year, month, day, hour, minute, second] = civil(seconds);
    let short = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}", year % 100);
    match digits {
        10 => short,
        12 => format!("{short}{second:02}"),
        _ => format!("{}{short}{second:02}", year / 100),
    }
}

#[cfg(test)]
mod tests;
