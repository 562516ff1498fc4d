//! The configuration as written: one type per table, for serde and for the JSON Schema.
//!
//! Keys that must be there are options here and asked for by the checks, so that one missing key hides no other
//! problem. A [`Spanned`] value is one whose meaning is checked later.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::value::{Many, Net, Period, PeriodOrNever, Size};
use carriers::table::SecretText;

/// `[node]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    /// Name of this gateway in `qiao ctl status`; default "qiao".
    #[schemars(with = "Option<String>")]
    pub(super) name: Option<Spanned<String>>,
    /// Where the journal and the store live, relative to the configuration directory; default "data".
    pub(super) data_dir: Option<PathBuf>,
    /// How long a stop waits for answers; default "10s".
    #[schemars(with = "Option<String>")]
    pub(super) drain_timeout: Option<Spanned<Period>>,
    /// Take over changed files by themselves; default true. SIGHUP and `POST /admin/v1/reload` do it anyway.
    pub(super) watch: Option<bool>,
}

/// `[http]`: the door for applications.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    /// Address and port; default "127.0.0.1:8080".
    #[schemars(with = "Option<String>")]
    pub(super) listen: Option<Spanned<SocketAddr>>,
    /// Allow plain HTTP on an address that is not loopback.
    #[serde(default)]
    pub(super) insecure: bool,
    /// Most connections at once, and never more than three quarters of the files the process may open; default 10000.
    #[schemars(with = "Option<u32>")]
    pub(super) max_connections: Option<Spanned<u32>>,
    /// How long a request's head may take; default "5s".
    #[schemars(with = "Option<String>")]
    pub(super) header_timeout: Option<Spanned<Period>>,
    /// How long a request's body may take; default "10s".
    #[schemars(with = "Option<String>")]
    pub(super) body_timeout: Option<Spanned<Period>>,
    /// Not available.
    #[schemars(skip)]
    pub(super) tls: Option<Spanned<IgnoredAny>>,
}

/// `[admin]`: metrics, health, control.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// Address and port; default "127.0.0.1:9090".
    #[schemars(with = "Option<String>")]
    pub(super) listen: Option<Spanned<SocketAddr>>,
    /// Allow plain HTTP on an address that is not loopback.
    #[serde(default)]
    pub(super) insecure: bool,
    /// Operators' token (`env:NAME`, `file:PATH` or inline); made at first start where absent.
    #[schemars(with = "Option<SecretText>")]
    pub(super) token: Option<Spanned<String>>,
    /// Token that may read metrics only (`env:NAME`, `file:PATH` or inline).
    #[schemars(with = "Option<SecretText>")]
    pub(super) metrics_token: Option<Spanned<String>>,
    /// Not available.
    #[schemars(skip)]
    pub(super) tls: Option<Spanned<IgnoredAny>>,
}

/// `[journal]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    /// Size of a segment file; default "64MiB".
    #[schemars(with = "Option<SizeSchema>")]
    pub(super) segment_bytes: Option<Spanned<Size>>,
    /// Disk budget; default "8GiB".
    #[schemars(with = "Option<SizeSchema>")]
    pub(super) max_bytes: Option<Spanned<Size>>,
}

/// Octets, or text such as "64MiB".
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum SizeSchema {
    Octets(u64),
    Text(String),
}

/// One secret or several.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum SecretTexts {
    One(SecretText),
    Several(Vec<SecretText>),
}

/// `[limits]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Most unfinished messages; default 2000000.
    #[schemars(with = "Option<u32>")]
    pub(super) messages: Option<Spanned<u32>>,
}

/// `[store]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// How long finished messages can be asked for; default "7d".
    #[schemars(with = "Option<String>")]
    pub(super) history: Option<Spanned<Period>>,
    /// How long after its validity a message waits for its receipt; default "24h".
    #[schemars(with = "Option<String>")]
    pub(super) receipt_wait: Option<Spanned<Period>>,
}

/// `[callbacks]`: how events reach the apps' endpoints.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Callbacks {
    /// Wait before each repetition; the last repeats; default ["5s", "30s", "2m", "10m", "30m", "1h"].
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) schedule: Option<Spanned<Vec<Period>>>,
    /// How long an event is tried before it becomes a dead letter; default "24h".
    #[schemars(with = "Option<String>")]
    pub(super) give_up_after: Option<Spanned<Period>>,
    /// How long connecting may take; default "3s".
    #[schemars(with = "Option<String>")]
    pub(super) connect_timeout: Option<Spanned<Period>>,
    /// How long a whole call may take; default "10s".
    #[schemars(with = "Option<String>")]
    pub(super) total_timeout: Option<Spanned<Period>>,
    /// Failures in a row after which an endpoint rests; default 10.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) trip_after: Option<Spanned<u32>>,
    /// How often a resting endpoint is tried; default "30s".
    #[schemars(with = "Option<String>")]
    pub(super) trial_every: Option<Spanned<Period>>,
    /// How long events stay in memory while their endpoint takes nothing, before they are written to disk; default "1s".
    #[schemars(with = "Option<String>")]
    pub(super) spill_after: Option<Spanned<Period>>,
    /// Most disk an app's waiting and dead letters may take; beyond, its oldest are dropped; default "2GiB", which
    /// is about 6 million events.
    #[schemars(with = "Option<SizeSchema>")]
    pub(super) quota: Option<Spanned<Size>>,
    /// How long dead letters are kept; default "30d".
    #[schemars(with = "Option<String>")]
    pub(super) keep_dead: Option<Spanned<Period>>,
}

/// `[health]`: when a channel counts as ill, and how it comes back.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// How impatient; default "auto": "fast" for channels with another beside them in some group, "calm" for the others.
    pub(super) preset: Option<Preset>,
    /// Silence while parts are overdue, without which nothing learned makes a link suspect; default "500ms" (fast), "600ms" (calm).
    #[schemars(with = "Option<String>")]
    pub(super) silence: Option<Spanned<Period>>,
    /// A probe sent on suspicion that is unanswered for so long is evidence; default "250ms" (fast), "400ms" (calm).
    #[schemars(with = "Option<String>")]
    pub(super) probe: Option<Spanned<Period>>,
    /// Octets the carrier's kernel does not acknowledge for so long make a link suspect; default "500ms".
    #[schemars(with = "Option<String>")]
    pub(super) tcp: Option<Spanned<Period>>,
    /// Evidence from parts that are overdue together at which a link is suspect; default 8.
    #[schemars(with = "Option<f64>", range(min = 2, max = 100))]
    pub(super) phi: Option<Spanned<f64>>,
    /// System errors in a row that make a link suspect; default 5.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) errors: Option<Spanned<u32>>,
    /// How long a suspect channel may hear nothing at all until it is down; default "3s".
    #[schemars(with = "Option<String>")]
    pub(super) down_after: Option<Spanned<Period>>,
    /// Least time out of service after a suspicion, doubled each time it happens again within ten minutes; default "2s".
    #[schemars(with = "Option<String>")]
    pub(super) hold_down: Option<Spanned<Period>>,
    /// Longest such time; default "60s".
    #[schemars(with = "Option<String>")]
    pub(super) hold_down_max: Option<Spanned<Period>>,
    /// How long a channel that was down is on trial; default "10s".
    #[schemars(with = "Option<String>")]
    pub(super) probation: Option<Spanned<Period>>,
    /// Share of a group's capacity, in percent, that suspicion may take out of service within ten seconds; default 50.
    #[schemars(with = "Option<u8>", range(min = 1, max = 100))]
    pub(super) ejection: Option<Spanned<u8>>,
    /// Healthy share of a group, in percent, below which its suspect channels are used again; default 50.
    #[schemars(with = "Option<u8>", range(max = 100))]
    pub(super) panic: Option<Spanned<u8>>,
    /// What half of the answers take at most, until that is learned; default "500ms".
    #[schemars(with = "Option<String>")]
    pub(super) latency: Option<Spanned<Period>>,
    /// What 999 of 1,000 take at most, until that is learned; default four times `latency`.
    #[schemars(with = "Option<String>")]
    pub(super) latency_most: Option<Spanned<Period>>,
    /// How much longer a suspect link may answer nothing before messages of the first tier in flight there go
    /// elsewhere; default "300ms".
    #[schemars(with = "Option<String>")]
    pub(super) doubt_after: Option<Spanned<Period>>,
    /// A message of the first tier without an answer for so long, or 1.5 times what 99.9 % of the channel's answers take,
    /// gets one more attempt elsewhere; default "1200ms".
    #[schemars(with = "Option<String>")]
    pub(super) hedge_after: Option<Spanned<Period>>,
    /// Or for so long, where that is less; default "2500ms".
    #[schemars(with = "Option<String>")]
    pub(super) hedge_latest: Option<Spanned<Period>>,
    /// Such attempts, in percent of the first tier's on the channel over ten seconds (three are always allowed); default
    /// 2; 0: none at all.
    #[schemars(with = "Option<f64>", range(min = 0, max = 100))]
    pub(super) hedge_share: Option<Spanned<f64>>,
    /// Retries on a channel, in percent of its first attempts over ten seconds; default 10.
    #[schemars(with = "Option<u32>", range(max = 100))]
    pub(super) retry_share: Option<Spanned<u32>>,
    /// Retries a second that are always allowed; default 10.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) retry_floor: Option<Spanned<u32>>,
    /// Channels of two carriers that become suspect within so long, while no other answers, make us suspect ourselves;
    /// default "1s".
    #[schemars(with = "Option<String>")]
    pub(super) guard_window: Option<Spanned<Period>>,
    /// Nothing is given up on suspicion for so long then; default "3s".
    #[schemars(with = "Option<String>")]
    pub(super) guard_pause: Option<Spanned<Period>>,
}

/// `[channel.health]`: what this carrier does otherwise; a key left out is as in `[health]`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelHealth {
    /// Silence while parts are overdue, without which nothing learned makes a link suspect.
    #[schemars(with = "Option<String>")]
    pub(super) silence: Option<Spanned<Period>>,
    /// A probe sent on suspicion that is unanswered for so long is evidence.
    #[schemars(with = "Option<String>")]
    pub(super) probe: Option<Spanned<Period>>,
    /// Octets the carrier's kernel does not acknowledge for so long make a link suspect.
    #[schemars(with = "Option<String>")]
    pub(super) tcp: Option<Spanned<Period>>,
    /// Evidence from parts that are overdue together at which a link is suspect.
    #[schemars(with = "Option<f64>", range(min = 2, max = 100))]
    pub(super) phi: Option<Spanned<f64>>,
    /// System errors in a row that make a link suspect.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) errors: Option<Spanned<u32>>,
    /// How long the channel may hear nothing at all while suspect until it is down.
    #[schemars(with = "Option<String>")]
    pub(super) down_after: Option<Spanned<Period>>,
    /// Least time out of service after a suspicion.
    #[schemars(with = "Option<String>")]
    pub(super) hold_down: Option<Spanned<Period>>,
    /// Longest such time.
    #[schemars(with = "Option<String>")]
    pub(super) hold_down_max: Option<Spanned<Period>>,
    /// How long it is on trial after it was down.
    #[schemars(with = "Option<String>")]
    pub(super) probation: Option<Spanned<Period>>,
    /// What half of its answers take at most, until that is learned.
    #[schemars(with = "Option<String>")]
    pub(super) latency: Option<Spanned<Period>>,
    /// What 999 of 1,000 take at most, until that is learned; default four times `latency`.
    #[schemars(with = "Option<String>")]
    pub(super) latency_most: Option<Spanned<Period>>,
}

/// See [`Health::preset`].
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Preset {
    /// By whether another channel is there to go to.
    Auto,
    /// Sooner, for every channel.
    Fast,
    /// Later, for every channel.
    Calm,
}

/// `[uplink]`: messages from handsets.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Uplink {
    /// How long a long message waits for its parts before it is told with gaps; default "10m".
    #[schemars(with = "Option<String>")]
    pub(super) join_wait: Option<Spanned<Period>>,
    /// How long a carrier's repetitions are recognised; default "10m".
    #[schemars(with = "Option<String>")]
    pub(super) duplicate_window: Option<Spanned<Period>>,
}

/// `[[tier]]`: a business tier, strictest first. A key left out is that of the built-in tier of this name, or `notice`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tier {
    /// Its name.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// How long a message may wait where the application names no time.
    #[schemars(with = "Option<String>")]
    pub(super) validity: Option<Spanned<Period>>,
    /// Most attempts.
    #[schemars(with = "Option<u8>", range(min = 1))]
    pub(super) attempts: Option<Spanned<u8>>,
    /// Wait before each retry; the last repeats.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) backoff: Option<Vec<Period>>,
    /// When to send again what no kernel acknowledged: a time shorter than the validity, or "never".
    #[schemars(with = "Option<String>")]
    pub(super) unacked: Option<Spanned<PeriodOrNever>>,
    /// When to send again what was acknowledged but not answered: a time, or "never".
    #[schemars(with = "Option<String>")]
    pub(super) acked: Option<Spanned<PeriodOrNever>>,
    /// After a receipt that says "not delivered": "end" (default), or on the "next" channel.
    pub(super) on_failed: Option<OnFailed>,
    /// Without a receipt for that long after the carrier took it, the message goes to the next channel; default "never".
    #[schemars(with = "Option<String>")]
    pub(super) receipt_within: Option<PeriodOrNever>,
    /// Use of the journal and of `[limits] messages` in percent from which new messages are refused.
    #[schemars(with = "Option<u8>", range(min = 1, max = 95))]
    pub(super) shed_at: Option<Spanned<u8>>,
    /// "strict": before every tier below it. "weighted": by its share of what strict tiers leave.
    #[schemars(with = "Option<String>")]
    pub(super) service: Option<Spanned<String>>,
    /// Weight among weighted tiers.
    #[schemars(with = "Option<u32>", range(min = 1, max = 1000))]
    pub(super) weight: Option<Spanned<u32>>,
    /// Least share in percent of what strict tiers leave, whatever the weights.
    #[schemars(with = "Option<u8>", range(min = 0, max = 90))]
    pub(super) minimum: Option<Spanned<u8>>,
}

/// What follows a receipt that says "not delivered".
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnFailed {
    /// The message has failed.
    End,
    /// It goes to the next channel.
    Next,
}

/// `[[channel]]`: one contracted account; its protocol's own table stands beside these keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    /// Its name.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// The company.
    #[schemars(with = "String")]
    pub(super) carrier: Option<Spanned<String>>,
    /// What it speaks; the table of this name holds the account.
    #[schemars(with = "String")]
    pub(super) protocol: Option<Spanned<String>>,
    /// Parts per second by contract.
    #[schemars(with = "f64")]
    pub(super) rate: Option<Spanned<f64>>,
    /// Parts that may go at once; default: 20 ms of the rate, at least 1.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) burst: Option<Spanned<u32>>,
    /// Unanswered parts per link; default: as its protocol's book has it, at least `max_parts`.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) window: Option<Spanned<u32>>,
    /// Links per direction; default 1.
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub(super) links: Option<Spanned<u16>>,
    /// Cost per part; default 0.
    #[schemars(with = "Option<f64>")]
    pub(super) cost: Option<Spanned<f64>>,
    /// Tiers that may use it; default: all.
    pub(super) tiers: Option<Many>,
    /// Zone of the protocol's local times; default: the protocol's own.
    #[schemars(with = "Option<String>")]
    pub(super) timezone: Option<Spanned<String>>,
    /// Whether the carrier sends receipts; default true.
    pub(super) receipts: Option<bool>,
    /// Most parts a message may become; default 10, or `window` where that is less.
    #[schemars(with = "Option<u8>", range(min = 1, max = 64))]
    pub(super) max_parts: Option<Spanned<u8>>,
    /// Peers that may connect to this channel's listeners.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) allow_from: Option<Vec<Net>>,
    /// What health takes otherwise here.
    pub(super) health: Option<ChannelHealth>,
    /// Test messages over it.
    #[schemars(with = "Option<Test>")]
    pub(super) test: Option<Spanned<Test>>,
}

/// `[channel.test]`: messages the gateway sends over the channel by itself, to see whether they arrive.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// Numbers, E.164, taken in turn (`env:NAME`, `file:PATH` or inline).
    #[schemars(with = "SecretTexts")]
    pub(super) to: Spanned<Many>,
    /// What they say; default "test".
    pub(super) text: Option<String>,
    /// How often; default "10m".
    #[schemars(with = "Option<String>")]
    pub(super) every: Option<Spanned<Period>>,
    /// A receipt that takes longer is none; default "2m".
    #[schemars(with = "Option<String>")]
    pub(super) receipt_within: Option<Spanned<Period>>,
    /// Tier they wait in; default "notice", or the channel's last.
    #[schemars(with = "Option<String>")]
    pub(super) tier: Option<Spanned<String>>,
}

/// `[[group]]`: channels for the same traffic.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Its name.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// How a channel is chosen: "preference", "weighted", "least-cost", "quality" or "balanced"; default "preference".
    #[schemars(with = "Option<String>")]
    pub(super) strategy: Option<Spanned<String>>,
    /// Its channels, best first.
    #[schemars(with = "Vec<Member>")]
    pub(super) channels: Option<Spanned<Vec<Spanned<Member>>>>,
    /// How long a message waits for a healthy but busy channel before it takes a lesser one, or "never"; default "1s",
    /// with weighted and balanced "0s".
    #[schemars(with = "Option<String>")]
    pub(super) spill_after: Option<PeriodOrNever>,
    /// Share of the messages that tries a channel which is not the best, with quality and balanced; default 0.02.
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 0.5))]
    pub(super) explore: Option<Spanned<f64>>,
    /// What counts how much, with balanced.
    #[schemars(with = "Option<Balance>")]
    pub(super) balance: Option<Spanned<Balance>>,
}

/// `[group.balance]`: how much each counts in a balanced choice, and floors below which a channel comes last.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Balance {
    /// Weight of the cost; default 1.
    #[schemars(with = "Option<f64>")]
    pub(super) cost: Option<Spanned<f64>>,
    /// Weight of success and delivery; default 2.
    #[schemars(with = "Option<f64>")]
    pub(super) quality: Option<Spanned<f64>>,
    /// Weight of the time to the answer; default 1.
    #[schemars(with = "Option<f64>")]
    pub(super) latency: Option<Spanned<f64>>,
    /// Weight of the window and pace that are free; default 1.
    #[schemars(with = "Option<f64>")]
    pub(super) load: Option<Spanned<f64>>,
    /// Least share of answers that are not the channel's failure; default 0.8.
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 1.0))]
    pub(super) least_success: Option<Spanned<f64>>,
    /// Least share of receipts that say delivered; default 0.3.
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 1.0))]
    pub(super) least_delivered: Option<Spanned<f64>>,
    /// Longest time within which nine of ten answers come; default "10s".
    #[schemars(with = "Option<String>")]
    pub(super) most_latency: Option<Spanned<Period>>,
}

/// A channel in a group.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    /// The channel.
    pub(super) name: String,
    /// Lower is better; default: its position in the list, from 1.
    pub(super) preference: Option<u32>,
    /// Its share among the weights of the group, with weighted; 0: only if no other can; default 1.
    #[schemars(with = "Option<u32>", range(max = 1000))]
    pub(super) weight: Option<Spanned<u32>>,
}

/// `[[route]]`: the first that matches decides.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// Its name.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// What must hold; nothing: always.
    #[serde(default)]
    pub(super) r#match: Match,
    /// Where it leads.
    #[schemars(with = "String")]
    pub(super) group: Option<Spanned<String>>,
    /// What its messages ask of their carrier, by names that a channel of the group knows.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) options: BTreeMap<String, Spanned<String>>,
}

/// Conditions of a route: one value or several of which one must hold; all conditions must hold.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    /// Message types.
    pub(super) r#type: Option<Many>,
    /// Tiers.
    pub(super) tier: Option<Many>,
    /// Apps.
    pub(super) app: Option<Many>,
    /// Beginnings of the number, in E.164.
    pub(super) prefix: Option<Many>,
    /// Senders asked for.
    pub(super) sender: Option<Many>,
    /// Carriers of the number by `[numbers]`.
    pub(super) carrier: Option<Many>,
    /// Countries of the number by `[numbers]`.
    pub(super) country: Option<Many>,
    /// Regions of the number by `[numbers]`.
    pub(super) region: Option<Many>,
}

/// `[numbers]`: what is known about numbers; CSV files relative to the configuration directory.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    /// Files of prefix,carrier,region,country; the longest prefix wins.
    #[serde(default)]
    pub(super) plan: Many,
    /// Files of number,carrier; they win over the plan.
    #[serde(default)]
    pub(super) ported: Many,
}

/// `[[app]]`: an upstream account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    /// Its id.
    #[schemars(with = "String")]
    pub(super) id: Option<Spanned<String>>,
    /// Bearer keys (`env:NAME`, `file:PATH` or inline), each of at least 128 bits.
    #[schemars(with = "SecretTexts")]
    pub(super) keys: Option<Spanned<Many>>,
    /// Parts per second at the door; the burst is two seconds of it.
    #[schemars(with = "u32", range(min = 1))]
    pub(super) rate: Option<Spanned<u32>>,
    /// Most parts per second towards carriers, over all channels; absent: what the channels give.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub(super) send_rate: Option<Spanned<u32>>,
    /// Tiers it may use, its default first; absent: all.
    #[schemars(with = "Option<Many>")]
    pub(super) tiers: Option<Spanned<Many>>,
    /// Signatures it may use, without brackets.
    #[serde(default)]
    pub(super) signatures: Many,
    /// Access numbers whose messages from handsets are this app's: digits, perhaps with a plus. The longest that a
    /// number begins with decides; what follows it is the extension.
    #[serde(default)]
    pub(super) numbers: Many,
    /// ISO country of bare national numbers.
    #[schemars(with = "Option<String>")]
    pub(super) default_country: Option<Spanned<String>>,
    /// Where its events go.
    pub(super) callback: Option<Callback>,
    /// What its messages ask of their carrier, by names that some channel knows; they win over the route's.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) options: BTreeMap<String, Spanned<String>>,
    /// Peers it may call from; absent: any.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) allow_ips: Option<Vec<Net>>,
}

/// An app's callback.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Callback {
    /// `https` URL; `http` only to loopback or `allow_private`.
    #[schemars(with = "String", extend("format" = "uri"))]
    pub(super) url: Spanned<String>,
    /// Signing secrets `whsec_…`, newest first (`env:NAME`, `file:PATH` or inline).
    #[schemars(with = "SecretTexts")]
    pub(super) secret: Spanned<Many>,
    /// Private ranges it may reach.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) allow_private: Option<Vec<Net>>,
}
