//! The journal without the line: so many producers, each of whom has one record (or one batch of them) under way and
//! appends the next when that is on disk. As in the line one thread appends for all of them, what one sync settled
//! comes back as one list, and each record is ended after it, so that folding goes on beside it.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use gateway::journal::disk::{Disk, DiskFile, Files};
use gateway::journal::{Entry, Journal, Priority, Settings, Settled};
use serde::{Deserialize, Serialize};
use simulators::latency::Histogram;

use crate::Result;
use crate::figures::{Column, Measure};
use crate::process::{Process, cpu};

/// Any kind the journal does not know, and that of its own endings.
const KIND: u8 = 1;
const END: u8 = 255;

/// Who appends what.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wish {
    /// Producers, each with one record or batch under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub producers: u32,
    /// Records that are in the journal all together or not at all
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Records in all
    #[arg(long, default_value_t = 100_000)]
    pub records: u32,
    /// Octets of each: an admitted message of twenty characters has about so many
    #[arg(long, default_value_t = 144, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub octets: u32,
}

/// The rows of the benchmark: one at a time, the connections of the line's cases, a thousand, and batches.
pub const ROWS: [Wish; 4] = [
    Wish { producers: 1, batch: 1, records: 3_000, octets: 144 },
    Wish { producers: 32, batch: 1, records: 100_000, octets: 144 },
    Wish { producers: 1_000, batch: 1, records: 400_000, octets: 144 },
    Wish { producers: 32, batch: 1_000, records: 1_000_000, octets: 144 },
];

impl Wish {
    /// Its name in table and file.
    pub fn name(&self) -> String {
        match (self.producers, self.batch) {
            (1, 1) => "1 producer".to_owned(),
            (producers, 1) => format!("{producers} producers"),
            (producers, batch) => format!("{producers} x {batch}"),
        }
    }

    /// Runs it once in a process of its own, in `dir`, which is emptied first.
    ///
    /// # Errors
    /// The program fails.
    pub async fn measure(&self, dir: &Path) -> Result<Measured> {
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir)?;
        let words = [self.producers, self.batch, self.records, self.octets].map(|number| number.to_string());
        let names = ["--producers", "--batch", "--records", "--octets"];
        let wishes = names.iter().copied().zip(words.iter().map(String::as_str)).flat_map(|(name, word)| [name, word]);
        let args: Vec<&str> = ["journal", "--dir", "data"].into_iter().chain(wishes).collect();
        let mut process = Process::start("journal", "alone", &args, dir)?;
        let status = process.ended().await?;
        let told = std::fs::read_to_string(dir.join("journal.out"))?;
        match serde_json::from_str(told.trim()) {
            Ok(measured) if status.success() => Ok(measured),
            _ => Err(process.failed(&format!("{status}; {}", told.trim_end()))),
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Records on disk per second.
    pub per_s: f64,
    /// CPU of the process per record, in µs: the producers', the commit's and the folding.
    pub cpu_us: f64,
    /// From the append to the word that it is on disk, median, in ms.
    pub p50_ms: f64,
    /// The same, 99th percentile.
    pub p99_ms: f64,
    /// One fdatasync, median, in ms.
    pub sync_p50_ms: f64,
    /// The same, 99th percentile.
    pub sync_p99_ms: f64,
    /// Records per sync.
    pub per_sync: f64,
}

impl Measure for Measured {
    const COUNTED: &'static str = "records";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { key: "cpu_us_per_record", title: "CPU us/record", digits: 2, of: |m| m.cpu_us },
        Column { key: "records_per_s", title: "records/s", digits: 0, of: |m| m.per_s },
        Column { key: "p50_ms", title: "p50 ms", digits: 2, of: |m| m.p50_ms },
        Column { key: "p99_ms", title: "p99 ms", digits: 2, of: |m| m.p99_ms },
        Column { key: "sync_p50_ms", title: "sync p50 ms", digits: 2, of: |m| m.sync_p50_ms },
        Column { key: "sync_p99_ms", title: "sync p99 ms", digits: 2, of: |m| m.sync_p99_ms },
        Column { key: "records_per_sync", title: "records/sync", digits: 1, of: |m| m.per_sync },
    ];
}

/// What is handed back with a record or a batch: when it was appended, and its first id.
type Ack = (Instant, u64);

/// Appends everything to a new journal in `dir`, with the segments the gateway has by default.
///
/// # Errors
/// The journal cannot be opened, or does not take a record.
pub fn run(dir: PathBuf, wish: &Wish) -> Result<Measured> {
    let settings = Settings { dir, segment_bytes: 64 << 20, max_bytes: 8 << 30, end_kind: END };
    let disk = Arc::new(Timed::default());
    let (tell, told) = mpsc::channel();
    let deliver = move |settled: Settled<Ack>| drop(tell.send(settled));
    let (journal, _) = Journal::open_on(Arc::clone(&disk) as Arc<dyn Disk>, settings, &mut |_| {}, deliver)?;
    let body = vec![b'x'; wish.octets as usize];
    let (mut next, mut on_disk) = (1u64, 0u64);
    let (records, batch) = (u64::from(wish.records), u64::from(wish.batch));
    let mut took = Histogram::default();
    // The segments are being written meanwhile, as they are long before a gateway's first message.
    journal.write_out()?;
    let (started, before, opened) = (Instant::now(), cpu(std::process::id()), journal.stats());
    let mut free = u64::from(wish.producers);
    while on_disk < records {
        let left = records.saturating_sub(next - 1).div_ceil(batch);
        append(&journal, &body, &mut next, batch, free.min(left));
        free = 0;
        let first = told.recv()?;
        for (ack, result) in std::iter::once(first).chain(told.try_iter()).flatten() {
            let (since, id) = ack;
            result?;
            took.record(since.elapsed());
            (id..id + batch).for_each(|id| journal.end(id));
            on_disk += batch;
            free += 1;
        }
    }
    let (seconds, spent) = (started.elapsed().as_secs_f64(), cpu(std::process::id()) - before);
    let commits = journal.stats().commit_buckets.iter().sum::<u64>() - opened.commit_buckets.iter().sum::<u64>();
    journal.close();
    let syncs = disk.syncs();
    Ok(Measured {
        per_s: on_disk as f64 / seconds.max(1e-9),
        cpu_us: spent.as_secs_f64() * 1e6 / on_disk as f64,
        p50_ms: took.quantile_ms(0.5),
        p99_ms: took.quantile_ms(0.99),
        sync_p50_ms: syncs.quantile_ms(0.5),
        sync_p99_ms: syncs.quantile_ms(0.99),
        per_sync: on_disk as f64 / commits.max(1) as f64,
    })
}

/// The next records or batches of `free` producers.
fn append(journal: &Journal<Ack>, body: &[u8], next: &mut u64, batch: u64, free: u64) {
    let (now, first) = (Instant::now(), *next);
    *next += free * batch;
    if batch == 1 {
        let asked = (first..*next).map(|id| (Entry { kind: KIND, id, body }, (now, id)));
        journal.append_each(Priority::Admission, asked, |(entry, _)| *entry, |(_, ack)| ack);
        return;
    }
    for id in (first..*next).step_by(batch as usize) {
        let records = (id..id + batch).map(|id| (KIND, id, body));
        journal.append_whole(Priority::Admission, records, (now, id));
    }
}

/// The file system, with how long each sync took.
#[derive(Default)]
struct Timed(Arc<Mutex<Histogram>>);

struct TimedFile {
    file: Arc<dyn DiskFile>,
    syncs: Arc<Mutex<Histogram>>,
}

impl Timed {
    fn syncs(&self) -> Histogram {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn timed(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TimedFile { file: file?, syncs: Arc::clone(&self.0) }))
    }
}

impl Disk for Timed {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Files.make_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Files.lock(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Files.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.timed(Files.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.timed(Files.open(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Files.sync_dir(dir)
    }
}

impl DiskFile for TimedFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let started = Instant::now();
        let done = self.file.sync();
        let took = started.elapsed();
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner).record(took.max(Duration::from_micros(1)));
        done
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_of_every_producer_gets_to_the_disk() {
        for (producers, batch) in [(1, 1), (7, 1), (3, 50)] {
            let dir = tempfile::tempdir().unwrap();
            let wish = Wish { producers, batch, records: 300, octets: 144 };
            let measured = run(dir.path().join("data"), &wish).unwrap();
            let under_way = f64::from(producers * batch);
            assert!(measured.per_s > 0.0 && measured.per_sync >= f64::from(batch), "{measured:?}");
            assert!(measured.per_sync <= under_way.max(300.0), "{measured:?}");
            assert!(measured.p99_ms >= measured.p50_ms && measured.sync_p50_ms > 0.0, "{measured:?}");
        }
    }
}
