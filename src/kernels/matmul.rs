//! Products of weights and activations, in tiles.
//!
//! ggml computes one result at a time. Here four rows of weights share the
//! activations of one token or two, and two rows those of up to four, which
//! share the unpacked weights. What a product is does not depend on how much
//! is computed at once: a batch has the bits of its tokens one by one, on any
//! number of threads. (On x86 ggml keeps batches of eight tokens and more to
//! itself for q4_K and q6_K: the prompt's, which are always the same.)
//!
//! What is done for each block is in [`crate::kernels::own`].

use std::ops::Range;

/// A format of weights.
pub(super) trait Block: Copy {
    /// What activations are rounded to for it.
    type Activations: Copy;

    /// Computes the first `ROWS` × `TOKENS` results of `product`.
    ///
    /// # Safety
    ///
    /// All of these rows and tokens lie where the product says.
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>);
}

/// Where the operands of a matrix product lie.
#[derive(Clone, Copy)]
pub(super) struct Product<B: Block> {
    /// Blocks in a row of weights, and in a token's activations.
    pub blocks: usize,
    /// Rows of weights.
    pub weights: *const B,
    /// Blocks from one row to the next.
    pub weights_stride: usize,
    /// Rows of activations, one for each token.
    pub activations: *const B::Activations,
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
    pub(super) unsafe fn compute(&self, rows: Range<usize>, tokens: usize) {
        // Rows outside: a few rows of weights stay in the first cache while
        // all tokens meet them.
        let mut row = rows.start;
        while row < rows.end {
            // As many results as there are registers for.
            let most = if tokens <= 2 { 4 } else { 2 };
            let height = most.min(rows.end - row);
            let mut token = 0;
            while token < tokens {
                let width = (tokens - token).min(4);
                // SAFETY: the caller's word for `height` rows and `width` tokens.
                unsafe {
                    let here = self.from(row, token);
                    match (height, width) {
                        (4, 1) => B::tile::<4, 1>(here),
                        (4, 2) => B::tile::<4, 2>(here),
                        (3, 1) => B::tile::<3, 1>(here),
                        (3, 2) => B::tile::<3, 2>(here),
                        (2, 1) => B::tile::<2, 1>(here),
                        (2, 2) => B::tile::<2, 2>(here),
                        (2, 3) => B::tile::<2, 3>(here),
                        (2, 4) => B::tile::<2, 4>(here),
                        (1, 1) => B::tile::<1, 1>(here),
                        (1, 2) => B::tile::<1, 2>(here),
                        (1, 3) => B::tile::<1, 3>(here),
                        (1, 4) => B::tile::<1, 4>(here),
                        (height, width) => unreachable!("no tile of {height} by {width}"),
                    }
                }
                token += width;
            }
            row += height;
        }
    }

    fn from(&self, row: usize, token: usize) -> Self {
        Self {
            weights: self.weights.wrapping_add(row * self.weights_stride),
            activations: self.activations.wrapping_add(token * self.activations_stride),
            results: self.results.wrapping_add(token * self.results_stride + row),
            ..*self
        }
    }

    /// A block of a row's weights.
    #[inline(always)]
    pub(super) fn weights(&self, row: usize, block: usize) -> *const B {
        self.weights.wrapping_add(row * self.weights_stride + block)
    }

    /// A block of a token's activations.
    #[inline(always)]
    pub(super) fn activations(&self, token: usize, block: usize) -> *const B::Activations {
        self.activations.wrapping_add(token * self.activations_stride + block)
    }

    /// Where a result goes.
    #[inline(always)]
    pub(super) fn result(&self, row: usize, token: usize) -> *mut f32 {
        self.results.wrapping_add(token * self.results_stride + row)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{c_int, c_void};

    use super::*;
    use crate::kernels::blocks::{Q4K, Q5_0, Q6K, Q8_0, Q8K};

    /// ggml's product of one row and one token.
    type Dot =
        unsafe extern "C" fn(c_int, *mut f32, usize, *const c_void, usize, *const c_void, usize, c_int);

    unsafe extern "C" {
        /// Makes ggml's tables of halves.
        safe fn ggml_cpu_init();
        fn ggml_vec_dot_q5_0_q8_0(
            n: c_int,
            s: *mut f32,
            bs: usize,
            x: *const c_void,
            bx: usize,
            y: *const c_void,
            by: usize,
            nrc: c_int,
        );
        fn ggml_vec_dot_q8_0_q8_0(
            n: c_int,
            s: *mut f32,
            bs: usize,
            x: *const c_void,
            bx: usize,
            y: *const c_void,
            by: usize,
            nrc: c_int,
        );
        fn ggml_vec_dot_q4_K_q8_K(
            n: c_int,
            s: *mut f32,
            bs: usize,
            x: *const c_void,
            bx: usize,
            y: *const c_void,
            by: usize,
            nrc: c_int,
        );
        fn ggml_vec_dot_q6_K_q8_K(
            n: c_int,
            s: *mut f32,
            bs: usize,
            x: *const c_void,
            bx: usize,
            y: *const c_void,
            by: usize,
            nrc: c_int,
        );
    }

    /// Bytes that look random, all of them possible.
    struct Noise(u32);

    impl Noise {
        fn byte(&mut self) -> u8 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 24) as u8
        }

        fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
            std::array::from_fn(|_| self.byte())
        }

        /// What is never below -127.
        fn activations<const COUNT: usize>(&mut self) -> [i8; COUNT] {
            self.bytes().map(|byte| (byte as i8).max(-127))
        }

        /// A half from 2^-10 to 1, of either sign.
        fn half(&mut self) -> u16 {
            let bits = u16::from_le_bytes(self.bytes());
            (0x1400 + bits % 0x2800) | (bits & 0x8000)
        }
    }

    fn q8_0(noise: &mut Noise) -> Q8_0 {
        Q8_0 { scale: noise.half(), values: noise.activations() }
    }

    fn q8_k(noise: &mut Noise) -> Q8K {
        let values: [i8; 256] = noise.activations();
        let sum = |at: usize| values[16 * at..][..16].iter().map(|&value| i16::from(value)).sum();
        Q8K { scale: f32::from(noise.byte()) / 300.0, values, sums: std::array::from_fn(sum) }
    }

    fn q4_k(noise: &mut Noise) -> Q4K {
        Q4K { scale: noise.half(), least: noise.half(), scales: noise.bytes(), values: noise.bytes() }
    }

    fn q6_k(noise: &mut Noise) -> Q6K {
        Q6K {
            low_bits: noise.bytes(),
            high_bits: noise.bytes(),
            scales: noise.bytes().map(|byte| byte as i8),
            scale: noise.half(),
        }
    }

    /// Products are ggml's, but for `tolerance` of their size; and whatever is
    /// computed at once, up to nine rows and nine tokens, they have the same
    /// bits.
    fn is_ggmls<B: Block>(
        numbers: usize,
        weight: fn(&mut Noise) -> B,
        activation: fn(&mut Noise) -> B::Activations,
        dot: Dot,
        tolerance: f32,
    ) {
        const MOST: usize = 9;
        const BLOCKS: usize = 6;
        ggml_cpu_init();
        let mut noise = Noise(7);
        let weights: Vec<_> = (0..MOST * BLOCKS).map(|_| weight(&mut noise)).collect();
        let activations: Vec<_> = (0..MOST * BLOCKS).map(|_| activation(&mut noise)).collect();
        let compute = |rows: Range<usize>, tokens: Range<usize>| {
            let mut results = vec![f32::NAN; MOST * tokens.len()];
            let product = Product {
                blocks: BLOCKS,
                weights: weights.as_ptr(),
                weights_stride: BLOCKS,
                activations: activations[tokens.start * BLOCKS..].as_ptr(),
                activations_stride: BLOCKS,
                results: results.as_mut_ptr(),
                results_stride: MOST,
            };
            // SAFETY: all of it lies in the vectors.
            unsafe { product.compute(rows, tokens.len()) };
            results
        };
        let mut singles = [[0.0; MOST]; MOST];
        for (row, singles) in singles.iter_mut().enumerate() {
            for (token, single) in singles.iter_mut().enumerate() {
                let result = compute(row..row + 1, token..token + 1)[row];
                *single = result;
                let mut expected = f32::NAN;
                let (x, y) = (weights[row * BLOCKS..].as_ptr(), activations[token * BLOCKS..].as_ptr());
                // SAFETY: a row has this many numbers.
                unsafe { dot((numbers * BLOCKS) as c_int, &mut expected, 0, x.cast(), 0, y.cast(), 0, 1) };
                let most = tolerance * expected.abs().max(1.0);
                assert!((result - expected).abs() <= most, "{result} is not {expected}: {row}, {token}");
            }
        }
        for rows in 1..=MOST {
            for tokens in 1..=MOST {
                let results = compute(0..rows, 0..tokens);
                for (at, result) in results.iter().enumerate().filter(|(at, _)| at % MOST < rows) {
                    let single: f32 = singles[at % MOST][at / MOST];
                    assert_eq!(result.to_bits(), single.to_bits(), "{rows} rows, {tokens} tokens: {at}");
                }
            }
        }
    }

    /// ggml rounds twice where the A53's kernels round once.
    const ROUNDING: f32 = if cfg!(target_arch = "aarch64") { 1e-5 } else { 0.0 };

    #[test]
    fn products_of_q5_0_are_ggmls_whatever_is_computed_at_once() {
        let weight = |noise: &mut Noise| Q5_0 {
            scale: noise.half(),
            fifth_bits: noise.bytes(),
            low_bits: noise.bytes(),
        };
        is_ggmls(32, weight, q8_0, ggml_vec_dot_q5_0_q8_0, ROUNDING);
    }

    #[test]
    fn products_of_q8_0_are_ggmls_whatever_is_computed_at_once() {
        // A weight may be -128, an activation may not.
        let weight =
            |noise: &mut Noise| Q8_0 { scale: noise.half(), values: noise.bytes().map(|byte| byte as i8) };
        is_ggmls(32, weight, q8_0, ggml_vec_dot_q8_0_q8_0, ROUNDING);
    }

    #[test]
    fn products_of_q4_k_are_ggmls_whatever_is_computed_at_once() {
        is_ggmls(256, q4_k, q8_k, ggml_vec_dot_q4_K_q8_K, 0.0);
    }

    #[test]
    fn products_of_q6_k_are_ggmls_whatever_is_computed_at_once() {
        is_ggmls(256, q6_k, q8_k, ggml_vec_dot_q6_K_q8_K, 0.0);
    }
}
