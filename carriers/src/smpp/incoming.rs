//! What the SMSC says, PDU by PDU. One that cannot be read, or comes at the wrong time, is answered with what is wrong
//! and costs nothing else; an answer nobody waits for is counted and forgotten.

use codecs::framing::Skip;
use codecs::octets::Reader;
use codecs::smpp::{BindResp, Body, Header, Pdu, Sm, SmResp, command, status, tag};

use super::config::Version;
use super::session::{SmppSession, State};
use super::{ids, map, receipt, verdict};
use crate::protocol::Role;
use crate::session::{Event, Fault, Now};

impl SmppSession {
    /// Takes one whole PDU.
    pub(super) fn take_pdu(&mut self, now: Now, octets: &[u8]) -> Result<(), Fault> {
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now.mono);
        }
        if let Some(sequence) = self.crowded(octets) {
            self.answer_deliver(sequence, status::RX_T_APPN);
            return Ok(());
        }
        match Pdu::read(octets) {
            Ok(pdu) => self.take(now, &pdu),
            Err(skip) => {
                self.skip(skip);
                Ok(())
            }
        }
    }

    /// The number of a deliver_sm for which there is no room. It will be said again, so it is not read now: a carrier that
    /// sends them faster than the disk takes them says most of them several times.
    fn crowded(&self, octets: &[u8]) -> Option<u32> {
        if self.unsettled.has_room() || !self.listens() {
            return None;
        }
        let header = Header::read(&mut Reader::new(octets)).ok()?;
        (header.command == command::DELIVER_SM).then_some(header.sequence)
    }

    /// Whether receipts and messages may come.
    fn listens(&self) -> bool {
        matches!(self.state, State::Bound | State::Finishing { .. }) && self.role != Role::Send
    }

    fn take(&mut self, now: Now, pdu: &Pdu<'_>) -> Result<(), Fault> {
        let (status, sequence) = (pdu.status, pdu.sequence);
        match &pdu.body {
            Body::EnquireLink => self.send(status::ROK, sequence, Body::EnquireLinkResp),
            Body::EnquireLinkResp => self.alive(sequence),
            Body::SubmitSmResp(answer) => self.answered(status, sequence, answer),
            Body::DeliverSm(sm) => self.delivered(sequence, sm),
            Body::BindReceiverResp(answer) | Body::BindTransmitterResp(answer) | Body::BindTransceiverResp(answer) => {
                return self.bind_answered(now, status, sequence, answer);
            }
            Body::Unbind => {
                self.send(status::ROK, sequence, Body::UnbindResp);
                return Err(self.end(Fault::Unbound));
            }
            Body::UnbindResp => return self.unbind_answered(sequence),
            Body::GenericNack => return self.nacked(status, sequence),
            Body::BindReceiver(_) => self.out_of_place(sequence, Body::BindReceiverResp(BindResp::default())),
            Body::BindTransmitter(_) => self.out_of_place(sequence, Body::BindTransmitterResp(BindResp::default())),
            Body::BindTransceiver(_) => self.out_of_place(sequence, Body::BindTransceiverResp(BindResp::default())),
            Body::SubmitSm(_) => self.out_of_place(sequence, Body::SubmitSmResp(SmResp::default())),
            Body::DeliverSmResp(_) => self.outbox.lenient("an answer to no request"),
            Body::Unknown { command, .. } => self.unknown(*command, sequence),
        }
        Ok(())
    }

    /// Ours to send, or not now.
    fn out_of_place(&mut self, sequence: u32, answer: Body<'_>) {
        self.send(status::RINVBNDSTS, sequence, answer);
        self.outbox.lenient("a request out of place");
    }

    fn unknown(&mut self, id: u32, sequence: u32) {
        match id {
            command::ALERT_NOTIFICATION | command::OUTBIND => self.outbox.lenient("a notice nobody asked for"),
            id if id & command::RESPONSE != 0 => self.outbox.lenient("an answer to no request"),
            _ => {
                self.send(status::RINVCMDID, sequence, Body::GenericNack);
                self.outbox.lenient("an unknown command");
            }
        }
    }

    fn skip(&mut self, skip: Skip) {
        if skip.is_request() {
            self.send(skip.status, skip.sequence, Body::GenericNack);
        }
        self.outbox.lenient("a PDU that cannot be read");
    }

    fn bind_answered(&mut self, now: Now, status: u32, sequence: u32, answer: &BindResp<'_>) -> Result<(), Fault> {
        if !matches!(self.state, State::Binding { sequence: ours, .. } if ours == sequence) {
            self.outbox.lenient("an answer to no request");
            return Ok(());
        }
        if status != status::ROK {
            return Err(self.end(verdict::bind_refused(status)));
        }
        let version = answer.tlvs.get_u8(tag::SC_INTERFACE_VERSION);
        self.knows_tlvs = version.is_some_and(|version| version >= Version::V34.octet());
        self.bound(now);
        Ok(())
    }

    fn unbind_answered(&mut self, sequence: u32) -> Result<(), Fault> {
        if matches!(self.state, State::Unbinding { sequence: ours, .. } if ours == sequence) {
            return Err(self.end(Fault::Closed));
        }
        self.outbox.lenient("an answer to no request");
        Ok(())
    }

    fn alive(&mut self, sequence: u32) {
        if self.probe == Some(sequence) {
            self.probe = None;
            self.outbox.event(Event::ProbeAnswered);
        }
    }

    fn answered(&mut self, status: u32, sequence: u32, answer: &SmResp<'_>) {
        let Some(open) = self.window.close(sequence) else {
            self.outbox.lenient("an answer to no request");
            return;
        };
        if status == status::ROK {
            let id = ids::normalise(answer.message_id, self.settings.ids.answer);
            if id.is_none() {
                self.outbox.lenient("an answer without a message id");
            }
            self.outbox.event(Event::Submitted(open.ticket, id));
        } else {
            self.outbox.event(Event::Refused(open.ticket, verdict::refusal(status)));
        }
        self.outbox.event(Event::Freed(open.ticket));
    }

    /// The far side did not understand what we sent under this sequence number.
    fn nacked(&mut self, status: u32, sequence: u32) -> Result<(), Fault> {
        if let Some(open) = self.window.close(sequence) {
            self.outbox.event(Event::Refused(open.ticket, verdict::refusal(status)));
            self.outbox.event(Event::Freed(open.ticket));
            return Ok(());
        }
        match self.state {
            State::Binding { sequence: ours, .. } if ours == sequence => {
                return Err(self.end(verdict::bind_refused(status)));
            }
            State::Unbinding { sequence: ours, .. } if ours == sequence => return Err(self.end(Fault::Closed)),
            _ => {}
        }
        self.alive(sequence);
        self.outbox.lenient("a generic_nack");
        Ok(())
    }

    fn delivered(&mut self, sequence: u32, sm: &Sm<'_>) {
        match self.state {
            _ if self.listens() => {}
            State::Unbinding { .. } if self.role != Role::Send => {
                return self.answer_deliver(sequence, status::RX_T_APPN);
            }
            _ => return self.out_of_place(sequence, Body::DeliverSmResp(SmResp::default())),
        }
        match receipt::read(&self.settings, sm) {
            Some(read) => {
                read.leniency.into_iter().for_each(|what| self.outbox.lenient(what));
                if read.receipt.ids.is_empty() {
                    // Nothing can ever be matched with it, and a repetition would say no more.
                    self.outbox.lenient("a receipt without an id");
                    return self.answer_deliver(sequence, status::ROK);
                }
                if let Some(inbound) = self.unsettled.take(sequence) {
                    self.outbox.event(Event::Receipt(inbound, Box::new(read.receipt)));
                }
            }
            None => {
                let (mo, leniency) = map::mo(&self.settings, sm);
                leniency.into_iter().for_each(|what| self.outbox.lenient(what));
                if let Some(inbound) = self.unsettled.take(sequence) {
                    self.outbox.event(Event::Mo(inbound, Box::new(mo)));
                }
            }
        }
    }
}
