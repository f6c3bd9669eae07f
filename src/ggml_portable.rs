//! What `ggml.rs` is on other machines than aarch64: no kernels, but the same
//! promise that a batch has the bits of its tokens.

/// ggml's products of several tokens at once (llamafile's): never computed, so
/// that ggml goes on with a dot product for each result. The order in which
/// they sum differs from a single token's.
#[unsafe(no_mangle)]
extern "C" fn __wrap_llamafile_sgemm() -> bool {
    false
}
