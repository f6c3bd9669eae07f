//! Tiles of matrix products: see [`Block`] for the contract.

#![allow(clippy::needless_range_loop, reason = "rows, tokens and heads index several arrays of registers")]

use core::arch::x86_64::*;

use super::bytes;
use crate::kernels::blocks::{Q4K, Q5_0, Q6K, Q8_0, Q8K};
use crate::kernels::matmul::{Block, Product};

/// The value of an f16, given as its bits.
#[inline(always)]
fn half(bits: u16) -> f32 {
    // SAFETY: build.rs compiles these kernels only for targets with AVX2, FMA
    // and F16C.
    unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_set_epi64x(0, i64::from(bits)))) }
}

/// The sum of four lanes, added up in ggml's order.
#[inline(always)]
fn sum_of_4(x: __m128) -> f32 {
    // SAFETY: as above.
    unsafe {
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}

/// The sum of eight lanes, added up in ggml's order.
#[inline(always)]
fn sum_of_8(x: __m256) -> f32 {
    // SAFETY: as above.
    unsafe { sum_of_4(_mm_add_ps(_mm256_extractf128_ps::<1>(x), _mm256_castps256_ps128(x))) }
}

/// A format of blocks of 32 numbers.
trait Integers: Block<Activations = Q8_0> {
    /// The block's scale and its 32 integers.
    ///
    /// # Safety
    ///
    /// `block` can be read.
    unsafe fn read(block: *const Self) -> (f32, __m256i);
}

impl Integers for Q8_0 {
    #[inline(always)]
    unsafe fn read(block: *const Self) -> (f32, __m256i) {
        // SAFETY: by this function's contract the block can be read; build.rs
        // compiles these kernels only for targets with AVX2, FMA and F16C.
        unsafe { (half((*block).scale), _mm256_loadu_si256((&raw const (*block).values).cast())) }
    }
}

impl Integers for Q5_0 {
    #[inline(always)]
    unsafe fn read(block: *const Self) -> (f32, __m256i) {
        // SAFETY: as above, and both fields lie in the block.
        unsafe {
            let low = _mm_loadu_si128((&raw const (*block).low_bits).cast());
            let low = _mm256_set_m128i(_mm_srli_epi16::<4>(low), low);
            let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
            // Spreads the 32 fifth bits, one to each byte.
            let fifth = _mm256_set1_epi32(i32::from_le_bytes((*block).fifth_bits));
            let bytes =
                _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
            let bits = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let fifth = _mm256_and_si256(_mm256_shuffle_epi8(fifth, bytes), bits);
            // Where the bit is clear, the value is its low bits - 16, which is
            // 0xF0 | its low bits.
            let clear = _mm256_cmpeq_epi8(fifth, _mm256_setzero_si256());
            let high = _mm256_and_si256(clear, _mm256_set1_epi8(-16));
            (half((*block).scale), _mm256_or_si256(low, high))
        }
    }
}

/// A tile of products for the formats of blocks of 32 numbers.
///
/// # Safety
///
/// That of [`Block::tile`].
#[inline(always)]
unsafe fn tile<B: Integers, const ROWS: usize, const TOKENS: usize>(product: &Product<B>) {
    // SAFETY: by this function's contract all blocks of the tile can be read
    // and its results written; build.rs compiles these kernels only for targets
    // with AVX2, FMA and F16C.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); TOKENS]; ROWS];
        for block in 0..product.blocks {
            let mut x = [(0.0, bytes::left(_mm256_setzero_si256())); ROWS];
            for (r, x) in x.iter_mut().enumerate() {
                let (scale, values) = B::read(product.weights(r, block));
                *x = (scale, bytes::left(values));
            }
            for t in 0..TOKENS {
                let (y_scale, y) = Q8_0::read(product.activations(t, block));
                let y = bytes::right(y);
                for r in 0..ROWS {
                    let dot = _mm256_cvtepi32_ps(bytes::dot(x[r].1, y));
                    sums[r][t] = _mm256_fmadd_ps(_mm256_set1_ps(x[r].0 * y_scale), dot, sums[r][t]);
                }
            }
        }
        for r in 0..ROWS {
            for t in 0..TOKENS {
                *product.result(r, t) = sum_of_8(sums[r][t]);
            }
        }
    }
}

impl Block for Q8_0 {
    type Activations = Q8_0;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: this function's contract is the callee's.
        unsafe { tile::<Self, ROWS, TOKENS>(&product) }
    }
}

impl Block for Q5_0 {
    type Activations = Q8_0;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: this function's contract is the callee's.
        unsafe { tile::<Self, ROWS, TOKENS>(&product) }
    }
}

/// Activations `32 × index` to `32 × index + 31` of a super-block.
///
/// # Safety
///
/// The block can be read, and `index` is below 8.
#[inline(always)]
unsafe fn thirty_two(activations: *const Q8K, index: usize) -> __m256i {
    // SAFETY: by this function's contract the block can be read, and `index`
    // leaves 32 of its 256 values.
    unsafe { _mm256_loadu_si256((&raw const (*activations).values).cast::<__m256i>().add(index)) }
}

/// `sum + (x × y) × scales`, the sum of four products in each lane.
#[inline(always)]
fn add_scaled(sum: __m256i, x: __m256i, y: __m256i, scales: __m256i) -> __m256i {
    // SAFETY: build.rs compiles these kernels only for targets with AVX2, FMA
    // and F16C.
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(scales, _mm256_maddubs_epi16(x, y))) }
}

impl Block for Q4K {
    type Activations = Q8K;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be
        // read and its results written; build.rs compiles these kernels only
        // for targets with AVX2, FMA and F16C.
        unsafe {
            let mut totals = [[_mm256_setzero_ps(); TOKENS]; ROWS];
            let mut offsets = [[_mm_setzero_ps(); TOKENS]; ROWS];
            for block in 0..product.blocks {
                let x = |r: usize| product.weights(r, block);
                let y = |t: usize| product.activations(t, block);
                let mut scales = [_mm256_setzero_si256(); ROWS];
                for r in 0..ROWS {
                    let (scale, min) = Self::scales_and_mins((*x(r)).scales);
                    let both = _mm256_cvtepu8_epi16(_mm_set_epi64x(min as i64, scale as i64));
                    scales[r] = _mm256_broadcastsi128_si256(_mm256_castsi256_si128(both));
                    let mins = _mm256_extracti128_si256::<1>(both);
                    for t in 0..TOKENS {
                        let sixteens = _mm256_loadu_si256((&raw const (*y(t)).sums).cast());
                        let of_32 = _mm_hadd_epi16(
                            _mm256_castsi256_si128(sixteens),
                            _mm256_extracti128_si256::<1>(sixteens),
                        );
                        let offset = _mm_cvtepi32_ps(_mm_madd_epi16(mins, of_32));
                        let scale = _mm_set1_ps(-(*y(t)).scale * half((*x(r)).min));
                        offsets[r][t] = _mm_fmadd_ps(scale, offset, offsets[r][t]);
                    }
                }
                let mut sums = [[_mm256_setzero_si256(); TOKENS]; ROWS];
                for pair in 0..4 {
                    for r in 0..ROWS {
                        let bits =
                            _mm256_loadu_si256((&raw const (*x(r)).values).cast::<__m256i>().add(pair));
                        let low = _mm256_and_si256(bits, _mm256_set1_epi8(15));
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), _mm256_set1_epi8(15));
                        let first = _mm256_set1_epi16(0x0100 + 0x0404 * pair as i16);
                        let second = _mm256_set1_epi16(0x0302 + 0x0404 * pair as i16);
                        let first = _mm256_shuffle_epi8(scales[r], first);
                        let second = _mm256_shuffle_epi8(scales[r], second);
                        for t in 0..TOKENS {
                            let sum = add_scaled(sums[r][t], low, thirty_two(y(t), 2 * pair), first);
                            sums[r][t] = add_scaled(sum, high, thirty_two(y(t), 2 * pair + 1), second);
                        }
                    }
                }
                for r in 0..ROWS {
                    for t in 0..TOKENS {
                        let scale = _mm256_set1_ps((*y(t)).scale * half((*x(r)).scale));
                        totals[r][t] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums[r][t]), totals[r][t]);
                    }
                }
            }
            for r in 0..ROWS {
                for t in 0..TOKENS {
                    *product.result(r, t) = sum_of_8(totals[r][t]) + sum_of_4(offsets[r][t]);
                }
            }
        }
    }
}

impl Block for Q6K {
    type Activations = Q8K;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be
        // read and its results written; build.rs compiles these kernels only
        // for targets with AVX2, FMA and F16C.
        unsafe {
            let mut totals = [[_mm256_setzero_ps(); TOKENS]; ROWS];
            for block in 0..product.blocks {
                let x = |r: usize| product.weights(r, block);
                let y = |t: usize| product.activations(t, block);
                let mut sums = [[_mm256_setzero_si256(); TOKENS]; ROWS];
                for r in 0..ROWS {
                    let packed = _mm_loadu_si128((&raw const (*x(r)).scales).cast());
                    let scales = _mm256_cvtepi8_epi16(packed);
                    for t in 0..TOKENS {
                        let of_16 = _mm256_loadu_si256((&raw const (*y(t)).sums).cast());
                        // Every value is stored 32 too great: start at minus 32
                        // × scale × the sum of the activations.
                        let offset = _mm256_slli_epi32::<5>(_mm256_madd_epi16(of_16, scales));
                        sums[r][t] = _mm256_sub_epi32(_mm256_setzero_si256(), offset);
                    }
                    for half in 0..2 {
                        let low = (&raw const (*x(r)).low_bits).cast::<__m256i>().add(2 * half);
                        let low = [_mm256_loadu_si256(low), _mm256_loadu_si256(low.add(1))];
                        let high = (&raw const (*x(r)).high_bits).cast::<__m256i>().add(half);
                        let high = _mm256_loadu_si256(high);
                        let two = |part: usize| match part {
                            0 => _mm256_slli_epi16::<4>(_mm256_and_si256(high, _mm256_set1_epi8(3))),
                            1 => _mm256_slli_epi16::<2>(_mm256_and_si256(high, _mm256_set1_epi8(12))),
                            2 => _mm256_and_si256(high, _mm256_set1_epi8(48)),
                            _ => _mm256_srli_epi16::<2>(_mm256_and_si256(high, _mm256_set1_epi8(-64))),
                        };
                        for part in 0..4 {
                            let low = low[part % 2];
                            let low = if part < 2 { low } else { _mm256_srli_epi16::<4>(low) };
                            let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
                            let values = _mm256_or_si256(low, two(part));
                            let index = (8 * half + 2 * part) as i64;
                            // Eight lanes with the scale of the first 16
                            // numbers, eight with that of the next.
                            let spread = _mm_set_epi64x(
                                (index + 1) * 0x0101_0101_0101_0101,
                                index * 0x0101_0101_0101_0101,
                            );
                            let scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(packed, spread));
                            for t in 0..TOKENS {
                                let y = thirty_two(y(t), 4 * half + part);
                                sums[r][t] = add_scaled(sums[r][t], values, y, scales);
                            }
                        }
                    }
                    for t in 0..TOKENS {
                        let scale = _mm256_set1_ps((*y(t)).scale * self::half((*x(r)).scale));
                        totals[r][t] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums[r][t]), totals[r][t]);
                    }
                }
            }
            for r in 0..ROWS {
                for t in 0..TOKENS {
                    *product.result(r, t) = sum_of_8(totals[r][t]);
                }
            }
        }
    }
}
