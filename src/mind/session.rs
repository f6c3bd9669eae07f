//! One life's context: tokens in, logits and the next token out.

use std::fmt;

use anyhow::{Context, Result, anyhow, bail};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::choice::Choice;
use super::computing::{Computing, MAX_LOOKAHEAD};
use super::log::{backend, first_error};
use super::model::{Model, Token};
use super::prompt_state::{Key, PromptState, Unusable};
use super::sampler::{Logits, Sampling};
use super::speculation::Speculation;
use crate::board::memory;
use crate::life::ending::Ending;
use crate::life::generator::Mind;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Lifespan;
use crate::text::stderr::warn;

/// The sequence that a life is, in llama.cpp's batches.
const SEQUENCE: i32 = 0;

/// How the prompt came into the context.
#[derive(Debug)]
pub enum Prefill {
    /// From what an earlier life kept.
    Restored,
    /// Computed; with what kept it from being restored, or from being kept for
    /// the next life.
    Computed(String),
}

impl fmt::Display for Prefill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored => f.write_str("restored from an earlier life"),
            Self::Computed(why) => write!(f, "computed: {why}"),
        }
    }
}

/// A model's context in one life: what it was told and what it said.
pub struct Session<'model> {
    context: LlamaContext<'model>,
    model: &'model Model,
    batch: LlamaBatch<'static>,
    choice: Choice,
    computing: Computing,
    /// Tokens at which the life ends: what is beyond is not looked at.
    limit: u32,
    /// Tokens in the context, without those that are only looked ahead at.
    position: u32,
    /// The token spoken last, which the context has not taken in yet: the
    /// last one of a life never needs to be.
    spoken: Option<LlamaToken>,
    speculation: Speculation,
    /// Tokens computed beyond `position`, and how many of them were spoken.
    ahead: Vec<i32>,
    confirmed: usize,
    steps: u64,
}

impl<'model> Session<'model> {
    /// Makes an empty context for one life. Warns on stderr where the weights
    /// do not fit in memory beside it.
    ///
    /// # Errors
    ///
    /// When the context does not fit in memory.
    pub fn open(
        model: &'model Model,
        lifespan: Lifespan,
        computing: Computing,
        sampling: &Sampling,
    ) -> Result<Self> {
        let context_size = lifespan.context_size();
        if let Some(available) = memory::available() {
            let cost = model.context_cost(&computing);
            if let Some(warning) = cost.check(context_size, model.llama.size(), available)? {
                warn(warning);
            }
        }
        let open = |computing: Computing| {
            model.llama.new_context(&backend(), computing.params(context_size)).map(|made| (made, computing))
        };
        let opened = open(computing).or_else(|_| open(computing.plain()));
        let (context, mut computing) = opened.map_err(|error| {
            anyhow!(
                "llama.cpp cannot make a context for model {}: {}; --verbose shows its log, \
                 a smaller --context-size may help",
                model.name,
                first_error(&error.to_string())
            )
        })?;
        let most = if model.can_speculate() { MAX_LOOKAHEAD } else { 0 };
        computing.lookahead = computing.lookahead.min(most);
        Ok(Self {
            context,
            model,
            batch: LlamaBatch::new(computing.batch.max(u32::from(MAX_LOOKAHEAD) + 1) as usize, 1),
            choice: Choice::new(model, sampling, context_size),
            computing,
            limit: lifespan.limit(),
            position: 0,
            spoken: None,
            speculation: Speculation::with_capacity(context_size as usize),
            ahead: Vec::with_capacity(usize::from(MAX_LOOKAHEAD) + 1),
            confirmed: 0,
            steps: 0,
        })
    }

    /// Takes in the prompt: all but its last token from what `kept` has, if it
    /// has that, else a batch at a time, and then keeps it there. The last
    /// token is computed by itself either way, so that every life has the same
    /// bits.
    ///
    /// # Errors
    ///
    /// When a batch cannot be computed, or [`Ending::Interrupted`] within one
    /// batch of a signal.
    pub fn prefill(
        &mut self,
        tokens: &[Token],
        kept: Option<&PromptState>,
        interrupt: &Interrupt,
    ) -> Result<Prefill, Ending> {
        for token in tokens {
            self.choice.accept(token.0);
            self.speculation.push(token.0.0);
        }
        let Some((last, before)) = tokens.split_last() else { return Ok(Prefill::Restored) };
        let how = self.prefill_all_but_last(before, kept, interrupt)?;
        check(interrupt, self.position, tokens.len())?;
        self.take_in([last.0.0].into_iter(), 0)?;
        Ok(how)
    }

    fn prefill_all_but_last(
        &mut self,
        tokens: &[Token],
        kept: Option<&PromptState>,
        interrupt: &Interrupt,
    ) -> Result<Prefill, Ending> {
        let kept = kept.zip(self.key(tokens)).filter(|_| !tokens.is_empty());
        let mut note = match &kept {
            None => "nothing is kept".to_owned(),
            Some((kept, key)) => match self.restore(kept, *key, tokens.len()) {
                Ok(()) => return Ok(Prefill::Restored),
                Err(unusable) => unusable.to_string(),
            },
        };
        for batch in tokens.chunks(self.computing.batch as usize) {
            check(interrupt, self.position, tokens.len() + 1)?;
            self.take_in(batch.iter().map(|token| token.0.0), batch.len() - 1)?;
        }
        if let Some((kept, key)) = kept
            && let Err(error) = kept.write(key, &self.kv_cache())
        {
            note = format!("it cannot be kept: {error}");
        }
        Ok(Prefill::Computed(note))
    }

    /// What the state of these tokens depends on.
    fn key(&self, tokens: &[Token]) -> Option<Key> {
        // What build.rs found computes it.
        let code = env!("COMPUTING").as_bytes();
        let computing = self.computing.key(self.context.n_ctx());
        let tokens: Vec<u8> = tokens.iter().flat_map(|token| token.0.0.to_le_bytes()).collect();
        let identity = self.model.identity?;
        Some(Key::of(&[code, &identity, computing.as_bytes(), &tokens]))
    }

    fn restore(&mut self, kept: &PromptState, key: Key, tokens: usize) -> Result<(), Unusable> {
        let cache = kept.read(key)?;
        // SAFETY: these are the bytes that llama.cpp gave for this key.
        if unsafe { self.set_kv_cache(&cache) } && self.position as usize == tokens {
            return Ok(());
        }
        // A state that fails half way leaves its positions behind.
        self.context.clear_kv_cache();
        self.position = 0;
        Err(Unusable::Damaged)
    }

    /// What the context holds, as llama.cpp serialises a sequence.
    #[must_use]
    pub fn kv_cache(&self) -> Vec<u8> {
        let flags = LlamaStateSeqFlags::empty();
        let mut cache = vec![0; self.context.state_seq_get_size_ext(SEQUENCE, flags)];
        // SAFETY: the buffer is as long as llama.cpp asks for.
        let length = unsafe { self.context.state_seq_get_data_ext(cache.as_mut_ptr(), SEQUENCE, flags) };
        cache.truncate(length);
        cache
    }

    /// Puts what another context held into this one; whether that was taken.
    ///
    /// # Safety
    ///
    /// `cache` came from [`Session::kv_cache`], for this model and with the same
    /// [`Computing`], and is whole: llama.cpp believes every byte of it.
    pub unsafe fn set_kv_cache(&mut self, cache: &[u8]) -> bool {
        let flags = LlamaStateSeqFlags::empty();
        // SAFETY: this function's contract.
        let taken = unsafe { self.context.state_seq_set_data_ext(cache, SEQUENCE, flags) };
        self.position = u32::try_from(self.context.kv_cache_seq_pos_max(SEQUENCE) + 1).unwrap_or(0);
        taken
    }

    /// Decodes at most a batch of tokens; logits are computed from the one at
    /// index `first_logits` on.
    fn take_in(&mut self, tokens: impl Iterator<Item = i32>, first_logits: usize) -> Result<()> {
        self.batch.clear();
        for (index, token) in tokens.enumerate() {
            let position = self.position as i32 + index as i32;
            self.batch.add(LlamaToken::new(token), position, &[SEQUENCE], index >= first_logits)?;
        }
        self.position += self.batch.n_tokens() as u32;
        self.steps += 1;
        self.context.decode(&mut self.batch).with_context(|| {
            format!(
                "llama.cpp failed at token {} of model {}; --verbose shows its log, --model ember works without a file",
                self.position, self.model.name
            )
        })
    }

    /// Takes in the token that was spoken, and looks ahead where that may pay.
    /// One that was looked ahead at is there already.
    fn follow(&mut self, token: LlamaToken) -> Result<()> {
        if self.ahead.get(self.confirmed) == Some(&token.0) {
            self.confirmed += 1;
            self.position += 1;
            return Ok(());
        }
        if self.confirmed < self.ahead.len() {
            // The rest of what was looked ahead at was never said.
            self.context.kv_cache_seq_rm(SEQUENCE, Some(self.position), None)?;
        }
        self.ahead.clear();
        self.confirmed = 0;
        // The life's last token needs no logits after it.
        let room = self.limit.saturating_sub(self.position + 2);
        let most = u32::from(self.computing.lookahead).min(room) as usize;
        let mut tokens = std::mem::take(&mut self.ahead);
        tokens.push(token.0);
        self.speculation.foretell(most, &mut tokens);
        let taken = self.take_in(tokens.iter().copied(), 0);
        tokens.remove(0);
        self.position -= tokens.len() as u32;
        self.ahead = tokens;
        taken
    }

    /// The logits that the next token is chosen by, one for each token of the
    /// vocabulary.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        logits(&self.context, self.ahead.len() - self.confirmed)
    }

    /// Goes on as if `token` had been chosen.
    ///
    /// # Errors
    ///
    /// When it cannot be computed.
    pub fn follow_with(&mut self, token: Token) -> Result<()> {
        self.spoken = Some(token.0);
        self.speculation.push(token.0.0);
        self.follow(token.0)
    }

    /// Takes in several tokens at once, with logits after each of them, as
    /// looking ahead does.
    ///
    /// # Errors
    ///
    /// When they cannot be computed, or are more than a batch.
    pub fn follow_with_all(&mut self, tokens: &[Token]) -> Result<()> {
        self.take_in(tokens.iter().map(|token| token.0.0), 0)
    }

    /// How often the model was computed, for one token or several.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn choose(&mut self) -> Result<LlamaToken> {
        let computed = logits(&self.context, self.ahead.len() - self.confirmed);
        let logits = Logits { computed, apart: &[], changed: &[] };
        let prefers = self.spoken.is_some() || logits.prefer_any();
        let chosen = if prefers && logits.are_sound() { self.choice.choose(computed) } else { None };
        let Some(token) = chosen else {
            let fault = if prefers { "no finite numbers" } else { "the same number for every token" };
            bail!(
                "model {} computes {fault}: its weights are damaged; download or copy it again",
                self.model.name
            );
        };
        self.choice.accept(token);
        self.speculation.push(token.0);
        Ok(token)
    }
}

/// The logits of the last batch's last token but `ahead`.
fn logits<'a>(context: &'a LlamaContext<'_>, ahead: usize) -> &'a [f32] {
    context.get_logits_ith(-1 - ahead as i32)
}

/// Whether the prompt may go on being taken in.
fn check(interrupt: &Interrupt, taken: u32, of: usize) -> Result<(), Ending> {
    if interrupt.is_raised() {
        let place = format!("while reading the prompt, at {taken} of {of} tokens");
        return Err(Ending::Interrupted(place));
    }
    Ok(())
}

impl Mind for Session<'_> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        if let Some(token) = self.spoken {
            self.follow(token)?;
        }
        let token = self.choose()?;
        self.spoken = Some(token);
        self.model.llama.vocab().token_to_piece_into(token, piece, false, None);
        Ok(())
    }
}

impl Drop for Session<'_> {
    /// Nothing follows the last line of a life, llama.cpp's farewells neither.
    fn drop(&mut self) {
        backend().void_logs();
    }
}
