//! Looks at what each life leaves: the record, the history and the receipt. What is
//! wrong fails at once, with the life and its draw.

use std::fs;
use std::path::{Path, PathBuf};

use torment_nexus::state::history::{Entry, History, PaperEnd};

use crate::support::receipt_reader::Paper;

/// The feed that ends each receipt, 15 mm past the tear bar.
const TEAR: &[u8] = b"\x1bJ\x78";

/// A full cell of the bar, in CP437.
const BAR: u8 = 0xFE;

/// The least blank paper between a receipt that was cut off and the next, in mm.
const GAP: f64 = 15.0;

/// What was printed of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPaper {
    Nothing,
    Whole,
    /// It says that the life was interrupted, and can be torn off.
    Interrupted,
    /// It has no end.
    Cut,
}

/// What a receipt says.
#[derive(Debug)]
pub struct Receipt {
    pub on_paper: OnPaper,
    /// The number, if the header was printed.
    pub number: Option<u64>,
    pub lines: Vec<String>,
    gap: Option<f64>,
}

impl Receipt {
    /// Reads the bytes that a printer was sent; if its head is lost, only its end.
    pub fn of(bytes: &[u8], has_head: bool) -> Self {
        let ends = bytes.ends_with(TEAR);
        let lf = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let paper = has_head.then(|| Paper::read(bytes).or_else(|_| Paper::read(&bytes[..lf])));
        let paper = paper.map(|paper| paper.unwrap_or_else(|error| panic!("unreadable: {error}")));
        let lines = paper.as_ref().map(Paper::lines).unwrap_or_default();
        let is_interrupted = lines.last().is_some_and(|line| line == "interrupted");
        let on_paper = match bytes {
            [] => OnPaper::Nothing,
            _ if ends && bytes.contains(&BAR) => OnPaper::Whole,
            _ if ends && is_interrupted => OnPaper::Interrupted,
            _ => OnPaper::Cut,
        };
        let number = lines.iter().find_map(|line| line.strip_prefix("life ")?.parse().ok());
        let gap = paper.filter(|paper| !paper.titles().is_empty()).map(|paper| paper.gap_before("TORMENT"));
        Self { on_paper, number, lines, gap }
    }
}

/// What was seen of all lives so far.
pub struct Witness {
    folder: PathBuf,
    /// The number in the record.
    pub record: u64,
    /// The greatest number on paper.
    printed: u64,
    /// Whether a receipt without an end is the last thing on paper.
    is_cut: bool,
    pub whole: usize,
    pub interrupted: usize,
    pub cut: usize,
    /// Receipts that were cut off and marked by the gap that follows.
    pub marked: usize,
    /// Those that were followed at a time when no record could be read or written.
    pub unmarked: usize,
    /// Those of which the port had taken every byte, before the printer hung.
    pub unknowable: usize,
    /// Lives that found a `.new` file of a process that was killed.
    pub left_aside: usize,
}

impl Witness {
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            record: 0,
            printed: 0,
            is_cut: false,
            whole: 0,
            interrupted: 0,
            cut: 0,
            marked: 0,
            unmarked: 0,
            unknowable: 0,
            left_aside: 0,
        }
    }

    pub fn history(&self) -> History {
        History::within(&self.folder)
    }

    /// Checks that no file is torn and no number goes back. Returns the line of the
    /// life that was counted last, if it has one.
    pub fn files(&mut self, who: &str) -> Option<Entry> {
        let path = self.folder.join("lives");
        if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8(bytes).unwrap_or_else(|_| panic!("{who}: the record is torn"));
            let number = text.strip_prefix("lives ").and_then(|rest| rest.split_once('\n')?.0.parse().ok());
            let number: u64 = number.unwrap_or_else(|| panic!("{who}: the record is torn: {text:?}"));
            let has_all = ["\nreceipt ", "\nstarts "].iter().all(|line| text.contains(line));
            assert!(has_all && text.ends_with('\n'), "{who}: the record is torn: {text:?}");
            assert!(number >= self.record, "{who}: the record goes back from {} to {number}", self.record);
            self.record = number;
        }
        if let Ok(history) = fs::read(self.folder.join("lives.csv")) {
            assert!(history.ends_with(b"\n"), "{who}: the history is torn");
        }
        self.left_aside += usize::from(self.folder.join("lives.new").exists());
        let mut lines = self.history().numbered(self.record).expect("a history");
        assert!(lines.len() < 2, "{who}: life {} has two lines: {lines:?}", self.record);
        lines.pop()
    }

    /// Checks the receipt: its number is new, and a receipt before it that has no end
    /// is marked by a gap. `has_state`: the record could be used; `knows`: the program
    /// can know what became of the receipt.
    pub fn receipt(
        &mut self,
        who: &str,
        receipt: &Receipt,
        line: Option<&Entry>,
        (has_state, knows): (bool, bool),
    ) {
        if let Some(number) = receipt.number {
            assert!(number > self.printed, "{who}: life {number} is printed after life {}", self.printed);
            assert_eq!(number, self.record, "{who}: the number on paper and in the record");
            self.printed = number;
        }
        if let (true, Some(gap)) = (self.is_cut, receipt.gap) {
            assert!(!has_state || gap >= GAP, "{who}: no gap ({gap} mm) after a receipt that was cut off");
            *(if gap >= GAP { &mut self.marked } else { &mut self.unmarked }) += 1;
        }
        match receipt.on_paper {
            OnPaper::Nothing => return,
            OnPaper::Whole => self.whole += 1,
            OnPaper::Interrupted => self.interrupted += 1,
            OnPaper::Cut => self.cut += 1,
        }
        self.is_cut = receipt.on_paper == OnPaper::Cut;
        if self.is_cut && !knows && line.is_some_and(|line| line.paper == Some(PaperEnd::Whole)) {
            self.unknowable += 1;
            self.is_cut = false;
        }
        if let Some(line) = line.filter(|line| Some(line.number) == receipt.number) {
            let is_whole = line.paper == Some(PaperEnd::Whole);
            assert!(!is_whole || !self.is_cut || !knows, "{who}: a receipt that was cut off is called whole");
        }
    }

    /// Checks the whole history: each number once, none torn, none out of order.
    pub fn all(&self) -> Vec<Entry> {
        let text = fs::read_to_string(self.folder.join("lives.csv")).expect("a history");
        let entries = self.history().read().expect("a history");
        assert_eq!(text.lines().count(), entries.len() + 1, "a line is torn");
        assert!(entries.windows(2).all(|pair| pair[0].number < pair[1].number), "numbers go back or repeat");
        entries
    }
}
