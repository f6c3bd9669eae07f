//! What is printed when: the receipt of each life, and the technician's slip.

use std::time::Duration;

use anyhow::Result;

use super::printer::Printer;
use super::receipt::{Line, Summary};
use super::settings::PrinterSettings;
use super::slip::Slip;
use super::template::{Design, Template};
use crate::board::clock;
use crate::board::health::Health;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Fill;
use crate::life::listener::{Listener, PrinterStatus};
use crate::state::entry::{Entry, Figures, Outcome, PaperEnd};
use crate::state::folder::StateFolder;
use crate::state::lives::Lives;
use crate::state::texts::{Text, Texts};
use crate::text::fault::one_line;
use crate::text::stderr::{say, warn};

/// Columns of a slip that is written to stderr, without a printer.
const TERMINAL_COLUMNS: usize = 80;

/// The printer, if one was asked for, and the history in which lives are
/// counted.
#[derive(Debug)]
pub struct Paper {
    settings: Option<PrinterSettings>,
    template: Template,
    /// `None` if nothing can be kept, or if there is neither printer nor
    /// button, so that no number is shown.
    lives: Option<Lives>,
    /// The last lives' texts, where lives are counted and some are kept.
    texts: Option<Texts>,
}

impl Paper {
    /// Checks the device and the state folder before anything else is done. Fails as
    /// [`PrinterSettings::check`] and [`Template::read`].
    pub fn open(
        settings: Option<PrinterSettings>,
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
        Ok(Self { settings, template, lives, texts: None })
    }

    /// The same, which keeps the texts of the last `most` lives in `folder` where lives are
    /// counted.
    #[must_use]
    pub fn keeping_texts(mut self, folder: Option<&StateFolder>, most: u16) -> Self {
        let folder = folder.filter(|_| self.lives.is_some() && most > 0);
        self.texts = folder.map(|folder| Texts::within(folder.path(), most.into()));
        self
    }

    /// The history in which lives are counted, if they are.
    pub fn lives(&self) -> Option<&Lives> {
        self.lives.as_ref()
    }

    /// Begins the receipt of the life that `about` tells of, and counts it.
    /// `status` says how the printer is.
    pub fn begin(&self, about: Entry, status: &PrinterStatus, interrupt: &Interrupt) -> Receipt {
        let date = clock::stamp().unwrap_or_default();
        // What becomes of a printer's receipt is known at the end.
        let paper = self.settings.is_none().then_some(PaperEnd::None);
        let text = Text { date: date.clone(), seed: about.seed, ..Text::default() };
        let lives = self.lives.as_ref().map(|lives| lives.with(Entry { date, paper, ..about }));
        let begin = |settings| Printer::begin(settings, &self.template, lives.clone(), status, interrupt);
        let printer = self.settings.as_ref().map(begin);
        // With a printer its thread counts the life, because the number is in
        // the header.
        if printer.is_none()
            && let Some(lives) = &lives
        {
            tell(lives.begin());
        }
        Receipt { printer, lives, status: status.clone(), texts: self.texts.clone(), text }
    }

    /// Notes a fault for the slip, unless the receipt of its life has noted it.
    pub fn note(&self, ending: &Ending) {
        if let (Some(lives), Ending::Fault(fault)) = (&self.lives, ending) {
            tell(lives.note_fault(&one_line(fault)));
        }
    }

    /// Prints the technician's slip, or writes it to stderr if there is no
    /// printer.
    pub fn slip(&self, model: &str, prompt: &str, interrupt: &Interrupt) {
        let record = self.lives.as_ref().and_then(|lives| lives.read().ok());
        let slip = Slip { record: record.as_ref(), model, prompt };
        let health = Health::of_this_machine();
        match &self.settings {
            Some(settings) => {
                let lines = slip.lines(&health, settings.format.columns).into_iter().map(Line::Text);
                let _ = self.notice("technician's slip", lines, interrupt);
            }
            None => say(slip.lines(&health, TERMINAL_COLUMNS).join("\n") + "\n"),
        }
    }

    /// Prints the receipt of the last life again, if its text is kept; without a printer its
    /// text goes to stderr.
    pub fn last_again(&self, interrupt: &Interrupt) {
        let Some(texts) = &self.texts else { return };
        let Some(number) = texts.numbers().pop() else { return };
        match texts.read(number) {
            Ok(text) => self.again(&text, interrupt),
            Err(error) => warn(one_line(&error)),
        }
    }

    /// Prints the receipt of the life of this text again.
    pub fn again(&self, text: &Text, interrupt: &Interrupt) {
        match &self.settings {
            Some(settings) => {
                let (head, foot) = self.template.of_the_past(text);
                Printer::again(settings, self.lives.clone(), interrupt, (head, &text.words, &foot));
            }
            None => say(format_args!("{}\n", text.words)),
        }
    }

    /// Prints `lines` below a title, if there is a printer. Returns whether nobody has still to
    /// be told.
    pub fn notice(&self, title: &str, lines: impl Iterator<Item = Line>, interrupt: &Interrupt) -> bool {
        let Some(settings) = &self.settings else { return true };
        let lines = [Line::Centred(title.to_owned()), Line::Rule].into_iter().chain(lines).collect();
        Printer::slip(settings, self.lives.clone(), &PrinterStatus::default(), interrupt, lines)
    }
}

/// The receipt of one life. Without a printer nothing is printed.
#[derive(Debug)]
pub struct Receipt {
    printer: Option<Printer>,
    lives: Option<Lives>,
    status: PrinterStatus,
    texts: Option<Texts>,
    /// What is said so far, if it will be kept.
    text: Text,
}

impl Receipt {
    /// Whether there is a printer, lost or not.
    pub fn is_printed(&self) -> bool {
        self.printer.is_some()
    }

    /// The number of this life, once it is counted.
    pub fn number(&self) -> impl Fn() -> Option<u64> + Send + use<> {
        let lives = self.lives.clone();
        move || lives.as_ref()?.number()
    }

    /// Time that the generator waited for the printer.
    pub fn waited(&self) -> Duration {
        self.printer.as_ref().map_or(Duration::ZERO, Printer::waited)
    }

    /// Ends the receipt with the death, waits until it is printed, and writes
    /// the life's end to the history.
    pub fn finish(mut self, summary: &Summary, figures: Figures) {
        self.text.tokens = Some((summary.used, summary.context_size));
        self.text.voice.clone_from(&summary.voice);
        self.keep(figures);
        let whole = self.printer.map(|printer| printer.finish(summary));
        if let Some(lives) = &self.lives {
            tell(lives.end(figures, paper_end(whole, &self.status), Outcome::Death, ""));
        }
    }

    /// Ends the receipt of a life that did not reach the death, and writes the
    /// life's end to the history.
    pub fn break_off(mut self, ending: &Ending, figures: Figures) {
        self.keep(figures);
        let whole = self.printer.map(|printer| printer.break_off(ending));
        let (outcome, fault) = match ending {
            Ending::Interrupted(_) => (Outcome::Interrupted, String::new()),
            // The last three come without a life.
            Ending::Unheard | Ending::Usage | Ending::Done | Ending::Failed => {
                (Outcome::Unheard, String::new())
            }
            Ending::Fault(fault) => (Outcome::Fault, one_line(fault)),
        };
        if let Some(lives) = &self.lives {
            tell(lives.end(figures, paper_end(whole, &self.status), outcome, &fault));
        }
    }

    /// Keeps the text. Before the end is printed: the paper may be waited for, and the power
    /// cut meanwhile.
    fn keep(&mut self, figures: Figures) {
        let number = self.lives.as_ref().and_then(Lives::number);
        let (Some(texts), Some(number)) = (&self.texts, number) else { return };
        let (seconds, rate) = (figures.seconds.unwrap_or_default(), figures.rate.unwrap_or_default());
        tell(texts.keep(&Text { number, seconds, rate, ..std::mem::take(&mut self.text) }));
    }
}

/// How the paper of a life ended whose receipt is `whole`, if it has one.
fn paper_end(whole: Option<bool>, status: &PrinterStatus) -> PaperEnd {
    match whole {
        None => PaperEnd::None,
        Some(true) => PaperEnd::Whole,
        Some(false) if status.is_left_without_paper() => PaperEnd::NoPaper,
        Some(false) if status.is_lost() => PaperEnd::Lost,
        Some(false) => PaperEnd::CutOff,
    }
}

/// Warns of what could not be written: the life goes on.
fn tell<T>(written: Result<T>) {
    if let Err(error) = written {
        warn(one_line(&error));
    }
}

impl Listener for Receipt {
    fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending> {
        if self.texts.is_some() {
            self.text.words.push_str(text);
        }
        self.printer.as_mut().map_or(Ok(()), |printer| printer.token(text, fill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn each_ending_has_its_word_in_the_history_and_a_fault_its_message() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_raise, interrupt) = Interrupt::new();
        for ending in [
            Ending::Interrupted("at 40 of 95 tokens".to_owned()),
            Ending::Unheard,
            Ending::Fault(anyhow!("at token 40").context("it broke;\nmend it")),
        ] {
            // A button and no printer.
            let template = Template::default();
            let lives = Some(Lives::within(folder.path()));
            let paper = Paper { settings: None, template, lives, texts: None };
            let about = Entry { model: "ember".to_owned(), ..Entry::default() };
            let receipt = paper.begin(about, &PrinterStatus::default(), &interrupt);
            receipt.break_off(&ending, Figures { tokens: Some(40), ..Figures::default() });
            // As lib.rs does with every ending.
            paper.note(&ending);
        }
        let lives = Lives::within(folder.path()).all().expect("a history");
        let told: Vec<_> =
            lives.iter().map(|life| (life.number, life.outcome, life.fault.as_str())).collect();
        let expected = [
            (1, Some(Outcome::Interrupted), ""),
            (2, Some(Outcome::Unheard), ""),
            (3, Some(Outcome::Fault), "it broke: at token 40; mend it"),
        ];
        assert_eq!(told, expected);
        assert!(
            lives.iter().all(|life| life.paper == Some(PaperEnd::None) && life.figures.tokens == Some(40))
        );
        let fault = Lives::within(folder.path()).read().expect("a record").fault.expect("a fault");
        assert_eq!(fault.words, "life 3: it broke: at token 40; mend it");
    }
}
