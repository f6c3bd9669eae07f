//! All options, and how they are parsed.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::builder::{BoolishValueParser, PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use super::card::Card;
use super::environment::{naming_its_variable, unknown_variables, with_variables};
use super::hardware::{self, HardwareArgs};
use super::printer::PrinterArgs;
use super::relive::{self, SAMPLING};
use super::sampling::number;
use super::settings::Setting;
use super::show::ShowArgs;
use super::usage::Usage;
use crate::mind::sampler::Sampling;
use installation::life::prompt;
use installation::state::entry::Entry;
use installation::state::folder::StateFolder;
use installation::text::never::Never;
use installation::text::stderr::warn;
use installation::text::{file, shell};
use model_file::name::ModelName;
use model_file::voice::Lora;

/// The default model: 105 MB, 135 M parameters, chosen to fit 512 MB and four
/// Cortex-A53 cores with room for its context.
pub const DEFAULT_MODEL: &str = "https://huggingface.co/bartowski/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct-Q4_K_M.gguf";

/// The most threads used unless `--threads` says otherwise: the board's cores.
const DEFAULT_MAX_THREADS: usize = 4;

/// llama.cpp's own bound on its thread pool (`GGML_MAX_N_THREADS`).
const MAX_THREADS: i64 = 512;

const AFTER_HELP: &str = "Every option can also be given as an environment variable: TORMENT_ and the \
option's name in capitals, hyphens as underscores (TORMENT_CONTEXT_SIZE=1024). An empty variable \
counts as unset; the command line wins.";

/// The options that `-h` shows; `--help` and the manual page have all.
const EVERYDAY: [&str; 14] = [
    "model",
    "prompt_file",
    "opening",
    "lora",
    "never",
    "context_size",
    "temp",
    "seed",
    "button",
    "led",
    "printer",
    "printer_kind",
    "open",
    "verbose",
];

/// A language model in a box that thinks aloud until its context window is
/// full, and dies of it.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "torment-nexus",
    version,
    after_help = "--help and man torment-nexus have all options.",
    after_long_help = AFTER_HELP,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Local GGUF path, URL, or user/repo:quant of Hugging Face (or `ember`, the model built in)
    #[arg(
        short,
        long,
        value_name = "MODEL",
        default_value = DEFAULT_MODEL,
        value_parser = PathBufValueParser::new().map(ModelName::from)
    )]
    pub model: ModelName,

    /// Adapter (LoRA) that the model speaks with, or `none` [default: the default model's
    /// own voice; none for other models]
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().map(Lora::from))]
    pub lora: Option<Lora>,

    /// How much of the adapter counts (0: nothing)
    #[arg(long, value_name = "NUM", default_value = "1", value_parser = number(0.0, 10.0))]
    pub lora_scale: f32,

    /// List of words that are never said, one word or phrase a line; a * at its end
    /// stands for any ending [default: none]
    #[arg(long, value_name = "FILE")]
    pub never: Option<PathBuf>,

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

    /// Print tokens used and timings on stderr; -vv: llama.cpp's own log too
    #[arg(short, long, action = ArgAction::Count, value_parser = count, help_heading = "Running")]
    pub verbose: u8,

    /// The button and the light.
    #[command(flatten, next_help_heading = "Hardware")]
    pub hardware: HardwareArgs,
    /// The paper.
    #[command(flatten, next_help_heading = "Printer")]
    pub printer: PrinterArgs,

    /// When a press begins a life.
    #[command(flatten, next_help_heading = "Show")]
    pub show: ShowArgs,

    /// `relive` as it was spelled first.
    #[arg(long, value_name = "NUMBER", hide = true, allow_negative_numbers = true, help_heading = "Running")]
    relive: Option<u64>,

    /// Directory of what outlives a life: its number and history, what the model
    /// made of the prompt [default: $STATE_DIRECTORY, $XDG_STATE_HOME/torment-nexus or
    /// ~/.local/state/torment-nexus]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub state_dir: Option<PathBuf>,

    /// Folder whose settings.txt, prompt.txt, receipt.txt, epitaph.txt, voice.gguf and
    /// model.gguf win over the variables [default: none; the service's is /boot/firmware/torment-nexus]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    card: Option<PathBuf>,

    /// Address that the service tells at each start, fault and full hour that the box is
    /// alive; https://, or http:// on the local network. By itself the program tells nobody
    #[arg(long, value_name = "URL", value_parser = address, help_heading = "Running")]
    report_to: Option<String>,

    /// `simulate` as it was spelled first.
    #[arg(
        long,
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        hide = true,
        help_heading = "Running"
    )]
    simulate: bool,

    /// The printer of an installation that is drawn, whose other wires are on stdin: for
    /// the life that the cabinet starts.
    #[arg(long, value_name = "DEVICE", hide = true, help_heading = "Running")]
    pub in_cabinet: Option<PathBuf>,

    /// What is asked for besides a new life.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How the next token is chosen.
    #[command(flatten, next_help_heading = SAMPLING)]
    pub sampling: Sampling,

    /// The options that the text depends on.
    #[arg(skip)]
    of_the_text: Vec<relive::Given>,

    /// What the folder of `--card` gives.
    #[arg(skip)]
    pub(crate) of_the_card: Card,
}

/// What is asked for besides a new life.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Look at every part of the box, and say what is not well and what to do
    ///
    /// Where the service is installed, as its user, in its folder and with its options:
    /// stop the service first, and run this as root. The exit status is 0 only when all is
    /// well.
    Check {
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
        /// No light, no button and no paper: nothing that a person has to see or do
        #[arg(long)]
        quick: bool,
    },
    /// List the last lives, or write the text of one again that is kept
    Lives {
        /// The life's number
        number: Option<u64>,
        /// On the printer, as its receipt
        #[arg(long, requires = "number")]
        print: bool,
    },
    /// Draw the installation in this terminal: the button, the light and the paper
    Simulate,
    /// Live an earlier life again, by its number in lives.csv of --state-dir: with the
    /// model, prompt, seed and options of that time
    Relive {
        /// The life's number
        number: u64,
    },
}

impl Cli {
    /// Parses the process's arguments and environment. Variables that belong to no
    /// option are warned about.
    ///
    /// # Errors
    ///
    /// On wrong usage, and for `--help` and `--version`.
    pub fn from_command_line() -> Result<Self, Usage> {
        // Without the variables first: what is right then and wrong with them is theirs.
        let of = |command| Self::of(command, std::env::args_os());
        let parsed = of(definition()).and_then(|given| {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            let folder = given.card.or_else(|| variable("TORMENT_CARD"));
            let state = given.state_dir.or_else(|| variable("TORMENT_STATE_DIR"));
            let state = StateFolder::locate(state.as_deref());
            let read = |folder: PathBuf| Card::read(&folder, state.as_ref(), &definition());
            let (card, settings) = folder.map(read).unwrap_or_default();
            let cli =
                of(command(&settings)).map_err(|error| naming_its_variable(error, command(&settings)))?;
            Ok(Self { of_the_card: card, ..cli })
        });
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        unknown_variables(&command(&[]), names).iter().for_each(warn);
        parsed.map_err(|error| {
            // Where somebody gives arguments, the message is seen; the service has none.
            let is_service = std::env::args_os().len() == 1;
            let light = hardware::light_of(|name| std::env::var(name).ok().filter(|_| is_service));
            Usage::new(error, light)
        })
    }

    /// The options of a command line, the program's name first.
    pub(super) fn of<T: Into<OsString> + Clone>(
        mut command: clap::Command,
        words: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let matches = command.try_get_matches_from_mut(words)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.of_the_text = relive::options_of_the_text(&definition(), &matches);
        let relives = cli.relived_life().is_some();
        match cli.conflict().or_else(|| relive::conflict(&command, &matches).filter(|_| relives)) {
            None => Ok(cli),
            Some(conflict) => Err(command.error(ErrorKind::ArgumentConflict, conflict)),
        }
    }

    /// Two options that cannot be meant together.
    fn conflict(&self) -> Option<String> {
        if let (true, Some(Command::Check { .. })) = (self.simulate || self.relive.is_some(), &self.command) {
            let old = if self.simulate { "--simulate" } else { "--relive" };
            return Some(format!("{old} is for a life and check looks at the box; leave one of them out"));
        }
        let pins = self.hardware.settings().err();
        pins.or_else(|| {
            let busy = self.printer.printer_busy?;
            let others = [("--button", self.hardware.button), ("--led", self.hardware.led)];
            let (other, _) = others.into_iter().find(|(_, pin)| *pin == Some(busy))?;
            Some(format!(
                "--printer-busy and {other} are both GPIO {}; give each a pin of its own (24 for BUSY in the \
                 wiring)",
                busy.number()
            ))
        })
    }

    /// The line that `--verbose` prints after a life with random sampling: the options that
    /// its text depends on and that are not at their default. `None` for a greedy life.
    pub(crate) fn replay(&self, sampling: &Sampling) -> Option<String> {
        let options = self.options_of_the_text(sampling, false);
        sampling.seed.map(|seed| format!("seed {seed}: {options} lives this life again"))
    }

    /// What the history has of the options: all that the text depends on, since another
    /// version may have other defaults.
    pub(crate) fn kept(&self, sampling: &Sampling) -> String {
        relive::line(&self.options_of_the_text(sampling, true))
    }

    /// Every option that the text depends on, however it was given, with the seed that was
    /// drawn; those at their default only `with_defaults`. Quoted for a shell.
    fn options_of_the_text(&self, sampling: &Sampling, with_defaults: bool) -> String {
        let is_kept =
            |(option, is_default): &relive::Given| (with_defaults || !is_default).then(|| option.clone());
        let mut options: Vec<_> = self.of_the_text.iter().filter_map(is_kept).collect();
        // What clap has no default for.
        if let (None, Some(drawn)) = (self.sampling.seed, sampling.seed) {
            options.push(shell::option("seed", &drawn.to_string()));
        }
        if let (None, Some(penalty), true) =
            (self.sampling.repeat_penalty, sampling.repeat_penalty, with_defaults)
        {
            options.push(shell::option("repeat-penalty", &penalty.to_string()));
        }
        options.join(" ")
    }

    /// These options, with those that the text depends on taken from an earlier life.
    /// Fails when this version does not know the life's options.
    pub(crate) fn relived(&self, life: &Entry) -> Result<Self> {
        let unknown = || {
            let Entry { number, options, .. } = life;
            format!(
                "life {number} had options that this version cannot read: {options:?}; relive another one"
            )
        };
        let words = shell::words(&life.options).with_context(unknown)?;
        // Without the variables of the environment: they are for new lives.
        let past = Self::of(definition(), words).map_err(|_| anyhow!(unknown()))?;
        Ok(Self {
            model: past.model,
            // Before there were voices, lives had none.
            lora: past.lora.or_else(|| (!life.fingerprint.contains('+')).then_some(Lora::None)),
            lora_scale: past.lora_scale,
            never: past.never,
            prompt_file: past.prompt_file,
            opening: past.opening,
            context_size: past.context_size,
            sampling: past.sampling,
            of_the_text: past.of_the_text,
            ..self.clone()
        })
    }

    /// The list of `--never`, and what tells it from others.
    pub(crate) fn list_of_words(&self) -> Result<Option<(Never, String)>> {
        let Some(path) = &self.never else { return Ok(None) };
        let list = file::text_of(path, "--never")?;
        let read = Never::read(&list).map_err(|why| {
            anyhow!("list of words {path:?} cannot be used: {why}; name another one with --never")
        })?;
        Ok(Some((read, prompt::hash(&list))))
    }

    /// Whether the installation is to be drawn.
    #[must_use]
    pub(crate) fn simulates(&self) -> bool {
        self.simulate || matches!(self.command, Some(Command::Simulate))
    }

    /// The number of the life that is to be lived again.
    #[must_use]
    pub(crate) fn relived_life(&self) -> Option<u64> {
        match self.command {
            Some(Command::Relive { number }) => Some(number),
            _ => self.relive,
        }
    }

    /// The voice that is asked for; an adapter of which nothing counts is none.
    #[must_use]
    pub(crate) fn voice(&self) -> Option<&Lora> {
        if self.lora_scale == 0.0 { Some(&Lora::None) } else { self.lora.as_ref() }
    }

    /// Whether the program reports tokens and timings.
    #[must_use]
    pub fn reports(&self) -> bool {
        self.verbose >= 1
    }

    /// Whether llama.cpp's own log is printed.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.verbose >= 2
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

/// How often `--verbose` is given. The variable also takes yes and no, as those of the
/// other switches do.
fn count(text: &str) -> Result<u8, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" => Ok(1),
        "false" | "no" | "off" | "n" | "f" => Ok(0),
        number => number.parse().map_err(|_| "give 0, 1 or 2".to_owned()),
    }
}

/// What `hardware/heartbeat` looks at more closely.
fn address(value: &str) -> Result<String, &'static str> {
    let is_one = ["https://", "http://"].iter().any(|scheme| value.starts_with(scheme));
    is_one.then(|| value.to_owned()).ok_or("no address; write https:// before it")
}

fn opening(text: &str) -> Result<String, String> {
    // It is said as it is, and a terminal would obey a control character.
    match text.chars().find(|&letter| letter.is_control()) {
        Some(letter) => Err(format!("it holds {letter:?}; give plain text on one line")),
        None => Ok(text.trim().to_owned()),
    }
}

/// The options as they are parsed: before or after a command, and the everyday ones in
/// the short help.
pub(super) fn definition() -> clap::Command {
    Cli::command().mut_args(|arg| {
        let is_everyday = EVERYDAY.contains(&arg.get_id().as_str());
        arg.global(true).hide_short_help(!is_everyday)
    })
}

/// The options with their variables, and the settings that win over those.
fn command(settings: &[Setting]) -> clap::Command {
    with_variables(definition(), settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::of(definition(), [&["torment-nexus"], args].concat())
    }

    #[test]
    fn the_definition_is_sound_and_every_default_parses() {
        command(&[]).debug_assert();
        let cli = parse(&[]).expect("defaults");
        assert_eq!(cli.context_size.get(), 2048);
        assert!(cli.threads() >= 1 && cli.threads() <= 4);
    }

    #[test]
    fn verbose_counts_and_its_variable_also_takes_yes_and_no() {
        let of = |args: &[&str]| {
            let cli = parse(args).expect("valid");
            (cli.reports(), cli.logs())
        };
        assert_eq!(of(&[]), (false, false));
        assert_eq!(of(&["-v"]), (true, false));
        assert_eq!((of(&["-vv"]), of(&["-v", "--verbose"])), ((true, true), (true, true)));
        for (text, number) in [("1", 1), ("2", 2), ("0", 0), ("true", 1), ("False", 0), ("off", 0)] {
            assert_eq!(count(text), Ok(number), "{text}");
        }
        assert!(count("loud").is_err());
    }

    #[test]
    fn dice_without_a_seed_get_one_and_greedy_needs_none() {
        let seed =
            |args: &[&str]| parse(args).expect("valid").sampling.with_seed().expect("random numbers").seed;
        assert_eq!(seed(&["--temp", "0.8", "--seed", "7"]), Some(7));
        assert_eq!((seed(&[]), seed(&["--seed", "7"])), (None, None));
        assert_ne!(seed(&["--temp", "1"]), seed(&["--temp", "1"]));
    }
}
