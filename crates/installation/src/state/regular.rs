//! Opens the files of the state folder: regular files only, and never waiting
//! for one, so that a named pipe or a device at their place is an error and not
//! a program that hangs.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading.
///
/// # Errors
///
/// When it cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?)
}

/// Opens a file for reading it and for writing at its end, and creates it if it
/// is absent.
///
/// # Errors
///
/// As [`open`]; a symbolic link is no regular file here.
pub fn append(path: &Path) -> io::Result<File> {
    append_to(OpenOptions::new().create(true), path)
}

/// The same with these options.
pub(super) fn append_to(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    checked(options.read(true).append(true).custom_flags(flags).open(path)?)
}

/// Reads a file; at most its first `most` bytes.
///
/// # Errors
///
/// As [`open`], or when it cannot be read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checked(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file; remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
        let device = folder.path().join("device");
        symlink("/dev/zero", &device).expect("a symbolic link");
        for path in [pipe.as_path(), &device, folder.path()] {
            assert!(read(path, 10).is_err(), "{path:?} was read");
            assert!(append(path).is_err(), "{path:?} was opened");
        }
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let file = File::create(&path).expect("a file");
        file.set_len(3 << 30).expect("a sparse file of 3 GiB");
        assert_eq!(read(&path, 10).expect("ten bytes"), [0; 10]);
        fs::write(&path, "abc").expect("a file");
        assert_eq!(read(&path, 10).expect("all of it"), b"abc");
    }
}
