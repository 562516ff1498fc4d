//! How much of what a channel takes arrives, by the receipts: a channel of which less arrives than it used to and than
//! on its peers is given less; one whose receipts stop while its answers stay fine is told. Pure; the rules, and why a
//! bad list or template never counts against a channel, are in quality/LIFECYCLE.md.

mod delays;
mod kept;
mod stratum;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use kept::{Damaged, Kept};

use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{AppId, ChannelId, GroupId, TierId};
use crate::ids::SeededMap;
use delays::Delays;
use stratum::{Count, Stratum};

/// The sliding window, in slots.
const SLOTS: usize = 10;
/// A slot of the window; also how often is judged.
const SLOT: Duration = Duration::from_secs(30);
/// Fewest receipts in the window to find a channel at fault.
const FEWEST: f64 = 200.0;
/// Fewest of those that remain when the worst application is left out, and to find that a channel has recovered.
const FEWEST_LEFT: f64 = 50.0;
/// The drop in the delivered ratio that counts, and the one that counts no more.
const DROP: (f64, f64) = (0.15, 0.075);
/// How improbable the drop must be, in standard deviations.
const SURE: f64 = 4.0;
/// Judgements in a row without a drop that end an alarm: five minutes.
const WELL: u32 = 10;
/// Judgements in a row with too few receipts that end an alarm: half an hour.
const QUIET: u32 = 60;
/// What a channel of which less arrives is worth.
const WEIGHT: f64 = 0.3;
/// For so long the past of what is at fault stays as it was; then what is there is taken for usual.
const FROZEN: Duration = Duration::from_secs(24 * 3600);
/// Receipts that must be due before their absence means something.
const DUE: u64 = 50;
/// So many times the usual delay may pass without any.
const PATIENCE: u32 = 5;
/// And never less than this: delays of milliseconds are not known better than a pause of the carrier's.
const LEAST_SILENCE: Duration = Duration::from_secs(60);
/// Most strata; each costs 300 octets and, while it is busy, 4 KiB.
const STRATA: usize = 1024;
/// Most networks that are told apart.
const NETWORKS: usize = 255;
/// A stratum without a receipt for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(14 * 86_400);

/// What became of one part, by its final receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Over which channel it went.
    pub channel: ChannelId,
    /// Whose it was.
    pub app: AppId,
    /// In which tier.
    pub tier: TierId,
    /// Which group's channels could have taken it.
    pub group: GroupId,
    /// The number's digits.
    pub number: u64,
    /// Whether it arrived.
    pub delivered: bool,
}

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Less arrives than usual and than on its peers.
    DeliveredRatio,
    /// No receipts come at all.
    ReceiptsStopped,
}

/// A fault that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub channel: ChannelId,
    /// Which.
    pub fault: Fault,
    /// In numbers and names of networks; none where it has ended.
    pub detail: Option<String>,
}

/// A network numbers belong to, in the order in which they were first seen.
type Network = u8;

/// Where messages are alike: what of them arrives may be compared over time and between channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    channel: ChannelId,
    network: Network,
    class: Class,
}

/// Messages of one origin, offered to the same channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Class {
    app: AppId,
    tier: TierId,
    group: GroupId,
}

/// The receipts of a channel as a stream.
#[derive(Debug, Default)]
struct Flow {
    /// Whether its carrier sends any.
    receipts: bool,
    delays: Delays,
    /// When the first part was taken since the last receipt.
    waiting: Option<Time>,
    /// Parts taken since then: of the last usual delay, and before it.
    fresh: u64,
    due: u64,
    /// When those of the last usual delay began.
    turned: Time,
    silent: bool,
}

/// A channel's messages to one network that are under suspicion.
#[derive(Clone, Copy, Debug)]
struct Sick {
    since: Time,
    /// Whether peers bear it out.
    peers: bool,
    well: u32,
    quiet: u32,
    /// As last seen: arrived, usual, on peers.
    seen: (f64, f64, Option<f64>),
}

/// The delivered ratios and receipt streams of all channels.
#[derive(Debug)]
pub struct Quality {
    flows: BTreeMap<ChannelId, Flow>,
    strata: SeededMap<Key, Stratum>,
    sick: BTreeMap<(ChannelId, Network), Sick>,
    networks: Vec<Arc<str>>,
    /// Those known only by their calling code.
    codes: BTreeMap<u64, Network>,
    /// The slot being filled.
    slot: usize,
    /// When it ends.
    turn: Time,
    /// The hour being filled, counted from the epoch.
    hour: u64,
    /// A stratum found no room.
    crowded: bool,
}

impl Quality {
    /// Nothing known yet.
    #[must_use]
    pub fn new(now: Moment) -> Quality {
        Quality {
            flows: BTreeMap::new(),
            strata: SeededMap::default(),
            sick: BTreeMap::new(),
            networks: Vec::new(),
            codes: BTreeMap::new(),
            slot: 0,
            turn: now.time.after(SLOT),
            hour: hour(now.wall),
            crowded: false,
        }
    }

    /// Follows a plan: its channels, and whether their carriers send receipts. Of others nothing is watched any more;
    /// what was learned of them stays. Returns the faults that end with that.
    pub fn watch(&mut self, channels: impl Iterator<Item = (ChannelId, bool)>) -> Vec<Finding> {
        let plan: BTreeMap<ChannelId, bool> = channels.collect();
        for (channel, receipts) in &plan {
            let flow = self.flows.entry(*channel).or_default();
            if std::mem::replace(&mut flow.receipts, *receipts) != *receipts {
                flow.heard();
            }
        }
        let watched = |channel: &ChannelId| plan.get(channel).copied().unwrap_or(false);
        let mut ended = Vec::new();
        for (channel, flow) in self.flows.iter_mut().filter(|(channel, _)| !watched(channel)) {
            flow.heard();
            if std::mem::take(&mut flow.silent) {
                ended.push(Finding { channel: *channel, fault: Fault::ReceiptsStopped, detail: None });
            }
        }
        let before = self.sick_channels();
        self.sick.retain(|(channel, _), _| watched(channel));
        let after = self.sick_channels();
        let gone = before.into_iter().filter(|channel| !after.contains(channel));
        ended.extend(gone.map(|channel| Finding { channel, fault: Fault::DeliveredRatio, detail: None }));
        ended
    }

    /// A carrier took a part, for which a receipt is to come.
    pub fn submitted(&mut self, now: Time, channel: ChannelId) {
        if let Some(flow) = self.flows.get_mut(&channel).filter(|flow| flow.receipts) {
            if flow.waiting.is_none() {
                (flow.waiting, flow.turned) = (Some(now), now);
            }
            flow.fresh += 1;
        }
    }

    /// A receipt came, whatever it says and whosever it is.
    pub fn heard(&mut self, channel: ChannelId) {
        if let Some(flow) = self.flows.get_mut(&channel) {
            flow.heard();
        }
    }

    /// A part's first final receipt came so long after its attempt.
    pub fn delay(&mut self, channel: ChannelId, delay: Duration) {
        if let Some(flow) = self.flows.get_mut(&channel) {
            flow.delays.add(delay);
        }
    }

    /// A part has come to its end on that network; where that is not known, on one of its number's country.
    pub fn ended(&mut self, now: Moment, fate: &Fate, network: Option<&str>) {
        let Fate { channel, app, tier, group, number, delivered } = *fate;
        let network = match network {
            Some(name) => self.network(name),
            None => self.country(calling_code(number)),
        };
        let key = Key { channel, network, class: Class { app, tier, group } };
        if self.strata.len() >= STRATA && !self.strata.contains_key(&key) {
            self.crowded = true;
            return;
        }
        let (slot, time) = (self.slot, now.time);
        self.strata.entry(key).or_default().add(slot, time, now.wall, number, delivered);
    }

    fn country(&mut self, code: u64) -> Network {
        if let Some(network) = self.codes.get(&code) {
            return *network;
        }
        let network = self.network(&format!("+{code}"));
        self.codes.insert(code, network);
        network
    }

    fn network(&mut self, name: &str) -> Network {
        let known = self.networks.iter().position(|n| **n == *name);
        let at = known.or_else(|| {
            let room = self.networks.len() < NETWORKS;
            room.then(|| self.networks.push(name.into())).map(|()| self.networks.len() - 1)
        });
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(Network::MAX)
    }

    /// When [`Quality::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.turn
    }

    /// Moves the window on and judges what is in it. Returns what has begun or ended.
    pub fn tick(&mut self, now: Moment) -> Vec<Finding> {
        let mut findings = Vec::new();
        if now.time < self.turn {
            return findings;
        }
        self.judge(now, &mut findings);
        self.listen(now.time, &mut findings);
        // After a pause of ours the whole window may be over.
        for _ in 0..SLOTS {
            if now.time < self.turn {
                break;
            }
            self.turn(now.time);
        }
        if self.turn <= now.time {
            self.turn = now.time.after(SLOT);
        }
        self.hours(now.wall);
        self.tidy(now.wall);
        findings
    }

    /// Ends a slot: what leaves the window with it becomes past, unless something is wrong with it.
    fn turn(&mut self, now: Time) {
        let Quality { strata, sick, .. } = self;
        self.slot = (self.slot + 1) % SLOTS;
        self.turn = self.turn.after(SLOT);
        for (key, stratum) in strata.iter_mut() {
            let frozen = sick.get(&(key.channel, key.network)).is_some_and(|sick| now.since(sick.since) < FROZEN);
            stratum.turn(self.slot, !frozen);
        }
    }

    fn hours(&mut self, now: Wall) {
        let hour = hour(now);
        if hour != self.hour {
            let ended = usize::try_from(self.hour % 24).unwrap_or(0);
            self.strata.values_mut().for_each(|stratum| stratum.past.fold(ended));
            self.hour = hour;
        }
    }

    /// Forgets what has had no receipt for long; where there is no room, what is idle, the longest first.
    fn tidy(&mut self, now: Wall) {
        let age = |stratum: &Stratum| Duration::from_millis(now.0.saturating_sub(stratum.used.0));
        self.strata.retain(|_, stratum| age(stratum) < FORGOTTEN);
        if std::mem::take(&mut self.crowded) {
            let mut idle: Vec<(Wall, Key)> =
                self.strata.iter().filter(|(_, s)| s.total().all == 0).map(|(key, s)| (s.used, *key)).collect();
            idle.sort_unstable();
            for (_, key) in idle.into_iter().take(STRATA / 8) {
                self.strata.remove(&key);
            }
        }
    }

    fn judge(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        let before = self.sick_channels();
        let cells = self.cells();
        let hour = usize::try_from(self.hour % 24).unwrap_or(0);
        let mut cases: BTreeMap<(ChannelId, Network), Vec<Evidence>> = BTreeMap::new();
        for (key, window) in &cells {
            let Some(stratum) = self.strata.get(key) else { continue };
            let Some((usual, known)) = stratum.past.usual(hour) else { continue };
            let peers = self.peers(&cells, key);
            let evidence = Evidence { app: key.class.app, window: *window, usual, known, peers };
            cases.entry((key.channel, key.network)).or_default().push(evidence);
        }
        for (cell, evidence) in &cases {
            if !self.sick.contains_key(cell)
                && let Some(sick) = condemn(now.time, evidence)
            {
                self.sick.insert(*cell, sick);
            }
        }
        let none = Vec::new();
        self.sick.retain(|cell, sick| !sick.recovers(now.time, cases.get(cell).unwrap_or(&none)));
        let after = self.sick_channels();
        for channel in before.iter().chain(&after).collect::<std::collections::BTreeSet<_>>() {
            if before.contains(channel) != after.contains(channel) {
                let detail = after.contains(channel).then(|| self.words(*channel));
                findings.push(Finding { channel: *channel, fault: Fault::DeliveredRatio, detail });
            }
        }
    }

    /// What the window holds, in an order that does not depend on chance.
    fn cells(&self) -> BTreeMap<Key, Count> {
        let windows = self.strata.iter().map(|(key, stratum)| (*key, stratum.total()));
        windows.filter(|(_, window)| window.all > 0).collect()
    }

    /// What arrived of the same messages on the other channels, but those that are themselves at fault.
    fn peers(&self, cells: &BTreeMap<Key, Count>, of: &Key) -> Count {
        let mut sum = Count::default();
        for channel in self.flows.keys().filter(|channel| **channel != of.channel) {
            if !self.sick.contains_key(&(*channel, of.network)) {
                sum.add(cells.get(&Key { channel: *channel, ..*of }).copied().unwrap_or_default());
            }
        }
        sum
    }

    fn sick_channels(&self) -> Vec<ChannelId> {
        let mut channels: Vec<ChannelId> = self.sick.keys().map(|(channel, _)| *channel).collect();
        channels.dedup();
        channels
    }

    fn words(&self, channel: ChannelId) -> String {
        let percent = |ratio: f64| (ratio * 100.0).round();
        let name = |network: Network| self.networks.get(usize::from(network)).map_or("other networks", |name| name);
        let all = self.sick.range((channel, 0)..=(channel, Network::MAX)).map(|((_, network), sick)| {
            let (now, usual, peers) = sick.seen;
            let peers = peers.map_or_else(String::new, |p| format!(", {} % on other channels", percent(p)));
            format!("{} % arrives at {}, usually {} %{peers}", percent(now), name(*network), percent(usual))
        });
        all.collect::<Vec<_>>().join("; ")
    }

    /// Finds streams that have stopped, or run again.
    fn listen(&mut self, now: Time, findings: &mut Vec<Finding>) {
        for (channel, flow) in &mut self.flows {
            let silent = flow.stopped(now);
            let was = std::mem::replace(&mut flow.silent, silent.is_some());
            if was != silent.is_some() {
                let detail = silent
                    .map(|silent| format!("none for {} s, {} parts should have theirs", silent.as_secs(), flow.due));
                findings.push(Finding { channel: *channel, fault: Fault::ReceiptsStopped, detail });
            }
        }
    }

    /// Which part of what a channel took in the last five minutes has arrived; none where no receipt has come.
    #[must_use]
    pub fn ratio(&self, channel: ChannelId) -> Option<f64> {
        let mut sum = Count::default();
        self.strata.iter().filter(|(key, _)| key.channel == channel).for_each(|(_, s)| sum.add(s.total()));
        (sum.all > 0).then(|| sum.ratio())
    }

    /// What a channel is worth beside its peers, 0 to 1: less while less arrives than on these.
    #[must_use]
    pub fn weight(&self, channel: ChannelId) -> f64 {
        let sick = self.sick.range((channel, 0)..=(channel, Network::MAX)).any(|(_, sick)| sick.peers);
        if sick { WEIGHT } else { 1.0 }
    }
}

impl Flow {
    fn heard(&mut self) {
        (self.waiting, self.fresh, self.due) = (None, 0, 0);
    }

    /// For how long no receipt has come, where that is too long.
    fn stopped(&mut self, now: Time) -> Option<Duration> {
        let (since, usual) = (self.waiting?, self.delays.usual());
        if now.since(self.turned) >= usual {
            self.due += std::mem::take(&mut self.fresh);
            self.turned = now;
        }
        let silent = now.since(since);
        (self.due >= DUE && silent >= (usual * PATIENCE).max(LEAST_SILENCE)).then_some(silent)
    }
}

/// What speaks for or against a channel, of one class of messages.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    app: AppId,
    window: Count,
    /// The ratio of its past, and how many receipts that is known from.
    usual: f64,
    known: f64,
    peers: Count,
}

/// How far something has fallen.
#[derive(Clone, Copy, Debug)]
struct Fall {
    receipts: f64,
    now: f64,
    expected: f64,
    sigmas: f64,
}

impl Fall {
    fn counts(&self, fewest: f64) -> bool {
        self.receipts >= fewest && self.expected - self.now > DROP.0 && self.sigmas > SURE
    }

    fn is_over(&self) -> bool {
        self.expected - self.now < DROP.1
    }
}

/// Against expectations, each known from so many receipts. Classes are compared each with its own, then added up: a
/// changed mixture of them is no fall.
fn fall(of: impl Iterator<Item = (Count, f64, f64)>) -> Option<Fall> {
    let (mut all, mut delivered, mut expected, mut variance) = (0.0, 0.0, 0.0, 0.0);
    for (window, ratio, known) in of {
        let n = f64::from(window.all);
        let ratio = ratio.clamp(0.01, 0.99);
        all += n;
        delivered += f64::from(window.delivered);
        expected += n * ratio;
        variance += n * ratio * (1.0 - ratio) * (1.0 + n / known.max(1.0));
    }
    let sigmas = (expected - delivered) / variance.max(f64::MIN_POSITIVE).sqrt();
    (all > 0.0).then(|| Fall { receipts: all, now: delivered / all, expected: expected / all, sigmas })
}

fn against_past<'e>(evidence: impl Iterator<Item = &'e Evidence>) -> Option<Fall> {
    fall(evidence.map(|e| (e.window, e.usual, e.known)))
}

/// Where the peers have enough of the same messages.
fn against_peers<'e>(evidence: impl Iterator<Item = &'e Evidence>) -> Option<Fall> {
    let known: Vec<&Evidence> = evidence.filter(|e| f64::from(e.peers.all) >= FEWEST_LEFT).collect();
    let peers: f64 = known.iter().map(|e| f64::from(e.peers.all)).sum();
    fall(known.iter().map(|e| (e.window, e.peers.ratio(), f64::from(e.peers.all)))).filter(|_| peers >= FEWEST)
}

/// The application with the most failures beyond what is usual.
fn worst(evidence: &[Evidence]) -> Option<AppId> {
    let mut excess: BTreeMap<AppId, f64> = BTreeMap::new();
    for e in evidence {
        *excess.entry(e.app).or_default() += f64::from(e.window.all) * e.usual - f64::from(e.window.delivered);
    }
    excess.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(app, _)| app)
}

/// Whether a channel is at fault: not by one application's messages alone, unless the same messages fare better on its
/// peers at the same time.
fn condemn(now: Time, evidence: &[Evidence]) -> Option<Sick> {
    let whole = against_past(evidence.iter()).filter(|fall| fall.counts(FEWEST))?;
    let worst = worst(evidence)?;
    let rest = || evidence.iter().filter(|e| e.app != worst);
    let left = against_past(rest()).filter(|fall| fall.receipts >= FEWEST_LEFT);
    if left.is_some_and(|left| !left.counts(FEWEST_LEFT)) {
        return None;
    }
    let peers = match left {
        Some(_) => against_peers(rest()).or_else(|| against_peers(evidence.iter())),
        None => Some(against_peers(evidence.iter())?),
    };
    if peers.is_some_and(|peers| !peers.counts(FEWEST_LEFT)) {
        return None;
    }
    let seen = (whole.now, whole.expected, against_peers(evidence.iter()).map(|peers| peers.expected));
    Some(Sick { since: now, peers: peers.is_some(), well: 0, quiet: 0, seen })
}

impl Sick {
    /// Takes the next judgement; true where it was the last that was needed.
    fn recovers(&mut self, now: Time, evidence: &[Evidence]) -> bool {
        if now == self.since {
            return false;
        }
        let Some(past) = against_past(evidence.iter()).filter(|fall| fall.receipts >= FEWEST_LEFT) else {
            self.quiet += 1;
            return self.quiet >= QUIET;
        };
        self.quiet = 0;
        let peers = against_peers(evidence.iter());
        self.peers |= peers.is_some_and(|peers| peers.counts(FEWEST_LEFT));
        let over = past.is_over() || peers.is_some_and(|peers| peers.is_over());
        self.well = if over { self.well + 1 } else { 0 };
        self.well >= WELL
    }
}

fn hour(now: Wall) -> u64 {
    now.0 / 3_600_000
}

/// The calling code that a number begins with.
fn calling_code(number: u64) -> u64 {
    const TWO: [u64; 44] = [
        20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61,
        62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
    ];
    let mut first = number;
    while first >= 1_000 {
        first /= 10;
    }
    match first {
        100..=199 | 700..=799 => first / 100,
        _ if TWO.contains(&(first / 10)) => first / 10,
        _ => first,
    }
}
