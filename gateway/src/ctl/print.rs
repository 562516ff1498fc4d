//! How answers look on a terminal.

use std::io::{self, Write};

use serde_json::Value;

use crate::clock::Wall;

/// A value as a word: strings bare, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    // Words of a carrier may be among it: none may steer the operator's terminal.
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    value.as_str().map_or_else(|| value.to_string(), |text| text.chars().map(shown).collect())
}

/// A list's words, with commas; a dash where there are none.
pub(super) fn words(value: &Value) -> String {
    let words: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

/// A time in milliseconds since the Unix epoch, to the second.
pub(super) fn time(value: &Value) -> String {
    let written = Wall(value.as_u64().unwrap_or(0)).to_string();
    format!("{}Z", written.split('.').next().unwrap_or_default())
}

/// A table whose columns are as wide as they must be. A column whose head begins with `>` stands to the right. A row of
/// one cell is a remark on the one before it.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let bare = |head: &str| head.trim_start_matches('>').to_owned();
    let lines: Vec<Vec<String>> =
        [heads.iter().map(|head| bare(head)).collect()].into_iter().chain(rows.to_vec()).collect();
    let cells = lines.iter().filter(|line| line.len() == heads.len());
    let wide = |at: usize| cells.clone().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).map(|at| wide(at).unwrap_or(0)).collect();
    for line in &lines {
        if let ([remark], true) = (&line[..], heads.len() > 1) {
            writeln!(out, "    {remark}")?;
            continue;
        }
        let padded = line.iter().zip(heads).zip(&widths).map(|((cell, head), width)| match head.starts_with('>') {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// An operator's order in words; none where there is none.
pub(super) fn order(order: &Value) -> Option<String> {
    let kind = match order["order"].as_str()? {
        "drain" => "drained",
        _ => "held",
    };
    let until = order["until_ms"].is_u64().then(|| format!(" until {}", time(&order["until_ms"])));
    let reason = order["reason"].as_str().map(|_| format!(": {}", text(&order["reason"])));
    let until = until.unwrap_or_else(|| " until released".to_owned());
    Some(format!("{kind} since {}{until}{}", time(&order["since_ms"]), reason.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_remarks_follow_their_row() {
        let rows = [vec!["a".to_owned(), "12".to_owned(), "x".to_owned()], vec!["held".to_owned()]];
        let mut out = Vec::new();
        table(&["NAME", ">N", "MORE"], &rows, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME   N  MORE\na     12  x\n    held\n");
    }

    #[test]
    fn an_order_says_since_when_until_when_and_why() {
        let minute = 60_000;
        let held = json!({"order": "hold", "since_ms": 0, "until_ms": minute, "reason": "works\u{1b}[2J"});
        let said = "held since 1970-01-01T00:00:00Z until 1970-01-01T00:01:00Z: works\u{fffd}[2J";
        assert_eq!(order(&held).as_deref(), Some(said));
        let drained = json!({"order": "drain", "since_ms": 0});
        assert_eq!(order(&drained).as_deref(), Some("drained since 1970-01-01T00:00:00Z until released"));
        assert_eq!(order(&Value::Null), None);
    }
}
