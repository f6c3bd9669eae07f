//! The voice: a low-rank adapter (LoRA) that changes how a model writes. The default
//! model has one of its own, which is built into the program.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::gguf::Vector;
use super::hash::hex;

/// The default model's voice, compiled into the program; `models/voice` has its making.
pub(super) static VOICE: &[u8] = include_bytes!("../../../models/voice/voice.gguf");

/// By what the default model is known in every quantization, since none changes them (nor
/// do fine-tunes that train matrices alone, which get its voice too): the SHA-256 of its 61 norms, each with its name before it, in the order of the names.
const NORMS: usize = 61;
/// No norm of it is longer, in bytes.
const NORM_BYTES: u64 = 576 * 4;
const NORMS_SHA256: &str = "f533602005b957510cfe9ec30edf74e76d27142601bd02996fdb64b0c4b9f191";

/// What `--lora` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lora {
    /// No voice: the model as published.
    None,
    /// An adapter's file. `./none` is a file of that name.
    Path(PathBuf),
}

impl From<PathBuf> for Lora {
    fn from(name: PathBuf) -> Self {
        if name.as_os_str() == "none" { Self::None } else { Self::Path(name) }
    }
}

/// Whether a file with these vectors of f32 is the default model, in any quantization.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn is_default_model(file: &File, mut vectors: Vec<Vector>) -> io::Result<bool> {
    if vectors.len() != NORMS || vectors.iter().any(|vector| vector.bytes > NORM_BYTES) {
        return Ok(false);
    }
    vectors.sort_by(|one, other| one.name.cmp(&other.name));
    let mut digest = Sha256::new();
    for Vector { name, start, bytes } in vectors {
        let mut numbers = vec![0; bytes as usize];
        file.read_exact_at(&mut numbers, start)?;
        digest.update(name);
        digest.update(numbers);
    }
    Ok(hex(&digest.finalize()) == NORMS_SHA256)
}
