//! Attention over a KV cache of q8_0, in chunks of positions.
//!
//! ggml converts every number of the cache to f32 once for each query head, and
//! divides the heads among the threads. Here the query heads that share a head
//! of the cache share one pass over it, and threads take chunks of the
//! positions. The sums of the chunks are added in the order of the positions,
//! so that the result is bit-identical for any number of threads.
//!
//! The work for each position of the cache is done by an implementation of
//! [`Loops`], one for each instruction set.

use std::mem::MaybeUninit;
use std::slice;

use crate::blocks::{BLOCK, Q8_0};

/// The innermost loops of attention, for one instruction set. All
/// implementations have the contract that is stated here.
///
/// A *block* is [`BLOCK`] numbers of a head. Each call covers one block of
/// `GROUP` query heads, over consecutive positions.
pub(crate) trait Loops {
    /// For each position and query head, adds the dot product of the key's
    /// block and the query's block to `scores`.
    ///
    /// # Safety
    ///
    /// `count` is a multiple of 8 and at most [`CHUNK`], and a block can be read
    /// at each of the first `count` positions of `keys`.
    unsafe fn score<const GROUP: usize>(
        keys: Column,
        count: usize,
        queries: &[Quantized; GROUP],
        scores: &mut [ChunkRow; GROUP],
    );

    /// For [`BLOCK`] numbers of a head from number `start` on, writes the sums
    /// of weight × value over the positions to the sums of `partials`.
    ///
    /// # Safety
    ///
    /// `count` is a multiple of 8 and at most [`CHUNK`]; a block can be read at
    /// each of the first `count` positions of `values`; `start` is at most
    /// [`MAX_HEAD`] − [`BLOCK`].
    unsafe fn sum_values<const GROUP: usize>(
        values: Column,
        count: usize,
        weights: &[ChunkRow; GROUP],
        start: usize,
        partials: &mut [&mut Partial; GROUP],
    );
}

/// Positions in one piece of work. Small enough that the sum of that many
/// products of a 15-bit and an 8-bit integer fits in an i32.
pub(crate) const CHUNK: usize = 128;

/// The longest head that is computed here, in numbers.
pub(crate) const MAX_HEAD: usize = 256;

/// The most query heads that share one pass over the cache.
pub(crate) const MAX_GROUP: usize = 4;

/// One f32 for each position of a chunk.
pub(crate) type ChunkRow = [f32; CHUNK];

/// -∞ as f16: the mask's value for a position that the token must not attend
/// to.
const HIDDEN: u16 = 0xFC00;

/// e to the power of a number not above 0; 0 for -87 and below, NaN for NaN.
/// Relative error below 3e-7. Written without branches, so that the compiler vectorises a loop
/// over it.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 × 2^23: adding it rounds to an integer
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // The Taylor series of e^r, highest power first: |r| is at most 0.35.
    const SERIES: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let vanishes = x <= -87.0;
    let x = if vanishes { 0.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut sum = SERIES[0];
    for &term in &SERIES[1..] {
        sum = sum.mul_add(r, term);
    }
    // Adds n to the exponent; the shift drops the bits of the rounding
    // constant. A NaN stays one: the bits that the shift leaves of it are 0.
    let power = f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23));
    if vanishes { 0.0 } else { power }
}

/// 32 numbers of a query as 8-bit integers, with an f32 scale.
#[derive(Clone, Copy)]
pub(crate) struct Quantized {
    pub scale: f32,
    /// From -127 to 127.
    pub values: [i8; BLOCK],
}

impl Quantized {
    #[inline(always)]
    fn of(numbers: &[f32; BLOCK]) -> Self {
        // Compared as integers, in which a NaN is above all numbers: `f32::max`
        // would ignore it, and damaged weights would go unnoticed.
        let greatest = numbers.iter().fold(0, |greatest, number| number.abs().to_bits().max(greatest));
        let greatest = f32::from_bits(greatest);
        let inverse = if greatest == 0.0 { 0.0 } else { 127.0 / greatest };
        // Adding 1.5 × 2^23 rounds to the nearest integer, ties to even, as in
        // `exp`.
        let round = |number: f32| (number * inverse + 12_582_912.0).to_bits() as u8 as i8;
        // A loop, because `map` compiles to a call for each block.
        let mut values = [0; BLOCK];
        for (value, &number) in values.iter_mut().zip(numbers) {
            *value = round(number);
        }
        Self { scale: greatest / 127.0, values }
    }
}

/// Blocks of the cache, one for each position, `stride` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub first: *const Q8_0,
    pub stride: usize,
}

impl Column {
    /// The block of a position.
    #[inline(always)]
    pub(crate) fn at(&self, position: usize) -> *const Q8_0 {
        self.first.wrapping_byte_add(position * self.stride)
    }
}

/// Attention of one token, over one head of the cache. Strides are bytes.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    /// Numbers in a head: a multiple of [`BLOCK`], at most [`MAX_HEAD`].
    pub head: usize,
    /// Positions of the cache: a multiple of 8.
    pub positions: usize,
    /// What a score is multiplied by.
    pub scale: f32,
    /// The keys of this head of the cache: the first block of each position.
    pub keys: Column,
    /// The values of this head of the cache, likewise.
    pub values: Column,
    /// The first query head: `head` numbers of f32.
    pub queries: *const u8,
    /// From one query head to the next.
    pub queries_stride: usize,
    /// The token's mask, one f16 for each position: 0, or [`HIDDEN`].
    pub mask: *const u16,
}

/// Attention over some of the positions: weighted sums of the values, not yet
/// divided by `weight`. All are relative to e to the `greatest` score.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Partial {
    greatest: f32,
    weight: f32,
    /// Only the first `head` of them are ever written.
    sums: [MaybeUninit<f32>; MAX_HEAD],
}

impl Partial {
    /// Attention over no positions.
    pub(crate) const NONE: Self =
        Self { greatest: f32::NEG_INFINITY, weight: 0.0, sums: [MaybeUninit::new(0.0); MAX_HEAD] };

    /// Starts a partial in `memory`; its sums are not written yet.
    fn begin(memory: &mut MaybeUninit<Self>, greatest: f32, weight: f32) -> &mut Self {
        let partial = memory.as_mut_ptr();
        // SAFETY: `memory` has the size and alignment of a partial. Its third
        // field, the sums, may be uninitialised, so that writing the other two
        // makes it a valid value.
        unsafe {
            (&raw mut (*partial).greatest).write(greatest);
            (&raw mut (*partial).weight).write(weight);
            &mut *partial
        }
    }

    /// Where the sums are to be written.
    #[inline(always)]
    pub(crate) fn sums(&mut self) -> *mut f32 {
        self.sums.as_mut_ptr().cast()
    }

    /// Adds the result of the positions that follow.
    ///
    /// # Safety
    ///
    /// The first `head` sums of both are initialised, and `head` is at most
    /// [`MAX_HEAD`].
    pub(crate) unsafe fn add(&mut self, later: &Self, head: usize) {
        if later.weight == 0.0 {
            return;
        }
        if self.weight == 0.0 {
            self.greatest = later.greatest;
        }
        let greatest = self.greatest.max(later.greatest);
        let (old, new) = (exp(self.greatest - greatest), exp(later.greatest - greatest));
        self.greatest = greatest;
        self.weight = self.weight * old + later.weight * new;
        // SAFETY: by this function's contract the first `head` sums of both are
        // initialised and lie in their arrays.
        let (sums, later) = unsafe {
            (
                slice::from_raw_parts_mut(self.sums.as_mut_ptr().cast::<f32>(), head),
                slice::from_raw_parts(later.sums.as_ptr().cast::<f32>(), head),
            )
        };
        for (sum, &later) in sums.iter_mut().zip(later) {
            *sum = later.mul_add(new, *sum * old);
        }
    }

    /// Writes the weighted mean of the values: `sums` / `weight`, or zeros
    /// where no position had weight.
    ///
    /// # Safety
    ///
    /// As many sums are initialised as `result` has numbers, at most
    /// [`MAX_HEAD`].
    pub(crate) unsafe fn finish(&self, result: &mut [MaybeUninit<f32>]) {
        let inverse = if self.weight == 0.0 { 0.0 } else { 1.0 / self.weight };
        // SAFETY: by this function's contract so many sums are initialised and
        // lie in the array.
        let sums = unsafe { slice::from_raw_parts(self.sums.as_ptr().cast::<f32>(), result.len()) };
        for (result, sum) in result.iter_mut().zip(sums) {
            result.write(sum * inverse);
        }
    }
}

impl Attention {
    /// Computes attention of the `GROUP` query heads from `first_head` on, over
    /// the positions of chunk number `chunk`. Initialises `partials` and their
    /// first `head` sums.
    ///
    /// # Safety
    ///
    /// All operands lie where the fields say, for these query heads, and the
    /// first position of `chunk` is below `positions`.
    #[inline(never)]
    pub(crate) unsafe fn chunk<L: Loops, const GROUP: usize>(
        &self,
        first_head: usize,
        chunk: usize,
        partials: &mut [MaybeUninit<Partial>; GROUP],
    ) {
        let first = chunk * CHUNK;
        let count = CHUNK.min(self.positions - first);
        // SAFETY: the mask has an f16 for each position, and the chunk's
        // `count` positions from `first` on are among them.
        let mask = visible(unsafe { slice::from_raw_parts(self.mask.add(first), count) });
        let mut weights = [[0.0; CHUNK]; GROUP];
        for block in 0..self.head / BLOCK {
            let queries: [Quantized; GROUP] = std::array::from_fn(|head| {
                let query = self.queries.wrapping_add((first_head + head) * self.queries_stride);
                // SAFETY: by this function's contract a query head has `head`
                // numbers, of which this is block number `block`.
                Quantized::of(unsafe { &*query.cast::<[f32; BLOCK]>().add(block) })
            });
            // SAFETY: the cache has a block for each position. The mask's
            // length is at most `CHUNK`, and a multiple of 8 because
            // `positions` is.
            unsafe { L::score(self.block(self.keys, first, block), mask.len(), &queries, &mut weights) };
        }
        let mut weights_of = weights.iter_mut();
        let mut partials = partials.each_mut().map(|partial| {
            let weights = weights_of.next().map_or(&mut [][..], |weights| &mut weights[..mask.len()]);
            let (greatest, weight) = self.weigh(weights, mask);
            Partial::begin(partial, greatest, weight)
        });
        for block in 0..self.head / BLOCK {
            let values = self.block(self.values, first, block);
            // SAFETY: as above; a head has at most `MAX_HEAD` numbers, and this
            // block of `BLOCK` is among them.
            unsafe { L::sum_values(values, mask.len(), &weights, block * BLOCK, &mut partials) };
        }
    }

    /// Block number `block` of the head, for the positions from `first` on.
    fn block(&self, column: Column, first: usize, block: usize) -> Column {
        Column { first: column.at(first).wrapping_add(block), ..column }
    }

    /// Turns scores into weights, e^(score − greatest score). Returns the
    /// greatest score and the sum of the weights.
    #[inline(always)]
    fn weigh(&self, scores: &mut [f32], mask: &[u16]) -> (f32, f32) {
        let mut greatest = f32::NEG_INFINITY;
        for (score, &mask) in scores.iter_mut().zip(mask) {
            *score = if mask == HIDDEN { f32::NEG_INFINITY } else { *score * self.scale };
            greatest = if *score > greatest { *score } else { greatest };
        }
        for score in scores.iter_mut() {
            *score = exp(*score - greatest);
        }
        // Four sums, so that the compiler keeps them in one vector register.
        let mut sums = [0.0f32; 4];
        for four in scores.chunks_exact(4) {
            sums.iter_mut().zip(four).for_each(|(sum, weight)| *sum += weight);
        }
        (greatest, (sums[0] + sums[1]) + (sums[2] + sums[3]))
    }
}

/// The mask without the hidden positions at its end, rounded up to a multiple
/// of eight.
fn visible(mask: &[u16]) -> &[u16] {
    let hidden = mask.rchunks_exact(8).take_while(|eight| **eight == [HIDDEN; 8]).count();
    &mask[..mask.len() - 8 * hidden]
}

#[cfg(test)]
mod tests;
