//! Draws printed lines as a picture, with one pixel for each dot of the printer: the
//! only user of png and of the font.

use std::fs::File;
use std::io::{self, BufWriter};

use spleen_font::{FONT_12X24, PSF2Font};

use installation::paper::reading::{Cell, Printed};

/// Dots on the paper at the left and the right of what can be printed.
const MARGIN: usize = 40;
/// Dots that can be printed, on 58 mm paper and on 80 mm paper.
const NARROW: usize = 384;
const WIDE: usize = 576;
/// Pixels of the table around the paper.
const EDGE: usize = 24;
/// Width and height of a character of the font, in dots.
const FONT: (usize, usize) = (12, 24);

/// Writes a picture of a strip of paper with these lines into a new file: `lines` are
/// the lines and their tops, `length` is that of the paper, in dots.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_png(lines: &[(usize, &Printed)], length: usize, file: File) -> io::Result<()> {
    let widest = lines.iter().map(|(_, line)| line.width()).max().unwrap_or(0);
    let printable = if widest > NARROW { WIDE } else { NARROW };
    let paper = printable + 2 * MARGIN;
    let (width, height) = (paper + 2 * EDGE, length + 4 * EDGE);
    let mut picture = Picture::new(width, height);
    picture.paper(EDGE, EDGE, paper, height - 2 * EDGE);
    let mut font = PSF2Font::new(FONT_12X24).map_err(|_| io::Error::other("the font is damaged"))?;
    for (top, line) in lines {
        let indent = if line.centred { printable.saturating_sub(line.width()) / 2 } else { 0 };
        let mut left = EDGE + MARGIN + indent;
        for cell in &line.cells {
            picture.glyph(&mut font, cell, left, top + 2 * EDGE);
            left += cell.width();
        }
    }
    picture.write(file)
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
                    .map(|(x, y)| (x * cell.font.0 / FONT.0, y * cell.font.1 / FONT.1))
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

    fn write(&self, file: File) -> io::Result<()> {
        let mut encoder = png::Encoder::new(BufWriter::new(file), self.width as u32, self.height as u32);
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
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&packed)?;
        // What it holds back is written here, with its error.
        Ok(writer.finish()?)
    }
}
