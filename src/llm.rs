//! Model, context, tokens in and out: the only user of llama-cpp-2.
//!
//! A model file comes here with a header that [`crate::gguf`] let pass. What
//! llama.cpp refuses all the same is told in its own words, and an assertion
//! that fails inside it is a fault with exit status 1, not an abort.

use std::ffi::{CStr, c_char, c_void};
use std::num::NonZeroU32;
use std::path::Path;
use std::ptr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;
use llama_cpp_sys_2::{
    GGML_LOG_LEVEL_ERROR, LLAMA_FLASH_ATTN_TYPE_DISABLED, ggml_log_level, ggml_set_abort_callback,
    llama_log_set,
};

use crate::ending::{self, Ending};
use crate::generator::Mind;
use crate::interrupt::Interrupt;
use crate::lifespan::Lifespan;
use crate::memory::{self, ContextCost};
use crate::model::ModelFile;
use crate::sampler::{Sampling, argmax};
use crate::stderr::say;

/// Tokens decoded at once while the prompt is taken in. Its buffers hold
/// logits for each of them (6 MB at 49,152 tokens), and a signal waits for
/// one batch: two to three seconds on the board.
const BATCH: u32 = 32;

/// The sequence that a life is, in llama.cpp's batches.
const SEQUENCE: i32 = 0;

/// Texts at which DRY forgets: llama.cpp's own defaults.
const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// llama.cpp's process-wide state. It is never freed: contexts die with the
/// process.
static BACKEND: LazyLock<Mutex<LlamaBackend>> = LazyLock::new(|| {
    // SAFETY: the callback is a plain function that may be called on any thread.
    unsafe { ggml_set_abort_callback(Some(give_up)) };
    Mutex::new(LlamaBackend::init().expect("this is the only place that initialises llama.cpp"))
});

/// Ends the process where llama.cpp would abort it.
unsafe extern "C" fn give_up(message: *const c_char) {
    // SAFETY: ggml_abort passes a C string of its own stack.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    // `path:line: what`, the path as of the machine that built it.
    let (path, what) = message.split_once(':').unwrap_or(("llama.cpp", &message));
    let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    ending::fail_at_once(&format!(
        "llama.cpp cannot go on with this model ({file}:{what}); name another one with --model, or give \
         --model ember"
    ))
}

/// The first error of llama.cpp's log: what comes later follows from it.
static FIRST_ERROR: Mutex<String> = Mutex::new(String::new());

/// Keeps llama.cpp's first error from now on, and drops the rest of its log.
fn keep_first_error() {
    unsafe extern "C" fn keep(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
        let mut first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
        if level == GGML_LOG_LEVEL_ERROR && first.is_empty() {
            // SAFETY: llama.cpp passes a C string that lives during the call.
            let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
            // `function: what`, with names out of the file in it.
            let what = text.split_once(": ").map_or(&*text, |(_, what)| what);
            let what = what.trim_start_matches("error loading model: ");
            *first = what.trim().chars().take(200).filter(|c| !c.is_control()).collect();
        }
    }
    FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).clear();
    // SAFETY: the callback is a plain function and takes no user data.
    unsafe { llama_log_set(Some(keep), ptr::null_mut()) };
}

/// llama.cpp's first error since [`keep_first_error`], else what `or` says.
fn first_error(or: &str) -> String {
    let first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if first.is_empty() { or.to_owned() } else { first.clone() }
}

fn backend() -> MutexGuard<'static, LlamaBackend> {
    BACKEND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The choices that decide speed, memory and the exact text, in one place.
///
/// Without flash attention the text does not depend on the number of threads;
/// an f16 cache is the reference that smaller ones are measured against.
fn context_params(context_size: u32, threads: u16) -> LlamaContextParams {
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(context_size))
        .with_n_batch(BATCH)
        .with_n_ubatch(BATCH)
        .with_n_threads(threads.into())
        .with_n_threads_batch(threads.into())
        .with_flash_attention_policy(LLAMA_FLASH_ATTN_TYPE_DISABLED)
        .with_type_k(KvCacheType::F16)
        .with_type_v(KvCacheType::F16)
        .with_offload_kqv(false)
        .with_op_offload(false)
        .with_no_perf(true)
}

/// A loaded model: its vocabulary in memory, its weights mapped.
#[derive(Debug)]
pub struct Model {
    model: LlamaModel,
    name: String,
    /// Tokens that may never be chosen, ascending: those that end the
    /// generation, control tokens, and those without any text.
    banned: Vec<usize>,
}

impl Model {
    /// Loads a model; its weights stay in the file and are mapped.
    ///
    /// llama.cpp's log goes to stderr if `verbose`, and nowhere otherwise.
    ///
    /// # Errors
    ///
    /// When llama.cpp cannot use the file, or [`Ending::Interrupted`] when the
    /// signal came first.
    pub fn load(file: &ModelFile, verbose: bool, interrupt: &Interrupt) -> Result<Self> {
        let backend = backend();
        if !verbose {
            keep_first_error();
        }
        let asked = interrupt.clone();
        let params = LlamaModelParams::default()
            .with_use_mmap(true)
            .with_n_gpu_layers(0)
            .with_progress_callback(move |_| !asked.is_raised());
        let model = LlamaModel::load_from_file(&backend, file.path(), &params).map_err(|_| {
            if interrupt.is_raised() {
                return Ending::Interrupted("while loading the model".to_owned()).into();
            }
            let why = first_error("it is damaged or of an unknown kind");
            anyhow!("llama.cpp cannot load model {file}: {why}; --verbose shows its log, --model ember works without a file")
        })?;
        let banned = banned_tokens(&model);
        ensure!(
            banned.len() < usize::try_from(model.n_vocab()).unwrap_or(0),
            "model {file} has no token that can be spoken; name another one with --model"
        );
        Ok(Self { model, name: file.to_string(), banned })
    }

    /// The tokens of a system message, framed by the model's own chat template
    /// with the assistant's turn opened; where the model has no template, or
    /// one that llama.cpp does not recognise, the tokens of the text alone.
    ///
    /// # Errors
    ///
    /// When the text has no token in this vocabulary.
    pub fn tokenize_prompt(&self, text: &str) -> Result<Vec<Token>> {
        let framed = ["system", "user"].iter().find_map(|role| self.frame(role, text));
        let text = framed.as_deref().unwrap_or(text);
        let tokens = self.model.vocab().tokenize(text.as_bytes(), true, true);
        ensure!(
            !tokens.is_empty(),
            "model {} has no tokens for the prompt; name another model with --model",
            self.name
        );
        Ok(tokens.into_iter().map(Token).collect())
    }

    /// `text` as the message of `role`, or `None` where the model's template
    /// is missing, unknown, or leaves the message out as some do with a
    /// system message that no user follows.
    fn frame(&self, role: &str, text: &str) -> Option<String> {
        let template = self.model.chat_template(None).ok()?;
        let message = LlamaChatMessage::new(role.to_owned(), text.to_owned()).ok()?;
        let framed = self.model.apply_chat_template(&template, &[message], true).ok()?;
        framed.contains(text).then_some(framed)
    }

    /// The number of tokens that the model was trained on, for a context of
    /// `context_size`.
    ///
    /// # Errors
    ///
    /// When the context is longer than that, or the model does not say.
    pub fn trained_context(&self, context_size: NonZeroU32) -> Result<u64> {
        // Not `n_ctx_train()`, which panics where the header says more than
        // an i32 holds.
        let trained = self.number("context_length").filter(|&trained| trained > 0).with_context(|| {
            format!(
                "model {} does not say how long its context may be; name another one with --model",
                self.name
            )
        })?;
        ensure!(
            u64::from(context_size.get()) <= trained,
            "--context-size {context_size} is beyond the {trained} tokens that model {} was trained for; \
             give --context-size {trained} or less",
            self.name
        );
        Ok(trained)
    }

    /// A number of the header, under the model's architecture.
    fn number(&self, key: &str) -> Option<u64> {
        let architecture = self.model.meta_val_str("general.architecture").ok()?;
        self.model.meta_val_str(&format!("{architecture}.{key}")).ok()?.parse().ok()
    }

    fn context_cost(&self) -> ContextCost {
        let heads = u64::from(self.model.n_head());
        let width = u64::try_from(self.model.n_embd()).unwrap_or(0);
        let head = width / heads.max(1);
        ContextCost {
            layers: u64::from(self.model.n_layer()),
            heads,
            kv_heads: u64::from(self.model.n_head_kv()),
            key_and_value: (self.number("attention.key_length").unwrap_or(head))
                .saturating_add(self.number("attention.value_length").unwrap_or(head)),
            vocabulary: u64::try_from(self.model.n_vocab()).unwrap_or(0),
            widest: self.number("feed_forward_length").unwrap_or(4 * width),
            batch: BATCH.into(),
        }
    }
}

/// A token of a model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(LlamaToken);

fn banned_tokens(model: &LlamaModel) -> Vec<usize> {
    let vocab = model.vocab();
    let mut piece = Vec::with_capacity(64);
    vocab
        .tokens()
        .enumerate()
        .filter(|&(_, token)| {
            piece.clear();
            vocab.token_to_piece_into(token, &mut piece, false, None);
            vocab.is_eog(token) || vocab.is_control(token) || piece.is_empty()
        })
        .map(|(index, _)| index)
        .collect()
}

/// How the next token is chosen; see [`crate::sampler`].
enum Choice {
    Argmax,
    Chain(LlamaSampler),
}

impl Choice {
    fn new(model: &Model, sampling: &Sampling, context_size: u32) -> Self {
        if sampling.is_plain_greedy() {
            return Self::Argmax;
        }
        // llama.cpp takes a window of -1 for none at all, and allocates any
        // other: no window is longer than the context.
        let context = i32::try_from(context_size).unwrap_or(i32::MAX);
        let window = |tokens: i32| if tokens < 0 { context } else { tokens.min(context) };
        let vocabulary = model.model.n_vocab();
        let bans: Vec<_> = model
            .banned
            .iter()
            .map(|&token| LlamaLogitBias::new(LlamaToken::new(token as i32), f32::NEG_INFINITY))
            .collect();
        let mut chain = vec![LlamaSampler::logit_bias(vocabulary, &bans)];
        if sampling.has_repeat_penalty() {
            let window = window(sampling.repeat_last_n);
            chain.push(LlamaSampler::penalties(vocabulary, window, sampling.repeat_penalty, 0.0, 0.0));
        }
        if sampling.has_dry() {
            chain.push(LlamaSampler::dry(
                &model.model,
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                window(sampling.dry_penalty_last_n),
                DRY_BREAKERS,
            ));
        }
        if sampling.has_dice() {
            // The order of llama.cpp's own tools.
            chain.push(LlamaSampler::top_k(sampling.top_k));
            chain.push(LlamaSampler::top_p(sampling.top_p, 1));
            chain.push(LlamaSampler::min_p(sampling.min_p, 1));
            chain.push(LlamaSampler::temp(sampling.temp));
            chain.push(LlamaSampler::dist(sampling.seed));
        } else {
            chain.push(LlamaSampler::greedy());
        }
        Self::Chain(LlamaSampler::chain(chain, true))
    }
}

/// A model's context in one life: what it was told and what it said.
pub struct Session<'model> {
    context: LlamaContext<'model>,
    model: &'model Model,
    batch: LlamaBatch<'static>,
    choice: Choice,
    /// Tokens in the context.
    position: i32,
    /// The token spoken last, which the context has not taken in yet: the
    /// last one of a life never needs to be.
    spoken: Option<LlamaToken>,
}

impl<'model> Session<'model> {
    /// Makes an empty context for one life. Warns on stderr where the weights
    /// do not fit in memory beside it.
    ///
    /// # Errors
    ///
    /// When the context does not fit in memory.
    pub fn open(model: &'model Model, lifespan: Lifespan, threads: u16, sampling: &Sampling) -> Result<Self> {
        let context_size = lifespan.context_size();
        if let Some(available) = memory::available() {
            let warning = model.context_cost().check(context_size, model.model.size(), available)?;
            if let Some(warning) = warning {
                say(&format!("warning: {warning}\n"));
            }
        }
        let context =
            model.model.new_context(&backend(), context_params(context_size, threads)).map_err(|error| {
                anyhow!(
                    "llama.cpp cannot make a context for model {}: {}; --verbose shows its log, \
                     a smaller --context-size may help",
                    model.name,
                    first_error(&error.to_string())
                )
            })?;
        Ok(Self {
            context,
            model,
            batch: LlamaBatch::new(BATCH as usize, 1),
            choice: Choice::new(model, sampling, context_size),
            position: 0,
            spoken: None,
        })
    }

    /// Takes in the prompt, a batch at a time.
    ///
    /// # Errors
    ///
    /// When a batch cannot be computed, or [`Ending::Interrupted`] within one
    /// batch of a signal.
    pub fn prefill(&mut self, tokens: &[Token], interrupt: &Interrupt) -> Result<()> {
        if let Choice::Chain(sampler) = &mut self.choice {
            sampler.accept_many(tokens.iter().map(|token| token.0));
        }
        for batch in tokens.chunks(BATCH as usize) {
            if interrupt.is_raised() {
                let place =
                    format!("while reading the prompt, at {} of {} tokens", self.position, tokens.len());
                return Err(Ending::Interrupted(place).into());
            }
            self.take_in(batch.iter().map(|token| token.0))?;
        }
        Ok(())
    }

    /// Decodes at most [`BATCH`] tokens; the last one's logits can be read
    /// afterwards.
    fn take_in(&mut self, tokens: impl ExactSizeIterator<Item = LlamaToken>) -> Result<()> {
        self.batch.clear();
        let last = tokens.len() - 1;
        for (index, token) in tokens.enumerate() {
            self.batch.add(token, self.position, &[SEQUENCE], index == last)?;
            self.position += 1;
        }
        self.context.decode(&mut self.batch).with_context(|| {
            format!(
                "llama.cpp failed at token {} of model {}; --verbose shows its log, --model ember works without a file",
                self.position, self.model.name
            )
        })
    }

    fn choose(&mut self) -> Result<LlamaToken> {
        let logits = self.context.get_logits_ith(-1);
        let greatest = argmax(logits, &self.model.banned);
        // Dice would fall on a NaN, which an infinite logit becomes where it
        // is banned, or llama.cpp's sorting would.
        let sound = !logits.iter().any(|&logit| logit.is_nan() || logit == f32::INFINITY);
        // Weights that are all zero, as where a card lost them, prefer nothing.
        let prefers = self.spoken.is_some() || logits.iter().any(|&logit| logit != logits[0]);
        let Some(greatest) = greatest.filter(|_| sound && prefers) else {
            let fault = if prefers { "no finite numbers" } else { "the same number for every token" };
            bail!(
                "model {} computes {fault}: its weights are damaged; download or copy it again",
                self.model.name
            );
        };
        Ok(match &mut self.choice {
            Choice::Argmax => LlamaToken::new(greatest as i32),
            Choice::Chain(sampler) => sampler.sample(&self.context, -1),
        })
    }
}

impl Mind for Session<'_> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        if let Some(token) = self.spoken {
            self.take_in(std::iter::once(token))?;
        }
        let token = self.choose()?;
        self.spoken = Some(token);
        self.model.model.vocab().token_to_piece_into(token, piece, false, None);
        Ok(())
    }
}

impl Drop for Session<'_> {
    /// Nothing follows the last line of a life, llama.cpp's farewells neither.
    fn drop(&mut self) {
        backend().void_logs();
    }
}
