//! Asking the printer for paper, and what its replies mean.

use std::time::Duration;

use super::escpos::Query;

/// Questions and time that may go by without a reply before another kind of
/// question is tried: a reply comes in its turn, up to two lines later.
pub(super) const UNANSWERED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// The questions for paper and what came of them. A printer that never
/// answers is printed on all the same.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    /// Index of the question in use; beyond the last, none is asked.
    query: usize,
    /// Questions since the last reply, and when the first of them was asked.
    asked: usize,
    since: Duration,
    /// Whether the question in use was ever answered.
    answered: bool,
    /// Replies in a row that the paper has ended.
    pub(super) ends: u32,
}

impl Inquiry {
    /// The next question: the first kind that is answered stays in use.
    pub(super) fn ask(&mut self, now: Duration) -> Option<[u8; 3]> {
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
    pub(super) fn hear(&mut self, count: usize, last: u8) {
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

    pub(super) fn paper_has_ended(&self) -> bool {
        self.ends > 0
    }
}
