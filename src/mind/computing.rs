//! What a life is computed with: threads, KV cache, batches.

use std::num::NonZeroU32;

/// The number format of the KV cache. `Q8_0`: blocks of 32 8-bit integers with an f16 scale,
/// 34 bytes each.
pub use llama_cpp_2::context::params::KvCacheType as Cache;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_sys_2::{LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED};

/// Tokens in one batch of the prefill. The compute buffers grow with it, and a
/// signal is noticed after one batch: an estimated two seconds on the board.
const BATCH: u32 = 32;

/// The settings that decide speed, memory and the exact text, in one place.
/// `benches/README.md` has what each of them costs and gains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Computing {
    /// Threads that compute.
    pub threads: u16,
    /// Whether llama.cpp uses flash attention.
    pub flash_attention: bool,
    /// Format of the cache's keys.
    pub keys: Cache,
    /// Format of the cache's values; q8_0 only with flash attention.
    pub values: Cache,
    /// Tokens of the prompt that are decoded at once.
    pub batch: u32,
}

impl Computing {
    /// The settings of a life. The text does not depend on `threads`.
    #[must_use]
    pub fn new(threads: u16) -> Self {
        Self { threads, flash_attention: true, keys: Cache::Q8_0, values: Cache::Q8_0, batch: BATCH }
    }

    /// The settings that every model supports: a head whose size is no multiple
    /// of 32 cannot be stored as q8_0.
    pub(super) fn plain(self) -> Self {
        Self { flash_attention: false, keys: Cache::F16, values: Cache::F16, ..self }
    }

    pub(super) fn params(&self, context_size: u32) -> LlamaContextParams {
        let flash_attention =
            if self.flash_attention { LLAMA_FLASH_ATTN_TYPE_ENABLED } else { LLAMA_FLASH_ATTN_TYPE_DISABLED };
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(context_size))
            .with_n_batch(self.batch)
            .with_n_ubatch(self.batch)
            .with_n_threads(self.threads.into())
            .with_n_threads_batch(self.threads.into())
            .with_flash_attention_policy(flash_attention)
            .with_type_k(self.keys)
            .with_type_v(self.values)
            .with_offload_kqv(false)
            .with_op_offload(false)
            .with_no_perf(true)
    }

    /// The part of the settings that a kept prompt state depends on.
    pub(super) fn key(&self, context_size: u32) -> String {
        let Self { flash_attention, keys, values, batch, .. } = self;
        format!("{context_size} {flash_attention} {keys:?} {values:?} {batch}")
    }
}
