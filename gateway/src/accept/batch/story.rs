//! What is said of a batch: the answer to its post, and later what has become of its messages.

use schemars::JsonSchema;
use serde::Serialize;

use crate::accept::problem::Rejected;
use crate::ids::MessageId;
use crate::journal::record::Batch;
use crate::json;
use crate::report::story::Status;

/// The answer to a batch. Written by [`answer`]; this is its description.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchAccepted")]
pub struct Taken {
    /// The batch's id.
    pub id: String,
    /// Messages accepted.
    pub accepted: u16,
    /// Messages that were not, by their place in the batch, counted from 0.
    pub rejected: Vec<Rejected>,
    /// The ids of those accepted; left out with `?ids=false`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<TakenMessage>,
}

/// A message of a batch that was accepted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchMessage")]
pub struct TakenMessage {
    /// Its place in the batch.
    pub index: u16,
    /// Its id.
    pub id: String,
}

/// The body of the answer.
pub(super) fn answer(id: MessageId, batch: &Batch<'_>, ids: bool) -> Vec<u8> {
    let accepted = usize::from(batch.count).saturating_sub(batch.rejected.len());
    let mut out = Vec::with_capacity(128 + batch.rejected.len() * 96 + if ids { accepted * 40 } else { 0 });
    let text = |out: &mut Vec<u8>, text: &str| {
        // Writing into a vector does not fail.
        let _ = serde_json::to_writer(out, text);
    };
    out.extend_from_slice(format!("{{\"id\":\"{id}\",\"accepted\":{accepted},\"rejected\":[").as_bytes());
    for (at, (index, reason)) in batch.rejected.iter().enumerate() {
        let (code, detail) = batch.reasons.get(usize::from(*reason)).copied().unwrap_or_default();
        out.extend_from_slice(if at > 0 { b",{\"index\":" } else { b"{\"index\":" });
        json::number((*index).into(), &mut out);
        out.extend_from_slice(b",\"code\":");
        text(&mut out, code);
        if !detail.is_empty() {
            out.extend_from_slice(b",\"detail\":");
            text(&mut out, detail);
        }
        out.push(b'}');
    }
    out.push(b']');
    if ids {
        out.extend_from_slice(b",\"messages\":[");
        let (mut rejected, mut first) = (batch.rejected.iter().peekable(), true);
        for index in 0..batch.count {
            if rejected.next_if(|(no, _)| *no == index).is_some() {
                continue;
            }
            out.extend_from_slice(if first { b"{\"index\":" } else { b",{\"index\":" });
            first = false;
            json::number(index.into(), &mut out);
            out.extend_from_slice(b",\"id\":\"");
            out.extend_from_slice(&id.item(index).letters());
            out.extend_from_slice(b"\"}");
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

/// How many messages of a batch stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "BatchCounts")]
pub struct Counts {
    /// Not with a carrier, or not with another one yet.
    pub waiting: u32,
    /// With a carrier.
    pub submitted: u32,
    /// On the handset.
    pub delivered: u32,
    /// Not delivered, for good.
    pub failed: u32,
    /// Their validity or the wait for receipts ended.
    pub expired: u32,
    /// Withdrawn.
    pub cancelled: u32,
}

impl Counts {
    /// One more that stands there.
    pub fn add(&mut self, status: Status) {
        let slot = match status {
            Status::Accepted | Status::Queued => &mut self.waiting,
            Status::Submitted => &mut self.submitted,
            Status::Delivered => &mut self.delivered,
            Status::Failed => &mut self.failed,
            Status::Expired => &mut self.expired,
            Status::Cancelled => &mut self.cancelled,
        };
        *slot += 1;
    }
}

/// What has become of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Batch")]
pub struct BatchStory {
    /// Its id.
    pub id: String,
    /// RFC 3339, UTC.
    pub accepted_at: String,
    /// Messages in it.
    pub total: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// Of these, rejected at once.
    pub rejected: u32,
    /// Where the accepted ones stand.
    pub counts: Counts,
}

impl BatchStory {
    pub(super) fn new(id: MessageId, batch: &Batch<'_>, counts: Counts) -> Self {
        let (total, rejected) = (u32::from(batch.count), batch.rejected.len() as u32);
        BatchStory {
            id: id.to_string(),
            accepted_at: batch.at.to_string(),
            total,
            accepted: total.saturating_sub(rejected),
            rejected,
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_each_message_once() {
        let batch = Batch {
            count: 12,
            reasons: vec![("no_route", "no \"route\""), ("empty", "")],
            rejected: vec![(0, 0), (9, 1), (10, 0)],
            ..Batch::default()
        };
        let id = MessageId(1 << 40);
        let answer: serde_json::Value = serde_json::from_slice(&answer(id, &batch, true)).unwrap();
        assert_eq!((answer["id"].as_str().unwrap(), answer["accepted"].as_u64()), (&*id.to_string(), Some(9)));
        let rejected = serde_json::json!([
            { "index": 0, "code": "no_route", "detail": "no \"route\"" },
            { "index": 9, "code": "empty" },
            { "index": 10, "code": "no_route", "detail": "no \"route\"" },
        ]);
        assert_eq!(answer["rejected"], rejected);
        let messages = answer["messages"].as_array().unwrap();
        let want: Vec<(u64, String)> =
            [1, 2, 3, 4, 5, 6, 7, 8, 11].map(|at| (at, MessageId(id.0 + 1 + at).to_string())).into();
        let said = |m: &serde_json::Value| (m["index"].as_u64().unwrap(), m["id"].as_str().unwrap().to_owned());
        assert_eq!(messages.iter().map(said).collect::<Vec<_>>(), want);
        let short = super::answer(id, &batch, false);
        assert!(serde_json::from_slice::<serde_json::Value>(&short).unwrap().get("messages").is_none());
    }
}
