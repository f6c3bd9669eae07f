//! Tells the supervisor how a life goes: its number, the fill of its context, and the
//! printer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ending::Ending;
use super::lifespan::Fill;
use super::listener::{Listener, PrinterStatus};
use super::status::{Printing, Status};
use super::supervisor::Supervisor;

/// The fill is told in steps of so many per cent: each change of the status is
/// work for systemd.
const STEP: u32 = 5;

fn printing(printer: Option<&PrinterStatus>) -> Printing {
    match printer {
        None => Printing::None,
        Some(printer) if printer.is_lost() => Printing::Lost,
        Some(printer) if printer.is_out_of_paper() => Printing::WaitsForPaper,
        Some(_) => Printing::Prints,
    }
}

/// A listener by which the supervisor hears of each token.
#[derive(Debug)]
pub struct Reporter<'a> {
    supervisor: &'a Supervisor,
    percent: Arc<AtomicU32>,
}

impl<'a> Reporter<'a> {
    /// Begins a life, whose context the prompt fills to `birth`. `number` returns the
    /// life's number once it is known.
    pub fn begin(
        supervisor: &'a Supervisor,
        number: impl Fn() -> Option<u64> + Send + 'static,
        printer: Option<PrinterStatus>,
        birth: Fill,
    ) -> Self {
        let percent = Arc::new(AtomicU32::new(percent(birth)));
        let now = percent.clone();
        supervisor.status_of(move || Status::Living {
            number: number(),
            percent: now.load(Ordering::Relaxed),
            printer: printing(printer.as_ref()),
        });
        Self { supervisor, percent }
    }
}

/// Begins the death: the status is that the piece dies, and whether it waits for paper.
pub fn dies(supervisor: &Supervisor, printer: PrinterStatus) {
    supervisor.status_of(move || Status::Dying { out_of_paper: printer.is_out_of_paper() });
}

impl Listener for Reporter<'_> {
    fn token(&mut self, _: &str, fill: Fill) -> Result<(), Ending> {
        self.percent.store(percent(fill), Ordering::Relaxed);
        self.supervisor.alive();
        Ok(())
    }
}

fn percent(fill: Fill) -> u32 {
    let percent = u64::from(fill.used) * 100 / u64::from(fill.context_size).max(1);
    percent as u32 / STEP * STEP
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::tests::{ARMED, listening, taken};
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_status_names_the_life_its_fill_and_what_the_printer_needs() {
        let (supervisor, told) = listening(Duration::from_secs(20));
        let printer = PrinterStatus::default();
        let birth = Fill { used: 130, context_size: 1000 };
        let mut status = Reporter::begin(&supervisor, || Some(7), Some(printer.clone()), birth);
        supervisor.armed(ARMED);
        printer.set_out_of_paper(true);
        status.token("word", Fill { used: 949, context_size: 1000 }).expect("it goes on");
        assert_eq!(
            taken(&told),
            [
                "STATUS=life 7 at 10 %, printing",
                "READY=1",
                "STATUS=armed",
                "WATCHDOG=1",
                "STATUS=life 7 at 90 %, waits for paper"
            ]
        );
        printer.set_lost();
        assert_eq!(printing(Some(&printer)), Printing::Lost);
    }

    #[test]
    fn the_status_of_a_death_says_when_its_last_words_wait_for_paper() {
        let (supervisor, told) = listening(Duration::from_secs(20));
        supervisor.armed(ARMED);
        let printer = PrinterStatus::default();
        dies(&supervisor, printer.clone());
        printer.set_out_of_paper(true);
        supervisor.alive();
        assert_eq!(
            taken(&told),
            ["READY=1", "STATUS=armed", "STATUS=dies", "WATCHDOG=1", "STATUS=dies, waits for paper"]
        );
    }
}
