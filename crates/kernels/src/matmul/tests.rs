use std::ffi::c_int;

use llama_cpp_sys_2::{GGML_TYPE_Q4_K, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0};
use llama_cpp_sys_2::{ggml_cpu_init, ggml_fp16_to_fp32, ggml_get_type_traits_cpu, ggml_type};

use super::*;
use crate::blocks::{F16, Q4K, Q5_0, Q6K, Q8_0, Q8K};
use crate::tests::Noise;

impl Noise {
    /// Every value can occur.
    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        std::array::from_fn(|_| (self.next() >> 24) as u8)
    }

    /// Values from -127 to 127, as ggml quantizes activations.
    fn activations<const COUNT: usize>(&mut self) -> [i8; COUNT] {
        self.bytes().map(|byte| (byte as i8).max(-127))
    }

    /// An f16 from 2^-10 to 1, of either sign.
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
    Q8K { scale: f32::from(noise.bytes::<1>()[0]) / 300.0, values, sums: std::array::from_fn(sum) }
}

fn q4_k(noise: &mut Noise) -> Q4K {
    Q4K { scale: noise.half(), min: noise.half(), scales: noise.bytes(), values: noise.bytes() }
}

fn q6_k(noise: &mut Noise) -> Q6K {
    Q6K {
        low_bits: noise.bytes(),
        high_bits: noise.bytes(),
        scales: noise.bytes().map(|byte| byte as i8),
        scale: noise.half(),
    }
}

/// Checks that products of weights of type `kind`, in blocks of so many `numbers`, are
/// ggml's, as [`are`] does.
fn is_ggmls<B: Block>(
    kind: ggml_type,
    numbers: usize,
    weight: fn(&mut Noise) -> B,
    activation: fn(&mut Noise) -> B::Activations,
    tolerance: f32,
) {
    // SAFETY: it fills ggml's tables of f16 values, and `kind` is a type of ggml's.
    let dot = unsafe {
        ggml_cpu_init();
        (*ggml_get_type_traits_cpu(kind)).vec_dot.expect("a dot product")
    };
    let ggmls = |weights: &[B], activations: &[B::Activations]| {
        let (mut sum, count) = (f32::NAN, (numbers * weights.len()) as c_int);
        let (x, y) = (weights.as_ptr().cast(), activations.as_ptr().cast());
        // SAFETY: both have so many blocks, which have this many numbers.
        unsafe { dot(count, &mut sum, 0, x, 0, y, 0, 1) };
        sum
    };
    are(ggmls, weight, activation, tolerance);
}

/// Checks that products are `expected`, given a row of weights and a token's activations,
/// within `tolerance` of their size, and that computing up to nine rows and nine tokens at
/// once gives bit-identical results to computing each alone.
fn are<B: Block>(
    expected: impl Fn(&[B], &[B::Activations]) -> f32,
    weight: fn(&mut Noise) -> B,
    activation: fn(&mut Noise) -> B::Activations,
    tolerance: f32,
) {
    const MOST: usize = 9;
    const BLOCKS: usize = 6;
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
        // SAFETY: these rows, tokens and results all lie in the vectors.
        unsafe { product.compute(rows, tokens.len()) };
        results
    };
    let mut singles = [[0.0; MOST]; MOST];
    for (row, singles) in singles.iter_mut().enumerate() {
        for (token, single) in singles.iter_mut().enumerate() {
            let result = compute(row..row + 1, token..token + 1)[row];
            *single = result;
            let expected =
                expected(&weights[row * BLOCKS..][..BLOCKS], &activations[token * BLOCKS..][..BLOCKS]);
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

/// The tolerance: ggml rounds twice where these kernels round once.
const ROUNDING: f32 = 1e-5;

#[test]
fn products_of_q5_0_are_ggmls_whatever_is_computed_at_once() {
    let weight =
        |noise: &mut Noise| Q5_0 { scale: noise.half(), fifth_bits: noise.bytes(), low_bits: noise.bytes() };
    is_ggmls(GGML_TYPE_Q5_0, 32, weight, q8_0, ROUNDING);
}

#[test]
fn products_of_q8_0_are_ggmls_whatever_is_computed_at_once() {
    // A weight may be -128, an activation may not.
    let weight =
        |noise: &mut Noise| Q8_0 { scale: noise.half(), values: noise.bytes().map(|byte| byte as i8) };
    is_ggmls(GGML_TYPE_Q8_0, 32, weight, q8_0, ROUNDING);
}

#[test]
fn products_of_q4_k_are_ggmls_whatever_is_computed_at_once() {
    is_ggmls(GGML_TYPE_Q4_K, 256, q4_k, q8_k, 0.0);
}

#[test]
fn products_of_q6_k_are_ggmls_whatever_is_computed_at_once() {
    is_ggmls(GGML_TYPE_Q6_K, 256, q6_k, q8_k, 0.0);
}

#[test]
fn products_of_f16_are_exact_but_for_rounding_whatever_is_computed_at_once() {
    // ggml rounds the activations to f16 first.
    let exact = |weights: &[F16], activations: &[[f32; 8]]| {
        let weights = weights.iter().flat_map(|weights| weights.0);
        // SAFETY: a number for a number.
        let weights = weights.map(|half| f64::from(unsafe { ggml_fp16_to_fp32(half) }));
        let activations = activations.as_flattened().iter().copied().map(f64::from);
        weights.zip(activations).map(|(x, y)| x * y).sum::<f64>() as f32
    };
    let weight = |noise: &mut Noise| F16(std::array::from_fn(|_| noise.half()));
    let activation = |noise: &mut Noise| noise.activations().map(|number| f32::from(number) / 3.0);
    are(exact, weight, activation, ROUNDING);
}

#[test]
fn rows_of_a_single_block_are_those_of_a_tile() {
    let mut noise = Noise(7);
    let weights: Vec<_> = (0..9).map(|_| F16(std::array::from_fn(|_| noise.half()))).collect();
    let numbers: [f32; 8] = noise.activations().map(|number| f32::from(number) / 3.0);
    for rows in 1..=9 {
        let (mut short, mut tiles) = ([f32::NAN; 9], [f32::NAN; 9]);
        let product = Product::<F16> {
            blocks: 1,
            weights: weights.as_ptr(),
            weights_stride: 1,
            activations: &raw const numbers,
            activations_stride: 1,
            results: tiles.as_mut_ptr(),
            results_stride: 9,
        };
        // SAFETY: nine rows of weights and results, and one token's activations.
        unsafe {
            product.compute(0..rows, 1);
            F16::short_rows(weights.as_ptr(), &raw const numbers, short.as_mut_ptr(), 0..rows);
        }
        assert_eq!(short[..rows], tiles[..rows], "{rows} rows");
    }
}
