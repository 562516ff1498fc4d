//! How long traffic takes to move when a carrier fails: real processes, one fault per run, judged from what client and
//! carriers wrote down. The program is `ops/bench/src/bin/failover.rs`; ops/bench/README.md says how to read its table.

pub mod carrier;
pub mod evidence;
pub mod judge;
pub mod kannel;
pub mod matrix;
pub mod network;
pub mod report;
pub mod trial;

/// Now, in ms since 1970 with microsecond digits, as all files of a run have it.
pub fn now_ms() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}
