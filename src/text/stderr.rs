//! Words on stderr that never change how a life ends.

use std::io::{self, Write};

/// Writes `words` to stderr where there is one. `eprint!` panics on a closed
/// stderr, which would turn one ending into another; clippy refuses it in
/// this crate.
pub fn say(words: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(words.as_bytes()).and_then(|()| stderr.flush());
}
