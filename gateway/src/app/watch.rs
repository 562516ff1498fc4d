//! Watching the directories a configuration was read from. Directories, not files: editors and volume mounts replace
//! files rather than write into them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::config::Seen;

/// How long it must have been quiet: one save is several events.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Wakes up when files may have changed. Whether they have is for the reader to find out.
pub(super) struct Watch {
    stirred: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// What is watched: device and number of the directory behind each name.
    known: BTreeMap<PathBuf, (u64, u64)>,
    /// Directories that could not be watched, each told once.
    blind: Vec<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Watch {
        Watch { stirred: Arc::default(), watcher: None, known: BTreeMap::new(), blind: Vec::new() }
    }

    /// Watches what was read, or nothing. Directories that were replaced meanwhile are found again. True where one is
    /// watched that was not before: what changed in it since it was read has woken nobody.
    pub(super) fn set(&mut self, seen: Option<&Seen>) -> bool {
        let Some(seen) = seen else {
            (self.watcher, self.known) = (None, BTreeMap::new());
            return false;
        };
        if self.watcher.is_none() {
            let stirred = self.stirred.clone();
            let tell = move |event: notify::Result<notify::Event>| {
                // Reading the files must not wake the reader again.
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    stirred.notify_one();
                }
            };
            match notify::recommended_watcher(tell) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    warn!(%error, "changed files are not noticed; send SIGHUP to reload");
                    return false;
                }
            }
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let mut more = false;
        self.known.retain(|folder, _| seen.folders.contains(folder));
        for folder in &seen.folders {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.blind.retain(|blind| blind != folder);
                    let found = std::fs::metadata(folder).map_or((0, 0), |about| (about.dev(), about.ino()));
                    more |= self.known.insert(folder.clone(), found) != Some(found);
                }
                Err(_) if self.blind.contains(folder) => {}
                Err(error) => {
                    let dir = folder.display();
                    warn!(%dir, %error, "changed files are not noticed there; send SIGHUP to reload");
                    self.blind.push(folder.clone());
                }
            }
        }
        more
    }

    /// Waits until something has stirred and it has been quiet since, or for too long. May be dropped at any time:
    /// what stirred meanwhile is not forgotten by the next call.
    pub(super) async fn changed(&self, pending: &mut Option<Instant>) {
        let first = match *pending {
            Some(first) => first,
            None => {
                self.stirred.notified().await;
                *pending.insert(Instant::now())
            }
        };
        while first.elapsed() < PATIENCE && tokio::time::timeout(QUIET, self.stirred.notified()).await.is_ok() {}
        *pending = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_that_was_not_watched_before_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for release in ["one", "two"] {
            std::fs::create_dir(path(release)).unwrap();
        }
        symlink(path("one"), path("link")).unwrap();
        let seen = |names: &[&str]| Seen { folders: names.iter().map(|name| path(name)).collect(), ..Seen::default() };
        let mut watch = Watch::new();
        for (names, more) in [(&["link"][..], true), (&["link"], false), (&["link", "two"], true), (&["two"], false)] {
            assert_eq!(watch.set(Some(&seen(names))), more, "{names:?}");
        }
        assert!(watch.set(Some(&seen(&["link"]))));
        std::fs::remove_file(path("link")).unwrap();
        symlink(path("two"), path("link")).unwrap();
        assert!(watch.set(Some(&seen(&["link"]))), "another directory behind the name");
        assert!(!watch.set(Some(&seen(&["missing", "link"]))), "what is not there is told in the log");
        assert!(!watch.set(None));
        assert!(watch.set(Some(&seen(&["link"]))));
    }
}
