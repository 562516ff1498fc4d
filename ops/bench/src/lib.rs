//! The line as real processes on loopback, started, watched and stopped from outside: what the benchmark and the demo
//! have in common. It sees what an operator sees; only `alone` looks inside the gateway, at the journal by itself.

pub mod alone;
pub mod beside;
pub mod board;
pub mod case;
pub mod door;
pub mod failover;
pub mod figures;
pub mod kannel;
pub mod line;
pub mod process;
pub mod queued;
pub mod trace;
pub mod watch;

/// Anything that keeps a run from its end, in words for the person who started it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Ends with the first SIGINT or SIGTERM. Where signals cannot be caught the process simply dies of them.
pub async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
