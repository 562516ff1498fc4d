//! SGIP's PDUs as [`Dialogue`](crate::dialogue::Dialogue) hears and says them, on our connection or the SMG's.

use std::sync::Arc;

use bytes::BytesMut;
use codecs::framing::{Limits, RESPONSE, Skip};
use codecs::layout::Items;
use codecs::pdu::Bodies;
use codecs::sgip::{
    Bind, Body, Deliver, LIMITS, Pdu, Resp, Sequence, Submit, command, login_type, nack, report_flag, result,
};
use codecs::stat::trimmed;

use super::config::Settings;
use super::{report, sequence, verdict};
use crate::china::{number, options, text};
use crate::dialogue::{Heard, Phrase, Said, Tongue, Word, misplaced};
use crate::message::{CarrierId, Mo, Part};
use crate::options::Options;
use crate::session::{Fault, Now, Ticket};

/// What we answer a delivery that we never want.
const UNWANTED: u8 = result::NOT_PROVIDED;
/// MorelatetoMTFlag of the first message that a message from a handset leads to.
const FIRST_ANSWER: u8 = 0;
/// Octets of an answer's body.
const RESP: usize = 9;

/// What a delivery was, for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Deliver.
    Deliver,
    /// Report.
    Report,
}

/// One connection's PDUs.
#[derive(Debug)]
pub struct SgipTongue {
    settings: Arc<Settings>,
    /// Whether we opened the connection.
    ours: bool,
    /// Whether the SMG has logged in on its own.
    logged_in: bool,
}

type Said2 = (Said<Kind>, Option<&'static str>);

impl SgipTongue {
    /// The PDUs of a connection about to begin, which we opened or the SMG did.
    pub fn new(settings: Arc<Settings>, ours: bool) -> Self {
        SgipTongue { settings, ours, logged_in: false }
    }

    /// The SMG logs in on its connection.
    fn greeted(&mut self, sequence: Sequence, bind: &Bind<'_>) -> Said<Kind> {
        let answer = |result| octets(sequence, Body::BindResp(Resp::new(result)));
        if self.ours {
            return Said::Noise("a request out of place", Some(answer(result::LOGIN_TYPE)));
        }
        if self.logged_in {
            return Said::Noise("a login on a connection already logged in", Some(answer(result::REPEATED_LOGIN)));
        }
        let settings = &*self.settings;
        let known = trimmed(bind.login_name) == settings.their_name.as_bytes();
        let refused = if !settings.their_password.is(bind.login_password) || !known {
            Some((result::LOGIN, "the far side's name or password is wrong"))
        } else if bind.login_type != login_type::SMG_TO_SP && !settings.any_login_type {
            Some((result::LOGIN_TYPE, "the far side's login type is not 2"))
        } else {
            None
        };
        self.logged_in = refused.is_none();
        let fault = refused.map(|(_, why)| Fault::BindRefused { code: why.to_owned(), permanent: true });
        Said::Login(answer(refused.map_or(result::OK, |(result, _)| result)), fault)
    }

    fn deliver(&self, sequence: Sequence, deliver: &Deliver<'_>) -> Said2 {
        let text::Content { coding, header, data, segment, leniency } =
            text::content(deliver.tp_udhi, deliver.message_coding, deliver.message_content);
        let mo = Mo {
            from: number::handset(deliver.user_number),
            to: number::plain(deliver.sp_number).into(),
            coding,
            header,
            data,
            segment,
            id: Some(CarrierId::new(&sequence.octets())),
            options: options::of_mo(deliver.link_id),
        };
        (Said::Mo(Kind::Deliver, mo), leniency)
    }

    /// The answer to a request that cannot be taken: as its own answer says no, or else an answer nobody knows.
    fn refused(&self, skip: &Skip<Sequence>) -> Option<BytesMut> {
        if !skip.is_request() {
            return None;
        }
        let mut out = BytesMut::new();
        match nack(skip) {
            Some(pdu) => pdu.write((), &mut out),
            None => {
                let mut body = [0; RESP];
                body[0] = u8::try_from(skip.status).unwrap_or(result::FORMAT);
                let body = Body::Unknown { command: skip.command | RESPONSE, body: &body };
                Pdu { sequence: skip.sequence, body }.write((), &mut out);
            }
        }
        Some(out)
    }

    /// A whole PDU that says nothing to us.
    fn noise(&self, sequence: Sequence, command: u32) -> Said<Kind> {
        let what = misplaced(command, command::name(command).is_some());
        let skip = Skip { command, sequence, status: result::NOT_PROVIDED.into(), reason: what };
        Said::Noise(what, self.refused(&skip))
    }
}

fn octets(sequence: Sequence, body: Body<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    Pdu { sequence, body }.write((), &mut out);
    out
}

impl Tongue for SgipTongue {
    type Number = Sequence;
    type Delivery = Kind;

    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn number(&self, now: Now, count: u32, ticket: Option<Ticket>) -> Sequence {
        let Settings { node, zone, .. } = *self.settings;
        match ticket {
            Some(ticket) => sequence::of(node, zone, ticket),
            None => sequence::other(node, zone, now, count),
        }
    }

    fn id(&self, request: Sequence) -> Option<CarrierId> {
        report::id(request)
    }

    /// Some answer with a node or a time of their own.
    fn resembles(&self, answer: Sequence, request: Sequence) -> bool {
        answer.counter == request.counter
    }

    fn opens(&self) -> bool {
        self.ours
    }

    fn login(&mut self, _: Now, sequence: Sequence, out: &mut BytesMut) {
        let body = Body::Bind(Bind {
            login_type: login_type::SP_TO_SMG,
            login_name: self.settings.login_name.as_bytes(),
            login_password: self.settings.login_password.reveal(),
            ..Bind::default()
        });
        Pdu { sequence, body }.write((), out);
    }

    fn submit(&self, now: Now, sequence: Sequence, part: &Part, out: &mut BytesMut) -> Result<(), &'static str> {
        let settings = &*self.settings;
        let Settings { fee, dialect, .. } = settings;
        let sp_number = number::sender(&settings.sp_number, part.sender.as_deref(), dialect.sender_digits)
            .map_err(|_| "sp_number")?;
        let asked = Options::read(&part.options);
        let terms = settings.terms_of(asked);
        let schedule_time = options::scheduled(asked, settings.zone, now.wall, part.valid_for)?;
        let expire_time = settings.zone.absolute(now.wall, part.valid_for);
        let submit = Submit {
            sp_number: sp_number.as_bytes(),
            charge_number: fee.charge_number.as_bytes(),
            user_number: Items::one(dialect.prefix.write(&part.to).as_bytes()),
            corp_id: settings.corp_id.as_bytes(),
            service_type: terms.service_id.as_bytes(),
            fee_type: terms.fee_type.parse().unwrap_or(fee.fee_type),
            fee_value: terms.fee_code.as_bytes(),
            given_value: fee.given_value.as_bytes(),
            agent_flag: fee.agent_flag,
            // Who answers says so, whatever the account does else.
            morelate_to_mt_flag: if terms.answers { FIRST_ANSWER } else { fee.mo_flag },
            priority: settings.priority,
            expire_time: if dialect.validity { &expire_time } else { &[] },
            schedule_time: schedule_time.as_ref().map_or(&[], |time| time),
            report_flag: if part.receipt { settings.report_flag } else { report_flag::NEVER },
            tp_udhi: if part.udh { dialect.tp_udhi } else { 0 },
            message_coding: text::octet(part.coding),
            message_content: &part.data,
            link_id: terms.link_id.as_bytes(),
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

    /// Anything but 0 makes the SMG say it again.
    fn settle(&self, sequence: Sequence, kind: Kind, word: Word, out: &mut BytesMut) {
        let resp = Resp::new(match word {
            Word::Yes => result::OK,
            Word::Later => result::BUSY,
            Word::No => UNWANTED,
        });
        let body = match kind {
            Kind::Deliver => Body::DeliverResp(resp),
            Kind::Report => Body::ReportResp(resp),
        };
        Pdu { sequence, body }.write((), out);
    }

    /// There are no probes.
    fn say(&self, phrase: Phrase, sequence: Sequence, out: &mut BytesMut) {
        let body = match phrase {
            Phrase::Probe | Phrase::ProbeAnswer => return,
            Phrase::Goodbye => Body::Unbind,
            Phrase::GoodbyeAnswer => Body::UnbindResp,
        };
        Pdu { sequence, body }.write((), out);
    }

    fn delivery(&self, octets: &[u8]) -> Option<(Sequence, Kind)> {
        let Pdu { sequence, body } = Pdu::read(octets, ()).ok()?;
        let kind = match body {
            Body::Deliver(_) => Kind::Deliver,
            Body::Report(_) => Kind::Report,
            _ => return None,
        };
        Some((sequence, kind))
    }

    fn hear(&mut self, octets: &[u8]) -> Heard<Sequence, Kind> {
        let Pdu { sequence, body } = match Pdu::read(octets, ()) {
            Ok(pdu) => pdu,
            Err(skip) => {
                let said = Said::Noise("a PDU that cannot be read", self.refused(&skip));
                return Heard { sequence: skip.sequence, said, leniency: None };
            }
        };
        let (said, leniency) = match &body {
            Body::Bind(bind) => (self.greeted(sequence, bind), None),
            Body::BindResp(answer) if answer.result == result::OK => (Said::Welcome, None),
            Body::BindResp(answer) => (Said::Unwelcome(verdict::login_refused(answer.result)), None),
            Body::SubmitResp(answer) if answer.result == result::OK => (Said::Accepted(None), None),
            Body::SubmitResp(answer) => (Said::Refused(verdict::refusal(&self.settings.dialect, answer.result)), None),
            Body::Deliver(deliver) => self.deliver(sequence, deliver),
            Body::Report(told) => {
                let report::Reading { receipt, leniency } = report::read(told, self.settings.node);
                (Said::Receipt(Kind::Report, receipt), leniency)
            }
            // Nothing follows from it here, so there is nothing to write down first.
            Body::UserRpt(_) => {
                let answer = self::octets(sequence, Body::UserRptResp(Resp::new(result::OK)));
                (Said::Noise("a subscriber's state, not kept", Some(answer)), None)
            }
            Body::Unbind => (Said::Phrase(Phrase::Goodbye), None),
            Body::UnbindResp => (Said::Phrase(Phrase::GoodbyeAnswer), None),
            other => (self.noise(sequence, other.command()), None),
        };
        Heard { sequence, said, leniency }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
