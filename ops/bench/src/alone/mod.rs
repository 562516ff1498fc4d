//! Parts by themselves: what the load client and the far side can do where nothing stands between them and a peer that
//! does next to nothing, so that a reader sees whether they hold the gateway back; the least a line can be; and the
//! journal without the line.
//! The program is `ops/bench/src/bin/alone.rs`; the benchmark starts it as a process of its own.

pub mod answer;
pub mod journal;
pub mod least;
pub mod submit;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::case::{CASES, Case};
use crate::figures::{Column, Measure};
use crate::line::{Far, Load};
use crate::process::{Process, cpu};

/// How long the far side may take to answer what is left once the load is through.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at its figures.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What one run of a tool against a peer that does next to nothing came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ceiling {
    /// Messages per second.
    pub per_s: f64,
    /// CPU of the tool that is measured per message, in µs.
    pub own_us: f64,
    /// CPU of its peer per message, in µs.
    pub peer_us: f64,
}

impl Measure for Ceiling {
    const COLUMNS: &'static [Column<Self>] = &[
        Column { key: "cpu_us_per_message", title: "CPU us/msg", digits: 2, of: |m| m.own_us },
        Column { key: "messages_per_s", title: "msg/s", digits: 0, of: |m| m.per_s },
        Column { key: "peer_cpu_us_per_message", title: "peer us/msg", digits: 2, of: |m| m.peer_us },
    ];
}

/// The tools whose ceiling is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The load client, one message per post.
    Posts,
    /// The load client, 1,000 messages per post.
    Batches,
    /// The least line there can be, which syncs what it accepts: its own CPU, and the load client's.
    Least,
    /// The same with 1,000 messages per post.
    LeastBatches,
    /// The same as the first, with a receipt told for each message.
    LeastReceipts,
    /// The same with 1,000 messages per post.
    LeastBatchesReceipts,
    /// The far side, fed with submits.
    Submits,
    /// The far side, which owes a receipt for each submit.
    Receipts,
    /// The far side, which answers after 20 ms: a window of 100 allows 5,000 per second.
    Away,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 9] = [
        Tool::Posts,
        Tool::Batches,
        Tool::Least,
        Tool::LeastBatches,
        Tool::LeastReceipts,
        Tool::LeastBatchesReceipts,
        Tool::Submits,
        Tool::Receipts,
        Tool::Away,
    ];

    /// Its name in table and file.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Posts => "load: posts",
            Tool::Batches => "load: batches",
            Tool::Least => "least: posts",
            Tool::LeastBatches => "least: batches",
            Tool::LeastReceipts => "least: receipts",
            Tool::LeastBatchesReceipts => "least: batches, receipts",
            Tool::Submits => "far: submits",
            Tool::Receipts => "far: with receipts",
            Tool::Away => "far: 20 ms away",
        }
    }

    /// Messages per run.
    pub fn messages(self) -> u32 {
        match self {
            Tool::Posts | Tool::Least => 120_000,
            Tool::Batches | Tool::LeastBatches => 400_000,
            Tool::Submits => 400_000,
            Tool::LeastReceipts => 80_000,
            Tool::Receipts | Tool::LeastBatchesReceipts => 200_000,
            Tool::Away => 20_000,
        }
    }

    /// Runs it once in `dir`, which is emptied first.
    ///
    /// # Errors
    /// Something does not start, or not everything is answered.
    pub async fn run(self, dir: &Path) -> Result<Ceiling> {
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir)?;
        match self {
            Tool::Posts => self.load(dir, &case("single")?).await,
            Tool::Batches => self.load(dir, &case("batch")?).await,
            Tool::Least => self.least(dir, &case("single")?).await,
            Tool::LeastBatches => self.least(dir, &case("batch")?).await,
            Tool::LeastReceipts => self.least(dir, &case("single-receipts")?).await,
            Tool::LeastBatchesReceipts => self.least(dir, &case("batch-receipts")?).await,
            Tool::Submits => self.far(dir, case("single")?).await,
            Tool::Receipts => self.far(dir, case("single-receipts")?).await,
            Tool::Away => self.far(dir, case("slow-carrier-full")?).await,
        }
    }

    async fn load(self, dir: &Path, case: &Case) -> Result<Ceiling> {
        let answerer = Answerer::start(dir).await?;
        let pid = answerer.process.pid().unwrap_or(0);
        let before = cpu(pid);
        let summary = posts(dir, case, answerer.address, self.messages()).await?;
        let spent = cpu(pid).saturating_sub(before);
        answerer.process.stop().await?;
        let own = summary["cpu_us_per_message"].as_f64().unwrap_or(0.0);
        Ok(self.ceiling(&summary, own, self.per_message(spent)))
    }

    async fn least(self, dir: &Path, case: &Case) -> Result<Ceiling> {
        std::fs::write(dir.join("carriers.toml"), case.scenario(None))?;
        let far = Far::start(dir).await?;
        let to = far.carriers.get("far").ok_or("the simulator does not say where it listens")?.to_string();
        let sink = if case.receipts { Some(Answerer::start(dir).await?) } else { None };
        let told = sink.as_ref().map(|sink| sink.address.to_string());
        let tell = told.iter().flat_map(|told| ["--tell", told]);
        let args: Vec<&str> = ["least", "--to", &to, "--dir", "segment"].into_iter().chain(tell).collect();
        let line = Answerer::by(dir, "least", &args).await?;
        let pid = line.process.pid().unwrap_or(0);
        let before = cpu(pid);
        let summary = posts(dir, case, line.address, self.messages()).await?;
        let give_up = Instant::now() + ANSWERED_WITHIN;
        let over = if case.receipts { "receipts_acked" } else { "answered" };
        while far.counted("far", over).await? < u64::from(self.messages()) {
            if Instant::now() > give_up {
                return Err(line.process.failed("not everything was answered or acknowledged"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if let Some(sink) = sink {
            // What was told last is on its way.
            let mut posts = 0;
            while posts == 0 || posts != sink.counted().await?.requests {
                posts = sink.counted().await?.requests;
                tokio::time::sleep(LOOK_EVERY).await;
                if Instant::now() > give_up {
                    return Err(line.process.failed("its events do not end"));
                }
            }
            sink.process.stop().await?;
        }
        let spent = cpu(pid).saturating_sub(before);
        line.process.stop().await?;
        far.process.stop().await?;
        let peer = summary["cpu_us_per_message"].as_f64().unwrap_or(0.0);
        Ok(self.ceiling(&summary, self.per_message(spent), peer))
    }

    async fn far(self, dir: &Path, case: Case) -> Result<Ceiling> {
        std::fs::write(dir.join("carriers.toml"), case.scenario(None))?;
        let far = Far::start(dir).await?;
        let address = far.carriers.get("far").ok_or("the simulator does not say where it listens")?.to_string();
        let pid = far.process.pid().unwrap_or(0);
        let before = cpu(pid);
        let (count, window) = (self.messages().to_string(), case.window.to_string());
        let mut args = vec!["submit", "--to", &address, "--count", &count, "--window", &window];
        args.extend(case.receipts.then_some("--receipts"));
        let mut submitter = Process::start("submit", "alone", &args, dir)?;
        let status = submitter.ended().await?;
        let spent = cpu(pid).saturating_sub(before);
        let summary = std::fs::read_to_string(dir.join("submit.out"))?;
        if !status.success() {
            return Err(submitter.failed(&format!("{status}; {}", summary.trim_end())));
        }
        far.process.stop().await?;
        let summary: Value = serde_json::from_str(summary.trim())?;
        let peer = summary["cpu_us_per_message"].as_f64().unwrap_or(0.0);
        Ok(self.ceiling(&summary, self.per_message(spent), peer))
    }

    fn per_message(self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / f64::from(self.messages())
    }

    fn ceiling(self, summary: &Value, own_us: f64, peer_us: f64) -> Ceiling {
        Ceiling { per_s: summary["messages_per_s"].as_f64().unwrap_or(0.0), own_us, peer_us }
    }
}

/// The load of `case` upon a door that asks for no key.
async fn posts(dir: &Path, case: &Case, door: SocketAddr, messages: u32) -> Result<Value> {
    let wishes = case.wishes("+86138", messages);
    let wishes: Vec<&str> = wishes.iter().map(String::as_str).collect();
    let summary = Load::at(dir, "load", &format!("http://{door}"), "no-key", &wishes)?.finished().await?;
    let all = summary["accepted"].as_u64() == Some(messages.into());
    if all { Ok(summary) } else { Err(format!("{}: {summary}", case.name).into()) }
}

fn case(name: &str) -> Result<Case> {
    CASES.into_iter().find(|case| case.name == name).ok_or_else(|| format!("no case {name}").into())
}

/// A door that takes everything and does nothing, or the least line, in a process of its own.
#[derive(Debug)]
pub struct Answerer {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What an answerer's `GET /count` says.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
pub struct Counted {
    /// Requests answered.
    pub requests: u64,
    /// When the last one came, ms since 1970.
    pub last_ms: f64,
}

/// Its ready file.
#[derive(Debug, Deserialize, serde::Serialize)]
struct Ready {
    answer: SocketAddr,
}

impl Answerer {
    /// Starts one in `dir`.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::by(dir, "answer", &["answer"]).await
    }

    async fn by(dir: &Path, name: &str, args: &[&str]) -> Result<Self> {
        let ready = format!("{name}.json");
        let args = [args, &["--ready-file", &ready]].concat();
        let mut process = Process::start(name, "alone", &args, dir)?;
        let Ready { answer } = process.ready(&ready).await?;
        Ok(Self { process, address: answer })
    }

    /// What it was asked so far.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn counted(&self) -> Result<Counted> {
        Ok(serde_json::from_value(crate::door::json(self.address, "/count").await?)?)
    }
}
