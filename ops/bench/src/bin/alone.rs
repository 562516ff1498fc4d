//! `alone`: parts of line and benchmark by themselves; see ops/bench/README.md.
//!
//! Exit codes: 0 done, 2 usage, 3 could not run.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::alone::{answer, journal, least, submit};
use bench::{Result, told_to_stop};
use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

/// What journal, load client and far side can do by themselves.
#[derive(Debug, Parser)]
#[command(after_help = "Example: alone journal --dir target/bench/journal --producers 32 --records 100000")]
struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The journal without the line; prints one JSON line
    Journal {
        /// Where it is made: a directory that is not there, on a real disk
        #[arg(long)]
        dir: PathBuf,
        #[command(flatten)]
        wish: journal::Wish,
    },
    /// An HTTP door that takes everything and does nothing, until it is ended
    Answer {
        /// File that gets its address
        #[arg(long)]
        ready_file: PathBuf,
    },
    /// The least line there can be, before a simulated SMPP carrier, until it is ended
    Least(least::Wish),
    /// Submits to a simulated SMPP carrier, as fast as it answers; prints one JSON line
    Submit(submit::Wish),
}

fn main() -> ExitCode {
    match run(Options::parse().part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alone: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(part: Part) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match part {
        Part::Journal { dir, wish } => println!("{}", serde_json::to_string(&journal::run(dir, &wish)?)?),
        Part::Submit(wish) => println!("{}", runtime.block_on(submit::run(&wish))?),
        Part::Least(wish) => LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                done = least::run(&wish) => done,
                () = told_to_stop() => Ok(()),
            }
        })?,
        Part::Answer { ready_file } => LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                done = answer::run(&ready_file) => done,
                () = told_to_stop() => Ok(()),
            }
        })?,
    }
    Ok(())
}
