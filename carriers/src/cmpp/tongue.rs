//! CMPP's PDUs as [`Dialogue`](crate::dialogue::Dialogue) hears and says them.

use std::sync::Arc;

use bytes::BytesMut;
use codecs::cmpp::{
    ActiveTestResp, Body, Connect, ConnectResp, Deliver, DeliverResp, FwdResp, LIMITS, Pdu, Submit, Version, command,
    nack, status,
};
use codecs::framing::{Limits, RESPONSE, Skip};
use codecs::layout::Items;
use codecs::pdu::Bodies;

use super::config::Settings;
use super::{report, verdict};
use crate::china::dialect::Digest;
use crate::china::{number, options, text};
use crate::dialogue::{Heard, Phrase, Said, Tongue, Word, misplaced};
use crate::message::{Mo, Part};
use crate::options::Options;
use crate::session::{Fault, Now, Ticket};

/// Octets of an account's field.
const ACCOUNT: usize = 6;

/// One connection's PDUs.
#[derive(Debug)]
pub struct CmppTongue {
    settings: Arc<Settings>,
    /// The account's, until the gateway's login answer says another.
    version: Version,
    /// Timestamp of our login, which the proof in its answer needs.
    timestamp: u32,
}

impl CmppTongue {
    /// The PDUs of a connection about to begin.
    pub fn new(settings: Arc<Settings>) -> Self {
        CmppTongue { version: settings.version, settings, timestamp: 0 }
    }

    fn proof<'a>(&self, account: &'a mut [u8; ACCOUNT]) -> Connect<'a> {
        let settings = &self.settings;
        let written = settings.source_addr.as_bytes();
        account.iter_mut().zip(written).for_each(|(octet, from)| *octet = *from);
        let digested = match settings.dialect.digest {
            Digest::Plain => account.get(..written.len()).unwrap_or(account),
            Digest::Padded => account,
        };
        let connect = Connect::new(digested, settings.shared_secret.reveal(), settings.version, self.timestamp);
        Connect { version: settings.connect_version, ..connect }
    }

    fn write(&self, sequence: u32, body: Body<'_>, out: &mut BytesMut) {
        Pdu { sequence, body }.write(self.version, out);
    }

    /// The login's answer, whose length was `octets`. Only an answer that is in the other version by its layout and says so
    /// changes the version: servers answer in the account's version whatever the client claims, and some claim anything.
    fn connected(&mut self, answer: &ConnectResp, octets: usize) -> (Said<[u8; 8]>, Option<&'static str>) {
        if answer.status != status::connect::OK {
            return (Said::Unwelcome(verdict::connect_refused(answer.status)), None);
        }
        let proven = answer.is_authentic(&self.proof(&mut [0; ACCOUNT]), self.settings.shared_secret.reveal());
        if !proven && self.settings.dialect.check_server {
            let code = "the gateway does not prove that it knows the secret".to_owned();
            return (Said::Unwelcome(Fault::BindRefused { code, permanent: true }), None);
        }
        let spoken =
            Version::of_connect_resp(octets).filter(|spoken| Version::claimed(answer.version) == Some(*spoken));
        let other = spoken.filter(|spoken| *spoken != self.version && self.settings.adopt_version);
        if let Some(other) = other {
            self.version = other;
            return (Said::Welcome, Some("a login answered in the other version"));
        }
        (Said::Welcome, (!proven).then_some("a login answer that proves nothing"))
    }

    fn deliver(&self, deliver: &Deliver<'_>) -> (Said<[u8; 8]>, Option<&'static str>) {
        if deliver.is_report() {
            let report::Reading { receipt, leniency } = report::read(deliver, self.settings.report_id, self.version);
            return (Said::Receipt(deliver.msg_id, receipt), leniency);
        }
        let text::Content { coding, header, data, segment, leniency } =
            text::content(deliver.tp_udhi, deliver.msg_fmt, deliver.msg_content);
        let mo = Mo {
            from: number::handset(deliver.src_terminal_id),
            to: number::plain(deliver.dest_id).into(),
            coding,
            header,
            data,
            segment,
            id: report::id(deliver.msg_id),
            options: options::of_mo(if self.version == Version::V20 { &[] } else { deliver.link_id }),
        };
        (Said::Mo(deliver.msg_id, mo), leniency)
    }

    /// The answer to a request that cannot be taken: as its own answer says no, or else with nothing but a result.
    fn refused(&self, skip: &Skip, octets: &[u8]) -> Option<BytesMut> {
        if !skip.is_request() {
            return None;
        }
        let mut out = BytesMut::new();
        if let Some(pdu) = nack(skip, octets, self.version) {
            pdu.write(self.version, &mut out);
            return Some(out);
        }
        let result = match skip.command {
            // Its answer has figures only and cannot say no.
            command::QUERY => return None,
            command::FWD => {
                let body = Body::FwdResp(FwdResp { result: skip.status, ..FwdResp::default() });
                self.write(skip.sequence, body, &mut out);
                return Some(out);
            }
            _ => skip.status.to_be_bytes(),
        };
        let body = match self.version {
            Version::V20 => result.get(3..).unwrap_or_default(),
            Version::V30 => &result,
        };
        self.write(skip.sequence, Body::Unknown { command: skip.command | RESPONSE, body }, &mut out);
        Some(out)
    }

    /// A whole PDU that says nothing to us.
    fn noise(&self, sequence: u32, command: u32, octets: &[u8]) -> Said<[u8; 8]> {
        let what = misplaced(command, command::name(command).is_some());
        let skip = Skip { command, sequence, status: status::result::COMMAND, reason: what };
        Said::Noise(what, self.refused(&skip, octets))
    }
}

impl Tongue for CmppTongue {
    type Number = u32;
    type Delivery = [u8; 8];

    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn number(&self, _: Now, count: u32, _: Option<Ticket>) -> u32 {
        count
    }

    fn login(&mut self, now: Now, sequence: u32, out: &mut BytesMut) {
        self.timestamp = self.settings.zone.timestamp(now.wall);
        let mut account = [0; ACCOUNT];
        self.write(sequence, Body::Connect(self.proof(&mut account)), out);
    }

    fn submit(&self, now: Now, sequence: u32, part: &Part, out: &mut BytesMut) -> Result<(), &'static str> {
        let Settings { fee, dialect, .. } = &*self.settings;
        let settings = &self.settings;
        let src_id =
            number::sender(&settings.src_id, part.sender.as_deref(), dialect.sender_digits).map_err(|_| "src_id")?;
        let asked = Options::read(&part.options);
        let terms = settings.terms_of(asked);
        let at_time = options::scheduled(asked, settings.zone, now.wall, part.valid_for)?;
        let valid_time = settings.zone.absolute(now.wall, part.valid_for);
        let submit = Submit {
            pk_total: part.total,
            pk_number: part.index.saturating_add(1),
            registered_delivery: u8::from(part.receipt && settings.registered_delivery),
            msg_level: settings.msg_level,
            service_id: terms.service_id.as_bytes(),
            fee_user_type: fee.user_type,
            fee_terminal_id: fee.terminal_id.as_bytes(),
            fee_terminal_type: if self.version == Version::V20 { 0 } else { fee.terminal_type },
            tp_pid: settings.tp_pid,
            tp_udhi: if part.udh { dialect.tp_udhi } else { 0 },
            msg_fmt: text::octet(part.coding),
            msg_src: settings.msg_src.as_bytes(),
            fee_type: terms.fee_type.as_bytes(),
            fee_code: terms.fee_code.as_bytes(),
            valid_time: if dialect.validity { &valid_time } else { &[] },
            at_time: at_time.as_ref().map_or(&[], |time| time),
            src_id: src_id.as_bytes(),
            dest_terminal_id: Items::one(dialect.prefix.write(&part.to).as_bytes()),
            msg_content: &part.data,
            link_id: if self.version == Version::V20 { &[] } else { terms.link_id.as_bytes() },
            ..Submit::default()
        };
        let pdu = Pdu { sequence, body: Body::Submit(submit) };
        match pdu.unfit(self.version) {
            Some(field) => Err(field),
            None => {
                pdu.write(self.version, out);
                Ok(())
            }
        }
    }

    /// Anything but 0 makes the ISMG deliver again; 8 says why it should wait, 9 that it need not (CMPP 3.0 §8.4.5.2).
    fn settle(&self, sequence: u32, msg_id: [u8; 8], word: Word, out: &mut BytesMut) {
        const OTHER: u32 = 9;
        let result = match word {
            Word::Yes => status::result::OK,
            Word::Later => status::result::FLOW_CONTROL,
            Word::No => OTHER,
        };
        self.write(sequence, Body::DeliverResp(DeliverResp { msg_id, result }), out);
    }

    fn say(&self, phrase: Phrase, sequence: u32, out: &mut BytesMut) {
        let body = match phrase {
            Phrase::Probe => Body::ActiveTest,
            Phrase::ProbeAnswer => Body::ActiveTestResp(ActiveTestResp::default()),
            Phrase::Goodbye => Body::Terminate,
            Phrase::GoodbyeAnswer => Body::TerminateResp,
        };
        self.write(sequence, body, out);
    }

    fn delivery(&self, octets: &[u8]) -> Option<(u32, [u8; 8])> {
        let Pdu { sequence, body } = Pdu::read(octets, self.version).ok()?;
        let Body::Deliver(deliver) = body else { return None };
        Some((sequence, deliver.msg_id))
    }

    fn hear(&mut self, octets: &[u8]) -> Heard<u32, [u8; 8]> {
        let Pdu { sequence, body } = match Pdu::read(octets, self.version) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let said = Said::Noise("a PDU that cannot be read", self.refused(&skip, octets));
                return Heard { sequence: skip.sequence, said, leniency: None };
            }
        };
        let (said, leniency) = match &body {
            Body::ConnectResp(answer) => self.connected(answer, octets.len()),
            Body::SubmitResp(answer) if answer.result == status::result::OK => {
                (Said::Accepted(report::id(answer.msg_id)), None)
            }
            Body::SubmitResp(answer) => (Said::Refused(verdict::refusal(&self.settings.dialect, answer.result)), None),
            Body::Deliver(deliver) => self.deliver(deliver),
            Body::ActiveTest => (Said::Phrase(Phrase::Probe), None),
            Body::ActiveTestResp(_) => (Said::Phrase(Phrase::ProbeAnswer), None),
            Body::Terminate => (Said::Phrase(Phrase::Goodbye), None),
            Body::TerminateResp => (Said::Phrase(Phrase::GoodbyeAnswer), None),
            other => (self.noise(sequence, other.command(), octets), None),
        };
        Heard { sequence, said, leniency }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
