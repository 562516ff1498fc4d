//! The `qiao` program: parses the command line and hands over.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use gateway::cli::{self, Cli, Command, Exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(args) => cli::check(&args, &|name| std::env::var(name).ok(), &mut io::stdout().lock()),
        Command::Serve(_) | Command::Ctl(_) => Err(io::Error::other("not available in this build")),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("qiao: {error}");
            Exit::CouldNotRun.into()
        }
    }
}
