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
//!                  stdout                            ▼
//!                                  WARNING … ─► panic! ─► exit 101
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
//! | [`download`] | from a URL to a verified file: resumed, never half there |
//! | [`http`] | one GET: token, redirects, patience; the only user of ureq |
//! | [`progress`] | how far a download is; the only user of indicatif |
//! | [`gguf`] | what a model file's header must say before llama.cpp sees it |
//! | [`llm`] | model, context, tokens in and out; the only user of llama-cpp-2 |
//! | [`sampler`] | how the next token is chosen |
//! | [`lifespan`] | when a life ends, and which prompts leave room for one |
//! | [`memory`] | what a context costs, and whether this machine has it |
//! | [`generator`] | the loop: a token, its text, the end; knows no llama type |
//! | [`utf8`] | pieces of bytes to valid text |
//! | [`wrap`] | how text fits a number of columns |
//! | [`output`] | the text on stdout, on a terminal and in the journal |
//! | [`stderr`] | words beside the work that never change how it ends |
//! | [`interrupt`] | SIGINT, SIGTERM and SIGHUP as a question to ask |
//! | [`ending`] | every way a life can end, its words and its exit code |

pub mod cli;
pub mod download;
pub mod ending;
pub mod generator;
pub mod gguf;
pub mod http;
pub mod interrupt;
pub mod lifespan;
pub mod llm;
pub mod memory;
pub mod model;
pub mod output;
pub mod progress;
pub mod prompt;
pub mod sampler;
pub mod stderr;
pub mod utf8;
pub mod wrap;

use std::convert::Infallible;
use std::time::Instant;

use anyhow::Result;

use crate::cli::Cli;
use crate::interrupt::Interrupt;
use crate::lifespan::Lifespan;
use crate::llm::{Model, Session};
use crate::model::ModelFile;
use crate::output::Output;
use crate::prompt::Prompt;

/// Lives one life on stdout.
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
    let prompt = Prompt::read(cli.prompt_file.as_deref(), interrupt)?;
    let file = ModelFile::find(&cli.model, &cli.model_dir, interrupt)?;
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
    let mut stdout = Output::stdout();
    let used = generator::live(&mut session, &mut stdout, lifespan, interrupt)?;

    if cli.verbose {
        let report = lifespan.report(used, prefill, birth.elapsed());
        stderr::say(&format!("{report}{sampling}"));
    }
    ending::die()
}
