//! A million queued messages: advertisements whose carrier takes none, while codes go over another one. What that costs
//! in memory, whether the codes notice, and how soon the gateway serves again after it was killed with all of them.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::Protocol;
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::Result;
use crate::door::{self, Page};
use crate::figures::Span;
use crate::line::{Far, Gateway, Load};
use crate::process::{cpu, peak_rss_mb, rss_mb};
use crate::trace;

/// Key of the benchmark's own gateway, which lives for seconds and on loopback only.
const KEY: &str = "BENCH-ONLY-app-key-0123456789";
/// Codes posted in each of the four measurements, and how many a second.
const CODES: (u32, u32) = (2_000, 100);
/// Advertisements per post.
const BATCH: u32 = 1_000;
/// Octets of an advertisement: 60 Chinese characters, one part.
const TEXT: usize = 60;
/// How long the gateway may take until its gauges show what it has.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Parts per second of the carrier that takes the advertisements in the end.
const PACE: u32 = 1_000;
/// Quiet after the last post: pages that are free go back to the system meanwhile.
const QUIET: Duration = Duration::from_secs(3);

/// So many messages that wait.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    /// Its name in tables and files.
    pub name: &'static str,
    /// Advertisements that wait.
    pub messages: u32,
    /// Run where no case is named.
    pub usual: bool,
}

/// All cases.
pub const QUEUED: [Queued; 2] = [
    Queued { name: "queued-1m", messages: 1_000_000, usual: true },
    Queued { name: "queued-10m", messages: 10_000_000, usual: false },
];

/// What one run came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// CPU of the gateway per advertisement posted, user and system, in µs.
    cpu_us: f64,
    /// Advertisements taken per second.
    per_s: f64,
    /// The gateway's memory with all of them waiting, in MB; the most it ever had; and the same after the restart.
    rss_mb: [f64; 2],
    restart_rss_mb: [f64; 2],
    /// Codes, request → submit: with nothing else waiting, while all wait, while they wait after the restart, and while
    /// they flow; median and 99th percentile, in ms.
    alone: [f64; 2],
    beside: [f64; 2],
    flowing: [f64; 2],
    /// Journal on disk, in MB.
    journal_mb: f64,
    /// From the start of the process that follows the killed one to its first 202, in seconds.
    restart_s: f64,
}

type Column = (&'static str, &'static str, usize, fn(&Measured) -> f64);

/// Key in the file, heading in the table, digits after the point.
const COLUMNS: [Column; 14] = [
    ("cpu_us_per_message", "CPU us/msg", 1, |m| m.cpu_us),
    ("messages_per_s", "msg/s", 0, |m| m.per_s),
    ("alone_p50_ms", "alone p50", 2, |m| m.alone[0]),
    ("alone_p99_ms", "alone p99", 2, |m| m.alone[1]),
    ("p50_ms", "p50 ms", 2, |m| m.beside[0]),
    ("p99_ms", "p99 ms", 2, |m| m.beside[1]),
    ("flowing_p50_ms", "flowing p50", 2, |m| m.flowing[0]),
    ("flowing_p99_ms", "flowing p99", 2, |m| m.flowing[1]),
    ("rss_mb", "RSS MB", 0, |m| m.rss_mb[0]),
    ("peak_rss_mb", "peak MB", 0, |m| m.rss_mb[1]),
    ("journal_mb", "journal MB", 0, |m| m.journal_mb),
    ("restart_s", "restart s", 2, |m| m.restart_s),
    ("restart_rss_mb", "RSS then", 0, |m| m.restart_rss_mb[0]),
    ("restart_peak_rss_mb", "peak then", 0, |m| m.restart_rss_mb[1]),
];

impl Queued {
    /// Runs it once in `dir`, which is emptied first.
    ///
    /// # Errors
    /// Something does not start or does not finish, a code is lost or repeated, or the queue is not what it was after
    /// the restart.
    pub async fn run(&self, dir: &Path) -> Result<Measured> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir.join("config"))?;
        fs::write(dir.join("carriers.toml"), scenario())?;
        let far = Far::start(dir).await?;
        far.fault("adverts", Some("refuse")).await?;
        fs::write(dir.join("config/qiao.toml"), self.config(&far)?)?;
        let mut gateway = Gateway::start(dir).await?;
        gateway.bound(1).await?;
        let mut measured = Measured::default();

        codes(dir, "warm", "+86130", 500, &gateway).await?;
        measured.alone = codes(dir, "alone", "+86131", CODES.0, &gateway).await?;

        let pid = gateway.process.pid().unwrap_or(0);
        let before = cpu(pid);
        let summary = self.fill(dir, &gateway).await?;
        self.waiting(&gateway).await?;
        measured.cpu_us = (cpu(pid) - before).as_secs_f64() * 1e6 / f64::from(self.messages);
        measured.per_s = summary["messages_per_s"].as_f64().unwrap_or(0.0);
        sleep(QUIET).await;
        measured.rss_mb[0] = rss_mb(pid);
        measured.beside = codes(dir, "beside", "+86132", CODES.0, &gateway).await?;
        measured.rss_mb[1] = peak_rss_mb(pid);
        measured.journal_mb = Page::fetch(gateway.admin).await?.sum("qiao_journal_bytes", &[]) / 1e6;

        gateway.process.kill().await?;
        let killed = Instant::now();
        let gateway = Gateway::start(dir).await?;
        Load::start(dir, "first", &gateway, KEY, &["--count", "1", "--tiers", "otp", "--to-prefix", "+86133"])?
            .finished()
            .await?;
        measured.restart_s = killed.elapsed().as_secs_f64();
        door::ask(gateway.admin, "GET", "/readyz", "").await?;
        self.waiting(&gateway).await?;
        gateway.bound(1).await?;
        sleep(QUIET).await;
        let pid = gateway.process.pid().unwrap_or(0);
        measured.restart_rss_mb = [rss_mb(pid), peak_rss_mb(pid)];

        far.fault("adverts", None).await?;
        gateway.bound(2).await?;
        measured.flowing = codes(dir, "flowing", "+86134", CODES.0, &gateway).await?;
        gateway.process.stop().await?;
        far.process.stop().await?;
        each_once(&dir.join("adverts.jsonl"))?;
        Ok(measured)
    }

    async fn fill(&self, dir: &Path, gateway: &Gateway) -> Result<Value> {
        let (count, batch, text) = (self.messages.to_string(), BATCH.to_string(), "桥".repeat(TEXT));
        let args = ["--count", &count, "--batch", &batch, "--text", &text, "--tiers", "marketing"];
        let args = [&args[..], &["--to-prefix", "+86135", "--connections", "32"]].concat();
        let summary = Load::start_without_ledger(dir, "fill", gateway, KEY, &args)?.finished().await?;
        if summary["accepted"] == self.messages { Ok(summary) } else { Err(format!("{summary}").into()) }
    }

    /// Waits until the gateway shows all advertisements, no more and no fewer.
    async fn waiting(&self, gateway: &Gateway) -> Result<()> {
        let queued = |page: &Page| page.sum("qiao_queue_messages", &[("tier", "marketing")]);
        if gateway.until(SEEN_WITHIN, |page| queued(page) == f64::from(self.messages)).await? {
            return Ok(());
        }
        let found = queued(&Page::fetch(gateway.admin).await?);
        Err(format!("{}: {found} messages wait, not {}", self.name, self.messages).into())
    }

    /// Of the limits only those that so many messages need are raised.
    fn config(&self, far: &Far) -> Result<String> {
        let address = |name: &str| far.carriers.get(name).copied().ok_or("the simulator does not say where it listens");
        let near = |name: &str| -> Result<String> { Ok(Protocol::Smpp.near(name, address(name)?, None)) };
        let raised = match self.messages {
            ..=1_000_000 => String::new(),
            messages => {
                let most = u64::from(messages) * 3 / 2;
                format!("[limits]\nmessages = {most}\n[journal]\nmax_bytes = \"{}GiB\"\n", messages / 500_000)
            }
        };
        let mut config = format!(
            "[node]\nname = \"bench\"\ndata_dir = \"../data\"\n{raised}\
             [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[app]]\nid = \"bench\"\nkeys = [\"{KEY}\"]\nrate = 1000000\ntiers = [\"otp\", \"marketing\"]\n"
        );
        for (name, tier, rate) in [("codes", "otp", 1_000_000), ("adverts", "marketing", PACE)] {
            write!(
                config,
                "[[channel]]\nname = \"{name}\"\ncarrier = \"{name}\"\nprotocol = \"smpp\"\nrate = {rate}\nwindow = 100\n\
                 receipts = false\n{}{}[[group]]\nname = \"{name}\"\nchannels = [{{ name = \"{name}\" }}]\n\
                 [[route]]\nname = \"{name}\"\nmatch = {{ tier = [\"{tier}\"] }}\ngroup = \"{name}\"\n",
                near(name)?,
                Protocol::Smpp.without_receipts()
            )?;
        }
        Ok(config)
    }
}

fn scenario() -> String {
    let carrier = |name: &str| {
        format!(
            "[[carrier]]\nname = \"{name}\"\n{}answer_latency = 0\nwindow = 2000\nlog = \"{name}.jsonl\"\n",
            Protocol::Smpp.far(name, None)
        )
    };
    carrier("codes") + &carrier("adverts")
}

/// Posts so many codes on schedule and waits until their carrier has them; median and 99th percentile of request → submit.
async fn codes(dir: &Path, name: &str, prefix: &str, count: u32, gateway: &Gateway) -> Result<[f64; 2]> {
    let (count, rate) = (count.to_string(), CODES.1.to_string());
    let args = ["--count", &count, "--rate", &rate, "--for", "1h", "--tiers", "otp", "--to-prefix", prefix];
    let summary = Load::start(dir, name, gateway, KEY, &args)?.finished().await?;
    if summary["accepted"].as_u64() != count.parse().ok() {
        return Err(format!("{name}: {summary}").into());
    }
    let none = |page: &Page| {
        page.sum("qiao_queue_messages", &[("tier", "otp")]) + page.sum("qiao_window_in_flight", &[("channel", "codes")])
            == 0.0
    };
    gateway.until(SEEN_WITHIN, none).await?;
    // The carrier writes its log once a second.
    let give_up = Instant::now() + SEEN_WITHIN;
    loop {
        let trace = trace::read(&dir.join(format!("{name}.jsonl")), &dir.join("codes.jsonl"), None, 1)?;
        if trace.missing == 0 && trace.repeated == 0 {
            return Ok([trace.latency.quantile_ms(0.5), trace.latency.quantile_ms(0.99)]);
        }
        if trace.repeated > 0 || Instant::now() > give_up {
            return Err(format!("{name}: {} codes lost, {} repeated", trace.missing, trace.repeated).into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Each advertisement that flowed reached its carrier once.
fn each_once(log: &Path) -> Result<()> {
    let (mut numbers, mut all) = (HashSet::new(), 0usize);
    trace::each(log, |record| {
        if let simulators::records::Record::Submit(submit) = record {
            all += 1;
            numbers.insert(trace::digits(&submit.destination));
        }
    })?;
    if all == 0 || numbers.len() < all {
        return Err(format!("{all} advertisements flowed to {} numbers", numbers.len()).into());
    }
    Ok(())
}

/// A case and its runs.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The case.
    pub case: Queued,
    /// What each run came to.
    pub runs: Vec<Measured>,
}

impl Figures {
    fn span(&self, (_, _, _, of): &Column) -> Span {
        Span::of(self.runs.iter().map(of).collect())
    }

    /// The case as JSON, as the other cases are.
    pub fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), self.case.name.into());
        fields.insert("messages".into(), self.case.messages.into());
        for column in &COLUMNS {
            self.span(column).put(column.0, &mut fields);
        }
        fields.insert("kannel".into(), Value::Null);
        fields.insert("runs".into(), self.runs.len().into());
        Value::Object(fields)
    }
}

/// A line for each figure: its median, and its span.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} runs)", self.case.name, self.runs.len())?;
        for column in &COLUMNS {
            let (Span { median, min, max }, (_, title, digits, _)) = (self.span(column), *column);
            writeln!(f, "  {title:<12} {median:>12.digits$}   {min:.digits$}-{max:.digits$}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_is_what_the_simulator_reads() {
        simulators::scenario::Scenario::read(&scenario(), "queued").unwrap();
    }

    #[test]
    fn other_tools_find_the_restart_and_every_figure_with_its_span() {
        let run = |restart_s| Measured { restart_s, ..Measured::default() };
        let json = Figures { case: QUEUED[0], runs: vec![run(3.0), run(1.0), run(2.0)] }.json();
        assert_eq!((&json["name"], &json["runs"]), (&"queued-1m".into(), &3.into()));
        assert_eq!([&json["restart_s"], &json["restart_s_min"], &json["restart_s_max"]], [2.0, 1.0, 3.0]);
        for key in ["messages", "cpu_us_per_message", "messages_per_s", "p50_ms", "p99_ms", "rss_mb", "kannel"] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }
}
