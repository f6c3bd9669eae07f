//! A state folder that can become full or read-only: a small file system of its own
//! where the test may mount one, else what an ordinary user can do instead.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::Resource::RLIMIT_FSIZE;

use crate::support::nexus::limit;

/// The size of the file system: room for a thousand lines, the prompt's state and
/// some pages.
const SIZE: &str = "size=4m";

/// A page of tmpfs.
const PAGE: u64 = 4096;

pub struct Disk {
    folder: PathBuf,
    is_mounted: bool,
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(folder).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Disk {
    pub fn at(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let is_mounted = mount(&["-t", "tmpfs", "-o", SIZE, "none"], folder);
        Self { folder: folder.to_owned(), is_mounted }
    }

    /// What it is, for the figures.
    pub fn words(&self) -> &'static str {
        match self.is_mounted {
            true => "a file system of 4 MB",
            false => "a folder; full stands for a limit on the length of files (RLIMIT_FSIZE)",
        }
    }

    /// Fills it but for some pages, for the process of `command`.
    pub fn fill(&self, pages: u64, command: &mut Command) {
        if self.is_mounted {
            // Blank lines, so that the next line needs a page of its own.
            if let Ok(mut history) = File::options().append(true).open(self.folder.join("lives.csv")) {
                let length = history.metadata().expect("a file").len();
                let blank = vec![b'\n'; (length.next_multiple_of(PAGE) - length) as usize];
                history.write_all(&blank).expect("room in the page");
            }
            let mut file = File::create(self.folder.join("filler")).expect("a file");
            let page = [b'x'; PAGE as usize];
            while file.write_all(&page).is_ok() {}
            let length = file.metadata().expect("a file").len();
            file.set_len(length.saturating_sub(pages * PAGE)).expect("it is made shorter");
            return;
        }
        limit(command, RLIMIT_FSIZE, pages * 100);
    }

    /// Makes it read-only, or writable again. Root writes to any folder: without a
    /// file system of its own nothing happens to it.
    pub fn set_read_only(&self, is_read_only: bool) {
        if self.is_mounted {
            let how = if is_read_only { "remount,ro" } else { "remount,rw" };
            assert!(mount(&["-o", how], &self.folder), "{how}");
        } else {
            let mode = if is_read_only { 0o500 } else { 0o700 };
            fs::set_permissions(&self.folder, Permissions::from_mode(mode)).expect("a mode");
        }
    }

    /// Makes it as it was.
    pub fn mend(&self) {
        self.set_read_only(false);
        let _ = fs::remove_file(self.folder.join("filler"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
    }
}
