//! The parts that the options name: model, memory, state folder, printer, words.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use nix::sys::statvfs::statvfs;

use super::report::Finding;
use crate::cli::Cli;
use crate::mind::computing::Computing;
use crate::mind::model::Model;
use crate::mind::session::Session;
use installation::board::clock;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::progress::Progress;
use installation::life::prompt::Prompt;
use installation::paper::printing::Paper;
use installation::state::folder::StateFolder;
use installation::state::lives::Lives;
use model_file::name::{Kept, ModelFile};

/// Free space below which a download or the record of lives may fail, in bytes:
/// twice the default model.
const LITTLE_SPACE: u64 = 210_000_000;

/// Starts in a row that came to no end of a life, from which on something ends the
/// program early.
const MANY_STARTS: u64 = 10;

/// The time for a token from which on a model is too large for the board: the default one
/// takes 0.1 s, and one whose weights do not fit in memory reads them from the card anew.
const TOO_SLOW: Duration = Duration::from_secs(5);

/// Whether the model is there and what was downloaded; it is not fetched here.
pub(super) fn model(cli: &Cli, interrupt: &Interrupt) -> Result<Finding, Ending> {
    Ok(match ModelFile::kept(&cli.model, &cli.model_dir, interrupt) {
        Ok(Kept::Verified(name)) => Finding::ok("model", format!("{name}, verified")),
        Ok(Kept::Unverified(name)) => {
            Finding::ok("model", format!("{name}; it has no record to verify it by"))
        }
        Ok(Kept::Damaged(name)) => Finding::fail(
            "model",
            format!("{name} is not what was downloaded"),
            "delete it: the next start downloads it again",
        ),
        Ok(Kept::Absent(name)) => Finding::fail(
            "model",
            format!("{name} is not there"),
            "connect the network and start the service once, or copy it there (hardware/setup --model-from)",
        ),
        Err(Ending::Fault(fault)) => Finding::fault("model", &fault),
        Err(ending) => return Err(ending),
    })
}

/// What is wrong on the card, or that nothing is.
pub(super) fn card(cli: &Cli) -> Vec<Finding> {
    let (faults, folder) = (cli.of_the_card.faults(), cli.of_the_card.folder());
    let finding = |fault: &String| {
        let (found, next) = fault.rsplit_once("; ").unwrap_or((fault, "mend that line"));
        Finding::warn("card", found, next)
    };
    let well = folder.filter(|_| faults.is_empty()).map(|folder| Finding::ok("card", format!("{folder:?}")));
    faults.iter().map(finding).chain(well).collect()
}

/// Whether model, prompt and context fit in memory together: they are loaded; and how long
/// the model takes for a token.
pub(super) fn memory(cli: &Cli, interrupt: &Interrupt) -> Result<Vec<Finding>, Ending> {
    let load = || -> Result<Vec<Finding>, Ending> {
        let prompt = Prompt::read(cli.prompt_file.as_deref(), cli.model.own_prompt())?;
        cli.list_of_words()?;
        let file = ModelFile::find(&cli.model, &cli.model_dir, interrupt)?;
        let mut model = Model::load(&file, cli.logs(), &Progress::default(), interrupt)?;
        let voice = file.voice(cli.voice())?;
        if let Some(voice) = &voice {
            model.take_voice(voice, cli.lora_scale, cli.logs())?;
        }
        let trained = model.trained_context(cli.context_size)?;
        let opening = cli.opening.as_deref().unwrap_or_default();
        let tokens = model.tokenize_prompt(prompt.text(), opening)?;
        let lifespan = Lifespan::new(cli.context_size, tokens.len(), trained)?;
        let computing = Computing::new(cli.threads());
        let sampling = cli.sampling.speaking(voice.is_some()).with_seed()?;
        let mut session = Session::open(&model, lifespan, computing, &sampling)?;
        let mut last = Duration::ZERO;
        // The first one reads the weights from the card.
        for &token in tokens.iter().take(2) {
            if interrupt.is_raised() {
                return Err(Ending::Interrupted("while checking".to_owned()));
            }
            let start = Instant::now();
            session.follow_with(token)?;
            last = start.elapsed();
        }
        let fits = format!("a context of {} tokens fits; the prompt has {}", cli.context_size, tokens.len());
        Ok(vec![Finding::ok("memory", fits), speed(last, lifespan.limit() - lifespan.prompt())])
    };
    match load() {
        Err(Ending::Fault(fault)) => Ok(vec![Finding::fault("memory", &fault)]),
        other => other,
    }
}

/// Whether a model that takes so long for each of the `tokens` of a life is one for this board.
fn speed(token: Duration, tokens: u32) -> Finding {
    let minutes = (token * tokens).as_secs_f64() / 60.0;
    let found = format!("{:.2} s a token, {minutes:.0} min a life", token.as_secs_f64());
    match token < TOO_SLOW {
        true => Finding::ok("speed", found),
        false => Finding::fail(
            "speed",
            format!("{found}: the model is too large for this board"),
            "name a smaller one with --model: its weights must fit in the free memory",
        ),
    }
}

/// The clock: a date on receipts, opening hours.
#[must_use]
pub(super) fn clock() -> Finding {
    match clock::now("%-d %B %Y, %H:%M") {
        Some(now) => Finding::ok("clock", now),
        None => Finding::warn(
            "clock",
            "not set",
            "connect a network or a hardware clock; receipts have no date until then",
        ),
    }
}

/// The state folder and what it tells of the last lives.
pub(super) fn state(folder: Option<&StateFolder>) -> Vec<Finding> {
    let Some(folder) = folder else {
        return vec![Finding::warn(
            "state",
            "no folder to keep the life number in",
            "name one with --state-dir",
        )];
    };
    let lives = Lives::within(folder.path());
    let mut findings = vec![match lives.look() {
        Ok(()) => Finding::ok("state", format!("{:?} can be written to", folder.path())),
        Err(error) => Finding::fault("state", &error),
    }];
    findings.push(space(folder.path()));
    match lives.read() {
        Err(error) => findings.push(Finding::fault("lives", &error)),
        Ok(record) => {
            let found = format!("{}, and {} starts since boot", record.lives, record.starts);
            findings.push(match record.in_vain >= MANY_STARTS {
                false => Finding::ok("lives", found),
                true => Finding::warn(
                    "lives",
                    format!("{found}, the last {} in vain", record.in_vain),
                    "something ends the program early: journalctl -u torment-nexus -n 50",
                ),
            });
            findings.push(match &record.fault {
                None => Finding::ok("last fault", "none"),
                // An old one has been seen to.
                Some(fault) if fault.life < record.lives => Finding::ok("last fault", &fault.words),
                Some(fault) => Finding::warn("last fault", &fault.words, "see whether its cause is gone"),
            });
        }
    }
    findings
}

fn space(folder: &Path) -> Finding {
    let Ok(disk) = statvfs(folder) else { return Finding::skip("disk", "not known") };
    let free = disk.blocks_available() * disk.fragment_size();
    let found = format!("{} MB free", free / 1_000_000);
    match free < LITTLE_SPACE {
        true => Finding::warn("disk", found, "delete what is not needed"),
        false => Finding::ok("disk", found),
    }
}

/// The printer's device and the words of the receipt.
pub(super) fn printer(cli: &Cli) -> Vec<Finding> {
    let words = match Paper::open(None, &cli.printer.design(), None, false) {
        Ok(_) => Finding::ok("receipt", "its words can be printed"),
        Err(error) => Finding::fault("receipt", &error),
    };
    let device = match cli.printer.settings() {
        None => Finding::warn("printer", "none is named", "give --printer, or live without paper"),
        Some(settings) => match settings.missing() {
            Ok(None) => {
                Finding::ok("printer", format!("{:?} may be used, and no console is on it", settings.device))
            }
            Ok(Some(missing)) => Finding::fault("printer", &anyhow!(missing)),
            Err(error) => Finding::fault("printer", &error),
        },
    };
    vec![words, device]
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn a_model_that_takes_half_a_minute_for_a_token_is_too_large_and_the_default_one_is_not() {
        assert_eq!(
            speed(Duration::from_millis(100), 1800).line(),
            "ok   speed        0.10 s a token, 3 min a life"
        );
        let slow = speed(Duration::from_secs(33), 1800);
        assert!(
            slow.state == Verdict::Fail && slow.line().contains("990 min a life: the model is too large")
        );
    }
}
