//! ggml's flash attention on our kernels: which operands the kernels take, and
//! how the threads share the work.

use std::mem::MaybeUninit;
use std::slice;

use llama_cpp_sys_2::{
    GGML_PREC_DEFAULT, GGML_PREC_F32, GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_tensor,
};

use crate::abi::{Share, ggml_barrier};
use crate::attention::{Attention, CHUNK, Column, Loops, MAX_GROUP, MAX_HEAD, Partial};
use crate::blocks::{BLOCK, Q8_0};

/// The operands of one flash attention operation that these kernels can
/// compute.
pub(crate) struct FlashAttention<'a> {
    queries: &'a ggml_tensor,
    keys: &'a ggml_tensor,
    values: &'a ggml_tensor,
    mask: &'a ggml_tensor,
    result: &'a ggml_tensor,
    scale: f32,
    head: usize,
    tokens: usize,
    query_heads: usize,
    /// Query heads that share one head of the cache.
    sharing: usize,
    positions: usize,
}

impl<'a> FlashAttention<'a> {
    /// The operands of the operation that computes `result`; `None` where the
    /// kernels do not support them, or where ggml's own asserts would refuse
    /// them: the hook then calls ggml's function.
    ///
    /// # Safety
    ///
    /// The sources of `result` are null or valid tensors, and each tensor's
    /// data is as long as its sizes and strides say.
    pub(crate) unsafe fn of(result: &'a ggml_tensor) -> Option<Self> {
        // SAFETY: by this function's contract a source is null or a valid
        // tensor.
        let source = |index: usize| unsafe { result.src[index].as_ref() };
        let (queries, keys, values, mask) = (source(0)?, source(1)?, source(2)?, source(3)?);
        let parameter = |index: usize| f32::from_bits(result.op_params[index] as u32);
        let (scale, max_bias, softcap) = (parameter(0), parameter(1), parameter(2));
        let precision = result.op_params[3] as u32;
        let size = |tensor: &ggml_tensor, index: usize| tensor.ne[index] as usize;
        let [head, positions, cache_heads, _] = keys.ne.map(|size| size as usize);
        let [_, tokens, query_heads, _] = queries.ne.map(|size| size as usize);
        const FLOAT: usize = size_of::<f32>();
        const BLOCK_BYTES: usize = size_of::<Q8_0>();
        let made_for = queries.type_ == GGML_TYPE_F32
            && keys.type_ == GGML_TYPE_Q8_0
            && values.type_ == GGML_TYPE_Q8_0
            && mask.type_ == GGML_TYPE_F16
            && result.type_ == GGML_TYPE_F32
            && source(4).is_none()
            && max_bias == 0.0
            && softcap == 0.0
            && matches!(precision, GGML_PREC_DEFAULT | GGML_PREC_F32)
            && (BLOCK..=MAX_HEAD).contains(&head)
            && head.is_multiple_of(BLOCK)
            && positions > 0
            && positions.is_multiple_of(8)
            && cache_heads > 0
            && query_heads.is_multiple_of(cache_heads)
            && [queries, keys, values, mask, result].iter().all(|tensor| tensor.ne[3] == 1)
            && mask.ne[2] == 1;
        // The sizes agree with each other, so that nothing is read or written
        // out of bounds.
        let agree = size(queries, 0) == head
            && values.ne == keys.ne
            && size(mask, 0) >= positions
            && size(mask, 1) >= tokens
            && [size(result, 0), size(result, 1), size(result, 2)] == [head, query_heads, tokens];
        // The numbers of a row are contiguous, and the rows of cache, mask and
        // result do not overlap.
        let contiguous = queries.nb[0] == FLOAT
            && queries.nb[1].is_multiple_of(FLOAT)
            && queries.nb[2].is_multiple_of(FLOAT)
            && keys.nb[0] == BLOCK_BYTES
            && values.nb[0] == BLOCK_BYTES
            && [keys, values].iter().all(|cache| cache.nb[1] >= head / BLOCK * BLOCK_BYTES)
            && mask.nb[0] == size_of::<u16>()
            && mask.nb[1] >= positions * size_of::<u16>()
            && result.nb[0] == FLOAT
            && result.nb[1] >= head * FLOAT
            && result.nb[1].is_multiple_of(FLOAT)
            && result.nb[2] == query_heads * result.nb[1];
        (made_for && agree && contiguous).then(|| Self {
            queries,
            keys,
            values,
            mask,
            result,
            scale,
            head,
            tokens,
            query_heads,
            sharing: query_heads / cache_heads,
            positions,
        })
    }

    /// The operands of one token's attention over one head of the cache.
    fn over(&self, token: usize, cache_head: usize) -> Attention {
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
    /// head of each group, and its number of heads.
    fn groups(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + use<> {
        let (sharing, in_each) = (self.sharing, self.sharing.div_ceil(MAX_GROUP));
        (0..self.query_heads / sharing * in_each).map(move |index| {
            let first = index % in_each * MAX_GROUP;
            (index / in_each * sharing + first, MAX_GROUP.min(sharing - first))
        })
    }

    /// Computes one chunk of the positions for one group of heads. Writes all
    /// of `to`, which has one partial for each head of the group.
    ///
    /// # Safety
    ///
    /// That of [`FlashAttention::of`]; `token` is below `tokens`, the group is
    /// one of [`FlashAttention::groups`], and `chunk` is below the number of
    /// chunks.
    unsafe fn chunk<L: Loops>(
        &self,
        token: usize,
        (first, count): (usize, usize),
        chunk: usize,
        to: &mut [MaybeUninit<Partial>],
    ) {
        macro_rules! group {
            ($count:literal) => {
                if let Some(to) = to.first_chunk_mut::<$count>() {
                    // SAFETY: `of` has checked that the operands have these
                    // tokens, heads and positions, and by this function's
                    // contract the token, the group and the chunk are among
                    // them.
                    unsafe {
                        self.over(token, first / self.sharing).chunk::<L, $count>(first, chunk, to);
                    }
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

    /// Writes the result of one query head of one token.
    ///
    /// # Safety
    ///
    /// That of [`FlashAttention::of`]; the token and the head exist, the first
    /// sums, one for each number of a head, are initialised, and no other
    /// thread writes this result.
    unsafe fn write(&self, token: usize, head: usize, sum: &Partial) {
        let offset = (token * self.query_heads + head) * self.result.nb[1];
        let result = self.result.data.cast::<u8>().wrapping_add(offset);
        // SAFETY: `of` has checked that the result has room for each head of each
        // token, a multiple of four bytes apart.
        unsafe { sum.finish(slice::from_raw_parts_mut(result.cast(), self.head)) };
    }

    /// Computes this thread's share of the operation.
    ///
    /// # Safety
    ///
    /// That of [`FlashAttention::of`]; every thread of the pool calls it with
    /// its share of the same operation.
    pub(crate) unsafe fn compute<L: Loops>(&self, share: &Share) {
        let chunks = self.positions.div_ceil(CHUNK);
        let needed = self.query_heads * chunks * size_of::<Partial>();
        let work = share.work.cast::<MaybeUninit<Partial>>();
        let fits = needed <= share.work_size && work.is_aligned();
        // SAFETY: this function's contract; `fits` says that the work memory,
        // which the threads share, has room for all partials.
        unsafe {
            if self.tokens == 1 && share.threads > 1 && fits {
                self.compute_one::<L>(share, work, chunks);
            } else {
                self.compute_each::<L>(share, chunks);
            }
        }
    }

    /// Computes whole heads: the threads divide tokens and heads among them.
    ///
    /// # Safety
    ///
    /// That of [`FlashAttention::compute`].
    unsafe fn compute_each<L: Loops>(&self, share: &Share, chunks: usize) {
        let groups = self.groups().len();
        for piece in share.mine(self.tokens * groups) {
            let (token, group) = (piece / groups, self.groups().nth(piece % groups).unwrap_or((0, 0)));
            let mut sums = [Partial::NONE; MAX_GROUP];
            let mut next = [const { MaybeUninit::<Partial>::uninit() }; MAX_GROUP];
            for chunk in 0..chunks {
                // SAFETY: this function's contract; `chunk` initialises as many
                // partials as the group has heads.
                unsafe {
                    self.chunk::<L>(token, group, chunk, &mut next[..group.1]);
                    for (sum, next) in sums.iter_mut().zip(&next[..group.1]) {
                        sum.add(next.assume_init_ref(), self.head);
                    }
                }
            }
            for (index, sum) in sums[..group.1].iter().enumerate() {
                // SAFETY: this function's contract; no other thread has this
                // `piece`, so that none writes this result.
                unsafe { self.write(token, group.0 + index, sum) };
            }
        }
    }

    /// Computes one token: the threads divide chunks of the positions among
    /// them, too. The result is bit-identical, because the sums are added in
    /// the same order. ggml's work memory has room for the default model's
    /// 2,048 positions from two threads on; where it does not, threads take
    /// whole heads.
    ///
    /// # Safety
    ///
    /// That of [`FlashAttention::compute`]; `work` has room for a partial for
    /// each chunk and query head, and is the same memory for all threads.
    unsafe fn compute_one<L: Loops>(&self, share: &Share, work: *mut MaybeUninit<Partial>, chunks: usize) {
        let groups = self.groups().len();
        for piece in share.mine(chunks * groups) {
            let (chunk, group) = (piece / groups, self.groups().nth(piece % groups).unwrap_or((0, 0)));
            // SAFETY: `work` has room for all partials, and no other thread has
            // this group of this chunk.
            unsafe {
                let to = work.add(chunk * self.query_heads + group.0);
                self.chunk::<L>(0, group, chunk, slice::from_raw_parts_mut(to, group.1));
            }
        }
        // SAFETY: the pool is ggml's, and each of its threads calls this
        // barrier: they all take the same branch in `compute`.
        unsafe { ggml_barrier(share.pool) };
        for head in share.mine(self.query_heads) {
            let mut sum = Partial::NONE;
            for chunk in 0..chunks {
                // SAFETY: each partial was initialised before the barrier, and
                // none is written after it.
                unsafe {
                    let partial = &*work.add(chunk * self.query_heads + head);
                    sum.add(partial.assume_init_ref(), self.head);
                }
            }
            // SAFETY: this function's contract; no other thread has this head.
            unsafe { self.write(0, head, &sum) };
        }
    }
}
