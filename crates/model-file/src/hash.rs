//! The SHA-256 of a model file: of all of it, and of samples of it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use installation::life::interrupt::Interrupt;

/// How much of a model is hashed to identify it: samples of a page each, evenly
/// spread over the file. 256 KB take the board some 5 ms.
const SAMPLES: u64 = 64;
const SAMPLE: u64 = 4096;

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of what is left of a file, in hexadecimal. The supervisor is told
/// that a start makes progress.
///
/// # Errors
///
/// When it cannot be read, or [`ErrorKind::Interrupted`] when a signal came.
pub(super) fn sha256(mut file: File, interrupt: &Interrupt) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&digest.finalize())),
            length => digest.update(&piece[..length]),
        }
        if interrupt.is_raised() {
            return Err(ErrorKind::Interrupted.into());
        }
        interrupt.is_starting();
    }
}

/// The SHA-256 of a file's length, of 64 samples of its content, and of `also`.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn samples(mut file: File, also: &[u8]) -> io::Result<[u8; 32]> {
    let length = file.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    digest.update(also);
    let mut piece = Vec::new();
    for sample in 0..SAMPLES {
        piece.clear();
        file.seek(SeekFrom::Start(length.saturating_sub(SAMPLE) * sample / (SAMPLES - 1)))?;
        file.by_ref().take(SAMPLE).read_to_end(&mut piece)?;
        digest.update(&piece);
    }
    Ok(digest.finalize().into())
}
