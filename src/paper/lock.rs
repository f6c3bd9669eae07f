//! The lock that keeps other programs from the printer's device.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Exclusive use of a device: a lock (flock) that programs like this one
/// respect, and TIOCEXCL, with which the kernel refuses all programs but root's.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Locks the device.
    ///
    /// # Errors
    ///
    /// When another program has locked it; the message names the process.
    pub(super) fn take(device: File) -> io::Result<Self> {
        match device.try_lock() {
            Ok(()) => Ok(Self(device)),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => {
                let holder = device.metadata().ok().and_then(|device| {
                    holder_of(&fs::read_to_string("/proc/locks").ok()?, device.dev(), device.ino())
                });
                let holder =
                    holder.map_or("another program".to_owned(), |process| format!("process {process}"));
                Err(io::Error::new(ErrorKind::ResourceBusy, format!("{holder} prints on it; end that first")))
            }
        }
    }

    /// Has the kernel refuse to open the device again, until this is dropped.
    pub(super) fn exclude(&self) {
        // SAFETY: the call takes no argument. Where it fails, the lock remains.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCEXCL) };
    }
}

impl Deref for Lock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: as above. Without it the device would stay refused as long as
        // any program has it open.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCNXCL) };
    }
}

/// The process that has locked a file with flock, from the text of /proc/locks.
fn holder_of(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (libc::major(device), libc::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // As `1: FLOCK  ADVISORY  WRITE 708 00:18:23 0 EOF`.
        (words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&file.as_str()))
            .then(|| words[4].parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_holds_a_lock_is_found_in_the_kernels_list() {
        let locks = "1: FLOCK  ADVISORY  WRITE 708 00:18:23 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 9 00:06:23 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 00:06:23 0 EOF\n";
        assert_eq!(holder_of(locks, libc::makedev(0, 6), 23), Some(4711));
        assert_eq!(holder_of(locks, libc::makedev(0, 6), 24), None);
    }
}
