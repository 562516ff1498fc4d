//! The processes of a run: gateway, simulated carriers, callback sink, load. All listen on ports the system chose and
//! say which, so that runs beside each other cannot meet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::door::{self, Page};
use crate::process::{Process, program};

/// How long the channels may take to bind.
const BOUND_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks at the gateway's metrics: a page costs it about half a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Its process.
    pub process: Process,
    /// Its door for applications.
    pub http: SocketAddr,
    /// Its door for operators.
    pub admin: SocketAddr,
}

/// The line a gateway logs once it serves.
#[derive(Deserialize)]
struct Ready {
    message: String,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway in `dir` on the configuration in `dir/config`.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        let mut process = Process::start("gateway", "qiao", &["serve", "--config", "config"], dir)?;
        let log = dir.join("gateway.log");
        let ready = |line: &str| serde_json::from_str::<Ready>(line).ok().filter(|ready| ready.message == "ready");
        let look = || std::fs::read_to_string(&log).ok()?.lines().find_map(ready);
        let Ready { http, admin, .. } = process.until(look).await?;
        Ok(Self { process, http, admin })
    }

    /// Waits until `links` links are up.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn bound(&self, links: u32) -> Result<()> {
        let up = |page: &Page| page.sum("qiao_links", &[("state", "up")]) >= f64::from(links);
        if self.until(BOUND_WITHIN, up).await? { Ok(()) } else { Err(self.process.failed("its links do not come up")) }
    }

    /// Looks at the metrics until they are as wanted; whether they were in time.
    ///
    /// # Errors
    /// The admin door does not answer.
    pub async fn until(&self, within: Duration, wanted: impl Fn(&Page) -> bool) -> Result<bool> {
        let give_up = Instant::now() + within;
        loop {
            if wanted(&Page::fetch(self.admin).await?) {
                return Ok(true);
            }
            if Instant::now() >= give_up {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Running simulated carriers.
#[derive(Debug)]
pub struct Far {
    /// Their process.
    pub process: Process,
    /// Where they listen, by name.
    pub carriers: BTreeMap<String, SocketAddr>,
    /// Their control port.
    pub control: SocketAddr,
}

#[derive(Deserialize)]
struct Addresses {
    carriers: BTreeMap<String, SocketAddr>,
    control: SocketAddr,
}

impl Far {
    /// Starts the scenario in `dir/carriers.toml`.
    ///
    /// # Errors
    /// They do not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::start_by(Command::new(program("qiao-sim")?), dir).await
    }

    /// Starts the scenario by `simulator`, which runs our simulator with the arguments it is given, perhaps in a network
    /// of its own.
    ///
    /// # Errors
    /// They do not come up.
    pub async fn start_by(mut simulator: Command, dir: &Path) -> Result<Self> {
        simulator.args(["run", "carriers.toml", "--control", "127.0.0.1:0", "--ready-file", "carriers.json"]);
        let mut process = Process::spawn("carriers", simulator, dir)?;
        let Addresses { carriers, control } = process.ready("carriers.json").await?;
        Ok(Self { process, carriers, control })
    }

    /// Submits that `carrier` has answered so far.
    ///
    /// # Errors
    /// The control port does not answer.
    pub async fn answered(&self, carrier: &str) -> Result<u64> {
        self.counted(carrier, "answered").await
    }

    /// What `carrier` has counted so far under this name.
    ///
    /// # Errors
    /// The control port does not answer.
    pub async fn counted(&self, carrier: &str, name: &str) -> Result<u64> {
        let page = door::json(self.control, "/carriers").await?;
        let mut carriers = page["carriers"].as_array().into_iter().flatten();
        Ok(carriers.find(|found| found["name"] == carrier).and_then(|found| found[name].as_u64()).unwrap_or(0))
    }

    /// Starts a fault of `carrier`, or ends all of them.
    ///
    /// # Errors
    /// The control port refuses.
    pub async fn fault(&self, carrier: &str, kind: Option<&str>) -> Result<()> {
        let (method, order) = match kind {
            Some(kind) => ("POST", serde_json::json!({ "carrier": carrier, "kind": kind })),
            None => ("DELETE", serde_json::json!({ "carrier": carrier })),
        };
        door::ask(self.control, method, "/faults", &order.to_string()).await.map(drop)
    }

    /// Starts a fault of `carrier` that lasts as long as `lasts` says, for kinds that are but a moment otherwise.
    ///
    /// # Errors
    /// The control port refuses.
    pub async fn fault_for(&self, carrier: &str, kind: &str, lasts: &str) -> Result<()> {
        let order = serde_json::json!({ "carrier": carrier, "kind": kind, "for": lasts });
        door::ask(self.control, "POST", "/faults", &order.to_string()).await.map(drop)
    }
}

/// A running callback sink, which writes `callbacks.jsonl`.
#[derive(Debug)]
pub struct Sink {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

#[derive(Deserialize)]
struct Callbacks {
    callbacks: SocketAddr,
}

impl Sink {
    /// Starts a sink in `dir` that believes calls signed with `secret`.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(dir: &Path, secret: &str) -> Result<Self> {
        let args = ["callbacks", "--secret", secret, "--log", "callbacks.jsonl", "--ready-file", "callbacks.json"];
        let mut process = Process::start("callbacks", "qiao-sim", &args, dir)?;
        let Callbacks { callbacks } = process.ready("callbacks.json").await?;
        Ok(Self { process, address: callbacks })
    }

    /// Ends told so far.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ends(&self) -> Result<u64> {
        let stats = door::json(self.address, "/stats").await?;
        let count = |event: &str| stats["events"][event].as_u64().unwrap_or(0);
        Ok(["message.delivered", "message.failed", "message.expired"].into_iter().map(count).sum())
    }
}

/// A load client under way; it writes `<name>.jsonl`.
#[derive(Debug)]
pub struct Load {
    process: Process,
    out: std::path::PathBuf,
}

impl Load {
    /// Starts posting to `gateway` with `key`, as `args` say. `name` is also what its references begin with.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(dir: &Path, name: &str, gateway: &Gateway, key: &str, args: &[&str]) -> Result<Self> {
        Self::at(dir, name, &format!("http://{}", gateway.http), key, args)
    }

    /// As [`Load::start`], posting to whatever is at `url`.
    ///
    /// # Errors
    /// As [`Load::start`].
    pub fn at(dir: &Path, name: &str, url: &str, key: &str, args: &[&str]) -> Result<Self> {
        let ledger = format!("{name}.jsonl");
        Self::post(dir, name, url, key, &[&["--ledger", &ledger], args].concat())
    }

    /// As [`Load::start`], and nothing of what is posted is written down: a line for each of a million.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_without_ledger(dir: &Path, name: &str, gateway: &Gateway, key: &str, args: &[&str]) -> Result<Self> {
        Self::post(dir, name, &format!("http://{}", gateway.http), key, args)
    }

    fn post(dir: &Path, name: &str, url: &str, key: &str, args: &[&str]) -> Result<Self> {
        let fixed = ["load", "--url", url, "--key", key, "--run", name, "--quiet"];
        let all: Vec<&str> = fixed.into_iter().chain(args.iter().copied()).collect();
        Ok(Self { process: Process::start(name, "qiao-sim", &all, dir)?, out: dir.join(format!("{name}.out")) })
    }

    /// Ends it early; its summary.
    ///
    /// # Errors
    /// As [`Load::finished`].
    pub async fn stop(self) -> Result<Value> {
        self.process.signal(Signal::TERM)?;
        self.finished().await
    }

    /// Waits until it has posted everything; its summary.
    ///
    /// # Errors
    /// It failed, or nothing was accepted.
    pub async fn finished(mut self) -> Result<Value> {
        let status = self.process.ended().await?;
        let out = std::fs::read_to_string(&self.out)?;
        match out.lines().last().map(serde_json::from_str) {
            Some(Ok(summary)) if status.success() => Ok(summary),
            _ => Err(self.process.failed(&format!("{status}; {}", out.trim_end()))),
        }
    }
}
