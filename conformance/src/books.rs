//! What the programs wrote down, read back: line files of carriers, callback sink and load client, and the checker's
//! verdict over all three.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::programs;

/// The whole lines of a line file; none where it is not there yet.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines of one kind: `submit`, `receipt`, `mo`, `event`, `post`, `bad_signature`.
pub fn of_kind(path: &Path, kind: &str) -> Vec<Value> {
    lines(path).into_iter().filter(|line| line["kind"] == kind).collect()
}

/// The checker's verdict.
#[derive(Debug)]
pub struct Verdict {
    /// Whether all adds up.
    pub holds: bool,
    /// The checker's report.
    pub report: Value,
}

impl Verdict {
    /// A number of the report.
    pub fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }
}

/// Runs `qiao-sim ledger` over the three kinds of files with the arguments `more`.
pub fn ledger(clients: &[&Path], carriers: &[PathBuf], callbacks: &Path, more: &[&str]) -> Verdict {
    let mut command = Command::new(programs::qiao_sim());
    command.args(["ledger", "--json", "--client"]).args(clients).arg("--carrier").args(carriers);
    command.arg("--callbacks").arg(callbacks).args(more);
    let output = command.output().expect("qiao-sim runs");
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("no ledger: {}", String::from_utf8_lossy(&output.stderr)));
    Verdict { holds: output.status.success(), report }
}
