//! SMGP's PDUs as [`Dialogue`](crate::dialogue::Dialogue) hears and says them.

use std::sync::Arc;

use bytes::BytesMut;
use codecs::framing::{Limits, RESPONSE, Skip};
use codecs::layout::Items;
use codecs::pdu::Bodies;
use codecs::smgp::{
    Body, Deliver, DeliverResp, LIMITS, Login, LoginResp, Pdu, Submit, Tlvs, command, login_mode, nack, put_tlv,
    status, tag,
};

use super::config::Settings;
use super::{report, verdict};
use crate::china::dialect::Digest;
use crate::china::{number, options, text};
use crate::dialogue::{Heard, Phrase, Said, Tongue, Word, misplaced};
use crate::message::{Mo, Part};
use crate::options::Options;
use crate::protocol::Role;
use crate::session::{Fault, Now, Ticket};

/// Octets of an account's field.
const ACCOUNT: usize = 8;
/// Octets of the TLV MsgSrc.
const MSG_SRC: usize = 8;
/// What we answer a delivery that we never want: the first of the codes that are a peer's own.
const UNWANTED: u32 = 128;

/// One connection's PDUs.
#[derive(Debug)]
pub struct SmgpTongue {
    settings: Arc<Settings>,
    role: Role,
    /// Timestamp of our login, which the proof in its answer needs.
    timestamp: u32,
}

impl SmgpTongue {
    /// The PDUs of a connection about to begin, for links that carry `role`.
    pub fn new(settings: Arc<Settings>, role: Role) -> Self {
        SmgpTongue { settings, role, timestamp: 0 }
    }

    fn proof<'a>(&self, account: &'a mut [u8; ACCOUNT]) -> Login<'a> {
        let settings = &self.settings;
        let written = settings.client_id.as_bytes();
        account.iter_mut().zip(written).for_each(|(octet, from)| *octet = *from);
        let digested = match settings.dialect.digest {
            Digest::Plain => account.get(..written.len()).unwrap_or(account),
            Digest::Padded => account,
        };
        let mode = match self.role {
            Role::Send => login_mode::SEND,
            Role::Receive => login_mode::RECEIVE,
            Role::Both => login_mode::BOTH,
        };
        Login::new(digested, settings.shared_secret.reveal(), mode, self.timestamp)
    }

    fn logged_in(&self, answer: &LoginResp) -> (Said<[u8; 10]>, Option<&'static str>) {
        if answer.status != status::OK {
            return (Said::Unwelcome(verdict::login_refused(answer.status)), None);
        }
        let proven = answer.is_authentic(&self.proof(&mut [0; ACCOUNT]), self.settings.shared_secret.reveal());
        if !proven && self.settings.dialect.check_server {
            let code = "the gateway does not prove that it knows the secret".to_owned();
            return (Said::Unwelcome(Fault::BindRefused { code, permanent: true }), None);
        }
        (Said::Welcome, (!proven).then_some("a login answer that proves nothing"))
    }

    fn deliver(&self, deliver: &Deliver<'_>) -> (Said<[u8; 10]>, Option<&'static str>) {
        if let Some(text) = deliver.report() {
            let report::Reading { receipt, leniency } = report::read(deliver, &text);
            return (Said::Receipt(deliver.msg_id, receipt), leniency);
        }
        let tp_udhi = deliver.tlvs.get_u8(tag::TP_UDHI).unwrap_or(0);
        let text::Content { coding, header, data, segment, leniency } =
            text::content(tp_udhi, deliver.msg_format, deliver.msg_content);
        let stray = (deliver.tlvs.stray() > 0).then_some("octets after the last TLV");
        let mo = Mo {
            from: number::handset(deliver.src_term_id),
            to: number::plain(deliver.dest_term_id).into(),
            coding,
            header,
            data,
            segment,
            id: report::id(deliver.msg_id),
            options: options::of_mo(deliver.tlvs.get(tag::LINK_ID).unwrap_or_default()),
        };
        (Said::Mo(deliver.msg_id, mo), leniency.or(stray))
    }

    /// The optional fields of a part's submit.
    fn tlvs(&self, part: &Part, link_id: &str) -> BytesMut {
        let Settings { fee, dialect, .. } = &*self.settings;
        let mut tlvs = BytesMut::new();
        if part.udh {
            put_tlv(&mut tlvs, tag::TP_UDHI, &[dialect.tp_udhi]);
        }
        if part.total > 1 {
            put_tlv(&mut tlvs, tag::PK_TOTAL, &[part.total]);
            put_tlv(&mut tlvs, tag::PK_NUMBER, &[part.index.saturating_add(1)]);
        }
        if let Some(user_type) = fee.user_type {
            put_tlv(&mut tlvs, tag::CHARGE_USER_TYPE, &[user_type]);
        }
        let mut fixed = |tag, value: &str, octets: usize| {
            if !value.is_empty() {
                let mut field = value.as_bytes().to_vec();
                field.resize(octets, 0);
                put_tlv(&mut tlvs, tag, &field);
            }
        };
        fixed(tag::MSG_SRC, &self.settings.msg_src, MSG_SRC);
        fixed(tag::M_SERVICE_ID, &self.settings.m_service_id, 21);
        fixed(tag::LINK_ID, link_id, 20);
        tlvs
    }

    /// The answer to a request that cannot be taken: as its own answer says no, or else with nothing but a status.
    fn refused(&self, skip: &Skip, octets: &[u8]) -> Option<BytesMut> {
        // The answer to a query has figures only and cannot say no.
        if !skip.is_request() || skip.command == command::QUERY {
            return None;
        }
        let mut out = BytesMut::new();
        match nack(skip, octets) {
            Some(pdu) => pdu.write((), &mut out),
            None => {
                let body = Body::Unknown { command: skip.command | RESPONSE, body: &skip.status.to_be_bytes() };
                Pdu { sequence: skip.sequence, body }.write((), &mut out);
            }
        }
        Some(out)
    }

    /// A whole PDU that says nothing to us.
    fn noise(&self, sequence: u32, command: u32, octets: &[u8]) -> Said<[u8; 10]> {
        let what = misplaced(command, command::name(command).is_some());
        let skip = Skip { command, sequence, status: status::COMMAND, reason: what };
        Said::Noise(what, self.refused(&skip, octets))
    }
}

impl Tongue for SmgpTongue {
    type Number = u32;
    type Delivery = [u8; 10];

    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn number(&self, _: Now, count: u32, _: Option<Ticket>) -> u32 {
        count
    }

    fn login(&mut self, now: Now, sequence: u32, out: &mut BytesMut) {
        self.timestamp = self.settings.zone.timestamp(now.wall);
        let mut account = [0; ACCOUNT];
        let body = Body::Login(self.proof(&mut account));
        Pdu { sequence, body }.write((), out);
    }

    fn submit(&self, now: Now, sequence: u32, part: &Part, out: &mut BytesMut) -> Result<(), &'static str> {
        let settings = &*self.settings;
        let Settings { fee, dialect, .. } = settings;
        let src_term_id = number::sender(&settings.src_term_id, part.sender.as_deref(), dialect.sender_digits)
            .map_err(|_| "src_term_id")?;
        let valid_time = settings.zone.absolute(now.wall, part.valid_for);
        let asked = Options::read(&part.options);
        let terms = settings.terms_of(asked);
        let at_time = options::scheduled(asked, settings.zone, now.wall, part.valid_for)?;
        let tlvs = self.tlvs(part, terms.link_id);
        let submit = Submit {
            msg_type: settings.msg_type,
            need_report: u8::from(part.receipt && settings.need_report),
            priority: settings.priority,
            service_id: terms.service_id.as_bytes(),
            fee_type: terms.fee_type.as_bytes(),
            fee_code: terms.fee_code.as_bytes(),
            fixed_fee: fee.fixed_fee.as_bytes(),
            msg_format: text::octet(part.coding),
            valid_time: if dialect.validity { &valid_time } else { &[] },
            at_time: at_time.as_ref().map_or(&[], |time| time),
            src_term_id: src_term_id.as_bytes(),
            charge_term_id: fee.terminal_id.as_bytes(),
            dest_term_id: Items::one(dialect.prefix.write(&part.to).as_bytes()),
            msg_content: &part.data,
            tlvs: Tlvs::new(&tlvs),
            ..Submit::default()
        };
        let pdu = Pdu { sequence, body: Body::Submit(submit) };
        match pdu.unfit(()) {
            Some(field) => Err(field),
            None => {
                pdu.write((), out);
                Ok(())
            }
        }
    }

    /// Anything but 0 makes the SMGW deliver again.
    fn settle(&self, sequence: u32, msg_id: [u8; 10], word: Word, out: &mut BytesMut) {
        let status = match word {
            Word::Yes => status::OK,
            Word::Later => status::BUSY,
            Word::No => UNWANTED,
        };
        Pdu { sequence, body: Body::DeliverResp(DeliverResp { msg_id, status }) }.write((), out);
    }

    fn say(&self, phrase: Phrase, sequence: u32, out: &mut BytesMut) {
        let body = match phrase {
            Phrase::Probe => Body::ActiveTest,
            Phrase::ProbeAnswer => Body::ActiveTestResp,
            Phrase::Goodbye => Body::Exit,
            Phrase::GoodbyeAnswer => Body::ExitResp,
        };
        Pdu { sequence, body }.write((), out);
    }

    fn delivery(&self, octets: &[u8]) -> Option<(u32, [u8; 10])> {
        let Pdu { sequence, body } = Pdu::read(octets, ()).ok()?;
        let Body::Deliver(deliver) = body else { return None };
        Some((sequence, deliver.msg_id))
    }

    fn hear(&mut self, octets: &[u8]) -> Heard<u32, [u8; 10]> {
        let Pdu { sequence, body } = match Pdu::read(octets, ()) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let said = Said::Noise("a PDU that cannot be read", self.refused(&skip, octets));
                return Heard { sequence: skip.sequence, said, leniency: None };
            }
        };
        let (said, leniency) = match &body {
            Body::LoginResp(answer) => self.logged_in(answer),
            Body::SubmitResp(answer) if answer.status == status::OK => {
                (Said::Accepted(report::id(answer.msg_id)), None)
            }
            Body::SubmitResp(answer) => (Said::Refused(verdict::refusal(&self.settings.dialect, answer.status)), None),
            Body::Deliver(deliver) => self.deliver(deliver),
            Body::ActiveTest => (Said::Phrase(Phrase::Probe), None),
            Body::ActiveTestResp => (Said::Phrase(Phrase::ProbeAnswer), None),
            Body::Exit => (Said::Phrase(Phrase::Goodbye), None),
            Body::ExitResp => (Said::Phrase(Phrase::GoodbyeAnswer), None),
            other => (self.noise(sequence, other.command(), octets), None),
        };
        Heard { sequence, said, leniency }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
