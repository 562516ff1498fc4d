//! Findings become figures: over all runs of a row, as a table for people and as JSON for tools.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::judge::Finding;
use super::matrix::Row;

/// All runs of one program on one row.
#[derive(Debug, Clone, Default)]
pub struct Runs(pub Vec<Finding>);

impl Runs {
    /// The time below which a share `q` of the runs moved their traffic, in ms (nearest rank); `None` if fewer did.
    pub fn to_backup_ms(&self, q: f64) -> Option<f64> {
        let mut times: Vec<f64> = self.0.iter().map(|run| run.to_backup_ms.unwrap_or(f64::INFINITY)).collect();
        times.sort_by(f64::total_cmp);
        let rank = (q * times.len() as f64).ceil() as usize;
        times.get(rank.max(1) - 1).copied().filter(|time| time.is_finite())
    }

    fn sum(&self, of: fn(&Finding) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }

    /// The median of what the gateway itself measured, over the runs in which it measured anything.
    fn told_ms(&self) -> Option<f64> {
        let mut times: Vec<f64> = self.0.iter().filter_map(|run| run.told_ms).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len().saturating_sub(1) / 2).copied()
    }

    /// Whether a message was lost, or sent twice without a word.
    pub fn is_blemished(&self) -> bool {
        self.sum(|run| run.lost + run.unexplained) > 0
    }

    /// `None` where the program counts no suspicions.
    fn suspicions(&self) -> Option<u64> {
        self.0.iter().filter_map(|run| run.suspicions).fold(None, |sum, run| Some(sum.unwrap_or(0) + run))
    }

    fn json(&self) -> Value {
        let round = |ms: Option<f64>| ms.map(|ms| (ms * 1e3).round() / 1e3);
        json!({
            "runs": self.0.len(),
            "to_backup_ms_p50": round(self.to_backup_ms(0.5)),
            "to_backup_ms_p99": round(self.to_backup_ms(0.99)),
            "runs_moved": self.0.iter().filter(|run| run.to_backup_ms.is_some()).count(),
            "messages": self.sum(|run| run.messages),
            "otp_messages": self.sum(|run| run.otp),
            "late_over_1s": self.sum(|run| run.late),
            "otp_late_over_1s": self.sum(|run| run.otp_late),
            "lost": self.sum(|run| run.lost),
            "undelivered": self.sum(|run| run.undelivered),
            "duplicates": self.sum(|run| run.duplicates),
            "unexplained_duplicates": self.sum(|run| run.unexplained),
            "hedged": self.sum(|run| run.hedged),
            "told_failover_ms_p50": round(self.told_ms()),
            "false_suspicions": self.suspicions(),
            "strays_before_fault": self.sum(|run| run.strays),
        })
    }
}

/// Kannel's runs beside ours.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// With short timers.
    pub tuned: Runs,
    /// As its package and its documentation leave it.
    pub as_shipped: Runs,
}

/// A row and what it came to.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The row.
    pub row: Row,
    /// Our gateway.
    pub ours: Runs,
    /// Kannel, where it was run.
    pub kannel: Option<Beside>,
}

impl Measured {
    /// The row as tools read it. `answer_ms` is the longest answer time of the carriers' law.
    pub fn json(&self) -> Value {
        let Row { fault, rate, shape, answer, protocol } = self.row;
        let mut row = self.ours.json();
        row["protocol"] = protocol.name().into();
        row["fault"] = fault.name().into();
        row["rate"] = rate.into();
        row["shape"] = shape.name().into();
        row["answer_ms"] = answer.max_ms.into();
        row["answer_ms_min"] = answer.min_ms.into();
        row["kannel"] = self.kannel.as_ref().map_or(Value::Null, |beside| {
            let mut kannel = beside.tuned.json();
            kannel["as_shipped"] = beside.as_shipped.json();
            kannel
        });
        row
    }
}

/// The table's heading.
pub fn heading() -> String {
    format!(
        "{:<5} {:<11} {:>4} {:<14} {:>7} {:>6} {:>10} {:>10} {:>7} {:>10} {:>9} {:>5} {:>6} {:>6} {:>6} {:>7} {:>7}",
        "",
        "fault",
        "/s",
        "shape",
        "answer",
        "moved",
        "to_backup",
        "p99 ms",
        "own ms",
        "late >1s",
        "otp late",
        "lost",
        "undel.",
        "dup.",
        "hedged",
        "unexpl.",
        "false"
    )
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { fault, rate, shape, answer, protocol } = self.row;
        let (protocol, answer) = (protocol.name(), answer.to_string());
        let figures = Figures(&self.ours);
        write!(f, "{protocol:<5} {:<11} {rate:>4} {:<14} {answer:>7} {figures}", fault.name(), shape.name())?;
        if let Some(Beside { tuned, as_shipped }) = &self.kannel {
            for (name, runs) in [("Kannel, tuned", tuned), ("Kannel, as shipped", as_shipped)] {
                if !runs.0.is_empty() {
                    write!(f, "\n  {name:<43} {}", Figures(runs))?;
                }
            }
        }
        Ok(())
    }
}

struct Figures<'a>(&'a Runs);

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0;
        let ms = |q: f64| runs.to_backup_ms(q).map_or_else(|| "never".to_owned(), |ms| format!("{ms:.1}"));
        let of = |part: u64, whole: u64| format!("{part}/{whole}");
        let moved = runs.0.iter().filter(|run| run.to_backup_ms.is_some()).count();
        let told = runs.told_ms().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        let moved = of(moved as u64, runs.0.len() as u64);
        let mut line = format!("{moved:>6} {:>10} {:>10} {told:>7}", ms(0.5), ms(0.99));
        write!(
            line,
            " {:>10} {:>9} {:>5} {:>6} {:>6} {:>6} {:>7}",
            of(runs.sum(|run| run.late), runs.sum(|run| run.messages)),
            of(runs.sum(|run| run.otp_late), runs.sum(|run| run.otp)),
            runs.sum(|run| run.lost),
            runs.sum(|run| run.undelivered),
            runs.sum(|run| run.duplicates),
            runs.sum(|run| run.hedged),
            runs.sum(|run| run.unexplained),
        )?;
        let suspicions = runs.suspicions().map_or_else(|| "-".to_owned(), |count| count.to_string());
        let strays = runs.sum(|run| run.strays);
        write!(f, "{line} {:>7}", if strays > 0 { format!("{suspicions}+{strays}") } else { suspicions })
    }
}

#[cfg(test)]
mod tests {
    use conformance::Protocol;

    use super::super::matrix::{FAR, Fault, Shape};
    use super::*;

    fn runs(times: &[Option<f64>]) -> Runs {
        let run = |time: &Option<f64>| Finding { to_backup_ms: *time, messages: 10, late: 2, ..Finding::default() };
        Runs(times.iter().map(run).collect())
    }

    #[test]
    fn percentiles_are_measured_times_and_a_run_that_never_moved_is_the_longest() {
        let five = runs(&[Some(5.0), Some(1.0), None, Some(3.0), Some(2.0)]);
        assert_eq!(
            (five.to_backup_ms(0.5), five.to_backup_ms(0.8), five.to_backup_ms(0.99)),
            (Some(3.0), Some(5.0), None)
        );
        assert_eq!(runs(&[Some(7.0)]).to_backup_ms(0.99), Some(7.0));
        assert_eq!(runs(&[]).to_backup_ms(0.5), None);
    }

    #[test]
    fn rows_have_the_keys_other_tools_look_for() {
        let row = Row {
            fault: Fault::PingsOnly,
            rate: 20,
            shape: Shape::PrimaryBackup,
            answer: FAR,
            protocol: Protocol::Smpp,
        };
        let beside = Beside { tuned: runs(&[Some(2_900.0)]), as_shipped: runs(&[None]) };
        let measured = Measured { row, ours: runs(&[Some(1.5), None]), kannel: Some(beside) };
        let json = measured.json();
        assert_eq!((&json["fault"], &json["shape"]), (&json!("pings_only"), &json!("primary/backup")));
        assert_eq!((&json["rate"], &json["answer_ms"], &json["runs"]), (&json!(20), &json!(800), &json!(2)));
        assert_eq!((&json["to_backup_ms_p50"], &json["to_backup_ms_p99"]), (&json!(1.5), &Value::Null));
        for key in ["late_over_1s", "otp_late_over_1s", "lost", "unexplained_duplicates"] {
            assert!(json[key].is_u64(), "{key}");
        }
        assert_eq!(json["kannel"]["to_backup_ms_p50"], 2_900.0);
        assert_eq!(json["kannel"]["as_shipped"]["runs_moved"], 0);
        assert_eq!(measured.to_string().lines().count(), 3);
        assert!(!measured.ours.is_blemished());
        assert!(heading().len() >= 120);
    }
}
