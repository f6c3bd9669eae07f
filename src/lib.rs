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
//! | [`prompt_state`] | what the model made of the prompt, kept for the next life |
//! | [`model`] | from `--model` to a file llama.cpp can open |
//! | [`download`] | from a URL to a verified file: resumed, never half there |
//! | [`http`] | one GET: token, redirects, patience; the only user of ureq |
//! | [`progress`] | how far a download is; the only user of indicatif |
//! | [`gguf`] | what a model file's header must say before llama.cpp sees it |
//! | [`llm`] | model, context, tokens in and out; the only user of llama-cpp-2 |
//! | [`speculation`] | what a text that repeats itself says next |
//! | [`ggml`] | where ggml's hot loops are led to ours |
//! | `attention` | attention over the cache, in chunks of positions |
//! | `product` | products of weights and activations, in tiles |
//! | `kernels` | the innermost loops: for the A53, for AVX2, and in plain Rust |
//! | `blocks` | how GGUF's blocks of numbers are laid out |
//! | [`sampler`] | how the next token is chosen |
//! | [`lifespan`] | when a life ends, and which prompts leave room for one |
//! | [`memory`] | what a context costs, and whether this machine has it |
//! | [`generator`] | the loop: a token, its text, the end; knows no llama type |
//! | [`utf8`] | pieces of bytes to valid text |
//! | [`wrap`] | how text fits a number of columns |
//! | [`output`] | the text on stdout, on a terminal and in the journal |
//! | [`paper`] | what is printed when: receipts and the technician's slip |
//! | [`listeners`] | who a life is told to: stdout, and the paper |
//! | [`receipt`] | what a receipt says |
//! | [`escpos`] | text to the printer's bytes; knows its commands |
//! | [`pace`] | when the printer can take more |
//! | [`printer`] | the printer thread: queue, pace, deadline; when it is lost |
//! | [`serial`] | the serial port; with `gpio.rs` the only user of rppal |
//! | [`state`] | what outlives a life: how many there were |
//! | [`date`] | the local date, if the clock can be believed |
//! | [`stderr`] | words beside the work that never change how it ends |
//! | [`gpio`] | the GPIO thread: button in, light out; the only user of rppal's pins |
//! | [`button`] | presses from a level that bounces |
//! | [`pulse`] | what the light shows over time, and that it never flashes too often |
//! | [`pwm`] | the light dimmed by hardware: a channel in sysfs |
//! | [`board`] | what the board says of itself, and the technician's slip |
//! | [`interrupt`] | SIGINT, SIGTERM and SIGHUP as a question to ask |
//! | [`ending`] | every way a life can end, its words and its exit code |

mod attention;
mod blocks;
pub mod board;
pub mod button;
pub mod cli;
pub mod date;
pub mod download;
pub mod ending;
pub mod escpos;
pub mod generator;
pub mod ggml;
pub mod gguf;
pub mod gpio;
pub mod http;
pub mod interrupt;
// build.rs says which.
#[cfg_attr(kernels = "a53", path = "kernels_a53.rs")]
#[cfg_attr(kernels = "avx2", path = "kernels_avx2.rs")]
#[cfg_attr(not(any(kernels = "a53", kernels = "avx2")), path = "kernels_portable.rs")]
mod kernels;
pub mod lifespan;
pub mod listeners;
pub mod llm;
pub mod memory;
pub mod model;
pub mod output;
pub mod pace;
pub mod paper;
pub mod printer;
#[cfg(kernels)]
mod product;
pub mod progress;
pub mod prompt;
pub mod prompt_state;
pub mod pulse;
pub mod pwm;
pub mod receipt;
pub mod sampler;
pub mod serial;
pub mod speculation;
pub mod state;
pub mod stderr;
pub mod utf8;
pub mod wrap;

use std::convert::Infallible;
use std::time::Instant;

use anyhow::Result;

use crate::cli::Cli;
use crate::gpio::{Asked, Gpio};
use crate::interrupt::Interrupt;
use crate::lifespan::Lifespan;
use crate::listeners::Listeners;
use crate::llm::{Computing, Model, Prefill, Session};
use crate::model::ModelFile;
use crate::output::Output;
use crate::paper::Paper;
use crate::prompt::Prompt;
use crate::prompt_state::PromptState;
use crate::receipt::Summary;
use crate::state::StateDir;

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
