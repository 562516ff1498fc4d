//! Whoever looks at the gateway's process while the measured load runs: a command that says `ready` once it looks, and
//! ends when it is told to (SIGTERM).

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::process::Command;

use crate::Result;
use crate::case::Case;
use crate::process::Process;

/// A program and its arguments. It finds the gateway's process id in `QIAO_PID`, how many messages are measured in
/// `MESSAGES`, the case in `CASE`, and has the run's directory as its own.
#[derive(Debug, Clone)]
pub struct Watch {
    program: PathBuf,
    args: Vec<String>,
}

/// One that looks.
#[derive(Debug)]
pub struct Watching(Process);

impl Watch {
    /// Reads a command: words with spaces between them, the program relative to where we are.
    ///
    /// # Errors
    /// There is no such program.
    pub fn read(command: &str) -> std::result::Result<Self, String> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default();
        let program = std::fs::canonicalize(&program).map_err(|error| format!("`{program}`: {error}"))?;
        Ok(Self { program, args: words.collect() })
    }

    /// Starts it and waits until it looks.
    ///
    /// # Errors
    /// It ends, or never says that it is ready.
    pub async fn start(&self, dir: &Path, pid: u32, case: &Case) -> Result<Watching> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env("QIAO_PID", pid.to_string()).env("CASE", case.title());
        command.env("MESSAGES", case.messages.to_string());
        let mut process = Process::spawn("watch", command, dir)?;
        let out = dir.join("watch.out");
        process.until(|| std::fs::read_to_string(&out).ok()?.lines().any(|line| line == "ready").then_some(())).await?;
        Ok(Watching(process))
    }
}

impl Watching {
    /// Tells it to end and waits until it has.
    ///
    /// # Errors
    /// It fails.
    pub async fn end(mut self) -> Result<()> {
        self.0.signal(Signal::TERM)?;
        let status = self.0.ended().await?;
        if status.success() { Ok(()) } else { Err(self.0.failed(&status.to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    #[tokio::test]
    async fn a_watcher_is_told_whom_to_watch_and_when_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("watch.sh");
        let text =
            "trap 'echo \"$1 $QIAO_PID $CASE $MESSAGES\"; exit 0' TERM\necho ready\nwhile :; do sleep 1 & wait; done\n";
        std::fs::write(&script, text).unwrap();
        let watch = Watch::read(&format!("/bin/sh {} word", script.display())).unwrap();
        watch.start(dir.path(), 17, &CASES[0]).await.unwrap().end().await.unwrap();
        let said = std::fs::read_to_string(dir.path().join("watch.out")).unwrap();
        assert_eq!(said, format!("ready\nword 17 single {}\n", CASES[0].messages));
        assert!(Watch::read("/no/such/program").is_err());
    }
}
