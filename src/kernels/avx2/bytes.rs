//! Dot products of bytes, with AVX-512's instruction for them where the target
//! has it.

#[cfg(all(target_feature = "avx512vnni", target_feature = "avx512vl"))]
pub(super) use with_dot_products::*;
#[cfg(not(all(target_feature = "avx512vnni", target_feature = "avx512vl")))]
pub(super) use without_dot_products::*;

/// Products of a left factor from -128 to 127 and a right factor from -127 to
/// 127, four of them summed in each lane of 32 bits. The instruction takes an
/// unsigned left factor, so that it is offset by 128 here.
#[cfg(all(target_feature = "avx512vnni", target_feature = "avx512vl"))]
mod with_dot_products {
    use core::arch::x86_64::{
        __m256i, _mm256_dpbusd_epi32, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_sub_epi32,
        _mm256_xor_si256,
    };

    /// The left factor, prepared for many products.
    #[derive(Clone, Copy)]
    pub(in crate::kernels::avx2) struct Left(__m256i);

    /// The right factor, likewise.
    #[derive(Clone, Copy)]
    pub(in crate::kernels::avx2) struct Right {
        values: __m256i,
        /// What the left factor's offset adds to the sum, negated.
        offset: __m256i,
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn left(values: __m256i) -> Left {
        // Flipping the sign bits makes the bytes unsigned: each is 128 greater.
        // SAFETY: this module is compiled only for targets with these
        // instructions.
        Left(unsafe { _mm256_xor_si256(values, _mm256_set1_epi8(-128)) })
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn right(values: __m256i) -> Right {
        // SAFETY: as above.
        unsafe {
            let sum = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(-128), values);
            Right { values, offset: _mm256_sub_epi32(_mm256_setzero_si256(), sum) }
        }
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn dot(left: Left, right: Right) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_dpbusd_epi32(right.offset, left.0, right.values) }
    }
}

/// The same without that instruction: the left factor's signs are moved to the
/// right factor. The sums of two products, at most 2 × 128 × 127, fit in an
/// i16.
#[cfg(not(all(target_feature = "avx512vnni", target_feature = "avx512vl")))]
mod without_dot_products {
    use core::arch::x86_64::{
        __m256i, _mm256_abs_epi8, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_sign_epi8,
    };

    #[derive(Clone, Copy)]
    pub(in crate::kernels::avx2) struct Left(__m256i);

    pub(in crate::kernels::avx2) type Right = __m256i;

    #[inline(always)]
    pub(in crate::kernels::avx2) fn left(values: __m256i) -> Left {
        Left(values)
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn right(values: __m256i) -> Right {
        values
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn dot(left: Left, right: Right) -> __m256i {
        // SAFETY: build.rs compiles these kernels only for targets with AVX2.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(left.0), _mm256_sign_epi8(right, left.0));
            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
        }
    }
}
