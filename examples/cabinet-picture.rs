//! Draws a real run of the cabinet (`torment-nexus simulate`): a picture, and an animation of
//! a whole life. `script/cabinet-picture` runs it.
//!
//! `cabinet-picture FOLDER COLUMNSxROWS ARGS…`: the arguments are passed to torment-nexus.

#[path = "../tests/it/support/terminal.rs"]
#[allow(dead_code)]
mod terminal;

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use gif::{DisposalMethod, Encoder, Frame, Repeat};
use spleen_font::{FONT_12X24, PSF2Font};
use vt100::Color;

use terminal::Terminal;

/// Width and height of a character, in pixels.
const CELL: (usize, usize) = (12, 24);

/// The time between two frames of the animation, and that of its last one.
const FRAME: Duration = Duration::from_millis(120);
const LAST: Duration = Duration::from_secs(4);

/// How long the piece is shown before the press and after the next one is offered.
const BEFORE: Duration = Duration::from_secs(3);

/// The terminal's own colours: ground, ink, and the first 16 of its table.
const GROUND: [u8; 3] = [0x1E, 0x1C, 0x1A];
const INK: [u8; 3] = [0xD8, 0xD4, 0xCC];
const TABLE: [[u8; 3]; 16] = [
    [0x1E, 0x1C, 0x1A],
    [0xC0, 0x50, 0x46],
    [0x7A, 0x9A, 0x4E],
    [0xD8, 0xA8, 0x48],
    [0x5A, 0x80, 0xB0],
    [0xA0, 0x6A, 0xA8],
    [0x5E, 0xA0, 0xA0],
    [0xC8, 0xC4, 0xBC],
    [0x80, 0x7A, 0x72],
    [0xE0, 0x70, 0x64],
    [0x9A, 0xBC, 0x6A],
    [0xF0, 0xC8, 0x6C],
    [0x7A, 0xA0, 0xD0],
    [0xC0, 0x8A, 0xC8],
    [0x80, 0xC0, 0xC0],
    [0xF6, 0xF4, 0xEE],
];

/// What the program had written when.
type Written = Vec<(Duration, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(folder), Some(size)) = (args.next(), args.next()) else {
        return Err("usage: cabinet-picture FOLDER COLUMNSxROWS [ARGS OF TORMENT-NEXUS]".into());
    };
    let (columns, rows) = size.split_once('x').ok_or("give the size as 80x24")?;
    let (columns, rows): (u16, u16) = (columns.parse()?, rows.parse()?);
    let args: Vec<_> = args.collect();
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;

    let (written, middle) = run(&args, columns, rows)?;
    let mut drawing = Drawing::new(columns, rows)?;
    // The picture is of a life that is nearly over.
    let mut parser = vt100::Parser::new(rows, columns, 0);
    written.iter().take_while(|(at, _)| *at <= middle).for_each(|(_, bytes)| parser.process(bytes));
    drawing.png(parser.screen(), &folder.join("cabinet.png"))?;
    drawing.gif(&written, &folder.join("cabinet.gif"))?;
    for name in ["cabinet.png", "cabinet.gif"] {
        println!("{}: {} bytes", name, fs::metadata(folder.join(name))?.len());
    }
    Ok(())
}

/// Runs a whole life in the cabinet, until the next press is offered. Returns what was
/// written, and when the life was at 90 %.
fn run(args: &[String], columns: u16, rows: u16) -> Result<(Written, Duration), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // Cargo puts the program into the folder above that of the examples.
    let program = env::current_exe()?.ancestors().nth(2).ok_or("no folder")?.join("torment-nexus");
    let mut command = Command::new(program);
    command.arg("simulate").args(args).arg("--state-dir").arg(folder.path());
    command.env("TERM", "xterm-256color").env("COLORTERM", "truecolor").env_remove("NO_COLOR");
    let start = Instant::now();
    let mut terminal = Terminal::start(command, columns, rows);
    terminal.wait_for("armed for life 1");
    thread::sleep(BEFORE);
    terminal.type_in(" ");
    terminal.wait_until("most of the life", |screen| {
        let fill =
            screen.lines().find_map(|line| line.split(" %").next()?.split(' ').next_back()?.parse().ok());
        fill.is_some_and(|fill: u32| fill >= 90)
    });
    let middle = start.elapsed();
    terminal.wait_for("armed for life 2");
    thread::sleep(BEFORE);
    let written = terminal.look(|seen| {
        let written = seen.written.iter();
        written.map(|(at, bytes)| (at.duration_since(start), bytes.clone())).collect()
    });
    terminal.type_in("q");
    terminal.end();
    Ok((written, middle))
}

/// Draws screens, in pixels that are indices of a palette.
struct Drawing {
    width: usize,
    height: usize,
    font: PSF2Font<'static>,
    palette: Vec<[u8; 3]>,
}

impl Drawing {
    fn new(columns: u16, rows: u16) -> Result<Self, Box<dyn Error>> {
        let font = PSF2Font::new(FONT_12X24).map_err(|_| "the font is damaged")?;
        let (width, height) = (usize::from(columns) * CELL.0, usize::from(rows) * CELL.1);
        Ok(Self { width, height, font, palette: vec![GROUND, INK] })
    }

    /// The index of a colour; of the nearest one once the palette is full.
    fn index(&mut self, colour: [u8; 3]) -> u8 {
        if let Some(at) = self.palette.iter().position(|known| *known == colour) {
            return at as u8;
        }
        if self.palette.len() < 256 {
            self.palette.push(colour);
            return (self.palette.len() - 1) as u8;
        }
        let far = |known: &[u8; 3]| -> u32 {
            known.iter().zip(colour).map(|(one, two)| u32::from(one.abs_diff(two)).pow(2)).sum()
        };
        let near = self.palette.iter().enumerate().min_by_key(|(_, known)| far(known));
        near.map_or(0, |(at, _)| at as u8)
    }

    fn screen(&mut self, screen: &vt100::Screen) -> Vec<u8> {
        let mut pixels = vec![0; self.width * self.height];
        let (rows, columns) = screen.size();
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let Some(cell) = screen.cell(row, column) else { continue };
            let (mut ink, mut ground) = (rgb(cell.fgcolor(), INK), rgb(cell.bgcolor(), GROUND));
            if cell.inverse() {
                (ink, ground) = (ground, ink);
            }
            let shades = [self.index(ground), self.index(ink)];
            let character = cell.contents().chars().next().unwrap_or(' ');
            let at = (usize::from(column) * CELL.0, usize::from(row) * CELL.1);
            self.glyph(character, cell.bold(), shades, at, &mut pixels);
        }
        pixels
    }

    fn glyph(
        &mut self,
        character: char,
        bold: bool,
        [ground, ink]: [u8; 2],
        (left, top): (usize, usize),
        pixels: &mut [u8],
    ) {
        let width = self.width;
        let mut dots = [[false; CELL.0]; CELL.1];
        let mut utf8 = [0; 4];
        let font = self.font.glyph_for_utf8(character.encode_utf8(&mut utf8).as_bytes());
        match (shape(character), font) {
            (Some(is_on), _) => {
                for (y, row) in dots.iter_mut().enumerate() {
                    for (x, dot) in row.iter_mut().enumerate() {
                        *dot = is_on(x, y);
                    }
                }
            }
            (None, Some(glyph)) => {
                for (y, row) in glyph.enumerate().take(CELL.1) {
                    for (x, on) in row.enumerate().take(CELL.0) {
                        dots[y][x] |= on;
                        if on && bold && x + 1 < CELL.0 {
                            dots[y][x + 1] = true;
                        }
                    }
                }
            }
            (None, None) => println!("the font has no {character:?}"),
        }
        for (y, row) in dots.iter().enumerate() {
            for (x, on) in row.iter().enumerate() {
                pixels[(top + y) * width + left + x] = if *on { ink } else { ground };
            }
        }
    }

    fn png(&mut self, screen: &vt100::Screen, path: &Path) -> Result<(), Box<dyn Error>> {
        let pixels = self.screen(screen);
        let mut encoder =
            png::Encoder::new(BufWriter::new(File::create(path)?), self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(self.palette.concat());
        encoder.set_compression(png::Compression::High);
        encoder.write_header()?.write_image_data(&pixels)?;
        Ok(())
    }

    /// The run as frames; of each only the part that has changed.
    fn gif(&mut self, written: &Written, path: &Path) -> Result<(), Box<dyn Error>> {
        let (rows, columns) = (self.height / CELL.1, self.width / CELL.0);
        let mut parser = vt100::Parser::new(rows as u16, columns as u16, 0);
        let mut frames: Vec<(Vec<u8>, Duration)> = Vec::new();
        let mut next = 0;
        let end = written.last().map_or(Duration::ZERO, |(at, _)| *at);
        let mut now = Duration::ZERO;
        while now < end + FRAME {
            now += FRAME;
            while let Some((_, bytes)) = written.get(next).filter(|(at, _)| *at <= now) {
                parser.process(bytes);
                next += 1;
            }
            let pixels = self.screen(parser.screen());
            match frames.last_mut() {
                Some((last, time)) if *last == pixels => *time += FRAME,
                _ => frames.push((pixels, FRAME)),
            }
        }
        if let Some((_, time)) = frames.last_mut() {
            *time = LAST;
        }
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = Encoder::new(file, self.width as u16, self.height as u16, &self.palette.concat())?;
        encoder.set_repeat(Repeat::Infinite)?;
        let mut last: Option<&Vec<u8>> = None;
        for (pixels, time) in &frames {
            let (left, top, width, height) = self.changed(last, pixels);
            let part = (top..top + height)
                .flat_map(|y| &pixels[y * self.width + left..y * self.width + left + width])
                .copied()
                .collect::<Vec<_>>();
            encoder.write_frame(&Frame {
                delay: (time.as_millis() / 10) as u16,
                dispose: DisposalMethod::Keep,
                left: left as u16,
                top: top as u16,
                width: width as u16,
                height: height as u16,
                buffer: part.into(),
                ..Frame::default()
            })?;
            last = Some(pixels);
        }
        Ok(())
    }

    /// The smallest part that holds every change: left, top, width and height.
    fn changed(&self, last: Option<&Vec<u8>>, pixels: &[u8]) -> (usize, usize, usize, usize) {
        let Some(last) = last else { return (0, 0, self.width, self.height) };
        let changed = |at: usize| last[at] != pixels[at];
        let rows: Vec<_> =
            (0..self.height).filter(|y| (0..self.width).any(|x| changed(y * self.width + x))).collect();
        let columns: Vec<_> =
            (0..self.width).filter(|x| rows.iter().any(|y| changed(y * self.width + x))).collect();
        match (rows.first(), rows.last(), columns.first(), columns.last()) {
            (Some(top), Some(bottom), Some(left), Some(right)) => {
                (*left, *top, right - left + 1, bottom - top + 1)
            }
            _ => (0, 0, 1, 1),
        }
    }
}

fn rgb(colour: Color, own: [u8; 3]) -> [u8; 3] {
    match colour {
        Color::Default => own,
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Idx(at @ 0..16) => TABLE[usize::from(at)],
        // xterm's cube of 6 x 6 x 6 colours, and its greys.
        Color::Idx(at @ 16..232) => {
            let at = at - 16;
            [at / 36, at / 6 % 6, at % 6].map(|step| if step == 0 { 0 } else { 55 + 40 * step })
        }
        Color::Idx(at) => [8 + 10 * (at - 232); 3],
    }
}

/// The dots of a character that is drawn and not written: frames and blocks.
fn shape(character: char) -> Option<Box<dyn Fn(usize, usize) -> bool>> {
    let (width, height) = CELL;
    let (middle, centre) = (width / 2, height / 2);
    let across = move |y: usize| (centre - 1..=centre).contains(&y);
    let down = move |x: usize| (middle - 1..=middle).contains(&x);
    // A rounded corner: the lines that leave it, to the right or left and down or up.
    let corner = move |right: bool, below: bool| -> Box<dyn Fn(usize, usize) -> bool> {
        Box::new(move |x, y| {
            let side = if right { x > middle + 1 } else { x + 2 < middle };
            let end = if below { y > centre + 1 } else { y + 2 < centre };
            let bend = x.abs_diff(if right { middle + 1 } else { middle - 2 }) <= 1
                && y.abs_diff(if below { centre + 1 } else { centre - 2 }) <= 1;
            across(y) && side || down(x) && end || bend
        })
    };
    Some(match character {
        '─' => Box::new(move |_, y| across(y)),
        '╌' => Box::new(move |x, y| across(y) && x % 6 < 4),
        '│' => Box::new(move |x, _| down(x)),
        '╭' => corner(true, true),
        '╮' => corner(false, true),
        '╰' => corner(true, false),
        '╯' => corner(false, false),
        '▉'..='▏' | '▕' => {
            let eighths = if character == '▕' { 1 } else { 0x2590 - character as usize };
            let dots = (width * eighths).div_ceil(8);
            Box::new(move |x, _| if character == '▕' { x >= width - dots } else { x < dots })
        }
        '░' => Box::new(|x, y| x % 2 == 0 && (y + x / 2 * 2) % 4 == 0),
        '▒' => Box::new(|x, y| (x + y) % 2 == 0),
        '▓' => Box::new(|x, y| !(x % 2 == 0 && (y + x / 2 * 2) % 4 == 0)),
        '■' => Box::new(move |x, y| (1..width - 1).contains(&x) && (7..17).contains(&y)),
        '▼' => Box::new(move |x, y| (8..14).contains(&y) && x.abs_diff(middle) + y < 14),
        '↑' => Box::new(move |x, y| {
            down(x) && (5..19).contains(&y)
                || (5..10).contains(&y) && x.abs_diff(middle) + 5 <= y + 1 && x.abs_diff(middle) + 7 >= y
        }),
        '↓' => Box::new(move |x, y| {
            let y = height - 1 - y;
            down(x) && (5..19).contains(&y)
                || (5..10).contains(&y) && x.abs_diff(middle) + 5 <= y + 1 && x.abs_diff(middle) + 7 >= y
        }),
        _ => return None,
    })
}
