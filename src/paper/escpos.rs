//! ESC/POS: text in, the printer's bytes out. The only file that knows a
//! command byte.
//!
//! Whatever the text contains, the printer receives only the commands below and
//! printable characters of CP437: a model that generates ESC would otherwise
//! send the printer commands.
//!
//! Written for the 58 mm mechanisms with 384 dots (CSN-A2, QR204, "mini TTL").
//! They print a line only when its line feed arrives.

use std::str::FromStr;
use std::time::Duration;

use deunicode::deunicode_char;
use unicode_width::UnicodeWidthChar;

/// Dots in a millimetre of paper: 203 dpi.
#[cfg(test)]
pub(crate) const DOTS_PER_MM: u32 = 8;

/// Dot rows of a character, font A.
pub(crate) const CHARACTER_ROWS: u32 = 24;

/// Blank dot rows below a line. With 28 rows (3.5 mm) for a line the text is
/// still easy to read, and 8 KB of English fit on 1.2 m of paper.
pub(crate) const SPACING_ROWS: u32 = 4;

/// Time for a sleeping printer to wake.
const WAKING: Duration = Duration::from_millis(50);

/// Pause after a reset: bytes that arrive too early are lost or printed as
/// text. No manual gives a time; this one is our choice, and it is spent once a
/// receipt.
const RESETTING: Duration = Duration::from_millis(200);

/// The characters of CP437 from 0x80 on. The last byte, 0xFF, is a blank in
/// CP437 and wakes a sleeping printer, so it is never sent as text.
const CP437_HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
                          ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                          αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■";

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
    /// In bold.
    pub bold: bool,
    /// Twice as wide and twice as high.
    pub double: bool,
    /// In the middle of the paper.
    pub centred: bool,
}

/// The operands of `ESC 7`. Some firmware (2.16) prints them as text instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heat {
    /// Dots heated at once, in units of 8, minus 1.
    dots: u8,
    /// Heating time, in 10 µs.
    time: u8,
    /// Pause between heatings, in 10 µs.
    interval: u8,
}

impl FromStr for Heat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u8>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[dots, time, interval]) => Ok(Self { dots, time, interval }),
            _ => Err("not three numbers from 0 to 255, as in 11,120,40".to_owned()),
        }
    }
}

/// The bytes before a receipt: they wake and reset the printer and select
/// CP437.
///
/// `cut_off`: the receipt before this one has no end. Text that is still in the
/// printer is printed first, then `gap` dot rows are fed, where the receipts
/// can be torn apart.
#[must_use]
pub(crate) fn start(heat: Option<Heat>, cut_off: bool, gap: u8) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    if cut_off {
        // The line feed also serves as the operand of a command that was cut
        // off before it.
        chunks.push(Chunk {
            bytes: vec![LINE_FEED],
            printed: CHARACTER_ROWS,
            fed: SPACING_ROWS,
            ..Chunk::default()
        });
    }
    chunks.push(Chunk { bytes: vec![WAKE], rest: WAKING, ..Chunk::default() });
    let reset = [&NEVER_SLEEP[..], &RESET].concat();
    chunks.push(Chunk { bytes: reset, rest: RESETTING, ..Chunk::default() });
    let mut settings = [&NO_CHINESE[..], &CODE_PAGE].concat();
    if let Some(Heat { dots, time, interval }) = heat {
        settings.extend(HEAT);
        settings.extend([dots, time, interval]);
    }
    chunks.push(Chunk { bytes: settings, ..Chunk::default() });
    if cut_off {
        chunks.push(feed(gap));
    }
    chunks
}

/// A line of text with its line feed. Every line carries all settings that it
/// needs, so that a printer that is switched on in the middle of a life prints
/// the rest of it correctly.
#[must_use]
pub(crate) fn line(text: &str, style: Style) -> Chunk {
    let mut folded = String::new();
    fold(text, &mut folded);
    let text: Vec<u8> = folded.chars().filter_map(cp437).collect();

    let mut bytes = Vec::with_capacity(text.len() + 24);
    if !text.is_ascii() {
        bytes.extend(NO_CHINESE);
        bytes.extend(CODE_PAGE);
    }
    let height = if style.double { 2 * CHARACTER_ROWS } else { CHARACTER_ROWS };
    bytes.extend(LINE_ROWS);
    bytes.push((height + SPACING_ROWS) as u8);
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
    let printed = if text.iter().all(|&byte| byte == b' ') { 0 } else { height };
    let tail = bytes.len() - end;
    Chunk { bytes, tail, printed, fed: height + SPACING_ROWS - printed, rest: Duration::ZERO }
}

/// A feed of `rows` blank dot rows.
#[must_use]
pub(crate) fn feed(rows: u8) -> Chunk {
    let bytes = [&FEED[..], &[rows]].concat();
    Chunk { bytes, fed: rows.into(), ..Chunk::default() }
}

/// The commands that ask these printers for their paper status. Which of them
/// is answered depends on the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    /// `DLE EOT 4`, answered as soon as it arrives.
    RealTime,
    /// `ESC v 0`, answered after everything that was sent before it.
    Sensor,
    /// `GS r 1`, answered after everything that was sent before it.
    Status,
}

impl Query {
    /// All of them, the best first.
    pub(crate) const ALL: [Self; 3] = [Self::RealTime, Self::Sensor, Self::Status];

    /// The bytes of the query.
    #[must_use]
    pub(crate) fn bytes(self) -> [u8; 3] {
        match self {
            Self::RealTime => [0x10, 0x04, 4],
            Self::Sensor => [0x1B, b'v', 0],
            Self::Status => [0x1D, b'r', 1],
        }
    }

    /// Whether `reply` says that there is paper; `None` if it is no reply to
    /// this query.
    #[must_use]
    pub(crate) fn has_paper(self, reply: u8) -> Option<bool> {
        // The bits that are fixed in a reply, their values, and the bits that
        // report the end of the paper.
        let (fixed, values, end) = match self {
            Self::RealTime => (0b1001_0011, 0b0001_0010, 0b0110_0000),
            Self::Sensor | Self::Status => (0b1001_0000, 0, 0b0000_1100),
        };
        (reply & fixed == values).then_some(reply & end == 0)
    }
}

/// Appends `text` to `out` in characters of CP437, each one column wide:
/// characters that CP437 has are kept, others are transliterated to ASCII, and
/// those without a transliteration become `?`. Control characters are dropped,
/// except the line break.
pub(crate) fn fold(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            ' '..='~' | '\n' => out.push(character),
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            _ if character.is_whitespace() => out.push(' '),
            _ if character.is_control() => {}
            _ if cp437(character).is_some() => out.push(character),
            _ => fold_foreign(character, out),
        }
    }
}

/// Folds a character that CP437 lacks. Characters of zero width without a
/// transliteration, such as joiners and direction marks, are dropped.
fn fold_foreign(character: char, out: &mut String) {
    let invisible = character.width() == Some(0);
    match deunicode_char(character) {
        Some(ascii) if !(invisible && ascii.trim().is_empty()) => {
            out.extend(ascii.chars().filter(|character| (' '..='~').contains(character)));
        }
        None if !invisible => out.push('?'),
        _ => {}
    }
}

/// The byte of a printable character of CP437.
fn cp437(character: char) -> Option<u8> {
    if (' '..='~').contains(&character) {
        return Some(character as u8);
    }
    let index = CP437_HIGH.chars().position(|high| high == character)?;
    Some(0x80 + index as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        fold(text, &mut out);
        out
    }

    #[test]
    fn the_code_page_has_127_characters_of_one_column() {
        assert_eq!(CP437_HIGH.chars().count(), 127);
        assert!(CP437_HIGH.chars().all(|character| character.width() == Some(1)));
        assert_eq!(cp437('é'), Some(0x82));
        assert_eq!(cp437('─'), Some(0xC4));
        assert_eq!(cp437('■'), Some(0xFE));
    }

    #[test]
    fn what_cp437_has_stays_and_the_rest_reads_like_itself() {
        assert_eq!(folded("naïve café, ½ Ångström"), "naïve café, ½ Ångström");
        assert_eq!(folded("‘I’ “am” — here–there…"), "'I' \"am\" -- here-there...");
        assert_eq!(folded("Dvořák œuvre ﬁt"), "Dvorák oeuvre fit");
        assert_eq!(folded("e\u{301}t\u{200b}c\u{202e}\u{feff}"), "etc");
        assert_eq!(folded("a\tb\u{a0}c\u{2028}d\r\ne"), "a b c\nd \ne");
        assert_eq!(folded("\u{1b}@\0\u{7f}\u{9b}x\u{e000}"), "@x?");
    }

    #[test]
    fn a_text_line_fits_the_smallest_input_buffer() {
        let chunk = line(&"x".repeat(32), Style::default());
        assert_eq!(chunk.bytes.len(), 36);
        assert_eq!((chunk.printed, chunk.fed), (24, 4));
    }

    #[test]
    fn a_blank_line_only_feeds() {
        let chunk = line("  ", Style::default());
        assert_eq!((chunk.printed, chunk.fed), (0, 28));
    }

    #[test]
    fn the_commands_are_those_of_python_escpos() {
        // The output of `Dummy` of python-escpos 3.1: see
        // tests/it/paper/python_escpos.py, which prints these lines.
        let has =
            |chunk: &Chunk, bytes: &[u8]| chunk.bytes.windows(bytes.len()).any(|window| window == bytes);
        let started = start(None, false, 0).into_iter().map(|chunk| chunk.bytes).collect::<Vec<_>>().concat();
        let started = Chunk { bytes: started, ..Chunk::default() };
        assert!(has(&started, b"\x1b\x40"), "hw('INIT')");
        assert!(has(&started, b"\x1b\x74\x00"), "charcode('CP437')");
        let title = line("A", Style { bold: true, double: true, centred: true });
        assert!(has(&title, b"\x1b\x61\x01"), "set(align='center')");
        assert!(has(&title, b"\x1b\x61\x00"), "set(align='left')");
        assert!(has(&title, b"\x1b\x45\x01"), "set(bold=True)");
        assert!(has(&title, b"\x1b\x45\x00"), "set(bold=False)");
        assert!(has(&title, b"\x1d\x21\x11"), "set(custom_size=True, width=2, height=2)");
        assert!(has(&title, b"\x1d\x21\x00"), "set(custom_size=True, width=1, height=1)");
        let text = line("Café ─ naïve █", Style::default());
        assert!(has(&text, b"\x1b\x33\x1c"), "line_spacing(28, divisor=180)");
        let encoded = b"\x1b\x74\x00\x43\x61\x66\x82\x20\xc4\x20\x6e\x61\x8b\x76\x65\x20\xdb\x0a";
        let [page, encoded] = [&encoded[..3], &encoded[3..]];
        assert!(has(&text, page) && has(&text, encoded), "charcode('CP437'), text(…)");
        assert_eq!(Query::RealTime.bytes(), *b"\x10\x04\x04", "paper_status()");
    }

    #[test]
    fn heat_is_sent_only_when_given() {
        let heat = "11, 120,40".parse().expect("three numbers");
        let bytes = |heat| start(heat, false, 0).concat_bytes();
        assert!(bytes(Some(heat)).windows(5).any(|window| window == [0x1B, b'7', 11, 120, 40]));
        assert!(!bytes(None).contains(&b'7'));
        for wrong in ["", "1,2", "1,2,3,4", "1,2,256", "a,b,c"] {
            assert!(wrong.parse::<Heat>().is_err(), "{wrong}");
        }
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }
    impl ConcatBytes for Vec<Chunk> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|chunk| chunk.bytes.clone()).collect()
        }
    }

    #[test]
    fn every_question_tells_paper_from_none_and_from_noise() {
        assert_eq!(Query::RealTime.has_paper(0x12), Some(true));
        assert_eq!(Query::RealTime.has_paper(0x1E), Some(true), "nearly out is not out");
        assert_eq!(Query::RealTime.has_paper(0x72), Some(false));
        assert_eq!(Query::RealTime.has_paper(0xFF), None);
        assert_eq!(Query::Sensor.has_paper(0x00), Some(true));
        assert_eq!(Query::Sensor.has_paper(0x04), Some(false));
        assert_eq!(Query::Status.has_paper(0x0C), Some(false));
        assert_eq!(Query::Status.has_paper(0x90), None);
    }

    /// The bytes of a line's text without the commands; fails on any byte that
    /// is neither a command of a line nor printable.
    fn text_of(mut bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut ended = false;
        while let [first, rest @ ..] = bytes {
            bytes = match (first, rest) {
                (0x1C, [b'.', rest @ ..]) => rest,
                (0x1B, [b't', 0, rest @ ..]) => rest,
                (0x1B, [b'3', 28 | 52, rest @ ..]) => rest,
                (0x1B, [b'a' | b'E', 0 | 1, rest @ ..]) => rest,
                (0x1D, [b'!', 0 | DOUBLE, rest @ ..]) => rest,
                (b'\n', rest) if !ended => {
                    ended = true;
                    rest
                }
                (0x20..=0x7E | 0x80..=0xFE, rest) if !ended => {
                    text.push(*first);
                    rest
                }
                _ => panic!("{bytes:x?} is neither a command nor text"),
            };
        }
        assert!(ended, "a line has its line feed");
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        #[test]
        fn arbitrary_text_becomes_own_commands_and_printable_cp437(text in any::<String>(), style in 0..8) {
            let style = Style { bold: style & 1 > 0, double: style & 2 > 0, centred: style & 4 > 0 };
            text_of(&line(&text, style).bytes);
        }

        #[test]
        fn control_characters_never_pass(text in "[\\x00-\\x1f\\x7f-\\u{9f}\\u{200b}-\\u{200f}\\u{202a}-\\u{202e}\\u{2060}-\\u{2069}\\u{feff}]*") {
            prop_assert!(text_of(&line(&text, Style::default()).bytes).iter().all(|&byte| byte == b' '));
        }

        #[test]
        fn folding_does_not_depend_on_the_split_and_is_done_once(text in any::<String>(), at in any::<prop::sample::Index>()) {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (left, right) = text.split_at(*at.get(&boundaries));
            let whole = folded(&text);
            prop_assert_eq!(&(folded(left) + &folded(right)), &whole);
            prop_assert_eq!(&folded(&whole), &whole);
            prop_assert!(whole.chars().all(|character| character == '\n' || character.width() == Some(1)));
        }
    }
}
