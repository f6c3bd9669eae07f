//! The terminal behind a stream: its width, its colours, and the wait for its reader. The
//! only user of terminal_size.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The width of a terminal in columns; `None` if it is none, or does not say.
#[must_use]
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(width, _)| width.0.into())
}

/// Waits for the reader of a stream that was written to its full.
pub(crate) fn wait_until_it_takes_some(stream: impl AsFd) {
    // A failure is that of the next write too.
    let _ = poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
}

/// Whether stderr is a terminal that knows escape sequences.
#[must_use]
pub(crate) fn stderr_has_escapes() -> bool {
    io::stderr().is_terminal() && knows_escapes(env::var_os("TERM").as_deref())
}

/// Whether stderr is a terminal that has colours, and nobody has asked for none
/// (<https://no-color.org>).
#[must_use]
pub(crate) fn stderr_has_colour() -> bool {
    stderr_has_escapes() && is_colour_wanted(env::var_os("NO_COLOR").as_deref())
}

fn knows_escapes(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

fn is_colour_wanted(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_have_it_and_people_who_want_it() {
        let term = |name: &str| knows_escapes(Some(OsStr::new(name)));
        assert!(term("xterm-256color") && term("linux"));
        assert!(!term("dumb") && !term("") && !knows_escapes(None));
        assert!(is_colour_wanted(None) && is_colour_wanted(Some(OsStr::new(""))));
        assert!(!is_colour_wanted(Some(OsStr::new("1"))));
    }

    #[test]
    fn what_is_no_terminal_has_no_columns() {
        let file = tempfile::tempfile().expect("a file");
        assert_eq!(columns(&file), None);
    }
}
