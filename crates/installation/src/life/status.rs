//! How a life goes, as the status that systemd shows: its number, the fill of its
//! context, and the printer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ending::Ending;
use super::lifespan::Fill;
use super::listener::{Listener, PrinterStatus};
use super::supervisor::Supervisor;

/// The fill is shown in steps of so many per cent: each change of the status is
/// work for systemd.
const STEP: u32 = 5;

/// A listener by which the supervisor hears of each token.
#[derive(Debug)]
pub struct Status<'a> {
    supervisor: &'a Supervisor,
    percent: Arc<AtomicU32>,
}

impl<'a> Status<'a> {
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
        supervisor.status_of(move || words(number(), now.load(Ordering::Relaxed), printer.as_ref()));
        Self { supervisor, percent }
    }
}

/// Begins the death: the status is that the piece dies, and whether it waits for paper.
pub fn dies(supervisor: &Supervisor, printer: PrinterStatus) {
    supervisor.status_of(move || {
        if printer.is_out_of_paper() { "dies, waits for paper".to_owned() } else { "dies".to_owned() }
    });
}

impl Listener for Status<'_> {
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

fn words(number: Option<u64>, percent: u32, printer: Option<&PrinterStatus>) -> String {
    let number = number.map(|number| format!(" {number}")).unwrap_or_default();
    let printer = match printer {
        None => "",
        Some(printer) if printer.is_lost() => ", the printer is lost",
        Some(printer) if printer.is_out_of_paper() => ", waits for paper",
        Some(_) => ", printing",
    };
    format!("life{number} at {percent} %{printer}")
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::tests::{listening, taken};
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_status_names_the_life_its_fill_and_what_the_printer_needs() {
        let (supervisor, told) = listening(Duration::from_secs(20));
        let printer = PrinterStatus::default();
        let birth = Fill { used: 130, context_size: 1000 };
        let mut status = Status::begin(&supervisor, || Some(7), Some(printer.clone()), birth);
        supervisor.armed("armed");
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
        assert_eq!(words(None, 0, Some(&printer)), "life at 0 %, the printer is lost");
        assert_eq!(words(Some(2), 95, None), "life 2 at 95 %");
    }

    #[test]
    fn the_status_of_a_death_says_when_its_last_words_wait_for_paper() {
        let (supervisor, told) = listening(Duration::from_secs(20));
        supervisor.armed("armed");
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
