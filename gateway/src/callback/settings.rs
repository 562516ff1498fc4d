//! How events are delivered: what `[callbacks]` says, and what it need not say.

use std::time::Duration;

/// How events are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Most calls at once to one endpoint.
    pub in_flight: usize,
    /// Most events in a letter.
    pub batch_events: usize,
    /// Most octets of a letter.
    pub batch_octets: usize,
    /// How long an event may wait for company while another call is under way.
    pub linger: Duration,
    /// Connecting may take this long.
    pub connect: Duration,
    /// The whole call may take this long.
    pub total: Duration,
    /// Wait before the n-th repetition; the last repeats.
    pub schedule: Vec<Duration>,
    /// From when a letter's first event came; a letter that fails beyond is dead.
    pub give_up_after: Duration,
    /// Failures in a row that open the circuit.
    pub trip_after: u32,
    /// How often an open circuit lets one call through.
    pub trial_every: Duration,
    /// How long an event may wait in memory while its endpoint takes nothing.
    pub spill_after: Duration,
    /// Most events of an app in memory; beyond half of it they are written down, whatever the endpoint does.
    pub most_events: usize,
    /// The same in octets.
    pub most_octets: usize,
    /// Most octets of an app's letters on disk, dead ones included.
    pub quota: u64,
    /// How long dead letters are kept.
    pub keep_dead: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = [5, 30, 120, 600, 1_800, 3_600];
        Settings {
            in_flight: 16,
            batch_events: 100,
            batch_octets: 256 * 1024,
            linger: Duration::from_millis(20),
            connect: Duration::from_secs(3),
            total: Duration::from_secs(10),
            schedule: seconds.map(Duration::from_secs).to_vec(),
            give_up_after: Duration::from_secs(24 * 3600),
            trip_after: 10,
            trial_every: Duration::from_secs(30),
            spill_after: Duration::from_secs(1),
            most_events: 20_000,
            most_octets: 16 * 1024 * 1024,
            quota: 2 << 30,
            keep_dead: Duration::from_secs(30 * 86_400),
        }
    }
}
