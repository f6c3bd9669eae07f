//! The innermost loops of attention in plain Rust, for machines without kernels
//! of their own; ggml computes their products.

use crate::kernels::attention::{CHUNK, Column, Partial, Quantized, Row};
use crate::kernels::blocks::{BLOCK, add_product, widen};

/// Adds to `scores` what `GROUP` queries times the keys of `count` positions
/// give, in one block of the head.
///
/// # Safety
///
/// `keys` has that many positions.
#[inline(always)]
pub unsafe fn score<const GROUP: usize>(
    keys: Column,
    count: usize,
    queries: &[Quantized; GROUP],
    scores: &mut [Row; GROUP],
) {
    for position in 0..count {
        // SAFETY: the caller's word.
        let key = unsafe { &*keys.at(position) };
        let scale = widen(key.scale);
        for (query, scores) in queries.iter().zip(&mut *scores) {
            let products = key.values.iter().zip(&query.values);
            let dot: i32 = products.map(|(&key, &query)| i32::from(key) * i32::from(query)).sum();
            scores[position] = add_product(dot as f32, scale * query.scale, scores[position]);
        }
    }
}

/// Writes to `partials`, from the head's number `at` on, what the weights times
/// the values of `count` positions give, in one block of the head.
///
/// # Safety
///
/// `values` has that many positions.
#[inline(always)]
pub unsafe fn sum_values<const GROUP: usize>(
    values: Column,
    count: usize,
    weights: &[Row; GROUP],
    at: usize,
    partials: &mut [Partial; GROUP],
) {
    let mut sums = [[0.0; BLOCK]; GROUP];
    for position in 0..count.min(CHUNK) {
        // SAFETY: the caller's word.
        let value = unsafe { &*values.at(position) };
        let (scale, numbers) = (widen(value.scale), value.values.map(f32::from));
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weight = weights[position] * scale;
            for (sum, number) in sums.iter_mut().zip(&numbers) {
                *sum = add_product(*number, weight, *sum);
            }
        }
    }
    for (partial, sums) in partials.iter_mut().zip(sums) {
        partial.sums[at..at + BLOCK].copy_from_slice(&sums);
    }
}
