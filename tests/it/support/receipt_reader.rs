//! The paper that a printer's bytes give, as text and as a PNG. The reader of the
//! bytes, `paper::reading`, shares no code with the one that writes them; here any byte
//! or command that it does not know is a failure.

use std::{fs::File, io, path::Path};

use installation::paper::reading::{Cell, CommandReader, Effect, Printed};

const DOTS_PER_MM: f64 = 8.0;

/// The paper that was printed so far.
#[derive(Debug, Default)]
pub struct Paper {
    /// The lines and their tops, in dots.
    printed: Vec<(usize, Printed)>,
    /// The length of the paper so far, in dots.
    y: usize,
    /// Operands of `ESC 7`, if it was sent.
    pub heat: Option<[u8; 3]>,
    /// The number of queries for paper.
    pub questions: usize,
    /// Where the paper was cut, in dots.
    cuts: Vec<usize>,
    /// Whether the printer was told to show that it is busy.
    pub shows_busy: bool,
}

impl Paper {
    /// Reads the bytes as a printer does that was just switched on.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (mut paper, mut reader) = (Self::default(), CommandReader::default());
        for (at, &byte) in bytes.iter().enumerate() {
            let step = reader.read(byte).map_err(|unknown| format!("{unknown} before {at}"))?;
            paper.step(step.unwrap_or(Effect::Nothing));
        }
        if reader.is_at_rest() { Ok(paper) } else { Err(format!("no line feed after {reader:?}")) }
    }

    fn step(&mut self, step: Effect) {
        match step {
            Effect::Line(line) => self.line(line),
            Effect::Feed(line, rows) => {
                line.into_iter().for_each(|line| self.line(line));
                self.y += rows;
            }
            Effect::Cut(rows) => {
                self.y += rows;
                self.cuts.push(self.y);
            }
            Effect::Question => self.questions += 1,
            Effect::Heat(heat) => self.heat = Some(heat),
            Effect::ShowBusy => self.shows_busy = true,
            Effect::Reset | Effect::Nothing => {}
        }
    }

    fn line(&mut self, line: Printed) {
        let top = self.y;
        self.y += line.rows;
        self.printed.push((top, line));
    }

    fn printed(&self) -> impl Iterator<Item = &Printed> {
        self.printed.iter().map(|(_, line)| line)
    }

    /// Length of the paper in millimetres.
    pub fn mm(&self) -> f64 {
        self.y as f64 / DOTS_PER_MM
    }

    /// The lines as text.
    pub fn lines(&self) -> Vec<String> {
        self.printed().map(Printed::text).collect()
    }

    /// The widest line, in columns.
    pub fn columns(&self) -> usize {
        let width = |line: &Printed| line.cells.iter().map(|cell| cell.size.0).sum();
        self.printed().map(width).max().unwrap_or(0)
    }

    /// Lengths of paper between the cuts, in millimetres.
    pub fn cut_lengths(&self) -> Vec<f64> {
        let before = [0].into_iter().chain(self.cuts.iter().copied());
        self.cuts.iter().zip(before).map(|(cut, before)| (cut - before) as f64 / DOTS_PER_MM).collect()
    }

    /// Whether all of the text is in the small font.
    pub fn is_small(&self) -> bool {
        self.printed().flat_map(|line| &line.cells).all(Cell::is_small)
    }

    /// The lines that are twice as wide and high.
    pub fn titles(&self) -> Vec<String> {
        let is_title = |line: &&Printed| line.cells.first().is_some_and(|cell| cell.size == (2, 2));
        self.printed().filter(is_title).map(Printed::text).collect()
    }

    /// Blank paper before the line that begins with `words`, in millimetres.
    pub fn gap_before(&self, words: &str) -> f64 {
        let at = self.printed().position(|line| line.text().starts_with(words)).expect("the line is there");
        let above = self.printed[..at].iter().rfind(|(_, line)| !line.cells.is_empty());
        let bottom = above.map_or(0, |(top, line)| top + line.cells[0].height());
        (self.printed[at].0 - bottom) as f64 / DOTS_PER_MM
    }

    /// Draws the paper, torn at both ends, with one pixel for each dot.
    pub fn write_png(&self, path: &Path) -> io::Result<()> {
        let lines: Vec<_> = self.printed.iter().map(|(top, line)| (*top, line)).collect();
        cabinet::drawing::write_png(&lines, self.y, File::create(path)?)
    }
}
