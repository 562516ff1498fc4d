//! `qiao-sim`: simulated carriers, load, callback sink and ledger checker on the command line.
//!
//! Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 could not run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use simulators::simulator::{announce, run_until, runtime};
use simulators::{callbacks, ledger, load, scenario::Scenario};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The far side of a carrier gateway: simulated carriers, load, callback sink, ledger checker.
#[derive(Debug, Parser)]
#[command(name = "qiao-sim", version, after_help = "Example: qiao-sim run scenario.toml --control 127.0.0.1:7000")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the carriers of a scenario until SIGINT or SIGTERM
    ///
    /// They speak smpp, cmpp (2.0, 3.0), sgip (1.2) or smgp (3.0). Per carrier: credentials, answer_latency, receipts, mo,
    /// rate_limit, window, log, faults by time, and quirks of real gateways. simulators/example.toml shows every key.
    #[command(after_help = "Example: qiao-sim run scenario.toml --ready-file ready.json\n\
        Prints one JSON line: {\"carriers\":{\"a\":\"127.0.0.1:40001\"},\"control\":\"127.0.0.1:40002\"}\n\
        Then:    curl -d '{\"carrier\":\"a\",\"kind\":\"mute\",\"for\":\"3s\"}' http://127.0.0.1:40002/faults")]
    Run {
        /// The scenario, TOML
        scenario: PathBuf,
        /// File that gets the addresses once everything listens
        #[arg(long)]
        ready_file: Option<PathBuf>,
        /// Where the control port listens, on loopback [default: a free port]
        #[arg(long)]
        control: Option<SocketAddr>,
    },
    /// Posts messages and writes down what it was told about each
    #[command(
        after_help = "Example: qiao-sim load --url http://127.0.0.1:8080 --key KEY --rate 500 --for 20s --ledger client.jsonl\n\
        The last line on stdout is a JSON summary. Exits 1 when nothing was accepted."
    )]
    Load(Box<load::Options>),
    /// Receives callbacks, checks signatures and writes down every event
    #[command(
        after_help = "Example: qiao-sim callbacks --listen 127.0.0.1:9000 --secret whsec_c2VjcmV0 --log callbacks.jsonl\n\
        GET /stats answers counters."
    )]
    Callbacks(callbacks::Options),
    /// Compares what client, carriers and callback sink wrote down
    #[command(
        after_help = "Example: qiao-sim ledger --client client.jsonl --carrier a.jsonl --carrier b.jsonl --callbacks callbacks.jsonl\n\
        Exits 0 when every accepted message came to exactly one end, 1 otherwise."
    )]
    Ledger(ledger::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { scenario, ready_file, control } => run(&scenario, ready_file, control),
        Command::Load(options) => run_load(*options),
        Command::Callbacks(options) => run_callbacks(options),
        Command::Ledger(options) => run_ledger(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("qiao-sim: {error}");
        ExitCode::from(3)
    })
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

fn run(path: &std::path::Path, ready_file: Option<PathBuf>, control: Option<SocketAddr>) -> Done {
    let scenario = match Scenario::load(path) {
        Ok(scenario) => scenario,
        Err(problem) => {
            eprintln!("{problem}");
            return Ok(ExitCode::from(1));
        }
    };
    run_until(&scenario, control, |addresses| announce(addresses, ready_file.as_deref()), told_to_stop())?;
    Ok(ExitCode::SUCCESS)
}

fn run_load(options: load::Options) -> Done {
    let summary = runtime()?.block_on(load::run(options, told_to_stop()))?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(if summary.accepted == 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn run_callbacks(options: callbacks::Options) -> Done {
    let ready_file = options.ready_file.clone();
    let ready = move |address: SocketAddr| announce(&json!({ "callbacks": address }), ready_file.as_deref());
    let stats = tokio::task::LocalSet::new().block_on(&runtime()?, callbacks::run(options, ready, told_to_stop()))?;
    println!("{}", serde_json::to_string(&stats)?);
    Ok(ExitCode::SUCCESS)
}

fn run_ledger(options: &ledger::Options) -> Done {
    let report = ledger::check(options)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Ends with the first SIGINT or SIGTERM. Where signals cannot be caught the process simply dies of them.
async fn told_to_stop() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
