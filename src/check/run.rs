//! The check from beginning to end.

use std::convert::Infallible;
use std::env;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;

use super::report::{Finding, Report};
use super::{parts, service, system, trial};
use crate::cli::{Cli, Usage};
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::state::folder::StateFolder;
use installation::text::stdout::{Output, Standard};

/// Pause before a stdout whose reader does not keep up is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Set by `hardware/report`, which looks while the piece lives.
const BESIDE: &str = "NEXUS_BESIDE";

/// Looks at every part; `quick` leaves out light, button and paper. Told in lines, or as
/// one `json` object on stdout, however it ends.
///
/// # Errors
///
/// Always: [`Ending::Done`] only when all is well, [`Ending::Failed`] when it is not, or
/// what kept it from its end.
pub(crate) fn check(cli: &Cli, json: bool, quick: bool, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    let mut report = Report::default();
    let looked = look(cli, json, quick, &mut report, interrupt);
    match &looked {
        Err(Ending::Fault(fault)) => report.0.push(Finding::fault("check", fault)),
        Err(ending) => report.0.push(Finding::skip("check", ending.to_string())),
        Ok(()) => {}
    }
    match looked {
        _ if json => tell(&format!("{}\n", report.json()), interrupt),
        Ok(()) => tell(&format!("{}\n", report.summary()), interrupt),
        Err(_) => {}
    }
    looked.and(Err(if report.all_well() { Ending::Done } else { Ending::Failed }))
}

/// The report of a check that wrong usage keeps from its beginning.
pub(crate) fn refuse(usage: &Usage) {
    let (_never, interrupt) = Interrupt::new();
    let report = Report(vec![Finding::fault("options", &anyhow!(usage.words()))]);
    tell(&format!("{}\n", report.json()), &interrupt);
}

fn look(
    cli: &Cli,
    json: bool,
    quick: bool,
    report: &mut Report,
    interrupt: &Interrupt,
) -> Result<(), Ending> {
    let service = service::become_it()?;
    let add = |findings: Vec<Finding>, report: &mut Report| {
        let lines: String = findings.iter().map(|finding| finding.line() + "\n").collect();
        tell(if json { "" } else { &lines }, interrupt);
        report.0.extend(findings);
        match interrupt.is_raised() {
            true => Err(Ending::Interrupted("while checking".to_owned())),
            false => Ok(()),
        }
    };
    add(service, report)?;
    add(parts::card(cli), report)?;
    add(system::all(Path::new("/")), report)?;
    add(vec![parts::clock()], report)?;
    add(parts::state(StateFolder::locate(cli.state_dir.as_deref()).as_ref()), report)?;
    // Memory, printer and pins are the life's: what would use them is left alone.
    if env::var_os(BESIDE).is_some() {
        return Ok(());
    }
    let model = parts::model(cli, interrupt)?;
    let is_there = model.next.is_empty();
    add(vec![model], report)?;
    let memory = match is_there {
        true => parts::memory(cli, interrupt)?,
        false => vec![Finding::skip("memory", "needs the model")],
    };
    add(memory, report)?;
    add(parts::printer(cli), report)?;
    if !quick {
        add(trial::light_and_button(cli, interrupt)?, report)?;
        add(trial::paper(cli, &report.slip(), interrupt)?.into_iter().collect(), report)?;
    }
    Ok(())
}

/// Writes `words` to stdout. A reader that does not keep up is waited for until a signal
/// comes; where nobody reads, nothing is to be done.
fn tell(words: &str, interrupt: &Interrupt) {
    let Ok(stdout) = Standard::open() else { return };
    let mut stdout = Output::new(stdout);
    let mut told = stdout.text(words);
    while told.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) && !interrupt.is_raised_within(PAUSE)
    {
        told = stdout.resume();
    }
}
