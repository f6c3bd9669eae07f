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
//! | file | the one thing it knows |
//! |---|---|
//! | `main.rs` | parse, run, end |
//! | [`cli`] | the options, their defaults and their `TORMENT_…` variables |
//! | [`prompt`] | the system message: which file, and what is no prompt |
//! | [`model`] | from `--model` to a file llama.cpp can open |
//! | [`llm`] | model, context, tokens in and out; the only user of llama-cpp-2 |
//! | [`sampler`] | how the next token is chosen |
//! | [`lifespan`] | when a life ends, and which prompts leave room for one |
//! | [`memory`] | what a context costs, and whether this machine has it |
//! | [`generator`] | the loop: a token, its text, the end; knows no llama type |
//! | [`utf8`] | pieces of bytes to valid text |
//! | [`wrap`] | how text fits a number of columns |
//! | [`output`] | the text on stdout, on a terminal and in the journal |
//! | [`listeners`] | who a life is told to: stdout, and the paper |
//! | [`receipt`] | what a receipt says |
//! | [`escpos`] | text to the printer's bytes; knows its commands |
//! | [`pace`] | when the printer can take more |
//! | [`printer`] | the printer thread: queue, pace, deadline; when it is lost |
//! | [`serial`] | the serial port; with `gpio.rs` the only user of rppal |
//! | [`state`] | what outlives a life: how many there were |
//! | [`date`] | the local date, if the clock can be believed |
//! | [`stderr`] | words beside the work that never change how it ends |
//! | [`interrupt`] | SIGINT, SIGTERM and SIGHUP as a question to ask |
//! | [`ending`] | every way a life can end, its words and its exit code |

pub mod cli;
pub mod date;
pub mod ending;
pub mod escpos;
pub mod generator;
pub mod interrupt;
pub mod lifespan;
pub mod listeners;
pub mod llm;
pub mod memory;
pub mod model;
pub mod output;
pub mod pace;
pub mod printer;
pub mod prompt;
pub mod receipt;
pub mod sampler;
pub mod serial;
pub mod state;
pub mod stderr;
pub mod utf8;
pub mod wrap;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::Cli;
use crate::interrupt::Interrupt;
use crate::lifespan::Lifespan;
use crate::listeners::Listeners;
use crate::llm::{Model, Session};
use crate::model::ModelFile;
use crate::output::Output;
use crate::printer::{Lost, Printer, Settings};
use crate::prompt::Prompt;
use crate::receipt::Summary;
use crate::state::StateDir;

/// Lives one life on stdout and on paper.
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
    let printer = cli.printer.settings();
    printer.as_ref().map_or(Ok(()), Settings::check)?;
    let state = printer.as_ref().and_then(|_| state_dir(cli));
    let prompt = Prompt::read(cli.prompt_file.as_deref(), interrupt)?;
    let file = ModelFile::find(&cli.model, &cli.model_dir)?;
    let sampling = cli.sampling.with_seed()?;

    let model = Model::load(&file, cli.verbose, interrupt)?;
    let trained = model.trained_context(cli.context_size)?;
    let tokens = model.tokenize_prompt(prompt.text())?;
    let lifespan = Lifespan::new(cli.context_size, tokens.len(), trained)?;
    let mut session = Session::open(&model, lifespan, cli.threads(), &sampling)?;
    if let Some(warning) = lifespan.warning(trained) {
        stderr::say(&warning);
    }

    let prefill = Instant::now();
    session.prefill(&tokens, interrupt)?;
    let prefill = prefill.elapsed();

    let birth = Instant::now();
    let lost = Lost::default();
    let printer = printer.map(|settings| Printer::begin(&settings, state.clone(), &lost, interrupt));
    let mut listeners = Listeners::new(Output::stdout(), printer);
    let lived = generator::live(&mut session, &mut listeners, lifespan, interrupt);
    let life = birth.elapsed();

    let printer = listeners.printer.take();
    let used = match lived {
        Ok(used) => used,
        Err(error) => {
            if let Some(printer) = printer {
                printer.break_off(ending::on_paper(&error));
            }
            return Err(error);
        }
    };
    let waited = printer.as_ref().map_or(Duration::ZERO, Printer::waited);
    if let Some(printer) = printer {
        let rate = lifespan.rate(used, life - waited);
        printer.finish(&Summary {
            used,
            context_size: lifespan.context_size(),
            seconds: life.as_secs_f64(),
            rate,
            seed: sampling.has_dice().then_some(sampling.seed),
        });
        // What cannot be kept was said when the life began.
        let _ = state.map(|state| state.update(|record| record.rate = Some(rate)));
    }
    if cli.verbose {
        let report = lifespan.report(used, prefill, life, waited);
        stderr::say(&format!("{report}{sampling}"));
    }
    ending::die()
}

/// Where to keep what outlives a life; a life does without, with a warning.
fn state_dir(cli: &Cli) -> Option<StateDir> {
    let Some(state) = StateDir::locate(cli.state_dir.as_deref()) else {
        stderr::say("warning: no home to keep the life number in; name a folder with --state-dir\n");
        return None;
    };
    match state.check() {
        Ok(()) => Some(state),
        Err(error) => {
            stderr::say(&format!("warning: {error:#}\n"));
            None
        }
    }
}
