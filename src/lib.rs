//! A language model in a box: it thinks aloud until its context window is
//! full, is told so, and dies in a real panic.
//!
//! One life runs in one direction, and [`run`] reads as that paragraph:
//!
//! ```text
//! args ─► prompt ─► model file ─► language model ─► context, prefilled
//!                                                        │
//!              ┌──────── main thread: the generator ─────┴──────┐
//!              │  next token ─► bytes ─► text ─► used / limit   │
//!              └──────┬─────────────────────────────────────────┘
//!                     ▼                    used ≥ floor(0.95 × context size)
//!      stdout, printer thread ─► paper               ▼
//!                    last words on paper ─► WARNING … ─► panic! ─► exit 101
//! ```
//!
//! Where a change belongs:
//!
//! | folder | what it knows |
//! |---|---|
//! | `main.rs` | parse, run, end |
//! | [`cli`] | the options, their defaults and their `TORMENT_…` variables |
//! | [`life`] | the loop from the first token to the death, and every other ending |
//! | [`mind`] | the language model; the only user of llama-cpp-2 |
//! | [`kernels`] | matrix products and attention, in place of ggml's |
//! | [`model_file`] | from `--model` to a file that llama.cpp can open |
//! | [`paper`] | the receipt and the printer |
//! | [`panel`] | the button and the light |
//! | [`board`] | what the machine says of itself |
//! | [`state`] | what is kept between lives |
//! | [`text`] | text as it arrives: characters, lines, streams |

pub mod board;
pub mod cli;
pub mod kernels;
pub mod life;
pub mod mind;
pub mod model_file;
pub mod panel;
pub mod paper;
pub mod state;
pub mod text;

use std::convert::Infallible;
use std::time::Instant;

use anyhow::Result;

use crate::cli::Cli;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Lifespan;
use crate::life::listener::Listeners;
use crate::life::prompt::Prompt;
use crate::life::{ending, generator};
use crate::mind::prompt_state::PromptState;
use crate::mind::session::{Computing, Model, Prefill, Session};
use crate::model_file::name::ModelFile;
use crate::panel::thread::{Asked, Gpio};
use crate::paper::paper::Paper;
use crate::paper::receipt::Summary;
use crate::state::lives::StateDir;
use crate::text::stderr;
use crate::text::stdout::Output;

/// Lives one life, from loading to the panic, on stdout, on paper and in
/// light.
///
/// # Errors
///
/// Every ending but the death: a fault, an interrupt, a reader who left. Which
/// one it is, [`ending`] tells.
///
/// # Panics
///
/// With [`ending::Death`] when the context is used up: that is the work. It
/// unwinds from here, so the context and the model are freed on the way out.
pub fn run(cli: &Cli, interrupt: &Interrupt) -> Result<Infallible> {
    Gpio::open(cli.hardware, interrupt)?.through(|gpio| live(cli, gpio, interrupt))
}

/// The life that [`run`] lives, with its button and its light.
fn live(cli: &Cli, gpio: &Gpio, interrupt: &Interrupt) -> Result<Infallible> {
    if let Some(note) = gpio.note().filter(|_| cli.verbose) {
        stderr::say(&format!("{note}\n"));
    }
    let paper = Paper::open(cli.printer.settings(), cli.state_dir.as_deref(), cli.hardware.button.is_some())?;
    let prompt = Prompt::read(cli.prompt_file.as_deref(), interrupt)?;
    let file = ModelFile::find(&cli.model, &cli.model_dir, interrupt)?;
    let sampling = cli.sampling.with_seed()?;

    let model = Model::load(&file, cli.verbose, interrupt)?;
    let trained = model.trained_context(cli.context_size)?;
    let tokens = model.tokenize_prompt(prompt.text())?;
    let lifespan = Lifespan::new(cli.context_size, tokens.len(), trained)?;
    let computing = Computing::new(cli.threads(), cli.lookahead);
    let mut session = Session::open(&model, lifespan, computing, &sampling)?;
    if let Some(warning) = lifespan.warning(trained) {
        stderr::say(&warning);
    }
    let prefill = Instant::now();
    let kept = StateDir::locate(cli.state_dir.as_deref()).map(|dir| PromptState::within(dir.path()));
    let how = session.prefill(&tokens, kept.as_ref(), interrupt)?;
    let prefill = prefill.elapsed();
    let restored = matches!(how, Prefill::Restored);

    if cli.verbose {
        stderr::say(&format!("armed after {:.2} s of prompt, {how}\n", prefill.as_secs_f64()));
    }
    while gpio.wait_for_press()? == Asked::Slip {
        paper.slip(&file.to_string(), prompt.text(), interrupt);
    }

    let birth = Instant::now();
    let mut listeners = Listeners::new(Output::stdout(), paper.begin(&gpio.printer_lost(), interrupt));
    let mut mind = gpio.follow(session, lifespan);
    let lived = generator::live(&mut mind, &mut listeners, lifespan, interrupt);
    let used = lived.inspect_err(|error| listeners.break_off(ending::on_paper(error)))?;
    let life = birth.elapsed();

    gpio.dying();
    let waited = listeners.waited();
    let summary = Summary {
        used,
        context_size: lifespan.context_size(),
        seconds: life.as_secs_f64(),
        rate: lifespan.rate(used, life - waited),
        seed: sampling.has_dice().then_some(sampling.seed),
    };
    paper.finish(listeners.printer.take(), &summary);
    if cli.verbose {
        let report = lifespan.report(used, (!restored).then_some(prefill), life, waited);
        stderr::say(&format!("{report}{sampling}"));
    }
    gpio.hold_last_light();
    ending::die()
}
