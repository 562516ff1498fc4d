//! The `qiao` program: parses the command line and hands over.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use gateway::cli::{self, Cli, Command, Exit, LogFormat, ServeArgs};
use gateway::{app, ctl, vital};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(args) => cli::check(&args, &|name| std::env::var(name).ok(), &mut io::stdout().lock()),
        Command::Serve(args) => serve(&args),
        Command::Completion(args) => cli::completion(&args, &mut io::stdout().lock()),
        Command::Ctl(args) => runtime().and_then(|runtime| runtime.block_on(ctl::run(&args, &mut io::stdout().lock()))),
    };
    match done {
        Ok(exit) => exit.into(),
        // Who reads has seen enough, as in `qiao ctl channels | head -1`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        Err(error) => {
            eprintln!("qiao: {error}");
            Exit::CouldNotRun.into()
        }
    }
}

/// One thread for the whole line: a hand-over between its stages is then a push, not a wake-up.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn serve(args: &ServeArgs) -> io::Result<Exit> {
    let filter = EnvFilter::try_from_env("QIAO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    vital::log_panics();
    let runtime = runtime()?;
    let served = runtime.block_on(app::serve(&args.config));
    // Everything is on disk; a reload that is still reading files changes nothing any more and holds nothing up.
    runtime.shutdown_background();
    match served {
        Ok(()) => Ok(Exit::Ok),
        Err(error @ app::StartError::Config(_)) => {
            eprintln!("qiao: {error}");
            Ok(Exit::No)
        }
        Err(error) => Err(io::Error::other(error)),
    }
}
