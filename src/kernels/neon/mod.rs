//! The innermost loops for the Cortex-A53: ARMv8.0-A, without dot products and
//! without arithmetic on halves.
//!
//! ggml's own kernels for such a core work one row at a time, look the fifth
//! bits of q5_0 up in a table, and widen every value of the cache once for
//! each query head. These share what can be shared: the activations between
//! four rows, the weights between the tokens of a batch, the cache between the
//! query heads that read it. `benches/README.md` has the counts.
//!
//! Products of q4_K and q6_K are bit for bit ggml's; those of q5_0 and q8_0
//! round once where ggml's round twice, and keep one sum where ggml keeps two.
//!
//! | file | what it knows |
//! |---|---|
//! | `registers` | what both of the others do with a register |
//! | `matmul` | tiles of matrix products |
//! | `attention` | scores and weighted sums over the cache |

mod attention;
mod matmul;
mod registers;

/// This instruction set.
pub(super) struct Neon;
