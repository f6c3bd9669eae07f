//! The GPIO thread: button in, light out. The only user of rppal's pins.
//!
//! One thread owns the pins and resets them when it ends, however the life
//! ended. It sleeps until the light changes or the button is due, which is
//! every 10 ms while armed, every 20 ms during a life and never otherwise. It
//! never spins: four threads compute beside it. What only the kernel can undo (a second signal,
//! SIGKILL, a power cut) leaves the pins as they were; the next start takes
//! them over.
//!
//! Orders go in and presses come out. The fill is a number that the thread
//! reads at its own pace, so that nothing here ever holds a token up.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use rppal::gpio::{self as rp, InputPin, Mode, OutputPin};

use crate::cli::{HardwareArgs, Pin};
use crate::life::ending::Ending;
use crate::life::generator::Mind;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Lifespan;
use crate::panel::button::{Button, Event, Role};
use crate::panel::pulse::{DYING_TIME, FAULT_TIME, Life, Means, Pulse, State, luminance};
use crate::panel::pwm::{self, Pwm};
use crate::paper::printer::Lost;
use crate::text::stderr::say;

/// From one look at the button to the next while the piece is armed: four
/// within the time that a level must be stable.
const POLL: Duration = Duration::from_millis(10);

/// The same during a life, where a press is only acknowledged and four
/// threads compute: as often as a frame of the light, so that one awakening
/// does for both.
const POLL_ALIVE: Duration = Duration::from_millis(20);

/// What is due within this time is done now, to wake up once and not twice.
const SLACK: Duration = Duration::from_millis(5);

/// The level of a button's contact.
pub trait Contact {
    /// Whether the button is down.
    fn is_down(&mut self) -> bool;
}

/// Something that shines.
pub trait Lamp {
    /// What it can do.
    fn means(&self) -> Means;

    /// Shines with this luminance, 0 to 1, until it is told otherwise.
    ///
    /// # Errors
    ///
    /// When the light has gone.
    fn set(&mut self, luminance: f64) -> io::Result<()>;
}

/// What the thread owns.
#[derive(Default)]
pub struct Pins {
    /// The button, if there is one.
    pub button: Option<Box<dyn Contact>>,
    /// The light, if there is one.
    pub light: Option<Box<dyn Lamp>>,
    /// How the light is driven, for whoever asks.
    pub note: Option<String>,
}

/// What a visitor, or a technician, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A press: a life.
    Life,
    /// The button, held from the start: the technician's slip.
    Slip,
}

/// What the light is to show and the button to mean.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Loading,
    Armed,
    Alive { birth: f32 },
    Dying,
    Fault,
}

/// What changes while a life goes on, written by whoever knows it.
#[derive(Debug, Default)]
struct Gauge {
    /// Bits of an f32, 0 to 1.
    fill: AtomicU32,
    printer_lost: Lost,
}

/// The button and the light, as the rest of the program sees them. Where a
/// pin was not asked for, its part does nothing; a piece without a button is
/// pressed at once.
#[derive(Debug)]
pub struct Gpio {
    /// `None` where no pin was asked for.
    desk: Option<Desk>,
    gauge: Arc<Gauge>,
    interrupt: Interrupt,
    /// When the death began.
    dying: OnceLock<Instant>,
    /// Set where the last thing to be seen is a fault.
    failed: AtomicBool,
}

/// The thread's side of the handle.
#[derive(Debug)]
struct Desk {
    /// Taken to end the thread.
    orders: Option<Sender<Order>>,
    asked: Receiver<Asked>,
    thread: Option<JoinHandle<()>>,
    has_button: bool,
    has_light: bool,
    note: Option<String>,
}

impl Gpio {
    /// Takes the pins that were asked for, and shows that the model loads.
    ///
    /// # Errors
    ///
    /// When this is no Raspberry Pi, or its pins may not be used.
    pub fn open(args: HardwareArgs, interrupt: &Interrupt) -> Result<Self> {
        let HardwareArgs { button, led } = args;
        if button.is_none() && led.is_none() {
            return Ok(Self::with(None, Arc::default(), interrupt));
        }
        Self::start(move || board(button, led), interrupt)
    }

    /// Starts the thread with the pins that `pins` takes: there, so that they
    /// are never another thread's.
    ///
    /// # Errors
    ///
    /// Those of `pins`, and when there can be no thread.
    pub fn start(
        pins: impl FnOnce() -> Result<Pins> + Send + 'static,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let (orders, given) = unbounded();
        let (answer, asked) = unbounded();
        let (ready, opened) = bounded(1);
        let gauge = Arc::new(Gauge::default());
        let shared = Arc::clone(&gauge);
        let thread = thread::Builder::new()
            .name("gpio".to_owned())
            .spawn(move || {
                let pins = match pins() {
                    Ok(pins) => pins,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let found = (pins.button.is_some(), pins.light.is_some(), pins.note.clone());
                if ready.send(Ok(found)).is_ok() {
                    attend(Attendant::new(pins, shared, answer), &given);
                }
            })
            .context("cannot start the GPIO thread; free some memory, or leave --button and --led out")?;
        let (has_button, has_light, note) =
            opened.recv().map_err(|_| anyhow!("the GPIO thread ended before it began; report this"))??;
        let desk = Desk { orders: Some(orders), asked, thread: Some(thread), has_button, has_light, note };
        let gpio = Self::with(Some(desk), gauge, interrupt);
        gpio.order(Order::Loading);
        Ok(gpio)
    }

    fn with(desk: Option<Desk>, gauge: Arc<Gauge>, interrupt: &Interrupt) -> Self {
        Self {
            desk,
            gauge,
            interrupt: interrupt.clone(),
            dying: OnceLock::new(),
            failed: AtomicBool::new(false),
        }
    }

    /// Lives `life`. A fault of it is shown on the light; when that is over,
    /// which is when the error is dropped, the pins are reset.
    ///
    /// # Errors
    ///
    /// Those of `life`.
    ///
    /// # Panics
    ///
    /// Where `life` does: the light goes dark as the panic unwinds.
    pub fn through(self, life: impl FnOnce(&Self) -> Result<Infallible>) -> Result<Infallible> {
        match life(&self) {
            Err(error) if self.has_light() && !error.is::<Ending>() => {
                self.fail();
                Err(Error::new(Shown { error, _light: self }))
            }
            other => other,
        }
    }

    /// How the light is driven, where there is one.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.desk.as_ref()?.note.as_deref()
    }

    /// Waits for the button; without one a life is asked for at once.
    ///
    /// # Errors
    ///
    /// [`Ending::Interrupted`] when a signal came first.
    pub fn wait_for_press(&self) -> Result<Asked> {
        let Some(desk) = self.desk.as_ref().filter(|desk| desk.has_button) else {
            return Ok(Asked::Life);
        };
        self.order(Order::Armed);
        match self.interrupt.or_next(&desk.asked) {
            Some(asked) => Ok(asked),
            None if self.interrupt.is_raised() => {
                Err(Ending::Interrupted("while waiting for the button".to_owned()).into())
            }
            None => Err(anyhow!("the GPIO thread has ended; start it again, and report this")),
        }
    }

    /// `mind`, its fill followed by the light: the life begins.
    pub fn follow<M: Mind>(&self, mind: M, lifespan: Lifespan) -> Followed<'_, M> {
        let (used, context_size) = (lifespan.prompt(), lifespan.context_size());
        let followed = Followed { mind, gpio: self, used, context_size };
        let birth = followed.fill();
        self.set_fill(birth);
        self.order(Order::Alive { birth });
        followed
    }

    /// Says which share of the context is used, 0 to 1.
    pub fn set_fill(&self, fill: f32) {
        self.gauge.fill.store(fill.to_bits(), Ordering::Relaxed);
    }

    /// What the light shows as a missing beat once it is set.
    #[must_use]
    pub fn printer_lost(&self) -> Lost {
        self.gauge.printer_lost.clone()
    }

    /// Shows the death: full light, from the last token on.
    pub fn dying(&self) {
        self.dying.get_or_init(Instant::now);
        self.order(Order::Dying);
    }

    /// Waits until the death's light has been seen long enough. A signal ends
    /// the wait, and nothing else of the death.
    pub fn hold_last_light(&self) {
        if let (true, Some(since)) = (self.has_light(), self.dying.get()) {
            let _ = self.interrupt.is_raised_within(DYING_TIME.saturating_sub(since.elapsed()));
        }
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.order(Order::Fault);
    }

    fn has_light(&self) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_light)
    }

    fn order(&self, order: Order) {
        if let Some(Desk { orders: Some(orders), thread: Some(thread), .. }) = &self.desk {
            // A thread that has ended has said so.
            let _ = orders.send(order);
            thread.thread().unpark();
        }
    }
}

impl Drop for Gpio {
    /// Shows a fault to its end, then dark, then no pins.
    fn drop(&mut self) {
        // The work's own panic follows its light; any other one is a bug.
        if thread::panicking() && self.dying.get().is_none() {
            self.fail();
        }
        if self.has_light() && self.failed.load(Ordering::Relaxed) {
            let _ = self.interrupt.is_raised_within(FAULT_TIME);
        }
        let Some(desk) = &mut self.desk else { return };
        desk.orders = None;
        if let Some(thread) = desk.thread.take() {
            thread.thread().unpark();
            // It ends after the step it is in. What it panics with, the hook
            // has said.
            let _ = thread.join();
        }
    }
}

/// A fault that is on the light as long as this error is held.
struct Shown {
    error: Error,
    _light: Gpio,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Shown {}

/// A mind whose fill the light follows.
#[derive(Debug)]
pub struct Followed<'gpio, M> {
    mind: M,
    gpio: &'gpio Gpio,
    used: u32,
    context_size: u32,
}

impl<M> Followed<'_, M> {
    fn fill(&self) -> f32 {
        self.used as f32 / self.context_size.max(1) as f32
    }
}

impl<M: Mind> Mind for Followed<'_, M> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        self.mind.next(piece)?;
        self.used += 1;
        self.gpio.set_fill(self.fill());
        Ok(())
    }
}

/// The thread: carries out orders, and sleeps as long as it can.
fn attend(mut attendant: Attendant, orders: &Receiver<Order>) {
    let start = Instant::now();
    loop {
        loop {
            match orders.try_recv() {
                Ok(order) => attendant.take(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        // An order that comes before the sleep ends it at once. A channel's
        // own wait would spin a little first.
        match attendant.tick(start.elapsed()) {
            Some(wait) => thread::park_timeout(wait),
            None => thread::park(),
        }
    }
}

/// The work of the thread, without its clock.
struct Attendant {
    pins: Pins,
    button: Button,
    pulse: Pulse,
    order: Order,
    gauge: Arc<Gauge>,
    asked: Sender<Asked>,
    /// When the light was stepped last, and when it is due.
    stepped: Duration,
    step_due: Option<Duration>,
    poll_due: Duration,
    shown: f64,
}

impl Attendant {
    fn new(pins: Pins, gauge: Arc<Gauge>, asked: Sender<Asked>) -> Self {
        let means = pins.light.as_ref().map_or(Means::OnOff, |light| light.means());
        Self {
            pins,
            button: Button::default(),
            pulse: Pulse::new(means),
            order: Order::Loading,
            gauge,
            asked,
            stepped: Duration::ZERO,
            step_due: Some(Duration::ZERO),
            poll_due: Duration::ZERO,
            shown: 0.0,
        }
    }

    fn take(&mut self, order: Order) {
        self.order = order;
        self.step_due = Some(Duration::ZERO);
        self.button.set_role(match order {
            Order::Armed => Role::Armed,
            Order::Alive { .. } => Role::Alive,
            Order::Loading | Order::Dying | Order::Fault => Role::Idle,
        });
    }

    /// Does what is due at the time `now`; returns how long there is nothing
    /// to do, `None` until the next order.
    fn tick(&mut self, now: Duration) -> Option<Duration> {
        let poll = self.attend_button(now);
        let step = self.attend_light(now);
        [poll, step].into_iter().flatten().min().map(|due| due.saturating_sub(now))
    }

    fn attend_button(&mut self, now: Duration) -> Option<Duration> {
        let contact = self.pins.button.as_mut().filter(|_| self.button.is_awake())?;
        if now + SLACK >= self.poll_due {
            match self.button.poll(now, contact.is_down()) {
                Some(Event::Begin) => drop(self.asked.send(Asked::Life)),
                Some(Event::Slip) => drop(self.asked.send(Asked::Slip)),
                Some(Event::Acknowledge) => {
                    self.pulse.dip();
                    self.step_due = Some(now);
                }
                None => {}
            }
            self.poll_due = now + if self.order == Order::Armed { POLL } else { POLL_ALIVE };
        }
        Some(self.poll_due)
    }

    fn attend_light(&mut self, now: Duration) -> Option<Duration> {
        let light = self.pins.light.as_mut()?;
        if self.step_due.is_some_and(|due| now + SLACK >= due) {
            let elapsed = now.saturating_sub(self.stepped);
            self.stepped = now;
            let state = match self.order {
                Order::Loading => State::Loading,
                Order::Armed => State::Armed,
                Order::Alive { birth } => State::Alive(Life {
                    birth,
                    fill: f32::from_bits(self.gauge.fill.load(Ordering::Relaxed)),
                    printer_lost: self.gauge.printer_lost.is_lost(),
                }),
                Order::Dying => State::Dying,
                Order::Fault => State::Fault,
            };
            let frame = self.pulse.step(elapsed, state);
            let luminance = luminance(frame.lightness);
            if luminance != self.shown {
                if let Err(error) = light.set(luminance) {
                    say(&format!("warning: the light is lost ({error}); the piece goes on without it\n"));
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

impl Contact for InputPin {
    fn is_down(&mut self) -> bool {
        self.is_low()
    }
}

impl Lamp for Pwm {
    fn means(&self) -> Means {
        Means::Dimmed
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        Pwm::set(self, luminance)
    }
}

/// A plain pin: on or off. rppal's own PWM in software would wait busily
/// beside the threads that compute.
struct Switch(OutputPin);

impl Lamp for Switch {
    fn means(&self) -> Means {
        Means::OnOff
    }

    fn set(&mut self, luminance: f64) -> io::Result<()> {
        self.0.write((luminance > 0.0).into());
        Ok(())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.0.set_low();
    }
}

/// Takes a Raspberry Pi's pins.
fn board(button: Option<Pin>, led: Option<Pin>) -> Result<Pins> {
    let options = options(button, led);
    let gpio = rp::Gpio::new().map_err(|error| refused(&error, &options))?;
    let take = |pin: Pin| gpio.get(pin.number()).map_err(|error| refused(&error, &options));
    let mut pins = Pins::default();
    if let Some(button) = button {
        pins.button = Some(Box::new(take(button)?.into_input_pullup()));
    }
    if let Some(led) = led {
        let pin = take(led)?;
        // The overlay may have switched another pin to the same channel.
        let switched = matches!((led.number(), pin.mode()), (12 | 13, Mode::Alt0) | (18 | 19, Mode::Alt5));
        let pwm = if switched || pwm::channel_of(led).is_none() {
            Pwm::open(Path::new(pwm::ROOT), led, thread::sleep)
        } else {
            Err(io::Error::other("the pwm overlay is not loaded for this pin"))
        };
        match pwm {
            Ok(pwm) => {
                pins.note = Some(format!("the light on GPIO {} is dimmed by hardware PWM", led.number()));
                pins.light = Some(Box::new(pwm));
            }
            Err(why) => {
                pins.note = Some(format!("the light on GPIO {} is only on or off: {why}", led.number()));
                pins.light = Some(Box::new(Switch(pin.into_output_low())));
            }
        }
    }
    Ok(pins)
}

/// The options that ask for pins, as they were given.
fn options(button: Option<Pin>, led: Option<Pin>) -> String {
    [("--button", button), ("--led", led)]
        .into_iter()
        .filter_map(|(option, pin)| Some(format!("{option} {}", pin?.number())))
        .collect::<Vec<_>>()
        .join(" and ")
}

fn refused(error: &rp::Error, options: &str) -> Error {
    match error {
        rp::Error::UnknownModel => anyhow!(
            "{options} needs the pins of a Raspberry Pi, and this machine is not known as one; \
             leave {options} out to live without"
        ),
        rp::Error::PermissionDenied(path) => anyhow!(
            "no permission to open {path}, which {options} needs; add the user to the group gpio \
             (sudo usermod -aG gpio NAME) and log in again"
        ),
        other => anyhow!("cannot use the GPIO pins: {other}; leave {options} out to live without"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::ending::Death;
    use crate::panel::pwm::tests::Sysfs;
    use anyhow::bail;
    use nix::time::{ClockId, clock_gettime};
    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

    /// What a fake light and a fake button share with their test.
    #[derive(Clone)]
    struct Board {
        down: Arc<AtomicBool>,
        /// The luminances that the light was told, in and out.
        told: Sender<f64>,
        shown: Receiver<f64>,
        reset: Arc<AtomicBool>,
    }

    /// What a light that has gone says last.
    const GONE: f64 = -1.0;

    /// Turns a hang into a failure.
    const LIMIT: Duration = Duration::from_secs(240);

    impl Default for Board {
        fn default() -> Self {
            let (told, shown) = unbounded();
            Self { down: Arc::default(), told, shown, reset: Arc::default() }
        }
    }

    struct FakeContact(Board);

    impl Contact for FakeContact {
        fn is_down(&mut self) -> bool {
            self.0.down.load(Ordering::SeqCst)
        }
    }

    struct FakeLamp(Board, Means);

    impl Lamp for FakeLamp {
        fn means(&self) -> Means {
            self.1
        }

        fn set(&mut self, luminance: f64) -> io::Result<()> {
            self.0.told.send(luminance).map_err(io::Error::other)
        }
    }

    impl Drop for FakeLamp {
        fn drop(&mut self) {
            self.0.reset.store(true, Ordering::SeqCst);
            self.0.told.send(GONE).expect("a test");
        }
    }

    impl Board {
        fn pins(&self) -> Pins {
            Pins {
                button: Some(Box::new(FakeContact(self.clone()))),
                light: Some(Box::new(FakeLamp(self.clone(), Means::Dimmed))),
                note: None,
            }
        }

        fn gpio(&self, interrupt: &Interrupt) -> Gpio {
            let board = self.clone();
            Gpio::start(move || Ok(board.pins()), interrupt).expect("fakes")
        }

        fn is_reset(&self) -> bool {
            self.reset.load(Ordering::SeqCst)
        }

        /// What it has shown since the last question.
        fn shown(&self) -> Vec<f64> {
            self.shown.try_iter().collect()
        }

        /// Waits until it is full on; not if it goes without that.
        fn is_full_before_it_goes(&self) -> bool {
            std::iter::from_fn(|| self.shown.recv_timeout(LIMIT).ok())
                .find(|&luminance| luminance == 1.0 || luminance == GONE)
                .is_some_and(|luminance| luminance == 1.0)
        }
    }

    /// The thread's work on a virtual clock.
    struct Desk {
        attendant: Attendant,
        asked: Receiver<Asked>,
        now: Duration,
        wakes: u32,
    }

    impl Desk {
        fn with(pins: Pins) -> Self {
            let (answer, asked) = unbounded();
            let attendant = Attendant::new(pins, Arc::default(), answer);
            Self { attendant, asked, now: Duration::ZERO, wakes: 0 }
        }

        /// Lets `time` pass, waking as the thread would; `sleep` is what it
        /// does between.
        fn pass(&mut self, time: Duration, sleep: impl Fn()) -> &mut Self {
            let end = self.now + time;
            while self.now < end {
                self.wakes += 1;
                let wait = self.attendant.tick(self.now).unwrap_or(Duration::MAX);
                assert!(wait > Duration::ZERO, "it would spin");
                self.now = end.min(self.now.saturating_add(wait));
                sleep();
            }
            self
        }

        fn pass_ms(&mut self, milliseconds: u64) -> &mut Self {
            self.pass(Duration::from_millis(milliseconds), || ())
        }

        fn order(&mut self, order: Order, fill: f32) -> &mut Self {
            self.attendant.gauge.fill.store(fill.to_bits(), Ordering::Relaxed);
            self.attendant.take(order);
            self
        }
    }

    const ALIVE: Order = Order::Alive { birth: 0.05 };

    #[test]
    fn a_press_while_armed_asks_for_a_life_and_is_noticed_within_50_ms() {
        let board = Board::default();
        let mut desk = Desk::with(board.pins());
        desk.pass_ms(1000).order(Order::Armed, 0.0).pass_ms(995);
        board.down.store(true, Ordering::SeqCst);
        desk.pass_ms(50);
        assert_eq!(desk.asked.try_recv(), Ok(Asked::Life));
    }

    #[test]
    fn a_button_held_while_the_piece_arms_asks_for_the_slip() {
        let board = Board::default();
        board.down.store(true, Ordering::SeqCst);
        let mut desk = Desk::with(board.pins());
        desk.pass_ms(10_000).order(Order::Armed, 0.0).pass_ms(2900);
        assert!(desk.asked.is_empty());
        desk.pass_ms(200);
        assert_eq!(desk.asked.try_recv(), Ok(Asked::Slip));
    }

    #[test]
    fn a_press_during_a_life_dips_the_light_and_asks_for_nothing() {
        let board = Board::default();
        let mut desk = Desk::with(board.pins());
        desk.order(ALIVE, 0.05).pass_ms(5000);
        assert!(!board.shown().contains(&0.0), "the trough of a beat is not dark");
        board.down.store(true, Ordering::SeqCst);
        desk.pass_ms(400);
        assert!(board.shown().contains(&0.0), "no dip was seen");
        board.down.store(false, Ordering::SeqCst);
        desk.pass_ms(400).order(Order::Dying, 0.95).pass_ms(3000).order(Order::Armed, 0.0).pass_ms(3000);
        assert!(desk.asked.is_empty());
    }

    #[test]
    fn the_light_follows_the_fill_and_the_lost_printer() {
        let beats = |fill: f32, lost: bool| {
            let board = Board::default();
            let mut desk = Desk::with(board.pins());
            if lost {
                desk.attendant.gauge.printer_lost.set();
            }
            desk.order(ALIVE, fill).pass_ms(60_000);
            let shown = board.shown();
            shown.windows(2).filter(|pair| pair[0] < 0.15 && pair[1] >= 0.15).count()
        };
        assert_eq!(beats(0.05, false).abs_diff(40), 0);
        assert!(beats(0.95, false).abs_diff(150) <= 1);
        assert!(beats(0.95, true).abs_diff(150 * 3 / 4) <= 1);
    }

    #[test]
    fn a_light_that_fails_in_mid_life_is_left_alone_and_the_button_still_works() {
        struct Broken;
        impl Lamp for Broken {
            fn means(&self) -> Means {
                Means::Dimmed
            }
            fn set(&mut self, _: f64) -> io::Result<()> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let board = Board::default();
        let mut desk = Desk::with(Pins { light: Some(Box::new(Broken)), ..board.pins() });
        desk.order(Order::Armed, 0.0).pass_ms(1000);
        assert!(desk.attendant.pins.light.is_none());
        board.down.store(true, Ordering::SeqCst);
        desk.pass_ms(100);
        assert_eq!(desk.asked.try_recv(), Ok(Asked::Life));
    }

    #[test]
    fn the_thread_wakes_only_for_the_button_and_for_a_light_that_moves() {
        let wakes = |order: Order, fill: f32| {
            let board = Board::default();
            let mut desk = Desk::with(board.pins());
            desk.order(order, fill).pass_ms(60_000);
            desk.wakes / 60
        };
        assert_eq!(wakes(Order::Loading, 0.0), 0);
        assert_eq!(wakes(Order::Dying, 0.95), 0);
        assert!(wakes(Order::Fault, 0.0) <= 3);
        // 100 polls, 25 frames of breath.
        assert!(wakes(Order::Armed, 0.0) <= 126, "{}", wakes(Order::Armed, 0.0));
        // 50 polls, which most frames share.
        assert!(wakes(ALIVE, 0.05) <= 55, "{}", wakes(ALIVE, 0.05));
        assert!(wakes(ALIVE, 0.95) <= 60, "{}", wakes(ALIVE, 0.95));
    }

    #[test]
    fn the_thread_costs_less_than_a_hundredth_of_a_core() {
        let cpu = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
        let simulated = Duration::from_secs(20);
        for (name, order, fill) in [
            ("loading", Order::Loading, 0.0),
            ("armed", Order::Armed, 0.0),
            ("alive, at birth", ALIVE, 0.05),
            ("alive, at the end", ALIVE, 0.95),
            ("dying", Order::Dying, 0.95),
            ("fault", Order::Fault, 0.0),
        ] {
            let sysfs = Sysfs::with_overlay();
            let light: Box<dyn Lamp> = Box::new(sysfs.open(18).expect("PWM"));
            let mut desk = Desk::with(Pins { light: Some(light), ..Board::default().pins() });
            let before = cpu();
            // Falling asleep and waking up belong to the cost.
            let sleep = || thread::park_timeout(Duration::from_nanos(1));
            desk.order(order, fill).pass(simulated, sleep);
            let share = (cpu() - before).div_duration_f64(simulated);
            println!("{name}: {:.3} % of a core, {} wakes in 20 s", share * 100.0, desk.wakes);
            assert!(share < 0.01, "{name}: {share}");
        }
    }

    #[test]
    fn the_death_unwinds_to_a_dark_light_and_reset_pins() {
        let sysfs = Sysfs::with_overlay();
        sysfs.make_channel(0);
        let root = sysfs.0.path().to_owned();
        let (_raise, interrupt) = Interrupt::new();
        let gpio = Gpio::start(
            move || {
                let pwm = Pwm::open(&root, Pin::new(18).expect("a pin"), |_| ())?;
                Ok(Pins { light: Some(Box::new(pwm)), ..Pins::default() })
            },
            &interrupt,
        )
        .expect("PWM");
        let death = catch_unwind(AssertUnwindSafe(|| {
            gpio.through(|gpio| {
                gpio.dying();
                panic_any(Death)
            })
        }));
        assert!(death.expect_err("a death").is::<Death>());
        assert_eq!([sysfs.says("pwm0/duty_cycle"), sysfs.says("pwm0/enable")], ["0", "0"]);
        assert_eq!(sysfs.says("unexport"), "0");
    }

    #[test]
    fn a_fault_keeps_its_words_and_blinks_until_it_was_said() {
        let (raise, interrupt) = Interrupt::new();
        let board = Board::default();
        let shown = board.gpio(&interrupt).through(|_| bail!("no more")).expect_err("a fault");
        assert_eq!((format!("{shown:#}").as_str(), board.is_reset()), ("no more", false));
        let end = thread::spawn(move || drop(shown));
        assert!(board.is_full_before_it_goes());
        // A signal ends the blinks before their time.
        drop(raise);
        end.join().expect("an end");
        assert!(board.is_reset());
    }

    #[test]
    fn the_deaths_light_is_held() {
        let (raise, interrupt) = Interrupt::new();
        let board = Board::default();
        let gpio = board.gpio(&interrupt);
        let end = thread::spawn(move || {
            gpio.dying();
            gpio.hold_last_light();
        });
        assert!(board.is_full_before_it_goes());
        drop(raise);
        end.join().expect("an end");
        assert!(board.is_reset());
    }

    #[test]
    fn an_ending_that_is_no_fault_resets_the_pins_at_once_and_stays_what_it_is() {
        let (_raise, interrupt) = Interrupt::new();
        let board = Board::default();
        let ended = board.gpio(&interrupt).through(|_| Err(Ending::Unheard.into()));
        assert!(board.is_reset());
        assert_eq!(ended.expect_err("an ending").downcast_ref(), Some(&Ending::Unheard));
    }

    #[test]
    fn a_bug_blinks_as_a_fault_does_and_resets_the_pins() {
        let (raise, interrupt) = Interrupt::new();
        let board = Board::default();
        let gpio = board.gpio(&interrupt);
        let end = thread::spawn(move || {
            let bug = catch_unwind(AssertUnwindSafe(|| gpio.through(|_| panic_any("a bug"))));
            assert!(bug.is_err());
        });
        assert!(board.is_full_before_it_goes());
        drop(raise);
        end.join().expect("an end");
        assert!(board.is_reset());
    }

    #[test]
    fn a_press_is_waited_for_until_a_signal_comes() {
        let (raise, interrupt) = Interrupt::new();
        let board = Board::default();
        let gpio = board.gpio(&interrupt);
        drop(raise);
        let ended = gpio.wait_for_press().expect_err("interrupted");
        let place = "while waiting for the button".to_owned();
        assert_eq!(ended.downcast_ref(), Some(&Ending::Interrupted(place)));
    }

    #[test]
    fn a_press_on_the_real_thread_begins_a_life() {
        /// Down from its 20th look on: after it was seen up.
        struct Late(u32);
        impl Contact for Late {
            fn is_down(&mut self) -> bool {
                self.0 += 1;
                self.0 > 20
            }
        }
        let (_raise, interrupt) = Interrupt::new();
        let late = || Ok(Pins { button: Some(Box::new(Late(0))), ..Pins::default() });
        let gpio = Gpio::start(late, &interrupt).expect("fakes");
        assert_eq!(gpio.wait_for_press().expect("a press"), Asked::Life);
    }

    #[test]
    fn without_pins_a_life_begins_at_once_and_nothing_is_held() {
        let (_raise, interrupt) = Interrupt::new();
        let none = HardwareArgs { button: None, led: None };
        let gpio = Gpio::open(none, &interrupt).expect("nothing to open");
        assert_eq!(gpio.wait_for_press().expect("at once"), Asked::Life);
        gpio.dying();
        gpio.hold_last_light();
        let fault = gpio.through(|_| bail!("no more")).expect_err("a fault");
        assert_eq!(fault.to_string(), "no more");
    }

    #[test]
    fn pins_that_cannot_be_had_say_the_option_and_the_next_step() {
        let options = options(Some(Pin::new(23).expect("a pin")), Some(Pin::new(18).expect("a pin")));
        assert_eq!(options, "--button 23 and --led 18");
        let words = |error| refused(&error, &options).to_string();
        for (error, next) in [
            (rp::Error::UnknownModel, "leave --button 23 and --led 18 out"),
            (rp::Error::PermissionDenied("/dev/gpiomem".to_owned()), "group gpio"),
            (rp::Error::Io(io::ErrorKind::NotFound.into()), "leave --button 23 and --led 18 out"),
        ] {
            assert!(words(error).contains(next));
        }
        let (_raise, interrupt) = Interrupt::new();
        let refused = Gpio::start(|| bail!("not here"), &interrupt).expect_err("refused");
        assert_eq!(refused.to_string(), "not here");
    }
}
