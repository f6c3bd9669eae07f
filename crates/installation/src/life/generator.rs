//! The loop of a life: the next token, its text to the listener, until the
//! limit.

use std::time::Duration;

use anyhow::Result;

use super::ending::Ending;
use super::interrupt::Interrupt;
use super::lifespan::Lifespan;
use super::listener::Listener;
use crate::text::utf8::Utf8Stream;

/// How long to wait for a signal after stdout's reader has gone: a signal to a
/// whole pipeline may end the reader before it arrives here. Far more than the
/// kernel takes, far less than anyone notices.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

/// Something that generates tokens after its prompt was prefilled.
pub trait Mind {
    /// Chooses the next token and appends its bytes to `piece`, which is empty at the
    /// call. The bytes may end in the middle of a character. Fails when no token can be
    /// computed.
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()>;
}

/// Tells `listener` the `opening`, whose tokens count as the prompt's; then
/// generates tokens until the life's limit is reached, and tells each. Returns
/// the number of tokens used, prompt included.
///
/// # Errors
///
/// [`Ending::Interrupted`] within one token of a signal, [`Ending::Unheard`]
/// when stdout's reader has left, otherwise a fault of mind or listener.
pub fn run(
    opening: &str,
    mind: &mut impl Mind,
    listener: &mut impl Listener,
    lifespan: Lifespan,
    interrupt: &Interrupt,
) -> Result<u32, Ending> {
    let mut used = lifespan.prompt();
    let mut utf8 = Utf8Stream::default();
    let generated = listener
        .token(opening, lifespan.fill(used))
        .and_then(|()| generate(mind, listener, &mut utf8, &mut used, lifespan, interrupt));
    // Whatever ended the loop, the last character is completed and the last
    // line ended.
    let mut text = String::new();
    utf8.finish(&mut text);
    let closed = listener.token(&text, lifespan.fill(used)).and_then(|()| listener.finish());
    // A signal to a whole pipeline also ends the reader, and the broken pipe
    // may be noticed before the signal.
    let unheard = matches!(generated, Err(Ending::Unheard));
    if interrupt.is_raised() || unheard && interrupt.is_raised_within(SIGNAL_DELAY) {
        return Err(Ending::Interrupted(format!("at {used} of {} tokens", lifespan.limit())));
    }
    generated.and(closed).map(|()| used)
}

/// Generates until the limit or the interrupt, counting the tokens in `used`.
fn generate(
    mind: &mut impl Mind,
    listener: &mut impl Listener,
    utf8: &mut Utf8Stream,
    used: &mut u32,
    lifespan: Lifespan,
    interrupt: &Interrupt,
) -> Result<(), Ending> {
    // Both buffers are reused, so that a token allocates nothing.
    let mut piece = Vec::new();
    let mut text = String::new();
    while *used < lifespan.limit() && !interrupt.is_raised() {
        piece.clear();
        text.clear();
        mind.next(&mut piece)?;
        *used += 1;
        utf8.push(&piece, &mut text);
        listener.token(&text, lifespan.fill(*used))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::interrupt::Raise;
    use crate::text::stdout::Output;
    use anyhow::bail;
    use std::io::Write;
    use std::num::NonZeroU32;

    /// A mind that speaks a script, over and over; may raise an interrupt or
    /// fail at a token.
    struct Scripted {
        script: Vec<&'static [u8]>,
        spoken: usize,
        raise_at: Option<usize>,
        raise: Option<Raise>,
        fail_at: Option<usize>,
    }

    impl Scripted {
        fn saying(script: &[&'static [u8]]) -> Self {
            Self { script: script.to_vec(), spoken: 0, raise_at: None, raise: None, fail_at: None }
        }
    }

    impl Mind for Scripted {
        fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
            assert!(piece.is_empty(), "a piece comes empty");
            piece.extend_from_slice(self.script[self.spoken % self.script.len()]);
            self.spoken += 1;
            self.raise.take_if(|_| self.raise_at == Some(self.spoken));
            if self.fail_at == Some(self.spoken) {
                bail!("no more");
            }
            Ok(())
        }
    }

    fn lifespan(context_size: u32, prompt: usize) -> Lifespan {
        Lifespan::new(NonZeroU32::new(context_size).expect("not 0"), prompt, 8192).expect("room")
    }

    /// Lives a life whose prompt takes so many of those tokens.
    fn live_to(mind: &mut Scripted, context_size: u32, prompt: usize) -> (Result<u32, Ending>, String) {
        let (raise, interrupt) = Interrupt::new();
        mind.raise = Some(raise);
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes);
        let result = run("", mind, &mut output, lifespan(context_size, prompt), &interrupt);
        drop(output);
        (result, String::from_utf8(bytes).expect("stdout is valid UTF-8"))
    }

    /// Where a life was interrupted.
    fn place_of(ended: Result<u32, Ending>) -> String {
        let Err(Ending::Interrupted(place)) = ended else { panic!("{ended:?} is no interrupt") };
        place
    }

    #[test]
    fn a_life_counts_its_prompt_and_ends_at_95_percent() {
        let mut mind = Scripted::saying(&[b"I ", b"am "]);
        let (used, text) = live_to(&mut mind, 20, 15);
        assert_eq!(used.expect("a whole life"), 19);
        assert_eq!(text, "I am I am \n");
    }

    #[test]
    fn a_character_left_unfinished_by_the_last_token_is_still_valid_text() {
        let mut mind = Scripted::saying(&[b"a\xe2\x80"]);
        let (_, text) = live_to(&mut mind, 20, 18);
        assert_eq!(text, "a\u{fffd}\n");
    }

    #[test]
    fn a_signal_ends_the_life_before_the_next_token() {
        let mut mind = Scripted::saying(&[b"on "]);
        mind.raise_at = Some(3);
        let (ended, text) = live_to(&mut mind, 100, 10);
        assert_eq!(place_of(ended), "at 13 of 95 tokens");
        assert_eq!((mind.spoken, text.as_str()), (3, "on on on \n"));
    }

    #[test]
    fn a_signal_that_also_took_the_reader_is_still_a_signal() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (raise, interrupt) = Interrupt::new();
        let mut mind = Scripted::saying(&[b"on "]);
        (mind.raise_at, mind.raise) = (Some(1), Some(raise));
        let ended = run("", &mut mind, &mut Output::new(Gone), lifespan(100, 10), &interrupt);
        assert_eq!(place_of(ended), "at 11 of 95 tokens");
    }

    #[test]
    fn a_fault_of_the_mind_is_the_lifes_fault() {
        let mut mind = Scripted::saying(&[b"x"]);
        mind.fail_at = Some(2);
        let (ended, text) = live_to(&mut mind, 100, 10);
        assert_eq!(ended.expect_err("a fault").to_string(), "no more");
        assert_eq!((mind.spoken, text.as_str()), (2, "x\n"), "what was said ends its line");
    }
}
