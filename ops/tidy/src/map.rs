//! The map in ARCHITECTURE.md: every Rust file with the first sentence it says about itself. Written by
//! `cargo run -p tidy -- map`, and a broken rule when it is out of date.

use std::collections::BTreeSet;

use crate::{Text, Violation};

const RULE: &str = "map";
const FILE: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- map -->\n```text\n";
const END: &str = "```\n<!-- /map -->";
/// Longest line of the map, in characters.
const WIDTH: usize = 150;

/// The map is there and is what the files say.
pub(crate) fn check(files: &[Text], violations: &mut Vec<Violation>) {
    let Some(page) = files.iter().find(|f| f.path == FILE) else { return };
    let line = 1 + page.text.split(BEGIN).next().map_or(0, |before| before.lines().count());
    let there = page.text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    if there.is_none_or(|(map, _)| map != draw(files)) {
        violations.push(page.violation(line, RULE, "run `cargo run -p tidy -- map`"));
    }
}

/// The page with a fresh map; `None` where it has no place for one.
pub(crate) fn redraw(files: &[Text]) -> Option<String> {
    let page = files.iter().find(|f| f.path == FILE)?;
    let (before, rest) = page.text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", draw(files)))
}

fn draw(files: &[Text]) -> String {
    let rust: Vec<&Text> = files.iter().filter(|f| f.is_rust()).collect();
    let folders: BTreeSet<&str> = rust.iter().map(|f| folder(&f.path)).collect();
    let mut map = String::new();
    for name in folders {
        map.push_str(&format!("{name}/\n"));
        for file in rust.iter().filter(|f| folder(&f.path) == name) {
            let line = format!("  {:<22} {}", file.name(), says(&file.text));
            map.extend(line.trim_end().chars().take(WIDTH));
            map.push('\n');
        }
    }
    map
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The first sentence of a file's own description.
fn says(text: &str) -> String {
    let lines = text.lines().skip_while(|l| l.starts_with("#!")).take_while(|l| l.starts_with("//!"));
    let paragraph: Vec<&str> = lines.map(|l| l[3..].trim()).take_while(|l| !l.is_empty()).collect();
    let paragraph = paragraph.join(" ").replace(['`', '[', ']'], "");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    paragraph[..end].trim_end_matches(['.', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(map: &str) -> Vec<Text> {
        let page = format!("# Page\n{BEGIN}{map}{END}\n");
        vec![
            Text { path: FILE.into(), text: page },
            Text { path: "a/src/lib.rs".into(), text: "//! What `a` is\n//! for. More.\n".into() },
        ]
    }

    #[test]
    fn a_map_that_lags_behind_is_found_and_redrawn() {
        let lagging = files("");
        let mut violations = Vec::new();
        check(&lagging, &mut violations);
        assert_eq!(violations.len(), 1);
        let page = redraw(&lagging).unwrap();
        assert!(page.contains("a/src/\n  lib.rs                 What a is for\n"), "{page}");
        let drawn = files(&draw(&lagging));
        violations.clear();
        check(&drawn, &mut violations);
        assert_eq!(violations, []);
    }
}
