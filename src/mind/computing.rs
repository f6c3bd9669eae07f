//! How a life is computed: threads, cache, batches.

use std::num::NonZeroU32;

use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_sys_2::{LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED};

/// Tokens decoded at once while the prompt is taken in: its buffers grow with
/// it, and a signal waits for one batch, two seconds on the board.
const BATCH: u32 = 32;

/// The most tokens that are looked ahead. With the one before them they are
/// seven: from eight on, ggml computes products in another order, and a batch
/// would not have the bits of its tokens any more.
pub const MAX_LOOKAHEAD: u16 = 6;

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
    pub(super) fn plain(self) -> Self {
        Self { flash_attention: false, keys: Cache::F16, values: Cache::F16, ..self }
    }

    pub(super) fn params(&self, context_size: u32) -> LlamaContextParams {
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
    pub(super) fn key(&self, context_size: u32) -> String {
        let Self { flash_attention, keys, values, batch, .. } = self;
        format!("{context_size} {flash_attention} {keys:?} {values:?} {batch}")
    }
}
