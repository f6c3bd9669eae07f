//! The files of a download: their paths, which of them exist already, and the
//! record beside a file, which tells where it comes from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use ureq::http::Uri;

use super::address::shown;
use super::progress::bytes;
use installation::state::regular;
use installation::state::replace::replace;

/// At most so many bytes of a record are read: a URL and three short lines.
const MAX_LENGTH: u64 = 1 << 16;

/// Where a file comes from, and what its server said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// The URL without its query, which may hold a secret.
    pub(super) url: String,
    /// The size of the whole file in bytes.
    pub(super) size: Option<u64>,
    /// In lower-case hexadecimal.
    pub(super) sha256: Option<String>,
    /// The ETag or modification date of this version of the file.
    pub(super) validator: Option<String>,
}

impl Origin {
    /// Reads a record. A last line that was cut off is ignored; its value is
    /// then unknown.
    pub fn read(path: &Path) -> Option<Self> {
        let text = String::from_utf8(regular::read(path, MAX_LENGTH).ok()?).ok()?;
        let value = |key: &str| {
            let of = |line: &str| Some(line.strip_suffix('\n')?.strip_prefix(key)?.to_owned());
            text.split_inclusive('\n').find_map(of).filter(|value| !value.is_empty())
        };
        Some(Self {
            url: value("url: ")?,
            size: value("size: ").and_then(|size| size.parse().ok()),
            sha256: value("sha256: "),
            validator: value("validator: "),
        })
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = format!("url: {}\n", self.url);
        let size = self.size.map(|size| size.to_string());
        for (key, value) in [("size", &size), ("sha256", &self.sha256), ("validator", &self.validator)] {
            text.extend(value.iter().map(|value| format!("{key}: {value}\n")));
        }
        replace(path, &[text.as_bytes()])
    }
}

/// The part of a file that an earlier try left.
pub(super) struct Partial {
    /// Its length in bytes; not 0.
    pub(super) len: u64,
    pub(super) record: Origin,
}

/// The URL of a model, and the paths of its files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// The URL without its query, which may hold a secret.
    pub(super) url: String,
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// The model.
    pub(super) path: PathBuf,
    /// The bytes received so far.
    pub(super) part: PathBuf,
    /// The record of the part. It says nothing of a model that was copied there by
    /// hand.
    pub(super) part_record: PathBuf,
    /// The record of the model.
    pub(super) record: PathBuf,
}

impl Files {
    pub(super) fn new(address: &Uri, dir: &Path) -> Result<Self> {
        let url = shown(&address.to_string()).to_owned();
        let name = address.path().rsplit('/').next().unwrap_or_default().to_owned();
        ensure!(
            name.len() > ".gguf".len() && name.ends_with(".gguf"),
            "URL {url} does not end in a .gguf file; give the address of the file itself"
        );
        let path = |ending: &str| dir.join(format!("{name}{ending}"));
        Ok(Self {
            path: path(""),
            part: path(".part"),
            part_record: path(".part.origin"),
            record: path(".origin"),
            dir: dir.to_path_buf(),
            url,
            name,
        })
    }

    /// Whether the model is there. If it has a record, URL and size must match it;
    /// a file that was copied there by hand has none.
    pub(super) fn is_there(&self) -> Result<bool> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(false) };
        let Some(record) = Origin::read(&self.record) else { return Ok(true) };
        let (Self { url, path, .. }, from, len) = (self, record.url, metadata.len());
        ensure!(
            from == *url,
            "model {path:?} came from {from}, not from {url}; move it away, give another --model-dir, or name \
             the file itself with --model"
        );
        let size = record.size.unwrap_or(len);
        ensure!(
            size == len,
            "model {path:?} is {len} bytes and {size} were downloaded: it was changed or damaged; delete it, \
             and the next start downloads it again"
        );
        Ok(true)
    }

    /// The bytes of the part, 0 if there is none.
    pub(super) fn part_len(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// The part, if it can be resumed: without an ETag or date the server cannot
    /// tell whether the rest is of the same version.
    pub(super) fn kept(&self) -> Option<Partial> {
        let record = Origin::read(&self.part_record).filter(|record| record.url == self.url)?;
        let kept = Partial { len: self.part_len(), record };
        Some(kept).filter(|kept| kept.len > 0 && kept.record.validator.is_some())
    }

    pub(super) fn remove_part(&self) -> Result<()> {
        for path in [&self.part, &self.part_record] {
            if path.exists() {
                fs::remove_file(path)
                    .with_context(|| format!("cannot remove {path:?}; remove it by hand"))?;
            }
        }
        Ok(())
    }

    /// What a message says of the part: nothing, or a clause that begins with `;`.
    pub(super) fn what_is_kept(&self) -> String {
        self.kept().map_or_else(String::new, |kept| {
            format!("; {} are kept and the next start goes on from there", bytes(kept.len))
        })
    }

    /// `error`, with what is kept and how to get the file without the program.
    pub(super) fn with_way_out(&self, error: &Error) -> Error {
        let Self { url, name, path, .. } = self;
        let kept = self.what_is_kept();
        anyhow!(
            "cannot download {name}: {error:#}{kept}; or fetch {url} by hand to {path:?}, or give --model ember"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::web_address;
    use super::*;
    use proptest::prelude::*;

    fn files(address: &str) -> Result<Files> {
        Files::new(&web_address(address)?, Path::new("models"))
    }

    #[test]
    fn the_query_of_a_url_is_neither_kept_nor_said() {
        let files = files("https://h/m.gguf?token=secret").expect("a file");
        assert_eq!((files.url.as_str(), files.name.as_str()), ("https://h/m.gguf", "m.gguf"));
        for address in ["https://h/r/?token=secret", "https://h/.gguf", "https://h/page.html"] {
            let error = self::files(address).expect_err(address);
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
    }

    /// The record that a file with these bytes holds.
    fn read(bytes: &[u8]) -> Option<Origin> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        fs::write(&path, bytes).expect("a file");
        Origin::read(&path)
    }

    #[test]
    fn a_torn_record_does_not_say_what_it_says_in_part() {
        let url = "https://h/m.gguf".to_owned();
        let record = Origin { url, size: None, sha256: None, validator: None };
        assert_eq!(read(b"url: https://h/m.gguf\nsize: 12"), Some(record));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).is_none_or(|record| !record.url.is_empty()));
        }

        #[test]
        fn any_values_read_back(url in "https://[!-~]{1,40}", size: Option<u64>, validator in "[ -~]{1,40}") {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("record");
            let record = Origin { url, size, sha256: None, validator: Some(validator) };
            record.write(&path).expect("written");
            prop_assert_eq!(Origin::read(&path), Some(record));
        }
    }
}
