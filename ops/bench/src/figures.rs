//! Runs become figures: medians with their span, as a table for people and as JSON for tools.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use crate::case::{Case, Measured};

/// A column of table and file.
struct Column {
    /// Key in the file.
    key: &'static str,
    /// Heading in the table.
    title: &'static str,
    /// Digits after the point.
    digits: usize,
    of: fn(&Measured) -> f64,
}

const COLUMNS: [Column; 7] = [
    Column { key: "cpu_us_per_message", title: "CPU us/msg", digits: 1, of: |m| m.cpu_us },
    Column { key: "messages_per_s", title: "msg/s", digits: 0, of: |m| m.per_s },
    Column { key: "p50_ms", title: "p50 ms", digits: 2, of: |m| m.p50_ms },
    Column { key: "p99_ms", title: "p99 ms", digits: 2, of: |m| m.p99_ms },
    Column { key: "rss_mb", title: "RSS MB", digits: 1, of: |m| m.rss_mb },
    Column { key: "load_cpu_us_per_message", title: "load us/msg", digits: 1, of: |m| m.load_us },
    Column { key: "far_cpu_us_per_message", title: "far us/msg", digits: 1, of: |m| m.far_us },
];

/// A case and its runs.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The case.
    pub case: Case,
    /// What each run came to; never empty.
    pub runs: Vec<Measured>,
}

/// What several runs came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Span {
    pub(crate) fn of(mut values: Vec<f64>) -> Span {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let last = values.len().saturating_sub(1);
        // With an even number of runs the lower of the two in the middle was really measured.
        Span { median: at(last / 2), min: at(0), max: at(last) }
    }

    /// As fields: the median, `*_min`, `*_max`.
    pub(crate) fn put(self, key: &str, fields: &mut Map<String, Value>) {
        let rounded = |value: f64| json!((value * 1e3).round() / 1e3);
        fields.insert(key.to_owned(), rounded(self.median));
        fields.insert(format!("{key}_min"), rounded(self.min));
        fields.insert(format!("{key}_max"), rounded(self.max));
    }
}

impl Figures {
    fn span(&self, column: &Column) -> Span {
        Span::of(self.runs.iter().map(column.of).collect())
    }

    /// The case as JSON: medians, `*_min`, `*_max`; `null` where nothing was measured.
    pub fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), self.case.title().into());
        fields.insert("protocol".into(), self.case.protocol.name().into());
        fields.insert("messages".into(), self.case.messages.into());
        for column in &COLUMNS {
            self.span(column).put(column.key, &mut fields);
        }
        fields.insert("kannel".into(), Value::Null);
        fields.insert("runs".into(), self.runs.len().into());
        Value::Object(fields)
    }
}

/// All cases as a table: a line of medians, below it their spans.
pub struct Table<'a>(pub &'a [Figures]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<22} {:>8}", "case", "messages")?;
        for column in &COLUMNS {
            write!(f, " {:>15}", column.title)?;
        }
        writeln!(f)?;
        for figures in self.0 {
            let mut spans = format!("{:<31}", "");
            write!(f, "{:<22} {:>8}", figures.case.title(), figures.case.messages)?;
            for column in &COLUMNS {
                let Span { median, min, max } = figures.span(column);
                let digits = column.digits;
                write!(f, " {median:>15.digits$}")?;
                write!(spans, " {:>15}", format!("{min:.digits$}-{max:.digits$}"))?;
            }
            writeln!(f, "\n{spans}")?;
        }
        Ok(())
    }
}

/// What the figures were measured on.
pub fn machine() -> Value {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, label: &str| {
        let line = text.lines().find(|line| line.starts_with(label));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let load = file("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse::<f64>().ok());
    json!({
        "cpu": after(&file("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": after(&file("/proc/meminfo"), "MemTotal"),
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "load_before": load,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    fn figures(cpu: &[f64]) -> Figures {
        let run = |cpu_us: &f64| Measured { cpu_us: *cpu_us, ..Measured::default() };
        Figures { case: CASES[0], runs: cpu.iter().map(run).collect() }
    }

    #[test]
    fn medians_stand_between_their_extremes() {
        let json = figures(&[9.0, 30.0, 11.5]).json();
        assert_eq!(json["cpu_us_per_message"], 11.5);
        assert_eq!((&json["cpu_us_per_message_min"], &json["cpu_us_per_message_max"]), (&json!(9.0), &json!(30.0)));
        assert_eq!((&json["kannel"], &json["runs"]), (&Value::Null, &json!(3)));
        assert_eq!(figures(&[2.0, 1.0]).json()["cpu_us_per_message"], 1.0);
    }

    #[test]
    fn the_table_shows_every_case_and_its_span() {
        let table = Table(&[figures(&[9.0, 30.0, 11.5])]).to_string();
        assert!(table.contains("single") && table.contains("11.5") && table.contains("9.0-30.0"), "{table}");
        assert_eq!(table.lines().count(), 3);
    }
}
