//! All options, and how they are parsed.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::thread;

use clap::builder::{BoolishValueParser, PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser};

use super::environment::with_variables;
use super::hardware::{self, HardwareArgs};
use super::printer::PrinterArgs;
use super::sampling::SamplingArgs;
use super::usage::Usage;
use crate::mind::computing::MAX_LOOKAHEAD;
use crate::mind::sampler::Sampling;
use crate::model_file::name::ModelName;
use crate::text::shell;

/// The default model: 105 MB, 135 M parameters, chosen to fit 512 MB and four
/// Cortex-A53 cores with room for its context.
pub const DEFAULT_MODEL: &str = "https://huggingface.co/bartowski/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct-Q4_K_M.gguf";

/// The default of `--context-size`, in tokens.
const DEFAULT_CONTEXT_SIZE: u32 = 2048;

/// The most threads used unless `--threads` says otherwise: the board's cores.
const DEFAULT_MAX_THREADS: usize = 4;

/// llama.cpp's own bound on its thread pool (`GGML_MAX_N_THREADS`).
const MAX_THREADS: i64 = 512;

const AFTER_HELP: &str = "Every option can also be given as an environment variable: TORMENT_ and the \
option's name in capitals, hyphens as underscores (TORMENT_CONTEXT_SIZE=1024). An empty variable \
counts as unset; the command line wins.";

/// A language model in a box that thinks aloud until its context window is
/// full, and dies of it.
#[derive(Debug, Parser)]
#[command(name = "torment-nexus", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Hugging Face URL or local GGUF path (or `ember`, the model built in)
    #[arg(
        short,
        long,
        value_name = "MODEL",
        default_value = DEFAULT_MODEL,
        value_parser = PathBufValueParser::new().map(ModelName::from)
    )]
    pub model: ModelName,

    /// Directory to store downloaded models
    #[arg(short = 'd', long, value_name = "DIR", default_value = "models")]
    pub model_dir: PathBuf,

    /// Path to system prompt file (ember follows its own) [default: prompt.txt]
    // No clap default: a file that the user named must exist, but the default
    // file may be missing (see `Prompt::read`).
    #[arg(short, long, value_name = "PATH")]
    pub prompt_file: Option<PathBuf>,

    /// First words of the life, which the model goes on from [default: none]
    #[arg(short, long, value_name = "TEXT", value_parser = opening)]
    pub opening: Option<String>,

    /// Context window in tokens
    #[arg(short, long, value_name = "NUM", default_value = "2048", allow_negative_numbers = true)]
    pub context_size: NonZeroU32,

    /// Threads that compute [default: the cores there are, at most 4]
    #[arg(
        short,
        long,
        value_name = "NUM",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS),
        help_heading = "Running"
    )]
    pub threads: Option<u16>,

    /// Tokens computed ahead where the text repeats itself (0: never); the text is the same
    #[arg(
        long,
        value_name = "NUM",
        default_value = "6",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_LOOKAHEAD)),
        help_heading = "Running"
    )]
    pub lookahead: u16,

    /// Print llama.cpp's own log, tokens used and timings on stderr
    #[arg(
        short,
        long,
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        help_heading = "Running"
    )]
    pub verbose: bool,

    /// The button and the light.
    #[command(flatten, next_help_heading = "Hardware")]
    pub hardware: HardwareArgs,
    /// The paper.
    #[command(flatten, next_help_heading = "Printer")]
    pub printer: PrinterArgs,

    /// Directory of what outlives a life: its number, what the model made of
    /// the prompt [default: $STATE_DIRECTORY, $XDG_STATE_HOME/torment-nexus or
    /// ~/.local/state/torment-nexus]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub state_dir: Option<PathBuf>,

    /// How the next token is chosen.
    #[command(flatten, next_help_heading = "Sampling")]
    pub sampling: SamplingArgs,
}

impl Cli {
    /// Parses the process's arguments and environment.
    ///
    /// # Errors
    ///
    /// On wrong usage, and for `--help` and `--version`.
    pub fn from_command_line() -> Result<Self, Usage> {
        let parsed = command().try_get_matches().and_then(|matches| {
            let cli = Self::from_arg_matches(&matches)?;
            match cli.hardware.settings() {
                Ok(_) => Ok(cli),
                Err(conflict) => Err(command().error(ErrorKind::ArgumentConflict, conflict)),
            }
        });
        parsed.map_err(|error| {
            let variable = |name: &str| std::env::var(name).ok();
            Usage::new(error, hardware::light_of(std::env::args_os(), variable))
        })
    }

    /// The line that `--verbose` prints after a life with random sampling: every
    /// option that the text depends on and that is not at its default, with the
    /// seed that was drawn. `None` for a greedy life.
    #[must_use]
    pub(crate) fn replay(&self, sampling: &Sampling) -> Option<String> {
        if !sampling.has_dice() {
            return None;
        }
        let mut options = Vec::new();
        if self.model != ModelName::from(PathBuf::from(DEFAULT_MODEL)) {
            options.push(format!("--model {}", shell::word(&self.model.to_string())));
        }
        if let Some(file) = &self.prompt_file {
            options.push(format!("--prompt-file {}", shell::word(&file.to_string_lossy())));
        }
        if let Some(opening) = &self.opening {
            options.push(format!("--opening {}", shell::word(opening)));
        }
        if self.context_size.get() != DEFAULT_CONTEXT_SIZE {
            options.push(format!("--context-size {}", self.context_size));
        }
        options.push(sampling.to_string());
        Some(format!("seed {}: {} lives this life again", sampling.seed, options.join(" ")))
    }

    /// Threads to compute with, at least 1.
    #[must_use]
    pub fn threads(&self) -> u16 {
        self.threads.unwrap_or_else(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            cores.min(DEFAULT_MAX_THREADS) as u16
        })
    }
}

fn opening(text: &str) -> Result<String, String> {
    // It is said as it is, and a terminal would obey a control character.
    match text.chars().find(|&letter| letter.is_control()) {
        Some(letter) => Err(format!("it holds {letter:?}; give plain text on one line")),
        None => Ok(text.trim().to_owned()),
    }
}

fn command() -> Command {
    with_variables(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_default_parses() {
        let cli = Cli::try_parse_from(["torment-nexus"]).expect("defaults");
        assert_eq!(cli.context_size.get(), DEFAULT_CONTEXT_SIZE);
        assert!(cli.threads() >= 1 && cli.threads() <= 4);
    }

    #[test]
    fn a_number_out_of_bounds_or_not_finite_is_refused() {
        for (option, value) in [
            ("--temp", "-1"),
            ("--temp", "NaN"),
            ("--temp", "inf"),
            ("--top-p", "1.5"),
            ("--repeat-penalty", "0"),
            ("--dry-base", "0.5"),
            ("--dry-penalty-last-n", "-2"),
            ("--seed", "4294967295"),
            ("--threads", "513"),
        ] {
            let parsed = Cli::try_parse_from(["torment-nexus", option, value]);
            assert!(parsed.is_err(), "{option} {value} was accepted");
        }
    }

    #[test]
    fn dice_without_a_seed_get_one_and_greedy_needs_none() {
        let seed = |args: &[&str]| {
            let cli = Cli::try_parse_from(args).expect("valid");
            cli.sampling.with_seed().expect("random numbers").seed
        };
        assert_eq!(seed(&["t", "--temp", "0.8", "--seed", "7"]), 7);
        assert_eq!(seed(&["t"]), 0);
        assert_ne!(seed(&["t", "--temp", "1"]), seed(&["t", "--temp", "1"]));
    }
}
