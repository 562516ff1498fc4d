//! How answers look on a terminal.

use serde_json::Value;

/// A value as a word: strings bare, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    // Words of a carrier may be among it: none may steer the operator's terminal.
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    value.as_str().map_or_else(|| value.to_string(), |text| text.chars().map(shown).collect())
}
