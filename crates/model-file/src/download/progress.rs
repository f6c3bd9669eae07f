//! The progress of a download on stderr: a line that passes on a terminal, elsewhere
//! a line at every 10 %.

use std::time::{Duration, Instant};

use installation::text::stderr;

/// Lines of a download, where they stay; and how often a line that passes changes.
const LINES: u64 = 10;
const CHANGES: u64 = 100;

/// Bytes that count as the whole of a file whose size is unknown: a line is due at
/// every 16 MB, about a sixth of the default model.
const UNKNOWN: u64 = 160_000_000;

/// A number of bytes in decimal units, as `3.77 MB`.
#[must_use]
pub(super) fn bytes(count: u64) -> String {
    match count as f64 {
        count if count < 1e3 => format!("{count} B"),
        count if count < 1e6 => format!("{:.2} kB", count / 1e3),
        count if count < 1e9 => format!("{:.2} MB", count / 1e6),
        count => format!("{:.2} GB", count / 1e9),
    }
}

/// A download's progress on stderr. Dropping it erases the line that passes.
#[derive(Debug)]
pub(super) struct DownloadProgress {
    name: String,
    begun: Instant,
    from: u64,
    size: Option<u64>,
    /// Lines of the whole file, and how many of them are behind.
    lines: u64,
    reached: u64,
}

impl DownloadProgress {
    /// The progress of `name`, of which `from` bytes of `size` were there
    /// before.
    #[must_use]
    pub fn new(name: &str, from: u64, size: Option<u64>) -> Self {
        Self::of_lines(if stderr::passes() { CHANGES } else { LINES }, name, from, size)
    }

    fn of_lines(lines: u64, name: &str, from: u64, size: Option<u64>) -> Self {
        let begun = Instant::now();
        let mut progress = Self { name: name.to_owned(), begun, from, size, lines, reached: 0 };
        progress.reached = progress.lines_at(from);
        progress
    }

    fn lines_at(&self, received: u64) -> u64 {
        received.saturating_mul(self.lines) / self.size.unwrap_or(UNKNOWN).max(1)
    }

    /// Reports that `received` bytes of the file are there, those from before
    /// included.
    pub(super) fn at(&mut self, received: u64) {
        if let Some(line) = self.due(received, self.begun.elapsed()) {
            stderr::show(&line);
        }
    }

    /// The line for `received` bytes after `elapsed`, if one is due.
    fn due(&mut self, received: u64, elapsed: Duration) -> Option<String> {
        let reached = self.lines_at(received);
        if reached <= self.reached {
            return None;
        }
        self.reached = reached;
        let name = &self.name;
        // Bytes from an earlier download do not count for the speed.
        let speed = (received - self.from) as f64 / elapsed.as_secs_f64().max(0.001);
        let per_second = bytes(speed as u64);
        Some(match self.size {
            Some(size) => {
                let left = size.saturating_sub(received) as f64 / speed.max(1.0);
                let (percent, size) = (reached * 100 / self.lines, bytes(size));
                format!("downloading {name}: {percent} % of {size}, {per_second}/s, {left:.0} s left")
            }
            None => format!("downloading {name}: {}, {per_second}/s", bytes(received)),
        })
    }
}

impl Drop for DownloadProgress {
    fn drop(&mut self) {
        stderr::clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_at_every_tenth_and_only_once() {
        let mut progress = DownloadProgress::of_lines(LINES, "m.gguf", 0, Some(1000));
        let lines = (1..=1000).filter_map(|received| progress.due(received, Duration::from_secs(1)));
        assert_eq!(lines.count(), 10);
    }

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        for (before, size, not_yet, received, line) in [
            (0, Some(100_000_000), 9_999_999, 20_000_000, "20 % of 100.00 MB, 2.00 MB/s, 40 s left"),
            // What was there before counts as reached, and not as speed.
            (
                50_000_000,
                Some(100_000_000),
                59_999_999,
                60_000_000,
                "60 % of 100.00 MB, 1.00 MB/s, 40 s left",
            ),
            (0, None, 15_999_999, 16_000_000, "16.00 MB, 1.60 MB/s"),
        ] {
            let mut progress = DownloadProgress::of_lines(LINES, "m.gguf", before, size);
            let mut after_10_s = |received| progress.due(received, Duration::from_secs(10));
            assert_eq!(after_10_s(not_yet), None, "{line}");
            assert_eq!(after_10_s(received), Some(format!("downloading m.gguf: {line}")));
        }
    }

    #[test]
    fn bytes_have_the_unit_that_suits_them() {
        let told = [7, 1_200, 3_770_000, 105_454_432, 2_000_000_000].map(bytes);
        assert_eq!(told, ["7 B", "1.20 kB", "3.77 MB", "105.45 MB", "2.00 GB"]);
    }
}
