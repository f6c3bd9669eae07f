//! Warnings and reports on stderr. Writing them never fails and never panics:
//! a closed stderr must not change how the program ends.
//!
//! On a terminal the last line may be one that passes ([`show`]): how far the model
//! is loaded, what is waited for. It is drawn again below what is said meanwhile.

use std::fmt::Display;
use std::io::{self, Write};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthChar;

use super::terminal;

/// Back to the first column, and erases the line (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// Pause before a stderr whose reader does not keep up is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long such a reader is waited for once the program was asked to end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether the program was asked to end.
static HURRY: AtomicBool = AtomicBool::new(false);

/// The line that passes.
static LINE: Mutex<Line> = Mutex::new(Line(None));

/// The line that passes, while it is shown; and what is written to change it.
#[derive(Debug)]
struct Line(Option<String>);

impl Line {
    /// The bytes that say `words` above the line.
    fn below(&self, words: &str) -> String {
        match &self.0 {
            None => words.to_owned(),
            Some(line) if words.ends_with('\n') => format!("{ERASE}{words}{line}"),
            Some(_) => format!("{ERASE}{words}"),
        }
    }

    /// The bytes that show `line` in place of the one before, on a terminal of so many
    /// columns; the last stays free, where some terminals wrap. `None` if it is shown.
    fn becomes(&mut self, line: &str, columns: usize) -> Option<String> {
        let mut width = 0;
        let fits = |letter: &char| {
            width += letter.width().unwrap_or(0);
            width < columns
        };
        let line: String = line.chars().take_while(fits).collect();
        (self.0.as_ref() != Some(&line)).then(|| {
            let bytes = format!("{ERASE}{line}");
            self.0 = Some(line);
            bytes
        })
    }

    /// The bytes that erase it; `None` if there is none.
    fn ends(&mut self) -> Option<&'static str> {
        self.0.take().map(|_| ERASE)
    }
}

/// Writes `words` to stderr as they are. `eprint!` panics on a closed stderr;
/// clippy refuses it in this crate. A stderr that nobody reads, such as a terminal
/// after Ctrl-S, is waited for until [`hurry`].
pub(crate) fn say(words: impl Display) {
    let words = words.to_string();
    if !is_ready() && !becomes_ready() {
        return;
    }
    let line = line();
    // Put together first: stderr is not buffered, and a line leaves in one write.
    write(&line.below(&words));
}

/// Says `words` on a line of their own that begins with `warning:`.
pub(crate) fn warn(words: impl Display) {
    say(format_args!("warning: {words}\n"));
}

/// From now on nothing waits for the reader of stderr for more than a moment: the
/// program was asked to end.
pub(crate) fn hurry() {
    HURRY.store(true, Ordering::Relaxed);
}

/// Shows a line that passes, in place of the one before: for a stderr of which
/// [`terminal::stderr_has_escapes`]. It is cut at the terminal's width, and left out
/// where it would have to wait.
pub(crate) fn show(line: &str) {
    let columns = terminal::columns(io::stderr()).unwrap_or(usize::MAX);
    let mut shown = self::line();
    if is_ready()
        && let Some(bytes) = shown.becomes(line, columns)
    {
        write(&bytes);
    }
}

/// Erases the line that passes, if there is one.
pub(crate) fn clear() {
    let Some(bytes) = line().ends() else { return };
    if is_ready() || becomes_ready() {
        write(bytes);
    }
}

/// Writes these parts of a line as they are, in place of the line that passes.
/// Waits for no lock: safe in a signal handler.
pub(crate) fn say_at_once<'a>(parts: impl IntoIterator<Item = &'a str>) {
    let is_shown = LINE.try_lock().is_ok_and(|line| line.0.is_some());
    let erase = if is_shown { ERASE } else { "" };
    for part in iter::once(erase).chain(parts) {
        // SAFETY: the pointer and the length are those of a text.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(words: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(words.as_bytes()).and_then(|()| stderr.flush());
}

/// Whether a write to stderr would not wait. A file, or a stderr that is closed, is
/// always ready.
fn is_ready() -> bool {
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one `pollfd` is passed, and the call does not wait.
    unsafe { libc::poll(&raw mut stderr, 1, 0) != 0 }
}

/// Waits until stderr is ready, or for a moment once the program was asked to end.
/// Returns whether it is ready.
fn becomes_ready() -> bool {
    let mut asked = None;
    while !is_ready() {
        if HURRY.load(Ordering::Relaxed) && asked.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal of 30 columns shows after these bytes.
    fn screen(bytes: &str) -> String {
        let mut terminal = vt100::Parser::new(6, 30, 0);
        // As the terminal's driver does with a line feed.
        terminal.process(bytes.replace('\n', "\r\n").as_bytes());
        terminal.screen().contents()
    }

    #[test]
    fn the_line_that_passes_gives_way_to_the_next_one_and_goes() {
        let mut line = Line(None);
        let mut bytes = String::new();
        let waits = "waiting for a press";
        for shown in ["loading ember: 40 %", "loading ember: 100 %", waits, waits, "closed"] {
            bytes += &line.becomes(shown, 30).unwrap_or_default();
            assert_eq!(screen(&bytes), shown);
        }
        assert_eq!(line.becomes("closed", 30), None, "it is drawn again");
        bytes += line.ends().expect("it is shown");
        assert_eq!(screen(&bytes), "");
        assert_eq!(line.ends(), None);
        assert_eq!(screen(&(bytes + &line.below("the thought"))), "the thought");
    }

    #[test]
    fn what_is_said_meanwhile_stands_above_the_line_that_passes() {
        let mut line = Line(None);
        let shown = line.becomes("waiting for a press", 30).expect("it is new");
        let bytes = shown + &line.below("warning: the button is down\n");
        assert_eq!(screen(&bytes), "warning: the button is down\nwaiting for a press");
    }

    #[test]
    fn a_line_that_passes_never_wraps() {
        let long = "loading a model with a very long name: 40 %";
        let bytes = Line(None).becomes(long, 30).expect("it is new");
        assert_eq!(screen(&bytes), long[..29]);
    }
}
