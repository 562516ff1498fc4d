//! Structural rules of this repository, so that they last: what may stand where, and who may depend on whom.
//!
//! [`check`] reads the working tree and returns every [`Violation`]. The rules are in [`manifests`] (dependencies),
//! [`lines`] (what is written) and [`tree`] (what lies where). The test below holds this repository to them.

mod lines;
mod manifests;
mod map;
mod tree;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file, relative to the root, with `/`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.fix)
    }
}

/// A text file of the tree.
struct Text {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn violation(&self, line: usize, rule: &'static str, fix: impl Into<String>) -> Violation {
        Violation { file: self.path.clone(), line, rule, fix: fix.into() }
    }
}

/// What holds nothing written by hand.
const SKIPPED: [&str; 4] = [".git", "target", "data", "node_modules"];
/// Larger files are data.
const LARGEST: u64 = 1 << 20;

/// Every broken rule of the tree at `root`, sorted.
///
/// # Errors
/// Where the tree cannot be read.
pub fn check(root: &Path) -> io::Result<Vec<Violation>> {
    let mut violations = tree::top_level(root)?;
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    for file in &files {
        tree::file(file, &mut violations);
        lines::file(file, &mut violations);
        manifests::file(file, &mut violations);
    }
    map::check(&files, &mut violations);
    violations.sort();
    Ok(violations)
}

/// Writes the map in `ARCHITECTURE.md` anew; whether there is a place for it.
///
/// # Errors
/// Where the tree cannot be read or the page not written.
pub fn map(root: &Path) -> io::Result<bool> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    let Some(page) = map::redraw(&files) else { return Ok(false) };
    fs::write(root.join("ARCHITECTURE.md"), page)?;
    Ok(true)
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<Text>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let about = fs::symlink_metadata(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if about.is_dir() {
            walk(root, &path, files)?;
        } else if about.is_file() && about.len() <= LARGEST {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = relative.components().map(|c| c.as_os_str().to_string_lossy()).collect();
            files.push(Text { path: parts.join("/"), text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let broken: Vec<String> = check(&root).unwrap().iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }

    /// The rules broken by a tree of one file, as `line: rule`.
    pub(crate) fn broken(path: &str, text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        check(dir.path()).unwrap().iter().map(|v| format!("{}: {}", v.line, v.rule)).collect()
    }

    #[test]
    fn a_clean_file_breaks_nothing() {
        assert_eq!(broken("gateway/src/a.rs", "//! A.\n\nfn a() {}\n"), [""; 0]);
    }

    #[test]
    fn built_and_binary_files_are_not_read() {
        assert_eq!(broken("ops/target/a.rs", "no doc\n"), [""; 0]);
    }
}
