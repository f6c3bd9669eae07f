//! Reads a printer's bytes as the printer does: bytes in, printed lines out. It shares
//! no code with [`super::escpos`], so that the tests and the drawn installation show
//! what a printer would print, and not what was meant.

/// Dots of a character of font A and of font B: width and height.
const LARGE: (usize, usize) = (12, 24);
const SMALL: (usize, usize) = (9, 17);

/// Dot rows from line to line of a printer that was just switched on: 1/6 inch by
/// Epson's manual, 30 of these printers' dots.
const PITCH: usize = 30;

/// Dot rows from the print head to the cutter.
const FROM_HEAD_TO_CUTTER: usize = 120;

/// CP437 from 0x80 on, as in Python's codec.
const HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A character on paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The character.
    pub character: char,
    /// Whether it is bold.
    pub bold: bool,
    /// Width and height, in characters.
    pub size: (usize, usize),
    /// Width and height of a character of its font, in dots.
    pub font: (usize, usize),
}

impl Cell {
    /// Width in dots.
    #[must_use]
    pub fn width(&self) -> usize {
        self.size.0 * self.font.0
    }

    /// Height in dots.
    #[must_use]
    pub fn height(&self) -> usize {
        self.size.1 * self.font.1
    }

    /// Whether it is in the small font.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.font == SMALL
    }
}

/// A line on paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Its characters.
    pub cells: Vec<Cell>,
    /// Whether it is in the middle.
    pub centred: bool,
    /// Dot rows from its top to that of the next line.
    pub rows: usize,
}

impl Printed {
    /// The line as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.cells.iter().map(|cell| cell.character).collect()
    }

    /// Width in dots.
    #[must_use]
    pub fn width(&self) -> usize {
        self.cells.iter().map(Cell::width).sum()
    }

    /// Height of its characters in dots.
    #[must_use]
    pub fn height(&self) -> usize {
        self.cells.iter().map(Cell::height).max().unwrap_or(0)
    }
}

/// What the printer does once it has read a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It prints a line and feeds.
    Line(Printed),
    /// It prints the line that was begun, if one was, and feeds so many dot rows.
    Feed(Option<Printed>, usize),
    /// It feeds so many dot rows and cuts.
    Cut(usize),
    /// It forgets its settings and its line.
    Reset,
    /// It is asked for its paper.
    Question,
    /// It is told how to heat.
    Heat([u8; 3]),
    /// It is told to show on its wire that it is busy.
    ShowBusy,
    /// Nothing that is seen.
    Nothing,
}

/// The printer's settings. A printer wakes in Chinese mode and in an unknown code
/// page.
#[derive(Debug, Clone)]
struct Mode {
    chinese: bool,
    cp437: bool,
    pitch: usize,
    centred: bool,
    bold: bool,
    size: (usize, usize),
    font: (usize, usize),
}

impl Default for Mode {
    fn default() -> Self {
        Self {
            chinese: true,
            cp437: false,
            pitch: PITCH,
            centred: false,
            bold: false,
            size: (1, 1),
            font: LARGE,
        }
    }
}

/// The state of a printer that reads; at first of one that was just switched on.
#[derive(Debug, Clone, Default)]
pub struct CommandReader {
    mode: Mode,
    /// The line that was begun.
    cells: Vec<Cell>,
    /// The command that was begun.
    command: Vec<u8>,
}

impl CommandReader {
    /// Reads one byte. `None` while a command or a line is not complete.
    ///
    /// # Errors
    ///
    /// When the printer would print something else than was meant; these bytes are
    /// skipped.
    pub fn read(&mut self, byte: u8) -> Result<Option<Effect>, String> {
        self.command.push(byte);
        let command = std::mem::take(&mut self.command);
        let step = match *command {
            [b'\n'] => Effect::Line(self.line()),
            [character @ 0x20..=0x7E] => return Ok(self.cell(char::from(character))),
            // 0xFF wakes a sleeping printer; one that is awake prints a blank.
            [high @ 0x80..=0xFF] if high == 0xFF || self.mode.cp437 && !self.mode.chinese => {
                return Ok(HIGH
                    .chars()
                    .nth(usize::from(high) - 0x80)
                    .and_then(|character| self.cell(character)));
            }
            [0x1B, b'@'] => {
                *self = Self::default();
                Effect::Reset
            }
            [0x1B, b'8', 0, 0] => Effect::Nothing,
            [0x1B, b'7', a, b, c] => Effect::Heat([a, b, c]),
            [0x1C, b'.'] => {
                self.mode.chinese = false;
                Effect::Nothing
            }
            [0x10, 4, 4] | [0x1B, b'v', 0] | [0x1D, b'r', 1] => Effect::Question,
            [0x1D, b'V', 66, rows] => Effect::Cut(FROM_HEAD_TO_CUTTER + usize::from(rows)),
            [0x1D, b'a', 0x20] => Effect::ShowBusy,
            [0x1D, b'!', size] => {
                self.mode.size = (usize::from(size >> 4) + 1, usize::from(size & 15) + 1);
                Effect::Nothing
            }
            [0x1B, b'J', rows] => {
                let line = (!self.cells.is_empty()).then(|| self.line());
                Effect::Feed(line, rows.into())
            }
            [0x1B, setting, n] if self.set(setting, n) => Effect::Nothing,
            // More bytes may make a command of these.
            [0x1B | 0x1C | 0x1D | 0x10]
            | [0x10, 4]
            | [0x1B, b't' | b'3' | b'a' | b'E' | b'M' | b'J' | b'v' | b'7' | b'8']
            | [0x1B, b'8', 0]
            | [0x1B, b'7', _]
            | [0x1B, b'7', _, _]
            | [0x1D, b'V' | b'r' | b'a' | b'!']
            | [0x1D, b'V', 66] => {
                self.command = command;
                return Ok(None);
            }
            _ => return Err(format!("unknown: {command:02x?}")),
        };
        Ok(Some(step))
    }

    /// Whether nothing is begun: neither a line nor a command.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.cells.is_empty() && self.command.is_empty()
    }

    /// Whether paper moves once it has read this byte.
    pub fn prints_with(&self, byte: u8) -> bool {
        matches!((&self.command[..], byte), ([], b'\n') | ([0x1B, b'J'] | [0x1D, b'V', 66], _))
    }

    /// Whether there is such a setting.
    fn set(&mut self, setting: u8, n: u8) -> bool {
        match (setting, n) {
            (b't', 0) => self.mode.cp437 = true,
            (b'3', n) => self.mode.pitch = n.into(),
            (b'a', 0 | 1) => self.mode.centred = n == 1,
            (b'E', 0 | 1) => self.mode.bold = n == 1,
            (b'M', 0) => self.mode.font = LARGE,
            (b'M', 1) => self.mode.font = SMALL,
            _ => return false,
        }
        true
    }

    fn cell(&mut self, character: char) -> Option<Effect> {
        let Mode { bold, size, font, .. } = self.mode;
        self.cells.push(Cell { character, bold, size, font });
        None
    }

    fn line(&mut self) -> Printed {
        let mut line =
            Printed { cells: std::mem::take(&mut self.cells), centred: self.mode.centred, rows: 0 };
        line.rows = self.mode.pitch.max(line.height());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Effect> {
        let mut reader = CommandReader::default();
        bytes.iter().filter_map(|&byte| reader.read(byte).expect("known")).collect()
    }

    #[test]
    fn a_line_comes_with_its_line_feed_and_as_it_was_set() {
        let mut steps = read(b"\x1c.\x1bt\0\x1b3\x34\x1ba\x01\x1bE\x01\x1d!\x11\xc4A\n\x1ba\0");
        steps.retain(|step| *step != Effect::Nothing);
        let [Effect::Line(line)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((line.text().as_str(), line.centred, line.rows), ("─A", true, 52));
        assert!(line.cells.iter().all(|cell| cell.bold && cell.size == (2, 2)));
        assert_eq!((line.width(), line.height()), (48, 48));
    }

    #[test]
    fn a_feed_prints_what_was_begun_and_a_cut_feeds_to_the_cutter() {
        let steps = read(b"ab\x1bJ\x07\x1bJ\x07\x1dVB\x05");
        let [Effect::Feed(Some(line), 7), Effect::Feed(None, 7), Effect::Cut(125)] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(line.text(), "ab");
    }

    #[test]
    fn what_a_printer_would_print_as_garbage_is_told_and_skipped() {
        let mut reader = CommandReader::default();
        for bytes in [&b"\xc4"[..], b"\x1bZ", b"\x1d!\x11\x07", b"\x10\x05"] {
            let told: Vec<_> = bytes.iter().map(|&byte| reader.read(byte)).collect();
            assert!(told.last().is_some_and(Result::is_err), "{bytes:?}: {told:?}");
            assert!(reader.is_at_rest());
        }
        reader.read(b'a').expect("known");
        assert!(!reader.is_at_rest());
        assert_eq!(reader.read(0x1B), Ok(None));
        assert_eq!(reader.read(b'@'), Ok(Some(Effect::Reset)));
        assert!(reader.is_at_rest());
    }
}
