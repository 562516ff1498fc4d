//! Embedded databases (fjall), each in a directory of its own: opened, or moved aside where they are damaged and begun
//! anew. What they hold must not keep the gateway from starting, not even by a panic of their engine.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::{Database, KeyspaceCreateOptions};

/// Keyspace that holds the version.
const ABOUT: &str = "about";

/// Ending, or name, of where a damaged one goes.
const DAMAGED: &str = ".damaged";
/// What a file system keeps for itself at a mount point.
const LOST: &str = "lost+found";

/// Why a database does not open.
pub(crate) enum Failure {
    /// Its content is of no use.
    Damaged(String),
    /// It is not its content's fault.
    Refused(String),
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        let text = error.to_string();
        let kind = match &error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Some(error.kind()),
            _ => None,
        };
        match (&error, kind) {
            (fjall::Error::Locked, _) => Failure::Refused(text),
            (_, Some(kind)) if !matches!(kind, InvalidData | NotFound | UnexpectedEof) => Failure::Refused(text),
            _ => Failure::Damaged(text),
        }
    }
}

/// Moves a directory aside, or where that is refused all that is in it; where to. What was aside before goes: one
/// damaged database is enough to look into.
fn move_aside(dir: &Path, not_its: &[&str]) -> io::Result<PathBuf> {
    let mut beside = dir.as_os_str().to_owned();
    beside.push(DAMAGED);
    let beside = PathBuf::from(beside);
    let _ = fs::remove_dir_all(&beside);
    if not_its.is_empty() && fs::rename(dir, &beside).is_ok() {
        return Ok(beside);
    }
    let inside = dir.join(DAMAGED);
    let _ = fs::remove_dir_all(&inside);
    fs::DirBuilder::new().mode(0o700).create(&inside)?;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name != DAMAGED && name != LOST && not_its.iter().all(|other| name != *other) {
            fs::rename(dir.join(&name), inside.join(&name))?;
        }
    }
    Ok(inside)
}

/// What is particular to one database.
pub(crate) struct Kind {
    /// What it is called in the log.
    pub(crate) name: &'static str,
    /// What is lost when it is begun anew.
    pub(crate) lost: &'static str,
    /// Version of its keys and values; one of another version counts as damaged.
    pub(crate) version: &'static [u8],
    /// Octets of its cache.
    pub(crate) cache: u64,
    /// Octets of a keyspace that stay in memory before they go to a file.
    pub(crate) memtable: u64,
    /// Most octets of its write-ahead files; at least 64 MiB.
    pub(crate) ahead: u64,
    /// What else lies in its directory, and stays there when it is moved aside.
    pub(crate) not_its: &'static [&'static str],
}

impl Kind {
    /// Opens or makes the database in `dir` (readable by its owner only) and takes from it with `read` what is needed
    /// of it at once. One that is damaged is moved aside (`<dir>.damaged`; where the directory itself cannot be moved,
    /// as a mount point, or holds what is not its own, its content goes to `<dir>/.damaged`) and begun anew.
    pub(crate) fn open<T>(
        &self,
        dir: &Path,
        read: impl Fn(&Database) -> Result<T, Failure>,
    ) -> Result<(Database, T), String> {
        match self.try_open(dir, &read) {
            Ok(opened) => Ok(opened),
            Err(Failure::Refused(reason)) => Err(reason),
            Err(Failure::Damaged(reason)) => {
                let (what, lost) = (self.name, self.lost);
                let aside = move_aside(dir, self.not_its)
                    .map_err(|error| format!("{what} is damaged ({reason}) and cannot be moved aside: {error}"))?;
                tracing::error!(reason, dir = %dir.display(), aside = %aside.display(),
                    "{what} is damaged: moved aside and begun anew; {lost}");
                self.try_open(dir, &read).map_err(|failure| match failure {
                    Failure::Damaged(reason) | Failure::Refused(reason) => reason,
                })
            }
        }
    }

    /// How keyspaces are made.
    pub(crate) fn options(&self) -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default().max_memtable_size(self.memtable)
    }

    fn try_open<T>(
        &self,
        dir: &Path,
        read: &impl Fn(&Database) -> Result<T, Failure>,
    ) -> Result<(Database, T), Failure> {
        let refused = |error: io::Error| Failure::Refused(error.to_string());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refused)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(refused)?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let builder = Database::builder(dir).cache_size(self.cache).worker_threads(1);
            let database = builder.max_journaling_size(self.ahead).open()?;
            self.check_version(&database)?;
            let taken = read(&database)?;
            Ok((database, taken))
        }));
        opened.unwrap_or_else(|_| Err(Failure::Damaged("its engine panicked".into())))
    }

    fn check_version(&self, database: &Database) -> Result<(), Failure> {
        let about = database.keyspace(ABOUT, || self.options())?;
        match about.get("version")? {
            Some(version) if &*version != self.version => {
                Err(Failure::Damaged(format!("version {}", String::from_utf8_lossy(&version))))
            }
            Some(_) => Ok(()),
            None => Ok(about.insert("version", self.version)?),
        }
    }
}
