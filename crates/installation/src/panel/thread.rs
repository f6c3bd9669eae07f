//! The panel's thread: it reads the button and sets the light.
//!
//! One thread owns the pins and resets them when it ends, however the life
//! ended. It sleeps until a phase comes, the light has to change, or the button
//! may have changed. It never busy-waits, because four threads compute at the
//! same time. If the process is killed (a second signal, SIGKILL, a power cut)
//! the pins stay as they were, and the next start takes them over.
//!
//! An edge of the button wakes the thread, which then polls the level every 10 ms
//! until it is stable. A poll every 40 ms besides finds the press whose edge is
//! lost, and every press on the emulated board, which has no edges. The button of
//! an installation that is drawn has no edges to wait for: it is polled every 10 ms.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::button::{Button, ButtonEvent, JAMMED, Role};
use super::pulse::{LifePosition, Means, Pattern, Pulse, luminance};
use super::wake::Bell;
use crate::life::listener::PrinterStatus;
use crate::text::stderr::warn;

/// Interval between two polls of the button: four samples within the time that a
/// level must be stable.
const POLL: Duration = Duration::from_millis(10);

/// The same while the level is stable and its edges wake the thread: that of the light's
/// frames while it breathes, so that the thread wakes once for both. With the 30 ms that
/// a level must be stable, a press of 80 ms is noticed even if its edges are lost.
const POLL_CALM: Duration = Duration::from_millis(40);

/// Interval between two looks for a light that is not ready.
const LOOK: Duration = Duration::from_millis(250);

/// Work that is due within this time is done now, so that the thread wakes once
/// and not twice.
const SLACK: Duration = Duration::from_millis(5);

/// The level of a button's contact.
pub(super) trait Contact: Send {
    /// Whether the button is down.
    fn is_down(&mut self) -> bool;

    /// A descriptor that is readable once the level has changed; `None` if only
    /// polls tell.
    fn edges(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Forgets the changes until now, so that the descriptor is no longer
    /// readable.
    fn forget_edges(&mut self) {}
}

/// A light, however it is driven.
pub(super) trait Lamp: Send {
    fn means(&self) -> Means;

    /// Sets the luminance, 0 to 1, until the next call. Fails when the light is lost.
    fn set(&mut self, luminance: f64) -> io::Result<()>;
}

/// Looks for a light that may be ready only some time after the thread has started,
/// and is told that time. `None` if it is not ready yet: that must end.
pub(super) type Coming = Box<dyn FnMut(Duration) -> Option<Box<dyn Lamp>> + Send>;

/// The hardware that the thread owns.
#[derive(Default)]
pub(super) struct Pins {
    pub button: Option<Box<dyn Contact>>,
    /// The light, if there is one and it is ready.
    pub light: Option<Box<dyn Lamp>>,
    /// The light, if there is one and it is not ready.
    pub coming: Option<Coming>,
    /// Keeps other programs from the light's pin.
    pub claim: Option<UnixListener>,
}

/// What a visitor, or a technician, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gesture {
    /// A press while armed: begin a life.
    Life,
    /// The button, held down from the moment of arming and let go after the first dip of
    /// the light: print the last receipt again.
    Again,
    /// The button, held down from the moment of arming: print the technician's
    /// slip.
    Slip,
    /// The button, held while a question is asked: yes.
    Yes,
    /// The button, pressed for a moment while a question is asked: no.
    No,
}

/// Values that change during a life: written by other threads, read by this one.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// The fill, 0 to 1, as the bits of an f32.
    fill: AtomicU32,
    pub(super) printer: PrinterStatus,
}

impl Gauge {
    pub(super) fn set_fill(&self, fill: f32) {
        self.fill.store(fill.to_bits(), Ordering::Relaxed);
    }
}

/// The loop of the thread: enters each phase that arrives, does what is due,
/// and sleeps in between. Returns once `None` arrives and the bell was rung.
pub(super) fn attend(mut attendant: Attendant, phases: &Receiver<Option<Pattern>>, bell: &Bell) {
    let start = Instant::now();
    loop {
        loop {
            match phases.try_recv() {
                Ok(Some(phase)) => attendant.enter(phase),
                Err(TryRecvError::Empty) => break,
                Ok(None) | Err(TryRecvError::Disconnected) => return,
            }
        }
        let wait = attendant.tick(start.elapsed());
        if bell.wait(attendant.edges(), wait) {
            attendant.edge();
        }
    }
}

/// The work of the thread, without its clock.
pub(super) struct Attendant {
    pub(super) pins: Pins,
    button: Button,
    pulse: Pulse,
    /// What the piece does: the pattern of the light, before what the button and
    /// the printer change in it.
    phase: Pattern,
    pub(super) gauge: Arc<Gauge>,
    asked: Sender<Gesture>,
    /// When a light that is not ready is looked for next.
    look_due: Duration,
    /// When the light was stepped last, and when its next step is due.
    stepped: Duration,
    step_due: Option<Duration>,
    poll_due: Duration,
    /// Whether an edge came since the last poll.
    edge: bool,
    /// Whether the button's level is stable and an edge will tell its change.
    is_calm: bool,
    shown: f64,
}

impl Attendant {
    pub(super) fn new(pins: Pins, gauge: Arc<Gauge>, asked: Sender<Gesture>) -> Self {
        let means = pins.light.as_ref().map_or(Means::OnOff, |light| light.means());
        Self {
            pins,
            button: Button::default(),
            pulse: Pulse::new(means),
            phase: Pattern::Loading { ready: 0.0 },
            gauge,
            asked,
            look_due: Duration::ZERO,
            stepped: Duration::ZERO,
            step_due: Some(Duration::ZERO),
            poll_due: Duration::ZERO,
            edge: false,
            is_calm: false,
            shown: 0.0,
        }
    }

    pub(super) fn enter(&mut self, phase: Pattern) {
        self.phase = phase;
        self.step_due = Some(Duration::ZERO);
        self.button.set_role(match phase {
            Pattern::Armed => Role::Armed,
            Pattern::Alive(_) => Role::Alive,
            Pattern::Counted => Role::Asked,
            _ => Role::Idle,
        });
    }

    /// Does what is due at the time `now`. Returns the time until something is
    /// due again; `None` if nothing is before the next phase.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Duration> {
        let poll = self.attend_button(now);
        let look = self.seek_light(now);
        let step = self.attend_light(now);
        [poll, look, step].into_iter().flatten().min().map(|due| due.saturating_sub(now))
    }

    /// The descriptor that is worth waiting for. There is none while the next
    /// poll is near anyway: a contact that bounces all the time, or a cable that
    /// picks up noise, wakes the thread at most twice in each 10 ms.
    pub(super) fn edges(&self) -> Option<BorrowedFd<'_>> {
        let contact = self.pins.button.as_ref().filter(|_| self.button.is_awake() && self.is_calm)?;
        contact.edges()
    }

    /// The button's level has changed: polls it now.
    pub(super) fn edge(&mut self) {
        self.poll_due = Duration::ZERO;
        self.edge = true;
    }

    fn attend_button(&mut self, now: Duration) -> Option<Duration> {
        let contact = self.pins.button.as_mut().filter(|_| self.button.is_awake())?;
        // A poll that can wait is done when the light wakes the thread anyway.
        let is_due = |due: Duration| now + SLACK >= due;
        if is_due(self.poll_due) || self.is_calm && self.step_due.is_some_and(is_due) {
            // The level is read after the edges are forgotten, so that an edge
            // in between is not lost.
            contact.forget_edges();
            let (down, has_edges) = (contact.is_down(), contact.edges().is_some());
            let held = (self.button.is_counted(), self.button.is_jammed());
            let event = self.button.poll(now, down);
            if let Some(event) = event {
                self.meet(event);
            }
            if event.is_some() || held != (self.button.is_counted(), self.button.is_jammed()) {
                self.step_due = Some(now);
            }
            let edge = std::mem::take(&mut self.edge);
            self.is_calm = has_edges && !edge && self.button.is_settled();
            self.poll_due = now + if self.is_calm { POLL_CALM } else { POLL };
        }
        Some(self.poll_due)
    }

    fn meet(&mut self, event: ButtonEvent) {
        match event {
            ButtonEvent::Begin => self.ask(Gesture::Life),
            ButtonEvent::Again => self.ask(Gesture::Again),
            ButtonEvent::Yes => self.ask(Gesture::Yes),
            ButtonEvent::No => self.ask(Gesture::No),
            ButtonEvent::Slip => self.ask(Gesture::Slip),
            ButtonEvent::Acknowledge => self.pulse.dip(),
            ButtonEvent::Cue => self.pulse.restart(Pattern::Counted),
            ButtonEvent::Jam { first: true } => warn(format_args!(
                "the button has been down for {} s; free it, or look for a short circuit in its wires",
                JAMMED.as_secs()
            )),
            ButtonEvent::Jam { first: false } | ButtonEvent::Freed => {}
        }
    }

    fn ask(&self, asked: Gesture) {
        // If nobody waits any more, the program is about to end.
        let _ = self.asked.send(asked);
    }

    fn pattern(&self) -> Pattern {
        let printer = &self.gauge.printer;
        match self.phase {
            Pattern::Armed if self.button.is_jammed() => Pattern::Jammed,
            Pattern::Armed if self.button.is_counted() => Pattern::Counted,
            Pattern::Alive(_) if printer.is_out_of_paper() => Pattern::WaitsForPaper,
            Pattern::Alive(life) => Pattern::Alive(LifePosition {
                fill: f32::from_bits(self.gauge.fill.load(Ordering::Relaxed)),
                printer_lost: printer.is_lost(),
                ..life
            }),
            other => other,
        }
    }

    fn seek_light(&mut self, now: Duration) -> Option<Duration> {
        let coming = self.pins.coming.as_mut()?;
        if now + SLACK >= self.look_due {
            if let Some(light) = coming(now) {
                self.pulse = Pulse::new(light.means());
                self.pins.light = Some(light);
                self.pins.coming = None;
                self.step_due = Some(now);
                return None;
            }
            self.look_due = now + LOOK;
        }
        Some(self.look_due)
    }

    fn attend_light(&mut self, now: Duration) -> Option<Duration> {
        self.pins.light.as_ref()?;
        if self.step_due.is_some_and(|due| now + SLACK >= due) {
            let elapsed = now.saturating_sub(self.stepped);
            self.stepped = now;
            let pattern = self.pattern();
            let frame = self.pulse.step(elapsed, pattern);
            let luminance = luminance(frame.lightness);
            if luminance != self.shown {
                let light = self.pins.light.as_mut()?;
                if let Err(error) = light.set(luminance) {
                    warn(format_args!("the light is lost ({error}); the piece goes on without it"));
                    self.pins.light = None;
                    return None;
                }
                self.shown = luminance;
            }
            self.step_due = frame.next.map(|next| now + next);
        }
        self.step_due
    }
}
