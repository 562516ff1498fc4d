//! A message's story: its state, its parts and what happened to it, as its owner reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Wall;

/// Where a message stands. Moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Durable.
    Accepted,
    /// Waiting for a channel.
    Queued,
    /// With a carrier.
    Submitted,
    /// On the handset.
    Delivered,
    /// Not delivered, for good.
    Failed,
    /// Its validity or the wait for receipts ended.
    Expired,
    /// Withdrawn by its owner.
    Cancelled,
}

/// What an app may know of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// The message's id.
    pub id: String,
    /// The app it belongs to; empty (and left out) in answers to apps.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(skip)]
    pub app: String,
    /// The app's own reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
    /// E.164 with plus.
    pub to: String,
    /// `sms`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its tier.
    pub tier: String,
    /// Where it stands.
    pub status: Status,
    /// Why it ended so (`no_receipt`, `validity`, `rejected`…).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the outcome rests on: `receipt`, `answer` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The parts as sent; as quoted before that.
    pub parts: Vec<PartStory>,
    /// Encoding of the text.
    pub encoding: String,
    /// The company whose channel carried it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// RFC 3339, UTC.
    pub accepted_at: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// What happened, oldest first.
    pub timeline: Vec<Happening>,
}

impl Story {
    /// The same, which waits now, for that.
    pub fn waits(mut self, now: Wall, detail: String) -> Story {
        let (at, event) = (now.to_string(), "waits".to_owned());
        let (carrier, attempt, why, channel) = (None, None, None, None);
        self.timeline.push(Happening { at, event, carrier, attempt, detail: Some(detail), why, channel });
        self
    }
}

/// One part's fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartStory {
    /// Position, from 1.
    pub part: u8,
    /// Where it stands.
    pub status: Status,
    /// The carrier's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One entry of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Happening {
    /// RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// `accepted`, `attempt`, `submitted`, `refused`, `unanswered`, `receipt`, `moved_on` (a carrier had it; another
    /// channel gets it now: `undelivered` or `no_receipt`), an outcome, `called`; last, and for operators only, `waits`.
    pub event: String,
    /// The company of the channel concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The attempt concerned, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why an attempt went where it did, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The channel concerned; left out in answers to apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub channel: Option<String>,
}

/// Who reads a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The app: it knows companies, not channels.
    App,
    /// An operator.
    Operator,
}
