//! `--pace`: the text comes at the speed at which it is read. A key ends that for
//! the rest of the life.

use std::time::{Duration, Instant};

use super::ending::Ending;
use super::interrupt::Interrupt;
use super::lifespan::Fill;
use super::listener::Listener;
use crate::text::terminal::Keys;

/// When the text that was shown so far is read. Pure: the time is passed in.
#[derive(Debug, Clone)]
struct Pace {
    /// Characters read in a second.
    speed: f64,
    /// The time until which the reader is busy.
    read: Duration,
}

impl Pace {
    fn new(speed: u32) -> Self {
        Self { speed: f64::from(speed), read: Duration::ZERO }
    }

    /// How long to wait at the time `now` before so many characters are shown: until
    /// those before are read. Text that comes late is not made up for by faster text
    /// after it.
    fn wait(&mut self, characters: usize, now: Duration) -> Duration {
        let begins = self.read.max(now);
        self.read = begins + Duration::from_secs_f64(characters as f64 / self.speed);
        begins - now
    }
}

/// A listener that is told each token's text when the text before is read.
pub(crate) struct Paced<'a, L> {
    listener: L,
    /// `None` if the text comes as fast as the model speaks.
    pace: Option<Pace>,
    keys: Option<Keys>,
    interrupt: &'a Interrupt,
    begun: Instant,
    waited: Duration,
}

impl<'a, L: Listener> Paced<'a, L> {
    /// Tells `listener` at most `speed` characters a second, until a key is pressed on
    /// stdin; at once without a speed. A signal ends each wait.
    pub(crate) fn new(listener: L, speed: Option<u32>, interrupt: &'a Interrupt) -> Self {
        let keys = speed.and_then(|_| Keys::of_stdin());
        Self {
            listener,
            pace: speed.map(Pace::new),
            keys,
            interrupt,
            begun: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    /// Ends the listening, sets the terminal back, and returns the time that was
    /// waited for the reader.
    pub(crate) fn end(self) -> Duration {
        self.waited
    }

    fn wait(&mut self, characters: usize) {
        let now = self.begun.elapsed();
        let Some(wait) = self.pace.as_mut().map(|pace| pace.wait(characters, now)) else { return };
        match &self.keys {
            Some(keys) => {
                if self.interrupt.or_next_within(keys.pressed(), wait).is_some() {
                    self.pace = None;
                }
            }
            None => {
                let _ = self.interrupt.is_raised_within(wait);
            }
        }
        self.waited += self.begun.elapsed().saturating_sub(now);
    }
}

impl<L: Listener> Listener for Paced<'_, L> {
    fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending> {
        if !text.is_empty() {
            self.wait(text.chars().count());
        }
        self.listener.token(text, fill)
    }

    /// The last words are read before the death is told.
    fn finish(&mut self) -> Result<(), Ending> {
        self.wait(0);
        self.listener.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_quick_model_is_held_to_the_readers_speed() {
        let (mut pace, mut now, mut shown) = (Pace::new(20), Duration::ZERO, 0);
        // Tokens of 4 characters, each computed in 10 ms.
        for token in 0..100 {
            now += Duration::from_millis(10);
            now += pace.wait(4, now);
            shown += 4;
            let read = (now.as_secs_f64() - 0.01) * 20.0 + 4.0;
            assert!((f64::from(shown) - read).abs() < 1e-6, "at token {token}: {shown} of {read}");
        }
    }

    #[test]
    fn a_slow_model_is_not_held_back_and_its_pauses_are_not_made_up_for() {
        let mut pace = Pace::new(20);
        let mut now = Duration::ZERO;
        for _ in 0..50 {
            now += SECOND;
            assert_eq!(pace.wait(4, now), Duration::ZERO);
        }
        // After a minute of silence the next tokens come at the reader's speed again.
        now += 60 * SECOND;
        assert_eq!(pace.wait(4, now), Duration::ZERO);
        assert_eq!(pace.wait(4, now), SECOND / 5);
    }

    #[test]
    fn what_is_read_while_the_next_token_is_computed_is_not_waited_for_again() {
        let mut pace = Pace::new(10);
        assert_eq!(pace.wait(10, Duration::ZERO), Duration::ZERO);
        assert_eq!(pace.wait(10, SECOND * 3 / 4), SECOND / 4);
    }

    #[test]
    fn a_signal_ends_a_wait_and_the_text_is_still_told() {
        struct Heard(String);
        impl Listener for &mut Heard {
            fn token(&mut self, text: &str, _: Fill) -> Result<(), Ending> {
                self.0.push_str(text);
                Ok(())
            }
        }
        let fill = Fill { used: 1, context_size: 2 };
        let (raise, interrupt) = Interrupt::new();
        let mut heard = Heard(String::new());
        // An hour a character.
        let mut paced = Paced::new(&mut heard, Some(1), &interrupt);
        paced.pace.as_mut().expect("a pace").speed = 1.0 / 3600.0;
        paced.token("a", fill).expect("the first is shown at once");
        drop(raise);
        paced.token("b", fill).expect("it is told");
        paced.finish().expect("it ends");
        assert!(paced.end() < 240 * SECOND);
        assert_eq!(heard.0, "ab");
    }
}
