//! Products of weights and activations, in tiles.
//!
//! ggml computes one result at a time. Here four rows of weights share the
//! activations of a single token, and two rows those of up to four tokens of the
//! prompt, which share the unpacked weights. A result does not depend on the tile
//! it is computed in, nor on the number of threads.
//!
//! On x86-64 ggml's own products are as fast, so there are tiles for aarch64 only:
//! the work for each block is done by an implementation of [`Block`], one for each
//! format.

use std::ops::Range;

/// A format of weights, with its product.
pub(crate) trait Block: Copy {
    /// The format that ggml quantizes activations to for these weights.
    type Activations: Copy;

    /// Computes the first `ROWS` × `TOKENS` results of `product`.
    ///
    /// # Safety
    ///
    /// The first `ROWS` rows of weights and `TOKENS` rows of activations can be
    /// read, and their results written, where the fields of `product` say. This
    /// is the contract of every implementation.
    unsafe fn tile<const ROWS: usize, const TOKENS: usize>(product: Product<Self>);
}

/// Where the operands of a matrix product lie.
#[derive(Clone, Copy)]
pub(crate) struct Product<B: Block> {
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
    /// The results, a row for each token: one number for each row of weights.
    pub results: *mut f32,
    /// Numbers from one token's results to the next token's.
    pub results_stride: usize,
}

impl<B: Block> Product<B> {
    /// Computes the results of the rows `rows` for the first `tokens` tokens.
    ///
    /// # Safety
    ///
    /// The operands and results of all these rows and tokens lie where the
    /// fields say.
    pub(crate) unsafe fn compute(&self, rows: Range<usize>, tokens: usize) {
        // Rows in the outer loop: a few rows of weights stay in the L1 cache
        // for all tokens.
        let mut row = rows.start;
        while row < rows.end {
            // As many rows as leave the sums in registers.
            let height = match rows.end - row {
                4.. if tokens == 1 => 4,
                left => left.min(2),
            };
            let mut token = 0;
            while token < tokens {
                let width = (tokens - token).min(4);
                // SAFETY: by this function's contract the operands of these
                // `height` rows and `width` tokens can be read and their
                // results written.
                unsafe {
                    let here = self.from(row, token);
                    match (height, width) {
                        (4, 1) => B::tile::<4, 1>(here),
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
    pub(crate) fn weights(&self, row: usize, block: usize) -> *const B {
        self.weights.wrapping_add(row * self.weights_stride + block)
    }

    /// A block of a token's activations.
    #[inline(always)]
    pub(crate) fn activations(&self, token: usize, block: usize) -> *const B::Activations {
        self.activations.wrapping_add(token * self.activations_stride + block)
    }

    /// Where the result of a row and a token is written.
    #[inline(always)]
    pub(crate) fn result(&self, row: usize, token: usize) -> *mut f32 {
        self.results.wrapping_add(token * self.results_stride + row)
    }
}

#[cfg(test)]
mod tests;
