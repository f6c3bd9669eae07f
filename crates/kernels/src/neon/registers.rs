//! Register operations that products and attention share.

use core::arch::aarch64::*;

use crate::blocks::Q8_0;

/// Products of bytes, two in each lane of the sum: lane i is
/// `x[i] × y[i] + x[i + 8] × y[i + 8]`.
#[inline(always)]
pub(super) fn two_products(x: int8x16_t, y: int8x16_t) -> int16x8_t {
    // SAFETY: every aarch64 has NEON.
    unsafe { vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(y)), x, y) }
}

/// The same over two pairs of registers: each lane is the sum of four products.
#[inline(always)]
pub(super) fn four_products(x: [int8x16_t; 2], y: [int8x16_t; 2]) -> int16x8_t {
    // SAFETY: every aarch64 has NEON.
    unsafe {
        let sum = two_products(x[0], y[0]);
        vmlal_high_s8(vmlal_s8(sum, vget_low_s8(x[1]), vget_low_s8(y[1])), x[1], y[1])
    }
}

/// The value of an f16, given as its bits.
#[inline(always)]
pub(super) fn half(bits: u16) -> f32 {
    // SAFETY: every aarch64 has NEON.
    unsafe { vgetq_lane_f32::<0>(widen(vdup_n_u16(bits))) }
}

/// The values of four f16. (Rust's own `f16` is not stable.)
#[inline(always)]
pub(super) fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: the instruction reads and writes registers only.
    unsafe {
        // No `preserves_flags`: a NaN sets a flag of the floating-point status
        // register.
        core::arch::asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves,
            options(pure, nomem, nostack));
    }
    floats
}

/// The values of eight f16.
#[inline(always)]
pub(super) fn widen_eight(halves: uint16x8_t) -> [float32x4_t; 2] {
    let (low, high);
    // SAFETY: as in `widen`.
    unsafe {
        core::arch::asm!("fcvtl {0:v}.4s, {2:v}.4h", "fcvtl2 {1:v}.4s, {2:v}.8h",
            out(vreg) low, lateout(vreg) high, in(vreg) halves, options(pure, nomem, nostack));
    }
    [low, high]
}

/// `sum + x × y[lane]`, for `lane` from 0 to 3.
#[inline(always)]
pub(super) fn add_product(sum: float32x4_t, x: float32x4_t, y: float32x4_t, lane: usize) -> float32x4_t {
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
pub(super) struct Start(pub(super) uint16x8_t);

impl Start {
    /// The starts of up to four blocks that lie `stride` bytes apart.
    ///
    /// Inline assembly, one register for each block: the compiler would load
    /// the scales of four blocks into the lanes of one register, where each
    /// load waits for the one before.
    ///
    /// # Safety
    ///
    /// The first eight bytes of each block can be read.
    #[inline(always)]
    pub(super) unsafe fn of<const COUNT: usize>(first: *const u8, stride: usize) -> [Self; COUNT] {
        // Indices beyond the last block read the last one again.
        let at = |index: usize| first.wrapping_add(index.min(COUNT - 1) * stride);
        let (a, b, c, d);
        // SAFETY: by this function's contract eight bytes can be read at each
        // address; `ldr` to a `d` register clears the register's upper half, so
        // that all of it is initialised.
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

    /// The scales of up to four blocks, one in each of the first lanes.
    #[inline(always)]
    pub(super) fn scales<const COUNT: usize>(starts: &[Self; COUNT]) -> float32x4_t {
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

/// The scale of one block, in every lane.
///
/// # Safety
///
/// The block can be read.
#[inline(always)]
pub(super) unsafe fn scale_of(block: *const Q8_0) -> float32x4_t {
    // SAFETY: by this function's contract the block can be read, and the scale
    // is its first field.
    unsafe { widen(vld1_dup_u16(block.cast())) }
}

/// The 32 integers of a block of q8_0.
///
/// # Safety
///
/// The block can be read.
#[inline(always)]
pub(super) unsafe fn eights(block: *const Q8_0) -> [int8x16_t; 2] {
    // SAFETY: by this function's contract the block can be read, and its 32
    // values are two loads of 16 bytes.
    unsafe {
        let values = (&raw const (*block).values).cast::<i8>();
        [vld1q_s8(values), vld1q_s8(values.add(16))]
    }
}
