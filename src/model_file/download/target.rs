//! The files of a download, and which of them exist already.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use ureq::http::Uri;

use super::address;
use super::origin::Origin;
use super::progress::bytes;
use crate::life::ending::Ending;

/// The URL of a model, and the path that it is downloaded to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The URL without its query, which may hold a secret.
    pub(super) url: String,
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) path: PathBuf,
}

impl Target {
    pub(super) fn new(address: &Uri, dir: &Path) -> Result<Self> {
        let name = address::file_name(address)?.to_owned();
        let url = address::shown(&address.to_string()).to_owned();
        Ok(Self { url, path: dir.join(&name), name, dir: dir.to_path_buf() })
    }

    /// Whether the model is there. If it has an `.origin`, URL and size must
    /// match it; a file that was copied there by hand has none.
    pub(super) fn is_there(&self) -> Result<bool> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(false) };
        let Some(origin) = self.origin() else { return Ok(true) };
        ensure!(
            origin.url == self.url,
            "model {:?} came from {}, not from {}; move it away, give another --model-dir, or name the file itself with --model",
            self.path,
            origin.url,
            self.url
        );
        ensure!(
            origin.size.is_none_or(|size| size == metadata.len()),
            "model {:?} is {} bytes and {} were downloaded: it was changed or damaged; delete it, and the next start downloads it again",
            self.path,
            metadata.len(),
            origin.size.unwrap_or_default()
        );
        Ok(true)
    }

    /// The record of the model, if it has one.
    pub(super) fn origin(&self) -> Option<Origin> {
        Origin::read(&self.beside("origin"))
    }

    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", self.name))
    }

    pub(super) fn part(&self) -> PathBuf {
        self.beside("part")
    }

    /// The bytes of an unfinished download, 0 if there is none.
    pub(super) fn part_len(&self) -> u64 {
        fs::metadata(self.part()).map_or(0, |metadata| metadata.len())
    }

    /// The server's record of the part. It does not apply to a model that was
    /// copied there by hand.
    pub(super) fn part_origin(&self) -> PathBuf {
        self.beside("part.origin")
    }

    /// The part downloaded so far, if it can be resumed.
    pub(super) fn kept(&self) -> Option<Kept> {
        let origin = Origin::read(&self.part_origin()).filter(|origin| origin.url == self.url)?;
        Some(Kept { len: self.part_len(), origin }).filter(|kept| kept.len > 0)
    }

    pub(super) fn remove_part(&self) -> Result<()> {
        for path in [self.part(), self.part_origin()] {
            if path.exists() {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {path:?}; remove it by hand"))?;
            }
        }
        Ok(())
    }

    pub(super) fn interrupted(&self) -> Ending {
        let kept = match self.part_len() {
            0 => String::new(),
            len => format!("; {} are kept and the next start goes on from there", bytes(len)),
        };
        Ending::Interrupted(format!("while downloading the model{kept}"))
    }

    pub(super) fn by_hand(&self) -> String {
        format!("fetch {} by hand to {:?}, or give --model ember", self.url, self.path)
    }

    /// `error`, with what is kept and how to get the file without the program.
    pub(super) fn with_way_out(&self, error: &Error) -> Error {
        let kept = match self.kept() {
            Some(kept) => format!("{} are kept and the next start goes on from there; ", bytes(kept.len)),
            None => String::new(),
        };
        anyhow!("cannot download {}: {error:#}; {kept}or {}", self.name, self.by_hand())
    }
}

/// An unfinished download.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) len: u64,
    pub(super) origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_url_is_not_kept() {
        let address = address::web_address("https://h/m.gguf?token=secret").expect("an address");
        let target = Target::new(&address, Path::new("models")).expect("a target");
        assert_eq!((target.url.as_str(), target.name.as_str()), ("https://h/m.gguf", "m.gguf"));
    }
}
