//! Endurance with real processes: kills, power cuts, full and slow disks, a wall clock that jumps, no descriptors left,
//! and everything at once for long. Each test has a short form that runs with all others, and a long one that
//! `make soak` runs: the variables `ENDURE_*` say how long.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use conformance::books::Verdict;
use conformance::gateway::Metrics;
use conformance::{Carrier, Stage};

mod clock;
mod cuts;
mod damage;
mod descriptors;
mod full;
mod kills;
mod slow;
mod soak;

/// Unanswered parts each channel may have.
const WINDOW: u64 = 20;
/// The carriers' slowest answer, and what a busy machine may add before it is read and written down; receipts come much
/// later.
const ANSWERED_WITHIN_MS: f64 = 500.0;

/// Two carriers, the second one the first one's backup.
fn carriers() -> [Carrier; 2] {
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\n\
                     receipts = { after = '1500ms', failed = 0.02, expired = 0.01, none = 0.002 }";
    let contract = format!("rate = 1000\nwindow = {WINDOW}");
    ["a", "b"].map(|name| Carrier::named(name).behaves(behaviour).contract(&contract))
}

/// What the environment says, or the short form's.
fn setting<T: FromStr + Display>(name: &str, short: T) -> T {
    let said = std::env::var(name).ok().filter(|said| !said.is_empty());
    said.map_or(short, |said| said.parse().unwrap_or_else(|_| panic!("{name}={said} is no such number")))
}

/// The seed of this run, told so that it can be had again.
fn seed() -> u64 {
    let seed = setting("SEED", fastrand::u64(..));
    eprintln!("SEED={seed}");
    seed
}

/// Milliseconds since 1970.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

/// A moment chosen by the dice.
fn moment(dice: &mut fastrand::Rng, ms: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(dice.u64(ms))
}

/// The books as one line.
fn line(verdict: &Verdict) -> String {
    let count = |name: &str| verdict.count(name);
    format!(
        "accepted {} = delivered {} + failed {} + expired {}, lost {}, duplicates {}, refused {}, unknown {}",
        count("accepted"),
        count("delivered"),
        count("failed"),
        count("expired"),
        count("lost"),
        count("duplicates"),
        count("refused"),
        count("unknown")
    )
}

/// A copy may follow only one that a fault may have robbed of its answer: sent while it lasted, or so shortly before that
/// the answer was not written down yet. Faults are from and to, milliseconds since 1970. Gives the copies.
fn every_copy_is_explained(stage: &Stage, carriers: &[&str], faults: &[(f64, f64)]) -> usize {
    let mut copies: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for submit in carriers.iter().flat_map(|carrier| stage.submits(carrier)) {
        let to = submit["destination"].as_str().unwrap().to_owned();
        copies.entry(to).or_default().push(submit["t_ms"].as_f64().unwrap());
    }
    let mut count = 0;
    for (to, mut times) in copies {
        times.sort_by(f64::total_cmp);
        for sent in &times[..times.len() - 1] {
            let robbed = faults.iter().any(|(from, to)| (from - ANSWERED_WITHIN_MS..to + 5.0).contains(sent));
            assert!(robbed, "{to} was sent at {times:?}, faults were at {faults:?}");
            count += 1;
        }
    }
    count
}

/// How often channels were thought ill.
fn false_alarms(metrics: &Metrics) -> f64 {
    let to = |state| metrics.sum("qiao_channel_transitions_total", &[("to", state)]);
    // No sample at all sums up to minus zero.
    0.0 + to("suspect") + to("down")
}

/// The middle and the largest of some times.
fn middle_and_most(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}
