//! `bench`: measures the line with real processes and prints the table; see ops/bench/README.md.
//!
//! Exit codes: 0 measured, 2 usage, 3 could not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::alone::{Tool, journal};
use bench::beside;
use bench::case::{CASES, Case};
use bench::figures::{Book, Figures, Row, machine};
use bench::kannel::Programs;
use bench::queued::{self, QUEUED, Queued};
use bench::watch::Watch;
use bench::{Result, told_to_stop};
use clap::Parser;
use conformance::Protocol;

/// Measures the line: CPU per message, throughput, request to submit, memory.
#[derive(Debug, Parser)]
#[command(after_help = "Example: bench --runs 5 --case single --case light")]
struct Options {
    /// Runs of each case, alternating; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Only these cases; `ceilings`: what load client and far side can do by themselves, and the least a line can be;
    /// `journal`: the journal alone [default: all but queued-10m]
    #[arg(long = "case", value_parser = names())]
    cases: Vec<String>,
    /// Messages of each case instead of its own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    messages: Option<u32>,
    /// Leave Kannel out, which is run beside the line where it is installed
    #[arg(long)]
    no_kannel: bool,
    /// A command that looks at the gateway's process while the measured load runs, as ops/bench/profile.sh has it
    #[arg(long, value_parser = Watch::read)]
    watch: Option<Watch>,
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

/// What is measured beside the line's cases.
const CEILINGS: &str = "ceilings";
const JOURNAL: &str = "journal";

fn names() -> Vec<&'static str> {
    let cases = CASES.iter().map(|case| case.name).chain(QUEUED.iter().map(|case| case.name));
    cases.chain([CEILINGS, JOURNAL]).collect()
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == name)
    }

    /// Those with many messages that wait.
    fn queued(&self) -> impl Iterator<Item = Queued> {
        let named = |case: &Queued| self.cases.iter().any(|name| name == case.name);
        QUEUED.into_iter().filter(move |case| if self.cases.is_empty() { case.usual } else { named(case) })
    }

    /// Cases by name, each over every protocol that is wanted of it.
    fn cases(&self) -> impl Iterator<Item = Case> {
        const ALL: [Protocol; 4] = [Protocol::Smpp, Protocol::Cmpp30, Protocol::Smgp, Protocol::Sgip];
        CASES.into_iter().filter(|case| self.wants(case.name)).flat_map(|case| {
            let protocols: &[Protocol] = match (self.protocols.as_slice(), case.is_full()) {
                ([], true) => &ALL,
                ([], false) => &ALL[..1],
                (given, _) => given,
            };
            let messages = self.messages.unwrap_or(case.messages);
            protocols.iter().map(move |&protocol| Case { protocol, messages, ..case })
        })
    }

    /// Everything wanted, not measured yet.
    fn book(&self, kannel: bool) -> Book {
        let tools = Tool::ALL.into_iter().filter(|_| self.wants(CEILINGS));
        let wishes = journal::ROWS.into_iter().filter(|_| self.wants(JOURNAL));
        Book {
            cases: self.cases().map(|case| Figures::new(case, kannel)).collect(),
            ceilings: tools.map(|tool| (tool, Row::new(tool.name(), tool.messages()))).collect(),
            journal: wishes.map(|wish| (wish, Row::new(wish.name(), wish.records))).collect(),
        }
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
    let kannel = if options.no_kannel { None } else { Programs::find() };
    let mut book = options.book(kannel.is_some());
    if kannel.is_none() && !options.no_kannel && book.cases.iter().any(|figures| beside::plays(&figures.case)) {
        eprintln!("!! SKIPPED: Kannel beside the line: it is not installed (Debian: kannel)");
    }
    let queued = |case| queued::Figures { case, runs: Vec::new() };
    let mut queued: Vec<queued::Figures> = options.queued().map(queued).collect();
    std::fs::create_dir_all(&options.out)?;
    let data = std::path::absolute(options.out.join("data"))?;
    for run in 1..=options.runs {
        let tell = |what: &str| eprintln!("run {run} of {}: {what}", options.runs);
        for figures in &mut book.cases {
            let title = figures.case.title();
            tell(&title);
            figures.row.runs.push(figures.case.run(&data.join(&title), options.watch.as_ref()).await?);
            for (store, row) in &mut figures.kannel {
                let Some(kannel) = &kannel else { continue };
                tell(&format!("{title}, Kannel, store {}", store.name()));
                let dir = data.join(format!("{title}-kannel-{}", store.name()));
                match beside::run(kannel, &figures.case, *store, &dir).await {
                    Ok(measured) => row.runs.push(measured),
                    // What it cannot do is no reason to lose the gateway's figures.
                    Err(error) => eprintln!("!! FAILED: {error}"),
                }
            }
        }
        for (tool, row) in &mut book.ceilings {
            tell(tool.name());
            row.runs.push(tool.run(&data.join(CEILINGS)).await?);
        }
        for (wish, row) in &mut book.journal {
            tell(&format!("the journal alone, {}", wish.name()));
            row.runs.push(wish.measure(&data.join(JOURNAL)).await?);
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
    print!("\n{book}");
    queued.iter().for_each(|figures| print!("\n{figures}"));
    let mut json = book.json(&machine);
    if let Some(cases) = json["cases"].as_array_mut() {
        cases.extend(queued.iter().map(queued::Figures::json));
    }
    write(&options.out.join("line.json"), &json)
}

fn write(path: &Path, figures: &serde_json::Value) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n")?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
