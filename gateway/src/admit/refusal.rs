//! Why a message may not pass, in words every entrance can translate.

use std::borrow::Cow;
use std::time::Duration;

use super::gate::{Busy, Wait};

/// The reason's stable name is part of the contract with apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A field that must be there is not.
    Missing,
    /// A field is empty.
    Empty,
    /// Not a phone number.
    InvalidNumber,
    /// A character that no carrier can send.
    InvalidCharacter,
    /// Not a possible sender.
    InvalidSender,
    /// A value out of its range.
    OutOfRange,
    /// More characters or parts than can be sent.
    TooLong,
    /// Not one of the app's tiers.
    TierNotAllowed,
    /// Not one of the app's signatures.
    SignatureNotAllowed,
    /// No such message type here.
    TypeUnavailable,
    /// Later sending is not offered.
    SendAtUnavailable,
    /// Templates are not offered.
    TemplateUnavailable,
    /// An option that no channel of its route knows.
    UnknownOption,
    /// An option that cannot have this value.
    InvalidOption,
    /// No route leads anywhere for it.
    NoRoute,
    /// The app sends faster than it may.
    RateLimited,
    /// The line cannot take more just now.
    Overloaded,
    /// An operator holds the app.
    AppHeld,
}

/// One field's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong.
    pub reason: Reason,
    /// For people; never holds the value.
    pub detail: Cow<'static, str>,
}

/// A message refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The (first) reason.
    pub reason: Reason,
    /// For people.
    pub detail: Cow<'static, str>,
    /// Field by field, where fields are at fault.
    pub faults: Vec<Fault>,
    /// When it may be tried again, where that helps.
    pub retry_after: Option<Duration>,
    /// How long it would wait, where that is why.
    pub wait: Option<Wait>,
}

impl Refusal {
    /// A refusal that concerns no field.
    pub fn of(reason: Reason, detail: &'static str) -> Self {
        Refusal { reason, detail: detail.into(), faults: vec![], retry_after: None, wait: None }
    }

    /// Faulty fields; the first one's reason speaks for all.
    pub fn fields(faults: Vec<Fault>) -> Self {
        let (reason, detail) = faults
            .first()
            .map_or((Reason::Missing, "".into()), |f| (f.reason, format!("{}: {}", f.field, f.detail).into()));
        Refusal { reason, detail, faults, retry_after: None, wait: None }
    }

    pub(super) fn busy(busy: Busy) -> Self {
        let detail = match busy.wait {
            None => format!("cannot take more just now ({})", busy.reason),
            Some(Wait { wait, parts_ahead, pace, down }) => {
                let down = match down.as_secs() {
                    0 => String::new(),
                    seconds => format!(", its channels down for {seconds} s"),
                };
                let seconds = wait.as_secs_f64();
                format!(
                    "would not leave within half its validity: about {seconds:.0} s to wait ({parts_ahead} parts ahead, {pace:.0} a second{down})"
                )
            }
        };
        let (detail, retry_after) = (detail.into(), Some(busy.retry_after));
        Refusal { reason: Reason::Overloaded, detail, faults: vec![], retry_after, wait: busy.wait }
    }

    pub(crate) fn held(detail: &str) -> Self {
        let detail = match detail {
            "" => "the gateway's operator takes no new messages from this app at present".into(),
            told => Cow::Owned(told.to_owned()),
        };
        Refusal { reason: Reason::AppHeld, detail, faults: vec![], retry_after: None, wait: None }
    }

    pub(super) fn rate(wait: Duration) -> Self {
        let detail = "the app's rate is used up".into();
        Refusal { reason: Reason::RateLimited, detail, faults: vec![], retry_after: Some(wait), wait: None }
    }
}
