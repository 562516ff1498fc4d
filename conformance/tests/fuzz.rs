//! Every fuzz target over its corpus and mutations of it: for a second each here, for `FUZZ_SECONDS` in `make fuzz`. The
//! targets themselves are `conformance::fuzz`, shared with `cargo fuzz`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use conformance::fuzz::{TARGETS, chase::chase, corpus, target};

/// Runs a target; the seed is told, so that a find can be had again.
fn bears_what_comes(name: &str) {
    let wish = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let time = Duration::from_secs(wish("FUZZ_SECONDS").unwrap_or(1));
    let seed = wish("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    match chase(target(name), time, seed) {
        Ok(runs) => println!("{name}: {runs} inputs in {} s, seed {seed}", time.as_secs()),
        Err(found) => panic!(
            "{name}, seed {seed}: {}\n  input {}\n  kept in {}",
            found.said,
            found.input.iter().map(|octet| format!("{octet:02x}")).collect::<String>(),
            found.file.display()
        ),
    }
}

#[test]
fn smpp_pdus_are_borne() {
    bears_what_comes("pdu_smpp");
}

#[test]
fn cmpp_pdus_are_borne() {
    bears_what_comes("pdu_cmpp");
}

#[test]
fn sgip_pdus_are_borne() {
    bears_what_comes("pdu_sgip");
}

#[test]
fn smgp_pdus_are_borne() {
    bears_what_comes("pdu_smgp");
}

#[test]
fn sessions_bear_what_they_hear() {
    bears_what_comes("session");
}

#[test]
fn reports_are_borne() {
    bears_what_comes("report");
}

#[test]
fn texts_are_borne() {
    bears_what_comes("text");
}

/// `FUZZ_CORPUS=write` writes what is missing.
#[test]
fn every_vector_lies_in_a_corpus() {
    let write = std::env::var_os("FUZZ_CORPUS").is_some_and(|wish| wish == "write");
    for target in TARGETS {
        let folder = corpus::folder(target.name);
        for (name, octets) in corpus::seeds(target.name) {
            let file = folder.join(&name);
            if write {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &octets).unwrap();
            }
            let there = std::fs::read(&file).unwrap_or_default();
            assert_eq!(there, octets, "{}: FUZZ_CORPUS=write cargo test -p conformance --test fuzz", file.display());
        }
    }
}

/// Each target is one of `cargo fuzz`'s, too.
#[test]
fn cargo_fuzz_has_every_target() {
    let folder = conformance::proofs::root().join("conformance/fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let source =
            std::fs::read_to_string(folder.join("fuzz_targets").join(target.name).with_extension("rs")).unwrap();
        assert!(source.contains(&format!("target(\"{}\")", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)), "{}", target.name);
    }
}
