//! A message's past in words: the story its owner may read, and the event its app is told.

use std::collections::BTreeMap;

use carriers::compact::Text;
use carriers::{AttemptRef, ReceiptState};

use super::again;
use super::history;
use super::state::Detail;
use super::story::{Happening, PartStory, Reader, Status, Story};
use crate::clock::Wall;
use crate::config::plan::Names;
use crate::ids::MessageId;
use crate::journal::record::{Accepted, AnswerKind, Because, OutcomeKind, Record};
use crate::json;
use crate::switch::Why;

/// What an event carries of its message.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct EventData<'a> {
    /// The message's id.
    pub id: MessageId,
    /// The app's own reference.
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub client_ref: Option<Text<'a>>,
    /// E.164 with plus.
    pub to: Text<'a>,
    /// Its tier.
    pub tier: &'a str,
    /// `delivered`, `failed`, `expired`, `cancelled`.
    pub status: &'static str,
    /// Why.
    pub reason: &'static str,
    /// `receipt`, `answer`, `none`.
    pub evidence: &'static str,
    /// The carrier's own words.
    #[cfg_attr(test, serde(skip_serializing_if = "Text::is_empty"))]
    pub code: Text<'a>,
    /// The company that decided.
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub carrier: Option<&'a str>,
    /// Parts of the last attempt.
    pub parts: usize,
}

/// The names of all fields, the id, and what stands between the others and their values.
const FIELDS: usize = r#"{"id":"000000000000","client_ref":"","to":"","tier":"","status":"","reason":"","evidence":"","code":"","carrier":"","parts":255}"#.len();

impl EventData<'_> {
    /// About how many octets [`EventData::write`] appends.
    pub fn octets(&self) -> usize {
        let EventData { client_ref, to, tier, status, reason, evidence, code, carrier, .. } = self;
        let optional = [client_ref.unwrap_or_default(), carrier.unwrap_or_default().into()];
        let texts = [*to, *code, Text::from(*tier), (*status).into(), (*reason).into(), (*evidence).into()];
        FIELDS + optional.iter().chain(&texts).map(|text| text.octets().len()).sum::<usize>()
    }

    /// Appends it as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let EventData { id, client_ref, to, tier, status, reason, evidence, code, carrier, parts } = self;
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&id.letters());
        out.push(b'"');
        if let Some(client_ref) = client_ref {
            out.extend_from_slice(b",\"client_ref\":");
            json::text(*client_ref, out);
        }
        out.extend_from_slice(b",\"to\":");
        json::text(*to, out);
        out.extend_from_slice(b",\"tier\":");
        json::string(tier, out);
        // Words of our own, which need no escapes.
        out.extend_from_slice(b",\"status\":\"");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",\"reason\":\"");
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\",\"evidence\":\"");
        out.extend_from_slice(evidence.as_bytes());
        out.push(b'"');
        if !code.is_empty() {
            out.extend_from_slice(b",\"code\":");
            json::text(*code, out);
        }
        if let Some(carrier) = carrier {
            out.extend_from_slice(b",\"carrier\":");
            json::string(carrier, out);
        }
        out.extend_from_slice(b",\"parts\":");
        json::number(*parts as u64, out);
        out.push(b'}');
    }
}

/// Kind, time and content of a message's event number `seq`; `None` before it has that outcome. `names` are those that
/// `detail` speaks in; `company` gives a channel's carrier.
pub fn event<'a>(
    id: MessageId,
    tier: &'a str,
    detail: &'a Detail,
    seq: u32,
    names: &Names,
    company: impl Fn(&str) -> Option<&'a str>,
) -> Option<(&'static str, Wall, EventData<'a>)> {
    let concluded = detail.outcomes.get((seq as usize).checked_sub(1)?)?;
    let kind = match concluded.kind {
        _ if seq > 1 => "message.corrected",
        OutcomeKind::Delivered => "message.delivered",
        OutcomeKind::Failed => "message.failed",
        OutcomeKind::Expired => "message.expired",
        OutcomeKind::Cancelled => "message.cancelled",
    };
    let channel = concluded.channel.and_then(|c| names.channels.get(usize::from(c.0)));
    let (to, client_ref) = detail.addressed();
    let data = EventData {
        id,
        client_ref,
        to,
        tier,
        status: concluded.kind.name(),
        reason: concluded.reason,
        evidence: concluded.evidence.name(),
        code: (&concluded.code).into(),
        carrier: channel.and_then(|name| company(name)),
        parts: detail.attempts.last().map_or(0, |a| a.parts.len()),
    };
    Some((kind, concluded.at, data))
}

/// The events of a finished message that happened from `from` on and before `to`, by its history: what `render` makes
/// of number, kind, time and content. None where it is another app's, or wants no events; for what handsets
/// wrote see [`super::uplink::again`].
pub fn again<'c, E>(
    id: MessageId,
    records: &[u8],
    app: &str,
    (from, to): (Wall, Wall),
    company: impl Fn(&str) -> Option<&'c str>,
    render: impl Fn(u32, &'static str, Wall, &EventData<'_>) -> Option<E>,
) -> Vec<E> {
    let mut names = Names::default();
    let Some((accepted, detail)) = history::restore(records, &mut names) else { return Vec::new() };
    if accepted.app != app || !accepted.callback {
        return Vec::new();
    }
    let within = (1..).zip(&detail.outcomes).filter(|(_, outcome)| (from..to).contains(&outcome.at));
    let tell = |(seq, _)| {
        let (kind, at, data) = event(id, accepted.tier, &detail, seq, &names, |name| company(name))?;
        render(seq, kind, at, &data)
    };
    within.filter_map(tell).collect()
}

/// Tells a story from a message's records, as [`history::write`] left them. `company` gives a channel's carrier.
/// `None` where they do not begin with the message.
pub fn story(id: MessageId, records: &[u8], reader: Reader, company: impl Fn(&str) -> Option<String>) -> Option<Story> {
    let mut records = history::read(records).flatten();
    let Record::Accepted(accepted) = records.next()? else { return None };
    let mut teller = Teller { story: begin(id, &accepted), attempts: BTreeMap::new(), last: None, reader, company };
    for record in records {
        teller.tell(&record);
    }
    Some(teller.story)
}

fn begin(id: MessageId, accepted: &Accepted<'_>) -> Story {
    let waiting = |part| PartStory { part, status: Status::Queued, code: None };
    Story {
        id: id.to_string(),
        app: accepted.app.to_owned(),
        client_ref: accepted.client_ref.map(str::to_owned),
        to: accepted.to.to_owned(),
        kind: accepted.kind.to_owned(),
        tier: accepted.tier.to_owned(),
        status: Status::Queued,
        reason: None,
        evidence: None,
        parts: (1..=accepted.parts).map(waiting).collect(),
        encoding: accepted.encoding.to_owned(),
        carrier: None,
        accepted_at: accepted.at.to_string(),
        expires_at: accepted.expires.to_string(),
        timeline: vec![Happening {
            at: accepted.at.to_string(),
            event: "accepted".to_owned(),
            carrier: None,
            attempt: None,
            detail: None,
            why: None,
            channel: None,
        }],
    }
}

/// How far the attempt told last got.
struct Progress {
    attempt: AttemptRef,
    parts: u8,
    /// Parts that the carrier took, and when it had taken the last.
    taken: u8,
    taken_at: Wall,
    /// The first word that a part was not delivered.
    failed_at: Option<Wall>,
}

impl Progress {
    /// Why another attempt began then, where the carrier had the message already.
    fn moved_on(&self, at: Wall) -> Option<again::Why> {
        if self.taken < self.parts || self.taken_at > at {
            return None;
        }
        Some(if self.failed_at.is_some_and(|failed| failed <= at) {
            again::Why::Undelivered
        } else {
            again::Why::NoReceipt
        })
    }
}

struct Teller<F> {
    story: Story,
    /// Number, carrier and channel of each attempt.
    attempts: BTreeMap<AttemptRef, (u32, Option<String>, Option<String>)>,
    last: Option<Progress>,
    reader: Reader,
    company: F,
}

impl<F: Fn(&str) -> Option<String>> Teller<F> {
    fn tell(&mut self, record: &Record<'_>) {
        match record {
            Record::Attempt(a) => {
                if let Some((last, why)) =
                    self.last.as_ref().and_then(|last| Some((last.attempt, last.moved_on(a.at)?)))
                    && last != a.attempt
                {
                    self.happen(a.at, "moved_on", Some(last), Some(why.name().to_owned()));
                }
                if self.last.as_ref().is_none_or(|last| last.attempt != a.attempt) {
                    let (taken, taken_at, failed_at) = (0, Wall(0), None);
                    self.last = Some(Progress { attempt: a.attempt, parts: a.parts, taken, taken_at, failed_at });
                }
                let number = u32::try_from(self.attempts.len() + 1).unwrap_or(u32::MAX);
                self.story.carrier = (self.company)(a.channel);
                let channel = (self.reader == Reader::Operator).then(|| a.channel.to_owned());
                self.attempts.entry(a.attempt).or_insert((number, self.story.carrier.clone(), channel));
                let waiting = |part| PartStory { part, status: Status::Queued, code: None };
                self.story.parts = (1..=a.parts).map(waiting).collect();
                self.happen(a.at, "attempt", Some(a.attempt), None);
                let why = self.why(&a.because);
                self.story.timeline.last_mut().into_iter().for_each(|happening| happening.why.clone_from(&why));
            }
            Record::Answered(a) => {
                let (event, status, detail) = match &a.answer {
                    AnswerKind::Submitted(_) => ("submitted", Status::Submitted, None),
                    AnswerKind::Refused(_, code) => ("refused", Status::Failed, Some((*code).to_owned())),
                    AnswerKind::Unanswered(doubt) => ("unanswered", Status::Queued, Some(format!("{doubt:?}"))),
                };
                if let Some(last) = self.last.as_mut().filter(|last| last.attempt == a.attempt)
                    && status == Status::Submitted
                {
                    last.taken += 1;
                    last.taken_at = last.taken_at.max(a.at);
                }
                self.part(a.part, status, detail.clone());
                if status == Status::Submitted {
                    self.story.status = self.story.status.max(Status::Submitted);
                }
                self.happen(a.at, event, Some(a.attempt), self.detail(a.part, detail));
            }
            Record::Receipted(r) => {
                let status = match r.state {
                    ReceiptState::Delivered => Status::Delivered,
                    ReceiptState::Intermediate => Status::Submitted,
                    ReceiptState::Expired => Status::Expired,
                    _ => Status::Failed,
                };
                if let Some(last) = self.last.as_mut().filter(|last| last.attempt == r.attempt)
                    && r.state.is_final()
                    && r.state != ReceiptState::Delivered
                {
                    last.failed_at = Some(last.failed_at.map_or(r.at, |at| at.min(r.at)));
                }
                self.part(r.part, status, Some(r.code.as_str().to_owned()));
                self.happen(r.at, "receipt", Some(r.attempt), self.detail(r.part, Some(r.code.as_str().to_owned())));
            }
            Record::Outcome(o) => {
                self.story.status = match o.outcome {
                    OutcomeKind::Delivered => Status::Delivered,
                    OutcomeKind::Failed => Status::Failed,
                    OutcomeKind::Expired => Status::Expired,
                    OutcomeKind::Cancelled => Status::Cancelled,
                };
                self.story.reason = Some(o.reason.to_owned());
                self.story.evidence = Some(o.evidence.name().to_owned());
                self.happen(o.at, o.outcome.name(), None, Some(o.reason.to_owned()));
            }
            Record::Accepted(_) | Record::Called(_) | Record::Orphan(_) => {}
            Record::Uplink(_) | Record::Mo(_) | Record::Joined(_) | Record::Unbound(_) | Record::Batch(_) => {}
        }
    }

    /// Names the part where there are several.
    fn detail(&self, part: u8, detail: Option<String>) -> Option<String> {
        if self.story.parts.len() < 2 {
            return detail.filter(|d| !d.is_empty());
        }
        let detail = detail.unwrap_or_default();
        Some(format!("part {}{}{detail}", u16::from(part) + 1, if detail.is_empty() { "" } else { ": " }))
    }

    fn part(&mut self, part: u8, status: Status, code: Option<String>) {
        if let Some(slot) = self.story.parts.get_mut(usize::from(part)) {
            slot.status = status;
            slot.code = code.filter(|c| !c.is_empty()).or(slot.code.take());
        }
    }

    fn happen(&mut self, at: Wall, event: &str, attempt: Option<AttemptRef>, detail: Option<String>) {
        let (attempt, carrier, channel) = match attempt.and_then(|a| self.attempts.get(&a)) {
            Some((number, carrier, channel)) => (Some(*number), carrier.clone(), channel.clone()),
            None => (None, None, None),
        };
        let (at, event) = (at.to_string(), event.to_owned());
        self.story.timeline.push(Happening { at, event, carrier, attempt, detail, why: None, channel });
    }

    /// The reason in words, with the other channel as the reader knows it.
    fn why(&self, because: &Because<'_>) -> Option<String> {
        let Because { reason, cause, number, other } = *because;
        let company = || (self.company)(other).unwrap_or_else(|| "another channel".to_owned());
        let other = if self.reader == Reader::Operator { other.to_owned() } else { company() };
        Why { reason, cause, number, other: None }.words(&other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_is_written_as_serde_writes_it(
            (id, parts) in (any::<u64>(), 0..300usize),
            (client_ref, carrier) in (any::<Option<String>>(), any::<Option<String>>()),
            (to, tier, code) in ("\\PC*", any::<String>(), "|DELIVRD err:000|.*"),
            (kind, evidence) in (0..4usize, 0..3usize),
        ) {
            let data = EventData {
                id: MessageId(id >> 4),
                client_ref: client_ref.as_deref().map(Text::from),
                to: to.as_str().into(),
                tier: &tier,
                status: ["delivered", "failed", "expired", "cancelled"][kind],
                reason: "delivered",
                evidence: ["receipt", "answer", "none"][evidence],
                code: code.as_str().into(),
                carrier: carrier.as_deref(),
                parts,
            };
            let mut out = Vec::new();
            data.write(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&data).unwrap());
        }
    }

    #[test]
    fn usual_events_need_no_more_room_than_they_say() {
        let mut data = EventData {
            id: MessageId(7),
            client_ref: Some("order-4711".into()),
            to: "+8613800138000".into(),
            tier: "otp",
            status: "delivered",
            reason: "delivered",
            evidence: "receipt",
            code: "DELIVRD err:000".into(),
            carrier: Some("far"),
            parts: 255,
        };
        for _ in 0..2 {
            let mut out = Vec::new();
            data.write(&mut out);
            assert!(out.len() <= data.octets(), "{} of {}", out.len(), data.octets());
            (data.client_ref, data.carrier, data.code) = (None, None, Text::default());
        }
    }
}
