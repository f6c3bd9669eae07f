/* Compiled at every build, and never linked: checks that abi.rs's copy of
 * ggml's private ABI is what ggml's own headers say. Where they differ the build
 * fails here; docs/UPGRADING-LLAMA.md says what to do then. */
#include <stddef.h>

#include "ggml-cpu-impl.h"
#include "llamafile/sgemm.h"
#include "ops.h"

/* Keep these numbers equal to those in abi.rs. */
_Static_assert(offsetof(struct ggml_compute_params, ith) == 0, "Share.thread");
_Static_assert(offsetof(struct ggml_compute_params, nth) == 4, "Share.threads");
_Static_assert(offsetof(struct ggml_compute_params, wsize) == 8, "Share.work_size");
_Static_assert(offsetof(struct ggml_compute_params, wdata) == 16, "Share.work");
_Static_assert(offsetof(struct ggml_compute_params, threadpool) == 24, "Share.pool");
_Static_assert(offsetof(struct ggml_compute_params, use_ref) == 32, "Share.use_reference");
_Static_assert(sizeof(struct ggml_compute_params) == 40, "Share");
_Static_assert(sizeof(((struct ggml_compute_params *)0)->ith) == 4, "c_int");
_Static_assert(sizeof(((struct ggml_compute_params *)0)->use_ref) == 1, "bool");

/* The function types that abi.rs and hooks.rs declare: if ggml's differ, this
 * does not compile. */
bool (*const torment_nexus_sgemm)(const struct ggml_compute_params *, int64_t, int64_t, int64_t,
    const void *, int64_t, const void *, int64_t, void *, int64_t, int, int, int) = llamafile_sgemm;
void (*const torment_nexus_flash_attention)(const struct ggml_compute_params *, struct ggml_tensor *) =
    ggml_compute_forward_flash_attn_ext;
void (*const torment_nexus_barrier)(struct ggml_threadpool *) = ggml_barrier;

/* The parameters that flash_attention.rs reads: in ggml.c, ggml_flash_attn_ext
 * writes scale, max_bias and logit_softcap as floats, and
 * ggml_flash_attn_ext_set_prec writes the precision. */
_Static_assert(GGML_PREC_DEFAULT == 0 && GGML_PREC_F32 == 10, "op_params[3]");
_Static_assert(sizeof(((struct ggml_tensor *)0)->op_params) >= 16, "op_params");
