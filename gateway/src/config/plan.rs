//! The plan: what the configuration means, checked and resolved. Everything behind it holds small indexes, which
//! [`Names`] keeps stable across reloads and restarts (names are only ever added).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carriers::{Profile, Protocol};
use ipnet::IpNet;

pub use super::choice::{Balance, Strategy};
pub use super::numbers::{Numbers, Range};
use crate::callback::Settings;
use crate::switch::health;

/// A channel's index in [`Names::channels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);
/// A route group's index in [`Names::groups`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u16);
/// An app's index in [`Names::apps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(pub u16);
/// A tier's index in [`Names::tiers`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId(pub u8);

/// Names behind the indexes; append-only, so an index never changes its meaning while the process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Channel names by [`ChannelId`].
    pub channels: Vec<Arc<str>>,
    /// Group names by [`GroupId`].
    pub groups: Vec<Arc<str>>,
    /// App ids by [`AppId`].
    pub apps: Vec<Arc<str>>,
    /// Tier names by [`TierId`].
    pub tiers: Vec<Arc<str>>,
}

fn intern(list: &mut Vec<Arc<str>>, name: &str) -> usize {
    list.iter().position(|n| &**n == name).unwrap_or_else(|| {
        list.push(name.into());
        list.len() - 1
    })
}

/// The app that the gateway's own test messages belong to. No word of a configuration: nobody can be called so.
const PATROL: &str = "qiao:test";

/// Whether a name is one of the gateway's own, not to be shown among those of the configuration.
pub fn is_internal(name: &str) -> bool {
    name.contains(':')
}

impl Names {
    /// The app that test messages belong to.
    pub fn patrol(&mut self) -> AppId {
        self.app(PATROL)
    }
    /// The group of a channel's test messages, which has this channel only.
    pub fn patrol_group(&mut self, channel: &str) -> GroupId {
        self.group(&format!("test:{channel}"))
    }
    /// The channel's index, added if new.
    pub fn channel(&mut self, name: &str) -> ChannelId {
        ChannelId(intern(&mut self.channels, name) as u16)
    }
    /// The group's index, added if new.
    pub fn group(&mut self, name: &str) -> GroupId {
        GroupId(intern(&mut self.groups, name) as u16)
    }
    /// The app's index, added if new.
    pub fn app(&mut self, name: &str) -> AppId {
        AppId(intern(&mut self.apps, name) as u16)
    }
    /// The tier's index, added if new.
    pub fn tier(&mut self, name: &str) -> TierId {
        TierId(intern(&mut self.tiers, name) as u8)
    }
}

/// The whole configuration, checked.
#[derive(Clone)]
pub struct Plan {
    /// Names behind all indexes.
    pub names: Names,
    /// `[node]`, `[http]`, `[admin]`, `[journal]`, `[store]`, `[uplink]`.
    pub node: Node,
    /// Tiers, strictest first (position = rank).
    pub tiers: Vec<Tier>,
    /// Channels in file order.
    pub channels: Vec<Channel>,
    /// Groups in file order.
    pub groups: Vec<Group>,
    /// Routes in order; the first that matches wins.
    pub routes: Vec<Route>,
    /// Apps in file order.
    pub apps: Vec<App>,
    /// `[callbacks]`: how events reach apps.
    pub callbacks: Settings,
    /// `[health]`: when a channel counts as ill.
    pub health: health::Settings,
    /// What `[numbers]` knows; empty where there is none.
    pub numbers: Arc<Numbers>,
    /// All of it as written, without its secrets: for operators.
    pub written: Arc<serde_json::Value>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text, for comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Node settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `[node] name`.
    pub name: String,
    /// `[node] data_dir`, resolved against the configuration directory.
    pub data_dir: PathBuf,
    /// `[node] drain_timeout` (10 s).
    pub drain_timeout: Duration,
    /// `[node] watch` (true): changed files are taken over by themselves.
    pub watch: bool,
    /// `[http] listen`.
    pub http_listen: SocketAddr,
    /// `[http] max_connections` (10,000).
    pub http_max_connections: usize,
    /// `[http] header_timeout` (5 s).
    pub header_timeout: Duration,
    /// `[http] body_timeout` (10 s).
    pub body_timeout: Duration,
    /// `[admin] listen`.
    pub admin_listen: SocketAddr,
    /// `[admin] token`, resolved; made at first start where absent.
    pub admin_token: Option<Secret>,
    /// `[admin] metrics_token`, resolved.
    pub metrics_token: Option<Secret>,
    /// `[journal] segment_bytes` (64 MiB).
    pub segment_bytes: u64,
    /// `[journal] max_bytes` (8 GiB): the disk budget that the watermarks refer to.
    pub journal_max_bytes: u64,
    /// `[limits] messages` (2,000,000): most unfinished messages; beyond, 503.
    pub max_messages: usize,
    /// `[store] history` (7 d).
    pub history: Duration,
    /// `[store] receipt_wait` (24 h): after a message's validity, before it ends without a receipt.
    pub receipt_wait: Duration,
    /// `[uplink] join_wait` (10 min): how long a long message from a handset waits for its parts.
    pub uplink_join_wait: Duration,
    /// `[uplink] duplicate_window` (10 min): how long repetitions of messages from handsets are recognised.
    pub uplink_duplicate_window: Duration,
}

/// A business tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Its index.
    pub id: TierId,
    /// `otp`, `notice`, `marketing` or configured.
    pub name: Arc<str>,
    /// Validity where the app names none.
    pub validity: Duration,
    /// Most attempts on channels that answered with a retryable refusal.
    pub attempts: u8,
    /// Wait before the n-th retry (the last repeats).
    pub backoff: Vec<Duration>,
    /// What happens to a part that was written but never acknowledged by the far side's kernel.
    pub unacked: InDoubt,
    /// What happens to a part that the far side's kernel has, but the carrier never answered.
    pub acked: InDoubt,
    /// What follows a receipt that says "not delivered".
    pub on_failed: OnFailed,
    /// How long after the carrier took it a message without a receipt goes to the next channel; `None`: never.
    pub receipt_within: Option<Duration>,
    /// Use of journal and of `[limits] messages` in percent at which new messages of this tier get 503.
    pub shed_at: u8,
    /// How it is served beside other tiers.
    pub service: Service,
}

/// How a tier is served beside others that wait for the same channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// Before every tier below it.
    #[default]
    Strict,
    /// By its share of what strict tiers leave.
    Weighted {
        /// Its weight among weighted tiers; at least 1.
        weight: u32,
        /// Its least share in percent, whatever the weights.
        minimum: u8,
    },
}

/// What follows a receipt that says "not delivered".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailed {
    /// The message has failed.
    #[default]
    End,
    /// It goes to the next channel, where that may do better.
    Next,
}

/// Policy for a message in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// Send again after this long without a receipt (zero: at once).
    Resend(Duration),
    /// Never send again: wait for the receipt until it expires.
    #[default]
    Wait,
}

/// One contracted account.
#[derive(Clone)]
pub struct Channel {
    /// Its index.
    pub id: ChannelId,
    /// Its name.
    pub name: Arc<str>,
    /// The company.
    pub carrier: String,
    /// Its protocol.
    pub protocol: &'static dyn Protocol,
    /// Its configured protocol.
    pub profile: Arc<dyn Profile>,
    /// Parts per second by contract.
    pub rate: f64,
    /// Parts that may go at once; at least 1.
    pub burst: u32,
    /// Unanswered parts per link.
    pub window: u32,
    /// Links per leg.
    pub links: u16,
    /// Cost per part.
    pub cost: f64,
    /// Tiers that may use it.
    pub tiers: Vec<TierId>,
    /// Whether the carrier sends receipts; where not, its answer is the outcome.
    pub receipts: bool,
    /// Most parts a message may become, 1 to 64.
    pub max_parts: u8,
    /// `[channel.health]`: all numbers, where it has some of its own.
    pub health: Option<Box<health::Settings>>,
    /// Peers that may connect to its listeners; empty: any (loopback listeners only).
    pub allow_from: Vec<IpNet>,
    /// Its test messages, where it has any.
    pub test: Option<Test>,
}

/// Messages the gateway sends over a channel by itself, to see whether they arrive.
#[derive(Clone, PartialEq)]
pub struct Test {
    /// To these numbers in turn, E.164.
    pub to: Vec<String>,
    /// What they say.
    pub text: String,
    /// How often.
    pub every: Duration,
    /// A receipt that takes longer is none.
    pub receipt_within: Duration,
    /// In which tier they wait.
    pub tier: TierId,
    /// The app they belong to.
    pub app: AppId,
    /// The group that binds them to their channel.
    pub group: GroupId,
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Channel {
    /// All that its links depend on: links may live on where it is equal.
    pub fn account(&self) -> String {
        format!("{} {} {}", self.protocol.name(), self.window, self.profile.fingerprint())
    }
}

/// Channels, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its index.
    pub id: GroupId,
    /// Its name.
    pub name: Arc<str>,
    /// Members by preference.
    pub channels: Vec<ChannelId>,
    /// How one of them is chosen.
    pub strategy: Strategy,
    /// A backup is used although a better channel is healthy once the head waited this long; `None`: never.
    pub spill_after: Option<Duration>,
}

/// A rule of the routing table.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// All must hold.
    pub matches: Match,
    /// Where it leads.
    pub group: GroupId,
    /// What its messages ask of their carrier, as [`carriers::Options`] are kept.
    pub options: String,
}

/// Conditions of a route; an absent one always holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// Message types (`sms`).
    pub types: Option<Vec<String>>,
    /// Tiers.
    pub tiers: Option<Vec<TierId>>,
    /// Apps.
    pub apps: Option<Vec<AppId>>,
    /// Prefixes of the E.164 number, with plus.
    pub prefixes: Option<Vec<String>>,
    /// Senders.
    pub senders: Option<Vec<String>>,
    /// Carriers of the number by `[numbers]`.
    pub carriers: Option<Vec<String>>,
    /// Countries of the number by `[numbers]`.
    pub countries: Option<Vec<String>>,
    /// Regions of the number by `[numbers]`.
    pub regions: Option<Vec<String>>,
}

/// An upstream account.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its index.
    pub id: AppId,
    /// Its name.
    pub name: Arc<str>,
    /// SHA-256 of each bearer key.
    pub keys: Vec<[u8; 32]>,
    /// Parts per second at the door; burst is two seconds of it.
    pub rate: u32,
    /// Most parts per second towards carriers, over all channels; `None`: what the channels give.
    pub send_rate: Option<u32>,
    /// Tiers it may use; the first is its default.
    pub tiers: Vec<TierId>,
    /// Signatures it may use (`云桥`), without brackets.
    pub signatures: Vec<String>,
    /// Access numbers whose messages from handsets are its own: digits, perhaps with a plus.
    pub numbers: Vec<String>,
    /// ISO country of bare national numbers (`CN`).
    pub default_country: Option<String>,
    /// Peers it may call from; empty: any.
    pub allow_ips: Vec<IpNet>,
    /// Where its events go.
    pub callback: Option<Callback>,
    /// What its messages ask of their carrier, as [`carriers::Options`] are kept.
    pub options: String,
}

/// An app's callback endpoint.
#[derive(Clone, PartialEq)]
pub struct Callback {
    /// `http` or `https` URL.
    pub url: String,
    /// Signing secrets, newest first (raw octets of `whsec_…`).
    pub secrets: Vec<Vec<u8>>,
    /// Private ranges it may reach.
    pub allow_private: Vec<IpNet>,
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback").field("url", &self.url).field("secrets", &self.secrets.len()).finish()
    }
}
