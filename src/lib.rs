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
//!                              (pace)            (light follows fill)
//!                                    │ used ≥ floor(0.95 × context size)
//!                                    ▼
//!          the death on paper ─► WARNING … ─► panic! ─► exit 101
//! ```
//!
//! | room | what it knows |
//! |---|---|
//! | `main.rs` | parses the arguments, runs a life; `life::ending` turns how it ended into the exit code |
//! | `lib.rs` | this table, [`run`], and the stages of a life |
//! | `request.rs` | what life is asked for: prompt, model, voice, sampling; an earlier one again |
//! | `waiting.rs` | `for_a_press`: the wait for a press, within the hours and the rest of a show |
//! | `simulate.rs` | `torment-nexus simulate`: starts the cabinet |
//! | `stick.rs` | what a stick offers, and the answer of the button |
//! | [`check`] | `torment-nexus check`: what is well, what is not, and the next step |
//! | [`cli`] | the options, their defaults and their `TORMENT_…` variables |
//! | [`mind`] | the language model; the only user of llama-cpp-2 |
//! | `lives.rs` | `torment-nexus lives`: the last lives, and one of them again |
//! | `processor.rs` | with `processor.c`: ends the program in one line on a PC's processor that cannot run it |
//! | `crates/kernels` | [attention and matrix products](kernels) in place of ggml's |
//! | `crates/model-file` | [from `--model` to a file](model_file) that llama.cpp can open |
//! | `crates/cabinet` | the installation drawn in a terminal, a program of its own |
//! | `crates/installation` | [the object without its mind](installation): button, light, receipt, lives |
//!
//! Each folder's `mod.rs` and each crate's `lib.rs` has a table of its files. A room may
//! import only rooms below it, never one beside it:
//!
//! ```text
//! main
//! lib
//! check
//! cli
//! mind
//! model-file  kernels  cabinet    (kernels import nothing: the linker redirects calls of
//! installation                     ggml to them; the cabinet talks to a life by a socket)
//! ```
//!
//! The compiler keeps the crates apart; `tests/it/house.rs` reads the source and checks
//! the rule for the rooms within one.

// `pub` is only for what main, tests, benches and examples use: the compiler
// reports all other unused code.
#![deny(unreachable_pub)]

mod check;
pub mod cli;
mod lives;
pub mod mind;
#[cfg(checks_processor)]
mod processor;
mod request;
mod simulate;
mod stick;
mod waiting;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::cli::{Cli, Command, Usage};
use crate::mind::careful::Careful;
use crate::mind::computing::Computing;
use crate::mind::model::Model;
use crate::mind::net;
use crate::mind::prompt_state::PromptState;
use crate::mind::session::{Prefill, Session};
use crate::request::Request;
use crate::stick::{Offer, Stick};
use crate::waiting::{Asked, Waiting};
use installation::board::health::Health;
use installation::life::ending::{self, Ending};
use installation::life::generator;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::link::Link;
use installation::life::listener::{Listener, Listeners};
use installation::life::progress::{Load, Progress};
use installation::life::reporter::{self, Reporter};
use installation::life::status::Status;
use installation::life::supervisor::Supervisor;
use installation::life::vitals::Vitals;
use installation::panel::{self, Gesture, Panel};
use installation::paper::printing::{Paper, Receipt};
use installation::paper::receipt::{Line, Summary};
use installation::state::entry::Figures;
use installation::state::folder::StateFolder;
use installation::text::fault::one_line;
use installation::text::stderr::{self, say, warn};
use installation::text::stdout::Output;

/// What follows on paper after what is wrong on the card.
const OLD_SETTINGS: &str = "Until that is mended, what was set before goes on.";

/// How long the button is waited for to answer what a stick offers: somebody reads a list.
const ANSWER: Duration = Duration::from_secs(300);

/// Does what the arguments ask for: a life, with stdout, printer and light, or a check, or
/// the cabinet.
///
/// # Errors
///
/// Every ending except the death.
///
/// # Panics
///
/// With [`ending::Death`] when 95 % of the context is used: the intended
/// ending. It unwinds from here, so that the context and the model are freed.
pub fn run(cli: &Cli) -> Result<Infallible, Ending> {
    let cabinet = cli.in_cabinet.is_some().then(Link::on_stdin).transpose()?;
    if cabinet.is_none() && cli.simulates() {
        return simulate::start();
    }
    let supervisor = Supervisor::of_this_process(cabinet.clone());
    let interrupt = Interrupt::on_signals(cli.reports(), &supervisor)?;
    net::above(|| match cli.command {
        Some(Command::Check { json, quick }) => check::check(cli, json, quick, &interrupt),
        Some(Command::Lives { number, print }) => lives::lives(cli, number, print, &interrupt),
        _ => live_with_panel(cli, cabinet, &supervisor, &interrupt),
    })
}

/// Prints what is said instead of a life, and shows wrong usage on the light if
/// its pin is known: a dark light would look like a power cut.
pub fn refuse(usage: &Usage) -> Ending {
    let ending = usage.print();
    if matches!(ending, Ending::Usage) && std::env::args_os().any(|argument| argument == "--json") {
        check::refuse(usage);
    }
    if let Some(light) = usage.light()
        && let Ok(interrupt) = Interrupt::on_signals(false, &Supervisor::default())
        && let Ok(panel) = Panel::open(panel::PanelSettings::light(light), false, &interrupt)
    {
        panel.show_wrong_options();
    }
    ending
}

/// Opens the button and the light, and lives a life. A fault is said, and then shown on
/// the light before that goes dark.
fn live_with_panel(
    cli: &Cli,
    cabinet: Option<Link>,
    supervisor: &Supervisor,
    interrupt: &Interrupt,
) -> Result<Infallible, Ending> {
    let start = Instant::now();
    let pins = cli.hardware.settings().map_err(|conflict| anyhow!(conflict))?;
    supervisor.status(Status::Loading);
    let panel = match &cabinet {
        Some(link) => Panel::drawn(link.clone(), interrupt)?,
        None => Panel::open(pins, cli.reports(), interrupt)?,
    };
    cli.of_the_card.begin();
    let ending = match (Piece { cli, panel: &panel, cabinet, supervisor, interrupt, start }).live() {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    cli.of_the_card.has_begun();
    supervisor.status(Status::Ended(ending.to_string()));
    Err(match ending {
        Ending::Fault(fault) => {
            cli.of_the_card.blame(&fault);
            ending::say_fault(&fault);
            panel.show_fault();
            Ending::Failed
        }
        other => other,
    })
}

/// What a life is lived with, whatever it will say.
struct Piece<'a> {
    cli: &'a Cli,
    panel: &'a Panel,
    /// The cabinet that draws it, if one does.
    cabinet: Option<Link>,
    supervisor: &'a Supervisor,
    interrupt: &'a Interrupt,
    /// When the program started, which is when the life before it ended.
    start: Instant,
}

/// A context with its prompt in it.
struct Prefilled<'model> {
    mind: Careful<Session<'model>>,
    lifespan: Lifespan,
    /// How long that took, and where it came from.
    time: Duration,
    how: Prefill,
}

/// A life that has come to its last token, and is not dead yet.
struct Lived {
    receipt: Receipt,
    figures: Figures,
    /// Tokens in use.
    used: u32,
    time: Duration,
}

impl Piece<'_> {
    /// The stages of a life, as the picture above draws them.
    fn live(&self) -> Result<Infallible, Ending> {
        let folder = StateFolder::locate(self.cli.state_dir.as_deref());
        let paper = self.open_paper(folder.as_ref())?;
        let stages = || -> Result<Infallible, Ending> {
            self.tell_of_the_card(&paper);
            if let Some(stick) = self.cli.show.stick().map(Stick::at) {
                stick.tell(folder.as_ref(), |words| {
                    paper.notice("the stick", [Line::Text(words.to_owned())].into_iter(), self.interrupt)
                });
            }
            let request = Request::settle(self.cli, folder.as_ref(), self.interrupt)?;
            let stdout = Output::stdout().context("cannot use stdout; give it somewhere else to go")?;
            let progress = self.show_progress(&request);
            let model = self.load(&request, &progress)?;
            let mut prefilled = self.prefill(&request, &model, folder.as_ref(), &progress)?;
            self.wait(&request, &paper)?;
            let lived = self.speak(&request, &mut prefilled, &paper, stdout)?;
            self.die(&request, &prefilled, lived)
        };
        stages().inspect_err(|ending| paper.note(ending))
    }

    /// The printer, of which the cabinet hears what its one has to be like.
    fn open_paper(&self, folder: Option<&StateFolder>) -> Result<Paper, Ending> {
        let Self { cli, cabinet, .. } = self;
        let printer = match (cabinet, &cli.in_cabinet) {
            (Some(link), Some(device)) => {
                let (drawn, printer) = cli.printer.drawn(device, link);
                link.tell(drawn).context("the cabinet has ended; start it again")?;
                Some(printer)
            }
            _ => cli.printer.settings(),
        };
        let has_button = cabinet.is_some() || cli.hardware.button.is_some();
        Ok(Paper::open(printer, &cli.printer.design(), folder, has_button)?
            .keeping_texts(folder, cli.show.keep_texts))
    }

    /// Tells what is wrong on the card: on stderr at each start, on paper and on the light
    /// once.
    fn tell_of_the_card(&self, paper: &Paper) {
        let card = &self.cli.of_the_card;
        card.faults().iter().for_each(warn);
        // What cannot be noted would be told at each life.
        if card.is_to_be_told() && card.note(false).is_ok() {
            let lines = card.faults().iter().cloned().chain([OLD_SETTINGS.to_owned()]);
            let told = paper.notice("the card", lines.map(Line::Text), self.interrupt);
            if let Err(error) = card.note(told) {
                warn(one_line(&error));
            }
            self.panel.show_fault();
        }
    }

    /// Tells on stderr and on the light how far the piece is from being armed.
    fn show_progress(&self, request: &Request) -> Progress {
        // llama.cpp's log tells more, on the same stderr.
        let (logs, load, light) = (self.cli.logs(), Load::of(request.file.to_string()), self.panel.loading());
        Progress::new(move |step| {
            if !logs {
                load.at(step);
            }
            light.show(step.share());
        })
    }

    fn load(&self, request: &Request, progress: &Progress) -> Result<Model, Ending> {
        let logs = self.cli.logs();
        let mut model = Model::load(&request.file, logs, progress, self.interrupt)?;
        if let Some(voice) = &request.voice {
            model.take_voice(voice, request.cli.lora_scale, logs)?;
        }
        Ok(model)
    }

    fn prefill<'model>(
        &self,
        request: &Request,
        model: &'model Model,
        folder: Option<&StateFolder>,
        progress: &Progress,
    ) -> Result<Prefilled<'model>, Ending> {
        let context_size = request.cli.context_size;
        let trained = model.trained_context(context_size)?;
        let tokens = model.tokenize_prompt(request.prompt.text(), request.opening())?;
        let lifespan = Lifespan::new(context_size, tokens.len(), trained)?;
        let computing = Computing::new(self.cli.threads());
        let mut session = Session::open(model, lifespan, computing, &request.sampling)?;
        let of_template = model.warning(request.prompt.text());
        for warning in lifespan.warning(trained).into_iter().chain(request.warning()).chain(of_template) {
            warn(warning);
        }
        let begun = Instant::now();
        let kept = folder.map(|folder| PromptState::within(folder.path()));
        let how = session.prefill(&tokens, kept.as_ref(), progress, self.interrupt)?;
        let time = begun.elapsed();
        if self.cli.reports() {
            if let Some(voice) = &request.voice {
                say(format_args!("speaks with {voice}\n"));
            }
            say(format_args!("armed after {:.2} s of prompt, {how}\n", time.as_secs_f64()));
        }
        let mind = Careful::new(session, request.never.clone(), request.opening());
        Ok(Prefilled { mind, lifespan, time, how })
    }

    /// Waits for the press that begins the life; a long one prints the slip before.
    fn wait(&self, request: &Request, paper: &Paper) -> Result<(), Ending> {
        let Self { cli, panel, supervisor, interrupt, start, .. } = *self;
        supervisor.armed(waiting::armed(paper));
        cli.of_the_card.has_begun();
        let (schedule, button) = (cli.show.schedule(), cli.hardware.button);
        // Once: what is noted while it waits, such as a slip, is no life to rest after.
        let life_before = (!waiting::is_first(paper)).then_some(start);
        let stick = cli.show.stick().map(Stick::at);
        let stick = stick.as_ref();
        let waiting = Waiting { schedule, button, life_before, panel, paper, supervisor, interrupt, stick };
        loop {
            match waiting.for_a_press()? {
                Asked::Gesture(Gesture::Again) => paper.last_again(interrupt),
                Asked::Gesture(Gesture::Slip) => {
                    paper.slip(&request.spoken(), request.prompt.text(), interrupt);
                }
                Asked::Gesture(_) => break,
                Asked::Offer(offer) => self.ask_about(&offer, stick, paper)?,
            }
        }
        stderr::clear();
        Ok(())
    }

    /// Prints what a stick offers, and has the button answer while the stick is there. No
    /// press begins a life meanwhile.
    fn ask_about(&self, offer: &Offer, stick: Option<&Stick>, paper: &Paper) -> Result<(), Ending> {
        self.panel.rest();
        paper.notice("the stick", offer.lines.iter().cloned().map(Line::Text), self.interrupt);
        let is_there = || stick.and_then(Stick::offer).as_ref() == Some(offer);
        let taken = self.panel.ask(ANSWER, is_there)?;
        if let Some(Err(error)) = stick.map(|stick| stick.answer(offer, taken)) {
            warn(one_line(&error));
        }
        Ok(())
    }

    /// Generates the life to its last token, and tells all listeners each token.
    fn speak(
        &self,
        request: &Request,
        prefilled: &mut Prefilled<'_>,
        paper: &Paper,
        stdout: Output<impl std::io::Write>,
    ) -> Result<Lived, Ending> {
        let Self { panel, supervisor, interrupt, .. } = self;
        let lifespan = prefilled.lifespan;
        let birth = Instant::now();
        let mut receipt = paper.begin(request.about.clone(), &panel.printer_status(), interrupt);
        let mut vitals = Vitals::new(Health::of_this_machine);
        let born = lifespan.fill(lifespan.prompt());
        let mut light = panel.begin(born);
        let printed = receipt.is_printed();
        let printer = printed.then(|| panel.printer_status());
        let mut status = Reporter::begin(supervisor, receipt.number(), printer, born);
        let mut cabinet = self.cabinet.clone();
        let mut others: Vec<&mut dyn Listener> = vec![&mut light, &mut receipt, &mut vitals, &mut status];
        others.extend(cabinet.iter_mut().map(|cabinet| cabinet as &mut dyn Listener));
        let mut listeners = Listeners::new(stdout, others, printed, interrupt);
        let mind = &mut prefilled.mind;
        let lived = generator::run(request.opening(), mind, &mut listeners, lifespan, interrupt);
        let time = birth.elapsed();
        let seen = vitals.end();
        // Nothing is heard of a life whose opening could not be written.
        let heard = seen.used.max(lifespan.prompt());
        let figures = Figures {
            tokens: Some(heard),
            seconds: Some(time.as_secs_f64()),
            rate: Some(lifespan.rate(heard, time - receipt.waited())),
            celsius: seen.celsius,
            throttled: seen.throttled,
        };
        let is_counted = paper.lives().is_none() || receipt.number()().is_some();
        if lived.is_ok() && !is_counted && self.cli.show.schedule().lives_per_day.is_some() {
            warn("--lives-per-day does not count this life: its line could not be written");
        }
        match lived {
            Ok(used) => Ok(Lived { receipt, figures, used, time }),
            Err(ending) => {
                receipt.break_off(&ending, figures);
                Err(ending)
            }
        }
    }

    /// Prints the death, and dies. The model's weights and the context stay in memory
    /// until the panic unwinds [`run`].
    fn die(&self, request: &Request, prefilled: &Prefilled<'_>, lived: Lived) -> ! {
        let Lived { receipt, figures, used, time } = lived;
        let lifespan = prefilled.lifespan;
        self.panel.dying();
        reporter::dies(self.supervisor, self.panel.printer_status());
        let waited = receipt.waited();
        let summary = Summary {
            used,
            context_size: lifespan.context_size(),
            seconds: time.as_secs_f64(),
            rate: figures.rate.unwrap_or_default(),
            seed: request.sampling.seed,
            voice: request.voice.as_ref().map(ToString::to_string),
        };
        receipt.finish(&summary, figures);
        if self.cli.reports() {
            let computed = (!matches!(prefilled.how, Prefill::Restored)).then_some(prefilled.time);
            say(lifespan.report(used, computed, time, waited));
            if let Some(options) = request.cli.replay(&request.sampling) {
                say(format_args!("{options}\n"));
            }
        }
        if let Err(error) = self.cli.of_the_card.keep() {
            warn(one_line(&error));
        }
        self.panel.hold_last_light();
        ending::die()
    }
}
