//! Watching the directories a configuration was read from. Directories, not files: editors and volume mounts replace
//! files rather than write into them.

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
    /// Directories that could not be watched, each told once.
    blind: Vec<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Watch {
        Watch { stirred: Arc::default(), watcher: None, blind: Vec::new() }
    }

    /// Watches what was read, or nothing. Directories that were replaced meanwhile are found again.
    pub(super) fn set(&mut self, seen: Option<&Seen>) {
        let Some(seen) = seen else {
            self.watcher = None;
            return;
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
                Err(error) => return warn!(%error, "changed files are not noticed; send SIGHUP to reload"),
            }
        }
        let Some(watcher) = &mut self.watcher else { return };
        for folder in &seen.folders {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => self.blind.retain(|blind| blind != folder),
                Err(_) if self.blind.contains(folder) => {}
                Err(error) => {
                    let dir = folder.display();
                    warn!(%dir, %error, "changed files are not noticed there; send SIGHUP to reload");
                    self.blind.push(folder.clone());
                }
            }
        }
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
