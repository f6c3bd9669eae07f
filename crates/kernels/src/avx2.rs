//! Attention's loops for x86-64 with AVX2: see [`Loops`] for the contract. build.rs
//! compiles them only for targets with AVX2, FMA and F16C.

#![allow(clippy::needless_range_loop, reason = "heads index several arrays of registers")]

use core::arch::x86_64::*;

use crate::attention::{CHUNK, ChunkRow, Column, Loops, Partial, Quantized};
use crate::blocks::BLOCK;

/// The AVX2 implementation of attention's loops.
pub(crate) struct Avx2;

/// Products of bytes, four of them summed in each lane of 32 bits: `key` from -128 to 127, whose
/// signs are moved to `query`, from -127 to 127. The sums of two products, at most 2 × 128 × 127,
/// fit in an i16.
#[inline(always)]
fn dot(key: __m256i, query: __m256i) -> __m256i {
    // SAFETY: every target of this file has AVX2.
    unsafe {
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(key), _mm256_sign_epi8(query, key));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

/// The scales of eight positions.
///
/// # Safety
///
/// A block can be read at each of these positions.
#[inline(always)]
unsafe fn scales_of_8(column: Column, first: usize) -> __m256 {
    // SAFETY: by this function's contract the eight blocks can be read.
    unsafe {
        let at = |index: usize| (*column.at(first + index)).scale as i16;
        let halves = _mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0));
        _mm256_cvtph_ps(halves)
    }
}

impl Loops for Avx2 {
    #[inline(always)]
    unsafe fn score<const GROUP: usize>(
        keys: Column,
        count: usize,
        queries: &[Quantized; GROUP],
        scores: &mut [ChunkRow; GROUP],
    ) {
        // SAFETY: by this function's contract a block can be read at each of
        // the `count` positions, and their scores lie in a row of `CHUNK`.
        unsafe {
            let mut query = [_mm256_setzero_si256(); GROUP];
            for (query, of) in query.iter_mut().zip(queries) {
                *query = _mm256_loadu_si256(of.values.as_ptr().cast());
            }
            for at in (0..count.min(CHUNK)).step_by(8) {
                let scales = scales_of_8(keys, at);
                let mut dots = [[_mm256_setzero_si256(); 8]; GROUP];
                for p in 0..8 {
                    let key = _mm256_loadu_si256((&raw const (*keys.at(at + p)).values).cast());
                    for h in 0..GROUP {
                        dots[h][p] = dot(key, query[h]);
                    }
                }
                for h in 0..GROUP {
                    let [a, b, c, d, e, f, g, i] = dots[h];
                    let pairs = |a, b| _mm256_hadd_epi32(a, b);
                    // Both 128-bit halves of each have sums for the same four
                    // positions.
                    let first = pairs(pairs(a, b), pairs(c, d));
                    let second = pairs(pairs(e, f), pairs(g, i));
                    let dot = _mm256_add_epi32(
                        _mm256_permute2x128_si256::<0x20>(first, second),
                        _mm256_permute2x128_si256::<0x31>(first, second),
                    );
                    let score = scores[h].as_mut_ptr().add(at);
                    let product = _mm256_mul_ps(scales, _mm256_set1_ps(queries[h].scale));
                    let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), product, _mm256_loadu_ps(score));
                    _mm256_storeu_ps(score, sum);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_values<const GROUP: usize>(
        values: Column,
        count: usize,
        weights: &[ChunkRow; GROUP],
        start: usize,
        partials: &mut [&mut Partial; GROUP],
    ) {
        // SAFETY: by this function's contract a block can be read at each of
        // the `count` positions, and the 32 sums from `start` on lie in their
        // partial.
        unsafe {
            let mut scaled = [[0.0f32; CHUNK]; GROUP];
            for at in (0..count.min(CHUNK)).step_by(8) {
                let scales = scales_of_8(values, at);
                for h in 0..GROUP {
                    let weight = _mm256_mul_ps(_mm256_loadu_ps(weights[h].as_ptr().add(at)), scales);
                    _mm256_storeu_ps(scaled[h].as_mut_ptr().add(at), weight);
                }
            }
            // Sixteen numbers of the block at a time, so that their sums fit in
            // the registers.
            for half in 0..BLOCK / 16 {
                let mut sums = [[_mm256_setzero_ps(); 2]; GROUP];
                for at in 0..count.min(CHUNK) {
                    let numbers = (&raw const (*values.at(at)).values).cast::<i8>().add(16 * half);
                    let numbers = _mm_loadu_si128(numbers.cast());
                    let low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(numbers));
                    let high = _mm_unpackhi_epi64(numbers, numbers);
                    let high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high));
                    for h in 0..GROUP {
                        let weight = _mm256_set1_ps(scaled[h][at]);
                        sums[h][0] = _mm256_fmadd_ps(low, weight, sums[h][0]);
                        sums[h][1] = _mm256_fmadd_ps(high, weight, sums[h][1]);
                    }
                }
                for h in 0..GROUP {
                    let to = partials[h].sums().add(start + 16 * half);
                    _mm256_storeu_ps(to, sums[h][0]);
                    _mm256_storeu_ps(to.add(8), sums[h][1]);
                }
            }
        }
    }
}
