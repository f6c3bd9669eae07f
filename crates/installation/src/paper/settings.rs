//! The settings of a printer, and whether it can be used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

pub use super::busy::Wire;
use super::device;
use super::format::Format;
use super::missing;
use crate::text::stderr::warn;

/// The options of the printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrinterSettings {
    /// The serial device, or the USB printer.
    pub device: PathBuf,
    /// Bits a second; means nothing to a USB printer.
    pub baud: u32,
    /// How text is set, and which commands the printer knows.
    pub format: Format,
    /// Time the printer needs for a line of text; zero relies on the port's own
    /// flow control.
    pub line: Duration,
    /// Whether the printer's replies are wired.
    pub replies: bool,
    /// The printer's BUSY wire.
    pub busy: Option<Wire>,
    /// How long a printer that says that it is out of paper is waited for.
    pub paper_wait: Duration,
}

impl PrinterSettings {
    /// Checks the device before anything else is done, and warns if it is absent. Fails
    /// as [`device::check`], and when the BUSY wire cannot be read.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(missing) = self.missing()? {
            warn(format_args!("{missing} (each life looks for it anew)"));
        }
        Ok(())
    }

    /// Checks the device; if it is absent, says so with what is there and the next step.
    /// Fails as [`device::check`], and when the BUSY wire cannot be read.
    pub fn missing(&self) -> Result<Option<String>> {
        if let Some(Wire::Pin(number)) = self.busy {
            Wire::Pin(number).take().with_context(|| {
                format!("cannot read --printer-busy {number}; leave it out to print at the pace of --printer-line-ms")
            })?;
        }
        Ok((!device::check(&self.device)?).then(|| missing::told(&self.device, Path::new("/"))))
    }
}
