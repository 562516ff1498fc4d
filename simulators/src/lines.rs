//! JSON lines, written in large pieces: what a far side saw, on disk for the checker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// Octets gathered before they are handed to the file.
const PIECE: usize = 64 * 1024;

/// A line file, or nowhere. Appends, so that a restarted simulator adds to what its predecessor wrote.
#[derive(Debug, Default)]
pub struct Lines {
    file: Option<File>,
    buffer: Vec<u8>,
    failed: Option<io::Error>,
}

impl Lines {
    /// Opens `path` for appending, making it when absent.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Some(file), buffer: Vec::with_capacity(PIECE * 2), failed: None })
    }

    /// Lines that go nowhere.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Adds one line.
    pub fn push(&mut self, record: &impl Serialize) {
        if self.file.is_none() {
            return;
        }
        // Writing to a Vec cannot fail, and our records have string keys only.
        if serde_json::to_writer(&mut self.buffer, record).is_ok() {
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= PIECE {
            self.flush();
        }
    }

    /// Hands everything gathered to the file. A failure is kept for [`Lines::close`]: evidence with holes must
    /// not pass for evidence.
    pub fn flush(&mut self) {
        if let (Some(file), false) = (&mut self.file, self.buffer.is_empty()) {
            if let Err(error) = file.write_all(&self.buffer) {
                self.failed.get_or_insert(error);
            }
            self.buffer.clear();
        }
    }

    /// Writes the rest; the first error of any write so far.
    pub fn close(&mut self) -> io::Result<()> {
        self.flush();
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes `text` to `path` so that a reader sees all of it or no file: the ready files others wait for.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    std::fs::write(&name, text)?;
    std::fs::rename(&name, path)
}
