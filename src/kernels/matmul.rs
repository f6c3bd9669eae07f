//! Products of weights and activations, in tiles.
//!
//! ggml computes one result at a time. Here four rows of weights share the
//! activations of one token or two, and two rows those of up to four, which
//! share the unpacked weights. What a product is does not depend on how much
//! is computed at once: a batch has the bits of its tokens one by one, on any
//! number of threads. (On x86 ggml keeps batches of eight tokens and more to
//! itself for q4_K and q6_K: the prompt's, which are always the same.)
//!
//! What is done for each block is an implementation of [`Block`]: one for each
//! format and instruction set.

use std::ops::Range;

/// A format of weights, with its product for one instruction set.
pub(super) trait Block: Copy {
    /// What activations are rounded to for it.
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
                // SAFETY: this function's contract for `height` rows and `width` tokens.
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
mod tests;
