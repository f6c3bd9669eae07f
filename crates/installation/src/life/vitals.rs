//! What is measured while a life lasts: the tokens used, the temperature of the
//! processor, and what the firmware limits.

use std::time::{Duration, Instant};

use super::ending::Ending;
use super::lifespan::Fill;
use super::listener::Listener;
use crate::board::health::Health;

/// At most once in this time the board is asked: often enough for a temperature,
/// and nothing beside the tokens of that time.
const PERIOD: Duration = Duration::from_secs(5);

/// A listener that asks the board for its health every 5 s, by calling `read`.
/// On the other tokens it only looks at the time.
pub struct Vitals<R> {
    read: R,
    birth: Instant,
    /// When `read` is called next, counted from birth.
    next: Duration,
    seen: Readings,
}

/// What was measured. A value that the board does not have is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Readings {
    /// Tokens used, prompt included.
    pub used: u32,
    /// The highest temperature, in °C.
    pub celsius: Option<f64>,
    /// All limits that were ever in force: the firmware's `get_throttled`, low 16 bits.
    pub throttled: Option<u32>,
}

impl<R: FnMut() -> Health> Vitals<R> {
    /// Begins to measure; the first time in 5 s, so that nothing delays the first word.
    pub fn new(read: R) -> Self {
        Self { read, birth: Instant::now(), next: PERIOD, seen: Readings::default() }
    }

    /// Measures once more, and returns all that was seen.
    pub fn end(mut self) -> Readings {
        self.measure();
        self.seen
    }

    /// A token at this `time` after birth.
    fn at(&mut self, time: Duration) {
        if time >= self.next {
            self.next = time + PERIOD;
            self.measure();
        }
    }

    fn measure(&mut self) {
        let health = (self.read)();
        let seen = &mut self.seen;
        seen.celsius = seen.celsius.into_iter().chain(health.celsius).reduce(f64::max);
        seen.throttled = seen.throttled.into_iter().chain(health.limits_now()).reduce(|a, b| a | b);
    }
}

impl<R: FnMut() -> Health> Listener for Vitals<R> {
    fn token(&mut self, _: &str, fill: Fill) -> Result<(), Ending> {
        self.seen.used = fill.used;
        self.at(self.birth.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::health::Throttled;

    fn health(celsius: f64, throttled: u32) -> Health {
        Health { celsius: Some(celsius), throttled: Some(Throttled(throttled)), ..Health::default() }
    }

    /// How often the board is asked in a life of tokens at these times after birth.
    fn asked(tokens: impl IntoIterator<Item = Duration>) -> usize {
        let mut asked = 0;
        let mut vitals = Vitals::new(|| {
            asked += 1;
            Health::default()
        });
        tokens.into_iter().for_each(|token| vitals.at(token));
        assert_eq!(vitals.end(), Readings::default(), "this machine has no sensors");
        asked
    }

    #[test]
    fn the_board_is_asked_every_5_s_and_at_the_end_and_not_at_the_tokens_between() {
        // Ten tokens a second, for a minute; and one a minute.
        assert_eq!(asked((0..=600).map(|tenth| Duration::from_millis(tenth * 100))), 12 + 1);
        assert_eq!(asked((1..=3).map(|minute| Duration::from_secs(minute * 60))), 3 + 1);
    }

    #[test]
    fn the_hottest_moment_and_every_limit_are_remembered_and_what_was_before_is_not() {
        let mut measured =
            [health(60.0, 0x5_0000), health(81.5, 0x5_0004), health(70.0, 0x5_0001)].into_iter();
        let mut vitals = Vitals::new(|| measured.next().expect("asked three times"));
        vitals.at(PERIOD);
        vitals.at(2 * PERIOD);
        assert_eq!(vitals.end(), Readings { used: 0, celsius: Some(81.5), throttled: Some(0x5) });
    }

    #[test]
    fn the_used_tokens_are_those_of_the_last_token_heard() {
        let mut vitals = Vitals::new(Health::default);
        for used in [17, 18] {
            vitals.token("a", Fill { used, context_size: 100 }).expect("it never fails");
        }
        assert_eq!(vitals.end().used, 18);
    }
}
