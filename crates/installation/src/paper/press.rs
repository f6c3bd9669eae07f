//! The printer thread's work: writes lines to the port, no faster than the
//! printer prints them, and decides when the printer is lost.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::escpos::{Chunk, QUERIES};
use super::inquiry::Inquiry;
use super::pace::Pace;
use super::port::{Busy, Clock, Port};
use crate::life::listener::PrinterStatus;

/// A printer that accepts no byte for this long is lost.
const NO_PROGRESS: Duration = Duration::from_secs(10);

/// An interrupted receipt has 3 s. Its last bytes must be sent within this
/// time; the rest is left for printing them.
const LAST_BYTES: Duration = Duration::from_millis(2800);

/// Pause before a port that accepts nothing is tried again. That is rare:
/// mostly the thread sleeps until the printer is ready.
pub(super) const STALL_PAUSE: Duration = Duration::from_millis(50);

/// Pause between questions to a printer that is out of paper.
const PAPER_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a BUSY wire is read again, at first; it grows to [`STALL_PAUSE`].
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Bytes that are sent before the BUSY wire is read again. Those that are still
/// in the port when the printer becomes busy must fit into what it keeps free:
/// the UART holds 16.
const BUSY_BYTES: usize = 8;

/// A printer that is busy for this long has no paper: no line takes as long.
const BUSY_WITHOUT_PAPER: Duration = Duration::from_secs(5);

/// Time for a second reply that reports the end of the paper: a single byte may
/// be line noise.
const CONFIRMATION: Duration = Duration::from_secs(3);

const NO_PAPER: &str = "it is out of paper";
const BUSY: &str = "it stays busy, as without paper or with a wrong BUSY wire";

/// At most so many reads of 256 bytes between two lines, so that a device that
/// never stops sending cannot keep the thread busy.
const MAX_READS: usize = 16;

/// Why the printer is waited for.
pub(super) enum WaitReason {
    /// It takes nothing, and does not say why.
    Silent,
    /// The same, but it has taken something since it was looked at last.
    Moving,
    /// It has no paper, for this reason.
    NoPaper(&'static str),
}

/// Lines to print, for the printer thread.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<Chunk>,
    /// Whether the receipt ends with them.
    pub(super) is_last: bool,
}

/// Asks the thread to end the receipt early.
#[derive(Debug)]
pub(super) struct BreakOff {
    /// When the request was made: the thread may be busy with a line and see it
    /// later.
    pub(super) asked: Instant,
    /// Lines that follow those in the queue; printed as far as there is time.
    pub(super) rest: Vec<Chunk>,
    /// Printed in any case.
    pub(super) closing: Vec<Chunk>,
}

/// The printer thread's side of the queue.
pub(super) struct Press<C> {
    pub(super) port: Box<dyn Port>,
    pub(super) clock: C,
    pub(super) pace: Pace,
    pub(super) inquiry: Option<Inquiry>,
    /// The BUSY wire, if it is connected.
    pub(super) busy: Option<Box<dyn Busy>>,
    /// How long a printer that says that it is out of paper is waited for.
    pub(super) paper_wait: Duration,
    /// Whether the last receipt has waited for paper in vain.
    pub(super) no_paper: bool,
    pub(super) status: PrinterStatus,
    /// Reports what somebody has to do, as a line on stderr.
    pub(super) report: Box<dyn Fn(&str)>,
    /// Whether incoming bytes are read, even unrequested ones: with flow control a full
    /// receive buffer would make the kernel send XOFF to the printer.
    pub(super) listens: bool,
    /// Set when the main thread no longer waits for the receipt.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl<C: Clock> Press<C> {
    /// Prints `header` and then the queued lines, until the last. Returns whether it is
    /// printed to its end: not if the sender of its lines was dropped before. An error
    /// says why the printer is lost; what is unsent is discarded, so that nothing stale is
    /// printed when it comes back.
    pub(super) fn print(
        &mut self,
        header: Vec<Chunk>,
        queued: &Receiver<Batch>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<bool, String> {
        let found = if self.no_paper { self.look_for_paper() } else { Ok(()) };
        found.and_then(|()| self.print_all(header, queued, broken_off)).inspect_err(|_| self.port.discard())
    }

    fn print_all(
        &mut self,
        header: Vec<Chunk>,
        queued: &Receiver<Batch>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<bool, String> {
        let mut waiting = VecDeque::from(header);
        let mut ended = false;
        loop {
            if let Ok(request) = broken_off.try_recv() {
                return self.break_off(waiting, queued, request);
            }
            if let Some(chunk) = waiting.pop_front() {
                self.put(&chunk)?;
                continue;
            }
            if ended {
                self.settle()?;
                return Ok(true);
            }
            select! {
                recv(queued) -> message => match message {
                    Ok(message) => {
                        waiting.extend(message.lines);
                        ended = message.is_last;
                    }
                    Err(_) => return Ok(false),
                },
                recv(broken_off) -> request => return match request {
                    Ok(request) => self.break_off(waiting, queued, request),
                    Err(_) => Ok(false),
                },
            }
        }
    }

    /// Ends the receipt early: prints those of the waiting lines that leave
    /// time for the closing lines, then these.
    pub(super) fn break_off(
        &mut self,
        mut waiting: VecDeque<Chunk>,
        queued: &Receiver<Batch>,
        request: BreakOff,
    ) -> Result<bool, String> {
        let deadline = self.clock.now() + LAST_BYTES.saturating_sub(request.asked.elapsed());
        waiting.extend(queued.try_iter().flat_map(|message| message.lines));
        waiting.extend(request.rest);
        for chunk in waiting {
            let with_closing = std::iter::once(&chunk).chain(&request.closing);
            if self.pace.all_sent(with_closing, self.clock.now()) > deadline {
                break;
            }
            self.put(&chunk)?;
        }
        for chunk in &request.closing {
            self.put(chunk)?;
        }
        self.drain()?;
        Ok(true)
    }

    /// Sends `chunk` as soon as the printer's input buffer has room for it.
    pub(super) fn put(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.wait_for_paper()?;
        match &mut self.inquiry {
            // A query is sent before each printed line.
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
        let most = if self.busy.is_some() { BUSY_BYTES } else { usize::MAX };
        for mut bytes in chunk.bytes.chunks(most) {
            self.wait_while_busy()?;
            let length = bytes.len() as u32;
            self.wait(STALL_PAUSE, |press, _| {
                let written = press.port.write(bytes).map_err(gone)?;
                if let Some(busy) = &mut press.busy {
                    busy.wrote(written);
                }
                bytes = &bytes[written..];
                Ok(match written {
                    _ if bytes.is_empty() => None,
                    0 => Some(WaitReason::Silent),
                    _ => Some(WaitReason::Moving),
                })
            })?;
            if self.busy.is_some() {
                self.drain()?;
                self.clock.sleep(self.pace.byte() * length);
            }
        }
        self.pace.sent(chunk, self.clock.now());
        Ok(())
    }

    /// Waits as long as `look`, which is told the time without progress, says why.
    /// That the life waits for paper is shown and said once, and so is its end.
    /// Fails when it takes too long, or when the main thread no longer waits: a port
    /// that is held is given up then, since closing it would wait for its bytes.
    pub(super) fn wait(
        &mut self,
        pause: Duration,
        mut look: impl FnMut(&mut Self, Duration) -> Result<Option<WaitReason>, String>,
    ) -> Result<(), String> {
        // Otherwise a wait around this one, which asks for paper, ends that.
        let owns = !self.status.is_out_of_paper();
        let mut progress = self.clock.now();
        loop {
            let waited = self.clock.now() - progress;
            let held = match look(self, waited)? {
                Some(WaitReason::Silent) if !owns || self.port.is_out_of_paper() == Some(true) => {
                    WaitReason::NoPaper(NO_PAPER)
                }
                Some(held) => held,
                None => break,
            };
            if self.abandoned.load(Ordering::Relaxed) {
                return Err("nobody waits for it any more".to_owned());
            }
            match held {
                WaitReason::NoPaper(why) if waited >= self.paper_wait => {
                    self.status.set_out_of_paper(true);
                    return Err(why.to_owned());
                }
                WaitReason::NoPaper(why) => self.out_of_paper(why),
                WaitReason::Silent if self.has_paper() => progress = self.clock.now(),
                WaitReason::Silent if waited >= NO_PROGRESS => {
                    return Err(format!("it has taken nothing for {} s", NO_PROGRESS.as_secs()));
                }
                WaitReason::Silent => {}
                WaitReason::Moving => progress = self.clock.now(),
            }
            self.clock.sleep(pause.max(STALL_PAUSE.min(waited / 20)));
        }
        if owns {
            self.has_paper();
        }
        Ok(())
    }

    /// Shows and says, once, that the life waits for paper.
    fn out_of_paper(&self, why: &str) {
        if !self.status.is_out_of_paper() {
            self.status.set_out_of_paper(true);
            let seconds = self.paper_wait.as_secs();
            (self.report)(&format!("{why}; put in a new roll: the life waits {seconds} s for it"));
        }
    }

    /// Ends that, if it is shown; returns whether it was.
    fn has_paper(&self) -> bool {
        let was_shown = self.status.is_out_of_paper();
        if was_shown {
            self.status.set_out_of_paper(false);
            (self.report)("there is paper again");
        }
        was_shown
    }

    /// Waits until the BUSY wire says that the printer takes bytes.
    fn wait_while_busy(&mut self) -> Result<(), String> {
        self.wait(BUSY_PAUSE, |press, waited| {
            let is_busy = press.busy.as_mut().is_some_and(|busy| busy.is_busy());
            let why =
                if waited < BUSY_WITHOUT_PAPER { WaitReason::Silent } else { WaitReason::NoPaper(BUSY) };
            Ok(is_busy.then_some(why))
        })
    }

    /// Waits until every byte has left the port.
    fn drain(&mut self) -> Result<(), String> {
        let mut unsent = None;
        self.wait(STALL_PAUSE, |press, _| {
            let left = press.port.unsent().map_err(gone)?;
            let before = unsent.replace(left);
            if before.is_some() {
                press.pace.held(press.clock.now());
            }
            let held = if before.is_none_or(|before| left < before) {
                WaitReason::Moving
            } else {
                WaitReason::Silent
            };
            Ok((left > 0).then_some(held))
        })
    }

    /// Looks whether there is paper by now, before anything is sent: a printer without it may
    /// keep that, and print it with its new roll. It was waited for, and is not again.
    fn look_for_paper(&mut self) -> Result<(), String> {
        let paper_wait = std::mem::take(&mut self.paper_wait);
        self.wait_while_busy()?;
        // It is idle, so it answers at once.
        for query in 0..self.inquiry.as_ref().map_or(0, |_| QUERIES.len()) {
            let mut inquiry = Inquiry::with(query);
            let question = inquiry.ask(self.clock.now()).into_iter().flatten().collect();
            self.inquiry = Some(inquiry);
            self.send(&Chunk { bytes: question, ..Chunk::default() })?;
            self.clock.sleep(PAPER_PAUSE);
            self.listen()?;
            if self.inquiry.as_ref().is_some_and(Inquiry::is_answered) {
                break;
            }
            self.inquiry = Some(Inquiry::default());
        }
        self.wait(PAPER_PAUSE, |press, _| {
            let is_out = press.port.is_out_of_paper() == Some(true)
                || press.inquiry.as_ref().is_some_and(Inquiry::paper_has_ended);
            Ok(is_out.then_some(WaitReason::NoPaper(NO_PAPER)))
        })?;
        self.paper_wait = paper_wait;
        Ok(())
    }

    /// Waits until there is paper, or until the report of its end turns out to
    /// be noise.
    fn wait_for_paper(&mut self) -> Result<(), String> {
        self.wait(PAPER_PAUSE, |press, waited| {
            press.listen()?;
            if press.port.is_out_of_paper() == Some(true) {
                return Ok(Some(WaitReason::NoPaper(NO_PAPER)));
            }
            let Some(inquiry) = press.inquiry.as_mut().filter(|inquiry| inquiry.paper_has_ended()) else {
                return Ok(None);
            };
            let is_certain = inquiry.ends >= 2;
            if waited >= CONFIRMATION && !is_certain {
                // One byte without a second one was noise.
                inquiry.ends = 0;
                return Ok(None);
            }
            let question = inquiry.ask(press.clock.now()).into_iter().flatten().collect();
            if is_certain {
                press.out_of_paper(NO_PAPER);
            }
            press.send(&Chunk { bytes: question, ..Chunk::default() })?;
            Ok(Some(if is_certain { WaitReason::NoPaper(NO_PAPER) } else { WaitReason::Silent }))
        })
    }

    /// Waits until everything is printed.
    fn settle(&mut self) -> Result<(), String> {
        self.sleep_until(self.pace.wire_free());
        self.drain()?;
        self.wait_while_busy()?;
        self.sleep_until(self.pace.paper_free());
        // The paper may have ended in the last lines.
        self.wait_for_paper()
    }

    fn sleep_until(&self, time: Duration) {
        let left = time.saturating_sub(self.clock.now());
        if !left.is_zero() {
            self.clock.sleep(left);
        }
    }

    /// Reads what the printer sends.
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
            self.status.set_near_its_end(inquiry.paper_is_near_its_end());
        }
        Ok(())
    }
}

fn gone(error: io::Error) -> String {
    format!("{error}; check its cable and its supply")
}
