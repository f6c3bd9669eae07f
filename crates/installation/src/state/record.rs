//! What the lines of the history come to.

use std::io;

use super::entry::{COLUMNS, Entry, Outcome, PaperEnd};

/// What the next life and the technician have to know of all lives before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The number of the last life. Where a damaged line may have been a life, it is
    /// counted.
    pub lives: u64,
    /// Whether a receipt was begun that was not printed to its end.
    pub receipt_open: bool,
    /// Whether the last printer that was used had no paper at its end.
    pub no_paper: bool,
    /// Tokens a second of the last life that ended in the death.
    pub rate: Option<f64>,
    /// Starts of the program since the system was started, as far as they came to a
    /// life or a fault.
    pub starts: u64,
    /// The last of them in a row that came to no end of a life, but by a fault or a kill.
    pub in_vain: u64,
    /// What the firmware limited during the lives since then: the low 16 bits of
    /// `get_throttled`. `None` if it was never known.
    pub throttled: Option<u32>,
    /// The last fault.
    pub fault: Option<LastFault>,
    /// The kernel's id of the boot that `starts` and `throttled` are of.
    pub boot: String,
}

/// A fault that ended the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFault {
    /// The number of the life that it ended, or would have had to begin.
    pub life: u64,
    /// Which life that was, and the error's line.
    pub words: String,
}

/// What a line of the history tells; of a damaged one, its text. `None` for one that tells
/// nothing.
pub(super) fn entry_of(line: &str) -> Option<Result<Entry, &str>> {
    (!line.is_empty() && line != COLUMNS).then(|| Entry::from_line(line).ok_or(line))
}

impl Record {
    /// The record of a history's lines, the oldest first.
    pub(super) fn of(lines: impl Iterator<Item = io::Result<String>>) -> io::Result<Self> {
        let mut record = Self::default();
        for line in lines {
            match entry_of(&line?) {
                Some(Ok(entry)) => record.add(entry),
                Some(Err(torn)) => {
                    // If its number is lost, it may have been the next one: none comes
                    // twice. Its receipt may be cut off: a gap costs 2 cm of paper.
                    let number = torn.split_once(',').and_then(|(number, _)| number.parse().ok());
                    record.lives = record.lives.max(number.unwrap_or(record.lives.saturating_add(1)));
                    record.receipt_open = true;
                }
                None => {}
            }
        }
        Ok(record)
    }

    fn add(&mut self, Entry { number, figures, paper, outcome, fault, .. }: Entry) {
        match outcome {
            Some(Outcome::Boot) => {
                self.begin_boot(&fault);
            }
            Some(Outcome::Fault) => {
                self.fault = Some(self.fault_of(number, &fault));
            }
            Some(Outcome::Slip) | None => {}
            Some(ended) => {
                self.in_vain = 0;
                if ended == Outcome::Death {
                    self.rate = figures.rate;
                }
            }
        }
        let starts = u64::from(outcome.is_none() || outcome == Some(Outcome::Fault) && number == 0);
        self.starts += starts;
        self.in_vain += starts;
        self.lives = self.lives.max(number);
        self.receipt_open = match paper {
            None => true,
            Some(PaperEnd::Whole) => false,
            Some(_) => self.receipt_open,
        };
        if let Some(end) = paper.filter(|end| *end != PaperEnd::None) {
            self.no_paper = end == PaperEnd::NoPaper;
        }
        if let Some(bits) = figures.throttled {
            self.throttled = Some(self.throttled.unwrap_or(0) | bits);
        }
    }

    /// The fault with this message in the life with this number; with 0, before the next.
    pub(super) fn fault_of(&self, number: u64, message: &str) -> LastFault {
        let (when, life) = if number == 0 { ("before ", self.lives.saturating_add(1)) } else { ("", number) };
        LastFault { life, words: format!("{when}life {life}: {message}") }
    }

    /// Forgets what is of another boot than the one with this id. Returns whether the
    /// record was.
    pub(super) fn begin_boot(&mut self, boot: &str) -> bool {
        let is_another = self.boot != boot;
        if is_another {
            (self.starts, self.in_vain, self.throttled) = (0, 0, None);
            boot.clone_into(&mut self.boot);
        }
        is_another
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Figures;
    use super::super::entry::tests::{birth, life};
    use super::*;

    fn of(entries: &[Entry]) -> Record {
        Record::of(entries.iter().map(|entry| Ok(entry.to_line().trim_end().to_owned()))).expect("lines")
    }

    fn event(outcome: Outcome, fault: &str) -> Entry {
        let (outcome, fault) = (Some(outcome), fault.to_owned());
        Entry { outcome, paper: Some(PaperEnd::None), fault, ..Entry::default() }
    }

    #[test]
    fn a_receipt_is_open_until_it_is_printed_to_its_end() {
        let paper = |paper| Entry { paper, ..life(1) };
        let slip = |paper| Entry { paper, ..event(Outcome::Slip, "") };
        for (lines, is_open) in [
            (vec![birth(1)], true),
            (vec![birth(1), life(1)], false),
            (vec![birth(1), paper(Some(PaperEnd::Lost))], true),
            (vec![birth(1), paper(Some(PaperEnd::None)), event(Outcome::Fault, "x")], true),
            (vec![event(Outcome::Boot, "a"), event(Outcome::Fault, "x")], false),
            (vec![birth(1), life(1), slip(None)], true),
            (vec![birth(1), life(1), slip(None), slip(Some(PaperEnd::Whole))], false),
        ] {
            assert_eq!(of(&lines).receipt_open, is_open, "{lines:?}");
        }
        let no_paper = |after: Entry| of(&[paper(Some(PaperEnd::NoPaper)), after]).no_paper;
        assert!(no_paper(birth(2)) && no_paper(event(Outcome::Fault, "x")) && !no_paper(life(2)));
    }

    #[test]
    fn starts_in_vain_are_those_since_the_last_life_that_ended() {
        let (boot, fault) = (event(Outcome::Boot, "a"), event(Outcome::Fault, "x"));
        let many: Vec<_> = (1..600).flat_map(|number| [birth(number), life(number)]).collect();
        let later = [birth(600), fault.clone(), fault.clone()];
        for (lines, in_vain) in [
            (vec![boot.clone(), fault.clone(), fault], 2),
            ([&many[..], &later].concat(), 3),
            ([&many[..], &later, &[birth(601), life(601)]].concat(), 0),
            ([&later[..], &[boot]].concat(), 0),
        ] {
            assert_eq!(of(&lines).in_vain, in_vain);
        }
    }

    #[test]
    fn a_boot_counts_its_own_starts_and_its_own_throttling() {
        let throttled = Entry { figures: Figures { throttled: Some(1), ..Figures::default() }, ..life(2) };
        let boot = |id| event(Outcome::Boot, id);
        let lines = [boot("a"), event(Outcome::Fault, "x"), birth(1), life(1), birth(2), throttled];
        let mut record = of(&lines);
        assert_eq!((record.starts, record.throttled), (3, Some(5)));
        // The first line of a file has the same boot.
        let record_of_more = of(&[&lines[..], &[boot("a")]].concat());
        assert_eq!((record_of_more.starts, record_of_more.throttled), (3, Some(5)));
        assert!(record.begin_boot("b"));
        assert_eq!((record.starts, record.throttled), (0, None));
        let record = of(&[&lines[..], &[boot("b"), birth(3)]].concat());
        assert_eq!((record.starts, record.throttled), (1, None));
    }
}
