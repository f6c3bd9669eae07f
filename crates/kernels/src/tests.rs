//! Runs ggml's own graphs on these kernels: that ggml calls the hooks, and
//! which operands the hooks leave to ggml.

use std::ptr;

use llama_cpp_sys_2::{
    GGML_STATUS_SUCCESS, GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_build_forward_expand,
    ggml_context, ggml_flash_attn_ext, ggml_free, ggml_graph_compute, ggml_graph_plan, ggml_init,
    ggml_init_params, ggml_nbytes, ggml_new_graph, ggml_new_tensor_2d, ggml_new_tensor_3d, ggml_tensor,
};

use proptest::prelude::*;

use crate::blocks::Q8_0;
use crate::flash_attention::FlashAttention;
use crate::hooks::ENTERED;

/// Bytes that ggml may use for the tensors and the graph of one test.
const MEMORY: usize = 16 << 20;

/// Numbers in a head of the attention, and positions of its cache: three chunks.
const HEAD: i64 = 64;
const POSITIONS: i64 = 384;

/// -∞ as f16, for a position that a token does not see.
const HIDDEN: u16 = 0xFC00;

/// The operands of an attention.
const QUERIES: usize = 0;
const KEYS: usize = 1;
const VALUES: usize = 2;
const MASK: usize = 3;

/// A ggml context; dropping it frees its tensors.
struct Ggml(*mut ggml_context);

impl Ggml {
    fn new() -> Self {
        let params = ggml_init_params { mem_size: MEMORY, mem_buffer: ptr::null_mut(), no_alloc: false };
        // SAFETY: `mem_buffer` is null, so that ggml allocates the memory
        // itself.
        Self(unsafe { ggml_init(params) })
    }

    /// A tensor of zeros, which are valid blocks in every format.
    fn zeros(&self, kind: u32, sizes: [i64; 3]) -> *mut ggml_tensor {
        let [x, y, z] = sizes;
        // SAFETY: the context is not freed while `self` lives, and a tensor's
        // data is `ggml_nbytes` long.
        unsafe {
            let tensor = match z {
                0 => ggml_new_tensor_2d(self.0, kind, x, y),
                _ => ggml_new_tensor_3d(self.0, kind, x, y, z),
            };
            ptr::write_bytes((*tensor).data.cast::<u8>(), 0, ggml_nbytes(tensor));
            tensor
        }
    }

    /// Attention of `sharing` query heads for each of 3 heads of the cache, for `tokens`
    /// tokens; the default model has 3.
    fn attention(&self, tokens: i64, sharing: i64) -> *mut ggml_tensor {
        let queries = self.zeros(GGML_TYPE_F32, [HEAD, tokens, 3 * sharing]);
        let [keys, values] = [(); 2].map(|()| self.zeros(GGML_TYPE_Q8_0, [HEAD, POSITIONS, 3]));
        let mask = self.zeros(GGML_TYPE_F16, [POSITIONS, 64, 0]);
        // SAFETY: all four tensors belong to this context.
        unsafe { ggml_flash_attn_ext(self.0, queries, keys, values, mask, 1.0, 0.0, 0.0) }
    }

    /// The same with pseudo-random numbers. The first token sees all but one of the first
    /// `seen` positions, each later one a position more.
    fn attention_of_noise(&self, tokens: i64, sharing: i64, seed: u32, seen: usize) -> *mut ggml_tensor {
        let mut noise = Noise(seed);
        let result = self.attention(tokens, sharing);
        // SAFETY: the tensors hold the types that they are filled with.
        unsafe {
            fill(source(&mut *result, QUERIES), |_| noise.number());
            for cache in [KEYS, VALUES] {
                // With the scale 1/128.
                fill(source(&mut *result, cache), |_| Q8_0 {
                    scale: 0x2000,
                    values: std::array::from_fn(|_| (noise.number() * 127.0) as i8),
                });
            }
            fill(source(&mut *result, MASK), |index| {
                let (token, position) = (index / POSITIONS as usize, index % POSITIONS as usize);
                if position >= seen + token || position > 0 && position == seen / 2 { HIDDEN } else { 0 }
            });
        }
        result
    }

    /// Computes `result` on our kernels, or by ggml's reference; returns its
    /// numbers.
    fn compute(&self, result: *mut ggml_tensor, threads: i32, by_reference: bool) -> Vec<f32> {
        // SAFETY: `result` belongs to this context and holds f32; the work
        // memory is as long as the plan asks for and outlives the call.
        unsafe {
            let graph = ggml_new_graph(self.0);
            ggml_build_forward_expand(graph, result);
            let mut plan = ggml_graph_plan(graph, threads, ptr::null_mut());
            // Rounded up to 64 bytes, ggml's cache line; aligned for a u64.
            let mut work = vec![[0u64; 8]; plan.work_size.div_ceil(64)];
            plan.work_data = work.as_mut_ptr().cast();
            plan.use_ref = by_reference;
            let status = ggml_graph_compute(graph, &raw mut plan);
            assert_eq!(status, GGML_STATUS_SUCCESS);
            std::slice::from_raw_parts((*result).data.cast(), ggml_nbytes(result) / size_of::<f32>()).to_vec()
        }
    }
}

impl Drop for Ggml {
    fn drop(&mut self) {
        // SAFETY: the context came from `ggml_init`, and neither it nor its
        // tensors are used any more.
        unsafe { ggml_free(self.0) };
    }
}

/// Pseudo-random numbers, the same on each machine.
pub(crate) struct Noise(pub(crate) u32);

impl Noise {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    /// A number from -1 to 1.
    pub(crate) fn number(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn is_entered(hook: &str) -> bool {
    ENTERED.lock().expect("the hooks entered").contains(&hook)
}

/// The formats of the default model, which is quantized as Q4_K_M, and of its voice.
#[cfg(kernels = "neon")]
#[test]
fn ggml_enters_the_hook_of_every_format_of_the_default_model_and_its_voice() {
    use llama_cpp_sys_2::{GGML_TYPE_Q4_K, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K, ggml_mul_mat};

    // A row of a voice's second matrices is one block.
    let ggml = Ggml::new();
    let (weights, activations) = (ggml.zeros(GGML_TYPE_F16, [8, 9, 0]), ggml.zeros(GGML_TYPE_F32, [8, 2, 0]));
    // SAFETY: both tensors belong to this context.
    ggml.compute(unsafe { ggml_mul_mat(ggml.0, weights, activations) }, 1, false);
    assert!(is_entered("short rows"), "ggml computes them by itself");
    for (kind, hook) in [
        (GGML_TYPE_F16, "F16"),
        (GGML_TYPE_Q5_0, "Q5_0"),
        (GGML_TYPE_Q8_0, "Q8_0"),
        (GGML_TYPE_Q4_K, "Q4K"),
        (GGML_TYPE_Q6_K, "Q6K"),
    ] {
        let ggml = Ggml::new();
        let weights = ggml.zeros(kind, [256, 8, 0]);
        let activations = ggml.zeros(GGML_TYPE_F32, [256, 1, 0]);
        // SAFETY: both tensors belong to this context.
        let product = unsafe { ggml_mul_mat(ggml.0, weights, activations) };
        ggml.compute(product, 1, false);
        assert!(is_entered(hook), "{hook}: ggml computes it by itself");
    }
}

/// Fills a tensor's data, block by block, with what `value` gives for each index.
///
/// # Safety
///
/// The tensor belongs to a live context, and its data are values of `T`.
unsafe fn fill<T>(tensor: *mut ggml_tensor, mut value: impl FnMut(usize) -> T) {
    // SAFETY: by this function's contract the data are `ggml_nbytes` of `T`.
    unsafe {
        let count = ggml_nbytes(tensor) / size_of::<T>();
        for index in 0..count {
            (*tensor).data.cast::<T>().add(index).write(value(index));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attention_by_way_of_ggml_is_ggmls_own_but_for_rounding(
        tokens in 1i64..=5,
        threads in 1..=2,
        sharing in 1i64..=5,
        scale in prop::sample::select(vec![1.0f32, 0.5]),
        seed in 0u32..1 << 30,
        seen in 1..POSITIONS as usize,
    ) {
        let ggml = Ggml::new();
        let result = ggml.attention_of_noise(tokens, sharing, seed, seen);
        // SAFETY: it is a tensor of the context; its first parameter is the scale.
        unsafe { (*result).op_params[0] = scale.to_bits() as i32 };
        let ours = ggml.compute(result, threads, false);
        prop_assert!(is_entered("attention"), "ggml computes it by itself");
        let ggmls = ggml.compute(result, threads, true);
        // The tolerance: values are below 1, and the query is rounded to eight bits.
        for (ours, ggmls) in ours.iter().zip(&ggmls) {
            prop_assert!((ours - ggmls).abs() < 0.02, "{ours}, not {ggmls}");
        }
        let size = ggmls.iter().fold(0.0f32, |size, number| size.max(number.abs()));
        prop_assert!(size > 0.1, "{size}: nothing was computed");
    }
}

#[test]
fn a_number_that_is_none_is_never_hidden() {
    const NAN: u16 = 0x7E00;
    for seen in [1, 3, 8, 200, POSITIONS as usize - 1] {
        for damaged in [QUERIES, KEYS, VALUES] {
            let ggml = Ggml::new();
            let result = ggml.attention_of_noise(1, 3, 1, seen);
            // SAFETY: the query's numbers are f32, the cache's blocks of q8_0: the damage is
            // to a number of the first head, or to both blocks of its first position.
            unsafe {
                let data = source(&mut *result, damaged).data;
                match damaged {
                    QUERIES => data.cast::<f32>().add(40).write(f32::NAN),
                    _ => (0..2).for_each(|block| (*data.cast::<Q8_0>().add(block)).scale = NAN),
                }
            }
            let numbers = &ggml.compute(result, 1, false)[..HEAD as usize];
            assert!(numbers.iter().all(|number| number.is_nan()), "{damaged}, {seen} seen: {numbers:?}");
        }
    }
}

/// A change of one field of the attention's tensors.
type Change = fn(&mut ggml_tensor);

/// Source number `index` of an operation's result.
fn source(result: &mut ggml_tensor, index: usize) -> &mut ggml_tensor {
    // SAFETY: sources 0 to 3 of `Ggml::attention` are tensors of a live
    // context.
    unsafe { &mut *result.src[index] }
}

#[test]
fn attention_whose_sizes_do_not_agree_is_left_to_ggml() {
    let changes: [(&str, Change); 17] = [
        ("a mask shorter than the cache", |result| source(result, MASK).ne[0] = POSITIONS - 8),
        ("a mask for fewer tokens", |result| source(result, MASK).ne[1] = 4),
        ("mask rows that overlap", |result| source(result, MASK).nb[1] = 2),
        ("fewer values than keys", |result| source(result, VALUES).ne[1] = POSITIONS - 8),
        ("values of fewer heads", |result| source(result, VALUES).ne[2] = 1),
        ("shorter values", |result| source(result, VALUES).ne[0] = 32),
        ("shorter queries", |result| source(result, QUERIES).ne[0] = 32),
        ("keys whose rows overlap", |result| source(result, KEYS).nb[1] = 34),
        ("values whose rows overlap", |result| source(result, VALUES).nb[1] = 34),
        ("keys that are transposed", |result| source(result, KEYS).nb[0] = 68),
        ("queries between floats", |result| source(result, QUERIES).nb[1] = 258),
        ("a result for fewer tokens", |result| result.ne[2] = 4),
        ("a result of fewer heads", |result| result.ne[1] = 8),
        ("a result of shorter heads", |result| result.ne[0] = 32),
        ("a result of overlapping rows", |result| result.nb[1] = 128),
        ("a result with gaps between tokens", |result| result.nb[2] *= 2),
        ("an unknown precision", |result| result.op_params[3] = 7),
    ];
    for (name, change) in changes {
        let ggml = Ggml::new();
        // SAFETY: the tensor lives as long as its context, which is dropped
        // last.
        let result = unsafe { &mut *ggml.attention(5, 3) };
        // SAFETY: the sources are valid tensors; `of` reads their sizes and
        // strides, not their data.
        assert!(unsafe { FlashAttention::of(result) }.is_some(), "before: {name}");
        change(result);
        // SAFETY: as above.
        assert!(unsafe { FlashAttention::of(result) }.is_none(), "{name}");
    }
}

#[cfg(kernels = "neon")]
#[test]
fn a_product_whose_strides_do_not_fit_is_left_to_ggml() {
    use crate::abi::Share;
    use crate::hooks::__wrap_llamafile_sgemm;
    use llama_cpp_sys_2::GGML_TYPE_Q5_0;

    let share = Share {
        thread: 0,
        threads: 1,
        work_size: 0,
        work: ptr::null_mut(),
        pool: ptr::null_mut(),
        use_reference: false,
    };
    let (weights, activations) = ([0u8; 22 * 4], [0u8; 34 * 4]);
    let mut results = [f32::NAN; 4];
    let mut product = |[rows, depth, weights_stride, activations_stride, results_stride]: [i64; 5]| {
        // SAFETY: the arrays hold 2 rows of 2 blocks and their results; any
        // other sizes are refused before anything is read.
        unsafe {
            __wrap_llamafile_sgemm(
                &raw const share,
                rows,
                1,
                depth,
                weights.as_ptr().cast(),
                weights_stride,
                activations.as_ptr().cast(),
                activations_stride,
                results.as_mut_ptr().cast(),
                results_stride,
                GGML_TYPE_Q5_0 as i32,
                GGML_TYPE_Q8_0 as i32,
                GGML_TYPE_F32 as i32,
            )
        }
    };
    assert!(product([2, 2, 2, 2, 2]));
    for unfit in [[2, 2, 1, 2, 2], [2, 2, 2, 1, 2], [2, 2, 2, 2, 1], [-1, 2, 2, 2, 2], [2, 0, 2, 2, 2]] {
        assert!(!product(unfit), "{unfit:?}");
    }
}
