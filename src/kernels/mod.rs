//! Attention, and on aarch64 matrix products, in place of ggml's. Imports nothing of
//! the program, which only asks whether a crash was in here: the linker redirects
//! ggml's calls to it. Targets other than aarch64 and x86-64 with AVX2 leave this
//! folder out.
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

pub mod hooks;

mod abi;
mod attention;
#[cfg(kernels = "avx2")]
mod avx2;
mod blocks;
mod flash_attention;
#[cfg(kernels = "neon")]
mod matmul;
#[cfg(kernels = "neon")]
mod neon;

#[cfg(test)]
mod tests;

/// The attention loops of the instruction set that this program is built for.
#[cfg(kernels = "avx2")]
use avx2::Avx2 as Own;
#[cfg(kernels = "neon")]
use neon::Neon as Own;
