//! Attention's loops: see [`Loops`] for the contract.

#![allow(clippy::needless_range_loop, reason = "rows, tokens and heads index several arrays of registers")]

use core::arch::aarch64::*;

use super::Neon;
use super::matmul::Integers;
use super::registers::{Start, eights};
use crate::attention::{CHUNK, ChunkRow, Column, Loops, Partial, Quantized};
use crate::blocks::Q8_0;

/// The scales of four positions of the cache, from `at` on.
///
/// # Safety
///
/// A block can be read at each of these positions.
#[inline(always)]
unsafe fn four_scales(column: Column, at: usize) -> float32x4_t {
    // SAFETY: by this function's contract the four blocks can be read, and a
    // block is longer than the eight bytes of a start.
    unsafe { Start::scales(&Start::of::<4>(column.at(at).cast(), column.stride)) }
}

impl Loops for Neon {
    #[inline(always)]
    unsafe fn score<const GROUP: usize>(
        keys: Column,
        count: usize,
        queries: &[Quantized; GROUP],
        scores: &mut [ChunkRow; GROUP],
    ) {
        // SAFETY: by this function's contract a block can be read at each of
        // the `count` positions, and their scores lie in a row of `CHUNK`;
        // every aarch64 has NEON.
        unsafe {
            let mut query_values = [[vdupq_n_s8(0); 2]; GROUP];
            for (values, query) in query_values.iter_mut().zip(queries) {
                *values = [vld1q_s8(query.values.as_ptr()), vld1q_s8(query.values.as_ptr().add(16))];
            }
            for at in (0..count.min(CHUNK)).step_by(4) {
                let key_scales = four_scales(keys, at);
                let mut dots = [[vdupq_n_s32(0); 4]; GROUP];
                for p in 0..4 {
                    let key = eights(keys.at(at + p));
                    for h in 0..GROUP {
                        dots[h][p] = Q8_0::dot(key, query_values[h]);
                    }
                }
                for h in 0..GROUP {
                    let [a, b, c, d] = dots[h];
                    let dot = vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
                    let score = scores[h].as_mut_ptr().add(at);
                    let product = vmulq_n_f32(key_scales, queries[h].scale);
                    vst1q_f32(score, vfmaq_f32(vld1q_f32(score), dot, product));
                }
            }
        }
    }

    /// Rounds the weights to integers, of 15 bits and a sign for the greatest
    /// one, so that the cache's bytes are multiplied as integers and never
    /// converted to floats. At the greatest weight the rounding step is finer
    /// than that of the f16 scale which is a factor of it.
    #[inline(always)]
    unsafe fn sum_values<const GROUP: usize>(
        values: Column,
        count: usize,
        weights: &[ChunkRow; GROUP],
        start: usize,
        partials: &mut [&mut Partial; GROUP],
    ) {
        const GREATEST: f32 = 32767.0;
        let mut scaled = [[0.0f32; CHUNK]; GROUP];
        let mut rounded = [[0i16; CHUNK]; GROUP];
        let mut steps = [0.0; GROUP];
        // SAFETY: by this function's contract a block can be read at each of
        // the `count` positions, and the 32 sums from `start` on lie in their
        // partial; every aarch64 has NEON.
        unsafe {
            let mut greatest = [vdupq_n_f32(0.0); GROUP];
            for at in (0..count.min(CHUNK)).step_by(4) {
                let value_scales = four_scales(values, at);
                for h in 0..GROUP {
                    let weight = vmulq_f32(vld1q_f32(weights[h].as_ptr().add(at)), value_scales);
                    vst1q_f32(scaled[h].as_mut_ptr().add(at), weight);
                    // Unlike vmaxnm, it does not ignore NaN.
                    greatest[h] = vmaxq_f32(greatest[h], vabsq_f32(weight));
                }
            }
            for h in 0..GROUP {
                let greatest = vmaxvq_f32(greatest[h]);
                let inverse = if greatest == 0.0 { 0.0 } else { GREATEST / greatest };
                steps[h] = greatest / GREATEST;
                for at in (0..count.min(CHUNK)).step_by(8) {
                    let weight = scaled[h].as_ptr().add(at);
                    let low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(weight), inverse));
                    let high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(weight.add(4)), inverse));
                    vst1q_s16(rounded[h].as_mut_ptr().add(at), vqmovn_high_s32(vqmovn_s32(low), high));
                }
            }
            for half in 0..2 {
                let mut sums = [[vdupq_n_s32(0); 4]; GROUP];
                let mut value = values.first.cast::<u8>().add(2 + 16 * half);
                for at in (0..count.min(CHUNK)).step_by(8) {
                    let mut weights = [vdupq_n_s16(0); GROUP];
                    for h in 0..GROUP {
                        weights[h] = vld1q_s16(rounded[h].as_ptr().add(at));
                    }
                    macro_rules! position {
                        ($lane:literal) => {
                            let numbers = vld1q_s8(value.cast());
                            let low: int16x8_t = vmovl_s8(vget_low_s8(numbers));
                            let high: int16x8_t = vmovl_s8(vget_high_s8(numbers));
                            for h in 0..GROUP {
                                let (sum, weight) = (&mut sums[h], weights[h]);
                                sum[0] = vmlal_laneq_s16::<$lane>(sum[0], vget_low_s16(low), weight);
                                sum[1] = vmlal_high_laneq_s16::<$lane>(sum[1], low, weight);
                                sum[2] = vmlal_laneq_s16::<$lane>(sum[2], vget_low_s16(high), weight);
                                sum[3] = vmlal_high_laneq_s16::<$lane>(sum[3], high, weight);
                            }
                            value = value.wrapping_add(values.stride);
                        };
                    }
                    position!(0);
                    position!(1);
                    position!(2);
                    position!(3);
                    position!(4);
                    position!(5);
                    position!(6);
                    position!(7);
                }
                for h in 0..GROUP {
                    let result = partials[h].sums().add(start + 16 * half);
                    for (quarter, &sum) in sums[h].iter().enumerate() {
                        vst1q_f32(result.add(4 * quarter), vmulq_n_f32(vcvtq_f32_s32(sum), steps[h]));
                    }
                }
            }
        }
    }
}
