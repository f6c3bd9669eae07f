//! How much memory a context takes, and whether this machine has it.

use anyhow::{Result, bail};

/// llama.cpp rounds a context up to a multiple of this many tokens.
const CONTEXT_STEP: u64 = 256;

/// Bytes of a number in the buffers.
const F32: u64 = 4;

/// Numbers in a block of the key-value cache.
const BLOCK: u64 = 32;

/// An allowance for what depends neither on the model nor on the context: the
/// graph's own nodes, thread stacks, the allocator's slack. With it the
/// estimate for ember at 2,048 tokens, 9.1 MB, is just above the whole
/// program's private memory there (8.8 MB of RssAnon, measured on x86-64).
const FIXED: u64 = 5 << 20;

/// The numbers of a model and a batch that decide what a context costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContextCost {
    /// Layers that keep keys and values.
    pub layers: u64,
    /// Rows of the context's length that are in memory for each token of a
    /// batch: the mask, and without flash attention the scores of each head.
    pub score_rows: u64,
    /// Attention heads that keep keys and values.
    pub kv_heads: u64,
    /// Length of a key plus length of a value of one head, in numbers.
    pub key_and_value: u64,
    /// Bytes that 32 numbers take in the cache: 64 as f16, 34 as q8_0.
    pub cache_block: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// Width of the widest activation: the feed-forward layer's.
    pub widest: u64,
    /// Tokens decoded at once.
    pub batch: u64,
}

impl ContextCost {
    /// Bytes of private memory for a context of `tokens`: keys and values, and
    /// the buffers a batch is computed in.
    #[must_use]
    pub(super) fn bytes(&self, tokens: u32) -> u64 {
        let padded = u64::from(tokens).next_multiple_of(CONTEXT_STEP);
        padded.saturating_mul(self.per_token()).saturating_add(self.fixed())
    }

    fn per_token(&self) -> u64 {
        // A damaged header may hold any numbers: absurd products saturate.
        let numbers = product(&[self.layers, self.kv_heads, self.key_and_value]);
        let kv = product(&[numbers, self.cache_block]) / BLOCK;
        let scores = product(&[self.batch, self.score_rows, F32]);
        kv.saturating_add(scores)
    }

    fn fixed(&self) -> u64 {
        // The logits are held twice, in the graph and in the buffer that they
        // are read from; a few of the activations are held at the same time.
        let logits = product(&[2, self.batch, self.vocabulary, F32]);
        let activations = product(&[4, self.batch, self.widest, F32]);
        FIXED.saturating_add(logits).saturating_add(activations)
    }

    /// The largest context, in tokens, whose cost is at most `available`
    /// bytes; 0 where none is.
    #[must_use]
    pub(super) fn largest_within(&self, available: u64) -> u32 {
        let tokens = available.saturating_sub(self.fixed()) / self.per_token().max(1);
        let whole_steps = tokens / CONTEXT_STEP * CONTEXT_STEP;
        u32::try_from(whole_steps).unwrap_or(u32::MAX)
    }

    /// Checks a context of `tokens` against `available` bytes, with weights of
    /// `weights` bytes mapped beside it. Returns a warning where the weights
    /// do not fit beside the context.
    ///
    /// # Errors
    ///
    /// When the context itself does not fit: the error says the memory that it
    /// needs, and the largest context that fits.
    pub(super) fn check(&self, tokens: u32, weights: u64, available: u64) -> Result<Option<String>> {
        let needed = self.bytes(tokens);
        if needed > available {
            let next = match self.largest_within(available) {
                0 => "free some memory or name a smaller model with --model".to_owned(),
                largest => format!("the largest that fits is --context-size {largest}"),
            };
            bail!(
                "a context of {tokens} tokens needs {} of memory and {} are free; {next}",
                megabytes(needed),
                megabytes(available)
            );
        }
        let fits = needed.saturating_add(weights) <= available;
        Ok((!fits).then(|| {
            format!(
                "the model's {} do not fit in memory beside its context's {}: they will be read \
                 from the card again at every token, which is very slow",
                megabytes(weights),
                megabytes(needed)
            )
        }))
    }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, &factor| product.saturating_mul(factor))
}

/// Bytes in MB (10⁶), rounded up, so that what is needed is never understated.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2-135M, as its GGUF header says it.
    const SMOLLM2: ContextCost = ContextCost {
        layers: 30,
        score_rows: 1,
        kv_heads: 3,
        key_and_value: 128,
        cache_block: 34,
        vocabulary: 49152,
        widest: 1536,
        batch: 32,
    };

    const MB: u64 = 1_000_000;

    #[test]
    fn the_default_models_keys_and_values_take_12_240_bytes_a_token_and_23_040_as_f16() {
        let mask = 32 * F32;
        assert_eq!(SMOLLM2.per_token() - mask, 12_240);
        let f16 = ContextCost { cache_block: 64, ..SMOLLM2 };
        assert_eq!(f16.per_token() - mask, 23_040);
    }

    #[test]
    fn a_context_is_counted_as_llama_cpp_pads_it() {
        assert_eq!(SMOLLM2.bytes(1), SMOLLM2.bytes(256));
        assert!(SMOLLM2.bytes(257) > SMOLLM2.bytes(256));
    }

    #[test]
    fn a_context_that_does_not_fit_is_refused_with_the_largest_that_does() {
        let error = SMOLLM2.check(8192, 105 * MB, 80 * MB).expect_err("too large").to_string();
        let largest = SMOLLM2.largest_within(80 * MB);
        assert!(error.contains(&format!("--context-size {largest}")), "{error}");
        assert!(SMOLLM2.bytes(largest) <= 80 * MB);
        assert!(SMOLLM2.bytes(largest + 1) > 80 * MB);
        let hopeless = SMOLLM2.check(256, 0, MB).expect_err("too large").to_string();
        assert!(hopeless.contains("smaller model"), "{hopeless}");
    }

    #[test]
    fn weights_that_do_not_fit_beside_the_context_are_a_warning_only() {
        assert_eq!(SMOLLM2.check(2048, 105 * MB, 300 * MB).expect("fits"), None);
        let warning = SMOLLM2.check(2048, 637 * MB, 300 * MB).expect("the context fits");
        assert!(warning.expect("a warning").contains("637 MB"));
    }

    #[test]
    fn absurd_sizes_are_refused_and_do_not_overflow() {
        assert!(SMOLLM2.check(u32::MAX, u64::MAX, u64::MAX / 2).expect("fits").is_some());
        let absurd = ContextCost { key_and_value: u64::MAX / 128, widest: u64::MAX, ..SMOLLM2 };
        assert!(absurd.check(u32::MAX, 0, 400 * MB).is_err());
    }
}
