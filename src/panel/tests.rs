//! Tests of the panel on fake pins: of its thread, on a virtual clock, and of
//! its handle.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::eventfd::EventFd;
use nix::time::{ClockId, clock_gettime};

use super::handle::Panel;
use super::pins;
use super::pulse::{Life, Means, Pattern};
use super::pwm::tests::Sysfs;
use super::settings::{Pin, Settings};
use super::thread::{Asked, Attendant, Coming, Contact, Lamp, Pins};
use crate::life::ending::{Death, Ending};
use crate::life::interrupt::Interrupt;
use crate::life::interrupt::tests::{supervised, was_fed};

/// What a fake light and a fake button share with their test.
#[derive(Clone)]
struct Board {
    down: Arc<AtomicBool>,
    /// Whether an edge came that was not forgotten.
    edge: Arc<AtomicBool>,
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

impl Default for Board {
    fn default() -> Self {
        let (told, shown) = unbounded();
        Self { down: Arc::default(), edge: Arc::default(), told, shown, reset: Arc::default() }
    }
}

struct FakeContact(Board);

impl Contact for FakeContact {
    fn is_down(&mut self) -> bool {
        self.0.down.load(Ordering::SeqCst)
    }
}

/// A contact that tells its edges.
struct Edgy {
    board: Board,
    edges: Arc<EventFd>,
}

impl Contact for Edgy {
    fn is_down(&mut self) -> bool {
        self.board.down.load(Ordering::SeqCst)
    }

    fn edges(&self) -> Option<BorrowedFd<'_>> {
        Some(self.edges.as_fd())
    }

    fn forget_edges(&mut self) {
        self.board.edge.store(false, Ordering::SeqCst);
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
            ..Pins::default()
        }
    }

    /// Pins whose button has a descriptor for edges.
    fn edgy(&self) -> Pins {
        let edges = Arc::new(EventFd::new().expect("a descriptor"));
        Pins { button: Some(Box::new(Edgy { board: self.clone(), edges })), ..self.pins() }
    }

    fn panel(&self, interrupt: &Interrupt) -> Panel {
        Panel::start(self.pins(), interrupt).expect("fakes")
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }

    /// What the light has shown since the last call.
    fn shown(&self) -> Vec<f64> {
        self.shown.try_iter().collect()
    }

    /// Waits until the light is fully on; false if it is dropped before that.
    fn is_full_before_it_goes(&self) -> bool {
        std::iter::from_fn(|| self.shown.recv_timeout(LIMIT).ok())
            .find(|&luminance| luminance == 1.0 || luminance == GONE)
            .is_some_and(|luminance| luminance == 1.0)
    }
}

/// The thread's work, on a virtual clock.
struct Simulated {
    attendant: Attendant,
    asked: Receiver<Asked>,
    now: Duration,
    /// When it wakes next.
    due: Duration,
    wakes: u32,
}

impl Simulated {
    fn with(pins: Pins) -> Self {
        let (answer, asked) = unbounded();
        let attendant = Attendant::new(pins, Arc::default(), answer);
        Self { attendant, asked, now: Duration::ZERO, due: Duration::ZERO, wakes: 0 }
    }

    /// Lets `time` pass and wakes as often as the thread would; `sleep` is
    /// called in place of the thread's sleep.
    fn pass(&mut self, time: Duration, sleep: impl Fn()) -> &mut Self {
        let end = self.now + time;
        while self.now < end {
            self.wake();
            self.now = end.min(self.due);
            sleep();
        }
        self
    }

    fn wake(&mut self) {
        self.wakes += 1;
        let wait = self.attendant.tick(self.now).unwrap_or(Duration::MAX);
        assert!(wait > Duration::ZERO, "it would spin");
        self.due = self.now.saturating_add(wait);
    }

    fn pass_ms(&mut self, milliseconds: u64) -> &mut Self {
        self.pass(Duration::from_millis(milliseconds), || ())
    }

    fn enter(&mut self, phase: Pattern, fill: f32) -> &mut Self {
        self.attendant.gauge.set_fill(fill);
        self.attendant.enter(phase);
        self
    }
}

const ARMED: Pattern = Pattern::Armed;
const ALIVE: Pattern = Pattern::Alive(Life { birth: 0.05, fill: 0.05, printer_lost: false });

#[test]
fn a_press_while_armed_asks_for_a_life_and_is_noticed_within_50_ms() {
    let board = Board::default();
    let mut simulated = Simulated::with(board.pins());
    simulated.pass_ms(1000).enter(ARMED, 0.0).pass_ms(995);
    board.down.store(true, Ordering::SeqCst);
    simulated.pass_ms(50);
    assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life));
}

#[test]
fn a_press_whose_edge_wakes_the_thread_is_noticed_within_50_ms() {
    let board = Board::default();
    for moment in 0..80 {
        let mut simulated = Simulated::with(board.edgy());
        simulated.enter(ARMED, 0.0).pass_ms(995 + moment);
        assert!(simulated.attendant.edges().is_some(), "it waits for the edge");
        board.down.store(true, Ordering::SeqCst);
        board.edge.store(true, Ordering::SeqCst);
        simulated.attendant.edge();
        simulated.pass_ms(50);
        assert!(!board.edge.load(Ordering::SeqCst), "the descriptor would wake it for ever");
        assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life), "at {moment}");
        board.down.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_press_of_100_ms_is_noticed_where_edges_never_come() {
    let board = Board::default();
    for moment in 0..80 {
        let mut simulated = Simulated::with(board.edgy());
        simulated.enter(ARMED, 0.0).pass_ms(995 + moment);
        board.down.store(true, Ordering::SeqCst);
        simulated.pass_ms(100);
        board.down.store(false, Ordering::SeqCst);
        simulated.pass_ms(200);
        assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life), "at {moment}");
    }
}

#[test]
fn a_line_full_of_noise_wakes_the_thread_no_more_than_200_times_a_second() {
    let board = Board::default();
    let mut simulated = Simulated::with(Pins { light: None, ..board.edgy() });
    simulated.enter(ARMED, 0.0);
    // Spikes too short to be seen by a read of the level, one each millisecond.
    for _ in 0..10_000 {
        let waits = simulated.attendant.edges().is_some();
        if waits {
            simulated.attendant.edge();
        }
        if waits || simulated.due <= simulated.now {
            simulated.wake();
        }
        simulated.now += Duration::from_millis(1);
    }
    assert!(simulated.asked.is_empty());
    assert!(simulated.wakes <= 10 * 200, "{}", simulated.wakes);
}

#[test]
fn a_button_held_while_the_piece_arms_asks_for_the_slip() {
    let board = Board::default();
    board.down.store(true, Ordering::SeqCst);
    let mut simulated = Simulated::with(board.pins());
    simulated.pass_ms(10_000).enter(ARMED, 0.0).pass_ms(9900);
    assert!(simulated.asked.is_empty());
    simulated.pass_ms(200);
    assert_eq!(simulated.asked.try_recv(), Ok(Asked::Slip));
}

#[test]
fn the_light_dips_each_second_while_the_button_is_held_for_the_slip_and_then_breathes_again() {
    let board = Board::default();
    board.down.store(true, Ordering::SeqCst);
    let mut simulated = Simulated::with(board.pins());
    simulated.enter(ARMED, 0.0).pass_ms(2950);
    assert!(!board.shown().contains(&0.0), "it breathes");
    let dips = board.clone();
    let mut dark = 0;
    for _ in 3..10 {
        simulated.pass_ms(1000);
        dark += dips.shown().iter().filter(|&&luminance| luminance == 0.0).count();
    }
    assert_eq!(dark, 7);
    simulated.pass_ms(10_000);
    assert!(!board.shown().contains(&0.0), "it breathes");
}

#[test]
fn a_jammed_button_is_seen_while_armed_and_not_during_a_life() {
    let dips = |board: &Board| board.shown().iter().filter(|&&luminance| luminance == 0.0).count();
    let board = Board::default();
    board.down.store(true, Ordering::SeqCst);
    let mut simulated = Simulated::with(board.pins());
    simulated.enter(ARMED, 0.0).pass_ms(30_100);
    dips(&board);
    simulated.pass_ms(30_000);
    assert_eq!(dips(&board), 20, "two gaps every 3 s");
    assert_eq!(simulated.asked.try_iter().count(), 1, "one slip");
    board.down.store(false, Ordering::SeqCst);
    simulated.pass_ms(100);
    dips(&board);
    simulated.pass_ms(10_000);
    assert_eq!(dips(&board), 0, "it breathes");
    board.down.store(true, Ordering::SeqCst);
    simulated.pass_ms(100);
    assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life));
    simulated.enter(ALIVE, 0.05).pass_ms(60_000);
    assert_eq!(dips(&board), 0, "it beats");
}

#[test]
fn paper_that_has_ended_is_seen_during_a_life_until_it_is_there_again() {
    let board = Board::default();
    let mut simulated = Simulated::with(board.pins());
    simulated.enter(ALIVE, 0.05).pass_ms(5000);
    simulated.attendant.gauge.printer.set_out_of_paper(true);
    simulated.pass_ms(3000);
    board.shown();
    simulated.pass_ms(9000);
    assert_eq!(board.shown().iter().filter(|&&luminance| luminance == 1.0).count(), 6);
    simulated.attendant.gauge.printer.set_out_of_paper(false);
    simulated.pass_ms(3000);
    board.shown();
    simulated.pass_ms(9000);
    assert!(!board.shown().contains(&1.0), "it beats");
}

#[test]
fn a_press_while_it_rests_or_is_closed_is_not_answered() {
    for phase in [Pattern::Resting, Pattern::Closed] {
        let board = Board::default();
        let mut simulated = Simulated::with(board.pins());
        simulated.enter(ARMED, 0.0).pass_ms(1000).enter(phase, 0.0).pass_ms(1000);
        board.down.store(true, Ordering::SeqCst);
        simulated.pass_ms(500);
        board.down.store(false, Ordering::SeqCst);
        simulated.pass_ms(500).enter(ARMED, 0.0).pass_ms(1000);
        assert!(simulated.asked.is_empty(), "{phase:?}");
        board.down.store(true, Ordering::SeqCst);
        simulated.pass_ms(100);
        assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life), "{phase:?}");
    }
}

#[test]
fn a_press_during_a_life_dips_the_light_and_asks_for_nothing() {
    let board = Board::default();
    let mut simulated = Simulated::with(board.pins());
    simulated.enter(ALIVE, 0.05).pass_ms(5000);
    assert!(!board.shown().contains(&0.0), "the trough of a beat is not dark");
    board.down.store(true, Ordering::SeqCst);
    simulated.pass_ms(400);
    assert!(board.shown().contains(&0.0), "no dip was seen");
    board.down.store(false, Ordering::SeqCst);
    simulated.pass_ms(400).enter(Pattern::Dying, 0.95).pass_ms(3000).enter(ARMED, 0.0).pass_ms(3000);
    assert!(simulated.asked.is_empty());
}

#[test]
fn the_light_follows_the_fill_and_the_lost_printer() {
    let beats = |fill: f32, lost: bool| {
        let board = Board::default();
        let mut simulated = Simulated::with(board.pins());
        if lost {
            simulated.attendant.gauge.printer.set_lost();
        }
        simulated.enter(ALIVE, fill).pass_ms(60_000);
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
    let mut simulated = Simulated::with(Pins { light: Some(Box::new(Broken)), ..board.pins() });
    simulated.enter(ARMED, 0.0).pass_ms(1000);
    assert!(simulated.attendant.pins.light.is_none());
    board.down.store(true, Ordering::SeqCst);
    simulated.pass_ms(100);
    assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life));
}

/// A light that is ready after `time`, and then shows on the board.
fn later(board: Board, time: Duration) -> Coming {
    Box::new(move |waited| {
        (waited >= time).then(|| Box::new(FakeLamp(board.clone(), Means::Dimmed)) as Box<dyn Lamp>)
    })
}

#[test]
fn a_light_that_is_ready_late_shows_what_is_due_then_and_the_button_works_before() {
    let board = Board::default();
    let coming = Some(later(board.clone(), Duration::from_secs(7)));
    let mut simulated = Simulated::with(Pins { light: None, coming, ..board.pins() });
    // What the pins were before is dropped.
    board.shown();
    simulated.pass_ms(2000).enter(ARMED, 0.0).pass_ms(1000);
    board.down.store(true, Ordering::SeqCst);
    simulated.pass_ms(100);
    assert_eq!(simulated.asked.try_recv(), Ok(Asked::Life));
    simulated.enter(ALIVE, 0.05).pass_ms(3500);
    assert_eq!(board.shown(), [0.0; 0], "no light yet");
    simulated.pass_ms(60_000);
    let shown = board.shown();
    let beats = shown.windows(2).filter(|pair| pair[0] < 0.15 && pair[1] >= 0.15).count();
    assert!(beats.abs_diff(40) <= 1, "{beats}");
    assert!(shown.iter().any(|&luminance| luminance > 0.0 && luminance < 1.0), "it is dimmed");
}

#[test]
fn a_light_that_is_looked_for_wakes_the_thread_four_times_a_second() {
    let coming = Some(later(Board::default(), LIMIT));
    let mut simulated = Simulated::with(Pins { coming, ..Pins::default() });
    simulated.pass_ms(10_000);
    assert!(simulated.wakes <= 41, "{}", simulated.wakes);
}

#[test]
fn the_thread_wakes_only_for_the_button_and_for_a_light_that_moves() {
    let wakes = |phase: Pattern, fill: f32| {
        let board = Board::default();
        let mut simulated = Simulated::with(board.pins());
        simulated.enter(phase, fill).pass_ms(60_000);
        simulated.wakes / 60
    };
    assert_eq!(wakes(Pattern::Loading { ready: 0.0 }, 0.0), 0);
    assert_eq!(wakes(Pattern::Dying, 0.95), 0);
    assert!(wakes(Pattern::Closed, 0.0) <= 4, "{}", wakes(Pattern::Closed, 0.0));
    assert!(wakes(Pattern::Resting, 0.0) <= 25, "{}", wakes(Pattern::Resting, 0.0));
    assert!(wakes(Pattern::Fault, 0.0) <= 3);
    let edgy = |phase: Pattern, fill: f32| {
        let mut simulated = Simulated::with(Board::default().edgy());
        simulated.enter(phase, fill).pass_ms(60_000);
        simulated.wakes / 60
    };
    // 25 polls each second, due at the same time as the frames of the breath.
    assert!(edgy(ARMED, 0.0) <= 26, "{}", edgy(ARMED, 0.0));
    // Frames of the beat every 20 ms, and 25 polls each second between beats.
    assert!(edgy(ALIVE, 0.05) <= 32, "{}", edgy(ALIVE, 0.05));
    assert!(edgy(ALIVE, 0.95) <= 50, "{}", edgy(ALIVE, 0.95));
    // 100 polls and 25 frames of the breath each second.
    assert!(wakes(ARMED, 0.0) <= 126, "{}", wakes(ARMED, 0.0));
}

#[test]
fn the_thread_costs_less_than_a_hundredth_of_a_core() {
    let cpu = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
    let time = Duration::from_secs(20);
    for (name, phase, fill) in [
        ("loading", Pattern::Loading { ready: 0.0 }, 0.0),
        ("armed", ARMED, 0.0),
        ("alive, at birth", ALIVE, 0.05),
        ("alive, at the end", ALIVE, 0.95),
        ("dying", Pattern::Dying, 0.95),
        ("fault", Pattern::Fault, 0.0),
        ("resting", Pattern::Resting, 0.0),
        ("closed", Pattern::Closed, 0.0),
        ("wrong options", Pattern::WrongOptions, 0.0),
    ] {
        let sysfs = Sysfs::with_overlay();
        let light: Box<dyn Lamp> = Box::new(sysfs.open(18));
        let mut simulated = Simulated::with(Pins { light: Some(light), ..Board::default().pins() });
        let before = cpu();
        // Real sleeps, because going to sleep and waking are part of the cost.
        let sleep = || thread::park_timeout(Duration::from_nanos(1));
        simulated.enter(phase, fill).pass(time, sleep);
        let share = (cpu() - before).div_duration_f64(time);
        println!("{name}: {:.3} % of a core, {} wakes in 20 s", share * 100.0, simulated.wakes);
        assert!(share < 0.01, "{name}: {share}");
    }
}

#[test]
fn the_death_unwinds_to_a_dark_light_and_reset_pins() {
    let sysfs = Sysfs::with_overlay();
    sysfs.make_channel(0);
    let pwm = sysfs.open(18);
    let (_raise, interrupt) = Interrupt::new();
    let pins = Pins { light: Some(Box::new(pwm)), ..Pins::default() };
    let panel = Panel::start(pins, &interrupt).expect("PWM");
    let death = catch_unwind(AssertUnwindSafe(|| {
        panel.through(|panel| {
            panel.dying();
            panic_any(Death)
        })
    }));
    assert!(death.expect_err("a death").is::<Death>());
    assert_eq!([sysfs.says("pwm0/duty_cycle"), sysfs.says("pwm0/enable")], ["0", "0"]);
}

#[test]
fn a_fault_keeps_its_words_and_blinks_until_it_was_said() {
    let (raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let shown = board.panel(&interrupt).through(|_| Err(anyhow!("no more").into())).expect_err("a fault");
    assert_eq!((format!("{shown}").as_str(), board.is_reset()), ("no more", false));
    let end = thread::spawn(move || drop(shown));
    assert!(board.is_full_before_it_goes());
    // A signal ends the blinks early.
    drop(raise);
    end.join().expect("an end");
    assert!(board.is_reset());
}

#[test]
fn the_deaths_light_is_held() {
    let (raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let panel = board.panel(&interrupt);
    let end = thread::spawn(move || {
        panel.dying();
        panel.hold_last_light();
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
    let ended = board.panel(&interrupt).through(|_| Err(Ending::Unheard));
    assert!(board.is_reset());
    assert!(matches!(ended, Err(Ending::Unheard)));
}

#[test]
fn a_bug_blinks_as_a_fault_does_and_resets_the_pins() {
    let (raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let panel = board.panel(&interrupt);
    let end = thread::spawn(move || {
        let bug = catch_unwind(AssertUnwindSafe(|| panel.through(|_| panic_any("a bug"))));
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
    let panel = board.panel(&interrupt);
    drop(raise);
    let Err(Ending::Interrupted(place)) = panel.wait_for_press() else { panic!("no interrupt") };
    assert_eq!(place, "while waiting for the button");
}

#[test]
fn a_press_is_waited_for_no_longer_than_is_said() {
    let (raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let panel = board.panel(&interrupt);
    let none = panel.wait_for_press_within(Duration::from_millis(1));
    assert!(matches!(none, Ok(None)), "{none:?}");
    drop(raise);
    let Err(Ending::Interrupted(_)) = panel.wait_for_press_within(LIMIT) else { panic!("no interrupt") };
}

/// Down only after 20 polls, so that it was seen up before; counts them.
struct Late(Arc<AtomicU32>);

impl Contact for Late {
    fn is_down(&mut self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) >= 20
    }
}

fn with_late_press(interrupt: &Interrupt) -> (Panel, Arc<AtomicU32>) {
    let polls = Arc::new(AtomicU32::new(0));
    let late = Late(Arc::clone(&polls));
    let pins = Pins { button: Some(Box::new(late)), ..Pins::default() };
    (Panel::start(pins, interrupt).expect("fakes"), polls)
}

#[test]
fn a_press_that_came_as_the_piece_closed_begins_no_life_when_it_opens() {
    let (_raise, interrupt) = Interrupt::new();
    let moment = Duration::from_millis(1);
    let waited = |panel: &Panel| panel.wait_for_press_within(moment).expect("no signal");
    let (panel, polls) = with_late_press(&interrupt);
    assert_eq!(waited(&panel), None, "the button is up");
    // The visitor presses, the thread notices it, and nobody waits any more.
    let start = Instant::now();
    while polls.load(Ordering::SeqCst) < 40 {
        assert!(start.elapsed() < LIMIT, "the button is not read");
        thread::yield_now();
    }
    panel.close();
    assert_eq!(waited(&panel), None);
    panel.rest();
    assert_eq!(waited(&panel), None);
}

#[test]
fn a_press_on_the_real_thread_begins_a_life() {
    let (_raise, interrupt) = Interrupt::new();
    let (panel, _) = with_late_press(&interrupt);
    assert_eq!(panel.wait_for_press().expect("a press"), Asked::Life);
}

#[test]
fn an_edge_on_the_real_thread_begins_a_life() {
    /// Down from its first edge on.
    struct Wired(Board, Arc<EventFd>);
    impl Contact for Wired {
        fn is_down(&mut self) -> bool {
            self.0.down.load(Ordering::SeqCst)
        }
        fn edges(&self) -> Option<BorrowedFd<'_>> {
            self.0.told.send(0.0).expect("a test");
            Some(self.1.as_fd())
        }
        fn forget_edges(&mut self) {
            let _ = self.1.write(1).and_then(|_| self.1.read());
        }
    }
    let (_raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let edges = Arc::new(EventFd::new().expect("a descriptor"));
    let (wired, edge) = (Wired(board.clone(), Arc::clone(&edges)), edges);
    let pins = Pins { button: Some(Box::new(wired)), ..Pins::default() };
    let panel = Panel::start(pins, &interrupt).expect("fakes");
    let visitor = thread::spawn(move || {
        // It has polled often enough to know that the button is up.
        board.shown.iter().take(60).for_each(drop);
        board.down.store(true, Ordering::SeqCst);
        edge.write(1).expect("an edge");
        board
    });
    assert_eq!(panel.wait_for_press().expect("a press"), Asked::Life);
    drop(visitor.join());
}

#[test]
fn wrong_options_blink_until_they_were_shown_or_a_signal_comes() {
    let (raise, interrupt) = Interrupt::new();
    let board = Board::default();
    let panel = board.panel(&interrupt);
    let end = thread::spawn(move || panel.show_wrong_options());
    assert!(board.is_full_before_it_goes());
    assert!(!board.is_reset());
    drop(raise);
    end.join().expect("an end");
    assert!(board.is_reset());
}

#[test]
fn without_pins_a_life_begins_at_once_and_nothing_is_held() {
    let (_raise, interrupt) = Interrupt::new();
    let panel = Panel::open(Settings::default(), false, &interrupt).expect("nothing to open");
    assert_eq!(panel.wait_for_press().expect("at once"), Asked::Life);
    panel.dying();
    panel.hold_last_light();
    panel.show_wrong_options();
    let panel = Panel::open(Settings::default(), false, &interrupt).expect("nothing to open");
    let fault = panel.through(|_| Err(anyhow!("no more").into())).expect_err("a fault");
    assert_eq!(fault.to_string(), "no more");
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
    let panel = Board::default().panel(&interrupt);
    let none = panel.wait_for_press_within(Duration::from_millis(100)).expect("no signal");
    assert!(none.is_none() && was_fed(&told));
}
