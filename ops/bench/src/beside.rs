//! The same load through Kannel: the same client, the same far side, and its bearerbox and smsbox where the gateway is.
//! What would hold it back for no reason is out of its way: no limit of its rate, the gateway's window, no log but
//! errors.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conformance::Protocol;
use conformance::account::PASSWORD;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::alone::Answerer;
use crate::case::{Case, Measured};
use crate::kannel::{Ports, Programs};
use crate::line::{Far, Load};
use crate::process::{cpu, peak_rss_mb};
use crate::trace;

/// Name and password of whoever posts.
const ACCOUNT: &str = "bench";
/// How long after the load everything must be finished: it takes what comes faster than it sends it.
const FINISHED_WITHIN: Duration = Duration::from_secs(180);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of the gateway's messages it gets this part: it is slower, and its figures are per message.
const PART: u32 = 4;
/// It gets so many at least.
const LEAST: u32 = 1_000;

/// Where it keeps messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In memory only.
    None,
    /// A file for each, never synced.
    Spool,
}

impl Store {
    /// Both.
    pub const ALL: [Store; 2] = [Store::None, Store::Spool];

    /// Its name in table and file.
    pub fn name(self) -> &'static str {
        match self {
            Store::None => "none",
            Store::Spool => "spool",
        }
    }
}

/// Whether it is run beside `case`: over SMPP, one message per request, one part per message.
pub fn plays(case: &Case) -> bool {
    let alike = case.protocol == Protocol::Smpp && case.batch.is_none() && case.parts == 1 && case.quickack.is_none();
    alike && ["single", "single-receipts", "light", "slow-carrier", "slow-carrier-full"].contains(&case.name)
}

/// How many of the case's messages it gets.
pub fn messages(case: &Case) -> u32 {
    (case.messages / PART).max(LEAST).min(case.messages)
}

/// Runs `case` once in `dir`, which is emptied first.
///
/// # Errors
/// Something does not start, does not finish, or a message is lost or repeated.
pub async fn run(programs: &Programs, case: &Case, store: Store, dir: &Path) -> Result<Measured> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir.join("spool"))?;
    fs::write(dir.join("carriers.toml"), case.scenario(None))?;
    let far = Far::start(dir).await?;
    let address = *far.carriers.get("far").ok_or("the simulator does not say where it listens")?;
    let ends = if case.receipts { Some(Answerer::start(dir).await?) } else { None };
    let ports = Ports::choose()?;
    let kannel = programs.start(dir, &ports, &config(case, store, &ports, address, dir), 1).await?;
    let run = Run { case, far: &far, ends: ends.as_ref(), sendsms: kannel.sendsms, dir };

    let warm_up = (case.warm_up / PART).max(100);
    run.load("warm", "+86139", warm_up, warm_up).await?;
    let theirs = [far.process.pid(), ends.as_ref().and_then(|ends| ends.process.pid())];
    let ours_cpu = || kannel.pids().into_iter().map(cpu).sum::<Duration>();
    let far_cpu = || theirs.iter().flatten().map(|pid| cpu(*pid)).sum::<Duration>();
    let (before, far_before) = (ours_cpu(), far_cpu());
    let count = messages(case);
    let summary = run.load("load", "+86138", count, warm_up + count).await?;
    let (spent, far_spent) = (ours_cpu().saturating_sub(before), far_cpu().saturating_sub(far_before));
    let rss_mb = kannel.pids().into_iter().map(peak_rss_mb).sum();
    let last_ms = match &ends {
        Some(ends) => ends.counted().await?.last_ms,
        None => 0.0,
    };
    kannel.kill().await?;
    far.process.stop().await?;
    if let Some(ends) = ends {
        ends.process.stop().await?;
    }
    let trace = trace::read(&dir.join("load.jsonl"), &dir.join("carrier.jsonl"), None, 1)?;
    if trace.missing + trace.repeated > 0 {
        return Err(format!("Kannel, {}: {} lost, {} repeated", case.name, trace.missing, trace.repeated).into());
    }
    let per_message = |cpu: Duration| cpu.as_secs_f64() * 1e6 / f64::from(count);
    Ok(Measured {
        cpu_us: per_message(spent),
        per_s: f64::from(count) / trace.seconds.max((last_ms - trace.first_ms) / 1e3).max(1e-9),
        p50_ms: trace.latency.quantile_ms(0.5),
        p99_ms: trace.latency.quantile_ms(0.99),
        rss_mb,
        load_us: summary["cpu_us_per_message"].as_f64().unwrap_or(0.0),
        far_us: per_message(far_spent),
    })
}

/// What stands around it.
struct Run<'a> {
    case: &'a Case,
    far: &'a Far,
    ends: Option<&'a Answerer>,
    sendsms: SocketAddr,
    dir: &'a Path,
}

impl Run<'_> {
    /// Posts `count` messages and waits until `all` so far have come to their end.
    async fn load(&self, name: &str, prefix: &str, count: u32, all: u32) -> Result<serde_json::Value> {
        let mut wishes = self.case.wishes(prefix, count);
        wishes.push("--sendsms".to_owned());
        wishes
            .extend(self.ends.iter().flat_map(|ends| ["--dlr-url".to_owned(), format!("http://{}/end", ends.address)]));
        let args: Vec<&str> = wishes.iter().map(String::as_str).collect();
        let summary = Load::at(self.dir, name, &format!("http://{}", self.sendsms), ACCOUNT, &args)?.finished().await?;
        if summary["accepted"].as_u64() != Some(count.into()) {
            return Err(format!("Kannel: {summary}").into());
        }
        let give_up = Instant::now() + FINISHED_WITHIN;
        while !self.finished(all.into()).await? {
            if Instant::now() >= give_up {
                return Err(format!("Kannel, {}: {all} messages do not come to their end", self.case.name).into());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(summary)
    }

    async fn finished(&self, all: u64) -> Result<bool> {
        let told = match self.ends {
            Some(ends) => ends.counted().await?.requests,
            None => all,
        };
        Ok(told >= all && self.far.answered("far").await? >= all)
    }
}

fn config(case: &Case, store: Store, ports: &Ports, far: SocketAddr, dir: &Path) -> String {
    let store = match store {
        Store::None => String::new(),
        Store::Spool => format!("store-type = spool\nstore-location = \"{}/spool\"\n", dir.display()),
    };
    let (dir, Ports { admin, boxes, sendsms }) = (dir.display(), ports);
    format!(
        "group = core\nadmin-port = {admin}\nadmin-interface = 127.0.0.1\nadmin-password = bench\n\
         smsbox-port = {boxes}\nsmsbox-interface = 127.0.0.1\nbox-allow-ip = 127.0.0.1\n\
         log-file = \"{dir}/bearerbox.txt\"\nlog-level = 3\ndlr-storage = internal\n{store}\n\
         group = smsc\nsmsc = smpp\nsmsc-id = far\nhost = {}\nport = {}\nsmsc-username = qiao\n\
         smsc-password = {PASSWORD}\nsystem-type = \"\"\ntransceiver-mode = true\nmax-pending-submits = {}\n\n\
         group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nsendsms-interface = 127.0.0.1\n\
         max-pending-requests = 1000\nlog-file = \"{dir}/smsbox.txt\"\nlog-level = 3\n\n\
         group = sendsms-user\nusername = {ACCOUNT}\npassword = {ACCOUNT}\nmax-messages = 1\nconcatenation = false\n",
        far.ip(),
        far.port(),
        case.window
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;
    use crate::kannel::loopback;

    #[test]
    fn it_has_the_gateways_window_and_the_store_asked_for() {
        let ports = Ports { admin: 1, boxes: 2, sendsms: 3 };
        let case = CASES.into_iter().find(|case| case.name == "slow-carrier").unwrap();
        let config = |store| config(&case, store, &ports, loopback(4), Path::new("/d"));
        assert!(config(Store::None).contains("max-pending-submits = 100\n"));
        assert!(!config(Store::None).contains("store-"));
        assert!(config(Store::Spool).contains("store-type = spool\nstore-location = \"/d/spool\"\n"));
    }

    #[test]
    fn it_plays_where_both_can() {
        let played: Vec<_> = CASES.into_iter().filter(plays).map(|case| case.name).collect();
        assert_eq!(played, ["single", "single-receipts", "light", "slow-carrier", "slow-carrier-full"]);
        assert!(CASES.into_iter().filter(plays).all(|case| messages(&case) <= case.messages));
    }
}
