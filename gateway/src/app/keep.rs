//! Small files that are written whole: what was there stays until the new one is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts `octets` in the place of the file `name` in `dir`; nobody else may read it.
///
/// # Errors
/// The disk's.
pub(super) fn replace(dir: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    File::open(dir)?.sync_all()
}
