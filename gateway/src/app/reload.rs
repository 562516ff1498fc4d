//! Reading the configuration anew while traffic runs. One task does it, one reload at a time: SIGHUP, an operator's
//! order and changed files all lead here. Everything is read and checked beside the line; the line then takes over the
//! new tables in one turn, or nothing of them.
//!
//! Changed files are believed less than orders: they may be in the midst of being rewritten. What would remove something
//! must have stayed the same for a while, and what would leave no channel or no app has to be ordered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Arrival;
use super::watch::Watch;
use crate::admit::Tables;
use crate::clock::Clock;
use crate::config::diff::{self, Diff};
use crate::config::plan::Plan;
use crate::config::{self, Problem, Seen};
use crate::observe::Metrics;
use crate::vital::Vital;

/// Changes and problems told in the log, each; the rest is counted.
const MOST_TOLD: usize = 20;
/// How long files that remove something must have stayed the same before they are believed.
const SETTLED: Duration = Duration::from_secs(2);

/// Who orders a reload waits here for its end.
pub(super) type Order = oneshot::Sender<Result<Applied, Refused>>;

/// What a reload changed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Applied {
    /// What is different from now on.
    pub changes: Vec<diff::Change>,
    /// What differs in the files and waits for a restart.
    pub restart: Vec<String>,
    /// What is hardly meant as it is written.
    pub warnings: Vec<Problem>,
    /// Where nothing is different: what the last reload that changed something did, for changed files are mostly found
    /// before anybody orders them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Change>,
}

/// What has become of the files, for whoever asks later.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latest {
    /// The last reload that changed something.
    pub applied: Option<Change>,
    /// What differs in the files and waits for a restart.
    pub restart: Vec<String>,
    /// Set while the files on disk are refused.
    pub refused: Option<Refusal>,
}

/// A reload that changed something.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `operator`, `SIGHUP` or `changed files`.
    pub by: &'static str,
    /// How many things it changed.
    pub count: usize,
    /// The first twenty of them in words.
    pub changes: Vec<String>,
}

/// Files that cannot be used.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `operator`, `SIGHUP` or `changed files`.
    pub by: &'static str,
    /// How many problems they have.
    pub problems: usize,
}

/// Why nothing has changed.
#[derive(Clone, Debug)]
pub enum Refused {
    /// All that is wrong with the files.
    Problems(Vec<Problem>),
    /// The gateway is about to end.
    Stopping,
}

/// New tables for the line.
pub struct Fresh {
    /// All of it, ready.
    pub(super) tables: Arc<Tables>,
    /// Told once they are in force; dropped where the line does not take them.
    pub(super) taken: oneshot::Sender<()>,
}

/// The task that owns reloading.
pub(super) struct Reloads {
    pub(super) dir: PathBuf,
    /// What the configuration in force was read from.
    pub(super) seen: Seen,
    pub(super) tables: Arc<ArcSwap<Tables>>,
    pub(super) line: mpsc::UnboundedSender<Arrival>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// Others read it.
    pub(super) latest: Arc<ArcSwap<Latest>>,
    /// Changed files that remove something, not yet believed.
    pub(super) doubt: Option<Doubt>,
}

/// Files that may be in the midst of being rewritten.
pub(super) struct Doubt {
    /// What they said.
    digest: [u8; 32],
    /// Believed then, if they still say the same.
    until: Instant,
}

/// What reading came to.
enum Read {
    /// Word for word what was read the last time.
    Same,
    Wrong(Vec<Problem>),
    Ready(Arc<Tables>, Diff, Vec<Problem>),
}

impl Reloads {
    /// Runs until nobody can order anything any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>, mut hangup: Signal) {
        let _vital = Vital("the reloading task");
        self.metrics.reloaded_at.set(self.now());
        let (mut watch, mut stirred) = (Watch::new(), None);
        loop {
            // What changed between the reading and the watching; each time round, another directory is new.
            while watch.set(self.watched()) {
                self.files().await;
            }
            let believed = self.doubt.as_ref().map(|doubt| doubt.until);
            tokio::select! {
                _ = hangup.recv() => drop(self.reload("SIGHUP").await),
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    let answer = self.reload("operator").await;
                    // Whoever ordered it may have gone.
                    let _ = order.send(answer);
                }
                () = watch.changed(&mut stirred) => self.files().await,
                () = reached(believed) => self.files().await,
            }
        }
    }

    fn watched(&self) -> Option<&Seen> {
        Some(&self.seen).filter(|_| self.tables.load().plan.node.watch)
    }

    fn now(&self) -> f64 {
        self.clock.now().wall.0 as f64 / 1_000.0
    }

    /// Files have stirred, or have been quiet: where they say the same as before, nothing happens.
    async fn files(&mut self) {
        let (read, seen) = self.read(true).await;
        if matches!(&read, Read::Ready(_, diff, _) if diff.removes) && !self.believed(seen.digest) {
            // Their change may be finished in any of the directories.
            return self.seen.folders.extend(seen.folders);
        }
        self.doubt = None;
        let emptied = match &read {
            Read::Ready(tables, ..) => emptied(&self.tables.load().plan, &tables.plan),
            _ => None,
        };
        let read = emptied.map_or(read, |problem| Read::Wrong(vec![problem]));
        self.note(&read, seen);
        if !matches!(read, Read::Same) {
            drop(self.take_over("changed files", read).await);
        }
    }

    /// Whether files that remove something have said the same for long enough.
    fn believed(&mut self, digest: [u8; 32]) -> bool {
        let now = Instant::now();
        match &self.doubt {
            Some(doubt) if doubt.digest == digest => doubt.until <= now,
            _ => {
                self.doubt = Some(Doubt { digest, until: now + SETTLED });
                false
            }
        }
    }

    async fn reload(&mut self, by: &'static str) -> Result<Applied, Refused> {
        let (read, seen) = self.read(false).await;
        self.doubt = None;
        self.note(&read, seen);
        self.take_over(by, read).await
    }

    /// Remembers what was read.
    fn note(&mut self, read: &Read, mut seen: Seen) {
        // Where it is wrong, the mending may come in any of the directories.
        if matches!(read, Read::Wrong(_)) {
            seen.folders.append(&mut self.seen.folders);
        }
        self.seen = seen;
    }

    /// Reads and checks everything, on a thread that may wait for the disk.
    async fn read(&self, only_if_changed: bool) -> (Read, Seen) {
        let (dir, before, in_force) = (self.dir.clone(), self.seen.digest, self.tables.load_full());
        let work = tokio::task::spawn_blocking(move || {
            let (outcome, seen) = config::load_seen(&dir, in_force.plan.names.clone());
            let outcome = outcome.and_then(|(plan, warnings)| {
                let moved = diff::moved(&in_force.plan, &plan);
                if moved.is_empty() { Ok((plan, warnings)) } else { Err(moved) }
            });
            let read = match outcome {
                _ if only_if_changed && seen.digest == before => Read::Same,
                Err(problems) => Read::Wrong(problems),
                Ok((plan, warnings)) => {
                    let diff = Diff::between(&in_force.plan, &plan);
                    let tables = in_force.next(Arc::new(plan.until_restart(&in_force.plan)), diff.routing);
                    Read::Ready(Arc::new(tables), diff, warnings)
                }
            };
            (read, seen)
        });
        work.await.unwrap_or_else(|error| {
            let message = format!("reading the configuration failed: {error}");
            (Read::Wrong(vec![Problem::of_all(message, "")]), self.seen.clone())
        })
    }

    async fn take_over(&mut self, by: &'static str, read: Read) -> Result<Applied, Refused> {
        let (tables, diff, warnings) = match read {
            Read::Same => return Ok(Applied::default()),
            Read::Wrong(problems) => {
                self.refused(by, &problems);
                return Err(Refused::Problems(problems));
            }
            Read::Ready(tables, diff, warnings) => (tables, diff, warnings),
        };
        let (taken, wait) = oneshot::channel();
        let _ = self.line.send(Arrival::Reload(Fresh { tables, taken }));
        // The line that is about to end drops it, and so does one that has ended.
        if wait.await.is_err() {
            return Err(Refused::Stopping);
        }
        let last = self.applied(by, &diff, &warnings);
        let Diff { changes, restart, .. } = diff;
        Ok(Applied { changes, restart, warnings, last })
    }

    /// Tells it, and gives the last change where there was none now.
    fn applied(&self, by: &'static str, diff: &Diff, warnings: &[Problem]) -> Option<Change> {
        let result = if diff.changes.is_empty() { "unchanged" } else { "applied" };
        self.metrics.reloads.with_label_values(&[result]).inc();
        self.metrics.reloaded_at.set(self.now());
        let told: Vec<String> = diff.changes.iter().take(MOST_TOLD).map(ToString::to_string).collect();
        let (changes, restart) = (told.join("; "), diff.restart.join("; "));
        let count = diff.changes.len();
        info!(by, result, count, changes, restart, "configuration reloaded");
        for warning in warnings.iter().take(MOST_TOLD) {
            warn!(problem = %warning, "configuration");
        }
        own_up(warnings.len());
        let before = self.latest.load().applied.clone();
        let change = Change { at_ms: self.clock.now().wall.0, by, count, changes: told };
        let (applied, last) = if count > 0 { (Some(change), None) } else { (before.clone(), before) };
        self.latest.store(Arc::new(Latest { applied, restart: diff.restart.clone(), refused: None }));
        last
    }

    fn refused(&self, by: &'static str, problems: &[Problem]) {
        self.metrics.reloads.with_label_values(&["rejected"]).inc();
        error!(by, problems = problems.len(), "configuration not reloaded; the one in force stays");
        for problem in problems.iter().take(MOST_TOLD) {
            error!(%problem, "configuration");
        }
        own_up(problems.len());
        let refused = Some(Refusal { at_ms: self.clock.now().wall.0, by, problems: problems.len() });
        self.latest.store(Arc::new(Latest { refused, ..Latest::clone(&self.latest.load()) }));
    }
}

/// Says how many problems the log has not been told.
fn own_up(problems: usize) {
    let more = problems.saturating_sub(MOST_TOLD);
    if more > 0 {
        warn!(more, "configuration: further problems are not logged; see qiao check");
    }
}

/// Waits until then; for ever where there is no such time.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What nobody means who saves a file: that nothing is left.
fn emptied(old: &Plan, new: &Plan) -> Option<Problem> {
    let lost = [
        ("channel", old.channels.is_empty(), new.channels.is_empty()),
        ("app", old.apps.is_empty(), new.apps.is_empty()),
    ];
    let (what, ..) = lost.into_iter().find(|(_, before, after)| !before && *after)?;
    let message = format!("the changed files leave no {what} at all");
    Some(Problem::of_all(
        message,
        "a slip is mended by saving them again; where it is meant, order it: qiao ctl reload",
    ))
}
