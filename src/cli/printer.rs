//! The options of the printer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};

use installation::life::link::{Link, Message};
use installation::panel::Pin;
use installation::paper::format::{CodePage, Font, Format, Heat, PrinterKind};
use installation::paper::pace;
use installation::paper::serial;
use installation::paper::settings::{PrinterSettings, Wire};
use installation::paper::template::{self, Design};

/// Columns of the narrowest paper on which text is still readable, and of the
/// widest: 80 mm in the small font.
const MIN_COLUMNS: i64 = 16;
const MAX_COLUMNS: i64 = 64;

/// The greatest line time, in milliseconds: the end of a life waits 30 s for the lines of
/// the death and those queued before them, some 20 in all.
const MAX_LINE_MILLIS: u64 = 1_500;

/// The longest wait for paper, in seconds: a day.
const MAX_PAPER_WAIT: u64 = 86_400;

/// Bits a second to a printer that is drawn: it holds the bytes back itself.
const DRAWN_BAUD: u32 = 4_000_000;

/// The options of the printer.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct PrinterArgs {
    /// Print on this device: /dev/serial0, or /dev/usb/lp0
    #[arg(long, value_name = "DEVICE")]
    printer: Option<PathBuf>,

    /// Kind of printer: mini (58 mm, serial) or epson (80 mm, with cutter, mostly USB)
    #[arg(
        long,
        value_name = "KIND",
        default_value = "mini",
        value_parser = PossibleValuesParser::new(["mini", "epson"])
            .map(|kind| if kind == "epson" { PrinterKind::Epson } else { PrinterKind::Mini }),
        hide_possible_values = true
    )]
    printer_kind: PrinterKind,

    /// Size of the text: large or small
    #[arg(
        long,
        value_name = "FONT",
        default_value = "large",
        value_parser = PossibleValuesParser::new(["large", "small"])
            .map(|font| if font == "small" { Font::Small } else { Font::Large }),
        hide_possible_values = true
    )]
    printer_font: Font,

    /// Characters that it prints: cp437, or ascii where rules and accents come out as others
    #[arg(
        long,
        value_name = "PAGE",
        default_value = "cp437",
        value_parser = PossibleValuesParser::new(["cp437", "ascii"])
            .map(|page| if page == "ascii" { CodePage::Ascii } else { CodePage::Cp437 }),
        hide_possible_values = true
    )]
    printer_code_page: CodePage,

    /// Bits a second on a serial port; older printers have 19200
    #[arg(long, value_name = "BAUD", default_value = "9600", value_parser = baud, allow_negative_numbers = true)]
    printer_baud: u32,

    /// Characters in a line [default: 32, small 42; epson 48, small 64]
    #[arg(long, value_name = "NUM", value_parser = clap::value_parser!(u16).range(MIN_COLUMNS..=MAX_COLUMNS), allow_negative_numbers = true)]
    printer_columns: Option<u16>,

    /// Time the paper needs for a line (0: trust the port's own flow) [default: 350; epson 0]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=MAX_LINE_MILLIS), allow_negative_numbers = true)]
    printer_line_ms: Option<u64>,

    /// Cut the paper after a receipt [default: no; epson yes]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = BoolishValueParser::new())]
    printer_cut: Option<bool>,

    /// Heating, as 11,120,40 (some printers print this instead)
    #[arg(long, value_name = "DOTS,TIME,INTERVAL")]
    printer_heat: Option<Heat>,

    /// The printer's replies are wired: ask it for paper
    #[arg(long, action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    printer_rx: bool,

    /// GPIO pin of the printer's BUSY (or DTR) wire, high while it is busy (24 in the wiring)
    #[arg(long, value_name = "BCM", value_parser = Pin::parse, allow_negative_numbers = true)]
    pub(super) printer_busy: Option<Pin>,

    /// How long the life waits for a new roll when the printer says that it is out of paper
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u64).range(0..=MAX_PAPER_WAIT), allow_negative_numbers = true)]
    paper_wait: u64,

    /// Title of the receipt [default: TORMENT NEXUS]
    #[arg(long, value_name = "TEXT", value_parser = template::printable)]
    title: Option<String>,

    /// Text file that is printed after the death
    #[arg(long, value_name = "PATH")]
    epitaph: Option<PathBuf>,

    /// Template of the receipt: its words, their language and order
    #[arg(long, value_name = "PATH")]
    receipt: Option<PathBuf>,
}

impl PrinterArgs {
    /// The printer's settings; `None` without a printer.
    pub(crate) fn settings(&self) -> Option<PrinterSettings> {
        Some(self.settings_on(self.printer.clone()?))
    }

    /// The settings of a printer that these options describe, on this device.
    fn settings_on(&self, device: PathBuf) -> PrinterSettings {
        let standing = Format::of(self.printer_kind, self.printer_font);
        let line = match self.printer_kind {
            PrinterKind::Mini => pace::LINE_MILLIS,
            PrinterKind::Epson => 0,
        };
        PrinterSettings {
            device,
            baud: self.printer_baud,
            format: Format {
                code_page: self.printer_code_page,
                columns: self.printer_columns.map_or(standing.columns, usize::from),
                cut: self.printer_cut.unwrap_or(standing.cut),
                heat: self.printer_heat,
                busy_wire: self.printer_busy.is_some(),
                ..standing
            },
            line: Duration::from_millis(self.printer_line_ms.unwrap_or(line)),
            replies: self.printer_rx,
            busy: self.printer_busy.map(|pin| Wire::Pin(pin.number())),
            paper_wait: Duration::from_secs(self.paper_wait),
        }
    }

    /// How the printer that is drawn has to print, and how the life uses it: it says itself
    /// when it takes bytes.
    pub(crate) fn drawn(&self, device: &Path, link: &Link) -> (Message, PrinterSettings) {
        let settings = self.settings_on(device.to_owned());
        let printer = Message::Printer {
            columns: settings.format.columns as u32,
            baud: settings.baud,
            line: settings.line.as_millis() as u32,
        };
        let (baud, line, busy) = (DRAWN_BAUD, Duration::ZERO, Some(Wire::Drawn(link.clone())));
        (printer, PrinterSettings { baud, line, replies: true, busy, ..settings })
    }

    /// What the artist has chosen for the receipt.
    pub(crate) fn design(&self) -> Design {
        Design { title: self.title.clone(), epitaph: self.epitaph.clone(), template: self.receipt.clone() }
    }
}

fn baud(text: &str) -> Result<u32, String> {
    let rates = serial::BAUD_RATES;
    text.parse().ok().filter(|rate| rates.contains(rate)).ok_or_else(|| format!("not one of {rates:?}"))
}
