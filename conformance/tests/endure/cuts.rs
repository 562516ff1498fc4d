//! Power cuts under load, again and again (`ENDURE_CUTS`): journal and store lie on a disk of their own; it is cut off at
//! any moment, copied while the gateway goes on writing, and the gateway is started again on the copy.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use conformance::disk::Disk;
use conformance::wait::{let_pass, seconds};
use conformance::{Plan, Stage};

use super::{WINDOW, carriers, every_copy_is_explained, line, middle_and_most, moment, now_ms, seed, setting};

/// Messages a second.
const RATE: u64 = 200;

#[test]
fn after_a_power_cut_at_any_moment_everything_promised_is_there() {
    let (rounds, seed) = (setting("ENDURE_CUTS", 4), seed());
    let Some(mut disk) = Disk::of("power cuts", 256) else { return };
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut stage = Plan::of(carriers()).seed(seed).receipt_wait("2s").data(&disk.path().join("data")).start();
    let args = ["--rate", &RATE.to_string(), "--for", "10h", "--retry-unknown", "--seed", &seed.to_string()];
    let mut load = stage.load("load", &args);
    let (mut cuts, mut restarts, mut unsynced) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let_pass(moment(&mut dice, 300..2_000));
        let canary = disk.path().join(format!("canary-{round}"));
        File::create(&canary).unwrap().write_all(b"not synced").unwrap();
        let began = now_ms();
        disk.cut();
        // A moment on a disk that is dead: what is promised now would be a lie.
        let_pass(moment(&mut dice, 0..200));
        stage.gateway.kill();
        cuts.push((began, now_ms()));
        disk.restore();
        unsynced += u64::from(!std::fs::read(&canary).is_ok_and(|octets| octets == b"not synced"));
        let began = Instant::now();
        stage.gateway.restart();
        restarts.push(began.elapsed());
        assert!(!aside(&stage), "{}", stage.gateway.log());
    }
    let_pass(seconds(3));
    load.stop(seconds(60));
    let summary = load.summary(seconds(1));
    assert_eq!(summary["unknown"], 0, "{summary}");
    assert!(summary["accepted"].as_u64() >= Some(100 * rounds), "{summary}");
    stage.await_rest(seconds(60));
    let copies = every_copy_is_explained(&stage, &["a", "b"], &cuts);
    // What was on the wire, and what went out and was answered since the last sync.
    let most = (rounds * (2 * WINDOW + RATE / 4)).to_string();
    let verdict = stage.close_books(&[&load], &["--max-duplicates", &most]);
    let (middle, longest) = middle_and_most(restarts);
    println!("power cut x {rounds}: {}, copies {copies} all explained", line(&verdict));
    println!(
        "power cut x {rounds}: from start to serving p50 {middle:.0?}, longest {longest:.0?}; {unsynced} of {rounds} \
         files that were not synced were lost"
    );
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!(verdict.count("pending"), 0);
    assert!(unsynced * 2 > rounds, "the cut took nothing: it proves nothing");
    drop(stage);
}

/// Whether a database was found damaged: none may be by a power cut.
fn aside(stage: &Stage) -> bool {
    ["store.damaged", "callbacks.damaged"].iter().any(|name| stage.data().join(name).exists())
}
