//! Callback endpoints that die: everything is delivered or among the dead, nobody else notices, the disk is bounded.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use conformance::far::Sink;
use conformance::stage::SECRET;
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage, books, ports};
use serde_json::{Value, json};

/// An hour of the default settings in six seconds.
const COMPRESSED: &str = "schedule = ['8ms', '50ms', '200ms', '1s', '3s', '6s']\ngive_up_after = '144s'\n\
                          connect_timeout = '300ms'\ntotal_timeout = '500ms'\ntrial_every = '50ms'\nspill_after = '200ms'";

/// A scene with two applications; the second one's endpoint is the test's to kill.
struct Scene {
    stage: Stage,
    mortal: Sink,
    dir: tempfile::TempDir,
}

impl Scene {
    fn start(callbacks: &str, mortal: &[&str]) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let address = ports::free().to_string();
        let mortal = Sink::start("mortal", dir.path(), SECRET, &[&["--listen", &address], mortal].concat());
        let plan = Plan::of([Carrier::named("a"), Carrier::named("b")]).callbacks(callbacks).other(mortal.address);
        Scene { stage: plan.start(), mortal, dir }
    }

    fn becomes(&mut self, more: &[&str]) {
        self.mortal.becomes("mortal", self.dir.path(), SECRET, more);
    }

    /// How the second application's callbacks stand.
    fn callbacks(&self) -> Value {
        let all = self.stage.order(&["callbacks"]);
        let apps = all["callbacks"].as_array().unwrap();
        apps.iter().find(|app| app["app"] == "other").cloned().unwrap_or_else(|| panic!("{all}"))
    }

    /// Waits until nothing of the second application waits any more.
    #[track_caller]
    fn await_told(&self, within: Duration) {
        until("every event of the mortal endpoint told", within, || {
            let now = self.callbacks();
            (now["in_memory"] == 0 && now["on_disk"] == 0).then_some(())
        });
    }

    /// What the mortal endpoint was called with: every call of it, taken or not.
    fn events(&self) -> Vec<Value> {
        books::of_kind(&self.mortal.log, "event")
    }
}

/// Of the mortal endpoint's events: how many there were, and how many came twice in calls it had taken before.
fn told(events: &[Value]) -> (BTreeSet<String>, usize) {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    let mut calls: BTreeMap<String, String> = BTreeMap::new();
    let (mut taken, mut repeated) = (BTreeSet::new(), 0);
    for event in events {
        let (name, body) = (text(event, "webhook_id"), text(event, "body_hash"));
        let known = calls.entry(name.clone()).or_insert_with(|| body.clone());
        assert_eq!(*known, body, "the body of {name} changed");
        if event["status"] == 204 && !taken.insert(text(event, "event_id")) {
            repeated += 1;
        }
    }
    (taken, repeated)
}

fn accepted(ledger: &Path) -> usize {
    books::of_kind(ledger, "post").iter().filter(|post| post["result"] == "accepted").count()
}

fn octets(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let size = |entry: &std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => octets(&entry.path()),
        // Blocks, not length: files are laid out ahead.
        Ok(about) => std::os::unix::fs::MetadataExt::blocks(&about) * 512,
        Err(_) => 0,
    };
    entries.iter().map(size).sum()
}

/// Milliseconds from the event to the call that brought it, of calls that came in a span.
fn delays(log: &Path, (from, to): (f64, f64)) -> Vec<f64> {
    const DAY: f64 = 86_400_000.0;
    let events = books::of_kind(log, "event");
    let within = events.iter().filter(|event| (from..to).contains(&event["t_ms"].as_f64().unwrap()));
    let mut delays: Vec<f64> = within
        .map(|event| {
            let time = event["time"].as_str().unwrap();
            let number = |range: std::ops::Range<usize>| time[range].parse::<f64>().unwrap();
            let of_day = number(11..13) * 3.6e6 + number(14..16) * 6e4 + number(17..23) * 1e3;
            (event["t_ms"].as_f64().unwrap() - of_day).rem_euclid(DAY)
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    delays
}

fn p99(delays: &[f64]) -> f64 {
    delays.get(delays.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

#[test]
fn an_endpoint_down_for_six_hours_loses_nothing_and_costs_nobody_else() {
    let mut scene = Scene::start(COMPRESSED, &[]);
    let load = ["--rate", "60", "--for", "50s", "--retry-unknown"];
    let (mut shop, mut other) = (scene.stage.load("shop", &load), scene.stage.other_load("other", &load));
    let began = now_ms();
    let_pass(seconds(8));
    let down = now_ms();
    // Refusing, then hanging, then failing: six hours in all.
    scene.mortal.stop();
    let_pass(seconds(12));
    let rests = scene.callbacks();
    assert_eq!(rests["state"], "resting", "{rests}");
    assert!(rests["on_disk"].as_u64() > Some(300), "what cannot go is on disk: {rests}");
    assert!(rests["last_failure"]["what"].as_str().unwrap().contains("refused"), "{rests}");
    let held = scene.stage.gateway.metrics().sum("qiao_messages", &[]);
    assert!(held < 100.0, "{held} messages are kept alive by a dead endpoint");
    scene.becomes(&["--delay", "60s"]);
    let_pass(seconds(6));
    scene.stage.gateway.kill();
    scene.stage.gateway.restart();
    let_pass(seconds(6));
    scene.becomes(&["--fail-rate", "1", "--status", "500"]);
    let_pass(seconds(12));
    let up = now_ms();
    scene.becomes(&[]);
    let summaries = [shop.summary(seconds(60)), other.summary(seconds(60))];
    assert!(summaries.iter().all(|summary| summary["unknown"] == 0), "{summaries:?}");
    scene.stage.await_rest(seconds(40));
    scene.await_told(seconds(60));
    let (dead, disk) = (scene.callbacks()["dead"].clone(), octets(&scene.stage.config().join("data/callbacks")));
    scene.mortal.stop();
    scene.stage.sink.stop();
    let events = scene.events();
    let ((taken, repeated), wanted) = (told(&events), accepted(&other.ledger));
    let tried: BTreeMap<&str, usize> = events.iter().fold(BTreeMap::new(), |mut tried, event| {
        *tried.entry(event["event_id"].as_str().unwrap()).or_default() += 1;
        tried
    });
    let again = tried.values().filter(|calls| **calls > 1).count();
    let calm = delays(&scene.stage.sink.log, (began + 2e3, down));
    let storm = delays(&scene.stage.sink.log, (down, up));
    println!(
        "outage: {wanted} messages, {} delivered, {dead} dead letters, {} lost, {repeated} taken twice, {again} called \
         more than once; {} KiB on disk",
        taken.len(),
        wanted.saturating_sub(taken.len()),
        disk >> 10
    );
    println!("others: p99 {:.1} ms before, {:.1} ms during, the kill included", p99(&calm), p99(&storm));
    assert_eq!((taken.len(), &dead), (wanted, &json!(0)), "every event delivered");
    assert!(again > 50, "letters that failed were called again under their names: {again}");
    // What was under way when the process was killed may have been taken.
    assert!(repeated <= 16 * 100, "{repeated}");
    let shop_told = books::of_kind(&scene.stage.sink.log, "event");
    let shop_told: BTreeSet<&str> = shop_told.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(shop_told.len(), accepted(&shop.ledger), "the healthy endpoint has all of its own");
}

#[test]
fn an_endpoint_that_is_gone_leaves_dead_letters_which_an_operator_sends_again() {
    let mut scene = Scene::start(COMPRESSED, &["--fail-rate", "1", "--status", "410"]);
    let mut load = scene.stage.other_load("other", &["--rate", "50", "--for", "3s"]);
    load.summary(seconds(30));
    scene.stage.await_rest(seconds(30));
    let stands = scene.callbacks();
    assert_eq!((&stands["state"], &stands["on_disk"]), (&json!("disabled"), &json!(0)), "{stands}");
    assert!(stands["dead"].as_u64() > Some(0), "{stands}");
    let calls = scene.events().iter().map(|event| event["webhook_id"].to_string()).collect::<BTreeSet<_>>().len();
    assert!(calls <= 16, "called on after a 410: {calls}");
    scene.stage.gateway.kill();
    scene.stage.gateway.restart();
    assert_eq!(scene.callbacks()["state"], "disabled", "a restart forgets nothing");
    let page = scene.stage.order(&["callbacks", "dead", "other", "--limit", "1"]);
    let letter = &page["letters"][0];
    assert!(letter["failure"].as_str().unwrap().contains("410") || letter["failure"] == "the endpoint is disabled");
    assert_eq!(letter["events"][0]["type"], "message.delivered", "{page}");
    assert!(!page.to_string().contains("+86"), "no content: {page}");
    scene.becomes(&[]);
    scene.stage.order(&["callbacks", "resume", "other"]);
    scene.stage.order(&["callbacks", "resend", "other", "--all"]);
    until("every dead letter delivered", seconds(30), || {
        let now = scene.callbacks();
        (now["dead"] == 0 && now["on_disk"] == 0).then_some(())
    });
    scene.mortal.stop();
    let (taken, _) = told(&scene.events());
    assert_eq!(taken.len(), accepted(&load.ledger));
    until("the gauges to say so", seconds(10), || {
        let metrics = scene.stage.gateway.metrics();
        (metrics.sum("qiao_callback_letters", &[("app", "other")]) == 0.0).then_some(())
    });
}

#[test]
fn a_quota_bounds_the_disk_and_what_it_cost_is_replayed_from_history() {
    let callbacks = format!("{COMPRESSED}\nquota = '1MiB'");
    let mut scene = Scene::start(&callbacks, &["--fail-rate", "1", "--status", "500"]);
    let began = now_ms();
    // Every event costs some 400 octets: more than the quota holds.
    let mut load = scene.stage.other_load("other", &["--rate", "95", "--for", "40s"]);
    load.summary(seconds(120));
    scene.stage.await_rest(seconds(60));
    let stands = scene.callbacks();
    println!("quota: {stands}, {} KiB on disk", octets(&scene.stage.config().join("data/callbacks")) >> 10);
    assert!(stands["octets"].as_u64() <= Some(1 << 20), "{stands}");
    scene.becomes(&[]);
    scene.await_told(seconds(60));
    let wanted = accepted(&load.ledger);
    let dropped = scene.stage.gateway.metrics().sum("qiao_callbacks_total", &[("result", "overflow")]);
    // The sink writes its log a moment after it has answered.
    until("every event delivered or counted as dropped", seconds(10), || {
        let (taken, _) = told(&scene.events());
        (taken.len() + dropped as usize == wanted).then_some(())
    });
    let rfc = |ms: f64| humantime(ms);
    let (from, to) = (rfc(began - 1e3), rfc(now_ms()));
    scene.stage.order(&["callbacks", "replay", "other", "--from", &from, "--to", &to]);
    until("the replay to end", seconds(60), || (scene.callbacks()["replay"]["state"] == "done").then_some(()));
    scene.await_told(seconds(60));
    let replayed = scene.callbacks()["replay"]["events"].as_u64().unwrap() as usize;
    scene.mortal.stop();
    let (taken, repeated) = told(&scene.events());
    println!("replay: {wanted} messages, {dropped} dropped by the quota, {replayed} replayed, {repeated} seen before");
    assert_eq!((taken.len(), replayed), (wanted, wanted), "every event told after all, delivered ones again");
}

/// What an outage costs the others, as exactly as this machine allows: the endpoint dies and comes back, eight times
/// each, and the delays of the healthy one's events in either case are laid side by side.
#[test]
#[ignore = "a measurement: wants a machine of its own and takes three minutes"]
fn measure_what_an_outage_costs_the_others() {
    const ROUNDS: usize = 8;
    let mut scene = Scene::start(COMPRESSED, &[]);
    let length = ["--for", "180s", "--retry-unknown"];
    let shop = scene.stage.load("shop", &[&["--rate", "200"], &length[..]].concat());
    let other = scene.stage.other_load("other", &[&["--rate", "80"], &length[..]].concat());
    let (mut calm, mut storm) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let_pass(seconds(2));
        let began = now_ms();
        let_pass(seconds(8));
        calm.push((began, now_ms()));
        match round % 3 {
            0 => scene.mortal.stop(),
            1 => scene.becomes(&["--delay", "60s"]),
            _ => scene.becomes(&["--fail-rate", "1", "--status", "500"]),
        }
        let_pass(seconds(2));
        let began = now_ms();
        let_pass(seconds(8));
        storm.push((began, now_ms()));
        scene.becomes(&[]);
    }
    drop((shop, other));
    scene.stage.sink.stop();
    let all = |spans: &[(f64, f64)]| {
        let mut all: Vec<f64> = spans.iter().flat_map(|span| delays(&scene.stage.sink.log, *span)).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (calm, storm) = (all(&calm), all(&storm));
    let median = |delays: &[f64]| delays[delays.len() / 2];
    println!(
        "others: {} events, p50 {:.2} ms, p99 {:.2} ms; during outages {} events, p50 {:.2} ms, p99 {:.2} ms: {:+.1} %",
        calm.len(),
        median(&calm),
        p99(&calm),
        storm.len(),
        median(&storm),
        p99(&storm),
        (p99(&storm) / p99(&calm) - 1.0) * 100.0
    );
}

/// RFC 3339 in UTC, by the system's own calendar.
fn humantime(ms: f64) -> String {
    let at = format!("@{:.3}", ms / 1e3);
    let said = std::process::Command::new("date").args(["-u", "-d", &at, "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
