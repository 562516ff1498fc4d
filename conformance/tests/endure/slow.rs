//! A disk whose syncs take from a tenth of a second to two seconds, and now and then fail: what is promised is kept, the
//! first tier gets its answers, and no carrier is blamed.

use std::path::Path;

use conformance::gateway::Launch;
use conformance::wait::{let_pass, seconds};
use conformance::{Plan, Stage, shims};

use super::{carriers, false_alarms, line, setting};

/// Milliseconds that a sync takes, and how many of a thousand fail.
const SLOW: &str = "100 2000 0";
const SLOW_AND_FAILING: &str = "100 600 200";
const WELL: &str = "0 0 0";
/// A message waits for the sync that is under way and for its own; then there is the machine.
const ANSWERED_WITHIN: f64 = 4_500.0;

/// A stage whose syncs are as the file says.
fn start(test: &str, file: &Path) -> Option<Stage> {
    let library = shims::library(test, "stall")?.to_string_lossy().into_owned();
    std::fs::write(file, WELL).unwrap();
    let environment = vec![("LD_PRELOAD".to_owned(), library), ("STALL".to_owned(), file.display().to_string())];
    let launch = Launch { environment, ..Launch::default() };
    Some(Plan::of(carriers()).receipt_wait("2s").launch(launch).start())
}

#[test]
fn a_slow_disk_delays_answers_and_nothing_else() {
    let (dir, lasts) = (tempfile::tempdir().unwrap(), setting("ENDURE_SLOW_SECONDS", 12u32));
    let file = dir.path().join("stall");
    let Some(mut stage) = start("a slow disk", &file) else { return };
    let lasts = format!("{lasts}s");
    let load = |stage: &Stage, name: &str, rate: &str, tiers: &str, prefix: &str| {
        let paced = ["--rate", rate, "--for", &lasts, "--connections", "500"];
        stage.load(name, &[&paced[..], &["--tiers", tiers, "--to-prefix", prefix]].concat())
    };
    std::fs::write(&file, SLOW).unwrap();
    let mut otp = load(&stage, "otp", "20", "otp=1", "+8613801");
    let mut rest = load(&stage, "rest", "100", "notice=1,marketing=3", "+8613802");
    let summaries = [&mut otp, &mut rest].map(|load| load.summary(seconds(600)));
    let metrics = stage.gateway.metrics();
    let stalls = metrics.sum("qiao_journal_commit_seconds_sum", &[]);
    assert!(stalls > 3.0, "the disk was not slow: it proves nothing");
    std::fs::write(&file, WELL).unwrap();
    stage.await_rest(seconds(40));
    let alarms = false_alarms(&stage.gateway.metrics());
    let verdict = stage.close_books(&[&otp, &rest], &["--max-duplicates", "0"]);
    let times = summaries.each_ref().map(|summary| ["p50_ms", "p99_ms"].map(|name| summary[name].as_f64().unwrap()));
    let [[otp, otp_99], [rest, rest_99]] = times;
    println!(
        "slow disk: {}; answered after p50/p99: otp {otp:.0}/{otp_99:.0} ms, the rest {rest:.0}/{rest_99:.0} ms; false \
         alarms {alarms}",
        line(&verdict)
    );
    assert!(verdict.holds, "{:#}", verdict.report);
    assert!(otp_99 < ANSWERED_WITHIN && rest_99 < ANSWERED_WITHIN, "answered after {otp_99} and {rest_99} ms");
    let refused: u64 = summaries.iter().map(|summary| summary["refused"].as_u64().unwrap()).sum();
    let unknown: u64 = summaries.iter().map(|summary| summary["unknown"].as_u64().unwrap()).sum();
    assert_eq!((refused, unknown, alarms), (0, 0, 0.0));
}

#[test]
fn syncs_that_fail_are_told_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stall");
    let Some(mut stage) = start("syncs that fail", &file) else { return };
    let lasts = format!("{}s", setting("ENDURE_SLOW_SECONDS", 10u32));
    let args = ["--rate", "100", "--for", &lasts, "--connections", "500", "--retry-unknown", "--retry-busy"];
    let mut load = stage.load("load", &args);
    for stall in [SLOW_AND_FAILING, WELL, SLOW_AND_FAILING, WELL] {
        std::fs::write(&file, stall).unwrap();
        let_pass(seconds(2));
    }
    let summary = load.summary(seconds(600));
    stage.await_rest(seconds(60));
    let metrics = stage.gateway.metrics();
    let (alarms, failures) = (false_alarms(&metrics), metrics.sum("qiao_journal_failures_total", &[]));
    let verdict = stage.close_books(&[&load], &["--max-duplicates", "0"]);
    println!("failing syncs: {}; {failures} failed, false alarms {alarms}", line(&verdict));
    assert!(failures > 0.0, "no sync failed: it proves nothing");
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((&summary["unknown"], alarms), (&0.into(), 0.0), "{summary}");
    assert!(!stage.gateway.log().contains("panic"), "{}", stage.gateway.log());
}
