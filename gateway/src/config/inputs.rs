//! What a configuration was read from: where to look for changes, and whether anything has changed at all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything read for one configuration, valid or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Directories of all files read or asked for, number tables and `file:` secrets among them, and of the symbolic links
    /// that lead there.
    pub folders: BTreeSet<PathBuf>,
    /// Equal where all contents are.
    pub digest: [u8; 32],
}

/// Symbolic links followed on the way to one file.
const MOST_LINKS: usize = 40;

/// Adds the directories whose changes may make `path` lead elsewhere: those that hold a symbolic link on the way, and
/// that of the file behind the last one.
fn lead_to(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    // Without a slash at its end, which would hide that it is a link.
    let mut whole: PathBuf = path.components().collect();
    for _ in 0..MOST_LINKS {
        let steps: Vec<&Path> = whole.ancestors().filter(|step| !step.as_os_str().is_empty()).collect();
        let link = steps.iter().rev().find_map(|step| Some((*step, std::fs::read_link(step).ok()?)));
        let Some((link, target)) = link else { break };
        let folder = link.parent().map(named).unwrap_or_default();
        let rest = whole.strip_prefix(link).unwrap_or(Path::new(""));
        // Joining nothing would add a slash, with which a file is none.
        let target = folder.join(target);
        let next = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
        folders.insert(folder);
        folders.extend(next.parent().map(named));
        whole = next;
    }
}

/// A directory by a name that can be watched.
fn named(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// Collects [`Seen`] while files are read.
#[derive(Default)]
pub(super) struct Inputs(RefCell<(BTreeSet<PathBuf>, Sha256)>);

impl Inputs {
    /// A file is about to be read, or cannot be.
    pub(super) fn file(&self, path: &Path) {
        let mut inside = self.0.borrow_mut();
        inside.1.update(path.as_os_str().as_encoded_bytes());
        // No path holds it, so that contents and paths cannot be taken for one another.
        inside.1.update([0]);
        lead_to(path, &mut inside.0);
        if let Some(folder) = path.parent() {
            inside.0.insert(named(folder));
        }
    }

    /// More of its contents.
    pub(super) fn octets(&self, octets: &[u8]) {
        let mut inside = self.0.borrow_mut();
        inside.1.update((octets.len() as u64).to_le_bytes());
        inside.1.update(octets);
    }

    /// A directory in which names are looked for.
    pub(super) fn folder(&self, path: &Path) {
        let folders = &mut self.0.borrow_mut().0;
        lead_to(path, folders);
        folders.insert(named(path));
    }

    pub(super) fn seen(self) -> Seen {
        let (folders, digest) = self.0.into_inner();
        Seen { folders, digest: digest.finalize().into() }
    }
}
