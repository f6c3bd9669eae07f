//! Attention's loops in plain Rust, for targets without kernels of their own.
//! Products are computed by ggml there. See [`Loops`] for the contract.

use super::attention::{CHUNK, Column, Loops, Partial, Quantized, Row};
use super::blocks::{BLOCK, add_product, widen};

/// Any target.
pub(super) struct Portable;

impl Loops for Portable {
    #[inline(always)]
    unsafe fn score<const GROUP: usize>(
        keys: Column,
        count: usize,
        queries: &[Quantized; GROUP],
        scores: &mut [Row; GROUP],
    ) {
        for position in 0..count {
            // SAFETY: by this function's contract a block can be read at each
            // of the first `count` positions.
            let key = unsafe { &*keys.at(position) };
            let scale = widen(key.scale);
            for (query, scores) in queries.iter().zip(&mut *scores) {
                let products = key.values.iter().zip(&query.values);
                let dot: i32 = products.map(|(&key, &query)| i32::from(key) * i32::from(query)).sum();
                scores[position] = add_product(dot as f32, scale * query.scale, scores[position]);
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_values<const GROUP: usize>(
        values: Column,
        count: usize,
        weights: &[Row; GROUP],
        start: usize,
        partials: &mut [&mut Partial; GROUP],
    ) {
        let mut sums = [[0.0; BLOCK]; GROUP];
        for position in 0..count.min(CHUNK) {
            // SAFETY: as in `score`.
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
            // SAFETY: by this function's contract the `BLOCK` sums from `start`
            // on lie in the partial.
            unsafe { partial.sums().add(start).cast::<[f32; BLOCK]>().write_unaligned(sums) };
        }
    }
}
