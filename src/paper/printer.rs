//! The printer thread: it owns the port, sends a line when the paper is ready
//! for it, and knows when the printer is lost.
//!
//! ```text
//!  generator ── lines, at most LINES_AHEAD ──► printer thread ──► serial port
//!      ▲                                            │
//!      └── waits while the queue is full            └── no progress for 10 s,
//!                                                       or gone: lost, said
//!                                                       once; the queue closes
//! ```
//!
//! Whatever the printer does, a life goes on: the generator waits for a queue
//! that moves or closes, and every wait of this thread has an end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select};

use crate::board::clock;
use crate::life::interrupt::Interrupt;
use crate::paper::escpos::{self, Chunk, Heat, Query};
use crate::paper::pace::Pace;
use crate::paper::receipt::{self, Line, Summary, Thought};
use crate::paper::serial::{self, Serial};
use crate::state::lives::StateDir;
use crate::text::stderr::say;

/// Lines that wait for the printer before the generator waits for it. One
/// more is on its way and one on the paper: the thought is at most a hand's
/// breadth ahead.
const LINES_AHEAD: usize = 3;

/// A printer that takes nothing for this long is lost.
const NO_PROGRESS: Duration = Duration::from_secs(10);

/// How long the end of a life waits for its last line.
const FINISHING: Duration = Duration::from_secs(30);

/// How long an interrupted life waits for its receipt, and when the last
/// bytes of that must have left: the rest is for the paper.
const BREAKING_OFF: Duration = Duration::from_secs(3);
const LAST_BYTES: Duration = Duration::from_millis(2800);

/// Pause between looks at a port that takes nothing. A port does so seldom:
/// mostly the thread sleeps until the paper is ready.
const STALL_PAUSE: Duration = Duration::from_millis(50);

/// Pause between questions to a printer that is out of paper.
const PAPER_PAUSE: Duration = Duration::from_secs(1);

/// Questions and time that may go by without a reply before another kind of
/// question is tried: a reply comes in its turn, up to two lines later.
const UNANSWERED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// Time for a second reply that the paper has ended: one may be noise.
const CONFIRMATION: Duration = Duration::from_secs(3);

/// Reads of what came in between two lines, of 256 bytes each: a device that
/// babbles is not listened to for ever.
const MAX_READS: usize = 16;

/// The options of the printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The serial device.
    pub device: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// Characters in a line.
    pub columns: usize,
    /// Time the paper needs for a line of text; zero trusts the port's own
    /// flow control.
    pub line: Duration,
    /// Sent only if given.
    pub heat: Option<Heat>,
    /// Whether the printer's replies are wired.
    pub replies: bool,
}

impl Settings {
    /// Looks at the device before anything else is done; one that is absent
    /// is warned about.
    ///
    /// # Errors
    ///
    /// As [`serial::check`].
    pub fn check(&self) -> Result<()> {
        if !serial::check(&self.device)? {
            say(&format!(
                "warning: there is no printer {:?} now; each life looks for it anew\n",
                self.device
            ));
        }
        Ok(())
    }
}

/// A serial port, as the printer thread needs it. Nothing in it waits.
pub trait Port {
    /// Takes as many of `bytes` as there is room for, none included.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Bytes taken that have not left yet.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn unsent(&mut self) -> io::Result<usize>;

    /// Gives out what has come in, 0 bytes where nothing has.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Forgets the bytes that have not left yet.
    fn discard(&mut self);
}

/// Time, as the printer thread needs it.
pub trait Clock {
    /// Time since any one moment.
    fn now(&self) -> Duration;

    /// Lets `time` go by.
    fn sleep(&self, time: Duration);
}

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Whether the printer was lost in this life. Every clone sees the same: one
/// is for the light.
#[derive(Debug, Clone, Default)]
pub struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Whether it is.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says that it is; there is no way back within a life.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is sent to the printer thread.
#[derive(Debug)]
enum Order {
    /// Lines to print.
    Lines(Vec<Chunk>),
    /// The last lines.
    End(Vec<Chunk>),
}

/// The order to come to an end soon.
#[derive(Debug)]
struct BreakOff {
    /// When it was given: the thread may be in the middle of a line then.
    asked: Instant,
    /// Lines behind those in the queue; printed as far as there is time.
    rest: Vec<Chunk>,
    /// Printed in any case.
    closing: Vec<Chunk>,
}

/// How a receipt begins.
enum Heading {
    /// With the header of a life, which is counted.
    Life,
    /// With these lines.
    Slip(Vec<Line>),
}

/// A receipt that is being printed. Dropped without an end it stays cut off,
/// and the next one begins with a gap.
#[derive(Debug)]
pub struct Printer {
    /// `None` once nobody takes lines any more.
    orders: Option<Sender<Order>>,
    break_off: Sender<BreakOff>,
    /// Closes when the thread is done.
    done: Receiver<Infallible>,
    /// Tells the thread that nobody waits for its words any more.
    abandoned: Arc<AtomicBool>,
    thought: Thought,
    /// Lines that a signal kept from the queue.
    rest: Vec<Chunk>,
    columns: usize,
    waited: Duration,
    interrupt: Interrupt,
}

impl Printer {
    /// Begins the receipt of a life on a thread of its own: takes the life's
    /// number from `state` and prints the header. A printer that is not there
    /// is lost, and `lost` says so.
    #[must_use]
    pub fn begin(settings: &Settings, state: Option<StateDir>, lost: &Lost, interrupt: &Interrupt) -> Self {
        Self::start(settings, state, lost, interrupt, Heading::Life)
    }

    /// Prints `lines` as a slip of their own and waits until they are on
    /// paper, at most 30 s.
    pub fn slip(
        settings: &Settings,
        state: Option<StateDir>,
        lost: &Lost,
        interrupt: &Interrupt,
        mut lines: Vec<Line>,
    ) {
        lines.push(Line::Tear);
        let mut slip = Self::start(settings, state, lost, interrupt, Heading::Slip(lines));
        slip.end(Vec::new());
    }

    fn start(
        settings: &Settings,
        state: Option<StateDir>,
        lost: &Lost,
        interrupt: &Interrupt,
        heading: Heading,
    ) -> Self {
        let (orders, ordered) = bounded(LINES_AHEAD);
        let (break_off, broken_off) = bounded(1);
        let (doing, done) = bounded(0);
        let abandoned = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            settings: settings.clone(),
            state,
            heading,
            ordered,
            broken_off,
            lost: lost.clone(),
            abandoned: abandoned.clone(),
        };
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            desk.work();
            drop(doing);
        });
        if let Err(error) = thread {
            lost.set();
            say(&format!("printer {:?} lost: {error}; the life goes on without it\n", settings.device));
        }
        Self {
            orders: Some(orders),
            break_off,
            done,
            abandoned,
            thought: Thought::new(settings.columns),
            rest: Vec::new(),
            columns: settings.columns,
            waited: Duration::ZERO,
            interrupt: interrupt.clone(),
        }
    }

    /// Takes more of the thought; waits while the paper is more than a few
    /// lines behind.
    pub fn text(&mut self, text: &str) {
        let Some(orders) = &self.orders else { return };
        let mut lines = Vec::new();
        self.thought.text(text, &mut lines);
        if lines.is_empty() || !self.rest.is_empty() {
            self.rest.extend(lines);
            return;
        }
        let order = match orders.try_send(Order::Lines(lines)) {
            Ok(()) => return,
            Err(TrySendError::Disconnected(_)) => {
                self.orders = None;
                return;
            }
            Err(TrySendError::Full(order)) => order,
        };
        let start = Instant::now();
        let sent = self.interrupt.or_send(orders, order);
        self.waited += start.elapsed();
        match sent {
            Err(Order::Lines(lines)) if self.interrupt.is_raised() => self.rest = lines,
            Err(_) => self.orders = None,
            Ok(()) => {}
        }
    }

    /// Time that the thought waited for the paper.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Prints the death and waits until it is on paper and fed, at most 30 s;
    /// a signal leaves it 3 s.
    pub fn finish(mut self, summary: &Summary) {
        let mut lines = std::mem::take(&mut self.rest);
        self.thought.finish(&mut lines);
        lines.extend(receipt::typeset(&receipt::death(summary), self.columns));
        self.end(lines);
    }

    fn end(&mut self, lines: Vec<Chunk>) {
        let start = Instant::now();
        if let Some(orders) = self.orders.take() {
            // The queue moves, or closes when the printer is lost. A signal
            // leaves it less time.
            if let Err(order) = self.interrupt.or_send(&orders, Order::End(lines)) {
                let _ = orders.send_timeout(order, BREAKING_OFF);
            }
        }
        self.interrupt.or_next_within(&self.done, FINISHING.saturating_sub(start.elapsed()));
        if self.interrupt.is_raised() {
            let _ = self.done.recv_timeout(BREAKING_OFF);
        }
        if self.done.try_recv() == Err(TryRecvError::Empty) {
            say("warning: the paper is not ready yet and is not waited for any longer\n");
        }
        self.leave();
    }

    /// Ends the receipt of a life that was broken off: as much of the thought
    /// as the time allows, a rule, and `why`; within 3 s.
    pub fn break_off(mut self, why: &str) {
        let mut rest = std::mem::take(&mut self.rest);
        self.thought.finish(&mut rest);
        let closing = receipt::typeset(&receipt::broken_off(why), self.columns);
        let _ = self.break_off.try_send(BreakOff { asked: Instant::now(), rest, closing });
        let _ = self.done.recv_timeout(BREAKING_OFF);
        self.leave();
    }

    /// Nothing that the thread may still find out is of interest; but it lets
    /// go of a port that is held.
    fn leave(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        let _ = self.done.recv_timeout(4 * STALL_PAUSE);
    }
}

/// What the printer thread works with.
struct Desk {
    settings: Settings,
    state: Option<StateDir>,
    heading: Heading,
    ordered: Receiver<Order>,
    broken_off: Receiver<BreakOff>,
    lost: Lost,
    abandoned: Arc<AtomicBool>,
}

impl Desk {
    /// Prints one receipt.
    fn work(self) {
        let Settings { device, baud, line, replies, .. } = &self.settings;
        // Noise on an open wire could hold the port for ever.
        let flow = *replies || line.is_zero();
        let port = Serial::open(device, *baud, flow);
        let header = self.header(port.is_ok());
        let printed = port.map_err(|error| error.to_string()).and_then(|port| {
            let clock = SystemClock(Instant::now());
            let inquiry = replies.then(Inquiry::default);
            let abandoned = self.abandoned.clone();
            let pace = Pace::new(*baud, *line);
            let mut press = Press { port, clock, pace, inquiry, listens: flow, abandoned };
            press.print(header, &self.ordered, &self.broken_off)
        });
        match printed {
            Ok(Printed::Whole) => self.is_whole(),
            Ok(Printed::CutOff) => {}
            Err(why) => {
                self.lost.set();
                self.say(&format!("printer {device:?} lost: {why}; the life goes on without it\n"));
            }
        }
    }

    /// The first bytes. Keeps in the state directory that a receipt is open,
    /// if there is a printer for it.
    fn header(&self, there: bool) -> Vec<Chunk> {
        let is_life = matches!(self.heading, Heading::Life);
        // What is not known may be cut off: a gap too many costs 2 cm.
        let mut cut_off = true;
        let record = self.state.as_ref().and_then(|state| {
            let updated = state.update(|record| {
                cut_off = record.receipt_open;
                record.receipt_open |= there;
                record.lives += u64::from(is_life);
            });
            updated.map_err(|error| self.say(&format!("warning: {error:#}\n"))).ok()
        });
        let life = record.map(|record| record.lives);
        let lines = match &self.heading {
            Heading::Life => &receipt::header(life, clock::now()),
            Heading::Slip(lines) => lines,
        };
        let mut chunks = escpos::start(self.settings.heat, cut_off, receipt::GAP_ROWS);
        chunks.extend(receipt::typeset(lines, self.settings.columns));
        chunks
    }

    fn is_whole(&self) {
        let updated = self.state.as_ref().map(|state| state.update(|record| record.receipt_open = false));
        if let Some(Err(error)) = updated {
            self.say(&format!("warning: {error:#}\n"));
        }
    }

    fn say(&self, words: &str) {
        if !self.abandoned.load(Ordering::Relaxed) {
            say(words);
        }
    }
}

/// How a receipt that was not lost came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Printed {
    /// It has its end and can be torn off.
    Whole,
    /// Whoever printed it went away.
    CutOff,
}

/// The printer's side of the queue: lines to a port, no faster than the paper.
struct Press<P, C> {
    port: P,
    clock: C,
    pace: Pace,
    inquiry: Option<Inquiry>,
    /// Whether what comes in is read, asked for or not: with flow control a
    /// full input buffer would make the kernel send XOFF to the printer.
    listens: bool,
    /// Set when nobody waits for what is printed any more.
    abandoned: Arc<AtomicBool>,
}

impl<P: Port, C: Clock> Press<P, C> {
    /// Prints `header` and what is ordered, until the end is. An error says
    /// why the printer is lost; nothing stale comes out when it comes back.
    fn print(
        &mut self,
        header: Vec<Chunk>,
        ordered: &Receiver<Order>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<Printed, String> {
        self.print_all(header, ordered, broken_off).inspect_err(|_| self.port.discard())
    }

    fn print_all(
        &mut self,
        header: Vec<Chunk>,
        ordered: &Receiver<Order>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<Printed, String> {
        let mut waiting = VecDeque::from(header);
        let mut ended = false;
        loop {
            if let Ok(order) = broken_off.try_recv() {
                return self.break_off(waiting, ordered, order);
            }
            if let Some(chunk) = waiting.pop_front() {
                self.put(&chunk)?;
                continue;
            }
            if ended {
                self.settle()?;
                return Ok(Printed::Whole);
            }
            select! {
                recv(ordered) -> order => match order {
                    Ok(Order::Lines(lines)) => waiting.extend(lines),
                    Ok(Order::End(lines)) => {
                        waiting.extend(lines);
                        ended = true;
                    }
                    Err(_) => return Ok(Printed::CutOff),
                },
                recv(broken_off) -> order => match order {
                    Ok(order) => return self.break_off(waiting, ordered, order),
                    Err(_) => return Ok(Printed::CutOff),
                },
            }
        }
    }

    /// Comes to an end soon: of the lines that wait, those that leave time for
    /// the closing ones.
    fn break_off(
        &mut self,
        mut waiting: VecDeque<Chunk>,
        ordered: &Receiver<Order>,
        order: BreakOff,
    ) -> Result<Printed, String> {
        let deadline = self.clock.now() + LAST_BYTES.saturating_sub(order.asked.elapsed());
        for order in ordered.try_iter() {
            let (Order::Lines(lines) | Order::End(lines)) = order;
            waiting.extend(lines);
        }
        waiting.extend(order.rest);
        for chunk in waiting {
            let with_closing = std::iter::once(&chunk).chain(&order.closing);
            if self.pace.all_sent(with_closing, self.clock.now()) > deadline {
                break;
            }
            self.put(&chunk)?;
        }
        for chunk in &order.closing {
            self.put(chunk)?;
        }
        self.drain()?;
        Ok(Printed::Whole)
    }

    /// Sends `chunk` once nothing is overrun by it.
    fn put(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.listen()?;
        while self.inquiry.as_ref().is_some_and(Inquiry::paper_has_ended) {
            self.wait_for_new_paper()?;
        }
        match &mut self.inquiry {
            // A question goes before each line that is printed.
            Some(inquiry) if chunk.printed > 0 => {
                let question = inquiry.ask(self.clock.now());
                let mut asking = chunk.clone();
                asking.bytes.splice(..0, question.into_iter().flatten());
                self.send(&asking)
            }
            _ => self.send(chunk),
        }
    }

    fn send(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.sleep_until(self.pace.ready(chunk.bytes.len(), self.clock.now()));
        self.drain()?;
        let mut bytes = chunk.bytes.as_slice();
        let mut progress = self.clock.now();
        while !bytes.is_empty() {
            let written = self.port.write(bytes).map_err(gone)?;
            bytes = &bytes[written..];
            if written > 0 {
                progress = self.clock.now();
            } else {
                self.stall(progress)?;
            }
        }
        self.pace.sent(chunk, self.clock.now());
        Ok(())
    }

    /// Waits until every byte has left, or the port is held for too long.
    fn drain(&mut self) -> Result<(), String> {
        let mut progress = self.clock.now();
        let mut unsent = self.port.unsent().map_err(gone)?;
        while unsent > 0 {
            self.stall(progress)?;
            let left = self.port.unsent().map_err(gone)?;
            if left < unsent {
                progress = self.clock.now();
            }
            unsent = left;
            self.pace.held(self.clock.now());
        }
        Ok(())
    }

    /// Pauses, unless the last progress was too long ago. A port that is held
    /// when nobody waits any more is given up, and its bytes with it: closing
    /// it would wait for them.
    fn stall(&self, progress: Duration) -> Result<(), String> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err("nobody waits for it any more".to_owned());
        }
        if self.clock.now() - progress >= NO_PROGRESS {
            return Err(format!("it has taken nothing for {} s", NO_PROGRESS.as_secs()));
        }
        self.clock.sleep(STALL_PAUSE);
        Ok(())
    }

    /// Waits until all is on paper.
    fn settle(&mut self) -> Result<(), String> {
        self.sleep_until(self.pace.wire_free());
        self.drain()?;
        self.sleep_until(self.pace.paper_free());
        Ok(())
    }

    fn sleep_until(&self, time: Duration) {
        let left = time.saturating_sub(self.clock.now());
        if !left.is_zero() {
            self.clock.sleep(left);
        }
    }

    /// Takes in what the printer says.
    fn listen(&mut self) -> Result<(), String> {
        if !self.listens {
            return Ok(());
        }
        let mut buffer = [0; 256];
        let (mut count, mut last) = (0, 0);
        for _ in 0..MAX_READS {
            let length = self.port.read(&mut buffer).map_err(gone)?;
            let Some(&end) = buffer[..length].last() else { break };
            count += length;
            last = end;
        }
        if let Some(inquiry) = &mut self.inquiry {
            inquiry.hear(count, last);
        }
        Ok(())
    }

    /// Waits for paper, or for a sign that there never was too little.
    fn wait_for_new_paper(&mut self) -> Result<(), String> {
        let start = self.clock.now();
        while let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| inquiry.paper_has_ended()) {
            let waited = self.clock.now() - start;
            if waited >= NO_PROGRESS {
                return Err("it is out of paper".to_owned());
            }
            if waited >= CONFIRMATION && inquiry.ends < 2 {
                // One byte that nothing confirmed was noise.
                inquiry.ends = 0;
                break;
            }
            let question = inquiry.ask(self.clock.now()).into_iter().flatten().collect();
            self.send(&Chunk { bytes: question, ..Chunk::default() })?;
            self.clock.sleep(PAPER_PAUSE);
            self.listen()?;
        }
        Ok(())
    }
}

fn gone(error: io::Error) -> String {
    format!("{error}; check its cable and its supply")
}

/// The questions for paper and what came of them. A printer that never
/// answers is printed on all the same.
#[derive(Debug, Default)]
struct Inquiry {
    /// Index of the question in use; beyond the last, none is asked.
    query: usize,
    /// Questions since the last reply, and when the first of them was asked.
    asked: usize,
    since: Duration,
    /// Whether the question in use was ever answered.
    answered: bool,
    /// Replies in a row that the paper has ended.
    ends: u32,
}

impl Inquiry {
    /// The next question: the first kind that is answered stays in use.
    fn ask(&mut self, now: Duration) -> Option<[u8; 3]> {
        if !self.answered && self.asked >= UNANSWERED && now - self.since >= PATIENCE {
            self.query += 1;
            self.asked = 0;
        }
        if self.asked == 0 {
            self.since = now;
        }
        self.asked += 1;
        Query::ALL.get(self.query).map(|query| query.bytes())
    }

    /// Takes in `count` bytes that came since the last time, of which `last`
    /// is the last.
    fn hear(&mut self, count: usize, last: u8) {
        // More than was asked for is no reply but noise.
        if count == 0 || count > self.asked {
            return;
        }
        let Some(has_paper) = Query::ALL.get(self.query).and_then(|query| query.has_paper(last)) else {
            return;
        };
        self.answered = true;
        self.asked = 0;
        self.ends = if has_paper { 0 } else { self.ends + 1 };
    }

    fn paper_has_ended(&self) -> bool {
        self.ends > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::escpos::{Style, feed, line};
    use crate::paper::pace::{INPUT_BUFFER, LINE_MILLIS};
    use std::cell::RefCell;
    use std::rc::Rc;

    const BAUD: u32 = 9600;
    const LINE: Duration = Duration::from_micros(728_400);
    const FOREVER: Duration = Duration::MAX;

    /// A printer and its wire in virtual time: bytes leave at the baud rate,
    /// wait in a buffer while the paper moves, and are lost where it is full.
    #[derive(Debug)]
    struct Fake {
        now: Duration,
        /// In the kernel, not on the wire.
        unsent: VecDeque<u8>,
        wire_free: Duration,
        /// Arrived, not taken in.
        buffer: VecDeque<u8>,
        paper_free: Duration,
        printed: Vec<u8>,
        overruns: usize,
        /// Times of XOFF and of XON.
        held: (Duration, Duration),
        gone_at: Duration,
        /// Replies to `DLE EOT 4` from each time on.
        replies: Vec<(Duration, u8)>,
        answers: VecDeque<u8>,
        noise: bool,
    }

    impl Fake {
        /// From event to event: a byte arrives, or the paper stands still.
        fn advance(&mut self, to: Duration) {
            let byte_time = Duration::from_nanos(10_000_000_000 / u64::from(BAUD));
            while self.now < to {
                let held = self.now >= self.held.0 && self.now < self.held.1;
                let arrives = match self.unsent.is_empty() || held {
                    true => FOREVER,
                    false => self.wire_free.max(self.now) + byte_time,
                };
                let stands = if self.paper_free > self.now { self.paper_free } else { FOREVER };
                self.now = to.min(arrives).min(stands);
                self.take_in();
                if self.now == arrives {
                    self.wire_free = arrives;
                    self.overruns += usize::from(self.buffer.len() >= INPUT_BUFFER);
                    self.buffer.extend(self.unsent.pop_front());
                    self.take_in();
                }
            }
        }

        fn take_in(&mut self) {
            while self.paper_free <= self.now {
                let Some(byte) = self.buffer.pop_front() else { return };
                self.printed.push(byte);
                if self.printed.ends_with(&Query::RealTime.bytes()) {
                    let reply = self.replies.iter().rfind(|(from, _)| *from <= self.now);
                    self.answers.extend(reply.map(|(_, reply)| *reply));
                }
                if byte == b'\n' {
                    self.paper_free = self.now + LINE;
                }
            }
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
        })))
    }

    fn press(fake: &Shared, line: Duration, replies: bool) -> Press<Shared, Shared> {
        Press {
            port: fake.clone(),
            clock: fake.clone(),
            pace: Pace::new(BAUD, line),
            inquiry: replies.then(Inquiry::default),
            listens: replies,
            abandoned: Arc::default(),
        }
    }

    fn lines(count: usize) -> Vec<Chunk> {
        (0..count).map(|at| line(&format!("{at:032}"), Style::default())).collect()
    }

    /// Prints `count` full lines.
    fn print(fake: &Shared, line: Duration, replies: bool, count: usize) -> Result<Printed, String> {
        let (orders, ordered) = bounded(1);
        let (_break_off, broken_off) = bounded(1);
        orders.send(Order::End(lines(count))).expect("room");
        press(fake, line, replies).print(escpos::start(None, true, 120), &ordered, &broken_off)
    }

    fn printed_lines(fake: &Shared) -> usize {
        let text = String::from_utf8_lossy(&fake.0.borrow().printed).into_owned();
        text.lines().filter(|line| line.contains("00000")).count()
    }

    #[test]
    fn a_held_port_is_let_go_when_nobody_waits_any_more() {
        let fake = fake();
        let press = press(&fake, Duration::from_millis(LINE_MILLIS), false);
        press.stall(Duration::ZERO).expect("somebody waits");
        press.abandoned.store(true, Ordering::Relaxed);
        press.stall(Duration::ZERO).expect_err("nobody waits");
    }

    #[test]
    fn a_printer_without_flow_control_is_never_overrun() {
        for replies in [false, true] {
            let fake = fake();
            assert_eq!(print(&fake, LINE, replies, 300), Ok(Printed::Whole));
            assert_eq!((fake.0.borrow().overruns, printed_lines(&fake)), (0, 300));
            // The paper hardly ever waits for the wire.
            let time = fake.0.borrow().now;
            assert!(time < (LINE + Duration::from_millis(10)) * 302, "{time:?}");
        }
    }

    #[test]
    fn the_fake_printer_notices_a_pace_that_is_too_fast() {
        let fake = fake();
        assert_eq!(print(&fake, LINE / 2, false, 300), Ok(Printed::Whole));
        assert!(fake.0.borrow().overruns > 0);
    }

    #[test]
    fn a_printer_that_is_held_for_a_while_is_waited_for() {
        let fake = fake();
        fake.0.borrow_mut().held = (Duration::from_secs(5), Duration::from_secs(14));
        assert_eq!(print(&fake, LINE, false, 20), Ok(Printed::Whole));
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
    fn new_paper_within_10_s_goes_on_and_none_is_lost() {
        let paper = |back: u64| {
            let fake = fake();
            let (out, back) = (Duration::from_secs(5), Duration::from_secs(back));
            fake.0.borrow_mut().replies = vec![(Duration::ZERO, 0x12), (out, 0x72), (back, 0x12)];
            (print(&fake, LINE, true, 20), fake)
        };
        let (printed, fake) = paper(12);
        assert_eq!((printed, printed_lines(&fake)), (Ok(Printed::Whole), 20));
        let (printed, fake) = paper(60);
        assert_eq!(printed, Err("it is out of paper".to_owned()));
        let time = fake.0.borrow().now;
        assert!(time > Duration::from_secs(15) && time < Duration::from_secs(20), "{time:?}");
    }

    #[test]
    fn one_byte_of_noise_does_not_end_the_paper() {
        let fake = fake();
        fake.0.borrow_mut().answers.push_back(0x72);
        assert_eq!(print(&fake, LINE, true, 20), Ok(Printed::Whole));
        assert_eq!(printed_lines(&fake), 20);
    }

    #[test]
    fn a_wire_that_babbles_end_of_paper_is_not_believed() {
        let fake = fake();
        fake.0.borrow_mut().noise = true;
        assert_eq!(print(&fake, LINE, true, 20), Ok(Printed::Whole));
    }

    #[test]
    fn a_printer_that_never_answers_is_asked_in_three_ways_and_then_no_more() {
        let fake = fake();
        assert_eq!(print(&fake, LINE, true, 60), Ok(Printed::Whole));
        let printed = fake.0.borrow().printed.clone();
        for query in Query::ALL {
            let asked = printed.windows(3).filter(|bytes| *bytes == query.bytes()).count();
            assert!((UNANSWERED..12).contains(&asked), "{query:?}: {asked}");
        }
    }

    /// Breaks a receipt off after `time` of a life that is `ahead` lines ahead
    /// of its paper; returns when the last byte had left, and what is printed.
    fn broken_off(ahead: usize, rest: usize) -> (Duration, String) {
        let fake = fake();
        let mut press = press(&fake, Duration::from_millis(LINE_MILLIS), false);
        for chunk in lines(10) {
            press.put(&chunk).expect("it is there");
        }
        let (orders, ordered) = bounded(9);
        orders.send(Order::Lines(lines(ahead))).expect("room");
        let start = fake.0.borrow().now;
        let closing = vec![line("---", Style::default()), line("interrupted", Style::default()), feed(120)];
        let order = BreakOff {
            asked: Instant::now(),
            rest: (0..rest).map(|_| line("the rest", Style::default())).collect(),
            closing,
        };
        assert_eq!(press.break_off(VecDeque::new(), &ordered, order), Ok(Printed::Whole));
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
}
