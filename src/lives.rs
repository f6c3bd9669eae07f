//! `torment-nexus lives`: lists the last lives, and tells one again whose text is kept.

use std::convert::Infallible;
use std::io::Write;

use anyhow::{Context, anyhow};

use crate::check::service;
use crate::cli::Cli;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::paper::printing::Paper;
use installation::state::entry::Entry;
use installation::state::folder::StateFolder;
use installation::state::lives::Lives;
use installation::state::texts::{Text, Texts};

/// The most lives that are listed.
const LISTED: usize = 20;

/// Characters of a life's first words, or of its fault, in the list.
const FIRST_WORDS: usize = 60;

/// Lists the last lives, or writes the text of this one to stdout; with `print` it prints
/// its receipt again.
///
/// # Errors
///
/// Always: [`Ending::Done`], or what kept it from that.
pub(crate) fn lives(
    cli: &Cli,
    number: Option<u64>,
    print: bool,
    interrupt: &Interrupt,
) -> Result<Infallible, Ending> {
    service::become_it()?;
    let folder = StateFolder::locate(cli.state_dir.as_deref());
    let folder = folder.context("no home to find lives in; name a folder with --state-dir")?;
    let texts = Texts::within(folder.path(), 1);
    let told = match number {
        Some(number) if print => {
            let printer = cli.printer.settings().context("no printer is named; name one with --printer")?;
            let paper = Paper::open(Some(printer), &cli.printer.design(), Some(&folder), false)?;
            paper.again(&texts.read(number)?, interrupt);
            String::new()
        }
        Some(number) => texts.read(number)?.words + "\n",
        None => {
            let lives = Lives::within(folder.path()).all()?;
            let last = &lives[lives.len().saturating_sub(LISTED)..];
            last.iter().map(|life| line(life, texts.read(life.number).ok())).collect()
        }
    };
    match std::io::stdout().lock().write_all(told.as_bytes()) {
        Ok(()) => Err(Ending::Done),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Ending::Unheard),
        Err(error) => Err(anyhow!("cannot write to stdout: {error}; give it somewhere else to go").into()),
    }
}

/// A life in the list, with its first words if its text is kept.
fn line(life: &Entry, text: Option<Text>) -> String {
    let Entry { number, date, seed, figures, fault, .. } = life;
    let known = [
        Some(date.replace('T', " ")).filter(|date| !date.is_empty()),
        seed.map(|seed| format!("seed {seed}")),
        figures.tokens.map(|tokens| format!("{tokens} tokens")),
    ];
    let words = text.map_or_else(|| fault.clone(), |text| text.words);
    let first: String =
        words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(FIRST_WORDS).collect();
    let known: String = known.into_iter().flatten().map(|known| known + ", ").collect();
    let line = format!("life {number}, {known}{}: {first}", life.ending());
    line.trim_end_matches(": ").to_owned() + "\n"
}
