//! `torment-nexus lives`: lists the lives whose texts are kept, and tells one again.

use std::convert::Infallible;
use std::io::Write;

use anyhow::{Context, anyhow};

use crate::cli::Cli;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::paper::printing::Paper;
use installation::state::folder::StateFolder;
use installation::state::texts::{Text, Texts};

/// Characters of a life's first words in the list.
const FIRST_WORDS: usize = 40;

/// Lists the lives, or writes the text of this one to stdout; with `print` it prints its
/// receipt again.
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
        None => texts
            .numbers()
            .into_iter()
            .map(|number| Ok(line(&texts.read(number)?)))
            .collect::<Result<_, anyhow::Error>>()?,
    };
    match std::io::stdout().lock().write_all(told.as_bytes()) {
        Ok(()) => Err(Ending::Done),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Ending::Unheard),
        Err(error) => Err(anyhow!("cannot write to stdout: {error}; give it somewhere else to go").into()),
    }
}

/// A life in the list.
fn line(text: &Text) -> String {
    let Text { number, date, seed, tokens, words, .. } = text;
    let seed = seed.map_or("none".to_owned(), |seed| seed.to_string());
    let ending = if tokens.is_some() { "death" } else { "cut short" };
    let first: String =
        words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(FIRST_WORDS).collect();
    format!("life {number}, {}, seed {seed}, {ending}: {first}…\n", date.replace('T', " "))
}
