//! Warnings and reports on stderr. Writing them never fails and never panics:
//! a closed stderr must not change how the program ends.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes `words` to stderr as they are. `eprint!` panics on a closed stderr;
/// clippy refuses it in this crate.
pub(crate) fn say(words: impl Display) {
    let mut stderr = io::stderr().lock();
    // Formatted first: stderr is not buffered, and a line leaves in one write.
    let _ = stderr.write_all(words.to_string().as_bytes()).and_then(|()| stderr.flush());
}

/// Says `words` on a line of their own that begins with `warning:`.
pub(crate) fn warn(words: impl Display) {
    say(format_args!("warning: {words}\n"));
}
