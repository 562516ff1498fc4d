//! `demo`: the demo configuration with everything around it as real processes on free ports: two simulated carriers, a
//! callback sink and a load of about 20 s, during which the first carrier goes away and comes back. Ends with the
//! ledger's line and its exit code.
//!
//! Exit codes: 0 the ledger closes, 1 it does not, 2 usage, 3 could not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bench::door::Page;
use bench::line::{Far, Gateway, Load, Sink};
use bench::process::program;
use bench::{Result, told_to_stop, trace};
use clap::Parser;
use tokio::process::Command;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// Of ops/config/demo/apps.toml.
const KEY: &str = "DEMO-ONLY-app-key-0123456789";
const SECRET: &str = "whsec_REVNTy1PTkxZLW5vdC1hLXNlY3JldC1zaWduaW5nLWtleSE=";
/// Addresses of the demo configuration, for those who run it by hand; here each becomes one the system chose.
const HTTP: &str = "127.0.0.1:18080";
const ADMIN: &str = "127.0.0.1:19090";
const CALLBACKS: &str = "127.0.0.1:18081";
const CARRIERS: [(&str, &str); 2] = [("demo-a", "127.0.0.1:27751"), ("demo-b", "127.0.0.1:27752")];
const ANY: &str = "127.0.0.1:0";
/// How long after the load every message must have its end; validities are 15 s at most.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// When the first carrier goes, and when it is back, in shares of the load's time.
const FAULT: (f64, f64) = (0.25, 0.45);

/// Gateway, two simulated carriers, load and callbacks; the first carrier fails and comes back; the ledger closes.
#[derive(Debug, Parser)]
#[command(after_help = "Example: demo --rate 800 --seconds 30 --keep")]
struct Options {
    /// Messages per second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// How long they are posted
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: u32,
    /// The demo configuration
    #[arg(long, default_value = "ops/config/demo")]
    config: PathBuf,
    /// Leave configuration, data, logs and ledgers behind, and say where
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(closes) => ExitCode::from(u8::from(!closes)),
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let dir = std::env::temp_dir().join(format!("qiao-demo-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = play(options, &dir) => Some(done),
            () = told_to_stop() => None,
        }
    });
    // Evidence is kept where the ledger does not close; a demo that was stopped has none. Its processes are killed by
    // now, yet may still be on their way out, so that removing their files may fail.
    if options.keep || !matches!(done, None | Some(Ok(true))) {
        eprintln!("left behind: {}", dir.display());
    } else {
        let _ = fs::remove_dir_all(&dir);
    }
    done.unwrap_or_else(|| Err("stopped".into()))
}

/// The whole demo in `dir`; whether the ledger closes.
async fn play(options: &Options, dir: &Path) -> Result<bool> {
    copy(&options.config, "carriers.toml", dir, &CARRIERS.map(|(_, written)| (written, ANY.to_owned())))?;
    let far = Far::start(dir).await?;
    let sink = Sink::start(dir, SECRET).await?;
    configure(&options.config, &far, &sink, dir)?;
    let gateway = Gateway::start(dir).await?;
    gateway.bound(CARRIERS.len() as u32).await?;
    println!("gateway http://{}  admin http://{}  simulators http://{}", gateway.http, gateway.admin, far.control);
    println!("per channel: its link, parts per second, window used/allowed\n");

    let (rate, lasts) = (options.rate.to_string(), format!("{}s", options.seconds));
    let load = Load::start(dir, "client", &gateway, KEY, &["--rate", &rate, "--for", &lasts, "--retry-unknown"])?;
    let fault_at = watch(options, &gateway, &far, &sink, load).await?;

    let resubmitted = Page::fetch(gateway.admin).await?.sum("qiao_in_doubt_resubmitted_total", &[]);
    gateway.process.stop().await?;
    far.process.stop().await?;
    sink.process.stop().await?;
    if let Some(ms) = trace::first_submit_after(&dir.join("demo-b.jsonl"), fault_at)? {
        println!("failover: the first message went to demo-b {ms:.0} ms after demo-a was gone");
    }
    ledger(dir, resubmitted as u64).await
}

/// Copies a file of the demo configuration, with other addresses in it.
fn copy(from: &Path, name: &str, to: &Path, addresses: &[(&str, String)]) -> Result<()> {
    let path = from.join(name);
    let mut text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for (written, real) in addresses {
        text = text.replace(written, real);
    }
    Ok(fs::write(to.join(name), text)?)
}

fn configure(from: &Path, far: &Far, sink: &Sink, dir: &Path) -> Result<()> {
    let config = dir.join("config");
    fs::create_dir_all(&config)?;
    let mut addresses = vec![(HTTP, ANY.to_owned()), (ADMIN, ANY.to_owned()), (CALLBACKS, sink.address.to_string())];
    for (name, written) in CARRIERS {
        let real = far.carriers.get(name).ok_or_else(|| format!("carriers.toml has no {name}"))?;
        addresses.push((written, real.to_string()));
    }
    for name in ["qiao.toml", "channels.toml", "routes.toml", "apps.toml"] {
        copy(from, name, &config, &addresses)?;
    }
    Ok(())
}

/// Prints a line a second, breaks the first carrier and mends it, until the load is over and every accepted message has
/// its end. When the carrier was broken, in ms since 1970.
async fn watch(options: &Options, gateway: &Gateway, far: &Far, sink: &Sink, load: Load) -> Result<f64> {
    let started = Instant::now();
    let moment = |share: f64| started + Duration::from_secs(u64::from(options.seconds)).mul_f64(share);
    let second = Duration::from_secs(1);
    let mut every = interval_at(started + second, second);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut fault_at, mut mended, mut accepted) = (None, false, None);
    let posted = load.finished();
    tokio::pin!(posted);
    loop {
        tokio::select! {
            _ = every.tick() => {
                let page = Page::fetch(gateway.admin).await?;
                println!("{:>4} s  {}", started.elapsed().as_secs(), progress(&page));
                let told = sink.ends().await?;
                if accepted.is_some_and(|accepted| mended && told >= accepted && ended(&page, accepted)) {
                    return Ok(fault_at.unwrap_or(0.0));
                }
            }
            summary = &mut posted, if accepted.is_none() => accepted = summary?["accepted"].as_u64(),
            () = tokio::time::sleep_until(moment(FAULT.0)), if fault_at.is_none() => {
                fault_at = Some(now_ms());
                far.fault("demo-a", Some("refuse")).await?;
                println!("        demo-a is gone: its links are closed, new ones refused");
            }
            () = tokio::time::sleep_until(moment(FAULT.1)), if fault_at.is_some() && !mended => {
                mended = true;
                far.fault("demo-a", None).await?;
                println!("        demo-a is back");
            }
        }
        if Instant::now() > moment(1.0) + ENDED_WITHIN {
            println!("not every message has its end after {} s", ENDED_WITHIN.as_secs());
            return Ok(fault_at.unwrap_or(0.0));
        }
    }
}

/// Whether every accepted message has its end, and every callback was taken.
fn ended(page: &Page, accepted: u64) -> bool {
    page.sum("qiao_outcomes_total", &[]) >= accepted as f64 && page.sum("qiao_callback_backlog", &[]) == 0.0
}

/// The line's state in one line.
fn progress(page: &Page) -> String {
    let outcome = |outcome: &str| page.sum("qiao_outcomes_total", &[("outcome", outcome)]);
    let accepted = page.sum("qiao_messages_accepted_total", &[]);
    let (delivered, failed, expired) = (outcome("delivered"), outcome("failed"), outcome("expired"));
    let mut line =
        format!("accepted {accepted:>6}  delivered {delivered:>6}  failed {failed:>4}  expired {expired:>3}");
    line += &format!("  waiting {:>4}", page.sum("qiao_queue_messages", &[]));
    for channel in page.values("qiao_window_limit", "channel") {
        let of = |name: &str| page.sum(name, &[("channel", &channel)]);
        let up = page.sum("qiao_links", &[("channel", &channel), ("state", "up")]) > 0.0;
        let (in_flight, window, pace) = (of("qiao_window_in_flight"), of("qiao_window_limit"), of("qiao_pace_parts"));
        let state = if up { "up" } else { "DOWN" };
        line += &format!(" | {channel} {state:<4} {pace:>4}/s {in_flight:>3}/{window:<3}");
    }
    line
}

fn now_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1e3
}

/// Lets the checker compare what client, carriers and sink wrote down; its words are the demo's last.
async fn ledger(dir: &Path, resubmitted: u64) -> Result<bool> {
    let resubmitted = resubmitted.to_string();
    let carriers = ["demo-a.jsonl", "demo-b.jsonl"];
    let mut command = Command::new(program("qiao-sim")?);
    command.current_dir(dir).kill_on_drop(true).args(["ledger", "--client", "client.jsonl", "--callbacks"]);
    command.arg("callbacks.jsonl").args(carriers.into_iter().flat_map(|log| ["--carrier", log]));
    command.args(["--resubmitted", &resubmitted]);
    let status = timeout(ENDED_WITHIN, command.status()).await.map_err(|_| "the ledger takes too long")??;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("qiao-sim ledger: {status}").into()),
    }
}
