//! Attention over a cache of q8_0, in chunks of positions.
//!
//! ggml widens every value of the cache once for each query head, and spreads
//! the heads over the threads. Here the query heads that share a head of the
//! cache share one pass over it, and threads take chunks of the positions. The
//! sums of the chunks are added up in the order of the positions, so the result
//! depends neither on the number of threads nor on how many tokens are
//! computed at once.
//!
//! What is done for each position of the cache is in [`crate::kernels::own`].

use std::slice;

use crate::kernels::blocks::{BLOCK, Q8_0, add_product};
use crate::kernels::own;

/// Positions that are one piece of work. (Their products with 15 bits and with
/// eight fit in an i32, too.)
pub(super) const CHUNK: usize = 128;

/// The longest head that is computed here.
pub(super) const MAX_HEAD: usize = 256;

/// Query heads that share one pass over the cache.
pub(super) const MAX_GROUP: usize = 4;

/// A number for each position of a chunk.
pub(super) type Row = [f32; CHUNK];

/// -∞ as a half: a position that may not be looked at.
const HIDDEN: u16 = 0xFC00;

/// e to the power of a number not above 0; 0 for those below -87. Relative
/// error 2e-7. Written so that a compiler makes vectors of a loop over it.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 × 2^23: adding it rounds to an integer
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // The Taylor series: |r| is at most 0.35.
    const SERIES: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let counts = x > -87.0;
    let x = if counts { x } else { 0.0 };
    let shifted = add_product(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = add_product(n, -LN_2_LOW, add_product(n, -LN_2_HIGH, x));
    let mut sum = SERIES[0];
    for &term in &SERIES[1..] {
        sum = add_product(sum, r, term);
    }
    // Into the exponent; the shift drops the magic number's own bits.
    let power = f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23));
    if counts { power } else { 0.0 }
}

/// 32 numbers of a query as eight bits, with the scale kept whole.
#[derive(Clone, Copy)]
pub(super) struct Quantized {
    pub scale: f32,
    /// From -127 to 127.
    pub values: [i8; BLOCK],
}

impl Quantized {
    #[inline(always)]
    fn of(numbers: &[f32; BLOCK]) -> Self {
        let greatest = numbers.iter().fold(0.0f32, |greatest, number| greatest.max(number.abs()));
        let inverse = if greatest == 0.0 { 0.0 } else { 127.0 / greatest };
        // 1.5 × 2^23, as above: it rounds to even.
        let round = |number: f32| (number * inverse + 12_582_912.0).to_bits() as u8 as i8;
        // A loop: `map` is a call for each block.
        let mut values = [0; BLOCK];
        for (value, &number) in values.iter_mut().zip(numbers) {
            *value = round(number);
        }
        Self { scale: greatest / 127.0, values }
    }
}

/// Blocks of the cache, one for each position, `stride` bytes apart.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub first: *const Q8_0,
    pub stride: usize,
}

impl Column {
    /// The block of a position.
    #[inline(always)]
    pub(super) fn at(&self, position: usize) -> *const Q8_0 {
        self.first.wrapping_byte_add(position * self.stride)
    }
}

/// Attention of one token, over one head of the cache. Strides are bytes.
#[derive(Clone, Copy)]
pub(super) struct Attention {
    /// Numbers in a head: a multiple of [`BLOCK`], at most [`MAX_HEAD`].
    pub head: usize,
    /// Positions of the cache: a multiple of 8.
    pub positions: usize,
    /// What a score is multiplied by.
    pub scale: f32,
    /// The first blocks of the keys of the head of the cache.
    pub keys: Column,
    /// The first blocks of its values.
    pub values: Column,
    /// The first of the query heads, f32.
    pub queries: *const u8,
    /// From one query head to the next.
    pub queries_stride: usize,
    /// The token's mask, a half for each position: 0, or [`HIDDEN`].
    pub mask: *const u16,
}

/// What attention over some of the positions gives: sums that are to be divided
/// by `weight`, all relative to e to the `greatest` score.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Partial {
    greatest: f32,
    weight: f32,
    /// As many as a head has.
    pub sums: [f32; MAX_HEAD],
}

impl Partial {
    /// Of no position at all.
    pub(super) const NONE: Self = Self { greatest: f32::NEG_INFINITY, weight: 0.0, sums: [0.0; MAX_HEAD] };

    /// Adds what later positions gave.
    pub(super) fn add(&mut self, later: &Self, head: usize) {
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
        for (sum, &later) in self.sums[..head].iter_mut().zip(&later.sums) {
            *sum = add_product(later, new, *sum * old);
        }
    }

    /// Writes the weighted mean of the values.
    pub(super) fn finish(&self, result: &mut [f32]) {
        let inverse = if self.weight == 0.0 { 0.0 } else { 1.0 / self.weight };
        for (result, sum) in result.iter_mut().zip(&self.sums) {
            *result = sum * inverse;
        }
    }
}

impl Attention {
    /// Attention of the `GROUP` query heads from `first_head` on, over the
    /// positions of chunk `chunk`.
    ///
    /// # Safety
    ///
    /// Everything lies where the fields say.
    #[inline(never)]
    pub(super) unsafe fn chunk<const GROUP: usize>(
        &self,
        first_head: usize,
        chunk: usize,
        partials: &mut [Partial; GROUP],
    ) {
        let first = chunk * CHUNK;
        let count = CHUNK.min(self.positions - first);
        // SAFETY: the mask has a half for each position.
        let mask = visible(unsafe { slice::from_raw_parts(self.mask.add(first), count) });
        let mut weights = [[0.0; CHUNK]; GROUP];
        for block in 0..self.head / BLOCK {
            let queries: [Quantized; GROUP] = std::array::from_fn(|head| {
                let query = self.queries.wrapping_add((first_head + head) * self.queries_stride);
                // SAFETY: a query head has `head` numbers.
                Quantized::of(unsafe { &*query.cast::<[f32; BLOCK]>().add(block) })
            });
            // SAFETY: the cache has a block for each position.
            unsafe { own::score(self.block(self.keys, first, block), mask.len(), &queries, &mut weights) };
        }
        for (weights, partial) in weights.iter_mut().zip(partials.iter_mut()) {
            self.weigh(&mut weights[..mask.len()], mask, partial);
        }
        for block in 0..self.head / BLOCK {
            let values = self.block(self.values, first, block);
            // SAFETY: as above.
            unsafe { own::sum_values(values, mask.len(), &weights, block * BLOCK, partials) };
        }
    }

    /// A block of the positions from `first` on.
    fn block(&self, column: Column, first: usize, block: usize) -> Column {
        Column { first: column.at(first).wrapping_add(block), ..column }
    }

    /// Scores to weights, relative to the greatest score.
    #[inline(always)]
    fn weigh(&self, scores: &mut [f32], mask: &[u16], partial: &mut Partial) {
        let mut greatest = f32::NEG_INFINITY;
        for (score, &mask) in scores.iter_mut().zip(mask) {
            *score = if mask == HIDDEN { f32::NEG_INFINITY } else { *score * self.scale };
            greatest = if *score > greatest { *score } else { greatest };
        }
        for score in scores.iter_mut() {
            *score = exp(*score - greatest);
        }
        // Four sums, so that a compiler makes a vector of them.
        let mut sums = [0.0f32; 4];
        for four in scores.chunks_exact(4) {
            sums.iter_mut().zip(four).for_each(|(sum, weight)| *sum += weight);
        }
        partial.greatest = greatest;
        partial.weight = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
}

/// The part of a mask up to the last position that is not hidden, in steps of
/// eight.
fn visible(mask: &[u16]) -> &[u16] {
    let hidden = mask.rchunks_exact(8).take_while(|eight| **eight == [HIDDEN; 8]).count();
    &mask[..mask.len() - 8 * hidden]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::blocks::widen;
    use proptest::prelude::*;

    #[test]
    fn exp_is_right_to_three_parts_in_ten_million() {
        for step in 0..8700 {
            let x = -(step as f32) / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 3e-7, "e to the {x}");
        }
        assert_eq!((exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn what_is_hidden_at_the_end_is_left_out_in_steps_of_eight() {
        let mut mask = [HIDDEN; 32];
        assert_eq!(visible(&mask).len(), 0);
        mask[9] = 0;
        assert_eq!(visible(&mask).len(), 16);
    }

    const HEAD: usize = 64;
    const POSITIONS: usize = 384;

    /// Numbers from -1 to 1 that look random.
    fn noise(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Blocks of the scale 1/128.
    fn cache(seed: u32) -> Vec<Q8_0> {
        let block = |numbers: &[f32]| Q8_0 {
            scale: 0x2000,
            values: std::array::from_fn(|at| (numbers[at] * 127.0).round() as i8),
        };
        noise(seed, POSITIONS * HEAD).chunks(BLOCK).map(block).collect()
    }

    /// Attention in the textbook's way, in f64.
    fn textbook(query: &[f32], keys: &[Q8_0], values: &[Q8_0], mask: &[u16]) -> Vec<f64> {
        let number = |cache: &[Q8_0], position: usize, at: usize| {
            let block = &cache[(position * HEAD + at) / BLOCK];
            f64::from(widen(block.scale)) * f64::from(block.values[at % BLOCK])
        };
        let score = |position: usize| {
            let products = (0..HEAD).map(|at| f64::from(query[at]) * number(keys, position, at));
            if mask[position] == HIDDEN { f64::NEG_INFINITY } else { products.sum::<f64>() }
        };
        let scores: Vec<_> = (0..POSITIONS).map(score).collect();
        let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<_> = scores.iter().map(|score| (score - greatest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (0..HEAD)
            .map(|at| (0..POSITIONS).map(|p| weights[p] * number(values, p, at)).sum::<f64>() / sum)
            .collect()
    }

    fn attend<const GROUP: usize>(seed: u32, seen: usize) {
        let (keys, values) = (cache(seed), cache(seed + 1));
        let queries = noise(seed + 2, GROUP * HEAD);
        let mut mask = vec![HIDDEN; POSITIONS];
        mask[..seen].fill(0);
        mask[seen / 2] = if seen > 1 { HIDDEN } else { 0 };
        let stride = HEAD / BLOCK * size_of::<Q8_0>();
        let attention = Attention {
            head: HEAD,
            positions: POSITIONS,
            scale: 1.0,
            keys: Column { first: keys.as_ptr(), stride },
            values: Column { first: values.as_ptr(), stride },
            queries: queries.as_ptr().cast(),
            queries_stride: HEAD * size_of::<f32>(),
            mask: mask.as_ptr(),
        };
        let mut sums = [Partial::NONE; GROUP];
        for chunk in 0..POSITIONS / CHUNK {
            let mut next = [Partial::NONE; GROUP];
            // SAFETY: everything lies where it says.
            unsafe { attention.chunk(0, chunk, &mut next) };
            sums.iter_mut().zip(&next).for_each(|(sum, next)| sum.add(next, HEAD));
        }
        for (query, sum) in queries.chunks(HEAD).zip(&sums) {
            let mut result = [0.0; HEAD];
            sum.finish(&mut result);
            for (result, expected) in result.iter().zip(textbook(query, &keys, &values, &mask)) {
                // The query is rounded to eight bits.
                assert!((f64::from(*result) - expected).abs() < 0.02, "{result} is not {expected}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_the_attention_of_the_textbook(seed in 0u32..1 << 30, seen in 1usize..POSITIONS) {
            attend::<1>(seed, seen);
            attend::<2>(seed, seen);
            attend::<3>(seed, seen);
            attend::<4>(seed, seen);
        }
    }
}
