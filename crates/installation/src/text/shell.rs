//! Words of a command line that a person may copy into a shell.

/// The words of a line, with their quotation taken off; `None` if a quotation has
/// no end.
#[must_use]
pub fn words(line: &str) -> Option<Vec<String>> {
    shlex::split(line)
}

/// An option and its value, as `--name value`; as `--name=value` where the value
/// could be taken for an option.
#[must_use]
pub fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("--{name}{between}{}", word(value))
}

/// `text` as one word of a POSIX shell, quoted where it has to be.
#[must_use]
pub(crate) fn word(text: &str) -> String {
    // A NUL, which no argument can hold, is the only text that has no quotation.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Into::into)
}
