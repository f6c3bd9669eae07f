//! The progress of a download on stderr: a bar on a terminal, elsewhere a line
//! at every 10 %. The only user of indicatif.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::stderr::say;

/// Bytes between two lines if the size of the file is unknown: about a sixth of
/// the default model.
const STEP: u64 = 16_000_000;

/// A number of bytes in decimal units, as `3.77 MB`.
#[must_use]
pub(super) fn bytes(count: u64) -> String {
    DecimalBytes(count).to_string()
}

/// A download's progress on stderr.
#[derive(Debug)]
pub(super) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a journal or a file.
    Lines(Lines),
}

impl Progress {
    /// The progress of `name`, of which `from` bytes of `size` were there
    /// before. A bar is drawn at once, a line only by [`Progress::at`].
    #[must_use]
    pub(super) fn new(name: &str, from: u64, size: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(Lines::new(name, from, size));
        }
        let template = match size {
            Some(_) => {
                "{msg} [{bar:20}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left"
            }
            None => "{msg} {spinner} {decimal_bytes}, {decimal_bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(name.to_owned());
        bar.set_position(from);
        // Bytes from an earlier download do not count for the speed.
        bar.reset_eta();
        Self::Bar(bar)
    }

    /// Reports that `received` bytes of the file are there, those from before
    /// included.
    pub(super) fn at(&mut self, received: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(received),
            Self::Lines(lines) => {
                if let Some(line) = lines.due(received, lines.begun.elapsed()) {
                    say(&line);
                }
            }
        }
    }
}

impl Drop for Progress {
    /// Leaves the bar on the screen and moves to a new line for the next
    /// message.
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}

/// Decides when a line is due.
#[derive(Debug)]
pub(super) struct Lines {
    name: String,
    begun: Instant,
    from: u64,
    size: Option<u64>,
    /// Tenths of the file that were reached before, or steps of [`STEP`] bytes
    /// if the size is unknown.
    reached: u64,
}

impl Lines {
    fn new(name: &str, from: u64, size: Option<u64>) -> Self {
        let mut lines = Self { name: name.to_owned(), begun: Instant::now(), from, size, reached: 0 };
        lines.reached = lines.tenths(from);
        lines
    }

    fn tenths(&self, received: u64) -> u64 {
        match self.size {
            Some(size) => received.saturating_mul(10) / size.max(1),
            None => received / STEP,
        }
    }

    /// The line for `received` bytes after `elapsed`, if another tenth of the
    /// file, or another step, has arrived.
    fn due(&mut self, received: u64, elapsed: Duration) -> Option<String> {
        let tenths = self.tenths(received);
        if tenths <= self.reached {
            return None;
        }
        self.reached = tenths;
        let name = &self.name;
        let speed = (received - self.from) as f64 / elapsed.as_secs_f64().max(0.001);
        let per_second = bytes(speed as u64);
        Some(match self.size {
            Some(size) => {
                let left = size.saturating_sub(received) as f64 / speed.max(1.0);
                let (tenths, size) = (tenths * 10, bytes(size));
                format!("downloading {name}: {tenths} % of {size}, {per_second}/s, {left:.0} s left\n")
            }
            None => format!("downloading {name}: {}, {per_second}/s\n", bytes(received)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_line_is_due_at_every_tenth_and_only_once() {
        let mut lines = Lines::new("m.gguf", 0, Some(1000));
        let mut said = 0;
        for received in 1..=1000 {
            said += usize::from(lines.due(received, SECOND).is_some());
        }
        assert_eq!(said, 10);
    }

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let mut lines = Lines::new("m.gguf", 0, Some(100_000_000));
        let line = lines.due(20_000_000, 10 * SECOND);
        assert_eq!(line.as_deref(), Some("downloading m.gguf: 20 % of 100.00 MB, 2.00 MB/s, 40 s left\n"));
    }

    #[test]
    fn what_was_there_before_counts_as_reached_but_not_as_speed() {
        let mut lines = Lines::new("m.gguf", 50_000_000, Some(100_000_000));
        assert_eq!(lines.due(59_999_999, SECOND), None);
        let line = lines.due(60_000_000, SECOND).expect("a tenth");
        assert!(line.contains("60 % of 100.00 MB, 10.00 MB/s, 4 s left"), "{line}");
    }

    #[test]
    fn without_a_size_a_line_is_due_at_every_step() {
        let mut lines = Lines::new("m.gguf", 0, None);
        assert_eq!(lines.due(STEP - 1, SECOND), None);
        let line = lines.due(STEP, SECOND);
        assert_eq!(line.as_deref(), Some("downloading m.gguf: 16.00 MB, 16.00 MB/s\n"));
    }
}
