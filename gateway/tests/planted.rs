//! Bugs planted on purpose (`sim/planted.toml`): a simulation that lets one live is too weak.
//!
//! `cargo test` only looks that each can still be planted. `make soak` plants them one at a time in a copy of the
//! sources under `target/planted`, and runs the worlds until a seed catches each, or the test that is named.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

#[derive(Deserialize)]
struct List {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    name: String,
    /// From the repository's root.
    file: String,
    find: String,
    replace: String,
    /// What must be changed with it: where two places guard the same promise, one alone is no bug.
    #[serde(default)]
    also: Vec<Edit>,
    /// The first seed that caught it.
    seed: Option<u64>,
    /// Caught by the worlds of the switch alone, which are fuller and reload more.
    #[serde(default)]
    alone: bool,
    /// Where no world does, or hardly one in a thousand: the integration test of this package that catches it, or `lib`
    /// for those beside the code.
    test: Option<String>,
    /// In that, the one test that does.
    only: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

impl Bug {
    /// All its places: file, what is there, and what is to be there.
    fn edits(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let also = self.also.iter().map(|edit| (&*edit.file, &*edit.find, &*edit.replace));
        [(&*self.file, &*self.find, &*self.replace)].into_iter().chain(also)
    }
}

fn bugs() -> Vec<Bug> {
    toml::from_str::<List>(include_str!("sim/planted.toml")).unwrap().bug
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn every_planted_bug_has_its_place_and_its_seed() {
    let bugs = bugs();
    assert!(bugs.len() >= 20, "{} bugs", bugs.len());
    for bug @ Bug { name, seed, test, .. } in &bugs {
        for (file, find, replace) in bug.edits() {
            let text = fs::read_to_string(root().join(file)).unwrap();
            assert_eq!(text.matches(find).count(), 1, "{name}: places in {file}");
            assert_ne!(find, replace, "{name} changes nothing");
        }
        assert!(seed.is_some() != test.is_some(), "{name}: who catches it?");
    }
}

/// Minutes: each bug is a build of the gateway.
#[test]
#[ignore = "make soak"]
fn every_planted_bug_is_caught() {
    // Only some of them: those whose name has the word.
    let only = std::env::var("PLANTED").ok();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let scratch = target.join("planted");
    copy(&root(), &scratch);
    let mut escaped = Vec::new();
    println!("{:<46} {:>6} {:>8}  broken promise", "bug", "seed", "seconds");
    for bug in bugs().iter().filter(|bug| only.as_ref().is_none_or(|only| bug.name.contains(only.as_str()))) {
        for (file, find, replace) in bug.edits() {
            let sound = fs::read_to_string(scratch.join(file)).unwrap();
            fs::write(scratch.join(file), sound.replacen(find, replace, 1)).unwrap();
        }
        let (caught, took) = hunt(bug, &scratch, &target);
        for (file, ..) in bug.edits() {
            fs::copy(root().join(file), scratch.join(file)).unwrap();
        }
        match caught {
            Some((seed, promise)) => println!("{:<46} {seed:>6} {:>8.1}  {promise}", bug.name, took.as_secs_f64()),
            None => {
                println!("{:<46} escaped", bug.name);
                escaped.push(bug.name.clone());
            }
        }
    }
    assert!(escaped.is_empty(), "not caught within 1,000 seeds: {escaped:?}");
}

/// The seed or test that catches the bug, and the promise it breaks.
fn hunt(bug: &Bug, scratch: &Path, target: &Path) -> (Option<(String, String)>, Duration) {
    let cargo = |test: &str, rest: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["test", "--locked", "--quiet", "-p", "gateway"]).current_dir(scratch);
        if test == "lib" { cargo.arg("--lib") } else { cargo.args(["--test", test]) }.args(rest);
        cargo.env("RUST_BACKTRACE", "0").env_remove("SIM_SEED");
        // What this test's own cargo has set makes build scripts run again.
        let set = std::env::vars_os().map(|(name, _)| name);
        for name in set.filter(|name| name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME") {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_TARGET_DIR", target);
        let seeds = std::env::var("SIM_SEEDS").unwrap_or_else(|_| "1000".into());
        cargo.env("SIM_SEEDS", seeds).env("SIM_FIRST", "1");
        cargo
    };
    let name = bug.test.as_deref().unwrap_or("sim");
    let built = cargo(name, &["--no-run"]).output().unwrap();
    assert!(built.status.success(), "{}: {}", bug.name, String::from_utf8_lossy(&built.stderr));
    let began = Instant::now();
    if bug.test.is_some() {
        let rest: Vec<&str> = bug.only.iter().flat_map(|only| ["--", only.as_str()]).collect();
        let out = cargo(name, &rest).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let failed = text.lines().find_map(|line| Some(line.strip_prefix("---- ")?.split(' ').next()?.to_owned()));
        let caught = failed.filter(|_| !out.status.success());
        return (caught.map(|test| ("-".to_owned(), format!("test {test}"))), began.elapsed());
    }
    let worlds = if bug.alone { "every_promise" } else { "the_whole_line" };
    let run = |seed: Option<u64>| {
        let mut cargo = cargo(name, &["--", "--nocapture", worlds]);
        cargo.envs(seed.map(|seed| ("SIM_SEED", seed.to_string()))).output().unwrap()
    };
    // Most likely the same seed as ever.
    let known = Some(run(bug.seed)).filter(|out| !out.status.success());
    let out = known.unwrap_or_else(|| run(None));
    let text = String::from_utf8_lossy(if bug.alone { &out.stderr } else { &out.stdout }).into_owned();
    let found = if bug.alone {
        let seed = text.split_once("the world of SIM_SEED=").and_then(|(_, rest)| rest.split_once(' '));
        let promise = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
        seed.map(|(seed, _)| seed).zip(promise)
    } else {
        text.lines().find_map(|line| line.trim().strip_prefix("SIM_SEED=")?.split_once(": "))
    };
    let promise = |what: &str| what.chars().take(150).collect::<String>();
    (found.map(|(seed, what)| (seed.to_owned(), promise(what))), began.elapsed())
}

/// What git knows of, and what is new beside it.
fn copy(from: &Path, to: &Path) {
    let list = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(from).output().unwrap();
    assert!(list.status.success(), "the list of sources comes from git");
    for name in String::from_utf8(list.stdout).unwrap().lines() {
        let (source, copy) = (from.join(name), to.join(name));
        let Ok(octets) = fs::read(&source) else { continue };
        // What has not changed keeps its time, so that it is not built again.
        if fs::read(&copy).is_ok_and(|before| before == octets) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, octets).unwrap();
    }
}
