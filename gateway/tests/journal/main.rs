//! The journal's promises, on real files and on a disk that fails.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::path::Path;

use gateway::journal::Settings;

mod faulty;
mod model;

const END: u8 = 255;

fn settings(dir: &Path, max_bytes: u64) -> Settings {
    Settings { dir: dir.into(), segment_bytes: 64 << 10, max_bytes, end_kind: END }
}
