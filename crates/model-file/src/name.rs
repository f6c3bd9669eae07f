//! Resolves `--model` (ember, a URL, a repository or a path) to a file that llama.cpp can
//! open.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fmt};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::download;
use super::download::http::{Client, PATIENCE};
use super::download::repository::Repository;
use super::gguf::{self, Purpose};
use super::hash;
use super::voice::{self, Lora};
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;

/// Ember's weights, compiled into the program.
static EMBER: &[u8] = include_bytes!("../../../models/ember/ember.gguf");

/// The prompt that ember was trained with. Its text does not follow another.
const EMBER_PROMPT: &str = include_str!("../../../models/ember/prompt.txt");

/// What `--model` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelName {
    /// The model that is built into the program.
    Ember,
    /// A file that is downloaded once.
    Url(String),
    /// A file of a repository on Hugging Face, which is downloaded once.
    Repository(Repository),
    /// A file on this machine. `./ember` is a file of that name.
    Path(PathBuf),
}

impl ModelName {
    /// The prompt that the model was trained with, where its text does not
    /// follow any other.
    #[must_use]
    pub fn own_prompt(&self) -> Option<&'static str> {
        (*self == Self::Ember).then_some(EMBER_PROMPT)
    }
}

impl From<PathBuf> for ModelName {
    fn from(name: PathBuf) -> Self {
        match name.to_str() {
            Some("ember") => Self::Ember,
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
                Self::Url(on_the_hub(url).unwrap_or_else(|| url.to_owned()))
            }
            Some(text) => (on_the_hub(text).map(Self::Url))
                .or_else(|| Repository::named(text).map(Self::Repository))
                .unwrap_or(Self::Path(name)),
            None => Self::Path(name),
        }
    }
}

/// The address of a file on Hugging Face, as people copy it: without its scheme, of its page
/// (`/blob/`), or of its download button (`?download=true`). `None` for any other text.
fn on_the_hub(text: &str) -> Option<String> {
    let path = text.strip_prefix("https://").unwrap_or(text).strip_prefix("huggingface.co/")?;
    let path = path.strip_suffix("?download=true").unwrap_or(path);
    Some(format!("https://huggingface.co/{}", path.replacen("/blob/", "/resolve/", 1)))
}

/// The name as it was given.
impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ember => f.write_str("ember"),
            Self::Url(url) => f.write_str(url),
            Self::Repository(repository) => repository.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// What is on this machine of the file that `--model` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
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
    /// Keeps the memory file of what is built in, and so its path under `/proc`, alive.
    memory: Option<File>,
    /// Whether it is the default model, in any quantization.
    is_default: bool,
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
        let client = || Client::new(|name| env::var(name).ok(), PATIENCE);
        match name {
            ModelName::Ember | ModelName::Path(_) => {}
            ModelName::Url(url) => drop(download::model(url, model_dir, client, interrupt)?),
            ModelName::Repository(repository) => {
                let url = download::file_of(repository, model_dir, client, interrupt)?;
                download::model(&url, model_dir, client, interrupt)?;
            }
        }
        Ok(Self::find_here(name, model_dir)?)
    }

    /// The same of what is on this machine.
    ///
    /// # Errors
    ///
    /// As [`ModelFile::find`], or when it is not in `model_dir`.
    pub fn find_here(name: &ModelName, model_dir: &Path) -> Result<Self> {
        let url = match name {
            ModelName::Ember => return Self::built_in("ember", EMBER),
            ModelName::Path(path) => return Self::at(path, Purpose::Model),
            ModelName::Url(url) => Some(url.clone()),
            ModelName::Repository(repository) => repository.kept(model_dir),
        };
        let file = url.map(|url| download::kept(&url, model_dir)).transpose()?;
        let path = file.map(|(path, _)| path).filter(|path| path.exists());
        let path = path
            .with_context(|| format!("the model is not in {model_dir:?}; download it with --model {name}"))?;
        Self::at(&path, Purpose::Model)
    }

    /// Looks for the file that `name` names, without the network, and reads all of
    /// it to verify it.
    ///
    /// # Errors
    ///
    /// When it cannot be used, or [`Ending::Interrupted`] when a signal came.
    pub fn kept(name: &ModelName, model_dir: &Path, interrupt: &Interrupt) -> Result<Kept, Ending> {
        let (path, sha256) = match name {
            ModelName::Ember => return Ok(Kept::Verified("ember".to_owned())),
            ModelName::Path(path) => (path.clone(), None),
            ModelName::Url(url) => download::kept(url, model_dir)?,
            ModelName::Repository(repository) => match repository.kept(model_dir) {
                Some(url) => download::kept(&url, model_dir)?,
                None => return Ok(Kept::Absent(format!("a file of {repository}"))),
            },
        };
        let shown = format!("{path:?}");
        if !path.exists() {
            return Ok(Kept::Absent(shown));
        }
        Self::at(&path, Purpose::Model)?;
        let Some(sha256) = sha256 else { return Ok(Kept::Unverified(shown)) };
        match File::open(&path).and_then(|file| hash::sha256(file, interrupt)) {
            _ if interrupt.is_raised() => Err(Ending::Interrupted("while the model was verified".to_owned())),
            Ok(found) if found == sha256 => Ok(Kept::Verified(shown)),
            Ok(_) => Ok(Kept::Damaged(shown)),
            Err(error) => Err(anyhow!("cannot read model {path:?} ({error}); look at the SD card").into()),
        }
    }

    /// The adapter that `lora` names, or, where it is not given, the default model's own
    /// voice if this is the default model.
    ///
    /// # Errors
    ///
    /// When the file is not there, damaged or no adapter.
    pub fn voice(&self, lora: Option<&Lora>) -> Result<Option<Self>> {
        match lora {
            Some(Lora::Path(path)) => Self::at(path, Purpose::Adapter).map(Some),
            None if self.is_default => Self::built_in("its own voice", voice::VOICE).map(Some),
            None | Some(Lora::None) => Ok(None),
        }
    }

    /// Checks the adapter that `lora` names, before the model is there.
    ///
    /// # Errors
    ///
    /// As [`ModelFile::voice`].
    pub fn check_voice(lora: Option<&Lora>) -> Result<()> {
        match lora {
            Some(Lora::Path(path)) => Self::at(path, Purpose::Adapter).map(drop),
            _ => Ok(()),
        }
    }

    /// What is built in as a file in memory (memfd): llama.cpp loads from files only.
    fn built_in(name: &str, content: &[u8]) -> Result<Self> {
        let file = memfd_create(c"built-in.gguf", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
        let file = file.map(File::from).and_then(|mut file| file.write_all(content).map(|()| file));
        let file = file.with_context(|| {
            format!("cannot write {name} to memory; free some, or give a GGUF file with --model")
        })?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { name: name.to_owned(), path, memory: Some(file), is_default: false })
    }

    fn at(path: &Path, purpose: Purpose) -> Result<Self> {
        let (what, next, instead) = match purpose {
            Purpose::Model => {
                ("model", "name a GGUF file with --model, or give --model ember", "--model ember")
            }
            Purpose::Adapter => ("voice", "name an adapter with --lora, or give --lora none", "--lora none"),
        };
        let metadata = fs::metadata(path).with_context(|| format!("cannot open {what} {path:?}; {next}"))?;
        ensure!(!metadata.is_dir(), "{what} {path:?} is a folder; {next}");
        // A pipe or a device would be read without end.
        ensure!(metadata.is_file(), "{what} {path:?} is not a regular file; {next}");
        ensure!(metadata.len() > 0, "{what} {path:?} is empty; copy or download it again, or give {instead}");
        let vectors = match gguf::check_path(path, purpose) {
            Ok(vectors) => vectors,
            Err(fault) if purpose == Purpose::Model => {
                bail!("{what} {path:?} cannot be used: {fault}; {}", fault.next())
            }
            Err(fault) => bail!("{what} {path:?} cannot be used: {fault}; {next}"),
        };
        ensure!(path.to_str().is_some(), "{what} {path:?} has a name that is not UTF-8; rename it");
        let is_default = File::open(path).and_then(|file| voice::is_default_model(&file, vectors));
        let is_default = is_default.with_context(|| format!("cannot read {what} {path:?}; {next}"))?;
        Ok(Self { name: format!("{path:?}"), path: path.to_path_buf(), memory: None, is_default })
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
        let changed = [metadata.mtime().to_le_bytes(), metadata.mtime_nsec().to_le_bytes()].concat();
        // A file in memory is created anew for each life, so its time is left out.
        hash::samples(file, if self.memory.is_none() { &changed } else { &[] })
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
    pub fn fingerprint(&self) -> io::Result<String> {
        Ok(hash::hex(&hash::samples(File::open(&self.path)?, &[])?[..8]))
    }

    /// Whether it is part of the program, as ember is.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.memory.is_some()
    }

    /// The path of the file; valid until this value is dropped.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
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
    fn a_name_is_ember_a_path_a_repository_or_an_address_as_people_copy_it() {
        let file = "https://huggingface.co/me/r/resolve/main/m.gguf";
        for text in [
            file,
            "huggingface.co/me/r/resolve/main/m.gguf",
            "https://huggingface.co/me/r/blob/main/m.gguf",
            "huggingface.co/me/r/blob/main/m.gguf?download=true",
        ] {
            assert_eq!(ModelName::from(PathBuf::from(text)), ModelName::Url(file.to_owned()), "{text}");
        }
        let other = "https://example.org/blob/m.gguf?download=true";
        assert_eq!(ModelName::from(PathBuf::from(other)), ModelName::Url(other.to_owned()));
        assert_eq!(ModelName::from(PathBuf::from("ember")), ModelName::Ember);
        assert!(matches!(ModelName::from(PathBuf::from("me/r:Q4_0")), ModelName::Repository(_)));
        for path in ["./ember", "models/huggingface.co/m.gguf"].map(PathBuf::from) {
            assert_eq!(ModelName::from(path.clone()), ModelName::Path(path));
        }
    }

    #[test]
    fn a_copy_of_a_model_has_its_fingerprint_and_a_changed_one_has_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ember =
            ModelFile::built_in("ember", EMBER).expect("a file in memory").fingerprint().expect("it is read");
        assert_eq!(ember.len(), 16);
        let path = folder.path().join("copy.gguf");
        let fingerprint = |content: &[u8]| {
            fs::write(&path, content).expect("a file");
            let file = ModelFile { name: String::new(), path: path.clone(), memory: None, is_default: false };
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
}
