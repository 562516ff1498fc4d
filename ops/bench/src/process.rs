//! Processes of our own: started beside this program's file, logged to a file, ended by their own id. One that is
//! dropped is killed, so that no way out of a run leaves any behind.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;

/// How long a program may take until it says that it is ready: a gateway may have ten million messages to read.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long it may take to end after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// Pause between two looks at something that is expected.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Octets of a log shown when its program failed.
const TAIL: usize = 2_000;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    dir: PathBuf,
}

/// The program `name`, which lies where this one lies.
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let path = here.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: run `make build` first", path.display()).into())
}

impl Process {
    /// Starts `program` in `dir`; its stdout goes to `dir/<name>.out`, its stderr to `dir/<name>.log`.
    ///
    /// # Errors
    /// The program or its files cannot be opened.
    pub fn start(name: &str, program_name: &str, args: &[&str], dir: &Path) -> Result<Self> {
        let mut command = Command::new(program(program_name)?);
        command.args(args);
        Self::spawn(name, command, dir)
    }

    /// Starts any command as [`Process::start`] starts our own programs.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn spawn(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let file = |ending: &str| File::create(dir.join(format!("{name}.{ending}")));
        let child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file("out")?)
            .stderr(file("log")?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.as_std().get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, dir: dir.to_owned() })
    }

    /// Sends it `signal`; one that is gone does not mind.
    ///
    /// # Errors
    /// The system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Its id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until `look` finds what it looks for; the program must not end meanwhile.
    ///
    /// # Errors
    /// The program ended, or [`READY_WITHIN`] is over.
    pub async fn until<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&status.to_string()));
            }
            if Instant::now() >= give_up {
                return Err(self.failed("not ready in time"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for its ready file and reads it.
    ///
    /// # Errors
    /// As [`Process::until`], or the file is not what was expected.
    pub async fn ready<T: DeserializeOwned>(&mut self, file: &str) -> Result<T> {
        let path = self.dir.join(file);
        let text = self.until(|| std::fs::read_to_string(&path).ok()).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end, and kills it when it does not.
    ///
    /// # Errors
    /// It did not end by itself, or not with exit code 0.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                if status.success() { Ok(()) } else { Err(self.failed(&status.to_string())) }
            }
            Err(_) => {
                self.child.kill().await?;
                Err(self.failed("did not stop when asked and was killed"))
            }
        }
    }

    /// An error with the end of the program's log.
    pub fn failed(&self, what: &str) -> Box<dyn std::error::Error> {
        let log = std::fs::read(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL)..]);
        format!("{}: {what}\n{}", self.name, tail.trim_end()).into()
    }
}

/// CPU time, user and system, of process `pid` so far; zero when it is gone. The scheduler's own count of its threads
/// is exact to the nanosecond but forgets threads that ended; `stat` forgets nothing and counts in 10 ms.
pub fn cpu(pid: u32) -> Duration {
    let of_threads = || -> Option<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let spent = |path: PathBuf| -> Option<u64> {
            std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        Some(tasks.flatten().filter_map(|task| spent(task.path())).sum())
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_nanos(of_threads().unwrap_or(0)).max(Duration::from_millis(ticks * 10))
}

/// The most memory process `pid` ever had resident, in MB (10^6 octets); zero when it is gone.
pub fn peak_rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

/// The memory process `pid` has resident now, in MB (10^6 octets); zero when it is gone.
pub fn rss_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: u32, label: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_cpu_and_memory_are_seen() {
        let me = std::process::id();
        let before = cpu(me);
        let mut sum = 0u64;
        while cpu(me) < before + Duration::from_millis(5) {
            sum = (0..100_000u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(std::hint::black_box(sum) != 1);
        assert!(rss_mb(me) > 0.5 && peak_rss_mb(me) >= 0.9 * rss_mb(me));
        assert_eq!((cpu(u32::MAX), peak_rss_mb(u32::MAX)), (Duration::ZERO, 0.0));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Process::start("x", "no-such-program", &[], dir.path()).unwrap_err();
        assert!(error.to_string().contains("no-such-program is missing"), "{error}");
    }
}
