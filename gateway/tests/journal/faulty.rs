//! A disk in memory that can fail as disks do: syncs fail and leave pages clean but unwritten, pages are evicted, and a
//! power cut keeps any of the sectors and names that were never synced.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gateway::journal::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone)]
pub struct Faulty(Arc<Mutex<State>>);

struct State {
    names: BTreeMap<PathBuf, Arc<Inode>>,
    durable_names: BTreeMap<PathBuf, Arc<Inode>>,
    /// Namespace changes not synced, in order: what was at a name from then on.
    changes: Vec<Vec<(PathBuf, Option<Arc<Inode>>)>>,
    locked: HashSet<PathBuf>,
    failing_syncs: u32,
    failing_commits: u32,
    failing_writes: u32,
    unreadable: Option<PathBuf>,
    silent: Option<PathBuf>,
    /// A sector of a file that cannot be read, by an octet in it.
    bad: Option<(PathBuf, u64)>,
    reads: u64,
    no_space: bool,
    /// Changes that are made yet before whoever makes them is dead.
    life: Option<u32>,
    failed: u64,
    rng: fastrand::Rng,
    /// Runs inside every sync of a file, before its effect.
    in_sync: Option<Arc<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Inode(Mutex<Content>);

#[derive(Default)]
struct Content {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Content {
    fn persist(&mut self, sector: usize) {
        let to = ((sector + 1) * SECTOR).min(self.cached.len());
        let from = (sector * SECTOR).min(to);
        if self.durable.len() < to {
            self.durable.resize(to, 0);
        }
        self.durable[from..to].copy_from_slice(&self.cached[from..to]);
    }
}

impl State {
    fn is_silent(&self, inode: &Arc<Inode>) -> bool {
        let Some(start) = self.silent.as_deref().and_then(Path::to_str) else { return false };
        let starts = |path: &PathBuf| path.to_str().is_some_and(|path| path.starts_with(start));
        self.names.iter().any(|(path, other)| Arc::ptr_eq(other, inode) && starts(path))
    }

    fn is_bad(&self, inode: &Arc<Inode>, from: u64, octets: usize) -> bool {
        let Some((path, at)) = &self.bad else { return false };
        let sector = at / SECTOR as u64 * SECTOR as u64;
        let within = from < sector + SECTOR as u64 && from + octets as u64 > sector;
        within && self.names.get(path).is_some_and(|other| Arc::ptr_eq(other, inode))
    }
}

impl Faulty {
    pub fn new(seed: u64) -> Self {
        Faulty(Arc::new(Mutex::new(State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            locked: HashSet::new(),
            failing_syncs: 0,
            failing_commits: 0,
            failing_writes: 0,
            unreadable: None,
            silent: None,
            bad: None,
            reads: 0,
            no_space: false,
            life: None,
            failed: 0,
            rng: fastrand::Rng::with_seed(seed),
            in_sync: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Fails syncs of segments in use only, not of files being made.
    pub fn fail_commits(&self, count: u32) {
        self.state().failing_commits = count;
    }

    /// Syncs that have failed.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    pub fn fail_writes(&self, count: u32) {
        self.state().failing_writes = count;
    }

    /// The file of that name cannot be opened.
    pub fn fail_open(&self, path: Option<PathBuf>) {
        self.state().unreadable = path;
    }

    /// Files whose path begins so can be opened, and nothing in them be read.
    pub fn fail_reads(&self, path: Option<PathBuf>) {
        self.state().silent = path;
    }

    /// The sector of that file with that octet cannot be read.
    pub fn fail_sector(&self, bad: Option<(PathBuf, u64)>) {
        self.state().bad = bad;
    }

    /// How often a file was read.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// No file can be made or grow.
    pub fn set_full(&self, full: bool) {
        self.state().no_space = full;
    }

    /// From so many changes on nothing more happens on the disk, as if the process were killed there; `None` for ever.
    pub fn die_after(&self, changes: Option<u32>) {
        self.state().life = changes;
    }

    pub fn is_dead(&self) -> bool {
        self.state().life == Some(0)
    }

    fn live(&self) -> io::Result<()> {
        match &mut self.state().life {
            Some(0) => return Err(eio()),
            Some(life) => *life -= 1,
            None => {}
        }
        Ok(())
    }

    pub fn in_sync(&self, run: Option<Arc<dyn Fn() + Send + Sync>>) {
        self.state().in_sync = run;
    }

    /// Holds each sync until the second end is dropped, 20 s at most; the first hears of it.
    pub fn hold_syncs(&self) -> (Receiver<()>, Sender<()>) {
        let ((entered, in_sync), (release, released)) = (channel(), channel());
        let gate = Mutex::new((entered, released));
        self.in_sync(Some(Arc::new(move || {
            let gate = gate.lock().unwrap();
            let _ = gate.0.send(());
            let _ = gate.1.recv_timeout(Duration::from_secs(20));
        })));
        (in_sync, release)
    }

    /// Another disk with the same durable content.
    pub fn copy(&self) -> Faulty {
        let copy = Faulty::new(0);
        for (path, inode) in &self.state().durable_names {
            let durable = inode.0.lock().unwrap().durable.clone();
            let content = Content { cached: durable.clone(), durable, dirty: BTreeSet::new() };
            copy.state().names.insert(path.clone(), Arc::new(Inode(Mutex::new(content))));
        }
        copy.sync_dir(Path::new("")).unwrap();
        copy
    }

    /// Changes a file behind the journal's back.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.state().names[path].clone();
        let mut content = inode.0.lock().unwrap();
        edit(&mut content.cached);
        content.durable = content.cached.clone();
    }

    pub fn names(&self) -> Vec<String> {
        self.list("/j".as_ref()).unwrap()
    }

    /// The kernel drops clean pages: what a failed sync did not write is gone.
    pub fn evict(&self) {
        for inode in self.state().names.values() {
            let mut content = inode.0.lock().unwrap();
            for sector in 0..content.durable.len().div_ceil(SECTOR) {
                if !content.dirty.contains(&sector) {
                    let to = ((sector + 1) * SECTOR).min(content.durable.len()).min(content.cached.len());
                    let from = (sector * SECTOR).min(to);
                    let Content { cached, durable, .. } = &mut *content;
                    cached[from..to].copy_from_slice(&durable[from..to]);
                }
            }
        }
    }

    /// The power fails: any subset of unsynced sectors and any prefix of unsynced names survive.
    pub fn cut_power(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let kept = state.rng.usize(0..=state.changes.len());
        let mut names = state.durable_names.clone();
        for change in state.changes.drain(..).take(kept) {
            apply(&mut names, change);
        }
        for inode in state.names.values().chain(names.values()) {
            let mut content = inode.0.lock().unwrap();
            for sector in std::mem::take(&mut content.dirty) {
                if state.rng.bool() {
                    content.persist(sector);
                }
            }
            content.cached = content.durable.clone();
        }
        state.names = names.clone();
        state.durable_names = names;
        (state.failing_syncs, state.failing_writes, state.no_space) = (0, 0, false);
    }

    fn change(&self, change: Vec<(PathBuf, Option<Arc<Inode>>)>) {
        let mut state = self.state();
        apply(&mut state.names, change.clone());
        state.changes.push(change);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Arc<Inode>>, change: Vec<(PathBuf, Option<Arc<Inode>>)>) {
    for (path, inode) in change {
        match inode {
            Some(inode) => names.insert(path, inode),
            None => names.remove(&path),
        };
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Disk for Faulty {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        if !self.state().locked.insert(path.into()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        struct Lock(Faulty, PathBuf);
        impl Drop for Lock {
            fn drop(&mut self) {
                self.0.state().locked.remove(&self.1);
            }
        }
        Ok(Box::new(Lock(self.clone(), path.into())))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.live()?;
        if self.state().no_space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = Arc::new(Inode::default());
        self.change(vec![(path.into(), Some(inode.clone()))]);
        Ok(Arc::new(Open { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.state().unreadable.as_deref() == Some(path) {
            return Err(eio());
        }
        let inode = self.state().names.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Open { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.live()?;
        let inode = self.state().names.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.change(vec![(from.into(), None), (to.into(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.live()?;
        if !self.state().names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(vec![(path.into(), None)]);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.live()?;
        let mut state = self.state();
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct Open {
    disk: Faulty,
    inode: Arc<Inode>,
}

impl DiskFile for Open {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.reads += 1;
        if state.is_silent(&self.inode) || state.is_bad(&self.inode, offset, into.len()) {
            return Err(eio());
        }
        drop(state);
        let content = self.inode.0.lock().unwrap();
        let from = (offset as usize).min(content.cached.len());
        let n = into.len().min(content.cached.len() - from);
        into[..n].copy_from_slice(&content.cached[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.disk.live()?;
        let mut state = self.disk.state();
        let mut content = self.inode.0.lock().unwrap();
        let mut octets = octets;
        let end = offset as usize + octets.len();
        if state.no_space && end > content.cached.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let failing = state.failing_writes > 0;
        if failing {
            state.failing_writes -= 1;
            octets = &octets[..state.rng.usize(0..=octets.len())];
        }
        let (from, to) = (offset as usize, offset as usize + octets.len());
        if content.cached.len() < to {
            content.cached.resize(to, 0);
        }
        content.cached[from..to].copy_from_slice(octets);
        content.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        if failing { Err(eio()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.live()?;
        let in_sync = self.disk.state().in_sync.clone();
        if let Some(run) = in_sync {
            run();
        }
        let mut state = self.disk.state();
        let named = |(path, inode): (&PathBuf, &Arc<Inode>)| {
            Arc::ptr_eq(inode, &self.inode) && path.extension().is_some_and(|sort| sort == "segment")
        };
        let commit = state.failing_commits > 0 && state.names.iter().any(named);
        state.failing_commits -= u32::from(commit);
        let failing = commit || state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        state.failed += u64::from(failing);
        let mut content = self.inode.0.lock().unwrap();
        for sector in std::mem::take(&mut content.dirty) {
            if !failing || state.rng.bool() {
                content.persist(sector);
            }
        }
        if failing { Err(eio()) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.inode.0.lock().unwrap().cached.len() as u64)
    }
}
