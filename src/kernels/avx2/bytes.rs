//! Products of bytes, with AVX-512's dot products of bytes where they are.

#[cfg(all(target_feature = "avx512vnni", target_feature = "avx512vl"))]
pub(super) use with_dot_products::*;
#[cfg(not(all(target_feature = "avx512vnni", target_feature = "avx512vl")))]
pub(super) use without_dot_products::*;

/// Products of bytes from 0 to 255 with bytes from -127 to 127, four in each
/// lane. Without dot products of bytes, two of them must fit in an i16.
#[cfg(all(target_feature = "avx512vnni", target_feature = "avx512vl"))]
mod with_dot_products {
    use core::arch::x86_64::{
        __m256i, _mm256_dpbusd_epi32, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_sub_epi32,
        _mm256_xor_si256,
    };

    /// One factor, made ready for many products.
    #[derive(Clone, Copy)]
    pub(in crate::kernels::avx2) struct Left(__m256i);

    /// The other one.
    #[derive(Clone, Copy)]
    pub(in crate::kernels::avx2) struct Right {
        values: __m256i,
        /// What the offset of the left factor adds, negated.
        offset: __m256i,
    }

    #[inline(always)]
    pub(in crate::kernels::avx2) fn left(values: __m256i) -> Left {
        // SAFETY: the program is built for machines that can.
        // Bytes without a sign: each is 128 too great.
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

/// The same without them: the left factor's signs go to the right one.
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
        // SAFETY: the program is built for machines that can.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(left.0), _mm256_sign_epi8(right, left.0));
            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
        }
    }
}
