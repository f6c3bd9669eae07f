//! The key of the code that computes: build.rs puts it into the program, which
//! restores no prompt state that other code has written.
//!
//! In a file of its own, so that the tests can run it on a copy of the tree.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What decides the exact numbers that are computed, relative to the tree's
/// root: llama.cpp's version, the compiler's flags, and our own code. All files
/// of a folder count.
pub(crate) const SOURCES: [&str; 5] =
    ["Cargo.lock", ".cargo/config.toml", "script/llama.cmake", "crates/kernels", "src/mind"];

/// The hash of [`SOURCES`] under `root`: of the files' names and contents, and
/// of `target`, which says what they are compiled for.
///
/// # Errors
///
/// When a source is missing, cannot be read, or is a folder without a file: a
/// source that was moved must not drop out of the key unnoticed.
pub(crate) fn of(root: &Path, target: &[String]) -> io::Result<u64> {
    let mut digest = DefaultHasher::new();
    target.hash(&mut digest);
    for source in SOURCES {
        let files = files(&root.join(source)).map_err(|error| named(source, &error))?;
        if files.is_empty() {
            return Err(named(source, &io::ErrorKind::NotFound.into()));
        }
        for file in files {
            file.strip_prefix(root).unwrap_or(&file).hash(&mut digest);
            fs::read(&file).map_err(|error| named(&file.display().to_string(), &error))?.hash(&mut digest);
        }
    }
    Ok(digest.finish())
}

/// The file at `path`, or all files below the folder there, in the order of
/// their names.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let nested = entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>()?;
    Ok(nested.concat())
}

fn named(source: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "{source}: {error}; SOURCES in build/key.rs names what the key of the prompt state is made of"
        ),
    )
}
