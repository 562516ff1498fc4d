//! Who may depend on whom. The pure crates know no runtime; the far side is written without looking at ours.

use crate::{Text, Violation};

/// A crate, and the beginnings of package names it may not depend on, not even in tests.
struct Wall {
    manifest: &'static str,
    forbidden: &'static [&'static str],
    fix: &'static str,
}

const RUNTIME: &[&str] = &["tokio", "hyper", "rustls", "axum", "reqwest", "mio", "socket2", "async-std", "smol"];

const WALLS: [Wall; 3] = [
    Wall { manifest: "codecs/Cargo.toml", forbidden: RUNTIME, fix: "codecs are pure: no runtime, no sockets" },
    Wall { manifest: "carriers/Cargo.toml", forbidden: RUNTIME, fix: "sessions are pure: sockets are carriers/link's" },
    Wall {
        manifest: "simulators/Cargo.toml",
        forbidden: &["carriers", "link", "gateway"],
        fix: "the far side sees codecs only, so that it proves something",
    },
];

/// Checks a manifest's dependencies.
pub(crate) fn file(file: &Text, violations: &mut Vec<Violation>) {
    let Some(wall) = WALLS.iter().find(|wall| wall.manifest == file.path) else { return };
    for (line, package) in dependencies(&file.text) {
        let begins = |name: &&str| package.strip_prefix(*name).is_some_and(|r| r.is_empty() || r.starts_with('-'));
        if wall.forbidden.iter().any(begins) {
            violations.push(file.violation(line, "dependency", format!("remove {package}: {}", wall.fix)));
        }
    }
}

/// Lines and package names of all dependency tables (plain, dev, build, per target), renamed packages by their own name.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(manifest.lines().map(|line| line.trim().replace('_', "-"))) {
        if let Some(section) = text.strip_prefix('[').map(|rest| rest.trim_end_matches(']')) {
            inside = section.ends_with("dependencies");
            if let Some((_, package)) = section.rsplit_once("dependencies.") {
                found.push((line, unquoted(package)));
                inside = false;
            }
        } else if let Some((key, value)) = text.split_once('=').filter(|_| inside && !text.starts_with('#')) {
            let key = unquoted(key.split('.').next().unwrap_or(key));
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
            found.push((line, renamed.map_or(key, str::to_owned)));
        }
        if let Some(("package", value)) = text.split_once('=').map(|(key, value)| (key.trim(), value)) {
            found.push((line, unquoted(value)));
        }
    }
    found
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use crate::tests::broken;

    #[test]
    fn pure_crates_know_no_runtime() {
        let text = "[package]\nname = \"codecs\"\n[dependencies]\nbytes = \"1\"\ntokio.workspace = true\n";
        assert_eq!(broken("codecs/Cargo.toml", text), ["5: dependency"]);
        assert_eq!(broken("carriers/Cargo.toml", "[dev-dependencies]\nhyper-util = \"1\"\n"), ["2: dependency"]);
        assert_eq!(broken("carriers/Cargo.toml", "[dependencies.rustls]\n"), ["1: dependency"]);
        assert_eq!(broken("carriers/Cargo.toml", "[dependencies]\nt = { package = \"tokio\" }\n"), ["2: dependency"]);
        assert_eq!(
            broken("carriers/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nmio = \"1\"\n"),
            ["2: dependency"]
        );
    }

    #[test]
    fn the_far_side_does_not_look_at_ours() {
        for package in ["carriers", "link", "gateway"] {
            let text = format!("[dependencies]\n{package}.workspace = true\n");
            assert_eq!(broken("simulators/Cargo.toml", &text), ["2: dependency"]);
        }
    }

    #[test]
    fn others_are_free_and_likeness_is_no_offence() {
        assert_eq!(broken("carriers/link/Cargo.toml", "[dependencies]\ntokio = \"1\"\n"), [""; 0]);
        let text = "[package]\nname = \"tokio\"\n[dependencies]\nsmolstr = \"1\"\n# tokio = \"1\"\n";
        assert_eq!(broken("codecs/Cargo.toml", text), [""; 0]);
    }
}
