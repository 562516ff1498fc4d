//! The journal's promises, on real files and on a disk that fails.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gateway::journal::{At, CommitError, Journal, Priority, Recovery, Settings};

mod damage;
mod faulty;
mod groups;
mod life;
mod lots;
mod many;
mod model;
mod store;

const END: u8 = 255;

fn settings(dir: &Path, max_bytes: u64) -> Settings {
    Settings { dir: dir.into(), segment_bytes: 64 << 10, max_bytes, end_kind: END }
}

type Acks = Receiver<Vec<(u64, Result<At, CommitError>)>>;

/// A record as replay showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    kind: u8,
    id: u64,
    body: Vec<u8>,
    at: At,
}

struct Opened {
    journal: Journal<u64>,
    acks: Acks,
    shown: Vec<Shown>,
    recovery: Recovery,
}

/// Waits until the second segment has been made: from then on nobody but the commit thread writes.
fn until_the_next_segment(disk: &faulty::Faulty) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !disk.names().contains(&"00000002.segment".to_owned()) {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

/// A journal on a disk that may fail.
fn open(disk: &faulty::Faulty, max_bytes: u64) -> Opened {
    let (tell, acks) = channel();
    let mut shown = Vec::new();
    let mut replay = |r: gateway::journal::Replayed<'_>| {
        shown.push(Shown { kind: r.kind, id: r.id, body: r.body.to_vec(), at: r.at });
    };
    let disk = std::sync::Arc::new(disk.clone());
    let deliver = move |settled| drop(tell.send(settled));
    let (journal, recovery) = Journal::open_on(disk, settings("/j".as_ref(), max_bytes), &mut replay, deliver).unwrap();
    Opened { journal, acks, shown, recovery }
}

impl Opened {
    fn ids(&self) -> Vec<u64> {
        self.shown.iter().map(|shown| shown.id).collect()
    }

    /// Appends a synced record with its id as ack, and waits for what becomes of it.
    fn put(&self, id: u64, body: &[u8]) -> Result<At, CommitError> {
        self.journal.append_synced(Priority::Admission, 1, id, body, id);
        self.settled(1).pop().unwrap().1
    }

    fn settled(&self, count: usize) -> Vec<(u64, Result<At, CommitError>)> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.acks.recv_timeout(Duration::from_secs(20)).expect("an ack is delivered"));
        }
        all
    }

    /// As a crash of the process.
    fn kill(self) {
        drop(self.journal);
    }
}
