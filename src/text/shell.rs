//! Words of a command line that a person may copy into a shell.

/// `text` as one word of a POSIX shell, quoted where it has to be.
#[must_use]
pub(crate) fn word(text: &str) -> String {
    // A NUL, which no argument can hold, is the only text that has no quotation.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Into::into)
}
