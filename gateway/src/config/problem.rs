//! Problems with their place. [`Report`] collects them all; messages never repeat a secret.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but hardly as meant.
    Warning,
}

/// Something wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, relative to the configuration directory.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// An error of the configuration as a whole; an empty hint is none.
    pub fn of_all(message: String, hint: &str) -> Self {
        Problem::in_line(super::MAIN_FILE, 1, message, hint)
    }

    /// An error at a line of a file that is no TOML source.
    pub(super) fn in_line(file: &str, line: usize, message: impl Into<String>, hint: &str) -> Self {
        Problem {
            file: file.to_owned(),
            line,
            column: 1,
            severity: Severity::Error,
            message: message.into(),
            hint: some(hint),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {word}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// A TOML file of the configuration.
pub(super) struct Source {
    /// Relative to the configuration directory.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// A place: which [`Source`], and the octets in it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

/// Everything found so far.
pub(super) struct Report<'s> {
    sources: &'s [Source],
    problems: Vec<Problem>,
}

impl<'s> Report<'s> {
    pub(super) fn new(sources: &'s [Source]) -> Self {
        Report { sources, problems: Vec::new() }
    }

    /// An error at `place`; an empty hint is none.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, hint: impl AsRef<str>) {
        self.add(place, Severity::Error, message.into(), hint.as_ref());
    }

    /// A warning at `place`.
    pub(super) fn warning(&mut self, place: Place, message: impl Into<String>, hint: impl AsRef<str>) {
        self.add(place, Severity::Warning, message.into(), hint.as_ref());
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether anything makes the configuration unusable.
    pub(super) fn failed(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// Where a place is, for a message about another one: `apps.toml:3`.
    pub(super) fn line_of(&self, place: &Place) -> String {
        let source = &self.sources[place.file];
        format!("{}:{}", source.name, locate(&source.text, place.span.start).0)
    }

    /// Whether it failed, and all problems in the order of files and lines.
    pub(super) fn finish(mut self) -> (bool, Vec<Problem>) {
        let failed = self.failed();
        let sources = self.sources;
        let rank = |p: &Problem| sources.iter().position(|s| s.name == p.file).unwrap_or(sources.len());
        self.problems.sort_by(|a, b| (rank(a), &a.file, a.line, a.column).cmp(&(rank(b), &b.file, b.line, b.column)));
        self.problems.dedup();
        (failed, self.problems)
    }

    fn add(&mut self, place: Place, severity: Severity, message: String, hint: &str) {
        let source = &self.sources[place.file];
        let (line, column) = locate(&source.text, place.span.start);
        self.problems.push(Problem { file: source.name.clone(), line, column, severity, message, hint: some(hint) });
    }
}

fn some(hint: &str) -> Option<String> {
    (!hint.is_empty()).then(|| hint.to_owned())
}

/// Line and column, from 1, of an octet offset; one beyond the end counts as the end.
fn locate(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known name nearest to a mistyped one, if any is near: at most a third of its letters differ.
pub(super) fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let most = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// `did you mean "x"?`, or the known names where none is near.
pub(super) fn suggestion<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    const MOST_LISTED: usize = 12;
    if let Some(name) = nearest(wrong, known.clone()) {
        return format!("did you mean \"{name}\"?");
    }
    let mut names: Vec<&str> = known.into_iter().collect();
    names.sort_unstable();
    match names.len() {
        0 => "none is defined".to_owned(),
        n if n > MOST_LISTED => format!("{} and {} more are defined", names[..MOST_LISTED].join(", "), n - MOST_LISTED),
        _ => format!("known: {}", names.join(", ")),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a\n云桥 = 1\n";
        assert_eq!(locate(text, 0), (1, 1));
        assert_eq!(locate(text, 2), (2, 1));
        assert_eq!(locate(text, 2 + "云桥 ".len()), (2, 4));
        assert_eq!(locate(text, 3), (2, 1), "inside a character counts as its start");
        assert_eq!(locate(text, 999), (3, 1));
    }

    #[test]
    fn the_nearest_name_is_suggested_only_when_near() {
        assert_eq!(nearest("chanel", ["channel", "group"]), Some("channel"));
        assert_eq!(nearest("gruop", ["channel", "group"]), Some("group"));
        assert_eq!(nearest("zebra", ["channel", "group"]), None);
        assert_eq!(suggestion("zebra", ["b", "a"]), "known: a, b");
        assert_eq!(suggestion("zebra", []), "none is defined");
    }
}
