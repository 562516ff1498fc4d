//! A simulated carrier in a process of its own, which can be stopped, killed, cut off or told to misbehave.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::Instant;

use super::matrix::{Answer, Fault, Row};
use super::network::Network;
use super::now_ms;
use crate::Result;
use crate::line::Far;
use crate::process::program;

/// How long a flapping carrier is away, and how long it is there.
const FLAP: Duration = Duration::from_millis(1_500);

/// See the module's head.
#[derive(Debug)]
pub struct Carrier {
    name: &'static str,
    far: Far,
    network: Option<Network>,
    wire: PathBuf,
    /// What is wrong with it, since when, and whether it is wrong right now.
    broken: Option<(Fault, Instant, bool)>,
}

impl Carrier {
    /// Starts a carrier in `dir`, which is made; in a network of its own where it is to be cut off. `callback` is where we
    /// listen for one that calls back.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(
        name: &'static str,
        dir: &Path,
        row: &Row,
        network: Option<Network>,
        callback: Option<SocketAddr>,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("carriers.toml"), scenario(name, row, network.as_ref(), callback))?;
        let simulator = match &network {
            Some(network) => network.simulator()?,
            None => Command::new(program("qiao-sim")?),
        };
        let far = Far::start_by(simulator, dir).await?;
        Ok(Self { name, far, network, wire: dir.join("wire.jsonl"), broken: None })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// It does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        let address = self.far.carriers.get(self.name).copied();
        address.ok_or_else(|| format!("carrier {} does not say where it listens", self.name).into())
    }

    /// The file of what it read and answered.
    pub fn wire(&self) -> &Path {
        &self.wire
    }

    /// Breaks it; when that began, in ms since 1970.
    ///
    /// # Errors
    /// It cannot be broken.
    pub async fn fail(&mut self, fault: Fault) -> Result<f64> {
        let began = now_ms();
        self.broken = Some((fault, Instant::now(), true));
        match fault {
            Fault::Kill => self.far.process.signal(Signal::KILL)?,
            Fault::Hang => self.far.process.signal(Signal::STOP)?,
            Fault::Blackhole => self.network.as_ref().ok_or("no network of its own")?.swallow()?,
            Fault::Flapping => self.far.fault(self.name, Some(Fault::Refuse.name())).await?,
            Fault::HangSim => self.far.fault(self.name, Some(Fault::Hang.name())).await?,
            Fault::Reset => self.far.fault_for(self.name, Fault::Reset.name(), "10m").await?,
            simulated => self.far.fault(self.name, Some(simulated.name())).await?,
        }
        Ok(began)
    }

    /// Goes on failing: a flapping carrier goes or comes when its time has come.
    ///
    /// # Errors
    /// As [`Carrier::fail`].
    pub async fn go_on_failing(&mut self) -> Result<()> {
        let Some((Fault::Flapping, since, away)) = self.broken else { return Ok(()) };
        let wanted = (since.elapsed().as_millis() / FLAP.as_millis()).is_multiple_of(2);
        if wanted != away {
            self.broken = Some((Fault::Flapping, since, wanted));
            self.far.fault(self.name, wanted.then_some(Fault::Refuse.name())).await?;
        }
        Ok(())
    }

    /// Mends it; one that was killed stays dead. When that was done, in ms since 1970.
    ///
    /// # Errors
    /// It cannot be mended.
    pub async fn mend(&mut self) -> Result<f64> {
        match self.broken.take() {
            None => {}
            killed @ Some((Fault::Kill, ..)) => self.broken = killed,
            Some((Fault::Hang, ..)) => self.far.process.signal(Signal::CONT)?,
            Some((Fault::Blackhole, ..)) => self.network.as_ref().map_or(Ok(()), Network::open)?,
            Some(_) => self.far.fault(self.name, None).await?,
        }
        Ok(now_ms())
    }

    /// Ends it in order; one that was killed is gone already.
    ///
    /// # Errors
    /// It does not end as it should.
    pub async fn stop(self) -> Result<()> {
        if self.broken.is_some_and(|(fault, ..)| fault == Fault::Kill) {
            return Ok(());
        }
        self.far.process.stop().await
    }
}

fn scenario(name: &str, row: &Row, network: Option<&Network>, callback: Option<SocketAddr>) -> String {
    let Answer { min_ms, max_ms } = row.answer;
    let account = row.protocol.far(name, callback);
    let listen = network.map_or_else(String::new, |network| format!("listen = \"{}:0\"\n", network.peer()));
    format!(
        "seed = {}\n[[carrier]]\nname = \"{name}\"\n{account}{listen}\
         answer_latency = {{ min = {min_ms}, max = {max_ms} }}\nwindow = 2000\n\
         wire = \"wire.jsonl\"\n",
        fastrand::u32(..)
    )
}

#[cfg(test)]
mod tests {
    use conformance::Protocol;

    use super::super::matrix::{FAR, NEAR, Shape, rows};
    use super::*;

    #[test]
    fn scenarios_are_what_the_simulator_reads() {
        for protocol in Protocol::ALL {
            for row in rows(protocol, &[Fault::Hang], &[20], &[Shape::PrimaryBackup], &[NEAR, FAR]) {
                let callback = protocol.calls_back().then_some(SocketAddr::from(([127, 0, 0, 1], 9)));
                simulators::scenario::Scenario::read(&scenario("a", &row, None, callback), "a").unwrap();
            }
        }
    }
}
