//! The innermost loops for the Cortex-A53: ARMv8.0-A, without dot-product
//! instructions and without f16 arithmetic.
//!
//! ggml's own kernels for such a core compute one row at a time, look the fifth
//! bits of q5_0 up in a table, and convert every value of the KV cache to f32
//! once for each query head. These kernels share that work: four rows share the
//! activations, the tokens of a batch share the unpacked weights, and the query
//! heads that read one head of the cache share one pass over it.
//! `benches/README.md` has the counts.
//!
//! Products of q4_K and q6_K are bit-identical to ggml's. Those of q5_0 and
//! q8_0 are not: they round once where ggml's round twice, and keep one sum
//! where ggml's keep two.
//!
//! | file | what it knows |
//! |---|---|
//! | `registers` | register operations that products and attention share |
//! | `matmul` | tiles of matrix products |
//! | `attention` | scores and weighted sums over the cache |

mod attention;
mod matmul;
mod registers;

/// The NEON implementation of attention's loops.
pub(super) struct Neon;
