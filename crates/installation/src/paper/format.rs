//! What the printer can do, and the size of its text: the kind of printer, the
//! font and the columns.

use std::str::FromStr;

/// The kinds of printer that the program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrinterKind {
    /// A panel printer for 58 mm paper on a serial port: CSN-A2, QR204 and their
    /// relatives. It has no cutter, and little memory for what it has not
    /// printed yet.
    #[default]
    Mini,
    /// A receipt printer for 80 mm paper that knows Epson's ESC/POS, mostly on
    /// USB. It cuts the paper, and refuses bytes that it has no room for.
    Epson,
}

/// The size of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Font {
    /// Font A: characters of 12 x 24 dots, 3 mm high.
    #[default]
    Large,
    /// Font B: characters of 9 x 17 dots, 2.1 mm high. Not every clone has it.
    Small,
}

impl Font {
    /// Dots of a character from left to right, dot rows of a character, and blank
    /// dot rows below a line. With 28 rows (3.5 mm) for a line of the large font the
    /// text is still easy to read, and 8 KB of English fit on 1.2 m of paper.
    fn size(self) -> (usize, u32, u32) {
        match self {
            Self::Large => (12, 24, 4),
            Self::Small => (9, 17, 3),
        }
    }

    /// Dot rows of a character.
    pub(crate) fn rows(self) -> u32 {
        self.size().1
    }

    /// Blank dot rows below a line.
    pub(crate) fn spacing_rows(self) -> u32 {
        self.size().2
    }

    /// Dot rows from one line to the next.
    pub(crate) fn line_rows(self) -> u32 {
        self.rows() + self.spacing_rows()
    }
}

/// The characters that the printer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodePage {
    /// Those of code page 437, the one that these printers wake with or can be switched to.
    #[default]
    Cp437,
    /// Those of ASCII, in which all code pages agree.
    Ascii,
}

/// The operands of `ESC 7`: dots heated at once, in units of 8, minus 1; heating
/// time and pause between heatings, in 10 µs. Some firmware (2.16) prints them as
/// text instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heat(pub(super) [u8; 3]);

impl FromStr for Heat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u8>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        let operands = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        operands.map(Self).ok_or_else(|| "not three numbers from 0 to 255, as in 11,120,40".to_owned())
    }
}

/// How text is set for one printer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Which commands the printer knows.
    pub kind: PrinterKind,
    /// The size of the text.
    pub font: Font,
    /// The characters that it prints.
    pub code_page: CodePage,
    /// Characters in a line.
    pub columns: usize,
    /// Whether the paper is cut at the end of a receipt.
    pub cut: bool,
    /// Sent only if given.
    pub heat: Option<Heat>,
    /// Whether the printer's BUSY wire is read.
    pub busy_wire: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self::of(PrinterKind::Mini, Font::Large)
    }
}

impl Format {
    /// The defaults of a kind of printer with a font.
    #[must_use]
    pub fn of(kind: PrinterKind, font: Font) -> Self {
        // Dots across the paper that can be printed: 48 mm of 58 mm paper, and 72 mm of
        // 80 mm paper, at 203 dpi.
        let dots = match kind {
            PrinterKind::Mini => 384,
            PrinterKind::Epson => 576,
        };
        let columns = dots / font.size().0;
        let (code_page, cut) = (CodePage::default(), kind == PrinterKind::Epson);
        Self { kind, font, code_page, columns, cut, heat: None, busy_wire: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_manuals() {
        let columns = |kind| [Font::Large, Font::Small].map(|font| Format::of(kind, font).columns);
        assert_eq!([columns(PrinterKind::Mini), columns(PrinterKind::Epson)], [[32, 42], [48, 64]]);
    }
}
