//! The line as real processes on loopback, started, watched and stopped from outside: what the benchmark and the demo
//! have in common. Nothing here links with the gateway; it sees what an operator sees.

pub mod board;
pub mod case;
pub mod door;
pub mod failover;
pub mod figures;
pub mod line;
pub mod process;
pub mod queued;
pub mod trace;

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
