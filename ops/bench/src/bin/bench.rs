//! `bench`: measures the line with real processes and prints the table; see ops/bench/README.md.
//!
//! Exit codes: 0 measured, 2 usage, 3 could not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::case::{CASES, Case};
use bench::figures::{Figures, Table, machine};
use bench::queued::{self, QUEUED, Queued};
use bench::{Result, told_to_stop};
use clap::Parser;
use conformance::Protocol;
use serde_json::json;

/// Measures the line: CPU per message, throughput, request to submit, memory.
#[derive(Debug, Parser)]
#[command(after_help = "Example: bench --runs 5 --case single --case light")]
struct Options {
    /// Runs of each case, alternating; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Only these cases [default: all but queued-10m]
    #[arg(long = "case", value_parser = clap::builder::PossibleValuesParser::new(names()))]
    cases: Vec<String>,
    /// What the far side speaks: smpp, cmpp2, cmpp3, smgp, sgip [default: smpp, and those under full load over cmpp3, smgp,
    /// sgip, too]
    #[arg(long = "protocol")]
    protocols: Vec<Protocol>,
    /// Where line.json and the runs' data go; on a real disk, or syncing costs nothing
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Keep the last run's data, logs and ledgers
    #[arg(long)]
    keep: bool,
}

fn names() -> impl Iterator<Item = &'static str> {
    CASES.into_iter().map(|case| case.name).chain(QUEUED.into_iter().map(|case| case.name))
}

impl Options {
    /// Those with many messages that wait.
    fn queued(&self) -> impl Iterator<Item = Queued> {
        let named = |case: &Queued| self.cases.iter().any(|name| name == case.name);
        QUEUED.into_iter().filter(move |case| if self.cases.is_empty() { case.usual } else { named(case) })
    }

    /// Cases by name, each over every protocol that is wanted of it.
    fn cases(&self) -> impl Iterator<Item = Case> {
        const ALL: [Protocol; 4] = [Protocol::Smpp, Protocol::Cmpp30, Protocol::Smgp, Protocol::Sgip];
        let wanted = |case: &Case| self.cases.is_empty() || self.cases.iter().any(|name| name == case.name);
        CASES.into_iter().filter(wanted).flat_map(|case| {
            let protocols: &[Protocol] = match (self.protocols.as_slice(), case.rate) {
                ([], None) => &ALL,
                ([], Some(_)) => &ALL[..1],
                (given, _) => given,
            };
            protocols.iter().map(move |&protocol| Case { protocol, ..case })
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    done = measure(&options) => done,
                    () = told_to_stop() => Err("stopped".into()),
                }
            })
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(3)
        }
    }
}

async fn measure(options: &Options) -> Result<()> {
    let machine = machine();
    println!("{machine}");
    let mut all: Vec<Figures> = options.cases().map(|case| Figures { case, runs: Vec::new() }).collect();
    let queued = |case| queued::Figures { case, runs: Vec::new() };
    let mut queued: Vec<queued::Figures> = options.queued().map(queued).collect();
    std::fs::create_dir_all(&options.out)?;
    let data = std::path::absolute(options.out.join("data"))?;
    for run in 1..=options.runs {
        for figures in &mut all {
            let title = figures.case.title();
            eprintln!("run {run} of {}: {title}", options.runs);
            figures.runs.push(figures.case.run(&data.join(title)).await?);
        }
        for figures in &mut queued {
            let name = figures.case.name;
            eprintln!("run {run} of {}: {name}", options.runs);
            figures.runs.push(figures.case.run(&data.join(name)).await?);
        }
    }
    if !options.keep {
        std::fs::remove_dir_all(&data)?;
    }
    if !all.is_empty() {
        print!("\n{}", Table(&all));
    }
    queued.iter().for_each(|figures| print!("\n{figures}"));
    let cases: Vec<_> = all.iter().map(Figures::json).chain(queued.iter().map(queued::Figures::json)).collect();
    write(&options.out.join("line.json"), &json!({ "machine": machine, "cases": cases }))
}

fn write(path: &Path, figures: &serde_json::Value) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n")?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
