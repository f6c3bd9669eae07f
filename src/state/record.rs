//! The content of the record of lives: lines of a name and a value.

use std::fmt::{self, Write as _};

use super::history;

/// The content of the record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Lives begun so far; the number of the last one.
    pub lives: u64,
    /// Whether a receipt was begun that was not printed to its end.
    pub receipt_open: bool,
    /// Tokens a second of the last life that ended in the death.
    pub rate: Option<f64>,
    /// The kernel's id of the boot in which the program last started.
    pub boot: String,
    /// Starts of the program since that boot.
    pub starts: u64,
    /// What the firmware limited during the lives since that boot: the low 16
    /// bits of `get_throttled`. `None` if it was never known.
    pub throttled: Option<u32>,
    /// The last fault.
    pub fault: Option<Fault>,
    /// The line of `lives.csv`, as far as it is known, of a life that has begun
    /// and not yet ended.
    pub unended: Option<String>,
}

/// A fault that ended the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The number of the life that it ended, or would have had to begin.
    pub life: u64,
    /// Whether it came before that life had begun.
    pub before: bool,
    /// The error's line.
    pub message: String,
}

impl Fault {
    /// The fault with this message, on one line and not too long.
    #[must_use]
    pub fn new(life: u64, before: bool, message: &str) -> Self {
        Self { life, before, message: history::short(message) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, before, message } = self;
        write!(f, "{}life {life}: {message}", if *before { "before " } else { "" })
    }
}

impl Record {
    /// Counts a start of the program in the boot with this id. What was counted
    /// since an earlier boot is forgotten.
    pub(super) fn count_start(&mut self, boot: &str) {
        if self.boot != boot {
            (self.starts, self.throttled) = (0, None);
            boot.clone_into(&mut self.boot);
        }
        self.starts = self.starts.saturating_add(1);
    }

    pub(super) fn to_text(&self) -> String {
        let receipt = if self.receipt_open { "open" } else { "whole" };
        let mut text = format!("lives {}\nreceipt {receipt}\n", self.lives);
        if let Some(rate) = self.rate {
            let _ = writeln!(text, "rate {rate:.2}");
        }
        if !self.boot.is_empty() {
            let _ = writeln!(text, "boot {}", self.boot);
        }
        let _ = writeln!(text, "starts {}", self.starts);
        if let Some(bits) = self.throttled {
            let _ = writeln!(text, "throttled {bits:x}");
        }
        if let Some(Fault { life, before, message }) = &self.fault {
            let when = if *before { "before" } else { "in" };
            let _ = writeln!(text, "fault {when} {life} {message}");
        }
        if let Some(line) = &self.unended {
            let _ = writeln!(text, "unended {line}");
        }
        text
    }

    /// `None` if the text is no such record. Lines with an unknown name, which
    /// a later version may write, are ignored; lines that an earlier version
    /// did not write are not missed. A text without a newline at its end is cut
    /// short, maybe inside a number: `lives 12` may have been life 1,234.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        if !text.ends_with('\n') {
            return None;
        }
        let mut record = Self::default();
        let mut lives = None;
        for line in text.lines() {
            match line.split_once(' ')? {
                ("lives", number) => lives = Some(number.parse().ok()?),
                ("receipt", state) => record.receipt_open = state != "whole",
                ("rate", rate) => record.rate = Some(rate.parse().ok()?),
                ("boot", id) => id.clone_into(&mut record.boot),
                ("starts", number) => record.starts = number.parse().ok()?,
                ("throttled", bits) => record.throttled = Some(u32::from_str_radix(bits, 16).ok()?),
                ("fault", fault) => record.fault = parse_fault(fault),
                ("unended", line) => record.unended = Some(line.to_owned()),
                _ => {}
            }
        }
        record.lives = lives?;
        Some(record)
    }
}

/// The number of lives of a record that is damaged after it. `None` if the line of
/// the number is damaged itself, or cut short.
pub(super) fn lives_of_damaged(text: &str) -> Option<u64> {
    let (number, _) = text.strip_prefix("lives ")?.split_once('\n')?;
    number.parse().ok()
}

fn parse_fault(text: &str) -> Option<Fault> {
    let mut words = text.splitn(3, ' ');
    let before = words.next()? == "before";
    Some(Fault { before, life: words.next()?.parse().ok()?, message: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_whole_record_is_read_as_it_was_written() {
        let fault = Fault::new(8, true, "cannot open\nmodel \"x\"; look  again");
        assert_eq!(fault.to_string(), "before life 8: cannot open model \"x\"; look again");
        let record = Record {
            lives: 7,
            receipt_open: true,
            rate: Some(9.25),
            boot: "8b1c".to_owned(),
            starts: 12,
            throttled: Some(5),
            fault: Some(fault),
            unended: Some("7,,ember,\"a, b\"".to_owned()),
        };
        assert_eq!(Record::from_text(&record.to_text()), Some(record));
        assert_eq!(Record::from_text(&Record::default().to_text()), Some(Record::default()));
    }

    #[test]
    fn a_record_of_an_earlier_or_a_later_version_is_read() {
        let earlier = Record::from_text("lives 7\nreceipt open\nrate 9.25\n").expect("a record");
        let expected = Record { lives: 7, receipt_open: true, rate: Some(9.25), ..Record::default() };
        assert_eq!(earlier, expected);
        assert!(Record::from_text("lives 7\nmood good\nfault of another kind\n").is_some());
    }

    #[test]
    fn a_record_cut_short_at_any_byte_is_damaged_or_has_its_number() {
        let record = Record { lives: 1_234, boot: "8b1c".to_owned(), starts: 12, ..Record::default() };
        let whole = record.to_text();
        for cut in 0..whole.len() {
            let text = &whole[..cut];
            let lives = Record::from_text(text).map(|record| record.lives).or_else(|| lives_of_damaged(text));
            assert!(lives.is_none_or(|lives| lives == 1_234), "{lives:?} of {text:?}");
        }
    }

    #[test]
    fn a_new_boot_counts_its_own_starts_and_its_own_throttling() {
        let mut record = Record::default();
        record.count_start("a");
        record.count_start("a");
        record.throttled = Some(1);
        assert_eq!(record.starts, 2);
        record.count_start("b");
        assert_eq!((record.starts, record.throttled), (1, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_lines_of_a_record_are_read_or_damaged(
            text in "((lives|receipt|rate|boot|starts|throttled|fault|unended|\\PC{0,4}) [-0-9a-z.+ ]{0,24}\n){0,5}"
        ) {
            if let Some(record) = Record::from_text(&text) {
                prop_assert!(text.contains("lives "), "{record:?} of {text:?}");
            }
        }
    }
}
