//! The paper of this run: its printer, where its lives are counted, and what
//! is printed on it when.

use std::path::Path;

use anyhow::Result;

use crate::board::health::{Health, Slip};
use crate::life::interrupt::Interrupt;
use crate::paper::printer::{Lost, Printer, Settings};
use crate::paper::receipt::{Line, Summary};
use crate::state::lives::{Record, StateDir};
use crate::text::stderr::say;

/// Columns of a slip where there is no printer.
const TERMINAL_COLUMNS: usize = 80;

/// The printer that was asked for, if any.
#[derive(Debug)]
pub struct Paper {
    settings: Option<Settings>,
    /// `None` where nothing can be kept.
    state: Option<StateDir>,
}

impl Paper {
    /// Looks at the device and at the state directory before anything else is
    /// done. What is merely absent is warned about.
    ///
    /// # Errors
    ///
    /// When the device can be no printer; see [`crate::paper::serial::check`].
    pub fn open(settings: Option<Settings>, state_dir: Option<&Path>, has_button: bool) -> Result<Self> {
        if let Some(settings) = &settings {
            settings.check()?;
        }
        // A life on a terminal is not counted: nobody would be shown the number.
        let counts = settings.is_some() || has_button;
        let state = if counts { StateDir::open(state_dir) } else { None };
        Ok(Self { settings, state })
    }

    /// Begins the receipt of a life; `None` without a printer.
    #[must_use]
    pub fn begin(&self, lost: &Lost, interrupt: &Interrupt) -> Option<Printer> {
        if let Some(settings) = &self.settings {
            return Some(Printer::begin(settings, self.state.clone(), lost, interrupt));
        }
        if let Some(state) = &self.state
            && let Err(error) = state.update(|record| record.lives += 1)
        {
            say(&format!("warning: {error:#}\n"));
        }
        None
    }

    /// Ends the receipt, if there is one, with the death, on paper and fed.
    pub fn finish(&self, printer: Option<Printer>, summary: &Summary) {
        if let Some(printer) = printer {
            printer.finish(summary);
        }
        if let Some(state) = &self.state {
            // What cannot be kept was said when the life began.
            let _ = state.update(|record| record.rate = Some(summary.rate));
        }
    }

    /// Prints the technician's slip, or says it where there is no printer.
    pub fn slip(&self, model: &str, prompt: &str, interrupt: &Interrupt) {
        let record = self.state.as_ref().and_then(|state| state.read().ok());
        let slip = Slip {
            lives: record.as_ref().map(|record| record.lives),
            model,
            prompt,
            rate: record.and_then(|Record { rate, .. }| rate),
        };
        let health = Health::of_this_machine();
        match &self.settings {
            Some(settings) => {
                let lines = slip.lines(&health, settings.columns).into_iter().map(Line::Text);
                let lines =
                    [Line::Centred("technician's slip".to_owned()), Line::Rule].into_iter().chain(lines);
                Printer::slip(settings, self.state.clone(), &Lost::default(), interrupt, lines.collect());
            }
            None => say(&(slip.lines(&health, TERMINAL_COLUMNS).join("\n") + "\n")),
        }
    }
}
