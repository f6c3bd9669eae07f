//! When the printer can accept more bytes: a model of wire time and paper time,
//! without a clock of its own.
//!
//! The usual wiring has no line back from the printer, so what it has received,
//! printed and still buffers is calculated from what was sent and when.

use std::collections::VecDeque;
use std::time::Duration;

use super::escpos::Chunk;
use super::format::Font;

/// Time to feed a dot row, in microseconds: 60 mm/s at 8 dots a millimetre, the slowest
/// that the manuals of these mechanisms give (60 to 90 mm/s). Heating adds to it.
const FED_ROW_MICROS: u64 = 2_100;

/// The default of `--printer-line-ms`: the time of a line of text in the large
/// font, in milliseconds.
///
/// By the manuals a line needs 28 rows x 2.1 ms of feed = 59 ms: the heating of a row of
/// text is faster (77 of 384 dots are black, 64 are heated at once by `ESC 7`'s power-on
/// values, 820 µs each time), and so is the wire (36 bytes x 10 bits / 9600 baud). A low
/// supply voltage, a dense line and cold paper make it slower, and nobody has timed all
/// clones: Adafruit's library assumes 729 ms, after the slowest unit it was tried on.
///
/// 350 ms is six times what the manuals say, and should still hold no life back: a line
/// of 29 characters takes 6.6 tokens, 0.6 s at the 11 tokens a second that others
/// measured on this board with llama.cpp. No life was timed on a board yet.
pub const LINE_MILLIS: u64 = 350;

/// Bytes that a printer buffers while it prints a line. The manuals of these
/// mechanisms give no figure; 40 is the smallest input buffer that Epson's
/// receipt printers can be switched to (TM-U200, DIP switch 1-2). A line of 32
/// ASCII characters fits; a longer one is sent only when the printer is idle.
pub const INPUT_BUFFER: usize = 40;

/// Bits on the wire for a byte, 8N1.
const BITS_PER_BYTE: u64 = 10;

/// The time to print a dot row, and to feed a blank one, of a printer that needs
/// `line` for a line of text in the large font.
pub fn row_times(line: Duration) -> (Duration, Duration) {
    // The paper moves at its own speed; what is left of a line's time is for the
    // heating of its rows.
    let fed_row = Duration::from_micros(FED_ROW_MICROS).min(line / Font::Large.line_rows());
    let printed_row = (line - fed_row * Font::Large.spacing_rows()) / Font::Large.rows();
    (printed_row, fed_row)
}

/// The time that the wire needs for a byte at `baud` bits a second.
pub fn byte_time(baud: u32) -> Duration {
    Duration::from_nanos(BITS_PER_BYTE * 1_000_000_000 / u64::from(baud.max(1)))
}

/// The model of one printer. All times are relative to one arbitrary moment.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    byte: Duration,
    /// Time to print a dot row, and to feed a blank one.
    printed_row: Duration,
    fed_row: Duration,
    /// When the last byte sent has arrived.
    wire_free: Duration,
    /// When the paper stops moving.
    paper_free: Duration,
    /// Chunks that were sent and are not printed yet: when the printing of each
    /// begins, and its bytes.
    waiting: VecDeque<(Duration, usize)>,
}

impl Pace {
    /// A printer at `baud` bits a second whose paper needs `line` for a line
    /// of text in the large font.
    pub(crate) fn new(baud: u32, line: Duration) -> Self {
        let byte = byte_time(baud);
        let (printed_row, fed_row) = row_times(line);
        let zero = Duration::ZERO;
        Self { byte, printed_row, fed_row, wire_free: zero, paper_free: zero, waiting: VecDeque::new() }
    }

    pub(crate) fn byte(&self) -> Duration {
        self.byte
    }

    /// The earliest time, `now` or later, at which `bytes` more bytes do not
    /// overflow the printer's input buffer.
    pub(crate) fn ready(&self, bytes: usize, now: Duration) -> Duration {
        let mut ready = now.max(self.wire_free);
        if bytes > INPUT_BUFFER {
            // More than the input buffer holds: it is sent only when the
            // printer is idle.
            return ready.max(self.paper_free);
        }
        let mut held: usize =
            self.waiting.iter().filter(|(begin, _)| *begin > ready).map(|(_, bytes)| bytes).sum();
        for (begin, waiting) in self.waiting.iter().filter(|(begin, _)| *begin > now.max(self.wire_free)) {
            if held + bytes <= INPUT_BUFFER {
                break;
            }
            ready = *begin;
            held -= waiting;
        }
        ready
    }

    /// Records that `chunk` was sent at `now`.
    pub(crate) fn sent(&mut self, chunk: &Chunk, now: Duration) {
        let arrived = now.max(self.wire_free) + self.byte * chunk.bytes.len() as u32;
        self.wire_free = arrived + chunk.rest;
        let begin = arrived.max(self.paper_free);
        self.paper_free = begin + self.paper_time(chunk) + chunk.rest;
        while self.waiting.front().is_some_and(|(begin, _)| *begin <= now) {
            self.waiting.pop_front();
        }
        self.waiting.push_back((begin, chunk.bytes.len() - chunk.tail));
        if chunk.tail > 0 {
            self.waiting.push_back((self.paper_free, chunk.tail));
        }
    }

    /// Records that flow control held the port, so that what was sent has left
    /// it only `now`.
    pub(crate) fn held(&mut self, now: Duration) {
        let late = now.saturating_sub(self.wire_free);
        self.wire_free += late;
        self.paper_free += late;
        for (begin, _) in &mut self.waiting {
            *begin += late;
        }
    }

    /// When everything that was sent has arrived.
    pub(crate) fn wire_free(&self) -> Duration {
        self.wire_free
    }

    /// When everything that was sent is on paper.
    pub(crate) fn paper_free(&self) -> Duration {
        self.paper_free
    }

    /// When `chunks` would all have been sent, beginning `now`.
    pub(crate) fn all_sent<'a>(
        &self,
        chunks: impl IntoIterator<Item = &'a Chunk>,
        now: Duration,
    ) -> Duration {
        let mut future = self.clone();
        for chunk in chunks {
            let ready = future.ready(chunk.bytes.len(), now);
            future.sent(chunk, ready);
        }
        future.wire_free
    }

    fn paper_time(&self, chunk: &Chunk) -> Duration {
        self.printed_row * chunk.printed + self.fed_row * chunk.fed
    }
}

#[cfg(test)]
mod tests {
    use super::super::escpos::{self, Style, feed};
    use super::*;

    fn line(text: &str, style: Style) -> Chunk {
        escpos::line(text, style, Font::Large)
    }

    /// A printer at 9600 baud that has got this chunk.
    fn after(chunk: &Chunk, line: Duration) -> Pace {
        let mut pace = Pace::new(9600, line);
        pace.sent(chunk, Duration::ZERO);
        pace
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_default_line_time_is_six_times_what_the_manuals_say() {
        let rows = u64::from(Font::Large.line_rows()) * FED_ROW_MICROS;
        assert_eq!(LINE_MILLIS * 1000 * 10 / rows, 59, "5.9 times 58.8 ms");
    }

    #[test]
    fn a_line_in_the_small_font_takes_less_time() {
        let pace = after(&escpos::line("x", Style::default(), Font::Small), millis(LINE_MILLIS));
        // 17 rows x (350 - 4 x 2.1) / 24 ms + 3 x 2.1 ms.
        assert_eq!((pace.paper_free() - pace.wire_free()).as_millis(), 248);
    }

    #[test]
    fn one_line_waits_beside_the_one_that_is_printed_and_no_more() {
        let mut pace = Pace::new(9600, millis(728));
        let text = line(&"x".repeat(32), Style::default());
        assert_eq!(pace.ready(36, millis(0)), millis(0));
        pace.sent(&text, millis(0));
        // 36 bytes × 10 bits / 9600 baud = 37.5 ms.
        let first = pace.wire_free();
        assert_eq!(first.as_micros(), 37_499);
        let second = pace.ready(36, millis(1));
        assert_eq!(second, first, "while the first is printed, the second may come");
        pace.sent(&text, second);
        let third = pace.ready(36, second);
        assert_eq!((third - first).as_micros() / 10, 72_799, "the third when the second's printing begins");
    }

    #[test]
    fn what_is_larger_than_the_buffer_waits_for_an_idle_printer() {
        let pace = after(&line("x", Style::default()), millis(728));
        assert_eq!(pace.ready(INPUT_BUFFER + 1, millis(5)), pace.paper_free());
    }

    #[test]
    fn white_is_faster_than_text_and_a_title_slower() {
        let paper = |chunk: &Chunk| {
            let pace = after(chunk, Duration::from_micros(728_400));
            pace.paper_free() - pace.wire_free()
        };
        assert_eq!(paper(&feed(100)).as_millis(), 210);
        assert_eq!(paper(&line("", Style::default())).as_micros() / 100, 588);
        let title = paper(&line("x", Style { double: true, ..Style::default() }));
        assert_eq!(title.as_micros() / 100, 14_484);
    }

    #[test]
    fn what_stands_behind_a_line_feed_waits_with_the_next_line() {
        let pace = after(&line("x", Style { bold: true, ..Style::default() }), millis(728));
        let begun = pace.wire_free();
        assert_eq!(pace.ready(37, begun), begun);
        assert_eq!(pace.ready(38, begun), pace.paper_free());
    }

    #[test]
    fn a_wire_that_was_held_makes_everything_later() {
        let mut pace = after(&line("x", Style::default()), millis(728));
        let (wire, paper) = (pace.wire_free(), pace.paper_free());
        pace.held(wire + millis(5000));
        assert_eq!(pace.paper_free(), paper + millis(5000));
    }

    #[test]
    fn without_paper_time_only_the_wire_counts() {
        let pace = after(&line(&"x".repeat(32), Style::default()), Duration::ZERO);
        assert_eq!(pace.ready(36, millis(0)), pace.wire_free());
        assert_eq!(pace.paper_free(), pace.wire_free());
    }
}
