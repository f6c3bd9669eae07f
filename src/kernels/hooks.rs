//! The two functions of ggml that our kernels replace.
//!
//! The linker redirects ggml's calls of these two functions to here (`--wrap`,
//! in `build.rs`). Formats and shapes that our kernels do not support are
//! passed on to ggml's own code, and so are all products on a target without
//! kernels of its own.
//!
//! ggml's own products of several tokens at once (llamafile's) are not used:
//! they add in another order than the product of a single token, and a batch of
//! tokens must give bit-identical results to the same tokens computed one by
//! one.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use llama_cpp_sys_2::ggml_tensor;

use super::Own;
use super::abi::{__real_ggml_compute_forward_flash_attn_ext, __real_llamafile_sgemm, Share};
use super::flash_attention::FlashAttention;

static LEFT_TO_GGML: AtomicBool = AtomicBool::new(false);

/// Passes every call on to ggml's own code from now on: the baseline of a
/// measurement. A batch of tokens then no longer gives bit-identical results to
/// the same tokens computed one by one.
pub fn leave_to_ggml() {
    LEFT_TO_GGML.store(true, Relaxed);
}

thread_local! {
    /// Whether this thread is in one of our kernels.
    static COMPUTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in one of our kernels, and not in ggml's: whose fault
/// it is if it crashes. Safe in a signal handler.
pub(crate) fn is_computing() -> bool {
    COMPUTING.get()
}

/// What the hooks compute: products, by the format of the weights, and
/// attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(kernels), expect(dead_code, reason = "ggml computes the products here"))]
pub(super) enum Hook {
    Q5_0,
    Q8_0,
    Q4K,
    Q6K,
    Attention,
}

/// Which hooks ggml has entered. Only tests read it: if the linker no longer
/// wrapped the functions, or ggml called others, only the speed would change.
static ENTERED: [AtomicBool; 5] = [const { AtomicBool::new(false) }; 5];

impl Hook {
    fn is_entered(self) {
        let entered = &ENTERED[self as usize];
        // Written once only, so that the cache line stays shared between the
        // cores.
        if !entered.load(Relaxed) {
            entered.store(true, Relaxed);
        }
    }

    /// Whether ggml has called this hook since the process began.
    #[cfg(test)]
    pub(super) fn was_entered(self) -> bool {
        ENTERED[self as usize].load(Relaxed)
    }
}

/// ggml's `llamafile_sgemm`: a product of `rows` × `depth` blocks of weights
/// and `tokens` × `depth` blocks of activations. Returns whether it was
/// computed; if not, ggml computes a dot product for each result.
///
/// # Safety
///
/// ggml calls it, with arguments that are valid for `llamafile_sgemm`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __wrap_llamafile_sgemm(
    share: *const Share,
    rows: i64,
    tokens: i64,
    depth: i64,
    weights: *const c_void,
    weights_stride: i64,
    activations: *const c_void,
    activations_stride: i64,
    results: *mut c_void,
    results_stride: i64,
    weights_type: c_int,
    activations_type: c_int,
    results_type: c_int,
) -> bool {
    if LEFT_TO_GGML.load(Relaxed) {
        // SAFETY: ggml's arguments are passed on unchanged.
        return unsafe {
            __real_llamafile_sgemm(
                share,
                rows,
                tokens,
                depth,
                weights,
                weights_stride,
                activations,
                activations_stride,
                results,
                results_stride,
                weights_type,
                activations_type,
                results_type,
            )
        };
    }
    #[cfg(kernels)]
    {
        use llama_cpp_sys_2::{GGML_TYPE_F32, GGML_TYPE_Q4_K, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K};
        use llama_cpp_sys_2::{GGML_TYPE_Q8_0, GGML_TYPE_Q8_K};

        use super::blocks::{Q4K, Q5_0, Q6K, Q8_0};
        use super::matmul::{Block, Product};

        /// # Safety
        ///
        /// As [`Product::compute`].
        unsafe fn compute<B: Block>(
            hook: Hook,
            product: Product<B>,
            rows: std::ops::Range<usize>,
            tokens: usize,
        ) -> bool {
            hook.is_entered();
            COMPUTING.set(true);
            // SAFETY: this function's contract is the callee's.
            unsafe { product.compute(rows, tokens) };
            COMPUTING.set(false);
            true
        }
        macro_rules! product {
            ($block:ty) => {
                Product::<$block> {
                    blocks: depth as usize,
                    weights: weights.cast(),
                    weights_stride: weights_stride as usize,
                    activations: activations.cast(),
                    activations_stride: activations_stride as usize,
                    results: results.cast(),
                    results_stride: results_stride as usize,
                }
            };
        }
        // What llamafile asserts of its arguments, at least one block in a row,
        // and results in f32. Anything else is left to ggml.
        let sound = rows >= 0
            && tokens >= 0
            && depth > 0
            && weights_stride >= depth
            && activations_stride >= depth
            && results_stride >= rows
            && results_type as u32 == GGML_TYPE_F32;
        if !sound {
            return false;
        }
        // SAFETY: ggml passes a valid share, and operands of these types and
        // sizes; the strides were checked to be no shorter than a row of
        // `depth` blocks.
        unsafe {
            let (rows, tokens) = ((*share).my_rows(rows as usize), tokens as usize);
            match (weights_type as u32, activations_type as u32) {
                (GGML_TYPE_Q5_0, GGML_TYPE_Q8_0) => compute(Hook::Q5_0, product!(Q5_0), rows, tokens),
                (GGML_TYPE_Q8_0, GGML_TYPE_Q8_0) => compute(Hook::Q8_0, product!(Q8_0), rows, tokens),
                (GGML_TYPE_Q4_K, GGML_TYPE_Q8_K) => compute(Hook::Q4K, product!(Q4K), rows, tokens),
                (GGML_TYPE_Q6_K, GGML_TYPE_Q8_K) => compute(Hook::Q6K, product!(Q6K), rows, tokens),
                _ => false,
            }
        }
    }
    #[cfg(not(kernels))]
    false
}

/// ggml's flash attention: computed here, or passed on to ggml's own function.
///
/// # Safety
///
/// Only ggml calls it, with a share of its own and the result of an operation
/// whose sources are as `ggml_flash_attn_ext` makes them.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_compute_forward_flash_attn_ext(
    share: *const Share,
    result: *mut ggml_tensor,
) {
    // SAFETY: ggml's structures are valid during the call; `of` checks that the
    // tensors have the sizes that `compute` relies on.
    unsafe {
        match FlashAttention::of(&*result).filter(|_| !(*share).use_reference) {
            Some(attention) if !LEFT_TO_GGML.load(Relaxed) => {
                Hook::Attention.is_entered();
                COMPUTING.set(true);
                attention.compute::<Own>(&*share);
                COMPUTING.set(false);
            }
            _ => __real_ggml_compute_forward_flash_attn_ext(share, result),
        }
    }
}
