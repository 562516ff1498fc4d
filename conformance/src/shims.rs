//! What stands between a process and its kernel in some tests: small C programs of `conformance/shims`, built when they
//! are first needed, and Debian's libfaketime. Where they cannot be had, the test that wants them is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{foreign, programs};

/// The program of that name; `None`, said loudly, where `test` has to do without.
pub fn program(test: &str, name: &str) -> Option<PathBuf> {
    build(test, name, name, &[])
}

/// The library of that name, for `LD_PRELOAD`; `None`, said loudly, where `test` has to do without.
pub fn library(test: &str, name: &str) -> Option<PathBuf> {
    build(test, name, &format!("{name}.so"), &["-shared", "-fPIC"])
}

fn build(test: &str, name: &str, output: &str, more: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shims").join(format!("{name}.c"));
    let output = programs::folder().join("shims").join(output);
    std::fs::create_dir_all(output.parent()?).ok()?;
    // Tests run side by side: each builds its own and puts it in place whole.
    let own = output.with_extension(std::process::id().to_string());
    let built = Command::new("cc").args(["-O1", "-Wall", "-o"]).arg(&own).args(more).arg(&source).output();
    let why = match built {
        Ok(built) if built.status.success() => {
            std::fs::rename(&own, &output).unwrap();
            return Some(output);
        }
        Ok(built) => String::from_utf8_lossy(&built.stderr).into_owned(),
        Err(error) => format!("no C compiler (cc): {error}"),
    };
    foreign::skip(test, &why);
    None
}

/// A wall clock that a test moves under the processes that are given [`FalseClock::environment`]; their monotonic clock
/// goes on as it does.
pub struct FalseClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FalseClock {
    /// A clock that is right as yet, kept in `dir`; `None`, said loudly, where `test` has to do without.
    pub fn new(test: &str, dir: &Path) -> Option<FalseClock> {
        let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let places = libraries.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
        let Some(library) = places.into_iter().find(|path| path.exists()) else {
            foreign::skip(test, "libfaketime is not installed (Debian's package libfaketime)");
            return None;
        };
        let clock = FalseClock { library, offset: dir.join("offset") };
        clock.set(0);
        Some(clock)
    }

    /// From now on the clock is so many seconds fast; slow, if fewer than none.
    pub fn set(&self, seconds: i64) {
        // A reader sees the one or the other.
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&new, &self.offset).unwrap();
    }

    /// What a process needs to be told.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let set = [
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.offset)),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ];
        set.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
