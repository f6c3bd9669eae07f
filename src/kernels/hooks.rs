//! Where ggml's hot loops are led to ours.
//!
//! The linker does it (`--wrap`, in `build.rs`): ggml's calls of these two
//! functions arrive here. What ours are not made for goes on to ggml's own
//! code; so do products on a machine without kernels of its own. The
//! signatures are those of the pinned llama-cpp-sys-2.
//!
//! ggml's own products of several tokens at once (llamafile's) are left out:
//! their sums have another order than a single token's, and a batch must have
//! the bits of its tokens.

use std::ffi::{c_int, c_void};
#[cfg(kernels)]
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use llama_cpp_sys_2::{GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_tensor};

use crate::kernels::attention::{Attention, CHUNK, Column, MAX_GROUP, MAX_HEAD, Partial};
use crate::kernels::blocks::BLOCK;

/// `struct ggml_compute_params` of ggml-cpu-impl.h: a thread's share of an
/// operation.
#[repr(C)]
struct Share {
    thread: c_int,
    threads: c_int,
    work_size: usize,
    work: *mut c_void,
    pool: *mut c_void,
    use_reference: bool,
}

static LEFT_TO_GGML: AtomicBool = AtomicBool::new(false);

/// Leaves everything to ggml's own code from now on: what a measurement
/// compares with. A batch has not the bits of its tokens any more.
pub fn leave_to_ggml() {
    LEFT_TO_GGML.store(true, Relaxed);
}

unsafe extern "C" {
    fn __real_llamafile_sgemm(
        share: *const Share,
        rows: i64,
        tokens: i64,
        depth: i64,
        weights: *const c_void,
        weights_stride: i64,
        activations: *const c_void,
        activations_stride: i64,
        results: *mut c_void,
        results_stride: i64,
        weights_type: c_int,
        activations_type: c_int,
        results_type: c_int,
    ) -> bool;
    fn __real_ggml_compute_forward_flash_attn_ext(share: *const Share, result: *mut ggml_tensor);
    /// Waits until all threads of the pool are here.
    fn ggml_barrier(pool: *mut c_void);
}

impl Share {
    /// This thread's part of `count` pieces of work.
    fn mine(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.thread as usize..count).step_by(self.threads as usize)
    }

    /// This thread's part of `count` rows, in steps of four.
    #[cfg(kernels)]
    fn my_rows(&self, count: usize) -> Range<usize> {
        let (thread, threads) = (self.thread as usize, self.threads as usize);
        let quads = count.div_ceil(4);
        let bound = |thread: usize| (quads * thread / threads * 4).min(count);
        bound(thread)..bound(thread + 1)
    }
}

/// ggml's `llamafile_sgemm`: a product of `rows` × `depth` blocks of weights
/// and `tokens` × `depth` blocks of activations. Says whether it was computed;
/// if not, ggml goes on with a dot product for each result.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_llamafile_sgemm(
    share: *const Share,
    rows: i64,
    tokens: i64,
    depth: i64,
    weights: *const c_void,
    weights_stride: i64,
    activations: *const c_void,
    activations_stride: i64,
    results: *mut c_void,
    results_stride: i64,
    weights_type: c_int,
    activations_type: c_int,
    results_type: c_int,
) -> bool {
    if LEFT_TO_GGML.load(Relaxed) {
        // SAFETY: ggml's own arguments.
        return unsafe {
            __real_llamafile_sgemm(
                share,
                rows,
                tokens,
                depth,
                weights,
                weights_stride,
                activations,
                activations_stride,
                results,
                results_stride,
                weights_type,
                activations_type,
                results_type,
            )
        };
    }
    #[cfg(kernels)]
    {
        use crate::kernels::blocks::{Q4K, Q5_0, Q6K, Q8_0};
        use crate::kernels::matmul::{Block, Product};
        use llama_cpp_sys_2::{
            GGML_TYPE_F32, GGML_TYPE_Q4_K, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K, GGML_TYPE_Q8_K,
        };

        unsafe fn compute<B: Block>(product: Product<B>, rows: Range<usize>, tokens: usize) -> bool {
            // SAFETY: the caller's word.
            unsafe { product.compute(rows, tokens) };
            true
        }
        macro_rules! product {
            ($block:ty) => {
                Product::<$block> {
                    blocks: depth as usize,
                    weights: weights.cast(),
                    weights_stride: weights_stride as usize,
                    activations: activations.cast(),
                    activations_stride: activations_stride as usize,
                    results: results.cast(),
                    results_stride: results_stride as usize,
                }
            };
        }
        if results_type as u32 != GGML_TYPE_F32 {
            return false;
        }
        // SAFETY: ggml passes its own share, and tensors of these types and
        // sizes.
        unsafe {
            let (rows, tokens) = ((*share).my_rows(rows as usize), tokens as usize);
            match (weights_type as u32, activations_type as u32) {
                (GGML_TYPE_Q5_0, GGML_TYPE_Q8_0) => compute(product!(Q5_0), rows, tokens),
                (GGML_TYPE_Q8_0, GGML_TYPE_Q8_0) => compute(product!(Q8_0), rows, tokens),
                (GGML_TYPE_Q4_K, GGML_TYPE_Q8_K) => compute(product!(Q4K), rows, tokens),
                (GGML_TYPE_Q6_K, GGML_TYPE_Q8_K) => compute(product!(Q6K), rows, tokens),
                _ => false,
            }
        }
    }
    #[cfg(not(kernels))]
    false
}

/// The operands of ggml's flash attention, of a kind that the kernels take.
struct FlashAttention<'a> {
    queries: &'a ggml_tensor,
    keys: &'a ggml_tensor,
    values: &'a ggml_tensor,
    mask: &'a ggml_tensor,
    result: &'a ggml_tensor,
    scale: f32,
    head: usize,
    tokens: usize,
    query_heads: usize,
    /// Query heads for each head of the cache.
    sharing: usize,
    positions: usize,
}

/// ggml's flash attention.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_compute_forward_flash_attn_ext(
    share: *const Share,
    result: *mut ggml_tensor,
) {
    // SAFETY: ggml's own structures live during the call.
    unsafe {
        match FlashAttention::of(&*result).filter(|_| !(*share).use_reference) {
            Some(attention) if !LEFT_TO_GGML.load(Relaxed) => attention.compute(&*share),
            _ => __real_ggml_compute_forward_flash_attn_ext(share, result),
        }
    }
}

impl<'a> FlashAttention<'a> {
    /// `None` where the kernels are not made for it.
    unsafe fn of(result: &'a ggml_tensor) -> Option<Self> {
        // SAFETY: sources are null or tensors.
        let source = |index: usize| unsafe { result.src[index].as_ref() };
        let (queries, keys, values, mask) = (source(0)?, source(1)?, source(2)?, source(3)?);
        let parameter = |index: usize| f32::from_bits(result.op_params[index] as u32);
        let (scale, max_bias, softcap) = (parameter(0), parameter(1), parameter(2));
        let size = |tensor: &ggml_tensor, index: usize| tensor.ne[index] as usize;
        let (head, positions, cache_heads) = (size(keys, 0), size(keys, 1), size(keys, 2));
        let query_heads = size(queries, 2);
        let fits = queries.type_ == GGML_TYPE_F32
            && keys.type_ == GGML_TYPE_Q8_0
            && values.type_ == GGML_TYPE_Q8_0
            && mask.type_ == GGML_TYPE_F16
            && source(4).is_none()
            && max_bias == 0.0
            && softcap == 0.0
            && head.is_multiple_of(BLOCK)
            && head <= MAX_HEAD
            && size(values, 0) == head
            && size(queries, 0) == head
            && size(values, 2) == cache_heads
            && positions.is_multiple_of(8)
            && query_heads.is_multiple_of(cache_heads)
            && [queries, keys, values, mask].iter().all(|tensor| tensor.ne[3] == 1)
            && mask.ne[2] == 1;
        fits.then(|| Self {
            queries,
            keys,
            values,
            mask,
            result,
            scale,
            head,
            tokens: size(queries, 1),
            query_heads,
            sharing: query_heads / cache_heads,
            positions,
        })
    }

    /// A token's attention over one head of the cache.
    unsafe fn over(&self, token: usize, cache_head: usize) -> Attention {
        let at = |tensor: &ggml_tensor, offset: usize| tensor.data.cast::<u8>().wrapping_add(offset);
        let column = |tensor: &ggml_tensor| Column {
            first: at(tensor, cache_head * tensor.nb[2]).cast(),
            stride: tensor.nb[1],
        };
        Attention {
            head: self.head,
            positions: self.positions,
            scale: self.scale,
            keys: column(self.keys),
            values: column(self.values),
            queries: at(self.queries, token * self.queries.nb[1]),
            queries_stride: self.queries.nb[2],
            mask: at(self.mask, token * self.mask.nb[1]).cast(),
        }
    }

    /// The query heads in groups that share a pass over the cache: the first
    /// head of each, and how many they are.
    fn groups(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + use<> {
        let (sharing, in_each) = (self.sharing, self.sharing.div_ceil(MAX_GROUP));
        (0..self.query_heads / sharing * in_each).map(move |index| {
            let first = index % in_each * MAX_GROUP;
            (index / in_each * sharing + first, MAX_GROUP.min(sharing - first))
        })
    }

    /// One chunk of the positions, for one group of heads.
    unsafe fn chunk(&self, token: usize, (first, count): (usize, usize), chunk: usize, to: &mut [Partial]) {
        macro_rules! group {
            ($count:literal) => {
                if let Some(to) = to.first_chunk_mut::<$count>() {
                    // SAFETY: ggml's tensors are of the sizes they say.
                    unsafe { self.over(token, first / self.sharing).chunk(first, chunk, to) }
                }
            };
        }
        match count {
            1 => group!(1),
            2 => group!(2),
            3 => group!(3),
            _ => group!(4),
        }
    }

    unsafe fn write(&self, token: usize, head: usize, sum: &Partial) {
        let offset = (token * self.query_heads + head) * self.result.nb[1];
        let result = self.result.data.cast::<u8>().wrapping_add(offset);
        // SAFETY: the result has room for each head of each token.
        sum.finish(unsafe { slice::from_raw_parts_mut(result.cast(), self.head) });
    }

    unsafe fn compute(&self, share: &Share) {
        let chunks = self.positions.div_ceil(CHUNK);
        let needed = self.query_heads * chunks * size_of::<Partial>();
        // SAFETY: ggml's tensors are of the sizes they say.
        unsafe {
            if self.tokens == 1 && share.threads > 1 && needed <= share.work_size {
                self.compute_one(share, chunks);
            } else {
                self.compute_each(share, chunks);
            }
        }
    }

    /// Threads take tokens and heads.
    unsafe fn compute_each(&self, share: &Share, chunks: usize) {
        let groups = self.groups().len();
        for piece in share.mine(self.tokens * groups) {
            let (token, group) = (piece / groups, self.groups().nth(piece % groups).unwrap_or((0, 0)));
            let mut sums = [Partial::NONE; MAX_GROUP];
            let mut next = [Partial::NONE; MAX_GROUP];
            for chunk in 0..chunks {
                // SAFETY: the caller's word.
                unsafe { self.chunk(token, group, chunk, &mut next) };
                for (sum, next) in sums.iter_mut().zip(&next[..group.1]) {
                    sum.add(next, self.head);
                }
            }
            for (index, sum) in sums[..group.1].iter().enumerate() {
                // SAFETY: the caller's word.
                unsafe { self.write(token, group.0 + index, sum) };
            }
        }
    }

    /// One token: threads take chunks of the positions, too. The sums are the
    /// same, since they are added up in the same order. ggml's work area holds
    /// the default model's 2,048 positions from two threads on; where it does
    /// not, threads take whole heads.
    unsafe fn compute_one(&self, share: &Share, chunks: usize) {
        let groups = self.groups().len();
        let partials = share.work.cast::<Partial>();
        for piece in share.mine(chunks * groups) {
            let (chunk, group) = (piece / groups, self.groups().nth(piece % groups).unwrap_or((0, 0)));
            // SAFETY: the work area has room for all; this thread alone has
            // this group of this chunk.
            unsafe {
                let to = partials.add(chunk * self.query_heads + group.0);
                self.chunk(0, group, chunk, slice::from_raw_parts_mut(to, group.1));
            }
        }
        // SAFETY: all threads of the pool come here.
        unsafe { ggml_barrier(share.pool) };
        for head in share.mine(self.query_heads) {
            let mut sum = Partial::NONE;
            for chunk in 0..chunks {
                // SAFETY: written before the barrier.
                sum.add(unsafe { &*partials.add(chunk * self.query_heads + head) }, self.head);
            }
            // SAFETY: the caller's word.
            unsafe { self.write(0, head, &sum) };
        }
    }
}
