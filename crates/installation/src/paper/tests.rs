//! Tests of the printer thread with a simulated printer, in virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
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
use super::press::{Batch, BreakOff, Press, STALL_PAUSE, WaitReason};
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
#[derive(Debug, Default)]
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
    held: Range<Duration>,
    gone_at: Option<Duration>,
    /// The reply to `DLE EOT 4` from each time on.
    replies: Vec<(Duration, u8)>,
    answers: VecDeque<u8>,
    noise: bool,
    /// When the printer is without paper: it prints nothing meanwhile.
    without_paper: Range<Duration>,
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
            let held = self.held.contains(&self.now) || self.port_tells && self.buffer.len() >= INPUT_BUFFER;
            let arrives = match self.unsent.is_empty() || held {
                true => FOREVER,
                false => self.wire_free.max(self.now) + byte_time,
            };
            let stands = if self.paper_free > self.now { self.paper_free } else { FOREVER };
            let back = if self.is_without_paper() { self.without_paper.end } else { FOREVER };
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

    fn is_without_paper(&self) -> bool {
        self.without_paper.contains(&self.now)
    }
}

#[derive(Debug, Clone, Default)]
struct SharedFake(Rc<RefCell<Fake>>);

impl Port for SharedFake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fake = self.0.borrow_mut();
        if fake.gone_at.is_some_and(|gone| fake.now >= gone) {
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
impl Busy for SharedFake {
    fn is_busy(&mut self) -> bool {
        self.0.borrow().buffer.len() > INPUT_BUFFER - 16
    }
}

impl Clock for SharedFake {
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

impl SharedFake {
    /// A printer that differs from an ordinary one by what `set` changes.
    fn that(set: impl FnOnce(&mut Fake)) -> Self {
        let fake = Self::default();
        set(&mut fake.0.borrow_mut());
        fake
    }

    fn overruns(&self) -> usize {
        self.0.borrow().overruns
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().printed).into_owned()
    }

    fn printed_lines(&self) -> usize {
        self.text().lines().filter(|line| line.contains("00000")).count()
    }
}

/// The printer thread's work on `fake`, without replies.
fn press(fake: &SharedFake, line: Duration) -> Press<SharedFake> {
    Press {
        port: Box::new(fake.clone()),
        clock: fake.clone(),
        pace: Pace::new(BAUD, line),
        inquiry: None,
        busy: None,
        paper_wait: PAPER_WAIT,
        no_paper: false,
        status: PrinterStatus::default(),
        report: Box::new(|_| ()),
        listens: false,
        abandoned: Arc::default(),
    }
}

/// Has the printer's replies wired.
fn ask(press: &mut Press<SharedFake>) {
    press.inquiry = Some(Inquiry::default());
    press.listens = true;
}

/// Leaves the pace to the printer.
fn trust(press: &mut Press<SharedFake>) {
    press.pace = Pace::new(BAUD, Duration::ZERO);
}

fn lines(count: usize) -> Vec<Chunk> {
    (0..count).map(|at| line(&format!("{at:032}"), Style::default())).collect()
}

fn header() -> Vec<Chunk> {
    escpos::start(&Format::default(), Leftover { cut_off: true, garbage: false })
}

/// Prints `count` full lines on `fake`, with what `set` changes. Returns how it ended,
/// what was reported, and whether the light showed then that the life waits.
fn print(
    fake: &SharedFake,
    count: usize,
    set: impl FnOnce(&mut Press<SharedFake>),
) -> (Result<bool, String>, Vec<String>) {
    let (queue, queued) = bounded(1);
    let (_break_off, broken_off) = bounded(1);
    queue.send(Batch { lines: lines(count), is_last: true }).expect("room");
    let mut press = press(fake, LINE);
    let reports = Rc::new(RefCell::new(Vec::new()));
    let (status, told) = (press.status.clone(), reports.clone());
    press.report = Box::new(move |words| {
        told.borrow_mut().push(format!("{words} (waits: {})", status.is_out_of_paper()));
    });
    set(&mut press);
    let ended = press.print(header(), &queued, &broken_off);
    assert!(ended.is_err() || !press.status.is_out_of_paper(), "the light shows a wait that is over");
    (ended, reports.take())
}

/// Prints them to their end, and nothing is reported.
fn print_whole(fake: &SharedFake, count: usize, set: impl FnOnce(&mut Press<SharedFake>)) {
    assert_eq!(print(fake, count, set), (Ok(true), vec![]));
}

/// Why the printer is lost before 20 lines are printed, and when.
fn lost(fake: &SharedFake) -> (String, u64) {
    let why = print(fake, 20, |_| ()).0.expect_err("lost");
    (why, fake.now().as_secs())
}

fn second(second: u64) -> Duration {
    Duration::from_secs(second)
}

#[test]
fn a_held_port_is_let_go_when_nobody_waits_any_more() {
    let mut press = press(&SharedFake::default(), SLOWEST);
    let mut looks = 0;
    let held = press.wait(STALL_PAUSE, |press, _| {
        looks += 1;
        press.abandoned.store(looks > 3, Ordering::Relaxed);
        Ok(Some(WaitReason::Silent))
    });
    assert_eq!((held, looks), (Err("nobody waits for it any more".to_owned()), 4));
}

#[test]
fn a_printer_without_flow_control_is_never_overrun() {
    for set in [|_: &mut _| (), ask] {
        let fake = SharedFake::default();
        print_whole(&fake, 300, set);
        assert_eq!((fake.overruns(), fake.printed_lines()), (0, 300));
        // The printer hardly ever waits for the next line.
        assert!(fake.now() < (LINE + Duration::from_millis(10)) * 302, "{:?}", fake.now());
    }
}

#[test]
fn the_fake_printer_notices_a_pace_that_is_too_fast() {
    for line in [LINE / 2, Duration::ZERO] {
        let fake = SharedFake::default();
        print_whole(&fake, 300, |press| press.pace = Pace::new(BAUD, line));
        assert!(fake.overruns() > 0);
    }
}

#[test]
fn a_printer_that_is_held_for_a_while_is_waited_for() {
    let fake = SharedFake::that(|fake| fake.held = second(5)..second(14));
    print_whole(&fake, 20, |_| ());
    assert_eq!(fake.printed_lines(), 20);
}

#[test]
fn a_printer_that_is_held_for_10_s_is_lost_and_what_it_did_not_take_is_forgotten() {
    let fake = SharedFake::that(|fake| fake.held = second(5)..FOREVER);
    let (why, when) = lost(&fake);
    assert_eq!(why, "it has taken nothing for 10 s");
    assert!((15..17).contains(&when), "{when}");
    assert!(fake.0.borrow().unsent.is_empty(), "it comes out when the printer is ready again");
}

#[test]
fn a_printer_that_is_gone_is_lost_at_the_next_line() {
    let (why, when) = lost(&SharedFake::that(|fake| fake.gone_at = Some(second(5))));
    assert!(why.contains("cable") && when < 7, "{why}, {when}");
}

/// How a printer tells that its paper is out, and which words the program has for that.
const OUT_OF_PAPER: [(&str, &str); 3] = [
    ("replies", "it is out of paper"),
    ("USB", "it is out of paper"),
    ("BUSY", "it stays busy, as without paper or with a wrong BUSY wire"),
];

/// A printer whose paper is `out`.
fn without_paper(how: &str, out: Range<Duration>) -> SharedFake {
    SharedFake::that(|fake| match how {
        "replies" => fake.replies = vec![(second(0), 0x12), (out.start, 0x72), (out.end, 0x12)],
        _ => (fake.port_tells, fake.without_paper) = (how == "USB", out),
    })
}

/// Prints 20 lines on it. `no_paper`: it was without at the end of the last receipt.
fn print_on(fake: &SharedFake, how: &str, no_paper: bool) -> (Result<bool, String>, Vec<String>) {
    print(fake, 20, |press| {
        press.no_paper = no_paper;
        match how {
            "replies" => ask(press),
            _ => {
                trust(press);
                press.busy = (how == "BUSY").then(|| Box::new(fake.clone()) as Box<dyn Busy>);
            }
        }
    })
}

#[test]
fn a_life_waits_for_a_new_roll_which_is_shown_and_said_once_and_goes_on_with_it() {
    for (how, words) in OUT_OF_PAPER {
        for back in [60, 150] {
            let fake = without_paper(how, second(5)..second(back));
            let (ended, reports) = print_on(&fake, how, false);
            // What a printer that holds bytes back has not printed yet.
            fake.sleep(second(5));
            assert_eq!((ended, fake.printed_lines(), fake.overruns()), (Ok(true), 20, 0), "{how}");
            let waits = format!("{words}; put in a new roll: the life waits 180 s for it (waits: true)");
            assert_eq!(reports, [waits.as_str(), "there is paper again (waits: false)"], "{how}");
        }
    }
}

#[test]
fn a_printer_that_gets_no_new_roll_in_time_is_lost_and_not_waited_for_again_until_it_has_one() {
    for (how, words) in OUT_OF_PAPER {
        let fake = without_paper(how, second(5)..second(600));
        assert_eq!(print_on(&fake, how, false).0, Err(words.to_owned()), "{how}");
        assert!((183..196).contains(&fake.now().as_secs()), "{how}: {:?}", fake.now());
        let sent = || {
            let Fake { printed, buffer, .. } = &*fake.0.borrow();
            let bytes: Vec<u8> = printed.iter().chain(buffer).copied().collect();
            String::from_utf8_lossy(&bytes).replace("\x10\x04\x04", "")
        };
        for _ in 0..3 {
            let (before, start) = (sent(), fake.now());
            assert_eq!(print_on(&fake, how, true), (Err(words.to_owned()), vec![]), "{how}");
            assert!(fake.now() - start < second(6), "{how}: {:?}", fake.now() - start);
            assert_eq!(sent(), before, "{how}: it comes out on the new roll");
        }
        fake.sleep(second(700) - fake.now());
        let before = fake.printed_lines();
        assert_eq!(print_on(&fake, how, true), (Ok(true), vec![]), "{how}");
        fake.sleep(second(5));
        assert_eq!((fake.printed_lines() - before, fake.overruns()), (20, 0), "{how}");
    }
}

#[test]
fn after_a_life_without_paper_the_end_of_the_next_roll_is_waited_for_and_a_mute_printer_is_used() {
    for (how, _) in OUT_OF_PAPER {
        let fake = without_paper(how, second(9)..second(60));
        let (ended, reports) = print_on(&fake, how, true);
        assert_eq!((ended, reports.len()), (Ok(true), 2), "{how}");
    }
    let mute = SharedFake::default();
    assert_eq!(print_on(&mute, "replies", true), (Ok(true), vec![]));
    assert_eq!(mute.printed_lines(), 20);
}

#[test]
fn a_busy_wire_paces_the_printer_without_any_guess() {
    let fake = SharedFake::default();
    print_whole(&fake, 20, |press| {
        trust(press);
        press.busy = Some(Box::new(fake.clone()));
    });
    assert_eq!((fake.overruns(), fake.printed_lines()), (0, 20));
    assert!(fake.0.borrow().most > INPUT_BUFFER / 2, "the buffer is used");
}

#[test]
fn that_the_paper_is_near_its_end_is_told() {
    let fake = SharedFake::that(|fake| fake.replies = vec![(second(0), 0x1E)]);
    let mut told = PrinterStatus::default();
    print_whole(&fake, 20, |press| {
        ask(press);
        told = press.status.clone();
    });
    assert!(told.is_near_its_end());
}

#[test]
fn one_byte_of_noise_does_not_end_the_paper() {
    let fake = SharedFake::default();
    let mut press = press(&fake, LINE);
    ask(&mut press);
    for (at, chunk) in lines(20).iter().enumerate() {
        if at == 5 {
            fake.0.borrow_mut().answers.push_back(0x72);
        }
        press.put(chunk).expect("there is paper");
    }
    assert!(!press.status.is_out_of_paper() && fake.now() < LINE * 20 + second(5));
}

#[test]
fn a_wire_that_babbles_end_of_paper_is_not_believed() {
    print_whole(&SharedFake::that(|fake| fake.noise = true), 20, ask);
}

#[test]
fn a_printer_that_never_answers_is_asked_in_three_ways_and_then_no_more() {
    let fake = SharedFake::default();
    print_whole(&fake, 60, ask);
    for query in QUERIES {
        let fake = fake.0.borrow();
        let asked = fake.printed.windows(3).filter(|bytes| *bytes == query.bytes).count();
        assert!((UNANSWERED..12).contains(&asked), "{query:?}: {asked}");
    }
}

/// Breaks a receipt off while `ahead` lines are in the queue and `rest` more
/// follow them. Returns the time until the last byte was sent, and what is
/// printed.
fn broken_off(ahead: usize, rest: usize) -> (Duration, String) {
    let fake = SharedFake::default();
    let mut press = press(&fake, SLOWEST);
    for chunk in lines(10) {
        press.put(&chunk).expect("it is there");
    }
    let (queue, queued) = bounded(9);
    queue.send(Batch { lines: lines(ahead), is_last: false }).expect("room");
    let start = fake.now();
    let closing = vec![line("---", Style::default()), line("interrupted", Style::default()), feed(120)];
    let request = BreakOff {
        asked: Instant::now(),
        rest: (0..rest).map(|_| line("the rest", Style::default())).collect(),
        closing,
    };
    assert_eq!(press.break_off(VecDeque::new(), &queued, request), Ok(true));
    let taken = fake.now() - start;
    fake.sleep(second(20));
    assert_eq!(fake.overruns(), 0);
    (taken, fake.text())
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
