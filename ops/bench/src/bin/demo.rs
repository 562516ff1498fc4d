//! `demo`: the demo configuration with everything around it as real processes on free ports: four simulated carriers, each
//! with a protocol of its own, a callback sink and a load of 35 s to numbers of every network, during which the first
//! carrier goes away and comes back, and later hangs; the hub takes its numbers meanwhile. A board shows the line: drawn in
//! place on a terminal (`NO_COLOR` is honoured), a frame every few seconds elsewhere. Ends with the ledger's line and its
//! exit code.
//!
//! The carrier is not killed as a process: its simulator closes the listener and cuts the connections, and keeps what it
//! has accepted, as a message centre's own store would. Hanging, it keeps its connections and reads nothing.
//!
//! Exit codes: 0 the ledger closes, 1 it does not, 2 usage, 3 could not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fmt, fs};

use bench::board::{self, Event, Look, Screen, Tone};
use bench::door::{self, Page};
use bench::line::{Far, Gateway, Load, Sink};
use bench::process::program;
use bench::{Result, told_to_stop, trace};
use clap::Parser;
use conformance::ports;
use tokio::process::Command;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// Of ops/config/demo/apps.toml.
const KEY: &str = "DEMO-ONLY-app-key-0123456789";
const SECRET: &str = "whsec_REVNTy1PTkxZLW5vdC1hLXNlY3JldC1zaWduaW5nLWtleSE=";
/// Addresses of the demo configuration, for those who run it by hand; here each becomes one the system chose.
const HTTP: &str = "127.0.0.1:18080";
const ADMIN: &str = "127.0.0.1:19090";
const CALLBACKS: &str = "127.0.0.1:18081";
const CARRIERS: [(&str, &str); 4] = [
    ("mobile", "127.0.0.1:27751"),
    ("unicom", "127.0.0.1:27752"),
    ("telecom", "127.0.0.1:27754"),
    ("hub", "127.0.0.1:27755"),
];
/// Where the gateway listens for the carrier that calls back: both sides have it in their files, so that it is chosen
/// before either starts.
const CALLED: &str = "127.0.0.1:27753";
const ANY: &str = "127.0.0.1:0";
/// Who is written to: a name, how the numbers begin, their share of the load, and the text.
const LOADS: [(&str, &str, f64, &str); 4] = [
    ("to-mobile", "+86138", 0.4, "您的验证码是 428301"),
    ("to-unicom", "+86130", 0.25, "您的验证码是 428301"),
    ("to-telecom", "+86133", 0.25, "您的验证码是 428301"),
    ("to-abroad", "+49151", 0.1, "Your code is 428301"),
];
/// The carrier that fails, how the numbers begin that are its own, and who steps in.
const BROKEN: &str = "mobile";
const ITS_NUMBERS: &str = "86138";
const BACKUP: &str = "hub";
/// The demo's tiers, strictest first.
const TIERS: [&str; 3] = ["otp", "notice", "marketing"];
/// Between two looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two frames where there is no terminal; what happens is shown at once.
const FRAME_EVERY: Duration = Duration::from_secs(5);
/// How long after the load every message must have its end; validities are 15 s at most.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// What happens to it, one after the other; its trial after the first is over when the second begins.
const FAULTS: [Fault; 2] = [
    Fault {
        kind: "refuse",
        from: 0.14,
        until: 0.23,
        begun: "killed: its listener is closed, its connections are cut",
        ended: "listens again; the gateway's next dial will find it",
        since: "was gone",
    },
    Fault {
        kind: "hang",
        from: 0.66,
        until: 0.75,
        begun: "hangs: its connections stand, nobody reads from them",
        ended: "goes on with what has piled up meanwhile",
        since: "hung",
    },
];

/// A fault of the first carrier.
struct Fault {
    /// The simulator's name for it.
    kind: &'static str,
    /// When it begins, in shares of the load's time.
    from: f64,
    /// When it ends.
    until: f64,
    /// What the board says of the carrier when it begins.
    begun: &'static str,
    /// And when it ends.
    ended: &'static str,
    /// What the carrier did, for the demo's last lines.
    since: &'static str,
}

/// Gateway, four simulated carriers, load and callbacks; the first carrier fails twice; the ledger closes.
#[derive(Debug, Parser)]
#[command(after_help = "Example: demo --rate 800 --seconds 30 --keep")]
struct Options {
    /// Messages per second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// How long they are posted
    #[arg(long, default_value_t = 35, value_parser = clap::value_parser!(u32).range(3..=600))]
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
    let called = (CALLED, ports::free().to_string());
    let mut addresses: Vec<_> = CARRIERS.iter().map(|(_, written)| (*written, ANY.to_owned())).collect();
    addresses.push(called.clone());
    copy(&options.config, "carriers.toml", dir, &addresses)?;
    let far = Far::start(dir).await?;
    let sink = Sink::start(dir, SECRET).await?;
    configure(&options.config, &far, called, &sink, dir)?;
    let gateway = Gateway::start(dir).await?;
    gateway.bound(CARRIERS.len() as u32).await?;
    println!("gateway http://{}  admin http://{}", gateway.http, gateway.admin);
    println!("faults at http://{}", far.control);
    println!();

    let lasts = format!("{}s", options.seconds);
    let load = |(name, prefix, share, text): (&str, &str, f64, &str)| {
        let rate = (f64::from(options.rate) * share).to_string();
        let args = ["--rate", &rate, "--for", &lasts, "--retry-unknown", "--to-prefix", prefix, "--text", text];
        Load::start(dir, name, &gateway, KEY, &args)
    };
    let loads = LOADS.into_iter().map(load).collect::<Result<Vec<_>>>()?;
    let failovers = watch(options, &Parts { gateway: &gateway, far: &far, sink: &sink, dir }, loads).await?;

    let resubmitted = Page::fetch(gateway.admin).await?.sum("qiao_in_doubt_resubmitted_total", &[]);
    gateway.process.stop().await?;
    far.process.stop().await?;
    sink.process.stop().await?;
    failovers.iter().for_each(|failover| println!("failover: {failover}"));
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

fn configure(from: &Path, far: &Far, called: (&'static str, String), sink: &Sink, dir: &Path) -> Result<()> {
    let config = dir.join("config");
    fs::create_dir_all(config.join("numbers"))?;
    let mut addresses =
        vec![called, (HTTP, ANY.to_owned()), (ADMIN, ANY.to_owned()), (CALLBACKS, sink.address.to_string())];
    for (name, written) in CARRIERS {
        let real = far.carriers.get(name).ok_or_else(|| format!("carriers.toml has no {name}"))?;
        addresses.push((written, real.to_string()));
    }
    for name in ["qiao.toml", "channels.toml", "routes.toml", "apps.toml", "numbers/prefixes.csv"] {
        copy(from, name, &config, &addresses)?;
    }
    Ok(())
}

/// Shows the line, breaks the first carrier and mends it, again and again, until the load is over and every accepted
/// message has its end. What was seen of the failovers.
async fn watch(options: &Options, parts: &Parts<'_>, loads: Vec<Load>) -> Result<Vec<Failover>> {
    let started = Instant::now();
    let moment = |share: f64| started + Duration::from_secs(u64::from(options.seconds)).mul_f64(share);
    let mut every = interval_at(started + LOOK_EVERY, LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut show = Show::new(started, options.rate);
    let (mut faults, mut current, mut accepted) = (FAULTS.iter().peekable(), None, None);
    let mut failovers = Vec::new();
    let posted = accepted_by(loads);
    tokio::pin!(posted);
    loop {
        let (next, now) = (faults.peek().copied(), current.as_ref().map(|Outage { fault, .. }| *fault));
        tokio::select! {
            _ = every.tick() => {
                let seen = current.as_mut().and_then(|outage| outage.look(parts.dir));
                // The gateway counts before it sends, and it has sent what a carrier has read.
                let page = Page::fetch(parts.gateway.admin).await?;
                if let Some(mut seen) = seen {
                    seen.told_ms = current.as_ref().and_then(|outage| outage.told.ms_until(Told::read(&page)));
                    show.event(Tone::Good, format!("{} carries on: its first message {:.0} ms later", seen.to, seen.ms));
                    failovers.push(seen);
                }
                show.draw(parts.gateway, &page, accepted.is_some()).await?;
                let told = parts.sink.ends().await?;
                let back = faults.peek().is_none() && current.is_none() && show.up;
                if accepted.is_some_and(|accepted| back && told >= accepted && ended(&page, accepted)) {
                    show.event(Tone::Good, "every message has its end, and the application knows it".into());
                    show.last(parts.gateway, &page).await?;
                    return Ok(failovers);
                }
            }
            all = &mut posted, if accepted.is_none() => accepted = Some(all?),
            () = tokio::time::sleep_until(moment(next.map_or(0.0, |fault| fault.from))), if next.is_some() && now.is_none() => {
                let Some(fault) = faults.next() else { continue };
                let told = Told::read(&Page::fetch(parts.gateway.admin).await?);
                current = Some(Outage { fault, since: now_ms(), told, seen: false });
                parts.far.fault(BROKEN, Some(fault.kind)).await?;
                show.event(Tone::Bad, format!("{BROKEN} {}", fault.begun));
            }
            () = tokio::time::sleep_until(moment(now.map_or(0.0, |fault| fault.until))), if now.is_some() => {
                parts.far.fault(BROKEN, None).await?;
                if let Some(outage) = current.take() {
                    show.event(Tone::Good, format!("{BROKEN} {}", outage.fault.ended));
                }
            }
        }
        if Instant::now() > moment(1.0) + ENDED_WITHIN {
            println!("not every message has its end after {} s", ENDED_WITHIN.as_secs());
            return Ok(failovers);
        }
    }
}

/// What the gateway took of all loads, once they are over.
async fn accepted_by(loads: Vec<Load>) -> Result<u64> {
    let mut accepted = 0;
    for load in loads {
        accepted += load.finished().await?["accepted"].as_u64().unwrap_or(0);
    }
    Ok(accepted)
}

/// What runs while the demo is watched.
struct Parts<'p> {
    gateway: &'p Gateway,
    far: &'p Far,
    sink: &'p Sink,
    dir: &'p Path,
}

/// The broken carrier while it is broken.
struct Outage {
    fault: &'static Fault,
    /// Since when, in ms since 1970.
    since: f64,
    /// What the gateway had counted until then.
    told: Told,
    /// Whether another carrier has gone on already.
    seen: bool,
}

impl Outage {
    /// Looks for the first message to one of its numbers at the backup, once, in what that wrote down. It may be writing:
    /// what cannot be read yet is read at the next look.
    fn look(&mut self, dir: &Path) -> Option<Failover> {
        if self.seen {
            return None;
        }
        let log = dir.join(format!("{BACKUP}.jsonl"));
        let ms = trace::first_submit_after(&log, self.since, ITS_NUMBERS).ok()??;
        self.seen = true;
        Some(Failover { to: BACKUP, ms, told_ms: None, since: self.fault.since })
    }
}

/// What the gateway counts of its failovers.
#[derive(Clone, Copy)]
struct Told {
    seconds: f64,
    count: f64,
}

impl Told {
    fn read(page: &Page) -> Self {
        let of = |what: &str| page.sum(&format!("qiao_failover_duration_seconds_{what}"), &[]);
        Self { seconds: of("sum"), count: of("count") }
    }

    /// What one took between two looks, in ms; `None` where there was none.
    fn ms_until(self, later: Self) -> Option<f64> {
        let count = later.count - self.count;
        (count > 0.0).then(|| (later.seconds - self.seconds) / count * 1e3)
    }
}

/// The first message that another carrier got after the broken one had failed.
struct Failover {
    to: &'static str,
    ms: f64,
    /// The gateway's own measure: from the first message that waited in vain to the first elsewhere.
    told_ms: Option<f64>,
    since: &'static str,
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, ms, told_ms, since } = self;
        write!(f, "the first message went to {to} {ms:.0} ms after {BROKEN} {since}")?;
        told_ms.map_or(Ok(()), |told| write!(f, "; the gateway's own count says {told:.0} ms"))
    }
}

/// Whether every accepted message has its end, and every callback was taken.
fn ended(page: &Page, accepted: u64) -> bool {
    page.sum("qiao_outcomes_total", &[]) >= accepted as f64 && page.sum("qiao_callback_backlog", &[]) == 0.0
}

/// Where the demo is shown: a board on a terminal, a frame now and then elsewhere.
struct Show {
    started: Instant,
    rate: u32,
    screen: Option<Screen>,
    events: Vec<Event>,
    /// Whether the broken carrier's channel was up at the last look.
    up: bool,
    /// When the next frame is due where there is no terminal.
    due: Instant,
}

impl Show {
    fn new(started: Instant, rate: u32) -> Self {
        Self { started, rate, screen: Screen::open(), events: Vec::new(), up: true, due: started + FRAME_EVERY }
    }

    fn event(&mut self, tone: Tone, text: String) {
        self.events.push(Event { at: self.started.elapsed(), text, tone });
        self.due = Instant::now();
    }

    /// Looks at the gateway and shows what is new.
    async fn draw(&mut self, gateway: &Gateway, page: &Page, posted: bool) -> Result<()> {
        let channels = door::json(gateway.admin, "/admin/v1/channels").await?;
        let queues = door::json(gateway.admin, "/admin/v1/queues").await?;
        let now = board::read(self.started.elapsed(), &TIERS, &channels, &queues, page)?;
        let up = now.channels.iter().any(|channel| channel.name == BROKEN && channel.state == "up");
        if up && !self.up {
            self.event(Tone::Good, format!("{BROKEN} is bound again and takes the traffic back"));
        }
        self.up = up;
        let title = match posted {
            false => format!("qiao demo: {} messages/s", self.rate),
            true => "qiao demo: posting is over, the last receipts come".into(),
        };
        if let Some(screen) = &mut self.screen {
            return Ok(screen.draw(&board::frame(&title, &now, &self.events, screen.look()))?);
        }
        if Instant::now() >= self.due {
            self.due = Instant::now() + FRAME_EVERY;
            let look = Look { width: board::USUAL_WIDTH, colour: false };
            println!("{}\n", board::frame(&title, &now, &self.events, look).join("\n"));
        }
        Ok(())
    }

    /// Shows the end.
    async fn last(&mut self, gateway: &Gateway, page: &Page) -> Result<()> {
        self.due = Instant::now();
        self.draw(gateway, page, true).await
    }
}

fn now_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1e3
}

/// Lets the checker compare what client, carriers and sink wrote down; its words are the demo's last.
async fn ledger(dir: &Path, resubmitted: u64) -> Result<bool> {
    let resubmitted = resubmitted.to_string();
    let carriers = CARRIERS.map(|(name, _)| format!("{name}.jsonl"));
    let mut command = Command::new(program("qiao-sim")?);
    let clients = LOADS.map(|(name, ..)| format!("{name}.jsonl"));
    command.current_dir(dir).kill_on_drop(true).args(["ledger", "--callbacks", "callbacks.jsonl"]);
    command.args(clients.into_iter().flat_map(|log| ["--client".to_owned(), log]));
    command.args(carriers.into_iter().flat_map(|log| ["--carrier".to_owned(), log]));
    command.args(["--resubmitted", &resubmitted]);
    let status = timeout(ENDED_WITHIN, command.status()).await.map_err(|_| "the ledger takes too long")??;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("qiao-sim ledger: {status}").into()),
    }
}
