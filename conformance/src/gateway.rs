//! The gateway as a process, and what its two doors say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use crate::http::{self, Answer};
use crate::process::Process;
use crate::wait::{self, seconds};
use crate::{ports, programs};

/// How long a start may take; a debug build on a busy machine is slow.
const START: Duration = seconds(30);

/// What a gateway is started with besides its configuration.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Most descriptors it may have; as many as the test itself where none is said.
    pub descriptors: Option<u32>,
}

/// A gateway on a configuration directory. Its addresses stay the same when it is started again.
pub struct Gateway {
    dir: PathBuf,
    logs: PathBuf,
    launch: Launch,
    process: Option<Process>,
    starts: usize,
    /// Where applications call.
    pub http: SocketAddr,
    /// Where operators call.
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway on the configuration in `dir`; `node` makes the text of `qiao.toml` for given addresses.
    /// Where somebody else was quicker to take a port, others are tried.
    pub fn start(dir: &Path, logs: &Path, launch: &Launch, node: impl Fn(SocketAddr, SocketAddr) -> String) -> Gateway {
        for _ in 0..5 {
            let (http, admin) = (ports::free(), ports::free());
            std::fs::write(dir.join("qiao.toml"), node(http, admin)).unwrap();
            let (dir, logs, launch) = (dir.to_owned(), logs.to_owned(), launch.clone());
            let mut gateway = Gateway { dir, logs, launch, process: None, starts: 0, http, admin };
            if gateway.try_start() {
                return gateway;
            }
        }
        panic!("no port is to be had for a gateway");
    }

    /// Starts it again after it ended.
    pub fn restart(&mut self) {
        assert!(self.try_start(), "the gateway's port was taken meanwhile");
    }

    /// False where a port is taken; panics on any other failure.
    fn try_start(&mut self) -> bool {
        self.process = None;
        self.starts += 1;
        let mut command = self.launch.command(programs::qiao());
        command.arg("serve").arg("--config").arg(&self.dir);
        let mut process = Process::start(&format!("qiao-{}", self.starts), &self.logs, command);
        let ready = wait::until("the gateway to be ready", START, || {
            let ready = process.stderr().lines().find_map(ready);
            ready.map(Ok).or_else(|| process.ended().map(Err))
        });
        let (http, admin) = match ready {
            Ok(addresses) => addresses,
            Err(_) if process.stderr().contains("cannot listen") => return false,
            Err(status) => panic!("the gateway ended at its start ({status}): {}", process.stderr()),
        };
        (self.http, self.admin) = (http, admin);
        self.process = Some(process);
        true
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the gateway runs")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// SIGTERM, and its status once it has ended.
    pub fn drain(&mut self, within: Duration) -> ExitStatus {
        let process = self.process();
        process.terminate();
        process.end(within)
    }

    /// All that its processes have logged so far.
    pub fn log(&self) -> String {
        let log = |n| std::fs::read_to_string(self.logs.join(format!("qiao-{n}.stderr"))).unwrap_or_default();
        (1..=self.starts).map(log).collect()
    }

    /// A call at the applications' door.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = http::call(self.http, method, path, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {path} at the applications' door: {error}"))
    }

    /// A call at the operators' door.
    pub fn ask(&self, path: &str) -> Answer {
        let answer = http::call(self.admin, "GET", path, &[], &[]);
        answer.unwrap_or_else(|error| panic!("GET {path} at the operators' door: {error}"))
    }

    /// The metrics page.
    pub fn metrics(&self) -> Metrics {
        let page = self.ask("/metrics");
        assert_eq!(page.status, 200, "{}", page.text());
        Metrics(page.text())
    }

    /// Runs `qiao ctl` with `args` and nothing of the test's own environment: its exit code, and what it printed.
    pub fn operator(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(programs::qiao());
        command.args(["ctl", "--url", &format!("http://{}", self.admin)]).args(args);
        command.env_remove("QIAO_URL").env_remove("QIAO_TOKEN_FILE");
        let output = command.output().expect("qiao runs");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `qiao ctl` with `args`: whether it said yes, and what it printed.
    pub fn ctl(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new(programs::qiao());
        command.args(["ctl", "--url", &format!("http://{}", self.admin)]).args(args);
        let output = command.output().expect("qiao runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until these channels are up.
    pub fn await_channels(&self, names: &[&str]) {
        for name in names {
            wait::until(&format!("channel {name} to be up"), seconds(20), || {
                (self.ask(&format!("/admin/v1/channels/{name}")).json()["state"] == "up").then_some(())
            });
        }
    }
}

impl Launch {
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.descriptors {
            // It becomes the program, so that the process is the same.
            Some(most) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={most}:{most}")).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The addresses in the log line that says so.
fn ready(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |key: &str| line[key].as_str()?.parse().ok();
    (line["message"] == "ready").then_some(())?;
    Some((address("http")?, address("admin")?))
}

/// A metrics page.
pub struct Metrics(String);

impl Metrics {
    /// The page.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether there is any metric of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.strip_prefix("# TYPE ").is_some_and(|rest| rest.split(' ').next() == Some(name)))
    }

    /// The sum of all samples of `name` that carry these labels; 0 where there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fitting = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            let all = |(key, value): &(&str, &str)| rest.contains(&format!("{key}=\"{value}\""));
            rest.starts_with(['{', ' ']) && labels.iter().all(all)
        });
        // A sum of nothing would be -0.
        fitting.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, |sum, value| sum + value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_samples_has_those_with_the_labels_and_of_nothing_is_0() {
        let page = Metrics("a{b=\"1\"} 2\na{b=\"2\"} 3\nab 7\n".into());
        let sums = [("a", &[][..]), ("a", &[("b", "2")]), ("c", &[])].map(|(name, labels)| page.sum(name, labels));
        assert_eq!(sums.map(|sum| sum.to_string()), ["5", "3", "0"]);
    }
}
