use proptest::prelude::*;

use super::*;
use crate::kernels::Own;
use crate::kernels::tests::Noise;

#[test]
fn exp_is_right_to_three_parts_in_ten_million() {
    for step in 0..8700 {
        let x = -(step as f32) / 100.0;
        let expected = f64::from(x).exp();
        assert!((f64::from(exp(x)) / expected - 1.0).abs() < 3e-7, "e to the {x}");
    }
    assert_eq!((exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn what_is_hidden_at_the_end_is_left_out_in_steps_of_eight() {
    let mut mask = [HIDDEN; 32];
    assert_eq!(visible(&mask).len(), 0);
    mask[9] = 0;
    assert_eq!(visible(&mask).len(), 16);
}

const HEAD: usize = 64;
const POSITIONS: usize = 384;

/// Pseudo-random numbers from -1 to 1.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut noise = Noise(seed);
    (0..count).map(|_| noise.number()).collect()
}

/// Blocks of pseudo-random values with the scale 1/128.
fn cache(seed: u32) -> Vec<Q8_0> {
    let block = |numbers: &[f32]| Q8_0 {
        scale: 0x2000,
        values: std::array::from_fn(|at| (numbers[at] * 127.0).round() as i8),
    };
    noise(seed, POSITIONS * HEAD).chunks(BLOCK).map(block).collect()
}

/// Attention as the textbook defines it, in f64.
fn textbook(query: &[f32], keys: &[Q8_0], values: &[Q8_0], mask: &[u16]) -> Vec<f64> {
    let number = |cache: &[Q8_0], position: usize, at: usize| {
        let block = &cache[(position * HEAD + at) / BLOCK];
        // SAFETY: ggml computes it from its argument alone.
        let widened = unsafe { llama_cpp_sys_2::ggml_fp16_to_fp32(block.scale) };
        f64::from(widened) * f64::from(block.values[at % BLOCK])
    };
    let score = |position: usize| {
        let products = (0..HEAD).map(|at| f64::from(query[at]) * number(keys, position, at));
        if mask[position] == HIDDEN { f64::NEG_INFINITY } else { products.sum::<f64>() }
    };
    let scores: Vec<_> = (0..POSITIONS).map(score).collect();
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<_> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..HEAD)
        .map(|at| (0..POSITIONS).map(|p| weights[p] * number(values, p, at)).sum::<f64>() / sum)
        .collect()
}

/// What attention of the query heads is computed to.
fn compute<const GROUP: usize>(
    queries: &[f32],
    keys: &[Q8_0],
    values: &[Q8_0],
    mask: &[u16],
) -> Vec<[f32; HEAD]> {
    let stride = HEAD / BLOCK * size_of::<Q8_0>();
    let attention = Attention {
        head: HEAD,
        positions: POSITIONS,
        scale: 1.0,
        keys: Column { first: keys.as_ptr(), stride },
        values: Column { first: values.as_ptr(), stride },
        queries: queries.as_ptr().cast(),
        queries_stride: HEAD * size_of::<f32>(),
        mask: mask.as_ptr(),
    };
    let mut sums = [Partial::NONE; GROUP];
    for chunk in 0..POSITIONS / CHUNK {
        let mut next = [const { MaybeUninit::uninit() }; GROUP];
        // SAFETY: the vectors have all the positions and heads that `attention`
        // says, and `chunk` writes all of `next`.
        unsafe {
            attention.chunk::<Own, GROUP>(0, chunk, &mut next);
            sums.iter_mut().zip(&next).for_each(|(sum, next)| sum.add(next.assume_init_ref(), HEAD));
        }
    }
    let result = |sum: &Partial| {
        let mut result = [const { MaybeUninit::uninit() }; HEAD];
        // SAFETY: the chunks have written the first `HEAD` sums, and `finish`
        // writes all of `result`.
        unsafe {
            sum.finish(&mut result);
            result.map(|number| number.assume_init())
        }
    };
    sums.iter().map(result).collect()
}

/// The mask of a token that sees all but one of the first `seen` positions.
fn mask(seen: usize) -> Vec<u16> {
    let mut mask = vec![HIDDEN; POSITIONS];
    mask[..seen].fill(0);
    mask[seen / 2] = if seen > 1 { HIDDEN } else { 0 };
    mask
}

fn attend<const GROUP: usize>(seed: u32, seen: usize) {
    let (keys, values) = (cache(seed), cache(seed + 1));
    let queries = noise(seed + 2, GROUP * HEAD);
    let mask = mask(seen);
    let results = compute::<GROUP>(&queries, &keys, &values, &mask);
    for (query, result) in queries.chunks(HEAD).zip(&results) {
        for (result, expected) in result.iter().zip(textbook(query, &keys, &values, &mask)) {
            // The tolerance is for the query, which is rounded to eight bits.
            assert!((f64::from(*result) - expected).abs() < 0.02, "{result} is not {expected}");
        }
    }
}

#[test]
fn a_number_that_is_none_is_never_hidden() {
    const NAN: u16 = 0x7E00;
    let (keys, values) = (cache(1), cache(2));
    let queries = noise(3, HEAD);
    let damaged = |cache: &[Q8_0]| {
        let mut cache = cache.to_vec();
        // The first position's blocks: all of its numbers.
        cache[..HEAD / BLOCK].iter_mut().for_each(|block| block.scale = NAN);
        cache
    };
    for seen in [1, 3, 8, 200, POSITIONS - 1] {
        let mut query = queries.clone();
        query[40] = f32::NAN;
        for (what, results) in [
            ("query", compute::<1>(&query, &keys, &values, &mask(seen))),
            ("key", compute::<1>(&queries, &damaged(&keys), &values, &mask(seen))),
            ("value", compute::<1>(&queries, &keys, &damaged(&values), &mask(seen))),
        ] {
            assert!(results[0].iter().all(|number| number.is_nan()), "{what}, {seen} seen: {results:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_is_the_attention_of_the_textbook(seed in 0u32..1 << 30, seen in 1usize..POSITIONS) {
        attend::<1>(seed, seen);
        attend::<2>(seed, seen);
        attend::<3>(seed, seen);
        attend::<4>(seed, seen);
    }
}
