//! README and the guides, held to what the programs take: command lines, configuration blocks, links.
//!
//! A `toml` block names its files in comment lines (`# config/routes.toml`). One with a `qiao.toml` is a whole
//! configuration; any other is laid over the README's. A `toml scenario` block is one for `qiao-sim`, a `sh` block what a
//! reader would type.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::far::Simulator;
use conformance::programs::{qiao, qiao_sim};
use conformance::stage::{SECRET, SOON};
use conformance::wait::until;
use conformance::{Carrier, Plan, Process, foreign};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A page, by its path from the root.
struct Page {
    path: String,
    text: String,
}

/// README and everything written for readers under ops.
fn pages() -> Vec<Page> {
    let mut pages = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for folder in ["ops/guide", "ops/bench"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let names = entries.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
        pages.extend(names.map(|name| format!("{folder}/{name}")));
    }
    let read = |path: String| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path };
    pages.into_iter().map(read).collect()
}

/// A fenced block and the line it begins at.
struct Block<'p> {
    page: &'p Page,
    line: usize,
    text: String,
}

impl Page {
    fn blocks(&self, language: &str) -> Vec<Block<'_>> {
        let (mut blocks, mut open): (Vec<Block<'_>>, Option<bool>) = (Vec::new(), None);
        for (line, text) in (1..).zip(self.text.lines()) {
            match (text.trim_start().strip_prefix("```"), open) {
                (Some(named), None) => {
                    open = Some(named == language);
                    if named == language {
                        blocks.push(Block { page: self, line, text: String::new() });
                    }
                }
                (Some(_), Some(_)) => open = None,
                (None, Some(true)) => {
                    let block = blocks.last_mut().unwrap();
                    block.text += text;
                    block.text.push('\n');
                }
                (None, _) => {}
            }
        }
        blocks
    }
}

/// The commands of a shell block as words, cut at pipes and the like; redirections and assignments are left out. Reads
/// the shell that documents are written in, not all of it.
fn commands(block: &str) -> Vec<Vec<String>> {
    let block = block.replace("\\\n", " ");
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut comment, mut before) = (None, false, '\n');
    for c in block.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\n') => comment = false,
            (None, _) if comment => {}
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '|' | '&' | ';' | ' ' | '\t') => {}
            (None, _) => word.get_or_insert_default().push(c),
        }
        if quote.is_none() && (c.is_whitespace() || "|&;".contains(c)) && !comment {
            words.extend(word.take());
        }
        if quote.is_none() && "\n|&;".contains(c) && !comment {
            all.push(std::mem::take(&mut words));
        }
        before = c;
    }
    words.extend(word);
    all.push(words);
    all.into_iter().map(plain).filter(|command| !command.is_empty()).collect()
}

/// Without assignments before the program and without redirections.
fn plain(words: Vec<String>) -> Vec<String> {
    let assigns = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let mut kept: Vec<String> = Vec::new();
    let mut words = words.into_iter().skip_while(assigns);
    while let Some(word) = words.next() {
        match word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix('>') {
            Some("" | ">") => drop(words.next()),
            Some(_) => {}
            None => kept.push(word),
        }
    }
    kept
}

#[test]
fn every_command_line_is_understood() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut seen = 0;
    for page in &pages() {
        for block in page.blocks("sh") {
            for command in commands(&block.text) {
                let place = format!("{}:{}: {}", page.path, block.line, command.join(" "));
                let (program, args) = command.split_first().unwrap();
                let program = match program.as_str() {
                    "qiao" => qiao(),
                    "qiao-sim" => qiao_sim(),
                    "make" => {
                        for target in args {
                            assert!(makefile.contains(&format!("\n{target}:")), "{place}: no such target");
                        }
                        continue;
                    }
                    _ => continue,
                };
                // Arguments before it are read first, so that only a line that is right so far gets the help.
                let out = Command::new(program).args(args).arg("--help").output().unwrap();
                assert!(out.status.success(), "{place}\n{}", String::from_utf8_lossy(&out.stderr));
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen} command lines were found");
}

/// A block's files by name; `None` where it names none.
fn files(block: &str) -> Option<BTreeMap<String, String>> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in block.lines() {
        let named = line.strip_prefix("# ").and_then(|rest| rest.split_whitespace().next());
        if let Some(name) = named.filter(|name| name.ends_with(".toml")) {
            let name = name.strip_prefix("config/").unwrap_or(name);
            current = Some(files.entry(name.to_owned()).or_default());
        } else if let Some(file) = &mut current {
            **file += line;
            file.push('\n');
        } else {
            return None;
        }
    }
    Some(files)
}

/// A value for every `env:NAME`, of the kind that the key before it wants.
fn environment(text: &str) -> Vec<(String, String)> {
    let named = text.match_indices("\"env:").filter_map(|(at, start)| {
        let name = text[at + start.len()..].split('"').next()?.to_owned();
        let before = text[..at].rsplit_once('=')?.0;
        let key = before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        let value = match key {
            "password" | "login_password" | "smg_login_password" | "shared_secret" => "secret".to_owned(),
            "secret" => "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".to_owned(),
            _ => format!("0123456789abcdef0123456789abcdef{name}"),
        };
        Some((name, value))
    });
    named.collect()
}

#[test]
fn every_configuration_block_passes_the_check() {
    let pages = pages();
    let blocks: Vec<Block<'_>> = pages.iter().flat_map(|page| page.blocks("toml")).collect();
    let read = |block: &Block<'_>| {
        files(&block.text).unwrap_or_else(|| panic!("{}:{}: a block names its files", block.page.path, block.line))
    };
    let whole = |files: &BTreeMap<String, String>| files.contains_key("qiao.toml");
    let base = blocks.iter().filter(|block| block.page.path == "README.md").map(read).find(whole).unwrap();
    for block in &blocks {
        let mut config = read(block);
        if !whole(&config) {
            config = base.clone().into_iter().chain(config).collect();
        }
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in &config {
            let known = base.contains_key(name);
            assert!(known, "{}:{}: {name} is no file of the README's configuration", block.page.path, block.line);
            fs::write(dir.path().join(name), text).unwrap();
        }
        let env = config.values().flat_map(|text| environment(text));
        let out = Command::new(qiao()).arg("check").arg("--config").arg(dir.path()).envs(env).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}:{}\n{said}", block.page.path, block.line);
    }
    assert!(blocks.len() > 1, "only {} blocks were found", blocks.len());
}

/// The example configuration's files, by their paths in it.
fn example() -> BTreeMap<PathBuf, String> {
    let (top, mut files) = (root().join("ops/config/example"), BTreeMap::new());
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(&top).unwrap().to_owned(), text);
            }
        }
    }
    files
}

#[test]
fn the_example_shows_every_key() {
    let schema = Command::new(qiao()).args(["check", "--schema"]).output().unwrap();
    let mut keys = BTreeMap::new();
    properties(&serde_json::from_slice(&schema.stdout).unwrap(), &mut keys);
    assert!(keys.len() > 50, "{keys:?}");
    let toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let text: String = example().into_iter().filter(|(path, _)| toml(path)).map(|(_, text)| text).collect();
    let shown = |key: &str| {
        let set = format!("{key} =");
        let begins = |at: usize| at == 0 || text[..at].ends_with([' ', '\n']);
        let own = text.matches(&format!("[{key}]")).count().min(1);
        let ends = format!(".{key}]");
        let below: BTreeSet<&str> = text.split_whitespace().filter(|word| word.ends_with(&ends)).collect();
        own + below.len() + text.match_indices(&set).filter(|(at, _)| begins(*at)).count()
    };
    // A key of two tables is to be seen twice.
    let missing: Vec<&String> = keys.iter().filter(|(key, tables)| shown(key) < **tables).map(|(key, _)| key).collect();
    assert!(missing.is_empty(), "ops/config/example says too little of {missing:?}");
}

/// How many tables have each key.
fn properties(schema: &Value, keys: &mut BTreeMap<String, usize>) {
    let below: Vec<&Value> = match schema {
        Value::Object(object) => {
            let own = object.get("properties").and_then(Value::as_object);
            own.into_iter().flat_map(|own| own.keys()).for_each(|key| *keys.entry(key.clone()).or_default() += 1);
            object.values().collect()
        }
        Value::Array(list) => list.iter().collect(),
        _ => return,
    };
    below.into_iter().for_each(|one| properties(one, keys));
}

#[test]
fn what_the_example_has_commented_out_is_valid_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = Vec::new();
    for (path, text) in example() {
        let key = |line: &str| {
            let rest = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "));
            rest.is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let open = |line: &str| if key(line) { format!("{}\n", &line[2..]) } else { format!("{line}\n") };
        let text: String = text.lines().map(open).collect();
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        env.extend(environment(&text));
        fs::write(path, text).unwrap();
    }
    let out = Command::new(qiao()).arg("check").arg("--config").arg(dir.path()).envs(env).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// Everything the gateway and its links are written in.
fn sources() -> String {
    let mut folders = vec![root().join("gateway/src"), root().join("carriers/link/src")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_metric_and_log_line_named_exists() {
    let (sources, mut seen) = (sources(), 0);
    let pages = pages();
    for page in pages.iter().filter(|page| page.path.starts_with("ops/guide")) {
        let log = page.text.split("## What the log says").nth(1).map_or("", |rest| rest.split("\n## ").next().unwrap());
        let cells = log.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
        let said = cells.flat_map(quoted).map(|text| text.split(" …").next().unwrap().trim_end_matches([';', ':']));
        let prose = page.text.split("```").step_by(2).flat_map(quoted);
        let metrics = prose.filter(|word| word.starts_with("qiao_")).map(|word| word.split('{').next().unwrap());
        for name in said.chain(metrics) {
            assert!(sources.contains(&format!("\"{name}")), "{}: `{name}` occurs nowhere in the gateway", page.path);
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} were found");
}

/// The alerts of `ops/alerts` as (name, keys); the file is written in lines of `key: value`, so no reader of YAML is needed.
fn alerts() -> Vec<(String, BTreeMap<String, String>)> {
    let text = fs::read_to_string(root().join("ops/alerts/qiao.rules.yml")).unwrap();
    let mut alerts: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match (key.trim(), alerts.last_mut()) {
            ("- alert", _) => alerts.push((value.to_owned(), BTreeMap::new())),
            (key, Some((_, keys))) => drop(keys.insert(key.to_owned(), value.trim_matches('"').to_owned())),
            _ => {}
        }
    }
    alerts
}

#[test]
fn every_alert_stands_on_metrics_that_exist_and_leads_to_the_guide() {
    let (sources, alerts) = (sources(), alerts());
    let guide = fs::read_to_string(root().join("ops/guide/operators.md")).unwrap();
    for (name, keys) in &alerts {
        let key = |key: &str| keys.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        let words: Vec<&str> = key("expr").split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let metrics: Vec<&str> = words.into_iter().filter(|word| word.starts_with("qiao_")).collect();
        assert!(!metrics.is_empty(), "{name}: {}", key("expr"));
        for metric in metrics {
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
            let exists = |metric: &str| sources.contains(&format!("\"{metric}\""));
            assert!(exists(metric) || bare.is_some_and(exists), "{name}: {metric} occurs nowhere in the gateway");
        }
        assert!(["page", "ticket"].contains(&key("severity").as_str()), "{name}");
        assert!(!key("summary").is_empty() && guide.contains(&format!("\n## {}\n", key("runbook"))), "{name}");
    }
    assert!(alerts.len() > 15, "only {} were found", alerts.len());
    // Prometheus's own opinion, where it is to be had.
    let rules = root().join("ops/alerts/qiao.rules.yml");
    match Command::new("promtool").args(["check", "rules"]).arg(rules).output() {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
        Err(_) => println!("promtool is not installed: the rules' syntax is unchecked"),
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in &pages() {
        let folder = root().join(&page.path).parent().unwrap().to_owned();
        for (at, _) in page.text.match_indices("](") {
            let target = page.text[at + 2..].split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(&page.path) } else { folder.join(file) };
            assert!(path.exists(), "{}: {target}: no such file", page.path);
            let text = if heading.is_empty() { String::new() } else { fs::read_to_string(&path).unwrap() };
            let anchor = |line: &str| -> String {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                title.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c)).collect::<String>().replace(' ', "-")
            };
            let found = text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(heading.is_empty() || found, "{}: {target}: no such heading", page.path);
        }
    }
}

/// The guide's receiver as it stands there, under two secrets as in a rotation, called by the gateway.
#[test]
fn the_receiver_of_the_guide_takes_our_callbacks() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|python| python.status.success()) {
        return foreign::skip("the_receiver_of_the_guide_takes_our_callbacks", "there is no python3");
    }
    let pages = pages();
    let page = pages.iter().find(|page| page.path.ends_with("applications.md")).unwrap();
    let script = &page.blocks("python")[0].text;
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", script, "0"]).env("HOOK_DB", dir.path().join("hooks.db"));
    command.env("HOOK_SECRETS", format!("whsec_bm90IHRoaXMgb25lLCB0aGUgbmV4dA== {SECRET}"));
    let mut hooks = Process::start("hooks", dir.path(), command);
    let port = until("the receiver's port", SOON, || hooks.stdout().split_whitespace().nth(2).map(str::to_owned));

    let mut stage = Plan::of([Carrier::named("a")]).start();
    let (line, sink) = (stage.config().join("line.toml"), stage.sink.address.to_string());
    let text = fs::read_to_string(&line).unwrap();
    fs::write(&line, text.replace(&sink, &format!("127.0.0.1:{port}"))).unwrap();
    stage.gateway.kill();
    stage.gateway.restart();
    stage.gateway.await_channels(&["a"]);
    let id = stage.send("+8613800138000", "otp");
    let taken = format!("message.delivered {id}");
    until("the receiver's line", SOON, || hooks.stdout().contains(&taken).then_some(()));

    let forged =
        Command::new("python3").args(["-c", FORGED, &format!("http://127.0.0.1:{port}/hooks")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&forged.stdout).trim(), "401", "{}", String::from_utf8_lossy(&forged.stderr));
    hooks.kill();
}

/// Calls with a signature that fits nothing; prints the status.
const FORGED: &str = "
import sys, time, urllib.error, urllib.request
headers = {'webhook-id': 'x', 'webhook-timestamp': str(int(time.time())), 'webhook-signature': 'v1,AAAA'}
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{\"events\":[]}', headers)).status)
except urllib.error.HTTPError as error:
    print(error.code)
";

#[test]
fn shell_is_read_as_documents_write_it() {
    let text = "A=b qiao check --config 'a b' > out 2>&1 # words; and | more\ncurl -d \"{}\" \\\n  x | qiao ctl x &\n";
    let read: Vec<String> = commands(text).into_iter().map(|words| words.join("_")).collect();
    assert_eq!(read, ["qiao_check_--config_a b", "1", "curl_-d_{}_x", "qiao_ctl_x"]);
}

#[test]
fn every_scenario_shown_runs() {
    let (pages, logs) = (pages(), tempfile::tempdir().unwrap());
    let shown: Vec<Block<'_>> = pages.iter().flat_map(|page| page.blocks("toml scenario")).collect();
    assert!(!shown.is_empty());
    let whole = fs::read_to_string(root().join("simulators/example.toml")).unwrap();
    for scenario in shown.iter().map(|block| &block.text).chain([&whole]) {
        let mut simulator = Simulator::start("shown", logs.path(), scenario);
        assert!(!simulator.carriers.is_empty());
        simulator.stop();
    }
}
