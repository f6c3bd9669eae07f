//! The record that is written beside a file: where it comes from.

use std::io;
use std::path::Path;

use crate::state::regular;
use crate::state::replace::replace;

/// At most so many bytes of a record are read: a URL and three short lines.
const MAX_LENGTH: u64 = 1 << 16;

/// Where a file comes from, as its record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    pub(super) url: String,
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<String>,
    pub(super) validator: Option<String>,
}

impl Origin {
    /// Reads a record. A last line that was cut off is ignored; its value is
    /// then unknown.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = String::from_utf8(regular::read(path, MAX_LENGTH).ok()?).ok()?;
        Some(Self::parse(&text)).filter(|origin| !origin.url.is_empty())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            line.filter_map(|line| line.split_once(": "))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned())
        };
        Self {
            url: value("url").unwrap_or_default(),
            size: value("size").and_then(|size| size.parse().ok()),
            sha256: value("sha256"),
            validator: value("validator"),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = format!("url: {}\n", self.url);
        let size = self.size.map(|size| size.to_string());
        for (key, value) in [("size", &size), ("sha256", &self.sha256), ("validator", &self.validator)] {
            if let Some(value) = value {
                text += &format!("{key}: {value}\n");
            }
        }
        replace(path, &[text.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("origin");
        let origin = Origin {
            url: "https://h/m.gguf".to_owned(),
            size: Some(3),
            sha256: None,
            validator: Some("\"a: b\"".to_owned()),
        };
        origin.write(&path).expect("written");
        assert_eq!(Origin::read(&path), Some(origin));
    }

    #[test]
    fn a_torn_origin_does_not_say_what_it_says_in_part() {
        let origin = Origin::parse("url: https://h/m.gguf\nsize: 12");
        assert_eq!(origin, Origin { url: "https://h/m.gguf".to_owned(), ..Origin::default() });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("origin");
            std::fs::write(&path, bytes).expect("a file");
            prop_assert!(Origin::read(&path).is_none_or(|origin| !origin.url.is_empty()));
        }

        #[test]
        fn any_values_read_back(url in "https://[!-~]{1,40}", size: Option<u64>, validator in "[ -~]{1,40}") {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("origin");
            let origin = Origin { url, size, sha256: None, validator: Some(validator) };
            origin.write(&path).expect("written");
            prop_assert_eq!(Origin::read(&path), Some(origin));
        }
    }
}
