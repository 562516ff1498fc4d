//! The wall clock jumps by an hour and by a day, both ways, once while events wait for their endpoint, and once the
//! gateway dies meanwhile: nothing expires, no carrier is blamed, ids stay unique.

use std::collections::BTreeSet;

use conformance::gateway::Launch;
use conformance::shims::FalseClock;
use conformance::stage::SECRET;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage, books};

use super::{WINDOW, false_alarms, line, setting};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The endpoint believes any time.
const DOUBTLESS: [&str; 2] = ["--tolerance", "72h"];
/// Where the clock stands, one after the other.
const JUMPS: [i64; 9] = [HOUR, 0, -HOUR, 0, DAY, 0, -DAY, DAY, 0];

#[test]
fn a_clock_that_jumps_expires_nothing_and_blames_nobody() {
    let (dir, rounds) = (tempfile::tempdir().unwrap(), setting("ENDURE_JUMPS", 1));
    let Some(clock) = FalseClock::new("a clock that jumps", dir.path()) else { return };
    let launch = Launch { environment: clock.environment(), ..Launch::default() };
    // Whoever gets callbacks of a gateway whose clock is wrong may doubt them: not what this is about.
    let behaviour = "answer_latency = { median_ms = 20, p99_ms = 60 }\nreceipts = { after = '1500ms' }";
    let contract = format!("rate = 1000\nwindow = {WINDOW}");
    let carriers = ["a", "b"].map(|name| Carrier::named(name).behaves(behaviour).contract(&contract));
    let callbacks = "schedule = ['200ms', '500ms']\ntrial_every = '300ms'\nspill_after = '200ms'";
    let plan = Plan::of(carriers).receipt_wait("5s").launch(launch).sink(&DOUBTLESS).callbacks(callbacks);
    let mut stage = plan.start();
    let mut load = stage.load("load", &["--rate", "150", "--for", "10h", "--retry-unknown"]);
    let_pass(seconds(1));
    let mut dead = 0;
    let mut alarms = 0.0;
    for _ in 0..rounds {
        for offset in JUMPS {
            clock.set(offset);
            let_pass(seconds(1));
        }
        // Events wait for an endpoint that takes none; by the clock, for longer than they are to, and until tomorrow.
        sink(&mut stage, &["--fail-rate", "1"]);
        for offset in [0, DAY, 0, -DAY, 0] {
            clock.set(offset);
            let_pass(seconds(1) / 2);
        }
        sink(&mut stage, &[]);
        await_told(&stage);
        // The next life begins an hour before the last one: its ids are above all the same.
        clock.set(-HOUR);
        let_pass(seconds(1) / 2);
        alarms += false_alarms(&stage.gateway.metrics());
        stage.gateway.kill();
        dead += 1;
        clock.set(-2 * HOUR);
        stage.gateway.restart();
        let_pass(seconds(2));
        clock.set(0);
        let_pass(seconds(1));
    }
    load.stop(seconds(60));
    let summary = load.summary(seconds(1));
    stage.await_rest(seconds(60));
    await_told(&stage);
    let told = stage.gateway.log().matches("the wall clock has jumped").count();
    alarms += false_alarms(&stage.gateway.metrics());
    let ids: Vec<String> = ids(&load.ledger);
    let different: BTreeSet<&String> = ids.iter().collect();
    let most = (dead * 2 * WINDOW).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    println!(
        "clock jumps x {}: {}; {} ids, {} different, {told} jumps told, false alarms {alarms}",
        rounds * JUMPS.len() as u64,
        line(&verdict),
        ids.len(),
        different.len()
    );
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("accepted"), verdict.count("delivered"), "{:#}", verdict.report);
    assert_eq!(ids.len(), different.len());
    assert!(told as u64 >= rounds * JUMPS.len() as u64, "{told}");
    assert_eq!((&summary["unknown"], alarms), (&0.into(), 0.0), "{summary}");
}

fn sink(stage: &mut Stage, more: &[&str]) {
    let logs = stage.logs().to_owned();
    stage.sink.becomes("callbacks", &logs, SECRET, &[&DOUBTLESS, more].concat());
}

/// Waits until no event waits on disk.
#[track_caller]
fn await_told(stage: &Stage) {
    until("every event to be told", seconds(20), || {
        let callbacks = stage.order(&["callbacks"])["callbacks"].clone();
        let shop = callbacks.as_array().unwrap().iter().find(|app| app["app"] == "shop").unwrap();
        assert_eq!(shop["dead"], 0, "{shop}");
        (shop["on_disk"] == 0).then_some(())
    });
}

fn ids(ledger: &std::path::Path) -> Vec<String> {
    let posts = books::of_kind(ledger, "post").into_iter().filter(|post| post["result"] == "accepted");
    posts.map(|post| post["id"].as_str().unwrap().to_owned()).collect()
}
