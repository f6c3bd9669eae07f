//! The part of ggml's private ABI that the hooks rely on, copied by hand from
//! its headers. The build checks every line of it by compiling `abi.c` against
//! those headers: see docs/UPGRADING-LLAMA.md.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;

use llama_cpp_sys_2::ggml_tensor;

/// `struct ggml_compute_params` of ggml-cpu-impl.h: a thread's share of an
/// operation.
#[repr(C)]
pub(crate) struct Share {
    /// This thread's index, below `threads`.
    pub(crate) thread: c_int,
    pub(crate) threads: c_int,
    /// Bytes of memory at `work`, which all threads share.
    pub(crate) work_size: usize,
    pub(crate) work: *mut c_void,
    pub(crate) pool: *mut c_void,
    /// Whether ggml asks for its own reference implementation.
    pub(crate) use_reference: bool,
}

// Keep these numbers equal to those in abi.c.
const _: () = assert!(offset_of!(Share, thread) == 0 && offset_of!(Share, threads) == 4);
const _: () = assert!(offset_of!(Share, work_size) == 8 && offset_of!(Share, work) == 16);
const _: () = assert!(offset_of!(Share, pool) == 24 && offset_of!(Share, use_reference) == 32);
const _: () = assert!(size_of::<Share>() == 40);

unsafe extern "C" {
    /// ggml's own flash attention, under the name that `--wrap` gives it.
    pub(crate) fn __real_ggml_compute_forward_flash_attn_ext(share: *const Share, result: *mut ggml_tensor);

    /// Waits until all threads of the pool have called it.
    pub(crate) fn ggml_barrier(pool: *mut c_void);
}

impl Share {
    /// The indices of this thread's share of `count` pieces of work.
    pub(crate) fn mine(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.thread as usize..count).step_by(self.threads as usize)
    }

    /// The range of this thread's share of `count` rows: a multiple of four
    /// rows, except for the last share.
    #[cfg(kernels = "neon")]
    pub(crate) fn my_rows(&self, count: usize) -> std::ops::Range<usize> {
        let (thread, threads) = (self.thread as usize, self.threads as usize);
        let quads = count.div_ceil(4);
        let bound = |thread: usize| (quads * thread / threads * 4).min(count);
        bound(thread)..bound(thread + 1)
    }
}
