//! Kannel in the gateway's place: the same two carriers, the same fault, the same judge. Its application door is asked
//! for each message with an HTTP request of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conformance::Protocol;
use conformance::account::PASSWORD;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use super::carrier::Carrier;
use super::evidence::wire;
use super::judge::{End, Evidence, Finding, Message, judge};
use super::matrix::{Fault, Row, Shape};
use super::now_ms;
use super::trial::{Times, outage};
use crate::Result;
use crate::door;
use crate::kannel::{Ports, Programs, loopback};

/// Name and password of whoever posts.
const ACCOUNT: &str = "bench";
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long after the load a message may still reach a carrier: what piled up during the longest fault takes half of it.
const FINISHED_WITHIN: Duration = Duration::from_secs(60);
/// Destinations count up from here.
const FIRST: u64 = 8_613_700_000_000;

/// How it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timers {
    /// As short as it allows and stays sound: link tests every second, connections and answers given up after two.
    Tuned,
    /// None written down.
    AsShipped,
}

/// Kannel, to be run in the gateway's place.
#[derive(Debug, Clone)]
pub struct Kannel(Programs);

impl Kannel {
    /// Looks for it.
    pub fn find() -> Option<Self> {
        Programs::find().map(Self)
    }

    /// Whether it is run beside `row`: resets and hangs over SMPP, one channel before the other.
    pub fn plays(row: &Row) -> bool {
        row.protocol == Protocol::Smpp
            && row.shape == Shape::PrimaryBackup
            && matches!(row.fault, Fault::Reset | Fault::Hang)
    }

    /// Runs `row` once in `dir`, which is emptied first.
    ///
    /// # Errors
    /// Something does not start, or a file is not what it should be.
    pub async fn run(&self, row: Row, timers: Timers, times: Times, dir: &Path) -> Result<Finding> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
        let mut first = Carrier::start("first", &dir.join("first"), &row, None, None).await?;
        let second = Carrier::start("second", &dir.join("second"), &row, None, None).await?;
        let ports = Ports::choose()?;
        let config = config(&row, timers, &ports, &[first.address()?, second.address()?], dir);
        let running = self.0.start(dir, &ports, &config, 2).await?;

        let (tell, mut told) = mpsc::unbounded_channel();
        let load = Load(spawn_local(post(row.rate, ports.sendsms, tell)));
        sleep(times.calm + Duration::from_secs_f64(fastrand::f64() / f64::from(row.rate))).await;
        let (fault_ms, healed_ms) = outage(&row, times.cap, &mut first, second.wire()).await?;
        sleep(Duration::from_secs(1)).await;
        drop(load);
        let mut messages = Vec::new();
        while let Ok(message) = told.try_recv() {
            messages.push(message);
        }
        finished(&messages, [first.wire(), second.wire()]).await;
        running.kill().await?;
        let wires = [first.wire().to_owned(), second.wire().to_owned()];
        first.stop().await?;
        second.stop().await?;
        Ok(judge(&Evidence {
            messages,
            first: wire(&wires[0])?,
            second: wire(&wires[1])?,
            fault_ms,
            healed_ms,
            answer_max_ms: f64::from(row.answer.max_ms),
            shape: row.shape,
            resubmitted: 0,
        }))
    }
}

/// A load that ends when it is dropped.
struct Load(JoinHandle<()>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Posts on schedule for ever, each message in a task of its own, and tells of every one that was taken.
async fn post(rate: u32, port: u16, tell: mpsc::UnboundedSender<Message>) {
    let started = Instant::now();
    for number in 0u64.. {
        sleep_until(started + Duration::from_secs_f64(number as f64 / f64::from(rate))).await;
        let tell = tell.clone();
        spawn_local(async move {
            let to = FIRST + number;
            let path = format!(
                "/cgi-bin/sendsms?username={ACCOUNT}&password={ACCOUNT}&smsc=first&from=1069&to={to}&text=Hello"
            );
            if door::ask(loopback(port), "GET", &path, "").await.is_ok() {
                let _ = tell.send(Message { to, otp: false, accepted_ms: now_ms(), end: End::Untold });
            }
        });
    }
}

/// Waits until a carrier has read and accepted every message, or long enough.
async fn finished(messages: &[Message], wires: [&Path; 2]) {
    let give_up = Instant::now() + FINISHED_WITHIN;
    while Instant::now() < give_up {
        let seen: Vec<_> = wires.iter().filter_map(|path| wire(path).ok()).collect();
        let accepted = |message: &Message| {
            seen.iter().any(|wire| wire.get(&message.to).is_some_and(|seen| !seen.accepted.is_empty()))
        };
        if messages.iter().all(accepted) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// All traffic prefers the first carrier; with a store on disk, without receipts.
fn config(row: &Row, timers: Timers, ports: &Ports, carriers: &[SocketAddr; 2], dir: &Path) -> String {
    let timers = match timers {
        Timers::AsShipped => "",
        Timers::Tuned => {
            "enquire-link-interval = 1\nconnection-timeout = 2\nwait-ack = 2\nwait-ack-expire = 0\nreconnect-delay = 1\n"
        }
    };
    let channel = |(name, address): (&str, &SocketAddr)| {
        let preferred = if name == "first" { "preferred-smsc-id = first\n" } else { "" };
        format!(
            "\ngroup = smsc\nsmsc = smpp\nsmsc-id = {name}\nhost = {}\nport = {}\nsmsc-username = qiao\n\
             smsc-password = {PASSWORD}\nsystem-type = \"\"\ntransceiver-mode = true\nmax-pending-submits = {}\n\
             throughput = {}\n{preferred}{timers}",
            address.ip(),
            address.port(),
            row.window(),
            row.contract()
        )
    };
    let channels: String = ["first", "second"].into_iter().zip(carriers).map(channel).collect();
    let (dir, Ports { admin, boxes, sendsms }) = (dir.display(), ports);
    format!(
        "group = core\nadmin-port = {admin}\nadmin-interface = 127.0.0.1\nadmin-password = bench\n\
         smsbox-port = {boxes}\nsmsbox-interface = 127.0.0.1\nbox-allow-ip = 127.0.0.1\n\
         log-file = \"{dir}/bearerbox.txt\"\nlog-level = 1\nstore-type = file\nstore-location = \"{dir}/store\"\n\
         dlr-storage = internal\n{channels}\n\
         group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nsendsms-interface = 127.0.0.1\n\
         log-file = \"{dir}/smsbox.txt\"\nlog-level = 1\n\n\
         group = sendsms-user\nusername = {ACCOUNT}\npassword = {ACCOUNT}\nmax-messages = 1\nconcatenation = false\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::matrix::NEAR;
    use super::*;

    #[test]
    fn timers_are_written_down_only_when_tuned() {
        let row =
            Row { fault: Fault::Hang, rate: 20, shape: Shape::PrimaryBackup, answer: NEAR, protocol: Protocol::Smpp };
        let ports = Ports { admin: 1, boxes: 2, sendsms: 3 };
        let config = |timers| config(&row, timers, &ports, &[loopback(4), loopback(5)], Path::new("/d"));
        assert_eq!(config(Timers::Tuned).matches("wait-ack = 2").count(), 2);
        assert!(!config(Timers::AsShipped).contains("wait-ack"));
        assert_eq!(config(Timers::Tuned).matches("preferred-smsc-id").count(), 1);
    }
}
