//! One SMPP connection as the message centre sees it: a pure machine. Octets and the time go in; octets to send pile
//! up in `out`, decisions go to the [`Desk`]. Written against SMPP 3.4, with 5.0's statuses known.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use codecs::framing;
use codecs::smpp::tag::message_state;
use codecs::smpp::{Bind, BindResp, Body, LIMITS, Pdu, Sm, SmResp, Tlvs, command, put_tlv, status, tag};
use codecs::text::{Alphabet, cheapest, udh};

use crate::clock::civil;
use crate::delivery::{Content, Delivery, Mo, Receipt, Stat, Taken};
use crate::desk::{Desk, Stranger, Submission, Wanted};
use crate::fault::{Faults, Kind};
use crate::records::Concat;
use crate::scenario::{Label, Receipts};

/// The message centre's name in bind answers.
const CENTRE: &[u8] = b"qiao-sim";
/// `esm_class` of a receipt.
const RECEIPT: u8 = 0x04;
/// `esm_class` bit: the text starts with a user data header.
const UDHI: u8 = 0x40;
/// Octets waiting to be sent above which nothing more is read or delivered.
const OUT_FULL: usize = 256 * 1024;

/// What a bind allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    sends: bool,
    receives: bool,
}

/// An answer that is not due yet.
#[derive(Debug)]
struct Late {
    due: Instant,
    order: u64,
    sequence: u32,
    id: String,
    submission: Submission<'static>,
}

/// A deliver_sm without an answer yet.
#[derive(Debug)]
struct Open {
    since: Instant,
    delivery: Delivery,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Conversation {
    bound: Option<Bound>,
    /// Octets to send.
    pub out: BytesMut,
    late: BinaryHeap<Reverse<Late>>,
    order: u64,
    sequence: u32,
    open: BTreeMap<u32, Open>,
    submits: u32,
    ended: bool,
    scratch: BytesMut,
}

impl Conversation {
    /// Reads whole PDUs from `input`, as many as there are.
    pub fn octets(&mut self, now: Instant, input: &mut BytesMut, desk: &mut Desk, faults: &Faults) {
        let mut read = 0;
        while !self.ended && self.out.len() < OUT_FULL * 4 {
            match framing::cut(&input[read..], &LIMITS) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    self.pdu(now, &input[read..read + length], desk, faults);
                    read += length;
                }
                Err(_) => {
                    desk.counters.malformed += 1;
                    self.say(faults, status::RINVCMDLEN, 0, Body::GenericNack);
                    self.ended = true;
                }
            }
        }
        input.advance(read);
    }

    fn pdu(&mut self, now: Instant, octets: &[u8], desk: &mut Desk, faults: &Faults) {
        let pdu = match Pdu::read(octets) {
            Ok(pdu) => pdu,
            Err(skip) => {
                desk.counters.malformed += 1;
                if skip.is_request() {
                    let answer = Body::Unknown { command: skip.command | 0x8000_0000, body: &[] };
                    self.say(faults, skip.status, skip.sequence, answer);
                }
                return;
            }
        };
        let sequence = pdu.sequence;
        match pdu.body {
            Body::BindReceiver(bind) => self.bind(&bind, command::BIND_RECEIVER, sequence, desk, faults),
            Body::BindTransmitter(bind) => self.bind(&bind, command::BIND_TRANSMITTER, sequence, desk, faults),
            Body::BindTransceiver(bind) => self.bind(&bind, command::BIND_TRANSCEIVER, sequence, desk, faults),
            Body::SubmitSm(sm) => self.submit(now, &sm, sequence, desk, faults),
            Body::DeliverSmResp(_) => self.delivered(now, sequence, pdu.status, desk),
            Body::EnquireLink => {
                desk.counters.enquire_links += 1;
                if !faults.on(Kind::Mute) {
                    self.write(status::ROK, sequence, Body::EnquireLinkResp);
                }
            }
            Body::Unbind => {
                self.say(faults, status::ROK, sequence, Body::UnbindResp);
                self.ended = !silent(faults);
            }
            Body::GenericNack => self.delivered(now, sequence, status::RX_P_APPN, desk),
            Body::Unknown { command, .. } if command & 0x8000_0000 == 0 => {
                self.say(faults, status::RINVCMDID, sequence, Body::GenericNack);
            }
            _ => {}
        }
    }

    fn bind(&mut self, bind: &Bind<'_>, command: u32, sequence: u32, desk: &mut Desk, faults: &Faults) {
        if silent(faults) {
            return;
        }
        let refusal = if self.bound.is_some() {
            Some(status::RALYBND)
        } else {
            desk.admit(bind.system_id, bind.password).err().map(|stranger| match stranger {
                Stranger::Account => status::RINVSYSID,
                Stranger::Password => status::RINVPASWD,
                Stranger::Full => status::RALYBND,
            })
        };
        let mut tlvs = BytesMut::new();
        if refusal.is_none() {
            let (sends, receives) = (command != command::BIND_RECEIVER, command != command::BIND_TRANSMITTER);
            self.bound = Some(Bound { sends, receives });
            if bind.interface_version >= 0x34 {
                put_tlv(&mut tlvs, tag::SC_INTERFACE_VERSION, &[0x34]);
            }
        }
        let answer = match refusal {
            None => BindResp { system_id: CENTRE, tlvs: Tlvs::new(&tlvs) },
            Some(_) => BindResp::default(),
        };
        let body = match command {
            command::BIND_RECEIVER => Body::BindReceiverResp(answer),
            command::BIND_TRANSMITTER => Body::BindTransmitterResp(answer),
            _ => Body::BindTransceiverResp(answer),
        };
        self.write(refusal.unwrap_or(status::ROK), sequence, body);
        // A second bind leaves the first one standing; a refused stranger is shown out.
        self.ended |= refusal.is_some() && self.bound.is_none();
    }

    fn submit(&mut self, now: Instant, sm: &Sm<'_>, sequence: u32, desk: &mut Desk, faults: &Faults) {
        if !self.bound.is_some_and(|bound| bound.sends) {
            return self.refuse(faults, status::RINVBNDSTS, sequence);
        }
        let submission = submission(now, sm);
        desk.read(&submission);
        let accepted = if self.late.len() >= desk.config().window {
            desk.counters.over_window += 1;
            desk.counters.refused += 1;
            Err(status::RMSGQFUL)
        } else {
            desk.submit(&submission, faults)
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(status) => {
                if !silent(faults) {
                    desk.answered(now, &submission, status);
                }
                return self.refuse(faults, status, sequence);
            }
        };
        self.submits += 1;
        let cut_off = faults.close_after().is_some_and(|after| self.submits >= after);
        self.ended |= cut_off;
        if let Some(delivery) = accepted.ahead {
            if self.can_take(desk) && !silent(faults) && !cut_off {
                self.deliver(now, delivery, desk, faults);
            } else {
                desk.put_back(delivery);
            }
        }
        if silent(faults) || cut_off {
            desk.note(&submission, &accepted.id, false);
        } else if accepted.due <= now {
            self.answer(sequence, &accepted.id);
            desk.answered(now, &submission, status::ROK);
            desk.note(&submission, &accepted.id, true);
        } else {
            self.order += 1;
            let submission = submission.into_owned();
            self.late.push(Reverse(Late {
                due: accepted.due,
                order: self.order,
                sequence,
                id: accepted.id,
                submission,
            }));
        }
    }

    fn answer(&mut self, sequence: u32, id: &str) {
        let answer = SmResp { message_id: id.as_bytes(), tlvs: Tlvs::default() };
        self.write(status::ROK, sequence, Body::SubmitSmResp(answer));
    }

    fn refuse(&mut self, faults: &Faults, status: u32, sequence: u32) {
        self.say(faults, status, sequence, Body::SubmitSmResp(SmResp::default()));
    }

    /// The answer to a deliver_sm; one that was given up already, or never sent, is no matter.
    fn delivered(&mut self, now: Instant, sequence: u32, status: u32, desk: &mut Desk) {
        let Some(Open { delivery, .. }) = self.open.remove(&sequence) else { return };
        let taken = match status {
            status::ROK => Taken::Yes,
            status::RSYSERR | status::RMSGQFUL | status::RTHROTTLED | status::RX_T_APPN | status::RDELIVERYFAILURE => {
                Taken::Later
            }
            _ => Taken::Never,
        };
        desk.settled(now, delivery, taken);
    }

    /// Sends what is due and takes back deliveries that got no answer in time.
    pub fn tick(&mut self, now: Instant, desk: &mut Desk, faults: &Faults) {
        if self.ended {
            return;
        }
        while self.late.peek().is_some_and(|Reverse(late)| late.due <= now) {
            let Some(Reverse(late)) = self.late.pop() else { break };
            let answered = !silent(faults);
            if answered {
                self.answer(late.sequence, &late.id);
                desk.answered(now, &late.submission, status::ROK);
            }
            desk.note(&late.submission, &late.id, answered);
        }
        let deadline = desk.config().receipts.answer_deadline.0;
        while let Some(entry) = self.open.first_entry().filter(|entry| entry.get().since + deadline <= now) {
            desk.settled(now, entry.remove().delivery, Taken::Unknown);
        }
    }

    /// When [`Conversation::tick`] has something to do.
    pub fn deadline(&self, desk: &Desk) -> Option<Instant> {
        let oldest = self.open.first_key_value().map(|(_, open)| open.since + desk.config().receipts.answer_deadline.0);
        self.late.peek().map(|Reverse(late)| late.due).into_iter().chain(oldest).filter(|_| !self.ended).min()
    }

    /// Whether a delivery may be sent here now.
    pub fn can_take(&self, desk: &Desk) -> bool {
        let receives = self.bound.is_some_and(|bound| bound.receives) && !self.ended;
        receives && self.open.len() < desk.config().receipts.window && self.out.len() < OUT_FULL
    }

    /// Sends a receipt or an uplink message; ask [`Conversation::can_take`] first.
    pub fn deliver(&mut self, now: Instant, mut delivery: Delivery, desk: &mut Desk, faults: &Faults) {
        let copies = delivery.is_receipt() && (desk.config().receipts.duplicate || faults.on(Kind::DuplicateReceipts));
        desk.sent(&mut delivery);
        if copies {
            // The copy is sent once and its answer is of no interest.
            let sequence = self.next_sequence();
            self.write_delivery(sequence, &delivery, desk);
            desk.counters.receipts_sent += 1;
        }
        let sequence = self.next_sequence();
        self.write_delivery(sequence, &delivery, desk);
        self.ended |= !delivery.is_receipt() && faults.on(Kind::CloseAfterMo);
        self.open.insert(sequence, Open { since: now, delivery });
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = if self.sequence == 0x7FFF_FFFF { 1 } else { self.sequence + 1 };
        self.sequence
    }

    fn write_delivery(&mut self, sequence: u32, delivery: &Delivery, desk: &Desk) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        match &delivery.content {
            Content::Receipt(receipt) => self.write_receipt(sequence, receipt, desk, &mut scratch),
            Content::Mo(mo) => self.write_mo(sequence, mo, &mut scratch),
        }
        self.scratch = scratch;
    }

    fn write_receipt(&mut self, sequence: u32, receipt: &Receipt, desk: &Desk, tlvs: &mut BytesMut) {
        let quirks = &desk.config().receipts;
        let id = quirks.id_in_receipt.spell(receipt.id);
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
        self.write(status::ROK, sequence, Body::DeliverSm(sm));
    }

    fn write_mo(&mut self, sequence: u32, mo: &Mo, tlvs: &mut BytesMut) {
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
        self.write(status::ROK, sequence, Body::DeliverSm(sm));
    }

    /// Answers, unless a fault forbids it.
    fn say(&mut self, faults: &Faults, status: u32, sequence: u32, body: Body<'_>) {
        if !silent(faults) {
            self.write(status, sequence, body);
        }
    }

    fn write(&mut self, status: u32, sequence: u32, body: Body<'_>) {
        Pdu { status, sequence, body }.write(&mut self.out);
    }

    /// Octets that are no PDU.
    pub fn garble(&mut self) {
        self.out.extend_from_slice(&[0xFF; 32]);
    }

    /// Whether the connection is to be closed once `out` is sent.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the peer is bound.
    pub fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    /// Whether more may be read: a peer that does not read its answers is not read either.
    pub fn wants_input(&self) -> bool {
        !self.ended && self.out.len() < OUT_FULL
    }

    /// The connection is gone: what was open on it goes back.
    pub fn lost(mut self, now: Instant, desk: &mut Desk) {
        if self.bound.is_some() {
            desk.counters.bound = desk.counters.bound.saturating_sub(1);
        }
        for Reverse(late) in self.late.drain() {
            desk.note(&late.submission, &late.id, false);
        }
        for Open { delivery, .. } in std::mem::take(&mut self.open).into_values() {
            desk.settled(now, delivery, Taken::Unknown);
        }
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

/// Whether everything but an enquire_link stays unanswered.
fn silent(faults: &Faults) -> bool {
    faults.on(Kind::Mute) || faults.on(Kind::PingsOnly)
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
        at: now,
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
    let _ = write!(text, " stat:{}", receipt.stat.word());
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
