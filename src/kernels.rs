//! Matrix products and attention for the Cortex-A53: ARMv8.0-A, without dot
//! products and without arithmetic on halves.
//!
//! ggml's own kernels for such a core work one row at a time, look the fifth
//! bits of q5_0 up in a table, and widen every value of the cache once for
//! each query head. These share what can be shared: the activations between
//! four rows, the weights between the tokens of a batch, the cache between the
//! query heads that read it. `benches/README.md` has the counts.
//!
//! What a product is does not depend on how much is computed at once: a batch
//! has the bits of its tokens one by one, on any number of threads. The
//! products are bit for bit ggml's, where a row has an even number of blocks.
//!
//! Names of the formats and their layouts are GGUF's. [`crate::ggml`] calls
//! these in place of ggml's.

use core::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, uint8x16_t, uint16x4_t, vabsq_f32, vaddvq_f32, vcombine_u8,
    vcreate_u8, vcvtnq_s32_f32, vcvtq_f32_s32, vdup_n_u16, vdupq_n_f32, vdupq_n_s8, vdupq_n_s16, vdupq_n_s32,
    vfmaq_f32, vfmaq_laneq_f32, vget_high_s8, vget_low_s8, vget_low_s16, vld1_dup_u16, vld1_dup_u32,
    vld1_lane_u16, vld1q_f32, vld1q_s8, vld1q_s16, vld1q_u8, vmaxnmq_f32, vmaxnmvq_f32, vmlal_high_laneq_s16,
    vmlal_high_s8, vmlal_laneq_s16, vmlal_s8, vmovl_s8, vmull_s8, vmulq_f32, vmulq_n_f32, vmvn_u32,
    vpadalq_s16, vpaddlq_s16, vpaddq_s32, vqmovn_high_s32, vqmovn_s32, vqtbl1q_u8, vreinterpret_u8_u32,
    vreinterpretq_s8_u8, vsliq_n_u8, vsriq_n_u8, vst1q_f32, vst1q_s16, vtstq_u8,
};

use crate::attention::{BLOCK, CHUNK, Column, Partial, Q8_0, Quantized, Row};

/// 32 numbers of five bits: `scale × (value − 16)`. The low halves of the
/// first and the last 16 share bytes; the fifth bits stand apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Q5_0 {
    scale: u16,
    fifth_bits: [u8; 4],
    low_bits: [u8; BLOCK / 2],
}

const _: () = assert!(size_of::<Q5_0>() == 22);

/// A format of weights.
pub trait Block: Copy {
    /// The block's integers.
    ///
    /// # Safety
    ///
    /// `block` can be read.
    unsafe fn values(block: *const Self) -> [int8x16_t; 2];

    /// Their products with `activations` of -127 to 127, summed in four lanes.
    fn dot(values: [int8x16_t; 2], activations: [int8x16_t; 2]) -> int32x4_t;
}

impl Block for Q8_0 {
    #[inline(always)]
    unsafe fn values(block: *const Self) -> [int8x16_t; 2] {
        // SAFETY: both halves lie in the block.
        unsafe {
            let values = (&raw const (*block).values).cast::<i8>();
            [vld1q_s8(values), vld1q_s8(values.add(16))]
        }
    }

    #[inline(always)]
    fn dot(x: [int8x16_t; 2], y: [int8x16_t; 2]) -> int32x4_t {
        // Two products of 128 × 127 fit in an i16; a third might not.
        // SAFETY: every aarch64 has NEON.
        unsafe {
            let low = vmlal_high_s8(vmull_s8(vget_low_s8(x[0]), vget_low_s8(y[0])), x[0], y[0]);
            let high = vmlal_high_s8(vmull_s8(vget_low_s8(x[1]), vget_low_s8(y[1])), x[1], y[1]);
            vpadalq_s16(vpaddlq_s16(low), high)
        }
    }
}

impl Block for Q5_0 {
    #[inline(always)]
    unsafe fn values(block: *const Self) -> [int8x16_t; 2] {
        const BYTES: [u64; 4] = [0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303];
        const BITS: u64 = 0x8040_2010_0804_0201;
        // SAFETY: both fields lie in the block; every aarch64 has NEON.
        unsafe {
            let bits = vcombine_u8(vcreate_u8(BITS), vcreate_u8(BITS));
            let fifth = vld1_dup_u32((&raw const (*block).fifth_bits).cast());
            let clear = vreinterpret_u8_u32(vmvn_u32(fifth));
            let clear = vcombine_u8(clear, clear);
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
        unsafe {
            let sum = vmlal_high_s8(vmull_s8(vget_low_s8(x[0]), vget_low_s8(y[0])), x[0], y[0]);
            let sum = vmlal_high_s8(vmlal_s8(sum, vget_low_s8(x[1]), vget_low_s8(y[1])), x[1], y[1]);
            vpaddlq_s16(sum)
        }
    }
}

/// Four halves as floats. (Rust's own f16 is not stable.)
#[inline(always)]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: reads and writes registers only.
    unsafe {
        core::arch::asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags));
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

/// The scales of up to four blocks that lie `stride` bytes apart.
///
/// # Safety
///
/// `COUNT` blocks can be read from `first` on.
#[inline(always)]
unsafe fn scales<const COUNT: usize>(first: *const u8, stride: usize) -> float32x4_t {
    // SAFETY: as above; a scale is the first field of a block.
    unsafe {
        let at = |index: usize| first.add(index * stride).cast::<u16>();
        let mut halves = if COUNT == 1 { vld1_dup_u16(at(0)) } else { vdup_n_u16(0) };
        if COUNT > 1 {
            halves = vld1_lane_u16::<0>(at(0), halves);
            halves = vld1_lane_u16::<1>(at(1), halves);
        }
        if COUNT > 2 {
            halves = vld1_lane_u16::<2>(at(2), halves);
        }
        if COUNT > 3 {
            halves = vld1_lane_u16::<3>(at(3), halves);
        }
        widen(halves)
    }
}

/// The shape of a matrix product, and where its operands lie.
#[derive(Clone, Copy)]
pub struct Product<B> {
    /// Blocks in a row of weights, and in a token's activations.
    pub blocks: usize,
    /// Rows of weights.
    pub weights: *const B,
    /// Blocks from one row to the next.
    pub weights_stride: usize,
    /// Rows of activations, one for each token.
    pub activations: *const Q8_0,
    /// Blocks from one token to the next.
    pub activations_stride: usize,
    /// A token's results: one for each row of weights.
    pub results: *mut f32,
    /// Results from one token to the next.
    pub results_stride: usize,
}

impl<B: Block> Product<B> {
    /// Computes the rows `rows` for `tokens` tokens.
    ///
    /// # Safety
    ///
    /// All of these rows and tokens lie where the product says.
    pub unsafe fn compute(&self, rows: core::ops::Range<usize>, tokens: usize) {
        // Rows outside: a few rows of weights stay in the first cache while
        // all tokens meet them.
        let mut row = rows.start;
        while row < rows.end {
            let height = if tokens == 1 { 4 } else { 2 }.min(rows.end - row);
            let mut token = 0;
            while token < tokens {
                let width = (tokens - token).min(4);
                // SAFETY: the caller's word for `height` rows and `width` tokens.
                unsafe {
                    match (height, width) {
                        (4, _) => self.tile::<4, 1>(row, token),
                        (3, _) => self.tile::<3, 1>(row, token),
                        (2, 1) => self.tile::<2, 1>(row, token),
                        (2, 2) => self.tile::<2, 2>(row, token),
                        (2, 3) => self.tile::<2, 3>(row, token),
                        (2, _) => self.tile::<2, 4>(row, token),
                        (_, 1) => self.tile::<1, 1>(row, token),
                        (_, 2) => self.tile::<1, 2>(row, token),
                        (_, 3) => self.tile::<1, 3>(row, token),
                        (_, _) => self.tile::<1, 4>(row, token),
                    }
                }
                token += width;
            }
            row += height;
        }
    }

    /// `ROWS` × `TOKENS` results. Even and odd blocks are summed apart, as ggml
    /// does.
    #[inline(never)]
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(&self, row: usize, token: usize) {
        // SAFETY: the caller's word; every aarch64 has NEON.
        unsafe {
            let mut sums = [[[vdupq_n_f32(0.0); 2]; TOKENS]; ROWS];
            let mut x = self.weights.add(row * self.weights_stride);
            let mut y = self.activations.add(token * self.activations_stride);
            let mut left = self.blocks;
            macro_rules! block {
                ($parity:expr) => {
                    let x_scales = scales::<ROWS>(x.cast(), self.weights_stride * size_of::<B>());
                    let mut products = [vdupq_n_f32(0.0); TOKENS];
                    let mut activations = [[vdupq_n_s8(0); 2]; TOKENS];
                    for t in 0..TOKENS {
                        let y = y.add(t * self.activations_stride);
                        products[t] = vmulq_f32(x_scales, scales::<1>(y.cast(), 0));
                        activations[t] = Q8_0::values(y);
                    }
                    for r in 0..ROWS {
                        let values = B::values(x.add(r * self.weights_stride));
                        for t in 0..TOKENS {
                            let dot = vcvtq_f32_s32(B::dot(values, activations[t]));
                            let sum = &mut sums[r][t][$parity];
                            *sum = add_product(*sum, dot, products[t], r);
                        }
                    }
                    x = x.add(1);
                    y = y.add(1);
                };
            }
            while left >= 2 {
                block!(0);
                block!(1);
                left -= 2;
            }
            if left == 1 {
                block!(0);
            }
            let _ = (x, y);
            for (r, sums) in sums.iter().enumerate() {
                for (t, &[even, odd]) in sums.iter().enumerate() {
                    *self.results.add((token + t) * self.results_stride + row + r) =
                        vaddvq_f32(even) + vaddvq_f32(odd);
                }
            }
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
            let key_scales = scales::<4>(keys.at(at).cast(), keys.stride);
            let mut dots = [[vdupq_n_s32(0); 4]; GROUP];
            for p in 0..4 {
                let key = Q8_0::values(keys.at(at + p));
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
            let value_scales = scales::<4>(values.at(at).cast(), values.stride);
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
