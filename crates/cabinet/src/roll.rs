//! The paper that was printed: as rows of the terminal, and the last receipt as it is.

use std::collections::VecDeque;

use super::machine::Out;
use installation::paper::reading::{Cell, Printed};

/// Rows that are kept for scrolling back: some ten lives of the default length.
const KEPT: usize = 4_000;

/// Dot rows of a row of the terminal: a line of the large font.
const ROW: usize = 28;

/// A row of the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PaperRow {
    /// Characters, and whether they are in the middle.
    Text(Vec<Cell>, bool),
    Blank,
    /// Where the paper was cut.
    Cut,
}

/// The last receipt, in full.
#[derive(Debug, Default)]
pub(super) struct PrintedReceipt {
    /// Its lines and their tops, in dots.
    pub(super) lines: Vec<(usize, Printed)>,
    /// Its length, in dots.
    pub(super) length: usize,
}

impl PrintedReceipt {
    pub(super) fn text(&self) -> String {
        let text: Vec<_> = self.lines.iter().map(|(_, line)| line.text()).collect();
        text.join("\n") + "\n"
    }
}

#[derive(Debug, Default)]
pub(super) struct Roll {
    rows: VecDeque<PaperRow>,
    receipt: PrintedReceipt,
    /// How many of the last rows are below what is shown.
    back: usize,
}

impl Roll {
    /// Takes what comes out of the slot.
    pub(super) fn take(&mut self, out: Out) {
        match out {
            Out::Begin => self.receipt = PrintedReceipt::default(),
            Out::Line(line) => {
                let rows = (line.rows + ROW / 2) / ROW;
                self.row(PaperRow::Text(line.cells.clone(), line.centred));
                (1..rows).for_each(|_| self.row(PaperRow::Blank));
                let top = self.receipt.length;
                self.receipt.length += line.rows;
                self.receipt.lines.push((top, line));
            }
            Out::Feed(rows) => self.feed(rows),
            Out::Cut(rows) => {
                self.feed(rows);
                self.row(PaperRow::Cut);
            }
        }
    }

    fn feed(&mut self, rows: usize) {
        self.receipt.length += rows;
        (0..rows / ROW).for_each(|_| self.row(PaperRow::Blank));
    }

    fn row(&mut self, row: PaperRow) {
        self.rows.push_back(row);
        if self.back > 0 {
            // What is read stays where it is.
            self.back += 1;
        }
        if self.rows.len() > KEPT {
            self.rows.pop_front();
        }
        self.back = self.back.min(self.rows.len().saturating_sub(1));
    }

    /// The last receipt, if one was begun.
    pub(super) fn receipt(&self) -> Option<&PrintedReceipt> {
        Some(&self.receipt).filter(|receipt| !receipt.lines.is_empty())
    }

    /// Scrolls back by so many rows, or forward if it is negative, where `height` rows
    /// are shown.
    pub(super) fn scroll(&mut self, rows: isize, height: usize) {
        let most = self.rows.len().saturating_sub(height);
        self.back = self.back.saturating_add_signed(rows).min(most);
    }

    /// Scrolls to the newest row.
    pub(super) fn forward(&mut self) {
        self.back = 0;
    }

    /// How many rows are below what is shown.
    pub(super) fn back(&self) -> usize {
        self.back
    }

    /// The rows that are shown in `height`, the newest last.
    pub(super) fn shown(&self, height: usize) -> impl Iterator<Item = &PaperRow> {
        let end = self.rows.len() - self.back.min(self.rows.len());
        self.rows.range(end.saturating_sub(height)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use installation::paper::reading::{CommandReader, Effect};

    fn line(text: &str) -> Out {
        let mut reader = CommandReader::default();
        let bytes = format!("\x1b3\x1c{text}\n");
        match bytes.bytes().filter_map(|byte| reader.read(byte).expect("known")).last() {
            Some(Effect::Line(line)) => Out::Line(line),
            other => panic!("{other:?}"),
        }
    }

    fn texts<'a>(rows: impl Iterator<Item = &'a PaperRow>) -> Vec<String> {
        let text = |row: &PaperRow| match row {
            PaperRow::Text(cells, _) => cells.iter().map(|cell| cell.character).collect(),
            PaperRow::Blank => String::new(),
            PaperRow::Cut => "cut".to_owned(),
        };
        rows.map(text).collect()
    }

    #[test]
    fn what_is_read_stays_where_it_is_while_more_is_printed() {
        let mut roll = Roll::default();
        (0..9).for_each(|number| roll.take(line(&number.to_string())));
        assert_eq!(texts(roll.shown(3)), ["6", "7", "8"]);
        roll.scroll(2, 3);
        assert_eq!(texts(roll.shown(3)), ["4", "5", "6"]);
        roll.take(line("9"));
        assert_eq!(texts(roll.shown(3)), ["4", "5", "6"]);
        roll.scroll(99, 3);
        assert_eq!(texts(roll.shown(3)), ["0", "1", "2"], "no further");
        roll.forward();
        assert_eq!(texts(roll.shown(3)), ["7", "8", "9"]);
    }

    #[test]
    fn scrolling_back_has_an_end_and_a_roll_does_not_grow_for_ever() {
        let mut roll = Roll::default();
        (0..2 * KEPT).for_each(|number| roll.take(line(&number.to_string())));
        roll.scroll(isize::MAX, 1);
        assert_eq!(texts(roll.shown(1)), [KEPT.to_string()]);
        (0..2 * KEPT).for_each(|_| roll.take(line("more")));
        assert_eq!(texts(roll.shown(1)), ["more"]);
    }

    #[test]
    fn a_receipt_begins_with_the_printers_reset_and_keeps_its_dots() {
        let mut roll = Roll::default();
        assert!(roll.receipt().is_none());
        for out in [Out::Begin, Out::Begin, line("one"), Out::Feed(120), Out::Begin] {
            roll.take(out);
        }
        assert!(roll.receipt().is_none(), "the new one has no line yet");
        for out in [line("two"), line("three"), Out::Cut(120)] {
            roll.take(out);
        }
        let receipt = roll.receipt().expect("a receipt");
        assert_eq!((receipt.text().as_str(), receipt.length), ("two\nthree\n", 2 * 28 + 120));
        let all = ["one", "", "", "", "", "two", "three", "", "", "", "", "cut"];
        assert_eq!(texts(roll.shown(99)), all, "receipts stay on the roll");
    }
}
