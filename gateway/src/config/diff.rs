//! What changes from one plan to the next, in words for people: names, numbers and counts, never a secret or an address
//! that may hold one. Pure; what is done about it is the line's business.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::plan::{App, Callback, Channel, ChannelId, Group, Names, Node, Plan, Route, Strategy, Tier, TierId};
use super::problem::Problem;
use crate::callback::Settings;
use crate::switch::health;

/// What a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// What is different from now on, in the order of the files.
    pub changes: Vec<Change>,
    /// Settings that are different in the files and stay as they are until the next start.
    pub restart: Vec<String>,
    /// Whether a message may go another way than before.
    #[serde(skip)]
    pub routing: bool,
    /// Whether something that was there is no more: named things, or numbers.
    #[serde(skip)]
    pub removes: bool,
}

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `channel`, `group`, `route`, `app`, `tier`, `numbers`, `callbacks`, `health` or `node`.
    pub what: &'static str,
    /// Its name; empty for `numbers`, `callbacks`, `health` and `node`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: String,
    /// In which way.
    pub how: How,
    /// What changed about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// In which way something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is new.
    Added,
    /// It is no more.
    Removed,
    /// It is another.
    Changed,
}

impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.what, if self.name.is_empty() { "" } else { " " }, self.name)?;
        match self.how {
            How::Added => f.write_str(": added"),
            How::Removed => f.write_str(": removed"),
            How::Changed => write!(f, ": {}", self.details.join(", ")),
        }
    }
}

impl Diff {
    /// What taking over `new` changes while `old` is in force.
    pub fn between(old: &Plan, new: &Plan) -> Diff {
        let mut diff = Diff::default();
        diff.things("tier", (&old.tiers, &new.tiers), |t| &t.name, tier);
        diff.things("channel", (&old.channels, &new.channels), |c| &c.name, |a, b| channel(a, b, &new.names));
        diff.things("group", (&old.groups, &new.groups), |g| &g.name, |a, b| group(a, b, &new.names));
        diff.things("route", (&old.routes, &new.routes), |r| &r.name, |a, b| route(a, b, &new.names));
        diff.things("app", (&old.apps, &new.apps), |a| &a.name, |a, b| app(a, b, &new.names));
        if old.numbers != new.numbers {
            diff.changed("numbers", vec![format!("{} entries → {}", old.numbers.len(), new.numbers.len())]);
        }
        let settings = callbacks(&old.callbacks, &new.callbacks);
        if !settings.is_empty() {
            diff.changed("callbacks", settings);
        }
        let settings = health(&old.health, &new.health);
        if !settings.is_empty() {
            diff.changed("health", settings);
        }
        let mut at_once = Vec::new();
        node(&old.node, &new.node, &mut at_once, &mut diff.restart);
        if !at_once.is_empty() {
            diff.changed("node", at_once);
        }
        diff.routing = old.groups != new.groups
            || old.routes != new.routes
            || old.numbers != new.numbers
            || !old.tiers.iter().map(|t| t.id).eq(new.tiers.iter().map(|t| t.id))
            || !old.channels.iter().map(offer).eq(new.channels.iter().map(offer));
        diff.removes = new.numbers.len() < old.numbers.len() || diff.changes.iter().any(|c| c.how == How::Removed);
        diff
    }

    /// Whether nothing at all is different.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.restart.is_empty()
    }

    fn changed(&mut self, what: &'static str, details: Vec<String>) {
        self.changes.push(Change { what, name: String::new(), how: How::Changed, details });
    }

    fn things<T>(
        &mut self,
        what: &'static str,
        (old, new): (&[T], &[T]),
        name: fn(&T) -> &str,
        differ: impl Fn(&T, &T) -> Vec<String>,
    ) {
        let mut push = |one, how, details| {
            self.changes.push(Change { what, name: name(one).to_owned(), how, details });
        };
        let known: HashSet<&str> = new.iter().map(name).collect();
        let (stayed, gone): (Vec<&T>, Vec<&T>) = old.iter().partition(|one| known.contains(name(one)));
        gone.into_iter().for_each(|one| push(one, How::Removed, Vec::new()));
        let before: HashMap<&str, &T> = stayed.iter().map(|one| (name(one), *one)).collect();
        let mut places = stayed.iter().map(|one| name(one));
        for one in new {
            let Some(before) = before.get(name(one)) else {
                push(one, How::Added, Vec::new());
                continue;
            };
            let mut details = differ(before, one);
            let moved = places.next() != Some(name(one));
            if moved && matches!(what, "route" | "tier") {
                details.push("another place in the order".to_owned());
            }
            if !details.is_empty() {
                push(one, How::Changed, details);
            }
        }
    }
}

/// Accounts that go from one channel to another. Receipts are sought by the channel's name: those of what the one has
/// sent would come to the other and find nobody, and what was delivered would count as expired.
pub fn moved(old: &Plan, new: &Plan) -> Vec<Problem> {
    let accounts = |plan: &Plan| plan.channels.iter().map(|c| (c.name.clone(), c.account())).collect::<HashMap<_, _>>();
    let (before, after) = (accounts(old), accounts(new));
    let mut problems = Vec::new();
    for from in &old.channels {
        let Some(account) = before.get(&from.name).filter(|account| after.get(&from.name) != Some(account)) else {
            continue;
        };
        let takes = |c: &&Channel| after.get(&c.name) == Some(account) && before.get(&c.name) != Some(account);
        for to in new.channels.iter().filter(takes) {
            let (from, to) = (&from.name, &to.name);
            problems.push(Problem::of_all(
                format!("channel `{to}` has the account of channel `{from}`: receipts of what `{from}` sent would find nobody"),
                &format!("keep the name, or remove `{from}` first and add it as `{to}` once its receipts are in"),
            ));
        }
    }
    problems
}

/// What decides whether a channel takes a message, and as how many parts.
fn offer(channel: &Channel) -> (ChannelId, &[TierId], String) {
    (channel.id, &channel.tiers, channel.account())
}

/// Collects `key old → new` for what differs.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// A value that may be shown.
    fn value<T: PartialEq>(&mut self, key: &str, old: &T, new: &T, show: impl Fn(&T) -> String) -> &mut Self {
        if old != new {
            self.0.push(format!("{key} {} → {}", show(old), show(new)));
        }
        self
    }

    /// A number or text as it is.
    fn plain<T: PartialEq + Display>(&mut self, key: &str, old: &T, new: &T) -> &mut Self {
        self.value(key, old, new, T::to_string)
    }

    /// A duration and the like.
    fn debug<T: PartialEq + Debug>(&mut self, key: &str, old: &T, new: &T) -> &mut Self {
        self.value(key, old, new, |value| format!("{value:?}"))
    }

    /// Secrets, of which only the number is shown.
    fn hidden<T: PartialEq>(&mut self, key: &str, old: &[T], new: &[T]) -> &mut Self {
        if old != new {
            self.0.push(format!("{key} changed ({} → {})", old.len(), new.len()));
        }
        self
    }

    /// Something that is not shown at all.
    fn silent(&mut self, key: &str, differs: bool) -> &mut Self {
        if differs {
            self.0.push(format!("{key} changed"));
        }
        self
    }

    /// The words; something that differs and for which there are none says at least that.
    fn or(&mut self, differs: bool) -> Vec<String> {
        if self.0.is_empty() && differs {
            self.0.push("changed".to_owned());
        }
        std::mem::take(&mut self.0)
    }
}

fn tiers_of(names: &Names) -> impl Fn(&Vec<TierId>) -> String {
    |tiers| list(tiers.iter().map(|t| names.tiers.get(usize::from(t.0))))
}

fn list<'n>(names: impl Iterator<Item = Option<&'n Arc<str>>>) -> String {
    let names: Vec<&str> = names.map(|name| name.map_or("?", |n| n)).collect();
    format!("[{}]", names.join(" "))
}

fn tier(old: &Tier, new: &Tier) -> Vec<String> {
    Words::default()
        .debug("validity", &old.validity, &new.validity)
        .plain("attempts", &old.attempts, &new.attempts)
        .debug("backoff", &old.backoff, &new.backoff)
        .debug("unacked", &old.unacked, &new.unacked)
        .debug("acked", &old.acked, &new.acked)
        .debug("on_failed", &old.on_failed, &new.on_failed)
        .debug("receipt_within", &old.receipt_within, &new.receipt_within)
        .plain("shed_at", &old.shed_at, &new.shed_at)
        .or(old != new)
}

fn channel(old: &Channel, new: &Channel, names: &Names) -> Vec<String> {
    let mut words = Words::default();
    words
        .plain("carrier", &old.carrier, &new.carrier)
        .plain("protocol", &old.protocol.name(), &new.protocol.name())
        .plain("rate", &old.rate, &new.rate)
        .plain("burst", &old.burst, &new.burst)
        .plain("window", &old.window, &new.window)
        .plain("links", &old.links, &new.links)
        .plain("cost", &old.cost, &new.cost)
        .value("tiers", &old.tiers, &new.tiers, tiers_of(names))
        .plain("receipts", &old.receipts, &new.receipts)
        .plain("max_parts", &old.max_parts, &new.max_parts)
        .debug("allow_from", &old.allow_from, &new.allow_from)
        .silent("health", old.health != new.health)
        .silent("test", old.test != new.test);
    if old.account() != new.account() {
        let explained = old.window != new.window || old.max_parts != new.max_parts;
        words.silent("account", !explained);
        words.0.push("its links are made anew".to_owned());
    }
    words.or(false)
}

fn group(old: &Group, new: &Group, names: &Names) -> Vec<String> {
    let members = |channels: &Vec<ChannelId>| list(channels.iter().map(|c| names.channels.get(usize::from(c.0))));
    Words::default()
        .value("channels", &old.channels, &new.channels, members)
        .value("strategy", &old.strategy, &new.strategy, strategy_in_words)
        .value("spill_after", &old.spill_after, &new.spill_after, |wait| {
            wait.map_or_else(|| "never".to_owned(), |wait| format!("{wait:?}"))
        })
        .or(old != new)
}

/// A strategy with what belongs to it.
fn strategy_in_words(strategy: &Strategy) -> String {
    let name = strategy.name();
    match strategy {
        Strategy::Weighted(weights) => {
            format!("{name} {}", weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":"))
        }
        Strategy::Quality { explore } => format!("{name} (explore {explore})"),
        Strategy::Balanced(b) => format!(
            "{name} (cost {} quality {} latency {} load {}; floors {} {} {:?}; explore {})",
            b.cost, b.quality, b.latency, b.load, b.least_success, b.least_delivered, b.most_latency, b.explore
        ),
        Strategy::Preference | Strategy::LeastCost => name.to_owned(),
    }
}

fn route(old: &Route, new: &Route, names: &Names) -> Vec<String> {
    Words::default()
        .value("group", &old.group, &new.group, |g| list([names.groups.get(usize::from(g.0))].into_iter()))
        .silent("conditions", old.matches != new.matches)
        .silent("options", old.options != new.options)
        .or(old != new)
}

fn app(old: &App, new: &App, names: &Names) -> Vec<String> {
    let mut words = Words::default();
    words
        .hidden("keys", &old.keys, &new.keys)
        .plain("rate", &old.rate, &new.rate)
        .value("tiers", &old.tiers, &new.tiers, tiers_of(names))
        .debug("signatures", &old.signatures, &new.signatures)
        .debug("numbers", &old.numbers, &new.numbers)
        .value("default_country", &old.default_country, &new.default_country, |country| {
            country.clone().unwrap_or_else(|| "none".to_owned())
        })
        .debug("allow_ips", &old.allow_ips, &new.allow_ips)
        .silent("options", old.options != new.options);
    match (&old.callback, &new.callback) {
        (None, Some(_)) => words.0.push("callback added".to_owned()),
        (Some(_), None) => words.0.push("callback removed".to_owned()),
        (Some(old), Some(new)) => callback(old, new, &mut words),
        (None, None) => {}
    }
    words.or(old != new)
}

/// Its address may hold a user and a password, or a token in its query.
fn callback(old: &Callback, new: &Callback, words: &mut Words) {
    words.silent("callback url", old.url != new.url).hidden("callback secrets", &old.secrets, &new.secrets).debug(
        "callback allow_private",
        &old.allow_private,
        &new.allow_private,
    );
}

/// All of them count at once.
fn callbacks(old: &Settings, new: &Settings) -> Vec<String> {
    Words::default()
        .debug("schedule", &old.schedule, &new.schedule)
        .debug("give_up_after", &old.give_up_after, &new.give_up_after)
        .debug("connect_timeout", &old.connect, &new.connect)
        .debug("total_timeout", &old.total, &new.total)
        .plain("trip_after", &old.trip_after, &new.trip_after)
        .debug("trial_every", &old.trial_every, &new.trial_every)
        .debug("spill_after", &old.spill_after, &new.spill_after)
        .plain("quota", &old.quota, &new.quota)
        .debug("keep_dead", &old.keep_dead, &new.keep_dead)
        .or(old != new)
}

/// All of them count at once; what is known of channels stays.
fn health(old: &health::Settings, new: &health::Settings) -> Vec<String> {
    Words::default()
        .debug("silence", &[old.fast.silence, old.calm.silence], &[new.fast.silence, new.calm.silence])
        .debug("probe", &[old.fast.probe, old.calm.probe], &[new.fast.probe, new.calm.probe])
        .debug("tcp", &old.unacked, &new.unacked)
        .plain("phi", &old.phi, &new.phi)
        .plain("errors", &old.errors, &new.errors)
        .debug("down_after", &old.silent_down, &new.silent_down)
        .debug("hold_down", &old.hold, &new.hold)
        .debug("hold_down_max", &old.hold_most, &new.hold_most)
        .debug("probation", &old.trial, &new.trial)
        .plain("ejection", &old.eject_share, &new.eject_share)
        .plain("panic", &old.panic_share, &new.panic_share)
        .debug("latency", &[old.prior.median, old.prior.most], &[new.prior.median, new.prior.most])
        .debug("doubt_after", &old.doubt_after, &new.doubt_after)
        .debug("hedge_after", &old.hedge_after, &new.hedge_after)
        .debug("hedge_latest", &old.hedge_latest, &new.hedge_latest)
        .plain("hedge_share", &old.hedge_share, &new.hedge_share)
        .plain("retry_share", &old.retry_share, &new.retry_share)
        .plain("retry_floor", &old.retry_floor, &new.retry_floor)
        .debug("guard_window", &old.guard_window, &new.guard_window)
        .debug("guard_pause", &old.guard_freeze, &new.guard_freeze)
        .or(old != new)
}

/// Sorts the settings of the node: those that count at once, and those that wait for a start. A new setting has to be
/// put on either side.
fn node(old: &Node, new: &Node, at_once: &mut Vec<String>, restart: &mut Vec<String>) {
    let Node {
        name,
        data_dir,
        drain_timeout,
        watch,
        http_listen,
        http_max_connections,
        header_timeout,
        body_timeout,
        admin_listen,
        admin_token,
        metrics_token,
        segment_bytes,
        journal_max_bytes,
        max_messages,
        history,
        receipt_wait,
        uplink_join_wait,
        uplink_duplicate_window,
    } = old;
    *at_once = Words::default()
        .plain("[node] name", name, &new.name)
        .debug("[node] drain_timeout", drain_timeout, &new.drain_timeout)
        .plain("[node] watch", watch, &new.watch)
        .plain("[http] max_connections", http_max_connections, &new.http_max_connections)
        .debug("[http] header_timeout", header_timeout, &new.header_timeout)
        .debug("[http] body_timeout", body_timeout, &new.body_timeout)
        .plain("[limits] messages", max_messages, &new.max_messages)
        .debug("[uplink] join_wait", uplink_join_wait, &new.uplink_join_wait)
        .debug("[uplink] duplicate_window", uplink_duplicate_window, &new.uplink_duplicate_window)
        .or(false);
    *restart = Words::default()
        .debug("[node] data_dir", data_dir, &new.data_dir)
        .plain("[http] listen", http_listen, &new.http_listen)
        .plain("[admin] listen", admin_listen, &new.admin_listen)
        .silent("[admin] token", *admin_token != new.admin_token)
        .silent("[admin] metrics_token", *metrics_token != new.metrics_token)
        .plain("[journal] segment_bytes", segment_bytes, &new.segment_bytes)
        .plain("[journal] max_bytes", journal_max_bytes, &new.journal_max_bytes)
        .debug("[store] history", history, &new.history)
        .debug("[store] receipt_wait", receipt_wait, &new.receipt_wait)
        .or(false);
}

/// Where the settings that wait for a start stand in the files.
const AT_START: [(&str, &[&str]); 5] = [
    ("node", &["data_dir"]),
    ("http", &["listen", "insecure"]),
    ("admin", &["listen", "token", "metrics_token"]),
    ("journal", &["segment_bytes", "max_bytes"]),
    ("store", &["history", "receipt_wait"]),
];

impl Plan {
    /// This plan as far as it counts at once; what waits for a start is as it is in force, also in what operators see.
    pub fn until_restart(self, in_force: &Plan) -> Plan {
        let mut written = Value::clone(&self.written);
        for (section, keys) in AT_START {
            for key in keys {
                let kept = in_force.written[section].get(key).cloned();
                match (kept, written[section].as_object_mut()) {
                    (Some(kept), _) => written[section][key] = kept,
                    (None, Some(table)) => drop(table.remove(*key)),
                    (None, None) => {}
                }
            }
        }
        // Looking for a section has left a place for it.
        if let Some(sections) = written.as_object_mut() {
            sections.retain(|_, section| !section.is_null());
        }
        Plan { node: self.node.until_restart(&in_force.node), written: written.into(), ..self }
    }
}

impl Node {
    /// These settings as far as they count at once, with those that wait for a start as they are in force.
    pub fn until_restart(&self, in_force: &Node) -> Node {
        Node {
            name: self.name.clone(),
            drain_timeout: self.drain_timeout,
            watch: self.watch,
            http_max_connections: self.http_max_connections,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            max_messages: self.max_messages,
            uplink_join_wait: self.uplink_join_wait,
            uplink_duplicate_window: self.uplink_duplicate_window,
            ..in_force.clone()
        }
    }
}
