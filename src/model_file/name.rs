//! Resolves `--model` (ember, a URL or a path) to a file that llama.cpp can
//! open.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};
use sha2::{Digest, Sha256};

use super::download;
use super::download::http::{Client, Environment, Patience};
use super::gguf;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;

/// Ember's weights, compiled into the program.
static EMBER: &[u8] = include_bytes!("../../models/ember/ember.gguf");

/// The prompt that ember was trained with. Its text does not follow another.
const EMBER_PROMPT: &str = include_str!("../../models/ember/prompt.txt");

/// How much of a model is hashed to identify it: samples of a page each, evenly
/// spread over the file. 256 KB take the board some 5 ms.
const SAMPLES: u64 = 64;
const SAMPLE: usize = 4096;

/// What `--model` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelName {
    /// The model that is built into the program.
    Ember,
    /// A file that is downloaded once.
    Url(String),
    /// A file on this machine. `./ember` is a file of that name.
    Path(PathBuf),
}

impl ModelName {
    /// The prompt that the model was trained with, where its text does not
    /// follow any other.
    #[must_use]
    pub(crate) fn own_prompt(&self) -> Option<&'static str> {
        (*self == Self::Ember).then_some(EMBER_PROMPT)
    }
}

impl From<PathBuf> for ModelName {
    fn from(name: PathBuf) -> Self {
        match name.to_str() {
            Some("ember") => Self::Ember,
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
                Self::Url(url.to_owned())
            }
            _ => Self::Path(name),
        }
    }
}

/// The name as it was given.
impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ember => f.write_str("ember"),
            Self::Url(url) => f.write_str(url),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// What is on this machine of the file that `--model` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is what was downloaded, or what is built in.
    Verified(String),
    /// It is a usable model, and nothing tells what it should be.
    Unverified(String),
    /// It is not what was downloaded.
    Damaged(String),
    /// There is no such file.
    Absent(String),
}

/// A file that llama.cpp may open, and its name for messages.
#[derive(Debug)]
pub struct ModelFile {
    name: String,
    path: PathBuf,
    /// Keeps ember's memory file, and so its path under `/proc`, alive.
    memory: Option<File>,
}

impl ModelFile {
    /// Finds the file that `name` names. The file of a URL is downloaded to
    /// `model_dir` if it is not there yet.
    ///
    /// # Errors
    ///
    /// When there is no such file, it cannot be downloaded, or [`gguf::check_path`]
    /// refuses it. Ember is not checked here: it is part of the program, and
    /// the tests check it.
    pub fn find(name: &ModelName, model_dir: &Path, interrupt: &Interrupt) -> Result<Self, Ending> {
        match name {
            ModelName::Ember => Ok(Self::ember()?),
            ModelName::Path(path) => Ok(Self::at(path)?),
            ModelName::Url(url) => {
                let client = || Client::new(Environment::read()?, Patience::default());
                Ok(Self::at(&download::model(url, model_dir, client, interrupt)?)?)
            }
        }
    }

    /// Looks for the file that `name` names, without the network, and reads all of
    /// it to verify it. An inner error says why it cannot be used.
    ///
    /// # Errors
    ///
    /// [`Ending::Interrupted`] when a signal came.
    pub(crate) fn kept(
        name: &ModelName,
        model_dir: &Path,
        interrupt: &Interrupt,
    ) -> Result<Result<Kept>, Ending> {
        let (path, sha256) = match name {
            ModelName::Ember => return Ok(Ok(Kept::Verified("ember".to_owned()))),
            ModelName::Path(path) => (path.clone(), path.exists().then_some(None)),
            ModelName::Url(url) => match download::kept(url, model_dir) {
                Ok(kept) => kept,
                Err(error) => return Ok(Err(error)),
            },
        };
        let shown = format!("{path:?}");
        let Some(sha256) = sha256 else { return Ok(Ok(Kept::Absent(shown))) };
        if let Err(error) = Self::at(&path) {
            return Ok(Err(error));
        }
        let Some(sha256) = sha256 else { return Ok(Ok(Kept::Unverified(shown))) };
        Ok(match hash(&path, interrupt) {
            Err(error) => {
                Err(error).with_context(|| format!("cannot read model {path:?}; look at the SD card"))
            }
            Ok(None) => return Err(Ending::Interrupted("while the model was verified".to_owned())),
            Ok(Some(found)) if found == sha256 => Ok(Kept::Verified(shown)),
            Ok(Some(_)) => Ok(Kept::Damaged(shown)),
        })
    }

    /// Ember as a file in memory (memfd): llama.cpp loads models from files
    /// only.
    fn ember() -> Result<Self> {
        let file = memfd_create(c"ember.gguf", MFdFlags::MFD_CLOEXEC)
            .context("cannot make a file in memory for ember; give a GGUF file with --model")?;
        let mut file = File::from(file);
        file.write_all(EMBER)
            .context("cannot write ember to memory; free some, or give a GGUF file with --model")?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { name: "ember".to_owned(), path, memory: Some(file) })
    }

    fn at(path: &Path) -> Result<Self> {
        let next = "name a GGUF file with --model, or give --model ember";
        let metadata = fs::metadata(path).with_context(|| format!("cannot open model {path:?}; {next}"))?;
        ensure!(!metadata.is_dir(), "model {path:?} is a folder; {next}");
        // A pipe or a device would be read without end.
        ensure!(metadata.is_file(), "model {path:?} is not a regular file; {next}");
        ensure!(
            metadata.len() > 0,
            "model {path:?} is empty; copy or download it again, or give --model ember"
        );
        if let Err(fault) = gguf::check_path(path) {
            bail!("model {path:?} cannot be used: {fault}; {}", fault.next());
        }
        ensure!(path.to_str().is_some(), "model {path:?} has a name that is not UTF-8; rename it");
        Ok(Self { name: format!("{path:?}"), path: path.to_path_buf(), memory: None })
    }

    /// A hash that identifies this file without reading all of it: the hash of
    /// its length, its modification time and 64 samples of its content.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn identity(&self) -> io::Result<[u8; 32]> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let mut digest = Sha256::new();
        digest.update(metadata.len().to_le_bytes());
        // Ember's file is created anew for each life, so its time is left out.
        if self.memory.is_none() {
            digest.update(metadata.mtime().to_le_bytes());
            digest.update(metadata.mtime_nsec().to_le_bytes());
        }
        hash_samples(&mut digest, file, metadata.len())?;
        Ok(digest.finalize().into())
    }

    /// What tells this model from others wherever and whenever its file was
    /// copied: the first 64 bits, in hex, of the SHA-256 of the file's length
    /// and of 64 samples of its content.
    ///
    /// Reading all of the default model's 105 MB would take some 5 s of the SD
    /// card's time at every start. A file that differs from another one of the
    /// same length only between the samples counts as the same.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn fingerprint(&self) -> io::Result<String> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let mut digest = Sha256::new();
        digest.update(length.to_le_bytes());
        hash_samples(&mut digest, file, length)?;
        Ok(digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether it is ember, which is part of the program.
    #[must_use]
    pub(crate) fn is_built_in(&self) -> bool {
        self.memory.is_some()
    }

    /// The path of the file; valid until this value is dropped.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The SHA-256 of a file, in hex; `None` if a signal came first.
fn hash(path: &Path, interrupt: &Interrupt) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => digest.update(&piece[..length]),
        }
        if interrupt.is_raised() {
            return Ok(None);
        }
    }
    Ok(Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Hashes 64 samples of a page each, evenly spread over a file of this length.
fn hash_samples(digest: &mut Sha256, mut file: File, length: u64) -> io::Result<()> {
    let mut piece = [0; SAMPLE];
    for sample in 0..SAMPLES {
        let at = length.saturating_sub(SAMPLE as u64) * sample / (SAMPLES - 1);
        file.seek(SeekFrom::Start(at))?;
        let mut read = 0;
        while read < SAMPLE {
            match file.read(&mut piece[read..])? {
                0 => break,
                more => read += more,
            }
        }
        digest.update(&piece[..read]);
    }
    Ok(())
}

/// The model's name as messages say it.
impl fmt::Display for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_model_has_its_fingerprint_and_a_changed_one_has_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ember = ModelFile::ember().expect("a file in memory").fingerprint().expect("it is read");
        assert_eq!(ember.len(), 16);
        let path = folder.path().join("copy.gguf");
        let fingerprint = |content: &[u8]| {
            fs::write(&path, content).expect("a file");
            let file = ModelFile { name: String::new(), path: path.clone(), memory: None };
            file.fingerprint().expect("it is read")
        };
        assert_eq!(fingerprint(EMBER), ember);
        assert_ne!(fingerprint(&EMBER[..EMBER.len() - 1]), ember);
        let mut changed = EMBER.to_vec();
        // The last weight is in the last sample.
        *changed.last_mut().expect("not empty") ^= 1;
        assert_ne!(fingerprint(&changed), ember);
        assert_ne!(fingerprint(b"short"), fingerprint(b""), "shorter than a sample");
    }

    #[test]
    fn a_name_is_ember_a_url_or_a_path() {
        let parse = |name: &str| ModelName::from(PathBuf::from(name));
        assert_eq!(parse("ember"), ModelName::Ember);
        assert_eq!(parse("./ember"), ModelName::Path("./ember".into()));
        assert_eq!(parse("https://example.org/m.gguf"), ModelName::Url("https://example.org/m.gguf".into()));
    }
}
