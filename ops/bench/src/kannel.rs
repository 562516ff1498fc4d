//! Kannel's programs on this machine: found, started on free ports, waited for, ended. What it is to do is in the
//! configuration of whoever starts it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::door;
use crate::process::Process;

/// Where its packages put its programs.
const HOMES: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];
/// How long it may take to serve and to bind its carriers.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where its programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    bearerbox: PathBuf,
    smsbox: PathBuf,
}

/// Kannel under way.
#[derive(Debug)]
pub struct Running {
    bearerbox: Process,
    smsbox: Process,
    /// Where it is asked for messages.
    pub sendsms: SocketAddr,
}

impl Programs {
    /// Looks for them.
    pub fn find() -> Option<Self> {
        let find = |name: &str| HOMES.iter().map(|home| Path::new(home).join(name)).find(|path| path.is_file());
        Some(Self { bearerbox: find("bearerbox")?, smsbox: find("smsbox")? })
    }

    /// Starts both in `dir` on `config`, which listens at `ports`, and waits until `carriers` connections are up.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(&self, dir: &Path, ports: &Ports, config: &str, carriers: usize) -> Result<Running> {
        let path = dir.join("kannel.conf");
        fs::write(&path, config)?;
        let start = |name: &str, program: &Path| {
            let mut command = Command::new(program);
            // Without -v each writes everything it does to stderr, beside its log.
            command.args(["-v", "4"]).arg(&path);
            Process::spawn(name, command, dir)
        };
        let bearerbox = start("bearerbox", &self.bearerbox)?;
        let online = |page: &str| page.matches("(online").count() >= carriers;
        ports.until(ports.admin, "/status.txt?password=bench", online).await?;
        let smsbox = start("smsbox", &self.smsbox)?;
        // It answers without an account, too: then it serves.
        ports.until_open(ports.sendsms).await?;
        Ok(Running { bearerbox, smsbox, sendsms: loopback(ports.sendsms) })
    }
}

impl Running {
    /// The ids of its processes.
    pub fn pids(&self) -> [u32; 2] {
        [&self.bearerbox, &self.smsbox].map(|process| process.pid().unwrap_or(0))
    }

    /// Ends both at once: asked to, it waits for what may never come.
    ///
    /// # Errors
    /// They cannot be killed.
    pub async fn kill(self) -> Result<()> {
        for mut process in [self.smsbox, self.bearerbox] {
            process.kill().await?;
        }
        Ok(())
    }
}

/// Ports that were free a moment ago; Kannel cannot be told to choose.
#[derive(Debug)]
pub struct Ports {
    /// The bearerbox's page for operators; its password is `bench`.
    pub admin: u16,
    /// Where the smsbox finds the bearerbox.
    pub boxes: u16,
    /// Where the smsbox is asked for messages.
    pub sendsms: u16,
}

impl Ports {
    /// Three of them.
    ///
    /// # Errors
    /// There are none.
    pub fn choose() -> Result<Self> {
        let open: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let port = |index: usize| open[index].local_addr().map(|address| address.port());
        Ok(Self { admin: port(0)?, boxes: port(1)?, sendsms: port(2)? })
    }

    async fn until(&self, port: u16, path: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            let page = door::ask(loopback(port), "GET", path, "").await;
            match page {
                Ok(page) if wanted(&page) => return Ok(()),
                _ if Instant::now() < give_up => sleep(LOOK_EVERY).await,
                Ok(page) => return Err(format!("Kannel does not come up: {}", page.trim()).into()),
                Err(error) => return Err(format!("Kannel does not come up: {error}").into()),
            }
        }
    }

    async fn until_open(&self, port: u16) -> Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        while tokio::net::TcpStream::connect(loopback(port)).await.is_err() {
            if Instant::now() >= give_up {
                return Err("Kannel's smsbox does not come up".into());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// A port of this machine's own.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
