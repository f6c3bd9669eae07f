//! How long a life is, in tokens: from the prompt's to 95 % of the context.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Result, bail};

/// The share of the context at which a life ends, in percent.
pub(crate) const END_PERCENT: u64 = 95;

/// How full the context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Tokens in use, prompt included.
    pub used: u32,
    /// The context window in tokens, as the user gave it.
    pub context_size: u32,
}

impl Fill {
    /// The share of the context in use, 0 to 1.
    #[must_use]
    pub fn share(self) -> f32 {
        self.used as f32 / self.context_size.max(1) as f32
    }
}

/// The bounds of one life, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifespan {
    context_size: u32,
    prompt: u32,
    limit: u32,
}

impl Lifespan {
    /// A life of `context_size` tokens, as the user gave them, of which the
    /// prompt takes `prompt_tokens`. `trained` is the longest context that the
    /// model was trained for, in tokens; the error's message names it.
    ///
    /// # Errors
    ///
    /// When the prompt leaves no room for a single token.
    pub fn new(context_size: NonZeroU32, prompt_tokens: usize, trained: u64) -> Result<Self> {
        let context_size = context_size.get();
        let limit = (u64::from(context_size) * END_PERCENT / 100) as u32;
        match u32::try_from(prompt_tokens) {
            Ok(prompt) if prompt < limit => Ok(Self { context_size, prompt, limit }),
            _ => bail!(
                "the prompt's {prompt_tokens} tokens fill the {limit} that a life has at \
                 --context-size {context_size}; {}",
                ways_out(trained)
            ),
        }
    }

    /// A warning where the prompt leaves less than half of the life.
    #[must_use]
    pub fn warning(&self, trained: u64) -> Option<String> {
        let Self { prompt, limit, .. } = *self;
        (limit - prompt < limit.div_ceil(2)).then(|| {
            format!("the prompt takes {prompt} of the {limit} tokens of this life; {}", ways_out(trained))
        })
    }

    /// The context window in tokens, as the user gave it.
    #[must_use]
    pub fn context_size(&self) -> u32 {
        self.context_size
    }

    /// Tokens that the prompt takes.
    #[must_use]
    pub fn prompt(&self) -> u32 {
        self.prompt
    }

    /// The number of used tokens at which the life ends: floor(0.95 × context size).
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The fill when `used` tokens are used, prompt included.
    #[must_use]
    pub fn fill(&self, used: u32) -> Fill {
        Fill { used, context_size: self.context_size }
    }

    /// Tokens spoken a second, when `used` tokens were used after `time`.
    #[must_use]
    pub fn rate(&self, used: u32, time: Duration) -> f64 {
        rate(used - self.prompt, time)
    }

    /// What `--verbose` says after a life. `prefill` is the time that the prompt took to
    /// decode, if it was not restored. The rate leaves out what was `waited` for the paper.
    #[must_use]
    pub fn report(&self, used: u32, prefill: Option<Duration>, life: Duration, waited: Duration) -> String {
        let Self { context_size, prompt, .. } = *self;
        let spoken = used - prompt;
        format!(
            "{used} of {context_size} tokens used: {prompt} by the prompt, {spoken} spoken\n\
             {}life {:.2} s, {:.1} tokens/s{}\n",
            prefill.map_or(String::new(), |time| {
                format!("prompt {:.2} s, {:.1} tokens/s; ", time.as_secs_f64(), rate(prompt, time))
            }),
            life.as_secs_f64(),
            rate(spoken, life - waited),
            match waited.is_zero() {
                true => String::new(),
                false => format!(" without {:.2} s of waiting for the paper", waited.as_secs_f64()),
            },
        )
    }
}

fn ways_out(trained: u64) -> String {
    format!("shorten the prompt or give a larger --context-size (this model: at most {trained})")
}

fn rate(tokens: u32, time: Duration) -> f64 {
    f64::from(tokens) / time.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifespan(context_size: u32, prompt: usize) -> Result<Lifespan> {
        Lifespan::new(NonZeroU32::new(context_size).expect("not 0"), prompt, 8192)
    }

    #[test]
    fn a_life_ends_at_the_floor_of_95_percent_of_what_the_user_gave() {
        for (context_size, limit) in
            [(2048, Some(1945)), (100, Some(95)), (1, None), (u32::MAX, Some(4_080_218_930))]
        {
            assert_eq!(lifespan(context_size, 0).ok().map(|life| life.limit()), limit, "{context_size}");
        }
    }

    #[test]
    fn a_prompt_that_fills_the_life_is_refused_with_both_numbers_and_both_ways_out() {
        assert!(lifespan(100, 94).is_ok());
        let error = lifespan(100, 95).expect_err("no room").to_string();
        for part in
            ["95 tokens fill the 95", "--context-size 100", "shorten the prompt", "larger", "at most 8192"]
        {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        assert!(lifespan(100, usize::MAX).is_err());
    }
}
