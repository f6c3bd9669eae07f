//! Model, context, tokens in and out: the only user of llama-cpp-2.
//!
//! A model file comes here with a header that [`crate::model_file::gguf`] let pass. What
//! llama.cpp refuses all the same is told in its own words, and an assertion
//! that fails inside it is a fault with exit status 1, not an abort.

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::ptr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_sys_2::{
    GGML_LOG_LEVEL_ERROR, LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED, ggml_log_level,
    ggml_set_abort_callback, llama_log_set,
};

use crate::board::memory;
use crate::life::ending::{self, Ending};
use crate::life::generator::Mind;
use crate::life::interrupt::Interrupt;
use crate::life::lifespan::Lifespan;
use crate::mind::context_cost::ContextCost;
use crate::mind::prompt_state::{Key, PromptState, Unusable};
use crate::mind::sampler::{Logits, Sampling};
use crate::mind::speculation::Speculation;
use crate::model_file::name::ModelFile;
use crate::text::stderr::say;

/// Tokens decoded at once while the prompt is taken in: its buffers grow with
/// it, and a signal waits for one batch, two seconds on the board.
const BATCH: u32 = 32;

/// The most tokens that are looked ahead. With the one before them they are
/// seven: from eight on, ggml computes products in another order, and a batch
/// would not have the bits of its tokens any more.
pub const MAX_LOOKAHEAD: u16 = 6;

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

/// How the numbers of the cache are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Halves.
    F16,
    /// Blocks of 32 bytes with a scale, 34 bytes each.
    Q8_0,
}

impl Cache {
    fn kind(self) -> KvCacheType {
        match self {
            Self::F16 => KvCacheType::F16,
            Self::Q8_0 => KvCacheType::Q8_0,
        }
    }
}

/// The choices that decide speed, memory and the exact text, in one place.
/// `benches/README.md` has what each of them costs and gains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Computing {
    /// Threads that compute.
    pub threads: u16,
    /// Tokens looked ahead where the text repeats itself; 0 never does.
    pub lookahead: u16,
    /// Attention in one pass over the cache.
    pub flash_attention: bool,
    /// The cache's keys.
    pub keys: Cache,
    /// The cache's values; q8_0 only with flash attention.
    pub values: Cache,
    /// Tokens of the prompt decoded at once.
    pub batch: u32,
}

impl Computing {
    /// What a life is computed with. The text depends on neither number.
    #[must_use]
    pub fn new(threads: u16, lookahead: u16) -> Self {
        Self {
            threads,
            lookahead: lookahead.min(MAX_LOOKAHEAD),
            flash_attention: true,
            keys: Cache::Q8_0,
            values: Cache::Q8_0,
            batch: BATCH,
        }
    }

    /// What every model can be computed with: not every shape of head fits
    /// into the blocks of a smaller cache.
    fn plain(self) -> Self {
        Self { flash_attention: false, keys: Cache::F16, values: Cache::F16, ..self }
    }

    fn params(&self, context_size: u32) -> LlamaContextParams {
        let flash_attention =
            if self.flash_attention { LLAMA_FLASH_ATTN_TYPE_ENABLED } else { LLAMA_FLASH_ATTN_TYPE_DISABLED };
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(context_size))
            .with_n_batch(self.batch.max(u32::from(MAX_LOOKAHEAD) + 1))
            .with_n_ubatch(self.batch)
            .with_n_threads(self.threads.into())
            .with_n_threads_batch(self.threads.into())
            .with_flash_attention_policy(flash_attention)
            .with_type_k(self.keys.kind())
            .with_type_v(self.values.kind())
            .with_offload_kqv(false)
            .with_op_offload(false)
            .with_no_perf(true)
    }

    /// What of it a kept state depends on.
    fn key(&self, context_size: u32) -> String {
        let Self { flash_attention, keys, values, batch, .. } = self;
        format!("{context_size} {flash_attention} {keys:?} {values:?} {batch}")
    }
}

/// A loaded model: its vocabulary in memory, its weights mapped.
#[derive(Debug)]
pub struct Model {
    model: LlamaModel,
    name: String,
    /// Tokens that may never be chosen, ascending: those that end the
    /// generation, control tokens, and those without any text.
    banned: Vec<usize>,
    /// What tells its file from others, if that can be known.
    identity: Option<[u8; 32]>,
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
        Ok(Self { model, name: file.to_string(), banned, identity: file.identity().ok() })
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

    fn context_cost(&self, computing: &Computing) -> ContextCost {
        let heads = u64::from(self.model.n_head());
        let width = u64::try_from(self.model.n_embd()).unwrap_or(0);
        let head = width / heads.max(1);
        ContextCost {
            layers: u64::from(self.model.n_layer()),
            score_rows: if computing.flash_attention { 1 } else { heads.saturating_add(1) },
            kv_heads: u64::from(self.model.n_head_kv()),
            key_and_value: (self.number("attention.key_length").unwrap_or(head))
                .saturating_add(self.number("attention.value_length").unwrap_or(head)),
            cache_block: if computing.values == Cache::Q8_0 { 34 } else { 64 },
            vocabulary: u64::try_from(self.model.n_vocab()).unwrap_or(0),
            widest: self.number("feed_forward_length").unwrap_or(4 * width),
            batch: computing.batch.into(),
        }
    }

    /// What cannot forget its last tokens cannot look ahead.
    fn can_look_ahead(&self) -> bool {
        !self.model.is_recurrent() && !self.model.is_hybrid()
    }
}

/// A token of a model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(LlamaToken);

impl Token {
    /// The token of a number below the vocabulary's size.
    #[must_use]
    pub fn new(id: i32) -> Self {
        Self(LlamaToken::new(id))
    }
}

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

/// How the next token is chosen; see [`crate::mind::sampler`].
struct Choice {
    /// Changes the logits of tokens that occurred.
    penalties: Option<LlamaSampler>,
    /// Chooses among the best.
    dice: Option<LlamaSampler>,
    /// How many the best are; 0 for all.
    top_k: usize,
    /// Tokens that occurred and may be chosen, if there are penalties.
    /// Ascending, like the next.
    occurred: Vec<usize>,
    /// The banned ones and those that occurred.
    apart: Vec<usize>,
    changed: Vec<(usize, f32)>,
    best: Vec<(usize, f32)>,
    candidates: LlamaTokenDataArray,
}

impl Choice {
    fn new(model: &Model, sampling: &Sampling, context_size: u32) -> Self {
        // llama.cpp takes a window of -1 for none at all, and allocates any
        // other: no window is longer than the context.
        let context = i32::try_from(context_size).unwrap_or(i32::MAX);
        let window = |tokens: i32| if tokens < 0 { context } else { tokens.min(context) };
        let vocabulary = model.model.n_vocab();
        let top_k = usize::try_from(sampling.top_k).unwrap_or(0);
        let mut penalties = Vec::new();
        if sampling.has_repeat_penalty() {
            let window = window(sampling.repeat_last_n);
            penalties.push(LlamaSampler::penalties(vocabulary, window, sampling.repeat_penalty, 0.0, 0.0));
        }
        if sampling.has_dry() {
            penalties.push(LlamaSampler::dry(
                &model.model,
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                window(sampling.dry_penalty_last_n),
                DRY_BREAKERS,
            ));
        }
        // The order of llama.cpp's own tools, whose top-k comes first.
        let dice = sampling.has_dice().then(|| {
            LlamaSampler::chain(
                vec![
                    LlamaSampler::top_p(sampling.top_p, 1),
                    LlamaSampler::min_p(sampling.min_p, 1),
                    LlamaSampler::temp(sampling.temp),
                    LlamaSampler::dist(sampling.seed),
                ],
                true,
            )
        });
        // Room for all that a life may bring, so that no token makes any.
        let tokens = usize::try_from(vocabulary).unwrap_or(0);
        let occurring = if penalties.is_empty() { 0 } else { tokens.min(context_size as usize) };
        let best = match (&dice, top_k) {
            (None, _) => 0,
            (Some(_), 0) => tokens,
            (Some(_), count) => count.min(tokens),
        };
        let mut apart = Vec::with_capacity(model.banned.len() + occurring);
        apart.extend(&model.banned);
        Self {
            penalties: (!penalties.is_empty()).then(|| LlamaSampler::chain(penalties, true)),
            dice,
            top_k,
            occurred: Vec::with_capacity(occurring),
            apart,
            changed: Vec::with_capacity(occurring),
            best: Vec::with_capacity(best),
            candidates: LlamaTokenDataArray::new(Vec::with_capacity(best.max(occurring)), false),
        }
    }

    /// Takes in a token of the prompt or of the life.
    fn accept(&mut self, token: LlamaToken) {
        let Some(penalties) = &mut self.penalties else { return };
        penalties.accept(token);
        let Ok(token) = usize::try_from(token.0) else { return };
        // What is apart and did not occur is banned, and stays so.
        if let Err(at) = self.apart.binary_search(&token) {
            self.apart.insert(at, token);
            let at = self.occurred.partition_point(|&other| other < token);
            self.occurred.insert(at, token);
        }
    }

    /// Chooses by these logits; `None` where none is a finite number.
    fn choose(&mut self, computed: &[f32]) -> Option<LlamaToken> {
        self.changed.clear();
        if let Some(penalties) = &mut self.penalties {
            let occurred = self.occurred.iter().map(|&token| (token, computed[token]));
            fill(&mut self.candidates, occurred);
            penalties.apply(&mut self.candidates);
            let changed = self.candidates.data.iter();
            self.changed.extend(changed.map(|token| (token.id().0 as usize, token.logit())));
        }
        let logits = Logits { computed, apart: &self.apart, changed: &self.changed };
        let greatest = logits.greatest()?;
        let Some(dice) = &mut self.dice else { return Some(LlamaToken::new(greatest as i32)) };
        match self.top_k {
            0 => logits.all(&mut self.best),
            count => logits.top(count, &mut self.best),
        }
        fill(&mut self.candidates, self.best.iter().copied());
        self.candidates.sorted = self.top_k > 0;
        dice.apply(&mut self.candidates);
        self.candidates.selected_token()
    }
}

fn fill(candidates: &mut LlamaTokenDataArray, tokens: impl Iterator<Item = (usize, f32)>) {
    candidates.data.clear();
    let data = |(token, logit)| LlamaTokenData::new(LlamaToken::new(token as i32), logit, 0.0);
    candidates.data.extend(tokens.map(data));
    (candidates.selected, candidates.sorted) = (None, false);
}

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
            if let Some(warning) = cost.check(context_size, model.model.size(), available)? {
                say(&format!("warning: {warning}\n"));
            }
        }
        let open = |computing: Computing| {
            model.model.new_context(&backend(), computing.params(context_size)).map(|made| (made, computing))
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
        let most = if model.can_look_ahead() { MAX_LOOKAHEAD } else { 0 };
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
    ) -> Result<Prefill> {
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
    ) -> Result<Prefill> {
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
            && let Err(error) = kept.write(key, &self.state())
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
        let state = kept.read(key)?;
        // SAFETY: these are the bytes that llama.cpp gave for this key.
        if unsafe { self.set_state(&state) } && self.position as usize == tokens {
            return Ok(());
        }
        // A state that fails half way leaves its positions behind.
        self.context.clear_kv_cache();
        self.position = 0;
        Err(Unusable::Damaged)
    }

    /// What the context holds, as llama.cpp serialises a sequence.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let flags = LlamaStateSeqFlags::empty();
        let mut state = vec![0; self.context.state_seq_get_size_ext(SEQUENCE, flags)];
        // SAFETY: the buffer is as long as llama.cpp asks for.
        let length = unsafe { self.context.state_seq_get_data_ext(state.as_mut_ptr(), SEQUENCE, flags) };
        state.truncate(length);
        state
    }

    /// Puts what another context held into this one; whether that was taken.
    ///
    /// # Safety
    ///
    /// `state` came from [`Session::state`], for this model and with the same
    /// [`Computing`], and is whole: llama.cpp believes every byte of it.
    pub unsafe fn set_state(&mut self, state: &[u8]) -> bool {
        let flags = LlamaStateSeqFlags::empty();
        // SAFETY: the caller's word.
        let taken = unsafe { self.context.state_seq_set_data_ext(state, SEQUENCE, flags) };
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
fn check(interrupt: &Interrupt, taken: u32, of: usize) -> Result<()> {
    if interrupt.is_raised() {
        let place = format!("while reading the prompt, at {taken} of {of} tokens");
        return Err(Ending::Interrupted(place).into());
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
