//! The operator's commands against a real gateway: what they print for people and for programs, and how they end.
#![allow(clippy::unwrap_used, missing_docs)]

use conformance::stage::{KEY, OTHER_KEY, PASSWORD, SECRET};
use conformance::wait::{seconds, until};
use conformance::{Carrier, Plan, Stage, http};
use serde_json::{Value, json};

fn stage() -> Stage {
    Plan::of(["a", "b"].map(Carrier::named)).start()
}

/// What a command prints for people; it must end with `code`.
#[track_caller]
fn says(stage: &Stage, code: i32, args: &[&str]) -> String {
    let (ended, said) = stage.gateway.operator(args);
    assert_eq!(ended, code, "{args:?}: {said}");
    said
}

/// What it prints for programs.
#[track_caller]
fn json(stage: &Stage, code: i32, args: &[&str]) -> Value {
    let said = says(stage, code, &[args, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn what_stands_how_is_shown() {
    let stage = stage();
    let id = stage.send("+8613800138000", "otp");
    stage.told(&id);
    let said = says(&stage, 0, &["status"]);
    assert!(said.starts_with("ready: 2 of 2 channels up\ntest 0."), "{said}");
    let status = json(&stage, 0, &["status"]);
    assert_eq!((&status["ready"], &status["held_channels"]), (&json!(true), &json!([])), "{status:#}");
    let said = says(&stage, 0, &["channels"]);
    let lines = words(&said);
    assert_eq!(lines[0], ["CHANNEL", "CARRIER", "PROTOCOL", "STATE", "WINDOW", "RATE/S", "P99", "LINKS"]);
    assert_eq!(lines[1][..6], ["a", "carrier-a", "smpp", "up", "0/50", "2000"], "{said}");
    assert_eq!(json(&stage, 0, &["channels", "b"])["name"], "b");
    let said = says(&stage, 0, &["message", &id]);
    assert!(said.starts_with(&format!("{id} delivered to +8613*******00 (otp)\n")), "{said}");
    assert_eq!(json(&stage, 0, &["message", &id])["status"], "delivered");
    assert_eq!(
        words(&says(&stage, 0, &["queues"]))[0],
        ["GROUP", "TIER", "MESSAGES", "OLDEST/MS", "AHEAD", "PARTS/S", "WAIT/S"]
    );
    let apps = says(&stage, 0, &["apps"]);
    let lines = words(&apps);
    assert_eq!(lines[1][..4], ["shop", "in", "service", "100000"], "{apps}");
    assert_eq!(lines[1][6], stage.sink.address.to_string(), "{apps}");
    assert_eq!(json(&stage, 0, &["apps"])["apps"][1]["id"], "other");
}

#[test]
fn a_choice_is_explained_before_and_after() {
    let stage = stage();
    let to = "+8613800138000";
    let asked = ["explain", "--app", "shop", "--to", to, "--tier", "otp", "--text", "canary-text 4711"];
    let said = says(&stage, 0, &asked);
    assert!(said.contains("  decision  starts on a: preferred\n") && said.contains("policy    passes"), "{said}");
    let page = json(&stage, 0, &asked);
    let first = &page["channels"][0];
    assert_eq!(
        (&page["decision"], &page["group"], &page["route"]),
        (&json!("starts"), &json!("all"), &json!("everything"))
    );
    assert_eq!((&first["channel"], &first["chosen"], &first["why_not"]), (&json!("a"), &json!(true), &json!(null)));
    assert_eq!(first["factors"]["window"], 50, "{page:#}");
    assert_eq!(page["channels"][1]["why_not"]["code"], "a_better_one_takes_it");
    assert_eq!(page["to"], "+8613*******00");
    assert!(!page.to_string().contains("canary-text") && !page.to_string().contains(to), "{page:#}");
    assert_eq!(stage.submits("a").len() + stage.submits("b").len(), 0, "nothing is sent");

    stage.simulator.fault("a", json!({ "kind": "refuse" }));
    stage.simulator.fault("a", json!({ "kind": "reset" }));
    until("a to be down", seconds(10), || (json(&stage, 0, &["channels", "a"])["state"] == "down").then_some(()));
    let page = json(&stage, 0, &asked);
    assert_eq!((&page["channel"], &page["why"]), (&json!("b"), &json!("backup: a has no link")), "{page:#}");
    let id = stage.send(to, "otp");
    stage.told(&id);
    let said = says(&stage, 0, &["message", &id]);
    assert!(said.contains(" 1 b (backup: a has no link)\n"), "{said}");
    let told = stage.story(&id).json();
    let attempt = told["timeline"].as_array().unwrap().iter().find(|h| h["event"] == "attempt").unwrap();
    assert_eq!(attempt["why"], "backup: carrier-a has no link", "applications know companies: {told:#}");
    assert!(attempt["channel"].is_null(), "{told:#}");

    says(&stage, 0, &["hold", "b"]);
    let id = stage.send(to, "otp");
    let page = json(&stage, 0, &["explain", "--message", &id]);
    let codes: Vec<_> =
        page["channels"].as_array().unwrap().iter().map(|c| c["why_not"]["code"].as_str().unwrap()).collect();
    assert_eq!((&page["decision"], codes), (&json!("waits"), vec!["no_link", "held"]), "{page:#}");
    let said = says(&stage, 0, &["explain", "--app", "shop", "--to", "13800138000", "--parts", "2"]);
    assert!(said.contains("refused: invalid_number"), "{said}");
    assert!(says(&stage, 1, &["explain", "--app", "nobody", "--to", to]).starts_with("no_app: "));
    assert!(says(&stage, 1, &["explain", "--message", "0000000000zz"]).starts_with("no_message: "));
    says(&stage, 0, &["apps", "hold", "shop"]);
    assert!(says(&stage, 0, &asked).contains("refused: app_held"));
    let log = stage.gateway.log();
    assert!(!log.contains("canary-text") && !log.contains(to), "{log}");
}

#[test]
fn orders_are_given_shown_and_end() {
    let stage = stage();
    let said = says(&stage, 0, &["hold", "a", "--for", "10m", "--reason", "works \u{1b}[31m +8613800138000"]);
    assert!(said.starts_with("a: held since ") && said.contains(" until 2"), "{said}");
    assert!(said.ends_with(": works \\u{1b}[31m +86138******00 (now held)\n"), "{said}");
    let said = says(&stage, 0, &["channels"]);
    assert!(words(&said)[2].starts_with(&["held", "since"]), "{said}");
    assert_eq!(says(&stage, 0, &["status"]).lines().next(), Some("ready: 1 of 2 channels up, 1 held"));
    let id = stage.send("+8613800138000", "otp");
    stage.told(&id);
    assert_eq!((stage.submits("a").len(), stage.submits("b").len()), (0, 1));

    let drained = json(&stage, 0, &["drain", "b"]);
    assert_eq!((&drained["channel"], &drained["order"]["order"]), (&json!("b"), &json!("drain")), "{drained:#}");
    until("b to be drained", seconds(10), || (json(&stage, 0, &["channels", "b"])["state"] == "drained").then_some(()));
    assert_eq!(says(&stage, 1, &["status"]).lines().next(), Some("not ready: 0 of 2 channels up, 1 held, 1 drained"));
    assert_eq!(json(&stage, 1, &["status"])["held_channels"], json!(["a", "b"]));
    assert_eq!(stage.gateway.ask("/readyz").status, 503);

    assert!(says(&stage, 0, &["release", "a"]).starts_with("a: in service (now up)"));
    says(&stage, 0, &["release", "b"]);
    stage.gateway.await_channels(&["a", "b"]);
    says(&stage, 0, &["hold", "a", "--for", "1s"]);
    until("the hold to expire", seconds(10), || (json(&stage, 0, &["channels", "a"])["state"] == "up").then_some(()));

    let held = says(&stage, 0, &["apps", "hold", "shop", "--reason", "spam", "--detail", "call us"]);
    assert!(held.ends_with("until released: spam\n"), "{held}");
    let refused = stage.post_with(&json!({ "to": "+8613800138000", "text": "x" }), &[]);
    assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("app_held")));
    assert_eq!(refused.json()["detail"], "call us");
    says(&stage, 0, &["apps", "release", "shop"]);
    stage.send("+8613800138000", "otp");

    let log = stage.gateway.log();
    for event in
        ["an operator's order\"", "an operator's order has expired\"", "back in service\"", "\"channel state\""]
    {
        assert!(log.contains(event), "{event} is not in the log: {log}");
    }
    let moved = stage.gateway.metrics();
    let moves = |labels: &[(&str, &str)]| moved.sum("qiao_channel_transitions_total", labels);
    assert_eq!(moves(&[("channel", "a"), ("to", "held"), ("cause", "operator")]), 2.0, "{}", moved.text());
    assert_eq!(moves(&[("channel", "a"), ("from", "held"), ("to", "up"), ("cause", "time")]), 1.0);
    assert_eq!(moves(&[("channel", "b"), ("from", "draining"), ("to", "drained"), ("cause", "link")]), 1.0);
}

#[test]
fn a_reload_says_what_changed_or_every_problem() {
    let stage = stage();
    let file = stage.config().join("line.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    assert_eq!(says(&stage, 0, &["reload"]).lines().last(), Some("reloaded: nothing is different"));
    std::fs::write(&file, good.replace("rate = 100\n", "rate = 200\n")).unwrap();
    // The file's watcher may be quicker: the change is told once.
    let said = says(&stage, 0, &["reload"]);
    assert!(said.contains("reloaded: "), "{said}");
    until("the new rate", seconds(10), || (json(&stage, 0, &["apps"])["apps"][1]["rate"] == 200).then_some(()));
    std::fs::write(&file, format!("{good}\nnonsense = 1\n")).unwrap();
    let said = says(&stage, 1, &["reload"]);
    assert!(said.starts_with("line.toml:") && said.contains(": error: unknown key `nonsense`"), "{said}");
    assert!(said.ends_with("nothing has changed: mend these and reload again\n"), "{said}");
    assert_eq!(json(&stage, 1, &["reload"])["code"], "invalid_configuration");
}

#[test]
fn what_waits_is_ended_by_order_and_its_app_is_told() {
    let stage = stage();
    for channel in ["a", "b"] {
        says(&stage, 0, &["hold", channel]);
    }
    let ids: Vec<String> = (0..5).map(|n| stage.send(&format!("+861380013800{n}"), "notice")).collect();
    let otp = stage.send("+8613800138009", "otp");
    let waiting = |tier: &str| {
        let queues = json(&stage, 0, &["queues"]);
        let queue = queues["queues"].as_array().unwrap().iter().find(|queue| queue["tier"] == tier).cloned();
        queue.unwrap_or_default()
    };
    until("the messages to wait", seconds(10), || (waiting("notice")["messages"] == 5).then_some(()));
    let queue = waiting("notice");
    assert!(queue["parts_ahead"] == 6 && queue["pace"].as_f64() > Some(0.0), "{queue}");
    until("the outage to show", seconds(10), || (waiting("notice")["down_ms"].as_u64() > Some(0)).then_some(()));
    assert_eq!(says(&stage, 1, &["queues", "expire", "--tier", "nix"]), "not_found: no tier of that name\n");
    assert_eq!(json(&stage, 1, &["queues", "expire", "--reason", "all"])["code"], "invalid_selection");
    let group = queue["group"].as_str().unwrap();
    let said = says(&stage, 0, &["queues", "move", "--group", group, "--to", group]);
    assert_eq!(said, "0 messages moved, 0 left where they were\n");
    let said = says(&stage, 0, &["queues", "expire", "--tier", "notice", "--reason", "recalled"]);
    assert_eq!(said, "5 messages ended, 0 left where they were\n");
    for id in &ids {
        stage.told(id);
        let message = json(&stage, 0, &["message", id]);
        assert_eq!((&message["status"], &message["reason"]), (&json!("expired"), &json!("operator")));
    }
    says(&stage, 0, &["release", "a"]);
    stage.told(&otp);
    assert_eq!(json(&stage, 0, &["message", &otp])["status"], "delivered");
}

#[test]
fn what_waits_for_one_group_is_moved_to_another() {
    let stage = stage();
    let file = stage.config().join("line.toml");
    let line = std::fs::read_to_string(&file).unwrap();
    let split = "channels = [{ name = 'a' }]\n[[group]]\nname = 'spare'\nchannels = [{ name = 'b' }]\n";
    let both = "channels = [{ name = 'a' }, { name = 'b' }]\n";
    assert!(line.contains(both), "{line}");
    std::fs::write(&file, line.replace(both, split)).unwrap();
    says(&stage, 0, &["reload"]);
    says(&stage, 0, &["hold", "a"]);
    says(&stage, 0, &["hold", "b"]);
    let moved: Vec<String> = (0..5).map(|n| stage.send(&format!("+861380013800{n}"), "notice")).collect();
    let otp = stage.send("+8613800138009", "otp");
    let waiting = |group: &str| {
        let queues = json(&stage, 0, &["queues"]);
        let queues = queues["queues"].as_array().unwrap().iter().filter(|queue| queue["group"] == group);
        queues.map(|queue| queue["messages"].as_u64().unwrap()).sum::<u64>()
    };
    until("the messages to wait", seconds(10), || (waiting("all") == 6).then_some(()));
    let order = ["queues", "move", "--group", "all", "--tier", "notice", "--to", "spare", "--reason", "fibre cut"];
    assert_eq!(says(&stage, 0, &order), "5 messages moved, 0 left where they were\n");
    until("them to wait there", seconds(10), || ((waiting("all"), waiting("spare")) == (1, 5)).then_some(()));
    assert_eq!(json(&stage, 1, &["queues", "move", "--tier", "otp", "--to", "nix"])["code"], "not_found");

    says(&stage, 0, &["release", "b"]);
    for id in &moved {
        assert_eq!(stage.told(id)["data"]["status"], "delivered");
    }
    assert_eq!((stage.submits("a").len(), stage.submits("b").len()), (0, 5));
    assert_eq!(stage.events(&otp).len(), 0, "what was not named stays where it was");
    says(&stage, 0, &["release", "a"]);
    assert_eq!(stage.told(&otp)["data"]["status"], "delivered");
    assert_eq!(stage.submits("a").len(), 1);
}

#[test]
fn a_message_that_waits_for_the_pace_is_explained_so() {
    let stage = Plan::of([Carrier::named("a").contract("rate = 1\nwindow = 50")]).start();
    let ids: Vec<String> = (0..6).map(|_| stage.send("+8613800138000", "notice")).collect();
    let last = ids.last().unwrap();
    let page = json(&stage, 0, &["explain", "--message", last]);
    let channel = &page["channels"][0];
    assert_eq!((&page["decision"], &channel["why_not"]["code"]), (&json!("waits"), &json!("pace")), "{page:#}");
    assert_eq!((&page["message"], &page["tier"]), (&json!(last), &json!("notice")), "{page:#}");
    let said = says(&stage, 0, &["explain", "--message", last]);
    assert!(said.contains("  decision  waits"), "{said}");
    assert!(!said.contains("13800138000"), "{said}");
}

#[test]
fn a_no_and_a_failure_are_told_apart() {
    let mut stage = stage();
    assert_eq!(says(&stage, 1, &["channels", "nix"]), "no_channel: no channel of that name\n");
    assert_eq!(json(&stage, 1, &["hold", "nix"])["code"], "no_channel");
    assert_eq!(json(&stage, 1, &["apps", "hold", "nix"])["code"], "no_app");
    assert_eq!(json(&stage, 1, &["message", "../x y"])["code"], "no_message");
    assert_eq!(json(&stage, 1, &["hold", "a", "--for", "soon"])["code"], "invalid_for");
    says(&stage, 2, &["hold"]);
    says(&stage, 2, &["frobnicate"]);
    let wrong = stage.logs().join("wrong.token");
    std::fs::write(&wrong, "0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(json(&stage, 3, &["hold", "a", "--token-file", &wrong.to_string_lossy()])["code"], "unauthorized");
    assert!(json(&stage, 3, &["hold", "a", "--token-file", "/nowhere"])["error"].is_string());
    stage.gateway.kill();
    let error = json(&stage, 3, &["status"]);
    assert!(error["error"].as_str().unwrap().contains("is the gateway running?"), "{error}");
}

#[test]
fn the_configuration_in_force_is_shown_without_its_secrets() {
    let stage = stage();
    let page = stage.gateway.ask("/admin/v1/config");
    let (shown, text) = (page.json(), page.text());
    assert_eq!((&shown["node"]["name"], &shown["channel"][0]["name"]), (&json!("test"), &json!("a")), "{text}");
    assert_eq!(shown["channel"][0]["smpp"]["password"], "***", "{text}");
    for secret in [KEY, OTHER_KEY, SECRET, &SECRET[6..], PASSWORD] {
        assert!(!text.contains(secret), "{secret} is seen in {text}");
    }
}

#[test]
fn the_door_refuses_in_its_own_form() {
    let stage = stage();
    let token = std::fs::read_to_string(stage.config().join("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let call = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        http::call(stage.gateway.admin, method, path, headers, body).unwrap()
    };
    let auth = [("Authorization", bearer.as_str())];
    let large = vec![b' '; 70_000];
    for (answer, status, code) in [
        (call("GET", "/nowhere", &[], &[]), 404, "not_found"),
        (call("POST", "/admin/v1/channels", &auth, &[]), 405, "method_not_allowed"),
        (call("POST", "/admin/v1/channels/a/hold", &[], &[]), 401, "unauthorized"),
        (call("POST", "/admin/v1/channels/a/hold", &auth, b"{"), 400, "invalid_json"),
        (call("POST", "/admin/v1/channels/a/hold", &auth, &large), 413, "body_too_large"),
        (call("GET", "/admin/v1/channels/%ff", &[], &[]), 400, "bad_request"),
        (call("GET", "/metrics", &[("Origin", "null")], &[]), 403, "wrong_origin"),
    ] {
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{code}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{code}: {:?}", answer.headers);
    }
}
