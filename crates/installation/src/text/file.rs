//! A small file of text that an option names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The longest file that is read, in bytes: no receipt and no list of words is longer.
const MAX_BYTES: u64 = 65_536;

/// The text of a file; an error names it and `option`. A pipe or a device would be read
/// without end: only a regular file is read.
pub fn text_of(path: &Path, option: &str) -> Result<String> {
    let read = || {
        let metadata = fs::metadata(path)?;
        ensure!(metadata.is_file(), "it is no regular file");
        ensure!(metadata.len() <= MAX_BYTES, "it has more than {MAX_BYTES} bytes");
        String::from_utf8(fs::read(path)?).context("it is not UTF-8")
    };
    read().with_context(|| format!("cannot read {path:?}; name another file with {option}"))
}
