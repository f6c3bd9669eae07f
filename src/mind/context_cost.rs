//! How much memory a context takes, as llama.cpp counts it, and whether this
//! machine has it.

use std::ptr;

use anyhow::{Result, bail};
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2::{llama_context_params, llama_model};

use super::computing::Computing;

/// llama.cpp rounds a context up to a multiple of this many tokens.
const CONTEXT_STEP: u64 = 256;

/// Bytes for each token in llama.cpp's tables of the cache, which it does not
/// count: a cell of 52, and once the token is there two tree nodes of 48
/// (`llama-kv-cells.h`; nodes as glibc allocates them).
const TABLES: u64 = 148;

/// An allowance for what else llama.cpp does not count and what does not depend
/// on the context: the graph's own nodes, thread stacks, the allocator's slack.
const FIXED: u64 = 6 << 20;

// The wrappers hold nothing but what llama.cpp takes, so their bytes are its.
const _: () = assert!(size_of::<LlamaModel>() == size_of::<*mut llama_model>());
const _: () = assert!(size_of::<LlamaContextParams>() == size_of::<llama_context_params>());

unsafe extern "C" {
    /// In `context_cost.cpp`.
    fn torment_nexus_context_bytes(model: *mut llama_model, params: *const llama_context_params) -> usize;
}

/// Bytes of private memory that a context of `tokens` takes. One whose tables
/// alone are more than `available` is not simulated: a simulation makes them.
pub(super) fn cost(model: &LlamaModel, computing: &Computing, tokens: u32, available: u64) -> u64 {
    let apart = FIXED + u64::from(tokens).next_multiple_of(CONTEXT_STEP) * TABLES;
    if apart > available {
        return apart;
    }
    let params = computing.params(tokens);
    // SAFETY: both pointers are to what they are cast to (see above). The model is
    // changed and changed back while no other thread uses it: `Model` is not `Sync`.
    let counted = unsafe {
        let model = *ptr::from_ref(model).cast::<*mut llama_model>();
        torment_nexus_context_bytes(model, ptr::from_ref(&params).cast())
    };
    apart.saturating_add(counted as u64)
}

/// Checks a context of `tokens` against `available` bytes, with weights of
/// `weights` bytes mapped beside it; `cost` gives the bytes of a context of so
/// many tokens. Returns a warning where the weights do not fit beside it.
///
/// # Errors
///
/// When the context itself does not fit: the error says the memory that it
/// needs, and the largest context that fits.
pub(super) fn check(
    cost: impl Fn(u32) -> u64,
    tokens: u32,
    weights: u64,
    available: u64,
) -> Result<Option<String>> {
    let needed = cost(tokens);
    if needed > available {
        let next = match largest_within(cost, tokens, available) {
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

/// The largest context below `tokens` whose cost is at most `available` bytes;
/// 0 where none is. Searched from below, because a simulation takes memory too.
fn largest_within(cost: impl Fn(u32) -> u64, tokens: u32, available: u64) -> u32 {
    let (mut largest, mut next) = (0, CONTEXT_STEP);
    while let Some(fitting) = u32::try_from(next).ok().filter(|&next| next < tokens) {
        let needed = cost(fitting);
        if needed > available {
            break;
        }
        largest = fitting;
        // A part of the cost is fixed, so at least this many tokens fit.
        let more = (u128::from(next) * u128::from(available) / u128::from(needed)) as u64;
        next = (more / CONTEXT_STEP * CONTEXT_STEP).max(next + CONTEXT_STEP);
    }
    largest
}

/// Bytes in MB (10⁶), rounded up, so that what is needed is never understated.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// About SmolLM2-135M: its cache takes 12,240 bytes a token.
    fn smollm2(tokens: u32) -> u64 {
        12 * MB + u64::from(tokens).next_multiple_of(CONTEXT_STEP) * 12_240
    }

    #[test]
    fn a_context_that_does_not_fit_is_refused_with_the_largest_that_does() {
        for available in [16 * MB, 20 * MB, 80 * MB, 112 * MB] {
            let error = check(smollm2, 8192, 105 * MB, available).expect_err("too large").to_string();
            let largest = largest_within(smollm2, 8192, available);
            assert!(error.contains(&format!("--context-size {largest}")), "{error}");
            assert!(smollm2(largest) <= available && smollm2(largest + 1) > available, "{largest}");
        }
        let hopeless = check(smollm2, 256, 0, MB).expect_err("too large").to_string();
        assert!(hopeless.contains("smaller model"), "{hopeless}");
    }

    #[test]
    fn the_largest_context_is_found_in_a_few_simulations_none_of_which_takes_more_than_is_free() {
        let simulated = std::cell::Cell::new(0);
        let cost = |tokens| {
            simulated.set(simulated.get() + 1);
            assert!(smollm2(tokens) <= 100_012 * MB, "{tokens} are too many");
            smollm2(tokens)
        };
        assert!(largest_within(cost, u32::MAX, 100_000 * MB) > 8_168_000);
        assert!(simulated.get() < 10, "{} simulations", simulated.get());
    }

    #[test]
    fn weights_that_do_not_fit_beside_the_context_are_a_warning_only() {
        assert_eq!(check(smollm2, 2048, 105 * MB, 300 * MB).expect("fits"), None);
        let warning = check(smollm2, 2048, 637 * MB, 300 * MB).expect("the context fits");
        assert!(warning.expect("a warning").contains("637 MB"));
    }
}
