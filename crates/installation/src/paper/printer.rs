//! The printer as the generator sees it: a queue of lines, and behind it a thread
//! of its own that owns the port.
//!
//! ```text
//!  generator ── lines, at most LINES_AHEAD ──► printer thread ──► serial port
//!      ▲                                            │
//!      └── waits while the queue is full            └── no progress for 10 s,
//!                                                       or gone: lost, said
//!                                                       once; the queue closes
//! ```
//!
//! Whatever the printer does, the life goes on: the generator waits only for a
//! queue that is emptied or closed, and every wait of both threads has a time
//! limit.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::device;
use super::escpos::{self, Chunk, Leftover};
use super::inquiry::Inquiry;
use super::pace::Pace;
use super::port::SystemClock;
use super::press::{Batch, BreakOff, Press, STALL_PAUSE};
use super::receipt::{self, Line, Summary, Thought};
use super::settings::{PrinterSettings, Wire};
use super::template::Template;
use crate::life::ending::Ending;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Fill;
use crate::life::listener::{Listener, PrinterStatus};
use crate::state::entry::PaperEnd;
use crate::state::lives::Lives;
use crate::text::fault::one_line;
use crate::text::stderr::{say, warn};

/// Lines in the queue before the generator waits for the printer. One more is being sent
/// and one printed: stdout is a few lines ahead of the paper at most.
const LINES_AHEAD: usize = 3;

/// How long a life waits for room in the queue, and its end for the last line,
/// besides the time in which a new roll is waited for.
const FINISHING: Duration = Duration::from_secs(30);

/// How often the end of a life looks whether a signal has come while it waits for
/// paper.
const GLANCE: Duration = Duration::from_millis(200);

/// How long an interrupted life waits until its receipt is closed.
pub(super) const BREAKING_OFF: Duration = Duration::from_secs(3);

/// The lines that a receipt begins with, from the life's number.
type Head = Box<dyn FnOnce(Option<u64>) -> Vec<Line> + Send>;

/// A receipt that is being printed. If it is dropped before its end, it stays
/// cut off, and the next one begins with a gap.
#[derive(Debug)]
pub struct Printer {
    /// `None` once the printer thread takes no more lines.
    queue: Option<Sender<Batch>>,
    break_off: Sender<BreakOff>,
    /// Closes when the thread is done.
    done: Receiver<Infallible>,
    job: Arc<Job>,
    thought: Thought,
    /// Lines that were not queued because a signal came.
    rest: Vec<Chunk>,
    template: Template,
    waited: Duration,
    interrupt: Interrupt,
}

impl Printer {
    /// Begins the receipt of a life on a thread of its own: takes the life's number from
    /// `lives` and prints the header. A printer that is absent is lost to `status`.
    #[must_use]
    pub fn begin(
        settings: &PrinterSettings,
        template: &Template,
        lives: Option<Lives>,
        status: &PrinterStatus,
        interrupt: &Interrupt,
    ) -> Self {
        let own = template.clone();
        let head: Head = Box::new(move |life| own.header(life));
        Self::start(settings, template, lives, status, interrupt, true, head)
    }

    /// Prints `lines` as a slip of their own and waits until they are on paper, at most
    /// 30 s; after a signal, at most 3 s each to queue the end and to print it. Returns
    /// whether it is printed to its end.
    pub fn slip(
        settings: &PrinterSettings,
        lives: Option<Lives>,
        status: &PrinterStatus,
        interrupt: &Interrupt,
        mut lines: Vec<Line>,
    ) -> bool {
        lines.push(Line::Tear);
        let head: Head = Box::new(|_| lines);
        let mut slip = Self::start(settings, &Template::default(), lives, status, interrupt, false, head);
        slip.end(Vec::new(), interrupt);
        slip.is_whole()
    }

    /// Prints the receipt of an earlier life again: `head`, its words, and `foot`. Waits
    /// for the paper as a life does; a signal ends that.
    pub(super) fn again(
        settings: &PrinterSettings,
        lives: Option<Lives>,
        interrupt: &Interrupt,
        (head, words, foot): (Vec<Line>, &str, &[Line]),
    ) {
        let status = PrinterStatus::default();
        let head: Head = Box::new(|_| head);
        let mut again = Self::start(settings, &Template::default(), lives, &status, interrupt, false, head);
        for word in words.split_inclusive(char::is_whitespace) {
            again.say_more(word);
        }
        let mut lines = std::mem::take(&mut again.rest);
        again.thought.finish(&mut lines);
        lines.extend(receipt::typeset(foot, &settings.format));
        again.end(lines, interrupt);
    }

    /// Starts the thread. If this `is_life`, it is counted.
    fn start(
        settings: &PrinterSettings,
        template: &Template,
        lives: Option<Lives>,
        status: &PrinterStatus,
        interrupt: &Interrupt,
        is_life: bool,
        head: Head,
    ) -> Self {
        let (queue, queued) = bounded(LINES_AHEAD);
        let (break_off, broken_off) = bounded(1);
        let (doing, done) = bounded(0);
        let job = Arc::new(Job {
            settings: settings.clone(),
            lives,
            is_life,
            status: status.clone(),
            abandoned: Arc::default(),
            whole: AtomicBool::new(false),
            life: OnceLock::new(),
        });
        let work = job.clone();
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            work.print(head, &queued, &broken_off);
            drop(doing);
        });
        if let Err(error) = thread {
            job.lose(&error.to_string());
        }
        Self {
            queue: Some(queue),
            break_off,
            done,
            job,
            thought: Thought::new(&settings.format),
            rest: Vec::new(),
            template: template.clone(),
            waited: Duration::ZERO,
            interrupt: interrupt.clone(),
        }
    }

    /// Time that the generator waited for the printer.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Prints the death and waits until that is on paper, at most 30 s and as long as a
    /// new roll is waited for; a signal ends only the latter, because the life has been
    /// lived. Returns whether the receipt is printed to its end.
    pub fn finish(mut self, summary: &Summary) -> bool {
        let mut lines = std::mem::take(&mut self.rest);
        self.thought.finish(&mut lines);
        let life = self.job.life.get().copied();
        let foot = self.template.foot(summary, life, self.job.status.is_near_its_end());
        lines.extend(receipt::typeset(&foot, &self.job.settings.format));
        let (raise, never) = self.interrupt.another();
        self.end(lines, &never);
        drop(raise);
        self.is_whole()
    }

    fn end(&mut self, lines: Vec<Chunk>, interrupt: &Interrupt) {
        let start = Instant::now();
        if let Some(queue) = self.queue.take() {
            // The queue is emptied, or is closed when the printer is lost.
            // After a signal there is less time.
            if let Err(message) =
                interrupt.or_send_within(&queue, Batch { lines, is_last: true }, self.limit())
            {
                let _ = queue.send_timeout(message, BREAKING_OFF);
            }
        }
        while self.done.try_recv() == Err(TryRecvError::Empty) && start.elapsed() < self.limit() {
            interrupt.or_next_within(&self.done, GLANCE);
            if interrupt.is_raised() {
                let _ = self.done.recv_timeout(BREAKING_OFF);
                break;
            }
            if self.interrupt.is_raised() && self.job.status.is_out_of_paper() {
                break;
            }
        }
        if self.done.try_recv() == Err(TryRecvError::Empty) {
            warn("the paper is not ready yet and is not waited for any longer");
        }
        self.leave();
    }

    /// Ends the receipt of a life that did not reach the death, within 3 s: as much of
    /// the text as the time allows, a rule, and why it ended. Returns whether that is
    /// printed to its end.
    pub fn break_off(mut self, ending: &Ending) -> bool {
        let mut rest = std::mem::take(&mut self.rest);
        self.thought.finish(&mut rest);
        let closing = receipt::typeset(&self.template.cut_short(ending), &self.job.settings.format);
        let _ = self.break_off.try_send(BreakOff { asked: Instant::now(), rest, closing });
        let _ = self.done.recv_timeout(BREAKING_OFF);
        self.leave();
        self.is_whole()
    }

    /// Takes more of the text; waits while the printer is more than a few lines behind. The
    /// last, unfinished line is printed at the end.
    fn say_more(&mut self, text: &str) {
        let Some(queue) = &self.queue else { return };
        let mut lines = Vec::new();
        self.thought.text(text, &mut lines);
        if lines.is_empty() || !self.rest.is_empty() {
            self.rest.extend(lines);
            return;
        }
        let start = Instant::now();
        match self.interrupt.or_send_within(queue, Batch { lines, is_last: false }, self.limit()) {
            Ok(()) => {}
            Err(Batch { lines, .. }) if self.interrupt.is_raised() => self.rest = lines,
            Err(_) => {
                // Its thread has said why; or it hangs.
                if !self.job.status.is_lost() {
                    self.job.status.set_lost();
                    warn("the printer's thread hangs; the life goes on without it");
                }
                self.queue = None;
            }
        }
        self.waited += start.elapsed();
    }

    /// How long the main thread waits for one step of the printer.
    fn limit(&self) -> Duration {
        FINISHING + self.job.settings.paper_wait
    }

    fn is_whole(&self) -> bool {
        self.job.whole.load(Ordering::Relaxed)
    }

    /// Ignores what the thread may still report, and gives it time to release a
    /// port that flow control holds.
    fn leave(&self) {
        self.job.abandoned.store(true, Ordering::Relaxed);
        let _ = self.done.recv_timeout(4 * STALL_PAUSE);
    }
}

impl Listener for Printer {
    /// Never fails, since a lost printer does not end the life.
    fn token(&mut self, text: &str, _: Fill) -> Result<(), Ending> {
        self.say_more(text);
        Ok(())
    }
}

/// What the printer thread works with, and the main thread looks at.
#[derive(Debug)]
struct Job {
    settings: PrinterSettings,
    lives: Option<Lives>,
    /// Whether it is the receipt of a life, which is counted.
    is_life: bool,
    status: PrinterStatus,
    /// Set when the main thread no longer waits for the thread, which prints no more
    /// warnings then.
    abandoned: Arc<AtomicBool>,
    /// Set by the thread once the receipt is printed to its end.
    whole: AtomicBool,
    /// The life's number, once the thread has counted it.
    life: OnceLock<u64>,
}

impl Job {
    /// Prints one receipt.
    fn print(&self, head: Head, queued: &Receiver<Batch>, broken_off: &Receiver<BreakOff>) {
        let PrinterSettings { device, baud, line, replies, busy, paper_wait, .. } = &self.settings;
        // Without an RX line, noise could be read as XOFF and hold the port for
        // ever. With a BUSY wire neither is needed.
        let flow = *replies || line.is_zero() && busy.is_none();
        let port = device::open(device, *baud, flow);
        let (header, no_paper) = self.header(head);
        let printed = port.map_err(|error| error.to_string()).and_then(|port| {
            let busy = busy.as_ref().map(Wire::take).transpose().map_err(|error| one_line(&error))?;
            // The BUSY wire paces the printer better than any guess.
            let line = if busy.is_some() { Duration::ZERO } else { *line };
            let name = device.clone();
            let mut press = Press {
                port,
                clock: SystemClock(Instant::now()),
                pace: Pace::new(*baud, line),
                inquiry: replies.then(Inquiry::default),
                busy,
                paper_wait: *paper_wait,
                no_paper,
                status: self.status.clone(),
                report: Box::new(move |words| warn(format_args!("printer {name:?}: {words}"))),
                listens: flow,
                abandoned: self.abandoned.clone(),
            };
            press.print(header, queued, broken_off)
        });
        match printed {
            Ok(true) => self.is_whole(),
            Ok(false) => {}
            Err(why) => self.lose(&why),
        }
    }

    /// The bytes before the text. Counts the life in the history, which has from then on
    /// an open receipt. A printer that is absent may be switched on before the next life:
    /// that one then clears what it holds. Returns also whether the last receipt has ended for
    /// lack of paper.
    fn header(&self, head: Head) -> (Vec<Chunk>, bool) {
        let before = self.lives.as_ref().and_then(|lives| {
            let begun = if self.is_life { lives.begin() } else { lives.note_slip(None) };
            begun.map_err(|error| self.say(&format!("warning: {}\n", one_line(&error)))).ok()
        });
        // If it is not known whether the last receipt was cut off, a gap is
        // fed: 2 cm of paper at most.
        let cut_off = before.as_ref().is_none_or(|before| before.receipt_open);
        let no_paper = before.as_ref().is_some_and(|before| before.no_paper);
        // With the board the printer was switched on too.
        let garbage = before.is_none_or(|before| before.starts == 0);
        let life = self.lives.as_ref().and_then(Lives::number);
        if let Some(life) = life {
            let _ = self.life.set(life);
        }
        let leftover = Leftover { cut_off, garbage };
        let mut chunks = escpos::start(&self.settings.format, leftover);
        chunks.extend(receipt::typeset(&head(life), &self.settings.format));
        (chunks, no_paper)
    }

    /// Notes that the receipt is printed to its end. That of a life is written with
    /// all else at the life's end, to spare the SD card a write.
    fn is_whole(&self) {
        self.whole.store(true, Ordering::Relaxed);
        if self.is_life {
            return;
        }
        if let Some(Err(error)) = self.lives.as_ref().map(|lives| lives.note_slip(Some(PaperEnd::Whole))) {
            self.say(&format!("warning: {}\n", one_line(&error)));
        }
    }

    fn lose(&self, why: &str) {
        self.status.set_lost();
        let device = &self.settings.device;
        self.say(&format!("printer {device:?} lost: {why}; the life goes on without it\n"));
    }

    fn say(&self, words: &str) {
        if !self.abandoned.load(Ordering::Relaxed) {
            say(words);
        }
    }
}
