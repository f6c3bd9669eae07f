//! What a person has to see and do: light, button, paper.

use std::io::{self, BufRead, IsTerminal};
use std::thread;
use std::time::Duration;

use anyhow::Error;
use crossbeam_channel::bounded;

use super::report::Finding;
use crate::cli::Cli;
use installation::board::clock;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::listener::PrinterStatus;
use installation::panel::{self, Panel};
use installation::paper::format::PrinterKind;
use installation::paper::pace;
use installation::paper::printer::Printer;
use installation::paper::settings::PrinterSettings;
use installation::paper::strip;
use installation::text::stderr::say;

/// How long a press is waited for, and an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a light without a button is shown.
const SHOWN: Duration = Duration::from_secs(5);

/// Lights the light and waits for a press.
pub(super) fn light_and_button(cli: &Cli, interrupt: &Interrupt) -> Result<Vec<Finding>, Ending> {
    let pins = match cli.hardware.settings() {
        Ok(pins) => pins,
        Err(conflict) => return Ok(vec![Finding::fault("button", &Error::msg(conflict))]),
    };
    let mut findings = Vec::new();
    if pins.button.is_none() {
        findings.push(Finding::warn("button", "none is named", "give --button 23"));
    }
    if pins.light.is_none() {
        findings.push(Finding::warn("light", "none is named", "give --led 18"));
    }
    if pins == panel::PanelSettings::default() {
        return Ok(findings);
    }
    let panel = match Panel::open(pins, false, interrupt) {
        Ok(panel) => panel,
        Err(error) => {
            findings.push(Finding::fault("pins", &error));
            return Ok(findings);
        }
    };
    if pins.button.is_some() {
        say(format_args!("press the button now (within {} s); the light breathes\n", PATIENCE.as_secs()));
        findings.push(match panel.wait_for_press_within(PATIENCE)? {
            Some(_) => Finding::ok("button", "pressed"),
            None => Finding::fail("button", "no press came", "look at its two wires, and at --button"),
        });
    } else {
        say(format_args!("the light must be lit, dim or blinking, for {} s\n", SHOWN.as_secs()));
        if interrupt.is_raised_within(SHOWN) {
            return Err(interrupted());
        }
    }
    if pins.light.is_some() {
        panel.dying();
        say("the light must be fully on now\n");
        panel.hold_last_light();
        findings.push(match ask("Did the light breathe, and then come fully on?", interrupt)? {
            Some(true) => Finding::ok("light", "seen"),
            Some(false) => {
                Finding::fail("light", "not seen", "look at the LED's direction, its wires, and at --led")
            }
            None => Finding::skip("light", "nobody was asked: no terminal"),
        });
    }
    Ok(findings)
}

/// Prints the strip, with the lines of the `result` so far.
pub(super) fn paper(cli: &Cli, result: &[String], interrupt: &Interrupt) -> Result<Option<Finding>, Ending> {
    let Some(settings) = cli.printer.settings() else { return Ok(None) };
    say("the strip is printed\n");
    let status = PrinterStatus::default();
    let columns = settings.format.columns;
    let date = clock::now("%-d %B %Y, %H:%M");
    let head = strip::head(date, result, &settings.format);
    Printer::slip(&settings, None, &status, interrupt, head);
    // What has a flow of its own needs no pace.
    let is_paced =
        settings.format.kind == PrinterKind::Mini && settings.busy.is_none() && !settings.line.is_zero();
    // After a signal the thread of the first part may still have the printer.
    if is_paced && !status.is_lost() && !interrupt.is_raised() {
        // The lines bring their own pace.
        let unpaced = PrinterSettings { line: Duration::from_millis(1), ..settings.clone() };
        let falling = strip::falling(columns, pace::byte_time(settings.baud));
        Printer::slip(&unpaced, None, &status, interrupt, falling);
    }
    if interrupt.is_raised() {
        return Err(interrupted());
    }
    if status.is_lost() {
        let next = "look at the line above, its cable and its supply";
        return Ok(Some(Finding::fail("paper", "the printer was lost", next)));
    }
    Ok(Some(match ask("Are all lines of the strip there and readable?", interrupt)? {
        Some(true) => Finding::ok("paper", "printed and read"),
        Some(false) => Finding::fail(
            "paper",
            "not readable",
            "follow the strip: --printer-columns, --printer-line-ms; then --printer-baud",
        ),
        None => Finding::skip("paper", "printed; nobody was asked: no terminal"),
    }))
}

fn interrupted() -> Ending {
    Ending::Interrupted("while checking".to_owned())
}

/// Asks the person at the terminal; `None` if there is none, or no answer.
fn ask(question: &str, interrupt: &Interrupt) -> Result<Option<bool>, Ending> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    say(format_args!("{question} [y/n]\n"));
    let (send, answered) = bounded(1);
    // On a thread of its own, so that a signal is not waited for. It ends with
    // the process.
    thread::spawn(move || {
        let mut line = String::new();
        let _ = io::stdin().lock().read_line(&mut line);
        send.send(line)
    });
    match interrupt.or_next_within(&answered, PATIENCE) {
        _ if interrupt.is_raised() => Err(interrupted()),
        answer => Ok(answer.map(|line| line.trim().to_lowercase().starts_with('y'))),
    }
}
