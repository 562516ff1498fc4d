//! Everything that happens in a bad day, in minutes (`ENDURE_MINUTES`, something each `ENDURE_PAUSE` seconds): links
//! break, carriers hang, refuse and throttle, the configuration changes, endpoints fail, the process is paused, under
//! load all the while. Memory and descriptors are read at each step and must not grow with what has passed.

use std::time::{Duration, Instant};

use conformance::stage::SECRET;
use conformance::wait::{let_pass, seconds};
use conformance::{Carrier, Plan, Protocol, Stage};
use serde_json::json;

use super::{line, moment, seed, setting};

const CARRIERS: [&str; 3] = ["a", "b", "c"];
/// What is wrong with a carrier for a while, and for how long.
const FAULTS: [(&str, &str); 11] = [
    ("reset", "10ms"),
    ("refuse", "700ms"),
    ("hang", "800ms"),
    ("mute", "800ms"),
    ("pings_only", "800ms"),
    ("slow", "500ms"),
    ("errors", "500ms"),
    ("throttle", "300ms"),
    ("duplicate_receipts", "2s"),
    ("split_bytes", "2s"),
    ("close_after", "300ms"),
];
/// What a run may gain in memory from its second third on, in MiB: what is written last stays in the databases' tables
/// and caches, 48 MiB when they are full, and allocators keep what they had.
const GAIN: f64 = 50.0;
/// Descriptors more at the end than at one third of the run. What has files comes to have more of them, up to a bound:
/// the journal's segments and spares, seven sorted runs for each eightfold of a day's messages, a day's records. And
/// connections come and go. A leak with each fault would be beyond this in a soak of half an hour.
const MORE_DESCRIPTORS: f64 = 24.0;

/// One reading.
struct Reading {
    hours: f64,
    mib: f64,
    descriptors: f64,
}

fn stage(seed: u64) -> Stage {
    let behaviour = "answer_latency = { median_ms = 10, p99_ms = 40 }\n\
                     receipts = { after = '400ms', failed = 0.01, expired = 0.005 }";
    let carriers = CARRIERS.map(|name| {
        let carrier = Carrier::named(name).behaves(behaviour).contract("rate = 1000\nwindow = 50");
        if name == "c" { carrier.speaks(Protocol::Cmpp30) } else { carrier }
    });
    Plan::of(carriers)
        .seed(seed)
        .receipt_wait("5s")
        .callbacks("schedule = ['100ms', '500ms', '2s']\ntrial_every = '300ms'")
        .start()
}

/// Something happens.
fn happening(stage: &mut Stage, dice: &mut fastrand::Rng, turn: usize) {
    match dice.u32(0..20) {
        0 | 1 => reload(stage, turn),
        2 => {
            let process = stage.gateway.process();
            process.signal("STOP");
            let_pass(moment(dice, 20..400));
            process.signal("CONT");
        }
        3 => {
            let channel = CARRIERS[dice.usize(..CARRIERS.len())];
            stage.hold(channel, true);
            let_pass(moment(dice, 100..500));
            stage.hold(channel, false);
        }
        4 | 5 => {
            let status = ["500", "404", "503"][dice.usize(..3)];
            sink(stage, &["--fail-rate", "1", "--status", status]);
            let_pass(moment(dice, 100..1_000));
            sink(stage, &[]);
        }
        6 => {
            // Connections that do nothing, and one that says nonsense.
            let address = stage.gateway.http;
            let idle: Vec<_> = (0..50).filter_map(|_| conformance::http::connect(address).ok()).collect();
            let _ = conformance::http::call(address, "POST", "/v1/messages", &[], b"{");
            let_pass(moment(dice, 10..300));
            drop(idle);
        }
        _ => {
            let (kind, lasts) = FAULTS[dice.usize(..FAULTS.len())];
            let mut fault = json!({ "kind": kind, "for": lasts });
            if kind == "errors" {
                fault["share"] = json!(0.3);
            }
            if kind == "slow" {
                fault["latency"] = json!("300ms");
            }
            stage.simulator.fault(CARRIERS[dice.usize(..CARRIERS.len())], fault);
        }
    }
}

fn sink(stage: &mut Stage, more: &[&str]) {
    let logs = stage.logs().to_owned();
    stage.sink.becomes("callbacks", &logs, SECRET, more);
}

/// The contract of every channel changes a little.
fn reload(stage: &Stage, turn: usize) {
    let file = stage.config().join("line.toml");
    let (here, next) = if turn.is_multiple_of(2) { ("1000", "900") } else { ("900", "1000") };
    let text =
        std::fs::read_to_string(&file).unwrap().replace(&format!("rate = {here}\n"), &format!("rate = {next}\n"));
    let new = stage.config().join(".line.toml");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, &file).unwrap();
    stage.order(&["reload"]);
}

/// Least squares: what a value gains in an hour.
fn slope(readings: &[Reading], value: impl Fn(&Reading) -> f64) -> f64 {
    let n = readings.len() as f64;
    let mean = |of: &dyn Fn(&Reading) -> f64| readings.iter().map(of).sum::<f64>() / n;
    let (hours, values) = (mean(&|reading| reading.hours), mean(&value));
    let shared: f64 = readings.iter().map(|one| (one.hours - hours) * (value(one) - values)).sum();
    let spread: f64 = readings.iter().map(|one| (one.hours - hours).powi(2)).sum();
    if spread > 0.0 { shared / spread } else { 0.0 }
}

#[test]
fn a_bad_day_leaves_nothing_behind() {
    let (minutes, rate, seed) = (setting("ENDURE_MINUTES", 0.35), setting("ENDURE_RATE", 100u32), seed());
    let lasts = Duration::from_secs_f64(minutes * 60.0);
    let longest_pause_ms = (setting("ENDURE_PAUSE", 0.5) * 1_800.0) as u64;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut stage = stage(seed);
    let args = ["--rate", &rate.to_string(), "--for", "100h", "--seed", &seed.to_string()];
    let mut load = stage.load("load", &args);
    let_pass(seconds(2));
    let pid = stage.gateway.process().pid();
    let rest = stage.gateway.process().descriptors();
    let (began, mut readings, mut turn) = (Instant::now(), Vec::new(), 0);
    while began.elapsed() < lasts {
        happening(&mut stage, &mut dice, turn);
        turn += 1;
        let_pass(moment(&mut dice, longest_pause_ms / 9..longest_pause_ms.max(1)));
        let process = stage.gateway.process();
        let (resident, descriptors) = (process.resident(), process.descriptors());
        let mib = resident as f64 / f64::from(1 << 20);
        readings.push(Reading { hours: began.elapsed().as_secs_f64() / 3_600.0, mib, descriptors: descriptors as f64 });
    }
    CARRIERS.iter().for_each(|carrier| stage.simulator.mend(carrier));
    let_pass(seconds(3));
    let left = stage.gateway.process().descriptors();
    load.stop(seconds(90));
    let summary = load.summary(seconds(1));
    stage.await_rest(seconds(60));
    let idle = stage.gateway.process().resident() as f64 / f64::from(1 << 20);
    let metrics = stage.gateway.metrics();
    let resubmitted = metrics.sum("qiao_in_doubt_resubmitted_total", &[]).to_string();
    assert_eq!(stage.gateway.process().pid(), pid);
    let judged = &readings[readings.len() / 3..];
    let (memory, descriptors) = (slope(judged, |one| one.mib), slope(judged, |one| one.descriptors));
    let (first, last) = (&judged[0], &judged[judged.len() - 1]);
    let judged_hours = last.hours - first.hours;
    let (gained, opened) = (memory * judged_hours, descriptors * judged_hours);
    let log = stage.gateway.log();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &resubmitted]);
    println!("soak of {minutes} min at {rate}/s, {turn} faults: {}, resubmitted {resubmitted}", line(&verdict));
    println!(
        "soak: memory {:.1} MiB, {:.1} at the end, {idle:.1} with nothing left, {memory:+.1} MiB/h; descriptors {rest} \
         before, {left} after, {descriptors:+.1}/h; {} KiB of log",
        first.mib,
        last.mib,
        log.len() >> 10
    );
    let tenths = (0..10).filter_map(|tenth| readings.get(tenth * readings.len() / 10)).chain(readings.last());
    println!("soak: MiB by tenths: {}", tenths.map(|one| format!("{:.1}", one.mib)).collect::<Vec<_>>().join(" "));
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((&summary["unknown"], verdict.count("pending")), (&0.into(), 0), "{summary}");
    assert!(!log.contains("internal error"), "{log}");
    assert!(gained < GAIN, "{gained:.1} MiB more");
    assert!(opened < MORE_DESCRIPTORS, "{opened:.0} descriptors more: {rest} before, {left} after");
}
