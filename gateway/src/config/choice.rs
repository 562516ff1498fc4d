//! How a group chooses among its channels.

use std::time::Duration;

/// A group's strategy, with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Strategy {
    /// The order of the list.
    #[default]
    Preference,
    /// Parts in proportion to weights, which stand in the order of the group's channels; 0: only if no other can.
    Weighted(Vec<u32>),
    /// The cheapest first; of equally cheap ones the preferred.
    LeastCost,
    /// The best by live statistics first. `explore`: share of the messages that tries another one, 0 to 0.5.
    Quality {
        /// See above.
        explore: f64,
    },
    /// The best by a weighted score first.
    Balanced(Balance),
}

/// Share of the messages that tries a channel which is not first.
pub const EXPLORE: f64 = 0.02;

/// What counts how much in a balanced choice, and what a channel must reach to be more than the last resort.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Weight of the cost.
    pub cost: f64,
    /// Weight of success and delivery.
    pub quality: f64,
    /// Weight of the time to the carrier's answer.
    pub latency: f64,
    /// Weight of the window and pace that are free.
    pub load: f64,
    /// Least share of answers that are not the channel's failure.
    pub least_success: f64,
    /// Least share of receipts that say delivered.
    pub least_delivered: f64,
    /// Longest time within which nine of ten answers come.
    pub most_latency: Duration,
    /// Share of the messages that tries a channel which is not first.
    pub explore: f64,
}

impl Default for Balance {
    fn default() -> Self {
        Balance {
            cost: 1.0,
            quality: 2.0,
            latency: 1.0,
            load: 1.0,
            least_success: 0.8,
            least_delivered: 0.3,
            most_latency: Duration::from_secs(10),
            explore: EXPLORE,
        }
    }
}

impl Strategy {
    /// The word in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Strategy::Preference => "preference",
            Strategy::Weighted(_) => "weighted",
            Strategy::LeastCost => "least-cost",
            Strategy::Quality { .. } => "quality",
            Strategy::Balanced(_) => "balanced",
        }
    }

    /// Share of the messages that tries a channel which is not first.
    pub fn explore(&self) -> f64 {
        match self {
            Strategy::Quality { explore } => *explore,
            Strategy::Balanced(balance) => balance.explore,
            Strategy::Preference | Strategy::Weighted(_) | Strategy::LeastCost => 0.0,
        }
    }
}
