//! Small disks that become full or read-only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use super::git::command;

/// A small disk, unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None`, said aloud, where this process may not mount.
    #[track_caller]
    pub(crate) fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let out = command("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at).output();
        if out.as_ref().is_ok_and(|out| out.status.success()) {
            return Some(Self(at));
        }
        super::skip(&format!("a tmpfs cannot be mounted here: {out:?}"));
        None
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    pub(crate) fn remount(&self, how: &str) {
        assert!(command("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(command("umount").arg("--lazy").arg(&self.0).status());
    }
}
