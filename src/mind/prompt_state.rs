//! The prompt state: the KV cache of the prompt, kept in a file for the next
//! life.
//!
//! One file in the state folder holds the cache for all tokens of the prompt
//! but the last, which every life decodes itself. The file is replaced whole
//! and holds a checksum, because llama.cpp accepts damaged bytes. A file that
//! is missing, not whole, or of another model, prompt, context or program is
//! ignored without a warning and written anew.
//!
//! The model is identified by its file's length, modification time and 64
//! samples, since hashing all of it would take the board longer than the prompt.
//! A file that is changed in place between the samples, and then given its old
//! modification time back, counts as the same model: delete the state folder's
//! `prompt-state` after that.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `NEXUSKV1` |
//! | 8 | 32 | the [`StateKey`] |
//! | 40 | 8 | length of the state, little-endian |
//! | 48 | 32 | SHA-256 of the state |
//! | 80 | … | the state, as llama.cpp serialises a sequence |

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use installation::state::regular;
use installation::state::replace::replace;

/// What the file begins with; the digit is the version of the table above.
const MAGIC: [u8; 8] = *b"NEXUSKV1";

const HEADER: usize = MAGIC.len() + 32 + 8 + 32;

/// A hash of everything that a prompt state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateKey([u8; 32]);

impl StateKey {
    /// The key of these parts, in this order.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // With its length, so that two lists of parts with the same
            // concatenation differ.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// Why a file is not used.
#[derive(Debug)]
pub enum Unusable {
    /// It is not there.
    Absent,
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is the state of another model, prompt, context or program, or none at all.
    Foreign,
    /// It is not whole, its checksum does not match, or llama.cpp refuses its content.
    Damaged,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none is kept yet"),
            Self::Unreadable(error) => write!(f, "the kept one cannot be read: {error}"),
            Self::Foreign => f.write_str("the kept one is of another model, prompt, context or version"),
            Self::Damaged => f.write_str("the kept one is damaged"),
        }
    }
}

/// The file of the prompt state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptState(PathBuf);

impl PromptState {
    /// The file in the folder `state_folder`.
    #[must_use]
    pub fn within(state_folder: &Path) -> Self {
        Self(state_folder.join("prompt-state"))
    }

    /// Reads the state that was kept under `key`.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be used: [`Unusable`] says why.
    pub fn read(&self, key: StateKey) -> Result<Vec<u8>, Unusable> {
        let unusable = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => Unusable::Absent,
            ErrorKind::UnexpectedEof => Unusable::Damaged,
            _ => Unusable::Unreadable(error),
        };
        let mut file = regular::open(&self.0).map_err(unusable)?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(unusable)?;
        let (whose, rest) = header.split_at(MAGIC.len() + key.0.len());
        let (length, checksum) = rest.split_at(8);
        if whose != [&MAGIC[..], &key.0].concat() {
            return Err(Unusable::Foreign);
        }
        // Before it is read: a damaged length could ask for any amount of memory.
        let whole = file.metadata().map_err(unusable)?.len();
        if whole.saturating_sub(HEADER as u64).to_le_bytes() != *length {
            return Err(Unusable::Damaged);
        }
        let mut state = Vec::new();
        file.read_to_end(&mut state).map_err(unusable)?;
        if Sha256::digest(&state)[..] != *checksum {
            return Err(Unusable::Damaged);
        }
        Ok(state)
    }

    /// Keeps `state` under `key`, in place of what was kept before.
    ///
    /// # Errors
    ///
    /// When it cannot be written; what was kept before is then still there.
    pub fn write(&self, key: StateKey, state: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let length = (state.len() as u64).to_le_bytes();
        replace(&self.0, &[&MAGIC, &key.0, &length, &Sha256::digest(state), state])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &[u8] = b"what the model made of it";

    fn kept() -> (tempfile::TempDir, PromptState, StateKey) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kept = PromptState::within(&folder.path().join("state"));
        let key = StateKey::of(&[b"model", b"prompt"]);
        kept.write(key, STATE).expect("a state is kept");
        (folder, kept, key)
    }

    #[test]
    fn what_was_kept_comes_back_for_its_own_key_only() {
        let (_folder, kept, key) = kept();
        assert_eq!(kept.read(key).expect("it is kept"), STATE);
        assert!(matches!(kept.read(StateKey::of(&[b"other"])), Err(Unusable::Foreign)));
    }

    #[test]
    fn keys_of_other_parts_differ_even_where_they_run_together_to_the_same() {
        assert_ne!(StateKey::of(&[b"ab", b"c"]), StateKey::of(&[b"a", b"bc"]));
        assert_ne!(StateKey::of(&[b"a"]), StateKey::of(&[b"a", b""]));
    }

    #[test]
    fn a_file_cut_short_at_any_byte_or_grown_is_passed_over() {
        let (_folder, kept, key) = kept();
        let whole = fs::read(&kept.0).expect("the file");
        for length in 0..whole.len() {
            fs::write(&kept.0, &whole[..length]).expect("a shorter file");
            assert!(matches!(kept.read(key), Err(Unusable::Damaged)), "{length} bytes were taken");
        }
        fs::write(&kept.0, [&whole[..], b"!"].concat()).expect("a longer file");
        assert!(matches!(kept.read(key), Err(Unusable::Damaged)));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let (_folder, kept, key) = kept();
        let whole = fs::read(&kept.0).expect("the file");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&kept.0, flipped).expect("a damaged file");
            assert!(kept.read(key).is_err(), "bit {bit} was not noticed");
        }
    }
}
