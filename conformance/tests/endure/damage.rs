//! A journal as the gateway left it when it was killed, cut off at every octet of its last records, and with bits flipped
//! anywhere (`ENDURE_DAMAGE` of either): it starts, and misses no more than what was damaged.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::stage::SOON;
use conformance::wait::until;
use conformance::{Carrier, Plan, Stage};
use serde_json::json;

use super::{seed, setting};

/// Octets of a file before its records, and of a record's head.
const HEADER: u64 = 4_096;
const HEAD: u64 = 16;

/// The segments of a journal with the end of what is written in each, in their order.
fn segments(journal: &Path) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(journal).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "segment")).collect();
    segments.sort();
    let end = |octets: Vec<u8>| octets.iter().rposition(|octet| *octet != 0).map_or(0, |at| at as u64 + 1);
    segments
        .into_iter()
        .map(|file| (file.clone(), end(fs::read(file).unwrap())))
        .filter(|(_, end)| *end > HEADER)
        .collect()
}

/// Messages of every kind and at every stage of their way; those that are not over yet.
fn live(stage: &mut Stage) -> BTreeSet<String> {
    let mut ids: Vec<String> = (0..10).map(|n| stage.send(&format!("+861380011{n:04}"), "otp")).collect();
    ids.push(stage.post(&json!({ "to": "+8613800120000", "text": "桥".repeat(200), "tier": "notice" })));
    until("all to be submitted", SOON, || (stage.submits("a").len() >= 13).then_some(()));
    // Over at once, with their receipts.
    for n in 0..5 {
        let id = stage.send(&format!("+861390011{n:04}"), "otp");
        assert_eq!(stage.told(&id)["type"], "message.delivered");
    }
    stage.simulator.uplink("a", "8613800130000", "10690001", "hello");
    stage.simulator.uplink("a", "8613800130001", "10690009", "nobody's");
    until("uplinks to be taken", SOON, || (stage.simulator.counter("a", "mo_acked") >= 2).then_some(()));
    stage.hold("a", true);
    let bearer = format!("Bearer {}", conformance::stage::KEY);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let items: Vec<_> = (0..10).map(|n| json!({ "to": format!("+861380015{n:04}"), "text": "hello" })).collect();
    let batch =
        stage.gateway.call("POST", "/v1/batches", &headers, json!({ "messages": items }).to_string().as_bytes());
    assert_eq!(batch.status, 202, "{}", batch.text());
    let batch = batch.json();
    ids.extend(batch["messages"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
    // After a batch, which is in the journal whole or not at all.
    ids.extend((0..20).map(|n| stage.send(&format!("+861380014{n:04}"), "marketing")));
    ids.into_iter().collect()
}

/// Starts it on what is there: how many of the messages it does not know.
fn missing(stage: &mut Stage, ids: &BTreeSet<String>) -> usize {
    stage.gateway.restart();
    let missing = ids.iter().filter(|id| stage.story(id).status != 200).count();
    assert!(stage.gateway.process().ended().is_none());
    stage.gateway.kill();
    missing
}

/// Puts the data directory back as it was.
fn again(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()));
}

#[test]
fn a_damaged_journal_misses_only_what_was_damaged() {
    let (most, seed) = (setting("ENDURE_DAMAGE", 12u64), seed());
    let mut dice = fastrand::Rng::with_seed(seed);
    // Nobody says what became of most of them, so that they stay in the journal.
    let tiers =
        ["otp", "notice", "marketing"].map(|name| format!("[[tier]]\nname = '{name}'\nvalidity = '1h'\n")).concat();
    let carriers = [
        Carrier::named("a").behaves("receipts = { none = 1.0 }"),
        Carrier::named("b").behaves("receipts = { after = '10ms' }").prefix("+86139"),
    ];
    let mut stage = Plan::of(carriers).tiers(&tiers).numbers("shop", &["10690001"]).start();
    let ids = live(&mut stage);
    stage.gateway.kill();
    stage.simulator.stop();
    stage.sink.stop();
    let (data, whole) = (stage.data(), stage.data().with_file_name("whole"));
    assert!(Command::new("cp").arg("-a").arg(&data).arg(&whole).status().unwrap().success());
    assert_eq!(missing(&mut stage, &ids), 0, "as it was left");

    // Cut off at an octet: what follows was never written.
    let (last, end) = segments(&whole.join("journal")).pop().unwrap();
    let name = last.file_name().unwrap();
    let (mut cuts, mut lost) = (0, 0);
    for cut in (end.saturating_sub(most).max(HEADER)..end).rev() {
        again(&whole, &data);
        let file = OpenOptions::new().write(true).open(data.join("journal").join(name)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(cut).unwrap();
        if dice.bool() {
            file.set_len(length).unwrap();
        }
        let missing = missing(&mut stage, &ids) as u64;
        assert!(missing <= 1 + (end - cut) / HEAD, "{missing} of them after {} octets less", end - cut);
        (cuts, lost) = (cuts + 1, lost.max(missing));
    }

    // A bit flipped anywhere.
    let all = segments(&whole.join("journal"));
    let (mut flips, mut told) = (0, 0);
    for _ in 0..most {
        again(&whole, &data);
        let (file, end) = &all[dice.usize(..all.len())];
        let (at, bit) = (dice.u64(0..*end), dice.u8(0..8));
        let file = OpenOptions::new().read(true).write(true).open(data.join("journal").join(file.file_name().unwrap()));
        let (file, mut octet) = (file.unwrap(), [0]);
        file.read_exact_at(&mut octet, at).unwrap();
        file.write_all_at(&[octet[0] ^ 1 << bit], at).unwrap();
        let before = stage.gateway.log().matches("damaged records were set aside").count();
        let missing = missing(&mut stage, &ids);
        assert!(missing <= 1, "{missing} of them by one bit at {at}");
        let after = stage.gateway.log().matches("damaged records were set aside").count();
        assert!(missing == 0 || after > before, "damage that cost a message at {at} was not told");
        (flips, told) = (flips + 1, told + after - before);
    }
    let log = stage.gateway.log();
    assert!(!log.contains("panic"), "{log}");
    println!(
        "damaged journal of {} live messages: cut at {cuts} octets, at most {lost} missing; {flips} bits flipped, each \
         missing at most one, {told} told",
        ids.len()
    );
}
