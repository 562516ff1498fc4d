//! `failover`: breaks a carrier between real processes, again and again, and prints how soon traffic moved and what it
//! cost; see ops/bench/README.md.
//!
//! Exit codes: 0 measured, 2 usage, 3 could not run or was stopped (what was measured until then is printed and
//! written).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::failover::judge::Finding;
use bench::failover::kannel::{Kannel, Timers};
use bench::failover::matrix::{Answer, FAR, Fault, NEAR, Row, Shape, rows};
use bench::failover::network::{self, Network};
use bench::failover::report::{Beside, Measured, Runs, heading};
use bench::failover::trial::{self, Times};
use bench::figures::machine;
use bench::{Result, told_to_stop};
use clap::{Parser, ValueEnum};
use conformance::Protocol;
use serde_json::{Value, json};
use simulators::latency::duration;
use tokio::task::{JoinSet, LocalSet};

/// Measures failover with real processes: fault x rate x shape x answer time.
#[derive(Debug, Parser)]
#[command(after_help = "Example: failover --only hang --only mute --rate 20 --runs 10")]
struct Options {
    /// Only these faults [default: all]
    #[arg(long = "only", value_enum)]
    faults: Vec<Fault>,
    /// Only these rates, messages per second [default: 1, 5, 20, 200]
    #[arg(long = "rate", value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rates: Vec<u32>,
    /// Only these shapes of the group [default: both]
    #[arg(long = "shape", value_enum)]
    shapes: Vec<Shape>,
    /// Only these answer times of the far side [default: both]
    #[arg(long = "answer", value_enum)]
    answers: Vec<Distance>,
    /// What both carriers speak: smpp, cmpp2, cmpp3, smgp, sgip
    #[arg(long, default_value_t = Protocol::Smpp)]
    protocol: Protocol,
    /// Runs of each row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// About a minute: kill, refuse and hang at 20 per second, answers in 20 ms, three runs, no Kannel
    #[arg(long, conflicts_with_all = ["faults", "rates", "shapes", "answers"])]
    quick: bool,
    /// Load before the fault
    #[arg(long, default_value = "5s", value_parser = duration)]
    calm: Duration,
    /// A fault that moves no traffic is mended after this
    #[arg(long, default_value = "40s", value_parser = duration)]
    cap: Duration,
    /// Leave Kannel out
    #[arg(long)]
    no_kannel: bool,
    /// Where failover.json and the runs' data go; on a real disk, or syncing costs nothing
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Keep the runs' configuration, logs and ledgers
    #[arg(long)]
    keep: bool,
}

/// How far away both carriers are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Distance {
    /// Answers in 20 ms.
    #[value(name = "20")]
    Near,
    /// Answers in 300 to 800 ms.
    #[value(name = "300-800")]
    Far,
}

impl Distance {
    fn answer(self) -> Answer {
        match self {
            Distance::Near => NEAR,
            Distance::Far => FAR,
        }
    }
}

impl Options {
    fn rows(&self) -> Vec<Row> {
        fn or_all<T: Copy>(given: &[T], all: &[T]) -> Vec<T> {
            if given.is_empty() { all.to_vec() } else { given.to_vec() }
        }
        if self.quick {
            return rows(
                self.protocol,
                &[Fault::Kill, Fault::Refuse, Fault::Hang],
                &[20],
                &[Shape::PrimaryBackup],
                &[NEAR],
            );
        }
        let answers: Vec<Answer> = self.answers.iter().map(|distance| distance.answer()).collect();
        rows(
            self.protocol,
            &or_all(&self.faults, Fault::value_variants()),
            &or_all(&self.rates, &[1, 5, 20, 200]),
            &or_all(&self.shapes, Shape::value_variants()),
            &or_all(&answers, &[NEAR, FAR]),
        )
    }

    fn runs(&self) -> u32 {
        if self.quick { self.runs.min(3) } else { self.runs }
    }

    /// Where the runs' files are.
    fn data(&self) -> PathBuf {
        self.out.join("failover")
    }

    fn times(&self) -> Times {
        Times { calm: self.calm, cap: self.cap }
    }
}

/// What there is so far; it outlives a stop.
#[derive(Default)]
struct Book {
    measured: Vec<Measured>,
    skipped: Vec<String>,
    failed: Vec<String>,
    /// Whether some row left evidence that is to stay.
    evidence: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let machine = machine();
    println!("{machine}");
    let mut book = Book::default();
    let done =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            // Dropping the set drops every run in it, and with them their processes and networks.
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    done = measure(&options, &mut book) => done,
                    () = told_to_stop() => Err("stopped".into()),
                }
            })
        });
    if !options.keep && !book.evidence {
        let _ = std::fs::remove_dir_all(options.data());
    }
    match done.and(conclude(&options, &machine, &book)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover: {error}");
            ExitCode::from(3)
        }
    }
}

/// Prints and writes what was measured.
fn conclude(options: &Options, machine: &Value, book: &Book) -> Result<()> {
    if !book.measured.is_empty() {
        println!("\n{}", heading());
        book.measured.iter().for_each(|measured| println!("{measured}"));
    }
    book.skipped.iter().for_each(|skipped| println!("SKIPPED: {skipped}"));
    book.failed.iter().for_each(|failed| println!("FAILED: {failed}"));
    let rows: Vec<Value> = book.measured.iter().map(Measured::json).collect();
    let path = options.out.join("failover.json");
    let page = json!({ "machine": machine, "rows": rows, "skipped": book.skipped, "failed": book.failed });
    std::fs::write(&path, serde_json::to_string_pretty(&page)? + "\n")?;
    println!("\nwritten to {}", path.display());
    match book.failed.len() {
        0 => Ok(()),
        rows => Err(format!("{rows} rows failed; what they left is in {}", options.data().display()).into()),
    }
}

async fn measure(options: &Options, book: &mut Book) -> Result<()> {
    network::sweep();
    std::fs::create_dir_all(&options.out)?;
    let data = std::path::absolute(options.data())?;
    let rows = possible(options, &data, book).await?;
    let kannel = kannel(options, &rows, book);
    let about = rows.iter().map(|row| estimate(row, options, kannel.is_some())).sum::<Duration>();
    eprintln!(
        "{} rows, {} runs each: about {} min where every fault is noticed; one that is not takes {} s a run",
        rows.len(),
        options.runs(),
        about.as_secs().div_ceil(60),
        (options.calm + options.cap).as_secs()
    );
    let started = Instant::now();
    for (index, row) in rows.iter().enumerate() {
        eprintln!("{:>5} s  {} of {}: {row}", started.elapsed().as_secs(), index + 1, rows.len());
        match measured(options, row, kannel.as_ref(), &data).await {
            Ok(measured) => {
                eprintln!("{measured}");
                book.evidence |= measured.ours.is_blemished();
                book.measured.push(measured);
            }
            Err(error) => {
                let failed = format!("{row}: {error}");
                eprintln!("!! FAILED: {failed}");
                book.evidence = true;
                book.failed.push(failed);
            }
        }
    }
    Ok(())
}

/// All runs of one row, ours and Kannel's.
async fn measured(options: &Options, row: &Row, kannel: Option<&Kannel>, data: &Path) -> Result<Measured> {
    let times = options.times();
    let (protocol, fault) = (row.protocol, row.fault.name());
    let data = data.join(format!("{protocol}-{fault}-{}-{}-{}", row.rate, row.shape.strategy(), row.answer));
    let run = |row, dir: PathBuf| async move { trial::run(row, times, &dir).await };
    let mut measured = Measured { row: *row, ours: side_by_side(row, options.runs(), &data, run).await?, kannel: None };
    if let Some(kannel) = kannel.filter(|_| Kannel::plays(row)) {
        let beside = measured.kannel.insert(Beside::default());
        for (timers, runs) in [(Timers::Tuned, &mut beside.tuned), (Timers::AsShipped, &mut beside.as_shipped)] {
            eprintln!("         Kannel, {timers:?}");
            let run = |row, dir: PathBuf| {
                let kannel = kannel.clone();
                async move { kannel.run(row, timers, times, &dir).await }
            };
            *runs = side_by_side(row, options.runs(), &data.join(format!("{timers:?}")), run).await?;
        }
    }
    if measured.ours.is_blemished() {
        eprintln!("         kept, since something was lost or doubled: {}", data.display());
    } else if !options.keep {
        let _ = std::fs::remove_dir_all(&data);
    }
    Ok(measured)
}

/// The rows that can be run here; the others are said to be skipped.
async fn possible(options: &Options, data: &Path, book: &mut Book) -> Result<Vec<Row>> {
    let mut rows = options.rows();
    for shape in Shape::value_variants() {
        let Some(row) = rows.iter().find(|row| row.shape == *shape) else { continue };
        if let Some(why) = trial::refused(row, &data.join("check")).await? {
            skip(book, format!("{} rows: the gateway does not take the configuration: {why}", shape.name()));
            rows.retain(|row| row.shape != *shape);
        }
    }
    if rows.iter().any(|row| row.fault == Fault::Blackhole)
        && let Err(why) = Network::make()
    {
        skip(book, format!("blackhole rows: {why} (needs root, ip and nft)"));
        rows.retain(|row| row.fault != Fault::Blackhole);
    }
    Ok(rows)
}

fn kannel(options: &Options, rows: &[Row], book: &mut Book) -> Option<Kannel> {
    if options.no_kannel || options.quick || !rows.iter().any(Kannel::plays) {
        return None;
    }
    let found = Kannel::find();
    if found.is_none() {
        skip(book, "Kannel beside reset and hang: it is not installed (Debian: kannel)".to_owned());
    }
    found
}

fn skip(book: &mut Book, what: String) {
    eprintln!("!! SKIPPED: {what}");
    book.skipped.push(what);
}

/// How long a row takes where traffic moves within a second.
fn estimate(row: &Row, options: &Options, kannel: bool) -> Duration {
    let run = options.calm + row.fault.lasts() + Duration::from_secs(10);
    let rounds = options.runs().div_ceil(row.beside());
    let kannel = if kannel && Kannel::plays(row) { run + options.calm + options.cap } else { Duration::ZERO };
    (run + kannel) * rounds
}

/// Runs `row` so often, as many at a time as the machine bears.
async fn side_by_side<F>(row: &Row, runs: u32, data: &Path, run: impl Fn(Row, PathBuf) -> F) -> Result<Runs>
where
    F: Future<Output = Result<Finding>> + 'static,
{
    let mut under_way = JoinSet::new();
    let mut found = Vec::new();
    for number in 1..=runs {
        if under_way.len() >= row.beside() as usize {
            found.extend(next(&mut under_way).await?);
        }
        under_way.spawn_local(run(*row, data.join(number.to_string())));
    }
    while let Some(finding) = next(&mut under_way).await? {
        found.push(finding);
    }
    Ok(Runs(found))
}

async fn next(runs: &mut JoinSet<Result<Finding>>) -> Result<Option<Finding>> {
    match runs.join_next().await {
        Some(done) => Ok(Some(done??)),
        None => Ok(None),
    }
}
