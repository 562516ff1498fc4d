//! What may go wrong. Each world has a random subset of it: a fault that always comes with all the others hides behind
//! them.

use std::collections::BTreeMap;

use fastrand::Rng;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The carrier closes its connections.
    Reset,
    /// It takes no connection for a while.
    Refuse,
    /// It stops, and goes on later with what it has got meanwhile.
    Hang,
    /// It takes parts and says nothing.
    Mute,
    /// It answers probes and nothing else, and takes nothing.
    PingsOnly,
    /// Nothing reaches it any more, and nobody says so.
    Blackhole,
    /// It takes twenty times as long.
    Slow,
    /// It refuses much.
    Errors,
    /// It throttles almost everything.
    Storm,
    /// Its connections last three seconds.
    Flapping,
    /// Receipts never sent.
    LostReceipts,
    /// Receipts sent twice.
    TwiceReceipts,
    /// Receipts that come before the answer.
    EarlyReceipts,
    /// Answers later than the link waits.
    LateAnswers,
    /// Syncs that take up to two seconds.
    SlowSync,
    /// Syncs that fail.
    FailingSync,
    /// Writes that fail.
    FailingWrite,
    /// The process is killed: what the kernel has is kept.
    Kill,
    /// The power fails: what was not synced is lost, from any record on.
    PowerCut,
    /// The process stands still for a while.
    Pauses,
    /// The wall clock jumps.
    WallJumps,
    /// Apps repeat what they got no answer for, with the same key.
    Repeats,
    /// Apps send in bursts.
    Bursts,
    /// The operator holds channels.
    Holds,
    /// The operator reloads.
    Reloads,
    /// Bodies that cannot be read, or that a channel cannot carry.
    Damage,
    /// Handsets that get more than one message.
    SharedNumbers,
    /// Bodies that are read from disk before they go out.
    LateBodies,
    /// Endpoints that take long.
    SlowEndpoint,
    /// Messages on which carriers break.
    Poison,
    /// Apps' endpoints come and go, by reloads and restarts; and carriers call failed what they then deliver.
    Endpoints,
}

use Fault::*;

/// All of them, but for `Endpoints`.
const ALL: [Fault; 30] = [
    Reset,
    Refuse,
    Hang,
    Mute,
    PingsOnly,
    Blackhole,
    Slow,
    Errors,
    Storm,
    Flapping,
    LostReceipts,
    TwiceReceipts,
    EarlyReceipts,
    LateAnswers,
    SlowSync,
    FailingSync,
    FailingWrite,
    Kill,
    PowerCut,
    Pauses,
    WallJumps,
    Repeats,
    Bursts,
    Holds,
    Reloads,
    Damage,
    SharedNumbers,
    LateBodies,
    SlowEndpoint,
    Poison,
];

/// Those that come over one carrier for a while.
const OF_CARRIERS: [Fault; 10] = [Reset, Refuse, Hang, Mute, PingsOnly, Blackhole, Slow, Errors, Storm, Flapping];

/// What may go wrong in one world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swarm(Vec<Fault>);

impl Swarm {
    /// None in one world of twenty, else a random subset, small or large.
    pub(crate) fn random(rng: &mut Rng, seed: u64) -> Swarm {
        if rng.u8(0..20) == 0 {
            return Swarm::default();
        }
        let share = [0.1, 0.3, 0.6][rng.usize(..3)];
        let mut swarm = Swarm(ALL.into_iter().filter(|_| rng.f64() < share).collect());
        // Drawn apart: seeds that are known stay the worlds they were.
        swarm.0.extend((Rng::with_seed(seed ^ 0xe4d8).u8(0..4) == 0).then_some(Endpoints));
        swarm
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that come over one carrier for a while.
    pub(crate) fn of_carriers(&self) -> Vec<Fault> {
        OF_CARRIERS.into_iter().filter(|fault| self.has(*fault)).collect()
    }
}

/// States that are rare: a campaign that never reached one proves nothing about it.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<&'static str, u64>);

/// All that a campaign must reach.
const REQUIRED: [&str; 48] = [
    "answered late",
    "attempt lost with the power",
    "claimed by an attempt in doubt",
    "concluded in flight",
    "concluded waiting",
    "corrected",
    "correction of what nobody wanted",
    "delivered by answer",
    "delivered by receipt",
    "doubled and counted",
    "endpoint gone before the call",
    "event waits for room",
    "event without an endpoint",
    "expired",
    "failed over",
    "failed",
    "hedged",
    "in doubt",
    "in doubt at a restart",
    "key of an earlier life",
    "key repeated",
    "killed",
    "link closed busy",
    "link lost before the body came",
    "moved on",
    "not written, not sent",
    "on trial",
    "outcome written again",
    "paused",
    "power cut",
    "probe answered",
    "receipt answered late",
    "receipt before its answer",
    "receipt kept for a restart",
    "receipt of a finished message",
    "receipt said later",
    "reloaded",
    "restart after a correction of what nobody wanted",
    "resubmitted",
    "resumed",
    "silent and down",
    "suspected",
    "taken after all",
    "throttled",
    "told by a later life",
    "torn tail",
    "unacknowledged",
    "wall jumped",
];

/// What only a long campaign is sure to reach.
const RARER: [&str; 6] = [
    "a suspect channel kept in a group",
    "a suspect channel out of a group",
    "ourselves suspected",
    "panic in a group",
    "quarantined",
    "start refused by the report",
];

impl States {
    pub(crate) fn hit(&mut self, state: &'static str) {
        debug_assert!(REQUIRED.contains(&state) || RARER.contains(&state), "{state} is nobody's goal");
        *self.0.entry(state).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &States) {
        for (state, count) in &other.0 {
            *self.0.entry(state).or_default() += count;
        }
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        (self.0.len(), REQUIRED.len() + RARER.len())
    }

    /// What a campaign of so many seeds should have reached and has not.
    pub(crate) fn missing(&self, seeds: usize) -> Vec<&'static str> {
        let required = REQUIRED.into_iter().filter(|_| seeds >= 200);
        let rarer = RARER.into_iter().filter(|_| seeds >= 2_000);
        required.chain(rarer).filter(|state| !self.0.contains_key(state)).collect()
    }
}
