//! The two functions of ggml that our kernels replace.
//!
//! The linker redirects ggml's calls of these two functions to here (`--wrap`,
//! in `build.rs`). Formats and shapes that our kernels do not support are
//! passed on to ggml's own code.

use std::cell::Cell;
#[cfg(test)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use llama_cpp_sys_2::ggml_tensor;

use crate::Own;
use crate::abi::{__real_ggml_compute_forward_flash_attn_ext, Share};
use crate::flash_attention::FlashAttention;

static LEFT_TO_GGML: AtomicBool = AtomicBool::new(false);

/// Passes every call on to ggml's own code from now on: the baseline of a
/// measurement.
pub fn leave_to_ggml() {
    LEFT_TO_GGML.store(true, Relaxed);
}

thread_local! {
    /// Whether this thread is in one of our kernels.
    static COMPUTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in one of our kernels, and not in ggml's: whose fault
/// it is if it crashes. Safe in a signal handler.
#[must_use]
pub fn is_computing() -> bool {
    COMPUTING.get()
}

/// The hooks that ggml has entered: if the linker no longer wrapped the functions, or
/// ggml called others, only the speed would change.
#[cfg(test)]
pub(crate) static ENTERED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

/// ggml's `llamafile_sgemm`: a product of `rows` × `depth` blocks of weights
/// and `tokens` × `depth` blocks of activations. Returns whether it was
/// computed; if not, ggml computes a dot product for each result, as its own
/// function leaves it to do in these formats on a Cortex-A53.
///
/// # Safety
///
/// ggml calls it, with arguments that are valid for `llamafile_sgemm`.
#[cfg(kernels = "neon")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __wrap_llamafile_sgemm(
    share: *const Share,
    rows: i64,
    tokens: i64,
    depth: i64,
    weights: *const std::ffi::c_void,
    weights_stride: i64,
    activations: *const std::ffi::c_void,
    activations_stride: i64,
    results: *mut std::ffi::c_void,
    results_stride: i64,
    weights_type: std::ffi::c_int,
    activations_type: std::ffi::c_int,
    results_type: std::ffi::c_int,
) -> bool {
    use llama_cpp_sys_2::{GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q4_K, GGML_TYPE_Q5_0};
    use llama_cpp_sys_2::{GGML_TYPE_Q6_K, GGML_TYPE_Q8_0, GGML_TYPE_Q8_K};

    use crate::blocks::{F16, Q4K, Q5_0, Q6K, Q8_0};
    use crate::matmul::Product;

    // What llamafile asserts of its arguments, at least one block in a row,
    // and results in f32. Anything else is left to ggml.
    let sound = rows >= 0
        && tokens >= 0
        && depth > 0
        && weights_stride >= depth
        && activations_stride >= depth
        && results_stride >= rows
        && results_type as u32 == GGML_TYPE_F32;
    if !sound || LEFT_TO_GGML.load(Relaxed) {
        return false;
    }
    macro_rules! compute {
        ($block:ty) => {
            compute!($block, 1)
        };
        // For types whose blocks ggml counts as `$numbers` blocks of one number.
        ($block:ty, $numbers:literal) => {{
            #[cfg(test)]
            ENTERED.lock().expect("the hooks entered").push(stringify!($block));
            let product = Product::<$block> {
                blocks: depth as usize / $numbers,
                weights: weights.cast(),
                weights_stride: weights_stride as usize / $numbers,
                activations: activations.cast(),
                activations_stride: activations_stride as usize / $numbers,
                results: results.cast(),
                results_stride: results_stride as usize,
            };
            COMPUTING.set(true);
            // SAFETY: ggml passes a valid share, and operands of these types and
            // sizes; the strides were checked to be no shorter than a row of
            // `depth` blocks.
            unsafe { product.compute((*share).my_rows(rows as usize), tokens as usize) };
            COMPUTING.set(false);
            true
        }};
    }
    let is_voice = (weights_type as u32, activations_type as u32) == (GGML_TYPE_F16, GGML_TYPE_F32);
    if is_voice && (depth, weights_stride) == (8, 8) {
        #[cfg(test)]
        ENTERED.lock().expect("the hooks entered").push("short rows");
        COMPUTING.set(true);
        // SAFETY: as above; a row is one block.
        unsafe {
            let rows = (*share).my_rows(rows as usize);
            for token in 0..tokens as usize {
                let activations = activations.cast::<f32>().add(token * activations_stride as usize);
                let results = results.cast::<f32>().add(token * results_stride as usize);
                F16::short_rows(weights.cast(), activations.cast(), results, rows.clone());
            }
        }
        COMPUTING.set(false);
        return true;
    }
    let eights = [depth, weights_stride, activations_stride].iter().all(|count| count % 8 == 0);
    match (weights_type as u32, activations_type as u32) {
        (GGML_TYPE_F16, GGML_TYPE_F32) if eights => compute!(F16, 8),
        (GGML_TYPE_Q5_0, GGML_TYPE_Q8_0) => compute!(Q5_0),
        (GGML_TYPE_Q8_0, GGML_TYPE_Q8_0) => compute!(Q8_0),
        (GGML_TYPE_Q4_K, GGML_TYPE_Q8_K) => compute!(Q4K),
        (GGML_TYPE_Q6_K, GGML_TYPE_Q8_K) => compute!(Q6K),
        _ => false,
    }
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
                #[cfg(test)]
                ENTERED.lock().expect("the hooks entered").push("attention");
                COMPUTING.set(true);
                attention.compute::<Own>(&*share);
                COMPUTING.set(false);
            }
            _ => __real_ggml_compute_forward_flash_attn_ext(share, result),
        }
    }
}
