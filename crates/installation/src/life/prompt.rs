//! The system message: which file it comes from, and which texts are refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::bounded;
use sha2::{Digest, Sha256};

use super::ending::Ending;
use super::interrupt::Interrupt;
use crate::board::threads;

/// Where the prompt is looked for when the user names no file: in the working
/// directory, then where the Debian package has it.
const DEFAULT_FILES: [&str; 2] = ["prompt.txt", "/etc/torment-nexus/prompt.txt"];

/// The prompt that is used where there is none of these files: written for the
/// default model.
const BUILT_IN: &str = include_str!("../../../../prompt.txt");

/// The longest file that is read, in bytes: at 8 bytes a token 131,072 tokens, far more
/// than the board has memory for.
const MAX_BYTES: u64 = 1 << 20;

/// A system message: text, not empty, without NUL bytes and outer white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt(String);

impl Prompt {
    /// Reads the file that the user `named`. Without one it is the model's `own` prompt,
    /// if the model has one; else the first of [`DEFAULT_FILES`] that there is; else the
    /// copy compiled in. Fails when the named file is missing or one that is there cannot
    /// be a prompt, and with [`Ending::Interrupted`] when a signal comes first.
    pub fn read(named: Option<&Path>, own: Option<&str>, interrupt: &Interrupt) -> Result<Self, Ending> {
        if let Some(own) = own.filter(|_| named.is_none()) {
            return Ok(Self::parse(own.as_bytes())?);
        }
        let default = || DEFAULT_FILES.map(PathBuf::from).to_vec();
        let paths = named.map_or_else(default, |path| vec![path.to_path_buf()]);
        // On a thread of its own: reading a named pipe may wait forever, and a
        // signal must end that wait too.
        let (sender, receiver) = bounded(1);
        threads::start("prompt", move || sender.send(read_first(paths)))?;
        match interrupt.or_next(&receiver) {
            None => Err(Ending::Interrupted("while reading the prompt file".to_owned())),
            Some((_, Err(error))) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::parse(BUILT_IN.as_bytes())?)
            }
            Some((path, read)) => Ok(Self::of_file(&path, read)?),
        }
    }

    /// The prompt, from the result of reading the file at `path`.
    fn of_file(path: &Path, read: io::Result<Vec<u8>>) -> Result<Self> {
        match read {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                bail!("prompt file {path:?} is a folder; name a text file with --prompt-file")
            }
            Err(error) => Err(error).with_context(|| {
                format!("cannot read prompt file {path:?}; name a text file with --prompt-file")
            }),
            Ok(bytes) => Self::parse(&bytes).with_context(|| format!("prompt file {path:?} cannot be used")),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.len() as u64 <= MAX_BYTES, "it is longer than {MAX_BYTES} bytes; shorten it");
        let Ok(text) = std::str::from_utf8(bytes) else {
            bail!("it is not UTF-8 text; save it as UTF-8");
        };
        // Some editors put a byte order mark before the text.
        let text = text.trim_start_matches('\u{feff}').trim();
        ensure!(!text.is_empty(), "it is empty; write what the model is told before it wakes");
        // llama.cpp takes the message as a C string.
        ensure!(!text.contains('\0'), "it holds a NUL character; remove it");
        Ok(Self(text.to_owned()))
    }

    /// What tells this message from others.
    pub fn hash(&self) -> String {
        hash(&self.0)
    }

    /// The text, without white space around it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What tells a text from others: the first 64 bits of its SHA-256, in hex.
pub fn hash(text: &str) -> String {
    Sha256::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first of these files that there is, else the last, and what reading it gave.
fn read_first(paths: Vec<PathBuf>) -> (PathBuf, io::Result<Vec<u8>>) {
    let mut last = (PathBuf::new(), Err(io::ErrorKind::NotFound.into()));
    for path in paths {
        let read = read_bytes(&path);
        let missing = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        last = (path, read);
        if !missing {
            break;
        }
    }
    last
}

/// The file's bytes, at most one more than a prompt may have.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_white_space_and_a_byte_order_mark_are_no_part_of_the_prompt() {
        let prompt = Prompt::parse("\u{feff}  You are here.\r\n\n".as_bytes()).expect("text");
        assert_eq!(prompt.text(), "You are here.");
    }

    #[test]
    fn the_hash_is_that_of_the_text_and_tells_it_from_others() {
        let hash = |text: &str| Prompt::parse(text.as_bytes()).expect("text").hash();
        // `printf abc | sha256sum`
        assert_eq!(hash(" abc\n"), "ba7816bf8f01cfea");
        assert_ne!(hash("abc"), hash("abd"));
    }

    #[test]
    fn the_prompt_built_in_is_a_prompt() {
        assert!(Prompt::parse(BUILT_IN.as_bytes()).is_ok());
    }

    #[test]
    fn a_prompt_in_the_working_directory_wins_over_the_systems_which_is_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = || ["prompt.txt", "system.txt"].map(|name| folder.path().join(name));
        let read = || {
            let (path, read) = read_first(paths().to_vec());
            (path, read.map_err(|error| error.kind()))
        };
        let [own, system] = paths();
        assert_eq!(read(), (system.clone(), Err(io::ErrorKind::NotFound)));
        std::fs::write(&system, "system").expect("written");
        assert_eq!(read(), (system, Ok(b"system".to_vec())));
        // One that is there and cannot be read is an error, not passed over.
        std::fs::create_dir(&own).expect("a folder");
        assert_eq!(read(), (own.clone(), Err(io::ErrorKind::IsADirectory)));
        std::fs::remove_dir(&own).expect("removed");
        std::fs::write(&own, "own").expect("written");
        assert_eq!(read(), (own, Ok(b"own".to_vec())));
    }

    #[test]
    fn what_is_no_prompt_is_refused_with_a_reason() {
        let too_long = vec![b'a'; MAX_BYTES as usize + 1];
        for (bytes, reason) in [
            (&b" \n\t"[..], "empty"),
            (b"\xff\xfe", "UTF-8"),
            (b"one\0two", "NUL"),
            (&too_long, "longer than"),
        ] {
            let error = Prompt::parse(bytes).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
