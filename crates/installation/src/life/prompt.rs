//! The system message: which file it comes from, and which texts are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::text::file;

/// Where the prompt is looked for when the user names no file: in the working
/// directory, then where the Debian package has it.
const DEFAULT_FILES: [&str; 2] = ["prompt.txt", "/etc/torment-nexus/prompt.txt"];

/// The prompt that is used where there is none of these files: written for the
/// default model.
const BUILT_IN: &str = include_str!("../../../../prompt.txt");

/// A system message: text, not empty, without NUL bytes and outer white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt(String);

impl Prompt {
    /// Reads the file that the user `named`. Without one it is the model's `own` prompt,
    /// if the model has one; else the first of [`DEFAULT_FILES`] that there is; else the
    /// copy compiled in. Fails when the named file is missing, and when one that is there
    /// cannot be a prompt.
    pub fn read(named: Option<&Path>, own: Option<&str>) -> Result<Self> {
        let path = match (named, own) {
            (None, Some(own)) => return Self::parse(own),
            (None, None) => first_of(DEFAULT_FILES.map(PathBuf::from)),
            (Some(path), _) => Some(path.to_owned()),
        };
        let Some(path) = path else { return Self::parse(BUILT_IN) };
        let text = file::text_of(&path, "--prompt-file")?;
        Self::parse(&text).with_context(|| format!("prompt file {path:?} cannot be used"))
    }

    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
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

/// The first of these files that there is, whether it can be read or not.
fn first_of(paths: [PathBuf; 2]) -> Option<PathBuf> {
    paths.into_iter().find(|path| path.try_exists().unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_text_and_tells_it_from_others() {
        let hash = |text: &str| Prompt::parse(text).expect("text").hash();
        // `printf abc | sha256sum`
        assert_eq!(hash(" abc\n"), "ba7816bf8f01cfea");
        assert_ne!(hash("abc"), hash("abd"));
    }

    #[test]
    fn a_prompt_in_the_working_directory_wins_over_the_systems_which_is_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let [own, system] = ["prompt.txt", "system.txt"].map(|name| folder.path().join(name));
        let first = || first_of([own.clone(), system.clone()]);
        assert_eq!(first(), None);
        std::fs::write(&system, "system").expect("written");
        assert_eq!(first().as_ref(), Some(&system));
        // One that is there and cannot be read is an error, not passed over.
        std::fs::create_dir(&own).expect("a folder");
        assert_eq!(first(), Some(own));
    }
}
