//! The check from beginning to end.

use std::convert::Infallible;
use std::env;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::{Finding, Report};
use super::{parts, system, trial};
use crate::cli::Cli;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::state::folder::StateFolder;
use installation::text::shell;
use installation::text::stderr::say;

/// The options of the service, and the folder that it runs in.
const OPTIONS: &str = "/etc/default/torment-nexus";
const STATE: &str = "/var/lib/torment-nexus";

/// Set once the options of the service are read.
const READ: &str = "NEXUS_OPTIONS_READ";

/// Set by `hardware/report`, which looks while the piece lives.
const BESIDE: &str = "NEXUS_BESIDE";

/// Looks at every part; `quick` leaves out light, button and paper. Told in lines, or as
/// one `json` object on stdout.
///
/// # Errors
///
/// Always: [`Ending::Done`] only when all is well, [`Ending::Failed`] when it is not, or
/// what kept it from its end.
pub(crate) fn check(cli: &Cli, json: bool, quick: bool, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    as_the_service()?;
    let mut report = Report::default();
    let add = |findings: Vec<Finding>, report: &mut Report| {
        let lines: String = findings.iter().map(|finding| finding.line() + "\n").collect();
        tell(if json { "" } else { &lines });
        report.0.extend(findings);
        match interrupt.is_raised() {
            true => Err(Ending::Interrupted("while checking".to_owned())),
            false => Ok(()),
        }
    };
    add(system::all(Path::new("/")), &mut report)?;
    add(vec![parts::clock()], &mut report)?;
    add(parts::state(StateFolder::locate(cli.state_dir.as_deref()).as_ref()), &mut report)?;
    // Memory, printer and pins are the life's: what would use them is left alone.
    if env::var_os(BESIDE).is_some() {
        tell(&format!("{}\n", report.summary()));
        return Err(Ending::Done);
    }
    let model = parts::model(cli, interrupt)?;
    let is_there = model.next.is_empty();
    add(vec![model], &mut report)?;
    let memory = match is_there {
        true => parts::memory(cli, interrupt)?,
        false => Finding::skip("memory", "needs the model"),
    };
    add(vec![memory], &mut report)?;
    add(parts::printer(cli), &mut report)?;
    if !quick {
        add(trial::light_and_button(cli, interrupt)?, &mut report)?;
        add(trial::paper(cli, &report.slip(), interrupt)?.into_iter().collect(), &mut report)?;
    }
    tell(&format!("{}\n", if json { report.json() } else { report.summary() }));
    Err(if report.all_well() { Ending::Done } else { Ending::Failed })
}

/// Starts again with the options of the service, if they are on this machine and
/// were not read yet: what is checked is the exhibition.
fn as_the_service() -> Result<()> {
    if env::var_os(READ).is_some() {
        return Ok(());
    }
    let Ok(options) = std::fs::read_to_string(OPTIONS) else { return Ok(()) };
    let mut again =
        Command::new(env::current_exe().context("cannot start again with the options of the service")?);
    again.args(env::args_os().skip(1)).env(READ, "1");
    for (name, value) in shell::assignments(&options) {
        // What was given here wins.
        if env::var_os(&name).is_none() {
            again.env(name, value);
        }
    }
    if Path::new(STATE).is_dir() && env::var_os("STATE_DIRECTORY").is_none() {
        again.current_dir(STATE).env("STATE_DIRECTORY", STATE);
        if env::var_os("TORMENT_MODEL_DIR").is_none() {
            again.env("TORMENT_MODEL_DIR", Path::new(STATE).join("models"));
        }
    }
    say(format_args!("with the options of {OPTIONS}\n"));
    Err(again.exec()).context("cannot start again with the options of the service")
}

fn tell(words: &str) {
    // Nothing is to be done where nobody reads it.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(words.as_bytes()).and_then(|()| stdout.flush());
}
