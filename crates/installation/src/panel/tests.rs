//! Tests of the panel on fake pins: of its thread, on a virtual clock, and of
//! its handle.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::handle::Panel;
use super::pins;
use super::pulse::{LifePosition, Means, Pattern};
use super::pwm::tests::Sysfs;
use super::settings::{PanelSettings, Pin};
use super::thread::{Attendant, Coming, Contact, Gesture, Lamp, Pins};
use crate::life::ending::{Death, Ending};
use crate::life::interrupt::Interrupt;
use crate::life::interrupt::tests::{supervised, was_fed};

/// A button and a light, whose other end the panel holds.
#[derive(Clone)]
struct Board {
    down: Arc<AtomicBool>,
    /// How often the button was read.
    polls: Arc<AtomicU32>,
    /// Readable once the level has changed, if the button tells that.
    edges: Arc<EventFd>,
    has_edges: bool,
    /// A channel with the luminances that were set: `told` is the light's end,
    /// `shown` the test's.
    told: Sender<f64>,
    shown: Receiver<f64>,
    reset: Arc<AtomicBool>,
}

/// What the fake light sends when it is dropped.
const GONE: f64 = -1.0;

/// The longest that a test waits: turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(240);

impl Contact for Board {
    fn is_down(&mut self) -> bool {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.down.load(Ordering::SeqCst)
    }

    fn edges(&self) -> Option<BorrowedFd<'_>> {
        self.has_edges.then(|| self.edges.as_fd())
    }

    fn forget_edges(&mut self) {
        let _ = self.edges.read();
    }
}

struct FakeLamp(Board);

impl Lamp for FakeLamp {
    fn means(&self) -> Means {
        Means::Dimmed
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
    fn new(has_edges: bool) -> Self {
        let (told, shown) = unbounded();
        let edges = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("a descriptor").into();
        let (down, polls, reset) = Default::default();
        Self { down, polls, edges, has_edges, told, shown, reset }
    }

    fn pins(&self) -> Pins {
        let light: Box<dyn Lamp> = Box::new(FakeLamp(self.clone()));
        Pins { button: Some(Box::new(self.clone())), light: Some(light), ..Pins::default() }
    }

    fn panel(&self, interrupt: &Interrupt) -> Panel {
        Panel::start(self.pins(), interrupt).expect("fakes")
    }

    fn press(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.edges.write(1).expect("an edge");
    }

    /// Waits until the button was read so often.
    fn wait_for_polls(&self, polls: u32) {
        let start = Instant::now();
        while self.polls.load(Ordering::SeqCst) < polls {
            assert!(start.elapsed() < LIMIT, "the button is not read");
            thread::yield_now();
        }
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }

    /// What the light has shown since the last call.
    fn shown(&self) -> Vec<f64> {
        self.shown.try_iter().collect()
    }

    /// How often it was set to this luminance since then.
    fn times(&self, luminance: f64) -> usize {
        self.shown().iter().filter(|&&shown| shown == luminance).count()
    }

    /// Waits until the light is fully on; false if it is dropped before that.
    fn is_full_before_it_goes(&self) -> bool {
        std::iter::from_fn(|| self.shown.recv_timeout(LIMIT).ok())
            .find(|&luminance| luminance == 1.0 || luminance == GONE)
            .is_some_and(|luminance| luminance == 1.0)
    }
}

/// How often a light begins a beat that shows these luminances.
fn beats(shown: &[f64]) -> usize {
    shown.windows(2).filter(|pair| pair[0] < 0.15 && pair[1] >= 0.15).count()
}

/// The thread's work, on a virtual clock.
struct Scene {
    board: Board,
    attendant: Attendant,
    asked: Receiver<Gesture>,
    now: Duration,
    /// When it wakes next.
    due: Duration,
    wakes: u32,
}

impl Scene {
    fn new() -> Self {
        let board = Board::new(false);
        Self::with(board.pins(), board)
    }

    /// One whose button tells its edges.
    fn with_edges() -> Self {
        let board = Board::new(true);
        Self::with(board.pins(), board)
    }

    fn with(pins: Pins, board: Board) -> Self {
        let (answer, asked) = unbounded();
        let attendant = Attendant::new(pins, Arc::default(), answer);
        Self { board, attendant, asked, now: Duration::ZERO, due: Duration::ZERO, wakes: 0 }
    }

    /// Lets so many milliseconds pass and wakes as often as the thread would.
    fn pass(&mut self, milliseconds: u64) -> &mut Self {
        let end = self.now + Duration::from_millis(milliseconds);
        while self.now < end {
            self.wake();
            self.now = end.min(self.due);
        }
        self
    }

    fn wake(&mut self) {
        self.wakes += 1;
        let wait = self.attendant.tick(self.now).unwrap_or(Duration::MAX);
        assert!(wait > Duration::ZERO, "it would spin");
        self.due = self.now.saturating_add(wait);
    }

    fn enter(&mut self, phase: Pattern) -> &mut Self {
        if let Pattern::Alive(life) = phase {
            self.attendant.gauge.set_fill(life.fill);
        }
        self.attendant.enter(phase);
        self
    }

    fn down(&mut self) -> &mut Self {
        self.board.down.store(true, Ordering::SeqCst);
        self
    }

    fn up(&mut self) -> &mut Self {
        self.board.down.store(false, Ordering::SeqCst);
        self
    }

    fn asked(&self) -> Vec<Gesture> {
        self.asked.try_iter().collect()
    }
}

const ARMED: Pattern = Pattern::Armed;
const ALIVE: Pattern = alive(0.05);
const ALMOST_DEAD: Pattern = alive(0.95);

const fn alive(fill: f32) -> Pattern {
    Pattern::Alive(LifePosition { birth: 0.05, fill, printer_lost: false })
}

#[test]
fn a_press_while_armed_asks_for_a_life_and_is_noticed_within_50_ms() {
    let mut scene = Scene::new();
    scene.pass(1000).enter(ARMED).pass(995).down().pass(50);
    assert_eq!(scene.asked(), [Gesture::Life]);
}

#[test]
fn a_press_whose_edge_wakes_the_thread_is_noticed_within_50_ms() {
    for moment in 0..80 {
        let mut scene = Scene::with_edges();
        scene.enter(ARMED).pass(995 + moment);
        assert!(scene.attendant.edges().is_some(), "it waits for the edge");
        scene.board.press();
        scene.attendant.edge();
        scene.pass(50);
        assert!(scene.board.edges.read().is_err(), "the descriptor would wake it for ever");
        assert_eq!(scene.asked(), [Gesture::Life], "at {moment}");
    }
}

#[test]
fn a_press_of_100_ms_is_noticed_where_edges_never_come() {
    for moment in 0..80 {
        let mut scene = Scene::with_edges();
        scene.enter(ARMED).pass(995 + moment).down().pass(100).up().pass(200);
        assert_eq!(scene.asked(), [Gesture::Life], "at {moment}");
    }
}

#[test]
fn a_line_full_of_noise_wakes_the_thread_no_more_than_200_times_a_second() {
    let mut scene = Scene::with_edges();
    scene.attendant.pins.light = None;
    scene.enter(ARMED);
    // Spikes too short to be seen by a read of the level, one each millisecond.
    for _ in 0..10_000 {
        let waits = scene.attendant.edges().is_some();
        if waits {
            scene.attendant.edge();
        }
        if waits || scene.due <= scene.now {
            scene.wake();
        }
        scene.now += Duration::from_millis(1);
    }
    assert_eq!(scene.asked(), []);
    assert!(scene.wakes <= 10 * 200, "{}", scene.wakes);
}

#[test]
fn the_light_dips_each_second_while_the_button_is_held_for_the_slip_and_then_breathes_again() {
    let mut scene = Scene::new();
    scene.down().enter(ARMED).pass(2950);
    assert_eq!(scene.board.times(0.0), 0, "it breathes");
    assert_eq!(scene.pass(7000).board.times(0.0), 7);
    assert_eq!(scene.pass(10_000).board.times(0.0), 0, "it breathes");
}

#[test]
fn a_jammed_button_is_seen_while_armed_and_not_during_a_life() {
    let mut scene = Scene::new();
    scene.down().enter(ARMED).pass(30_100).board.shown();
    assert_eq!(scene.pass(30_000).board.times(0.0), 20, "two gaps every 3 s");
    assert_eq!(scene.asked(), [Gesture::Slip], "one slip");
    scene.up().pass(100).board.shown();
    assert_eq!(scene.pass(10_000).board.times(0.0), 0, "it breathes");
    assert_eq!(scene.down().pass(100).asked(), [Gesture::Life]);
    scene.board.shown();
    assert_eq!(scene.enter(ALIVE).pass(60_000).board.times(0.0), 0, "it beats");
}

#[test]
fn paper_that_has_ended_is_seen_during_a_life_until_it_is_there_again() {
    let mut scene = Scene::new();
    scene.enter(ALIVE).pass(5000);
    for (is_out, blinks) in [(true, 6), (false, 0)] {
        scene.attendant.gauge.printer.set_out_of_paper(is_out);
        scene.pass(3000).board.shown();
        assert_eq!(scene.pass(9000).board.times(1.0), blinks, "out of paper: {is_out}");
    }
}

#[test]
fn a_press_while_it_rests_or_is_closed_is_not_answered() {
    for phase in [Pattern::Resting, Pattern::Closed] {
        let mut scene = Scene::new();
        scene.enter(ARMED).pass(1000).enter(phase).pass(1000).down().pass(500).up().pass(500);
        assert_eq!(scene.enter(ARMED).pass(1000).asked(), [], "{phase:?}");
        assert_eq!(scene.down().pass(100).asked(), [Gesture::Life], "{phase:?}");
    }
}

#[test]
fn a_press_during_a_life_dips_the_light_and_asks_for_nothing() {
    let mut scene = Scene::new();
    scene.enter(ALIVE).pass(5000);
    assert_eq!(scene.board.times(0.0), 0, "the trough of a beat is not dark");
    assert!(scene.down().pass(400).board.times(0.0) > 0, "no dip was seen");
    scene.up().pass(400).enter(Pattern::Dying).pass(3000).enter(ARMED).pass(3000);
    assert_eq!(scene.asked(), []);
}

#[test]
fn the_light_follows_the_fill_and_the_lost_printer() {
    for (phase, lost, expected) in
        [(ALIVE, false, 40), (ALMOST_DEAD, false, 150), (ALMOST_DEAD, true, 150 * 3 / 4)]
    {
        let mut scene = Scene::new();
        if lost {
            scene.attendant.gauge.printer.set_lost();
        }
        let beats = beats(&scene.enter(phase).pass(60_000).board.shown());
        assert!(beats.abs_diff(expected) <= 1, "{beats} beats, {phase:?}, lost: {lost}");
    }
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
    let mut scene = Scene::new();
    scene.attendant.pins.light = Some(Box::new(Broken));
    scene.enter(ARMED).pass(1000);
    assert!(scene.attendant.pins.light.is_none());
    assert_eq!(scene.down().pass(100).asked(), [Gesture::Life]);
}

/// A scene whose light is ready after `time`.
fn with_late_light(time: Duration) -> Scene {
    let board = Board::new(false);
    let late = board.clone();
    let light = move || Box::new(FakeLamp(late.clone())) as Box<dyn Lamp>;
    let coming: Coming = Box::new(move |waited| (waited >= time).then(&light));
    let pins = Pins { button: Some(Box::new(board.clone())), coming: Some(coming), ..Pins::default() };
    Scene::with(pins, board)
}

#[test]
fn a_light_that_is_ready_late_shows_what_is_due_then_and_the_button_works_before() {
    let mut scene = with_late_light(Duration::from_secs(7));
    scene.pass(2000).enter(ARMED).pass(1000);
    assert_eq!(scene.down().pass(100).asked(), [Gesture::Life]);
    assert_eq!(scene.enter(ALIVE).pass(3500).board.shown(), [0.0; 0], "no light yet");
    let shown = scene.pass(60_000).board.shown();
    assert!(beats(&shown).abs_diff(40) <= 1, "{}", beats(&shown));
    assert!(shown.iter().any(|&luminance| luminance > 0.0 && luminance < 1.0), "it is dimmed");
}

#[test]
fn a_light_that_is_looked_for_wakes_the_thread_four_times_a_second() {
    let mut scene = with_late_light(LIMIT);
    scene.pass(10_000);
    assert!(scene.wakes <= 41, "{}", scene.wakes);
}

#[test]
fn the_thread_wakes_only_for_the_button_and_for_a_light_that_moves() {
    for (mut scene, phase, most) in [
        (Scene::new(), Pattern::Loading { ready: 0.0 }, 0),
        (Scene::new(), Pattern::Dying, 0),
        (Scene::new(), Pattern::Closed, 4),
        (Scene::new(), Pattern::Resting, 25),
        (Scene::new(), Pattern::Fault, 3),
        // 100 polls and 25 frames of the breath each second.
        (Scene::new(), ARMED, 126),
        // 25 polls each second, due at the same time as the frames of the breath.
        (Scene::with_edges(), ARMED, 26),
        // Frames of the beat every 20 ms, and 25 polls each second between beats.
        (Scene::with_edges(), ALIVE, 32),
        (Scene::with_edges(), ALMOST_DEAD, 50),
    ] {
        let wakes = scene.enter(phase).pass(60_000).wakes / 60;
        assert!(wakes <= most, "{wakes} wakes a second, {phase:?}");
    }
}

#[test]
fn the_death_unwinds_to_a_dark_light_and_reset_pins() {
    let sysfs = Sysfs::with_overlay();
    let (_raise, interrupt) = Interrupt::new();
    let pins = Pins { light: Some(Box::new(sysfs.open(18))), ..Pins::default() };
    let panel = Panel::start(pins, &interrupt).expect("PWM");
    let death = catch_unwind(AssertUnwindSafe(move || {
        let panel = panel;
        panel.dying();
        panic_any(Death)
    }));
    assert!(death.expect_err("a death").is::<Death>());
    assert_eq!([sysfs.says("pwm0/duty_cycle"), sysfs.says("pwm0/enable")], ["0", "0"]);
}

#[test]
fn the_death_a_fault_a_bug_and_wrong_options_are_shown_until_a_signal_comes_before_the_pins_are_reset() {
    type End = (&'static str, fn(Panel));
    let ends: [End; 4] = [
        ("a fault", |panel| panel.show_fault()),
        ("the death", |panel| {
            panel.dying();
            panel.hold_last_light();
        }),
        ("a bug", |panel| {
            let bug = catch_unwind(AssertUnwindSafe(move || {
                let _panel = panel;
                panic_any("a bug")
            }));
            assert!(bug.is_err());
        }),
        ("wrong options", Panel::show_wrong_options),
    ];
    for (what, end) in ends {
        let (raise, interrupt) = Interrupt::new();
        let board = Board::new(false);
        let panel = board.panel(&interrupt);
        let end = thread::spawn(move || end(panel));
        assert!(board.is_full_before_it_goes(), "{what}");
        drop(raise);
        end.join().expect("an end");
        assert!(board.is_reset(), "{what}");
    }
}

#[test]
fn a_panel_that_is_let_go_without_a_fault_resets_the_pins_at_once() {
    let (_raise, interrupt) = Interrupt::new();
    let board = Board::new(false);
    drop(board.panel(&interrupt));
    assert!(board.is_reset());
}

#[test]
fn a_press_is_waited_for_no_longer_than_is_said_or_until_a_signal_comes() {
    let (raise, interrupt) = Interrupt::new();
    let panel = Board::new(false).panel(&interrupt);
    let none = panel.wait_for_press_within(Duration::from_millis(1));
    assert!(matches!(none, Ok(None)), "{none:?}");
    drop(raise);
    let Err(Ending::Interrupted(_)) = panel.wait_for_press_within(LIMIT) else { panic!("no interrupt") };
    let Err(Ending::Interrupted(place)) = panel.wait_for_press_within(Duration::MAX) else {
        panic!("no interrupt")
    };
    assert_eq!(place, "while waiting for the button");
}

#[test]
fn a_press_that_came_as_the_piece_closed_begins_no_life_when_it_opens() {
    let (_raise, interrupt) = Interrupt::new();
    let board = Board::new(false);
    let panel = board.panel(&interrupt);
    let waited = || panel.wait_for_press_within(Duration::from_millis(1)).expect("no signal");
    assert_eq!(waited(), None, "the button is up");
    // The visitor presses, the thread notices it, and nobody waits any more.
    board.wait_for_polls(20);
    board.press();
    board.wait_for_polls(40);
    panel.close();
    assert_eq!(waited(), None);
    panel.rest();
    assert_eq!(waited(), None);
}

#[test]
fn a_press_on_the_real_thread_begins_a_life_with_and_without_edges() {
    for has_edges in [false, true] {
        let (_raise, interrupt) = Interrupt::new();
        let board = Board::new(has_edges);
        let panel = board.panel(&interrupt);
        let visitor = thread::spawn(move || {
            // By then it is known that the button is up.
            board.wait_for_polls(20);
            board.press();
        });
        assert_eq!(panel.wait_for_press_within(Duration::MAX).expect("a press"), Some(Gesture::Life));
        visitor.join().expect("an end");
    }
}

#[test]
fn without_pins_a_life_begins_at_once_and_nothing_is_held() {
    let (_raise, interrupt) = Interrupt::new();
    let panel = Panel::open(PanelSettings::default(), false, &interrupt).expect("nothing to open");
    assert_eq!(panel.wait_for_press_within(Duration::MAX).expect("at once"), Some(Gesture::Life));
    panel.dying();
    panel.hold_last_light();
    panel.show_fault();
    panel.show_wrong_options();
}

#[test]
fn a_light_is_claimed_once_and_can_be_claimed_again_when_it_is_given_back() {
    let pin = |number| Pin::new(number).expect("a pin");
    let claim = pins::claim(pin(27)).expect("it is free");
    let error = pins::claim(pin(27)).expect_err("it is claimed").to_string();
    assert!(error.contains("GPIO 27") && error.contains("stop"), "{error}");
    pins::claim(pin(26)).expect("another one is free");
    drop(claim);
    pins::claim(pin(27)).expect("it is free again");
}

#[test]
fn an_armed_piece_feeds_the_watchdog_while_nobody_presses() {
    let (_raise, interrupt, told) = supervised();
    let panel = Board::new(false).panel(&interrupt);
    let none = panel.wait_for_press_within(Duration::from_millis(100)).expect("no signal");
    assert!(none.is_none() && was_fed(&told));
}
