//! A whole scenario running: its carriers and its control port, on one thread.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::LocalSet;

use crate::carrier::Carrier;
use crate::centre::{Centre, Report};
use crate::clock::Clock;
use crate::control;
use crate::delivery::Mo;
use crate::desk::Desk;
use crate::fault::{Kind, Spec};
use crate::latency::Span;
use crate::lines::Lines;
use crate::scenario::{Problem, Scenario};
use crate::serve;

/// Where a running simulator can be reached.
#[derive(Debug, Clone, Serialize)]
pub struct Addresses {
    /// Carriers by name.
    pub carriers: BTreeMap<String, SocketAddr>,
    /// The control port.
    pub control: SocketAddr,
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] Problem),
    /// A socket or a file could not be opened.
    #[error("{what}: {error}")]
    Io {
        /// For what.
        what: String,
        /// What the system said.
        error: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |error| StartError::Io { what, error }
}

/// A call to a running simulator.
enum Call {
    Fault(Option<String>, Spec),
    Clear,
    Mo(String, Mo),
    Report(std::sync::mpsc::Sender<Vec<Report>>),
}

/// Runs `scenario` until `stop`, on the current thread; `ready` is told the addresses. Logs are complete on return.
async fn run(
    scenario: &Scenario,
    control: Option<SocketAddr>,
    ready: impl FnOnce(&Addresses) -> io::Result<()>,
    mut calls: Option<mpsc::Receiver<Call>>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let clock = Clock::start();
    let mut carriers = Vec::new();
    for (index, config) in scenario.carriers().enumerate() {
        let open = |path: &Option<PathBuf>| {
            let lines = path.as_deref().map_or_else(|| Ok(Lines::nowhere()), Lines::open);
            lines.map_err(io_error(format!("log of `{}`", config.name)))
        };
        let (lines, wire) = (open(&config.log)?, open(&config.wire)?);
        let seed = scenario.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
        let centre = Centre::new(Desk::new(config.clone(), seed, clock, lines).with_wire(wire));
        let carrier = Carrier::start(centre, config.listen, config.quickack).await;
        carriers.push(carrier.map_err(io_error(format!("`{}` on {}", config.name, config.listen)))?);
    }
    let door = control.or(scenario.control).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let door = serve::listen_on_loopback(door).await.map_err(io_error("control port"))?;
    let addresses = Addresses {
        carriers: carriers.iter().map(|carrier| (carrier.name(), carrier.address())).collect(),
        control: door.local_addr().map_err(io_error("control port"))?,
    };
    ready(&addresses).map_err(io_error("ready file"))?;
    let carriers = Rc::new(carriers);
    tokio::pin!(stop);
    let served = control::serve(door, Rc::clone(&carriers));
    tokio::pin!(served);
    loop {
        let call = async {
            match &mut calls {
                Some(calls) => calls.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => break,
            () = &mut served => break,
            call = call => match call {
                Some(call) => obey(&carriers, call),
                None => break,
            },
        }
    }
    carriers.iter().try_for_each(|carrier| carrier.close().map_err(io_error(format!("log of `{}`", carrier.name()))))
}

fn obey(carriers: &[Rc<Carrier>], call: Call) {
    match call {
        Call::Fault(name, spec) => {
            for carrier in control::named(carriers, name.as_deref()).unwrap_or_default() {
                carrier.start_fault(spec.clone());
            }
        }
        Call::Clear => carriers.iter().for_each(|carrier| carrier.clear_faults()),
        Call::Mo(name, mo) => {
            for carrier in control::named(carriers, Some(&name)).unwrap_or_default() {
                carrier.send_mo(mo.clone());
            }
        }
        Call::Report(to) => {
            let _ = to.send(carriers.iter().map(|carrier| carrier.report()).collect());
        }
    }
}

/// Runs `scenario` until `stop`; blocks the calling thread. `ready` is told the addresses once all listen.
pub fn run_until(
    scenario: &Scenario,
    control: Option<SocketAddr>,
    ready: impl FnOnce(&Addresses) -> io::Result<()>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let runtime = runtime().map_err(io_error("runtime"))?;
    LocalSet::new().block_on(&runtime, run(scenario, control, ready, None, stop))
}

/// The runtime of every sub-command: one thread.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A simulator on a thread of its own, for tests in the same process. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    addresses: Addresses,
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Simulator {
    /// Starts `scenario` (TOML); returns once every carrier listens.
    pub fn start(scenario: &str) -> Result<Self, StartError> {
        let scenario = Scenario::read(scenario, "scenario")?;
        let (calls, received) = mpsc::channel(64);
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = runtime().map_err(io_error("runtime"))?;
            let ready = move |addresses: &Addresses| tell.send(addresses.clone()).map_err(io::Error::other);
            LocalSet::new().block_on(&runtime, run(&scenario, None, ready, Some(received), std::future::pending()))
        });
        match told.recv() {
            Ok(addresses) => Ok(Self { addresses, calls: Some(calls), thread: Some(thread) }),
            Err(_) => Err(join(thread).err().unwrap_or_else(|| io_error("start")(io::ErrorKind::Other.into()))),
        }
    }

    /// Where the carrier of that name listens.
    pub fn address(&self, carrier: &str) -> Option<SocketAddr> {
        self.addresses.carriers.get(carrier).copied()
    }

    /// Where the control port listens.
    pub fn control(&self) -> SocketAddr {
        self.addresses.control
    }

    /// Starts a fault of `carrier`; `None` lasts until cleared (or is a moment, where the kind is one).
    pub fn fault(&self, carrier: &str, kind: Kind, lasts: Option<Duration>) {
        self.call(Call::Fault(Some(carrier.to_owned()), Spec::now(kind, lasts.map(Span))));
    }

    /// Ends all faults of all carriers.
    pub fn clear_faults(&self) {
        self.call(Call::Clear);
    }

    /// Sends an uplink message.
    pub fn send_mo(&self, carrier: &str, from: &str, to: &str, text: &str) {
        self.call(Call::Mo(
            carrier.to_owned(),
            Mo { from: from.into(), to: to.into(), text: text.into(), segment: None },
        ));
    }

    /// Where every carrier stands, in the scenario's order; what was called before has been done.
    pub fn report(&self) -> Vec<Report> {
        let (tell, told) = std::sync::mpsc::channel();
        self.call(Call::Report(tell));
        told.recv().unwrap_or_default()
    }

    /// May be called from inside a runtime as well: the simulator's thread is another one. A thread that is gone
    /// is reported by `stop`.
    fn call(&self, mut call: Call) {
        while let Some(calls) = &self.calls {
            match calls.try_send(call) {
                Err(TrySendError::Full(back)) => call = back,
                Ok(()) | Err(TrySendError::Closed(_)) => return,
            }
            std::thread::yield_now();
        }
    }

    /// Stops it; the logs are complete after it.
    pub fn stop(mut self) -> Result<(), StartError> {
        self.calls = None;
        self.thread.take().map_or(Ok(()), join)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            let _ = join(thread);
        }
    }
}

fn join(thread: JoinHandle<Result<(), StartError>>) -> Result<(), StartError> {
    thread.join().unwrap_or_else(|_| Err(io_error("simulator")(io::Error::other("the thread panicked"))))
}

/// Writes the ready file, when one is wanted, and the line for stdout.
pub fn announce(addresses: &impl Serialize, file: Option<&Path>) -> io::Result<()> {
    let line = serde_json::to_string(addresses).map_err(io::Error::other)?;
    if let Some(file) = file {
        crate::lines::write_whole(file, &line)?;
    }
    println!("{line}");
    Ok(())
}
