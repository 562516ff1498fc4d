//! The disk runs full, once by our own doing and once by a stranger's: the lowest tier is refused first, what carriers
//! say is still written down, and service comes back by itself.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use conformance::disk::Disk;
use conformance::far::Load;
use conformance::stage::SOON;
use conformance::wait::{found, seconds, until};
use conformance::{Carrier, Plan, Stage, books};
use serde_json::json;

use super::line;

/// Waiting messages soon grow too old, so that the journal can shrink.
const TIERS: &str = "[[tier]]\nname = 'otp'\nvalidity = '15s'\n[[tier]]\nname = 'notice'\nvalidity = '15s'\n\
                     [[tier]]\nname = 'marketing'\nvalidity = '15s'\n";
const ALL: [&str; 3] = ["marketing", "notice", "otp"];
/// Octets left to the gateway.
const LEFT: u64 = 24 << 20;
/// What handsets write while nothing is left, and where to.
const UPLINKS: usize = 20;
const NUMBER: &str = "10690001";

/// Zeros in a file until so many octets are free; none is as few as possible.
fn fill(dir: &Path, name: &str, left: Option<u64>) {
    let mut file = File::create(dir.join(name)).unwrap();
    let free = || {
        let said = std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(dir).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.lines().nth(1).unwrap().trim().parse::<u64>().unwrap()
    };
    match left {
        Some(left) => {
            let mut missing = free().saturating_sub(left);
            while missing > 0 {
                let piece = missing.min(1 << 20);
                file.write_all(&vec![0; piece as usize]).unwrap();
                missing -= piece;
            }
        }
        // What others free meanwhile is taken as well.
        None => {
            for piece in [1 << 20, 4_096, 1] {
                while file.write_all(&vec![0; piece]).is_ok() {}
            }
        }
    }
    // What the kernel promised but cannot keep says so here.
    let _ = file.sync_all();
}

/// What the gateway says to a post of that tier.
fn status(stage: &Stage, posted: &mut Vec<String>, tier: &str) -> u16 {
    let answer = stage.post_with(&json!({ "to": "+8613800138000", "text": "hello", "tier": tier }), &[]);
    match answer.status {
        202 => posted.push(answer.json()["id"].as_str().unwrap().to_owned()),
        503 => {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=900).contains(&wait), "{wait}");
        }
        other => panic!("{other}: {}", answer.text()),
    }
    answer.status
}

/// Posts of one tier until some are refused.
fn until_refused(stage: &Stage, posted: &mut Vec<String>, tier: &str, prefix: &str) -> Load {
    let text = "桥".repeat(600);
    let tiers = format!("{tier}=1");
    let args = ["--rate", "600", "--for", "60s", "--tiers", &tiers, "--text", &text, "--to-prefix", prefix];
    let mut load = stage.load(tier, &args);
    until(&format!("{tier} to be refused"), seconds(40), || {
        assert!(load.runs(), "all of it was taken");
        (status(stage, posted, tier) == 503).then_some(())
    });
    load.stop(SOON);
    load
}

#[test]
fn a_full_disk_refuses_lower_tiers_first_and_loses_nothing() {
    let Some(disk) = Disk::of("a full disk", 96) else { return };
    // The budget is more than the disk has.
    let journal = "segment_bytes = '1MiB'\nmax_bytes = '256MiB'";
    let carrier = Carrier::named("a").behaves("receipts = { after = '8s' }");
    let plan = Plan::of([carrier]).tiers(TIERS).journal(journal).receipt_wait("10s").numbers("shop", &[NUMBER]);
    let mut stage = plan.data(&disk.path().join("data")).start();
    let pid = stage.gateway.process().pid();
    fill(&disk.path(), "ballast", Some(LEFT));
    let mut posted = Vec::new();

    // By our own doing: nothing leaves, so that the journal grows.
    let early: Vec<String> = (0..50).map(|n| stage.send(&format!("+86138001370{n:02}"), "otp")).collect();
    until("the early ones to be submitted", SOON, || (stage.submits("a").len() >= 50).then_some(()));
    stage.hold("a", true);
    let mut loads = vec![until_refused(&stage, &mut posted, "marketing", "+8613801")];
    assert_eq!(status(&stage, &mut posted, "notice"), 202, "marketing is refused first");
    loads.push(until_refused(&stage, &mut posted, "notice", "+8613802"));
    assert_eq!(["marketing", "otp"].map(|tier| status(&stage, &mut posted, tier)), [503, 202], "then notice");
    loads.push(until_refused(&stage, &mut posted, "otp", "+8613803"));
    assert_eq!(ALL.map(|tier| status(&stage, &mut posted, tier)), [503; 3], "codes last");

    // By a stranger's: not an octet is left.
    fill(&disk.path(), "stranger", None);
    let full = std::time::Instant::now();
    assert_eq!(ALL.map(|tier| status(&stage, &mut posted, tier)), [503; 3]);
    for id in &early {
        let event = stage.told(id);
        assert_eq!(event["type"], "message.delivered", "receipts are taken all the while: {event}");
    }
    for n in 0..UPLINKS {
        stage.simulator.uplink("a", &format!("86138001390{n:02}"), NUMBER, "are you there?");
    }
    let taken = || stage.simulator.counter("a", "mo_acked") as usize == UPLINKS;
    until("what handsets say to be taken", SOON, || taken().then_some(()));
    let told = || books::of_kind(&stage.sink.log, "event").iter().filter(|e| e["type"] == "message.received").count();
    until("what handsets say to be told", SOON, || (told() == UPLINKS).then_some(()));
    let full_for = full.elapsed();

    // There is room again, and what waited has grown too old.
    std::fs::remove_file(disk.path().join("stranger")).unwrap();
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    let began = std::time::Instant::now();
    stage.hold("a", false);
    for tier in ["otp", "notice", "marketing"] {
        let back = found(seconds(40), || (status(&stage, &mut posted, tier) == 202).then_some(()));
        assert!(back.is_some(), "{tier} is never taken again:\n{}", stage.gateway.metrics().text());
    }
    let back = began.elapsed();
    let last: Vec<String> = ALL.iter().map(|tier| stage.send("+8613800136000", tier)).collect();
    for id in &last {
        assert_eq!(stage.told(id)["type"], "message.delivered");
    }
    stage.await_rest(seconds(60));
    for id in posted.iter().chain(&early).chain(&last) {
        assert_eq!(stage.events(id).len(), 1, "{id} has one end");
    }
    assert_eq!(stage.gateway.process().pid(), pid, "without a restart");
    let log = stage.gateway.log();
    assert!(!log.contains("panic") && !stage.data().join("store.damaged").exists(), "{log}");
    let verdict = stage.ledger(&loads.iter().collect::<Vec<_>>(), &["--max-duplicates", "0"]);
    println!(
        "full disk: {}; every tier taken again {back:.1?} after there was room (full for {full_for:.1?})",
        line(&verdict)
    );
    // The books know nothing of what the test itself has posted.
    let findings = verdict.report["findings"].as_object().unwrap();
    assert!(findings.keys().all(|finding| finding == "never_posted"), "{:#}", verdict.report);
}
