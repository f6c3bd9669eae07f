//! The layouts of GGUF's block formats.
//!
//! Names and layouts are GGUF's. A block is `scale × integers`, the scale an
//! f16. The formats of activations are ggml's own: it quantizes them before
//! each product, and they are in no file.

#![cfg_attr(not(kernels = "neon"), allow(dead_code, reason = "ggml computes the products"))]

/// Numbers in a block of q8_0 or q5_0.
pub(crate) const BLOCK: usize = 32;

/// Numbers in a super-block, the block of the K formats.
pub(crate) const SUPER_BLOCK: usize = 256;

/// Eight f16, as the voice has them. Their activations are eight f32.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct F16(pub [u16; 8]);

/// 32 numbers of eight bits: `scale × value`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Q8_0 {
    pub scale: u16,
    pub values: [i8; BLOCK],
}

/// 32 numbers of five bits: `scale × (value − 16)`. Each byte of `low_bits`
/// holds the low four bits of number i and of number i + 16; the fifth bits are
/// in `fifth_bits`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Q5_0 {
    pub scale: u16,
    pub fifth_bits: [u8; 4],
    pub low_bits: [u8; BLOCK / 2],
}

/// 256 numbers of four bits, in eight groups of 32. In group i a number is
/// `scale × scales[i] × value − min × mins[i]`.
///
/// Each byte of `values` holds numbers i and i + 32 of 64 numbers, the first
/// in its low four bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Q4K {
    pub scale: u16,
    pub min: u16,
    /// Eight scales and eight mins of six bits each, packed.
    pub scales: [u8; 12],
    pub values: [u8; SUPER_BLOCK / 2],
}

/// 256 numbers of six bits, in sixteen groups of 16. In group i a number is
/// `scale × scales[i] × (value − 32)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Q6K {
    pub low_bits: [u8; SUPER_BLOCK / 2],
    pub high_bits: [u8; SUPER_BLOCK / 4],
    pub scales: [i8; SUPER_BLOCK / 16],
    pub scale: u16,
}

/// 256 activations: `scale × value`, with values from -127 to 127.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Q8K {
    pub scale: f32,
    pub values: [i8; SUPER_BLOCK],
    /// The sum of each 16 values.
    pub sums: [i16; SUPER_BLOCK / 16],
}

const _: () = assert!(size_of::<Q8_0>() == 34 && size_of::<Q5_0>() == 22);
const _: () = assert!(size_of::<Q4K>() == 144 && size_of::<Q6K>() == 210 && size_of::<Q8K>() == 292);

impl Q4K {
    /// Unpacks the eight scales and the eight mins: a byte each, the first one
    /// in the lowest byte.
    #[inline(always)]
    pub(crate) fn scales_and_mins(packed: [u8; 12]) -> (u64, u64) {
        const SIX: u32 = 0x3F3F_3F3F;
        const FOUR: u32 = 0x0F0F_0F0F;
        const TWO: u32 = 0x0303_0303;
        let word =
            |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
        let (a, b, c) = (word(0), word(4), word(8));
        let scales = [a & SIX, (c & FOUR) | (((a >> 6) & TWO) << 4)];
        let mins = [b & SIX, ((c >> 4) & FOUR) | (((b >> 6) & TWO) << 4)];
        let join = |[low, high]: [u32; 2]| u64::from(low) | u64::from(high) << 32;
        (join(scales), join(mins))
    }
}
