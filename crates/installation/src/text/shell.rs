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

/// The assignments of a file such as systemd's EnvironmentFile: `NAME=value`, one a
/// line, quoted as for a shell; lines that begin with `#` are left out.
#[must_use]
pub fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let assignment = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), shlex::split(value)?.join(" ")))
    };
    lines.filter_map(assignment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exhibitions_file_is_read_as_systemd_reads_it() {
        let read = assignments(include_str!("../../../../hardware/default"));
        let value = |name: &str| read.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("TORMENT_BUTTON"), Some("23"));
        assert_eq!(value("TORMENT_NEVER"), Some("/etc/torment-nexus/never.txt"));
        assert_eq!(value("#TORMENT_MODEL"), None);
        let quoted = assignments("OPENING=\"I woke in a box.\"\nTITLE='\"A\" #1'\n");
        assert_eq!(
            quoted,
            [("OPENING", "I woke in a box."), ("TITLE", "\"A\" #1")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
