//! Runs become figures: medians with their span, as a table for people and as JSON for tools.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use crate::alone::{Ceiling, Tool, journal};
use crate::beside::{self, Store};
use crate::case::{Case, Measured};

/// A column of table and file.
#[derive(Debug)]
pub struct Column<T> {
    /// Key in the file.
    pub key: &'static str,
    /// Heading in the table.
    pub title: &'static str,
    /// Digits after the point.
    pub digits: usize,
    /// Its figure of a run.
    pub of: fn(&T) -> f64,
}

/// What a run comes to, in columns.
pub trait Measure: Sized + 'static {
    /// What is counted.
    const COUNTED: &'static str = "messages";
    /// The columns.
    const COLUMNS: &'static [Column<Self>];
}

impl Measure for Measured {
    const COLUMNS: &'static [Column<Self>] = &[
        Column { key: "cpu_us_per_message", title: "CPU us/msg", digits: 1, of: |m| m.cpu_us },
        Column { key: "messages_per_s", title: "msg/s", digits: 0, of: |m| m.per_s },
        Column { key: "p50_ms", title: "p50 ms", digits: 2, of: |m| m.p50_ms },
        Column { key: "p99_ms", title: "p99 ms", digits: 2, of: |m| m.p99_ms },
        Column { key: "rss_mb", title: "RSS MB", digits: 1, of: |m| m.rss_mb },
        Column { key: "load_cpu_us_per_message", title: "load us/msg", digits: 1, of: |m| m.load_us },
        Column { key: "far_cpu_us_per_message", title: "far us/msg", digits: 1, of: |m| m.far_us },
    ];
}

/// A row of a table: so many messages or records, measured so often.
#[derive(Debug, Clone)]
pub struct Row<T> {
    /// Its name.
    pub name: String,
    /// Messages or records of a run.
    pub count: u32,
    /// What each run came to; never empty once it is shown.
    pub runs: Vec<T>,
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

impl<T: Measure> Row<T> {
    /// A row without runs.
    pub fn new(name: impl Into<String>, count: u32) -> Self {
        Self { name: name.into(), count, runs: Vec::new() }
    }

    fn span(&self, column: &Column<T>) -> Span {
        Span::of(self.runs.iter().map(column.of).collect())
    }

    /// Medians, `*_min`, `*_max`.
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        for column in T::COLUMNS {
            self.span(column).put(column.key, &mut fields);
        }
        fields.insert(T::COUNTED.into(), self.count.into());
        fields.insert("runs".into(), self.runs.len().into());
        fields
    }

    /// The row as JSON, with its name.
    pub fn json(&self) -> Value {
        let mut fields = self.fields();
        fields.insert("name".into(), self.name.as_str().into());
        Value::Object(fields)
    }

    fn heading(f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "{what:<24} {:>8}", T::COUNTED)?;
        T::COLUMNS.iter().try_for_each(|column| write!(f, " {:>15}", column.title))?;
        writeln!(f)
    }

    /// A line of medians, below it their spans.
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut spans = format!("{:<33}", "");
        write!(f, "{:<24} {:>8}", self.name, self.count)?;
        for column in T::COLUMNS {
            let Span { median, min, max } = self.span(column);
            let digits = column.digits;
            write!(f, " {median:>15.digits$}")?;
            write!(spans, " {:>15}", format!("{min:.digits$}-{max:.digits$}"))?;
        }
        writeln!(f, "\n{spans}")
    }
}

/// A case, its runs, and those of Kannel beside it.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The case.
    pub case: Case,
    /// The gateway's runs.
    pub row: Row<Measured>,
    /// Kannel's, by store; none where it is not run.
    pub kannel: Vec<(Store, Row<Measured>)>,
}

impl Figures {
    /// A case without runs, with Kannel beside it where it is there and can play.
    pub fn new(case: Case, kannel: bool) -> Self {
        let beside = |store: Store| {
            let name = match store {
                Store::None => "  Kannel, no store",
                Store::Spool => "  Kannel, spool",
            };
            (store, Row::new(name, beside::messages(&case)))
        };
        let kannel = if kannel && beside::plays(&case) { Store::ALL.map(beside).into() } else { Vec::new() };
        Self { case, row: Row::new(case.title(), case.messages), kannel }
    }

    /// The case as JSON; `kannel` is Kannel without a store, `kannel.spool` with one, `null` where it was not run.
    pub fn json(&self) -> Value {
        let mut fields = self.row.fields();
        fields.insert("name".into(), self.case.title().into());
        fields.insert("protocol".into(), self.case.protocol.name().into());
        let mut beside: Option<Map<String, Value>> = None;
        for (store, row) in self.kannel.iter().filter(|(_, row)| !row.runs.is_empty()) {
            let mut figures = row.fields();
            figures.insert("store".into(), store.name().into());
            match &mut beside {
                None => beside = Some(figures),
                Some(first) => drop(first.insert(store.name().into(), Value::Object(figures))),
            }
        }
        fields.insert("kannel".into(), beside.map_or(Value::Null, Value::Object));
        Value::Object(fields)
    }
}

/// Everything measured in one go.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// The line's cases.
    pub cases: Vec<Figures>,
    /// What load client and far side can do.
    pub ceilings: Vec<(Tool, Row<Ceiling>)>,
    /// The journal alone.
    pub journal: Vec<(journal::Wish, Row<journal::Measured>)>,
}

impl Book {
    /// The file's fields.
    pub fn json(&self, machine: &Value) -> Value {
        let cases: Vec<Value> = self.cases.iter().map(Figures::json).collect();
        let ceilings: Vec<Value> = self.ceilings.iter().map(|(_, row)| row.json()).collect();
        let journal: Vec<Value> = self.journal.iter().map(|(_, row)| row.json()).collect();
        json!({ "machine": machine, "cases": cases, "ceilings": ceilings, "journal": journal })
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.cases.is_empty() {
            Row::<Measured>::heading(f, "case")?;
        }
        for figures in &self.cases {
            figures.row.lines(f)?;
            figures.kannel.iter().try_for_each(|(_, row)| row.lines(f))?;
        }
        if !self.ceilings.is_empty() {
            writeln!(f)?;
            Row::<Ceiling>::heading(f, "by itself")?;
        }
        self.ceilings.iter().try_for_each(|(_, row)| row.lines(f))?;
        if !self.journal.is_empty() {
            writeln!(f)?;
            Row::<journal::Measured>::heading(f, "the journal alone")?;
        }
        self.journal.iter().try_for_each(|(_, row)| row.lines(f))
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

    fn figures(cpu: &[f64], kannel: bool) -> Figures {
        let run = |cpu_us: &f64| Measured { cpu_us: *cpu_us, ..Measured::default() };
        let mut figures = Figures::new(CASES[0], kannel);
        figures.row.runs = cpu.iter().map(run).collect();
        for (store, row) in &mut figures.kannel {
            row.runs = vec![run(if *store == Store::None { &100.0 } else { &200.0 })];
        }
        figures
    }

    #[test]
    fn medians_stand_between_their_extremes() {
        let json = figures(&[9.0, 30.0, 11.5], false).json();
        assert_eq!(json["cpu_us_per_message"], 11.5);
        assert_eq!((&json["cpu_us_per_message_min"], &json["cpu_us_per_message_max"]), (&json!(9.0), &json!(30.0)));
        assert_eq!((&json["kannel"], &json["runs"]), (&Value::Null, &json!(3)));
        assert_eq!(figures(&[2.0, 1.0], false).json()["cpu_us_per_message"], 1.0);
    }

    #[test]
    fn kannel_stands_beside_with_each_store() {
        let figures = figures(&[9.0], true);
        let json = figures.json();
        assert_eq!((&json["kannel"]["cpu_us_per_message"], &json["kannel"]["store"]), (&json!(100.0), &json!("none")));
        assert_eq!(json["kannel"]["spool"]["cpu_us_per_message"], 200.0);
        let table = Book { cases: vec![figures], ..Book::default() }.to_string();
        assert_eq!(table.lines().count(), 7, "{table}");
        assert!(table.contains("Kannel, spool"), "{table}");
    }

    #[test]
    fn the_table_shows_every_case_and_its_span() {
        let table = Book { cases: vec![figures(&[9.0, 30.0, 11.5], false)], ..Book::default() }.to_string();
        assert!(table.contains("single") && table.contains("11.5") && table.contains("9.0-30.0"), "{table}");
        assert_eq!(table.lines().count(), 3);
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        assert_eq!(Book::default().to_string(), "");
        let mut row = Row::new("1 producer", 7);
        row.runs.push(journal::Measured { per_sync: 1.5, ..journal::Measured::default() });
        let book = Book { journal: vec![(journal::ROWS[0], row)], ..Book::default() };
        assert!(book.to_string().contains("records/sync"), "{book}");
        assert_eq!(book.json(&Value::Null)["journal"][0]["records_per_sync"], 1.5);
    }
}
