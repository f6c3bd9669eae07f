//! The innermost loops for x86-64 with AVX2, which most machines have that
//! build the piece; with AVX-512's dot-product instruction for bytes where the
//! target has it.
//!
//! The products are bit-identical to ggml's: eight sums, each of every eighth
//! group of four numbers, added up in the same order.
//!
//! | file | what it knows |
//! |---|---|
//! | `bytes` | dot products of bytes, with and without AVX-512's instruction |
//! | `matmul` | tiles of matrix products |
//! | `attention` | scores and weighted sums over the cache |

mod attention;
mod bytes;
mod matmul;

/// The AVX2 implementation of attention's loops.
pub(super) struct Avx2;
