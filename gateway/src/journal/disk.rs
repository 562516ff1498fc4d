//! What the journal asks of a file system, as narrow as it can be: the real one here, and in tests one that fails
//! syncs, tears writes and forgets what was never synced.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

/// A directory of files, named by their paths.
pub trait Disk: Send + Sync + 'static {
    /// Makes the directory, readable by its owner only, if it is not there.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the file as an exclusive lock, held until the value is dropped; `WouldBlock` if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// The files' names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A new, empty file, readable by its owner only; an existing one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// A new file of so many zeros, as with [`Disk::create`]; not yet on disk.
    fn create_zeroed(&self, path: &Path, octets: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.create(path)?;
        zero(octets, |zeros, at| file.write_at(zeros, at))?;
        Ok(file)
    }
    /// An existing file.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory last.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `into.len()` octets at an offset; fewer only at the file's end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all octets at an offset (handed to the kernel, not yet on disk).
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;
    /// Puts on disk what was written.
    fn sync(&self) -> io::Result<()>;
    /// Length in octets.
    fn length(&self) -> io::Result<u64>;
}

/// Zeros are written in pieces of this size, from memory that begins on a multiple of [`ALIGN`].
const PIECE: usize = 1_024 * 1_024;
/// What begins and ends on its multiples can go past the page cache on every file system.
const ALIGN: usize = 4_096;

/// Has so many zeros written, piece by piece, each with its offset.
fn zero(octets: u64, mut write: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
    let room = vec![0; PIECE + ALIGN];
    let from = room.as_ptr().align_offset(ALIGN);
    let zeros = room.get(from..from.saturating_add(PIECE)).unwrap_or(&room);
    let mut at = 0;
    while at < octets {
        let piece = zeros.len().min(usize::try_from(octets - at).unwrap_or(usize::MAX));
        write(&zeros[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

impl fmt::Debug for dyn Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Disk for Files {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            _ => Ok(()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let options = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).clone();
        Ok(Arc::new(options.open(path)?))
    }

    /// Past the page cache where the file system allows it: copying zeros there, and making room for them, costs several
    /// times as much as writing them.
    fn create_zeroed(&self, path: &Path, octets: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.create(path)?;
        let flags = OFlags::DIRECT.bits().cast_signed();
        let mut direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        zero(octets, |zeros, at| {
            let past = direct.as_ref().filter(|_| zeros.len().is_multiple_of(ALIGN));
            if past.is_some_and(|past| past.write_all_at(zeros, at).is_ok()) {
                return Ok(());
            }
            // It has larger blocks, or cannot do it after all; what else is wrong shows in the usual way, too.
            direct = None;
            file.write_at(zeros, at)
        })?;
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir: PathBuf = if dir.as_os_str().is_empty() { ".".into() } else { dir.into() };
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !into.is_empty() {
            match FileExt::read_at(self, into, offset) {
                Ok(0) => break,
                Ok(n) => {
                    total += n;
                    offset += n as u64;
                    into = &mut into[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_zeros_has_them_all_and_nothing_of_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zeros");
        for octets in [0, 1, ALIGN, PIECE - ALIGN, 2 * PIECE, 2 * PIECE + ALIGN + 17] {
            fs::write(&path, vec![7; 3 * PIECE]).unwrap();
            let file = Files.create_zeroed(&path, octets as u64).unwrap();
            file.write_at(b"written", 5).unwrap();
            let mut want = vec![0; octets.max(12)];
            want[5..12].copy_from_slice(b"written");
            assert!(fs::read(&path).unwrap() == want, "{octets}");
        }
    }
}
