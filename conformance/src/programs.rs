//! Where the programs are: beside the test's own, in the profile's folder of the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The gateway.
pub fn qiao() -> &'static Path {
    &programs().0
}

/// The simulators.
pub fn qiao_sim() -> &'static Path {
    &programs().1
}

/// The folder of the target directory that this profile's programs lie in.
pub fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    let mut folder = test.parent().expect("programs lie in a folder").to_owned();
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.pop();
    }
    folder
}

fn programs() -> &'static (PathBuf, PathBuf) {
    static PROGRAMS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = folder();
        let (qiao, sim) = (folder.join("qiao"), folder.join("qiao-sim"));
        if !qiao.exists() || !sim.exists() {
            build(&folder);
        }
        (qiao, sim)
    })
}

/// Builds them where the test was built alone.
fn build(folder: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--bins", "--package", "gateway", "--package", "simulators", "--target-dir"]);
    cargo.arg(folder.parent().expect("profiles lie in the target directory"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the programs do not build");
}
