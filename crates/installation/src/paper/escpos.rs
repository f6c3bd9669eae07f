//! ESC/POS: text in, the printer's bytes out. The only file that knows a
//! command byte.
//!
//! Whatever the text contains, the printer receives only the commands below and
//! printable characters of CP437: a model that generates ESC would otherwise
//! send the printer commands.
//!
//! Written for the 58 mm mechanisms with 384 dots (CSN-A2, QR204, "mini TTL"),
//! and for 80 mm receipt printers that know Epson's commands. They print a line
//! only when its line feed arrives.

use std::time::Duration;

use super::code_page::byte;
use super::format::{CodePage, Font, Format, Heat, PrinterKind};

/// Dots in a millimetre of paper: 203 dpi.
#[cfg(test)]
pub(crate) const DOTS_PER_MM: u32 = 8;

/// Time for a sleeping printer to wake.
const WAKING: Duration = Duration::from_millis(50);

/// Pause after a reset, spent twice a receipt: bytes that arrive too early are lost or
/// printed as text. No manual gives a time; this one is our choice.
const RESETTING: Duration = Duration::from_millis(200);

/// Time for a line of garbage: that of an ordinary line, see
/// [`super::pace::LINE_MILLIS`].
const CLEARING: Duration = Duration::from_millis(350);

/// Time for a cut, in which the printer takes nothing: a guillotine cutter's
/// cycle takes less than half a second.
const CUTTING: Duration = Duration::from_millis(500);

/// Dot rows that end a receipt: 15 mm, which move its last line past the tear bar, or
/// to a cutter.
const END_ROWS: u8 = 120;

const LINE_FEED: u8 = b'\n';
/// Wakes a sleeping printer; one that is awake prints a blank.
const WAKE: u8 = 0xFF;
/// `ESC 8 n1 n2`: the seconds after which the printer sleeps; 0 is never.
const NEVER_SLEEP: [u8; 4] = [0x1B, b'8', 0, 0];
/// `ESC @`: reset, and discard the line that was begun.
const RESET: [u8; 2] = [0x1B, b'@'];
/// `FS .`: leave the Chinese mode that these printers wake in, where two bytes
/// from 0x80 on are one character.
const NO_CHINESE: [u8; 2] = [0x1C, b'.'];
/// `ESC t n`: code page; 0 is CP437.
const CODE_PAGE: [u8; 3] = [0x1B, b't', 0];
/// `ESC 3 n`: dot rows from line to line.
const LINE_ROWS: [u8; 2] = [0x1B, b'3'];
/// `ESC a n`: 0 left, 1 centred.
const ALIGN: [u8; 2] = [0x1B, b'a'];
/// `ESC E n`: 1 bold, 0 not.
const BOLD: [u8; 2] = [0x1B, b'E'];
/// `GS ! n`: width - 1 in the high four bits, height - 1 in the low ones.
const SIZE: [u8; 2] = [0x1D, b'!'];
const DOUBLE: u8 = 0x11;
/// `ESC M n`: font; 1 is the small one. Not every clone knows it, so it is sent
/// only for the small font.
const SMALL_FONT: [u8; 3] = [0x1B, b'M', 1];
/// `GS V 66 n`: feed to the cutter and n dot rows more, and cut.
const CUT: [u8; 4] = [0x1D, b'V', 66, 0];
/// `GS a n`: with bit 5 Adafruit's printers show on their DTR wire whether they
/// can take bytes; in Epson's manual that bit means nothing.
const SHOW_BUSY: [u8; 3] = [0x1D, b'a', 1 << 5];
/// `ESC J n`: print the line that was begun, and feed n dot rows.
const FEED: [u8; 2] = [0x1B, b'J'];
/// `ESC 7 n1 n2 n3`: heating dots, time, interval.
const HEAT: [u8; 2] = [0x1B, b'7'];

/// Bytes that belong together, and the paper and time that the printer needs
/// for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// The bytes to send.
    pub bytes: Vec<u8>,
    /// How many of the last bytes follow the line feed: the printer reads them
    /// only after the line is printed.
    pub tail: usize,
    /// Dot rows that are printed.
    pub printed: u32,
    /// Dot rows of blank paper that are fed.
    pub fed: u32,
    /// Pause that the printer needs afterwards.
    pub rest: Duration,
}

/// How a line looks; plain by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    pub bold: bool,
    /// Twice as wide and twice as high.
    pub double: bool,
    pub centred: bool,
}

/// What the printer may hold when a receipt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Leftover {
    /// The receipt before this one has no end: what the printer still has of it is
    /// printed, and blank paper is fed, where the receipts can be torn apart.
    pub cut_off: bool,
    /// The printer may have been switched on since the last receipt: these
    /// printers put up to five characters of garbage into the line then.
    pub garbage: bool,
}

/// The bytes before a receipt: they wake and reset the printer, clear what it
/// may hold, and select CP437 if it has that.
pub(crate) fn start(format: &Format, leftover: Leftover) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let height = format.font.line_rows();
    if leftover.cut_off {
        // The line feed also serves as the operand of a command that was cut
        // off before it.
        let printed = format.font.rows();
        chunks.push(Chunk { bytes: vec![LINE_FEED], printed, fed: height - printed, ..Chunk::default() });
    }
    let mut reset = RESET.to_vec();
    if format.kind == PrinterKind::Mini {
        chunks.push(Chunk { bytes: vec![WAKE], rest: WAKING, ..Chunk::default() });
        reset = [&NEVER_SLEEP[..], &RESET].concat();
    }
    // Twice: the glitch of a port that is opened, or of a printer that is
    // switched on, may be the beginning of a command, which takes the first
    // reset for its operands.
    for bytes in [RESET.to_vec(), reset] {
        chunks.push(Chunk { bytes, rest: RESETTING, ..Chunk::default() });
    }
    if leftover.garbage && !leftover.cut_off {
        // Some clones keep their line through a reset. Mostly nothing is printed,
        // but there is time for it.
        chunks.push(Chunk { bytes: vec![LINE_FEED], fed: height, rest: CLEARING, ..Chunk::default() });
    }
    let mut settings = match format.code_page {
        CodePage::Cp437 => [&NO_CHINESE[..], &CODE_PAGE].concat(),
        CodePage::Ascii => Vec::new(),
    };
    if format.busy_wire {
        settings.extend(SHOW_BUSY);
    }
    if let Some(Heat(operands)) = format.heat {
        settings.extend(HEAT);
        settings.extend(operands);
    }
    chunks.push(Chunk { bytes: settings, ..Chunk::default() });
    if leftover.cut_off {
        chunks.push(end(format));
    }
    chunks
}

/// A line of text with its line feed, and with all settings that it needs: a printer that
/// is switched on in the middle of a life prints the rest as it should. The text was
/// folded before it was wrapped; a character that the printer lacks is left out.
pub(crate) fn line(text: &str, style: Style, font: Font) -> Chunk {
    let text: Vec<u8> = text.chars().filter_map(byte).collect();
    let mut bytes = Vec::with_capacity(text.len() + 24);
    if !text.is_ascii() {
        bytes.extend(NO_CHINESE);
        bytes.extend(CODE_PAGE);
    }
    let rows = if style.double { 2 * font.rows() } else { font.rows() };
    let height = rows + font.spacing_rows();
    bytes.extend(LINE_ROWS);
    bytes.push(height as u8);
    if font == Font::Small {
        bytes.extend(SMALL_FONT);
    }
    let switches = [(style.centred, ALIGN, 1), (style.bold, BOLD, 1), (style.double, SIZE, DOUBLE)]
        .map(|(on, command, n)| on.then_some((command, n)));
    for (command, n) in switches.into_iter().flatten() {
        bytes.extend(command);
        bytes.push(n);
    }
    bytes.extend(&text);
    bytes.push(LINE_FEED);
    let end = bytes.len();
    for (command, _) in switches.into_iter().flatten() {
        bytes.extend(command);
        bytes.push(0);
    }
    let printed = if text.iter().all(|&byte| byte == b' ') { 0 } else { rows };
    let tail = bytes.len() - end;
    Chunk { bytes, tail, printed, fed: height - printed, rest: Duration::ZERO }
}

/// Feeds the end of the receipt past the cutter and cuts the paper, or to where it
/// can be torn off.
pub(crate) fn end(format: &Format) -> Chunk {
    match format.cut {
        true => Chunk { bytes: CUT.to_vec(), fed: END_ROWS.into(), rest: CUTTING, ..Chunk::default() },
        false => feed(END_ROWS),
    }
}

/// A feed of `rows` blank dot rows.
pub(crate) fn feed(rows: u8) -> Chunk {
    let bytes = [&FEED[..], &[rows]].concat();
    Chunk { bytes, fed: rows.into(), ..Chunk::default() }
}

/// What a printer says of its paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaperSensor {
    Present,
    /// There is little of it.
    NearEnd,
    Out,
}

/// A command that asks for the paper status.
#[derive(Debug)]
pub(crate) struct Query {
    pub bytes: [u8; 3],
    /// The bits that are fixed in a reply, and their values.
    fixed: (u8, u8),
    /// The bits that report the end of the paper, and those that report that it is
    /// near.
    end: u8,
    near: u8,
}

/// Those that these printers know, the best first. Which of them is answered depends
/// on the firmware: `DLE EOT 4` as soon as it arrives, `ESC v 0` and `GS r 1` after
/// everything that was sent before.
pub(crate) const QUERIES: [Query; 3] = [
    Query { bytes: [0x10, 4, 4], fixed: (0b1001_0011, 0b0001_0010), end: 0b0110_0000, near: 0b0000_1100 },
    Query { bytes: [0x1B, b'v', 0], fixed: (0b1001_0000, 0), end: 0b0000_1100, near: 0b0000_0011 },
    Query { bytes: [0x1D, b'r', 1], fixed: (0b1001_0000, 0), end: 0b0000_1100, near: 0b0000_0011 },
];

impl Query {
    /// What `reply` says of the paper; `None` if it is no reply to this query.
    pub(crate) fn paper(&self, reply: u8) -> Option<PaperSensor> {
        (reply & self.fixed.0 == self.fixed.1).then_some(match reply {
            _ if reply & self.end != 0 => PaperSensor::Out,
            _ if reply & self.near != 0 => PaperSensor::NearEnd,
            _ => PaperSensor::Present,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::{CommandReader, Effect};
    use super::*;
    use proptest::prelude::*;

    /// The bytes that begin a receipt.
    fn started(format: &Format, leftover: Leftover) -> Vec<u8> {
        start(format, leftover).into_iter().flat_map(|chunk| chunk.bytes).collect()
    }

    #[test]
    fn a_text_line_fits_the_smallest_input_buffer_and_a_blank_one_only_feeds() {
        let chunk = line(&"x".repeat(32), Style::default(), Font::Large);
        assert_eq!((chunk.bytes.len(), chunk.printed, chunk.fed), (36, 24, 4));
        let blank = line("  ", Style::default(), Font::Large);
        assert_eq!((blank.printed, blank.fed), (0, 28));
    }

    #[test]
    fn the_commands_are_those_of_python_escpos() {
        // The output of `Dummy` of python-escpos 3.1: see
        // tests/it/paper/python_escpos.py, which prints these lines.
        let title = line("A", Style { bold: true, double: true, centred: true }, Font::Large).bytes;
        let text = line("Café ─ naïve █", Style::default(), Font::Large).bytes;
        let started = started(&Format::default(), Leftover::default());
        for (bytes, command, name) in [
            (&started, &b"\x1b\x40"[..], "hw('INIT')"),
            (&started, b"\x1b\x74\x00", "charcode('CP437')"),
            (&title, b"\x1b\x61\x01", "set(align='center')"),
            (&title, b"\x1b\x61\x00", "set(align='left')"),
            (&title, b"\x1b\x45\x01", "set(bold=True)"),
            (&title, b"\x1b\x45\x00", "set(bold=False)"),
            (&title, b"\x1d\x21\x11", "set(custom_size=True, width=2, height=2)"),
            (&title, b"\x1d\x21\x00", "set(custom_size=True, width=1, height=1)"),
            (&text, b"\x1b\x33\x1c", "line_spacing(28, divisor=180)"),
            (&text, b"\x1b\x74\x00", "charcode('CP437')"),
            (&text, b"\x43\x61\x66\x82\x20\xc4\x20\x6e\x61\x8b\x76\x65\x20\xdb\x0a", "text(…)"),
        ] {
            assert!(bytes.windows(command.len()).any(|window| window == command), "{name}");
        }
        assert_eq!(QUERIES[0].bytes, *b"\x10\x04\x04", "paper_status()");
    }

    #[test]
    fn heat_is_sent_only_when_given() {
        let heat = "11, 120,40".parse().expect("three numbers");
        let bytes = |heat| started(&Format { heat, ..Format::default() }, Leftover::default());
        assert!(bytes(Some(heat)).windows(5).any(|window| window == [0x1B, b'7', 11, 120, 40]));
        assert!(!bytes(None).contains(&b'7'));
        for wrong in ["", "1,2", "1,2,3,4", "1,2,256", "a,b,c"] {
            assert!(wrong.parse::<Heat>().is_err(), "{wrong}");
        }
    }

    /// The lines that a printer prints of `bytes`. One that `keeps` its line keeps
    /// it through a reset.
    fn printed(bytes: &[u8], keeps: bool) -> Vec<String> {
        let (mut lines, mut line, mut rest) = (Vec::new(), String::new(), bytes);
        while let [first, after @ ..] = rest {
            rest = after;
            let command = after.first().copied().unwrap_or_default();
            let operands = match (*first, command) {
                (0x1B, b'@') => {
                    if !keeps {
                        line.clear();
                    }
                    0
                }
                (0x1C, _) => 0,
                (0x1B, b'8') | (0x1D, b'V') => 2,
                (0x1B | 0x1D, b'3' | b't' | b'a' | b'E' | b'!' | b'J') => 1,
                // A command that it does not know takes its own byte only.
                (0x1B | 0x1D, _) => 0,
                (b'\n', _) => {
                    lines.push(std::mem::take(&mut line));
                    continue;
                }
                (WAKE, _) => continue,
                _ => {
                    line.push(char::from(*first));
                    continue;
                }
            };
            rest = after.get(1 + operands..).unwrap_or_default();
        }
        lines
    }

    #[test]
    fn what_a_printer_holds_after_power_up_is_not_in_the_first_line() {
        for kind in [PrinterKind::Mini, PrinterKind::Epson] {
            let format = Format::of(kind, Font::Large);
            let title = line("TITLE", Style { centred: true, ..Style::default() }, Font::Large).bytes;
            // Characters, and the beginnings of commands.
            for held in [&b""[..], b"x(J", b"\x1b", b"ab\x1d", b"\xff\x1b"] {
                let ended = |garbage, keeps| {
                    let start = started(&format, Leftover { cut_off: false, garbage });
                    printed(&[held, &start, &title].concat(), keeps).pop().expect("a line")
                };
                // The reset is enough, but for a clone that keeps its line.
                for (garbage, keeps) in [(false, false), (true, false), (true, true)] {
                    let ended = ended(garbage, keeps);
                    assert_eq!(ended, "TITLE", "{kind:?} after {held:?}, garbage: {garbage}, keeps: {keeps}");
                }
            }
        }
    }

    #[test]
    fn every_question_tells_paper_from_none_and_from_noise() {
        let (paper, out) = (Some(PaperSensor::Present), Some(PaperSensor::Out));
        for (query, reply, told) in [
            (0, 0x12, paper),
            (0, 0x1E, Some(PaperSensor::NearEnd)),
            (0, 0x72, out),
            (0, 0xFF, None),
            (1, 0x00, paper),
            (1, 0x04, out),
            (2, 0x0C, out),
            (2, 0x90, None),
        ] {
            assert_eq!(QUERIES[query].paper(reply), told, "{query}: {reply:x}");
        }
    }

    /// The text of a line, of which a printer that has just been switched on prints
    /// nothing else.
    fn text_of(bytes: &[u8]) -> String {
        let mut reader = CommandReader::default();
        let steps = bytes.iter().filter_map(|&byte| reader.read(byte).expect("a command or text"));
        let steps: Vec<_> = steps.filter(|step| *step != Effect::Nothing).collect();
        let [Effect::Line(line)] = &steps[..] else { panic!("{steps:?} of {bytes:x?}") };
        assert!(reader.is_at_rest(), "{bytes:x?}");
        line.text()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        #[test]
        fn arbitrary_text_becomes_own_commands_and_printable_cp437(text in any::<String>(), style in 0..16) {
            let font = if style & 8 > 0 { Font::Small } else { Font::Large };
            let style = Style { bold: style & 1 > 0, double: style & 2 > 0, centred: style & 4 > 0 };
            text_of(&line(&text, style, font).bytes);
        }

        #[test]
        fn control_characters_never_pass(text in "[\\x00-\\x1f\\x7f-\\u{9f}\\u{200b}-\\u{200f}\\u{202a}-\\u{202e}\\u{2060}-\\u{2069}\\u{feff}]*") {
            prop_assert!(text_of(&line(&text, Style::default(), Font::Large).bytes).trim().is_empty());
        }
    }
}
