//! From a TOML table to its type, with every problem of shape and not only the first: serde stops at one, so the entry
//! it names is taken out and the rest is read again.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::{Place, Report, nearest};

/// Problems of shape reported per table: what has more is no table of ours.
const MOST_PROBLEMS: usize = 100;

/// A table that was read, and where.
pub(super) struct Found<T> {
    /// Which file.
    pub(super) file: usize,
    /// The table's header.
    pub(super) span: Range<usize>,
    /// What it says.
    pub(super) value: T,
    /// Keys taken out for what was wrong with them: they are not missing.
    bad: Vec<String>,
}

impl<T> Found<T> {
    /// A place in the table's file.
    pub(super) fn at(&self, span: Range<usize>) -> Place {
        Place { file: self.file, span }
    }

    /// The table's own place.
    pub(super) fn here(&self) -> Place {
        self.at(self.span.clone())
    }

    /// Says that `key` is missing, unless it was there and wrong.
    pub(super) fn missing(&self, report: &mut Report<'_>, key: &str, hint: &str) {
        if !self.bad.iter().any(|bad| bad == key) {
            report.error(self.here(), format!("`{key}` is missing"), hint);
        }
    }
}

/// Reads a table; `None` where nothing could be made of it.
pub(super) fn read<T: DeserializeOwned>(
    report: &mut Report<'_>,
    file: usize,
    mut table: Spanned<DeValue<'_>>,
) -> Option<Found<T>> {
    let span = table.span();
    let mut bad = Vec::new();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(table.clone())) {
            Ok(value) => return Some(Found { file, span, value, bad }),
            Err(error) => error,
        };
        let at = error.span().unwrap_or_else(|| span.clone());
        let removed = match table.get_mut() {
            DeValue::Table(entries) => remove(entries, &at),
            _ => None,
        };
        if !missing_because_removed(error.message(), &bad) {
            let (message, hint) = explain(error.message());
            report.error(Place { file, span: at }, message, hint);
        }
        bad.push(removed?);
        if bad.len() == MOST_PROBLEMS {
            return None;
        }
    }
}

/// Takes out the innermost entry that an error's span names, and says the name of its key.
fn remove(table: &mut DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let inside = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    for (key, value) in table.iter_mut() {
        let name = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, at),
            DeValue::Array(items) => items.iter_mut().find_map(|item| match item.get_mut() {
                DeValue::Table(inner) => remove(inner, at),
                _ => None,
            }),
            _ => None,
        };
        if let Some(name) = name {
            return Some(format!("{}.{name}", key.get_ref()));
        }
    }
    let name = table.iter().find(|(key, value)| inside(key.span()) || inside(value.span()))?.0.get_ref().to_string();
    table.remove(name.as_str());
    Some(name)
}

/// A nested key that was taken out must not be reported as missing in the next round.
fn missing_because_removed(message: &str, bad: &[String]) -> bool {
    let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) else {
        return false;
    };
    bad.iter().any(|name| name.rsplit('.').next() == Some(key))
}

/// An operator's words for serde's. Values are left out: one of them may be a secret in the wrong place.
pub(super) fn explain(message: &str) -> (String, String) {
    if let Some((what, hint)) = message.split_once('\n') {
        return (what.to_owned(), hint.to_owned());
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let Some(wrong) = quoted.first().filter(|_| message.starts_with("unknown field")) {
        return unknown_key(wrong, &quoted[1..]);
    }
    if let Some(key) = quoted.first().filter(|_| message.starts_with("missing field")) {
        return (format!("`{key}` is missing"), String::new());
    }
    for kind in ["invalid type: ", "invalid value: "] {
        let Some(rest) = message.strip_prefix(kind) else { continue };
        let found = rest.split(['`', '"', ',']).next().unwrap_or_default().trim();
        let wanted = rest.rsplit_once(", expected ").map_or("something else", |(_, wanted)| wanted);
        return (format!("{kind}{found}, expected {wanted}"), String::new());
    }
    (message.to_owned(), String::new())
}

/// What to say of a key that does not exist.
pub(super) fn unknown_key(wrong: &str, known: &[&str]) -> (String, String) {
    let hint = match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known keys: {}", known.join(", ")),
    };
    (format!("unknown key `{wrong}`"), hint)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::problem::Source;
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read for its problems")]
    struct Inner {
        url: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read for its problems")]
    struct Outer {
        name: Option<String>,
        rate: Option<u32>,
        inner: Option<Inner>,
    }

    fn problems(text: &str) -> Vec<String> {
        let sources = [Source { name: "t.toml".into(), text: text.into() }];
        let mut report = Report::new(&sources);
        let table = DeTable::parse(text).unwrap();
        let span = table.span();
        let _ = read::<Outer>(&mut report, 0, Spanned::new(span, DeValue::Table(table.into_inner())));
        report.finish().1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_problems_of_a_table_are_found_at_once() {
        let found = problems("nam = \"x\"\nrate = \"fast\"\nzebra = 1\n[inner]\nurl = 7\nport = 9\n");
        assert_eq!(
            found,
            [
                "t.toml:1:1: error: unknown key `nam`\n  hint: did you mean `name`?",
                "t.toml:2:8: error: invalid type: string, expected u32",
                "t.toml:3:1: error: unknown key `zebra`\n  hint: known keys: name, rate, inner",
                "t.toml:5:7: error: invalid type: integer, expected a string",
                "t.toml:6:1: error: unknown key `port`\n  hint: known keys: url",
            ]
        );
    }

    #[test]
    fn a_wrong_value_is_never_repeated() {
        let text = problems("rate = \"hunter2\"\nname = 123456\n").join("\n");
        assert!(!text.contains("hunter2") && !text.contains("123456"), "{text}");
    }

    #[test]
    fn a_missing_nested_key_is_reported_once() {
        assert_eq!(problems("[inner]\n"), ["t.toml:1:1: error: `url` is missing"]);
    }
}
