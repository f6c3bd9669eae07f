//! Tiles of matrix products: see [`Block`] for the contract.

#![allow(clippy::needless_range_loop, reason = "rows, tokens and heads index several arrays of registers")]

use core::arch::aarch64::*;
use core::ops::Range;

use super::registers::{
    Start, add_product, eights, four_products, half, scale_of, two_products, widen_eight,
};
use crate::blocks::{F16, Q4K, Q5_0, Q6K, Q8_0, Q8K};
use crate::matmul::{Block, Product};

/// A weight format of blocks of 32 numbers.
pub(super) trait Integers: Copy {
    /// The block's 32 integers. `start` holds its first eight bytes.
    ///
    /// # Safety
    ///
    /// `block` can be read.
    unsafe fn values(block: *const Self, start: Start) -> [int8x16_t; 2];

    /// The products of `values` and of `activations` from -127 to 127, summed
    /// in four lanes.
    fn dot(values: [int8x16_t; 2], activations: [int8x16_t; 2]) -> int32x4_t;
}

impl Integers for Q8_0 {
    #[inline(always)]
    unsafe fn values(block: *const Self, _: Start) -> [int8x16_t; 2] {
        // SAFETY: by this function's contract the block can be read.
        unsafe { eights(block) }
    }

    #[inline(always)]
    fn dot(x: [int8x16_t; 2], y: [int8x16_t; 2]) -> int32x4_t {
        // Two products of 128 × 127 fit in an i16; a third might not.
        // SAFETY: every aarch64 has NEON.
        unsafe { vpadalq_s16(vpaddlq_s16(two_products(x[0], y[0])), two_products(x[1], y[1])) }
    }
}

impl Integers for Q5_0 {
    #[inline(always)]
    unsafe fn values(block: *const Self, start: Start) -> [int8x16_t; 2] {
        // The four bytes of fifth bits follow the two bytes of the scale: they
        // are bytes 2 to 5 of `start`.
        const BYTES: [u64; 4] =
            [0x0202_0202_0202_0202, 0x0303_0303_0303_0303, 0x0404_0404_0404_0404, 0x0505_0505_0505_0505];
        const BITS: u64 = 0x8040_2010_0804_0201;
        // SAFETY: by this function's contract the block can be read, and both
        // fields lie in it; every aarch64 has NEON.
        unsafe {
            let bits = vcombine_u8(vcreate_u8(BITS), vcreate_u8(BITS));
            let clear = vmvnq_u8(vreinterpretq_u8_u16(start.0));
            let spread = |first: usize| -> uint8x16_t {
                let bytes = vcombine_u8(vcreate_u8(BYTES[first]), vcreate_u8(BYTES[first + 1]));
                vtstq_u8(vqtbl1q_u8(clear, bytes), bits)
            };
            let low_bits = vld1q_u8((&raw const (*block).low_bits).cast());
            // Where the fifth bit is clear, the value is its low bits - 16,
            // which is 0xF0 | its low bits; else it is its low bits.
            [
                vreinterpretq_s8_u8(vsliq_n_u8::<4>(low_bits, spread(0))),
                vreinterpretq_s8_u8(vsriq_n_u8::<4>(spread(2), low_bits)),
            ]
        }
    }

    #[inline(always)]
    fn dot(x: [int8x16_t; 2], y: [int8x16_t; 2]) -> int32x4_t {
        // Four products of 16 × 127 fit in an i16.
        // SAFETY: every aarch64 has NEON.
        unsafe { vpaddlq_s16(four_products(x, y)) }
    }
}

/// The formats of blocks of 32 numbers.
impl<B: Integers> Block for B {
    type Activations = Q8_0;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be read
        // and its results written; every aarch64 has NEON.
        unsafe {
            let mut sums = [[vdupq_n_f32(0.0); TOKENS]; ROWS];
            let mut x = product.weights;
            let mut y = product.activations;
            for _ in 0..product.blocks {
                let starts = Start::of::<ROWS>(x.cast(), product.weights_stride * size_of::<B>());
                let scales = Start::scales(&starts);
                let mut products = [vdupq_n_f32(0.0); TOKENS];
                let mut activations = [[vdupq_n_s8(0); 2]; TOKENS];
                for t in 0..TOKENS {
                    let y = y.add(t * product.activations_stride);
                    products[t] = vmulq_f32(scales, scale_of(y));
                    activations[t] = eights(y);
                }
                for r in 0..ROWS {
                    let values = B::values(x.add(r * product.weights_stride), starts[r]);
                    for t in 0..TOKENS {
                        let dot = vcvtq_f32_s32(B::dot(values, activations[t]));
                        sums[r][t] = add_product(sums[r][t], dot, products[t], r);
                    }
                }
                x = x.add(1);
                y = y.add(1);
            }
            for r in 0..ROWS {
                for t in 0..TOKENS {
                    *product.result(r, t) = vaddvq_f32(sums[r][t]);
                }
            }
        }
    }
}

impl Block for F16 {
    type Activations = [f32; 8];

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be read
        // and its results written; every aarch64 has NEON.
        unsafe {
            let mut sums = [[vdupq_n_f32(0.0); TOKENS]; ROWS];
            let mut x = product.weights;
            let mut y = product.activations;
            for _ in 0..product.blocks {
                let mut weights = [[vdupq_n_f32(0.0); 2]; ROWS];
                for r in 0..ROWS {
                    weights[r] = Self::values(x.add(r * product.weights_stride));
                }
                for t in 0..TOKENS {
                    let [low, high] = floats(y.add(t * product.activations_stride));
                    for r in 0..ROWS {
                        sums[r][t] = vfmaq_f32(sums[r][t], weights[r][0], low);
                        sums[r][t] = vfmaq_f32(sums[r][t], weights[r][1], high);
                    }
                }
                x = x.add(1);
                y = y.add(1);
            }
            for r in 0..ROWS {
                for t in 0..TOKENS {
                    *product.result(r, t) = vaddvq_f32(sums[r][t]);
                }
            }
        }
    }
}

impl F16 {
    #[inline(always)]
    unsafe fn values(block: *const Self) -> [float32x4_t; 2] {
        // SAFETY: the caller's block can be read.
        widen_eight(unsafe { vld1q_u16(block.cast()) })
    }

    /// Products of rows of a single block, of which a voice has 5,000 a layer: what
    /// [`Block::tile`] computes (but for the sign of a zero), without a call for every four rows.
    ///
    /// # Safety
    ///
    /// `rows` of `weights` and of `results`, and the activations, lie there.
    pub(crate) unsafe fn short_rows(
        weights: *const Self,
        activations: *const [f32; 8],
        results: *mut f32,
        rows: Range<usize>,
    ) {
        // SAFETY: by this function's contract; every aarch64 has NEON.
        unsafe {
            let [low, high] = floats(activations);
            let row = |row: usize| {
                let values = Self::values(weights.add(row));
                vfmaq_f32(vmulq_f32(values[0], low), values[1], high)
            };
            let mut at = rows.start;
            while at + 4 <= rows.end {
                let [a, b] = [vpaddq_f32(row(at), row(at + 1)), vpaddq_f32(row(at + 2), row(at + 3))];
                vst1q_f32(results.add(at), vpaddq_f32(a, b));
                at += 4;
            }
            for at in at..rows.end {
                *results.add(at) = vaddvq_f32(row(at));
            }
        }
    }
}

/// # Safety
///
/// The numbers can be read.
#[inline(always)]
unsafe fn floats(numbers: *const [f32; 8]) -> [float32x4_t; 2] {
    // SAFETY: by this function's contract.
    unsafe { [vld1q_f32(numbers.cast()), vld1q_f32(numbers.cast::<f32>().add(4))] }
}

/// Activations `16 × index` to `16 × index + 15` of a super-block.
///
/// # Safety
///
/// The block can be read, and `index` is below 16.
#[inline(always)]
unsafe fn sixteen(activations: *const Q8K, index: usize) -> int8x16_t {
    // SAFETY: by this function's contract the block can be read, and `index`
    // leaves 16 of its 256 values.
    unsafe { vld1q_s8((&raw const (*activations).values).cast::<i8>().add(16 * index)) }
}

/// Adds `x × y[LANE]` to `sum`: the products of the low and of the high four
/// lanes of `x` go to the same four lanes of 32 bits.
///
/// Inline assembly, for two reasons: knowing how small the scales are, the
/// compiler picks other instructions, which are slower; and it reorders the
/// additions so that they need more registers than there are. Not `pure`, so
/// that the additions stay in the order written.
#[inline(always)]
fn add_scaled<const LANE: usize>(mut sum: int32x4_t, x: int16x8_t, y: int16x8_t) -> int32x4_t {
    // SAFETY: reads and writes registers only.
    unsafe {
        core::arch::asm!(
            "smlal {sum:v}.4s, {x:v}.4h, {y:v}.h[{lane}]",
            "smlal2 {sum:v}.4s, {x:v}.8h, {y:v}.h[{lane}]",
            sum = inout(vreg) sum, x = in(vreg) x, y = in(vreg_low16) y, lane = const LANE,
            options(nomem, nostack, preserves_flags)
        );
    }
    sum
}

impl Block for Q4K {
    type Activations = Q8K;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be
        // read and its results written; every aarch64 has NEON.
        unsafe {
            let mut totals = [[0.0f32; TOKENS]; ROWS];
            for block in 0..product.blocks {
                let x = |r: usize| product.weights(r, block);
                let y = |t: usize| product.activations(t, block);
                let mut scales = [vdupq_n_s16(0); ROWS];
                let mut mins = [vdupq_n_s16(0); ROWS];
                for r in 0..ROWS {
                    let (scale, min) = Self::scales_and_mins((*x(r)).scales);
                    scales[r] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(scale)));
                    mins[r] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(min)));
                }
                let mut sums = [[vdupq_n_s32(0); TOKENS]; ROWS];
                macro_rules! sixty_four {
                    ($pair:literal) => {
                        let mut values = [[vdupq_n_s8(0); 4]; ROWS];
                        for r in 0..ROWS {
                            let bits = (&raw const (*x(r)).values).cast::<u8>().add(32 * $pair);
                            let (a, b) = (vld1q_u8(bits), vld1q_u8(bits.add(16)));
                            let low = |bits| vreinterpretq_s8_u8(vandq_u8(bits, vdupq_n_u8(15)));
                            let high = |bits| vreinterpretq_s8_u8(vshrq_n_u8::<4>(bits));
                            values[r] = [low(a), low(b), high(a), high(b)];
                        }
                        for t in 0..TOKENS {
                            let y = y(t);
                            let [a, b] = [sixteen(y, 4 * $pair), sixteen(y, 4 * $pair + 1)];
                            let [c, d] = [sixteen(y, 4 * $pair + 2), sixteen(y, 4 * $pair + 3)];
                            for r in 0..ROWS {
                                // Four products of 15 × 127 fit in an i16.
                                let first = four_products([values[r][0], values[r][1]], [a, b]);
                                let second = four_products([values[r][2], values[r][3]], [c, d]);
                                let sum = add_scaled::<{ 2 * $pair }>(sums[r][t], first, scales[r]);
                                sums[r][t] = add_scaled::<{ 2 * $pair + 1 }>(sum, second, scales[r]);
                            }
                        }
                    };
                }
                sixty_four!(0);
                sixty_four!(1);
                sixty_four!(2);
                sixty_four!(3);
                for t in 0..TOKENS {
                    let sixteens = (&raw const (*y(t)).sums).cast::<i16>();
                    let of_32 = vpaddq_s16(vld1q_s16(sixteens), vld1q_s16(sixteens.add(8)));
                    for r in 0..ROWS {
                        let min = vmull_s16(vget_low_s16(of_32), vget_low_s16(mins[r]));
                        let min = vaddvq_s32(vmlal_high_s16(min, of_32, mins[r])) as f32;
                        let total = &mut totals[r][t];
                        *total = (-((*y(t)).scale * half((*x(r)).min))).mul_add(min, *total);
                        let sum = vaddvq_s32(sums[r][t]) as f32;
                        *total = ((*y(t)).scale * half((*x(r)).scale)).mul_add(sum, *total);
                    }
                }
            }
            write(&product, &totals);
        }
    }
}

impl Block for Q6K {
    type Activations = Q8K;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: by this function's contract all blocks of the tile can be
        // read and its results written; every aarch64 has NEON.
        unsafe {
            let mut totals = [[0.0f32; TOKENS]; ROWS];
            for block in 0..product.blocks {
                let x = |r: usize| product.weights(r, block);
                let y = |t: usize| product.activations(t, block);
                let mut scales = [[vdupq_n_s16(0); 2]; ROWS];
                for r in 0..ROWS {
                    let bytes = vld1q_s8((&raw const (*x(r)).scales).cast());
                    scales[r] = [vmovl_s8(vget_low_s8(bytes)), vmovl_s8(vget_high_s8(bytes))];
                }
                let mut sums = [[vdupq_n_s32(0); TOKENS]; ROWS];
                // 32 of the 128 numbers in half `$half`. Their two high bits
                // are bits `2 × $part` and above of that half's 32 bytes of
                // `high_bits`. Their four low bits are the low nibbles (`$part`
                // below 2) or the high nibbles of the 32 bytes of `low_bits`
                // from `64 × $half + 32 × ($part % 2)` on.
                macro_rules! thirty_two {
                    ($half:literal, $part:literal) => {
                        let mut values = [[vdupq_n_s8(0); 2]; ROWS];
                        for r in 0..ROWS {
                            let low = (&raw const (*x(r)).low_bits).cast::<u8>();
                            let low = low.add(64 * $half + 32 * ($part % 2));
                            let high = (&raw const (*x(r)).high_bits).cast::<u8>().add(32 * $half);
                            for at in 0..2 {
                                let (low, high) = (vld1q_u8(low.add(16 * at)), vld1q_u8(high.add(16 * at)));
                                let three = vdupq_n_u8(3);
                                let high = match $part {
                                    0 => vandq_u8(high, three),
                                    1 => vandq_u8(vshrq_n_u8::<2>(high), three),
                                    2 => vandq_u8(vshrq_n_u8::<4>(high), three),
                                    _ => vshrq_n_u8::<6>(high),
                                };
                                let low = if $part < 2 { low } else { vshrq_n_u8::<4>(low) };
                                // Inserts the two high bits above the four low
                                // ones.
                                values[r][at] = vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, high));
                            }
                        }
                        for t in 0..TOKENS {
                            let first = 8 * $half + 2 * $part;
                            let y = [sixteen(y(t), first), sixteen(y(t), first + 1)];
                            for r in 0..ROWS {
                                // Two products of 63 × 127 fit in an i16.
                                let first = two_products(values[r][0], y[0]);
                                let second = two_products(values[r][1], y[1]);
                                let sum = add_scaled::<{ 2 * $part }>(sums[r][t], first, scales[r][$half]);
                                sums[r][t] = add_scaled::<{ 2 * $part + 1 }>(sum, second, scales[r][$half]);
                            }
                        }
                    };
                }
                thirty_two!(0, 0);
                thirty_two!(0, 1);
                thirty_two!(0, 2);
                thirty_two!(0, 3);
                thirty_two!(1, 0);
                thirty_two!(1, 1);
                thirty_two!(1, 2);
                thirty_two!(1, 3);
                for t in 0..TOKENS {
                    let sixteens = (&raw const (*y(t)).sums).cast::<i16>();
                    let of_16 = [vld1q_s16(sixteens), vld1q_s16(sixteens.add(8))];
                    for r in 0..ROWS {
                        let mut offset = vdupq_n_s32(0);
                        for (of_16, scales) in of_16.into_iter().zip(scales[r]) {
                            offset = vmlal_s16(offset, vget_low_s16(of_16), vget_low_s16(scales));
                            offset = vmlal_high_s16(offset, of_16, scales);
                        }
                        // Every value is stored 32 too great: subtract 32 ×
                        // scale × the sum of the activations.
                        let sum = vaddvq_s32(vsubq_s32(sums[r][t], vshlq_n_s32::<5>(offset))) as f32;
                        let total = &mut totals[r][t];
                        *total = (half((*x(r)).scale) * (*y(t)).scale).mul_add(sum, *total);
                    }
                }
            }
            write(&product, &totals);
        }
    }
}

/// Writes a tile's results.
///
/// # Safety
///
/// That of [`Block::tile`].
#[inline(always)]
unsafe fn write<B: Block, const ROWS: usize, const TOKENS: usize>(
    product: &Product<B>,
    results: &[[f32; TOKENS]; ROWS],
) {
    for (r, results) in results.iter().enumerate() {
        for (t, &result) in results.iter().enumerate() {
            // SAFETY: by this function's contract the tile's results can be
            // written.
            unsafe { *product.result(r, t) = result };
        }
    }
}
