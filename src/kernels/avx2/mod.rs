//! The innermost loops for x86-64 with AVX2, which is what most of those who
//! build the piece have before them; with AVX-512's dot products of bytes where
//! they are.
//!
//! The products are bit for bit ggml's: eight sums, each of every eighth group
//! of four numbers, added up in the same order.
//!
//! | file | what it knows |
//! |---|---|
//! | `bytes` | products of bytes, with and without AVX-512's dot products |
//! | `matmul` | tiles of matrix products |
//! | `attention` | scores and weighted sums over the cache |

mod attention;
mod bytes;
mod matmul;

/// This instruction set.
pub(super) struct Avx2;
