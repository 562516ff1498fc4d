//! Whole PDUs: header and body, read and written; and what to answer where a body cannot be read.
//!
//! Requests must be whole, though octets after them are passed over. Answers can always be read: a refused answer would
//! lose what happened to the request. Their body is often absent on errors, present when it should not be, or ends
//! before its NUL.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::bind::{Bind, BindResp};
use super::header::{HEADER, Header};
use super::sm::{Sm, SmResp};
use super::{command, status};
use crate::framing::Skip;
use crate::layout::{Layout, Misread, Show, in_place};
use crate::octets::{Cause, Reader, until_nul};
use crate::tlv::Tlvs;

/// One PDU; its length is known when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// `command_status`: 0 in requests.
    pub status: u32,
    /// `sequence_number`: 1 to 0x7FFFFFFF; an answer repeats its request's.
    pub sequence: u32,
    /// What it is.
    pub body: Body<'a>,
}

/// A PDU's command and fields.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the specification")]
pub enum Body<'a> {
    BindReceiver(Bind<'a>),
    BindTransmitter(Bind<'a>),
    BindTransceiver(Bind<'a>),
    BindReceiverResp(BindResp<'a>),
    BindTransmitterResp(BindResp<'a>),
    BindTransceiverResp(BindResp<'a>),
    SubmitSm(Sm<'a>),
    SubmitSmResp(SmResp<'a>),
    DeliverSm(Sm<'a>),
    DeliverSmResp(SmResp<'a>),
    EnquireLink,
    EnquireLinkResp,
    Unbind,
    UnbindResp,
    GenericNack,
    /// A command not listed above, with all that follows its header.
    Unknown {
        command: u32,
        body: &'a [u8],
    },
}

/// An answer that starts with an id: `system_id` or `message_id`.
pub(super) trait Answer<'a>: Layout<'a> {
    fn new(id: &'a [u8], tlvs: Tlvs<'a>) -> Self;
    /// Whether there is nothing to say.
    fn is_empty(&self) -> bool;
}

impl<'a> Pdu<'a> {
    /// Reads exactly one PDU, as [`crate::framing::cut`] found it.
    pub fn read(octets: &'a [u8]) -> Result<Pdu<'a>, Skip> {
        let mut reader = Reader::new(octets);
        let misframed = Skip { command: 0, sequence: 0, status: status::RINVCMDLEN, reason: "command_length" };
        let header = Header::read(&mut reader).map_err(|_| misframed)?;
        let Header { length, command, status, sequence } = header;
        if usize::try_from(length) != Ok(octets.len()) {
            return Err(Skip { command, sequence, ..misframed });
        }
        let body = Body::read(command, status, &mut reader).map_err(|Misread { field, cause }| Skip {
            command,
            sequence,
            status: fault(field, cause),
            reason: field,
        })?;
        Ok(Pdu { status, sequence, body })
    }

    /// Appends the PDU. Values too long for their field are cut: see [`Pdu::unfit`].
    pub fn write(&self, out: &mut BytesMut) {
        let octets = self.octets();
        in_place(octets, out, |mut out| self.put(octets, &mut out));
    }

    /// Appends the PDU, unless a value is too long for its field or has a NUL in it: says which then. As
    /// [`Pdu::unfit`] before [`Pdu::write`], in one go; TLVs are taken to be whole.
    ///
    /// # Errors
    /// The first field whose value does not fit; nothing is appended.
    pub fn write_whole(&self, out: &mut BytesMut) -> Result<(), &'static str> {
        let (start, octets) = (out.len(), HEADER + self.body.uncut(self.status));
        let left = in_place(octets, out, |mut out| {
            self.put(octets, &mut out);
            out.len()
        });
        if left == 0 {
            return Ok(());
        }
        out.truncate(start);
        Err(self.unfit().unwrap_or("command_length"))
    }

    fn put(&self, octets: usize, out: &mut impl BufMut) {
        let length = u32::try_from(octets).unwrap_or(u32::MAX);
        Header { length, command: self.body.command(), status: self.status, sequence: self.sequence }.write(out);
        self.body.write(self.status, out);
    }

    /// How many octets `write` appends.
    pub fn octets(&self) -> usize {
        HEADER + self.body.octets(self.status)
    }

    /// The first field whose value does not fit and would be cut by `write`.
    pub fn unfit(&self) -> Option<&'static str> {
        self.body.unfit()
    }
}

/// Appends the answer to a deliver_sm, which says yes or why not and nothing else: what [`Pdu::write`] makes of an empty
/// [`Body::DeliverSmResp`].
pub fn answer_deliver(status: u32, sequence: u32, out: &mut BytesMut) {
    // The NUL of the empty id; an error has not even that.
    let body: &[u8] = if status == status::ROK { &[0] } else { &[] };
    let length = (HEADER + body.len()) as u32;
    Header { length, command: command::DELIVER_SM_RESP, status, sequence }.write(out);
    out.extend_from_slice(body);
}

/// The status that names the fault; the specification has one for most fields.
fn fault(field: &str, cause: Cause) -> u32 {
    match (field, cause) {
        ("short_message", _) => status::RINVMSGLEN,
        (_, Cause::Short) => status::RINVCMDLEN,
        ("system_id", _) => status::RINVSYSID,
        ("password", _) => status::RINVPASWD,
        ("system_type", _) => status::RINVSYSTYP,
        ("service_type", _) => status::RINVSERTYP,
        ("source_addr", _) => status::RINVSRCADR,
        ("destination_addr", _) => status::RINVDSTADR,
        ("schedule_delivery_time", _) => status::RINVSCHED,
        ("validity_period", _) => status::RINVEXPIRY,
        _ => status::RINVCMDLEN,
    }
}

impl<'a> Body<'a> {
    /// The command id.
    pub fn command(&self) -> u32 {
        match self {
            Body::BindReceiver(_) => command::BIND_RECEIVER,
            Body::BindTransmitter(_) => command::BIND_TRANSMITTER,
            Body::BindTransceiver(_) => command::BIND_TRANSCEIVER,
            Body::BindReceiverResp(_) => command::BIND_RECEIVER_RESP,
            Body::BindTransmitterResp(_) => command::BIND_TRANSMITTER_RESP,
            Body::BindTransceiverResp(_) => command::BIND_TRANSCEIVER_RESP,
            Body::SubmitSm(_) => command::SUBMIT_SM,
            Body::SubmitSmResp(_) => command::SUBMIT_SM_RESP,
            Body::DeliverSm(_) => command::DELIVER_SM,
            Body::DeliverSmResp(_) => command::DELIVER_SM_RESP,
            Body::EnquireLink => command::ENQUIRE_LINK,
            Body::EnquireLinkResp => command::ENQUIRE_LINK_RESP,
            Body::Unbind => command::UNBIND,
            Body::UnbindResp => command::UNBIND_RESP,
            Body::GenericNack => command::GENERIC_NACK,
            Body::Unknown { command, .. } => *command,
        }
    }

    fn read(command: u32, status: u32, from: &mut Reader<'a>) -> Result<Body<'a>, Misread> {
        Ok(match command {
            command::BIND_RECEIVER => Body::BindReceiver(Bind::read(from, ())?),
            command::BIND_TRANSMITTER => Body::BindTransmitter(Bind::read(from, ())?),
            command::BIND_TRANSCEIVER => Body::BindTransceiver(Bind::read(from, ())?),
            command::BIND_RECEIVER_RESP => Body::BindReceiverResp(read_answer(from.rest(), status)),
            command::BIND_TRANSMITTER_RESP => Body::BindTransmitterResp(read_answer(from.rest(), status)),
            command::BIND_TRANSCEIVER_RESP => Body::BindTransceiverResp(read_answer(from.rest(), status)),
            command::SUBMIT_SM => Body::SubmitSm(Sm::read(from, ())?),
            command::SUBMIT_SM_RESP => Body::SubmitSmResp(read_answer(from.rest(), status)),
            command::DELIVER_SM => Body::DeliverSm(Sm::read(from, ())?),
            command::DELIVER_SM_RESP => Body::DeliverSmResp(read_answer(from.rest(), status)),
            command::ENQUIRE_LINK => Body::EnquireLink,
            command::ENQUIRE_LINK_RESP => Body::EnquireLinkResp,
            command::UNBIND => Body::Unbind,
            command::UNBIND_RESP => Body::UnbindResp,
            command::GENERIC_NACK => Body::GenericNack,
            command => Body::Unknown { command, body: from.rest() },
        })
    }

    fn write(&self, status: u32, out: &mut impl BufMut) {
        match self {
            Body::BindReceiver(bind) | Body::BindTransmitter(bind) | Body::BindTransceiver(bind) => bind.write((), out),
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer) => {
                write_answer(answer, status, out);
            }
            Body::SubmitSm(sm) | Body::DeliverSm(sm) => sm.write((), out),
            Body::SubmitSmResp(answer) | Body::DeliverSmResp(answer) => write_answer(answer, status, out),
            Body::EnquireLink | Body::EnquireLinkResp | Body::Unbind | Body::UnbindResp | Body::GenericNack => {}
            Body::Unknown { body, .. } => out.put_slice(body),
        }
    }

    fn octets(&self, status: u32) -> usize {
        match self {
            Body::BindReceiver(bind) | Body::BindTransmitter(bind) | Body::BindTransceiver(bind) => bind.octets(()),
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer) => {
                answer_octets(answer, status)
            }
            Body::SubmitSm(sm) | Body::DeliverSm(sm) => sm.octets(()),
            Body::SubmitSmResp(answer) | Body::DeliverSmResp(answer) => answer_octets(answer, status),
            Body::EnquireLink | Body::EnquireLinkResp | Body::Unbind | Body::UnbindResp | Body::GenericNack => 0,
            Body::Unknown { body, .. } => body.len(),
        }
    }

    fn uncut(&self, status: u32) -> usize {
        match self {
            Body::BindReceiver(bind) | Body::BindTransmitter(bind) | Body::BindTransceiver(bind) => bind.uncut(()),
            Body::SubmitSm(sm) | Body::DeliverSm(sm) => sm.uncut(()),
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer)
                if has_body(answer, status) =>
            {
                answer.uncut(())
            }
            Body::SubmitSmResp(answer) | Body::DeliverSmResp(answer) if has_body(answer, status) => answer.uncut(()),
            other => other.octets(status),
        }
    }

    fn unfit(&self) -> Option<&'static str> {
        match self {
            Body::BindReceiver(bind) | Body::BindTransmitter(bind) | Body::BindTransceiver(bind) => bind.unfit(()),
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer) => {
                answer.unfit(())
            }
            Body::SubmitSm(sm) | Body::DeliverSm(sm) => sm.unfit(()),
            Body::SubmitSmResp(answer) | Body::DeliverSmResp(answer) => answer.unfit(()),
            _ => None,
        }
    }
}

/// Reads the body of an answer, whatever it is. In order of belief: nothing; an id and whole TLVs; on an error, TLVs
/// with no id before them; an id and stray octets; an id that lacks its NUL.
fn read_answer<'a, A: Answer<'a>>(body: &'a [u8], status: u32) -> A {
    let id = until_nul(body);
    let after = Tlvs::new(body.get(id.len() + 1..).unwrap_or_default());
    let bare = Tlvs::new(body);
    if status != status::ROK && after.stray() > 0 && bare.stray() == 0 {
        return A::new(&[], bare);
    }
    A::new(id, after)
}

/// An error with nothing to say has no body.
fn has_body<'a>(answer: &impl Answer<'a>, status: u32) -> bool {
    status == status::ROK || !answer.is_empty()
}

fn write_answer<'a>(answer: &impl Answer<'a>, status: u32, out: &mut impl BufMut) {
    if has_body(answer, status) {
        answer.write((), out);
    }
}

fn answer_octets<'a>(answer: &impl Answer<'a>, status: u32) -> usize {
    if has_body(answer, status) { answer.octets(()) } else { 0 }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = command::name(self.command()).unwrap_or("unknown");
        match self {
            Body::BindReceiver(bind) | Body::BindTransmitter(bind) | Body::BindTransceiver(bind) => {
                f.debug_tuple(name).field(bind).finish()
            }
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer) => {
                f.debug_tuple(name).field(answer).finish()
            }
            Body::SubmitSm(sm) | Body::DeliverSm(sm) => f.debug_tuple(name).field(sm).finish(),
            Body::SubmitSmResp(answer) | Body::DeliverSmResp(answer) => f.debug_tuple(name).field(answer).finish(),
            Body::EnquireLink | Body::EnquireLinkResp | Body::Unbind | Body::UnbindResp | Body::GenericNack => {
                f.write_str(name)
            }
            Body::Unknown { command, body } => f
                .debug_struct(name)
                .field("command", &Show(|f: &mut fmt::Formatter<'_>| write!(f, "{command:#x}")))
                .field("octets", &body.len())
                .finish(),
        }
    }
}
