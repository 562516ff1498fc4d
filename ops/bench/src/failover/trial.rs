//! One run: two carriers in processes of their own, a gateway between them and a load; the first carrier fails, and
//! after a while the files tell how it went.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conformance::ports;
use tokio::time::{Instant, sleep};

use super::carrier::Carrier;
use super::evidence::{OTP, has_read_since, messages, wire};
use super::judge::{Evidence, Finding, judge};
use super::matrix::{Fault, Row, Shape};
use super::network::Network;
use crate::Result;
use crate::door::Page;
use crate::line::{Gateway, Load, Sink};
use crate::process::program;

/// Key and secrets of a gateway that lives for seconds and on loopback only.
const KEY: &str = "BENCH-ONLY-app-key-0123456789";
const SECRET: &str = "whsec_QkVOQ0gtT05MWS1ub3QtYS1zZWNyZXQtc2lnbmluZy1rZXk=";
/// The channels' names, that of the failing carrier first.
const CHANNELS: [&str; 2] = ["first", "second"];
/// How much longer a fault lasts after traffic has moved.
const AFTER_MOVING: Duration = Duration::from_secs(2);
/// How long messages are still posted after the carrier is mended.
const AFTER_MENDING: Duration = Duration::from_secs(1);
/// How long after the load every message must have its end.
pub const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks during a fault.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the parts of a run last.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Load before the fault.
    pub calm: Duration,
    /// A fault that nobody notices is mended after this.
    pub cap: Duration,
}

/// Runs `row` once in `dir`, which is emptied first.
///
/// # Errors
/// Something does not start, or a file is not what it should be.
pub async fn run(row: Row, times: Times, dir: &Path) -> Result<Finding> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir.join("config"))?;
    let network = if row.fault == Fault::Blackhole { Some(Network::make()?) } else { None };
    let listen = row.protocol.calls_back().then(ports::free);
    let mut first = Carrier::start("first", &dir.join("first"), &row, network, listen).await?;
    let second = Carrier::start("second", &dir.join("second"), &row, None, listen).await?;
    let sink = Sink::start(dir, SECRET).await?;
    let addresses = [first.address()?, second.address()?];
    fs::write(dir.join("config/qiao.toml"), config(&row, &addresses, listen, &sink.address.to_string()))?;
    let gateway = Gateway::start(dir).await?;
    gateway.bound(2).await?;

    // It is stopped when the run is over; were this program killed, it would stop then.
    let longest = format!("{}s", (times.calm + times.cap + ENDED_WITHIN).as_secs());
    let rate = row.rate.to_string();
    let args = ["--rate", &rate, "--for", &longest, "--tiers", "otp=1,notice=1", "--to-prefix", "+86138"];
    let load = Load::start(dir, "load", &gateway, KEY, &args)?;
    // The fault begins anywhere between two messages.
    sleep(times.calm + Duration::from_secs_f64(fastrand::f64() / f64::from(row.rate))).await;
    let page = Page::fetch(gateway.admin).await?;
    let (before, second_before) = (suspicions(&page, &CHANNELS), suspicions(&page, &CHANNELS[1..]).unwrap_or(0));
    let (fault_ms, healed_ms) = outage(&row, times.cap, &mut first, second.wire()).await?;
    sleep(AFTER_MENDING).await;
    let accepted = load.stop().await?["accepted"].as_u64().unwrap_or(0);
    let give_up = Instant::now() + ENDED_WITHIN;
    // Those without an end after that are the judge's.
    while sink.ends().await? < accepted && Instant::now() < give_up {
        sleep(LOOK_EVERY).await;
    }
    let after = Page::fetch(gateway.admin).await?;
    let wires = [first.wire().to_owned(), second.wire().to_owned()];
    gateway.process.stop().await?;
    first.stop().await?;
    second.stop().await?;
    sink.process.stop().await?;
    let evidence = Evidence {
        messages: messages(&dir.join("load.jsonl"), &dir.join("callbacks.jsonl"))?,
        first: wire(&wires[0])?,
        second: wire(&wires[1])?,
        fault_ms,
        healed_ms,
        answer_max_ms: f64::from(row.answer.max_ms),
        shape: row.shape,
        resubmitted: after.sum("qiao_in_doubt_resubmitted_total", &[]) as u64,
    };
    // The first carrier is suspected for good reason from the fault on, the second never.
    let suspicions = before.map(|before| before + suspicions(&after, &CHANNELS[1..]).unwrap_or(0) - second_before);
    let hedged = after.sum("qiao_hedged_total", &[]) as u64;
    Ok(Finding { suspicions, hedged, told_ms: told_ms(&after), ..judge(&evidence) })
}

/// Breaks `first` until traffic has moved to the carrier that writes `second`, or until `cap` is over. When it began
/// and when it ended, in ms since 1970.
pub async fn outage(row: &Row, cap: Duration, first: &mut Carrier, second: &Path) -> Result<(f64, f64)> {
    let fault_ms = first.fail(row.fault).await?;
    let began = Instant::now();
    let mut until = began + cap;
    let mut moved = false;
    while Instant::now() < until {
        sleep(LOOK_EVERY).await;
        first.go_on_failing().await?;
        if !moved && (row.shape == Shape::Balanced || has_read_since(second, fault_ms)) {
            moved = true;
            until = until.min((Instant::now() + AFTER_MOVING).max(began + row.fault.lasts()));
        }
    }
    Ok((fault_ms, first.mend().await?))
}

/// How often the gateway has suspected any of these channels; `None` where it does not count that.
fn suspicions(page: &Page, channels: &[&str]) -> Option<u64> {
    const NAME: &str = "qiao_channel_transitions_total";
    let of = |channel: &&str| page.sum(NAME, &[("to", "suspect"), ("channel", channel)]) as u64;
    page.has(NAME).then(|| channels.iter().map(of).sum())
}

/// What the gateway itself says a failover took, on average where there was more than one, in ms.
fn told_ms(page: &Page) -> Option<f64> {
    const NAME: &str = "qiao_failover_duration_seconds";
    let [sum, count] = ["sum", "count"].map(|of| page.sum(&format!("{NAME}_{of}"), &[]));
    (count > 0.0).then(|| sum / count * 1e3)
}

/// Two channels at carriers alike in one group. Only what would make runs long is shorter than by default: how long a
/// notice in doubt waits.
fn config(row: &Row, carriers: &[SocketAddr; 2], listen: Option<SocketAddr>, sink: &str) -> String {
    let (window, contract, protocol) = (row.window(), row.contract(), row.protocol);
    let (word, silent, numbers) = (protocol.word(), protocol.without_receipts(), protocol.whole_numbers());
    let channel = |(name, address): (&str, &SocketAddr)| {
        let account = protocol.near(name, *address, listen);
        format!(
            "[[channel]]\nname = \"{name}\"\ncarrier = \"{name}\"\nprotocol = \"{word}\"\nrate = {contract}\n\
             window = {window}\nreceipts = false\n{account}{silent}{numbers}"
        )
    };
    let channels: String = CHANNELS.into_iter().zip(carriers).map(channel).collect();
    format!(
        "[node]\nname = \"bench\"\ndata_dir = \"../data\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[journal]\nsegment_bytes = \"16MiB\"\nmax_bytes = \"1GiB\"\n\
         [[tier]]\nname = \"{OTP}\"\n[[tier]]\nname = \"notice\"\nunacked = \"2s\"\nacked = \"5s\"\n\
         [[app]]\nid = \"bench\"\nkeys = [\"{KEY}\"]\nrate = 100000\ntiers = [\"{OTP}\", \"notice\"]\n\
         callback = {{ url = \"http://{sink}/hooks\", secret = \"{SECRET}\", allow_private = [\"127.0.0.0/8\"] }}\n\
         {channels}[[group]]\nname = \"all\"\nstrategy = \"{}\"\n\
         channels = [{{ name = \"first\" }}, {{ name = \"second\" }}]\n[[route]]\nname = \"all\"\ngroup = \"all\"\n",
        row.shape.strategy()
    )
}

/// Why the gateway does not take this row's configuration; `None` if it does.
///
/// # Errors
/// It cannot be asked.
pub async fn refused(row: &Row, dir: &Path) -> Result<Option<String>> {
    let config_dir = dir.join("config");
    fs::create_dir_all(&config_dir)?;
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let listen = row.protocol.calls_back().then(|| at(2777));
    fs::write(config_dir.join("qiao.toml"), config(row, &[at(2775), at(2776)], listen, "127.0.0.1:9"))?;
    let mut check = tokio::process::Command::new(program("qiao")?);
    let checked = check.args(["check", "--config"]).arg(&config_dir).kill_on_drop(true).output().await?;
    if checked.status.success() {
        return Ok(None);
    }
    let said = [checked.stdout, checked.stderr].concat();
    Ok(Some(String::from_utf8_lossy(&said).lines().next().unwrap_or("no reason given").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicions_are_counted_where_the_gateway_counts_them() {
        assert_eq!(suspicions(&Page::read("up 1\n"), &CHANNELS), None);
        let line = |channel: &str, to: &str, count: u32| {
            format!(
                "qiao_channel_transitions_total{{cause=\"probe\",channel=\"{channel}\",from=\"x\",to=\"{to}\"}} {count}\n"
            )
        };
        assert_eq!(suspicions(&Page::read(&line("first", "down", 3)), &CHANNELS), Some(0));
        let page =
            Page::read(&[line("first", "suspect", 2), line("first", "down", 3), line("second", "suspect", 1)].concat());
        assert_eq!((suspicions(&page, &CHANNELS), suspicions(&page, &CHANNELS[1..])), (Some(3), Some(1)));
    }

    #[test]
    fn the_gateways_own_figure_is_a_mean_in_milliseconds() {
        let page = |count: u32| {
            format!("qiao_failover_duration_seconds_sum 1.2\nqiao_failover_duration_seconds_count {count}\n")
        };
        assert_eq!((told_ms(&Page::read(&page(0))), told_ms(&Page::read(&page(2)))), (None, Some(600.0)));
    }
}
