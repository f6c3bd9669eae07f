//! Tests of the printer thread with a simulated printer, in virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::escpos::{self, Chunk, Leftover, QUERIES, Style, feed};
use super::format::{Font, Format};
use super::inquiry::{Inquiry, UNANSWERED};
use super::pace::{INPUT_BUFFER, Pace};
use super::port::{Busy, Clock, Port};
use super::press::{BreakOff, Held, Message, Press, STALL_PAUSE};
use super::printer::BREAKING_OFF;
use crate::life::listener::PrinterStatus;

const BAUD: u32 = 9600;
const LINE: Duration = Duration::from_micros(728_400);
/// The time of a line of the slowest printer that is known.
const SLOWEST: Duration = Duration::from_millis(729);
const FOREVER: Duration = Duration::MAX;
const PAPER_WAIT: Duration = Duration::from_secs(180);

fn line(text: &str, style: Style) -> Chunk {
    escpos::line(text, style, Font::Large)
}

/// A printer and its serial line in virtual time: bytes arrive at the baud rate
/// and wait in the input buffer while the paper moves; those that arrive while
/// it is full are counted as overruns.
#[derive(Debug)]
struct Fake {
    now: Duration,
    /// Written to the kernel, not yet sent.
    unsent: VecDeque<u8>,
    wire_free: Duration,
    /// The input buffer: arrived, not yet processed.
    buffer: VecDeque<u8>,
    paper_free: Duration,
    printed: Vec<u8>,
    overruns: usize,
    /// When XOFF and XON arrive.
    held: (Duration, Duration),
    gone_at: Duration,
    /// The reply to `DLE EOT 4` from each time on.
    replies: Vec<(Duration, u8)>,
    answers: VecDeque<u8>,
    noise: bool,
    /// When the printer is without paper: it prints nothing meanwhile.
    without_paper: (Duration, Duration),
    /// Whether this is a USB printer: the port tells that the paper is out, and
    /// holds the bytes back that the printer has no room for.
    port_tells: bool,
    /// The highest number of bytes that waited in the input buffer.
    most: usize,
}

impl Fake {
    /// Moves the time on to `to`, from event to event: a byte arrives, or the
    /// paper stops.
    fn advance(&mut self, to: Duration) {
        let byte_time = Duration::from_nanos(10_000_000_000 / u64::from(BAUD));
        while self.now < to {
            let held = self.now >= self.held.0 && self.now < self.held.1
                || self.port_tells && self.buffer.len() >= INPUT_BUFFER;
            let arrives = match self.unsent.is_empty() || held {
                true => FOREVER,
                false => self.wire_free.max(self.now) + byte_time,
            };
            let stands = if self.paper_free > self.now { self.paper_free } else { FOREVER };
            let (out, back) = self.without_paper;
            let back = if self.now >= out && self.now < back { back } else { FOREVER };
            self.now = to.min(arrives).min(stands).min(back);
            self.take_in();
            if self.now == arrives {
                self.wire_free = arrives;
                self.overruns += usize::from(self.buffer.len() >= INPUT_BUFFER);
                self.buffer.extend(self.unsent.pop_front());
                self.most = self.most.max(self.buffer.len());
                self.take_in();
            }
        }
    }

    fn take_in(&mut self) {
        while self.paper_free <= self.now && !self.is_without_paper() {
            let Some(byte) = self.buffer.pop_front() else { return };
            self.printed.push(byte);
            if self.printed.ends_with(&QUERIES[0].bytes) {
                let reply = self.replies.iter().rfind(|(from, _)| *from <= self.now);
                self.answers.extend(reply.map(|(_, reply)| *reply));
            }
            if byte == b'\n' {
                self.paper_free = self.now + LINE;
            }
        }
    }
}

impl Fake {
    fn is_without_paper(&self) -> bool {
        let (out, back) = self.without_paper;
        self.now >= out && self.now < back
    }
}

#[derive(Debug, Clone)]
struct Shared(Rc<RefCell<Fake>>);

impl Port for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fake = self.0.borrow_mut();
        if fake.now >= fake.gone_at {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        fake.unsent.extend(bytes);
        Ok(bytes.len())
    }

    fn unsent(&mut self) -> io::Result<usize> {
        Ok(self.0.borrow().unsent.len())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut fake = self.0.borrow_mut();
        if fake.noise {
            buffer.fill(0x72);
            return Ok(buffer.len());
        }
        let length = fake.answers.len().min(buffer.len());
        buffer.iter_mut().zip(fake.answers.drain(..length)).for_each(|(to, from)| *to = from);
        Ok(length)
    }

    fn discard(&mut self) {
        self.0.borrow_mut().unsent.clear();
    }

    fn is_out_of_paper(&mut self) -> Option<bool> {
        let fake = self.0.borrow();
        fake.port_tells.then(|| fake.is_without_paper())
    }
}

/// Busy while the input buffer has no room for what the UART still holds.
impl Busy for Shared {
    fn is_busy(&mut self) -> bool {
        self.0.borrow().buffer.len() > INPUT_BUFFER - 16
    }
}

impl Clock for Shared {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn sleep(&self, time: Duration) {
        assert!(time > Duration::ZERO, "it spins");
        let mut fake = self.0.borrow_mut();
        let to = fake.now + time;
        fake.advance(to);
    }
}

fn fake() -> Shared {
    Shared(Rc::new(RefCell::new(Fake {
        now: Duration::ZERO,
        unsent: VecDeque::new(),
        wire_free: Duration::ZERO,
        buffer: VecDeque::new(),
        paper_free: Duration::ZERO,
        printed: Vec::new(),
        overruns: 0,
        held: (FOREVER, FOREVER),
        gone_at: FOREVER,
        replies: Vec::new(),
        answers: VecDeque::new(),
        noise: false,
        without_paper: (FOREVER, FOREVER),
        port_tells: false,
        most: 0,
    })))
}

fn press(fake: &Shared, line: Duration, replies: bool) -> Press<Shared> {
    Press {
        port: Box::new(fake.clone()),
        clock: fake.clone(),
        pace: Pace::new(BAUD, line),
        inquiry: replies.then(Inquiry::default),
        busy: None,
        paper_wait: PAPER_WAIT,
        status: PrinterStatus::default(),
        report: Box::new(|_| ()),
        listens: replies,
        abandoned: Arc::default(),
    }
}

fn lines(count: usize) -> Vec<Chunk> {
    (0..count).map(|at| line(&format!("{at:032}"), Style::default())).collect()
}

fn header() -> Vec<Chunk> {
    escpos::start(&Format::default(), Leftover { cut_off: true, garbage: false })
}

/// Prints `count` full lines.
fn print(fake: &Shared, line: Duration, replies: bool, count: usize) -> Result<bool, String> {
    let (queue, queued) = bounded(1);
    let (_break_off, broken_off) = bounded(1);
    queue.send(Message { lines: lines(count), is_last: true }).expect("room");
    press(fake, line, replies).print(header(), &queued, &broken_off)
}

fn printed_lines(fake: &Shared) -> usize {
    let text = String::from_utf8_lossy(&fake.0.borrow().printed).into_owned();
    text.lines().filter(|line| line.contains("00000")).count()
}

#[test]
fn a_held_port_is_let_go_when_nobody_waits_any_more() {
    let fake = fake();
    let mut press = press(&fake, SLOWEST, false);
    let mut looks = 0;
    let held = press.wait(STALL_PAUSE, |press, _| {
        looks += 1;
        press.abandoned.store(looks > 3, Ordering::Relaxed);
        Ok(Some(Held::Silent))
    });
    assert_eq!((held, looks), (Err("nobody waits for it any more".to_owned()), 4));
}

#[test]
fn a_printer_without_flow_control_is_never_overrun() {
    for replies in [false, true] {
        let fake = fake();
        assert_eq!(print(&fake, LINE, replies, 300), Ok(true));
        assert_eq!((fake.0.borrow().overruns, printed_lines(&fake)), (0, 300));
        // The printer hardly ever waits for the next line.
        let time = fake.0.borrow().now;
        assert!(time < (LINE + Duration::from_millis(10)) * 302, "{time:?}");
    }
}

#[test]
fn the_fake_printer_notices_a_pace_that_is_too_fast() {
    let fake = fake();
    assert_eq!(print(&fake, LINE / 2, false, 300), Ok(true));
    assert!(fake.0.borrow().overruns > 0);
}

#[test]
fn a_printer_that_is_held_for_a_while_is_waited_for() {
    let fake = fake();
    fake.0.borrow_mut().held = (Duration::from_secs(5), Duration::from_secs(14));
    assert_eq!(print(&fake, LINE, false, 20), Ok(true));
    assert_eq!(printed_lines(&fake), 20);
}

#[test]
fn a_printer_that_is_held_for_10_s_is_lost_and_what_it_did_not_take_is_forgotten() {
    let fake = fake();
    fake.0.borrow_mut().held = (Duration::from_secs(5), FOREVER);
    let why = print(&fake, LINE, false, 20).expect_err("lost");
    assert_eq!(why, "it has taken nothing for 10 s");
    let time = fake.0.borrow().now;
    assert!(time > Duration::from_secs(15) && time < Duration::from_secs(17), "{time:?}");
    assert!(fake.0.borrow().unsent.is_empty(), "it comes out when the printer is ready again");
}

#[test]
fn a_printer_that_is_gone_is_lost_at_the_next_line() {
    let fake = fake();
    fake.0.borrow_mut().gone_at = Duration::from_secs(5);
    let why = print(&fake, LINE, false, 20).expect_err("lost");
    assert!(why.contains("cable"), "{why}");
    assert!(fake.0.borrow().now < Duration::from_secs(7));
}

#[test]
fn a_new_roll_within_the_wait_goes_on_and_none_is_lost() {
    let paper = |back: u64| {
        let fake = fake();
        let (out, back) = (Duration::from_secs(5), Duration::from_secs(back));
        fake.0.borrow_mut().replies = vec![(Duration::ZERO, 0x12), (out, 0x72), (back, 0x12)];
        (print(&fake, LINE, true, 20), fake)
    };
    let (printed, fake) = paper(170);
    assert_eq!((printed, printed_lines(&fake)), (Ok(true), 20));
    let (printed, fake) = paper(600);
    assert_eq!(printed, Err("it is out of paper".to_owned()));
    let time = fake.0.borrow().now;
    assert!(time > Duration::from_secs(185) && time < Duration::from_secs(190), "{time:?}");
}

/// Prints 20 lines on `fake` with what `set` changes; returns how it ended, what
/// was reported, and whether the light ever showed that the life waits.
fn printed(fake: &Shared, set: impl FnOnce(&mut Press<Shared>)) -> (Result<bool, String>, Vec<String>) {
    let (queue, queued) = bounded(1);
    let (_break_off, broken_off) = bounded(1);
    queue.send(Message { lines: lines(20), is_last: true }).expect("room");
    let mut press = press(fake, LINE, false);
    let reports = Rc::new(RefCell::new(Vec::new()));
    let (status, told) = (press.status.clone(), reports.clone());
    press.report = Box::new(move |words| {
        told.borrow_mut().push(format!("{words} (waits: {})", status.is_out_of_paper()));
    });
    set(&mut press);
    let ended = press.print(header(), &queued, &broken_off);
    assert!(ended.is_err() || !press.status.is_out_of_paper(), "the light shows a wait that is over");
    drop(press);
    (ended, Rc::into_inner(reports).expect("no other owner").into_inner())
}

/// What is reported of a wait for paper that ends.
const WAITED: [&str; 2] = [
    "it is out of paper; put in a new roll: the life waits 180 s for it (waits: true)",
    "there is paper again (waits: false)",
];

#[test]
fn a_wait_for_paper_is_shown_and_said_once_and_so_is_its_end() {
    let fake = fake();
    fake.0.borrow_mut().replies = vec![(0, 0x12), (5, 0x72), (60, 0x12)]
        .into_iter()
        .map(|(second, reply)| (Duration::from_secs(second), reply))
        .collect();
    let (ended, reports) = printed(&fake, |press| {
        press.inquiry = Some(Inquiry::default());
        press.listens = true;
    });
    assert_eq!((ended, reports), (Ok(true), WAITED.map(str::to_owned).to_vec()));
}

#[test]
fn a_usb_printer_tells_that_its_paper_is_out_and_goes_on_with_the_new_roll() {
    for (back, whole) in [(120, true), (400, false)] {
        let fake = fake();
        fake.0.borrow_mut().port_tells = true;
        fake.0.borrow_mut().without_paper = (Duration::from_secs(5), Duration::from_secs(back));
        let (ended, reports) = printed(&fake, |press| press.pace = Pace::new(BAUD, Duration::ZERO));
        match whole {
            true => {
                fake.sleep(Duration::from_secs(5));
                assert_eq!((ended, printed_lines(&fake)), (Ok(true), 20));
                assert_eq!(reports, WAITED);
            }
            false => assert_eq!(ended, Err("it is out of paper".to_owned())),
        }
    }
}

#[test]
fn a_busy_wire_paces_the_printer_without_any_guess() {
    // Twice as slow as the program thinks: without the wire it is overrun.
    let fake = fake();
    let (ended, reports) = printed(&fake, |press| {
        press.pace = Pace::new(BAUD, Duration::ZERO);
        press.busy = Some(Box::new(fake.clone()));
    });
    assert_eq!((ended, reports), (Ok(true), vec![]));
    assert_eq!((fake.0.borrow().overruns, printed_lines(&fake)), (0, 20));
    assert!(fake.0.borrow().most > INPUT_BUFFER / 2, "the buffer is used");
    let unpaced = self::fake();
    let (_, _) = printed(&unpaced, |press| press.pace = Pace::new(BAUD, Duration::ZERO));
    assert!(unpaced.0.borrow().overruns > 0);
}

#[test]
fn a_printer_that_stays_busy_waits_for_paper_and_goes_on_with_the_new_roll() {
    for (back, whole) in [(150, true), (400, false)] {
        let fake = fake();
        fake.0.borrow_mut().without_paper = (Duration::from_secs(5), Duration::from_secs(back));
        let (ended, reports) = printed(&fake, |press| {
            press.pace = Pace::new(BAUD, Duration::ZERO);
            press.busy = Some(Box::new(fake.clone()));
        });
        assert!(
            reports[0].contains("put in a new roll") && reports[0].contains("waits: true"),
            "{reports:?}"
        );
        match whole {
            true => {
                assert_eq!((ended, printed_lines(&fake)), (Ok(true), 20));
                assert_eq!((fake.0.borrow().overruns, reports.len()), (0, 2));
            }
            false => assert!(ended.expect_err("lost").contains("BUSY wire")),
        }
    }
}

#[test]
fn that_the_paper_is_near_its_end_is_told() {
    let fake = fake();
    fake.0.borrow_mut().replies = vec![(Duration::ZERO, 0x1E)];
    let told = Rc::new(RefCell::new(None));
    let (ended, _) = printed(&fake, |press| {
        press.inquiry = Some(Inquiry::default());
        press.listens = true;
        told.replace(Some(press.status.clone()));
    });
    assert_eq!(ended, Ok(true));
    assert!(told.take().expect("a status").is_near_its_end());
}

#[test]
fn one_byte_of_noise_does_not_end_the_paper() {
    let fake = fake();
    let mut press = press(&fake, LINE, true);
    for (at, chunk) in lines(20).iter().enumerate() {
        if at == 5 {
            fake.0.borrow_mut().answers.push_back(0x72);
        }
        press.put(chunk).expect("there is paper");
    }
    assert!(!press.status.is_out_of_paper() && fake.0.borrow().now < LINE * 20 + Duration::from_secs(5));
}

#[test]
fn a_wire_that_babbles_end_of_paper_is_not_believed() {
    let fake = fake();
    fake.0.borrow_mut().noise = true;
    assert_eq!(print(&fake, LINE, true, 20), Ok(true));
}

#[test]
fn a_printer_that_never_answers_is_asked_in_three_ways_and_then_no_more() {
    let fake = fake();
    assert_eq!(print(&fake, LINE, true, 60), Ok(true));
    let printed = fake.0.borrow().printed.clone();
    for query in QUERIES {
        let asked = printed.windows(3).filter(|bytes| *bytes == query.bytes).count();
        assert!((UNANSWERED..12).contains(&asked), "{query:?}: {asked}");
    }
}

/// Breaks a receipt off while `ahead` lines are in the queue and `rest` more
/// follow them. Returns the time until the last byte was sent, and what is
/// printed.
fn broken_off(ahead: usize, rest: usize) -> (Duration, String) {
    let fake = fake();
    let mut press = press(&fake, SLOWEST, false);
    for chunk in lines(10) {
        press.put(&chunk).expect("it is there");
    }
    let (queue, queued) = bounded(9);
    queue.send(Message { lines: lines(ahead), is_last: false }).expect("room");
    let start = fake.0.borrow().now;
    let closing = vec![line("---", Style::default()), line("interrupted", Style::default()), feed(120)];
    let request = BreakOff {
        asked: Instant::now(),
        rest: (0..rest).map(|_| line("the rest", Style::default())).collect(),
        closing,
    };
    assert_eq!(press.break_off(VecDeque::new(), &queued, request), Ok(true));
    let taken = fake.0.borrow().now - start;
    fake.sleep(Duration::from_secs(20));
    assert_eq!(fake.0.borrow().overruns, 0);
    let text = String::from_utf8_lossy(&fake.0.borrow().printed).into_owned();
    (taken, text)
}

#[test]
fn a_receipt_that_is_broken_off_ends_within_3_s_however_far_the_paper_is_behind() {
    for ahead in 0..6 {
        let (taken, text) = broken_off(ahead, 1);
        assert!(taken < BREAKING_OFF, "{ahead} ahead: {taken:?}");
        assert!(text.ends_with("---\n\x1b3\x1cinterrupted\n\x1bJ\x78"), "{text:?}");
    }
}

#[test]
fn a_thought_that_is_broken_off_has_no_hole() {
    let (_, text) = broken_off(0, 1);
    assert!(text.contains("the rest"), "there is time for the last words: {text:?}");
    let (_, text) = broken_off(5, 1);
    assert!(!text.contains("the rest"), "lines before the last words are missing: {text:?}");
}
