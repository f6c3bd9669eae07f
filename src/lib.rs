//! A language model in a box: it generates text until 95 % of its context window
//! is used, prints that its memory is exhausted, and dies in a real panic.
//!
//! The steps of one life, in the order in which [`run`] takes them:
//!
//! ```text
//! args ─► prompt ─► model file ─► model ─► context, prefilled ─► [ARMED: wait for the button]
//!                                                                        │ press
//!              ┌──────── main thread: the generator ────────┐            │
//!              │  next token ─► bytes ─► text, and the fill │ ◄──────────┘
//!              └──────┬──────────────┬───────────────┬──────┘
//!                     ▼              ▼               ▼
//!                  stdout      printer thread    GPIO thread
//!                              (wrap, pace)      (light follows fill)
//!                                    │ used ≥ floor(0.95 × context size)
//!                                    ▼
//!          the death on paper ─► WARNING … ─► panic! ─► exit 101
//! ```
//!
//! | room | what it knows |
//! |---|---|
//! | `main.rs` | parses the arguments, runs a life, ends with its exit code |
//! | `lib.rs` | this table, and [`run`] |
//! | [`check`] | `torment-nexus check`: what is well, what is not, and the next step |
//! | [`cabinet`] | `torment-nexus --simulate`: the installation drawn in a terminal |
//! | [`cli`] | the options, their defaults and their `TORMENT_…` variables |
//! | [`mind`] | the language model; the only user of llama-cpp-2 |
//! | `processor.rs` | ends the program in one line on a PC's processor that cannot run it |
//! | `crates/kernels` | [attention and matrix products](kernels) in place of ggml's |
//! | `crates/model-file` | [from `--model` to a file](model_file) that llama.cpp can open |
//! | `crates/installation` | [the object without its mind](installation): button, light, receipt, lives |
//!
//! Each folder's `mod.rs` and each crate's `lib.rs` has a table of its files. A room may
//! import only rooms below it, never one beside it:
//!
//! ```text
//! main
//! lib
//! check  cabinet
//! cli
//! mind
//! model-file              kernels    (imports nothing; the linker redirects calls of
//! installation                        ggml to it)
//! ```
//!
//! The compiler keeps the crates apart; `tests/it/house.rs` reads the source and checks
//! the rule for the rooms within one.

// `pub` is only for what main, tests, benches and examples use: the compiler
// reports all other unused code.
#![deny(unreachable_pub)]

#[cfg(feature = "cabinet")]
pub mod cabinet;
mod check;
pub mod cli;
pub mod mind;
#[cfg(checks_processor)]
mod processor;

use std::convert::Infallible;
use std::time::Instant;

use anyhow::{Context, anyhow};

use crate::cli::{Cli, Instead, Usage};
use crate::mind::careful::Careful;
use crate::mind::computing::Computing;
use crate::mind::model::Model;
use crate::mind::net;
use crate::mind::prompt_state::PromptState;
use crate::mind::session::{Prefill, Session};
use installation::board::clock;
use installation::board::health::Health;
#[cfg(feature = "cabinet")]
use installation::board::link::Link;
use installation::life::ending::{self, Ending};
use installation::life::generator;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::listener::{Listener, Listeners};
use installation::life::progress::{Load, Progress};
use installation::life::prompt::Prompt;
use installation::life::schedule::{self, Doing, Moment, Schedule};
use installation::life::status::{self, Status};
use installation::life::vitals::Vitals;
use installation::panel::{Asked, Panel, Pin};
use installation::paper::printing::Paper;
use installation::paper::receipt::Summary;
use installation::state::entry::{Course, Entry};
use installation::state::folder::StateFolder;
use installation::state::lives::Lives;
use installation::text::stderr::{self, say, show, warn};
use installation::text::stdout::Output;
use model_file::name::ModelFile;

/// Runs one life, from loading the model to the panic, with stdout, printer and
/// light.
///
/// # Errors
///
/// Every ending except the death: a fault, an interrupt, or a closed stdout.
///
/// # Panics
///
/// With [`ending::Death`] when 95 % of the context is used: the intended
/// ending. It unwinds from here, so that the context and the model are freed.
pub fn run(cli: &Cli, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    net::above(|| begin(cli, interrupt))
}

/// Runs the life of [`run`], or what is asked for in its place.
fn begin(cli: &Cli, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    if let Some(Instead::Check { json, quick }) = cli.instead {
        return check::check(cli, json, quick, interrupt);
    }
    if cli.simulate {
        #[cfg(feature = "cabinet")]
        return cabinet::draw(cli, interrupt);
        #[cfg(not(feature = "cabinet"))]
        return Err(anyhow!(
            "--simulate is not in this build, as in the board's; build it with plain cargo build"
        )
        .into());
    }
    let pins = cli.hardware.settings().map_err(|conflict| anyhow!(conflict))?;
    interrupt.supervisor().status("loads the model");
    #[cfg(feature = "cabinet")]
    if let Some(device) = &cli.in_cabinet {
        let link = Link::on_stdin()?;
        let panel = Panel::drawn(link.clone(), interrupt)?;
        let printer = Some(cli.printer.drawn(device, &link));
        return through(panel, cli, Around { printer, has_button: true, drawn: Some(link) }, interrupt);
    }
    let panel = Panel::open(pins, cli.reports(), interrupt)?;
    let (printer, has_button) = (cli.printer.settings(), cli.hardware.button.is_some());
    through(panel, cli, Around { printer, has_button, drawn: None }, interrupt)
}

/// The program that draws the installation.
#[cfg(feature = "cabinet")]
type Drawn = Link;
/// None does in this build: the type of any listener will do.
#[cfg(not(feature = "cabinet"))]
type Drawn = Output<std::io::Sink>;

/// What is around a life besides its panel.
struct Around {
    printer: Option<installation::paper::settings::Settings>,
    has_button: bool,
    drawn: Option<Drawn>,
}

/// Runs the life of [`run`] on its panel.
fn through(panel: Panel, cli: &Cli, around: Around, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    panel.through(|panel| {
        live(cli, panel, around, interrupt).inspect_err(|ending| interrupt.supervisor().status(ending))
    })
}

/// Prints what is said instead of a life, and shows wrong usage on the light if
/// its pin is known: a dark light would look like a power cut.
pub fn refuse(usage: &Usage) -> Ending {
    let code = usage.print();
    if let Some(light) = usage.light()
        && let Ok(interrupt) = Interrupt::on_signals(false)
        && let Ok(panel) = Panel::open(installation::panel::Settings::light(light), false, &interrupt)
    {
        panel.show_wrong_options();
    }
    Ending::Usage(code)
}

/// Runs the life of [`run`], with its button and its light opened.
fn live(cli: &Cli, panel: &Panel, around: Around, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    let start = Instant::now();
    let folder = StateFolder::locate(cli.state_dir.as_deref());
    let paper = Paper::open(around.printer, &cli.printer.design(), folder.as_ref(), around.has_button)?;
    live_on(cli, panel, around.drawn, &paper, folder.as_ref(), start, interrupt)
        .inspect_err(|ending| paper.note(ending))
}

/// Waits for a press while the schedule lets the piece live; while it does not,
/// the light shows that and no press is answered. `start`: when the program
/// started, which is when the life before it ended.
fn wait_for_a_press(
    schedule: Schedule,
    button: Option<Pin>,
    panel: &Panel,
    paper: &Paper,
    start: Instant,
    interrupt: &Interrupt,
) -> Result<Asked, Ending> {
    let arm = || {
        interrupt.supervisor().status(armed(paper));
        if let Some(pin) = button {
            show(&format!("waiting for a press of the button on GPIO {}", pin.number()));
        }
    };
    if schedule == Schedule::default() {
        arm();
        return panel.wait_for_press();
    }
    // Without a record each start counts as one after a life.
    let rested = paper.lives().is_some_and(|lives| lives.read().is_ok_and(|record| record.starts == 0));
    let today = || {
        schedule.lives_per_day?;
        paper.lives()?.on(&clock::now("%Y-%m-%d")?).ok()
    };
    if schedule.lives_per_day.is_some() && paper.lives().is_none() {
        warn("--lives-per-day is ignored: lives are counted only with a button or a printer");
    }
    let mut told = false;
    loop {
        let minute = clock::minute_of_day();
        if minute.is_none() && schedule.needs_a_clock() && !told {
            warn("the clock is not set: --open and --lives-per-day are ignored until it is");
            told = true;
        }
        let since_life = (!rested).then(|| start.elapsed());
        let wait = match schedule.at(Moment { since_life, minute, today: today() }) {
            Doing::Open => {
                arm();
                match panel.wait_for_press_within(schedule::GLANCE)? {
                    Some(asked) => return Ok(asked),
                    None => continue,
                }
            }
            Doing::Rests(left) => {
                panel.rest();
                interrupt.supervisor().status("rests after a life");
                show("resting after a life");
                left.min(schedule::GLANCE)
            }
            Doing::Closed => {
                panel.close();
                interrupt.supervisor().status("is closed");
                show("closed: no press is answered now");
                schedule::GLANCE
            }
        };
        if interrupt.is_raised_within(wait) {
            return Err(Ending::Interrupted("while the piece rests".to_owned()));
        }
    }
}

/// What tells the model and its voice from others: the fingerprints of their files.
fn fingerprint(file: &ModelFile, voice: Option<&ModelFile>) -> String {
    let parts = [Some(file), voice].into_iter().flatten();
    parts.map(|file| file.fingerprint().unwrap_or_default()).collect::<Vec<_>>().join("+")
}

/// The status of a piece that waits for a press.
fn armed(paper: &Paper) -> String {
    let record = paper.lives().and_then(|lives| lives.read().ok());
    record.map_or_else(|| "armed".to_owned(), |record| format!("armed, {} lives so far", record.lives))
}

/// Runs the life of [`run`], with its paper opened too.
fn live_on(
    cli: &Cli,
    panel: &Panel,
    mut drawn: Option<Drawn>,
    paper: &Paper,
    folder: Option<&StateFolder>,
    start: Instant,
    interrupt: &Interrupt,
) -> Result<Infallible, Ending> {
    let past = cli.relive.map(|number| Lives::find(folder, number)).transpose()?;
    let relived = past.as_ref().map(|past| cli.relived(past)).transpose()?;
    let cli = relived.as_ref().unwrap_or(cli);
    let own_prompt = cli.model.own_prompt();
    let prompt = Prompt::read(cli.prompt_file.as_deref(), own_prompt, interrupt)?;
    // Before a download of minutes.
    let never = cli.list_of_words()?;
    ModelFile::check_voice(cli.voice())?;
    let file = ModelFile::find(&cli.model, &cli.model_dir, interrupt)?;
    let voice = file.voice(cli.voice())?;
    let sampling = cli.sampling.speaking(voice.is_some()).with_seed()?;
    let about = Entry {
        model: file.to_string(),
        fingerprint: fingerprint(&file, voice.as_ref()),
        prompt: prompt.hash() + &never.as_ref().map(|(_, hash)| format!("+{hash}")).unwrap_or_default(),
        seed: sampling.seed,
        options: format!("torment-nexus {}", cli.options_of_the_text(&sampling)),
        ..Entry::default()
    };
    if let Some(past) = &past {
        past.check(&about.model, &about.fingerprint, &about.prompt)?;
    }
    let stdout = Output::stdout().context("cannot use stdout; give it somewhere else to go")?;

    // llama.cpp's log tells more, on the same stderr.
    let (logs, load, light) = (cli.logs(), Load::of(file.to_string()), panel.loading());
    let loading = &interrupt.telling(Progress::new(move |step| {
        if !logs {
            load.at(step);
        }
        light.show(step.share());
    }));
    let mut model = Model::load(&file, logs, loading)?;
    if let Some(voice) = &voice {
        model.take_voice(voice, cli.lora_scale, logs)?;
    }
    let trained = model.trained_context(cli.context_size)?;
    let opening = cli.opening.as_deref().unwrap_or_default();
    let tokens = model.tokenize_prompt(prompt.text(), opening)?;
    let lifespan = Lifespan::new(cli.context_size, tokens.len(), trained)?;
    let computing = Computing::new(cli.threads());
    let mut session = Session::open(&model, lifespan, computing, &sampling)?;
    if let Some(warning) = lifespan.warning(trained) {
        warn(warning);
    }
    if let (Some(_), Some(file)) = (own_prompt, &cli.prompt_file) {
        warn(format_args!(
            "model {} was trained with a prompt of its own: its text does not follow {file:?}; \
             leave out --prompt-file",
            cli.model
        ));
    }
    let prefill = Instant::now();
    let kept = folder.map(|folder| PromptState::within(folder.path()));
    let how = session.prefill(&tokens, kept.as_ref(), loading)?;
    let prefill = prefill.elapsed();
    let restored = matches!(how, Prefill::Restored);

    if cli.reports() {
        if let Some(voice) = &voice {
            say(format_args!("speaks with {voice}\n"));
        }
        say(format_args!("armed after {:.2} s of prompt, {how}\n", prefill.as_secs_f64()));
    }
    interrupt.supervisor().armed(&armed(paper));
    let schedule = cli.show.schedule();
    let button = cli.hardware.button;
    let spoken = voice.as_ref().map_or_else(|| file.to_string(), |voice| format!("{file}, {voice}"));
    while wait_for_a_press(schedule, button, panel, paper, start, interrupt)? == Asked::Slip {
        paper.slip(&spoken, prompt.text(), interrupt);
    }

    stderr::clear();
    let birth = Instant::now();
    let mut receipt = paper.begin(about, &panel.printer_status(), interrupt);
    let mut vitals = Vitals::new(Health::of_this_machine);
    let born = lifespan.fill(lifespan.prompt());
    let mut light = panel.begin(born);
    let printed = receipt.is_printed();
    let number = receipt.number();
    let printer = printed.then(|| panel.printer_status());
    let mut status = Status::begin(interrupt.supervisor(), number, printer, born);
    let mut others: Vec<&mut dyn Listener> = vec![&mut light, &mut receipt, &mut vitals, &mut status];
    others.extend(drawn.iter_mut().map(|drawn| drawn as &mut dyn Listener));
    let mut listeners = Listeners::new(stdout, others, printed, interrupt);
    let mut mind = Careful::new(session, never.map(|(never, _)| never), opening);
    let lived = generator::live(opening, &mut mind, &mut listeners, lifespan, interrupt);
    let life = birth.elapsed();
    let waited = receipt.waited();
    let seen = vitals.end();
    // Nothing is heard of a life whose opening could not be written.
    let heard = seen.used.max(lifespan.prompt());
    let rate = lifespan.rate(heard, life - waited);
    let course = Course {
        tokens: Some(heard),
        seconds: Some(life.as_secs_f64()),
        rate: Some(rate),
        celsius: seen.celsius,
        throttled: seen.throttled,
    };
    let used = match lived {
        Ok(used) => used,
        Err(ending) => {
            receipt.break_off(&ending, course);
            return Err(ending);
        }
    };

    panel.dying();
    status::dies(interrupt.supervisor(), panel.printer_status());
    let summary = Summary {
        used,
        context_size: lifespan.context_size(),
        seconds: life.as_secs_f64(),
        rate,
        seed: sampling.seed,
        voice: voice.as_ref().map(ModelFile::to_string),
    };
    receipt.finish(&summary, course);
    if cli.reports() {
        let report = lifespan.report(used, (!restored).then_some(prefill), life, waited);
        say(report);
        if let Some(options) = cli.replay(&sampling) {
            say(format_args!("{options}\n"));
        }
    }
    panel.hold_last_light();
    // The model's weights and the session's cache stay in memory until the
    // panic unwinds this function.
    ending::die()
}
