//! Asks the printer whether it has paper, and evaluates its replies.

use std::time::Duration;

use super::escpos::{PaperSensor, QUERIES};

/// Queries and time without a reply before the next kind of query is tried: a
/// printer may answer up to two lines later.
pub(super) const UNANSWERED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// The paper status queries and their replies. A printer that never answers is
/// used all the same.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    /// Index of the kind of query in use; past the last kind, none is sent.
    query: usize,
    /// Queries sent since the last reply, and when the first of them was sent.
    asked: usize,
    since: Duration,
    /// Whether the kind of query in use was ever answered.
    answered: bool,
    /// Consecutive replies that report the end of the paper.
    pub(super) ends: u32,
    /// Whether the last reply says that the end of the paper is near.
    near_end: bool,
}

impl Inquiry {
    /// One that begins with this kind of query.
    pub(super) fn with(query: usize) -> Self {
        Self { query, ..Self::default() }
    }

    /// The next query to send. The first kind that is answered stays in use.
    pub(super) fn ask(&mut self, now: Duration) -> Option<[u8; 3]> {
        if !self.answered && self.asked >= UNANSWERED && now - self.since >= PATIENCE {
            self.query += 1;
            self.asked = 0;
        }
        if self.asked == 0 {
            self.since = now;
        }
        self.asked += 1;
        QUERIES.get(self.query).map(|query| query.bytes)
    }

    /// Evaluates `count` received bytes, the last of which is `last`.
    pub(super) fn hear(&mut self, count: usize, last: u8) {
        // More bytes than queries are line noise, not replies.
        if count == 0 || count > self.asked {
            return;
        }
        let Some(roll) = QUERIES.get(self.query).and_then(|query| query.paper(last)) else {
            return;
        };
        self.answered = true;
        self.asked = 0;
        self.ends = if roll == PaperSensor::Out { self.ends + 1 } else { 0 };
        self.near_end = roll == PaperSensor::NearEnd;
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    pub(super) fn paper_has_ended(&self) -> bool {
        self.ends > 0
    }

    pub(super) fn paper_is_near_its_end(&self) -> bool {
        self.near_end
    }
}
