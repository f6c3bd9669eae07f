//! Who a life is told to: stdout and the paper.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use crate::paper::printer::Printer;
use crate::text::stderr::say;
use crate::text::stdout::Output;

/// Something that a thought is told to as it happens.
pub trait Listener {
    /// Takes a token's text, which may be empty.
    ///
    /// # Errors
    ///
    /// When nobody is there to hear more.
    fn text(&mut self, text: &str) -> Result<()>;

    /// Ends the last line.
    ///
    /// # Errors
    ///
    /// As [`Listener::text`].
    fn finish(&mut self) -> Result<()>;
}

impl<W: Write> Listener for Output<W> {
    fn text(&mut self, text: &str) -> Result<()> {
        self.text(text)
    }

    fn finish(&mut self) -> Result<()> {
        self.finish()
    }
}

/// Stdout, and the paper where there is a printer. With one, stdout is the
/// lesser witness: that it fails is said once, and the life goes on, also
/// after the printer is lost.
#[derive(Debug)]
pub struct Listeners<W> {
    /// `None` once it has failed.
    stdout: Option<Output<W>>,
    /// The receipt of this life.
    pub printer: Option<Printer>,
}

impl<W: Write> Listeners<W> {
    /// Both, or stdout alone.
    pub fn new(stdout: Output<W>, printer: Option<Printer>) -> Self {
        Self { stdout: Some(stdout), printer }
    }

    /// Time that the thought waited for the paper.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.printer.as_ref().map_or(Duration::ZERO, Printer::waited)
    }

    /// Ends the receipt of a life that was broken off.
    pub fn break_off(&mut self, why: &str) {
        if let Some(printer) = self.printer.take() {
            printer.break_off(why);
        }
    }

    fn tell_stdout(&mut self, tell: impl FnOnce(&mut Output<W>) -> Result<()>) -> Result<()> {
        let Some(Err(error)) = self.stdout.as_mut().map(tell) else { return Ok(()) };
        if self.printer.is_none() {
            return Err(error);
        }
        self.stdout = None;
        say(&format!("warning: {error:#}; the life goes on without it\n"));
        Ok(())
    }
}

impl<W: Write> Listener for Listeners<W> {
    fn text(&mut self, text: &str) -> Result<()> {
        self.tell_stdout(|stdout| stdout.text(text))?;
        if let Some(printer) = &mut self.printer {
            printer.text(text);
        }
        Ok(())
    }

    /// The paper's last line waits for what follows it on the receipt.
    fn finish(&mut self) -> Result<()> {
        self.tell_stdout(Output::finish)
    }
}
