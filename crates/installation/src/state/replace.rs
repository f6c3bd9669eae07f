//! Replaces a file atomically: a power cut leaves either the old file or the
//! new one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::regular;

/// Replaces the file at `path`: writes `parts`, one after the other, to a file
/// with `.new` added to its name, fsyncs that file and renames it to `path`.
///
/// # Errors
///
/// When it cannot be written, or the rename or an fsync fails. The `.new` file
/// is then removed, and the old file is still there, unless it was the fsync
/// after the rename that failed.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let aside = beside(path);
    let replaced = write(&aside, parts).and_then(|()| put_in_place(&aside, path));
    if replaced.is_err() {
        // A partly written file is useless, and may be what filled the disk.
        let _ = fs::remove_file(&aside);
    }
    replaced
}

/// Renames the fsynced file `aside` to `path`, which may be there already, and
/// fsyncs their folder, so that the name too survives a power cut.
///
/// # Errors
///
/// When the rename or the fsync fails.
pub fn put_in_place(aside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(aside, path)?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Renames the folder `aside`, whose files are fsynced, to `path`, where a folder may be
/// already: a power cut leaves one of them, where the file system can exchange the two, as
/// ext4 can.
///
/// # Errors
///
/// When the rename or the fsync of their folder fails.
pub fn put_folder_in_place(aside: &Path, path: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, aside, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => fs::remove_dir_all(aside),
        // There is none, or the file system cannot exchange.
        Err(_) => {
            let _ = fs::remove_dir_all(path);
            put_in_place(aside, path)
        }
    }
}

/// `path` + `.new`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = regular::append(path)?;
    file.set_len(0)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        for content in ["old", "the new one"] {
            let (left, right) = content.split_at(2);
            replace(&path, &[left.as_bytes(), right.as_bytes()]).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("a file"), content);
        }
        assert!(!beside(&path).exists());
    }

    #[test]
    fn a_replacement_that_fails_keeps_the_old_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        replace(&path, &[b"old"]).expect("written");
        // A folder at the path of the `.new` file, so that it cannot be
        // written.
        fs::create_dir_all(beside(&path).join("x")).expect("a folder");
        assert!(replace(&path, &[b"new"]).is_err());
        assert_eq!(fs::read_to_string(&path).expect("the old one"), "old");
    }
}
