//! The printer that is drawn: bytes and time in, printed lines out. It prints at the
//! pace of a real one, and takes no more than its input buffer holds.

use std::collections::VecDeque;
use std::time::Duration;

use installation::paper::pace::{INPUT_BUFFER, byte_time, row_times};
use installation::paper::reading::{CommandReader, Effect, Printed};

/// Bytes that it takes without paper: some lines, so that it is asked for its paper and
/// does not only stop. Also where it prints all at once.
const LARGE_BUFFER: usize = 512;

/// `DLE EOT 4`, which is answered as soon as it arrives, and its answers.
const QUESTION: [u8; 3] = [0x10, 4, 4];
const PAPER: u8 = 0x12;
const NO_PAPER: u8 = 0x72;

/// What comes out of the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// A receipt begins.
    Begin,
    Line(Printed),
    /// So many dot rows of blank paper.
    Feed(usize),
    /// The same, and the paper is cut.
    Cut(usize),
}

/// The printer. All times are its own: the pace multiplies them before.
#[derive(Debug, Default)]
pub(super) struct Machine {
    reader: CommandReader,
    /// The input buffer.
    waiting: VecDeque<u8>,
    /// Bytes that have arrived since the life began.
    received: usize,
    /// The last bytes that arrived, where a question may have begun.
    tail: Vec<u8>,
    byte: Duration,
    printed_row: Duration,
    fed_row: Duration,
    now: Duration,
    /// When the next byte can arrive, and when the paper stops.
    wire_free: Duration,
    paper_free: Duration,
    has_paper: bool,
}

impl Machine {
    /// A printer at `baud` bits a second whose paper needs `line` for a line of text.
    pub(super) fn new(baud: u32, line: Duration) -> Self {
        let mut machine = Self { has_paper: true, ..Self::default() };
        machine.set_speed(baud, line);
        machine
    }

    /// Prints so fast from now on.
    pub(super) fn set_speed(&mut self, baud: u32, line: Duration) {
        self.byte = byte_time(baud);
        (self.printed_row, self.fed_row) = row_times(line);
    }

    /// Takes bytes, and returns its answers to the questions in them.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.waiting.is_empty() {
            self.wire_free = self.wire_free.max(self.now);
        }
        self.waiting.extend(bytes);
        self.received += bytes.len();
        let mut answers = Vec::new();
        for &byte in bytes {
            self.tail.push(byte);
            if self.tail.ends_with(&QUESTION) {
                answers.push(if self.has_paper { PAPER } else { NO_PAPER });
                self.tail.clear();
            } else if self.tail.len() >= QUESTION.len() {
                self.tail.remove(0);
            }
        }
        answers
    }

    /// Prints for this time; without one, all that it has.
    pub(super) fn print(&mut self, time: Option<Duration>) -> Vec<Out> {
        self.now += time.unwrap_or_default();
        let mut printed = Vec::new();
        while let Some(&byte) = self.waiting.front() {
            let prints = self.reader.prints_with(byte);
            if prints && !self.has_paper {
                break;
            }
            let mut begin = self.wire_free;
            if prints {
                begin = begin.max(self.paper_free);
            }
            match time {
                Some(_) if begin > self.now => break,
                Some(_) => {}
                None => begin = self.now,
            }
            self.waiting.pop_front();
            self.wire_free = begin + self.byte;
            // What a printer would print as garbage is left out.
            if let Ok(Some(step)) = self.reader.read(byte) {
                let time = self.step(step, &mut printed);
                self.paper_free = self.paper_free.max(begin + time);
            }
        }
        if time.is_none() {
            (self.wire_free, self.paper_free) = (self.now, self.now);
        }
        printed
    }

    /// Does a step, and returns how long the paper moves.
    fn step(&self, step: Effect, printed: &mut Vec<Out>) -> Duration {
        let line = |line: &Printed| {
            let is_blank = line.cells.iter().all(|cell| cell.character == ' ');
            let rows = if is_blank { 0 } else { line.height() };
            self.printed_row * rows as u32 + self.fed_row * (line.rows - rows) as u32
        };
        let feed = |rows: usize| self.fed_row * rows as u32;
        match step {
            Effect::Line(new) => {
                let time = line(&new);
                printed.push(Out::Line(new));
                time
            }
            Effect::Feed(begun, rows) => {
                let time = begun.as_ref().map(line).unwrap_or_default();
                printed.extend(begun.map(Out::Line));
                printed.push(Out::Feed(rows));
                time + feed(rows)
            }
            Effect::Cut(rows) => {
                printed.push(Out::Cut(rows));
                feed(rows)
            }
            Effect::Reset => {
                printed.push(Out::Begin);
                Duration::ZERO
            }
            _ => Duration::ZERO,
        }
    }

    /// A life begins: its bytes are counted from here on.
    pub(super) fn begin(&mut self) {
        self.received = 0;
    }

    /// How many bytes of the life it takes, those that it has taken among them. `at_once`
    /// if it prints without a limit.
    pub(super) fn room(&self, at_once: bool) -> usize {
        let buffer = if self.has_paper && !at_once { INPUT_BUFFER } else { LARGE_BUFFER };
        self.received.saturating_sub(self.waiting.len()) + buffer
    }

    /// Whether it is printing or has something to print.
    #[cfg(test)]
    pub(super) fn is_printing(&self) -> bool {
        !self.waiting.is_empty() || self.paper_free > self.now
    }

    /// Puts a new roll in, or ends the paper.
    pub(super) fn set_paper(&mut self, has_paper: bool) {
        self.has_paper = has_paper;
        // The new roll was put in now.
        self.paper_free = self.paper_free.max(self.now);
        self.wire_free = self.wire_free.max(self.now);
    }

    /// It is switched off: what it holds is lost.
    pub(super) fn switch_off(&mut self) {
        self.reader = CommandReader::default();
        self.waiting.clear();
        self.tail.clear();
        self.paper_free = self.now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use installation::paper::pace::LINE_MILLIS;

    const LINE: Duration = Duration::from_millis(LINE_MILLIS);
    const NOTHING: [&str; 0] = [];

    fn machine() -> Machine {
        Machine::new(9600, LINE)
    }

    /// A line as the program sends it: 28 dot rows high.
    fn line(text: &str) -> Vec<u8> {
        format!("\x1b3\x1c{text}\n").into_bytes()
    }

    /// What it prints in so many milliseconds.
    fn printed(machine: &mut Machine, milliseconds: u64) -> Vec<String> {
        let text = |out| if let Out::Line(line) = out { Some(line.text()) } else { None };
        machine.print(Some(Duration::from_millis(milliseconds))).into_iter().filter_map(text).collect()
    }

    #[test]
    fn a_line_comes_out_once_it_has_arrived_and_the_one_before_it_is_printed() {
        let mut machine = machine();
        machine.receive(&[line("one"), line("two"), line("three")].concat());
        // 7 bytes x 10 bits / 9600 baud = 7.3 ms; the last bit is not waited for.
        assert_eq!(printed(&mut machine, 6), NOTHING);
        assert_eq!(printed(&mut machine, 2), ["one"]);
        assert_eq!(printed(&mut machine, LINE_MILLIS - 5), NOTHING);
        assert_eq!(printed(&mut machine, 5), ["two"]);
        // However coarse the steps are.
        assert_eq!(printed(&mut machine, 10 * LINE_MILLIS), ["three"]);
        assert!(!machine.is_printing());
    }

    #[test]
    fn a_hundred_lines_take_a_hundred_line_times() {
        let mut machine = machine();
        machine.receive(&line("a line of thirty-two characters.").repeat(100));
        let mut time = Duration::ZERO;
        while machine.is_printing() {
            machine.print(Some(Duration::from_millis(10)));
            time += Duration::from_millis(10);
        }
        // And the wire's 36 ms for the first one, in steps of 10.
        assert_eq!((time - 100 * LINE).as_millis(), 40);
    }

    #[test]
    fn without_a_limit_all_comes_at_once() {
        let mut machine = machine();
        machine.receive(&line("x").repeat(9));
        assert_eq!(machine.print(None).len(), 9);
        assert!(!machine.is_printing());
        machine.receive(&line("y"));
        assert_eq!(machine.print(Some(LINE)).len(), 1, "and the pace is kept from then on");
    }

    #[test]
    fn it_has_room_for_what_its_buffer_holds_besides_what_is_printed() {
        let mut machine = machine();
        machine.receive(&line("of the life before"));
        machine.begin();
        machine.print(Some(LINE));
        assert_eq!(machine.room(false), INPUT_BUFFER);
        machine.receive(&line(&"x".repeat(32)));
        assert_eq!(machine.room(false), INPUT_BUFFER, "nothing is taken out of it yet");
        machine.print(Some(Duration::from_millis(100)));
        assert_eq!(machine.room(false), 36 + INPUT_BUFFER);
        assert_eq!(machine.room(true), 36 + LARGE_BUFFER);
    }

    #[test]
    fn it_answers_at_once_whether_it_has_paper_and_prints_nothing_without() {
        let mut machine = machine();
        assert_eq!(machine.receive(b"\x10\x04\x04abc"), [PAPER]);
        machine.set_paper(false);
        assert!(machine.receive(b"\n\x10\x04").is_empty());
        assert_eq!(machine.receive(b"\x04"), [NO_PAPER], "in two pieces");
        assert_eq!(printed(&mut machine, LINE_MILLIS), NOTHING);
        assert!(machine.room(false) > machine.received + 400, "it can be asked again");
        machine.set_paper(true);
        assert_eq!(printed(&mut machine, LINE_MILLIS), ["abc"]);
    }

    #[test]
    fn what_it_held_is_lost_when_it_is_switched_off() {
        let mut machine = machine();
        machine.receive(b"abc\ndef\n");
        machine.switch_off();
        assert!(!machine.is_printing());
        machine.receive(&line("new"));
        assert_eq!(printed(&mut machine, LINE_MILLIS), ["new"]);
    }
}
