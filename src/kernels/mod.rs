//! See the map in `lib.rs`.

pub mod hooks;

mod attention;
mod blocks;
#[cfg(kernels)]
mod matmul;
// build.rs says which.
#[cfg_attr(kernels = "neon", path = "neon.rs")]
#[cfg_attr(kernels = "avx2", path = "avx2.rs")]
#[cfg_attr(not(any(kernels = "neon", kernels = "avx2")), path = "portable.rs")]
mod own;
