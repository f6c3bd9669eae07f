//! Looks at what each life leaves: the history and the receipt. What is wrong fails at
//! once, with the life and its draw.

use std::fs;
use std::path::{Path, PathBuf};

use installation::state::entry::{Entry, PaperEnd};
use installation::state::lives::Lives;

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
#[derive(Default)]
pub struct Witness {
    folder: PathBuf,
    /// The number in the history.
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
    /// Those that were followed at a time when no history could be read or written.
    pub unmarked: usize,
    /// Those of which the port had taken every byte, before the printer hung.
    pub unknowable: usize,
}

impl Witness {
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..Self::default() }
    }

    /// The numbers of the whole lines of births, or of ends. No field of the soak has a
    /// comma in it.
    fn numbers(text: &str, of_births: bool) -> Vec<u64> {
        let whole = text.lines().filter(|line| line.matches(',').count() == 14 && !line.contains(",boot,"));
        let lines = whole.filter(|line| line.ends_with(",,,") == of_births);
        lines.filter_map(|line| line.split_once(',')?.0.parse().ok()).collect()
    }

    /// Checks that the history is not torn and that no number comes twice or goes back.
    /// Returns the life that was counted last.
    pub fn files(&mut self, who: &str) -> Option<Entry> {
        let text = fs::read_to_string(self.folder.join("lives.csv")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "{who}: the history is torn");
        let [births, ends] = [true, false].map(|of_births| Self::numbers(&text, of_births));
        for numbers in [&births, &ends] {
            let last = &numbers[numbers.len().saturating_sub(9)..];
            let is_rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(is_rising, "{who}: numbers go back or repeat: {last:?}");
        }
        let lives = Lives::within(&self.folder);
        let number = lives.read().unwrap_or_else(|error| panic!("{who}: {error:#}")).lives;
        assert!(number >= self.record, "{who}: the number goes back from {} to {number}", self.record);
        self.record = number;
        assert_eq!(births.last().copied().unwrap_or(0), number, "{who}: a birth is lost");
        lives.all().expect("a history").pop().filter(|life| life.number == number)
    }

    /// Checks the receipt: its number is new, and a receipt before it that has no end
    /// is marked by a gap. `has_state`: the history could be used; `knows`: the program
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
            assert_eq!(number, self.record, "{who}: the number on paper and in the history");
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

    /// All lives of the history.
    pub fn all(&self) -> Vec<Entry> {
        Lives::within(&self.folder).all().expect("a history")
    }
}
