//! The configuration changes while traffic runs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use conformance::far::Load;
use conformance::http::{self, Answer};
use conformance::stage::{KEY, OTHER_KEY, PASSWORD, SECRET, SOON};
use conformance::wait::{let_pass, seconds, until};
use conformance::{Carrier, Plan, Stage};
use serde_json::{Value, json};

const TO: &str = "+8613800138000";
/// A second key and a second secret, to be rotated in and out.
const NEXT_KEY: &str = "canary-next-key-91c4e7a2b8d03f56";
const NEXT_SECRET: &str = "whsec_bmV4dC1jYWxsYmFjay1zZWNyZXQtMDEyMzQ1Njc4OTAxMg==";

/// A `line.toml` in the making.
struct Line<'s> {
    stage: &'s Stage,
    text: String,
}

impl<'s> Line<'s> {
    fn of(stage: &'s Stage) -> Line<'s> {
        Line { stage, text: String::new() }
    }

    /// A channel to the carrier of that name; `more` are further lines of its account.
    fn channel(mut self, name: &str, contract: &str, more: &str) -> Line<'s> {
        let address = self.stage.simulator.carriers[name];
        write!(
            self.text,
            "[[channel]]\nname = '{name}'\ncarrier = 'carrier-{name}'\nprotocol = 'smpp'\n{contract}\n[channel.smpp]\n\
             address = '{address}'\nsystem_id = 'qiao'\npassword = '{PASSWORD}'\nanswer_timeout = '10s'\n{more}\n"
        )
        .unwrap();
        self
    }

    fn group(mut self, name: &str, channels: &[&str]) -> Line<'s> {
        let members: Vec<String> = channels.iter().map(|name| format!("{{ name = '{name}' }}")).collect();
        write!(self.text, "[[group]]\nname = '{name}'\nchannels = [{}]\n", members.join(", ")).unwrap();
        self
    }

    fn route(mut self, name: &str, matches: &str, group: &str) -> Line<'s> {
        write!(self.text, "[[route]]\nname = '{name}'\nmatch = {{ {matches} }}\ngroup = '{group}'\n").unwrap();
        self
    }

    fn app(mut self, id: &str, keys: &[&str], secrets: &[&str]) -> Line<'s> {
        write!(
            self.text,
            "[[app]]\nid = '{id}'\nkeys = {keys:?}\nrate = 100000\n[app.callback]\nurl = 'http://{}/hooks'\n\
             secret = {secrets:?}\nallow_private = ['127.0.0.0/8']\n",
            self.stage.sink.address
        )
        .unwrap();
        self
    }

    /// Takes the place of the file that is there, in one step.
    fn write(&self) {
        let dir = self.stage.config();
        std::fs::write(dir.join(".line.toml"), &self.text).unwrap();
        std::fs::rename(dir.join(".line.toml"), dir.join("line.toml")).unwrap();
    }
}

/// One app, one route to a group of these channels, each with a usual contract.
fn simple<'s>(stage: &'s Stage, channels: &[&str]) -> Line<'s> {
    let line = channels.iter().fold(Line::of(stage), |line, name| line.channel(name, "rate = 2000\nwindow = 50", ""));
    line.group("all", channels).route("everything", "", "all").app("shop", &[KEY], &[SECRET])
}

fn order(stage: &Stage) -> Answer {
    let token = std::fs::read_to_string(stage.config().join("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    http::call(stage.gateway.admin, "POST", "/admin/v1/reload", &[("Authorization", &bearer)], &[]).unwrap()
}

/// Orders a reload that must be taken over, and gives its changes as words.
#[track_caller]
fn reload(stage: &Stage) -> Vec<String> {
    let answer = order(stage);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let word = |change: &Value| {
        let details: Vec<&str> = change["details"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let name = change["name"].as_str().unwrap_or_default();
        format!(
            "{} {name} {} {}",
            change["what"].as_str().unwrap(),
            change["how"].as_str().unwrap(),
            details.join(", ")
        )
    };
    answer.json()["changes"].as_array().unwrap().iter().map(|change| word(change).trim_end().to_owned()).collect()
}

fn hang_up(stage: &mut Stage) {
    let pid = stage.gateway.process().pid();
    assert!(Command::new("sh").arg("-c").arg(format!("kill -HUP {pid}")).status().unwrap().success());
}

fn reloads(stage: &Stage, result: &str) -> f64 {
    stage.gateway.metrics().sum("qiao_config_reloads_total", &[("result", result)])
}

/// A stage whose files are taken over by order only: a changed file must not be quicker than the test.
fn unwatched(carriers: impl IntoIterator<Item = Carrier>) -> Stage {
    let stage = Plan::of(carriers).start();
    let main = stage.config().join("qiao.toml");
    let text = std::fs::read_to_string(&main).unwrap().replace("name = 'test'", "name = 'test'\nwatch = false");
    std::fs::write(&main, text).unwrap();
    until("the files to be left alone", SOON, || {
        let _ = order(&stage);
        stage.gateway.log().contains("[node] watch true").then_some(())
    });
    stage
}

#[track_caller]
fn delivered_by(stage: &Stage, id: &str, carrier: &str) {
    let event = stage.told(id);
    assert_eq!((&event["type"], &event["data"]["carrier"]), (&"message.delivered".into(), &carrier.into()), "{event}");
}

#[test]
fn a_reload_says_what_it_changes_and_leaves_the_rest_connected() {
    let stage = unwatched(["a", "b"].map(Carrier::named));
    simple(&stage, &["a", "b"]).write();
    reload(&stage);
    stage.gateway.await_channels(&["a", "b"]);
    let binds = |name: &str| stage.simulator.counter(name, "binds");
    let before = ["a", "b"].map(binds);
    let line = Line::of(&stage).channel("a", "rate = 1500\nburst = 9\nwindow = 50", "").group("all", &["a"]);
    let keys = [NEXT_KEY, KEY];
    line.route("everything", "", "all").app("shop", &keys, &[NEXT_SECRET, SECRET]).write();
    assert_eq!(
        reload(&stage),
        [
            "channel b removed",
            "channel a changed rate 2000 → 1500, burst 40 → 9",
            "group all changed channels [a b] → [a]",
            "app shop changed keys changed (1 → 2), callback secrets changed (1 → 2)",
        ]
    );
    assert_eq!(reload(&stage), [""; 0], "nothing is new the second time");
    assert_eq!((reloads(&stage, "unchanged"), ["a", "b"].map(binds)), (1.0, before));
    for key in keys {
        let headers = [("Authorization", &*format!("Bearer {key}")), ("Content-Type", "application/json")];
        let body = json!({ "to": TO, "text": "hello" }).to_string();
        assert_eq!(stage.gateway.call("POST", "/v1/messages", &headers, body.as_bytes()).status, 202);
    }
    until("the removed channel to leave", SOON, || {
        (!stage.gateway.metrics().text().contains("qiao_links{channel=\"b\"")).then_some(())
    });
    assert_eq!(stage.gateway.metrics().sum("qiao_pace_limit", &[]), 1500.0, "and its gauges with it");
}

#[test]
fn an_invalid_configuration_changes_nothing_and_says_all_that_is_wrong() {
    let mut stage = unwatched([Carrier::named("a")]);
    let good = std::fs::read_to_string(stage.config().join("line.toml")).unwrap();
    let bad = good.replace("rate = 2000", "rate = 0").replace("[[route]]", "[[route]]\ncolour = 'red'");
    let bad = bad.replace("{ name = 'a' }", "{ name = 'b' }").replace(KEY, NEXT_KEY);
    std::fs::write(stage.config().join("line.toml"), &bad).unwrap();
    let answer = order(&stage);
    assert_eq!((answer.status, answer.header("content-type")), (422, Some("application/problem+json")));
    let said = answer.json();
    let problems = said["problems"].as_array().unwrap();
    assert_eq!((&said["code"], problems.len()), (&"invalid_configuration".into(), 3), "{said:#}");
    for (problem, (line, column)) in problems.iter().zip([(5, 8), (15, 13), (17, 1)]) {
        assert_eq!(
            (&problem["file"], &problem["line"], &problem["column"]),
            (&"line.toml".into(), &line.into(), &column.into())
        );
    }
    hang_up(&mut stage);
    until("the signal to be answered", SOON, || (reloads(&stage, "rejected") == 2.0).then_some(()));
    delivered_by(&stage, &stage.send(TO, "otp"), "carrier-a");
    assert_eq!(stage.gateway.metrics().sum("qiao_pace_limit", &[("channel", "a")]), 2000.0);
    std::fs::write(stage.config().join("line.toml"), &good).unwrap();
    let status = || stage.gateway.ask("/admin/v1/status").json();
    assert_eq!(status()["reload"]["refused"]["problems"], 3);
    assert_eq!(reload(&stage), [""; 0], "the plan in force is the first one");
    assert!(status()["reload"]["refused"].is_null());
    assert_eq!(order(&stage).json()["last"]["changes"][0], "node: [node] watch true → false");
}

#[test]
fn settings_that_need_a_restart_are_named_each_time_and_left_alone() {
    let stage = unwatched([Carrier::named("a")]);
    let main = stage.config().join("qiao.toml");
    let text = std::fs::read_to_string(&main).unwrap();
    let listen = stage.gateway.http.to_string();
    std::fs::write(&main, text.replace(&listen, "127.0.0.1:1").replace("256MiB", "512MiB")).unwrap();
    for _ in 0..2 {
        let said = order(&stage).json();
        let restart: Vec<&str> = said["restart"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let listen = format!("[http] listen {listen} → 127.0.0.1:1");
        assert_eq!(restart, [&*listen, "[journal] max_bytes 268435456 → 536870912"], "{said:#}");
    }
    delivered_by(&stage, &stage.send(TO, "otp"), "carrier-a");
}

#[test]
fn changed_files_are_taken_over_by_themselves_and_unchanged_ones_are_not() {
    let mut stage = Plan::of([Carrier::named("a")]).start();
    let text = std::fs::read_to_string(stage.config().join("line.toml")).unwrap();
    std::fs::write(stage.config().join("key"), NEXT_KEY).unwrap();
    let keyed = text.replace(&format!("keys = ['{KEY}']"), &format!("keys = ['{KEY}', 'file:key']"));
    std::fs::write(stage.config().join("line.toml"), &keyed).unwrap();
    let allowed = |stage: &Stage, key: &str| {
        let bearer = format!("Bearer {key}");
        stage.gateway.call("GET", "/v1/messages/0000000000000", &[("Authorization", &bearer)], &[]).status == 404
    };
    until("the second key to be known", SOON, || allowed(&stage, NEXT_KEY).then_some(()));
    let applied = reloads(&stage, "applied");
    // The same again, then another secret behind the same text: one reload, not two.
    std::fs::write(stage.config().join("line.toml"), &keyed).unwrap();
    let_pass(Duration::from_millis(400));
    std::fs::write(stage.config().join("key"), NEXT_KEY.replace('9', "8")).unwrap();
    until("the file's key to be read anew", SOON, || (!allowed(&stage, NEXT_KEY)).then_some(()));
    assert!(allowed(&stage, &NEXT_KEY.replace('9', "8")) && allowed(&stage, KEY));
    assert_eq!((reloads(&stage, "applied") - applied, reloads(&stage, "unchanged")), (1.0, 0.0));
    assert!(stage.gateway.process().ended().is_none());
}

#[test]
fn a_file_caught_in_the_midst_of_being_saved_changes_nothing() {
    let stage = Plan::of(["a", "b"].map(Carrier::named)).start();
    stage.gateway.await_channels(&["a", "b"]);
    let binds = || ["a", "b"].map(|name| stage.simulator.counter(name, "binds"));
    let before = binds();
    // The whole line, then all after the first channel.
    for (file, kept) in [("qiao.toml", 0), ("line.toml", 1)] {
        let path = stage.config().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let torn = if kept == 0 { "" } else { &text[..text.rfind("[[app]]").unwrap()] };
        std::fs::write(&path, torn).unwrap();
        let_pass(Duration::from_millis(400));
        std::fs::write(&path, &text).unwrap();
        let_pass(Duration::from_millis(400));
    }
    let_pass(seconds(2));
    let results = ["applied", "unchanged", "rejected"].map(|result| reloads(&stage, result));
    assert_eq!((results, binds()), ([0.0; 3], before), "{}", stage.gateway.log());
    delivered_by(&stage, &stage.send(TO, "otp"), "carrier-a");
}

#[test]
fn what_files_alone_remove_must_last_and_must_leave_something() {
    let mut stage = Plan::of(["a", "b"].map(Carrier::named)).start();
    stage.gateway.await_channels(&["a", "b"]);
    let channels = |stage: &Stage| {
        let page = stage.gateway.ask("/admin/v1/channels").json();
        page["channels"].as_array().unwrap().iter().filter(|c| c["state"] == "up").count()
    };
    let began = Instant::now();
    simple(&stage, &["a"]).write();
    until("the removal to be believed", seconds(10), || (reloads(&stage, "applied") == 1.0).then_some(()));
    assert!(began.elapsed() >= seconds(2), "{:?}", began.elapsed());
    std::fs::write(stage.config().join("line.toml"), "").unwrap();
    until("nothing at all to be refused", seconds(10), || (reloads(&stage, "rejected") == 1.0).then_some(()));
    let said = stage.gateway.operator(&["status"]).1;
    assert!(said.contains("(changed files): channel b: removed; "), "{said}");
    assert!(said.contains("(changed files), problems: 1; see qiao check"), "{said}");
    assert!(stage.gateway.log().contains("order it: qiao ctl reload"), "{}", stage.gateway.log());
    delivered_by(&stage, &stage.send(TO, "otp"), "carrier-a");
    assert_eq!(channels(&stage), 1);
    hang_up(&mut stage);
    until("who orders it to have it", SOON, || (channels(&stage) == 0).then_some(()));
}

#[test]
fn files_behind_symbolic_links_are_watched_where_they_lie_and_where_the_links_are() {
    let stage = Plan::of([Carrier::named("a")]).start();
    let releases = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(stage.config().join("line.toml")).unwrap();
    let write = |release: &str, rate: u32| {
        let dir = releases.path().join(release);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("line.toml"), text.replace("rate = 2000", &format!("rate = {rate}"))).unwrap();
    };
    let switch = |release: &str| {
        let next = releases.path().join("next");
        symlink(release, &next).unwrap();
        std::fs::rename(next, releases.path().join("current")).unwrap();
    };
    let rate = |rate: f64| {
        until(&format!("{rate} to count"), SOON, || {
            (stage.gateway.metrics().sum("qiao_pace_limit", &[("channel", "a")]) == rate).then_some(())
        });
    };
    write("one", 1900);
    write("two", 1800);
    switch("one");
    std::fs::remove_file(stage.config().join("line.toml")).unwrap();
    symlink(releases.path().join("current/line.toml"), stage.config().join("line.toml")).unwrap();
    rate(1900.0);
    switch("two");
    rate(1800.0);
    write("two", 1700);
    rate(1700.0);
}

#[test]
fn a_removed_channel_finishes_what_is_open() {
    let slow = "answer_latency = '1500ms'\nreceipts = { after = '20ms' }";
    let mut stage = unwatched([Carrier::named("a").behaves(slow), Carrier::named("b")]);
    let open: Vec<String> = (0..5).map(|n| stage.send(&format!("+861380013800{n}"), "otp")).collect();
    until("all of them on the wire", SOON, || {
        (stage.gateway.metrics().sum("qiao_window_in_flight", &[("channel", "a")]) == 5.0).then_some(())
    });
    simple(&stage, &["b"]).write();
    assert!(reload(&stage).contains(&"channel a removed".to_owned()));
    let leaving = stage.gateway.ask("/admin/v1/channels/a").json();
    assert_eq!(
        (&leaving["state"], &leaving["leaving"], &leaving["in_flight"]),
        (&"draining".into(), &true.into(), &5.into())
    );
    assert!(stage.gateway.operator(&["channels"]).1.contains("finishes what is open"));
    delivered_by(&stage, &stage.send("+8613800138009", "otp"), "carrier-b");
    until("the channel to leave", SOON, || {
        (!stage.gateway.metrics().text().contains("qiao_channel_state{channel=\"a\"")).then_some(())
    });
    let metrics = stage.gateway.metrics();
    assert_eq!(metrics.sum("qiao_in_doubt_total", &[]), 0.0);
    assert_eq!(metrics.sum("qiao_submits_total", &[("channel", "a"), ("verdict", "submitted")]), 5.0);
    // Their receipts come when the carrier has a link again.
    simple(&stage, &["a", "b"]).write();
    reload(&stage);
    for id in &open {
        delivered_by(&stage, id, "carrier-a");
    }
    stage.sink.stop();
    assert_eq!(stage.submits("b").len(), 1, "nothing was sent twice");
}

#[test]
fn waiting_messages_follow_the_routes() {
    let stage = unwatched(["a", "b"].map(Carrier::named));
    simple(&stage, &["a"]).write();
    reload(&stage);
    stage.simulator.fault("a", json!({ "kind": "refuse" }));
    until("the channel to be down", SOON, || {
        (stage.gateway.ask("/admin/v1/channels/a").json()["state"] == "down").then_some(())
    });
    let ids: Vec<String> = (0..300).map(|n| stage.send(&format!("+861380014{n:04}"), "notice")).collect();
    // A slip: no route at all. They wait, and fail not.
    let apps = |line: Line<'_>| line.app("shop", &[KEY], &[SECRET]).write();
    apps(Line::of(&stage).channel("b", "rate = 2000\nwindow = 50", ""));
    reload(&stage);
    let waiting = stage.gateway.ask("/admin/v1/queues").json();
    assert_eq!(waiting["queues"][0]["messages"], 300, "{waiting}");
    let line = Line::of(&stage).channel("b", "rate = 2000\nwindow = 50", "").group("other", &["b"]);
    apps(line.route("elsewhere", "", "other"));
    reload(&stage);
    for id in &ids {
        delivered_by(&stage, id, "carrier-b");
    }
    assert_eq!(stage.gateway.metrics().sum("qiao_outcomes_total", &[("outcome", "delivered")]), 300.0);
}

#[test]
fn a_removed_app_is_unknown_at_once_and_its_messages_go_on() {
    let stage = unwatched([Carrier::named("a").behaves("answer_latency = '200ms'").contract("rate = 50\nwindow = 2")]);
    let ids: Vec<String> = (0..20).map(|n| stage.send(&format!("+86138001380{n:02}"), "otp")).collect();
    let line = Line::of(&stage).channel("a", "rate = 50\nwindow = 2", "").group("all", &["a"]);
    line.route("everything", "", "all").app("other", &[OTHER_KEY], &[SECRET]).write();
    assert!(reload(&stage).contains(&"app shop removed".to_owned()));
    assert_eq!(stage.post_with(&json!({ "to": TO, "text": "hello" }), &[]).status, 401);
    until("its messages to reach the carrier", seconds(20), || (stage.submits("a").len() == ids.len()).then_some(()));
}

/// What one version of the storm says.
#[derive(Clone, Copy, Debug)]
struct Version {
    /// Which of two tables: groups `one` and `two` change sides, and so do the routes to them.
    swapped: bool,
    /// Rate of channel `a`.
    rate: u32,
    /// Whether channel `c` is there, and with which account.
    guest: Option<bool>,
    /// Whether keys and secrets are being rotated.
    rotating: bool,
}

const HIGH: u32 = 400;
const LOW: u32 = 120;
/// How long a rate stays: long enough for whole seconds under it alone.
const PHASE: usize = 30;

impl Version {
    fn number(n: usize) -> Version {
        Version {
            swapped: n % 2 == 1,
            rate: [HIGH, LOW][n / PHASE % 2],
            guest: [Some(false), Some(true), None, Some(true), Some(false)][n / 3 % 5],
            rotating: n % 4 < 2,
        }
    }

    /// App x reaches `a` and nothing else, and app y reaches `b`, under either table. Routes of one with groups of the
    /// other would take them to the wrong one.
    fn line<'s>(&self, stage: &'s Stage) -> Line<'s> {
        let (x, y) = if self.swapped { ("two", "one") } else { ("one", "two") };
        let rate = format!("rate = {}\nburst = 8\nwindow = 40\nlinks = 2", self.rate);
        let line = Line::of(stage).channel("a", &rate, "").channel("b", "rate = 500\nburst = 8\nwindow = 40", "");
        let (line, third) = match self.guest {
            Some(other) => {
                let more = if other { "enquire_link = '7s'" } else { "" };
                (line.channel("c", "rate = 100\nburst = 4\nwindow = 10", more), &["c", "b"][..])
            }
            None => (line, &["b"][..]),
        };
        let line = line.group(x, &["a"]).group(y, &["b"]).group("three", third);
        let line = line.route("x", "app = 'x'", x).route("y", "app = 'y'", y).route("z", "app = 'z'", "three");
        let (keys, secrets) = match self.rotating {
            true => (vec![NEXT_KEY, KEY], vec![NEXT_SECRET, SECRET]),
            false => (vec![KEY], vec![SECRET]),
        };
        line.app("x", &keys, &secrets).app("y", &[OTHER_KEY], &secrets).app("z", &[THIRD_KEY], &[SECRET])
    }
}

const THIRD_KEY: &str = "canary-third-key-5d81b3f6a09c72e4";
/// How long after its writing a version may begin to count, debounce and a busy machine included.
const TAKEN_WITHIN_MS: f64 = 2_000.0;
/// How much later than others a busy machine may read a part.
const READ_LATE_MS: f64 = 100.0;

#[test]
fn a_storm_of_reloads_loses_nothing_mixes_nothing_and_disconnects_nobody() {
    let behaviour = "answer_latency = { median_ms = 10, p99_ms = 60 }\nreceipts = { after = '100ms' }";
    let once = format!("{behaviour}\nmax_binds = 1");
    let carriers = [("a", behaviour), ("b", behaviour), ("c", &once)];
    let mut stage = Plan::of(carriers.map(|(name, behaviour)| Carrier::named(name).behaves(behaviour))).start();
    Version::number(0).line(&stage).write();
    reload(&stage);
    until("both links of a", SOON, || (stage.gateway.ask("/admin/v1/channels/a").json()["window"] == 80).then_some(()));
    let binds = ["a", "b"].map(|name| stage.simulator.counter(name, "binds"));
    let loads = [(KEY, "x", 210, "+86131"), (OTHER_KEY, "y", 120, "+86132"), (THIRD_KEY, "z", 60, "+86133")];
    let mut loads = loads.map(|(key, name, rate, prefix)| {
        let rate = rate.to_string();
        let args = ["--rate", &rate, "--for", "31s", "--retry-unknown", "--retry-busy"];
        let args = [&args[..], &["--to-prefix", prefix, "--text", name]].concat();
        Load::start(name, stage.logs(), stage.gateway.http, key, &args)
    });
    let (mut rates, mut told) = (vec![(now_ms(), HIGH)], 0);
    let began = Instant::now();
    for n in 0..150 {
        let version = Version::number(n);
        if n % 3 == 2 {
            told += spoil(&mut stage, &version, n);
        } else {
            version.line(&stage).write();
            rates.push((now_ms(), version.rate));
            match n % 6 {
                0 | 4 => assert_eq!(order(&stage).status, 200, "version {n}"),
                1 => hang_up(&mut stage),
                // The watcher finds it.
                _ => {}
            }
        }
        let next = Duration::from_millis(200) * (n as u32 + 1);
        let_pass(next.saturating_sub(began.elapsed()));
    }
    Version::number(0).line(&stage).write();
    reload(&stage);
    for load in &mut loads {
        let summary = load.summary(seconds(60));
        assert_eq!((&summary["unknown"], &summary["refused"]), (&0.into(), &0.into()), "{summary}");
    }
    stage.await_rest(seconds(40));
    // A machine that has too much to do may be late; nothing else is a reason to refuse.
    let log = stage.gateway.log();
    let shed = log.lines().filter(|line| line.contains("shedding: new messages are refused"));
    assert_eq!(shed.filter(|line| !line.contains("\"reason\":\"late\"")).count(), 0, "{log}");
    let metrics = stage.gateway.metrics();
    let (applied, rejected) = (reloads(&stage, "applied"), reloads(&stage, "rejected"));
    assert_eq!(metrics.sum("qiao_in_doubt_total", &[]), 0.0);
    assert!(applied >= 50.0 && rejected >= 40.0 && told >= 10, "{applied} applied, {rejected} rejected, {told} told");
    assert_eq!(["a", "b"].map(|name| stage.simulator.counter(name, "binds")), binds, "untouched links stay connected");
    assert_eq!(stage.simulator.counter("c", "binds_refused"), 0, "never two accounts' links at once");
    assert!(stage.simulator.counter("c", "binds") > 5, "the guest came and went");
    let clients: Vec<&Load> = loads.iter().collect();
    let verdict = stage.close_books(&clients, &["--max-duplicates", "0", "--pace", "b=500:8", "--pace", "c=100:4"]);
    eprintln!("{} after {applied} reloads, {rejected} rejected", verdict.report);
    assert!(verdict.holds, "{:#}", verdict.report);
    assert_eq!((verdict.count("pending"), verdict.count("accepted")), (0, verdict.count("delivered")));
    nothing_was_mixed(&stage);
    no_second_exceeds_the_rates(&stage, &rates);
}

/// Writes a version with three mistakes in it, and has it refused. Returns whether an operator was told.
fn spoil(stage: &mut Stage, version: &Version, n: usize) -> usize {
    let mut line = version.line(stage);
    line.text =
        line.text.replace("burst = 8", "burst = 0").replace("match = { app = 'y' }", "match = { app = 'nobody' }");
    line.write();
    if n % 6 == 5 {
        hang_up(stage);
        return 0;
    }
    let answer = order(stage);
    let problems = answer.json()["problems"].as_array().map_or(0, Vec::len);
    assert_eq!((answer.status, problems), (422, 3), "{}", answer.text());
    1
}

/// Every message is with a carrier that either table leads it to.
fn nothing_was_mixed(stage: &Stage) {
    let mut seen: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for carrier in ["a", "b", "c"] {
        for submit in stage.submits(carrier) {
            *seen.entry((submit["text"].as_str().unwrap().to_owned(), carrier)).or_default() += 1;
        }
    }
    let pairs: Vec<(&str, &str)> = seen.keys().map(|(text, carrier)| (text.as_str(), *carrier)).collect();
    assert_eq!(pairs, [("x", "a"), ("y", "b"), ("z", "b"), ("z", "c")], "{seen:?}");
}

/// No second at carrier `a` holds more parts than the highest rate that counted in it, and the burst. The carrier
/// counts when it reads: on a busy machine one second of its holds what left in a little more than a second.
fn no_second_exceeds_the_rates(stage: &Stage, rates: &[(f64, u32)]) {
    let mut times: Vec<f64> = stage.submits("a").iter().filter_map(|submit| submit["t_ms"].as_f64()).collect();
    times.sort_by(f64::total_cmp);
    let until = |i: usize| rates.get(i + 1).map_or(f64::MAX, |(written, _)| written + TAKEN_WITHIN_MS);
    let (mut first, mut under_low, mut worst) = (0, 0, 0.0f64);
    for (last, at) in times.iter().enumerate() {
        while at - times[first] >= 1_000.0 {
            first += 1;
        }
        let counted = rates.iter().enumerate().filter(|(i, (from, _))| *from <= *at && until(*i) >= at - 1_000.0);
        let highest = counted.map(|(_, (_, rate))| *rate).max().unwrap_or(HIGH);
        under_low += usize::from(highest == LOW);
        let parts = last + 1 - first;
        let allowed = (f64::from(highest) * (1.0 + READ_LATE_MS / 1_000.0)) as usize + 8;
        assert!(parts <= allowed, "{parts} parts in the second before {at}, {highest} a second allowed");
        worst = worst.max(parts as f64 / f64::from(highest));
    }
    eprintln!("at most {worst:.3} of the contract in a second; {under_low} parts under the low rate alone");
    assert!(under_low > 200, "{under_low} parts went while only the low rate counted");
}

/// Milliseconds since 1970.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}
