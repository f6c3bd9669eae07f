//! The loop of the cabinet: what happens is told to the state, and what the state wants
//! is done.

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::child::{Birth, LifeProcess};
use super::colours::Colours;
use super::printer::{self, Order};
use super::save;
use super::screen::{Screen, read_keys};
use super::state::{Action, Cabinet, Event};
use super::view;
use installation::board::threads;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;

/// The time between two frames: as often as the light changes while it breathes.
const FRAME: Duration = Duration::from_millis(33);

/// Draws the installation, whose lives have the arguments of this process.
///
/// # Errors
///
/// Always: [`Ending::Done`] once it is left, or what kept it from being drawn.
pub fn draw(interrupt: &Interrupt) -> Result<Infallible, Ending> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(anyhow!(
            "simulate draws in a terminal; start it in one, or leave it out for the plain stream"
        )
        .into());
    }
    let folder = tempfile::Builder::new().prefix("torment-nexus-").tempdir();
    let folder =
        folder.context("cannot make a folder; set TMPDIR to one in which you may, and which has space")?;
    let (events, happened) = unbounded();
    let device = folder.path().join("printer");
    let stage = Stage {
        cabinet: Cabinet::default(),
        colours: Colours::of(|name| std::env::var(name).ok()),
        start: Instant::now(),
        printer: printer::start(device.clone(), events.clone())?,
        life: None,
        birth: Birth::with_the_arguments_of_this_process(device)?,
        events,
        saved: None,
    };
    stage.play(&happened, interrupt)
}

/// The time between two receipts that are saved: a key that is held down, or a long text that
/// is typed in, would fill the folder.
const SAVING: Duration = Duration::from_secs(1);

/// All that is on the stage.
struct Stage {
    cabinet: Cabinet,
    colours: Colours,
    start: Instant,
    /// The life that runs, if one does. It ends before its printer does.
    life: Option<LifeProcess>,
    printer: Sender<Order>,
    birth: Birth,
    events: Sender<Event>,
    /// When a receipt was saved last.
    saved: Option<Instant>,
}

impl Stage {
    fn play(mut self, happened: &Receiver<Event>, interrupt: &Interrupt) -> Result<Infallible, Ending> {
        // Before the terminal is taken, so that its error is told on it as it is.
        self.begin()?;
        let mut screen = Screen::take().context("cannot draw in this terminal; leave simulate out")?;
        let keys = Arc::new(AtomicBool::new(true));
        let (is_needed, events) = (keys.clone(), self.events.clone());
        threads::start("keys", move || read_keys(&is_needed, |event| events.send(event).is_ok()))?;
        let left = self.until_left(&mut screen, happened, interrupt);
        keys.store(false, Ordering::Relaxed);
        // The terminal is left first: a life may take some seconds to end, and a second
        // signal ends this program at once.
        drop(screen);
        self.order(Order::Pace(None));
        self.life = None;
        left
    }

    fn until_left(
        &mut self,
        screen: &mut Screen,
        happened: &Receiver<Event>,
        interrupt: &Interrupt,
    ) -> Result<Infallible, Ending> {
        let mut due = Instant::now();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let event = interrupt.or_next_within(happened, wait);
            if interrupt.is_raised() {
                return Err(Ending::Interrupted("in the cabinet".to_owned()));
            }
            let now = self.start.elapsed();
            let mut actions = event.map_or_else(Vec::new, |event| self.cabinet.take(event, now));
            if Instant::now() >= due {
                due = Instant::now() + FRAME;
                actions.extend(self.cabinet.tick(now));
                if let Some(exit) = self.life.as_mut().and_then(LifeProcess::ended) {
                    self.life = None;
                    actions.extend(self.cabinet.take(Event::Ended(exit), now));
                }
                let Self { cabinet, colours, .. } = self;
                let drawn = screen.show(|frame| view::draw(cabinet, *colours, now, frame));
                drawn.context("cannot draw in this terminal any more; start it in another")?;
            }
            for action in actions {
                self.perform(action)?;
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        let life = LifeProcess::begin(&self.birth, &self.events)?;
        self.order(Order::Life(life.socket.clone()));
        self.life = Some(life);
        Ok(())
    }

    fn order(&self, order: Order) {
        // The printer ends after all that orders.
        let _ = self.printer.send(order);
    }

    fn perform(&mut self, action: Action) -> Result<(), Ending> {
        match action {
            Action::Button(down) => {
                if let Some(life) = &self.life {
                    life.button(down);
                }
            }
            Action::Pace(pace) => self.order(Order::Pace(pace)),
            Action::Paper(paper) => self.order(Order::Paper(paper)),
            Action::Plug(plugged) => self.order(Order::Plug(plugged)),
            Action::Start => self.begin()?,
            Action::End => {
                if let Some(life) = &self.life {
                    life.end();
                }
            }
            Action::Save => self.save(),
            Action::Speed(baud, line) => self.order(Order::Speed(baud, line)),
            Action::Leave => return Err(Ending::Done),
        }
        Ok(())
    }

    fn save(&mut self) {
        if self.saved.is_some_and(|last| last.elapsed() < SAVING) {
            return;
        }
        let words = match self.cabinet.roll.receipt() {
            None => "there is no receipt yet".to_owned(),
            Some(receipt) => match save::save(receipt, self.cabinet.begun, Path::new("")) {
                Ok(picture) => format!("saved {} and .txt", picture.display()),
                Err(error) => format!("cannot save here: {error}; start it in a folder of yours"),
            },
        };
        self.cabinet.saved = Some(words);
        self.saved = Some(Instant::now());
    }
}
