//! What is known of the channels' health outlives the process: hold-downs, whether each was well, and what their
//! answers usually take. Kept in `data_dir/health.json`, written whole every ten seconds where it has changed, and at a
//! stop. One that does not read is left out with a line in the log: everything in it is learned again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Line, keep};
use crate::clock::{Moment, Time, Wall};
use crate::switch::health::Memory;

/// Name of the file in the data directory.
const FILE: &str = "health.json";
/// Version of the file's form.
const VERSION: u32 = 1;
/// How often it is written.
const EVERY: Duration = Duration::from_secs(10);

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    version: u32,
    /// When it was written, milliseconds since the Unix epoch.
    at_ms: u64,
    channels: BTreeMap<String, Memory>,
}

impl Book {
    fn read(octets: &[u8]) -> Result<Book, String> {
        let book: Book = serde_json::from_slice(octets).map_err(|e| e.to_string())?;
        if book.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", book.version));
        }
        Ok(book)
    }
}

/// What was written last, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    channels: BTreeMap<String, Memory>,
    pub(super) due: Time,
    /// As of the order to stop: links that end from then on say nothing.
    last: Option<Book>,
}

/// What was kept, if anything was and reads.
fn load(dir: &Path) -> Option<Book> {
    let path = dir.join(FILE);
    let book = match fs::read(&path) {
        Ok(octets) => Book::read(&octets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    book.inspect_err(|error| {
        warn!(file = %path.display(), error, "the channels' health does not read: it is learned anew");
    })
    .ok()
}

/// Writes the file; where the disk refuses, the last one stays.
pub(super) fn write(book: &Book, dir: &Path) {
    let octets = serde_json::to_vec(book).unwrap_or_default();
    if let Err(error) = keep::replace(dir, FILE, &octets) {
        warn!(%error, "the channels' health cannot be written: a restart will know less");
    }
}

impl Line {
    /// Takes back what was kept; before the first link is up.
    pub(super) fn recall_health(&mut self, now: Moment) {
        let Some(book) = load(&self.plan.node.data_dir) else { return };
        let age = Duration::from_millis(now.wall.0.saturating_sub(book.at_ms));
        for channel in &self.plan.channels {
            if let Some(memory) = book.channels.get(&*channel.name) {
                self.switch.restore_health(now.time, channel.id, memory, age);
            }
        }
        self.health.channels = book.channels;
    }

    fn book(&self, now: Time, at: Wall) -> Book {
        let known =
            |c: &crate::config::plan::Channel| Some((c.name.to_string(), self.switch.health_memory(now, c.id)?));
        Book { version: VERSION, at_ms: at.0, channels: self.plan.channels.iter().filter_map(known).collect() }
    }

    /// Has it written where it has changed, on a thread that may wait for the disk.
    pub(super) fn keep_health(&mut self, now: Moment) {
        if now.time < self.health.due || self.health.last.is_some() {
            return;
        }
        self.health.due = now.time.after(EVERY);
        let book = self.book(now.time, now.wall);
        if book.channels != self.health.channels {
            self.health.channels.clone_from(&book.channels);
            let dir = self.plan.node.data_dir.clone();
            drop(tokio::task::spawn_blocking(move || write(&book, &dir)));
        }
    }

    /// When it is to be looked at again.
    pub(super) fn health_due(&self) -> Option<Time> {
        Some(self.health.due).filter(|_| self.health.last.is_none())
    }

    /// The gateway is to stop: the last look, before links end.
    pub(super) fn seal_health(&mut self, now: Moment) {
        if self.health.last.is_none() {
            self.health.last = Some(self.book(now.time, now.wall));
        }
    }

    /// What is to be written at the very end.
    pub(super) fn last_health(&mut self) -> Option<Book> {
        self.health.last.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_reads_back_and_a_damaged_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), None, "no file");
        let memory = Memory { flaps: 2, hold_ms: 900, well: true, latency: vec![(3, 40)], baseline: vec![(9, 1)] };
        let book = Book { version: VERSION, at_ms: 7, channels: [("a".to_owned(), memory)].into() };
        write(&book, dir.path());
        assert_eq!(load(dir.path()), Some(book.clone()));
        let whole = fs::read(dir.path().join(FILE)).unwrap();
        for cut in 0..whole.len() {
            fs::write(dir.path().join(FILE), &whole[..cut]).unwrap();
            assert_eq!(load(dir.path()), None, "at {cut}");
        }
        write(&Book { version: 2, ..book }, dir.path());
        assert_eq!(load(dir.path()), None, "of another version");
    }
}
