//! Warnings and reports on stderr. Writing them never fails and never panics:
//! a closed stderr must not change how the program ends. Nor does one that nobody reads
//! hold a life back: after a moment what is said is lost, and once somebody reads again,
//! how many lines were.
//!
//! What goes on ([`show`]: how far the model is downloaded or loaded, what is waited
//! for) is on a terminal one line, which passes: it is drawn again below what is said
//! meanwhile. Elsewhere it has lines that stay, and whoever shows it sees to it that
//! they are few.

use std::fmt::Display;
use std::io::{self, Write};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::terminal;
use super::writer::Writer;

/// Back to the first column, and erases the line (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// Pause before it is looked again whether the program was asked to end.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the reader is waited for, from when it has fallen behind, and once the program
/// was asked to end.
const PATIENCE: Duration = Duration::from_secs(2);
const HURRIED: Duration = Duration::from_millis(200);

/// Whether the program was asked to end.
static HURRY: AtomicBool = AtomicBool::new(false);

static STDERR: Mutex<Stderr> = Mutex::new(Stderr {
    line: StatusLine { shown: String::new(), passes: false },
    writer: None,
    behind: None,
    lost: 0,
});

#[derive(Debug)]
struct Stderr {
    line: StatusLine,
    /// From the first words on, where a thread can be started.
    writer: Option<Writer>,
    /// Since when it has not taken what was written last.
    behind: Option<Instant>,
    /// Lines that were not written since.
    lost: usize,
}

impl Stderr {
    /// Waits until all is written, for a moment if nobody reads. Returns whether it is.
    fn settles(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return true };
        let mut pause = Duration::ZERO;
        while writer.settle(pause).is_none() {
            let patience = if HURRY.load(Ordering::Relaxed) { HURRIED } else { PATIENCE };
            if self.behind.get_or_insert_with(Instant::now).elapsed() >= patience {
                return false;
            }
            pause = PAUSE;
        }
        self.behind = None;
        true
    }

    /// Writes these bytes, after those before have settled.
    fn write(&mut self, bytes: &str) {
        if self.writer.is_none() {
            self.writer = Writer::new(io::stderr()).ok();
        }
        match &mut self.writer {
            Some(writer) => writer.begin(bytes.as_bytes()),
            None => drop(io::stderr().write_all(bytes.as_bytes())),
        }
        self.settles();
    }

    fn say(&mut self, words: &str) {
        if !self.settles() {
            self.lost += words.lines().count();
            return;
        }
        // Put together first: stderr is not buffered, and a line leaves in one write.
        let lost = match std::mem::take(&mut self.lost) {
            0 => String::new(),
            lost => format!("warning: lines lost here, as nobody read stderr: {lost}\n"),
        };
        let bytes = self.line.below(&(lost + words));
        self.write(&bytes);
    }
}

/// What goes on, as it was shown last.
#[derive(Debug)]
struct StatusLine {
    /// Empty if nothing is shown.
    shown: String,
    /// Whether that is the last line of a terminal.
    passes: bool,
}

impl StatusLine {
    /// The bytes that say `words` above the line.
    fn below(&self, words: &str) -> String {
        if self.passes { format!("{ERASE}{words}{}", self.shown) } else { words.to_owned() }
    }

    /// The bytes that show `words` in place of the line before, on a terminal of so
    /// many `columns`, the last of which stays free, where some terminals wrap; or in a
    /// line that stays. `None` if that is shown already.
    fn becomes(&mut self, words: &str, columns: Option<usize>) -> Option<String> {
        let shown: String = words.chars().take(columns.map_or(usize::MAX, |columns| columns - 1)).collect();
        if self.shown == shown {
            return None;
        }
        *self = Self { shown, passes: columns.is_some() };
        Some(if self.passes { format!("{ERASE}{}", self.shown) } else { format!("{words}\n") })
    }

    /// Forgets it; whether it has to be erased.
    fn ends(&mut self) -> bool {
        self.shown.clear();
        std::mem::take(&mut self.passes)
    }
}

/// Writes `words`, which end their line, to stderr. `eprint!` panics on a closed
/// stderr; clippy refuses it in this crate. What is in the words may come from anywhere:
/// their control characters are written out, as a terminal obeys them.
pub fn say(words: impl Display) {
    say_as_it_is(&printable(&words.to_string()));
}

/// The same for words of the program's own, which may hold escape sequences.
pub(crate) fn say_as_it_is(words: &str) {
    stderr().say(words);
}

/// `words` with each control character but the end of a line as `\u{1b}`.
fn printable(words: &str) -> String {
    let one = |letter: char| match letter.is_control() && !"\n\t".contains(letter) {
        true => letter.escape_unicode().to_string(),
        false => letter.to_string(),
    };
    words.chars().map(one).collect()
}

/// Says `words` on a line of their own that begins with `warning:`.
pub fn warn(words: impl Display) {
    say(format_args!("warning: {words}\n"));
}

/// From now on nothing waits for the reader of stderr for more than a moment: the
/// program was asked to end.
pub(crate) fn hurry() {
    HURRY.store(true, Ordering::Relaxed);
}

/// Whether what goes on is shown in one line that passes.
pub fn passes() -> bool {
    terminal::stderr_has_escapes()
}

/// Shows what goes on, in place of what was shown before; the same words only once.
/// Left out where nobody reads.
pub fn show(words: &str) {
    let columns = passes().then(|| terminal::columns(io::stderr()).unwrap_or(usize::MAX));
    let mut stderr = stderr();
    if stderr.settles()
        && let Some(bytes) = stderr.line.becomes(&printable(words), columns)
    {
        stderr.write(&bytes);
    }
}

/// Erases the line that passes, if there is one.
pub fn clear() {
    let mut stderr = stderr();
    if stderr.line.ends() && stderr.settles() {
        stderr.write(ERASE);
    }
}

/// Writes these parts of a line as they are, in place of the line that passes.
/// Waits for no lock: safe in a signal handler.
pub(crate) fn say_at_once<'a>(parts: impl IntoIterator<Item = &'a str>) {
    let passes = STDERR.try_lock().is_ok_and(|stderr| stderr.line.passes);
    let erase = if passes { ERASE } else { "" };
    for part in iter::once(erase).chain(parts) {
        // SAFETY: the pointer and the length are those of a text.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

fn stderr() -> MutexGuard<'static, Stderr> {
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: StatusLine = StatusLine { shown: String::new(), passes: false };

    /// What a terminal of 30 columns shows after these bytes.
    fn screen(bytes: &str) -> String {
        let mut terminal = vt100::Parser::new(6, 30, 0);
        // As the terminal's driver does with a line feed.
        terminal.process(bytes.replace('\n', "\r\n").as_bytes());
        terminal.screen().contents()
    }

    #[test]
    fn the_line_that_passes_gives_way_to_the_next_one_and_goes() {
        let mut line = NONE;
        let mut bytes = String::new();
        let waits = "waiting for a press";
        for shown in ["loading ember: 40 %", "loading ember: 100 %", waits, waits, "closed"] {
            bytes += &line.becomes(shown, Some(30)).unwrap_or_default();
            assert_eq!(screen(&bytes), shown);
        }
        assert_eq!(line.becomes("closed", Some(30)), None, "it is drawn again");
        assert!(line.ends());
        bytes += ERASE;
        assert_eq!(screen(&bytes), "");
        assert!(!line.ends());
        assert_eq!(screen(&(bytes + &line.below("the thought"))), "the thought");
    }

    #[test]
    fn what_is_said_meanwhile_stands_above_the_line_that_passes() {
        let mut line = NONE;
        let shown = line.becomes("waiting for a press", Some(30)).expect("it is new");
        let bytes = shown + &line.below("warning: the button is down\n");
        assert_eq!(screen(&bytes), "warning: the button is down\nwaiting for a press");
    }

    #[test]
    fn a_line_that_passes_never_wraps() {
        let long = "loading a model with a very long name: 40 %";
        let mut line = NONE;
        let bytes = line.becomes(long, Some(30)).expect("it is new");
        assert_eq!(screen(&bytes), long[..29]);
    }

    #[test]
    fn without_a_terminal_a_wait_is_told_once_until_another_takes_its_place() {
        let mut line = NONE;
        let waits = ["press", "press", "closed", "closed", "press"];
        let told: Vec<_> = waits.into_iter().filter_map(|what| line.becomes(what, None)).collect();
        assert_eq!(told, ["press\n", "closed\n", "press\n"]);
        assert_eq!(line.below("said\n"), "said\n");
        assert!(!line.ends(), "nothing is to be erased");
    }
}
