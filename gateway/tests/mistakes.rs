//! Configurations with one of each mistake in them, and what `qiao check` says: every problem at once, with its place
//! and what to do. `tests/mistakes/NAME` holds the files, `NAME.txt` the output; after a change of words,
//! `BLESS=1 cargo test -p gateway --test mistakes` writes it anew, to be read before it is kept.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use gateway::cli::{CheckArgs, Exit, check};

fn says(name: &str) -> (Exit, String, PathBuf) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut out = Vec::new();
    let args = CheckArgs { config: Some(dir.join(name)), json: false, schema: false };
    let exit = check(&args, &|_| None, &mut out).unwrap();
    (exit, String::from_utf8(out).unwrap(), dir.join(format!("{name}.txt")))
}

fn golden(name: &str) -> String {
    let (exit, said, file) = says(name);
    assert_eq!(exit, Exit::No);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &said).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    for (said, kept) in said.lines().zip(kept.lines()) {
        assert_eq!(said, kept, "in {}", file.display());
    }
    assert_eq!(said.lines().count(), kept.lines().count(), "{said}");
    said
}

#[test]
fn one_of_each_mistake_is_found_at_once() {
    let said = golden("settled");
    let secrets = ["hunter2hunter2", "with a space 0123", "0123456789abcdef0123456789abcdef", "whsec_short"];
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} is shown");
    }
}

#[test]
fn files_that_cannot_be_read_hide_as_little_as_possible() {
    golden("unreadable");
}
