//! The printer thread's work: writes lines to the port, no faster than the
//! printer prints them, and decides when the printer is lost.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::escpos::Chunk;
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

/// Pause between queries to a printer that is out of paper.
const PAPER_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that are sent before the BUSY wire is read again. Those that are still
/// in the port when the printer becomes busy must fit into what it keeps free:
/// the UART holds 16.
const BUSY_BYTES: usize = 8;

/// Pause before a BUSY wire is read again; longer once the printer has been busy
/// for a second.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A printer that is busy for this long has no paper: no line takes as long.
const BUSY_WITHOUT_PAPER: Duration = Duration::from_secs(5);

/// Time for a second reply that reports the end of the paper: a single byte may
/// be line noise.
const CONFIRMATION: Duration = Duration::from_secs(3);

const NO_PAPER: &str = "it is out of paper";
const NOBODY_WAITS: &str = "nobody waits for it any more";

/// At most so many reads of 256 bytes between two lines, so that a device that
/// never stops sending cannot keep the thread busy.
const MAX_READS: usize = 16;

/// What is sent to the printer thread.
#[derive(Debug)]
pub(super) enum Message {
    /// Lines to print.
    Lines(Vec<Chunk>),
    /// The last lines.
    End(Vec<Chunk>),
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

/// How a receipt ended whose printer was not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Printed {
    /// Printed to its end; it can be torn off.
    Whole,
    /// The sender of its lines was dropped before the end.
    CutOff,
}

/// The printer thread's side of the queue: sends lines to the port, no faster
/// than the printer prints them.
pub(super) struct Press<P, C> {
    pub(super) port: P,
    pub(super) clock: C,
    pub(super) pace: Pace,
    pub(super) inquiry: Option<Inquiry>,
    /// The BUSY wire, if it is connected.
    pub(super) busy: Option<Box<dyn Busy>>,
    /// How long a printer that says that it is out of paper is waited for.
    pub(super) paper_wait: Duration,
    /// Shown by the light.
    pub(super) status: PrinterStatus,
    /// Reports what somebody has to do, as a line on stderr.
    pub(super) report: Box<dyn Fn(&str)>,
    /// Whether incoming bytes are read, even unrequested ones: with flow
    /// control a full receive buffer would make the kernel send XOFF to the
    /// printer.
    pub(super) listens: bool,
    /// Set when the main thread no longer waits for the receipt.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl<P: Port, C: Clock> Press<P, C> {
    /// Prints `header` and then the queued lines, until [`Message::End`]. An
    /// error says why the printer is lost; unsent bytes are discarded, so that
    /// nothing stale is printed when it comes back.
    pub(super) fn print(
        &mut self,
        header: Vec<Chunk>,
        queued: &Receiver<Message>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<Printed, String> {
        self.print_all(header, queued, broken_off).inspect_err(|_| self.port.discard())
    }

    fn print_all(
        &mut self,
        header: Vec<Chunk>,
        queued: &Receiver<Message>,
        broken_off: &Receiver<BreakOff>,
    ) -> Result<Printed, String> {
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
                return Ok(Printed::Whole);
            }
            select! {
                recv(queued) -> message => match message {
                    Ok(Message::Lines(lines)) => waiting.extend(lines),
                    Ok(Message::End(lines)) => {
                        waiting.extend(lines);
                        ended = true;
                    }
                    Err(_) => return Ok(Printed::CutOff),
                },
                recv(broken_off) -> request => match request {
                    Ok(request) => return self.break_off(waiting, queued, request),
                    Err(_) => return Ok(Printed::CutOff),
                },
            }
        }
    }

    /// Ends the receipt early: prints those of the waiting lines that leave
    /// time for the closing lines, then these.
    pub(super) fn break_off(
        &mut self,
        mut waiting: VecDeque<Chunk>,
        queued: &Receiver<Message>,
        request: BreakOff,
    ) -> Result<Printed, String> {
        let deadline = self.clock.now() + LAST_BYTES.saturating_sub(request.asked.elapsed());
        for message in queued.try_iter() {
            let (Message::Lines(lines) | Message::End(lines)) = message;
            waiting.extend(lines);
        }
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
        Ok(Printed::Whole)
    }

    /// Sends `chunk` as soon as the printer's input buffer has room for it.
    pub(super) fn put(&mut self, chunk: &Chunk) -> Result<(), String> {
        self.listen()?;
        while self.inquiry.as_ref().is_some_and(Inquiry::paper_has_ended) {
            self.wait_for_new_paper()?;
        }
        if self.port.is_out_of_paper() == Some(true) {
            self.wait_for_the_port()?;
        }
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
            if self.busy.is_some() {
                self.drain()?;
                self.clock.sleep(self.pace.byte() * length);
            }
        }
        self.pace.sent(chunk, self.clock.now());
        Ok(())
    }

    /// Waits until the BUSY wire says that the printer takes bytes.
    fn wait_while_busy(&mut self) -> Result<(), String> {
        let start = self.clock.now();
        let mut waited = Duration::ZERO;
        while self.busy.as_mut().is_some_and(|busy| busy.is_busy()) {
            waited = self.clock.now() - start;
            if self.abandoned.load(Ordering::Relaxed) {
                return Err(NOBODY_WAITS.to_owned());
            }
            if waited >= BUSY_WITHOUT_PAPER {
                self.out_of_paper("it has been busy for 5 s, as printers are without paper");
            }
            if waited >= self.paper_wait.max(NO_PROGRESS) {
                return Err(format!(
                    "it has been busy for {} s; load paper, or check its BUSY wire",
                    waited.as_secs()
                ));
            }
            let pause = if waited < Duration::from_secs(1) { BUSY_PAUSE } else { STALL_PAUSE };
            self.clock.sleep(pause);
        }
        if waited >= BUSY_WITHOUT_PAPER {
            self.has_paper();
        }
        Ok(())
    }

    /// Shows and says, once, that the life waits for paper.
    fn out_of_paper(&self, why: &str) {
        if !self.status.is_out_of_paper() {
            self.status.set_out_of_paper(true);
            (self.report)(&format!(
                "{why}; put in a new roll: the life waits {} s for it",
                self.paper_wait.as_secs()
            ));
        }
    }

    fn has_paper(&self) {
        if self.status.is_out_of_paper() {
            self.status.set_out_of_paper(false);
            (self.report)("there is paper again");
        }
    }

    /// Waits until every byte has left the port; fails if flow control holds it
    /// for too long.
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

    /// Pauses, unless the last progress was too long ago. If the main thread no
    /// longer waits, a port that is held is given up and its bytes are
    /// discarded: closing it would wait for them.
    pub(super) fn stall(&mut self, progress: Duration) -> Result<(), String> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(NOBODY_WAITS.to_owned());
        }
        let waited = self.clock.now() - progress;
        // A port that can tell is asked once a second.
        let pauses = waited.as_millis() / STALL_PAUSE.as_millis();
        if pauses.is_multiple_of(PAPER_PAUSE.as_millis() / STALL_PAUSE.as_millis()) {
            match self.port.is_out_of_paper() {
                Some(true) => self.out_of_paper("it is out of paper"),
                Some(false) => self.has_paper(),
                None => {}
            }
        }
        if self.status.is_out_of_paper() {
            if waited >= self.paper_wait {
                return Err(NO_PAPER.to_owned());
            }
        } else if waited >= NO_PROGRESS {
            return Err(format!("it has taken nothing for {} s", NO_PROGRESS.as_secs()));
        }
        self.clock.sleep(STALL_PAUSE);
        Ok(())
    }

    /// Waits until the port says that there is paper.
    fn wait_for_the_port(&mut self) -> Result<(), String> {
        let start = self.clock.now();
        while self.port.is_out_of_paper() == Some(true) {
            self.out_of_paper("it is out of paper");
            if self.abandoned.load(Ordering::Relaxed) {
                return Err(NOBODY_WAITS.to_owned());
            }
            if self.clock.now() - start >= self.paper_wait {
                return Err(NO_PAPER.to_owned());
            }
            self.clock.sleep(PAPER_PAUSE);
        }
        self.has_paper();
        Ok(())
    }

    /// Waits until everything is printed.
    fn settle(&mut self) -> Result<(), String> {
        self.sleep_until(self.pace.wire_free());
        self.drain()?;
        self.wait_while_busy()?;
        self.sleep_until(self.pace.paper_free());
        // The paper may have ended in the last lines.
        self.listen()?;
        while self.inquiry.as_ref().is_some_and(Inquiry::paper_has_ended) {
            self.wait_for_new_paper()?;
        }
        Ok(())
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

    /// Waits until there is paper, or until the report of its end turns out to
    /// be noise.
    fn wait_for_new_paper(&mut self) -> Result<(), String> {
        let start = self.clock.now();
        while let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| inquiry.paper_has_ended()) {
            let waited = self.clock.now() - start;
            if self.abandoned.load(Ordering::Relaxed) {
                return Err(NOBODY_WAITS.to_owned());
            }
            if waited >= self.paper_wait {
                return Err(NO_PAPER.to_owned());
            }
            let is_certain = inquiry.ends >= 2;
            if waited >= CONFIRMATION && !is_certain {
                // One byte without a second one was noise.
                inquiry.ends = 0;
                break;
            }
            let question = inquiry.ask(self.clock.now()).into_iter().flatten().collect();
            if is_certain {
                self.out_of_paper("it is out of paper");
            }
            self.send(&Chunk { bytes: question, ..Chunk::default() })?;
            self.clock.sleep(PAPER_PAUSE);
            self.listen()?;
        }
        self.has_paper();
        Ok(())
    }
}

fn gone(error: io::Error) -> String {
    format!("{error}; check its cable and its supply")
}
