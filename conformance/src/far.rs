//! The other programs of a scene: simulated carriers, the callback sink, load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Process;
use crate::wait::{self, seconds};
use crate::{http, programs};

/// How long a start may take.
const START: Duration = seconds(20);

/// Simulated carriers in one process.
pub struct Simulator {
    process: Process,
    /// Where each carrier listens.
    pub carriers: BTreeMap<String, SocketAddr>,
    control: SocketAddr,
}

impl Simulator {
    /// Runs the scenario.
    pub fn start(name: &str, dir: &Path, scenario: &str) -> Simulator {
        let file = dir.join(format!("{name}.toml"));
        std::fs::write(&file, scenario).unwrap();
        let mut command = Command::new(programs::qiao_sim());
        command.arg("run").arg(&file);
        let (process, said) = start(name, dir, command);
        let carriers = said["carriers"].as_object().unwrap().iter();
        let carriers = carriers.map(|(name, address)| (name.clone(), parsed(address))).collect();
        Simulator { process, carriers, control: parsed(&said["control"]) }
    }

    /// Starts a fault at once: `{"kind":"mute","for":"2s"}`.
    pub fn fault(&self, carrier: &str, mut fault: Value) {
        fault["carrier"] = carrier.into();
        self.order("POST", "/faults", &fault);
    }

    /// Ends all faults of a carrier.
    pub fn mend(&self, carrier: &str) {
        self.order("DELETE", "/faults", &json!({ "carrier": carrier }));
    }

    /// A handset writes to a service number.
    pub fn uplink(&self, carrier: &str, from: &str, to: &str, text: &str) {
        self.order("POST", "/mo", &json!({ "carrier": carrier, "from": from, "to": to, "text": text }));
    }

    /// A handset writes a long message, sent as `parts` says (`{"long":"udh8","order":[2,1]}`).
    pub fn long_uplink(&self, carrier: &str, from: &str, to: &str, text: &str, parts: Value) {
        let order = json!({ "carrier": carrier, "from": from, "to": to, "text": text, "parts": parts });
        self.order("POST", "/mo", &order);
    }

    /// What a carrier counted.
    pub fn counter(&self, carrier: &str, name: &str) -> u64 {
        let report = http::call(self.control, "GET", "/carriers", &[], &[]).expect("the control port answers").json();
        let one = report["carriers"].as_array().unwrap().iter().find(|report| report["name"] == carrier).unwrap();
        let found = one.get(name).or_else(|| one["counters"].get(name)).and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no counter {name} in {one}"))
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it; its logs are complete then.
    pub fn stop(&mut self) {
        self.process.terminate();
        self.process.end(seconds(10));
    }

    fn order(&self, method: &str, path: &str, body: &Value) {
        let answer = http::call(self.control, method, path, &[], body.to_string().as_bytes());
        let answer = answer.expect("the control port answers");
        assert_eq!(answer.status, 204, "{method} {path}: {}", answer.text());
    }
}

/// The application's side of callbacks.
pub struct Sink {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it writes down.
    pub log: PathBuf,
}

impl Sink {
    /// A sink for calls signed with `secret`. One that is started again under its name goes on with its log.
    pub fn start(name: &str, dir: &Path, secret: &str, more: &[&str]) -> Sink {
        let log = dir.join(format!("{name}.jsonl"));
        let mut command = Command::new(programs::qiao_sim());
        command.args(["callbacks", "--secret", secret, "--log"]).arg(&log).args(more);
        let (process, said) = start(name, dir, command);
        Sink { process, address: parsed(&said["callbacks"]), log }
    }

    /// Ends it, if it has not ended; its log is complete then.
    pub fn stop(&mut self) {
        if self.process.ended().is_none() {
            self.process.terminate();
            self.process.end(seconds(10));
        }
    }

    /// Ends it and starts it again on its address, to behave otherwise.
    pub fn becomes(&mut self, name: &str, dir: &Path, secret: &str, more: &[&str]) {
        self.stop();
        let listen = self.address.to_string();
        *self = Sink::start(name, dir, secret, &[&["--listen", listen.as_str()], more].concat());
    }
}

/// Posts as an application would, many.
pub struct Load {
    process: Process,
    /// What it writes down.
    pub ledger: PathBuf,
}

impl Load {
    /// Starts `qiao-sim load` against `http` with the arguments `more`.
    pub fn start(name: &str, dir: &Path, http: SocketAddr, key: &str, more: &[&str]) -> Load {
        let ledger = dir.join(format!("{name}.jsonl"));
        let mut command = Command::new(programs::qiao_sim());
        command.args(["load", "--quiet", "--url", &format!("http://{http}"), "--key", key, "--ledger"]).arg(&ledger);
        command.args(more);
        Load { process: Process::start(name, dir, command), ledger }
    }

    /// Waits for its end and gives its summary.
    pub fn summary(&mut self, within: Duration) -> Value {
        self.process.end(within);
        let stdout = self.process.stdout();
        let last = stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("load ended without a summary: {stdout}"))
    }

    /// Ends it early; what is under way is still answered.
    pub fn stop(&mut self, within: Duration) {
        self.process.terminate();
        self.process.end(within);
    }

    /// Whether it still posts.
    pub fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }
}

/// Starts a program that says in one JSON line where it listens.
fn start(name: &str, dir: &Path, command: Command) -> (Process, Value) {
    let mut process = Process::start(name, dir, command);
    let said = wait::until(&format!("{name} to be ready"), START, || {
        let stdout = process.stdout();
        let whole = stdout.split_once('\n').and_then(|(line, _)| serde_json::from_str(line).ok());
        assert!(whole.is_some() || process.ended().is_none(), "{name} ended at its start: {}", process.stderr());
        whole
    });
    (process, said)
}

fn parsed(address: &Value) -> SocketAddr {
    address.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{address} is no address"))
}
