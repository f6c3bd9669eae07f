//! The options of the printer.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::paper::escpos::Heat;
use crate::paper::pace;
use crate::paper::printer::Settings;
use crate::paper::serial;

/// Columns of the narrowest paper on which text is still readable, and of the
/// widest: 80 mm in font B.
const MIN_COLUMNS: i64 = 16;
const MAX_COLUMNS: i64 = 64;

/// The greatest line time, in milliseconds, about twice the default: the end of
/// a life waits 30 s for the lines of the death and those queued before them,
/// some 20 in all.
const MAX_LINE_MILLIS: u64 = 1_500;

/// The options of the thermal printer.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct PrinterArgs {
    /// Print on this serial device, as /dev/serial0
    #[arg(long, value_name = "DEVICE")]
    printer: Option<PathBuf>,

    /// Bits a second; older printers have 19200
    #[arg(long, value_name = "BAUD", default_value = "9600", value_parser = baud, allow_negative_numbers = true)]
    printer_baud: u32,

    /// Characters in a line
    #[arg(long, value_name = "NUM", default_value = "32", value_parser = clap::value_parser!(u16).range(MIN_COLUMNS..=MAX_COLUMNS), allow_negative_numbers = true)]
    printer_columns: u16,

    /// Time the paper needs for a line (0: trust the port's own flow)
    #[arg(long, value_name = "MS", default_value_t = pace::LINE_MILLIS, value_parser = clap::value_parser!(u64).range(0..=MAX_LINE_MILLIS), allow_negative_numbers = true)]
    printer_line_ms: u64,

    /// Heating, as 11,120,40 (some printers print this instead)
    #[arg(long, value_name = "DOTS,TIME,INTERVAL")]
    printer_heat: Option<Heat>,

    /// The printer's replies are wired: ask it for paper
    #[arg(long, action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    printer_rx: bool,
}

impl PrinterArgs {
    /// The printer's settings; `None` without a printer.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        Some(Settings {
            device: self.printer.clone()?,
            baud: self.printer_baud,
            columns: self.printer_columns.into(),
            line: Duration::from_millis(self.printer_line_ms),
            heat: self.printer_heat,
            replies: self.printer_rx,
        })
    }
}

fn baud(text: &str) -> Result<u32, String> {
    let rates = serial::BAUD_RATES;
    text.parse().ok().filter(|rate| rates.contains(rate)).ok_or_else(|| format!("not one of {rates:?}"))
}
