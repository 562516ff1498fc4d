//! Peers that are not ours, installed from public registries into `target/foreign` when they are first needed.
//!
//! Where they cannot be had, the test that wants them is skipped, and says so: on stderr, and in a summary file,
//! `target/foreign/skipped`, one line per test, which whoever runs the tests prints at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;

/// The folder of a foreign peer's scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign")
}

/// Where the peers are installed; `None`, said loudly, where `test` has to do without.
pub fn peers(test: &str) -> Option<PathBuf> {
    let dir = folder();
    std::fs::create_dir_all(&dir).ok()?;
    let lock = std::fs::File::create(dir.join("lock")).ok()?;
    // Two tests at once must not install into each other.
    lock.lock().ok()?;
    let setup = Command::new("sh").arg(scripts().join("setup.sh")).arg(&dir).output();
    match setup {
        Ok(output) if output.status.success() => return Some(dir),
        Ok(output) => skip(test, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => skip(test, &error.to_string()),
    }
    None
}

fn folder() -> PathBuf {
    programs::folder().parent().map(Path::to_owned).unwrap_or_default().join("foreign")
}

/// Says loudly, and in the summary, that `test` has to do without something that is not ours.
pub fn skip(test: &str, why: &str) {
    let dir = folder();
    let last = why.trim().lines().last().unwrap_or("unknown").to_owned();
    eprintln!("SKIPPED {test}: {why}");
    let known = std::fs::read_to_string(dir.join("skipped")).unwrap_or_default();
    let others: String = known.lines().filter(|line| !line.starts_with(test)).map(|line| format!("{line}\n")).collect();
    // The summary is a convenience: the line above was said.
    let _ = std::fs::create_dir_all(&dir);
    let _ = std::fs::write(dir.join("skipped"), format!("{others}{test}: {last}\n"));
}
