//! The loop of the cabinet: what happens is told to the state, and what the state wants
//! is done.

use std::convert::Infallible;
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::child::{Birth, Life};
use super::colours::Colours;
use super::printer::{Order, Printer};
use super::save;
use super::screen::{Screen, read_keys};
use super::state::{Cabinet, Deed, Event};
use super::view;
use crate::cli::Cli;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;

/// The time between two frames: as often as the light changes while it breathes.
const FRAME: Duration = Duration::from_millis(33);

/// Draws the installation until it is left.
///
/// # Errors
///
/// Always: [`Ending::Usage`] with exit code 0 when it was left, or what kept it from
/// being drawn.
pub(crate) fn draw(cli: &Cli, interrupt: &Interrupt) -> Result<Infallible, Ending> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(anyhow!(
            "--simulate draws in a terminal; start it in one, or leave it out for the plain stream"
        )
        .into());
    }
    let folder = Folder::make()?;
    let (events, happened) = unbounded();
    let device = folder.0.join("printer");
    let birth = Birth::like_this_process(&folder.0, &device)?;
    birth.listen(events.clone())?;
    let settings = cli.printer.settings_on(device.clone());
    let printer = Printer::start(&settings, &device, events.clone())?;
    let stage = Stage {
        cabinet: Cabinet::new(),
        columns: settings.format.columns as u16,
        colours: Colours::of(|name| std::env::var(name).ok()),
        start: Instant::now(),
        printer,
        life: None,
        birth,
        events,
    };
    match stage.play(&happened, interrupt)? {
        Left::ByKey => Err(Ending::Usage(0)),
        Left::BySignal => Err(Ending::Interrupted("in the cabinet".to_owned())),
    }
}

/// How the terminal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    ByKey,
    BySignal,
}

/// All that is on the stage.
struct Stage {
    cabinet: Cabinet,
    columns: u16,
    colours: Colours,
    start: Instant,
    /// The life that runs, if one does. It ends before its printer does.
    life: Option<Life>,
    printer: Printer,
    birth: Birth,
    events: Sender<Event>,
}

impl Stage {
    fn play(mut self, happened: &Receiver<Event>, interrupt: &Interrupt) -> Result<Left> {
        // Before the terminal is taken, so that its error is told on it as it is.
        self.begin()?;
        let mut screen = Screen::take().context("cannot draw in this terminal; leave --simulate out")?;
        let keys = Arc::new(AtomicBool::new(true));
        let (is_needed, events) = (keys.clone(), self.events.clone());
        thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read_keys(&is_needed, |event| events.send(event).is_ok()))
            .context("cannot start a thread; end other programs")?;
        let left = self.until_left(&mut screen, happened, interrupt);
        keys.store(false, Ordering::Relaxed);
        // The terminal is left first: a life may take some seconds to end, and a second
        // signal ends this program at once.
        drop(screen);
        self.printer.order(Order::Pace(None));
        self.life = None;
        left
    }

    fn until_left(
        &mut self,
        screen: &mut Screen,
        happened: &Receiver<Event>,
        interrupt: &Interrupt,
    ) -> Result<Left> {
        let mut due = Instant::now();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let event = interrupt.or_next_within(happened, wait);
            if interrupt.is_raised() {
                return Ok(Left::BySignal);
            }
            let now = self.start.elapsed();
            let mut deeds = event.map_or_else(Vec::new, |event| self.cabinet.take(event, now));
            if Instant::now() >= due {
                due = Instant::now() + FRAME;
                deeds.extend(self.cabinet.tick(now));
                if let Some(exit) = self.life.as_mut().and_then(Life::ended) {
                    self.life = None;
                    deeds.extend(self.cabinet.take(Event::Ended(exit), now));
                }
                let Self { cabinet, columns, colours, .. } = self;
                let drawn = screen.show(|frame| view::draw(cabinet, *columns, *colours, now, frame));
                drawn.context("cannot draw in this terminal any more; start it in another")?;
            }
            for deed in deeds {
                if deed == Deed::Leave {
                    return Ok(Left::ByKey);
                }
                self.perform(deed)?;
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        let life = Life::begin(&self.birth, &self.events)?;
        self.printer.order(Order::Life(life.socket().clone()));
        self.life = Some(life);
        Ok(())
    }

    fn perform(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Button(down) => {
                if let Some(life) = &self.life {
                    life.button(down);
                }
            }
            Deed::Pace(pace) => self.printer.order(Order::Pace(pace)),
            Deed::Paper(paper) => self.printer.order(Order::Paper(paper)),
            Deed::Plug(plugged) => self.printer.order(Order::Plug(plugged)),
            Deed::Start => self.begin()?,
            Deed::End => {
                if let Some(life) = &self.life {
                    life.end();
                }
            }
            Deed::Save => self.save(),
            Deed::Leave => {}
        }
        Ok(())
    }

    fn save(&mut self) {
        let words = match self.cabinet.roll.receipt() {
            None => "there is no receipt yet".to_owned(),
            Some(receipt) => match save::save(receipt, self.cabinet.begun, Path::new("")) {
                Ok(picture) => format!("saved {} and .txt", picture.display()),
                Err(error) => format!("cannot save here: {error}; start it in a folder of yours"),
            },
        };
        let now = self.start.elapsed();
        self.cabinet.take(Event::Saved(words), now);
    }
}

/// A folder of this process alone, removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let parent = std::env::temp_dir();
        for number in 0..100 {
            let path = parent.join(format!("torment-nexus-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("cannot make a folder in {parent:?}; free some space there, or set TMPDIR")
                    });
                }
            }
        }
        bail!("{parent:?} is full of folders torment-nexus-…; remove them")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
