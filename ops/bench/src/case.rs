//! The cases of the line's benchmark, and one run of one: fresh processes, fresh data, a warm-up, the measured load,
//! and the wait until the gateway has finished its last message.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conformance::{Protocol, ports};

use crate::Result;
use crate::door::Page;
use crate::line::{Far, Gateway, Load, Sink};
use crate::process::{cpu, peak_rss_mb};
use crate::trace;
use crate::watch::Watch;

/// Key and secrets of the benchmark's own gateway, which lives for seconds and on loopback only.
const KEY: &str = "BENCH-ONLY-app-key-0123456789";
const SECRET: &str = "whsec_QkVOQ0gtT05MWS1ub3QtYS1zZWNyZXQtc2lnbmluZy1rZXk=";
/// How long after the load everything must be finished.
const FINISHED_WITHIN: Duration = Duration::from_secs(60);

/// One way of loading the line.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name in tables and files.
    pub name: &'static str,
    /// Messages measured.
    pub messages: u32,
    /// Messages posted before, not measured.
    pub warm_up: u32,
    /// Messages per second; without it as fast as the answers come, over 32 connections.
    pub rate: Option<u32>,
    /// Messages per post, where they come in batches.
    pub batch: Option<u32>,
    /// Receipts from the carrier and callbacks to the application.
    pub receipts: bool,
    /// From submit to answer at the far side, in milliseconds.
    pub answer_ms: u32,
    /// Unanswered submits per link.
    pub window: u32,
    /// Parts of each message: above one a Chinese text, of which 67 characters fit a part in every protocol.
    pub parts: u32,
    /// Tier of its messages.
    pub tier: &'static str,
    /// What the far side speaks.
    pub protocol: Protocol,
    /// Whether the far side's TCP acknowledges at once (TCP_QUICKACK), or as late as it may; none: as the kernel sees fit.
    pub quickack: Option<bool>,
}

/// One message per post, nothing told back.
const SINGLE: Case = Case {
    name: "single",
    messages: 120_000,
    warm_up: 10_000,
    rate: None,
    batch: None,
    receipts: false,
    answer_ms: 0,
    window: 1000,
    parts: 1,
    tier: "notice",
    protocol: Protocol::Smpp,
    quickack: None,
};

/// The carrier is 20 ms away: a window of 100 allows 5,000 per second, of the first tier. Others leave it an eighth.
const SLOW: Case = Case { name: "slow-carrier", answer_ms: 20, window: 100, tier: "otp", ..SINGLE };

/// All cases.
pub const CASES: [Case; 10] = [
    SINGLE,
    Case { name: "single-receipts", messages: 80_000, receipts: true, ..SINGLE },
    Case { name: "light", messages: 1_000, warm_up: 100, rate: Some(100), ..SINGLE },
    Case { name: "long", messages: 8_000, warm_up: 1_000, parts: 10, ..SINGLE },
    Case { messages: 12_000, warm_up: 1_000, rate: Some(3_000), ..SLOW },
    Case { name: "slow-carrier-full", messages: 30_000, warm_up: 1_000, ..SLOW },
    Case { name: "slow-carrier-quickack", messages: 30_000, warm_up: 1_000, quickack: Some(true), ..SLOW },
    Case { name: "slow-carrier-no-quickack", messages: 30_000, warm_up: 1_000, quickack: Some(false), ..SLOW },
    Case { name: "batch", messages: 400_000, warm_up: 40_000, batch: Some(1_000), ..SINGLE },
    Case { name: "batch-receipts", messages: 200_000, warm_up: 40_000, batch: Some(1_000), receipts: true, ..SINGLE },
];

/// What one run came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// CPU of the gateway per message, user and system, in µs.
    pub cpu_us: f64,
    /// Messages per second, first request to last sign of any message.
    pub per_s: f64,
    /// Request → submit, median, in ms.
    pub p50_ms: f64,
    /// Request → submit, 99th percentile, in ms.
    pub p99_ms: f64,
    /// The gateway's peak memory, in MB.
    pub rss_mb: f64,
    /// CPU of the load client per message, in µs.
    pub load_us: f64,
    /// CPU of carrier and sink per message, in µs.
    pub far_us: f64,
}

impl Case {
    /// Its name, with the protocol where that is not SMPP.
    pub fn title(&self) -> String {
        match self.protocol {
            Protocol::Smpp => self.name.to_owned(),
            protocol => format!("{}-{protocol}", self.name),
        }
    }

    /// Whether it goes as fast as gateway and far side can.
    pub fn is_full(&self) -> bool {
        self.rate.is_none() && self.answer_ms == 0
    }

    /// Runs it once in `dir`, which is emptied first; `watch` looks at the gateway while the measured load runs.
    ///
    /// # Errors
    /// Something does not start, does not finish, or a message is lost or repeated.
    pub async fn run(&self, dir: &Path, watch: Option<&Watch>) -> Result<Measured> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir.join("config"))?;
        let listen = self.protocol.calls_back().then(ports::free);
        fs::write(dir.join("carriers.toml"), self.scenario(listen))?;
        let far = Far::start(dir).await?;
        let sink = if self.receipts { Some(Sink::start(dir, SECRET).await?) } else { None };
        fs::write(dir.join("config/qiao.toml"), self.config(&far, listen, sink.as_ref())?)?;
        let mut gateway = Gateway::start(dir).await?;
        gateway.bound(1).await?;

        self.load(dir, "warm", "+86139", self.warm_up, &mut gateway).await?;
        self.finished(&gateway, sink.as_ref(), self.warm_up).await?;
        let pid = |process: &crate::process::Process| process.pid().unwrap_or(0);
        let ours = pid(&gateway.process);
        let theirs = [Some(pid(&far.process)), sink.as_ref().map(|sink| pid(&sink.process))];
        let far_cpu = || theirs.iter().flatten().map(|pid| cpu(*pid)).sum::<Duration>();
        let watching = match watch {
            Some(watch) => Some(watch.start(dir, ours, self).await?),
            None => None,
        };
        let (before, far_before) = (cpu(ours), far_cpu());
        let summary = self.load(dir, "load", "+86138", self.messages, &mut gateway).await?;
        self.finished(&gateway, sink.as_ref(), self.warm_up + self.messages).await?;
        let (spent, far_spent, rss_mb) = (cpu(ours) - before, far_cpu() - far_before, peak_rss_mb(ours));

        if let Some(watching) = watching {
            watching.end().await?;
        }
        gateway.process.stop().await?;
        far.process.stop().await?;
        if let Some(sink) = sink {
            sink.process.stop().await?;
        }
        let callbacks = dir.join("callbacks.jsonl");
        let callbacks = self.receipts.then_some(callbacks.as_path());
        let trace = trace::read(&dir.join("load.jsonl"), &dir.join("carrier.jsonl"), callbacks, self.parts)?;
        if trace.missing + trace.repeated > 0 {
            return Err(format!("{}: {} lost, {} repeated", self.name, trace.missing, trace.repeated).into());
        }
        let messages = f64::from(self.messages);
        let per_message = |cpu: Duration| cpu.as_secs_f64() * 1e6 / messages;
        Ok(Measured {
            cpu_us: per_message(spent),
            per_s: messages / trace.seconds.max(1e-9),
            p50_ms: trace.latency.quantile_ms(0.5),
            p99_ms: trace.latency.quantile_ms(0.99),
            rss_mb,
            load_us: summary["cpu_us_per_message"].as_f64().unwrap_or(0.0),
            far_us: per_message(far_spent),
        })
    }

    async fn load(
        &self,
        dir: &Path,
        name: &str,
        prefix: &str,
        count: u32,
        gateway: &mut Gateway,
    ) -> Result<serde_json::Value> {
        let wishes = self.wishes(prefix, count);
        let args: Vec<&str> = wishes.iter().map(String::as_str).collect();
        let load = Load::start(dir, name, gateway, KEY, &args)?;
        let summary = tokio::select! {
            summary = load.finished() => summary?,
            // The load would go on trying.
            status = gateway.process.ended() => return Err(gateway.process.failed(&format!("under load: {}", status?))),
        };
        if summary["accepted"].as_u64() == Some(count.into()) { Ok(summary) } else { Err(format!("{summary}").into()) }
    }

    /// What the load client is told of `count` messages.
    pub(crate) fn wishes(&self, prefix: &str, count: u32) -> Vec<String> {
        let count = count.to_string();
        let mut args: Vec<String> =
            ["--count", &count, "--to-prefix", prefix, "--tiers", "", "--connections", "32"].map(str::to_owned).into();
        let mut wish = |name: &str, value: String| args.extend([name.to_owned(), value]);
        // A gateway under a profiler is slow.
        wish("--answer-within", "60s".to_owned());
        if self.parts > 1 {
            wish("--text", "桥".repeat(67 * self.parts as usize));
        }
        if let Some(batch) = self.batch {
            wish("--batch", batch.to_string());
        }
        if let Some(rate) = self.rate {
            wish("--rate", rate.to_string());
            // Without it a paced load would end after its default of ten seconds.
            wish("--for", "1h".to_owned());
        }
        args
    }

    /// Waits until the gateway has concluded `messages` and nothing is left to do for any of them.
    async fn finished(&self, gateway: &Gateway, sink: Option<&Sink>, messages: u32) -> Result<()> {
        let done = |page: &Page| {
            page.sum("qiao_outcomes_total", &[]) >= f64::from(messages)
                && page.sum("qiao_messages", &[]) + page.sum("qiao_callback_backlog", &[]) == 0.0
        };
        if !gateway.until(FINISHED_WITHIN, done).await? {
            let page = Page::fetch(gateway.admin).await?;
            let left = ["qiao_outcomes_total", "qiao_messages", "qiao_callback_backlog"]
                .map(|name| format!("{name} {}", page.sum(name, &[])));
            let what = format!("{}: {messages} messages do not come to their end: {}", self.name, left.join(", "));
            return Err(gateway.process.failed(&what));
        }
        match sink {
            Some(sink) if sink.ends().await? < u64::from(messages) => {
                Err(format!("{}: the callback sink was not told everything", self.name).into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn scenario(&self, callback: Option<SocketAddr>) -> String {
        let quickack = self.quickack.map_or_else(String::new, |quickack| format!("quickack = {quickack}\n"));
        format!(
            "[[carrier]]\nname = \"far\"\n{}{quickack}answer_latency = {}\nwindow = 2000\nlog = \"carrier.jsonl\"\nreceipts = {{ after = 0, window = 500 }}\n",
            self.protocol.far("far", callback),
            self.answer_ms
        )
    }

    /// A gateway that holds nothing back: no rate stands in the way of door or channel.
    fn config(&self, far: &Far, listen: Option<SocketAddr>, sink: Option<&Sink>) -> Result<String> {
        let address = *far.carriers.get("far").ok_or("the simulator does not say where it listens")?;
        let callback = sink.map_or_else(String::new, |sink| {
            format!(
                "callback = {{ url = \"http://{}/hooks\", secret = \"{SECRET}\", allow_private = [\"127.0.0.0/8\"] }}\n",
                sink.address
            )
        });
        let Case { receipts, window, tier, protocol, .. } = *self;
        let (word, account) = (protocol.word(), protocol.near("far", address, listen));
        let (silent, numbers) = (if receipts { "" } else { protocol.without_receipts() }, protocol.whole_numbers());
        Ok(format!(
            "[node]\nname = \"bench\"\ndata_dir = \"../data\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[app]]\nid = \"bench\"\nkeys = [\"{KEY}\"]\nrate = 1000000\ntiers = [\"{tier}\"]\n{callback}\
             [[channel]]\nname = \"far\"\ncarrier = \"far\"\nprotocol = \"{word}\"\nrate = 1000000\nwindow = {window}\n\
             receipts = {receipts}\n{account}{silent}{numbers}[[group]]\nname = \"all\"\nchannels = [{{ name = \"far\" }}]\n\
             [[route]]\nname = \"all\"\ngroup = \"all\"\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_are_those_other_tools_look_for() {
        let names = CASES.map(|case| case.name);
        for name in ["single", "single-receipts", "light", "long", "slow-carrier", "batch", "batch-receipts"] {
            assert_eq!(names.iter().filter(|found| **found == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn scenarios_are_what_the_simulator_reads() {
        for protocol in Protocol::ALL {
            let callback = protocol.calls_back().then_some(SocketAddr::from(([127, 0, 0, 1], 9)));
            for case in CASES.map(|case| Case { protocol, ..case }) {
                simulators::scenario::Scenario::read(&case.scenario(callback), case.name).unwrap();
            }
        }
    }
}
