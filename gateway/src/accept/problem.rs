//! Errors as applications see them: one table of codes, and `application/problem+json` after RFC 9457.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admit::{Reason, Refusal, Wait};

/// What went wrong, as a stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not JSON, or not UTF-8.
    InvalidJson,
    /// A value of the wrong JSON type.
    WrongType,
    /// A field this call does not have.
    UnknownField,
    /// A field given twice.
    DuplicateField,
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    InvalidIdempotencyKey,
    /// The body broke off.
    IncompleteBody,
    /// No key, or not one of ours.
    Unauthorized,
    /// The app may not call from there.
    IpNotAllowed,
    /// No such thing, or another app's.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The first request with this key is not answered yet.
    IdempotencyInProgress,
    /// More octets than the call takes.
    BodyTooLarge,
    /// More messages than a batch may have.
    TooManyItems,
    /// No message of a batch was accepted.
    NothingAccepted,
    /// Not `application/json`.
    UnsupportedMediaType,
    /// The key was used with another body.
    IdempotencyMismatch,
    /// It could not be written down.
    NotDurable,
    /// Something that should not happen here.
    Internal,
    /// Admission says no.
    Refused(Reason),
}

impl Code {
    /// The table: stable word, status, title.
    pub fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Code::InvalidJson => ("invalid_json", S::BAD_REQUEST, "The body is not valid JSON"),
            Code::WrongType => ("wrong_type", S::BAD_REQUEST, "A value has the wrong type"),
            Code::UnknownField => ("unknown_field", S::BAD_REQUEST, "A field is not known"),
            Code::DuplicateField => ("duplicate_field", S::BAD_REQUEST, "A field is given twice"),
            Code::InvalidIdempotencyKey => {
                ("invalid_idempotency_key", S::BAD_REQUEST, "The Idempotency-Key is not usable")
            }
            Code::IncompleteBody => ("incomplete_body", S::BAD_REQUEST, "The body broke off"),
            Code::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "A valid key is needed"),
            Code::IpNotAllowed => ("ip_not_allowed", S::FORBIDDEN, "The app may not call from this address"),
            Code::NotFound => ("not_found", S::NOT_FOUND, "There is no such resource"),
            Code::MethodNotAllowed => ("method_not_allowed", S::METHOD_NOT_ALLOWED, "The method is not allowed here"),
            Code::BodyTimeout => ("body_timeout", S::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Code::IdempotencyInProgress => {
                ("idempotency_in_progress", S::CONFLICT, "The first request with this key is still in progress")
            }
            Code::BodyTooLarge => ("body_too_large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Code::TooManyItems => ("too_many_items", S::PAYLOAD_TOO_LARGE, "The batch has too many messages"),
            Code::NothingAccepted => {
                ("nothing_accepted", S::UNPROCESSABLE_ENTITY, "No message of the batch was accepted")
            }
            Code::UnsupportedMediaType => {
                ("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, "The content type is not one this call takes")
            }
            Code::IdempotencyMismatch => {
                ("idempotency_mismatch", S::UNPROCESSABLE_ENTITY, "The key was used with another body")
            }
            Code::NotDurable => ("not_durable", S::SERVICE_UNAVAILABLE, "The message could not be written down"),
            Code::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The request could not be handled"),
            Code::Refused(reason) => refused(reason),
        }
    }
}

fn refused(reason: Reason) -> (&'static str, StatusCode, &'static str) {
    use StatusCode as S;
    let (word, title) = match reason {
        Reason::Missing => ("missing", "A field is missing"),
        Reason::Empty => ("empty", "A field is empty"),
        Reason::InvalidNumber => ("invalid_number", "The phone number is not valid"),
        Reason::InvalidCharacter => ("invalid_character", "The text holds characters that cannot be sent"),
        Reason::InvalidSender => ("invalid_sender", "The sender is not possible"),
        Reason::OutOfRange => ("out_of_range", "A value is out of its range"),
        Reason::TooLong => ("too_long", "The text is too long"),
        Reason::TierNotAllowed => ("tier_not_allowed", "The app does not have this tier"),
        Reason::SignatureNotAllowed => ("signature_not_allowed", "The app does not have this signature"),
        Reason::TypeUnavailable => ("type_unavailable", "This message type is not available"),
        Reason::SendAtUnavailable => ("send_at_unavailable", "Later sending is not available"),
        Reason::TemplateUnavailable => ("template_unavailable", "Templates are not available"),
        Reason::UnknownOption => ("unknown_option", "No channel of its route knows this option"),
        Reason::InvalidOption => ("invalid_option", "An option does not have a possible value"),
        Reason::NoRoute => ("no_route", "There is no route for this message"),
        Reason::RateLimited => return ("rate_limited", S::TOO_MANY_REQUESTS, "The app sends too fast"),
        Reason::AppHeld => return ("app_held", S::FORBIDDEN, "The app is held by the gateway's operator"),
        Reason::Overloaded => return ("overloaded", S::SERVICE_UNAVAILABLE, "The gateway cannot take more now"),
    };
    (word, S::UNPROCESSABLE_ENTITY, title)
}

/// One place in the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// JSON pointer into the body.
    pub pointer: String,
    /// Stable word.
    pub code: &'static str,
    /// For people.
    pub detail: Cow<'static, str>,
}

/// A request refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The word that decides status and title.
    pub code: Code,
    /// For people; never holds a number, a key or text.
    pub detail: Cow<'static, str>,
    /// Where, if in the body.
    pub errors: Vec<Place>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// How long the message would wait, where that is why.
    pub wait: Option<Wait>,
    /// Messages of a batch, where none was accepted.
    pub rejected: Vec<Rejected>,
    /// Whether the connection cannot go on (its body was not read).
    pub close: bool,
}

/// One message of a batch that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: u16,
    /// Stable word, as a single post would have it.
    pub code: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The body of every error.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Page<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the code means.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// Stable word.
    code: &'static str,
    /// For people.
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    /// Where, if in the body.
    #[serde(skip_serializing_if = "<[Place]>::is_empty")]
    errors: &'a [Place],
    /// With `overloaded`, where the message would not have left within half its validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<WaitPage>,
    /// Of a batch of which nothing was accepted: each of its messages.
    #[serde(skip_serializing_if = "<[Rejected]>::is_empty")]
    rejected: &'a [Rejected],
}

/// How long a message would wait.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Wait")]
struct WaitPage {
    /// Seconds until it would leave.
    seconds: f64,
    /// Parts that would leave before it.
    parts_ahead: u64,
    /// Parts per second its channels take.
    parts_per_second: f64,
    /// Seconds for which all its channels have been down; 0 where one is not.
    down_seconds: u64,
}

impl From<Wait> for WaitPage {
    fn from(wait: Wait) -> WaitPage {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        WaitPage {
            seconds: tenths(wait.wait.as_secs_f64()),
            parts_ahead: wait.parts_ahead,
            parts_per_second: tenths(wait.pace),
            down_seconds: wait.down.as_secs(),
        }
    }
}

impl Problem {
    /// A problem without places.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Box<Problem> {
        let (errors, rejected) = (vec![], vec![]);
        Box::new(Problem { code, detail: detail.into(), errors, retry_after: None, wait: None, rejected, close: false })
    }

    /// The same, and the connection ends with it.
    pub fn closing(mut self: Box<Self>) -> Box<Self> {
        self.close = true;
        self
    }

    /// Adds when to come back.
    pub fn retry(mut self: Box<Self>, after: Duration) -> Box<Self> {
        self.retry_after = Some(after);
        self
    }

    /// The answer. `jitter` in 0..1 spreads `Retry-After` by half of it either way, so that those refused together do
    /// not come back together.
    pub fn answer(&self, jitter: f64) -> Response<Full<Bytes>> {
        let (code, status, title) = self.code.row();
        let page = Page {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
            errors: &self.errors,
            wait: self.wait.map(WaitPage::from),
            rejected: &self.rejected,
        };
        let body = serde_json::to_vec(&page).unwrap_or_default();
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            let seconds = (after.as_secs_f64() * (0.5 + jitter)).ceil().clamp(1.0, 86_400.0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<Refusal> for Box<Problem> {
    fn from(refusal: Refusal) -> Self {
        let place = |f: crate::admit::Fault| Place {
            pointer: format!("/{}", f.field),
            code: refused(f.reason).0,
            detail: f.detail,
        };
        Box::new(Problem {
            code: Code::Refused(refusal.reason),
            detail: refusal.detail,
            errors: refusal.faults.into_iter().map(place).collect(),
            retry_after: refusal.retry_after,
            wait: refusal.wait,
            rejected: vec![],
            close: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_spread_and_never_zero() {
        let problem = Problem::new(Code::NotDurable, "").retry(Duration::from_secs(10));
        for (jitter, want) in [(0.0, "5"), (0.5, "10"), (0.999, "15")] {
            assert_eq!(problem.answer(jitter).headers()[RETRY_AFTER], want);
        }
        let soon = Problem::new(Code::NotDurable, "").retry(Duration::from_millis(1));
        assert_eq!(soon.answer(0.0).headers()[RETRY_AFTER], "1");
    }
}
