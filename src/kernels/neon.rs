//! The innermost loops for the Cortex-A53: ARMv8.0-A, without dot products and
//! without arithmetic on halves.
//!
//! ggml's own kernels for such a core work one row at a time, look the fifth
//! bits of q5_0 up in a table, and widen every value of the cache once for
//! each query head. These share what can be shared: the activations between
//! four rows, the weights between the tokens of a batch, the cache between the
//! query heads that read it. `benches/README.md` has the counts.
//!
//! Products of q4_K and q6_K are bit for bit ggml's; those of q5_0 and q8_0
//! round once where ggml's round twice, and keep one sum where ggml keeps two.

#![allow(clippy::needless_range_loop, reason = "rows, tokens and heads index several arrays of registers")]

use core::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, uint8x16_t, uint16x4_t, uint16x8_t, vabsq_f32, vaddvq_f32,
    vaddvq_s32, vandq_u8, vcombine_u8, vcreate_u8, vcvtnq_s32_f32, vcvtq_f32_s32, vdup_n_u16, vdupq_n_f32,
    vdupq_n_s8, vdupq_n_s16, vdupq_n_s32, vdupq_n_u8, vfmaq_f32, vfmaq_laneq_f32, vget_high_s8, vget_low_s8,
    vget_low_s16, vget_low_u16, vgetq_lane_f32, vld1_dup_u16, vld1q_f32, vld1q_s8, vld1q_s16, vld1q_u8,
    vmaxnmq_f32, vmaxnmvq_f32, vmlal_high_laneq_s16, vmlal_high_s8, vmlal_high_s16, vmlal_laneq_s16,
    vmlal_s8, vmlal_s16, vmovl_s8, vmovl_u8, vmull_s8, vmull_s16, vmulq_f32, vmulq_n_f32, vmvnq_u8,
    vpadalq_s16, vpaddlq_s16, vpaddq_s16, vpaddq_s32, vqmovn_high_s32, vqmovn_s32, vqtbl1q_u8,
    vreinterpretq_s8_u8, vreinterpretq_s16_u16, vreinterpretq_u8_u16, vreinterpretq_u16_u32,
    vreinterpretq_u32_u16, vshlq_n_s32, vshrq_n_u8, vsliq_n_u8, vsriq_n_u8, vst1q_f32, vst1q_s16, vsubq_s32,
    vtstq_u8, vzip1q_u16, vzip1q_u32,
};

use crate::kernels::attention::{CHUNK, Column, Partial, Quantized, Row};
use crate::kernels::blocks::{Q4K, Q5_0, Q6K, Q8_0, Q8K};
use crate::kernels::matmul::{Block, Product};

/// A format of blocks of 32.
trait Integers: Copy {
    /// The block's integers; `start` is where it starts.
    ///
    /// # Safety
    ///
    /// `block` can be read.
    unsafe fn values(block: *const Self, start: Start) -> [int8x16_t; 2];

    /// Their products with `activations` of -127 to 127, summed in four lanes.
    fn dot(values: [int8x16_t; 2], activations: [int8x16_t; 2]) -> int32x4_t;
}

impl Integers for Q8_0 {
    #[inline(always)]
    unsafe fn values(block: *const Self, _: Start) -> [int8x16_t; 2] {
        // SAFETY: the block can be read.
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
        // The fifth bits follow the scale.
        const BYTES: [u64; 4] =
            [0x0202_0202_0202_0202, 0x0303_0303_0303_0303, 0x0404_0404_0404_0404, 0x0505_0505_0505_0505];
        const BITS: u64 = 0x8040_2010_0804_0201;
        // SAFETY: both fields lie in the block; every aarch64 has NEON.
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

/// Each lane is the sum of two products.
#[inline(always)]
fn two_products(x: int8x16_t, y: int8x16_t) -> int16x8_t {
    // SAFETY: every aarch64 has NEON.
    unsafe { vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(y)), x, y) }
}

/// Each lane is the sum of four products.
#[inline(always)]
fn four_products(x: [int8x16_t; 2], y: [int8x16_t; 2]) -> int16x8_t {
    // SAFETY: every aarch64 has NEON.
    unsafe {
        let sum = two_products(x[0], y[0]);
        vmlal_high_s8(vmlal_s8(sum, vget_low_s8(x[1]), vget_low_s8(y[1])), x[1], y[1])
    }
}

/// A half as a float.
#[inline(always)]
fn half(bits: u16) -> f32 {
    // SAFETY: every aarch64 has NEON.
    unsafe { vgetq_lane_f32::<0>(widen(vdup_n_u16(bits))) }
}

/// Four halves as floats. (Rust's own f16 is not stable.)
#[inline(always)]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: reads and writes registers only.
    unsafe {
        // A NaN sets a flag of the floating-point status.
        core::arch::asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves,
            options(pure, nomem, nostack));
    }
    floats
}

/// `sum + x × y[lane]`.
#[inline(always)]
fn add_product(sum: float32x4_t, x: float32x4_t, y: float32x4_t, lane: usize) -> float32x4_t {
    // SAFETY: every aarch64 has NEON.
    unsafe {
        match lane {
            0 => vfmaq_laneq_f32::<0>(sum, x, y),
            1 => vfmaq_laneq_f32::<1>(sum, x, y),
            2 => vfmaq_laneq_f32::<2>(sum, x, y),
            _ => vfmaq_laneq_f32::<3>(sum, x, y),
        }
    }
}

/// The first eight bytes of a block, whose first two are its scale.
#[derive(Clone, Copy)]
struct Start(uint16x8_t);

impl Start {
    /// The starts of up to four blocks that lie `stride` bytes apart.
    ///
    /// In the assembler's words: the compiler would load the scales of four
    /// blocks into one register, where each waits for the one before.
    ///
    /// # Safety
    ///
    /// Eight bytes of each can be read.
    #[inline(always)]
    unsafe fn of<const COUNT: usize>(first: *const u8, stride: usize) -> [Self; COUNT] {
        // Beyond the last there is the last once more.
        let at = |index: usize| first.wrapping_add(index.min(COUNT - 1) * stride);
        let (a, b, c, d);
        // SAFETY: as above; the rest of a register is made 0.
        unsafe {
            if COUNT > 2 {
                core::arch::asm!("ldr {0:d}, [{4}]", "ldr {1:d}, [{5}]", "ldr {2:d}, [{6}]", "ldr {3:d}, [{7}]",
                    out(vreg) a, out(vreg) b, out(vreg) c, lateout(vreg) d,
                    in(reg) at(0), in(reg) at(1), in(reg) at(2), in(reg) at(3),
                    options(pure, readonly, nostack, preserves_flags));
            } else {
                core::arch::asm!("ldr {0:d}, [{2}]", "ldr {1:d}, [{3}]",
                    out(vreg) a, lateout(vreg) b, in(reg) at(0), in(reg) at(1),
                    options(pure, readonly, nostack, preserves_flags));
                (c, d) = (a, b);
            }
        }
        let all = [Self(a), Self(b), Self(c), Self(d)];
        let mut starts = [Self(a); COUNT];
        starts.copy_from_slice(&all[..COUNT]);
        starts
    }

    /// The scales of up to four blocks.
    #[inline(always)]
    fn scales<const COUNT: usize>(starts: &[Self; COUNT]) -> float32x4_t {
        let of = |index: usize| if index < COUNT { starts[index].0 } else { starts[0].0 };
        // SAFETY: every aarch64 has NEON.
        unsafe {
            let low = vreinterpretq_u32_u16(vzip1q_u16(of(0), of(1)));
            if COUNT < 3 {
                return widen(vget_low_u16(vreinterpretq_u16_u32(low)));
            }
            let high = vreinterpretq_u32_u16(vzip1q_u16(of(2), of(3)));
            widen(vget_low_u16(vreinterpretq_u16_u32(vzip1q_u32(low, high))))
        }
    }
}

/// The scale of one block in each lane.
///
/// # Safety
///
/// The block can be read.
#[inline(always)]
unsafe fn scale_of(block: *const Q8_0) -> float32x4_t {
    // SAFETY: as above; a scale is the first field of a block.
    unsafe { widen(vld1_dup_u16(block.cast())) }
}

/// The scales at four positions of the cache.
///
/// # Safety
///
/// The column has these positions.
#[inline(always)]
unsafe fn four_scales(column: Column, at: usize) -> float32x4_t {
    // SAFETY: as above.
    unsafe { Start::scales(&Start::of::<4>(column.at(at).cast(), column.stride)) }
}

/// The integers of a block of q8_0.
///
/// # Safety
///
/// The block can be read.
#[inline(always)]
unsafe fn eights(block: *const Q8_0) -> [int8x16_t; 2] {
    // SAFETY: both halves lie in the block.
    unsafe {
        let values = (&raw const (*block).values).cast::<i8>();
        [vld1q_s8(values), vld1q_s8(values.add(16))]
    }
}

impl Block for Q8_0 {
    type Activations = Q8_0;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: the caller's word.
        unsafe { tile::<Self, ROWS, TOKENS>(&product) }
    }
}

impl Block for Q5_0 {
    type Activations = Q8_0;

    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>) {
        // SAFETY: the caller's word.
        unsafe { tile::<Self, ROWS, TOKENS>(&product) }
    }
}

/// A tile of blocks of 32.
#[inline(always)]
unsafe fn tile<B, const ROWS: usize, const TOKENS: usize>(product: &Product<B>)
where
    B: Integers + Block<Activations = Q8_0>,
{
    // SAFETY: the caller's word; every aarch64 has NEON.
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

/// 16 of a super-block's activations.
#[inline(always)]
unsafe fn sixteen(activations: *const Q8K, index: usize) -> int8x16_t {
    // SAFETY: the caller's word.
    unsafe { vld1q_s8((&raw const (*activations).values).cast::<i8>().add(16 * index)) }
}

/// `sum + x × y[lane]`, in four lanes of 32 bits.
///
/// In the assembler's words: from how small the scales are the compiler
/// concludes that slower instructions do, too, and it adds up in an order that
/// needs more registers than there are. Not `pure`: the order is the point.
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
        // SAFETY: the caller's word; every aarch64 has NEON.
        unsafe {
            let mut totals = [[0.0f32; TOKENS]; ROWS];
            for block in 0..product.blocks {
                let x = |r: usize| product.weights(r, block);
                let y = |t: usize| product.activations(t, block);
                let mut scales = [vdupq_n_s16(0); ROWS];
                let mut leasts = [vdupq_n_s16(0); ROWS];
                for r in 0..ROWS {
                    let (scale, least) = Self::scales_and_leasts((*x(r)).scales);
                    scales[r] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(scale)));
                    leasts[r] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(least)));
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
                        let least = vmull_s16(vget_low_s16(of_32), vget_low_s16(leasts[r]));
                        let least = vaddvq_s32(vmlal_high_s16(least, of_32, leasts[r])) as f32;
                        let total = &mut totals[r][t];
                        *total = (-((*y(t)).scale * half((*x(r)).least))).mul_add(least, *total);
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
        // SAFETY: the caller's word; every aarch64 has NEON.
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
                // 32 numbers: their high bits are bits `2 × $part` and the next
                // of the 32 bytes of each half; their low bits are a half of
                // the bytes `32 × ($part % 2)` and later.
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
                                // The high bits go above the four low ones.
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
                        // Every value is 32 too great.
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
#[inline(always)]
unsafe fn write<B: Block, const ROWS: usize, const TOKENS: usize>(
    product: &Product<B>,
    results: &[[f32; TOKENS]; ROWS],
) {
    for (r, results) in results.iter().enumerate() {
        for (t, &result) in results.iter().enumerate() {
            // SAFETY: the caller's word.
            unsafe { *product.result(r, t) = result };
        }
    }
}

/// Adds to `scores` what `GROUP` queries times the keys of `count` positions
/// give, in one block of the head. Four positions at a time: `count` is a
/// multiple of 8.
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
    // SAFETY: the caller's word; every aarch64 has NEON.
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

/// Writes to `partials`, from the head's number `start` on, what the weights times
/// the values of `count` positions give, in one block of the head; `count` is a
/// multiple of 8.
///
/// The weights are rounded to 15 bits of the greatest, a finer step than the
/// half that is a factor in them: no value of the cache is made a float.
///
/// # Safety
///
/// `values` has that many positions.
#[inline(always)]
pub unsafe fn sum_values<const GROUP: usize>(
    values: Column,
    count: usize,
    weights: &[Row; GROUP],
    start: usize,
    partials: &mut [Partial; GROUP],
) {
    const GREATEST: f32 = 32767.0;
    let mut scaled = [[0.0f32; CHUNK]; GROUP];
    let mut rounded = [[0i16; CHUNK]; GROUP];
    let mut steps = [0.0; GROUP];
    // SAFETY: the caller's word; every aarch64 has NEON.
    unsafe {
        let mut greatest = [vdupq_n_f32(0.0); GROUP];
        for at in (0..count.min(CHUNK)).step_by(4) {
            let value_scales = four_scales(values, at);
            for h in 0..GROUP {
                let weight = vmulq_f32(vld1q_f32(weights[h].as_ptr().add(at)), value_scales);
                vst1q_f32(scaled[h].as_mut_ptr().add(at), weight);
                greatest[h] = vmaxnmq_f32(greatest[h], vabsq_f32(weight));
            }
        }
        for h in 0..GROUP {
            let greatest = vmaxnmvq_f32(greatest[h]);
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
                let result = partials[h].sums.as_mut_ptr().add(start + 16 * half);
                for (quarter, &sum) in sums[h].iter().enumerate() {
                    vst1q_f32(result.add(4 * quarter), vmulq_n_f32(vcvtq_f32_s32(sum), steps[h]));
                }
            }
        }
    }
}
