//! What stands in `quirks.md` and `clauses/*.toml` is so: every test they name exists, nothing is said twice, and whatever
//! is not proved has a reason.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use conformance::proofs::{Tests, root};
use serde::Deserialize;

/// The books, by file.
const BOOKS: [&str; 4] = ["smpp", "cmpp", "sgip", "smgp"];
/// A book with fewer clauses than this was not read.
const FEWEST: usize = 30;

/// What a protocol's book asks of us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// Which editions are meant.
    book: String,
    clause: Vec<Clause>,
}

/// One demand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clause {
    /// Section, and which of its demands.
    at: String,
    /// The demand in our words.
    says: String,
    /// The tests that fail when it is not met.
    #[serde(default)]
    proof: Vec<String>,
    /// Why nothing proves it.
    waiver: Option<String>,
}

/// What is wrong with a ledger.
fn wrong(ledger: &Ledger, tests: &Tests) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    if ledger.book.trim().is_empty() {
        wrong.push("no book".to_owned());
    }
    for clause in &ledger.clause {
        let at = &clause.at;
        if !at.starts_with('§') || !seen.insert(at) {
            wrong.push(format!("{at}: twice, or no section"));
        }
        if clause.says.trim().len() < 15 {
            wrong.push(format!("{at}: says nothing"));
        }
        match (&clause.waiver, clause.proof.is_empty()) {
            (None, true) => wrong.push(format!("{at}: neither proof nor waiver")),
            (Some(_), false) => wrong.push(format!("{at}: proved and waived")),
            (Some(reason), true) if reason.trim().len() < 15 => wrong.push(format!("{at}: a waiver without a reason")),
            _ => {}
        }
        wrong.extend(clause.proof.iter().filter_map(|test| tests.missing(test)).map(|told| format!("{at}: {told}")));
    }
    wrong
}

#[test]
fn every_clause_is_proved_or_waived() {
    let tests = Tests::found();
    for protocol in BOOKS {
        let path = root().join("conformance/clauses").join(protocol).with_extension("toml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let ledger: Ledger = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let wrong = wrong(&ledger, &tests);
        assert!(wrong.is_empty(), "{}:\n{}", path.display(), wrong.join("\n"));
        let (clauses, waived) = (ledger.clause.len(), ledger.clause.iter().filter(|c| c.waiver.is_some()).count());
        assert!(clauses >= FEWEST, "{protocol}: {clauses} clauses only");
        println!("{protocol}: {clauses} clauses, {} proved, {waived} waived", clauses - waived);
    }
}

#[test]
fn a_ledger_that_lies_is_found() {
    let text = r#"
        book = ""
        [[clause]]
        at = "§1"
        says = "a demand that is met"
        proof = ["conformance::ledger::a_ledger_that_lies_is_found"]
        [[clause]]
        at = "§1"
        says = "the same section again"
        proof = ["conformance::ledger::nothing"]
        [[clause]]
        at = "§2"
        says = "nobody looks after it"
        [[clause]]
        at = "§3"
        says = "waived without a word"
        waiver = " "
    "#;
    let wrong = wrong(&toml::from_str(text).unwrap(), &Tests::found());
    assert_eq!(wrong.len(), 5, "{wrong:#?}");
}

/// What is wrong with a table of quirks: a row whose last column names no test and gives no reason, or names a test that is
/// not there.
fn table(text: &str, tests: &Tests) -> (usize, Vec<String>) {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with("| ") || cells.first().is_some_and(|cell| *cell == "quirk") {
            continue;
        }
        rows += 1;
        let last = cells.last().copied().unwrap_or_default();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
        if cells.len() != 4 || named.is_empty() && !last.starts_with("none: ") {
            wrong.push(format!("line {number}: four columns, the last with a test or `none: ` and a reason"));
        }
        wrong.extend(named.iter().filter_map(|test| tests.missing(test)).map(|told| format!("line {number}: {told}")));
    }
    (rows, wrong)
}

#[test]
fn every_quirk_names_a_test_that_exists() {
    let path = root().join("conformance/quirks.md");
    let (rows, wrong) = table(&std::fs::read_to_string(&path).unwrap(), &Tests::found());
    assert!(wrong.is_empty(), "{}:\n{}", path.display(), wrong.join("\n"));
    assert!(rows > 50, "{rows} rows only");
    println!("quirks: {rows}");
}

#[test]
fn a_table_that_lies_is_found() {
    let text = "| quirk | what we do | setting | test |\n|---|---|---|---|\n| a | b | | none: it is another's |\n\
                | a | b | | `conformance::ledger::a_table_that_lies_is_found`, `codecs::nothing` |\n| a | b | | |\n";
    let (rows, wrong) = table(text, &Tests::found());
    assert_eq!((rows, wrong.len()), (3, 2), "{wrong:?}");
}
