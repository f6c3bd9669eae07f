//! One life's context: decodes tokens, gives their logits, chooses the next
//! token.

use std::cell::OnceCell;
use std::ffi::c_void;
use std::fmt;
use std::ptr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_sys_2::llama_context_params;

use super::careful::Revocable;
use super::choice::Choice;
use super::computing::Computing;
use super::context_cost;
use super::log::{backend, first_error};
use super::model::{Model, Token, Voice};
use super::prompt_state::{PromptState, StateKey, Unusable};
use super::sampler::{self, Sampling};
use installation::board::{memory, threads};
use installation::life::ending::Ending;
use installation::life::generator::Mind;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::progress::{LoadStep, Progress};
use installation::text::stderr::warn;

/// llama.cpp's id of the one sequence in the context.
const SEQUENCE: i32 = 0;

/// How the prompt was prefilled.
#[derive(Debug)]
pub enum Prefill {
    /// Restored from the file that an earlier life kept.
    Restored,
    /// Computed; the text says why it was not restored, or why it could not be
    /// kept.
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

/// A model's context for one life: the prompt and the tokens generated so far.
pub struct Session<'model> {
    context: LlamaContext<'model>,
    /// What each operation answers to, once the prompt is prefilled: `context` points to it.
    interrupt: Box<OnceCell<Interrupt>>,
    model: &'model Model,
    batch: LlamaBatch<'static>,
    choice: Choice,
    computing: Computing,
    /// Tokens in the context.
    position: u32,
    /// The token chosen last, not decoded yet: the last token of a life never
    /// has to be.
    spoken: Option<Token>,
    /// All tokens of the text, those of the prompt first.
    history: Vec<Token>,
    /// Where tokens were taken back last, and those that were refused there.
    refused: (usize, Vec<Token>),
}

impl<'model> Session<'model> {
    /// Makes an empty context for one life. Warns on stderr where the weights
    /// do not fit in memory beside it.
    ///
    /// # Errors
    ///
    /// When the context does not fit in memory, or llama.cpp cannot make it.
    pub fn open(
        model: &'model Model,
        lifespan: Lifespan,
        computing: Computing,
        sampling: &Sampling,
    ) -> Result<Self> {
        let context_size = lifespan.context_size();
        // This thread computes too.
        ensure!(
            threads::can_run(computing.threads.saturating_sub(1)),
            "cannot start {} threads to compute with; give fewer --threads, or free some memory",
            computing.threads
        );
        let check = |computing: &Computing| -> Result<()> {
            let Some(available) = memory::available() else { return Ok(()) };
            let cost = |tokens| context_cost::cost(&model.llama, computing, tokens, available);
            if let Some(warning) = context_cost::check(cost, context_size, model.llama.size(), available)? {
                warn(warning);
            }
            Ok(())
        };
        check(&computing)?;
        let interrupt = Box::<OnceCell<Interrupt>>::default();
        let open = |computing: Computing| {
            let params = answering(computing.params(context_size), &interrupt);
            model.llama.new_context(&backend(), params).map(|made| (made, computing))
        };
        let opened = match open(computing) {
            Ok(opened) => Ok(opened),
            Err(_) => {
                // A larger cache.
                check(&computing.plain())?;
                open(computing.plain())
            }
        };
        let (mut context, computing) = opened.map_err(|error| {
            anyhow!(
                "llama.cpp cannot make a context for model {}: {}; -vv shows its log, \
                 a smaller --context-size may help",
                model.name,
                first_error(&error.to_string())
            )
        })?;
        if let Some(voice) = &model.voice {
            let set = context.lora_adapter_set(&mut voice.adapter.borrow_mut(), voice.scale);
            set.context("llama.cpp cannot use the voice; give --lora none")?;
        }
        Ok(Self {
            context,
            interrupt,
            model,
            batch: LlamaBatch::new(computing.batch as usize, 1),
            choice: Choice::new(model, sampling, context_size),
            computing,
            position: 0,
            spoken: None,
            history: Vec::with_capacity(context_size as usize),
            refused: (0, Vec::new()),
        })
    }

    /// Prefills the prompt: all but its last token from the file `kept`, if
    /// that has it, else decoded batch by batch and then written to the file.
    /// The last token is decoded by itself either way, so that every life has
    /// bit-identical logits.
    ///
    /// # Errors
    ///
    /// When a batch cannot be decoded, or [`Ending::Interrupted`] within one operation of
    /// a signal, which later tokens answer to too.
    pub fn prefill(
        &mut self,
        tokens: &[Token],
        kept: Option<&PromptState>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Prefill, Ending> {
        self.remember(tokens);
        let _ = self.interrupt.set(interrupt.clone());
        let Some((last, before)) = tokens.split_last() else { return Ok(Prefill::Restored) };
        let how = self.prefill_all_but_last(before, kept, progress, interrupt)?;
        self.prefill_batch(&[*last], tokens.len(), progress, interrupt)?;
        Ok(how)
    }

    /// Adds tokens to the text that penalties look back on, without
    /// decoding them.
    pub fn remember(&mut self, tokens: &[Token]) {
        tokens.iter().for_each(|token| self.choice.accept(token.0));
        self.history.extend(tokens);
    }

    fn prefill_all_but_last(
        &mut self,
        tokens: &[Token],
        kept: Option<&PromptState>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Prefill, Ending> {
        let whole = keeps_all(tokens.len(), self.model.sliding_window());
        let kept = kept.zip(self.key(tokens)).filter(|_| !tokens.is_empty() && whole);
        let mut note = match &kept {
            None if !whole => "it is longer than the model's attention window, so nothing is kept".to_owned(),
            None => "nothing is kept".to_owned(),
            Some((kept, key)) => match self.restore(kept, *key, tokens.len()) {
                Ok(()) => return Ok(Prefill::Restored),
                Err(unusable) => unusable.to_string(),
            },
        };
        for batch in tokens.chunks(self.computing.batch as usize) {
            self.prefill_batch(batch, tokens.len() + 1, progress, interrupt)?;
        }
        if let Some((kept, key)) = kept
            && let Err(error) = kept.write(key, &self.kv_cache())
        {
            note = format!("it cannot be kept: {error}");
        }
        Ok(Prefill::Computed(note))
    }

    /// Decodes a batch of a prompt of so many tokens, and tells that it goes on.
    fn prefill_batch(
        &mut self,
        batch: &[Token],
        of: usize,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Ending> {
        let taken = self.position;
        progress.at(LoadStep::Prompt { done: taken, of: u32::try_from(of).unwrap_or(u32::MAX) });
        self.decode(batch).map_err(|fault| match interrupt.is_raised() {
            true => Ending::Interrupted(format!("while reading the prompt, at {taken} of {of} tokens")),
            false => fault.into(),
        })
    }

    /// The key of the prompt state of these tokens; `None` where the model's
    /// file could not be identified.
    fn key(&self, tokens: &[Token]) -> Option<StateKey> {
        // The hash of the sources that compute, from build.rs.
        let code = env!("COMPUTING").as_bytes();
        let computing = self.computing.key(self.context.n_ctx());
        let tokens: Vec<u8> = tokens.iter().flat_map(|token| token.0.0.to_le_bytes()).collect();
        let identity = self.model.identity?;
        let voice = self.model.voice.as_ref().map(Voice::key).unwrap_or_default();
        Some(StateKey::of(&[code, &identity, &voice, computing.as_bytes(), &tokens]))
    }

    fn restore(&mut self, kept: &PromptState, key: StateKey, tokens: usize) -> Result<(), Unusable> {
        let cache = kept.read(key)?;
        // SAFETY: the key and the checksum say that `kv_cache` gave these
        // bytes, for this model and these settings.
        if unsafe { self.set_kv_cache(&cache) } && self.position as usize == tokens {
            return Ok(());
        }
        // A state that llama.cpp rejects half way leaves positions in the
        // cache.
        self.context.clear_kv_cache();
        self.position = 0;
        Err(Unusable::Damaged)
    }

    /// The KV cache, as llama.cpp serialises a sequence.
    #[must_use]
    pub fn kv_cache(&self) -> Vec<u8> {
        let flags = LlamaStateSeqFlags::empty();
        let mut cache = vec![0; self.context.state_seq_get_size_ext(SEQUENCE, flags)];
        // SAFETY: the buffer is as long as llama.cpp asks for.
        let length = unsafe { self.context.state_seq_get_data_ext(cache.as_mut_ptr(), SEQUENCE, flags) };
        cache.truncate(length);
        cache
    }

    /// Restores the KV cache of another context; returns whether llama.cpp took
    /// it.
    ///
    /// # Safety
    ///
    /// `cache` came from [`Session::kv_cache`], for this model and with the
    /// same [`Computing`], and is complete: llama.cpp trusts every byte of it.
    pub unsafe fn set_kv_cache(&mut self, cache: &[u8]) -> bool {
        let flags = LlamaStateSeqFlags::empty();
        // SAFETY: by this function's contract the bytes are a valid state.
        let taken = unsafe { self.context.state_seq_set_data_ext(cache, SEQUENCE, flags) };
        self.position = u32::try_from(self.context.kv_cache_seq_pos_max(SEQUENCE) + 1).unwrap_or(0);
        taken
    }

    /// Decodes at most a batch of tokens; logits are computed after the last one.
    fn decode(&mut self, tokens: &[Token]) -> Result<()> {
        self.batch.clear();
        for (token, left) in tokens.iter().zip((0..tokens.len()).rev()) {
            self.batch.add(token.0, self.position as i32, &[SEQUENCE], left == 0)?;
            self.position += 1;
        }
        self.context.decode(&mut self.batch).with_context(|| {
            format!(
                "llama.cpp failed at token {} of model {}; -vv shows its log, --model ember works without a file",
                self.position, self.model.name
            )
        })
    }

    /// Drops the tokens from `position` on from the cache, though not from the text that
    /// penalties look back on. A token must be decoded before the next is
    /// chosen. Recurrent and hybrid models can only drop all.
    ///
    /// # Errors
    ///
    /// When the model cannot drop them.
    pub fn drop_from(&mut self, position: u32) -> Result<()> {
        self.context.kv_cache_seq_rm(SEQUENCE, Some(position), None)?;
        self.position = position;
        Ok(())
    }

    /// The logits that the next token is chosen by: one for each token of the
    /// vocabulary.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        self.context.get_logits_ith(-1)
    }

    /// Decodes `token`, as if it had been chosen.
    ///
    /// # Errors
    ///
    /// When llama.cpp cannot decode it.
    pub fn follow_with(&mut self, token: Token) -> Result<()> {
        self.decode(&[token])
    }

    fn choose(&mut self) -> Result<Token> {
        let logits = self.context.get_logits_ith(-1);
        let prefers = self.spoken.is_some() || sampler::prefer_any(logits);
        let chosen = match &self.refused {
            _ if !prefers || !sampler::are_sound(logits) => None,
            (place, refused) if *place == self.history.len() && !refused.is_empty() => {
                let mut logits = logits.to_vec();
                refused.iter().for_each(|token| logits[token.0.0 as usize] = f32::NEG_INFINITY);
                self.choice.choose(&logits)
            }
            _ => self.choice.choose(logits),
        };
        let Some(token) = chosen else {
            let fault = if prefers { "no finite numbers" } else { "the same number for every token" };
            bail!(
                "model {} computes {fault}: its weights are damaged; download or copy it again",
                self.model.name
            );
        };
        self.remember(&[Token(token)]);
        Ok(Token(token))
    }
}

/// Whether llama.cpp keeps the whole KV cache of so many tokens in a state. With
/// a sliding attention `window` it leaves out the positions that no later token
/// attends to, and the tokens after a restored state get other logits.
fn keeps_all(tokens: usize, window: Option<u64>) -> bool {
    window.is_none_or(|window| (tokens as u64) < window)
}

/// The `params` of a context that asks after each operation, of which a token has hundreds,
/// whether its work is to be broken off, and so tells the supervisor that it goes on: where
/// the weights do not fit in memory, a token takes longer than a watchdog waits.
fn answering(mut params: LlamaContextParams, interrupt: &OnceCell<Interrupt>) -> LlamaContextParams {
    /// # Safety
    ///
    /// `interrupt` points to what [`answering`] was given.
    unsafe extern "C" fn breaks_off(interrupt: *mut c_void) -> bool {
        // SAFETY: it is alive while the context computes, and only this thread uses it:
        // ggml asks on the one that has it compute.
        let interrupt = unsafe { &*interrupt.cast::<OnceCell<Interrupt>>() };
        interrupt.get().is_some_and(Interrupt::breaks_off)
    }
    // SAFETY: the wrapper holds nothing but these parameters (see `context_cost`).
    let inner = unsafe { &mut *ptr::from_mut(&mut params).cast::<llama_context_params>() };
    inner.abort_callback = Some(breaks_off);
    inner.abort_callback_data = ptr::from_ref(interrupt).cast_mut().cast();
    params
}

impl Mind for Session<'_> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        if let Some(token) = self.spoken {
            self.follow_with(token)?;
        }
        let token = self.choose()?;
        self.spoken = Some(token);
        self.model.llama.vocab().token_to_piece_into(token.0, piece, false, None);
        Ok(())
    }
}

impl Revocable for Session<'_> {
    fn take_back(&mut self, count: usize) -> Result<bool> {
        let place = self.history.len().saturating_sub(count);
        let Some(last) = place.checked_sub(1) else { return Ok(false) };
        // The last token that stays is decoded again, for its logits.
        if self.drop_from(last as u32).is_err() {
            return Ok(false);
        }
        self.follow_with(self.history[last])?;
        if self.refused.0 != place {
            self.refused = (place, Vec::new());
        }
        self.refused.1.push(self.history[place]);
        self.history.truncate(place);
        self.choice.begin_again(&self.history);
        self.spoken = None;
        Ok(true)
    }
}

impl Drop for Session<'_> {
    /// Silences llama.cpp's log, so that nothing follows the last line of a
    /// life on stderr.
    fn drop(&mut self) {
        backend().void_logs();
    }
}

#[cfg(test)]
mod tests {
    use super::keeps_all;

    #[test]
    fn a_prompt_as_long_as_the_attention_window_is_not_kept() {
        assert!(keeps_all(4096, None) && keeps_all(511, Some(512)));
        assert!(!keeps_all(512, Some(512)));
    }
}
