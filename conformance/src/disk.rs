//! A disk of a test's own: an ext4 file system in an image file, mounted through a loop device, and what a power cut
//! does to it. Needs root; elsewhere the test that wants one is skipped.
//!
//! [`Disk::cut`] is a power cut as the disk sees it: from one moment on nothing more reaches the device, whatever the
//! programs and the kernel still hold. What was not synced by then is lost; what the kernel had written back by itself,
//! in whatever order, is there. The image is copied while the gateway goes on writing to a file system that is dead, and
//! [`Disk::restore`] brings the copy back in its place.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::wait::{self, seconds};
use crate::{foreign, shims};

/// A file system of some size; unmounted when it goes.
pub struct Disk {
    dir: TempDir,
    cut: PathBuf,
    mounted: bool,
}

impl Disk {
    /// An empty one of so many MiB; `None`, said loudly, where `test` has to do without.
    pub fn of(test: &str, mib: u64) -> Option<Disk> {
        let cut = shims::program(test, "cut")?;
        let mut disk = Disk { dir: tempfile::tempdir().unwrap(), cut, mounted: false };
        std::fs::create_dir(disk.path()).unwrap();
        std::fs::File::create(disk.image()).unwrap().set_len(mib << 20).unwrap();
        let image = disk.image();
        let made = run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), "-m0".as_ref(), image.as_os_str()]);
        match made.and_then(|()| disk.mount()) {
            Ok(()) => Some(disk),
            Err(why) => {
                foreign::skip(test, &format!("no disk of its own (root and loop devices are needed): {why}"));
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn copy(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    /// The power fails, and what the disk holds at that moment is copied.
    pub fn cut(&self) {
        run(&self.cut, [self.path().as_os_str()]).unwrap_or_else(|why| panic!("the power cannot be cut: {why}"));
        let (image, copy) = (self.image(), self.copy());
        let copied = run("cp", ["--sparse=always".as_ref(), image.as_os_str(), copy.as_os_str()]);
        copied.unwrap_or_else(|why| panic!("the image cannot be copied: {why}"));
    }

    /// The power is back: the copy is mounted in the place of what was cut. Nobody may have files open there.
    pub fn restore(&mut self) {
        self.unmount();
        std::fs::rename(self.copy(), self.image()).unwrap();
        self.mount().unwrap_or_else(|why| panic!("the copy cannot be mounted: {why}"));
    }

    fn mount(&mut self) -> Result<(), String> {
        let (image, path) = (self.image(), self.path());
        run(
            "mount",
            ["-t".as_ref(), "ext4".as_ref(), "-o".as_ref(), "loop".as_ref(), image.as_os_str(), path.as_os_str()],
        )?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) {
        // A process that was just killed may still be letting go of its files.
        let gone = wait::found(seconds(10), || run("umount", [self.path().as_os_str()]).ok());
        assert!(gone.is_some(), "{} cannot be unmounted", self.path().display());
        self.mounted = false;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Whoever still has files open there keeps them until it ends.
            let _ = run("umount", ["--lazy".as_ref(), self.path().as_os_str()]);
        }
    }
}

fn run<'a>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    let program = program.as_ref();
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{}: {error}", Path::new(program).display()))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output.status.success().then_some(()).ok_or_else(said)
}
