//! The command line: options, defaults and their `TORMENT_…` variables.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser};

use crate::mind::computing::MAX_LOOKAHEAD;
use crate::mind::sampler::Sampling;
use crate::model_file::name::ModelName;
use crate::panel::{self, Pin};
use crate::paper::escpos::Heat;
use crate::paper::pace;
use crate::paper::printer::Settings;
use crate::paper::serial;
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

/// Columns of the narrowest paper on which text is still readable, and of the
/// widest: 80 mm in font B.
const MIN_COLUMNS: i64 = 16;
const MAX_COLUMNS: i64 = 64;

/// The greatest line time, in milliseconds, about twice the default: the end of
/// a life waits 30 s for the lines of the death and those queued before them,
/// some 20 in all.
const MAX_LINE_MILLIS: u64 = 1_500;

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

/// The pins a visitor meets. Each is optional.
#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub struct HardwareArgs {
    /// Wait for a press: GPIO pin of a button to ground (23 in the wiring)
    #[arg(long, value_name = "BCM", value_parser = Pin::parse, allow_negative_numbers = true)]
    pub button: Option<Pin>,

    /// GPIO pin of the light (18 in the wiring, which can dim it)
    #[arg(long, value_name = "BCM", value_parser = Pin::parse, allow_negative_numbers = true)]
    pub led: Option<Pin>,
}

impl HardwareArgs {
    /// The pins that these options ask for.
    ///
    /// # Errors
    ///
    /// When both options name the same pin.
    pub(crate) fn settings(&self) -> Result<panel::Settings, String> {
        panel::Settings::new(self.button, self.led)
    }
}

/// The options of the thermal printer.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct PrinterArgs {
    /// Print on this serial device, as /dev/serial0
    #[arg(long, value_name = "DEVICE")]
    printer: Option<PathBuf>,

    /// Bits a second; older printers have 19200
    #[arg(long, value_name = "BAUD", default_value = "9600", value_parser = baud, allow_negative_numbers = true)]
    printer_baud: u32,

    /// Characters in a line
    #[arg(long, value_name = "NUM", default_value = "32", value_parser = clap::value_parser!(u16).range(MIN_COLUMNS..=MAX_COLUMNS), allow_negative_numbers = true)]
    printer_columns: u16,

    /// Time the paper needs for a line (0: trust the port's own flow)
    #[arg(long, value_name = "MS", default_value_t = pace::LINE_MILLIS, value_parser = clap::value_parser!(u64).range(0..=MAX_LINE_MILLIS), allow_negative_numbers = true)]
    printer_line_ms: u64,

    /// Heating, as 11,120,40 (some printers print this instead)
    #[arg(long, value_name = "DOTS,TIME,INTERVAL")]
    printer_heat: Option<Heat>,

    /// The printer's replies are wired: ask it for paper
    #[arg(long, action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    printer_rx: bool,
}

impl PrinterArgs {
    /// The printer's settings; `None` without a printer.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        Some(Settings {
            device: self.printer.clone()?,
            baud: self.printer_baud,
            columns: self.printer_columns.into(),
            line: Duration::from_millis(self.printer_line_ms),
            heat: self.printer_heat,
            replies: self.printer_rx,
        })
    }
}

fn baud(text: &str) -> Result<u32, String> {
    let rates = serial::BAUD_RATES;
    text.parse().ok().filter(|rate| rates.contains(rate)).ok_or_else(|| format!("not one of {rates:?}"))
}

/// The sampling options, named and defaulted as in llama.cpp's own tools.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most probable token
    #[arg(long, value_name = "NUM", default_value = "0", value_parser = number(0.0, 1e6), allow_negative_numbers = true)]
    temp: f32,

    /// Keep the NUM most probable tokens (0: all)
    #[arg(long, value_name = "NUM", default_value = "40", value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    top_k: i32,

    /// Keep the most probable tokens that add up to NUM (1: all)
    #[arg(long, value_name = "NUM", default_value = "0.95", value_parser = number(0.0, 1.0), allow_negative_numbers = true)]
    top_p: f32,

    /// Drop tokens less probable than NUM times the best (0: none)
    #[arg(long, value_name = "NUM", default_value = "0.05", value_parser = number(0.0, 1.0), allow_negative_numbers = true)]
    min_p: f32,

    /// Make tokens seen lately less probable (1: off)
    #[arg(long, value_name = "NUM", default_value = "1.1", value_parser = number(0.01, 100.0), allow_negative_numbers = true)]
    repeat_penalty: f32,

    /// How many tokens count as lately (0: off, -1: the context)
    #[arg(long, value_name = "NUM", default_value = "256", value_parser = clap::value_parser!(i32).range(-1..), allow_negative_numbers = true)]
    repeat_last_n: i32,

    /// Strength of DRY, which breaks repeated sequences (0: off)
    #[arg(long, value_name = "NUM", default_value = "0.8", value_parser = number(0.0, 100.0), allow_negative_numbers = true)]
    dry_multiplier: f32,

    /// How fast DRY grows with the length of a repetition
    #[arg(long, value_name = "NUM", default_value = "1.75", value_parser = number(1.0, 100.0), allow_negative_numbers = true)]
    dry_base: f32,

    /// Length of repetition that DRY lets pass, in tokens
    #[arg(long, value_name = "NUM", default_value = "2", value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    dry_allowed_length: i32,

    /// How far back DRY looks (0: off, -1: the whole context)
    #[arg(long, value_name = "NUM", default_value = "-1", value_parser = clap::value_parser!(i32).range(-1..), allow_negative_numbers = true)]
    dry_penalty_last_n: i32,

    /// Words that the text comes back to, as box,memory,paper: each becomes
    /// likelier the longer it has not been said
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = word)]
    subject: Vec<String>,

    /// How much likelier at the most: added to a word's logit (0: off)
    #[arg(long, value_name = "NUM", default_value = "2.5", value_parser = number(0.0, 100.0), allow_negative_numbers = true)]
    subject_bias: f32,

    /// Characters that are never written, as *#: [default: none]
    #[arg(long, value_name = "CHARACTERS", default_value = "", hide_default_value = true, value_parser = characters)]
    ban: String,

    /// Seed of the dice when --temp is above 0 [default: random]
    // 4294967295 is excluded: llama.cpp reads it as "random".
    #[arg(long, value_name = "NUM", value_parser = clap::value_parser!(u32).range(0..i64::from(u32::MAX)), allow_negative_numbers = true)]
    seed: Option<u32>,
}

impl Cli {
    /// Parses the process's arguments and environment; exits with 2 on wrong
    /// usage and with 0 after `--help` and `--version`.
    #[must_use]
    pub fn from_command_line() -> Self {
        let matches = command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Err(conflict) = cli.hardware.settings() {
            command().error(ErrorKind::ArgumentConflict, conflict).exit();
        }
        cli
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

impl SamplingArgs {
    /// The sampling settings of these options; draws a random seed if the
    /// temperature is above 0 and no seed was given.
    ///
    /// # Errors
    ///
    /// When the system returns no random numbers for the seed.
    pub fn with_seed(&self) -> anyhow::Result<Sampling> {
        let seed = match self.seed {
            Some(seed) => seed,
            None if self.temp > 0.0 => random_seed()?,
            None => 0,
        };
        Ok(Sampling {
            temp: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_penalty_last_n: self.dry_penalty_last_n,
            subject: self.subject.clone(),
            subject_bias: self.subject_bias,
            ban: self.ban.clone(),
            seed,
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

fn characters(text: &str) -> Result<String, String> {
    match text.chars().find(|&character| character.is_control() || character == ' ') {
        Some(character) => Err(format!("it holds {character:?}, without which no text can be written")),
        None => Ok(text.to_owned()),
    }
}

fn word(text: &str) -> Result<String, String> {
    let word = text.trim();
    if word.is_empty() || word.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("not words with commas between them".to_owned());
    }
    Ok(word.to_owned())
}

fn random_seed() -> anyhow::Result<u32> {
    let seed = getrandom::u32()
        .map_err(|error| anyhow::anyhow!("no random seed to be had ({error}); give one with --seed"))?;
    Ok(seed % u32::MAX)
}

/// The command with its `TORMENT_…` variables. One rule names them for all
/// options, so that a new option gets its variable too.
fn command() -> Command {
    Cli::command().mut_args(|arg| {
        if matches!(arg.get_action(), ArgAction::Help | ArgAction::Version) {
            return arg;
        }
        let variable = variable_of(&arg);
        match std::env::var_os(&variable) {
            Some(value) if !value.is_empty() => arg.env(variable).hide_env(true),
            _ => arg,
        }
    })
}

fn variable_of(arg: &Arg) -> String {
    format!("TORMENT_{}", arg.get_id().as_str().to_uppercase())
}

/// A parser for finite numbers from `min` to `max`: llama.cpp aborts on, or
/// silently ignores, some of the others.
fn number(min: f32, max: f32) -> impl Fn(&str) -> Result<f32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f32>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {min} to {max}")),
    }
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
