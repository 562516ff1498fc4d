//! `bench`: measures the line with real processes and prints the table; see ops/bench/README.md.
//!
//! Exit codes: 0 measured, 2 usage, 3 could not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::case::CASES;
use bench::figures::{Figures, Table, machine};
use bench::{Result, told_to_stop};
use clap::Parser;
use serde_json::json;

/// Measures the line: CPU per message, throughput, request to submit, memory.
#[derive(Debug, Parser)]
#[command(after_help = "Example: bench --runs 5 --case single --case light")]
struct Options {
    /// Runs of each case, alternating; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Only these cases [default: all]
    #[arg(long = "case", value_parser = CASES.map(|case| case.name))]
    cases: Vec<String>,
    /// Where line.json and the runs' data go; on a real disk, or syncing costs nothing
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Keep the last run's data, logs and ledgers
    #[arg(long)]
    keep: bool,
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
    let wanted = |name: &str| options.cases.is_empty() || options.cases.iter().any(|case| case == name);
    let cases = CASES.into_iter().filter(|case| wanted(case.name));
    let mut all: Vec<Figures> = cases.map(|case| Figures { case, runs: Vec::new() }).collect();
    std::fs::create_dir_all(&options.out)?;
    let data = std::path::absolute(options.out.join("data"))?;
    for run in 1..=options.runs {
        for figures in &mut all {
            eprintln!("run {run} of {}: {}", options.runs, figures.case.name);
            figures.runs.push(figures.case.run(&data.join(figures.case.name)).await?);
        }
    }
    if !options.keep {
        std::fs::remove_dir_all(&data)?;
    }
    print!("\n{}", Table(&all));
    let cases: Vec<_> = all.iter().map(Figures::json).collect();
    write(&options.out.join("line.json"), &json!({ "machine": machine, "cases": cases }))
}

fn write(path: &Path, figures: &serde_json::Value) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n")?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
