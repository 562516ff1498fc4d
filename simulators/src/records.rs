//! The lines of the three files: what the load client, the far side and the callback sink write, and the checker reads.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record<'a> {
    /// The load client posted a message.
    #[serde(borrow)]
    Post(Post<'a>),
    /// A far side accepted a submit.
    #[serde(borrow)]
    Submit(Submit<'a>),
    /// A far side was sent a submit again and knew it.
    Repeat(Repeat<'a>),
    /// A far side sent a receipt, and this is how it ended.
    #[serde(borrow)]
    Receipt(Receipt<'a>),
    /// A far side sent an uplink message, and this is how it ended.
    #[serde(borrow)]
    Mo(Mo<'a>),
    /// The callback sink was told something.
    #[serde(borrow)]
    Event(Event<'a>),
    /// The callback sink got a call whose signature does not hold.
    #[serde(borrow)]
    BadSignature(BadSignature<'a>),
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posted {
    /// Answered 202.
    Accepted,
    /// Answered otherwise, or never sent (status 0).
    Refused,
    /// Sent, and no answer came.
    Unknown,
}

/// A post and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post<'a> {
    /// The client's own reference.
    #[serde(borrow, rename = "ref")]
    pub reference: Cow<'a, str>,
    /// Its Idempotency-Key.
    #[serde(borrow, default)]
    pub key: Cow<'a, str>,
    /// Destination, E.164 with the plus sign.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// Tier asked for.
    #[serde(borrow, default)]
    pub tier: Cow<'a, str>,
    /// When the (last) request left, ms since 1970.
    pub t_ms: f64,
    /// From the scheduled time to the answer, ms.
    #[serde(default)]
    pub took_ms: f64,
    /// What became of it.
    pub result: Posted,
    /// HTTP status; 0 when there was none.
    #[serde(default)]
    pub status: u16,
    /// The gateway's message id; empty unless accepted.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    /// How often the request was sent.
    #[serde(default)]
    pub tries: u32,
    /// When the answer came, ms since 1970; when the message was given up where none came.
    #[serde(default)]
    pub answered_ms: f64,
}

/// Which part of which long message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Concat {
    /// Reference shared by all parts.
    #[serde(rename = "ref")]
    pub reference: u16,
    /// Number of parts.
    pub total: u8,
    /// This part, from 1.
    pub seq: u8,
}

/// A submit the far side accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submit<'a> {
    /// When it was read, ms since 1970.
    pub t_ms: f64,
    /// Name of the simulated carrier.
    #[serde(borrow)]
    pub carrier: Cow<'a, str>,
    /// The id in the answer.
    #[serde(borrow)]
    pub carrier_id: Cow<'a, str>,
    /// Source address as sent.
    #[serde(borrow, default)]
    pub source: Cow<'a, str>,
    /// Destination address as sent.
    #[serde(borrow)]
    pub destination: Cow<'a, str>,
    /// The part's text, decoded.
    #[serde(borrow, default)]
    pub text: Cow<'a, str>,
    /// Concatenation, by header or TLV; absent for a whole message.
    #[serde(default)]
    pub udh: Option<Concat>,
    /// The sender's reference, when it sent one.
    #[serde(default)]
    pub user_message_reference: Option<u16>,
    /// The service code it names.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub service_id: Cow<'a, str>,
    /// The message from a handset that it answers.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub link_id: Cow<'a, str>,
    /// Parts of the whole message.
    #[serde(default = "one")]
    pub parts: u8,
    /// Whether the answer was handed to the connection.
    pub answered: bool,
}

fn one() -> u8 {
    1
}

/// A submit that came again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repeat<'a> {
    /// When, ms since 1970.
    pub t_ms: f64,
    /// Name of the simulated carrier.
    #[serde(borrow)]
    pub carrier: Cow<'a, str>,
    /// The id of the first.
    #[serde(borrow)]
    pub carrier_id: Cow<'a, str>,
    /// Destination address as sent.
    #[serde(borrow)]
    pub destination: Cow<'a, str>,
}

/// A line of a carrier's `wire` file: what went over its connections, at the moment it did, whatever came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wire<'a> {
    /// A submit was read.
    Read {
        /// When, ms since 1970.
        t_ms: f64,
        /// Destination address as sent.
        #[serde(borrow)]
        destination: Cow<'a, str>,
    },
    /// A submit was answered.
    Answer {
        /// When, ms since 1970.
        t_ms: f64,
        /// Destination address as sent.
        #[serde(borrow)]
        destination: Cow<'a, str>,
        /// The protocol's status; 0 for accepted.
        status: u32,
    },
}

/// A receipt the far side sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt<'a> {
    /// When its fate was known, ms since 1970.
    #[serde(default)]
    pub t_ms: f64,
    /// Name of the simulated carrier.
    #[serde(borrow, default)]
    pub carrier: Cow<'a, str>,
    /// The id as it was in the answer (the receipt itself may spell it otherwise).
    #[serde(borrow)]
    pub carrier_id: Cow<'a, str>,
    /// State word, such as DELIVRD.
    #[serde(borrow)]
    pub stat: Cow<'a, str>,
    /// Whether the other side took it.
    pub acked: bool,
    /// How often it was sent.
    #[serde(default)]
    pub tries: u32,
}

/// An uplink message the far side sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mo<'a> {
    /// When its fate was known, ms since 1970.
    pub t_ms: f64,
    /// Name of the simulated carrier.
    #[serde(borrow)]
    pub carrier: Cow<'a, str>,
    /// The handset.
    #[serde(borrow)]
    pub from: Cow<'a, str>,
    /// The service number.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// Text, of the whole message where this is a part.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Which part of it; absent for a whole message.
    #[serde(default)]
    pub udh: Option<Concat>,
    /// Whether the other side took it.
    pub acked: bool,
    /// How often it was sent.
    pub tries: u32,
}

/// An event of a callback with a good signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event<'a> {
    /// The call it came in.
    #[serde(borrow, default)]
    pub webhook_id: Cow<'a, str>,
    /// The event's own id; repeats carry the same one.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// Such as `message.delivered`.
    #[serde(borrow, rename = "type")]
    pub kind_of_event: Cow<'a, str>,
    /// The gateway's message id.
    #[serde(borrow, default)]
    pub message_id: Cow<'a, str>,
    /// The application's reference.
    #[serde(borrow, default)]
    pub client_ref: Cow<'a, str>,
    /// When it came, ms since 1970.
    pub t_ms: f64,
    /// Order of this message's events.
    #[serde(default)]
    pub seq: u64,
    /// When it happened, as the event says.
    #[serde(borrow, default)]
    pub time: Cow<'a, str>,
    /// First 8 octets of the call's body's SHA-256, in hex: a call repeated is the same call.
    #[serde(borrow, default)]
    pub body_hash: Cow<'a, str>,
    /// What this sink answered; only 2xx means that it has the event.
    #[serde(default = "no_content")]
    pub status: u16,
    /// The event's data.
    #[serde(default)]
    pub data: serde_json::Value,
}

fn no_content() -> u16 {
    204
}

/// A callback that was refused for its signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BadSignature<'a> {
    /// When it came, ms since 1970.
    #[serde(default)]
    pub t_ms: f64,
    /// The call's id, as claimed.
    #[serde(borrow, default)]
    pub webhook_id: Cow<'a, str>,
    /// What does not hold.
    #[serde(borrow, default)]
    pub reason: Cow<'a, str>,
}
