//! What would happen to a message, and why, in words and numbers for operators: admission and the switch are asked
//! without anything being taken. Text and numbers do not leave: the number is masked, the text is only counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Line, accepted};
use crate::accept::problem::Problem;
use crate::admit::number::mask;
use crate::admit::{Admitted, Draft, Refusal};
use crate::clock::{Moment, Time};
use crate::config::plan::{ChannelId, GroupId, TierId};
use crate::ids::MessageId;
use crate::route::RouteInput;
use crate::switch::{self, Cause, End, Message, Why};

/// Most characters of a number that are shown, masked: of what was written as one there may be more.
const LONGEST: usize = 32;

/// What is asked: a send of an app, or a message that is here.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Asks {
    /// The id of a message that is here.
    pub message: Option<String>,
    /// Whose send.
    pub app: Option<String>,
    /// The number.
    pub to: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Instead of a text: how many parts it has.
    pub parts: Option<u8>,
    /// `sms`.
    pub r#type: Option<String>,
    /// The tier.
    pub tier: Option<String>,
    /// The signature.
    pub signature: Option<String>,
    /// The sender.
    pub sender: Option<String>,
    /// The app's reference.
    pub client_ref: Option<String>,
    /// Validity in seconds.
    pub expires_in: Option<u64>,
    /// What the carrier is asked for.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Asks {
    /// Their names; `callback` is taken, since sends have it, and means nothing here.
    pub const FIELDS: [&str; 13] = [
        "message",
        "app",
        "to",
        "text",
        "parts",
        "type",
        "tier",
        "signature",
        "sender",
        "client_ref",
        "expires_in",
        "options",
        "callback",
    ];
}

/// The answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// The message that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    app: String,
    /// Masked.
    to: String,
    tier: String,
    /// Whether it may pass the door; absent for a message that has passed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
    route: Option<String>,
    group: Option<String>,
    strategy: &'static str,
    parts: Option<u8>,
    encoding: Option<String>,
    /// `starts`, `waits`, `in_flight`, `ends`, or `refused` where it would not get so far.
    decision: &'static str,
    /// The channel it starts on (in its turn), or is on its way over.
    channel: Option<String>,
    /// Why there.
    why: Option<String>,
    /// Why it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
    /// What would happen if it were its turn now, where others are before it: `starts`, `waits` or `ends`.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_turn: Option<&'static str>,
    /// It waits so long, if nothing happens before; where others are before it, about so long for its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
    /// Until its app's own rate allows its next message, if that is what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_rate_ms: Option<u64>,
    /// Messages before it: of its group and tier those that came earlier, and all of the group's stricter tiers.
    ahead: usize,
    /// The group's channels in the order in which they are asked, then those that are not asked.
    channels: Vec<ChannelPage>,
}

/// Whether a message may pass the door.
#[derive(Clone, Debug, Serialize)]
struct Policy {
    passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

/// A field at fault.
#[derive(Clone, Debug, Serialize)]
struct Fault {
    field: &'static str,
    detail: String,
}

/// One channel's part in the decision.
#[derive(Clone, Debug, Serialize)]
struct ChannelPage {
    channel: String,
    carrier: String,
    rank: Option<usize>,
    chosen: bool,
    explores: bool,
    score: Option<f64>,
    why_not: Option<WhyNot>,
    factors: Factors,
}

/// Why the message does not go there.
#[derive(Clone, Debug, Serialize)]
struct WhyNot {
    code: &'static str,
    words: String,
}

/// See [`switch::Factors`].
#[derive(Clone, Debug, Serialize)]
struct Factors {
    preference: usize,
    weight: u32,
    owed_parts: f64,
    cost: f64,
    success: f64,
    answers: f64,
    delivered: Option<f64>,
    receipts: f64,
    latency_p90_ms: Option<u64>,
    load: f64,
    health: f64,
    below_floor: bool,
    in_flight: usize,
    window: usize,
    pace_parts: f64,
    rate_now: f64,
    takes_tier: bool,
    holds_parts: bool,
    usable: bool,
    held: bool,
    excluded: bool,
    avoided: bool,
}

impl Line {
    /// Answers; `None` where there is no such app or message.
    pub(super) fn explain(&mut self, now: Moment, asks: &Asks) -> Option<Page> {
        match &asks.message {
            Some(id) => self.explain_message(now, id.parse().ok()?),
            None => self.explain_send(now, asks),
        }
    }

    fn explain_message(&mut self, now: Moment, id: MessageId) -> Option<Page> {
        let explanation = self.switch.explain_waiting(now.time, id)?;
        let live = self.report.live(id)?;
        let (app, tier, group, reserve) = (live.app, live.tier, live.group, live.reserve);
        let body = self.body(id);
        let body = body.as_deref().and_then(accepted);
        let names = &self.plan.names;
        let page = Page {
            message: Some(id.to_string()),
            app: names.apps.get(usize::from(app.0)).map_or_else(String::new, ToString::to_string),
            to: body.as_ref().map_or_else(String::new, |body| mask(body.to)),
            tier: self.tier_name(tier),
            group: self.group_name(group),
            parts: Some(body.as_ref().map_or(reserve, |body| body.parts)),
            encoding: body.map(|body| body.encoding.to_owned()),
            ..Page::default()
        };
        Some(self.decided(now.time, page, &explanation))
    }

    fn explain_send(&mut self, now: Moment, asks: &Asks) -> Option<Page> {
        let tables = self.tables.load_full();
        let app_at = tables.plan.apps.iter().position(|app| Some(&*app.name) == asks.app.as_deref())?;
        let app = tables.plan.apps.get(app_at)?;
        // Parts without a text: any text does, and only its parts are told.
        let text = asks.text.as_deref().or(asks.parts.map(|_| "x"));
        let draft = Draft {
            to: asks.to.as_deref(),
            text,
            kind: asks.r#type.as_deref(),
            tier: asks.tier.as_deref(),
            signature: asks.signature.as_deref(),
            sender: asks.sender.as_deref(),
            client_ref: asks.client_ref.as_deref(),
            expires_in: asks.expires_in,
            options: asks.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        };
        let (admitted, refusal) = tables.weigh(now.wall, app_at, &draft, &*self.pressure);
        let page = Page {
            app: app.name.to_string(),
            to: mask(&asks.to.as_deref().unwrap_or_default().chars().take(LONGEST).collect::<String>()),
            tier: asks.tier.clone().unwrap_or_default(),
            policy: Some(policy(refusal)),
            decision: "refused",
            ..Page::default()
        };
        let Some(admitted) = admitted else { return Some(page) };
        let parts = asks.parts.filter(|_| asks.text.is_none());
        let Admitted { to, kind, tier, group, valid_for, .. } = &admitted;
        let input = RouteInput { kind, tier: *tier, app: app.id, to: to.as_str(), sender: draft.sender };
        let page = Page {
            to: mask(to.as_str()),
            tier: self.tier_name(*tier),
            route: tables.routes.find(&input).map(|route| route.name.clone()),
            group: self.group_name(*group),
            parts: Some(parts.unwrap_or(admitted.parts)),
            encoding: Some(admitted.coding.name().to_owned()).filter(|_| parts.is_none()),
            ..page
        };
        let message = Message {
            id: MessageId(u64::MAX),
            app: app.id,
            group: *group,
            tier: *tier,
            parts: parts.unwrap_or(admitted.reserve),
            expires: now.time.after(*valid_for),
            accepted: now.time,
        };
        // A channel may allow fewer parts in a message.
        let short = tables.plan.channels.iter().filter(|channel| channel.max_parts < message.parts);
        let short: Vec<ChannelId> = short.map(|channel| channel.id).collect();
        let explanation = self.switch.explain_without(now.time, message, &short);
        Some(self.decided(now.time, page, &explanation))
    }

    fn tier_name(&self, id: TierId) -> String {
        self.plan.names.tiers.get(usize::from(id.0)).map_or_else(String::new, ToString::to_string)
    }

    fn group_name(&self, id: GroupId) -> Option<String> {
        self.plan.names.groups.get(usize::from(id.0)).map(ToString::to_string)
    }

    fn channel_name(&self, id: ChannelId) -> String {
        self.plan.names.channels.get(usize::from(id.0)).map_or_else(String::new, ToString::to_string)
    }

    /// What the switch says.
    fn decided(&self, now: Time, page: Page, explanation: &switch::Explanation) -> Page {
        let (decision, channel, end, until) = match explanation.decision {
            switch::Explained::Starts(channel) => ("starts", Some(channel), None, None),
            switch::Explained::InFlight(channel) => ("in_flight", Some(channel), None, None),
            switch::Explained::Waits(until) => ("waits", None, None, until),
            switch::Explained::Ends(end) => ("ends", None, Some(end_name(end)), None),
        };
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = until.map(|until| until.since(now));
        // Others go first: what follows is for its turn.
        let queued = explanation.ahead > 0 && matches!(decision, "starts" | "waits");
        let (decision, in_turn, wait) = match queued {
            true => ("waits", Some(decision), explanation.wait.max(until)),
            false => (decision, None, until),
        };
        let words = |why: Why| why.words(&why.other.map_or_else(String::new, |other| self.channel_name(other)));
        Page {
            strategy: explanation.strategy,
            decision,
            channel: channel.map(|channel| self.channel_name(channel)),
            why: explanation.why.and_then(words),
            end,
            in_turn,
            wait_ms: wait.map(ms),
            app_rate_ms: explanation.app_rests.map(|until| ms(until.since(now))),
            ahead: explanation.ahead,
            channels: explanation.candidates.iter().map(|candidate| self.candidate(candidate)).collect(),
            ..page
        }
    }

    fn candidate(&self, candidate: &switch::Candidate) -> ChannelPage {
        let f = &candidate.factors;
        let carrier = self.plan.channels.iter().find(|channel| channel.id == candidate.channel);
        let why_not = |(cause, number): (Cause, u32)| WhyNot { code: cause.name(), words: cause.words(number) };
        ChannelPage {
            channel: self.channel_name(candidate.channel),
            carrier: carrier.map_or_else(String::new, |channel| channel.carrier.clone()),
            rank: candidate.rank,
            chosen: candidate.chosen,
            explores: candidate.explores,
            score: candidate.score.map(rounded),
            why_not: candidate.why_not.map(why_not),
            factors: Factors {
                preference: f.preference,
                weight: f.weight,
                owed_parts: rounded(f.owed),
                cost: f.cost,
                success: rounded(f.success),
                answers: rounded(f.answers),
                delivered: f.delivered.map(rounded),
                receipts: rounded(f.receipts),
                latency_p90_ms: f.latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
                load: rounded(f.load),
                health: f.health,
                below_floor: f.below_floor,
                in_flight: f.in_flight,
                window: f.window,
                pace_parts: rounded(f.pace),
                rate_now: rounded(f.rate),
                takes_tier: f.tier,
                holds_parts: f.parts,
                usable: f.usable,
                held: f.held,
                excluded: f.excluded,
                avoided: f.avoided,
            },
        }
    }
}

/// To a thousandth.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

fn policy(refusal: Option<Refusal>) -> Policy {
    let Some(refusal) = refusal else {
        return Policy { passes: true, code: None, detail: None, errors: Vec::new() };
    };
    let fault = |fault: &crate::admit::Fault| Fault { field: fault.field, detail: fault.detail.to_string() };
    let errors = refusal.faults.iter().map(fault).collect();
    let problem = Box::<Problem>::from(refusal);
    Policy { passes: false, code: Some(problem.code.row().0), detail: Some(problem.detail.to_string()), errors }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Expired => "expired",
        End::Rejected => "rejected",
        End::Attempts => "attempts",
        End::NoChannel => "no_channel",
        End::BodyLost => "damaged",
        End::InDoubt => "in_doubt",
        End::Operator => "operator",
        End::Poison => "poison",
    }
}
