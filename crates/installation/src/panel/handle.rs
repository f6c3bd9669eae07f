//! The button and the light as the rest of the program sees them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::drawn;
use super::pins;
use super::pulse::{DYING_TIME, FAULT_TIME, LifePosition, Pattern, WRONG_TIME};
use super::settings::PanelSettings;
use super::thread::{Attendant, Gauge, Gesture, Pins, attend};
use super::wake::Bell;
use crate::board::threads;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Fill;
use crate::life::link::Link;
use crate::life::listener::{Listener, PrinterStatus};

/// Without a pin for the light its methods do nothing; without a pin for the button a
/// life begins at once.
#[derive(Debug)]
pub struct Panel {
    /// `None` if neither option names a pin.
    thread: Option<Thread>,
    gauge: Arc<Gauge>,
    interrupt: Interrupt,
    /// When the death began.
    dying: OnceLock<Instant>,
    /// Whether the button is waited for.
    armed: AtomicBool,
}

/// The running thread, and the channels to and from it.
#[derive(Debug)]
struct Thread {
    line: PhaseSender,
    asked: Receiver<Gesture>,
    handle: Option<JoinHandle<()>>,
    has_button: bool,
    has_light: bool,
}

/// The way to the thread.
#[derive(Debug, Clone)]
struct PhaseSender {
    /// `None` ends the thread.
    phases: Sender<Option<Pattern>>,
    /// Rung after each of them.
    bell: Arc<Bell>,
}

impl PhaseSender {
    fn enter(&self, phase: impl Into<Option<Pattern>>) {
        // If the thread has ended, it has reported why.
        let _ = self.phases.send(phase.into());
        self.bell.ring();
    }
}

/// How often it is looked whether an answer is still waited for.
const LOOK: Duration = Duration::from_secs(1);

/// The light while the model loads.
#[derive(Debug)]
pub struct Loading {
    line: Option<PhaseSender>,
    percent: AtomicU32,
}

impl Loading {
    /// Shows how far the piece is ready, 0 to 1.
    pub fn show(&self, share: f32) {
        let percent = (share * 100.0) as u32;
        if self.percent.fetch_max(percent, Ordering::Relaxed) < percent
            && let Some(line) = &self.line
        {
            line.enter(Pattern::Loading { ready: share });
        }
    }
}

impl Panel {
    /// Takes the pins of `settings`, and lets the light show that the model loads. With
    /// `verbose` the thread says how it drives the light. Fails as [`pins::take`].
    pub fn open(settings: PanelSettings, verbose: bool, interrupt: &Interrupt) -> Result<Self> {
        if settings == PanelSettings::default() {
            return Ok(Self::with(None, Arc::default(), interrupt));
        }
        Self::start(pins::take(settings, verbose)?, interrupt)
    }

    /// The button and the light that are drawn at the other end of the link.
    pub fn drawn(link: Link, interrupt: &Interrupt) -> Result<Self> {
        Self::start(drawn::pins(link), interrupt)
    }

    /// Starts the thread, which owns the pins from now on. Fails when it cannot.
    pub(super) fn start(pins: Pins, interrupt: &Interrupt) -> Result<Self> {
        let (phases, entered) = unbounded();
        let (answer, asked) = unbounded();
        let gauge = Arc::new(Gauge::default());
        let bell = Arc::new(Bell::new().context("cannot start the GPIO thread; end other programs")?);
        let line = PhaseSender { phases, bell: Arc::clone(&bell) };
        let has_button = pins.button.is_some();
        let has_light = pins.light.is_some() || pins.coming.is_some();
        let attendant = Attendant::new(pins, Arc::clone(&gauge), answer);
        let handle = Some(threads::start("gpio", move || attend(attendant, &entered, &bell))?);
        Ok(Self::with(Some(Thread { line, asked, handle, has_button, has_light }), gauge, interrupt))
    }

    fn with(thread: Option<Thread>, gauge: Arc<Gauge>, interrupt: &Interrupt) -> Self {
        Self {
            thread,
            gauge,
            interrupt: interrupt.clone(),
            dying: OnceLock::new(),
            armed: AtomicBool::new(false),
        }
    }

    /// The light that shows how far the piece is ready.
    pub fn loading(&self) -> Loading {
        Loading { line: self.thread.as_ref().map(|thread| thread.line.clone()), percent: AtomicU32::new(0) }
    }

    /// Waits for a press for `time` at most; `None` if none came. Without a button it
    /// returns [`Gesture::Life`] at once. The piece stays armed: call [`Panel::rest`] or
    /// [`Panel::close`] to end that. Fails with
    /// [`Ending::Interrupted`] when a signal comes first.
    pub fn wait_for_press_within(&self, time: Duration) -> Result<Option<Gesture>, Ending> {
        let Some(thread) = self.thread.as_ref().filter(|thread| thread.has_button) else {
            return Ok(Some(Gesture::Life));
        };
        if !self.armed.swap(true, Ordering::Relaxed) {
            // A press of an earlier time no longer counts.
            thread.asked.try_iter().for_each(drop);
            self.enter(Pattern::Armed);
        }
        self.next_within(thread, time)
    }

    /// What the button asks for next, within this time.
    fn next_within(&self, thread: &Thread, time: Duration) -> Result<Option<Gesture>, Ending> {
        let start = Instant::now();
        match self.interrupt.or_next_within(&thread.asked, time) {
            None if self.interrupt.is_raised() => {
                Err(Ending::Interrupted("while waiting for the button".to_owned()))
            }
            None if start.elapsed() < time => {
                Err(anyhow!("the GPIO thread has ended; start it again, and report this").into())
            }
            asked => Ok(asked),
        }
    }

    /// Waits for the answer to what is on paper, for `time` at most and while it `is_asked`:
    /// whether the button was held for 3 s. Fails with [`Ending::Interrupted`] when a signal
    /// comes first.
    pub fn ask(&self, time: Duration, is_asked: impl Fn() -> bool) -> Result<bool, Ending> {
        let Some(thread) = &self.thread else { return Ok(false) };
        thread.asked.try_iter().for_each(drop);
        self.disarm(Pattern::Counted);
        let (start, mut answer) = (Instant::now(), None);
        while answer.is_none() && start.elapsed() < time && is_asked() {
            answer = self.next_within(thread, LOOK)?;
        }
        self.enter(Pattern::Resting);
        Ok(answer == Some(Gesture::Yes))
    }

    /// Rests: the button is not read, and a press until now no longer counts.
    pub fn rest(&self) {
        self.disarm(Pattern::Resting);
    }

    /// The same outside opening hours.
    pub fn close(&self) {
        self.disarm(Pattern::Closed);
    }

    fn disarm(&self, phase: Pattern) {
        self.armed.store(false, Ordering::Relaxed);
        self.enter(phase);
    }

    /// Begins a life, whose context the prompt fills to `birth`. Returns the
    /// light as a listener; its beat follows the fill from now on.
    pub fn begin(&self, birth: Fill) -> impl Listener + use<> {
        let birth = birth.share();
        self.gauge.set_fill(birth);
        self.enter(Pattern::Alive(LifePosition { birth, fill: birth, printer_lost: false }));
        Arc::clone(&self.gauge)
    }

    /// The flags of the printer: once it is lost, every fourth beat of the light
    /// is missing; while it is out of paper, the light shows that instead.
    pub fn printer_status(&self) -> PrinterStatus {
        self.gauge.printer.clone()
    }

    /// Shows the death: full light, from the last token on.
    pub fn dying(&self) {
        self.dying.get_or_init(Instant::now);
        self.enter(Pattern::Dying);
    }

    /// Waits until the death's light has been shown for [`DYING_TIME`]. A
    /// signal ends only this wait.
    pub fn hold_last_light(&self) {
        if let (true, Some(since)) = (self.has_light(), self.dying.get()) {
            let _ = self.interrupt.is_raised_within(DYING_TIME.saturating_sub(since.elapsed()));
        }
    }

    /// Shows that the program was started with wrong options. A signal ends this
    /// early.
    pub fn show_wrong_options(self) {
        self.enter(Pattern::WrongOptions);
        if self.has_light() {
            let _ = self.interrupt.is_raised_within(WRONG_TIME);
        }
    }

    /// Shows a fault for its full time. A signal ends this early.
    pub fn show_fault(&self) {
        self.enter(Pattern::Fault);
        if self.has_light() {
            let _ = self.interrupt.is_raised_within(FAULT_TIME);
        }
    }

    fn has_light(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.has_light)
    }

    fn enter(&self, phase: Pattern) {
        if let Some(thread) = &self.thread {
            thread.line.enter(phase);
        }
    }
}

impl Drop for Panel {
    /// Ends the thread, which makes the light dark and resets the pins.
    fn drop(&mut self) {
        // The death's panic comes after `dying`; any other panic is a bug and
        // is shown as a fault.
        if thread::panicking() && self.dying.get().is_none() {
            self.show_fault();
        }
        let Some(thread) = &mut self.thread else { return };
        thread.line.enter(None);
        if let Some(handle) = thread.handle.take() {
            // If it panicked, the panic hook has reported that.
            let _ = handle.join();
        }
    }
}

/// The thread reads the fill at its own pace, so that the light never delays a token.
impl Listener for Arc<Gauge> {
    fn token(&mut self, _: &str, fill: Fill) -> Result<(), Ending> {
        self.set_fill(fill.share());
        Ok(())
    }
}
