//! What is measured: faults, rates, shapes of the group, answer times and protocol of the far side. A row is one of each.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use conformance::Protocol;

/// What happens to the first carrier; the names are those of the simulators' faults where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Fault {
    /// Its process is killed (SIGKILL).
    Kill,
    /// Its connections end with RST, new ones too.
    Reset,
    /// Its connections are closed, new ones refused.
    Refuse,
    /// Its process is stopped (SIGSTOP): the kernel acknowledges, nobody reads.
    Hang,
    /// It stops reading and writing of its own accord.
    HangSim,
    /// It reads everything and answers nothing.
    Mute,
    /// It answers link tests and nothing else.
    PingsOnly,
    /// What is sent to it is dropped at its network's input.
    Blackhole,
    /// Its answers take 5 s longer.
    Slow,
    /// It answers every submit with a system error.
    Errors,
    /// It answers every submit as throttled.
    Throttle,
    /// It goes and comes every one and a half seconds.
    Flapping,
}

impl Fault {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Reset => "reset",
            Fault::Refuse => "refuse",
            Fault::Hang => "hang",
            Fault::HangSim => "hang_sim",
            Fault::Mute => "mute",
            Fault::PingsOnly => "pings_only",
            Fault::Blackhole => "blackhole",
            Fault::Slow => "slow",
            Fault::Errors => "errors",
            Fault::Throttle => "throttle",
            Fault::Flapping => "flapping",
        }
    }

    /// How long it lasts at least; longer until traffic has moved.
    pub fn lasts(self) -> Duration {
        Duration::from_millis(if self == Fault::Flapping { 9_000 } else { 5_000 })
    }
}

/// How the two channels share a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// All traffic goes to the first as long as it can.
    #[value(name = "primary/backup")]
    PrimaryBackup,
    /// Both have their share.
    #[value(name = "balanced")]
    Balanced,
}

impl Shape {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Shape::PrimaryBackup => "primary/backup",
            Shape::Balanced => "balanced",
        }
    }

    /// The group's strategy in the configuration.
    pub fn strategy(self) -> &'static str {
        match self {
            Shape::PrimaryBackup => "preference",
            Shape::Balanced => "balanced",
        }
    }
}

/// From submit to answer at both carriers, evenly between two bounds, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The shortest.
    pub min_ms: u32,
    /// The longest.
    pub max_ms: u32,
}

/// A carrier next door.
pub const NEAR: Answer = Answer { min_ms: 20, max_ms: 20 };
/// A carrier as many are.
pub const FAR: Answer = Answer { min_ms: 300, max_ms: 800 };

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min_ms == self.max_ms {
            write!(f, "{}", self.min_ms)
        } else {
            write!(f, "{}-{}", self.min_ms, self.max_ms)
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What fails.
    pub fault: Fault,
    /// Messages per second.
    pub rate: u32,
    /// How the channels share.
    pub shape: Shape,
    /// How soon both answer.
    pub answer: Answer,
    /// What both speak.
    pub protocol: Protocol,
}

impl Row {
    /// Unanswered submits allowed per link: half as many again as the rate keeps in flight, so that the window is
    /// never what moves traffic in good times.
    pub fn window(&self) -> u32 {
        (self.rate * self.answer.max_ms * 3).div_ceil(2_000).max(16)
    }

    /// Parts per second by contract: twice what is posted, so that one channel alone catches up.
    pub fn contract(&self) -> u32 {
        self.rate * 2 + 20
    }

    /// How many runs may go on side by side: about 100 messages per second in all, and 5 at most.
    pub fn beside(&self) -> u32 {
        (100 / self.rate).clamp(1, 5)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { fault, rate, shape, answer, protocol } = self;
        write!(f, "{protocol}: {} at {rate}/s, {}, answers in {answer} ms", fault.name(), shape.name())
    }
}

/// Every combination, rarest change first: shape, answer time, fault, rate.
pub fn rows(protocol: Protocol, faults: &[Fault], rates: &[u32], shapes: &[Shape], answers: &[Answer]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &shape in shapes {
        for &answer in answers {
            for &fault in faults {
                rows.extend(rates.iter().map(|&rate| Row { fault, rate, shape, answer, protocol }));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_command_line_takes() {
        for fault in Fault::value_variants() {
            assert_eq!(Fault::from_str(fault.name(), false), Ok(*fault));
        }
        for shape in Shape::value_variants() {
            assert_eq!(Shape::from_str(shape.name(), false), Ok(*shape));
        }
    }

    #[test]
    fn a_window_never_holds_good_traffic_back() {
        for row in rows(Protocol::Smpp, &[Fault::Hang], &[1, 5, 20, 200], &[Shape::PrimaryBackup], &[NEAR, FAR]) {
            assert!(f64::from(row.window()) >= f64::from(row.rate * row.answer.max_ms) / 1e3 * 1.4, "{row}");
            assert!(row.window() >= 16 && row.contract() > row.rate && row.beside() >= 1);
        }
    }
}
