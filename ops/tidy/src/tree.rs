//! What lies where: the top level is fixed, Rust files say what they are for and stay readable in one sitting.

use std::fs;
use std::io;
use std::path::Path;

use crate::{SKIPPED, Text, Violation};

/// What may lie at the root, besides licences.
const TOP_LEVEL: [&str; 19] = [
    "Cargo.toml",
    "Cargo.lock",
    "gateway",
    "codecs",
    "carriers",
    "conformance",
    "simulators",
    "ops",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Makefile",
    "deny.toml",
    "rustfmt.toml",
    "clippy.toml",
    ".ci",
    ".github",
    ".gitignore",
    ".config",
];
/// Most lines of a Rust file.
const MOST_LINES: usize = 800;

/// What lies at the root and may not.
pub(crate) fn top_level(root: &Path) -> io::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = TOP_LEVEL.contains(&name.as_str()) || SKIPPED.contains(&name.as_str());
        if !known && !name.starts_with("LICENSE") && !name.ends_with(".profraw") {
            let fix = "the top level is fixed: move it into one of its folders".to_owned();
            violations.push(Violation { file: name, line: 1, rule: "top-level", fix });
        }
    }
    Ok(violations)
}

/// The shape of one file.
pub(crate) fn file(file: &Text, violations: &mut Vec<Violation>) {
    if !file.is_rust() {
        return;
    }
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        let fix = format!("{lines} lines: divide it by purpose, {MOST_LINES} is the most");
        violations.push(file.violation(MOST_LINES + 1, "file-length", fix));
    }
    if !file.text.starts_with("//!") && !is_exempt(file) {
        violations.push(file.violation(1, "file-doc", "say in `//!` what the file is for"));
    }
}

/// Tests and generated files need no opening words.
fn is_exempt(file: &Text) -> bool {
    file.name() == "tests.rs"
        || file.path.split('/').any(|part| part == "tests")
        || file.text.lines().take(5).any(|line| line.contains("@generated"))
}

#[cfg(test)]
mod tests {
    use crate::tests::broken;

    #[test]
    fn a_new_name_at_the_top_is_refused() {
        assert_eq!(broken("docs/a.md", ""), ["1: top-level"]);
        assert_eq!(broken("LICENSE-MIT", ""), [""; 0]);
        assert_eq!(broken("ops/docs/a.md", ""), [""; 0]);
    }

    #[test]
    fn rust_files_begin_with_what_they_are_for() {
        assert_eq!(broken("codecs/src/a.rs", "fn a() {}\n"), ["1: file-doc"]);
        assert_eq!(broken("codecs/src/a/tests.rs", "fn a() {}\n"), [""; 0]);
        assert_eq!(broken("codecs/tests/a.rs", "fn a() {}\n"), [""; 0]);
        assert_eq!(broken("codecs/src/a.rs", "// @generated\n"), [""; 0]);
    }

    #[test]
    fn rust_files_have_at_most_800_lines() {
        let text = |lines: usize| "//! A.\n".repeat(lines);
        assert_eq!(broken("codecs/src/a.rs", &text(800)), [""; 0]);
        assert_eq!(broken("codecs/src/a.rs", &text(801)), ["801: file-length"]);
    }
}
