//! A reader of ESC/POS that shares no code with the program: bytes in, the
//! paper out, as text and as a PNG. It fails on any byte or command that it
//! does not know.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use spleen_font::{FONT_12X24, PSF2Font};

/// Dots on the paper at the left and the right of what can be printed.
const MARGIN: usize = 40;
/// Dots that can be printed, on 58 mm paper and on 80 mm paper.
const NARROW: usize = 384;
const WIDE: usize = 576;
/// Dots of a character of font A and of font B.
const LARGE: (usize, usize) = (12, 24);
const SMALL: (usize, usize) = (9, 17);
const DOTS_PER_MM: f64 = 8.0;

/// Dot rows from the print head to the cutter.
const FROM_HEAD_TO_CUTTER: usize = 120;

/// CP437 from 0x80 on, as in Python's codec.
const HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A character on paper.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    character: char,
    bold: bool,
    /// Width and height, in characters.
    size: (usize, usize),
    /// Width and height of a character of its font, in dots.
    font: (usize, usize),
}

impl Cell {
    fn width(&self) -> usize {
        self.size.0 * self.font.0
    }

    fn height(&self) -> usize {
        self.size.1 * self.font.1
    }
}

/// A line on paper.
#[derive(Debug, Clone)]
struct Printed {
    /// Its top, in dots.
    y: usize,
    cells: Vec<Cell>,
    centred: bool,
}

/// The printer's settings. A printer wakes in Chinese mode and in an unknown
/// code page.
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
            pitch: 30,
            centred: false,
            bold: false,
            size: (1, 1),
            font: LARGE,
        }
    }
}

/// The paper that was printed so far.
#[derive(Debug, Default)]
pub struct Paper {
    printed: Vec<Printed>,
    /// The length of the paper so far, in dots.
    y: usize,
    mode: Mode,
    cells: Vec<Cell>,
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
        let mut paper = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = paper.step(rest).ok_or_else(|| {
                format!("unknown at {}: {:02x?}", bytes.len() - rest.len(), &rest[..rest.len().min(8)])
            })?;
        }
        if paper.cells.is_empty() { Ok(paper) } else { Err(format!("no line feed after {:?}", paper.cells)) }
    }

    fn step<'bytes>(&mut self, bytes: &'bytes [u8]) -> Option<&'bytes [u8]> {
        let (&first, rest) = bytes.split_first()?;
        match (first, rest) {
            (b'\n', _) => self.line_feed(),
            (0x1B, [b'@', rest @ ..]) => {
                self.mode = Mode::default();
                self.cells.clear();
                return Some(rest);
            }
            (0x1B, [b'8', 0, 0, rest @ ..]) => return Some(rest),
            (0x1B, [b'7', a, b, c, rest @ ..]) => {
                self.heat = Some([*a, *b, *c]);
                return Some(rest);
            }
            (0x1C, [b'.', rest @ ..]) => {
                self.mode.chinese = false;
                return Some(rest);
            }
            (0x10, [4, 4, rest @ ..]) | (0x1B, [b'v', 0, rest @ ..]) | (0x1D, [b'r', 1, rest @ ..]) => {
                self.questions += 1;
                return Some(rest);
            }
            (0x1D, [b'V', 66, rows, rest @ ..]) => {
                self.y += FROM_HEAD_TO_CUTTER + usize::from(*rows);
                self.cuts.push(self.y);
                return Some(rest);
            }
            (0x1D, [b'a', 0x20, rest @ ..]) => {
                self.shows_busy = true;
                return Some(rest);
            }
            (0x1D, [b'!', size, rest @ ..]) => {
                self.mode.size = (usize::from(size >> 4) + 1, usize::from(size & 15) + 1);
                return Some(rest);
            }
            (0x1B, [command, n, rest @ ..]) => {
                match (command, n) {
                    (b't', 0) => self.mode.cp437 = true,
                    (b'3', n) => self.mode.pitch = (*n).into(),
                    (b'a', 0 | 1) => self.mode.centred = *n == 1,
                    (b'E', 0 | 1) => self.mode.bold = *n == 1,
                    (b'M', 0) => self.mode.font = LARGE,
                    (b'M', 1) => self.mode.font = SMALL,
                    (b'J', n) => {
                        if !self.cells.is_empty() {
                            self.line_feed();
                        }
                        self.y += usize::from(*n);
                    }
                    _ => return None,
                }
                return Some(rest);
            }
            (0x20..=0x7E, _) => self.cell(char::from(first)),
            (0x80.., _) => {
                // 0xFF wakes a sleeping printer; one that is awake prints a
                // blank.
                if first < 0xFF && (self.mode.chinese || !self.mode.cp437) {
                    return None;
                }
                self.cell(HIGH.chars().nth(usize::from(first) - 0x80)?);
            }
            _ => return None,
        }
        Some(rest)
    }

    fn cell(&mut self, character: char) {
        let Mode { bold, size, font, .. } = self.mode;
        self.cells.push(Cell { character, bold, size, font });
    }

    fn line_feed(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        let height = cells.iter().map(Cell::height).max().unwrap_or(0);
        self.printed.push(Printed { y: self.y, cells, centred: self.mode.centred });
        self.y += self.mode.pitch.max(height);
    }

    /// Length of the paper in millimetres.
    pub fn mm(&self) -> f64 {
        self.y as f64 / DOTS_PER_MM
    }

    /// The lines as text.
    pub fn lines(&self) -> Vec<String> {
        self.printed.iter().map(|line| line.cells.iter().map(|cell| cell.character).collect()).collect()
    }

    /// The widest line, in columns.
    pub fn columns(&self) -> usize {
        let width = |line: &Printed| line.cells.iter().map(|cell| cell.size.0).sum();
        self.printed.iter().map(width).max().unwrap_or(0)
    }

    /// Lengths of paper between the cuts, in millimetres.
    pub fn cut_lengths(&self) -> Vec<f64> {
        let before = [0].into_iter().chain(self.cuts.iter().copied());
        self.cuts.iter().zip(before).map(|(cut, before)| (cut - before) as f64 / DOTS_PER_MM).collect()
    }

    /// Whether all of the text is in the small font.
    pub fn is_small(&self) -> bool {
        self.printed.iter().flat_map(|line| &line.cells).all(|cell| cell.font == SMALL)
    }

    /// Dots of the widest line.
    fn width(&self) -> usize {
        let width = |line: &Printed| line.cells.iter().map(Cell::width).sum();
        self.printed.iter().map(width).max().unwrap_or(0)
    }

    /// The lines that are twice as wide and high.
    pub fn titles(&self) -> Vec<String> {
        let is_title = |line: &&Printed| line.cells.first().is_some_and(|cell| cell.size == (2, 2));
        self.printed
            .iter()
            .filter(is_title)
            .map(|line| line.cells.iter().map(|cell| cell.character).collect())
            .collect()
    }

    /// Blank paper before the line that begins with `words`, in millimetres.
    pub fn gap_before(&self, words: &str) -> f64 {
        let text = |line: &Printed| line.cells.iter().map(|cell| cell.character).collect::<String>();
        let at =
            self.printed.iter().position(|line| text(line).starts_with(words)).expect("the line is there");
        let above = self.printed[..at].iter().rfind(|line| !line.cells.is_empty());
        let bottom = above.map_or(0, |line| line.y + line.cells[0].height());
        (self.printed[at].y - bottom) as f64 / DOTS_PER_MM
    }

    /// Draws the paper, torn at both ends, with one pixel for each dot.
    pub fn write_png(&self, path: &Path) -> io::Result<()> {
        const EDGE: usize = 24;
        let printable = if self.width() > NARROW { WIDE } else { NARROW };
        let paper = printable + 2 * MARGIN;
        let (width, height) = (paper + 2 * EDGE, self.y + 4 * EDGE);
        let mut picture = Picture::new(width, height);
        picture.paper(EDGE, EDGE, paper, height - 2 * EDGE);
        let mut font = PSF2Font::new(FONT_12X24).map_err(|_| io::Error::other("no font"))?;
        for line in &self.printed {
            let taken: usize = line.cells.iter().map(Cell::width).sum();
            let indent = if line.centred { printable.saturating_sub(taken) / 2 } else { 0 };
            let mut x = EDGE + MARGIN + indent;
            for cell in &line.cells {
                picture.glyph(&mut font, cell, x, line.y + 2 * EDGE);
                x += cell.width();
            }
        }
        picture.write(path)
    }
}

/// The dots of a character that the font lacks: the two that the program uses
/// for rules and bars, and a frame for any other.
fn shape(character: char, (width, height): (usize, usize)) -> Vec<(usize, usize)> {
    let (right, bottom) = (width - 2, height - 5);
    let is_on = |x: usize, y: usize| match character {
        '─' => (height / 2 - 1..height / 2 + 1).contains(&y),
        '■' => (1..=right).contains(&x) && (height / 3 - 1..height * 2 / 3 + 1).contains(&y),
        _ => {
            (1..=right).contains(&x)
                && (4..=bottom).contains(&y)
                && (x == 1 || x == right || y == 4 || y == bottom)
        }
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).filter(|&(x, y)| is_on(x, y)).collect()
}

/// Pixels, as indices of a palette.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

const TABLE: u8 = 0;
const SHADOW: u8 = 1;
const WHITE: u8 = 2;
const INK: u8 = 3;
const PALETTE: [u8; 12] = [0x8C, 0x84, 0x7A, 0x6E, 0x67, 0x5F, 0xF6, 0xF4, 0xEE, 0x2B, 0x29, 0x2E];

impl Picture {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![TABLE; width * height] }
    }

    fn set(&mut self, x: usize, y: usize, colour: u8) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// A strip with the teeth of a tear bar, and its shadow on the table.
    fn paper(&mut self, left: usize, top: usize, width: usize, height: usize) {
        const TOOTH: usize = 8;
        for (offset, colour) in [(5, SHADOW), (0, WHITE)] {
            for x in 0..width {
                let phase = x % (2 * TOOTH);
                let tooth = phase.min(2 * TOOTH - phase);
                for y in tooth..height - (TOOTH - tooth) {
                    self.set(left + x + offset, top + y + offset, colour);
                }
            }
        }
    }

    fn glyph(&mut self, font: &mut PSF2Font<'_>, cell: &Cell, left: usize, top: usize) {
        let mut utf8 = [0; 4];
        let dots: Vec<(usize, usize)> =
            match font.glyph_for_utf8(cell.character.encode_utf8(&mut utf8).as_bytes()) {
                // The small font is the large one, made smaller.
                Some(glyph) => glyph
                    .enumerate()
                    .flat_map(|(y, row)| row.enumerate().filter(|(_, on)| *on).map(move |(x, _)| (x, y)))
                    .map(|(x, y)| (x * cell.font.0 / LARGE.0, y * cell.font.1 / LARGE.1))
                    .collect(),
                None => shape(cell.character, cell.font),
            };
        let (width, height) = cell.size;
        for (x, y) in dots {
            for dx in 0..width + usize::from(cell.bold) {
                for dy in 0..height {
                    self.set(left + x * width + dx, top + y * height + dy, INK);
                }
            }
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Two);
        encoder.set_palette(PALETTE.as_slice());
        encoder.set_compression(png::Compression::High);
        let packed: Vec<u8> = self
            .pixels
            .chunks(self.width)
            .flat_map(|row| {
                row.chunks(4).map(|four| (0..4).fold(0, |byte, at| byte << 2 | four.get(at).unwrap_or(&0)))
            })
            .collect();
        encoder.write_header()?.write_image_data(&packed)?;
        Ok(())
    }
}
