//! Which tests there are, by the names documents give them: found in the sources, so that no document can name a test
//! that is gone.
//!
//! A test is `crate::module::name`, as Rust would call it but for folders and modules that say nothing: `src`, `tests`,
//! `mod`, `lib`, `main`. What is in `carriers/src/cmpp/tests.rs` is `carriers::cmpp::…`, what is in
//! `carriers/tests/promises.rs` is `carriers::promises::…`. A test that is `#[ignore]`d proves nothing and is not listed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every crate with tests, and what it is called.
const CRATES: [(&str, &str); 6] = [
    ("codecs", "codecs"),
    ("carriers", "carriers"),
    ("carriers/link", "link"),
    ("gateway", "gateway"),
    ("simulators", "simulators"),
    ("conformance", "conformance"),
];
/// Parts of a path that say nothing.
const SILENT: [&str; 5] = ["src", "tests", "mod", "lib", "main"];

/// All tests of this repository.
pub struct Tests(BTreeSet<String>);

impl Tests {
    /// Reads the sources.
    pub fn found() -> Tests {
        let root = root();
        let mut names = BTreeSet::new();
        for (folder, name) in CRATES {
            for part in ["src", "tests"] {
                for file in rust_files(&root.join(folder).join(part)) {
                    let text = std::fs::read_to_string(&file).unwrap();
                    let within = file.strip_prefix(root.join(folder)).unwrap().with_extension("");
                    let modules = within.iter().filter_map(|part| part.to_str()).filter(|part| !SILENT.contains(part));
                    let module = [name].into_iter().chain(modules).collect::<Vec<_>>().join("::");
                    names.extend(tests_in(&text).into_iter().map(|test| format!("{module}::{test}")));
                }
            }
        }
        Tests(names)
    }

    /// What is wrong with naming this test; nothing where it exists. A test of the same name elsewhere is told.
    pub fn missing(&self, name: &str) -> Option<String> {
        if self.0.contains(name) {
            return None;
        }
        let test = name.rsplit("::").next().unwrap_or(name);
        let alike: Vec<&str> =
            self.0.iter().filter(|other| other.rsplit("::").next() == Some(test)).map(String::as_str).collect();
        Some(match alike.is_empty() {
            true => format!("there is no test {name}"),
            false => format!("there is no test {name}; there is {}", alike.join(", ")),
        })
    }
}

/// Where the repository is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false if path.extension().is_some_and(|kind| kind == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

/// The names of the tests in a source text.
fn tests_in(text: &str) -> Vec<&str> {
    let (mut names, mut marked, mut ignored) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim) {
        let attribute = line.strip_prefix("#[");
        if let Some(attribute) = attribute {
            marked |= attribute.starts_with("test]") || attribute.starts_with("tokio::test");
            ignored |= attribute.starts_with("ignore");
        } else if marked && !line.starts_with("//") && !line.is_empty() {
            let name = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            names.extend(name.filter(|_| !ignored));
            (marked, ignored) = (false, false);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_what_only_looks_like_one() {
        let text = "#[test]\nfn a() {}\n  #[test]\n  // why\n  #[should_panic]\n  fn b(x in 0..1) {}\nfn c() {}\n\
                    #[tokio::test(start_paused = true)]\nasync fn d() {}\n#[test]\n#[ignore = \"slow\"]\nfn e() {}\n";
        assert_eq!(tests_in(text), ["a", "b", "d"]);
    }

    #[test]
    fn a_test_is_found_by_the_name_of_its_place_only() {
        let tests = Tests::found();
        assert_eq!(tests.missing("conformance::proofs::a_test_is_found_by_the_name_of_its_place_only"), None);
        assert_eq!(tests.missing("carriers::promises::each_ticket_ends_exactly_once"), None);
        let told = tests.missing("carriers::cmpp::each_ticket_ends_exactly_once").unwrap();
        assert!(told.contains("there is carriers::promises::each_ticket_ends_exactly_once"), "{told}");
        assert!(tests.missing("codecs::cmpp::nothing").is_some());
    }
}
