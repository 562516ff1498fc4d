//! What a configuration was read from: where to look for changes, and whether anything has changed at all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything read for one configuration, valid or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Directories of all files read or asked for, number tables and `file:` secrets among them.
    pub folders: BTreeSet<PathBuf>,
    /// Equal where all contents are.
    pub digest: [u8; 32],
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
        if let Some(folder) = path.parent() {
            inside.0.insert(folder.to_owned());
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
        self.0.borrow_mut().0.insert(path.to_owned());
    }

    pub(super) fn seen(self) -> Seen {
        let (folders, digest) = self.0.into_inner();
        Seen { folders, digest: digest.finalize().into() }
    }
}
