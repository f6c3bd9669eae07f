//! The options of a show: when the piece may live.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use installation::life::schedule::{Hours, Schedule};

/// The longest rest, in seconds: a day.
const MAX_REST: u64 = 86_400;

/// The least characters of the word: a visitor does not guess it.
const MIN_KEY: usize = 4;

/// The most texts that are kept: 100 MB of them.
const MAX_TEXTS: i64 = 10_000;

/// When a press begins a life.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct ShowArgs {
    /// Rest after each life; a press is not answered meanwhile
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = clap::value_parser!(u64).range(0..=MAX_REST), allow_negative_numbers = true)]
    rest: u64,

    /// Lives in a day; no press is answered after the last [default: no limit]
    #[arg(long, value_name = "NUM", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    lives_per_day: Option<u32>,

    /// Opening hours, as 10:00-18:00; outside no press is answered [default: always]
    // Both need a clock that is believed, and are ignored without one.
    #[arg(long, value_name = "HH:MM-HH:MM", value_parser = Hours::parse)]
    open: Option<Hours>,

    /// Texts of the last lives that are kept in --state-dir; the button, held until the
    /// light has dipped, prints the last one again (0: neither)
    #[arg(long, value_name = "NUM", default_value = "1", value_parser = clap::value_parser!(u16).range(..=MAX_TEXTS), allow_negative_numbers = true)]
    pub(crate) keep_texts: u16,

    /// Word that the key.txt of a stick must hold to be looked at [default: none is]
    #[arg(long, value_name = "TEXT", value_parser = key)]
    stick_key: Option<String>,

    /// Where the helper for sticks writes.
    #[arg(long, value_name = "DIR", hide = true, default_value = "/run/torment-nexus-stick")]
    stick_dir: PathBuf,
}

impl ShowArgs {
    /// The schedule that these options ask for.
    pub(crate) fn schedule(&self) -> Schedule {
        let Self { rest, lives_per_day, open, .. } = *self;
        Schedule { rest: Duration::from_secs(rest), lives_per_day, open }
    }

    /// The folder in which sticks are shown, if any are looked at.
    pub(crate) fn stick(&self) -> Option<&Path> {
        self.stick_key.as_ref().map(|_| self.stick_dir.as_path())
    }
}

fn key(text: &str) -> Result<String, String> {
    match text.chars().count() < MIN_KEY {
        true => Err(format!("it has fewer than {MIN_KEY} characters")),
        false => Ok(text.to_owned()),
    }
}
