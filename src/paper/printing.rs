//! What is printed when: the receipt of each life, and the technician's slip.

use std::time::Duration;

use anyhow::Result;

use super::printer::{Printer, Settings};
use super::receipt::{Line, Summary};
use super::slip::Slip;
use super::template::{Design, Template};
use crate::board::health::Health;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Fill;
use crate::life::listener::{Listener, PrinterStatus};
use crate::state::folder::StateFolder;
use crate::state::lives::{Lives, Record};
use crate::text::stderr::{say, warn};

/// Columns of a slip that is written to stderr, without a printer.
const TERMINAL_COLUMNS: usize = 80;

/// The printer, if one was asked for, and the record in which lives are
/// counted.
#[derive(Debug)]
pub(crate) struct Paper {
    settings: Option<Settings>,
    template: Template,
    /// `None` if nothing can be kept, or if there is neither printer nor
    /// button, so that no number is shown.
    lives: Option<Lives>,
}

impl Paper {
    /// Checks the device and the state folder before anything else is done. A
    /// device that is merely absent causes only a warning.
    ///
    /// # Errors
    ///
    /// When the device cannot be a printer, see [`super::device::check`], and
    /// when the design cannot be printed, see [`Template::read`].
    pub(crate) fn open(
        settings: Option<Settings>,
        design: &Design,
        folder: Option<&StateFolder>,
        has_button: bool,
    ) -> Result<Self> {
        let template = Template::read(design)?;
        if let Some(settings) = &settings {
            settings.check()?;
        }
        // Without printer and button, lives are not counted: the number would
        // never be shown.
        let counts = settings.is_some() || has_button;
        let lives = if counts { Lives::open(folder) } else { None };
        Ok(Self { settings, template, lives })
    }

    /// Begins the receipt of a life, and counts it. `status` says how the
    /// printer is.
    #[must_use]
    pub(crate) fn begin(&self, status: &PrinterStatus, interrupt: &Interrupt) -> Receipt {
        let lives = self.lives.clone();
        let begin = |settings| Printer::begin(settings, &self.template, lives.clone(), status, interrupt);
        let printer = self.settings.as_ref().map(begin);
        // With a printer its thread counts the life, because the number is in
        // the header.
        if printer.is_none()
            && let Some(lives) = &lives
            && let Err(error) = lives.count_life(|_| {})
        {
            warn(format_args!("{error:#}"));
        }
        Receipt { printer, lives }
    }

    /// Prints the technician's slip, or writes it to stderr if there is no
    /// printer.
    pub(crate) fn slip(&self, model: &str, prompt: &str, interrupt: &Interrupt) {
        let record = self.lives.as_ref().and_then(|lives| lives.read().ok());
        let slip = Slip {
            lives: record.as_ref().map(|record| record.lives),
            model,
            prompt,
            rate: record.and_then(|Record { rate, .. }| rate),
        };
        let health = Health::of_this_machine();
        match &self.settings {
            Some(settings) => {
                let lines = slip.lines(&health, settings.format.columns).into_iter().map(Line::Text);
                let lines =
                    [Line::Centred("technician's slip".to_owned()), Line::Rule].into_iter().chain(lines);
                Printer::slip(
                    settings,
                    self.lives.clone(),
                    &PrinterStatus::default(),
                    interrupt,
                    lines.collect(),
                );
            }
            None => say(slip.lines(&health, TERMINAL_COLUMNS).join("\n") + "\n"),
        }
    }
}

/// The receipt of one life. Without a printer nothing is printed.
#[derive(Debug)]
pub(crate) struct Receipt {
    printer: Option<Printer>,
    lives: Option<Lives>,
}

impl Receipt {
    /// Whether there is a printer, lost or not.
    #[must_use]
    pub(crate) fn is_printed(&self) -> bool {
        self.printer.is_some()
    }

    /// Time that the generator waited for the printer.
    #[must_use]
    pub(crate) fn waited(&self) -> Duration {
        self.printer.as_ref().map_or(Duration::ZERO, Printer::waited)
    }

    /// Ends the receipt with the death, waits until it is printed, and keeps
    /// the life's rate in the record.
    pub(crate) fn finish(self, summary: &Summary) {
        if let Some(printer) = self.printer {
            printer.finish(summary);
        }
        if let Some(lives) = &self.lives {
            // A failure was reported when the life began.
            let _ = lives.update(|record| record.rate = Some(summary.rate));
        }
    }

    /// Ends the receipt of a life that did not reach the death.
    pub(crate) fn break_off(self, ending: &Ending) {
        if let Some(printer) = self.printer {
            printer.break_off(ending);
        }
    }
}

impl Listener for Receipt {
    fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending> {
        self.printer.as_mut().map_or(Ok(()), |printer| printer.token(text, fill))
    }
}
