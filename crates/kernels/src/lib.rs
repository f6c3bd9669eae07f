//! Attention, and on aarch64 matrix products, for a Cortex-A53 and for x86-64 with AVX2,
//! in place of ggml's. Knows nothing of the piece: any program that links llama.cpp by
//! llama-cpp-sys-2 can have them. Its build script has to give the linker
//! `--wrap=FUNCTION` for each function in `DEP_NEXUS_KERNELS_WRAP`, and
//! the linker then redirects ggml's calls of those to here.
//!
//! For another target there are none, and all is left to ggml.
//!
//! ```text
//! ggml ─► hooks ─► matmul ─► neon: tiles of products
//!            └───► flash_attention ─► attention ─► neon, avx2: loops
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | [`hooks`] | the two functions of ggml whose calls arrive here, and which operands are left to ggml |
//! | `abi` | the part of ggml's private ABI that the hooks rely on; `abi.c` checks it |
//! | `flash_attention` | ggml's attention operands, and how threads share them |
//! | `attention` | attention over the KV cache in chunks; the contract of its loops |
//! | `matmul` | products of weights and activations in tiles; the contract of a tile |
//! | `blocks` | the layouts of GGUF's block formats |
//! | `neon` | tiles and loops for every aarch64, scheduled for the Cortex-A53 |
//! | `avx2` | loops for x86-64 with AVX2 |

#[cfg(kernels)]
mod abi;
#[cfg(kernels)]
mod attention;
#[cfg(kernels = "avx2")]
mod avx2;
#[cfg(kernels)]
mod blocks;
#[cfg(kernels)]
mod flash_attention;
#[cfg(kernels)]
pub mod hooks;
#[cfg(kernels = "neon")]
mod matmul;
#[cfg(kernels = "neon")]
mod neon;

#[cfg(all(test, kernels))]
mod tests;

/// The attention loops of the instruction set that this program is built for.
#[cfg(kernels = "avx2")]
use avx2::Avx2 as Own;
#[cfg(kernels = "neon")]
use neon::Neon as Own;

/// Without kernels for this target all is ggml's.
#[cfg(not(kernels))]
pub mod hooks {
    /// Nothing else can be.
    pub fn leave_to_ggml() {}

    /// Never.
    #[must_use]
    pub fn is_computing() -> bool {
        false
    }
}
