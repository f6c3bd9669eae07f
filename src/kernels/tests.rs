//! ggml's own graph on these kernels: that it enters the hooks, and what it keeps
//! to itself.

use std::ffi::c_void;
use std::ptr;

use llama_cpp_sys_2::{
    GGML_STATUS_SUCCESS, GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_build_forward_expand,
    ggml_context, ggml_flash_attn_ext, ggml_free, ggml_graph_compute, ggml_graph_plan, ggml_init,
    ggml_init_params, ggml_nbytes, ggml_new_graph, ggml_new_tensor_2d, ggml_new_tensor_3d, ggml_tensor,
};

use super::blocks::Q8_0;
use super::flash_attention::FlashAttention;
use super::hooks::Hook;

/// Memory of ggml's for some tensors and one graph, in bytes.
const MEMORY: usize = 16 << 20;

/// ggml's context, freed with it.
struct Ggml(*mut ggml_context);

impl Ggml {
    fn new() -> Self {
        let params = ggml_init_params { mem_size: MEMORY, mem_buffer: ptr::null_mut(), no_alloc: false };
        // SAFETY: ggml allocates the memory itself.
        Self(unsafe { ggml_init(params) })
    }

    /// Zeros: sound numbers in every format.
    fn zeros(&self, kind: u32, sizes: [i64; 3]) -> *mut ggml_tensor {
        let [x, y, z] = sizes;
        // SAFETY: the context lives; the tensor's data is as long as ggml says.
        unsafe {
            let tensor = match z {
                0 => ggml_new_tensor_2d(self.0, kind, x, y),
                _ => ggml_new_tensor_3d(self.0, kind, x, y, z),
            };
            ptr::write_bytes((*tensor).data.cast::<u8>(), 0, ggml_nbytes(tensor));
            tensor
        }
    }

    /// Attention of 9 query heads for `tokens` tokens over 3 heads of the cache,
    /// as the default model has them.
    fn attention(&self, tokens: i64) -> *mut ggml_tensor {
        let queries = self.zeros(GGML_TYPE_F32, [64, tokens, 9]);
        let [keys, values] = [(); 2].map(|()| self.zeros(GGML_TYPE_Q8_0, [64, 256, 3]));
        let mask = self.zeros(GGML_TYPE_F16, [256, 64, 0]);
        // SAFETY: all of them are this context's.
        unsafe { ggml_flash_attn_ext(self.0, queries, keys, values, mask, 0.125, 0.0, 0.0) }
    }

    /// Computes `result` on our kernels, or by ggml's reference; returns its
    /// numbers.
    fn compute(&self, result: *mut ggml_tensor, threads: i32, by_reference: bool) -> Vec<f32> {
        // SAFETY: the result is this context's, and is of floats; the work memory
        // is as long as ggml asks for and outlives the call.
        unsafe {
            let graph = ggml_new_graph(self.0);
            ggml_build_forward_expand(graph, result);
            let mut plan = ggml_graph_plan(graph, threads, ptr::null_mut());
            // Of 64 bytes each, as ggml aligns its own.
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
        // SAFETY: it was made by ggml_init, and nothing of it is used any more.
        unsafe { ggml_free(self.0) };
    }
}

/// The default model's formats, by its quantization Q4_K_M.
#[cfg(kernels)]
#[test]
fn ggml_enters_the_hook_of_every_format_of_the_default_model() {
    use llama_cpp_sys_2::{GGML_TYPE_Q4_K, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K, ggml_mul_mat};

    for (kind, hook) in [
        (GGML_TYPE_Q5_0, Hook::Q5_0),
        (GGML_TYPE_Q8_0, Hook::Q8_0),
        (GGML_TYPE_Q4_K, Hook::Q4K),
        (GGML_TYPE_Q6_K, Hook::Q6K),
    ] {
        let ggml = Ggml::new();
        let weights = ggml.zeros(kind, [256, 8, 0]);
        let activations = ggml.zeros(GGML_TYPE_F32, [256, 1, 0]);
        // SAFETY: both are this context's.
        let product = unsafe { ggml_mul_mat(ggml.0, weights, activations) };
        ggml.compute(product, 1, false);
        assert!(hook.was_entered(), "{hook:?}: ggml computes it by itself");
    }
}

/// Fills a tensor's data from `next`, block by block.
///
/// # Safety
///
/// The tensor is a live context's, and made of `T`.
unsafe fn fill<T>(tensor: *mut ggml_tensor, mut next: impl FnMut() -> T) {
    // SAFETY: this function's contract.
    unsafe {
        let count = ggml_nbytes(tensor) / size_of::<T>();
        for index in 0..count {
            (*tensor).data.cast::<T>().add(index).write(next());
        }
    }
}

#[test]
fn attention_by_way_of_ggml_is_ggmls_own_but_for_rounding() {
    const HIDDEN: u16 = 0xFC00;
    for (tokens, threads, scale) in [(1, 1, 0.125), (1, 2, 0.125), (5, 2, 0.125), (5, 1, 0.5)] {
        let mut seed = 7u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let ggml = Ggml::new();
        let result = ggml.attention(tokens);
        // SAFETY: the tensors are of these types; the first parameter is the scale.
        unsafe {
            (*result).op_params[0] = f32::to_bits(scale) as i32;
            fill(source(&mut *result, 0), &mut noise);
            for cache in [1, 2] {
                fill(source(&mut *result, cache), || Q8_0 {
                    scale: 0x2000,
                    values: std::array::from_fn(|_| (noise() * 127.0) as i8),
                });
            }
            // Each token sees one position more than the one before.
            let mut index = 0;
            fill(source(&mut *result, 3), || {
                let (token, position) = (index / 256, index % 256);
                index += 1;
                if position <= 200 + token { 0 } else { HIDDEN }
            });
        }
        let ours = ggml.compute(result, threads, false);
        assert!(Hook::Attention.was_entered(), "ggml computes it by itself");
        let ggmls = ggml.compute(result, threads, true);
        // Values are below 1, and the query is rounded to eight bits.
        for (ours, ggmls) in ours.iter().zip(&ggmls) {
            assert!((ours - ggmls).abs() < 0.02, "{tokens} tokens, {threads} threads: {ours}, not {ggmls}");
        }
        let size = ggmls.iter().fold(0.0f32, |size, number| size.max(number.abs()));
        assert!(size > 0.1, "{size}: nothing was computed");
    }
}

/// One field of an attention's tensors, changed.
type Change = fn(&mut ggml_tensor);

/// A source of an operation's result.
fn source(result: &mut ggml_tensor, index: usize) -> &mut ggml_tensor {
    // SAFETY: the sources of `Ggml::attention` are tensors.
    unsafe { &mut *result.src[index] }
}

#[test]
fn attention_whose_sizes_do_not_agree_is_left_to_ggml() {
    const QUERIES: usize = 0;
    const KEYS: usize = 1;
    const VALUES: usize = 2;
    const MASK: usize = 3;
    let changes: [(&str, Change); 17] = [
        ("a mask shorter than the cache", |result| source(result, MASK).ne[0] = 248),
        ("a mask for fewer tokens", |result| source(result, MASK).ne[1] = 4),
        ("mask rows that overlap", |result| source(result, MASK).nb[1] = 2),
        ("fewer values than keys", |result| source(result, VALUES).ne[1] = 248),
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
        // SAFETY: the result lives as long as its context.
        let result = unsafe { &mut *ggml.attention(5) };
        // SAFETY: the tensors are ggml's; none of their data is read.
        assert!(unsafe { FlashAttention::of(result) }.is_some(), "before: {name}");
        change(result);
        // SAFETY: as above.
        assert!(unsafe { FlashAttention::of(result) }.is_none(), "{name}");
    }
}

#[cfg(kernels)]
#[test]
fn a_product_whose_strides_do_not_fit_is_left_to_ggml() {
    use super::abi::Share;
    use llama_cpp_sys_2::GGML_TYPE_Q5_0;

    unsafe extern "C" {
        /// To the linker ggml's function is our hook.
        fn llamafile_sgemm(
            share: *const Share,
            rows: i64,
            tokens: i64,
            depth: i64,
            weights: *const c_void,
            weights_stride: i64,
            activations: *const c_void,
            activations_stride: i64,
            results: *mut c_void,
            results_stride: i64,
            weights_type: i32,
            activations_type: i32,
            results_type: i32,
        ) -> bool;
    }
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
        // SAFETY: 2 rows of 2 blocks lie in the arrays, and the others are refused.
        unsafe {
            llamafile_sgemm(
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
